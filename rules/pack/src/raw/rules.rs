//! Rules and votings: when a machine is stopped.

use crate::read::{List, Req, choice, record};
use crate::scalar::{Duration, Expression, Int, Number, Quantity, Text};

choice! {
    /// Level of a rule (API 670).
    LevelWord {
        /// Tell people.
        Alert = "alert",
        /// Stop outputs, and tell people.
        Danger = "danger",
    }
}

record! {
    /// A condition and what it causes.
    Rule {
        /// The rule's id.
        id: Req<Text>,
        /// The voting whose channels decide together; `channel` in `when` then stands for each of them.
        voting: Option<Text>,
        /// The condition over tags, constants and macros.
        when: Req<Expression>,
        /// How long the condition must last (on-delay). Counts into the reaction time.
        #[schemars(extend("default" = "0s"))]
        r#for: Option<Duration>,
        /// How long the condition must be over before the rule is normal again.
        #[schemars(extend("default" = "0s"))]
        off_delay: Option<Duration>,
        /// m-of-n debounce: how many of the last samples must be over the limit.
        debounce: Option<Debounce>,
        /// How far the value must come back before the condition counts as over.
        dead_band: Option<Quantity>,
        /// A raised set point while a tag is true, for a limited time (API 670: setpoint multiplier).
        multiplier: Option<Multiplier>,
        /// No trip while a tag is true, for a limited time (startup inhibit).
        inhibit: Option<Inhibit>,
        /// Longest bypass of this rule. None is allowed when absent.
        bypass: Option<Duration>,
        /// Alert tells, danger stops.
        level: Req<LevelWord>,
        /// Outputs that are stopped. Required for danger.
        stops: Option<List<Text>>,
        /// Promised time from sample to confirmed stop. Required for danger.
        deadline: Option<Duration>,
        /// From cause to harm. The response should stay within half of it (IEC 61511).
        process_safety_time: Option<Duration>,
        /// What people are told. The rule's id when absent.
        message: Option<Text>,
        /// Words to filter by.
        tags: Option<List<Text>>,
        /// Link to the procedure.
        runbook: Option<Text>,
    }
}

record! {
    /// m of the last n samples decide.
    Debounce {
        /// m: samples that must fulfil the condition.
        need: Req<Int<1, 32>>,
        /// n: of the last so many.
        of: Req<Int<1, 32>>,
        /// A condition that is still true this long after it first was has lasted whatever the count. Counts into the
        /// reaction time.
        within: Req<Duration>,
    }
}

record! {
    /// A set point that is multiplied while a tag is true.
    Multiplier {
        /// Factor, above 1.
        factor: Req<Number>,
        /// A boolean tag.
        r#while: Req<Text>,
        /// Longest time.
        at_most: Req<Duration>,
    }
}

record! {
    /// No trip while a tag is true.
    Inhibit {
        /// A boolean tag.
        r#while: Req<Text>,
        /// Longest time.
        at_most: Req<Duration>,
    }
}

choice! {
    /// What a bad channel does in a vote.
    OnBadWord {
        /// It votes to trip.
        Trip = "trip",
        /// It is left out.
        Exclude = "exclude",
    }
}

record! {
    /// Redundant channels that decide together.
    Voting {
        /// Tags of one quantity, in one unit, of one lane; two to eight.
        channels: Req<List<Text>>,
        /// How many of how many must vote to trip.
        #[schemars(extend("pattern" = "^[1-8]oo[2-8]$", "examples" = ["2oo3"]))]
        vote: Req<Text>,
        /// What a bad channel does.
        #[schemars(extend("default" = "trip"))]
        on_bad: Option<OnBadWord>,
        /// Longest time between the oldest and the newest sample of the channels; older ones are bad.
        skew: Option<Duration>,
        /// How far the channels may differ.
        deviation: Option<Deviation>,
        /// Longest bypass of one channel. None is allowed when absent.
        bypass: Option<Duration>,
    }
}

record! {
    /// How far channels of one quantity may differ from their median; with two channels, from one another.
    Deviation {
        /// Beyond this, in the channels' unit, people are told.
        alert: Option<Number>,
        /// Beyond this the channel is bad; of two channels both are.
        bad: Req<Number>,
        /// How long it must last.
        r#for: Req<Duration>,
    }
}
