//! The pack's world, simulated on 127.0.0.1: its stations, its broker, the contactors behind its outputs.
//!
//! Which thread: `prooftest-world` moves contactors and publishes; everything else is the caller's. The plan is
//! rewritten to these ports and to nothing else.

mod inside;
mod letters;
mod payload;
mod stage;
mod waves;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use drivers_frame::{DurNs, TagId, ValueCodec, ValueType};
use drivers_sim::broker::{self, Broker};
use drivers_sim::image::{StationMap, Table};
use drivers_sim::stations::Stations;
use rules_bundle::{LinkPlan, Plan};
use rumqttc::{Client, MqttOptions};

use super::raw;
use super::scene::{Do, Play};
use inside::{Contactor, Inside, Lane};
use letters::{Keys, Letters};
use stage::{Book, Draft, rewrite};
use waves::Wave;
pub(super) use waves::block_interval;

/// How often contactors are looked at.
const STEP: Duration = Duration::from_millis(1);
/// How often an MQTT topic is published and a living sensor's value moves.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);
/// What a message is longer than its payload: topic, header, and all messages of plain values.
const MESSAGE_BYTES_MORE: usize = 65_536;
/// A simulated contactor takes this share of the time that the pack gives it.
const CONTACTOR_SHARE: u32 = 4;

/// What is wrong on purpose, to see that the test finds it.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Outputs whose contactor stays closed once it has closed (H-59).
    pub welded: Vec<String>,
    /// Outputs whose station echoes writes of the safe value and does not do them (H-58).
    pub lost: Vec<String>,
}

/// Where a tag's value is served.
#[derive(Clone, Debug)]
enum Place {
    Cells {
        station: usize,
        table: Table,
        address: u16,
    },
    Topic {
        topic: usize,
    },
    Nowhere,
}

#[derive(Clone, Debug)]
struct Input {
    place: Place,
    codec: ValueCodec,
    value: f64,
    /// A living sensor moves by this much, up and down.
    sway: f64,
    fails: bool,
    /// Its messages are not as they left its source.
    forged: bool,
    /// Fastest that it may move, in its unit a second; `None`: it jumps.
    fastest: Option<f64>,
    /// Where it moves to, and by how much a second.
    moving: Option<Moving>,
    /// Something was shown already.
    is_shown: bool,
}

#[derive(Clone, Copy, Debug)]
struct Moving {
    per_second: f64,
    until: f64,
    /// When it was last moved.
    at: Duration,
}

impl Input {
    /// Moves on; whether it did.
    fn step(&mut self, now: Duration) -> bool {
        let Some(moving) = &mut self.moving else {
            return false;
        };
        let passed = now.saturating_sub(moving.at).as_secs_f64();
        moving.at = now;
        let there = self.value + moving.per_second * passed;
        let is_over = if moving.per_second > 0.0 {
            there >= moving.until
        } else {
            there <= moving.until
        };
        self.value = if is_over { moving.until } else { there };
        if is_over {
            self.moving = None;
        }
        true
    }
}

/// How fast a simulated input moves from one value to another, in its unit a second: a quarter of what its `rate` check lets
/// pass, because on a busy host two samples arrive closer than they were taken. `None`: it may jump.
pub(super) fn fastest(lane: &rules_bundle::LanePlan, tag: TagId) -> Option<f64> {
    let check = lane.tags.get(usize::from(tag.0))?.checks.rate?;
    Some(check.per_second / 4.0)
}

/// Time for a way at a speed.
pub(super) fn travel(way: f64, per_second: f64) -> DurNs {
    let time = Duration::try_from_secs_f64((way / per_second).abs()).unwrap_or_default();
    DurNs::from_ns(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// An output's place, and the contactor behind it.
#[derive(Clone, Debug)]
pub(super) struct Driven {
    pub(super) station: usize,
    pub(super) table: Table,
    pub(super) address: u16,
    pub(super) safe: u16,
    toggles: bool,
    contactor: Option<Contactor>,
    lost: bool,
}

/// The simulated world. Dropping it ends it.
pub(super) struct World {
    inside: Arc<Inside>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    client: Option<Client>,
    _keys: Keys,
    _broker: Option<Broker>,
}

impl World {
    /// Builds it and rewrites `plan` to it.
    pub(super) fn build(plan: &mut Plan, faults: &Faults) -> io::Result<Self> {
        let mut book = Book::default();
        let mut lanes = Vec::new();
        let (mut topics, mut topic_lanes) = (Vec::new(), Vec::new());
        let mut letters_of = Vec::new();
        let keys = Keys::new()?;
        keys.rewrite(plan);
        for (index, lane) in plan.lanes.iter().enumerate() {
            let mut inputs: Vec<Input> = (0_u16..)
                .zip(&lane.tags)
                .map(|(index, tag)| Input {
                    place: Place::Nowhere,
                    codec: ValueCodec::plain(ValueType::F64),
                    value: 0.0,
                    sway: tag.checks.frozen.map_or(0.0, |frozen| frozen.noise * 0.75),
                    fails: false,
                    forged: false,
                    fastest: fastest(lane, TagId(index)),
                    moving: None,
                    is_shown: false,
                })
                .collect();
            for device in &lane.devices {
                book.device(&device.link, &mut inputs);
                if let LinkPlan::Mqtt(mqtt) = &device.link {
                    for subscription in &mqtt.subscriptions {
                        for field in &subscription.fields {
                            if let Some(input) = inputs.get_mut(usize::from(field.tag.0)) {
                                input.codec = field.codec;
                                input.place = Place::Topic {
                                    topic: topics.len(),
                                };
                            }
                        }
                        let letters = subscription.envelope.as_ref();
                        letters_of.push(
                            letters
                                .map(|plan| Letters::new(&subscription.topic, plan, &keys))
                                .transpose()?,
                        );
                        topics.push(subscription.clone());
                        topic_lanes.push(index);
                    }
                }
            }
            let outputs = lane
                .outputs
                .iter()
                .map(|output| book.output(output, faults))
                .collect();
            let waves = lane
                .waveforms
                .iter()
                .map(|wave| Wave::draft(wave, lane, &mut book, &keys))
                .collect::<io::Result<_>>()?;
            lanes.push(Lane {
                inputs,
                outputs,
                waves,
            });
        }
        let written = book
            .stations
            .iter()
            .map(|station| station.written)
            .collect();
        let maps: Vec<StationMap> = book.stations.iter().map(Draft::map).collect();
        let stations = Stations::start(maps)?;
        for (index, draft) in book.stations.iter().enumerate() {
            stations.with_image(index, |image, _| draft.preset(image));
        }
        let waves = lanes.iter().flat_map(|lane| &lane.waves);
        let largest = waves.filter_map(Wave::payload_bytes).max();
        let broker = if topics.is_empty() && largest.is_none() {
            None
        } else {
            Some(broker::start(0).map_err(|error| io::Error::other(error.to_string()))?)
        };
        rewrite(plan, &book, &stations, broker.as_ref());
        let inside = Arc::new(Inside {
            stations,
            written,
            lanes: Mutex::new(lanes),
            topics,
            letters: Mutex::new(letters_of),
            topic_lanes,
        });
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let client = match &broker {
            Some(broker) => {
                let mut options =
                    MqttOptions::new("tripline-prooftest", "127.0.0.1", broker.address().port());
                let bytes = largest.unwrap_or(0).saturating_add(MESSAGE_BYTES_MORE);
                options.set_max_packet_size(bytes, bytes);
                let (client, mut connection) = Client::new(options, 64);
                let ended = Arc::clone(&stop);
                threads.push(spawn("prooftest-mqtt", move || {
                    for event in connection.iter() {
                        if event.is_err() && ended.load(Ordering::Acquire) {
                            return;
                        }
                        if event.is_err() {
                            std::thread::sleep(PUBLISH_EVERY);
                        }
                    }
                })?);
                Some(client)
            }
            None => None,
        };
        let (running, ended, publisher) = (Arc::clone(&inside), Arc::clone(&stop), client.clone());
        threads.push(spawn("prooftest-world", move || {
            let mut publish_at = Instant::now();
            let mut up = false;
            while !ended.load(Ordering::Acquire) {
                running.step();
                running.play(publisher.as_ref());
                if Instant::now() >= publish_at {
                    publish_at = Instant::now() + PUBLISH_EVERY;
                    up = !up;
                    running.sway(up);
                    if let Some(client) = &publisher {
                        running.publish(client);
                    }
                }
                std::thread::sleep(STEP);
            }
        })?);
        Ok(Self {
            inside,
            stop,
            threads,
            client,
            _keys: keys,
            _broker: broker,
        })
    }

    /// Time of the stations' records.
    pub(super) fn now(&self) -> Duration {
        self.inside.stations.now()
    }

    /// Shows a value on an input, or lets it fail.
    pub(super) fn apply(&self, lane: usize, tag: TagId, act: Do) {
        let mut lanes = self.inside.lanes();
        let Some(input) = lanes
            .get_mut(lane)
            .and_then(|lane| lane.inputs.get_mut(usize::from(tag.0)))
        else {
            return;
        };
        let at = self.now();
        match act {
            Do::Show(value) => {
                (input.fails, input.forged) = (false, false);
                let way = value - input.value;
                input.moving = None;
                match input.fastest.filter(|_| input.is_shown && way != 0.0) {
                    Some(fastest) => {
                        input.moving = Some(Moving {
                            per_second: fastest.copysign(way),
                            until: value,
                            at,
                        });
                    }
                    None => input.value = value,
                }
                input.is_shown = true;
            }
            Do::Move { per_second, until } => {
                (input.fails, input.forged) = (false, false);
                input.moving = Some(Moving {
                    per_second,
                    until,
                    at,
                });
            }
            Do::Fail => input.fails = true,
            Do::Forge => input.forged = true,
        }
        let input = input.clone();
        drop(lanes);
        self.inside.show(&input, input.value);
        self.inside.fail(&input);
    }

    /// How long an input is on its way to what it is to show.
    pub(super) fn takes(&self, lane: usize, tag: TagId, act: Do) -> DurNs {
        let lanes = self.inside.lanes();
        let input = lanes
            .get(lane)
            .and_then(|lane| lane.inputs.get(usize::from(tag.0)));
        match (input, act) {
            (Some(input), Do::Show(value)) => input
                .fastest
                .map_or(DurNs::ZERO, |fastest| travel(value - input.value, fastest)),
            // It is beyond the limit from its first moment on.
            _ => DurNs::ZERO,
        }
    }

    /// Whether an input is on its way.
    pub(super) fn moves(&self) -> bool {
        let lanes = self.inside.lanes();
        let mut inputs = lanes.iter().flat_map(|lane| &lane.inputs);
        inputs.any(|input| input.moving.is_some())
    }

    /// From its next block on, a waveform is played so.
    pub(super) fn play(&self, lane: usize, wave: usize, play: &Play) {
        let mut lanes = self.inside.lanes();
        let waves = lanes.get_mut(lane).map(|lane| &mut lane.waves);
        if let Some(wave) = waves.and_then(|waves| waves.get_mut(wave)) {
            wave.play(play);
        }
    }

    /// How an input that fails does it.
    pub(super) fn way_of_failing(&self, lane: usize, tag: TagId) -> &'static str {
        let lanes = self.inside.lanes();
        let input = lanes
            .get(lane)
            .and_then(|lane| lane.inputs.get(usize::from(tag.0)));
        match input {
            Some(Input {
                place: Place::Topic { .. },
                ..
            }) => "its source falls silent",
            Some(input) if raw::broken(&input.codec).is_some() => "its wire breaks",
            Some(Input {
                place: Place::Cells { station, .. },
                ..
            }) if !self.inside.written.get(*station).copied().unwrap_or(true) => {
                "its station falls silent"
            }
            _ => "its module is taken out",
        }
    }

    /// The place of an output.
    pub(super) fn output(&self, lane: usize, output: usize) -> Option<Driven> {
        self.inside.lanes().get(lane)?.outputs.get(output).cloned()
    }

    /// Whether an output's place holds its safe value now.
    pub(super) fn is_safe(&self, driven: &Driven) -> bool {
        let held = self.inside.stations.with_image(driven.station, |image, _| {
            image.get(driven.table, driven.address)
        });
        held.flatten() == Some(driven.safe)
    }

    /// When the safe value was written to an output's place after `since`, if it was.
    pub(super) fn stopped_at(&self, driven: &Driven, since: Duration) -> Option<Duration> {
        self.inside
            .stations
            .with_image(driven.station, |image, _| {
                image
                    .writes()
                    .find(|write| {
                        write.at >= since
                            && (write.table, write.address) == (driven.table, driven.address)
                            && write.value == driven.safe
                    })
                    .map(|write| write.at)
            })
            .flatten()
    }

    /// When the contactor behind an output reached its safe position after `since`. `None` also when it has none: ask
    /// [`Driven::has_feedback`].
    pub(super) fn followed_at(
        &self,
        lane: usize,
        output: usize,
        since: Duration,
    ) -> Option<Duration> {
        let lanes = self.inside.lanes();
        let contactor = lanes.get(lane)?.outputs.get(output)?.contactor.as_ref()?;
        contactor
            .safe_at
            .filter(|at| contactor.is_safe && *at >= since)
    }

    /// Whether the contactor behind an output is closed, or there is none.
    pub(super) fn runs(&self, lane: usize, output: usize) -> bool {
        let lanes = self.inside.lanes();
        let Some(driven) = lanes.get(lane).and_then(|lane| lane.outputs.get(output)) else {
            return false;
        };
        driven
            .contactor
            .as_ref()
            .is_none_or(|contactor| !contactor.is_safe)
    }
}

impl Driven {
    /// Whether a feedback proves it.
    pub(super) const fn has_feedback(&self) -> bool {
        self.contactor.is_some()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(client) = &self.client {
            // Its thread ends with the connection; a broker that is gone ends it as well.
            let _ = client.try_disconnect();
        }
        drop(self._broker.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_plan_names_this_host_and_no_other() {
        let text = include_str!("../../../../rules/packs/press-line.yaml");
        let mut plan = rules_pack::load("pack.yaml", text).unwrap().plan;
        let world = World::build(&mut plan, &Faults::default()).unwrap();
        for lane in &plan.lanes {
            for device in &lane.devices {
                let host = match &device.link {
                    LinkPlan::Modbus(modbus) => &modbus.host,
                    LinkPlan::Mqtt(mqtt) => &mqtt.broker.host,
                    LinkPlan::Analyzer(_) => continue,
                };
                assert_eq!(host, "127.0.0.1");
            }
            assert!(lane.outputs.iter().all(|output| output.host == "127.0.0.1"));
        }
        assert!(plan.alerts.is_none());
        drop(world);
    }
}
