//! Outputs: what is written, where, how often.

use std::collections::HashMap;

use rt_config::limits::OUTPUTS_MAX;
use rules_bundle::OutputTarget;

use super::model::{self, Device, Index, Lane, Link, ModbusLink, Output, Stop, Tag};
use super::stops;
use super::switch::Switches;
use super::tags::address;
use super::text::{check_id, positive};
use super::{at_most, unknown_name};
use crate::finding::Code;
use crate::raw::{self, PermitWord};
use crate::read::{Cx, Map, Named, Span};
use crate::scalar::{Bool, Int, OutputValue};

/// Checks the outputs.
pub(super) fn outputs(
    map: Option<&Map<raw::Output>>,
    devices: &mut [Device],
    index: &Index<'_>,
    inputs: &Inputs<'_>,
    cx: &mut Cx<'_, '_>,
) -> Vec<Output> {
    let Some(map) = map else { return Vec::new() };
    at_most("outputs", map.entries.len(), OUTPUTS_MAX, &map.at, cx);
    let mut places = HashMap::new();
    let mut outputs: Vec<Output> = map
        .entries
        .iter()
        .map(|named| output(named, devices, index, inputs, &mut places, cx))
        .collect();
    let index = model::index(map.entries.iter().map(|named| named.name.as_str()));
    stops::others(map, &mut outputs, &index, cx);
    outputs
}

/// The tags that feedbacks are looked up in.
pub(super) struct Inputs<'i> {
    pub(super) lanes: &'i [Lane],
    pub(super) tags: &'i [Tag],
    pub(super) tag_index: &'i Index<'i>,
}

/// What is written by which output: host, port, unit, whether it is a coil, address.
type Places = HashMap<(String, u16, u8, bool, u16), (String, Span)>;

fn output(
    named: &Named<raw::Output>,
    devices: &mut [Device],
    index: &Index<'_>,
    inputs: &Inputs<'_>,
    places: &mut Places,
    cx: &mut Cx<'_, '_>,
) -> Output {
    check_id("output", &named.name, &named.span, cx);
    let mut checked = Output {
        name: named.name.clone(),
        span: named.span.clone(),
        device: None,
        unit: None,
        target: None,
        refresh_ns: 0,
        refresh_span: named.span.clone(),
        confirm_within_ns: 0,
        group: None,
        stop: Stop::Zero,
        read_back: None,
        feedback: None,
        escalate_to: None,
        watchdog: None,
        watchdog_stated: false,
        device_time_ns: None,
        lane: None,
        stopped: false,
    };
    let Some(raw) = named.value.as_ref() else {
        return checked;
    };
    checked.refresh_ns = positive("refresh", raw.refresh.get(), 0, cx);
    if let Some(refresh) = raw.refresh.get() {
        checked.refresh_span = refresh.span.clone();
    }
    checked.confirm_within_ns = positive("confirm_within", raw.confirm_within.get(), 0, cx);
    checked.unit = raw.unit.as_ref().map(|unit| unit.to());
    let device = raw.device.get().and_then(|name| {
        let found = index.get(name.value.as_str()).copied();
        match found.and_then(|device| devices.get_mut(device)) {
            Some(device) => {
                device.used = true;
                if matches!(device.link, Some(Link::Mqtt(_))) {
                    cx.findings
                        .error(
                            Code::DeviceKind,
                            &name.span,
                            format!("the device `{}` is an MQTT broker; outputs are written over Modbus only", name.value),
                            "name a Modbus device: a broker cannot confirm that a machine was stopped",
                        )
                        .label("not a Modbus device");
                }
            }
            None => unknown_name("device", name, index.keys().copied(), "under `devices`", cx),
        }
        found
    });
    checked.device = device;
    let modbus = device
        .and_then(|device| devices.get(device))
        .and_then(|device| match &device.link {
            Some(Link::Modbus(modbus)) => Some(modbus),
            _ => None,
        });
    checked.target = target(raw, modbus, cx);
    if let (Some(target), Some(modbus)) = (checked.target, modbus) {
        claim(&checked, target, modbus, places, cx);
    }
    let switches = Switches {
        lanes: inputs.lanes,
        devices,
        tags: inputs.tags,
        tag_index: inputs.tag_index,
    };
    stops::own_keys(raw, modbus, &switches, &mut checked, cx);
    checked
}

fn target(
    raw: &raw::Output,
    modbus: Option<&ModbusLink>,
    cx: &mut Cx<'_, '_>,
) -> Option<OutputTarget> {
    let permit = raw.permit.unwrap_or(PermitWord::Level);
    match (raw.has("coil"), raw.has("register")) {
        (true, false) if permit == PermitWord::Counter => misfit(
            raw,
            "a counter needs a register",
            "write `register:` with the address that the device watches",
            cx,
        ),
        (false, true) if permit == PermitWord::Toggle => misfit(
            raw,
            "what toggles is a coil",
            "write `coil:` with the address that the device watches, or `permit: counter`",
            cx,
        ),
        (true, false) if permit == PermitWord::Toggle => {
            let safe = moving_safe(raw, cx)?;
            let address = address(raw.coil.as_ref()?, modbus?.one_based?, 1, cx)?;
            let safe = match safe {
                None => false,
                Some(OutputValue::Flag(flag)) => flag.value,
                Some(OutputValue::Word(word)) => {
                    return wrong_safe(&word.span, "`true` or `false`", cx);
                }
            };
            Some(OutputTarget::Toggle { address, safe })
        }
        (false, true) if permit == PermitWord::Counter => {
            let safe = moving_safe(raw, cx)?;
            let address = address(raw.register.as_ref()?, modbus?.one_based?, 1, cx)?;
            let safe = match safe {
                None => {
                    return misfit(
                        raw,
                        "the counter does not say which value stops",
                        "add `safe:` with the value that is written to stop, such as `safe: 0`",
                        cx,
                    );
                }
                Some(OutputValue::Word(word)) => word_of(word),
                Some(OutputValue::Flag(flag)) => return wrong_safe(&flag.span, "a number", cx),
            };
            Some(OutputTarget::Counter { address, safe })
        }
        (true, false) => {
            let values = coil_values(raw, cx);
            let address = address(raw.coil.as_ref()?, modbus?.one_based?, 1, cx)?;
            Some(OutputTarget::Coil {
                address,
                run: values?,
            })
        }
        (false, true) => {
            let values = register_values(raw, cx);
            let address = address(raw.register.as_ref()?, modbus?.one_based?, 1, cx)?;
            let (run, safe) = values?;
            Some(OutputTarget::Register { address, run, safe })
        }
        (both, _) => {
            let problem = if both {
                "says both `coil` and `register`"
            } else {
                "says neither `coil` nor `register`"
            };
            cx.findings.error(
                Code::OneOf,
                &raw.at,
                format!("the output {problem}"),
                "write exactly one: `coil: 0`, or `register: 10` with `run` and `safe`",
            );
            None
        }
    }
}

/// `safe` of a permit that changes with each refresh, which has no `run`. `None` after an error was reported.
fn moving_safe<'r>(raw: &'r raw::Output, cx: &mut Cx<'_, '_>) -> Option<Option<&'r OutputValue>> {
    if let Some(span) = raw.key_span("run") {
        cx.findings
            .error(
                Code::BadPermit,
                span,
                "a permit that changes with each refresh has no value that means run",
                "remove `run`, or write `permit: level`",
            )
            .label("no meaning here");
        return None;
    }
    if raw.has("safe") && raw.safe.is_none() {
        return None;
    }
    Some(raw.safe.as_ref())
}

fn misfit(
    raw: &raw::Output,
    problem: &str,
    help: &str,
    cx: &mut Cx<'_, '_>,
) -> Option<OutputTarget> {
    let span = raw.key_span("permit").unwrap_or(&raw.at);
    cx.findings.error(Code::BadPermit, span, problem, help);
    None
}

fn wrong_safe(span: &Span, wanted: &str, cx: &mut Cx<'_, '_>) -> Option<OutputTarget> {
    cx.findings.error(
        Code::BadRunValue,
        span,
        format!("`safe` of this permit is {wanted}"),
        format!("write {wanted}"),
    );
    None
}

/// The value of a coil that permits to run. `safe` may be given, but is its opposite.
fn coil_values(raw: &raw::Output, cx: &mut Cx<'_, '_>) -> Option<bool> {
    let mut flag = |key: &str, value: Option<&OutputValue>| match value {
        None => None,
        Some(OutputValue::Flag(Bool { value, .. })) => Some(*value),
        Some(word @ OutputValue::Word(_)) => {
            cx.findings.error(
                Code::BadRunValue,
                word.span(),
                format!("`{key}` of a coil is `true` or `false`, not a number"),
                format!("write `{key}: true` or `{key}: false`"),
            );
            None
        }
    };
    let (run, safe) = (
        flag("run", raw.run.as_ref()),
        flag("safe", raw.safe.as_ref()),
    );
    if raw.has("run") && run.is_none() || raw.has("safe") && safe.is_none() {
        return None;
    }
    let run = run.or(safe.map(|safe| !safe)).unwrap_or(true);
    if safe == Some(run) {
        same_values(raw, cx);
        return None;
    }
    Some(run)
}

/// Both values of a register; neither can be guessed.
fn register_values(raw: &raw::Output, cx: &mut Cx<'_, '_>) -> Option<(u16, u16)> {
    for (key, given) in [("run", raw.has("run")), ("safe", raw.has("safe"))] {
        if !given {
            cx.findings
                .error(
                    Code::BadRunValue,
                    &raw.at,
                    format!("the output writes a register, but does not say `{key}`"),
                    format!("add `{key}:` with the number from the device's manual"),
                )
                .label(format!("needs `{key}`"));
        }
    }
    let mut word = |key: &str, value: Option<&OutputValue>| match value {
        None => None,
        Some(OutputValue::Word(word)) => Some(word_of(word)),
        Some(flag @ OutputValue::Flag(_)) => {
            cx.findings.error(
                Code::BadRunValue,
                flag.span(),
                format!("`{key}` of a register is a number, not a boolean"),
                format!("write the number from the device's manual, such as `{key}: 1`"),
            );
            None
        }
    };
    let (run, safe) = (
        word("run", raw.run.as_ref()),
        word("safe", raw.safe.as_ref()),
    );
    if run.is_some() && run == safe {
        same_values(raw, cx);
        return None;
    }
    run.zip(safe)
}

fn word_of(word: &Int<0, 65_535>) -> u16 {
    word.to()
}

fn same_values(raw: &raw::Output, cx: &mut Cx<'_, '_>) {
    let span = raw.safe.as_ref().map_or(&raw.at, OutputValue::span);
    cx.findings
        .error(
            Code::BadRunValue,
            span,
            "`run` and `safe` are the same value, so the output could never stop the machine",
            "make `safe` the value at which the machine stands still",
        )
        .label("same as `run`");
}

/// Two outputs that write one place would overwrite each other's stop.
fn claim(
    output: &Output,
    target: OutputTarget,
    modbus: &ModbusLink,
    places: &mut Places,
    cx: &mut Cx<'_, '_>,
) {
    let (coil, address) = match target {
        OutputTarget::Coil { address, .. } | OutputTarget::Toggle { address, .. } => {
            (true, address)
        }
        OutputTarget::Register { address, .. } | OutputTarget::Counter { address, .. } => {
            (false, address)
        }
    };
    let unit = output.unit.unwrap_or(modbus.unit);
    let key = (
        modbus.host.to_ascii_lowercase(),
        modbus.port,
        unit,
        coil,
        address,
    );
    match places.get(&key) {
        None => {
            places.insert(key, (output.name.clone(), output.span.clone()));
        }
        Some((first, span)) => {
            let line = cx.findings.line_of(span);
            let what = if coil { "coil" } else { "register" };
            cx.findings
                .error(
                    Code::OutputTwice,
                    &output.span,
                    format!("the outputs `{first}` and `{}` write the same {what}", output.name),
                    "one would overwrite the stop of the other: keep one output and let all rules stop it",
                )
                .note(format!("`{first}` is in line {line}"));
        }
    }
}
