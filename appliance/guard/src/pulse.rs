//! What a lane shows of itself to whoever watches it, and what the watcher shows back: a few words, no lock.
//!
//! Which thread: one lane writes a [`Pulse`], the sentinel writes the [`Orders`]; anybody reads. May it block: no; each
//! operation is one load or store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use drivers_frame::{DurNs, MonoNs};

use crate::window::Fault;

/// Where a lane's thread is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not in its loop yet.
    Starting = 0,
    /// In its loop.
    Running = 1,
    /// It left its loop in order.
    Ended = 2,
    /// It panicked.
    Died = 3,
}

/// The stages of a turn with a tick, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Acquire = 1,
    Ingest = 2,
    Obey = 3,
    Tick = 4,
    Drive = 5,
    Confirm = 6,
}

/// Signature of a turn in which every stage was passed once, in order.
pub(crate) const EXPECTED: u32 = pass(
    pass(
        pass_lane(
            pass(pass(pass(0, Stage::Acquire), Stage::Ingest), Stage::Obey),
            appliance_lane::EXPECTED_SIGNATURE,
        ),
        Stage::Drive,
    ),
    Stage::Confirm,
);

/// Adds a stage to a signature. Order counts: rotate and multiply do not commute.
#[expect(
    clippy::as_conversions,
    reason = "a discriminant from 1 to 6, in a const function"
)]
const fn pass(signature: u32, stage: Stage) -> u32 {
    (signature.rotate_left(5) ^ stage as u32).wrapping_mul(0x9E37_79B1)
}

/// Adds the tick with the signature of its own stages.
const fn pass_lane(signature: u32, lane: u32) -> u32 {
    pass(signature, Stage::Tick).wrapping_add(lane)
}

/// Ticks since start and the sum of their signatures, both modulo 2^32: one word, so that they belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) ticks: u32,
    pub(crate) signatures: u32,
}

/// What a lane publishes. On cache lines of its own: a lane that spins writes it each tick.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Pulse {
    phase: AtomicU8,
    feeds: AtomicU64,
    work: AtomicU64,
}

impl Pulse {
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Running,
            2 => Phase::Ended,
            _ => Phase::Died,
        }
    }

    #[expect(clippy::as_conversions, reason = "the discriminant is the word")]
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Timer turns completed.
    pub(crate) fn feeds(&self) -> u64 {
        self.feeds.load(Ordering::Acquire)
    }

    pub(crate) fn work(&self) -> Work {
        let word = self.work.load(Ordering::Acquire);
        let half = |word: u64| u32::try_from(word & 0xFFFF_FFFF).unwrap_or(0);
        Work {
            ticks: half(word >> 32),
            signatures: half(word),
        }
    }
}

/// What the sentinel says back, to the lane and to the main thread.
#[repr(align(128))]
pub(crate) struct Orders {
    forbidden: AtomicBool,
    silent: AtomicBool,
    /// 0, or one more than the place in [`Fault::ALL`].
    fault: AtomicU8,
    outputs: Box<[OutputWord]>,
}

/// What the sentinel knows of one output that it stopped.
#[derive(Default)]
pub(crate) struct OutputWord {
    connected: AtomicBool,
    proved: AtomicBool,
}

impl Orders {
    /// For a lane with so many outputs.
    pub(crate) fn new(outputs: usize) -> Self {
        Self {
            forbidden: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            fault: AtomicU8::new(0),
            outputs: std::iter::repeat_with(OutputWord::default)
                .take(outputs)
                .collect(),
        }
    }

    /// From now on the lane must not write a run value, ever.
    pub(crate) fn forbid(&self, fault: Fault) {
        self.forbidden.store(true, Ordering::SeqCst);
        let place = Fault::ALL.iter().position(|known| *known == fault);
        let word = place.and_then(|place| u8::try_from(place.saturating_add(1)).ok());
        self.fault.store(word.unwrap_or(1), Ordering::Release);
    }

    /// Whether it must not.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.forbidden.load(Ordering::SeqCst)
    }

    /// Why it must not.
    pub(crate) fn fault(&self) -> Option<Fault> {
        let place = usize::from(self.fault.load(Ordering::Acquire)).checked_sub(1)?;
        Fault::ALL.get(place).copied()
    }

    /// Whether the lane does nothing at present: no answer is to be expected of it.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Acquire)
    }

    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Release);
    }

    pub(crate) fn set_output(&self, output: usize, connected: bool, proved: bool) {
        if let Some(word) = self.outputs.get(output) {
            word.connected.store(connected, Ordering::Release);
            word.proved.store(proved, Ordering::Release);
        }
    }

    /// Connected to, and proved safe by, the sentinel.
    pub(crate) fn output(&self, output: usize) -> (bool, bool) {
        self.outputs.get(output).map_or((false, false), |word| {
            (
                word.connected.load(Ordering::Acquire),
                word.proved.load(Ordering::Acquire),
            )
        })
    }

    /// Whether every output was proved safe by the sentinel.
    pub(crate) fn all_proved(&self) -> bool {
        self.outputs
            .iter()
            .all(|word| word.proved.load(Ordering::Acquire))
    }
}

/// The lane's end: gathers the checkpoints of a turn and publishes them.
pub(crate) struct Beat {
    pulse: Arc<Pulse>,
    period: DurNs,
    signature: u32,
    work: Work,
    feeds: u64,
    next_feed: MonoNs,
}

impl Beat {
    pub(crate) fn new(pulse: Arc<Pulse>, period: DurNs) -> Self {
        Self {
            pulse,
            period,
            signature: 0,
            work: Work::default(),
            feeds: 0,
            next_feed: MonoNs::ZERO,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.pulse.enter(phase);
    }

    /// A turn begins.
    pub(crate) fn begin(&mut self) {
        self.signature = 0;
    }

    /// A stage was passed to its end.
    pub(crate) fn pass(&mut self, stage: Stage) {
        self.signature = pass(self.signature, stage);
    }

    /// The tick was passed, and passed its own stages as this signature of the lane says.
    pub(crate) fn pass_tick(&mut self, lane: u32) {
        self.signature = pass_lane(self.signature, lane);
    }

    /// A turn with a tick that began at `at` is complete. Feeds the watchdog once a timer period.
    pub(crate) fn complete(&mut self, at: MonoNs) {
        self.work.ticks = self.work.ticks.wrapping_add(1);
        self.work.signatures = self.work.signatures.wrapping_add(self.signature);
        let word = (u64::from(self.work.ticks) << 32) | u64::from(self.work.signatures);
        self.pulse.work.store(word, Ordering::Release);
        if at >= self.next_feed {
            self.next_feed = at.after(self.period);
            self.feed();
        }
    }

    /// Feeds at once.
    pub(crate) fn feed(&mut self) {
        self.feeds = self.feeds.wrapping_add(1);
        self.pulse.feeds.store(self.feeds, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [Stage; 6] = [
        Stage::Acquire,
        Stage::Ingest,
        Stage::Obey,
        Stage::Tick,
        Stage::Drive,
        Stage::Confirm,
    ];

    fn signature(stages: &[Stage]) -> u32 {
        stages.iter().fold(0, |sum, stage| match stage {
            Stage::Tick => pass_lane(sum, appliance_lane::EXPECTED_SIGNATURE),
            _ => pass(sum, *stage),
        })
    }

    #[test]
    fn h32_a_stage_left_out_repeated_or_out_of_order_shows() {
        assert_eq!(signature(&STAGES), EXPECTED);
        for (at, stage) in STAGES.iter().enumerate() {
            let mut without = STAGES.to_vec();
            without.remove(at);
            assert_ne!(signature(&without), EXPECTED, "H-32: without {at}");
            let mut twice = STAGES.to_vec();
            twice.insert(at, *stage);
            assert_ne!(signature(&twice), EXPECTED, "H-32: {at} twice");
            for other in at + 1..STAGES.len() {
                let mut swapped = STAGES.to_vec();
                swapped.swap(at, other);
                assert_ne!(signature(&swapped), EXPECTED, "H-32: {at} for {other}");
            }
        }
    }

    #[test]
    fn h32_a_stage_that_the_lane_skipped_inside_its_tick_shows() {
        for lane in [0, 1, appliance_lane::EXPECTED_SIGNATURE ^ 1] {
            let pulse = Arc::new(Pulse::default());
            let mut beat = Beat::new(Arc::clone(&pulse), DurNs::from_ms(1));
            for stage in STAGES {
                match stage {
                    Stage::Tick => beat.pass_tick(lane),
                    _ => beat.pass(stage),
                }
            }
            beat.complete(MonoNs::ZERO);
            assert_ne!(pulse.work().signatures, EXPECTED, "H-32");
        }
    }

    #[test]
    fn a_feed_is_one_a_period_however_often_the_lane_ticks() {
        let pulse = Arc::new(Pulse::default());
        let mut beat = Beat::new(Arc::clone(&pulse), DurNs::from_ms(1));
        for turn in 0..10_000_u64 {
            beat.begin();
            for stage in STAGES {
                match stage {
                    Stage::Tick => beat.pass_tick(appliance_lane::EXPECTED_SIGNATURE),
                    _ => beat.pass(stage),
                }
            }
            beat.complete(MonoNs::from_ns(turn * 10_000));
        }
        assert_eq!(pulse.feeds(), 100);
        let work = pulse.work();
        assert_eq!(work.ticks, 10_000);
        assert_eq!(work.signatures, EXPECTED.wrapping_mul(10_000));
    }

    #[test]
    fn a_fault_is_told_as_it_was_and_forbids() {
        for fault in Fault::ALL {
            let orders = Orders::new(2);
            assert!(!orders.is_forbidden());
            assert_eq!(orders.fault(), None);
            orders.forbid(fault);
            assert!(orders.is_forbidden());
            assert_eq!(orders.fault(), Some(fault));
            orders.set_output(0, true, true);
            assert!(!orders.all_proved());
            orders.set_output(1, true, true);
            assert!(orders.all_proved());
        }
    }

    #[test]
    fn every_phase_comes_back_as_it_was() {
        let pulse = Pulse::default();
        assert_eq!(pulse.phase(), Phase::Starting);
        for phase in [Phase::Running, Phase::Ended, Phase::Died, Phase::Starting] {
            pulse.enter(phase);
            assert_eq!(pulse.phase(), phase);
        }
    }
}
