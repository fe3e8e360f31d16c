//! The sealing allocator: after a thread sealed itself, every allocation it makes is counted.
//!
//! In the guard the count is a metric; in tests it must be zero. The program that wants it declares
//! `#[global_allocator] static ALLOCATOR: SealingAllocator = SealingAllocator;`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, counting what sealed threads ask of it.
pub struct SealingAllocator;

static BROKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // Constant initialisation and no destructor: reading it allocates nothing and works while a thread ends.
    static SEALED: Cell<bool> = const { Cell::new(false) };
}

/// Seals the calling thread: from now on it should not allocate or free.
pub fn seal() {
    SEALED.with(|sealed| sealed.set(true));
}

/// Lifts the seal of the calling thread, for shutting down.
pub fn unseal() {
    SEALED.with(|sealed| sealed.set(false));
}

/// Allocations, reallocations and frees made by sealed threads of this process so far.
pub fn broken_seals() -> u64 {
    BROKEN.load(Ordering::Relaxed)
}

fn count() {
    if SEALED.try_with(Cell::get).unwrap_or(false) {
        BROKEN.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every method hands its arguments unchanged to `System`, which upholds GlobalAlloc's contract, and `count`
// neither allocates nor unwinds.
#[expect(unsafe_code, reason = "a global allocator is an unsafe trait")]
unsafe impl GlobalAlloc for SealingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises for `alloc` are System's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: `pointer` came from System with this layout, since every allocation here does.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `dealloc`; the new size is the caller's promise.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: SealingAllocator = SealingAllocator;

    #[test]
    fn only_a_sealed_thread_is_counted() {
        std::thread::spawn(|| {
            let before = broken_seals();
            drop(std::hint::black_box(vec![1_u8; 64]));
            assert_eq!(broken_seals(), before);
            seal();
            drop(std::hint::black_box(vec![1_u8; 64]));
            let counted = broken_seals() - before;
            unseal();
            assert_eq!(counted, 2, "I11: one allocation and one free");
        })
        .join()
        .unwrap();
    }
}
