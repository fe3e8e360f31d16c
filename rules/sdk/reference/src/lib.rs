//! A module of the ABI `core/1` in wasmi, an interpreter that shares no code with the product's compiler: the second opinion
//! that a module's recorded frames are given when it is installed (H-42).
//!
//! It writes the exchange area in its own words, too, from `docs/analyzer-abi.md` and not from the sandbox: what the two
//! disagree on is a defect of one of them.
//!
//! Which thread: the compiler's, never a lane, never the guard. May it block: no. Worst case: an interpreter, some
//! fifty times slower than compiled code; fuel bounds it. NaN are canonical (wasmi's feature `deterministic`).
#![forbid(unsafe_code)]

use rules_sdk_abi::metadata::Metadata;
use rules_sdk_abi::{Header, Layout, export};
use wasmi::{Config, Engine, Instance, Linker, Memory, Module, Store, TypedFunc};

/// Fuel of one call in the interpreter. Its price list is not the product's; this only ends what does not end, after some
/// minutes.
const FUEL: u64 = 20_000_000_000;

/// Why the interpreter has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// It cannot be instantiated.
    #[error("the interpreter refuses the module: {0}")]
    Module(wasmi::Error),
    /// An export of the ABI is missing.
    #[error("the module does not export `{0}` as the ABI says")]
    Export(&'static str),
    /// The exchange area does not lie in memory.
    #[error("the exchange area at {0:#x} does not lie in the module's memory")]
    Area(u32),
    /// `tl_init` refused.
    #[error("tl_init returned {0}")]
    Init(i32),
    /// It trapped, or did not end.
    #[error("the module trapped in the interpreter: {0}")]
    Trap(wasmi::Error),
}

/// A scalar input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// Value; 0 when bad or stale.
    pub value: f64,
    /// 0 good, 1 uncertain, 2 bad, 3 stale.
    pub quality: u32,
    /// Whether it changed.
    pub changed: bool,
}

/// What the module wrote and returned, unjudged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// The packed verdict.
    pub verdict: i64,
    /// Bits of each output's value, its quality, and its reserved word.
    pub outputs: Vec<(u64, u32, u32)>,
}

/// An instance in the interpreter.
#[derive(Debug)]
pub struct Reference {
    store: Store<()>,
    memory: Memory,
    process: TypedFunc<(), i64>,
    state_hash: TypedFunc<(), i64>,
    layout: Layout,
    inputs: usize,
    outputs: usize,
    base: usize,
}

impl Reference {
    /// A fresh instance of `wasm`, which has passed the gate, with these parameters in the order of its metadata.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn new(wasm: &[u8], metadata: &Metadata, params: &[f64]) -> Result<Self, ReferenceError> {
        let mut config = Config::default();
        config.consume_fuel(true);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, wasm).map_err(ReferenceError::Module)?;
        let mut store = Store::new(&engine, ());
        store.set_fuel(FUEL).map_err(ReferenceError::Module)?;
        let instance = Linker::new(&engine)
            .instantiate_and_start(&mut store, &module)
            .map_err(ReferenceError::Module)?;
        let memory = instance
            .get_memory(&store, export::MEMORY)
            .ok_or(ReferenceError::Export(export::MEMORY))?;
        let area = i32_function(&instance, &store, export::AREA)?;
        let init = i32_function(&instance, &store, export::INIT)?;
        let address = area
            .call(&mut store, ())
            .map_err(ReferenceError::Trap)?
            .cast_unsigned();
        let mut reference = Self {
            process: i64_function(&instance, &store, export::PROCESS)?,
            state_hash: i64_function(&instance, &store, export::STATE_HASH)?,
            store,
            memory,
            layout: metadata.layout().ok_or(ReferenceError::Area(address))?,
            inputs: metadata.inputs.len(),
            outputs: metadata.outputs.len(),
            base: usize::try_from(address).map_err(|_| ReferenceError::Area(address))?,
        };
        for (index, param) in params.iter().enumerate() {
            reference.write(reference.layout.params, index * 8, &param.to_le_bytes())?;
        }
        match init.call(&mut reference.store, ()) {
            Ok(0) => Ok(reference),
            Ok(code) => Err(ReferenceError::Init(code)),
            Err(error) => Err(ReferenceError::Trap(error)),
        }
    }

    /// One frame. `samples` are bytes as they lie in the module's memory.
    ///
    /// # Errors
    /// [`ReferenceError::Trap`]; the instance is then not to be used again.
    pub fn process(
        &mut self,
        header: &Header,
        inputs: &[Input],
        samples: &[u8],
    ) -> Result<Raw, ReferenceError> {
        self.store.set_fuel(FUEL).map_err(ReferenceError::Trap)?;
        self.write(0, 0, &header_bytes(header))?;
        for (index, input) in inputs.iter().take(self.inputs).enumerate() {
            let mut bytes = input.value.to_le_bytes().to_vec();
            bytes.extend(input.quality.to_le_bytes());
            bytes.extend(u32::from(input.changed).to_le_bytes());
            self.write(self.layout.inputs, index * 16, &bytes)?;
        }
        for index in 0..self.outputs {
            let bad = [[0; 8], [2, 0, 0, 0, 0, 0, 0, 0]].concat();
            self.write(self.layout.outputs, index * 16, &bad)?;
        }
        self.write(self.layout.samples, 0, samples)?;
        let verdict = self
            .process
            .call(&mut self.store, ())
            .map_err(ReferenceError::Trap)?;
        let outputs = (0..self.outputs)
            .map(|index| self.output(index))
            .collect::<Result<_, _>>()?;
        Ok(Raw { verdict, outputs })
    }

    /// The module's hash of its state.
    ///
    /// # Errors
    /// [`ReferenceError::Trap`].
    pub fn state_hash(&mut self) -> Result<u64, ReferenceError> {
        self.store.set_fuel(FUEL).map_err(ReferenceError::Trap)?;
        self.state_hash
            .call(&mut self.store, ())
            .map(i64::cast_unsigned)
            .map_err(ReferenceError::Trap)
    }

    fn output(&self, index: usize) -> Result<(u64, u32, u32), ReferenceError> {
        let mut bytes = [0; 16];
        let at = self.at(self.layout.outputs, index * 16);
        self.memory
            .read(&self.store, at, &mut bytes)
            .map_err(|_| self.outside())?;
        let [a, b, c, d, e, f, g, h, q0, q1, q2, q3, r0, r1, r2, r3] = bytes;
        Ok((
            u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            u32::from_le_bytes([q0, q1, q2, q3]),
            u32::from_le_bytes([r0, r1, r2, r3]),
        ))
    }

    fn write(&mut self, part: u32, offset: usize, bytes: &[u8]) -> Result<(), ReferenceError> {
        let at = self.at(part, offset);
        let written = self.memory.write(&mut self.store, at, bytes);
        written.map_err(|_| self.outside())
    }

    fn at(&self, part: u32, offset: usize) -> usize {
        self.base
            .saturating_add(usize::try_from(part).unwrap_or(usize::MAX))
            .saturating_add(offset)
    }

    fn outside(&self) -> ReferenceError {
        ReferenceError::Area(u32::try_from(self.base).unwrap_or(u32::MAX))
    }
}

/// The header, field by field as the ABI's table lists them.
fn header_bytes(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend(header.samples.to_le_bytes());
    bytes.extend(header.flags.0.to_le_bytes());
    bytes.extend(header.at_ns.to_le_bytes());
    bytes.extend(header.sequence.to_le_bytes());
    bytes.extend(header.rate_hz.to_le_bytes());
    bytes.extend(header.scale.to_le_bytes());
    bytes.extend(header.offset.to_le_bytes());
    bytes.extend([0; 16]);
    bytes
}

fn i32_function(
    instance: &Instance,
    store: &Store<()>,
    name: &'static str,
) -> Result<TypedFunc<(), i32>, ReferenceError> {
    instance
        .get_typed_func(store, name)
        .map_err(|_| ReferenceError::Export(name))
}

fn i64_function(
    instance: &Instance,
    store: &Store<()>,
    name: &'static str,
) -> Result<TypedFunc<(), i64>, ReferenceError> {
    instance
        .get_typed_func(store, name)
        .map_err(|_| ReferenceError::Export(name))
}

#[cfg(test)]
mod tests {
    use rules_sdk_abi::Flags;
    use rules_sdk_abi::metadata::Metadata;

    use super::*;

    /// Adds its input and its parameter, counts its calls; the second call traps when the input is 13.
    const ADDER: &str = r#"(module
        (memory (export "memory") 1 1)
        (global $calls (mut i64) (i64.const 0))
        (func (export "tl_area") (result i32) (i32.const 32))
        (func (export "tl_init") (result i32) (i32.const 0))
        (func (export "tl_process") (result i64)
            (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
            (if (f64.eq (f64.load (i32.const 112)) (f64.const 13)) (then unreachable))
            (f64.store (i32.const 128) (f64.add (f64.load (i32.const 112)) (f64.load (i32.const 96))))
            (i32.store (i32.const 136) (i32.const 0))
            (i64.const 2))
        (func (export "tl_state_hash") (result i64) (global.get $calls)))"#;

    fn metadata() -> Metadata {
        Metadata::parse(
            br#"{"abi":"core/1","name":"adder","version":1,"inputs":[{"name":"a","unit":"1"}],
            "outputs":[{"name":"sum","unit":"1","min":-9,"max":99}],
            "params":[{"name":"b","unit":"1","min":0,"max":9}],"worst_case":{"fuel":99}}"#,
        )
        .unwrap()
    }

    fn header() -> Header {
        Header {
            samples: 0,
            flags: Flags::RESTARTED,
            at_ns: 5,
            sequence: 0,
            rate_hz: 0.0,
            scale: 1.0,
            offset: 0.0,
        }
    }

    fn input(value: f64) -> [Input; 1] {
        [Input {
            value,
            quality: 0,
            changed: true,
        }]
    }

    #[test]
    fn a_module_is_interpreted_over_frames() {
        let wasm = wat::parse_str(ADDER).unwrap();
        let mut reference = Reference::new(&wasm, &metadata(), &[0.5]).unwrap();
        let raw = reference.process(&header(), &input(3.0), &[]).unwrap();
        assert_eq!(raw.verdict, 2);
        assert_eq!(raw.outputs, [(3.5_f64.to_bits(), 0, 0)]);
        assert_eq!(reference.state_hash().unwrap(), 1);
        let trapped = reference.process(&header(), &input(13.0), &[]);
        assert!(matches!(trapped, Err(ReferenceError::Trap(_))));
    }

    #[test]
    fn an_area_outside_memory_is_refused() {
        let wasm = wat::parse_str(ADDER.replace("(i32.const 32))", "(i32.const 65520))")).unwrap();
        let refused = Reference::new(&wasm, &metadata(), &[0.5]);
        assert!(matches!(refused, Err(ReferenceError::Area(65_520))));
    }

    #[test]
    fn the_header_is_what_the_product_writes() {
        let header = Header {
            samples: 7,
            flags: Flags::GAP,
            at_ns: u64::MAX,
            sequence: 3,
            rate_hz: 12_000.5,
            scale: -0.25,
            offset: 1e-9,
        };
        assert_eq!(header_bytes(&header), rules_sdk_abi::encode_header(&header));
    }
}
