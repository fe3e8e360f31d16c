//! What can be measured: the trait a system under test implements, and the entry that puts it into the rounds.

use std::fmt;
use std::net::SocketAddr;

/// The way a value takes to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Road {
    /// The system reads register 0 of the device over Modbus/TCP.
    Modbus,
    /// The value is published to [`crate::TOPIC`] of a real broker as `{"value":900.0}`.
    Mqtt,
}

/// What an entry is compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The reference of its road: every ratio is taken to it.
    Floor,
    /// A second reference, for reading, not for ratios.
    Bound,
    /// Somebody else's way of doing it.
    Peer,
    /// Tripline, with a pack of this many rules.
    Tripline {
        /// Rules in the pack.
        rules: u32,
    },
    /// Tripline with another setting: for reading, without gates.
    Variant,
}

/// Where a system finds its machine. The same in every round of one run, so a compiled bundle may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// The Modbus/TCP device: value in register 0, limit [`crate::LIMIT`], stop is false in coil 0.
    pub device: SocketAddr,
    /// The MQTT broker (anonymous, no TLS). Present on [`Road::Mqtt`].
    pub broker: Option<SocketAddr>,
    /// The core of the system under test.
    pub cpu: usize,
}

/// Why a system could not be started, reset or kept.
#[derive(Debug)]
pub struct SystemError {
    /// What was being done.
    pub step: &'static str,
    /// What came instead, and how to mend it where that is known.
    pub cause: String,
}

impl SystemError {
    /// An error of `step`.
    pub fn new(step: &'static str, cause: impl fmt::Display) -> Self {
        Self {
            step,
            cause: cause.to_string(),
        }
    }
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.cause)
    }
}

impl std::error::Error for SystemError {}

/// A system that is to stop the device.
///
/// All calls come from one control thread on the device's core, which sleeps while a trial is measured. Every call may
/// block; the device goes on answering meanwhile. After [`start`](Self::start) the system must write true to coil 0
/// when the value is normal, and false when it is above the limit.
pub trait SystemUnderTest: Send {
    /// The name in the table, unique in a run.
    fn name(&self) -> &str;

    /// Starts the system on `site.cpu`, in a process of its own. Called once a round. The first trial begins when this
    /// has returned and coil 0 is true.
    ///
    /// # Errors
    /// When the system cannot be started; its segment of the round is then reported as failed.
    fn start(&mut self, site: Site) -> Result<(), SystemError>;

    /// Makes the system ready for the next demand: called before each trial, at a normal value, never while measured.
    /// A system that resets itself has nothing to do; one that latches is reset here. Returns when the reset has been
    /// accepted; the trial waits for coil 0 to be true as well.
    ///
    /// # Errors
    /// When the reset is refused; the trial is then counted as missed.
    fn rearm(&mut self) -> Result<(), SystemError>;

    /// Ends the system. When this returns, nothing of it runs any more on its core.
    fn stop(&mut self);
}

/// A line of the table: a system, or why there is none.
pub struct Entry {
    pub(crate) name: String,
    pub(crate) road: Road,
    pub(crate) role: Role,
    pub(crate) system: Result<Box<dyn SystemUnderTest>, String>,
}

impl Entry {
    /// A system that takes part.
    pub fn ready(road: Road, role: Role, system: Box<dyn SystemUnderTest>) -> Self {
        Self {
            name: system.name().to_owned(),
            road,
            role,
            system: Ok(system),
        }
    }

    /// A system that ought to take part but cannot; the report says why, and gates that need it are not passed.
    pub fn left_out(
        road: Road,
        role: Role,
        name: impl Into<String>,
        why: impl fmt::Display,
    ) -> Self {
        Self {
            name: name.into(),
            road,
            role,
            system: Err(why.to_string()),
        }
    }
}
