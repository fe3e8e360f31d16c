//! What a station has, and what it refuses.

use std::time::Duration;

use super::{Feedback, StationWatchdog};

/// The four tables of the Modbus data model (MODBUS Application Protocol V1.1b3, 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Read-write bits.
    Coil,
    /// Read-only bits.
    DiscreteInput,
    /// Read-only registers.
    InputRegister,
    /// Read-write registers.
    HoldingRegister,
}

/// Why a request is refused, as the exception code of the reply (V1.1b3, 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 0x02: an address of the request does not exist, or may not be written.
    IllegalDataAddress,
    /// 0x03: a quantity of zero or beyond the standard's limit, or a value that the register does not take now.
    IllegalDataValue,
    /// 0x04: the station's watchdog ran out and waits to be reset.
    DeviceFailure,
}

/// Addresses `first..first + count` of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Lowest address, counted from zero.
    pub first: u16,
    /// How many.
    pub count: u16,
}

/// An output that falls to its safe value by itself when it has not been written for the station's watchdog time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// [`Table::Coil`] or [`Table::HoldingRegister`].
    pub table: Table,
    /// Its address.
    pub address: u16,
    /// The value that means stop. Also its value at power-up.
    pub safe: u16,
}

/// What a station has.
#[derive(Clone, Debug, Default)]
pub struct StationMap {
    /// Unit identifier it answers to.
    pub unit: u8,
    /// Coils; all may be written.
    pub coils: Block,
    /// Discrete inputs.
    pub discrete_inputs: Block,
    /// Input registers.
    pub input_registers: Block,
    /// Holding registers; only those in `writable` may be written.
    pub holding_registers: Block,
    /// Holding registers that may be written.
    pub writable: Block,
    /// Outputs under the watchdog.
    pub permits: Vec<Permit>,
    /// Watchdog time at power-up; zero: off.
    pub watchdog: Duration,
    /// Holding register that shows the watchdog time in ms and, when writable, sets it (0: off).
    pub watchdog_register: Option<u16>,
    /// The watchdog of a named station, in its own registers, over all permits. Besides `watchdog`.
    pub station_watchdog: Option<StationWatchdog>,
    /// Inputs that follow outputs.
    pub feedbacks: Vec<Feedback>,
}

/// How the station answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answering {
    /// As the standard says.
    #[default]
    Normally,
    /// Connections stay open, nothing is executed, nothing is answered (H-6). The watchdog goes on.
    Silent,
    /// Every request is refused with this exception code (H-10).
    Exception(u8),
    /// Executed at once, answered this much later (H-7).
    Late(Duration),
    /// Writes are answered as done but not done (H-58).
    WritesLost,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    pub(super) first: u16,
    pub(super) values: Vec<u16>,
}

impl Cells {
    pub(super) fn new(block: Block) -> Self {
        Self {
            first: block.first,
            values: vec![0; usize::from(block.count)],
        }
    }

    pub(super) fn index(&self, address: u16) -> Option<usize> {
        let index = usize::from(address.checked_sub(self.first)?);
        (index < self.values.len()).then_some(index)
    }

    pub(super) fn get(&self, address: u16) -> Option<u16> {
        self.values.get(self.index(address)?).copied()
    }

    pub(super) fn set(&mut self, address: u16, value: u16) {
        if let Some(index) = self.index(address)
            && let Some(cell) = self.values.get_mut(index)
        {
            *cell = value;
        }
    }
}
