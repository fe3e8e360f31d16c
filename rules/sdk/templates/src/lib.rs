//! The files of a new analyzer's folder: the worked examples of `rules/sdk/examples` under the author's name, with a copy
//! of the SDK, so that the folder builds on its own. What CI builds and compares is what an author starts from.
//!
//! Which thread: the command line's. May it block: no. Worst case: some kilobytes of text are copied.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]
#![forbid(unsafe_code)]

/// Name of the examples; the author's takes its place.
const EXAMPLE: &str = "level-watch";
/// Their type in Rust.
const EXAMPLE_TYPE: &str = "LevelWatch";
/// Most bytes of a name, as in the metadata.
const NAME_BYTES_MAX: usize = 64;

/// A language with an SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust.
    Rust,
    /// C.
    C,
    /// AssemblyScript.
    AssemblyScript,
}

impl Language {
    /// All.
    pub const ALL: [Self; 3] = [Self::Rust, Self::C, Self::AssemblyScript];

    /// As it is typed: `rust`, `c`, `assemblyscript`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::AssemblyScript => "assemblyscript",
        }
    }

    /// What to do in the new folder before `tripline analyzer build`, when there is something.
    pub const fn before_build(self) -> Option<&'static str> {
        match self {
            Self::Rust | Self::C => None,
            Self::AssemblyScript => Some("npm ci"),
        }
    }
}

/// A file of the new folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path in the folder, with `/`.
    pub path: String,
    /// Content.
    pub text: String,
}

/// A name that no analyzer can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}`: a name begins with a lower-case letter and has lower-case letters, digits and single `-` between them, at most {NAME_BYTES_MAX}"
)]
pub struct BadName(pub String);

/// A file as it lies in the repository, and what differs in an author's folder besides the name.
struct Source {
    path: &'static str,
    text: &'static str,
    /// Each must be there, exactly once.
    changes: &'static [(&'static str, &'static str)],
}

macro_rules! example {
    ($path:literal, $file:literal, $changes:expr) => {
        Source {
            path: $path,
            text: include_str!(concat!("../../examples/", $file)),
            changes: $changes,
        }
    };
}

macro_rules! sdk {
    ($path:literal, $file:literal) => {
        Source {
            path: $path,
            text: include_str!(concat!("../../", $file)),
            changes: &[],
        }
    };
}

const IGNORE: Source = example!(".gitignore", ".gitignore", &[]);

const RUST: &[Source] = &[
    IGNORE,
    example!(
        "Cargo.toml",
        "rust/Cargo.toml",
        &[
            ("path = \"../../rust\"", "path = \"tripline-analyzer\""),
            (
                "\n# A workspace of its own: guests are built for wasm32, the product is not.",
                "\n# A workspace of its own, wherever this folder lies.",
            ),
        ]
    ),
    example!("Cargo.lock", "rust/Cargo.lock", &[]),
    example!(".cargo/config.toml", "rust/.cargo/config.toml", &[]),
    example!("analyzer.yaml", "rust/analyzer.yaml", &[]),
    example!("level-watch.cases.yaml", "rust/level-watch.cases.yaml", &[]),
    example!(
        "src/lib.rs",
        "rust/src/lib.rs",
        &[
            (
                "\n//! the machine stands. The same analyzer is written in C and in AssemblyScript beside this one, to the same bits.",
                "\n//! the machine stands."
            ),
            (
                "    // In this order, in f64: so the other two languages do it, and the bits are the same.\n",
                "    // In f64: the squares of many samples.\n"
            ),
        ]
    ),
    Source {
        path: "tripline-analyzer/Cargo.toml",
        text: include_str!("../sdk.toml"),
        changes: &[],
    },
    sdk!("tripline-analyzer/src/lib.rs", "rust/src/lib.rs"),
    sdk!("tripline-analyzer/src/export.rs", "rust/src/export.rs"),
    sdk!("tripline-analyzer/src/frame.rs", "rust/src/frame.rs"),
    sdk!("tripline-analyzer/src/hash.rs", "rust/src/hash.rs"),
    sdk!("tripline-analyzer/src/instance.rs", "rust/src/instance.rs"),
    sdk!("tripline-analyzer/src/verdict.rs", "rust/src/verdict.rs"),
];

const C: &[Source] = &[
    IGNORE,
    example!(
        "compile_flags.txt",
        "c/compile_flags.txt",
        &[("-I../../c\n", "-I.\n")]
    ),
    example!("analyzer.yaml", "c/analyzer.yaml", &[]),
    example!("level-watch.cases.yaml", "c/level-watch.cases.yaml", &[]),
    example!(
        "analyzer.c",
        "c/analyzer.c",
        &[
            (
                " The same analyzer is written in Rust and in AssemblyScript beside this one, to the same bits.",
                ""
            ),
            (
                "/* In this order, in double: so the other two languages do it, and the bits are the same. */",
                "/* In double: the squares of many samples. */"
            ),
        ]
    ),
    sdk!("tripline_analyzer.h", "c/tripline_analyzer.h"),
];

const ASSEMBLYSCRIPT: &[Source] = &[
    IGNORE,
    example!("package.json", "assemblyscript/package.json", &[]),
    example!("package-lock.json", "assemblyscript/package-lock.json", &[]),
    example!("asconfig.json", "assemblyscript/asconfig.json", &[]),
    example!("analyzer.yaml", "assemblyscript/analyzer.yaml", &[]),
    example!(
        "level-watch.cases.yaml",
        "assemblyscript/level-watch.cases.yaml",
        &[]
    ),
    example!("counts.ts", "assemblyscript/counts.ts", &[]),
    example!(
        "analyzer.ts",
        "assemblyscript/analyzer.ts",
        &[
            (
                " The same analyzer is written in Rust and in C beside this one, to the same bits.",
                ""
            ),
            (
                "// In this order, in f64: so the other two languages do it, and the bits are the same.",
                "// In f64: the squares of many samples."
            ),
        ]
    ),
    sdk!("tripline.ts", "assemblyscript/tripline.ts"),
];

const fn sources(language: Language) -> &'static [Source] {
    match language {
        Language::Rust => RUST,
        Language::C => C,
        Language::AssemblyScript => ASSEMBLYSCRIPT,
    }
}

/// The files of a new analyzer's folder.
///
/// # Errors
/// [`BadName`].
pub fn files(language: Language, name: &str) -> Result<Vec<File>, BadName> {
    if !is_name(name) {
        return Err(BadName(name.to_owned()));
    }
    let type_name = type_name(name);
    Ok(sources(language)
        .iter()
        .map(|source| {
            let mut text = source.text.to_owned();
            for (from, to) in source.changes {
                text = text.replacen(from, to, 1);
            }
            File {
                path: source.path.replace(EXAMPLE, name),
                text: text
                    .replace(EXAMPLE, name)
                    .replace(EXAMPLE_TYPE, &type_name),
            }
        })
        .collect())
}

/// Names that are right for metadata, cargo and npm alike.
fn is_name(name: &str) -> bool {
    let parts_are_right = name.split('-').all(|part| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    });
    parts_are_right
        && name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        // Cargo gives these to nobody; the SDK's folder has the last.
        && !["test", "core", "std", "alloc", "libm", "tripline-analyzer"].contains(&name)
}

/// Names of types that the source uses already.
const TAKEN: [&str; 11] = [
    "Analyzer",
    "Err",
    "Frame",
    "None",
    "Ok",
    "Option",
    "Outputs",
    "Refused",
    "Self",
    "StateHash",
    "Verdict",
];

/// `pump-watch` as `PumpWatch`.
fn type_name(name: &str) -> String {
    let mut type_name: String = name
        .split('-')
        .flat_map(|part| {
            let mut letters = part.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase())
                .into_iter()
                .chain(letters)
        })
        .collect();
    if TAKEN.contains(&type_name.as_str()) {
        type_name.push_str("Analyzer");
    }
    type_name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_made_once_and_no_trace_of_the_example_is_left() {
        for language in Language::ALL {
            for source in sources(language) {
                for (from, _) in source.changes {
                    assert_eq!(
                        source.text.matches(from).count(),
                        1,
                        "{}: {from}",
                        source.path
                    );
                }
            }
            let files = files(language, "pump-noise2").unwrap();
            for File { path, text } in &files {
                for trace in [
                    EXAMPLE,
                    EXAMPLE_TYPE,
                    "level_watch",
                    "../",
                    "beside this one",
                ] {
                    assert!(
                        !path.contains(trace) && !text.contains(trace),
                        "{path}: {trace}"
                    );
                }
            }
            let text = |path: &str| &files.iter().find(|file| file.path == path).unwrap().text;
            assert!(text("analyzer.yaml").contains("\nname: pump-noise2\n"));
            assert!(text("pump-noise2.cases.yaml").contains("cases:"));
        }
        let rust = files(Language::Rust, "pump-noise2").unwrap();
        assert!(
            rust.iter()
                .any(|file| file.text.contains("export!(PumpNoise2)"))
        );
    }

    #[test]
    fn under_its_own_name_an_example_stays_what_ci_builds() {
        for language in Language::ALL {
            for (file, source) in files(language, EXAMPLE)
                .unwrap()
                .iter()
                .zip(sources(language))
            {
                assert_eq!(file.path, source.path);
                if source.changes.is_empty() {
                    assert_eq!(file.text, source.text);
                }
            }
        }
    }

    #[test]
    fn a_type_has_a_name_of_its_own() {
        for (name, expected) in [
            ("pump-2b", "Pump2b"),
            ("a", "A"),
            ("state-hash", "StateHashAnalyzer"),
        ] {
            assert_eq!(type_name(name), expected);
        }
    }

    #[test]
    fn names_that_metadata_cargo_or_npm_would_refuse_are_refused() {
        for name in [
            "",
            "-",
            "a-",
            "-a",
            "a--b",
            "A",
            "9a",
            "a_b",
            "a b",
            "ä",
            "../a",
            "test",
            "tripline-analyzer",
            &"a".repeat(65),
        ] {
            assert_eq!(
                files(Language::C, name),
                Err(BadName(name.to_owned())),
                "{name}"
            );
        }
        for name in ["a", "pump-2", &"a".repeat(64)] {
            assert!(files(Language::C, name).is_ok(), "{name}");
        }
    }
}
