//! From a bundle's modules to seats, spares, shadows: all of it before an output is touched.
//!
//! Which thread: the main thread, at start. May it block: for as long as instances take to be set up, which is bounded.

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use appliance_lane::Event;
use appliance_lane::analyzer::Judge;
use appliance_lane::queue::{FrameConsumer, frame_queue};
use appliance_sandbox::{
    AnalyzerModule, AnalyzerSpec, Engine, NativeCode, OutputValue, ReplaySpec, WaveformSpec,
};
use drivers_frame::{DeviceId, DurNs, Sample, Scaling};
use rt_config::limits;
use rules_bundle::{AnalyzerClass, AnalyzerPlan, LanePlan, ModuleCode, ModulePlan, WaveformPlan};

use super::background::{Background, BackgroundView, Worker};
use super::canary::{CanaryJudge, CanaryWatch, CanaryWord};
use super::figures::Figures;
use super::price::Price;
use super::replay::{Comparison, ReplayWatch, ReplayWord};
use super::seats::{Seat, Seats, jobs, now};
use super::service::{Service, Trial, stimulus};

/// Results of class background that wait for the lane, in frames.
const RESULT_FRAMES: usize = 8;

/// What a bundle holds for analyzers.
#[derive(Clone, Copy)]
pub(crate) struct Bundled<'a> {
    pub(crate) modules: &'a [ModulePlan],
    pub(crate) code: &'a [ModuleCode],
    pub(crate) blocks: &'a [Vec<u8>],
}

/// Whom the threads of analyzers tell.
pub(crate) struct Around<'a> {
    pub(crate) lane: usize,
    pub(crate) wake: &'a Arc<OwnedFd>,
    /// An eventfd that nobody else has.
    pub(crate) inbox: Arc<OwnedFd>,
    pub(crate) main: &'a Arc<OwnedFd>,
    pub(crate) stop: &'a Arc<AtomicBool>,
    pub(crate) news: &'a Sender<(usize, Event)>,
}

/// A lane's analyzers, ready to run.
pub(crate) struct Loaded {
    pub(crate) seats: Seats,
    pub(crate) background: Option<Background>,
    pub(crate) service: Service,
    /// Of class background: results, by device.
    pub(crate) queues: Vec<(DeviceId, FrameConsumer)>,
    pub(crate) canaries: Vec<CanaryWatch>,
    pub(crate) replays: Vec<ReplayWatch>,
    /// Class safety, with its name.
    pub(crate) prices: Vec<(String, Price)>,
    /// Of class background; `None` for class safety.
    pub(crate) views: Vec<Option<Arc<Mutex<BackgroundView>>>>,
}

/// Loads and instantiates them.
///
/// # Errors
/// In words, with the analyzer's name.
pub(crate) fn load(
    engine: &Engine,
    plan: &LanePlan,
    bundled: Bundled<'_>,
    around: &Around<'_>,
) -> Result<Loaded, String> {
    let mut loaded = Loaded {
        seats: Seats {
            seats: Vec::new(),
            outbox: None,
            figures: Vec::new(),
            spent: DurNs::ZERO,
        },
        background: None,
        service: Service::default(),
        queues: Vec::new(),
        canaries: Vec::new(),
        replays: Vec::new(),
        prices: Vec::new(),
        views: Vec::new(),
    };
    let mut workers = Vec::new();
    for (number, (device, name, analyzer)) in (0_u16..).zip(plan.analyzers()) {
        let one = One {
            number,
            device,
            name,
            analyzer,
            plan,
            bundled,
        };
        one.load(engine, &mut loaded, &mut workers)
            .map_err(|cause| format!("analyzer {name}: {cause}"))?;
    }
    if !workers.is_empty() {
        let (outbox, inbox) = jobs(workers.len(), &around.inbox);
        loaded.seats.outbox = Some(outbox);
        loaded.background = Some(Background {
            lane: around.lane,
            inbox,
            workers,
            engine: engine.clone(),
            wake: Arc::clone(around.wake),
            main: Arc::clone(around.main),
            stop: Arc::clone(around.stop),
            news: around.news.clone(),
        });
    }
    Ok(loaded)
}

struct One<'a> {
    number: u16,
    device: usize,
    name: &'a str,
    analyzer: &'a AnalyzerPlan,
    plan: &'a LanePlan,
    bundled: Bundled<'a>,
}

impl One<'_> {
    fn load(
        &self,
        engine: &Engine,
        loaded: &mut Loaded,
        workers: &mut Vec<Worker>,
    ) -> Result<(), String> {
        let words = |error: appliance_sandbox::AnalyzerError| error.to_string();
        let no_memory = || "no memory for histograms".to_owned();
        let module = self.module(engine)?;
        let spares = usize::from(self.analyzer.spares);
        let (mut analyzer, refiller) = module.with_spares(spares).map_err(words)?;
        loaded.service.refillers.push(refiller);
        loaded
            .seats
            .figures
            .push(Figures::new().ok_or_else(no_memory)?);
        let word = Arc::new(CanaryWord::default());
        if let Some(canary) = &self.analyzer.canary {
            loaded
                .canaries
                .push(CanaryWatch::new(self.number, Arc::clone(&word)));
            loaded.service.trials.push(Trial {
                module: module.clone(),
                plan: canary.clone(),
                block: self.canary_block()?,
                rate_hz: self.rate_hz(),
                scaling: self.scaling(),
                word: Arc::clone(&word),
                due: now(),
            });
        }
        if let Some(replay) = &self.analyzer.replay {
            let spec = ReplaySpec {
                calls: replay.calls,
                samples: self.waveform().map_or(0, |waveform| waveform.samples),
                every: replay.every,
            };
            let word = Arc::new(ReplayWord::default());
            let watch = ReplayWatch::new(self.number, Arc::clone(&word));
            loaded.replays.push(watch);
            loaded.service.comparisons.all.push(Comparison {
                replayer: analyzer.replayed(&module, spec),
                word,
            });
        }
        match self.analyzer.class {
            AnalyzerClass::Safety => {
                loaded.views.push(None);
                let price = self.price(&module).map_err(words)?;
                loaded.prices.push((self.name.to_owned(), price));
                loaded.seats.seats.push(Seat::Safety {
                    analyzer: Box::new(analyzer),
                    scaling: self.scaling(),
                });
            }
            AnalyzerClass::Background => {
                let view = Arc::new(Mutex::new(BackgroundView {
                    faults: 0,
                    replaced: 0,
                    spares: Some(self.analyzer.spares),
                    last: None,
                    figures: Figures::new().ok_or_else(no_memory)?,
                }));
                loaded.views.push(Some(Arc::clone(&view)));
                loaded.seats.seats.push(Seat::Background);
                let samples = self.analyzer.outputs.len().saturating_add(2);
                let (queue, consumer) = frame_queue(samples.saturating_mul(RESULT_FRAMES));
                let device = u16::try_from(self.device).map_err(|_| "no such device")?;
                loaded.queues.push((DeviceId(device), consumer));
                let judge = |canary| CanaryJudge::new(canary, word, now());
                workers.push(Worker {
                    number: self.number,
                    analyzer,
                    scaling: self.scaling(),
                    judge: Judge::new(self.analyzer),
                    outputs: vec![OutputValue::BAD; self.analyzer.outputs.len()],
                    samples: Vec::<Sample>::with_capacity(samples),
                    queue,
                    canary: self.analyzer.canary.as_ref().map(judge),
                    dead: false,
                    gone: false,
                    replaced: 0,
                    last: None,
                    view,
                });
            }
        }
        Ok(())
    }

    fn module(&self, engine: &Engine) -> Result<AnalyzerModule, String> {
        let index = usize::from(self.analyzer.module);
        let (Some(plan), Some(code)) = (
            self.bundled.modules.get(index),
            self.bundled.code.get(index),
        ) else {
            return Err("the bundle does not hold its module".to_owned());
        };
        #[expect(
            unsafe_code,
            reason = "the guard executes the bundle it was given: this is where it vouches for its modules"
        )]
        // SAFETY: these bytes come from a bundle whose tag `rules_bundle::open` verified over them in memory: only who has this
        // host's key can have sealed them, and that is the compiler of `tripline build`, from the module that the plan names.
        let native = unsafe { NativeCode::vouch(&code.native) };
        let count = |count: u16| u8::try_from(count).map_err(|_| "too many inputs".to_owned());
        let spec = AnalyzerSpec {
            params: self.analyzer.params.clone(),
            inputs: count(plan.inputs)?,
            outputs: self
                .analyzer
                .outputs
                .iter()
                .map(|output| (output.min, output.max))
                .collect(),
            waveform: plan.waveform.map(|waveform| WaveformSpec {
                format: waveform.format,
                samples_min: waveform.samples_min,
                samples_max: waveform.samples_max,
            }),
            causes: u8::try_from(plan.causes.len()).map_err(|_| "too many causes")?,
            fuel: self.analyzer.fuel,
            deadline: self.analyzer.deadline,
        };
        AnalyzerModule::load(engine, &native, spec).map_err(|error| error.to_string())
    }

    fn scaling(&self) -> Scaling {
        self.analyzer
            .waveform
            .map_or_else(Scaling::default, |waveform| Scaling {
                scale: waveform.scale,
                offset: waveform.offset,
            })
    }

    fn waveform(&self) -> Option<&WaveformPlan> {
        let used = self.analyzer.waveform?;
        self.plan.waveforms.get(usize::from(used.index.0))
    }

    fn rate_hz(&self) -> f64 {
        self.waveform().map_or(0.0, |waveform| waveform.rate_hz)
    }

    fn canary_block(&self) -> Result<Option<Vec<u8>>, String> {
        let Some(index) = self
            .analyzer
            .canary
            .as_ref()
            .and_then(|canary| canary.block)
        else {
            return Ok(None);
        };
        let block = self.bundled.blocks.get(usize::from(index));
        match block {
            Some(block) => Ok(Some(block.clone())),
            None => Err("the bundle does not hold its canary's block".to_owned()),
        }
    }

    /// The canary's frame, or one of zeros: a module that makes little of it is cheap by the unit, too.
    fn price(&self, module: &AnalyzerModule) -> Result<Price, appliance_sandbox::AnalyzerError> {
        let zeros = vec![0.0; self.analyzer.inputs.len()];
        let inputs = self
            .analyzer
            .canary
            .as_ref()
            .map_or(&zeros, |canary| &canary.inputs);
        let silence = || {
            let waveform = module.spec().waveform?;
            let bytes = waveform.samples_max.saturating_mul(waveform.format.bytes());
            Some(vec![0; usize::try_from(bytes).ok()?])
        };
        Ok(Price {
            instance: module.instantiate()?,
            inputs: stimulus(inputs),
            outputs: self.analyzer.outputs.len(),
            block: self.canary_block().ok().flatten().or_else(silence),
            rate_hz: self.rate_hz(),
            scaling: self.scaling(),
        })
    }
}

const _: () = assert!(limits::ANALYZER_ENTRIES_MAX <= 255, "counts are bytes");
