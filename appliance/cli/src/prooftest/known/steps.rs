//! The cases of the pack: steps in the tags' and waveforms' own units, at their own times.

use std::time::Duration;

use drivers_frame::{DurNs, Quality, TagId};
use rules_bundle::LanePlan;
use rules_pack::cases::{self, Blocks, Case, Step, Verdict};

use super::{Known, Rest, for_ever, is_danger, raw};
use crate::analyzer::frames;
use crate::prooftest::scene::{Do, Moment, Play, Scene, Stimulus};

impl Known {
    /// The first state of a case in which no danger rule is expected to be anything but normal.
    pub(super) fn quiet_steps(&self, lane: &LanePlan, rest: &mut Rest) {
        let mut left_waves: Vec<usize> = (0..lane.waveforms.len()).collect();
        for case in &self.cases {
            let Some(first) = quiet_beginning(lane, case) else {
                continue;
            };
            let moment = self.moment(lane, first, None);
            for (tag, act) in moment.inputs {
                let is_new = rest.tags.iter().all(|(known, _)| *known != tag);
                if let Do::Show(value) = act
                    && is_new
                {
                    rest.tags.push((tag, value));
                }
            }
            for (index, play) in moment.waves {
                if left_waves.contains(&index)
                    && play != Play::Silent
                    && let Some(known) = rest.waves.get_mut(index)
                {
                    *known = play;
                    left_waves.retain(|left| *left != index);
                }
            }
        }
    }

    /// Every case after which the rule is to be `danger`.
    pub(in crate::prooftest) fn of_cases(
        &self,
        lane: &LanePlan,
        scene: &Scene<'_>,
        rule: usize,
    ) -> Vec<Stimulus> {
        let Some(known) = lane.rules.get(rule) else {
            return Vec::new();
        };
        let cases = self.cases.iter();
        cases
            .filter_map(|case| self.of_case(lane, scene, &known.id, case))
            .collect()
    }

    fn of_case(
        &self,
        lane: &LanePlan,
        scene: &Scene<'_>,
        rule: &str,
        case: &Case,
    ) -> Option<Stimulus> {
        let trips = |step: &Step| {
            let mut expect = step.expect.iter();
            expect.any(|(id, verdict)| id == rule && *verdict == Verdict::Danger)
        };
        let due = case.steps.iter().find(|step| trips(step))?.at_ms;
        let mut acts = case
            .steps
            .iter()
            .filter(|step| step.at_ms <= due && !(step.set.is_empty() && step.blocks.is_empty()));
        let first = acts.next()?;
        let mut stimulus = Stimulus {
            origin: Some(format!("case \"{}\" of {}", case.name, self.file)),
            ..Stimulus::default()
        };
        // With only one state, what is quiet elsewhere comes before it.
        let begin = match acts.next() {
            None => first,
            Some(second) => {
                let quiet = self.moment(lane, first, Some(scene));
                stimulus.before_waves = quiet.waves;
                for (tag, act) in quiet.inputs {
                    let Do::Show(value) = act else { return None };
                    stimulus.before.push((tag, value));
                }
                second
            }
        };
        let moment = self.moment(lane, begin, Some(scene));
        (stimulus.inputs, stimulus.waves) = (moment.inputs, moment.waves);
        for step in acts {
            let mut moment = self.moment(lane, step, Some(scene));
            moment.after = Duration::from_millis(step.at_ms.saturating_sub(begin.at_ms));
            stimulus.later.push(moment);
        }
        stimulus.takes = DurNs::from_ms(due.saturating_sub(begin.at_ms));
        // Of another lane.
        let does_something = stimulus
            .moments()
            .any(|(inputs, waves)| !(inputs.is_empty() && waves.is_empty()));
        does_something.then_some(stimulus)
    }

    /// What a step does to a lane. Inputs that move by themselves are left alone.
    fn moment(&self, lane: &LanePlan, step: &Step, scene: Option<&Scene<'_>>) -> Moment {
        let mut moment = Moment::default();
        for (name, stimulus) in &step.set {
            let Some(tag) = lane.tag(name) else { continue };
            if !scene.is_some_and(|scene| scene.moves_itself(usize::from(tag.0))) {
                moment.inputs.push((tag, act(lane, tag, *stimulus)));
            }
        }
        for (name, blocks) in &step.blocks {
            let waves = lane.waveforms.iter().enumerate();
            let Some((index, wave)) = waves.into_iter().find(|(_, wave)| wave.name == *name) else {
                continue;
            };
            let play = match blocks {
                Blocks::Silent => Play::Silent,
                // What cannot be read is no stimulus: nothing is heard then, and the path fails.
                Blocks::Like(block) => frames::values(block, &self.folder)
                    .map_or(Play::Silent, |(values, _)| {
                        for_ever(values.iter().map(|value| raw(wave, *value)).collect())
                    }),
            };
            moment.waves.push((index, play));
        }
        moment
    }
}

/// The first state of a case, when it lasts and is expected to be quiet.
fn quiet_beginning<'c>(lane: &LanePlan, case: &'c Case) -> Option<&'c Step> {
    let first = case.steps.first()?;
    let same =
        case.steps.iter().enumerate().take_while(|(index, step)| {
            *index == 0 || (step.set.is_empty() && step.blocks.is_empty())
        });
    let dangers: Vec<Verdict> = same
        .flat_map(|(_, step)| &step.expect)
        .filter(|(id, _)| is_danger(lane, id))
        .map(|(_, verdict)| *verdict)
        .collect();
    let quiet = dangers.iter().all(|verdict| *verdict == Verdict::Normal);
    (quiet && !dangers.is_empty()).then_some(first)
}

fn act(lane: &LanePlan, tag: TagId, stimulus: cases::Stimulus) -> Do {
    match stimulus {
        cases::Stimulus::Value(value) => Do::Show(value),
        cases::Stimulus::Registers(registers) => cases::point(lane, tag)
            .map(|point| point.codec.decode_registers(registers.words()))
            .filter(|decoded| matches!(decoded.quality, Quality::Good | Quality::Uncertain))
            .map_or(Do::Fail, |decoded| Do::Show(decoded.value)),
        cases::Stimulus::Bad | cases::Stimulus::Silent => Do::Fail,
    }
}
