//! A reserve of memory for allocations that cannot be avoided on a lane.
//!
//! A WebAssembly trap allocates twice inside wasmtime, before its caller sees it, and no setting avoids it. Within
//! [`within`] such allocations of the calling thread are served from memory that the program was loaded with: no lock, no
//! system call, a bounded number of instructions. They are given back to it by whichever thread frees them. What does
//! not fit goes to the system as ever, and is counted when the thread is sealed (H-28, I11).
//!
//! Takes effect in programs whose global allocator is [`SealingAllocator`](crate::seal::SealingAllocator).

use std::alloc::Layout;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one place. wasmtime's largest record of a trap takes about 120.
const PLACE_BYTES: usize = 256;
/// Places: one bit each of a word. Two live at a time, for the moment between a trap and its fault.
const PLACES: usize = 64;
const WORDS: usize = PLACES * PLACE_BYTES / 8;

/// Atomics, so that whoever is given a place may write to it; aligned for anything a place may be asked for.
#[repr(align(64))]
struct Memory([AtomicU64; WORDS]);

static MEMORY: Memory = Memory([const { AtomicU64::new(0) }; WORDS]);
/// A set bit is a place in use.
static USED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // Constant initialisation and no destructor: reading it allocates nothing and works while a thread ends.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; what it allocates on this thread comes from the reserve while that lasts.
pub fn within<R>(work: impl FnOnce() -> R) -> R {
    struct Leave(bool);
    impl Drop for Leave {
        fn drop(&mut self) {
            WITHIN.with(|within| within.set(self.0));
        }
    }
    let _leave = Leave(WITHIN.with(|within| within.replace(true)));
    work()
}

/// Places in use now. 0 whenever no call is running: a place that stays taken is a leak.
pub fn in_use() -> u32 {
    USED.load(Ordering::Relaxed).count_ones()
}

/// A place for this layout, when the thread is [`within`] and one is free.
pub(crate) fn take(layout: Layout) -> Option<*mut u8> {
    if layout.size() > PLACE_BYTES
        || layout.align() > align_of::<Memory>()
        || !WITHIN.try_with(Cell::get).unwrap_or(false)
    {
        return None;
    }
    // Every failed exchange means that another thread has just taken or given back one.
    let mut used = USED.load(Ordering::Relaxed);
    for _ in 0..PLACES {
        let place = (!used).trailing_zeros();
        let bit = 1_u64.checked_shl(place)?;
        // Acquire: what its last owner wrote is over before it is given away again.
        match USED.compare_exchange_weak(used, used | bit, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => {
                let offset = usize::try_from(place).ok()?.checked_mul(PLACE_BYTES)?;
                return Some(start().wrapping_add(offset));
            }
            Err(now) => used = now,
        }
    }
    None
}

/// Gives a place back. False when `pointer` is none of the reserve's.
pub(crate) fn give_back(pointer: *mut u8) -> bool {
    let offset = pointer.addr().wrapping_sub(start().addr());
    let place = offset / PLACE_BYTES;
    if place >= PLACES {
        return false;
    }
    let bit = u32::try_from(place)
        .ok()
        .and_then(|place| 1_u64.checked_shl(place));
    // Release: what was written to it happened before the next owner takes it.
    USED.fetch_and(!bit.unwrap_or(0), Ordering::Release);
    true
}

/// Whether `pointer` is one of the reserve's.
pub(crate) fn owns(pointer: *mut u8) -> bool {
    pointer.addr().wrapping_sub(start().addr()) < PLACES * PLACE_BYTES
}

/// Whether a place can hold so many bytes.
pub(crate) fn fits(bytes: usize) -> bool {
    bytes <= PLACE_BYTES
}

fn start() -> *mut u8 {
    MEMORY.0.as_ptr().cast_mut().cast()
}
