//! What the simulated world does by itself: contactors follow, inputs sway, topics are published.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drivers_frame::{ValueCodec, ValueType};
use drivers_sim::image::{Answering, Image, Table};
use drivers_sim::stations::Stations;
use rules_bundle::SubscriptionPlan;
use rumqttc::{Client, QoS};

use super::letters::Letters;
use super::payload::payload;
use super::waves::Wave;
use super::{Driven, Input, Place};
use crate::prooftest::raw;

#[derive(Clone, Debug)]
pub(super) struct Contactor {
    pub(super) tag: usize,
    pub(super) safe_shows: bool,
    pub(super) delay: Duration,
    /// How long a toggling permit may stand still.
    pub(super) holds: Duration,
    pub(super) welds: bool,
    pub(super) is_safe: bool,
    pub(super) moving: Option<Duration>,
    /// The place last held something else than the safe value.
    pub(super) ran: Option<Duration>,
    /// When it last reached its safe position.
    pub(super) safe_at: Option<Duration>,
}

pub(super) struct Lane {
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Driven>,
    pub(super) waves: Vec<Wave>,
}

pub(super) struct Inside {
    pub(super) stations: Stations,
    /// Stations whose coils or registers an output writes: they cannot fall silent without the output.
    pub(super) written: Vec<bool>,
    pub(super) lanes: Mutex<Vec<Lane>>,
    pub(super) topics: Vec<SubscriptionPlan>,
    /// What wraps the messages of each topic.
    pub(super) letters: Mutex<Vec<Option<Letters>>>,
    pub(super) topic_lanes: Vec<usize>,
}

impl Inside {
    pub(super) fn lanes(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a Modbus input as it is now, with `value`.
    pub(super) fn show(&self, input: &Input, value: f64) {
        let Place::Cells {
            station,
            table,
            address,
        } = input.place
        else {
            return;
        };
        self.stations.with_image(station, |image, _| {
            let raw = match (input.fails, raw::broken(&input.codec)) {
                (true, Some(raw)) => Some(raw),
                _ => raw::raw_of(&input.codec, value),
            };
            if let Some(raw) = raw {
                write(image, table, address, &input.codec, raw);
            }
        });
    }

    /// What cannot be shown as a broken wire fails in another way: its station falls silent, or its module is
    /// taken out of it.
    pub(super) fn fail(&self, input: &Input) {
        let Place::Cells {
            station,
            table,
            address,
        } = input.place
        else {
            return;
        };
        if raw::broken(&input.codec).is_some() {
            return;
        }
        let stands_alone = !self.written.get(station).copied().unwrap_or(true);
        self.stations.with_image(station, |image, _| {
            if stands_alone {
                image.set_answering(if input.fails {
                    Answering::Silent
                } else {
                    Answering::Normally
                });
            } else {
                image.set_absent(table, address, input.fails);
            }
        });
    }

    /// Contactors follow their outputs.
    pub(super) fn step(&self) {
        let now = self.stations.now();
        let mut shown = Vec::new();
        let mut lanes = self.lanes();
        self.lose_writes(lanes.iter().flat_map(|lane| &lane.outputs));
        for lane in lanes.iter_mut() {
            for input in &mut lane.inputs {
                if input.step(now) {
                    shown.push(input.clone());
                }
            }
            for driven in &mut lane.outputs {
                let (place, value) = ((driven.table, driven.address), driven.safe);
                let held = self
                    .stations
                    .with_image(driven.station, |image, _| image.get(place.0, place.1))
                    .flatten();
                let toggles = driven.toggles;
                let Some(contactor) = &mut driven.contactor else {
                    continue;
                };
                if held != Some(value) {
                    contactor.ran = Some(now);
                }
                let asks_safe = held == Some(value)
                    // A toggling permit shows its safe value every other time.
                    && (!toggles || contactor.ran.is_none_or(|ran| now - ran > contactor.holds));
                contactor.follow(now, asks_safe);
                let show = contactor.is_safe == contactor.safe_shows;
                if let Some(input) = lane.inputs.get_mut(contactor.tag) {
                    input.value = f64::from(u8::from(show));
                    shown.push(input.clone());
                }
            }
        }
        drop(lanes);
        for input in shown {
            self.show(&input, input.value);
        }
    }

    /// A station with an output whose writes are to be lost echoes and does nothing from when all its outputs run: one that
    /// did not run yet never would, and nothing could be tested.
    fn lose_writes<'a>(&self, outputs: impl Iterator<Item = &'a Driven> + Clone) {
        let runs = |driven: &Driven| {
            let held = self.stations.with_image(driven.station, |image, _| {
                image.get(driven.table, driven.address)
            });
            held.flatten().is_some_and(|held| held != driven.safe)
        };
        for lost in outputs.clone().filter(|driven| driven.lost) {
            let mut beside = outputs.clone();
            if beside.all(|driven| driven.station != lost.station || runs(driven)) {
                self.stations.with_image(lost.station, |image, _| {
                    image.set_answering(Answering::WritesLost);
                });
            }
        }
    }

    /// Blocks that are due are there, as a window of registers or as a message.
    pub(super) fn play(&self, client: Option<&Client>) {
        let now = self.stations.now();
        let mut lanes = self.lanes();
        for wave in lanes.iter_mut().flat_map(|lane| &mut lane.waves) {
            if let Some((sequence, raw)) = wave.next(now) {
                wave.show(&self.stations, client, sequence, &raw);
            }
        }
    }

    /// Living sensors move a little.
    pub(super) fn sway(&self, up: bool) {
        let lanes = self.lanes();
        let inputs: Vec<Input> = lanes
            .iter()
            .flat_map(|lane| &lane.inputs)
            .filter(|input| input.sway > 0.0 && !input.fails)
            .cloned()
            .collect();
        drop(lanes);
        for input in inputs {
            let sway = if up { input.sway } else { -input.sway };
            self.show(&input, input.value + sway);
        }
    }

    pub(super) fn publish(&self, client: &Client) {
        let lanes = self.lanes();
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        for ((index, topic), lane) in self.topics.iter().enumerate().zip(&self.topic_lanes) {
            let Some(lane) = lanes.get(*lane) else {
                continue;
            };
            let inputs: Vec<&Input> = lane
                .inputs
                .iter()
                .filter(|input| matches!(input.place, Place::Topic { topic } if topic == index))
                .collect();
            if inputs.iter().any(|input| input.fails) {
                continue;
            }
            let mut payload = payload(topic, &lane.inputs);
            if let Some(Some(letters)) = letters.get_mut(index) {
                let forged = inputs.iter().any(|input| input.forged);
                payload = letters.seal(&payload, forged);
            }
            // A queue that is full means that the broker is not up yet; the next one will do.
            let _ = client.try_publish(topic.topic.as_str(), QoS::AtMostOnce, false, payload);
        }
    }
}

impl Contactor {
    pub(super) fn follow(&mut self, now: Duration, asks_safe: bool) {
        if asks_safe == self.is_safe || (self.welds && !self.is_safe) {
            self.moving = None;
            return;
        }
        let since = *self.moving.get_or_insert(now);
        if now - since >= self.delay {
            self.is_safe = asks_safe;
            self.moving = None;
            self.safe_at = asks_safe.then_some(now);
        }
    }
}

pub(super) fn write(image: &mut Image, table: Table, address: u16, codec: &ValueCodec, raw: u64) {
    match table {
        Table::Coil | Table::DiscreteInput => image.set(table, address, u16::from(raw != 0)),
        Table::InputRegister | Table::HoldingRegister if codec.kind == ValueType::Bool => {
            let mask = 1_u16 << codec.bit.min(15);
            let held = image.get(table, address).unwrap_or(0);
            let word = if raw == 0 { held & !mask } else { held | mask };
            image.set(table, address, word);
        }
        Table::InputRegister | Table::HoldingRegister => {
            for (offset, word) in (0_u16..).zip(raw::words(codec, raw)) {
                image.set(table, address.saturating_add(offset), word);
            }
        }
    }
}
