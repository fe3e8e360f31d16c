//! Whether a complete ADU is the reply to a request, and a view of its data.

use drivers_frame::planted;

use super::{
    EXCEPTION_FLAG, ExceptionCode, FrameError, HEADER_BYTES, PREFIX_BYTES, REQUEST_BYTES,
    ReadRequest, ReplyError, WriteRequest, word,
};

/// Bytes of an exception reply: header, function, code.
const EXCEPTION_BYTES: usize = 9;
/// Bytes before the data of a read reply: header, function, byte count.
const READ_DATA_AT: usize = 9;

/// The data of a checked read reply: exactly the bits or registers asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyData<'a> {
    data: &'a [u8],
    bits: bool,
    count: u16,
}

impl ReplyData<'_> {
    /// How many bits or registers there are: as many as asked for.
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// Register `index`, counted from the request's address; `None` beyond the count or in a reply of bits.
    pub fn register(&self, index: u16) -> Option<u16> {
        word(self.registers(index, 1)?, 0)
    }

    /// The bytes of `width` registers from `index` on, counted from the request's address: two each, the more significant
    /// first. `None` when they reach beyond the count, and in a reply of bits.
    #[inline]
    pub fn registers(&self, index: u16, width: usize) -> Option<&[u8]> {
        if self.bits {
            return None;
        }
        // As many bytes as registers were asked for, and no more: what lies within them was asked for.
        let start = usize::from(index).checked_mul(2)?;
        let end = width.checked_mul(2)?.checked_add(start)?;
        self.data.get(start..end)
    }

    /// Bit `index`, counted from the request's address; `None` beyond the count or in a reply of registers. The first
    /// bit is the least significant of the first byte (the protocol, 6.1).
    pub fn bit(&self, index: u16) -> Option<bool> {
        if !self.bits || index >= self.count {
            return None;
        }
        let [low, _] = index.to_le_bytes();
        let byte = self.data.get(usize::from(index >> 3))?;
        Some((byte >> (low & 7)) & 1 == 1)
    }
}

/// Checks that `adu` is the reply to `request`: protocol 0, its own length, transaction, unit, function, byte count and
/// exact length (H-7, H-8, H-9). Only then is there data to look at.
///
/// # Errors
/// [`ReplyError`] with what was expected and what came; [`ReplyError::Exception`] when the device refuses (H-10). After
/// any other error the stream is out of step and the connection must be closed.
pub fn check_read_reply<'a>(
    adu: &'a [u8],
    transaction: u16,
    unit: u8,
    request: &ReadRequest,
) -> Result<ReplyData<'a>, ReplyError> {
    check_read_head(adu, adu.len(), transaction, unit, request)?;
    Ok(ReplyData {
        data: adu.get(READ_DATA_AT..).unwrap_or(&[]),
        bits: request.table.is_bits(),
        count: request.count,
    })
}

/// The same of an ADU of `length` bytes, given its first nine (or all, when it has fewer): everything but the data.
///
/// # Errors
/// As [`check_read_reply`].
pub(crate) fn check_read_head(
    head: &[u8],
    length: usize,
    transaction: u16,
    unit: u8,
    request: &ReadRequest,
) -> Result<(), ReplyError> {
    request.check().map_err(ReplyError::Request)?;
    check_head(
        head,
        length,
        transaction,
        unit,
        request.table.read_function(),
    )?;
    let expected = request.table.data_bytes(request.count);
    let received = head
        .get(HEADER_BYTES.saturating_add(1))
        .copied()
        .unwrap_or(0);
    if u16::from(received) != expected {
        return Err(ReplyError::ByteCount { expected, received });
    }
    check_length(length, READ_DATA_AT.saturating_add(usize::from(expected)))
}

/// Checks that `adu` is the full echo of `request`: transaction, unit, function, address, value, length.
///
/// # Errors
/// As [`check_read_reply`]. Only `Ok` says that the device took the write; whether the coil followed is for a read-back
/// to say (H-58).
pub fn check_write_reply(
    adu: &[u8],
    transaction: u16,
    unit: u8,
    request: &WriteRequest,
) -> Result<(), ReplyError> {
    check_head(adu, adu.len(), transaction, unit, request.function())?;
    check_length(adu.len(), REQUEST_BYTES)?;
    let received = word(adu, 8).unwrap_or(0);
    let expected = request.address();
    if received != expected {
        return Err(ReplyError::EchoAddress { expected, received });
    }
    let received = word(adu, 10).unwrap_or(0);
    let expected = request.wire_value();
    if received != expected {
        return Err(ReplyError::EchoValue { expected, received });
    }
    Ok(())
}

/// Everything up to and with the function code, and an exception reply as a whole. The ADU has `bytes` bytes, of which
/// the first nine must be given.
fn check_head(
    adu: &[u8],
    bytes: usize,
    transaction: u16,
    unit: u8,
    function: u8,
) -> Result<(), ReplyError> {
    let (Some(own_transaction), Some(protocol), Some(length), Some([own_unit, own_function, last])) = (
        word(adu, 0),
        word(adu, 2),
        word(adu, 4),
        adu.get(PREFIX_BYTES..EXCEPTION_BYTES),
    ) else {
        return Err(ReplyError::Short {
            received: adu.len(),
        });
    };
    if protocol != 0 {
        return Err(ReplyError::Frame(FrameError::Protocol {
            received: protocol,
        }));
    }
    check_length(bytes, PREFIX_BYTES.saturating_add(usize::from(length)))?;
    if own_transaction != transaction && !planted!(LateReplyMatched) {
        return Err(ReplyError::Transaction {
            expected: transaction,
            received: own_transaction,
        });
    }
    if *own_unit != unit && !planted!(WrongUnitAccepted) {
        return Err(ReplyError::Unit {
            expected: unit,
            received: *own_unit,
        });
    }
    if *own_function == function | EXCEPTION_FLAG {
        check_length(bytes, EXCEPTION_BYTES)?;
        return Err(ReplyError::Exception(ExceptionCode::from_byte(*last)));
    }
    if *own_function != function && !planted!(WrongFunctionAccepted) {
        return Err(ReplyError::Function {
            expected: function,
            received: *own_function,
        });
    }
    Ok(())
}

const fn check_length(received: usize, expected: usize) -> Result<(), ReplyError> {
    if received == expected {
        Ok(())
    } else {
        Err(ReplyError::Length { expected, received })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::*;

    const TWO: ReadRequest = ReadRequest {
        table: Table::HoldingRegisters,
        address: 0,
        count: 2,
    };
    const GOOD: [u8; 13] = [0, 7, 0, 0, 0, 7, 1, 3, 4, 0xDE, 0xAD, 0xBE, 0xEF];

    fn with(at: usize, value: u8) -> [u8; 13] {
        let mut adu = GOOD;
        adu[at] = value;
        adu
    }

    fn check(adu: &[u8]) -> Result<ReplyData<'_>, ReplyError> {
        check_read_reply(adu, 7, 1, &TWO)
    }

    #[test]
    fn a_right_reply_gives_its_registers_and_no_others() {
        let data = check(&GOOD).unwrap();
        assert_eq!(data.register(0), Some(0xDEAD));
        assert_eq!(data.register(1), Some(0xBEEF));
        assert_eq!(data.register(2), None);
        assert_eq!(data.registers(0, 2), Some(&[0xDE, 0xAD, 0xBE, 0xEF][..]));
        assert_eq!(data.registers(1, 2), None);
        assert_eq!(data.bit(0), None);
    }

    /// The reply of the protocol's example in 6.1: coils 20 to 38 as CD 6B 05.
    #[test]
    fn bits_come_lowest_first_as_in_the_example_of_the_standard() {
        let request = ReadRequest {
            table: Table::Coils,
            address: 0x13,
            count: 19,
        };
        let adu = [0, 1, 0, 0, 0, 6, 9, 1, 3, 0xCD, 0x6B, 0x05];
        let data = check_read_reply(&adu, 1, 9, &request).unwrap();
        let bits: String = (0..19)
            .map(|i| if data.bit(i).unwrap() { '1' } else { '0' })
            .collect();
        assert_eq!(bits, "1011001111010110101");
        assert_eq!(data.bit(19), None);
        assert_eq!(data.register(0), None);
    }

    #[test]
    fn h_7_h_8_another_transaction_unit_or_function_is_no_reply() {
        assert_eq!(
            check(&with(1, 6)),
            Err(ReplyError::Transaction {
                expected: 7,
                received: 6
            })
        );
        assert_eq!(
            check(&with(6, 2)),
            Err(ReplyError::Unit {
                expected: 1,
                received: 2
            })
        );
        assert_eq!(
            check(&with(7, 4)),
            Err(ReplyError::Function {
                expected: 3,
                received: 4
            })
        );
        assert_eq!(
            check(&with(3, 1)),
            Err(ReplyError::Frame(FrameError::Protocol { received: 1 }))
        );
    }

    #[test]
    fn h_9_none_one_or_three_registers_are_not_two() {
        for registers in [0u8, 1, 3, 4, 125] {
            let bytes = registers * 2;
            let mut adu = vec![0, 7, 0, 0, 0, bytes + 3, 1, 3, bytes];
            adu.resize(9 + usize::from(bytes), 0x55);
            assert_eq!(
                check(&adu),
                Err(ReplyError::ByteCount {
                    expected: 4,
                    received: bytes
                })
            );
        }
    }

    #[test]
    fn h_9_a_byte_count_that_lies_is_refused_either_way() {
        // The count says two registers, one or three are there.
        for bytes in [2u8, 6] {
            let mut adu = vec![0, 7, 0, 0, 0, bytes + 3, 1, 3, 4];
            adu.resize(9 + usize::from(bytes), 0x55);
            let received = adu.len();
            assert_eq!(
                check(&adu),
                Err(ReplyError::Length {
                    expected: 13,
                    received
                })
            );
        }
        // Two are there, the count says otherwise; and an odd count.
        for count in [0, 2, 3, 5, 6, 255] {
            assert_eq!(
                check(&with(8, count)),
                Err(ReplyError::ByteCount {
                    expected: 4,
                    received: count
                })
            );
        }
    }

    #[test]
    fn a_slice_that_is_not_as_long_as_its_length_field_says_is_refused() {
        for end in 0..GOOD.len() {
            let error = check(&GOOD[..end]).unwrap_err();
            if end < 9 {
                assert_eq!(error, ReplyError::Short { received: end });
            } else {
                let expected = GOOD.len();
                assert_eq!(
                    error,
                    ReplyError::Length {
                        expected,
                        received: end
                    }
                );
            }
        }
    }

    #[test]
    fn h_10_exceptions_are_typed_and_have_exactly_nine_bytes() {
        for code in [1, 2, 3, 4, 5, 6, 8, 0x0A, 0x0B, 0, 255] {
            let adu = [0, 7, 0, 0, 0, 3, 1, 0x83, code];
            let expected = ExceptionCode::from_byte(code);
            assert_eq!(check(&adu), Err(ReplyError::Exception(expected)));
        }
        let long = [0, 7, 0, 0, 0, 4, 1, 0x83, 2, 0];
        assert_eq!(
            check(&long),
            Err(ReplyError::Length {
                expected: 9,
                received: 10
            })
        );
        let other_function = [0, 7, 0, 0, 0, 3, 1, 0x84, 2];
        assert_eq!(
            check(&other_function),
            Err(ReplyError::Function {
                expected: 3,
                received: 0x84
            })
        );
    }

    #[test]
    fn h_57_a_write_is_confirmed_by_its_full_echo_only() {
        let stop = WriteRequest::Coil {
            address: 0x0102,
            on: true,
        };
        let echo = [0, 9, 0, 0, 0, 6, 5, 5, 0x01, 0x02, 0xFF, 0x00];
        assert_eq!(check_write_reply(&echo, 9, 5, &stop), Ok(()));
        for at in 0..echo.len() {
            for value in 0..=u8::MAX {
                let mut wrong = echo;
                wrong[at] = value;
                let result = check_write_reply(&wrong, 9, 5, &stop);
                assert_eq!(result.is_ok(), wrong == echo, "byte {at} = {value}");
            }
        }
        let opposite = [0, 9, 0, 0, 0, 6, 5, 5, 0x01, 0x02, 0x00, 0x00];
        assert_eq!(
            check_write_reply(&opposite, 9, 5, &stop),
            Err(ReplyError::EchoValue {
                expected: 0xFF00,
                received: 0
            })
        );
        let mut longer = echo.to_vec();
        longer.push(0);
        longer[5] = 7;
        assert!(matches!(
            check_write_reply(&longer, 9, 5, &stop),
            Err(ReplyError::Length { .. })
        ));
    }

    #[test]
    fn a_request_that_the_protocol_forbids_has_no_reply() {
        let none = ReadRequest { count: 0, ..TWO };
        let adu = [0, 7, 0, 0, 0, 3, 1, 3, 0];
        assert!(matches!(
            check_read_reply(&adu, 7, 1, &none),
            Err(ReplyError::Request(_))
        ));
    }
}
