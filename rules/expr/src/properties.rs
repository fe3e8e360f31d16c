//! Properties over generated expressions and slots: the native evaluator against the reference and the module, and the
//! module against a strict validator.

use crate::interpreter;
use crate::reference::{World, evaluate};
use crate::testing::{Random, TestScope, expression, slot};
use crate::{Compiled, Input, Program, SlotValue, Tri, compile, eval, ir, wasm};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn compiled(seed: u64) -> (Compiled, String) {
    let generated = expression(seed);
    let compiled = compile(&generated.source, &TestScope, generated.dead_band.clone());
    match compiled {
        Ok(compiled) => (compiled, generated.source),
        Err(errors) => panic!(
            "seed {seed}: {}\n{}",
            generated.source,
            errors
                .iter()
                .map(|e| e.render(&generated.source))
                .collect::<Vec<_>>()
                .join("\n")
        ),
    }
}

fn linked(compiled: &Compiled) -> Program {
    let inputs = compiled.inputs().to_vec();
    compiled.link(|input| {
        let at = inputs.iter().position(|known| known == input).unwrap();
        u32::try_from(at).unwrap()
    })
}

fn agrees_with_reference(seed: u64, slots_seed: u64, seen: &mut [u32; 3]) {
    let (compiled, source) = compiled(seed);
    let program = linked(&compiled);
    program.check(compiled.inputs().len()).unwrap();
    let mut random = Random::new(slots_seed);
    let slots: Vec<SlotValue> = compiled
        .inputs()
        .iter()
        .map(|input| slot(&mut random, input))
        .collect();
    let named: BTreeMap<Input, SlotValue> = compiled
        .inputs()
        .iter()
        .cloned()
        .zip(slots.iter().copied())
        .collect();
    let dead_band = expression(seed).dead_band;
    let module = wasm::module(&[&program], u32::try_from(slots.len()).unwrap()).unwrap();
    let memory = interpreter::memory(&slots);
    for hold in [false, true] {
        let expected = evaluate(
            &source,
            &World {
                scope: &TestScope,
                slots: &named,
                dead_band: dead_band.as_ref(),
                hold,
            },
        );
        let got = eval(&program, &slots, hold);
        assert_eq!(
            got, expected,
            "seed {seed}, slots {slots_seed}, hold {hold}: {source}\n{named:#?}"
        );
        let code = interpreter::run(&module, &memory, hold);
        assert_eq!(
            Tri::from_code(code),
            Some(got),
            "H-42: seed {seed}, slots {slots_seed}, hold {hold}: {source}"
        );
        seen[got as usize] += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn native_equals_reference_and_module(seed in any::<u64>(), slots in any::<u64>()) {
        agrees_with_reference(seed, slots, &mut [0; 3]);
    }

    #[test]
    fn any_text_is_compiled_or_refused(text in "[a-z.0-9 ()<>=!&|?:,+*/%°²-]{0,80}") {
        if let Err(errors) = compile(&text, &TestScope, None) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                prop_assert!(error.span.start <= error.span.end && error.span.end <= text.len());
                prop_assert!(text.is_char_boundary(error.span.start) && text.is_char_boundary(error.span.end));
                prop_assert!(!error.message.is_empty() && !error.help.is_empty());
            }
        }
    }

    #[test]
    fn any_operations_are_run_or_refused(seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let ops: Vec<ir::Op> = (0..random.below(40)).map(|_| random_op(&mut random)).collect();
        if let Ok(program) = Program::new(ops) {
            // Without slots: whatever is missing is bad, nothing panics.
            eval(&program, &[], true);
        }
    }
}

fn random_op(random: &mut Random) -> ir::Op {
    use ir::Op;
    match random.below(12) {
        0 => Op::Slot(u32::try_from(random.below(4)).unwrap()),
        1 => Op::SlotBool(u32::MAX),
        2 => Op::Const(f64::from_bits(random.draw())),
        3 => Op::Bool(true),
        4 => Op::HoldOffset(1.0),
        5 => Op::Add,
        6 => Op::Div,
        7 => Op::Less,
        8 => Op::And,
        9 => Op::Not,
        10 => Op::Choose,
        _ => Op::Same,
    }
}

#[test]
fn all_three_answers_occur_often() {
    let mut seen = [0; 3];
    for seed in 0..3_000 {
        agrees_with_reference(seed, seed ^ 0xABCD, &mut seen);
    }
    assert!(
        seen.iter().all(|count| *count > 500),
        "the generator is one-sided: {seen:?}"
    );
    assert_eq!(Tri::Bad as usize, 2);
}

/// Truth values go through the module's arithmetic on 0, 1 and 2: every operand, every operator.
#[test]
fn logic_in_the_module_is_the_native_one() {
    use ir::Op;
    let truths =
        [(0.0, true), (1.0, true), (0.0, false)].map(|(value, usable)| SlotValue { value, usable });
    let load = [Op::SlotBool(0), Op::SlotBool(1), Op::SlotBool(2)];
    for (operands, op) in [
        (1, Op::Not),
        (2, Op::And),
        (2, Op::Or),
        (2, Op::Same),
        (3, Op::ChooseBool),
    ] {
        let mut ops = load[..operands].to_vec();
        ops.push(op);
        let program = Program::new(ops).unwrap();
        let module = wasm::module(&[&program], 3).unwrap();
        for a in truths {
            for b in truths {
                for c in truths {
                    let slots = [a, b, c];
                    let expected = eval(&program, &slots, false);
                    let got = interpreter::run(&module, &interpreter::memory(&slots), false);
                    assert_eq!(
                        Tri::from_code(got),
                        Some(expected),
                        "H-42: {op:?} {slots:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn modules_are_strict_straight_line_and_cost_what_they_say() {
    use wasmparser::{Operator, Parser, Payload, Validator, WasmFeatures};
    let programs: Vec<(Program, usize)> = (0..1_000)
        .map(|seed| {
            let (compiled, _) = compiled(seed);
            (linked(&compiled), compiled.inputs().len())
        })
        .collect();
    let slots = programs.iter().map(|(_, slots)| *slots).max().unwrap();
    let list: Vec<&Program> = programs.iter().map(|(program, _)| program).collect();
    let bytes = wasm::module(&list, u32::try_from(slots).unwrap()).unwrap();
    // The first release of WebAssembly (2017), floating point included, nothing later.
    Validator::new_with_features(WasmFeatures::MVP)
        .validate_all(&bytes)
        .unwrap();

    let mut function = 0;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            Payload::ImportSection(_)
            | Payload::StartSection { .. }
            | Payload::TableSection(_)
            | Payload::DataSection(_)
            | Payload::GlobalSection(_)
            | Payload::ElementSection(_) => {
                panic!("H-36: a section that a rule module must not have")
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory.unwrap();
                    assert_eq!(
                        Some(memory.initial),
                        memory.maximum,
                        "H-36: memory does not grow"
                    );
                }
            }
            Payload::CodeSectionEntry(body) => {
                let mut fuel = ir::FUEL_ENTRY;
                let mut readers = body.get_operators_reader().unwrap();
                while !readers.eof() {
                    match readers.read().unwrap() {
                        Operator::End => {}
                        Operator::Block { .. }
                        | Operator::Loop { .. }
                        | Operator::If { .. }
                        | Operator::Br { .. }
                        | Operator::BrIf { .. }
                        | Operator::BrTable { .. }
                        | Operator::Return
                        | Operator::Unreachable
                        | Operator::Call { .. }
                        | Operator::CallIndirect { .. }
                        | Operator::MemoryGrow { .. }
                        | Operator::Drop
                        | Operator::Nop => panic!("H-35: control flow in rule {function}"),
                        operator => fuel += price(&operator),
                    }
                }
                assert_eq!(fuel, programs[function].0.fuel(), "rule {function}");
                function += 1;
            }
            _ => {}
        }
    }
    assert_eq!(function, programs.len());
}

/// Fuel of an operator, as the sandbox's table has it.
fn price(operator: &wasmparser::Operator<'_>) -> u64 {
    use rt_config::limits;
    match operator {
        wasmparser::Operator::F64Div => u64::from(limits::FUEL_F64_DIV),
        wasmparser::Operator::F64Sqrt => u64::from(limits::FUEL_F64_SQRT),
        _ => 1,
    }
}

#[test]
fn every_operation_costs_what_its_table_says() {
    use ir::Op;
    let n = Op::Const(2.0);
    let t = Op::Bool(true);
    let cases: &[&[Op]] = &[
        &[Op::Slot(0), n, Op::Less],
        &[Op::SlotBool(0)],
        &[Op::HoldOffset(1.0), n, Op::LessEqual],
        &[n, n, Op::Add, n, Op::Greater],
        &[n, n, Op::Sub, n, Op::GreaterEqual],
        &[n, n, Op::Mul, n, Op::Equal],
        &[n, n, Op::Div, n, Op::NotEqual],
        &[n, n, Op::Min, n, Op::Less],
        &[n, n, Op::Max, n, Op::Less],
        &[n, Op::Neg, Op::Abs, Op::Sqrt, n, Op::Less],
        &[t, t, Op::And],
        &[t, t, Op::Or],
        &[t, Op::Not],
        &[t, t, Op::Same],
        &[n, n, t, Op::Choose, n, Op::Less],
        &[t, t, t, Op::ChooseBool],
    ];
    for ops in cases {
        let program = Program::new(ops.to_vec()).unwrap();
        let bytes = wasm::module(&[&program], 1).unwrap();
        let mut operators = 0;
        for payload in wasmparser::Parser::new(0).parse_all(&bytes) {
            if let wasmparser::Payload::CodeSectionEntry(body) = payload.unwrap() {
                let reader = body.get_operators_reader().unwrap();
                let prices = reader.into_iter().map(|op| price(&op.unwrap()));
                operators = prices.sum::<u64>() - 1;
            }
        }
        assert_eq!(operators + ir::FUEL_ENTRY, program.fuel(), "{ops:?}");
        assert!(ops.iter().all(|op| op.fuel() <= ir::OP_FUEL_MAX));
    }
}

#[test]
fn modules_refuse_what_does_not_fit() {
    let program = Program::new(vec![ir::Op::SlotBool(5)]).unwrap();
    assert!(wasm::module(&[&program], 6).is_ok());
    assert!(
        matches!(
            wasm::module(&[&program], 5),
            Err(wasm::ModuleError::Program { rule: 0, .. })
        ),
        "H-48"
    );
    let most = u32::try_from(wasm::SLOTS_MAX).unwrap();
    assert!(wasm::module(&[&program], most).is_ok());
    assert_eq!(
        wasm::module(&[&program], most + 1),
        Err(wasm::ModuleError::TooManySlots { received: most + 1 })
    );
    let many = vec![&program; rt_config::limits::RULES_MAX + 1];
    assert!(matches!(
        wasm::module(&many, 6),
        Err(wasm::ModuleError::TooManyRules { .. })
    ));
    let bytes = wasm::module(&many[..rt_config::limits::RULES_MAX], most).unwrap();
    wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::MVP)
        .validate_all(&bytes)
        .unwrap();
    assert_eq!(
        (
            wasm::pages(0),
            wasm::pages(4096),
            wasm::pages(4097),
            wasm::pages(most)
        ),
        (1, 1, 2, 16)
    );
}
