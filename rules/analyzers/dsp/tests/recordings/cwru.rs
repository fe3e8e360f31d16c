use tripline_analyzer::Slot;

use crate::{
    Answer, Bearing, Host, Network, Vibration,
    feeds::{CWRU, Feed, Label, Step, cwru, good, vibration_params},
    plot, run,
};

/// The last answer of a recording; the spectrum goes to the plots.
fn last(index: usize) -> Option<Answer> {
    let feed = cwru(index)?;
    let mut bearing = Bearing::made(&feed.params);
    let mut answer = (0, 0, Vec::new());
    for step in 0..feed.steps.len() {
        answer = bearing.call(&feed, step);
    }
    let (power, turns) = bearing.analyzer.spectrum();
    let lines = power.iter().enumerate().skip(1);
    let lines = lines.map(|(bin, power)| vec![bin as f64 / turns, f64::from(power.sqrt())]);
    plot(
        &feed.name,
        "order,amplitude",
        lines.take_while(|line| line[0] < 12.0),
    );
    Some(answer)
}

/// Trap 1: 97 is read at 48 kHz. Trap 3: 4 x shaft of the fan end lies on 2 x BSF of the 6203. Trap 4: classified on the
/// fundamental. Trap 5: ball defects are weak, and may be uncertain, but not something else.
#[test]
fn every_race_defect_is_named_by_its_own_fundamental_and_every_healthy_recording_is_quiet() {
    let mut rows = Vec::new();
    for (index, (name, _, _, label, _)) in CWRU.into_iter().enumerate() {
        let Some((level, cause, outputs)) = last(index) else {
            return;
        };
        let values: Vec<f64> = outputs.iter().map(|output| output.value).collect();
        println!("{name} {label:?}: level {level} cause {cause} {values:.2?}");
        rows.push((name, label, level, cause, values));
    }
    plot(
        "cwru",
        "inner,outer,ball,cage,class,doubt",
        rows.iter().map(|row| row.4.clone()),
    );
    for (name, label, level, cause, values) in rows {
        let expected: &[u8] = match label {
            Label::Healthy => &[0],
            Label::Inner => &[1],
            Label::Outer => &[2],
            Label::Ball => &[3, 5],
        };
        assert!(expected.contains(&cause), "{name}: {cause}, {values:?}");
        assert_eq!(level, u8::from(label != Label::Healthy), "{name}: alert");
        assert!(
            (values[4] - f64::from(cause)).abs() < 0.5,
            "{name}: class and cause"
        );
    }
}

/// The chain of three analyzers: outputs of `bearing` and `vibration` are inputs of `network`, which no recording trained.
#[test]
fn the_network_names_what_it_was_never_trained_on_and_its_mistakes_are_counted() {
    let mut told = Vec::new();
    for (index, (name, ..)) in CWRU.into_iter().enumerate() {
        let (Some(bearing), Some(mut feed)) = (last(index), cwru(index)) else {
            return;
        };
        feed.params = vibration_params(16_384.0);
        let vibration = run::<Vibration>(&feed).pop().unwrap();
        let lines = bearing.2[..4].iter();
        let shape = [vibration.2[5], vibration.2[4]];
        let inputs: Vec<Slot> = lines.chain(&shape).map(|slot| good(slot.value)).collect();
        let step = Step {
            inputs,
            ..Step::default()
        };
        let feed = Feed {
            params: vec![0.9, 1.0, 1.0],
            steps: vec![step],
            ..feed
        };
        let answer = run::<Network>(&feed).remove(0);
        let scores: Vec<f64> = answer.2.iter().map(|output| output.value).collect();
        println!("{name}: level {} {scores:.3?}", answer.0);
        told.push((scores[0] as u8, answer.0));
    }
    // Of 118, the ball defect that no method sees, it says outer race with 0.83: below 0.9 that is uncertain and no alert.
    let expected = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3];
    let alerted = [0, 0, 0, 1, 1, 1, 1, 1, 0, 1];
    assert!(
        told.iter().copied().eq(expected.into_iter().zip(alerted)),
        "{told:?}"
    );
}
