//! What the guard refuses to start with: a named exit code, a sentence on standard error, and no device touched.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use hil_tests::guard::Site;
use hil_tests::hostile::Device;
use hil_tests::stand::{Setup, Stand};
use hil_tests::{binaries, packs};

fn run(args: &[std::ffi::OsString]) -> Output {
    Command::new(binaries::guard())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the guard starts")
}

/// Runs it on this bundle, which must be refused with `code` and words that hold `cause`.
fn refused(site: &Site, code: i32, cause: &str) {
    let output = run(&site.args());
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words}");
    assert!(words.contains(cause), "{cause:?} in {words:?}");
    assert!(!words.contains("panicked"), "{words}");
    assert!(!site.socket().exists(), "no socket is left behind");
}

#[test]
fn without_its_arguments_it_says_how_it_is_used_and_ends_with_2() {
    for args in [
        &[][..],
        &["--bundle"],
        &["--bundle", "x"],
        &["--socket", "x"],
        &["--bundle", "x", "--socket", "y", "--force"],
    ] {
        let args: Vec<_> = args.iter().map(std::ffi::OsString::from).collect();
        let output = run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(words.contains("usage: tripline-guard --bundle FILE --socket PATH"));
    }
}

#[test]
fn i13_a_bundle_that_was_not_built_with_this_hosts_key_is_refused_with_3_and_no_flag_helps() {
    let device = Device::default();
    let bundle = packs::bundle(&Setup::default().yaml(device.address()));
    let site = Site::new(&bundle);
    let both = |cause: &str| {
        refused(&site, 3, cause);
        let args = site.args().into_iter().chain(["--allow-unsigned".into()]);
        let output = run(&args.collect::<Vec<_>>());
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "I13: {words}");
        assert!(words.contains(cause), "I13: {words}");
    };
    let mut other = rules_bundle::testing::SECRET;
    other[0] ^= 1;
    site.write_key(&other);
    both("this bundle was not built on this host");
    site.write_key(&other[..31]);
    both("is not a plain file of 32 bytes");
    site.write_key(&rules_bundle::testing::SECRET);
    let everybody = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(site.key(), everybody).expect("it is ours");
    both("has mode 644: others may know it");
    std::fs::remove_file(site.key()).expect("it is ours");
    both("`tripline build PACK -o FILE` makes the key");
    // A version before tags: no program makes one any more, so only its header is like one.
    site.write_key(&rules_bundle::testing::SECRET);
    let mut old = bundle;
    old[16] = 2;
    std::fs::write(site.bundle(), old).expect("it is ours");
    both("container version 2");
    assert_eq!(device.connections_taken(), 0);
}

#[test]
fn i13_the_key_is_looked_for_where_the_build_left_it() {
    let device = Device::default();
    let site = Site::new(&packs::bundle(&Setup::default().yaml(device.address())));
    let state = site.key().parent().expect("its folder").to_owned();
    let start = |state: &std::path::Path| {
        Command::new(binaries::guard())
            .arg("--bundle")
            .arg(site.bundle())
            .arg("--socket")
            // No socket can be made in a file: it ends there, and that is behind the bundle.
            .arg(site.bundle().join("x"))
            .env("TRIPLINE_STATE", state)
            .stdin(Stdio::null())
            .output()
            .expect("the guard starts")
    };
    let output = start(&state);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "I13: {words}");
    let elsewhere = state.join("elsewhere");
    let output = start(&elsewhere);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "I13: {words}");
    let place = elsewhere.join("bundle.key").display().to_string();
    assert!(words.contains(&place), "I13: {words}");
}

#[test]
fn h65_h67_a_bundle_that_is_not_whole_is_refused_with_3_and_no_device_is_touched() {
    let device = Device::default();
    let yaml = Setup::default().yaml(device.address());
    let bundle = packs::bundle(&yaml);
    // Whether it would start if nothing were wrong is shown by every other test.
    let mut damaged: Vec<Vec<u8>> = Vec::new();
    let step = bundle.len() / 40;
    for at in (0..bundle.len()).step_by(step.max(1)) {
        let mut bytes = bundle.clone();
        bytes[at] ^= 0x10;
        damaged.push(bytes);
    }
    for length in [0, 1, 8, bundle.len() / 2, bundle.len() - 1] {
        damaged.push(bundle[..length].to_vec());
    }
    damaged.push([&bundle[..], b"\0"].concat());
    damaged.push(yaml.clone().into_bytes());
    damaged.push(vec![0; 4096]);
    for bytes in damaged {
        refused(&Site::new(&bytes), 3, "test.bundle: ");
    }
    assert_eq!(device.connections_taken(), 0);
}

#[test]
fn a_file_that_is_none_or_that_anybody_may_write_is_refused_with_3() {
    let device = Device::default();
    let bundle = packs::bundle(&Setup::default().yaml(device.address()));
    let site = Site::new(&bundle);
    let everybody = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(site.bundle(), everybody).expect("it is ours");
    refused(&site, 3, "chmod o-w");
    std::fs::remove_file(site.bundle()).expect("it is ours");
    refused(&site, 3, "No such file");
    std::fs::create_dir(site.bundle()).expect("nothing is there");
    refused(&site, 3, "not a regular file");
    assert_eq!(device.connections_taken(), 0);
}

#[test]
fn a_socket_that_another_guard_holds_is_refused_with_4_and_the_other_goes_on() {
    let stand = Stand::armed(&Setup::default());
    let other = Device::default();
    let site = Site::new(&packs::bundle(&Setup::default().yaml(other.address())));
    let args = |socket: std::path::PathBuf| {
        let mut args = site.args();
        *args.last_mut().expect("the socket") = socket.into();
        args
    };
    let output = run(&args(stand.guard.socket()));
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{words}");
    assert!(words.contains("another guard already answers"), "{words}");
    assert_eq!(other.connections_taken(), 0);
    assert!(
        stand.guard.status().state.permits(),
        "its socket is still there"
    );
    // A file that is no socket is nobody's to remove; a folder that does not exist cannot hold one.
    for (socket, cause) in [
        (site.bundle(), "is not a socket"),
        (site.bundle().join("x"), "could not be opened"),
    ] {
        let output = run(&args(socket));
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{words}");
        assert!(words.contains(cause), "{words}");
    }
    assert!(site.bundle().is_file());
}

#[test]
fn a_host_that_does_not_resolve_is_refused_with_5() {
    let device = Device::default();
    let yaml = Setup::default()
        .yaml(device.address())
        .replace("host: 127.0.0.1", "host: no-such-device.invalid");
    refused(
        &Site::new(&packs::bundle(&yaml)),
        5,
        "no-such-device.invalid",
    );
}
