//! Votings: redundant channels that decide together.

use std::collections::HashMap;

use rt_config::limits::{VOTING_CHANNELS_MAX, VOTINGS_MAX};
use rules_bundle::{DeviationPlan, OnBad};

use super::lints::All;
use super::model::{Device, Index, Lane, Link, Tag, Voting};
use super::text::{check_id, positive};
use super::{at_most, ns, unknown_name};
use crate::finding::Code;
use crate::raw::{self, OnBadWord};
use crate::read::{Cx, Map, Named, Span, list_of};
use crate::scalar::Text;

/// What votings refer to.
pub(super) struct World<'w> {
    pub(super) lanes: &'w [Lane],
    pub(super) devices: &'w [Device],
    pub(super) tags: &'w [Tag],
    pub(super) tag_index: &'w Index<'w>,
}

/// Checks the votings.
pub(super) fn votings(
    map: Option<&Map<raw::Voting>>,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Vec<Voting> {
    let Some(map) = map else { return Vec::new() };
    at_most("votings", map.entries.len(), VOTINGS_MAX, &map.at, cx);
    map.entries
        .iter()
        .map(|named| voting(named, world, cx))
        .collect()
}

fn voting(named: &Named<raw::Voting>, world: &World<'_>, cx: &mut Cx<'_, '_>) -> Voting {
    check_id("voting", &named.name, &named.span, cx);
    let mut checked = Voting {
        name: named.name.clone(),
        span: named.span.clone(),
        lane: None,
        channels: Vec::new(),
        need: 1,
        on_bad: OnBad::Trip,
        on_bad_span: named.span.clone(),
        skew_ns: None,
        deviation: None,
        bypass_ns: None,
        used: false.into(),
    };
    let Some(raw) = named.value.as_ref() else {
        return checked;
    };
    if raw.on_bad == Some(OnBadWord::Exclude) {
        checked.on_bad = OnBad::Exclude;
    }
    if let Some(span) = raw.key_span("on_bad") {
        checked.on_bad_span = span.clone();
    }
    checked.skew_ns = (raw.skew.as_ref()).map(|skew| positive("skew", Some(skew), 0, cx));
    checked.bypass_ns = (raw.bypass.as_ref()).map(|bypass| positive("bypass", Some(bypass), 0, cx));
    checked.deviation = raw
        .deviation
        .as_ref()
        .and_then(|deviation| deviation_plan(deviation, cx));
    let need = (raw.vote.get()).and_then(|vote| need(vote, raw, cx));
    let channels = channels(raw, world, cx);
    if let (Some(need), Some((channels, lane))) = (need, channels) {
        let boolean = channels
            .first()
            .and_then(|tag| world.tags.get(*tag))
            .is_some_and(|tag| tag.is_bool);
        if let (true, Some(span)) = (boolean, raw.key_span("deviation")) {
            cx.findings.error(
                Code::BadVoting,
                span,
                "`deviation` has no meaning for channels that are true or false",
                "remove `deviation`",
            );
        }
        checked.need = need;
        checked.lane = lane;
        checked.channels = channels;
    }
    checked
}

/// M of MooN, whose N is the number of channels.
fn need(vote: &Text, raw: &raw::Voting, cx: &mut Cx<'_, '_>) -> Option<u8> {
    let count = raw.channels.get().map(|channels| channels.items.len());
    let parts = vote
        .value
        .split_once("oo")
        .and_then(|(need, of)| Some((need.parse::<u8>().ok()?, of.parse::<usize>().ok()?)));
    let example = count.map_or_else(
        || "2oo3".to_owned(),
        |count| format!("{}oo{count}", count.clamp(1, 2)),
    );
    let problem = match (parts, count) {
        (None, _) => format!("`{}` is not a vote", crate::read::short(&vote.value)),
        (Some((_, of)), Some(count)) if of != count => {
            format!(
                "`{}` is of {of} channels, and there are {count}",
                vote.value
            )
        }
        (Some((need, of)), _) if need == 0 || usize::from(need) > of => {
            format!("`{}` can never be reached, or always is", vote.value)
        }
        (Some((need, _)), _) => return Some(need),
    };
    cx.findings
        .error(
            Code::BadVoting,
            &vote.span,
            problem,
            format!("write how many of the channels must vote to trip, such as `vote: {example}`"),
        )
        .label("not MooN");
    None
}

/// The channels and their lane; `None` when they cannot decide together.
fn channels(
    raw: &raw::Voting,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<(Vec<usize>, Option<usize>)> {
    let list = raw.channels.get()?;
    let mut seen: HashMap<usize, &Span> = HashMap::new();
    let mut found: Vec<(usize, &Tag, &Text)> = Vec::new();
    for name in &list.items {
        let index = world.tag_index.get(name.value.as_str()).copied();
        let Some((index, tag)) = index.and_then(|index| Some((index, world.tags.get(index)?)))
        else {
            unknown_name(
                "tag",
                name,
                world.tag_index.keys().copied(),
                "under `tags`",
                cx,
            );
            continue;
        };
        tag.used.set(true);
        if let Some(first) = seen.insert(index, &name.span) {
            cx.repeated(&name.value, &name.span, first);
            continue;
        }
        found.push((index, tag, name));
    }
    if !list.complete || found.len() < list.items.len() {
        return None;
    }
    if !(2..=VOTING_CHANNELS_MAX).contains(&found.len()) {
        cx.findings
            .error(
                Code::BadVoting,
                &list.at,
                format!(
                    "{} channels; a voting has 2 to {VOTING_CHANNELS_MAX}",
                    found.len()
                ),
                "name the redundant channels of one quantity; a single channel needs no voting",
            )
            .label("cannot vote");
        return None;
    }
    let (_, first, _) = found.first()?;
    let lane_of = |tag: &Tag| world.devices.get(tag.device?)?.lane;
    for (_, tag, name) in found.iter().skip(1) {
        // Of a tag that is itself wrong nothing is said here.
        if !tag.known || !first.known {
            continue;
        }
        if tag.is_bool != first.is_bool || tag.unit != first.unit {
            let unit = |tag: &Tag| match &tag.unit {
                Some(unit) => unit.to_string(),
                None => "true or false".to_owned(),
            };
            cx.findings
                .error(
                    Code::BadVoting,
                    &name.span,
                    format!(
                        "`{}` is in {} and `{}` in {}",
                        first.name,
                        unit(first),
                        tag.name,
                        unit(tag)
                    ),
                    "channels measure one quantity in one unit: scale both to the same",
                )
                .label("another unit");
            return None;
        }
        let lanes = (lane_of(first), lane_of(tag));
        if lanes.0 != lanes.1 {
            let shown = |lane: Option<usize>| {
                let lane = lane.and_then(|lane| world.lanes.get(lane));
                lane.map_or("?", |lane| lane.name.as_str())
            };
            cx.findings
                .error(
                    Code::TwoLanes,
                    &name.span,
                    format!(
                        "the channels are in two lanes: `{}` in `{}`, `{}` in `{}`",
                        first.name,
                        shown(lanes.0),
                        tag.name,
                        shown(lanes.1)
                    ),
                    "put their devices in one lane: lanes share nothing, so they cannot vote together",
                )
                .label("another lane");
            return None;
        }
    }
    let lane = lane_of(first);
    Some((found.iter().map(|(index, ..)| *index).collect(), lane))
}

fn deviation_plan(raw: &raw::Deviation, cx: &mut Cx<'_, '_>) -> Option<DeviationPlan> {
    let lasting = positive("for", raw.r#for.get(), 0, cx);
    let bad = raw.bad.get()?;
    let alert = raw.alert.as_ref();
    let wrong = if bad.value <= 0.0 {
        Some((bad, "channels that may not differ at all are always bad"))
    } else {
        alert
            .filter(|alert| alert.value <= 0.0 || alert.value >= bad.value)
            .map(|alert| {
                (
                    alert,
                    "an alert that is not below `bad` comes too late, one of zero always",
                )
            })
    };
    if let Some((number, problem)) = wrong {
        cx.findings.error(
            Code::BadVoting,
            &number.span,
            problem,
            "write both in the channels' unit, the alert first: `deviation: { alert: 3, bad: 8, for: 2s }`",
        );
        return None;
    }
    Some(DeviationPlan {
        alert: alert.map(|alert| alert.value),
        bad: bad.value,
        lasting: ns(lasting),
    })
}

/// What is allowed and costs something. Called when the pack has no error.
pub(super) fn lint(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    for voting in all.votings {
        if !voting.used.get() {
            cx.findings
                .warning(
                    Code::UnusedName,
                    &voting.span,
                    format!("no rule uses the voting `{}`", voting.name),
                    "name it in a rule, `voting:`, or remove it",
                )
                .label("not used");
        }
        common_cause(voting, all, cx);
        if voting.on_bad == OnBad::Exclude {
            excluded(voting, cx);
        }
    }
}

/// Channels behind one device, one host, or one analyzer fail together (H-50). What an analyzer derives hangs on everything
/// that it reads.
fn common_cause(voting: &Voting, all: &All<'_>, cx: &mut Cx<'_, '_>) {
    let mut shared: Vec<(String, Vec<&str>)> = Vec::new();
    for tag in voting.channels.iter().filter_map(|tag| all.tags.get(*tag)) {
        let mut places = Vec::new();
        places_of(tag.device, all, &mut places);
        for place in places {
            match shared.iter_mut().find(|(known, _)| *known == place) {
                Some((_, names)) => names.push(&tag.name),
                None => shared.push((place, vec![&tag.name])),
            }
        }
    }
    let Some((host, names)) = shared.iter().find(|(_, names)| names.len() > 1) else {
        return;
    };
    let names = list_of(names.iter().copied());
    let count = voting.channels.len();
    let need = voting.need;
    cx.findings
        .warning(
            Code::CommonCause,
            &voting.span,
            format!("common cause: {names} come from one place, `{host}`, and fail together"),
            format!(
                "connect the channels of {need}oo{count} through stations with addresses and supplies of their own: what \
                 they share is not redundant"
            ),
        )
        .label("shared by channels");
}

/// The places that a device's values come from, each once: hosts, and analyzers by their names.
fn places_of(device: Option<usize>, all: &All<'_>, places: &mut Vec<String>) {
    let Some(device) = device.and_then(|device| all.devices.get(device)) else {
        return;
    };
    let mut add = |place: String| {
        let new = !places.contains(&place);
        if new {
            places.push(place);
        }
        new
    };
    match &device.link {
        Some(Link::Modbus(modbus)) => {
            add(modbus.host.to_ascii_lowercase());
        }
        Some(Link::Mqtt(broker)) => {
            add(broker.host.to_ascii_lowercase());
        }
        Some(Link::Analyzer(analyzer)) => {
            // Analyzers read earlier ones only, so this ends.
            if !add(device.name.clone()) {
                return;
            }
            for input in &analyzer.plan.inputs {
                let tag = all.tags.get(usize::from(input.tag.0));
                places_of(tag.and_then(|tag| tag.device), all, places);
            }
            if let Some(used) = analyzer.plan.waveform {
                let waveform = all.waveforms.get(usize::from(used.index.0));
                places_of(waveform.and_then(|waveform| waveform.device), all, places);
            }
        }
        None => {}
    }
}

fn excluded(voting: &Voting, cx: &mut Cx<'_, '_>) {
    let count = voting.channels.len();
    let left = count.saturating_sub(1);
    let need = usize::from(voting.need);
    let degraded = need.min(left);
    cx.findings
        .warning(
            Code::ExcludedChannel,
            &voting.on_bad_span,
            format!(
                "{need}oo{count} with one bad channel is {degraded}oo{left}: one dangerous fault more is tolerated in silence"
            ),
            "write `on_bad: trip` unless a stop is more dangerous than to run on without this channel",
        )
        .label("left out of the vote");
}
