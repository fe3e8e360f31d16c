//! One module for every rule of the gate: a good one with one thing changed. Each must be refused by that rule's code, at
//! the byte where the change lies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use rt_config::limits::{
    ANALYZER_BRANCHES_MAX, ANALYZER_FUNCTION_BYTES_MAX, ANALYZER_FUNCTIONS_MAX,
    ANALYZER_GLOBALS_MAX, ANALYZER_LOCALS_MAX, ANALYZER_MODULE_BYTES_MAX, ANALYZER_NESTING_MAX,
    ANALYZER_SIGNATURE_MAX, ANALYZER_TABLE_ELEMENTS_MAX,
};
use rules_sdk_abi::metadata::Metadata;
use rules_sdk_gate::{Refusal, Rule, attach_metadata, inspect};

const METADATA: &str = r#"{"abi":"core/1","name":"watch","version":1,
 "inputs":[{"name":"speed","unit":"rpm"}],
 "waveform":{"name":"vibration","unit":"g","format":"f32","samples_min":1,"samples_max":4096},
 "outputs":[{"name":"rms","unit":"g","min":0,"max":1000}],
 "worst_case":{"fuel":1000}}"#;

const GOOD: &str = r#"(module
 (type $small (func (result i32)))
 (table 2 2 funcref)
 (memory (export "memory") 1 1)
 (global $count (mut i64) (i64.const 0))
 (global (export "__heap_base") i32 (i32.const 1024))
 (func $area (export "tl_area") (result i32) i32.const 1024)
 (func (export "tl_init") (result i32)
  i32.const 0 call_indirect (type $small) drop i32.const 0)
 (func (export "tl_process") (result i64)
  global.get $count i64.const 1 i64.add global.set $count
  i32.const 2048 i32.const 0 i32.const 16 memory.fill
  f64.const 1 i32.trunc_sat_f64_s i32.extend8_s drop
  i64.const 0)
 (func (export "tl_state_hash") (result i64) global.get $count)
 (elem (i32.const 0) $area $area)
 (data (i32.const 65532) "abcd"))"#;

/// What a refusal's offset must point at.
enum At {
    /// These bytes.
    Bytes(&'static [u8]),
    /// The end of the file.
    End,
    /// This byte of the file.
    Offset(u64),
}

fn metadata(json: &str) -> Metadata {
    Metadata::parse(json.as_bytes()).unwrap()
}

fn module(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}\n{wat}"))
}

fn attached(wat: &str) -> Vec<u8> {
    attach_metadata(&module(wat), &metadata(METADATA)).unwrap()
}

/// The good module with `from` replaced.
fn changed(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(GOOD.matches(from).count(), 1, "{from}");
    attached(&GOOD.replace(from, to))
}

/// The good module with more in it.
fn with(more: &str) -> Vec<u8> {
    changed("(memory (export", &format!("{more} (memory (export"))
}

/// The same, of things that come last in the text format.
fn with_function(body: &str) -> Vec<u8> {
    changed("(elem ", &format!("(func {body}) (elem "))
}

/// The good module with another section of metadata.
fn with_section(content: &[u8]) -> Vec<u8> {
    let mut bytes = module(GOOD);
    let name = b"tripline.analyzer";
    let mut section = vec![u8::try_from(name.len()).unwrap()];
    section.extend_from_slice(name);
    section.extend_from_slice(content);
    bytes.push(0);
    let mut length = section.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend_from_slice(&section);
    bytes
}

fn many(count: u32, one: &str) -> String {
    one.repeat(usize::try_from(count).unwrap())
}

fn refused(bytes: &[u8]) -> Refusal {
    match inspect(bytes) {
        Ok(module) => panic!("taken: {module:?}"),
        Err(refusal) => refusal,
    }
}

#[test]
fn a_good_module_passes_and_is_counted() {
    let bytes = attached(GOOD);
    let good = inspect(&bytes).unwrap();
    assert_eq!(good.metadata, metadata(METADATA));
    assert_eq!(good.memory_bytes, 65_536);
    assert_eq!(good.layout.bytes, 64 + 16 + 16 + 4 * 4096);
    assert_eq!(good.counts.functions, 4);
    assert_eq!(good.counts.types, 2);
    assert_eq!(good.counts.globals, 2);
    assert_eq!((good.counts.tables, good.counts.table_elements), (1, 2));
    assert_eq!((good.counts.data_segments, good.counts.data_bytes), (1, 4));
    assert_eq!(good.counts.bytes, bytes.len() as u64);
    let own = good
        .custom_sections
        .iter()
        .find(|section| section.name == "tripline.analyzer")
        .unwrap();
    let json = &bytes[usize::try_from(own.start).unwrap()..usize::try_from(own.end).unwrap()];
    assert_eq!(Metadata::parse(json).unwrap(), good.metadata);
}

#[test]
fn what_stands_at_a_limit_passes() {
    let locals = many(ANALYZER_LOCALS_MAX, " i32");
    let nested = format!(
        "{} {}",
        many(ANALYZER_NESTING_MAX, "block "),
        many(ANALYZER_NESTING_MAX, "end ")
    );
    let branches = format!(
        "block i32.const 0 br_table {} 0 end",
        many(ANALYZER_BRANCHES_MAX, "0 ")
    );
    let functions = many(ANALYZER_FUNCTIONS_MAX - 4, "(func) ");
    let globals = many(ANALYZER_GLOBALS_MAX - 2, "(global i32 (i32.const 0)) ");
    let params = many(u32::try_from(ANALYZER_SIGNATURE_MAX).unwrap(), "i32 ");
    // 64 bytes of header, 16 each of input and output, the rest of a page.
    let area = METADATA.replace("4096", "16360");
    for (name, bytes) in [
        ("locals", with_function(&format!("(local {locals})"))),
        ("nesting", with_function(&nested)),
        ("branches", with_function(&branches)),
        ("functions", with(&functions)),
        ("globals", with(&globals)),
        (
            "signature",
            with(&format!("(type (func (param {params})))")),
        ),
        ("table", changed("(table 2 2", "(table 1024 1024")),
        ("pages", changed("1 1)", "16 16)")),
        ("area", with_section(area.as_bytes())),
    ] {
        if let Err(refusal) = inspect(&bytes) {
            panic!("{name}: {refusal}");
        }
    }
}

/// Every module that must be refused, by which rule, and where: a row each.
#[rustfmt::skip]
fn bad_modules() -> Vec<(Rule, &'static str, Vec<u8>, At)> {
    let mut large = module(GOOD);
    large.resize(ANALYZER_MODULE_BYTES_MAX + 1, 0);
    let mut damaged = attached(GOOD);
    damaged[0] = 1;
    let mut cut = attached(GOOD);
    cut.truncate(cut.len() - 1);
    let component = b"\0asm\x0d\0\x01\0".to_vec();
    let many_functions = many(ANALYZER_FUNCTIONS_MAX, "(func) ");
    let many_locals = many(ANALYZER_LOCALS_MAX, " f64");
    let many_nops = "nop ".repeat(ANALYZER_FUNCTION_BYTES_MAX);
    let nops = "nop ".repeat(60_000);
    let long_functions = format!("{} (func (local i64) {nops})", format!("(func {nops}) ").repeat(4));
    let many_globals = many(ANALYZER_GLOBALS_MAX, "(global i32 (i32.const 0)) ");
    let many_types = many(ANALYZER_FUNCTIONS_MAX, "(type (func)) ");
    let many_params = many(u32::try_from(ANALYZER_SIGNATURE_MAX + 1).unwrap(), "i64 ");
    let many_targets = many(ANALYZER_BRANCHES_MAX + 1, "0 ");
    let many_blocks = many(ANALYZER_NESTING_MAX + 1, "block ");
    let many_ends = many(ANALYZER_NESTING_MAX + 1, "end ");
    let many_segments = many(ANALYZER_FUNCTIONS_MAX, "(data \"\") ");
    let many_elements = many(ANALYZER_FUNCTIONS_MAX, "(elem func) ");
    let large_table = format!("(table {0} {0}", ANALYZER_TABLE_ELEMENTS_MAX + 1);
    let mut twice = attached(GOOD);
    twice.extend_from_slice(&with_section(METADATA.as_bytes())[module(GOOD).len()..]);
    let other_abi = METADATA.replace("core/1", "core/2");
    let large_area = METADATA.replace("4096", "16361");
    let spaces = " ".repeat(16 * 1024 + 1);
    vec![
        (Rule::Size, "a file beyond the limit", large, At::Offset(1024 * 1024)),
        (Rule::Invalid, "another magic number", damaged, At::Offset(0)),
        (Rule::Invalid, "a file cut short", cut, At::Bytes(b"\x11tripline")),
        (Rule::Invalid, "an empty file", Vec::new(), At::Offset(0)),
        (Rule::Invalid, "a body that leaves nothing", changed("(result i64) global.get $count)", "(result i64))"), At::Bytes(&[0x0b])),
        (Rule::Proposal, "a component", component, At::Offset(4)),
        (Rule::Proposal, "SIMD", with_function("(local v128)"), At::Bytes(&[1, 0x7b])),
        (Rule::Proposal, "relaxed SIMD", with_function("(result i32) v128.const i64x2 0 0 v128.const i64x2 0 0 i8x16.relaxed_swizzle drop i32.const 0"), At::Bytes(&[0xfd])),
        (Rule::Proposal, "tail call", with_function("return_call $area drop unreachable"), At::Bytes(&[0x12])),
        (Rule::Proposal, "atomics", with_function("i32.const 0 i32.atomic.load drop"), At::Bytes(&[0xfe])),
        (Rule::Proposal, "shared memory", changed("1 1)", "1 1 shared)"), At::Bytes(&[3, 1, 1])),
        (Rule::Proposal, "64-bit memory", changed("1 1)", "i64 1 1)"), At::Bytes(&[5, 1, 1])),
        (Rule::Proposal, "custom page sizes", changed("1 1)", "1 1 (pagesize 1))"), At::Bytes(&[9, 1, 1, 0])),
        (Rule::Memory, "two memories", with("(memory 1 1)"), At::Bytes(&[2, 1, 1, 1])),
        (Rule::Proposal, "exceptions", with("(tag)"), At::Bytes(&[1, 0])),
        (Rule::Proposal, "GC", with("(type (struct))"), At::Bytes(&[0x5f, 0])),
        (Rule::Proposal, "function references", with_function("(local (ref null $small))"), At::Bytes(&[1, 0x63, 0])),
        (Rule::Proposal, "reference types", with_function("(local externref)"), At::Bytes(&[1, 0x6f])),
        (Rule::Table, "two tables", with("(table 1 1 funcref)"), At::Bytes(&[2, 0x70])),
        (Rule::Proposal, "extended constants", with("(global i32 (i32.add (i32.const 1) (i32.const 1)))"), At::Bytes(&[0x6a])),
        (Rule::Proposal, "wide arithmetic", with_function("(result i64 i64) i64.const 1 i64.const 1 i64.mul_wide_u"), At::Bytes(&[0xfc])),
        (Rule::Functions, "too many functions", with(&many_functions), At::Bytes(&[0x84, 0x20])),
        (Rule::Locals, "locals and parameters", with_function(&format!("(param i32) (local {many_locals})")), At::Bytes(&[1, 0xfa, 1, 0x7c])),
        (Rule::Code, "a long function", with_function(&many_nops), At::Bytes(&[0, 1, 1])),
        (Rule::Code, "long functions together", with(&long_functions), At::Bytes(&[1, 1, 0x7e, 1])),
        (Rule::Imports, "a function", changed("(table 2", "(import \"env\" \"abort\" (func)) (table 2"), At::Bytes(b"\x01\x03env")),
        (Rule::Imports, "a table", changed("(table 2", "(import \"env\" \"table\" (table 1 1 funcref)) (table 2"), At::Bytes(b"\x01\x03env\x05table")),
        (Rule::Start, "a start function", changed("(elem ", "(func $go) (start $go) (elem "), At::Bytes(&[4])),
        (Rule::Memory, "no maximum", changed("1 1)", "1)"), At::Bytes(&[0, 1])),
        (Rule::Memory, "a larger maximum", changed("1 1)", "1 2)"), At::Bytes(&[1, 1, 2])),
        (Rule::Memory, "too many pages", changed("1 1)", "17 17)"), At::Bytes(&[1, 17, 17])),
        (Rule::Memory, "no page", attached(&GOOD .replace("1 1)", "0 0)") .replace("(data (i32.const 65532) \"abcd\")", "")), At::Bytes(&[1, 0, 0])),
        (Rule::Memory, "no memory", attached("(module)"), At::End),
        (Rule::Table, "no maximum", changed("(table 2 2", "(table 2"), At::Bytes(&[0x70, 0, 2])),
        (Rule::Table, "a larger maximum", changed("(table 2 2", "(table 2 3"), At::Bytes(&[0x70, 1, 2, 3])),
        (Rule::Table, "too many elements", changed("(table 2 2", &large_table), At::Bytes(&[0x70, 1])),
        (Rule::Globals, "too many globals", with(&many_globals), At::Bytes(&[0x82, 8, 0x7f])),
        (Rule::Types, "too many types", with(&many_types), At::Bytes(&[0x82, 0x20, 0x60])),
        (Rule::Types, "too many parameters", with(&format!("(type (func (param {many_params})))")), At::Bytes(&[0x60, 65, 0x7e])),
        (Rule::Growth, "memory.grow", with_function("i32.const 1 memory.grow drop"), At::Bytes(&[0x40, 0])),
        (Rule::Growth, "table.grow", with_function("ref.null func i32.const 1 table.grow 0 drop"), At::Bytes(&[0xfc, 15, 0])),
        (Rule::Branches, "too many targets", with_function(&format!("i32.const 0 br_table {many_targets}0")), At::Bytes(&[0x0e])),
        (Rule::Nesting, "too deep", with_function(&format!("{many_blocks}{many_ends}")), At::Bytes(&[0x02, 0x40, 0x0b])),
        (Rule::Data, "beyond the memory", changed("65532", "65533"), At::Bytes(&[0, 0x41])),
        (Rule::Data, "at a negative address", changed("65532", "-4"), At::Bytes(&[0, 0x41, 0x7c])),
        (Rule::Data, "too many segments", changed("(data (i32", &format!("{many_segments} (data (i32")), At::Bytes(&[0x81, 0x20])),
        (Rule::Elements, "beyond the table", changed("(elem (i32.const 0)", "(elem (i32.const 1)"), At::Bytes(&[0, 0x41, 1])),
        (Rule::Elements, "too many segments", changed("(elem (i32", &format!("{many_elements} (elem (i32")), At::Bytes(&[0x81, 0x20])),
        (Rule::Exports, "memory under no name", changed("(memory (export \"memory\")", "(memory"), At::End),
        (Rule::Exports, "no tl_area", changed(" (export \"tl_area\")", ""), At::End),
        (Rule::Exports, "no tl_state_hash", changed(" (export \"tl_state_hash\")", ""), At::End),
        (Rule::Exports, "one that is not known", with_function("(export \"main\")"), At::Bytes(b"\x04main")),
        (Rule::Exports, "a harmless name for a function", with_function("(export \"__data_end\")"), At::Bytes(b"\x0a__data_end")),
        (Rule::Exports, "another result", changed("(export \"tl_init\") (result i32)", "(export \"tl_init\") (result i64) i64.const 0 return"), At::Bytes(b"\x07tl_init")),
        (Rule::Exports, "a parameter", changed("(export \"tl_area\") (result", "(export \"tl_area\") (param i32) (result"), At::Bytes(b"\x07tl_area")),
        (Rule::Exports, "a global of that name", attached(&GOOD .replace(" (export \"tl_area\")", "") .replace("__heap_base", "tl_area")), At::Bytes(b"\x07tl_area")),
        (Rule::Exports, "no memory of that name", attached(&GOOD .replace(" (export \"memory\")", "") .replace("__heap_base", "memory")), At::Bytes(b"\x06memory")),
        (Rule::Section, "no metadata", module(GOOD), At::End),
        (Rule::Section, "metadata twice", twice, At::Bytes(b"{\"abi\"")),
        (Rule::Section, "too much metadata", with_section(spaces.as_bytes()), At::Bytes(b"  ")),
        (Rule::Metadata, "no JSON", with_section(b"abi: core/1"), At::Bytes(b"abi:")),
        (Rule::Metadata, "another ABI", with_section(other_abi.as_bytes()), At::Bytes(b"{\"abi\":\"core/2\"")),
        (Rule::Area, "larger than the memory", with_section(large_area.as_bytes()), At::Bytes(b"{\"abi\"")),
    ]
}

#[test]
fn h44_h48_h72_every_bad_module_is_refused_by_its_rule_at_its_byte() {
    let bad = bad_modules();
    let mut wrong = Vec::new();
    for (rule, name, bytes, at) in &bad {
        let refusal = refused(bytes);
        let offset = usize::try_from(refusal.offset).unwrap();
        let found = bytes.get(offset..).unwrap_or_default();
        let right = match at {
            At::Bytes(expected) => !expected.is_empty() && found.starts_with(expected),
            At::End => offset == bytes.len(),
            At::Offset(expected) => refusal.offset == *expected,
        };
        let text = refusal.to_string();
        if refusal.rule != *rule
            || !right
            || !text.starts_with(rule.code())
            || !text.ends_with(rule.mend())
        {
            let found = &found[..found.len().min(12)];
            wrong.push(format!("{name}: {text}\n    found there: {found:x?}"));
        }
    }
    assert!(wrong.is_empty(), "H-44, H-48, H-72:\n{}", wrong.join("\n"));
    for rule in Rule::ALL {
        assert!(
            bad.iter().any(|(of, ..)| *of == rule),
            "no module for {}",
            rule.code()
        );
    }
}

#[test]
fn codes_count_up_and_are_never_given_twice() {
    for (number, rule) in Rule::ALL.into_iter().enumerate() {
        assert!(
            rule.code().starts_with(&format!("G{:02} ", number + 1)),
            "{}",
            rule.code()
        );
    }
}

#[test]
fn h44_every_cut_and_every_flipped_byte_is_refused_or_taken_and_nothing_else() {
    let good = attached(GOOD);
    for end in 0..good.len() {
        refused(&good[..end]);
    }
    let mut taken = 0;
    for at in 0..good.len() {
        for flip in [0x01, 0x40, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            match inspect(&bytes) {
                Ok(module) => {
                    assert!(module.layout.bytes <= module.memory_bytes);
                    taken += 1;
                }
                Err(refusal) => assert!(refusal.offset <= bytes.len() as u64, "{refusal}"),
            }
        }
    }
    assert!(taken > 0, "constants may differ");
}

#[test]
fn metadata_is_replaced_and_the_rest_stays() {
    let bare = module(GOOD);
    let first = attached(GOOD);
    assert_eq!(first[..bare.len()], bare[..]);
    assert_eq!(attach_metadata(&first, &metadata(METADATA)).unwrap(), first);
    let second = metadata(&METADATA.replace("\"version\":1", "\"version\":2"));
    let replaced = attach_metadata(&first, &second).unwrap();
    assert_eq!(inspect(&replaced).unwrap().metadata.version, 2);
    assert_eq!(
        attach_metadata(&replaced, &metadata(METADATA)).unwrap(),
        first
    );

    assert!(attach_metadata(b"", &second).is_err());
    assert!(attach_metadata(&bare[..bare.len() - 1], &second).is_err());
    let mut wrong = second;
    wrong.outputs.clear();
    assert!(attach_metadata(&bare, &wrong).is_err());
}
