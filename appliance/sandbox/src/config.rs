//! One function builds the configuration for compiler and guard: artefacts load only under the tunables they were
//! compiled with.

use drivers_frame::{DurNs, MonoNs};
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

    /// Ticks after which a call that starts now has surely used up `deadline`. The first may come at once, and one that came
    /// late makes the next come early: so two are added.
    pub(crate) fn ticks(&self, deadline: DurNs) -> u64 {
        deadline.as_ns().div_ceil(TICK.as_ns()).saturating_add(2)
    }

    /// Sets up what wasmtime needs on the calling thread (a signal stack), so that a lane's first call does not.
    pub fn prepare_thread(&self) {
        wasmtime::Engine::tls_eager_initialize();
    }
}

/// Time between two ticks.
const TICK: DurNs = DurNs::from_us(limits::EPOCH_TICK_US);

/// Moves the engine's epoch on: the deadline of analyzers that does not depend on fuel (H-35).
///
/// A thread of the guard, of a priority above the lanes' and on another core, calls [`Ticker::tick`] at the times that
/// [`Ticker::next`] gives. A call with deadline D is then stopped no sooner than D and no later than D plus three ticks, at the
/// next function entry, loop or bulk operation; between two of those lies at most one bulk operation over a module's
/// whole memory (1 MiB: up to 0.4 ms on a slow host), or the longest function without a loop. A ticker that is late is a
/// deadline that is late by as much; one that stands still leaves fuel as the only bound.
#[derive(Clone)]
pub struct Ticker(wasmtime::Engine);

impl Ticker {
    /// One tick. An atomic addition.
    pub fn tick(&self) {
        self.0.increment_epoch();
    }

    /// When the tick after the one that was due at `due` is due, `now` that it has been made. One tick a time: several
    /// at once, to catch up, would end a call before its deadline.
    pub const fn next(due: MonoNs, now: MonoNs) -> MonoNs {
        let next = due.after(TICK);
        if next.as_ns() < now.as_ns() {
            now
        } else {
            next
        }
    }
}

/// The configuration without the bounds that are not asked for: so that a benchmark can say what they cost. Nothing else may
/// run under it.
#[cfg(feature = "compile")]
#[doc(hidden)]
pub fn config_for_benchmark(fuel: bool, epoch: bool) -> Config {
    let mut config = config();
    config.consume_fuel(fuel);
    config.epoch_interruption(epoch);
    config
}

/// Every choice here is either a bound, determinism, or the removal of what no rule needs.
fn config() -> Config {
    let mut config = Config::new();
    // The bound: deterministic, exact for straight-line rules.
    config.consume_fuel(true);
    config.operator_cost(crate::price::prices());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// When a call that began at `start` (within tick 0, right after it was made) is stopped, with ticks that are late by
    /// `late(n)`.
    fn stopped(engine: &Engine, deadline: DurNs, start: u64, late: impl Fn(u64) -> u64) -> u64 {
        let (mut due, mut left) = (MonoNs::ZERO, engine.ticks(deadline));
        let mut number = 0;
        loop {
            let made = MonoNs::from_ns(due.as_ns() + late(number));
            if made.as_ns() > start {
                left -= 1;
                if left == 0 {
                    return made.as_ns() - start;
                }
            }
            due = Ticker::next(due, made);
            number += 1;
        }
    }

    #[test]
    fn h35_a_deadline_is_never_early_and_three_ticks_late_at_most() {
        let engine = Engine::new().unwrap();
        let tick = TICK.as_ns();
        for deadline in [1, tick - 1, tick, tick + 1, 50 * tick, 51 * tick - 7] {
            for start in (0..tick).step_by(1_009) {
                // Punctual, all late, one late by up to a tick at every place.
                let late: [&dyn Fn(u64) -> u64; 4] = [
                    &|_| 0,
                    &|_| tick / 2,
                    &|number| if number % 3 == 1 { tick - 1 } else { 0 },
                    &|number| if number <= 1 { tick } else { 0 },
                ];
                for late in late {
                    let took = stopped(&engine, DurNs::from_ns(deadline), start, late);
                    assert!(took >= deadline, "H-35: early: {took} for {deadline}");
                    assert!(
                        took <= deadline + 4 * tick,
                        "H-35: late: {took} for {deadline}"
                    );
                }
                let took = stopped(&engine, DurNs::from_ns(deadline), start, |_| 0);
                assert!(
                    took <= deadline + 3 * tick,
                    "H-35: late: {took} for {deadline}"
                );
            }
            // A ticker that stood still for long does not make up for it.
            let took = stopped(&engine, DurNs::from_ns(deadline), 5, |number| {
                if number == 0 { 1_000 * tick } else { 0 }
            });
            assert!(took >= deadline, "H-35");
        }
    }
}
