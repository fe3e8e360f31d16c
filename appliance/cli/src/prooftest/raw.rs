//! The way back: from a value in engineering units to what a device would serve for it.

use drivers_frame::{ByteOrder, Quality, ValueCodec, ValueType, WordOrder};

/// What a device serves for `value`: the raw bits, in the low bytes. `None` when the type cannot hold it, or when what
/// would be read from it is not usable.
pub(super) fn raw_of(codec: &ValueCodec, value: f64) -> Option<u64> {
    let raw = match codec.kind {
        ValueType::Bool => u64::from(value != 0.0),
        kind => {
            let number = (value - codec.scaling.offset) / codec.scaling.scale;
            bits_of(kind, number)?
        }
    };
    if codec.kind == ValueType::Bool {
        return Some(raw);
    }
    let decoded = codec.decode_registers(&words(codec, raw));
    let usable = matches!(decoded.quality, Quality::Good | Quality::Uncertain);
    usable.then_some(raw)
}

/// The value that is read from what [`raw_of`] gives: rounded to what the type holds.
pub(super) fn rounded(codec: &ValueCodec, value: f64) -> Option<f64> {
    let raw = raw_of(codec, value)?;
    if codec.kind == ValueType::Bool {
        return Some(f64::from(u8::from(raw != 0)));
    }
    Some(codec.decode_registers(&words(codec, raw)).value)
}

/// Raw bits that no living transmitter serves: a broken wire. `None` when every bit pattern is a value.
pub(super) fn broken(codec: &ValueCodec) -> Option<u64> {
    let candidates: &[u64] = match codec.kind {
        ValueType::Bool => return None,
        ValueType::F32 => &[0x7FC0_0000],
        ValueType::F64 => &[0x7FF8_0000_0000_0000],
        ValueType::U16 => &[0, 0xFFFF],
        ValueType::I16 => &[0x8000, 0x7FFF],
        ValueType::U32 => &[0, 0xFFFF_FFFF],
        ValueType::I32 => &[0x8000_0000, 0x7FFF_FFFF],
        ValueType::U64 => &[0, u64::MAX],
        ValueType::I64 => &[0x8000_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF],
    };
    candidates
        .iter()
        .copied()
        .find(|raw| codec.decode_registers(&words(codec, *raw)).quality == Quality::Bad)
}

/// The registers of raw bits, in the order of the device.
pub(super) fn words(codec: &ValueCodec, raw: u64) -> Vec<u16> {
    let count = codec.kind.words();
    let mut words: Vec<u16> = (0..count)
        .rev()
        .map(|word| (raw >> (16 * word)) as u16)
        .collect();
    if codec.words == WordOrder::LittleEndian {
        words.reverse();
    }
    if codec.bytes == ByteOrder::LittleEndian {
        for word in &mut words {
            *word = word.swap_bytes();
        }
    }
    words
}

/// The bytes of raw bits in a binary payload.
pub(super) fn bytes(codec: &ValueCodec, raw: u64) -> Vec<u8> {
    let all = raw.to_be_bytes();
    let mut bytes = all[all.len() - codec.kind.bytes()..].to_vec();
    if codec.bytes == ByteOrder::LittleEndian {
        bytes.reverse();
    }
    bytes
}

/// The number of raw bits, as a payload of text shows it.
pub(super) fn number(codec: &ValueCodec, value: f64) -> f64 {
    match codec.kind {
        ValueType::Bool => f64::from(u8::from(value != 0.0)),
        _ => (value - codec.scaling.offset) / codec.scaling.scale,
    }
}

fn bits_of(kind: ValueType, number: f64) -> Option<u64> {
    let whole = number.round();
    let fits = |least: f64, most: f64| (least..=most).contains(&whole).then_some(whole);
    Some(match kind {
        ValueType::Bool => return None,
        ValueType::U16 => fits(0.0, f64::from(u16::MAX))? as u64,
        ValueType::I16 => {
            u64::from((fits(f64::from(i16::MIN), f64::from(i16::MAX))? as i16).cast_unsigned())
        }
        ValueType::U32 => fits(0.0, f64::from(u32::MAX))? as u64,
        ValueType::I32 => {
            u64::from((fits(f64::from(i32::MIN), f64::from(i32::MAX))? as i32).cast_unsigned())
        }
        // Beyond 2^53 a whole number is not exact any more.
        ValueType::U64 => fits(0.0, 9_007_199_254_740_992.0)? as u64,
        ValueType::I64 => {
            (fits(-9_007_199_254_740_992.0, 9_007_199_254_740_992.0)? as i64).cast_unsigned()
        }
        ValueType::F32 => u64::from((number as f32).to_bits()),
        ValueType::F64 => number.to_bits(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use drivers_frame::{Range, Scaling};

    #[test]
    fn what_is_encoded_is_read_back_in_every_type_and_order() {
        for kind in [
            ValueType::U16,
            ValueType::I16,
            ValueType::U32,
            ValueType::I32,
            ValueType::U64,
            ValueType::I64,
            ValueType::F32,
            ValueType::F64,
        ] {
            for order in [WordOrder::BigEndian, WordOrder::LittleEndian] {
                for bytes_order in [ByteOrder::BigEndian, ByteOrder::LittleEndian] {
                    let codec = ValueCodec {
                        words: order,
                        bytes: bytes_order,
                        scaling: Scaling {
                            scale: 0.25,
                            offset: 3.0,
                        },
                        ..ValueCodec::plain(kind)
                    };
                    let raw = raw_of(&codec, 12.5).unwrap();
                    let read = codec.decode_registers(&words(&codec, raw));
                    assert!((read.value - 12.5).abs() < 1e-9, "{kind:?}");
                    let read = codec.decode_bytes(&bytes(&ValueCodec { ..codec }, raw));
                    assert!((read.value - 12.5).abs() < 1e-9, "{kind:?}");
                }
            }
        }
    }

    #[test]
    fn a_value_outside_the_type_or_the_range_is_none_and_a_broken_wire_is_bad() {
        let codec = ValueCodec {
            range: Range {
                min: 1.0,
                max: 50.0,
            },
            ..ValueCodec::plain(ValueType::U16)
        };
        for wrong in [-1.0, 0.0, 51.0, 70_000.0] {
            assert_eq!(raw_of(&codec, wrong), None, "{wrong}");
        }
        assert_eq!(rounded(&codec, 7.4), Some(7.0));
        let raw = broken(&codec).unwrap();
        assert_eq!(
            codec.decode_registers(&words(&codec, raw)).quality,
            Quality::Bad
        );
        assert_eq!(broken(&ValueCodec::plain(ValueType::Bool)), None);
        assert_eq!(broken(&ValueCodec::plain(ValueType::U16)), None);
    }
}
