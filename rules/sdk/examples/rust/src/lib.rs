//! RMS of a waveform block against a limit: alert on the first block above it, danger on the third in a row, quiet while
//! the machine stands. The same analyzer is written in C and in AssemblyScript beside this one, to the same bits.
#![cfg_attr(target_arch = "wasm32", no_std)]

use tripline_analyzer::{Analyzer, Frame, Outputs, Refused, StateHash, Verdict};

/// Number of the output.
const RMS: usize = 0;
/// Number of the input.
const SPEED: usize = 0;
/// Number of the cause, as verdicts count them.
const RMS_HIGH: u8 = 1;
/// Blocks above the limit, one after the other, that are danger.
const BLOCKS: u64 = 3;
/// Upper end of the output's range: beyond it, the value is doubtful.
const RMS_MAX: f64 = 1000.0;

/// Parameters and what was seen.
pub struct LevelWatch {
    limit: f64,
    min_speed: f64,
    above: u64,
    rms: Option<f64>,
}

impl Analyzer for LevelWatch {
    type Sample = f32;
    const PARAMS: usize = 2;
    const INPUTS: usize = 1;
    const OUTPUTS: usize = 1;
    const SAMPLES: usize = 4096;
    const NEW: Self = Self {
        limit: 0.0,
        min_speed: 0.0,
        above: 0,
        rms: None,
    };

    fn init(&mut self, params: &[f64]) -> Result<(), Refused> {
        let &[limit, min_speed] = params else {
            return Err(Refused::COMBINATION);
        };
        // A limit of 0 would be a stop at every block.
        if limit <= 0.0 {
            return Err(Refused::param(0));
        }
        self.limit = limit;
        self.min_speed = min_speed;
        Ok(())
    }

    fn process(&mut self, frame: &Frame<'_, f32>, out: &mut Outputs<'_>) -> Verdict {
        let mut doubt = false;
        if let Some(block) = frame.block {
            // In this order, in f64: so the other two languages do it, and the bits are the same.
            let mut sum = 0.0;
            for sample in block.samples {
                let value = f64::from(*sample);
                sum += value * value;
            }
            let rms = libm::sqrt(sum / block.samples.len() as f64);
            self.rms = Some(rms);
            doubt = block.gap;
            self.above = if rms > self.limit { self.above + 1 } else { 0 };
        }
        // Without a usable speed the machine is taken to run.
        if let Some(speed) = frame.input(SPEED).usable()
            && speed < self.min_speed
        {
            self.above = 0;
        }
        match self.rms {
            None => out.bad(RMS),
            Some(rms) if rms > RMS_MAX => out.uncertain(RMS, RMS_MAX),
            Some(rms) if doubt => out.uncertain(RMS, rms),
            Some(rms) => out.good(RMS, rms),
        }
        match self.above {
            0 => Verdict::NORMAL,
            above if above < BLOCKS => Verdict::alert(RMS_HIGH),
            _ => Verdict::danger(RMS_HIGH),
        }
    }

    fn state_hash(&self) -> u64 {
        StateHash::new()
            .f64(self.limit)
            .f64(self.min_speed)
            .u64(self.above)
            .bool(self.rms.is_some())
            .f64(self.rms.unwrap_or(0.0))
            .finish()
    }
}

tripline_analyzer::export!(LevelWatch);
