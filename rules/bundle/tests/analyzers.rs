//! Analyzers in a bundle: what was sealed is what opens, and a plan that no compiler makes is refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use drivers_frame::block::SequenceType;
use drivers_frame::{ByteOrder, DeviceId, DurNs, SampleKind, TagId, WaveformId, WordOrder};
use rules_bundle::*;
use rules_sdk_abi::SampleFormat;
use sha2::{Digest as _, Sha256};

const WASM: &[u8] = b"\0asm and so on";
const BLOCK: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn tag(name: &str, device: u16) -> TagPlan {
    TagPlan {
        device: DeviceId(device),
        ..testing::tag(name, "g", DurNs::from_ms(100))
    }
}

fn analyzer(module: u16, input: u16, first: u16) -> AnalyzerPlan {
    AnalyzerPlan {
        module,
        class: AnalyzerClass::Safety,
        inputs: vec![AnalyzerInput {
            tag: TagId(input),
            scale: 60.0,
            offset: 0.0,
        }],
        waveform: Some(WaveformUse {
            index: WaveformId(0),
            scale: 0.5,
            offset: 0.0,
        }),
        outputs: vec![AnalyzerOutput {
            tag: TagId(first),
            min: 0.0,
            max: 10.0,
        }],
        verdict: TagId(first + 1),
        cause: TagId(first + 2),
        params: vec![2.5],
        verdict_after: None,
        fuel: 1_000,
        deadline: DurNs::from_ms(5),
        trigger: Trigger::News,
        on_failure: FailureVerdict::Trip,
        spares: 1,
        flap: Some(FlapLimit {
            changes: 4,
            within: DurNs::from_ms(1_000),
        }),
        canary: Some(CanaryPlan {
            every: DurNs::from_ms(1_000),
            expect: Level::Danger,
            within: DurNs::from_ms(100),
            frames: 1,
            inputs: vec![25.0],
            block: Some(0),
        }),
        replay: Some(ReplayPlan {
            every: DurNs::from_ms(60_000),
            within: DurNs::from_ms(10_000),
            calls: 3,
        }),
    }
}

/// Two analyzers of one module; the second reads what the first derives.
fn plan() -> Plan {
    let lane = LanePlan {
        devices: vec![
            testing::device("io"),
            DevicePlan {
                name: "bearing".into(),
                link: LinkPlan::Analyzer(Box::new(analyzer(0, 0, 1))),
            },
            DevicePlan {
                name: "trend".into(),
                link: LinkPlan::Analyzer(Box::new(analyzer(0, 1, 4))),
            },
        ],
        tags: vec![
            tag("speed", 0),
            tag("bearing.rms", 1),
            tag("bearing.verdict", 1),
            tag("bearing.cause", 1),
            tag("trend.rms", 2),
            tag("trend.verdict", 2),
            tag("trend.cause", 2),
        ],
        waveforms: vec![WaveformPlan {
            name: "vibration".into(),
            device: DeviceId(0),
            unit: "g".into(),
            rate_hz: 12_000.0,
            samples: 4,
            format: SampleKind::I16,
            scale: 0.5,
            offset: 0.0,
            stale_after: DurNs::from_ms(500),
            period: None,
            source: WaveformSource::Modbus {
                table: Table::Holding,
                address: 100,
                sequence: 98,
                sequence_width: SequenceType::U32,
                byte_order: ByteOrder::BigEndian,
                word_order: WordOrder::BigEndian,
            },
        }],
        ..testing::lane()
    };
    Plan {
        name: "pump".into(),
        version: "1".into(),
        description: String::new(),
        lanes: vec![lane],
        modules: vec![ModulePlan {
            name: "level-watch".into(),
            version: 3,
            sha256: Sha256::digest(WASM).into(),
            signature: None,
            params: 1,
            inputs: 1,
            outputs: 1,
            waveform: Some(ModuleWaveform {
                format: SampleFormat::I16,
                samples_min: 4,
                samples_max: 64,
            }),
            causes: vec!["rms-high".into()],
            memory_bytes: 65_536,
        }],
        blocks: vec![8],
        alerts: None,
        vouched: Vouched::Nobody,
    }
}

fn sealed(plan: &Plan, wasm: &[u8], block: &[u8]) -> Result<Vec<u8>, SealError> {
    seal(
        plan,
        Code {
            lanes: &[LaneCode {
                wasm: vec![1],
                native: vec![2],
            }],
            modules: &[ModuleCode {
                wasm: wasm.to_vec(),
                native: vec![9; 3],
            }],
            blocks: &[block.to_vec()],
        },
        "tripline: 1\n",
        &testing::key(),
    )
}

#[test]
fn modules_and_blocks_are_opened_as_they_were_sealed() {
    let bundle = open(&sealed(&plan(), WASM, &BLOCK).unwrap(), &testing::key()).unwrap();
    assert_eq!(bundle.plan, plan());
    assert_eq!(bundle.modules[0].wasm, WASM);
    assert_eq!(bundle.modules[0].native, [9; 3]);
    assert_eq!(bundle.blocks, [BLOCK]);
    assert_eq!(
        bundle.plan.modules[0].layout().unwrap().samples,
        64 + 16 + 32
    );
    assert_eq!(bundle.plan.lanes[0].waveforms[0].registers(), 4);
    assert_eq!(bundle.plan.lanes[0].analyzers().count(), 2);
}

#[test]
fn h67_a_module_or_block_that_is_not_the_planned_one_is_refused() {
    assert!(
        matches!(
            sealed(&plan(), b"\0asm another", &BLOCK),
            Err(SealError::Mismatch { what: "module", .. })
        ),
        "H-67"
    );
    assert!(matches!(
        sealed(&plan(), WASM, &BLOCK[..6]),
        Err(SealError::Mismatch { what: "block", .. })
    ));
    let mut more = plan();
    more.blocks.push(8);
    assert!(matches!(
        sealed(&more, WASM, &BLOCK),
        Err(SealError::Count { what: "blocks", .. })
    ));
}

#[test]
fn a_block_spans_its_samples_over_its_rate() {
    let mut waveform = plan().lanes.remove(0).waveforms.remove(0);
    waveform.samples = 4_096;
    waveform.rate_hz = 12_800.0;
    assert_eq!(waveform.span(), DurNs::from_ms(320));
    waveform.rate_hz = 0.0;
    assert_eq!(waveform.span().as_ns(), u64::MAX, "no rate is not no time");
}

fn first(plan: &mut Plan) -> &mut AnalyzerPlan {
    match &mut plan.lanes[0].devices[1].link {
        LinkPlan::Analyzer(analyzer) => analyzer,
        _ => panic!(),
    }
}

fn waveform(plan: &mut Plan) -> &mut WaveformPlan {
    &mut plan.lanes[0].waveforms[0]
}

type Break = (&'static str, fn(&mut Plan));

/// What no compiler makes. Each alone must be refused.
const BREAKS: &[Break] = &[
    ("module index", |plan| first(plan).module = 1),
    ("input index", |plan| first(plan).inputs[0].tag = TagId(99)),
    ("input count", |plan| first(plan).inputs.clear()),
    ("input scale", |plan| first(plan).inputs[0].scale = 0.0),
    ("input of a later analyzer", |plan| {
        first(plan).inputs[0].tag = TagId(4);
    }),
    ("input of itself", |plan| {
        first(plan).inputs[0].tag = TagId(1)
    }),
    ("safety over background", |plan| {
        first(plan).class = AnalyzerClass::Background;
    }),
    ("output of another device", |plan| {
        first(plan).outputs[0].tag = TagId(0);
    }),
    ("output twice", |plan| first(plan).verdict = TagId(3)),
    ("output range", |plan| first(plan).outputs[0].max = -1.0),
    ("output not finite", |plan| {
        first(plan).outputs[0].min = f64::NAN;
    }),
    ("a tag that nobody derives", |plan| {
        plan.lanes[0].tags.push(tag("bearing.more", 1));
    }),
    ("parameter count", |plan| first(plan).params.push(1.0)),
    ("parameter", |plan| first(plan).params[0] = f64::INFINITY),
    ("no waveform", |plan| first(plan).waveform = None),
    ("waveform index", |plan| {
        first(plan).waveform.as_mut().unwrap().index = WaveformId(1);
    }),
    ("waveform too short", |plan| waveform(plan).samples = 3),
    ("waveform too long", |plan| waveform(plan).samples = 65),
    ("f32 into i16", |plan| {
        waveform(plan).format = SampleKind::F32
    }),
    ("rate", |plan| waveform(plan).rate_hz = f64::NAN),
    ("waveform stale at once", |plan| {
        waveform(plan).stale_after = DurNs::ZERO;
    }),
    ("waveform device", |plan| {
        waveform(plan).device = DeviceId(1);
    }),
    ("sequence in the window", |plan| {
        if let WaveformSource::Modbus { sequence, .. } = &mut waveform(plan).source {
            *sequence = 103;
        }
    }),
    ("half the sequence in the window", |plan| {
        if let WaveformSource::Modbus { sequence, .. } = &mut waveform(plan).source {
            *sequence = 99;
        }
    }),
    ("a sequence of half a register", |plan| {
        if let WaveformSource::Modbus { sequence_width, .. } = &mut waveform(plan).source {
            *sequence_width = SequenceType::U8;
        }
    }),
    ("window beyond the table", |plan| {
        if let WaveformSource::Modbus { address, .. } = &mut waveform(plan).source {
            *address = 65_533;
        }
    }),
    ("window of coils", |plan| {
        if let WaveformSource::Modbus { table, .. } = &mut waveform(plan).source {
            *table = Table::Coil;
        }
    }),
    ("topic of a Modbus device", |plan| {
        waveform(plan).source = WaveformSource::Mqtt {
            topic: "v".into(),
            qos: 0,
            first: 0,
            byte_order: ByteOrder::LittleEndian,
            sequence: None,
            envelope: None,
        };
    }),
    ("no fuel", |plan| first(plan).fuel = 0),
    ("no time", |plan| first(plan).deadline = DurNs::ZERO),
    ("called without end", |plan| {
        first(plan).trigger = Trigger::Every(DurNs::ZERO);
    }),
    ("spares", |plan| first(plan).spares = u8::MAX),
    ("flap", |plan| {
        first(plan).flap.as_mut().unwrap().changes = 0
    }),
    ("replay without end", |plan| {
        first(plan).replay.as_mut().unwrap().every = DurNs::from_ms(1);
    }),
    ("replay longer than its period", |plan| {
        first(plan).replay.as_mut().unwrap().within = DurNs::from_ms(60_001);
    }),
    ("replay of nothing", |plan| {
        first(plan).replay.as_mut().unwrap().calls = 0;
    }),
    ("replay of too many calls", |plan| {
        first(plan).replay.as_mut().unwrap().calls = 1_025;
    }),
    ("canary without end", |plan| {
        first(plan).canary.as_mut().unwrap().every = DurNs::from_ms(1);
    }),
    ("canary longer than its period", |plan| {
        first(plan).canary.as_mut().unwrap().within = DurNs::from_ms(1_001);
    }),
    ("canary without a frame", |plan| {
        first(plan).canary.as_mut().unwrap().frames = 0;
    }),
    ("canary without an input", |plan| {
        first(plan).canary.as_mut().unwrap().inputs.clear();
    }),
    ("canary without a block", |plan| {
        first(plan).canary.as_mut().unwrap().block = None;
    }),
    ("canary's block", |plan| {
        first(plan).canary.as_mut().unwrap().block = Some(1);
    }),
    ("canary's block too short", |plan| plan.blocks[0] = 6),
    ("half a sample", |plan| plan.blocks[0] = 9),
    ("area larger than memory", |plan| {
        plan.modules[0].memory_bytes = 128;
    }),
    ("memory beyond the limit", |plan| {
        plan.modules[0].memory_bytes = u32::MAX;
    }),
    ("module derives nothing", |plan| plan.modules[0].outputs = 0),
    ("module without a name", |plan| plan.modules[0].name.clear()),
    ("module of too many causes", |plan| {
        plan.modules[0].causes = vec!["a".into(); 33];
    }),
];

#[test]
fn h48_whatever_no_compiler_makes_is_refused() {
    plan().check().unwrap();
    for (what, change) in BREAKS {
        let mut broken = plan();
        change(&mut broken);
        assert!(broken.check().is_err(), "H-48: {what}");
    }
}
