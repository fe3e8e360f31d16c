//! What a plain value is not enough for: conditions over change, inputs that may not jump, messages in envelopes.

use std::path::Path;

use appliance_cli::build::check_bytes;
use appliance_cli::prooftest::{Faults, Outcome, PathResult, Report, simulate};
use hil_tests::binaries;

fn walk(yaml: &str) -> Report {
    let checked = check_bytes(Path::new("inputs.yaml"), yaml.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{error:?}"));
    let mut say = |_: &str| ();
    simulate(
        checked,
        &Faults::default(),
        binaries::guard(),
        None,
        &mut say,
    )
    .expect("it is made")
}

fn paths<'r>(report: &'r Report, rule: &str) -> Vec<&'r PathResult> {
    let paths = report.paths.iter();
    paths.filter(|path| path.rule == rule).collect()
}

#[test]
fn rules_over_change_are_walked_by_a_movement_and_inputs_that_may_not_jump_do_not() {
    let report = walk(
        r#"tripline: 1
pack: { name: changes }
lanes: { main: { wait: park } }
devices:
  io: { modbus: { host: 192.0.2.10, poll: 10ms, timeout: 500ms, addressing: zero_based } }
tags:
  level: { device: io, register: { table: input, address: 0 }, type: u16, scale: 0.001, unit: bar, range: [0, 50], stale_after: 2s }
  shaft: { device: io, register: { table: input, address: 1 }, type: u16, scale: 0.01, unit: mm/s, range: [0, 500], stale_after: 2s }
  bearing: { device: io, register: { table: input, address: 2 }, type: u16, scale: 0.01, unit: degC, range: [0, 150], stale_after: 2s, rate: { per_second: 100, tolerate: 2 } }
outputs:
  run: { device: io, coil: 0, refresh: 50ms, confirm_within: 500ms, device_time: 10ms, watchdog: none }
rules:
  - { id: falls, when: "rate(level, 500ms) < -4 bar/s", level: danger, stops: [run], deadline: 10s, message: falls }
  - { id: rises, when: "delta(level, 1s) > 6 bar", level: danger, stops: [run], deadline: 10s, message: rises }
  - { id: restless, when: "stddev(shaft, 500ms) > 20 mm/s", level: danger, stops: [run], deadline: 10s, message: restless }
  - { id: hot, when: bearing > 95 degC, level: danger, stops: [run], deadline: 10s, message: hot }
  - { id: races, when: "rate(bearing, 1s) > 80 K/s", level: danger, stops: [run], deadline: 10s, message: races }
"#,
    );
    for (rule, word) in [
        ("falls", "level moves by -"),
        ("rises", "level moves by "),
        ("restless", "shaft moves by "),
        ("hot", "bearing = "),
    ] {
        let path = paths(&report, rule)[0];
        assert!(path.stimulus.contains(word), "{rule}: {}", path.stimulus);
        assert_eq!(path.outcome, Outcome::Passed, "{}", report.text());
        assert_eq!(path.cause.as_deref(), Some("condition"), "{path:?}");
    }
    // Its check makes anything as fast as that implausible: what cannot be shown is said.
    assert!(
        paths(&report, "races")
            .iter()
            .all(|path| path.stimulus.contains("fails")),
        "{}",
        report.text()
    );
    let open = report
        .not_tested
        .iter()
        .find(|open| open.what == "rule races, value of bearing");
    assert!(
        open.is_some_and(|open| open.why.contains("`rate` check")),
        "{}",
        report.text()
    );
}

#[test]
fn h20_h21_wrong_envelopes_stop_and_right_ones_let_run() {
    let report = walk(
        r#"tripline: 1
pack: { name: wrapped }
lanes: { main: { wait: park } }
devices:
  io: { modbus: { host: 192.0.2.10, poll: 10ms, timeout: 500ms, addressing: zero_based } }
  net: { mqtt: { host: 192.0.2.11 } }
tags:
  oil: { device: net, topic: plant/oil, payload: { json: /temperature }, unit: degC, range: [-20, 150], stale_after: 2s, envelope: { source: oil-7, check: crc32c, budget: { errors: 2, within: 1s } } }
  gas: { device: net, topic: plant/gas, unit: bar, range: [0, 20], stale_after: 2s, envelope: { source: gas-7, check: { hmac_sha256: { key_file: /nowhere/gas.key } }, budget: { errors: 0, within: 1s } } }
outputs:
  run: { device: io, coil: 0, refresh: 50ms, confirm_within: 500ms, device_time: 10ms, watchdog: none }
rules:
  - { id: oil_hot, when: oil > 75 degC, level: danger, stops: [run], deadline: 10s, message: hot }
  - { id: gas_high, when: gas > 12 bar, level: danger, stops: [run], deadline: 10s, message: high }
"#,
    );
    // The machine's own key is not asked for: it is not on the host that simulates.
    for (rule, tag) in [("oil_hot", "oil"), ("gas_high", "gas")] {
        let walked: Vec<(String, Outcome)> = paths(&report, rule)
            .iter()
            .map(|path| (path.stimulus.clone(), path.outcome))
            .collect();
        assert_eq!(walked.len(), 3, "{}", report.text());
        assert_eq!(
            walked[2],
            (format!("the envelopes of {tag} are wrong"), Outcome::Passed),
            "H-20, H-21: {}",
            report.text()
        );
    }
    assert!(report.passed, "{}", report.text());
    assert_eq!(report.not_tested, [], "{}", report.text());
}
