//! Modules, waveforms and analyzers of a decoded plan.

use std::collections::HashSet;

use drivers_frame::SampleKind;
use drivers_frame::block::SequenceType;
use rt_config::limits;
use rules_sdk_abi::SampleFormat;

use super::{Lookup, PlanError, at_most};
use crate::plan::{
    AnalyzerClass, AnalyzerPlan, LinkPlan, ModulePlan, Plan, ReplayPlan, Table, Trigger,
    WaveformPlan, WaveformSource,
};

/// What the whole pack shares.
pub(super) fn check_modules(plan: &Plan) -> Result<(), PlanError> {
    at_most("modules", plan.modules.len(), limits::MODULES_MAX)?;
    at_most("blocks", plan.blocks.len(), limits::ANALYZERS_MAX)?;
    at_most(
        "analyzers",
        plan.lanes
            .iter()
            .map(|lane| lane.analyzers().count())
            .sum::<usize>(),
        limits::ANALYZERS_MAX,
    )?;
    at_most(
        "waveforms",
        plan.lanes
            .iter()
            .map(|lane| lane.waveforms.len())
            .sum::<usize>(),
        limits::WAVEFORMS_MAX,
    )?;
    for bytes in &plan.blocks {
        at_most(
            "bytes of a block",
            usize::try_from(*bytes).unwrap_or(usize::MAX),
            limits::WAVEFORM_PAYLOAD_BYTES_MAX,
        )?;
    }
    plan.modules.iter().try_for_each(check_module)
}

fn check_module(module: &ModulePlan) -> Result<(), PlanError> {
    let valid = |valid: bool, what: &str| {
        if valid {
            return Ok(());
        }
        Err(PlanError::Module {
            module: module.name.clone(),
            what: what.to_owned(),
        })
    };
    for count in [module.params, module.inputs, module.outputs] {
        at_most(
            "inputs, outputs or parameters of a module",
            usize::from(count),
            limits::ANALYZER_ENTRIES_MAX,
        )?;
    }
    at_most(
        "causes of a module",
        module.causes.len(),
        limits::ANALYZER_ENTRIES_MAX,
    )?;
    valid(!module.name.is_empty(), "it has no name")?;
    valid(
        module.outputs > 0 && (module.inputs > 0 || module.waveform.is_some()),
        "it looks at nothing, or derives nothing",
    )?;
    valid(
        module.waveform.is_none_or(|waveform| {
            waveform.samples_min > 0
                && waveform.samples_min <= waveform.samples_max
                && waveform.samples_max <= limits::WAVEFORM_SAMPLES_MAX
        }),
        "its waveform has an impossible length",
    )?;
    at_most(
        "bytes of a module's memory",
        usize::try_from(module.memory_bytes).unwrap_or(usize::MAX),
        limits::ANALYZER_MEMORY_BYTES_MAX,
    )?;
    valid(
        module
            .layout()
            .is_some_and(|layout| layout.bytes <= module.memory_bytes),
        "its exchange area does not fit its memory",
    )
}

pub(super) fn check_waveforms(look: &Lookup<'_>) -> Result<(), PlanError> {
    for waveform in &look.lane.waveforms {
        check_waveform(look, waveform)?;
    }
    Ok(())
}

fn check_waveform(look: &Lookup<'_>, waveform: &WaveformPlan) -> Result<(), PlanError> {
    let name = waveform.name.as_str();
    let device = usize::from(waveform.device.0);
    look.index(
        || format!("the device of waveform {name}"),
        device,
        look.lane.devices.len(),
    )?;
    look.value(
        waveform.samples > 0
            && waveform.samples <= limits::WAVEFORM_SAMPLES_MAX
            && waveform.rate_hz > 0.0
            && waveform.rate_hz <= limits::WAVEFORM_RATE_MAX_HZ,
        || format!("waveform {name} has an impossible length or rate"),
    )?;
    look.value(is_scaling(waveform.scale, waveform.offset), || {
        format!("the scale of waveform {name} cannot be")
    })?;
    look.value(
        waveform.stale_after.as_ns() > 0 && waveform.period.is_none_or(|period| period.as_ns() > 0),
        || format!("waveform {name} is always stale, or arrives without end"),
    )?;
    let link = look.lane.devices.get(device).map(|device| &device.link);
    match &waveform.source {
        WaveformSource::Mqtt {
            topic,
            qos,
            first,
            sequence,
            ..
        } => {
            look.value(matches!(link, Some(LinkPlan::Mqtt(_))), || {
                format!("waveform {name} is a topic, its device is no broker")
            })?;
            at_most(
                "bytes of a topic",
                topic.len(),
                limits::MQTT_TOPIC_BYTES_MAX,
            )?;
            look.value(*qos <= 1 && !topic.is_empty(), || {
                format!("the topic of waveform {name} cannot be")
            })?;
            look.value(
                *first <= limits::WAVEFORM_HEADER_BYTES_MAX
                    && sequence.is_none_or(|sequence| {
                        usize::try_from(sequence.at)
                            .unwrap_or(usize::MAX)
                            .saturating_add(sequence.width.bytes())
                            <= usize::try_from(*first).unwrap_or(0)
                    }),
                || format!("the header of waveform {name} reaches into its samples"),
            )
        }
        WaveformSource::Modbus {
            table,
            address,
            sequence,
            sequence_width,
            ..
        } => {
            look.value(matches!(link, Some(LinkPlan::Modbus(_))), || {
                format!("waveform {name} is a window of registers, its device has none")
            })?;
            let end = u32::from(*address).saturating_add(waveform.registers());
            let number = u32::from(*sequence);
            let last = match sequence_width {
                SequenceType::U16 => Some(number),
                SequenceType::U32 => Some(number.saturating_add(1)),
                SequenceType::U64 => Some(number.saturating_add(3)),
                SequenceType::U8 => None,
            };
            look.value(
                matches!(table, Table::Holding | Table::Input)
                    && end <= 0x1_0000
                    && last.is_some_and(|last| {
                        last < 0x1_0000 && (last < u32::from(*address) || number >= end)
                    }),
                || format!("the window of waveform {name} cannot be"),
            )
        }
    }
}

fn is_scaling(scale: f64, offset: f64) -> bool {
    scale.is_finite() && scale.abs() > 0.0 && offset.is_finite()
}

/// The analyzer of the device at `index`.
pub(super) fn check_analyzer(
    look: &Lookup<'_>,
    plan: &Plan,
    index: usize,
    name: &str,
    analyzer: &AnalyzerPlan,
) -> Result<(), PlanError> {
    look.index(
        || format!("the module of analyzer {name}"),
        usize::from(analyzer.module),
        plan.modules.len(),
    )?;
    let Some(module) = plan.modules.get(usize::from(analyzer.module)) else {
        return Ok(());
    };
    look.value(
        analyzer.inputs.len() == usize::from(module.inputs)
            && analyzer.outputs.len() == usize::from(module.outputs)
            && analyzer.params.len() == usize::from(module.params)
            && analyzer.waveform.is_some() == module.waveform.is_some(),
        || format!("analyzer {name} is not wired as its module {}", module.name),
    )?;
    look.value(
        analyzer.params.iter().all(|value| value.is_finite()),
        || format!("a parameter of analyzer {name} is no number"),
    )?;
    check_outputs(look, index, name, analyzer)?;
    check_inputs(look, index, name, analyzer)?;
    check_waveform_use(look, name, analyzer, module)?;
    check_bounds(look, name, analyzer)?;
    check_replay(look, name, analyzer, module)?;
    check_canary(look, plan, name, analyzer, module)
}

/// The tags of the device are its outputs, its verdict and its cause, each once.
fn check_outputs(
    look: &Lookup<'_>,
    index: usize,
    name: &str,
    analyzer: &AnalyzerPlan,
) -> Result<(), PlanError> {
    let mut own = HashSet::new();
    let outputs = analyzer.outputs.iter().map(|output| output.tag);
    for tag in outputs.chain([analyzer.verdict, analyzer.cause]) {
        look.index(
            || format!("an output of analyzer {name}"),
            usize::from(tag.0),
            look.lane.tags.len(),
        )?;
        let device = look.lane.tags.get(usize::from(tag.0)).map(|tag| tag.device);
        look.value(
            device.is_some_and(|device| usize::from(device.0) == index) && own.insert(tag),
            || format!("an output of analyzer {name} is not a tag of its own"),
        )?;
    }
    let tags = look.lane.tags.iter();
    let tags = tags.filter(|tag| usize::from(tag.device.0) == index);
    look.value(tags.count() == own.len(), || {
        format!("analyzer {name} has a tag that it does not derive")
    })?;
    look.value(
        analyzer.outputs.iter().all(|output| {
            output.min.is_finite() && output.max.is_finite() && output.min <= output.max
        }),
        || format!("the range of an output of analyzer {name} cannot be"),
    )
}

/// It reads drivers' tags, and what earlier analyzers derived: so there is no circle.
fn check_inputs(
    look: &Lookup<'_>,
    index: usize,
    name: &str,
    analyzer: &AnalyzerPlan,
) -> Result<(), PlanError> {
    for input in &analyzer.inputs {
        look.index(
            || format!("an input of analyzer {name}"),
            usize::from(input.tag.0),
            look.lane.tags.len(),
        )?;
        look.value(is_scaling(input.scale, input.offset), || {
            format!("the scale of an input of analyzer {name} cannot be")
        })?;
        let tag = look.lane.tags.get(usize::from(input.tag.0));
        let device = tag.map(|tag| usize::from(tag.device.0));
        let link = device.and_then(|device| look.lane.devices.get(device));
        let Some(LinkPlan::Analyzer(source)) = link.map(|device| &device.link) else {
            continue;
        };
        look.value(device.is_some_and(|device| device < index), || {
            format!("analyzer {name} reads what a later one derives")
        })?;
        look.value(
            analyzer.class == AnalyzerClass::Background || source.class == AnalyzerClass::Safety,
            || format!("analyzer {name} is of class safety and reads one of class background"),
        )?;
    }
    Ok(())
}

fn check_waveform_use(
    look: &Lookup<'_>,
    name: &str,
    analyzer: &AnalyzerPlan,
    module: &ModulePlan,
) -> Result<(), PlanError> {
    let (Some(used), Some(room)) = (analyzer.waveform, module.waveform) else {
        return Ok(());
    };
    look.index(
        || format!("the waveform of analyzer {name}"),
        usize::from(used.index.0),
        look.lane.waveforms.len(),
    )?;
    look.value(is_scaling(used.scale, used.offset), || {
        format!("the scale of the waveform of analyzer {name} cannot be")
    })?;
    let waveform = look.lane.waveforms.get(usize::from(used.index.0));
    look.value(
        waveform.is_some_and(|waveform| {
            (room.samples_min..=room.samples_max).contains(&waveform.samples)
                && (room.format == SampleFormat::F32 || waveform.format == SampleKind::I16)
        }),
        || format!("the waveform of analyzer {name} does not fit its module"),
    )
}

fn check_bounds(look: &Lookup<'_>, name: &str, analyzer: &AnalyzerPlan) -> Result<(), PlanError> {
    let ms = drivers_frame::DurNs::from_ms;
    look.value(
        analyzer.fuel > 0 && analyzer.fuel <= limits::ANALYZER_FUEL_MAX,
        || format!("analyzer {name} has no fuel, or too much"),
    )?;
    look.value(
        analyzer.deadline.as_ns() > 0 && analyzer.deadline <= ms(limits::ANALYZER_DEADLINE_MAX_MS),
        || format!("analyzer {name} has no time, or too much"),
    )?;
    look.value(
        match analyzer.trigger {
            Trigger::News => true,
            Trigger::Every(period) => period.as_ns() > 0,
        },
        || format!("analyzer {name} is called without end"),
    )?;
    look.value(analyzer.spares <= limits::ANALYZER_SPARES_MAX, || {
        format!("analyzer {name} has too many spares")
    })?;
    look.value(
        analyzer.flap.is_none_or(|flap| {
            flap.changes > 0
                && flap.changes <= limits::ANALYZER_FLAPS_MAX
                && flap.within.as_ns() > 0
        }),
        || format!("the flap limit of analyzer {name} cannot be"),
    )
}

fn check_replay(
    look: &Lookup<'_>,
    name: &str,
    analyzer: &AnalyzerPlan,
    module: &ModulePlan,
) -> Result<(), PlanError> {
    let Some(replay) = &analyzer.replay else {
        return Ok(());
    };
    let every_min = drivers_frame::DurNs::from_ms(limits::REPLAY_EVERY_MIN_MS);
    look.value(
        replay.every >= every_min
            && replay.within.as_ns() > 0
            && replay.within <= replay.every
            && replay.calls > 0
            && replay.calls <= limits::ANALYZER_REMEMBERS_MAX,
        || format!("the replay of analyzer {name} cannot be"),
    )?;
    let samples = analyzer
        .waveform
        .and_then(|used| look.lane.waveforms.get(usize::from(used.index.0)))
        .map(|waveform| waveform.samples);
    let block = module.waveform.map(|waveform| waveform.format).zip(samples);
    let bytes = ReplayPlan::bytes(u64::from(replay.calls), analyzer.inputs.len(), block);
    look.value(bytes <= limits::ANALYZER_RECORD_BYTES_MAX, || {
        format!("the replay of analyzer {name} takes too much memory")
    })
}

fn check_canary(
    look: &Lookup<'_>,
    plan: &Plan,
    name: &str,
    analyzer: &AnalyzerPlan,
    module: &ModulePlan,
) -> Result<(), PlanError> {
    let Some(canary) = &analyzer.canary else {
        return Ok(());
    };
    let every_min = drivers_frame::DurNs::from_ms(limits::CANARY_EVERY_MIN_MS);
    look.value(
        canary.every >= every_min
            && canary.within.as_ns() > 0
            && canary.within <= canary.every
            && canary.frames > 0
            && canary.frames <= limits::CANARY_FRAMES_MAX,
        || format!("the times of the canary of analyzer {name} cannot be"),
    )?;
    look.value(
        canary.inputs.len() == usize::from(module.inputs)
            && canary.inputs.iter().all(|value| value.is_finite())
            && canary.block.is_some() == module.waveform.is_some(),
        || format!("the canary of analyzer {name} is not what its module takes"),
    )?;
    let (Some(block), Some(room)) = (canary.block, module.waveform) else {
        return Ok(());
    };
    look.index(
        || format!("the canary's block of analyzer {name}"),
        usize::from(block),
        plan.blocks.len(),
    )?;
    let bytes = plan.blocks.get(usize::from(block)).copied().unwrap_or(0);
    let size = room.format.bytes();
    look.value(
        bytes.is_multiple_of(size)
            && (room.samples_min..=room.samples_max).contains(&(bytes / size)),
        || format!("the canary's block of analyzer {name} does not fit its module"),
    )
}
