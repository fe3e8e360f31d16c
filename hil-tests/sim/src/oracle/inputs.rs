//! Readings: whose they are, how old they are, and whether what is believed was handed over so.

use appliance_lane::TagView;
use drivers_frame::{Cause, TagId};

use super::{LATE_SEEN, Oracle};
use crate::coverage::Coverage;
use crate::guard::{Guard, Pushed};
use crate::reading;
use crate::scenario::{Kind, MS, Origin, RANGE_MAX, Scenario, Tag};
use crate::sometimes;

impl Oracle {
    /// A device was asked.
    pub fn asked(&mut self, host: usize, now: u64) {
        self.asked_at[host] = now;
    }

    /// A driver handed a frame over: every usable sample must be a reading of its own tag, made after it was asked for.
    pub fn pushed(
        &mut self,
        scenario: &Scenario,
        frame: &Pushed,
        now: u64,
        coverage: &mut Coverage,
    ) {
        sometimes!(coverage, "frame lost in a full queue", frame.lost);
        if !frame.lost {
            self.samples_pushed += frame.samples.len() as u64;
        }
        for sample in &frame.samples {
            let tag = usize::from(sample.tag.0);
            let Some(known) = scenario.tags.get(tag) else {
                return self.fail(
                    "I5",
                    now,
                    format!("a sample of tag {tag}, which nobody has"),
                );
            };
            let names_itself = known.kind == Kind::Level;
            if known.device() != frame.device {
                self.fail(
                    "I5",
                    now,
                    format!("tag {tag} in a frame of device {}", frame.device),
                );
            }
            let usable = sample.quality.is_usable();
            sometimes!(coverage, "bad sample", !usable);
            let at = sample.at.as_ns();
            if usable && names_itself {
                self.judge_reading(scenario, tag, sample.value, at, now);
                if let Some((_, number, _)) = reading::decode(sample.value) {
                    self.judge_letter(scenario, tag, number, at, now, coverage);
                }
            }
            let stuck = usable
                && names_itself
                && reading::decode(sample.value)
                    .is_some_and(|(_, number, _)| self.readings[tag].is_stuck(number));
            let seen = &mut self.tags[tag];
            if frame.lost {
                seen.lost_at = Some(now);
                seen.stuck_since = None;
                continue;
            }
            seen.last = Some((at, sample.value, usable));
            seen.fresh += 1;
            if usable && scenario.tags[tag].rate.is_some() {
                seen.newer.push(at);
            }
            if stuck {
                seen.stuck_since.get_or_insert(at);
            } else {
                seen.stuck_since = None;
            }
        }
    }

    fn judge_reading(&mut self, scenario: &Scenario, tag: usize, value: f64, at: u64, now: u64) {
        if !(0.0..=RANGE_MAX).contains(&value) {
            return self.fail(
                "I6",
                now,
                format!("tag {tag}: {value:e} counts as good, and is out of range"),
            );
        }
        let Some((owner, number, _)) = reading::decode(value) else {
            return self.fail(
                "I5",
                now,
                format!("tag {tag}: {value:e} was never read from anywhere"),
            );
        };
        if owner != tag {
            return self.fail(
                "I5",
                now,
                format!("tag {tag} was given a reading of tag {owner}"),
            );
        }
        let Some(read_at) = self.readings[tag].at(number) else {
            return self.fail(
                "I5",
                now,
                format!("tag {tag}: reading {number} was never made"),
            );
        };
        let earliest = match scenario.tags[tag].origin {
            Origin::Modbus { device, .. } => self.asked_at[device],
            // What waited in the kernel while the lane was held up arrives when it is taken (H-24 asks for an envelope).
            Origin::Mqtt { .. } if !scenario.threaded && at < self.held_until + 100 * MS => {
                self.held_from.saturating_sub(scenario.tags[tag].way_max)
            }
            Origin::Mqtt { .. } => at.saturating_sub(scenario.tags[tag].way_max),
            Origin::Derived { .. } => return,
        };
        if read_at < earliest {
            let age = (earliest - read_at) / 1_000;
            self.fail(
                "I4",
                now,
                format!(
                    "tag {tag}: a reading from {age} us before it was asked for is taken as fresh"
                ),
            );
        }
    }

    pub(super) fn judge_tags(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        now: u64,
        coverage: &mut Coverage,
    ) {
        for (index, tag) in scenario.tags.iter().enumerate() {
            let Some(view) = guard.lane.tag(TagId(index as u16)) else {
                continue;
            };
            let fresh = std::mem::take(&mut self.tags[index].fresh);
            if self.is_derived_in_the_tick(scenario, index) {
                continue;
            }
            if view.quality.is_usable() {
                self.judge_comeback(index, tag, &view, now);
                self.judge_believed(index, tag, &view, now, coverage);
                self.judge_plausible(index, tag, &view, fresh, now, coverage);
            } else {
                self.unusable(index, &view, now, coverage);
            }
        }
    }

    fn unusable(&mut self, index: usize, view: &TagView, now: u64, coverage: &mut Coverage) {
        let seen = &mut self.tags[index];
        // A bad sample leaves the window when it is older than its length; silence and loss begin it anew.
        let silent = matches!(
            view.cause,
            Cause::Stale | Cause::QueueOverflow | Cause::NeverReceived
        );
        seen.unusable_at = if silent { now } else { view.at.as_ns() };
        if silent {
            seen.stuck_since = None;
        }
        if seen.was_good && view.cause != Cause::Passivated {
            seen.fell_at = Some(now);
        }
        seen.believed = None;
        seen.newer.clear();
        sometimes!(
            coverage,
            "channel passivated",
            view.cause == Cause::Passivated
        );
        sometimes!(coverage, "stale tag", view.cause == Cause::Stale);
        sometimes!(
            coverage,
            "implausible change",
            view.cause == Cause::RateOfChange
        );
        sometimes!(coverage, "frozen channel", view.cause == Cause::Frozen);
    }

    /// A channel that was bad counts again as its pack says, and not before.
    fn judge_comeback(&mut self, index: usize, tag: &Tag, view: &TagView, now: u64) {
        let seen = &mut self.tags[index];
        seen.was_good = true;
        let Some(fell) = seen.fell_at.take() else {
            return;
        };
        // What arrived before the tick that saw it fall may have waited in the queue.
        let early = tag.quiet > 0
            && fell > self.held_until + LATE_SEEN
            && view.at.as_ns() + LATE_SEEN < fell + tag.quiet;
        if early {
            self.fail(
                "I6",
                now,
                format!("tag {index} counts again before it was good for its quiet time"),
            );
        }
        if tag.acknowledge && self.acknowledged_at <= fell {
            self.fail(
                "I6",
                now,
                format!("tag {index} counts again, and nobody acknowledged that it was bad"),
            );
        }
    }

    fn judge_believed(
        &mut self,
        index: usize,
        tag: &Tag,
        view: &TagView,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let at = view.at.as_ns();
        if now > at + tag.stale_after {
            let late = (now - at - tag.stale_after) / 1_000;
            self.fail(
                "I4",
                now,
                format!("tag {index} is usable {late} us after its time"),
            );
        }
        let seen = &mut self.tags[index];
        seen.newer.retain(|other| *other > at);
        let is_last =
            |(last, value): (u64, f64)| last == at && value.to_bits() == view.value.to_bits();
        match seen.last {
            Some((last, value, true)) if is_last((last, value)) => {}
            // Spikes are dropped, so many in a row and no more.
            Some((last, value, true)) if tag.rate.is_some() => {
                let tolerated = tag.rate.map_or(0, |(_, tolerated)| usize::from(tolerated));
                let newer = seen.newer.len();
                sometimes!(coverage, "spike dropped", true);
                if excess(tag, (view.value, at), (value, last)) <= -ROUNDING || newer > tolerated {
                    self.fail("H-4", now, format!("tag {index} is not what was last handed over of it, and {newer} samples are no spikes"));
                }
            }
            Some((_, _, true)) => self.fail(
                "I7",
                now,
                format!("tag {index} is not what was last handed over of it"),
            ),
            _ => self.fail(
                "I6",
                now,
                format!("tag {index} counts as good, and its last sample was bad"),
            ),
        }
        if self.tags[index].lost_at.is_some_and(|lost| at < lost) {
            self.fail(
                "I6",
                now,
                format!("tag {index} is believed, and a newer frame of its device was lost"),
            );
        }
    }

    /// H-2 and H-4: what cannot be is not believed, where the pack says what can.
    fn judge_plausible(
        &mut self,
        index: usize,
        tag: &Tag,
        view: &TagView,
        fresh: u32,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let at = view.at.as_ns();
        let seen = &mut self.tags[index];
        let before = seen.believed.replace((view.value, at));
        // Of several samples in one turn the one before is not known to have been believed.
        let compared = before.filter(|(_, then)| {
            fresh == 1 && *then != at && seen.lost_at.is_none_or(|lost| lost < *then)
        });
        let stuck_for = seen.stuck_since.map_or(0, |since| at.saturating_sub(since));
        sometimes!(coverage, "a sensor stands still", stuck_for > 0);
        if compared.is_some_and(|before| excess(tag, before, (view.value, at)) > ROUNDING) {
            self.fail(
                "H-4",
                now,
                format!("tag {index} is believed, and jumped faster than it can"),
            );
        }
        if tag.frozen.is_some_and(|(_, lasting)| stuck_for >= lasting) {
            self.fail(
                "H-2",
                now,
                format!(
                    "tag {index} is believed, and has stood still for {} ms",
                    stuck_for / MS
                ),
            );
        }
    }
}

/// What rounding may take or give decides nothing.
const ROUNDING: f64 = 1e-9;

/// How much more a tag has changed from one value to the next, each with its arrival, than it can.
fn excess(tag: &Tag, (from, since): (f64, u64), (to, at): (f64, u64)) -> f64 {
    let span = at.saturating_sub(since) as f64 / 1e9;
    tag.rate.map_or(f64::NEG_INFINITY, |(per_second, _)| {
        (to - from).abs() - per_second * span
    })
}
