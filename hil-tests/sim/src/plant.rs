//! The devices: what they answer, and what they do instead while something is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use drivers_modbus::codec::server::{self, Request, RequestBody};
use drivers_modbus::codec::{ReadRequest, Table, WriteRequest};
use rules_bundle::LinkPlan;

use crate::fault::Fault;
use crate::net::Net;
use crate::reading::{self, FOREIGN, Readings};
use crate::rng::Rng;
use crate::scenario::{GRAIN, Kind, MS, Origin, Scenario, Tag};

/// One coil with its watchdog.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    on: bool,
    until: u64,
}

impl Place {
    /// Whether the machine behind it may run now.
    pub fn energised(&self, now: u64) -> bool {
        self.on && now <= self.until
    }

    /// A write of either value at `now`, held for `lasting`.
    pub fn write(&mut self, on: bool, now: u64, lasting: u64) {
        *self = Self {
            on,
            until: now + lasting,
        };
    }
}

/// Something wrong with a host, until when.
#[derive(Clone, Copy, Debug)]
pub struct Wrong {
    /// What.
    pub fault: Fault,
    /// Until when.
    pub until: u64,
}

/// A host's memory between requests.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// What was written to its watchdog registers since it started.
    pub registers: BTreeMap<u16, u16>,
    /// What is wrong with it.
    pub wrong: Option<Wrong>,
    /// The last right reply, and its connection.
    last_reply: (usize, Vec<u8>),
    /// Where sensors that stand still stand.
    stuck: BTreeMap<usize, f64>,
    /// Tags whose newest reading was a spike.
    spiked: BTreeSet<usize>,
    /// Connections that subscribed (a broker's).
    pub subscribed: Vec<usize>,
}

impl Host {
    /// The fault that holds now.
    pub fn fault(&self, now: u64) -> Option<Fault> {
        self.wrong
            .filter(|wrong| now < wrong.until)
            .map(|wrong| wrong.fault)
    }

    /// What a sensor shows while the plant is at `level`, and whether it stands still: it moves a little with each
    /// reading where its pack expects that, and never across a whole number, on which all limits lie.
    pub fn show(
        &mut self,
        now: u64,
        tag: usize,
        known: &Tag,
        level: f64,
        rng: &mut Rng,
    ) -> (f64, bool) {
        let fault = self.fault(now);
        let stuck = fault == Some(Fault::Frozen) && known.frozen.is_some();
        if !stuck {
            self.stuck.remove(&tag);
        }
        let spiked = self.spiked.remove(&tag);
        if known.frozen.is_some() {
            let alive = level.floor() + rng.between(1, 1_023) as f64 * GRAIN;
            return (
                if stuck {
                    *self.stuck.entry(tag).or_insert(alive)
                } else {
                    alive
                },
                stuck,
            );
        }
        // One at a time: several in a row are a step.
        if fault == Some(Fault::Spikes) && known.rate.is_some() && !spiked && rng.chance(300) {
            self.spiked.insert(tag);
            return ((level + 40.0).min(99.0), false);
        }
        (level, false)
    }
}

/// What an input device needs of the plant to answer.
pub struct Sensors<'a> {
    /// What there is.
    pub scenario: &'a Scenario,
    /// Each tag's level now.
    pub levels: &'a [f64],
    /// Each tag's readings.
    pub readings: &'a mut [Readings],
    /// Whether each output's contactor is closed.
    pub closed: &'a [bool],
}

fn words(value: f64) -> [u16; 4] {
    let bits = value.to_bits();
    [48, 32, 16, 0].map(|shift| (bits >> shift) as u16)
}

/// The registers that a device holds now. What is no tag's is a reading of nobody.
fn registers(
    device: usize,
    read: &ReadRequest,
    host: &mut Host,
    sensors: &mut Sensors<'_>,
    now: u64,
    rng: &mut Rng,
) -> Vec<u16> {
    let fault = host.fault(now);
    let mut registers: Vec<u16> = (0..read.count)
        .map(|index| {
            words(reading::encode(FOREIGN, u64::from(index), 42.0))[usize::from(index % 4)]
        })
        .collect();
    for (tag, known) in sensors.scenario.tags.iter().enumerate() {
        let Origin::Modbus {
            device: own,
            address,
            table,
        } = known.origin
        else {
            continue;
        };
        let same_table = matches!(
            (table, read.table),
            (rules_bundle::Table::Input, Table::InputRegisters)
                | (rules_bundle::Table::Holding, Table::HoldingRegisters)
        );
        let Some(offset) = address.checked_sub(read.address).map(usize::from) else {
            continue;
        };
        if own != device || !same_table || offset + 4 > registers.len() {
            continue;
        }
        let owner = match fault {
            Some(Fault::WrongUnit | Fault::ForeignTransaction) => FOREIGN,
            _ => tag,
        };
        let (level, stuck) = host.show(now, tag, known, sensors.levels[tag], rng);
        let number = sensors.readings[tag].issue(now, stuck);
        let value = match fault {
            Some(Fault::OutOfRange) => 150.0,
            Some(Fault::NotFinite) => f64::NAN,
            _ => reading::encode(owner, number, level),
        };
        registers[offset..offset + 4].copy_from_slice(&words(value));
    }
    registers
}

/// The bits that a device holds now.
fn bits(device: usize, read: &ReadRequest, sensors: &Sensors<'_>) -> Vec<bool> {
    let mut bits = vec![false; usize::from(read.count)];
    for (tag, known) in sensors.scenario.tags.iter().enumerate() {
        let Origin::Modbus {
            device: own,
            address,
            ..
        } = known.origin
        else {
            continue;
        };
        let is = match known.kind {
            Kind::Level | Kind::Derived { .. } => continue,
            Kind::Contact(output) => !sensors.closed[output],
            Kind::Switch | Kind::Button => sensors.levels[tag] != 0.0,
        };
        if own == device
            && let Some(offset) = address.checked_sub(read.address)
            && let Some(bit) = bits.get_mut(usize::from(offset))
        {
            *bit = is;
        }
    }
    bits
}

/// An input device answers a request.
pub fn answer_read(
    device: usize,
    host: &mut Host,
    conn: usize,
    bytes: &[u8],
    sensors: &mut Sensors<'_>,
    net: &mut Net,
    rng: &mut Rng,
) {
    let now = net.now;
    let Ok(Request {
        transaction,
        unit,
        body: RequestBody::Read(read),
    }) = server::decode_request(bytes)
    else {
        return net.end(conn, true);
    };
    let LinkPlan::Modbus(plan) = &sensors.scenario.plan.devices[device].link else {
        return;
    };
    let timeout = plan.timeout.as_ns();
    let fault = host.fault(now);
    let mut registers = if read.table.is_bits() {
        Vec::new()
    } else {
        registers(device, &read, host, sensors, now, rng)
    };
    let mut bits = bits(device, &read, sensors);
    let mut wait = rng.between(200_000, 4 * MS);
    let (mut transaction, mut unit, mut table, mut poison) = (transaction, unit, read.table, false);
    match fault {
        Some(Fault::NoReply) => return,
        Some(Fault::LateReply) => wait = timeout + rng.between(MS, 30 * MS),
        Some(Fault::ForeignTransaction) => transaction ^= 0x5A,
        Some(Fault::WrongUnit) => unit ^= 1,
        Some(Fault::WrongFunction) => {
            table = match table {
                Table::InputRegisters => Table::HoldingRegisters,
                Table::HoldingRegisters => Table::InputRegisters,
                Table::Coils => Table::DiscreteInputs,
                Table::DiscreteInputs => Table::Coils,
            };
        }
        Some(Fault::ShortReply) => {
            registers.pop();
            bits.truncate(0);
        }
        Some(Fault::LongReply) => {
            registers.push(0);
            bits.extend([false; 16]);
        }
        _ => {}
    }
    if matches!(
        fault,
        Some(
            Fault::ForeignTransaction
                | Fault::WrongUnit
                | Fault::WrongFunction
                | Fault::ShortReply
                | Fault::LongReply
        )
    ) {
        poison = true;
    }
    let mut buffer = [0; 260];
    let refused =
        fault == Some(Fault::Exception) || (fault == Some(Fault::BitsRefused) && table.is_bits());
    let reply = match fault {
        _ if refused => {
            let code = *rng.pick(&[1_u8, 2, 3, 4, 5, 6, 8, 0x0A, 0x0B, 0, 255]);
            server::encode_exception(&mut buffer, transaction, unit, table.read_function(), code)
        }
        _ if table.is_bits() => server::encode_bits(&mut buffer, transaction, unit, table, &bits),
        _ => server::encode_registers(&mut buffer, transaction, unit, table, &registers),
    };
    let mut reply = reply.unwrap_or(&[]).to_vec();
    let right = reply.clone();
    match fault {
        Some(Fault::BadLength) => {
            let length = *rng.pick(&[0_u16, 1, 255, 65_535]);
            reply[4..6].copy_from_slice(&length.to_be_bytes());
            poison = true;
        }
        Some(Fault::TornFrame) => {
            reply.truncate(rng.between(1, reply.len() as u64 - 1) as usize);
        }
        Some(Fault::Duplicate) => {
            if rng.chance(500) {
                reply.extend_from_slice(&right);
                poison = true;
            } else {
                net.to_guard(conn, wait, reply, false);
                return net.to_guard(conn, wait + rng.between(0, 3 * MS), right, true);
            }
        }
        Some(Fault::Repeated) if host.last_reply.0 == conn && !host.last_reply.1.is_empty() => {
            net.to_guard(conn, wait, host.last_reply.1.clone(), true);
        }
        Some(Fault::Loris) => {
            for (index, byte) in (0..).zip(&reply) {
                net.to_guard(conn, wait + index * 10 * MS, vec![*byte], false);
            }
            return;
        }
        Some(Fault::Reset) => return net.end(conn, rng.chance(500)),
        _ => {}
    }
    host.last_reply = (conn, right);
    if net.unfriendly && rng.chance(30) && reply.len() > 1 {
        let cut = rng.between(1, reply.len() as u64 - 1) as usize;
        let rest = reply.split_off(cut);
        net.to_guard(conn, wait, reply, poison);
        return net.to_guard(conn, wait, rest, poison);
    }
    net.to_guard(conn, wait, reply, poison);
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Index of the output.
    pub output: usize,
    /// The run value.
    pub run: bool,
}

/// An output device answers a read: of a coil, or of its watchdog's registers.
fn answer_look(
    host_index: usize,
    host: &Host,
    (transaction, unit): (u16, u8),
    read: &ReadRequest,
    scenario: &Scenario,
    places: &[Place],
    now: u64,
) -> Vec<u8> {
    let mut buffer = [0; 260];
    let reply = if read.table == Table::Coils {
        let place = |address| {
            let here = |output: &crate::scenario::Output| {
                output.host == host_index && output.address == address
            };
            scenario
                .outputs
                .iter()
                .position(here)
                .is_some_and(|output| places[output].energised(now))
        };
        let bits: Vec<bool> = (0..read.count)
            .map(|index| place(read.address + index))
            .collect();
        server::encode_bits(&mut buffer, transaction, unit, read.table, &bits)
    } else {
        let held = |index| {
            host.registers
                .get(&(read.address + index))
                .copied()
                .unwrap_or(0)
        };
        let registers: Vec<u16> = (0..read.count).map(held).collect();
        server::encode_registers(&mut buffer, transaction, unit, read.table, &registers)
    };
    reply.unwrap_or(&[]).to_vec()
}

/// An output device answers a request. Returns what it wrote.
#[expect(
    clippy::too_many_arguments,
    reason = "everything that a device can reach, and nothing else"
)]
pub fn answer_write(
    host_index: usize,
    host: &mut Host,
    conn: usize,
    bytes: &[u8],
    scenario: &Scenario,
    places: &mut [Place],
    net: &mut Net,
    rng: &mut Rng,
) -> Option<Written> {
    let now = net.now;
    let Ok(Request {
        transaction,
        unit,
        body,
    }) = server::decode_request(bytes)
    else {
        net.end(conn, true);
        return None;
    };
    let fault = host.fault(now);
    let wait = rng.between(100_000, 3 * MS);
    if fault == Some(Fault::Reset) {
        net.end(conn, rng.chance(500));
        return None;
    }
    let write = match body {
        RequestBody::Read(_) if matches!(fault, Some(Fault::EchoLost | Fault::WriteLost)) => {
            return None;
        }
        RequestBody::Read(read) => {
            let reply = answer_look(
                host_index,
                host,
                (transaction, unit),
                &read,
                scenario,
                places,
                now,
            );
            net.to_guard(conn, wait, reply, false);
            return None;
        }
        RequestBody::Write(write) => write,
    };
    let takes = !matches!(
        fault,
        Some(Fault::WriteLost | Fault::EchoException | Fault::EchoLies)
    );
    let mut written = None;
    match write {
        WriteRequest::Coil { address, on } => {
            let here = |output: &crate::scenario::Output| {
                output.host == host_index && output.address == address
            };
            let output = scenario.outputs.iter().position(here)?;
            if takes {
                places[output].write(on, now, scenario.outputs[output].watchdog);
                written = Some(Written { output, run: on });
            }
        }
        WriteRequest::Register { address, value } => {
            if takes {
                host.registers.insert(address, value);
            }
        }
    }
    let mut buffer = [0; 260];
    let echo = match (fault, write) {
        (Some(Fault::EchoLost | Fault::WriteLost), _) => return written,
        (Some(Fault::EchoException), _) => {
            server::encode_exception(&mut buffer, transaction, unit, write.function(), 4)
        }
        (Some(Fault::EchoWrong), WriteRequest::Coil { address, on }) => {
            let wrong = WriteRequest::Coil { address, on: !on };
            server::encode_write_reply(&mut buffer, transaction, unit, &wrong)
        }
        _ => server::encode_write_reply(&mut buffer, transaction, unit, &write),
    };
    let mut echo = echo.unwrap_or(&[]).to_vec();
    // Only a coil is echoed wrongly: the echo of a register is right, and the connection may go on.
    let wrong = fault == Some(Fault::EchoWrong) && matches!(write, WriteRequest::Coil { .. });
    let poison = wrong || fault == Some(Fault::Duplicate);
    if fault == Some(Fault::Duplicate) {
        echo.extend_from_within(..);
    }
    net.to_guard(conn, wait, echo, poison);
    written
}
