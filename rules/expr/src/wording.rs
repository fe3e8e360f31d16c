//! What the compiler says, and what it makes of the language: golden texts and behaviour seen from outside.

use crate::testing::TestScope;
use crate::{
    Constant, DeadBand, ErrorCause, Input, Op, Scope, SlotValue, TagInfo, TagKind, Tri, Unit,
    WarningCause, WindowFunction, compile, eval, parse_quantity, parse_unit,
};

fn band(text: &str) -> Option<DeadBand> {
    let (value, unit) = parse_quantity(text).unwrap();
    Some(DeadBand { value, unit })
}

fn refused(source: &str, cause: ErrorCause, rendered: &str) {
    refused_with(source, None, cause, rendered);
}

fn refused_with(source: &str, dead_band: Option<DeadBand>, cause: ErrorCause, rendered: &str) {
    let errors = compile(source, &TestScope, dead_band).unwrap_err();
    assert_eq!(errors.len(), 1, "{source}: {errors:#?}");
    assert_eq!(errors[0].render(source), rendered, "{source}");
    assert_eq!(errors[0].cause, cause, "{source}");
}

fn ops(source: &str) -> Vec<Op> {
    let compiled = compile(source, &TestScope, None).unwrap();
    let inputs = compiled.inputs().to_vec();
    let slot = |input: &Input| inputs.iter().position(|known| known == input).unwrap() as u32;
    compiled.link(slot).ops().to_vec()
}

/// Evaluates an expression whose inputs are used in the order of `values`; `None` is not usable.
fn ask(source: &str, dead_band: Option<DeadBand>, values: &[Option<f64>], hold: bool) -> Tri {
    let compiled = compile(source, &TestScope, dead_band).unwrap();
    assert_eq!(compiled.inputs().len(), values.len(), "{source}");
    let inputs = compiled.inputs().to_vec();
    let program =
        compiled.link(|input| inputs.iter().position(|known| known == input).unwrap() as u32);
    let slots: Vec<SlotValue> = values
        .iter()
        .map(|value| SlotValue {
            value: value.unwrap_or(0.0),
            usable: value.is_some(),
        })
        .collect();
    eval(&program, &slots, hold)
}

#[test]
fn units_that_do_not_fit_are_refused_with_a_way_out() {
    refused(
        "v.a > 3 g",
        ErrorCause::UnitMismatch,
        "error: g (acceleration) does not convert to mm/s (velocity)\n  | v.a > 3 g\n  | ^^^^^^^^^\n  = give the right side in m/s, mm/s, in/s, or use a tag that measures acceleration",
    );
    refused(
        "3 g < v.a",
        ErrorCause::UnitMismatch,
        "error: g (acceleration) does not convert to mm/s (velocity)\n  | 3 g < v.a\n  | ^^^^^^^^^\n  = give the left side in m/s, mm/s, in/s, or use a tag that measures acceleration",
    );
    refused(
        "v.a > 7.1",
        ErrorCause::BareNumber,
        "error: a number without a unit meets a number in mm/s (velocity)\n  | v.a > 7.1\n  |       ^^^\n  = write `7.1 mm/s`",
    );
    refused(
        "q.a > 80",
        ErrorCause::BareNumber,
        "error: a number without a unit meets a number in % (plain number)\n  | q.a > 80\n  |       ^^\n  = write `80 %`; for a ratio divide by `100 %`",
    );
    refused(
        "v.a + p.a > 1 bar",
        ErrorCause::UnitMismatch,
        "error: bar (pressure) does not convert to mm/s (velocity)\n  | v.a + p.a > 1 bar\n  | ^^^^^^^^^\n  = give the right side in m/s, mm/s, in/s, or use a tag that measures pressure",
    );
    refused(
        "v.a > 7 mm/sec",
        ErrorCause::UnknownName,
        "error: no tag, constant or macro is called `sec`\n  | v.a > 7 mm/sec\n  |            ^^^\n  = did you mean the unit `mm/s`?",
    );
    refused(
        "sqrt(v.a) > 2 mm/s",
        ErrorCause::UnitMismatch,
        "error: the root of a number in mm/s (velocity) has no unit\n  | sqrt(v.a) > 2 mm/s\n  |      ^^^\n  = take the root of a square, for instance `sqrt(x * x + y * y)`",
    );
}

#[test]
fn types_that_do_not_fit_are_refused_with_a_way_out() {
    refused(
        "v.a + v.b",
        ErrorCause::TypeMismatch,
        "error: a rule must be a condition, this is a number in mm/s (velocity)\n  | v.a + v.b\n  | ^^^^^^^^^\n  = compare it with a set point, for instance `... > 10 mm/s`",
    );
    refused(
        "b.a && v.a",
        ErrorCause::TypeMismatch,
        "error: a condition is needed here, this is a number in mm/s (velocity)\n  | b.a && v.a\n  |        ^^^\n  = compare it: `v.a > 10 mm/s`",
    );
    refused(
        "!v.a > 3 mm/s",
        ErrorCause::TypeMismatch,
        "error: a condition is needed here, this is a number in mm/s (velocity)\n  | !v.a > 3 mm/s\n  |  ^^^\n  = compare it: `v.a > 10 mm/s`; to negate a comparison put it in parentheses: `!(x > 3)`",
    );
    refused(
        "b.a + 1 > 2",
        ErrorCause::TypeMismatch,
        "error: a number is needed here, this is a condition (true or false)\n  | b.a + 1 > 2\n  | ^^^\n  = a condition becomes a number with `condition ? 1 : 0`",
    );
    refused(
        "b.a < b.b",
        ErrorCause::TypeMismatch,
        "error: conditions have no order, `<` needs numbers\n  | b.a < b.b\n  | ^^^^^^^^^\n  = use `==` or `!=`, or `&&` and `||`",
    );
    refused(
        "quality(v.a) > 1",
        ErrorCause::Quality,
        "error: a quality cannot be compared with a number without a unit\n  | quality(v.a) > 1\n  | ^^^^^^^^^^^^^^^^\n  = compare `quality(tag)` with good, uncertain, bad or stale",
    );
    refused(
        "b.a ? v.a : b.b",
        ErrorCause::TypeMismatch,
        "error: the two sides of `:` differ: a number in mm/s (velocity) and a condition (true or false)\n  | b.a ? v.a : b.b\n  | ^^^^^^^^^^^^^^^\n  = both must be conditions, or both numbers of one kind of unit",
    );
}

#[test]
fn names_and_functions_are_suggested() {
    refused(
        "limit.w < v.a",
        ErrorCause::UnknownName,
        "error: no tag, constant or macro is called `limit.w`\n  | limit.w < v.a\n  | ^^^^^^^\n  = did you mean `limit.v`?",
    );
    refused(
        "mean(v.a, 1 s) > 1 mm/s",
        ErrorCause::UnknownFunction,
        "error: there is no function `mean`\n  | mean(v.a, 1 s) > 1 mm/s\n  | ^^^^\n  = did you mean `avg`?",
    );
    refused(
        "avg(v.a, 1) > 1 mm/s",
        ErrorCause::DurationExpected,
        "error: the second argument of `avg` must be a duration, not `1`\n  | avg(v.a, 1) > 1 mm/s\n  |          ^\n  = write the span as a number with a unit of time: `avg(tag, 500ms)`",
    );
    refused(
        "avg(v.a + v.b, 1 s) > 1 mm/s",
        ErrorCause::TagExpected,
        "error: the name of a tag is needed here, not `v.a + v.b`\n  | avg(v.a + v.b, 1 s) > 1 mm/s\n  |     ^^^^^^^^^\n  = this function looks at one tag's samples; name the tag itself",
    );
    refused(
        "age(m.mean) > 1 s",
        ErrorCause::TagExpected,
        "error: the name of a tag is needed here, `m.mean` is a macro\n  | age(m.mean) > 1 s\n  |     ^^^^^^\n  = this function looks at one tag's samples; name the tag itself",
    );
    refused(
        "clamp(v.a, 1 mm/s) > 1 mm/s",
        ErrorCause::ArgumentCount,
        "error: `clamp` takes 3 arguments, here are 2\n  | clamp(v.a, 1 mm/s) > 1 mm/s\n  | ^^^^^^^^^^^^^^^^^^\n  = write `clamp(x, low, high)`",
    );
    refused(
        "rms(v.a, 0 s) > 1 mm/s",
        ErrorCause::DurationExpected,
        "error: a window of 0 s is not possible\n  | rms(v.a, 0 s) > 1 mm/s\n  |          ^^^\n  = write a span of at least 1 ns and at most 104 days",
    );
}

#[test]
fn nonsense_with_temperatures_is_refused() {
    for (source, start) in [
        (
            "t.a + t.b > 100 degC",
            "error: the sum of two temperatures means nothing",
        ),
        (
            "t.a * 2 > 100 degC",
            "error: a multiple or a ratio of a temperature in degC means nothing",
        ),
        (
            "t.a / t.b > 1",
            "error: a multiple or a ratio of a temperature in degC means nothing",
        ),
        (
            "-t.a > 5 degC",
            "error: the negative of a temperature in degC means nothing",
        ),
        (
            "abs(t.b) > 5 degC",
            "error: the magnitude of a temperature in degF means nothing",
        ),
        (
            "rms(t.a, 1 s) > 5 degC",
            "error: the root mean square of a temperature in degC means nothing",
        ),
        (
            "t.a - t.b > 5 degC",
            "error: a temperature and a temperature difference cannot stand for each other",
        ),
        (
            "t.a > t.a - t.b",
            "error: a temperature and a temperature difference cannot stand for each other",
        ),
        (
            "t.a - t.k > 5 K",
            "error: it cannot be told whether the right side in K is a temperature or a difference",
        ),
        (
            "(t.a - t.b) - t.a > 5 K",
            "error: a temperature cannot be subtracted from a temperature difference",
        ),
    ] {
        let errors = compile(source, &TestScope, None).unwrap_err();
        assert_eq!(errors.len(), 1, "{source}");
        assert_eq!(errors[0].cause, ErrorCause::Temperature, "{source}");
        let text = errors[0].render(source);
        assert!(text.starts_with(start), "H-05: {text}");
    }
    assert_eq!(
        ask("t.a > 212 degF", None, &[Some(100.5)], false),
        Tri::True
    );
    assert_eq!(
        ask("t.a > 212 degF", None, &[Some(99.5)], false),
        Tri::False
    );
    assert_eq!(ask("t.a > 350 K", None, &[Some(76.86)], false), Tri::True);
    assert_eq!(
        ask("t.a - t.b > 5 K", None, &[Some(26.0), Some(68.0)], false),
        Tri::True
    );
    assert_eq!(
        ask("t.a + 5 K > 30 degC", None, &[Some(25.5)], false),
        Tri::True
    );
    assert_eq!(
        ask("t.k > 80 degC", None, &[Some(353.0)], false),
        Tri::False
    );
    assert_eq!(
        ask("rate(t.a, 1 min) > 2 degC/min", None, &[Some(0.04)], false),
        Tri::True
    );
}

#[test]
fn every_error_that_can_be_found_is_reported() {
    let source = "v.x > 1 mm/s && v.a > 3 g || q.a > 5 && foo(1)";
    let errors = compile(source, &TestScope, None).unwrap_err();
    let causes: Vec<ErrorCause> = errors.iter().map(|e| e.cause).collect();
    assert_eq!(
        causes,
        [
            ErrorCause::UnknownName,
            ErrorCause::UnitMismatch,
            ErrorCause::BareNumber,
            ErrorCause::UnknownFunction
        ]
    );
}

struct Macros(&'static [(&'static str, &'static str)]);

impl Scope for Macros {
    fn tag(&self, name: &str) -> Option<TagInfo> {
        name.starts_with("tag").then(|| TagInfo {
            unit: parse_unit("mm/s").unwrap(),
            kind: TagKind::Number,
        })
    }
    fn constant(&self, name: &str) -> Option<Constant> {
        (name == "both").then_some(Constant {
            value: 1.0,
            unit: Unit::ONE,
        })
    }
    fn macro_source(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| *text)
    }
    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

#[test]
fn macros_are_expanded_as_if_in_parentheses_and_errors_name_them() {
    let scope = Macros(&[
        ("sum", "tag1 + tag2"),
        ("high", "sum * 2 > 10 mm/s"),
        ("wrong", "tag1 > 3 g"),
        ("broken", "tag1 >"),
        ("outer", "wrong || tag1 > 1 mm/s"),
        ("a", "b && true"),
        ("b", "a || false"),
        ("both", "true"),
    ]);
    // (tag1 + tag2) * 2, not tag1 + tag2 * 2.
    let compiled = compile("high", &scope, None).unwrap();
    let program = compiled.link(|input| u32::from(input.tag() == "tag2"));
    let slots = [2.0, 4.0].map(|value| SlotValue {
        value,
        usable: true,
    });
    assert_eq!(eval(&program, &slots, false), Tri::True);

    let render = |source: &str| {
        let errors = compile(source, &scope, None).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:#?}");
        (
            errors[0].cause,
            errors[0].in_macro.clone(),
            errors[0].render(source),
        )
    };
    assert_eq!(
        render("tag2 > 1 mm/s && outer"),
        (
            ErrorCause::UnitMismatch,
            Some("wrong".into()),
            "error: in macro `wrong`, at `tag1 > 3 g`: g (acceleration) does not convert to mm/s (velocity)\n  | tag2 > 1 mm/s && outer\n  |                  ^^^^^\n  = give the right side in m/s, mm/s, in/s, or use a tag that measures acceleration".into()
        )
    );
    assert_eq!(render("broken").0, ErrorCause::Syntax);
    let (cause, _, text) = render("a");
    assert_eq!(cause, ErrorCause::MacroRecursion);
    assert!(text.contains("a -> b -> a"), "{text}");
    assert_eq!(render("both").0, ErrorCause::AmbiguousName);
}

#[test]
fn macros_cannot_blow_up() {
    let doubling = Macros(&[
        ("m0", "tag1 > 1 mm/s"),
        ("m1", "m0 && m0"),
        ("m2", "m1 && m1 && m1 && m1"),
        ("m3", "m2 && m2 && m2 && m2"),
        ("m4", "m3 && m3 && m3 && m3"),
        ("m5", "m4 && m4 && m4 && m4"),
        ("m6", "m5 && m5 && m5 && m5"),
        ("m7", "m6 && m6 && m6 && m6"),
    ]);
    let errors = compile("m7", &doubling, None).unwrap_err();
    assert_eq!(errors.len(), 1, "H-46: {errors:#?}");
    assert_eq!(errors[0].cause, ErrorCause::TooLong);
}

#[test]
fn limits_have_errors_of_their_own() {
    let cause = |source: &str| {
        let errors = compile(source, &TestScope, None).unwrap_err();
        assert_eq!(errors.len(), 1);
        errors[0].cause
    };
    assert_eq!(
        cause(&format!("b.a{}", " ".repeat(5000))),
        ErrorCause::TooLong,
        "H-46"
    );
    assert_eq!(cause(&"(".repeat(4000)), ErrorCause::TooDeep, "H-46");
    assert_eq!(
        cause(&format!("{}b.a{}", "!(".repeat(63), ")".repeat(63))),
        ErrorCause::TooDeep
    );
    assert_eq!(
        cause(&vec!["b.a"; 600].join("&&")),
        ErrorCause::TooManyOps,
        "H-46"
    );
    assert!(compile(&vec!["b.a"; 500].join("&&"), &TestScope, None).is_ok());
}

#[test]
fn constants_that_never_work_are_refused() {
    for source in [
        "v.a > 1 mm/s / 0",
        "n.a / 0 > 1",
        "n.a > sqrt(-1)",
        "n.a > 1e308 * 10",
        "clamp(n.a, 3, 1) > 2",
    ] {
        let errors = compile(source, &TestScope, None).unwrap_err();
        assert_eq!(errors[0].cause, ErrorCause::NeverUsable, "{source}");
    }
}

#[test]
fn literals_are_converted_instead_of_tags() {
    assert_eq!(
        ops("v.a > 7.1 mm/s"),
        [Op::Slot(0), Op::Const(7.1), Op::Greater]
    );
    assert_eq!(
        ops("v.a > 0.0071 m/s"),
        [Op::Slot(0), Op::Const(7.1), Op::Greater]
    );
    assert_eq!(
        ops("0.0071 m/s < v.a"),
        [Op::Const(7.1), Op::Slot(0), Op::Less]
    );
    assert_eq!(
        ops("v.a > limit.v * 2"),
        [Op::Slot(0), Op::Const(14.2), Op::Greater]
    );
    assert_eq!(
        ops("t.a > 176 degF"),
        [Op::Slot(0), Op::Const(80.0), Op::Greater]
    );
    assert_eq!(
        ops("age(v.a) > 500ms"),
        [Op::Slot(0), Op::Const(5e8), Op::Greater]
    );
    assert_eq!(
        ops("quality(v.a) >= bad"),
        [Op::Slot(0), Op::Const(2.0), Op::GreaterEqual]
    );
    assert_eq!(
        ops("v.a > w.a"),
        [
            Op::Slot(0),
            Op::Slot(1),
            Op::Const(1000.0),
            Op::Mul,
            Op::Greater
        ],
        "two tags: the right one is converted"
    );
    assert_eq!(
        ops("w.a > v.a"),
        [
            Op::Slot(0),
            Op::Slot(1),
            Op::Const(1000.0),
            Op::Div,
            Op::Greater
        ],
        "divided, because 1/1000 has no binary form"
    );
}

#[test]
fn inputs_are_distinct_and_in_order() {
    let compiled = compile(
        "v.a > 1 mm/s && avg(v.a, 500ms) > v.a && avg(v.a, 0.5 s) > 2 mm/s && age(v.a) < 1 s && quality(v.a) < bad",
        &TestScope,
        None,
    )
    .unwrap();
    let window = Input::Window {
        function: WindowFunction::Avg,
        tag: "v.a".into(),
        span_ns: 500_000_000,
    };
    assert_eq!(
        compiled.inputs(),
        [
            Input::Tag("v.a".into()),
            window,
            Input::Age("v.a".into()),
            Input::Quality("v.a".into())
        ]
    );
}

#[test]
fn min_and_max_are_windows_only_of_a_tag_over_a_duration() {
    let inputs = |source: &str| compile(source, &TestScope, None).unwrap().inputs().to_vec();
    let span_ns = 500_000_000;
    let window = |function, tag: &str| Input::Window {
        function,
        tag: tag.into(),
        span_ns,
    };
    assert_eq!(
        inputs("min(v.a, 500ms) > 1 mm/s"),
        [window(WindowFunction::Min, "v.a")]
    );
    assert_eq!(
        inputs("max(v.a, v.b) > 1 mm/s"),
        [Input::Tag("v.a".into()), Input::Tag("v.b".into())]
    );
    assert_eq!(
        inputs("min(d.a, 500ms) > 1 ms"),
        [Input::Tag("d.a".into())],
        "d.a measures time itself"
    );
    assert_eq!(
        inputs("avg(d.a, 500ms) > 1 ms"),
        [window(WindowFunction::Avg, "d.a")]
    );
}

#[test]
fn bad_never_looks_like_false() {
    for (source, a, b, expected) in [
        ("v.a > 1 mm/s && b.a", None, Some(0.0), Tri::False),
        ("v.a > 1 mm/s && b.a", None, Some(1.0), Tri::Bad),
        ("v.a > 1 mm/s || b.a", None, Some(1.0), Tri::True),
        ("v.a > 1 mm/s || b.a", None, Some(0.0), Tri::Bad),
        ("!(v.a > 1 mm/s) && b.a", None, Some(1.0), Tri::Bad),
        ("n.a / n.b > 0", Some(1.0), Some(0.0), Tri::Bad),
        ("sqrt(n.a) > n.b", Some(-1.0), Some(0.0), Tri::Bad),
        ("n.a * n.b < 0", Some(1e200), Some(1e200), Tri::Bad),
    ] {
        assert_eq!(
            ask(source, None, &[a, b], false),
            expected,
            "H-21: {source}"
        );
    }
}

#[test]
fn a_dead_band_moves_the_threshold_only_while_held() {
    let two = || band("2 mm/s");
    for (source, value, free, held) in [
        ("v.a > 7 mm/s", 6.0, Tri::False, Tri::True),
        ("v.a > 7 mm/s", 5.0, Tri::False, Tri::False),
        ("v.a >= 7 mm/s", 5.0, Tri::False, Tri::True),
        ("v.a > 7 mm/s", 8.0, Tri::True, Tri::True),
        ("7 mm/s < v.a", 6.0, Tri::False, Tri::True),
        ("7 mm/s < v.a", 5.0, Tri::False, Tri::False),
        ("v.a < 7 mm/s", 8.0, Tri::False, Tri::True),
        ("v.a < 7 mm/s", 9.0, Tri::False, Tri::False),
        ("v.a <= 0.007 m/s", 9.0, Tri::False, Tri::True),
        ("!(v.a < 7 mm/s)", 6.0, Tri::False, Tri::True),
        ("!(v.a < 7 mm/s)", 4.9, Tri::False, Tri::False),
        ("!!(v.a > 7 mm/s)", 6.0, Tri::False, Tri::True),
        ("!(!(v.a > 7 mm/s) || false)", 6.0, Tri::False, Tri::True),
    ] {
        assert_eq!(
            ask(source, two(), &[Some(value)], false),
            free,
            "{source} {value}"
        );
        assert_eq!(
            ask(source, two(), &[Some(value)], true),
            held,
            "{source} {value} held"
        );
        assert_eq!(
            ask(source, two(), &[None], true),
            Tri::Bad,
            "{source}: hold does not hide bad"
        );
    }
    assert_eq!(
        ask("v.a > 7 mm/s", band("0.002 m/s"), &[Some(6.0)], true),
        Tri::True,
        "converted"
    );
    assert_eq!(
        ask("t.a > 80 degC", band("5 degC"), &[Some(76.0)], true),
        Tri::True,
        "a difference"
    );
    assert_eq!(
        ask("t.a > 80 degC", band("9 degF"), &[Some(74.9)], true),
        Tri::False
    );
    let both = "v.a > 7 mm/s && n.a > 100";
    assert_eq!(
        ask(both, two(), &[Some(6.0), Some(101.0)], true),
        Tri::True,
        "other units are not touched"
    );
    assert_eq!(ask(both, two(), &[Some(6.0), Some(99.0)], true), Tri::False);
}

#[test]
fn a_dead_band_that_belongs_nowhere_is_refused() {
    refused_with(
        "v.a > 7 mm/s",
        band("2 bar"),
        ErrorCause::DeadBand,
        "error: the dead band 2 bar fits no comparison of this rule: it compares in mm/s\n  | v.a > 7 mm/s\n  | ^^^^^^^^^^^^\n  = give the dead band in the unit of the comparison it belongs to, or remove it",
    );
    refused_with(
        "v.a > 7 mm/s || v.b > 7 mm/s",
        band("2 mm/s"),
        ErrorCause::DeadBand,
        "error: the dead band 2 mm/s fits 2 comparisons of this rule, this is the second\n  | v.a > 7 mm/s || v.b > 7 mm/s\n  |                 ^^^^^^^^^^^^\n  = split it into one rule for each comparison, or remove the dead band",
    );
    let causes = |source: &str, value: f64| {
        let unit = parse_unit("mm/s").unwrap();
        let errors = compile(source, &TestScope, Some(DeadBand { value, unit })).unwrap_err();
        errors.iter().map(|e| e.cause).collect::<Vec<_>>()
    };
    assert_eq!(causes("b.a", 1.0), [ErrorCause::DeadBand]);
    assert_eq!(causes("q.a > 5 %", 1.0), [ErrorCause::DeadBand]);
    for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            causes("v.a > 7 mm/s", value),
            [ErrorCause::DeadBand],
            "{value}"
        );
    }
    for source in [
        "v.a > 7 mm/s ? b.a : b.b",
        "(v.a > 7 mm/s) == b.a",
        "n.a > (v.a > 7 mm/s ? 1 : 2)",
    ] {
        assert_eq!(causes(source, 1.0), [ErrorCause::DeadBand], "{source}");
    }
}

#[test]
fn warnings_are_given_where_they_help() {
    let warnings = |source: &str| {
        let compiled = compile(source, &TestScope, None).unwrap();
        compiled
            .warnings()
            .iter()
            .map(|w| w.cause)
            .collect::<Vec<_>>()
    };
    assert_eq!(warnings("v.a == 7.1 mm/s"), [WarningCause::FloatEquality]);
    assert_eq!(warnings("n.a / n.b != 3"), [WarningCause::FloatEquality]);
    assert_eq!(warnings("n.a == 3"), [], "a state word is exact");
    assert_eq!(warnings("n.a == 3.5"), [WarningCause::FloatEquality]);
    assert_eq!(warnings("true"), [WarningCause::Constant]);
    assert_eq!(warnings("b.a || 1 < 2"), [WarningCause::Constant]);
    assert_eq!(
        warnings("quality(v.a) == bad"),
        [WarningCause::QualityEquality]
    );
    assert_eq!(warnings("quality(v.a) >= bad"), []);
    let compiled = compile("v.a == 7.1 mm/s", &TestScope, None).unwrap();
    assert_eq!(
        compiled.warnings()[0].render("v.a == 7.1 mm/s"),
        "warning: `==` between measured numbers is true or false by the last bit\n  | v.a == 7.1 mm/s\n  | ^^^^^^^^^^^^^^^\n  = compare with a tolerance: `abs(a - b) < 0.1 mm/s`"
    );
}

#[test]
fn the_reference_names_every_unit_function_and_reserved_word() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/expressions.md");
    let text = std::fs::read_to_string(path).unwrap();
    for unit in crate::unit_names() {
        // The second way to encode the micro sign looks the same on paper.
        let shown = unit.replace('μ', "µ");
        assert!(
            text.contains(&format!("`{shown}`")),
            "docs/expressions.md does not list {unit}"
        );
    }
    for function in WindowFunction::ALL {
        assert!(
            text.contains(&format!("`{}(tag, span)`", function.as_str())),
            "{function:?}"
        );
    }
    for word in crate::RESERVED_WORDS {
        assert!(text.contains(word), "{word}");
    }
}
