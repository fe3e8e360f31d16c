//! What this gateway trusts: where its keys are, its name, the versions it has installed, and the key of its bundles.
//!
//! | | where |
//! |---|---|
//! | trusted keys | [`Place::Trusted`] |
//! | versions installed, [`BundleKey`] | [`Place::State`] |
//! | gateway's name | `/etc/tripline/gateway`, else the host's name |

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rt_config::place::Place;
use rules_bundle::BundleKey;
use rules_sdk_trust::{KeyError, KeyRing, Policy, Refusal, Versions, VersionsError};

const GATEWAY_FILE: &str = "/etc/tripline/gateway";

/// Why something was not trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustFailure {
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The versions cannot be used.
    #[error(transparent)]
    Versions(#[from] VersionsError),
    /// There is no place for them.
    #[error("no folder for {what}: set {variable}, or HOME")]
    NoFolder {
        /// For what.
        what: &'static str,
        /// Which variable names one.
        variable: &'static str,
    },
    /// Refused.
    #[error("{path}: {source}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Refusal,
    },
    /// The clock stands before 1970.
    #[error("this host's clock is not set")]
    Clock,
}

/// What this gateway trusts, as files say. `allow_unsigned` is for development.
///
/// # Errors
/// [`TrustFailure`]: nothing is installed then.
pub fn policy(allow_unsigned: bool) -> Result<Policy, TrustFailure> {
    let folder = |place: Place, what| {
        place.folder().ok_or(TrustFailure::NoFolder {
            what,
            variable: place.variable(),
        })
    };
    let state = folder(Place::State, "installed versions")?;
    let folder = folder(Place::Trusted, "trusted keys")?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| TrustFailure::Clock)?;
    Ok(Policy {
        keys: KeyRing::load(&folder)?,
        folder: folder.display().to_string(),
        gateway: gateway(),
        now: now.as_secs(),
        versions: Versions::load(&state.join("versions"))?,
        allow_unsigned,
    })
}

/// The key of this host's bundles, as the first build has made it.
///
/// # Errors
/// [`KeyError`](rules_bundle::KeyError).
pub fn own_bundle_key() -> Result<BundleKey, rules_bundle::KeyError> {
    BundleKey::load(&BundleKey::default_path()?)
}

/// The key of this host's bundles, made when there is none yet.
///
/// # Errors
/// [`KeyError`](rules_bundle::KeyError): a key that is there and cannot be used is never replaced.
pub fn bundle_key() -> Result<BundleKey, rules_bundle::KeyError> {
    bundle_key_at(&BundleKey::default_path()?)
}

/// As [`bundle_key`], at another place.
///
/// # Errors
/// As [`bundle_key`].
pub fn bundle_key_at(path: &Path) -> Result<BundleKey, rules_bundle::KeyError> {
    match BundleKey::load(path) {
        Err(rules_bundle::KeyError::Missing(_)) => {
            let secret = BundleKey::secret()?;
            make_key(path, &secret).map_err(|source| rules_bundle::KeyError::Write {
                path: path.to_owned(),
                source,
            })?;
            // Whoever was first, and by the same rules as everybody.
            BundleKey::load(path)
        }
        found => found,
    }
}

/// Writes the key so that it is there whole or not at all, and never over another one.
fn make_key(path: &Path, secret: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // Mode 0600 from its first moment.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(secret)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => File::open(folder)?.sync_all(),
    }
}

fn gateway() -> String {
    let stated = std::fs::read_to_string(GATEWAY_FILE).unwrap_or_default();
    let stated = stated.trim();
    if stated.is_empty() {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    } else {
        stated.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use rules_bundle::KeyError;

    use super::*;

    #[test]
    fn a_key_is_made_on_first_use_and_then_kept_whatever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/tripline/bundle.key");
        let first = bundle_key_at(&path).unwrap();
        let secret = fs::read(&path).unwrap();
        assert_eq!(secret.len(), 32);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let folder = path.parent().unwrap();
        assert_eq!(
            folder.metadata().unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(
            fs::read_dir(folder).unwrap().count(),
            1,
            "nothing beside it"
        );
        assert_eq!(first.place(), path);
        bundle_key_at(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), secret, "made once");
        // One that cannot be used is shown, not replaced: bundles may depend on it.
        fs::write(&path, b"short").unwrap();
        assert!(matches!(bundle_key_at(&path), Err(KeyError::NotAKey(_))));
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }

    #[test]
    fn two_that_make_it_at_once_end_with_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle.key");
        make_key(&path, &[1; 32]).unwrap();
        make_key(&path, &[2; 32]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [1; 32]);
    }
}
