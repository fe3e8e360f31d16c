//! Where this host keeps what is its own: one lookup for both programs.
//!
//! | | root | others | named by |
//! |---|---|---|---|
//! | [`State`](Place::State): versions installed, the key of bundles | `/var/lib/tripline` | `$XDG_STATE_HOME/tripline` | `TRIPLINE_STATE` |
//! | [`Trusted`](Place::Trusted): keys of those who sign | `/etc/tripline/trusted.d` | `$XDG_CONFIG_HOME/tripline/trusted.d` | `TRIPLINE_TRUSTED` |
//!
//! Which thread: a program's first, at start. May it block: it looks at the environment only.

use std::env;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// A folder of this host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// What was installed, and the key with which bundles are authenticated.
    State,
    /// Public keys that are trusted.
    Trusted,
}

impl Place {
    /// The variable that names another folder.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::State => "TRIPLINE_STATE",
            Self::Trusted => "TRIPLINE_TRUSTED",
        }
    }

    /// The folder. `None`: neither the variable nor a home says where.
    #[must_use]
    pub fn folder(self) -> Option<PathBuf> {
        self.among(rustix::process::getuid().is_root(), |name| {
            env::var_os(name)
        })
    }

    fn among(self, root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let path = |name| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        if let Some(named) = path(self.variable()) {
            return Some(named);
        }
        let (of_root, base, below_home, inside) = match self {
            Self::State => ("/var/lib/tripline", "XDG_STATE_HOME", ".local/state", ""),
            Self::Trusted => (
                "/etc/tripline/trusted.d",
                "XDG_CONFIG_HOME",
                ".config",
                "trusted.d",
            ),
        };
        if root {
            return Some(of_root.into());
        }
        let base = path(base).or_else(|| Some(path("HOME")?.join(below_home)))?;
        let own = base.join("tripline");
        Some(if inside.is_empty() {
            own
        } else {
            own.join(inside)
        })
    }
}

/// Whether a file or folder belongs to root or to the caller, and its mode lets nobody else write to it.
#[must_use]
pub fn only_we_may_write(metadata: &Metadata) -> bool {
    is_ours(metadata) && metadata.mode() & 0o022 == 0
}

/// Whether a file or folder belongs to root or to the caller.
#[must_use]
pub fn is_ours(metadata: &Metadata) -> bool {
    let owner = metadata.uid();
    owner == 0 || owner == rustix::process::getuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(place: Place, root: bool, variables: &[(&str, &str)]) -> Option<String> {
        let found = place.among(root, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        });
        found.map(|path| path.display().to_string())
    }

    #[test]
    fn the_variable_beats_the_place_of_root_and_the_home() {
        let all = [
            ("TRIPLINE_STATE", "/s"),
            ("TRIPLINE_TRUSTED", "/t"),
            ("XDG_STATE_HOME", "/xs"),
            ("XDG_CONFIG_HOME", "/xc"),
            ("HOME", "/h"),
        ];
        let (state, trusted) = (Place::State, Place::Trusted);
        let some = |path: &str| Some(path.to_owned());
        for root in [false, true] {
            assert_eq!(place(state, root, &all), some("/s"));
            assert_eq!(place(trusted, root, &all), some("/t"));
        }
        assert_eq!(place(state, true, &all[2..]), some("/var/lib/tripline"));
        assert_eq!(
            place(trusted, true, &all[2..]),
            some("/etc/tripline/trusted.d")
        );
        assert_eq!(place(state, false, &all[2..]), some("/xs/tripline"));
        assert_eq!(
            place(trusted, false, &all[2..]),
            some("/xc/tripline/trusted.d")
        );
        assert_eq!(
            place(state, false, &all[4..]),
            some("/h/.local/state/tripline")
        );
        assert_eq!(
            place(trusted, false, &[("TRIPLINE_TRUSTED", ""), ("HOME", "/h")]),
            some("/h/.config/tripline/trusted.d")
        );
        assert_eq!(place(state, false, &[]), None);
    }
}
