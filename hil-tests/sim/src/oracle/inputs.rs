//! Readings: whose they are, how old they are, and whether what is believed was handed over so.

use drivers_frame::{Cause, TagId};

use super::{LATE_SEEN, Oracle};
use crate::coverage::Coverage;
use crate::guard::{Guard, Pushed};
use crate::reading;
use crate::scenario::{Kind, MS, Origin, RANGE_MAX, Scenario};
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
            }
            let seen = &mut self.tags[tag];
            if frame.lost {
                seen.lost_at = Some(now);
            } else {
                seen.last = Some((at, sample.value, usable));
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
            let at = view.at.as_ns();
            let seen = &mut self.tags[index];
            if !view.quality.is_usable() {
                // A bad sample leaves the window when it is older than its length; silence and loss begin it anew.
                let silent = matches!(
                    view.cause,
                    Cause::Stale | Cause::QueueOverflow | Cause::NeverReceived
                );
                seen.unusable_at = if silent { now } else { at };
                if seen.was_good && view.cause != Cause::Passivated {
                    seen.fell_at = Some(now);
                }
                sometimes!(
                    coverage,
                    "channel passivated",
                    view.cause == Cause::Passivated
                );
                sometimes!(coverage, "stale tag", view.cause == Cause::Stale);
                continue;
            }
            let (last, lost_at) = (seen.last, seen.lost_at);
            seen.was_good = true;
            let held_until = self.held_until + LATE_SEEN;
            // What arrived before the tick that saw it fall may have waited in the queue.
            let early = seen
                .fell_at
                .take()
                .is_some_and(|fell| fell > held_until && at + LATE_SEEN < fell + tag.quiet);
            if early {
                self.fail(
                    "I6",
                    now,
                    format!("tag {index} counts again before it was good for its quiet time"),
                );
            }
            if now > at + tag.stale_after {
                self.fail(
                    "I4",
                    now,
                    format!(
                        "tag {index} is usable {} us after its time",
                        (now - at - tag.stale_after) / 1_000
                    ),
                );
            }
            match last {
                Some((last_at, value, true)) => {
                    if last_at != at || value.to_bits() != view.value.to_bits() {
                        self.fail(
                            "I7",
                            now,
                            format!("tag {index} is not what was last handed over of it"),
                        );
                    }
                }
                _ => self.fail(
                    "I6",
                    now,
                    format!("tag {index} counts as good, and its last sample was bad"),
                ),
            }
            if lost_at.is_some_and(|lost| at < lost) {
                self.fail(
                    "I6",
                    now,
                    format!("tag {index} is believed, and a newer frame of its device was lost"),
                );
            }
        }
    }
}
