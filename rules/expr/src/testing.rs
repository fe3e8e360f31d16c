//! Deterministic generators for tests of this and other crates: expressions, scopes and slots from a seed.
//!
//! Not part of the product's interface. Everything follows from the seed alone, so that a failing seed can be kept as a
//! test. The expressions are always well typed; a test that sees one refused has found a defect.

use crate::ir::SlotValue;
use crate::scope::{Constant, Scope, TagInfo, TagKind};
use crate::unit::{Unit, parse_unit};
use crate::{DeadBand, Input};

/// A random sequence (SplitMix64; Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let at = self.below(from.len() as u64);
        usize::try_from(at)
            .ok()
            .and_then(|at| from.get(at))
            .copied()
            .unwrap_or("")
    }
}

/// The names that generated expressions use.
///
/// Tags: `v.a` `v.b` `v.c` (mm/s), `w.a` (m/s), `t.a` (degC), `t.b` (degF), `t.k` (K), `p.a` (bar), `n.a` `n.b`
/// (count), `q.a` (%), `d.a` (ms), `b.a` `b.b` `b.c` (true or false). Constants: `limit.v` `limit.n` `limit.t`. Macros:
/// `m.high` (a condition), `m.mean` (a number in mm/s).
#[derive(Clone, Copy, Debug, Default)]
pub struct TestScope;

const NUMBERS: &[(&str, &str)] = &[
    ("v.a", "mm/s"),
    ("v.b", "mm/s"),
    ("v.c", "mm/s"),
    ("w.a", "m/s"),
    ("t.a", "degC"),
    ("t.b", "degF"),
    ("t.k", "K"),
    ("p.a", "bar"),
    ("n.a", "count"),
    ("n.b", "count"),
    ("q.a", "%"),
    ("d.a", "ms"),
];
const BOOLS: &[&str] = &["b.a", "b.b", "b.c"];
const CONSTANTS: &[(&str, f64, &str)] = &[
    ("limit.v", 7.1, "mm/s"),
    ("limit.n", 3.0, "1"),
    ("limit.t", 80.0, "degC"),
];
const MACROS: &[(&str, &str)] = &[
    ("m.high", "v.a > limit.v || t.a > limit.t"),
    ("m.mean", "(v.a + v.b + v.c) / 3"),
];

impl Scope for TestScope {
    fn tag(&self, name: &str) -> Option<TagInfo> {
        if BOOLS.contains(&name) {
            return Some(TagInfo {
                unit: Unit::ONE,
                kind: TagKind::Bool,
            });
        }
        let (_, unit) = NUMBERS.iter().find(|(tag, _)| *tag == name)?;
        Some(TagInfo {
            unit: parse_unit(unit)?,
            kind: TagKind::Number,
        })
    }

    fn constant(&self, name: &str) -> Option<Constant> {
        let (_, value, unit) = CONSTANTS.iter().find(|(known, ..)| *known == name)?;
        Some(Constant {
            value: *value,
            unit: parse_unit(unit)?,
        })
    }

    fn macro_source(&self, name: &str) -> Option<&str> {
        MACROS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| *text)
    }

    fn names(&self) -> Vec<&str> {
        let numbers = NUMBERS.iter().map(|(name, _)| *name);
        let constants = CONSTANTS.iter().map(|(name, ..)| *name);
        let macros = MACROS.iter().map(|(name, _)| *name);
        numbers
            .chain(BOOLS.iter().copied())
            .chain(constants)
            .chain(macros)
            .collect()
    }
}

/// A generated expression; compile it with [`TestScope`].
#[derive(Clone, Debug)]
pub struct Generated {
    /// Its text: well typed.
    pub source: String,
    /// A dead band that fits it, for some of them.
    pub dead_band: Option<DeadBand>,
}

/// The expression of `seed`.
pub fn expression(seed: u64) -> Generated {
    let mut random = Random::new(seed);
    let depth = random.below(5);
    // With a dead band exactly one comparison may be in its unit: pressure is kept for it.
    let banded = random.below(4) == 0;
    let mut source = condition(&mut random, depth);
    let mut dead_band = None;
    if banded {
        let relation = random.pick(&["<", "<=", ">", ">="]);
        let one = match random.below(4) {
            0 => format!("p.a {relation} 5 bar"),
            1 => format!("500 kPa {relation} p.a"),
            2 => format!("!(p.a {relation} 4.5 bar)"),
            _ => format!("avg(p.a, 2 s) {relation} p.a + 0.1 MPa"),
        };
        let join = random.pick(&["&&", "||"]);
        source = format!("({source}) {join} {one}");
        dead_band = parse_unit("mbar").map(|unit| DeadBand { value: 250.0, unit });
    }
    Generated { source, dead_band }
}

fn condition(random: &mut Random, depth: u64) -> String {
    if depth == 0 {
        return match random.below(6) {
            0 => random.pick(BOOLS).to_owned(),
            1 => random.pick(&["true", "false", "m.high"]).to_owned(),
            2 => quality(random),
            3 => format!(
                "age({}) > {}",
                random.pick(&["v.a", "b.a", "t.a"]),
                random.pick(&["500ms", "1 s", "0 ns"])
            ),
            _ => comparison(random, 0),
        };
    }
    let inner = depth - 1;
    match random.below(8) {
        0 => format!("!({})", condition(random, inner)),
        1 => format!(
            "({}) && ({})",
            condition(random, inner),
            condition(random, inner)
        ),
        2 => format!(
            "({}) || ({})",
            condition(random, inner),
            condition(random, inner)
        ),
        3 => format!(
            "(({}) ? ({}) : ({}))",
            condition(random, inner),
            condition(random, inner),
            condition(random, inner)
        ),
        4 => {
            let sign = random.pick(&["==", "!="]);
            format!(
                "({}) {sign} ({})",
                condition(random, inner),
                condition(random, inner)
            )
        }
        5 => format!(
            "{} && {} || {}",
            comparison(random, inner),
            comparison(random, inner),
            comparison(random, inner)
        ),
        _ => comparison(random, inner),
    }
}

fn quality(random: &mut Random) -> String {
    let tag = random.pick(&["v.a", "b.a", "t.k"]);
    let relation = relation(random);
    let word = random.pick(&["good", "uncertain", "bad", "stale"]);
    format!("quality({tag}) {relation} {word}")
}

fn relation(random: &mut Random) -> &'static str {
    random.pick(&["<", "<=", ">", ">=", "==", "!="])
}

fn comparison(random: &mut Random, depth: u64) -> String {
    let relation = relation(random);
    match random.below(5) {
        0 => format!(
            "{} {relation} {}",
            velocity(random, depth),
            velocity(random, depth)
        ),
        1 => format!(
            "{} {relation} {}",
            temperature(random, depth),
            temperature(random, depth)
        ),
        2 => format!(
            "{} {relation} {}",
            plain(random, depth),
            plain(random, depth)
        ),
        3 => format!(
            "{} {relation} {}",
            difference(random, depth),
            random.pick(&["5 K", "-2.5 K", "0 K"])
        ),
        _ => format!(
            "d.a {relation} {}",
            random.pick(&["500ms", "0.25 s", "min(d.a, 3 s)"])
        ),
    }
}

fn velocity(random: &mut Random, depth: u64) -> String {
    if depth == 0 {
        return random
            .pick(&[
                "v.a",
                "v.b",
                "v.c",
                "w.a",
                "7.1 mm/s",
                "0.0045 m/s",
                "-1 mm/s",
                "0.25 in/s",
                "limit.v",
                "m.mean",
                "avg(v.a, 500ms)",
                "min(v.b, 1 s)",
                "max(w.a, 1 s)",
                "rms(v.c, 2 s)",
                "delta(v.a, 1 s)",
                "stddev(v.a, 1 s)",
            ])
            .to_owned();
    }
    let inner = depth - 1;
    let a = velocity(random, inner);
    let b = velocity(random, inner);
    match random.below(10) {
        0 => format!("({a} + {b})"),
        1 => format!("({a} - {b})"),
        2 => format!("({a} * {})", plain(random, inner)),
        3 => format!("({a} / {})", divisor(random)),
        4 => format!("abs({a})"),
        5 => format!("(-({a}))"),
        6 => format!("{}({a}, {b}, v.a)", random.pick(&["min", "max"])),
        7 => format!("clamp({a}, 1 mm/s, 9 mm/s)"),
        8 => format!("sqrt(v.a * v.a + ({a}) * ({b}))"),
        _ => format!("({} ? {a} : {b})", condition(random, inner)),
    }
}

fn divisor(random: &mut Random) -> &'static str {
    random.pick(&["n.a", "n.b", "2", "(n.a - n.b)", "50 %", "q.a", "0.1"])
}

fn plain(random: &mut Random, depth: u64) -> String {
    if depth == 0 {
        return random
            .pick(&[
                "n.a",
                "n.b",
                "3 count",
                "2.5 count",
                "-1 count",
                "limit.n",
                "1e300 count",
                "avg(n.a, 1 s)",
                "5e-324 count",
            ])
            .to_owned();
    }
    let inner = depth - 1;
    let a = plain(random, inner);
    let b = plain(random, inner);
    match random.below(6) {
        0 => format!("({a} * n.a)"),
        1 => format!("({a} / n.b)"),
        2 => format!("sqrt({a} + n.a)"),
        3 => format!("(v.a / {})", random.pick(&["v.b", "w.a", "limit.v"])),
        4 => format!("max({a}, n.a, {b})"),
        _ => format!("({a} - n.b)"),
    }
}

fn temperature(random: &mut Random, depth: u64) -> String {
    if depth == 0 {
        return random
            .pick(&[
                "t.a",
                "t.b",
                "t.k",
                "80 degC",
                "-40 degF",
                "350 K",
                "limit.t",
                "avg(t.a, 1 min)",
            ])
            .to_owned();
    }
    match random.below(4) {
        0 => format!("(t.a + {})", difference(random, depth - 1)),
        1 => "(t.b - 5 K)".to_owned(),
        2 => format!("max(t.a, t.b, {})", temperature(random, 0)),
        _ => format!("({} ? t.a : t.b)", condition(random, 0)),
    }
}

fn difference(random: &mut Random, depth: u64) -> String {
    if depth == 0 {
        return random
            .pick(&[
                "(t.a - t.b)",
                "(t.b - t.a)",
                "delta(t.a, 1 s)",
                "stddev(t.b, 1 s)",
            ])
            .to_owned();
    }
    format!(
        "({} * {})",
        difference(random, depth - 1),
        random.pick(&["2", "n.a", "0.5"])
    )
}

/// A slot value for `input`, often one of the values that break arithmetic.
pub fn slot(random: &mut Random, input: &Input) -> SlotValue {
    const ODD: [f64; 14] = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        5e-324,
        -2.2e-308,
        f64::MAX,
        f64::MIN,
        1.0,
        -1.0,
        7.1,
        80.0,
        3.0,
    ];
    match input {
        Input::Quality(_) => SlotValue {
            value: random.below(4) as f64,
            usable: true,
        },
        Input::Age(_) => SlotValue {
            value: random.below(2_000_000_000) as f64,
            usable: true,
        },
        Input::Tag(tag) if BOOLS.contains(&tag.as_str()) => SlotValue {
            value: match random.below(8) {
                0 => 0.5,
                1 => f64::NAN,
                other => (other % 2) as f64,
            },
            usable: random.below(6) != 0,
        },
        Input::Tag(_) | Input::Window { .. } => SlotValue {
            value: if random.below(3) == 0 {
                let at = random.below(ODD.len() as u64);
                usize::try_from(at)
                    .ok()
                    .and_then(|at| ODD.get(at))
                    .copied()
                    .unwrap_or(0.0)
            } else {
                random.below(20_000) as f64 / 100.0 - 50.0
            },
            usable: random.below(8) != 0,
        },
    }
}
