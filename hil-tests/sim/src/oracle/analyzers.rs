//! Analyzers: what they are asked, and what becomes of their answers in the same tick.

use appliance_lane::TagView;
use drivers_frame::{Cause, Quality, Sample, TagId};

use super::Oracle;
use super::twin::{Failure, Outcome, Twin};
use crate::analysis::{Answered, Called};
use crate::coverage::Coverage;
use crate::guard::{Guard, Taken};
use crate::scenario::{Analyzer, DERIVED, Derived, Kind, MS, Scenario, TURN_MAX, shown};
use crate::sometimes;

/// What an analyzer's tags must show.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// What came of a frame.
    Outcome(Outcome),
    /// Nothing can be derived: its block could not be used.
    Nothing(Cause),
}

/// An analyzer, as the judge follows it.
#[derive(Clone, Debug)]
pub(super) struct AnalyzerSeen {
    twin: Twin,
    /// What its inputs' tags showed when it was asked last.
    shown: Vec<(u64, Quality)>,
    /// When it was asked last, by the lane's clock.
    asked: u64,
    /// The time of its newest frame, and what it must have come to.
    expected: Option<(u64, Expected)>,
    /// The number of the block that it was given last.
    block: Option<u64>,
}

impl AnalyzerSeen {
    pub(super) fn new(analyzer: &Analyzer, now: u64) -> Self {
        Self {
            twin: Twin::new(analyzer),
            shown: vec![(now, Quality::Stale); analyzer.inputs.len()],
            asked: now,
            expected: None,
            block: None,
        }
    }
}

impl Oracle {
    /// Levels of what is derived: what must be seen of the plant's, and what a verdict must say of them. Of an analyzer that
    /// alerts when it fails the verdict promises nothing.
    pub(super) fn derive(&mut self, scenario: &Scenario) {
        for analyzer in &scenario.analyzers {
            let inputs = analyzer.inputs.iter().map(|tag| self.levels[*tag]);
            let wave = analyzer.wave.map(|wave| scenario.waves[wave].tag);
            let wave = wave.map(|tag| shown(self.levels[tag]));
            let peak = inputs.chain(wave).fold(0.0, f64::max) * analyzer.scale;
            self.levels[analyzer.tag(Derived::Peak)] = peak;
            let danger = analyzer.trips && peak > analyzer.danger;
            self.levels[analyzer.tag(Derived::Verdict)] = if danger { 2.0 } else { 0.0 };
        }
    }

    /// Whether a tag is written by the lane itself.
    pub(super) fn is_derived_in_the_tick(&self, scenario: &Scenario, tag: usize) -> bool {
        match scenario.tags[tag].kind {
            Kind::Derived { analyzer, .. } => !scenario.analyzers[analyzer].background,
            _ => false,
        }
    }

    /// What makes spares had its turn.
    pub fn refilled(&mut self, scenario: &Scenario, analyzer: usize) {
        self.analyzers[analyzer]
            .twin
            .refilled(&scenario.analyzers[analyzer]);
    }

    /// Class background was asked, and has answered.
    pub fn answered(
        &mut self,
        scenario: &Scenario,
        answered: &Answered,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let Answered {
            called, samples, ..
        } = answered;
        let analyzer = &scenario.analyzers[called.analyzer];
        sometimes!(coverage, "class background answered", true);
        let outcome = self.outcome(analyzer, called, now, coverage);
        let wrong = |(what, sample): (&Derived, &Sample)| {
            let said = View {
                value: sample.value,
                quality: sample.quality,
                cause: sample.cause,
                at: sample.at.as_ns(),
            };
            let own = usize::from(sample.tag.0) == analyzer.tag(*what);
            (!own || !shows(analyzer, *what, Expected::Outcome(outcome), called.at, said))
                .then_some((*what, said))
        };
        let wrong = DERIVED.iter().zip(samples).find_map(wrong);
        if wrong.is_some() || samples.len() != DERIVED.len() {
            let what = format!(
                "analyzer {} of class background: {outcome:?} must come of its frame, and {wrong:?} came",
                called.analyzer
            );
            self.fail(row(outcome), now, what);
        }
    }

    /// What a call must come to.
    fn outcome(
        &mut self,
        analyzer: &Analyzer,
        called: &Called,
        now: u64,
        coverage: &mut Coverage,
    ) -> Outcome {
        let seen = &mut self.analyzers[called.analyzer];
        if let Some(bytes) = &called.block {
            let word = |at: usize| u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
            let number = word(0) | word(2) << 15;
            let before = seen.block.replace(number);
            let follows = before.is_some_and(|before| number == before + 1);
            sometimes!(coverage, "a block analysed", true);
            if !follows && !called.gap {
                let what = format!(
                    "analyzer {}: block {number} after {before:?}, and it is told that none are missing",
                    called.analyzer
                );
                self.fail("H-17", now, what);
            }
        }
        let seen = &mut self.analyzers[called.analyzer];
        let ready = seen.twin.ready;
        let outcome = seen.twin.call(analyzer, called);
        let failed = |failure| outcome == Outcome::Failed(failure);
        sometimes!(coverage, "an analyzer trapped", failed(Failure::Trap));
        sometimes!(coverage, "an analyzer out of fuel", failed(Failure::Fuel));
        sometimes!(
            coverage,
            "an analyzer answered nonsense",
            failed(Failure::Nonsense)
        );
        sometimes!(coverage, "an analyzer flapped", failed(Failure::Flapping));
        sometimes!(coverage, "no spare was left", failed(Failure::NoSpare));
        sometimes!(
            coverage,
            "a spare took over",
            matches!(outcome, Outcome::Failed(_)) && seen.twin.ready < ready
        );
        sometimes!(coverage, "an analyzer was blind", outcome == Outcome::Blind);
        outcome
    }

    /// What was asked in this tick, and what the lane's tags show of it.
    pub(super) fn judge_analyzers(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        now: u64,
        coverage: &mut Coverage,
    ) {
        self.judge_blocks(scenario, guard, now, coverage);
        for (index, analyzer) in scenario.analyzers.iter().enumerate() {
            let mut calls = guard.calls.iter().filter(|called| called.analyzer == index);
            let called = calls.next();
            if calls.next().is_some() {
                self.fail(
                    "I7",
                    now,
                    format!("analyzer {index} was asked twice in a tick"),
                );
            }
            match called {
                Some(called) => self.asked_of(guard, analyzer, called, now),
                None => self.not_asked(guard, analyzer, index, now),
            }
            if analyzer.background {
                continue;
            }
            if let Some(called) = called {
                let outcome = self.outcome(analyzer, called, now, coverage);
                self.analyzers[index].expected = Some((called.at, Expected::Outcome(outcome)));
                self.samples_pushed += DERIVED.len() as u64;
            }
            self.judge_derived(scenario, guard, analyzer, index, now);
        }
    }

    /// It was given what its inputs show, in its own unit, and told what changed.
    fn asked_of(&mut self, guard: &Guard, analyzer: &Analyzer, called: &Called, now: u64) {
        let seen = &mut self.analyzers[called.analyzer];
        let held = seen.expected.map_or(0, |(at, _)| at);
        if called.at > now || called.at < held {
            let what = format!(
                "analyzer {} was told a time that cannot be",
                called.analyzer
            );
            return self.fail("I4", now, what);
        }
        seen.asked = now;
        for (position, tag) in analyzer.inputs.iter().enumerate() {
            let Some(view) = guard.lane.tag(TagId(*tag as u16)) else {
                continue;
            };
            let (usable, shows) = (view.quality.is_usable(), (view.at.as_ns(), view.quality));
            let before =
                std::mem::replace(&mut self.analyzers[called.analyzer].shown[position], shows);
            let given = called.inputs[position];
            let value = if usable {
                view.value * analyzer.scale
            } else {
                0.0
            };
            if usable != given.quality.is_usable() {
                let what = format!(
                    "analyzer {} was told that tag {tag} is {:?}, and it is {:?}",
                    called.analyzer, given.quality, view.quality
                );
                return self.fail("I6", now, what);
            }
            if given.value.to_bits() != value.to_bits() || given.changed != (before != shows) {
                let what = format!(
                    "analyzer {} was told {given:?} of tag {tag}, which shows {view:?}",
                    called.analyzer
                );
                return self.fail("I5", now, what);
            }
        }
    }

    /// It is asked when there is something to look at.
    fn not_asked(&mut self, guard: &Guard, analyzer: &Analyzer, index: usize, now: u64) {
        if let Some(wave) = analyzer.wave {
            let newest = guard.taken.iter().rev().find(|news| match news {
                Taken::Block(own, ..) | Taken::Bad(own, ..) => *own == wave,
            });
            match newest {
                Some(Taken::Block(..)) if analyzer.every.is_none() => {
                    self.fail(
                        "I7",
                        now,
                        format!("analyzer {index} was not asked about its block"),
                    );
                }
                Some(Taken::Bad(_, at, cause)) if !analyzer.background => {
                    let seen = &mut self.analyzers[index];
                    let at = seen.expected.map_or(*at, |(before, _)| before.max(*at));
                    seen.expected = Some((at, Expected::Nothing(*cause)));
                    self.samples_pushed += DERIVED.len() as u64;
                }
                _ => {}
            }
            return;
        }
        if let Some(every) = analyzer.every {
            let since = self.analyzers[index].asked.max(self.held_until);
            if now > since + every + 2 * TURN_MAX {
                let late = (now - since) / MS;
                self.fail(
                    "I7",
                    now,
                    format!("analyzer {index} has not been asked for {late} ms"),
                );
            }
            return;
        }
        for (position, tag) in analyzer.inputs.iter().enumerate() {
            let view = guard.lane.tag(TagId(*tag as u16));
            let shows = view.map(|view| (view.at.as_ns(), view.quality));
            let first = guard
                .lane
                .tag(TagId(*tag as u16))
                .is_some_and(|view| view.cause == Cause::NeverReceived);
            if !first && shows.is_some_and(|shows| shows != self.analyzers[index].shown[position]) {
                let what = format!("analyzer {index} was not asked, and tag {tag} shows {view:?}");
                return self.fail("I6", now, what);
            }
        }
    }

    fn judge_derived(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        analyzer: &Analyzer,
        index: usize,
        now: u64,
    ) {
        for what in DERIVED {
            let tag = analyzer.tag(what);
            let Some(view) = guard.lane.tag(TagId(tag as u16)) else {
                continue;
            };
            let usable = view.quality.is_usable();
            let Some((at, expected)) = self.analyzers[index].expected else {
                if usable {
                    self.fail("I6", now, format!("tag {tag} is derived from nothing"));
                }
                continue;
            };
            if now > at + scenario.tags[tag].stale_after {
                if usable {
                    self.fail(
                        "I4",
                        now,
                        format!("{what:?} of analyzer {index} is usable {} us after its time: {expected:?}, held up until {}, called {}", (now - at - scenario.tags[tag].stale_after) / 1_000, self.held_until, guard.calls.iter().any(|called| called.analyzer == index)),
                    );
                }
                continue;
            }
            if !shows(analyzer, what, expected, at, View::from(view)) {
                let row = match expected {
                    Expected::Outcome(outcome) => row(outcome),
                    Expected::Nothing(_) => "H-21",
                };
                self.fail(row, now, format!("{what:?} of analyzer {index} shows {view:?}; it must show {expected:?} of {at}"));
            }
        }
    }
}

/// What a tag or a sample shows.
#[derive(Clone, Copy, Debug)]
struct View {
    value: f64,
    quality: Quality,
    cause: Cause,
    at: u64,
}

impl From<TagView> for View {
    fn from(view: TagView) -> Self {
        Self {
            value: view.value,
            quality: view.quality,
            cause: view.cause,
            at: view.at.as_ns(),
        }
    }
}

/// Whether a tag shows what it must, to the bit.
fn shows(analyzer: &Analyzer, what: Derived, expected: Expected, at: u64, view: View) -> bool {
    let good = |value: f64| Ok(value);
    let number = |level: u8| Ok(f64::from(level));
    let must = match (expected, what) {
        (Expected::Nothing(cause), _) => Err(cause),
        (Expected::Outcome(Outcome::Said(peak, ..)), Derived::Peak) => good(peak),
        (Expected::Outcome(Outcome::Said(_, mean, ..)), Derived::Mean) => good(mean),
        (Expected::Outcome(Outcome::Said(_, _, level, _)), Derived::Verdict) => number(level),
        (Expected::Outcome(Outcome::Said(_, _, _, cause)), Derived::Cause) => number(cause),
        (Expected::Outcome(Outcome::Blind), Derived::Peak | Derived::Mean) => {
            Err(Cause::AnalyzerSays)
        }
        (Expected::Outcome(Outcome::Blind), _) => number(2),
        (Expected::Outcome(Outcome::Failed(_)), Derived::Verdict) => {
            number(analyzer.failure_level())
        }
        (Expected::Outcome(Outcome::Failed(_)), _) => Err(Cause::AnalyzerFailed),
    };
    view.at == at
        && match must {
            Ok(value) => view.quality == Quality::Good && view.value.to_bits() == value.to_bits(),
            Err(cause) => !view.quality.is_usable() && view.cause == cause,
        }
}

/// The row of what was broken.
fn row(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Said(..) => "I7",
        Outcome::Blind => "I6",
        Outcome::Failed(Failure::Fuel) => "H-35",
        Outcome::Failed(Failure::Nonsense | Failure::Flapping) => "H-39",
        Outcome::Failed(Failure::Trap | Failure::NoSpare) => "H-38",
    }
}
