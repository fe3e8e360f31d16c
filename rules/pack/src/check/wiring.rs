//! What an analyzer is wired to: tags for its inputs, a waveform, parameters, each in the units of its module.

use drivers_frame::{SampleKind, TagId, WaveformId};
use rules_bundle::{AnalyzerClass, AnalyzerInput, WaveformUse};
use rules_expr::{Conversion, Unit, parse_quantity, parse_unit};
use rules_sdk_abi::SampleFormat;
use rules_sdk_abi::metadata::{self, Metadata};

use super::analyzers::{Others, World};
use super::model::Link;
use super::names::is_of;
use super::unknown_name;
use crate::finding::Code;
use crate::raw::{self, ClassWord};
use crate::read::{Cx, Map, Named, Span, list_of};
use crate::scalar::{Quantity, Text};

/// The entries of a mapping by the module's names, in the order of the metadata. Reports names that the module does not
/// have; `None` where the pack gives nothing.
pub(super) fn by_name<'r, T>(
    kind: &str,
    given: Option<&'r Map<T>>,
    known: &[&str],
    module: &Metadata,
    cx: &mut Cx<'_, '_>,
) -> Vec<Option<&'r Named<T>>> {
    let mut found: Vec<Option<&Named<T>>> = vec![None; known.len()];
    for entry in given.map_or(&[][..], |map| &map.entries) {
        let index = known.iter().position(|name| *name == entry.name);
        if let Some(slot) = index.and_then(|index| found.get_mut(index)) {
            *slot = Some(entry);
            continue;
        }
        let similar = crate::suggest::nearest(&entry.name, known.iter().copied());
        cx.findings
            .error(
                Code::BadAnalyzer,
                &entry.span,
                format!(
                    "the module `{}` has no {kind} called `{}`",
                    module.name,
                    crate::read::short(&entry.name)
                ),
                similar.map_or_else(
                    || {
                        if known.is_empty() {
                            "remove it: the module has none".to_owned()
                        } else {
                            format!("it has {}", list_of(known.iter().copied()))
                        }
                    },
                    |name| format!("did you mean `{name}`?"),
                ),
            )
            .label(format!(
                "not {} of the module",
                super::text::with_article(kind)
            ));
    }
    found
}

/// Reports what the pack does not give.
pub(super) fn missing(
    kind: &str,
    names: &[&str],
    help: impl Into<String>,
    module: &Metadata,
    at: &Span,
    cx: &mut Cx<'_, '_>,
) {
    if names.is_empty() {
        return;
    }
    let plural = if names.len() > 1 { "s" } else { "" };
    cx.findings
        .error(
            Code::BadAnalyzer,
            at,
            format!(
                "the module `{}` needs the {kind}{plural} {}",
                module.name,
                list_of(names.iter().copied())
            ),
            help,
        )
        .label("not given");
}

/// What is given of the module's inputs, by their places, and the names of those that are not.
pub(super) fn by_input<'r, 'm, T>(
    given: Option<&'r Map<T>>,
    module: &'m Metadata,
    cx: &mut Cx<'_, '_>,
) -> (Vec<Option<&'r Named<T>>>, Vec<&'m str>) {
    let inputs = module.inputs.iter();
    let known: Vec<&str> = inputs.map(|input| input.name.as_str()).collect();
    let given = by_name("input", given, &known, module, cx);
    let absent = known.iter().zip(&given);
    let absent = absent.filter(|(_, given)| given.is_none());
    let absent = absent.map(|(name, _)| *name).collect();
    (given, absent)
}

/// The tags that the module's inputs read, in its units.
pub(super) fn inputs(
    raw: &raw::Analyzer,
    module: &Metadata,
    class: Option<ClassWord>,
    others: Others<'_>,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<Vec<AnalyzerInput>> {
    if raw.has("inputs") && raw.inputs.is_none() {
        return None;
    }
    let (given, absent) = by_input(raw.inputs.as_ref(), module, cx);
    let at = raw.key_span("inputs").unwrap_or(&raw.at).clone();
    let example = absent.first().copied().unwrap_or_default();
    missing(
        "input",
        &absent,
        format!("name the tag of each: `inputs: {{ {example}: some.tag }}`"),
        module,
        &at,
        cx,
    );
    let wired = module.inputs.iter().zip(given);
    // Every one is looked at, so that all are reported.
    let wired: Vec<Option<AnalyzerInput>> = wired
        .map(|(input, given)| {
            let name = given?.value.as_ref()?;
            self::input(input, name, class, others, world, cx)
        })
        .collect();
    wired.into_iter().collect()
}

fn input(
    input: &metadata::Input,
    name: &Text,
    class: Option<ClassWord>,
    others: Others<'_>,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<AnalyzerInput> {
    let found = world.tags.iter().position(|tag| tag.name == name.value);
    let Some((index, tag)) = found.and_then(|index| Some((index, world.tags.get(index)?))) else {
        // That one is the finding: what it derives would be there, were it right.
        if others.broken.iter().any(|wrong| is_of(&name.value, wrong)) {
            return None;
        }
        let later = others.later;
        let of_later = later.iter().find(|analyzer| is_of(&name.value, analyzer));
        if let Some(analyzer) = of_later {
            let own = later.first() == Some(analyzer);
            cx.findings
                .error(
                    Code::AnalyzerOrder,
                    &name.span,
                    if own {
                        format!("`{analyzer}` reads what it derives itself")
                    } else {
                        format!("`{}` is derived by `{analyzer}`, which is declared later", name.value)
                    },
                    if own {
                        "an analyzer keeps what it wants to remember in its own memory; read another tag"
                    } else {
                        "analyzers run in the order of the pack: declare it first. Two that read each other are a circle, \
                         which nothing can run"
                    },
                )
                .label(if own { "its own output" } else { "declared later" });
            return None;
        }
        unknown_name(
            "tag",
            name,
            world.tags.iter().map(|tag| tag.name.as_str()),
            "under `tags`",
            cx,
        );
        return None;
    };
    tag.used.set(true);
    if !tag.known {
        return None;
    }
    let source = tag.device.and_then(|device| world.devices.get(device));
    if let Some(Link::Analyzer(source)) = source.and_then(|device| device.link.as_ref())
        && source.plan.class == AnalyzerClass::Background
        && class == Some(ClassWord::Safety)
    {
        cx.findings
            .error(
                Code::AnalyzerOrder,
                &name.span,
                format!("an analyzer of class safety cannot read `{}`, which is derived in the background", name.value),
                "give both the class `safety`, or this one the class `background`: what the background makes has no time \
                 promised",
            )
            .label("from the background");
        return None;
    }
    let from = if tag.is_bool {
        Unit::ONE
    } else {
        tag.unit.clone()?
    };
    let conversion = if input.unit == metadata::ANY_UNIT {
        Conversion::IDENTITY
    } else {
        convert(&from, &input.unit, "input", &input.name, &name.span, cx)?
    };
    Some(AnalyzerInput {
        tag: TagId(u16::try_from(index).ok()?),
        scale: conversion.multiplier / conversion.divisor,
        offset: conversion.summand,
    })
}

/// From a unit of the pack to one of the module.
fn convert(
    from: &Unit,
    to: &str,
    kind: &str,
    name: &str,
    span: &Span,
    cx: &mut Cx<'_, '_>,
) -> Option<Conversion> {
    let Some(unit) = parse_unit(to) else {
        cx.findings.error(
            Code::BadUnit,
            span,
            format!("the module wants its {kind} `{name}` in `{to}`, which is no unit here"),
            "ask its author for one of the units in docs/expressions.md; `\"1\"` is a plain number",
        );
        return None;
    };
    let conversion = from.conversion_to(&unit);
    if conversion.is_none() {
        cx.findings
            .error(
                Code::BadUnit,
                span,
                format!("the module wants its {kind} `{name}` in `{to}`, and this is in `{from}`"),
                "name a tag, waveform or value of the same quantity; units of one quantity are converted",
            )
            .label(format!("in `{from}`"));
    }
    conversion
}

/// The waveform and its scale in the module's unit. The outer `None`: something was wrong.
pub(super) fn waveform(
    raw: &raw::Analyzer,
    module: &Metadata,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<Option<WaveformUse>> {
    let (wanted, name) = match (&module.waveform, &raw.waveform) {
        (None, None) => return (!raw.has("waveform")).then_some(None),
        (None, Some(name)) => {
            cx.findings
                .error(
                    Code::BadAnalyzer,
                    &name.span,
                    format!("the module `{}` takes no waveform", module.name),
                    "remove `waveform`, or name another module",
                )
                .label("not taken");
            return None;
        }
        (Some(wanted), None) => {
            if !raw.has("waveform") {
                missing(
                    "waveform",
                    &[wanted.name.as_str()],
                    "name one of those under `waveforms`: `waveform: pump.vibration`",
                    module,
                    &raw.at,
                    cx,
                );
            }
            return None;
        }
        (Some(wanted), Some(name)) => (wanted, name),
    };
    let found = world
        .waveforms
        .iter()
        .position(|waveform| waveform.name == name.value);
    let Some((index, waveform)) =
        found.and_then(|index| Some((index, world.waveforms.get(index)?)))
    else {
        unknown_name(
            "waveform",
            name,
            world
                .waveforms
                .iter()
                .map(|waveform| waveform.name.as_str()),
            "under `waveforms`",
            cx,
        );
        return None;
    };
    waveform.used.set(true);
    let plan = waveform.plan.as_ref()?;
    let (min, max) = (wanted.samples_min, wanted.samples_max);
    if !(min..=max).contains(&plan.samples) {
        cx.findings
            .error(
                Code::BadAnalyzer,
                &name.span,
                format!(
                    "the module `{}` takes blocks of {min} to {max} samples, and those of `{}` have {}",
                    module.name, waveform.name, plan.samples
                ),
                "write another `samples` for the waveform if its source can send such blocks, or name another module",
            )
            .label("blocks of another length");
        return None;
    }
    if plan.format == SampleKind::F32 && wanted.format == SampleFormat::I16 {
        cx.findings
            .error(
                Code::BadAnalyzer,
                &name.span,
                format!(
                    "the module `{}` takes samples of i16 as a device stores them, and `{}` sends f32",
                    module.name, waveform.name
                ),
                "ask for a build of the module that takes f32: from i16 the host converts, to i16 it would lose",
            )
            .label("another format");
        return None;
    }
    let unit = waveform.unit.as_ref()?;
    let conversion = convert(unit, &wanted.unit, "waveform", &wanted.name, &name.span, cx)?;
    let factor = conversion.multiplier / conversion.divisor;
    Some(Some(WaveformUse {
        index: WaveformId(u16::try_from(index).ok()?),
        scale: plan.scale * factor,
        offset: plan.offset * factor + conversion.summand,
    }))
}

/// The parameters, in the module's units.
pub(super) fn params(
    raw: &raw::Analyzer,
    module: &Metadata,
    cx: &mut Cx<'_, '_>,
) -> Option<Vec<f64>> {
    if raw.has("params") && raw.params.is_none() {
        return None;
    }
    let known: Vec<&str> = module
        .params
        .iter()
        .map(|param| param.name.as_str())
        .collect();
    let given = by_name("parameter", raw.params.as_ref(), &known, module, cx);
    let absent: Vec<&str> = module
        .params
        .iter()
        .zip(&given)
        .filter(|(param, given)| given.is_none() && param.default.is_none())
        .map(|(param, _)| param.name.as_str())
        .collect();
    let at = raw.key_span("params").unwrap_or(&raw.at).clone();
    missing(
        "parameter",
        &absent,
        "give each a value under `params`, with its unit; `tripline analyzer inspect` shows their ranges",
        module,
        &at,
        cx,
    );
    let pairs = module.params.iter().zip(given);
    let values: Vec<Option<f64>> = pairs
        .map(|(param, given)| match given {
            None => param.default,
            Some(entry) => {
                let value = entry.value.as_ref()?;
                let number = in_unit(value, &param.unit, "parameter", &param.name, cx)?;
                if (param.min..=param.max).contains(&number) {
                    return Some(number);
                }
                cx.findings
                    .error(
                        Code::BadAnalyzer,
                        &value.span,
                        format!(
                            "`{}` of the module `{}` is {} to {} {}, not {}",
                            param.name,
                            module.name,
                            param.min,
                            param.max,
                            param.unit,
                            crate::read::short(&value.text)
                        ),
                        "write a value within the range that the module's author allows",
                    )
                    .label("out of range");
                None
            }
        })
        .collect();
    values.into_iter().collect()
}

/// A written value in a unit of the module.
pub(super) fn in_unit(
    value: &Quantity,
    unit: &str,
    kind: &str,
    name: &str,
    cx: &mut Cx<'_, '_>,
) -> Option<f64> {
    let (number, from) = match parse_quantity(&value.text) {
        Ok(read) => read,
        Err(cause) => {
            let (message, help) = super::split_help(&cause.to_string());
            cx.findings
                .error(Code::BadAnalyzer, &value.span, message, help);
            return None;
        }
    };
    if unit == metadata::ANY_UNIT {
        return Some(number);
    }
    let bare = from == Unit::ONE && !parse_unit(unit).is_some_and(|unit| unit.is_dimensionless());
    if bare && parse_unit(unit).is_some() {
        cx.findings
            .error(
                Code::BadUnit,
                &value.span,
                format!("the {kind} `{name}` is a quantity, and this is a plain number"),
                format!(
                    "write its unit: `{name}: {} {unit}`",
                    crate::read::short(&value.text)
                ),
            )
            .label("no unit");
        return None;
    }
    let conversion = convert(&from, unit, kind, name, &value.span, cx)?;
    let number = conversion.apply_to_literal(number);
    number.is_finite().then_some(number)
}

/// Units of the outputs.
pub(super) fn units(module: &Metadata, path: &Text, cx: &mut Cx<'_, '_>) -> Option<Vec<Unit>> {
    let unit = |output: &metadata::Output| {
        let unit = parse_unit(&output.unit);
        if unit.is_none() {
            cx.findings
                .error(
                    Code::BadUnit,
                    &path.span,
                    format!(
                        "the module `{}` gives `{}` in `{}`, which is no unit here",
                        module.name, output.name, output.unit
                    ),
                    "ask its author for one of the units in docs/expressions.md; `\"1\"` is a plain number",
                )
                .label("unknown unit");
        }
        unit
    };
    // Every one is looked at, so that all are reported.
    let units: Vec<Option<Unit>> = module.outputs.iter().map(unit).collect();
    units.into_iter().collect()
}
