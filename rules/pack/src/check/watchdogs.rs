//! The device's own watchdog: which registers, and whether the permit is renewed in time.

use std::collections::HashMap;

use rt_config::limits::WATCHDOG_REGISTERS_MAX;
use rules_bundle::{RegisterMatch, RegisterValue, WatchdogPlan};

use super::model::{ModbusLink, Output};
use super::tags::address;
use super::text::positive;
use super::{at_most, ns};
use crate::finding::Code;
use crate::raw::{self, ProfileWord};
use crate::read::Cx;
use crate::watchdog::{self, WatchdogProfile};

/// Time between two looks at a watchdog, unless the pack says otherwise; the schema states it too.
const CHECK_NS: u64 = 1_000_000_000;

/// A permit that is refreshed too late would be dropped while the machine may run.
pub(super) fn refreshed_in_time(
    output: &Output,
    record: &raw::WatchdogRecord,
    cx: &mut Cx<'_, '_>,
) {
    let Some(time) = output.watchdog.as_ref().map(|watchdog| watchdog.time) else {
        return;
    };
    let refresh = ns(output.refresh_ns);
    let line = cx.findings.line_of(&record.at);
    if refresh >= time {
        cx.findings
            .error(
                Code::BadWatchdog,
                &output.refresh_span,
                format!(
                    "the watchdog drops the permit after {time}, and it is renewed every {refresh}"
                ),
                "write a `refresh` of at most a third of the watchdog's time",
            )
            .label("never renewed in time")
            .note(format!("the watchdog is in line {line}"));
    } else if refresh.times(2) > time {
        cx.findings
            .warning(
                Code::SlowRefresh,
                &output.refresh_span,
                format!("one lost refresh in {refresh} and the watchdog of {time} stops the machine without need"),
                "write a `refresh` of at most a third of the watchdog's time",
            )
            .label("no room for a lost write");
    }
}

/// The registers of a watchdog.
pub(super) fn watchdog_plan(
    record: &raw::WatchdogRecord,
    modbus: Option<&ModbusLink>,
    cx: &mut Cx<'_, '_>,
) -> Option<WatchdogPlan> {
    let time_ns = positive("time", record.time.get(), 0, cx);
    let check_ns = positive("check", record.check.as_ref(), CHECK_NS, cx);
    let profile = record.profile.get()?;
    let known = match profile {
        ProfileWord::Generic => return generic(record, time_ns, check_ns, modbus?, cx),
        ProfileWord::Wago750 => WatchdogProfile::Wago750,
        ProfileWord::Turck => WatchdogProfile::Turck,
        ProfileWord::BeckhoffBk => WatchdogProfile::BeckhoffBk,
    };
    for key in ["arm", "expect"] {
        let Some(span) = record.key_span(key) else {
            continue;
        };
        cx.findings.error(
            Code::BadWatchdog,
            span,
            format!(
                "the registers of `{}` are known; `{key}` would be ignored",
                known.as_str()
            ),
            format!("remove `{key}`, or write `profile: generic` and state all registers"),
        );
    }
    let time = record.time.get()?;
    match known.plan(ns(time_ns), ns(check_ns)) {
        Ok(plan) => Some(plan),
        Err(cause) => {
            cx.findings.error(
                Code::BadWatchdog,
                &time.span,
                format!("a `{}` cannot do that: {cause}", known.as_str()),
                format!("write a time from {} to {}", known.step(), known.longest()),
            );
            None
        }
    }
}

/// A watchdog whose registers the pack states.
fn generic(
    record: &raw::WatchdogRecord,
    time_ns: u64,
    check_ns: u64,
    modbus: &ModbusLink,
    cx: &mut Cx<'_, '_>,
) -> Option<WatchdogPlan> {
    let one_based = modbus.one_based?;
    let mut complete = true;
    let mut arm = Vec::new();
    for write in record.arm.as_ref().map_or(&[][..], |list| &list.items) {
        let place = write
            .register
            .get()
            .and_then(|register| address(register, one_based, 1, cx));
        match place.zip(write.value.get()) {
            Some((address, value)) => arm.push(RegisterValue {
                address,
                value: value.to(),
            }),
            None => complete = false,
        }
    }
    let mut expect = Vec::new();
    for matched in record.expect.as_ref().map_or(&[][..], |list| &list.items) {
        let place = matched
            .register
            .get()
            .and_then(|register| address(register, one_based, 1, cx));
        match place.zip(matched.value.get()) {
            Some((address, value)) => expect.push(RegisterMatch {
                address,
                mask: matched.mask.as_ref().map_or(u16::MAX, |mask| mask.to()),
                value: value.to(),
            }),
            None => complete = false,
        }
    }
    for list in [
        record.arm.as_ref().map(|list| (list.items.len(), &list.at)),
        record
            .expect
            .as_ref()
            .map(|list| (list.items.len(), &list.at)),
    ] {
        let Some((count, at)) = list else { continue };
        at_most("registers", count, WATCHDOG_REGISTERS_MAX, at, cx);
        complete &= count <= WATCHDOG_REGISTERS_MAX;
    }
    if !complete || (record.has("expect") && record.expect.is_none()) {
        return None;
    }
    match watchdog::generic(ns(time_ns), arm, expect, ns(check_ns)) {
        Ok(plan) => Some(plan),
        Err(cause) => {
            let at = record.key_span("expect").unwrap_or(&record.at);
            cx.findings
                .error(
                    Code::BadWatchdog,
                    at,
                    format!("the watchdog cannot be checked: {cause}"),
                    "state what shows that it is armed: `expect: [{ register: 101, mask: 0x0001, value: 1 }]`",
                )
                .label("proves nothing");
            None
        }
    }
}

/// A station has one watchdog: two outputs that arm it differently would undo one another.
pub(super) fn one_watchdog_a_station(outputs: &[Output], cx: &mut Cx<'_, '_>) {
    let mut first: HashMap<(usize, Option<u8>), &Output> = HashMap::new();
    for output in outputs.iter().filter(|output| output.watchdog.is_some()) {
        let Some(device) = output.device else {
            continue;
        };
        let known = first.entry((device, output.unit)).or_insert(output);
        if known.watchdog != output.watchdog {
            cx.findings
                .error(
                    Code::BadWatchdog,
                    &output.span,
                    format!(
                        "`{}` and `{}` arm the watchdog of one station differently",
                        known.name, output.name
                    ),
                    "write the same `watchdog` with both: a station has one",
                )
                .label("another watchdog");
        }
    }
}
