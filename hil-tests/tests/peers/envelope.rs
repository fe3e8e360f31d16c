//! The examples of `docs/mqtt-envelope.md`, run as they are printed, against the check in Rust: two implementations by
//! other means agree on the bytes.

use drivers_mqtt::envelope::{Check, open};
use drivers_mqtt::{CheckConfig, read_key_file};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use hil_tests::peers::require;

const PAGE: &str = include_str!("../../../docs/mqtt-envelope.md");
const TOPIC: &str = "plant/press/temperature";

/// The page's first block of `language` that holds `mark`.
fn block(language: &str, mark: &str) -> &'static str {
    PAGE.split(&format!("```{language}\n"))
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .find(|block| block.contains(mark))
        .unwrap()
}

fn key_file(folder: &Path, content: &[u8]) -> (String, CheckConfig) {
    let path = folder.join("key");
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let key = read_key_file(&path).unwrap();
    (
        path.to_str().unwrap().into(),
        CheckConfig::HmacSha256 { key },
    )
}

fn fits(message: &[u8], check: &CheckConfig, payload: &[u8]) {
    let shown = String::from_utf8_lossy(message);
    let letter = open(message).unwrap_or_else(|| panic!("no envelope: {shown}"));
    assert_eq!(letter.payload, payload, "{shown}");
    assert_eq!(letter.header.source, "press-7");
    let check = Check::new(check).unwrap();
    assert!(check.fits(TOPIC, &letter), "{shown}");
    assert!(!check.fits("plant/other", &letter), "{shown}");
}

#[test]
fn h20_the_python_example_writes_what_the_guard_takes() {
    let Some(python) = require("python3") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("envelope.py"),
        block("python", "def envelope"),
    )
    .unwrap();
    let run = |key: &str, payload: &str| {
        let program = format!(
            "import envelope, sys\nkey = envelope.read_key({key:?}) if {key:?} else None\n\
             sys.stdout.buffer.write(envelope.envelope({TOPIC:?}, 'press-7', 4294967295, 1795219200000000000, {payload:?}.encode(), key))"
        );
        let output = Command::new(&python)
            .args(["-c", &program])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    for payload in ["47.25", "", "{\"value\": 1,\n \"unit\": \"\u{b0}C\"}"] {
        fits(&run("", payload), &CheckConfig::Crc32c, payload.as_bytes());
        for key in [
            &b"00112233445566778899aabbccddeeff\n"[..],
            b"not hex, and more than 16 bytes\n",
            &[0xFF; 100],
        ] {
            let (path, check) = key_file(folder.path(), key);
            fits(&run(&path, payload), &check, payload.as_bytes());
        }
    }
}

#[test]
fn h20_the_shell_example_writes_what_the_guard_takes() {
    if require("openssl").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("envelope.sh");
    let mut file = std::fs::File::create(&script).unwrap();
    file.write_all(block("sh", "macopt").as_bytes()).unwrap();
    let (path, check) = key_file(folder.path(), b"00112233445566778899aabbccddeeff\n");
    let output = Command::new("sh")
        .arg(&script)
        .args([TOPIC, "press-7", "7", &path, "47.25"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    fits(&output.stdout, &check, b"47.25");
}
