//! The key with which this host authenticates the bundles that it has built: a secret that never leaves it.
//!
//! A bundle holds machine code, and whoever can make the guard load other machine code is the guard. So every bundle
//! carries a tag, HMAC-SHA-256 with this key over a fixed label and the whole container, and a guard that cannot reproduce
//! it runs nothing. Who made the modules and the pack is another question, answered by signatures before the code is
//! compiled (`docs/trust.md`).
//!
//! The file holds 32 random bytes. It and its folder belong to root or to the caller; others may neither read the file
//! nor write to either. A file of root's may be read by its group: so root lends it to the guard's user, by hand
//! or by systemd's `LoadCredential=`.
//!
//! Which thread: the guard's main thread at load, never a lane. May it block: it reads one file.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac as _};
use rt_config::limits::BUNDLE_KEY_BYTES;
use rt_config::place::{Place, is_ours, only_we_may_write};
use sha2::Sha256;

/// Bytes of the tag that ends a bundle.
pub(crate) const TAG_BYTES: usize = 32;
/// What the tag is over, before the container: this key's tags are of nothing else.
const LABEL: &[u8] = b"tripline bundle\0";
/// Name of the key's file in the state folder.
const FILE: &str = "bundle.key";

/// A key, and where it came from.
#[derive(Clone)]
pub struct BundleKey {
    secret: [u8; BUNDLE_KEY_BYTES],
    place: PathBuf,
}

/// Why there is no key. Nothing is loaded then.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Nothing says where it is.
    #[error(
        "no folder for the key of bundles: set {variable}, or HOME; a guard is told of the key with --bundle-key",
        variable = Place::State.variable()
    )]
    NoPlace,
    /// It is not there.
    #[error(
        "no key of bundles at {path}: no bundle was built here by this user. Build one: `tripline build PACK -o FILE` makes the key on first use; a guard is told of another one with --bundle-key",
        path = .0.display()
    )]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("the key of bundles {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others may replace it.
    #[error(
        "others than root and you own or may write the folder {path}, which holds the key of bundles. Mend it: chmod go-w {path}, or use a folder of your own",
        path = .0.display()
    )]
    Folder(PathBuf),
    /// It belongs to somebody else.
    #[error(
        "the key of bundles {path} belongs to user {uid}, neither to root nor to you: whoever made it can make bundles that would run here. Remove it, and build again",
        path = path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// Others may read it.
    #[error(
        "the key of bundles {path} has mode {mode:03o}: others may know it. Remove it, and build again, which makes a new one with mode 600",
        path = path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is not a key.
    #[error(
        "the key of bundles {path} is not a plain file of {BUNDLE_KEY_BYTES} bytes. Remove it, and build again",
        path = .0.display()
    )]
    NotAKey(PathBuf),
    /// It cannot be made.
    #[error("the key of bundles {path} cannot be made: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No random numbers.
    #[error("no random numbers from this host: {0}")]
    Random(io::Error),
}

impl BundleKey {
    /// Where the key lies unless somebody says otherwise: `bundle.key` in this host's state folder.
    ///
    /// # Errors
    /// [`KeyError::NoPlace`].
    pub fn default_path() -> Result<PathBuf, KeyError> {
        let folder = Place::State.folder().ok_or(KeyError::NoPlace)?;
        Ok(folder.join(FILE))
    }

    /// Reads the key.
    ///
    /// # Errors
    /// [`KeyError`]: it is not there, or others could have written or read it.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let read = |source| KeyError::Read {
            path: path.to_owned(),
            source,
        };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeyError::Missing(path.to_owned()));
            }
            file => file.map_err(read)?,
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !only_we_may_write(&folder.metadata().map_err(read)?) {
            return Err(KeyError::Folder(folder.to_owned()));
        }
        admissible(path, &file.metadata().map_err(read)?)?;
        let mut secret = Vec::with_capacity(BUNDLE_KEY_BYTES.saturating_add(1));
        // One byte more than it has: a longer file is none.
        file.take(
            u64::try_from(BUNDLE_KEY_BYTES).map_or(u64::MAX, |bytes| bytes.saturating_add(1)),
        )
        .read_to_end(&mut secret)
        .map_err(read)?;
        let secret = secret
            .try_into()
            .map_err(|_| KeyError::NotAKey(path.to_owned()))?;
        Ok(Self::new(secret, path))
    }

    /// A key that was read or made elsewhere; `place` is shown.
    #[must_use]
    pub fn new(secret: [u8; BUNDLE_KEY_BYTES], place: &Path) -> Self {
        Self {
            secret,
            place: place.to_owned(),
        }
    }

    /// A new random secret.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn secret() -> Result<[u8; BUNDLE_KEY_BYTES], KeyError> {
        let mut secret = [0; BUNDLE_KEY_BYTES];
        let mut rest: &mut [u8] = &mut secret;
        while !rest.is_empty() {
            let count = rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty())
                .map_err(|error| KeyError::Random(error.into()))?;
            rest = rest
                .split_at_mut_checked(count)
                .map(|(_, rest)| rest)
                .ok_or_else(|| KeyError::Random(io::ErrorKind::UnexpectedEof.into()))?;
        }
        Ok(secret)
    }

    /// A key of this process only, for bundles that are opened again by who sealed them and never kept.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn of_this_process() -> Result<Self, KeyError> {
        Ok(Self::new(
            Self::secret()?,
            Path::new("(of this process only)"),
        ))
    }

    /// Where it came from.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    pub(crate) fn tag(&self, container: &[u8]) -> [u8; TAG_BYTES] {
        self.mac(container).finalize().into_bytes().into()
    }

    /// Whether `tag` is this key's over `container`: in a time that does not depend on where they differ.
    pub(crate) fn made(&self, tag: &[u8], container: &[u8]) -> bool {
        self.mac(container).verify_slice(tag).is_ok()
    }

    fn mac(&self, container: &[u8]) -> Hmac<Sha256> {
        // A key shorter than a block of SHA-256 is that block, filled up with zeros (RFC 2104).
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (byte, secret) in block.iter_mut().zip(self.secret) {
            *byte = secret;
        }
        let mut mac = <Hmac<Sha256> as hmac::Mac>::new(&block);
        mac.update(LABEL);
        mac.update(container);
        mac
    }
}

/// Refuses what others could have written or read.
fn admissible(path: &Path, metadata: &Metadata) -> Result<(), KeyError> {
    if !metadata.is_file() {
        return Err(KeyError::NotAKey(path.to_owned()));
    }
    if !is_ours(metadata) {
        return Err(KeyError::Owner {
            path: path.to_owned(),
            uid: metadata.uid(),
        });
    }
    let mode = metadata.mode() & 0o777;
    // Root lends its key to the guard's group; for everybody else a group is somebody else.
    let others = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if mode & others != 0 {
        return Err(KeyError::Mode {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

impl fmt::Debug for BundleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the secret.
        write!(f, "BundleKey({})", self.place.display())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    #[test]
    fn the_tag_is_hmac_sha_256_of_label_and_content() {
        let key = BundleKey::new([0x5a; 32], Path::new("k"));
        let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(&[0x5a; 32]).unwrap();
        mac.update(b"tripline bundle\0content");
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        assert_eq!(key.tag(b"content"), tag);
        assert!(key.made(&tag, b"content"));
        assert!(!key.made(&tag, b"contents"));
        assert!(!key.made(&tag[..31], b"content"), "a shortened tag is none");
        assert!(
            !format!("{key:?}").contains("90"),
            "the secret is not shown"
        );
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_is_taken_from_a_file_that_nobody_else_may_read_or_replace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.key");
        let load = || BundleKey::load(&path);
        assert!(matches!(load(), Err(KeyError::Missing(_))));
        fs::write(&path, [7; 32]).unwrap();
        let root = rustix::process::getuid().is_root();
        for bits in 0..0o1000_u32 {
            mode(&path, bits);
            let others = if root { 0o037 } else { 0o077 };
            // Who is not root cannot open what its own mode forbids.
            let opens = root || bits & 0o400 != 0;
            match load() {
                Ok(key) => {
                    assert!(opens && bits & others == 0, "mode {bits:03o} taken");
                    assert_eq!((key.secret, key.place()), ([7; 32], path.as_path()));
                }
                Err(KeyError::Mode { mode, .. }) => {
                    assert!(mode == bits && bits & others != 0, "mode {bits:03o}");
                }
                Err(KeyError::Read { .. }) => assert!(!opens, "mode {bits:03o}"),
                Err(error) => panic!("mode {bits:03o}: {error}"),
            }
        }
        mode(&path, 0o600);
        for folder_mode in [0o777, 0o770, 0o702, 0o1777] {
            mode(folder.path(), folder_mode);
            assert!(
                matches!(load(), Err(KeyError::Folder(_))),
                "folder {folder_mode:o}"
            );
        }
        mode(folder.path(), 0o755);
        assert!(load().is_ok());
        if root {
            chown(&path, Some(65_534), None).unwrap();
            assert!(matches!(load(), Err(KeyError::Owner { uid: 65_534, .. })));
            chown(&path, Some(0), None).unwrap();
            chown(folder.path(), Some(65_534), None).unwrap();
            assert!(matches!(load(), Err(KeyError::Folder(_))));
            chown(folder.path(), Some(0), None).unwrap();
        }
        for length in [0, 1, 31, 33, 64] {
            fs::write(&path, vec![7; length]).unwrap();
            assert!(
                matches!(load(), Err(KeyError::NotAKey(_))),
                "{length} bytes"
            );
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        mode(&path, 0o700);
        assert!(matches!(load(), Err(KeyError::NotAKey(_))), "a folder");
    }

    #[test]
    fn no_two_secrets_are_the_same() {
        assert_ne!(BundleKey::secret().unwrap(), BundleKey::secret().unwrap());
    }
}
