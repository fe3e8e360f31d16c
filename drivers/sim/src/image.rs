//! One Modbus station as memory: its tables, permits with their watchdog, scripted faults, the record of writes, and the
//! stopwatch. Pure: time comes in as the duration since the plant started.
//!
//! Which thread: the plant's, behind a mutex. May it block: no. Hazards made here: H-2, H-10, H-21, H-57, H-58, H-59,
//! H-60, H-63, H-64.

mod contacts;
mod map;
mod timing;
mod watchdog;

pub use contacts::{Feedback, Rival};
pub use map::{Answering, Block, Permit, Refusal, StationMap, Table};
pub use timing::{StopTiming, Watch, Write};
pub use watchdog::StationWatchdog;

use crate::limits::WRITES_KEPT;
use contacts::Contact;
use map::Cells;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// A station's memory.
#[derive(Clone, Debug)]
pub struct Image {
    map: StationMap,
    coils: Cells,
    discrete_inputs: Cells,
    input_registers: Cells,
    holding_registers: Cells,
    /// When each permit of the map was last written; `None`: never, or fallen.
    written: Vec<Option<Duration>>,
    watchdog: Duration,
    station_watchdog: Option<watchdog::Watchdog>,
    contacts: Vec<Contact>,
    /// Another master, and when it writes next.
    rival: Option<(Rival, Duration)>,
    answering: Answering,
    /// What is served instead of the true value: frozen cells and forced bit patterns.
    overrides: BTreeMap<(Table, u16), u16>,
    /// Cells whose module was taken out: a read of them is refused with exception 2.
    absent: BTreeSet<(Table, u16)>,
    writes: VecDeque<Write>,
    writes_total: u64,
    watch: Option<Watch>,
    timing: StopTiming,
}

impl Image {
    /// A station at power-up: everything zero, permits at their safe value.
    #[must_use]
    pub fn new(map: StationMap, watch: Option<Watch>) -> Self {
        let mut image = Self {
            coils: Cells::new(map.coils),
            discrete_inputs: Cells::new(map.discrete_inputs),
            input_registers: Cells::new(map.input_registers),
            holding_registers: Cells::new(map.holding_registers),
            written: vec![None; map.permits.len()],
            watchdog: map.watchdog,
            station_watchdog: map.station_watchdog.map(watchdog::Watchdog::new),
            contacts: map.feedbacks.iter().copied().map(Contact::new).collect(),
            rival: None,
            answering: Answering::Normally,
            overrides: BTreeMap::new(),
            absent: BTreeSet::new(),
            writes: VecDeque::with_capacity(WRITES_KEPT),
            writes_total: 0,
            watch,
            timing: StopTiming::default(),
            map,
        };
        for permit in image.map.permits.clone() {
            image.set(permit.table, permit.address, permit.safe);
        }
        image.show_watchdog();
        image.move_contacts(Duration::ZERO);
        image
    }

    /// Switches the station off and on: outputs and watchdog are as at power-up. What its inputs show stays. Connections
    /// are the server's.
    pub fn power_cycle(&mut self, now: Duration) {
        for permit in self.map.permits.clone() {
            self.set(permit.table, permit.address, permit.safe);
        }
        self.written.fill(None);
        self.watchdog = self.map.watchdog;
        self.show_watchdog();
        if let Some(watchdog) = &mut self.station_watchdog {
            watchdog.power_cycle();
        }
        self.move_contacts(now);
    }

    /// Welds the contacts of every feedback on this input, or frees them (H-59): welded, they stay as they are.
    pub fn set_welded(&mut self, input: u16, welded: bool) {
        for contact in &mut self.contacts {
            if contact.wiring.input == input {
                contact.welded = welded;
            }
        }
    }

    /// Lets another master write, beginning now, or ends it (H-60).
    pub fn set_rival(&mut self, rival: Option<Rival>, now: Duration) {
        self.rival = rival.map(|rival| (rival, now));
    }

    /// A telegram with this function code arrived: what watchdogs of named stations are fed by. Before it is executed.
    pub fn heard(&mut self, now: Duration, function: u8) {
        self.expire(now);
        if let Some(watchdog) = &mut self.station_watchdog {
            watchdog.heard(now, function);
        }
    }

    /// The unit identifier the station answers to.
    #[must_use]
    pub const fn unit(&self) -> u8 {
        self.map.unit
    }

    /// How the station answers now.
    #[must_use]
    pub const fn answering(&self) -> Answering {
        self.answering
    }

    /// Changes how the station answers.
    pub const fn set_answering(&mut self, answering: Answering) {
        self.answering = answering;
    }

    /// The plant's side: the true value of a cell, whatever is served. `None`: no such address.
    #[must_use]
    pub fn get(&self, table: Table, address: u16) -> Option<u16> {
        self.cells(table).get(address)
    }

    /// The plant's side: sets a cell, also one that peers may only read. Not a write: neither recorded nor watched, and
    /// it feeds no watchdog. An address that does not exist is ignored.
    pub fn set(&mut self, table: Table, address: u16, value: u16) {
        self.cells_mut(table).set(address, value);
    }

    /// Sets a float in two holding registers, most significant word first.
    pub fn set_f32(&mut self, address: u16, value: f32) {
        let [high, low] = words(value);
        self.set(Table::HoldingRegister, address, high);
        self.set(Table::HoldingRegister, address.saturating_add(1), low);
    }

    /// Serves these cells with the value they have now until [`Image::mend`] (H-2).
    pub fn freeze(&mut self, table: Table, first: u16, count: u16) {
        for address in first..first.saturating_add(count) {
            if let Some(value) = self.get(table, address) {
                self.overrides.entry((table, address)).or_insert(value);
            }
        }
    }

    /// Serves the float at this holding register as not-a-number until [`Image::mend`] (H-21).
    pub fn serve_nan(&mut self, address: u16) {
        let [high, low] = words(f32::NAN);
        for (address, word) in [(address, high), (address.saturating_add(1), low)] {
            self.overrides
                .insert((Table::HoldingRegister, address), word);
        }
    }

    /// Takes the input module behind a cell out of the station, or puts it back: a read of it is refused with exception
    /// 2 (H-10).
    pub fn set_absent(&mut self, table: Table, address: u16, absent: bool) {
        if absent {
            self.absent.insert((table, address));
        } else {
            self.absent.remove(&(table, address));
        }
    }

    /// Ends every scripted fault.
    pub fn mend(&mut self) {
        self.overrides.clear();
        self.absent.clear();
        self.answering = Answering::Normally;
    }

    /// Reads cells as a peer does; bits come as 0 or 1.
    ///
    /// # Errors
    /// [`Refusal::IllegalDataValue`] for a quantity of zero or over the standard's limit (2,000 bits, 125 registers),
    /// [`Refusal::IllegalDataAddress`] if any of the addresses does not exist.
    pub fn read(
        &mut self,
        now: Duration,
        table: Table,
        first: u16,
        count: u16,
    ) -> Result<Vec<u16>, Refusal> {
        self.expire(now);
        let most = match table {
            Table::Coil | Table::DiscreteInput => 2_000,
            Table::InputRegister | Table::HoldingRegister => 125,
        };
        if count == 0 || count > most {
            return Err(Refusal::IllegalDataValue);
        }
        if let Some(watchdog) = &mut self.station_watchdog
            && !(table == Table::HoldingRegister && watchdog.read(first).is_some())
        {
            watchdog.process(now, false)?;
        }
        let mut served = Vec::with_capacity(usize::from(count));
        for offset in 0..count {
            let address = first
                .checked_add(offset)
                .ok_or(Refusal::IllegalDataAddress)?;
            if self.absent.contains(&(table, address)) {
                return Err(Refusal::IllegalDataAddress);
            }
            let watchdog = self
                .station_watchdog
                .as_ref()
                .filter(|_| table == Table::HoldingRegister)
                .and_then(|watchdog| watchdog.read(address));
            let real = watchdog
                .or_else(|| self.get(table, address))
                .ok_or(Refusal::IllegalDataAddress)?;
            served.push(
                self.overrides
                    .get(&(table, address))
                    .copied()
                    .unwrap_or(real),
            );
        }
        if table == Table::HoldingRegister {
            self.look(now, first, &served);
        }
        Ok(served)
    }

    /// Writes cells as a peer does. All or none: one bad address refuses the whole request.
    ///
    /// # Errors
    /// [`Refusal::IllegalDataValue`] for no values, [`Refusal::IllegalDataAddress`] if any of the addresses does not
    /// exist or may not be written.
    pub fn write(
        &mut self,
        now: Duration,
        peer: SocketAddr,
        table: Table,
        first: u16,
        values: &[u16],
    ) -> Result<(), Refusal> {
        self.expire(now);
        if values.is_empty() {
            return Err(Refusal::IllegalDataValue);
        }
        if let (Some(watchdog), Table::HoldingRegister, [value]) =
            (&mut self.station_watchdog, table, values)
            && let Some(written) = watchdog.write(now, first, *value)
        {
            return written;
        }
        if let Some(watchdog) = &mut self.station_watchdog {
            watchdog.process(now, true)?;
        }
        let count = u16::try_from(values.len()).map_err(|_| Refusal::IllegalDataValue)?;
        let last = first
            .checked_add(count - 1)
            .ok_or(Refusal::IllegalDataAddress)?;
        if !(first..=last).all(|address| self.may_write(table, address)) {
            return Err(Refusal::IllegalDataAddress);
        }
        if self.answering == Answering::WritesLost {
            return Ok(());
        }
        for (address, value) in (first..=last).zip(values.iter().copied()) {
            self.set(table, address, value);
            self.feed(now, table, address);
            self.time_stop(now, table, address, value, false);
            self.record(Write {
                at: now,
                table,
                address,
                value,
                peer: Some(peer),
            });
        }
        self.move_contacts(now);
        Ok(())
    }

    /// Lets time pass: permits fall whose watchdog time is over (H-63), another master writes, contacts move.
    pub fn expire(&mut self, now: Duration) {
        self.let_rival_write(now);
        self.expire_permits(now);
        if let Some(watchdog) = &mut self.station_watchdog
            && watchdog.runs_out(now)
        {
            for permit in self.map.permits.clone() {
                self.let_fall(now, permit);
            }
        }
        self.move_contacts(now);
    }

    fn let_rival_write(&mut self, now: Duration) {
        let Some((rival, due)) = self.rival.filter(|(_, due)| now >= *due) else {
            return;
        };
        // Time that nobody looked at is not made up for: what it wrote then is written over by what it writes now.
        self.rival = Some((rival, due.max(now) + rival.every));
        self.set(rival.table, rival.address, rival.value);
        self.record(Write {
            at: now,
            table: rival.table,
            address: rival.address,
            value: rival.value,
            peer: Some(Rival::PEER),
        });
    }

    fn move_contacts(&mut self, now: Duration) {
        for index in 0..self.contacts.len() {
            let Some(wiring) = self.contacts.get(index).map(|contact| contact.wiring) else {
                continue;
            };
            let output = self.get(wiring.table, wiring.output);
            if let Some(contact) = self.contacts.get_mut(index) {
                let shows = contact.shows(now, output);
                self.set(Table::DiscreteInput, wiring.input, shows);
            }
        }
    }

    fn let_fall(&mut self, now: Duration, permit: Permit) {
        if self.get(permit.table, permit.address) == Some(permit.safe) {
            return;
        }
        self.set(permit.table, permit.address, permit.safe);
        self.time_stop(now, permit.table, permit.address, permit.safe, true);
        self.record(Write {
            at: now,
            table: permit.table,
            address: permit.address,
            value: permit.safe,
            peer: None,
        });
    }

    fn expire_permits(&mut self, now: Duration) {
        if self.watchdog.is_zero() {
            return;
        }
        for index in 0..self.map.permits.len() {
            let (Some(permit), Some(Some(written))) = (
                self.map.permits.get(index).copied(),
                self.written.get(index).copied(),
            ) else {
                continue;
            };
            if now.saturating_sub(written) < self.watchdog {
                continue;
            }
            if let Some(last) = self.written.get_mut(index) {
                *last = None;
            }
            self.let_fall(now, permit);
        }
    }

    /// The latest writes, oldest first, at most [`WRITES_KEPT`].
    pub fn writes(&self) -> impl DoubleEndedIterator<Item = Write> + '_ {
        self.writes.iter().copied()
    }

    /// How many writes there were in all, those no longer kept included.
    #[must_use]
    pub const fn writes_total(&self) -> u64 {
        self.writes_total
    }

    /// What the stopwatch shows.
    #[must_use]
    pub const fn timing(&self) -> StopTiming {
        self.timing
    }

    /// Sets the stopwatch back to zero, for the next trip.
    pub fn reset_timing(&mut self) {
        self.timing = StopTiming::default();
    }

    const fn cells(&self, table: Table) -> &Cells {
        match table {
            Table::Coil => &self.coils,
            Table::DiscreteInput => &self.discrete_inputs,
            Table::InputRegister => &self.input_registers,
            Table::HoldingRegister => &self.holding_registers,
        }
    }

    const fn cells_mut(&mut self, table: Table) -> &mut Cells {
        match table {
            Table::Coil => &mut self.coils,
            Table::DiscreteInput => &mut self.discrete_inputs,
            Table::InputRegister => &mut self.input_registers,
            Table::HoldingRegister => &mut self.holding_registers,
        }
    }

    fn may_write(&self, table: Table, address: u16) -> bool {
        let exists = self.get(table, address).is_some();
        match table {
            Table::Coil => exists,
            Table::HoldingRegister => {
                let block = self.map.writable;
                exists
                    && address
                        .checked_sub(block.first)
                        .is_some_and(|offset| offset < block.count)
            }
            Table::DiscreteInput | Table::InputRegister => false,
        }
    }

    /// A write to a permit feeds its watchdog; a write to the watchdog register sets the time.
    fn feed(&mut self, now: Duration, table: Table, address: u16) {
        for (permit, written) in self.map.permits.iter().zip(self.written.iter_mut()) {
            if permit.table == table && permit.address == address {
                *written = Some(now);
            }
        }
        if table == Table::HoldingRegister && self.map.watchdog_register == Some(address) {
            let ms = self.get(table, address).unwrap_or(0);
            self.watchdog = Duration::from_millis(u64::from(ms));
        }
    }

    fn show_watchdog(&mut self) {
        if let Some(address) = self.map.watchdog_register {
            let ms = u16::try_from(self.watchdog.as_millis()).unwrap_or(u16::MAX);
            self.set(Table::HoldingRegister, address, ms);
        }
    }

    fn record(&mut self, write: Write) {
        if self.writes.len() == WRITES_KEPT {
            self.writes.pop_front();
        }
        self.writes.push_back(write);
        self.writes_total += 1;
    }

    /// Looks at a reply of holding registers with the stopwatch's eyes.
    fn look(&mut self, now: Duration, first: u16, served: &[u16]) {
        let Some(watch) = self.watch else { return };
        let Some(at) = watch.address.checked_sub(first).map(usize::from) else {
            return;
        };
        let (Some(high), Some(low)) = (served.get(at), served.get(at + 1)) else {
            return;
        };
        let running = self.get(Table::Coil, watch.stop_coil) != Some(watch.stop_value);
        if self.timing.ended() || !running {
            return;
        }
        let value = f32::from_bits((u32::from(*high) << 16) | u32::from(*low));
        if value > watch.limit {
            self.timing.first_over_limit.get_or_insert(now);
            self.timing.over_limit_since.get_or_insert(now);
        } else {
            self.timing.over_limit_since = None;
        }
    }

    fn time_stop(
        &mut self,
        now: Duration,
        table: Table,
        address: u16,
        value: u16,
        by_watchdog: bool,
    ) {
        let Some(watch) = self.watch else { return };
        let stops = table == Table::Coil && address == watch.stop_coil && value == watch.stop_value;
        if !stops || self.timing.ended() || self.timing.first_over_limit.is_none() {
            return;
        }
        if by_watchdog {
            self.timing.watchdog_fell = Some(now);
        } else {
            self.timing.stop_written = Some(now);
        }
    }
}

/// The two words of a float, most significant first.
const fn words(value: f32) -> [u16; 2] {
    let bits = value.to_bits();
    [(bits >> 16) as u16, bits as u16]
}

#[cfg(test)]
mod tests;
