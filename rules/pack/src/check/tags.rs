//! Tags: where a value is, how it is stored, what it means.

use std::collections::HashMap;

use drivers_frame::{ByteOrder, DurNs, ValueCodec, ValueType, WordOrder};
use rt_config::limits::TAGS_MAX;
use rules_bundle::{InputChecks, Reintegration, Table};
use rules_expr::{Unit, parse_unit, unit_names};

use super::at_most;
use super::devices::device_of;
use super::inputs;
use super::meaning::meaning;
use super::model::{Device, Index, Link, ModbusLink, Place, Tag};
use super::payload::mqtt_place;
use super::text::{check_name, positive};
use crate::finding::Code;
use crate::raw::{self, Address, Order, RegisterTable, ValueWord};
use crate::read::{Cx, Map, Named};
use crate::suggest::nearest;

/// Checks the tags.
pub(super) fn tags(
    map: &Map<raw::Tag>,
    devices: &mut [Device],
    index: &Index<'_>,
    cx: &mut Cx<'_, '_>,
) -> Vec<Tag> {
    at_most("tags", map.entries.len(), TAGS_MAX, &map.at, cx);
    let mut topics = HashMap::new();
    let tags: Vec<Tag> = map
        .entries
        .iter()
        .map(|named| {
            check_name("tag", &named.name, &named.span, cx);
            tag(named, devices, index, &mut topics, cx)
        })
        .collect();
    inputs::topics_agree(&tags, cx);
    tags
}

/// Quality of service by device and topic, and the tag that asked first.
pub(super) type Topics = HashMap<(usize, String), (u8, String)>;

fn tag(
    named: &Named<raw::Tag>,
    devices: &mut [Device],
    index: &Index<'_>,
    topics: &mut Topics,
    cx: &mut Cx<'_, '_>,
) -> Tag {
    let mut checked = Tag {
        name: named.name.clone(),
        span: named.span.clone(),
        device: None,
        place: None,
        codec: None,
        unit: None,
        is_bool: false,
        known: false,
        stale_after_ns: 0,
        checks: InputChecks::default(),
        reintegration: Reintegration::After(DurNs::ZERO),
        period: None,
        envelope: None,
        used: false.into(),
    };
    let Some(raw) = named.value.as_ref() else {
        return checked;
    };
    checked.device = device_of(raw.device.get(), devices, index, cx);
    let device = checked.device.and_then(|device| devices.get(device));
    let link = device.and_then(|device| device.link.as_ref());
    let source = one_source(raw, device, cx);
    let mut codec = Stored::default();
    match (source, link) {
        (
            Some(source @ (Source::Register | Source::Coil | Source::Discrete)),
            Some(Link::Modbus(modbus)),
        ) => {
            modbus_type(raw, source, &mut codec, cx);
            checked.place = modbus_place(raw, source, modbus, codec.kind, cx);
        }
        (Some(Source::Topic), Some(Link::Mqtt(_))) => {
            checked.place = mqtt_place(raw, checked.device, &mut codec, topics, cx);
        }
        // Of a device that is not known, only what holds for every device can be judged.
        _ => codec.kind = raw.r#type.map(value_type),
    }
    checked.is_bool = codec.kind == Some(ValueType::Bool);
    checked.unit = unit(raw, codec.kind, cx);
    let meaning = meaning(raw, codec.kind, cx);
    checked.stale_after_ns = stale_after(raw, link, cx);
    inputs::judge(raw, link, &mut checked, cx);
    checked.known = codec.kind.is_some() && (checked.is_bool || checked.unit.is_some());
    checked.codec = codec.kind.zip(meaning).map(|(kind, meaning)| ValueCodec {
        kind,
        words: codec.words,
        bytes: codec.bytes,
        bit: codec.bit,
        scaling: meaning.scaling,
        range: meaning.range,
        current: meaning.current,
    });
    checked
}

/// How a value is stored, as far as it is known.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) kind: Option<ValueType>,
    pub(super) words: WordOrder,
    pub(super) bytes: ByteOrder,
    pub(super) bit: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Register,
    Coil,
    Discrete,
    Topic,
}

/// The one key that says where the value is, and whether its device can have it.
fn one_source(raw: &raw::Tag, device: Option<&Device>, cx: &mut Cx<'_, '_>) -> Option<Source> {
    let all = [
        ("register", Source::Register),
        ("coil", Source::Coil),
        ("discrete", Source::Discrete),
        ("topic", Source::Topic),
    ];
    let given: Vec<_> = all.into_iter().filter(|(key, _)| raw.has(key)).collect();
    let source = match given.as_slice() {
        [(key, source)] => {
            let mqtt = *source == Source::Topic;
            let fits = match device.and_then(|device| device.link.as_ref()) {
                Some(Link::Modbus(_)) => !mqtt,
                Some(Link::Mqtt(_)) => mqtt,
                // A tag names only what is under `devices`.
                Some(Link::Analyzer(_)) | None => return None,
            };
            if !fits {
                let name = device.map_or("", |device| device.name.as_str());
                let (is, wants) = if mqtt {
                    ("Modbus", "`register`, `coil` or `discrete`")
                } else {
                    ("MQTT", "`topic`")
                };
                cx.findings.error(
                    Code::DeviceKind,
                    &raw.at,
                    format!("`{key}` has no meaning for the {is} device `{name}`"),
                    format!("say where the value is with {wants}, or name another device"),
                );
                return None;
            }
            *source
        }
        [] => {
            cx.findings.error(
                Code::OneOf,
                &raw.at,
                "the tag does not say where its value is",
                "add exactly one of `register: { table: holding, address: 0 }`, `coil: 0`, `discrete: 0` (Modbus) or \
                 `topic: plant/line` (MQTT)",
            );
            return None;
        }
        more => {
            let keys = crate::read::list_of(more.iter().map(|(key, _)| *key));
            cx.findings.error(
                Code::OneOf,
                &raw.at,
                format!("the tag says {keys}; a value is in one place only"),
                "keep one, and make a second tag for the other",
            );
            return None;
        }
    };
    Some(source)
}

pub(super) fn value_type(word: ValueWord) -> ValueType {
    match word {
        ValueWord::U16 => ValueType::U16,
        ValueWord::I16 => ValueType::I16,
        ValueWord::U32 => ValueType::U32,
        ValueWord::I32 => ValueType::I32,
        ValueWord::U64 => ValueType::U64,
        ValueWord::I64 => ValueType::I64,
        ValueWord::F32 => ValueType::F32,
        ValueWord::F64 => ValueType::F64,
        ValueWord::Bool => ValueType::Bool,
    }
}

pub(super) fn byte_order(order: Order) -> ByteOrder {
    match order {
        Order::Big => ByteOrder::BigEndian,
        Order::Little => ByteOrder::LittleEndian,
    }
}

/// Reports a key that has no meaning here.
pub(super) fn meaningless(raw: &raw::Tag, keys: &[(&str, Code)], why: &str, cx: &mut Cx<'_, '_>) {
    for (key, code) in keys {
        let Some(span) = raw.key_span(key) else {
            continue;
        };
        cx.findings.error(
            *code,
            span,
            format!("`{key}` has no meaning for {why}"),
            format!("remove `{key}`"),
        );
    }
}

/// Type, orders and bit of a value in a Modbus device.
fn modbus_type(raw: &raw::Tag, source: Source, stored: &mut Stored, cx: &mut Cx<'_, '_>) {
    meaningless(
        raw,
        &[("qos", Code::BadTopic), ("payload", Code::BadPayload)],
        "a Modbus tag",
        cx,
    );
    if source != Source::Register {
        let orders = [
            ("word_order", Code::WordOrder),
            ("byte_order", Code::WordOrder),
            ("bit", Code::BadBit),
        ];
        meaningless(
            raw,
            &orders,
            "a coil or discrete input, which is a single bit",
            cx,
        );
        if raw.r#type.is_some_and(|word| word != ValueWord::Bool) {
            cx.findings.error(
                Code::BadValueType,
                raw.key_span("type").unwrap_or(&raw.at),
                "a coil or discrete input is a single bit and holds no number",
                "write `type: bool` or leave `type` out; numbers are in `register`",
            );
            return;
        }
        stored.kind = Some(ValueType::Bool);
        return;
    }
    if !raw.has("type") {
        cx.findings.error(
            Code::BadValueType,
            &raw.at,
            "the tag does not say how the register stores its value",
            "add `type:` with one of u16, i16, u32, i32, u64, i64, f32, f64, bool, as the device's manual says",
        );
    }
    let Some(kind) = raw.r#type.map(value_type) else {
        return;
    };
    stored.kind = Some(kind);
    stored.bytes = raw.byte_order.map_or(ByteOrder::BigEndian, byte_order);
    match (kind.words() > 1, raw.word_order) {
        (true, Some(Order::Big)) => stored.words = WordOrder::BigEndian,
        (true, Some(Order::Little)) => stored.words = WordOrder::LittleEndian,
        (true, None) if raw.has("word_order") => {}
        (true, None) => {
            cx.findings
                .error(
                    Code::WordOrder,
                    &raw.at,
                    format!("the value takes {} registers, but the tag does not say in which order", kind.words()),
                    "add `word_order: big` (most significant register first) or `word_order: little`, as the device's \
                     manual says; devices differ, so there is no default",
                )
                .label("needs `word_order`");
        }
        (false, _) => meaningless(
            raw,
            &[("word_order", Code::WordOrder)],
            "a value in a single register",
            cx,
        ),
    }
    match (kind == ValueType::Bool, raw.bit.as_ref()) {
        (true, Some(bit)) => stored.bit = bit.to(),
        (true, None) if !raw.has("bit") => {
            cx.findings.error(
                Code::BadBit,
                &raw.at,
                "the tag does not say which bit of the register it is",
                "add `bit:` from 0 (least significant) to 15",
            );
        }
        (false, Some(bit)) => {
            cx.findings.error(
                Code::BadBit,
                &bit.span,
                "a bit is true or false, not a number",
                "write `type: bool`, or remove `bit`",
            );
        }
        _ => {}
    }
}

fn modbus_place(
    raw: &raw::Tag,
    source: Source,
    modbus: &ModbusLink,
    kind: Option<ValueType>,
    cx: &mut Cx<'_, '_>,
) -> Option<Place> {
    let (table, written) = match source {
        Source::Coil => (Table::Coil, raw.coil.as_ref()?),
        Source::Discrete => (Table::Discrete, raw.discrete.as_ref()?),
        _ => {
            let register = raw.register.as_ref()?;
            let table = match register.table.get()? {
                RegisterTable::Holding => Table::Holding,
                RegisterTable::Input => Table::Input,
            };
            (table, register.address.get()?)
        }
    };
    let words = if matches!(table, Table::Coil | Table::Discrete) {
        1
    } else {
        kind?.words()
    };
    let address = address(written, modbus.one_based?, words, cx)?;
    lint_modicon(table, written, modbus.one_based?, cx);
    Some(Place::Modbus { table, address })
}

/// The protocol address, from 0, of `words` registers that start at the address as written.
pub(super) fn address(
    written: &Address,
    one_based: bool,
    words: usize,
    cx: &mut Cx<'_, '_>,
) -> Option<u16> {
    let first = i64::from(one_based);
    let start = written.value.saturating_sub(first);
    let end = start.saturating_add(i64::try_from(words).unwrap_or(i64::MAX));
    if written.value < first {
        cx.findings
            .error(
                Code::BadAddress,
                &written.span,
                "there is no address 0 in a device whose addresses count from 1",
                "write the address from the manual, or `addressing: zero_based` if the manual counts from 0",
            )
            .label("counts from 1");
        return None;
    }
    if end > 65_536 {
        let last = 65_535_i64.saturating_add(first);
        cx.findings
            .error(
                Code::BadAddress,
                &written.span,
                format!(
                    "a value of {words} register(s) at {} goes beyond the last address, {last}",
                    written.value
                ),
                "check the address and the type; a Modbus table has 65536 addresses",
            )
            .label("beyond the end");
        return None;
    }
    u16::try_from(start).ok()
}

/// Manuals in Modicon notation write 40001 for the first holding register and 30001 for the first input register.
fn lint_modicon(table: Table, written: &Address, one_based: bool, cx: &mut Cx<'_, '_>) {
    let base = match table {
        Table::Holding => 40_000,
        Table::Input => 30_000,
        Table::Coil | Table::Discrete => return,
    };
    let number = written.value.saturating_sub(base);
    if !one_based || !(1..=9_999).contains(&number) {
        return;
    }
    cx.findings.warning(
        Code::ModiconAddress,
        &written.span,
        format!(
            "{} looks like a reference in Modicon notation, in which the first digit is the table",
            written.value
        ),
        format!(
            "write `address: {number}` if so; otherwise write `addressing: zero_based` and {}",
            written.value.saturating_sub(1)
        ),
    );
}

fn unit(raw: &raw::Tag, kind: Option<ValueType>, cx: &mut Cx<'_, '_>) -> Option<Unit> {
    if kind == Some(ValueType::Bool) {
        meaningless(raw, &[("unit", Code::BadUnit)], "a boolean", cx);
        return None;
    }
    let Some(written) = raw.unit.as_ref() else {
        if !raw.has("unit") && kind.is_some() {
            cx.findings
                .error(
                    Code::BadUnit,
                    &raw.at,
                    "the tag does not say in which unit its value is",
                    "add `unit:`, such as `unit: mm/s`; `unit: \"1\"` for a plain number",
                )
                .label("needs `unit`");
        }
        return None;
    };
    let unit = parse_unit(&written.value);
    if unit.is_none() {
        let help = match nearest(&written.value, unit_names()) {
            Some(name) => format!("did you mean `{name}`? docs/expressions.md lists the units"),
            None => "docs/expressions.md lists the units; `\"1\"` is a plain number".to_owned(),
        };
        cx.findings
            .error(
                Code::BadUnit,
                &written.span,
                format!("`{}` is not a unit", crate::read::short(&written.value)),
                help,
            )
            .label("unknown unit");
    }
    unit
}

fn stale_after(raw: &raw::Tag, link: Option<&Link>, cx: &mut Cx<'_, '_>) -> u64 {
    let Some(written) = raw.stale_after.get() else {
        return 0;
    };
    let stale_after = positive("stale_after", Some(written), 0, cx);
    let Some(Link::Modbus(ModbusLink {
        poll_ns: Some(poll),
        ..
    })) = link
    else {
        return stale_after;
    };
    if stale_after > 0 && stale_after <= *poll {
        cx.findings
            .error(
                Code::AlwaysStale,
                &written.span,
                format!(
                    "the tag would be stale between any two reads: it is read every {}, and stale after {}",
                    DurNs::from_ns(*poll),
                    DurNs::from_ns(stale_after)
                ),
                format!(
                    "write more than one poll period and the device's timeout, such as `stale_after: {}`, or poll faster",
                    DurNs::from_ns(poll.saturating_mul(5))
                ),
            )
            .label("not longer than `poll`");
    }
    stale_after
}
