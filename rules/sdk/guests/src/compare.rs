//! Two builds of one analyzer, over the same frames.

use rules_sdk_abi::metadata::Metadata;
use rules_sdk_gate::inspect;
use rules_sdk_reference::{Raw, Reference, ReferenceError};

use crate::stimulus::{Stimulus, params, stimuli};

/// Series of frames, each in fresh instances.
const SERIES: u32 = 3;

/// What was compared, and found the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Frames.
    pub frames: u32,
    /// Of these, frames with a verdict that is not normal.
    pub verdicts: u32,
    /// Series whose parameters both refused.
    pub refused: u32,
}

/// Whether two modules with the same metadata give the same verdicts, outputs and state hashes, bit for bit, over frames
/// that are made from the metadata: what two toolchains make of one source, or two languages of one analyzer.
///
/// # Errors
/// The first difference, or what keeps a module from being run, ready to be printed.
pub fn compare(first: &[u8], second: &[u8]) -> Result<Compared, String> {
    let [one, other] =
        [first, second].map(|bytes| inspect(bytes).map_err(|error| error.to_string()));
    let (metadata, other) = (one?.metadata, other?.metadata);
    if metadata != other {
        return Err("their metadata differs".to_owned());
    }
    let mut compared = Compared::default();
    for series in 0..SERIES {
        let params = params(&metadata, series);
        let pair = [first, second].map(|bytes| Reference::new(bytes, &metadata, &params));
        match pair {
            [Ok(first), Ok(second)] => {
                over(&metadata, series, [first, second], &mut compared)?;
            }
            [Err(ReferenceError::Init(a)), Err(ReferenceError::Init(b))] if a == b => {
                compared.refused = compared.refused.saturating_add(1);
            }
            [a, b] => {
                return Err(format!(
                    "with parameters {params:?} the first {}, the second {}",
                    said(a.as_ref()),
                    said(b.as_ref())
                ));
            }
        }
    }
    if compared.frames == 0 {
        return Err("no parameters that were tried are taken; nothing was compared".to_owned());
    }
    Ok(compared)
}

fn said(result: Result<&Reference, &ReferenceError>) -> String {
    result.map_or_else(ToString::to_string, |_| "starts".to_owned())
}

fn over(
    metadata: &Metadata,
    series: u32,
    mut pair: [Reference; 2],
    compared: &mut Compared,
) -> Result<(), String> {
    for (number, stimulus) in stimuli(metadata, series).iter().enumerate() {
        let [one, other] = pair.each_mut().map(|module| answer(module, stimulus));
        if one != other {
            return Err(format!(
                "series {series}, frame {number}: {one:?} and {other:?}"
            ));
        }
        let Ok((raw, _)) = one else {
            // Both trapped: this series is over for both.
            return Ok(());
        };
        compared.frames = compared.frames.saturating_add(1);
        if raw.verdict != 0 {
            compared.verdicts = compared.verdicts.saturating_add(1);
        }
    }
    Ok(())
}

/// What it wrote and returned, and its state hash; `Err` when it trapped.
fn answer(module: &mut Reference, stimulus: &Stimulus) -> Result<(Raw, u64), ()> {
    let raw = module
        .process(&stimulus.header, &stimulus.inputs, &stimulus.samples)
        .map_err(|_| ())?;
    let hash = module.state_hash().map_err(|_| ())?;
    Ok((raw, hash))
}

#[cfg(test)]
mod tests {
    use rules_sdk_gate::attach_metadata;

    use super::*;

    /// Danger when the input exceeds the parameter; counts its calls; traps when the input is below `trap`.
    fn module(count: &str, trap: &str) -> Vec<u8> {
        let wasm = wat::parse_str(format!(
            r#"(module (memory (export "memory") 1 1) (global $n (mut i64) (i64.const 0))
            (func (export "tl_area") (result i32) (i32.const 32))
            (func (export "tl_init") (result i32) (f64.gt (f64.load (i32.const 96)) (f64.const 50)))
            (func (export "tl_process") (result i64)
              (global.set $n (i64.add (global.get $n) (i64.const {count})))
              (if (f64.lt (f64.load (i32.const 112)) (f64.const {trap})) (then unreachable))
              (f64.store (i32.const 128) (f64.load (i32.const 112)))
              (i64.mul (i64.const 2) (i64.extend_i32_u
                (f64.gt (f64.load (i32.const 112)) (f64.load (i32.const 96))))))
            (func (export "tl_state_hash") (result i64) (global.get $n)))"#
        ))
        .unwrap();
        let metadata = Metadata::parse(
            br#"{"abi":"core/1","name":"limit","version":1,"inputs":[{"name":"a","unit":"1"}],
            "outputs":[{"name":"b","unit":"1","min":-1e9,"max":1e9}],
            "params":[{"name":"c","unit":"1","min":0,"max":100,"default":20}],"worst_case":{"fuel":99}}"#,
        )
        .unwrap();
        attach_metadata(&wasm, &metadata).unwrap()
    }

    #[test]
    fn h42_the_same_module_is_the_same_and_a_changed_one_is_found() {
        let one = module("1", "-9");
        let compared = compare(&one, &one).unwrap();
        assert_eq!(compared.frames, 2 * 96, "H-42");
        assert_eq!(compared.refused, 1, "the highest parameter is refused");
        assert!((1..compared.frames).contains(&compared.verdicts));
        for (other, what) in [
            (module("2", "-9"), "series 0, frame 0"),
            (module("1", "0"), "Err(())"),
        ] {
            let difference = compare(&one, &other).unwrap_err();
            assert!(difference.contains(what), "H-42: {difference}");
        }
        assert!(compare(&one, b"").unwrap_err().starts_with("G02"));
    }

    #[test]
    fn stimuli_repeat_and_reach_what_they_are_for() {
        let metadata = Metadata::parse(
            br#"{"abi":"core/1","name":"w","version":1,"inputs":[{"name":"a","unit":"1"}],
            "waveform":{"name":"v","unit":"g","format":"i16","samples_min":4,"samples_max":9},
            "outputs":[{"name":"b","unit":"1","min":0,"max":9}],"worst_case":{"fuel":99}}"#,
        )
        .unwrap();
        let frames = stimuli(&metadata, 0);
        assert_eq!(frames, stimuli(&metadata, 0));
        assert_ne!(frames, stimuli(&metadata, 1));
        for frame in &frames {
            let count = usize::try_from(frame.header.samples).unwrap();
            assert_eq!(frame.samples.len(), 2 * count);
            assert!(count == 0 || (4..=9).contains(&count));
        }
        let has = |what: &dyn Fn(&Stimulus) -> bool| frames.iter().any(what);
        assert!(has(&|frame| frame.header.samples == 0));
        assert!(has(&|frame| frame.header.samples == 9));
        assert!(has(&|frame| frame.header.flags.0 & 2 != 0));
        for quality in 0..4 {
            assert!(has(&|frame| frame.inputs[0].quality == quality));
        }
    }
}
