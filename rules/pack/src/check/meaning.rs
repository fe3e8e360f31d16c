//! What a stored number means: scaling, range, current loop.

use drivers_frame::{CurrentLoop, Range, Scaling, ValueType};

use super::inputs;
use super::tags::meaningless;
use crate::finding::Code;
use crate::raw;
use crate::read::{Cx, Span};

/// What a stored number means.
pub(super) struct Meaning {
    pub(super) scaling: Scaling,
    pub(super) range: Range,
    pub(super) current: Option<CurrentLoop>,
}

/// Scaling and range: what the stored number means. `None` when it cannot be told.
pub(super) fn meaning(
    raw: &raw::Tag,
    kind: Option<ValueType>,
    cx: &mut Cx<'_, '_>,
) -> Option<Meaning> {
    if kind == Some(ValueType::Bool) {
        let keys = [
            ("scale", Code::BadScaling),
            ("offset", Code::BadScaling),
            ("range", Code::BadRange),
            ("current_loop", Code::BadCurrentLoop),
        ];
        meaningless(raw, &keys, "a boolean", cx);
        return Some(Meaning {
            scaling: Scaling::default(),
            range: Range { min: 0.0, max: 1.0 },
            current: None,
        });
    }
    if raw.has("current_loop") {
        return inputs::current_loop(raw, kind, cx).map(|current| Meaning {
            scaling: current.scaling,
            range: current.range,
            current: Some(current.current),
        });
    }
    let scaling = Scaling {
        scale: raw.scale.as_ref().map_or(1.0, |scale| scale.value),
        offset: raw.offset.as_ref().map_or(0.0, |offset| offset.value),
    };
    if let Some(scale) = raw
        .scale
        .as_ref()
        .filter(|scale| scale.value.abs() < f64::MIN_POSITIVE)
    {
        cx.findings
            .error(
                Code::BadScaling,
                &scale.span,
                "a scale of zero makes every value the same",
                "write the factor from the device's manual, or remove `scale`",
            )
            .label("zero");
        return None;
    }
    let Some(bounds) = raw.range.as_ref() else {
        if !raw.has("range") && kind.is_some() {
            cx.findings
                .error(
                    Code::BadRange,
                    &raw.at,
                    "the tag does not say which values are valid",
                    "add `range: [lowest, highest]` in the tag's unit: what the sensor can measure; a value outside \
                     shows a fault and trips",
                )
                .label("needs `range`");
        }
        return None;
    };
    let range = Range {
        min: bounds.min.value,
        max: bounds.max.value,
    };
    if range.min >= range.max {
        let swapped = range.min > range.max;
        cx.findings.error(
            Code::BadRange,
            &bounds.min.span,
            format!(
                "no value is valid: the range runs from {} to {}",
                range.min, range.max
            ),
            if swapped {
                format!(
                    "the lowest comes first: `range: [{}, {}]`",
                    range.max, range.min
                )
            } else {
                "write the lowest and the highest value that the sensor can measure".to_owned()
            },
        );
        return None;
    }
    judge_representable(kind?, scaling, range, &bounds.at, cx);
    Some(Meaning {
        scaling,
        range,
        current: None,
    })
}

/// The values that an integer type can hold, both ends included; `None` for types without practical bounds.
pub(super) fn representable(kind: ValueType) -> Option<(f64, f64)> {
    match kind {
        ValueType::U16 => Some((0.0, f64::from(u16::MAX))),
        ValueType::I16 => Some((f64::from(i16::MIN), f64::from(i16::MAX))),
        ValueType::U32 => Some((0.0, f64::from(u32::MAX))),
        ValueType::I32 => Some((f64::from(i32::MIN), f64::from(i32::MAX))),
        ValueType::F32 => Some((f64::from(f32::MIN), f64::from(f32::MAX))),
        ValueType::U64 => Some((0.0, 2.0_f64.powi(64))),
        ValueType::I64 => Some((-(2.0_f64.powi(63)), 2.0_f64.powi(63))),
        ValueType::F64 | ValueType::Bool => None,
    }
}

fn judge_representable(
    kind: ValueType,
    scaling: Scaling,
    range: Range,
    at: &Span,
    cx: &mut Cx<'_, '_>,
) {
    let Some((low, high)) = representable(kind) else {
        return;
    };
    let one = low.mul_add(scaling.scale, scaling.offset);
    let other = high.mul_add(scaling.scale, scaling.offset);
    let (low, high) = (one.min(other), one.max(other));
    // Decimal scales are not exact in binary; a range that ends within a millionth of the span is meant to end there.
    let slack = (high - low) * 1e-6;
    if range.max < low || range.min > high {
        cx.findings
            .error(
                Code::BadRange,
                at,
                format!("no value can be valid: after scaling, the type holds {low} to {high}, the range is {} to {}", range.min, range.max),
                "check `type`, `scale` and `offset` against the device's manual; the range is in the tag's unit",
            )
            .label("never valid");
    } else if range.min < low - slack || range.max > high + slack {
        cx.findings
            .warning(
                Code::RangeUnreachable,
                at,
                format!("the range is wider than the type: after scaling, it holds {low} to {high}"),
                "a bound that is never reached checks nothing; check `type`, `scale` and `offset`, or narrow the range",
            )
            .label("wider than the type");
    }
}
