//! Analyzers and waveforms of a scenario.

use drivers_frame::block::SequenceType;
use drivers_frame::{ByteOrder, DeviceId, DurNs, SampleKind, TagId, WaveformId};
use rules_bundle::{
    AnalyzerClass, AnalyzerInput, AnalyzerOutput, AnalyzerPlan, DevicePlan, FailureVerdict,
    FlapLimit, LinkPlan, ModulePlan, ModuleWaveform, SequencePlan, Trigger, WaveformPlan,
    WaveformSource, WaveformUse,
};
use rules_sdk_abi::SampleFormat;

use super::{Cond, GRAIN, Kind, MS, Origin, Rule, TURN_MAX, Tag, WAY_MAX};
use crate::analysis::module;
use crate::rng::Rng;

/// Samples of a block: two that name it, the others are at the level.
pub const BLOCK_SAMPLES: u32 = 8;
/// What one step of a raw sample is worth.
pub const SAMPLE_STEP: f64 = 1.0 / 64.0;

/// What a module does when it sees its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Trick {
    /// Nothing: it has none.
    None,
    /// It executes `unreachable`.
    Trap,
    /// It reads beyond its memory.
    Bounds,
    /// It never returns.
    Endless,
    /// An output that is not a number.
    NotFinite,
    /// An output beyond its range.
    Range,
    /// An output of a quality that it may not have.
    Quality,
    /// A verdict that is none.
    Nonsense,
    /// A cause that its metadata does not name.
    UnknownCause,
    /// Another verdict with each call. What it derives is right.
    Flap,
}

/// All that are any.
pub const TRICKS: [Trick; 9] = [
    Trick::Trap,
    Trick::Bounds,
    Trick::Endless,
    Trick::NotFinite,
    Trick::Range,
    Trick::Quality,
    Trick::Nonsense,
    Trick::UnknownCause,
    Trick::Flap,
];

/// What an analyzer derives, in the order of its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derived {
    /// The highest of its newest values.
    Peak,
    /// Their mean.
    Mean,
    /// 0, 1 or 2.
    Verdict,
    /// 0, or a number.
    Cause,
}

/// All of them.
pub const DERIVED: [Derived; 4] = [
    Derived::Peak,
    Derived::Mean,
    Derived::Verdict,
    Derived::Cause,
];

/// An analyzer.
#[derive(Clone, Debug, PartialEq)]
pub struct Analyzer {
    /// Index of its device.
    pub device: usize,
    /// Tags of its inputs.
    pub inputs: Vec<usize>,
    /// Its waveform.
    pub wave: Option<usize>,
    /// What its inputs are multiplied with.
    pub scale: f64,
    /// The first of its four tags.
    pub first: usize,
    /// Above this its verdict is alert.
    pub alert: f64,
    /// Above this its verdict is danger.
    pub danger: f64,
    /// How many values it keeps.
    pub keeps: u8,
    /// The whole number at which it does its trick.
    pub magic: f64,
    /// Which.
    pub trick: Trick,
    /// Called so often instead of with news.
    pub every: Option<u64>,
    /// Danger when it fails, else alert.
    pub trips: bool,
    /// Instances that wait.
    pub spares: u8,
    /// Changes of its verdict, and the span in which one more is a failure.
    pub flap: Option<(u8, u64)>,
    /// On a thread of its own.
    pub background: bool,
    /// Time between two turns of what makes spares.
    pub service: u64,
}

impl Analyzer {
    /// Its parameters.
    pub fn params(&self) -> Vec<f64> {
        vec![
            self.alert,
            self.danger,
            f64::from(self.keeps),
            self.magic,
            f64::from(self.trick as u8),
        ]
    }

    /// One of its tags.
    pub fn tag(&self, what: Derived) -> usize {
        self.first + what as usize
    }

    /// Its verdict when it fails.
    pub fn failure_level(&self) -> u8 {
        1 + u8::from(self.trips)
    }
}

/// A waveform: blocks that show the level of a tag, each by a message to a topic of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave {
    /// Index of the device, a broker.
    pub device: usize,
    /// Whose level it shows.
    pub tag: usize,
    /// Time between two blocks.
    pub period: u64,
    /// Age at which what comes from it is stale.
    pub stale_after: u64,
}

impl Wave {
    fn plan(&self, index: usize) -> WaveformPlan {
        WaveformPlan {
            name: format!("wave{index}"),
            device: DeviceId(self.device as u16),
            unit: "mm/s".into(),
            rate_hz: f64::from(BLOCK_SAMPLES) * 1e9 / self.period as f64,
            samples: BLOCK_SAMPLES,
            format: SampleKind::I16,
            scale: SAMPLE_STEP,
            offset: 0.0,
            stale_after: DurNs::from_ns(self.stale_after),
            period: None,
            source: WaveformSource::Mqtt {
                topic: topic(index),
                qos: 0,
                first: 4,
                byte_order: ByteOrder::LittleEndian,
                sequence: Some(SequencePlan {
                    at: 0,
                    width: SequenceType::U32,
                }),
                envelope: None,
            },
        }
    }
}

/// The topic of a waveform.
pub fn topic(wave: usize) -> String {
    format!("wave/{wave}")
}

/// What a block shows of a level, in the unit of the tag: what is beyond whole numbers is lost in it.
pub fn shown(level: f64) -> f64 {
    level.floor()
}

/// What analyzers add to a scenario.
pub(super) struct Drawn {
    pub(super) analyzers: Vec<Analyzer>,
    pub(super) waves: Vec<Wave>,
    pub(super) rules: Vec<Rule>,
}

impl Drawn {
    pub(super) fn wave_plans(&self) -> Vec<WaveformPlan> {
        let waves = self.waves.iter().enumerate();
        waves.map(|(index, wave)| wave.plan(index)).collect()
    }
}

/// Draws analyzers with their tags, devices and rules.
pub(super) fn draw(
    rng: &mut Rng,
    devices: &mut Vec<DevicePlan>,
    tags: &mut Vec<Tag>,
    outputs: usize,
) -> Drawn {
    let mut drawn = Drawn {
        analyzers: Vec::new(),
        waves: Vec::new(),
        rules: Vec::new(),
    };
    // Levels come first; of a contact or a switch there is nothing to analyse.
    let level = |tag: &&Tag| tag.kind == Kind::Level;
    let measured = tags.iter().filter(level).count();
    let count = match rng.between(0, 99) {
        0..=34 => 0,
        35..=74 => 1,
        _ => 2,
    };
    for index in 0..count {
        let analyzer = analyzer(rng, index, devices, tags, measured, &mut drawn);
        let own = rules(rng, &analyzer, tags, measured, outputs);
        drawn.rules.extend(own);
        drawn.analyzers.push(analyzer);
    }
    drawn
}

fn analyzer(
    rng: &mut Rng,
    index: usize,
    devices: &mut Vec<DevicePlan>,
    tags: &mut Vec<Tag>,
    measured: usize,
    drawn: &mut Drawn,
) -> Analyzer {
    let background = rng.chance(250);
    let wave = wave(rng, tags, measured, &mut drawn.waves);
    let fewest = u64::from(wave.is_none());
    let mut inputs: Vec<usize> = (0..rng.between(fewest, module::INPUTS_MAX as u64))
        .map(|_| rng.below(measured))
        .collect();
    let mut scale = *rng.pick(&[0.5, 1.0, 2.0]);
    // A chain: the next one reads what one of class safety derives, as it is.
    if let Some(before) = drawn.analyzers.first().filter(|before| !before.background)
        && rng.chance(500)
        && let Some(input) = inputs.first_mut()
    {
        *input = before.tag(Derived::Peak);
        scale = 1.0;
    }
    // Of what its inputs show, before they are scaled; never where levels come to rest.
    let magic = *rng.pick(&[13_u64, 16, 25, 28, 31, 34, 37]);
    let trick = if rng.chance(750) {
        *rng.pick(&TRICKS)
    } else {
        Trick::None
    };
    let alert = rng.between(46, 52) as f64;
    let danger = rng.between(53, 65) as f64;
    let half = |value: f64| (value + 0.5) * scale;
    let every = rng.chance(300).then(|| rng.between(10, 100) * MS);
    let stale_of = |tag: &usize| tags[*tag].stale_after;
    let stale_of_wave = wave.map(|wave| drawn.waves[wave].stale_after);
    let stale_after = inputs.iter().map(stale_of).chain(stale_of_wave).max();
    let stale_after = stale_after.unwrap_or(0) + every.unwrap_or(0) + rng.between(10, 100) * MS;
    let seen = inputs.iter().map(|tag| tags[*tag].seen_within()).max();
    // Of a waveform: the block before is believed until it is stale.
    let seen = seen.unwrap_or(0) + wave.map_or(0, |_| stale_after + 3 * WAY_MAX);
    let seen = seen + every.unwrap_or(0) + 2 * TURN_MAX;
    let analyzer = Analyzer {
        device: devices.len(),
        inputs,
        wave,
        scale,
        first: tags.len(),
        alert: half(alert),
        danger: half(danger),
        keeps: rng.between(1, 8) as u8,
        magic: (magic as f64 * scale).floor(),
        trick,
        every,
        trips: rng.chance(700),
        spares: rng.between(1, 3) as u8,
        flap: rng
            .chance(800)
            .then(|| (rng.between(1, 4) as u8, rng.between(100, 1_500) * MS)),
        background,
        service: rng.between(10, 400) * MS,
    };
    for what in DERIVED {
        tags.push(Tag {
            kind: Kind::Derived {
                analyzer: index,
                what,
            },
            origin: Origin::Derived {
                device: analyzer.device,
            },
            stale_after,
            quiet: 0,
            acknowledge: false,
            rate: None,
            frozen: None,
            way_max: seen + if background { stale_after } else { 0 },
            envelope: None,
        });
    }
    devices.push(DevicePlan {
        name: format!("analyzer{index}"),
        link: LinkPlan::Analyzer(Box::new(plan(&analyzer, index))),
    });
    analyzer
}

/// A waveform of the same plant, where there is a broker.
fn wave(rng: &mut Rng, tags: &[Tag], measured: usize, waves: &mut Vec<Wave>) -> Option<usize> {
    let broker = tags[..measured].iter().find_map(|tag| match tag.origin {
        Origin::Mqtt { device, .. } => Some(device),
        _ => None,
    });
    let (device, true) = (broker?, rng.chance(600)) else {
        return None;
    };
    let period = rng.between(30, 120) * MS;
    waves.push(Wave {
        device,
        tag: rng.below(measured),
        period,
        stale_after: period * 2 + rng.between(30, 200) * MS,
    });
    Some(waves.len() - 1)
}

/// What its verdict and what it derives decide.
fn rules(
    rng: &mut Rng,
    analyzer: &Analyzer,
    tags: &[Tag],
    measured: usize,
    outputs: usize,
) -> Vec<Rule> {
    let above = |what, limit, band| Cond::Above {
        tag: analyzer.tag(what),
        limit,
        band,
    };
    let limit = (rng.between(50, 65) as f64 + GRAIN / 2.0) * analyzer.scale;
    let limit = if analyzer.wave.is_some() {
        limit.floor() + 0.5 * analyzer.scale
    } else {
        limit
    };
    let band = *rng.pick(&[0.0, 3.0, 6.0]);
    let mut conds = vec![(above(Derived::Verdict, 1.5, 0.0), rng.chance(800))];
    if rng.chance(500) {
        conds.push((above(Derived::Verdict, 0.5, 0.0), false));
    }
    if rng.chance(700) {
        let cond = above(Derived::Peak, limit, band);
        let other = Cond::Above {
            tag: rng.below(measured),
            limit: rng.between(50, 65) as f64 + GRAIN / 2.0,
            band: 0.0,
        };
        let cond = match rng.between(0, 5) {
            0 => Cond::Both(Box::new(cond), Box::new(other)),
            1 => Cond::Either(Box::new(other), Box::new(cond)),
            _ => cond,
        };
        conds.push((cond, rng.chance(600)));
    }
    if rng.chance(300) {
        conds.push((above(Derived::Mean, limit, band), rng.chance(400)));
    }
    let rule = |(cond, stops): (Cond, bool)| {
        let on_delay = if rng.chance(250) {
            rng.between(20, 300) * MS
        } else {
            0
        };
        let seen = cond.tags().iter().map(|tag| tags[*tag].seen_within()).max();
        Rule {
            deadline: seen.unwrap_or(0) + on_delay + 2 * TURN_MAX,
            cond,
            on_delay,
            off_delay: if rng.chance(150) {
                rng.between(100, 900) * MS
            } else {
                0
            },
            debounce: None,
            multiplier: None,
            raised: None,
            inhibit: None,
            stops: if stops {
                vec![rng.below(outputs)]
            } else {
                vec![]
            },
        }
    };
    conds.into_iter().map(rule).collect()
}

/// The modules of all analyzers: each has its own entry.
pub(super) fn modules(analyzers: &[Analyzer]) -> Vec<ModulePlan> {
    let module = |(index, analyzer): (usize, &Analyzer)| ModulePlan {
        name: format!("simulated{index}"),
        version: 1,
        sha256: [0; 32],
        signature: None,
        params: module::PARAMS as u16,
        inputs: analyzer.inputs.len() as u16,
        outputs: module::OUTPUTS as u16,
        waveform: analyzer.wave.map(|_| ModuleWaveform {
            format: SampleFormat::F32,
            samples_min: BLOCK_SAMPLES,
            samples_max: BLOCK_SAMPLES,
        }),
        causes: vec!["high".into(), "blind".into()],
        memory_bytes: 65_536,
    };
    analyzers.iter().enumerate().map(module).collect()
}

fn plan(analyzer: &Analyzer, index: usize) -> AnalyzerPlan {
    let tag = |what| TagId(analyzer.tag(what) as u16);
    let output = |what| AnalyzerOutput {
        tag: tag(what),
        min: module::RANGE.0,
        max: module::RANGE.1,
    };
    AnalyzerPlan {
        module: index as u16,
        class: if analyzer.background {
            AnalyzerClass::Background
        } else {
            AnalyzerClass::Safety
        },
        inputs: analyzer
            .inputs
            .iter()
            .map(|tag| AnalyzerInput {
                tag: TagId(*tag as u16),
                scale: analyzer.scale,
                offset: 0.0,
            })
            .collect(),
        waveform: analyzer.wave.map(|wave| WaveformUse {
            index: WaveformId(wave as u16),
            scale: SAMPLE_STEP * analyzer.scale,
            offset: 0.0,
        }),
        outputs: vec![output(Derived::Peak), output(Derived::Mean)],
        verdict: tag(Derived::Verdict),
        cause: tag(Derived::Cause),
        params: analyzer.params(),
        verdict_after: None,
        fuel: module::FUEL,
        deadline: DurNs::from_ms(1_000),
        trigger: analyzer
            .every
            .map_or(Trigger::News, |every| Trigger::Every(DurNs::from_ns(every))),
        on_failure: if analyzer.trips {
            FailureVerdict::Trip
        } else {
            FailureVerdict::Alarm
        },
        spares: analyzer.spares,
        flap: analyzer.flap.map(|(changes, within)| FlapLimit {
            changes,
            within: DurNs::from_ns(within),
        }),
        canary: None,
        replay: None,
    }
}
