//! What the arguments mean on this host: the socket, the colours.

use std::env;
use std::fs::DirBuilder;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::install::Unsigned;
use crate::paint::Paint;

/// Resolved once, before anything is done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The guard's control socket.
    pub socket: PathBuf,
    /// Whether it was named by the caller; a hint then repeats it.
    pub socket_named: bool,
    /// Whether packs and modules are taken that nobody signed.
    pub(crate) unsigned: Unsigned,
    /// Colours on standard output.
    pub(crate) paint: Paint,
    /// Colours on standard error.
    pub(crate) error_paint: Paint,
}

/// What [`socket_path`] looks at.
#[derive(Debug, Default)]
struct Surroundings {
    option: Option<PathBuf>,
    variable: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    root: bool,
    uid: u32,
}

impl Settings {
    /// From the arguments, the environment and the terminals.
    #[must_use]
    pub fn resolve(args: &Args) -> Self {
        let path = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let uid = rustix::process::getuid();
        let around = Surroundings {
            option: args.socket.clone(),
            variable: path("TRIPLINE_SOCKET"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
            root: uid.is_root(),
            uid: uid.as_raw(),
        };
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            socket_named: around.option.is_some(),
            socket: socket_path(around),
            unsigned: if args.allow_unsigned {
                Unsigned::Allowed
            } else {
                Unsigned::Refused
            },
            paint: Paint::new(!plain && io::stdout().is_terminal()),
            error_paint: Paint::new(!plain && io::stderr().is_terminal()),
        }
    }

    /// A command as it must be typed to reach the same guard.
    #[must_use]
    pub fn command(&self, command: &str) -> String {
        if self.socket_named {
            format!("tripline {command} --socket {}", self.socket.display())
        } else {
            format!("tripline {command}")
        }
    }
}

fn socket_path(around: Surroundings) -> PathBuf {
    let named = around.option.or(around.variable);
    named.unwrap_or_else(|| match around.runtime_dir {
        _ if around.root => PathBuf::from("/run/tripline/guard.sock"),
        Some(dir) => dir.join("tripline/guard.sock"),
        // Without a session (cron, containers). Only ours: it is made with mode 0700, and refused if it is another's.
        None => PathBuf::from(format!("/tmp/tripline-{}/guard.sock", around.uid)),
    })
}

/// Makes the directory of a socket, unless it is there: for us only, or passable for everybody when operators of other
/// users are to reach the socket.
///
/// # Errors
/// What the operating system said; a directory that others may write to and that is not sticky is refused.
pub fn prepare_socket_dir(socket: &Path, shared: bool) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let Some(dir) = socket.parent().filter(|dir| !dir.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let found = dir.metadata()?;
    let own = rustix::process::getuid().as_raw();
    let writable = found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0;
    if (found.uid() == own || found.uid() == 0) && !writable {
        if shared && found.uid() == own && found.mode() & 0o111 != 0o111 {
            // Pass through, not look around: what else lies there is named by nobody.
            let mode = (found.mode() & 0o777) | 0o111;
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode))?;
        }
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "others may write to this directory, so they could put another guard in place; use a directory of your own",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_beats_the_variable_and_both_beat_the_default() {
        let all = || Surroundings {
            option: Some("/option".into()),
            variable: Some("/variable".into()),
            runtime_dir: Some("/run/user/7".into()),
            root: false,
            uid: 7,
        };
        assert_eq!(socket_path(all()), Path::new("/option"));
        let around = Surroundings {
            option: None,
            ..all()
        };
        assert_eq!(socket_path(around), Path::new("/variable"));
        let around = Surroundings {
            option: None,
            variable: None,
            ..all()
        };
        assert_eq!(
            socket_path(around),
            Path::new("/run/user/7/tripline/guard.sock")
        );
        let around = Surroundings {
            option: None,
            variable: None,
            root: true,
            ..all()
        };
        assert_eq!(socket_path(around), Path::new("/run/tripline/guard.sock"));
        let around = Surroundings {
            option: None,
            variable: None,
            runtime_dir: None,
            ..all()
        };
        assert_eq!(socket_path(around), Path::new("/tmp/tripline-7/guard.sock"));
    }

    #[test]
    fn a_socket_directory_is_made_for_us_only() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("a/b/guard.sock");
        let mode = |made: &str| {
            let made = dir.path().join(made).metadata().unwrap();
            made.permissions().mode() & 0o777
        };
        prepare_socket_dir(&socket, false).unwrap();
        assert_eq!((mode("a"), mode("a/b")), (0o700, 0o700));
        prepare_socket_dir(&socket, false).unwrap();
        assert_eq!(mode("a/b"), 0o700);
        prepare_socket_dir(&socket, true).unwrap();
        assert_eq!(mode("a/b"), 0o711, "operators pass through");
        let shared = dir.path().join("shared");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(prepare_socket_dir(&shared.join("guard.sock"), true).is_err());
    }
}
