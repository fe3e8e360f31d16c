//! One run: virtual time, the world around the guard, and the judge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use appliance_lane::{LatchCause, RuleCause};
use appliance_output::Permit;
use drivers_frame::{MonoNs, TagId};

use crate::coverage::Coverage;
use crate::digest::Digest;
use crate::fault::Fault;
use crate::guard::{Act, Command, Guard};
use crate::net::{Net, Post, SharedNet};
use crate::oracle::{Oracle, Violation, lapse};
use crate::plant::{self, Host, Place, Sensors, Wrong};
use crate::reading;
use crate::rng::Rng;
use crate::scenario::{Cond, GRAIN, HostKind, Kind, MS, Origin, Scenario, TURN_MAX, WAY_MAX};
use crate::{broker, buggify, sometimes};

/// Longest time after healing in which the guard must arm again: back-offs, freshness, windows, a reset that is tried
/// again and again.
pub const ARM_WITHIN: u64 = 20_000 * MS;
/// What a turn of the lane's loop takes.
const STEP: u64 = 3_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ev {
    /// The lane's thread turns, if nothing has made this one out of date.
    Turn(u64),
    /// The acquisition thread turns.
    Acquire(u64),
    ToHost {
        conn: usize,
        bytes: Vec<u8>,
    },
    Wake,
    /// A tag's level changes.
    Level(usize),
    /// A sensor publishes.
    Publish(usize),
    /// Something goes wrong somewhere.
    Trouble,
    /// A partition or refusal ends.
    Mend(usize),
    Operate,
    /// The reset is let go.
    Release(u64),
    Restart,
    /// A rule has been true for its deadline and all watchdogs.
    Judge {
        rule: usize,
        since: u64,
    },
    /// The guard has been gone for a watchdog's time.
    JudgeGone {
        began: u64,
    },
    /// Another master wrote a permit; by now it must be taken back.
    JudgeMaster {
        output: usize,
        wrote: u64,
    },
}

/// How a run is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of the safety phase, in nanoseconds of virtual time.
    pub safety: u64,
    /// Faults by chance.
    pub troubled: bool,
}

impl Options {
    /// Faults by chance for so many virtual seconds.
    pub fn seconds(seconds: u64) -> Self {
        Self {
            safety: seconds * 1_000 * MS,
            troubled: true,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Over every event, write and verdict.
    pub digest: u64,
    /// What was broken; `None` when nothing was.
    pub violation: Option<Violation>,
    /// Rare states reached.
    pub coverage: Coverage,
    /// Events handled.
    pub events: u64,
}

/// What came of one injected fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// From the fault until it was seen, in nanoseconds.
    pub detected_after: Option<u64>,
    /// From the demand until the last coil had fallen, in nanoseconds.
    pub stopped_after: Option<u64>,
    /// Deadline and watchdog time of the demand.
    pub allowed: u64,
    /// What was broken.
    pub violation: Option<Violation>,
}

/// Injects one fault at a random instant while everything runs, and lets a demand follow. `None` when the scenario of
/// this seed has nothing that the fault could befall.
pub fn run_injection(seed: u64, fault: Fault) -> Option<Injection> {
    let options = Options {
        safety: u64::MAX / 4,
        troubled: false,
    };
    World::new(seed, options).inject(fault)
}

/// A run that is going on.
pub struct World {
    scenario: Scenario,
    options: Options,
    pub(crate) unfriendly: bool,
    pub(crate) rng: Rng,
    device_rng: Rng,
    net: SharedNet,
    guard: Option<Guard>,
    oracle: Oracle,
    hosts: Vec<Host>,
    places: Vec<Place>,
    /// From and until when each output's contactor does not open.
    welded: Vec<(u64, u64)>,
    /// Since when the watchdog of each output's device is not armed.
    unarmed: Vec<Option<u64>>,
    /// When another master wrote last to each output.
    mastered: Vec<u64>,
    /// Until when something is wrong with each host.
    troubled_until: Vec<u64>,
    /// Until when a place may be energised by somebody else than the guard.
    excused: Vec<u64>,
    queue: BinaryHeap<Reverse<(u64, u64, Ev)>>,
    order: u64,
    turn: u64,
    turn_at: u64,
    acquire_turn: u64,
    acquire_at: u64,
    held_until: u64,
    gone_since: Option<u64>,
    healing: bool,
    /// Levels do not move by themselves.
    still: bool,
    digest: Digest,
    pub(crate) coverage: Coverage,
    events: u64,
    now: u64,
}

/// Runs a seed.
pub fn run(seed: u64, options: Options) -> Outcome {
    World::new(seed, options).run()
}

impl World {
    fn new(seed: u64, options: Options) -> Self {
        let mut rng = Rng::new(seed);
        let scenario = Scenario::draw(&mut rng.fork());
        let net = Net::new(scenario.hosts.len(), rng.fork());
        let levels: Vec<f64> = scenario
            .tags
            .iter()
            .map(|_| rng.between(10, 40) as f64)
            .collect();
        let mut world = Self {
            oracle: Oracle::new(&scenario, levels),
            hosts: vec![Host::default(); scenario.hosts.len()],
            places: vec![Place::default(); scenario.outputs.len()],
            welded: vec![(0, 0); scenario.outputs.len()],
            unarmed: vec![Some(0); scenario.outputs.len()],
            mastered: vec![0; scenario.outputs.len()],
            troubled_until: vec![0; scenario.hosts.len()],
            excused: vec![0; scenario.outputs.len()],
            device_rng: rng.fork(),
            unfriendly: options.troubled,
            rng,
            net,
            guard: None,
            queue: BinaryHeap::new(),
            order: 0,
            turn: 0,
            turn_at: u64::MAX,
            acquire_turn: 0,
            acquire_at: u64::MAX,
            held_until: 0,
            gone_since: None,
            healing: false,
            still: false,

            digest: Digest::default(),
            coverage: Coverage::default(),
            events: 0,
            now: MS,
            scenario,
            options,
        };
        world.net.borrow_mut().now = world.now;
        world.net.borrow_mut().unfriendly = options.troubled;
        world.start_guard();
        for tag in 0..world.scenario.tags.len() {
            let wait = world.rng.between(500, 4_000) * MS;
            world.at(wait, Ev::Level(tag));
            if let Origin::Mqtt { period, .. } = world.scenario.tags[tag].origin {
                world.at(period, Ev::Publish(tag));
            }
        }
        world.at(1_500 * MS, Ev::Trouble);
        world.at(300 * MS, Ev::Operate);
        world
    }

    fn at(&mut self, wait: u64, event: Ev) {
        self.order += 1;
        self.queue
            .push(Reverse((self.now + wait, self.order, event)));
    }

    fn run(mut self) -> Outcome {
        let heal_at = self.options.safety;
        let end_at = heal_at + ARM_WITHIN;
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            if at >= heal_at && !self.healing {
                self.heal();
            }
            self.now = at.max(self.now);
            self.net.borrow_mut().now = self.now;
            self.events += 1;
            self.digest.add(self.now);
            self.handle(event);
            self.collect_posts();
            if self.oracle.violation.is_some() {
                break;
            }
            if self.healing && self.armed() {
                sometimes!(self.coverage, "armed again after healing", true);
                break;
            }
            if self.now >= end_at {
                let why = self
                    .guard
                    .as_ref()
                    .map(|guard| format!("{:?}", guard.lane.reset_refusal()));
                self.oracle.fail(
                    "liveness",
                    self.now,
                    format!(
                        "not armed {} s after healing: {why:?}",
                        ARM_WITHIN / 1_000 / MS
                    ),
                );
                break;
            }
        }
        Outcome {
            digest: self.digest.value(),
            violation: self.oracle.violation,
            coverage: self.coverage,
            events: self.events,
        }
    }

    /// Handles events until `until` or until `done` says so.
    fn go(&mut self, until: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            self.now = at.max(self.now);
            self.net.borrow_mut().now = self.now;
            self.handle(event);
            self.collect_posts();
            if self.oracle.violation.is_some() {
                return false;
            }
            if done(self) {
                return true;
            }
            if self.now >= until {
                return false;
            }
        }
        false
    }

    /// Where this fault can strike so that a rule suffers: its host and a danger rule with the level that makes it true.
    fn target(&mut self, fault: Fault) -> Option<(usize, usize)> {
        let mut found = Vec::new();
        for (index, rule) in self.scenario.rules.iter().enumerate() {
            if rule.stops.is_empty() || !matches!(rule.cond, Cond::Above { .. }) {
                continue;
            }
            let tag = rule.cond.tags()[0];
            for (host, kind) in self.scenario.hosts.iter().enumerate() {
                let hit = match kind {
                    HostKind::Input(device) => {
                        *device == self.scenario.tags[tag].device() && Fault::INPUT.contains(&fault)
                    }
                    HostKind::Broker(device) => {
                        *device == self.scenario.tags[tag].device()
                            && Fault::BROKER.contains(&fault)
                    }
                    HostKind::Outputs => {
                        Fault::OUTPUT.contains(&fault) && self.suits(host, rule.stops[0], fault)
                    }
                };
                if hit || matches!(fault, Fault::Hang | Fault::Crash) {
                    found.push((host, index));
                }
            }
        }
        (!found.is_empty()).then(|| *self.rng.pick(&found))
    }

    /// Whether the first output that a rule stops is at this host and shows this fault.
    fn suits(&self, host: usize, output: usize, fault: Fault) -> bool {
        let output = &self.scenario.outputs[output];
        output.host == host
            && match fault {
                Fault::EchoLies | Fault::OtherMaster => self.reads_back(host),
                Fault::Welded => output.feedback.is_some(),
                Fault::WatchdogLapsed => output.check_every.is_some(),
                _ => true,
            }
    }

    fn inject(mut self, fault: Fault) -> Option<Injection> {
        let (host, rule) = self.target(fault)?;
        for level in &mut self.oracle.levels {
            *level = 20.0;
        }
        // No level moves by itself.
        self.still = true;
        if !self.go(20_000 * MS, Self::armed) {
            return Some(Injection {
                detected_after: None,
                stopped_after: None,
                allowed: 0,
                violation: self.oracle.violation,
            });
        }
        let pause = self.now + self.rng.between(1, 700) * MS;
        self.go(pause, |_| false);
        let tag = self.scenario.rules[rule].cond.tags()[0];
        // What another master writes to a machine that runs changes nothing: this fault comes after the stop.
        let after_stop = fault == Fault::OtherMaster;
        if after_stop {
            self.oracle.levels[tag] = 90.0;
            self.oracle.levels_changed(&self.scenario, self.now);
            let stopped = self.now + 4_000 * MS;
            self.go(stopped, |_| false);
        }
        let injected = self.now;
        let proof_faults = self.guard.as_ref().map_or(0, |guard| guard.proof_faults);
        let before = (self.net.borrow().closed(host), proof_faults);
        let lasting = 20_000 * MS;
        match fault {
            Fault::Hang => {
                self.held_until = self.now + 1_500 * MS;
                self.oracle.held_up(self.now, self.held_until);
                let until = self.held_until;
                self.schedule_turn(until);
            }
            Fault::Crash => self.crash(),
            _ => self.inflict(host, fault, lasting),
        }
        self.collect_posts();
        // The demand comes shortly after the fault: sometimes before it can have been seen.
        let demand_at = self.now + self.rng.between(0, 300) * MS;
        let seen = |world: &Self| world.notices(host, before);
        let mut detected_after = None;
        // A lie about a coil that falls anyway is none: it must be seen while the machine runs.
        let first_seen = matches!(fault, Fault::EchoLies | Fault::WatchdogLapsed);
        let demand_at = if after_stop {
            injected
        } else if first_seen {
            demand_at + 1_000 * MS
        } else {
            demand_at
        };
        if self.go(demand_at, seen) {
            detected_after = Some(self.now - injected);
            self.go(demand_at, |_| false);
        }
        let demanded = self.now;
        self.oracle.levels[tag] = 90.0;
        for rule in self.oracle.levels_changed(&self.scenario, self.now) {
            self.expect_stop(rule);
        }
        let stops = self.scenario.rules[rule].stops.clone();
        let longest = stops
            .iter()
            .map(|output| lapse(&self.scenario, *output))
            .max()
            .unwrap_or(0);
        let held = self.held_until.saturating_sub(demanded);
        let allowed = self.scenario.rules[rule].deadline + longest + held;
        let until = demanded + allowed + 3_000 * MS;
        let mut stopped_after = None;
        while self.now < until
            && self.oracle.violation.is_none()
            && (stopped_after.is_none() || detected_after.is_none())
        {
            let (want_stop, want_seen) = (stopped_after.is_none(), detected_after.is_none());
            let rest = |world: &Self| {
                stops
                    .iter()
                    .all(|output| !world.places[*output].energised(world.now))
            };
            self.go(until, |world| {
                (want_stop && rest(world)) || (want_seen && seen(world))
            });
            if want_stop && rest(&self) {
                stopped_after = Some(self.now - demanded);
            }
            if want_seen && seen(&self) {
                detected_after = Some(self.now - injected);
            }
        }
        // A refresh often takes the place back before the read-back looks: overruled, and nobody was told.
        if after_stop {
            detected_after = detected_after.or(stopped_after);
        }
        Some(Injection {
            detected_after,
            stopped_after,
            allowed,
            violation: self.oracle.violation,
        })
    }

    /// Whether the guard has noticed what is wrong with a host: it gave up a connection, holds an input unusable, or has
    /// latched an output for another reason than a true condition. A guard that is gone is noticed by the devices.
    fn notices(&self, host: usize, (given_up, proof_faults): (usize, u64)) -> bool {
        let Some(guard) = &self.guard else {
            return self.places.iter().all(|place| !place.energised(self.now));
        };
        if self.now < self.held_until {
            return self.places.iter().all(|place| !place.energised(self.now));
        }
        let unusable = |tag: usize| {
            guard
                .lane
                .tag(TagId(tag as u16))
                .is_some_and(|view| !view.quality.is_usable())
        };
        let blamed = |output: usize| {
            guard.lane.latch_of(output as u16).is_some_and(|latch| {
                !matches!(
                    latch.first_out,
                    LatchCause::Rule {
                        cause: RuleCause::Condition,
                        ..
                    } | LatchCause::Boot
                )
            })
        };
        let dropped = guard.dropped_messages();
        self.net.borrow().closed(host) > given_up
            || (0..self.scenario.tags.len()).any(unusable)
            || (0..self.places.len()).any(blamed)
            || guard.proof_faults > proof_faults
            || dropped > 0
    }

    fn armed(&self) -> bool {
        self.guard.is_some() && self.places.iter().all(|place| place.energised(self.now))
    }

    fn heal(&mut self) {
        self.healing = true;
        self.unfriendly = false;
        self.net.borrow_mut().unfriendly = false;
        for host in 0..self.hosts.len() {
            self.hosts[host].wrong = None;
            self.welded.fill((0, 0));
            self.net.borrow_mut().partition(host, false);
            self.net.borrow_mut().refuse(host, false);
        }
        for level in &mut self.oracle.levels {
            *level = 20.0;
        }
        self.oracle.levels_changed(&self.scenario, self.now);
        if self.guard.is_none() {
            self.start_guard();
        }
    }

    fn collect_posts(&mut self) {
        let posts = std::mem::take(&mut self.net.borrow_mut().posts);
        for (at, post) in posts {
            let event = match post {
                Post::ToHost { conn, bytes } => Ev::ToHost { conn, bytes },
                Post::Wake => Ev::Wake,
            };
            self.order += 1;
            self.queue.push(Reverse((at, self.order, event)));
        }
    }

    fn handle(&mut self, event: Ev) {
        match event {
            Ev::Turn(number) => {
                if number == self.turn {
                    self.turn_guard();
                }
            }
            Ev::Acquire(number) => {
                if number == self.acquire_turn {
                    self.turn_acquisition();
                }
            }
            Ev::Wake => self.wake(),
            Ev::ToHost { conn, bytes } => self.deliver(conn, &bytes),
            Ev::Level(tag) => self.level(tag),
            Ev::Publish(tag) => self.publish(tag),
            Ev::Trouble => self.trouble(),
            Ev::Mend(host) => {
                self.net.borrow_mut().partition(host, false);
                self.net.borrow_mut().refuse(host, false);
            }
            Ev::Operate => self.operate(),
            Ev::Release(nonce) => self.command(Command::Release(nonce)),
            Ev::Restart => {
                if self.guard.is_none() {
                    self.start_guard();
                }
            }
            Ev::Judge { rule, since } => self.judge(rule, since),
            Ev::JudgeGone { began } => self.judge_gone(began),
            Ev::JudgeMaster { output, wrote } => self.judge_master(output, wrote),
        }
    }

    fn start_guard(&mut self) {
        let seed = self.rng.next();
        let mut guard = Guard::start(&self.scenario, &self.net, seed);
        guard.lane.warm_up();
        self.oracle.restarted(self.now);
        self.guard = Some(guard);
        self.gone_since = None;
        self.digest.add(0x5747);
        self.schedule_turn(self.now);
        self.schedule_acquisition(self.now);
    }

    // ---- the guard's threads -------------------------------------------------------------------------------------

    fn schedule_turn(&mut self, at: u64) {
        let at = at.max(self.now).max(self.held_until);
        self.turn += 1;
        self.turn_at = at;
        let number = self.turn;
        self.order += 1;
        self.queue.push(Reverse((at, self.order, Ev::Turn(number))));
    }

    fn schedule_acquisition(&mut self, at: u64) {
        if !self.scenario.threaded {
            return;
        }
        let at = at.max(self.now);
        self.acquire_turn += 1;
        self.acquire_at = at;
        let number = self.acquire_turn;
        self.order += 1;
        self.queue
            .push(Reverse((at, self.order, Ev::Acquire(number))));
    }

    /// How late a thread wakes: its scheduler's doing.
    fn lateness(&mut self) -> u64 {
        if buggify!(self, "a thread wakes late", 10) {
            self.rng.between(MS / 2, TURN_MAX / 2)
        } else {
            self.rng.between(2_000, 60_000)
        }
    }

    fn wake(&mut self) {
        if self.guard.is_none() {
            return;
        }
        let at = self.now + self.lateness();
        if at < self.turn_at {
            self.schedule_turn(at);
        }
        let at = self.now + self.lateness();
        if at < self.acquire_at {
            self.schedule_acquisition(at);
        }
    }

    fn turn_acquisition(&mut self) {
        self.acquire_at = u64::MAX;
        let Some(mut guard) = self.guard.take() else {
            return;
        };
        for _ in 0..256 {
            let progress = guard.acquire();
            self.look(&mut guard);
            if !progress {
                break;
            }
        }
        let due = guard.acquire_due();
        let queued = guard.queued();
        self.guard = Some(guard);
        if queued {
            let at = self.now + self.lateness();
            if at < self.turn_at {
                self.schedule_turn(at);
            }
        }
        if due != MonoNs::NEVER {
            let late = self.lateness();
            self.schedule_acquisition(due.as_ns().max(self.now) + late);
        }
    }

    fn turn_guard(&mut self) {
        self.turn_at = u64::MAX;
        let Some(mut guard) = self.guard.take() else {
            return;
        };
        let threaded = self.scenario.threaded;
        for _ in 0..256 {
            let progress = !threaded && guard.acquire();
            self.look(&mut guard);
            let taken = guard.ingest();
            let from = guard.events.len();
            let mut commanded = false;
            while let Some(act) = guard.obey() {
                commanded = true;
                self.acted(&guard, &act);
            }
            if let Some(act) = guard.tick(taken || commanded) {
                self.acted(&guard, &act);
            }
            self.oracle.events(&guard, from, self.now);
            guard.drive();
            self.look(&mut guard);
            for index in 0..guard.outputs.len() {
                guard.confirm(index);
                self.look(&mut guard);
            }
            for event in &guard.events {
                self.digest.bytes(format!("{event:?}").as_bytes());
            }
            guard.events.clear();
            self.now += STEP;
            self.net.borrow_mut().now = self.now;
            if !progress && guard.due(threaded).as_ns() > self.now {
                break;
            }
        }
        self.oracle
            .turned(&self.scenario, &guard, self.now, &mut self.coverage);
        self.judge_poison(&guard);
        self.judge_escalation(&guard);
        let due = guard.due(threaded);
        self.guard = Some(guard);
        let late = self.lateness();
        self.schedule_turn(due.as_ns().max(self.now) + late);
    }

    fn acted(&mut self, guard: &Guard, act: &Act) {
        self.digest.bytes(format!("{act:?}").as_bytes());
        if matches!(act, Act::Reset { released: true, .. }) {
            self.judge_release();
        }
        self.oracle
            .acted(&self.scenario, guard, act, self.now, &mut self.coverage);
    }

    /// Shows the judge what was handed over, sent and taken.
    fn look(&mut self, guard: &mut Guard) {
        for frame in std::mem::take(&mut guard.pushed) {
            for sample in &frame.samples {
                self.digest.add(sample.value.to_bits());
            }
            self.oracle
                .pushed(&self.scenario, &frame, self.now, &mut self.coverage);
        }
        let (sent, taken) = {
            let mut net = self.net.borrow_mut();
            (
                std::mem::take(&mut net.sent),
                std::mem::take(&mut net.taken),
            )
        };
        for (conn, bytes) in sent {
            self.digest.bytes(&bytes);
            let host = self.net.borrow().conns[conn].host;
            match self.scenario.hosts[host] {
                HostKind::Input(_) => self.oracle.asked(host, self.now),
                HostKind::Broker(_) => {}
                HostKind::Outputs => {
                    let address = u16::from_be_bytes([bytes[8], bytes[9]]);
                    let coil = bytes[7] == 5;
                    if let Some(output) = self.output_at(host, address).filter(|_| coil) {
                        if bytes[10] == 0xFF {
                            self.judge_watchdog(output);
                        }
                        self.oracle
                            .sent(&self.scenario, guard, output, conn, &bytes, self.now);
                    }
                }
            }
        }
        for (conn, bytes) in taken {
            let host = self.net.borrow().conns[conn].host;
            if self.scenario.hosts[host] == HostKind::Outputs {
                self.oracle.echoed(conn, &bytes);
            }
        }
    }

    fn output_at(&self, host: usize, address: u16) -> Option<usize> {
        let here =
            |output: &crate::scenario::Output| output.host == host && output.address == address;
        self.scenario.outputs.iter().position(here)
    }

    /// Nothing goes on over a connection that gave bytes which nobody asked for (H-7, H-8, H-9, H-11, H-13).
    fn judge_poison(&mut self, _: &Guard) {
        let net = self.net.borrow();
        let late = |conn: &crate::net::Conn| {
            conn.poisoned.is_some_and(|at| self.now > at + 200 * MS)
                && self.now > self.held_until + 300 * MS
        };
        let found = net
            .live()
            .map(|index| &net.conns[index])
            .find(|conn| late(conn))
            .map(|conn| conn.host);
        drop(net);
        if let Some(host) = found {
            self.oracle.fail(
                "H-13",
                self.now,
                format!("the connection to host {host} is used on after bytes that answer nothing"),
            );
        }
    }

    // ---- devices -------------------------------------------------------------------------------------------------

    fn deliver(&mut self, conn: usize, bytes: &[u8]) {
        let host = self.net.borrow().conns[conn].host;
        let closed: Vec<bool> = (0..self.places.len())
            .map(|output| self.is_closed(output))
            .collect();
        let mut net = self.net.borrow_mut();
        if net.is_partitioned(host) {
            // It was on its way when the partition began.
            return;
        }
        match self.scenario.hosts[host] {
            HostKind::Input(device) => {
                let mut sensors = Sensors {
                    closed: &closed,
                    scenario: &self.scenario,
                    levels: &self.oracle.levels,
                    readings: &mut self.oracle.readings,
                };
                plant::answer_read(
                    device,
                    &mut self.hosts[host],
                    conn,
                    bytes,
                    &mut sensors,
                    &mut net,
                    &mut self.device_rng,
                );
            }
            HostKind::Outputs => {
                let held = net.is_orphan(conn);
                let written = plant::answer_write(
                    host,
                    &mut self.hosts[host],
                    conn,
                    bytes,
                    &self.scenario,
                    &mut self.places,
                    &mut net,
                    &mut self.device_rng,
                );
                drop(net);
                self.look_at_watchdogs(host);
                if let Some(written) = written {
                    self.digest
                        .add(written.output as u64 * 2 + u64::from(written.run));
                    if written.run && held {
                        // A dead guard's kernel delivered a permit: the device's watchdog is what ends it.
                        sometimes!(self.coverage, "a permit of a dead guard arrives", true);
                        let until = self.now + self.scenario.outputs[written.output].watchdog;
                        self.excused[written.output] = self.excused[written.output].max(until);
                    }
                }
            }
            HostKind::Broker(_) => {
                let mut inbox = std::mem::take(&mut net.conns[conn].inbox);
                let (reply, subscribed) = broker::answer(&mut inbox, bytes);
                net.conns[conn].inbox = inbox;
                if subscribed {
                    self.hosts[host].subscribed.push(conn);
                }
                if !reply.is_empty() {
                    net.to_guard(conn, 100_000, reply, false);
                }
            }
        }
    }

    /// Whether an output's contactor is closed: it is pulled, or welded to.
    fn is_closed(&self, output: usize) -> bool {
        let (from, until) = self.welded[output];
        self.places[output].energised(self.now) || (from..until).contains(&self.now)
    }

    fn look_at_watchdogs(&mut self, host: usize) {
        for (index, output) in self.scenario.outputs.iter().enumerate() {
            if output.host != host {
                continue;
            }
            let (address, value) = output.watchdog_register();
            let armed = output.check_every.is_none()
                || self.hosts[host].registers.get(&address) == Some(&value);
            match (armed, self.unarmed[index]) {
                (true, _) => self.unarmed[index] = None,
                (false, None) => self.unarmed[index] = Some(self.now),
                (false, Some(_)) => {}
            }
        }
    }

    /// H-64: no permit is sent for long to a device whose watchdog is not armed.
    fn judge_watchdog(&mut self, output: usize) {
        let plan = &self.scenario.outputs[output];
        let (Some(every), Some(since)) = (plan.check_every, self.unarmed[output]) else {
            return;
        };
        let since = since.max(self.oracle.held_until());
        if self.now > since + every + 2 * plan.confirm_within + 2 * WAY_MAX + 2 * TURN_MAX {
            self.oracle.fail("H-64", self.now, format!("a permit was sent to output {output}, whose device has had no armed watchdog for {} ms", (self.now - since) / MS));
        }
    }

    /// H-58 and H-59: a reset releases only what has stopped, where somebody looks.
    fn judge_release(&mut self) {
        for (index, output) in self.scenario.outputs.iter().enumerate() {
            if self.oracle.withheld(index).is_none() {
                continue;
            }
            let looked_at = |(period, within): (u64, u64)| {
                self.now
                    > self.mastered[index].max(self.oracle.held_until())
                        + 2 * period
                        + within
                        + output.confirm_within
                        + 4 * WAY_MAX
            };
            if output.read_back.is_some_and(looked_at) && self.places[index].energised(self.now) {
                self.oracle.fail("I3", self.now, format!("a reset released output {index}, whose coil has not fallen and is read back"));
                return;
            }
            let (from, until) = self.welded[index];
            if let Some((tag, _)) = output.feedback
                && (from..until).contains(&self.now)
                && self.now > from + self.scenario.tags[tag].stale_after + WAY_MAX + TURN_MAX
            {
                self.oracle.fail("I3", self.now, format!("a reset released output {index}, whose contactor is closed and is looked at"));
                return;
            }
        }
    }

    /// H-59: a contactor that does not open trips the next output.
    fn judge_escalation(&mut self, guard: &Guard) {
        for (index, output) in self.scenario.outputs.iter().enumerate() {
            let (Some((tag, within)), Some(to), Some(withheld_at)) = (
                output.feedback,
                output.escalate_to,
                self.oracle.withheld(index),
            ) else {
                continue;
            };
            let (from, until) = self.welded[index];
            if !(from..until).contains(&self.now) || withheld_at < from {
                continue;
            }
            let patience =
                output.confirm_within + output.read_back.map_or(0, |(_, within)| within) + within;
            let since = withheld_at.max(self.oracle.held_until());
            let due =
                since + patience + self.scenario.tags[tag].stale_after + WAY_MAX + 3 * TURN_MAX;
            if self.now <= due {
                continue;
            }
            sometimes!(self.coverage, "a welded contactor escalated", true);
            if guard.lane.permits().get(to) == Some(&Permit::Granted)
                && self.scenario.outputs[to].controlled.is_none()
            {
                self.oracle.fail(
                    "H-59",
                    self.now,
                    format!("output {index} does not open, and output {to} is still granted"),
                );
                return;
            }
        }
    }

    fn level(&mut self, tag: usize) {
        if self.scenario.tags[tag].kind != Kind::Level {
            return;
        }
        if self.healing || self.still {
            return;
        }
        let old = self.oracle.levels[tag];
        let fraction = self.rng.between(0, 1_023) as f64 * GRAIN;
        let (level, lasting) = if old > 45.0 {
            (
                self.rng.between(10, 40) as f64,
                self.rng.between(500, 6_000),
            )
        } else if self.rng.chance(300) {
            // Near the limits: in and out of dead bands.
            (self.rng.between(44, 66) as f64, self.rng.between(10, 800))
        } else if self.rng.chance(250) {
            (self.rng.between(70, 95) as f64, self.rng.between(20, 2_500))
        } else {
            (
                self.rng.between(10, 40) as f64,
                self.rng.between(500, 6_000),
            )
        };
        self.oracle.levels[tag] = level + fraction;
        for rule in self.oracle.levels_changed(&self.scenario, self.now) {
            self.expect_stop(rule);
        }
        self.at(lasting * MS, Ev::Level(tag));
    }

    fn expect_stop(&mut self, rule: usize) {
        let Some(since) = self.oracle.true_since(rule) else {
            return;
        };
        let stops = self.scenario.rules[rule].stops.clone();
        if let Some(longest) = stops
            .iter()
            .map(|output| lapse(&self.scenario, *output))
            .max()
        {
            let due = since + self.scenario.rules[rule].deadline + longest + MS;
            self.at(due - self.now, Ev::Judge { rule, since });
        }
    }

    /// I1 at the coil: the condition has lasted its deadline and every watchdog.
    fn judge(&mut self, rule: usize, since: u64) {
        let Some(still) = self.oracle.true_since(rule) else {
            return;
        };
        if still != since {
            // Held up meanwhile, or true anew: judged from then.
            if still > since {
                self.expect_stop(rule);
            }
            return;
        }
        sometimes!(self.coverage, "a condition lasted its deadline", true);
        for output in self.scenario.rules[rule].stops.clone() {
            if self.places[output].energised(self.now) && self.now > self.excused[output] {
                self.oracle.fail("I1", self.now, format!("output {output} is energised, and rule {rule} has been true for its deadline and the device's watchdog"));
            }
        }
        // As long as it lasts.
        let again = 50 * MS;
        self.at(again, Ev::Judge { rule, since });
    }

    fn publish(&mut self, tag: usize) {
        let Origin::Mqtt { device, period } = self.scenario.tags[tag].origin else {
            return;
        };
        let jitter = self.device_rng.between(0, period / 4);
        self.at(period - period / 8 + jitter, Ev::Publish(tag));
        let Some(host) = self
            .scenario
            .hosts
            .iter()
            .position(|kind| *kind == HostKind::Broker(device))
        else {
            return;
        };
        let fault = self.hosts[host].fault(self.now);
        let rules_bundle::LinkPlan::Mqtt(plan) = &self.scenario.plan.devices[device].link else {
            return;
        };
        let Some(subscription) = plan
            .subscriptions
            .iter()
            .find(|subscription| usize::from(subscription.fields[0].tag.0) == tag)
        else {
            return;
        };
        let readings = &mut self.oracle.readings[tag];
        let value = |number| reading::encode(tag, number, self.oracle.levels[tag]);
        let old = readings.latest().saturating_sub(20);
        let (payload, retain, dup) = match fault {
            Some(Fault::SensorSilent) => return,
            Some(Fault::Retained) => (format!("{}", value(old)), true, false),
            Some(Fault::Redelivered) => (format!("{}", value(old)), false, true),
            Some(Fault::Malformed) => ("12.5.1".to_owned(), false, false),
            Some(Fault::OutOfRange) => ("150".to_owned(), false, false),
            Some(Fault::NotFinite) => ("NaN".to_owned(), false, false),
            _ => (format!("{}", value(readings.issue(self.now))), false, false),
        };
        // A redelivery is one of a message that was acknowledged.
        let qos = if dup { 1 } else { subscription.qos };
        let bytes = broker::message(&subscription.topic, qos, retain, dup, payload.as_bytes());
        let mut net = self.net.borrow_mut();
        if net.is_partitioned(host) {
            return;
        }
        let up = net.up(host);
        self.hosts[host].subscribed.retain(|conn| up.contains(conn));
        for conn in self.hosts[host].subscribed.clone() {
            net.to_guard(conn, 0, bytes.clone(), false);
        }
    }

    // ---- trouble -------------------------------------------------------------------------------------------------

    fn trouble(&mut self) {
        if self.healing || !self.options.troubled {
            return;
        }
        let pause = self.rng.between(100, 1_500) * MS;
        self.at(pause, Ev::Trouble);
        match self.rng.between(0, 19) {
            0 => self.hang(),
            1 => self.crash(),
            _ => {
                let host = self.rng.below(self.hosts.len());
                let faults = match self.scenario.hosts[host] {
                    HostKind::Input(_) => Fault::INPUT,
                    HostKind::Outputs => Fault::OUTPUT,
                    HostKind::Broker(_) => Fault::BROKER,
                };
                let fault = *self.rng.pick(faults);
                let lasting = if self.rng.chance(500) {
                    self.rng.between(5, 120)
                } else {
                    self.rng.between(100, 1_500)
                };
                let lasting = if fault == Fault::OtherMaster {
                    0
                } else {
                    lasting * MS
                };
                self.inflict(host, fault, lasting);
            }
        }
    }

    fn inflict(&mut self, host: usize, fault: Fault, lasting: u64) {
        self.digest.bytes(fault.name().as_bytes());
        self.coverage.count(fault.name());
        let until = self.now + lasting + WAY_MAX;
        self.troubled_until[host] = self.troubled_until[host].max(until);
        match fault {
            Fault::Partition => {
                self.net.borrow_mut().partition(host, true);
                self.at(lasting, Ev::Mend(host));
            }
            Fault::Refusing => {
                let mut net = self.net.borrow_mut();
                net.refuse(host, true);
                for conn in net.up(host) {
                    net.end(conn, true);
                }
                drop(net);
                self.at(lasting, Ev::Mend(host));
            }
            Fault::Reset if matches!(self.scenario.hosts[host], HostKind::Broker(_)) => {
                let mut net = self.net.borrow_mut();
                for conn in net.up(host) {
                    net.end(conn, true);
                }
            }
            Fault::OtherMaster => self.other_master(host),
            Fault::WatchdogLapsed => {
                self.hosts[host].registers.clear();
                self.look_at_watchdogs(host);
            }
            Fault::Welded => {
                for output in 0..self.places.len() {
                    let here = self.scenario.outputs[output].host == host;
                    if here
                        && self.scenario.outputs[output].feedback.is_some()
                        && self.places[output].energised(self.now)
                    {
                        self.welded[output] = (self.now, self.now + lasting + 1_000 * MS);
                    }
                }
            }
            // Without reading back nobody can tell.
            Fault::EchoLies if !self.reads_back(host) => {}
            Fault::DeviceRestart => {
                for output in 0..self.places.len() {
                    if self.scenario.outputs[output].host == host {
                        self.places[output] = Place::default();
                    }
                }
                self.hosts[host].registers.clear();
                self.look_at_watchdogs(host);
                let mut net = self.net.borrow_mut();
                for conn in net.up(host) {
                    net.end(conn, true);
                }
            }
            _ => {
                self.hosts[host].wrong = Some(Wrong {
                    fault,
                    until: self.now + lasting,
                });
            }
        }
    }

    fn reads_back(&self, host: usize) -> bool {
        let mut here = self
            .scenario
            .outputs
            .iter()
            .filter(|output| output.host == host);
        here.all(|output| output.read_back.is_some())
    }

    fn other_master(&mut self, host: usize) {
        let own: Vec<usize> = (0..self.places.len())
            .filter(|output| self.scenario.outputs[*output].host == host)
            .collect();
        let output = *self.rng.pick(&own);
        let plan = &self.scenario.outputs[output];
        self.mastered[output] = self.now;
        // It keeps the device's watchdog content by itself.
        self.places[output].write(true, self.now, 60_000 * MS);
        let patience = plan.refresh + plan.confirm_within + 2 * WAY_MAX + 4 * TURN_MAX;
        // Longer only while the guard, or the way to the device, is not there: the rows of those faults apply then.
        self.excused[output] = u64::MAX;
        let wrote = self.now;
        self.at(
            patience + WAY_MAX,
            Ev::JudgeMaster {
                output,
                wrote: wrote + WAY_MAX + 1,
            },
        );
    }

    /// A permit that another master wrote must be taken back with the next refresh (H-60), unless the device cannot be
    /// reached, nothing takes writes, or there is no guard.
    fn judge_master(&mut self, output: usize, wrote: u64) {
        let host = self.scenario.outputs[output].host;
        let reachable = !self.net.borrow().is_partitioned(host)
            && self.troubled_until[host] < wrote
            && self.now > self.held_until + 500 * MS;
        let up = self
            .guard
            .as_ref()
            .is_some_and(|guard| guard.outputs[output].is_up());
        let withheld = self.guard.is_some()
            && self
                .oracle
                .withheld(output)
                .is_some_and(|since| since < wrote);
        let energised = self.places[output].energised(self.now);
        if energised && withheld && up && reachable {
            let on_since_before = self.places_written_by_guard(output, wrote);
            if !on_since_before {
                self.oracle.fail(
                    "H-60",
                    self.now,
                    format!("output {output} is withheld, and what another master wrote stands"),
                );
            }
            return;
        }
        if energised && (!up || !reachable || self.guard.is_none()) {
            self.at(
                100 * MS,
                Ev::JudgeMaster {
                    output,
                    wrote: self.now,
                },
            );
            return;
        }
        sometimes!(self.coverage, "another master was overruled", !energised);
        self.excused[output] = self.now;
    }

    /// Whether the guard came to be able to write only after `wrote`.
    fn places_written_by_guard(&self, output: usize, wrote: u64) -> bool {
        self.oracle.connected_after(output, wrote)
    }

    fn hang(&mut self) {
        if self.guard.is_none() || self.now < self.held_until + 8_000 * MS {
            return;
        }
        let lasting = self.rng.between(20, 1_200) * MS;
        self.coverage.count(Fault::Hang.name());
        let began = self.now;
        self.held_until = self.now + lasting;
        self.oracle.held_up(self.now, self.held_until);
        self.schedule_turn(self.held_until);
        let patience = self.scenario.watchdog_max() + 2 * WAY_MAX + MS;
        if lasting > patience {
            sometimes!(self.coverage, "a hang longer than every watchdog", true);
            self.at(patience, Ev::JudgeGone { began });
        }
    }

    fn crash(&mut self) {
        if self.guard.take().is_none() {
            return;
        }
        self.coverage.count(Fault::Crash.name());
        self.net.borrow_mut().orphan_all();
        self.gone_since = Some(self.now);
        self.turn_at = u64::MAX;
        self.turn += 1;
        self.acquire_at = u64::MAX;
        self.acquire_turn += 1;
        let began = self.now;
        let patience = self.scenario.watchdog_max() + 2 * WAY_MAX + MS;
        self.at(patience, Ev::JudgeGone { began });
        let away = self.rng.between(50, 2_000) * MS;
        self.at(away, Ev::Restart);
    }

    /// H-63: nobody refreshes, so the devices drop their permits.
    fn judge_gone(&mut self, began: u64) {
        let gone =
            self.gone_since == Some(began) || (self.held_until > self.now && self.guard.is_some());
        if !gone {
            return;
        }
        for output in 0..self.places.len() {
            if self.places[output].energised(self.now) && self.now > self.excused[output] {
                self.oracle.fail("H-63", self.now, format!("output {output} is energised, and nobody has refreshed it for its watchdog's time"));
            }
        }
    }

    // ---- people --------------------------------------------------------------------------------------------------

    fn operate(&mut self) {
        let pause = self.rng.between(100, 900) * MS;
        self.at(pause, Ev::Operate);
        if !self.healing && !self.still && self.rng.chance(20) {
            sometimes!(self.coverage, "operator trip", true);
            return self.command(Command::Trip);
        }
        if !self.healing && !self.scenario.votings.is_empty() && self.rng.chance(150) {
            let voting = self.rng.below(self.scenario.votings.len());
            let channel = self.rng.below(self.scenario.votings[voting].tags.len());
            let lasting = self.rng.between(1, 9_000) * MS;
            return self.command(Command::Bypass(voting, channel, lasting));
        }
        let nonce = self.rng.next();
        let held = match self.rng.between(0, 19) {
            0 if !self.healing => self.rng.between(1, 120),
            1 if !self.healing => self.rng.between(4_900, 6_000),
            _ => self.rng.between(101, 400),
        };
        let wrong = buggify!(self, "a release with another nonce", 50);
        self.at(
            held * MS,
            Ev::Release(if wrong { nonce ^ 1 } else { nonce }),
        );
        self.command(Command::Press(nonce));
    }

    fn command(&mut self, command: Command) {
        let Some(guard) = &mut self.guard else {
            return;
        };
        guard.commands.push(command);
        let at = self.now + self.lateness();
        if at < self.turn_at {
            self.schedule_turn(at);
        }
    }
}
