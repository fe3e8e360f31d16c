//! What can be wrong with a frame or a reply: `Copy`, numeric, with what was expected and what came.

/// A read that the protocol does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestError {
    /// The count is 0 or above the table's limit.
    Count {
        /// Largest count of the table.
        max: u16,
        /// Count asked for.
        received: u16,
    },
    /// The range goes beyond address 65535.
    AddressRange {
        /// First address.
        address: u16,
        /// Count asked for.
        count: u16,
    },
}

/// A header that no Modbus/TCP frame has. Nothing after it can be trusted: the stream has lost its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameError {
    /// The protocol field is not 0.
    Protocol {
        /// What it is.
        received: u16,
    },
    /// The length field is outside 2..=254 (H-11).
    Length {
        /// What it is.
        received: u16,
    },
}

/// A complete frame that is not the reply to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyError {
    /// The request itself is not allowed, so no reply to it is.
    Request(RequestError),
    /// Fewer bytes than a header, a function code and one more byte.
    Short {
        /// Bytes of the ADU.
        received: usize,
    },
    /// The header is none of Modbus/TCP.
    Frame(FrameError),
    /// Another transaction: a late or a repeated reply (H-7, H-13).
    Transaction {
        /// Sent with the request.
        expected: u16,
        /// Found in the reply.
        received: u16,
    },
    /// Another unit (H-8).
    Unit {
        /// Sent with the request.
        expected: u8,
        /// Found in the reply.
        received: u8,
    },
    /// Another function (H-8).
    Function {
        /// Sent with the request.
        expected: u8,
        /// Found in the reply.
        received: u8,
    },
    /// The ADU is longer or shorter than the reply to this request must be (H-9), or than its own length field says.
    Length {
        /// Bytes of a right ADU.
        expected: usize,
        /// Bytes of this one.
        received: usize,
    },
    /// The byte count does not fit the count asked for (H-9).
    ByteCount {
        /// Bytes of data asked for.
        expected: u16,
        /// Byte count of the reply.
        received: u8,
    },
    /// The write's echo names another address.
    EchoAddress {
        /// Written to.
        expected: u16,
        /// Echoed.
        received: u16,
    },
    /// The write's echo carries another value.
    EchoValue {
        /// Written; a coil is `0xFF00` or `0x0000`.
        expected: u16,
        /// Echoed.
        received: u16,
    },
    /// The device refuses the request (H-10). The connection is sound; the values are not there.
    Exception(ExceptionCode),
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Protocol { received } => {
                write!(
                    f,
                    "the protocol field is {received}, not 0: is this port Modbus/TCP?"
                )
            }
            Self::Length { received } => write!(f, "the length field is {received}, not 2 to 254"),
        }
    }
}

impl core::fmt::Display for ReplyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Request(RequestError::Count { max, received }) => {
                write!(
                    f,
                    "the request asks for {received} values, at most {max} are allowed"
                )
            }
            Self::Request(RequestError::AddressRange { address, count }) => {
                write!(
                    f,
                    "the request asks for {count} values from address {address}: beyond 65535"
                )
            }
            Self::Short { received } => write!(f, "only {received} bytes"),
            Self::Frame(error) => error.fmt(f),
            Self::Transaction { expected, received } => {
                write!(
                    f,
                    "transaction {received} instead of {expected}: a late or repeated reply"
                )
            }
            Self::Unit { expected, received } => write!(f, "unit {received} instead of {expected}"),
            Self::Function { expected, received } => {
                write!(f, "function {received} instead of {expected}")
            }
            Self::Length { expected, received } => {
                write!(f, "{received} bytes instead of {expected}")
            }
            Self::ByteCount { expected, received } => {
                write!(f, "{received} bytes of data instead of {expected}")
            }
            Self::EchoAddress { expected, received } => {
                write!(f, "address {received} echoed instead of {expected}")
            }
            Self::EchoValue { expected, received } => {
                write!(f, "value {received} echoed instead of {expected}")
            }
            Self::Exception(code) => write!(f, "exception {code}"),
        }
    }
}

impl core::fmt::Display for ExceptionCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = match self {
            Self::IllegalFunction => "illegal function",
            Self::IllegalDataAddress => "illegal data address",
            Self::IllegalDataValue => "illegal data value",
            Self::ServerDeviceFailure => "server device failure",
            Self::Acknowledge => "acknowledge",
            Self::ServerDeviceBusy => "server device busy",
            Self::MemoryParityError => "memory parity error",
            Self::GatewayPathUnavailable => "gateway path unavailable",
            Self::GatewayTargetFailedToRespond => "gateway target failed to respond",
            Self::Unlisted(_) => "not in the standard",
        };
        write!(f, "{} ({name})", self.byte())
    }
}

/// Why a device refuses a request (the protocol, 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExceptionCode {
    /// 1: the device does not know the function.
    IllegalFunction,
    /// 2: an address of the range does not exist.
    IllegalDataAddress,
    /// 3: a count or value is not allowed.
    IllegalDataValue,
    /// 4: the device failed while it tried.
    ServerDeviceFailure,
    /// 5: accepted, takes long.
    Acknowledge,
    /// 6: busy with a long command.
    ServerDeviceBusy,
    /// 8: its memory failed a parity check.
    MemoryParityError,
    /// 10: the gateway has no path to the unit.
    GatewayPathUnavailable,
    /// 11: the unit behind the gateway did not answer.
    GatewayTargetFailedToRespond,
    /// Any code that the standard does not list, 0 and 255 among them.
    Unlisted(u8),
}

impl ExceptionCode {
    /// From the byte on the wire. The only way to make one that keeps [`Self::Unlisted`] for codes that are not listed.
    pub const fn from_byte(code: u8) -> Self {
        match code {
            1 => Self::IllegalFunction,
            2 => Self::IllegalDataAddress,
            3 => Self::IllegalDataValue,
            4 => Self::ServerDeviceFailure,
            5 => Self::Acknowledge,
            6 => Self::ServerDeviceBusy,
            8 => Self::MemoryParityError,
            0x0A => Self::GatewayPathUnavailable,
            0x0B => Self::GatewayTargetFailedToRespond,
            other => Self::Unlisted(other),
        }
    }

    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        match self {
            Self::IllegalFunction => 1,
            Self::IllegalDataAddress => 2,
            Self::IllegalDataValue => 3,
            Self::ServerDeviceFailure => 4,
            Self::Acknowledge => 5,
            Self::ServerDeviceBusy => 6,
            Self::MemoryParityError => 8,
            Self::GatewayPathUnavailable => 0x0A,
            Self::GatewayTargetFailedToRespond => 0x0B,
            Self::Unlisted(code) => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exception_byte_survives_the_type_h_10() {
        for code in 0..=u8::MAX {
            let typed = ExceptionCode::from_byte(code);
            assert_eq!(typed.byte(), code);
            let listed = matches!(code, 1..=6 | 8 | 0x0A | 0x0B);
            assert_eq!(
                !matches!(typed, ExceptionCode::Unlisted(_)),
                listed,
                "code {code}"
            );
        }
    }
}
