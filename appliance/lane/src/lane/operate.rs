//! What people may do: stop, reset, acknowledge, bypass; and what holds the whole lane.

use drivers_frame::{DurNs, MonoNs, TagId, planted};
use rules_bundle::Level;

use super::{Lane, RuleEngine};
use crate::analyzer::AnalyzerEngine;
use crate::bypass::{BypassRefusal, Point};
use crate::event::{EventKind, Hold, LatchCause, ResetRefusal};
use crate::reset::{Edge, Hand, ReleaseFault, ResetState};
use crate::rule::RuleState;

impl<E: RuleEngine, A: AnalyzerEngine> Lane<E, A> {
    /// Stops every output. Needs no rights: a stop is always allowed.
    pub fn trip(&mut self, now: MonoNs) {
        self.latch_all(LatchCause::Operator, now);
    }

    /// A tick began too late for the tightest deadline: stops every output (H-29). It may be reset.
    pub fn overrun(&mut self, now: MonoNs) {
        self.latch_all(LatchCause::Overrun, now);
    }

    /// Stops every output for good: the guard is going down.
    pub fn shut_down(&mut self, now: MonoNs) {
        self.shutting_down = true;
        self.latch_all(LatchCause::Shutdown, now);
    }

    /// Stops every output until it is lifted and reset.
    pub fn hold(&mut self, hold: Hold, now: MonoNs) {
        if self.holds & hold.bit() == 0 {
            self.holds |= hold.bit();
            self.emit(now, EventKind::Held(hold));
        }
        self.latch_all(LatchCause::Held(hold), now);
    }

    /// Lifts a hold; the latches stay until they are reset. `false` when it was not held, or cannot be lifted: what
    /// was found wrong with the lane itself needs a restart.
    pub fn lift(&mut self, hold: Hold, now: MonoNs) -> bool {
        let may = !matches!(hold, Hold::Memory | Hold::Watchdog);
        if self.holds & hold.bit() == 0 || !may {
            return false;
        }
        self.holds &= !hold.bit();
        self.emit(now, EventKind::Lifted(hold));
        true
    }

    /// Whether this holds the lane.
    pub fn is_held(&self, hold: Hold) -> bool {
        self.holds & hold.bit() != 0
    }

    /// Presses the reset. Nothing is released before [`Lane::release_reset`] with the same nonce, which must be unused
    /// and not to be guessed.
    ///
    /// # Errors
    /// [`ResetRefusal`]: what stands against it now.
    pub fn press_reset(&mut self, nonce: u64, now: MonoNs) -> Result<(), ResetRefusal> {
        self.press(Hand::Request { nonce }, now)
    }

    /// Releases the reset that was pressed with this nonce, and with it every latch, if nothing came to stand against it:
    /// the only code path that does (H-53, I3). All or nothing. The permits follow with the next tick.
    ///
    /// # Errors
    /// [`ResetRefusal`]; nothing was released then, and the reset must be pressed again.
    pub fn release_reset(&mut self, nonce: u64, now: MonoNs) -> Result<(), ResetRefusal> {
        self.release(Hand::Request { nonce }, now)
    }

    /// Takes the press with this nonce back: whoever pressed gave it up. `false` when no such press is held.
    pub fn take_back_reset(&mut self, nonce: u64) -> bool {
        let held = self.reset.state() == Some(ResetState::Pressed);
        self.reset.cancel(Hand::Request { nonce });
        held && self.reset.state() != Some(ResetState::Pressed)
    }

    fn press(&mut self, hand: Hand, now: MonoNs) -> Result<(), ResetRefusal> {
        self.notice_stale(now);
        let refusal = self.reset_refusal();
        self.reset.standing(refusal.is_some());
        if let Some(refusal) = refusal {
            self.emit(now, EventKind::ResetRefused(refusal));
            return Err(refusal);
        }
        if !self.reset.press(hand, now) {
            // Another hand holds it.
            self.emit(now, EventKind::ResetRefused(ResetRefusal::WrongHand));
            return Err(ResetRefusal::WrongHand);
        }
        if planted!(ResetOnPress) {
            for group in &mut self.groups {
                group.release();
            }
        }
        let button = hand == Hand::Button;
        self.emit(now, EventKind::ResetPressed { button });
        Ok(())
    }

    fn release(&mut self, hand: Hand, now: MonoNs) -> Result<(), ResetRefusal> {
        // A lane that was held up must not decide upon what it knew before (I4).
        self.notice_stale(now);
        let standing = self.reset_refusal();
        self.reset.standing(standing.is_some());
        if let Err(fault) = self.reset.release(hand, now) {
            let refusal = standing.unwrap_or(match fault {
                ReleaseFault::NotPressed => ResetRefusal::NotPressed,
                ReleaseFault::WrongHand => ResetRefusal::WrongHand,
                ReleaseFault::TooShort => ResetRefusal::TooShort,
                ReleaseFault::TooLong => ResetRefusal::TooLong,
            });
            self.emit(now, EventKind::ResetRefused(refusal));
            return Err(refusal);
        }
        for group in 0..self.groups.len() {
            let released = self
                .groups
                .get_mut(group)
                .is_some_and(|group| group.release());
            if !released {
                continue;
            }
            for index in 0..self.outputs.len() {
                let Some(output) = self.outputs.get_mut(index) else {
                    break;
                };
                if usize::from(output.group) != group {
                    continue;
                }
                output.stopping = None;
                if let Ok(output) = u16::try_from(index) {
                    self.emit(now, EventKind::Released { output });
                }
            }
        }
        Ok(())
    }

    /// The reset button, and a press that is held for too long.
    pub(super) fn run_reset(&mut self, now: MonoNs) {
        // Press and release look for themselves; between them a cause that comes and goes must not be overlooked. That
        // is a pass over all rules, so it is done only while the reset is held.
        if self.reset.state() == Some(ResetState::Pressed) {
            let standing = self.reset_refusal().is_some();
            self.reset.standing(standing);
        }
        if self.reset.expire(now) {
            self.emit(now, EventKind::ResetRefused(ResetRefusal::TooLong));
        }
        let Some((tag, _)) = self.button else {
            return;
        };
        let down = self.truth(tag);
        let edge = self
            .button
            .as_mut()
            .and_then(|(_, button)| button.see(down));
        // What is refused was told by an event; nobody else waits for the answer.
        let _ = match edge {
            None => Ok(()),
            Some(Edge::Press) => self.press(Hand::Button, now),
            Some(Edge::Release) => self.release(Hand::Button, now),
            Some(Edge::Lost) => {
                self.reset.cancel(Hand::Button);
                Ok(())
            }
        };
    }

    /// What stands against a reset now.
    pub fn reset_refusal(&self) -> Option<ResetRefusal> {
        if self.shutting_down {
            return Some(ResetRefusal::ShuttingDown);
        }
        if self.engine_failed {
            return Some(ResetRefusal::EngineFault);
        }
        if let Some(hold) = Hold::ALL.into_iter().find(|hold| self.is_held(*hold)) {
            return Some(ResetRefusal::Held(hold));
        }
        if self.groups.iter().all(|group| !group.is_latched()) {
            return Some(ResetRefusal::NothingLatched);
        }
        self.standing_rule()
            .or_else(|| self.standing_channel())
            .or_else(|| self.standing_output())
    }

    fn standing_rule(&self) -> Option<ResetRefusal> {
        (0_u16..)
            .zip(self.rules.iter().zip(&self.settings).zip(&self.queued))
            .find(|(_, ((rule, setting), queued))| {
                // A rule that waits to be evaluated has not decided yet either.
                let clear = rule.state == RuleState::Normal && !queued.waits;
                setting.level == Level::Danger && !clear && !planted!(ResetWhileCause)
            })
            .map(|(rule, _)| ResetRefusal::RuleNotClear { rule })
    }

    /// A bad channel stands against a reset even when the others outvote it.
    fn standing_channel(&self) -> Option<ResetRefusal> {
        for (voting, state) in (0_u16..).zip(&self.votings) {
            for (channel, tag) in (0_u8..).zip(&state.tags) {
                let bypassed = self.bypasses.covers(Point::Channel { voting, channel });
                let usable = self.tag(*tag).is_some_and(|view| view.quality.is_usable());
                let healthy = usable && state.suspect(usize::from(channel)).is_none();
                if !bypassed && !healthy && !planted!(ResetWithBadChannel) {
                    return Some(ResetRefusal::BadChannel { voting, channel });
                }
            }
        }
        None
    }

    fn standing_output(&self) -> Option<ResetRefusal> {
        (0_u16..).zip(&self.outputs).find_map(|(output, state)| {
            let latched = self
                .groups
                .get(usize::from(state.group))
                .is_none_or(|group| group.is_latched());
            if !latched {
                None
            } else if state.feedback_stands() {
                Some(ResetRefusal::FeedbackNotSafe { output })
            } else if !state.proved_safe && !planted!(ResetUnproved) {
                Some(ResetRefusal::OutputNotConfirmed { output })
            } else if state.watchdog_armed == Some(false) && !planted!(PermitUnguarded) {
                Some(ResetRefusal::DeviceWatchdogNotArmed { output })
            } else {
                None
            }
        })
    }

    /// Acknowledges channels that were bad and are good again: all of them, or one. Returns how many waited for it;
    /// each comes back with its next good sample.
    pub fn acknowledge(&mut self, tag: Option<TagId>) -> u16 {
        let mut count = 0_u16;
        for (index, health) in (0_u16..).zip(&mut self.health) {
            if tag.is_none_or(|tag| tag.0 == index) && health.acknowledge() {
                count = count.saturating_add(1);
            }
        }
        count
    }

    /// Withholds one vote for a limited time.
    ///
    /// # Errors
    /// [`BypassRefusal`]; nothing changed.
    pub fn bypass(
        &mut self,
        point: Point,
        lasting: DurNs,
        now: MonoNs,
    ) -> Result<(), BypassRefusal> {
        let at_most = match point {
            Point::Channel { voting, channel } => {
                let state = self
                    .votings
                    .get(usize::from(voting))
                    .filter(|state| usize::from(channel) < state.tags.len())
                    .ok_or(BypassRefusal::NoSuchPoint)?;
                state.bypass_at_most()
            }
            Point::Rule(rule) => {
                let setting = self
                    .settings
                    .get(usize::from(rule))
                    .ok_or(BypassRefusal::NoSuchPoint)?;
                setting.bypass_at_most.filter(|_| setting.voting.is_none())
            }
        };
        self.bypasses.begin(point, lasting, at_most, now)?;
        let until = now.after(lasting);
        self.emit(now, EventKind::BypassBegun { point, until });
        self.queue_point(point, now);
        Ok(())
    }

    /// Ends a bypass. `false` when there was none.
    pub fn end_bypass(&mut self, point: Point, now: MonoNs) -> bool {
        let ended = self.bypasses.end(point);
        if ended {
            let expired = false;
            self.emit(now, EventKind::BypassEnded { point, expired });
            self.queue_point(point, now);
        }
        ended
    }
}
