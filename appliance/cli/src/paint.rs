//! Colours, where a terminal wants them.

use std::fmt;

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

/// What a text means; the colour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Ordinary.
    Plain,
    /// A heading.
    Strong,
    /// As it should be.
    Good,
    /// Look at it.
    Warn,
    /// Stopped, refused, missed.
    Bad,
    /// Less important.
    Faint,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "1",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "1;31",
            Self::Faint => "2",
        }
    }
}

impl Paint {
    pub(crate) const fn new(color: bool) -> Self {
        Self(color)
    }

    pub(crate) const fn colors(self) -> bool {
        self.0
    }

    pub(crate) fn text<T: fmt::Display>(self, tone: Tone, text: T) -> Painted<T> {
        Painted {
            code: if self.0 { tone.code() } else { "" },
            text,
        }
    }
}

/// A text with its colour.
pub(crate) struct Painted<T> {
    code: &'static str,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code.is_empty() {
            return self.text.fmt(f);
        }
        write!(f, "\u{1b}[{}m{}\u{1b}[0m", self.code, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_nothing_is_added() {
        assert_eq!(Paint::new(false).text(Tone::Bad, "x").to_string(), "x");
        assert_eq!(
            Paint::new(true).text(Tone::Bad, "x").to_string(),
            "\u{1b}[1;31mx\u{1b}[0m"
        );
        assert_eq!(Paint::new(true).text(Tone::Plain, "x").to_string(), "x");
    }
}
