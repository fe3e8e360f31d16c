//! Readers and schemas of values that are one word or a mapping.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::finding::Code;
use crate::raw::{
    EnvelopeCheck, EnvelopeKeyed, Reintegrate, ReintegrateAfter, Watchdog, WatchdogRecord,
};
use crate::read::{Cx, Read, Span};
use crate::yaml::{Kind, Node};

macro_rules! word_or_mapping {
    ($name:ident, $word:literal => $plain:expr, $record:ident => $wrap:expr, $help:literal) => {
        impl Read for $name {
            fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
                match &node.kind {
                    Kind::Map(_) => $record::read(node, owner, cx).map($wrap),
                    Kind::Scalar(text, _) if text == $word => Some($plain),
                    Kind::Scalar(text, _) => {
                        cx.findings.error(
                            Code::UnknownChoice,
                            &node.span,
                            format!("`{}` is not an allowed value", crate::read::short(text)),
                            concat!("write ", $help),
                        );
                        None
                    }
                    _ => {
                        cx.wrong_type(node, owner, $help);
                        None
                    }
                }
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                json_schema!({ "anyOf": [{ "const": $word }, generator.subschema_for::<$record>()] })
            }
        }
    };
}

word_or_mapping!(
    Reintegrate,
    "acknowledge" => Self::Acknowledge,
    ReintegrateAfter => Self::After,
    "`acknowledge`, or `{ after: 2s }`"
);
word_or_mapping!(
    EnvelopeCheck,
    "crc32c" => Self::Crc32c,
    EnvelopeKeyed => Self::Keyed,
    "`crc32c`, or `{ hmac_sha256: { key_file: /etc/tripline/press-7.key } }`"
);
word_or_mapping!(
    Watchdog,
    "none" => Self::None,
    WatchdogRecord => |record| Self::Some(Box::new(record)),
    "`none`, or `{ profile: wago_750, time: 500ms }`"
);
