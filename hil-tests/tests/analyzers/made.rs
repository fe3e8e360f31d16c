//! Frames made by arithmetic: the most expensive ones each analyzer can be given.

use crate::{
    feeds::{
        Feed, Step, baseline_params, bearing_params, cavitation_params, good, hotelling_params,
        vibration_params, watch_params,
    },
    guest::Module,
    host::{Baseline, Bearing, Cavitation, Hotelling, Imbalance, Network, ProcessWatch, Vibration},
};

/// Noise and impulses, the same everywhere.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) as f32 / 65_536.0 - 0.5
    }
}

/// Blocks of the largest size with a speed that changes from block to block, so that records are resampled by angle.
fn waveform(name: &str, params: Vec<f64>) -> Feed {
    let mut noise = Noise(1);
    let steps = (0..8_u32).map(|block| Step {
        samples: (0..16_384)
            .map(|at| noise.next() + if at % 113 == 0 { 3.0 } else { 0.0 })
            .collect(),
        inputs: vec![good(1500.0 + 20.0 * f64::from(block))],
        ..Step::default()
    });
    Feed {
        name: name.to_owned(),
        params,
        rate_hz: 12_000.0,
        steps: steps.collect(),
    }
}

/// Rows of as many values, near 10; the first third of rows all good, then one missing now and then.
fn rows(name: &str, inputs: usize, params: Vec<f64>) -> Feed {
    let mut noise = Noise(2);
    let steps = (0..1500_u64).map(|row| {
        let mut inputs: Vec<_> = (0..inputs)
            .map(|_| good(10.0 + f64::from(noise.next())))
            .collect();
        if row > 500 && row % 97 == 0 {
            inputs[0].value = 0.0;
            inputs[0].quality = 2;
        }
        Step {
            at_ns: row * 1_000_000_000,
            inputs,
            ..Step::default()
        }
    });
    Feed {
        name: name.to_owned(),
        params,
        rate_hz: 0.0,
        steps: steps.collect(),
    }
}

/// The most fuel that a frame of each analyzer took; every bit is compared on the way.
pub(crate) fn every() -> Vec<(&'static str, u64)> {
    let bearing = Module::of("bearing");
    let vibration = Module::of("vibration");
    let lengths = [512.0, 1024.0, 4096.0, 16_384.0, 32_768.0];
    let bearing = lengths.map(|record| {
        let most = bearing.compare::<Bearing>(&waveform("made", bearing_params(true, record)));
        println!("bearing {record}: {most}");
        most
    });
    let vibration = [256.0, 1024.0, 4096.0, 16_384.0].iter().map(|record| {
        let most = vibration.compare::<Vibration>(&waveform("made", vibration_params(*record)));
        println!("vibration {record}: {most}");
        most
    });
    let mut baseline = baseline_params();
    baseline[1] = 1024.0;
    let mut hotelling = hotelling_params();
    hotelling[0] = 8.0;
    let mut watch = watch_params();
    watch[0] = 64.0;
    watch[1] = 0.01;
    let mut cavitation = cavitation_params();
    cavitation[0] = 64.0;
    vec![
        ("bearing", bearing.into_iter().max().unwrap()),
        ("vibration", vibration.max().unwrap()),
        (
            "baseline",
            Module::of("baseline").compare::<Baseline>(&rows("made", 2, baseline)),
        ),
        (
            "process-watch",
            Module::of("process-watch").compare::<ProcessWatch>(&rows("made", 1, watch)),
        ),
        (
            "hotelling",
            Module::of("hotelling").compare::<Hotelling>(&rows("made", 8, hotelling)),
        ),
        (
            "imbalance",
            Module::of("imbalance").compare::<Imbalance>(&rows(
                "made",
                3,
                vec![1.0, 10.0, 30.0, 3.0, 5.0],
            )),
        ),
        (
            "cavitation",
            Module::of("cavitation").compare::<Cavitation>(&rows("made", 3, cavitation)),
        ),
        (
            "network",
            Module::of("network").compare::<Network>(&rows("made", 6, vec![0.9, 3.0, 5.0])),
        ),
    ]
}
