use super::*;

fn codec(kind: ValueType) -> ValueCodec {
    ValueCodec::plain(kind)
}

#[test]
fn all_four_orders_of_a_float_decode_to_the_same_value() {
    // 123.456f32 is 0x42F6E979.
    let expected = f64::from(123.456_f32);
    for (registers, words, bytes) in [
        ([0x42F6, 0xE979], WordOrder::BigEndian, ByteOrder::BigEndian),
        (
            [0xE979, 0x42F6],
            WordOrder::LittleEndian,
            ByteOrder::BigEndian,
        ),
        (
            [0xF642, 0x79E9],
            WordOrder::BigEndian,
            ByteOrder::LittleEndian,
        ),
        (
            [0x79E9, 0xF642],
            WordOrder::LittleEndian,
            ByteOrder::LittleEndian,
        ),
    ] {
        let decoded = ValueCodec {
            words,
            bytes,
            ..codec(ValueType::F32)
        }
        .decode_registers(&registers);
        assert_eq!(decoded, Decoded::good(expected), "{words:?} {bytes:?}");
    }
}

#[test]
fn integers_keep_their_sign() {
    assert_eq!(
        codec(ValueType::I16).decode_registers(&[0xFFFF]),
        Decoded::good(-1.0)
    );
    assert_eq!(
        codec(ValueType::U16).decode_registers(&[0xFFFF]),
        Decoded::good(65_535.0)
    );
    assert_eq!(
        codec(ValueType::I32).decode_registers(&[0x8000, 0]),
        Decoded::good(-2_147_483_648.0)
    );
    assert_eq!(
        codec(ValueType::I64).decode_registers(&[0xFFFF; 4]),
        Decoded::good(-1.0)
    );
}

#[test]
fn a_wrong_count_of_words_or_bytes_is_never_a_number() {
    for kind in [
        ValueType::U16,
        ValueType::U32,
        ValueType::F32,
        ValueType::F64,
    ] {
        for count in (0..6).filter(|count| *count != kind.words()) {
            let decoded = codec(kind).decode_registers(&[0; 6][..count]);
            assert_eq!(
                decoded,
                Decoded::bad(Cause::Malformed),
                "H-9: {kind:?} from {count} words"
            );
        }
    }
    assert_eq!(
        codec(ValueType::F32).decode_bytes(&[1, 2, 3]),
        Decoded::bad(Cause::Malformed)
    );
}

#[test]
fn non_finite_and_out_of_range_are_bad() {
    let nan = f32::NAN.to_bits();
    let nan = [(nan >> 16) as u16, nan as u16];
    assert_eq!(
        codec(ValueType::F32).decode_registers(&nan),
        Decoded::bad(Cause::NotFinite),
        "H-21"
    );
    let limited = ValueCodec {
        range: Range {
            min: 0.0,
            max: 50.0,
        },
        ..codec(ValueType::I16)
    };
    assert_eq!(
        limited.decode_registers(&[0xFFFF]),
        Decoded::bad(Cause::BelowRange)
    );
    assert_eq!(
        limited.decode_registers(&[51]),
        Decoded::bad(Cause::AboveRange)
    );
    assert_eq!(limited.decode_registers(&[50]), Decoded::good(50.0));
}

#[test]
fn a_bit_of_a_register_is_the_one_that_the_pack_names() {
    for bit in 0..16_u8 {
        let flag = ValueCodec {
            bit,
            ..codec(ValueType::Bool)
        };
        assert_eq!(flag.decode_registers(&[1 << bit]), Decoded::good(1.0));
        assert_eq!(flag.decode_registers(&[!(1 << bit)]), Decoded::good(0.0));
    }
    assert_eq!(
        ValueCodec {
            bit: 16,
            ..codec(ValueType::Bool)
        }
        .decode_registers(&[1]),
        Decoded::bad(Cause::Malformed)
    );
}

#[test]
fn large_counters_are_uncertain_rather_than_silently_rounded() {
    let decoded = codec(ValueType::U64).decode_registers(&[0x0020, 0, 0, 1]);
    assert_eq!(
        (decoded.quality, decoded.cause),
        (Quality::Uncertain, Cause::Inexact)
    );
    assert_eq!(
        codec(ValueType::U64)
            .decode_registers(&[0x0020, 0, 0, 0])
            .quality,
        Quality::Good
    );
}

#[test]
fn scaling_overflow_is_not_a_number_either() {
    let huge = ValueCodec {
        scaling: Scaling {
            scale: f64::MAX,
            offset: 0.0,
        },
        ..codec(ValueType::U16)
    };
    assert_eq!(huge.decode_registers(&[2]), Decoded::bad(Cause::NotFinite));
}
