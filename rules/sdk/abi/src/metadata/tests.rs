use super::*;

const EXAMPLE: &str = r#"{
    "abi": "core/1", "name": "level-watch", "version": 1, "summary": "RMS against a limit",
    "inputs": [{ "name": "speed", "unit": "rpm" }],
    "waveform": { "name": "vibration", "unit": "g", "format": "f32", "samples_min": 256, "samples_max": 4096 },
    "outputs": [{ "name": "rms", "unit": "g", "min": 0, "max": 1000 }],
    "params": [{ "name": "limit", "unit": "g", "min": 0, "max": 1000, "default": 2.5 }],
    "causes": ["rms-high"],
    "worst_case": { "fuel": 200000 }
}"#;

#[test]
fn the_example_is_metadata_and_survives_a_round_trip() {
    let metadata = Metadata::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(metadata.layout().unwrap().samples, 64 + 16 + 16 + 16);
    let again = serde_json::to_vec(&metadata).unwrap();
    assert_eq!(Metadata::parse(&again).unwrap(), metadata);
}

#[test]
fn h72_what_the_abi_does_not_allow_is_refused_with_its_place() {
    for (from, to, at) in [
        ("core/1", "core/2", "abi"),
        ("level-watch", "Level", "name"),
        (r#""version": 1"#, r#""version": 0"#, "version"),
        (r#""summary""#, r#""sumary""#, "metadata, line 2 column"),
        (r#""samples_min": 256"#, r#""samples_min": 0"#, "waveform"),
        (
            r#""samples_max": 4096"#,
            r#""samples_max": 65537"#,
            "waveform",
        ),
        (r#""rms""#, r#""verdict""#, "outputs.verdict"),
        (r#""default": 2.5"#, r#""default": 1001"#, "params.limit"),
        (r#""fuel": 200000"#, r#""fuel": 0"#, "worst_case.fuel"),
        (r#"["rms-high"]"#, r#"["a", "a"]"#, "causes.a"),
        (
            r#""fuel": 200000"#,
            r#""fuel": 1, "verdict_after": [{ "calls": ["limits"] }]"#,
            "worst_case.verdict_after",
        ),
        (
            r#""fuel": 200000"#,
            r#""fuel": 1, "verdict_after": [{ "samples": [] }]"#,
            "worst_case.verdict_after",
        ),
        (
            r#""fuel": 200000"#,
            r#""fuel": 1, "verdict_after": [{ "blocks": ["limit"] }]"#,
            "metadata, line 8 column",
        ),
        (
            r#""fuel": 200000"#,
            r#""fuel": 1, "remembers": { "calls": 0 }"#,
            "worst_case.remembers",
        ),
        (
            r#""fuel": 200000"#,
            r#""fuel": 1, "remembers": { "calls": 1025 }"#,
            "worst_case.remembers",
        ),
        (
            r#""fuel": 200000"#,
            r#""fuel": 1, "remembers": { "calls": 1, "params": ["limits"] }"#,
            "worst_case.remembers",
        ),
    ] {
        assert!(EXAMPLE.contains(from), "{from}");
        let error = Metadata::parse(EXAMPLE.replace(from, to).as_bytes()).unwrap_err();
        assert!(error.at.starts_with(at), "H-72: {from} -> {to}: {error}");
    }
}

#[test]
fn h41_what_a_module_remembers_is_a_product_of_its_parameters() {
    let with = |remembers: &str| {
        let json = EXAMPLE.replace(r#""fuel": 200000"#, &format!(r#""fuel": 9{remembers}"#));
        Metadata::parse(json.as_bytes()).unwrap()
    };
    assert_eq!(with("").remembers(&[2.5]), None, "H-41: nobody said");
    let nothing = with(r#", "remembers": { "calls": 1 }"#);
    assert_eq!(nothing.remembers(&[2.5]), Some(1));
    let some = with(r#", "remembers": { "calls": 4, "params": ["limit"] }"#);
    assert_eq!(some.remembers(&[2.5]), Some(12), "H-41: rounded up");
    assert_eq!(some.remembers(&[0.0]), Some(1), "the call itself");
    let again = serde_json::to_vec(&some).unwrap();
    assert_eq!(Metadata::parse(&again).unwrap(), some);
}

#[test]
fn h29_what_a_module_waits_for_is_a_sum_of_products_of_its_parameters() {
    let with = |waits: &str| {
        let json = EXAMPLE
            .replace(
                r#""params": ["#,
                r#""params": [{ "name": "record", "unit": "1", "min": 16, "max": 4096 },
                   { "name": "of", "unit": "1", "min": 1, "max": 64, "default": 3 }, "#,
            )
            .replace(r#""fuel": 200000"#, &format!(r#""fuel": 9{waits}"#));
        Metadata::parse(json.as_bytes()).unwrap()
    };
    let params = [1024.0, 4.5, 2.5];
    assert_eq!(with("").waits(&params), None, "H-29: nobody said");
    let at_once = with(r#", "verdict_after": []"#);
    assert_eq!(at_once.waits(&params), Some(Waits::default()));
    let waits = with(
        r#", "verdict_after": [{ "samples": ["record"] }, { "samples": ["record", "of"] }, { "calls": ["of"] }]"#,
    );
    let expected = Waits {
        calls: 5,
        samples: 1024 + 1024 * 5,
    };
    assert_eq!(waits.waits(&params), Some(expected), "H-29: rounded up");
    let again = serde_json::to_vec(&waits).unwrap();
    assert_eq!(Metadata::parse(&again).unwrap(), waits);
}
