use super::*;

fn ms(ms: u64) -> MonoNs {
    MonoNs::from_ns(ms * 1_000_000)
}

/// A rule with its times.
struct Timed {
    rule: Rule,
    timing: Timing,
}

impl std::ops::Deref for Timed {
    type Target = Rule;

    fn deref(&self) -> &Rule {
        &self.rule
    }
}

impl Timed {
    fn take(
        &mut self,
        outcome: Outcome,
        origin: MonoNs,
        now: MonoNs,
        missing: bool,
    ) -> Option<Change> {
        self.rule.tripped = u8::from(outcome == TRUE);
        self.rule
            .decide(outcome, &self.timing, origin, now, missing)
    }

    fn late(&mut self, now: MonoNs) -> Option<Change> {
        self.rule.elapse(&self.timing, now)
    }
}

fn rule(on_delay_ms: u64) -> Timed {
    Timed {
        rule: Rule::new(),
        timing: Timing {
            on_delay: DurNs::from_ms(on_delay_ms),
            off_delay: DurNs::ZERO,
            debounce: None,
        },
    }
}

const TRUE: Outcome = Outcome::Decided(Tri::True);
const FALSE: Outcome = Outcome::Decided(Tri::False);
const BAD: Outcome = Outcome::Decided(Tri::Bad);

#[test]
fn a_condition_must_last_its_delay() {
    let mut rule = rule(20);
    rule.take(FALSE, ms(0), ms(0), false);
    assert_eq!(
        rule.take(TRUE, ms(10), ms(10), false).unwrap().to,
        RuleState::Pending
    );
    assert_eq!(rule.late(ms(29)), None);
    assert_eq!(
        rule.take(FALSE, ms(29), ms(29), false).unwrap().to,
        RuleState::Normal
    );
    rule.take(TRUE, ms(40), ms(40), false);
    let change = rule.late(ms(60)).unwrap();
    assert_eq!(
        (change.from, change.to),
        (RuleState::Pending, RuleState::Active)
    );
    assert_eq!(
        rule.since,
        ms(40),
        "the reaction time counts from the first true sample"
    );
}

#[test]
fn a_tick_that_comes_late_does_not_lengthen_the_delay() {
    let mut rule = rule(20);
    rule.take(FALSE, ms(0), ms(0), false);
    let change = rule.take(TRUE, ms(10), ms(35), false).unwrap();
    assert_eq!(
        (change.from, change.to),
        (RuleState::Normal, RuleState::Active)
    );
}

#[test]
fn a_bad_input_trips_without_the_delay() {
    let mut rule = rule(1_000);
    rule.take(FALSE, ms(0), ms(0), false);
    let change = rule.take(BAD, ms(10), ms(10), false).unwrap();
    assert_eq!(
        (change.to, change.cause),
        (RuleState::Active, RuleCause::BadInput),
        "I6"
    );
    let change = rule.take(TRUE, ms(11), ms(11), false).unwrap();
    assert_eq!(
        (change.to, change.cause),
        (RuleState::Active, RuleCause::Condition)
    );
}

#[test]
fn before_its_inputs_arrived_a_rule_waits_and_is_not_normal() {
    let mut rule = rule(0);
    assert_eq!(rule.take(BAD, ms(1), ms(1), true), None);
    assert_eq!(rule.state, RuleState::Waiting);
    assert_eq!(
        rule.take(BAD, ms(2), ms(2), false).unwrap().cause,
        RuleCause::BadInput
    );
}

#[test]
fn the_dead_band_holds_only_for_a_condition_that_fired() {
    let mut rule = rule(10);
    assert!(!rule.hold(0));
    rule.take(TRUE, ms(0), ms(0), false);
    assert!(!rule.hold(0), "pending");
    rule.take(TRUE, ms(20), ms(20), false);
    assert!(rule.hold(0));
    rule.take(BAD, ms(30), ms(30), false);
    assert!(!rule.hold(0));
}

#[test]
fn a_fault_of_the_rule_module_never_clears() {
    let mut rule = rule(0);
    rule.take(Outcome::Fault(RuleCause::Comparison), ms(0), ms(0), false);
    assert_eq!(rule.take(FALSE, ms(1), ms(1), false), None);
    assert_eq!(
        (rule.state, rule.cause),
        (RuleState::Active, RuleCause::Comparison)
    );
}

#[test]
fn a_condition_must_be_over_for_its_off_delay() {
    let mut rule = rule(0);
    rule.timing.off_delay = DurNs::from_ms(100);
    rule.take(FALSE, ms(0), ms(0), false);
    rule.take(TRUE, ms(10), ms(10), false);
    assert_eq!(rule.take(FALSE, ms(20), ms(20), false), None);
    assert_eq!(rule.rule.due(&rule.timing), ms(120));
    assert_eq!(rule.take(TRUE, ms(50), ms(50), false), None, "it came back");
    assert_eq!(rule.late(ms(130)), None);
    rule.take(FALSE, ms(150), ms(150), false);
    assert_eq!(rule.late(ms(249)), None);
    assert_eq!(rule.late(ms(250)).unwrap().to, RuleState::Normal);
}

#[test]
fn h04_m_of_n_decides_and_the_cap_decides_at_the_latest() {
    let debounced = || {
        let mut rule = rule(0);
        rule.timing.debounce = Some(Debounce {
            need: 3,
            of: 5,
            within: DurNs::from_ms(100),
        });
        rule.take(FALSE, ms(0), ms(0), false);
        rule
    };
    let mut rule = debounced();
    for (at, outcome, state) in [
        (10, TRUE, RuleState::Pending),
        (20, FALSE, RuleState::Pending),
        (30, TRUE, RuleState::Pending),
        (40, FALSE, RuleState::Pending),
        (50, TRUE, RuleState::Active),
    ] {
        rule.take(outcome, ms(at), ms(at), false);
        assert_eq!(rule.state, state, "H-4: at {at} ms");
    }
    assert_eq!(
        rule.since,
        ms(10),
        "the reaction time counts from the first"
    );
    // A single spike is forgotten after n.
    let mut rule = debounced();
    rule.take(TRUE, ms(10), ms(10), false);
    for at in [20, 30, 40, 50] {
        rule.take(FALSE, ms(at), ms(at), false);
        assert_eq!(rule.state, RuleState::Pending);
    }
    rule.take(FALSE, ms(60), ms(60), false);
    assert_eq!(rule.state, RuleState::Normal);
    // Slow samples: still true at the cap.
    let mut rule = debounced();
    rule.take(TRUE, ms(10), ms(10), false);
    assert_eq!(rule.rule.due(&rule.timing), ms(110));
    assert_eq!(rule.late(ms(109)), None);
    assert_eq!(rule.late(ms(110)).unwrap().to, RuleState::Active);
    // Bad does not wait.
    let mut rule = debounced();
    rule.take(BAD, ms(10), ms(10), false);
    assert_eq!(
        (rule.state, rule.cause),
        (RuleState::Active, RuleCause::BadInput)
    );
}

#[test]
fn a_rule_that_is_bypassed_is_normal_and_says_so() {
    let mut rule = rule(0);
    rule.take(TRUE, ms(0), ms(0), false);
    let change = rule.take(
        Outcome::Suppressed(RuleCause::Bypassed),
        ms(10),
        ms(10),
        false,
    );
    assert_eq!(
        change.map(|change| (change.to, change.cause)),
        Some((RuleState::Normal, RuleCause::Bypassed))
    );
    assert_eq!(
        rule.take(TRUE, ms(20), ms(20), false).unwrap().to,
        RuleState::Active
    );
}

#[test]
fn h33_a_damaged_state_is_seen() {
    let mut rule = rule(0);
    rule.take(TRUE, ms(0), ms(0), false);
    assert!(rule.is_intact());
    rule.rule.state = RuleState::Normal;
    assert!(!rule.is_intact());
    rule.rule.state = RuleState::Active;
    rule.rule.stored.damage(0, 4);
    assert!(!rule.is_intact());
}
