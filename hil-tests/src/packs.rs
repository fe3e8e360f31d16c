//! Packs made to measure, as YAML, so that tests and benchmarks go the way of every other pack.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

/// Compiles and seals a pack given as text.
pub fn bundle(yaml: &str) -> Vec<u8> {
    bundle_with(yaml, |_| {})
}

/// The same, with a plan that was changed after the check.
pub fn bundle_with(yaml: &str, change: impl FnOnce(&mut rules_bundle::Plan)) -> Vec<u8> {
    let mut checked =
        match appliance_cli::build::check_bytes(Path::new("test.yaml"), yaml.as_bytes()) {
            Ok(checked) => checked,
            Err(error) => panic!("{error}\n{error:?}\n{yaml}"),
        };
    // So that the guard takes them without a flag; how packs are signed is tested in tests/trust.rs.
    checked.plan.vouched = rules_bundle::testing::vouched();
    change(&mut checked.plan);
    appliance_cli::build::compile(checked, &rules_bundle::testing::key())
        .expect("it compiles")
        .bytes
}

/// A protection loop over one Modbus device: register 0 is watched, coil 0 is the run permit.
pub struct Loop {
    /// The device.
    pub device: SocketAddr,
    /// Rules: one on register 0, the others spread over further registers that do not change.
    pub rules: usize,
    /// `spin` or `park`.
    pub wait: &'static str,
    /// Poll period; `continuous` for none.
    pub poll: &'static str,
    /// `inline` or `thread`.
    pub acquire: &'static str,
    /// Core, if the test wants one.
    pub cpu: Option<usize>,
    /// Rule 0 is a 2oo3 vote over three channels of the register, and the output is read back and has a feedback.
    pub protected: bool,
}

impl Loop {
    /// One rule, continuous polling by the lane itself.
    pub fn new(device: SocketAddr) -> Self {
        Self {
            device,
            rules: 1,
            wait: "park",
            poll: "continuous",
            acquire: "inline",
            cpu: None,
            protected: false,
        }
    }

    /// The pack.
    pub fn yaml(&self) -> String {
        let others = self.rules.saturating_sub(1);
        // At most a hundred further tags, so that the device's whole map is still one read.
        let tags = others.min(100);
        let cpu = self
            .cpu
            .map(|cpu| format!("cpu: {cpu}, "))
            .unwrap_or_default();
        let mut yaml = format!(
            "tripline: 1\npack: {{ name: loop, version: \"1\" }}\n\
             lanes:\n  main: {{ {cpu}wait: {}, acquire: {} }}\n\
             devices:\n  io:\n    modbus: {{ host: {}, port: {}, unit: 1, poll: {}, timeout: 1s, addressing: zero_based }}\n\
             tags:\n",
            self.wait,
            self.acquire,
            self.device.ip(),
            self.device.port(),
            self.poll,
        );
        for index in 0..=tags {
            let name = tag(index);
            writeln!(
                yaml,
                "  {name}: {{ device: io, register: {{ table: holding, address: {index} }}, type: u16, unit: mm/s, range: [0, 65535], stale_after: 2s }}"
            )
            .expect("a string grows");
        }
        let proofs = if self.protected {
            for channel in ["value_b", "value_c"] {
                writeln!(
                    yaml,
                    "  {channel}: {{ device: io, register: {{ table: holding, address: 0 }}, type: u16, unit: mm/s, range: [0, 65535], stale_after: 2s }}"
                )
                .expect("a string grows");
            }
            yaml.push_str(
                "  runs: { device: io, coil: 0, stale_after: 2s }\n\
                 votings:\n  values: { channels: [value, value_b, value_c], vote: 2oo3, skew: 1s }\n",
            );
            ", read_back: { every: 1s, within: 1s }, feedback: { tag: runs, safe: false, within: 2s }"
        } else {
            ""
        };
        writeln!(
            yaml,
            "outputs:\n  run: {{ device: io, coil: 0, run: true, safe: false, refresh: 1s, confirm_within: 1s{proofs} }}\nrules:"
        )
        .expect("a string grows");
        for rule in 0..self.rules {
            // Rule 0 watches the tag that changes; the others share the rest.
            let name = tag(if rule == 0 {
                0
            } else {
                1 + (rule - 1) % tags.max(1)
            });
            let limit = if rule == 0 {
                500
            } else {
                60_000 + rule % 5_000
            };
            let (name, voting) = if rule == 0 && self.protected {
                ("channel".to_owned(), "voting: values, ")
            } else {
                (name, "")
            };
            writeln!(
                yaml,
                "  - {{ id: rule_{rule}, {voting}when: {name} > {limit} mm/s, level: danger, stops: [run], deadline: 10s, message: over the limit }}"
            )
            .expect("a string grows");
        }
        yaml
    }
}

fn tag(index: usize) -> String {
    if index == 0 {
        "value".to_owned()
    } else {
        format!("other_{index}")
    }
}
