//! One instance of an analyzer: a store of its own, the exchange area, the calls.

use std::sync::Arc;

use drivers_frame::block::{Block, BlockFault};
use drivers_frame::{DurNs, MonoNs, Quality, Scaling, planted};
use rt_config::{limits, reserve};
use rules_sdk_abi::{Flags, Header, SampleFormat, VALUE_BYTES, Verdict, encode_header, export};
use wasmtime::{Instance, Memory, Store, TypedFunc};

use super::fault::{AnalyzerFault, OutputFault};
use super::module::{AnalyzerError, AnalyzerModule, Shape};

/// A scalar input of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InputValue {
    /// Value in the unit of the metadata. What the module sees is 0 unless the quality is usable; a value that is usable
    /// and not finite reaches it as bad.
    pub value: f64,
    /// Quality.
    pub quality: Quality,
    /// Whether it changed since the last call.
    pub changed: bool,
}

/// A derived value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputValue {
    /// Value in the unit of the metadata: finite and within its range. 0 when bad.
    pub value: f64,
    /// Good, uncertain or bad.
    pub quality: Quality,
}

impl OutputValue {
    /// What an output is until the module wrote it.
    pub const BAD: Self = Self {
        value: 0.0,
        quality: Quality::Bad,
    };
}

impl Default for OutputValue {
    fn default() -> Self {
        Self::BAD
    }
}

/// The samples of a frame.
#[derive(Clone, Copy, Debug)]
pub enum Samples<'a> {
    /// A block in the buffer it was received into: converted and checked in the one copy into the guest's memory.
    Received {
        /// The block. Its gap becomes [`Flags::GAP`].
        block: &'a Block,
        /// From a raw sample to the unit of the metadata.
        scaling: Scaling,
    },
    /// Samples as the guest's memory takes them: a canary's, a recording's. Checked and copied as they are.
    Ready {
        /// Little-endian, in the module's own format.
        bytes: &'a [u8],
        /// Number of the block.
        sequence: u64,
        /// Samples a second.
        rate_hz: f64,
        /// For a module of `i16`: what its header says. Without effect for one of `f32`.
        scaling: Scaling,
    },
}

/// What one call is about.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Arrival of what caused the call.
    pub at: MonoNs,
    /// [`Flags::CANARY`], or none. The instance adds [`Flags::RESTARTED`] on its first frame, and [`Flags::GAP`] when the
    /// block has one; the caller adds it when blocks were lost on the way.
    pub flags: Flags,
    /// As many as the specification says.
    pub inputs: &'a [InputValue],
    /// The newest block, when this call brings one.
    pub block: Option<Samples<'a>>,
}

/// What an analyzer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its verdict.
    pub verdict: Verdict,
    /// Fuel that the call used.
    pub fuel: u64,
}

/// An instance that was set up: its parameters are written and `tl_init` took them.
///
/// May be sent to the lane's thread; belongs to it from then on. Dropping it frees memory: not on a lane.
pub struct AnalyzerInstance {
    store: Store<()>,
    memory: Memory,
    process: TypedFunc<(), i64>,
    state_hash: TypedFunc<(), i64>,
    shape: Arc<Shape>,
    /// Where the exchange area begins.
    area: usize,
    /// Its first frame is still to come.
    pub(super) restarted: bool,
}

impl AnalyzerModule {
    /// A fresh instance: `tl_area` is asked and checked, the parameters are written, `tl_init` takes them. Allocates and
    /// runs foreign code under [`limits::ANALYZER_INIT_FUEL`]: never on a lane.
    ///
    /// # Errors
    /// [`AnalyzerError`].
    pub fn instantiate(&self) -> Result<AnalyzerInstance, AnalyzerError> {
        let mut store = Store::new(&self.engine.0, ());
        let fuel = limits::ANALYZER_INIT_FUEL;
        let tank = tank(fuel);
        store.set_fuel(tank).map_err(AnalyzerError::Instantiate)?;
        store.set_epoch_deadline(self.engine.ticks(DurNs::from_ms(limits::ANALYZER_INIT_MS)));
        let instance =
            Instance::new(&mut store, &self.module, &[]).map_err(AnalyzerError::Instantiate)?;
        let memory = instance
            .get_memory(&mut store, export::MEMORY)
            .ok_or(AnalyzerError::Export(export::MEMORY))?;
        let area_of = function::<i32>(&instance, &mut store, export::AREA)?;
        let init = function::<i32>(&instance, &mut store, export::INIT)?;
        let process = function(&instance, &mut store, export::PROCESS)?;
        let state_hash = function(&instance, &mut store, export::STATE_HASH)?;

        // One tank for all three calls.
        let call = |function: &TypedFunc<(), i32>, store: &mut Store<()>, name| {
            function
                .call(&mut *store, ())
                .map_err(|error| AnalyzerFault::of(&error, fuel))
                .and_then(|result| used(store, fuel).map(|_| result))
                .map_err(|fault| AnalyzerError::Call {
                    function: name,
                    fault,
                })
        };
        let address = call(&area_of, &mut store, export::AREA)?.cast_unsigned();
        let bytes = memory.data_size(&store);
        let area = self.area(address, bytes)?;
        self.write_params(area, memory.data_mut(&mut store));
        match call(&init, &mut store, export::INIT)? {
            0 => {}
            -1 => return Err(AnalyzerError::Combination),
            code => {
                let param = u32::try_from(code).ok();
                let known = param.filter(|param| {
                    usize::try_from(*param).is_ok_and(|param| param <= self.shape.spec.params.len())
                });
                return Err(known.map_or(AnalyzerError::Init(code), AnalyzerError::Param));
            }
        }
        // Constant from now on: what is not would let the host write where nobody looks.
        let again = call(&area_of, &mut store, export::AREA)?.cast_unsigned();
        if again != address {
            return Err(self.bad_area(again, bytes));
        }
        Ok(AnalyzerInstance {
            store,
            memory,
            process,
            state_hash,
            shape: Arc::clone(&self.shape),
            area,
            restarted: true,
        })
    }

    fn area(&self, address: u32, memory: usize) -> Result<usize, AnalyzerError> {
        address
            .checked_add(self.shape.layout.bytes)
            .and_then(|end| usize::try_from(end).ok())
            .filter(|end| *end <= memory && address.is_multiple_of(16))
            .and_then(|_| usize::try_from(address).ok())
            .ok_or_else(|| self.bad_area(address, memory))
    }

    fn bad_area(&self, address: u32, memory: usize) -> AnalyzerError {
        AnalyzerError::Area {
            address,
            bytes: self.shape.layout.bytes,
            memory,
        }
    }

    fn write_params(&self, area: usize, memory: &mut [u8]) {
        let start = area.saturating_add(to_usize(self.shape.layout.params));
        let cells = memory.get_mut(start..).unwrap_or_default();
        let cells = cells.as_chunks_mut::<8>().0;
        for (cell, param) in cells.iter_mut().zip(&self.shape.spec.params) {
            *cell = param.to_le_bytes();
        }
    }
}

fn function<R: wasmtime::WasmResults>(
    instance: &Instance,
    store: &mut Store<()>,
    name: &'static str,
) -> Result<TypedFunc<(), R>, AnalyzerError> {
    instance
        .get_typed_func::<(), R>(store, name)
        .map_err(|_| AnalyzerError::Export(name))
}

/// What is put into the tank for calls that may use `fuel`: one unit more, so that an empty tank says "more than that", at a
/// loop, at a function, and after the call.
const fn tank(fuel: u64) -> u64 {
    fuel.saturating_add(1)
}

/// Fuel that was used of a [`tank`]. The engine looks at it where a function begins and where a loop does: code that runs
/// straight to its end comes back with an empty tank, and used too much all the same (H-35).
fn used(store: &Store<()>, fuel: u64) -> Result<u64, AnalyzerFault> {
    match store.get_fuel() {
        Ok(left @ 1..) => Ok(tank(fuel).saturating_sub(left)),
        _ => Err(AnalyzerFault::FuelExceeded { fuel }),
    }
}

/// 32 bits fit; written so that a smaller host would meet the end of a slice instead of a wrong place.
pub(super) fn to_usize(offset: u32) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl AnalyzerInstance {
    /// One frame: writes it into the guest's memory, calls `tl_process` under fuel and deadline, checks what came back.
    /// `outputs` are bad unless the call succeeded and the module wrote them. Allocates nothing when it succeeds.
    ///
    /// # Errors
    /// [`AnalyzerFault`]; after one of which [`AnalyzerFault::instance_is_lost`] the instance must be replaced.
    pub fn process(
        &mut self,
        frame: &Frame<'_>,
        outputs: &mut [OutputValue],
    ) -> Result<Answer, AnalyzerFault> {
        self.process_kept(frame, outputs, None)
    }

    /// As [`AnalyzerInstance::process`], and copies what the module is going to see into `kept`.
    pub(super) fn process_kept(
        &mut self,
        frame: &Frame<'_>,
        outputs: &mut [OutputValue],
        kept: Option<&mut [u8]>,
    ) -> Result<Answer, AnalyzerFault> {
        outputs.fill(OutputValue::BAD);
        let spec = &self.shape.spec;
        if frame.inputs.len() != usize::from(spec.inputs) || outputs.len() != spec.outputs.len() {
            return Err(AnalyzerFault::Counts);
        }
        self.write(frame)?;
        if let Some(kept) = kept {
            self.keep(kept);
        }
        self.call(outputs)
    }

    pub(super) fn call(&mut self, outputs: &mut [OutputValue]) -> Result<Answer, AnalyzerFault> {
        let spec = &self.shape.spec;
        let fuel = spec.fuel;
        if self.store.set_fuel(tank(fuel)).is_err() {
            return Err(AnalyzerFault::FuelExceeded { fuel: 0 });
        }
        self.store.set_epoch_deadline(self.shape.ticks);
        // A trap allocates its record inside wasmtime, which is read and dropped within.
        let packed = reserve::within(|| {
            self.process
                .call(&mut self.store, ())
                .map_err(|error| AnalyzerFault::of(&error, fuel))
        })?;
        let used = used(&self.store, fuel)?;
        let causes = if planted!(UnknownCauseAccepted) {
            u8::MAX
        } else {
            spec.causes
        };
        let verdict = Verdict::unpack(packed, causes)
            .map_err(|nonsense| AnalyzerFault::NonsenseVerdict(nonsense.0))?;
        self.restarted = false;
        if let Err(fault) = self.read(outputs) {
            outputs.fill(OutputValue::BAD);
            return Err(fault);
        }
        Ok(Answer {
            verdict,
            fuel: used,
        })
    }

    /// What the module says is a hash of all that its next verdict depends on. It may read all of its memory, so it has the
    /// fuel of `tl_init` and not that of a frame: never on a lane.
    ///
    /// # Errors
    /// [`AnalyzerFault`], as of a call that processes.
    pub fn state_hash(&mut self) -> Result<u64, AnalyzerFault> {
        let fuel = limits::ANALYZER_INIT_FUEL;
        if self.store.set_fuel(tank(fuel)).is_err() {
            return Err(AnalyzerFault::FuelExceeded { fuel: 0 });
        }
        self.store.set_epoch_deadline(self.shape.ticks);
        let hash = reserve::within(|| {
            self.state_hash
                .call(&mut self.store, ())
                .map(i64::cast_unsigned)
                .map_err(|error| AnalyzerFault::of(&error, fuel))
        })?;
        used(&self.store, fuel).map(|_| hash)
    }

    /// The exchange area: exactly its bytes.
    pub(super) fn exchange(&mut self) -> Result<(&Shape, &mut [u8]), AnalyzerFault> {
        let end = self.area.saturating_add(to_usize(self.shape.layout.bytes));
        // Within memory since `instantiate`, and memory cannot shrink.
        let bytes = self
            .memory
            .data_mut(&mut self.store)
            .get_mut(self.area..end)
            .ok_or(AnalyzerFault::Counts)?;
        Ok((&self.shape, bytes))
    }

    fn write(&mut self, frame: &Frame<'_>) -> Result<(), AnalyzerFault> {
        let restarted = self.restarted;
        let (shape, exchange) = self.exchange()?;
        let layout = &shape.layout;
        let mut header = Header {
            samples: 0,
            flags: if restarted {
                frame.flags.with(Flags::RESTARTED)
            } else {
                frame.flags
            },
            at_ns: frame.at.as_ns(),
            sequence: 0,
            rate_hz: 0.0,
            scale: 1.0,
            offset: 0.0,
        };
        if let Some(block) = &frame.block {
            write_block(shape, block, exchange, &mut header)?;
        }
        if let Some(cell) = exchange.first_chunk_mut::<64>() {
            *cell = encode_header(&header);
        }
        let (inputs, outputs) = (to_usize(layout.inputs), to_usize(layout.outputs));
        let cells = exchange.get_mut(inputs..outputs).unwrap_or_default();
        for (cell, input) in cells.as_chunks_mut::<16>().0.iter_mut().zip(frame.inputs) {
            let (value, quality) = match input.quality {
                Quality::Good | Quality::Uncertain if input.value.is_finite() => {
                    (input.value, input.quality)
                }
                Quality::Stale => (0.0, Quality::Stale),
                _ => (0.0, Quality::Bad),
            };
            let words = u64::from(quality_number(quality)) | u64::from(input.changed) << 32;
            *cell = value_cell(value, words);
        }
        shape.clear_outputs(exchange);
        Ok(())
    }

    fn read(&mut self, outputs: &mut [OutputValue]) -> Result<(), AnalyzerFault> {
        let (shape, exchange) = self.exchange()?;
        let start = to_usize(shape.layout.outputs);
        let cells = exchange
            .get(start..)
            .unwrap_or_default()
            .as_chunks::<16>()
            .0;
        for (index, ((cell, output), range)) in
            (0..).zip(cells.iter().zip(outputs).zip(&shape.spec.outputs))
        {
            *output = read_output(cell, *range)
                .map_err(|what| AnalyzerFault::NonsenseOutput { index, what })?;
        }
        Ok(())
    }
}

impl Shape {
    /// Outputs are bad until the module writes them.
    pub(super) fn clear_outputs(&self, exchange: &mut [u8]) {
        let (outputs, samples) = (to_usize(self.layout.outputs), to_usize(self.layout.samples));
        let cells = exchange.get_mut(outputs..samples).unwrap_or_default();
        for cell in cells.as_chunks_mut::<16>().0 {
            *cell = value_cell(0.0, u64::from(quality_number(Quality::Bad)));
        }
    }
}

/// Writes the samples to where the guest looks for them, and what the header says of them.
fn write_block(
    shape: &Shape,
    samples: &Samples<'_>,
    exchange: &mut [u8],
    header: &mut Header,
) -> Result<(), AnalyzerFault> {
    let (count, sequence, rate_hz, scaling) = match samples {
        Samples::Received { block, scaling } => {
            let head = block.head();
            (head.count, head.sequence, head.rate_hz, scaling)
        }
        Samples::Ready {
            bytes,
            sequence,
            rate_hz,
            scaling,
        } => (ready_count(shape, bytes), *sequence, *rate_hz, scaling),
    };
    let refused = AnalyzerFault::Block { samples: count };
    let waveform = shape.spec.waveform.as_ref().ok_or(refused)?;
    if count < waveform.samples_min || count > waveform.samples_max {
        return Err(refused);
    }
    let start = to_usize(shape.layout.samples);
    let bytes = to_usize(count.saturating_mul(waveform.format.bytes()));
    let cells = exchange
        .get_mut(start..start.saturating_add(bytes))
        .ok_or(refused)?;
    let written = match (samples, waveform.format) {
        (Samples::Received { block, scaling }, SampleFormat::F32) => {
            block.write_f32(*scaling, cells)
        }
        (Samples::Received { block, .. }, SampleFormat::I16) => block.write_i16(cells),
        (Samples::Ready { bytes, .. }, format) => write_ready(bytes, format, cells),
    };
    written.map_err(|fault| match fault {
        BlockFault::NotFinite => AnalyzerFault::SampleNotFinite,
        BlockFault::Room { .. } | BlockFault::Kind => refused,
    })?;
    header.samples = count;
    header.sequence = sequence;
    header.rate_hz = rate_hz;
    if let Samples::Received { block, .. } = samples
        && block.head().gap
    {
        header.flags = header.flags.with(Flags::GAP);
    }
    if waveform.format == SampleFormat::I16 {
        header.scale = scaling.scale;
        header.offset = scaling.offset;
    }
    Ok(())
}

/// Samples in bytes of the module's own format; 0, which no module takes, when there is no whole number of them.
fn ready_count(shape: &Shape, bytes: &[u8]) -> u32 {
    let size = shape
        .spec
        .waveform
        .as_ref()
        .map_or(1, |waveform| to_usize(waveform.format.bytes()));
    if !bytes.len().is_multiple_of(size) {
        return 0;
    }
    let count = bytes.len().checked_div(size).unwrap_or(0);
    u32::try_from(count).unwrap_or(0)
}

fn write_ready(bytes: &[u8], format: SampleFormat, cells: &mut [u8]) -> Result<(), BlockFault> {
    if bytes.len() != cells.len() {
        return Err(BlockFault::Room {
            expected: bytes.len(),
            received: cells.len(),
        });
    }
    let samples = bytes.as_chunks::<4>().0;
    let finite = |sample: &[u8; 4]| f32::from_le_bytes(*sample).is_finite();
    if format == SampleFormat::F32 && !samples.iter().all(finite) {
        return Err(BlockFault::NotFinite);
    }
    cells.copy_from_slice(bytes);
    Ok(())
}

const _: () = assert!(VALUE_BYTES == 16, "a value's cell");

const fn quality_number(quality: Quality) -> u32 {
    match quality {
        Quality::Good => 0,
        Quality::Uncertain => 1,
        Quality::Bad => 2,
        Quality::Stale => 3,
    }
}

/// A value and, in one word, the two 32-bit words behind it.
#[inline]
fn value_cell(value: f64, words: u64) -> [u8; 16] {
    (u128::from(value.to_bits()) | u128::from(words) << 64).to_le_bytes()
}

fn read_output(cell: &[u8; 16], (min, max): (f64, f64)) -> Result<OutputValue, OutputFault> {
    let [a, b, c, d, e, f, g, h, quality @ .., i, j, k, l] = *cell;
    if [i, j, k, l] != [0; 4] {
        return Err(OutputFault::Reserved);
    }
    let quality = match u32::from_le_bytes(quality) {
        0 => Quality::Good,
        1 => Quality::Uncertain,
        2 => return Ok(OutputValue::BAD),
        _ => return Err(OutputFault::Quality),
    };
    let value = f64::from_le_bytes([a, b, c, d, e, f, g, h]);
    if !value.is_finite() {
        return Err(OutputFault::NotFinite);
    }
    if (value < min || value > max) && !planted!(OutputRangeUnchecked) {
        return Err(OutputFault::OutOfRange);
    }
    Ok(OutputValue { value, quality })
}
