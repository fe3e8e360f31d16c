//! Analyzers: wired to their modules, their outputs made tags of a device of their own.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use drivers_frame::{DurNs, TagId};
use rt_config::limits::{ANALYZER_DEADLINE_MAX_MS, ANALYZER_FUEL_MAX, ANALYZERS_MAX, DEVICES_MAX};
use rules_bundle::{
    AnalyzerClass, AnalyzerInput, AnalyzerOutput, AnalyzerPlan, FailureVerdict, FlapLimit,
    InputChecks, Reintegration, Trigger, VerdictAfter, WaveformUse,
};
use rules_expr::Unit;
use rules_sdk_abi::metadata::Metadata;

use super::condition::sample_period_ns;
use super::model::{AnalyzerLink, Device, Lane, Link, Tag, Waveform};
use super::modules::Modules;
use super::replay::{self, Kept};
use super::text::{check_name, positive};
use super::wiring::{inputs, params, units, waveform};
use super::{at_most, canary, ns};
use crate::beside::Beside;
use crate::finding::Code;
use crate::raw::{self, ClassWord, FailureWord, LevelWord, VerdictRule};
use crate::read::{Cx, Map, Named, Span};

/// What analyzers are checked in. Devices and tags grow by theirs.
pub(super) struct World<'w> {
    pub(super) lanes: &'w [Lane],
    pub(super) devices: &'w mut Vec<Device>,
    pub(super) tags: &'w mut Vec<Tag>,
    pub(super) waveforms: &'w [Waveform],
    pub(super) modules: &'w mut Modules,
    pub(super) beside: &'w dyn Beside,
}

/// What analyzers add to rules and names.
#[derive(Default)]
pub(super) struct Added {
    /// What their verdicts cause.
    pub(super) rules: Vec<raw::Rule>,
    /// Names of those that are wrong: whatever begins with one is not judged.
    pub(super) broken: Vec<String>,
}

/// The analyzers around the one that is looked at.
#[derive(Clone, Copy)]
pub(super) struct Others<'o> {
    /// It and those behind it, in the order of the pack.
    pub(super) later: &'o [&'o str],
    /// Those before it that are wrong: what they would derive is not known.
    pub(super) broken: &'o [String],
}

/// Checks the analyzers, in the order of the pack.
pub(super) fn analyzers(
    map: Option<&Map<raw::Analyzer>>,
    world: &mut World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Added {
    let mut added = Added::default();
    let Some(map) = map else { return added };
    at_most("analyzers", map.entries.len(), ANALYZERS_MAX, &map.at, cx);
    let both = world.devices.len().saturating_add(map.entries.len());
    at_most("devices and analyzers", both, DEVICES_MAX, &map.at, cx);
    let order: Vec<&str> = map
        .entries
        .iter()
        .map(|named| named.name.as_str())
        .collect();
    for (position, named) in map.entries.iter().enumerate().take(ANALYZERS_MAX) {
        let before = cx.findings.errors();
        check_name("analyzer", &named.name, &named.span, cx);
        if cx.findings.errors() > before {
            added.broken.push(named.name.clone());
            continue;
        }
        if let Some(device) = world
            .devices
            .iter()
            .find(|device| device.name == named.name)
        {
            let line = cx.findings.line_of(&device.span);
            cx.findings
                .error(
                    Code::NameTaken,
                    &named.span,
                    format!("`{}` is an analyzer and also a device", named.name),
                    "rename one of them; the status page could not tell which is meant",
                )
                .label("name taken")
                .note(format!("the device is in line {line}"));
            added.broken.push(named.name.clone());
            continue;
        }
        let later = order.get(position..).unwrap_or_default();
        let others = Others {
            later,
            broken: &added.broken,
        };
        match analyzer(named, others, world, cx) {
            Some(()) => {
                let raw = named.value.as_ref();
                let verdict = raw.and_then(|raw| raw.verdict.as_ref());
                let rule = |level| VerdictRule::rule(verdict, &named.name, level, &named.span);
                added.rules.push(rule(LevelWord::Alert));
                if verdict.is_some_and(|verdict| verdict.stops.is_some()) {
                    added.rules.push(rule(LevelWord::Danger));
                } else if let Some(span) = verdict.and_then(|verdict| verdict.key_span("deadline"))
                {
                    cx.findings.error(
                        Code::DeadlineMissing,
                        span,
                        "a deadline is the promise of a stop, and this verdict stops nothing",
                        "name what its danger stops, `stops: [output]`, or remove `deadline`",
                    );
                }
            }
            None => added.broken.push(named.name.clone()),
        }
    }
    added
}

fn analyzer(
    named: &Named<raw::Analyzer>,
    others: Others<'_>,
    world: &mut World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<()> {
    let raw = named.value.as_ref()?;
    let path = raw.module.get()?;
    let module = world.modules.module(path, world.beside, cx)?;
    let metadata = world.modules.metadata(module)?.clone();
    let before = cx.findings.errors();
    let class = raw.class.get().copied();
    let inputs = inputs(raw, &metadata, class, others, world, cx);
    let waveform = waveform(raw, &metadata, world, cx);
    let params = params(raw, &metadata, cx);
    let canary = raw
        .canary
        .as_ref()
        .map(|canary| canary::canary(canary, &metadata, world.modules, world.beside, cx));
    let bounds = bounds(raw, &metadata, cx);
    let format = metadata.waveform.as_ref().map(|waveform| waveform.format);
    let units = units(&metadata, path, cx);
    if cx.findings.errors() > before {
        return None;
    }
    let (class, inputs, waveform, params, bounds) = (class?, inputs?, waveform?, params?, bounds?);
    let canary = match canary {
        Some(canary) => Some(canary?),
        None => None,
    };
    let lane = lane_of(raw, named, &inputs, waveform, world, cx)?;
    let own_stale = positive("stale_after", raw.stale_after.as_ref(), 0, cx);
    let (period_ns, stale_ns) = times(&inputs, waveform, &bounds, own_stale, world);
    let replay = match &raw.replay {
        None => None,
        Some(raw) => {
            let samples = waveform
                .and_then(|used| world.waveforms.get(usize::from(used.index.0)))
                .and_then(|waveform| waveform.plan.as_ref())
                .map(|waveform| waveform.samples);
            let kept = Kept {
                inputs: inputs.len(),
                block: format.zip(samples),
                period_ns,
            };
            Some(replay::replay(raw, &metadata, &params, &kept, cx)?)
        }
    };
    let device = world.devices.len();
    let first = world.tags.len();
    let mut tag = |name: &str, unit: &Unit, lasting: u64| {
        world.tags.push(Tag {
            name: format!("{}.{}", named.name, name.replace('-', "_")),
            span: named.span.clone(),
            device: Some(device),
            place: None,
            codec: None,
            unit: Some(unit.clone()),
            is_bool: false,
            known: true,
            stale_after_ns: lasting,
            checks: InputChecks::default(),
            reintegration: Reintegration::After(DurNs::ZERO),
            period: None,
            envelope: None,
            // What a module derives is there whether or not somebody looks at it.
            used: Cell::new(true),
        });
    };
    for (output, unit) in metadata.outputs.iter().zip(&units?) {
        tag(&output.name, unit, stale_ns);
    }
    tag("verdict", &Unit::ONE, stale_ns);
    tag("cause", &Unit::ONE, stale_ns);
    names_are_free(named, first, world, cx)?;
    let id = |offset: usize| {
        let index = first.saturating_add(offset);
        u16::try_from(index).map_or(TagId(u16::MAX), TagId)
    };
    let outputs = metadata.outputs.iter().enumerate();
    let outputs: Vec<AnalyzerOutput> = outputs
        .map(|(offset, output)| AnalyzerOutput {
            tag: id(offset),
            min: output.min,
            max: output.max,
        })
        .collect();
    let plan = AnalyzerPlan {
        module: u16::try_from(module).ok()?,
        class: class_of(class),
        inputs,
        waveform,
        verdict: id(outputs.len()),
        cause: id(outputs.len().saturating_add(1)),
        outputs,
        verdict_after: metadata.waits(&params).map(|waits| VerdictAfter {
            calls: waits.calls,
            samples: waits.samples,
        }),
        params,
        fuel: bounds.fuel,
        deadline: bounds.deadline,
        trigger: bounds.trigger,
        on_failure: match (raw.on_failure, class) {
            (Some(FailureWord::Trip), _) | (None, ClassWord::Safety) => FailureVerdict::Trip,
            (Some(FailureWord::Alarm), _) | (None, ClassWord::Background) => FailureVerdict::Alarm,
        },
        spares: raw.spares.as_ref().map_or(1, |spares| spares.to()),
        flap: bounds.flap,
        canary,
        replay,
    };
    world.devices.push(Device {
        name: named.name.clone(),
        span: named.span.clone(),
        lane: Some(lane),
        link: Some(Link::Analyzer(Box::new(AnalyzerLink {
            plan,
            period_ns,
            class_span: raw.key_span("class").unwrap_or(&named.span).clone(),
        }))),
        used: true,
    });
    Some(())
}

const fn class_of(word: ClassWord) -> AnalyzerClass {
    match word {
        ClassWord::Safety => AnalyzerClass::Safety,
        ClassWord::Background => AnalyzerClass::Background,
    }
}

/// What bounds an analyzer.
struct Bounds {
    fuel: u64,
    deadline: DurNs,
    trigger: Trigger,
    flap: Option<FlapLimit>,
}

fn bounds(raw: &raw::Analyzer, module: &Metadata, cx: &mut Cx<'_, '_>) -> Option<Bounds> {
    let least = module.worst_case.fuel;
    let fuel = match (&raw.fuel, raw.has("fuel")) {
        (Some(fuel), _) => {
            let given = u64::try_from(fuel.value).unwrap_or(0);
            if given < least {
                cx.findings
                    .error(
                        Code::AnalyzerBounds,
                        &fuel.span,
                        format!(
                            "the author of `{}` says that a call takes up to {least} fuel, {given} are given",
                            module.name
                        ),
                        format!("write at least `fuel: {least}`, or leave `fuel` out"),
                    )
                    .label("too little");
                return None;
            }
            given
        }
        (None, true) => return None,
        (None, false) => least,
    };
    if fuel > ANALYZER_FUEL_MAX {
        cx.findings.error(
            Code::AnalyzerBounds,
            &raw.at,
            format!(
                "the author of `{}` says that a call takes up to {fuel} fuel; at most {ANALYZER_FUEL_MAX} are allowed",
                module.name
            ),
            "choose a module that does less for one block",
        );
        return None;
    }
    let deadline = raw.deadline.get()?;
    let deadline_ns = positive("deadline", Some(deadline), 0, cx);
    let most = DurNs::from_ms(ANALYZER_DEADLINE_MAX_MS);
    if ns(deadline_ns) > most {
        cx.findings
            .error(
                Code::AnalyzerBounds,
                &deadline.span,
                format!("a call may take at most {most}"),
                "write the longest time that one call may take, such as `deadline: 5ms`",
            )
            .label("too long");
        return None;
    }
    let trigger = match (&raw.every, raw.has("every")) {
        (None, false) => Trigger::News,
        (None, true) => return None,
        (Some(every), _) => Trigger::Every(ns(positive("every", Some(every), 0, cx))),
    };
    let flap = match (&raw.flap, raw.has("flap")) {
        (None, false) => None,
        (None, true) => return None,
        (Some(flap), _) => Some(FlapLimit {
            changes: flap.changes.get()?.to(),
            within: ns(positive("within", flap.within.get(), 0, cx)),
        }),
    };
    Some(Bounds {
        fuel,
        deadline: ns(deadline_ns),
        trigger,
        flap,
    })
}

/// The one lane of everything that it reads.
fn lane_of(
    raw: &raw::Analyzer,
    named: &Named<raw::Analyzer>,
    inputs: &[AnalyzerInput],
    waveform: Option<WaveformUse>,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<usize> {
    let of_device = |device: Option<usize>| world.devices.get(device?)?.lane;
    let tags = inputs.iter().filter_map(|input| {
        let tag = world.tags.get(usize::from(input.tag.0))?;
        Some((tag.name.as_str(), of_device(tag.device)?))
    });
    let waveform = waveform.and_then(|used| {
        let waveform = world.waveforms.get(usize::from(used.index.0))?;
        Some((waveform.name.as_str(), of_device(waveform.device)?))
    });
    let mut found: Option<(&str, usize)> = None;
    for (name, lane) in tags.chain(waveform) {
        match found {
            Some((first, known)) if known != lane => {
                let lane_name =
                    |lane: usize| world.lanes.get(lane).map_or("?", |lane| lane.name.as_str());
                cx.findings
                    .error(
                        Code::TwoLanes,
                        raw.key_span("inputs").unwrap_or(&named.span),
                        format!(
                            "the analyzer reads two lanes: `{first}` belongs to `{}`, `{name}` to `{}`",
                            lane_name(known),
                            lane_name(lane)
                        ),
                        "put both devices in one lane: lanes share nothing, so that one cannot delay the other",
                    )
                    .label("spans two lanes");
                return None;
            }
            _ => found = Some((name, lane)),
        }
    }
    found.map(|(_, lane)| lane)
}

/// Shortest time between two results, and the age at which they are stale.
fn times(
    inputs: &[AnalyzerInput],
    waveform: Option<WaveformUse>,
    bounds: &Bounds,
    own_stale: u64,
    world: &World<'_>,
) -> (u64, u64) {
    let waveform = waveform
        .and_then(|used| world.waveforms.get(usize::from(used.index.0)))
        .and_then(|waveform| waveform.plan.as_ref());
    let tags = inputs
        .iter()
        .filter_map(|input| world.tags.get(usize::from(input.tag.0)));
    let every = match bounds.trigger {
        Trigger::News => None,
        Trigger::Every(period) => Some(period.as_ns()),
    };
    let fastest = tags
        .clone()
        .filter_map(|tag| sample_period_ns(tag, world.devices))
        .min();
    let period = every
        .or(waveform.map(|waveform| waveform.span().as_ns()))
        .or(fastest)
        .unwrap_or(crate::limits::CONTINUOUS_PERIOD_NS);
    if own_stale > 0 {
        return (period, own_stale);
    }
    let slowest = tags
        .map(|tag| tag.stale_after_ns)
        .chain(waveform.map(|waveform| waveform.stale_after.as_ns()))
        .max()
        .unwrap_or(0);
    let stale = slowest
        .saturating_add(every.unwrap_or(0))
        .saturating_add(bounds.deadline.as_ns());
    (period, stale)
}

/// Whether the tags from `first` on have names of their own.
fn names_are_free(
    named: &Named<raw::Analyzer>,
    first: usize,
    world: &mut World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<()> {
    let mut seen: HashMap<&str, &Span> = HashMap::new();
    let mut twice: HashSet<String> = HashSet::new();
    for (index, tag) in world.tags.iter().enumerate() {
        if index < first {
            seen.insert(&tag.name, &tag.span);
        } else if let Some(span) = seen.insert(&tag.name, &tag.span)
            && twice.insert(tag.name.clone())
        {
            let line = cx.findings.line_of(span);
            cx.findings
                .error(
                    Code::NameTaken,
                    &named.span,
                    format!("`{}` would be a tag twice: once as an output of this analyzer", tag.name),
                    "rename the analyzer or the other tag; in names of tags `-` of a module's output is written `_`",
                )
                .label("name taken")
                .note(format!("the other is in line {line}"));
        }
    }
    if twice.is_empty() {
        return Some(());
    }
    world.tags.truncate(first);
    None
}
