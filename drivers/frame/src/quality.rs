//! Quality of a sample (NAMUR NE 107, OPC UA Part 8) and the cause when it is not good.

/// Quality of a sample. Ordered: the worse is the greater, so `max` combines two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum Quality {
    /// Fresh, in range, from the device that the pack names.
    Good = 0,
    /// Usable, but the source says it is less than sure (a 64-bit count beyond 2^53).
    Uncertain = 1,
    /// Not a value: out of range, not a number, an exception reply. Votes to trip.
    Bad = 2,
    /// Older than the tag's `stale_after`, or never received. Votes to trip.
    #[default]
    Stale = 3,
}

impl Quality {
    /// Whether the value may be used in a decision: good or uncertain.
    #[inline]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Good | Self::Uncertain)
    }

    /// The word used in packs, on the control socket and in alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Uncertain => "uncertain",
            Self::Bad => "bad",
            Self::Stale => "stale",
        }
    }
}

/// Why a sample is not good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum Cause {
    /// The sample is good.
    #[default]
    None = 0,
    /// No sample has arrived since start.
    NeverReceived = 1,
    /// The newest sample is older than `stale_after`.
    Stale = 2,
    /// Below the tag's valid range.
    BelowRange = 3,
    /// Above the tag's valid range.
    AboveRange = 4,
    /// Not a number or infinite.
    NotFinite = 5,
    /// The device answered the read with a Modbus exception.
    DeviceException = 6,
    /// The payload does not hold what the pack says (missing field, not a number, too short).
    Malformed = 7,
    /// The queue into the lane was full; a frame was lost.
    QueueOverflow = 8,
    /// A 64-bit integer that a 64-bit float cannot hold exactly.
    Inexact = 9,
    /// A loop current of at most 3.6 mA: wire break or failure information (NAMUR NE 43).
    FailureCurrentLow = 10,
    /// A loop current of at least 21 mA: short circuit or failure information (NAMUR NE 43).
    FailureCurrentHigh = 11,
    /// A loop current between 3.6 and 3.8 mA: below what the transmitter measures. Uncertain.
    UnderRange = 12,
    /// A loop current between 20.5 and 21 mA: above what the transmitter measures. Uncertain.
    OverRange = 13,
    /// Changed faster than its quantity can, repeatedly.
    RateOfChange = 14,
    /// Has not moved for too long.
    Frozen = 15,
    /// Its sample is too old beside those of its voting.
    Skew = 16,
    /// Differs too much from the other channels of its voting.
    Deviation = 17,
    /// Was bad, is good, and has not been so for long enough, or waits for acknowledgement.
    Passivated = 18,
    /// Envelope: the check does not fit (corruption).
    Corrupted = 19,
    /// Envelope: a message that came before (repetition).
    Repeated = 20,
    /// Envelope: out of order.
    WrongSequence = 21,
    /// Envelope: messages are missing (loss).
    Lost = 22,
    /// Envelope: on its way for too long.
    Delayed = 23,
    /// Envelope: from a source that is not ours, on our topic (insertion).
    Inserted = 24,
    /// Envelope: claims our source, cannot prove it (masquerade).
    Masquerade = 25,
    /// Envelope: meant for another topic (addressing).
    WrongAddress = 26,
    /// The analyzer that derives it failed in this frame, or its canary was missed.
    AnalyzerFailed = 27,
    /// The analyzer that derives it says so itself.
    AnalyzerSays = 28,
    /// A waveform whose source samples at another rate than the pack says.
    WrongRate = 29,
}

impl Cause {
    /// The words used on the control socket and in alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NeverReceived => "never received",
            Self::Stale => "stale",
            Self::BelowRange => "below range",
            Self::AboveRange => "above range",
            Self::NotFinite => "not a finite number",
            Self::DeviceException => "device answered with an exception",
            Self::Malformed => "malformed payload",
            Self::QueueOverflow => "lost in a full queue",
            Self::Inexact => "not exactly representable",
            Self::FailureCurrentLow => "failure current, low (wire break)",
            Self::FailureCurrentHigh => "failure current, high (short circuit)",
            Self::UnderRange => "under-range",
            Self::OverRange => "over-range",
            Self::RateOfChange => "implausible rate of change",
            Self::Frozen => "frozen",
            Self::Skew => "too old beside its voting",
            Self::Deviation => "deviates from its voting",
            Self::Passivated => "passivated",
            Self::Corrupted => "corrupted message",
            Self::Repeated => "repeated message",
            Self::WrongSequence => "message out of order",
            Self::Lost => "messages lost",
            Self::Delayed => "message delayed",
            Self::Inserted => "message of a foreign source",
            Self::Masquerade => "message that cannot prove its source",
            Self::WrongAddress => "message for another topic",
            Self::AnalyzerFailed => "the analyzer failed",
            Self::AnalyzerSays => "the analyzer says so",
            Self::WrongRate => "sampled at another rate than the pack says",
        }
    }
}
