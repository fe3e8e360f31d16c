//! Rules: each condition twice, the vote of their channels, delays.

use appliance_sandbox::CallFault;
use drivers_frame::{Cause, MonoNs, Quality, TagId, planted};
use rt_config::limits::VOTING_CHANNELS_MAX;
use rules_expr::ir::{Program, Tri};

use super::{Lane, PermissionKind, RuleEngine};
use crate::analyzer::AnalyzerEngine;
use crate::bypass::Point;
use crate::event::{EventKind, LatchCause, RuleCause};
use crate::rule::{Change, Outcome, RuleState};
use crate::slots::Slots;
use crate::tags::{self, TagView};
use crate::vote::{Ballot, ChannelVote, vote};
use crate::voting::Seen;

impl<E: RuleEngine, A: AnalyzerEngine> Lane<E, A> {
    /// Looks at the channels of every voting that a sample or the time asks for.
    pub(super) fn compare_channels(&mut self, now: MonoNs) {
        if self.dirty_votings.is_empty() && now < self.voting_due {
            return;
        }
        if now >= self.voting_due {
            // A deviation has lasted somewhere: look at all, it is rare.
            self.dirty_votings.clear();
            for voting in 0..self.votings.len().min(self.dirty_votings.capacity()) {
                if let Ok(voting) = u16::try_from(voting) {
                    self.dirty_votings.push(voting);
                }
            }
        }
        for position in 0..self.dirty_votings.len() {
            if let Some(voting) = self.dirty_votings.get(position).copied() {
                self.compare_channels_of(voting, now);
            }
        }
        self.dirty_votings.clear();
        self.voting_due = self
            .votings
            .iter()
            .map(|voting| voting.next_due(now))
            .min()
            .unwrap_or(MonoNs::NEVER);
    }

    fn compare_channels_of(&mut self, index: u16, now: MonoNs) {
        let position = usize::from(index);
        let Some(voting) = self.votings.get(position) else {
            return;
        };
        let mut seen = [Seen::default(); VOTING_CHANNELS_MAX];
        let count = voting.tags.len();
        for (cell, tag) in seen.iter_mut().zip(&voting.tags) {
            if let Some(view) = self.tag(*tag) {
                *cell = Seen {
                    value: view.value,
                    usable: view.quality.is_usable(),
                    at: view.at,
                };
            }
        }
        let Some(voting) = self.votings.get_mut(position) else {
            return;
        };
        let changes = voting.look(seen.get(..count).unwrap_or(&[]), now);
        for channel in 0..u8::try_from(count).unwrap_or(0) {
            let bit = 1_u8.checked_shl(u32::from(channel)).unwrap_or(0);
            if changes.told & bit != 0 {
                let on = self
                    .votings
                    .get(position)
                    .is_some_and(|voting| voting.deviates(usize::from(channel)));
                self.emit(
                    now,
                    EventKind::Deviation {
                        voting: index,
                        channel,
                        on,
                    },
                );
            }
            if changes.suspects & bit != 0 {
                let cause = self
                    .votings
                    .get(position)
                    .and_then(|voting| voting.suspect(usize::from(channel)))
                    .unwrap_or(Cause::None);
                self.emit(
                    now,
                    EventKind::Channel {
                        voting: index,
                        channel,
                        cause,
                    },
                );
            }
        }
        if changes.votes {
            self.queue_rules_of_voting(index, now);
        }
    }

    pub(super) fn queue_rules_of_voting(&mut self, voting: u16, now: MonoNs) {
        let voting = usize::from(voting);
        for position in 0..self.rules_of_voting.of(voting).len() {
            if let Some(rule) = self.rules_of_voting.of(voting).get(position).copied() {
                self.queue_rule(rule, now);
            }
        }
    }

    /// The rules that a bypass concerns.
    pub(super) fn queue_point(&mut self, point: Point, now: MonoNs) {
        match point {
            Point::Channel { voting, .. } => self.queue_rules_of_voting(voting, now),
            Point::Rule(rule) => self.queue_rule(rule, now),
        }
    }

    pub(super) fn evaluate(&mut self, index: u16, now: MonoNs) {
        self.counters.evaluations = self.counters.evaluations.saturating_add(1);
        let position = usize::from(index);
        let Some(queued) = self.queued.get_mut(position) else {
            return;
        };
        queued.waits = false;
        let origin = queued.origin;
        let outcome = self.outcome(index);
        if outcome == Outcome::Fault(RuleCause::Comparison) {
            self.counters.comparison_faults = self.counters.comparison_faults.saturating_add(1);
        }
        let waiting = self
            .rules
            .get(position)
            .is_some_and(|rule| rule.state == RuleState::Waiting);
        let missing = waiting && self.input_missing(position);
        let (Some(setting), Some(rule)) =
            (self.settings.get(position), self.rules.get_mut(position))
        else {
            return;
        };
        // A voting without all its channels has not decided yet, unless enough of the others demand a stop.
        if missing && setting.voting.is_some() && outcome == Outcome::Decided(Tri::False) {
            return;
        }
        let change = rule.decide(outcome, &setting.timing, origin, now, missing);
        // A clearing rule changes its state later, without an event now.
        if rule.due(&setting.timing) != MonoNs::NEVER {
            self.delay(index);
        }
        if let Some(change) = change {
            self.apply(index, change, now);
        }
    }

    /// What a rule's condition, or the vote of its channels, says now.
    fn outcome(&mut self, index: u16) -> Outcome {
        let position = usize::from(index);
        if self.engine_failed {
            return Outcome::Fault(RuleCause::Comparison);
        }
        let raised = self.is_permitted(index, PermissionKind::Multiplier);
        let inhibited = self.is_permitted(index, PermissionKind::Inhibit);
        let (Some(setting), Some(rule)) =
            (self.settings.get(position), self.rules.get_mut(position))
        else {
            return Outcome::Fault(RuleCause::Comparison);
        };
        let use_raised = (raised || planted!(MultiplierAlways)) && !setting.raised.is_empty();
        let (programs, first) = if use_raised {
            let first = setting.function.saturating_add(setting.programs.len());
            (&setting.raised, first)
        } else {
            (&setting.programs, setting.function)
        };
        let voting = setting
            .voting
            .and_then(|voting| Some((voting, self.votings.get(usize::from(voting))?)));
        let mut votes = [ChannelVote::Bad; VOTING_CHANNELS_MAX];
        let mut single = Tri::Bad;
        let mut tripped = 0_u8;
        for (channel, program) in programs.iter().enumerate() {
            let number = u32::try_from(channel).unwrap_or(u32::MAX);
            let function = first.saturating_add(channel);
            let hold = rule.hold(number);
            let tri = match twice(&mut self.engine, &self.slots, program, function, hold) {
                Outcome::Decided(tri) => tri,
                fault => return fault,
            };
            if tri == Tri::True {
                tripped |= 1_u8.checked_shl(number).unwrap_or(0);
            }
            single = tri;
            let (Some((voting, state)), Some(vote)) = (voting, votes.get_mut(channel)) else {
                continue;
            };
            let point = Point::Channel {
                voting,
                channel: u8::try_from(channel).unwrap_or(u8::MAX),
            };
            *vote = match tri {
                _ if self.bypasses.covers(point) && !planted!(BypassWithoutEffect) => {
                    ChannelVote::Bypassed
                }
                Tri::Bad if planted!(VoteBadAsOk) => ChannelVote::Ok,
                _ if state.suspect(channel).is_some() => ChannelVote::Bad,
                Tri::Bad => ChannelVote::Bad,
                Tri::True => ChannelVote::Trip,
                Tri::False => ChannelVote::Ok,
            };
        }
        rule.tripped = tripped;
        let decided = match voting {
            None => single,
            Some((_, state)) => {
                let votes = votes.get(..programs.len()).unwrap_or(&[]);
                let need = state
                    .need
                    .saturating_add(u8::from(planted!(VoteNeedsOneMore)));
                match vote(need, state.on_bad, votes) {
                    Ballot::Normal => Tri::False,
                    Ballot::Trip => Tri::True,
                    Ballot::TripByBad => Tri::Bad,
                    Ballot::OutOfService => return Outcome::Suppressed(RuleCause::Bypassed),
                }
            }
        };
        if self.bypasses.covers(Point::Rule(index)) {
            return Outcome::Suppressed(RuleCause::Bypassed);
        }
        // A sensor must be healthy during start-up too: only a true condition is inhibited.
        if inhibited && (decided == Tri::True || (decided == Tri::Bad && planted!(InhibitHidesBad)))
        {
            return Outcome::Suppressed(RuleCause::Inhibited);
        }
        Outcome::Decided(decided)
    }

    pub(super) fn is_permitted(&self, rule: u16, kind: PermissionKind) -> bool {
        // Sorted by rule, so this is a short look for the few that have one.
        let first = self
            .permissions
            .partition_point(|permission| permission.rule < rule);
        self.permissions
            .iter()
            .skip(first)
            .take_while(|permission| permission.rule == rule)
            .any(|permission| permission.kind == kind && permission.enable.is_on())
    }

    /// Whether an input of this rule is still on its way since start: a tag within its first `stale_after`, or a
    /// window that does not span its length yet although its tag is usable.
    fn input_missing(&self, rule: usize) -> bool {
        let initial = |tag: &u16| {
            self.tags
                .get(usize::from(*tag))
                .is_some_and(|tag| tag.initial)
        };
        if self.tags_of_rule.of(rule).iter().any(initial) {
            return true;
        }
        let Some(setting) = self.settings.get(rule) else {
            return false;
        };
        let windows = self.first_window..self.first_age;
        setting
            .programs
            .iter()
            .flat_map(tags::slots_of)
            .filter_map(|slot| usize::try_from(slot).ok())
            .filter(|slot| windows.contains(slot))
            .filter_map(|slot| self.windows.get(slot.saturating_sub(self.first_window)))
            .any(|window| {
                let tag = self.tags.get(usize::from(window.tag.0));
                window.filling() && tag.is_some_and(|tag| tag.view.quality.is_usable())
            })
    }

    fn apply(&mut self, index: u16, change: Change, now: MonoNs) {
        let (tag, view) = self.deciding_tag(usize::from(index), change.cause);
        self.emit(
            now,
            EventKind::Rule {
                rule: index,
                from: change.from,
                to: change.to,
                cause: change.cause,
                tag,
                value: view.map_or(0.0, |view| view.value),
                quality: view.map_or(Quality::Good, |view| view.quality),
                quality_cause: view.map_or(Cause::None, |view| view.cause),
            },
        );
        if planted!(LatchNotKept) && change.to == RuleState::Normal {
            for group in &mut self.groups {
                group.release();
            }
        }
        if change.to == RuleState::Active {
            if change.cause.is_engine_fault() {
                self.engine_failed = true;
                self.latch_all(LatchCause::EngineFault, now);
            }
            self.stop_groups(index, change.cause, now);
        }
    }

    /// The tag to show for a rule: the first that is not usable when that is the cause, else its first.
    fn deciding_tag(&self, rule: usize, cause: RuleCause) -> (Option<TagId>, Option<TagView>) {
        let tags = self.tags_of_rule.of(rule);
        let view = |tag: &u16| self.tags.get(usize::from(*tag)).map(|tag| tag.view);
        let unusable = |tag: &&u16| view(tag).is_some_and(|view| !view.quality.is_usable());
        let chosen = match cause {
            RuleCause::BadInput => tags.iter().find(unusable).or_else(|| tags.first()),
            _ => tags.first(),
        };
        (chosen.map(|tag| TagId(*tag)), chosen.and_then(view))
    }

    /// A delay runs in this rule's state.
    fn delay(&mut self, index: u16) {
        // Reserved for every rule, and `delayed` keeps each in it once: this never allocates.
        if let Some(queued) = self.queued.get_mut(usize::from(index))
            && !queued.delayed
        {
            queued.delayed = true;
            self.delayed.push(index);
        }
    }

    pub(super) fn run_delays(&mut self, now: MonoNs) {
        let mut position = 0;
        while let Some(index) = self.delayed.get(position).copied() {
            let (Some(setting), Some(rule)) = (
                self.settings.get(usize::from(index)),
                self.rules.get_mut(usize::from(index)),
            ) else {
                break;
            };
            let change = rule.elapse(&setting.timing, now);
            if rule.due(&setting.timing) == MonoNs::NEVER {
                self.delayed.swap_remove(position);
                if let Some(queued) = self.queued.get_mut(usize::from(index)) {
                    queued.delayed = false;
                }
            } else {
                position = position.saturating_add(1);
            }
            if let Some(change) = change {
                self.apply(index, change, now);
            }
        }
    }
}

/// Both evaluations of a condition; a difference is a fault (H-42).
pub(super) fn twice(
    engine: &mut impl RuleEngine,
    slots: &Slots,
    program: &Program,
    function: usize,
    hold: bool,
) -> Outcome {
    let code = match engine.call(function, hold, program.fuel()) {
        Ok(code) => code,
        Err(CallFault::FuelExceeded { .. }) => return Outcome::Fault(RuleCause::Fuel),
        Err(CallFault::Trap | CallFault::NoSuchIndex) => return Outcome::Fault(RuleCause::Trap),
    };
    let native = rules_expr::eval(program, slots.all(), hold);
    if Tri::from_code(code) == Some(native) {
        Outcome::Decided(native)
    } else {
        Outcome::Fault(RuleCause::Comparison)
    }
}
