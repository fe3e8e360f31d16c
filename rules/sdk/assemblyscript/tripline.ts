// Write a Tripline analyzer in AssemblyScript: docs/analyzer-sdk.md says how to start, docs/analyzer-abi.md what lies
// underneath. Put this file beside a `counts.ts` that exports PARAMS, INPUTS, OUTPUTS, SAMPLES (each an i32) and
// SAMPLE_BYTES (4 for f32, 2 for i16), the same as analyzer.yaml, and beside your analyzer, which exports
//
//     export { tl_area } from "./tripline";
//     export function tl_init(): i32            0, or refusedParam(n), or REFUSED_COMBINATION
//     export function tl_process(): i64         NORMAL, alert(cause) or danger(cause)
//     export function tl_state_hash(): i64      made with hash64 and hashF64 from HASH_NEW
//
// Memory is fixed: use numbers, functions and memory.data(), and no class, string or array, which would ask an allocator.

import { INPUTS, OUTPUTS, PARAMS, SAMPLES, SAMPLE_BYTES } from "./counts";

const INPUTS_AT: usize = ((64 + 8 * PARAMS + 15) / 16) * 16;
const OUTPUTS_AT: usize = INPUTS_AT + 16 * INPUTS;
const SAMPLES_AT: usize = OUTPUTS_AT + 16 * OUTPUTS;

// The exchange area. memory.data wants a number the compiler can work out.
// @ts-ignore: constant expression
const AREA: usize = memory.data(((64 + 8 * PARAMS + 15) / 16) * 16 + 16 * INPUTS + 16 * OUTPUTS + SAMPLES * SAMPLE_BYTES, 16);

export function tl_area(): usize {
  return AREA;
}

// What came.

/** Samples in the block; 0 when this call brings none. More than the area holds are none. */
export function samples(): i32 {
  const count = load<u32>(AREA);
  return count <= <u32>SAMPLES ? <i32>count : 0;
}

/** First frame of this instance. */
export function restarted(): bool {
  return (load<u32>(AREA + 4) & 1) != 0;
}

/** Samples are missing before this block. */
export function gap(): bool {
  return (load<u32>(AREA + 4) & 2) != 0;
}

/** A stimulus; this instance does not decide. */
export function canary(): bool {
  return (load<u32>(AREA + 4) & 4) != 0;
}

/** Arrival, monotonic nanoseconds. */
export function arrival(): u64 {
  return load<u64>(AREA + 8);
}

/** Sequence number of the block. */
export function sequence(): u64 {
  return load<u64>(AREA + 16);
}

/** Samples a second. */
export function rate(): f64 {
  return load<f64>(AREA + 24);
}

/** value = raw x scale + offset; 1 and 0 for f32. */
export function scale(): f64 {
  return load<f64>(AREA + 32);
}

/** See scale. */
export function offset(): f64 {
  return load<f64>(AREA + 40);
}

/** A sample, f32. */
export function sampleF32(number: i32): f32 {
  return load<f32>(AREA + SAMPLES_AT + 4 * <usize>number);
}

/** A sample, i16. */
export function sampleI16(number: i32): i16 {
  return load<i16>(AREA + SAMPLES_AT + 2 * <usize>number);
}

/** A parameter. */
export function param(number: i32): f64 {
  return load<f64>(AREA + 64 + 8 * <usize>number);
}

/** Whether the value of an input may be used. */
export function usable(number: i32): bool {
  return load<u32>(AREA + INPUTS_AT + 16 * <usize>number + 8) <= UNCERTAIN;
}

/** An input in the unit of the metadata; 0 when not usable. */
export function input(number: i32): f64 {
  return load<f64>(AREA + INPUTS_AT + 16 * <usize>number);
}

/** Whether an input changed since the last call. */
export function changed(number: i32): bool {
  return load<u32>(AREA + INPUTS_AT + 16 * <usize>number + 12) != 0;
}

// What goes.

export const GOOD: u32 = 0;
export const UNCERTAIN: u32 = 1;
export const BAD: u32 = 2;

/** An output that is not written is bad; good and uncertain ones must be finite and within the metadata's range. */
export function output(number: i32, value: f64, quality: u32): void {
  const at = AREA + OUTPUTS_AT + 16 * <usize>number;
  store<f64>(at, value);
  store<u32>(at + 8, quality);
  store<u32>(at + 12, 0);
}

export const NORMAL: i64 = 0;

/** cause: the number of an entry of the metadata's causes, from 1; 0 names none. */
export function alert(cause: u8): i64 {
  return 1 | ((<i64>cause) << 8);
}

/** See alert. */
export function danger(cause: u8): i64 {
  return 2 | ((<i64>cause) << 8);
}

/** The parameter with this number, from 0, is refused. */
export function refusedParam(number: i32): i32 {
  return number + 1;
}

/** Each parameter may be right, and together they are not. */
export const REFUSED_COMBINATION: i32 = -1;

// State hash: FNV-1a, 64 bits, over the bytes given, little-endian.

export const HASH_NEW: u64 = 0xcbf29ce484222325;

/** The hash with an integer more. */
export function hash64(hash: u64, value: u64): u64 {
  for (let byte = 0; byte < 8; byte++) {
    hash = (hash ^ ((value >> (8 * byte)) & 0xff)) * 0x100000001b3;
  }
  return hash;
}

/** The hash with a float more, by its bits. */
export function hashF64(hash: u64, value: f64): u64 {
  return hash64(hash, reinterpret<u64>(value));
}
