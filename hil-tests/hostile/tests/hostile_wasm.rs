//! Each attack has the end it must have, and of 2,000 modules of wasm-smith none gets through that should not. A crash or a
//! hang of the host is one of this test. Hazards H-35 to H-39, H-44, H-48.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;

use appliance_sandbox::Engine;
use drivers_frame::DurNs;
use hil_tests_hostile::{End, Way, attacks, smith};

fn way() -> Way<'static> {
    Way {
        engine: Engine::new().unwrap(),
        compiler: Path::new(env!("CARGO_BIN_EXE_hostile-wasm")),
        frames: 40,
        fuel: 1_000_000,
        deadline: DurNs::from_ms(10_000),
    }
}

#[test]
fn h35_to_h39_h44_h48_every_attack_has_the_end_it_must_have() {
    let way = way();
    let all = attacks::all();
    assert!(all.len() >= 60, "{}", all.len());
    let wrong: Vec<String> = all
        .iter()
        .filter_map(|attack| match way.send(&attack.wasm) {
            Ok(end) if attack.must.holds(&end) => None,
            end => Some(format!("{}: {end:?}", attack.name)),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn h35_to_h39_h44_h48_nothing_wrong_is_accepted_of_2000_modules_of_a_generator() {
    let way = way();
    let (mut compiled, mut started) = (0, 0);
    for number in 0..2_000 {
        match way.send(&smith::module(20_261_121, number)) {
            Ok(End::Gate(_)) => {}
            Ok(end) => {
                compiled += 1;
                started += u32::from(matches!(end, End::Fault(_) | End::Flapping | End::Answered));
            }
            Err(wrong) => panic!("module {number}: {}", wrong.0),
        }
    }
    // The campaign saw what it was meant to see.
    assert!(compiled > 200 && started > 20, "{compiled} {started}");
}
