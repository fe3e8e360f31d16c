//! Keys and signatures of reports: Ed25519, by `ring`.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// Longest key file that is read. A PKCS#8 document of Ed25519 has 83 bytes.
const KEY_BYTES_MAX: u64 = 4_096;

/// A key that signs.
pub(super) struct Key {
    pair: Ed25519KeyPair,
    /// Whether it was made just now.
    pub(super) is_new: bool,
}

impl Key {
    /// Reads the key at `path`, or makes one there that only its owner may read.
    ///
    /// # Errors
    /// What the operating system said; `InvalidData` for a file that is no key of ours.
    pub(super) fn read_or_make(path: &Path) -> io::Result<Self> {
        let (document, is_new) = match File::open(path) {
            Ok(file) => {
                let mut document = Vec::new();
                file.take(KEY_BYTES_MAX).read_to_end(&mut document)?;
                (document, false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (make(path)?, true),
            Err(error) => return Err(error),
        };
        let pair = Ed25519KeyPair::from_pkcs8(&document).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "not a key of `tripline prooftest` ({error}); name another file with --key"
                ),
            )
        })?;
        Ok(Self { pair, is_new })
    }

    /// The public key, as hexadecimal digits.
    pub(super) fn public(&self) -> String {
        hex(self.pair.public_key().as_ref())
    }

    /// The signature of `message`, as hexadecimal digits.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        hex(self.pair.sign(message).as_ref())
    }
}

/// Whether `signature` is one of `message` by the owner of `public`.
pub(super) fn is_signed(public: &str, message: &[u8], signature: &str) -> bool {
    let (Some(public), Some(signature)) = (unhex(public), unhex(signature)) else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, public)
        .verify(message, &signature)
        .is_ok()
}

/// Made whole or not at all, and never over another one: created anew with mode 0600 before a byte of it is written.
fn make(path: &Path) -> io::Result<Vec<u8>> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| io::Error::other("no random numbers for a key"))?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(document.as_ref())?;
    file.sync_all()?;
    Ok(document.as_ref().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_for_its_owner_only_and_signs_what_it_signed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.key");
        let key = Key::read_or_make(&path).unwrap();
        assert!(key.is_new);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Key::read_or_make(&path).unwrap();
        assert!(!again.is_new);
        assert_eq!(again.public(), key.public());
        let signature = key.sign(b"stopped");
        assert!(is_signed(&key.public(), b"stopped", &signature));
        assert!(!is_signed(&key.public(), b"stoppeD", &signature));
        let other = Key::read_or_make(&dir.path().join("other.key")).unwrap();
        assert!(!is_signed(&other.public(), b"stopped", &signature));
        for nonsense in ["", "0", "zz", "é0"] {
            assert!(!is_signed(&key.public(), b"stopped", nonsense));
        }
        std::fs::write(&path, b"not a key").unwrap();
        assert!(Key::read_or_make(&path).is_err());
    }
}
