//! The parsed expression. Chains of one precedence are flat, so that its depth is the nesting a reader sees and no
//! pass over it needs a deep stack.

use crate::unit::Unit;
use std::ops::Range;

pub(crate) type Span = Range<usize>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Number {
        value: f64,
        unit: Option<Unit>,
    },
    Bool(bool),
    Name(String),
    Call {
        function: String,
        name_span: Span,
        arguments: Vec<Node>,
    },
    Negate(Box<Node>),
    Not(Box<Node>),
    /// `+ - * /`, left to right; all of one precedence.
    Arithmetic {
        first: Box<Node>,
        rest: Vec<(Arithmetic, Node)>,
    },
    Compare {
        relation: Relation,
        left: Box<Node>,
        right: Box<Node>,
    },
    All(Vec<Node>),
    Any(Vec<Node>),
    Choose {
        condition: Box<Node>,
        yes: Box<Node>,
        no: Box<Node>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

impl Relation {
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }

    pub(crate) const fn is_ordered(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}
