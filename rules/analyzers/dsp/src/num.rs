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

/// A number without a fraction as a whole number.
pub(crate) const fn whole(value: f64) -> i64 {
    value as i64
}

/// A whole number as a number: exact below 2^53, else the nearest.
pub(crate) const fn real(value: i64) -> f64 {
    value as f64
}

/// A whole number in single precision.
pub(crate) const fn nearest(value: i64) -> f32 {
    value as f32
}

/// The root of a whole number in single precision, without its fraction.
#[inline(always)]
pub(crate) fn root(square: i64) -> i64 {
    libm::sqrtf(nearest(square)) as i64
}
