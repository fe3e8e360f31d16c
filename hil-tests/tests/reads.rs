//! The reads that a reaction time is computed with are those that the driver makes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use drivers_frame::{DurNs, TagId, ValueCodec, ValueType};
use drivers_modbus::plan::blocks;
use drivers_modbus::{Point, codec};
use proptest::prelude::*;
use rules_bundle::budget::read_blocks;
use rules_bundle::{ModbusPlan, PointPlan, Table};

const KINDS: [ValueType; 4] = [
    ValueType::U16,
    ValueType::F32,
    ValueType::U64,
    ValueType::Bool,
];

const TABLES: [Table; 4] = [Table::Coil, Table::Discrete, Table::Holding, Table::Input];

/// Table, address and type; coils and discrete inputs hold bits only.
fn point() -> impl Strategy<Value = (Table, u16, ValueType)> {
    // Addresses that lie close, so that gaps, overlaps and the longest read are met.
    (
        prop::sample::select(&TABLES[..]),
        0_u16..1_200,
        prop::sample::select(&KINDS[..]),
    )
        .prop_map(|(table, address, kind)| match table {
            Table::Coil | Table::Discrete => (table, address, ValueType::Bool),
            Table::Holding | Table::Input => (table, address, kind),
        })
}

fn driver_table(table: Table) -> codec::Table {
    match table {
        Table::Coil => codec::Table::Coils,
        Table::Discrete => codec::Table::DiscreteInputs,
        Table::Holding => codec::Table::HoldingRegisters,
        Table::Input => codec::Table::InputRegisters,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_are_counted_as_the_driver_lays_them(
        points in prop::collection::vec(point(), 1..120),
        max_gap in 0_u16..124,
    ) {
        let tagged = || (0_u16..).map(TagId).zip(&points);
        let plan = ModbusPlan {
            host: "192.0.2.1".into(),
            port: 502,
            unit: 1,
            poll: None,
            timeout: DurNs::from_ms(20),
            connect_timeout: DurNs::from_ms(20),
            backoff_min: DurNs::from_ms(20),
            backoff_max: DurNs::from_ms(20),
            max_gap,
            points: tagged()
                .map(|(tag, (table, address, kind))| PointPlan {
                    tag,
                    table: *table,
                    address: *address,
                    codec: ValueCodec::plain(*kind),
                })
                .collect(),
        };
        let driver: Vec<Point> = tagged()
            .map(|(tag, (table, address, kind))| Point {
                tag,
                table: driver_table(*table),
                address: *address,
                codec: ValueCodec::plain(*kind),
            })
            .collect();
        let reads = blocks(&driver, max_gap).unwrap().len();
        prop_assert_eq!(read_blocks(&plan), reads as u64);
    }
}
