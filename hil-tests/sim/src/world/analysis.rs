//! Waveforms' sources, class background, and what makes spares.

use super::{Ev, World};
use crate::fault::Fault;
use crate::guard::Guard;
use crate::scenario::{BLOCK_SAMPLES, HostKind, MS, SAMPLE_STEP, shown, topic};
use crate::{broker, sometimes};

impl World {
    /// A source publishes a block: its number, and the level that it shows.
    pub(super) fn publish_block(&mut self, index: usize) {
        let wave = self.scenario.waves[index];
        let jitter = self.analysis_rng.between(0, wave.period / 4);
        self.at(wave.period - wave.period / 8 + jitter, Ev::Block(index));
        let own = |kind: &HostKind| *kind == HostKind::Broker(wave.device);
        let Some(host) = self.scenario.hosts.iter().position(own) else {
            return;
        };
        let fault = self.hosts[host].fault(self.now);
        let level = shown(self.oracle.levels[wave.tag]);
        let (mut retain, mut dup, mut payload) = (false, false, Vec::new());
        match fault {
            Some(Fault::SensorSilent) => return,
            Some(Fault::Retained | Fault::Redelivered) => {
                (retain, dup) = (
                    fault == Some(Fault::Retained),
                    fault == Some(Fault::Redelivered),
                );
                payload = self.oracle.old_block(index);
            }
            Some(Fault::Malformed) => payload.extend([1; 7]),
            _ => {
                let number = self.oracle.block_made(index, self.now, level);
                payload.extend((number as u32).to_le_bytes());
                payload.extend(self.oracle.block(index, number));
                // What is lost on the way, and what comes twice.
                match fault {
                    Some(Fault::Lost) if self.analysis_rng.chance(400) => return,
                    Some(Fault::Repeatedly) => {
                        self.send_block(host, index, (false, false), &payload);
                    }
                    _ => {}
                }
            }
        }
        if !payload.is_empty() {
            self.send_block(host, index, (retain, dup), &payload);
        }
    }

    fn send_block(
        &mut self,
        host: usize,
        index: usize,
        (retain, dup): (bool, bool),
        payload: &[u8],
    ) {
        if self.net.borrow().is_partitioned(host) {
            return;
        }
        let bytes = broker::message(&topic(index), u8::from(dup), retain, dup, payload);
        let up = self.net.borrow().up(host);
        self.hosts[host].subscribed.retain(|conn| up.contains(conn));
        for conn in self.hosts[host].subscribed.clone() {
            self.mail(conn, 0, bytes.clone(), None);
        }
    }

    /// What the lane handed over to class background is done some time later; sometimes its core has other things to do.
    pub(super) fn hand_over(&mut self, guard: &mut Guard) {
        let seats = guard.lane.analyzer_engine_mut();
        let jobs = std::mem::take(&mut seats.handed_over);
        sometimes!(
            self.coverage,
            "a frame for class background dropped",
            std::mem::take(&mut seats.dropped) > 0
        );
        if jobs > 0 && self.unfriendly && self.analysis_rng.chance(3) {
            self.behind_until = self.now + self.analysis_rng.between(50, 800) * MS;
        }
        for _ in 0..jobs {
            let late = self.behind_until.saturating_sub(self.now);
            let wait = late + self.analysis_rng.between(20_000, 3 * MS);
            self.at(wait, Ev::Work);
        }
    }

    pub(super) fn work(&mut self) {
        let Some(mut guard) = self.guard.take() else {
            return;
        };
        guard.work();
        self.look(&mut guard);
        self.guard = Some(guard);
        self.wake();
    }

    /// What makes spares looks after one analyzer.
    pub(super) fn serve(&mut self, analyzer: usize) {
        let period = self.scenario.analyzers[analyzer].service;
        self.at(period, Ev::Serve(analyzer));
        if let Some(guard) = &mut self.guard {
            guard.refill(analyzer);
            self.oracle.refilled(&self.scenario, analyzer);
        }
    }
}

/// The samples of a block: two that name it, the others show a level.
pub fn samples(number: u64, level: f64) -> Vec<u8> {
    let raw = (level / SAMPLE_STEP) as i16;
    let named = [(number & 0x7FFF) as i16, (number >> 15) as i16];
    let level = std::iter::repeat_n(raw, BLOCK_SAMPLES as usize - 2);
    let all = named.into_iter().chain(level);
    all.flat_map(i16::to_le_bytes).collect()
}
