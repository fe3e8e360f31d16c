//! The guard in virtual time: the real lane, drivers, queues and outputs, turned as the product's lane thread turns them.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use appliance_lane::queue::{FrameConsumer, FrameProducer, frame_queue, frame_queue_with_blocks};
use appliance_lane::{Event, EventKind, Lane, Point as BypassPoint, RuleEngine};
use appliance_output::{OutputConnection, OutputEvent, Permit};
use appliance_sandbox::CallFault;
use drivers_frame::{
    Block, BlockNews, Cause, DeviceId, DurNs, FrameSink, MonoNs, QueueFull, Sample, Step,
    WaveformId,
};
use drivers_modbus::codec::Table as ModbusTable;
use drivers_modbus::config::{Backoff, DeviceConfig, Point, Poll};
use drivers_modbus::session::Session;
use drivers_modbus::transport::Driver;
use rt_config::limits;
use rules_bundle::{LinkPlan, ModbusPlan, Table};
use rules_expr::ir::{Program, SlotValue};

use crate::analysis::{self, Answered, Backstage, Called, Seats};
use crate::broker::Subscriber;
use crate::net::{SharedNet, SimWire};
use crate::scenario::{PORT, Scenario};

/// Evaluates natively: what the sandbox does is tested elsewhere.
pub struct Engine {
    programs: Vec<Program>,
    slots: Vec<SlotValue>,
}

impl RuleEngine for Engine {
    fn set_slot(&mut self, slot: usize, value: f64, usable: bool) {
        if let Some(cell) = self.slots.get_mut(slot) {
            *cell = SlotValue { value, usable };
        }
    }

    fn call(&mut self, rule: usize, hold: bool, _: u64) -> Result<i32, CallFault> {
        let program = self.programs.get(rule).ok_or(CallFault::NoSuchIndex)?;
        Ok(rules_expr::eval(program, &self.slots, hold).code())
    }
}

/// A frame that a driver handed over, and what became of it.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Index of the device.
    pub device: usize,
    /// Its samples.
    pub samples: Vec<Sample>,
    /// Found no room.
    pub lost: bool,
}

/// News of a waveform, as the lane takes it.
#[derive(Clone, Debug)]
pub enum Taken {
    /// A block: its waveform, arrival, whether samples are missing before it, its bytes.
    Block(usize, u64, bool, Vec<u8>),
    /// What came cannot be used.
    Bad(usize, u64, Cause),
}

/// The queue's end with an eye on it.
struct Tap<'a> {
    device: usize,
    queue: &'a mut FrameProducer,
    pushed: &'a mut Vec<Pushed>,
}

impl FrameSink for Tap<'_> {
    fn push_frame(&mut self, samples: &[Sample]) -> Result<(), QueueFull> {
        let result = self.queue.push_frame(samples);
        self.pushed.push(Pushed {
            device: self.device,
            samples: samples.to_vec(),
            lost: result.is_err(),
        });
        result
    }

    fn take_empty(&mut self) -> Option<Box<[u8]>> {
        self.queue.take_empty()
    }

    fn push_block(&mut self, news: BlockNews) -> Result<(), BlockNews> {
        self.queue.push_block(news)
    }
}

enum Source {
    Modbus(Box<Driver<SimWire>>),
    Mqtt(Box<Subscriber>),
}

struct Input {
    source: Source,
    queue: FrameProducer,
    until: MonoNs,
}

/// What an operator asks of the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Press the reset, with this nonce.
    Press(u64),
    /// Release it.
    Release(u64),
    /// Stop everything.
    Trip,
    /// Withhold the vote of a channel of a voting, for so many nanoseconds.
    Bypass(usize, usize, u64),
    /// Acknowledge every channel that was bad.
    Acknowledge,
}

/// What the guard did, for the oracle.
#[derive(Clone, Debug)]
pub enum Act {
    /// A bypass was asked for, and answered.
    Bypassed {
        /// Index of the voting.
        voting: usize,
        /// Position of the channel.
        channel: usize,
        /// Nanoseconds.
        lasting: u64,
        /// In force now.
        accepted: bool,
    },
    /// A press of the reset was answered.
    Pressed {
        /// It waits for its release.
        accepted: bool,
        /// The nonce of the press.
        nonce: u64,
    },
    /// A release of the reset was answered: everything was released, or nothing.
    Reset {
        /// Released.
        released: bool,
        /// The nonce of the release.
        nonce: u64,
    },
    /// So many channels that were bad, and are good again, were acknowledged.
    Acknowledged(u16),
    /// Everything was stopped on request.
    Tripped,
    /// The lane has ticked.
    Ticked,
}

/// The protection process.
pub struct Guard {
    /// The lane.
    pub lane: Lane<Engine, Seats>,
    /// The outputs with their connections.
    pub outputs: Vec<OutputConnection<SimWire>>,
    inputs: Vec<Input>,
    queues: Vec<FrameConsumer>,
    backstage: Backstage,
    /// Where class background hands over what it derives, by device.
    derived: Vec<(usize, FrameProducer)>,
    /// The device of each waveform.
    homes: Vec<usize>,
    more_blocks: bool,
    /// Calls of class safety and frames for class background in the newest tick.
    pub calls: Vec<Called>,
    /// News of waveforms that the newest tick was given.
    pub taken: Vec<Taken>,
    /// What class background was asked, and answered, since it was last looked at.
    pub answered: Vec<Answered>,
    /// Asked, not yet obeyed.
    pub commands: Vec<Command>,
    /// What drivers handed over since it was last looked at.
    pub pushed: Vec<Pushed>,
    /// Events since they were last looked at.
    pub events: Vec<Event>,
    /// Where the events of the newest tick begin.
    pub ticked_from: usize,
    next_tick: MonoNs,
    timer_period: DurNs,
    net: SharedNet,
    /// When it was started.
    pub started: u64,
    /// Times that a feedback did not follow, a place held what was not written, or a device's watchdog was not armed.
    pub proof_faults: u64,
}

/// Bytes of a buffer for a block: those of the largest packet.
const BLOCK_BUFFER: usize = limits::MQTT_PACKET_BYTES_MAX;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl Guard {
    /// Starts it.
    pub fn start(scenario: &Scenario, net: &SharedNet, seed: u64) -> Self {
        let now = net.borrow().now;
        let plan = &scenario.plan;
        let engine = Engine {
            programs: plan.programs().cloned().collect(),
            slots: vec![
                SlotValue {
                    value: 0.0,
                    usable: false
                };
                plan.slots() as usize
            ],
        };
        let (seats, backstage) = analysis::set_up(scenario, &scenario.modules);
        let lane = Lane::with_analyzers(plan, engine, seats, MonoNs::from_ns(now))
            .expect("few distinct times");
        let mut derived = Vec::new();
        let mut inputs = Vec::new();
        let mut queues = Vec::new();
        for (index, device) in plan.devices.iter().enumerate() {
            let waves: Vec<_> = (0..)
                .map(WaveformId)
                .zip(&plan.waveforms)
                .filter(|(_, wave)| usize::from(wave.device.0) == index)
                .collect();
            let (queue, consumer) = if waves.is_empty() {
                frame_queue(scenario.queue[index])
            } else {
                let buffers =
                    waves.len() * limits::WAVEFORM_BUFFERS_EACH + limits::WAVEFORM_BUFFERS_SPARE;
                frame_queue_with_blocks(scenario.queue[index], buffers, BLOCK_BUFFER)
            };
            queues.push(consumer);
            let source = match &device.link {
                LinkPlan::Modbus(modbus) => {
                    let session = Session::new(device_config(index, modbus), seed ^ index as u64)
                        .expect("a drawn device is right");
                    Source::Modbus(Box::new(Driver::over(session, SimWire::new(net))))
                }
                LinkPlan::Analyzer(_) => {
                    derived.push((index, queue));
                    continue;
                }
                LinkPlan::Mqtt(mqtt) => {
                    Source::Mqtt(Box::new(Subscriber::new(index, mqtt, &waves, net, seed)))
                }
            };
            inputs.push(Input {
                source,
                queue,
                until: MonoNs::ZERO,
            });
        }
        Self {
            lane,
            outputs: plan
                .outputs
                .iter()
                .map(|output| {
                    OutputConnection::over(output, address(output.port), SimWire::new(net))
                })
                .collect(),
            inputs,
            queues,
            backstage,
            derived,
            homes: plan
                .waveforms
                .iter()
                .map(|wave| usize::from(wave.device.0))
                .collect(),
            more_blocks: false,
            calls: Vec::new(),
            taken: Vec::new(),
            answered: Vec::new(),
            commands: Vec::new(),
            pushed: Vec::new(),
            events: Vec::new(),
            ticked_from: 0,
            next_tick: MonoNs::ZERO,
            timer_period: plan.timer_period,
            net: Rc::clone(net),
            started: now,
            proof_faults: 0,
        }
    }

    fn now(&self) -> MonoNs {
        MonoNs::from_ns(self.net.borrow().now)
    }

    /// One step of each device. `true` when another should follow at once.
    pub fn acquire(&mut self) -> bool {
        let net: &RefCell<_> = &self.net;
        let clock = || MonoNs::from_ns(net.borrow().now);
        let mut progress = false;
        for (device, input) in self.inputs.iter_mut().enumerate() {
            let mut tap = Tap {
                device,
                queue: &mut input.queue,
                pushed: &mut self.pushed,
            };
            let step = match &mut input.source {
                Source::Modbus(driver) => driver.step(&clock, &mut tap),
                Source::Mqtt(subscriber) => subscriber.step(&clock, &mut tap),
            };
            input.until = match step {
                Step::Frame | Step::Progress => {
                    progress = true;
                    clock()
                }
                Step::Idle { until, .. } => until,
            };
        }
        progress
    }

    /// When acquisition must be stepped if nothing arrives.
    pub fn acquire_due(&self) -> MonoNs {
        let due = self.inputs.iter().map(|input| input.until);
        due.min().unwrap_or(MonoNs::NEVER)
    }

    /// Takes every queued sample.
    pub fn ingest(&mut self) -> bool {
        let now = self.now();
        let mut any = self.take_blocks();
        for (device, queue) in (0..).zip(&mut self.queues) {
            let lost = queue.newly_lost();
            if lost > 0 {
                self.lane.frames_lost(DeviceId(device), lost, now);
                any = true;
            }
            let lane = &mut self.lane;
            any |= queue.drain(|sample| lane.ingest(sample)) > 0;
        }
        any
    }

    /// At most one news of each device's waveforms, as in the product (`appliance/guard/src/lane_thread/analyzers.rs`).
    fn take_blocks(&mut self) -> bool {
        self.more_blocks = false;
        self.taken.clear();
        let mut any = false;
        for queue in &mut self.queues {
            let Some(blocks) = queue.blocks() else {
                continue;
            };
            match blocks.pop() {
                None => continue,
                Some(BlockNews::Bad {
                    waveform,
                    at,
                    cause,
                }) => {
                    let news = Taken::Bad(usize::from(waveform.0), at.as_ns(), cause);
                    self.taken.push(news);
                    self.lane.bad_block(waveform, at, cause);
                }
                Some(BlockNews::Block(block)) => {
                    let head = block.head();
                    self.taken.push(Taken::Block(
                        usize::from(head.waveform.0),
                        head.at.as_ns(),
                        head.gap,
                        block.raw().to_vec(),
                    ));
                    if let Some(unseen) = self.lane.ingest_block(block) {
                        blocks.give_back(unseen);
                    }
                }
            }
            any = true;
            self.more_blocks |= !blocks.is_empty();
        }
        any
    }

    fn give_back(&mut self, block: Block) {
        let home = self.homes[usize::from(block.head().waveform.0)];
        if let Some(blocks) = self.queues[home].blocks() {
            blocks.give_back(block);
        }
    }

    /// Class background does its oldest job.
    pub fn work(&mut self) {
        let (done, block) = self.backstage.work(self.lane.analyzer_engine_mut());
        for answered in &done {
            let device = answered.device;
            let own = |(own, _): &&mut (usize, FrameProducer)| *own == device;
            if let Some((_, queue)) = self.derived.iter_mut().find(own) {
                let mut tap = Tap {
                    device,
                    queue,
                    pushed: &mut self.pushed,
                };
                // A full queue is counted by itself.
                let _ = tap.push_frame(&answered.samples);
            }
        }
        self.answered.extend(done);
        if let Some(block) = block {
            self.give_back(block);
        }
    }

    /// What makes spares takes a turn.
    pub fn refill(&mut self, analyzer: usize) {
        self.backstage.refill(analyzer);
    }

    /// Obeys one command, if one waits.
    pub fn obey(&mut self) -> Option<Act> {
        if self.commands.is_empty() {
            return None;
        }
        let now = self.now();
        Some(match self.commands.remove(0) {
            Command::Press(nonce) => Act::Pressed {
                accepted: self.lane.press_reset(nonce, now).is_ok(),
                nonce,
            },
            Command::Release(nonce) => Act::Reset {
                released: self.lane.release_reset(nonce, now).is_ok(),
                nonce,
            },
            Command::Trip => {
                self.lane.trip(now);
                Act::Tripped
            }
            Command::Acknowledge => Act::Acknowledged(self.lane.acknowledge(None)),
            Command::Bypass(voting, channel, lasting) => {
                let point = BypassPoint::Channel {
                    voting: voting as u16,
                    channel: channel as u8,
                };
                Act::Bypassed {
                    voting,
                    channel,
                    lasting,
                    accepted: self
                        .lane
                        .bypass(point, DurNs::from_ns(lasting), now)
                        .is_ok(),
                }
            }
        })
    }

    /// Ticks when there is a reason to.
    pub fn tick(&mut self, reason: bool) -> Option<Act> {
        let now = self.now();
        if !reason && now < self.next_tick {
            return None;
        }
        self.lane.tick(now);
        self.calls = std::mem::take(&mut self.lane.analyzer_engine_mut().calls);
        while let Some(block) = self.lane.take_block() {
            self.give_back(block);
        }
        let proof = |event: &&Event| {
            matches!(
                event.kind,
                EventKind::EdmFault { .. }
                    | EventKind::Overwritten { .. }
                    | EventKind::DeviceWatchdog { armed: false, .. }
            )
        };
        self.proof_faults += self.lane.events().iter().filter(proof).count() as u64;
        self.ticked_from = self.events.len();
        self.events.extend_from_slice(self.lane.events());
        self.lane.clear_events();
        self.next_tick = now.after(self.timer_period).min(self.lane.next_due());
        Some(Act::Ticked)
    }

    /// Hands out the permits.
    pub fn drive(&mut self) {
        let now = self.now();
        for (index, output) in (0_u16..).zip(&mut self.outputs) {
            let Some(permit) = self.lane.permits().get(usize::from(index)).copied() else {
                break;
            };
            if let Some(event) = output.drive(permit, now) {
                self.lane.output_event(index, event);
                self.next_tick = MonoNs::ZERO;
            }
        }
    }

    /// Steps one output's connection.
    pub fn confirm(&mut self, index: usize) {
        let net: &RefCell<_> = &self.net;
        let clock = || MonoNs::from_ns(net.borrow().now);
        // As in the product: the output before this one may have latched the group of both.
        let withheld = self.lane.permits().get(index) == Some(&Permit::Withheld);
        let mut broke = None;
        if withheld && self.outputs[index].permit() == Permit::Granted {
            broke = self.outputs[index].drive(Permit::Withheld, clock());
        }
        let (lane, next_tick) = (&mut self.lane, &mut self.next_tick);
        let mut report = |event| {
            lane.output_event(index as u16, event);
            if !matches!(event, OutputEvent::Confirmed { .. }) {
                *next_tick = MonoNs::ZERO;
            }
        };
        if let Some(event) = broke {
            report(event);
        }
        self.outputs[index].step(&clock, report);
        if !lane.events().is_empty() {
            *next_tick = MonoNs::ZERO;
        }
    }

    /// Messages that subscribers dropped because their age is unknown, and what else envelopes showed.
    pub fn dropped_messages(&self) -> u64 {
        let dropped = |input: &Input| match &input.source {
            Source::Mqtt(subscriber) => subscriber.dropped(),
            Source::Modbus(_) => 0,
        };
        self.inputs.iter().map(dropped).sum()
    }

    /// How often each error was shown by the envelopes of all subscribers.
    pub fn shown(&self) -> [u64; 8] {
        let mut all = [0; 8];
        for input in &self.inputs {
            if let Source::Mqtt(subscriber) = &input.source {
                for (sum, (_, times)) in all.iter_mut().zip(subscriber.shown()) {
                    *sum += times;
                }
            }
        }
        all
    }

    /// When the lane's thread must turn if nothing arrives.
    pub fn due(&self, threaded: bool) -> MonoNs {
        let outputs = self.outputs.iter().map(|output| output.idle().until);
        let due = outputs.fold(self.next_tick, MonoNs::min);
        let due = if self.more_blocks { MonoNs::ZERO } else { due };
        if threaded {
            due
        } else {
            due.min(self.acquire_due())
        }
    }

    /// Whether something waits in a queue.
    pub fn queued(&mut self) -> bool {
        let waits = |queue: &mut FrameConsumer| {
            !queue.is_empty() || queue.blocks().is_some_and(|blocks| !blocks.is_empty())
        };
        self.queues.iter_mut().any(waits)
    }
}

fn device_config(index: usize, plan: &ModbusPlan) -> DeviceConfig {
    DeviceConfig {
        windows: Vec::new(),
        device: DeviceId(index as u16),
        address: address(plan.port),
        unit: plan.unit,
        poll: plan.poll.map_or(Poll::Continuous, Poll::Every),
        timeout: plan.timeout,
        connect_timeout: plan.connect_timeout,
        backoff: Backoff {
            min: plan.backoff_min,
            max: plan.backoff_max,
        },
        max_gap: plan.max_gap,
        points: plan
            .points
            .iter()
            .map(|point| Point {
                tag: point.tag,
                table: match point.table {
                    Table::Coil => ModbusTable::Coils,
                    Table::Discrete => ModbusTable::DiscreteInputs,
                    Table::Holding => ModbusTable::HoldingRegisters,
                    Table::Input => ModbusTable::InputRegisters,
                },
                address: point.address,
                codec: point.codec,
            })
            .collect(),
    }
}

/// The port of a host.
pub fn port_of(host: usize) -> u16 {
    PORT + host as u16
}
