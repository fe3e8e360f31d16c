//! The pack's world, simulated on 127.0.0.1: its stations, its broker, the contactors behind its outputs.
//!
//! Which thread: `prooftest-world` moves contactors and publishes; everything else is the caller's. The plan is
//! rewritten to these ports and to nothing else; what cannot be simulated is said.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use drivers_frame::{TagId, ValueCodec, ValueType};
use drivers_sim::broker::{self, Broker};
use drivers_sim::image::{Answering, Block, Image, Permit, StationMap, StationWatchdog, Table};
use drivers_sim::stations::Stations;
use rules_bundle::{
    ExtractPlan, LinkPlan, OutputPlan, OutputTarget, Plan, SubscriptionPlan, Wait, WatchdogPlan,
};
use rumqttc::{Client, MqttOptions, QoS};

use super::raw;
use super::scene::{Do, Untested};

/// How often contactors are looked at.
const STEP: Duration = Duration::from_millis(1);
/// How often an MQTT topic is published and a living sensor's value moves.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);
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
}

/// An output's place, and the contactor behind it.
#[derive(Clone, Debug)]
pub(super) struct Driven {
    pub(super) station: usize,
    pub(super) table: Table,
    pub(super) address: u16,
    pub(super) safe: u16,
    refresh: Duration,
    toggles: bool,
    contactor: Option<Contactor>,
    lost: bool,
}

#[derive(Clone, Debug)]
struct Contactor {
    tag: usize,
    safe_shows: bool,
    delay: Duration,
    welds: bool,
    is_safe: bool,
    moving: Option<Duration>,
    /// The place last held something else than the safe value.
    ran: Option<Duration>,
    /// When it last reached its safe position.
    safe_at: Option<Duration>,
}

struct Lane {
    inputs: Vec<Input>,
    outputs: Vec<Driven>,
}

struct Inside {
    stations: Stations,
    /// Stations whose coils or registers an output writes: they cannot fall silent without the output.
    written: Vec<bool>,
    lanes: Mutex<Vec<Lane>>,
    topics: Vec<SubscriptionPlan>,
    topic_lanes: Vec<usize>,
}

/// The simulated world. Dropping it ends it.
pub(super) struct World {
    inside: Arc<Inside>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    client: Option<Client>,
    _broker: Option<Broker>,
}

impl World {
    /// Builds it and rewrites `plan` to it. What cannot be simulated is added to `untested`.
    pub(super) fn build(
        plan: &mut Plan,
        faults: &Faults,
        untested: &mut Vec<Untested>,
    ) -> io::Result<Self> {
        let mut book = Book::default();
        let mut lanes = Vec::new();
        let (mut topics, mut topic_lanes) = (Vec::new(), Vec::new());
        for (index, lane) in plan.lanes.iter().enumerate() {
            let mut inputs: Vec<Input> = lane
                .tags
                .iter()
                .map(|tag| Input {
                    place: Place::Nowhere,
                    codec: ValueCodec::plain(ValueType::F64),
                    value: 0.0,
                    sway: tag.checks.frozen.map_or(0.0, |frozen| frozen.noise * 0.75),
                    fails: false,
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
                        if subscription.envelope.is_some() {
                            untested.push(Untested {
                                what: format!("the envelope of topic {}", subscription.topic),
                                why: "simulated sources send bare payloads".to_owned(),
                            });
                        }
                        let mut bare = subscription.clone();
                        bare.envelope = None;
                        topics.push(bare);
                        topic_lanes.push(index);
                    }
                }
            }
            let outputs = lane
                .outputs
                .iter()
                .map(|output| book.output(output, faults))
                .collect();
            lanes.push(Lane { inputs, outputs });
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
        let broker = if topics.is_empty() {
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
            topic_lanes,
        });
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let client = match &broker {
            Some(broker) => {
                let (client, mut connection) = Client::new(
                    MqttOptions::new("tripline-prooftest", "127.0.0.1", broker.address().port()),
                    64,
                );
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
        match act {
            Do::Show(value) => {
                input.fails = false;
                input.value = value;
            }
            Do::Fail => input.fails = true,
        }
        let input = input.clone();
        drop(lanes);
        self.inside.show(&input, input.value);
        self.inside.fail(&input);
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

impl Inside {
    fn lanes(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a Modbus input as it is now, with `value`.
    fn show(&self, input: &Input, value: f64) {
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
    fn fail(&self, input: &Input) {
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
    fn step(&self) {
        let now = self.stations.now();
        let mut shown = Vec::new();
        let mut lanes = self.lanes();
        for lane in lanes.iter_mut() {
            for driven in &mut lane.outputs {
                let (place, value) = ((driven.table, driven.address), driven.safe);
                let held = self
                    .stations
                    .with_image(driven.station, |image, _| image.get(place.0, place.1))
                    .flatten();
                if driven.lost && held.is_some_and(|held| held != value) {
                    // From now on it echoes and does nothing.
                    self.stations.with_image(driven.station, |image, _| {
                        image.set_answering(Answering::WritesLost);
                    });
                }
                let (refresh, toggles) = (driven.refresh, driven.toggles);
                let Some(contactor) = &mut driven.contactor else {
                    continue;
                };
                if held != Some(value) {
                    contactor.ran = Some(now);
                }
                let asks_safe = held == Some(value)
                    // A toggling permit shows its safe value every other time.
                    && (!toggles || contactor.ran.is_none_or(|ran| now - ran > refresh * 3));
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

    /// Living sensors move a little.
    fn sway(&self, up: bool) {
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

    fn publish(&self, client: &Client) {
        let lanes = self.lanes();
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
            let payload = payload(topic, &lane.inputs);
            // A queue that is full means that the broker is not up yet; the next one will do.
            let _ = client.try_publish(topic.topic.as_str(), QoS::AtMostOnce, false, payload);
        }
    }
}

impl Contactor {
    fn follow(&mut self, now: Duration, asks_safe: bool) {
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

fn write(image: &mut Image, table: Table, address: u16, codec: &ValueCodec, raw: u64) {
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

/// What a source publishes on a topic.
fn payload(topic: &SubscriptionPlan, inputs: &[Input]) -> Vec<u8> {
    let mut json = serde_json::Value::Null;
    let mut binary: Vec<u8> = Vec::new();
    for field in &topic.fields {
        let Some(input) = inputs.get(usize::from(field.tag.0)) else {
            continue;
        };
        let number = raw::number(&input.codec, input.value);
        match &field.extract {
            ExtractPlan::Number => return number.to_string().into_bytes(),
            ExtractPlan::Json(path) => {
                let leaf = if input.codec.kind == ValueType::Bool {
                    serde_json::Value::Bool(number != 0.0)
                } else {
                    serde_json::json!(number)
                };
                put(&mut json, &steps(path), leaf);
            }
            ExtractPlan::Binary { offset } => {
                let bytes = raw::raw_of(&input.codec, input.value)
                    .map(|raw| raw::bytes(&input.codec, raw))
                    .unwrap_or_default();
                let at = usize::from(*offset);
                if binary.len() < at + bytes.len() {
                    binary.resize(at + bytes.len(), 0);
                }
                for (room, byte) in binary.iter_mut().skip(at).zip(bytes) {
                    *room = byte;
                }
            }
        }
    }
    if binary.is_empty() {
        json.to_string().into_bytes()
    } else {
        binary
    }
}

/// A JSON pointer (`/data/0`) or path (`$.data[0]`) as steps.
fn steps(path: &str) -> Vec<String> {
    if let Some(pointer) = path.strip_prefix('/') {
        return pointer
            .split('/')
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect();
    }
    path.trim_start_matches('$')
        .replace(']', "")
        .split(['.', '['])
        .filter(|step| !step.is_empty())
        .map(|step| step.trim_matches(['\'', '"']).to_owned())
        .collect()
}

fn put(json: &mut serde_json::Value, steps: &[String], leaf: serde_json::Value) {
    let Some((step, rest)) = steps.split_first() else {
        *json = leaf;
        return;
    };
    if let Ok(index) = step.parse::<usize>()
        && index < 1_024
    {
        if !json.is_array() {
            *json = serde_json::Value::Array(Vec::new());
        }
        if let serde_json::Value::Array(items) = json {
            while items.len() <= index {
                items.push(serde_json::Value::Null);
            }
            if let Some(item) = items.get_mut(index) {
                put(item, rest, leaf);
            }
        }
        return;
    }
    if !json.is_object() {
        *json = serde_json::Value::Object(serde_json::Map::new());
    }
    if let serde_json::Value::Object(members) = json {
        put(
            members
                .entry(step.clone())
                .or_insert(serde_json::Value::Null),
            rest,
            leaf,
        );
    }
}

/// A station as it grows with what the plan says of it.
#[derive(Clone, Debug, Default)]
struct Draft {
    unit: u8,
    spans: BTreeMap<Table, (u16, u16)>,
    permits: Vec<Permit>,
    written: bool,
    watchdog: Option<StationWatchdog>,
    /// Registers of a generic watchdog, and what they must show.
    registers: Vec<(u16, u16)>,
}

impl Draft {
    fn cover(&mut self, table: Table, address: u16, cells: u16) {
        let last = address.saturating_add(cells.saturating_sub(1));
        let span = self.spans.entry(table).or_insert((address, last));
        *span = (span.0.min(address), span.1.max(last));
    }

    fn map(&self) -> StationMap {
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

    fn preset(&self, image: &mut Image) {
        for (address, value) in &self.registers {
            image.set(Table::HoldingRegister, *address, *value);
        }
    }

    fn watch(&mut self, watchdog: &WatchdogPlan) {
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
struct Book {
    stations: Vec<Draft>,
    index: BTreeMap<(String, u16, u8), usize>,
}

impl Book {
    fn station(&mut self, host: &str, port: u16, unit: u8) -> usize {
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

    fn device(&mut self, link: &LinkPlan, inputs: &mut [Input]) {
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

    fn output(&mut self, output: &OutputPlan, faults: &Faults) -> Driven {
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
        let contactor = output.feedback.map(|feedback| Contactor {
            tag: usize::from(feedback.tag.0),
            safe_shows: feedback.safe,
            delay: Duration::from_nanos(feedback.within.as_ns()) / CONTACTOR_SHARE,
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
            refresh: Duration::from_nanos(output.refresh.as_ns()),
            toggles: matches!(output.target, OutputTarget::Toggle { .. }),
            contactor,
            lost: faults.lost.contains(&output.name),
        }
    }
}

/// Every address of the plan becomes one of ours. Alerts go nowhere: nobody is to be called by a test.
fn rewrite(plan: &mut Plan, book: &Book, stations: &Stations, broker: Option<&Broker>) {
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
                    for subscription in &mut mqtt.subscriptions {
                        subscription.envelope = None;
                    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_paths_build_the_document_that_they_read() {
        let mut json = serde_json::Value::Null;
        put(&mut json, &steps("/data/1/value"), serde_json::json!(2.5));
        put(&mut json, &steps("$.data[0].ok"), serde_json::json!(true));
        assert_eq!(
            json,
            serde_json::json!({ "data": [{ "ok": true }, { "value": 2.5 }] })
        );
    }

    #[test]
    fn a_rewritten_plan_names_this_host_and_no_other() {
        let text = include_str!("../../../../rules/packs/press-line.yaml");
        let mut plan = rules_pack::load("pack.yaml", text).unwrap().plan;
        let mut untested = Vec::new();
        let world = World::build(&mut plan, &Faults::default(), &mut untested).unwrap();
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
