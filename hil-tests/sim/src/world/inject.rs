//! One fault at a random instant while everything runs, and a demand behind it.

use appliance_lane::{LatchCause, RuleCause};
use drivers_frame::TagId;

use super::{Options, World};
use crate::fault::Fault;
use crate::oracle::{Violation, lapse};
use crate::scenario::{Cond, HostKind, Kind, MS};

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
        wall_jumps: true,
    };
    World::new(seed, options).inject(fault)
}

impl World {
    /// Where this fault can strike so that a rule suffers: its host and a danger rule with the level that makes it true.
    fn target(&mut self, fault: Fault) -> Option<(usize, usize)> {
        let mut found = Vec::new();
        for (index, rule) in self.scenario.rules.iter().enumerate() {
            if rule.stops.is_empty() || !matches!(rule.cond, Cond::Above { .. }) {
                continue;
            }
            let tag = rule.cond.tags()[0];
            if self.scenario.tags[tag].kind != Kind::Level {
                continue;
            }
            for (host, kind) in self.scenario.hosts.iter().enumerate() {
                let hit = match kind {
                    HostKind::Input(device) => {
                        *device == self.scenario.tags[tag].device() && Fault::INPUT.contains(&fault)
                    }
                    HostKind::Broker(device) => {
                        *device == self.scenario.tags[tag].device()
                            && Fault::BROKER.contains(&fault)
                            && self.concerns(tag, fault)
                    }
                    HostKind::Outputs => {
                        Fault::OUTPUT.contains(&fault) && self.suits(host, rule.stops[0], fault)
                    }
                };
                let hit =
                    hit && (fault != Fault::Frozen || self.scenario.tags[tag].frozen.is_some());
                if hit || matches!(fault, Fault::Hang | Fault::Crash) {
                    found.push((host, index));
                }
            }
        }
        (!found.is_empty()).then(|| *self.rng.pick(&found))
    }

    /// Whether messages of a tag can suffer this fault.
    fn concerns(&self, tag: usize, fault: Fault) -> bool {
        if !Fault::ON_THE_WAY.contains(&fault) {
            return true;
        }
        let others = self.scenario.tags.iter().enumerate();
        let others = others.filter(|(other, known)| *other != tag && known.envelope.is_some());
        self.scenario.tags[tag]
            .envelope
            .is_some_and(|envelope| match fault {
                Fault::HeldUp => envelope.max_delay.is_some(),
                Fault::Masquerade => envelope.keyed,
                Fault::Misaddressed => others.count() > 0,
                _ => true,
            })
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
        self.calm();
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
        self.reconsider();
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
}
