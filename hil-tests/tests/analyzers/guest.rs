//! A committed module in the sandbox, beside its native twin.

use std::fs;

use appliance_sandbox::{
    AnalyzerInstance, AnalyzerModule, AnalyzerSpec, Engine, Frame, InputValue, OutputValue,
    Samples, WaveformSpec,
};
use drivers_frame::{DurNs, MonoNs, Quality, Scaling};
use rules_sdk_abi::{Flags, metadata::Metadata};

use crate::{feeds::Feed, host::Host};

/// Fuel while measuring: what the metadata says is compared afterwards.
const FUEL: u64 = 1_000_000_000;

/// A module that passed the gate.
pub(crate) struct Module {
    pub(crate) metadata: Metadata,
    wasm: Vec<u8>,
    engine: Engine,
}

impl Module {
    pub(crate) fn of(name: &str) -> Self {
        let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules/analyzers/guests");
        let path = format!("{guests}/{name}/{name}.wasm");
        let wasm = fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let metadata = rules_sdk_gate::inspect(&wasm).unwrap().metadata;
        Self {
            metadata,
            wasm,
            engine: Engine::new().unwrap(),
        }
    }

    fn instance(&self, params: &[f64]) -> AnalyzerInstance {
        let meta = &self.metadata;
        assert_eq!(params.len(), meta.params.len(), "{}", meta.name);
        for (param, value) in meta.params.iter().zip(params) {
            assert!(
                (param.min..=param.max).contains(value),
                "{}: {} {value}",
                meta.name,
                param.name
            );
        }
        let spec = AnalyzerSpec {
            params: params.to_vec(),
            inputs: u8::try_from(meta.inputs.len()).unwrap(),
            outputs: meta.outputs.iter().map(|o| (o.min, o.max)).collect(),
            waveform: meta.waveform.as_ref().map(|w| WaveformSpec {
                format: w.format,
                samples_min: w.samples_min,
                samples_max: w.samples_max,
            }),
            causes: u8::try_from(meta.causes.len()).unwrap(),
            fuel: FUEL,
            deadline: DurNs::from_ms(60_000),
        };
        let module = AnalyzerModule::from_wasm(&self.engine, &self.wasm, spec).unwrap();
        module.instantiate().unwrap()
    }

    /// Runs a feed natively and in the guest, and compares every bit; the most fuel of a frame.
    pub(crate) fn compare<H: Host>(&self, feed: &Feed) -> u64 {
        let mut native = H::made(&feed.params);
        let mut guest = self.instance(&feed.params);
        let mut outputs = vec![OutputValue::BAD; self.metadata.outputs.len()];
        let mut most = 0;
        for (number, step) in feed.steps.iter().enumerate() {
            let (level, cause, expected) = native.call(feed, number);
            let header = feed.header(number);
            let bytes: Vec<u8> = step.samples.iter().flat_map(|s| s.to_le_bytes()).collect();
            let inputs: Vec<InputValue> = step
                .inputs
                .iter()
                .map(|slot| InputValue {
                    value: slot.value,
                    quality: quality(slot.quality),
                    changed: slot.changed != 0,
                })
                .collect();
            let frame = Frame {
                at: MonoNs::from_ns(step.at_ns),
                flags: if step.gap {
                    Flags::GAP
                } else {
                    Flags::default()
                },
                inputs: &inputs,
                block: (!bytes.is_empty()).then_some(Samples::Ready {
                    bytes: &bytes,
                    sequence: header.sequence,
                    rate_hz: feed.rate_hz,
                    scaling: Scaling {
                        scale: 1.0,
                        offset: 0.0,
                    },
                }),
            };
            let at = format!("{} {} frame {number}", self.metadata.name, feed.name);
            let answer = guest
                .process(&frame, &mut outputs)
                .unwrap_or_else(|e| panic!("{at}: {e:?}"));
            most = most.max(answer.fuel);
            let packed = answer.verdict.pack();
            assert_eq!(
                packed,
                i64::from(u16::from_le_bytes([level, cause])),
                "{at}: verdict"
            );
            for (place, (got, want)) in outputs.iter().zip(&expected).enumerate() {
                assert_eq!(
                    got.quality,
                    quality(want.quality),
                    "{at}: quality of output {place}"
                );
                assert_eq!(
                    got.value.to_bits(),
                    want.value.to_bits(),
                    "{at}: output {place}"
                );
            }
        }
        assert_eq!(
            guest.state_hash().unwrap(),
            native.hash(),
            "{}: state",
            feed.name
        );
        most
    }
}

fn quality(code: u32) -> Quality {
    match code {
        0 => Quality::Good,
        1 => Quality::Uncertain,
        2 => Quality::Bad,
        _ => Quality::Stale,
    }
}
