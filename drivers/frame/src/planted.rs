//! Bugs that can be planted to prove that the simulator sees them; in no product.
//!
//! `planted!(LateReplyMatched)` stands where a bug of that name would be. Without the feature `planted`, which only
//! the campaign that proves the simulator turns on, it is `false` at compile time and nothing is left of it. With the
//! feature the campaign chooses at run time which one is active, so that one build serves all of them
//! (`docs/decisions/0009-planted-bugs.md`).

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
    /// Registers are taken one place further on (I5).
    OffByOneRegister,
    /// Bytes beyond a reply are thrown away instead of poisoning the connection, and kept for the next (H-13).
    DuplicateReplyMatched,
    /// An exception reply leaves the last values in place, as if they had been read again (H-10).
    ExceptionAsValue,
    /// The deadline of a request is not looked at (H-6).
    ReplyDeadlineIgnored,
    /// Retained MQTT messages are taken as fresh (H-18).
    RetainedAccepted,
    /// A frame that found no room in the queue is not told (H-25).
    OverflowNotTold,
    /// What waited in a full queue is believed again after the loss (H-25).
    OverflowForgotten,
    /// A bad sample keeps its number and counts as good (I6).
    BadCountedGood,
    /// Nothing ever goes stale (I4).
    StaleNeverNoticed,
    /// A sample older than the newest replaces it (H-19).
    OldSampleTaken,
    /// A window that lost samples goes on as if it had not (I4).
    WindowKeepsGap,
    /// A rule fires at once, without its on-delay.
    OnDelayIgnored,
    /// A rule fires after twice its on-delay (I1).
    OnDelayTwice,
    /// The dead band holds while a rule is normal, and not while it is active.
    DeadBandInverted,
    /// A rule is evaluated only when its first input changed (I1).
    RuleNotEvaluated,
    /// A rule whose input is bad waits for its on-delay (I6).
    BadDelayed,
    /// Outputs start released (I9).
    BootNotTripped,
    /// A reset releases while a rule stands (I3).
    ResetWhileCause,
    /// A reset releases although a stop was not confirmed (I3).
    ResetUnproved,
    /// A rule that is normal again releases its outputs (I3).
    LatchNotKept,
    /// Only the first output that a rule stops is latched (I1).
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
    /// A stop waits for the answer to the refresh before it (H-61).
    StopWaitsForEcho,
    /// A lane that is due does not say when (I1).
    DueForgotten,
}

/// Whether `bug` is the one that is planted now.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn active(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
mod choice {
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;

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

    /// Whether `bug` is the one that is planted now.
    pub fn active(bug: Bug) -> bool {
        let active = ACTIVE.load(Ordering::Relaxed);
        Bug::ALL.get(usize::from(active)) == Some(&bug)
    }
}

#[cfg(feature = "planted")]
pub use choice::{active, plant};

/// Whether the named [`Bug`](crate::planted::Bug) is planted: `false` at compile time without the feature `planted`.
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::active($crate::planted::Bug::$bug)
    };
}
