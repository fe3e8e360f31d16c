//! What a topic's messages are wrapped in.

use drivers_frame::DurNs;
use rules_bundle::{CheckPlan, EnvelopePlan, ErrorBudget};

use super::MS;
use crate::rng::Rng;

/// Who publishes on every topic that has an envelope.
pub const SOURCE: &str = "press-7";

/// The key that source and guard share.
pub const KEY: &[u8] = b"a key for tests, of 32 bytes....";

/// An envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// HMAC with [`KEY`], else CRC-32C.
    pub keyed: bool,
    /// Longest delay beyond the fastest message's.
    pub max_delay: Option<u64>,
    /// Errors that are tolerated.
    pub errors: u16,
    /// The span in which they are counted.
    pub within: u64,
    /// The sequence of its first message.
    pub first: u32,
}

impl Envelope {
    /// Draws whether there is one, and which.
    pub(super) fn draw(rng: &mut Rng) -> Option<Self> {
        rng.chance(650).then(|| Self {
            keyed: rng.chance(600),
            // Longer than any way through a network that is well.
            max_delay: rng.chance(600).then(|| rng.between(60, 200) * MS),
            errors: rng.between(0, 4) as u16,
            within: rng.between(200, 3_000) * MS,
            first: *rng.pick(&[0, 7, u32::MAX - 300, u32::MAX]),
        })
    }

    /// By how much older than without it a value may be that is believed: clocks may drift beside.
    pub(super) fn tolerates(&self) -> u64 {
        self.max_delay.map_or(0, |delay| delay + DRIFT)
    }

    pub(super) fn plan(&self) -> EnvelopePlan {
        EnvelopePlan {
            source: SOURCE.into(),
            check: if self.keyed {
                CheckPlan::HmacSha256 {
                    key_file: "simulated.key".into(),
                }
            } else {
                CheckPlan::Crc32c
            },
            max_delay: self.max_delay.map(DurNs::from_ns),
            budget: ErrorBudget {
                errors: self.errors,
                within: DurNs::from_ns(self.within),
            },
        }
    }
}

/// What drift is excused in the longest run: 1 ms a second.
const DRIFT: u64 = 90 * MS;
