//! What stations and broker a plan needs, and the plan rewritten so that it names no other host than this.

use std::collections::BTreeMap;
use std::time::Duration;

use drivers_sim::broker::Broker;
use drivers_sim::image::{Block, Image, Permit, StationMap, StationWatchdog, Table};
use drivers_sim::stations::Stations;
use rules_bundle::{LinkPlan, OutputPlan, OutputTarget, Plan, Wait, WatchdogPlan};

use super::inside::Contactor;
use super::{CONTACTOR_SHARE, Driven, Faults, Input, Place};

/// A station as it grows with what the plan says of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) unit: u8,
    pub(super) spans: BTreeMap<Table, (u16, u16)>,
    pub(super) permits: Vec<Permit>,
    pub(super) written: bool,
    pub(super) watchdog: Option<StationWatchdog>,
    /// Registers of a generic watchdog, and what they must show.
    pub(super) registers: Vec<(u16, u16)>,
}

impl Draft {
    pub(super) fn cover(&mut self, table: Table, address: u16, cells: u16) {
        let last = address.saturating_add(cells.saturating_sub(1));
        let span = self.spans.entry(table).or_insert((address, last));
        *span = (span.0.min(address), span.1.max(last));
    }

    pub(super) fn map(&self) -> StationMap {
        let block = |table| {
            let span = self.spans.get(&table);
            span.map_or(Block::default(), |(first, last)| Block {
                first: *first,
                count: last.saturating_sub(*first).saturating_add(1),
            })
        };
        StationMap {
            unit: self.unit,
            coils: block(Table::Coil),
            discrete_inputs: block(Table::DiscreteInput),
            input_registers: block(Table::InputRegister),
            holding_registers: block(Table::HoldingRegister),
            writable: block(Table::HoldingRegister),
            permits: self.permits.clone(),
            station_watchdog: self.watchdog,
            ..StationMap::default()
        }
    }

    pub(super) fn preset(&self, image: &mut Image) {
        for (address, value) in &self.registers {
            image.set(Table::HoldingRegister, *address, *value);
        }
    }

    pub(super) fn watch(&mut self, watchdog: &WatchdogPlan) {
        self.watchdog = match watchdog.profile.as_str() {
            "wago_750" => Some(StationWatchdog::Wago750),
            "turck" => Some(StationWatchdog::Turck),
            "beckhoff_bk" => Some(StationWatchdog::BeckhoffBk),
            _ => None,
        };
        if self.watchdog.is_some() {
            return;
        }
        for register in &watchdog.arm {
            self.cover(Table::HoldingRegister, register.address, 1);
        }
        for register in &watchdog.expect {
            self.cover(Table::HoldingRegister, register.address, 1);
            self.registers.push((register.address, register.value));
        }
    }
}

/// Which station stands for which endpoint.
#[derive(Default)]
pub(super) struct Book {
    pub(super) stations: Vec<Draft>,
    pub(super) index: BTreeMap<(String, u16, u8), usize>,
}

impl Book {
    pub(super) fn station(&mut self, host: &str, port: u16, unit: u8) -> usize {
        let next = self.stations.len();
        let index = *self
            .index
            .entry((host.to_owned(), port, unit))
            .or_insert(next);
        if index == next {
            self.stations.push(Draft {
                unit,
                ..Draft::default()
            });
        }
        index
    }

    pub(super) fn device(&mut self, link: &LinkPlan, inputs: &mut [Input]) {
        let LinkPlan::Modbus(modbus) = link else {
            return;
        };
        let station = self.station(&modbus.host, modbus.port, modbus.unit);
        for point in &modbus.points {
            let table = match point.table {
                rules_bundle::Table::Coil => Table::Coil,
                rules_bundle::Table::Discrete => Table::DiscreteInput,
                rules_bundle::Table::Holding => Table::HoldingRegister,
                rules_bundle::Table::Input => Table::InputRegister,
            };
            let cells = u16::try_from(point.codec.kind.words()).unwrap_or(1);
            if let Some(draft) = self.stations.get_mut(station) {
                draft.cover(table, point.address, cells);
            }
            if let Some(input) = inputs.get_mut(usize::from(point.tag.0)) {
                input.codec = point.codec;
                input.place = Place::Cells {
                    station,
                    table,
                    address: point.address,
                };
            }
        }
    }

    pub(super) fn output(&mut self, output: &OutputPlan, faults: &Faults) -> Driven {
        let station = self.station(&output.host, output.port, output.unit);
        let (table, address, safe) = match output.target {
            OutputTarget::Coil { address, run } => (Table::Coil, address, u16::from(!run)),
            OutputTarget::Toggle { address, safe } => (Table::Coil, address, u16::from(safe)),
            OutputTarget::Register { address, safe, .. }
            | OutputTarget::Counter { address, safe } => (Table::HoldingRegister, address, safe),
        };
        if let Some(draft) = self.stations.get_mut(station) {
            draft.cover(table, address, 1);
            draft.written = true;
            draft.permits.push(Permit {
                table,
                address,
                safe,
            });
            if let Some(watchdog) = &output.watchdog {
                draft.watch(watchdog);
            }
        }
        let refresh = Duration::from_nanos(output.refresh.as_ns());
        let toggles = matches!(output.target, OutputTarget::Toggle { .. });
        let contactor = output.feedback.map(|feedback| Contactor {
            tag: usize::from(feedback.tag.0),
            safe_shows: feedback.safe,
            delay: Duration::from_nanos(feedback.within.as_ns())
                / if toggles { 10 } else { CONTACTOR_SHARE },
            // Long enough that a late refresh does not open it, and open within the time that the pack gives.
            holds: (Duration::from_nanos(feedback.within.as_ns()) / 10 * 6)
                .clamp(refresh * 13 / 10, refresh * 3),
            welds: faults.welded.contains(&output.name),
            is_safe: true,
            moving: None,
            ran: None,
            safe_at: None,
        });
        Driven {
            station,
            table,
            address,
            safe,
            toggles,
            contactor,
            lost: faults.lost.contains(&output.name),
        }
    }
}

/// Every address of the plan becomes one of ours. Alerts go nowhere: nobody is to be called by a test.
pub(super) fn rewrite(plan: &mut Plan, book: &Book, stations: &Stations, broker: Option<&Broker>) {
    let here = |host: &mut String, port: &mut u16, unit: u8| {
        let index = book.index.get(&(host.clone(), *port, unit));
        // A name that leads nowhere, should a station be missing: no real device is ever spoken to.
        let port_here = index.and_then(|index| stations.address(*index));
        *port = port_here.map_or(9, |address| address.port());
        *host = "127.0.0.1".to_owned();
    };
    for lane in &mut plan.lanes {
        for device in &mut lane.devices {
            match &mut device.link {
                LinkPlan::Modbus(modbus) => here(&mut modbus.host, &mut modbus.port, modbus.unit),
                // Reaches nothing outside.
                LinkPlan::Analyzer(_) => {}
                LinkPlan::Mqtt(mqtt) => {
                    mqtt.broker.host = "127.0.0.1".to_owned();
                    mqtt.broker.port = broker.map_or(9, |broker| broker.address().port());
                    mqtt.broker.tls = None;
                    mqtt.broker.username = None;
                    mqtt.broker.password_file = None;
                }
            }
        }
        for output in &mut lane.outputs {
            here(&mut output.host, &mut output.port, output.unit);
        }
        // The host of the test is not the host of the machine: a lane that spins would starve the devices beside it.
        lane.cpu = None;
        lane.wait = Wait::Park;
    }
    plan.alerts = None;
}
