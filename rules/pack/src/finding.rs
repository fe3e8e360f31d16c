//! What is wrong with a pack, and how to mend it: stable codes, places, and the collector that keeps them all.

use std::fmt;
use std::ops::Range;

use crate::limits::FINDINGS_MAX;
use crate::source::Lines;

/// Whether a finding keeps the pack from loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pack does not load.
    Error,
    /// The pack loads, but probably not as meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal $title:literal,)*) => {
        /// Stable number of a kind of finding, printed as `P012`. A number is never given to another meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name = $number,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The number.
            pub const fn number(self) -> u16 {
                match self {
                    $(Self::$name => $number,)*
                }
            }

            /// What the code stands for, in a few words.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
            }
        }
    };
}

codes! {
    // The file.
    NotUtf8 = 1 "the file is not UTF-8 text",
    Syntax = 2 "the file is not valid YAML",
    Indirection = 3 "YAML anchors, aliases, merge keys and tags are not used in packs",
    TooLarge = 4 "the file is larger, longer or deeper than a pack can be",
    Documents = 5 "a file holds exactly one pack",
    FormatVersion = 6 "this version of the pack format is not supported",
    TooManyFindings = 7 "more findings than are shown",
    // Keys and types.
    UnknownKey = 10 "unknown key",
    MissingKey = 11 "a required key is missing",
    WrongType = 12 "a value has the wrong type",
    DuplicateKey = 13 "a key or id is given twice",
    UnknownChoice = 14 "a value is not one of the allowed words",
    OutOfBounds = 15 "a number is outside what its key allows",
    NotFinite = 16 "a number is not finite",
    BadDuration = 17 "a duration cannot be read",
    BadIdentifier = 18 "an identifier is not well formed",
    BadText = 19 "a text is empty, too long or holds control characters",
    OneOf = 20 "exactly one of several keys is needed",
    TooMany = 21 "more of something than the limits allow",
    // 022 was a part of the format that was reserved for later; there is none any more.
    // Names.
    UnknownName = 30 "a name does not resolve",
    NameTaken = 31 "a name means two things",
    // Lanes and devices.
    BadLane = 40 "a lane is not well formed",
    BadBackoff = 41 "the back-off is not well formed",
    BadTls = 42 "the TLS settings are not well formed",
    ClientIdTwice = 43 "two connections to one broker use the same client id",
    DeviceKind = 44 "a device is of the wrong kind",
    BadHost = 45 "a host is not well formed",
    BadCredentials = 46 "user name and password do not go together",
    // Tags.
    BadAddress = 50 "an address is not in the device's address space",
    BadBit = 51 "a bit is not one of a register",
    BadValueType = 52 "a value type does not fit its source",
    WordOrder = 53 "the word order is missing or has no meaning",
    BadScaling = 54 "the scaling is not well formed",
    BadUnit = 55 "a unit is unknown, missing or has no meaning",
    BadRange = 56 "a range is empty, impossible, missing or has no meaning",
    AlwaysStale = 57 "a tag would always be stale",
    BadTopic = 58 "an MQTT topic is not well formed",
    BadPayload = 59 "a payload is not well formed",
    StaleClasses = 60 "too many different times of staleness",
    BadCurrentLoop = 61 "a current loop is not well formed",
    BadInputCheck = 62 "a check of an input is not well formed",
    BadEnvelope = 63 "an envelope is not well formed, or stated twice",
    MqttOnly = 64 "a key is for MQTT topics only",
    BadSwitch = 65 "a tag that switches something is not a boolean",
    BadWaveform = 66 "a waveform is not well formed",
    // Outputs.
    OutputTwice = 70 "two outputs write the same place",
    BadRunValue = 71 "the value that permits to run is not well formed",
    OutputUnused = 72 "no rule stops an output",
    BadPermit = 73 "the kind of permit does not fit the output",
    BadStopCategory = 74 "the stop category is not well formed",
    BadEscalation = 75 "outputs escalate in a circle",
    BadWatchdog = 76 "a watchdog is not well formed",
    // Rules.
    BadExpression = 80 "an expression is not valid",
    ConstantRule = 81 "a condition does not depend on any tag",
    TwoLanes = 82 "a rule or an output would belong to two lanes",
    StopsMissing = 83 "`stops` does not fit the level",
    DeadlineMissing = 84 "`deadline` does not fit the level",
    DeadlineTooShort = 85 "a deadline cannot be met",
    WindowTooLong = 86 "a window holds more samples than the limit",
    BadDeadBand = 87 "a dead band is not well formed",
    BadConstant = 88 "a constant is not well formed",
    BadVoting = 89 "a voting is not well formed",
    BadChannel = 90 "the word `channel` and the rule's voting do not go together",
    BadDebounce = 91 "a debounce is not well formed",
    BadMultiplier = 92 "a set point cannot be multiplied",
    BadBypass = 93 "a bypass has no meaning here",
    BadAssumption = 94 "an assumption about the host is not well formed",
    // Lints.
    UnusedTag = 101 "no rule reads a tag",
    UnusedDevice = 102 "nothing uses a device",
    UnusedName = 103 "a constant, macro or voting is not used",
    TwoTypes = 104 "one register is read with two types",
    RangeUnreachable = 105 "a range is wider than the type can represent",
    ExpressionLint = 106 "an expression is probably not what is meant",
    // 107 was a deadline without time for the confirmation; that is P085 now.
    FinerThanTimer = 108 "a time is finer than the lane's timer",
    ModiconAddress = 109 "an address looks like a 4xxxx reference",
    NoRules = 110 "a pack protects nothing",
    UnusedLane = 111 "a lane has nothing to do",
    CommonCause = 112 "channels of one voting fail together",
    ExcludedChannel = 113 "a bad channel is left out of a vote",
    NoWatchdog = 114 "nothing stops the machine when this computer dies",
    SlowRefresh = 115 "a permit is refreshed too slowly for its watchdog",
    NoDeviceTime = 116 "a reaction time leaves the device out",
    HalfSafetyTime = 117 "a reaction takes more than half of the process safety time",
    AlertTooLate = 118 "an alert cannot come before the danger",
    FeedbackTooShort = 119 "a feedback is expected sooner than the device can follow",
    // Recorded cases.
    CaseFailed = 120 "a pack decides otherwise than a recorded case says",
    // Modules.
    BadModule = 140 "what a module says of itself is not what the ABI allows",
    FileMissing = 141 "a file beside the pack cannot be read",
    ModuleRefused = 142 "a module is not what an analyzer may be, or nobody vouches for it",
    // Analyzers.
    BadAnalyzer = 143 "an analyzer is not wired as its module wants",
    AnalyzerOrder = 144 "an analyzer reads what it must not wait for",
    AnalyzerBounds = 145 "the bounds of an analyzer are not well formed",
    BadCanary = 146 "a canary is not well formed",
    BadReplay = 147 "an analyzer cannot be compared with a clean instance",
    BackgroundDanger = 150 "a stop hangs on an analyzer that has no time promised",
    NoCanary = 151 "nothing shows that a quiet analyzer would speak",
    UnsignedModule = 152 "nobody vouches for a module",
    UnusedWaveform = 153 "no analyzer looks at a waveform",
    // Never the author's fault.
    Defect = 999 "a defect in Tripline itself",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{:03}", self.number())
    }
}

/// One thing that is wrong, where, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the pack loads all the same.
    pub severity: Severity,
    /// Stable code.
    pub code: Code,
    /// The file as it was named by the caller.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes of the source. Empty when something is missing at that place.
    pub span: Range<usize>,
    /// The cause.
    pub message: String,
    /// A few words for the caret; may be empty.
    pub label: String,
    /// The way out.
    pub help: String,
    /// What else helps to understand, such as the place of a first definition; often empty.
    pub notes: Vec<String>,
}

/// A finding before its place is known as line and column.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) severity: Severity,
    pub(crate) code: Code,
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: String,
    pub(crate) notes: Vec<String>,
}

impl Draft {
    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = label.into();
        self
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) -> &mut Self {
        self.notes.push(note.into());
        self
    }
}

/// Keeps all findings of one run, up to [`FINDINGS_MAX`]; counts the rest.
pub(crate) struct Findings<'a> {
    lines: &'a Lines<'a>,
    list: Vec<Draft>,
    errors: usize,
    dropped: usize,
    /// Takes the drafts that are over the limit, so that callers need not care.
    overflow: Draft,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(lines: &'a Lines<'a>) -> Self {
        Self {
            lines,
            list: Vec::new(),
            errors: 0,
            dropped: 0,
            overflow: Draft {
                severity: Severity::Warning,
                code: Code::TooManyFindings,
                span: 0..0,
                message: String::new(),
                label: String::new(),
                help: String::new(),
                notes: Vec::new(),
            },
        }
    }

    pub(crate) fn error(
        &mut self,
        code: Code,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> &mut Draft {
        self.errors = self.errors.saturating_add(1);
        self.add(Severity::Error, code, span, message.into(), help.into())
    }

    pub(crate) fn warning(
        &mut self,
        code: Code,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> &mut Draft {
        self.add(Severity::Warning, code, span, message.into(), help.into())
    }

    fn add(
        &mut self,
        severity: Severity,
        code: Code,
        span: &Range<usize>,
        message: String,
        help: String,
    ) -> &mut Draft {
        let draft = Draft {
            severity,
            code,
            span: span.clone(),
            message,
            label: String::new(),
            help,
            notes: Vec::new(),
        };
        if self.list.len() >= FINDINGS_MAX {
            self.dropped = self.dropped.saturating_add(1);
            self.overflow = draft;
            return &mut self.overflow;
        }
        self.list.push(draft);
        match self.list.last_mut() {
            Some(last) => last,
            None => &mut self.overflow,
        }
    }

    /// Number of errors so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether suggestions are still worth their cost; see [`crate::limits::SUGGESTIONS_MAX`].
    pub(crate) fn worth_suggesting(&self) -> bool {
        self.list.len() < crate::limits::SUGGESTIONS_MAX
    }

    /// The line of a span, for notes.
    pub(crate) fn line_of(&self, span: &Range<usize>) -> usize {
        self.lines.position(span.start).0
    }

    /// All findings in the order of the file.
    pub(crate) fn finish(mut self, file: &str) -> Vec<Finding> {
        if self.dropped > 0 {
            let message = format!("{} further findings are not shown", self.dropped);
            let severity = if self
                .list
                .iter()
                .any(|draft| draft.severity == Severity::Error)
            {
                Severity::Error
            } else {
                Severity::Warning
            };
            let severity = if self.errors > 0 {
                Severity::Error
            } else {
                severity
            };
            let end = self.lines.end();
            self.list.push(Draft {
                severity,
                code: Code::TooManyFindings,
                span: end..end,
                message,
                label: String::new(),
                help: "mend those shown, then check again; often many findings have one cause"
                    .into(),
                notes: Vec::new(),
            });
        }
        self.list
            .sort_by_key(|draft| (draft.span.start, draft.span.end));
        let lines = self.lines;
        self.list
            .into_iter()
            .map(|draft| {
                let (line, column) = lines.position(draft.span.start);
                Finding {
                    severity: draft.severity,
                    code: draft.code,
                    file: file.to_owned(),
                    line,
                    column,
                    span: draft.span,
                    message: draft.message,
                    label: draft.label,
                    help: draft.help,
                    notes: draft.notes,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_numbers_are_unique_and_ascending() {
        assert!(
            Code::ALL
                .windows(2)
                .all(|pair| pair[0].number() < pair[1].number())
        );
        assert_eq!(Code::WrongType.to_string(), "P012");
    }

    #[test]
    fn findings_over_the_limit_are_counted_and_keep_the_pack_from_loading() {
        let lines = Lines::new("x\n");
        let mut findings = Findings::new(&lines);
        for _ in 0..FINDINGS_MAX {
            findings.warning(Code::UnusedTag, &(0..1), "w", "h");
        }
        for _ in 0..3 {
            findings
                .error(Code::UnknownKey, &(0..1), "e", "h")
                .label("x");
        }
        assert_eq!(findings.errors(), 3);
        let all = findings.finish("f");
        assert_eq!(all.len(), FINDINGS_MAX + 1);
        let last = all.last().unwrap();
        assert_eq!(
            (last.code, last.severity),
            (Code::TooManyFindings, Severity::Error)
        );
        assert!(last.message.starts_with("3 further"), "{}", last.message);
    }
}
