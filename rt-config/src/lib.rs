//! Every limit with its reason; the real-time host: thread plan, memory locking, pinning, the sealing allocator.

pub mod limits;
