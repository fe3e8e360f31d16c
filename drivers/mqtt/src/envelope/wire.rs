//! The envelope's bytes: header, check, and both directions.

use crate::config::{CheckConfig, ConfigError, check_source};
use hmac::{Hmac, Mac};
use rt_config::limits::{
    ENVELOPE_HEADER_BYTES_MAX, ENVELOPE_KEY_BYTES_MAX, ENVELOPE_KEY_BYTES_MIN,
    ENVELOPE_SOURCE_BYTES_MAX,
};
use sha2::Sha256;
use std::fmt;

/// First word of a header: the format and its version.
const MAGIC: &[u8] = b"TLE1 ";
/// Bytes of the longest check, HMAC-SHA-256.
const CHECK_BYTES_MAX: usize = 32;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'m> {
    /// Who sent it.
    pub source: &'m str,
    /// Counts by one and wraps.
    pub sequence: u32,
    /// The source's clock, in ns since 1970.
    pub time_ns: u64,
}

/// A message taken apart; not yet believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter<'m> {
    /// What it says of itself.
    pub header: Header<'m>,
    /// What it carries.
    pub payload: &'m [u8],
    /// The header without its check: what the check is over, beside topic and payload.
    signed: &'m [u8],
    check: [u8; CHECK_BYTES_MAX],
    check_length: usize,
}

/// Takes a message apart. `None` when it is not an envelope, or not written as one is.
pub fn open(message: &[u8]) -> Option<Letter<'_>> {
    let head = message
        .get(..ENVELOPE_HEADER_BYTES_MAX.saturating_add(1))
        .unwrap_or(message);
    let end = head.iter().position(|byte| *byte == b'\n')?;
    let payload = message.get(end.saturating_add(1)..)?;
    let line = message.get(..end)?;
    let before = line.iter().rposition(|byte| *byte == b' ')?;
    let signed = line.get(..before)?;
    let (check, check_length) = unhex(line.get(before.saturating_add(1)..)?)?;
    let mut words = signed.strip_prefix(MAGIC)?.split(|byte| *byte == b' ');
    let source = std::str::from_utf8(words.next()?).ok()?;
    if !is_source(source) {
        return None;
    }
    let sequence = u32::try_from(decimal(words.next()?)?).ok()?;
    let time_ns = decimal(words.next()?)?;
    if words.next().is_some() {
        return None;
    }
    Some(Letter {
        header: Header {
            source,
            sequence,
            time_ns,
        },
        payload,
        signed,
        check,
        check_length,
    })
}

/// Whether `source` can be a source's name: printable ASCII without spaces.
pub(crate) fn is_source(source: &str) -> bool {
    !source.is_empty()
        && source.len() <= ENVELOPE_SOURCE_BYTES_MAX
        && source.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A decimal number as it is written in one way only: digits, no leading zero.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The value of a lower-case hexadecimal digit.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => digit.checked_sub(b'0'),
        b'a'..=b'f' => digit.checked_sub(b'a')?.checked_add(10),
        _ => None,
    }
}

fn unhex(digits: &[u8]) -> Option<([u8; CHECK_BYTES_MAX], usize)> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || pairs.is_empty() || pairs.len() > CHECK_BYTES_MAX {
        return None;
    }
    let mut check = [0; CHECK_BYTES_MAX];
    for ([high, low], byte) in pairs.iter().zip(&mut check) {
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some((check, pairs.len()))
}

/// How damage and forgery are seen, ready for use.
#[derive(Clone)]
pub enum Check {
    /// CRC-32C (Castagnoli; RFC 3720, 12.1), big-endian: against damage.
    Crc32c,
    /// HMAC-SHA-256 (RFC 2104): against forgery. Holds the state after the key, so that a message costs no key set-up.
    HmacSha256(Box<Hmac<Sha256>>),
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc32c => "Crc32c",
            Self::HmacSha256(_) => "HmacSha256(..)",
        })
    }
}

impl Check {
    /// Prepares the key.
    ///
    /// # Errors
    /// [`ConfigError::Key`] when the key is too short or too long.
    pub fn new(config: &CheckConfig) -> Result<Self, ConfigError> {
        let CheckConfig::HmacSha256 { key } = config else {
            return Ok(Self::Crc32c);
        };
        let key = key.expose();
        if !(ENVELOPE_KEY_BYTES_MIN..=ENVELOPE_KEY_BYTES_MAX).contains(&key.len()) {
            return Err(ConfigError::Key(key.len()));
        }
        Hmac::<Sha256>::new_from_slice(key)
            .map(|hmac| Self::HmacSha256(Box::new(hmac)))
            .map_err(|_| ConfigError::Key(key.len()))
    }

    /// Whether `letter` was written for `topic` with this check. An HMAC is compared in constant time.
    pub fn fits(&self, topic: &str, letter: &Letter<'_>) -> bool {
        let given = letter.check.get(..letter.check_length).unwrap_or_default();
        match self {
            Self::Crc32c => given == crc(topic, letter.signed, letter.payload),
            Self::HmacSha256(key) => mac(key, topic, letter.signed, letter.payload)
                .verify_slice(given)
                .is_ok(),
        }
    }
}

fn crc(topic: &str, signed: &[u8], payload: &[u8]) -> [u8; 4] {
    let parts = [topic.as_bytes(), b"\n", signed, b"\n", payload];
    parts
        .iter()
        .fold(0, |crc, part| crc32c::crc32c_append(crc, part))
        .to_be_bytes()
}

fn mac(key: &Hmac<Sha256>, topic: &str, signed: &[u8], payload: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    for part in [topic.as_bytes(), b"\n", signed, b"\n", payload] {
        mac.update(part);
    }
    mac
}

/// The sending side: puts a source's payloads into envelopes, counting.
#[derive(Debug)]
pub struct Sealer {
    topic: String,
    source: String,
    check: Check,
    next: u32,
}

impl Sealer {
    /// For one source on one topic, from sequence 0.
    ///
    /// # Errors
    /// [`ConfigError`]: a name that cannot stand in a header, a key that is too short or too long.
    pub fn new(topic: &str, source: &str, check: &CheckConfig) -> Result<Self, ConfigError> {
        check_source(topic, source)?;
        Ok(Self {
            topic: topic.into(),
            source: source.into(),
            check: Check::new(check)?,
            next: 0,
        })
    }

    /// The sequence number of the next message.
    #[must_use]
    pub fn from_sequence(mut self, next: u32) -> Self {
        self.next = next;
        self
    }

    /// The message for `payload` at the source's time `time_ns`, in ns since 1970.
    pub fn seal(&mut self, time_ns: u64, payload: &[u8]) -> Vec<u8> {
        let signed = format!("TLE1 {} {} {time_ns}", self.source, self.next);
        self.next = self.next.wrapping_add(1);
        let check = match &self.check {
            Check::Crc32c => hex(&crc(&self.topic, signed.as_bytes(), payload)),
            Check::HmacSha256(key) => hex(&mac(key, &self.topic, signed.as_bytes(), payload)
                .finalize()
                .into_bytes()),
        };
        let mut message = format!("{signed} {check}\n").into_bytes();
        message.extend_from_slice(payload);
        message
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
