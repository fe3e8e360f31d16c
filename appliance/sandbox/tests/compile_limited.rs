//! Foreign modules are compiled in a process that cannot do harm (H-44). This program is its own compiler: called with the
//! subcommand it confines itself and compiles.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test with a main of its own"
)]

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use appliance_sandbox::{
    COMPILE_COMMAND, CompileLimits, Engine, LimitedError, compile, compile_limited,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == COMPILE_COMMAND)
    {
        return appliance_sandbox::serve(&arguments[1..]);
    }
    if arguments.first().is_some_and(|first| first == TRESPASS) {
        return trespass();
    }
    let tests: &[(&str, fn())] = &[
        (
            "h44_the_artefact_is_the_one_that_is_made_here",
            same_artefact,
        ),
        ("h44_what_the_compiler_refuses_is_said", refused),
        ("h44_each_limit_ends_a_bomb_and_is_named", limits),
        (
            "h44_the_longest_function_that_the_gate_lets_pass_is_within_the_limits",
            largest,
        ),
        (
            "h44_the_worst_that_the_gate_lets_pass_is_within_the_limits",
            worst,
        ),
        ("h44_other_programs_are_no_compilers", other_programs),
        ("h44_no_file_socket_or_process_can_be_made", confined),
    ];
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

fn own() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn small() -> Vec<u8> {
    wat::parse_str("(module (func (export \"f\") (result i32) (i32.const 7)))").unwrap()
}

fn same_artefact() {
    let engine = Engine::new().unwrap();
    let here = compile(&engine, &small()).unwrap();
    let there = compile_limited(&own(), &small(), CompileLimits::default()).unwrap();
    assert_eq!(here, there, "H-44: byte for byte");
}

fn refused() {
    let limits = CompileLimits::default();
    for bytes in [
        &b"\0asm\x01\0\0\0\x01"[..],
        b"",
        b"not a module",
        &vec![0; 2 << 20],
    ] {
        let error = compile_limited(&own(), bytes, limits).unwrap_err();
        assert!(
            matches!(&error, LimitedError::Refused(text) if !text.is_empty()),
            "H-44: {error}"
        );
    }
}

/// A function of about so many bytes, whose every operation depends on all before it.
fn long(bytes: usize) -> Vec<u8> {
    let mut text = String::from("(module (func (export \"f\") (param i64) (result i64)");
    for index in 0..bytes / 12 {
        write!(
            text,
            "(local.set 0 (i64.add (local.get 0) (i64.xor (local.get 0) (i64.const {}))))",
            index % 64
        )
        .unwrap();
    }
    text.push_str("(local.get 0)))");
    wat::parse_str(&text).unwrap()
}

/// Blocks in blocks, each with a branch to many around it, and many locals that all stay alive; so many times after another.
fn nested(times: usize, depth: usize, locals: usize) -> Vec<u8> {
    wat::parse_str(format!("(module {})", knot(times, depth, locals))).unwrap()
}

fn knot(times: usize, depth: usize, locals: usize) -> String {
    let mut text = String::from("(func (param i32) (result i32)");
    for _ in 0..locals {
        text.push_str("(local i32)");
    }
    for level in (0..times).flat_map(|_| 0..depth) {
        write!(
            text,
            "(block (local.set {} (i32.add (local.get {}) (local.get 0)))",
            1 + level % locals,
            1 + (level * 7) % locals
        )
        .unwrap();
        for out in (0..=level).rev().step_by(1 + depth / 40) {
            write!(text, "(br_if {out} (local.get {}))", 1 + (out * 3) % locals).unwrap();
        }
        if level + 1 == depth {
            text.push_str(&")".repeat(depth));
        }
    }
    for local in 0..locals {
        write!(
            text,
            "(local.set 0 (i32.add (local.get 0) (local.get {})))",
            1 + local
        )
        .unwrap();
    }
    text.push_str("(local.get 0))");
    text
}

fn limits() {
    let generous = CompileLimits::default();
    // Takes 200 MiB: far beyond what the limits below allow, on any host.
    let bomb = long(900_000);
    // Takes half a minute: the size of a module does not bound what it costs. The gate lets nothing so deep pass.
    let knot = nested(1, 400, 400);
    let cases = [
        (
            CompileLimits {
                memory_bytes: 96 << 20,
                ..generous
            },
            "memory",
        ),
        (
            CompileLimits {
                cpu_s: 1,
                ..generous
            },
            "processor time",
        ),
        (
            CompileLimits {
                wall: Duration::from_millis(40),
                ..generous
            },
            "longer than",
        ),
        (
            CompileLimits {
                artefact_bytes: 1_000,
                ..generous
            },
            "machine code",
        ),
    ];
    for (limits, expected) in cases {
        // The artefact of a small module is some kilobytes.
        let wasm = match expected {
            "machine code" => &small(),
            "memory" => &bomb,
            _ => &knot,
        };
        let error = compile_limited(&own(), wasm, limits).unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "H-44: {expected}: {error}"
        );
    }
}

/// All of a module's code is such knots, as long as a function may be: the worst that is known to pass the gate.
fn worst() {
    use rt_config::limits::{
        ANALYZER_CODE_BYTES_MAX, ANALYZER_FUNCTION_BYTES_MAX, ANALYZER_LOCALS_MAX,
        ANALYZER_NESTING_MAX,
    };
    let (depth, locals) = (
        ANALYZER_NESTING_MAX as usize,
        ANALYZER_LOCALS_MAX as usize - 1,
    );
    let one = nested(1, depth, locals).len();
    let two = nested(2, depth, locals).len();
    let times = 1 + (ANALYZER_FUNCTION_BYTES_MAX - one) / (two - one);
    let functions = ANALYZER_CODE_BYTES_MAX / ANALYZER_FUNCTION_BYTES_MAX;
    let knots = knot(times, depth, locals).repeat(functions);
    let wasm = wat::parse_str(format!("(module {knots})")).unwrap();
    assert!(
        wasm.len() * 10 > ANALYZER_CODE_BYTES_MAX * 7,
        "{}",
        wasm.len()
    );
    let compiled = compile_limited(&own(), &wasm, CompileLimits::default());
    assert!(compiled.is_ok(), "H-44: {:?}", compiled.err());
}

fn largest() {
    let limit = rt_config::limits::ANALYZER_FUNCTION_BYTES_MAX;
    for size in [limit / 2, limit - 1_000] {
        let compiled = compile_limited(&own(), &long(size), CompileLimits::default());
        assert!(compiled.is_ok(), "H-44: {size}: {:?}", compiled.err());
    }
}

fn other_programs() {
    let limits = CompileLimits::default();
    let missing = compile_limited(&PathBuf::from("/nonexistent"), &small(), limits).unwrap_err();
    assert!(matches!(missing, LimitedError::Start { .. }), "{missing}");
    let wrong = compile_limited(&PathBuf::from("/bin/false"), &small(), limits).unwrap_err();
    assert!(matches!(wrong, LimitedError::Crashed { .. }), "{wrong}");
}

fn confined() {
    // Whoever does not say how much it may use compiles nothing.
    let output = std::process::Command::new(own())
        .arg(COMPILE_COMMAND)
        .args(["x", "1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(11), "H-44");
    // In a process of its own, since it is for good: it confines itself by compiling, and then tries all the same.
    let output = std::process::Command::new(own())
        .arg(TRESPASS)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "H-44: {said}");
}

/// The subcommand under which this program confines itself and then tries what it may not.
const TRESPASS: &str = "trespass";

fn trespass() -> ExitCode {
    // Nothing on standard input is no module: it is refused, after the process was confined.
    let _ = appliance_sandbox::serve(&["1073741824".into(), "60".into()]);
    let mut done = Vec::new();
    if std::fs::read("/proc/self/status").is_ok() {
        done.push("a file was read");
    }
    if std::net::TcpListener::bind("127.0.0.1:0").is_ok()
        || std::net::UdpSocket::bind("127.0.0.1:0").is_ok()
    {
        done.push("a socket was made");
    }
    if std::os::unix::net::UnixStream::pair().is_ok() {
        done.push("a pair of sockets was made");
    }
    if std::process::Command::new("/bin/true").spawn().is_ok() {
        done.push("a process was started");
    }
    if std::thread::Builder::new().spawn(|| ()).is_ok() {
        done.push("a thread was started");
    }
    if rt_config::cpu::pin_to(0).is_ok() {
        done.push("its processor was chosen");
    }
    if done.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("{done:?}");
    ExitCode::FAILURE
}
