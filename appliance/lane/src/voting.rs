//! The channels of a voting beside one another: skew (H-51) and deviation (H-3).

use drivers_frame::{Cause, DurNs, MonoNs, TagId, planted};
use rt_config::limits::VOTING_CHANNELS_MAX;
use rules_bundle::{DeviationPlan, OnBad, VotingPlan};

/// One channel as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) value: f64,
    pub(crate) usable: bool,
    pub(crate) at: MonoNs,
}

/// What a look at the channels changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The rules that vote here must be evaluated.
    pub(crate) votes: bool,
    /// Channels that began or ceased to deviate so far that people are told, one bit each.
    pub(crate) told: u8,
    /// Channels whose suspicion began or ended, one bit each.
    pub(crate) suspects: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    /// Since when it deviates by more than the alert or the bad limit.
    beyond_alert: Option<MonoNs>,
    /// Since when it is on the other side of the bad limit than it counts as.
    crossed_bad: Option<MonoNs>,
    /// It deviates beyond the bad limit.
    deviant: bool,
    alerted: bool,
    suspect: Option<Cause>,
}

/// A voting at run time.
#[derive(Clone, Debug)]
pub(crate) struct Voting {
    pub(crate) tags: Vec<TagId>,
    pub(crate) need: u8,
    pub(crate) on_bad: OnBad,
    plan: VotingPlan,
    channels: [Channel; VOTING_CHANNELS_MAX],
}

impl Voting {
    pub(crate) fn new(plan: &VotingPlan) -> Self {
        Self {
            tags: plan.channels.clone(),
            need: plan.need,
            on_bad: plan.on_bad,
            plan: plan.clone(),
            channels: [Channel::default(); VOTING_CHANNELS_MAX],
        }
    }

    /// Longest bypass of one channel; `None` when none is allowed.
    pub(crate) fn bypass_at_most(&self) -> Option<DurNs> {
        self.plan.bypass_at_most
    }

    /// Why this channel is bad beside the others; `None` when it is not.
    pub(crate) fn suspect(&self, channel: usize) -> Option<Cause> {
        self.channels
            .get(channel)
            .and_then(|channel| channel.suspect)
    }

    /// Whether this channel deviates so far that people are told.
    pub(crate) fn deviates(&self, channel: usize) -> bool {
        self.channels
            .get(channel)
            .is_some_and(|channel| channel.alerted)
    }

    /// Looks at every channel. `seen` is in the order of the plan.
    pub(crate) fn look(&mut self, seen: &[Seen], now: MonoNs) -> Changes {
        let newest = seen
            .iter()
            .filter(|seen| seen.usable)
            .map(|seen| seen.at)
            .max()
            .unwrap_or(MonoNs::ZERO);
        let middle = middle(seen);
        let mut changes = Changes::default();
        for (index, (channel, seen)) in (0_u32..).zip(self.channels.iter_mut().zip(seen)) {
            let bit = 1_u8.checked_shl(index).unwrap_or(0);
            let skewed = self
                .plan
                .skew
                .is_some_and(|skew| seen.usable && newest.since(seen.at) > skew)
                && !planted!(SkewIgnored);
            let mut suspect = skewed.then_some(Cause::Skew);
            if let Some(plan) = self.plan.deviation {
                let distance = match middle {
                    Some((middle, factor)) if seen.usable => (seen.value - middle).abs() * factor,
                    _ => 0.0,
                };
                if channel.deviates(&plan, distance, now) && !planted!(DeviationIgnored) {
                    suspect = suspect.or(Some(Cause::Deviation));
                }
                let lasting = |since: Option<MonoNs>| {
                    since.is_some_and(|since| now >= since.after(plan.lasting))
                };
                let alerted = lasting(channel.beyond_alert);
                if alerted != channel.alerted {
                    channel.alerted = alerted;
                    changes.told |= bit;
                }
            }
            if suspect != channel.suspect {
                channel.suspect = suspect;
                changes.votes = true;
                changes.suspects |= bit;
            }
        }
        changes
    }

    /// When a deviation will have lasted.
    pub(crate) fn next_due(&self, now: MonoNs) -> MonoNs {
        let Some(plan) = self.plan.deviation else {
            return MonoNs::NEVER;
        };
        self.channels
            .iter()
            .flat_map(|channel| [channel.beyond_alert, channel.crossed_bad])
            .flatten()
            .map(|since| since.after(plan.lasting))
            .filter(|due| *due > now)
            .min()
            .unwrap_or(MonoNs::NEVER)
    }
}

impl Channel {
    /// Whether it deviates beyond the bad limit. Both directions must last: a channel that was found wrong is not right
    /// again because another one moves too.
    fn deviates(&mut self, plan: &DeviationPlan, distance: f64, now: MonoNs) -> bool {
        let track = |since: &mut Option<MonoNs>, holds: bool| {
            if holds {
                since.get_or_insert(now);
            } else {
                *since = None;
            }
        };
        track(
            &mut self.beyond_alert,
            plan.alert.is_some_and(|limit| distance > limit),
        );
        track(&mut self.crossed_bad, (distance > plan.bad) != self.deviant);
        if self
            .crossed_bad
            .is_some_and(|since| now >= since.after(plan.lasting))
        {
            self.deviant = !self.deviant;
            self.crossed_bad = None;
        }
        self.deviant
    }
}

/// What channels are compared with, and the factor of the distance to it: the median of three and more usable values;
/// of two the point half way, from which each is half of their difference away; `None` for fewer.
fn middle(seen: &[Seen]) -> Option<(f64, f64)> {
    let mut values = [0.0_f64; VOTING_CHANNELS_MAX];
    let mut count = 0_usize;
    for seen in seen.iter().filter(|seen| seen.usable) {
        if let Some(cell) = values.get_mut(count) {
            *cell = seen.value;
            count = count.saturating_add(1);
        }
    }
    let values = values.get_mut(..count)?;
    values.sort_unstable_by(f64::total_cmp);
    let half = count.checked_div(2)?;
    let upper = values.get(half).copied()?;
    match count {
        1 => None,
        _ if count.checked_rem(2)? == 1 => Some((upper, 1.0)),
        _ => {
            let lower = values.get(half.checked_sub(1)?).copied()?;
            let factor = if count == 2 { 2.0 } else { 1.0 };
            Some((lower / 2.0 + upper / 2.0, factor))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    fn voting(count: u16) -> Voting {
        Voting::new(&VotingPlan {
            name: "temps".into(),
            channels: (0..count).map(TagId).collect(),
            need: 2,
            on_bad: OnBad::Trip,
            skew: Some(DurNs::from_ms(200)),
            deviation: Some(DeviationPlan {
                alert: Some(3.0),
                bad: 8.0,
                lasting: DurNs::from_ms(1_000),
            }),
            bypass_at_most: None,
        })
    }

    fn seen(value: f64, at: u64) -> Seen {
        Seen {
            value,
            usable: true,
            at: ms(at),
        }
    }

    #[test]
    fn h51_a_channel_that_lags_behind_is_bad_while_it_does() {
        let mut voting = voting(3);
        let changes = voting.look(
            &[seen(50.0, 100), seen(50.0, 300), seen(50.0, 301)],
            ms(301),
        );
        assert_eq!((changes.votes, changes.suspects), (true, 0b001), "H-51");
        assert_eq!(voting.suspect(0), Some(Cause::Skew));
        let changes = voting.look(
            &[seen(50.0, 302), seen(50.0, 300), seen(50.0, 301)],
            ms(302),
        );
        assert_eq!((changes.votes, voting.suspect(0)), (true, None));
        let unusable = Seen {
            usable: false,
            ..seen(0.0, 0)
        };
        let changes = voting.look(&[unusable, seen(50.0, 600), seen(50.0, 601)], ms(601));
        assert!(!changes.votes, "what is bad already needs no suspicion");
    }

    #[test]
    fn h03_drift_is_told_and_then_bad_when_it_lasts() {
        let mut voting = voting(3);
        let at = |value: f64, now: u64| [seen(50.0, now), seen(51.0, now), seen(value, now)];
        assert_eq!(voting.look(&at(55.0, 0), ms(0)), Changes::default());
        assert_eq!(voting.next_due(ms(0)), ms(1_000));
        let changes = voting.look(&at(55.0, 1_000), ms(1_000));
        assert_eq!(
            (changes.told, changes.votes),
            (0b100, false),
            "H-3: told first"
        );
        assert_eq!(voting.look(&at(55.0, 1_100), ms(1_100)).told, 0, "once");
        voting.look(&at(60.0, 2_000), ms(2_000));
        assert_eq!(voting.suspect(2), None);
        voting.look(&at(60.0, 3_000), ms(3_000));
        assert_eq!(
            voting.suspect(2),
            Some(Cause::Deviation),
            "H-3: bad at the limit"
        );
        assert_eq!(voting.suspect(0), None);
        voting.look(&at(52.0, 3_100), ms(3_100));
        assert_eq!(
            voting.suspect(2),
            Some(Cause::Deviation),
            "coming back lasts as long"
        );
        voting.look(&at(52.0, 4_100), ms(4_100));
        assert_eq!(voting.suspect(2), None);
    }

    #[test]
    fn of_two_channels_that_disagree_both_are_bad() {
        let mut voting = voting(2);
        for now in [0, 1_000] {
            voting.look(&[seen(50.0, now), seen(57.9, now)], ms(now));
        }
        assert_eq!(voting.suspect(0), None, "the limit is on their difference");
        for now in [2_000, 3_000] {
            voting.look(&[seen(50.0, now), seen(58.1, now)], ms(now));
        }
        assert_eq!(
            (voting.suspect(0), voting.suspect(1)),
            (Some(Cause::Deviation), Some(Cause::Deviation))
        );
    }
}
