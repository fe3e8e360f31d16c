//! The signal processing against numpy and scipy (`rules/analyzers/tools/golden.py` wrote `golden.json`) and against
//! published values.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "these are tests")]

use rules_analyzers_dsp::{
    Cusum,
    envelope::{Band, Wave, by_angle, envelope, power_spectrum},
    fft::real_in_place,
    fixed::{Point, Workspace, fill_roots},
    hotelling::Hotelling,
    imbalance::unbalance,
    lines::{Geometry, OrderSpectrum},
    spectrum::Spectrum,
    stats::{median, moments},
    vibration::Zones,
};
use serde_json::Value;
use tripline_analyzer::{Analyzer, Instance, Slot};

const RATE: f64 = 12_000.0;

/// The script's signal.
fn signal(length: usize, period: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let sample = |at: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let impulse = if period > 0 && at.is_multiple_of(period) {
            2.0
        } else {
            0.0
        };
        (state >> 16) as f32 / 65_536.0 - 0.5 + impulse
    };
    (0..length).map(sample).collect()
}

/// What a [`Workspace`] lies in.
struct Memory([Vec<Point>; 3]);

impl Memory {
    fn new(samples: usize) -> Self {
        let mut roots = vec![Point::ZERO; samples / 4];
        fill_roots(&mut roots);
        let half = vec![Point::ZERO; samples / 2];
        Self([half.clone(), half, roots])
    }

    fn workspace(&mut self) -> Workspace<'_> {
        let [front, back, roots] = &mut self.0;
        Workspace::new(front, back, roots).unwrap()
    }
}

fn golden() -> Value {
    serde_json::from_str(include_str!("golden.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap().iter();
    list.map(|v| v.as_f64().unwrap()).collect()
}

fn near(got: f64, expected: f64, relative: f64) {
    let away = (got - expected).abs();
    assert!(
        away <= relative * expected.abs().max(1e-9),
        "{got} is not {expected}"
    );
}

#[test]
fn moments_and_median_are_those_of_scipy() {
    let golden = golden();
    let moments = moments(&signal(4096, 111)).unwrap();
    let number = |name: &str| golden[name].as_f64().unwrap();
    near(moments.mean, number("mean"), 1e-12);
    near(moments.rms, number("rms"), 1e-12);
    near(moments.peak, number("peak"), 1e-12);
    near(moments.kurtosis, number("kurtosis"), 1e-12);
    near(moments.crest, number("peak") / number("rms"), 1e-12);
    assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
    assert_eq!(median(&mut []), None);
    let flat = rules_analyzers_dsp::stats::moments(&[0.1; 100]).unwrap();
    assert!(
        flat.kurtosis == 0.0 && flat.crest == 0.0,
        "a constant has no shape: {flat:?}"
    );
}

#[test]
fn velocity_and_band_rms_are_those_of_scipys_periodogram() {
    let golden = golden();
    let mut work = signal(4096, 111);
    let spectrum = Spectrum::of(&mut work, RATE).unwrap();
    near(
        spectrum.velocity_rms(10.0, 1000.0),
        golden["velocity"].as_f64().unwrap(),
        1e-5,
    );
    near(
        spectrum.band_rms(2000.0, 5000.0),
        golden["band_rms"].as_f64().unwrap(),
        1e-5,
    );
}

#[test]
fn a_sine_of_1_g_at_159_15_hz_is_6_93_mm_s_and_its_parts_add_up() {
    // v = a / (2 pi f): 9.80665 m/s^2 / 1000 rad/s = 9.80665 mm/s peak, 6.934 mm/s RMS.
    let hz = 1000.0 / core::f64::consts::TAU;
    let sine = |at: usize| (core::f64::consts::TAU * hz * at as f64 / RATE).sin() as f32;
    let mut work: Vec<f32> = (0..16_384).map(sine).collect();
    let spectrum = Spectrum::of(&mut work, RATE).unwrap();
    near(
        spectrum.velocity_rms(10.0, 1000.0),
        9.806_65 / 2.0_f64.sqrt(),
        2e-3,
    );
    near(spectrum.band_rms(10.0, 5000.0), 0.5_f64.sqrt(), 1e-3);
    assert!(
        spectrum.velocity_rms(300.0, 1000.0) < 0.01,
        "nothing elsewhere"
    );
}

#[test]
fn an_envelope_and_its_spectrum_are_those_of_scipys_hilbert() {
    let golden = golden();
    let mut memory = Memory::new(4096);
    let mut workspace = memory.workspace();
    let band = Band {
        low_hz: 2000.0,
        high_hz: 5640.0,
    };
    let wave = envelope(&mut workspace, &signal(4096, 111), RATE, band, 1000.0).unwrap();
    assert_eq!(wave.len(), 2048);
    let values: Vec<f64> = wave.values(&workspace).collect();
    for (got, expected) in values[1000..1032].iter().zip(numbers(&golden["envelope"])) {
        assert!((got - expected).abs() < 1e-5, "{got} {expected}");
    }
    let mut power = vec![0.0; 8192];
    let bins = power_spectrum(&mut workspace, &wave, &mut power, 1.0);
    assert_eq!(bins, Some(1024));
    assert_eq!(power[0], 0.0, "the mean is none of the lines");
    for (got, expected) in power[30..62].iter().zip(numbers(&golden["amplitude"])) {
        assert!(
            (f64::from(got.sqrt()) - expected).abs() < 1e-6,
            "{got} {expected}"
        );
    }
}

/// The transform of vibration, and that of bearing, against sums of cosines in double precision.
#[test]
fn transforms_of_every_length_find_the_lines_of_a_signal() {
    for length in [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768] {
        let wave = signal(length, 37);
        let line = |bin: usize| {
            let turn = core::f64::consts::TAU * bin as f64 / length as f64;
            wave.iter().enumerate().fold((0.0, 0.0), |sum, (at, v)| {
                let (sin, cos) = (turn * at as f64).sin_cos();
                (sum.0 + f64::from(*v) * cos, sum.1 - f64::from(*v) * sin)
            })
        };
        let mut values = wave.clone();
        let half = real_in_place(&mut values).unwrap();
        let mut memory = Memory::new(2 * length);
        let mut workspace = memory.workspace();
        let loaded = Wave::load(&mut workspace, &wave).unwrap();
        let mut power = vec![0.0; length / 2];
        power_spectrum(&mut workspace, &loaded, &mut power, 1.0).unwrap();
        for bin in [1, 2, 3, 37, length / 4, length / 4 + 1, length / 2 - 2] {
            let (re, im) = line(bin);
            let scale = (length as f64).sqrt();
            near(
                f64::from(half[bin].re) / scale + 10.0,
                re / scale + 10.0,
                1e-6,
            );
            near(
                f64::from(half[bin].im) / scale + 10.0,
                im / scale + 10.0,
                1e-6,
            );
            // Under a Hann window a line is half of itself less a quarter of its neighbours.
            let (before, after) = if bin == 1 {
                ((0.0, 0.0), line(2))
            } else {
                (line(bin - 1), line(bin + 1))
            };
            let windowed = |here: f64, before: f64, after: f64| here / 2.0 - (before + after) / 4.0;
            let (re, im) = (
                windowed(re, before.0, after.0),
                windowed(im, before.1, after.1),
            );
            let expected = 4.0 / length as f64 * re.hypot(im);
            let got = f64::from(power[bin]).sqrt();
            assert!(
                (got - expected).abs() < 1e-6,
                "{length} {bin}: {got} {expected}"
            );
        }
    }
    let band = Band {
        low_hz: 2000.0,
        high_hz: 5640.0,
    };
    let mut memory = Memory::new(256);
    let short = envelope(&mut memory.workspace(), &[0.0; 256], RATE, band, 100.0);
    assert!(short.is_none(), "half of it is too short");
    assert!(real_in_place(&mut [0.0; 1000]).is_none(), "no power of two");
    assert!(real_in_place(&mut [0.0; 128]).is_none(), "too short");
}

/// Waves whose lines are as high as lines get: a sum that does not fit would wrap into nonsense.
#[test]
fn the_lines_of_the_strongest_waves_are_those_of_double_precision() {
    const LENGTH: usize = 256;
    let waves: [fn(usize) -> f64; 7] = [
        |at| if at % 2 == 0 { 1.0 } else { -1.0 },
        |at| if at % 4 < 2 { 1.0 } else { -1.0 },
        |at| if at % 16 < 8 { 1.0 } else { -1.0 },
        |at| if at < LENGTH / 2 { 1.0 } else { -1.0 },
        |at| if at == 0 { 1.0 } else { -1.0 },
        |at| f64::from(u8::from(at % 16 < 8)),
        |at| (core::f64::consts::TAU * 5.0 * at as f64 / LENGTH as f64).cos(),
    ];
    for (number, wave) in waves.iter().enumerate() {
        // Just below a power of two: the most of the bits that samples are given.
        let wave: Vec<f32> = (0..LENGTH)
            .map(|at| (wave(at) * 3.999_999) as f32)
            .collect();
        let mean = wave.iter().map(|v| f64::from(*v)).sum::<f64>() / LENGTH as f64;
        let mut memory = Memory::new(2 * LENGTH);
        let mut workspace = memory.workspace();
        let loaded = Wave::load(&mut workspace, &wave).unwrap();
        let mut power = vec![0.0; LENGTH / 2];
        power_spectrum(&mut workspace, &loaded, &mut power, 1.0).unwrap();
        for (bin, got) in power.iter().enumerate().skip(1) {
            let turn = core::f64::consts::TAU / LENGTH as f64;
            let (mut re, mut im) = (0.0, 0.0);
            for (at, value) in wave.iter().enumerate() {
                let hann = 0.5 - 0.5 * (turn * at as f64).cos();
                let (sin, cos) = (turn * (bin * at % LENGTH) as f64).sin_cos();
                re += (f64::from(*value) - mean) * hann * cos;
                im -= (f64::from(*value) - mean) * hann * sin;
            }
            let expected = 4.0 / LENGTH as f64 * re.hypot(im);
            let got = f64::from(got.sqrt());
            assert!(
                (got - expected).abs() < 1e-6,
                "wave {number}, bin {bin}: {got} {expected}"
            );
        }
    }
}

/// What single precision did by itself, whole numbers do by their scale: an offset, any size, silence.
#[test]
fn an_envelope_does_not_depend_on_the_size_of_a_signal_or_on_its_offset() {
    let band = Band {
        low_hz: 2000.0,
        high_hz: 5640.0,
    };
    let strengths = |scale: f32, offset: f32| {
        let wave: Vec<f32> = signal(4096, 111)
            .iter()
            .map(|v| v * scale + offset)
            .collect();
        let mut memory = Memory::new(4096);
        let mut workspace = memory.workspace();
        let wave = envelope(&mut workspace, &wave, RATE, band, 1000.0).unwrap();
        let values: Vec<f64> = wave
            .values(&workspace)
            .map(|v| v / f64::from(scale))
            .collect();
        let mut power = vec![0.0; 1024];
        power_spectrum(&mut workspace, &wave, &mut power, 1.0).unwrap();
        let amplitudes = power.iter().map(|p| f64::from(p.sqrt()) / f64::from(scale));
        (values, amplitudes.collect::<Vec<f64>>())
    };
    let expected = strengths(1.0, 0.0);
    let mean = expected.0.iter().sum::<f64>() / 2048.0;
    for (scale, offset, within) in [
        // Powers of two: the very same whole numbers.
        (1.0 / 1_048_576.0, 0.0, f64::MIN_POSITIVE),
        (1_099_511_627_776.0, 0.0, f64::MIN_POSITIVE),
        (3.0, -20.0, 3e-5),
        (1.0, 1000.0, 3e-4),
    ] {
        let got = strengths(scale, offset);
        for (got, expected) in [(&got.0, &expected.0), (&got.1, &expected.1)] {
            for (got, expected) in got.iter().zip(expected) {
                assert!(
                    (got - expected).abs() < within * mean,
                    "{scale} {offset}: {got} {expected}"
                );
            }
        }
    }
    let mut memory = Memory::new(4096);
    let mut workspace = memory.workspace();
    for silence in [0.0, 1e-30, 7.0, -1e9] {
        let wave = envelope(&mut workspace, &[silence; 4096], RATE, band, 1000.0).unwrap();
        assert!(wave.values(&workspace).all(|v| v == 0.0), "{silence}");
    }
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut wave = signal(4096, 111);
        wave[7] = broken;
        assert!(envelope(&mut workspace, &wave, RATE, band, 1000.0).is_none());
    }
}

/// The bearing data center's table of the 6205-2RS, drive end, and the 6203-2RS, fan end.
#[test]
fn orders_are_the_published_ones() {
    let of = |balls, ball_diameter, pitch_diameter| {
        Geometry {
            balls,
            ball_diameter,
            pitch_diameter,
            contact_angle_deg: 0.0,
        }
        .orders()
    };
    let drive = of(9.0, 0.3126, 1.537);
    near(drive.bpfi, 5.4152, 2e-5);
    near(drive.bpfo, 3.5848, 2e-5);
    near(drive.ftf, 0.39828, 2e-4);
    near(drive.bsf, 2.3568, 2e-4);
    let fan = of(8.0, 0.2656, 1.122);
    near(fan.bpfi, 4.9469, 2e-4);
    near(fan.bpfo, 3.0530, 2e-4);
    near(fan.ftf, 0.3817, 4e-4);
    near(2.0 * fan.bsf, 3.9874, 4e-4);
}

#[test]
fn a_cumulative_sum_is_that_of_the_script() {
    let golden = golden();
    let mut cusum = Cusum::NEW;
    for value in signal(50, 0) {
        cusum.add(f64::from(value) + 0.2, 0.1, 1e9);
    }
    let expected = numbers(&golden["cusum"]);
    near(cusum.high, expected[0], 1e-9);
    near(cusum.low, expected[1], 1e-9);
}

#[test]
fn hotellings_t2_with_a_learned_covariance_is_that_of_numpy() {
    let golden = golden();
    let raw = signal(600, 0);
    let mut instance = Box::new(Instance::<Hotelling, 32, { Hotelling::INPUTS }, 3, 0>::new());
    // Three inputs, no settling, 100 rows to learn, no smoothing, no drift.
    instance.area.params[..8].copy_from_slice(&[3.0, 0.0, 100.0, 1.0, 1e9, 0.0, 1.0, 1.0]);
    assert_eq!(instance.init(), 0);
    let expected = numbers(&golden["t2"]);
    for row in 0..110 {
        for column in 0..3 {
            let mut value = f64::from(raw[3 * row + column]);
            if column == 2 {
                value += 0.5 * f64::from(raw[3 * row]);
            }
            instance.area.inputs[column] = Slot {
                value,
                quality: 0,
                changed: 1,
            };
        }
        instance.process();
        if row >= 100 {
            near(instance.area.outputs[0].value, expected[row - 100], 1e-9);
        }
    }
}

/// NEMA MG 1, 14.36: voltages of 460, 467 and 450 have a mean of 459 and an unbalance of 1.96 %.
#[test]
fn unbalance_is_that_of_the_standards_example() {
    near(unbalance([460.0, 467.0, 450.0]).unwrap(), 1.960_784, 1e-6);
    assert_eq!(unbalance([0.0; 3]), None);
}

#[test]
fn zones_are_those_of_the_standard() {
    let rigid = Zones::of_class(3).unwrap();
    assert_eq!([1.3, 1.5, 3.0, 4.6].map(|v| rigid.zone(v)), [0, 1, 2, 3]);
    assert_eq!(Zones::of_class(2).unwrap().c_d, 11.0);
    assert_eq!(Zones::of_class(0), None);
    assert_eq!(Zones::of_class(5), None);
}

/// A shaft that runs up by a fifth within the record smears a line of 3.6 orders over 20 bins; by angle it stands again.
#[test]
fn a_run_up_is_resampled_to_a_line() {
    const POINTS: usize = 4096;
    let speeds: Vec<f64> = (0..64)
        .map(|part| 30.0 * (0.9 + 0.2 * (f64::from(part) + 0.5) / 64.0))
        .collect();
    let seconds = 1.0;
    let mut turns = 0.0;
    let mut wave: Vec<f32> = Vec::new();
    for point in 0..POINTS {
        wave.push((core::f64::consts::TAU * 3.6 * turns).cos() as f32);
        turns += speeds[point * 64 / POINTS] * seconds / POINTS as f64;
    }
    let mut memory = Memory::new(2 * POINTS);
    let mut workspace = memory.workspace();
    let mut strength = |resampled: bool| {
        let mut loaded = Wave::load(&mut workspace, &wave).unwrap();
        if resampled {
            loaded = by_angle(&mut workspace, &loaded, &speeds).unwrap();
        }
        let mut power = vec![0.0; POINTS / 2];
        power_spectrum(&mut workspace, &loaded, &mut power, 1.0).unwrap();
        power.iter_mut().for_each(|p| *p += 1e-9);
        OrderSpectrum {
            power: &power,
            turns: 30.0,
            seconds,
            floor: 0.0,
        }
        .line(3.6, 0.01)
    };
    let (in_time, in_angle) = (strength(false), strength(true));
    near(in_angle.order, 3.6, 0.01);
    assert!(
        in_angle.strength > 20.0 * in_time.strength.max(1.0),
        "{in_time:?} {in_angle:?}"
    );
    let mut workspace = memory.workspace();
    let loaded = Wave::load(&mut workspace, &wave).unwrap();
    let before: Vec<f64> = loaded.values(&workspace).collect();
    assert!(by_angle(&mut workspace, &loaded, &[1.0, 0.0]).is_none());
    let after: Vec<f64> = loaded.values(&workspace).collect();
    assert_eq!(before, after, "a shaft at rest has no angle");
}

#[test]
fn a_line_on_a_harmonic_of_the_shaft_is_masked_and_a_slope_is_none() {
    let mut power = vec![1.0_f32; 400];
    let spectrum = |power: &[f32], order: f64| {
        OrderSpectrum {
            power,
            turns: 20.0,
            seconds: 0.66,
            floor: 0.0,
        }
        .line(order, 0.01)
    };
    power[80] = 1600.0;
    let shaft = spectrum(&power, 3.9874);
    assert!(
        shaft.masked && shaft.strength == 0.0,
        "4 x shaft is no ball: {shaft:?}"
    );
    power[72] = 10_000.0;
    power[71] = 2500.0;
    power[73] = 2500.0;
    let line = spectrum(&power, 3.59);
    assert!(
        !line.masked && (line.strength - 100.0).abs() < 1e-3,
        "{line:?}"
    );
    assert_eq!(
        spectrum(&power, 3.68).strength,
        0.0,
        "the foot of the line is no line"
    );
}
