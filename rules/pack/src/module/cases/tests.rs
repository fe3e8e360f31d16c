use super::*;

fn metadata() -> Metadata {
    let source = "abi: core/1\nname: m\nversion: 1\ninputs: [{ name: speed, unit: rpm }]\n\
        waveform: { name: w, unit: g, format: f32, samples_min: 1, samples_max: 64 }\n\
        outputs: [{ name: rms, unit: g, min: 0, max: 9 }]\nparams: [{ name: limit, unit: g, min: 0, max: 9 }]\n\
        causes: [high]\nworst_case: { fuel: 1 }\n";
    crate::module::metadata("m", source).unwrap()
}

#[test]
fn cases_are_read() {
    let source = "cases:\n  - name: n\n    params: { limit: 2 }\n    frames:\n      - inputs: { speed: 1500 }\n        \
        block: { sine: { amplitude: 4, frequency_hz: 50 }, count: 64 }\n        rate_hz: 12000\n        repeat: 3\n        \
        expect: { verdict: danger, cause: high, outputs: { rms: [2.8, 2.9] } }\n      \
        - { inputs: { speed: stale }, block: { samples: [1, -1] }, rate_hz: 10, gap: true, expect: { outputs: { rms: bad } } }\n";
    let cases = parse("c", source, &metadata())
        .unwrap_or_else(|findings| panic!("{}", crate::render(&findings, source, false)));
    let [first, second] = cases[0].frames.as_slice() else {
        panic!("{cases:?}")
    };
    assert_eq!((first.repeat, second.repeat, second.gap), (3, 1, true));
    assert_eq!(first.block.as_ref().unwrap().count, Some(64));
    assert_eq!(
        first.expect.as_ref().unwrap().outputs,
        [("rms".to_owned(), Expected::Within(2.8, 2.9))]
    );
    assert_eq!(second.inputs, [("speed".to_owned(), InputValue::Stale)]);
    assert_eq!(second.expect.as_ref().unwrap().outputs[0].1, Expected::Bad);
}

#[test]
fn what_the_module_does_not_have_is_named() {
    let source = "cases:\n  - name: n\n    frames:\n      - { inputs: { sped: 1 }, expect: { verdict: alarm, outputs: { rm: 1 } } }\n      \
        - { block: { count: 5 }, rate_hz: 0 }\n      - { expect: { cause: low, outputs: { rms: [2, 1] } } }\n";
    let findings = parse("c", source, &metadata()).unwrap_err();
    let mut codes: Vec<u16> = findings
        .iter()
        .map(|finding| finding.code.number())
        .collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        [11, 11, 14, 20, 30, 30, 30, 56],
        "{}",
        crate::render(&findings, source, false)
    );
}
