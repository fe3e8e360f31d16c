//! 4-20 mA loops: what the current says about the transmitter, before it says anything about the quantity (H-1).

use crate::{Cause, Quality};

/// How a raw value becomes the loop's current: `current = raw * ma_scale + ma_offset`, in mA.
///
/// The current, not the value, carries the transmitter's word about itself (NAMUR NE 43), so it is judged before
/// [`crate::Scaling`]; in a reversed loop 4 mA is the highest value and 3.6 mA is still a failure.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CurrentLoop {
    /// mA for one raw step; finite and not zero.
    pub ma_scale: f64,
    /// mA at raw 0; finite.
    pub ma_offset: f64,
}

/// At most this is failure information, in mA (NAMUR NE 43).
pub const FAILURE_LOW_MA: f64 = 3.6;
/// From here on a transmitter measures, in mA (NAMUR NE 43).
pub const MEASURING_LOW_MA: f64 = 3.8;
/// Up to here a transmitter measures, in mA (NAMUR NE 43).
pub const MEASURING_HIGH_MA: f64 = 20.5;
/// At least this is failure information, in mA (NAMUR NE 43).
pub const FAILURE_HIGH_MA: f64 = 21.0;

impl CurrentLoop {
    /// The loop's current in mA. What the bands make of it: [`band`].
    pub const fn current_ma(self, raw: f64) -> f64 {
        raw * self.ma_scale + self.ma_offset
    }
}

/// The quality that a current in mA gives, and its cause: good from 3.8 to 20.5, uncertain beside that, bad from the
/// failure limits on, which belong to the failure. A current that is not finite is bad.
pub const fn band(current_ma: f64) -> (Quality, Cause) {
    if !current_ma.is_finite() {
        (Quality::Bad, Cause::NotFinite)
    } else if current_ma <= FAILURE_LOW_MA {
        (Quality::Bad, Cause::FailureCurrentLow)
    } else if current_ma >= FAILURE_HIGH_MA {
        (Quality::Bad, Cause::FailureCurrentHigh)
    } else if current_ma < MEASURING_LOW_MA {
        (Quality::Uncertain, Cause::UnderRange)
    } else if current_ma > MEASURING_HIGH_MA {
        (Quality::Uncertain, Cause::OverRange)
    } else {
        (Quality::Good, Cause::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoded, Range, Scaling, ValueCodec, ValueType};

    const BANDS: [(f64, Quality, Cause); 17] = [
        (f64::NEG_INFINITY, Quality::Bad, Cause::NotFinite),
        (-20.0, Quality::Bad, Cause::FailureCurrentLow),
        (0.0, Quality::Bad, Cause::FailureCurrentLow),
        (3.6, Quality::Bad, Cause::FailureCurrentLow),
        (3.6_f64.next_up(), Quality::Uncertain, Cause::UnderRange),
        (3.7, Quality::Uncertain, Cause::UnderRange),
        (3.8_f64.next_down(), Quality::Uncertain, Cause::UnderRange),
        (3.8, Quality::Good, Cause::None),
        (12.0, Quality::Good, Cause::None),
        (20.5, Quality::Good, Cause::None),
        (20.5_f64.next_up(), Quality::Uncertain, Cause::OverRange),
        (20.75, Quality::Uncertain, Cause::OverRange),
        (21.0_f64.next_down(), Quality::Uncertain, Cause::OverRange),
        (21.0, Quality::Bad, Cause::FailureCurrentHigh),
        (100.0, Quality::Bad, Cause::FailureCurrentHigh),
        (f64::INFINITY, Quality::Bad, Cause::NotFinite),
        (f64::NAN, Quality::Bad, Cause::NotFinite),
    ];

    /// 0 to 100 for 4 to 20 mA, or the other way round; `raw` is mA. The range is what a pack gives: 0 to 100.
    fn transmitter(reversed: bool) -> ValueCodec {
        let (scale, offset) = if reversed {
            (-6.25, 125.0)
        } else {
            (6.25, -25.0)
        };
        ValueCodec {
            scaling: Scaling { scale, offset },
            range: Range {
                min: 0.0,
                max: 100.0,
            },
            current: Some(CurrentLoop {
                ma_scale: 1.0,
                ma_offset: 0.0,
            }),
            ..ValueCodec::plain(ValueType::F64)
        }
    }

    #[test]
    fn h01_every_band_of_a_loop_and_both_of_its_edges() {
        for (current, quality, cause) in BANDS {
            assert_eq!(band(current), (quality, cause), "H-1: {current} mA");
            for reversed in [false, true] {
                let codec = transmitter(reversed);
                let decoded = codec.decode_number(current);
                assert_eq!(
                    (decoded.quality, decoded.cause),
                    (quality, cause),
                    "H-1: {current} mA, reversed {reversed}"
                );
                let value = current * codec.scaling.scale + codec.scaling.offset;
                let expected = if quality.is_usable() { value } else { 0.0 };
                assert_eq!(
                    decoded.value.to_bits(),
                    expected.to_bits(),
                    "H-1: the value is by `scaling`, between the failures also outside `range`: {current} mA"
                );
            }
        }
    }

    #[test]
    fn h01_a_reversed_loop_has_its_highest_value_at_4_ma_and_still_fails_low() {
        let codec = transmitter(true);
        assert_eq!(
            codec.decode_number(4.0).value.to_bits(),
            100.0_f64.to_bits()
        );
        assert_eq!(codec.decode_number(20.0).value.to_bits(), 0.0_f64.to_bits());
        assert_eq!(
            codec.decode_number(3.5),
            Decoded::bad(Cause::FailureCurrentLow),
            "H-1"
        );
    }

    #[test]
    fn h01_the_current_is_taken_from_raw_registers() {
        // A module that gives 4 to 20 mA as 0 to 27,648, and negative below (SIMATIC, Turck, Beckhoff "S5 FIX").
        let codec = ValueCodec {
            kind: ValueType::I16,
            current: Some(CurrentLoop {
                ma_scale: 16.0 / 27_648.0,
                ma_offset: 4.0,
            }),
            scaling: Scaling {
                scale: 100.0 / 27_648.0,
                offset: 0.0,
            },
            ..transmitter(false)
        };
        for (raw, quality, cause) in [
            (-32_768_i16, Quality::Bad, Cause::FailureCurrentLow),
            (-692, Quality::Bad, Cause::FailureCurrentLow), // 3.5995 mA
            (-691, Quality::Uncertain, Cause::UnderRange),  // 3.6001 mA
            (-345, Quality::Good, Cause::None),             // 3.8003 mA
            (13_824, Quality::Good, Cause::None),
            (28_512, Quality::Good, Cause::None), // 20.5 mA
            (28_513, Quality::Uncertain, Cause::OverRange), // 20.5006 mA
            (29_376, Quality::Bad, Cause::FailureCurrentHigh), // 21 mA
            (32_767, Quality::Bad, Cause::FailureCurrentHigh),
        ] {
            let decoded = codec.decode_registers(&[raw.cast_unsigned()]);
            assert_eq!(
                (decoded.quality, decoded.cause),
                (quality, cause),
                "H-1: {raw}"
            );
        }
    }

    #[test]
    fn h01_a_value_that_scaling_makes_infinite_is_no_value_in_a_good_current_either() {
        let mut codec = transmitter(false);
        codec.scaling.scale = f64::MAX;
        assert_eq!(codec.decode_number(12.0), Decoded::bad(Cause::NotFinite));
    }
}
