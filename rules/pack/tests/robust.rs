//! Any input gives a pack or findings, never a panic, and findings point into the file (H-46).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use proptest::prelude::*;
use rules_pack::{Code, Severity};

const PACKS: [&str; 4] = [
    include_str!("../../packs/press-line.yaml"),
    include_str!("../../packs/pump-minimal.yaml"),
    include_str!("../../packs/fan-two-lanes.yaml"),
    include_str!("../../packs/turbine-2oo3.yaml"),
];

/// Pieces that mean something to YAML or to a pack.
const PIECES: [&str; 40] = [
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "#",
    "&a ",
    "*a",
    "!!str ",
    "<<: ",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "\t",
    "\n",
    "\r\n",
    "\u{feff}",
    "\u{0}",
    "ü",
    "\u{202e}",
    "null",
    "~",
    "yes",
    ".nan",
    "-.inf",
    "1e999",
    "-1",
    "65536",
    "0x",
    "10ms",
    "0s",
    "continuous",
    "mm/s",
    "99999999999999999999999999",
    "tags:\n",
];

/// Loads, and holds what must be true of every outcome.
fn hold(source: &str) -> Result<(), TestCaseError> {
    let findings = match rules_pack::load("any.yaml", source) {
        Ok(loaded) => {
            prop_assert!(loaded.plan.check().is_ok());
            prop_assert!(
                loaded
                    .warnings
                    .iter()
                    .all(|finding| finding.severity == Severity::Warning)
            );
            loaded.warnings
        }
        Err(findings) => {
            prop_assert!(
                findings
                    .iter()
                    .any(|finding| finding.severity == Severity::Error)
            );
            findings
        }
    };
    let lines = source.split('\n').count();
    for finding in &findings {
        prop_assert!(source.get(finding.span.clone()).is_some(), "{finding:?}");
        prop_assert!(
            finding.line >= 1 && finding.line <= lines && finding.column >= 1,
            "{finding:?}"
        );
        prop_assert!(
            !finding.message.is_empty() && !finding.help.is_empty(),
            "{finding:?}"
        );
        prop_assert_ne!(finding.code, Code::Defect);
    }
    prop_assert!(
        findings
            .windows(2)
            .all(|pair| pair[0].span.start <= pair[1].span.start)
    );
    let shown = rules_pack::render(&findings, source, false);
    prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
    Ok(())
}

/// Long lines, floods of keys, deep nesting: taken in time that grows with the length, not with its square.
#[test]
fn hostile_shapes_are_taken() {
    let keys: String = (0..30_000).map(|key| format!("k{key}: 1\n")).collect();
    let bomb: String = (1..=20)
        .map(|level| format!("  m{level}: m{0} && m{0}\n", level - 1))
        .collect();
    let bomb = PACKS[1].replace("when: ", "when: m20 && ")
        + "macros:\n  m0: pump.pressure > 1 bar\n"
        + &bomb;
    let shapes = [
        format!("tripline: 1\nrules: [{}]\n", "{x: 1},".repeat(20_000)),
        format!("rules: [{}]", "a,".repeat(60_000)),
        keys,
        "tags: 1\n".repeat(30_000),
        bomb,
    ];
    for shape in shapes {
        hold(&shape).unwrap();
    }
    for piece in PIECES {
        hold(&piece.repeat(20_000)).unwrap();
    }
}

/// A change to a text, at a place given as a share of its length.
#[derive(Clone, Debug)]
enum Change {
    Insert(f64, String),
    Delete(f64, usize),
    CopyLine(f64, f64),
    DeleteLine(f64),
}

fn change() -> impl Strategy<Value = Change> {
    let piece = prop_oneof![
        prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        "[ -~]{0,6}",
    ];
    prop_oneof![
        (0.0..1.0_f64, piece).prop_map(|(at, text)| Change::Insert(at, text)),
        (0.0..1.0_f64, 1..8_usize).prop_map(|(at, length)| Change::Delete(at, length)),
        (0.0..1.0_f64, 0.0..1.0_f64).prop_map(|(from, to)| Change::CopyLine(from, to)),
        (0.0..1.0_f64).prop_map(Change::DeleteLine),
    ]
}

fn place(share: f64, length: usize) -> usize {
    ((share * length as f64) as usize).min(length)
}

fn apply(text: &str, change: &Change) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut lines: Vec<&str> = text.split('\n').collect();
    match change {
        Change::Insert(at, piece) => {
            let at = place(*at, characters.len());
            characters[..at]
                .iter()
                .copied()
                .chain(piece.chars())
                .chain(characters[at..].iter().copied())
                .collect()
        }
        Change::Delete(at, length) => {
            let at = place(*at, characters.len());
            let end = (at + length).min(characters.len());
            characters[..at].iter().chain(&characters[end..]).collect()
        }
        Change::CopyLine(from, to) => {
            let line = lines[place(*from, lines.len() - 1)];
            lines.insert(place(*to, lines.len()), line);
            lines.join("\n")
        }
        Change::DeleteLine(at) => {
            lines.remove(place(*at, lines.len() - 1));
            lines.join("\n")
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_taken(source in ".{0,400}") {
        hold(&source)?;
    }

    #[test]
    fn any_pieces_are_taken(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60)) {
        hold(&pieces.concat())?;
    }

    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(source) = std::str::from_utf8(&bytes) {
            hold(source)?;
        } else {
            let findings = rules_pack::load_bytes("any.yaml", &bytes, &rules_pack::Alone).unwrap_err();
            prop_assert_eq!(findings.len(), 1);
        }
    }

    #[test]
    fn damaged_packs_are_taken(pack in prop::sample::select(&PACKS[..]), changes in prop::collection::vec(change(), 1..6)) {
        let mut source = pack.to_owned();
        for change in &changes {
            source = apply(&source, change);
            if source.is_empty() {
                break;
            }
        }
        hold(&source)?;
    }

    #[test]
    fn any_scalar_is_taken_everywhere(pack in prop::sample::select(vec![PACKS[0], PACKS[3]]), line in 0..300_usize, value in prop_oneof![
        prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        "[ -~]{1,12}",
        any::<f64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
    ]) {
        // The value of one line of a good pack is replaced.
        let mut lines: Vec<String> = pack.split('\n').map(str::to_owned).collect();
        let line = line % lines.len();
        if let Some((key, _)) = lines[line].split_once(": ") {
            lines[line] = format!("{key}: {value}");
        }
        hold(&lines.join("\n"))?;
    }

    #[test]
    fn any_cases_are_taken(source in "(cases:|- |name: |steps:|at_ms: |set: |expect: |[{}:,]|bad|[0-9]|\n| ){0,60}") {
        let plan = rules_pack::load("pump.yaml", PACKS[1]).unwrap().plan;
        if let Err(findings) = rules_pack::cases::parse("any.cases.yaml", &source, &plan) {
            prop_assert!(findings.iter().all(|finding| source.get(finding.span.clone()).is_some()));
        }
    }
}
