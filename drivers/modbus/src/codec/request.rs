//! Requests and their bytes. Every request this client sends is an ADU of 12 bytes.

use rt_config::limits::MODBUS_REGISTERS_MAX;

use super::RequestError;

/// Bytes of every request: 7 of header, 5 of PDU.
pub const REQUEST_BYTES: usize = 12;
/// Bits one read may ask for by the protocol (6.1, 6.2). The plan stays below it.
const PROTOCOL_BITS_MAX: u16 = 2_000;

/// One of the four data tables of a device (the protocol, 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Read-write bits; read with function 1.
    Coils,
    /// Read-only bits; read with function 2.
    DiscreteInputs,
    /// Read-write 16-bit words; read with function 3.
    HoldingRegisters,
    /// Read-only 16-bit words; read with function 4.
    InputRegisters,
}

impl core::fmt::Display for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Coils => "coils",
            Self::DiscreteInputs => "discrete inputs",
            Self::HoldingRegisters => "holding registers",
            Self::InputRegisters => "input registers",
        })
    }
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 4] = [
        Self::Coils,
        Self::DiscreteInputs,
        Self::HoldingRegisters,
        Self::InputRegisters,
    ];

    /// The function code that reads the table (the protocol, 6.1 to 6.4).
    pub const fn read_function(self) -> u8 {
        match self {
            Self::Coils => 1,
            Self::DiscreteInputs => 2,
            Self::HoldingRegisters => 3,
            Self::InputRegisters => 4,
        }
    }

    /// Whether the table holds bits rather than registers.
    pub const fn is_bits(self) -> bool {
        matches!(self, Self::Coils | Self::DiscreteInputs)
    }

    /// How many bits or registers one read may ask for by the protocol.
    pub const fn count_max(self) -> u16 {
        if self.is_bits() {
            PROTOCOL_BITS_MAX
        } else {
            MODBUS_REGISTERS_MAX
        }
    }

    /// Bytes of data that `count` bits or registers take in a reply.
    pub(crate) const fn data_bytes(self, count: u16) -> u16 {
        if self.is_bits() {
            count.div_ceil(8)
        } else {
            count.saturating_mul(2)
        }
    }
}

/// A read of `count` bits or registers from `address` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadRequest {
    /// Which table.
    pub table: Table,
    /// First address, counted from 0 as on the wire (documentation often counts from 1, 30001 or 40001).
    pub address: u16,
    /// Bits or registers, from 1 to [`Table::count_max`].
    pub count: u16,
}

impl ReadRequest {
    /// Whether the protocol allows the request.
    ///
    /// # Errors
    /// [`RequestError`] when the count is 0 or above the table's limit, or the range leaves the address space.
    pub const fn check(&self) -> Result<(), RequestError> {
        let max = self.table.count_max();
        if self.count == 0 || self.count > max {
            return Err(RequestError::Count {
                max,
                received: self.count,
            });
        }
        if self
            .address
            .checked_add(self.count.saturating_sub(1))
            .is_none()
        {
            return Err(RequestError::AddressRange {
                address: self.address,
                count: self.count,
            });
        }
        Ok(())
    }
}

/// A write of one coil or one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteRequest {
    /// Write single coil (function 5; the protocol, 6.5).
    Coil {
        /// Coil address, counted from 0.
        address: u16,
        /// `0xFF00` when true, `0x0000` when false.
        on: bool,
    },
    /// Write single register (function 6; the protocol, 6.6).
    Register {
        /// Register address, counted from 0.
        address: u16,
        /// The new value.
        value: u16,
    },
}

impl WriteRequest {
    /// The function code.
    pub const fn function(&self) -> u8 {
        match self {
            Self::Coil { .. } => 5,
            Self::Register { .. } => 6,
        }
    }

    /// The address written to.
    pub const fn address(&self) -> u16 {
        match *self {
            Self::Coil { address, .. } | Self::Register { address, .. } => address,
        }
    }

    /// The value as it goes over the wire: a coil is `0xFF00` or `0x0000`.
    pub const fn wire_value(&self) -> u16 {
        match *self {
            Self::Coil { on: true, .. } => 0xFF00,
            Self::Coil { on: false, .. } => 0x0000,
            Self::Register { value, .. } => value,
        }
    }
}

/// Writes the ADU of a read into `buf`.
///
/// Infallible, so that it may run where no error can be handled; a request that [`ReadRequest::check`] refuses is encoded
/// as it stands, and no reply to it is ever accepted.
pub fn encode_read(
    buf: &mut [u8; REQUEST_BYTES],
    transaction: u16,
    unit: u8,
    request: &ReadRequest,
) {
    let function = request.table.read_function();
    *buf = adu(transaction, unit, function, request.address, request.count);
}

/// Writes the ADU of a write into `buf`.
pub fn encode_write(
    buf: &mut [u8; REQUEST_BYTES],
    transaction: u16,
    unit: u8,
    request: &WriteRequest,
) {
    *buf = adu(
        transaction,
        unit,
        request.function(),
        request.address(),
        request.wire_value(),
    );
}

/// All requests have the same shape: address and one more word.
const fn adu(
    transaction: u16,
    unit: u8,
    function: u8,
    address: u16,
    second: u16,
) -> [u8; REQUEST_BYTES] {
    let [t1, t0] = transaction.to_be_bytes();
    let [a1, a0] = address.to_be_bytes();
    let [s1, s0] = second.to_be_bytes();
    // Protocol 0; length 6: unit and the five bytes of the PDU.
    [t1, t0, 0, 0, 0, 6, unit, function, a1, a0, s1, s0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: Table, address: u16, count: u16) -> [u8; REQUEST_BYTES] {
        let mut buf = [0xEE; REQUEST_BYTES];
        let request = ReadRequest {
            table,
            address,
            count,
        };
        encode_read(&mut buf, 0x1501, 0xFF, &request);
        buf
    }

    /// The PDUs are the examples of the protocol's sections 6.1 to 6.6, the header that of the guide's 3.1.3.
    #[test]
    fn requests_are_byte_exact_to_the_examples_of_the_standard() {
        let header = [0x15, 0x01, 0x00, 0x00, 0x00, 0x06, 0xFF];
        let cases = [
            (read(Table::Coils, 0x0013, 19), [1, 0x00, 0x13, 0x00, 0x13]),
            (
                read(Table::DiscreteInputs, 0x00C4, 22),
                [2, 0x00, 0xC4, 0x00, 0x16],
            ),
            (
                read(Table::HoldingRegisters, 0x006B, 3),
                [3, 0x00, 0x6B, 0x00, 0x03],
            ),
            (
                read(Table::InputRegisters, 0x0008, 1),
                [4, 0x00, 0x08, 0x00, 0x01],
            ),
        ];
        for (adu, pdu) in cases {
            assert_eq!(adu[..7], header);
            assert_eq!(adu[7..], pdu);
        }
        let mut buf = [0; REQUEST_BYTES];
        let coil = WriteRequest::Coil {
            address: 0x00AC,
            on: true,
        };
        encode_write(&mut buf, 0x1501, 0xFF, &coil);
        assert_eq!(buf[..7], header);
        assert_eq!(buf[7..], [5, 0x00, 0xAC, 0xFF, 0x00]);
        let off = WriteRequest::Coil {
            address: 0x00AC,
            on: false,
        };
        encode_write(&mut buf, 1, 2, &off);
        assert_eq!(buf, [0, 1, 0, 0, 0, 6, 2, 5, 0x00, 0xAC, 0x00, 0x00]);
        let register = WriteRequest::Register {
            address: 0x0001,
            value: 0x0003,
        };
        encode_write(&mut buf, 0x1501, 0xFF, &register);
        assert_eq!(buf[7..], [6, 0x00, 0x01, 0x00, 0x03]);
    }

    #[test]
    fn counts_and_ranges_outside_the_protocol_are_refused() {
        for table in Table::ALL {
            let at = |address, count| {
                ReadRequest {
                    table,
                    address,
                    count,
                }
                .check()
            };
            let max = table.count_max();
            assert_eq!(at(0, 1), Ok(()));
            assert_eq!(at(0, max), Ok(()));
            assert_eq!(at(0, 0), Err(RequestError::Count { max, received: 0 }));
            let over = max + 1;
            assert_eq!(
                at(0, over),
                Err(RequestError::Count {
                    max,
                    received: over
                })
            );
            assert_eq!(at(u16::MAX, 1), Ok(()));
            assert_eq!(
                at(u16::MAX, 2),
                Err(RequestError::AddressRange {
                    address: u16::MAX,
                    count: 2
                })
            );
        }
    }
}
