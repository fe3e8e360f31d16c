//! What a rule asks, in the simulator's own words.

use rules_expr::ir::{Op, Program};

/// What a rule asks. The simulator's own words for it, so that its own eyes can judge it.
#[derive(Clone, Debug, PartialEq)]
pub enum Cond {
    /// The tag is above the limit; once it fired, above the limit less the band.
    Above {
        /// Index of the tag.
        tag: usize,
        /// In the tag's unit.
        limit: f64,
        /// Dead band.
        band: f64,
    },
    /// The average over a window is above the limit.
    AverageAbove {
        /// Index of the tag.
        tag: usize,
        /// Index of the window.
        window: usize,
        /// In the tag's unit.
        limit: f64,
        /// Length of the window.
        span: u64,
    },
    /// Both.
    Both(Box<Cond>, Box<Cond>),
    /// One of them.
    Either(Box<Cond>, Box<Cond>),
    /// So many of the channels of a voting are above their limits, each a tag and a limit of its own.
    Vote {
        /// Index of the voting.
        voting: usize,
        /// The channels.
        channels: Vec<(usize, f64)>,
    },
}

impl Cond {
    /// The tags that it looks at.
    pub fn tags(&self) -> Vec<usize> {
        match self {
            Self::Above { tag, .. } | Self::AverageAbove { tag, .. } => vec![*tag],
            Self::Both(a, b) | Self::Either(a, b) => {
                let mut tags = a.tags();
                tags.extend(b.tags());
                tags
            }
            Self::Vote { channels, .. } => channels.iter().map(|(tag, _)| *tag).collect(),
        }
    }

    /// The longest window in it.
    pub fn span(&self) -> u64 {
        match self {
            Self::Above { .. } | Self::Vote { .. } => 0,
            Self::AverageAbove { span, .. } => *span,
            Self::Both(a, b) | Self::Either(a, b) => a.span().max(b.span()),
        }
    }

    /// The same with limits that are higher by a whole number.
    pub(super) fn raised(&self, by: f64) -> Self {
        let mut raised = self.clone();
        match &mut raised {
            Self::Above { limit, .. } | Self::AverageAbove { limit, .. } => *limit += by,
            Self::Both(a, b) | Self::Either(a, b) => {
                **a = a.raised(by);
                **b = b.raised(by);
            }
            Self::Vote { channels, .. } => {
                for (_, limit) in channels {
                    *limit += by;
                }
            }
        }
        raised
    }

    /// Its programs: one for each channel of a vote, else one.
    pub(super) fn programs(&self, tags: usize) -> Vec<Program> {
        let conditions = match self {
            Self::Vote { channels, .. } => channels
                .iter()
                .map(|(tag, limit)| Self::Above {
                    tag: *tag,
                    limit: *limit,
                    band: 0.0,
                })
                .collect(),
            other => vec![other.clone()],
        };
        let program = |condition: &Self| {
            let mut ops = Vec::new();
            condition.ops(tags, &mut ops);
            Program::new(ops).expect("a condition is a program")
        };
        conditions.iter().map(program).collect()
    }

    fn ops(&self, tags: usize, ops: &mut Vec<Op>) {
        match self {
            Self::Above { tag, limit, band } => {
                ops.push(Op::Slot(*tag as u32));
                ops.push(Op::Const(*limit));
                if *band > 0.0 {
                    ops.push(Op::HoldOffset(-band));
                    ops.push(Op::Add);
                }
                ops.push(Op::Greater);
            }
            Self::AverageAbove { window, limit, .. } => {
                ops.push(Op::Slot((tags + window) as u32));
                ops.push(Op::Const(*limit));
                ops.push(Op::Greater);
            }
            Self::Both(a, b) | Self::Either(a, b) => {
                a.ops(tags, ops);
                b.ops(tags, ops);
                ops.push(if matches!(self, Self::Both(..)) {
                    Op::And
                } else {
                    Op::Or
                });
            }
            Self::Vote { .. } => unreachable!("a vote has a program for each channel"),
        }
    }
}
