//! A lane's rule module: slots in its memory, one exported function a rule.

use rt_config::{limits, reserve};
use wasmtime::{Memory, Module, Store, TypedFunc};

use crate::Engine;

/// Bytes of one slot: an f64 (little-endian) at +0, an i32 "usable" flag (0 or 1) at +8, 4 bytes unused.
pub const SLOT_BYTES: usize = 16;

/// Machine code that may be executed.
///
/// Loading foreign bytes as machine code is arbitrary code execution; this type marks the place where somebody vouches.
pub struct NativeCode<'a>(&'a [u8]);

impl<'a> NativeCode<'a> {
    /// Vouches for `bytes`.
    ///
    /// # Safety
    /// `bytes` must be the unchanged output of [`Engine`]'s own ahead-of-time compiler: taken from a bundle whose content
    /// hash was verified over these very bytes in memory, and that came from somebody trusted to run code here.
    #[expect(
        unsafe_code,
        reason = "the one place where machine code is vouched for"
    )]
    pub const unsafe fn vouch(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The module in it.
    pub(crate) fn module(&self, engine: &Engine) -> Result<Module, wasmtime::Error> {
        // SAFETY: `NativeCode` can only be made by `vouch`, whose caller promises that these bytes came unchanged out of
        // this crate's own compiler.
        #[expect(unsafe_code, reason = "machine code that was vouched for")]
        unsafe {
            Module::deserialize(&engine.0, self.0)
        }
    }
}

/// Why a rule module could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Another version, other settings, or another CPU.
    #[error(
        "the machine code does not fit this program or this CPU: {0:#}. Build the bundle again on this host"
    )]
    Artefact(#[source] wasmtime::Error),
    /// The module could not be set up.
    #[error("the rule module could not be set up: {0:#}")]
    Instantiate(#[source] wasmtime::Error),
    /// It has imports: rule modules have none.
    #[error("the rule module has {0} imports; none is allowed")]
    Imports(usize),
    /// A required export is missing or has another type.
    #[error("the rule module does not export {0} as expected")]
    Export(String),
    /// Its memory is too small, too large, or may grow.
    #[error(
        "the rule module's memory is {bytes} bytes (growth allowed: {grows}); {needed} are needed, at most {max} allowed, and no growth"
    )]
    Memory {
        /// Bytes it has.
        bytes: usize,
        /// Whether it may grow.
        grows: bool,
        /// Bytes that the lane's slots need.
        needed: usize,
        /// The limit.
        max: usize,
    },
}

/// What went wrong in a call. Each is a danger verdict of the rule (H-35 to H-38), never a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// The module trapped.
    Trap,
    /// It used more fuel than its compiler computed.
    FuelExceeded {
        /// The bound.
        bound: u64,
        /// What it used; the bound plus one when it was stopped.
        used: u64,
    },
    /// There is no such rule or slot.
    NoSuchIndex,
}

/// A lane's rule module, instantiated.
pub struct RuleModule {
    store: Store<()>,
    memory: Memory,
    rules: Vec<TypedFunc<i32, i32>>,
}

/// Ticks that no process lives to see, and that can be added to any epoch: at 100 microseconds, 29 million years.
const NO_DEADLINE: u64 = u64::MAX / 2;

/// Fuel a call starts with, beyond any bound a rule can have: what was used is measured after the call and compared
/// with the rule's own bound; the tank only stops what runs away.
const TANK: u64 = 1 << 20;
#[expect(
    clippy::as_conversions,
    reason = "a constant that fits, compared at compile time"
)]
const _: () = assert!(
    TANK > 32 * limits::EXPRESSION_OPS_MAX as u64,
    "the tank must hold more than the largest rule needs: an operation takes at most 17 fuel"
);

impl RuleModule {
    /// Loads a module with `rules` exported functions `r0..` of type `(i32) -> i32` and a memory for `slots` slots.
    /// Touches all of its memory.
    ///
    /// # Errors
    /// [`LoadError`]; the module is then not used at all.
    pub fn load(
        engine: &Engine,
        code: &NativeCode<'_>,
        rules: usize,
        slots: usize,
    ) -> Result<Self, LoadError> {
        let module = code.module(engine).map_err(LoadError::Artefact)?;
        Self::instantiate(engine, &module, rules, slots)
    }

    /// As [`RuleModule::load`], from WebAssembly, which is compiled now: for whoever has the compiler and needs no
    /// artefact.
    ///
    /// # Errors
    /// [`LoadError`]; the module is then not used at all.
    #[cfg(feature = "compile")]
    pub fn from_wasm(
        engine: &Engine,
        wasm: &[u8],
        rules: usize,
        slots: usize,
    ) -> Result<Self, LoadError> {
        let module = Module::new(&engine.0, wasm).map_err(LoadError::Artefact)?;
        Self::instantiate(engine, &module, rules, slots)
    }

    fn instantiate(
        engine: &Engine,
        module: &Module,
        rules: usize,
        slots: usize,
    ) -> Result<Self, LoadError> {
        let imports = module.imports().len();
        if imports != 0 {
            return Err(LoadError::Imports(imports));
        }
        let mut store = Store::new(&engine.0, ());
        store.set_fuel(TANK).map_err(LoadError::Instantiate)?;
        // A rule is bounded by its fuel alone: straight-line code of known length.
        store.set_epoch_deadline(NO_DEADLINE);
        let instance =
            wasmtime::Instance::new(&mut store, module, &[]).map_err(LoadError::Instantiate)?;
        let memory = instance
            .get_memory(&mut store, "memory")
            .ok_or_else(|| LoadError::Export("memory".into()))?;
        check_memory(&memory, &store, slots)?;
        memory.data_mut(&mut store).fill(0);
        let rules = (0..rules)
            .map(|index| {
                let name = format!("r{index}");
                instance
                    .get_typed_func::<i32, i32>(&mut store, &name)
                    .map_err(|_| LoadError::Export(name))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            store,
            memory,
            rules,
        })
    }

    /// Writes one slot. A few nanoseconds; no allocation.
    ///
    /// # Errors
    /// [`CallFault::NoSuchIndex`] when the slot lies outside the module's memory.
    pub fn set_slot(&mut self, slot: usize, value: f64, usable: bool) -> Result<(), CallFault> {
        let start = slot.saturating_mul(SLOT_BYTES);
        let cell = self
            .memory
            .data_mut(&mut self.store)
            .get_mut(start..start.saturating_add(SLOT_BYTES))
            .and_then(|cell| cell.first_chunk_mut::<SLOT_BYTES>())
            .ok_or(CallFault::NoSuchIndex)?;
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        *cell = [
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            u8::from(usable),
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        Ok(())
    }

    /// Calls a rule and returns what it said (0 false, 1 true, 2 bad; anything else is the lane's comparison fault).
    ///
    /// `bound` is the fuel that the rule's compiler computed; using more is a fault even when the call came back.
    ///
    /// # Errors
    /// [`CallFault`]: the rule's verdict is then danger.
    pub fn call(&mut self, rule: usize, hold: bool, bound: u64) -> Result<i32, CallFault> {
        let function = self.rules.get(rule).ok_or(CallFault::NoSuchIndex)?;
        if self.store.set_fuel(TANK).is_err() {
            return Err(CallFault::Trap);
        }
        // A trap allocates its record inside wasmtime; it is dropped below, wherever it came from.
        let result = reserve::within(|| function.call(&mut self.store, i32::from(hold)));
        let left = self.store.get_fuel().unwrap_or(0);
        let used = TANK.saturating_sub(left);
        match result {
            Ok(_) if used > bound => Err(CallFault::FuelExceeded { bound, used }),
            Ok(verdict) => Ok(verdict),
            Err(_) if left == 0 => Err(CallFault::FuelExceeded { bound, used }),
            Err(_) => Err(CallFault::Trap),
        }
    }

    /// Calls a rule and returns the fuel it used: for tests and for `tripline check`.
    ///
    /// # Errors
    /// As [`RuleModule::call`].
    pub fn fuel_used(&mut self, rule: usize, hold: bool) -> Result<u64, CallFault> {
        self.call(rule, hold, u64::MAX)?;
        Ok(TANK.saturating_sub(self.store.get_fuel().unwrap_or(0)))
    }
}

fn check_memory(memory: &Memory, store: &Store<()>, slots: usize) -> Result<(), LoadError> {
    let bytes = memory.data_size(store);
    let kind = memory.ty(store);
    let grows = kind.maximum() != Some(kind.minimum());
    let needed = slots.saturating_mul(SLOT_BYTES);
    if grows || bytes < needed || bytes > limits::RULE_MEMORY_BYTES_MAX {
        return Err(LoadError::Memory {
            bytes,
            grows,
            needed,
            max: limits::RULE_MEMORY_BYTES_MAX,
        });
    }
    Ok(())
}
