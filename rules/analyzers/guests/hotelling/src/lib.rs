//! The analyzer `hotelling` as a module: `docs/analyzers.md`. What it does is in `rules/analyzers/dsp`.
#![no_std]

tripline_analyzer::export!(rules_analyzers_dsp::hotelling::Hotelling);
