//! What a call costs: its frame written, called, its output read, over the same on wasmtime alone.

use std::time::Instant;

use appliance_sandbox::{Engine, Frame, OutputValue, Samples, config_for_benchmark};
use drivers_frame::block::{Block, SampleKind};
use drivers_frame::{MonoNs, Scaling};
use rules_sdk_abi::{Flags, Header, encode_header};
use wasmtime::{Instance, Memory, Store, TypedFunc};

use crate::guest::{Guest, INPUT};
use crate::guests::{block, rms, scalar};
use crate::{BATCHES, gate};

/// Nanoseconds of one call of `work`: the least mean over a batch. Whatever else the host does only adds to it.
fn ns_each(calls: u32, mut work: impl FnMut()) -> f64 {
    (0..BATCHES + 3)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                work();
            }
            start.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .skip(3)
        .fold(f64::MAX, f64::min)
}

/// The same module and frame on wasmtime alone: no checks of what came back, and no bounds but those that are asked for.
struct Bare {
    store: Store<()>,
    memory: Memory,
    process: TypedFunc<(), i64>,
    fuel: bool,
    epoch: bool,
}

impl Bare {
    fn new(guest: &Guest, fuel: bool, epoch: bool) -> Self {
        let engine = wasmtime::Engine::new(&config_for_benchmark(fuel, epoch)).unwrap();
        let module = wasmtime::Module::new(&engine, guest.wasm()).unwrap();
        let mut store = Store::new(&engine, ());
        if fuel {
            store.set_fuel(u64::MAX / 2).unwrap();
        }
        if epoch {
            store.set_epoch_deadline(u64::MAX / 2);
        }
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let process = instance.get_typed_func(&mut store, "tl_process").unwrap();
        memory.data_mut(&mut store)[1088..1096].copy_from_slice(&2.5_f64.to_le_bytes());
        Self {
            store,
            memory,
            process,
            fuel,
            epoch,
        }
    }

    fn call(&mut self) -> i64 {
        if self.fuel {
            self.store.set_fuel(1_000_000).unwrap();
        }
        if self.epoch {
            self.store.set_epoch_deadline(26);
        }
        self.process.call(&mut self.store, ()).unwrap()
    }

    /// Header, input, output and block written, called, output read.
    fn frame(&mut self, block: Option<&Block>) -> (i64, f64) {
        let memory = self.memory.data_mut(&mut self.store);
        let header = Header {
            samples: block.map_or(0, |block| block.head().count),
            flags: Flags::default(),
            at_ns: 77,
            sequence: block.map_or(0, |block| block.head().sequence),
            rate_hz: block.map_or(0.0, |block| block.head().rate_hz),
            scale: 1.0,
            offset: 0.0,
        };
        memory[1024..1088].copy_from_slice(&encode_header(&header));
        memory[1104..1112].copy_from_slice(&4.0_f64.to_le_bytes());
        memory[1112..1120].copy_from_slice(&(1_u64 << 32).to_le_bytes());
        memory[1120..1136].copy_from_slice(&[0; 16]);
        if let Some(block) = block {
            let end = 1136 + 4 * block.head().count as usize;
            block
                .write_f32(Scaling::default(), &mut memory[1136..end])
                .unwrap();
        }
        let verdict = self.call();
        let memory = self.memory.data(&self.store);
        let value = f64::from_le_bytes(*memory[1120..].first_chunk().unwrap());
        (verdict, value)
    }
}

pub(crate) fn calls() -> bool {
    println!(
        "one call, ns: its frame written, called, its output read. 0 samples: one input into one output; else their RMS"
    );
    println!(
        "{:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "samples", "call only", "bare", "+ epoch", "+ fuel", "tripline", "ratio", "ns/fuel"
    );
    let engine = Engine::new().unwrap();
    let mut ratio = 0.0_f64;
    for samples in [0, 16, 256, 4_096] {
        let (guest, spec) = if samples == 0 { scalar() } else { rms(samples) };
        let guest = Guest {
            memory: "2 2",
            ..guest
        };
        let received = block(samples.max(1), SampleKind::F32);
        let block = (samples > 0).then_some(&received);
        let mut instance = guest.load(&engine, spec).instantiate().unwrap();
        let mut bare = Bare::new(&guest, false, false);
        let mut with_epoch = Bare::new(&guest, false, true);
        let mut with_fuel = Bare::new(&guest, true, false);
        let calls = 4_000_000 / (samples + 400);
        let frame = Frame {
            at: MonoNs::from_ns(77),
            flags: Flags::default(),
            inputs: &[INPUT],
            block: block.map(|block| Samples::Received {
                block,
                scaling: Scaling::default(),
            }),
        };
        let mut outputs = [OutputValue::BAD];
        let answer = instance.process(&frame, &mut outputs).unwrap();
        assert_eq!(
            bare.frame(block),
            (answer.verdict.pack(), outputs[0].value),
            "the same answer"
        );
        // Interleaved, so that whatever the host does meets all of them.
        let mut columns: [Vec<f64>; 5] = Default::default();
        for _ in 0..5 {
            let measured = [
                ns_each(calls, || {
                    std::hint::black_box(bare.call());
                }),
                ns_each(calls, || {
                    std::hint::black_box(bare.frame(block));
                }),
                ns_each(calls, || {
                    std::hint::black_box(with_epoch.frame(block));
                }),
                ns_each(calls, || {
                    std::hint::black_box(with_fuel.frame(block));
                }),
                ns_each(calls, || {
                    let _ = std::hint::black_box(instance.process(&frame, &mut outputs));
                }),
            ];
            for (column, value) in columns.iter_mut().zip(measured) {
                column.push(value);
            }
        }
        let [call, bare, epoch, fuel, ours] =
            columns.map(|column| column.into_iter().fold(f64::MAX, f64::min));
        println!(
            "{samples:>8} {call:>9.1} {bare:>9.1} {epoch:>9.1} {fuel:>9.1} {ours:>9.1} {:>7.2} {:>7.2}",
            ours / bare,
            ours / answer.fuel as f64
        );
        if samples <= 16 {
            ratio = ratio.max(ours / bare);
        }
    }
    println!(
        "bare: wasmtime alone, the same settings without fuel and deadline; nothing that comes back is checked"
    );
    let passed = gate(
        "small analyzers (0 and 16 samples) over bare, at most 1.3",
        ratio,
        1.3,
    );
    println!();
    passed
}

/// What a block costs that the guest does not even look at: copied, checked, converted. Reaction times count a byte as
/// `COPY_FUEL_PER_BYTE` units of fuel.
pub(crate) fn copies() {
    println!("one block copied to a guest that returns at once, ns");
    println!(
        "{:>8} {:>5} {:>9} {:>8}",
        "samples", "from", "call", "ns/byte"
    );
    let engine = Engine::new().unwrap();
    for (samples, kind) in [
        (1_024, SampleKind::F32),
        (16_384, SampleKind::F32),
        (1_024, SampleKind::I16),
        (16_384, SampleKind::I16),
    ] {
        let (_, spec) = rms(samples);
        let guest = Guest {
            memory: "2 2",
            ..Guest::new("(i64.const 0)")
        };
        let mut instance = guest.load(&engine, spec).instantiate().unwrap();
        let received = block(samples, kind);
        let frame = Frame {
            at: MonoNs::from_ns(77),
            flags: Flags::default(),
            inputs: &[INPUT],
            block: Some(Samples::Received {
                block: &received,
                scaling: Scaling {
                    scale: 0.5,
                    offset: 0.1,
                },
            }),
        };
        let mut outputs = [OutputValue::BAD];
        instance.process(&frame, &mut outputs).unwrap();
        let ns = ns_each(4_000_000 / (samples + 400), || {
            let _ = std::hint::black_box(instance.process(&frame, &mut outputs));
        });
        let from = match kind {
            SampleKind::I16 => "i16",
            SampleKind::F32 => "f32",
        };
        println!(
            "{samples:>8} {from:>5} {ns:>9.0} {:>8.2}",
            ns / f64::from(4 * samples)
        );
    }
    println!();
}
