//! Names instead of indices, for people.

use appliance_lane::Point;
use drivers_frame::{DeviceId, TagId};
use rules_bundle::LanePlan;

/// A rule's id.
pub(crate) fn rule_name(plan: &LanePlan, rule: u16) -> String {
    plan.rules
        .get(usize::from(rule))
        .map_or_else(|| format!("rule {rule}"), |rule| rule.id.clone())
}

/// An output's id.
pub(crate) fn output_name(plan: &LanePlan, output: u16) -> String {
    let name = plan
        .outputs
        .get(usize::from(output))
        .map(|output| output.name.clone());
    name.unwrap_or_else(|| format!("output {output}"))
}

/// A device's id.
pub(crate) fn device_name(plan: &LanePlan, device: DeviceId) -> String {
    let name = plan
        .devices
        .get(usize::from(device.0))
        .map(|device| device.name.clone());
    name.unwrap_or_else(|| format!("device {}", device.0))
}

pub(super) fn tag_name(plan: &LanePlan, tag: u16) -> String {
    plan.tags
        .get(usize::from(tag))
        .map_or_else(|| format!("tag {tag}"), |tag| tag.name.clone())
}

pub(super) fn voting_name(plan: &LanePlan, voting: u16) -> String {
    plan.votings
        .get(usize::from(voting))
        .map_or_else(|| format!("voting {voting}"), |voting| voting.name.clone())
}

pub(super) fn channel_name(plan: &LanePlan, voting: u16, channel: u8) -> String {
    plan.votings
        .get(usize::from(voting))
        .and_then(|voting| voting.channels.get(usize::from(channel)))
        .map_or_else(
            || format!("channel {channel}"),
            |TagId(tag)| tag_name(plan, *tag),
        )
}

/// The name of a point that can be bypassed: `VOTING/TAG`, or a rule's id.
pub(crate) fn point_name(plan: &LanePlan, point: Point) -> String {
    match point {
        Point::Channel { voting, channel } => format!(
            "{}/{}",
            voting_name(plan, voting),
            channel_name(plan, voting, channel)
        ),
        Point::Rule(rule) => rule_name(plan, rule),
    }
}

/// A trip group's id.
pub(super) fn group_name(plan: &LanePlan, group: u16) -> String {
    let name = plan.trip_groups.get(usize::from(group));
    name.map_or_else(|| format!("group {group}"), |group| group.name.clone())
}
