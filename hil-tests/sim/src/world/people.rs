//! Operators: resets right and wrong, trips, bypasses.

use super::{Ev, World};
use crate::guard::Command;
use crate::scenario::{Kind, MS};
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
        let button = |tag: &crate::scenario::Tag| tag.kind == Kind::Button;
        if let Some(tag) = self.scenario.tags.iter().position(button)
            && self.rng.chance(500)
        {
            return self.press_button(tag);
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

    /// Somebody presses the button; it acts when it is let go.
    fn press_button(&mut self, tag: usize) {
        if self.oracle.is_on(tag) {
            return;
        }
        let right = self.scenario.tags[tag].stale_after / MS + 150;
        let held = match self.rng.between(0, 9) {
            0 if !self.healing => self.rng.between(1, 99),
            1..=2 if !self.healing => self.rng.between(4_900, 15_000),
            3..=4 if !self.healing => self.rng.between(right, 4_500),
            _ => self.rng.between(right, right + 800),
        };
        self.oracle.switched(tag, true, self.now);
        self.at(held * MS, Ev::LetGo(tag));
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
