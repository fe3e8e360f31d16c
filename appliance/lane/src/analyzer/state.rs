//! One analyzer as the lane keeps it: when it is due, what it is given, whether what it says may count.

use appliance_sandbox::{InputValue, OutputValue};
use drivers_frame::{BlockHead, Cause, DurNs, MonoNs, Quality, planted};
use rules_bundle::{AnalyzerClass, AnalyzerInput, AnalyzerPlan, LanePlan, Trigger};

use super::Judge;
use super::judge::Judged;
use super::replay::{Replay, ReplayNews, ReplayState};
use crate::tags::Tag;

/// What can be seen of an analyzer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AnalyzerView {
    /// Frames it was asked about, or that were handed to it.
    pub calls: u64,
    /// Frames that counted for nothing. Of class background those that were dropped: the rest is known to its thread.
    pub faults: u64,
    /// Blocks that came before it was due again.
    pub skipped: u64,
    /// Times that a spare took over.
    pub replaced: u64,
    /// What its newest frame came to; `None` before the first, and for class background.
    pub last: Option<Judged>,
    /// What its canary says.
    pub canary: CanaryState,
    /// What comparisons with a clean instance say.
    pub replay: ReplayState,
}

/// What a canary says of an analyzer (H-40).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CanaryState {
    /// It has none.
    #[default]
    None,
    /// It spoke up in time, or its first trial is not over yet.
    Alive,
    /// It did not.
    Missed,
}

/// Why an analyzer has something to say in this tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// There is something to look at.
    Frame,
    /// What came instead of a block cannot be used: since when, and why.
    Bad(MonoNs, Cause),
    /// Its canary was missed just now.
    Canary,
}

/// See the module.
pub(crate) struct Analyzer {
    inputs: Vec<AnalyzerInput>,
    /// What each input's tag showed at the last call.
    seen: Vec<(MonoNs, Quality)>,
    pub(crate) values: Vec<InputValue>,
    pub(crate) outputs: Vec<OutputValue>,
    pub(crate) judge: Judge,
    pub(crate) background: bool,
    pub(crate) waveform: Option<Waveform>,
    trigger: Trigger,
    /// Something arrived since the last call: the arrival of the first of it.
    news: Option<MonoNs>,
    /// When the next call may be, of one that has a period.
    next: MonoNs,
    canary: Option<Canary>,
    replay: Option<Replay>,
    /// It has no instance.
    pub(crate) gone: bool,
    /// A frame of class background is on its way.
    pub(crate) staged: bool,
    last_at: MonoNs,
    pub(crate) view: AnalyzerView,
}

/// The waveform of an analyzer.
pub(crate) struct Waveform {
    pub(crate) index: usize,
    /// A block that waits for the tick: its number, and whether one is missing before it.
    block: Option<(u64, bool)>,
    bad: Option<(MonoNs, Cause)>,
    /// Number of the block that would continue the one it was given last.
    continues: Option<u64>,
}

/// Watches that the canary comes back in time.
#[derive(Clone, Copy, Debug)]
struct Canary {
    every: DurNs,
    within: DurNs,
    due: MonoNs,
    missed: bool,
    /// It was missed, and the tags do not say so yet.
    untold: bool,
}

impl Analyzer {
    fn new(plan: &AnalyzerPlan, start: MonoNs) -> Self {
        let canary = plan.canary.as_ref().map(|canary| Canary {
            every: canary.every,
            within: canary.within,
            due: start.after(canary.every).after(canary.within),
            missed: false,
            untold: false,
        });
        Self {
            seen: vec![(start, Quality::Stale); plan.inputs.len()],
            values: vec![InputValue::default(); plan.inputs.len()],
            inputs: plan.inputs.clone(),
            outputs: vec![OutputValue::BAD; plan.outputs.len()],
            judge: Judge::new(plan),
            background: plan.class == AnalyzerClass::Background,
            waveform: plan.waveform.map(|waveform| Waveform {
                index: usize::from(waveform.index.0),
                block: None,
                bad: None,
                continues: None,
            }),
            trigger: plan.trigger,
            news: None,
            next: start,
            gone: false,
            staged: false,
            last_at: start,
            view: AnalyzerView {
                canary: match canary {
                    Some(_) => CanaryState::Alive,
                    None => CanaryState::None,
                },
                replay: match plan.replay {
                    Some(_) => ReplayState::Waiting,
                    None => ReplayState::None,
                },
                ..AnalyzerView::default()
            },
            canary,
            replay: plan
                .replay
                .as_ref()
                .map(|replay| Replay::new(replay, start)),
        }
    }

    /// A sample of an input arrived, or an input became bad or stale.
    pub(crate) fn input_news(&mut self, at: MonoNs) {
        // With a waveform only a block makes it run: else a living scalar would keep alive what a dead waveform said (I4).
        if self.waveform.is_none() && self.trigger == Trigger::News {
            self.news.get_or_insert(at);
        }
    }

    /// Its waveform, if it is this one.
    fn waveform_of(&mut self, waveform: usize) -> Option<&mut Waveform> {
        self.waveform.as_mut().filter(|own| own.index == waveform)
    }

    /// A block of a waveform arrived.
    pub(crate) fn block(&mut self, head: &BlockHead) {
        let period = matches!(self.trigger, Trigger::Every(_));
        let early = period && head.at < self.next;
        let Some(waveform) = self.waveform_of(usize::from(head.waveform.0)) else {
            return;
        };
        waveform.bad = None;
        if early {
            self.view.skipped = self.view.skipped.saturating_add(1);
            return;
        }
        let follows = waveform.continues == Some(head.sequence);
        let gap = (head.gap || !follows) && !planted!(BlockGapUntold);
        waveform.block = Some((head.sequence, gap));
        self.news = Some(head.at);
    }

    /// What came instead of a block of a waveform cannot be used.
    pub(crate) fn bad_block(&mut self, waveform: usize, at: MonoNs, cause: Cause) {
        if let Some(waveform) = self.waveform_of(waveform)
            && !planted!(BadBlockIgnored)
        {
            waveform.bad = Some((at, cause));
        }
    }

    /// Whether it must run at `now`.
    pub(crate) fn due(&self, now: MonoNs) -> Option<Due> {
        let frame = match (&self.waveform, self.trigger) {
            (None, Trigger::Every(_)) => now >= self.next,
            _ => self.news.is_some(),
        };
        let bad = self.waveform.as_ref().and_then(|waveform| waveform.bad);
        let untold = self.canary.is_some_and(|canary| canary.untold);
        match (frame, bad, untold) {
            (true, ..) => Some(Due::Frame),
            (false, Some((at, cause)), _) => Some(Due::Bad(at, cause)),
            (false, None, true) => Some(Due::Canary),
            (false, None, false) => None,
        }
    }

    /// When it must run if nothing arrives.
    pub(crate) fn next_due(&self) -> MonoNs {
        let own = match (&self.waveform, self.trigger) {
            (None, Trigger::Every(_)) => self.next,
            _ => MonoNs::NEVER,
        };
        let replay = self.replay.map_or(MonoNs::NEVER, |replay| replay.due);
        own.min(replay).min(match self.canary {
            Some(canary) if canary.untold => MonoNs::ZERO,
            Some(canary) if !canary.missed => canary.due,
            _ => MonoNs::NEVER,
        })
    }

    /// Whether its canary is overdue since now.
    pub(crate) fn canary_overdue(&mut self, now: MonoNs) -> bool {
        self.canary.is_some_and(|canary| now > canary.due) && self.canary_missed()
    }

    /// Its canary did not make a shadow instance speak. `true` when that is news.
    pub(crate) fn canary_missed(&mut self) -> bool {
        let Some(canary) = self.canary.as_mut().filter(|canary| !canary.missed) else {
            return false;
        };
        canary.missed = true;
        // Of class background its own thread tells.
        canary.untold = !self.background;
        self.view.canary = CanaryState::Missed;
        true
    }

    /// Its canary made a shadow instance speak, in a trial that was due at `at`. `true` when it had not before.
    pub(crate) fn canary_passed(&mut self, at: MonoNs) -> bool {
        let Some(canary) = &mut self.canary else {
            return false;
        };
        canary.due = at.after(canary.every).after(canary.within);
        canary.untold = false;
        self.view.canary = CanaryState::Alive;
        std::mem::take(&mut canary.missed)
    }

    /// A comparison with a clean instance that was due at `at` is over. What it is now, when that is to be told.
    pub(crate) fn replayed(&mut self, news: ReplayNews, at: MonoNs) -> Option<ReplayState> {
        self.replay.as_mut()?.over(at);
        self.replay_news(news)
    }

    /// Whether a comparison is overdue since now. What it is then, when that is to be told.
    pub(crate) fn replay_overdue(&mut self, now: MonoNs) -> Option<ReplayState> {
        let overdue = self.replay.as_mut()?.is_overdue(now);
        overdue.then_some(())?;
        self.replay_news(ReplayNews::Late)
    }

    fn replay_news(&mut self, news: ReplayNews) -> Option<ReplayState> {
        let after = self.view.replay.after(news);
        let before = std::mem::replace(&mut self.view.replay, after);
        // That the first one agrees is what everybody expects.
        let expected = (before, after) == (ReplayState::Waiting, ReplayState::Agrees);
        (before != after && !expected).then_some(after)
    }

    /// Whether nothing that it says may count now.
    pub(crate) fn is_dead(&self) -> bool {
        self.canary.is_some_and(|canary| canary.missed)
    }

    /// A frame begins: takes the inputs from the lane's tags. Its time, and whether samples are missing before its block.
    pub(crate) fn begin(&mut self, tags: &[Tag], now: MonoNs) -> (MonoNs, bool) {
        for ((input, seen), value) in self.inputs.iter().zip(&mut self.seen).zip(&mut self.values) {
            let Some(view) = tags.get(usize::from(input.tag.0)).map(|tag| tag.view) else {
                continue;
            };
            let scaled = view.value * input.scale + input.offset;
            let usable = view.quality.is_usable();
            let shown = (view.at, view.quality);
            *value = InputValue {
                value: if usable { scaled } else { 0.0 },
                quality: if planted!(BadInputAsGood) {
                    Quality::Good
                } else {
                    view.quality
                },
                changed: shown != *seen,
            };
            *seen = shown;
        }
        if let Trigger::Every(period) = self.trigger {
            let next = self.next.after(period);
            // Frames that were missed are not made up for.
            self.next = if next > now { next } else { now.after(period) };
        }
        let gap = self
            .waveform
            .as_mut()
            .and_then(|waveform| {
                waveform.bad = None;
                waveform.block.as_ref()
            })
            .is_some_and(|(_, gap)| *gap);
        let arrived = self.news.take().unwrap_or(now);
        (self.advance(arrived, now), gap)
    }

    /// The time of a frame: that of what caused it, but never before that of the frame before, whose samples would be
    /// newer.
    pub(crate) fn advance(&mut self, arrived: MonoNs, now: MonoNs) -> MonoNs {
        self.last_at = arrived.min(now).max(self.last_at);
        self.last_at
    }

    /// The frame is over. Whether the analyzer has seen its block decides what follows it without a gap.
    pub(crate) fn end(&mut self, given: bool) {
        if let Some(waveform) = &mut self.waveform
            && let Some((sequence, _)) = waveform.block.take()
            && given
        {
            waveform.continues = Some(sequence.wrapping_add(1));
        }
    }

    /// What was due beside a frame was told.
    pub(crate) fn told(&mut self) {
        if let Some(waveform) = &mut self.waveform {
            waveform.bad = None;
        }
        if let Some(canary) = &mut self.canary {
            canary.untold = false;
        }
    }

    /// Whether its settings are what was loaded (H-33).
    pub(crate) fn is_intact(&self) -> bool {
        self.judge.is_intact()
    }
}

/// The analyzers of a lane, in the order in which they run.
pub(crate) fn analyzers(plan: &LanePlan, start: MonoNs) -> Vec<Analyzer> {
    plan.analyzers()
        .map(|(_, _, analyzer)| Analyzer::new(analyzer, start))
        .collect()
}
