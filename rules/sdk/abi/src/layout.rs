//! Layout of the exchange area. All offsets are from the address that `tl_area` returned.

/// Bytes of the header.
pub const HEADER_BYTES: u32 = 64;
/// Bytes of a parameter.
pub const PARAM_BYTES: u32 = 8;
/// Bytes of an input or output.
pub const VALUE_BYTES: u32 = 16;

/// How waveform samples lie in the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum SampleFormat {
    /// IEEE 754 single, scaled by the host to the unit of the metadata.
    F32,
    /// As the device sent it; the header carries scale and offset.
    I16,
}

impl SampleFormat {
    /// Bytes of one sample.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::F32 => 4,
            Self::I16 => 2,
        }
    }
}

/// Where everything is, from the counts in the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Parameters, 8 bytes each.
    pub params: u32,
    /// Inputs, 16 bytes each.
    pub inputs: u32,
    /// Outputs, 16 bytes each.
    pub outputs: u32,
    /// Samples.
    pub samples: u32,
    /// End of the area.
    pub bytes: u32,
}

impl Layout {
    /// The layout for so many parameters, inputs, outputs, and samples of a waveform; `None` when it exceeds 32 bits.
    pub fn new(
        params: u32,
        inputs: u32,
        outputs: u32,
        waveform: Option<(SampleFormat, u32)>,
    ) -> Option<Self> {
        let params_at = HEADER_BYTES;
        let inputs_at = params_at
            .checked_add(params.checked_mul(PARAM_BYTES)?)?
            .checked_next_multiple_of(16)?;
        let outputs_at = inputs_at.checked_add(inputs.checked_mul(VALUE_BYTES)?)?;
        let samples_at = outputs_at.checked_add(outputs.checked_mul(VALUE_BYTES)?)?;
        let samples =
            waveform.map_or(Some(0), |(format, count)| count.checked_mul(format.bytes()))?;
        Some(Self {
            params: params_at,
            inputs: inputs_at,
            outputs: outputs_at,
            samples: samples_at,
            bytes: samples_at.checked_add(samples)?,
        })
    }
}

/// Bits of the header's flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// First frame of this instance.
    pub const RESTARTED: Self = Self(1);
    /// Samples are missing before this block.
    pub const GAP: Self = Self(2);
    /// A stimulus, given to a shadow instance.
    pub const CANARY: Self = Self(4);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What the host tells with each call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Header {
    /// Samples in the block; 0 for none.
    pub samples: u32,
    /// Flags.
    pub flags: Flags,
    /// Arrival, monotonic nanoseconds.
    pub at_ns: u64,
    /// Sequence number of the block.
    pub sequence: u64,
    /// Samples a second.
    pub rate_hz: f64,
    /// value = raw x scale + offset.
    pub scale: f64,
    /// See `scale`.
    pub offset: f64,
}

/// The header's bytes, as they lie in the guest's memory.
#[inline]
pub fn encode_header(header: &Header) -> [u8; 64] {
    let words = [
        u64::from(header.samples) | u64::from(header.flags.0) << 32,
        header.at_ns,
        header.sequence,
        header.rate_hz.to_bits(),
        header.scale.to_bits(),
        header.offset.to_bits(),
    ];
    let mut bytes = [0; 64];
    for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_laid_out_as_the_abi_says() {
        let layout = Layout::new(3, 2, 1, Some((SampleFormat::F32, 4))).unwrap();
        assert_eq!(
            layout,
            Layout {
                params: 64,
                inputs: 96,
                outputs: 128,
                samples: 144,
                bytes: 160
            }
        );
        assert_eq!(Layout::new(0, 1, 1, None).unwrap().bytes, 96);
        assert_eq!(Layout::new(u32::MAX, 0, 0, None), None);
        assert_eq!(
            Layout::new(0, 0, 0, Some((SampleFormat::I16, u32::MAX))),
            None
        );
    }

    #[test]
    fn a_header_is_encoded_as_the_abi_says() {
        let bytes = encode_header(&Header {
            samples: 0x0102_0304,
            flags: Flags::RESTARTED.with(Flags::GAP),
            at_ns: 0x1122_3344_5566_7788,
            sequence: 9,
            rate_hz: 12_000.0,
            scale: 0.5,
            offset: -1.0,
        });
        assert_eq!(bytes[..4], [4, 3, 2, 1]);
        assert_eq!(bytes[4..8], [3, 0, 0, 0]);
        assert_eq!(
            bytes[8..16],
            [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]
        );
        assert_eq!(bytes[16..24], [9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[24..32], 12_000.0_f64.to_le_bytes());
        assert_eq!(bytes[32..40], 0.5_f64.to_le_bytes());
        assert_eq!(bytes[40..48], (-1.0_f64).to_le_bytes());
        assert_eq!(bytes[48..], [0; 16]);
    }
}
