//! All values that a subscription wants out of a JSON document, in one pass and without a tree.
//!
//! Strict on purpose (H-21): the payload must be UTF-8 and one document with nothing after it; a name that lies on a
//! wanted path may occur once in its object (parsers differ in which of two they take, so neither is believed; names off
//! every path are not compared); a number in quotes is text; NaN and infinity are no JSON.

use super::Number;
use super::path::{JsonPath, JsonStep};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What was found at the end of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum JsonValue {
    /// Nothing.
    #[default]
    Missing,
    /// A number.
    Number(Number),
    /// `true` or `false`.
    Bool(bool),
    /// Text, null, an array or an object.
    Other,
}

/// The payload is not one strict JSON document. No value of it may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedJson;

/// One place in the document that a path goes through or ends at.
#[derive(Debug, Default)]
struct Node {
    /// Children by name, sorted; also those by index, as objects may have members named by digits.
    names: Vec<(Box<str>, usize)>,
    /// Children by index, sorted.
    indices: Vec<(u32, usize)>,
    /// Values that end here.
    slots: Vec<usize>,
}

impl Node {
    fn by_name(&self, name: &str) -> Option<usize> {
        let found = self.names.binary_search_by(|(own, _)| (**own).cmp(name));
        found
            .ok()
            .and_then(|at| self.names.get(at))
            .map(|(_, child)| *child)
    }

    fn by_index(&self, index: u32) -> Option<usize> {
        let found = self.indices.binary_search_by_key(&index, |(own, _)| *own);
        found
            .ok()
            .and_then(|at| self.indices.get(at))
            .map(|(_, child)| *child)
    }

    fn insert_name(&mut self, name: Box<str>, child: usize) {
        let at = self.names.partition_point(|(own, _)| *own < name);
        self.names.insert(at, (name, child));
    }
}

/// The paths of one subscription, merged into a tree, and room for the values found.
#[derive(Debug)]
pub struct JsonPlan {
    nodes: Vec<Node>,
    visited: Vec<bool>,
    values: Vec<JsonValue>,
}

impl JsonPlan {
    /// Merges `paths`; the value of the n-th is the n-th that [`JsonPlan::extract`] returns.
    pub fn new(paths: &[&JsonPath]) -> Self {
        let mut nodes = vec![Node::default()];
        for (slot, path) in paths.iter().enumerate() {
            let mut node = 0;
            for step in path.steps() {
                node = child(&mut nodes, node, step);
            }
            if let Some(end) = nodes.get_mut(node) {
                end.slots.push(slot);
            }
        }
        Self {
            visited: vec![false; nodes.len()],
            nodes,
            values: vec![JsonValue::Missing; paths.len()],
        }
    }

    /// Reads one document.
    ///
    /// # Errors
    /// [`MalformedJson`].
    pub fn extract(&mut self, payload: &[u8]) -> Result<&[JsonValue], MalformedJson> {
        self.visited.fill(false);
        self.values.fill(JsonValue::Missing);
        // Checked as a whole: text that is skipped is not checked by the parser.
        let text = std::str::from_utf8(payload).map_err(|_| MalformedJson)?;
        let mut json = serde_json::Deserializer::from_str(text);
        let walk = Walk {
            nodes: &self.nodes,
            node: 0,
            visited: &mut self.visited,
            values: &mut self.values,
        };
        walk.deserialize(&mut json).map_err(|_| MalformedJson)?;
        json.end().map_err(|_| MalformedJson)?;
        Ok(&self.values)
    }
}

/// The child of `node` at `step`, made if it is new.
fn child(nodes: &mut Vec<Node>, node: usize, step: &JsonStep) -> usize {
    let found = nodes.get(node).and_then(|own| match step {
        JsonStep::Key(key) => own.by_name(key),
        JsonStep::Index(index) => own.by_index(*index),
    });
    if let Some(found) = found {
        return found;
    }
    let new = nodes.len();
    nodes.push(Node::default());
    if let Some(own) = nodes.get_mut(node) {
        match step {
            JsonStep::Key(key) => own.insert_name(key.clone(), new),
            JsonStep::Index(index) => {
                let at = own.indices.partition_point(|(other, _)| other < index);
                own.indices.insert(at, (*index, new));
                own.insert_name(index.to_string().into(), new);
            }
        }
    }
    new
}

/// Reads the value at `node`, and what lies below it.
struct Walk<'p> {
    nodes: &'p [Node],
    node: usize,
    visited: &'p mut [bool],
    values: &'p mut [JsonValue],
}

impl Walk<'_> {
    fn own(&self) -> Option<&Node> {
        self.nodes.get(self.node)
    }

    fn found(self, value: JsonValue) {
        if let Some(node) = self.nodes.get(self.node) {
            for slot in &node.slots {
                if let Some(place) = self.values.get_mut(*slot) {
                    *place = value;
                }
            }
        }
    }

    /// A walk for the child `node`.
    fn down(&mut self, node: usize) -> Walk<'_> {
        Walk {
            nodes: self.nodes,
            node,
            visited: &mut *self.visited,
            values: &mut *self.values,
        }
    }

    /// Marks `node`; false when it was met before in this document.
    fn first_visit(&mut self, node: usize) -> bool {
        match self.visited.get_mut(node) {
            Some(visited) => !std::mem::replace(visited, true),
            None => false,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.found(JsonValue::Bool(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.found(JsonValue::Number(Number::from_i64(value)));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.found(JsonValue::Number(Number::from_u64(value)));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.found(JsonValue::Number(Number::from_f64(value)));
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.found(JsonValue::Other);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.found(JsonValue::Other);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        let mut index = 0_u32;
        loop {
            let more = match self.own().and_then(|node| node.by_index(index)) {
                Some(node) => {
                    self.first_visit(node);
                    sequence.next_element_seed(self.down(node))?.is_some()
                }
                None => sequence.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
            index = index.saturating_add(1);
        }
        self.found(JsonValue::Other);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        loop {
            let name = Name { node: self.own() };
            let Some(child) = map.next_key_seed(name)? else {
                break;
            };
            match child {
                Some(node) => {
                    if !self.first_visit(node) {
                        return Err(A::Error::custom("duplicate name"));
                    }
                    map.next_value_seed(self.down(node))?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.found(JsonValue::Other);
        Ok(())
    }
}

/// Reads a member's name and says which child it is, without keeping the name.
struct Name<'p> {
    node: Option<&'p Node>,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.node.and_then(|node| node.by_name(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(value: f64) -> JsonValue {
        JsonValue::Number(Number::from_f64(value))
    }

    fn read(paths: &[&str], payload: &str) -> Result<Vec<JsonValue>, MalformedJson> {
        let paths: Vec<JsonPath> = paths.iter().map(|p| JsonPath::parse(p).unwrap()).collect();
        let refs: Vec<&JsonPath> = paths.iter().collect();
        JsonPlan::new(&refs)
            .extract(payload.as_bytes())
            .map(<[JsonValue]>::to_vec)
    }

    #[test]
    fn several_paths_in_one_pass() {
        let values = read(
            &["/a/b/1", "$.a.c", "a", "/a/b/7", "/d~1e", "$"],
            r#"{"x":[{"a":1}],"a":{"b":[1,2.5,{}],"c":false},"d\/e":-3,"y":"\u00e9"}"#,
        );
        assert_eq!(
            values.unwrap(),
            [
                number(2.5),
                JsonValue::Bool(false),
                JsonValue::Other,
                JsonValue::Missing,
                number(-3.0),
                JsonValue::Other
            ]
        );
        assert_eq!(read(&["$"], " 12 ").unwrap(), [number(12.0)]);
    }

    #[test]
    fn digits_are_an_index_or_a_name_as_the_document_says() {
        for payload in [r#"{"d":[5]}"#, r#"{"d":{"0":5}}"#] {
            assert_eq!(
                read(&["/d/0"], payload).unwrap(),
                [number(5.0)],
                "{payload}"
            );
        }
    }

    #[test]
    fn duplicate_names_on_a_path_and_trailing_bytes_are_malformed() {
        for payload in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"o":{"a":1},"o":{}}"#,
            r#"{"a":1} x"#,
            r#"{"a":1}{"a":2}"#,
            r#"{"a":1"#,
            r#"{"a":NaN}"#,
            r#"{"a":Infinity}"#,
            r#"{"a":01}"#,
            r#"{"a":1,}"#,
            r#"{'a':1}"#,
            "",
            "\u{feff}{\"a\":1}",
        ] {
            assert_eq!(
                read(&["/a", "/o/a"], payload),
                Err(MalformedJson),
                "H-21: {payload}"
            );
        }
        // Off every path: not compared, as said in the module header.
        assert!(read(&["/a"], r#"{"b":1,"b":2,"a":3}"#).is_ok());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_even_where_they_would_be_skipped() {
        let path = JsonPath::parse("/a").unwrap();
        let mut plan = JsonPlan::new(&[&path]);
        assert_eq!(
            plan.extract(b"{\"b\":\"\xFF\",\"a\":1}"),
            Err(MalformedJson)
        );
        assert_eq!(
            plan.extract(b"{\"a\":1}").unwrap(),
            [number(1.0)],
            "a fault leaves no trace in the next document"
        );
    }

    #[test]
    fn deep_nesting_neither_overflows_the_stack_nor_is_believed_half() {
        let deep = format!(
            r#"{{"b":{}1{},"a":2}}"#,
            "[".repeat(20_000),
            "]".repeat(20_000)
        );
        // Skipped values are read without recursion.
        assert_eq!(read(&["/a"], &deep).unwrap(), [number(2.0)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_document_or_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let path = JsonPath::parse("/a/0").unwrap();
            let ours = JsonPlan::new(&[&path]).extract(&bytes).is_ok();
            let theirs = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
            // Stricter than a tree on the path, never more lenient about syntax.
            prop_assert!(!ours || theirs || bytes.iter().filter(|b| **b == b'[').count() > 100);
        }

        #[test]
        fn the_value_is_the_one_that_a_tree_would_give(
            value in proptest::num::f64::NORMAL,
            before in proptest::collection::vec(any::<i32>(), 0..4),
            name in "[a-z~/.\"é]{1,6}",
        ) {
            let mut array: Vec<serde_json::Value> = before.iter().map(|n| (*n).into()).collect();
            array.push(value.into());
            let document = serde_json::json!({ "z": null, name.clone(): { "list": array } }).to_string();
            let pointer = format!("/{}/list/{}", name.replace('~', "~0").replace('/', "~1"), before.len());
            prop_assert_eq!(read(&[&pointer], &document).unwrap(), vec![number(value)]);
        }
    }
}
