use crate::{
    Baseline, Vibration,
    feeds::{femto_snapshots, femto_trend},
    first, plot, run,
};

/// Snapshots of the whole life.
const LIFE: usize = 2803;
/// Before this file nothing points to a defect, but for spikes (the data's README).
const ONSET: usize = 1296;

/// H-4: 12 of the healthy snapshots have vertical peaks above 5 g, up to 14 g.
#[test]
fn h04_a_run_to_failure_is_quiet_in_health_alerted_long_before_and_stopped_before_its_end() {
    for (column, channel, alert_at, danger_at) in
        [(2, "horizontal", 2019, 2750), (5, "vertical", 1326, 2772)]
    {
        let Some(feed) = femto_trend(column) else {
            return;
        };
        let answers = run::<Baseline>(&feed);
        assert_eq!(answers.len(), LIFE);
        let rows = feed.steps.iter().zip(&answers).enumerate();
        plot(
            &format!("femto-{channel}"),
            "number,rms,kurtosis,ratio,level",
            rows.map(|(row, (step, (level, _, outputs)))| {
                let [rms, kurtosis] = [step.inputs[0].value, step.inputs[1].value];
                let level = f64::from(*level);
                vec![(row + 1) as f64, rms, kurtosis, outputs[0].value, level]
            }),
        );
        // File numbers count from 1.
        let [alert, danger] = [1, 2].map(|level| first(&answers, level).map(|at| at + 1));
        let causes: Vec<u8> = alert.iter().map(|at| answers[at - 1].1).collect();
        println!(
            "{channel}: alert at {alert:?} (cause {causes:?}), danger at {danger:?} of {LIFE}"
        );
        assert!(alert > Some(ONSET), "H-4: {channel} is quiet in health");
        assert_eq!(alert, Some(alert_at), "{channel}");
        assert_eq!(danger, Some(danger_at), "{channel}");
    }
}

#[test]
fn statistics_of_the_snapshots_are_those_of_the_published_trend() {
    for (channel, column) in [("horizontal", 2), ("vertical", 5)] {
        let (Some(feed), Some(trend)) = (femto_snapshots(channel), femto_trend(column)) else {
            return;
        };
        let answers = run::<Vibration>(&feed);
        assert_eq!(answers.len(), 60);
        // The first snapshot is the first of the trend; the record leaves 512 of 2,560 samples out.
        let (rms, kurtosis) = (answers[0].2[2].value, answers[0].2[5].value);
        let expected = [0, 1].map(|input| trend.steps[0].inputs[input].value);
        assert!((rms / expected[0] - 1.0).abs() < 0.05, "{rms} {expected:?}");
        assert!(
            (kurtosis / expected[1] - 1.0).abs() < 0.1,
            "{kurtosis} {expected:?}"
        );
        println!(
            "{channel}: velocity {:.2} mm/s first, {:.2} mm/s last",
            answers[0].2[0].value, answers[59].2[0].value
        );
        assert_eq!(answers[0].0, 0, "{channel} begins quiet");
    }
}
