//! Keys that are trusted: minisign public keys in a folder.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature};

use crate::limits::{KEY_FILE_BYTES_MAX, KEYS_MAX};

/// The keys of a folder. Made by [`KeyRing::load`].
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    name: String,
    key: PublicKey,
}

/// Why a folder of keys is not used. It is used whole or not at all: a key that cannot be read might be the one that
/// somebody meant to withdraw, or the only one.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The folder or a key cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Somebody else could have written it.
    #[error(
        "{path} could have been written by others than root and you: trusted keys must not be. Mend it: chown root {path}; chmod go-w {path}",
        path = path.display()
    )]
    Writable {
        /// Which.
        path: PathBuf,
    },
    /// Not a key.
    #[error("{path} is no minisign public key ({source}): two lines, `untrusted comment: ...` and the key", path = path.display())]
    NotAKey {
        /// Which.
        path: PathBuf,
        /// Why.
        source: minisign_verify::Error,
    },
    /// Not a file, or too long for a key.
    #[error("{path} is no key: a plain file of at most {KEY_FILE_BYTES_MAX} bytes is expected", path = path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// More keys than anybody needs.
    #[error("{path} holds more than {KEYS_MAX} keys", path = path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
}

impl KeyRing {
    /// Every `*.pub` in `folder`, in the order of their names. A folder that does not exist holds no key.
    ///
    /// # Errors
    /// [`KeyError`] for the first file that is not a key which only root or the caller could have put there.
    pub fn load(folder: &Path) -> Result<Self, KeyError> {
        let read = |source| KeyError::Read {
            path: folder.to_owned(),
            source,
        };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            entries => entries.map_err(read)?,
        };
        ours(folder, &fs::metadata(folder).map_err(read)?)?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(read)?.path();
            if path.extension().is_some_and(|extension| extension == "pub") {
                paths.push(path);
            }
            if paths.len() > KEYS_MAX {
                return Err(KeyError::TooMany {
                    path: folder.to_owned(),
                });
            }
        }
        paths.sort();
        let keys = paths
            .iter()
            .map(|path| load(path))
            .collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Whether it holds no key: nothing that is signed is then trusted.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Names of the keys' files, without `.pub`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.name.as_str())
    }

    /// The name of the key that made `signature` over `bytes` and its trusted comment. Signatures of minisign's old,
    /// not prehashed kind are not taken.
    pub(crate) fn signer(&self, bytes: &[u8], signature: &Signature) -> Option<&str> {
        let key = self
            .keys
            .iter()
            .find(|key| key.key.verify(bytes, signature, false).is_ok())?;
        Some(&key.name)
    }
}

fn load(path: &Path) -> Result<Key, KeyError> {
    let read = |source| KeyError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    if !metadata.is_file() || metadata.len() > KEY_FILE_BYTES_MAX {
        return Err(KeyError::NotAFile {
            path: path.to_owned(),
        });
    }
    ours(path, &metadata)?;
    let mut text = String::new();
    file.take(KEY_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(read)?;
    let key = PublicKey::decode(&text).map_err(|source| KeyError::NotAKey {
        path: path.to_owned(),
        source,
    })?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(Key {
        name: name.into_owned(),
        key,
    })
}

/// Refuses what others than root and the caller own or may write.
fn ours(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyError> {
    if !rt_config::place::only_we_may_write(metadata) {
        return Err(KeyError::Writable {
            path: path.to_owned(),
        });
    }
    Ok(())
}
