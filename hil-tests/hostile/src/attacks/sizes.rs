//! Too much of something, and what a compiler chokes on.

use rules_sdk_gate::Rule;

use super::{Attack, MORE, Must, Parts, WELL, wasm};

/// Too much of something, and what a compiler chokes on.
pub(super) fn sizes(all: &mut Vec<Attack>) {
    use Must::{Compile, Gate};
    let more = |text: &str| wasm(&Parts(WELL).with(MORE, text).text());
    let mut push = |name, wasm, must| all.push(Attack { name, wasm, must });
    push(
        "5,000 functions",
        more(&"(func)".repeat(5_000)),
        Gate(Rule::Functions),
    );
    push(
        "2,000 globals",
        more(&"(global i32 (i32.const 0))".repeat(2_000)),
        Gate(Rule::Globals),
    );
    push(
        "1,001 locals",
        more(&format!("(func {})", "(local i32)".repeat(1_001))),
        Gate(Rule::Locals),
    );
    push(
        "2,000 blocks in one another",
        more(&format!(
            "(func {} {})",
            "(block ".repeat(2_000),
            ")".repeat(2_000)
        )),
        Gate(Rule::Nesting),
    );
    push(
        "a choice of 40,000",
        more(&format!(
            "(func (br_table {} (i32.const 0)))",
            "0 ".repeat(40_000)
        )),
        Gate(Rule::Branches),
    );
    push(
        "a function of 200 KiB",
        more(&format!(
            "(func (local i64) {})",
            "(local.set 0 (i64.add (local.get 0) (i64.const 5)))".repeat(30_000)
        )),
        Gate(Rule::Code),
    );
    push(
        "a module of 2 MiB",
        more(&format!("(data (i32.const 0) \"{}\")", "a".repeat(2 << 20))),
        Gate(Rule::Size),
    );
    push(
        "100 results",
        more(&format!(
            "(func (result {}) unreachable)",
            "i32 ".repeat(100)
        )),
        Gate(Rule::Types),
    );
    let chain = "(local.set 0 (i64.add (local.get 0) (i64.xor (local.get 0) (i64.const 5))))";
    push(
        "the longest function that may be",
        more(&format!(
            "(func (param i64) (result i64) {} (local.get 0))",
            chain.repeat(5_000)
        )),
        Compile,
    );
    push(
        "five long functions",
        more(
            &format!(
                "(func (local i64) {})",
                "(local.set 0 (i64.add (local.get 0) (i64.const 5)))".repeat(7_900)
            )
            .repeat(5),
        ),
        Gate(Rule::Code),
    );
    push("240 locals that all live", more(&live(240, 99)), Compile);
    push(
        "99 blocks with ways out of each",
        more(&ways_out(99)),
        Compile,
    );
    // 45 KiB that took half a minute, and two ways to be refused.
    push(
        "400 locals that all live",
        more(&live(400, 99)),
        Gate(Rule::Locals),
    );
    push(
        "400 blocks with ways out of each",
        more(&ways_out(400)),
        Gate(Rule::Nesting),
    );
}

/// Locals that are all needed at the end, in so many blocks with a way out of each.
fn live(locals: usize, blocks: usize) -> String {
    let mut text = format!(
        "(func (param i32) (result i32) {}",
        "(local i32)".repeat(locals)
    );
    for block in 0..blocks {
        let local = 1 + block % locals;
        text += &format!(
            "(block (local.set {local} (i32.add (local.get {local}) (local.get 0))) (br_if 0 (local.get {local}))"
        );
    }
    text += &")".repeat(blocks);
    for local in 1..=locals {
        text += &format!("(local.set 0 (i32.add (local.get 0) (local.get {local})))");
    }
    text + "(local.get 0))"
}

fn ways_out(depth: usize) -> String {
    let mut text = String::from("(func (param i32)");
    for level in 0..depth {
        text += "(block (local.set 0 (i32.add (local.get 0) (i32.const 1)))";
        for out in (0..=level).step_by(10) {
            text += &format!("(br_if {out} (local.get 0))");
        }
    }
    text + &")".repeat(depth) + ")"
}
