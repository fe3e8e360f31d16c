//! Which version of each module and pack was installed here, so that none goes back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::Kind;
use crate::limits::{CLOCK_BACK_MAX_S, VERSIONS_BYTES_MAX};

/// First line of the file.
const HEAD: &str = "tripline versions 1";

/// The versions that were installed, and the latest time that was seen. Kept in a file of lines
/// `KIND ID VERSION SHA-256`, and one `seen SECONDS`.
#[derive(Debug)]
pub struct Versions {
    path: PathBuf,
    seen: u64,
    known: BTreeMap<(Kind, String), Known>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    version: u64,
    sha256: String,
}

/// Why the file of versions is not used. Nothing is then installed: without it, an old version could not be told.
#[derive(Debug, thiserror::Error)]
pub enum VersionsError {
    /// It cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is not what was written.
    #[error(
        "{path}, line {line}: not a file of versions. Restore it from a backup; removing it forgets which versions were installed",
        path = path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where.
        line: usize,
    },
}

/// Why a version is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Older {
    /// A newer one was installed.
    Than(u64),
    /// This version was installed with another content.
    Changed,
}

impl Versions {
    /// Reads the file; one that does not exist holds nothing.
    ///
    /// # Errors
    /// [`VersionsError`].
    pub fn load(path: &Path) -> Result<Self, VersionsError> {
        let mut versions = Self {
            path: path.to_owned(),
            seen: 0,
            known: BTreeMap::new(),
        };
        let failed = |source| VersionsError::File {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(versions),
            file => file
                .map_err(failed)?
                .take(VERSIONS_BYTES_MAX + 1)
                .read_to_string(&mut text)
                .map_err(failed)?,
        };
        let damaged = |line| VersionsError::Damaged {
            path: path.to_owned(),
            line,
        };
        // A file that was cut off ends without a newline, or not at a line of ours.
        if !text.ends_with('\n') || text.lines().next() != Some(HEAD) {
            return Err(damaged(1));
        }
        let mut ended = false;
        for (number, line) in (2..).zip(text.lines().skip(1)) {
            let taken = !ended && versions.take(line, &mut ended).is_some();
            if !taken {
                return Err(damaged(number));
            }
        }
        if !ended {
            return Err(damaged(text.lines().count()));
        }
        Ok(versions)
    }

    fn take(&mut self, line: &str, ended: &mut bool) -> Option<()> {
        let mut words = line.split(' ');
        let (first, second) = (words.next()?, words.next()?);
        if first == "seen" {
            self.seen = second.parse().ok()?;
            *ended = true;
            return words.next().is_none().then_some(());
        }
        let kind = [Kind::Analyzer, Kind::Pack]
            .into_iter()
            .find(|kind| kind.as_str() == first)?;
        let version = words.next()?.parse().ok()?;
        let sha256 = words.next().filter(|digest| digest.len() == 64)?.to_owned();
        let known = Known { version, sha256 };
        let new = self
            .known
            .insert((kind, second.to_owned()), known)
            .is_none();
        (new && words.next().is_none()).then_some(())
    }

    /// Whether the wall clock is so far behind what was seen that nothing can be said about an expiry (H-79).
    pub(crate) fn clock_went_back(&self, now: u64) -> bool {
        now.saturating_add(CLOCK_BACK_MAX_S) < self.seen
    }

    /// Whether `version` of `id` with this content may follow what was installed.
    pub(crate) fn follows(
        &self,
        kind: Kind,
        id: &str,
        version: u64,
        bytes: &[u8],
    ) -> Result<(), Older> {
        match self.known.get(&(kind, id.to_owned())) {
            Some(known) if known.version > version => Err(Older::Than(known.version)),
            Some(known) if known.version == version && known.sha256 != sha256(bytes) => {
                Err(Older::Changed)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn note(&mut self, kind: Kind, id: &str, version: u64, bytes: &[u8], now: u64) {
        self.seen = self.seen.max(now);
        let known = Known {
            version,
            sha256: sha256(bytes),
        };
        self.known.insert((kind, id.to_owned()), known);
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`VersionsError::File`]; the file is as it was.
    pub fn save(&self) -> Result<(), VersionsError> {
        let mut text = format!("{HEAD}\n");
        for ((kind, id), known) in &self.known {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{kind} {id} {} {}", known.version, known.sha256);
        }
        let _ = writeln!(text, "seen {}", self.seen);
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let write = || {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.path).map_err(|error| error.error)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| VersionsError::File {
            path: self.path.clone(),
            source,
        })
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
