//! The sealing allocator: after a thread sealed itself, every allocation it makes is counted.
//!
//! In the guard the count is a metric; in tests it must be zero. The program that wants it declares
//! `#[global_allocator] static ALLOCATOR: SealingAllocator = SealingAllocator;`.

use crate::reserve;
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

// SAFETY: every method hands its arguments unchanged to `System`, which upholds GlobalAlloc's contract, or to the reserve,
// whose places are as large and as aligned as was asked and belong to one owner at a time. Neither that nor `count`
// allocates or unwinds.
#[expect(unsafe_code, reason = "a global allocator is an unsafe trait")]
unsafe impl GlobalAlloc for SealingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(place) = reserve::take(layout) {
            return place;
        }
        count();
        // SAFETY: the caller's promises for `alloc` are System's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if reserve::give_back(pointer) {
            return;
        }
        count();
        // SAFETY: `pointer` came from System with this layout, since every allocation here does that is not the
        // reserve's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if let Some(place) = reserve::take(layout) {
            // SAFETY: a place of the reserve holds `layout.size()` bytes and is this caller's alone.
            unsafe { place.write_bytes(0, layout.size()) };
            return place;
        }
        count();
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if reserve::owns(pointer) {
            if reserve::fits(new_size) {
                return pointer;
            }
            // SAFETY: the caller promises that `new_size` and the alignment make a layout.
            let larger = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
            count();
            // SAFETY: `new_size` is not 0, since it exceeds a place.
            let moved = unsafe { System.alloc(larger) };
            if !moved.is_null() {
                // SAFETY: both hold `layout.size()` bytes, and memory that was just allocated overlaps nothing.
                unsafe { moved.copy_from_nonoverlapping(pointer, layout.size()) };
                reserve::give_back(pointer);
            }
            return moved;
        }
        count();
        // SAFETY: as for `alloc`; the new size is the caller's promise.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: SealingAllocator = SealingAllocator;
    /// The count is the process's: one test at a time.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

    #[test]
    fn only_a_sealed_thread_is_counted() {
        let _one = ONE.lock().unwrap();
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

    #[test]
    fn i11_what_is_allocated_within_the_reserve_is_no_broken_seal() {
        let _one = ONE.lock().unwrap();
        std::thread::spawn(|| {
            seal();
            let before = broken_seals();
            let (held, elsewhere) = reserve::within(|| {
                // Grown and shrunk within a place, zeroed, aligned.
                let mut grown = std::hint::black_box(Vec::with_capacity(8));
                grown.extend_from_slice(&[7_u8; 200]);
                grown.shrink_to_fit();
                assert_eq!(grown, [7; 200]);
                let zeroed = std::hint::black_box(vec![0_u64; 32]);
                assert!(zeroed.iter().all(|word| *word == 0));
                assert_eq!(zeroed.as_ptr().addr() % 64, 0);
                (grown, zeroed)
            });
            assert_eq!(broken_seals(), before, "I11");
            assert_eq!(reserve::in_use(), 2);
            drop(held);
            // The thread that frees it is another one.
            unseal();
            std::thread::spawn(move || drop(elsewhere)).join().unwrap();
            seal();
            assert_eq!((broken_seals(), reserve::in_use()), (before, 0), "I11");

            // What is too large, or one too many, comes from the system, and counts.
            reserve::within(|| drop(std::hint::black_box(vec![1_u8; 257])));
            assert_eq!(broken_seals(), before + 2);
            let mut all: [Option<Box<[u8; 256]>>; 65] = [const { None }; 65];
            reserve::within(|| {
                for one in &mut all {
                    *one = Some(std::hint::black_box(Box::new([3; 256])));
                }
            });
            assert_eq!((broken_seals(), reserve::in_use()), (before + 3, 64));
            let mut places: Vec<usize> = Vec::new();
            unseal();
            places.extend(all.iter().flatten().map(|one| one.as_ptr().addr()));
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), 65, "no place is given away twice");
            drop(all);
            assert_eq!(reserve::in_use(), 0);

            // A place that outgrows itself keeps what is in it.
            let mut outgrown = reserve::within(|| std::hint::black_box(vec![9_u8; 256]));
            assert_eq!(reserve::in_use(), 1);
            outgrown.extend_from_slice(&[9; 300]);
            assert_eq!((outgrown, reserve::in_use()), (vec![9; 556], 0));
        })
        .join()
        .unwrap();
    }
}
