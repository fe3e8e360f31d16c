//! From what is written to what is meant: names resolved, units applied, everything held against everything else.
//!
//! Parts are checked in the order in which they depend on one another. A part that is wrong is reported once and then
//! treated as unknown, so that its users do not report consequences.

mod analyzers;
mod canary;
mod condition;
mod decide;
mod devices;
mod expression;
mod inputs;
mod lints;
mod meaning;
pub(crate) mod model;
pub(crate) mod modules;
mod names;
mod outputs;
mod payload;
pub(crate) mod reaction;
mod replay;
mod rules;
mod stops;
mod switch;
mod tags;
mod text;
mod trust;
mod votings;
mod watchdogs;
mod waveforms;
mod wiring;

pub(crate) use condition::sample_period_ns;

use drivers_frame::DurNs;
use rules_bundle::AlertPlan;

use crate::beside::Beside;
use crate::finding::Code;
use crate::raw;
use crate::read::{Cx, Span};
use crate::scalar::Text;
use crate::suggest::nearest;
use model::{Device, Lane, Output, Rule, Tag, Voting, Waveform, index};
use modules::Modules;

/// A pack without errors. Made by [`CheckedPack::new`] only.
pub(crate) struct CheckedPack {
    name: String,
    version: String,
    description: String,
    lanes: Vec<Lane>,
    devices: Vec<Device>,
    tags: Vec<Tag>,
    waveforms: Vec<Waveform>,
    modules: Modules,
    votings: Vec<Voting>,
    outputs: Vec<Output>,
    rules: Vec<Rule>,
    alerts: Option<AlertPlan>,
}

/// The parts of a checked pack, for the resolver.
pub(crate) struct Parts<'p> {
    pub(crate) name: &'p str,
    pub(crate) version: &'p str,
    pub(crate) description: &'p str,
    pub(crate) lanes: &'p [Lane],
    pub(crate) devices: &'p [Device],
    pub(crate) tags: &'p [Tag],
    pub(crate) waveforms: &'p [Waveform],
    pub(crate) modules: &'p Modules,
    pub(crate) votings: &'p [Voting],
    pub(crate) outputs: &'p [Output],
    pub(crate) rules: &'p [Rule],
    pub(crate) alerts: Option<&'p AlertPlan>,
}

impl CheckedPack {
    /// Checks everything. `None` when there was any error, in this step or while reading.
    pub(crate) fn new(pack: &raw::Pack, beside: &dyn Beside, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let info = pack.pack.get();
        if let Some(name) = info.and_then(|info| info.name.get()) {
            text::check_pack_name(name, cx);
        }
        let name = info
            .and_then(|info| info.name.get())
            .map_or("", |name| name.value.as_str());
        let version = text::ordinary_text(
            "the version",
            info.and_then(|info| info.version.as_ref()),
            cx,
        );
        let description = text::ordinary_text(
            "the description",
            info.and_then(|info| info.description.as_ref()),
            cx,
        );

        let mut lanes = devices::lanes(pack.lanes.as_ref(), cx);
        let mut clients = devices::Clients::new(name);
        let lane_names: Vec<String> = lanes.iter().map(|lane| lane.name.clone()).collect();
        let lane_index = index(lane_names.iter().map(String::as_str));
        let mut devices = match pack.devices.get() {
            Some(map) => devices::devices(map, &lane_index, &mut clients, cx),
            None => Vec::new(),
        };
        let alerts = pack
            .alerts
            .as_ref()
            .and_then(|alerts| alert_plan(alerts, &mut clients, cx));
        let device_names: Vec<String> = devices.iter().map(|device| device.name.clone()).collect();
        let device_index = index(device_names.iter().map(String::as_str));
        let mut tags = match pack.tags.get() {
            Some(map) => tags::tags(map, &mut devices, &device_index, cx),
            None => Vec::new(),
        };
        let waveforms = waveforms::waveforms(
            pack.waveforms.as_ref(),
            &mut devices,
            &device_index,
            &tags,
            cx,
        );
        let mut modules = Modules::default();
        let mut added = analyzers::analyzers(
            pack.analyzers.as_ref(),
            &mut analyzers::World {
                lanes: &lanes,
                devices: &mut devices,
                tags: &mut tags,
                waveforms: &waveforms,
                modules: &mut modules,
                beside,
            },
            cx,
        );
        let tag_index = index(tags.iter().map(|tag| tag.name.as_str()));
        let inputs = outputs::Inputs {
            lanes: &lanes,
            tags: &tags,
            tag_index: &tag_index,
        };
        let mut outputs = outputs::outputs(
            pack.outputs.as_ref(),
            &mut devices,
            &device_index,
            &inputs,
            cx,
        );
        let switches = switch::Switches {
            lanes: &lanes,
            devices: &devices,
            tags: &tags,
            tag_index: &tag_index,
        };
        let buttons = switch::reset_buttons(pack.lanes.as_ref(), &switches, cx);
        let votings = votings::votings(
            pack.votings.as_ref(),
            &votings::World {
                lanes: &lanes,
                devices: &devices,
                tags: &tags,
                tag_index: &tag_index,
            },
            cx,
        );
        let voting_index = index(votings.iter().map(|voting| voting.name.as_str()));
        let output_names: Vec<String> = outputs.iter().map(|output| output.name.clone()).collect();
        let output_index = index(output_names.iter().map(String::as_str));

        let broken = std::mem::take(&mut added.broken);
        let analyzers_are_clear = broken.is_empty();
        let names = names::Names::new(&tags, broken, pack, cx);
        let world = rules::World {
            lanes: &lanes,
            devices: &devices,
            tags: &tags,
            votings: &votings,
            voting_index: &voting_index,
            names: &names,
            output_index: &output_index,
            switches: &switches,
        };
        let mut stops_are_clear = false;
        let list = rules::written(pack, cx);
        let rules = match &list {
            Some(list) => {
                let rules = rules::rules(list, &added.rules, &world, &mut outputs, cx);
                stops::settle(&mut outputs, &switches, cx);
                // What an analyzer that is wrong would stop, is not known.
                stops_are_clear =
                    analyzers_are_clear && rules::stops_are_clear(list, &added.rules, &world);
                if cx.findings.errors() == 0 {
                    names.lint_unused(cx);
                }
                rules
            }
            None => Vec::new(),
        };
        // When rules could not be read at all, nothing can be said about what they use.
        if list.is_some() {
            let all = lints::All {
                lanes: &lanes,
                devices: &devices,
                tags: &tags,
                waveforms: &waveforms,
                votings: &votings,
                outputs: &outputs,
                rules: &rules,
            };
            lints::whole(&all, stops_are_clear, cx);
        }
        if cx.findings.errors() > 0 {
            return None;
        }
        for (lane, tag, span) in buttons {
            if let Some(lane) = lanes.get_mut(lane) {
                lane.reset_button = Some((tag, span));
            }
        }
        Some(Self {
            name: name.to_owned(),
            version: version.unwrap_or_else(|| "0.0.0".into()),
            description: description.unwrap_or_default(),
            lanes,
            devices,
            tags,
            waveforms,
            modules,
            votings,
            outputs,
            rules,
            alerts,
        })
    }

    /// What was read of the files beside the pack.
    pub(crate) fn into_modules(self) -> Modules {
        self.modules
    }

    /// The parts, for the resolver.
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            name: &self.name,
            version: &self.version,
            description: &self.description,
            lanes: &self.lanes,
            devices: &self.devices,
            tags: &self.tags,
            waveforms: &self.waveforms,
            modules: &self.modules,
            votings: &self.votings,
            outputs: &self.outputs,
            rules: &self.rules,
            alerts: self.alerts.as_ref(),
        }
    }
}

fn alert_plan(
    alerts: &raw::Alerts,
    clients: &mut devices::Clients,
    cx: &mut Cx<'_, '_>,
) -> Option<AlertPlan> {
    let mqtt = alerts.mqtt.get()?;
    if let Some(prefix) = mqtt.topic_prefix.as_ref() {
        text::check_topic("the topic prefix", prefix, cx);
    }
    Some(AlertPlan {
        broker: clients.broker("alerts", &mqtt.broker(), cx)?,
        topic_prefix: mqtt
            .topic_prefix
            .as_ref()
            .map_or_else(|| "tripline".into(), |prefix| prefix.value.clone()),
    })
}

/// Reports more of something than the limits allow.
fn at_most(what: &str, count: usize, max: usize, at: &Span, cx: &mut Cx<'_, '_>) {
    if count > max {
        cx.findings
            .error(
                Code::TooMany,
                at,
                format!("{count} {what}; at most {max} are allowed"),
                "divide them among several packs, each with its own guard",
            )
            .label("too many");
    }
}

/// Reports a name that does not resolve.
fn unknown_name<'c>(
    kind: &str,
    name: &Text,
    known: impl Iterator<Item = &'c str>,
    place: &str,
    cx: &mut Cx<'_, '_>,
) {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    let similar = if cx.findings.worth_suggesting() {
        nearest(&name.value, known.iter().copied())
    } else {
        None
    };
    let help = match similar {
        Some(similar) => format!("did you mean `{similar}`?"),
        None if known.is_empty() => format!("there is none yet: add `{}` {place}", name.value),
        None if known.len() <= 8 => {
            format!(
                "known are {}; or add it {place}",
                crate::read::list_of(known.iter().copied())
            )
        }
        None => format!("add it {place}, or check the spelling"),
    };
    cx.findings
        .error(
            Code::UnknownName,
            &name.span,
            format!(
                "there is no {kind} called `{}`",
                crate::read::short(&name.value)
            ),
            help,
        )
        .label(format!("not {}", text::with_article(kind)));
}

/// Divides `cause; way out` as the expression language writes its small errors.
fn split_help(text: &str) -> (String, String) {
    match text.split_once("; ") {
        Some((cause, help)) => (cause.to_owned(), help.to_owned()),
        None => (
            text.to_owned(),
            "write a number with its unit, such as `7.1 mm/s`".to_owned(),
        ),
    }
}

/// Nanoseconds as the plan keeps them.
pub(crate) fn ns(value: u64) -> DurNs {
    DurNs::from_ns(value)
}
