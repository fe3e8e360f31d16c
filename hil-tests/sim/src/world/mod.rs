//! One run: virtual time, the world around the guard, and the judge.
//!
//! The loop over events is in here; what the events do is in `threads` (the guard's), `devices`, `demands` (what is
//! judged at the coils and in the plant), `trouble` and `people`; `inject` is the campaign of single faults.

mod analysis;
mod demands;
mod devices;
mod inject;
mod mail;
mod people;
mod threads;
mod trouble;
mod wall;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub use analysis::samples as block_samples;
pub use inject::{Injection, run_injection};

use crate::coverage::Coverage;
use crate::digest::Digest;
use crate::guard::{Command, Guard};
use crate::net::{Net, Post, SharedNet};
use crate::oracle::{Oracle, Violation};
use crate::plant::{Host, Place};
use crate::rng::Rng;
use crate::scenario::{Kind, MS, Origin, Scenario};
use crate::sometimes;

/// Longest time after healing in which the guard must arm again: back-offs, freshness, windows, a reset that is tried
/// again and again.
pub const ARM_WITHIN: u64 = 20_000 * MS;

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
    /// The reset button is let go.
    LetGo(usize),
    /// A broker sends what it held up: its host, and which.
    Late(usize, usize),
    /// A sensor publishes.
    Publish(usize),
    /// A waveform's source publishes a block.
    Block(usize),
    /// Class background does a job.
    Work,
    /// What makes spares takes a turn for an analyzer.
    Serve(usize),
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
    /// The wall clock jumps.
    pub wall_jumps: bool,
}

impl Options {
    /// Faults by chance for so many virtual seconds.
    pub fn seconds(seconds: u64) -> Self {
        Self {
            safety: seconds * 1_000 * MS,
            troubled: true,
            wall_jumps: true,
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

/// A run that is going on.
pub struct World {
    scenario: Scenario,
    options: Options,
    pub(crate) unfriendly: bool,
    pub(crate) rng: Rng,
    device_rng: Rng,
    /// What only analyzers and waveforms draw.
    analysis_rng: Rng,
    /// Until when class background gets no time.
    behind_until: u64,
    net: SharedNet,
    guard: Option<Guard>,
    oracle: Oracle,
    hosts: Vec<Host>,
    places: Vec<Place>,
    mail: mail::Mail,
    wall: wall::WallClock,
    /// How far it was ahead when the lane's thread turned last, and when that was.
    wall_before: (i64, u64),
    /// From and until when each output's contactor does not open.
    welded: Vec<(u64, u64)>,
    /// Since when the watchdog of each output's device is not armed.
    unarmed: Vec<Option<u64>>,
    /// Since when each output's coil is off although nothing is latched.
    dark: Vec<Option<u64>>,
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
    /// What envelopes had shown at the turn before.
    shown: [u64; 8],
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
            .map(|tag| match tag.kind {
                Kind::Level | Kind::Contact(_) => rng.between(10, 40) as f64,
                Kind::Switch | Kind::Button | Kind::Derived { .. } => 0.0,
            })
            .collect();
        let mut world = Self {
            oracle: Oracle::new(&scenario, levels),
            mail: mail::Mail::new(&scenario),
            wall: wall::WallClock::draw(seed, options.wall_jumps, options.safety),
            wall_before: (0, 0),
            shown: [0; 8],
            hosts: vec![Host::default(); scenario.hosts.len()],
            places: vec![Place::default(); scenario.outputs.len()],
            welded: vec![(0, 0); scenario.outputs.len()],
            unarmed: vec![Some(0); scenario.outputs.len()],
            dark: vec![None; scenario.outputs.len()],
            mastered: vec![0; scenario.outputs.len()],
            troubled_until: vec![0; scenario.hosts.len()],
            excused: vec![0; scenario.outputs.len()],
            analysis_rng: Rng::new(seed ^ 0xA7A1),
            behind_until: 0,
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
            if matches!(world.scenario.tags[tag].origin, Origin::Derived { .. }) {
                continue;
            }
            let wait = world.rng.between(500, 4_000) * MS;
            world.at(wait, Ev::Level(tag));
            if let Origin::Mqtt { period, .. } = world.scenario.tags[tag].origin {
                world.at(period, Ev::Publish(tag));
            }
        }
        for wave in 0..world.scenario.waves.len() {
            world.at(world.scenario.waves[wave].period, Ev::Block(wave));
        }
        for analyzer in 0..world.scenario.analyzers.len() {
            world.at(
                world.scenario.analyzers[analyzer].service,
                Ev::Serve(analyzer),
            );
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
        self.calm();
        self.oracle.levels_changed(&self.scenario, self.now);
        if self.guard.is_none() {
            self.start_guard();
        }
    }

    /// Every level is far from every limit, and every switch off.
    fn calm(&mut self) {
        for (tag, known) in self.scenario.tags.iter().enumerate() {
            match known.kind {
                Kind::Level | Kind::Contact(_) => self.oracle.levels[tag] = 20.0,
                Kind::Switch | Kind::Button => self.oracle.switched(tag, false, self.now),
                Kind::Derived { .. } => {}
            }
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
            Ev::LetGo(tag) => self.oracle.switched(tag, false, self.now),
            Ev::Publish(tag) => self.publish(tag),
            Ev::Block(wave) => self.publish_block(wave),
            Ev::Work => self.work(),
            Ev::Serve(analyzer) => self.serve(analyzer),
            Ev::Late(host, index) => self.deliver_late(host, index),
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
        self.mail.guard_started();
        self.shown = [0; 8];
        self.oracle.levels_changed(&self.scenario, self.now);
        self.guard = Some(guard);
        self.gone_since = None;
        self.digest.add(0x5747);
        self.schedule_turn(self.now);
        self.schedule_acquisition(self.now);
    }
}
