//! What can go wrong in the simulated world.

/// A fault that a host, or the guard itself, is in for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// No reply (H-6).
    NoReply,
    /// A reply after its deadline (H-7).
    LateReply,
    /// A reply with another transaction id (H-7).
    ForeignTransaction,
    /// A reply of another unit (H-8).
    WrongUnit,
    /// A reply to another function (H-8).
    WrongFunction,
    /// One register too few (H-9).
    ShortReply,
    /// One register too many (H-9).
    LongReply,
    /// An exception (H-10).
    Exception,
    /// An exception to reads of bits alone: switches, buttons and feedbacks are lost, levels are not (H-10).
    BitsRefused,
    /// A length field that cannot be (H-11).
    BadLength,
    /// Half a reply, then silence (H-12).
    TornFrame,
    /// Each reply twice (H-13).
    Duplicate,
    /// The reply before this one, once more, in front of it (H-13).
    Repeated,
    /// A byte every 10 ms (H-14).
    Loris,
    /// The connection is reset (H-15).
    Reset,
    /// Nothing gets through in either direction (H-15).
    Partition,
    /// Connections are refused (H-16).
    Refusing,
    /// A number beyond the tag's range (H-1).
    OutOfRange,
    /// Not a number (H-21).
    NotFinite,
    /// The value stands still (H-2). Only where the pack says how long it may.
    Frozen,
    /// Single values jump (H-4). Only where the pack says how fast they may.
    Spikes,
    /// The write takes effect, its echo never comes (H-57).
    EchoLost,
    /// The write has no effect and no answer (H-57).
    WriteLost,
    /// The echo names another value (H-57).
    EchoWrong,
    /// The write is answered by an exception (H-57).
    EchoException,
    /// The echo is right, and the coil does not change (H-58). Only where the place is read back.
    EchoLies,
    /// The contactor stays closed when its coil falls (H-59). Only where there is a feedback.
    Welded,
    /// The device's watchdog is not armed any more (H-64). Only where its registers are read.
    WatchdogLapsed,
    /// Another master writes the permit (H-60).
    OtherMaster,
    /// The device restarts: its coils fall, its connections end (H-64).
    DeviceRestart,
    /// A message that the broker kept (H-18).
    Retained,
    /// A message that may have come before (H-18).
    Redelivered,
    /// A payload that is no number (H-21).
    Malformed,
    /// One sensor says nothing any more (H-17).
    SensorSilent,
    /// Enveloped messages are damaged (H-21).
    Corrupted,
    /// Enveloped messages come twice (H-18).
    Repeatedly,
    /// Enveloped messages of earlier come again (H-18).
    Recorded,
    /// Enveloped messages overtake one another (H-19).
    Overtaken,
    /// Enveloped messages are lost (H-17).
    Lost,
    /// Enveloped messages are held up beyond their `max_delay`. Only where the pack has one.
    HeldUp,
    /// Another source publishes too (H-20).
    Inserted,
    /// Somebody without the key publishes under the source's name (H-20). Only where there is a key.
    Masquerade,
    /// Messages of another topic (addressing).
    Misaddressed,
    /// The source's clock is wrong (H-24).
    SourceClock,
    /// The source begins anew.
    SourceAnew,
    /// The lane's thread does not run (H-31).
    Hang,
    /// The guard's process dies and is started again (H-63).
    Crash,
}

impl Fault {
    /// Those of an input device.
    pub const INPUT: &'static [Self] = &[
        Self::NoReply,
        Self::LateReply,
        Self::ForeignTransaction,
        Self::WrongUnit,
        Self::WrongFunction,
        Self::ShortReply,
        Self::LongReply,
        Self::Exception,
        Self::BitsRefused,
        Self::BadLength,
        Self::TornFrame,
        Self::Duplicate,
        Self::Repeated,
        Self::Loris,
        Self::Reset,
        Self::Partition,
        Self::Refusing,
        Self::OutOfRange,
        Self::NotFinite,
        Self::Frozen,
        Self::Spikes,
    ];
    /// Those of an output device.
    pub const OUTPUT: &'static [Self] = &[
        Self::EchoLost,
        Self::WriteLost,
        Self::EchoWrong,
        Self::EchoException,
        Self::Reset,
        Self::Partition,
        Self::Refusing,
        Self::EchoLies,
        Self::Welded,
        Self::WatchdogLapsed,
        Self::OtherMaster,
        Self::DeviceRestart,
        Self::Duplicate,
    ];
    /// Those of a broker.
    pub const BROKER: &'static [Self] = &[
        Self::Retained,
        Self::Redelivered,
        Self::Malformed,
        Self::SensorSilent,
        Self::Reset,
        Self::Partition,
        Self::Refusing,
        Self::OutOfRange,
        Self::NotFinite,
        Self::Frozen,
        Self::Spikes,
        Self::Corrupted,
        Self::Repeatedly,
        Self::Recorded,
        Self::Overtaken,
        Self::Lost,
        Self::HeldUp,
        Self::Inserted,
        Self::Masquerade,
        Self::Misaddressed,
        Self::SourceClock,
        Self::SourceAnew,
    ];

    /// Of these, what a network or a stranger does to single enveloped messages.
    pub const ON_THE_WAY: &'static [Self] = &[
        Self::Corrupted,
        Self::Repeatedly,
        Self::Recorded,
        Self::Overtaken,
        Self::Lost,
        Self::HeldUp,
        Self::Inserted,
        Self::Masquerade,
        Self::Misaddressed,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoReply => "no reply",
            Self::LateReply => "late reply",
            Self::ForeignTransaction => "foreign transaction",
            Self::WrongUnit => "wrong unit",
            Self::WrongFunction => "wrong function",
            Self::ShortReply => "short reply",
            Self::LongReply => "long reply",
            Self::Exception => "exception",
            Self::BitsRefused => "bits refused",
            Self::BadLength => "impossible length",
            Self::TornFrame => "torn frame",
            Self::Duplicate => "duplicate reply",
            Self::Repeated => "repeated old reply",
            Self::Loris => "one byte at a time",
            Self::Reset => "connection reset",
            Self::Partition => "partition",
            Self::Refusing => "connection refused",
            Self::OutOfRange => "out of range",
            Self::NotFinite => "not a number",
            Self::Frozen => "sensor frozen",
            Self::Spikes => "spikes",
            Self::EchoLost => "echo lost",
            Self::WriteLost => "write lost",
            Self::EchoWrong => "wrong echo",
            Self::EchoException => "write refused",
            Self::EchoLies => "echo right, coil unchanged",
            Self::Welded => "contactor welded",
            Self::WatchdogLapsed => "device watchdog lapsed",
            Self::OtherMaster => "another master",
            Self::DeviceRestart => "device restarts",
            Self::Retained => "retained message",
            Self::Redelivered => "redelivered message",
            Self::Malformed => "malformed payload",
            Self::SensorSilent => "sensor silent",
            Self::Corrupted => "message corrupted",
            Self::Repeatedly => "message repeated",
            Self::Recorded => "recording sent again",
            Self::Overtaken => "messages out of order",
            Self::Lost => "messages lost",
            Self::HeldUp => "message held up",
            Self::Inserted => "message of another source",
            Self::Masquerade => "message under a false name",
            Self::Misaddressed => "message of another topic",
            Self::SourceClock => "source's clock wrong",
            Self::SourceAnew => "source begins anew",
            Self::Hang => "lane hangs",
            Self::Crash => "guard dies",
        }
    }
}
