//! A test stand: a device that can be made to fail, a guard that watches its register 0 and holds its coil 0, and the
//! questions that tests ask of both.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use appliance_control::{
    Client, DeviceStatus, Event, EventBody, OutputStatus, Reply, Request, Reset, RuleStatus, State,
    Status, TagStatus,
};

use crate::guard::{Guard, PATIENCE, wait_until};
use crate::hostile::Device;

/// Register 0 above this is danger.
pub const LIMIT: u16 = 500;
/// A healthy value.
pub const HEALTHY: u16 = 100;
/// A dangerous one.
pub const DANGER: u16 = 900;

/// The pack of a stand: rule `over` on register 0 (tag `value`) stops output `run`, coil 0.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `inline` or `thread`.
    pub acquire: &'static str,
    /// `spin` or `park`.
    pub wait: &'static str,
    /// A period, or `continuous`: with real-time priority that leaves the tests beside it little time.
    pub poll: &'static str,
    /// Deadline of one read.
    pub timeout: &'static str,
    /// Age at which the tag is not trusted.
    pub stale_after: &'static str,
    /// Time between two writes of the permit.
    pub refresh: &'static str,
    /// Time for an echo.
    pub confirm_within: &'static str,
    /// Further YAML behind `tags:`, `outputs:` and `rules:`.
    pub more: [String; 3],
}

impl Default for Setup {
    /// Parked, inline; times that a busy machine keeps and that let a test see staleness within a second.
    fn default() -> Self {
        Self {
            acquire: "inline",
            wait: "park",
            poll: "10ms",
            timeout: "250ms",
            stale_after: "500ms",
            refresh: "50ms",
            confirm_within: "400ms",
            more: [String::new(), String::new(), String::new()],
        }
    }
}

impl Setup {
    /// The pack, as YAML.
    pub fn yaml(&self, device: SocketAddr) -> String {
        let mut yaml = String::new();
        let Self {
            acquire,
            wait,
            poll,
            timeout,
            stale_after,
            refresh,
            confirm_within,
            more: [tags, outputs, rules],
        } = self;
        let (host, port) = (device.ip(), device.port());
        write!(
            yaml,
            "tripline: 1\n\
             pack: {{ name: stand, version: \"1\" }}\n\
             lanes:\n  main: {{ wait: {wait}, acquire: {acquire} }}\n\
             devices:\n  io:\n    modbus: {{ host: {host}, port: {port}, poll: {poll}, timeout: {timeout}, addressing: zero_based, backoff: {{ min: 20ms, max: 100ms }} }}\n\
             tags:\n  value: {{ device: io, register: {{ table: holding, address: 0 }}, type: u16, unit: mm/s, range: [0, 1000], stale_after: {stale_after} }}\n{tags}\
             outputs:\n  run: {{ device: io, coil: 0, refresh: {refresh}, confirm_within: {confirm_within} }}\n{outputs}\
             rules:\n  - {{ id: over, when: value > {LIMIT} mm/s, level: danger, stops: [run], deadline: 60s, message: over the limit }}\n{rules}"
        )
        .expect("a string grows");
        yaml
    }
}

/// The device, and the guard that protects it.
pub struct Stand {
    /// Dropped first: no guard looks at a device that is being taken down.
    pub guard: Guard,
    /// The device.
    pub device: Device,
}

impl Stand {
    /// A healthy device and a guard that has just started: tripped.
    pub fn start(setup: &Setup) -> Self {
        Self::with(Device::default(), setup)
    }

    /// As [`Stand::start`], then reset: the coil is on.
    pub fn armed(setup: &Setup) -> Self {
        let stand = Self::start(setup);
        stand.arm();
        stand
    }

    /// A guard for this device, which is made healthy.
    pub fn with(device: Device, setup: &Setup) -> Self {
        device.show(HEALTHY);
        let guard = Guard::start(&setup.yaml(device.address()));
        Self { guard, device }
    }

    /// A healthy device, and a guard with further arguments.
    pub fn with_arguments(setup: &Setup, arguments: &[&str]) -> Self {
        let device = Device::default();
        device.show(HEALTHY);
        let bundle = crate::packs::bundle(&setup.yaml(device.address()));
        let guard = Guard::start_with(&bundle, arguments);
        Self { guard, device }
    }

    /// Resets until the guard is armed and the permit has reached the device. Again and again, because a danger that
    /// the device showed just before may be read just after a reset.
    pub fn arm(&self) {
        wait_until("the guard is armed and the machine may run", || {
            let _ = self.guard.reset();
            self.device.coil(0) && self.guard.status().state.permits()
        });
    }

    /// Waits for a state.
    pub fn wait_state(&self, state: State) {
        wait_until(&format!("the guard is {}", state.as_str()), || {
            self.guard.status().state == state
        });
    }

    /// Waits until the machine is stopped: guard tripped, coil off.
    pub fn wait_stopped(&self) {
        self.wait_state(State::Tripped);
        wait_until("the coil is off", || !self.device.coil(0));
    }

    /// Waits until tag `value` has this quality, and returns it.
    pub fn wait_quality(&self, quality: &str) -> TagStatus {
        wait_tag(&self.guard, "value", |tag| tag.quality == quality)
    }
}

/// A tag by name.
pub fn tag(guard: &Guard, name: &str) -> TagStatus {
    let Reply::Tags { tags } = guard.ask(&Request::Tags {}) else {
        panic!("tags were asked for");
    };
    let mut tags = tags.into_iter();
    tags.find(|tag| tag.name == name)
        .unwrap_or_else(|| panic!("there is a tag {name}"))
}

/// Waits until a tag is as `wanted`, and returns it.
pub fn wait_tag(guard: &Guard, name: &str, wanted: impl Fn(&TagStatus) -> bool) -> TagStatus {
    let mut last = None;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let present = tag(guard, name);
        if wanted(&present) {
            return present;
        }
        last = Some(present);
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("tag {name} did not become as wanted: {last:?}");
}

/// A rule by id.
pub fn rule(status: &Status, id: &str) -> RuleStatus {
    let mut rules = status.lanes.iter().flat_map(|lane| &lane.rules);
    rules.find(|rule| rule.id == id).expect("the rule").clone()
}

/// An output by name.
pub fn output(status: &Status, name: &str) -> OutputStatus {
    let mut outputs = status.lanes.iter().flat_map(|lane| &lane.outputs);
    outputs
        .find(|output| output.name == name)
        .expect("the output")
        .clone()
}

/// A device by name.
pub fn device(status: &Status, name: &str) -> DeviceStatus {
    let mut devices = status.lanes.iter().flat_map(|lane| &lane.devices);
    devices
        .find(|device| device.name == name)
        .expect("the device")
        .clone()
}

/// What stands against a reset, and what to do about it.
pub fn refusal(guard: &Guard) -> (String, String) {
    match guard.reset() {
        Reset::Refused { cause, help } => (cause, help),
        Reset::Done => panic!("a refusal, not a reset"),
    }
}

/// Every event so far and to come, until `found` is content; all that were seen.
pub fn wait_event(socket: &Path, what: &str, found: impl Fn(&EventBody) -> bool) -> Vec<Event> {
    let client = Client::connect(socket).expect("the guard answers");
    let (mut stream, lost) = client.events(0).expect("events are given");
    assert_eq!(lost, 0, "a test makes fewer events than are kept");
    let until = Instant::now() + PATIENCE;
    let mut seen: Vec<Event> = Vec::new();
    while Instant::now() < until {
        let next = stream.next(Duration::from_millis(100));
        let Some(event) = next.expect("the guard lives") else {
            continue;
        };
        let is_it = found(&event.body);
        seen.push(event);
        if is_it {
            return seen;
        }
    }
    let last = seen.split_off(seen.len().saturating_sub(20));
    panic!("no event: {what}. The last seen: {last:#?}");
}
