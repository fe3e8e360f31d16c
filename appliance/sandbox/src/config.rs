//! One function builds the configuration for compiler and guard: artefacts load only under the tunables they were
//! compiled with.

use drivers_frame::DurNs;
use rt_config::limits;
use wasmtime::Config;

/// Why no engine could be made.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine refused its configuration on this host: {0}")]
pub struct EngineError(#[source] pub(crate) wasmtime::Error);

/// The process's WebAssembly engine. Make one a process and share it.
#[derive(Clone)]
pub struct Engine(pub(crate) wasmtime::Engine);

impl Engine {
    /// An engine with Tripline's configuration.
    ///
    /// # Errors
    /// [`EngineError`] when the host cannot run it (another architecture, missing CPU features).
    pub fn new() -> Result<Self, EngineError> {
        wasmtime::Engine::new(&config())
            .map(Self)
            .map_err(EngineError)
    }

    /// A handle for the thread that moves the engine's epoch on, once each [`limits::EPOCH_TICK_US`].
    pub fn ticker(&self) -> Ticker {
        Ticker(self.0.clone())
    }

    /// Ticks after which a call that started now has used up `deadline`: never fewer than it lasts. The first tick may
    /// come at once, so one is added.
    pub(crate) fn ticks(&self, deadline: DurNs) -> u64 {
        let tick = DurNs::from_us(limits::EPOCH_TICK_US).as_ns();
        deadline.as_ns().div_ceil(tick).saturating_add(1)
    }

    /// Sets up what wasmtime needs on the calling thread (a signal stack), so that a lane's first call does not.
    pub fn prepare_thread(&self) {
        wasmtime::Engine::tls_eager_initialize();
    }
}

/// Moves the engine's epoch on: the deadline of analyzers that does not depend on fuel (H-35).
///
/// A thread of the guard, of a priority not below the lanes' and on another core, calls [`Ticker::tick`] once each
/// [`limits::EPOCH_TICK_US`]. A call with deadline D is stopped between D and D plus two ticks, at the next function entry,
/// loop or bulk operation; what lies between two of those is at most one bulk operation over a module's whole
/// memory, or the longest function without a loop. A ticker that is late is a deadline that is late; one that stands still
/// leaves fuel as the only bound.
#[derive(Clone)]
pub struct Ticker(wasmtime::Engine);

impl Ticker {
    /// One tick. An atomic addition.
    pub fn tick(&self) {
        self.0.increment_epoch();
    }
}

/// Every choice here is either a bound, determinism, or the removal of what no rule needs.
fn config() -> Config {
    let mut config = Config::new();
    // The bound: deterministic, exact for straight-line rules.
    config.consume_fuel(true);
    // The bound that does not depend on what fuel is worth: fuel is not time.
    config.epoch_interruption(true);
    // A trap by signal takes microseconds, by explicit check a fraction of one, for a few percent on small kernels.
    config.signals_based_traps(false);
    // Reserve what a module may declare, not 4 GiB of address space a memory: under mlockall reservations count.
    config.memory_reservation(RESERVATION_BYTES);
    config.memory_reservation_for_growth(0);
    config.memory_guard_size(0);
    config.memory_may_move(false);
    // Copy-on-write initialisation faults at the first write, on the lane.
    config.memory_init_cow(false);
    config.table_lazy_init(false);
    config.max_wasm_stack(64 * 1024);
    // A rule's call neither prints nor formats a backtrace.
    config.wasm_backtrace_max_frames(None);
    config.wasm_simd(false);
    config.wasm_relaxed_simd(false);
    config.wasm_tail_call(false);
    config.wasm_multi_memory(false);
    config.wasm_memory64(false);
    config.wasm_wide_arithmetic(false);
    config.wasm_custom_page_sizes(false);
    #[cfg(feature = "compile")]
    {
        // The same bits for the same frames on every host.
        config.cranelift_nan_canonicalization(true);
        config.cranelift_opt_level(wasmtime::OptLevel::Speed);
    }
    config
}

const RESERVATION_BYTES: u64 = 1024 * 1024;
const _: () = assert!(
    limits::RULE_MEMORY_BYTES_MAX == 1024 * 1024,
    "the reservation is the largest memory a module may have"
);
