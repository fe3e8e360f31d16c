//! Everything that a pack may have too much of is refused with a clear text, and the largest legal pack loads (H-46).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use std::fmt::Write as _;

use rt_config::limits;
use rules_pack::{Code, Finding, Severity};

/// A pack of the given size. Tags are spread over the devices, rules over the tags, outputs over the rules.
struct Size {
    devices: usize,
    tags: usize,
    outputs: usize,
    rules: usize,
}

const SMALL: Size = Size {
    devices: 1,
    tags: 1,
    outputs: 1,
    rules: 1,
};

fn pack(size: &Size) -> String {
    let mut text = String::from("tripline: 1\npack: { name: big }\ndevices:\n");
    for device in 0..size.devices {
        let modbus = "{ host: h, poll: 10ms, addressing: zero_based }";
        writeln!(
            text,
            "  d{device}: {{ modbus: {} }}",
            modbus.replace("host: h", &format!("host: h{device}"))
        )
        .unwrap();
    }
    text.push_str("tags:\n");
    for tag in 0..size.tags {
        let (device, address) = (tag % size.devices, tag / size.devices);
        writeln!(
            text,
            "  t{tag}:\n    device: d{device}\n    register: {{ table: input, address: {address} }}\n    type: u16\n    \
             scale: 0.01\n    unit: mm/s\n    range: [0, 600]\n    stale_after: 100ms"
        )
        .unwrap();
    }
    text.push_str("outputs:\n");
    for output in 0..size.outputs {
        let (device, coil) = (output % size.devices, output / size.devices);
        writeln!(
            text,
            "  o{output}: {{ device: d{device}, coil: {coil}, refresh: 100ms, confirm_within: 50ms, device_time: 0s, watchdog: none }}"
        )
        .unwrap();
    }
    text.push_str("rules:\n");
    for rule in 0..size.rules {
        // Every tag is read by some rule, even when there are more tags than rules.
        let tags: Vec<String> = (rule..size.tags)
            .step_by(size.rules)
            .map(|tag| format!("t{tag} > 7.1 mm/s"))
            .collect();
        let when = if tags.is_empty() {
            "t0 > 7.1 mm/s".to_owned()
        } else {
            tags.join(" || ")
        };
        writeln!(
            text,
            "  - id: r{rule}\n    when: {when}\n    level: danger\n    stops: [o{}]\n    deadline: 2s\n    message: Rule {rule}",
            rule % size.outputs
        )
        .unwrap();
    }
    text
}

fn refusal(source: &str) -> Vec<Finding> {
    rules_pack::load("big.yaml", source).unwrap_err()
}

#[track_caller]
fn assert_refused(source: &str, code: Code, words: &str) {
    let findings = refusal(source);
    let found = findings.iter().any(|finding| {
        finding.code == code
            && finding.severity == Severity::Error
            && finding.message.contains(words)
    });
    let shown: Vec<&String> = findings
        .iter()
        .map(|finding| &finding.message)
        .take(5)
        .collect();
    assert!(found, "no {code} with `{words}` among {shown:?}");
}

#[test]
fn the_largest_legal_pack_loads_without_a_remark() {
    let source = pack(&Size {
        devices: limits::DEVICES_MAX,
        tags: limits::TAGS_MAX,
        outputs: limits::OUTPUTS_MAX,
        rules: limits::RULES_MAX,
    });
    assert!(source.len() < limits::PACK_BYTES_MAX);
    let loaded = rules_pack::load("big.yaml", &source)
        .unwrap_or_else(|findings| panic!("{:?}", &findings[..1]));
    assert!(loaded.warnings.is_empty());
    let lane = &loaded.plan.lanes[0];
    assert_eq!(
        (
            lane.devices.len(),
            lane.tags.len(),
            lane.outputs.len(),
            lane.rules.len()
        ),
        (64, 16_384, 256, 10_000)
    );
}

#[test]
fn one_more_than_the_limit_is_refused() {
    for (size, words) in [
        (
            Size {
                tags: limits::TAGS_MAX + 1,
                ..SMALL
            },
            "16385 tags; at most 16384",
        ),
        (
            Size {
                rules: limits::RULES_MAX + 1,
                ..SMALL
            },
            "10001 rules; at most 10000",
        ),
        (
            Size {
                outputs: 257,
                rules: 257,
                ..SMALL
            },
            "257 outputs; at most 256",
        ),
        (
            Size {
                devices: 65,
                tags: 65,
                ..SMALL
            },
            "65 devices; at most 64",
        ),
    ] {
        assert_refused(&pack(&size), Code::TooMany, words);
    }
    let lanes: Vec<String> = (0..9).map(|lane| format!("l{lane}: {{}}")).collect();
    let source = pack(&SMALL).replace(
        "devices:",
        &format!("lanes: {{ {} }}\ndevices:", lanes.join(", ")),
    );
    assert_refused(&source, Code::TooMany, "9 lanes; at most 8");
    let outputs: Vec<String> = (0..33).map(|output| format!("o{output}")).collect();
    let source = pack(&Size {
        outputs: 33,
        rules: 33,
        ..SMALL
    })
    .replacen(
        "stops: [o0]",
        &format!("stops: [{}]", outputs.join(", ")),
        1,
    );
    assert_refused(
        &source,
        Code::TooMany,
        "33 outputs stopped by one rule; at most 32",
    );
}

#[test]
fn too_many_bytes_are_refused_before_they_are_read() {
    let mut source = pack(&SMALL);
    source.push_str(&"#".repeat(limits::PACK_BYTES_MAX - source.len()));
    assert!(
        rules_pack::load("big.yaml", &source).is_ok(),
        "exactly the limit"
    );
    source.push('#');
    assert_refused(&source, Code::TooLarge, "8388609 bytes");
}

#[test]
fn too_many_values_are_refused_while_they_are_read() {
    let source = format!("tripline: 1\nrules: [{}]\n", "1,".repeat(2_000_000));
    assert_refused(&source, Code::TooLarge, "more values");
}

#[test]
fn too_many_times_of_staleness_are_refused() {
    let mut source = pack(&Size { tags: 129, ..SMALL });
    for tag in 0..129 {
        source = source.replacen(
            "stale_after: 100ms",
            &format!("stale_after: {}ms", 200 + tag),
            1,
        );
    }
    assert_refused(&source, Code::StaleClasses, "more than 128");
}

#[test]
fn too_many_windows_are_refused() {
    let mut source = pack(&SMALL);
    for window in 0..=limits::WINDOWS_MAX {
        writeln!(
            source,
            "  - {{ id: w{window}, when: \"avg(t0, {}us) > 5 mm/s\", level: alert }}",
            100_000 + window
        )
        .unwrap();
    }
    assert_refused(&source, Code::TooMany, "4097 different windows");
}

#[test]
fn a_flood_of_findings_is_cut_and_counted() {
    let mut source = pack(&SMALL);
    for rule in 0..5_000 {
        writeln!(
            source,
            "  - {{ id: x{rule}, when: y{rule} > 1, level: alarm }}"
        )
        .unwrap();
    }
    let findings = refusal(&source);
    assert_eq!(findings.len(), 501);
    let last = findings.last().unwrap();
    assert_eq!(last.code, Code::TooManyFindings);
    assert_eq!(last.message, "9500 further findings are not shown");
}

#[test]
fn text_that_is_not_utf8_is_refused_at_its_place() {
    let findings =
        rules_pack::load_bytes("x.yaml", b"tripline: 1\npack: \xff\n", &rules_pack::Alone)
            .unwrap_err();
    let [finding] = findings.as_slice() else {
        panic!("{findings:?}")
    };
    assert_eq!(
        (finding.code, finding.line, finding.column),
        (Code::NotUtf8, 2, 7)
    );
    assert!(!rules_pack::render(&findings, "", true).is_empty());
    assert!(rules_pack::load_bytes("x.yaml", pack(&SMALL).as_bytes(), &rules_pack::Alone).is_ok());
}

/// Channels of `votings` votings of two tags each, and rules that use them.
fn with_votings(size: &Size, votings: usize, rules: usize) -> String {
    let mut source = pack(size);
    source.push_str("votings:\n");
    for voting in 0..votings {
        writeln!(source, "  v{voting}: {{ channels: [t0, t1], vote: 1oo2 }}").unwrap();
    }
    let mut more = String::from("rules:\n");
    for rule in 0..rules {
        writeln!(
            more,
            "  - {{ id: v{rule}, voting: v{}, when: channel > 9 mm/s, level: alert }}",
            rule % votings
        )
        .unwrap();
    }
    source.replacen("rules:\n", &more, 1)
}

#[test]
fn too_many_votings_channels_and_conditions_are_refused() {
    let size = Size { tags: 16, ..SMALL };
    let votings = limits::VOTINGS_MAX;
    assert!(rules_pack::load("v.yaml", &with_votings(&size, votings, votings)).is_ok());
    assert_refused(
        &with_votings(&size, votings + 1, 1),
        Code::TooMany,
        "1025 votings",
    );
    let names: Vec<String> = (0..=limits::VOTING_CHANNELS_MAX)
        .map(|tag| format!("t{tag}"))
        .collect();
    let nine = with_votings(&size, 1, 1).replace(
        "[t0, t1], vote: 1oo2",
        &format!("[{}], vote: 2oo9", names.join(", ")),
    );
    assert_refused(&nine, Code::BadVoting, "9 channels; a voting has 2 to 8");
    // 2,499 rules of eight channels are 19,992 conditions; one of `SMALL` and seven with two are 20,007.
    let eight = names[..8].join(", ");
    let many = with_votings(&size, 1, 2_499)
        .replace("[t0, t1], vote: 1oo2", &format!("[{eight}], vote: 2oo8"));
    assert!(rules_pack::load("v.yaml", &many).is_ok());
    let more = many.replacen(
        "rules:\n",
        "rules:\n  - { id: one, voting: v0, when: channel > 8 mm/s, level: alert }\n",
        1,
    );
    assert_refused(&more, Code::TooMany, "more than 20000 conditions");
}
