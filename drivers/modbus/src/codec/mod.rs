//! Modbus/TCP frames: requests to bytes, bytes to checked replies. Pure, no allocation, constant time.
//!
//! Sources: MODBUS Application Protocol Specification V1.1b3 ("the protocol") and MODBUS Messaging on TCP/IP
//! Implementation Guide V1.0b ("the guide"). An ADU is the 7-byte MBAP header (transaction, protocol 0, length of what
//! follows, unit; all big-endian; the guide, 3.1.3) and a PDU of at most 253 bytes.
//!
//! Which thread: a lane. May it block: no. Worst case: one pass over 260 bytes.
//! Hazards: H-8, H-9, H-10, H-11, and the byte part of H-7, H-12, H-13.

mod error;
mod reader;
mod reply;
mod request;
pub mod server;

pub use error::{ExceptionCode, FrameError, ReplyError, RequestError};
pub use reader::{FrameReader, Framing};
pub(crate) use reply::check_read_head;
pub use reply::{ReplyData, check_read_reply, check_write_reply};
pub use request::{REQUEST_BYTES, ReadRequest, Table, WriteRequest, encode_read, encode_write};

/// Bytes of the MBAP header: transaction, protocol, length, unit (the guide, 3.1.3).
pub const HEADER_BYTES: usize = 7;
/// Bytes before the part that the length field counts.
pub(crate) const PREFIX_BYTES: usize = 6;
/// Smallest length field: unit and function.
pub const LENGTH_MIN: u16 = 2;
/// Largest length field: unit and a PDU of 253 bytes (the guide, 4.1).
pub const LENGTH_MAX: u16 = 254;
/// Set in the function code of an exception reply (the protocol, 7).
pub(crate) const EXCEPTION_FLAG: u8 = 0x80;

/// The big-endian word at `at`, if both its bytes are there.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let end = at.checked_add(2)?;
    let pair: [u8; 2] = bytes.get(at..end)?.try_into().ok()?;
    Some(u16::from_be_bytes(pair))
}
