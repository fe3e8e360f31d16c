//! pymodbus's server: every type and order that it encodes is the value that Tripline reads, and what Tripline writes
//! is in its memory.

use std::fmt::Write;
use std::process::Command;

use appliance_control::State;
use hil_tests::guard::{Guard, wait_until};
use hil_tests::peers::{self, ModbusPeer};
use hil_tests::stand::{DANGER, HEALTHY, Setup, output, wait_tag};

fn server() -> Option<ModbusPeer> {
    let python = peers::require_pymodbus()?;
    Some(ModbusPeer::start(
        Command::new(python).arg(peers::source("pymodbus_server.py")),
    ))
}

/// A value that pymodbus encodes, and what Tripline must read.
struct Case {
    kind: &'static str,
    words: u16,
    value: &'static str,
    expected: f64,
}

const fn case(kind: &'static str, words: u16, value: &'static str, expected: f64) -> Case {
    Case {
        kind,
        words,
        value,
        expected,
    }
}

const CASES: [Case; 19] = [
    case("u16", 1, "0", 0.0),
    case("u16", 1, "65535", 65_535.0),
    case("u16", 1, "258", 258.0),
    case("i16", 1, "-32768", -32_768.0),
    case("i16", 1, "-2", -2.0),
    case("i16", 1, "32767", 32_767.0),
    case("u32", 2, "16909060", 16_909_060.0),
    case("u32", 2, "4294967295", 4_294_967_295.0),
    case("i32", 2, "-2147483648", -2_147_483_648.0),
    case("i32", 2, "-16909060", -16_909_060.0),
    case("u64", 4, "1108152157446", 1_108_152_157_446.0),
    case("u64", 4, "9007199254740991", 9_007_199_254_740_991.0),
    case("i64", 4, "-1108152157446", -1_108_152_157_446.0),
    case("i64", 4, "-9007199254740991", -9_007_199_254_740_991.0),
    case("f32", 2, "1.5", 1.5),
    case("f32", 2, "-123456.75", -123_456.75),
    case(
        "f32",
        2,
        "3.4028234663852886e38",
        3.402_823_466_385_288_6e38,
    ),
    case("f64", 4, "3.141592653589793", std::f64::consts::PI),
    case(
        "f64",
        4,
        "-2.2250738585072014e-308",
        -2.225_073_858_507_201_4e-308,
    ),
];

#[test]
fn h5_every_type_and_order_that_pymodbus_encodes_is_read_as_its_value() {
    let Some(server) = server() else { return };
    let mut tags = String::new();
    let mut expected = Vec::new();
    for table in ["holding", "input"] {
        // Register 0 is the stand's own.
        let mut address = 1;
        for (index, case) in CASES.iter().enumerate() {
            for words in ["big", "little"] {
                for bytes in ["big", "little"] {
                    if case.words == 1 && words == "little" {
                        continue;
                    }
                    let name = format!("{table}_{index}_{words}_{bytes}");
                    let put = format!(
                        "put {table} {address} {} {words} {bytes} {}",
                        case.kind, case.value
                    );
                    assert_eq!(server.tell(&put), "ok");
                    let order = if case.words == 1 {
                        String::new()
                    } else {
                        format!("word_order: {words}, ")
                    };
                    writeln!(
                        tags,
                        "  {name}: {{ device: io, register: {{ table: {table}, address: {address} }}, type: {}, {order}byte_order: {bytes}, unit: \"1\", range: [-1.0e300, 1.0e300], stale_after: 2s }}",
                        case.kind
                    )
                    .expect("a string grows");
                    expected.push((name, case.expected));
                    address += case.words;
                }
            }
        }
    }
    let guard = start(&server, tags);
    for (name, value) in expected {
        let tag = wait_tag(&guard, &name, |tag| tag.quality == "good");
        let read = tag.value.expect("a value");
        assert_eq!(
            read.to_bits(),
            value.to_bits(),
            "{name}: {read} is not {value}"
        );
    }
}

#[test]
fn bits_of_registers_coils_and_discrete_inputs_are_read_one_by_one() {
    let Some(server) = server() else { return };
    let pattern = 0b1010_0110_0000_0001_u16;
    server.set("holding", 5, pattern);
    let mut tags = String::new();
    let mut expected = Vec::new();
    let mut add = |name: String, place: String, on: bool| {
        writeln!(
            tags,
            "  {name}: {{ device: io, {place}, type: bool, stale_after: 2s }}"
        )
        .expect("a string grows");
        expected.push((name, on));
    };
    for bit in 0..16 {
        let place = format!("register: {{ table: holding, address: 5 }}, bit: {bit}");
        add(format!("bit_{bit}"), place, pattern >> bit & 1 == 1);
    }
    // Around the byte borders of a reply of bits.
    for address in [1, 7, 8, 9, 15, 16, 17, 300] {
        for (table, key) in [("coil", "coil"), ("discrete", "discrete")] {
            let on = (address + u16::from(table == "coil")) % 3 == 0;
            server.set(table, address, u16::from(on));
            add(
                format!("{table}_{address}"),
                format!("{key}: {address}"),
                on,
            );
        }
    }
    let guard = start(&server, tags);
    for (name, on) in expected {
        let tag = wait_tag(&guard, &name, |tag| tag.quality == "good");
        let read = tag.value.expect("a value");
        assert_eq!(read.to_bits(), f64::from(u8::from(on)).to_bits(), "{name}");
    }
}

#[test]
fn a_count_that_no_float_holds_is_uncertain_and_not_a_number_is_bad() {
    let Some(server) = server() else { return };
    assert_eq!(
        server.tell("put holding 10 u64 big big 9007199254740993"),
        "ok"
    );
    assert_eq!(server.tell("put holding 20 f32 big big nan"), "ok");
    assert_eq!(server.tell("put holding 30 f64 big big inf"), "ok");
    let mut tags = String::new();
    for (name, address, kind) in [("count", 10, "u64"), ("nan", 20, "f32"), ("inf", 30, "f64")] {
        writeln!(
            tags,
            "  {name}: {{ device: io, register: {{ table: holding, address: {address} }}, type: {kind}, word_order: big, unit: \"1\", range: [-1.0e300, 1.0e300], stale_after: 2s }}"
        )
        .expect("a string grows");
    }
    let guard = start(&server, tags);
    let count = wait_tag(&guard, "count", |tag| tag.quality == "uncertain");
    assert_eq!(count.cause.as_deref(), Some("not exactly representable"));
    for name in ["nan", "inf"] {
        let tag = wait_tag(&guard, name, |tag| tag.quality == "bad");
        assert_eq!(
            (tag.cause.as_deref(), tag.value),
            (Some("not a finite number"), None),
            "H-21"
        );
    }
}

#[test]
fn over_the_limit_the_coil_in_pymodbus_is_off() {
    let Some(server) = server() else { return };
    for acquire in ["inline", "thread"] {
        server.set("holding", 0, HEALTHY);
        // As somebody left it.
        server.set("coil", 0, 1);
        let guard = Guard::start(
            &Setup {
                acquire,
                ..Setup::default()
            }
            .yaml(server.address()),
        );
        wait_until("I9: boot stops it", || server.get("coil", 0) == 0);
        for _ in 0..3 {
            guard.arm();
            wait_until("it may run", || server.get("coil", 0) == 1);
            server.set("holding", 0, DANGER);
            wait_until("it is stopped", || server.get("coil", 0) == 0);
            let status = guard.status();
            assert_eq!(status.state, State::Tripped);
            assert_eq!(
                output(&status, "run").first_out.as_deref(),
                Some("condition")
            );
            server.set("holding", 0, HEALTHY);
        }
        guard.arm();
        wait_until("it may run", || server.get("coil", 0) == 1);
        assert_eq!(guard.status().lane_allocations, 0, "I11");
        assert_eq!(guard.terminate(), Some(0));
        assert_eq!(server.get("coil", 0), 0);
    }
}

fn start(server: &ModbusPeer, tags: String) -> Guard {
    server.set("holding", 0, HEALTHY);
    let setup = Setup {
        // One Python answers for all the reads of a poll.
        poll: "100ms",
        timeout: "2s",
        stale_after: "5s",
        more: [tags, String::new(), String::new()],
        ..Setup::default()
    };
    Guard::start(&setup.yaml(server.address()))
}
