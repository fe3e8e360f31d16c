//! The checked pack: names resolved to indices, texts to numbers; not yet divided into lanes.
//!
//! A field is `None` when what it stands for was wrong, which has then been reported; nothing is built from it.

use std::cell::Cell;
use std::collections::HashMap;

use drivers_frame::ValueCodec;
use rules_bundle::{Acquire, BrokerPlan, ExtractPlan, Level, OutputTarget, Table, Wait};
use rules_expr::{Compiled, Unit};

use crate::read::Span;

/// A lane.
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) cpu: Option<u16>,
    pub(crate) priority: u8,
    pub(crate) wait: Wait,
    pub(crate) acquire: Acquire,
    pub(crate) timer_ns: u64,
}

/// A device.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) lane: Option<usize>,
    pub(crate) link: Option<Link>,
    pub(crate) used: bool,
}

/// How a device is reached.
pub(crate) enum Link {
    Modbus(ModbusLink),
    Mqtt(BrokerPlan),
}

/// A Modbus device without its points.
#[derive(Clone)]
pub(crate) struct ModbusLink {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) unit: u8,
    /// `None` is continuous.
    pub(crate) poll_ns: Option<u64>,
    pub(crate) timeout_ns: u64,
    pub(crate) connect_timeout_ns: u64,
    pub(crate) backoff_min_ns: u64,
    pub(crate) backoff_max_ns: u64,
    pub(crate) max_gap: u16,
    /// `None` when `addressing` was wrong.
    pub(crate) one_based: Option<bool>,
}

/// Where a tag is.
pub(crate) enum Place {
    Modbus {
        table: Table,
        address: u16,
    },
    Mqtt {
        topic: String,
        qos: u8,
        extract: ExtractPlan,
    },
}

/// A tag.
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) device: Option<usize>,
    pub(crate) place: Option<Place>,
    pub(crate) codec: Option<ValueCodec>,
    /// `None` for booleans.
    pub(crate) unit: Option<Unit>,
    pub(crate) is_bool: bool,
    /// Whether enough is known to use it in expressions; otherwise expressions are not judged by it.
    pub(crate) known: bool,
    pub(crate) stale_after_ns: u64,
    pub(crate) used: Cell<bool>,
}

/// An output.
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) device: Option<usize>,
    pub(crate) unit: Option<u8>,
    pub(crate) target: Option<OutputTarget>,
    pub(crate) refresh_ns: u64,
    pub(crate) refresh_span: Span,
    pub(crate) confirm_within_ns: u64,
    /// The lane of the rules that stop it, and the rule that settled it.
    pub(crate) lane: Option<(usize, String)>,
    pub(crate) stopped: bool,
}

/// A rule.
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) when: String,
    pub(crate) lane: usize,
    pub(crate) compiled: Compiled,
    pub(crate) on_delay_ns: u64,
    pub(crate) level: Level,
    pub(crate) stops: Vec<usize>,
    pub(crate) deadline_ns: Option<u64>,
    pub(crate) message: String,
    pub(crate) tags: Vec<String>,
    pub(crate) runbook: Option<String>,
}

/// Indices by name.
pub(crate) type Index<'n> = HashMap<&'n str, usize>;

/// Indices of named things by their names; the first of two with one name wins, the second has been reported.
pub(crate) fn index<'n>(names: impl Iterator<Item = &'n str>) -> Index<'n> {
    let mut index = Index::new();
    for (position, name) in names.enumerate() {
        index.entry(name).or_insert(position);
    }
    index
}
