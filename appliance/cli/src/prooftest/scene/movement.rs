//! Movements for conditions over change: `rate`, `delta`, `stddev`.

use rules_bundle::WindowFunction;
use rules_expr::{Op, Program, Tri};

use super::plan::{bounds, tag_id};
use super::state::{STDDEV_OF_A_RAMP, seconds};
use super::{Do, Scene, Stimulus};
use crate::prooftest::raw;

/// Beyond the limit by these shares: the least proves most of it.
const BEYOND: [f64; 3] = [1.1, 1.5, 3.0];
/// A movement lasts for so many spans of its window, and a little.
const SPANS: f64 = 1.3;
const MORE_S: f64 = 0.2;
/// A speed that is to pass a `rate` check stays below it by this share: two samples may arrive closer than they were taken.
const BELOW_THE_CHECK: f64 = 0.7;

impl Scene<'_> {
    /// A steady movement of `tag` that makes rule `rule` true, while all other inputs are at rest.
    pub(super) fn movement(&mut self, rule: usize, tag: usize) -> Option<Stimulus> {
        let codec = *self.codec(tag)?;
        let (low, high) = bounds(&codec);
        let fastest = self.plan.tags.get(tag)?.checks.rate;
        let rest = *self.values.get(tag)?;
        let mut speeds = self.speeds(rule, tag);
        // Towards either side, slowest first.
        speeds.sort_by(|one, two| one.0.abs().total_cmp(&two.0.abs()));
        for alone in [true, false] {
            for (speed, span) in &speeds {
                let way = speed * (span * SPANS + MORE_S);
                let allowed =
                    fastest.is_none_or(|check| speed.abs() <= check.per_second * BELOW_THE_CHECK);
                if !allowed || way.abs() > high - low || *speed == 0.0 {
                    continue;
                }
                // From where it is, when there is room; else from the end that leaves the most.
                let end = if *speed > 0.0 { low } else { high };
                let fits = |from: f64| (low..=high).contains(&(from + way));
                for from in [rest, end] {
                    let Some(from) = raw::rounded(&codec, from).filter(|from| fits(*from)) else {
                        continue;
                    };
                    if self.is_made_true(rule, tag, (from, way, *speed), alone) {
                        let moved = (from - rest).abs() > f64::EPSILON;
                        return Some(Stimulus {
                            before: moved.then_some((tag_id(tag), from)).into_iter().collect(),
                            inputs: vec![(
                                tag_id(tag),
                                Do::Move {
                                    per_second: *speed,
                                    until: from + way,
                                },
                            )],
                            passes: true,
                            ..Stimulus::default()
                        });
                    }
                }
            }
        }
        None
    }

    /// Speeds that might be beyond what the rule allows, each with the span of its window in seconds.
    fn speeds(&self, rule: usize, tag: usize) -> Vec<(f64, f64)> {
        let Some(known) = self.plan.rules.get(rule) else {
            return Vec::new();
        };
        let programs = &known.programs;
        let slots: Vec<usize> = programs
            .iter()
            .flat_map(Program::ops)
            .filter_map(|op| match op {
                Op::Slot(slot) => usize::try_from(*slot).ok(),
                _ => None,
            })
            .collect();
        let constants = programs
            .iter()
            .flat_map(Program::ops)
            .filter_map(|op| match op {
                Op::Const(value) if *value != 0.0 => Some(value.abs()),
                _ => None,
            });
        let constants: Vec<f64> = constants.collect();
        let first = self.plan.tags.len();
        let mut speeds = Vec::new();
        for (index, window) in self.plan.windows.iter().enumerate() {
            if usize::from(window.tag.0) != tag || !slots.contains(&(first + index)) {
                continue;
            }
            let span = seconds(window.span);
            for constant in &constants {
                let speed = match window.function {
                    WindowFunction::Rate => *constant,
                    WindowFunction::Delta => constant / span,
                    WindowFunction::Stddev => constant * STDDEV_OF_A_RAMP / span,
                    _ => continue,
                };
                for beyond in BEYOND {
                    speeds.extend([(speed * beyond, span), (-speed * beyond, span)]);
                }
            }
        }
        speeds
    }

    /// Whether the rule is false where the movement begins and true while it goes on.
    fn is_made_true(
        &mut self,
        rule: usize,
        tag: usize,
        (from, way, speed): (f64, f64, f64),
        alone: bool,
    ) -> bool {
        let kept = self.values.clone();
        self.set(tag, from);
        let quiet = self.truth(rule, false) == Tri::False && self.dangers_near_are_quiet(rule, tag);
        self.moving = Some((tag, speed));
        self.set(tag, from + way);
        let trips =
            self.truth(rule, false) == Tri::True && !(alone && self.others_see_it(rule, &[tag]));
        self.moving = None;
        self.values = kept;
        quiet && trips
    }
}
