//! Lanes, devices, brokers.

use std::collections::HashMap;

use drivers_frame::DurNs;
use rt_config::limits::{DEVICES_MAX, LANES_MAX, MODBUS_GAP_DEFAULT, TEXT_BYTES_MAX};
use rules_bundle::{self as plan, BrokerPlan, TlsPlan};

use super::model::{Device, Index, Lane, Link, ModbusLink};
use super::text::{check_host, check_id, check_text, positive};
use super::{at_most, unknown_name};
use crate::finding::Code;
use crate::limits::CLIENT_ID_BYTES_MAX;
use crate::raw::{self, Broker, BrokerBackoff};
use crate::read::{Cx, Map, Named, Span};
use crate::scalar::{Duration, Text};

const MS: u64 = 1_000_000;
/// Defaults of the format; the reference and the schema state the same values, and a test compares them.
const TIMER_NS: u64 = MS;
/// Slowest host that is believed: a unit of fuel is about one instruction.
const FUEL_NS_MAX: u64 = 1_000;
const PRIORITY: u8 = 40;
const TIMEOUT_NS: u64 = 50 * MS;
const CONNECT_TIMEOUT_NS: u64 = 500 * MS;
const BACKOFF_MIN_NS: u64 = 20 * MS;
const BACKOFF_MAX_NS: u64 = 1_000 * MS;
const BROKER_BACKOFF_MIN_NS: u64 = 100 * MS;
const KEEP_ALIVE_NS: u64 = 5_000 * MS;
const BROKER_CONNECT_TIMEOUT_NS: u64 = 2_000 * MS;

/// Checks the lanes; there is always at least one.
pub(super) fn lanes(raw: Option<&Map<raw::Lane>>, cx: &mut Cx<'_, '_>) -> Vec<Lane> {
    let Some(map) = raw else {
        return vec![lane("main".into(), 0..0, None, cx)];
    };
    at_most("lanes", map.entries.len(), LANES_MAX, &map.at, cx);
    if map.entries.is_empty() {
        cx.findings.error(
            Code::BadLane,
            &map.at,
            "`lanes` names no lane",
            "remove the key to get one lane called `main`, or name one: `lanes: { main: { priority: 40 } }`",
        );
    }
    map.entries
        .iter()
        .map(|named| {
            check_id("lane", &named.name, &named.span, cx);
            lane(
                named.name.clone(),
                named.span.clone(),
                named.value.as_ref(),
                cx,
            )
        })
        .collect()
}

fn lane(name: String, span: Span, raw: Option<&raw::Lane>, cx: &mut Cx<'_, '_>) -> Lane {
    let timer = raw.and_then(|lane| lane.timer.as_ref());
    let timer_ns = positive("timer", timer, TIMER_NS, cx);
    if let Some(timer) = timer.filter(|timer| timer.ns > 1_000 * MS) {
        cx.findings.error(
            Code::BadLane,
            &timer.span,
            "a timer of more than a second would notice stale inputs and elapsed delays too late",
            "write a time of at most `1s`; 1ms is the default",
        );
    }
    Lane {
        name,
        span,
        cpu: raw.and_then(|lane| lane.cpu.as_ref()).map(|cpu| cpu.to()),
        priority: raw
            .and_then(|lane| lane.priority.as_ref())
            .map_or(PRIORITY, |priority| priority.to()),
        wait: match raw.and_then(|lane| lane.wait) {
            None | Some(raw::Wait::Auto) => plan::Wait::Auto,
            Some(raw::Wait::Spin) => plan::Wait::Spin,
            Some(raw::Wait::Park) => plan::Wait::Park,
        },
        acquire: match raw.and_then(|lane| lane.acquire) {
            None | Some(raw::Acquire::Inline) => plan::Acquire::Inline,
            Some(raw::Acquire::Thread) => plan::Acquire::Thread,
        },
        timer_ns,
        assumed: assumed(raw.and_then(|lane| lane.assume.as_ref()), cx),
        reset_button: None,
    }
}

/// What reaction times are computed with.
fn assumed(raw: Option<&raw::Assume>, cx: &mut Cx<'_, '_>) -> plan::HostAssumption {
    let mut assumed = plan::HostAssumption::default();
    let Some(raw) = raw else { return assumed };
    if let Some(turn) = raw.turn.as_ref() {
        assumed.turn = DurNs::from_ns(positive("turn", Some(turn), 0, cx));
    }
    if let Some(fuel) = raw.fuel.as_ref() {
        positive("fuel", Some(fuel), 0, cx);
        match u32::try_from(fuel.ns.saturating_mul(1_000)) {
            Ok(ps) if fuel.ns <= FUEL_NS_MAX => assumed.fuel_ps = ps,
            _ => {
                cx.findings
                    .error(
                        Code::BadAssumption,
                        &fuel.span,
                        "no host that this runs on needs that long for a unit of fuel",
                        "write the nanoseconds a unit of fuel takes, such as `fuel: 5ns`; rules measured 0.5 to 2 ns",
                    )
                    .label("too slow");
            }
        }
    }
    assumed
}

/// Checks the devices.
pub(super) fn devices(
    map: &Map<raw::Device>,
    lanes: &Index<'_>,
    clients: &mut Clients,
    cx: &mut Cx<'_, '_>,
) -> Vec<Device> {
    at_most("devices", map.entries.len(), DEVICES_MAX, &map.at, cx);
    map.entries
        .iter()
        .map(|named| device(named, lanes, clients, cx))
        .collect()
}

fn device(
    named: &Named<raw::Device>,
    lanes: &Index<'_>,
    clients: &mut Clients,
    cx: &mut Cx<'_, '_>,
) -> Device {
    check_id("device", &named.name, &named.span, cx);
    let raw = named.value.as_ref();
    let lane = match raw.and_then(|device| device.lane.as_ref()) {
        None => Some(0),
        Some(name) => {
            let found = lanes.get(name.value.as_str()).copied();
            if found.is_none() {
                unknown_name("lane", name, lanes.keys().copied(), "under `lanes`", cx);
            }
            found
        }
    };
    Device {
        name: named.name.clone(),
        span: named.span.clone(),
        lane,
        link: raw.and_then(|device| link(&named.name, device, clients, cx)),
        used: false,
    }
}

fn link(
    name: &str,
    device: &raw::Device,
    clients: &mut Clients,
    cx: &mut Cx<'_, '_>,
) -> Option<Link> {
    match (device.has("modbus"), device.has("mqtt")) {
        (true, false) => device
            .modbus
            .as_ref()
            .map(|modbus| Link::Modbus(modbus_link(modbus, cx))),
        (false, true) => device
            .mqtt
            .as_ref()
            .and_then(|mqtt| clients.broker(name, &mqtt.broker(), cx).map(Link::Mqtt)),
        (both, _) => {
            let problem = if both {
                "has both `modbus` and `mqtt`"
            } else {
                "says neither `modbus` nor `mqtt`"
            };
            cx.findings.error(
                Code::OneOf,
                &device.at,
                format!("the device `{name}` {problem}"),
                "give it exactly one, such as `modbus: { host: 192.168.1.20, poll: 10ms, addressing: zero_based }`",
            );
            None
        }
    }
}

fn modbus_link(modbus: &raw::Modbus, cx: &mut Cx<'_, '_>) -> ModbusLink {
    if let Some(host) = modbus.host.get() {
        check_host(host, cx);
    }
    let poll_ns = match modbus.poll.get() {
        Some(crate::scalar::Poll::Every(period)) => Some(positive("poll", Some(period), 0, cx)),
        _ => None,
    };
    let (backoff_min_ns, backoff_max_ns) = match modbus.backoff.as_ref() {
        None => (BACKOFF_MIN_NS, BACKOFF_MAX_NS),
        Some(raw) => {
            let waits = Waits {
                min: raw.min.as_ref(),
                max: raw.max.as_ref(),
                at: &raw.at,
                default_min_ns: BACKOFF_MIN_NS,
                default_max_ns: BACKOFF_MAX_NS,
            };
            backoff(&waits, cx)
        }
    };
    ModbusLink {
        host: modbus
            .host
            .get()
            .map(|host| host.value.clone())
            .unwrap_or_default(),
        port: modbus.port.as_ref().map_or(502, |port| port.to()),
        unit: modbus.unit.as_ref().map_or(1, |unit| unit.to()),
        poll_ns,
        timeout_ns: positive("timeout", modbus.timeout.as_ref(), TIMEOUT_NS, cx),
        connect_timeout_ns: positive(
            "connect_timeout",
            modbus.connect_timeout.as_ref(),
            CONNECT_TIMEOUT_NS,
            cx,
        ),
        backoff_min_ns,
        backoff_max_ns,
        max_gap: modbus
            .max_gap
            .as_ref()
            .map_or(MODBUS_GAP_DEFAULT, |gap| gap.to()),
        one_based: modbus
            .addressing
            .get()
            .map(|addressing| *addressing == raw::Addressing::OneBased),
    }
}

/// `min` and `max` of a back-off as written.
struct Waits<'r> {
    min: Option<&'r Duration>,
    max: Option<&'r Duration>,
    at: &'r Span,
    default_min_ns: u64,
    default_max_ns: u64,
}

fn backoff(waits: &Waits<'_>, cx: &mut Cx<'_, '_>) -> (u64, u64) {
    let min = positive("min", waits.min, waits.default_min_ns, cx);
    let max = positive("max", waits.max, waits.default_max_ns, cx);
    if min > max {
        let span = waits
            .min
            .or(waits.max)
            .map_or(waits.at, |duration| &duration.span);
        cx.findings.error(
            Code::BadBackoff,
            span,
            format!(
                "the first wait, {}, is longer than the longest, {}",
                DurNs::from_ns(min),
                DurNs::from_ns(max)
            ),
            "make `min` at most `max`; the wait doubles from `min` up to `max`",
        );
    }
    (min, max)
}

fn broker_backoff(raw: Option<&BrokerBackoff>, cx: &mut Cx<'_, '_>) -> (u64, u64) {
    let Some(raw) = raw else {
        return (BROKER_BACKOFF_MIN_NS, BACKOFF_MAX_NS);
    };
    if let Some(min) = raw
        .min
        .as_ref()
        .filter(|min| min.ns > 0 && min.ns < BROKER_BACKOFF_MIN_NS)
    {
        cx.findings.error(
            Code::BadBackoff,
            &min.span,
            format!(
                "a first wait of {} would burden the broker",
                DurNs::from_ns(min.ns)
            ),
            "write at least `100ms`",
        );
    }
    let waits = Waits {
        min: raw.min.as_ref(),
        max: raw.max.as_ref(),
        at: &raw.at,
        default_min_ns: BROKER_BACKOFF_MIN_NS,
        default_max_ns: BACKOFF_MAX_NS,
    };
    backoff(&waits, cx)
}

/// Client ids by broker: a broker throws out the first of two clients with one id, again and again.
pub(super) struct Clients {
    pack: String,
    taken: HashMap<(String, u16, String), Span>,
}

impl Clients {
    pub(super) fn new(pack: &str) -> Self {
        Self {
            pack: pack.to_owned(),
            taken: HashMap::new(),
        }
    }

    /// Checks the connection to a broker. `user` is the device's id, or `alerts`.
    pub(super) fn broker(
        &mut self,
        user: &str,
        raw: &Broker<'_>,
        cx: &mut Cx<'_, '_>,
    ) -> Option<BrokerPlan> {
        let (backoff_min, backoff_max) = broker_backoff(raw.backoff, cx);
        let tls = raw.tls.map(|tls| check_tls(tls, cx));
        let keep_alive = positive("keep_alive", raw.keep_alive, KEEP_ALIVE_NS, cx);
        self.check_keep_alive(keep_alive, raw, cx);
        let connect_timeout = positive(
            "connect_timeout",
            raw.connect_timeout,
            BROKER_CONNECT_TIMEOUT_NS,
            cx,
        );
        if let Some(id) = raw.client_id {
            check_text("`client_id`", id, CLIENT_ID_BYTES_MAX, cx);
        }
        for (key, text) in [
            ("username", raw.username),
            ("password_file", raw.password_file),
        ] {
            if let Some(text) = text {
                check_text(&format!("`{key}`"), text, TEXT_BYTES_MAX, cx);
            }
        }
        if let (Some(file), None) = (raw.password_file, raw.username) {
            cx.findings.error(
                Code::BadCredentials,
                &file.span,
                "a password without a user name cannot be sent (MQTT 3.1.1, 3.1.2.9)",
                "add `username:`, or remove `password_file`",
            );
        }
        let port = raw
            .port
            .map_or(if raw.tls.is_some() { 8883 } else { 1883 }, |port| {
                port.to()
            });
        let host = raw.host?;
        check_host(host, cx);
        let client_id = raw.client_id.map_or_else(
            || format!("tripline-{}-{user}", self.pack),
            |id| id.value.clone(),
        );
        self.check_client_id(host, port, &client_id, raw, cx);
        Some(BrokerPlan {
            host: host.value.clone(),
            port,
            client_id,
            username: raw.username.map(|text| text.value.clone()),
            password_file: raw.password_file.map(|text| text.value.clone()),
            tls,
            keep_alive: DurNs::from_ns(keep_alive),
            connect_timeout: DurNs::from_ns(connect_timeout),
            backoff_min: DurNs::from_ns(backoff_min),
            backoff_max: DurNs::from_ns(backoff_max),
        })
    }

    /// The protocol carries whole seconds in 16 bits (MQTT 3.1.1, 3.1.2.10); zero would turn it off.
    fn check_keep_alive(&self, keep_alive_ns: u64, raw: &Broker<'_>, cx: &mut Cx<'_, '_>) {
        let seconds = 1_000 * MS;
        let Some(given) = raw.keep_alive.filter(|given| given.ns > 0) else {
            return;
        };
        if !keep_alive_ns.is_multiple_of(seconds) || keep_alive_ns / seconds > 65_535 {
            cx.findings.error(
                Code::BadDuration,
                &given.span,
                "a keep-alive is a whole number of seconds, at most 65535",
                "write it in seconds, such as `5s`",
            );
        }
    }

    fn check_client_id(
        &mut self,
        host: &Text,
        port: u16,
        id: &str,
        raw: &Broker<'_>,
        cx: &mut Cx<'_, '_>,
    ) {
        let span = raw.client_id.map_or(raw.at, |id| &id.span);
        let key = (host.value.to_ascii_lowercase(), port, id.to_owned());
        match self.taken.get(&key) {
            None => {
                self.taken.insert(key, span.clone());
            }
            Some(first) => {
                let line = cx.findings.line_of(first);
                cx.findings
                    .error(
                        Code::ClientIdTwice,
                        span,
                        format!("two connections to {}:{port} use the client id `{id}`", host.value),
                        "give each connection its own `client_id`; a broker disconnects the earlier of two with one id",
                    )
                    .note(format!("first used in line {line}"));
            }
        }
    }
}

fn check_tls(tls: &raw::Tls, cx: &mut Cx<'_, '_>) -> TlsPlan {
    let files = [
        ("ca_file", tls.ca_file.get()),
        ("cert_file", tls.cert_file.as_ref()),
        ("key_file", tls.key_file.as_ref()),
    ];
    for (key, file) in files {
        if let Some(file) = file {
            check_text(&format!("`{key}`"), file, TEXT_BYTES_MAX, cx);
        }
    }
    if let Some(name) = tls.server_name.as_ref() {
        check_host(name, cx);
    }
    let lonely = match (tls.has("cert_file"), tls.has("key_file")) {
        (true, false) => Some(("cert_file", "key_file", tls.cert_file.as_ref())),
        (false, true) => Some(("key_file", "cert_file", tls.key_file.as_ref())),
        _ => None,
    };
    if let Some((given, missing, file)) = lonely {
        cx.findings.error(
            Code::BadTls,
            file.map_or(&tls.at, |file| &file.span),
            format!("`{given}` is given without `{missing}`"),
            format!("add `{missing}:`, or remove `{given}` when the broker does not ask for a certificate"),
        );
    }
    let path = |text: Option<&Text>| text.map(|text| text.value.clone());
    TlsPlan {
        ca_file: path(tls.ca_file.get()).unwrap_or_default(),
        cert_file: path(tls.cert_file.as_ref()),
        key_file: path(tls.key_file.as_ref()),
        server_name: path(tls.server_name.as_ref()),
    }
}

/// The device that something is read from, which is used by that.
pub(super) fn device_of(
    name: Option<&Text>,
    devices: &mut [Device],
    index: &Index<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<usize> {
    let name = name?;
    let Some(found) = index.get(name.value.as_str()).copied() else {
        unknown_name("device", name, index.keys().copied(), "under `devices`", cx);
        return None;
    };
    if let Some(device) = devices.get_mut(found) {
        device.used = true;
    }
    Some(found)
}
