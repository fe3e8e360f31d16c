//! What is signed with a file: the trusted comment of its signature.

use std::fmt;
use std::str::FromStr;

use crate::Date;
use crate::limits::ID_BYTES_MAX;

/// First word of every manifest.
const MAGIC: &str = "tripline";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A module, `.wasm`.
    Analyzer,
    /// A pack, `.yaml`.
    Pack,
}

impl Kind {
    /// The word in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Analyzer => "analyzer",
            Self::Pack => "pack",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which gateway a file is meant for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// All of them.
    Any,
    /// The one of this name.
    Gateway(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Gateway(name) => f.write_str(name),
        }
    }
}

/// What a signature says of the file that it signs:
/// `tripline kind=analyzer id=bearing version=3 target=any expires=2027-12-31`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Its version, from 1; only ever rises.
    pub version: u64,
    /// Which gateway it is meant for.
    pub target: Target,
    /// Last day on which it may be installed; `None` is for ever.
    pub expires: Option<Date>,
}

/// Why a trusted comment is no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the signature's trusted comment is no manifest: {0}. Sign with `tripline sign`, or with minisign and -t 'tripline kind=analyzer id=NAME version=N target=any expires=never'"
)]
pub struct ManifestError(String);

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{MAGIC} kind={} id={} version={} target={} expires=",
            self.kind, self.id, self.version, self.target
        )?;
        match self.expires {
            None => f.write_str("never"),
            Some(date) => write!(f, "{date}"),
        }
    }
}

impl FromStr for Manifest {
    type Err = ManifestError;

    /// Exactly the five keys, in this order, one space between: nothing can be said twice or left open.
    fn from_str(text: &str) -> Result<Self, ManifestError> {
        let refuse = |what: String| ManifestError(what);
        let mut words = text.split(' ');
        if words.next() != Some(MAGIC) {
            return Err(refuse(format!("it does not begin with `{MAGIC}`")));
        }
        let mut value = |key: &str| {
            words
                .next()
                .and_then(|word| word.strip_prefix(key)?.strip_prefix('='))
                .ok_or_else(|| refuse(format!("`{key}=` is missing or not in its place")))
        };
        let kind = match value("kind")? {
            "analyzer" => Kind::Analyzer,
            "pack" => Kind::Pack,
            other => return Err(refuse(format!("kind `{}`", other.escape_debug()))),
        };
        let id = name("id", value("id")?)?;
        let version = value("version")?;
        let version = version
            .parse()
            .ok()
            .filter(|number: &u64| *number > 0 && number.to_string() == version)
            .ok_or_else(|| refuse(format!("version `{}`", version.escape_debug())))?;
        let target = match value("target")? {
            "any" => Target::Any,
            gateway => Target::Gateway(name("target", gateway)?),
        };
        let expires =
            match value("expires")? {
                "never" => None,
                date => Some(date.parse().map_err(|error| {
                    refuse(format!("expires `{}`: {error}", date.escape_debug()))
                })?),
            };
        if words.next().is_some() {
            return Err(refuse("more words than a manifest has".into()));
        }
        Ok(Self {
            kind,
            id,
            version,
            target,
            expires,
        })
    }
}

fn name(key: &str, name: &str) -> Result<String, ManifestError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > ID_BYTES_MAX || !name.bytes().all(allowed) {
        return Err(ManifestError(format!(
            "{key} `{}`: use at most {ID_BYTES_MAX} letters, digits, `-`, `_` and `.`",
            name.escape_debug()
        )));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "tripline kind=analyzer id=bearing version=3 target=any expires=2027-12-31";

    #[test]
    fn a_manifest_is_read_as_it_is_written() {
        for text in [
            TEXT,
            "tripline kind=pack id=press-line version=18446744073709551615 target=hall-7 expires=never",
        ] {
            let manifest: Manifest = text.parse().unwrap();
            assert_eq!(manifest.to_string(), text);
        }
    }

    #[test]
    fn h65_what_is_not_exactly_a_manifest_is_refused() {
        for (from, to) in [
            ("tripline ", ""),
            ("tripline", "Tripline"),
            ("kind=analyzer", "kind=module"),
            ("kind=analyzer id=bearing", "id=bearing kind=analyzer"),
            ("id=bearing", "id="),
            ("id=bearing", "id=../../etc"),
            ("version=3", "version=0"),
            ("version=3", "version=03"),
            ("version=3", "version=+3"),
            ("version=3", "version=18446744073709551616"),
            ("target=any", "target="),
            ("expires=2027-12-31", "expires=2027-02-30"),
            ("expires=2027-12-31", "expires=never expires=never"),
            (" version", "  version"),
        ] {
            assert!(TEXT.contains(from));
            let text = TEXT.replace(from, to);
            assert!(text.parse::<Manifest>().is_err(), "H-65: {text}");
        }
    }
}
