//! What the guard finds about its own timing, in words.

use appliance_control::EventBody;
use drivers_frame::DurNs;
use rules_bundle::LanePlan;

use crate::report;
use crate::timing::{self, Late, Verdict};

/// A tick that was late.
pub(super) fn late(plan: &LanePlan, late: Late) -> EventBody {
    EventBody::SelfCheck {
        check: "timing".to_owned(),
        stopped: late.verdict == Verdict::Trip,
        detail: late_words(plan, late),
    }
}

/// The same for a log.
pub(super) fn late_words(plan: &LanePlan, late: Late) -> String {
    let budget = timing::budget(plan).unwrap_or(DurNs::ZERO);
    format!(
        "lane {}: a tick began {} late; the tightest deadline leaves {budget}. Look for what else runs on its core",
        plan.name, late.late
    )
}

/// A stop that took longer than computed.
pub(super) fn bound(plan: &LanePlan, rule: u16, measured: DurNs, bound: DurNs) -> EventBody {
    EventBody::SelfCheck {
        check: "bound".to_owned(),
        stopped: false,
        detail: format!(
            "rule {}: a stop took {measured}, computed at most {bound}: an assumption of the pack does not hold (`assume:`, `confirm_within`, `timeout`)",
            report::rule_name(plan, rule)
        ),
    }
}
