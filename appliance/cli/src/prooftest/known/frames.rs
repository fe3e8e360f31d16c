//! Frames of one module, from a canary or from the cases beside it: values in the module's units, on their way back to
//! what its sources would have to send.

use std::sync::Arc;
use std::time::Duration;

use drivers_frame::{DurNs, TagId};
use rules_bundle::{AnalyzerPlan, LanePlan, Level, LinkPlan, Trigger, WaveformPlan, WaveformUse};
use rules_pack::module::{Case, Expected, Frame, InputValue};
use rules_sdk_abi::{Level as Said, SampleFormat};

use super::{Known, Module, Rest, wave_of};
use crate::analyzer::frames;
use crate::install::both;
use crate::prooftest::raw;
use crate::prooftest::rig::block_interval;
use crate::prooftest::scene::{Do, Moment, Piece, Play, Scene, Stimulus};
use crate::units::counted;

/// How often a source of plain values is taken to send, when its pack does not say.
const SENDS_EVERY: DurNs = DurNs::from_ms(50);

impl Known {
    /// The canary of an analyzer, where the pack declares that it must trip the rule. `Err` says why it cannot be used.
    pub(super) fn of_canary(
        &self,
        lane: &LanePlan,
        scene: &Scene<'_>,
        rule: usize,
        name: &str,
        analyzer: &AnalyzerPlan,
    ) -> Result<Option<Stimulus>, String> {
        let Some(canary) = &analyzer.canary else {
            return Err(format!("{name} has no canary"));
        };
        let Some(module) = self.modules.get(usize::from(analyzer.module)) else {
            return Ok(None);
        };
        if canary.expect != Level::Danger {
            return Err(format!("the canary of {name} is to say alert, not danger"));
        }
        if !scene.is_declared_true(rule, &[(analyzer.verdict, 2.0, 2.0)]) {
            return Err(format!(
                "the canary of {name} declares its verdict, which does not decide this rule"
            ));
        }
        let names = module.metadata.inputs.iter().map(|input| &input.name);
        let mut inputs = Vec::new();
        for ((name, input), value) in names.zip(&analyzer.inputs).zip(&canary.inputs) {
            inputs.push((input.tag, Do::Show(sent(lane, scene, name, input, *value)?)));
        }
        let waves = match (canary.block, wave_of(lane, analyzer), analyzer.waveform) {
            (Some(block), Some((index, wave)), Some(used)) => {
                let bytes = self.blocks.get(usize::from(block));
                let format = module.format();
                let values = bytes.map_or_else(Vec::new, |bytes| both::values(bytes, format));
                let pieces = vec![Piece {
                    raw: as_sent(&values, format, &used, wave)?,
                    blocks: u32::MAX,
                }];
                vec![(index, Play::Pieces(pieces))]
            }
            _ => Vec::new(),
        };
        let frames = u32::from(canary.frames);
        Ok(Some(Stimulus {
            inputs,
            waves,
            origin: Some(format!(
                "the canary of {name}, which must say danger after {frames} frame(s)"
            )),
            takes: pace(lane, analyzer).times(u64::from(frames).saturating_add(1)),
            ..Stimulus::default()
        }))
    }

    /// Cases beside the module, with the parameters and the rate of the pack, that declare what trips the rule; and why
    /// others are not used.
    pub(super) fn of_module(
        &self,
        lane: &LanePlan,
        scene: &Scene<'_>,
        rule: usize,
        name: &str,
        analyzer: &AnalyzerPlan,
    ) -> (Vec<Stimulus>, Vec<String>) {
        let Some(module) = self.modules.get(usize::from(analyzer.module)) else {
            return (Vec::new(), Vec::new());
        };
        let (mut stimuli, mut reasons) = (Vec::new(), Vec::new());
        let mut others = 0_usize;
        for case in &module.cases {
            if !module.is_as_here(case, lane, analyzer) {
                others = others.saturating_add(1);
                continue;
            }
            let Some(last) = case.frames.iter().position(|frame| {
                let declared = declared(module, analyzer, frame);
                !declared.is_empty() && scene.is_declared_true(rule, &declared)
            }) else {
                continue;
            };
            let used = case.frames.get(..=last).unwrap_or_default();
            match self.of_frames(lane, scene, module, analyzer, used) {
                Ok(stimulus) => stimuli.push(Stimulus {
                    origin: Some(format!("case \"{}\" of {}", case.name, module.file)),
                    ..stimulus
                }),
                Err(reason) => reasons.push(format!("case \"{}\": {reason}", case.name)),
            }
        }
        if others > 0 && stimuli.is_empty() {
            reasons.push(format!(
                "{} of {} with other parameters, or with blocks of another rate or length, than {name} has here",
                counted(others, "case"),
                module.file
            ));
        }
        (stimuli, reasons)
    }

    /// A case in which the module is always to be normal shows what is quiet.
    pub(super) fn quiet_frames(&self, lane: &LanePlan, analyzer: &AnalyzerPlan, rest: &mut Rest) {
        let Some(module) = self.modules.get(usize::from(analyzer.module)) else {
            return;
        };
        let is_quiet = |case: &&Case| {
            let mut said = case
                .frames
                .iter()
                .filter_map(|frame| frame.expect.as_ref()?.verdict);
            let all_good = case
                .frames
                .iter()
                .flat_map(|frame| &frame.inputs)
                .all(|(_, value)| matches!(value, InputValue::Good(_)));
            all_good
                && said.clone().all(|said| said == Said::Normal)
                && said.next().is_some()
                && module.is_as_here(case, lane, analyzer)
        };
        let Some(last) = module
            .cases
            .iter()
            .find(is_quiet)
            .and_then(|case| case.frames.last())
        else {
            return;
        };
        for (name, value) in &last.inputs {
            if let (Some(input), InputValue::Good(value)) = (module.input(analyzer, name), value) {
                rest.tags
                    .push((input.tag, (value - input.offset) / input.scale));
            }
        }
        if let Some(((index, wave), used)) = wave_of(lane, analyzer).zip(analyzer.waveform)
            && let Some(Ok(raw)) = module.samples(last, &used, wave)
            && let Some(known) = rest.waves.get_mut(index)
        {
            *known = Play::Pieces(vec![Piece {
                raw,
                blocks: u32::MAX,
            }]);
        }
    }

    fn of_frames(
        &self,
        lane: &LanePlan,
        scene: &Scene<'_>,
        module: &Module,
        analyzer: &AnalyzerPlan,
        used: &[Frame],
    ) -> Result<Stimulus, String> {
        let pace = pace(lane, analyzer);
        let mut stimulus = Stimulus::default();
        let (mut pieces, mut frames) = (Vec::new(), 0_u32);
        for frame in used {
            let mut inputs = Vec::new();
            for (name, value) in &frame.inputs {
                let Some(input) = module.input(analyzer, name) else {
                    continue;
                };
                let act = match value {
                    InputValue::Good(value) => Do::Show(sent(lane, scene, name, input, *value)?),
                    InputValue::Bad | InputValue::Stale => Do::Fail,
                };
                inputs.push((input.tag, act));
            }
            if frames == 0 {
                stimulus.inputs = inputs;
            } else if !inputs.is_empty() {
                stimulus.later.push(Moment {
                    after: Duration::from_nanos(pace.times(u64::from(frames)).as_ns()),
                    inputs,
                    waves: Vec::new(),
                });
            }
            if let Some((_, wave)) = wave_of(lane, analyzer)
                && let Some(used) = analyzer.waveform
                && let Some(raw) = module.samples(frame, &used, wave)
            {
                pieces.push(Piece {
                    raw: raw?,
                    blocks: frame.repeat,
                });
            }
            frames = frames.saturating_add(frame.repeat);
        }
        if let Some((index, _)) = wave_of(lane, analyzer)
            && !pieces.is_empty()
        {
            stimulus.waves = vec![(index, Play::Pieces(pieces))];
        }
        stimulus.takes = pace.times(u64::from(frames).saturating_add(1));
        Ok(stimulus)
    }
}

impl Module {
    fn format(&self) -> SampleFormat {
        let waveform = self.metadata.waveform.as_ref();
        waveform.map_or(SampleFormat::F32, |waveform| waveform.format)
    }

    fn input<'a>(
        &self,
        analyzer: &'a AnalyzerPlan,
        name: &str,
    ) -> Option<&'a rules_bundle::AnalyzerInput> {
        let mut inputs = self.metadata.inputs.iter();
        analyzer
            .inputs
            .get(inputs.position(|input| input.name == name)?)
    }

    /// The block of a frame as the source of the waveform would send it; `None`: it has none.
    fn samples(
        &self,
        frame: &Frame,
        used: &WaveformUse,
        wave: &WaveformPlan,
    ) -> Option<Result<Arc<[f64]>, String>> {
        let block = frame.block.as_ref()?;
        let values = frames::values(block, &self.folder).map_err(|error| error.to_string());
        Some(values.and_then(|(values, _)| as_sent(&values, self.format(), used, wave)))
    }

    /// Whether a case is of an instance as this one: what it says holds for no other.
    fn is_as_here(&self, case: &Case, lane: &LanePlan, analyzer: &AnalyzerPlan) -> bool {
        let params = both::params(&self.metadata, case);
        let same = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
        let as_given = params.len() == analyzer.params.len()
            && params
                .iter()
                .zip(&analyzer.params)
                .all(|(a, b)| same(*a, *b));
        let wave = wave_of(lane, analyzer);
        let blocks = case.frames.iter().filter_map(|frame| frame.block.as_ref());
        as_given
            && blocks.into_iter().all(|block| {
                wave.is_some_and(|(_, wave)| {
                    same(block.rate_hz, wave.rate_hz)
                        && block.count.is_none_or(|count| count == wave.samples)
                })
            })
    }
}

/// What a frame declares of the tags that are derived from it: each with the least and the most that it may be.
fn declared(module: &Module, analyzer: &AnalyzerPlan, frame: &Frame) -> Vec<(TagId, f64, f64)> {
    let Some(expect) = &frame.expect else {
        return Vec::new();
    };
    let level = |said: Said| match said {
        Said::Normal => 0.0,
        Said::Alert => 1.0,
        Said::Danger => 2.0,
    };
    let verdict = expect.verdict.map(level);
    let mut declared: Vec<(TagId, f64, f64)> = verdict
        .into_iter()
        .map(|level| (analyzer.verdict, level, level))
        .collect();
    for (name, expected) in &expect.outputs {
        let mut outputs = module.metadata.outputs.iter();
        let position = outputs.position(|output| output.name == *name);
        let output = position.and_then(|position| analyzer.outputs.get(position));
        if let (Some(output), Expected::Within(least, most)) = (output, expected) {
            declared.push((output.tag, *least, *most));
        }
    }
    declared
}

/// What a tag must show so that the module gets this value.
fn sent(
    lane: &LanePlan,
    scene: &Scene<'_>,
    name: &str,
    input: &rules_bundle::AnalyzerInput,
    value: f64,
) -> Result<f64, String> {
    let tag = usize::from(input.tag.0);
    let called = lane.tags.get(tag).map_or("?", |tag| tag.name.as_str());
    if scene.moves_itself(tag) {
        return Err(format!(
            "its input {name} is {called}, which is not shown by a device"
        ));
    }
    let value = (value - input.offset) / input.scale;
    let codec = scene.codec(tag);
    codec
        .and_then(|codec| raw::rounded(codec, value))
        .ok_or_else(|| {
            format!("its input {name} would make {called} {value}, which it cannot show")
        })
}

/// Samples in the module's unit as the source of the waveform stores them.
fn as_sent(
    values: &[f64],
    format: SampleFormat,
    used: &WaveformUse,
    wave: &WaveformPlan,
) -> Result<Arc<[f64]>, String> {
    let whole = wave.format == drivers_frame::SampleKind::I16;
    let raw: Arc<[f64]> = values
        .iter()
        .map(|value| match format {
            SampleFormat::F32 => (value - used.offset) / used.scale,
            // As the source sends it.
            SampleFormat::I16 => *value,
        })
        .collect();
    let fits = |raw: &f64| (f64::from(i16::MIN)..=f64::from(i16::MAX)).contains(&raw.round());
    if raw.is_empty() || (whole && !raw.iter().all(fits)) {
        return Err(format!(
            "its samples do not fit what {} can carry",
            wave.name
        ));
    }
    Ok(raw)
}

/// Time between two frames of an analyzer, as the simulated sources send.
fn pace(lane: &LanePlan, analyzer: &AnalyzerPlan) -> DurNs {
    let comes = match wave_of(lane, analyzer) {
        Some((_, wave)) => block_interval(wave),
        None => analyzer
            .inputs
            .iter()
            .filter_map(|input| lane.tags.get(usize::from(input.tag.0)))
            .filter_map(|tag| lane.devices.get(usize::from(tag.device.0)))
            .map(|device| match &device.link {
                LinkPlan::Modbus(modbus) => modbus.poll.unwrap_or(SENDS_EVERY),
                LinkPlan::Mqtt(_) | LinkPlan::Analyzer(_) => SENDS_EVERY,
            })
            .fold(DurNs::from_ms(1), DurNs::max),
    };
    match analyzer.trigger {
        Trigger::News => comes,
        Trigger::Every(every) => comes.max(every),
    }
}
