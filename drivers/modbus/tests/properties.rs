//! Properties over arbitrary bytes: nothing panics, cuts in the stream change nothing, and a frame that was changed is
//! never taken for the right one.
#![allow(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach helpers of a test program"
)]

use std::net::{Ipv4Addr, SocketAddr};

use drivers_frame::{
    DeviceId, DurNs, FrameSink, MonoNs, QueueFull, Sample, TagId, ValueCodec, ValueType,
};
use drivers_modbus::codec::server::{self, ReplyBuf};
use drivers_modbus::codec::{
    FrameError, FrameReader, Framing, ReadRequest, Table, WriteRequest, check_read_reply,
    check_write_reply, encode_read, encode_write,
};
use drivers_modbus::{Backoff, DeviceConfig, Point, Poll, Session};
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes of a read reply before its data.
const DATA_AT: usize = 9;

fn table() -> impl Strategy<Value = Table> {
    prop::sample::select(Table::ALL.to_vec())
}

/// A request and the right reply to it.
fn exchange() -> impl Strategy<Value = (u16, u8, ReadRequest, Vec<u8>)> {
    let any_read = (table(), any::<u16>(), 1u16..=125);
    (any::<u16>(), any::<u8>(), any_read, vec(any::<u16>(), 125)).prop_map(
        |(transaction, unit, (table, address, count), values)| {
            let request = ReadRequest {
                table,
                address: address.min(u16::MAX - count),
                count,
            };
            let values = &values[..usize::from(count)];
            let bits: Vec<bool> = values.iter().map(|value| value & 1 == 1).collect();
            let mut buf: ReplyBuf = [0; 260];
            let adu = if table.is_bits() {
                server::encode_bits(&mut buf, transaction, unit, table, &bits)
            } else {
                server::encode_registers(&mut buf, transaction, unit, table, values)
            };
            (transaction, unit, request, adu.unwrap().to_vec())
        },
    )
}

/// Everything a reader says about a stream: the ADU, the bytes beyond it, or the error.
fn read_all(chunks: &[&[u8]]) -> Result<(Vec<u8>, usize), FrameError> {
    let mut reader = FrameReader::new();
    let mut beyond = 0;
    for chunk in chunks {
        if let Framing::Complete { excess } = reader.push(chunk)? {
            beyond += excess;
        }
    }
    Ok((reader.adu().to_vec(), beyond))
}

fn cut<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for cut in cuts {
        let (head, rest) = bytes.split_at(cut % (bytes.len() + 1));
        chunks.push(head);
        bytes = rest;
    }
    chunks.push(bytes);
    chunks
}

#[derive(Default)]
struct Frames(usize);

impl FrameSink for Frames {
    fn push_frame(&mut self, _: &[Sample]) -> Result<(), QueueFull> {
        self.0 += 1;
        Ok(())
    }
}

/// A session that awaits the reply to its first request, transaction 1: two input registers of unit 1.
fn awaiting() -> Session {
    let point = |address| Point {
        tag: TagId(address),
        table: Table::InputRegisters,
        address,
        codec: ValueCodec::plain(ValueType::U16),
    };
    let config = DeviceConfig {
        windows: Vec::new(),
        device: DeviceId(0),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 502)),
        unit: 1,
        poll: Poll::Continuous,
        timeout: DurNs::from_ms(100),
        connect_timeout: DurNs::from_ms(100),
        backoff: Backoff {
            min: DurNs::from_ms(1),
            max: DurNs::from_ms(1),
        },
        max_gap: 0,
        points: vec![point(0), point(1)],
    };
    let mut session = Session::new(config, 1).unwrap();
    session.on_connecting(MonoNs::ZERO);
    session.on_connected(MonoNs::ZERO);
    session.on_sent(MonoNs::ZERO, 12);
    session
}

proptest! {
    #[test]
    fn what_a_device_answers_is_what_the_client_reads(
        transaction: u16, unit: u8, address in 0u16..=65_000, values in vec(any::<u16>(), 1..=125)
    ) {
        let count = u16::try_from(values.len()).unwrap();
        let bits: Vec<bool> = values.iter().map(|value| value & 1 == 1).collect();
        for table in Table::ALL {
            let request = ReadRequest { table, address, count };
            let mut buf: ReplyBuf = [0; 260];
            if table.is_bits() {
                let adu = server::encode_bits(&mut buf, transaction, unit, table, &bits).unwrap();
                let data = check_read_reply(adu, transaction, unit, &request).unwrap();
                let back: Vec<bool> = (0..count).map(|i| data.bit(i).unwrap()).collect();
                prop_assert_eq!(&back, &bits);
            } else {
                let adu = server::encode_registers(&mut buf, transaction, unit, table, &values).unwrap();
                let data = check_read_reply(adu, transaction, unit, &request).unwrap();
                let back: Vec<u16> = (0..count).map(|i| data.register(i).unwrap()).collect();
                prop_assert_eq!(&back, &values);
            }
        }
    }

    #[test]
    fn what_a_client_asks_is_what_the_device_decodes(
        transaction: u16, unit: u8, table in table(), address: u16, count: u16, on: bool
    ) {
        let mut buf = [0; 12];
        let read = ReadRequest { table, address, count };
        encode_read(&mut buf, transaction, unit, &read);
        let decoded = server::decode_request(&buf).unwrap();
        prop_assert_eq!((decoded.transaction, decoded.unit), (transaction, unit));
        prop_assert_eq!(decoded.body, server::RequestBody::Read(read));
        for write in [WriteRequest::Coil { address, on }, WriteRequest::Register { address, value: count }] {
            encode_write(&mut buf, transaction, unit, &write);
            let decoded = server::decode_request(&buf).unwrap();
            prop_assert_eq!(decoded.body, server::RequestBody::Write(write));
            // The request of a write is its own right echo.
            prop_assert_eq!(check_write_reply(&buf, transaction, unit, &write), Ok(()));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_are_never_a_reply_by_chance(
        chunks in vec(vec(any::<u8>(), 0..300), 0..6), transaction: u16, unit: u8, table in table(), address: u16, count: u16
    ) {
        let request = ReadRequest { table, address, count };
        let write = WriteRequest::Register { address, value: count };
        let mut session = awaiting();
        let mut frames = Frames::default();
        let mut reader = FrameReader::new();
        for chunk in &chunks {
            let _ = check_read_reply(chunk, transaction, unit, &request);
            let _ = check_write_reply(chunk, transaction, unit, &write);
            let _ = server::decode_request(chunk);
            if reader.push(chunk).is_ok() {
                let adu = reader.adu().to_vec();
                let _ = check_read_reply(&adu, transaction, unit, &request);
            }
            session.on_bytes(MonoNs::from_ns(1), chunk, &mut frames);
        }
        // A frame needs 9 given bytes in a row; chance does not give them.
        prop_assert_eq!(frames.0, 0);
    }

    #[test]
    fn where_the_network_cuts_the_stream_changes_nothing(
        (_, _, _, adu) in exchange(), junk in vec(any::<u8>(), 0..40), cuts in vec(any::<usize>(), 0..12),
        at: usize, byte: u8, damage: bool
    ) {
        let mut stream = adu;
        stream.extend(&junk);
        if damage {
            let at = at % stream.len();
            stream[at] = byte;
        }
        prop_assert_eq!(read_all(&cut(&stream, &cuts)), read_all(&[&stream]));
    }

    #[test]
    fn a_changed_byte_outside_the_data_is_never_accepted(
        (transaction, unit, request, adu) in exchange(), at: usize, byte: u8
    ) {
        let mut changed = adu.clone();
        let at = at % adu.len();
        changed[at] = byte;
        let accepted = check_read_reply(&changed, transaction, unit, &request).is_ok();
        prop_assert_eq!(accepted, changed == adu || at >= DATA_AT);
    }

    #[test]
    fn a_shorter_or_longer_frame_is_never_accepted(
        (transaction, unit, request, adu) in exchange(), keep: usize, tail in vec(any::<u8>(), 1..20), mend: bool
    ) {
        let mut longer = adu.clone();
        longer.extend(&tail);
        for mut changed in [adu[..keep % adu.len()].to_vec(), longer] {
            // With a length field that fits the change as well.
            if mend && changed.len() >= 6 {
                let length = u16::try_from(changed.len() - 6).unwrap();
                changed[4..6].copy_from_slice(&length.to_be_bytes());
            }
            prop_assert!(check_read_reply(&changed, transaction, unit, &request).is_err());
        }
    }

    #[test]
    fn a_reply_to_another_question_is_never_accepted(
        (transaction, unit, request, adu) in exchange(), other_transaction: u16, other_unit: u8, other in table(), count in 1u16..=125
    ) {
        let asked = ReadRequest { table: other, count, ..request };
        let accepted = check_read_reply(&adu, other_transaction, other_unit, &asked).is_ok();
        // Bits of as many bytes are the one difference that a reply cannot show.
        let bytes = |r: &ReadRequest| if r.table.is_bits() { r.count.div_ceil(8) } else { r.count * 2 };
        let same = (other_transaction, other_unit, other) == (transaction, unit, request.table)
            && bytes(&asked) == bytes(&request)
            && asked.check().is_ok();
        prop_assert_eq!(accepted, same);
    }

    #[test]
    fn a_session_gives_one_frame_for_the_right_reply_and_none_for_a_changed_one(
        high: u16, low: u16, at in 0usize..13, byte: u8, cuts in vec(any::<usize>(), 0..6)
    ) {
        let mut buf: ReplyBuf = [0; 260];
        let right = server::encode_registers(&mut buf, 1, 1, Table::InputRegisters, &[high, low]).unwrap().to_vec();
        let mut changed = right.clone();
        changed[at] = byte;
        for (stream, frames_expected) in [(&right, 1), (&changed, usize::from(at >= DATA_AT || changed == right))] {
            let mut session = awaiting();
            let mut frames = Frames::default();
            for chunk in cut(stream, &cuts) {
                session.on_bytes(MonoNs::from_ns(1), chunk, &mut frames);
            }
            prop_assert_eq!(frames.0, frames_expected);
        }
    }
}
