//! The judge: knows the plant's truth, sees every byte and every verdict, and shares no decision with what it judges.
//!
//! What it remembers is in here; what it judges is in `truth` (what a condition says), `inputs` (I4, I5, I6), `rules`
//! (I1, I6, I7), `acts` (I3, I9, H-56), `outputs` (I1, I2, H-57, H-60), `stops` (H-57 to H-59), `votings` (H-3, H-51) and `events`
//! (I8).

mod acts;
mod analyzers;
mod events;
mod inputs;
mod letters;
mod outputs;
mod rules;
mod stops;
mod switches;
mod truth;
mod twin;
mod votings;
mod waves;

use std::collections::VecDeque;

use appliance_lane::{LatchCause, RuleState};

use analyzers::AnalyzerSeen;
use letters::TopicSeen;
pub use letters::{Letter, Written};
pub use stops::Machines;
use switches::SwitchSeen;
use votings::ChannelSeen;
use waves::WaveSeen;

use crate::reading::Readings;
use crate::scenario::{Analyzer, MS, Scenario, TURN_MAX, Voting, WAY_MAX};

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
    /// The lane's newest usable value of it at the tick before, and when that arrived.
    believed: Option<(f64, u64)>,
    /// Samples handed over since the last tick.
    fresh: u32,
    /// Arrivals of usable ones handed over after the one that is believed.
    newer: Vec<u64>,
    /// Arrival of the first reading of a sensor that stands still, since it last moved or was unusable.
    stuck_since: Option<u64>,
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
    /// Since when its startup inhibit is on.
    inhibited_since: Option<u64>,
    /// Debounced: what its samples said while it was pending, oldest first, and since when it is.
    said: Vec<bool>,
    pending_since: Option<u64>,
    /// One of its tags was not usable meanwhile: its loss was counted as if it were a sample.
    disturbed: bool,
    /// Arrivals and values of its tags' newest samples.
    newest: Vec<(u64, u64)>,
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
    /// It ran when it was last withheld, and its stop was not echoed since.
    unechoed: bool,
    /// The newest look at the device's watchdog over this connection found it armed.
    looked_armed: bool,
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
    /// Each tag's topic, where it has an envelope.
    topics: Vec<TopicSeen>,
    rules: Vec<RuleSeen>,
    outputs: Vec<OutputSeen>,
    /// When each device was last asked.
    asked_at: Vec<u64>,
    /// Until when something is wrong with each host.
    troubled: Vec<u64>,
    /// A reset was answered with yes since the guard started.
    released: bool,
    /// When the lane's thread was last held up, and until when.
    held_from: u64,
    held_until: u64,
    /// Nonce and time of the press that was accepted last.
    pressed: Option<(u64, u64)>,
    /// Each tag's switch, where it is one.
    switches: Vec<SwitchSeen>,
    /// When channels were last acknowledged.
    acknowledged_at: u64,
    told_rules: Vec<RuleState>,
    told_latched: Vec<bool>,
    first_out: Vec<LatchCause>,
    samples_pushed: u64,
    votings: Vec<Voting>,
    /// Their channels beside one another.
    channels: Vec<Vec<ChannelSeen>>,
    /// The bypass in force in each voting: its channel, and when it ends.
    bypassed: Vec<Option<(usize, u64)>>,
    analyzers: Vec<AnalyzerSeen>,
    /// What the analyzers are, for a start anew.
    drawn: Vec<Analyzer>,
    waves: Vec<WaveSeen>,
}

impl Oracle {
    /// A judge who has seen nothing.
    pub fn new(scenario: &Scenario, levels: Vec<f64>) -> Self {
        Self {
            violation: None,
            readings: vec![Readings::default(); scenario.tags.len()],
            levels,
            tags: vec![TagSeen::default(); scenario.tags.len()],
            topics: vec![TopicSeen::default(); scenario.tags.len()],
            rules: vec![
                RuleSeen {
                    true_since: None,
                    not_true_at: 0,
                    seen_true_at: None,
                    seen_false_at: None,
                    state: RuleState::Waiting,
                    inhibited_since: None,
                    said: Vec::new(),
                    pending_since: None,
                    disturbed: false,
                    newest: Vec::new(),
                };
                scenario.rules.len()
            ],
            outputs: vec![OutputSeen::default(); scenario.outputs.len()],
            asked_at: vec![0; scenario.hosts.len()],
            troubled: vec![0; scenario.hosts.len()],
            released: false,
            held_from: 0,
            held_until: 0,
            pressed: None,
            switches: vec![SwitchSeen::default(); scenario.tags.len()],
            acknowledged_at: 0,
            told_rules: vec![RuleState::Waiting; scenario.rules.len()],
            told_latched: vec![true; scenario.outputs.len()],
            first_out: vec![LatchCause::Boot; scenario.outputs.len()],
            samples_pushed: 0,
            votings: scenario.votings.clone(),
            channels: no_channels(&scenario.votings),
            bypassed: vec![None; scenario.votings.len()],
            analyzers: seen_anew(&scenario.analyzers, 0),
            drawn: scenario.analyzers.clone(),
            waves: vec![WaveSeen::default(); scenario.waves.len()],
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
        self.switches.iter_mut().for_each(SwitchSeen::unseen);
        self.bypassed.fill(None);
        self.topics.iter_mut().for_each(TopicSeen::restarted);
        self.channels = no_channels(&self.votings);
        self.analyzers = seen_anew(&self.drawn, now);
        self.waves.iter_mut().for_each(WaveSeen::restarted);
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
            rule.inhibited_since = None;
            rule.said.clear();
            rule.pending_since = None;
        }
        for output in &mut self.outputs {
            *output = OutputSeen::default();
        }
    }

    /// The lane's thread does not run for a while.
    pub fn held_up(&mut self, from: u64, until: u64) {
        self.held_from = from;
        self.held_until = until;
    }

    /// Until when the lane's thread was held up last.
    pub fn held_until(&self) -> u64 {
        self.held_until
    }
}

fn seen_anew(analyzers: &[Analyzer], now: u64) -> Vec<AnalyzerSeen> {
    let anew = |analyzer| AnalyzerSeen::new(analyzer, now);
    analyzers.iter().map(anew).collect()
}

fn no_channels(votings: &[Voting]) -> Vec<Vec<ChannelSeen>> {
    let channels = |voting: &Voting| vec![ChannelSeen::default(); voting.tags.len()];
    votings.iter().map(channels).collect()
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
