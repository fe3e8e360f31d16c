//! A device as bytes: a place, a watchdog of three registers, and ways to go wrong.
#![allow(dead_code, clippy::unwrap_used, reason = "tests; each uses a part")]

use std::collections::BTreeMap;

use drivers_frame::DurNs;
use drivers_modbus::codec::server::{self, RequestBody};
use drivers_modbus::codec::{REQUEST_BYTES, Table, WriteRequest};
use rules_bundle::{
    OutputPlan, OutputTarget, ReadBackPlan, RegisterMatch, RegisterValue, WatchdogPlan, testing,
};

pub(crate) const PLACE: u16 = 7;
const ARM: [RegisterValue; 2] = [
    RegisterValue {
        address: 200,
        value: 5,
    },
    RegisterValue {
        address: 201,
        value: 1,
    },
];
/// Bit 0: running; the rest is noise.
const STATUS: u16 = 202;

pub(crate) fn targets() -> [OutputTarget; 4] {
    let address = PLACE;
    [
        OutputTarget::Coil { address, run: true },
        OutputTarget::Register {
            address,
            run: 0x55,
            safe: 0xAA,
        },
        OutputTarget::Counter { address, safe: 2 },
        OutputTarget::Toggle {
            address,
            safe: true,
        },
    ]
}

pub(crate) fn plan(target: OutputTarget, read_back: bool, watchdog: bool) -> OutputPlan {
    OutputPlan {
        target,
        refresh: DurNs::from_ms(50),
        confirm_within: DurNs::from_ms(30),
        backoff_min: DurNs::from_ms(1),
        backoff_max: DurNs::from_ms(10),
        read_back: read_back.then_some(ReadBackPlan {
            period: DurNs::from_ms(70),
            within: DurNs::from_ms(20),
        }),
        watchdog: watchdog.then(|| WatchdogPlan {
            profile: "generic".into(),
            time: DurNs::from_ms(500),
            arm: ARM.to_vec(),
            expect: vec![
                RegisterMatch {
                    address: 200,
                    mask: 0xFFFF,
                    value: 5,
                },
                RegisterMatch {
                    address: STATUS,
                    mask: 1,
                    value: 1,
                },
            ],
            check_every: DurNs::from_ms(120),
        }),
        ..testing::output("run", 0)
    }
}

/// The wire value that stops.
pub(crate) fn safe_word(plan: &OutputPlan) -> u16 {
    appliance_output::safe_request(plan.target).wire_value()
}

#[derive(Default)]
pub(crate) struct Device {
    pub(crate) place: u16,
    registers: BTreeMap<u16, u16>,
    /// Echoes right and does nothing (H-58).
    pub(crate) lies: bool,
    /// Refuses everything with this exception.
    pub(crate) refuses: Option<u8>,
    /// Registers of the watchdog written to, and right answers to reads of it, since the connection was made.
    pub(crate) armed_here: Vec<u16>,
}

impl Device {
    /// Switched off and on behind a gateway that keeps the connection: the watchdog is off, the place is what it was.
    pub(crate) fn power_cycle(&mut self) {
        self.registers.clear();
    }

    pub(crate) fn connected(&mut self) {
        self.armed_here.clear();
    }

    /// Whether the watchdog was written and every register of it read right, on this connection.
    pub(crate) fn proved_armed_here(&self) -> bool {
        [200, 201, 1_200, 1_000 + STATUS]
            .iter()
            .all(|mark| self.armed_here.contains(mark))
    }

    pub(crate) fn answer(&mut self, frame: &[u8; REQUEST_BYTES]) -> Vec<u8> {
        let request = server::decode_request(frame).unwrap();
        let (transaction, unit) = (request.transaction, request.unit);
        let mut buf = [0; 260];
        if let Some(code) = self.refuses {
            if let RequestBody::Write(write) = request.body {
                // Tried is enough: what is read back decides.
                self.armed_here.push(write.address());
            }
            let reply = server::encode_exception(&mut buf, transaction, unit, frame[7], code);
            return reply.unwrap().to_vec();
        }
        match request.body {
            RequestBody::Write(write) => {
                if write.address() == PLACE {
                    if !self.lies {
                        self.place = write.wire_value();
                    }
                } else if let WriteRequest::Register { address, value } = write {
                    self.registers.insert(address, value);
                    self.armed_here.push(address);
                    if address == 201 && self.registers.get(&200) == Some(&5) {
                        self.registers.insert(STATUS, 0x8001);
                    }
                }
                frame.to_vec()
            }
            RequestBody::Read(read) => {
                let reply = if read.table == Table::Coils {
                    let bits = [self.place == 0xFF00];
                    server::encode_bits(&mut buf, transaction, unit, read.table, &bits)
                } else {
                    let held = if read.address == PLACE {
                        self.place
                    } else {
                        let held = self.registers.get(&read.address).copied().unwrap_or(0);
                        if held != 0 {
                            self.armed_here.push(1_000 + read.address);
                        }
                        held
                    };
                    server::encode_registers(&mut buf, transaction, unit, read.table, &[held])
                };
                reply.unwrap().to_vec()
            }
        }
    }
}
