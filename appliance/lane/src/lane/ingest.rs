//! Samples in: health, order, freshness, slots, windows; and who must be evaluated because of them.

use drivers_frame::{Cause, DeviceId, DurNs, MonoNs, Quality, Sample, TagId, planted};

use super::{Lane, PermissionKind, RuleEngine};
use crate::analyzer::AnalyzerEngine;
use crate::event::EventKind;
use crate::health::{Admission, Health};
use crate::slots::quality_number;

impl<E: RuleEngine, A: AnalyzerEngine> Lane<E, A> {
    /// Takes one sample over. The rules that depend on it are evaluated by the next [`Lane::tick`].
    pub fn ingest(&mut self, sample: &Sample) {
        self.counters.samples = self.counters.samples.saturating_add(1);
        let index = usize::from(sample.tag.0);
        let Some(tag) = self.tags.get_mut(index) else {
            self.counters.foreign = self.counters.foreign.saturating_add(1);
            return;
        };
        if !tag.is_news(sample) {
            self.counters.out_of_order = self.counters.out_of_order.saturating_add(1);
            return;
        }
        if tag.needs_no_judgement(sample) {
            tag.accept(sample);
            self.freshness.touch(sample.tag, sample.at);
            self.set_slot(index, sample.value, true, sample.at);
            return;
        }
        self.judge(index, sample);
    }

    /// Takes a sample over that may be implausible, of a channel that may have been bad, or on which more than rules
    /// depends.
    fn judge(&mut self, index: usize, sample: &Sample) {
        let (Some(tag), Some(health)) = (self.tags.get_mut(index), self.health.get_mut(index))
        else {
            return;
        };
        let (was_passivated, waited) = (health.is_passivated(), health.awaits_acknowledgement());
        let Admission::Take(sample) = health.admit(sample) else {
            self.counters.spikes = self.counters.spikes.saturating_add(1);
            return;
        };
        tag.accept(&sample);
        let only_rules = tag.only_rules;
        let (is_passivated, waits) = (health.is_passivated(), health.awaits_acknowledgement());
        if is_passivated && !was_passivated {
            let cause = sample.cause;
            self.emit(
                sample.at,
                EventKind::Passivated {
                    tag: sample.tag,
                    cause,
                },
            );
        } else if was_passivated && !is_passivated {
            self.emit(sample.at, EventKind::Reintegrated { tag: sample.tag });
        } else if waits && !waited {
            self.emit(
                sample.at,
                EventKind::AwaitsAcknowledgement { tag: sample.tag },
            );
        }
        self.freshness.touch(sample.tag, sample.at);
        let usable = sample.quality.is_usable() || planted!(BadCountedGood);
        self.set_slot(index, sample.value, usable, sample.at);
        if !usable {
            // A rule that waits for this tag must learn that its channel is bad, though its slot was unusable before too.
            self.queue_rules_of_slot(index, sample.at);
        }
        if only_rules {
            return;
        }
        for position in 0..self.windows_of_tag.of(index).len() {
            let Some(window) = self.windows_of_tag.of(index).get(position).copied() else {
                break;
            };
            let Some(state) = self.windows.get_mut(usize::from(window)) else {
                continue;
            };
            state.push(sample.at, sample.value, usable);
            let value = state.value();
            let slot = self.first_window.saturating_add(usize::from(window));
            self.set_slot(slot, value.unwrap_or(0.0), value.is_some(), sample.at);
            if !usable {
                self.queue_rules_of_slot(slot, sample.at);
            }
        }
        for position in 0..self.sampled_of_tag.of(index).len() {
            if let Some(rule) = self.sampled_of_tag.of(index).get(position).copied() {
                self.queue_rule(rule, sample.at);
            }
        }
        self.look_at_votings_of(index);
        self.see_permissions_of(index, sample.at);
        self.refresh_qualities_of(sample.tag, sample.at);
        self.tell_analyzers(index, sample.at);
    }

    /// Notes for every tag whether its samples need more than a look at their slot.
    pub(super) fn sort_tags(&mut self) {
        for index in 0..self.tags.len() {
            let only_rules = self.feeds_only_rules(index);
            let unchecked = self.health.get(index).is_some_and(Health::is_unchecked);
            if let Some(tag) = self.tags.get_mut(index) {
                tag.only_rules = only_rules;
                tag.unchecked = unchecked;
            }
        }
    }

    /// Whether no window, voting, permission, debounced rule, `quality()` or analyzer depends on this tag.
    fn feeds_only_rules(&self, tag: usize) -> bool {
        self.windows_of_tag.of(tag).is_empty()
            && self.sampled_of_tag.of(tag).is_empty()
            && self.votings_of_tag.of(tag).is_empty()
            && self.permissions_of_tag.of(tag).is_empty()
            && self.analyzers_of_tag.of(tag).is_empty()
            && !self.qualities.iter().any(|own| usize::from(own.0) == tag)
    }

    /// Frames of `device` were lost in a full queue: its channels are bad until a sample of each arrives that is not
    /// older than `now` (H-25). What waits in the queue is older than what was lost.
    pub fn frames_lost(&mut self, device: DeviceId, lost: u64, now: MonoNs) {
        self.counters.frames_lost = self.counters.frames_lost.saturating_add(lost);
        for index in 0..self.tags.len() {
            let lossy = self.tags.get_mut(index).filter(|tag| tag.device == device);
            if let Some(tag) = lossy {
                tag.lose(now);
                self.degrade(index, Quality::Bad, Cause::QueueOverflow, now);
            }
        }
    }

    pub(super) fn notice_stale(&mut self, now: MonoNs) {
        while let Some((tag, due)) = self.freshness.take_stale(now) {
            if planted!(StaleNeverNoticed) {
                continue;
            }
            self.degrade(usize::from(tag.0), Quality::Stale, Cause::Stale, due);
        }
    }

    /// Ages, permissions and bypasses: what changes with time alone.
    pub(super) fn run_timers(&mut self, now: MonoNs) {
        self.refresh_ages(now);
        for index in 0..self.permissions.len() {
            let due = self
                .permissions
                .get(index)
                .is_some_and(|permission| now >= permission.enable.due());
            if due {
                self.see_permission(index, now);
            }
        }
        while let Some(point) = self.bypasses.take_expired(now) {
            let expired = true;
            self.emit(now, EventKind::BypassEnded { point, expired });
            self.queue_point(point, now);
        }
    }

    #[inline]
    fn set_slot(&mut self, slot: usize, value: f64, usable: bool, origin: MonoNs) {
        if self.slots.set(&mut self.engine, slot, value, usable) {
            self.queue_rules_of_slot(slot, origin);
        }
    }

    fn queue_rules_of_slot(&mut self, slot: usize, origin: MonoNs) {
        for position in 0..self.rules_of_slot.of(slot).len() {
            if let Some(rule) = self.rules_of_slot.of(slot).get(position).copied() {
                self.queue_rule(rule, origin);
            }
        }
    }

    pub(super) fn queue_rule(&mut self, rule: u16, origin: MonoNs) {
        if let Some(queued) = self.queued.get_mut(usize::from(rule))
            && !queued.waits
            && !(planted!(RuleForgotten) && rule == 1)
        {
            queued.waits = true;
            queued.origin = origin;
            // Reserved for every rule, and `waits` keeps each in it once: this never allocates.
            self.dirty.push(rule);
        }
    }

    fn degrade(&mut self, index: usize, quality: Quality, cause: Cause, at: MonoNs) {
        let (Some(tag), Some(health)) = (self.tags.get_mut(index), self.health.get_mut(index))
        else {
            return;
        };
        tag.degrade(quality, cause);
        let cause = tag.view.cause;
        let was_passivated = health.is_passivated();
        health.degrade();
        if let (false, Ok(tag)) = (was_passivated, u16::try_from(index)) {
            let tag = TagId(tag);
            self.emit(at, EventKind::Passivated { tag, cause });
        }
        self.set_slot(index, 0.0, false, at);
        // A rule that waited for this tag's first sample must learn that it will not come, though its slot was
        // unusable before too.
        self.queue_rules_of_slot(index, at);
        for position in 0..self.windows_of_tag.of(index).len() {
            let Some(window) = self.windows_of_tag.of(index).get(position).copied() else {
                break;
            };
            if let Some(state) = self.windows.get_mut(usize::from(window))
                && !planted!(WindowKeepsGap)
            {
                state.gap();
            }
            let slot = self.first_window.saturating_add(usize::from(window));
            self.set_slot(slot, 0.0, false, at);
            self.queue_rules_of_slot(slot, at);
        }
        self.look_at_votings_of(index);
        self.see_permissions_of(index, at);
        if !planted!(StaleInputUntold) {
            self.tell_analyzers(index, at);
        }
        if let Ok(tag) = u16::try_from(index) {
            self.refresh_qualities_of(TagId(tag), at);
        }
    }

    fn refresh_qualities_of(&mut self, tag: TagId, at: MonoNs) {
        for index in 0..self.qualities.len() {
            if self.qualities.get(index) == Some(&tag) {
                self.refresh_quality(index, at);
            }
        }
    }

    pub(super) fn refresh_quality(&mut self, index: usize, at: MonoNs) {
        let Some(view) = self.qualities.get(index).and_then(|tag| self.tag(*tag)) else {
            return;
        };
        let slot = self.first_quality.saturating_add(index);
        self.set_slot(slot, quality_number(view.quality), true, at);
    }

    fn refresh_ages(&mut self, now: MonoNs) {
        for index in 0..self.ages.len() {
            let Some(view) = self.ages.get(index).and_then(|tag| self.tag(*tag)) else {
                continue;
            };
            let slot = self.first_age.saturating_add(index);
            let age = nanoseconds(now.since(view.at));
            self.slots.set(&mut self.engine, slot, age, true);
        }
        for position in 0..self.timed.len() {
            if let Some(rule) = self.timed.get(position).copied() {
                self.queue_rule(rule, now);
            }
        }
    }

    fn look_at_votings_of(&mut self, tag: usize) {
        for position in 0..self.votings_of_tag.of(tag).len() {
            if let Some(voting) = self.votings_of_tag.of(tag).get(position).copied()
                && !self.dirty_votings.contains(&voting)
                && self.dirty_votings.len() < self.dirty_votings.capacity()
            {
                self.dirty_votings.push(voting);
            }
        }
    }

    fn see_permissions_of(&mut self, tag: usize, at: MonoNs) {
        for position in 0..self.permissions_of_tag.of(tag).len() {
            if let Some(index) = self.permissions_of_tag.of(tag).get(position).copied() {
                self.see_permission(usize::from(index), at);
            }
        }
    }

    fn see_permission(&mut self, index: usize, at: MonoNs) {
        let says = self
            .permissions
            .get(index)
            .and_then(|permission| self.truth(permission.tag));
        let Some(permission) = self.permissions.get_mut(index) else {
            return;
        };
        if !permission.enable.see(says, at) {
            return;
        }
        let (rule, on) = (permission.rule, permission.enable.is_on());
        let kind = match permission.kind {
            PermissionKind::Multiplier => EventKind::Multiplier { rule, on },
            PermissionKind::Inhibit => EventKind::Inhibit { rule, on },
        };
        self.emit(at, kind);
        self.queue_rule(rule, at);
    }

    /// What a boolean tag says; `None` when it is not usable.
    pub(super) fn truth(&self, tag: TagId) -> Option<bool> {
        let view = self.tag(tag)?;
        view.quality.is_usable().then_some(view.value != 0.0)
    }
}

#[expect(
    clippy::as_conversions,
    reason = "an age as a float; exact for 104 days"
)]
fn nanoseconds(span: DurNs) -> f64 {
    span.as_ns() as f64
}
