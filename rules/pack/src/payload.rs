//! Reader and schema of `payload`, which is a word or a mapping.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::finding::Code;
use crate::raw::{Payload, PayloadFields};
use crate::read::{Cx, Read, Span};
use crate::yaml::{Kind, Node};

impl Read for Payload {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => PayloadFields::read(node, owner, cx).map(Self::Fields),
            Kind::Scalar(text, _) if text == "number" => Some(Self::Number),
            Kind::Scalar(text, _) => {
                let help = match text.as_str() {
                    "json" => "say which field: `payload: { json: /value }`",
                    "binary" => {
                        "say which bytes: `payload: { binary: { offset: 0, byte_order: little } }`"
                    }
                    _ => {
                        "write `number`, `{ json: /value }` or `{ binary: { offset: 0, byte_order: little } }`"
                    }
                };
                cx.findings.error(
                    Code::UnknownChoice,
                    &node.span,
                    format!("`{}` is not a kind of payload", crate::read::short(text)),
                    help,
                );
                None
            }
            _ => {
                cx.wrong_type(
                    node,
                    owner,
                    "`number`, `{ json: ... }` or `{ binary: ... }`",
                );
                None
            }
        }
    }
}

impl JsonSchema for Payload {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Payload".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "number" }, generator.subschema_for::<PayloadFields>()] })
    }
}
