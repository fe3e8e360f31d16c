// RMS of a waveform block against a limit: alert on the first block above it, danger on the third in a row, quiet while
// the machine stands. The same analyzer is written in Rust and in C beside this one, to the same bits.

import * as tl from "./tripline";
export { tl_area } from "./tripline";

/** Number of the input. */
const SPEED: i32 = 0;
/** Number of the output. */
const RMS: i32 = 0;
/** Number of the cause, as verdicts count them. */
const RMS_HIGH: u8 = 1;
/** Blocks above the limit, one after the other, that are danger. */
const BLOCKS: u64 = 3;
/** Upper end of the output's range: beyond it, the value is doubtful. */
const RMS_MAX: f64 = 1000.0;

let limit: f64 = 0.0;
let minSpeed: f64 = 0.0;
let above: u64 = 0;
let seen: bool = false;
let rms: f64 = 0.0;

export function tl_init(): i32 {
  // A limit of 0 would be a stop at every block.
  if (tl.param(0) <= 0.0) return tl.refusedParam(0);
  limit = tl.param(0);
  minSpeed = tl.param(1);
  return 0;
}

export function tl_process(): i64 {
  let doubt = false;
  const samples = tl.samples();
  if (samples > 0) {
    // In this order, in f64: so the other two languages do it, and the bits are the same.
    let sum: f64 = 0.0;
    for (let i = 0; i < samples; i++) {
      const value = <f64>tl.sampleF32(i);
      sum += value * value;
    }
    rms = sqrt<f64>(sum / <f64>samples);
    seen = true;
    doubt = tl.gap();
    above = rms > limit ? above + 1 : 0;
  }
  // Without a usable speed the machine is taken to run.
  if (tl.usable(SPEED) && tl.input(SPEED) < minSpeed) above = 0;
  if (!seen) {
    tl.output(RMS, 0.0, tl.BAD);
  } else if (rms > RMS_MAX) {
    tl.output(RMS, RMS_MAX, tl.UNCERTAIN);
  } else {
    tl.output(RMS, rms, doubt ? tl.UNCERTAIN : tl.GOOD);
  }
  if (above == 0) return tl.NORMAL;
  return above < BLOCKS ? tl.alert(RMS_HIGH) : tl.danger(RMS_HIGH);
}

export function tl_state_hash(): i64 {
  let hash = tl.HASH_NEW;
  hash = tl.hashF64(hash, limit);
  hash = tl.hashF64(hash, minSpeed);
  hash = tl.hash64(hash, above);
  hash = tl.hash64(hash, <u64>seen);
  hash = tl.hashF64(hash, rms);
  return <i64>hash;
}
