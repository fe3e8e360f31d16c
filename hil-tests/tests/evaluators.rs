//! Both evaluations of a rule say the same, and the WebAssembly costs exactly the fuel that its compiler computed.
//!
//! Random expressions over random inputs, not-a-number, infinities, negative zero and unusable slots among them, in the
//! wasmtime that the guard runs. H-42.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use appliance_sandbox::{Engine, NativeCode, RuleModule, compile};
use rules_expr::testing::{Random, TestScope, expression, slot};
use rules_expr::{Input, Program, SlotValue, eval, wasm};

/// Expressions a module: enough to make loading one worth its time.
const RULES: u64 = 100;
/// Inputs each is evaluated with, held and not.
const INPUTS: u64 = 20;

struct Rules {
    programs: Vec<Program>,
    inputs: Vec<Input>,
    sources: Vec<String>,
}

fn rules(seeds: std::ops::Range<u64>) -> Rules {
    let mut rules = Rules {
        programs: Vec::new(),
        inputs: Vec::new(),
        sources: Vec::new(),
    };
    for seed in seeds {
        let generated = expression(seed);
        let compiled = rules_expr::compile(&generated.source, &TestScope, generated.dead_band)
            .unwrap_or_else(|errors| panic!("seed {seed}: {}: {errors:?}", generated.source));
        let inputs = &mut rules.inputs;
        let program = compiled.link(|input| {
            let known = inputs.iter().position(|known| known == input);
            let index = known.unwrap_or_else(|| {
                inputs.push(input.clone());
                inputs.len() - 1
            });
            u32::try_from(index).unwrap()
        });
        rules.programs.push(program);
        rules.sources.push(generated.source);
    }
    rules
}

fn load(engine: &Engine, rules: &Rules) -> RuleModule {
    let programs: Vec<&Program> = rules.programs.iter().collect();
    let wasm = wasm::module(&programs, u32::try_from(rules.inputs.len()).unwrap()).unwrap();
    let native = compile(engine, &wasm).unwrap();
    #[expect(unsafe_code, reason = "loading machine code")]
    // SAFETY: the bytes were made by `compile` one line above and not touched since.
    let code = unsafe { NativeCode::vouch(&native) };
    RuleModule::load(engine, &code, rules.programs.len(), rules.inputs.len()).unwrap()
}

#[test]
fn webassembly_and_native_evaluation_agree_and_the_fuel_is_what_was_computed() {
    let engine = Engine::new().unwrap();
    let mut verdicts = [0_u64; 3];
    for batch in 0..20 {
        let rules = rules(batch * RULES..(batch + 1) * RULES);
        let mut module = load(&engine, &rules);
        let mut random = Random::new(batch);
        for _ in 0..INPUTS {
            let slots: Vec<SlotValue> = rules
                .inputs
                .iter()
                .map(|input| slot(&mut random, input))
                .collect();
            for (index, value) in slots.iter().enumerate() {
                module.set_slot(index, value.value, value.usable).unwrap();
            }
            for (index, program) in rules.programs.iter().enumerate() {
                for hold in [false, true] {
                    let native = eval(program, &slots, hold);
                    let compiled = module.call(index, hold, program.fuel());
                    let source = &rules.sources[index];
                    assert_eq!(
                        compiled,
                        Ok(native.code()),
                        "hold {hold}: {source}\n{slots:?}"
                    );
                    assert_eq!(
                        module.fuel_used(index, hold),
                        Ok(program.fuel()),
                        "{source}"
                    );
                    verdicts[usize::try_from(native.code()).unwrap()] += 1;
                }
            }
        }
    }
    // A generator that only ever said one thing would prove nothing.
    assert!(verdicts.iter().all(|count| *count > 1_000), "{verdicts:?}");
}

#[test]
fn an_evaluator_that_lies_is_caught() {
    let engine = Engine::new().unwrap();
    let rules = rules(0..RULES);
    let mut module = load(&engine, &rules);
    let mut random = Random::new(7);
    let mut differences = 0;
    for _ in 0..INPUTS {
        let mut slots: Vec<SlotValue> = rules
            .inputs
            .iter()
            .map(|input| slot(&mut random, input))
            .collect();
        for (index, value) in slots.iter().enumerate() {
            module.set_slot(index, value.value, value.usable).unwrap();
        }
        // A flipped bit in one copy of the inputs only (H-33).
        for value in &mut slots {
            value.usable = !value.usable;
        }
        for (index, program) in rules.programs.iter().enumerate() {
            let native = eval(program, &slots, false);
            differences +=
                u64::from(module.call(index, false, program.fuel()) != Ok(native.code()));
        }
    }
    assert!(
        differences > 100,
        "{differences}: the comparison above can fail"
    );
}
