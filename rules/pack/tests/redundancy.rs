//! What the words for redundancy, checked inputs and proved outputs become, by hand; and that a plan which says something
//! else is refused (H-48).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use drivers_frame::{DurNs, Quality, TagId, ValueCodec};
use rules_bundle::{
    CheckPlan, LanePlan, LinkPlan, OnBad, OutputPlan, OutputTarget, Plan, Reintegration, RulePlan,
    StopCategory, TagPlan,
};
use rules_expr::ir::Op;
use rules_pack::Code;

const TURBINE: &str = include_str!("../../packs/turbine-2oo3.yaml");

fn plan_of(source: &str) -> Plan {
    match rules_pack::load("pack.yaml", source) {
        Ok(loaded) => loaded.plan,
        Err(findings) => panic!("{}", rules_pack::render(&findings, source, false)),
    }
}

fn turbine() -> LanePlan {
    plan_of(TURBINE).lanes.into_iter().next().unwrap()
}

fn id(lane: &LanePlan, name: &str) -> TagId {
    let index = lane.tags.iter().position(|tag| tag.name == name).unwrap();
    TagId(u16::try_from(index).unwrap())
}

fn tag<'l>(lane: &'l LanePlan, name: &str) -> &'l TagPlan {
    &lane.tags[usize::from(id(lane, name).0)]
}

fn rule<'l>(lane: &'l LanePlan, name: &str) -> &'l RulePlan {
    lane.rules.iter().find(|rule| rule.id == name).unwrap()
}

fn output<'l>(lane: &'l LanePlan, name: &str) -> (u16, &'l OutputPlan) {
    let index = lane.outputs.iter().position(|output| output.name == name);
    let index = index.unwrap();
    (u16::try_from(index).unwrap(), &lane.outputs[index])
}

fn codec(lane: &LanePlan, name: &str) -> ValueCodec {
    let wanted = id(lane, name);
    let points = lane.devices.iter().flat_map(|device| match &device.link {
        LinkPlan::Modbus(modbus) => modbus.points.as_slice(),
        LinkPlan::Mqtt(_) | LinkPlan::Analyzer(_) => &[],
    });
    let mut points = points.filter(|point| point.tag == wanted);
    points.next().unwrap().codec
}

#[test]
fn h01_a_current_loop_measures_and_reports_its_own_failure() {
    let lane = turbine();
    let codec = codec(&lane, "temp_a");
    // 4 mA is 0 degC at raw 0, 20 mA is 150 degC at raw 27648; 3.6 mA is raw -691.2, 21 mA raw 29376.
    for (raw, value) in [(0, 0.0), (27_648, 150.0), (13_824, 75.0)] {
        let decoded = codec.decode_registers(&[raw]);
        assert_eq!(decoded.quality, Quality::Good, "H-1: {raw}");
        assert!((decoded.value - value).abs() < 1e-9, "{raw}: {decoded:?}");
    }
    // 20.5 mA is raw 28512, where good ends.
    assert_eq!(
        codec.decode_registers(&[28_600]).quality,
        Quality::Uncertain
    );
    assert_eq!(
        codec.decode_registers(&[29_376]).quality,
        Quality::Bad,
        "H-1"
    );
    let falling = TURBINE.replace(
        "current_loop: { raw: [0, 27648], measures: [0, 150] }   #",
        "current_loop: { raw: [5530, 27648], measures: [150, 0] }   #",
    );
    assert_ne!(falling, TURBINE);
    let lane = plan_of(&falling).lanes.into_iter().next().unwrap();
    let codec = self::codec(&lane, "temp_a");
    for (raw, value) in [(5_530, 150.0), (27_648, 0.0), (16_589, 75.0)] {
        let decoded = codec.decode_registers(&[raw]);
        assert_eq!(decoded.quality, Quality::Good, "H-1: {raw}");
        assert!((decoded.value - value).abs() < 1e-9, "{raw}: {decoded:?}");
    }
    assert_eq!(
        codec.decode_registers(&[0]).quality,
        Quality::Bad,
        "a broken wire"
    );
}

#[test]
fn h03_h49_h51_votings_name_their_channels_in_order() {
    let lane = turbine();
    let voting = &lane.votings[0];
    let channels = ["speed_a", "speed_b", "speed_c"].map(|name| id(&lane, name));
    assert_eq!(voting.channels, channels);
    assert_eq!((voting.need, voting.on_bad), (2, OnBad::Trip), "H-49");
    assert_eq!(voting.skew, Some(DurNs::from_ms(25)), "H-51");
    let deviation = voting.deviation.unwrap();
    assert_eq!((deviation.alert, deviation.bad), (Some(30.0), 100.0), "H-3");
    assert_eq!(voting.bypass_at_most, Some(DurNs::from_ms(8 * 3_600_000)));
    let overspeed = rule(&lane, "overspeed");
    assert_eq!(overspeed.voting, Some(0));
    let read: Vec<&[Op]> = overspeed
        .programs
        .iter()
        .map(|program| program.ops())
        .collect();
    for (ops, channel) in read.iter().zip(channels) {
        assert_eq!(
            ops[0],
            Op::Slot(u32::from(channel.0)),
            "each its own channel"
        );
        assert_eq!(ops[1], Op::Const(3_300.0));
    }
    assert_eq!(read.len(), 3);
    let mist = rule(&lane, "oil_mist_fire");
    assert!(
        matches!(mist.programs[1].ops(), [Op::SlotBool(_)]),
        "booleans vote too"
    );
}

#[test]
fn h02_h04_channels_are_checked_over_time_and_come_back_as_the_pack_says() {
    let lane = turbine();
    let bearing = tag(&lane, "temp_b");
    let rate = bearing.checks.rate.unwrap();
    assert_eq!((rate.per_second, rate.tolerated), (100.0, 2), "H-4");
    let frozen = bearing.checks.frozen.unwrap();
    assert_eq!(frozen.lasting, DurNs::from_ms(3_600_000), "H-2");
    let after = Reintegration::After(DurNs::from_ms(2_000));
    assert_eq!(bearing.reintegration, after);
    assert_eq!(
        tag(&lane, "speed_c").reintegration,
        Reintegration::Acknowledge
    );
    let at_once = Reintegration::After(DurNs::ZERO);
    assert_eq!(tag(&lane, "oil.pressure").reintegration, at_once);
    let vibration = rule(&lane, "shaft_vibration");
    let debounce = vibration.debounce.unwrap();
    assert_eq!((debounce.need, debounce.of), (3, 5), "H-4");
    let multiplier = vibration.multiplier.unwrap();
    assert!((multiplier.factor - 2.0).abs() < f64::EPSILON);
    assert_eq!(multiplier.enable.tag, id(&lane, "turbine.starting"));
    assert_eq!(multiplier.enable.at_most, DurNs::from_ms(60_000));
    assert_eq!(vibration.programs[0].ops()[1], Op::Const(90.0));
    assert_eq!(vibration.raised[0].ops()[1], Op::Const(180.0));
    let oil = rule(&lane, "oil_pressure_low");
    assert_eq!(oil.inhibit.unwrap().at_most, DurNs::from_ms(20_000));
    assert_eq!(oil.bypass_at_most, Some(DurNs::from_ms(3_600_000)), "H-55");
    assert_eq!(vibration.bypass_at_most, None, "H-55: none unless stated");
    assert_eq!(
        rule(&lane, "overspeed_near").off_delay,
        DurNs::from_ms(1_000)
    );
    assert_eq!(
        lane.reset_button.unwrap().tag,
        id(&lane, "turbine.reset"),
        "H-54"
    );
}

#[test]
fn h17_h20_an_envelope_belongs_to_the_whole_topic() {
    let lane = turbine();
    let subscription = lane
        .devices
        .iter()
        .find_map(|device| match &device.link {
            LinkPlan::Mqtt(mqtt) => mqtt.subscriptions.first(),
            LinkPlan::Modbus(_) | LinkPlan::Analyzer(_) => None,
        })
        .unwrap();
    let envelope = subscription.envelope.as_ref().unwrap();
    assert_eq!(envelope.source, "turbine1-oil", "H-20");
    assert_eq!(envelope.check, CheckPlan::Crc32c);
    assert_eq!(
        (envelope.budget.errors, envelope.budget.within),
        (2, DurNs::from_ms(10_000))
    );
    assert_eq!(subscription.period, Some(DurNs::from_ms(500)), "H-17");
    let second = "  oil.level: { device: plant_broker, topic: plant/turbine1/oil, payload: { json: /level }, unit: mm, range: [0, 900], \
                  stale_after: 2s }\n  turbine.reset:";
    let keyed = TURBINE
        .replace(
            "check: crc32c",
            "check: { hmac_sha256: { key_file: /etc/tripline/oil.key } }",
        )
        .replace("  turbine.reset:", second)
        .replace(
            "when: oil.temperature > 75 degC",
            "when: oil.temperature > 75 degC || oil.level < 20 mm",
        );
    let lane = plan_of(&keyed).lanes.into_iter().next().unwrap();
    let LinkPlan::Mqtt(mqtt) = &lane.devices.last().unwrap().link else {
        panic!()
    };
    let [subscription] = mqtt.subscriptions.as_slice() else {
        panic!("one topic, one subscription")
    };
    assert_eq!(subscription.fields.len(), 2, "one tag speaks for both");
    let key_file = "/etc/tripline/oil.key".to_owned();
    let check = CheckPlan::HmacSha256 { key_file };
    assert_eq!(subscription.envelope.as_ref().unwrap().check, check);
}

#[test]
fn h57_to_h60_h64_outputs_are_grouped_proved_watched_and_escalate() {
    let lane = turbine();
    let groups: Vec<&str> = lane
        .trip_groups
        .iter()
        .map(|group| group.name.as_str())
        .collect();
    assert_eq!(
        groups,
        ["turbine", "main_stop", "fan"],
        "in the order of first use"
    );
    let (_, valve) = output(&lane, "trip_valve_1");
    let (_, other) = output(&lane, "trip_valve_2");
    assert_eq!(valve.group, other.group);
    assert_eq!(
        valve.target,
        OutputTarget::Toggle {
            address: 0,
            safe: false
        }
    );
    assert_eq!(
        valve.read_back.unwrap().within,
        DurNs::from_ms(15),
        "H-58, H-60"
    );
    let feedback = valve.feedback.unwrap();
    assert_eq!(
        (feedback.tag, feedback.safe),
        (id(&lane, "valve_1.open"), false),
        "H-59"
    );
    let (main, main_stop) = output(&lane, "main_stop");
    assert_eq!(valve.escalate_to, Some(main), "H-57");
    assert_eq!(
        main_stop.target,
        OutputTarget::Counter {
            address: 10,
            safe: 0
        }
    );
    let watchdog = valve.watchdog.as_ref().unwrap();
    assert_eq!(
        (watchdog.profile.as_str(), watchdog.time),
        ("wago_750", DurNs::from_ms(300)),
        "H-64"
    );
    assert_eq!(
        watchdog.check_every,
        DurNs::from_ms(1_000),
        "the stated default"
    );
    let (controlled_by, _) = output(&lane, "fan_stop");
    let power_off_after = DurNs::from_ms(2_000);
    let expected = StopCategory::One {
        controlled_by,
        power_off_after,
    };
    assert_eq!(output(&lane, "fan_power").1.stop, expected);
    assert_eq!(output(&lane, "fan_stop").1.watchdog, None, "stated as none");
}

#[test]
fn h50_channels_that_hang_on_one_place_are_told() {
    let codes = |source: &str| -> Vec<Code> {
        let loaded = rules_pack::load("pack.yaml", source).unwrap();
        loaded.warnings.iter().map(|finding| finding.code).collect()
    };
    assert_eq!(codes(TURBINE), []);
    // Two stations behind one address, as behind a serial gateway, are one place.
    let gateway = TURBINE.replace("192.168.3.22", "192.168.3.21");
    assert_eq!(
        codes(&gateway),
        [Code::CommonCause, Code::CommonCause],
        "H-50"
    );
}

#[test]
fn h48_a_plan_that_no_pack_makes_is_refused() {
    type Change = fn(&mut LanePlan);
    let changes: [(&str, Change); 13] = [
        ("twice", |lane| {
            lane.votings[0].channels[1] = lane.votings[0].channels[0]
        }),
        ("cannot be 4oo3", |lane| lane.votings[0].need = 4),
        ("deviation", |lane| {
            lane.votings[0].deviation.as_mut().unwrap().bad = 0.0
        }),
        ("a check of tag", |lane| {
            let rate = lane
                .tags
                .iter_mut()
                .find_map(|tag| tag.checks.rate.as_mut());
            rate.unwrap().per_second = f64::NAN;
        }),
        ("leads back", |lane| lane.outputs[2].escalate_to = Some(2)),
        ("leads back", |lane| lane.outputs[2].escalate_to = Some(0)),
        ("controlled stop", |lane| lane.outputs[4].group = 0),
        ("controlled stop", |lane| {
            lane.outputs[3].stop = lane.outputs[4].stop
        }),
        ("an output that", |lane| {
            lane.outputs[0].escalate_to = Some(9)
        }),
        ("feedback", |lane| {
            lane.outputs[0].feedback.as_mut().unwrap().tag = TagId(999)
        }),
        ("raises nothing", |lane| {
            let multiplier = lane
                .rules
                .iter_mut()
                .find_map(|rule| rule.multiplier.as_mut());
            multiplier.unwrap().factor = 1.0;
        }),
        ("one condition a channel", |lane| {
            lane.rules[1].programs.pop();
        }),
        ("no time at all", |lane| lane.assumed.fuel_ps = 0),
    ];
    plan_of(TURBINE).check().unwrap();
    for (words, change) in changes {
        let mut plan = plan_of(TURBINE);
        change(&mut plan.lanes[0]);
        let refused = plan.check().unwrap_err().to_string();
        assert!(refused.contains(words), "H-48: {words}: {refused}");
    }
}
