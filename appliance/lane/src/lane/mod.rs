//! The lane: tables reserved once, and the tick over them.

mod analyze;
mod drive;
mod evaluate;
mod ingest;
mod operate;
mod settings;
mod view;

use appliance_output::Permit;
use appliance_sandbox::{CallFault, RuleModule};
use drivers_frame::{Block, DurNs, MonoNs, TagId, planted};
use rt_config::limits;
use rules_bundle::{LanePlan, Multiplier};

use crate::analyzer::{Analyzer, AnalyzerEngine, NoAnalyzers, analyzers};
use crate::bypass::Bypasses;
use crate::enable::Enable;
use crate::event::{Event, EventKind};
use crate::freshness::Freshness;
use crate::health::Health;
use crate::latch::Group;
use crate::proof::Output;
use crate::reset::{Button, Reset};
use crate::rule::Rule;
use crate::signature::{Signature, Stage};
use crate::slots::Slots;
use crate::tags::{self, Index, Tag};
use crate::voting::Voting;
use crate::window::Window;
use settings::Setting;
pub use view::{ChannelView, ProofView};

/// What evaluates a lane's compiled rules: the sandbox in the product, a misbehaving one in tests.
pub trait RuleEngine {
    /// Writes a slot. A slot that cannot be written leaves the engine's copy behind; the next comparison shows it.
    fn set_slot(&mut self, slot: usize, value: f64, usable: bool);

    /// Evaluates a compiled condition (an index into `LanePlan::programs`): 0 false, 1 true, 2 bad.
    ///
    /// # Errors
    /// [`CallFault`] when the module trapped or used more than `bound` fuel.
    fn call(&mut self, condition: usize, hold: bool, bound: u64) -> Result<i32, CallFault>;
}

impl RuleEngine for RuleModule {
    fn set_slot(&mut self, slot: usize, value: f64, usable: bool) {
        // A checked plan has no such slot; if it happens all the same, the native copy differs and the rule trips.
        let _ = Self::set_slot(self, slot, value, usable);
    }

    fn call(&mut self, condition: usize, hold: bool, bound: u64) -> Result<i32, CallFault> {
        Self::call(self, condition, hold, bound)
    }
}

/// Why a lane could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneError {
    /// More distinct `stale_after` values, device by device, than a tick may look at.
    TooManyStaleClasses {
        /// The limit.
        max: usize,
    },
}

impl std::fmt::Display for LaneError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooManyStaleClasses { max } => {
                write!(
                    f,
                    "the lane's devices have more than {max} distinct stale_after values, counted device by device; use fewer"
                )
            }
        }
    }
}

impl std::error::Error for LaneError {}

/// What a lane has counted since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ticks.
    pub ticks: u64,
    /// Samples taken.
    pub samples: u64,
    /// Samples older than what was known of their tag, or than a loss of frames, dropped.
    pub out_of_order: u64,
    /// Samples that changed faster than their quantity can, dropped.
    pub spikes: u64,
    /// Samples of a tag that does not exist, dropped.
    pub foreign: u64,
    /// Frames lost in full queues.
    pub frames_lost: u64,
    /// Blocks of waveforms taken.
    pub blocks: u64,
    /// Rules evaluated (each by WebAssembly and natively).
    pub evaluations: u64,
    /// Times the two evaluations of a rule differed.
    pub comparison_faults: u64,
    /// Events that found no room.
    pub events_lost: u64,
}

/// A permission from outside and the rule that it serves.
struct Permission {
    tag: TagId,
    rule: u16,
    kind: PermissionKind,
    enable: Enable,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PermissionKind {
    Multiplier,
    Inhibit,
}

/// In which lists a rule is.
#[derive(Clone, Copy)]
struct Queued {
    waits: bool,
    /// When the sample arrived that queued it.
    origin: MonoNs,
    /// A delay runs in its state.
    delayed: bool,
}

/// The checkpoint of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Ticks so far.
    pub tick: u64,
    /// Signature of the newest tick's stages; [`crate::EXPECTED_SIGNATURE`] when all ran once, in order.
    pub signature: u32,
}

/// One lane.
pub struct Lane<E, A = NoAnalyzers> {
    engine: E,
    // Analyzers.
    engine_of_analyzers: A,
    analyzers: Vec<Analyzer>,
    /// The block of each waveform that waits for the tick.
    blocks: Vec<Option<Block>>,
    // Inputs.
    slots: Slots,
    tags: Vec<Tag>,
    health: Vec<Health>,
    freshness: Freshness,
    windows: Vec<Window>,
    votings: Vec<Voting>,
    permissions: Vec<Permission>,
    // Who depends on what.
    windows_of_tag: Index,
    votings_of_tag: Index,
    permissions_of_tag: Index,
    analyzers_of_tag: Index,
    sampled_of_tag: Index,
    rules_of_slot: Index,
    rules_of_voting: Index,
    tags_of_rule: Index,
    ages: Vec<TagId>,
    qualities: Vec<TagId>,
    first_window: usize,
    first_age: usize,
    first_quality: usize,
    // Rules.
    settings: Vec<Setting>,
    rules: Vec<Rule>,
    queued: Vec<Queued>,
    timed: Vec<u16>,
    dirty: Vec<u16>,
    /// Rules in whose state a delay runs.
    delayed: Vec<u16>,
    dirty_votings: Vec<u16>,
    voting_due: MonoNs,
    bypasses: Bypasses,
    // Outputs.
    groups: Vec<Group>,
    outputs: Vec<Output>,
    permits: Vec<Permit>,
    reset: Reset,
    button: Option<(TagId, Button)>,
    holds: u8,
    engine_failed: bool,
    shutting_down: bool,
    // Itself.
    timer_period: DurNs,
    slice_due: MonoNs,
    next_slice: usize,
    next_analyzer: usize,
    signature: Signature,
    last_tick: MonoNs,
    events: Vec<Event>,
    counters: Counters,
}

impl<E: RuleEngine> Lane<E> {
    /// A lane without analyzers: those of the plan fail, and say so. Otherwise as [`Lane::with_analyzers`].
    ///
    /// # Errors
    /// [`LaneError`].
    pub fn new(plan: &LanePlan, engine: E, start: MonoNs) -> Result<Self, LaneError> {
        Self::with_analyzers(plan, engine, NoAnalyzers, start)
    }
}

impl<E: RuleEngine, A: AnalyzerEngine> Lane<E, A> {
    /// Reserves everything the lane will ever use. `plan` must have been checked. Every trip group starts latched.
    ///
    /// # Errors
    /// [`LaneError`].
    pub fn with_analyzers(
        plan: &LanePlan,
        engine: E,
        engine_of_analyzers: A,
        start: MonoNs,
    ) -> Result<Self, LaneError> {
        let freshness =
            Freshness::new(tags::freshness(plan), start).ok_or(LaneError::TooManyStaleClasses {
                max: limits::STALE_CLASSES_MAX,
            })?;
        let as_index = |slot: u32| usize::try_from(slot).unwrap_or(usize::MAX);
        let settings = settings::settings(plan);
        let timed = (0_u16..)
            .zip(&settings)
            .filter_map(|(index, rule)| rule.timed.then_some(index))
            .collect();
        let permissions = permissions(plan);
        let rules = settings.len();
        let analyzers = analyzers(plan, start);
        let mut lane = Self {
            engine,
            engine_of_analyzers,
            analyzers_of_tag: tags::analyzers_of_tags(plan),
            analyzers,
            blocks: std::iter::repeat_with(|| None)
                .take(plan.waveforms.len())
                .collect(),
            slots: Slots::new(as_index(plan.slots())),
            tags: tags::tags(plan, start),
            health: plan.tags.iter().map(Health::new).collect(),
            freshness,
            windows: plan.windows.iter().map(Window::new).collect(),
            votings: plan.votings.iter().map(Voting::new).collect(),
            windows_of_tag: tags::windows_of_tags(plan),
            votings_of_tag: tags::votings_of_tags(plan),
            permissions_of_tag: tags::of_tags(
                plan,
                permissions.iter().map(|permission| permission.tag),
            ),
            permissions,
            rules_of_slot: tags::rules_of_slots(plan),
            rules_of_voting: tags::rules_of_votings(plan),
            sampled_of_tag: tags::sampled_of_tags(plan),
            tags_of_rule: tags::tags_of_rules(plan),
            ages: plan.ages.clone(),
            qualities: plan.qualities.clone(),
            first_window: as_index(plan.slot_of_window(0)),
            first_age: as_index(plan.slot_of_age(0)),
            first_quality: as_index(plan.slot_of_quality(0)),
            rules: settings.iter().map(|_| Rule::new()).collect(),
            queued: vec![
                Queued {
                    waits: false,
                    origin: start,
                    delayed: false,
                };
                rules
            ],
            settings,
            timed,
            dirty: Vec::with_capacity(rules),
            delayed: Vec::with_capacity(rules),
            dirty_votings: Vec::with_capacity(plan.votings.len()),
            voting_due: MonoNs::NEVER,
            bypasses: Bypasses::new(),
            groups: plan
                .trip_groups
                .iter()
                .map(|_| Group::boot(start))
                .collect(),
            outputs: plan
                .outputs
                .iter()
                .map(|output| Output::boot(output, start))
                .collect(),
            permits: vec![Permit::Withheld; plan.outputs.len()],
            reset: Reset::new(),
            button: plan
                .reset_button
                .map(|button| (button.tag, Button::default())),
            holds: 0,
            engine_failed: false,
            shutting_down: false,
            timer_period: plan.timer_period,
            slice_due: start,
            next_slice: 0,
            next_analyzer: 0,
            signature: Signature::new(),
            last_tick: start,
            events: Vec::with_capacity(limits::LANE_EVENTS),
            counters: Counters::default(),
        };
        lane.sort_tags();
        for index in 0..lane.qualities.len() {
            lane.refresh_quality(index, start);
        }
        Ok(lane)
    }

    /// One tick at `now`: what went stale, analyzers, what is due, every dirty rule, votes, latches, permits.
    ///
    /// Afterwards [`Lane::permits`] is the complete set of output commands and [`Lane::events`] what happened.
    pub fn tick(&mut self, now: MonoNs) {
        self.counters.ticks = self.counters.ticks.saturating_add(1);
        self.last_tick = now;
        self.signature = Signature::new();
        self.spare_the_due(now);
        self.notice_stale(now);
        self.signature.pass(Stage::Freshness);
        if !planted!(DerivedTickLate) {
            self.run_analyzers(now);
        }
        self.signature.pass(Stage::Analyzers);
        self.run_timers(now);
        self.signature.pass(Stage::Timers);
        self.compare_channels(now);
        self.signature.pass(Stage::Votings);
        // Evaluation never makes another rule dirty, so this is one pass over what changed.
        for position in 0..self.dirty.len() {
            if let Some(rule) = self.dirty.get(position).copied() {
                self.evaluate(rule, now);
            }
        }
        self.dirty.clear();
        self.signature.pass(Stage::Evaluation);
        self.run_delays(now);
        self.signature.pass(Stage::Delays);
        self.supervise_outputs(now);
        self.signature.pass(Stage::Outputs);
        self.run_reset(now);
        self.signature.pass(Stage::Reset);
        self.verify_slice(now);
        self.signature.pass(Stage::Memory);
        if planted!(DerivedTickLate) {
            self.run_analyzers(now);
        }
    }

    /// Evaluates every rule once without effect, so that the first real tick finds code and data in memory.
    pub fn warm_up(&mut self) {
        for setting in &self.settings {
            for (offset, program) in setting.programs.iter().chain(&setting.raised).enumerate() {
                let function = setting.function.saturating_add(offset);
                let _ = evaluate::twice(&mut self.engine, &self.slots, program, function, false);
            }
        }
    }

    /// When the lane must tick again if nothing arrives: the next tag to go stale, delay to end, proof to be missing.
    pub fn next_due(&self) -> MonoNs {
        let delays = self
            .delayed
            .iter()
            .filter_map(|rule| {
                let rule = usize::from(*rule);
                let timing = &self.settings.get(rule)?.timing;
                self.rules.get(rule).map(|rule| rule.due(timing))
            })
            .min()
            .unwrap_or(MonoNs::NEVER);
        let permissions = self
            .permissions
            .iter()
            .map(|permission| permission.enable.due())
            .min()
            .unwrap_or(MonoNs::NEVER);
        delays
            .min(permissions)
            .min(self.freshness.next_due())
            .min(self.voting_due)
            .min(self.bypasses.next_due())
            .min(self.outputs_due())
            .min(self.reset.next_due())
            .min(self.analyzers_due())
    }

    /// Verifies a slice of what must not change: one rule's settings and state and one analyzer's settings a timer period,
    /// every latch (H-33).
    fn verify_slice(&mut self, now: MonoNs) {
        if now < self.slice_due {
            return;
        }
        self.slice_due = now.after(self.timer_period);
        let intact = self
            .settings
            .get(self.next_slice)
            .is_none_or(Setting::is_intact)
            && self.rules.get(self.next_slice).is_none_or(Rule::is_intact)
            && self.groups.iter().all(Group::is_intact)
            && self
                .analyzers
                .get(self.next_analyzer)
                .is_none_or(Analyzer::is_intact)
            && self.reset.state().is_some();
        self.next_slice = self.next_slice.saturating_add(1);
        if self.next_slice >= self.settings.len() {
            self.next_slice = 0;
        }
        self.next_analyzer = self.next_analyzer.saturating_add(1);
        if self.next_analyzer >= self.analyzers.len() {
            self.next_analyzer = 0;
        }
        if !intact {
            self.hold(crate::Hold::Memory, now);
        }
    }

    fn emit(&mut self, at: MonoNs, kind: EventKind) {
        if self.events.len() < self.events.capacity() {
            self.events.push(Event { at, kind });
        } else {
            self.counters.events_lost = self.counters.events_lost.saturating_add(1);
        }
    }
}

fn permissions(plan: &LanePlan) -> Vec<Permission> {
    let mut permissions = Vec::new();
    for (rule, plan) in (0_u16..).zip(&plan.rules) {
        let multiplier = plan.multiplier.map(|Multiplier { enable, .. }| enable);
        for (kind, enable) in [
            (PermissionKind::Multiplier, multiplier),
            (PermissionKind::Inhibit, plan.inhibit),
        ] {
            if let Some(plan) = enable {
                permissions.push(Permission {
                    tag: plan.tag,
                    rule,
                    kind,
                    enable: Enable::new(&plan),
                });
            }
        }
    }
    permissions
}
