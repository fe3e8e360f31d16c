//! Turns the network's weights, a text file of numbers, into a constant.
#![allow(
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a build script ends a build by panicking"
)]

use std::{env, fs, path::Path};

const FILE: &str = "weights/bearing-net.txt";
/// Names in the file and lengths of their rows.
const LAYERS: [(&str, usize, usize); 6] = [
    ("mean", 1, 6),
    ("scale", 1, 6),
    ("first", 12, 6),
    ("first_bias", 1, 12),
    ("second", 4, 12),
    ("second_bias", 1, 4),
];

fn main() {
    println!("cargo:rerun-if-changed={FILE}");
    let text = fs::read_to_string(FILE).expect("the weights are in the repository");
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut out = String::from("const WEIGHTS: Weights = Weights {\n");
    for (name, rows, columns) in LAYERS {
        assert_eq!(lines.next(), Some(name), "{FILE}: next must be `{name}`");
        let mut matrix = Vec::new();
        for _ in 0..rows {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("{FILE}: `{name}` ends early"));
            let row: Vec<f64> = line
                .split_whitespace()
                .map(|word| {
                    word.parse()
                        .unwrap_or_else(|_| panic!("{FILE}: `{word}` is no number"))
                })
                .collect();
            assert_eq!(row.len(), columns, "{FILE}: `{name}` has rows of {columns}");
            matrix.push(row);
        }
        let value = if rows == 1 {
            format!("{:?}", matrix[0])
        } else {
            format!("{matrix:?}")
        };
        out.push_str(&format!("    {name}: {value},\n"));
    }
    out.push_str("};\n");
    let path = Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("weights.rs");
    fs::write(path, out).expect("the build folder can be written");
}
