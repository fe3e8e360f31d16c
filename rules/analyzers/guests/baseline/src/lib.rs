//! The analyzer `baseline` as a module: `docs/analyzers.md`. What it does is in `rules/analyzers/dsp`.
#![no_std]

tripline_analyzer::export!(rules_analyzers_dsp::baseline::Baseline);
