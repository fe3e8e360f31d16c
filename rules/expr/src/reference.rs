//! A third evaluator for tests: walks the tree with `Option<f64>` and `Option<bool>`, carries units at run time, and
//! knows nothing of postfix operations, flags or dead-band arithmetic on stacks.

use crate::ast::{Arithmetic, Kind, Node, Relation};
use crate::compile::DeadBand;
use crate::ir::{SlotValue, Tri};
use crate::parser::parse;
use crate::scope::{Input, Scope, TagKind, WindowFunction, quality_word};
use crate::unit::{Conversion, Unit};
use std::collections::BTreeMap;

pub(crate) struct World<'a> {
    pub(crate) scope: &'a dyn Scope,
    pub(crate) slots: &'a BTreeMap<Input, SlotValue>,
    pub(crate) dead_band: Option<&'a DeadBand>,
    pub(crate) hold: bool,
}

#[derive(Clone)]
struct Num {
    value: Option<f64>,
    unit: Unit,
    constant: bool,
}

enum Val {
    Bool(Option<bool>),
    Num(Num),
}

pub(crate) fn evaluate(source: &str, world: &World<'_>) -> Tri {
    let node = parse(source).unwrap();
    match truth(&node, world, false) {
        Some(true) => Tri::True,
        Some(false) => Tri::False,
        None => Tri::Bad,
    }
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}

fn truth(node: &Node, world: &World<'_>, inverted: bool) -> Option<bool> {
    match value(node, world, inverted) {
        Val::Bool(value) => value,
        Val::Num(_) => panic!("a condition was expected"),
    }
}

fn number(node: &Node, world: &World<'_>) -> Num {
    match value(node, world, false) {
        Val::Num(num) => num,
        Val::Bool(_) => panic!("a number was expected"),
    }
}

fn slot(input: Input, world: &World<'_>) -> Option<f64> {
    let slot = world.slots[&input];
    finite(slot.usable.then_some(slot.value))
}

fn convert(num: &Num, conversion: Conversion, unit: &Unit) -> Num {
    let value = num.value.map(|v| {
        if conversion.is_identity() {
            v
        } else if num.constant {
            conversion.apply_to_literal(v)
        } else {
            // Each step on its own: an overflow in the middle is an overflow.
            let scaled = v * conversion.multiplier;
            if scaled.is_finite() {
                scaled / conversion.divisor + conversion.summand
            } else {
                f64::NAN
            }
        }
    });
    Num {
        value: finite(value),
        unit: unit.clone(),
        constant: num.constant,
    }
}

/// One unit for both: the measured side's, else the left one's.
fn together(a: &Num, b: &Num) -> (Num, Num) {
    if a.constant && !b.constant {
        let conversion = a.unit.conversion_to(&b.unit).unwrap();
        (convert(a, conversion, &b.unit), b.clone())
    } else {
        let conversion = b.unit.conversion_to(&a.unit).unwrap();
        (a.clone(), convert(b, conversion, &a.unit))
    }
}

fn calculate(a: &Num, b: &Num, unit: Unit, f: impl Fn(f64, f64) -> f64) -> Num {
    Num {
        value: finite(a.value.zip(b.value).map(|(a, b)| f(a, b))),
        unit,
        constant: a.constant && b.constant,
    }
}

fn value(node: &Node, world: &World<'_>, inverted: bool) -> Val {
    match &node.kind {
        Kind::Number { value, unit } => Val::Num(Num {
            value: Some(*value),
            unit: unit.clone().unwrap_or(Unit::ONE),
            constant: true,
        }),
        Kind::Bool(value) => Val::Bool(Some(*value)),
        Kind::Name(name) => named(name, world, inverted),
        Kind::Negate(inner) => {
            let num = number(inner, world);
            Val::Num(Num {
                value: num.value.map(|v| -v),
                ..num
            })
        }
        Kind::Not(inner) => Val::Bool(truth(inner, world, !inverted).map(|v| !v)),
        Kind::All(nodes) => {
            let values: Vec<_> = nodes.iter().map(|n| truth(n, world, inverted)).collect();
            Val::Bool(if values.contains(&Some(false)) {
                Some(false)
            } else if values.contains(&None) {
                None
            } else {
                Some(true)
            })
        }
        Kind::Any(nodes) => {
            let values: Vec<_> = nodes.iter().map(|n| truth(n, world, inverted)).collect();
            Val::Bool(if values.contains(&Some(true)) {
                Some(true)
            } else if values.contains(&None) {
                None
            } else {
                Some(false)
            })
        }
        Kind::Arithmetic { first, rest } => {
            let mut total = number(first, world);
            for (operation, node) in rest {
                total = arithmetic(&total, *operation, &number(node, world));
            }
            Val::Num(total)
        }
        Kind::Compare {
            relation,
            left,
            right,
        } => Val::Bool(compare(*relation, left, right, world, inverted)),
        Kind::Choose { condition, yes, no } => {
            let condition = truth(condition, world, false);
            match (value(yes, world, inverted), value(no, world, inverted)) {
                (Val::Bool(a), Val::Bool(b)) => {
                    Val::Bool(condition.and_then(|c| if c { a } else { b }))
                }
                (Val::Num(a), Val::Num(b)) => {
                    let (a, b) = together(&a, &b);
                    Val::Num(Num {
                        value: condition.and_then(|c| if c { a.value } else { b.value }),
                        unit: a.unit,
                        constant: false,
                    })
                }
                _ => panic!("both sides of a choice are of one type"),
            }
        }
        Kind::Call {
            function,
            arguments,
            ..
        } => Val::Num(call(function, arguments, world)),
    }
}

fn named(name: &str, world: &World<'_>, inverted: bool) -> Val {
    if let Some(quality) = quality_word(name) {
        return Val::Num(Num {
            value: Some(quality),
            unit: Unit::ONE,
            constant: true,
        });
    }
    if let Some(tag) = world.scope.tag(name) {
        let value = slot(Input::Tag(name.into()), world);
        return match tag.kind {
            TagKind::Bool => Val::Bool(match value {
                Some(1.0) => Some(true),
                Some(0.0) => Some(false),
                _ => None,
            }),
            TagKind::Number => Val::Num(Num {
                value,
                unit: tag.unit,
                constant: false,
            }),
        };
    }
    if let Some(constant) = world.scope.constant(name) {
        return Val::Num(Num {
            value: Some(constant.value),
            unit: constant.unit,
            constant: true,
        });
    }
    value(
        &parse(world.scope.macro_source(name).unwrap()).unwrap(),
        world,
        inverted,
    )
}

fn arithmetic(a: &Num, operation: Arithmetic, b: &Num) -> Num {
    match operation {
        Arithmetic::Mul => calculate(a, b, a.unit.product(&b.unit).unwrap(), |a, b| a * b),
        Arithmetic::Div => calculate(a, b, a.unit.quotient(&b.unit).unwrap(), |a, b| a / b),
        Arithmetic::Sub if a.unit.is_affine() && b.unit.is_affine() => {
            let b = convert(b, b.unit.conversion_to(&a.unit).unwrap(), &a.unit);
            calculate(a, &b, a.unit.difference_unit(), |a, b| a - b)
        }
        _ if a.unit.is_affine() => {
            let b = convert(
                b,
                b.unit.difference_conversion_to(&a.unit).unwrap(),
                &a.unit,
            );
            let sign = if operation == Arithmetic::Add {
                1.0
            } else {
                -1.0
            };
            calculate(a, &b, a.unit.clone(), |a, b| a + sign * b)
        }
        _ => {
            let (a, b) = together(a, b);
            let sign = if operation == Arithmetic::Add {
                1.0
            } else {
                -1.0
            };
            calculate(&a, &b, a.unit.clone(), |a, b| a + sign * b)
        }
    }
}

fn compare(
    relation: Relation,
    left: &Node,
    right: &Node,
    world: &World<'_>,
    inverted: bool,
) -> Option<bool> {
    let (a, b) = match (value(left, world, false), value(right, world, false)) {
        (Val::Bool(a), Val::Bool(b)) => {
            let same = a? == b?;
            return Some(same == (relation == Relation::Equal));
        }
        (Val::Num(a), Val::Num(b)) => together(&a, &b),
        _ => panic!("a comparison is of one type"),
    };
    let (mut low, mut high) = (a.value?, b.value?);
    if let Some(band) = world.dead_band
        && world.hold
        && relation.is_ordered()
        && band.unit.same_dimension(&a.unit)
        && !a.unit.is_dimensionless()
    {
        let width = band
            .unit
            .difference_conversion_to(&a.unit)
            .unwrap()
            .apply_to_literal(band.value);
        let easier = if inverted { -width } else { width };
        let less = matches!(relation, Relation::Less | Relation::LessEqual);
        let shift = if less { easier } else { -easier };
        if a.constant && !b.constant {
            low -= shift;
        } else {
            high += shift;
        }
    }
    let (low, high) = (finite(Some(low))?, finite(Some(high))?);
    Some(match relation {
        Relation::Less => low < high,
        Relation::LessEqual => low <= high,
        Relation::Greater => low > high,
        Relation::GreaterEqual => low >= high,
        Relation::Equal => low.partial_cmp(&high) == Some(std::cmp::Ordering::Equal),
        Relation::NotEqual => low.partial_cmp(&high) != Some(std::cmp::Ordering::Equal),
    })
}

fn name_of(node: &Node) -> String {
    match &node.kind {
        Kind::Name(name) => name.clone(),
        _ => panic!("a tag was expected"),
    }
}

fn call(function: &str, arguments: &[Node], world: &World<'_>) -> Num {
    let measured = |value, unit| Num {
        value,
        unit,
        constant: false,
    };
    let window = match arguments {
        [_, span] => match &span.kind {
            Kind::Number {
                value,
                unit: Some(unit),
            } if unit.is_time() => unit.convert(*value, &Unit::NANOSECOND),
            _ => None,
        },
        _ => None,
    };
    if let (Some(window_function), Some(span_ns), Kind::Name(name)) = (
        WindowFunction::from_name(function),
        window,
        &arguments[0].kind,
    ) {
        let tag = world.scope.tag(name).unwrap();
        let spread = matches!(
            window_function,
            WindowFunction::Delta | WindowFunction::Stddev
        );
        if !tag.unit.is_time() {
            let input = Input::Window {
                function: window_function,
                tag: name.clone(),
                span_ns: span_ns.round() as u64,
            };
            let unit = if spread {
                tag.unit.difference_unit()
            } else {
                tag.unit
            };
            return measured(slot(input, world), unit);
        }
    }
    match function {
        "age" => measured(
            slot(Input::Age(name_of(&arguments[0])), world),
            Unit::NANOSECOND,
        ),
        "quality" => measured(
            slot(Input::Quality(name_of(&arguments[0])), world),
            Unit::ONE,
        ),
        "abs" => {
            let num = number(&arguments[0], world);
            Num {
                value: num.value.map(f64::abs),
                ..num
            }
        }
        "sqrt" => {
            let num = number(&arguments[0], world);
            let (unit, conversion) = num.unit.square_root().unwrap();
            let base = convert(&num, conversion, &num.unit);
            Num {
                value: finite(base.value.map(f64::sqrt)),
                unit,
                constant: num.constant,
            }
        }
        "min" | "max" => {
            let mut total = number(&arguments[0], world);
            for node in &arguments[1..] {
                let (a, b) = together(&total, &number(node, world));
                let unit = a.unit.clone();
                total = calculate(
                    &a,
                    &b,
                    unit,
                    if function == "min" {
                        f64::min
                    } else {
                        f64::max
                    },
                );
            }
            total
        }
        "clamp" => {
            let (x, low) = together(&number(&arguments[0], world), &number(&arguments[1], world));
            let raised = calculate(&x, &low, x.unit.clone(), f64::max);
            let (raised, high) = together(&raised, &number(&arguments[2], world));
            calculate(&raised, &high, raised.unit.clone(), f64::min)
        }
        other => panic!("unknown function {other}"),
    }
}
