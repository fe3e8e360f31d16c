//! Modules made by wasm-smith from a seed: valid WebAssembly that no person would write.

use arbitrary::Unstructured;
use rules_sdk_abi::metadata::Metadata;
use wasm_smith::{Config, Module};
use wasmparser::{Operator, Parser, Payload};

use crate::attacks;

/// Bytes of randomness a module is made from.
const BYTES: usize = 4_096;

/// Module `number` of a campaign. Every fourth is wasm-smith's as it comes, with all it knows of; the others are made to
/// have the ABI's exports, so that they get further.
pub fn module(seed: u64, number: u64) -> Vec<u8> {
    let mut state = seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let random: Vec<u8> = (0..BYTES / 8)
        .flat_map(|_| next(&mut state).to_le_bytes())
        .collect();
    let mut random = Unstructured::new(&random);
    let wild = number.is_multiple_of(4);
    let config = if wild { Config::default() } else { tame() };
    // A generator that gives up has made nothing: then the bytes of its own seed are the module.
    let Ok(module) = Module::new(config, &mut random) else {
        return state.to_le_bytes().to_vec();
    };
    let mut wasm = module.to_bytes();
    // Nearly half of them grow their memory somewhere: the gate would see nothing else of most modules.
    if !wild && number % 16 != 15 {
        let _ = without_growth(&mut wasm);
    }
    // Random code seldom finds a place for its area: in half of the modules that is told to it, so that they run.
    let wasm = if matches!(number % 4, 1 | 2) {
        set_up(&wasm).unwrap_or(wasm)
    } else {
        wasm
    };
    let metadata = Metadata::parse(attacks::METADATA.as_bytes());
    match metadata.map(|metadata| rules_sdk_gate::attach_metadata(&wasm, &metadata)) {
        Ok(Ok(attached)) => attached,
        _ => wasm,
    }
}

/// What the gate lets pass, as far as wasm-smith can be told.
fn tame() -> Config {
    Config {
        exports: wat::parse_str(
            "(module (memory (export \"memory\") 1 1)
               (func (export \"tl_area\") (result i32) unreachable) (func (export \"tl_init\") (result i32) unreachable)
               (func (export \"tl_process\") (result i64) unreachable) (func (export \"tl_state_hash\") (result i64) unreachable))",
        )
        .ok(),
        max_imports: 0,
        allow_start_export: false,
        exceptions_enabled: false,
        gc_enabled: false,
        custom_page_sizes_enabled: false,
        memory64_enabled: false,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        extended_const_enabled: false,
        compact_imports_enabled: false,
        table_max_size_required: true,
        memory_max_size_required: true,
        max_tables: 0,
        max_element_segments: 0,
        max_memories: 0,
        max_data_segments: 4,
        max_instructions: 60,
        max_funcs: 6,
        ..Config::default()
    }
}

/// Writes `i32.eqz`, of the same type, over each `memory.grow`.
fn without_growth(wasm: &mut [u8]) -> Option<()> {
    const EQZ_NOP: [u8; 2] = [0x45, 0x01];
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::CodeSectionEntry(body) = payload.ok()? else {
            continue;
        };
        let mut operators = body.get_operators_reader().ok()?.into_iter_with_offsets();
        while let Some(Ok((operator, at))) = operators.next() {
            if matches!(operator, Operator::MemoryGrow { .. }) {
                found.push(usize::try_from(at).ok()?);
            }
        }
    }
    for at in found {
        wasm.get_mut(at..at.checked_add(2)?)?
            .copy_from_slice(&EQZ_NOP);
    }
    Some(())
}

/// The module with bodies for `tl_area` and `tl_init` that do as the ABI says; the rest as it is.
fn set_up(wasm: &[u8]) -> Option<Vec<u8>> {
    let mut module = wasm_encoder::Module::new();
    let (mut area, mut init, mut index) = (None, None, 0);
    let mut code = wasm_encoder::CodeSection::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.ok()?;
        match &payload {
            Payload::ExportSection(section) => {
                for export in section.clone().into_iter().flatten() {
                    match export.name {
                        "tl_area" => area = Some(export.index),
                        "tl_init" => init = Some(export.index),
                        _ => {}
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                let value = match Some(index) {
                    at if at == init => Some(0),
                    at if at == area => Some(1024),
                    _ => None,
                };
                if let Some(value) = value {
                    let mut function = wasm_encoder::Function::new([]);
                    function.instructions().i32_const(value).end();
                    code.function(&function);
                } else {
                    code.raw(body.as_bytes());
                }
                index += 1;
            }
            Payload::DataSection(_) | Payload::CustomSection(_) | Payload::End(_)
                if !code.is_empty() =>
            {
                module.section(&code);
                code = wasm_encoder::CodeSection::new();
            }
            _ => {}
        }
        if let Some((id, range)) = payload.as_section()
            && id != CODE
        {
            let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
            let data = wasm.get(range)?;
            module.section(&wasm_encoder::RawSection { id, data });
        }
    }
    Some(module.finish())
}

/// Id of the code section, which is written anew.
const CODE: u8 = 10;

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
