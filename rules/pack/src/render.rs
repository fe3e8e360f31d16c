//! Findings as people read them: the line, a caret, the cause, the way out.

use std::fmt::Write as _;

use crate::finding::{Finding, Severity};
use crate::source::Lines;

/// Characters of a source line that are shown; longer lines are cut around the caret.
const WIDTH: usize = 140;
/// Characters kept before the caret when a line is cut.
const LEAD: usize = 40;

/// Renders findings in the order given, with a summary at the end. `source` is the text they were found in;
/// `color` adds terminal colours.
///
/// Control characters of the source are shown as `�`, so that a hostile pack cannot drive the terminal.
pub fn render(findings: &[Finding], source: &str, color: bool) -> String {
    let lines = Lines::new(source);
    let mut out = String::new();
    for finding in findings {
        one(&mut out, finding, &lines, Paint(color));
        out.push('\n');
    }
    summary(&mut out, findings, Paint(color));
    out
}

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with<'t>(self, code: &'t str, text: &'t str) -> Painted<'t> {
        Painted {
            code: if self.0 { code } else { "" },
            text,
        }
    }

    fn severity<'t>(self, severity: Severity, text: &'t str) -> Painted<'t> {
        self.with(
            if severity == Severity::Error {
                "1;31"
            } else {
                "1;33"
            },
            text,
        )
    }

    fn frame<'t>(self, text: &'t str) -> Painted<'t> {
        self.with("1;34", text)
    }
}

struct Painted<'t> {
    code: &'t str,
    text: &'t str,
}

impl std::fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.code.is_empty() {
            return f.write_str(self.text);
        }
        write!(f, "\u{1b}[{}m{}\u{1b}[0m", self.code, self.text)
    }
}

/// Writing to a `String` cannot fail; the result is dropped in one place.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = out.write_fmt(text);
}

fn one(out: &mut String, finding: &Finding, lines: &Lines<'_>, paint: Paint) {
    let head = format!("{}[{}]", finding.severity.as_str(), finding.code);
    put(
        out,
        format_args!(
            "{}: {}\n",
            paint.severity(finding.severity, &head),
            clean(&finding.message)
        ),
    );
    let number = finding.line.to_string();
    let margin = " ".repeat(number.len());
    put(
        out,
        format_args!(
            "{margin}{} {}:{}:{}\n",
            paint.frame("-->"),
            clean(&finding.file),
            finding.line,
            finding.column
        ),
    );
    let excerpt = Excerpt::of(finding, lines);
    put(out, format_args!("{margin} {}\n", paint.frame("|")));
    put(
        out,
        format_args!(
            "{} {} {}\n",
            paint.frame(&number),
            paint.frame("|"),
            excerpt.text
        ),
    );
    let carets = "^".repeat(excerpt.carets);
    let label = if finding.label.is_empty() {
        carets
    } else {
        format!("{carets} {}", clean(&finding.label))
    };
    put(
        out,
        format_args!(
            "{margin} {} {}{}\n",
            paint.frame("|"),
            " ".repeat(excerpt.before),
            paint.severity(finding.severity, &label)
        ),
    );
    for (kind, text) in finding
        .notes
        .iter()
        .map(|note| ("note", note))
        .chain([("help", &finding.help)])
    {
        let mut rows = text.split('\n');
        let first = clean(rows.next().unwrap_or_default());
        put(
            out,
            format_args!("{margin} {} {kind}: {first}\n", paint.frame("=")),
        );
        for row in rows {
            put(out, format_args!("{margin}         {}\n", clean(row)));
        }
    }
}

fn summary(out: &mut String, findings: &[Finding], paint: Paint) {
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    let warnings = findings.len().saturating_sub(errors);
    let plural =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let text = match (errors, warnings) {
        (0, 0) => return,
        (0, _) => format!("{}; the pack loads", plural(warnings, "warning")),
        (_, 0) => format!("{}; the pack does not load", plural(errors, "error")),
        _ => format!(
            "{} and {}; the pack does not load",
            plural(errors, "error"),
            plural(warnings, "warning")
        ),
    };
    let severity = if errors > 0 {
        Severity::Error
    } else {
        Severity::Warning
    };
    put(out, format_args!("{}\n", paint.severity(severity, &text)));
}

/// One source line as it is shown.
struct Excerpt {
    text: String,
    before: usize,
    carets: usize,
}

impl Excerpt {
    fn of(finding: &Finding, lines: &Lines<'_>) -> Self {
        let (line, start) = lines.line(finding.line);
        let from = finding.span.start.saturating_sub(start).min(line.len());
        let to = finding
            .span
            .end
            .saturating_sub(start)
            .clamp(from, line.len());
        let part = |range: std::ops::Range<usize>| line.get(range).unwrap_or_default();
        let (before, marked, after) = (part(0..from), part(from..to), part(to..line.len()));
        // A line may have megabytes: only what can be shown is looked at.
        let long = line.chars().nth(WIDTH).is_some();
        let marked = visible(marked.chars().take(WIDTH));
        let lead = if long && before.chars().nth(LEAD).is_some() {
            let tail: Vec<char> = before.chars().rev().take(LEAD).collect();
            let mut lead = visible("...".chars());
            lead.extend(visible(tail.into_iter().rev()));
            lead
        } else {
            visible(before.chars())
        };
        let room = WIDTH.saturating_sub(lead.len().saturating_add(marked.len()));
        let mut text: String = lead.iter().chain(&marked).collect();
        text.extend(visible(after.chars().take(room)));
        if after.chars().nth(room).is_some() {
            text.push_str("...");
        }
        Self {
            text: text.trim_end().to_owned(),
            before: lead.len(),
            carets: marked.len().clamp(1, WIDTH),
        }
    }
}

/// Characters as they are shown: tabs widened, control characters and byte order marks made harmless.
fn visible(text: impl Iterator<Item = char>) -> Vec<char> {
    let mut shown = Vec::new();
    for character in text {
        match character {
            '\t' => shown.extend([' '; 4]),
            '\u{feff}' => {}
            _ if hostile(character) => shown.push('\u{fffd}'),
            _ => shown.push(character),
        }
    }
    shown
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|character| {
            if hostile(character) {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

/// Controls, and the characters that change the direction of text.
fn hostile(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Code;

    fn finding(span: std::ops::Range<usize>, line: usize, column: usize) -> Finding {
        Finding {
            severity: Severity::Error,
            code: Code::WrongType,
            file: "a.yaml".into(),
            line,
            column,
            span,
            message: "cause".into(),
            label: "here".into(),
            help: "way out\nsecond row".into(),
            notes: vec![],
        }
    }

    #[test]
    fn a_finding_looks_like_a_compiler_message() {
        let shown = render(&[finding(8..11, 2, 4)], "a: 1\nb: xyz\n", false);
        assert_eq!(
            shown,
            "error[P012]: cause\n --> a.yaml:2:4\n  |\n2 | b: xyz\n  |    ^^^ here\n  = help: way out\n          \
             second row\n\n1 error; the pack does not load\n"
        );
    }

    #[test]
    fn colours_are_added_only_on_request_and_hostile_text_is_not_passed_on() {
        let source = "a: \u{1b}[31m\u{202e}\n";
        let plain = render(&[finding(3..4, 1, 4)], source, false);
        assert!(
            !plain.contains('\u{1b}') && !plain.contains('\u{202e}'),
            "H-46: {plain:?}"
        );
        assert!(
            render(&[finding(3..4, 1, 4)], source, true)
                .contains("\u{1b}[1;31merror[P012]\u{1b}[0m")
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let source = format!("{}xyz{}\n", "a".repeat(5_000), "b".repeat(5_000));
        let shown = render(&[finding(5_000..5_003, 1, 5_001)], &source, false);
        assert!(shown.lines().all(|line| line.len() < 220), "{shown}");
        let caret = shown.lines().find(|line| line.contains('^')).unwrap();
        let text = shown.lines().find(|line| line.contains("xyz")).unwrap();
        assert_eq!(caret.find("^^^"), text.find("xyz"));
    }

    #[test]
    fn spans_outside_the_text_are_shown_at_its_end() {
        let shown = render(&[finding(900..950, 77, 1)], "a: 1\n", false);
        assert!(shown.contains("77 |"), "{shown}");
    }
}
