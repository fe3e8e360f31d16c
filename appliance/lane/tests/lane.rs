//! The lane as its guard uses it, with an engine that evaluates natively and fails on demand.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::cell::Cell;
use std::rc::Rc;

use appliance_lane::{EventKind, Lane, LatchCause, ResetRefusal, RuleCause, RuleEngine, RuleState};
use appliance_output::{Confirmed, FaultCause, OutputEvent, Permit};
use appliance_sandbox::CallFault;
use drivers_frame::{Cause, DeviceId, DurNs, MonoNs, Quality, Sample, TagId};
use rules_bundle::{
    Acquire, DevicePlan, HostAssumption, InputChecks, LanePlan, Level, LinkPlan, ModbusPlan,
    OutputPlan, OutputTarget, Reintegration, RulePlan, StopCategory, TagPlan, TripGroupPlan, Wait,
    WindowFunction, WindowPlan,
};
use rules_expr::ir::{Op, Program, SlotValue};

/// What the engine does instead of evaluating.
#[derive(Clone, Copy, Default, PartialEq)]
enum Misbehaviour {
    #[default]
    None,
    Trap,
    Fuel,
    Wrong,
    Nonsense,
}

struct Engine {
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
const ORIGIN_MS: u64 = 1_000;

fn ms(ms: u64) -> MonoNs {
    MonoNs::from_ns((ORIGIN_MS + ms) * 1_000_000)
}

/// So many milliseconds before the tests count.
fn early(ms: u64) -> MonoNs {
    MonoNs::from_ns((ORIGIN_MS - ms) * 1_000_000)
}

fn above(slot: u32, limit: f64) -> Program {
    Program::new(vec![Op::Slot(slot), Op::Const(limit), Op::Greater]).unwrap()
}

fn tag(name: &str, stale_after_ms: u64) -> TagPlan {
    TagPlan {
        name: name.into(),
        unit: "mm/s".into(),
        device: DeviceId(0),
        stale_after: DurNs::from_ms(stale_after_ms),
        checks: InputChecks::default(),
        reintegration: Reintegration::After(DurNs::ZERO),
    }
}

fn rule(id: &str, program: Program, stops: &[u16], on_delay_ms: u64) -> RulePlan {
    RulePlan {
        id: id.into(),
        when: id.into(),
        programs: vec![program],
        raised: vec![],
        voting: None,
        on_delay: DurNs::from_ms(on_delay_ms),
        off_delay: DurNs::ZERO,
        debounce: None,
        multiplier: None,
        inhibit: None,
        bypass_at_most: None,
        process_safety_time: None,
        level: if stops.is_empty() {
            Level::Alert
        } else {
            Level::Danger
        },
        stops: stops.to_vec(),
        deadline: (!stops.is_empty()).then_some(DurNs::from_ms(50)),
        message: String::new(),
        tags: vec![],
        runbook: None,
    }
}

fn output(name: &str, group: u16) -> OutputPlan {
    OutputPlan {
        name: name.into(),
        host: "127.0.0.1".into(),
        port: 502,
        unit: 1,
        device: "io".into(),
        target: OutputTarget::Coil {
            address: 0,
            run: true,
        },
        refresh: DurNs::from_ms(100),
        confirm_within: DurNs::from_ms(50),
        connect_timeout: DurNs::from_ms(500),
        backoff_min: DurNs::from_ms(20),
        backoff_max: DurNs::from_ms(200),
        group,
        stop: StopCategory::Zero,
        read_back: None,
        feedback: None,
        escalate_to: None,
        watchdog: None,
        device_time: DurNs::ZERO,
    }
}

fn plan() -> LanePlan {
    LanePlan {
        name: "main".into(),
        cpu: None,
        priority: 0,
        wait: Wait::Park,
        acquire: Acquire::Inline,
        timer_period: DurNs::from_ms(1),
        devices: vec![DevicePlan {
            name: "io".into(),
            link: LinkPlan::Modbus(ModbusPlan {
                host: "127.0.0.1".into(),
                port: 502,
                unit: 1,
                poll: None,
                timeout: DurNs::from_ms(50),
                connect_timeout: DurNs::from_ms(500),
                backoff_min: DurNs::from_ms(20),
                backoff_max: DurNs::from_ms(1_000),
                max_gap: 16,
                points: vec![],
            }),
        }],
        tags: vec![tag("vibration", 100), tag("pressure", 200)],
        windows: vec![],
        ages: vec![],
        qualities: vec![],
        rules: vec![
            rule("vibration_high", above(0, 7.1), &[0], 0),
            rule("pressure_high", above(1, 100.0), &[0, 1], 20),
            rule("vibration_alert", above(0, 4.5), &[], 0),
        ],
        votings: vec![],
        trip_groups: vec![
            TripGroupPlan {
                name: "press_run".into(),
            },
            TripGroupPlan {
                name: "pump_run".into(),
            },
        ],
        outputs: vec![output("press_run", 0), output("pump_run", 1)],
        reset_button: None,
        assumed: HostAssumption::default(),
    }
}

struct Bench {
    lane: Lane<Engine>,
    misbehaviour: Rc<Cell<Misbehaviour>>,
}

impl Bench {
    fn new(plan: &LanePlan) -> Self {
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
    fn armed() -> Self {
        Self::armed_with(&plan())
    }

    fn armed_with(plan: &LanePlan) -> Self {
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

    /// Presses, holds for the least time, releases.
    fn reset(&mut self, at: MonoNs) -> Result<(), ResetRefusal> {
        self.lane.press_reset(8, at)?;
        self.lane.release_reset(8, at.after(DurNs::from_ms(100)))
    }

    fn confirm(&mut self, output: u16, at: MonoNs) {
        self.lane.output_event(
            output,
            OutputEvent::Confirmed {
                value: Confirmed::Safe,
                at,
                round_trip: DurNs::ZERO,
            },
        );
    }

    fn fail(&mut self, output: u16, at: MonoNs) {
        let cause = FaultCause::NotConfirmed;
        self.lane
            .output_event(output, OutputEvent::Failed { at, cause });
    }

    fn prove_safe(&mut self, at: u64) {
        for output in 0..2 {
            self.confirm(output, ms(at));
        }
    }

    fn sample(&mut self, tag: u16, value: f64, at: u64) {
        self.take(tag, value, ms(at));
    }

    fn take(&mut self, tag: u16, value: f64, at: MonoNs) {
        self.lane.ingest(&Sample {
            at,
            value,
            tag: TagId(tag),
            quality: Quality::Good,
            cause: Cause::None,
        });
    }

    fn bad_sample(&mut self, tag: u16, at: u64) {
        self.lane.ingest(&Sample {
            at: ms(at),
            value: 0.0,
            tag: TagId(tag),
            quality: Quality::Bad,
            cause: Cause::NotFinite,
        });
    }

    fn first_out(&self, output: u16) -> Option<LatchCause> {
        self.lane.latch_of(output).map(|latch| latch.first_out)
    }
}

#[test]
fn i9_boot_is_tripped_and_only_a_reset_with_everything_clear_and_proved_releases() {
    let mut bench = Bench::new(&plan());
    bench.lane.tick(ms(1));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2], "I9");
    assert_eq!(
        bench.reset(ms(1)),
        Err(ResetRefusal::RuleNotClear { rule: 0 }),
        "not decided yet"
    );
    bench.sample(0, 1.0, 2);
    bench.sample(1, 1.0, 2);
    assert_eq!(
        bench.reset(ms(2)),
        Err(ResetRefusal::RuleNotClear { rule: 0 }),
        "not evaluated yet"
    );
    bench.lane.tick(ms(2));
    assert_eq!(
        bench.reset(ms(2)),
        Err(ResetRefusal::OutputNotConfirmed { output: 0 })
    );
    bench.confirm(0, ms(3));
    assert_eq!(
        bench.reset(ms(3)),
        Err(ResetRefusal::OutputNotConfirmed { output: 1 })
    );
    bench.confirm(1, ms(3));
    assert_eq!(bench.reset(ms(3)), Ok(()));
    assert_eq!(bench.reset(ms(3)), Err(ResetRefusal::NothingLatched));
    bench.lane.tick(ms(3));
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
}

#[test]
fn a_true_condition_withholds_its_permits_in_the_same_tick_and_no_others() {
    let mut bench = Bench::armed();
    bench.sample(0, 8.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(
        bench.lane.permits(),
        [Permit::Withheld, Permit::Granted],
        "I1"
    );
    let cause = LatchCause::Rule {
        rule: 0,
        cause: RuleCause::Condition,
    };
    assert_eq!(bench.first_out(0), Some(cause));
    // It stays when the condition goes away.
    bench.sample(0, 1.0, 30);
    for at in 30..60 {
        bench.lane.tick(ms(at));
        assert_eq!(bench.lane.permits()[0], Permit::Withheld, "I2");
    }
    assert_eq!(bench.first_out(0), Some(cause), "first-out is kept");
}

#[test]
fn i3_a_latch_is_not_released_while_its_cause_is_present() {
    let mut bench = Bench::armed();
    bench.sample(0, 8.0, 20);
    bench.lane.tick(ms(20));
    bench.prove_safe(21);
    assert_eq!(
        bench.reset(ms(21)),
        Err(ResetRefusal::RuleNotClear { rule: 0 })
    );
    bench.sample(0, 1.0, 30);
    assert!(bench.reset(ms(30)).is_err(), "cleared, but not evaluated");
    bench.lane.tick(ms(30));
    assert_eq!(bench.reset(ms(30)), Ok(()));
}

#[test]
fn the_first_cause_of_a_group_is_kept_and_measured_to_the_last_confirmation() {
    let mut bench = Bench::armed();
    bench.sample(1, 200.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.rule(1).unwrap().0, RuleState::Pending);
    bench.lane.tick(ms(39));
    assert_eq!(
        bench.lane.permits(),
        [Permit::Granted; 2],
        "the delay is not over"
    );
    assert_eq!(bench.lane.next_due(), ms(40));
    bench.lane.tick(ms(40));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2]);
    // A second rule demands the same stop: nothing changes for the first.
    bench.sample(0, 8.0, 41);
    bench.lane.tick(ms(41));
    assert!(matches!(
        bench.first_out(0),
        Some(LatchCause::Rule { rule: 1, .. })
    ));
    bench.lane.clear_events();
    bench.confirm(0, ms(45));
    assert!(bench.lane.events().is_empty(), "one of two outputs");
    bench.confirm(1, ms(90));
    let confirmed = EventKind::StopConfirmed {
        rule: 1,
        latency: DurNs::from_ms(70),
        missed: true,
    };
    assert_eq!(
        bench.lane.events()[0].kind,
        confirmed,
        "from the first true sample; the deadline is 50 ms"
    );
    assert_eq!(bench.lane.rule_latency(1), Some((DurNs::from_ms(70), 1, 1)));
    assert_eq!(bench.lane.rule_latency(0), Some((DurNs::ZERO, 0, 0)));
}

#[test]
fn h_27_silence_is_a_trip_after_stale_after_and_not_later() {
    let mut bench = Bench::armed();
    bench.sample(1, 1.0, 60);
    assert_eq!(bench.lane.next_due(), ms(110), "10 ms and 100 ms after it");
    bench.lane.tick(ms(110));
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
    bench.lane.tick(ms(111));
    assert_eq!(bench.lane.permits(), [Permit::Withheld, Permit::Granted]);
    let view = bench.lane.tag(TagId(0)).unwrap();
    assert_eq!((view.quality, view.cause), (Quality::Stale, Cause::Stale));
    let event = bench
        .lane
        .events()
        .iter()
        .find_map(|event| match event.kind {
            EventKind::Rule {
                rule: 0,
                cause,
                tag,
                quality_cause,
                ..
            } => Some((cause, tag, quality_cause)),
            _ => None,
        });
    assert_eq!(
        event,
        Some((RuleCause::BadInput, Some(TagId(0)), Cause::Stale)),
        "who and why"
    );
}

#[test]
fn i6_a_bad_sample_trips_at_once() {
    let mut bench = Bench::armed();
    bench.bad_sample(1, 20);
    bench.lane.tick(ms(20));
    assert_eq!(
        bench.lane.permits(),
        [Permit::Withheld; 2],
        "the 20 ms delay is not for bad inputs"
    );
    bench.prove_safe(21);
    assert!(bench.reset(ms(21)).is_err());
    bench.sample(1, 1.0, 22);
    bench.lane.tick(ms(22));
    assert_eq!(bench.reset(ms(22)), Ok(()));
}

#[test]
fn h_25_lost_frames_hold_the_channels_bad_until_each_has_a_fresh_sample() {
    let mut bench = Bench::armed();
    bench.lane.frames_lost(DeviceId(0), 3, ms(20));
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2]);
    assert_eq!(
        bench.lane.tag(TagId(0)).unwrap().cause,
        Cause::QueueOverflow
    );
    assert_eq!(bench.lane.counters().frames_lost, 3);
    // What still waited in the full queue is older than what was lost.
    for tag in [0, 1] {
        bench.sample(tag, 1.0, 19);
    }
    bench.lane.tick(ms(21));
    assert_eq!(
        bench.lane.tag(TagId(0)).unwrap().cause,
        Cause::QueueOverflow
    );
    bench.prove_safe(21);
    assert!(bench.reset(ms(21)).is_err());
    bench.sample(0, 1.0, 22);
    bench.lane.tick(ms(22));
    assert_eq!(
        bench.reset(ms(22)),
        Err(ResetRefusal::RuleNotClear { rule: 1 })
    );
    bench.sample(1, 1.0, 23);
    bench.lane.tick(ms(23));
    assert_eq!(bench.reset(ms(23)), Ok(()));
}

#[test]
fn every_failure_of_the_rule_module_stops_everything_until_a_restart() {
    for (misbehaviour, expected) in [
        (Misbehaviour::Trap, RuleCause::Trap),
        (Misbehaviour::Fuel, RuleCause::Fuel),
        (Misbehaviour::Wrong, RuleCause::Comparison),
        (Misbehaviour::Nonsense, RuleCause::Comparison),
    ] {
        let mut bench = Bench::armed();
        bench.misbehaviour.set(misbehaviour);
        // An alert's evaluation fails, and that of the vibration rule; the pressure rule alone stops the pump.
        bench.sample(0, 2.0, 20);
        bench.lane.tick(ms(20));
        assert_eq!(
            bench.lane.permits(),
            [Permit::Withheld; 2],
            "H-35, H-38, H-42: {expected:?}"
        );
        assert_eq!(bench.lane.rule(0).unwrap().1, expected);
        bench.misbehaviour.set(Misbehaviour::None);
        bench.sample(0, 1.0, 30);
        bench.sample(1, 1.0, 30);
        bench.lane.tick(ms(30));
        bench.prove_safe(31);
        assert_eq!(bench.reset(ms(31)), Err(ResetRefusal::EngineFault), "I3");
    }
}

#[test]
fn a_sample_older_than_the_last_one_is_dropped() {
    let mut bench = Bench::armed();
    bench.sample(0, 8.0, 5);
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2], "H-19");
    assert_eq!(bench.lane.counters().out_of_order, 1);
    bench.sample(9, 8.0, 20);
    assert_eq!(bench.lane.counters().foreign, 1, "I5");
}

#[test]
fn only_what_depends_on_a_changed_tag_is_evaluated() {
    let mut bench = Bench::armed();
    let before = bench.lane.counters().evaluations;
    bench.sample(1, 2.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(
        bench.lane.counters().evaluations - before,
        1,
        "one rule depends on the pressure"
    );
    bench.sample(1, 2.0, 21);
    bench.lane.tick(ms(21));
    assert_eq!(
        bench.lane.counters().evaluations - before,
        1,
        "fresh, but not changed"
    );
    bench.sample(0, 2.0, 22);
    bench.lane.tick(ms(22));
    assert_eq!(
        bench.lane.counters().evaluations - before,
        3,
        "two depend on the vibration"
    );
}

#[test]
fn h_57_an_output_that_does_not_confirm_is_latched_and_not_released_before_it_does() {
    let mut bench = Bench::armed();
    bench.fail(1, ms(20));
    assert_eq!(
        bench.lane.permits(),
        [Permit::Granted, Permit::Withheld],
        "at once, not at the next tick"
    );
    assert_eq!(bench.first_out(1), Some(LatchCause::OutputFault));
    assert_eq!(
        bench.reset(ms(21)),
        Err(ResetRefusal::OutputNotConfirmed { output: 1 })
    );
    bench.confirm(1, ms(22));
    assert_eq!(bench.reset(ms(22)), Ok(()));
    // A latched output that fails to confirm again needs its proof again.
    bench.lane.trip(ms(30));
    bench.prove_safe(31);
    bench.fail(0, ms(32));
    assert_eq!(
        bench.reset(ms(33)),
        Err(ResetRefusal::OutputNotConfirmed { output: 0 })
    );
}

#[test]
fn a_shutdown_is_final() {
    let mut bench = Bench::armed();
    bench.lane.shut_down(ms(20));
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2], "H-83");
    assert!(!bench.lane.all_proved_safe());
    bench.prove_safe(21);
    assert!(bench.lane.all_proved_safe());
    assert_eq!(bench.reset(ms(22)), Err(ResetRefusal::ShuttingDown));
}

#[test]
fn a_window_makes_its_rule_wait_at_start_and_trip_over_a_gap() {
    let mut plan = plan();
    plan.windows = vec![WindowPlan {
        function: WindowFunction::Avg,
        tag: TagId(0),
        span: DurNs::from_ms(50),
        capacity: 64,
    }];
    plan.rules = vec![rule("average_high", above(2, 7.1), &[0], 0)];
    let mut bench = Bench::new(&plan);
    for at in (10..60).step_by(10) {
        bench.sample(0, 5.0, at);
        bench.lane.tick(ms(at));
        assert_eq!(bench.lane.rule(0).unwrap().0, RuleState::Waiting, "{at} ms");
    }
    bench.sample(0, 5.0, 60);
    bench.lane.tick(ms(60));
    assert_eq!(bench.lane.rule(0).unwrap().0, RuleState::Normal);
    // Silence, then a single sample: not an average.
    bench.lane.tick(ms(161));
    assert_eq!(bench.lane.rule(0).unwrap().1, RuleCause::BadInput);
    bench.sample(0, 5.0, 170);
    bench.lane.tick(ms(170));
    assert_eq!(bench.lane.rule(0).unwrap().0, RuleState::Active, "I6");
    for at in (180..230).step_by(10) {
        bench.sample(0, 5.0, at);
        bench.lane.tick(ms(at));
    }
    assert_eq!(bench.lane.rule(0).unwrap().0, RuleState::Normal);
}

#[test]
fn age_and_quality_decide_as_time_passes_without_a_sample() {
    let mut plan = plan();
    plan.ages = vec![TagId(0)];
    plan.qualities = vec![TagId(0)];
    // age(vibration) > 30 ms, and quality(vibration) >= bad.
    plan.rules = vec![
        rule("old", above(2, 30e6), &[], 0),
        rule("not_ok", above(3, 1.5), &[], 0),
    ];
    let mut bench = Bench::new(&plan);
    bench.sample(0, 5.0, 10);
    bench.lane.tick(ms(10));
    let states = |bench: &Bench| [bench.lane.rule(0).unwrap().0, bench.lane.rule(1).unwrap().0];
    assert_eq!(states(&bench), [RuleState::Normal, RuleState::Normal]);
    bench.lane.tick(ms(40));
    assert_eq!(states(&bench), [RuleState::Normal, RuleState::Normal]);
    bench.lane.tick(ms(41));
    assert_eq!(states(&bench), [RuleState::Active, RuleState::Normal]);
    bench.lane.tick(ms(111));
    assert_eq!(states(&bench), [RuleState::Active, RuleState::Active]);
}
