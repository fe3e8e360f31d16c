//! Tests of the block planner; apart, because the planner and its cases are each a screenful.

use drivers_frame::{TagId, ValueCodec, ValueType};

use super::*;

fn point(tag: u16, table: Table, address: u16, kind: ValueType) -> Point {
    Point {
        tag: TagId(tag),
        table,
        address,
        codec: ValueCodec::plain(kind),
    }
}

fn word_at(tag: u16, address: u16) -> Point {
    point(tag, Table::HoldingRegisters, address, ValueType::U16)
}

fn spans(blocks: &[Block]) -> Vec<(Table, u16, u16, usize)> {
    let span = |block: &Block| {
        let request = block.request;
        (request.table, request.address, request.count, block.points)
    };
    blocks.iter().map(span).collect()
}

#[test]
fn neighbours_are_read_together_up_to_the_gap_limit() {
    let points = [word_at(1, 10), word_at(0, 0), word_at(2, 28)];
    let one = spans(&blocks(&points, 17).unwrap());
    assert_eq!(one, [(Table::HoldingRegisters, 0, 29, 3)]);
    let two = spans(&blocks(&points, 16).unwrap());
    assert_eq!(
        two,
        [
            (Table::HoldingRegisters, 0, 11, 2),
            (Table::HoldingRegisters, 28, 1, 1)
        ]
    );
    assert_eq!(blocks(&points, 0).unwrap().len(), 3);
}

#[test]
fn tables_are_never_mixed() {
    let mut points: Vec<Point> = (0u16..)
        .zip(Table::ALL)
        .map(|(tag, table)| point(tag, table, 5, ValueType::Bool))
        .collect();
    points.reverse();
    let blocks = spans(&blocks(&points, 100).unwrap());
    assert_eq!(blocks, Table::ALL.map(|table| (table, 5, 1, 1)));
}

#[test]
fn a_value_of_several_registers_is_never_split_between_reads() {
    // 0..=123 single words, then a double word at 124: 126 registers do not fit one read.
    let mut points: Vec<Point> = (0..124).map(|i| word_at(i, i)).collect();
    points.push(point(124, Table::HoldingRegisters, 124, ValueType::F32));
    assert_eq!(
        spans(&blocks(&points, 0).unwrap()),
        [
            (Table::HoldingRegisters, 0, 124, 124),
            (Table::HoldingRegisters, 124, 2, 1)
        ]
    );
}

#[test]
fn bits_stop_at_512_and_a_frame_at_512_samples() {
    let coils: Vec<Point> = (0..600)
        .map(|i| point(i, Table::Coils, i, ValueType::Bool))
        .collect();
    assert_eq!(
        spans(&blocks(&coils, 0).unwrap()),
        [(Table::Coils, 0, 512, 512), (Table::Coils, 512, 88, 88)]
    );
    let register_bits: Vec<Point> = (0..640)
        .map(|i| {
            let mut point = point(i, Table::InputRegisters, i / 16, ValueType::Bool);
            point.codec.bit = u8::try_from(i % 16).unwrap();
            point
        })
        .collect();
    assert_eq!(
        spans(&blocks(&register_bits, 0).unwrap()),
        [
            (Table::InputRegisters, 0, 32, 512),
            (Table::InputRegisters, 32, 8, 128)
        ]
    );
}

#[test]
fn overlapping_points_count_their_longest_reach() {
    let points = [
        point(0, Table::HoldingRegisters, 0, ValueType::F64),
        word_at(1, 1),
        word_at(2, 4),
    ];
    let blocks = spans(&blocks(&points, 0).unwrap());
    assert_eq!(blocks, [(Table::HoldingRegisters, 0, 5, 3)]);
}

#[test]
fn h_10_a_block_is_split_at_its_widest_gap_down_to_single_points() {
    let points: Vec<Point> = [0, 1, 2, 12, 13].map(|a| word_at(a, a)).to_vec();
    let mut plan = Plan::new(points, 16).unwrap();
    assert!(plan.split(0));
    let left = (Table::HoldingRegisters, 0, 3, 3);
    assert_eq!(
        spans(plan.blocks()),
        [left, (Table::HoldingRegisters, 12, 2, 2)]
    );
    assert!(plan.split(0) && plan.split(1) && plan.split(3));
    assert_eq!(plan.blocks().len(), 5);
    for index in 0..6 {
        assert!(!plan.split(index), "a single point cannot be split");
    }
    for (address, block) in [0, 1, 2, 12, 13].into_iter().zip(plan.blocks()) {
        assert_eq!((block.request.address, block.request.count), (address, 1));
    }
}

#[test]
fn splitting_stays_within_what_was_reserved() {
    let points: Vec<Point> = (0..1_100)
        .map(|i| point(i, Table::Coils, i, ValueType::Bool))
        .collect();
    let mut plan = Plan::new(points, 0).unwrap();
    let reserved = plan.blocks.capacity();
    for _ in 0..3_000 {
        if let Some(index) = plan.blocks().iter().position(|block| block.points > 1) {
            plan.split(index);
        }
    }
    assert_eq!(plan.blocks().len(), MODBUS_BLOCKS_MAX);
    assert_eq!(plan.blocks.capacity(), reserved);
    let points: usize = plan.blocks().iter().map(|block| block.points).sum();
    assert_eq!(points, 1_100);
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    assert_eq!(blocks(&[], 0), Err(PlanError::NoPoints));
    let tag = TagId(7);
    let cases = [
        (
            vec![word_at(7, 0), word_at(7, 9)],
            PlanError::DuplicateTag { tag },
        ),
        (
            vec![point(7, Table::Coils, 0, ValueType::U16)],
            PlanError::NotABit { tag },
        ),
        (
            vec![point(7, Table::InputRegisters, 65_535, ValueType::F32)],
            PlanError::AddressRange {
                tag,
                address: 65_535,
                width: 2,
            },
        ),
    ];
    for (points, error) in cases {
        assert_eq!(blocks(&points, 0), Err(error));
        assert!(error.to_string().contains("tag 7"));
    }
    let mut bit = point(7, Table::InputRegisters, 0, ValueType::Bool);
    bit.codec.bit = 16;
    assert_eq!(blocks(&[bit], 0), Err(PlanError::BitRange { tag, bit: 16 }));
    assert!(blocks(&[word_at(7, 65_535)], 0).is_ok());
    let scattered: Vec<Point> = (0..1_025).map(|i| word_at(i, i * 2)).collect();
    assert_eq!(
        blocks(&scattered, 0),
        Err(PlanError::TooManyBlocks {
            max: MODBUS_BLOCKS_MAX,
            received: 1_025
        })
    );
}
