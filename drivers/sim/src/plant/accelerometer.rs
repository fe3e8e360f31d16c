//! An accelerometer on the press's bearing: the same shaft and the same wear as the vibration value, as a waveform.

use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use super::{Plant, PlantError};
use crate::noise::Noise;
use crate::press::Readings;
use crate::wave::{PayloadForm, SampleForm, SequenceForm, Signal, WavePublisher, WaveTopic};

/// Samples a second.
pub const RATE_HZ: u32 = 12_000;
/// Topic on which blocks are published.
pub const TOPIC: &str = "plant/press/bearing/acceleration";
/// Bytes before the samples: a sequence number of 32 bits.
pub const HEADER_BYTES: usize = 4;

/// How often the machine is looked at: its values do not change within a few milliseconds.
const LOOK_EVERY_SAMPLES: u64 = 64;
/// Impacts a revolution of a damaged outer race: a 6205 bearing (BPFO, order 3.5848).
const IMPACTS_PER_REVOLUTION: f64 = 3.584_8;
/// What an impact makes ring, Hz, and how fast that decays, 1/s.
const RESONANCE_HZ: f64 = 3_000.0;
const DECAY_PER_S: f64 = 800.0;
/// Vibration of a bearing without damage at full speed, mm/s; what is above it is damage.
const SOUND_MM_S: f64 = 2.0;
/// Peak of an impact for each mm/s of damage, g. Its RMS is about a sixth of it.
const IMPACT_G_PER_MM_S: f64 = 4.0;
/// Unbalance at full speed, g.
const UNBALANCE_G: f64 = 0.1;
/// Noise of the sensor, g RMS.
const NOISE_G: f64 = 0.03;
/// Full speed, Hz.
const FULL_SPEED_HZ: f64 = 25.0;

impl Plant {
    /// Starts an accelerometer that publishes blocks of `samples` f32 in g at the plant's broker, on [`TOPIC`]: little-endian,
    /// after a sequence number of 32 bits.
    ///
    /// # Errors
    /// [`PlantError`]: there is no broker, or no thread.
    pub fn start_accelerometer(&self, samples: usize) -> Result<WavePublisher, PlantError> {
        let broker = self.broker_address.ok_or(PlantError::NoBroker)?;
        let inside = Arc::clone(&self.inside);
        let mut bearing = Bearing::new();
        let signal = Signal::computed(move |n| {
            if n % LOOK_EVERY_SAMPLES == 0 {
                bearing.look(&inside.press().readings());
            }
            bearing.sample() as f32
        });
        let count = u32::try_from(samples).unwrap_or(u32::MAX);
        let topic = WaveTopic {
            topic: TOPIC.into(),
            at_least_once: true,
            form: PayloadForm {
                count: samples,
                samples: SampleForm::F32,
                header: HEADER_BYTES,
                little_endian: true,
                sequence: Some(SequenceForm {
                    offset: 0,
                    bytes: HEADER_BYTES,
                }),
            },
            period: Duration::from_secs(1) * count / RATE_HZ,
            first_sequence: 1,
        };
        WavePublisher::start(broker, topic, signal).map_err(PlantError::Thread)
    }
}

/// What the sensor feels.
struct Bearing {
    noise: Noise,
    /// Of the shaft, in revolutions.
    revolutions: f64,
    shaft_hz: f64,
    damage_mm_s: f64,
    /// Seconds since the last impact.
    since_impact_s: f64,
    impacts: f64,
}

impl Bearing {
    const fn new() -> Self {
        Self {
            noise: Noise::new(0xACCE),
            revolutions: 0.0,
            shaft_hz: 0.0,
            damage_mm_s: 0.0,
            since_impact_s: 1.0,
            impacts: 0.0,
        }
    }

    fn look(&mut self, is: &Readings) {
        self.shaft_hz = is.speed_rpm / 60.0;
        self.damage_mm_s = (is.vibration_mm_s - SOUND_MM_S).max(0.0);
    }

    /// The next sample, g.
    fn sample(&mut self) -> f64 {
        let dt = 1.0 / f64::from(RATE_HZ);
        self.revolutions = (self.revolutions + self.shaft_hz * dt).fract();
        self.impacts += self.shaft_hz * IMPACTS_PER_REVOLUTION * dt;
        self.since_impact_s += dt;
        if self.impacts >= 1.0 {
            self.impacts -= 1.0;
            self.since_impact_s = 0.0;
        }
        let speed = self.shaft_hz / FULL_SPEED_HZ;
        let unbalance = UNBALANCE_G * speed * speed * (TAU * self.revolutions).sin();
        let ringing = (TAU * RESONANCE_HZ * self.since_impact_s).sin()
            * (-DECAY_PER_S * self.since_impact_s).exp();
        unbalance + IMPACT_G_PER_MM_S * self.damage_mm_s * ringing + NOISE_G * self.noise.bell()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rms(speed_rpm: f64, vibration_mm_s: f64) -> f64 {
        let mut bearing = Bearing::new();
        let readings = Readings {
            vibration_mm_s,
            bearing_deg_c: 40.0,
            pressure_bar: 0.0,
            speed_rpm,
            oil_deg_c: 0.0,
            contactor_closed: true,
            guard_closed: true,
            lubrication_ok: true,
        };
        bearing.look(&readings);
        let samples = 12_000;
        let sum: f64 = (0..samples)
            .map(|_| bearing.sample())
            .map(|sample| sample * sample)
            .sum();
        (sum / f64::from(samples)).sqrt()
    }

    #[test]
    fn damage_is_felt_and_a_sound_bearing_is_quiet() {
        assert!(rms(0.0, 0.0) < 0.05);
        assert!(rms(1_480.0, 1.5) < 0.2);
        let damaged = rms(1_480.0, 6.0);
        assert!((2.0..4.0).contains(&damaged), "{damaged}");
        assert!(rms(1_480.0, 10.0) > 1.8 * damaged);
    }
}
