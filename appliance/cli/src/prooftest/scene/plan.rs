//! What a plan says of its tags: how they are coded, where they are bounded, who reads them.

use std::collections::BTreeSet;

use drivers_frame::{TagId, ValueCodec, ValueType};
use rules_bundle::{AnalyzerPlan, ExtractPlan, LanePlan, LinkPlan, OutputTarget, Table};
use rules_expr::{Op, Program};

use super::stimulus::{Do, Stimulus};
use crate::prooftest::raw;

pub(crate) fn tag_id(tag: usize) -> TagId {
    TagId(u16::try_from(tag).unwrap_or(u16::MAX))
}

/// Lowest and highest value of a tag: its range, or what its type holds.
pub(super) fn bounds(codec: &ValueCodec) -> (f64, f64) {
    let (least, most): (f64, f64) = match codec.kind {
        ValueType::Bool => (0.0, 1.0),
        ValueType::U16 => (0.0, 65_535.0),
        ValueType::I16 => (-32_768.0, 32_767.0),
        ValueType::U32 | ValueType::U64 => (0.0, 4_294_967_295.0),
        ValueType::I32 | ValueType::I64 => (-2_147_483_648.0, 2_147_483_647.0),
        ValueType::F32 | ValueType::F64 => (-1e9, 1e9),
    };
    let ends = [least, most].map(|raw| raw * codec.scaling.scale + codec.scaling.offset);
    let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
    let low = low.max(codec.range.min);
    (low, high.min(codec.range.max).max(low))
}

pub(super) fn middle(codec: Option<&ValueCodec>) -> f64 {
    let Some(codec) = codec else { return 0.0 };
    if codec.kind == ValueType::Bool {
        return 0.0;
    }
    let (low, high) = bounds(codec);
    let middle = low + (high - low) / 2.0;
    raw::rounded(codec, middle).unwrap_or(middle)
}

/// Tags that read the place of an output, and what they show while it runs.
pub(super) fn echoes(plan: &LanePlan) -> Vec<(usize, f64)> {
    let mut echoes = Vec::new();
    for device in &plan.devices {
        let LinkPlan::Modbus(modbus) = &device.link else {
            continue;
        };
        for output in &plan.outputs {
            if (&output.host, output.port, output.unit) != (&modbus.host, modbus.port, modbus.unit)
            {
                continue;
            }
            let (table, address, run) = match output.target {
                OutputTarget::Coil { address, run } => (Table::Coil, address, u16::from(run)),
                OutputTarget::Toggle { address, safe } => (Table::Coil, address, u16::from(!safe)),
                OutputTarget::Register { address, run, .. } => (Table::Holding, address, run),
                OutputTarget::Counter { address, .. } => (Table::Holding, address, 1),
            };
            for point in &modbus.points {
                if (point.table, point.address) == (table, address) {
                    let shown = match table {
                        Table::Coil => f64::from(run),
                        _ => point.codec.decode_registers(&[run]).value,
                    };
                    echoes.push((usize::from(point.tag.0), shown));
                }
            }
        }
    }
    echoes
}

/// Tags that analyzers derive.
pub(super) fn derived(plan: &LanePlan) -> BTreeSet<usize> {
    let of = |analyzer: &AnalyzerPlan| {
        let own = [analyzer.verdict, analyzer.cause];
        let outputs = analyzer.outputs.iter().map(|output| output.tag);
        outputs.chain(own).collect::<Vec<_>>()
    };
    let tags = plan.analyzers().flat_map(|(_, _, analyzer)| of(analyzer));
    tags.map(|tag| usize::from(tag.0)).collect()
}

/// A stimulus by failures, with wrong envelopes in the place of those failures whose messages are in some; `None`: none are.
pub(super) fn forged(plan: &LanePlan, stimulus: &Stimulus) -> Option<Stimulus> {
    let links = plan.devices.iter().filter_map(|device| match &device.link {
        LinkPlan::Mqtt(mqtt) => Some(&mqtt.subscriptions),
        LinkPlan::Modbus(_) | LinkPlan::Analyzer(_) => None,
    });
    let topics: Vec<_> = links
        .flatten()
        .filter(|topic| topic.envelope.is_some())
        .collect();
    let is_wrapped = |tag: TagId| {
        let mut fields = topics.iter().flat_map(|topic| &topic.fields);
        fields.any(|field| field.tag == tag)
    };
    let mut forged = stimulus.clone();
    let mut any = false;
    for (tag, act) in &mut forged.inputs {
        if *act == Do::Fail && is_wrapped(*tag) {
            *act = Do::Forge;
            any = true;
        }
    }
    any.then_some(forged)
}

/// The codec of each tag.
pub(super) fn codecs(plan: &LanePlan) -> Vec<Option<ValueCodec>> {
    let mut codecs = vec![None; plan.tags.len()];
    for device in &plan.devices {
        match &device.link {
            LinkPlan::Modbus(modbus) => {
                for point in &modbus.points {
                    if let Some(codec) = codecs.get_mut(usize::from(point.tag.0)) {
                        *codec = Some(point.codec);
                    }
                }
            }
            LinkPlan::Analyzer(_) => {}
            LinkPlan::Mqtt(mqtt) => {
                for field in mqtt.subscriptions.iter().flat_map(|topic| &topic.fields) {
                    if let Some(codec) = codecs.get_mut(usize::from(field.tag.0)) {
                        // A number in text is not bound by a storage type.
                        let text = !matches!(field.extract, ExtractPlan::Binary { .. });
                        let kind = match field.codec.kind {
                            ValueType::Bool => ValueType::Bool,
                            _ if text => ValueType::F64,
                            kind => kind,
                        };
                        *codec = Some(ValueCodec {
                            kind,
                            ..field.codec
                        });
                    }
                }
            }
        }
    }
    codecs
}

/// The tags that these programs read, by themselves, through windows, ages or qualities.
pub(crate) fn inputs_of(plan: &LanePlan, programs: &[Program]) -> BTreeSet<usize> {
    let mut inputs = BTreeSet::new();
    for op in programs.iter().flat_map(Program::ops) {
        if let Op::Slot(slot) | Op::SlotBool(slot) = op
            && let Some(tag) = tag_of_slot(plan, *slot as usize)
        {
            inputs.insert(tag);
        }
    }
    inputs
}

pub(super) fn tag_of_slot(plan: &LanePlan, slot: usize) -> Option<usize> {
    let tags = plan.tags.len();
    if slot < tags {
        return Some(slot);
    }
    let windows = plan.windows.iter().map(|window| window.tag);
    let more = windows
        .chain(plan.ages.iter().copied())
        .chain(plan.qualities.iter().copied());
    more.map(|tag| usize::from(tag.0)).nth(slot - tags)
}

pub(super) fn readers(plan: &LanePlan) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); plan.tags.len()];
    for (index, rule) in plan.rules.iter().enumerate() {
        for tag in inputs_of(plan, &rule.programs) {
            if let Some(readers) = readers.get_mut(tag) {
                readers.push(index);
            }
        }
    }
    readers
}
