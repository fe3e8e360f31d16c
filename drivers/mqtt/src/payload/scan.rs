//! A strict scanner over one JSON document: RFC 8259, no allocation, no recursion.
//!
//! Which thread: acquisition or a lane. May it block: no. Worst case: one pass over the payload. Hazards: H-21.

use super::Number;
use super::json::{JsonValue, MalformedJson};

/// Deepest nesting of a value that is skipped: a bit a level. No sensor comes near; what is deeper is malformed.
const DEPTH_MAX: usize = 1_024;

/// A position in a document.
pub(super) struct Scan<'t> {
    text: &'t str,
    at: usize,
}

/// A string as it stands in the document, checked, escapes unread.
pub(super) struct Text<'t> {
    raw: &'t str,
    plain: bool,
}

impl<'t> Text<'t> {
    /// Without escapes: [`Text::raw`] is the text itself.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    pub(super) fn raw(&self) -> &'t str {
        self.raw
    }

    /// The characters, escapes read. The scanner has checked them.
    pub(super) fn chars(&self) -> impl Iterator<Item = char> + 't {
        Unescaped { rest: self.raw }
    }
}

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The first byte of the next value or sign, white space passed over.
    pub(super) fn peek(&mut self) -> Result<u8, MalformedJson> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.advance(1);
        }
        self.byte().ok_or(MalformedJson)
    }

    /// Nothing but white space follows.
    pub(super) fn end(&mut self) -> Result<(), MalformedJson> {
        match self.peek() {
            Ok(_) => Err(MalformedJson),
            Err(MalformedJson) => Ok(()),
        }
    }

    /// Enters an object or array; true when it has a first element.
    pub(super) fn open(&mut self, open: u8, close: u8) -> Result<bool, MalformedJson> {
        self.expect(open)?;
        if self.peek()? == close {
            self.advance(1);
            return Ok(false);
        }
        Ok(true)
    }

    /// After an element: true when another follows, false when the container was closed.
    pub(super) fn next(&mut self, close: u8) -> Result<bool, MalformedJson> {
        let byte = self.peek()?;
        self.advance(1);
        match byte {
            b',' => Ok(true),
            byte if byte == close => Ok(false),
            _ => Err(MalformedJson),
        }
    }

    /// A member's name and its colon.
    pub(super) fn name(&mut self) -> Result<Text<'t>, MalformedJson> {
        self.peek()?;
        let name = self.string()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// A string, number or word.
    pub(super) fn scalar(&mut self) -> Result<JsonValue, MalformedJson> {
        match self.peek()? {
            b'"' => self.string().map(|_| JsonValue::Other),
            b't' => self.word("true", JsonValue::Bool(true)),
            b'f' => self.word("false", JsonValue::Bool(false)),
            b'n' => self.word("null", JsonValue::Other),
            _ => self.number().map(JsonValue::Number),
        }
    }

    /// Passes over one value of any kind, checking it.
    pub(super) fn skip(&mut self) -> Result<(), MalformedJson> {
        let mut open = Nesting::default();
        loop {
            let inside = match self.peek()? {
                byte @ (b'{' | b'[') => {
                    let object = byte == b'{';
                    let more = self.open(byte, closing(object))?;
                    if more {
                        open.push(object)?;
                        if object {
                            self.name()?;
                        }
                    }
                    more
                }
                _ => {
                    self.scalar()?;
                    false
                }
            };
            if inside {
                continue;
            }
            // A value has ended, and with it perhaps what held it.
            loop {
                let Some(object) = open.top() else {
                    return Ok(());
                };
                if self.next(closing(object))? {
                    if object {
                        self.name()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }

    fn word(&mut self, word: &str, value: JsonValue) -> Result<JsonValue, MalformedJson> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(MalformedJson);
        }
        self.advance(word.len());
        Ok(value)
    }

    fn number(&mut self) -> Result<Number, MalformedJson> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.advance(1);
        }
        // No leading zeros.
        if self.byte() == Some(b'0') {
            self.advance(1);
        } else {
            self.digits()?;
        }
        let whole = self.at;
        if self.byte() == Some(b'.') {
            self.advance(1);
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.advance(1);
            if let Some(b'+' | b'-') = self.byte() {
                self.advance(1);
            }
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if self.at == whole {
            if let Ok(integer) = text.parse::<u64>() {
                return Ok(Number::from_u64(integer));
            }
            if let Ok(integer) = text.parse::<i64>() {
                return Ok(Number::from_i64(integer));
            }
        }
        // What overflows a 64-bit float is no number of JSON that two parsers would agree upon.
        let value: f64 = text.parse().map_err(|_| MalformedJson)?;
        if value.is_finite() {
            Ok(Number::from_f64(value))
        } else {
            Err(MalformedJson)
        }
    }

    fn digits(&mut self) -> Result<(), MalformedJson> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.advance(1);
        }
        if self.at == start {
            Err(MalformedJson)
        } else {
            Ok(())
        }
    }

    fn string(&mut self) -> Result<Text<'t>, MalformedJson> {
        self.expect(b'"')?;
        let start = self.at;
        let mut plain = true;
        loop {
            match self.byte().ok_or(MalformedJson)? {
                b'"' => break,
                b'\\' => {
                    plain = false;
                    self.escape()?;
                }
                0..=0x1F => return Err(MalformedJson),
                _ => self.advance(1),
            }
        }
        let raw = self.text.get(start..self.at).ok_or(MalformedJson)?;
        self.advance(1);
        Ok(Text { raw, plain })
    }

    /// One escape; a pair of surrogates is one.
    fn escape(&mut self) -> Result<(), MalformedJson> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let (_, length) = unescape(rest).ok_or(MalformedJson)?;
        self.advance(length);
        Ok(())
    }

    fn expect(&mut self, byte: u8) -> Result<(), MalformedJson> {
        if self.peek()? != byte {
            return Err(MalformedJson);
        }
        self.advance(1);
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }
}

const fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// The character of the escape at the start of `text`, and its length. `None` when it is none.
fn unescape(text: &str) -> Option<(char, usize)> {
    let simple = match text.as_bytes().get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = unit(text)?;
            if let Some(own) = char::from_u32(first) {
                return Some((own, 6));
            }
            let second = unit(text.get(6..)?)?;
            let pair =
                char::decode_utf16([u16::try_from(first).ok()?, u16::try_from(second).ok()?])
                    .next()?;
            return pair.ok().map(|own| (own, 12));
        }
        _ => return None,
    };
    Some((simple, 2))
}

/// The code unit of the `\uXXXX` at the start of `text`.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

struct Unescaped<'t> {
    rest: &'t str,
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let first = self.rest.chars().next()?;
        let (own, length) = if first == '\\' {
            unescape(self.rest)?
        } else {
            (first, first.len_utf8())
        };
        self.rest = self.rest.get(length..).unwrap_or_default();
        Some(own)
    }
}

/// Which containers are open: a bit a level, set for objects.
#[derive(Default)]
struct Nesting {
    bits: [u64; DEPTH_MAX / 64],
    depth: usize,
}

impl Nesting {
    fn push(&mut self, object: bool) -> Result<(), MalformedJson> {
        let word = self.bits.get_mut(self.depth / 64).ok_or(MalformedJson)?;
        let mask = 1_u64 << (self.depth % 64);
        if object {
            *word |= mask;
        } else {
            *word &= !mask;
        }
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn top(&self) -> Option<bool> {
        let level = self.depth.checked_sub(1)?;
        let word = self.bits.get(level / 64)?;
        Some(word >> (level % 64) & 1 == 1)
    }
}
