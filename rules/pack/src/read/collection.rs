//! Lists, and mappings whose keys are names that the author chose.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Cx, Read, Span};
use crate::yaml::{Kind, Node, Style};

/// A list.
#[derive(Clone, Debug, Default)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// Whether every item could be read.
    pub(crate) complete: bool,
    /// The key of the list.
    pub(crate) at: Span,
}

impl<T: Read> Read for List<T> {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let Kind::List(nodes) = &node.kind else {
            cx.wrong_type(node, owner, "a list");
            return None;
        };
        let items: Vec<T> = nodes
            .iter()
            .filter_map(|item| {
                let at = if item.span.is_empty() {
                    owner.clone()
                } else {
                    item.span.clone()
                };
                T::read(item, &first_key(item).unwrap_or(at), cx)
            })
            .collect();
        Some(Self {
            complete: items.len() == nodes.len(),
            items,
            at: owner.clone(),
        })
    }
}

/// The value of a mapping's first key is what people recognise an item of a list by.
fn first_key(node: &Node) -> Option<Span> {
    match &node.kind {
        Kind::Map(entries) => entries.first().map(|entry| {
            let named = matches!(
                entry.value.kind,
                Kind::Scalar(_, Style::Plain | Style::Quoted)
            );
            if named {
                entry.value.span.clone()
            } else {
                entry.key_span.clone()
            }
        }),
        _ => None,
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>() })
    }
}

/// A mapping whose keys are names that the author chose, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Map<T> {
    pub(crate) entries: Vec<Named<T>>,
    /// The key of the mapping.
    pub(crate) at: Span,
}

/// A name and what it stands for. `value` is absent when it was wrong, so that the name still resolves.
#[derive(Clone, Debug)]
pub(crate) struct Named<T> {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) value: Option<T>,
}

impl<T: Read> Read for Map<T> {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let mut first: std::collections::HashMap<&str, &Span> = std::collections::HashMap::new();
        let mut named = Vec::new();
        for entry in cx.entries(node, owner)? {
            if let Some(earlier) = first.get(entry.key.as_str()) {
                cx.repeated(&entry.key, &entry.key_span, earlier);
                continue;
            }
            first.insert(&entry.key, &entry.key_span);
            named.push(Named {
                name: entry.key.clone(),
                span: entry.key_span.clone(),
                value: T::read(&entry.value, &entry.key_span, cx),
            });
        }
        Some(Self {
            entries: named,
            at: owner.clone(),
        })
    }
}

impl<T: JsonSchema> JsonSchema for Map<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}
