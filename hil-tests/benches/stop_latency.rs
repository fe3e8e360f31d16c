//! `cargo bench -p hil-tests --bench stop_latency`: over-limit reply to stop write, Tripline between the floor and its
//! peers. What is measured, how, and what the figures do not say: `docs/benchmarks.md`.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use appliance_control::{Client, Reset};
use hil_tests::guard::Site as GuardSite;
use hil_tests::{binaries, packs};
use hil_tests_rig::{Entry, Options, PinnedChild, Road, Role, Site, SystemError, SystemUnderTest};

fn main() -> ExitCode {
    if std::env::args_os().len() == 1 {
        return not_asked();
    }
    hil_tests_rig::run(tripline)
}

/// `cargo test --all-targets` runs benchmarks too, without an argument: minutes on two spinning cores are not a test.
#[expect(clippy::print_stdout, reason = "a program for people")]
fn not_asked() -> ExitCode {
    println!(
        "nothing measured: run `cargo bench -p hil-tests --bench stop_latency`, or give options (--help)"
    );
    ExitCode::SUCCESS
}

/// The packs that Tripline is measured with. The gated ones vote 2oo3, evaluate twice, read their stop back and watch a
/// feedback; and they spin, as a lane on an isolated core does by itself. The plain one shows what the vote and the
/// proofs cost, the parked one what sleeping in the kernel costs.
fn tripline(options: &Options) -> Vec<Entry> {
    let gated = [1_usize, 100, 1_000].map(|rules| {
        let role = Role::Tripline {
            rules: u32::try_from(rules).unwrap_or(u32::MAX),
        };
        (
            Road::Modbus,
            role,
            format!("tripline-{rules}"),
            Pack::Modbus {
                rules,
                wait: "spin",
                protected: true,
            },
        )
    });
    let park = Pack::Modbus {
        rules: 1,
        wait: "park",
        protected: true,
    };
    let plain = Pack::Modbus {
        rules: 1,
        wait: "spin",
        protected: false,
    };
    let others = [
        (
            Road::Modbus,
            Role::Variant,
            "tripline-1-park".to_owned(),
            park,
        ),
        (
            Road::Modbus,
            Role::Variant,
            "tripline-1-plain".to_owned(),
            plain,
        ),
        (
            Road::Mqtt,
            Role::Tripline { rules: 1 },
            "tripline-mqtt".to_owned(),
            Pack::Mqtt { wait: "spin" },
        ),
        (
            Road::Mqtt,
            Role::Variant,
            "tripline-mqtt-park".to_owned(),
            Pack::Mqtt { wait: "park" },
        ),
    ];
    gated
        .into_iter()
        .chain(others)
        .filter(|(_, _, name, _)| options.wants(name))
        .map(|(road, role, name, pack)| {
            let system = Tripline {
                name,
                pack,
                bundle: None,
                running: None,
            };
            Entry::ready(road, role, Box::new(system))
        })
        .collect()
}

#[derive(Clone, Copy)]
enum Pack {
    Modbus {
        rules: usize,
        wait: &'static str,
        /// A 2oo3 vote, read-back and feedback; else one condition and the echo.
        protected: bool,
    },
    Mqtt {
        wait: &'static str,
    },
}

/// A real guard, pinned to the core of the system under test.
struct Tripline {
    name: String,
    pack: Pack,
    bundle: Option<Vec<u8>>,
    running: Option<(GuardSite, PinnedChild)>,
}

impl Tripline {
    fn yaml(&self, site: Site) -> Result<String, SystemError> {
        match self.pack {
            Pack::Modbus {
                rules,
                wait,
                protected,
            } => Ok(packs::Loop {
                rules,
                wait,
                protected,
                cpu: Some(site.cpu),
                ..packs::Loop::new(site.device)
            }
            .yaml()),
            Pack::Mqtt { wait } => {
                let broker = site
                    .broker
                    .ok_or_else(|| SystemError::new("pack", "the rig gave no broker"))?;
                Ok(mqtt_pack(site.device, broker, site.cpu, wait))
            }
        }
    }
}

/// The value comes over MQTT, the stop leaves over Modbus.
fn mqtt_pack(device: SocketAddr, broker: SocketAddr, cpu: usize, wait: &str) -> String {
    format!(
        "tripline: 1\n\
         pack: {{ name: publish-to-stop, version: \"1\" }}\n\
         lanes:\n  main: {{ cpu: {cpu}, wait: {wait} }}\n\
         devices:\n\
         \x20 io:\n    modbus: {{ host: {}, port: {}, unit: 1, poll: 1s, timeout: 1s, addressing: zero_based }}\n\
         \x20 broker:\n    mqtt: {{ host: {}, port: {}, client_id: tripline-bench, keep_alive: 30s }}\n\
         tags:\n\
         \x20 value: {{ device: broker, topic: {}, qos: 0, payload: {{ json: /value }}, unit: mm/s, range: [0, 65535], stale_after: 2s }}\n\
         outputs:\n\
         \x20 run: {{ device: io, coil: 0, run: true, safe: false, refresh: 1s, confirm_within: 1s }}\n\
         rules:\n\
         \x20 - {{ id: over, when: value > 500 mm/s, level: danger, stops: [run], deadline: 10s, message: over the limit }}\n",
        device.ip(),
        device.port(),
        broker.ip(),
        broker.port(),
        hil_tests_rig::TOPIC,
    )
}

impl SystemUnderTest for Tripline {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&mut self, site: Site) -> Result<(), SystemError> {
        let bundle = match &self.bundle {
            Some(bundle) => bundle.clone(),
            None => packs::bundle(&self.yaml(site)?),
        };
        self.bundle = Some(bundle.clone());
        let guard_site = GuardSite::new(&bundle);
        let child = PinnedChild::start(site.cpu, binaries::guard().as_os_str(), guard_site.args())?;
        self.running = Some((guard_site, child));
        Ok(())
    }

    fn rearm(&mut self) -> Result<(), SystemError> {
        let (site, child) = self
            .running
            .as_mut()
            .ok_or_else(|| SystemError::new("reset", "the guard does not run"))?;
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            child.check()?;
            let reset = Client::connect(&site.socket())
                .and_then(|mut client| client.reset("the benchmark"));
            match reset {
                Ok(Reset::Done) => return Ok(()),
                // Between two trials without a stop nothing is latched: the output runs as it should.
                Ok(Reset::Refused { cause, .. }) if cause == "nothing is latched" => return Ok(()),
                other if Instant::now() > until => {
                    return Err(SystemError::new("reset", format!("{other:?}")));
                }
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn stop(&mut self) {
        self.running = None;
    }
}
