//! Every shipped pack gives the verdicts that its recorded cases say, in the real lane with the real rule module.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use appliance_lane::{Lane, RuleState};
use appliance_sandbox::{Engine, NativeCode, RuleModule};
use drivers_frame::{Cause, DeviceId, MonoNs, Quality, Sample, TagId};
use hil_tests::packs;
use rules_bundle::{Bundle, LanePlan, Level, LinkPlan};
use rules_pack::cases::{Case, Stimulus, Verdict, parse};

/// How often an MQTT source is taken to publish.
const PUBLISH_MS: u64 = 50;

/// One lane under a case.
struct Run<'a> {
    plan: &'a LanePlan,
    lane: Lane<RuleModule>,
    values: BTreeMap<u16, Stimulus>,
    tripped: BTreeSet<u16>,
}

impl<'a> Run<'a> {
    fn new(bundle: &'a Bundle, index: usize, engine: &Engine) -> Self {
        let plan = &bundle.plan.lanes[index];
        #[expect(unsafe_code, reason = "loading machine code")]
        // SAFETY: the bytes come from a bundle that was compiled, sealed and opened in this test.
        let code = unsafe { NativeCode::vouch(&bundle.lanes[index].native) };
        let slots = usize::try_from(plan.slots()).unwrap();
        let module = RuleModule::load(engine, &code, plan.programs().count(), slots).unwrap();
        Self {
            plan,
            lane: Lane::new(plan, module, MonoNs::from_ns(0)).unwrap(),
            values: BTreeMap::new(),
            tripped: BTreeSet::new(),
        }
    }

    fn tag(&self, name: &str) -> Option<u16> {
        let index = self.plan.tags.iter().position(|tag| tag.name == name)?;
        u16::try_from(index).ok()
    }

    fn period_ms(&self, device: DeviceId) -> u64 {
        match &self.plan.devices[usize::from(device.0)].link {
            LinkPlan::Modbus(modbus) => modbus
                .poll
                .map_or(1, |poll| poll.as_ns() / 1_000_000)
                .max(1),
            LinkPlan::Mqtt(_) => PUBLISH_MS,
        }
    }

    /// One millisecond: what is set arrives again when its device is read, what a step just set arrives now.
    fn step(&mut self, ms: u64, fresh: &BTreeSet<u16>) {
        let at = MonoNs::from_ns(ms * 1_000_000);
        for (tag, stimulus) in &self.values {
            let due = ms.is_multiple_of(self.period_ms(self.plan.tags[usize::from(*tag)].device));
            if !due && !fresh.contains(tag) {
                continue;
            }
            let (value, quality, cause) = match stimulus {
                Stimulus::Value(value) => (*value, Quality::Good, Cause::None),
                Stimulus::Bad => (0.0, Quality::Bad, Cause::Malformed),
                Stimulus::Silent => continue,
            };
            self.lane.ingest(&Sample {
                at,
                value,
                tag: TagId(*tag),
                quality,
                cause,
            });
        }
        self.lane.tick(at);
        for index in 0..u16::try_from(self.plan.rules.len()).unwrap() {
            if self.plan.rules[usize::from(index)].level == Level::Danger
                && self.lane.rule(index).unwrap().0 == RuleState::Active
            {
                self.tripped.insert(index);
            }
        }
        self.lane.clear_events();
    }

    fn verdict(&self, rule: &str) -> Option<Verdict> {
        let position = self.plan.rules.iter().position(|known| known.id == rule)?;
        let index = u16::try_from(position).ok()?;
        if self.tripped.contains(&index) {
            return Some(Verdict::Danger);
        }
        Some(match self.lane.rule(index)?.0 {
            RuleState::Waiting | RuleState::Normal => Verdict::Normal,
            RuleState::Pending => Verdict::Pending,
            RuleState::Active => Verdict::Alert,
        })
    }
}

fn run(bundle: &Bundle, case: &Case, engine: &Engine, what: &str) -> usize {
    let mut lanes: Vec<Run<'_>> = (0..bundle.plan.lanes.len())
        .map(|index| Run::new(bundle, index, engine))
        .collect();
    let mut expectations = 0;
    let mut ms = 0;
    for step in &case.steps {
        while ms < step.at_ms {
            lanes
                .iter_mut()
                .for_each(|lane| lane.step(ms, &BTreeSet::new()));
            ms += 1;
        }
        for lane in &mut lanes {
            let mut fresh = BTreeSet::new();
            for (name, stimulus) in &step.set {
                if let Some(tag) = lane.tag(name) {
                    lane.values.insert(tag, *stimulus);
                    fresh.insert(tag);
                }
            }
            lane.step(ms, &fresh);
        }
        ms += 1;
        for (rule, expected) in &step.expect {
            let found = lanes
                .iter()
                .find_map(|lane| lane.verdict(rule))
                .expect("the rule exists");
            assert_eq!(
                found, *expected,
                "{what}, case \"{}\", {} ms, rule {rule}",
                case.name, step.at_ms
            );
            expectations += 1;
        }
    }
    expectations
}

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/packs");
    let mut packs: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .filter(|path| !path.to_string_lossy().ends_with(".cases.yaml"))
        .collect();
    packs.sort();
    packs
}

#[test]
fn shipped_packs_give_their_recorded_verdicts() {
    let engine = Engine::new().unwrap();
    let packs = shipped();
    assert!(packs.len() >= 3, "{packs:?}");
    for path in packs {
        let text = std::fs::read_to_string(&path).unwrap();
        let bundle = rules_bundle::open(&packs::bundle(&text)).unwrap();
        let cases_path = path.with_extension("cases.yaml");
        let cases_text =
            std::fs::read_to_string(&cases_path).expect("every shipped pack has its cases");
        let cases = parse(&cases_path.to_string_lossy(), &cases_text, &bundle.plan).unwrap();
        let what = path.file_name().unwrap().to_string_lossy().into_owned();
        let checked: usize = cases
            .iter()
            .map(|case| run(&bundle, case, &engine, &what))
            .sum();
        assert!(checked >= 5, "{what}: {checked} expectations");
    }
}
