//! What to apply: values of the inputs at which nothing trips, and for each danger rule the inputs that must trip it,
//! found with the native evaluator over values around the constants of the rules and the ends of the ranges. Pure.

mod movement;
mod plan;
mod state;
mod stimulus;
mod voting;

use std::collections::BTreeSet;

use drivers_frame::{TagId, ValueCodec};
use rules_bundle::{LanePlan, Level};
use rules_expr::Tri;

use super::raw;

use plan::{codecs, derived, echoes, forged, middle, readers};
pub(super) use plan::{inputs_of, tag_id};
pub(super) use stimulus::{Do, Moment, Piece, Play, Stimulus, Untested};

/// Values tried for one tag.
const CANDIDATES_MAX: usize = 64;
/// Values tried for one tag where several are tried together.
const FEW_CANDIDATES: usize = 10;
/// Inputs beside a rule's own that may have to be elsewhere for one of them to be decisive.
const NEIGHBOURS_MAX: usize = 8;
/// Passes over the tags until nothing trips.
const PASSES_MAX: usize = 6;

/// One lane with a value for each of its inputs.
pub(super) struct Scene<'a> {
    plan: &'a LanePlan,
    codecs: Vec<Option<ValueCodec>>,
    pub(super) values: Vec<f64>,
    bad: Vec<bool>,
    /// An input that moves, and by how much a second.
    moving: Option<(usize, f64)>,
    /// Inputs that are not ours to choose: feedbacks, places that an output writes, enabling tags, the reset button.
    fixed: BTreeSet<usize>,
    /// Rules that read each tag.
    readers: Vec<Vec<usize>>,
    /// Inputs that move by themselves: feedbacks, places that an output writes, what analyzers derive.
    moves_itself: BTreeSet<usize>,
    /// What analyzers derive.
    derived: BTreeSet<usize>,
    /// Rules that read what an analyzer derives: what that is, only the module knows.
    of_analyzers: BTreeSet<usize>,
}

impl<'a> Scene<'a> {
    /// A lane whose inputs are chosen so that nothing trips; those of `rest` are as they are there, unless that trips a rule
    /// over plain inputs. The error names the danger rules for which no choice was found.
    pub(super) fn new(plan: &'a LanePlan, rest: &[(TagId, f64)]) -> Result<Self, Vec<String>> {
        let codecs = codecs(plan);
        let mut fixed = BTreeSet::new();
        let mut values: Vec<f64> = codecs.iter().map(|codec| middle(codec.as_ref())).collect();
        for output in &plan.outputs {
            if let Some(feedback) = &output.feedback {
                let tag = usize::from(feedback.tag.0);
                fixed.insert(tag);
                // As it is while the machine runs.
                if let Some(value) = values.get_mut(tag) {
                    *value = f64::from(u8::from(!feedback.safe));
                }
            }
        }
        for (tag, value) in echoes(plan) {
            fixed.insert(tag);
            if let Some(known) = values.get_mut(tag) {
                *known = value;
            }
        }
        let derived = derived(plan);
        fixed.extend(&derived);
        let moves_itself = fixed.clone();
        for (tag, wanted) in rest {
            let tag = usize::from(tag.0);
            // What its device cannot show is not shown.
            let value = codecs.get(tag).and_then(Option::as_ref);
            let value = value.and_then(|codec| raw::rounded(codec, *wanted));
            let known = values.get_mut(tag).filter(|_| !fixed.contains(&tag));
            if let (Some(known), Some(value)) = (known, value) {
                *known = value;
            }
        }
        let enables = plan.rules.iter().flat_map(|rule| {
            let multiplier = rule.multiplier.map(|multiplier| multiplier.enable.tag);
            multiplier
                .into_iter()
                .chain(rule.inhibit.map(|enable| enable.tag))
        });
        let off = enables.chain(plan.reset_button.map(|button| button.tag));
        for tag in off.map(|tag| usize::from(tag.0)) {
            fixed.insert(tag);
            if let Some(value) = values.get_mut(tag) {
                *value = 0.0;
            }
        }
        let mut scene = Self {
            plan,
            bad: vec![false; values.len()],
            moving: None,
            readers: readers(plan),
            codecs,
            values,
            fixed,
            moves_itself,
            of_analyzers: (0..plan.rules.len())
                .filter(|rule| {
                    let rule = plan.rules.get(*rule);
                    rule.is_some_and(|rule| !inputs_of(plan, &rule.programs).is_disjoint(&derived))
                })
                .collect(),
            derived,
        };
        for (tag, _) in rest {
            let shown = scene.values.get(usize::from(tag.0)).copied();
            for sister in scene.sisters(usize::from(tag.0)) {
                // Channels that decide together must agree.
                let is_free = !scene.is_fixed(sister)
                    && rest.iter().all(|(known, _)| usize::from(known.0) != sister);
                if let Some(value) = shown.filter(|_| is_free) {
                    scene.set(sister, value);
                }
            }
        }
        scene.calm();
        let tripping: Vec<String> = (0..plan.rules.len())
            .filter(|rule| scene.is_danger(*rule) && !scene.is_quiet(*rule))
            .filter_map(|rule| Some(plan.rules.get(rule)?.id.clone()))
            .collect();
        if tripping.is_empty() {
            Ok(scene)
        } else {
            Err(tripping)
        }
    }

    /// The codec of a tag.
    pub(super) fn codec(&self, tag: usize) -> Option<&ValueCodec> {
        self.codecs.get(tag)?.as_ref()
    }

    /// Whether a tag's value is not ours to choose.
    pub(super) fn is_fixed(&self, tag: usize) -> bool {
        self.fixed.contains(&tag)
    }

    /// Whether a tag moves by itself.
    pub(super) fn moves_itself(&self, tag: usize) -> bool {
        self.moves_itself.contains(&tag)
    }

    /// Whether the stop itself changes nothing that the rule reads: then its cause stands as long as it is shown.
    pub(super) fn stands_after_the_stop(&self, rule: usize) -> bool {
        let rule = self.plan.rules.get(rule);
        let inputs = rule.map(|rule| inputs_of(self.plan, &rule.programs));
        let moves = |tag: &usize| self.moves_itself(*tag) && !self.derived.contains(tag);
        inputs.is_some_and(|inputs| !inputs.iter().any(moves))
    }

    /// Whether a rule reads what an analyzer derives.
    pub(super) fn is_of_analyzers(&self, rule: usize) -> bool {
        self.of_analyzers.contains(&rule)
    }

    /// What must trip rule `rule`, and what of it cannot be tested. Where an input fails whose messages are in envelopes, the
    /// same follows with wrong ones.
    pub(super) fn stimuli(&mut self, rule: usize) -> (Vec<Stimulus>, Vec<Untested>) {
        let (mut stimuli, untested) = self.bare_stimuli(rule);
        let forged: Vec<Stimulus> = stimuli
            .iter()
            .filter_map(|one| forged(self.plan, one))
            .collect();
        stimuli.extend(forged);
        (stimuli, untested)
    }

    fn bare_stimuli(&mut self, rule: usize) -> (Vec<Stimulus>, Vec<Untested>) {
        let plan = self.plan;
        let (mut stimuli, mut untested) = (Vec::new(), Vec::new());
        let Some(known) = plan.rules.get(rule) else {
            return (stimuli, untested);
        };
        if let Some(voting) = known
            .voting
            .and_then(|index| plan.votings.get(usize::from(index)))
        {
            self.voting_stimuli(rule, known, voting, &mut stimuli, &mut untested);
            return (stimuli, untested);
        }
        let inputs: Vec<usize> = inputs_of(plan, &known.programs).into_iter().collect();
        for tag in inputs.iter().copied() {
            let name = plan
                .tags
                .get(tag)
                .map_or_else(String::new, |tag| tag.name.clone());
            if self.is_fixed(tag) {
                untested.push(Untested {
                    what: format!("rule {}, input {name}", known.id),
                    why: "a feedback, a place that an output writes, an enabling input or the reset button is not moved by this test".to_owned(),
                });
                continue;
            }
            let by_value = self.decisive(rule, tag, false);
            match by_value.or_else(|| self.movement(rule, tag)) {
                Some(stimulus) => stimuli.push(stimulus),
                None => untested.push(Untested {
                    what: format!("rule {}, value of {name}", known.id),
                    why: "no state of the other inputs was found in which this one decides, by its value or by a movement within its range that its `rate` check lets pass. A case in PACK.cases.yaml that ends with this rule at `danger` would be walked".to_owned(),
                }),
            }
            match self.decisive(rule, tag, true) {
                Some(stimulus) => stimuli.push(stimulus),
                None => untested.push(Untested {
                    what: format!("rule {}, failure of {name}", known.id),
                    why: "no state of the other inputs was found in which the condition depends on this one"
                        .to_owned(),
                }),
            }
        }
        (stimuli, untested)
    }

    /// A state in which nothing trips and input `tag` alone decides rule `rule`, by its value or by its failure. At most
    /// two other inputs are moved for it.
    fn decisive(&mut self, rule: usize, tag: usize, by_failure: bool) -> Option<Stimulus> {
        let neighbours = self.neighbours(rule, tag);
        let kept = self.values.clone();
        let mut moved: Vec<Vec<usize>> = vec![vec![], vec![tag]];
        for (at, one) in neighbours.iter().enumerate() {
            moved.push(vec![*one]);
            moved.push(vec![tag, *one]);
            for two in neighbours.iter().skip(at + 1) {
                moved.push(vec![*one, *two]);
                moved.push(vec![tag, *one, *two]);
            }
        }
        moved.sort_by_key(Vec::len);
        let mut found = None;
        // A state in which no other danger rule sees it is preferred: that one might be faster.
        'search: for alone in [true, false] {
            for tags in &moved {
                found = self.decisive_among(rule, tag, tags, by_failure, alone);
                self.values.clone_from(&kept);
                if found.is_some() {
                    break 'search;
                }
            }
        }
        let act = found?;
        let before = act
            .1
            .iter()
            .map(|(tag, value)| (tag_id(*tag), *value))
            .collect();
        Some(Stimulus {
            before,
            inputs: vec![(tag_id(tag), act.0)],
            ..Stimulus::default()
        })
    }

    /// Tries the values of `open`, one tag after another.
    fn decisive_among(
        &mut self,
        rule: usize,
        tag: usize,
        open: &[usize],
        by_failure: bool,
        alone: bool,
    ) -> Option<(Do, Vec<(usize, f64)>)> {
        if let Some((first, rest)) = open.split_first() {
            let mut candidates = self.candidates(*first);
            candidates.truncate(FEW_CANDIDATES);
            for value in candidates {
                self.set(*first, value);
                if let Some((act, mut before)) =
                    self.decisive_among(rule, tag, rest, by_failure, alone)
                {
                    before.insert(0, (*first, value));
                    return Some((act, before));
                }
            }
            return None;
        }
        if self.truth(rule, false) != Tri::False || !self.dangers_near_are_quiet(rule, tag) {
            return None;
        }
        let act = if by_failure {
            self.trips_when_bad(rule, tag, alone).then_some(Do::Fail)
        } else {
            self.common_value_that_trips(rule, &[tag], alone)
                .map(Do::Show)
        };
        act.map(|act| (act, Vec::new()))
    }

    /// Inputs of the rule and of danger rules that share an input with it, without `tag`.
    fn neighbours(&self, rule: usize, tag: usize) -> Vec<usize> {
        let Some(known) = self.plan.rules.get(rule) else {
            return Vec::new();
        };
        let own = inputs_of(self.plan, &known.programs);
        let mut near: Vec<usize> = own.iter().copied().collect();
        for other in own.iter().flat_map(|tag| self.readers.get(*tag)).flatten() {
            let Some(other) = self.plan.rules.get(*other) else {
                continue;
            };
            if other.level == Level::Danger {
                let inputs = inputs_of(self.plan, &other.programs);
                near.extend(inputs.into_iter().filter(|tag| !own.contains(tag)));
            }
        }
        let mut seen = BTreeSet::new();
        near.retain(|near| *near != tag && !self.is_fixed(*near) && seen.insert(*near));
        near.truncate(NEIGHBOURS_MAX);
        near
    }

    fn dangers_near_are_quiet(&self, rule: usize, tag: usize) -> bool {
        let mut tags = self.neighbours(rule, tag);
        tags.push(tag);
        let rules: BTreeSet<usize> = tags
            .iter()
            .filter_map(|tag| self.readers.get(*tag))
            .flatten()
            .copied()
            .collect();
        rules
            .into_iter()
            .all(|rule| !self.is_danger(rule) || self.is_quiet(rule))
    }

    /// The value nearest to the present one that trips the rule when each of these tags shows it: it proves most of the
    /// setpoint. One that trips no other danger rule is preferred: that one might be faster.
    fn common_value_that_trips(&mut self, rule: usize, tags: &[usize], alone: bool) -> Option<f64> {
        let kept = self.values.clone();
        if self.truth(rule, false) == Tri::True {
            return None;
        }
        let first = *tags.first()?;
        let now = kept.get(first).copied()?;
        let mut best: Option<(usize, f64, f64)> = None;
        for value in self.candidates(first) {
            for tag in tags {
                self.set(*tag, value);
            }
            if self.truth(rule, false) == Tri::True && !(alone && self.others_see_it(rule, tags)) {
                let found = (self.loudness(tags) / 1_000, (value - now).abs(), value);
                if best.is_none_or(|best| (found.0, found.1) < (best.0, best.1)) {
                    best = Some(found);
                }
            }
            self.values.clone_from(&kept);
        }
        best.map(|(_, _, value)| value)
    }

    /// Whether another danger rule that reads one of these inputs is not false either.
    fn others_see_it(&self, rule: usize, tags: &[usize]) -> bool {
        tags.iter()
            .filter_map(|tag| self.readers.get(*tag))
            .flatten()
            .any(|other| {
                *other != rule && self.is_danger(*other) && self.truth(*other, false) != Tri::False
            })
    }

    fn trips_when_bad(&mut self, rule: usize, tag: usize, alone: bool) -> bool {
        if let Some(bad) = self.bad.get_mut(tag) {
            *bad = true;
        }
        let trips =
            self.truth(rule, false) != Tri::False && !(alone && self.others_see_it(rule, &[tag]));
        if let Some(bad) = self.bad.get_mut(tag) {
            *bad = false;
        }
        trips
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(yaml: &str) -> LanePlan {
        rules_pack::load("test.yaml", yaml)
            .unwrap()
            .plan
            .lanes
            .remove(0)
    }

    const HEAD: &str = "tripline: 1\npack: { name: t, version: \"1\" }\ndevices:\n  io:\n    modbus: { host: 127.0.0.1, poll: 10ms, addressing: zero_based }\n";

    #[test]
    fn an_over_limit_rule_is_tripped_by_its_value_and_by_its_failure() {
        let plan = plan(include_str!("../../../../rules/packs/pump-minimal.yaml"));
        let mut scene = Scene::new(&plan, &[]).unwrap();
        let (stimuli, untested) = scene.stimuli(0);
        assert_eq!(untested, []);
        assert_eq!(stimuli.len(), 2);
        let Do::Show(value) = stimuli[0].inputs[0].1 else {
            panic!("a value");
        };
        assert!(value > 8.0 && value <= 16.0);
        assert_eq!(stimuli[1].inputs[0].1, Do::Fail);
        assert!(stimuli[1].describe(&plan).contains("pump.pressure fails"));
    }

    #[test]
    fn inputs_that_trip_only_together_are_found_together_and_a_rule_over_change_by_a_movement() {
        let plan = plan(&format!(
            "{HEAD}tags:\n  \
             a: {{ device: io, register: {{ table: holding, address: 0 }}, type: u16, unit: bar, range: [0, 100], stale_after: 1s }}\n  \
             b: {{ device: io, coil: 3, stale_after: 1s }}\n\
             outputs:\n  run: {{ device: io, coil: 0, refresh: 100ms, confirm_within: 100ms }}\n\
             rules:\n  \
             - {{ id: both, when: a > 50 bar && b, level: danger, stops: [run], deadline: 10s, message: m }}\n  \
             - {{ id: moves, when: \"rate(a, 1s) > 5 bar/s\", level: danger, stops: [run], deadline: 10s, message: m }}\n"
        ));
        let mut scene = Scene::new(&plan, &[]).unwrap();
        let (stimuli, _) = scene.stimuli(0);
        let decided: Vec<u16> = stimuli
            .iter()
            .filter(|stimulus| stimulus.shows_values())
            .map(|stimulus| stimulus.inputs[0].0.0)
            .collect();
        assert_eq!(
            decided,
            [0, 1],
            "each of them, in a state in which it decides"
        );
        let (stimuli, untested) = scene.stimuli(1);
        assert_eq!(untested, []);
        let Do::Move { per_second, until } = stimuli[0].inputs[0].1 else {
            panic!("{stimuli:?}")
        };
        assert!(per_second > 5.0 && per_second < 6.0 && until <= 100.0);
        assert!(stimuli[0].passes, "a movement ends, and its cause with it");
    }

    #[test]
    fn every_shipped_pack_has_a_state_in_which_nothing_trips_and_a_stimulus_for_every_danger_rule()
    {
        for text in [
            include_str!("../../../../rules/packs/pump-minimal.yaml"),
            include_str!("../../../../rules/packs/press-line.yaml"),
            include_str!("../../../../rules/packs/fan-two-lanes.yaml"),
        ] {
            let plan = rules_pack::load("pack.yaml", text).unwrap().plan;
            for lane in &plan.lanes {
                let mut scene = Scene::new(lane, &[]).unwrap();
                for (index, rule) in lane.rules.iter().enumerate() {
                    if rule.level == Level::Danger {
                        let (stimuli, untested) = scene.stimuli(index);
                        assert!(!stimuli.is_empty(), "{}: {untested:?}", rule.id);
                    }
                }
            }
        }
    }
}
