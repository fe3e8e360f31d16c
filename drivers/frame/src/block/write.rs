//! The one copy of a block's samples: byte order, scale and check in one pass.

use super::{Block, SampleKind};
use crate::{ByteOrder, Scaling, WordOrder};

/// Why a block was not written whole. What was written of it must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockFault {
    /// A sample is not finite, or its scaled value is not (H-21).
    NotFinite,
    /// The place has another size; bytes.
    Room {
        /// Needed.
        expected: usize,
        /// There.
        received: usize,
    },
    /// `F32` samples are not written as `i16`: that would lose what they are.
    Kind,
}

impl Block {
    /// Writes every sample as a little-endian `f32`, scaled to the waveform's unit, to `to`, which is exactly as large.
    ///
    /// # Errors
    /// [`BlockFault::NotFinite`], [`BlockFault::Room`].
    pub fn write_f32(&self, scaling: Scaling, to: &mut [u8]) -> Result<(), BlockFault> {
        let raw = self.raw();
        let layout = self.head().layout;
        let (swap_words, swap_bytes) = (
            layout.words == WordOrder::LittleEndian,
            layout.bytes == ByteOrder::LittleEndian,
        );
        let unscaled = scaling == Scaling::default();
        // Each loop has one way through it, so that the compiler makes vector code of it.
        match (layout.kind, swap_words, swap_bytes) {
            (SampleKind::I16, _, false) => convert(raw, to, |b: &[u8; 2]| {
                scaled(i16::from_be_bytes(*b), scaling)
            }),
            (SampleKind::I16, _, true) => convert(raw, to, |b: &[u8; 2]| {
                scaled(i16::from_le_bytes(*b), scaling)
            }),
            (SampleKind::F32, true, true) if unscaled => {
                convert(raw, to, |b: &[u8; 4]| f32::from_le_bytes(*b))
            }
            (SampleKind::F32, false, false) if unscaled => {
                convert(raw, to, |b: &[u8; 4]| f32::from_be_bytes(*b))
            }
            (SampleKind::F32, true, true) => convert(raw, to, |b: &[u8; 4]| {
                scaled(f32::from_le_bytes(*b), scaling)
            }),
            (SampleKind::F32, false, false) => convert(raw, to, |b: &[u8; 4]| {
                scaled(f32::from_be_bytes(*b), scaling)
            }),
            (SampleKind::F32, true, false) => convert(raw, to, |[c, d, a, b]: &[u8; 4]| {
                scaled(f32::from_be_bytes([*a, *b, *c, *d]), scaling)
            }),
            (SampleKind::F32, false, true) => convert(raw, to, |[b, a, d, c]: &[u8; 4]| {
                scaled(f32::from_be_bytes([*a, *b, *c, *d]), scaling)
            }),
        }
    }

    /// Writes every sample as a little-endian `i16`, not scaled, to `to`, which is exactly as large.
    ///
    /// # Errors
    /// [`BlockFault::Kind`], [`BlockFault::Room`].
    pub fn write_i16(&self, to: &mut [u8]) -> Result<(), BlockFault> {
        let raw = self.raw();
        if self.head().layout.kind == SampleKind::F32 {
            return Err(BlockFault::Kind);
        }
        room(raw.len(), to.len())?;
        match self.head().layout.bytes {
            ByteOrder::LittleEndian => to.copy_from_slice(raw),
            ByteOrder::BigEndian => {
                for (to, [high, low]) in to
                    .as_chunks_mut::<2>()
                    .0
                    .iter_mut()
                    .zip(raw.as_chunks::<2>().0)
                {
                    *to = [*low, *high];
                }
            }
        }
        Ok(())
    }
}

fn room(expected: usize, received: usize) -> Result<(), BlockFault> {
    if expected == received {
        Ok(())
    } else {
        Err(BlockFault::Room { expected, received })
    }
}

/// The scaled value, rounded to the nearest `f32`; infinite when it exceeds that, which the caller sees.
#[expect(
    clippy::as_conversions,
    reason = "rounding to binary32 is what the interface says"
)]
fn scaled(raw: impl Into<f64>, scaling: Scaling) -> f32 {
    (raw.into() * scaling.scale + scaling.offset) as f32
}

fn convert<const N: usize>(
    raw: &[u8],
    to: &mut [u8],
    value: impl Fn(&[u8; N]) -> f32,
) -> Result<(), BlockFault> {
    let (raw, _) = raw.as_chunks::<N>();
    room(raw.len().saturating_mul(4), to.len())?;
    // All exponent bits set: infinite or not a number. Gathered over all samples, because a branch on each one costs
    // more than writing those that will not be used.
    const EXPONENT: u32 = 0x7F80_0000;
    let mut wrong = false;
    for (to, raw) in to.as_chunks_mut::<4>().0.iter_mut().zip(raw) {
        let value = value(raw);
        wrong |= value.to_bits() & EXPONENT == EXPONENT;
        *to = value.to_le_bytes();
    }
    if wrong {
        return Err(BlockFault::NotFinite);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::boxed::Box;
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::block::{BlockHead, SampleLayout, WaveformId};
    use crate::{MonoNs, ValueCodec, ValueType};

    const PLAIN: Scaling = Scaling {
        scale: 1.0,
        offset: 0.0,
    };

    fn block(layout: SampleLayout, samples: &[u8]) -> Block {
        let mut buffer = vec![0xEE; 3];
        buffer.extend_from_slice(samples);
        buffer.extend([0xEE; 5]);
        let head = BlockHead {
            waveform: WaveformId(1),
            at: MonoNs::ZERO,
            sequence: 0,
            gap: false,
            layout,
            count: (samples.len() / layout.kind.bytes()) as u32,
            rate_hz: 1_000.0,
        };
        Block::new(head, buffer.into_boxed_slice(), 3).unwrap()
    }

    fn f32s(block: &Block, scaling: Scaling) -> Result<Vec<f32>, BlockFault> {
        let mut to = vec![0; block.head().count as usize * 4];
        block.write_f32(scaling, &mut to)?;
        Ok(to
            .chunks(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect())
    }

    #[test]
    fn every_order_of_a_sample_is_what_the_decoder_of_values_makes_of_it() {
        let bytes: Vec<u8> = (0..16).map(|n| n * 11 + 40).collect();
        let scaling = Scaling {
            scale: 0.25,
            offset: -3.0,
        };
        for (kind, value) in [
            (SampleKind::F32, ValueType::F32),
            (SampleKind::I16, ValueType::I16),
        ] {
            for words in [WordOrder::BigEndian, WordOrder::LittleEndian] {
                for order in [ByteOrder::BigEndian, ByteOrder::LittleEndian] {
                    let layout = SampleLayout::registers(kind, words, order);
                    let codec = ValueCodec {
                        words,
                        bytes: order,
                        scaling,
                        ..ValueCodec::plain(value)
                    };
                    let expected: Vec<u32> = bytes
                        .chunks(kind.bytes())
                        .map(|sample| {
                            let words: Vec<u16> = sample
                                .chunks(2)
                                .map(|b| u16::from_be_bytes([b[0], b[1]]))
                                .collect();
                            (codec.decode_registers(&words).value as f32).to_bits()
                        })
                        .collect();
                    let got = f32s(&block(layout, &bytes), scaling).unwrap();
                    let got: Vec<u32> = got.iter().map(|value| value.to_bits()).collect();
                    assert_eq!(got, expected, "{layout:?}");
                }
            }
        }
        for order in [ByteOrder::BigEndian, ByteOrder::LittleEndian] {
            let codec = ValueCodec {
                bytes: order,
                ..ValueCodec::plain(ValueType::F32)
            };
            let layout = SampleLayout::payload(SampleKind::F32, order);
            let got = f32s(&block(layout, &bytes), PLAIN).unwrap();
            for (got, sample) in got.iter().zip(bytes.chunks(4)) {
                let expected = codec.decode_bytes(sample).value as f32;
                assert_eq!(got.to_bits(), expected.to_bits(), "{order:?}");
            }
        }
    }

    #[test]
    fn i16_is_written_as_it_came_and_never_from_floats() {
        let samples: Vec<u8> = [-2_i16, 1, i16::MIN, i16::MAX]
            .iter()
            .flat_map(|sample| sample.to_be_bytes())
            .collect();
        let mut to = [0; 8];
        let big = SampleLayout::payload(SampleKind::I16, ByteOrder::BigEndian);
        block(big, &samples).write_i16(&mut to).unwrap();
        assert_eq!(to, [0xFE, 0xFF, 1, 0, 0, 0x80, 0xFF, 0x7F]);
        let little = SampleLayout::payload(SampleKind::I16, ByteOrder::LittleEndian);
        block(little, &samples).write_i16(&mut to).unwrap();
        assert_eq!(to[..], samples[..]);
        let float = SampleLayout::payload(SampleKind::F32, ByteOrder::LittleEndian);
        assert_eq!(
            block(float, &samples).write_i16(&mut to),
            Err(BlockFault::Kind)
        );
    }

    #[test]
    fn h21_one_sample_that_is_not_finite_spoils_the_block() {
        let layout = SampleLayout::payload(SampleKind::F32, ByteOrder::LittleEndian);
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in 0..20 {
                let mut samples = [1.5_f32; 20];
                samples[place] = wrong;
                let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
                let result = f32s(&block(layout, &bytes), PLAIN);
                assert_eq!(
                    result,
                    Err(BlockFault::NotFinite),
                    "H-21: {wrong} at {place}"
                );
            }
        }
        let huge = Scaling {
            scale: 1e30,
            offset: 0.0,
        };
        let bytes: Vec<u8> = [1e30_f32].iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(
            f32s(&block(layout, &bytes), huge),
            Err(BlockFault::NotFinite),
            "H-21: scaled beyond what f32 holds"
        );
    }

    #[test]
    fn a_place_of_another_size_is_refused() {
        let layout = SampleLayout::payload(SampleKind::F32, ByteOrder::LittleEndian);
        let block = block(layout, &[0; 8]);
        for size in [0, 4, 7, 9, 12] {
            let refused = Err(BlockFault::Room {
                expected: 8,
                received: size,
            });
            assert_eq!(block.write_f32(PLAIN, &mut vec![0; size]), refused);
        }
    }

    #[test]
    fn a_block_lies_within_its_buffer() {
        let layout = SampleLayout::payload(SampleKind::I16, ByteOrder::LittleEndian);
        let head = |count| BlockHead {
            waveform: WaveformId(0),
            at: MonoNs::ZERO,
            sequence: 0,
            gap: false,
            layout,
            count,
            rate_hz: 1.0,
        };
        let buffer = || -> Box<[u8]> { vec![0; 10].into_boxed_slice() };
        assert!(Block::new(head(5), buffer(), 0).is_ok());
        for (count, start) in [(5, 1), (6, 0), (0, 0), (1, usize::MAX), (u32::MAX, 0)] {
            assert!(
                Block::new(head(count), buffer(), start).is_err(),
                "{count} {start}"
            );
        }
    }
}
