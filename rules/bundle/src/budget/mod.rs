//! The worst case of a danger rule, summed from its plan before the machine runs.
//!
//! Two paths lead to a stop. On the **condition path** the cause is measured: the sum from the cause to the proven stop is
//! what `deadline` promises. On the **loss path** nothing arrives any more: freshness takes the place of acquisition, and
//! since an unusable input trips without the rule's delays, they do not count there.
//!
//! Pure: no clock, no measurement. The host's speed is the plan's assumption ([`crate::HostAssumption`]), which the guard
//! measures at start. Analyzers in the tick are in its full load; what they derive arrives when what they look at has, a
//! whole block after the cause ([`analyzers`]). What is *not* in the sums, because the plan does not know it: the time a window needs to fill, the
//! sensor's own delay, a deviation that must last before a channel is bad, and what an escalation adds when an output
//! fails.
//!
//! Which thread: the pack compiler's, and the guard's main thread at start; never a lane (it allocates). May it block: no.
//! Hazards: H-29 (a bound to hold measurements against), I1.

mod analyzers;
mod arrival;
mod term;

use arrival::{Arrival, arrivals};
use drivers_frame::{DurNs, TagId};
use rules_expr::ir::{Op, Program};

pub use arrival::read_blocks;
pub use term::{Path, Term, TermKind};

use crate::plan::{LanePlan, OnBad, OutputPlan, RulePlan, StopCategory};

/// How often each rule's fuel is counted in a tick at full load. Once for the WebAssembly, once for the native evaluator:
/// that one does one operation where the module does up to seventeen instructions, so counting it as much is too much
/// rather than too little.
const EVALUATIONS: u64 = 2;
/// Ticks at full load that a sample may wait: the one that runs when it arrives, and its own.
const TICKS: u64 = 2;

/// The worst case of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorstCase {
    /// From the cause to the proven stop; what `deadline` promises.
    pub condition: Path,
    /// From the cause to the proven stop when the rule's slowest input falls silent at that moment.
    pub loss: Path,
}

impl WorstCase {
    /// The longer of both sums: what half of the process safety time is held against.
    pub fn longest(&self) -> DurNs {
        self.condition.total().max(self.loss.total())
    }
}

/// The worst case of the rule at index `rule`; empty when there is none. For many rules of one lane, [`Budget`] sums what
/// they share once.
pub fn worst_case(lane: &LanePlan, rule: usize) -> WorstCase {
    Budget::new(lane).worst_case(rule)
}

/// A lane's times, computed once for all of its rules.
#[derive(Debug)]
pub struct Budget<'p> {
    lane: &'p LanePlan,
    arrivals: Vec<Arrival>,
    tick: DurNs,
    /// What goes around the calls of analyzers in the tick.
    copies: DurNs,
    /// The slowest output of each trip group.
    stops: Vec<Path>,
}

impl<'p> Budget<'p> {
    /// Sums what all rules of the lane share.
    pub fn new(lane: &'p LanePlan) -> Self {
        let fuel = lane
            .rules
            .iter()
            .fold(0_u64, |sum, rule| sum.saturating_add(rule.fuel()));
        let ps = fuel
            .saturating_mul(EVALUATIONS)
            .saturating_mul(u64::from(lane.assumed.fuel_ps));
        let rules = DurNs::from_ns(ps.div_ceil(1_000));
        Self {
            lane,
            arrivals: arrivals(lane),
            tick: rules.plus(analyzers::in_tick(lane)),
            copies: analyzers::copies(lane),
            stops: stops_of_groups(lane),
        }
    }

    /// The lane's evaluation of every rule, and a call of every analyzer that runs in the tick, once.
    pub fn tick(&self) -> DurNs {
        self.tick
    }

    /// As the function of this name.
    pub fn worst_case(&self, rule: usize) -> WorstCase {
        let Some(rule) = self.lane.rules.get(rule) else {
            return WorstCase::default();
        };
        let tags = self.inputs(rule);
        let slowest = |time: fn(&Arrival) -> DurNs| {
            let known = tags.iter().filter_map(|tag| self.arrival(*tag));
            // The first of equals, so that the table does not change without a reason.
            known
                .rev()
                .max_by_key(|(_, arrival)| time(arrival).as_ns())
                .unwrap_or(("", Arrival::default()))
        };
        let mut worst = WorstCase::default();
        let path = &mut worst.condition;
        let (name, arrival) = slowest(Arrival::by_condition);
        if arrival.acquisition.plus(arrival.tolerated) <= arrival.silence() {
            path.add(TermKind::Acquisition, name, arrival.acquisition);
            path.add(TermKind::Tolerated, name, arrival.tolerated);
        } else {
            path.add(TermKind::Transport, name, arrival.transport);
            path.add(TermKind::Freshness, name, arrival.stale_after);
        }
        path.add(TermKind::Turn, "", arrival.turn);
        path.add(TermKind::Verdict, name, arrival.verdict);
        path.add(TermKind::Analyzer, name, arrival.analysis);
        self.delay(rule, path);
        self.act(rule, path);
        let path = &mut worst.loss;
        let (name, arrival) = slowest(Arrival::by_loss);
        path.add(TermKind::Transport, name, arrival.transport);
        path.add(TermKind::Freshness, name, arrival.stale_after);
        path.add(TermKind::Timer, "", self.lane.timer_period);
        path.add(TermKind::Turn, "", arrival.turn);
        path.add(TermKind::Analyzer, name, arrival.analysis);
        if self.excludes(rule) {
            self.delay(rule, path);
        }
        self.act(rule, path);
        worst
    }

    /// Whether a bad channel is left out of the rule's vote. It does not trip then: the channels that are left decide once
    /// it is stale, with the rule's delays.
    fn excludes(&self, rule: &RulePlan) -> bool {
        rule.voting
            .and_then(|voting| self.lane.votings.get(usize::from(voting)))
            .is_some_and(|voting| voting.on_bad == OnBad::Exclude)
    }

    /// What the rule waits for.
    fn delay(&self, rule: &RulePlan, path: &mut Path) {
        let within = rule
            .debounce
            .map_or(DurNs::ZERO, |debounce| debounce.within);
        // Both count from the first true sample, so the later one decides.
        if within > rule.on_delay {
            path.add(TermKind::Debounce, "", within);
        } else {
            path.add(TermKind::OnDelay, "", rule.on_delay);
        }
        if rule.on_delay.plus(within) > DurNs::ZERO {
            path.add(TermKind::Timer, "", self.lane.timer_period);
        }
    }

    /// From the tick to the proven stop: the slowest output of the groups that the rule latches.
    fn act(&self, rule: &RulePlan, path: &mut Path) {
        path.add(TermKind::Tick, "", self.tick.times(TICKS));
        path.add(TermKind::Copy, "", self.copies.times(TICKS));
        if rule.stops.is_empty() {
            return;
        }
        path.add(TermKind::Write, "", self.lane.assumed.turn);
        let groups = rule
            .stops
            .iter()
            .filter_map(|index| self.lane.outputs.get(usize::from(*index)))
            .filter_map(|output| self.stops.get(usize::from(output.group)));
        if let Some(slowest) = first_longest(groups) {
            path.terms.extend(slowest.terms.iter().cloned());
        }
    }

    fn arrival(&self, tag: TagId) -> Option<(&'p str, Arrival)> {
        let index = usize::from(tag.0);
        let name = self.lane.tags.get(index)?.name.as_str();
        Some((name, *self.arrivals.get(index)?))
    }

    /// The tags that the rule's answer may hang on, without repetition.
    fn inputs(&self, rule: &RulePlan) -> Vec<TagId> {
        let mut tags: Vec<TagId> = Vec::new();
        let channels = rule
            .voting
            .and_then(|voting| self.lane.votings.get(usize::from(voting)))
            .map_or(&[][..], |voting| &voting.channels);
        let read = rule
            .programs
            .iter()
            .chain(&rule.raised)
            .flat_map(Program::ops)
            .filter_map(|op| match op {
                Op::Slot(slot) | Op::SlotBool(slot) => self.tag_of(*slot),
                _ => None,
            });
        for tag in channels.iter().copied().chain(read) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }

    /// The tag that a slot is about.
    fn tag_of(&self, slot: u32) -> Option<TagId> {
        let lane = self.lane;
        let index = usize::try_from(slot).ok()?;
        let tags = lane.tags.len();
        if index < tags {
            return u16::try_from(index).ok().map(TagId);
        }
        let index = index.checked_sub(tags)?;
        if let Some(window) = lane.windows.get(index) {
            return Some(window.tag);
        }
        let index = index.checked_sub(lane.windows.len())?;
        let asked = lane.ages.iter().chain(&lane.qualities);
        asked.copied().nth(index)
    }
}

/// The times of an output after its stop was sent. The feedback is what proves the stop, so it counts; it runs beside the
/// device's own time, and the longer of both is what is waited for.
fn stop_path(output: &OutputPlan) -> Path {
    let mut path = Path::default();
    let name = output.name.as_str();
    if let StopCategory::One {
        power_off_after, ..
    } = output.stop
    {
        path.add(TermKind::PowerOff, name, power_off_after);
    }
    path.add(TermKind::Confirmation, name, output.confirm_within);
    if let Some(read_back) = output.read_back {
        path.add(TermKind::ReadBack, name, read_back.within);
    }
    let feedback = output
        .feedback
        .map_or(DurNs::ZERO, |feedback| feedback.within);
    if feedback > output.device_time {
        path.add(TermKind::Feedback, name, feedback);
    } else {
        path.add(TermKind::Device, name, output.device_time);
    }
    path
}

/// The slowest output of each trip group.
fn stops_of_groups(lane: &LanePlan) -> Vec<Path> {
    let mut slowest = vec![Path::default(); lane.trip_groups.len()];
    for output in &lane.outputs {
        let path = stop_path(output);
        if let Some(known) = slowest.get_mut(usize::from(output.group))
            && path.total() > known.total()
        {
            *known = path;
        }
    }
    slowest
}

/// The longest; the first of equals, so that a table does not change without a reason.
fn first_longest<'p>(paths: impl Iterator<Item = &'p Path>) -> Option<&'p Path> {
    paths.reduce(|longest, path| {
        if path.total() > longest.total() {
            path
        } else {
            longest
        }
    })
}
