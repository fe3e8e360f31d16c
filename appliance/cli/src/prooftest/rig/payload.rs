//! A topic's payload out of its inputs' values: numbers, JSON documents, bytes.

use drivers_frame::ValueType;
use rules_bundle::{ExtractPlan, SubscriptionPlan};

use super::Input;
use crate::prooftest::raw;

/// What a source publishes on a topic.
pub(super) fn payload(topic: &SubscriptionPlan, inputs: &[Input]) -> Vec<u8> {
    let mut json = serde_json::Value::Null;
    let mut binary: Vec<u8> = Vec::new();
    for field in &topic.fields {
        let Some(input) = inputs.get(usize::from(field.tag.0)) else {
            continue;
        };
        let number = raw::number(&input.codec, input.value);
        match &field.extract {
            ExtractPlan::Number => return number.to_string().into_bytes(),
            ExtractPlan::Json(path) => {
                let leaf = if input.codec.kind == ValueType::Bool {
                    serde_json::Value::Bool(number != 0.0)
                } else {
                    serde_json::json!(number)
                };
                put(&mut json, &steps(path), leaf);
            }
            ExtractPlan::Binary { offset } => {
                let bytes = raw::raw_of(&input.codec, input.value)
                    .map(|raw| raw::bytes(&input.codec, raw))
                    .unwrap_or_default();
                let at = usize::from(*offset);
                if binary.len() < at + bytes.len() {
                    binary.resize(at + bytes.len(), 0);
                }
                for (room, byte) in binary.iter_mut().skip(at).zip(bytes) {
                    *room = byte;
                }
            }
        }
    }
    if binary.is_empty() {
        json.to_string().into_bytes()
    } else {
        binary
    }
}

/// A JSON pointer (`/data/0`) or path (`$.data[0]`) as steps.
pub(super) fn steps(path: &str) -> Vec<String> {
    if let Some(pointer) = path.strip_prefix('/') {
        return pointer
            .split('/')
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect();
    }
    path.trim_start_matches('$')
        .replace(']', "")
        .split(['.', '['])
        .filter(|step| !step.is_empty())
        .map(|step| step.trim_matches(['\'', '"']).to_owned())
        .collect()
}

pub(super) fn put(json: &mut serde_json::Value, steps: &[String], leaf: serde_json::Value) {
    let Some((step, rest)) = steps.split_first() else {
        *json = leaf;
        return;
    };
    if let Ok(index) = step.parse::<usize>()
        && index < 1_024
    {
        if !json.is_array() {
            *json = serde_json::Value::Array(Vec::new());
        }
        if let serde_json::Value::Array(items) = json {
            while items.len() <= index {
                items.push(serde_json::Value::Null);
            }
            if let Some(item) = items.get_mut(index) {
                put(item, rest, leaf);
            }
        }
        return;
    }
    if !json.is_object() {
        *json = serde_json::Value::Object(serde_json::Map::new());
    }
    if let serde_json::Value::Object(members) = json {
        put(
            members
                .entry(step.clone())
                .or_insert(serde_json::Value::Null),
            rest,
            leaf,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_paths_build_the_document_that_they_read() {
        let mut json = serde_json::Value::Null;
        put(&mut json, &steps("/data/1/value"), serde_json::json!(2.5));
        put(&mut json, &steps("$.data[0].ok"), serde_json::json!(true));
        assert_eq!(
            json,
            serde_json::json!({ "data": [{ "ok": true }, { "value": 2.5 }] })
        );
    }
}
