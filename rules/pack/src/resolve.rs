//! From the checked pack to the plan: everything divided among lanes, every name an index.

use std::collections::HashMap;

use drivers_frame::{DeviceId, DurNs, TagId};
use rt_config::limits::WINDOW_SAMPLES_MAX;
use rules_bundle::{
    DevicePlan, FieldPlan, HostAssumption, InputChecks, LanePlan, LinkPlan, ModbusPlan, MqttPlan,
    OutputPlan, Plan, PointPlan, Reintegration, RulePlan, StopCategory, SubscriptionPlan, TagPlan,
    TripGroupPlan, WindowPlan,
};
use rules_expr::Input;

use crate::check::model::{Device, Lane, Link, ModbusLink, Output, Place, Rule, Tag};
use crate::check::{CheckedPack, Parts, ns};
use crate::limits::{CONTINUOUS_PERIOD_NS, MQTT_PERIOD_NS, OUTPUT_BACKOFF_NS_MAX, WINDOW_RESERVE};

/// The plan of a checked pack. `None` would be a defect of the checks: something they let through does not resolve.
pub(crate) fn plan(pack: &CheckedPack) -> Option<Plan> {
    let parts = pack.parts();
    let lanes = (0..parts.lanes.len())
        .map(|lane| lane_plan(lane, &parts))
        .collect::<Option<Vec<_>>>()?;
    Some(Plan {
        name: parts.name.to_owned(),
        version: parts.version.to_owned(),
        description: parts.description.to_owned(),
        lanes,
        alerts: parts.alerts.cloned(),
    })
}

/// Indices of a lane's things by their indices in the pack.
struct Ids {
    devices: HashMap<usize, DeviceId>,
    tags: HashMap<usize, TagId>,
    outputs: HashMap<usize, u16>,
}

fn ids(lane: usize, parts: &Parts<'_>) -> Option<Ids> {
    let number = |position: usize| u16::try_from(position).ok();
    let lane_of = |tag: &Tag| parts.devices.get(tag.device?)?.lane;
    // A device without tags is written to, but never read: its outputs have connections of their own.
    let read = |device: usize| parts.tags.iter().any(|tag| tag.device == Some(device));
    let devices = parts
        .devices
        .iter()
        .enumerate()
        .filter(|(index, device)| device.lane == Some(lane) && read(*index))
        .enumerate()
        .map(|(position, (index, _))| Some((index, DeviceId(number(position)?))))
        .collect::<Option<_>>()?;
    let tags = parts
        .tags
        .iter()
        .enumerate()
        .filter(|(_, tag)| lane_of(tag) == Some(lane))
        .enumerate()
        .map(|(position, (index, _))| Some((index, TagId(number(position)?))))
        .collect::<Option<_>>()?;
    let outputs = parts
        .outputs
        .iter()
        .enumerate()
        .filter(|(_, output)| output.lane.as_ref().map(|(lane, _)| *lane) == Some(lane))
        .enumerate()
        .map(|(position, (index, _))| Some((index, number(position)?)))
        .collect::<Option<_>>()?;
    Some(Ids {
        devices,
        tags,
        outputs,
    })
}

fn lane_plan(index: usize, parts: &Parts<'_>) -> Option<LanePlan> {
    let lane: &Lane = parts.lanes.get(index)?;
    let ids = ids(index, parts)?;
    let mut plan = LanePlan {
        name: lane.name.clone(),
        cpu: lane.cpu,
        priority: lane.priority,
        wait: lane.wait,
        acquire: lane.acquire,
        timer_period: ns(lane.timer_ns),
        devices: device_plans(parts, &ids)?,
        tags: tag_plans(parts, &ids)?,
        windows: Vec::new(),
        ages: Vec::new(),
        qualities: Vec::new(),
        rules: Vec::new(),
        votings: Vec::new(),
        trip_groups: Vec::new(),
        outputs: output_plans(parts, &ids)?,
        reset_button: None,
        assumed: HostAssumption::default(),
    };
    plan.trip_groups = plan
        .outputs
        .iter()
        .map(|output| TripGroupPlan {
            name: output.name.clone(),
        })
        .collect();
    let rules: Vec<&Rule> = parts
        .rules
        .iter()
        .filter(|rule| rule.lane == index)
        .collect();
    let tag_ids: HashMap<&str, TagId> = parts
        .tags
        .iter()
        .enumerate()
        .filter_map(|(index, tag)| Some((tag.name.as_str(), *ids.tags.get(&index)?)))
        .collect();
    let slots = Slots::collect(&rules, &tag_ids, parts, &mut plan)?;
    plan.rules = rules
        .into_iter()
        .map(|rule| {
            Some(RulePlan {
                id: rule.id.clone(),
                when: rule.when.clone(),
                // An input without a slot cannot be: `collect` saw all of them. The plan's check would refuse it.
                programs: vec![
                    rule.compiled
                        .link(|input| slots.slot(input, &plan).unwrap_or(u32::MAX)),
                ],
                raised: Vec::new(),
                voting: None,
                on_delay: ns(rule.on_delay_ns),
                off_delay: DurNs::ZERO,
                debounce: None,
                multiplier: None,
                inhibit: None,
                bypass_at_most: None,
                level: rule.level,
                stops: rule
                    .stops
                    .iter()
                    .map(|stop| ids.outputs.get(stop).copied())
                    .collect::<Option<_>>()?,
                deadline: rule.deadline_ns.map(ns),
                process_safety_time: None,
                message: rule.message.clone(),
                tags: rule.tags.clone(),
                runbook: rule.runbook.clone(),
            })
        })
        .collect::<Option<_>>()?;
    Some(plan)
}

/// Where each input of a lane's rules is.
struct Slots<'r> {
    tags: &'r HashMap<&'r str, TagId>,
    windows: HashMap<&'r Input, usize>,
    ages: HashMap<TagId, usize>,
    qualities: HashMap<TagId, usize>,
}

impl<'r> Slots<'r> {
    /// Fills the plan's tables of windows, ages and qualities, each without repetition, in the order of first use.
    fn collect(
        rules: &[&'r Rule],
        tags: &'r HashMap<&'r str, TagId>,
        parts: &Parts<'_>,
        plan: &mut LanePlan,
    ) -> Option<Self> {
        let periods: HashMap<&str, u64> = parts
            .tags
            .iter()
            .filter_map(|tag| Some((tag.name.as_str(), period_ns(tag, parts.devices)?)))
            .collect();
        let mut slots = Self {
            tags,
            windows: HashMap::new(),
            ages: HashMap::new(),
            qualities: HashMap::new(),
        };
        for input in rules.iter().flat_map(|rule| rule.compiled.inputs()) {
            let tag = *tags.get(input.tag())?;
            match input {
                Input::Tag(_) => {}
                Input::Window {
                    function,
                    tag: name,
                    span_ns,
                } => {
                    if !slots.windows.contains_key(input) {
                        slots.windows.insert(input, plan.windows.len());
                        plan.windows.push(WindowPlan {
                            function: *function,
                            tag,
                            span: ns(*span_ns),
                            capacity: capacity(*span_ns, *periods.get(name.as_str())?),
                        });
                    }
                }
                Input::Age(_) => push_once(tag, &mut slots.ages, &mut plan.ages),
                Input::Quality(_) => push_once(tag, &mut slots.qualities, &mut plan.qualities),
            }
        }
        Some(slots)
    }

    fn slot(&self, input: &Input, plan: &LanePlan) -> Option<u32> {
        let tag = *self.tags.get(input.tag())?;
        Some(match input {
            Input::Tag(_) => plan.slot_of_tag(tag),
            Input::Window { .. } => plan.slot_of_window(*self.windows.get(input)?),
            Input::Age(_) => plan.slot_of_age(*self.ages.get(&tag)?),
            Input::Quality(_) => plan.slot_of_quality(*self.qualities.get(&tag)?),
        })
    }
}

fn push_once(tag: TagId, seen: &mut HashMap<TagId, usize>, table: &mut Vec<TagId>) {
    seen.entry(tag).or_insert_with(|| {
        table.push(tag);
        table.len().saturating_sub(1)
    });
}

fn period_ns(tag: &Tag, devices: &[Device]) -> Option<u64> {
    match devices.get(tag.device?)?.link.as_ref()? {
        Link::Modbus(modbus) => Some(modbus.poll_ns.unwrap_or(CONTINUOUS_PERIOD_NS)),
        Link::Mqtt(_) => Some(MQTT_PERIOD_NS),
    }
}

/// Samples to reserve: twice the expected number, since reads come in bursts after a delay, and a few.
fn capacity(span_ns: u64, period_ns: u64) -> u32 {
    let most = u64::try_from(WINDOW_SAMPLES_MAX).unwrap_or(u64::MAX);
    let expected = span_ns.checked_div(period_ns).unwrap_or(most);
    let samples = expected
        .saturating_mul(2)
        .saturating_add(WINDOW_RESERVE)
        .min(most);
    u32::try_from(samples).unwrap_or(u32::MAX)
}

fn device_plans(parts: &Parts<'_>, ids: &Ids) -> Option<Vec<DevicePlan>> {
    let mut ordered: Vec<(&usize, &DeviceId)> = ids.devices.iter().collect();
    ordered.sort_by_key(|(_, id)| id.0);
    ordered
        .into_iter()
        .map(|(index, _)| {
            let device = parts.devices.get(*index)?;
            let tags = parts
                .tags
                .iter()
                .enumerate()
                .filter(|(_, tag)| tag.device == Some(*index));
            Some(DevicePlan {
                name: device.name.clone(),
                link: match device.link.as_ref()? {
                    Link::Modbus(modbus) => LinkPlan::Modbus(modbus_plan(modbus, tags, ids)?),
                    Link::Mqtt(broker) => LinkPlan::Mqtt(MqttPlan {
                        broker: broker.clone(),
                        subscriptions: subscriptions(tags, ids)?,
                    }),
                },
            })
        })
        .collect()
}

fn modbus_plan<'t>(
    link: &ModbusLink,
    tags: impl Iterator<Item = (usize, &'t Tag)>,
    ids: &Ids,
) -> Option<ModbusPlan> {
    let points = tags
        .map(|(index, tag)| match tag.place.as_ref()? {
            Place::Modbus { table, address } => Some(PointPlan {
                tag: *ids.tags.get(&index)?,
                table: *table,
                address: *address,
                codec: tag.codec?,
            }),
            Place::Mqtt { .. } => None,
        })
        .collect::<Option<_>>()?;
    Some(ModbusPlan {
        host: link.host.clone(),
        port: link.port,
        unit: link.unit,
        poll: link.poll_ns.map(ns),
        timeout: ns(link.timeout_ns),
        connect_timeout: ns(link.connect_timeout_ns),
        backoff_min: ns(link.backoff_min_ns),
        backoff_max: ns(link.backoff_max_ns),
        max_gap: link.max_gap,
        points,
    })
}

/// One subscription a topic, in the order of the pack.
fn subscriptions<'t>(
    tags: impl Iterator<Item = (usize, &'t Tag)>,
    ids: &Ids,
) -> Option<Vec<SubscriptionPlan>> {
    let mut plans: Vec<SubscriptionPlan> = Vec::new();
    let mut by_topic: HashMap<&str, usize> = HashMap::new();
    for (index, tag) in tags {
        let Place::Mqtt {
            topic,
            qos,
            extract,
        } = tag.place.as_ref()?
        else {
            return None;
        };
        let field = FieldPlan {
            tag: *ids.tags.get(&index)?,
            extract: extract.clone(),
            codec: tag.codec?,
        };
        match by_topic.get(topic.as_str()) {
            Some(position) => plans.get_mut(*position)?.fields.push(field),
            None => {
                by_topic.insert(topic, plans.len());
                plans.push(SubscriptionPlan {
                    topic: topic.clone(),
                    qos: *qos,
                    period: None,
                    fields: vec![field],
                    envelope: None,
                });
            }
        }
    }
    Some(plans)
}

fn tag_plans(parts: &Parts<'_>, ids: &Ids) -> Option<Vec<TagPlan>> {
    let mut ordered: Vec<(&usize, &TagId)> = ids.tags.iter().collect();
    ordered.sort_by_key(|(_, id)| id.0);
    ordered
        .into_iter()
        .map(|(index, _)| {
            let tag = parts.tags.get(*index)?;
            Some(TagPlan {
                name: tag.name.clone(),
                unit: tag
                    .unit
                    .as_ref()
                    .map(|unit| unit.symbol().to_owned())
                    .unwrap_or_default(),
                device: *ids.devices.get(&tag.device?)?,
                stale_after: ns(tag.stale_after_ns),
                checks: InputChecks::default(),
                reintegration: Reintegration::After(DurNs::ZERO),
            })
        })
        .collect()
}

fn output_plans(parts: &Parts<'_>, ids: &Ids) -> Option<Vec<OutputPlan>> {
    let mut ordered: Vec<(&usize, &u16)> = ids.outputs.iter().collect();
    ordered.sort_by_key(|(_, id)| **id);
    ordered
        .into_iter()
        .map(|(index, id)| output_plan(parts.outputs.get(*index)?, *id, parts))
        .collect()
}

fn output_plan(output: &Output, group: u16, parts: &Parts<'_>) -> Option<OutputPlan> {
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
        stop: StopCategory::Zero,
        read_back: None,
        feedback: None,
        escalate_to: None,
        watchdog: None,
        device_time: DurNs::ZERO,
    })
}
