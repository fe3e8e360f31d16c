//! What the main thread and a lane say to one another, over wait-free queues of fixed length.

mod acts;
mod views;

use appliance_lane::analyzer::AnalyzerView;
use appliance_lane::{Counters, Event, Latch, ResetRefusal, RuleCause, RuleState, TagView};
use appliance_output::{FaultCause, Permit};
use drivers_frame::MonoNs;

use crate::acquire::{LinkEdge, LinkStats};
use crate::analyzers::Figures;
use crate::stages::Stages;
use crate::timing::Late;

pub(crate) use acts::{Act, Acted};
pub(crate) use views::Views;

/// To a lane.
pub(crate) enum Command {
    /// What somebody does. `id` comes back with the answer: one that is late is not taken for another's.
    Act { id: u64, act: Act },
    /// Stop every output.
    Trip,
    /// Fill this in and send it back.
    Snapshot(Box<Snapshot>),
    /// Stop every output for good, and end when all have confirmed or time is up.
    ShutDown,
}

/// From a lane.
pub(crate) enum Message {
    /// Something happened.
    Event(Event),
    /// A device that the lane reads itself came up or went down.
    Link {
        at: MonoNs,
        device: u16,
        change: LinkEdge,
    },
    /// An output's write was not confirmed.
    OutputFault {
        at: MonoNs,
        output: u16,
        cause: FaultCause,
    },
    /// A tick began late.
    Late(Late),
    /// The answer to [`Command::Act`].
    Acted { id: u64, acted: Acted },
    /// The answer to [`Command::Trip`].
    Tripped,
    /// The answer to [`Command::Snapshot`].
    Snapshot(Box<Snapshot>),
}

/// State of a device that a lane reads itself.
#[derive(Clone, Copy)]
pub(crate) struct DeviceSnapshot {
    pub(crate) device: u16,
    pub(crate) stats: LinkStats,
}

/// State of an output.
#[derive(Clone, Copy)]
pub(crate) struct OutputSnapshot {
    pub(crate) permit: Permit,
    pub(crate) latch: Option<Latch>,
    pub(crate) connected: bool,
    pub(crate) confirmed: bool,
    pub(crate) counters: appliance_output::Counters,
}

/// State of an analyzer.
#[derive(Clone, Copy)]
pub(crate) struct AnalyzerSnapshot {
    pub(crate) view: AnalyzerView,
    /// Of class safety; `None` when there is not even one to call.
    pub(crate) spares: Option<u8>,
}

/// A lane's state at one tick. Made by the main thread with room for everything; the lane only fills it.
pub(crate) struct Snapshot {
    /// Whether tags and rules are wanted too: that costs the lane a few microseconds a thousand.
    pub(crate) detail: bool,
    pub(crate) at: MonoNs,
    pub(crate) counters: Counters,
    pub(crate) window_overruns: u64,
    pub(crate) refusal: Option<ResetRefusal>,
    pub(crate) tags: Vec<TagView>,
    pub(crate) rules: Vec<(RuleState, RuleCause)>,
    pub(crate) outputs: Vec<OutputSnapshot>,
    pub(crate) devices: Vec<DeviceSnapshot>,
    pub(crate) views: Views,
    pub(crate) stages: Stages,
    pub(crate) analyzers: Vec<AnalyzerSnapshot>,
    /// One for each analyzer, always.
    pub(crate) figures: Vec<Figures>,
}

impl Snapshot {
    /// An empty one with room for a lane of this size.
    pub(crate) fn new(plan: &rules_bundle::LanePlan) -> Option<Box<Self>> {
        Some(Box::new(Self {
            detail: false,
            at: MonoNs::ZERO,
            counters: Counters::default(),
            window_overruns: 0,
            refusal: None,
            tags: Vec::with_capacity(plan.tags.len()),
            rules: Vec::with_capacity(plan.rules.len()),
            outputs: Vec::with_capacity(plan.outputs.len()),
            devices: Vec::with_capacity(plan.devices.len()),
            views: Views::new(plan),
            stages: Stages::new()?,
            analyzers: Vec::with_capacity(plan.analyzers().count()),
            figures: plan
                .analyzers()
                .map(|_| Figures::new())
                .collect::<Option<_>>()?,
        }))
    }
}
