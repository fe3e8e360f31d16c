//! What is admitted, and what is refused, with keys and signatures as they are on disk.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rules_sdk_trust::{
    Artefact, KeyError, KeyRing, Kind, Manifest, Policy, Refusal, Signer, Target, Trust, Versions,
    VersionsError, generate,
};

const NOW: u64 = 1_795_305_600 - 3_600;
const MODULE: &[u8] = b"\0asm module";

struct Bench {
    dir: tempfile::TempDir,
    signer: Signer,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("trusted.d");
        fs::create_dir(&keys).unwrap();
        fs::set_permissions(&keys, Permissions::from_mode(0o755)).unwrap();
        let (public, secret) = generate(None).unwrap();
        write(&keys.join("maker.pub"), &public);
        let signer = Signer::open(&secret, None).unwrap();
        Self { dir, signer }
    }

    fn policy(&self) -> Policy {
        let folder = self.dir.path().join("trusted.d");
        Policy {
            keys: KeyRing::load(&folder).unwrap(),
            folder: folder.display().to_string(),
            gateway: "hall-7".into(),
            now: NOW,
            versions: Versions::load(&self.dir.path().join("versions")).unwrap(),
            allow_unsigned: false,
        }
    }

    fn sign(&self, bytes: &[u8], manifest: &str) -> String {
        self.signer
            .sign(bytes, &manifest.parse::<Manifest>().unwrap())
            .unwrap()
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

fn manifest(version: u64) -> String {
    format!("tripline kind=analyzer id=bearing version={version} target=any expires=never")
}

fn bearing(version: u64) -> Artefact<'static> {
    Artefact {
        kind: Kind::Analyzer,
        id: "bearing",
        version: Some(version),
    }
}

#[test]
fn a_signed_module_is_admitted_and_its_signer_is_named() {
    let bench = Bench::new();
    let signature = bench.sign(MODULE, &manifest(3));
    let trust = bench
        .policy()
        .admit(&bearing(3), MODULE, Some(&signature))
        .unwrap();
    let Trust::Signed { signer, manifest } = trust else {
        panic!("{trust:?}");
    };
    assert_eq!(
        (signer.as_str(), manifest.version, manifest.target),
        ("maker", 3, Target::Any)
    );
}

#[test]
fn h65_unsigned_is_refused_unless_for_development() {
    let bench = Bench::new();
    let mut policy = bench.policy();
    assert_eq!(
        policy.admit(&bearing(1), MODULE, None),
        Err(Refusal::NotSigned),
        "H-65, I13"
    );
    policy.allow_unsigned = true;
    assert_eq!(policy.admit(&bearing(1), MODULE, None), Ok(Trust::Unsigned));
    // A bad signature is worse than none.
    let other = Bench::new().sign(MODULE, &manifest(1));
    assert!(matches!(
        policy.admit(&bearing(1), MODULE, Some(&other)),
        Err(Refusal::WrongKey { .. })
    ));
}

#[test]
fn h65_a_gateway_without_any_key_says_that_it_has_none_and_not_that_the_file_was_changed() {
    let bench = Bench::new();
    let signature = bench.sign(MODULE, &manifest(3));
    let mut policy = bench.policy();
    policy.keys = KeyRing::default();
    let refused = policy
        .admit(&bearing(3), MODULE, Some(&signature))
        .unwrap_err();
    assert!(matches!(refused, Refusal::NoKeys { .. }), "H-65: {refused}");
    assert!(!refused.to_string().contains("changed"), "{refused}");
}

#[test]
fn h65_every_changed_byte_of_content_and_signature_is_seen() {
    let bench = Bench::new();
    let signature = bench.sign(MODULE, &manifest(3));
    let mut policy = bench.policy();
    for index in 0..MODULE.len() {
        let mut bytes = MODULE.to_vec();
        bytes[index] ^= 1;
        let refused = policy.admit(&bearing(3), &bytes, Some(&signature));
        assert!(
            matches!(refused, Err(Refusal::WrongKey { .. })),
            "I13: byte {index}"
        );
    }
    let untrusted = signature.find('\n').unwrap();
    for index in untrusted + 1..signature.trim_end().len() {
        let mut bytes = signature.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(
            policy.admit(&bearing(3), MODULE, Some(&changed)).is_err(),
            "I13: byte {index} of\n{changed}"
        );
    }
}

#[test]
fn h65_another_artefact_another_gateway_and_an_expired_one_are_refused() {
    let bench = Bench::new();
    let mut policy = bench.policy();
    let mut admit = |text: &str, now| {
        policy.now = now;
        let signature = bench.sign(MODULE, text);
        policy.admit(&bearing(3), MODULE, Some(&signature))
    };
    let text = |from: &str, to: &str| manifest(3).replace(from, to);
    for (from, to) in [
        ("id=bearing", "id=pump"),
        ("kind=analyzer", "kind=pack"),
        ("version=3", "version=4"),
    ] {
        assert!(
            matches!(
                admit(&text(from, to), NOW),
                Err(Refusal::OtherArtefact { .. })
            ),
            "H-65: {to}"
        );
    }
    let other = admit(&text("target=any", "target=hall-8"), NOW);
    assert!(matches!(other, Err(Refusal::OtherTarget { .. })), "H-65");
    assert!(admit(&text("target=any", "target=hall-7"), NOW).is_ok());
    let expiring = text("expires=never", "expires=2026-11-21");
    assert!(admit(&expiring, NOW).is_ok(), "the day is not over");
    assert!(
        matches!(admit(&expiring, NOW + 3_600), Err(Refusal::Expired(_))),
        "H-65"
    );
}

#[test]
fn h66_a_version_never_goes_back_and_never_changes() {
    let bench = Bench::new();
    let admit = |version, bytes: &[u8]| {
        let mut policy = bench.policy();
        let signature = bench.sign(bytes, &manifest(version));
        let admitted = policy.admit(&bearing(version), bytes, Some(&signature));
        if admitted.is_ok() {
            policy.commit().unwrap();
        }
        admitted
    };
    admit(3, MODULE).unwrap();
    admit(3, MODULE).unwrap();
    assert!(
        matches!(admit(3, b"other"), Err(Refusal::SameVersion { .. })),
        "H-66"
    );
    assert!(
        matches!(admit(2, MODULE), Err(Refusal::Older { installed: 3, .. })),
        "H-66"
    );
    admit(5, MODULE).unwrap();
    assert!(
        matches!(admit(4, MODULE), Err(Refusal::Older { installed: 5, .. })),
        "H-66"
    );
}

#[test]
fn h79_an_expiry_fails_closed_when_the_clock_went_back() {
    let bench = Bench::new();
    let mut policy = bench.policy();
    let signature = bench.sign(MODULE, &manifest(1).replace("never", "2027-12-31"));
    policy.admit(&bearing(1), MODULE, Some(&signature)).unwrap();
    policy.commit().unwrap();
    let mut back = bench.policy();
    back.now = NOW - 7_200;
    assert_eq!(
        back.admit(&bearing(1), MODULE, Some(&signature)),
        Err(Refusal::ClockWentBack),
        "H-79"
    );
    let forever = bench.sign(MODULE, &manifest(1));
    assert!(
        back.admit(&bearing(1), MODULE, Some(&forever)).is_ok(),
        "what does not expire needs no clock"
    );
}

#[test]
fn a_build_that_fails_remembers_nothing() {
    let bench = Bench::new();
    let signature = bench.sign(MODULE, &manifest(9));
    bench
        .policy()
        .admit(&bearing(9), MODULE, Some(&signature))
        .unwrap();
    let signature = bench.sign(MODULE, &manifest(8));
    assert!(
        bench
            .policy()
            .admit(&bearing(8), MODULE, Some(&signature))
            .is_ok()
    );
}

#[test]
fn h66_a_damaged_file_of_versions_installs_nothing() {
    let bench = Bench::new();
    let path = bench.dir.path().join("versions");
    let mut policy = bench.policy();
    let signature = bench.sign(MODULE, &manifest(3));
    policy.admit(&bearing(3), MODULE, Some(&signature)).unwrap();
    policy.commit().unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    assert!(Versions::load(&path).is_ok());
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let loaded = Versions::load(&path);
        assert!(
            matches!(loaded, Err(VersionsError::Damaged { .. })),
            "H-66, H-73: cut at {cut}"
        );
    }
    for damaged in [
        whole.replace("bearing 3", "bearing x"),
        format!("{whole}\n"),
        format!("{whole}seen 1\n"),
        whole.replace("versions 1", "versions 2"),
    ] {
        fs::write(&path, &damaged).unwrap();
        assert!(Versions::load(&path).is_err(), "{damaged}");
    }
}

#[test]
fn keys_that_others_could_have_written_are_not_trusted() {
    let bench = Bench::new();
    let folder = bench.dir.path().join("trusted.d");
    let key = folder.join("maker.pub");
    fs::set_permissions(&key, Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(KeyRing::load(&folder), Err(KeyError::Writable { path }) if path == key));
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(KeyRing::load(&folder), Err(KeyError::Writable { path }) if path == folder));
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    write(&folder.join("b.pub"), "not a key\n");
    assert!(matches!(
        KeyRing::load(&folder),
        Err(KeyError::NotAKey { .. })
    ));
    fs::remove_file(folder.join("b.pub")).unwrap();
    write(
        &folder.join("notes.txt"),
        "not a key, and not taken for one",
    );
    assert_eq!(
        KeyRing::load(&folder).unwrap().names().collect::<Vec<_>>(),
        ["maker"]
    );
    assert!(KeyRing::load(&folder.join("missing")).unwrap().is_empty());
}

#[test]
fn an_encrypted_key_signs_with_its_password_only() {
    let (public, secret) = generate(Some("correct horse".into())).unwrap();
    assert!(Signer::open(&secret, None).is_err());
    assert!(Signer::open(&secret, Some("wrong".into())).is_err());
    let signer = Signer::open(&secret, Some("correct horse".into())).unwrap();
    let signature = signer.sign(MODULE, &manifest(1).parse().unwrap()).unwrap();
    let bench = Bench::new();
    write(&bench.dir.path().join("trusted.d/second.pub"), &public);
    let trust = bench
        .policy()
        .admit(&bearing(1), MODULE, Some(&signature))
        .unwrap();
    assert!(matches!(trust, Trust::Signed { signer, .. } if signer == "second"));
}
