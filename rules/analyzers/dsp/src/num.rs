//! The few conversions between counts and numbers.
#![allow(
    clippy::as_conversions,
    reason = "exact below 2^53, saturating from floats; no `From` exists"
)]

/// A count as a number.
pub(crate) const fn float(count: usize) -> f64 {
    count as f64
}

/// The whole part of a number as a count: 0 below 0 and for NaN.
pub(crate) const fn index(value: f64) -> usize {
    value as usize
}

/// The nearest single-precision number.
pub(crate) const fn single(value: f64) -> f32 {
    value as f32
}

/// Seconds between two instants in ns; 0 when they are in the wrong order.
pub(crate) const fn seconds(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 * 1e-9
}
