//! The condition of a rule: compiled, and what it reads.

use drivers_frame::DurNs;
use rt_config::limits::WINDOW_SAMPLES_MAX;
use rules_expr::{Compiled, DeadBand, Input, parse_quantity};

use super::expression::{self, Place};
use super::model::{CHANNEL, Device, Link, Tag, Voting, of_channel};
use super::rules::World;
use crate::finding::Code;
use crate::limits::{CONTINUOUS_PERIOD_NS, MQTT_PERIOD_NS};
use crate::raw;
use crate::read::Cx;

/// Compiles `when` with the dead band, once more with the multiplied set point, and looks at what it reads.
pub(super) fn condition(
    raw: &raw::Rule,
    voting: Option<usize>,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<(Compiled, Option<Compiled>)> {
    let dead_band = match raw.dead_band.as_ref() {
        None if raw.has("dead_band") => return None,
        None => None,
        Some(written) => Some(dead_band(written, cx)?),
    };
    let when = raw.when.get()?;
    let multiplier = raw.multiplier.as_ref();
    let factor = multiplier.and_then(|multiplier| multiplier.factor.get());
    let place = Place {
        when,
        dead_band: raw.dead_band.as_ref().map(|band| &band.span),
        multiplier: factor.map(|factor| &factor.span),
    };
    let voting = voting.and_then(|voting| world.votings.get(voting));
    let channel = voting.and_then(|voting| voting.channels.first()).copied();
    world.names.begin(cx.findings.worth_suggesting(), channel);
    let compiled = match rules_expr::compile(when.text.as_str(), world.names, dead_band.clone()) {
        Ok(compiled) => compiled,
        Err(errors) => {
            if !world.names.touched_broken() {
                expression::report_errors(&errors, &place, world.names, cx);
            }
            return None;
        }
    };
    if let Some(voting) = voting
        && !world.names.read_channel()
    {
        cx.findings
            .error(
                Code::BadChannel,
                &when.span,
                format!("the rule has a voting, but its condition does not say `{CHANNEL}`"),
                format!(
                    "write `{CHANNEL}` where the tag of each channel of `{}` belongs: `when: {CHANNEL} > 90 degC`",
                    voting.name
                ),
            )
            .label("the same for every channel");
        return None;
    }
    if compiled.inputs().is_empty() {
        cx.findings
            .error(
                Code::ConstantRule,
                &when.span,
                "the condition depends on no tag, so it is always true or always false",
                "compare a tag with a set point, such as `press.temperature > 80 degC`",
            )
            .label("never changes");
        return None;
    }
    expression::report_warnings(compiled.warnings(), &place, cx);
    judge_windows(&compiled, voting, when, world, cx);
    let Some(factor) = factor else {
        return Some((compiled, None));
    };
    match rules_expr::compile_raised(when.text.as_str(), world.names, dead_band, factor.value) {
        Ok(raised) => Some((compiled, Some(raised))),
        Err(errors) => {
            expression::report_errors(&errors, &place, world.names, cx);
            None
        }
    }
}

fn dead_band(written: &crate::scalar::Quantity, cx: &mut Cx<'_, '_>) -> Option<DeadBand> {
    let (message, help) = match parse_quantity(&written.text) {
        Ok((value, unit)) if value > 0.0 => return Some(DeadBand { value, unit }),
        Ok(_) => (
            "a dead band is greater than zero".to_owned(),
            "write how far the value must come back, such as `0.5 mm/s`, or remove `dead_band`"
                .to_owned(),
        ),
        Err(cause) => super::split_help(&cause.to_string()),
    };
    cx.findings
        .error(Code::BadDeadBand, &written.span, message, help);
    None
}

/// Shortest time between two samples of a tag. `None` when its device is not known.
pub(crate) fn sample_period_ns(tag: &Tag, devices: &[Device]) -> Option<u64> {
    match devices.get(tag.device?)?.link.as_ref()? {
        Link::Modbus(modbus) => Some(modbus.poll_ns.unwrap_or(CONTINUOUS_PERIOD_NS)),
        Link::Mqtt(_) => Some(MQTT_PERIOD_NS),
        Link::Analyzer(analyzer) => Some(analyzer.period_ns),
    }
}

/// A window must hold its samples, and at least two of them.
fn judge_windows(
    compiled: &Compiled,
    voting: Option<&Voting>,
    when: &crate::scalar::Expression,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) {
    let own = compiled
        .inputs()
        .iter()
        .filter(|input| input.tag() != CHANNEL);
    let channels = voting.map_or(&[][..], |voting| &voting.channels);
    let names = channels.iter().filter_map(|tag| world.tags.get(*tag));
    let of_channels = names.flat_map(|tag| {
        let inputs = compiled.inputs().iter();
        let inputs = inputs.filter(|input| input.tag() == CHANNEL);
        inputs.map(|input| of_channel(input, &tag.name))
    });
    for input in &own.cloned().chain(of_channels).collect::<Vec<_>>() {
        let Input::Window {
            function,
            tag: name,
            span_ns,
        } = input
        else {
            continue;
        };
        let Some(tag) = world
            .names
            .tag_index(name)
            .and_then(|index| world.tags.get(index))
        else {
            continue;
        };
        let Some(period) = sample_period_ns(tag, world.devices).filter(|period| *period > 0) else {
            continue;
        };
        let samples = span_ns / period;
        let most = u64::try_from(WINDOW_SAMPLES_MAX).unwrap_or(u64::MAX);
        let shown = format!(
            "{}({name}, {})",
            function.as_str(),
            DurNs::from_ns(*span_ns)
        );
        let every = DurNs::from_ns(period);
        if samples > most {
            let longest = DurNs::from_ns(period.saturating_mul(most));
            let slower = DurNs::from_ns((span_ns / most).saturating_add(1).next_multiple_of(1_000));
            cx.findings
                .error(
                    Code::WindowTooLong,
                    &when.span,
                    format!("`{shown}` holds {samples} samples (one every {every}); at most {most} are kept"),
                    format!("shorten the window to {longest}, or read the device no faster than every {slower}"),
                )
                .label("window too long");
        } else if samples == 0 {
            cx.findings
                .warning(
                    Code::ExpressionLint,
                    &when.span,
                    format!("`{shown}` is shorter than the time between two samples, {every}"),
                    format!(
                        "make the window several times as long, such as {}",
                        DurNs::from_ns(period.saturating_mul(10))
                    ),
                )
                .label("window too short");
        }
    }
}
