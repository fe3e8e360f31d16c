//! Votings, holds and proofs in names.

use appliance_control::{ChannelStatus, GroupStatus, OutputProof, Proof, VotingStatus};
use appliance_lane::{ChannelView, Hold};
use appliance_output::Permit;
use drivers_frame::{Cause, TagId};
use rt_config::clock::{monotonic_ns, wall_ns};
use rules_bundle::{LanePlan, OnBad, OutputPlan, TripGroupPlan, VotingPlan};

use super::{latching_rule, tag_name};
use crate::message::{OutputSnapshot, Snapshot, Views};

/// Every voting with its channels; without views nothing is known of them.
pub(super) fn votings(plan: &LanePlan, views: Option<&Views>) -> Vec<VotingStatus> {
    let mut channels = views.into_iter().flat_map(|views| &views.channels);
    let mut nows = views.into_iter().flat_map(|views| &views.votings);
    let status = |voting: &VotingPlan| VotingStatus {
        name: voting.name.clone(),
        form: format!("{}oo{}", voting.need, voting.channels.len()),
        decides: nows.next().map(|(need, of)| decides(*need, *of)),
        channels: voting
            .channels
            .iter()
            .map(|TagId(tag)| channel(plan, *tag, voting.on_bad, channels.next()))
            .collect(),
    };
    plan.votings.iter().map(status).collect()
}

/// As the voting decides now. With no vote needed any more, the bad channels trip by themselves.
fn decides(need: u8, of: u8) -> String {
    match (need, of) {
        (0, _) => "trip".to_owned(),
        (need, of) => format!("{need}oo{of}"),
    }
}

fn channel(plan: &LanePlan, tag: u16, on_bad: OnBad, view: Option<&ChannelView>) -> ChannelStatus {
    let bad = view.is_some_and(|view| view.cause != Cause::None);
    let bypassed = view.is_some_and(|view| view.bypassed);
    ChannelStatus {
        tag: tag_name(plan, tag),
        health: view.map(|_| {
            match (bypassed, bad) {
                (true, _) => "bypassed",
                (false, true) => "bad",
                (false, false) => "good",
            }
            .to_owned()
        }),
        // A good channel votes rule by rule; what it says is in the rules.
        votes: match (bypassed, bad) {
            (true, _) => Some(false),
            (false, true) => Some(on_bad == OnBad::Trip),
            (false, false) => None,
        },
        cause: bad
            .then_some(view)
            .flatten()
            .map(|view| view.cause.as_str().to_owned()),
    }
}

/// Every trip group with what holds it.
pub(super) fn groups(plan: &LanePlan, snapshot: &Snapshot) -> Vec<GroupStatus> {
    let of_group = |index: usize| {
        let outputs = plan.outputs.iter().zip(&snapshot.outputs);
        outputs.filter(move |(output, _)| usize::from(output.group) == index)
    };
    let status = |(index, group): (usize, &TripGroupPlan)| {
        let latches = of_group(index).filter_map(|(_, state)| state.latch);
        let first = latches.min_by_key(|latch| latch.at);
        GroupStatus {
            name: group.name.clone(),
            first_out: first.map(|latch| latch.first_out.as_str().to_owned()),
            rule: first.and_then(|latch| latching_rule(plan, latch.first_out)),
            latched_for_ns: first.map(|latch| snapshot.at.since(latch.at).as_ns()),
            latched_wall_ns: first.map(|latch| {
                let ago = monotonic_ns().saturating_sub(latch.at.as_ns());
                wall_ns().saturating_sub(ago)
            }),
            before_restart: None,
            outputs: of_group(index)
                .map(|(output, _)| output.name.clone())
                .collect(),
        }
    };
    plan.trip_groups.iter().enumerate().map(status).collect()
}

/// What holds the lane.
pub(super) fn holds(views: &Views) -> Vec<String> {
    let holds = Hold::ALL.into_iter().zip(views.holds);
    holds
        .filter(|(_, held)| *held)
        .map(|(hold, _)| hold.as_str().to_owned())
        .collect()
}

/// What proves that an output did what it was told.
pub(super) fn proof(
    index: usize,
    plan: &OutputPlan,
    state: &OutputSnapshot,
    snapshot: &Snapshot,
) -> OutputProof {
    let view = snapshot.views.proofs.get(index);
    let waits = if state.connected {
        Proof::Waiting
    } else {
        Proof::Failed
    };
    // A confirmation comes after the echo and, where it is declared, after the place was read back.
    let written = if state.confirmed {
        Proof::Proved
    } else {
        waits
    };
    OutputProof {
        echo: Some(written),
        read_back: plan.read_back.map(|_| written),
        feedback: plan.feedback.and_then(|feedback| {
            let tag = snapshot.tags.get(usize::from(feedback.tag.0))?;
            let shows_safe = tag
                .quality
                .is_usable()
                .then_some((tag.value != 0.0) == feedback.safe);
            let follows = shows_safe == Some(state.permit == Permit::Withheld);
            Some(match (view?.edm_fault, follows) {
                (true, _) => Proof::Failed,
                (false, true) => Proof::Proved,
                (false, false) => Proof::Waiting,
            })
        }),
        watchdog: plan
            .watchdog
            .as_ref()
            .map(|_| match view.and_then(|view| view.watchdog_armed) {
                Some(true) => Proof::Proved,
                Some(false) => Proof::Failed,
                None => Proof::Waiting,
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voting_says_what_is_left_of_it() {
        let channel = |health: &str| ChannelStatus {
            tag: "t".into(),
            health: Some(health.into()),
            votes: None,
            cause: None,
        };
        let voting = |now: Option<(u8, u8)>, healths: &[&str]| {
            VotingStatus {
                name: "v".into(),
                form: format!("2oo{}", healths.len()),
                decides: now.map(|(need, of)| decides(need, of)),
                channels: healths.iter().map(|health| channel(health)).collect(),
            }
            .to_string()
        };
        let good = ["good", "good", "good"];
        assert_eq!(voting(Some((2, 3)), &good), "2oo3");
        assert_eq!(voting(None, &good), "2oo3");
        assert_eq!(
            voting(Some((1, 2)), &["bad", "good", "good"]),
            "2oo3, 1 bad: now 1oo2"
        );
        assert_eq!(
            voting(Some((1, 2)), &["bypassed", "good", "good"]),
            "2oo3, 1 bypassed: now 1oo2"
        );
        assert_eq!(
            voting(Some((0, 1)), &["bad", "bad", "good"]),
            "2oo3, 2 bad: now trip"
        );
    }
}
