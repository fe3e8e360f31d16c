//! Outputs of a lane and the groups that they are latched in.

use drivers_frame::DurNs;
use rules_bundle::{FeedbackPlan, OutputPlan, StopCategory, TripGroupPlan};

use super::Ids;
use crate::check::model::{Link, Output, Stop};
use crate::check::{Parts, ns};
use crate::limits::OUTPUT_BACKOFF_NS_MAX;

/// The outputs in the order of the pack, and their groups in the order of first use.
pub(super) fn plans(parts: &Parts<'_>, ids: &Ids) -> Option<(Vec<OutputPlan>, Vec<TripGroupPlan>)> {
    let mut ordered: Vec<(&usize, &u16)> = ids.outputs.iter().collect();
    ordered.sort_by_key(|(_, id)| **id);
    let mut groups: Vec<TripGroupPlan> = Vec::new();
    let mut outputs = Vec::with_capacity(ordered.len());
    for (index, _) in ordered {
        let output = parts.outputs.get(*index)?;
        let name = match &output.group {
            Some((group, _)) => group,
            None => &output.name,
        };
        let known = groups.iter().position(|group| group.name == *name);
        let group = known.unwrap_or(groups.len());
        if known.is_none() {
            groups.push(TripGroupPlan { name: name.clone() });
        }
        outputs.push(output_plan(output, u16::try_from(group).ok()?, parts, ids)?);
    }
    Some((outputs, groups))
}

fn output_plan(output: &Output, group: u16, parts: &Parts<'_>, ids: &Ids) -> Option<OutputPlan> {
    let device = parts.devices.get(output.device?)?;
    let Link::Modbus(link) = device.link.as_ref()? else {
        return None;
    };
    let backoff_max_ns = link.backoff_max_ns.min(OUTPUT_BACKOFF_NS_MAX);
    Some(OutputPlan {
        name: output.name.clone(),
        host: link.host.clone(),
        port: link.port,
        unit: output.unit.unwrap_or(link.unit),
        device: device.name.clone(),
        target: output.target?,
        refresh: ns(output.refresh_ns),
        confirm_within: ns(output.confirm_within_ns),
        connect_timeout: ns(link.connect_timeout_ns),
        backoff_min: ns(link.backoff_min_ns.min(backoff_max_ns)),
        backoff_max: ns(backoff_max_ns),
        group,
        stop: match output.stop {
            Stop::Zero => StopCategory::Zero,
            Stop::One {
                controlled_by,
                power_off_after_ns,
            } => StopCategory::One {
                controlled_by: *ids.outputs.get(&controlled_by)?,
                power_off_after: ns(power_off_after_ns),
            },
        },
        read_back: output.read_back,
        feedback: match &output.feedback {
            Some(feedback) => Some(FeedbackPlan {
                tag: *ids.tags.get(&feedback.tag)?,
                safe: feedback.safe,
                within: ns(feedback.within_ns),
            }),
            None => None,
        },
        escalate_to: match &output.escalate_to {
            Some((other, _)) => Some(*ids.outputs.get(other)?),
            None => None,
        },
        watchdog: output.watchdog.clone(),
        device_time: output.device_time_ns.map_or(DurNs::ZERO, ns),
    })
}
