//! What is linked into the guard, as cargo itself says.

use std::process::Command;

/// Parts of package names that must not be in the guard: compilers (cranelift-bitset and -entity are containers that
/// wasmtime's runtime uses), YAML, HTTP, SQL, and whatever schedules tasks by itself (docs/decisions/0002).
const NEVER: [&str; 12] = [
    "cranelift-codegen",
    "cranelift-frontend",
    "wasmtime-internal-cranelift",
    "regalloc",
    "winch",
    "saphyr",
    "yaml",
    "hyper",
    "axum",
    "sqlite",
    "tokio",
    "rules-pack",
];

fn packages_of(package: &str) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--package", package, "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("package names");
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn the_guard_holds_no_compiler_no_yaml_no_http_no_sql() {
    let guard = packages_of("appliance-guard");
    for never in NEVER {
        let found = guard.iter().find(|name| name.contains(never));
        assert_eq!(found, None, "the guard must not hold {never}");
    }
    assert!(
        guard.iter().any(|name| name == "wasmtime"),
        "it runs modules"
    );
    // The same look at the command finds what it searches for: it is not blind.
    let command = packages_of("appliance-cli");
    for known in ["wasmtime-internal-cranelift", "regalloc", "saphyr"] {
        assert!(
            command.iter().any(|name| name.contains(known)),
            "the command holds {known}"
        );
    }
}
