use crate::{
    Answer, Cavitation, Hotelling, ProcessWatch,
    feeds::{SKAB, cavitation_params, hotelling_params, skab, watch_params},
    first, plot, run,
};

/// Rows from which an experiment is judged: before, the analyzers settle and learn.
const LEARNED: usize = 400;

/// Rows told rightly, told wrongly, missed, rightly quiet.
type Counts = [usize; 4];

fn confusion(answers: &[Answer], labelled: (usize, usize)) -> Counts {
    let mut counts = [0; 4];
    for (row, answer) in answers.iter().enumerate().skip(LEARNED) {
        let anomaly = (labelled.0..labelled.1).contains(&row);
        counts[match (answer.0 > 0, anomaly) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        }] += 1;
    }
    counts
}

/// The counts of every experiment, good and bad, as `docs/analyzers.md` prints them: one that changes must be changed there.
#[test]
fn anomaly_free_rows_are_quiet_imbalance_and_valve_are_found_and_the_rest_is_counted() {
    let nothing = |quiet: usize, missed: usize| ([0, 0, missed, quiet], None);
    let expected: [[(Counts, Option<usize>); 3]; 5] = [
        [nothing(2600, 0); 3],
        [
            ([342, 7, 5, 336], Some(577)),
            nothing(343, 347),
            ([315, 2, 32, 341], Some(604)),
        ],
        [
            ([36, 14, 229, 244], Some(502)),
            ([59, 23, 206, 235], Some(498)),
            ([45, 20, 220, 238], Some(500)),
        ],
        [
            ([214, 0, 190, 344], Some(641)),
            ([292, 0, 112, 344], Some(645)),
            nothing(344, 404),
        ],
        [nothing(331, 394); 3],
    ];
    for (index, (name, labelled)) in SKAB.into_iter().enumerate() {
        let Some(hotelling) = skab(index, &[0, 1, 7], hotelling_params()) else {
            return;
        };
        let watch = skab(index, &[7], watch_params()).unwrap();
        let cavitation = skab(index, &[0, 7, 3], cavitation_params()).unwrap();
        let answers = [
            run::<Hotelling>(&hotelling),
            run::<ProcessWatch>(&watch),
            run::<Cavitation>(&cavitation),
        ];
        let rows = answers[0]
            .iter()
            .enumerate()
            .map(|(row, (level, _, outputs))| {
                let flow = watch.steps[row].inputs[0].value;
                let vibration = hotelling.steps[row].inputs[0].value;
                let cusum = answers[1][row].2[3].value;
                let other = [answers[1][row].0, answers[2][row].0].map(f64::from);
                let t2 = outputs[0].value;
                vec![
                    row as f64,
                    vibration,
                    flow,
                    t2,
                    f64::from(*level),
                    cusum,
                    other[0],
                    other[1],
                ]
            });
        plot(
            &format!("skab-{name}"),
            "row,vibration,flow,t2,hotelling,cusum_low,watch,cavitation",
            rows,
        );
        for (analyzer, answers) in answers.iter().enumerate() {
            let got = (confusion(answers, labelled), first(answers, 1));
            println!("{name} {analyzer}: {got:?}");
            assert_eq!(got, expected[index][analyzer], "{name} {analyzer}");
        }
    }
}
