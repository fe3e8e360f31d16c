//! A lane with an engine that evaluates natively and fails on demand, and the plans it runs.

use std::cell::Cell;
use std::rc::Rc;

use appliance_lane::{Lane, LatchCause, ResetRefusal, RuleEngine};
use appliance_output::{Confirmed, FaultCause, OutputEvent, Permit};
use appliance_sandbox::CallFault;
use drivers_frame::{Cause, DurNs, MonoNs, Quality, Sample, TagId};
pub(crate) use rules_bundle::testing::output;
use rules_bundle::{LanePlan, RulePlan, TagPlan, TripGroupPlan, testing};
use rules_expr::ir::{Op, Program, SlotValue};

/// What the engine does instead of evaluating.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Misbehaviour {
    #[default]
    None,
    Trap,
    Fuel,
    Wrong,
    Nonsense,
}

pub(crate) struct Engine {
    programs: Vec<Program>,
    slots: Vec<SlotValue>,
    misbehaviour: Rc<Cell<Misbehaviour>>,
}

impl RuleEngine for Engine {
    fn set_slot(&mut self, slot: usize, value: f64, usable: bool) {
        self.slots[slot] = SlotValue { value, usable };
    }

    fn call(&mut self, rule: usize, hold: bool, bound: u64) -> Result<i32, CallFault> {
        let right = rules_expr::eval(&self.programs[rule], &self.slots, hold).code();
        match self.misbehaviour.get() {
            Misbehaviour::None => Ok(right),
            Misbehaviour::Trap => Err(CallFault::Trap),
            Misbehaviour::Fuel => Err(CallFault::FuelExceeded {
                bound,
                used: bound + 1,
            }),
            Misbehaviour::Wrong => Ok((right + 1) % 3),
            Misbehaviour::Nonsense => Ok(77),
        }
    }
}

/// Lanes start at 0; tests count from a second later, when theirs is armed.
pub(crate) const ORIGIN_MS: u64 = 1_000;

pub(crate) fn ms(ms: u64) -> MonoNs {
    MonoNs::from_ns((ORIGIN_MS + ms) * 1_000_000)
}

/// So many milliseconds before the tests count.
pub(crate) fn early(ms: u64) -> MonoNs {
    MonoNs::from_ns((ORIGIN_MS - ms) * 1_000_000)
}

pub(crate) fn above(slot: u32, limit: f64) -> Program {
    Program::new(vec![Op::Slot(slot), Op::Const(limit), Op::Greater]).unwrap()
}

pub(crate) fn tag(name: &str, stale_after_ms: u64) -> TagPlan {
    testing::tag(name, "mm/s", DurNs::from_ms(stale_after_ms))
}

pub(crate) fn rule(id: &str, program: Program, stops: &[u16], on_delay_ms: u64) -> RulePlan {
    RulePlan {
        on_delay: DurNs::from_ms(on_delay_ms),
        ..testing::rule(id, vec![program], stops)
    }
}

pub(crate) fn plan() -> LanePlan {
    let group = |name: &str| TripGroupPlan { name: name.into() };
    LanePlan {
        devices: vec![testing::device("io")],
        tags: vec![tag("vibration", 100), tag("pressure", 200)],
        rules: vec![
            rule("vibration_high", above(0, 7.1), &[0], 0),
            rule("pressure_high", above(1, 100.0), &[0, 1], 20),
            rule("vibration_alert", above(0, 4.5), &[], 0),
        ],
        trip_groups: vec![group("press_run"), group("pump_run")],
        outputs: vec![output("press_run", 0), output("pump_run", 1)],
        ..testing::lane()
    }
}

pub(crate) struct Bench {
    pub(crate) lane: Lane<Engine>,
    pub(crate) misbehaviour: Rc<Cell<Misbehaviour>>,
}

impl Bench {
    pub(crate) fn new(plan: &LanePlan) -> Self {
        let misbehaviour = Rc::new(Cell::new(Misbehaviour::None));
        let unusable = SlotValue {
            value: 0.0,
            usable: false,
        };
        let engine = Engine {
            programs: plan.programs().cloned().collect(),
            slots: vec![unusable; plan.slots() as usize],
            misbehaviour: Rc::clone(&misbehaviour),
        };
        Self {
            lane: Lane::new(plan, engine, MonoNs::ZERO).unwrap(),
            misbehaviour,
        }
    }

    /// A lane whose rules are clear and whose outputs run, at 10 ms.
    pub(crate) fn armed() -> Self {
        Self::armed_with(&plan())
    }

    pub(crate) fn armed_with(plan: &LanePlan) -> Self {
        let mut bench = Self::new(plan);
        let tags = u16::try_from(plan.tags.len()).unwrap();
        for tag in 0..tags {
            bench.take(tag, 1.0, early(100));
        }
        bench.lane.tick(early(100));
        for output in 0..u16::try_from(plan.outputs.len()).unwrap() {
            bench.confirm(output, early(100));
        }
        bench.lane.press_reset(7, early(100)).unwrap();
        for tag in 0..tags {
            bench.sample(tag, 1.0, 10);
        }
        bench.lane.tick(ms(10));
        bench.lane.release_reset(7, ms(10)).unwrap();
        bench.lane.tick(ms(10));
        assert!(
            bench
                .lane
                .permits()
                .iter()
                .all(|permit| *permit == Permit::Granted)
        );
        bench.lane.clear_events();
        bench
    }

    /// Releases a reset at `at` that has been held for the least time.
    pub(crate) fn reset(&mut self, at: MonoNs) -> Result<(), ResetRefusal> {
        let pressed = at.since(MonoNs::ZERO).as_ns() - 100_000_000;
        self.lane.press_reset(8, MonoNs::from_ns(pressed))?;
        self.lane.release_reset(8, at)
    }

    pub(crate) fn confirm(&mut self, output: u16, at: MonoNs) {
        self.lane.output_event(
            output,
            OutputEvent::Confirmed {
                value: Confirmed::Safe,
                at,
                round_trip: DurNs::ZERO,
            },
        );
    }

    pub(crate) fn fail(&mut self, output: u16, at: MonoNs) {
        let cause = FaultCause::NotConfirmed;
        self.lane
            .output_event(output, OutputEvent::Failed { at, cause });
    }

    pub(crate) fn prove_safe(&mut self, at: u64) {
        for output in 0..2 {
            self.confirm(output, ms(at));
        }
    }

    pub(crate) fn sample(&mut self, tag: u16, value: f64, at: u64) {
        self.take(tag, value, ms(at));
    }

    pub(crate) fn take(&mut self, tag: u16, value: f64, at: MonoNs) {
        self.lane.ingest(&Sample {
            at,
            value,
            tag: TagId(tag),
            quality: Quality::Good,
            cause: Cause::None,
        });
    }

    pub(crate) fn bad_sample(&mut self, tag: u16, at: u64) {
        self.lane.ingest(&Sample {
            at: ms(at),
            value: 0.0,
            tag: TagId(tag),
            quality: Quality::Bad,
            cause: Cause::NotFinite,
        });
    }

    pub(crate) fn first_out(&self, output: u16) -> Option<LatchCause> {
        self.lane.latch_of(output).map(|latch| latch.first_out)
    }
}
