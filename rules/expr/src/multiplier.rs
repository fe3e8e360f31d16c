//! What a setpoint multiplier makes of a rule, and where it is refused.

use crate::testing::TestScope;
use crate::{DeadBand, ErrorCause, Op, compile, compile_raised, parse_unit};

fn raised(source: &str, factor: f64) -> Vec<Op> {
    let compiled = compile_raised(source, &TestScope, None, factor)
        .unwrap_or_else(|errors| panic!("{source}: {errors:#?}"));
    compiled.link(|_| 0).ops().to_vec()
}

#[test]
fn only_the_setpoint_is_multiplied() {
    let expected = [Op::Slot(0), Op::Const(14.2), Op::Greater];
    assert_eq!(raised("v.a > 7.1 mm/s", 2.0), expected);
    assert_eq!(raised("v.a > 0.0071 m/s", 2.0), expected, "units first");
    let turned = [Op::Const(14.2), Op::Slot(0), Op::Less];
    assert_eq!(raised("7.1 mm/s < v.a", 2.0), turned);
    let window = [Op::Slot(0), Op::Const(6.0), Op::GreaterEqual];
    assert_eq!(raised("rms(v.a, 500ms) >= 4 mm/s", 1.5), window);
    // `!` turns the direction: this is true above 7 mm/s.
    let denied = [Op::Slot(0), Op::Const(14.0), Op::LessEqual, Op::Not];
    assert_eq!(raised("!(v.a <= 7 mm/s)", 2.0), denied);
    // Qualities and conditions have no set point.
    let with = raised("v.a > 7 mm/s && b.a && quality(v.b) < bad", 2.0);
    assert!(with.contains(&Op::Const(14.0)) && !with.contains(&Op::Const(7.0)));
}

#[test]
fn the_dead_band_hangs_below_the_raised_setpoint() {
    let band = DeadBand {
        value: 0.5,
        unit: parse_unit("mm/s").unwrap(),
    };
    let compiled = compile_raised("v.a > 7 mm/s", &TestScope, Some(band), 3.0).unwrap();
    assert_eq!(
        compiled.link(|_| 0).ops(),
        [
            Op::Slot(0),
            Op::Const(21.0),
            Op::HoldOffset(-0.5),
            Op::Add,
            Op::Greater
        ]
    );
}

#[test]
fn what_cannot_be_raised_soundly_is_refused() {
    for source in [
        "v.a < 7 mm/s",
        "7 mm/s > v.a",
        "!(v.a > 7 mm/s)",
        "v.a > 7 mm/s && v.b > 7 mm/s",
        "v.a > v.b",
        "v.a + v.b > 7 mm/s",
        "b.a",
        "v.a > 0 mm/s",
        "v.a > -1 mm/s",
        "v.a > 7 mm/s ? b.a : b.b",
        "(v.a > 7 mm/s) == b.a",
    ] {
        let errors = compile_raised(source, &TestScope, None, 2.0).unwrap_err();
        let causes: Vec<ErrorCause> = errors.iter().map(|error| error.cause).collect();
        assert_eq!(causes, [ErrorCause::Multiplier], "{source}: {errors:#?}");
        assert!(compile(source, &TestScope, None).is_ok(), "{source}");
    }
    let temperature = "t.a > 80 degC";
    let errors = compile_raised(temperature, &TestScope, None, 2.0).unwrap_err();
    assert_eq!(errors[0].cause, ErrorCause::Multiplier, "{errors:#?}");
    for factor in [1.0, 0.5, 0.0, -2.0, f64::NAN, f64::INFINITY] {
        let errors = compile_raised("v.a > 7 mm/s", &TestScope, None, factor).unwrap_err();
        assert_eq!(errors[0].cause, ErrorCause::Multiplier, "{factor}");
    }
}

#[test]
fn a_simple_condition_tells_its_setpoint() {
    let told = |source: &str| {
        let compiled = compile(source, &TestScope, None).unwrap();
        let setpoint = compiled.setpoint();
        setpoint.map(|point| (point.above, point.value, point.input.tag().to_owned()))
    };
    assert_eq!(told("v.a > 7 mm/s"), Some((true, 7.0, "v.a".into())));
    assert_eq!(told("7 mm/s >= v.a"), Some((false, 7.0, "v.a".into())));
    assert_eq!(
        told("rms(v.a, 1s) < 2 mm/s"),
        Some((false, 2.0, "v.a".into()))
    );
    assert_eq!(told("v.a > 7 mm/s && b.a"), None);
    assert_eq!(told("v.a > v.b"), None);
}
