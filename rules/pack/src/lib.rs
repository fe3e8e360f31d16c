//! YAML rule packs: read, checked as a whole, resolved into a plan; every finding with file, line, caret and a way out.
//!
//! ```text
//! text -> yaml (nodes with spans) -> raw (typed records) -> check (names, units, sums) -> resolve -> rules_bundle::Plan
//! ```
//!
//! Which thread: the pack compiler's, never a lane. May it block: no, it reads text already in memory. Worst case: linear
//! in the text, bounded by `rt_config::limits` and `limits` here; 10,000 rules take well under a second in release.
//! Hazards: H-5 (scaling and units), H-46 (syntax, unknown keys, alias bombs), H-48 (names that do not resolve), H-62
//! (outputs that share a place).
//!
//! A pack loads whole or not at all. The reference for people is `docs/pack-reference.md`.
#![forbid(unsafe_code)]

mod beside;
pub mod cases;
mod check;
mod either;
mod finding;
mod limits;
pub mod module;
mod payload;
mod raw;
mod read;
mod render;
mod resolve;
mod scalar;
mod schema;
mod source;
mod suggest;
pub mod watchdog;
mod yaml;

use rt_config::limits::PACK_BYTES_MAX;
use rules_bundle::Plan;

pub use beside::{Alone, Beside};
pub use check::modules::ModuleFile;
pub use finding::{Code, Finding, Severity};
pub use render::render;
pub use schema::json_schema;

use check::CheckedPack;
use check::modules::Modules;
use finding::Findings;
use raw::Pack;
use read::{Cx, Read};
use source::Lines;
use yaml::Problem;

/// A pack that loads.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it means.
    pub plan: Plan,
    /// The modules of the plan, in its order.
    pub modules: Vec<ModuleFile>,
    /// The blocks of the plan, in its order.
    pub blocks: Vec<Vec<u8>>,
    /// What is probably not meant; in the order of the file.
    pub warnings: Vec<Finding>,
}

/// Reads and checks a pack that names no other file. `file_name` is only shown.
///
/// # Errors
/// All findings, errors and warnings, in the order of the file; at least one is an error. At most some hundred are
/// listed, the rest is counted in the last one. A file that is not YAML gives the first place at which it is not.
pub fn load(file_name: &str, source: &str) -> Result<Loaded, Vec<Finding>> {
    load_beside(file_name, source, &Alone)
}

/// As [`load`], of a pack that may name files beside itself.
///
/// # Errors
/// As [`load`].
pub fn load_beside(
    file_name: &str,
    source: &str,
    beside: &dyn Beside,
) -> Result<Loaded, Vec<Finding>> {
    let lines = Lines::new(source);
    let mut findings = Findings::new(&lines);
    let plan = compile(source, beside, &mut findings);
    let failed = findings.errors() > 0;
    let findings = findings.finish(file_name);
    match plan {
        Some((plan, modules)) if !failed => Ok(Loaded {
            plan,
            modules: modules.files,
            blocks: modules.blocks,
            warnings: findings,
        }),
        _ => Err(findings),
    }
}

/// As [`load_beside`], from bytes that may not be text.
///
/// # Errors
/// As [`load`]; a file that is not UTF-8 gives one finding at the first byte that is not.
pub fn load_bytes(
    file_name: &str,
    bytes: &[u8],
    beside: &dyn Beside,
) -> Result<Loaded, Vec<Finding>> {
    match std::str::from_utf8(bytes) {
        Ok(source) => load_beside(file_name, source, beside),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let source = std::str::from_utf8(good).unwrap_or_default();
            let lines = Lines::new(source);
            let mut findings = Findings::new(&lines);
            let end = source.len();
            findings.error(
                Code::NotUtf8,
                &(end..end),
                format!("byte {end} is not UTF-8 text"),
                "save the file as UTF-8 in the editor",
            );
            Err(findings.finish(file_name))
        }
    }
}

fn compile(
    source: &str,
    beside: &dyn Beside,
    findings: &mut Findings<'_>,
) -> Option<(Plan, Modules)> {
    let root = parse(source, findings)?;
    let mut cx = Cx { source, findings };
    // A pack of another version is another language: what else is found would only mislead.
    if let yaml::Kind::Map(entries) = &root.kind
        && let Some(version) = entries.iter().find(|entry| entry.key == "tripline")
    {
        scalar::Version::read(&version.value, &version.key_span, &mut cx)?;
    }
    let pack = Pack::read(&root, &(0..0), &mut cx)?;
    let checked = CheckedPack::new(&pack, beside, &mut cx)?;
    let plan = resolve::plan(&checked);
    let defect = match &plan {
        None => Some("something that was checked does not resolve".to_owned()),
        Some(plan) => plan.check().err().map(|error| error.to_string()),
    };
    if let Some(cause) = defect {
        cx.findings.error(
            Code::Defect,
            &(0..0),
            format!("the pack was accepted, but its plan is not valid: {cause}"),
            "this is a defect in Tripline: please report it with the pack",
        );
        return None;
    }
    if let Some(plan) = &plan {
        check::reaction::judge(&checked, plan, cx.findings);
    }
    plan.map(|plan| (plan, checked.into_modules()))
}

/// Text to nodes, with the parser's errors in our words.
fn parse(source: &str, findings: &mut Findings<'_>) -> Option<yaml::Node> {
    if source.len() > PACK_BYTES_MAX {
        findings.error(
            Code::TooLarge,
            &(0..0),
            format!(
                "the file has {} bytes; a pack has at most {PACK_BYTES_MAX}",
                source.len()
            ),
            "divide it into several packs, each with its own guard",
        );
        return None;
    }
    let error = match yaml::parse(source) {
        Ok(node) if matches!(node.kind, yaml::Kind::Null) => {
            findings.error(
                Code::MissingKey,
                &(0..0),
                "the file is empty",
                "start with `tripline: 1`; rules/packs/pump-minimal.yaml is the smallest useful pack",
            );
            return None;
        }
        Ok(node) => return Some(node),
        Err(error) => error,
    };
    let (code, message, help) = match error.problem {
        Problem::Indirection
            if source
                .get(error.span.start..)
                .is_some_and(|text| text.starts_with('!')) =>
        {
            (
                Code::Indirection,
                "an unquoted value that starts with `!` is a YAML tag, and packs use none"
                    .to_owned(),
                "quote an expression that starts with `!`: `when: \"!press.guard.closed\"`",
            )
        }
        Problem::Indirection => (
            Code::Indirection,
            "anchors (`&`), aliases (`*`), merge keys (`<<`) and tags (`!`) are not used in packs"
                .to_owned(),
            "write the value out, or name it under `constants` or `macros`; quote a text that starts with one of these signs",
        ),
        Problem::TooLarge => (
            Code::TooLarge,
            "the file is nested deeper, or holds more values, than a pack can need".to_owned(),
            "divide it into several packs, or check the brackets",
        ),
        Problem::Documents => (
            Code::Documents,
            "a second YAML document starts here; a file holds exactly one pack".to_owned(),
            "put the second pack into its own file, or remove the `---`",
        ),
        Problem::Key => (
            Code::WrongType,
            "a key is a word, not a list or a mapping".to_owned(),
            "quote a text that starts with `[` or `{`",
        ),
        Problem::Syntax(cause) => (
            Code::Syntax,
            format!("not valid YAML: {}", without_place(&cause)),
            "check indentation, quotes and brackets here and in the line above; use spaces, not tabs",
        ),
    };
    findings.error(code, &error.span, message, help);
    None
}

/// The parser's words without the place, which the finding shows by itself.
fn without_place(cause: &str) -> &str {
    cause
        .rsplit_once(" at line ")
        .map_or(cause, |(words, _)| words)
}
