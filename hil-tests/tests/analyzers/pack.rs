//! The example pack that wires every analyzer we ship.

use std::fs;

use rules_bundle::SignaturePlan;
use rules_pack::{Beside, load_beside, render};
use rules_sdk_abi::metadata::Metadata;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules/analyzers");

struct Guests;

impl Beside for Guests {
    fn read(&self, path: &str, _: usize) -> Result<Vec<u8>, String> {
        fs::read(format!("{FOLDER}/{path}")).map_err(|error| error.to_string())
    }

    fn vouch(&self, _: &str, _: &Metadata, _: &[u8]) -> Result<Option<SignaturePlan>, String> {
        Ok(Some(SignaturePlan {
            signer: "works".to_owned(),
            expires: None,
        }))
    }
}

#[test]
fn the_example_pack_wires_all_eight_and_a_chain_of_three() {
    let source = fs::read_to_string(format!("{FOLDER}/pump.yaml")).unwrap();
    let loaded = load_beside("pump.yaml", &source, &Guests)
        .unwrap_or_else(|findings| panic!("{}", render(&findings, &source, false)));
    println!("{}", render(&loaded.warnings, &source, false));
    assert_eq!(loaded.plan.modules.len(), 8);
}

/// `unit: any`: a flow in l/min, an acceleration in g and a pressure in kPa come as they are.
#[test]
fn an_input_of_any_unit_takes_what_its_tag_has() {
    let source = fs::read_to_string(format!("{FOLDER}/pump.yaml")).unwrap();
    let plan = format!(
        "{:#?}",
        load_beside("pump.yaml", &source, &Guests).unwrap().plan
    );
    let inputs: Vec<&str> = plan
        .split("AnalyzerInput {")
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .collect();
    assert!(inputs.len() > 20, "{plan}");
    for input in inputs {
        assert!(
            input.contains("scale: 1.0") && input.contains("offset: 0.0"),
            "{input}"
        );
    }
}
