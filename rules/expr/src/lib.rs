//! The expression language of rules: parsed, checked for types and units, compiled to WebAssembly, and evaluated a
//! second time by a native evaluator. It is total: no evaluation traps, loops, allocates or fails to answer.
//!
//! The reference for people is `docs/expressions.md`. The way of an expression:
//!
//! ```text
//! text -> lexer -> parser -> check (names, types, units, dead band) -> Compiled -> link -> Program -> eval  (native)
//!                                                                                             \--> wasm::module
//! ```
//!
//! Which thread: [`eval`] runs on the lane; everything else belongs to the pack compiler. May it block: no. Worst case:
//! `EXPRESSION_OPS_MAX` operations of constant time. Hazards: H-5, H-21, H-38, H-42, H-46, H-48.
#![forbid(unsafe_code)]

mod ast;
mod check;
mod compile;
mod error;
mod eval;
mod lexer;
mod parser;
mod quantity;
mod scope;
mod unit;
mod unit_table;

#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod multiplier;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod wording;

pub mod ir;
#[doc(hidden)]
pub mod testing;
pub mod wasm;

pub use compile::{Compiled, DeadBand, Setpoint, compile, compile_raised};
pub use error::{ErrorCause, ExprError, Warning, WarningCause};
pub use eval::eval;
pub use ir::{Op, Program, ProgramError, SlotValue, Tri, fuel_of};
pub use quantity::{DurationError, QuantityError, parse_duration, parse_quantity};
pub use scope::{Constant, Input, RESERVED_WORDS, Scope, TagInfo, TagKind, WindowFunction};
pub use unit::{Conversion, Unit, parse_unit, unit_names};
