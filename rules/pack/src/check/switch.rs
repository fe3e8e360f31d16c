//! Tags that switch something: a button, an inhibit, a multiplier, a feedback.

use super::model::{Device, Index, Lane, Tag};
use super::unknown_name;
use crate::finding::Code;
use crate::read::{Cx, Map, Span};
use crate::scalar::Text;
use crate::{raw, read};

/// What switches are looked up in.
pub(super) struct Switches<'s> {
    pub(super) lanes: &'s [Lane],
    pub(super) devices: &'s [Device],
    pub(super) tags: &'s [Tag],
    pub(super) tag_index: &'s Index<'s>,
}

impl Switches<'_> {
    /// The index of the boolean tag called `name`. `key` says for what it is.
    pub(super) fn boolean(&self, key: &str, name: &Text, cx: &mut Cx<'_, '_>) -> Option<usize> {
        let index = self.tag_index.get(name.value.as_str()).copied();
        let Some((index, tag)) = index.and_then(|index| Some((index, self.tags.get(index)?)))
        else {
            let known = self.tags.iter().filter(|tag| tag.is_bool);
            unknown_name(
                "tag",
                name,
                known.map(|tag| tag.name.as_str()),
                "under `tags`",
                cx,
            );
            return None;
        };
        tag.used.set(true);
        if tag.known && !tag.is_bool {
            cx.findings
                .error(
                    Code::BadSwitch,
                    &name.span,
                    format!(
                        "`{key}` needs a tag that is true or false, and `{}` is a number",
                        read::short(&name.value)
                    ),
                    "name a coil, a discrete input, or a tag with `type: bool`",
                )
                .label("not a boolean");
            return None;
        }
        Some(index)
    }

    /// The lane of a tag.
    pub(super) fn lane_of(&self, tag: usize) -> Option<usize> {
        self.devices.get(self.tags.get(tag)?.device?)?.lane
    }

    /// Reports a switch of another lane than what it switches.
    pub(super) fn same_lane(
        &self,
        what: &str,
        tag: usize,
        lane: usize,
        span: &Span,
        cx: &mut Cx<'_, '_>,
    ) {
        let Some(other) = self.lane_of(tag).filter(|other| *other != lane) else {
            return;
        };
        let shown = |lane: usize| self.lanes.get(lane).map_or("?", |lane| lane.name.as_str());
        let name = self.tags.get(tag).map_or("?", |tag| tag.name.as_str());
        cx.findings
            .error(
                Code::TwoLanes,
                span,
                format!(
                    "{what} belongs to lane `{}`, and the tag `{name}` to `{}`",
                    shown(lane),
                    shown(other)
                ),
                "lanes share nothing: read the tag from a device of the same lane",
            )
            .label("another lane");
    }
}

/// The reset buttons, by the index of their lane.
pub(super) fn reset_buttons(
    raw: Option<&Map<raw::Lane>>,
    switches: &Switches<'_>,
    cx: &mut Cx<'_, '_>,
) -> Vec<(usize, usize, Span)> {
    let mut buttons = Vec::new();
    for (lane, named) in raw.map_or(&[][..], |map| &map.entries).iter().enumerate() {
        let Some(name) = (named.value.as_ref()).and_then(|lane| lane.reset_button.as_ref()) else {
            continue;
        };
        if let Some(tag) = switches.boolean("reset_button", name, cx) {
            let what = format!("the reset button of `{}`", named.name);
            switches.same_lane(&what, tag, lane, &name.span, cx);
            buttons.push((lane, tag, name.span.clone()));
        }
    }
    buttons
}
