//! What `cargo run` starts: builds the guard and the command apart, then becomes `tripline`.
//!
//! Why two invocations of cargo and not one: cargo unifies features over everything that one invocation builds. The
//! command needs wasmtime with its compiler; the guard must not have one. Apart, each gets its own wasmtime.
//!
//! Which thread: the only one. May it block: yes, for the minutes of a first build. Hazards: none; it never runs where a
//! machine is protected (installed systems start `tripline` itself).
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stderr,
    reason = "a launcher talks to the person who typed `cargo run`"
)]

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

/// What is built, in this order: `tripline` looks for its guard beside itself.
const PACKAGES: [&str; 2] = ["appliance-guard", "appliance-cli"];

/// Why `tripline` was not started.
#[derive(Debug)]
enum LaunchError {
    /// This program's own place is unknown.
    OwnPath(io::Error),
    /// This program is not where cargo puts programs.
    NotInTarget(PathBuf),
    /// Cargo could not be started.
    Cargo(OsString, io::Error),
    /// A build failed.
    Build(&'static str, ExitStatus),
    /// The built program could not be started.
    Exec(PathBuf, io::Error),
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnPath(error) => write!(f, "cannot tell where this program is: {error}"),
            Self::NotInTarget(path) => write!(
                f,
                "{} is not in a cargo target directory; start it with `cargo run --release -- demo`",
                path.display()
            ),
            Self::Cargo(cargo, error) => write!(
                f,
                "cannot start {}: {error}; is Rust installed (https://rustup.rs)?",
                cargo.display()
            ),
            Self::Build(package, status) => write!(
                f,
                "building {package} failed ({status}); the reason stands above"
            ),
            Self::Exec(path, error) => write!(
                f,
                "{} was built but cannot be started: {error}",
                path.display()
            ),
        }
    }
}

/// Where things are and how they are built.
struct Place {
    cargo: OsString,
    manifest: PathBuf,
    target_dir: PathBuf,
    tripline: PathBuf,
}

impl Place {
    fn find() -> Result<Self, LaunchError> {
        let own = env::current_exe().map_err(LaunchError::OwnPath)?;
        let place = || {
            let profile_dir = own.parent()?;
            Some((profile_dir.join("tripline"), profile_dir.parent()?))
        };
        let (tripline, target_dir) =
            place().ok_or_else(|| LaunchError::NotInTarget(own.clone()))?;
        // `cargo run` says where the manifest is now; the path at build time serves when the program is started by hand.
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        Ok(Self {
            cargo: env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")),
            manifest: manifest_dir.join("Cargo.toml"),
            target_dir: target_dir.to_owned(),
            tripline,
        })
    }

    fn build_command(&self, package: &str) -> Command {
        let mut command = Command::new(&self.cargo);
        command.arg("build").args(profile_arguments());
        command.args(["--package", package, "--manifest-path"]);
        command.arg(&self.manifest);
        command.arg("--target-dir").arg(&self.target_dir);
        // What `cargo run` tells this program about its own package must not reach another build: ring's build script
        // asks to be run again when these change, and all that stands on it would be compiled anew, every time.
        for (name, _) in env::vars_os() {
            if is_about_this_package(&name) {
                command.env_remove(name);
            }
        }
        command
    }

    fn build(&self, package: &'static str) -> Result<(), LaunchError> {
        let status = self
            .build_command(package)
            .status()
            .map_err(|error| LaunchError::Cargo(self.cargo.clone(), error))?;
        if status.success() {
            Ok(())
        } else {
            Err(LaunchError::Build(package, status))
        }
    }
}

/// Whether `cargo run` set this variable to describe this package.
fn is_about_this_package(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"CARGO_PKG_") || name.starts_with(b"CARGO_MANIFEST_")
}

/// The profile of this very program, so that `cargo run --release` gives a released guard.
const fn profile_arguments() -> &'static [&'static str] {
    if cfg!(debug_assertions) {
        &[]
    } else {
        &["--release"]
    }
}

/// Becomes `tripline`: same process, so that signals and the exit code are its own. Returns only when that failed.
fn become_tripline(path: &Path) -> LaunchError {
    let error = Command::new(path).args(env::args_os().skip(1)).exec();
    LaunchError::Exec(path.to_owned(), error)
}

fn launch() -> Result<std::convert::Infallible, LaunchError> {
    let place = Place::find()?;
    eprintln!("building the guard and the command (first time: a few minutes)");
    for package in PACKAGES {
        place.build(package)?;
    }
    Err(become_tripline(&place.tripline))
}

fn main() -> ExitCode {
    match launch() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("tripline-launch: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_built_by_its_own_invocation_into_our_own_target_directory() {
        let place = Place {
            cargo: OsString::from("cargo"),
            manifest: PathBuf::from("/w/Cargo.toml"),
            target_dir: PathBuf::from("/w/target"),
            tripline: PathBuf::from("/w/target/debug/tripline"),
        };
        for package in PACKAGES {
            let command = place.build_command(package);
            let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
            assert_eq!(arguments.first().map(AsRef::as_ref), Some("build"));
            let packages = arguments.iter().filter(|a| a.starts_with("appliance-"));
            assert_eq!(
                packages.count(),
                1,
                "one package an invocation: {arguments:?}"
            );
            assert_eq!(
                arguments.iter().any(|a| a == "--release"),
                !cfg!(debug_assertions)
            );
            assert!(arguments.ends_with(&["--target-dir".into(), "/w/target".into()]));
        }
    }

    #[test]
    fn only_what_describes_this_package_is_kept_from_a_build() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR"] {
            assert!(is_about_this_package(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "PATH"] {
            assert!(!is_about_this_package(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_command_is_looked_for_beside_this_program() {
        let place = Place::find().unwrap();
        assert_eq!(place.tripline.file_name().unwrap(), "tripline");
        assert!(place.tripline.starts_with(&place.target_dir));
    }

    #[test]
    fn a_missing_cargo_is_named() {
        let mut place = Place::find().unwrap();
        place.cargo = OsString::from("/nonexistent/cargo");
        let error = place.build("appliance-guard").unwrap_err();
        assert!(error.to_string().contains("/nonexistent/cargo"), "{error}");
    }
}
