//! The recordings as what a host would hand to an analyzer, frame by frame. Used by the native tests and by those in guests.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{env, fs, path::PathBuf};

use tripline_analyzer::{Header, Slot};

/// A call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) samples: Vec<f32>,
    pub(crate) gap: bool,
    pub(crate) at_ns: u64,
    pub(crate) inputs: Vec<Slot>,
}

/// A recording as an analyzer gets it.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pub(crate) name: String,
    pub(crate) params: Vec<f64>,
    pub(crate) rate_hz: f64,
    pub(crate) steps: Vec<Step>,
}

/// A good input that is new.
pub(crate) const fn good(value: f64) -> Slot {
    Slot {
        value,
        quality: 0,
        changed: 1,
    }
}

impl Feed {
    /// The header of a step.
    pub(crate) fn header(&self, number: usize) -> Header {
        let step = &self.steps[number];
        let gap = if step.gap { Header::GAP } else { 0 };
        let first = if number == 0 { Header::RESTARTED } else { 0 };
        Header {
            samples: u32::try_from(step.samples.len()).unwrap(),
            flags: gap | first,
            at_ns: step.at_ns,
            sequence: number as u64,
            rate_hz: self.rate_hz,
            ..Header::EMPTY
        }
    }
}

/// The folder of recordings; `None`, and said, when there is none: the test then proves nothing and says so.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/data");
    let beside = if fs::exists(beside).unwrap_or(false) {
        beside.to_owned()
    } else {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").to_owned()
    };
    let folder = PathBuf::from(env::var("TRIPLINE_DATA").unwrap_or(beside));
    if folder.join("cwru").is_dir() {
        return Some(folder);
    }
    eprintln!(
        "NOT TESTED: no recordings at {}; set TRIPLINE_DATA to their folder",
        folder.display()
    );
    None
}

pub(crate) fn samples(folder: &str, file: &str) -> Option<Vec<f32>> {
    let path = self::folder()?.join(folder).join(file);
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (words, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty(), "{}: not whole f32", path.display());
    Some(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
}

/// Rows of a table, without its head; words that are no number (dates) are NaN.
pub(crate) fn table(folder: &str, file: &str, separator: char) -> Option<Vec<Vec<f64>>> {
    let path = self::folder()?.join(folder).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let row = |line: &str| {
        line.split(separator)
            .map(|w| w.parse().unwrap_or(f64::NAN))
            .collect()
    };
    Some(text.lines().skip(1).map(row).collect())
}

/// What a recording of the bearing data center shows, by its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Healthy,
    Inner,
    Outer,
    Ball,
}

/// Name, rate, rpm, label, drive end (6205) or fan end (6203). 97 was sampled at 48 kHz.
pub(crate) const CWRU: [(&str, f64, f64, Label, bool); 10] = [
    (
        "097_normal_0hp_DE_12kderived_a",
        12_000.0,
        1796.0,
        Label::Healthy,
        true,
    ),
    (
        "097_normal_0hp_DE_48k_a",
        48_000.0,
        1796.0,
        Label::Healthy,
        true,
    ),
    (
        "097_normal_0hp_FE_48k_a",
        48_000.0,
        1796.0,
        Label::Healthy,
        false,
    ),
    ("105_IR007_0hp_DE_12k", 12_000.0, 1797.0, Label::Inner, true),
    ("109_IR007_0hp_DE_48k", 48_000.0, 1796.0, Label::Inner, true),
    ("210_IR021_1hp_DE_12k", 12_000.0, 1774.0, Label::Inner, true),
    (
        "130_OR007at6_0hp_DE_12k",
        12_000.0,
        1796.0,
        Label::Outer,
        true,
    ),
    (
        "258_OR021at12_0hp_DE_12k",
        12_000.0,
        1796.0,
        Label::Outer,
        true,
    ),
    ("118_B007_0hp_DE_12k", 12_000.0, 1796.0, Label::Ball, true),
    ("3005_B028_0hp_DE_12k", 12_000.0, 1797.0, Label::Ball, true),
];

/// Parameters of `bearing` for a 6205 or 6203 (inches), everything else as the metadata's defaults, but for the record.
pub(crate) fn bearing_params(drive_end: bool, record: f64) -> Vec<f64> {
    let geometry = if drive_end {
        [9.0, 0.3126, 1.537, 0.0]
    } else {
        [8.0, 0.2656, 1.122, 0.0]
    };
    let rest = [2000.0, 0.0, record, 4.0, 1.0, 3.0, 8.0, 0.0, 2.0, 3.0, 60.0];
    [&geometry[..], &rest].concat()
}

/// A recording in blocks of 4,096 samples.
pub(crate) fn cwru(index: usize) -> Option<Feed> {
    let (name, rate_hz, rpm, _, drive_end) = CWRU[index];
    let samples = samples("cwru", &format!("{name}.f32"))?;
    let record = if samples.len() < 32_768 {
        16_384.0
    } else {
        32_768.0
    };
    let steps = samples
        .chunks_exact(4096)
        .enumerate()
        .map(|(block, samples)| Step {
            samples: samples.to_vec(),
            gap: false,
            at_ns: (block as f64 * 4096.0 / rate_hz * 1e9) as u64,
            inputs: vec![good(rpm)],
        });
    Some(Feed {
        name: name.to_owned(),
        params: bearing_params(drive_end, record),
        rate_hz,
        steps: steps.collect(),
    })
}

/// Parameters of `vibration`: group 2 on rigid foundation, all else as the defaults, but for the record.
pub(crate) fn vibration_params(record: f64) -> Vec<f64> {
    vec![3.0, record, 1000.0, 0.0, 0.0, 0.0, 5.0, 8.0]
}

/// The 60 snapshots of a FEMTO channel, each a block of its own after a gap, and their file numbers.
pub(crate) fn femto_snapshots(channel: &str) -> Option<Feed> {
    let samples = samples("femto", &format!("Bearing1_1_{channel}_60snap.f32"))?;
    let steps = samples.chunks_exact(2560).map(|block| Step {
        samples: block.to_vec(),
        gap: true,
        at_ns: 0,
        inputs: vec![good(1800.0)],
    });
    Some(Feed {
        name: format!("femto-{channel}"),
        params: vibration_params(2048.0),
        rate_hz: 25_600.0,
        steps: steps.collect(),
    })
}

/// Parameters of `baseline`: 50 snapshots settle, 150 learn; alert at 2, danger at 4, impulses at 5 x; 7 of 9.
pub(crate) fn baseline_params() -> Vec<f64> {
    vec![50.0, 150.0, 2.0, 4.0, 5.0, 7.0, 9.0, 0.0, 0.0]
}

/// RMS and kurtosis of all 2,803 snapshots, one every 10 s. `column`: 2 horizontal, 5 vertical.
pub(crate) fn femto_trend(column: usize) -> Option<Feed> {
    let table = table("femto", "Bearing1_1_trend_all.csv", ',')?;
    let steps = table.iter().enumerate().map(|(row, values)| Step {
        at_ns: row as u64 * 10_000_000_000,
        inputs: vec![good(values[column]), good(values[column + 1])],
        ..Step::default()
    });
    Some(Feed {
        name: format!("femto-trend-{column}"),
        params: baseline_params(),
        rate_hz: 0.0,
        steps: steps.collect(),
    })
}

/// The SKAB experiments: file, and rows that are labelled anomalous, end exclusive.
pub(crate) const SKAB: [(&str, (usize, usize)); 5] = [
    ("anomaly-free_anomaly-free_rows0-3000", (0, 0)),
    ("other_7", (572, 919)),
    ("other_13", (495, 760)),
    ("valve1_3", (573, 977)),
    ("valve2_0", (562, 956)),
];

/// A SKAB experiment with some of its columns (from 0: two accelerometers, current, pressure, temperature, thermocouple, voltage,
/// flow), one row a second.
pub(crate) fn skab(index: usize, columns: &[usize], params: Vec<f64>) -> Option<Feed> {
    let (name, _) = SKAB[index];
    let table = table("skab", &format!("{name}.csv"), ';')?;
    let steps = table.iter().enumerate().map(|(row, values)| Step {
        at_ns: row as u64 * 1_000_000_000,
        inputs: columns
            .iter()
            .map(|column| good(values[column + 1]))
            .collect(),
        ..Step::default()
    });
    Some(Feed {
        name: name.to_owned(),
        params,
        rate_hz: 0.0,
        steps: steps.collect(),
    })
}

/// Parameters of `hotelling` for accelerometers and flow, 200 rows settle, 200 learn, drift as the anomaly-free rows show it.
pub(crate) fn hotelling_params() -> Vec<f64> {
    let mut params = vec![3.0, 200.0, 200.0, 0.3, 11.34, 100.0, 5.0, 8.0];
    params.extend([3.0, 3.0, 1.5, 0.0, 0.0, 0.0, 0.0, 0.0]);
    params.extend([0.0; 16]);
    params
}

/// Parameters of `process-watch` on flow: shift of more than 4 %, found when its sum reaches 30 %.
pub(crate) fn watch_params() -> Vec<f64> {
    vec![
        8.0, 0.0, 2.0, 3.0, 0.0, 0.0, 200.0, 200.0, 0.0, 4.0, 30.0, 0.0,
    ]
}

/// Parameters of `cavitation`: windows of 16 rows, 200 rows settle, 200 learn, vibration x 1.5, spread x 5, one sign, 3 of 5.
pub(crate) fn cavitation_params() -> Vec<f64> {
    vec![16.0, 200.0, 200.0, 1.5, 5.0, 1.0, 3.0, 5.0]
}
