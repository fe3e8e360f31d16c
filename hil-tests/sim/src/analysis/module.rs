//! The module of every simulated analyzer: the highest and the mean of its newest values, a verdict over the highest, and on
//! one value, if its parameters name one, a trick. What it means is written down once more in the judge, natively.

use std::sync::LazyLock;

use appliance_sandbox::{AnalyzerModule, AnalyzerSpec, Engine, WaveformSpec};
use drivers_frame::DurNs;
use rules_sdk_abi::{Layout, SampleFormat};

use crate::scenario::{Analyzer, BLOCK_SAMPLES};

/// Parameters: alert, danger, how many values it keeps, the value of the trick, which trick.
pub const PARAMS: usize = 5;
/// Peak and mean.
pub const OUTPUTS: usize = 2;
/// Causes: high, blind.
pub const CAUSES: u8 = 2;
/// Range of both outputs.
pub const RANGE: (f64, f64) = (0.0, 1_000.0);
/// Fuel of a call; the longest that ends takes some hundred.
pub const FUEL: u64 = 20_000;
/// Most inputs.
pub const INPUTS_MAX: usize = 2;
/// No epoch moves in a simulation: this is never reached.
const DEADLINE: DurNs = DurNs::from_ms(1_000);
/// Where the exchange area begins.
const AREA: u32 = 1_024;

/// One module for each wiring: so many inputs, with a waveform or without.
static MODULES: LazyLock<Vec<AnalyzerModule>> = LazyLock::new(|| {
    let engine = Engine::new().expect("this host runs the sandbox");
    let wirings = (0..=INPUTS_MAX).flat_map(|inputs| [(inputs, false), (inputs, true)]);
    wirings
        .map(|(inputs, waveform)| {
            let wasm = wat::parse_str(text(inputs, waveform)).expect("the module is right");
            let spec = spec(inputs, waveform, vec![0.0; PARAMS]);
            AnalyzerModule::from_wasm(&engine, &wasm, spec).expect("the module has the ABI")
        })
        .collect()
});

/// The module of an analyzer with its parameters. Compiled once in a process.
pub fn of(analyzer: &Analyzer) -> AnalyzerModule {
    let waveform = analyzer.wave.is_some();
    let index = analyzer.inputs.len() * 2 + usize::from(waveform);
    MODULES[index]
        .with_spec(spec(analyzer.inputs.len(), waveform, analyzer.params()))
        .expect("a drawn analyzer fits its module")
}

fn spec(inputs: usize, waveform: bool, params: Vec<f64>) -> AnalyzerSpec {
    AnalyzerSpec {
        params,
        inputs: inputs as u8,
        outputs: vec![RANGE; OUTPUTS],
        waveform: waveform.then_some(WaveformSpec {
            format: SampleFormat::F32,
            samples_min: BLOCK_SAMPLES,
            samples_max: BLOCK_SAMPLES,
        }),
        causes: CAUSES,
        fuel: FUEL,
        deadline: DEADLINE,
    }
}

/// State: calls at 0, values taken at 4, poison at 8, the newest values from 16 on. What is poisoned says 1 too much: an
/// instance that failed must not be asked again.
fn text(inputs: usize, waveform: bool) -> String {
    let samples = waveform.then_some((SampleFormat::F32, BLOCK_SAMPLES));
    let layout = Layout::new(PARAMS as u32, inputs as u32, OUTPUTS as u32, samples)
        .expect("few of everything");
    let param = |index: u32| AREA + layout.params + 8 * index;
    let (alert, danger, keeps) = (param(0), param(1), param(2));
    let (magic, trick) = (param(3), param(4));
    let (peak, mean) = (AREA + layout.outputs, AREA + layout.outputs + 16);
    let mut take = String::new();
    for input in 0..inputs as u32 {
        let at = AREA + layout.inputs + 16 * input;
        let quality = at + 8;
        take += &format!(
            "(if (i32.ge_u (i32.load (i32.const {quality})) (i32.const 2)) (then (return (i64.const 514))))
             (local.set $x (f64.max (local.get $x) (f64.load (i32.const {at}))))\n"
        );
    }
    if waveform {
        let samples = AREA + layout.samples;
        take += &format!(
            "(local.set $i (i32.const 2))
             (loop $next
               (local.set $x (f64.max (local.get $x) (f64.promote_f32
                 (f32.load (i32.add (i32.const {samples}) (i32.shl (local.get $i) (i32.const 2)))))))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $next (i32.lt_u (local.get $i) (i32.load (i32.const {AREA})))))\n"
        );
    }
    let flags = AREA + 4;
    let is = |number: u32| format!("(i32.eq (local.get $trick) (i32.const {number}))");
    let good = |at: u32| format!("(i32.store (i32.const {}) (i32.const 0))", at + 8);
    format!(
        r#"(module
  (memory (export "memory") 1 1)
  (func (export "tl_area") (result i32) (i32.const {AREA}))
  (func (export "tl_init") (result i32) (i32.const 0))
  (func (export "tl_state_hash") (result i64) (i64.load (i32.const 0)))
  (func (export "tl_process") (result i64)
    (local $x f64) (local $i i32) (local $n i32) (local $count i32) (local $trick i32)
    (local $peak f64) (local $sum f64) (local $value f64)
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
    (if (i32.and (i32.load (i32.const {flags})) (i32.const 2)) (then (i32.store (i32.const 4) (i32.const 0))))
    (local.set $x (f64.const -1000000))
    {take}
    (if (f64.eq (f64.floor (local.get $x)) (f64.load (i32.const {magic})))
      (then (local.set $trick (i32.trunc_sat_f64_u (f64.load (i32.const {trick}))))))
    (if (i32.and (i32.ne (local.get $trick) (i32.const 0)) (i32.lt_u (local.get $trick) (i32.const 9)))
      (then (i32.store (i32.const 8) (i32.const 1))))
    (if {trap} (then (unreachable)))
    (if {bounds} (then (drop (i32.load (i32.const 70000)))))
    (if {endless} (then (loop $on (br $on))))
    (if {nonsense} (then (return (i64.const 7))))
    (if {unknown} (then (return (i64.const 2305))))
    (local.set $n (i32.trunc_sat_f64_u (f64.load (i32.const {keeps}))))
    (local.set $count (i32.load (i32.const 4)))
    (f64.store
      (i32.add (i32.const 16) (i32.shl (i32.rem_u (local.get $count) (local.get $n)) (i32.const 3)))
      (local.get $x))
    (local.set $count (i32.add (local.get $count) (i32.const 1)))
    (i32.store (i32.const 4) (local.get $count))
    (if (i32.lt_u (local.get $count) (local.get $n)) (then (local.set $n (local.get $count))))
    (local.set $peak (f64.const -1000000))
    (local.set $i (i32.const 0))
    (loop $each
      (local.set $value (f64.load (i32.add (i32.const 16) (i32.shl (local.get $i) (i32.const 3)))))
      (local.set $peak (f64.max (local.get $peak) (local.get $value)))
      (local.set $sum (f64.add (local.get $sum) (local.get $value)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $i) (local.get $n))))
    (local.set $peak (f64.add (local.get $peak)
      (f64.convert_i32_u (i32.and (i32.load (i32.const 8)) (i32.lt_u (local.get $trick) (i32.const 1))))))
    (f64.store (i32.const {peak}) (local.get $peak))
    (f64.store (i32.const {mean}) (f64.div (local.get $sum) (f64.convert_i32_u (local.get $n))))
    {peak_good} {mean_good}
    (if {not_finite} (then (f64.store (i32.const {mean}) (f64.const nan))))
    (if {range} (then (f64.store (i32.const {mean}) (f64.const 1000000000))))
    (if {quality} (then (i32.store (i32.const {mean_quality}) (i32.const 3))))
    (if {flap} (then (return (i64.extend_i32_u (i32.and (i32.load (i32.const 0)) (i32.const 1))))))
    (if (f64.gt (local.get $peak) (f64.load (i32.const {danger}))) (then (return (i64.const 258))))
    (if (f64.gt (local.get $peak) (f64.load (i32.const {alert}))) (then (return (i64.const 257))))
    (i64.const 0)))"#,
        trap = is(1),
        bounds = is(2),
        endless = is(3),
        not_finite = is(4),
        range = is(5),
        quality = is(6),
        nonsense = is(7),
        unknown = is(8),
        flap = is(9),
        peak_good = good(peak),
        mean_good = good(mean),
        mean_quality = mean + 8,
    )
}
