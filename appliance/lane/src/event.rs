//! What a lane tells the rest of the guard: numeric, `Copy`, named and formatted elsewhere.

use drivers_frame::{Cause, DurNs, MonoNs, Quality, TagId};

use crate::RuleState;

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
}

/// An event of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// When the tick that saw it began, or when the confirmation arrived.
    pub at: MonoNs,
    /// What.
    pub kind: EventKind,
}
