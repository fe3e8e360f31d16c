//! Watchdogs of named stations, as their manuals describe them. Pure: time comes in.
//!
//! | station | source |
//! |---|---|
//! | WAGO 750 | manuals 750-352 (1.3.0) and 750-880 (1.0.1), "Watchdog (fieldbus failure)" and "Watchdog register" |
//! | Turck | FGEN multiprotocol D301271, 9.5 "Error behavior of outputs"; TBEN-L, "Modbus registers" |
//! | Beckhoff BK | Information System, BK9000/BC9000 "Modbus TCP interface", BK7300 manual, appendix |
//!
//! What the manuals leave open is chosen so that a careless master is caught: a register that may not be changed now is
//! refused with exception 3; after an expiry process data is refused with exception 4 until the watchdog is reset.

use super::Refusal;
use std::time::Duration;

/// Which station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StationWatchdog {
    /// Off after power-up; started through `0x1003`; fed by the functions of the mask in `0x1001`.
    Wago750,
    /// Off after power-up (time 0); on as soon as `0x1120` holds a time; fed by any telegram.
    Turck,
    /// On after power-up with 1 s; runs from the first write of process data; fed by any telegram (`0x1122` = 1) or by
    /// writes only (0); the time is kept.
    BeckhoffBk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Off,
    Running,
    Expired,
}

#[derive(Clone, Debug)]
pub(super) struct Watchdog {
    kind: StationWatchdog,
    state: State,
    fed: Duration,
    /// The register's value, in its unit.
    time: u16,
    /// WAGO: functions that feed. Beckhoff: the type.
    mode: u16,
    /// WAGO: the trigger's last value. Beckhoff: the reset's first word.
    last: u16,
}

/// A function code of Modbus that changes process data.
const fn writes(function: u8) -> bool {
    matches!(function, 5 | 6 | 15 | 16)
}

impl Watchdog {
    pub(super) const fn new(kind: StationWatchdog) -> Self {
        let (time, mode) = match kind {
            StationWatchdog::Wago750 => (0x64, 0),
            StationWatchdog::Turck => (0, 0),
            StationWatchdog::BeckhoffBk => (1_000, 1),
        };
        Self {
            kind,
            state: State::Off,
            fed: Duration::ZERO,
            time,
            mode,
            last: 0,
        }
    }

    /// Switched off and on: what the station does not keep is at its default.
    pub(super) const fn power_cycle(&mut self) {
        let (time, mode) = (self.time, self.mode);
        *self = Self::new(self.kind);
        if matches!(self.kind, StationWatchdog::BeckhoffBk) {
            (self.time, self.mode) = (time, mode);
        }
    }

    fn limit(&self) -> Duration {
        let unit = match self.kind {
            StationWatchdog::Wago750 => 100,
            StationWatchdog::Turck | StationWatchdog::BeckhoffBk => 1,
        };
        Duration::from_millis(u64::from(self.time) * unit)
    }

    /// Whether the outputs fall now. Once for each time it runs out.
    pub(super) fn runs_out(&mut self, now: Duration) -> bool {
        let over = self.state == State::Running && now.saturating_sub(self.fed) >= self.limit();
        if over {
            self.state = State::Expired;
        }
        over
    }

    /// A telegram arrived.
    pub(super) fn heard(&mut self, now: Duration, function: u8) {
        let feeds = match self.kind {
            StationWatchdog::Wago750 => {
                (1..=16).contains(&function) && self.mode >> (function - 1) & 1 == 1
            }
            StationWatchdog::Turck => true,
            StationWatchdog::BeckhoffBk => self.mode == 1 || writes(function),
        };
        if feeds && self.state == State::Running {
            self.fed = now;
        }
    }

    /// Process data is about to be read or written.
    ///
    /// # Errors
    /// [`Refusal::DeviceFailure`] after an expiry, where the station stays in it.
    pub(super) fn process(&mut self, now: Duration, write: bool) -> Result<(), Refusal> {
        let refuses = match self.kind {
            StationWatchdog::Wago750 => true,
            StationWatchdog::BeckhoffBk => write,
            StationWatchdog::Turck => false,
        };
        if self.state == State::Expired && refuses {
            return Err(Refusal::DeviceFailure);
        }
        let starts = match self.kind {
            StationWatchdog::Wago750 => false,
            StationWatchdog::Turck => self.state == State::Expired,
            StationWatchdog::BeckhoffBk => write && self.mode != 2,
        };
        if starts && self.state != State::Running {
            self.state = State::Running;
            self.fed = now;
        }
        Ok(())
    }

    /// A register of the watchdog; `None` when it is none of them.
    pub(super) fn read(&self, address: u16) -> Option<u16> {
        Some(match (self.kind, address) {
            (StationWatchdog::Wago750, 0x1000) => self.time,
            (StationWatchdog::Wago750, 0x1001) => self.mode,
            (StationWatchdog::Wago750, 0x1003) => self.last,
            (StationWatchdog::Wago750, 0x1006) => match self.state {
                State::Off => 0,
                State::Running => 1,
                State::Expired => 2,
            },
            (StationWatchdog::Wago750, 0x1007 | 0x1008) => 0,
            (StationWatchdog::Turck | StationWatchdog::BeckhoffBk, 0x1120) => self.time,
            (StationWatchdog::BeckhoffBk, 0x1121) => self.last,
            (StationWatchdog::BeckhoffBk, 0x1122) => self.mode,
            _ => return None,
        })
    }

    /// Writes a register of the watchdog; `None` when it is none of them.
    pub(super) fn write(
        &mut self,
        now: Duration,
        address: u16,
        value: u16,
    ) -> Option<Result<(), Refusal>> {
        self.read(address)?;
        Some(match self.kind {
            StationWatchdog::Wago750 => self.write_wago(now, address, value),
            StationWatchdog::Turck => {
                self.time = value;
                self.fed = now;
                self.state = if value == 0 {
                    State::Off
                } else {
                    State::Running
                };
                Ok(())
            }
            StationWatchdog::BeckhoffBk => self.write_beckhoff(address, value),
        })
    }

    fn write_wago(&mut self, now: Duration, address: u16, value: u16) -> Result<(), Refusal> {
        match (address, value) {
            (0x1000 | 0x1001, _) if self.state == State::Running => {
                return Err(Refusal::IllegalDataValue);
            }
            (0x1000, time) => self.time = time,
            (0x1001, mask) => self.mode = mask,
            (0x1003, value) => {
                let differs = value != self.last;
                self.last = value;
                if value != 0 && differs && self.time != 0 {
                    self.state = State::Running;
                    self.fed = now;
                }
            }
            (0x1007, 1) if self.state == State::Expired => {
                self.state = State::Running;
                self.fed = now;
            }
            (0x1008, 0x55AA | 0xAA55) => self.state = State::Off,
            (0x1006, _) => return Err(Refusal::IllegalDataAddress),
            _ => return Err(Refusal::IllegalDataValue),
        }
        Ok(())
    }

    fn write_beckhoff(&mut self, address: u16, value: u16) -> Result<(), Refusal> {
        match (address, value) {
            (0x1120, time) if self.state != State::Running => self.time = time,
            (0x1121, 0xBECF) => self.last = value,
            (0x1121, 0xAFFE) if self.last == 0xBECF => {
                self.last = 0;
                self.state = State::Off;
            }
            (0x1122, 0..=2) => self.mode = value,
            _ => return Err(Refusal::IllegalDataValue),
        }
        Ok(())
    }
}
