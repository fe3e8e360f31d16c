//! Who began a bypass, why, and when people are reminded of it. The lane alone keeps the time and withholds the vote.
//!
//! Monotonic time decides; the wall clock only labels (H-79). Nothing of this is kept anywhere: a guard that starts again,
//! with another pack too, begins without a bypass.

use appliance_control::{Actor, BypassStatus};
use appliance_lane::Point;
use drivers_frame::{DurNs, MonoNs};
use rt_config::limits::BYPASS_REMINDER_MINUTES;

/// Time between two reminders (H-55).
pub(super) const REMINDER: DurNs = DurNs::from_ms(BYPASS_REMINDER_MINUTES * 60_000);

/// A bypass as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) lane: usize,
    pub(super) point: Point,
    /// As it was asked for.
    pub(super) name: String,
    pub(super) by: Actor,
    pub(super) why: String,
    pub(super) until: MonoNs,
    pub(super) until_wall_ns: u64,
}

impl Record {
    pub(super) fn status(&self, now: MonoNs) -> BypassStatus {
        BypassStatus {
            point: self.name.clone(),
            by: self.by.clone(),
            why: self.why.clone(),
            until_wall_ns: self.until_wall_ns,
            remaining_ns: self.until.since(now).as_ns(),
        }
    }
}

/// Those in force. At most as many as the lanes allow.
#[derive(Debug, Default)]
pub(super) struct Bypasses(Vec<(Record, MonoNs)>);

impl Bypasses {
    /// The lane has begun it at `now`.
    pub(super) fn begin(&mut self, record: Record, now: MonoNs) {
        self.end(record.lane, record.point);
        self.0.push((record, now.after(REMINDER)));
    }

    /// The lane has ended it.
    pub(super) fn end(&mut self, lane: usize, point: Point) {
        self.0
            .retain(|(record, _)| record.lane != lane || record.point != point);
    }

    pub(super) fn find(&self, lane: usize, point: Point) -> Option<&Record> {
        let mut records = self.0.iter().map(|(record, _)| record);
        records.find(|record| record.lane == lane && record.point == point)
    }

    /// Those that people are to be reminded of now. A reminder that comes late is not made up for. One whose time is up
    /// is forgotten: the lane has told its end.
    pub(super) fn due(&mut self, now: MonoNs) -> Vec<Record> {
        self.0
            .retain(|(record, remind_at)| record.until > now || *remind_at > now);
        let due = self.0.iter_mut().filter(|(_, at)| *at <= now);
        due.map(|(record, at)| {
            *at = now.after(REMINDER);
            record.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(point: Point) -> Record {
        Record {
            lane: 0,
            point,
            name: "x".into(),
            by: Actor {
                who: "Anna".into(),
                uid: 1,
                user: None,
            },
            why: "calibration".into(),
            until: MonoNs::from_ns(u64::MAX / 2),
            until_wall_ns: 0,
        }
    }

    #[test]
    fn h55_people_are_reminded_again_and_again_until_it_ends() {
        let mut bypasses = Bypasses::default();
        let start = MonoNs::from_ns(5);
        bypasses.begin(record(Point::Rule(1)), start);
        bypasses.begin(record(Point::Rule(2)), start);
        let mut now = start;
        for _ in 0..100 {
            now = now.after(REMINDER);
            assert_eq!(bypasses.due(MonoNs::from_ns(now.as_ns() - 1)).len(), 0);
            assert_eq!(bypasses.due(now).len(), 2, "H-55");
            assert_eq!(bypasses.due(now).len(), 0, "once");
        }
        bypasses.end(0, Point::Rule(1));
        bypasses.end(1, Point::Rule(2));
        assert!(bypasses.find(0, Point::Rule(1)).is_none());
        assert!(bypasses.find(0, Point::Rule(2)).is_some(), "of lane 0");
        bypasses.end(0, Point::Rule(2));
    }
}
