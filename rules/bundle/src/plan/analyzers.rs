//! Analyzers: foreign modules, the waveforms they look at, and what the host makes of their answers.
//!
//! An analyzer is a device of its lane: what it derives are samples of ordinary tags, so health, freshness, rules, windows
//! and votings know nothing of it. Analyzers run in the order of their devices; one may read what an earlier one derived,
//! never what a later one does.

use drivers_frame::block::SequenceType;
use drivers_frame::{ByteOrder, DeviceId, DurNs, SampleKind, TagId, WaveformId, WordOrder};
use rules_sdk_abi::{HEADER_BYTES, Layout, SampleFormat, VALUE_BYTES};
use serde::{Deserialize, Serialize};

use crate::plan::{EnvelopePlan, Level, Table};

/// A module in the bundle: what the host must know of it besides its code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModulePlan {
    /// The name in its metadata.
    pub name: String,
    /// The version in its metadata.
    pub version: u32,
    /// SHA-256 of the `.wasm` that the machine code was made from.
    pub sha256: [u8; 32],
    /// Who signed it, and when what they said ends; `None`: nobody, which only an explicit development flag allows. Shown
    /// wherever the bundle is.
    pub signature: Option<SignaturePlan>,
    /// Parameters.
    pub params: u16,
    /// Scalar inputs.
    pub inputs: u16,
    /// Outputs.
    pub outputs: u16,
    /// Its waveform, when it takes one.
    pub waveform: Option<ModuleWaveform>,
    /// Its causes; a verdict's number counts from 1.
    pub causes: Vec<String>,
    /// Bytes of its memory, which cannot grow.
    pub memory_bytes: u32,
}

impl ModulePlan {
    /// Where everything is in its exchange area. `None` only for counts that [`Plan::check`](crate::Plan::check) refuses.
    pub fn layout(&self) -> Option<Layout> {
        Layout::new(
            u32::from(self.params),
            u32::from(self.inputs),
            u32::from(self.outputs),
            self.waveform
                .map(|waveform| (waveform.format, waveform.samples_max)),
        )
    }
}

/// Who vouches for a module or a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignaturePlan {
    /// The trusted key's name.
    pub signer: String,
    /// Wall time after which the signature is no longer taken, seconds since 1970; `None` never.
    pub expires: Option<u64>,
}

/// The waveform of a module, as its metadata says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleWaveform {
    /// How samples lie in its memory.
    pub format: SampleFormat,
    /// Fewest samples of a block.
    pub samples_min: u32,
    /// Most: the room in its exchange area.
    pub samples_max: u32,
}

/// A source of blocks of samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaveformPlan {
    /// Its id.
    pub name: String,
    /// The device that delivers it: Modbus or MQTT, as `source` says.
    pub device: DeviceId,
    /// Unit of its samples after `scale` and `offset`, for people.
    pub unit: String,
    /// Samples a second within a block; above 0.
    pub rate_hz: f64,
    /// Samples of each block. A block of any other length is refused as a whole.
    pub samples: u32,
    /// How a sample is stored at the source.
    pub format: SampleKind,
    /// value = raw x scale + offset, in `unit`. An analyzer that wants another unit has its own ([`WaveformUse`]).
    pub scale: f64,
    /// See `scale`.
    pub offset: f64,
    /// Age of the newest block at which it is stale.
    pub stale_after: DurNs,
    /// Longest time between two blocks, as the pack's author states it; part of the reaction time. `None`: only
    /// `stale_after` bounds it.
    pub period: Option<DurNs>,
    /// Where blocks come from.
    pub source: WaveformSource,
}

/// Where blocks come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WaveformSource {
    /// The payload of a topic: one message is one block.
    Mqtt {
        /// Topic, without wildcards; used by no other waveform and no tag of the device.
        topic: String,
        /// 0 or 1.
        qos: u8,
        /// First byte of the first sample; the payload ends with the last sample.
        first: u32,
        /// Order of the bytes of a sample and of the sequence number.
        byte_order: ByteOrder,
        /// Where the sequence number is; `None`: gaps between its messages cannot be seen.
        sequence: Option<SequencePlan>,
        /// What its messages must be wrapped in; `None` takes the bare payload. The other places count from the first byte of
        /// what is wrapped.
        envelope: Option<EnvelopePlan>,
    },
    /// A window of registers, read again whenever its sequence register has counted.
    Modbus {
        /// [`Table::Holding`] or [`Table::Input`].
        table: Table,
        /// First register of the window, 0-based. A sample has one register (`i16`) or two (`f32`).
        address: u16,
        /// First register of the same table that counts up by 1 with each block and wraps; outside the window.
        sequence: u16,
        /// How wide it is: `U16` one register, `U32` two, `U64` four.
        sequence_width: SequenceType,
        /// Order of the bytes in a register.
        byte_order: ByteOrder,
        /// Order of the registers of an `f32`, and of a sequence of two.
        word_order: WordOrder,
    },
}

/// A sequence number in a payload: counts up by 1 a block and wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencePlan {
    /// First byte.
    pub at: u32,
    /// How wide it is.
    pub width: SequenceType,
}

impl WaveformPlan {
    /// Bytes of a block's samples, as the source sends them.
    pub fn block_bytes(&self) -> u32 {
        let bytes = u32::try_from(self.format.bytes()).unwrap_or(u32::MAX);
        self.samples.saturating_mul(bytes)
    }

    /// Registers of a Modbus window.
    pub fn registers(&self) -> u32 {
        self.block_bytes().div_ceil(2)
    }

    /// Time that one block spans, rounded up: samples / rate.
    pub fn span(&self) -> DurNs {
        let ns = f64::from(self.samples) / self.rate_hz * 1e9;
        // A rate that is no rate gives the longest time, never none. The cast saturates.
        if ns.is_finite() && ns >= 0.0 {
            #[expect(
                clippy::as_conversions,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "finite and not negative; saturates"
            )]
            DurNs::from_ns(ns.ceil() as u64)
        } else {
            DurNs::from_ns(u64::MAX)
        }
    }
}

/// An instance of a module in a lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnalyzerPlan {
    /// The module; an index into [`Plan::modules`](crate::Plan::modules).
    pub module: u16,
    /// Where it runs, and what it may hold up.
    pub class: AnalyzerClass,
    /// Its scalar inputs, in the order of the metadata.
    pub inputs: Vec<AnalyzerInput>,
    /// Its waveform; present exactly when the module takes one.
    pub waveform: Option<WaveformUse>,
    /// Its outputs, in the order of the metadata: tags of this device.
    pub outputs: Vec<AnalyzerOutput>,
    /// The tag of its verdict: 0 normal, 1 alert, 2 danger.
    pub verdict: TagId,
    /// The tag of its cause: 0 none, or the number in [`ModulePlan::causes`], from 1.
    pub cause: TagId,
    /// Parameters in the order and units of the metadata.
    pub params: Vec<f64>,
    /// What passes after a cause shows in one call until it speaks, with these parameters. `None`: its author does not say.
    pub verdict_after: Option<VerdictAfter>,
    /// Fuel of one `tl_process`, and of one `tl_state_hash`, at most. `tl_init` runs off the lane and has a bound of its own.
    pub fuel: u64,
    /// Time of one `tl_process` at most; catches what fuel cannot.
    pub deadline: DurNs,
    /// When it is called.
    pub trigger: Trigger,
    /// The verdict of a frame in which it failed.
    pub on_failure: FailureVerdict,
    /// Instances that wait to take over, beside the one that decides.
    pub spares: u8,
    /// More changes of its verdict than this are a failure.
    pub flap: Option<FlapLimit>,
    /// A stimulus that proves now and then that it would speak.
    pub canary: Option<CanaryPlan>,
    /// A comparison with a clean instance now and then.
    pub replay: Option<ReplayPlan>,
}

/// Where an analyzer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnalyzerClass {
    /// On the lane, within the tick, before rules are evaluated; its fuel counts into every reaction time of the lane.
    Safety,
    /// On a thread of its own on other cores, with what is left; its results arrive as samples do.
    Background,
}

impl AnalyzerClass {
    /// The word used in packs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Background => "background",
        }
    }
}

/// What an analyzer waits for by itself, in its author's words: all that it derives shows a lasting cause then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictAfter {
    /// Calls with news.
    pub calls: u64,
    /// Samples of its waveform, and the calls that bring them.
    pub samples: u64,
}

/// A scalar input: value given = the tag's x scale + offset, in the unit of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnalyzerInput {
    /// The tag: of a driver's device, or of an analyzer that is an earlier device of the lane.
    pub tag: TagId,
    /// From the tag's unit to the module's.
    pub scale: f64,
    /// See `scale`.
    pub offset: f64,
}

/// A waveform as one analyzer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaveformUse {
    /// Index into [`LanePlan::waveforms`](crate::LanePlan::waveforms).
    pub index: WaveformId,
    /// From a raw sample of the source to the unit of the metadata. A module of `f32` gets samples so scaled by the host; one of `i16`
    /// gets them raw, and both numbers in the header.
    pub scale: f64,
    /// See `scale`.
    pub offset: f64,
}

/// An output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnalyzerOutput {
    /// Its tag.
    pub tag: TagId,
    /// Lowest value that is not nonsense.
    pub min: f64,
    /// Highest.
    pub max: f64,
}

/// When an analyzer is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// With each new block of its waveform; without one, in each tick that took a new sample of one of its inputs, or in
    /// which one of them became bad or stale.
    News,
    /// So often, whatever arrived. With a waveform: with the first block that arrives so long after the last call, never
    /// without one.
    Every(DurNs),
}

/// The verdict of a frame in which an analyzer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureVerdict {
    /// Danger.
    Trip,
    /// Alert.
    Alarm,
}

impl FailureVerdict {
    /// The level that it stands for.
    pub const fn level(self) -> Level {
        match self {
            Self::Trip => Level::Danger,
            Self::Alarm => Level::Alert,
        }
    }
}

/// How often a verdict may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlapLimit {
    /// Changes of level within `within`; one more is a failure.
    pub changes: u8,
    /// The span in which they are counted.
    pub within: DurNs,
}

/// The newest calls of an analyzer are given to a clean instance now and then, whose last answer must be the same bit for bit
/// (H-41).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayPlan {
    /// Time between two comparisons.
    pub every: DurNs,
    /// Within this time from when it was due a comparison must be over, the calls that it is about included.
    pub within: DurNs,
    /// Calls in a row, each with news, usable inputs and no gap, after which answers are the same whatever was before.
    pub calls: u32,
}

impl ReplayPlan {
    /// Bytes in which the calls of an analyzer are kept: of each its header, its inputs, and a block of so many samples.
    pub fn bytes(calls: u64, inputs: usize, block: Option<(SampleFormat, u32)>) -> u64 {
        let inputs = u64::try_from(inputs).unwrap_or(u64::MAX);
        let block = block.map_or(0, |(format, samples)| {
            u64::from(samples).saturating_mul(u64::from(format.bytes()))
        });
        inputs
            .saturating_mul(u64::from(VALUE_BYTES))
            .saturating_add(u64::from(HEADER_BYTES))
            .saturating_add(block)
            .saturating_mul(calls)
    }
}

/// A known-bad frame that is given to a shadow instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CanaryPlan {
    /// Time between two trials.
    pub every: DurNs,
    /// The verdict of the last frame must be at least this.
    pub expect: Level,
    /// Within this time from the trial's due time; else the analyzer counts as dead.
    pub within: DurNs,
    /// Frames that are given, one after the other and all alike, to a fresh shadow instance: an analyzer may want to see a
    /// thing more than once.
    pub frames: u16,
    /// Scalar inputs, in the order and units of the metadata; all good.
    pub inputs: Vec<f64>,
    /// The block, as the module's memory takes it; an index into [`Plan::blocks`](crate::Plan::blocks). Present exactly when
    /// the module takes a waveform.
    pub block: Option<u16>,
}
