//! The product's binaries, built the way they are shipped: each by its own `cargo build`, in the profile of the test.
//!
//! `cargo test --workspace` builds a guard too, but with Cranelift unified into its wasmtime (docs/decisions/0002); that
//! is not the guard that people run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The guard.
pub fn guard() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("appliance-guard", "tripline-guard"))
}

/// A guard that can be told to fail: feature `inject` of appliance-guard, under a name of its own.
pub fn guard_that_fails() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let binary = "tripline-guard-inject";
        let more = ["--features", "inject", "--bin", binary];
        build_with("appliance-guard", binary, &more)
    })
}

/// The command.
pub fn tripline() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("appliance-cli", "tripline"))
}

fn build(package: &str, binary: &str) -> PathBuf {
    build_with(package, binary, &[])
}

fn build_with(package: &str, binary: &str, more: &[&str]) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", package]);
    command.args(more);
    // What `cargo test` tells its tests about their own package must not reach another build: ring's build script asks
    // to be run again when these change, and half of the tree would be compiled anew, here and in the next build outside.
    for (name, _) in std::env::vars_os() {
        let of_this_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if of_this_package
            .iter()
            .any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        {
            command.env_remove(name);
        }
    }
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = if cfg!(debug_assertions) {
        "debug"
    } else {
        command.arg("--release");
        "release"
    };
    let status = command.status().expect("cargo starts");
    assert!(status.success(), "{package} builds");
    let path = target_folder().join(folder).join(binary);
    assert!(path.exists(), "{} was built", path.display());
    path
}

/// The folder that holds the profiles' folders: this program lies in `target/PROFILE/deps`.
fn target_folder() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    let folder = program
        .ancestors()
        .nth(3)
        .expect("it lies in target/PROFILE/deps");
    folder.to_owned()
}
