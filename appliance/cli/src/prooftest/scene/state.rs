//! The inputs' present values, and what the rules say of them.

use std::collections::BTreeSet;
use std::time::Duration;

use drivers_frame::{DurNs, TagId, ValueType};
use rules_bundle::{Level, OnBad, WindowFunction};
use rules_expr::{Op, Program, SlotValue, Tri, eval};

use super::plan::{bounds, middle, tag_id};
use super::{CANDIDATES_MAX, PASSES_MAX, Scene};
use crate::prooftest::raw;

/// The standard deviation of a value that rises steadily is its rise over this: the root of 12.
pub(super) const STDDEV_OF_A_RAMP: f64 = 3.464_101_615_137_754_6;

pub(super) fn seconds(span: DurNs) -> f64 {
    Duration::from_nanos(span.as_ns()).as_secs_f64()
}

impl Scene<'_> {
    /// Moves inputs until no rule is true: danger rules first, then alerts.
    pub(super) fn calm(&mut self) {
        for _ in 0..PASSES_MAX {
            let loud: BTreeSet<usize> = (0..self.plan.rules.len())
                .filter(|rule| !self.is_quiet(*rule))
                .collect();
            if loud.is_empty() {
                return;
            }
            let mut moved = false;
            for tag in 0..self.values.len() {
                let read_by_loud = self
                    .readers
                    .get(tag)
                    .is_some_and(|rules| rules.iter().any(|rule| loud.contains(rule)));
                if self.is_fixed(tag) || !read_by_loud {
                    continue;
                }
                moved |= self.calm_tag(tag);
            }
            if !moved {
                return;
            }
        }
    }

    /// The best value of one tag, and with it of its redundant sisters, which must agree.
    pub(super) fn calm_tag(&mut self, tag: usize) -> bool {
        let sisters = self.sisters(tag);
        let before = self.loudness(&sisters);
        let kept = self.values.clone();
        let mut best = (before, None);
        for candidate in self.candidates(tag) {
            for sister in &sisters {
                self.set(*sister, candidate);
            }
            let loudness = self.loudness(&sisters);
            if loudness < best.0 {
                best = (loudness, Some(candidate));
            }
        }
        self.values = kept;
        if let Some(value) = best.1 {
            for sister in sisters {
                self.set(sister, value);
            }
        }
        best.1.is_some()
    }

    pub(super) fn sisters(&self, tag: usize) -> Vec<usize> {
        let mut sisters = BTreeSet::from([tag]);
        for voting in &self.plan.votings {
            if voting.channels.contains(&tag_id(tag)) {
                sisters.extend(voting.channels.iter().map(|tag| usize::from(tag.0)));
            }
        }
        sisters.into_iter().collect()
    }

    pub(super) fn loudness(&self, tags: &[usize]) -> usize {
        let mut rules = BTreeSet::new();
        for tag in tags {
            rules.extend(self.readers.get(*tag).into_iter().flatten().copied());
        }
        rules
            .into_iter()
            .filter(|rule| !self.is_quiet(*rule))
            .map(|rule| if self.is_danger(rule) { 1_000 } else { 1 })
            .sum()
    }

    pub(super) fn is_danger(&self, rule: usize) -> bool {
        self.plan
            .rules
            .get(rule)
            .is_some_and(|rule| rule.level == Level::Danger)
    }

    /// False, and false again after it was true: beyond its dead band.
    pub(super) fn is_quiet(&self, rule: usize) -> bool {
        if self.is_of_analyzers(rule) {
            // Seen when the guard arms.
            return true;
        }
        self.truth(rule, false) == Tri::False && self.truth(rule, true) == Tri::False
    }

    pub(super) fn truth(&self, rule: usize, hold: bool) -> Tri {
        if self.is_of_analyzers(rule) {
            return Tri::False;
        }
        let Some(known) = self.plan.rules.get(rule) else {
            return Tri::Bad;
        };
        let slots = self.slots();
        let voting = known
            .voting
            .and_then(|index| self.plan.votings.get(usize::from(index)));
        let Some(voting) = voting else {
            return known
                .programs
                .first()
                .map_or(Tri::Bad, |program| eval(program, &slots, hold));
        };
        let votes = known
            .programs
            .iter()
            .filter(|program| match eval(program, &slots, hold) {
                Tri::True => true,
                Tri::Bad => voting.on_bad == OnBad::Trip,
                Tri::False => false,
            })
            .count();
        if votes >= usize::from(voting.need) {
            Tri::True
        } else {
            Tri::False
        }
    }

    /// Whether a rule is true as long as these tags show what lies between two values each, whatever all others that
    /// analyzers derive may be; plain inputs are at rest.
    pub(crate) fn is_declared_true(&self, rule: usize, declared: &[(TagId, f64, f64)]) -> bool {
        let Some(known) = self.plan.rules.get(rule) else {
            return false;
        };
        let need = known
            .voting
            .and_then(|index| self.plan.votings.get(usize::from(index)))
            .map_or(1, |voting| usize::from(voting.need));
        let at = |pick: fn(&(TagId, f64, f64)) -> f64| {
            let mut tags: Vec<SlotValue> = (0..self.plan.tags.len())
                .map(|tag| SlotValue {
                    value: self.values.get(tag).copied().unwrap_or(0.0),
                    usable: !self.derived.contains(&tag),
                })
                .collect();
            for one in declared {
                if let Some(slot) = tags.get_mut(usize::from(one.0.0)) {
                    (slot.value, slot.usable) = (pick(one), true);
                }
            }
            let slots = self.slots_of(&tags);
            let programs = known.programs.iter();
            programs
                .filter(|program| eval(program, &slots, false) == Tri::True)
                .count()
                >= need
        };
        // Both ends, and what lies between them.
        at(|one| one.1) && at(|one| one.2) && at(|one| f64::midpoint(one.1, one.2))
    }

    /// What the lane would hand to its rules after everything stood still for long.
    pub(super) fn slots(&self) -> Vec<SlotValue> {
        let tags: Vec<SlotValue> = (0..self.plan.tags.len())
            .map(|tag| SlotValue {
                value: self.values.get(tag).copied().unwrap_or(0.0),
                usable: !self.bad.get(tag).copied().unwrap_or(true),
            })
            .collect();
        self.slots_of(&tags)
    }

    fn slots_of(&self, values: &[SlotValue]) -> Vec<SlotValue> {
        let of = |tag: TagId| {
            let value = values.get(usize::from(tag.0));
            value.map_or((0.0, false), |known| (known.value, known.usable))
        };
        let tags = (0..self.plan.tags.len()).map(|tag| of(tag_id(tag)));
        let windows = self.plan.windows.iter().map(|window| {
            let (value, usable) = of(window.tag);
            let speed = match self.moving {
                Some((tag, speed)) if tag == usize::from(window.tag.0) => speed,
                _ => 0.0,
            };
            // Since the window began.
            let way = speed * seconds(window.span);
            let value = match window.function {
                WindowFunction::Avg => value - way / 2.0,
                WindowFunction::Min => value.min(value - way),
                WindowFunction::Max => value.max(value - way),
                WindowFunction::Rms => (value - way / 2.0).abs(),
                WindowFunction::Rate => speed,
                WindowFunction::Delta => way,
                WindowFunction::Stddev => way.abs() / STDDEV_OF_A_RAMP,
            };
            (value, usable)
        });
        // Ages in nanoseconds: a living input is young, a failed one old. Qualities: good is 0, stale 3.
        let ages = self.plan.ages.iter().map(|tag| {
            let (_, usable) = of(*tag);
            (if usable { 0.0 } else { 1e18 }, true)
        });
        let qualities = self.plan.qualities.iter().map(|tag| {
            let (_, usable) = of(*tag);
            (if usable { 0.0 } else { 3.0 }, true)
        });
        tags.chain(windows)
            .chain(ages)
            .chain(qualities)
            .map(|(value, usable)| SlotValue { value, usable })
            .collect()
    }

    pub(super) fn set(&mut self, tag: usize, value: f64) {
        if let Some(known) = self.values.get_mut(tag) {
            *known = value;
        }
    }

    /// Values of a tag that might make a difference, each as the device can serve it.
    pub(super) fn candidates(&self, tag: usize) -> Vec<f64> {
        let Some(codec) = self.codec(tag) else {
            return Vec::new();
        };
        if codec.kind == ValueType::Bool {
            return vec![0.0, 1.0];
        }
        let mut wanted = vec![middle(Some(codec))];
        let constants = self
            .readers
            .get(tag)
            .into_iter()
            .flatten()
            .filter_map(|rule| self.plan.rules.get(*rule))
            .flat_map(|rule| &rule.programs)
            .flat_map(Program::ops)
            .filter_map(|op| match op {
                Op::Const(value) | Op::HoldOffset(value) => Some(*value),
                _ => None,
            });
        for constant in constants {
            // Beyond the constant by more than a dead band is likely to be, and just beyond it.
            for share in [0.05, 0.2] {
                let beyond = (constant.abs() * share).max(codec.scaling.scale.abs() * 2.0);
                wanted.extend([constant + beyond, constant - beyond]);
            }
            wanted.push(constant);
        }
        let (low, high) = bounds(codec);
        wanted.extend([low, high, 0.0]);
        let mut candidates: Vec<f64> = Vec::new();
        for value in wanted {
            if let Some(value) = raw::rounded(codec, value.clamp(low, high))
                && !candidates.iter().any(|known| (known - value).abs() < 1e-12)
            {
                candidates.push(value);
            }
        }
        candidates.truncate(CANDIDATES_MAX);
        candidates
    }
}
