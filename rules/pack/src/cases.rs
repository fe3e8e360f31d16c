//! Recorded inputs and expected verdicts beside a pack: `NAME.cases.yaml`.
//!
//! ```yaml
//! cases:
//!   - name: a hot bearing stops the press
//!     steps:
//!       - { at_ms: 0, set: { press.temperature: 40 }, expect: { too_hot: normal } }
//!       - { at_ms: 100, set: { press.temperature: 95 }, expect: { too_hot: pending } }
//!       - { at_ms: 2200, expect: { too_hot: danger } }
//! ```
//!
//! Meaning, for whoever runs a case: at `at_ms` the values of `set` arrive, the lane ticks, then `expect` holds. A value
//! that was set arrives again with every read of its device until a later step changes it, so that it stays fresh; `bad`
//! arrives as a bad sample, `silent` does not arrive at all and becomes stale; a list is registers as the device sent them. A tag that no step has set is silent.
//! Verdicts latch: after a danger, only `danger` can follow within a case.

use std::ops::Range;

use drivers_frame::TagId;
use rules_bundle::{LanePlan, LinkPlan, Plan, PointPlan, Table, WaveformPlan};

use crate::finding::{Code, Finding, Findings};
use crate::module::{Block, RawBlock, block};
use crate::read::{Cx, List, Map, Read, Req, Span, choice, record};
use crate::scalar::{Bool, Int, Number, Text};
use crate::source::Lines;
use crate::suggest::nearest;
use crate::yaml::{Kind, Node};

/// One recorded run.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// In ascending order of time.
    pub steps: Vec<Step>,
}

/// One moment of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Milliseconds from the start of the case.
    pub at_ms: u64,
    /// What arrives, by tag.
    pub set: Vec<(String, Stimulus)>,
    /// Blocks that arrive from now on, by waveform.
    pub blocks: Vec<(String, Blocks)>,
    /// What must hold after the tick, by rule.
    pub expect: Vec<(String, Verdict)>,
    /// Bytes of the file, to point at when the step fails.
    pub span: Range<usize>,
}

/// What happens to a waveform.
#[derive(Clone, Debug, PartialEq)]
pub enum Blocks {
    /// Blocks like this one, at once and then with every period of the waveform.
    Like(Block),
    /// No block any more.
    Silent,
}

/// What happens to a tag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stimulus {
    /// A good sample, in the tag's unit; a boolean is 0.0 or 1.0.
    Value(f64),
    /// What the device sent, as recorded: it goes through the tag's own type, order, scaling and range (H-5).
    Registers(Registers),
    /// A bad sample.
    Bad,
    /// No sample any more.
    Silent,
}

/// Registers as they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    words: [u16; 4],
    count: u8,
}

impl Registers {
    /// One to four registers, in the order of their addresses. `None` for any other count.
    pub fn new(registers: &[u16]) -> Option<Self> {
        let mut words = [0; 4];
        let count = u8::try_from(registers.len()).ok()?;
        words
            .get_mut(..registers.len())
            .filter(|cells| !cells.is_empty())?
            .copy_from_slice(registers);
        Some(Self { words, count })
    }

    /// The registers.
    pub fn words(&self) -> &[u16] {
        self.words.get(..usize::from(self.count)).unwrap_or(&[])
    }
}

/// State of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The condition does not hold.
    Normal,
    /// The condition holds, its on-delay has not elapsed.
    Pending,
    /// The alert is active.
    Alert,
    /// Tripped and latched.
    Danger,
}

impl Verdict {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Pending => "pending",
            Self::Alert => "alert",
            Self::Danger => "danger",
        }
    }
}

record! {
    /// Recorded inputs and expected verdicts.
    CaseFile {
        /// The cases.
        cases: Req<List<RawCase>>,
    }
}

record! {
    /// One recorded run.
    RawCase {
        /// What it shows.
        name: Req<Text>,
        /// Its moments.
        steps: Req<List<RawStep>>,
    }
}

record! {
    /// One moment of a case.
    RawStep {
        /// Milliseconds from the start.
        at_ms: Req<Int<0, 86_400_000>>,
        /// What arrives, by tag.
        set: Option<Map<RawStimulus>>,
        /// Blocks that arrive from now on, by waveform.
        blocks: Option<Map<RawBlocks>>,
        /// What must hold, by rule.
        expect: Option<Map<VerdictWord>>,
    }
}

choice! {
    /// State of a rule.
    VerdictWord {
        /// The condition does not hold.
        Normal = "normal",
        /// The on-delay has not elapsed.
        Pending = "pending",
        /// The alert is active.
        Alert = "alert",
        /// Tripped.
        Danger = "danger",
    }
}

/// A block, or `silent`.
#[derive(Clone, Debug, schemars::JsonSchema)]
#[schemars(transparent)]
pub(crate) struct RawBlocks(#[schemars(with = "serde_json::Value")] Option<Box<RawBlock>>);

impl Read for RawBlocks {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text, _) if text == "silent" => Some(Self(None)),
            _ => RawBlock::read(node, owner, cx).map(|block| Self(Some(Box::new(block)))),
        }
    }
}

/// The blocks of a waveform: as long as its own.
fn blocks(raw: &RawBlocks, waveform: &WaveformPlan, cx: &mut Cx<'_, '_>) -> Option<Blocks> {
    let Some(raw) = &raw.0 else {
        return Some(Blocks::Silent);
    };
    let mut raw = raw.as_ref().clone();
    let count = raw.count.get_or_insert_with(|| Int {
        value: i64::from(waveform.samples),
        span: raw.at.clone(),
    });
    if count.value != i64::from(waveform.samples) {
        cx.findings.error(
            Code::OutOfBounds,
            &count.span,
            format!(
                "the blocks of `{}` have {} samples",
                waveform.name, waveform.samples
            ),
            "leave `count` out: it is the waveform's own",
        );
        return None;
    }
    let rate = Number {
        value: waveform.rate_hz,
        span: raw.at.clone(),
    };
    block(&raw, Some(&rate), cx).map(Blocks::Like)
}

/// A number, a boolean, a list of registers, `bad` or `silent`.
#[derive(Clone, Debug, schemars::JsonSchema)]
#[schemars(transparent)]
pub(crate) struct RawStimulus(#[schemars(with = "serde_json::Value")] Stimulus);

impl Read for RawStimulus {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text, _) if text == "bad" => Some(Self(Stimulus::Bad)),
            Kind::Scalar(text, _) if text == "silent" => Some(Self(Stimulus::Silent)),
            Kind::Scalar(text, _) if text == "true" || text == "false" => {
                let flag = Bool::read(node, owner, cx)?;
                Some(Self(Stimulus::Value(if flag.value { 1.0 } else { 0.0 })))
            }
            Kind::List(_) => {
                let list = List::<Int<0, 65_535>>::read(node, owner, cx)?;
                let words: Vec<u16> = list.items.iter().map(Int::to).collect();
                let registers = Registers::new(&words).filter(|_| list.complete);
                if registers.is_none() {
                    cx.findings.error(
                        Code::OutOfBounds,
                        owner,
                        "a recorded value has one to four registers",
                        "give the registers of this tag as the device sent them: `[8400]`",
                    );
                }
                registers.map(|registers| Self(Stimulus::Registers(registers)))
            }
            _ => Number::read(node, owner, cx).map(|number| Self(Stimulus::Value(number.value))),
        }
    }
}

/// A verdict that was not the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The case.
    pub case: String,
    /// The moment.
    pub at_ms: u64,
    /// Bytes of the file where it stands.
    pub span: Range<usize>,
    /// The rule.
    pub rule: String,
    /// What the file says.
    pub expected: Verdict,
    /// What the lane says.
    pub found: Verdict,
}

/// Failures as findings, each at its line.
pub fn report(file_name: &str, source: &str, failures: &[Failure]) -> Vec<Finding> {
    let lines = Lines::new(source);
    let mut findings = Findings::new(&lines);
    for failure in failures {
        let Failure {
            case,
            at_ms,
            rule,
            expected,
            found,
            ..
        } = failure;
        findings.error(
            Code::CaseFailed,
            &failure.span,
            format!(
                "case \"{case}\", {at_ms} ms: rule `{rule}` is {}, expected {}",
                found.as_str(),
                expected.as_str()
            ),
            "if the machine was right, mend the rule or the tag's scaling, unit and byte order; if not, mend the case",
        );
    }
    findings.finish(file_name)
}

/// Reads the cases of a pack. Tags and rules must be those of `plan`.
///
/// # Errors
/// All findings, as [`crate::load`].
pub fn parse(file_name: &str, source: &str, plan: &Plan) -> Result<Vec<Case>, Vec<Finding>> {
    let lines = Lines::new(source);
    let mut findings = Findings::new(&lines);
    let cases = read(source, plan, &mut findings);
    let failed = findings.errors() > 0;
    match cases {
        Some(cases) if !failed => Ok(cases),
        _ => Err(findings.finish(file_name)),
    }
}

fn read(source: &str, plan: &Plan, findings: &mut Findings<'_>) -> Option<Vec<Case>> {
    let root = crate::parse(source, findings)?;
    let mut cx = Cx { source, findings };
    let file = CaseFile::read(&root, &(0..0), &mut cx)?;
    let tags: Vec<&str> = plan
        .lanes
        .iter()
        .flat_map(|lane| &lane.tags)
        .map(|tag| tag.name.as_str())
        .collect();
    let waveforms: Vec<&WaveformPlan> =
        plan.lanes.iter().flat_map(|lane| &lane.waveforms).collect();
    let rules: Vec<&str> = plan
        .lanes
        .iter()
        .flat_map(|lane| &lane.rules)
        .map(|rule| rule.id.as_str())
        .collect();
    let mut cases = Vec::new();
    for raw in &file.cases.get()?.items {
        let (Some(name), Some(list)) = (raw.name.get(), raw.steps.get()) else {
            continue;
        };
        let mut last = 0;
        let mut steps = Vec::new();
        for raw in &list.items {
            let Some(at) = raw.at_ms.get() else { continue };
            let at_ms: u64 = at.to();
            if at_ms < last {
                cx.findings.error(
                    Code::OutOfBounds,
                    &at.span,
                    format!("time runs backwards: {at_ms} ms comes after {last} ms"),
                    "order the steps by time",
                );
            }
            last = at_ms;
            let set = named("pack", "tag", raw.set.as_ref(), &tags, &mut cx);
            for (name, stimulus) in &set {
                check_registers(name, &stimulus.0, &raw.at, plan, &mut cx);
            }
            let known: Vec<&str> = waveforms
                .iter()
                .map(|waveform| waveform.name.as_str())
                .collect();
            let given = named("pack", "waveform", raw.blocks.as_ref(), &known, &mut cx);
            let blocks = given
                .into_iter()
                .filter_map(|(name, raw)| {
                    let waveform = waveforms.iter().find(|waveform| waveform.name == name)?;
                    Some((name, blocks(raw, waveform, &mut cx)?))
                })
                .collect();
            let expect = named("pack", "rule", raw.expect.as_ref(), &rules, &mut cx);
            steps.push(Step {
                at_ms,
                set: set.into_iter().map(|(name, raw)| (name, raw.0)).collect(),
                blocks,
                expect: expect
                    .into_iter()
                    .map(|(name, word)| (name, verdict(*word)))
                    .collect(),
                span: raw.at.clone(),
            });
        }
        cases.push(Case {
            name: name.value.clone(),
            steps,
        });
    }
    Some(cases)
}

/// Registers must be as many as the tag's type takes, and the tag must be read from registers.
fn check_registers(name: &str, stimulus: &Stimulus, at: &Span, plan: &Plan, cx: &mut Cx<'_, '_>) {
    let Stimulus::Registers(registers) = stimulus else {
        return;
    };
    let words = plan
        .lanes
        .iter()
        .find_map(|lane| point(lane, lane.tag(name)?))
        .map(|point| point.codec.kind.words());
    if words != Some(registers.words().len()) {
        let (message, help) = match words {
            Some(words) => (
                format!("`{name}` takes {words} registers"),
                "give exactly the registers of this tag, in the order of their addresses",
            ),
            None => (
                format!("`{name}` is not read from registers"),
                "give its value in the tag's unit",
            ),
        };
        cx.findings.error(Code::WrongType, at, message, help);
    }
}

/// Where a tag of a lane is read from registers.
pub fn point(lane: &LanePlan, tag: TagId) -> Option<&PointPlan> {
    let points = lane.devices.iter().filter_map(|device| match &device.link {
        LinkPlan::Modbus(modbus) => Some(&modbus.points),
        LinkPlan::Mqtt(_) | LinkPlan::Analyzer(_) => None,
    });
    points
        .flatten()
        .find(|point| point.tag == tag && matches!(point.table, Table::Holding | Table::Input))
}

fn verdict(word: VerdictWord) -> Verdict {
    match word {
        VerdictWord::Normal => Verdict::Normal,
        VerdictWord::Pending => Verdict::Pending,
        VerdictWord::Alert => Verdict::Alert,
        VerdictWord::Danger => Verdict::Danger,
    }
}

/// The entries of a mapping whose names are known; reports the others.
pub(crate) fn named<'m, T>(
    owner: &str,
    kind: &str,
    map: Option<&'m Map<T>>,
    known: &[&str],
    cx: &mut Cx<'_, '_>,
) -> Vec<(String, &'m T)> {
    let mut found = Vec::new();
    for entry in map.map_or(&[][..], |map| &map.entries) {
        if !known.contains(&entry.name.as_str()) {
            let help = match nearest(&entry.name, known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("use a {kind} of the {owner} beside this file"),
            };
            let message = format!("the {owner} has no {kind} `{}`", entry.name);
            cx.findings
                .error(Code::UnknownName, &entry.span, message, help);
        }
        found.extend(
            entry
                .value
                .as_ref()
                .map(|value| (entry.name.clone(), value)),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: &str = include_str!("../../packs/pump-minimal.yaml");

    fn plan() -> Plan {
        crate::load("pump-minimal.yaml", PACK).unwrap().plan
    }

    #[test]
    fn cases_are_read() {
        let source = "cases:\n  - name: n\n    steps:\n      - { at_ms: 0, set: { pump.pressure: 4.5 } }\n      - at_ms: 70\n        \
                      set: { pump.pressure: bad }\n        expect: { overpressure: danger }\n";
        let cases = parse("c", source, &plan()).unwrap();
        assert_eq!(cases.len(), 1);
        assert_eq!(
            cases[0].steps[0].set,
            [("pump.pressure".to_owned(), Stimulus::Value(4.5))]
        );
        assert_eq!(cases[0].steps[1].set[0].1, Stimulus::Bad);
        assert_eq!(
            cases[0].steps[1].expect,
            [("overpressure".to_owned(), Verdict::Danger)]
        );
        assert_eq!(cases[0].steps[1].at_ms, 70);
    }

    #[test]
    fn wrong_cases_are_refused_with_all_findings() {
        let source = "cases:\n  - name: n\n    steps:\n      - { at_ms: 9, set: { pump.presure: 4 } }\n      - { at_ms: 5, expect: { \
                      overpressure: dangr, x: alert } }\n      - { at_m: 1 }\n";
        let findings = parse("c", source, &plan()).unwrap_err();
        let codes: Vec<u16> = findings
            .iter()
            .map(|finding| finding.code.number())
            .collect();
        assert_eq!(
            codes,
            [30, 15, 14, 30, 10],
            "{}",
            crate::render(&findings, source, false)
        );
    }
}
