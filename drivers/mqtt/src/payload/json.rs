//! All values that a subscription wants out of a JSON document, in one pass, without a tree and without allocating.
//!
//! Strict on purpose (H-21): the payload must be UTF-8 and one document (RFC 8259) with nothing after it; a name that
//! lies on a wanted path may occur once in its object (parsers differ in which of two they take, so neither is believed;
//! names off every path are not compared); a number in quotes is text; NaN and infinity are no JSON. Our own scanner
//! because a lane may run it: a general parser allocates for escapes, for nesting and for its errors. The tests hold it
//! against serde_json.

use super::Number;
use super::path::{JsonPath, JsonStep};
use super::scan::{Scan, Text};

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

    /// The child whose name is `name` with its escapes read.
    fn by_escaped(&self, name: &Text<'_>) -> Option<usize> {
        let found = self
            .names
            .iter()
            .find(|(own, _)| name.chars().eq(own.chars()));
        found.map(|(_, child)| *child)
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
        let text = std::str::from_utf8(payload).map_err(|_| MalformedJson)?;
        let mut walk = Walk {
            scan: Scan::new(text),
            nodes: &self.nodes,
            visited: &mut self.visited,
            values: &mut self.values,
        };
        walk.value(0)?;
        walk.scan.end()?;
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

/// Reads a document along the tree of wanted paths. Recursion is as deep as the longest path (`JSON_STEPS_MAX`).
struct Walk<'p> {
    scan: Scan<'p>,
    nodes: &'p [Node],
    visited: &'p mut [bool],
    values: &'p mut [JsonValue],
}

impl Walk<'_> {
    /// Reads the value at `node`, and what lies below it.
    fn value(&mut self, node: usize) -> Result<(), MalformedJson> {
        let value = match self.scan.peek()? {
            b'{' => {
                self.object(node)?;
                JsonValue::Other
            }
            b'[' => {
                self.array(node)?;
                JsonValue::Other
            }
            _ => self.scan.scalar()?,
        };
        if let Some(node) = self.nodes.get(node) {
            for slot in &node.slots {
                if let Some(place) = self.values.get_mut(*slot) {
                    *place = value;
                }
            }
        }
        Ok(())
    }

    fn object(&mut self, node: usize) -> Result<(), MalformedJson> {
        let mut more = self.scan.open(b'{', b'}')?;
        while more {
            let name = self.scan.name()?;
            let own = self.nodes.get(node);
            match own.and_then(|own| {
                if name.is_plain() {
                    own.by_name(name.raw())
                } else {
                    own.by_escaped(&name)
                }
            }) {
                Some(child) => {
                    if !self.first_visit(child) {
                        return Err(MalformedJson);
                    }
                    self.value(child)?;
                }
                None => self.scan.skip()?,
            }
            more = self.scan.next(b'}')?;
        }
        Ok(())
    }

    fn array(&mut self, node: usize) -> Result<(), MalformedJson> {
        let mut more = self.scan.open(b'[', b']')?;
        let mut index = 0_u32;
        while more {
            match self.nodes.get(node).and_then(|own| own.by_index(index)) {
                Some(child) => {
                    self.first_visit(child);
                    self.value(child)?;
                }
                None => self.scan.skip()?,
            }
            index = index.saturating_add(1);
            more = self.scan.next(b']')?;
        }
        Ok(())
    }

    /// Marks `node`; false when it was met before in this document.
    fn first_visit(&mut self, node: usize) -> bool {
        match self.visited.get_mut(node) {
            Some(visited) => !std::mem::replace(visited, true),
            None => false,
        }
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
        // No sensor nests like that; skipped values are read without recursion, to a depth that has a limit.
        assert_eq!(read(&["/a"], &deep), Err(MalformedJson));
        let usual = deep
            .replace(&"[".repeat(19_900), "")
            .replace(&"]".repeat(19_900), "");
        assert_eq!(read(&["/a"], &usual).unwrap(), [number(2.0)]);
    }

    /// A document of every kind of value.
    fn document(seed: u64, depth: u32) -> serde_json::Value {
        let mixed = seed
            .wrapping_add(0x9E37_79B9_7F4A_7C15)
            .wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let part = |index: u64| mixed.rotate_left(7 * index as u32 + 1).wrapping_add(index);
        match (mixed >> 60) % if depth > 3 { 6 } else { 8 } {
            0 => serde_json::Value::Null,
            1 => (mixed & 1 == 0).into(),
            2 => mixed.into(),
            3 => (-(i64::from(mixed as u32))).into(),
            4 => (f64::from(mixed as u32) * 1e-7 * 10_f64.powi((mixed % 60) as i32 - 30)).into(),
            5 => ["", "text", "\"\\/", "\u{1}\n\t", "é😀", "\u{7f}"][(mixed % 6) as usize].into(),
            6 => (0..mixed % 4)
                .map(|index| document(part(index), depth + 1))
                .collect(),
            _ => (0..mixed % 4)
                .map(|index| (format!("k{index}\n"), document(part(index), depth + 1)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
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

        /// Documents that a tree would take are taken, and damaged ones are taken or refused as a tree would.
        #[test]
        fn what_is_json_is_decided_as_a_tree_decides_it(seed in any::<u64>(), cut in 0_usize..400, flip in any::<u8>()) {
            let mut text = document(seed, 0).to_string().into_bytes();
            prop_assert!(JsonPlan::new(&[]).extract(&text).is_ok());
            let at = cut % text.len();
            text[at] ^= flip;
            let theirs = serde_json::from_slice::<serde_json::Value>(&text).is_ok();
            let ours = JsonPlan::new(&[]).extract(&text).is_ok();
            prop_assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&text));
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
