//! Output faults that repeat. A write that is not confirmed is repeated several times a second for as long as the device
//! is away; without this, one dead device would fill outbox, broker and screen (H-77).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use appliance_control::EventBody;

/// How long the same fault of the same output is not told again.
pub const REPEAT_AFTER: Duration = Duration::from_secs(30);

/// What was told: once a cause, then every [`REPEAT_AFTER`]. One entry an output, so at most as many as a pack has.
#[derive(Debug, Default)]
pub struct Repeats(HashMap<String, Told>);

#[derive(Debug)]
struct Told {
    cause: String,
    at: Instant,
    skipped: u64,
}

impl Repeats {
    /// How many like this one were skipped before it, or `None` when this one is to be skipped too. Everything but an
    /// output fault is always told.
    pub fn admit(&mut self, body: &EventBody, now: Instant) -> Option<u64> {
        let EventBody::OutputFault { output, cause } = body else {
            return Some(0);
        };
        let mut before = 0;
        if let Some(told) = self.0.get_mut(output).filter(|told| told.cause == *cause) {
            if now.saturating_duration_since(told.at) < REPEAT_AFTER {
                told.skipped = told.skipped.saturating_add(1);
                return None;
            }
            before = told.skipped;
        }
        let told = Told {
            cause: cause.clone(),
            at: now,
            skipped: 0,
        };
        self.0.insert(output.clone(), told);
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h77_a_write_that_is_repeated_for_hours_is_told_now_and_then() {
        let mut repeats = Repeats::default();
        let fault = |cause: &str| EventBody::OutputFault {
            output: "run".into(),
            cause: cause.into(),
        };
        let start = Instant::now();
        assert_eq!(repeats.admit(&fault("no echo"), start), Some(0));
        for _ in 0..7 {
            assert_eq!(repeats.admit(&fault("no echo"), start), None);
        }
        assert_eq!(
            repeats.admit(&fault("refused"), start),
            Some(0),
            "another cause is news"
        );
        assert_eq!(repeats.admit(&fault("refused"), start), None);
        assert_eq!(
            repeats.admit(&fault("refused"), start + REPEAT_AFTER),
            Some(1)
        );
    }

    #[test]
    fn other_events_are_never_skipped() {
        let mut repeats = Repeats::default();
        let released = EventBody::Released {
            output: "run".into(),
        };
        for _ in 0..3 {
            assert_eq!(repeats.admit(&released, Instant::now()), Some(0));
        }
    }
}
