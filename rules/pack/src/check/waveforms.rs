//! Waveforms: where blocks come from, how their samples are stored, how fast they are.

use std::collections::HashMap;

use drivers_frame::block::SequenceType;
use drivers_frame::{ByteOrder, DeviceId, SampleKind, WordOrder};
use rt_config::limits::{WAVEFORM_HEADER_BYTES_MAX, WAVEFORM_RATE_MAX_HZ, WAVEFORMS_MAX};
use rules_bundle::{SequencePlan, Table, WaveformPlan, WaveformSource};
use rules_expr::{Unit, parse_quantity, parse_unit};

use super::devices::device_of;
use super::model::{Device, Index, Link, ModbusLink, Place, Tag, Waveform};
use super::tags::{address, byte_order};
use super::text::{check_name, check_topic, positive};
use super::{at_most, inputs, ns};
use crate::finding::Code;
use crate::raw::{self, Order, RegisterTable, SampleWord, SequenceWord};
use crate::read::{Cx, Map, Named, Span};
use crate::suggest::nearest;

/// Checks the waveforms.
pub(super) fn waveforms(
    map: Option<&Map<raw::Waveform>>,
    devices: &mut [Device],
    index: &Index<'_>,
    tags: &[Tag],
    cx: &mut Cx<'_, '_>,
) -> Vec<Waveform> {
    let Some(map) = map else { return Vec::new() };
    at_most("waveforms", map.entries.len(), WAVEFORMS_MAX, &map.at, cx);
    let mut topics: HashMap<(usize, String), String> = tags
        .iter()
        .filter_map(|tag| match (&tag.device, &tag.place) {
            (Some(device), Some(Place::Mqtt { topic, .. })) => {
                Some(((*device, topic.clone()), format!("the tag `{}`", tag.name)))
            }
            _ => None,
        })
        .collect();
    map.entries
        .iter()
        .map(|named| {
            check_name("waveform", &named.name, &named.span, cx);
            waveform(named, devices, index, &mut topics, cx)
        })
        .collect()
}

fn waveform(
    named: &Named<raw::Waveform>,
    devices: &mut [Device],
    index: &Index<'_>,
    topics: &mut HashMap<(usize, String), String>,
    cx: &mut Cx<'_, '_>,
) -> Waveform {
    let mut checked = Waveform {
        name: named.name.clone(),
        span: named.span.clone(),
        device: None,
        unit: None,
        plan: None,
        used: false.into(),
    };
    let Some(raw) = named.value.as_ref() else {
        return checked;
    };
    checked.device = device_of(raw.device.get(), devices, index, cx);
    let link = checked
        .device
        .and_then(|device| devices.get(device))
        .and_then(|device| device.link.as_ref());
    checked.unit = raw
        .unit
        .get()
        .and_then(|unit| known_unit(&unit.value, &unit.span, cx));
    let rate_hz = rate(raw, cx);
    let stale_after = positive("stale_after", raw.stale_after.get(), 0, cx);
    let period = period(raw, stale_after, cx);
    let scale = scale(raw, cx);
    let kind = raw.r#type.get().map(|word| match word {
        SampleWord::F32 => SampleKind::F32,
        SampleWord::I16 => SampleKind::I16,
    });
    let samples: Option<u32> = raw.samples.get().map(|samples| samples.to());
    let source = match (raw.has("topic"), raw.has("register"), link) {
        (true, false, Some(Link::Mqtt(_)) | None) => message(raw, cx),
        (false, true, Some(Link::Modbus(modbus))) => {
            kind.zip(samples).and_then(|(kind, samples)| {
                let registers = usize::try_from(samples)
                    .unwrap_or(usize::MAX)
                    .saturating_mul(kind.registers());
                window(raw, modbus, kind, registers, cx)
            })
        }
        (false, true, None) => None,
        (topic, register, link) => {
            wrong_place(raw, topic, register, link, cx);
            None
        }
    };
    if let (Some(WaveformSource::Mqtt { topic, .. }), Some(device)) = (&source, checked.device) {
        let key = (device, topic.clone());
        let written = raw.topic.as_ref().map_or(&raw.at, |topic| &topic.span);
        if let Some(first) = topics.get(&key) {
            cx.findings
                .error(
                    Code::BadTopic,
                    written,
                    format!("the topic already belongs to {first}"),
                    "a message is one block and nothing else: give the other a topic of its own",
                )
                .label("taken");
        } else {
            topics.insert(key, format!("the waveform `{}`", named.name));
        }
    }
    checked.plan = source
        .zip(kind)
        .zip(samples)
        .zip(rate_hz)
        .zip(scale)
        .zip(checked.unit.as_ref())
        .map(
            |(((((source, kind), samples), rate_hz), (scale, offset)), unit)| WaveformPlan {
                name: named.name.clone(),
                // Of the lane; known when the plan is made.
                device: DeviceId(0),
                unit: unit.symbol().to_owned(),
                rate_hz,
                samples,
                format: kind,
                scale,
                offset,
                stale_after: ns(stale_after),
                period: period.map(ns),
                source,
            },
        );
    checked
}

/// A unit, or a finding with the one that was probably meant.
pub(super) fn known_unit(text: &str, span: &Span, cx: &mut Cx<'_, '_>) -> Option<Unit> {
    let unit = parse_unit(text);
    if unit.is_none() {
        let help = match nearest(text, rules_expr::unit_names()) {
            Some(name) => format!("did you mean `{name}`? docs/expressions.md lists the units"),
            None => "docs/expressions.md lists the units; `\"1\"` is a plain number".to_owned(),
        };
        cx.findings
            .error(
                Code::BadUnit,
                span,
                format!("`{}` is not a unit", crate::read::short(text)),
                help,
            )
            .label("unknown unit");
    }
    unit
}

fn rate(raw: &raw::Waveform, cx: &mut Cx<'_, '_>) -> Option<f64> {
    let written = raw.rate.get()?;
    let hertz = parse_unit("Hz")?;
    let rate = match parse_quantity(&written.text) {
        Ok((value, unit)) => unit
            .conversion_to(&hertz)
            .map(|conversion| conversion.apply_to_literal(value)),
        Err(cause) => {
            let (message, help) = super::split_help(&cause.to_string());
            cx.findings
                .error(Code::BadWaveform, &written.span, message, help);
            return None;
        }
    };
    if let Some(rate) = rate.filter(|rate| *rate > 0.0 && *rate <= WAVEFORM_RATE_MAX_HZ) {
        return Some(rate);
    }
    cx.findings
        .error(
            Code::BadWaveform,
            &written.span,
            format!(
                "`{}` is not a sampling rate above 0 and up to {} MHz",
                crate::read::short(&written.text),
                WAVEFORM_RATE_MAX_HZ / 1e6
            ),
            "write samples a second with a unit of frequency, such as `rate: 12 kHz` or `rate: 25600 Hz`",
        )
        .label("not a rate");
    None
}

fn period(raw: &raw::Waveform, stale_after: u64, cx: &mut Cx<'_, '_>) -> Option<u64> {
    let written = raw.period.as_ref()?;
    let period = positive("period", Some(written), 0, cx);
    if stale_after > 0 && period >= stale_after {
        cx.findings
            .error(
                Code::AlwaysStale,
                &written.span,
                format!(
                    "the waveform would be stale between any two blocks: they come every {}, and it is stale after {}",
                    ns(period),
                    ns(stale_after)
                ),
                "write a `stale_after` of several periods, or correct the period",
            )
            .label("not shorter than `stale_after`");
    }
    (period > 0).then_some(period)
}

fn scale(raw: &raw::Waveform, cx: &mut Cx<'_, '_>) -> Option<(f64, f64)> {
    let offset = match (&raw.offset, raw.has("offset")) {
        (Some(offset), _) => offset.value,
        (None, false) => 0.0,
        (None, true) => return None,
    };
    match (&raw.scale, raw.has("scale")) {
        (Some(scale), _) if scale.value.abs() >= f64::MIN_POSITIVE => Some((scale.value, offset)),
        (Some(scale), _) => {
            cx.findings
                .error(
                    Code::BadScaling,
                    &scale.span,
                    "with a factor of zero every sample is the same",
                    "write the factor from the stored number to the unit, or leave `scale` out",
                )
                .label("zero");
            None
        }
        (None, false) => Some((1.0, offset)),
        (None, true) => None,
    }
}

/// Reports a place that is missing, double, or not one of the device.
fn wrong_place(
    raw: &raw::Waveform,
    topic: bool,
    register: bool,
    link: Option<&Link>,
    cx: &mut Cx<'_, '_>,
) {
    let (code, problem, help) = match (topic, register, link) {
        (true, true, _) => (
            Code::OneOf,
            "the waveform says both `topic` and `register`; its blocks come from one place",
            "keep one of the two",
        ),
        (false, false, _) => (
            Code::OneOf,
            "the waveform does not say where its blocks come from",
            "add `topic: plant/vibration` (MQTT), or `register: { table: input, address: 1000 }` (Modbus)",
        ),
        (true, ..) => (
            Code::DeviceKind,
            "`topic` has no meaning for a Modbus device",
            "say where the window is with `register: { table: input, address: 1000 }`, or name a broker",
        ),
        (false, ..) => (
            Code::DeviceKind,
            "`register` has no meaning for an MQTT broker",
            "name the topic whose messages are the blocks: `topic: plant/vibration`",
        ),
    };
    cx.findings.error(code, &raw.at, problem, help);
}

/// Reports keys that have no meaning for this kind of source.
fn meaningless(raw: &raw::Waveform, keys: &[&str], why: &str, cx: &mut Cx<'_, '_>) {
    for key in keys {
        if let Some(span) = raw.key_span(key) {
            cx.findings.error(
                Code::BadWaveform,
                span,
                format!("`{key}` has no meaning for {why}"),
                format!("remove `{key}`"),
            );
        }
    }
}

fn sequence_type(word: SequenceWord) -> SequenceType {
    match word {
        SequenceWord::U8 => SequenceType::U8,
        SequenceWord::U16 => SequenceType::U16,
        SequenceWord::U32 => SequenceType::U32,
        SequenceWord::U64 => SequenceType::U64,
    }
}

/// One message is one block.
fn message(raw: &raw::Waveform, cx: &mut Cx<'_, '_>) -> Option<WaveformSource> {
    meaningless(
        raw,
        &["word_order"],
        "a message, where `byte_order` says all",
        cx,
    );
    let topic = raw.topic.as_ref()?;
    check_topic("the topic", topic, cx);
    if !raw.has("byte_order") {
        cx.findings
            .error(
                Code::BadWaveform,
                &raw.at,
                "the waveform does not say in which order the bytes of a sample are",
                "add `byte_order: little` (most front ends) or `byte_order: big`, as the source's manual says",
            )
            .label("needs `byte_order`");
    }
    let first: u32 = raw.first.as_ref().map_or(0, |first| first.to());
    let sequence = match (&raw.sequence, raw.has("sequence")) {
        (None, false) => None,
        (None, true) => return None,
        (Some(sequence), _) => Some(header(sequence, first, cx)?),
    };
    let envelope = match (&raw.envelope, raw.has("envelope")) {
        (None, false) => None,
        (None, true) => return None,
        (Some(envelope), _) => Some(inputs::envelope_plan(envelope, cx)?),
    };
    Some(WaveformSource::Mqtt {
        topic: topic.value.clone(),
        qos: raw.qos.as_ref().map_or(1, |qos| qos.to()),
        first,
        byte_order: byte_order(raw.byte_order?),
        sequence,
        envelope,
    })
}

/// The sequence number in a message: before the first sample.
fn header(raw: &raw::Sequence, first: u32, cx: &mut Cx<'_, '_>) -> Option<SequencePlan> {
    let width = sequence_type(*raw.r#type.get()?);
    if let Some(span) = raw.key_span("address") {
        cx.findings.error(
            Code::BadWaveform,
            span,
            "`address` has no meaning in a message",
            "say at which byte the number is: `sequence: { offset: 0, type: u32 }`",
        );
        return None;
    }
    let Some(offset) = raw.offset.as_ref() else {
        if !raw.has("offset") {
            cx.findings.error(
                Code::BadWaveform,
                &raw.at,
                "the sequence number does not say at which byte it is",
                "add `offset:`, from 0: `sequence: { offset: 0, type: u32 }`",
            );
        }
        return None;
    };
    let at: u32 = offset.to();
    let bytes = u32::try_from(width.bytes()).unwrap_or(WAVEFORM_HEADER_BYTES_MAX);
    let end = at.saturating_add(bytes);
    if end > first {
        cx.findings
            .error(
                Code::BadWaveform,
                &offset.span,
                format!("the sequence number ends at byte {end}, and the samples begin at byte {first}"),
                format!("it stands before the samples: write `first: {end}` or more, or correct the offset"),
            )
            .label("within the samples");
        return None;
    }
    Some(SequencePlan { at, width })
}

/// A window of registers, and the register that counts.
fn window(
    raw: &raw::Waveform,
    modbus: &ModbusLink,
    kind: SampleKind,
    registers: usize,
    cx: &mut Cx<'_, '_>,
) -> Option<WaveformSource> {
    meaningless(
        raw,
        &["qos", "first", "envelope"],
        "a window of registers",
        cx,
    );
    let register = raw.register.as_ref()?;
    let table = match register.table.get()? {
        RegisterTable::Holding => Table::Holding,
        RegisterTable::Input => Table::Input,
    };
    let one_based = modbus.one_based?;
    let written = register.address.get()?;
    let start = address(written, one_based, registers, cx)?;
    let Some(sequence) = raw.sequence.as_ref() else {
        if !raw.has("sequence") {
            cx.findings
                .error(
                    Code::BadWaveform,
                    &raw.at,
                    "the window has no sequence register, so a new block cannot be told from the last one",
                    "add `sequence: { address: 999, type: u16 }`: a register that counts up by 1 before a new block is written",
                )
                .label("needs `sequence`");
        }
        return None;
    };
    let width = sequence_type(*sequence.r#type.get()?);
    let words = match width {
        SequenceType::U16 => 1,
        SequenceType::U32 => 2,
        SequenceType::U64 => 4,
        SequenceType::U8 => {
            cx.findings.error(
                Code::BadWaveform,
                sequence.key_span("type").unwrap_or(&sequence.at),
                "a register holds no number of 8 bits",
                "write `type: u16`, or `u32` and `u64` for two and four registers, as the device's manual says",
            );
            return None;
        }
    };
    let Some(counted) = sequence.address.as_ref() else {
        if !sequence.has("address") {
            cx.findings.error(
                Code::BadWaveform,
                &sequence.at,
                "the sequence number does not say in which register it is",
                "add `address:`, as `addressing` counts: `sequence: { address: 999, type: u16 }`",
            );
        }
        return None;
    };
    let number = address(counted, one_based, words, cx)?;
    let end = usize::from(start).saturating_add(registers);
    let last = usize::from(number).saturating_add(words);
    if usize::from(number) < end && last > usize::from(start) {
        cx.findings
            .error(
                Code::BadWaveform,
                &counted.span,
                format!("the sequence number lies within the window of {registers} registers"),
                "check the addresses of both, `type` and `samples` against the device's manual",
            )
            .label("within the window");
        return None;
    }
    let two = kind.registers() > 1 || words > 1;
    if two && !raw.has("word_order") {
        cx.findings
            .error(
                Code::WordOrder,
                &raw.at,
                "the waveform does not say in which order two registers form a number",
                "add `word_order: big` (most significant register first) or `word_order: little`, as the device's manual says",
            )
            .label("needs `word_order`");
        return None;
    }
    if !two {
        meaningless(raw, &["word_order"], "numbers in single registers", cx);
    }
    Some(WaveformSource::Modbus {
        table,
        address: start,
        sequence: number,
        sequence_width: width,
        byte_order: raw.byte_order.map_or(ByteOrder::BigEndian, byte_order),
        word_order: match raw.word_order {
            Some(Order::Little) => WordOrder::LittleEndian,
            Some(Order::Big) | None => WordOrder::BigEndian,
        },
    })
}
