//! Rules, votes, trip groups: when a machine is stopped.

use drivers_frame::{DurNs, TagId};
use rules_expr::ir::Program;
use serde::{Deserialize, Serialize};

/// Level of a rule (API 670).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Tell.
    Alert,
    /// Stop.
    Danger,
}

impl Level {
    /// The word used in packs and alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Danger => "danger",
        }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RulePlan {
    /// The rule's id.
    pub id: String,
    /// The condition as its author wrote it, for people.
    pub when: String,
    /// The condition, compiled: one program for each channel of [`RulePlan::voting`] in its order, else exactly one.
    /// Its slots are those of [`LanePlan::slot_of_tag`](crate::LanePlan::slot_of_tag) and its sisters.
    pub programs: Vec<Program>,
    /// The same with multiplied setpoints, one for each of `programs`; empty without a multiplier.
    pub raised: Vec<Program>,
    /// Index of the voting whose channels decide together; `None` is 1oo1.
    pub voting: Option<u16>,
    /// How long the condition must last. Counts into the reaction time.
    pub on_delay: DurNs,
    /// How long the condition must be over before the rule is normal again.
    pub off_delay: DurNs,
    /// m-of-n debounce over samples.
    pub debounce: Option<Debounce>,
    /// While this holds the setpoints are multiplied (API 670: setpoint multiplier); shown while it does.
    pub multiplier: Option<Multiplier>,
    /// While this holds the rule is not evaluated to a trip (startup inhibit); shown while it does.
    pub inhibit: Option<Enable>,
    /// Longest bypass of this rule; `None` refuses any. A rule with a voting is bypassed by channel there.
    pub bypass_at_most: Option<DurNs>,
    /// Level.
    pub level: Level,
    /// Outputs that it stops; indices into [`LanePlan::outputs`]. Empty for an alert.
    pub stops: Vec<u16>,
    /// Promised time from sample to confirmed stop; `None` for rules that stop nothing.
    pub deadline: Option<DurNs>,
    /// From cause to harm, as the pack's author states it; the response should stay within half of it (IEC 61511).
    pub process_safety_time: Option<DurNs>,
    /// What to tell people.
    pub message: String,
    /// Words to filter by.
    pub tags: Vec<String>,
    /// Where the procedure is written.
    pub runbook: Option<String>,
}

impl RulePlan {
    /// Most fuel that one evaluation takes: of each channel its program, or the raised one.
    pub fn fuel(&self) -> u64 {
        let sum = |programs: &[Program]| {
            programs
                .iter()
                .fold(0_u64, |sum, program| sum.saturating_add(program.fuel()))
        };
        sum(&self.programs).max(sum(&self.raised))
    }

    /// Greatest stack depth of its programs.
    pub fn depth(&self) -> u16 {
        let depths = self.programs.iter().chain(&self.raised).map(Program::depth);
        depths.max().unwrap_or(0)
    }
}

/// Channels that decide together: MooN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VotingPlan {
    /// Its id.
    pub name: String,
    /// The channels' tags, 2 to [`rt_config::limits::VOTING_CHANNELS_MAX`].
    pub channels: Vec<TagId>,
    /// M: votes that trip.
    pub need: u8,
    /// What a bad channel does.
    pub on_bad: OnBad,
    /// Longest time between the oldest and the newest sample of the channels; older ones are bad (H-51).
    pub skew: Option<DurNs>,
    /// Agreement of the channels (H-3).
    pub deviation: Option<DeviationPlan>,
    /// Longest bypass of one channel; `None` refuses any.
    pub bypass_at_most: Option<DurNs>,
}

/// What a bad channel does in a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBad {
    /// It votes to trip: 2oo3 with one bad channel is 1oo2.
    Trip,
    /// It is left out: 2oo3 with one bad channel is 2oo2; with no channel left the vote is to trip.
    Exclude,
}

/// How far channels of one quantity may differ. Compared with the median; with two channels, with one another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviationPlan {
    /// Beyond this, in the channels' unit, people are told.
    pub alert: Option<f64>,
    /// Beyond this the channel is bad; of two channels both are.
    pub bad: f64,
    /// How long it must last.
    pub lasting: DurNs,
}

/// m of the last n samples decide (H-4), but not later than the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debounce {
    /// m: evaluations that must be true.
    pub need: u8,
    /// n: of the last so many, at most 32.
    pub of: u8,
    /// A condition that is still true this long after it first was has fired whatever the count. Counts into the
    /// reaction time.
    pub within: DurNs,
}

/// Raised setpoints.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Multiplier {
    /// Factor, above 1.
    pub factor: f64,
    /// When.
    pub enable: Enable,
}

/// A time-limited permission from outside: begins when its tag becomes true, ends when it becomes false, is not usable,
/// or after `at_most`; the tag must be false before it can begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enable {
    /// A boolean tag.
    pub tag: TagId,
    /// Longest time.
    pub at_most: DurNs,
}

/// Outputs that are latched and released together, with one first-out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TripGroupPlan {
    /// Its id; an output without a group has one of its own, of its name.
    pub name: String,
}

/// A reset button wired to an input: acts when it is released (ISO 13849-1, 5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetButtonPlan {
    /// A boolean tag, true while pressed.
    pub tag: TagId,
}
