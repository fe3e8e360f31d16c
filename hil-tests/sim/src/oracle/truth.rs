//! What a condition says: in the plant, and to whoever sees what the lane sees.

use drivers_frame::TagId;

use super::Oracle;
use crate::guard::Guard;
use crate::scenario::{Cond, Permission, Scenario};

/// A truth value that may be unknown; the judge's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    No,
    Yes,
    Unknown,
}

impl Oracle {
    /// The plant's levels changed. Returns the rules that came to be true.
    pub fn levels_changed(&mut self, scenario: &Scenario, now: u64) -> Vec<usize> {
        let mut began = Vec::new();
        self.derive(scenario);
        for (index, rule) in scenario.rules.iter().enumerate() {
            let can = |permission: &Option<Permission>| {
                let can = |permission| self.can_be_permitted(scenario, permission, now);
                permission.as_ref().is_some_and(can)
            };
            // What a switch may keep from stopping does not have to stop.
            let asked = rule.raised.as_ref().filter(|_| can(&rule.multiplier));
            let truth = !can(&rule.inhibit) && self.in_plant(asked.unwrap_or(&rule.cond));
            let seen = &mut self.rules[index];
            match (truth, seen.true_since) {
                (true, None) => {
                    seen.true_since = Some(now);
                    began.push(index);
                }
                (false, Some(_)) => seen.true_since = None,
                _ => {}
            }
        }
        began
    }

    fn in_plant(&self, cond: &Cond) -> bool {
        match cond {
            Cond::Above { tag, limit, .. } | Cond::AverageAbove { tag, limit, .. } => {
                self.levels[*tag] > *limit
            }
            Cond::Both(a, b) => self.in_plant(a) && self.in_plant(b),
            Cond::Either(a, b) => self.in_plant(a) || self.in_plant(b),
            Cond::Vote { voting, channels } => {
                let true_ones = channels
                    .iter()
                    .filter(|(tag, limit)| self.levels[*tag] > *limit)
                    .count();
                let voting = &self.votings[*voting];
                // What must trip whichever channel is bad or bypassed. One that is left out may be one of the true ones;
                // a bypassed one too, and then another must be true where one would do.
                let surely = if voting.exclude {
                    channels.len()
                } else if voting.bypass.is_some() {
                    usize::from(voting.need).max(2)
                } else {
                    usize::from(voting.need)
                };
                true_ones >= surely
            }
        }
    }

    /// Since when a rule has been true in the plant, not counting the time in which the guard was held up.
    pub fn true_since(&self, rule: usize) -> Option<u64> {
        self.rules[rule]
            .true_since
            .map(|since| since.max(self.held_until))
    }

    pub(super) fn as_the_lane_sees(
        &self,
        cond: &Cond,
        guard: &Guard,
        hold: bool,
        now: u64,
    ) -> Option<Truth> {
        Some(match cond {
            Cond::Vote { voting, channels } => {
                let says: Option<Vec<Truth>> = channels
                    .iter()
                    .enumerate()
                    .map(|(channel, (tag, limit))| {
                        let view = guard.lane.tag(TagId(*tag as u16))?;
                        let suspect = self.channels[*voting][channel].is_suspect();
                        Some(match view.quality.is_usable() && !suspect {
                            false => Truth::Unknown,
                            true if view.value > *limit => Truth::Yes,
                            true => Truth::No,
                        })
                    })
                    .collect();
                self.vote(*voting, &says?, now)
            }
            Cond::Above { tag, limit, band } => {
                let view = guard.lane.tag(TagId(*tag as u16))?;
                let limit = if hold { limit - band } else { *limit };
                match view.quality.is_usable() {
                    false => Truth::Unknown,
                    true if view.value > limit => Truth::Yes,
                    true => Truth::No,
                }
            }
            // What a window holds is the lane's affair; the plant's truth judges it.
            Cond::AverageAbove { .. } => return None,
            Cond::Both(a, b) => {
                let (a, b) = (
                    self.as_the_lane_sees(a, guard, hold, now)?,
                    self.as_the_lane_sees(b, guard, hold, now)?,
                );
                match (a, b) {
                    (Truth::No, _) | (_, Truth::No) => Truth::No,
                    (Truth::Yes, Truth::Yes) => Truth::Yes,
                    _ => Truth::Unknown,
                }
            }
            Cond::Either(a, b) => {
                let (a, b) = (
                    self.as_the_lane_sees(a, guard, hold, now)?,
                    self.as_the_lane_sees(b, guard, hold, now)?,
                );
                match (a, b) {
                    (Truth::Yes, _) | (_, Truth::Yes) => Truth::Yes,
                    (Truth::No, Truth::No) => Truth::No,
                    _ => Truth::Unknown,
                }
            }
        })
    }
}
