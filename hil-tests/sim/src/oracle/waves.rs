//! Blocks of waveforms: whose they are, how old they are, and that what is missing between two is told (H-17 to H-19, H-21).

use super::Oracle;
use crate::coverage::Coverage;
use crate::guard::{Guard, Taken};
use crate::scenario::{MS, Scenario, WAY_MAX};
use crate::sometimes;
use crate::world::block_samples;

/// A waveform's source, and what the lane has seen of it.
#[derive(Clone, Debug, Default)]
pub(super) struct WaveSeen {
    /// When each block was made, and the level that it shows.
    made: Vec<(u64, f64)>,
    /// The number of the newest block that the lane was given.
    given: Option<u64>,
}

impl WaveSeen {
    /// The guard began anew.
    pub(super) fn restarted(&mut self) {
        self.given = None;
    }
}

impl Oracle {
    /// A source made a block. Its number.
    pub fn block_made(&mut self, wave: usize, now: u64, level: f64) -> u64 {
        self.waves[wave].made.push((now, level));
        self.waves[wave].made.len() as u64 - 1
    }

    /// The samples of a block.
    pub fn block(&self, wave: usize, number: u64) -> Vec<u8> {
        let level = self.waves[wave].made.get(number as usize);
        block_samples(number, level.map_or(0.0, |(_, level)| *level))
    }

    /// A message of some time ago; nothing when there is none.
    pub fn old_block(&self, wave: usize) -> Vec<u8> {
        let Some(number) = (self.waves[wave].made.len() as u64).checked_sub(20) else {
            return Vec::new();
        };
        let mut message = (number as u32).to_le_bytes().to_vec();
        message.extend(self.block(wave, number));
        message
    }

    /// What the lane was given of waveforms before this tick.
    pub(super) fn judge_blocks(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        now: u64,
        coverage: &mut Coverage,
    ) {
        for news in &guard.taken {
            let (wave, at, gap, bytes) = match news {
                Taken::Block(wave, at, gap, bytes) => (*wave, *at, *gap, bytes),
                Taken::Bad(..) => {
                    sometimes!(coverage, "a block that cannot be used", true);
                    continue;
                }
            };
            sometimes!(coverage, "a block with a gap before it", gap);
            let word = |at: usize| u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
            let number = word(0) | word(2) << 15;
            if *bytes != self.block(wave, number) {
                return self.fail(
                    "I5",
                    now,
                    format!("waveform {wave}: a block that nobody sent"),
                );
            }
            let (made, _) = self.waves[wave].made[number as usize];
            let waited = at < self.held_until + 100 * MS;
            let patience = 3 * WAY_MAX;
            let earliest = if waited && !scenario.threaded {
                self.held_from.saturating_sub(patience)
            } else {
                at.saturating_sub(patience)
            };
            if made < earliest {
                let age = (at - made) / MS;
                self.fail("I4", now, format!("waveform {wave}: block {number} was {age} ms old when it arrived, and is taken"));
            }
            let before = self.waves[wave].given.replace(number);
            if before.is_some_and(|before| number <= before) {
                self.fail(
                    "H-18",
                    now,
                    format!("waveform {wave}: block {number} came again"),
                );
            }
            if !gap && before.is_some_and(|before| number != before + 1) {
                self.fail("H-17", now, format!("waveform {wave}: blocks are missing before {number}, and it says that none are"));
            }
        }
    }
}
