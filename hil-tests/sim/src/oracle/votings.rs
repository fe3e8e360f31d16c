//! Channels that vote: what they say together, and which of them are bad beside the others.

use drivers_frame::TagId;

use super::Oracle;
use super::truth::Truth;
use crate::coverage::Coverage;
use crate::guard::Guard;
use crate::scenario::{Deviation, Scenario, TURN_MAX};
use crate::sometimes;

/// A channel beside the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChannelSeen {
    /// Too old beside the newest.
    lags: bool,
    /// Too far from the others, for long enough.
    deviates: bool,
    /// Since when it is on the other side of the limit than it counts as.
    crossed_at: Option<u64>,
}

impl ChannelSeen {
    /// It counts as bad.
    pub(super) fn is_suspect(self) -> bool {
        self.lags || self.deviates
    }
}

/// Value and arrival of a channel that is usable by itself.
type Usable = Option<(f64, u64)>;

impl Oracle {
    /// H-3 and H-51: compares the channels of each voting as the lane sees them.
    pub(super) fn compare_channels(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        now: u64,
        coverage: &mut Coverage,
    ) {
        for (index, voting) in scenario.votings.iter().enumerate() {
            let usable: Vec<Usable> = voting
                .tags
                .iter()
                .map(|tag| {
                    let view = guard.lane.tag(TagId(*tag as u16))?;
                    view.quality
                        .is_usable()
                        .then_some((view.value, view.at.as_ns()))
                })
                .collect();
            let newest = usable.iter().flatten().map(|(_, at)| *at).max();
            for (channel, own) in usable.iter().enumerate() {
                let lags = match (voting.skew, own, newest) {
                    (Some(skew), Some((_, at)), Some(newest)) => newest > at + skew,
                    _ => false,
                };
                let seen = &mut self.channels[index][channel];
                seen.lags = lags;
                if let Some(plan) = voting.deviation {
                    let far = own.is_some_and(|_| distance(&usable, channel) > plan.bad);
                    track(seen, &plan, far, now);
                }
                sometimes!(coverage, "channel lags behind the others", seen.lags);
                sometimes!(coverage, "channel deviates from the others", seen.deviates);
            }
        }
    }

    /// I3: no reset with a bad channel, even where the others outvote it, unless it is bypassed.
    pub(super) fn judge_channels_at_reset(&mut self, scenario: &Scenario, guard: &Guard, now: u64) {
        for (index, voting) in scenario.votings.iter().enumerate() {
            let bypassed = self.bypassed[index].filter(|(_, until)| now < *until + TURN_MAX);
            for (channel, tag) in voting.tags.iter().enumerate() {
                if bypassed.is_some_and(|(own, _)| own == channel) {
                    continue;
                }
                let usable = guard
                    .lane
                    .tag(TagId(*tag as u16))
                    .is_some_and(|view| view.quality.is_usable());
                if !usable || self.channels[index][channel].is_suspect() {
                    self.fail(
                        "I3",
                        now,
                        format!(
                            "a reset released while channel {channel} of voting {index} was bad"
                        ),
                    );
                }
            }
        }
    }

    /// The vote, in the words of the documentation.
    pub(super) fn vote(&self, voting: usize, says: &[Truth], now: u64) -> Truth {
        let plan = &self.votings[voting];
        let out =
            self.bypassed[voting].and_then(|(channel, until)| (now < until).then_some(channel));
        let left: Vec<Truth> = says
            .iter()
            .enumerate()
            .filter(|(channel, _)| Some(*channel) != out)
            .map(|(_, truth)| *truth)
            .collect();
        let count = |wanted| left.iter().filter(|truth| **truth == wanted).count();
        let (trips, bads) = (count(Truth::Yes), count(Truth::Unknown));
        let mut need = usize::from(plan.need);
        if out.is_some() && need > 1 {
            need -= 1;
        }
        if plan.exclude {
            let good = left.len() - bads;
            return match trips >= need.min(good) {
                _ if good == 0 => Truth::Unknown,
                true => Truth::Yes,
                false => Truth::No,
            };
        }
        if trips >= need {
            Truth::Yes
        } else if trips + bads >= need {
            Truth::Unknown
        } else {
            Truth::No
        }
    }
}

fn track(seen: &mut ChannelSeen, plan: &Deviation, far: bool, now: u64) {
    if far == seen.deviates {
        seen.crossed_at = None;
        return;
    }
    let since = *seen.crossed_at.get_or_insert(now);
    if now >= since + plan.lasting {
        seen.deviates = far;
        seen.crossed_at = None;
    }
}

/// How far a channel is from the middle of all usable ones: their median, or of two the other one.
fn distance(usable: &[Usable], channel: usize) -> f64 {
    let Some((own, _)) = usable[channel] else {
        return 0.0;
    };
    let mut values: Vec<f64> = usable.iter().flatten().map(|(value, _)| *value).collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        1 => 0.0,
        2 => values[1] - values[0],
        count if count % 2 == 1 => (own - values[half]).abs(),
        _ => (own - f64::midpoint(values[half - 1], values[half])).abs(),
    }
}
