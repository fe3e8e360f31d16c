//! What this gateway trusts: where its keys are, its name, the versions it has installed.
//!
//! | | root | others |
//! |---|---|---|
//! | trusted keys | `/etc/tripline/trusted.d` | `$XDG_CONFIG_HOME/tripline/trusted.d` |
//! | gateway's name | `/etc/tripline/gateway`, else the host's name | the same |
//! | versions installed | `/var/lib/tripline/versions` | `$XDG_STATE_HOME/tripline/versions` |
//!
//! `TRIPLINE_TRUSTED` and `TRIPLINE_STATE` name other folders for keys and versions.

use std::env;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rules_sdk_trust::{KeyError, KeyRing, Policy, Refusal, Versions, VersionsError};

/// Names the folder of trusted keys.
pub const TRUSTED_VARIABLE: &str = "TRIPLINE_TRUSTED";
/// Names the folder in which installed versions are remembered.
pub const STATE_VARIABLE: &str = "TRIPLINE_STATE";
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
    let folder = folder(
        TRUSTED_VARIABLE,
        "/etc/tripline",
        "XDG_CONFIG_HOME",
        ".config",
    )
    .ok_or(TrustFailure::NoFolder {
        what: "trusted keys",
        variable: TRUSTED_VARIABLE,
    })
    .map(|(folder, named)| {
        if named {
            folder
        } else {
            folder.join("trusted.d")
        }
    })?;
    let (state, _) = self::folder(
        STATE_VARIABLE,
        "/var/lib/tripline",
        "XDG_STATE_HOME",
        ".local/state",
    )
    .ok_or(TrustFailure::NoFolder {
        what: "installed versions",
        variable: STATE_VARIABLE,
    })?;
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

/// The folder, and whether a variable named it.
fn folder(variable: &str, of_root: &str, base: &str, below_home: &str) -> Option<(PathBuf, bool)> {
    let path = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(named) = path(variable) {
        return Some((named, true));
    }
    if rustix::process::getuid().is_root() {
        return Some((of_root.into(), false));
    }
    let base = path(base).or_else(|| Some(path("HOME")?.join(below_home)))?;
    Some((base.join("tripline"), false))
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
