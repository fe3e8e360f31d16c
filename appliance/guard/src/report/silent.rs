//! A lane that does not answer any more: what the sentinel knows of it.

use appliance_control::{GroupStatus, LaneStatus, OutputProof, OutputStatus};
use rules_bundle::LanePlan;

use super::{Placement, group_name, views};
use crate::pulse::Orders;

/// What the sentinel knows of a lane that does not answer.
pub(crate) fn silent_lane_status(
    plan: &LanePlan,
    placement: &Placement,
    orders: &Orders,
) -> LaneStatus {
    LaneStatus {
        name: plan.name.clone(),
        core: placement.core,
        scheduling: placement.scheduling.clone(),
        wait: placement.wait.to_owned(),
        ticks: 0,
        samples: 0,
        out_of_order: 0,
        frames_lost: 0,
        evaluations: 0,
        comparison_faults: 0,
        window_overruns: 0,
        devices: Vec::new(),
        analyzers: Vec::new(),
        rules: Vec::new(),
        votings: views::votings(plan, None),
        bypasses: Vec::new(),
        groups: plan
            .trip_groups
            .iter()
            .enumerate()
            .map(|(index, group)| {
                let outputs = plan.outputs.iter();
                let of_group = outputs.filter(|output| usize::from(output.group) == index);
                GroupStatus {
                    name: group.name.clone(),
                    first_out: watchdog_words(orders),
                    rule: None,
                    latched_for_ns: None,
                    latched_wall_ns: None,
                    before_restart: None,
                    outputs: of_group.map(|output| output.name.clone()).collect(),
                }
            })
            .collect(),
        holds: None,
        outputs: plan
            .outputs
            .iter()
            .enumerate()
            .map(|(index, output)| {
                let (connected, confirmed) = orders.output(index);
                OutputStatus {
                    name: output.name.clone(),
                    group: group_name(plan, output.group),
                    permit: "withheld".to_owned(),
                    first_out: watchdog_words(orders),
                    rule: None,
                    latched_for_ns: None,
                    connected,
                    confirmed,
                    proof: OutputProof::default(),
                    confirmations: 0,
                    failures: 0,
                }
            })
            .collect(),
    }
}

/// Why the sentinel stopped a lane's outputs, when it did.
pub(super) fn watchdog_words(orders: &Orders) -> Option<String> {
    Some(format!("watchdog: {}", orders.fault()?.as_str()))
}
