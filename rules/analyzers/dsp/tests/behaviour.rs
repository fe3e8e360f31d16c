//! What the analyzers do at their edges: time, missing inputs, gaps, parameters that make no sense.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "these are tests"
)]

#[path = "recordings/feeds.rs"]
mod feeds;
#[path = "recordings/host.rs"]
mod host;

use feeds::{Feed, Step, baseline_params, bearing_params, good, vibration_params, watch_params};
use host::{Answer, Baseline, Bearing, Hotelling, Imbalance, ProcessWatch, Vibration, run};
use tripline_analyzer::{Instance, Slot};

const SECOND: u64 = 1_000_000_000;

fn values(rows: impl Iterator<Item = (u64, f64)>, params: Vec<f64>) -> Feed {
    let steps = rows.map(|(at_ns, value)| Step {
        at_ns,
        inputs: vec![good(value)],
        ..Step::default()
    });
    Feed {
        name: "made".to_owned(),
        params,
        rate_hz: 0.0,
        steps: steps.collect(),
    }
}

fn levels(answers: &[Answer]) -> Vec<u8> {
    answers.iter().map(|answer| answer.0).collect()
}

/// A ramp of 1 a second, in rows that come after 1 and 3 s in turns: the slope is 1 whatever the rows do.
#[test]
fn h04_a_rate_is_by_the_time_of_arrival_and_not_by_rows() {
    let times = (0..40_u64).map(|row| row / 2 * 4 + row % 2);
    let mut params = watch_params();
    params[1] = 0.9;
    let feed = values(times.map(|t| (t * SECOND, 100.0 + t as f64)), params);
    let answers = run::<ProcessWatch>(&feed);
    let (level, cause, outputs) = answers.last().unwrap();
    assert!((outputs[0].value - 1.0).abs() < 1e-9, "H-4: {outputs:?}");
    assert_eq!((*level, *cause), (1, 1));
    assert_eq!(answers[7].0, 0, "one observation is not confirmed");
    assert_eq!(answers[8].0, 1, "H-4: two of three are");
}

#[test]
fn h02_a_value_that_does_not_leave_its_band_is_stuck_after_its_time_and_well_when_it_moves() {
    let mut params = watch_params();
    params[4] = 0.5;
    params[5] = 10.0;
    let rows = (0..30_u64).map(|t| {
        (
            t * SECOND,
            if t < 20 {
                50.0 + (t % 2) as f64 * 0.4
            } else {
                t as f64
            },
        )
    });
    let answers = run::<ProcessWatch>(&values(rows, params));
    assert!(answers[..10].iter().all(|a| a.0 == 0), "H-2: not yet");
    assert_eq!((answers[10].0, answers[10].1), (1, 2), "H-2: after 10 s");
    assert_eq!(answers[20].0, 0, "it moved");
}

/// H-3: a drift of 0.1 % a row is a shift once it is beyond the allowance.
#[test]
fn h03_a_drift_beyond_the_allowance_is_found_and_one_within_is_not() {
    let drift = |most: f64| {
        let rows = (0..200_u64).map(move |t| (t * SECOND, 100.0 + (0.1 * t as f64).min(most)));
        levels(&run::<ProcessWatch>(&values(rows, watch_with(100.0))))
    };
    assert!(
        drift(3.9).iter().all(|level| *level == 0),
        "H-3: within 4 %"
    );
    let found = drift(20.0).iter().position(|level| *level == 1);
    // Beyond from row 41 on; 0.1 + 0.2 + ... passes 29 with the 24th.
    assert_eq!(found, Some(64), "H-3");
}

fn watch_with(target: f64) -> Vec<f64> {
    let mut params = watch_params();
    params[6] = 0.0;
    params[7] = 0.0;
    params[8] = target;
    params[10] = 29.0;
    params
}

/// H-4: what is learned does not follow the machine, and calls without news do not count.
#[test]
fn h04_a_baseline_is_fixed_and_a_call_without_news_is_no_observation() {
    let mut params = baseline_params();
    params[0] = 0.0;
    params[1] = 3.0;
    let mut steps: Vec<Step> = Vec::new();
    let mut push = |level: f64, news: u32| {
        let mut inputs = vec![good(level), good(3.0)];
        inputs.iter_mut().for_each(|input| input.changed = news);
        steps.push(Step {
            inputs,
            ..Step::default()
        });
    };
    (0..3).for_each(|_| push(1.0, 1));
    (0..20).for_each(|_| push(9.0, 0));
    (0..7).for_each(|_| push(9.0, 1));
    let feed = Feed {
        name: "made".to_owned(),
        params,
        rate_hz: 0.0,
        steps,
    };
    let levels = levels(&run::<Baseline>(&feed));
    assert!(
        levels[..29].iter().all(|level| *level == 0),
        "H-4: {levels:?}"
    );
    assert_eq!(levels[29], 2, "H-4: the seventh that is new");
}

#[test]
fn a_gap_begins_a_record_anew_and_outputs_are_bad_until_it_is_full() {
    let block = |gap| Step {
        samples: vec![0.5; 512],
        gap,
        inputs: vec![good(1500.0)],
        ..Step::default()
    };
    let steps = vec![block(false), block(true), block(false)];
    let feed = Feed {
        name: "made".to_owned(),
        params: vibration_params(1024.0),
        rate_hz: 12_000.0,
        steps,
    };
    let answers = run::<Vibration>(&feed);
    let bad: Vec<bool> = answers.iter().map(|a| a.2[0] == Slot::BAD).collect();
    assert_eq!(bad, [true, true, false]);
}

#[test]
fn a_bearing_without_speed_says_so_and_one_at_rest_is_silent() {
    let step = |speed: Slot| Step {
        samples: vec![0.5; 512],
        inputs: vec![speed],
        ..Step::default()
    };
    let bad = Slot {
        value: 0.0,
        quality: 2,
        changed: 1,
    };
    let feed = Feed {
        name: "made".to_owned(),
        params: bearing_params(true, 512.0),
        rate_hz: 12_000.0,
        steps: vec![step(bad), step(good(0.0)), step(good(1500.0))],
    };
    let answers = run::<Bearing>(&feed);
    assert_eq!((answers[0].0, answers[0].1), (1, 6));
    assert!(answers[0].2.iter().all(|output| *output == Slot::BAD));
    assert_eq!(
        (answers[1].0, answers[1].2[4].quality),
        (0, 1),
        "at rest: uncertain"
    );
    assert_eq!(answers[2].0, 0, "a constant is no defect");
    assert!(answers[2].2.iter().all(|output| output.value.is_finite()));
}

/// At 2 kHz there is nothing above 2 kHz to take an envelope of: that is told, and is no health.
#[test]
fn a_bearing_whose_band_is_beyond_the_sampling_rate_says_so() {
    let step = Step {
        samples: vec![0.5; 512],
        inputs: vec![good(1500.0)],
        ..Step::default()
    };
    let feed = Feed {
        name: "made".to_owned(),
        params: bearing_params(true, 512.0),
        rate_hz: 2000.0,
        steps: vec![step],
    };
    let (level, cause, outputs) = run::<Bearing>(&feed).remove(0);
    assert_eq!((level, cause), (1, 7));
    assert!(outputs.iter().all(|output| *output == Slot::BAD));
}

/// `tl_init` names the parameter, from 1, or -1 for a combination.
#[test]
fn parameters_that_make_no_sense_are_refused_by_their_number() {
    fn code<A, const P: usize, const I: usize, const O: usize, const N: usize>(
        params: &[f64],
        change: &[(usize, f64)],
        instance: &mut Instance<A, P, I, O, N>,
    ) -> i32
    where
        A: tripline_analyzer::Analyzer<Sample = f32>,
    {
        instance.area.params.copy_from_slice(params);
        for (at, value) in change {
            instance.area.params[*at] = *value;
        }
        instance.init()
    }
    let bearing = |change: &[(usize, f64)]| {
        code(
            &bearing_params(true, 4096.0),
            change,
            &mut Box::new(Bearing::new()),
        )
    };
    assert_eq!(bearing(&[]), 0);
    assert_eq!(bearing(&[(0, 8.5)]), 1, "half a ball");
    assert_eq!(
        bearing(&[(1, 2.0)]),
        -1,
        "a ball larger than the pitch circle"
    );
    assert_eq!(
        bearing(&[(5, 1000.0)]),
        6,
        "a band that ends before it begins"
    );
    assert_eq!(bearing(&[(6, 3000.0)]), 7, "no power of two");
    assert_eq!(bearing(&[(10, 2.0)]), 11, "named below suspect");
    assert_eq!(bearing(&[(12, 4.0)]), 13, "four of three");
    let watch =
        |change: &[(usize, f64)]| code(&watch_params(), change, &mut Box::new(ProcessWatch::new()));
    assert_eq!(watch(&[(0, 1.0)]), 1, "a slope through one point");
    assert_eq!(watch(&[(0, f64::NAN)]), 1);
    let hotelling = |change: &[(usize, f64)]| {
        code(
            &feeds::hotelling_params(),
            change,
            &mut Box::new(Hotelling::new()),
        )
    };
    assert_eq!(hotelling(&[(2, 3.0)]), 3, "three rows for three inputs");
    assert_eq!(
        hotelling(&[(2, 0.0)]),
        -1,
        "neither deviations nor drift of zero means"
    );
    let imbalance = [1.0, 10.0, 30.0, 3.0, 5.0];
    assert_eq!(
        code(&imbalance, &[(2, 5.0)], &mut Box::new(Imbalance::new())),
        3,
        "danger below alert"
    );
}
