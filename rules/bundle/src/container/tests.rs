//! Nothing opens that this host's key did not seal, and what it sealed opens as it was.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::testing::{self, key};

fn plan() -> Plan {
    testing::plan(testing::lane())
}

fn code() -> Vec<LaneCode> {
    vec![LaneCode {
        wasm: vec![1, 2, 3],
        native: vec![4, 5],
    }]
}

fn of(lanes: &[LaneCode]) -> Code<'_> {
    Code {
        lanes,
        ..Code::default()
    }
}

fn sealed() -> Vec<u8> {
    seal(&plan(), of(&code()), "tripline: 1\n", &key()).unwrap()
}

/// A container of these sections with the right hash, without a tag.
fn container(version: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(body));
    bytes.extend_from_slice(body);
    bytes
}

fn tagged(mut container: Vec<u8>, key: &BundleKey) -> Vec<u8> {
    let tag = key.tag(&container);
    container.extend_from_slice(&tag);
    container
}

#[test]
fn what_was_sealed_is_what_opens() {
    let bundle = open(&sealed(), &key()).unwrap();
    assert_eq!(bundle.plan, plan());
    assert_eq!(bundle.lanes, code());
    assert_eq!(bundle.source, "tripline: 1\n");
    assert_eq!(sealed(), sealed(), "the same pack gives the same bytes");
}

#[test]
fn i13_every_flipped_bit_and_every_truncation_is_refused() {
    let sealed = sealed();
    for index in 0..sealed.len() {
        for bit in 0..8 {
            let mut damaged = sealed.clone();
            damaged[index] ^= 1 << bit;
            assert!(open(&damaged, &key()).is_err(), "I13: bit {bit} of {index}");
        }
        assert!(
            open(&sealed[..index], &key()).is_err(),
            "I13: cut at {index}"
        );
    }
    let mut longer = sealed;
    longer.push(0);
    assert!(open(&longer, &key()).is_err());
}

#[test]
fn i13_a_bundle_of_another_host_is_refused_and_says_what_to_do() {
    let mut secret = testing::SECRET;
    secret[31] ^= 1;
    for other in [secret, [0; 32]] {
        let other = BundleKey::new(other, Path::new("/elsewhere/bundle.key"));
        let error = open(&sealed(), &other).unwrap_err();
        let words = error.to_string();
        assert!(matches!(error, BundleError::NotOurs { .. }), "I13: {words}");
        assert!(
            words.contains("not built on this host")
                && words.contains("/elsewhere/bundle.key")
                && words.contains("tripline build PACK -o FILE"),
            "{words}"
        );
    }
}

#[test]
fn i13_a_right_hash_is_no_tag() {
    // What could be written by whoever may write the file: everything is right but the tag.
    let whole = sealed();
    let (container, _) = whole.split_last_chunk::<TAG_BYTES>().unwrap();
    let hash: [u8; 32] = Sha256::digest(container).into();
    for tag in [[0; 32], [0xff; 32], hash] {
        let forged = [container, tag.as_slice()].concat();
        assert!(
            matches!(open(&forged, &key()), Err(BundleError::NotOurs { .. })),
            "I13"
        );
    }
    // A tag of the container alone, without the label: made with the key for something else.
    let mut mac = <hmac::Hmac<Sha256> as hmac::Mac>::new_from_slice(&testing::SECRET).unwrap();
    hmac::Mac::update(&mut mac, container);
    let unlabelled: [u8; 32] = hmac::Mac::finalize(mac).into_bytes().into();
    let forged = [container, unlabelled.as_slice()].concat();
    assert!(
        matches!(open(&forged, &key()), Err(BundleError::NotOurs { .. })),
        "I13: one key, one meaning"
    );
}

#[test]
fn h72_a_container_of_another_version_is_refused_with_its_number_tag_or_not() {
    for version in [0, 1, 2, 3, VERSION + 1] {
        let bare = container(version, &[]);
        for bytes in [bare.clone(), tagged(bare.clone(), &key())] {
            match open(&bytes, &key()) {
                Err(BundleError::Version { found, .. }) => assert_eq!(found, version, "H-72"),
                other => panic!("H-72: version {version}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_plan_with_a_dangling_index_is_refused_even_when_hash_and_tag_are_right() {
    let mut dangling = plan();
    dangling.lanes[0].ages.push(drivers_frame::TagId(3));
    assert!(matches!(
        seal(&dangling, of(&code()), "", &key()),
        Err(SealError::Plan(PlanError::Dangling { .. }))
    ));
    // The same plan sealed by someone who does not check: hash and tag right, content wrong.
    let mut body = Vec::new();
    push_section(
        &mut body,
        KIND_PLAN,
        0,
        &postcard::to_stdvec(&dangling).unwrap(),
    );
    let bytes = tagged(container(VERSION, &body), &key());
    assert!(
        matches!(
            open(&bytes, &key()),
            Err(BundleError::Plan(PlanError::Dangling { .. }))
        ),
        "H-48"
    );
}

#[test]
fn a_yaml_pack_given_to_the_guard_says_what_to_do() {
    let error = open(
        b"tripline: 1\npack:\n  name: x\n  description: longer than a tag\n",
        &key(),
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("tripline build"), "{error}");
}

proptest! {
    #[test]
    fn i13_nothing_that_the_key_did_not_seal_opens(
        at in any::<prop::sample::Index>(),
        insert in prop::collection::vec(any::<u8>(), 0..64),
        remove in 0_usize..64,
        secret in any::<[u8; 32]>(),
    ) {
        let sealed = sealed();
        let at = at.index(sealed.len());
        let rest = &sealed[(at + remove).min(sealed.len())..];
        let changed = [&sealed[..at], &insert, rest].concat();
        prop_assert_eq!(open(&changed, &key()).is_ok(), changed == sealed, "I13");
        let other = BundleKey::new(secret, Path::new("other"));
        prop_assert!(open(&sealed, &other).is_err(), "I13");
    }
}
