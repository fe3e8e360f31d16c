//! Analyzers: who is due, what it is given, what becomes of its answer.

use appliance_sandbox::AnalyzerFault;
use drivers_frame::{Block, Cause, MonoNs, Quality, Sample, WaveformId, planted};

use super::{Lane, RuleEngine};
use crate::analyzer::{Analyzer, AnalyzerEngine, AnalyzerView, Call, Due, FrameFault, ReplayNews};
use crate::event::EventKind;

/// What a frame came to.
type Judged = Result<rules_sdk_abi::Verdict, FrameFault>;

impl<E: RuleEngine, A: AnalyzerEngine> Lane<E, A> {
    /// Takes a block over until the next [`Lane::tick`], in which every analyzer that looks at its waveform runs. Returns
    /// the block that it takes the place of: no analyzer will see that one. Give at most one of each waveform a tick.
    pub fn ingest_block(&mut self, block: Block) -> Option<Block> {
        self.counters.blocks = self.counters.blocks.saturating_add(1);
        let Some(slot) = self.blocks.get_mut(usize::from(block.head().waveform.0)) else {
            self.counters.foreign = self.counters.foreign.saturating_add(1);
            return Some(block);
        };
        for analyzer in &mut self.analyzers {
            analyzer.block(block.head());
        }
        slot.replace(block)
    }

    /// What came instead of a block cannot be used: everything that is derived from its waveform is bad until the next.
    pub fn bad_block(&mut self, WaveformId(waveform): WaveformId, at: MonoNs, cause: Cause) {
        for analyzer in &mut self.analyzers {
            analyzer.bad_block(usize::from(waveform), at, cause);
        }
    }

    /// After a tick: a block that is done with. Until there is none.
    pub fn take_block(&mut self) -> Option<Block> {
        self.blocks.iter_mut().find_map(Option::take)
    }

    /// A shadow instance spoke up at a known-bad frame, in a trial that was due at `at`.
    pub fn canary_passed(&mut self, analyzer: u16, at: MonoNs, now: MonoNs) {
        let state = self.analyzers.get_mut(usize::from(analyzer));
        if state.is_some_and(|state| state.canary_passed(at)) {
            self.emit(now, EventKind::CanaryPassed { analyzer });
        }
    }

    /// A shadow instance did not speak up at a known-bad frame: from the next tick on nothing that the analyzer says
    /// counts, until a trial passes (H-40).
    pub fn canary_missed(&mut self, analyzer: u16, now: MonoNs) {
        let state = self.analyzers.get_mut(usize::from(analyzer));
        if state.is_some_and(Analyzer::canary_missed) {
            self.emit(now, EventKind::CanaryMissed { analyzer });
        }
    }

    /// A comparison of an analyzer with a clean instance, which was due at `at`, is over (H-41). What it says counts as before;
    /// that it differs is told.
    pub fn replayed(&mut self, analyzer: u16, news: ReplayNews, at: MonoNs, now: MonoNs) {
        let state = self.analyzers.get_mut(usize::from(analyzer));
        if let Some(state) = state.and_then(|state| state.replayed(news, at)) {
            self.emit(now, EventKind::Replayed { analyzer, state });
        }
    }

    /// What runs the analyzers: for whoever measures it.
    pub fn analyzer_engine(&self) -> &A {
        &self.engine_of_analyzers
    }

    /// The same, to take out what was measured and blocks that are done with.
    pub fn analyzer_engine_mut(&mut self) -> &mut A {
        &mut self.engine_of_analyzers
    }

    /// What can be seen of an analyzer.
    pub fn analyzer(&self, analyzer: u16) -> Option<AnalyzerView> {
        let state = self.analyzers.get(usize::from(analyzer))?;
        Some(state.view)
    }

    /// When an analyzer must run if nothing arrives.
    pub(super) fn analyzers_due(&self) -> MonoNs {
        let due = self.analyzers.iter().map(Analyzer::next_due);
        due.min().unwrap_or(MonoNs::NEVER)
    }

    /// The analyzers that read this tag have something to look at.
    pub(super) fn tell_analyzers(&mut self, tag: usize, at: MonoNs) {
        for index in self.analyzers_of_tag.of(tag) {
            if let Some(analyzer) = self.analyzers.get_mut(usize::from(*index)) {
                analyzer.input_news(at);
            }
        }
    }

    /// What an analyzer that is due will renew in this very tick is not stale because the tick came late: as a sample that
    /// arrived in time is not.
    pub(super) fn spare_the_due(&mut self, now: MonoNs) {
        for analyzer in &self.analyzers {
            if !analyzer.background && analyzer.due(now).is_some() {
                for tag in analyzer.judge.tags() {
                    self.freshness.touch(tag, now);
                }
            }
        }
    }

    /// Runs what is due, in the order of the plan: what one derives, a later one reads in the same tick. Class background
    /// comes behind, with what is newest.
    pub(super) fn run_analyzers(&mut self, now: MonoNs) {
        if self.analyzers.is_empty() {
            return;
        }
        for index in 0..self.analyzers.len() {
            let (Some(state), Ok(analyzer)) = (self.analyzers.get_mut(index), u16::try_from(index))
            else {
                break;
            };
            let late = state.replay_overdue(now);
            if state.canary_overdue(now) {
                self.emit(now, EventKind::CanaryMissed { analyzer });
            }
            if let Some(state) = late {
                self.emit(now, EventKind::Replayed { analyzer, state });
            }
            self.run_analyzer(index, analyzer, now);
        }
        self.hand_over(None, now);
        for waveform in 0..self.blocks.len() {
            self.hand_over(Some(waveform), now);
        }
    }

    fn run_analyzer(&mut self, index: usize, analyzer: u16, now: MonoNs) {
        let Some(state) = self
            .analyzers
            .get_mut(index)
            .filter(|state| !state.background)
        else {
            return;
        };
        let Some(due) = state.due(now) else {
            return;
        };
        if due != Due::Frame {
            state.told();
        }
        let (judged, at) = match due {
            Due::Canary => (Err(FrameFault::Canary), state.advance(now, now)),
            Due::Bad(at, cause) => {
                let at = state.advance(at, now);
                self.derive_nothing(index, cause, at);
                return;
            }
            Due::Frame => {
                let (at, gap) = state.begin(&self.tags, now);
                let waveform = state.waveform.as_ref();
                let block = waveform.and_then(|own| self.blocks.get(own.index)?.as_ref());
                let call = Call {
                    at,
                    gap,
                    inputs: &state.values,
                    block,
                };
                state.view.calls = state.view.calls.saturating_add(1);
                let dead = state.is_dead();
                let judged = if dead {
                    Err(FrameFault::Canary)
                } else {
                    let answer = self
                        .engine_of_analyzers
                        .process(index, &call, &mut state.outputs);
                    state.judge.judge(answer, at)
                };
                state.end(!dead);
                (judged, at)
            }
        };
        self.conclude(index, analyzer, judged, at, now);
        // Of a lane that was held up: what caused the frame may be older than what comes of it may be. It counts for nothing,
        // for whoever reads it in this tick too (I4).
        self.notice_stale(now);
    }

    /// What was judged becomes samples of the analyzer's tags, in this tick.
    fn conclude(&mut self, index: usize, analyzer: u16, judged: Judged, at: MonoNs, now: MonoNs) {
        let mut position = 0;
        let shown = match self.analyzers.get(index).and_then(|state| state.view.last) {
            Some(Ok(before)) if judged.is_err() && planted!(DeclaredVerdictLate) => Ok(before),
            _ => judged,
        };
        while let Some(sample) = self
            .analyzers
            .get(index)
            .and_then(|state| state.judge.sample(position, shown, &state.outputs, at))
        {
            self.ingest(&sample);
            position = position.saturating_add(1);
        }
        let Some(state) = self.analyzers.get_mut(index) else {
            return;
        };
        let before = state.view.last.replace(judged);
        match judged {
            Ok(verdict) => {
                let returned = std::mem::take(&mut state.gone);
                let was = match before {
                    None => rules_sdk_abi::Level::Normal,
                    Some(Ok(before)) => before.level,
                    Some(Err(_)) => state.judge.failure_level(),
                };
                if returned {
                    self.replaced(index, analyzer, false, now);
                }
                if was != verdict.level {
                    self.emit(now, EventKind::AnalyzerVerdict { analyzer, verdict });
                }
            }
            Err(fault) => {
                state.view.faults = state.view.faults.saturating_add(1);
                // One that fails the same way frame by frame is told once, and counted (H-77).
                let told =
                    before.is_some_and(|before| before.is_err_and(|before| before.is_like(fault)));
                self.failed(index, analyzer, fault, told, now);
            }
        }
    }

    fn failed(&mut self, index: usize, analyzer: u16, fault: FrameFault, told: bool, now: MonoNs) {
        const NO_SPARE: FrameFault = FrameFault::Module(AnalyzerFault::NoSpare);
        let lost = match fault {
            // Told when it was missed; it speaks of the module, and the next instance is no better.
            FrameFault::Canary => return,
            FrameFault::Flapping => {
                self.engine_of_analyzers.replace(index);
                true
            }
            FrameFault::Module(fault) => fault.instance_is_lost(),
        };
        if fault != NO_SPARE && !told {
            self.emit(now, EventKind::AnalyzerFailed { analyzer, fault });
        }
        if !lost {
            return;
        }
        let seated = self.engine_of_analyzers.spares(index).is_some();
        let Some(state) = self.analyzers.get_mut(index) else {
            return;
        };
        let was_gone = std::mem::replace(&mut state.gone, !seated);
        if seated {
            self.replaced(index, analyzer, told, now);
        } else if !was_gone {
            let fault = NO_SPARE;
            self.emit(now, EventKind::AnalyzerFailed { analyzer, fault });
        }
    }

    fn replaced(&mut self, index: usize, analyzer: u16, told: bool, now: MonoNs) {
        let left = self.engine_of_analyzers.spares(index).unwrap_or(0);
        if let Some(state) = self.analyzers.get_mut(index) {
            state.view.replaced = state.view.replaced.saturating_add(1);
        }
        if !told {
            self.emit(now, EventKind::AnalyzerReplaced { analyzer, left });
        }
    }

    /// Nothing can be derived: every tag is bad, the verdict too.
    fn derive_nothing(&mut self, index: usize, cause: Cause, at: MonoNs) {
        let mut position = 0;
        while let Some(tag) = self
            .analyzers
            .get(index)
            .and_then(|state| state.judge.tags().nth(position))
        {
            self.ingest(&Sample {
                at,
                value: 0.0,
                tag,
                quality: Quality::Bad,
                cause,
            });
            position = position.saturating_add(1);
        }
    }

    /// Hands the frames of class background over: those about one waveform with its block, or those about none.
    fn hand_over(&mut self, waveform: Option<usize>, now: MonoNs) {
        let due = |state: &Analyzer| {
            let own = state.waveform.as_ref().map(|waveform| waveform.index);
            state.background && own == waveform && state.due(now) == Some(Due::Frame)
        };
        let mut any = false;
        for index in 0..self.analyzers.len() {
            let Some(state) = self.analyzers.get_mut(index).filter(|state| due(state)) else {
                continue;
            };
            any = true;
            let (at, gap) = state.begin(&self.tags, now);
            let call = Call {
                at,
                gap,
                inputs: &state.values,
                block: None,
            };
            state.view.calls = state.view.calls.saturating_add(1);
            self.engine_of_analyzers.stage(index, &call);
            state.staged = true;
        }
        if !any {
            return;
        }
        let mut slot = waveform.and_then(|waveform| self.blocks.get_mut(waveform));
        let block = slot.as_mut().and_then(|slot| slot.take());
        let taken = match self.engine_of_analyzers.submit(block) {
            Ok(()) => true,
            Err(block) => {
                if let Some(slot) = slot {
                    *slot = block;
                }
                false
            }
        };
        for state in &mut self.analyzers {
            if std::mem::take(&mut state.staged) {
                state.end(taken);
                let dropped = u64::from(!taken);
                state.view.faults = state.view.faults.saturating_add(dropped);
            }
        }
    }
}
