//! What can be seen of a lane.

use drivers_frame::{Cause, DurNs, MonoNs, TagId};

use super::{Checkpoint, Counters, Lane, PermissionKind, RuleEngine};
use crate::analyzer::AnalyzerEngine;
use crate::bypass::Point;
use crate::event::{Event, RuleCause};
use crate::latch::Latch;
use crate::rule::RuleState;
use crate::tags::TagView;
use crate::vote::{ChannelVote, degraded};

/// A channel of a voting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelView {
    /// Its tag.
    pub tag: TagId,
    /// Why it is bad; [`Cause::None`] when it is not.
    pub cause: Cause,
    /// Whether its vote is withheld.
    pub bypassed: bool,
}

/// What is known of an output beside its latch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofView {
    /// Its stop is proved: echo, read-back and feedback, as far as declared.
    pub proved_safe: bool,
    /// Its feedback does not follow.
    pub edm_fault: bool,
    /// Whether its device's watchdog is armed; `None` where none is declared.
    pub watchdog_armed: Option<bool>,
}

impl<E: RuleEngine, A: AnalyzerEngine> Lane<E, A> {
    /// What happened since [`Lane::clear_events`].
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events were handed on.
    pub fn clear_events(&mut self) {
        self.events.clear();
    }

    /// The newest tick's checkpoint.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            tick: self.counters.ticks,
            signature: self.signature.get(),
        }
    }

    /// Counters since start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// A tag as it is now.
    pub fn tag(&self, tag: TagId) -> Option<TagView> {
        self.tags.get(usize::from(tag.0)).map(|tag| tag.view)
    }

    /// Whether a channel is good again and waits for an acknowledgement.
    pub fn awaits_acknowledgement(&self, tag: TagId) -> bool {
        self.health
            .get(usize::from(tag.0))
            .is_some_and(|health| health.awaits_acknowledgement())
    }

    /// A rule's state, cause, and since when.
    pub fn rule(&self, rule: u16) -> Option<(RuleState, RuleCause, MonoNs)> {
        self.rules
            .get(usize::from(rule))
            .map(|rule| (rule.state, rule.cause, rule.since))
    }

    /// Whether a rule's setpoint multiplier and its startup inhibit are on.
    pub fn permissions(&self, rule: u16) -> (bool, bool) {
        (
            self.is_permitted(rule, PermissionKind::Multiplier),
            self.is_permitted(rule, PermissionKind::Inhibit),
        )
    }

    /// A rule's longest time from sample to confirmed stop, stops confirmed and deadlines missed.
    pub fn rule_latency(&self, rule: u16) -> Option<(DurNs, u64, u64)> {
        self.rules
            .get(usize::from(rule))
            .map(|rule| (rule.latency_max, rule.stops, rule.missed))
    }

    /// A channel of a voting.
    pub fn channel(&self, voting: u16, channel: u8) -> Option<ChannelView> {
        let state = self.votings.get(usize::from(voting))?;
        let tag = *state.tags.get(usize::from(channel))?;
        let view = self.tag(tag)?;
        let own = (!view.quality.is_usable()).then_some(view.cause);
        Some(ChannelView {
            tag,
            cause: own
                .or_else(|| state.suspect(usize::from(channel)))
                .unwrap_or(Cause::None),
            bypassed: self.bypasses.covers(Point::Channel { voting, channel }),
        })
    }

    /// What a voting has become: M of N among the channels that are left, as `2oo3` is `1oo2` with one bad channel.
    pub fn voting_now(&self, voting: u16) -> Option<(u8, u8)> {
        let state = self.votings.get(usize::from(voting))?;
        let mut votes = [ChannelVote::Ok; rt_config::limits::VOTING_CHANNELS_MAX];
        for (channel, vote) in (0_u8..).zip(votes.iter_mut().take(state.tags.len())) {
            *vote = match self.channel(voting, channel)? {
                ChannelView { bypassed: true, .. } => ChannelVote::Bypassed,
                ChannelView { cause, .. } if cause != Cause::None => ChannelVote::Bad,
                _ => ChannelVote::Ok,
            };
        }
        let votes = votes.get(..state.tags.len())?;
        Some(degraded(state.need, state.on_bad, votes))
    }

    /// The bypasses in force, and when each ends.
    pub fn bypasses(&self) -> impl Iterator<Item = (Point, MonoNs)> + '_ {
        self.bypasses.iter()
    }

    /// What holds an output's trip group, `None` when it is released.
    pub fn latch_of(&self, output: u16) -> Option<Latch> {
        let group = self.outputs.get(usize::from(output))?.group;
        self.groups.get(usize::from(group))?.get()
    }

    /// What is proved of an output.
    pub fn proof_of(&self, output: u16) -> Option<ProofView> {
        self.outputs
            .get(usize::from(output))
            .map(|output| ProofView {
                proved_safe: output.proved_safe,
                edm_fault: output.has_edm_fault(),
                watchdog_armed: output.watchdog_armed,
            })
    }

    /// Whether every output is latched and its stop proved.
    pub fn all_proved_safe(&self) -> bool {
        let latched = self.groups.iter().all(|group| group.is_latched());
        latched && self.outputs.iter().all(|output| output.proved_safe)
    }

    /// Samples that windows dropped because they came faster than planned.
    pub fn window_overruns(&self) -> u64 {
        self.windows
            .iter()
            .fold(0, |sum, window| sum.saturating_add(window.overruns))
    }
}
