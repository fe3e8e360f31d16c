//! The checked pack: names resolved to indices, texts to numbers; not yet divided into lanes.
//!
//! A field is `None` when what it stands for was wrong, which has then been reported; nothing is built from it.

use std::cell::Cell;
use std::collections::HashMap;

use drivers_frame::ValueCodec;
use rules_bundle::{
    Acquire, AnalyzerPlan, BrokerPlan, Debounce, DeviationPlan, EnvelopePlan, ExtractPlan,
    HostAssumption, InputChecks, Level, OnBad, OutputTarget, ReadBackPlan, Reintegration, Table,
    Wait, WatchdogPlan, WaveformPlan,
};
use rules_expr::{Compiled, Input, Unit};

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
    pub(crate) assumed: HostAssumption,
    /// The reset button's tag, and where it is named.
    pub(crate) reset_button: Option<(usize, Span)>,
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
    Analyzer(Box<AnalyzerLink>),
}

/// An analyzer.
pub(crate) struct AnalyzerLink {
    /// With the pack's indices of tags and waveforms in the places of the lane's.
    pub(crate) plan: AnalyzerPlan,
    /// Shortest time between two of its results.
    pub(crate) period_ns: u64,
    /// Where the pack states its class.
    pub(crate) class_span: Span,
}

/// A source of blocks.
pub(crate) struct Waveform {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) device: Option<usize>,
    pub(crate) unit: Option<Unit>,
    /// Without its device.
    pub(crate) plan: Option<WaveformPlan>,
    pub(crate) used: Cell<bool>,
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
    pub(crate) checks: InputChecks,
    pub(crate) reintegration: Reintegration,
    /// Declared time between two messages, and where.
    pub(crate) period: Option<(u64, Span)>,
    pub(crate) envelope: Option<(EnvelopePlan, Span)>,
    pub(crate) used: Cell<bool>,
}

/// Redundant channels that decide together.
pub(crate) struct Voting {
    pub(crate) name: String,
    pub(crate) span: Span,
    /// `None` when the channels are not in one lane.
    pub(crate) lane: Option<usize>,
    /// Empty when something was wrong with them.
    pub(crate) channels: Vec<usize>,
    pub(crate) need: u8,
    pub(crate) on_bad: OnBad,
    pub(crate) on_bad_span: Span,
    pub(crate) skew_ns: Option<u64>,
    pub(crate) deviation: Option<DeviationPlan>,
    pub(crate) bypass_ns: Option<u64>,
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
    /// `None`: a group of its own.
    pub(crate) group: Option<(String, Span)>,
    pub(crate) stop: Stop,
    pub(crate) read_back: Option<ReadBackPlan>,
    pub(crate) feedback: Option<Feedback>,
    pub(crate) escalate_to: Option<(usize, Span)>,
    pub(crate) watchdog: Option<WatchdogPlan>,
    /// Whether the pack says something about a watchdog, be it that there is none.
    pub(crate) watchdog_stated: bool,
    /// `None` when the pack does not say.
    pub(crate) device_time_ns: Option<u64>,
    /// The lane of the rules that stop it, and the rule that settled it.
    pub(crate) lane: Option<(usize, String)>,
    pub(crate) stopped: bool,
}

/// Stop category.
pub(crate) enum Stop {
    Zero,
    One {
        controlled_by: usize,
        power_off_after_ns: u64,
    },
}

/// An input that proves that an actuator followed.
pub(crate) struct Feedback {
    pub(crate) tag: usize,
    pub(crate) safe: bool,
    pub(crate) within_ns: u64,
    pub(crate) span: Span,
}

/// A time-limited permission.
#[derive(Clone, Copy)]
pub(crate) struct Enable {
    pub(crate) tag: usize,
    pub(crate) at_most_ns: u64,
}

/// The word that stands for each channel of a voting.
pub(crate) const CHANNEL: &str = "channel";

/// `input` with the tag of one channel in the place of the word.
pub(crate) fn of_channel(input: &Input, channel: &str) -> Input {
    let mut own = input.clone();
    let (Input::Tag(tag) | Input::Window { tag, .. } | Input::Age(tag) | Input::Quality(tag)) =
        &mut own;
    if tag == CHANNEL {
        channel.clone_into(tag);
    }
    own
}

/// A rule.
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) when: String,
    pub(crate) lane: usize,
    /// With the word `channel` when there is a voting.
    pub(crate) compiled: Compiled,
    /// The same with the multiplied set point.
    pub(crate) raised: Option<Compiled>,
    pub(crate) when_span: Span,
    pub(crate) voting: Option<usize>,
    pub(crate) on_delay_ns: u64,
    pub(crate) off_delay_ns: u64,
    pub(crate) debounce: Option<Debounce>,
    pub(crate) multiplier: Option<(f64, Enable)>,
    pub(crate) inhibit: Option<Enable>,
    pub(crate) bypass_ns: Option<u64>,
    pub(crate) level: Level,
    pub(crate) stops: Vec<usize>,
    pub(crate) deadline: Option<(u64, Span)>,
    pub(crate) process_safety_time: Option<(u64, Span)>,
    pub(crate) message: String,
    pub(crate) tags: Vec<String>,
    pub(crate) runbook: Option<String>,
}

impl Rule {
    /// The names of the voting's channels in their order; one empty name for a rule without.
    pub(crate) fn channels<'t>(&self, votings: &[Voting], tags: &'t [Tag]) -> Vec<&'t str> {
        let voting = self.voting.and_then(|voting| votings.get(voting));
        voting.map_or_else(
            || vec![""],
            |voting| {
                let tags = voting.channels.iter().filter_map(|tag| tags.get(*tag));
                tags.map(|tag| tag.name.as_str()).collect()
            },
        )
    }

    /// Everything that the rule reads, of every channel.
    pub(crate) fn inputs(&self, votings: &[Voting], tags: &[Tag]) -> Vec<Input> {
        let channels = self.channels(votings, tags);
        let of = |channel: &&str| -> Vec<Input> {
            let inputs = self.compiled.inputs().iter();
            inputs.map(|input| of_channel(input, channel)).collect()
        };
        channels.iter().flat_map(of).collect()
    }
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
