//! The modules that are measured, and what they are given.

use appliance_sandbox::{AnalyzerSpec, WaveformSpec};
use drivers_frame::block::{Block, BlockHead, SampleKind, SampleLayout, WaveformId};
use drivers_frame::{ByteOrder, MonoNs};
use rules_sdk_abi::SampleFormat;

use crate::guest::{Guest, spec};

/// Root mean square of the block into the output, danger above the parameter. Four samples a round, as compilers do.
pub(crate) fn rms(samples: u32) -> (Guest<'static>, AnalyzerSpec) {
    let one = |at: u32| {
        format!(
            "(local.set $x (f64.promote_f32 (f32.load offset={at} (local.get $at))))
             (local.set $sum (f64.add (local.get $sum) (f64.mul (local.get $x) (local.get $x))))"
        )
    };
    let four: String = (0..4).map(|index| one(4 * index)).collect();
    let process = format!(
        "(local $at i32) (local $end i32) (local $sum f64) (local $x f64)
        (local.set $at (i32.const 1136))
        (local.set $end (i32.add (i32.const 1136) (i32.shl (i32.load (i32.const 1024)) (i32.const 2))))
        (if (i32.lt_u (local.get $at) (local.get $end)) (then (loop $next
            {four}
            (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))))
        (local.set $x (f64.sqrt (f64.div (local.get $sum) (f64.convert_i32_u (i32.load (i32.const 1024))))))
        (f64.store (i32.const 1120) (local.get $x))
        (i32.store (i32.const 1128) (i32.const 0))
        (i64.shl (i64.extend_i32_u (f64.gt (local.get $x) (f64.load (i32.const 1088)))) (i64.const 1))"
    );
    let spec = AnalyzerSpec {
        waveform: Some(WaveformSpec {
            format: SampleFormat::F32,
            samples_min: 1,
            samples_max: samples,
        }),
        fuel: 1_000_000,
        ..spec()
    };
    (Guest::new(&process), spec)
}

/// The input into the output, danger above the parameter.
pub(crate) fn scalar() -> (Guest<'static>, AnalyzerSpec) {
    let process = "(local $x f64)
        (local.set $x (f64.load (i32.const 1104)))
        (f64.store (i32.const 1120) (local.get $x))
        (i32.store (i32.const 1128) (i32.load (i32.const 1112)))
        (i64.shl (i64.extend_i32_u (f64.gt (local.get $x) (f64.load (i32.const 1088)))) (i64.const 1))";
    let spec = AnalyzerSpec {
        fuel: 1_000_000,
        ..spec()
    };
    (Guest::new(process), spec)
}

pub(crate) fn block(samples: u32, kind: SampleKind) -> Block {
    let bytes: Vec<u8> = (0..samples)
        .flat_map(|index| {
            let value = f32::from((index % 17) as u16) * 0.1;
            match kind {
                SampleKind::F32 => value.to_le_bytes().to_vec(),
                SampleKind::I16 => ((index % 17) as i16).to_le_bytes().to_vec(),
            }
        })
        .collect();
    let head = BlockHead {
        waveform: WaveformId(0),
        at: MonoNs::from_ns(5),
        sequence: 31,
        gap: false,
        layout: SampleLayout::payload(kind, ByteOrder::LittleEndian),
        count: samples,
        rate_hz: 12_000.0,
    };
    Block::new(head, bytes.into_boxed_slice(), 0).unwrap()
}

/// Loads that depend on one another, at addresses that look random, over so many bits of memory.
pub(crate) fn walk(bits: u32, load: &str) -> String {
    let mask = (1 << bits) - 8;
    let step = format!(
        "(local.set $a (i32.and (i32.mul (i32.add (i32.add ({load}) (local.get $a)) (i32.const 0x9e3779b9)) (i32.const 0x85ebca6b)) (i32.const {mask})))"
    );
    format!("(loop {} (br 0))", step.repeat(16))
}

/// A guest that runs `body` for ever. The exchange area lies within the memory that it tramples on: it never comes back.
pub(crate) fn endless(body: &str) -> Guest<'static> {
    Guest {
        memory: "16 16",
        more: "(global $g (mut i32) (i32.const 0)) (func $nothing)
               (func $down (param i32) (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))
               (table 1024 1024 funcref) (elem (i32.const 0) $nothing)
               (data $data \"abc\") (elem $elements func $nothing $nothing $nothing $nothing)",
        ..Guest::new(&format!(
            "(local $i i32) (local $j i32) (local $z i32) (local $a i32) (local $l i64) (local $m i64)
             (local $x f64) (local $y f64) (local $f f32) (local $g f32) (local $d f64)
             (local.set $i (i32.const 3)) (local.set $j (i32.const 7)) (local.set $l (i64.const 5)) (local.set $m (i64.const 3))
             (local.set $x (f64.const 1.7)) (local.set $y (f64.const 1.0000001)) (local.set $f (f32.const 1.7)) (local.set $g (f32.const 1.0001))
             (local.set $d (f64.const 1e-310))
             {body} (i64.const 0)"
        ))
    }
}
