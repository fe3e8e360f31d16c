//! The schema, the reference and the defaults agree with what is read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::collections::BTreeSet;

use serde_json::Value;

const PUMP: &str = include_str!("../../packs/pump-minimal.yaml");
const REFERENCE: &str = include_str!("../../../docs/pack-reference.md");

/// Every key of every mapping of the schema.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                found.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| keys(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn the_schema_describes_every_key_and_allows_no_other() {
    let schema = rules_pack::json_schema();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["title"], "Tripline pack");
    let required: Vec<&str> = schema["required"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap())
        .collect();
    assert_eq!(required, ["tripline", "pack", "devices", "tags"]);
    let definitions = schema["$defs"].as_object().unwrap();
    for (name, definition) in definitions.iter().chain([(&"Pack".to_owned(), &schema)]) {
        assert_eq!(definition["additionalProperties"], false, "{name}");
        for (key, property) in definition["properties"].as_object().unwrap() {
            assert!(
                property["description"].is_string(),
                "{name}.{key} has no description"
            );
            assert!(
                property.to_string().find("null").is_none(),
                "{name}.{key}: {property}"
            );
        }
    }
    let modbus = &definitions["Modbus"]["properties"];
    assert_eq!(modbus["port"]["default"], 502);
    assert_eq!(modbus["port"]["maximum"], 65_535);
    assert_eq!(definitions["Lane"]["properties"]["priority"]["maximum"], 49);
    assert!(definitions["Tag"]["properties"].get("type").is_some());
    assert!(definitions["Rule"]["properties"].get("for").is_some());
    assert!(
        definitions["Modbus"]["required"]
            .as_array()
            .unwrap()
            .contains(&Value::from("addressing"))
    );
}

#[test]
fn the_reference_explains_every_key_and_every_code() {
    let mut all = BTreeSet::new();
    keys(&rules_pack::json_schema(), &mut all);
    assert!(all.len() > 60, "{all:?}");
    let missing: Vec<&String> = all
        .iter()
        .filter(|key| !REFERENCE.contains(&format!("`{key}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/pack-reference.md does not mention {missing:?}"
    );
    for code in rules_pack::Code::ALL {
        let row = format!("| {code} | {} |", code.title());
        assert!(
            REFERENCE.contains(&row),
            "docs/pack-reference.md lacks the row {row}"
        );
    }
}

/// Every example in the reference that is a whole pack loads.
#[test]
fn the_examples_of_the_reference_load() {
    let packs: Vec<&str> = REFERENCE
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|example| example.starts_with("tripline: 1"))
        .collect();
    assert!(!packs.is_empty());
    for pack in packs {
        if let Err(findings) = rules_pack::load("reference", pack) {
            panic!("{}", rules_pack::render(&findings, pack, false));
        }
    }
}

/// The defaults that the schema states are those that the program uses.
#[test]
fn stated_defaults_are_the_real_ones() {
    let schema = rules_pack::json_schema();
    let default = |record: &str, key: &str| {
        let value = &schema["$defs"][record]["properties"][key]["default"];
        assert!(!value.is_null(), "{record}.{key} has no default");
        value.to_string()
    };
    let mut lane = ["priority", "wait", "acquire", "timer"]
        .map(|key| format!("{key}: {}", default("Lane", key)))
        .to_vec();
    lane.push(format!(
        "assume: {{ fuel: {}, turn: {} }}",
        default("Assume", "fuel"),
        default("Assume", "turn")
    ));
    // A pack that states none of what is spelt out below, with room for the default timeout.
    let base: String = PUMP
        .lines()
        .filter(|line| !line.trim_start().starts_with("timeout:"))
        .map(|line| format!("{line}\n"))
        .collect();
    let base = base.replace("deadline: 160ms", "deadline: 1s");
    let mut modbus = ["port", "unit", "timeout", "connect_timeout", "max_gap"]
        .map(|key| format!("{key}: {}", default("Modbus", key)))
        .to_vec();
    let backoff = |record: &str| {
        format!(
            "backoff: {{ min: {}, max: {} }}",
            default(record, "min"),
            default(record, "max")
        )
    };
    modbus.push(backoff("Backoff"));
    let mqtt = ["port", "keep_alive", "connect_timeout"]
        .map(|key| format!("{key}: {}", default("MqttAlerts", key)));
    let spelt = base
        .replace(
            "devices:\n",
            &format!("lanes: {{ main: {{ {} }} }}\ndevices:\n", lane.join(", ")),
        )
        .replace(
            "      poll:",
            &format!("      {}\n      poll:", modbus.join("\n      ")),
        )
        .replace(
            "coil: 0",
            &format!(
                "coil: 0\n    run: true\n    safe: false\n    stop: {{ category: 0 }}\n    group: pump_run\n    permit: {}",
                default("Output", "permit")
            ),
        )
        .replace(
            "time: 500ms",
            &format!("time: 500ms, check: {}", default("WatchdogRecord", "check")),
        )
        .replace(
            "    level:",
            &format!("    off_delay: {}\n    level:", default("Rule", "off_delay")),
        )
        .replace(
            "    scale: 0.001",
            &format!(
                "    scale: 0.001\n    offset: {}\n    byte_order: {}",
                default("Tag", "offset"),
                default("Tag", "byte_order")
            ),
        );
    let alerts = |keys: &str| format!("\nalerts: {{ mqtt: {{ host: b{keys} }} }}\n");
    let spelt = spelt
        + &alerts(&format!(
            ", {}, topic_prefix: {}, {}",
            mqtt.join(", "),
            default("MqttAlerts", "topic_prefix"),
            backoff("BrokerBackoff")
        ));
    let short = base + &alerts("");
    let load = |source: &str| {
        rules_pack::load("pump", source)
            .unwrap_or_else(|findings| panic!("{}", rules_pack::render(&findings, source, false)))
            .plan
    };
    assert_eq!(load(&spelt), load(&short));
}

/// Every other example is a part of a pack: each of its lines stands in a pack that loads.
#[test]
fn the_partial_examples_of_the_reference_are_parts_of_a_pack_that_loads() {
    let whole = include_str!("good/reference-parts.yaml");
    let loaded = rules_pack::load_beside("reference-parts.yaml", whole, &common::Shelf)
        .unwrap_or_else(|findings| panic!("{}", rules_pack::render(&findings, whole, false)));
    assert_eq!(loaded.warnings, []);
    let known: BTreeSet<&str> = whole.lines().map(str::trim).collect();
    let parts: Vec<&str> = REFERENCE
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|part| {
            !["tripline: 1", "cases:", "#"]
                .iter()
                .any(|start| part.starts_with(start))
        })
        .collect();
    assert!(parts.len() >= 8, "{parts:?}");
    for line in parts.iter().flat_map(|part| part.lines()).map(str::trim) {
        assert!(
            line.is_empty() || known.contains(line),
            "not in good/reference-parts.yaml: {line}"
        );
    }
}

/// Where analyzers alone stop machines there is nothing to write under `rules`.
#[test]
fn rules_may_be_left_out_where_a_verdict_stops_something() {
    let whole = include_str!("good/pump-analyzers.yaml");
    let (before, _) = whole.split_once("\nrules:\n").unwrap();
    let load = |source: &str| rules_pack::load_beside("pack.yaml", source, &common::Shelf);
    let without = load(&format!("{before}\n")).unwrap();
    let empty = load(&format!("{before}\nrules: []\n")).unwrap();
    assert_eq!(without.plan, empty.plan);
    let rules = &without.plan.lanes[0].rules;
    assert!(
        rules
            .iter()
            .any(|rule| rule.id == "bearing_danger" && !rule.stops.is_empty()),
        "the verdict is a rule"
    );
    // A verdict that could not be read is no reason to ask for rules as well.
    let broken = before.replace("stops: [run], deadline: 2s", "stops: 7, deadline: 2s");
    let findings = load(&broken).unwrap_err();
    let asked = |finding: &rules_pack::Finding| finding.code == rules_pack::Code::MissingKey;
    assert!(!findings.iter().any(asked), "{findings:?}");
    // Without it somebody must say what is to be stopped.
    let deaf = before.replace("verdict: { stops: [run], deadline: 2s }", "verdict: {}");
    let findings = load(&deaf).unwrap_err();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (findings[0].code, findings[0].line, findings[0].column),
        (rules_pack::Code::MissingKey, 1, 1)
    );
    assert!(findings[0].help.contains("stops"), "{findings:?}");
}
