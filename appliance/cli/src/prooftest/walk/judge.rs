//! Whether outputs did what they must: what the simulated devices hold, and what the guard says of them.

use std::time::Duration;

use drivers_frame::DurNs;
use rules_bundle::{LanePlan, RulePlan, StopCategory};

use super::Walk;
use crate::prooftest::ProofError;
use crate::prooftest::report::OutputResult;
use crate::prooftest::watch::{self, Watch};

impl Walk<'_> {
    /// Presses the reset while the cause stands. `None`: it does not stand any more.
    pub(super) fn is_reset_refused(
        &self,
        lane: &LanePlan,
        rule: &RulePlan,
    ) -> Result<Option<bool>, ProofError> {
        let status = watch::status(&self.socket)?;
        let stands = watch::is_active(&status, &lane.name, &rule.id);
        if !stands {
            return Ok(None);
        }
        Ok(Some(watch::reset(&self.socket)?.is_err()))
    }

    pub(super) fn has_stopped(&self, lane: usize, output: usize, began: Duration) -> bool {
        let Some(driven) = self.world.output(lane, output) else {
            return false;
        };
        self.world.is_safe(&driven)
            && (!driven.has_feedback() || self.world.followed_at(lane, output, began).is_some())
    }

    /// The guard has confirmed each stop, and seen each feedback.
    pub(super) fn guard_agrees(
        &self,
        lane: &LanePlan,
        outputs: &[usize],
    ) -> Result<bool, ProofError> {
        use appliance_control::Proof;
        let status = watch::status(&self.socket)?;
        Ok(outputs
            .iter()
            .filter_map(|output| lane.outputs.get(*output))
            .filter_map(|output| watch::output(&status, &lane.name, &output.name))
            .all(|state| {
                state.permit == "withheld"
                    && state.confirmed
                    && state
                        .proof
                        .feedback
                        .is_none_or(|proof| proof == Proof::Proved)
                    && state
                        .proof
                        .read_back
                        .is_none_or(|proof| proof == Proof::Proved)
            }))
    }

    pub(super) fn judge(
        &self,
        index: usize,
        lane: &LanePlan,
        number: usize,
        began: Duration,
        limit: DurNs,
        watch: &Watch,
    ) -> (OutputResult, Option<String>) {
        let name = lane
            .outputs
            .get(number)
            .map_or_else(String::new, |output| output.name.clone());
        let allowed = match lane.outputs.get(number).map(|output| output.stop) {
            Some(StopCategory::One {
                power_off_after, ..
            }) => limit.plus(power_off_after),
            _ => limit,
        };
        let mut result = OutputResult {
            output: name.clone(),
            safe_after_ns: None,
            feedback_after_ns: None,
            has_feedback: false,
            passed: false,
        };
        let Some(driven) = self.world.output(index, number) else {
            return (result, Some(format!("{name} is not there")));
        };
        result.has_feedback = driven.has_feedback();
        let after =
            |at: Duration| u64::try_from((at.saturating_sub(began)).as_nanos()).unwrap_or(u64::MAX);
        let is_safe = self.world.is_safe(&driven);
        result.safe_after_ns = self
            .world
            .stopped_at(&driven, began)
            .filter(|_| is_safe)
            .map(after);
        result.feedback_after_ns = self.world.followed_at(index, number, began).map(after);
        let fault = watch.faults.iter().find(|(output, _)| *output == name);
        let reason = if !is_safe {
            let fault = fault.map_or_else(String::new, |(_, cause)| format!(" ({cause})"));
            Some(format!("{name} does not hold its safe value{fault}"))
        } else if result
            .safe_after_ns
            .is_none_or(|after| after > allowed.as_ns())
        {
            Some(format!("{name} stopped too late"))
        } else if result.has_feedback && result.feedback_after_ns.is_none() {
            Some(format!(
                "{name} was stopped and its actuator did not follow (EDM fault)"
            ))
        } else if watch.edm_faults.contains(&name) {
            Some(format!(
                "the guard did not see the feedback of {name} in time (EDM fault)"
            ))
        } else {
            None
        };
        result.passed = reason.is_none();
        (result, reason)
    }
}
