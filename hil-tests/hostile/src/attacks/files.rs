//! What is no module at all, or carries the wrong card.

use rules_sdk_gate::Rule;

use super::{Attack, METADATA, Must, Parts, WELL, wasm};

/// What is no module at all, or carries the wrong card.
pub(super) fn files(all: &mut Vec<Attack>) {
    use Must::Gate;
    let good = wasm(&Parts(WELL).text());
    let bare = wat::parse_str(Parts(WELL).text()).unwrap_or_default();
    let mut push = |name, wasm, must| all.push(Attack { name, wasm, must });
    push("nothing", Vec::new(), Gate(Rule::Invalid));
    push(
        "machine code",
        b"\x7fELF\x02\x01\x01\0".to_vec(),
        Gate(Rule::Invalid),
    );
    push(
        "a component",
        b"\0asm\x0d\0\x01\0".to_vec(),
        Gate(Rule::Proposal),
    );
    push(
        "the first half",
        good.get(..good.len() / 2).unwrap_or_default().to_vec(),
        Gate(Rule::Invalid),
    );
    push("without metadata", bare.clone(), Gate(Rule::Section));
    push(
        "metadata twice",
        [good.clone(), section(METADATA)].concat(),
        Gate(Rule::Section),
    );
    push(
        "another ABI",
        [bare.clone(), section(&METADATA.replace("core/1", "core/2"))].concat(),
        Gate(Rule::Metadata),
    );
    push(
        "metadata that is no JSON",
        [bare.clone(), section("{{{{")].concat(),
        Gate(Rule::Metadata),
    );
    push(
        "metadata nested deep",
        [bare.clone(), section(&"[".repeat(10_000))].concat(),
        Gate(Rule::Metadata),
    );
    push(
        "an area larger than memory",
        [
            bare,
            section(&METADATA.replace("\"samples_max\":16", "\"samples_max\":65536")),
        ]
        .concat(),
        Gate(Rule::Area),
    );
}

/// A custom section with metadata.
fn section(json: &str) -> Vec<u8> {
    let name = rules_sdk_abi::METADATA_SECTION.as_bytes();
    let mut content = length(name.len());
    content.extend_from_slice(name);
    content.extend_from_slice(json.as_bytes());
    let mut section = vec![0];
    section.extend(length(content.len()));
    section.extend(content);
    section
}

/// LEB128.
fn length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = (length & 0x7F).to_le_bytes();
        length >>= 7;
        if length == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
