//! The latest sample of each tag, and which rules and windows depend on it.

use drivers_frame::{Cause, DeviceId, DurNs, MonoNs, Quality, Sample, TagId, planted};
use rules_bundle::LanePlan;
use rules_expr::ir::{Op, Program};

/// What is known of a tag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TagView {
    /// Its newest value; meaningless unless the quality is usable.
    pub value: f64,
    /// Its quality now.
    pub quality: Quality,
    /// Why not good.
    pub cause: Cause,
    /// When its newest sample arrived; the lane's start before the first.
    pub at: MonoNs,
}

/// A tag's state.
pub(crate) struct Tag {
    pub(crate) view: TagView,
    pub(crate) device: DeviceId,
    /// No sample yet, and still within its first `stale_after`: rules wait instead of reporting a bad input.
    pub(crate) initial: bool,
    /// Samples from before this are not news: frames behind them were lost, and what still waited in the full queue
    /// was older than those.
    trusted_from: MonoNs,
    /// Nothing but rules depends on it.
    pub(crate) only_rules: bool,
    /// Its health remembers nothing while it is well.
    pub(crate) unchecked: bool,
}

impl Tag {
    fn new(device: DeviceId, start: MonoNs) -> Self {
        Self {
            view: TagView {
                value: 0.0,
                quality: Quality::Stale,
                cause: Cause::NeverReceived,
                at: start,
            },
            device,
            initial: true,
            trusted_from: start,
            only_rules: false,
            unchecked: false,
        }
    }

    /// Whether a sample is newer than what is known (H-19: order within a tag is kept), and than a loss that this lane
    /// knows of (H-25).
    #[inline]
    pub(crate) fn is_news(&self, sample: &Sample) -> bool {
        sample.at >= self.view.at && sample.at >= self.trusted_from
    }

    /// Whether a sample is done with when the rules have its value: nothing else depends on the tag, no value of it is
    /// implausible, and it is well. A tag whose newest sample is usable is not passivated: while it was, its samples were
    /// bad. Most samples are such, and come by the hundred in a frame.
    #[inline]
    pub(crate) fn needs_no_judgement(&self, sample: &Sample) -> bool {
        self.only_rules
            && self.unchecked
            && self.view.quality.is_usable()
            && sample.quality.is_usable()
    }

    /// Takes a sample over.
    #[inline]
    pub(crate) fn accept(&mut self, sample: &Sample) {
        self.initial = false;
        self.view = TagView {
            value: sample.value,
            quality: sample.quality,
            cause: sample.cause,
            at: sample.at,
        };
    }

    /// Frames of its device were lost; known at `now`. Only a sample that arrives from now on is fresh.
    pub(crate) fn lose(&mut self, now: MonoNs) {
        if !planted!(OverflowForgotten) {
            self.trusted_from = now;
        }
    }

    /// Replaces the quality: stale, or lost in a full queue.
    pub(crate) fn degrade(&mut self, quality: Quality, cause: Cause) {
        // A tag that never arrived keeps saying so; one that came and was lost did arrive.
        let cause = match (self.view.cause, cause) {
            (Cause::NeverReceived, Cause::Stale) => Cause::NeverReceived,
            (_, cause) => cause,
        };
        self.initial = false;
        self.view.quality = quality;
        self.view.cause = cause;
    }
}

/// Lists of indices, one a key, in one piece of memory.
pub(crate) struct Index {
    starts: Vec<u32>,
    items: Vec<u16>,
}

impl Index {
    /// From (key, item) pairs; keeps the order of items within a key.
    pub(crate) fn new(keys: usize, pairs: &[(usize, u16)]) -> Self {
        let mut starts = Vec::with_capacity(keys.saturating_add(1));
        let mut sorted: Vec<(usize, u16)> = pairs.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut position = 0_usize;
        for key in 0..=keys {
            while sorted
                .get(position)
                .is_some_and(|(item_key, _)| *item_key < key)
            {
                position = position.saturating_add(1);
            }
            starts.push(u32::try_from(position).unwrap_or(u32::MAX));
        }
        Self {
            starts,
            items: sorted.into_iter().map(|(_, item)| item).collect(),
        }
    }

    /// The items of a key, ascending.
    pub(crate) fn of(&self, key: usize) -> &[u16] {
        let bound = |index: usize| {
            self.starts
                .get(index)
                .and_then(|start| usize::try_from(*start).ok())
        };
        match (bound(key), bound(key.saturating_add(1))) {
            (Some(start), Some(end)) => self.items.get(start..end).unwrap_or(&[]),
            _ => &[],
        }
    }
}

/// The tags of a lane.
pub(crate) fn tags(plan: &LanePlan, start: MonoNs) -> Vec<Tag> {
    plan.tags
        .iter()
        .map(|tag| Tag::new(tag.device, start))
        .collect()
}

/// Windows that a tag feeds.
pub(crate) fn windows_of_tags(plan: &LanePlan) -> Index {
    of_tags(plan, plan.windows.iter().map(|window| window.tag))
}

/// Things that hang on one tag each, by their position.
pub(crate) fn of_tags(plan: &LanePlan, tags: impl Iterator<Item = TagId>) -> Index {
    let pairs: Vec<_> = (0_u16..)
        .zip(tags)
        .map(|(index, tag)| (usize::from(tag.0), index))
        .collect();
    Index::new(plan.tags.len(), &pairs)
}

/// How long each tag is fresh, and whose it is.
pub(crate) fn freshness(plan: &LanePlan) -> impl Iterator<Item = (DurNs, DeviceId)> {
    plan.tags.iter().map(|tag| (tag.stale_after, tag.device))
}

/// Analyzers that read a tag.
pub(crate) fn analyzers_of_tags(plan: &LanePlan) -> Index {
    let pairs: Vec<_> = (0_u16..)
        .zip(plan.analyzers())
        .flat_map(|(index, (_, _, analyzer))| {
            let inputs = analyzer.inputs.iter();
            inputs.map(move |input| (usize::from(input.tag.0), index))
        })
        .collect();
    Index::new(plan.tags.len(), &pairs)
}

/// Votings that a tag is a channel of.
pub(crate) fn votings_of_tags(plan: &LanePlan) -> Index {
    let pairs: Vec<_> = (0_u16..)
        .zip(&plan.votings)
        .flat_map(|(index, voting)| {
            voting
                .channels
                .iter()
                .map(move |tag| (usize::from(tag.0), index))
        })
        .collect();
    Index::new(plan.tags.len(), &pairs)
}

/// Rules that vote in a voting.
pub(crate) fn rules_of_votings(plan: &LanePlan) -> Index {
    let pairs: Vec<_> = (0_u16..)
        .zip(&plan.rules)
        .filter_map(|(index, rule)| Some((usize::from(rule.voting?), index)))
        .collect();
    Index::new(plan.votings.len(), &pairs)
}

/// Rules for which every sample of a tag counts.
pub(crate) fn sampled_of_tags(plan: &LanePlan) -> Index {
    let tags_of_rule = tags_of_rules(plan);
    let pairs: Vec<_> = (0_u16..)
        .zip(&plan.rules)
        .filter(|(_, rule)| rule.debounce.is_some())
        .flat_map(|(index, _)| {
            let tags = tags_of_rule.of(usize::from(index));
            tags.iter()
                .map(move |tag| (usize::from(*tag), index))
                .collect::<Vec<_>>()
        })
        .collect();
    Index::new(plan.tags.len(), &pairs)
}

/// The slots that a program reads, with repetitions.
pub(crate) fn slots_of(program: &Program) -> impl Iterator<Item = u32> {
    program.ops().iter().filter_map(|op| match op {
        Op::Slot(slot) | Op::SlotBool(slot) => Some(*slot),
        _ => None,
    })
}

/// Rules that read a slot.
pub(crate) fn rules_of_slots(plan: &LanePlan) -> Index {
    let mut pairs = Vec::new();
    for (index, rule) in (0_u16..).zip(&plan.rules) {
        for slot in rule.programs.iter().chain(&rule.raised).flat_map(slots_of) {
            pairs.push((usize::try_from(slot).unwrap_or(usize::MAX), index));
        }
    }
    Index::new(usize::try_from(plan.slots()).unwrap_or(0), &pairs)
}

/// The tags that a rule's slots come from, in the order of the slots: tag slots, windows, ages and qualities.
pub(crate) fn tags_of_rules(plan: &LanePlan) -> Index {
    let slots = usize::try_from(plan.slots()).unwrap_or(0);
    let mut origin: Vec<Option<TagId>> = vec![None; slots];
    let mut place = |slot: u32, tag: TagId| {
        if let Some(cell) = usize::try_from(slot)
            .ok()
            .and_then(|slot| origin.get_mut(slot))
        {
            *cell = Some(tag);
        }
    };
    for (index, _) in (0_u16..).zip(&plan.tags) {
        place(plan.slot_of_tag(TagId(index)), TagId(index));
    }
    for (index, window) in plan.windows.iter().enumerate() {
        place(plan.slot_of_window(index), window.tag);
    }
    for (index, tag) in plan.ages.iter().enumerate() {
        place(plan.slot_of_age(index), *tag);
    }
    for (index, tag) in plan.qualities.iter().enumerate() {
        place(plan.slot_of_quality(index), *tag);
    }
    let mut pairs = Vec::new();
    for (index, rule) in plan.rules.iter().enumerate() {
        for slot in rule.programs.iter().chain(&rule.raised).flat_map(slots_of) {
            if let Some(Some(tag)) = usize::try_from(slot).ok().and_then(|slot| origin.get(slot)) {
                pairs.push((index, tag.0));
            }
        }
    }
    Index::new(plan.rules.len(), &pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_gives_each_key_its_items() {
        let index = Index::new(4, &[(2, 7), (0, 1), (2, 3), (2, 7)]);
        assert_eq!(index.of(0), [1]);
        assert_eq!(index.of(1), [] as [u16; 0]);
        assert_eq!(index.of(2), [3, 7]);
        assert_eq!(index.of(3), [] as [u16; 0]);
        assert_eq!(index.of(4), [] as [u16; 0]);
    }
}
