//! How long things may take, and which outputs a rule stops: what the plan says before anything moves. Pure.

use std::time::Duration;

use drivers_frame::DurNs;
use rules_bundle::{LanePlan, LinkPlan, Plan, RulePlan, StopCategory, WaveformSource};

use crate::prooftest::rig::{World, fastest, travel};
use crate::prooftest::scene::{Do, Stimulus, inputs_of};

/// A danger rule without a deadline of its own.
const DEADLINE_DEFAULT: DurNs = DurNs::from_ms(10_000);

/// The longest that inputs and rules may take to be as they were: windows, freshness, reintegration, delays.
pub(super) fn slack(plan: &Plan) -> Duration {
    let mut longest = DurNs::ZERO;
    for lane in &plan.lanes {
        let windows = lane.windows.iter().map(|window| window.span);
        let stale = lane.tags.iter().map(|tag| tag.stale_after);
        let back = lane.tags.iter().map(|tag| match tag.reintegration {
            rules_bundle::Reintegration::After(quiet) => quiet,
            rules_bundle::Reintegration::Acknowledge => DurNs::ZERO,
        });
        let delays = lane
            .rules
            .iter()
            .map(|rule| rule.off_delay.plus(rule.on_delay));
        let stops = lane.outputs.iter().map(|output| match output.stop {
            StopCategory::Zero => DurNs::ZERO,
            StopCategory::One {
                power_off_after, ..
            } => power_off_after,
        });
        let budgets = lane.devices.iter().flat_map(|device| match &device.link {
            LinkPlan::Mqtt(mqtt) => mqtt.subscriptions.as_slice(),
            LinkPlan::Modbus(_) | LinkPlan::Analyzer(_) => &[],
        });
        let budgets = budgets.filter_map(|topic| topic.envelope.as_ref());
        let waves = lane.waveforms.iter().flat_map(|wave| {
            let budget = match &wave.source {
                WaveformSource::Mqtt { envelope, .. } => envelope.as_ref(),
                WaveformSource::Modbus { .. } => None,
            };
            let within = budget.map_or(DurNs::ZERO, |envelope| envelope.budget.within);
            [wave.stale_after, within]
        });
        let waves = waves.chain(budgets.map(|envelope| envelope.budget.within));
        let stale = stale.chain(waves);
        // An input that may not jump moves from one end of its range to the other.
        let moves = lane.devices.iter().flat_map(|device| match &device.link {
            LinkPlan::Modbus(modbus) => modbus
                .points
                .iter()
                .map(|point| (point.tag, point.codec.range))
                .collect(),
            LinkPlan::Mqtt(mqtt) => {
                let fields = mqtt.subscriptions.iter().flat_map(|topic| &topic.fields);
                fields.map(|field| (field.tag, field.codec.range)).collect()
            }
            LinkPlan::Analyzer(_) => Vec::new(),
        });
        let moves = moves.filter_map(|(tag, range)| {
            let fastest = fastest(lane, tag)?;
            Some(travel(range.max - range.min, fastest))
        });
        let stale = stale.chain(moves);
        let all = windows.chain(stale).chain(back).chain(delays).chain(stops);
        longest = all.fold(longest, DurNs::max);
    }
    span(longest) * 2
}

pub(super) const fn span(time: DurNs) -> Duration {
    Duration::from_nanos(time.as_ns())
}

/// The outputs that a rule stops: those it names, and all others of their groups.
pub(super) fn outputs_of(lane: &LanePlan, rule: &RulePlan) -> Vec<usize> {
    let group = |output: usize| lane.outputs.get(output).map(|output| output.group);
    let groups: Vec<u16> = rule
        .stops
        .iter()
        .filter_map(|output| group(usize::from(*output)))
        .collect();
    (0..lane.outputs.len())
        .filter(|output| group(*output).is_some_and(|group| groups.contains(&group)))
        .collect()
}

/// From the stimulus to the stop: the promise, and before it what has to pass until there is a sample that it counts from.
pub(super) fn limit(
    lane: &LanePlan,
    rule: &RulePlan,
    stimulus: &Stimulus,
    world: &World,
    index: usize,
) -> DurNs {
    let (mut before, mut takes) = (DurNs::ZERO, stimulus.takes);
    let inputs = stimulus.moments().flat_map(|(inputs, _)| inputs);
    for (tag, act) in inputs {
        match act {
            Do::Show(_) | Do::Move { .. } => {
                takes = takes.max(world.takes(index, *tag, *act));
                let windows = lane.windows.iter().filter(|window| window.tag == *tag);
                before = windows.map(|window| window.span).fold(before, DurNs::max);
            }
            Do::Fail if world.way_of_failing(index, *tag).ends_with("silent") => {
                let stale = lane.tags.get(usize::from(tag.0)).map(|tag| tag.stale_after);
                before = before.max(stale.unwrap_or(DurNs::ZERO));
            }
            // Until the budget of errors is used up, or nothing good has come for long enough.
            Do::Forge => {
                let stale = lane.tags.get(usize::from(tag.0)).map(|tag| tag.stale_after);
                before = before.max(stale.unwrap_or(DurNs::ZERO));
            }
            Do::Fail => {}
        }
    }
    // Windows over what analyzers derive fill with the stimulus too.
    let own = inputs_of(lane, &rule.programs);
    let windows = lane
        .windows
        .iter()
        .filter(|window| own.contains(&usize::from(window.tag.0)));
    before = windows.map(|window| window.span).fold(before, DurNs::max);
    let before = before.plus(takes);
    rule.deadline.unwrap_or(DEADLINE_DEFAULT).plus(before)
}
