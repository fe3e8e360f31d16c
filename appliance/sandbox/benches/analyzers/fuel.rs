//! What a unit of fuel is worth, by what it is spent on.

use std::time::Instant;

use appliance_sandbox::{AnalyzerFault, AnalyzerInstance, AnalyzerSpec, Engine, OutputValue};
use drivers_frame::DurNs;

use crate::guest::{Guest, INPUT, frame, spec};
use crate::guests::{endless, walk};

/// The body of an endless loop, made of many of one operation.
fn kinds() -> Vec<(&'static str, String)> {
    // What was computed is stored: or it would not be computed.
    let kept = "(i32.store (i32.const 8) (local.get $i)) (i64.store (i32.const 16) (local.get $l)) (f64.store (i32.const 24) (local.get $x))
                (f32.store (i32.const 32) (local.get $f)) (f64.store (i32.const 40) (local.get $d))";
    let times = |operation: &str| format!("(loop {} {kept} (br 0))", operation.repeat(64));
    vec![
        ("empty loop", "(loop (br 0))".into()),
        (
            "loop, i32.add",
            times("(local.set $i (i32.add (local.get $i) (local.get $j)))"),
        ),
        (
            "i64.mul",
            times("(local.set $l (i64.mul (local.get $l) (local.get $m)))"),
        ),
        (
            "f64.add",
            times("(local.set $x (f64.add (local.get $x) (local.get $y)))"),
        ),
        (
            "f64.mul",
            times("(local.set $x (f64.mul (local.get $x) (local.get $y)))"),
        ),
        (
            "f32.div, in a chain",
            times("(local.set $f (f32.div (local.get $f) (local.get $g)))"),
        ),
        (
            "f64.div, in a chain",
            times("(local.set $x (f64.div (local.get $x) (local.get $y)))"),
        ),
        (
            "f64.sqrt, in a chain",
            times("(local.set $x (f64.sqrt (local.get $x)))"),
        ),
        (
            "f32.sqrt, in a chain",
            times("(local.set $f (f32.sqrt (local.get $f)))"),
        ),
        (
            "f64.min, in a chain",
            times("(local.set $x (f64.min (local.get $x) (local.get $y)))"),
        ),
        (
            "f64.floor, in a chain",
            times("(local.set $x (f64.floor (local.get $x)))"),
        ),
        (
            "f64.copysign",
            times("(local.set $x (f64.copysign (local.get $x) (local.get $y)))"),
        ),
        (
            "f64.convert, trunc_sat",
            times("(local.set $x (f64.convert_i64_u (i64.trunc_sat_f64_u (local.get $x))))"),
        ),
        (
            "f64.convert_i32, trunc",
            times("(local.set $x (f64.convert_i32_s (i32.trunc_f64_s (local.get $x))))"),
        ),
        (
            "i32.div_s, in a chain",
            times(
                "(local.set $i (i32.div_s (i32.const 0x7fffffff) (i32.or (local.get $i) (i32.const 3))))",
            ),
        ),
        (
            "i64.div_s, in a chain",
            times(
                "(local.set $l (i64.div_s (i64.const 0x7fffffffffffffff) (i64.or (local.get $l) (i64.const 3))))",
            ),
        ),
        (
            "i64.rem_u, in a chain",
            times(
                "(local.set $l (i64.rem_u (i64.const -1) (i64.or (local.get $l) (i64.const 3))))",
            ),
        ),
        (
            "i32.clz, popcnt",
            times("(local.set $i (i32.popcnt (i32.clz (local.get $i))))"),
        ),
        (
            "i32.load, at hand",
            times("(local.set $i (i32.load (local.get $i)))"),
        ),
        ("i32.load, over 1 MiB", walk(20, "i32.load (local.get $a)")),
        ("i32.load, over 64 KiB", walk(16, "i32.load (local.get $a)")),
        ("i64.store, over 1 MiB", store_walk(20)),
        (
            "global.set",
            times("(global.set $g (i32.add (global.get $g) (local.get $j)))"),
        ),
        ("br_table", br_table()),
        ("call of nothing", times("(call $nothing)")),
        (
            "call_indirect of nothing",
            times("(call_indirect (param) (i32.const 0))"),
        ),
        ("recursion, 100 deep", times("(call $down (i32.const 100))")),
        ("memory.size", times("(local.set $i (memory.size))")),
        (
            "memory.fill 1 MiB",
            "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576)) (br 0))".into(),
        ),
        (
            "memory.copy 512 KiB",
            "(loop (memory.copy (i32.const 0) (i32.const 524288) (i32.const 524288)) (br 0))"
                .into(),
        ),
        (
            "memory.fill of nothing",
            times("(memory.fill (i32.const 0) (i32.const 1) (local.get $z))"),
        ),
        (
            "memory.copy of nothing",
            times("(memory.copy (i32.const 0) (i32.const 64) (local.get $z))"),
        ),
        (
            "memory.fill 64 bytes",
            times("(memory.fill (i32.const 0) (i32.const 1) (i32.const 64))"),
        ),
        (
            "memory.copy 128 bytes",
            times("(memory.copy (i32.const 0) (i32.const 4096) (i32.const 128))"),
        ),
        (
            "memory.init of nothing",
            times("(memory.init $data (i32.const 0) (i32.const 0) (local.get $z))"),
        ),
        (
            "table.copy of nothing",
            times("(table.copy (i32.const 0) (i32.const 0) (local.get $z))"),
        ),
        (
            "table.copy, 512",
            times("(table.copy (i32.const 0) (i32.const 512) (i32.const 512))"),
        ),
        (
            "table.init of nothing",
            times("(table.init $elements (i32.const 0) (i32.const 0) (local.get $z))"),
        ),
        (
            "table.init, 256",
            times("(table.init $elements (i32.const 0) (i32.const 0) (i32.const 256))"),
        ),
        ("data.drop", times("(data.drop $data)")),
        ("elem.drop", times("(elem.drop $elements)")),
        (
            "denormal f64.mul",
            times("(local.set $d (f64.mul (local.get $d) (f64.const 1.0000001)))"),
        ),
        (
            "denormal f64.div",
            times("(local.set $d (f64.div (local.get $d) (f64.const 1.0000001)))"),
        ),
    ]
}

fn store_walk(bits: u32) -> String {
    let mask = (1 << bits) - 8;
    let step = format!(
        "(local.set $a (i32.and (i32.mul (i32.add (local.get $a) (i32.const 0x9e3779b9)) (i32.const 0x85ebca6b)) (i32.const {mask})))
         (i64.store (local.get $a) (local.get $l))"
    );
    format!("(loop {} (br 0))", step.repeat(16))
}

/// Jumps that no predictor learns.
fn br_table() -> String {
    "(loop $top
       (local.set $i (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904223)))
       (block $a (block $b (block $c (block $d
         (br_table $a $b $c $d $a $b $c $d (i32.shr_u (local.get $i) (i32.const 29))))
         (local.set $j (i32.add (local.get $j) (i32.const 1))))
         (local.set $j (i32.add (local.get $j) (i32.const 2))))
         (local.set $j (i32.add (local.get $j) (i32.const 3))))
       (br $top))"
        .into()
}

pub(crate) fn fuel_by_kind() {
    println!(
        "what a unit of fuel is worth, by what it is spent on: endless loops of 64 such operations"
    );
    println!("{:<28} {:>9}", "", "ns / fuel");
    let engine = Engine::new().unwrap();
    let fuel = 2_000_000;
    let mut worst = (0.0, "");
    for (name, body) in kinds() {
        let guest = if name.starts_with("table.init, 256") {
            let body = endless(&body);
            let functions = "$nothing ".repeat(256);
            let more = format!(
                "(global $g (mut i32) (i32.const 0)) (func $nothing) (func $down (param i32)) (table 1024 1024 funcref)
                 (data $data \"abc\") (elem $elements func {functions})"
            );
            Guest {
                more: Box::leak(more.into_boxed_str()),
                ..body
            }
        } else {
            endless(&body)
        };
        let spec = AnalyzerSpec {
            fuel,
            deadline: DurNs::from_ms(60_000),
            ..spec()
        };
        let mut instance = guest.load(&engine, spec).instantiate().unwrap();
        let run = |instance: &mut AnalyzerInstance| {
            let start = Instant::now();
            let result = instance.process(&frame(&[INPUT]), &mut [OutputValue::BAD]);
            assert_eq!(result, Err(AnalyzerFault::FuelExceeded { fuel }), "{name}");
            start.elapsed().as_nanos() as f64 / fuel as f64
        };
        let least = (0..9).map(|_| run(&mut instance)).fold(f64::MAX, f64::min);
        println!("{name:<28} {least:>9.2}");
        if least > worst.0 {
            worst = (least, name);
        }
    }
    println!("dearest: {} at {:.2} ns\n", worst.1, worst.0);
}
