//! `bearing`: which part of a rolling bearing is damaged, from the envelope spectrum.
//!
//! A defect is named by its own fundamental only: 2 x BPFI lies 0.7 % from 3 x BPFO on common bearings, so that harmonics
//! would name the wrong race. Harmonics of the shaft are left out of the search. What is present but weak, or not clearly
//! stronger than another defect's line, is *uncertain*, never something else.

use tripline_analyzer::{Analyzer, Frame, Outputs, Refused, StateHash, Verdict};

use crate::{
    Confirm, Params,
    api::{Output, verdict, write},
    envelope::{Band, by_angle, envelope, power_spectrum},
    fixed::{Point, REAL_MIN, Workspace, fill_roots},
    lines::{Geometry, Line, OrderSpectrum, Orders},
    num::{float, single},
    record::{Record, SPEEDS, length_from, mean_and_spread},
};

/// Shortest record: its envelope has half as many points, and is transformed too.
const RECORD_MIN: usize = 2 * REAL_MIN;
/// Longest record.
const RECORD_MAX: usize = 32_768;
/// Bins of the averaged spectrum that are kept.
const BINS: usize = 8_192;
/// Above this spread of shaft speed within a record it is resampled by angle.
const SPREAD_RESAMPLED: f64 = 0.001;
/// Above this difference of turns between records they are not averaged.
const TURNS_ALIKE: f64 = 0.002;
/// A defect's line must be so much stronger than every other defect's to be named.
const DOMINANCE: f64 = 2.0;
/// Modulation of the envelope, as a share of its mean, below which a line is taken for rounding.
const MODULATION_MIN: f64 = 1e-4;
/// Strengths above are told as this.
pub const STRENGTH_MAX: f64 = 1e6;

/// Cause of an alert for want of a band: it lies above what the sampling rate holds.
pub const CAUSE_NO_BAND: u8 = 7;

/// What the class output says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// No line stands out.
    #[default]
    Normal,
    /// Inner race.
    Inner,
    /// Outer race.
    Outer,
    /// Ball or roller.
    Ball,
    /// Cage.
    Cage,
    /// Something stands out; what, cannot be said.
    Uncertain,
}

impl Class {
    /// Its number in the output, and of its cause.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::Inner => 1,
            Self::Outer => 2,
            Self::Ball => 3,
            Self::Cage => 4,
            Self::Uncertain => 5,
        }
    }
}

/// Cause of an alert for want of a shaft speed.
pub const CAUSE_NO_SPEED: u8 = 6;

/// Strengths of the four defects, and what follows from them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finding {
    /// Inner race.
    pub inner: Line,
    /// Outer race.
    pub outer: Line,
    /// Ball, at twice its spin.
    pub ball: Line,
    /// Cage.
    pub cage: Line,
    /// Class.
    pub class: Class,
    /// Strongest other defect's line over the strongest: 0 is certain, 1 is not.
    pub doubt: f64,
}

impl Finding {
    const NEW: Self = {
        let none = Line {
            strength: 0.0,
            order: 0.0,
            masked: false,
        };
        Self {
            inner: none,
            outer: none,
            ball: none,
            cage: none,
            class: Class::Normal,
            doubt: 0.0,
        }
    };

    /// The finding in a spectrum. `suspect`, `named`: strengths from which something stands out, and can be named.
    #[must_use]
    pub fn of(
        spectrum: &OrderSpectrum<'_>,
        orders: &Orders,
        tolerance: f64,
        suspect: f64,
        named: f64,
    ) -> Self {
        let line = |order| spectrum.line(order, tolerance);
        let (inner, outer) = (line(orders.bpfi), line(orders.bpfo));
        let (ball, cage) = (line(2.0 * orders.bsf), line(orders.ftf));
        let ranked = [
            (Class::Inner, inner),
            (Class::Outer, outer),
            (Class::Ball, ball),
            (Class::Cage, cage),
        ];
        let (mut first, mut first_class, mut second) = (0.0, Class::Normal, 0.0);
        for (class, line) in ranked {
            if line.strength > first {
                // What a harmonic of the shaft may explain is not named.
                let class = if line.masked { Class::Uncertain } else { class };
                (first, first_class, second) = (line.strength, class, first);
            } else if line.strength > second {
                second = line.strength;
            }
        }
        let class = if first < suspect {
            Class::Normal
        } else if first >= named && first >= DOMINANCE * second {
            first_class
        } else {
            Class::Uncertain
        };
        let doubt = if first > 0.0 { second / first } else { 1.0 };
        Self {
            inner,
            outer,
            ball,
            cage,
            class,
            doubt,
        }
    }

    fn strongest(&self) -> f64 {
        self.inner
            .strength
            .max(self.outer.strength)
            .max(self.ball.strength)
            .max(self.cage.strength)
    }
}

/// The analyzer. Inputs: 0 shaft speed, rpm. Waveform: acceleration, any unit (only ratios are used).
pub struct Bearing {
    record: Record<RECORD_MAX>,
    work: [Point; RECORD_MAX / 2],
    spare: [Point; RECORD_MAX / 2],
    /// Roots of unity for the record's length: a quarter turn.
    roots: [Point; RECORD_MAX / 4],
    average: [f32; BINS],
    averaged: usize,
    turns: f64,
    orders: Orders,
    band: Band,
    averages: usize,
    tolerance: f64,
    suspect: f64,
    named: f64,
    danger: f64,
    speed_min: f64,
    confirm: Confirm,
    confirm_danger: Confirm,
    /// What the newest record showed; nothing while `found` is false. Two fields, for zero must mean nothing.
    finding: Finding,
    found: bool,
    /// The newest record could not be analysed.
    blind: bool,
    /// The newest class that was not normal: the cause while that is confirmed.
    defect: Class,
}

impl Bearing {
    /// What the newest record showed; `None` before the first.
    #[must_use]
    pub const fn finding(&self) -> Option<&Finding> {
        if self.found {
            Some(&self.finding)
        } else {
            None
        }
    }

    /// The averaged power spectrum of the envelope and the turns of the shaft in a record: bin = order x turns.
    #[must_use]
    pub fn spectrum(&self) -> (&[f32], f64) {
        (&self.average, self.turns)
    }

    /// `None` when there is no such band at this sampling rate.
    fn analyse(&mut self, rate_hz: f64) -> Option<()> {
        let (speed, spread) = mean_and_spread(self.record.speeds());
        let samples = self.record.samples();
        let seconds = float(samples.len()) / rate_hz;
        let shaft_hz = speed / 60.0;
        let mut workspace = Workspace::new(
            self.work.get_mut(..samples.len() / 2)?,
            self.spare.get_mut(..samples.len() / 2)?,
            self.roots.get(..samples.len() / 4)?,
        )?;
        let high_hz = if self.band.high_hz > 0.0 {
            self.band.high_hz
        } else {
            0.47 * rate_hz
        };
        let band = Band {
            high_hz,
            ..self.band
        };
        // The highest line that is looked at, with its surroundings.
        let reach_hz = 1.1 * self.orders.bpfi * shaft_hz + 30.0;
        let mut wave = envelope(&mut workspace, samples, rate_hz, band, reach_hz)?;
        if spread > SPREAD_RESAMPLED
            && let Some(resampled) = by_angle(&mut workspace, &wave, self.record.speeds())
        {
            wave = resampled;
        }
        let mean = wave.mean();
        let floor = single(MODULATION_MIN * mean * MODULATION_MIN * mean);
        let turns = shaft_hz * seconds;
        if (turns - self.turns).abs() > TURNS_ALIKE * turns {
            self.averaged = 0;
            self.turns = turns;
        }
        let averaged = self.averaged.saturating_add(1).min(self.averages);
        let share = 1.0 / float(averaged);
        power_spectrum(&mut workspace, &wave, &mut self.average, share)?;
        self.averaged = averaged;
        let spectrum = OrderSpectrum {
            power: &self.average,
            turns: self.turns,
            seconds,
            floor,
        };
        let finding = Finding::of(
            &spectrum,
            &self.orders,
            self.tolerance,
            self.suspect,
            self.named,
        );
        if finding.class != Class::Normal {
            self.defect = finding.class;
        }
        self.confirm.observe(finding.class != Class::Normal);
        let danger = self.danger > 0.0
            && !matches!(finding.class, Class::Normal | Class::Uncertain)
            && finding.strongest() >= self.danger;
        self.confirm_danger.observe(danger);
        self.finding = finding;
        self.found = true;
        Some(())
    }

    fn lose(&mut self) {
        self.record.clear();
        self.averaged = 0;
        self.found = false;
        self.blind = false;
    }

    fn tell(&self, out: &mut Outputs<'_>) -> Verdict {
        if self.blind {
            return Verdict::alert(CAUSE_NO_BAND);
        }
        let Some(finding) = self.finding() else {
            return Verdict::NORMAL;
        };
        let strength =
            |line: Line| Output::of(line.strength, !line.masked).within(0.0, STRENGTH_MAX);
        let certain = finding.class != Class::Uncertain;
        write(
            out,
            [
                strength(finding.inner),
                strength(finding.outer),
                strength(finding.ball),
                strength(finding.cage),
                Output::of(f64::from(finding.class.code()), certain),
                Output::Good(finding.doubt).within(0.0, 1.0),
            ],
        );
        verdict(
            self.confirm.holds(),
            self.confirm_danger.holds(),
            self.defect.code(),
        )
    }
}

impl Analyzer for Bearing {
    type Sample = f32;
    const PARAMS: usize = 15;
    const INPUTS: usize = 1;
    const OUTPUTS: usize = 6;
    const SAMPLES: usize = 16_384;
    #[allow(
        clippy::large_stack_arrays,
        reason = "a constant: it lies in a guest's zeroed data"
    )]
    const NEW: Self = Self {
        record: Record::NEW,
        work: [Point::ZERO; RECORD_MAX / 2],
        spare: [Point::ZERO; RECORD_MAX / 2],
        roots: [Point::ZERO; RECORD_MAX / 4],
        average: [0.0; BINS],
        averaged: 0,
        turns: 0.0,
        orders: Orders {
            bpfi: 0.0,
            bpfo: 0.0,
            bsf: 0.0,
            ftf: 0.0,
        },
        band: Band {
            low_hz: 0.0,
            high_hz: 0.0,
        },
        averages: 0,
        tolerance: 0.0,
        suspect: 0.0,
        named: 0.0,
        danger: 0.0,
        speed_min: 0.0,
        confirm: Confirm::NEW,
        confirm_danger: Confirm::NEW,
        finding: Finding::NEW,
        found: false,
        blind: false,
        defect: Class::Normal,
    };

    fn init(&mut self, params: &[f64]) -> Result<(), Refused> {
        let params = Params(params);
        self.orders = Geometry::from_params(params, 0)?.orders();
        self.band = Band {
            low_hz: params.positive(4)?,
            high_hz: params.number(5)?,
        };
        if self.band.high_hz > 0.0 && self.band.high_hz <= self.band.low_hz {
            return Err(Refused::param(5));
        }
        let length = length_from(params, 6, RECORD_MIN, RECORD_MAX)?;
        self.record.set_length(length);
        fill_roots(self.roots.get_mut(..length / 4).unwrap_or_default());
        self.averages = params.count(7, 1, 64)?;
        self.tolerance = params.positive(8)? / 100.0;
        self.suspect = params.positive(9)?;
        self.named = params.positive(10)?;
        self.danger = params.number(11)?;
        if self.named < self.suspect {
            return Err(Refused::param(10));
        }
        self.confirm = Confirm::from_params(params, 12)?;
        self.confirm_danger = self.confirm;
        self.speed_min = params.positive(14)?;
        Ok(())
    }

    fn process(&mut self, frame: &Frame<'_, f32>, out: &mut Outputs<'_>) -> Verdict {
        let Some(speed) = frame.input(0).usable() else {
            self.lose();
            return verdict(true, false, CAUSE_NO_SPEED);
        };
        if speed < self.speed_min {
            // At rest there is nothing to hear: zeros, uncertain.
            self.lose();
            let zero = Output::Uncertain(0.0);
            write(out, [zero, zero, zero, zero, zero, Output::Uncertain(1.0)]);
            return Verdict::NORMAL;
        }
        let Some(news) = frame.block else {
            return self.tell(out);
        };
        if news.gap {
            self.record.clear();
        }
        let mut block = news.samples;
        while self.record.takes(block) {
            if self.record.fill(&mut block, speed) {
                self.blind = self.analyse(news.rate_hz).is_none();
                self.record.advance();
            }
        }
        self.tell(out)
    }

    fn state_hash(&self) -> u64 {
        let hash = self.record.hash(StateHash::new());
        let hash = hash
            .f64(float(self.averaged))
            .f64(self.turns)
            .f32s(&self.average);
        let hash = self.confirm_danger.hash(self.confirm.hash(hash));
        let Finding {
            inner,
            outer,
            ball,
            cage,
            class,
            doubt,
        } = self.finding;
        let lines = [inner, outer, ball, cage].map(|line| line.strength);
        hash.f64s(&lines)
            .f64(doubt)
            .u64(u64::from(class.code()))
            .u64(u64::from(self.defect.code()))
            .bool(self.found)
            .bool(self.blind)
            .finish()
    }
}

const _: () = assert!(SPEEDS <= REAL_MIN, "a part of a record has a sample");
