//! Limits of this crate that no other crate needs, with the reason for each value.

use rt_config::limits::MODBUS_ADU_BYTES_MAX;

/// Milliseconds after which the kernel gives up a connection whose bytes nobody acknowledges (`TCP_USER_TIMEOUT`). A
/// reply deadline finds a dead device sooner; this frees the connection of a sender that waits for no reply (H-15).
pub const USER_TIMEOUT_MS: u64 = 2_000;

/// Bytes asked of one `recv`. More than the largest reply, so that bytes beyond a reply are seen with it (H-13), and
/// small enough to stay in the first-level cache.
pub const RECV_BYTES: usize = 512;

const _: () = assert!(
    RECV_BYTES > MODBUS_ADU_BYTES_MAX,
    "a recv that asks for no more than a reply cannot see what follows it"
);
