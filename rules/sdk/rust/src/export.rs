//! The static that the exports work on, and the exports.
//!
//! The only unsafe code of the SDK: an export has a fixed name and no receiver, so that its state is a static.
#![allow(unsafe_code, reason = "a static that is written needs it")]

use core::cell::UnsafeCell;

/// An instance in a static. Only [`crate::export!`] makes one.
#[derive(Debug)]
pub struct Shared<T>(UnsafeCell<T>);

// SAFETY: the exports exist for `wasm32` only, where the gate refuses modules with threads: nobody shares it.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The instance, in a static.
    pub const fn new(instance: T) -> Self {
        Self(UnsafeCell::new(instance))
    }

    /// Where it lies: in a guest, the address that `tl_area` returns.
    pub const fn address(&self) -> *mut T {
        self.0.get()
    }

    /// Runs `call` on the instance.
    ///
    /// # Safety
    /// Called by an export only, once at a time. The host writes into the area between calls, never within.
    pub unsafe fn with<R>(&self, call: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: no other reference exists: an export makes the only one and drops it before it returns, no export calls
        // another, and a module without threads is in one export at a time.
        call(unsafe { &mut *self.0.get() })
    }
}

/// Makes the exports of the ABI for an [`crate::Analyzer`], once a module. In a native build it checks the type and makes
/// nothing, so that the same crate is tested natively.
#[macro_export]
macro_rules! export {
    ($analyzer:ty) => {
        const _: () = {
            use $crate::{Analyzer, Instance, Shared};

            type Exported = Instance<
                $analyzer,
                { <$analyzer as Analyzer>::PARAMS },
                { <$analyzer as Analyzer>::INPUTS },
                { <$analyzer as Analyzer>::OUTPUTS },
                { <$analyzer as Analyzer>::SAMPLES },
            >;

            static SHARED: Shared<Exported> = Shared::new(Exported::new());

            #[cfg(not(target_arch = "wasm32"))]
            const _: &Shared<Exported> = &SHARED;

            #[cfg(target_arch = "wasm32")]
            #[unsafe(no_mangle)]
            extern "C" fn tl_area() -> *mut Exported {
                SHARED.address()
            }

            #[cfg(target_arch = "wasm32")]
            #[unsafe(no_mangle)]
            extern "C" fn tl_init() -> i32 {
                // SAFETY: this is an export.
                unsafe { SHARED.with(Exported::init) }
            }

            #[cfg(target_arch = "wasm32")]
            #[unsafe(no_mangle)]
            extern "C" fn tl_process() -> i64 {
                // SAFETY: this is an export.
                unsafe { SHARED.with(Exported::process) }
            }

            #[cfg(target_arch = "wasm32")]
            #[unsafe(no_mangle)]
            extern "C" fn tl_state_hash() -> i64 {
                // SAFETY: this is an export.
                unsafe { SHARED.with(|instance| instance.state_hash()) }
            }
        };
    };
}
