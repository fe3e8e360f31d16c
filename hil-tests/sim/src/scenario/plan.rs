//! Says a world to the lane.

use drivers_frame::{DeviceId, DurNs, TagId};
use rules_bundle::{
    Acquire, DeviationPlan, DevicePlan, Enable, FeedbackPlan, FrozenCheck, HostAssumption,
    InputChecks, LanePlan, Level, Multiplier, OnBad, OutputPlan, OutputTarget, RateCheck,
    ReadBackPlan, RegisterMatch, RegisterValue, Reintegration, RulePlan, StopCategory, TagPlan,
    TripGroupPlan, VotingPlan, Wait, WatchdogPlan, WindowPlan,
};

use super::{Cond, Output, PORT, Permission, Rule, Tag, Voting};

pub(super) fn voting_plan(index: usize, voting: &Voting) -> VotingPlan {
    VotingPlan {
        name: format!("voting{index}"),
        channels: voting.tags.iter().map(|tag| TagId(*tag as u16)).collect(),
        need: voting.need,
        on_bad: if voting.exclude {
            OnBad::Exclude
        } else {
            OnBad::Trip
        },
        skew: voting.skew.map(DurNs::from_ns),
        deviation: voting.deviation.map(|deviation| DeviationPlan {
            alert: Some(deviation.bad / 2.0),
            bad: deviation.bad,
            lasting: DurNs::from_ns(deviation.lasting),
        }),
        bypass_at_most: voting.bypass.map(DurNs::from_ns),
    }
}

pub(super) fn plan(
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
                checks: InputChecks {
                    rate: tag.rate.map(|(per_second, tolerated)| RateCheck {
                        per_second,
                        tolerated,
                    }),
                    frozen: tag.frozen.map(|(noise, lasting)| FrozenCheck {
                        noise,
                        lasting: DurNs::from_ns(lasting),
                    }),
                },
                reintegration: if tag.acknowledge {
                    Reintegration::Acknowledge
                } else {
                    Reintegration::After(DurNs::from_ns(tag.quiet))
                },
            })
            .collect(),
        waveforms: vec![],
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

fn enable(permission: &Permission) -> Enable {
    Enable {
        tag: TagId(permission.tag as u16),
        at_most: DurNs::from_ns(permission.at_most),
    }
}

fn rule_plan(index: usize, rule: &Rule, tags: usize) -> RulePlan {
    RulePlan {
        id: format!("rule{index}"),
        when: String::new(),
        programs: rule.cond.programs(tags),
        raised: rule
            .raised
            .as_ref()
            .map_or(vec![], |raised| raised.programs(tags)),
        voting: match &rule.cond {
            Cond::Vote { voting, .. } => Some(*voting as u16),
            _ => None,
        },
        on_delay: DurNs::from_ns(rule.on_delay),
        off_delay: DurNs::from_ns(rule.off_delay),
        debounce: rule.debounce.map(|debounce| rules_bundle::Debounce {
            need: debounce.need,
            of: debounce.of,
            within: DurNs::from_ns(debounce.within),
        }),
        multiplier: rule.multiplier.as_ref().map(|permission| Multiplier {
            // For people: the raised limits are compiled.
            factor: 1.5,
            enable: enable(permission),
        }),
        inhibit: rule.inhibit.as_ref().map(enable),
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
