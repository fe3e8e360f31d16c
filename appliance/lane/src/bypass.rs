//! Bypasses (maintenance override, IEC 61511-1, 11.7.3): one vote withheld for a limited time.
//!
//! A pure table of fixed length. At most one bypass a voting (H-56), none longer than the pack allows, each ends by
//! itself (H-55). A restart begins with none, so a bypass never survives an update.

use drivers_frame::planted::by_the_wall;
use drivers_frame::{DurNs, MonoNs, planted};
use rt_config::limits::BYPASSES_MAX;

/// What is bypassed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// A channel of a voting: its vote is withheld in every rule that votes there.
    Channel {
        /// Index of the voting.
        voting: u16,
        /// Position of the channel in it.
        channel: u8,
    },
    /// A rule without a voting: it decides nothing.
    Rule(u16),
}

impl Point {
    /// Whether two points may not be bypassed together.
    fn same_group(self, other: Self) -> bool {
        if planted!(TwoBypassesOfAVoting) {
            return self == other;
        }
        match (self, other) {
            (Self::Channel { voting: a, .. }, Self::Channel { voting: b, .. }) => a == b,
            (Self::Rule(a), Self::Rule(b)) => a == b,
            _ => false,
        }
    }
}

/// Why a bypass was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BypassRefusal {
    /// No such voting, channel or rule.
    NoSuchPoint,
    /// The pack does not allow a bypass here. A rule with a voting is bypassed by channel.
    NotAllowed,
    /// Longer than the pack allows, or no time at all.
    TooLong {
        /// The longest.
        at_most: DurNs,
    },
    /// Another bypass of the same voting, or of this very point, is in force.
    GroupTaken {
        /// The one in force.
        by: Point,
    },
    /// More bypasses than a lane can have.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    point: Point,
    until: MonoNs,
}

/// The time that bypasses are reckoned by: monotonic time (H-79).
fn reckoned(now: MonoNs) -> MonoNs {
    if planted!(BypassByWallClock) {
        return by_the_wall(now);
    }
    now
}

/// The bypasses in force.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bypasses {
    entries: Vec<Entry>,
}

impl Default for Bypasses {
    fn default() -> Self {
        Self::new()
    }
}

impl Bypasses {
    /// None in force; room for all there can be.
    pub fn new() -> Self {
        Self {
            entries: Vec::with_capacity(BYPASSES_MAX),
        }
    }

    /// Begins one. `at_most` is what the pack allows for this point.
    ///
    /// # Errors
    /// [`BypassRefusal`]; nothing changed.
    pub fn begin(
        &mut self,
        point: Point,
        lasting: DurNs,
        at_most: Option<DurNs>,
        now: MonoNs,
    ) -> Result<(), BypassRefusal> {
        let at_most = at_most.ok_or(BypassRefusal::NotAllowed)?;
        if lasting > at_most || lasting == DurNs::ZERO {
            return Err(BypassRefusal::TooLong { at_most });
        }
        if let Some(entry) = self
            .entries
            .iter()
            .find(|entry| entry.point.same_group(point))
        {
            return Err(BypassRefusal::GroupTaken { by: entry.point });
        }
        if self.entries.len() >= BYPASSES_MAX {
            return Err(BypassRefusal::Full);
        }
        self.entries.push(Entry {
            point,
            until: reckoned(now).after(lasting),
        });
        Ok(())
    }

    /// Ends one. `false` when there was none.
    pub fn end(&mut self, point: Point) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.point != point);
        self.entries.len() < before
    }

    /// Takes out one whose time is over at `now`.
    pub fn take_expired(&mut self, now: MonoNs) -> Option<Point> {
        if planted!(BypassNeverEnds) {
            return None;
        }
        let now = reckoned(now);
        let index = self.entries.iter().position(|entry| now >= entry.until)?;
        Some(self.entries.swap_remove(index).point)
    }

    /// Whether this point is bypassed.
    pub fn covers(&self, point: Point) -> bool {
        self.entries.iter().any(|entry| entry.point == point)
    }

    /// Points and when each ends.
    pub fn iter(&self) -> impl Iterator<Item = (Point, MonoNs)> + '_ {
        self.entries.iter().map(|entry| (entry.point, entry.until))
    }

    /// When the next one ends.
    pub fn next_due(&self) -> MonoNs {
        self.entries
            .iter()
            .map(|entry| entry.until)
            .min()
            .unwrap_or(MonoNs::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    const HOUR: DurNs = DurNs::from_ms(3_600_000);
    const A: Point = Point::Channel {
        voting: 0,
        channel: 0,
    };
    const B: Point = Point::Channel {
        voting: 0,
        channel: 1,
    };

    #[test]
    fn h56_a_second_bypass_of_a_voting_is_refused_until_the_first_has_ended() {
        let mut bypasses = Bypasses::new();
        assert_eq!(bypasses.begin(A, HOUR, Some(HOUR), ms(0)), Ok(()));
        for point in [A, B] {
            assert_eq!(
                bypasses.begin(point, HOUR, Some(HOUR), ms(1)),
                Err(BypassRefusal::GroupTaken { by: A })
            );
        }
        assert_eq!(
            bypasses.begin(Point::Rule(0), HOUR, Some(HOUR), ms(1)),
            Ok(()),
            "another group"
        );
        assert!(bypasses.end(A));
        assert!(!bypasses.end(A));
        assert_eq!(bypasses.begin(B, HOUR, Some(HOUR), ms(2)), Ok(()));
    }

    #[test]
    fn h55_a_bypass_ends_by_itself_and_is_never_longer_than_allowed() {
        let mut bypasses = Bypasses::new();
        assert_eq!(
            bypasses.begin(A, HOUR, None, ms(0)),
            Err(BypassRefusal::NotAllowed)
        );
        let minute = DurNs::from_ms(60_000);
        assert_eq!(
            bypasses.begin(A, HOUR, Some(minute), ms(0)),
            Err(BypassRefusal::TooLong { at_most: minute })
        );
        assert!(bypasses.begin(A, DurNs::ZERO, Some(minute), ms(0)).is_err());
        bypasses.begin(A, minute, Some(minute), ms(0)).unwrap();
        assert_eq!(bypasses.next_due(), ms(60_000));
        assert_eq!(bypasses.take_expired(ms(59_999)), None);
        assert!(bypasses.covers(A));
        assert_eq!(bypasses.take_expired(ms(60_000)), Some(A));
        assert!(!bypasses.covers(A));
        assert_eq!(bypasses.next_due(), MonoNs::NEVER);
    }

    #[test]
    fn there_is_a_limit() {
        let mut bypasses = Bypasses::new();
        for rule in 0..BYPASSES_MAX {
            bypasses
                .begin(Point::Rule(rule as u16), HOUR, Some(HOUR), ms(0))
                .unwrap();
        }
        assert_eq!(
            bypasses.begin(Point::Rule(9_999), HOUR, Some(HOUR), ms(0)),
            Err(BypassRefusal::Full)
        );
    }
}
