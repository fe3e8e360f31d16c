//! What is protected in one run, drawn from the seed: devices, tags, rules, outputs, and a plan of them for the lane.

use drivers_frame::{DeviceId, DurNs, Range, TagId, ValueCodec, ValueType};
use rules_bundle::{
    Acquire, DevicePlan, FeedbackPlan, HostAssumption, InputChecks, LanePlan, Level, LinkPlan,
    ModbusPlan, OnBad, OutputPlan, OutputTarget, PointPlan, ReadBackPlan, RegisterMatch,
    RegisterValue, Reintegration, RulePlan, StopCategory, Table, TagPlan, TripGroupPlan,
    VotingPlan, Wait, WatchdogPlan, WindowFunction, WindowPlan,
};
use rules_expr::ir::{Op, Program};

use crate::rng::Rng;

/// A millisecond in nanoseconds, the unit of all times in here.
pub const MS: u64 = 1_000_000;

/// Longest time between something being due and the turn of the lane that does it, unless the lane is held up.
pub const TURN_MAX: u64 = 8 * MS;
/// Longest way of bytes through the network, and of a device's answer.
pub const WAY_MAX: u64 = 20 * MS;
/// Level above which a value is out of its range.
pub const RANGE_MAX: f64 = 100.0;
/// Levels are multiples of this, and what tells one reading from another is below half of it.
pub const GRAIN: f64 = 1.0 / 1_024.0;

/// What a rule asks. The simulator's own words for it, so that its own eyes can judge it.
#[derive(Clone, Debug, PartialEq)]
pub enum Cond {
    /// The tag is above the limit; once it fired, above the limit less the band.
    Above {
        /// Index of the tag.
        tag: usize,
        /// In the tag's unit.
        limit: f64,
        /// Dead band.
        band: f64,
    },
    /// The average over a window is above the limit.
    AverageAbove {
        /// Index of the tag.
        tag: usize,
        /// Index of the window.
        window: usize,
        /// In the tag's unit.
        limit: f64,
        /// Length of the window.
        span: u64,
    },
    /// Both.
    Both(Box<Cond>, Box<Cond>),
    /// One of them.
    Either(Box<Cond>, Box<Cond>),
    /// So many of the channels of a voting are above their limits, each a tag and a limit of its own.
    Vote {
        /// Index of the voting.
        voting: usize,
        /// The channels.
        channels: Vec<(usize, f64)>,
    },
}

/// Channels that vote.
#[derive(Clone, Debug, PartialEq)]
pub struct Voting {
    /// Votes that trip.
    pub need: u8,
    /// A bad channel is left out instead of voting to trip.
    pub exclude: bool,
    /// Longest bypass of one channel, where one is allowed.
    pub bypass: Option<u64>,
    /// The channels' tags.
    pub tags: Vec<usize>,
}

impl Cond {
    /// The tags that it looks at.
    pub fn tags(&self) -> Vec<usize> {
        match self {
            Self::Above { tag, .. } | Self::AverageAbove { tag, .. } => vec![*tag],
            Self::Both(a, b) | Self::Either(a, b) => {
                let mut tags = a.tags();
                tags.extend(b.tags());
                tags
            }
            Self::Vote { channels, .. } => channels.iter().map(|(tag, _)| *tag).collect(),
        }
    }

    /// The longest window in it.
    pub fn span(&self) -> u64 {
        match self {
            Self::Above { .. } | Self::Vote { .. } => 0,
            Self::AverageAbove { span, .. } => *span,
            Self::Both(a, b) | Self::Either(a, b) => a.span().max(b.span()),
        }
    }

    /// Its programs: one for each channel of a vote, else one.
    fn programs(&self, tags: usize) -> Vec<Program> {
        let conditions = match self {
            Self::Vote { channels, .. } => channels
                .iter()
                .map(|(tag, limit)| Self::Above {
                    tag: *tag,
                    limit: *limit,
                    band: 0.0,
                })
                .collect(),
            other => vec![other.clone()],
        };
        let program = |condition: &Self| {
            let mut ops = Vec::new();
            condition.ops(tags, &mut ops);
            Program::new(ops).expect("a condition is a program")
        };
        conditions.iter().map(program).collect()
    }

    fn ops(&self, tags: usize, ops: &mut Vec<Op>) {
        match self {
            Self::Above { tag, limit, band } => {
                ops.push(Op::Slot(*tag as u32));
                ops.push(Op::Const(*limit));
                if *band > 0.0 {
                    ops.push(Op::HoldOffset(-band));
                    ops.push(Op::Add);
                }
                ops.push(Op::Greater);
            }
            Self::AverageAbove { window, limit, .. } => {
                ops.push(Op::Slot((tags + window) as u32));
                ops.push(Op::Const(*limit));
                ops.push(Op::Greater);
            }
            Self::Both(a, b) | Self::Either(a, b) => {
                a.ops(tags, ops);
                b.ops(tags, ops);
                ops.push(if matches!(self, Self::Both(..)) {
                    Op::And
                } else {
                    Op::Or
                });
            }
            Self::Vote { .. } => unreachable!("a vote has a program for each channel"),
        }
    }
}

/// Where a tag's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Four registers of this device from this address.
    Modbus {
        /// Index of the device.
        device: usize,
        /// First register.
        address: u16,
        /// Which table.
        table: Table,
    },
    /// A topic of its own at the broker.
    Mqtt {
        /// Index of the device.
        device: usize,
        /// Time between two messages.
        period: u64,
    },
}

/// What a tag tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A level, as a number that names its reading.
    Level,
    /// A bit that is true while the contactor of this output is open: its feedback.
    Contact(usize),
}

/// A tag.
#[derive(Clone, Debug)]
pub struct Tag {
    /// What it tells.
    pub kind: Kind,
    /// Where it comes from.
    pub origin: Origin,
    /// Age at which it is stale.
    pub stale_after: u64,
    /// How long it must be good without a break before it counts again.
    pub quiet: u64,
    /// Longest time from the reading to the arrival of a value that may be believed.
    pub way_max: u64,
}

impl Tag {
    /// The device's index.
    pub fn device(&self) -> usize {
        match self.origin {
            Origin::Modbus { device, .. } | Origin::Mqtt { device, .. } => device,
        }
    }
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its condition.
    pub cond: Cond,
    /// How long it must last.
    pub on_delay: u64,
    /// How long it must be over.
    pub off_delay: u64,
    /// Outputs that it stops; none for an alert.
    pub stops: Vec<usize>,
    /// Within which a stop must have been ordered, from the moment the condition came to be true in the plant.
    pub deadline: u64,
}

/// An output: one coil with a watchdog of its own.
#[derive(Clone, Debug)]
pub struct Output {
    /// Index of its host.
    pub host: usize,
    /// Coil.
    pub address: u16,
    /// Time between two refreshes.
    pub refresh: u64,
    /// The device drops the coil this long after the last permit.
    pub watchdog: u64,
    /// Within which an echo must come.
    pub confirm_within: u64,
    /// Trip group.
    pub group: usize,
    /// Read-back: period, and within which the place must hold what was written.
    pub read_back: Option<(u64, u64)>,
    /// Feedback: its tag, and within which it must follow.
    pub feedback: Option<(usize, u64)>,
    /// Output that is tripped when this one does not prove its stop.
    pub escalate_to: Option<usize>,
    /// Category 1: the output that asks for the controlled stop, and its time.
    pub controlled: Option<(usize, u64)>,
    /// How often the device's watchdog registers are looked at, where it has them.
    pub check_every: Option<u64>,
}

impl Output {
    /// How long after its group is latched the permit may still be given.
    pub fn power_off_after(&self) -> u64 {
        self.controlled.map_or(0, |(_, time)| time)
    }

    /// The register that arms the watchdog of this output's device, and what is written to it.
    pub fn watchdog_register(&self) -> (u16, u16) {
        (0x1120 + self.address, (self.watchdog / MS) as u16)
    }
}

/// What listens at a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// The input device of this index.
    Input(usize),
    /// Outputs.
    Outputs,
    /// The broker that is the device of this index.
    Broker(usize),
}

/// One run's world, before anything happens.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Hosts, by the number of their address.
    pub hosts: Vec<HostKind>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// Votings.
    pub votings: Vec<Voting>,
    /// Outputs.
    pub outputs: Vec<Output>,
    /// Samples in the queue of each device.
    pub queue: Vec<usize>,
    /// Acquisition by a thread of its own.
    pub threaded: bool,
    /// What the lane is made of.
    pub plan: LanePlan,
}

/// First port: a host's port is this plus its index.
pub const PORT: u16 = 10_000;

impl Scenario {
    /// Draws a world.
    pub fn draw(rng: &mut Rng) -> Self {
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
        }
        for tag in &mut tags {
            if rng.chance(250) {
                tag.quiet = rng.between(100, 1_500) * MS;
            }
        }
        let votings = votings(rng, &mut rules, &tags, outputs.len());
        let groups = group(rng, &mut outputs);
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
        feedbacks(rng, &mut outputs, &mut devices, &mut tags);
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
        Self {
            hosts,
            tags,
            rules,
            votings,
            outputs,
            queue,
            threaded: rng.chance(400),
            plan,
        }
    }

    /// The longest watchdog of any output.
    pub fn watchdog_max(&self) -> u64 {
        self.outputs
            .iter()
            .map(|output| output.watchdog)
            .max()
            .unwrap_or(0)
    }
}

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
            way_max: timeout,
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
        subscriptions.push(rules_bundle::SubscriptionPlan {
            topic: format!("plant/{}", tags.len()),
            qos: rng.between(0, 1) as u8,
            period: None,
            fields: vec![rules_bundle::FieldPlan {
                tag: TagId(tags.len() as u16),
                extract: rules_bundle::ExtractPlan::Number,
                codec: codec(),
            }],
            envelope: None,
        });
        tags.push(Tag {
            kind: Kind::Level,
            origin: Origin::Mqtt { device, period },
            stale_after: period * 2 + rng.between(30, 200) * MS,
            quiet: 0,
            way_max: 3 * WAY_MAX,
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
                outputs[index].controlled = Some((index - 1, rng.between(50, 600) * MS));
            }
        } else {
            outputs[index].group = groups;
            groups += 1;
        }
    }
    groups
}

/// Gives some outputs a contactor with a feedback, and another output that is tripped when the contactor does not open.
fn feedbacks(
    rng: &mut Rng,
    outputs: &mut [Output],
    devices: &mut [DevicePlan],
    tags: &mut Vec<Tag>,
) {
    for index in 0..outputs.len() {
        if !rng.chance(350) {
            continue;
        }
        let LinkPlan::Modbus(device) = &mut devices[0].link else {
            return;
        };
        let address = 3 + index as u16 * 2;
        device.points.push(PointPlan {
            tag: TagId(tags.len() as u16),
            table: Table::Discrete,
            address,
            codec: ValueCodec::plain(ValueType::Bool),
        });
        let stale_after = device.poll.map_or(0, DurNs::as_ns) * 2
            + device.timeout.as_ns()
            + rng.between(60, 200) * MS;
        outputs[index].feedback = Some((tags.len(), stale_after + rng.between(60, 200) * MS));
        tags.push(Tag {
            kind: Kind::Contact(index),
            origin: Origin::Modbus {
                device: 0,
                address,
                table: Table::Discrete,
            },
            stale_after,
            quiet: 0,
            way_max: device.timeout.as_ns(),
        });
        let others: Vec<usize> = (0..outputs.len())
            .filter(|other| outputs[*other].group != outputs[index].group)
            .collect();
        if !others.is_empty() {
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
        .map(|tag| tags[*tag].stale_after + tags[*tag].way_max)
        .max()
        .unwrap_or(0);
    Rule {
        deadline: acquisition + cond.span() + on_delay + 2 * TURN_MAX,
        cond,
        on_delay,
        off_delay: 0,
        stops,
    }
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
        let on_delay = if rng.chance(300) {
            rng.between(20, 600) * MS
        } else {
            0
        };
        let acquisition = own
            .iter()
            .map(|tag| tags[*tag].stale_after + tags[*tag].way_max)
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
            stops: vec![rng.below(outputs)],
        });
        votings.push(Voting {
            need,
            exclude,
            bypass,
            tags: own,
        });
    }
    votings
}

fn voting_plan(index: usize, voting: &Voting) -> VotingPlan {
    VotingPlan {
        name: format!("voting{index}"),
        channels: voting.tags.iter().map(|tag| TagId(*tag as u16)).collect(),
        need: voting.need,
        on_bad: if voting.exclude {
            OnBad::Exclude
        } else {
            OnBad::Trip
        },
        skew: None,
        deviation: None,
        bypass_at_most: voting.bypass.map(DurNs::from_ns),
    }
}

fn plan(
    devices: &[DevicePlan],
    tags: &[Tag],
    rules: &[Rule],
    outputs: &[Output],
    windows: &[WindowPlan],
    groups: usize,
) -> LanePlan {
    LanePlan {
        name: "main".into(),
        cpu: None,
        priority: 0,
        wait: Wait::Park,
        acquire: Acquire::Inline,
        timer_period: DurNs::from_ms(5),
        devices: devices.to_vec(),
        tags: tags
            .iter()
            .enumerate()
            .map(|(index, tag)| TagPlan {
                name: format!("tag{index}"),
                unit: "mm/s".into(),
                device: DeviceId(tag.device() as u16),
                stale_after: DurNs::from_ns(tag.stale_after),
                checks: InputChecks::default(),
                reintegration: Reintegration::After(DurNs::from_ns(tag.quiet)),
            })
            .collect(),
        windows: windows.to_vec(),
        ages: vec![],
        qualities: vec![],
        rules: rules
            .iter()
            .enumerate()
            .map(|(index, rule)| rule_plan(index, rule, tags.len()))
            .collect(),
        votings: vec![],
        trip_groups: (0..groups)
            .map(|group| TripGroupPlan {
                name: format!("group{group}"),
            })
            .collect(),
        outputs: outputs
            .iter()
            .enumerate()
            .map(|(index, output)| output_plan(index, output))
            .collect(),
        reset_button: None,
        assumed: HostAssumption::default(),
    }
}

fn rule_plan(index: usize, rule: &Rule, tags: usize) -> RulePlan {
    RulePlan {
        id: format!("rule{index}"),
        when: String::new(),
        programs: rule.cond.programs(tags),
        raised: vec![],
        voting: match &rule.cond {
            Cond::Vote { voting, .. } => Some(*voting as u16),
            _ => None,
        },
        on_delay: DurNs::from_ns(rule.on_delay),
        off_delay: DurNs::from_ns(rule.off_delay),
        debounce: None,
        multiplier: None,
        inhibit: None,
        bypass_at_most: None,
        level: if rule.stops.is_empty() {
            Level::Alert
        } else {
            Level::Danger
        },
        stops: rule.stops.iter().map(|output| *output as u16).collect(),
        deadline: (!rule.stops.is_empty()).then_some(DurNs::from_ns(rule.deadline)),
        process_safety_time: None,
        message: String::new(),
        tags: vec![],
        runbook: None,
    }
}

fn output_plan(index: usize, output: &Output) -> OutputPlan {
    OutputPlan {
        name: format!("output{index}"),
        host: "127.0.0.1".into(),
        port: PORT + output.host as u16,
        unit: 1,
        device: format!("host{}", output.host),
        target: OutputTarget::Coil {
            address: output.address,
            run: true,
        },
        refresh: DurNs::from_ns(output.refresh),
        confirm_within: DurNs::from_ns(output.confirm_within),
        connect_timeout: DurNs::from_ms(200),
        backoff_min: DurNs::from_ms(20),
        backoff_max: DurNs::from_ms(200),
        group: output.group as u16,
        stop: output
            .controlled
            .map_or(StopCategory::Zero, |(by, time)| StopCategory::One {
                controlled_by: by as u16,
                power_off_after: DurNs::from_ns(time),
            }),
        read_back: output.read_back.map(|(period, within)| ReadBackPlan {
            period: DurNs::from_ns(period),
            within: DurNs::from_ns(within),
        }),
        feedback: output.feedback.map(|(tag, within)| FeedbackPlan {
            tag: TagId(tag as u16),
            safe: true,
            within: DurNs::from_ns(within),
        }),
        escalate_to: output.escalate_to.map(|to| to as u16),
        watchdog: output.check_every.map(|every| {
            let (address, value) = output.watchdog_register();
            WatchdogPlan {
                profile: "simulated".into(),
                time: DurNs::from_ns(output.watchdog),
                arm: vec![RegisterValue { address, value }],
                expect: vec![RegisterMatch {
                    address,
                    mask: 0xFFFF,
                    value,
                }],
                check_every: DurNs::from_ns(every),
            }
        }),
        device_time: DurNs::ZERO,
    }
}
