//! From the checked pack to the plan: everything divided among lanes, every name an index.

mod analyzers;
mod outputs;

use std::collections::HashMap;

use drivers_frame::{DeviceId, TagId, WaveformId};
use rt_config::limits::WINDOW_SAMPLES_MAX;
use rules_bundle::{
    DevicePlan, Enable, FieldPlan, LanePlan, LinkPlan, ModbusPlan, MqttPlan, Multiplier, Plan,
    PointPlan, ResetButtonPlan, RulePlan, SubscriptionPlan, TagPlan, VotingPlan, Vouched,
    WindowPlan,
};
use rules_expr::{Compiled, Input};

use crate::check::model::{self, Lane, Link, ModbusLink, Place, Rule, Tag, of_channel};
use crate::check::sample_period_ns;
use crate::check::{CheckedPack, Parts, ns};
use crate::limits::WINDOW_RESERVE;

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
        modules: parts.modules.plans.clone(),
        blocks: parts
            .modules
            .blocks
            .iter()
            .map(|block| u32::try_from(block.len()).ok())
            .collect::<Option<_>>()?,
        alerts: parts.alerts.cloned(),
        // A pack does not vouch for itself.
        vouched: Vouched::Nobody,
    })
}

/// Indices of a lane's things by their indices in the pack.
struct Ids {
    devices: HashMap<usize, DeviceId>,
    tags: HashMap<usize, TagId>,
    outputs: HashMap<usize, u16>,
    waveforms: HashMap<usize, WaveformId>,
}

fn ids(lane: usize, parts: &Parts<'_>) -> Option<Ids> {
    let number = |position: usize| u16::try_from(position).ok();
    let lane_of = |tag: &Tag| parts.devices.get(tag.device?)?.lane;
    // A device without tags and waveforms is written to, but never read: its outputs have connections of their own.
    let read = |device: usize| {
        parts.tags.iter().any(|tag| tag.device == Some(device))
            || parts
                .waveforms
                .iter()
                .any(|waveform| waveform.device == Some(device))
    };
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
    let waveforms = parts
        .waveforms
        .iter()
        .enumerate()
        .filter(|(_, waveform)| {
            let device = waveform.device.and_then(|device| parts.devices.get(device));
            device.and_then(|device| device.lane) == Some(lane)
        })
        .enumerate()
        .map(|(position, (index, _))| Some((index, WaveformId(number(position)?))))
        .collect::<Option<_>>()?;
    Some(Ids {
        devices,
        tags,
        outputs,
        waveforms,
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
        waveforms: analyzers::waveforms(parts, &ids)?,
        windows: Vec::new(),
        ages: Vec::new(),
        qualities: Vec::new(),
        rules: Vec::new(),
        votings: Vec::new(),
        trip_groups: Vec::new(),
        outputs: Vec::new(),
        reset_button: match &lane.reset_button {
            Some((tag, _)) => Some(ResetButtonPlan {
                tag: *ids.tags.get(tag)?,
            }),
            None => None,
        },
        assumed: lane.assumed,
    };
    (plan.outputs, plan.trip_groups) = outputs::plans(parts, &ids)?;
    let (votings, voting_ids) = voting_plans(index, parts, &ids)?;
    plan.votings = votings;
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
        .map(|rule| rule_plan(rule, parts, &ids, &voting_ids, &slots, &plan))
        .collect::<Option<_>>()?;
    Some(plan)
}

fn rule_plan(
    rule: &Rule,
    parts: &Parts<'_>,
    ids: &Ids,
    votings: &HashMap<usize, u16>,
    slots: &Slots<'_>,
    lane: &LanePlan,
) -> Option<RulePlan> {
    let channels = rule.channels(parts.votings, parts.tags);
    // An input without a slot cannot be: `collect` saw all of them. The plan's check would refuse it.
    let programs = |compiled: &Compiled| {
        let program = |channel: &&str| {
            let slot = |input: &Input| slots.slot(&of_channel(input, channel), lane);
            compiled.link(|input| slot(input).unwrap_or(u32::MAX))
        };
        channels.iter().map(program).collect::<Vec<_>>()
    };
    let enable = |enable: &model::Enable| {
        Some(Enable {
            tag: *ids.tags.get(&enable.tag)?,
            at_most: ns(enable.at_most_ns),
        })
    };
    Some(RulePlan {
        id: rule.id.clone(),
        when: rule.when.clone(),
        programs: programs(&rule.compiled),
        raised: rule.raised.as_ref().map(programs).unwrap_or_default(),
        voting: match rule.voting {
            Some(voting) => Some(*votings.get(&voting)?),
            None => None,
        },
        on_delay: ns(rule.on_delay_ns),
        off_delay: ns(rule.off_delay_ns),
        debounce: rule.debounce,
        multiplier: match &rule.multiplier {
            Some((factor, switch)) => Some(Multiplier {
                factor: *factor,
                enable: enable(switch)?,
            }),
            None => None,
        },
        inhibit: match &rule.inhibit {
            Some(switch) => Some(enable(switch)?),
            None => None,
        },
        bypass_at_most: rule.bypass_ns.map(ns),
        level: rule.level,
        stops: rule
            .stops
            .iter()
            .map(|stop| ids.outputs.get(stop).copied())
            .collect::<Option<_>>()?,
        deadline: rule.deadline.as_ref().map(|(deadline, _)| ns(*deadline)),
        process_safety_time: rule.process_safety_time.as_ref().map(|(time, _)| ns(*time)),
        message: rule.message.clone(),
        tags: rule.tags.clone(),
        runbook: rule.runbook.clone(),
    })
}

/// The votings of a lane, and their indices there by those in the pack.
fn voting_plans(
    lane: usize,
    parts: &Parts<'_>,
    ids: &Ids,
) -> Option<(Vec<VotingPlan>, HashMap<usize, u16>)> {
    let mut plans = Vec::new();
    let mut indices = HashMap::new();
    let own = parts
        .votings
        .iter()
        .enumerate()
        .filter(|(_, voting)| voting.lane == Some(lane));
    for (index, voting) in own {
        indices.insert(index, u16::try_from(plans.len()).ok()?);
        plans.push(VotingPlan {
            name: voting.name.clone(),
            channels: voting
                .channels
                .iter()
                .map(|tag| ids.tags.get(tag).copied())
                .collect::<Option<_>>()?,
            need: voting.need,
            on_bad: voting.on_bad,
            skew: voting.skew_ns.map(ns),
            deviation: voting.deviation,
            bypass_at_most: voting.bypass_ns.map(ns),
        });
    }
    Some((plans, indices))
}

/// Where each input of a lane's rules is.
struct Slots<'r> {
    tags: &'r HashMap<&'r str, TagId>,
    windows: HashMap<Input, usize>,
    ages: HashMap<TagId, usize>,
    qualities: HashMap<TagId, usize>,
}

impl<'r> Slots<'r> {
    /// Fills the plan's tables of windows, ages and qualities, each without repetition, in the order of first use.
    fn collect(
        rules: &[&Rule],
        tags: &'r HashMap<&'r str, TagId>,
        parts: &Parts<'_>,
        plan: &mut LanePlan,
    ) -> Option<Self> {
        let periods: HashMap<&str, u64> = parts
            .tags
            .iter()
            .filter_map(|tag| Some((tag.name.as_str(), sample_period_ns(tag, parts.devices)?)))
            .collect();
        let mut slots = Self {
            tags,
            windows: HashMap::new(),
            ages: HashMap::new(),
            qualities: HashMap::new(),
        };
        let inputs = rules
            .iter()
            .flat_map(|rule| rule.inputs(parts.votings, parts.tags));
        for input in inputs {
            let tag = *tags.get(input.tag())?;
            match &input {
                Input::Tag(_) => {}
                Input::Window {
                    function,
                    tag: name,
                    span_ns,
                } => {
                    let window = WindowPlan {
                        function: *function,
                        tag,
                        span: ns(*span_ns),
                        capacity: capacity(*span_ns, *periods.get(name.as_str())?),
                    };
                    slots.windows.entry(input).or_insert_with(|| {
                        plan.windows.push(window);
                        plan.windows.len().saturating_sub(1)
                    });
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
                    Link::Analyzer(analyzer) => {
                        LinkPlan::Analyzer(Box::new(analyzers::plan(&analyzer.plan, ids)?))
                    }
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
        let period = tag.period.as_ref().map(|(period, _)| ns(*period));
        let envelope = tag.envelope.as_ref().map(|(envelope, _)| envelope.clone());
        match by_topic.get(topic.as_str()) {
            Some(position) => {
                // The tags of a topic agree, or one of them speaks for all.
                let plan = plans.get_mut(*position)?;
                plan.fields.push(field);
                plan.period = plan.period.or(period);
                plan.envelope = plan.envelope.take().or(envelope);
            }
            None => {
                by_topic.insert(topic, plans.len());
                plans.push(SubscriptionPlan {
                    topic: topic.clone(),
                    qos: *qos,
                    period,
                    fields: vec![field],
                    envelope,
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
                checks: tag.checks,
                reintegration: tag.reintegration,
            })
        })
        .collect()
}
