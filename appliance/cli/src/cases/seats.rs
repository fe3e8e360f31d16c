//! A lane's analyzers under a case: the product's own sandbox, all of them on this thread.
//!
//! Class background is called when its frame is handed over, and its results arrive with the next millisecond: a case is about
//! what is decided, not about when the background finds time. Canaries are taken to speak; `tripline build` has tried them.

use std::cell::RefCell;
use std::rc::Rc;

use appliance_lane::analyzer::{AnalyzerEngine, Call, Judge};
use appliance_sandbox::{
    Analyzer, AnalyzerFault, AnalyzerModule, AnalyzerSpec, Engine, Frame, InputValue, OutputValue,
    Refiller, Samples, WaveformSpec,
};
use drivers_frame::{Block, DurNs, MonoNs, Sample, Scaling};
use rules_bundle::{AnalyzerPlan, Bundle, LanePlan, ModulePlan};
use rules_sdk_abi::{Flags, Verdict};

/// Time of a call in here: a case is not late, whatever the machine does meanwhile.
const PATIENCE: DurNs = DurNs::from_ms(60_000);

/// What class background derived, until the lane takes it.
pub(super) type Results = Rc<RefCell<Vec<Sample>>>;

/// A frame that was handed over.
struct Staged {
    analyzer: usize,
    at: MonoNs,
    gap: bool,
    inputs: Vec<InputValue>,
}

struct Seat {
    analyzer: Analyzer,
    refiller: Refiller,
    scaling: Scaling,
    judge: Judge,
    outputs: usize,
}

/// See the module.
pub(super) struct Seats {
    seats: Vec<Seat>,
    staged: Vec<Staged>,
    results: Results,
}

impl Seats {
    /// The analyzers of a lane, in the order of its plan, from the modules of the bundle.
    pub(super) fn new(
        plan: &LanePlan,
        bundle: &Bundle,
        engine: &Engine,
        results: &Results,
    ) -> Result<Self, String> {
        let seat = |(_, name, analyzer): (usize, &str, &AnalyzerPlan)| {
            let index = usize::from(analyzer.module);
            let (Some(module), Some(code)) =
                (bundle.plan.modules.get(index), bundle.modules.get(index))
            else {
                return Err(format!("{name}: its module is not in the bundle"));
            };
            let loaded = AnalyzerModule::from_wasm(engine, &code.wasm, spec(module, analyzer));
            let spares = usize::from(analyzer.spares);
            let (seat, refiller) = loaded
                .and_then(|loaded| loaded.with_spares(spares))
                .map_err(|error| format!("{name}: {error}"))?;
            Ok(Seat {
                analyzer: seat,
                refiller,
                scaling: analyzer
                    .waveform
                    .map_or_else(Scaling::default, |used| Scaling {
                        scale: used.scale,
                        offset: used.offset,
                    }),
                judge: Judge::new(analyzer),
                outputs: analyzer.outputs.len(),
            })
        };
        Ok(Self {
            seats: plan.analyzers().map(seat).collect::<Result<_, _>>()?,
            staged: Vec::new(),
            results: Rc::clone(results),
        })
    }
}

/// Analyzers with a canary, and how often it comes, in milliseconds: the lane must be told that a trial was passed.
pub(super) fn canaries(plan: &LanePlan) -> Vec<(u16, u64)> {
    let canary = |(index, (_, _, analyzer)): (u16, (usize, &str, &AnalyzerPlan))| {
        let every = analyzer.canary.as_ref()?.every.as_ns() / 1_000_000;
        Some((index, every.max(1)))
    };
    (0_u16..).zip(plan.analyzers()).filter_map(canary).collect()
}

/// The same of those that are compared with a clean instance.
pub(super) fn replays(plan: &LanePlan) -> Vec<(u16, u64)> {
    let replay = |(index, (_, _, analyzer)): (u16, (usize, &str, &AnalyzerPlan))| {
        let every = analyzer.replay.as_ref()?.every.as_ns() / 1_000_000;
        Some((index, every.max(1)))
    };
    (0_u16..).zip(plan.analyzers()).filter_map(replay).collect()
}

fn spec(module: &ModulePlan, analyzer: &AnalyzerPlan) -> AnalyzerSpec {
    let count = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
    AnalyzerSpec {
        params: analyzer.params.clone(),
        inputs: count(analyzer.inputs.len()),
        outputs: analyzer
            .outputs
            .iter()
            .map(|output| (output.min, output.max))
            .collect(),
        waveform: module.waveform.map(|waveform| WaveformSpec {
            format: waveform.format,
            samples_min: waveform.samples_min,
            samples_max: waveform.samples_max,
        }),
        causes: count(module.causes.len()),
        fuel: analyzer.fuel,
        deadline: PATIENCE,
    }
}

impl Seat {
    fn call(
        &mut self,
        at: MonoNs,
        gap: bool,
        inputs: &[InputValue],
        block: Option<&Block>,
        outputs: &mut [OutputValue],
    ) -> Result<Verdict, AnalyzerFault> {
        let scaling = self.scaling;
        let frame = Frame {
            at,
            flags: if gap { Flags::GAP } else { Flags::default() },
            inputs,
            block: block.map(|block| Samples::Received { block, scaling }),
        };
        let answer = self.analyzer.process(&frame, outputs);
        // As the refilling thread would, some time later; what cannot be made anew shows in the next call.
        let _ = self.refiller.turn();
        answer.map(|answer| answer.verdict)
    }
}

impl AnalyzerEngine for Seats {
    fn process(
        &mut self,
        analyzer: usize,
        call: &Call<'_>,
        outputs: &mut [OutputValue],
    ) -> Result<Verdict, AnalyzerFault> {
        let Some(seat) = self.seats.get_mut(analyzer) else {
            return Err(AnalyzerFault::NoSpare);
        };
        seat.call(call.at, call.gap, call.inputs, call.block, outputs)
    }

    fn replace(&mut self, analyzer: usize) {
        if let Some(seat) = self.seats.get_mut(analyzer) {
            // An empty seat shows in the next call.
            let _ = seat.analyzer.replace();
            let _ = seat.refiller.turn();
        }
    }

    fn spares(&self, analyzer: usize) -> Option<u8> {
        let seat = self.seats.get(analyzer)?;
        seat.analyzer
            .is_seated()
            .then(|| u8::try_from(seat.analyzer.spares()).unwrap_or(u8::MAX))
    }

    fn stage(&mut self, analyzer: usize, call: &Call<'_>) {
        self.staged.push(Staged {
            analyzer,
            at: call.at,
            gap: call.gap,
            inputs: call.inputs.to_vec(),
        });
    }

    fn submit(&mut self, block: Option<Block>) -> Result<(), Option<Block>> {
        for staged in std::mem::take(&mut self.staged) {
            let Some(seat) = self.seats.get_mut(staged.analyzer) else {
                continue;
            };
            let mut outputs = vec![OutputValue::BAD; seat.outputs];
            let Staged {
                at, gap, inputs, ..
            } = staged;
            let answer = seat.call(at, gap, &inputs, block.as_ref(), &mut outputs);
            let judged = seat.judge.judge(answer, at);
            let mut results = self.results.borrow_mut();
            let samples =
                (0..).map_while(|position| seat.judge.sample(position, judged, &outputs, at));
            results.extend(samples);
        }
        Ok(())
    }
}
