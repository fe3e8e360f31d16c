//! What names mean, and what a compiled expression asks its lane for.

use crate::unit::Unit;
use serde::{Deserialize, Serialize};

/// Whether a tag carries a number or a truth value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// A number in the tag's unit.
    Number,
    /// True or false.
    Bool,
}

/// What the compiler must know of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagInfo {
    /// The unit its values are in; ignored for [`TagKind::Bool`].
    pub unit: Unit,
    /// Number or truth value.
    pub kind: TagKind,
}

/// A named constant.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// In `unit`; finite.
    pub value: f64,
    /// Its unit; [`Unit::ONE`] for a plain number.
    pub unit: Unit,
}

/// Where an expression's names are looked up.
pub trait Scope {
    /// The tag called `name`.
    fn tag(&self, name: &str) -> Option<TagInfo>;
    /// The constant called `name`.
    fn constant(&self, name: &str) -> Option<Constant>;
    /// The text of the macro called `name`.
    fn macro_source(&self, name: &str) -> Option<&str>;
    /// Every name there is, for "did you mean".
    fn names(&self) -> Vec<&str>;
}

/// A function of a tag's recent samples. The lane computes it; the expression names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WindowFunction {
    /// Arithmetic mean, in the tag's unit.
    Avg,
    /// Smallest value, in the tag's unit.
    Min,
    /// Largest value, in the tag's unit.
    Max,
    /// Root mean square, in the tag's unit.
    Rms,
    /// Change per second, in the tag's unit (a difference for temperatures) per second.
    Rate,
    /// Newest less oldest value, in the tag's unit (a difference for temperatures).
    Delta,
    /// Standard deviation, in the tag's unit (a difference for temperatures).
    Stddev,
}

impl WindowFunction {
    /// All of them, in the order of the reference.
    pub const ALL: [Self; 7] = [
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Rms,
        Self::Rate,
        Self::Delta,
        Self::Stddev,
    ];

    /// The name in expressions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Rms => "rms",
            Self::Rate => "rate",
            Self::Delta => "delta",
            Self::Stddev => "stddev",
        }
    }

    /// The function called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.as_str() == name)
    }
}

/// One value a compiled expression needs in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Input {
    /// The tag's latest value, in its unit; 0.0 or 1.0 for a truth value. Usable when its quality is good or uncertain.
    Tag(String),
    /// A function of the tag's samples of the last `span_ns` nanoseconds. Usable when the lane could compute it.
    Window {
        /// Which function; its documentation says in which unit the lane delivers.
        function: WindowFunction,
        /// Of which tag.
        tag: String,
        /// Over how long, in nanoseconds; at least 1.
        span_ns: u64,
    },
    /// Nanoseconds since the tag's last sample arrived, as a number. Always usable.
    Age(String),
    /// The tag's quality: 0 good, 1 uncertain, 2 bad, 3 stale. Always usable.
    Quality(String),
}

impl Input {
    /// The tag it is about.
    pub fn tag(&self) -> &str {
        match self {
            Self::Tag(tag) | Self::Window { tag, .. } | Self::Age(tag) | Self::Quality(tag) => tag,
        }
    }
}

/// Words that are values by themselves, so that no tag, constant or macro should be called like them: an expression
/// would not reach it.
pub const RESERVED_WORDS: [&str; 6] = ["true", "false", "good", "uncertain", "bad", "stale"];

/// The slot value of a quality word, in the order good, uncertain, bad, stale.
pub(crate) fn quality_word(word: &str) -> Option<f64> {
    match word {
        "good" => Some(0.0),
        "uncertain" => Some(1.0),
        "bad" => Some(2.0),
        "stale" => Some(3.0),
        _ => None,
    }
}
