//! Bugs that can be planted to prove that the simulator sees them; in no product.
//!
//! `planted!(LateReplyMatched)` stands where a bug of that name would be. Without the feature `planted`, which only
//! the campaign that proves the simulator turns on, it is `false` at compile time and nothing is left of it. With the
//! feature the campaign chooses at run time which one is active, so that one build serves all of them
//! (`docs/decisions/0009-planted-bugs.md`).

#[cfg(not(feature = "planted"))]
use crate::MonoNs;

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Bug {
            $($(#[$doc])* $name,)*
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name, as the campaign prints and takes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

bugs! {
    /// The transaction id of a Modbus reply is not compared: a late reply answers the next request (H-7).
    LateReplyMatched,
    /// The unit of a Modbus reply is not compared (H-8).
    WrongUnitAccepted,
    /// The function of a Modbus reply is not compared (H-8).
    WrongFunctionAccepted,
    /// Registers are taken one place further on (I5).
    OffByOneRegister,
    /// Bytes beyond a reply do not poison the connection (H-13).
    DuplicateReplyMatched,
    /// An exception reply gives the last values again, as if they had been read (H-10).
    ExceptionAsValue,
    /// The deadline of a request is not looked at (H-6).
    ReplyDeadlineIgnored,
    /// Retained MQTT messages are taken as fresh (H-18).
    RetainedAccepted,
    /// Redelivered MQTT messages are taken as fresh (H-18).
    RedeliveredAccepted,
    /// A frame that found no room in the queue is not told (H-25).
    OverflowNotTold,
    /// What waited in a full queue is believed after the loss (H-25).
    OverflowForgotten,
    /// The number of a bad sample is usable (I6).
    BadCountedGood,
    /// Nothing ever goes stale (I4).
    StaleNeverNoticed,
    /// A window goes on over a gap as if there was none (I4).
    WindowKeepsGap,
    /// A rule fires at once, without its on-delay.
    OnDelayIgnored,
    /// A rule fires after twice its on-delay (I1).
    OnDelayTwice,
    /// The dead band holds while a rule is normal, and not while it is active.
    DeadBandInverted,
    /// One rule is never evaluated (I1).
    RuleForgotten,
    /// A rule whose input is bad waits for its on-delay (I6).
    BadDelayed,
    /// Outputs start released (I9).
    BootNotTripped,
    /// A reset releases while a rule stands (I3).
    ResetWhileCause,
    /// A reset releases although a stop was not proved (I3).
    ResetUnproved,
    /// A reset acts when it is pressed (H-54).
    ResetOnPress,
    /// A release needs no press of the same hand (H-54).
    NonceUnchecked,
    /// A reset may be held as shortly or as long as one likes (H-54).
    HoldUnchecked,
    /// A cause that comes between press and release does not undo the press (I3).
    LatchRace,
    /// A rule that is normal again releases its outputs (I3).
    LatchNotKept,
    /// A later cause replaces the first-out (I8).
    FirstOutOverwritten,
    /// Only the first group that a rule stops is latched (I1).
    SecondStopForgotten,
    /// An output that fails is not latched (H-57).
    OutputFaultIgnored,
    /// An echo is not compared with what was written (H-57).
    EchoUnchecked,
    /// A missing echo is never noticed (H-57).
    MissingEchoIgnored,
    /// The permit goes on being refreshed while it is withheld (I2).
    PermitWhileLatched,
    /// The safe value is written once, and not again (H-60).
    SafeWrittenOnce,
    /// A stop waits for the answer to what was sent before it (H-61).
    StopWaitsForEcho,
    /// A bad channel of a voting counts as one that is well: 2oo3 with one bad channel is 2oo2 (H-49).
    VoteBadAsOk,
    /// A vote needs one channel more than its pack says (I1).
    VoteNeedsOneMore,
    /// A bypassed channel votes on.
    BypassWithoutEffect,
    /// A bypass never ends (H-55).
    BypassNeverEnds,
    /// A channel counts again with its first good sample (the pack's quiet time).
    QuietTimeIgnored,
    /// A rule is normal as soon as its condition is over.
    OffDelayIgnored,
    /// Two channels of one voting may be bypassed together (H-56).
    TwoBypassesOfAVoting,
    /// What the written place holds is not compared with what was written (H-58).
    ReadBackUncompared,
    /// A contactor that does not follow is not seen (H-59).
    FeedbackIgnored,
    /// A stop that is not proved trips nothing else (H-57, H-59).
    EscalationLeftOut,
    /// The device's watchdog counts as armed as soon as it was told to be (H-64).
    DeviceWatchdogAssumed,
    /// The device's watchdog is looked at once, and not again (H-64).
    DeviceWatchdogLookedAtOnce,
    /// A permit is given although the device's watchdog is not armed (H-64).
    PermitUnguarded,
    /// The permit is refreshed four times too rarely: the device's watchdog is not fed in time.
    WatchdogFedLate,
    /// A category 1 stop removes the power at once.
    PowerOffEarly,
    /// A category 1 stop removes the power after twice its time (I1).
    PowerOffLate,
    /// A category 1 stop never removes the power (I1).
    PowerOffNever,
    /// The power stays on for its time although the output that asks for the controlled stop has failed (H-57).
    ControlledStopFailureIgnored,
    /// A value that jumps faster than its quantity can is believed (H-4).
    RateIgnored,
    /// Spikes are dropped for ever, and never make their channel bad (H-4).
    SpikesToleratedForever,
    /// A value that does not move is believed (H-2).
    FrozenUnnoticed,
    /// Setpoint multiplier and startup inhibit last as long as their switch (I1).
    PermissionUnlimited,
    /// Raised setpoints are used whether they are permitted or not (I1).
    MultiplierAlways,
    /// A rule that is inhibited does not see that its input is bad (I6).
    InhibitHidesBad,
    /// A reset button that is down from the start, or comes back down, counts as pressed (H-54).
    StuckButtonPresses,
    /// A debounced rule fires with its first true sample (H-4).
    DebounceIgnored,
    /// A debounced rule waits for its count without end (I1).
    DebounceCapIgnored,
    /// One false sample makes a debounced rule forget the true ones before it (I1).
    DebounceForgets,
    /// A channel that lags behind the others of its voting counts (H-51).
    SkewIgnored,
    /// A channel that is far from the others of its voting counts (H-3).
    DeviationIgnored,
    /// A reset releases although a channel that is outvoted is bad (I3).
    ResetWithBadChannel,
    /// A channel that was bad comes back without the acknowledgement that its pack asks for.
    AcknowledgementNotNeeded,
    /// An acknowledgement counts although the channel is still bad.
    AcknowledgedWhileBad,
    /// The check of an MQTT envelope is not compared (H-21).
    EnvelopeCheckIgnored,
    /// The topic is no part of an envelope's check (addressing).
    EnvelopeTopicIgnored,
    /// The name of an envelope's source is not looked at (H-20).
    EnvelopeSourceIgnored,
    /// The sequence of an envelope is not looked at (H-18, H-19).
    EnvelopeOrderIgnored,
    /// A message that was held up is taken (`max_delay`).
    EnvelopeDelayIgnored,
    /// Messages that are missing spend nothing from the error budget (H-17).
    EnvelopeLossUncounted,
    /// The error budget of an envelope is never used up.
    EnvelopeBudgetEndless,
    /// A bypass ends by the wall clock (H-79).
    BypassByWallClock,
    /// What an analyzer that failed left behind counts as good (H-38).
    FailedOutputsStayGood,
    /// The declared verdict of an analyzer that failed comes with its next frame (H-38).
    DeclaredVerdictLate,
    /// An analyzer without an instance is normal (H-38).
    GoneAnalyzerNormal,
    /// An instance that was lost stays in its seat (H-38).
    LostInstanceKept,
    /// An output beyond its range counts (H-39).
    OutputRangeUnchecked,
    /// A cause that a module does not have is no nonsense (H-39).
    UnknownCauseAccepted,
    /// A verdict that flaps is believed (H-39).
    FlappingBelieved,
    /// An analyzer is told that an input is good which is not (I6).
    BadInputAsGood,
    /// An analyzer is not asked when an input goes stale (I6).
    StaleInputUntold,
    /// An analyzer is not told that blocks are missing (H-17).
    BlockGapUntold,
    /// A block that cannot be used changes nothing (H-21).
    BadBlockIgnored,
    /// What is derived in a tick is seen by the rules of the next one (I7).
    DerivedTickLate,
}

/// Whether `bug` is the one that is planted now.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn active(_bug: Bug) -> bool {
    false
}

/// What a wall clock says at `now`, where a bug reads one: `now` itself without the feature `planted`.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn by_the_wall(now: MonoNs) -> MonoNs {
    now
}

#[cfg(feature = "planted")]
mod choice {
    use core::sync::atomic::{AtomicI64, AtomicU8, Ordering};

    use super::Bug;
    use crate::MonoNs;

    /// No bug has this number.
    const NONE: u8 = u8::MAX;

    static ACTIVE: AtomicU8 = AtomicU8::new(NONE);

    /// Plants `bug` in this process, instead of the one before; `None` removes it.
    pub fn plant(bug: Option<Bug>) {
        let number = bug
            .and_then(|bug| Bug::ALL.iter().position(|other| *other == bug))
            .and_then(|position| u8::try_from(position).ok());
        ACTIVE.store(number.unwrap_or(NONE), Ordering::SeqCst);
    }

    static WALL_AHEAD_NS: AtomicI64 = AtomicI64::new(0);

    /// How far the simulated wall clock is ahead of the monotonic one.
    pub fn set_wall_ahead(ns: i64) {
        WALL_AHEAD_NS.store(ns, Ordering::Relaxed);
    }

    /// What the simulated wall clock says at `now`.
    pub fn by_the_wall(now: MonoNs) -> MonoNs {
        MonoNs::from_ns(
            now.as_ns()
                .saturating_add_signed(WALL_AHEAD_NS.load(Ordering::Relaxed)),
        )
    }

    /// Whether `bug` is the one that is planted now.
    pub fn active(bug: Bug) -> bool {
        let active = ACTIVE.load(Ordering::Relaxed);
        Bug::ALL.get(usize::from(active)) == Some(&bug)
    }
}

#[cfg(feature = "planted")]
pub use choice::{active, by_the_wall, plant, set_wall_ahead};

/// Whether the named [`Bug`](crate::planted::Bug) is planted: `false` at compile time without the feature `planted`.
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::active($crate::planted::Bug::$bug)
    };
}
