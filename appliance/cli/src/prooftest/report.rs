//! What a proof test found: for people, for programs, signed.

use std::fmt::Write as _;
use std::path::Path;

use appliance_desk::{NOTICE, wall_time};
use serde::{Deserialize, Serialize};

use super::sign::{self, Key};
use crate::units;

/// Version of the report's form. 2: modules, what stimuli were, resets.
const FORM: u32 = 2;

/// How a path went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every output stopped, was proved, and in time.
    Passed,
    /// Not.
    Failed,
    /// The outputs stopped, but not by what was tested; or nobody applied the stimulus.
    NotProved,
}

impl Outcome {
    /// The word in the text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::NotProved => "not proved",
        }
    }
}

/// One output on a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputResult {
    /// The output.
    pub output: String,
    /// From the stimulus to the safe value in the device, in nanoseconds; absent when it did not come, or cannot be seen.
    pub safe_after_ns: Option<u64>,
    /// From the stimulus to the feedback, in nanoseconds; absent when it did not come, or there is none.
    pub feedback_after_ns: Option<u64>,
    /// Whether the pack declares a feedback. Without one nothing proves the actuator.
    pub has_feedback: bool,
    /// Whether this output did what it must.
    pub passed: bool,
}

/// One path: a stimulus, the rule that must see it, the outputs that must stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathResult {
    /// Lane.
    pub lane: String,
    /// Rule.
    pub rule: String,
    /// What was done.
    pub stimulus: String,
    /// SHA-256 of all that was shown, when it was declared beside the pack: hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stimulus_sha256: Option<String>,
    /// The analyzers whose values the rule reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub analyzers: Vec<String>,
    /// How it went.
    pub outcome: Outcome,
    /// Why not passed.
    pub why: Option<String>,
    /// The cause that the rule gave.
    pub cause: Option<String>,
    /// Longest time allowed from the stimulus to the stop of outputs of category 0, in nanoseconds.
    pub limit_ns: u64,
    /// From sample to confirmed stop as the guard measured it, in nanoseconds.
    pub confirmed_ns: Option<u64>,
    /// Whether a reset was refused while the cause stood; absent when it was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_refused: Option<bool>,
    /// The outputs.
    pub outputs: Vec<OutputResult>,
}

/// An analyzer of the pack, and the module that it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalyzerUsed {
    /// Lane.
    pub lane: String,
    /// The analyzer's id.
    pub analyzer: String,
    /// Name of the module.
    pub module: String,
    /// Version of the module.
    pub version: u32,
    /// SHA-256 of its `.wasm`, hexadecimal.
    pub sha256: String,
    /// Who signed it; absent when nobody did.
    pub signer: Option<String>,
}

/// Something that was not tested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotTested {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// How the devices were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All of them simulated: rules, guard and outputs are proved, no wire and no actuator.
    Simulated,
    /// The machine itself.
    Machine,
}

/// A proof test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Version of this form.
    pub form: u32,
    /// What Tripline is not.
    pub notice: String,
    /// Version of the program.
    pub tripline: String,
    /// How the devices were there.
    pub mode: Mode,
    /// Name of the pack.
    pub pack: String,
    /// Version of the pack.
    pub version: String,
    /// Who signed the pack; absent when nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Content hash of the pack's bundle.
    pub bundle: String,
    /// Begin by the wall clock, in nanoseconds since 1970.
    pub began_wall_ns: u64,
    /// End by the wall clock.
    pub ended_wall_ns: u64,
    /// The analyzers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub analyzers: Vec<AnalyzerUsed>,
    /// What was tested.
    pub paths: Vec<PathResult>,
    /// What was not.
    pub not_tested: Vec<NotTested>,
    /// Rules that stop by what an analyzer says, and that no signal that is known to be bad has made act in this test.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unproved: Vec<String>,
    /// Why the test ended before its end, if it did.
    pub broken_off: Option<String>,
    /// Whether the test came to its end, at least one path passed, none failed, and no analyzer's rule is unproved.
    pub passed: bool,
}

impl Report {
    /// An empty report that begins now.
    pub(super) fn begin(mode: Mode, plan: &rules_bundle::Plan, bundle: String) -> Self {
        Self {
            form: FORM,
            notice: format!("Tripline is {NOTICE}."),
            tripline: env!("CARGO_PKG_VERSION").to_owned(),
            mode,
            pack: plan.name.clone(),
            version: plan.version.clone(),
            signer: match &plan.vouched {
                rules_bundle::Vouched::By(signed) => Some(signed.signer.clone()),
                rules_bundle::Vouched::Nobody | rules_bundle::Vouched::Program => None,
            },
            bundle,
            began_wall_ns: wall_time::now_ns(),
            ended_wall_ns: 0,
            analyzers: analyzers(plan),
            paths: Vec::new(),
            not_tested: Vec::new(),
            unproved: Vec::new(),
            broken_off: None,
            passed: false,
        }
    }

    /// Notes a rule that stops by what analyzers say, unless a signal that is known to be bad made it act.
    pub(super) fn note_unproved(&mut self, lane: &str, rule: &str) {
        let proved = self.paths.iter().any(|path| {
            (path.lane.as_str(), path.rule.as_str()) == (lane, rule)
                && path.outcome == Outcome::Passed
                && path.cause.as_deref() == Some("condition")
        });
        if !proved {
            self.unproved.push(rule.to_owned());
        }
    }

    /// Ends it now, and judges.
    pub(super) fn end(mut self) -> Self {
        self.ended_wall_ns = wall_time::now_ns();
        let any = |outcome| self.paths.iter().any(|path| path.outcome == outcome);
        self.passed = self.broken_off.is_none()
            && any(Outcome::Passed)
            && !any(Outcome::Failed)
            && self.unproved.is_empty();
        self
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mode = match self.mode {
            Mode::Simulated => "all devices simulated",
            Mode::Machine => "on the machine",
        };
        let _ = writeln!(text, "Proof test of {} {}, {mode}", self.pack, self.version);
        let signer = self.signer.as_deref().unwrap_or("nobody");
        let _ = writeln!(text, "bundle {}, pack signed by {signer}", self.bundle);
        let _ = writeln!(
            text,
            "from {} to {}",
            wall_time::rfc3339(self.began_wall_ns),
            wall_time::rfc3339(self.ended_wall_ns)
        );
        for used in &self.analyzers {
            let _ = writeln!(text, "analyzer {}: {}", used.analyzer, used.words());
        }
        let _ = writeln!(text, "{}\n", self.notice);
        for path in &self.paths {
            let _ = writeln!(
                text,
                "{:<10}  {}: {}",
                path.outcome.as_str(),
                path.rule,
                path.stimulus
            );
            for output in &path.outputs {
                let _ = writeln!(text, "            {}", output_line(output, path.limit_ns));
            }
            if let Some(why) = &path.why {
                let _ = writeln!(text, "            {why}");
            }
            if let Some(sha256) = &path.stimulus_sha256 {
                let _ = writeln!(text, "            stimulus sha256 {sha256}");
            }
        }
        if !self.not_tested.is_empty() {
            let _ = writeln!(text, "\nNot tested:");
            for open in &self.not_tested {
                let _ = writeln!(text, "  {}: {}", open.what, open.why);
            }
        }
        if !self.unproved.is_empty() {
            let _ = writeln!(
                text,
                "\nNot whole: nothing that is known to be bad has made these act: {}",
                self.unproved.join(", ")
            );
        }
        if let Some(cause) = &self.broken_off {
            let _ = writeln!(
                text,
                "\nBroken off: the guard did not let itself be reset ({cause})"
            );
        }
        let count = |outcome| {
            let paths = self.paths.iter();
            paths.filter(|path| path.outcome == outcome).count()
        };
        let _ = writeln!(
            text,
            "\n{} passed, {} failed, {} not proved, {} not tested: {}",
            units::counted(count(Outcome::Passed), "path"),
            count(Outcome::Failed),
            count(Outcome::NotProved),
            units::counted(self.not_tested.len(), "thing"),
            match (self.passed, count(Outcome::Failed), &self.broken_off) {
                (true, ..) => "PASSED",
                (false, 0, None) if !self.unproved.is_empty() => "NOT WHOLE",
                _ => "FAILED",
            }
        );
        text
    }
}

impl AnalyzerUsed {
    fn words(&self) -> String {
        let signer = self.signer.as_ref().map_or_else(
            || "signed by nobody".to_owned(),
            |signer| format!("signed by {signer}"),
        );
        format!(
            "module {} version {}, sha256 {}, {signer}",
            self.module, self.version, self.sha256
        )
    }
}

fn analyzers(plan: &rules_bundle::Plan) -> Vec<AnalyzerUsed> {
    let lanes = plan.lanes.iter();
    let all = lanes.flat_map(|lane| {
        lane.analyzers()
            .map(move |(_, name, one)| (lane, name, one))
    });
    all.filter_map(|(lane, name, analyzer)| {
        let module = plan.modules.get(usize::from(analyzer.module))?;
        Some(AnalyzerUsed {
            lane: lane.name.clone(),
            analyzer: name.to_owned(),
            module: module.name.clone(),
            version: module.version,
            sha256: module
                .sha256
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            signer: module
                .signature
                .as_ref()
                .map(|signed| signed.signer.clone()),
        })
    })
    .collect()
}

fn output_line(output: &OutputResult, limit_ns: u64) -> String {
    let mut line = format!("{}: ", output.output);
    match output.safe_after_ns {
        Some(after) => {
            let _ = write!(
                line,
                "safe after {} (at most {})",
                units::time(after),
                units::time(limit_ns)
            );
        }
        None if output.passed => line.push_str("safe"),
        None => line.push_str("NOT SAFE"),
    }
    match (output.has_feedback, output.feedback_after_ns) {
        (true, Some(after)) => {
            let _ = write!(line, ", feedback after {}", units::time(after));
        }
        (true, None) if output.passed => line.push_str(", feedback seen by the guard"),
        (true, None) => line.push_str(", NO FEEDBACK"),
        (false, _) => line.push_str(", no feedback declared: nothing proves the actuator"),
    }
    line
}

/// A report with its signature, as it is filed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    report: Report,
    /// Ed25519, hexadecimal: whose signature it is.
    public_key: String,
    /// Over the report as compact JSON.
    signature: String,
}

/// The file of a signed report.
pub(super) fn file(report: &Report, key: &Key) -> Result<Vec<u8>, serde_json::Error> {
    let signed = Signed {
        signature: key.sign(&serde_json::to_vec(report)?),
        public_key: key.public(),
        report: report.clone(),
    };
    let mut bytes = serde_json::to_vec_pretty(&signed)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Why a report is not believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not one.
    #[error("not a report of `tripline prooftest` ({0})")]
    Form(#[from] serde_json::Error),
    /// It is of another version.
    #[error("a report of form {0}; this program knows form {FORM}")]
    OtherForm(u32),
    /// It was signed by somebody else.
    #[error("signed with another key ({0}) than the one given")]
    OtherKey(String),
    /// It was changed after it was signed, or never signed with this key.
    #[error(
        "the signature does not fit: the report was changed after it was signed, or is not by this key"
    )]
    Signature,
}

/// Opens a filed report that was signed with `public_key`.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(bytes: &[u8], public_key: &str) -> Result<Report, VerifyError> {
    let signed: Signed = serde_json::from_slice(bytes)?;
    // Form 1 is form 2 without what is new in it.
    if !(1..=FORM).contains(&signed.report.form) {
        return Err(VerifyError::OtherForm(signed.report.form));
    }
    let public_key = public_key.trim();
    if !signed.public_key.eq_ignore_ascii_case(public_key) {
        return Err(VerifyError::OtherKey(signed.public_key));
    }
    let message = serde_json::to_vec(&signed.report)?;
    if !sign::is_signed(public_key, &message, &signed.signature) {
        return Err(VerifyError::Signature);
    }
    Ok(signed.report)
}

/// Where a report of this pack goes unless it is told.
pub(super) fn default_path(pack: &Path) -> std::path::PathBuf {
    let name = pack.file_stem().map_or_else(
        || "pack".to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    );
    format!("{name}.prooftest.json").into()
}
