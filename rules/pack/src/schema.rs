//! The JSON Schema of the format, for editors.

use serde_json::{Value, json};

use crate::raw::Pack;

/// JSON Schema (draft 2020-12) of a pack: every key with its description, type, bounds and default.
///
/// It is derived from the records that read a pack, so that editor and program agree on keys and types. What depends on
/// several keys at once (units, names, times) only the program can judge.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Pack).to_value();
    tidy(&mut schema);
    schema
}

/// Optional keys may be absent, but not `null`; and two of the generator's habits say nothing to an editor.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(options)) = object.get_mut("anyOf") {
                options.retain(|option| *option != json!({ "type": "null" }));
                if let [Value::Object(only)] = options.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    for (key, inner) in only {
                        object.entry(key).or_insert(inner);
                    }
                }
            }
            if object
                .get("enum")
                .and_then(Value::as_array)
                .is_some_and(|words| words.contains(&Value::Null))
                && let Some(Value::Array(words)) = object.get_mut("enum")
            {
                words.retain(|word| !word.is_null());
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
