//! The SDK against the ABI, natively: the area as a type lies as `docs/analyzer-abi.md` says, and what the host writes is
//! what the analyzer sees.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "tests; values are exact"
)]

use core::mem::{offset_of, size_of};

use rules_sdk_abi::{Flags, Layout, Level, SampleFormat, encode_header};
use tripline_analyzer::{
    Analyzer, Area, Frame, Header, Instance, Outputs, Quality, Refused, Slot, StateHash, Verdict,
};

/// Mean of the block's values plus the first input, and the number of frames.
struct Mean {
    bias: f64,
    frames: u64,
}

impl Analyzer for Mean {
    type Sample = i16;
    const PARAMS: usize = 3;
    const INPUTS: usize = 2;
    const OUTPUTS: usize = 2;
    const SAMPLES: usize = 4;
    const NEW: Self = Self {
        bias: 0.0,
        frames: 0,
    };

    fn init(&mut self, params: &[f64]) -> Result<(), Refused> {
        let &[bias, low, high] = params else {
            return Err(Refused::COMBINATION);
        };
        if bias < 0.0 {
            return Err(Refused::param(0));
        }
        if low > high {
            return Err(Refused::COMBINATION);
        }
        self.bias = bias;
        Ok(())
    }

    fn process(&mut self, frame: &Frame<'_, i16>, out: &mut Outputs<'_>) -> Verdict {
        self.frames += 1;
        let Some(block) = frame.block else {
            return Verdict::NORMAL;
        };
        let sum: f64 = block.values().sum();
        out.good(0, sum / block.values().len() as f64 + self.bias);
        out.uncertain(1, frame.input(1).usable().unwrap_or(-1.0));
        out.good(2, 0.0);
        match (block.gap, frame.restarted) {
            (true, _) => Verdict::danger(3),
            (_, true) => Verdict::alert(0),
            _ => Verdict::NORMAL,
        }
    }

    fn state_hash(&self) -> u64 {
        StateHash::new().f64(self.bias).u64(self.frames).finish()
    }
}

tripline_analyzer::export!(Mean);

type Guest = Instance<Mean, 3, 2, 2, 4>;

#[test]
fn the_area_lies_as_the_abi_says() {
    fn check<S, const P: usize, const I: usize, const O: usize, const N: usize>(
        format: SampleFormat,
    ) {
        type Of<S, const P: usize, const I: usize, const O: usize, const N: usize> =
            Area<S, P, I, O, N>;
        let count = |n: usize| u32::try_from(n).unwrap();
        let layout = Layout::new(count(P), count(I), count(O), Some((format, count(N)))).unwrap();
        let at = |n: u32| usize::try_from(n).unwrap();
        assert_eq!(offset_of!(Of<S, P, I, O, N>, header), 0);
        assert_eq!(offset_of!(Of<S, P, I, O, N>, params), at(layout.params));
        assert_eq!(offset_of!(Of<S, P, I, O, N>, inputs), at(layout.inputs));
        assert_eq!(offset_of!(Of<S, P, I, O, N>, outputs), at(layout.outputs));
        assert_eq!(offset_of!(Of<S, P, I, O, N>, samples), at(layout.samples));
        assert!(size_of::<Of<S, P, I, O, N>>() >= at(layout.bytes));
    }
    check::<f32, 0, 0, 1, 0>(SampleFormat::F32);
    check::<f32, 0, 1, 1, 1>(SampleFormat::F32);
    check::<f32, 1, 1, 1, 4096>(SampleFormat::F32);
    check::<i16, 2, 0, 3, 3>(SampleFormat::I16);
    check::<i16, 3, 2, 1, 65_536>(SampleFormat::I16);
    check::<f32, 32, 32, 32, 7>(SampleFormat::F32);
    assert_eq!(size_of::<Header>(), 64);
    assert_eq!(offset_of!(Guest, area), 0);
}

#[test]
fn the_header_is_what_the_host_encodes() {
    let header = Header {
        samples: 4,
        flags: Header::RESTARTED | Header::GAP | Header::CANARY,
        at_ns: 7,
        sequence: 9,
        rate_hz: 12_000.0,
        scale: 0.5,
        offset: -1.0,
        reserved: [0; 2],
    };
    let encoded = encode_header(&rules_sdk_abi::Header {
        samples: 4,
        flags: Flags::RESTARTED.with(Flags::GAP).with(Flags::CANARY),
        at_ns: 7,
        sequence: 9,
        rate_hz: 12_000.0,
        scale: 0.5,
        offset: -1.0,
    });
    let word = |at: usize| u64::from_le_bytes(encoded[at..at + 8].try_into().unwrap());
    assert_eq!(
        word(0),
        u64::from(header.samples) | u64::from(header.flags) << 32
    );
    assert_eq!(word(offset_of!(Header, at_ns)), header.at_ns);
    assert_eq!(word(offset_of!(Header, sequence)), header.sequence);
    assert_eq!(word(offset_of!(Header, rate_hz)), header.rate_hz.to_bits());
    assert_eq!(word(offset_of!(Header, scale)), header.scale.to_bits());
    assert_eq!(word(offset_of!(Header, offset)), header.offset.to_bits());
}

#[test]
fn an_instance_takes_parameters_or_says_which_it_refuses() {
    for (params, code) in [
        ([1.0, 0.0, 2.0], 0),
        ([-1.0, 0.0, 2.0], 1),
        ([1.0, 3.0, 2.0], -1),
    ] {
        let mut guest = Guest::new();
        guest.area.params = params;
        assert_eq!(guest.init(), code, "{params:?}");
    }
}

#[test]
fn h39_what_the_host_writes_is_what_the_analyzer_sees_and_answers() {
    let mut guest = Guest::new();
    guest.area.params = [10.0, 0.0, 1.0];
    assert_eq!(guest.init(), 0);
    let fresh = guest.state_hash();
    guest.area.header = Header {
        samples: 3,
        flags: Header::RESTARTED,
        scale: 0.5,
        offset: 1.0,
        ..Header::EMPTY
    };
    guest.area.samples = [2, 4, 6, 32_767];
    guest.area.inputs[1] = Slot {
        value: 42.0,
        quality: 0,
        changed: 1,
    };
    let verdict = rules_sdk_abi::Verdict::unpack(guest.process(), 3).unwrap();
    assert_eq!((verdict.level, verdict.cause), (Level::Alert, 0), "H-39");
    let good = |value| Slot {
        value,
        quality: 0,
        changed: 0,
    };
    assert_eq!(guest.area.outputs[0], good(13.0));
    assert_eq!(
        guest.area.outputs[1],
        Slot {
            quality: 1,
            ..good(42.0)
        }
    );
    assert_ne!(guest.state_hash(), fresh);
    assert_eq!(guest.state_hash(), guest.state_hash());

    guest.area.header.flags = Header::GAP;
    guest.area.inputs[1].quality = 3;
    let verdict = rules_sdk_abi::Verdict::unpack(guest.process(), 3).unwrap();
    assert_eq!((verdict.level, verdict.cause), (Level::Danger, 3), "H-39");
    assert_eq!(
        guest.area.outputs[1].value, -1.0,
        "a stale input is not used"
    );

    // More samples than the area holds are no block: a host that errs is not followed out of bounds.
    for samples in [0, 5, u32::MAX] {
        guest.area.header.samples = samples;
        guest.area.outputs = [Slot::BAD; 2];
        assert_eq!(guest.process(), 0);
        assert_eq!(
            guest.area.outputs,
            [Slot::BAD; 2],
            "an output that is not written is bad"
        );
    }
}

#[test]
fn qualities_and_verdicts_are_the_abi_s() {
    for (verdict, level, cause) in [
        (Verdict::NORMAL, Level::Normal, 0),
        (Verdict::alert(0), Level::Alert, 0),
        (Verdict::danger(255), Level::Danger, 255),
        (Verdict::NORMAL.worse(Verdict::alert(4)), Level::Alert, 4),
        (
            Verdict::danger(1).worse(Verdict::danger(2)),
            Level::Danger,
            1,
        ),
    ] {
        let unpacked = rules_sdk_abi::Verdict::unpack(verdict.pack(), 255).unwrap();
        assert_eq!((unpacked.level, unpacked.cause), (level, cause));
    }
    assert!(Quality::Good.usable() && Quality::Uncertain.usable());
    assert!(!Quality::Bad.usable() && !Quality::Stale.usable());
}

#[test]
fn the_state_hash_is_fnv_1a() {
    // Written out once more, with the constants of the FNV draft, section 6, in decimal.
    let reference = |bytes: [u8; 8]| {
        bytes
            .into_iter()
            .fold(14_695_981_039_346_656_037_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
            })
    };
    assert_eq!(StateHash::new().u64(0).finish(), reference([0; 8]));
    assert_eq!(
        StateHash::new().u64(0x0807_0605_0403_0201).finish(),
        reference([1, 2, 3, 4, 5, 6, 7, 8])
    );
    let one = StateHash::new().f64(1.0).bool(true).finish();
    assert_eq!(one, StateHash::new().u64(1.0_f64.to_bits()).u64(1).finish());
    assert_eq!(
        StateHash::new().f64s(&[1.0, 2.0]).f32s(&[3.0]).finish(),
        StateHash::new()
            .f64(1.0)
            .f64(2.0)
            .u64(u64::from(3.0_f32.to_bits()))
            .finish()
    );
}
