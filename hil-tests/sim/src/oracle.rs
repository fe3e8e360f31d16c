//! The judge: knows the plant's truth, sees every byte and every verdict, and shares no decision with what it judges.

use std::collections::VecDeque;

use appliance_lane::{EventKind, Latch, LatchCause, RuleCause, RuleState};
use appliance_output::Permit;
use drivers_frame::{Cause, TagId};

use crate::coverage::Coverage;
use crate::guard::{Act, Guard, Pushed};
use crate::reading::{self, Readings};
use crate::scenario::{Cond, Kind, MS, Origin, RANGE_MAX, Scenario, TURN_MAX, Voting, WAY_MAX};
use crate::sometimes;

/// A reset is held at least and at most this long (the product's limits, in nanoseconds).
const HOLD_MIN: u64 = rt_config::limits::RESET_HOLD_MIN_MS * MS;
const HOLD_MAX: u64 = rt_config::limits::RESET_HOLD_MAX_MS * MS;

/// What was broken, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant (`I1` to `I9`) or hazard row.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
    /// Nanoseconds since the run began.
    pub at: u64,
}

/// A sample may have arrived so long before the tick that takes it: a turn, and what waited in a queue meanwhile.
const LATE_SEEN: u64 = 60 * MS;

/// A truth value that may be unknown; the judge's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    No,
    Yes,
    Unknown,
}

#[derive(Clone, Debug, Default)]
struct TagSeen {
    /// The newest sample that a driver handed over: arrival, value, usable.
    last: Option<(u64, f64, bool)>,
    /// The latest loss of a frame of its device.
    lost_at: Option<u64>,
    /// When the lane last had no usable value of it.
    unusable_at: u64,
    /// It was usable once since the start.
    was_good: bool,
    /// The newest tick at which it was bad or stale by itself, and had been good before.
    fell_at: Option<u64>,
}

#[derive(Clone, Debug)]
struct RuleSeen {
    /// Since when the condition has been true in the plant.
    true_since: Option<u64>,
    /// The tick that last saw it not true, as far as the lane can know.
    not_true_at: u64,
    /// The tick that first saw it true since.
    seen_true_at: Option<u64>,
    /// The tick that first saw it false since it was last anything else.
    seen_false_at: Option<u64>,
    state: RuleState,
}

#[derive(Clone, Debug, Default)]
struct OutputSeen {
    conn: Option<usize>,
    /// Sent and not echoed: frame and time.
    outstanding: VecDeque<(Vec<u8>, u64)>,
    inbox: Vec<u8>,
    last_sent_run: bool,
    last_sent_at: u64,
    /// A stop was echoed since the output was last withheld, over the connection that is open.
    proved: bool,
    granted: bool,
    withheld_at: u64,
    /// A permit was answered by an exception.
    refused_run: bool,
    connected_at: u64,
}

/// The judge of one run.
pub struct Oracle {
    /// The first thing that was broken.
    pub violation: Option<Violation>,
    /// Each tag's readings.
    pub readings: Vec<Readings>,
    /// Each tag's level in the plant.
    pub levels: Vec<f64>,
    tags: Vec<TagSeen>,
    rules: Vec<RuleSeen>,
    outputs: Vec<OutputSeen>,
    /// When each device was last asked.
    asked_at: Vec<u64>,
    /// A reset was answered with yes since the guard started.
    released: bool,
    /// When the lane's thread was last held up, and until when.
    held_from: u64,
    held_until: u64,
    /// Nonce and time of the press that was accepted last.
    pressed: Option<(u64, u64)>,
    told_rules: Vec<RuleState>,
    told_latched: Vec<bool>,
    first_out: Vec<LatchCause>,
    samples_pushed: u64,
    votings: Vec<Voting>,
    /// The bypass in force in each voting: its channel, and when it ends.
    bypassed: Vec<Option<(usize, u64)>>,
}

impl Oracle {
    /// A judge who has seen nothing.
    pub fn new(scenario: &Scenario, levels: Vec<f64>) -> Self {
        Self {
            violation: None,
            readings: vec![Readings::default(); scenario.tags.len()],
            levels,
            tags: vec![TagSeen::default(); scenario.tags.len()],
            rules: vec![
                RuleSeen {
                    true_since: None,
                    not_true_at: 0,
                    seen_true_at: None,
                    seen_false_at: None,
                    state: RuleState::Waiting,
                };
                scenario.rules.len()
            ],
            outputs: vec![OutputSeen::default(); scenario.outputs.len()],
            asked_at: vec![0; scenario.hosts.len()],
            released: false,
            held_from: 0,
            held_until: 0,
            pressed: None,
            told_rules: vec![RuleState::Waiting; scenario.rules.len()],
            told_latched: vec![true; scenario.outputs.len()],
            first_out: vec![LatchCause::Boot; scenario.outputs.len()],
            samples_pushed: 0,
            votings: scenario.votings.clone(),
            bypassed: vec![None; scenario.votings.len()],
        }
    }

    /// Records what was broken, if nothing was before.
    pub fn fail(&mut self, invariant: &'static str, at: u64, what: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation {
                invariant,
                what,
                at,
            });
        }
    }

    /// The guard was started (again): what it knew is gone.
    pub fn restarted(&mut self, now: u64) {
        self.released = false;
        self.samples_pushed = 0;
        self.pressed = None;
        self.told_rules.fill(RuleState::Waiting);
        self.told_latched.fill(true);
        self.first_out.fill(LatchCause::Boot);
        self.bypassed.fill(None);
        for tag in &mut self.tags {
            *tag = TagSeen {
                unusable_at: now,
                ..TagSeen::default()
            };
        }
        for rule in &mut self.rules {
            rule.not_true_at = now;
            rule.seen_true_at = None;
            rule.seen_false_at = None;
            rule.state = RuleState::Waiting;
        }
        for output in &mut self.outputs {
            *output = OutputSeen::default();
        }
    }

    /// The plant's levels changed. Returns the rules that came to be true.
    pub fn levels_changed(&mut self, scenario: &Scenario, now: u64) -> Vec<usize> {
        let mut began = Vec::new();
        for (index, rule) in scenario.rules.iter().enumerate() {
            let truth = self.in_plant(&rule.cond);
            let seen = &mut self.rules[index];
            match (truth, seen.true_since) {
                (true, None) => {
                    seen.true_since = Some(now);
                    began.push(index);
                }
                (false, Some(_)) => seen.true_since = None,
                _ => {}
            }
        }
        began
    }

    fn in_plant(&self, cond: &Cond) -> bool {
        match cond {
            Cond::Above { tag, limit, .. } | Cond::AverageAbove { tag, limit, .. } => {
                self.levels[*tag] > *limit
            }
            Cond::Both(a, b) => self.in_plant(a) && self.in_plant(b),
            Cond::Either(a, b) => self.in_plant(a) || self.in_plant(b),
            Cond::Vote { voting, channels } => {
                let true_ones = channels
                    .iter()
                    .filter(|(tag, limit)| self.levels[*tag] > *limit)
                    .count();
                let voting = &self.votings[*voting];
                // What must trip whichever channel is bad or bypassed. One that is left out may be one of the true ones;
                // a bypassed one too, and then another must be true where one would do.
                let surely = if voting.exclude {
                    channels.len()
                } else if voting.bypass.is_some() {
                    usize::from(voting.need).max(2)
                } else {
                    usize::from(voting.need)
                };
                true_ones >= surely
            }
        }
    }

    /// Since when a rule has been true in the plant, not counting the time in which the guard was held up.
    pub fn true_since(&self, rule: usize) -> Option<u64> {
        self.rules[rule]
            .true_since
            .map(|since| since.max(self.held_until))
    }

    /// The lane's thread does not run for a while.
    pub fn held_up(&mut self, from: u64, until: u64) {
        self.held_from = from;
        self.held_until = until;
    }

    /// A device was asked.
    pub fn asked(&mut self, host: usize, now: u64) {
        self.asked_at[host] = now;
    }

    /// A driver handed a frame over: every usable sample must be a reading of its own tag, made after it was asked for.
    pub fn pushed(
        &mut self,
        scenario: &Scenario,
        frame: &Pushed,
        now: u64,
        coverage: &mut Coverage,
    ) {
        sometimes!(coverage, "frame lost in a full queue", frame.lost);
        if !frame.lost {
            self.samples_pushed += frame.samples.len() as u64;
        }
        for sample in &frame.samples {
            let tag = usize::from(sample.tag.0);
            let Some(known) = scenario.tags.get(tag) else {
                return self.fail(
                    "I5",
                    now,
                    format!("a sample of tag {tag}, which nobody has"),
                );
            };
            let names_itself = known.kind == Kind::Level;
            if known.device() != frame.device {
                self.fail(
                    "I5",
                    now,
                    format!("tag {tag} in a frame of device {}", frame.device),
                );
            }
            let usable = sample.quality.is_usable();
            sometimes!(coverage, "bad sample", !usable);
            let at = sample.at.as_ns();
            if usable && names_itself {
                self.judge_reading(scenario, tag, sample.value, at, now);
            }
            let seen = &mut self.tags[tag];
            if frame.lost {
                seen.lost_at = Some(now);
            } else {
                seen.last = Some((at, sample.value, usable));
            }
        }
    }

    fn judge_reading(&mut self, scenario: &Scenario, tag: usize, value: f64, at: u64, now: u64) {
        if !(0.0..=RANGE_MAX).contains(&value) {
            return self.fail(
                "I6",
                now,
                format!("tag {tag}: {value:e} counts as good, and is out of range"),
            );
        }
        let Some((owner, number, _)) = reading::decode(value) else {
            return self.fail(
                "I5",
                now,
                format!("tag {tag}: {value:e} was never read from anywhere"),
            );
        };
        if owner != tag {
            return self.fail(
                "I5",
                now,
                format!("tag {tag} was given a reading of tag {owner}"),
            );
        }
        let Some(read_at) = self.readings[tag].at(number) else {
            return self.fail(
                "I5",
                now,
                format!("tag {tag}: reading {number} was never made"),
            );
        };
        let earliest = match scenario.tags[tag].origin {
            Origin::Modbus { device, .. } => self.asked_at[device],
            // What waited in the kernel while the lane was held up arrives when it is taken (H-24 asks for an envelope).
            Origin::Mqtt { .. } if !scenario.threaded && at < self.held_until + 100 * MS => {
                self.held_from.saturating_sub(scenario.tags[tag].way_max)
            }
            Origin::Mqtt { .. } => at.saturating_sub(scenario.tags[tag].way_max),
        };
        if read_at < earliest {
            let age = (earliest - read_at) / 1_000;
            self.fail(
                "I4",
                now,
                format!(
                    "tag {tag}: a reading from {age} us before it was asked for is taken as fresh"
                ),
            );
        }
    }

    /// The vote, in the words of the documentation.
    fn vote(&self, voting: usize, says: &[Truth], now: u64) -> Truth {
        let plan = &self.votings[voting];
        let out =
            self.bypassed[voting].and_then(|(channel, until)| (now < until).then_some(channel));
        let left: Vec<Truth> = says
            .iter()
            .enumerate()
            .filter(|(channel, _)| Some(*channel) != out)
            .map(|(_, truth)| *truth)
            .collect();
        let count = |wanted| left.iter().filter(|truth| **truth == wanted).count();
        let (trips, bads) = (count(Truth::Yes), count(Truth::Unknown));
        let mut need = usize::from(plan.need);
        if out.is_some() && need > 1 {
            need -= 1;
        }
        if plan.exclude {
            let good = left.len() - bads;
            return match trips >= need.min(good) {
                _ if good == 0 => Truth::Unknown,
                true => Truth::Yes,
                false => Truth::No,
            };
        }
        if trips >= need {
            Truth::Yes
        } else if trips + bads >= need {
            Truth::Unknown
        } else {
            Truth::No
        }
    }

    fn as_the_lane_sees(&self, cond: &Cond, guard: &Guard, hold: bool, now: u64) -> Option<Truth> {
        Some(match cond {
            Cond::Vote { voting, channels } => {
                let says: Option<Vec<Truth>> = channels
                    .iter()
                    .map(|(tag, limit)| {
                        let view = guard.lane.tag(TagId(*tag as u16))?;
                        Some(match view.quality.is_usable() {
                            false => Truth::Unknown,
                            true if view.value > *limit => Truth::Yes,
                            true => Truth::No,
                        })
                    })
                    .collect();
                self.vote(*voting, &says?, now)
            }
            Cond::Above { tag, limit, band } => {
                let view = guard.lane.tag(TagId(*tag as u16))?;
                let limit = if hold { limit - band } else { *limit };
                match view.quality.is_usable() {
                    false => Truth::Unknown,
                    true if view.value > limit => Truth::Yes,
                    true => Truth::No,
                }
            }
            // What a window holds is the lane's affair; the plant's truth judges it.
            Cond::AverageAbove { .. } => return None,
            Cond::Both(a, b) => {
                let (a, b) = (
                    self.as_the_lane_sees(a, guard, hold, now)?,
                    self.as_the_lane_sees(b, guard, hold, now)?,
                );
                match (a, b) {
                    (Truth::No, _) | (_, Truth::No) => Truth::No,
                    (Truth::Yes, Truth::Yes) => Truth::Yes,
                    _ => Truth::Unknown,
                }
            }
            Cond::Either(a, b) => {
                let (a, b) = (
                    self.as_the_lane_sees(a, guard, hold, now)?,
                    self.as_the_lane_sees(b, guard, hold, now)?,
                );
                match (a, b) {
                    (Truth::Yes, _) | (_, Truth::Yes) => Truth::Yes,
                    (Truth::No, Truth::No) => Truth::No,
                    _ => Truth::Unknown,
                }
            }
        })
    }

    /// What the guard did in a part of a turn.
    pub fn acted(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        act: &Act,
        now: u64,
        coverage: &mut Coverage,
    ) {
        match act {
            Act::Pressed { accepted, nonce } => {
                sometimes!(coverage, "reset pressed", *accepted);
                sometimes!(coverage, "reset refused at the press", !*accepted);
                if *accepted {
                    self.pressed = Some((*nonce, now));
                }
            }
            Act::Reset {
                released: false, ..
            } => sometimes!(coverage, "reset refused", true),
            Act::Reset {
                released: true,
                nonce,
            } => {
                sometimes!(coverage, "reset accepted", true);
                let right = |(pressed, at): (u64, u64)| {
                    pressed == *nonce && (HOLD_MIN..=HOLD_MAX).contains(&(now - at))
                };
                if !self.pressed.take().is_some_and(right) {
                    self.fail(
                        "I3",
                        now,
                        "a reset released without its own press, held for its time".into(),
                    );
                }
                self.released(scenario, guard, now);
            }
            Act::Tripped => {}
            Act::Bypassed {
                voting,
                channel,
                lasting,
                accepted,
            } => self.bypassed(
                scenario,
                (*voting, *channel),
                *lasting,
                *accepted,
                now,
                coverage,
            ),
            Act::Ticked => self.ticked(scenario, guard, now, coverage),
        }
    }

    /// A bypass was asked for, and answered.
    fn bypassed(
        &mut self,
        scenario: &Scenario,
        (voting, channel): (usize, usize),
        lasting: u64,
        accepted: bool,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let taken = self.bypassed[voting].is_some_and(|(_, until)| now < until);
        let allowed = scenario.votings[voting]
            .bypass
            .is_some_and(|most| lasting <= most);
        sometimes!(coverage, "bypass begun", accepted);
        sometimes!(
            coverage,
            "second bypass of a voting refused",
            !accepted && taken
        );
        if accepted && (taken || !allowed) {
            let what = format!(
                "a bypass of voting {voting} was granted, {}",
                if taken {
                    "and one is in force"
                } else {
                    "and the pack allows none of it"
                }
            );
            self.fail("H-56", now, what);
        }
        if accepted {
            self.bypassed[voting] = Some((channel, now + lasting));
        }
    }

    fn released(&mut self, scenario: &Scenario, guard: &Guard, now: u64) {
        for (index, rule) in scenario.rules.iter().enumerate() {
            if rule.stops.is_empty() {
                continue;
            }
            if self
                .true_since(index)
                .is_some_and(|since| now > since + rule.deadline)
            {
                self.fail(
                    "I3",
                    now,
                    format!(
                        "a reset released while rule {index} was true in the plant for its deadline"
                    ),
                );
            }
            if let Some((state, _, _)) = guard.lane.rule(index as u16)
                && state != RuleState::Normal
            {
                self.fail(
                    "I3",
                    now,
                    format!("a reset released while rule {index} was {}", state.as_str()),
                );
            }
        }
        for index in 0..self.outputs.len() {
            if !self.outputs[index].granted && !self.outputs[index].proved {
                self.fail(
                    "I3",
                    now,
                    format!("a reset released output {index}, whose stop was not echoed"),
                );
            }
        }
        self.released = true;
    }

    fn ticked(&mut self, scenario: &Scenario, guard: &Guard, now: u64, coverage: &mut Coverage) {
        self.judge_tags(scenario, guard, now, coverage);
        for index in 0..scenario.rules.len() {
            self.judge_rule(scenario, guard, index, now, coverage);
        }
        for (index, permit) in guard.lane.permits().iter().enumerate() {
            let granted = *permit == Permit::Granted;
            let seen = &mut self.outputs[index];
            if seen.granted && !granted {
                seen.proved = false;
                seen.withheld_at = now;
            }
            let began = granted && !seen.granted;
            seen.granted = granted;
            if began && !self.released {
                self.fail(
                    "I9",
                    now,
                    format!("output {index} was granted without a reset since the start"),
                );
            }
        }
        // Each reset releases once.
        if self.outputs.iter().all(|output| !output.granted) {
            self.released = false;
        }
        if guard.lane.counters().samples != self.samples_pushed {
            let (taken, pushed) = (guard.lane.counters().samples, self.samples_pushed);
            self.fail(
                "I7",
                now,
                format!("{pushed} samples were handed over, {taken} were taken"),
            );
        }
    }

    fn judge_tags(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        now: u64,
        coverage: &mut Coverage,
    ) {
        for (index, tag) in scenario.tags.iter().enumerate() {
            let Some(view) = guard.lane.tag(TagId(index as u16)) else {
                continue;
            };
            let at = view.at.as_ns();
            let seen = &mut self.tags[index];
            if !view.quality.is_usable() {
                // A bad sample leaves the window when it is older than its length; silence and loss begin it anew.
                let silent = matches!(
                    view.cause,
                    Cause::Stale | Cause::QueueOverflow | Cause::NeverReceived
                );
                seen.unusable_at = if silent { now } else { at };
                if seen.was_good && view.cause != Cause::Passivated {
                    seen.fell_at = Some(now);
                }
                sometimes!(
                    coverage,
                    "channel passivated",
                    view.cause == Cause::Passivated
                );
                sometimes!(coverage, "stale tag", view.cause == Cause::Stale);
                continue;
            }
            let (last, lost_at) = (seen.last, seen.lost_at);
            seen.was_good = true;
            let held_until = self.held_until + LATE_SEEN;
            // What arrived before the tick that saw it fall may have waited in the queue.
            let early = seen
                .fell_at
                .take()
                .is_some_and(|fell| fell > held_until && at + LATE_SEEN < fell + tag.quiet);
            if early {
                self.fail(
                    "I6",
                    now,
                    format!("tag {index} counts again before it was good for its quiet time"),
                );
            }
            if now > at + tag.stale_after {
                self.fail(
                    "I4",
                    now,
                    format!(
                        "tag {index} is usable {} us after its time",
                        (now - at - tag.stale_after) / 1_000
                    ),
                );
            }
            match last {
                Some((last_at, value, true)) => {
                    if last_at != at || value.to_bits() != view.value.to_bits() {
                        self.fail(
                            "I7",
                            now,
                            format!("tag {index} is not what was last handed over of it"),
                        );
                    }
                }
                _ => self.fail(
                    "I6",
                    now,
                    format!("tag {index} counts as good, and its last sample was bad"),
                ),
            }
            if lost_at.is_some_and(|lost| at < lost) {
                self.fail(
                    "I6",
                    now,
                    format!("tag {index} is believed, and a newer frame of its device was lost"),
                );
            }
        }
    }

    fn judge_rule(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        index: usize,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let rule = &scenario.rules[index];
        let Some((state, cause, _)) = guard.lane.rule(index as u16) else {
            return;
        };
        sometimes!(
            coverage,
            "rule active by condition",
            state == RuleState::Active && cause == RuleCause::Condition
        );
        sometimes!(
            coverage,
            "rule active by bad input",
            state == RuleState::Active && cause == RuleCause::BadInput
        );
        sometimes!(coverage, "rule pending", state == RuleState::Pending);
        sometimes!(
            coverage,
            "delay not reached",
            self.rules[index].state == RuleState::Pending && state == RuleState::Normal
        );
        if state == RuleState::Active {
            for output in &rule.stops {
                let running_down = guard.lane.latch_of(*output as u16).is_some_and(|latch| {
                    now <= latch.at.as_ns() + scenario.outputs[*output].power_off_after() + TURN_MAX
                });
                let controlled = scenario.outputs[*output].controlled.is_some() && running_down;
                if guard.lane.permits().get(*output) != Some(&Permit::Withheld) && !controlled {
                    self.fail(
                        "I1",
                        now,
                        format!("rule {index} is active, and output {output} is granted"),
                    );
                }
            }
        }
        // A condition that was over once must exceed its limit again, though its rule is still active for the off-delay.
        let hold = state == RuleState::Active
            && cause == RuleCause::Condition
            && self.rules[index].seen_false_at.is_none();
        let truth = self.as_the_lane_sees(&rule.cond, guard, hold, now);
        let votes = matches!(rule.cond, Cond::Vote { .. });
        sometimes!(
            coverage,
            "vote against a stop with a bad channel",
            votes && truth == Some(Truth::No) && self.has_bad_channel(&rule.cond, guard)
        );
        let waiting_allowed = now < guard.started + longest_stale(scenario) + TURN_MAX
            || now < self.held_until + longest_stale(scenario) + TURN_MAX;
        if truth.is_none() {
            self.judge_window(scenario, index, state, now, waiting_allowed);
        }
        let seen = &mut self.rules[index];
        let before = std::mem::replace(&mut seen.state, state);
        let not_true_at = seen.not_true_at;
        let seen_false_at = if truth == Some(Truth::No) {
            Some(*seen.seen_false_at.get_or_insert(now))
        } else {
            seen.seen_false_at = None;
            None
        };
        let seen_true_at = if truth == Some(Truth::Yes) {
            Some(*seen.seen_true_at.get_or_insert(now))
        } else {
            seen.seen_true_at = None;
            seen.not_true_at = now;
            None
        };
        if let (Some(since), RuleState::Active, RuleState::Normal) = (seen_false_at, before, state)
            && now + LATE_SEEN < since + rule.off_delay
            // After a hang the samples that are taken are as old as it was long.
            && since > self.held_until + LATE_SEEN
        {
            self.fail(
                "I7",
                now,
                format!("rule {index} is normal before its off-delay was over"),
            );
        }
        match truth {
            None => {}
            Some(Truth::No) if state == RuleState::Normal => {}
            Some(Truth::No)
                if state == RuleState::Active
                    && now < seen_false_at.unwrap_or(now) + rule.off_delay => {}
            // A vote waits for all its channels, unless enough of them demand a stop.
            Some(Truth::No) if votes && state == RuleState::Waiting && waiting_allowed => {}
            Some(Truth::No) => self.fail(
                "I7",
                now,
                format!(
                    "rule {index} is {}, and its condition is false",
                    state.as_str()
                ),
            ),
            Some(Truth::Unknown) if state == RuleState::Active => {}
            Some(Truth::Unknown) if state == RuleState::Waiting && waiting_allowed => {}
            Some(Truth::Unknown) => self.fail(
                "I6",
                now,
                format!(
                    "rule {index} is {}, and an input that decides is bad",
                    state.as_str()
                ),
            ),
            Some(Truth::Yes) => {
                let since = seen_true_at.unwrap_or(now);
                match state {
                    RuleState::Active => {
                        let early =
                            before != RuleState::Active && now - not_true_at + MS < rule.on_delay;
                        if early {
                            self.fail(
                                "I1",
                                now,
                                format!("rule {index} fired before its delay was over"),
                            );
                        }
                    }
                    RuleState::Pending if now - since < rule.on_delay => {}
                    _ => self.fail(
                        "I1",
                        now,
                        format!(
                            "rule {index} is {} although its condition lasted its delay",
                            state.as_str()
                        ),
                    ),
                }
            }
        }
    }

    fn has_bad_channel(&self, cond: &Cond, guard: &Guard) -> bool {
        cond.tags().iter().any(|tag| {
            guard
                .lane
                .tag(TagId(*tag as u16))
                .is_some_and(|view| !view.quality.is_usable())
        })
    }

    /// A rule over windows alone: it cannot be normal while a window does not span its length since its tag's last gap.
    fn judge_window(
        &mut self,
        scenario: &Scenario,
        index: usize,
        state: RuleState,
        now: u64,
        waiting_allowed: bool,
    ) {
        let Cond::AverageAbove { tag, span, .. } = scenario.rules[index].cond else {
            return;
        };
        let gap_at = self.tags[tag].unusable_at;
        let covered = now >= gap_at + span;
        if !covered && state == RuleState::Normal {
            self.fail(
                "I4",
                now,
                format!(
                    "rule {index} is normal over a window that has a gap {} us ago",
                    (now - gap_at) / 1_000
                ),
            );
        }
        if state == RuleState::Waiting
            && !waiting_allowed
            && now > gap_at + span + longest_stale(scenario)
        {
            self.fail("I1", now, format!("rule {index} still waits"));
        }
    }

    /// A frame was sent to an output.
    pub fn sent(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        index: usize,
        conn: usize,
        frame: &[u8],
        now: u64,
    ) {
        if frame.get(7) != Some(&5) {
            return;
        }
        let run = frame.get(10) == Some(&0xFF);
        let plan = &scenario.outputs[index];
        let seen = &mut self.outputs[index];
        if seen.conn != Some(conn) {
            *seen = OutputSeen {
                conn: Some(conn),
                granted: seen.granted,
                withheld_at: seen.withheld_at,
                connected_at: now,
                ..OutputSeen::default()
            };
        }
        seen.outstanding.push_back((frame.to_vec(), now));
        seen.last_sent_run = run;
        seen.last_sent_at = now;
        if !run {
            return;
        }
        let running_down = |latch: &Latch| {
            plan.controlled.is_some() && now <= latch.at.as_ns() + plan.power_off_after()
        };
        if let Some(latch) = guard
            .lane
            .latch_of(index as u16)
            .filter(|latch| !running_down(latch))
        {
            self.fail(
                "I2",
                now,
                format!(
                    "a permit was sent to output {index}, which is latched: {}",
                    latch.first_out.as_str()
                ),
            );
        }
        if !self.outputs[index].granted {
            self.fail(
                "I2",
                now,
                format!("a permit was sent to output {index}, which is withheld"),
            );
        }
        for (rule_index, rule) in scenario.rules.iter().enumerate() {
            let overdue = self
                .true_since(rule_index)
                .is_some_and(|since| now > since + rule.deadline + plan.power_off_after());
            if overdue && rule.stops.contains(&index) {
                self.fail("I1", now, format!("a permit was sent to output {index} after the deadline of rule {rule_index}"));
            }
        }
    }

    /// Whether an output has been withheld, and since when.
    pub fn withheld(&self, output: usize) -> Option<u64> {
        let seen = &self.outputs[output];
        (!seen.granted).then_some(seen.withheld_at)
    }

    /// Until when the lane's thread was held up last.
    pub fn held_until(&self) -> u64 {
        self.held_until
    }

    /// Whether the connection that an output has now was first written to after `then`.
    pub fn connected_after(&self, output: usize, then: u64) -> bool {
        self.outputs[output].connected_at >= then
    }

    /// The guard took bytes from an output.
    pub fn echoed(&mut self, conn: usize, bytes: &[u8]) {
        let Some(seen) = self.outputs.iter_mut().find(|seen| seen.conn == Some(conn)) else {
            return;
        };
        seen.inbox.extend_from_slice(bytes);
        while seen.inbox.len() >= 9 {
            let length = 6 + usize::from(u16::from_be_bytes([seen.inbox[4], seen.inbox[5]]));
            if seen.inbox.len() < length {
                return;
            }
            let reply: Vec<u8> = seen.inbox.drain(..length).collect();
            // Only a coil's echo proves; looks and the watchdog's registers are the output's affair.
            if reply[7] & 0x7F != 5 {
                continue;
            }
            let Some((frame, _)) = seen.outstanding.front() else {
                continue;
            };
            if reply[7] == 0x85 {
                seen.refused_run |= frame[10] == 0xFF;
                seen.outstanding.pop_front();
                seen.proved = false;
                continue;
            }
            if reply != *frame {
                // A wrong answer proves nothing, and nothing behind it does.
                seen.inbox.clear();
                return;
            }
            let newest = seen.outstanding.len() == 1;
            let run = frame[10] == 0xFF;
            seen.outstanding.pop_front();
            if newest {
                seen.proved = !run && !seen.granted;
            }
        }
    }

    /// The guard has finished a turn and waits.
    pub fn turned(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        now: u64,
        coverage: &mut Coverage,
    ) {
        for (index, output) in scenario.outputs.iter().enumerate() {
            let up = guard.outputs[index].is_up();
            let latched = guard.lane.latch_of(index as u16).is_some();
            let seen = &self.outputs[index];
            sometimes!(coverage, "output connection down", !up);
            sometimes!(coverage, "output runs", seen.granted && up);
            if up && latched && !seen.granted && seen.conn.is_some() && seen.last_sent_run {
                self.fail("I1", now, format!("output {index} is latched, connected, and its stop was not sent in the turn"));
                continue;
            }
            if !up && !latched {
                self.fail(
                    "H-57",
                    now,
                    format!("output {index} lost its connection and is not latched"),
                );
                continue;
            }
            if seen.refused_run && !latched {
                self.fail(
                    "H-57",
                    now,
                    format!("output {index}: a permit was refused, and it is not latched"),
                );
                continue;
            }
            self.outputs[index].refused_run = false;
            let seen = &self.outputs[index];
            let held = now < self.held_until + output.confirm_within + 4 * TURN_MAX;
            let overdue = seen
                .outstanding
                .front()
                .is_some_and(|(_, sent)| now > sent + output.confirm_within + TURN_MAX);
            if up && overdue && !held && !latched {
                self.fail(
                    "H-57",
                    now,
                    format!("output {index}: an echo is missing, and it is not latched"),
                );
                continue;
            }
            let silent =
                now > seen.last_sent_at + output.refresh + output.confirm_within + 2 * TURN_MAX;
            if up && seen.conn.is_some() && silent && !held {
                self.fail(
                    "H-60",
                    now,
                    format!("output {index} is not written although its refresh is due"),
                );
            }
        }
        self.judge_events(guard, now);
    }

    fn judge_events(&mut self, guard: &Guard, now: u64) {
        if guard.lane.counters().events_lost > 0 {
            self.fail("I8", now, "an event was lost".into());
        }
    }

    /// The events of a tick, in their order: each begins where the last one of its channel ended.
    pub fn events(&mut self, guard: &Guard, from: usize, now: u64) {
        for event in &guard.events[from..] {
            match event.kind {
                EventKind::Rule { rule, from, to, .. } => {
                    let told = &mut self.told_rules[usize::from(rule)];
                    let before = std::mem::replace(told, to);
                    if before != from {
                        self.fail(
                            "I8",
                            now,
                            format!(
                                "rule {rule} is told to leave {}, and was told to be {}",
                                from.as_str(),
                                before.as_str()
                            ),
                        );
                    }
                }
                EventKind::Latched { output, cause } => {
                    self.told_output(output, true, now);
                    self.first_out[usize::from(output)] = cause;
                }
                EventKind::Released { output } => self.told_output(output, false, now),
                _ => {}
            }
        }
        for (index, told) in (0_u16..).zip(self.first_out.clone()) {
            let is = guard.lane.latch_of(index).map(|latch| latch.first_out);
            if self.told_latched[usize::from(index)] && is.is_some_and(|is| is != told) {
                self.fail(
                    "I8",
                    now,
                    format!("output {index} was told to be latched for another cause"),
                );
            }
        }
        for (index, told) in (0_u16..).zip(self.told_rules.clone()) {
            let is = guard.lane.rule(index).map(|(state, _, _)| state);
            if is.is_some_and(|is| is != told) {
                self.fail(
                    "I8",
                    now,
                    format!("rule {index} was told to be {}, and is not", told.as_str()),
                );
            }
        }
    }

    fn told_output(&mut self, output: u16, latched: bool, now: u64) {
        let told = &mut self.told_latched[usize::from(output)];
        if std::mem::replace(told, latched) == latched {
            self.fail(
                "I8",
                now,
                format!("output {output} is told twice to be latched or released"),
            );
        }
    }
}

/// Longest freshness of any tag, with the longest window.
fn longest_stale(scenario: &Scenario) -> u64 {
    let stale = scenario.tags.iter().map(|tag| tag.stale_after).max();
    let span = scenario.rules.iter().map(|rule| rule.cond.span()).max();
    stale.unwrap_or(0) + span.unwrap_or(0) * 2
}

/// How long after a rule's deadline its outputs must be without energy, whatever failed on the way.
pub fn lapse(scenario: &Scenario, output: usize) -> u64 {
    let output = &scenario.outputs[output];
    output.power_off_after() + output.watchdog + output.refresh + 2 * WAY_MAX + TURN_MAX
}

/// For people.
pub fn in_ms(ns: u64) -> f64 {
    ns as f64 / MS as f64
}
