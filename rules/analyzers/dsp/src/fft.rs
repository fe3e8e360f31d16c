//! The Fourier transform of `vibration` by length, of `microfft`: single precision, in place, tables instead of
//! trigonometry, so that the result does not depend on the target.

pub use microfft::Complex32;
use microfft::real;

/// Shortest length that [`real_in_place`] takes.
pub const REAL_MIN: usize = 256;
/// Longest length that [`real_in_place`] takes.
pub const REAL_MAX: usize = 32_768;

macro_rules! by_length {
    ($values:expr, $($length:literal => $transform:path),+) => {
        match $values.len() {
            $($length => {
                let array: &mut [_; $length] = $values.try_into().ok()?;
                Some($transform(array).as_mut_slice())
            })+
            _ => None,
        }
    };
}

/// The spectrum of real values, half as many complex numbers in the same memory: that of 0 Hz first, whose imaginary part is the
/// real number at half the sampling rate. Not scaled. `None` unless the length is a power of two from [`REAL_MIN`] to [`REAL_MAX`].
#[inline(never)]
pub fn real_in_place(values: &mut [f32]) -> Option<&mut [Complex32]> {
    by_length!(values,
        256 => real::rfft_256, 512 => real::rfft_512, 1024 => real::rfft_1024, 2048 => real::rfft_2048,
        4096 => real::rfft_4096, 8192 => real::rfft_8192, 16384 => real::rfft_16384, 32768 => real::rfft_32768)
}
