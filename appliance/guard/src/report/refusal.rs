//! Why a reset is refused, and what to do.

use appliance_lane::{Hold, ResetRefusal};
use rules_bundle::LanePlan;

use super::names::{channel_name, output_name, rule_name, voting_name};

/// What stands against a reset.
pub(crate) fn refusal_cause(plan: &LanePlan, refusal: ResetRefusal) -> String {
    match refusal {
        ResetRefusal::RuleNotClear { rule } => {
            format!("rule {} is not clear", rule_name(plan, rule))
        }
        ResetRefusal::OutputNotConfirmed { output } => format!(
            "output {} has not confirmed its safe value",
            output_name(plan, output)
        ),
        ResetRefusal::FeedbackNotSafe { output } => format!(
            "the feedback of output {} does not show its safe position",
            output_name(plan, output)
        ),
        ResetRefusal::DeviceWatchdogNotArmed { output } => format!(
            "the device watchdog of output {} is not armed",
            output_name(plan, output)
        ),
        ResetRefusal::BadChannel { voting, channel } => format!(
            "channel {} of voting {} is bad",
            channel_name(plan, voting, channel),
            voting_name(plan, voting)
        ),
        ResetRefusal::Held(hold) => hold.as_str().to_owned(),
        ResetRefusal::NotPressed => "the reset was not pressed".to_owned(),
        ResetRefusal::WrongHand => "somebody else holds the reset".to_owned(),
        ResetRefusal::TooShort => "the reset was released too soon".to_owned(),
        ResetRefusal::TooLong => "the reset was held for too long".to_owned(),
        ResetRefusal::EngineFault => "the rule engine failed".to_owned(),
        ResetRefusal::ShuttingDown => "the guard is shutting down".to_owned(),
        ResetRefusal::NothingLatched => "nothing is latched".to_owned(),
    }
}

/// What to do about it.
pub(crate) fn refusal_help(refusal: ResetRefusal) -> &'static str {
    match refusal {
        ResetRefusal::RuleNotClear { .. } => {
            "remove the cause at the machine (`tripline status` shows every rule, `tripline tags` every value), then reset again"
        }
        ResetRefusal::OutputNotConfirmed { .. } => {
            "check that the output's device is on and reachable; the guard goes on trying"
        }
        ResetRefusal::FeedbackNotSafe { .. } => {
            "check the actuator (a welded contactor?) and the wiring of its feedback"
        }
        ResetRefusal::DeviceWatchdogNotArmed { .. } => {
            "check that the device has the watchdog that the pack names and allows it to be set"
        }
        ResetRefusal::BadChannel { .. } => {
            "repair the channel, acknowledge it if the pack asks for that, or bypass it (`tripline bypass`)"
        }
        ResetRefusal::Held(Hold::HostTooSlow) => {
            "free or isolate the lane's core, or state a slower host in the pack (`assume`), and restart the guard"
        }
        ResetRefusal::Held(Hold::CrashLoop) => "find out why the guard ended, then lift the hold",
        ResetRefusal::Held(Hold::Watchdog | Hold::Memory) => {
            "restart the guard; if it comes again, check the host and report it"
        }
        ResetRefusal::NotPressed
        | ResetRefusal::WrongHand
        | ResetRefusal::TooShort
        | ResetRefusal::TooLong => "press, hold for a moment, and release again",
        ResetRefusal::EngineFault => {
            "restart the guard; if it comes again, check the host's memory and report it"
        }
        ResetRefusal::ShuttingDown => "start the guard again",
        ResetRefusal::NothingLatched => "there is nothing to reset",
    }
}
