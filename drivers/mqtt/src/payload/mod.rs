//! Numbers out of payloads: plain text, JSON, binary.
//!
//! Which thread: acquisition or a lane. May it block: no. Worst case: one pass over the payload, whatever the number of
//! fields. Nothing here allocates after construction.
//! Hazards: H-21 (malformed, duplicate keys, NaN and infinity are never a number).

mod json;
mod number;
mod path;
mod scan;

pub use json::{JsonPlan, JsonValue, MalformedJson};
pub use number::parse_number;
pub use path::{JsonPath, JsonStep, PathError, PathErrorKind};

use crate::config::{Extract, Field};
use drivers_frame::{Cause, Decoded, MonoNs, Quality, Sample, TagId, ValueCodec, ValueType};

/// Largest integer up to which every integer is a binary64: 2^53.
const EXACT_INTEGER_MAX: u64 = 1 << 53;

/// A number found in a payload, before scale and range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// The number, not finite when the text overflows a 64-bit float.
    pub value: f64,
    /// Whether `value` is the integer in the text; always true for fractions, which are rounded by nature.
    pub exact: bool,
}

impl Number {
    /// An unsigned integer.
    #[expect(
        clippy::as_conversions,
        reason = "rounding is the point; what is not exact is marked"
    )]
    pub fn from_u64(integer: u64) -> Self {
        Self {
            value: integer as f64,
            exact: integer <= EXACT_INTEGER_MAX,
        }
    }

    /// A signed integer.
    #[expect(
        clippy::as_conversions,
        reason = "rounding is the point; what is not exact is marked"
    )]
    pub fn from_i64(integer: i64) -> Self {
        Self {
            value: integer as f64,
            exact: integer.unsigned_abs() <= EXACT_INTEGER_MAX,
        }
    }

    /// A fraction.
    pub const fn from_f64(value: f64) -> Self {
        Self { value, exact: true }
    }

    /// Scaled and checked; an integer beyond 2^53 is uncertain rather than silently rounded.
    pub fn decode(self, codec: &ValueCodec) -> Decoded {
        let decoded = codec.decode_number(self.value);
        if decoded.quality == Quality::Good && !self.exact {
            return Decoded {
                quality: Quality::Uncertain,
                cause: Cause::Inexact,
                ..decoded
            };
        }
        decoded
    }
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Number,
    /// Slot in the JSON plan.
    Json(usize),
    Binary(usize),
}

/// The fields of one subscription, compiled: how one message becomes one frame.
#[derive(Debug)]
pub struct FieldPlan {
    fields: Vec<(TagId, Source, ValueCodec)>,
    json: Option<JsonPlan>,
}

impl FieldPlan {
    /// Compiles `fields`, in their order.
    pub fn new(fields: &[Field]) -> Self {
        let mut paths = Vec::new();
        let fields = fields
            .iter()
            .map(|field| {
                let source = match &field.extract {
                    Extract::Number => Source::Number,
                    Extract::Binary { offset } => Source::Binary(*offset),
                    Extract::Json { path } => {
                        paths.push(path);
                        Source::Json(paths.len().saturating_sub(1))
                    }
                };
                (field.tag, source, field.codec)
            })
            .collect();
        Self {
            fields,
            json: (!paths.is_empty()).then(|| JsonPlan::new(&paths)),
        }
    }

    /// How many samples a frame has.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether no field was named.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Fills `samples` with one sample for every field, bad ones included. Returns how many were malformed.
    ///
    /// Allocates nothing itself as long as `samples` has room for [`FieldPlan::len`].
    pub fn extract(&mut self, payload: &[u8], at: MonoNs, samples: &mut Vec<Sample>) -> usize {
        samples.clear();
        let json = match self.json.as_mut().map(|plan| plan.extract(payload)) {
            Some(Ok(values)) => values,
            // Not JSON: no value of it is believed, not even those before the fault.
            Some(Err(MalformedJson)) | None => &[],
        };
        let mut malformed = 0_usize;
        for (tag, source, codec) in &self.fields {
            let decoded = match source {
                Source::Number => parse_number(payload).map(|number| number.decode(codec)),
                Source::Binary(offset) => payload
                    .get(*offset..offset.saturating_add(codec.kind.bytes()))
                    .map(|bytes| codec.decode_bytes(bytes)),
                Source::Json(slot) => match json.get(*slot) {
                    Some(JsonValue::Number(number)) => Some(number.decode(codec)),
                    Some(JsonValue::Bool(flag)) if codec.kind == ValueType::Bool => {
                        Some(ValueCodec::decode_bit(*flag))
                    }
                    Some(JsonValue::Bool(_) | JsonValue::Missing | JsonValue::Other) | None => None,
                },
            };
            let decoded = decoded.unwrap_or(Decoded::bad(Cause::Malformed));
            malformed = malformed.saturating_add(usize::from(decoded.cause == Cause::Malformed));
            samples.push(sample(*tag, decoded, at));
        }
        malformed
    }

    /// Fills `samples` with a bad sample for every field: for a message that was too large to be read.
    pub fn all_bad(&self, cause: Cause, at: MonoNs, samples: &mut Vec<Sample>) {
        samples.clear();
        samples.extend(
            self.fields
                .iter()
                .map(|(tag, ..)| sample(*tag, Decoded::bad(cause), at)),
        );
    }
}

fn sample(tag: TagId, decoded: Decoded, at: MonoNs) -> Sample {
    Sample {
        at,
        value: decoded.value,
        tag,
        quality: decoded.quality,
        cause: decoded.cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drivers_frame::Range;

    fn field(tag: u16, extract: Extract, kind: ValueType) -> Field {
        Field {
            tag: TagId(tag),
            extract,
            codec: ValueCodec::plain(kind),
        }
    }

    fn json(path: &str) -> Extract {
        Extract::Json {
            path: JsonPath::parse(path).unwrap(),
        }
    }

    fn run(fields: &[Field], payload: &[u8]) -> (Vec<Sample>, usize) {
        let mut samples = Vec::new();
        let malformed = FieldPlan::new(fields).extract(payload, MonoNs::from_ns(7), &mut samples);
        (samples, malformed)
    }

    #[test]
    fn one_message_is_one_frame_and_a_missing_field_is_bad() {
        let fields = [
            field(1, json("/t"), ValueType::F64),
            field(2, json("$.run"), ValueType::Bool),
            field(3, json("absent"), ValueType::F64),
        ];
        let (samples, malformed) = run(&fields, br#"{"run":true,"t":-2.5e1}"#);
        assert_eq!(malformed, 1);
        assert_eq!(samples.len(), 3);
        assert!(samples.iter().all(|sample| sample.at == MonoNs::from_ns(7)));
        assert_eq!((samples[0].tag, samples[0].value), (TagId(1), -25.0));
        assert_eq!((samples[1].value, samples[1].quality), (1.0, Quality::Good));
        assert_eq!(
            (samples[2].quality, samples[2].cause),
            (Quality::Bad, Cause::Malformed)
        );
    }

    #[test]
    fn a_boolean_is_a_value_only_for_a_bool_tag_and_a_quoted_number_never_is() {
        for (payload, kind, usable) in [
            (r#"{"v":true}"#, ValueType::Bool, true),
            (r#"{"v":1}"#, ValueType::Bool, true),
            (r#"{"v":2}"#, ValueType::Bool, false),
            (r#"{"v":true}"#, ValueType::F64, false),
            (r#"{"v":"1"}"#, ValueType::F64, false),
            (r#"{"v":null}"#, ValueType::F64, false),
            (r#"{"v":[1]}"#, ValueType::F64, false),
            (r#"{"v":{"v":1}}"#, ValueType::F64, false),
        ] {
            let (samples, _) = run(&[field(1, json("/v"), kind)], payload.as_bytes());
            assert_eq!(samples[0].quality.is_usable(), usable, "H-21: {payload}");
        }
    }

    #[test]
    fn binary_fields_out_of_the_payload_are_malformed_not_shifted() {
        let fields = [
            field(1, Extract::Binary { offset: 1 }, ValueType::U16),
            field(2, Extract::Binary { offset: 3 }, ValueType::U16),
            field(3, Extract::Binary { offset: usize::MAX }, ValueType::F64),
        ];
        let (samples, malformed) = run(&fields, &[9, 1, 2, 3]);
        assert_eq!(samples[0].value.to_bits(), 258.0_f64.to_bits());
        assert_eq!(malformed, 2);
    }

    #[test]
    fn overflowing_text_is_not_finite_and_range_is_kept() {
        let mut limited = field(1, Extract::Number, ValueType::F64);
        limited.codec.range = Range { min: 0.0, max: 5.0 };
        for (text, cause) in [
            ("1e999", Cause::NotFinite),
            ("6", Cause::AboveRange),
            ("-1", Cause::BelowRange),
            ("nan", Cause::Malformed),
            ("", Cause::Malformed),
            (" 4.5\r\n", Cause::None),
        ] {
            let (samples, _) = run(&[limited.clone()], text.as_bytes());
            assert_eq!(samples[0].cause, cause, "H-21: {text:?}");
        }
    }

    #[test]
    fn integers_beyond_the_exact_are_uncertain() {
        let plain = field(1, Extract::Number, ValueType::U64);
        let nested = field(1, json("/n"), ValueType::I64);
        for (field, payload) in [
            (&plain, "9007199254740993"),
            (&nested, r#"{"n":9007199254740993}"#),
            (&nested, r#"{"n":-9007199254740993}"#),
        ] {
            let (samples, _) = run(std::slice::from_ref(field), payload.as_bytes());
            assert_eq!(samples[0].cause, Cause::Inexact, "{payload}");
        }
    }

    #[test]
    fn a_giant_message_makes_every_field_bad() {
        let plan = FieldPlan::new(&[
            field(4, Extract::Number, ValueType::F64),
            field(5, Extract::Number, ValueType::F64),
        ]);
        let mut samples = Vec::new();
        plan.all_bad(Cause::Malformed, MonoNs::from_ns(3), &mut samples);
        assert_eq!(samples.len(), 2, "H-21");
        assert!(samples.iter().all(|sample| sample.quality == Quality::Bad));
    }
}
