//! Votings: as many channels as trip are moved together, beginning with each in turn.

use rules_bundle::{OnBad, RulePlan};

use super::plan::tag_id;
use super::{Do, Scene, Stimulus, Untested};

impl Scene<'_> {
    pub(super) fn voting_stimuli(
        &mut self,
        rule: usize,
        known: &RulePlan,
        voting: &rules_bundle::VotingPlan,
        stimuli: &mut Vec<Stimulus>,
        untested: &mut Vec<Untested>,
    ) {
        let channels: Vec<usize> = voting
            .channels
            .iter()
            .map(|tag| usize::from(tag.0))
            .collect();
        for first in 0..channels.len() {
            let group: Vec<usize> = (0..usize::from(voting.need))
                .filter_map(|step| {
                    channels
                        .get((first + step) % channels.len().max(1))
                        .copied()
                })
                .collect();
            match self.common_value_that_trips(rule, &group, false) {
                Some(value) => stimuli.push(Stimulus {
                    inputs: group
                        .iter()
                        .map(|tag| (tag_id(*tag), Do::Show(value)))
                        .collect(),
                    ..Stimulus::default()
                }),
                None => untested.push(Untested {
                    what: format!(
                        "rule {}, {} channels of {}",
                        known.id, voting.need, voting.name
                    ),
                    why:
                        "no value was found that makes the condition of each of these channels true"
                            .to_owned(),
                }),
            }
            if voting.on_bad == OnBad::Trip {
                stimuli.push(Stimulus {
                    inputs: group.iter().map(|tag| (tag_id(*tag), Do::Fail)).collect(),
                    ..Stimulus::default()
                });
            }
        }
        if voting.on_bad == OnBad::Exclude {
            untested.push(Untested {
                what: format!("rule {}, failing channels of {}", known.id, voting.name),
                why: "the pack leaves bad channels out of this vote".to_owned(),
            });
        }
    }
}
