//! When a stop was demanded and when it came, by the station's own stopwatch.

use std::net::SocketAddr;
use std::time::Duration;

use super::map::Table;

/// One write that a station received and executed, or its watchdog's act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// When, since the plant started (monotonic).
    pub at: Duration,
    /// Where to.
    pub table: Table,
    /// Which address.
    pub address: u16,
    /// The value written; a coil is 0 or 1.
    pub value: u16,
    /// Who wrote; `None`: the station's own watchdog.
    pub peer: Option<SocketAddr>,
}

/// What the stopwatch looks at: a float in two holding registers, and the permit that should fall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watch {
    /// First of the two holding registers, most significant word first.
    pub address: u16,
    /// Over-limit means greater than this.
    pub limit: f32,
    /// The coil whose fall ends the measurement.
    pub stop_coil: u16,
    /// The coil's value that means stop.
    pub stop_value: u16,
}

/// The stopwatch: from the reply that first told of the danger to the write that stopped the machine.
///
/// Both ends are taken in the station: the first when the reply's content is fixed, before it is encoded and sent; the
/// second after the write has been received and decoded. So the figure includes the peer's own sending and receiving
/// and never flatters the system under test. It includes a rule's on-delay. Times are since the plant started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StopTiming {
    /// First reply with a value over the limit while the permit was on. May be a lone noise peak.
    pub first_over_limit: Option<Duration>,
    /// First reply of the unbroken run of over-limit replies that the stop ended: what an on-delay counts from.
    pub over_limit_since: Option<Duration>,
    /// When the write that takes the permit away arrived.
    pub stop_written: Option<Duration>,
    /// When the station's own watchdog took the permit away instead.
    pub watchdog_fell: Option<Duration>,
}

impl StopTiming {
    /// From the unbroken over-limit run's first reply to the stop write; `None` until both happened.
    #[must_use]
    pub fn reaction(&self) -> Option<Duration> {
        self.stop_written?.checked_sub(self.over_limit_since?)
    }

    /// From the very first over-limit reply to the stop write: never shorter than [`Self::reaction`].
    #[must_use]
    pub fn from_first_over_limit(&self) -> Option<Duration> {
        self.stop_written?.checked_sub(self.first_over_limit?)
    }

    pub(super) const fn ended(&self) -> bool {
        self.stop_written.is_some() || self.watchdog_fell.is_some()
    }
}
