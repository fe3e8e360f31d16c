//! Who acts, and the number that ties a release to its press.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Who did something: what they said, and what the operating system says of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The name that was given; the user's name when none was.
    pub who: String,
    /// User id of the process that asked. It cannot be chosen.
    pub uid: u32,
    /// That user's name, when this host knows one.
    pub user: Option<String>,
}

impl fmt::Display for Actor {
    /// `Anna (user operator)`; one name where both are the same. Bytes that would move a terminal's cursor are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.who.escape_debug();
        match self.user.as_deref() {
            Some(user) if user == self.who => write!(f, "{who}"),
            Some(user) => write!(f, "{who} (user {})", user.escape_debug()),
            None => write!(f, "{who} (uid {})", self.uid),
        }
    }
}

/// A number used once: given at the press of a reset, asked for at its release (H-54). Sixteen hexadecimal digits on the
/// wire: a JSON number of 64 bits loses its last digits in too many readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub u64);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why a text is no nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a nonce has sixteen hexadecimal digits, as `reset_press` answered it")]
pub struct NonceError;

impl FromStr for Nonce {
    type Err = NonceError;

    fn from_str(text: &str) -> Result<Self, NonceError> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NonceError);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NonceError)
    }
}

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_comes_back_whole_and_nothing_else_is_one() {
        for value in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let json = serde_json::to_string(&Nonce(value)).unwrap();
            assert_eq!(serde_json::from_str::<Nonce>(&json).unwrap(), Nonce(value));
        }
        for wrong in [
            "1",
            "\"\"",
            "\"1\"",
            "\"+123456789abcdef\"",
            "\"00000000000000000\"",
            "\"000000000000000g\"",
        ] {
            assert!(serde_json::from_str::<Nonce>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_actor_is_never_only_who_they_say_they_are() {
        let actor = |who: &str, user: Option<&str>| {
            let (who, user) = (who.to_owned(), user.map(str::to_owned));
            Actor { who, uid: 7, user }.to_string()
        };
        assert_eq!(actor("Anna", Some("op")), "Anna (user op)");
        assert_eq!(actor("op", Some("op")), "op");
        assert_eq!(actor("Anna", None), "Anna (uid 7)");
        assert_eq!(actor("a\u{1b}[2J", None), "a\\u{1b}[2J (uid 7)");
    }
}
