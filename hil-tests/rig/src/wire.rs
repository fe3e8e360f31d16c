//! Modbus/TCP bytes as a server sees them, written for the rig alone.
//!
//! What: cuts a byte stream into requests. Thread: the device's. Blocks: never. Allocates: never.
//! Source: MODBUS Application Protocol V1.1b3; MODBUS Messaging on TCP/IP V1.0b.

/// Bytes of the MBAP header: transaction, protocol, length, unit.
pub(crate) const HEADER_BYTES: usize = 7;
/// Bytes of the largest ADU (Messaging on TCP/IP, 4.1).
pub(crate) const ADU_BYTES_MAX: usize = 260;

/// What stands at the head of the received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// Not yet a whole request.
    Incomplete,
    /// A whole request of this many bytes.
    Request(usize),
    /// Not Modbus/TCP: the stream cannot be followed any further.
    Broken,
}

/// Looks at the head of `bytes`.
pub(crate) fn head(bytes: &[u8]) -> Head {
    if bytes.len() < HEADER_BYTES {
        return Head::Incomplete;
    }
    let protocol = u16_at(bytes, 2);
    let length = usize::from(u16_at(bytes, 4));
    // Unit and function at least; at most the unit and a PDU of 253 bytes.
    if protocol != 0 || !(2..=254).contains(&length) {
        return Head::Broken;
    }
    let total = 6 + length;
    if bytes.len() < total {
        Head::Incomplete
    } else {
        Head::Request(total)
    }
}

/// The big-endian number at `at`. The caller has checked the length.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// A request of the floor program: function, two numbers.
pub(crate) fn short_request(transaction: u16, function: u8, first: u16, second: u16) -> [u8; 12] {
    let [t1, t0] = transaction.to_be_bytes();
    let [a1, a0] = first.to_be_bytes();
    let [b1, b0] = second.to_be_bytes();
    [t1, t0, 0, 0, 0, 6, 1, function, a1, a0, b1, b0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_cut_at_its_length_and_not_before() {
        let request = short_request(7, 3, 0, 1);
        for cut in 0..request.len() {
            assert_eq!(head(&request[..cut]), Head::Incomplete, "{cut} bytes");
        }
        assert_eq!(head(&request), Head::Request(12));
        let mut two = request.to_vec();
        two.extend_from_slice(&request);
        assert_eq!(head(&two), Head::Request(12));
    }

    #[test]
    fn impossible_lengths_and_protocols_are_broken() {
        for length in [0_u16, 1, 255, u16::MAX] {
            let mut request = short_request(1, 3, 0, 1);
            request[4..6].copy_from_slice(&length.to_be_bytes());
            assert_eq!(head(&request), Head::Broken, "length {length}");
        }
        let mut request = short_request(1, 3, 0, 1);
        request[3] = 1;
        assert_eq!(head(&request), Head::Broken);
    }
}
