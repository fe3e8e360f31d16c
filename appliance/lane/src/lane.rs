//! The lane: tables reserved once, and the tick over them.

use appliance_output::Permit;
use appliance_sandbox::{CallFault, RuleModule};
use drivers_frame::{Cause, DeviceId, DurNs, MonoNs, Quality, Sample, TagId};
use rt_config::limits;
use rules_bundle::{LanePlan, Level};
use rules_expr::ir::{Program, Tri};

use crate::event::{Event, EventKind, LatchCause, ResetRefusal, RuleCause};
use crate::freshness::Freshness;
use crate::latch::{Latch, Output};
use crate::rule::{Change, Outcome, Rule, RuleState};
use crate::slots::{Slots, quality_number};
use crate::tags::{self, Index, Tag, TagView};
use crate::window::Window;

/// What evaluates a lane's compiled rules: the sandbox in the product, a misbehaving one in tests.
pub trait RuleEngine {
    /// Writes a slot. A slot that cannot be written leaves the engine's copy behind; the next comparison shows it.
    fn set_slot(&mut self, slot: usize, value: f64, usable: bool);

    /// Evaluates a rule: 0 false, 1 true, 2 bad.
    ///
    /// # Errors
    /// [`CallFault`] when the module trapped or used more than `bound` fuel.
    fn call(&mut self, rule: usize, hold: bool, bound: u64) -> Result<i32, CallFault>;
}

impl RuleEngine for RuleModule {
    fn set_slot(&mut self, slot: usize, value: f64, usable: bool) {
        // A checked plan has no such slot; if it happens all the same, the native copy differs and the rule trips.
        let _ = Self::set_slot(self, slot, value, usable);
    }

    fn call(&mut self, rule: usize, hold: bool, bound: u64) -> Result<i32, CallFault> {
        Self::call(self, rule, hold, bound)
    }
}

/// Why a lane could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneError {
    /// More distinct `stale_after` values than a tick may look at.
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
                    "the lane's tags have more than {max} distinct stale_after values; use fewer"
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
    /// Samples of a tag that does not exist, dropped.
    pub foreign: u64,
    /// Frames lost in full queues.
    pub frames_lost: u64,
    /// Rules evaluated (each by WebAssembly and natively).
    pub evaluations: u64,
    /// Times the two evaluations of a rule differed.
    pub comparison_faults: u64,
    /// Events that found no room.
    pub events_lost: u64,
}

/// What an evaluation needs of a rule, apart from its state.
struct Compiled {
    program: Program,
    level: Level,
    stops: Vec<u16>,
    deadline: Option<DurNs>,
    /// Its value depends on the clock: it has an `age()`.
    timed: bool,
    queued: bool,
    /// When the sample arrived that queued it.
    origin: MonoNs,
}

/// One lane.
pub struct Lane<E> {
    engine: E,
    slots: Slots,
    tags: Vec<Tag>,
    freshness: Freshness,
    windows: Vec<Window>,
    windows_of_tag: Index,
    rules_of_slot: Index,
    tags_of_rule: Index,
    ages: Vec<TagId>,
    qualities: Vec<TagId>,
    first_window: usize,
    first_age: usize,
    first_quality: usize,
    compiled: Vec<Compiled>,
    rules: Vec<Rule>,
    timed: Vec<u16>,
    dirty: Vec<u16>,
    pending: Vec<u16>,
    outputs: Vec<Output>,
    permits: Vec<Permit>,
    events: Vec<Event>,
    counters: Counters,
    engine_failed: bool,
    shutting_down: bool,
}

impl<E: RuleEngine> Lane<E> {
    /// Reserves everything the lane will ever use. `plan` must have been checked. Every output starts latched.
    ///
    /// # Errors
    /// [`LaneError`].
    pub fn new(plan: &LanePlan, engine: E, start: MonoNs) -> Result<Self, LaneError> {
        let freshness = Freshness::new(plan.tags.iter().map(|tag| tag.stale_after), start).ok_or(
            LaneError::TooManyStaleClasses {
                max: limits::STALE_CLASSES_MAX,
            },
        )?;
        let as_index = |slot: u32| usize::try_from(slot).unwrap_or(usize::MAX);
        let first_age = as_index(plan.slot_of_age(0));
        let first_quality = as_index(plan.slot_of_quality(0));
        let compiled: Vec<Compiled> = plan
            .rules
            .iter()
            .filter_map(|rule| Some((rule, rule.programs.first()?)))
            .map(|(rule, program)| Compiled {
                program: program.clone(),
                level: rule.level,
                stops: rule.stops.clone(),
                deadline: rule.deadline,
                timed: tags::slots_of(program)
                    .any(|slot| (first_age..first_quality).contains(&as_index(slot))),
                queued: false,
                origin: start,
            })
            .collect();
        let timed = (0_u16..)
            .zip(&compiled)
            .filter_map(|(index, rule)| rule.timed.then_some(index))
            .collect();
        let mut lane = Self {
            engine,
            slots: Slots::new(as_index(plan.slots())),
            tags: tags::tags(plan, start),
            freshness,
            windows: plan.windows.iter().map(Window::new).collect(),
            windows_of_tag: tags::windows_of_tags(plan),
            rules_of_slot: tags::rules_of_slots(plan),
            tags_of_rule: tags::tags_of_rules(plan),
            ages: plan.ages.clone(),
            qualities: plan.qualities.clone(),
            first_window: as_index(plan.slot_of_window(0)),
            first_age,
            first_quality,
            rules: plan
                .rules
                .iter()
                .map(|rule| Rule::new(rule.on_delay))
                .collect(),
            timed,
            dirty: Vec::with_capacity(compiled.len()),
            pending: Vec::with_capacity(compiled.len()),
            compiled,
            outputs: plan.outputs.iter().map(|_| Output::boot(start)).collect(),
            permits: vec![Permit::Withheld; plan.outputs.len()],
            events: Vec::with_capacity(limits::LANE_EVENTS),
            counters: Counters::default(),
            engine_failed: false,
            shutting_down: false,
        };
        for index in 0..lane.qualities.len() {
            lane.refresh_quality(index, start);
        }
        Ok(lane)
    }

    /// Takes one sample over. The rules that depend on it are evaluated by the next [`Lane::tick`].
    pub fn ingest(&mut self, sample: &Sample) {
        self.counters.samples = self.counters.samples.saturating_add(1);
        let index = usize::from(sample.tag.0);
        let Some(tag) = self.tags.get_mut(index) else {
            self.counters.foreign = self.counters.foreign.saturating_add(1);
            return;
        };
        if !tag.accept(sample) {
            self.counters.out_of_order = self.counters.out_of_order.saturating_add(1);
            return;
        }
        self.freshness.touch(sample.tag, sample.at);
        let usable = sample.quality.is_usable();
        self.set_slot(index, sample.value, usable, sample.at);
        for position in 0..self.windows_of_tag.of(index).len() {
            let Some(window) = self.windows_of_tag.of(index).get(position).copied() else {
                break;
            };
            let Some(state) = self.windows.get_mut(usize::from(window)) else {
                continue;
            };
            state.push(sample.at, sample.value, usable);
            let value = state.value();
            let slot = self.first_window.saturating_add(usize::from(window));
            self.set_slot(slot, value.unwrap_or(0.0), value.is_some(), sample.at);
        }
        self.refresh_qualities_of(sample.tag, sample.at);
    }

    /// Frames of `device` were lost in a full queue: its channels are bad until a sample of each arrives that is not
    /// older than `now` (H-25). What waits in the queue is older than what was lost.
    pub fn frames_lost(&mut self, device: DeviceId, lost: u64, now: MonoNs) {
        self.counters.frames_lost = self.counters.frames_lost.saturating_add(lost);
        for index in 0..self.tags.len() {
            let lossy = self.tags.get_mut(index).filter(|tag| tag.device == device);
            if let Some(tag) = lossy {
                tag.lose(now);
                self.degrade(index, Quality::Bad, Cause::QueueOverflow, now);
            }
        }
    }

    /// One tick at `now`: what went stale, what is due, every dirty rule, latches, permits.
    ///
    /// Afterwards [`Lane::permits`] is the complete set of output commands and [`Lane::events`] what happened.
    pub fn tick(&mut self, now: MonoNs) {
        self.counters.ticks = self.counters.ticks.saturating_add(1);
        while let Some((tag, due)) = self.freshness.take_stale(now) {
            self.degrade(usize::from(tag.0), Quality::Stale, Cause::Stale, due);
        }
        self.refresh_ages(now);
        // Evaluation never makes another rule dirty, so this is one pass over what changed.
        for position in 0..self.dirty.len() {
            if let Some(rule) = self.dirty.get(position).copied() {
                self.evaluate(rule, now);
            }
        }
        self.dirty.clear();
        self.elapse(now);
        for (permit, output) in self.permits.iter_mut().zip(&self.outputs) {
            *permit = if output.latch.is_some() {
                Permit::Withheld
            } else {
                Permit::Granted
            };
        }
    }

    /// Evaluates every rule once without effect, so that the first real tick finds code and data in memory.
    pub fn warm_up(&mut self) {
        for (index, rule) in self.compiled.iter().enumerate() {
            let _ = evaluate_twice(&mut self.engine, &self.slots, &rule.program, index, false);
        }
    }

    /// The complete set of output commands after the last tick.
    pub fn permits(&self) -> &[Permit] {
        &self.permits
    }

    /// What happened since [`Lane::clear_events`].
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events were handed on.
    pub fn clear_events(&mut self) {
        self.events.clear();
    }

    /// When the lane must tick again if nothing arrives: the next tag to go stale or delay to end.
    pub fn next_due(&self) -> MonoNs {
        let pending = self
            .pending
            .iter()
            .filter_map(|rule| self.rules.get(usize::from(*rule)).map(Rule::due))
            .min()
            .unwrap_or(MonoNs::NEVER);
        pending.min(self.freshness.next_due())
    }

    /// An output's safe value was confirmed at `at`.
    pub fn stop_confirmed(&mut self, output: u16, at: MonoNs) {
        let Some(state) = self.outputs.get_mut(usize::from(output)) else {
            return;
        };
        if state.latch.is_none() {
            return;
        }
        state.proved_safe = true;
        let (Some(rule_index), Some(latch)) = (state.stopping.take(), state.latch) else {
            return;
        };
        let Some(rule) = self.rules.get_mut(usize::from(rule_index)) else {
            return;
        };
        rule.unconfirmed = rule.unconfirmed.saturating_sub(1);
        if rule.unconfirmed > 0 {
            return;
        }
        let latency = at.since(latch.origin);
        let deadline = self
            .compiled
            .get(usize::from(rule_index))
            .and_then(|rule| rule.deadline);
        let missed = deadline.is_some_and(|deadline| latency > deadline);
        rule.latency_max = rule.latency_max.max(latency);
        rule.stops = rule.stops.saturating_add(1);
        rule.missed = rule.missed.saturating_add(u64::from(missed));
        self.emit(
            at,
            EventKind::StopConfirmed {
                rule: rule_index,
                latency,
                missed,
            },
        );
    }

    /// A write of this output was not confirmed in time, or its connection was lost: it is tripped (H-57, H-61).
    pub fn output_failed(&mut self, output: u16, at: MonoNs) {
        if let Some(state) = self.outputs.get_mut(usize::from(output)) {
            state.proved_safe = false;
        }
        self.latch(output, LatchCause::OutputFault, at, at);
    }

    /// Stops every output. Needs no rights: a stop is always allowed.
    pub fn trip(&mut self, now: MonoNs) {
        self.latch_all(LatchCause::Operator, now);
    }

    /// Stops every output for good: the guard is going down.
    pub fn shut_down(&mut self, now: MonoNs) {
        self.shutting_down = true;
        self.latch_all(LatchCause::Shutdown, now);
    }

    /// Whether every output has confirmed its safe value since it was latched.
    pub fn all_proved_safe(&self) -> bool {
        self.outputs
            .iter()
            .all(|output| output.latch.is_some() && output.proved_safe)
    }

    /// Releases every latch, if every cause is gone: the only code path that does (H-53, I3). All or nothing.
    ///
    /// # Errors
    /// [`ResetRefusal`]; nothing was released then.
    pub fn reset(&mut self, now: MonoNs) -> Result<(), ResetRefusal> {
        let refusal = self.reset_refusal();
        if let Some(refusal) = refusal {
            self.emit(now, EventKind::ResetRefused(refusal));
            return Err(refusal);
        }
        for index in 0..self.outputs.len() {
            let Some(output) = self.outputs.get_mut(index) else {
                break;
            };
            if output.latch.take().is_some() {
                output.stopping = None;
                if let Ok(output) = u16::try_from(index) {
                    self.emit(now, EventKind::Released { output });
                }
            }
        }
        Ok(())
    }

    /// What stands against a reset now.
    pub fn reset_refusal(&self) -> Option<ResetRefusal> {
        if self.shutting_down {
            return Some(ResetRefusal::ShuttingDown);
        }
        if self.engine_failed {
            return Some(ResetRefusal::EngineFault);
        }
        let standing =
            (0_u16..)
                .zip(self.rules.iter().zip(&self.compiled))
                .find(|(_, (rule, compiled))| {
                    // A rule that waits to be evaluated has not decided yet either.
                    let clear = rule.state == RuleState::Normal && !compiled.queued;
                    compiled.level == Level::Danger && !clear
                });
        if let Some((rule, _)) = standing {
            return Some(ResetRefusal::RuleNotClear { rule });
        }
        if self.outputs.iter().all(|output| output.latch.is_none()) {
            return Some(ResetRefusal::NothingLatched);
        }
        (0_u16..)
            .zip(&self.outputs)
            .find(|(_, output)| output.latch.is_some() && !output.proved_safe)
            .map(|(output, _)| ResetRefusal::OutputNotConfirmed { output })
    }

    /// Counters since start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// A tag as it is now.
    pub fn tag(&self, tag: TagId) -> Option<TagView> {
        self.tags.get(usize::from(tag.0)).map(|tag| tag.view)
    }

    /// A rule's state, cause, and since when.
    pub fn rule(&self, rule: u16) -> Option<(RuleState, RuleCause, MonoNs)> {
        self.rules
            .get(usize::from(rule))
            .map(|rule| (rule.state, rule.cause, rule.since))
    }

    /// A rule's longest time from sample to confirmed stop, stops confirmed and deadlines missed.
    pub fn rule_latency(&self, rule: u16) -> Option<(DurNs, u64, u64)> {
        self.rules
            .get(usize::from(rule))
            .map(|rule| (rule.latency_max, rule.stops, rule.missed))
    }

    /// What holds an output, `None` when it is released.
    pub fn latch_of(&self, output: u16) -> Option<Latch> {
        self.outputs
            .get(usize::from(output))
            .and_then(|output| output.latch)
    }

    /// Samples that windows dropped because they came faster than planned.
    pub fn window_overruns(&self) -> u64 {
        self.windows
            .iter()
            .fold(0, |sum, window| sum.saturating_add(window.overruns))
    }

    fn set_slot(&mut self, slot: usize, value: f64, usable: bool, origin: MonoNs) {
        if !self.slots.set(&mut self.engine, slot, value, usable) {
            return;
        }
        for position in 0..self.rules_of_slot.of(slot).len() {
            if let Some(rule) = self.rules_of_slot.of(slot).get(position).copied() {
                self.queue_rule(rule, origin);
            }
        }
    }

    fn queue_rule(&mut self, rule: u16, origin: MonoNs) {
        if let Some(compiled) = self.compiled.get_mut(usize::from(rule))
            && !compiled.queued
        {
            compiled.queued = true;
            compiled.origin = origin;
            // Reserved for every rule, and `queued` keeps each in it once: this never allocates.
            self.dirty.push(rule);
        }
    }

    fn degrade(&mut self, index: usize, quality: Quality, cause: Cause, at: MonoNs) {
        let Some(tag) = self.tags.get_mut(index) else {
            return;
        };
        tag.degrade(quality, cause);
        self.set_slot(index, 0.0, false, at);
        // A rule that waited for this tag's first sample must learn that it will not come, though its slot was
        // unusable before too.
        for position in 0..self.rules_of_slot.of(index).len() {
            if let Some(rule) = self.rules_of_slot.of(index).get(position).copied() {
                self.queue_rule(rule, at);
            }
        }
        for position in 0..self.windows_of_tag.of(index).len() {
            let Some(window) = self.windows_of_tag.of(index).get(position).copied() else {
                break;
            };
            if let Some(state) = self.windows.get_mut(usize::from(window)) {
                state.gap();
            }
            let slot = self.first_window.saturating_add(usize::from(window));
            self.set_slot(slot, 0.0, false, at);
            for position in 0..self.rules_of_slot.of(slot).len() {
                if let Some(rule) = self.rules_of_slot.of(slot).get(position).copied() {
                    self.queue_rule(rule, at);
                }
            }
        }
        if let Ok(tag) = u16::try_from(index) {
            self.refresh_qualities_of(TagId(tag), at);
        }
    }

    fn refresh_qualities_of(&mut self, tag: TagId, at: MonoNs) {
        for index in 0..self.qualities.len() {
            if self.qualities.get(index) == Some(&tag) {
                self.refresh_quality(index, at);
            }
        }
    }

    fn refresh_quality(&mut self, index: usize, at: MonoNs) {
        let Some(view) = self.qualities.get(index).and_then(|tag| self.tag(*tag)) else {
            return;
        };
        let slot = self.first_quality.saturating_add(index);
        self.set_slot(slot, quality_number(view.quality), true, at);
    }

    fn refresh_ages(&mut self, now: MonoNs) {
        for index in 0..self.ages.len() {
            let Some(view) = self.ages.get(index).and_then(|tag| self.tag(*tag)) else {
                continue;
            };
            let slot = self.first_age.saturating_add(index);
            let age = nanoseconds(now.since(view.at));
            self.slots.set(&mut self.engine, slot, age, true);
        }
        for position in 0..self.timed.len() {
            if let Some(rule) = self.timed.get(position).copied() {
                self.queue_rule(rule, now);
            }
        }
    }

    fn evaluate(&mut self, index: u16, now: MonoNs) {
        self.counters.evaluations = self.counters.evaluations.saturating_add(1);
        let position = usize::from(index);
        let (Some(compiled), Some(rule)) = (
            self.compiled.get_mut(position),
            self.rules.get_mut(position),
        ) else {
            return;
        };
        compiled.queued = false;
        let origin = compiled.origin;
        let hold = rule.hold();
        let outcome = if self.engine_failed {
            Outcome::Fault(RuleCause::Comparison)
        } else {
            let outcome = evaluate_twice(
                &mut self.engine,
                &self.slots,
                &compiled.program,
                position,
                hold,
            );
            if outcome == Outcome::Fault(RuleCause::Comparison) {
                self.counters.comparison_faults = self.counters.comparison_faults.saturating_add(1);
            }
            outcome
        };
        let missing = rule.state == RuleState::Waiting && self.input_missing(position);
        let Some(rule) = self.rules.get_mut(position) else {
            return;
        };
        if let Some(change) = rule.decide(outcome, origin, now, missing) {
            self.apply(index, change, now);
        }
    }

    /// Whether an input of this rule is still on its way since start: a tag within its first `stale_after`, or a
    /// window that does not span its length yet although its tag is usable.
    fn input_missing(&self, rule: usize) -> bool {
        let initial = |tag: &u16| {
            self.tags
                .get(usize::from(*tag))
                .is_some_and(|tag| tag.initial)
        };
        if self.tags_of_rule.of(rule).iter().any(initial) {
            return true;
        }
        let Some(compiled) = self.compiled.get(rule) else {
            return false;
        };
        let windows = self.first_window..self.first_age;
        tags::slots_of(&compiled.program)
            .filter_map(|slot| usize::try_from(slot).ok())
            .filter(|slot| windows.contains(slot))
            .filter_map(|slot| self.windows.get(slot.saturating_sub(self.first_window)))
            .any(|window| {
                let tag = self.tags.get(usize::from(window.tag.0));
                window.filling() && tag.is_some_and(|tag| tag.view.quality.is_usable())
            })
    }

    fn apply(&mut self, index: u16, change: Change, now: MonoNs) {
        let (tag, view) = self.deciding_tag(usize::from(index), change.cause);
        self.emit(
            now,
            EventKind::Rule {
                rule: index,
                from: change.from,
                to: change.to,
                cause: change.cause,
                tag,
                value: view.map_or(0.0, |view| view.value),
                quality: view.map_or(Quality::Good, |view| view.quality),
                quality_cause: view.map_or(Cause::None, |view| view.cause),
            },
        );
        if change.to == RuleState::Pending {
            // Reserved for every rule; a rule enters Pending only from a state in which it is not in this list.
            if !self.pending.contains(&index) && self.pending.len() < self.pending.capacity() {
                self.pending.push(index);
            }
            return;
        }
        if change.to == RuleState::Active {
            if change.cause.is_engine_fault() {
                self.engine_failed = true;
                self.latch_all(LatchCause::EngineFault, now);
            }
            self.stop_outputs(index, change.cause, now);
        }
    }

    /// The tag to show for a rule: the first that is not usable when that is the cause, else its first.
    fn deciding_tag(&self, rule: usize, cause: RuleCause) -> (Option<TagId>, Option<TagView>) {
        let tags = self.tags_of_rule.of(rule);
        let view = |tag: &u16| self.tags.get(usize::from(*tag)).map(|tag| tag.view);
        let unusable = |tag: &&u16| view(tag).is_some_and(|view| !view.quality.is_usable());
        let chosen = match cause {
            RuleCause::BadInput => tags.iter().find(unusable).or_else(|| tags.first()),
            _ => tags.first(),
        };
        (chosen.map(|tag| TagId(*tag)), chosen.and_then(view))
    }

    fn stop_outputs(&mut self, index: u16, cause: RuleCause, now: MonoNs) {
        let position = usize::from(index);
        let origin = self.rules.get(position).map_or(now, |rule| rule.since);
        let count = self
            .compiled
            .get(position)
            .map_or(0, |rule| rule.stops.len());
        for stop in 0..count {
            let Some(output) = self
                .compiled
                .get(position)
                .and_then(|rule| rule.stops.get(stop))
                .copied()
            else {
                break;
            };
            if self.latch(output, LatchCause::Rule { rule: index, cause }, now, origin) {
                if let Some(state) = self.outputs.get_mut(usize::from(output)) {
                    state.stopping = Some(index);
                }
                if let Some(rule) = self.rules.get_mut(position) {
                    rule.unconfirmed = rule.unconfirmed.saturating_add(1);
                }
            }
        }
    }

    fn latch_all(&mut self, cause: LatchCause, now: MonoNs) {
        for output in 0..self.outputs.len() {
            if let Ok(output) = u16::try_from(output) {
                self.latch(output, cause, now, now);
            }
        }
    }

    fn latch(&mut self, output: u16, cause: LatchCause, now: MonoNs, origin: MonoNs) -> bool {
        let Some(state) = self.outputs.get_mut(usize::from(output)) else {
            return false;
        };
        if !state.latch(cause, now, origin) {
            return false;
        }
        if let Some(permit) = self.permits.get_mut(usize::from(output)) {
            *permit = Permit::Withheld;
        }
        self.emit(now, EventKind::Latched { output, cause });
        true
    }

    fn elapse(&mut self, now: MonoNs) {
        let mut position = 0;
        while let Some(index) = self.pending.get(position).copied() {
            let Some(rule) = self.rules.get_mut(usize::from(index)) else {
                break;
            };
            let change = rule.elapse(now);
            if rule.state == RuleState::Pending {
                position = position.saturating_add(1);
            } else {
                self.pending.swap_remove(position);
            }
            if let Some(change) = change {
                self.apply(index, change, now);
            }
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

/// Both evaluations of a rule; a difference is a fault (H-42).
fn evaluate_twice(
    engine: &mut impl RuleEngine,
    slots: &Slots,
    program: &Program,
    position: usize,
    hold: bool,
) -> Outcome {
    let code = match engine.call(position, hold, program.fuel()) {
        Ok(code) => code,
        Err(CallFault::FuelExceeded { .. }) => return Outcome::Fault(RuleCause::Fuel),
        Err(CallFault::Trap | CallFault::NoSuchIndex) => return Outcome::Fault(RuleCause::Trap),
    };
    let native = rules_expr::eval(program, slots.all(), hold);
    if Tri::from_code(code) == Some(native) {
        Outcome::Decided(native)
    } else {
        Outcome::Fault(RuleCause::Comparison)
    }
}

#[expect(
    clippy::as_conversions,
    reason = "an age as a float; exact for 104 days"
)]
fn nanoseconds(span: DurNs) -> f64 {
    span.as_ns() as f64
}
