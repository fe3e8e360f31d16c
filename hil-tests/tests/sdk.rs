//! The worked examples: one analyzer in Rust, C and AssemblyScript. The committed modules pass the gate, are what their
//! `SHA256SUMS` say, and answer the same frames with the same bits: each in the product's sandbox, each in the second engine,
//! and all like the few lines of arithmetic below, which are the fourth hand that wrote it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as its test does"
)]

use std::fs;
use std::path::{Path, PathBuf};

use appliance_sandbox::{
    AnalyzerError, AnalyzerInstance, AnalyzerModule, AnalyzerSpec, Engine, Frame, InputValue,
    OutputValue, Samples, WaveformSpec,
};
use drivers_frame::{DurNs, MonoNs, Quality, Scaling};
use rt_config::limits;
use rules_sdk_abi::metadata::Metadata;
use rules_sdk_abi::{Flags, Level, Verdict};
use rules_sdk_gate::inspect;
use rules_sdk_guests::{Stimulus, compare, finish, stimuli};
use rules_sdk_reference::Reference;
use sha2::{Digest as _, Sha256};

const LANGUAGES: [&str; 3] = ["rust", "c", "assemblyscript"];
/// What the examples promise to share, to the byte.
const SHARED: [&str; 2] = ["analyzer.yaml", "level-watch.cases.yaml"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn example(language: &str, file: &str) -> Vec<u8> {
    let path = root().join("rules/sdk/examples").join(language).join(file);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn module(language: &str) -> Vec<u8> {
    example(language, "level-watch.wasm")
}

fn metadata() -> Metadata {
    inspect(&module("rust")).unwrap().metadata
}

/// Guests whose modules are committed: the examples, and what else `rules/sdk/guests.txt` names.
fn guests() -> Vec<PathBuf> {
    let list = fs::read_to_string(root().join("rules/sdk/guests.txt")).unwrap();
    let guests: Vec<_> = list
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| root().join(line))
        .collect();
    assert!(guests.len() >= LANGUAGES.len());
    guests
}

#[test]
fn h72_every_committed_module_passes_the_gate_with_the_metadata_beside_it_and_has_its_recorded_hash()
 {
    for folder in guests() {
        let yaml = fs::read_to_string(folder.join("analyzer.yaml")).unwrap();
        let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
        let (toolchain, sum) = sums.trim().split_once('\n').unwrap();
        assert!(toolchain.starts_with("# "), "{toolchain}");
        let (hash, file) = sum.split_once("  ").unwrap();
        let bytes = fs::read(folder.join(file)).unwrap();
        let found: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(found, hash, "{}", folder.display());
        // Attaching what is attached gives the same bytes: the module carries this analyzer.yaml.
        let (module, again) = finish("analyzer.yaml", &yaml, &bytes).unwrap();
        assert_eq!(again, bytes, "H-72: {}", folder.display());
        assert_eq!(format!("{}.wasm", module.metadata.name), file);
    }
    for file in SHARED {
        for language in LANGUAGES {
            assert_eq!(
                example(language, file),
                example("rust", file),
                "{language}: {file}"
            );
        }
    }
}

/// A limit, a lowest speed, what was seen: what the three examples do, in their order of operations.
struct Model {
    limit: f64,
    min_speed: f64,
    above: u64,
    rms: Option<f64>,
}

impl Model {
    fn new([limit, min_speed]: [f64; 2]) -> Self {
        Self {
            limit,
            min_speed,
            above: 0,
            rms: None,
        }
    }

    fn answer(&mut self, frame: &Stimulus) -> (Verdict, OutputValue) {
        let samples = frame.samples.as_chunks::<4>().0;
        if !samples.is_empty() {
            let mut sum = 0.0;
            for sample in samples {
                let value = f64::from(f32::from_le_bytes(*sample));
                sum += value * value;
            }
            let rms = (sum / samples.len() as f64).sqrt();
            self.rms = Some(rms);
            self.above = if rms > self.limit { self.above + 1 } else { 0 };
        }
        let speed = frame.inputs[0];
        if speed.quality <= 1 && speed.value < self.min_speed {
            self.above = 0;
        }
        let gap = !samples.is_empty() && frame.header.flags.0 & Flags::GAP.0 != 0;
        let output = match self.rms {
            None => OutputValue::BAD,
            Some(rms) => OutputValue {
                value: rms.min(1_000.0),
                quality: if gap || rms > 1_000.0 {
                    Quality::Uncertain
                } else {
                    Quality::Good
                },
            },
        };
        let (level, cause) = match self.above {
            0 => (Level::Normal, 0),
            1 | 2 => (Level::Alert, 1),
            _ => (Level::Danger, 1),
        };
        (Verdict { level, cause }, output)
    }
}

fn spec(metadata: &Metadata, params: Vec<f64>) -> AnalyzerSpec {
    let waveform = metadata.waveform.as_ref().unwrap();
    AnalyzerSpec {
        params,
        inputs: u8::try_from(metadata.inputs.len()).unwrap(),
        outputs: metadata
            .outputs
            .iter()
            .map(|output| (output.min, output.max))
            .collect(),
        waveform: Some(WaveformSpec {
            format: waveform.format,
            samples_min: waveform.samples_min,
            samples_max: waveform.samples_max,
        }),
        causes: u8::try_from(metadata.causes.len()).unwrap(),
        // What its author states must be enough.
        fuel: metadata.worst_case.fuel.min(limits::ANALYZER_FUEL_MAX),
        deadline: DurNs::from_ms(60_000),
    }
}

fn instance(
    engine: &Engine,
    language: &str,
    params: [f64; 2],
) -> Result<AnalyzerInstance, AnalyzerError> {
    AnalyzerModule::from_wasm(
        engine,
        &module(language),
        spec(&metadata(), params.to_vec()),
    )?
    .instantiate()
}

/// One frame in the product's sandbox: verdict, output, state hash.
fn sandboxed(instance: &mut AnalyzerInstance, stimulus: &Stimulus) -> (Verdict, OutputValue, u64) {
    let quality = |code| match code {
        0 => Quality::Good,
        1 => Quality::Uncertain,
        3 => Quality::Stale,
        _ => Quality::Bad,
    };
    let inputs: Vec<InputValue> = stimulus
        .inputs
        .iter()
        .map(|input| InputValue {
            value: input.value,
            quality: quality(input.quality),
            changed: input.changed,
        })
        .collect();
    let gap = stimulus.header.flags.0 & Flags::GAP.0;
    let frame = Frame {
        at: MonoNs::from_ns(stimulus.header.at_ns),
        flags: Flags(gap),
        inputs: &inputs,
        block: (!stimulus.samples.is_empty()).then(|| Samples::Ready {
            bytes: &stimulus.samples,
            sequence: stimulus.header.sequence,
            rate_hz: stimulus.header.rate_hz,
            scaling: Scaling::default(),
        }),
    };
    let mut outputs = [OutputValue::BAD];
    let answer = instance.process(&frame, &mut outputs).unwrap();
    (answer.verdict, outputs[0], instance.state_hash().unwrap())
}

/// The same in the second engine.
fn interpreted(reference: &mut Reference, stimulus: &Stimulus) -> (Verdict, OutputValue, u64) {
    let raw = reference
        .process(&stimulus.header, &stimulus.inputs, &stimulus.samples)
        .unwrap();
    let (bits, quality, reserved) = raw.outputs[0];
    assert_eq!(reserved, 0);
    let output = OutputValue {
        value: f64::from_bits(bits),
        quality: [Quality::Good, Quality::Uncertain, Quality::Bad][quality as usize],
    };
    let verdict = Verdict::unpack(raw.verdict, 1).unwrap();
    (verdict, output, reference.state_hash().unwrap())
}

#[test]
fn h42_the_examples_answer_with_the_same_bits_in_every_language_and_engine_and_as_the_arithmetic_says()
 {
    let engine = Engine::new().unwrap();
    let metadata = metadata();
    let mut levels = [0; 3];
    // The default, a limit that many blocks exceed, one that nearly all do.
    for (series, params) in [(0, [2.5, 100.0]), (1, [0.05, 0.0]), (2, [0.001, 10.0])] {
        let mut model = Model::new(params);
        let mut sandboxes = LANGUAGES.map(|language| instance(&engine, language, params).unwrap());
        let mut again = LANGUAGES.map(|language| instance(&engine, language, params).unwrap());
        let mut references = LANGUAGES
            .map(|language| Reference::new(&module(language), &metadata, &params).unwrap());
        let mut state = None;
        for (number, stimulus) in stimuli(&metadata, series).iter().enumerate() {
            let (verdict, output) = model.answer(stimulus);
            let first = sandboxed(&mut sandboxes[0], stimulus);
            for (at, language) in LANGUAGES.into_iter().enumerate() {
                let what = format!("H-42: series {series}, frame {number}, {language}");
                let boxed = if at == 0 {
                    first
                } else {
                    sandboxed(&mut sandboxes[at], stimulus)
                };
                assert_eq!(
                    (boxed.0, boxed.1.quality),
                    (verdict, output.quality),
                    "{what}"
                );
                assert_eq!(boxed.1.value.to_bits(), output.value.to_bits(), "{what}");
                assert_eq!(boxed.2, first.2, "{what}: the state hash is the SDKs' own");
                assert_eq!(boxed, sandboxed(&mut again[at], stimulus), "{what}: again");
                assert_eq!(
                    boxed,
                    interpreted(&mut references[at], stimulus),
                    "{what}: wasmi"
                );
            }
            // A block changes what was seen, and so the hash; the same state has the same one.
            let seen = (model.above, model.rms.map(f64::to_bits));
            if let Some((before, hash)) = state {
                assert_eq!(
                    before == seen,
                    hash == first.2,
                    "frame {number}: {before:?} {seen:?}"
                );
            }
            state = Some((seen, first.2));
            levels[usize::from(verdict.level as u8)] += 1;
        }
    }
    assert!(
        levels.iter().all(|count| *count >= 10),
        "frames that are normal, alert, danger: {levels:?}"
    );
}

#[test]
fn a_parameter_that_makes_no_sense_is_refused_by_number_in_every_language() {
    let engine = Engine::new().unwrap();
    for language in LANGUAGES {
        let refused = instance(&engine, language, [0.0, 100.0])
            .map(|_| ())
            .unwrap_err();
        assert!(
            matches!(refused, AnalyzerError::Param(1)),
            "{language}: {refused:?}"
        );
    }
}

#[test]
fn h42_two_languages_of_one_analyzer_compare_as_one() {
    for language in &LANGUAGES[1..] {
        let compared = compare(&module("rust"), &module(language)).unwrap();
        assert!(compared.frames >= 2 * 90, "H-42: {compared:?}");
    }
}

/// Numbers that look random and are not (Marsaglia 2003, xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 1).unwrap() % end
    }
}

#[test]
fn h35_h38_h44_what_the_gate_takes_of_damaged_modules_the_sandbox_loads_and_ends() {
    let engine = Engine::new().unwrap();
    let mut numbers = Numbers(0x5eed);
    let (mut taken, mut answered, mut ended) = (0, 0, 0);
    for round in 0..1_500 {
        let mut bytes = module(LANGUAGES[round % 3]);
        // In the code more than in the metadata, which is at the end.
        let end = bytes.len() - 500;
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(end);
            bytes[at] = u8::try_from(numbers.below(256)).unwrap();
        }
        let Ok(module) = inspect(&bytes) else {
            continue;
        };
        taken += 1;
        let spec = spec(&module.metadata, vec![2.5, 100.0]);
        let loaded = AnalyzerModule::from_wasm(&engine, &bytes, spec).unwrap_or_else(|error| {
            panic!("H-44: round {round}: past the gate, and not loaded: {error}")
        });
        let Ok(mut instance) = loaded.instantiate() else {
            ended += 1;
            continue;
        };
        let inputs = [InputValue::default()];
        let samples = [0x3f; 4 * 512];
        let frame = Frame {
            at: MonoNs::from_ns(1),
            flags: Flags::default(),
            inputs: &inputs,
            block: Some(Samples::Ready {
                bytes: &samples,
                sequence: 1,
                rate_hz: 12_000.0,
                scaling: Scaling::default(),
            }),
        };
        let mut outputs = [OutputValue::BAD];
        match instance.process(&frame, &mut outputs) {
            Ok(answer) => {
                assert!(answer.verdict.cause <= 1 && outputs[0].value.is_finite());
                answered += 1;
            }
            Err(_) => {
                assert_eq!(outputs[0], OutputValue::BAD, "H-38: round {round}");
                ended += 1;
            }
        }
    }
    assert!(
        taken >= 100 && answered >= 30 && ended >= 20,
        "taken {taken}, answered {answered}, ended {ended}"
    );
}
