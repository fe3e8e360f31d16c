//! The envelope of a topic's messages: who sent it, in which order, undamaged (`docs/mqtt-envelope.md`).
//!
//! ```text
//! TLE1 <source> <sequence> <time-ns> <check-hex>\n<payload>
//! ```
//!
//! The check is over `<topic>\nTLE1 <source> <sequence> <time-ns>\n<payload>`. There is one way to write a message: no
//! leading zeros, lower-case digits, single spaces. What is written otherwise is damaged.
//!
//! The errors of a communication channel are those that OPC UA Safety (OPC 10000-15, 5.2) and IEC 61784-3 list; what each
//! one leads to is [`EnvelopeError::reaction`]. Errors are counted and the message is dropped; when more than the budget
//! fall into its span, the topic's tags are bad until they are fewer and a good message arrives.
//!
//! Which thread: acquisition or a lane (receiving), any (sealing). May it block: no. Nothing of the receiving side allocates after
//! construction. Worst case: two passes of the check over the largest packet.
//! Hazards: H-17 (loss), H-18 (repetition, recordings), H-19 (order), H-20 (insertion, masquerade), H-21 (damage),
//! H-24 (the source's clock).

mod budget;
mod order;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use wire::is_source;
pub use wire::{Check, Header, Letter, Sealer, open};

use crate::config::{ConfigError, EnvelopeConfig, ErrorBudget};
use crate::counters::{EnvelopeCounters, count};
use budget::Budget;
use drivers_frame::{Cause, MonoNs, planted};
use order::{Order, Place};

/// What can go wrong with a message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnvelopeError {
    /// The header is not one, or the check does not fit.
    Corruption,
    /// This sequence number was taken before.
    Repetition,
    /// Older than the newest that was taken, or a recording.
    WrongSequence,
    /// Messages before this one are missing, or the source began anew.
    Loss,
    /// On its way for longer than the fastest by more than `max_delay`.
    Delay,
    /// Of a source that is not ours.
    Insertion,
    /// Names our source and cannot prove it.
    Masquerade,
    /// Fits another of our topics.
    Addressing,
}

/// What an error leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// Whether the message that showed the error is taken all the same, within the budget.
    pub taken: bool,
    /// What the tags say beyond the budget.
    pub cause: Cause,
}

impl EnvelopeError {
    /// Every error.
    pub const ALL: [Self; 8] = [
        Self::Corruption,
        Self::Repetition,
        Self::WrongSequence,
        Self::Loss,
        Self::Delay,
        Self::Insertion,
        Self::Masquerade,
        Self::Addressing,
    ];

    /// The table of reactions. All errors count against the budget, a loss once for each message that is missing.
    pub const fn reaction(self) -> Reaction {
        let (taken, cause) = match self {
            Self::Corruption => (false, Cause::Corrupted),
            Self::Repetition => (false, Cause::Repeated),
            Self::WrongSequence => (false, Cause::WrongSequence),
            Self::Loss => (true, Cause::Lost),
            Self::Delay => (false, Cause::Delayed),
            Self::Insertion => (false, Cause::Inserted),
            Self::Masquerade => (false, Cause::Masquerade),
            Self::Addressing => (false, Cause::WrongAddress),
        };
        Reaction { taken, cause }
    }
}

impl EnvelopeCounters {
    /// How often `error` was seen; a loss counts the messages that are missing.
    pub const fn of(&self, error: EnvelopeError) -> u64 {
        match error {
            EnvelopeError::Corruption => self.corrupted,
            EnvelopeError::Repetition => self.repeated,
            EnvelopeError::WrongSequence => self.wrong_sequence,
            EnvelopeError::Loss => self.lost,
            EnvelopeError::Delay => self.delayed,
            EnvelopeError::Insertion => self.inserted,
            EnvelopeError::Masquerade => self.masquerade,
            EnvelopeError::Addressing => self.wrong_address,
        }
    }

    fn add(&mut self, error: EnvelopeError, times: u64) {
        let counter = match error {
            EnvelopeError::Corruption => &mut self.corrupted,
            EnvelopeError::Repetition => &mut self.repeated,
            EnvelopeError::WrongSequence => &mut self.wrong_sequence,
            EnvelopeError::Loss => &mut self.lost,
            EnvelopeError::Delay => &mut self.delayed,
            EnvelopeError::Insertion => &mut self.inserted,
            EnvelopeError::Masquerade => &mut self.masquerade,
            EnvelopeError::Addressing => &mut self.wrong_address,
        };
        *counter = counter.saturating_add(times);
    }
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'m> {
    /// This payload is the source's newest.
    Take(&'m [u8]),
    /// Nothing: it was dropped and counted.
    Drop,
    /// The budget is used up: the topic's tags are bad, whatever the message was.
    Bad(Cause),
}

/// The receiving side of one topic.
#[derive(Debug)]
pub struct Envelope {
    source: Box<str>,
    check: Check,
    order: Order,
    budget: Budget,
    /// The last error's.
    cause: Cause,
    /// Whether the last verdict was bad.
    bad: bool,
}

impl Envelope {
    /// Reserves everything.
    ///
    /// # Errors
    /// [`ConfigError::Key`].
    pub fn new(config: &EnvelopeConfig) -> Result<Self, ConfigError> {
        let ErrorBudget { errors, within } = config.budget;
        Ok(Self {
            source: config.source.as_str().into(),
            check: Check::new(&config.check)?,
            order: Order::new(config.max_delay, within),
            budget: Budget::new(errors, within),
            cause: Cause::None,
            bad: false,
        })
    }

    /// The only source that is taken.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether `letter` was written for `topic` by someone who can compute this envelope's check.
    pub fn fits(&self, topic: &str, letter: &Letter<'_>) -> bool {
        self.check.fits(topic, letter)
    }

    /// What `message` claims to be, and whether it can prove that. Nothing changes by it.
    ///
    /// `elsewhere` says whether it was meant for another topic of ours; it is asked only when the check does not fit.
    ///
    /// # Errors
    /// [`EnvelopeError`]: damage, insertion, masquerade, addressing.
    pub fn judge<'m>(
        &self,
        topic: &str,
        message: &'m [u8],
        elsewhere: impl FnOnce(&Letter<'m>) -> bool,
    ) -> Result<Letter<'m>, EnvelopeError> {
        let letter = open(message).ok_or(EnvelopeError::Corruption)?;
        let ours = letter.header.source == &*self.source || planted!(EnvelopeSourceIgnored);
        if self.fits(topic, &letter) || planted!(EnvelopeCheckIgnored) {
            return if ours {
                Ok(letter)
            } else {
                Err(EnvelopeError::Insertion)
            };
        }
        if elsewhere(&letter) {
            if planted!(EnvelopeTopicIgnored) {
                return Ok(letter);
            }
            return Err(EnvelopeError::Addressing);
        }
        Err(match (&self.check, ours) {
            // Damage to a message of ours looks like this too: who has no key cannot be told from a broken wire.
            (Check::HmacSha256(_), true) => EnvelopeError::Masquerade,
            (Check::HmacSha256(_), false) => EnvelopeError::Insertion,
            (Check::Crc32c, _) => EnvelopeError::Corruption,
        })
    }

    /// Decides on a message that arrived `at`, and remembers it.
    pub fn admit<'m>(
        &mut self,
        judged: Result<Letter<'m>, EnvelopeError>,
        at: MonoNs,
        counters: &mut EnvelopeCounters,
    ) -> Verdict<'m> {
        let taken = match judged {
            Err(error) => {
                self.error(error, 1, at, counters);
                None
            }
            Ok(letter) => self
                .place(&letter.header, at, counters)
                .then_some(letter.payload),
        };
        if self.budget.is_exceeded(at) && !planted!(EnvelopeBudgetEndless) {
            if !self.bad {
                count(&mut counters.budgets_exceeded);
            }
            self.bad = true;
            return Verdict::Bad(self.cause);
        }
        match taken {
            Some(payload) => {
                self.bad = false;
                Verdict::Take(payload)
            }
            None => Verdict::Drop,
        }
    }

    /// Whether an undamaged message of ours is the newest, and in time.
    fn place(&mut self, header: &Header<'_>, at: MonoNs, counters: &mut EnvelopeCounters) -> bool {
        let seen = self
            .order
            .place(header.sequence, header.time_ns, at.as_ns());
        if seen.clock_jump {
            count(&mut counters.clock_jumps);
        }
        let error = match seen.place {
            Place::Next { lost: 0 } => None,
            Place::Next { lost } => Some((EnvelopeError::Loss, u64::from(lost))),
            Place::Restart { lost } => {
                count(&mut counters.source_restarts);
                Some((EnvelopeError::Loss, u64::from(lost)))
            }
            Place::Seen | Place::Old if planted!(EnvelopeOrderIgnored) => None,
            Place::Seen => Some((EnvelopeError::Repetition, 1)),
            Place::Old => Some((EnvelopeError::WrongSequence, 1)),
        };
        let mut taken = true;
        if let Some((error, times)) = error {
            self.error(error, times, at, counters);
            taken = error.reaction().taken;
        }
        if taken && seen.delayed && !planted!(EnvelopeDelayIgnored) {
            self.error(EnvelopeError::Delay, 1, at, counters);
            taken = EnvelopeError::Delay.reaction().taken;
        }
        taken
    }

    fn error(
        &mut self,
        error: EnvelopeError,
        times: u64,
        at: MonoNs,
        counters: &mut EnvelopeCounters,
    ) {
        counters.add(error, times);
        if error != EnvelopeError::Loss || !planted!(EnvelopeLossUncounted) {
            self.budget.spend(times, at);
        }
        self.cause = error.reaction().cause;
    }
}
