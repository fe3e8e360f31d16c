//! What a lane tells the rest of the guard: numeric, `Copy`, named and formatted elsewhere.

use drivers_frame::{Cause, DurNs, MonoNs, Quality, TagId};

use rules_sdk_abi::Verdict;

use crate::RuleState;
use crate::analyzer::{FrameFault, ReplayState};
use crate::bypass::Point;

/// Why a rule is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleCause {
    /// Its condition is false.
    Clear,
    /// Its condition is true.
    Condition,
    /// An input that decides is bad or stale, so it votes to trip.
    BadInput,
    /// The WebAssembly trapped (H-38).
    Trap,
    /// The WebAssembly used more fuel than its compiler computed (H-35).
    Fuel,
    /// The two evaluations of the rule differ (H-42).
    Comparison,
    /// A person withheld it for a limited time.
    Bypassed,
    /// Its condition is true, and its startup inhibit is on.
    Inhibited,
}

impl RuleCause {
    /// The words used on the control socket and in alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Condition => "condition",
            Self::BadInput => "bad input",
            Self::Trap => "rule trapped",
            Self::Fuel => "rule out of fuel",
            Self::Comparison => "comparison fault",
            Self::Bypassed => "bypassed",
            Self::Inhibited => "inhibited",
        }
    }

    /// Whether the rule module itself can no longer be trusted.
    pub const fn is_engine_fault(self) -> bool {
        matches!(self, Self::Trap | Self::Fuel | Self::Comparison)
    }
}

/// Why an output is latched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatchCause {
    /// Not yet reset since start: boot is tripped (I9).
    Boot,
    /// A danger rule.
    Rule {
        /// Index of the rule.
        rule: u16,
        /// Why the rule fired.
        cause: RuleCause,
    },
    /// The permit or the stop was not confirmed, or the output's connection was lost while the machine was permitted.
    OutputFault,
    /// A person or program asked for it.
    Operator,
    /// The rule module failed; every output of the lane is stopped until the guard is restarted.
    EngineFault,
    /// The guard is shutting down.
    Shutdown,
    /// The feedback does not follow the output: contactor welded, drive dead, wire broken (EDM fault, H-59).
    Feedback {
        /// Index of the output.
        output: u16,
    },
    /// Another output did not prove its stop.
    Escalated {
        /// Index of that output.
        from: u16,
    },
    /// Another master wrote to the output while the machine was permitted to run (H-60).
    Overwritten {
        /// Index of the output.
        output: u16,
    },
    /// The device's own watchdog is not armed (H-64).
    DeviceWatchdog {
        /// Index of the output.
        output: u16,
    },
    /// A tick began so late that the tightest deadline could not be kept (H-29).
    Overrun,
    /// Something holds the whole lane.
    Held(Hold),
}

/// What holds a whole lane stopped until it is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Hold {
    /// The host is slower than the reaction times were computed with.
    HostTooSlow = 1,
    /// The guard ended without order too often in a short time (H-83).
    CrashLoop = 2,
    /// The guard's own watchdog found the lane hanging, running away or skipping stages (H-31, H-32).
    Watchdog = 4,
    /// A checksum over configuration or latch memory does not fit (H-33).
    Memory = 8,
}

impl Hold {
    /// Every hold.
    pub const ALL: [Self; 4] = [
        Self::HostTooSlow,
        Self::CrashLoop,
        Self::Watchdog,
        Self::Memory,
    ];

    /// Its bit.
    #[expect(clippy::as_conversions, reason = "a discriminant of one bit")]
    pub const fn bit(self) -> u8 {
        self as u8
    }

    /// The words used on the control socket and in alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HostTooSlow => "host slower than assumed",
            Self::CrashLoop => "crash loop",
            Self::Watchdog => "guard watchdog",
            Self::Memory => "memory checksum",
        }
    }
}

impl LatchCause {
    /// The words used on the control socket and in alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Boot => "not reset since start",
            Self::Rule { cause, .. } => cause.as_str(),
            Self::OutputFault => "output not confirmed",
            Self::Operator => "stop requested",
            Self::EngineFault => "rule engine fault",
            Self::Shutdown => "shutdown",
            Self::Feedback { .. } => "EDM fault: the feedback does not follow",
            Self::Escalated { .. } => "another output did not prove its stop",
            Self::Overwritten { .. } => "another master wrote to the output",
            Self::DeviceWatchdog { .. } => "device watchdog not armed",
            Self::Overrun => "a tick came too late for the deadline",
            Self::Held(hold) => hold.as_str(),
        }
    }
}

/// Why a reset was refused. Nothing was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetRefusal {
    /// This rule still demands a stop, or has not decided yet.
    RuleNotClear {
        /// Index of the rule.
        rule: u16,
    },
    /// This output has not confirmed its safe value: its connection is not proved.
    OutputNotConfirmed {
        /// Index of the output.
        output: u16,
    },
    /// This output's feedback does not show its safe position.
    FeedbackNotSafe {
        /// Index of the output.
        output: u16,
    },
    /// The watchdog of this output's device is not armed.
    DeviceWatchdogNotArmed {
        /// Index of the output.
        output: u16,
    },
    /// A channel of a voting is bad, whatever the vote says.
    BadChannel {
        /// Index of the voting.
        voting: u16,
        /// Position of the channel.
        channel: u8,
    },
    /// Something holds the lane.
    Held(Hold),
    /// The reset was not pressed, or a cause came between press and release.
    NotPressed,
    /// Another hand holds the reset, or the nonce is not the one of the press.
    WrongHand,
    /// Released too soon.
    TooShort,
    /// Held too long.
    TooLong,
    /// The rule module failed; only a restart of the guard helps.
    EngineFault,
    /// The guard is shutting down.
    ShuttingDown,
    /// Nothing is latched.
    NothingLatched,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EventKind {
    /// A rule changed its state.
    Rule {
        /// Index of the rule.
        rule: u16,
        /// Before.
        from: RuleState,
        /// After.
        to: RuleState,
        /// Why.
        cause: RuleCause,
        /// The tag that decided: the first bad one, else the rule's first.
        tag: Option<TagId>,
        /// Its value in its unit.
        value: f64,
        /// Its quality.
        quality: Quality,
        /// Why the quality is not good.
        quality_cause: Cause,
    },
    /// An output was latched: its permit is withheld and the stop was handed out in this tick.
    Latched {
        /// Index of the output.
        output: u16,
        /// First-out.
        cause: LatchCause,
    },
    /// An output was released by a reset.
    Released {
        /// Index of the output.
        output: u16,
    },
    /// A rule's stop was confirmed by the last of its outputs.
    StopConfirmed {
        /// Index of the rule.
        rule: u16,
        /// From the sample that made the condition true to the confirmation.
        latency: DurNs,
        /// Whether the rule's deadline was missed.
        missed: bool,
    },
    /// A reset was refused.
    ResetRefused(ResetRefusal),
    /// The reset is held; its release will act.
    ResetPressed {
        /// By the reset-button tag.
        button: bool,
    },
    /// A bypass began.
    BypassBegun {
        /// What is bypassed.
        point: Point,
        /// When it ends by itself.
        until: MonoNs,
    },
    /// A bypass ended.
    BypassEnded {
        /// What was bypassed.
        point: Point,
        /// By itself, because its time was over.
        expired: bool,
    },
    /// A channel of a voting became bad beside the others, or good again.
    Channel {
        /// Index of the voting.
        voting: u16,
        /// Position of the channel.
        channel: u8,
        /// Why it is bad; [`Cause::None`] when it is good again.
        cause: Cause,
    },
    /// A channel began or ceased to deviate from the others by more than its alert limit (H-3).
    Deviation {
        /// Index of the voting.
        voting: u16,
        /// Position of the channel.
        channel: u8,
        /// It does now.
        on: bool,
    },
    /// A channel became bad or stale, and must come back by the pack's choice.
    Passivated {
        /// The tag.
        tag: TagId,
        /// Why.
        cause: Cause,
    },
    /// A channel came back.
    Reintegrated {
        /// The tag.
        tag: TagId,
    },
    /// A channel is good again and only waits for an acknowledgement.
    AwaitsAcknowledgement {
        /// The tag.
        tag: TagId,
    },
    /// A rule's setpoint multiplier went on or off.
    Multiplier {
        /// Index of the rule.
        rule: u16,
        /// On.
        on: bool,
    },
    /// A rule's startup inhibit went on or off.
    Inhibit {
        /// Index of the rule.
        rule: u16,
        /// On.
        on: bool,
    },
    /// The feedback of an output does not follow it (H-59).
    EdmFault {
        /// Index of the output.
        output: u16,
    },
    /// A stop was not proved in time; the next output is tripped.
    Escalated {
        /// The output that did not prove its stop.
        output: u16,
        /// The output that is tripped instead.
        to: u16,
    },
    /// Another master wrote to an output (H-60).
    Overwritten {
        /// Index of the output.
        output: u16,
    },
    /// The watchdog of an output's device was armed, or lapsed (H-64).
    DeviceWatchdog {
        /// Index of the output.
        output: u16,
        /// Armed now.
        armed: bool,
    },
    /// An analyzer's verdict has another level than before; its first counts as from normal.
    AnalyzerVerdict {
        /// Its number, in the order of the plan.
        analyzer: u16,
        /// What it says now.
        verdict: Verdict,
    },
    /// An analyzer failed: nothing of that frame counts but its declared failure verdict (H-35 to H-39). Without a spare
    /// this is told once, and holds for every frame that follows.
    AnalyzerFailed {
        /// Its number, in the order of the plan.
        analyzer: u16,
        /// How.
        fault: FrameFault,
    },
    /// A spare instance took over.
    AnalyzerReplaced {
        /// Its number, in the order of the plan.
        analyzer: u16,
        /// Spares that are left.
        left: u8,
    },
    /// A shadow instance did not speak up at a known-bad frame in time: nothing counts that the analyzer says (H-40).
    CanaryMissed {
        /// Its number, in the order of the plan.
        analyzer: u16,
    },
    /// It does again.
    CanaryPassed {
        /// Its number, in the order of the plan.
        analyzer: u16,
    },
    /// Comparisons with a clean instance say something else of an analyzer than before (H-41).
    Replayed {
        /// Its number, in the order of the plan.
        analyzer: u16,
        /// What they say now.
        state: ReplayState,
    },
    /// The lane is held.
    Held(Hold),
    /// A hold was lifted.
    Lifted(Hold),
}

/// An event of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// When the tick that saw it began, or when the confirmation arrived.
    pub at: MonoNs,
    /// What.
    pub kind: EventKind,
}
