//! MooN voting over channels, as a pure function (IEC 61508, API 670).
//!
//! A *bad* channel votes to trip: 2oo3 with one bad channel is 1oo2, and a second bad one trips (H-49). Only a pack that
//! says `on_bad: exclude` leaves it out instead: 2oo3 becomes 2oo2. A *bypassed* channel has no vote, and the rest need
//! one vote less, so that maintenance never makes the machine harder to stop than 1ooN: 2oo3 becomes 1oo2, 1oo2
//! becomes 1oo1.

use rules_bundle::OnBad;

/// What one channel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelVote {
    /// Its condition is false.
    Ok,
    /// Its condition is true.
    Trip,
    /// It cannot say: bad, stale, too old beside the others, or deviating.
    Bad,
    /// Its vote is withheld by a person.
    Bypassed,
}

/// What the vote says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ballot {
    /// Too few votes to trip.
    Normal,
    /// Enough true conditions.
    Trip,
    /// Enough only with bad channels, or no channel is left that could say.
    TripByBad,
    /// Every channel is bypassed: nothing is protected. A voting never lets this happen (H-56).
    OutOfService,
}

/// How many votes a vote now needs, and of how many: what `2oo3` has become.
pub fn degraded(need: u8, on_bad: OnBad, channels: &[ChannelVote]) -> (u8, u8) {
    let tally = Tally::of(channels);
    let (need, of) = tally.after_bypass(need);
    match on_bad {
        OnBad::Trip => (need.saturating_sub(tally.bad), of.saturating_sub(tally.bad)),
        OnBad::Exclude => {
            let left = of.saturating_sub(tally.bad);
            (need.min(left), left)
        }
    }
}

/// Counts the votes. `need` is M of MooN, at least 1.
pub fn vote(need: u8, on_bad: OnBad, channels: &[ChannelVote]) -> Ballot {
    let tally = Tally::of(channels);
    let (need, of) = tally.after_bypass(need);
    if of == 0 {
        return Ballot::OutOfService;
    }
    match on_bad {
        OnBad::Trip if tally.trip >= need => Ballot::Trip,
        OnBad::Trip if tally.trip.saturating_add(tally.bad) >= need => Ballot::TripByBad,
        OnBad::Trip => Ballot::Normal,
        OnBad::Exclude if tally.bad >= of => Ballot::TripByBad,
        OnBad::Exclude if tally.trip >= need.min(of.saturating_sub(tally.bad)) => Ballot::Trip,
        OnBad::Exclude => Ballot::Normal,
    }
}

struct Tally {
    all: u8,
    trip: u8,
    bad: u8,
    bypassed: u8,
}

impl Tally {
    fn of(channels: &[ChannelVote]) -> Self {
        let mut tally = Self {
            all: 0,
            trip: 0,
            bad: 0,
            bypassed: 0,
        };
        for channel in channels {
            tally.all = tally.all.saturating_add(1);
            let count = match channel {
                ChannelVote::Ok => continue,
                ChannelVote::Trip => &mut tally.trip,
                ChannelVote::Bad => &mut tally.bad,
                ChannelVote::Bypassed => &mut tally.bypassed,
            };
            *count = count.saturating_add(1);
        }
        tally
    }

    fn after_bypass(&self, need: u8) -> (u8, u8) {
        (
            need.saturating_sub(self.bypassed).max(1),
            self.all.saturating_sub(self.bypassed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChannelVote::{Bad, Bypassed, Ok, Trip};

    /// What a channel can be in the table: bad and stale vote alike, and are told apart so that the table says so.
    const STATES: [(&str, ChannelVote); 5] = [
        ("good-ok", Ok),
        ("good-trip", Trip),
        ("bad", Bad),
        ("stale", Bad),
        ("bypassed", Bypassed),
    ];

    /// An independent statement of the rules, in the words of the documentation.
    fn expected(need: u8, on_bad: OnBad, channels: &[ChannelVote]) -> Ballot {
        let count =
            |kind: ChannelVote| channels.iter().filter(|vote| **vote == kind).count() as i32;
        let (trips, bads, bypassed) = (count(Trip), count(Bad), count(Bypassed));
        let voters = channels.len() as i32 - bypassed;
        if voters == 0 {
            return Ballot::OutOfService;
        }
        let mut need = i32::from(need) - bypassed;
        if need < 1 {
            need = 1;
        }
        if on_bad == OnBad::Exclude {
            let left = voters - bads;
            if left == 0 {
                return Ballot::TripByBad;
            }
            if need > left {
                need = left;
            }
            return if trips >= need {
                Ballot::Trip
            } else {
                Ballot::Normal
            };
        }
        if trips >= need {
            Ballot::Trip
        } else if trips + bads >= need {
            Ballot::TripByBad
        } else {
            Ballot::Normal
        }
    }

    /// Calls `check` with every combination of states of `n` channels.
    fn every(n: usize, mut check: impl FnMut(&[usize])) {
        let mut digits = vec![0; n];
        loop {
            check(&digits);
            let Some(place) = digits.iter().position(|digit| *digit + 1 < STATES.len()) else {
                return;
            };
            digits[place] += 1;
            digits[..place].fill(0);
        }
    }

    #[test]
    fn h49_truth_table_of_every_form_over_every_state_of_every_channel() {
        let mut rows = 0_u64;
        for n in 1..=8_usize {
            every(n, |digits| {
                let channels: Vec<_> = digits.iter().map(|digit| STATES[*digit].1).collect();
                for need in 1..=n as u8 {
                    for on_bad in [OnBad::Trip, OnBad::Exclude] {
                        assert_eq!(
                            vote(need, on_bad, &channels),
                            expected(need, on_bad, &channels),
                            "{need}oo{n} {on_bad:?} {:?}",
                            digits
                                .iter()
                                .map(|digit| STATES[*digit].0)
                                .collect::<Vec<_>>()
                        );
                        rows += 1;
                    }
                }
            });
        }
        assert_eq!(
            rows,
            (1..=8_u32)
                .map(|n| 2 * u64::from(n) * 5_u64.pow(n))
                .sum::<u64>()
        );
    }

    #[test]
    fn i6_a_channel_that_turns_bad_never_makes_a_vote_harder() {
        for n in 1..=5_usize {
            every(n, |digits| {
                let channels: Vec<_> = digits.iter().map(|digit| STATES[*digit].1).collect();
                for need in 1..=n as u8 {
                    if vote(need, OnBad::Trip, &channels) == Ballot::Normal {
                        continue;
                    }
                    for index in (0..n).filter(|index| channels[*index] != Bypassed) {
                        let mut worse = channels.clone();
                        worse[index] = Bad;
                        assert_ne!(
                            vote(need, OnBad::Trip, &worse),
                            Ballot::Normal,
                            "{channels:?}"
                        );
                    }
                }
            });
        }
    }

    #[test]
    fn the_forms_that_everybody_knows() {
        let two_of_three = |channels: [ChannelVote; 3]| vote(2, OnBad::Trip, &channels);
        assert_eq!(two_of_three([Ok, Ok, Trip]), Ballot::Normal);
        assert_eq!(two_of_three([Ok, Trip, Trip]), Ballot::Trip);
        assert_eq!(
            two_of_three([Ok, Ok, Bad]),
            Ballot::Normal,
            "H-49: now 1oo2"
        );
        assert_eq!(
            two_of_three([Ok, Trip, Bad]),
            Ballot::TripByBad,
            "H-49: 1oo2"
        );
        assert_eq!(
            two_of_three([Ok, Bad, Bad]),
            Ballot::TripByBad,
            "a second bad channel trips"
        );
        assert_eq!(
            two_of_three([Ok, Trip, Bypassed]),
            Ballot::Trip,
            "2oo3 bypassed is 1oo2"
        );
        assert_eq!(two_of_three([Ok, Ok, Bypassed]), Ballot::Normal);
        assert_eq!(
            vote(2, OnBad::Exclude, &[Ok, Trip, Bad]),
            Ballot::Normal,
            "2oo2"
        );
        assert_eq!(
            vote(2, OnBad::Exclude, &[Bad, Bad, Trip]),
            Ballot::Trip,
            "1oo1"
        );
        assert_eq!(vote(2, OnBad::Exclude, &[Bad; 3]), Ballot::TripByBad);
        assert_eq!(vote(1, OnBad::Trip, &[Ok, Bypassed]), Ballot::Normal);
        assert_eq!(degraded(2, OnBad::Trip, &[Ok, Ok, Bad]), (1, 2));
        assert_eq!(degraded(2, OnBad::Exclude, &[Ok, Ok, Bad]), (2, 2));
        assert_eq!(degraded(2, OnBad::Trip, &[Ok, Ok, Bypassed]), (1, 2));
        assert_eq!(degraded(2, OnBad::Trip, &[Ok, Ok, Ok]), (2, 3));
    }
}
