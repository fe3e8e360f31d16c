//! What a lane shows of its votes, bypasses and proofs. Made by the main thread with room for everything; the lane only
//! fills it.

use appliance_lane::{ChannelView, Hold, Lane, Point, ProofView};
use appliance_sandbox::RuleModule;
use drivers_frame::MonoNs;
use rt_config::limits::BYPASSES_MAX;
use rules_bundle::LanePlan;

use crate::analyzers::Seats;

/// See the module.
pub(crate) struct Views {
    /// Every voting's channels, one voting after the other.
    pub(crate) channels: Vec<ChannelView>,
    /// What every voting has become: M of N.
    pub(crate) votings: Vec<(u8, u8)>,
    /// Of every rule, whether its multiplier and its inhibit are on.
    pub(crate) permissions: Vec<(bool, bool)>,
    /// What is proved of every output.
    pub(crate) proofs: Vec<ProofView>,
    /// The bypasses in force, and when each ends.
    pub(crate) bypasses: Vec<(Point, MonoNs)>,
    /// By the place in [`Hold::ALL`].
    pub(crate) holds: [bool; Hold::ALL.len()],
}

impl Views {
    pub(super) fn new(plan: &LanePlan) -> Self {
        let channels = plan.votings.iter().map(|voting| voting.channels.len());
        Self {
            channels: Vec::with_capacity(channels.sum()),
            votings: Vec::with_capacity(plan.votings.len()),
            permissions: Vec::with_capacity(plan.rules.len()),
            proofs: Vec::with_capacity(plan.outputs.len()),
            bypasses: Vec::with_capacity(BYPASSES_MAX),
            holds: [false; Hold::ALL.len()],
        }
    }

    /// Fills it in. Allocates nothing: what does not fit was not planned, and is left out.
    pub(crate) fn fill(&mut self, lane: &Lane<RuleModule, Seats>) {
        self.channels.clear();
        self.votings.clear();
        for voting in 0.. {
            let Some(now) = lane.voting_now(voting) else {
                break;
            };
            push(&mut self.votings, now);
            for channel in 0.. {
                let Some(view) = lane.channel(voting, channel) else {
                    break;
                };
                push(&mut self.channels, view);
            }
        }
        self.permissions.clear();
        for rule in (0..).take_while(|rule| lane.rule(*rule).is_some()) {
            push(&mut self.permissions, lane.permissions(rule));
        }
        self.proofs.clear();
        for output in 0.. {
            let Some(proof) = lane.proof_of(output) else {
                break;
            };
            push(&mut self.proofs, proof);
        }
        self.bypasses.clear();
        for bypass in lane.bypasses() {
            push(&mut self.bypasses, bypass);
        }
        for (held, hold) in self.holds.iter_mut().zip(Hold::ALL) {
            *held = lane.is_held(hold);
        }
    }
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < list.capacity() {
        list.push(item);
    }
}
