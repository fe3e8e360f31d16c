//! Contactors: a feedback input that follows its coil after a mechanical delay, unless its contacts are welded (H-59).
//! And another master that writes (H-60).

use super::Table;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A discrete input wired to an auxiliary contact of what a coil or register switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Table of the output.
    pub table: Table,
    /// Address of the output.
    pub output: u16,
    /// The output's value that means safe.
    pub safe: u16,
    /// Discrete input of the contact.
    pub input: u16,
    /// The input's value when the actuator is in its safe position.
    pub safe_shows: bool,
    /// From the coil to the contact, in both directions.
    pub delay: Duration,
}

/// Another master that writes one place again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rival {
    /// [`Table::Coil`] or [`Table::HoldingRegister`].
    pub table: Table,
    /// Address.
    pub address: u16,
    /// What it writes.
    pub value: u16,
    /// How often.
    pub every: Duration,
}

impl Rival {
    /// Where its writes come from in the record: an address that no host has (RFC 5737).
    pub const PEER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 502);
}

/// The state of one contact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact {
    pub(super) wiring: Feedback,
    pub(super) welded: bool,
    /// In its safe position.
    is_safe: bool,
    /// Since when the output asks for the other position.
    moving: Option<Duration>,
}

impl Contact {
    pub(super) const fn new(wiring: Feedback) -> Self {
        Self {
            wiring,
            welded: false,
            is_safe: true,
            moving: None,
        }
    }

    /// What the input shows, after the output asked for its position until `now`.
    pub(super) fn shows(&mut self, now: Duration, output: Option<u16>) -> u16 {
        let asked_safe = output == Some(self.wiring.safe);
        if asked_safe == self.is_safe || self.welded {
            self.moving = None;
        } else {
            let since = *self.moving.get_or_insert(now);
            if now.saturating_sub(since) >= self.wiring.delay {
                self.is_safe = asked_safe;
                self.moving = None;
            }
        }
        u16::from(self.is_safe == self.wiring.safe_shows)
    }
}
