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

use std::net::IpAddr;

use drivers_frame::{DurNs, TagId};
use rules_expr::ir::{Op, Program};

use crate::plan::{
    Acquire, LanePlan, LinkPlan, ModbusPlan, MqttPlan, OnBad, OutputPlan, RulePlan, StopCategory,
    Table,
};
use rt_config::limits::{FRAME_SAMPLES_MAX, MODBUS_BITS_MAX, MODBUS_REGISTERS_MAX};

/// How often each rule's fuel is counted in a tick at full load. Once for the WebAssembly, once for the native evaluator:
/// that one does one operation where the module does up to seventeen instructions, so counting it as much is too much
/// rather than too little.
const EVALUATIONS: u64 = 2;
/// Ticks at full load that a sample may wait: the one that runs when it arrives, and its own.
const TICKS: u64 = 2;

/// A part of a reaction time, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TermKind {
    /// From the cause to the sample's arrival.
    Acquisition,
    /// Samples or messages that are dropped before the channel is bad.
    Tolerated,
    /// The last good sample may have been under way this long.
    Transport,
    /// Until a silent channel is stale.
    Freshness,
    /// From a ready socket to the tick that takes the frame; twice with a thread between.
    Turn,
    /// Blocks or calls that an analyzer waits for before it speaks, by its author's word.
    Verdict,
    /// Until an analyzer is called that is called by the clock, and until one that runs in the background has answered.
    Analyzer,
    /// The rule's on-delay.
    OnDelay,
    /// The rule's debounce, at most.
    Debounce,
    /// Until the lane looks at its timers.
    Timer,
    /// Evaluation of every rule that can be due, and a call of every analyzer in the tick.
    Tick,
    /// Blocks copied to the analyzers in the tick, and what surrounds their calls.
    Copy,
    /// From the tick's end to the send.
    Write,
    /// The controlled stop before the power is removed (category 1).
    PowerOff,
    /// Until the write is echoed.
    Confirmation,
    /// Until the place was read back.
    ReadBack,
    /// From the written stop to the removed energy.
    Device,
    /// Until the feedback proves the stop, when that is later than the device's own time.
    Feedback,
}

impl TermKind {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acquisition => "acquisition",
            Self::Tolerated => "tolerated samples",
            Self::Transport => "last sample under way",
            Self::Freshness => "stale_after",
            Self::Turn => "turn",
            Self::Verdict => "verdict_after",
            Self::Analyzer => "analyzer",
            Self::Tick => "tick at full load",
            Self::Copy => "copy of blocks",
            Self::OnDelay => "for",
            Self::Debounce => "debounce",
            Self::Timer => "timer",
            Self::Write => "write",
            Self::Confirmation => "confirm_within",
            Self::ReadBack => "read_back",
            Self::Device => "device_time",
            Self::Feedback => "feedback",
            Self::PowerOff => "power_off_after",
        }
    }
}

/// A term of the sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Which part.
    pub kind: TermKind,
    /// The tag or output that it is about; empty for the lane's own.
    pub of: String,
    /// How long at most.
    pub time: DurNs,
}

/// One path to the stop: its terms in order of time, none of them zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// The terms.
    pub terms: Vec<Term>,
}

impl Path {
    /// The sum; saturates.
    pub fn total(&self) -> DurNs {
        self.terms
            .iter()
            .fold(DurNs::ZERO, |sum, term| sum.plus(term.time))
    }

    /// The largest term, the first of equals.
    pub fn dominant(&self) -> Option<&Term> {
        self.terms.iter().rev().max_by_key(|term| term.time.as_ns())
    }

    /// Adds a term; a second one of the same kind and name makes the first longer, so that a table shows the whole sum.
    fn add(&mut self, kind: TermKind, of: &str, time: DurNs) {
        if time == DurNs::ZERO {
            return;
        }
        let known = self
            .terms
            .iter_mut()
            .find(|term| term.kind == kind && term.of == of);
        match known {
            Some(term) => term.time = term.time.plus(time),
            None => self.terms.push(Term {
                kind,
                of: of.to_owned(),
                time,
            }),
        }
    }
}

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

/// When a tag's value is known.
#[derive(Clone, Copy, Debug, Default)]
struct Arrival {
    /// From a change at the sensor to the arrival of the sample that shows it.
    acquisition: DurNs,
    /// What is dropped before it.
    tolerated: DurNs,
    /// Longest time that a sample is under way.
    transport: DurNs,
    /// Age at which silence is a trip.
    stale_after: DurNs,
    /// From the ready socket to the tick.
    turn: DurNs,
    /// What analyzers add besides the tick.
    analysis: DurNs,
    /// What analyzers wait for by themselves before they speak.
    verdict: DurNs,
    /// Longest time between two samples.
    interval: DurNs,
}

impl Arrival {
    /// Silence trips by itself, so no sample can be waited for longer than this.
    fn silence(&self) -> DurNs {
        self.transport.plus(self.stale_after)
    }

    fn by_condition(&self) -> DurNs {
        let sampled = self.acquisition.plus(self.tolerated);
        sampled
            .min(self.silence())
            .plus(self.turn)
            .plus(self.verdict)
            .plus(self.analysis)
    }

    fn by_loss(&self) -> DurNs {
        self.silence().plus(self.turn).plus(self.analysis)
    }
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

/// One arrival a tag.
fn arrivals(lane: &LanePlan) -> Vec<Arrival> {
    let thread = lane.acquire == Acquire::Thread;
    let mut arrivals: Vec<Arrival> = lane
        .tags
        .iter()
        .map(|tag| Arrival {
            // Until a device claims the tag: it is known when it is stale.
            acquisition: tag.stale_after,
            stale_after: tag.stale_after,
            interval: tag.stale_after,
            turn: lane.assumed.turn,
            ..Arrival::default()
        })
        .collect();
    for device in &lane.devices {
        match &device.link {
            LinkPlan::Modbus(modbus) => modbus_arrivals(lane, modbus, thread, &mut arrivals),
            LinkPlan::Mqtt(mqtt) => mqtt_arrivals(lane, mqtt, thread, &mut arrivals),
            // They lean on what drivers deliver.
            LinkPlan::Analyzer(_) => {}
        }
    }
    analyzers::arrivals(lane, thread, &mut arrivals);
    arrivals
}

/// Two looks at one place are at most a period (or a reply as late as it may be) and all reads of the device apart, each
/// as slow as its timeout allows. A later reply is none: then freshness decides.
fn modbus_arrivals(lane: &LanePlan, modbus: &ModbusPlan, thread: bool, arrivals: &mut [Arrival]) {
    let first = modbus.points.first();
    let device = first.and_then(|point| Some(lane.tags.get(usize::from(point.tag.0))?.device));
    // Between two cycles over the points the driver reads at most one piece of a waveform that is in the way.
    let pieces = lane
        .waveforms
        .iter()
        .any(|wave| Some(wave.device) == device);
    let reads = read_blocks(modbus).saturating_add(u64::from(pieces));
    let reads = modbus.timeout.times(reads);
    let period = modbus.poll.unwrap_or(DurNs::ZERO);
    for point in &modbus.points {
        let Some((arrival, tolerated)) = arrival_of(point.tag, lane, arrivals) else {
            continue;
        };
        arrival.acquisition = period.max(modbus.timeout).plus(reads);
        arrival.interval = arrival.acquisition;
        arrival.tolerated = period.max(reads).times(tolerated);
        arrival.transport = modbus.timeout;
        arrival.turn = turns(lane, thread);
    }
}

/// A topic is as fast as its publisher is declared to be; without a declaration only freshness is known.
fn mqtt_arrivals(lane: &LanePlan, mqtt: &MqttPlan, thread: bool, arrivals: &mut [Arrival]) {
    let broker = &mqtt.broker;
    // A name must be resolved and TLS computes: both have a thread of their own (see `Acquire`).
    let thread = thread || broker.tls.is_some() || broker.host.parse::<IpAddr>().is_err();
    for subscription in &mqtt.subscriptions {
        let envelope = subscription.envelope.as_ref();
        let delay = envelope.and_then(|envelope| envelope.max_delay);
        let errors = envelope.map_or(0, |envelope| u64::from(envelope.budget.errors));
        for field in &subscription.fields {
            let Some((arrival, tolerated)) = arrival_of(field.tag, lane, arrivals) else {
                continue;
            };
            arrival.transport = delay.unwrap_or(DurNs::ZERO);
            arrival.turn = turns(lane, thread);
            if let Some(period) = subscription.period {
                arrival.interval = period.plus(arrival.transport);
                arrival.acquisition = period.plus(arrival.transport);
                arrival.tolerated = period.times(tolerated.saturating_add(errors));
            } else {
                arrival.acquisition = arrival.silence();
            }
        }
    }
}

/// A tag's arrival, and the implausible samples in a row that its rate check drops.
fn arrival_of<'a>(
    tag: TagId,
    lane: &LanePlan,
    arrivals: &'a mut [Arrival],
) -> Option<(&'a mut Arrival, u64)> {
    let index = usize::from(tag.0);
    let rate = lane.tags.get(index)?.checks.rate;
    let tolerated = rate.map_or(0, |rate| u64::from(rate.tolerated));
    Some((arrivals.get_mut(index)?, tolerated))
}

fn turns(lane: &LanePlan, thread: bool) -> DurNs {
    lane.assumed.turn.times(if thread { 2 } else { 1 })
}

/// Reads of a device in one cycle, as the driver lays them: neighbours of one table together, within the gap that the
/// pack allows and the most that one request may ask for. A device that refuses a range with a hole in it is read in more
/// (it says so in its counters); then the driver's own count is the larger one.
pub fn read_blocks(modbus: &ModbusPlan) -> u64 {
    let mut points: Vec<(u8, u32, u32)> = modbus
        .points
        .iter()
        .map(|point| {
            let (table, words) = match point.table {
                Table::Coil => (0, 1),
                Table::Discrete => (1, 1),
                Table::Holding => (2, point.codec.kind.words()),
                Table::Input => (3, point.codec.kind.words()),
            };
            let start = u32::from(point.address);
            let end = start.saturating_add(u32::try_from(words).unwrap_or(u32::MAX));
            (table, start, end)
        })
        .collect();
    points.sort_by_key(|(table, start, end)| (*table, *start, std::cmp::Reverse(*end)));
    let mut blocks = 0_u64;
    // Table, first address, reach and points of the block that is being laid.
    let mut open: Option<(u8, u32, u32, usize)> = None;
    for (table, start, end) in points {
        let most = if table < 2 {
            MODBUS_BITS_MAX
        } else {
            MODBUS_REGISTERS_MAX
        };
        open = match open {
            Some((same, first, reach, count))
                if same == table
                    && start.saturating_sub(reach) <= u32::from(modbus.max_gap)
                    && reach.max(end).saturating_sub(first) <= u32::from(most)
                    && count < FRAME_SAMPLES_MAX =>
            {
                Some((same, first, reach.max(end), count.saturating_add(1)))
            }
            _ => {
                blocks = blocks.saturating_add(1);
                Some((table, start, end, 1))
            }
        };
    }
    blocks
}
