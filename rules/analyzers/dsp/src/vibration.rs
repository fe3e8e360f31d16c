//! `vibration`: overall vibration of a machine from an acceleration waveform in g.
//!
//! RMS velocity from 10 to 1,000 Hz against the zones of ISO 20816-3; acceleration RMS, peak, crest, kurtosis and RMS of a
//! band; velocity at once and twice the shaft's speed. A verdict needs m of the last n records, so that a spike is none.

use tripline_analyzer::{Analyzer, Frame, Outputs, Refused, StateHash, Verdict};

use crate::{
    Confirm, Params,
    api::{Output, verdict, write},
    record::{Record, length_from, mean_and_spread},
    spectrum::Spectrum,
    stats::{Moments, moments},
};

/// Longest record.
const RECORD_MAX: usize = 16_384;
/// Causes, in the order of the metadata.
const CAUSE_VELOCITY: u8 = 1;
const CAUSE_ACCELERATION: u8 = 2;
/// The band of overall velocity, Hz (ISO 20816-3, 4.2.2; for shafts from 600 rpm).
const VELOCITY_HZ: (f64, f64) = (10.0, 1000.0);
/// Ends of the outputs' ranges in the metadata.
const VELOCITY_MAX: f64 = 1e5;
const ACCELERATION_MAX: f64 = 1e5;

/// Boundaries between the evaluation zones, RMS velocity in mm/s.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Zones {
    /// Newly commissioned below.
    pub a_b: f64,
    /// Unrestricted long-term operation below.
    pub b_c: f64,
    /// Not for long above; damage above.
    pub c_d: f64,
}

impl Zones {
    /// The boundaries of ISO 20816-3:2022, tables A.1 and A.2 (the numbers of ISO 10816-3:2009): 1 group 1 (above 300 kW, or shaft
    /// height 315 mm and more) rigid, 2 group 1 flexible, 3 group 2 (15 to 300 kW, 160 to 315 mm) rigid, 4 group 2 flexible.
    #[must_use]
    pub const fn of_class(class: usize) -> Option<Self> {
        let (a_b, b_c, c_d) = match class {
            1 => (2.3, 4.5, 7.1),
            2 => (3.5, 7.1, 11.0),
            3 => (1.4, 2.8, 4.5),
            4 => (2.3, 4.5, 7.1),
            _ => return None,
        };
        Some(Self { a_b, b_c, c_d })
    }

    /// 0 to 3 for A to D.
    #[must_use]
    pub fn zone(&self, velocity: f64) -> u8 {
        u8::from(velocity > self.a_b)
            + u8::from(velocity > self.b_c)
            + u8::from(velocity > self.c_d)
    }
}

/// What a record showed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overall {
    /// RMS velocity 10 to 1,000 Hz, mm/s.
    pub velocity: f64,
    /// Moments of the acceleration, g.
    pub moments: Moments,
    /// RMS acceleration in the band of the parameters, g.
    pub band: f64,
    /// RMS velocity at once and twice the shaft's speed, mm/s; 0 unless it is `turning`.
    pub orders: (f64, f64),
    /// Whether there was a shaft speed that the record resolves.
    pub turning: bool,
}

/// The analyzer. Inputs: 0 shaft speed, rpm (may be bad: then there are no orders). Waveform: acceleration in g.
pub struct Vibration {
    record: Record<RECORD_MAX>,
    work: [f32; RECORD_MAX],
    zones: Zones,
    band: (f64, f64),
    alert_g: f64,
    danger_g: f64,
    alert: [Confirm; 2],
    danger: [Confirm; 2],
    /// What the newest record showed; nothing while `found` is false. Two fields, for zero must mean nothing.
    overall: Overall,
    found: bool,
}

impl Vibration {
    /// What the newest record showed; `None` before the first.
    #[must_use]
    pub const fn overall(&self) -> Option<&Overall> {
        if self.found {
            Some(&self.overall)
        } else {
            None
        }
    }

    fn analyse(&mut self, rate_hz: f64) {
        let samples = self.record.samples();
        let Some(moments) = moments(samples) else {
            return;
        };
        let Some(work) = self.work.get_mut(..samples.len()) else {
            return;
        };
        work.copy_from_slice(samples);
        let Some(spectrum) = Spectrum::of(work, rate_hz) else {
            return;
        };
        let (low, high) = self.band;
        let high = if high > 0.0 { high } else { 0.47 * rate_hz };
        let (speed, spread) = mean_and_spread(self.record.speeds());
        let shaft = speed / 60.0;
        // The band follows the speed: as wide as a Hann window's main lobe, and as the speed moved within the record.
        let order = |number: f64| {
            let half = 2.0 * spectrum.bin_hz() + 0.5 * spread * number * shaft;
            spectrum.velocity_rms(number * shaft - half, number * shaft + half)
        };
        let turning = shaft > 2.0 * spectrum.bin_hz();
        let overall = Overall {
            velocity: spectrum.velocity_rms(VELOCITY_HZ.0, VELOCITY_HZ.1),
            moments,
            band: spectrum.band_rms(low, high),
            orders: if turning {
                (order(1.0), order(2.0))
            } else {
                (0.0, 0.0)
            },
            turning,
        };
        let zone = self.zones.zone(overall.velocity);
        let above = |limit: f64| limit > 0.0 && overall.moments.rms > limit;
        let [velocity, acceleration] = &mut self.alert;
        velocity.observe(zone >= 2);
        acceleration.observe(above(self.alert_g));
        let [velocity, acceleration] = &mut self.danger;
        velocity.observe(zone >= 3);
        acceleration.observe(above(self.danger_g));
        self.overall = overall;
        self.found = true;
    }

    fn tell(&self, out: &mut Outputs<'_>) -> Verdict {
        let Some(overall) = self.overall() else {
            return Verdict::NORMAL;
        };
        let order = |value: f64| {
            if overall.turning {
                Output::Good(value)
            } else {
                Output::Bad
            }
        };
        let Moments {
            rms,
            peak,
            crest,
            kurtosis,
            ..
        } = overall.moments;
        write(
            out,
            [
                Output::Good(overall.velocity).within(0.0, VELOCITY_MAX),
                Output::Good(f64::from(self.zones.zone(overall.velocity))),
                Output::Good(rms).within(0.0, ACCELERATION_MAX),
                Output::Good(peak).within(0.0, ACCELERATION_MAX),
                Output::Good(crest).within(0.0, 1000.0),
                Output::Good(kurtosis).within(0.0, 1e6),
                Output::Good(overall.band).within(0.0, ACCELERATION_MAX),
                order(overall.orders.0).within(0.0, VELOCITY_MAX),
                order(overall.orders.1).within(0.0, VELOCITY_MAX),
            ],
        );
        let of = |at: usize, cause| {
            let holds = |confirms: &[Confirm; 2]| confirms.get(at).is_some_and(Confirm::holds);
            verdict(holds(&self.alert), holds(&self.danger), cause)
        };
        of(0, CAUSE_VELOCITY).worse(of(1, CAUSE_ACCELERATION))
    }
}

impl Analyzer for Vibration {
    type Sample = f32;
    const PARAMS: usize = 8;
    const INPUTS: usize = 1;
    const OUTPUTS: usize = 9;
    const SAMPLES: usize = 16_384;
    #[allow(
        clippy::large_stack_arrays,
        reason = "a constant: it lies in a guest's zeroed data"
    )]
    const NEW: Self = Self {
        record: Record::NEW,
        work: [0.0; RECORD_MAX],
        zones: Zones {
            a_b: 0.0,
            b_c: 0.0,
            c_d: 0.0,
        },
        band: (0.0, 0.0),
        alert_g: 0.0,
        danger_g: 0.0,
        alert: [Confirm::NEW; 2],
        danger: [Confirm::NEW; 2],
        overall: Overall {
            velocity: 0.0,
            moments: Moments {
                mean: 0.0,
                rms: 0.0,
                peak: 0.0,
                crest: 0.0,
                kurtosis: 0.0,
            },
            band: 0.0,
            orders: (0.0, 0.0),
            turning: false,
        },
        found: false,
    };

    fn init(&mut self, params: &[f64]) -> Result<(), Refused> {
        let params = Params(params);
        self.zones = Zones::of_class(params.count(0, 1, 4)?).ok_or(Refused::param(0))?;
        self.record
            .set_length(length_from(params, 1, crate::fft::REAL_MIN, RECORD_MAX)?);
        self.band = (params.positive(2)?, params.number(3)?);
        if self.band.1 > 0.0 && self.band.1 <= self.band.0 {
            return Err(Refused::param(3));
        }
        self.alert_g = params.number(4)?;
        self.danger_g = params.number(5)?;
        self.alert = [Confirm::from_params(params, 6)?; 2];
        self.danger = self.alert;
        Ok(())
    }

    fn process(&mut self, frame: &Frame<'_, f32>, out: &mut Outputs<'_>) -> Verdict {
        let speed = frame.input(0).usable().unwrap_or(0.0);
        let Some(news) = frame.block else {
            return self.tell(out);
        };
        if news.gap {
            self.record.clear();
        }
        let mut block = news.samples;
        while self.record.takes(block) {
            if self.record.fill(&mut block, speed) {
                self.analyse(news.rate_hz);
                self.record.advance();
            }
        }
        self.tell(out)
    }

    fn state_hash(&self) -> u64 {
        let confirms = self.alert.iter().chain(&self.danger);
        let hash = confirms.fold(self.record.hash(StateHash::new()), |hash, c| c.hash(hash));
        let overall = self.overall;
        hash.f64s(&[overall.velocity, overall.moments.rms, overall.band])
            .finish()
    }
}
