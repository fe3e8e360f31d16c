//! Readings that name themselves: which tag, and which reading of it. A value in the wrong place, or an old one, shows.

use crate::scenario::GRAIN;

/// Numbers of readings go round after this many: a value older than that cannot be in any queue.
const ROUND: u64 = 1 << 20;
/// What one step of the identity is worth. 28 bits of it stay below a quarter of [`GRAIN`].
const STEP: f64 = GRAIN / (1_u64 << 30) as f64;
/// Names a tag of no device here: what a foreign unit answers.
pub const FOREIGN: usize = 255;

/// A reading of `tag` at `level` (a multiple of [`GRAIN`]) with its number.
pub fn encode(tag: usize, number: u64, level: f64) -> f64 {
    level + (((tag as u64) << 20) | (number % ROUND)) as f64 * STEP
}

/// Tag, number and level of a value; `None` when it is no reading.
pub fn decode(value: f64) -> Option<(usize, u64, f64)> {
    let level = (value / GRAIN).floor() * GRAIN;
    let identity = (value - level) / STEP;
    if !(0.0..(1_u64 << 28) as f64).contains(&identity) || identity.fract() != 0.0 {
        return None;
    }
    let identity = identity as u64;
    Some(((identity >> 20) as usize, identity % ROUND, level))
}

/// The times of a tag's readings.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// When each was made, and whether its sensor stood still.
    made: Vec<(u64, bool)>,
}

impl Readings {
    /// Another reading at `now`, of a sensor that lives or is `stuck`; its number.
    pub fn issue(&mut self, now: u64, stuck: bool) -> u64 {
        self.made.push((now, stuck));
        self.made.len() as u64 - 1
    }

    /// When the reading with this number was made.
    pub fn at(&self, number: u64) -> Option<u64> {
        self.made.get(number as usize).map(|(at, _)| *at)
    }

    /// Whether the sensor stood still when the reading with this number was made.
    pub fn is_stuck(&self, number: u64) -> bool {
        self.made
            .get(number as usize)
            .is_some_and(|(_, stuck)| *stuck)
    }

    /// Number of the latest.
    pub fn latest(&self) -> u64 {
        (self.made.len() as u64).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_names_itself_exactly() {
        for (tag, number, level) in [(0, 0, 0.0), (3, 1_048_575, 99.5), (255, 7, 12.0 + GRAIN)] {
            assert_eq!(
                decode(encode(tag, number, level)),
                Some((tag, number, level))
            );
        }
        assert_eq!(decode(1.0 + GRAIN / 2.0), None);
    }

    #[test]
    fn a_reading_never_crosses_a_limit_between_two_levels() {
        let limit = 50.0 + GRAIN / 2.0;
        assert!(encode(255, 1_048_575, 50.0) < limit);
        assert!(encode(0, 0, 50.0 + GRAIN) > limit);
    }
}
