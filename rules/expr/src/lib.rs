//! The expression language: parse, units, types; compiled to WebAssembly, and a second, native evaluator.
