//! The session in virtual time.

use std::net::{Ipv4Addr, SocketAddr};

use drivers_frame::{DeviceId, Quality, QueueFull, TagId, ValueType};

use super::*;
use crate::codec::server::{self, ReplyBuf, RequestBody};
use crate::codec::{FrameError, Table};
use crate::config::Backoff;

const NO_ROUTE: IoFault = IoFault { errno: 113 };

#[derive(Default)]
struct Sink {
    frames: Vec<Vec<Sample>>,
    full: bool,
}

impl FrameSink for Sink {
    fn push_frame(&mut self, samples: &[Sample]) -> Result<(), QueueFull> {
        if self.full {
            return Err(QueueFull);
        }
        self.frames.push(samples.to_vec());
        Ok(())
    }
}

impl Sink {
    fn last(&self) -> Vec<(u16, f64, Quality)> {
        let samples = self.frames.last().unwrap();
        let of = |sample: &Sample| (sample.tag.0, sample.value, sample.quality);
        samples.iter().map(of).collect()
    }
}

fn ms(ms: u64) -> MonoNs {
    MonoNs::from_ns(ms * 1_000_000)
}

fn point(tag: u16, address: u16, kind: ValueType) -> Point {
    Point {
        tag: TagId(tag),
        table: Table::InputRegisters,
        address,
        codec: ValueCodec::plain(kind),
    }
}

fn config(poll: Poll, points: Vec<Point>) -> DeviceConfig {
    DeviceConfig {
        windows: Vec::new(),
        device: DeviceId(0),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 502)),
        unit: 9,
        poll,
        timeout: DurNs::from_ms(50),
        connect_timeout: DurNs::from_ms(500),
        backoff: Backoff {
            min: DurNs::from_ms(100),
            max: DurNs::from_ms(800),
        },
        max_gap: 4,
        points,
    }
}

fn session(poll: Poll, points: Vec<Point>) -> Session {
    Session::new(config(poll, points), 1).unwrap()
}

fn two_words() -> Vec<Point> {
    vec![point(0, 0, ValueType::U16), point(1, 1, ValueType::U16)]
}

fn connect(session: &mut Session, now: MonoNs) {
    assert_eq!(session.action(now), Action::Connect);
    session.on_connecting(now);
    session.on_connected(now);
}

/// Sends the due request and returns it decoded.
fn send(session: &mut Session, now: MonoNs) -> (u16, ReadRequest) {
    assert_eq!(session.action(now), Action::Send);
    let request = server::decode_request(&session.request()).unwrap();
    session.on_sent(now, REQUEST_BYTES);
    match request.body {
        RequestBody::Read(read) => (request.transaction, read),
        RequestBody::Write(write) => panic!("a session only reads: {write:?}"),
    }
}

/// A right reply in which every register holds its address plus 100.
fn reply(transaction: u16, read: &ReadRequest) -> Vec<u8> {
    let registers: Vec<u16> = (0..read.count).map(|i| read.address + i + 100).collect();
    let mut buf: ReplyBuf = [0; 260];
    server::encode_registers(&mut buf, transaction, 9, read.table, &registers)
        .unwrap()
        .to_vec()
}

fn exception(transaction: u16, read: &ReadRequest, code: u8) -> Vec<u8> {
    let mut buf: ReplyBuf = [0; 260];
    server::encode_exception(&mut buf, transaction, 9, read.table.read_function(), code)
        .unwrap()
        .to_vec()
}

#[test]
fn a_reply_is_one_frame_with_the_time_of_its_arrival() {
    let mut s = session(Poll::Continuous, two_words());
    let mut sink = Sink::default();
    connect(&mut s, ms(0));
    assert_eq!(s.link(), LinkState::Connecting);
    let (transaction, read) = send(&mut s, ms(1));
    let adu = reply(transaction, &read);
    assert_eq!(s.on_bytes(ms(2), &adu[..5], &mut sink), Outcome::Progress);
    assert_eq!(s.on_bytes(ms(3), &adu[5..], &mut sink), Outcome::Frame);
    let good = Quality::Good;
    assert_eq!(sink.last(), [(0, 100.0, good), (1, 101.0, good)]);
    assert!(sink.frames[0].iter().all(|sample| sample.at == ms(3)));
    assert_eq!(s.link(), LinkState::Up);
    let up = LinkChange {
        up: true,
        cause: None,
    };
    assert_eq!(s.take_change(), Some(up));
    assert_eq!(s.take_change(), None);
    assert_eq!(s.action(ms(3)), Action::Send, "continuous: at once");
}

#[test]
fn h_6_h_12_a_deadline_is_absolute_whatever_trickles_in() {
    let mut s = session(Poll::Continuous, two_words());
    let mut sink = Sink::default();
    connect(&mut s, ms(0));
    let (transaction, read) = send(&mut s, ms(10));
    let adu = reply(transaction, &read);
    for (i, byte) in adu[..adu.len() - 1].iter().enumerate() {
        let now = ms(11 + i as u64);
        assert_eq!(s.action(now), Action::Receive { deadline: ms(60) });
        s.on_bytes(now, &[*byte], &mut sink);
    }
    // The last byte comes at the deadline: too late.
    assert_eq!(
        s.on_bytes(ms(60), &adu[adu.len() - 1..], &mut sink),
        Outcome::Progress
    );
    assert_eq!(s.action(ms(60)), Action::Close);
    let received = adu.len();
    assert_eq!(s.last_error(), Some(SessionError::Timeout { received }));
    assert_eq!((s.counters().timeouts, s.counters().anomalies), (1, 0));
    assert!(
        sink.frames.is_empty(),
        "loss of communication pushes nothing"
    );
}

#[test]
fn h_7_a_late_reply_is_never_matched_not_even_after_a_reconnect() {
    let mut s = session(Poll::Continuous, two_words());
    let mut sink = Sink::default();
    connect(&mut s, ms(0));
    let (first, read) = send(&mut s, ms(0));
    let late = reply(first, &read);
    assert_eq!(s.action(ms(50)), Action::Close);
    s.on_bytes(ms(51), &late, &mut sink);
    s.on_closed();
    connect(&mut s, ms(1_000));
    let (second, _) = send(&mut s, ms(1_000));
    assert_eq!(
        second,
        first.wrapping_add(1),
        "ids go on across connections"
    );
    s.on_bytes(ms(1_001), &late, &mut sink);
    assert_eq!(s.action(ms(1_001)), Action::Close);
    assert_eq!(
        s.last_error(),
        Some(SessionError::Reply(ReplyError::Transaction {
            expected: second,
            received: first
        }))
    );
    assert!(sink.frames.is_empty());
}

#[test]
fn h_13_unsolicited_bytes_close_with_the_reply_between_polls_and_at_the_next_reply() {
    let every = Poll::Every(DurNs::from_ms(100));
    // In one recv with the reply.
    let mut sink = Sink::default();
    let mut s = session(every, two_words());
    connect(&mut s, ms(0));
    let (transaction, read) = send(&mut s, ms(0));
    let twice = reply(transaction, &read).repeat(2);
    s.on_bytes(ms(1), &twice, &mut sink);
    assert_eq!(
        s.last_error(),
        Some(SessionError::Unsolicited { received: 13 })
    );
    assert!(sink.frames.is_empty());
    // While the period is waited out.
    let mut s = session(every, two_words());
    connect(&mut s, ms(0));
    let (transaction, read) = send(&mut s, ms(0));
    let adu = reply(transaction, &read);
    s.on_bytes(ms(1), &adu, &mut sink);
    assert_eq!(s.action(ms(2)), Action::Receive { deadline: ms(100) });
    s.on_bytes(ms(2), &adu, &mut sink);
    assert_eq!(s.action(ms(2)), Action::Close);
    assert_eq!(sink.frames.len(), 1);
    // After the next request has gone.
    let mut s = session(Poll::Continuous, two_words());
    connect(&mut s, ms(0));
    let (transaction, read) = send(&mut s, ms(0));
    let adu = reply(transaction, &read);
    s.on_bytes(ms(1), &adu, &mut sink);
    send(&mut s, ms(1));
    s.on_bytes(ms(2), &adu, &mut sink);
    assert!(matches!(
        s.last_error(),
        Some(SessionError::Reply(ReplyError::Transaction { .. }))
    ));
    assert_eq!((sink.frames.len(), s.counters().anomalies), (2, 1));
}

#[test]
fn h_16_refused_connections_back_off_and_a_mere_connect_does_not_reset_it() {
    let mut s = session(Poll::Continuous, two_words());
    let mut now = ms(0);
    let mut waits = Vec::new();
    for attempt in 0..8 {
        assert_eq!(s.action(now), Action::Connect);
        if attempt % 2 == 0 {
            s.on_connect_failed(now, NO_ROUTE);
        } else {
            s.on_connecting(now);
            s.on_connected(now);
            s.on_eof(now);
        }
        assert_eq!(s.action(now), Action::Close);
        s.on_closed();
        let Action::Wait { until } = s.action(now) else {
            panic!("must wait");
        };
        waits.push(until.since(now).as_ns() / 1_000_000);
        now = until;
    }
    assert_eq!(waits[0], 100);
    for (wait, base) in waits.iter().zip([100, 200, 400, 800, 800, 800, 800, 800]) {
        assert!((base / 2..=base).contains(wait), "{waits:?}");
    }
    assert_eq!(
        (s.counters().connect_failures, s.counters().anomalies),
        (4, 4)
    );
    let down = LinkChange {
        up: false,
        cause: Some(SessionError::Connect(NO_ROUTE)),
    };
    assert_eq!(s.take_change(), Some(down), "reported once, with its cause");
    assert_eq!(s.take_change(), None);
    // An answer does.
    let mut sink = Sink::default();
    connect(&mut s, now);
    let (transaction, read) = send(&mut s, now);
    s.on_bytes(now, &reply(transaction, &read), &mut sink);
    s.on_io_error(now, NO_ROUTE);
    s.on_closed();
    let until = now.after(DurNs::from_ms(100));
    assert_eq!(s.action(now), Action::Wait { until });
}

#[test]
fn a_connection_attempt_has_a_deadline() {
    let mut s = session(Poll::Continuous, two_words());
    assert_eq!(s.action(ms(7)), Action::Connect);
    s.on_connecting(ms(7));
    let deadline = ms(507);
    assert_eq!(s.action(ms(506)), Action::PollConnect { deadline });
    assert_eq!(s.action(ms(507)), Action::Close);
    assert_eq!(s.last_error(), Some(SessionError::ConnectTimeout));
    assert_eq!(s.counters().connect_failures, 1);
}

#[test]
fn h_15_a_window_that_is_shut_closes_the_connection() {
    for sent in [0, 1, 11] {
        let mut s = session(Poll::Continuous, two_words());
        connect(&mut s, ms(0));
        s.on_sent(ms(0), sent);
        assert_eq!(s.action(ms(0)), Action::Close);
        assert_eq!(s.last_error(), Some(SessionError::ShortSend { sent }));
        assert_eq!((s.counters().requests, s.counters().anomalies), (0, 1));
    }
}

#[test]
fn cycles_keep_their_grid_and_missed_periods_are_counted() {
    let points = vec![point(0, 0, ValueType::U16), point(1, 50, ValueType::F32)];
    let mut s = session(Poll::Every(DurNs::from_ms(20)), points);
    let mut sink = Sink::default();
    connect(&mut s, ms(3));
    for cycle in 0..5 {
        let due = 3 + cycle * 20;
        let (t, read) = send(&mut s, ms(due + 1));
        assert_eq!(read.address, 0);
        s.on_bytes(ms(due + 4), &reply(t, &read), &mut sink);
        let (t, read) = send(&mut s, ms(due + 4));
        assert_eq!((read.address, read.count), (50, 2));
        s.on_bytes(ms(due + 9), &reply(t, &read), &mut sink);
        let deadline = ms(due + 20);
        assert_eq!(s.action(ms(due + 9)), Action::Receive { deadline });
    }
    assert_eq!(s.counters().missed_periods, 0);
    // Due at 103, begun at 150: 123 and 143 are gone; the next is 163.
    let (t, read) = send(&mut s, ms(150));
    s.on_bytes(ms(151), &reply(t, &read), &mut sink);
    let (t, read) = send(&mut s, ms(151));
    s.on_bytes(ms(152), &reply(t, &read), &mut sink);
    assert_eq!(s.counters().missed_periods, 2);
    assert_eq!(s.action(ms(152)), Action::Receive { deadline: ms(163) });
}

#[test]
fn h_10_an_exception_is_bad_values_on_a_sound_connection() {
    for code in [1, 3, 4, 5, 6, 8, 0x0A, 0x0B, 0, 255] {
        let mut s = session(Poll::Continuous, two_words());
        let mut sink = Sink::default();
        connect(&mut s, ms(0));
        let (t, read) = send(&mut s, ms(0));
        let adu = exception(t, &read, code);
        assert_eq!(s.on_bytes(ms(1), &adu, &mut sink), Outcome::Frame);
        assert_eq!(
            sink.last(),
            [(0, 0.0, Quality::Bad), (1, 0.0, Quality::Bad)]
        );
        let exception = Cause::DeviceException;
        assert!(
            sink.frames[0]
                .iter()
                .all(|sample| sample.cause == exception)
        );
        assert_eq!(s.action(ms(1)), Action::Send);
        let counters = s.counters();
        assert_eq!(
            (counters.exceptions, counters.anomalies, counters.splits),
            (1, 0, 0)
        );
        assert_eq!(
            s.last_error(),
            Some(SessionError::Exception {
                code: ExceptionCode::from_byte(code),
                request: read
            })
        );
    }
}

#[test]
fn h_10_a_hole_is_found_by_splitting_and_remembered_across_connections() {
    // The device has registers 0..=3 and 6..=7 and refuses any range that touches another.
    let exists = |address: u16| address < 4 || (6..8).contains(&address);
    let addresses = [0u16, 1, 2, 3, 6, 7, 9];
    let points = addresses.map(|a| point(a, a, ValueType::U16)).to_vec();
    let mut s = session(Poll::Every(DurNs::from_ms(10)), points);
    let reserved = s.plan().blocks().len();
    assert_eq!(reserved, 1);
    let mut sink = Sink::default();
    let mut now = ms(0);
    connect(&mut s, now);
    for _ in 0..20 {
        while s.action(now) == Action::Send {
            let (t, read) = send(&mut s, now);
            let whole = (read.address..read.address + read.count).all(exists);
            let adu = if whole {
                reply(t, &read)
            } else {
                exception(t, &read, 2)
            };
            s.on_bytes(now, &adu, &mut sink);
        }
        let Action::Receive { deadline } = s.action(now) else {
            panic!("the connection is sound");
        };
        now = deadline;
    }
    let blocks = s.plan().blocks().to_vec();
    let spans: Vec<_> = blocks
        .iter()
        .map(|block| (block.request.address, block.request.count))
        .collect();
    assert_eq!(spans, [(0, 4), (6, 2), (9, 1)]);
    assert_eq!((s.counters().splits, s.counters().anomalies), (2, 0));
    for sample in sink.frames.iter().flatten() {
        let address = sample.tag.0;
        match sample.quality {
            Quality::Good => {
                assert!(exists(address));
                let right = f64::from(address + 100);
                assert_eq!(sample.value.to_bits(), right.to_bits());
            }
            _ => assert_eq!((sample.quality, sample.value), (Quality::Bad, 0.0)),
        }
    }
    assert_eq!(
        sink.last(),
        [(9, 0.0, Quality::Bad)],
        "a single point stays"
    );
    s.on_eof(now);
    s.on_closed();
    connect(&mut s, now.after(DurNs::from_ms(1_000)));
    assert_eq!(s.plan().blocks(), blocks);
}

#[test]
fn h_25_a_full_queue_is_counted_and_polling_goes_on() {
    let mut s = session(Poll::Continuous, two_words());
    let mut sink = Sink {
        full: true,
        ..Sink::default()
    };
    connect(&mut s, ms(0));
    let (t, read) = send(&mut s, ms(0));
    assert_eq!(
        s.on_bytes(ms(1), &reply(t, &read), &mut sink),
        Outcome::Progress
    );
    assert_eq!((s.counters().queue_full, s.counters().replies), (1, 1));
    assert_eq!(s.action(ms(1)), Action::Send);
}

#[test]
fn ids_wrap_and_stay_strict() {
    let mut s = session(Poll::Continuous, two_words());
    let mut sink = Sink::default();
    connect(&mut s, ms(0));
    for expected in (1..=u16::MAX).chain(0..3) {
        let (t, read) = send(&mut s, ms(0));
        assert_eq!(t, expected);
        assert_eq!(
            s.on_bytes(ms(0), &reply(t, &read), &mut sink),
            Outcome::Frame
        );
        sink.frames.clear();
    }
}

#[test]
fn bits_and_wide_values_come_from_their_own_places() {
    let mut points = vec![
        point(0, 10, ValueType::F32),
        point(1, 12, ValueType::I16),
        point(2, 13, ValueType::Bool),
    ];
    points[2].codec.bit = 6;
    let mut s = session(Poll::Continuous, points);
    let mut sink = Sink::default();
    connect(&mut s, ms(0));
    let (t, _) = send(&mut s, ms(0));
    let mut buf: ReplyBuf = [0; 260];
    let [f1, f0] = [0x4248, 0x0000]; // 50.0
    let registers = [f1, f0, 0xFFFE, 0x0040];
    let adu = server::encode_registers(&mut buf, t, 9, Table::InputRegisters, &registers).unwrap();
    s.on_bytes(ms(1), adu, &mut sink);
    let good = Quality::Good;
    assert_eq!(
        sink.last(),
        [(0, 50.0, good), (1, -2.0, good), (2, 1.0, good)]
    );
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let refused = |change: fn(&mut DeviceConfig)| {
        let mut config = config(Poll::Continuous, two_words());
        change(&mut config);
        Session::new(config, 1).map(|_| ()).unwrap_err()
    };
    assert_eq!(refused(|c| c.timeout = DurNs::ZERO), PlanError::NoTimeout);
    assert_eq!(
        refused(|c| c.connect_timeout = DurNs::ZERO),
        PlanError::NoConnectTimeout
    );
    assert_eq!(
        refused(|c| c.poll = Poll::Every(DurNs::ZERO)),
        PlanError::NoPeriod
    );
    assert_eq!(
        refused(|c| c.backoff.min = DurNs::ZERO),
        PlanError::BackoffOrder
    );
    assert_eq!(
        refused(|c| c.backoff.max = DurNs::from_ms(1)),
        PlanError::BackoffOrder
    );
    assert_eq!(refused(|c| c.points.clear()), PlanError::NoPoints);
}

/// A session in `phase`, made by events only, with a request outstanding where the phase has one.
fn in_phase(phase: Phase) -> Session {
    let mut s = session(Poll::Continuous, two_words());
    match phase {
        Phase::Disconnected => {}
        Phase::Connecting => s.on_connecting(ms(0)),
        Phase::Idle => connect(&mut s, ms(0)),
        Phase::Awaiting => {
            connect(&mut s, ms(0));
            send(&mut s, ms(0));
        }
        Phase::Closing => {
            connect(&mut s, ms(0));
            s.on_eof(ms(0));
        }
    }
    assert_eq!(s.state().phase(), phase);
    s
}

/// Applies `event` as its owner would cause it.
fn apply(s: &mut Session, event: Event, sink: &mut Sink) {
    let transaction = s.transaction.wrapping_sub(1);
    let read = s.plan().blocks()[0].request;
    let right = reply(transaction, &read);
    let now = ms(1);
    match event {
        Event::ConnectStarted => s.on_connecting(now),
        Event::Connected => s.on_connected(now),
        Event::ConnectFailed => s.on_connect_failed(now, NO_ROUTE),
        Event::Expired => {
            s.action(ms(10_000));
        }
        Event::Sent => s.on_sent(now, REQUEST_BYTES),
        Event::ShortSend => s.on_sent(now, 3),
        Event::Partial => drop(s.on_bytes(now, &right[..4], sink)),
        Event::Reply => drop(s.on_bytes(now, &right, sink)),
        Event::Exception => drop(s.on_bytes(now, &exception(transaction, &read, 4), sink)),
        Event::Anomaly => drop(s.on_bytes(now, &[0, 0, 0, 0, 0xFF, 0xFF], sink)),
        Event::Eof => s.on_eof(now),
        Event::IoError => s.on_io_error(now, NO_ROUTE),
        Event::Closed => s.on_closed(),
    }
}

#[test]
fn every_event_in_every_phase_does_what_the_table_says() {
    for phase in Phase::ALL {
        for event in Event::ALL {
            let mut s = in_phase(phase);
            let mut sink = Sink::default();
            let before = s.counters();
            apply(&mut s, event, &mut sink);
            let expected = table::next(phase, event);
            let what = format!("{event:?} in {phase:?}");
            assert_eq!(s.state().phase(), expected.unwrap_or(phase), "{what}");
            let answered =
                phase == Phase::Awaiting && matches!(event, Event::Reply | Event::Exception);
            assert_eq!(sink.frames.len(), usize::from(answered), "{what}");
            if expected.is_none() {
                assert_eq!(s.counters(), before, "{what} is ignored");
            }
            if expected == Some(Phase::Closing) {
                assert_eq!(s.link(), LinkState::Down, "{what}");
                let up = s.take_change().map(|change| change.up);
                assert_eq!(up, Some(false), "{what}");
            }
        }
    }
}

#[test]
fn h_11_a_wrong_length_closes_before_its_body_comes() {
    for length in [0u16, 1, 255, 65_535] {
        let mut s = in_phase(Phase::Awaiting);
        let [high, low] = length.to_be_bytes();
        s.on_bytes(ms(1), &[0, 1, 0, 0, high, low], &mut Sink::default());
        assert_eq!(s.action(ms(1)), Action::Close);
        let error = FrameError::Length { received: length };
        assert_eq!(s.last_error(), Some(SessionError::Frame(error)));
    }
}
