//! Tags behind MQTT topics: topic, quality of service, and where in the payload a value is.

use drivers_frame::{ByteOrder, ValueType};
use rules_bundle::ExtractPlan;

use super::model::Place;
use super::tags::{Stored, Topics, byte_order, meaningless, value_type};
use super::text::{check_text, check_topic};
use crate::finding::Code;
use crate::limits::JSON_PATH_BYTES_MAX;
use crate::raw::{self, Payload, PayloadFields};
use crate::read::Cx;
use crate::scalar::Text;

/// Place and type of a value in a message.
pub(super) fn mqtt_place(
    raw: &raw::Tag,
    device: Option<usize>,
    stored: &mut Stored,
    topics: &mut Topics,
    cx: &mut Cx<'_, '_>,
) -> Option<Place> {
    let keys = [
        ("word_order", Code::WordOrder),
        ("byte_order", Code::WordOrder),
        ("bit", Code::BadBit),
    ];
    meaningless(
        raw,
        &keys,
        "an MQTT tag (the byte order of a binary payload is in `payload`)",
        cx,
    );
    let extract = match raw.payload.as_ref() {
        None if raw.has("payload") => None,
        None | Some(Payload::Number) => {
            decimal_type(raw, stored, cx);
            Some(ExtractPlan::Number)
        }
        Some(Payload::Fields(fields)) => structured(raw, fields, stored, cx),
    };
    let topic = raw.topic.as_ref()?;
    check_topic("the topic", topic, cx);
    let qos = raw.qos.as_ref().map_or(1, |qos| qos.to());
    let first = topics
        .entry((device?, topic.value.clone()))
        .or_insert_with(|| {
            (
                qos,
                cx.source.get(raw.at.clone()).unwrap_or_default().to_owned(),
            )
        });
    if first.0 != qos {
        cx.findings.error(
            Code::BadTopic,
            raw.qos.as_ref().map_or(&topic.span, |qos| &qos.span),
            format!(
                "the topic is subscribed with QoS {qos} here and with QoS {} by the tag `{}`",
                first.0, first.1
            ),
            "a topic has one subscription: give all of its tags the same `qos`",
        );
    }
    Some(Place::Mqtt {
        topic: topic.value.clone(),
        qos,
        extract: extract?,
    })
}

fn structured(
    raw: &raw::Tag,
    fields: &PayloadFields,
    stored: &mut Stored,
    cx: &mut Cx<'_, '_>,
) -> Option<ExtractPlan> {
    match (fields.has("json"), fields.has("binary")) {
        (true, false) => {
            decimal_type(raw, stored, cx);
            let path = fields.json.as_ref()?;
            check_json_path(path, cx);
            Some(ExtractPlan::Json(path.value.clone()))
        }
        (false, true) => {
            let binary = fields.binary.as_ref()?;
            if !raw.has("type") {
                cx.findings.error(
                    Code::BadValueType,
                    &raw.at,
                    "the tag does not say how its bytes store a value",
                    "add `type:` with one of u16, i16, u32, i32, u64, i64, f32, f64, bool",
                );
            }
            let kind = value_type(raw.r#type?);
            stored.kind = Some(kind);
            stored.bytes = binary.byte_order.map_or(ByteOrder::BigEndian, byte_order);
            if kind != ValueType::Bool && !binary.has("byte_order") {
                cx.findings.error(
                    Code::BadPayload,
                    &binary.at,
                    format!("the value takes {} bytes, but the payload does not say in which order", kind.bytes()),
                    "add `byte_order: big` (network order) or `byte_order: little`; sensors differ, so there is no default",
                );
            }
            Some(ExtractPlan::Binary {
                offset: binary.offset.get()?.to(),
            })
        }
        (both, _) => {
            let problem = if both {
                "says both `json` and `binary`"
            } else {
                "says neither `json` nor `binary`"
            };
            cx.findings.error(
                Code::OneOf,
                &fields.at,
                format!("the payload {problem}"),
                "write exactly one: `{ json: /value }` or `{ binary: { offset: 0, byte_order: little } }`",
            );
            None
        }
    }
}

/// A number in text has no storage type; only whether it is a number or a truth value matters.
fn decimal_type(raw: &raw::Tag, stored: &mut Stored, cx: &mut Cx<'_, '_>) {
    let kind = raw.r#type.map_or(ValueType::F64, value_type);
    if !matches!(kind, ValueType::F64 | ValueType::Bool) {
        cx.findings.error(
            Code::BadValueType,
            raw.key_span("type").unwrap_or(&raw.at),
            "a number in text or JSON is read as f64; the other types are for registers and binary payloads",
            "write `type: f64` or `type: bool`, or leave `type` out",
        );
    }
    if raw.has("type") && raw.r#type.is_none() {
        return;
    }
    stored.kind = Some(if kind == ValueType::Bool {
        ValueType::Bool
    } else {
        ValueType::F64
    });
}

/// A pointer (RFC 6901) or a path of names and indices (the singular queries of RFC 9535).
fn check_json_path(path: &Text, cx: &mut Cx<'_, '_>) {
    if !check_text("the JSON path", path, JSON_PATH_BYTES_MAX, cx) {
        return;
    }
    let text = path.value.as_str();
    let (good, help) = match (text.strip_prefix('/'), text.strip_prefix('$')) {
        (Some(pointer), _) => (
            pointer
                .split('~')
                .skip(1)
                .all(|after| after.starts_with(['0', '1'])),
            "in a JSON pointer `~` stands only in `~0` (for `~`) and `~1` (for `/`)".to_owned(),
        ),
        (_, Some(steps)) => (
            is_singular(steps),
            "name exactly one value with names and indices: `$.data[0].value`, `$['my name']`"
                .to_owned(),
        ),
        _ => (
            false,
            format!("write a pointer, `/{text}`, or a path, `$.{text}`"),
        ),
    };
    if !good {
        cx.findings.error(
            Code::BadPayload,
            &path.span,
            format!(
                "`{}` is not a JSON pointer or path to one value",
                crate::read::short(text)
            ),
            help,
        );
    }
}

/// Whether the steps after `$` are `.name`, `[0]` and `['name']` only.
fn is_singular(steps: &str) -> bool {
    let mut rest = steps;
    while !rest.is_empty() {
        let next = if let Some(named) = rest.strip_prefix('.') {
            let length = named.find(['.', '[']).unwrap_or(named.len());
            let (name, next) = named.split_at(length);
            let plain =
                !name.contains([']', '*', '\'', '"']) && !name.contains(char::is_whitespace);
            (!name.is_empty() && plain).then_some(next)
        } else if let Some(bracket) = rest.strip_prefix('[') {
            let quoted = ['\'', '"'].into_iter().find_map(|quote| {
                let (_, next) = bracket.strip_prefix(quote)?.split_once(quote)?;
                next.strip_prefix(']')
            });
            quoted.or_else(|| {
                let (number, next) = bracket.split_once(']')?;
                let canonical = number == "0" || !number.starts_with(['0', '+']);
                (canonical && number.parse::<u32>().is_ok()).then_some(next)
            })
        } else {
            None
        };
        match next {
            Some(next) => rest = next,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_singular;

    #[test]
    fn paths_name_exactly_one_value() {
        for good in ["", ".a", ".a.b[0].c", "[0]", "['my name'].x", "[\"q\"]"] {
            assert!(is_singular(good), "{good}");
        }
        for bad in [
            "a", ".", "..a", ".*", "[*]", "[0:2]", "[-1]", "[01]", "['a'", ".a b", ".a]",
            "[?(@.x)]",
        ] {
            assert!(!is_singular(bad), "{bad}");
        }
    }
}
