//! Draws a world from a seed.

use drivers_frame::{DurNs, Range, TagId, ValueCodec, ValueType};
use rules_bundle::{
    DevicePlan, LinkPlan, ModbusPlan, Plan, PointPlan, ResetButtonPlan, Table, WindowFunction,
    WindowPlan,
};

use super::plan::{plan, voting_plan};
use super::{
    Cond, Debounce, Deviation, Envelope, GRAIN, HostKind, Kind, MS, Origin, Output, PORT,
    Permission, RANGE_MAX, Rule, Scenario, TURN_MAX, Tag, Voting, WAY_MAX,
};
use crate::analysis::module;
use crate::rng::Rng;

fn codec() -> ValueCodec {
    ValueCodec {
        range: Range {
            min: 0.0,
            max: RANGE_MAX,
        },
        ..ValueCodec::plain(ValueType::F64)
    }
}

fn modbus(rng: &mut Rng, device: usize, host: usize, tags: &mut Vec<Tag>) -> DevicePlan {
    let poll = rng.chance(850).then(|| rng.between(5, 60) * MS);
    let timeout = rng.between(25, 60) * MS;
    let mut points = Vec::new();
    let mut address = rng.between(0, 40) as u16;
    for _ in 0..rng.between(1, 4) {
        let table = if rng.chance(700) {
            Table::Input
        } else {
            Table::Holding
        };
        points.push(PointPlan {
            tag: TagId(tags.len() as u16),
            table,
            address,
            codec: codec(),
        });
        tags.push(Tag {
            kind: Kind::Level,
            origin: Origin::Modbus {
                device,
                address,
                table,
            },
            stale_after: poll.unwrap_or(0) * 2 + timeout + rng.between(20, 200) * MS,
            quiet: 0,
            acknowledge: false,
            rate: None,
            frozen: None,
            way_max: timeout,
            envelope: None,
        });
        address += 4 + if rng.chance(500) {
            rng.between(0, 30) as u16
        } else {
            0
        };
    }
    DevicePlan {
        name: format!("device{device}"),
        link: LinkPlan::Modbus(ModbusPlan {
            host: "127.0.0.1".into(),
            port: PORT + host as u16,
            unit: rng.between(1, 247) as u8,
            poll: poll.map(DurNs::from_ns),
            timeout: DurNs::from_ns(timeout),
            connect_timeout: DurNs::from_ms(200),
            backoff_min: DurNs::from_ms(20),
            backoff_max: DurNs::from_ms(400),
            max_gap: rng.between(0, 16) as u16,
            points,
        }),
    }
}

fn mqtt(rng: &mut Rng, device: usize, host: usize, tags: &mut Vec<Tag>) -> DevicePlan {
    let mut subscriptions = Vec::new();
    for _ in 0..rng.between(1, 3) {
        let period = rng.between(10, 80) * MS;
        let envelope = Envelope::draw(rng);
        subscriptions.push(rules_bundle::SubscriptionPlan {
            topic: format!("plant/{}", tags.len()),
            qos: rng.between(0, 1) as u8,
            period: None,
            fields: vec![rules_bundle::FieldPlan {
                tag: TagId(tags.len() as u16),
                extract: rules_bundle::ExtractPlan::Number,
                codec: codec(),
            }],
            envelope: envelope.as_ref().map(Envelope::plan),
        });
        tags.push(Tag {
            kind: Kind::Level,
            origin: Origin::Mqtt { device, period },
            stale_after: period * 2 + rng.between(30, 200) * MS,
            quiet: 0,
            acknowledge: false,
            rate: None,
            frozen: None,
            way_max: 3 * WAY_MAX + envelope.map_or(0, |envelope| envelope.tolerates()),
            envelope,
        });
    }
    DevicePlan {
        name: "broker".into(),
        link: LinkPlan::Mqtt(rules_bundle::MqttPlan {
            broker: rules_bundle::BrokerPlan {
                host: "127.0.0.1".into(),
                port: PORT + host as u16,
                client_id: "sim".into(),
                username: None,
                password_file: None,
                tls: None,
                keep_alive: DurNs::from_ms(2_000),
                connect_timeout: DurNs::from_ms(200),
                backoff_min: DurNs::from_ms(100),
                backoff_max: DurNs::from_ms(1_000),
            },
            subscriptions,
        }),
    }
}

/// What a channel must pass besides its range, and how it comes back. A sensor that must move moves with each reading,
/// which would be too fast for a check of its rate.
fn checks(rng: &mut Rng, tags: &mut [Tag]) {
    for tag in tags {
        match rng.between(0, 9) {
            0..=1 => tag.rate = Some((rng.between(50, 400) as f64, rng.between(0, 2) as u8)),
            2..=3 => tag.frozen = Some((0.01, rng.between(100, 600) * MS)),
            _ => {}
        }
        match rng.between(0, 19) {
            0..=4 => tag.quiet = rng.between(100, 1_500) * MS,
            5..=7 => tag.acknowledge = true,
            _ => {}
        }
    }
}

fn output(rng: &mut Rng, host: usize, address: u16) -> Output {
    let refresh = rng.between(30, 100) * MS;
    Output {
        host,
        address,
        refresh,
        watchdog: refresh * 3 + rng.between(0, 200) * MS,
        confirm_within: rng.between(45, 100) * MS,
        group: usize::from(address),
        read_back: rng
            .chance(500)
            .then(|| (rng.between(40, 200) * MS, rng.between(60, 120) * MS)),
        feedback: None,
        escalate_to: None,
        controlled: None,
        check_every: rng.chance(400).then(|| rng.between(100, 500) * MS),
    }
}

/// Puts outputs into trip groups, some of them with a category 1 stop. Returns how many groups there are.
fn group(rng: &mut Rng, outputs: &mut [Output]) -> usize {
    let mut groups = 0;
    for index in 0..outputs.len() {
        if index > 0 && rng.chance(350) {
            let before = outputs[index - 1].group;
            outputs[index].group = before;
            if rng.chance(500) {
                // Who asks for a controlled stop stops at once itself.
                let by = outputs[index - 1]
                    .controlled
                    .map_or(index - 1, |(by, _)| by);
                outputs[index].controlled = Some((by, rng.between(50, 600) * MS));
            }
        } else {
            outputs[index].group = groups;
            groups += 1;
        }
    }
    groups
}

/// Gives some outputs a contactor with a feedback.
fn feedbacks(
    rng: &mut Rng,
    outputs: &mut [Output],
    devices: &mut [DevicePlan],
    tags: &mut Vec<Tag>,
) {
    for (index, output) in outputs.iter_mut().enumerate() {
        if rng.chance(350) {
            let tag = bit(
                rng,
                Kind::Contact(index),
                3 + index as u16 * 2,
                devices,
                tags,
            );
            let within = tags[tag].stale_after + rng.between(60, 200) * MS;
            output.feedback = Some((tag, within));
        }
    }
}

/// Adds a bit of the first device, which is a Modbus one. Returns its tag.
fn bit(
    rng: &mut Rng,
    kind: Kind,
    address: u16,
    devices: &mut [DevicePlan],
    tags: &mut Vec<Tag>,
) -> usize {
    let LinkPlan::Modbus(device) = &mut devices[0].link else {
        unreachable!("the first device is a Modbus one");
    };
    device.points.push(PointPlan {
        tag: TagId(tags.len() as u16),
        table: Table::Discrete,
        address,
        codec: ValueCodec::plain(ValueType::Bool),
    });
    tags.push(Tag {
        kind,
        origin: Origin::Modbus {
            device: 0,
            address,
            table: Table::Discrete,
        },
        stale_after: device.poll.map_or(0, DurNs::as_ns) * 2
            + device.timeout.as_ns()
            + rng.between(60, 200) * MS,
        quiet: 0,
        acknowledge: false,
        rate: None,
        frozen: None,
        way_max: device.timeout.as_ns(),
        envelope: None,
    });
    tags.len() - 1
}

/// A switch for the time of starting, and what it permits: higher limits, or no stop at all. Rules that count samples are
/// left alone: what a switch makes of their count is nobody's promise.
fn permissions(rng: &mut Rng, rules: &mut [Rule], devices: &mut [DevicePlan], tags: &mut Vec<Tag>) {
    if !rng.chance(350) {
        return;
    }
    let tag = bit(rng, Kind::Switch, 20, devices, tags);
    for rule in rules.iter_mut().filter(|rule| rule.debounce.is_none()) {
        if rng.chance(350) {
            rule.multiplier = Some(Permission {
                tag,
                at_most: rng.between(200, 6_000) * MS,
            });
            rule.raised = Some(rule.cond.raised(rng.between(3, 25) as f64));
        }
        if rng.chance(250) {
            rule.inhibit = Some(Permission {
                tag,
                at_most: rng.between(200, 6_000) * MS,
            });
        }
    }
}

/// Gives some outputs another one that is tripped when their stop is not proved. The way never leads back.
fn escalations(rng: &mut Rng, outputs: &mut [Output]) {
    for index in 0..outputs.len() {
        let others: Vec<usize> = (index + 1..outputs.len())
            .filter(|other| outputs[*other].group != outputs[index].group)
            .collect();
        let often = if outputs[index].feedback.is_some() {
            900
        } else {
            400
        };
        if !others.is_empty() && rng.chance(often) {
            outputs[index].escalate_to = Some(*rng.pick(&others));
        }
    }
}

fn atom(rng: &mut Rng, tags: &[Tag], windows: &mut Vec<WindowPlan>) -> Cond {
    let tag = rng.below(tags.len());
    // Between two levels: no level and no value is ever equal to a limit.
    let limit = rng.between(50, 65) as f64 + GRAIN / 2.0;
    if rng.chance(200) {
        let span = rng.between(50, 400) * MS;
        windows.push(WindowPlan {
            function: WindowFunction::Avg,
            tag: TagId(tag as u16),
            span: DurNs::from_ns(span),
            capacity: 2_048,
        });
        return Cond::AverageAbove {
            tag,
            window: windows.len() - 1,
            limit,
            span,
        };
    }
    let band = if rng.chance(500) {
        rng.between(2, 8) as f64
    } else {
        0.0
    };
    Cond::Above { tag, limit, band }
}

fn rule(
    rng: &mut Rng,
    index: usize,
    tags: &[Tag],
    outputs: usize,
    windows: &mut Vec<WindowPlan>,
) -> Rule {
    let first = atom(rng, tags, windows);
    let cond = match rng.between(0, 9) {
        0..=6 => first,
        7 => Cond::Both(Box::new(first), Box::new(atom(rng, tags, windows))),
        _ => Cond::Either(Box::new(first), Box::new(atom(rng, tags, windows))),
    };
    let on_delay = if rng.chance(400) {
        rng.between(20, 600) * MS
    } else {
        0
    };
    let danger = index == 0 || rng.chance(750);
    let mut stops: Vec<usize> = (0..outputs).filter(|_| danger && rng.chance(600)).collect();
    if danger && stops.is_empty() {
        stops.push(rng.below(outputs));
    }
    let acquisition = cond
        .tags()
        .iter()
        .map(|tag| tags[*tag].seen_within())
        .max()
        .unwrap_or(0);
    Rule {
        deadline: acquisition + cond.span() + on_delay + 2 * TURN_MAX,
        cond,
        on_delay,
        off_delay: 0,
        debounce: None,
        multiplier: None,
        raised: None,
        inhibit: None,
        stops,
    }
}

/// Lets samples decide instead of a delay.
fn debounce(rng: &mut Rng, rule: &mut Rule) {
    let need = rng.between(2, 4) as u8;
    let within = rng.between(30, 600) * MS;
    rule.debounce = Some(Debounce {
        need,
        of: need + rng.between(0, 4) as u8,
        within,
    });
    rule.deadline = rule.deadline - rule.on_delay + within;
    rule.on_delay = 0;
}

/// Some rules more, whose channels vote: any form over two to five tags, which may hang on one device or on several.
fn votings(rng: &mut Rng, rules: &mut Vec<Rule>, tags: &[Tag], outputs: usize) -> Vec<Voting> {
    let mut votings = Vec::new();
    if tags.len() < 2 {
        return votings;
    }
    for _ in 0..rng.between(0, 2) {
        let first = rng.below(tags.len());
        let count = rng.between(2, 5).min(tags.len() as u64) as usize;
        let own: Vec<usize> = (0..count).map(|step| (first + step) % tags.len()).collect();
        let need = rng.between(1, count as u64) as u8;
        let exclude = rng.chance(300);
        let bypass = rng.chance(600).then(|| rng.between(500, 8_000) * MS);
        let channels: Vec<(usize, f64)> = own
            .iter()
            .map(|tag| (*tag, rng.between(50, 65) as f64 + GRAIN / 2.0))
            .collect();
        // Longer than between two samples of any, shorter than until the slowest is stale.
        let slowest = own.iter().map(|tag| tags[*tag].stale_after).max();
        let skew = rng
            .chance(350)
            .then(|| slowest.unwrap_or(0) * rng.between(70, 100) / 100);
        let deviation = rng.chance(350).then(|| Deviation {
            // Never the distance of two values, so that rounding decides nothing.
            bad: rng.between(20, 60) as f64 + GRAIN / 3.0,
            lasting: rng.between(50, 1_000) * MS,
        });
        let on_delay = if rng.chance(300) {
            rng.between(20, 600) * MS
        } else {
            0
        };
        let acquisition = own
            .iter()
            .map(|tag| tags[*tag].seen_within())
            .max()
            .unwrap_or(0);
        // A bypass that ends, and a channel that goes bad, may make the vote begin anew.
        let again = if exclude || bypass.is_some() {
            on_delay
        } else {
            0
        };
        rules.push(Rule {
            deadline: acquisition + on_delay + again + 2 * TURN_MAX,
            cond: Cond::Vote {
                voting: votings.len(),
                channels,
            },
            on_delay,
            off_delay: 0,
            debounce: None,
            multiplier: None,
            raised: None,
            inhibit: None,
            stops: vec![rng.below(outputs)],
        });
        votings.push(Voting {
            need,
            exclude,
            bypass,
            skew,
            deviation,
            tags: own,
        });
    }
    votings
}

impl Scenario {
    /// Draws a world.
    pub fn draw(rng: &mut Rng) -> Self {
        // A stream of its own that takes nothing from the other: without analyzers a seed is what it was before there were any.
        let mut analysis = Rng::new(rng.clone().next() ^ 0xA7A1);
        let mut hosts = Vec::new();
        let mut tags = Vec::new();
        let mut devices = Vec::new();
        for device in 0..rng.between(1, 3) as usize {
            hosts.push(HostKind::Input(device));
            devices.push(modbus(rng, device, hosts.len() - 1, &mut tags));
        }
        if rng.chance(600) {
            let device = devices.len();
            hosts.push(HostKind::Broker(device));
            devices.push(mqtt(rng, device, hosts.len() - 1, &mut tags));
        }
        checks(rng, &mut tags);
        let mut outputs = Vec::new();
        for _ in 0..rng.between(1, 2) {
            let host = hosts.len();
            hosts.push(HostKind::Outputs);
            for _ in 0..rng.between(1, 2) {
                outputs.push(output(rng, host, outputs.len() as u16));
            }
        }
        let mut windows = Vec::new();
        let mut rules: Vec<Rule> = (0..rng.between(2, 6))
            .map(|index| rule(rng, index as usize, &tags, outputs.len(), &mut windows))
            .collect();
        for rule in &mut rules {
            if rng.chance(250) {
                rule.off_delay = rng.between(100, 1_500) * MS;
            }
            if rule.cond.span() == 0 && rng.chance(250) {
                debounce(rng, rule);
            }
        }
        let votings = votings(rng, &mut rules, &tags, outputs.len());
        let groups = group(rng, &mut outputs);
        feedbacks(rng, &mut outputs, &mut devices, &mut tags);
        escalations(rng, &mut outputs);
        permissions(rng, &mut rules, &mut devices, &mut tags);
        let button = rng
            .chance(450)
            .then(|| bit(rng, Kind::Button, 23, &mut devices, &mut tags));
        let drawn = super::analyzer::draw(&mut analysis, &mut devices, &mut tags, outputs.len());
        let wave_plans = drawn.wave_plans();
        rules.extend(drawn.rules);
        for rule in &mut rules {
            // What one output of a group is stopped for, all are.
            rule.stops = (0..outputs.len())
                .filter(|output| {
                    rule.stops
                        .iter()
                        .any(|stop| outputs[*stop].group == outputs[*output].group)
                })
                .collect();
        }
        let queue = devices
            .iter()
            .enumerate()
            .map(|(device, _)| {
                let own = tags.iter().filter(|tag| tag.device() == device).count();
                (own * rng.between(3, 8) as usize).max(4)
            })
            .collect();
        let mut plan = plan(&devices, &tags, &rules, &outputs, &windows, groups);
        plan.votings = votings
            .iter()
            .enumerate()
            .map(|(index, voting)| voting_plan(index, voting))
            .collect();
        plan.reset_button = button.map(|tag| ResetButtonPlan {
            tag: TagId(tag as u16),
        });
        plan.waveforms = wave_plans;
        Plan {
            name: "sim".into(),
            version: "1".into(),
            description: String::new(),
            lanes: vec![plan.clone()],
            modules: super::analyzer::modules(&drawn.analyzers),
            blocks: vec![],
            alerts: None,
            vouched: rules_bundle::Vouched::Program,
        }
        .check()
        .expect("what is drawn is what a checked pack could be");
        Self {
            hosts,
            tags,
            rules,
            votings,
            modules: drawn.analyzers.iter().map(module::of).collect(),
            analyzers: drawn.analyzers,
            waves: drawn.waves,
            outputs,
            queue,
            threaded: rng.chance(400),
            plan,
        }
    }
}
