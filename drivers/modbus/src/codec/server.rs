//! The other end: what a device decodes and answers. For simulated devices and for tests of this client; no lane runs it.
//!
//! It encodes what it is told to, wrong replies among it, because that is what tests need from it.

use rt_config::limits::MODBUS_ADU_BYTES_MAX;

use super::{
    EXCEPTION_FLAG, FrameError, HEADER_BYTES, PREFIX_BYTES, REQUEST_BYTES, ReadRequest, Table,
    WriteRequest, word,
};

/// A request as a device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// To be sent back.
    pub transaction: u16,
    /// To be sent back.
    pub unit: u8,
    /// What is asked.
    pub body: RequestBody,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// Functions 1 to 4.
    Read(ReadRequest),
    /// Functions 5 and 6.
    Write(WriteRequest),
}

/// Why bytes are no request that a device of this kind can answer with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestDecodeError {
    /// No Modbus/TCP header: drop the connection.
    Frame(FrameError),
    /// Not 12 bytes long.
    Length {
        /// Bytes of the ADU.
        received: usize,
    },
    /// To be answered with exception 1.
    Function {
        /// The function code.
        received: u8,
    },
    /// Neither `0xFF00` nor `0x0000` for a coil: to be answered with exception 3 (the protocol, 6.5).
    CoilValue {
        /// The value.
        received: u16,
    },
}

/// Decodes one request ADU.
///
/// # Errors
/// [`RequestDecodeError`].
pub fn decode_request(adu: &[u8]) -> Result<Request, RequestDecodeError> {
    let (Ok(&[_, _, _, _, _, _, unit, function, ..]), Some(transaction), Some(protocol)) = (
        <&[u8; REQUEST_BYTES]>::try_from(adu),
        word(adu, 0),
        word(adu, 2),
    ) else {
        return Err(RequestDecodeError::Length {
            received: adu.len(),
        });
    };
    if protocol != 0 {
        return Err(RequestDecodeError::Frame(FrameError::Protocol {
            received: protocol,
        }));
    }
    let length = word(adu, 4).unwrap_or(0);
    if length != 6 {
        return Err(RequestDecodeError::Frame(FrameError::Length {
            received: length,
        }));
    }
    let address = word(adu, 8).unwrap_or(0);
    let second = word(adu, 10).unwrap_or(0);
    Ok(Request {
        transaction,
        unit,
        body: decode_body(function, address, second)?,
    })
}

fn decode_body(function: u8, address: u16, second: u16) -> Result<RequestBody, RequestDecodeError> {
    let read = |table| {
        RequestBody::Read(ReadRequest {
            table,
            address,
            count: second,
        })
    };
    Ok(match function {
        1 => read(Table::Coils),
        2 => read(Table::DiscreteInputs),
        3 => read(Table::HoldingRegisters),
        4 => read(Table::InputRegisters),
        5 => RequestBody::Write(WriteRequest::Coil {
            address,
            on: match second {
                0xFF00 => true,
                0x0000 => false,
                received => return Err(RequestDecodeError::CoilValue { received }),
            },
        }),
        6 => RequestBody::Write(WriteRequest::Register {
            address,
            value: second,
        }),
        received => return Err(RequestDecodeError::Function { received }),
    })
}

/// A buffer that holds any reply.
pub type ReplyBuf = [u8; MODBUS_ADU_BYTES_MAX];

/// Writes a read reply of `registers` into `buf` and returns its bytes; `None` when they do not fit.
pub fn encode_registers<'a>(
    buf: &'a mut ReplyBuf,
    transaction: u16,
    unit: u8,
    table: Table,
    registers: &[u16],
) -> Option<&'a [u8]> {
    let mut data = [0; MODBUS_ADU_BYTES_MAX];
    let bytes = registers.len().checked_mul(2)?;
    let room = data.get_mut(..bytes)?;
    for (pair, register) in room.chunks_exact_mut(2).zip(registers) {
        pair.copy_from_slice(&register.to_be_bytes());
    }
    encode_data(buf, transaction, unit, table, room)
}

/// Writes a read reply of `bits` into `buf` and returns its bytes; `None` when they do not fit.
pub fn encode_bits<'a>(
    buf: &'a mut ReplyBuf,
    transaction: u16,
    unit: u8,
    table: Table,
    bits: &[bool],
) -> Option<&'a [u8]> {
    let mut data = [0; MODBUS_ADU_BYTES_MAX];
    let room = data.get_mut(..bits.len().div_ceil(8))?;
    // Folded from the last to the first, so that the first bit of a chunk, short or not, ends up lowest.
    for (byte, chunk) in room.iter_mut().zip(bits.chunks(8)) {
        *byte = chunk
            .iter()
            .rev()
            .fold(0, |byte, bit| (byte << 1) | u8::from(*bit));
    }
    encode_data(buf, transaction, unit, table, room)
}

fn encode_data<'a>(
    buf: &'a mut ReplyBuf,
    transaction: u16,
    unit: u8,
    table: Table,
    data: &[u8],
) -> Option<&'a [u8]> {
    let count = u8::try_from(data.len()).ok()?;
    let head = [table.read_function(), count];
    encode_pdu(buf, transaction, unit, &head, data)
}

/// Writes the echo that confirms `request` into `buf` and returns its bytes.
pub fn encode_write_reply<'a>(
    buf: &'a mut ReplyBuf,
    transaction: u16,
    unit: u8,
    request: &WriteRequest,
) -> Option<&'a [u8]> {
    let [a1, a0] = request.address().to_be_bytes();
    let [v1, v0] = request.wire_value().to_be_bytes();
    encode_pdu(
        buf,
        transaction,
        unit,
        &[request.function()],
        &[a1, a0, v1, v0],
    )
}

/// Writes an exception reply to `function` into `buf` and returns its bytes.
pub fn encode_exception(
    buf: &mut ReplyBuf,
    transaction: u16,
    unit: u8,
    function: u8,
    code: u8,
) -> Option<&[u8]> {
    encode_pdu(
        buf,
        transaction,
        unit,
        &[function | EXCEPTION_FLAG],
        &[code],
    )
}

fn encode_pdu<'a>(
    buf: &'a mut ReplyBuf,
    transaction: u16,
    unit: u8,
    head: &[u8],
    data: &[u8],
) -> Option<&'a [u8]> {
    let pdu = head.len().checked_add(data.len())?;
    let [l1, l0] = u16::try_from(pdu.checked_add(1)?).ok()?.to_be_bytes();
    let [t1, t0] = transaction.to_be_bytes();
    let header: [u8; HEADER_BYTES] = [t1, t0, 0, 0, l1, l0, unit];
    let end = PREFIX_BYTES.checked_add(1)?.checked_add(pdu)?;
    let whole = buf.get_mut(..end)?;
    let parts = header.iter().chain(head).chain(data);
    for (room, byte) in whole.iter_mut().zip(parts) {
        *room = *byte;
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::super::{check_read_reply, check_write_reply, encode_read, encode_write};
    use super::*;

    #[test]
    fn what_the_client_encodes_the_server_decodes() {
        let mut buf = [0; REQUEST_BYTES];
        for table in Table::ALL {
            let read = ReadRequest {
                table,
                address: 0x1234,
                count: 77,
            };
            encode_read(&mut buf, 0xABCD, 17, &read);
            let expected = Request {
                transaction: 0xABCD,
                unit: 17,
                body: RequestBody::Read(read),
            };
            assert_eq!(decode_request(&buf), Ok(expected));
        }
        for write in [
            WriteRequest::Coil {
                address: 3,
                on: true,
            },
            WriteRequest::Coil {
                address: 3,
                on: false,
            },
            WriteRequest::Register {
                address: 4,
                value: 0xFFFF,
            },
        ] {
            encode_write(&mut buf, 1, 2, &write);
            assert_eq!(
                decode_request(&buf).unwrap().body,
                RequestBody::Write(write)
            );
            let mut reply = [0; MODBUS_ADU_BYTES_MAX];
            let echo = encode_write_reply(&mut reply, 1, 2, &write).unwrap();
            assert_eq!(check_write_reply(echo, 1, 2, &write), Ok(()));
        }
    }

    #[test]
    fn bits_are_packed_as_the_client_reads_them() {
        for count in [1u16, 7, 8, 9, 19, 512] {
            let bits: Vec<bool> = (0..count).map(|i| i % 3 == 0).collect();
            let mut buf = [0; MODBUS_ADU_BYTES_MAX];
            let adu = encode_bits(&mut buf, 5, 6, Table::DiscreteInputs, &bits).unwrap();
            let request = ReadRequest {
                table: Table::DiscreteInputs,
                address: 0,
                count,
            };
            let data = check_read_reply(adu, 5, 6, &request).unwrap();
            let back: Vec<bool> = (0..count).map(|i| data.bit(i).unwrap()).collect();
            assert_eq!(back, bits);
        }
    }

    #[test]
    fn requests_that_are_none_are_named() {
        let good = [0, 1, 0, 0, 0, 6, 1, 5, 0, 1, 0xFF, 0];
        assert!(decode_request(&good).is_ok());
        let mut coil = good;
        coil[11] = 1;
        assert_eq!(
            decode_request(&coil),
            Err(RequestDecodeError::CoilValue { received: 0xFF01 })
        );
        let mut function = good;
        function[7] = 43;
        assert_eq!(
            decode_request(&function),
            Err(RequestDecodeError::Function { received: 43 })
        );
        assert_eq!(
            decode_request(&good[..11]),
            Err(RequestDecodeError::Length { received: 11 })
        );
        let too_many = [0u16; 126];
        let mut buf = [0; MODBUS_ADU_BYTES_MAX];
        assert_eq!(
            encode_registers(&mut buf, 1, 1, Table::InputRegisters, &too_many),
            None
        );
    }
}
