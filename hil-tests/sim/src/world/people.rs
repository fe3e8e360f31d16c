//! Operators: resets right and wrong, trips, bypasses.

use super::{Ev, World};
use crate::guard::Command;
use crate::scenario::MS;
use crate::{buggify, sometimes};

impl World {
    pub(super) fn operate(&mut self) {
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
        if self.scenario.tags.iter().any(|tag| tag.acknowledge) && self.rng.chance(300) {
            self.command(Command::Acknowledge);
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

    pub(super) fn command(&mut self, command: Command) {
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
