//! The client against devices that misbehave in every way of H-6 to H-16. Each test demands three things: no wrong value
//! was ever pushed (checked sample by sample), the misbehaviour was named and counted, and values come again once the
//! device behaves.
#![allow(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach helpers of a test program"
)]

mod common;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use common::{Behaviour, PATIENCE, Run, answer, config, device, registers, right, serve, words};
use drivers_frame::DurNs;
use drivers_modbus::codec::server::{self, ReplyBuf, Request};
use drivers_modbus::codec::{
    ExceptionCode, FrameError, FrameReader, Framing, ReplyError, WriteRequest, check_write_reply,
    encode_write,
};
use drivers_modbus::{Connect, Link, Received, SessionError};
use socket2::{Domain, Socket, Type};

/// Two registers are asked for; `script` misbehaves on its connections, then the device behaves.
fn survive(script: Vec<Behaviour>, named: impl Fn(&SessionError) -> bool) -> Run {
    survive_within(5_000, script, named)
}

/// As [`survive`], with a reply timeout short enough to be waited out.
fn survive_silence(script: Vec<Behaviour>, named: impl Fn(&SessionError) -> bool) -> Run {
    survive_within(500, script, named)
}

fn survive_within(
    timeout_ms: u64,
    script: Vec<Behaviour>,
    named: impl Fn(&SessionError) -> bool,
) -> Run {
    let expected = script.len();
    let mut config = config(device(script), words(0..2));
    config.timeout = DurNs::from_ms(timeout_ms);
    let mut run = Run::new(config);
    run.until(|run| {
        let counters = run.counters();
        counters.anomalies + counters.timeouts >= expected as u64
    });
    assert!(run.errors.iter().any(named), "{:?}", run.errors);
    run.recover(6);
    assert_eq!(run.checker.bad, 0);
    run
}

fn no_answer() -> Behaviour {
    Box::new(|_, _| true)
}

/// The right reply with one byte set.
fn with(at: usize, value: u8) -> Behaviour {
    answer(move |request| {
        let mut adu = registers(request, [0xBAD, 0xBAD].into_iter());
        adu[at] = value;
        adu
    })
}

#[test]
fn h_6_no_reply() {
    let run = survive_silence(vec![no_answer(), no_answer()], |error| {
        *error == SessionError::Timeout { received: 0 }
    });
    assert!(run.counters().timeouts >= 2);
}

#[test]
fn h_7_a_reply_that_comes_after_its_deadline() {
    let late: Behaviour = Box::new(|stream, request| {
        std::thread::sleep(Duration::from_millis(1_000));
        stream.write_all(&right(request)).is_ok()
    });
    let run = survive_silence(vec![late], |error| {
        *error == SessionError::Timeout { received: 0 }
    });
    assert!(run.counters().timeouts >= 1);
}

#[test]
fn h_7_a_reply_to_the_previous_request() {
    let previous = answer(|request| {
        let transaction = request.transaction.wrapping_sub(1);
        let before = Request {
            transaction,
            ..*request
        };
        registers(&before, [0xBAD, 0xBAD].into_iter())
    });
    let run = survive(vec![previous], |error| {
        matches!(error, SessionError::Reply(ReplyError::Transaction { .. }))
    });
    assert!(run.counters().anomalies >= 1);
}

#[test]
fn h_8_right_transaction_wrong_unit_or_function() {
    survive(vec![with(6, 2)], |error| {
        let wrong = ReplyError::Unit {
            expected: 1,
            received: 2,
        };
        *error == SessionError::Reply(wrong)
    });
    for function in [1, 2, 4, 6, 16, 0x84] {
        survive(vec![with(7, function)], |error| {
            let wrong = ReplyError::Function {
                expected: 3,
                received: function,
            };
            *error == SessionError::Reply(wrong)
        });
    }
}

#[test]
fn h_9_none_one_or_three_registers_when_two_were_asked() {
    for count in [0usize, 1, 3] {
        let script = vec![answer(move |request| {
            registers(request, std::iter::repeat_n(0xBAD, count))
        })];
        survive(script, |error| {
            matches!(
                error,
                SessionError::Reply(ReplyError::ByteCount { expected: 4, .. })
            )
        });
    }
}

#[test]
fn h_9_a_byte_count_that_lies() {
    for count in [0, 2, 3, 6, 255] {
        survive(vec![with(8, count)], |error| {
            let wrong = ReplyError::ByteCount {
                expected: 4,
                received: count,
            };
            *error == SessionError::Reply(wrong)
        });
    }
}

#[test]
fn h_9_a_length_field_that_lies_within_its_limits() {
    // Shorter: the rest is unsolicited. Longer: the rest never comes.
    survive(vec![with(5, 5)], |error| {
        matches!(error, SessionError::Unsolicited { received: 2 })
    });
    survive_silence(vec![with(5, 9)], |error| {
        *error == SessionError::Timeout { received: 13 }
    });
}

#[test]
fn h_10_every_exception_is_bad_values_and_no_reconnect() {
    for code in [1, 2, 3, 4, 5, 6, 8, 0x0A, 0x0B, 0, 255] {
        let mut left = 4;
        let script: Vec<Behaviour> = vec![Box::new(move |stream, request| {
            let mut buf: ReplyBuf = [0; 260];
            let refused =
                server::encode_exception(&mut buf, request.transaction, 1, 3, code).unwrap();
            let adu = if left > 0 {
                refused.to_vec()
            } else {
                right(request)
            };
            left -= i32::from(left > 0);
            stream.write_all(&adu).is_ok()
        })];
        let mut run = Run::new(config(device(script), words(0..2)));
        run.until(|run| run.counters().exceptions >= 4);
        run.recover(6);
        let expected = ExceptionCode::from_byte(code);
        let named = |error: &SessionError| matches!(error, SessionError::Exception { code, .. } if *code == expected);
        assert!(run.errors.iter().any(named), "{:?}", run.errors);
        // The first refusal is of both values; after exception 2 each is asked for alone.
        let split = code == 2;
        let counters = run.counters();
        assert_eq!(counters.splits, u64::from(split));
        assert_eq!(run.checker.bad, if split { 5 } else { 8 });
        assert_eq!((counters.exceptions, counters.anomalies), (4, 0));
    }
}

#[test]
fn h_11_lengths_that_no_frame_has() {
    for length in [0u16, 1, 255, 65_535] {
        let script = vec![answer(move |request| {
            let mut adu = right(request);
            adu[4..6].copy_from_slice(&length.to_be_bytes());
            adu
        })];
        survive(script, |error| {
            *error == SessionError::Frame(FrameError::Length { received: length })
        });
    }
}

#[test]
fn h_11_a_protocol_that_is_not_modbus() {
    let script = vec![answer(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())];
    survive(script, |error| {
        *error == SessionError::Frame(FrameError::Protocol { received: 0x5450 })
    });
}

#[test]
fn h_12_a_frame_cut_short_and_then_silence() {
    for kept in [1, 5, 6, 7, 9, 12] {
        let script = vec![answer(move |request| right(request)[..kept].to_vec())];
        survive_silence(script, |error| {
            *error == SessionError::Timeout { received: kept }
        });
    }
}

#[test]
fn h_13_duplicate_replies_in_one_piece_and_apart() {
    let together = answer(|request| right(request).repeat(2));
    let apart: Behaviour = Box::new(|stream, request| {
        let adu = right(request);
        let first = stream.write_all(&adu).is_ok();
        std::thread::sleep(Duration::from_millis(5));
        first && stream.write_all(&adu).is_ok()
    });
    let run = survive(vec![together, apart], |error| {
        matches!(error, SessionError::Unsolicited { .. })
    });
    assert!(run.counters().anomalies >= 2);
}

#[test]
fn h_13_an_answer_before_any_question() {
    // A device that is one reply ahead: what it sends first answers nothing.
    let script = vec![answer(|request| {
        let ahead = Request {
            transaction: request.transaction.wrapping_add(1),
            ..*request
        };
        registers(&ahead, [0xBAD, 0xBAD].into_iter())
    })];
    survive(script, |error| {
        matches!(error, SessionError::Reply(ReplyError::Transaction { .. }))
    });
}

#[test]
fn h_14_one_byte_at_a_time_does_not_prolong_the_deadline() {
    let script: Vec<Behaviour> = vec![Box::new(|stream, request| {
        for byte in right(request) {
            std::thread::sleep(Duration::from_millis(60));
            if stream.write_all(&[byte]).is_err() {
                return false;
            }
        }
        true
    })];
    let run = survive_silence(script, |error| {
        matches!(error, SessionError::Timeout { received: 0..=12 })
    });
    assert!(run.counters().timeouts >= 1);
}

#[test]
fn h_15_a_reset_and_an_end_before_within_and_after_a_reply() {
    for kept in [0, 8, 13] {
        for reset in [false, true] {
            let script: Vec<Behaviour> = vec![Box::new(move |stream, request| {
                let _ = stream.write_all(&right(request)[..kept]);
                if reset {
                    let socket = socket2::SockRef::from(&*stream);
                    socket.set_linger(Some(Duration::ZERO)).unwrap();
                }
                false
            })];
            let run = survive(script, |error| {
                matches!(error, SessionError::Eof { .. } | SessionError::Io(_))
            });
            assert!(run.counters().anomalies >= 1);
        }
    }
}

#[test]
fn h_16_a_refused_connection_and_a_device_that_comes_back() {
    // Bound and not listening: connections are refused, and nobody else gets the port.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut run = Run::new(config(address, words(0..2)));
    run.until(|run| run.counters().connect_failures >= 5);
    let refused = |error: &SessionError| matches!(error, SessionError::Connect(_));
    assert!(run.errors.iter().all(refused), "{:?}", run.errors);
    assert_eq!((run.checker.good, run.counters().connects), (0, 0));
    socket.listen(16).unwrap();
    serve(socket.into(), Vec::new());
    run.recover(6);
    assert!(run.driver.session_mut().take_change().unwrap().up);
}

#[test]
fn h_13_a_flood() {
    let right_replies = answer(|request| right(request).repeat(20_000));
    let noise = answer(|_| vec![0xFF; 300_000]);
    let zeros = answer(|_| vec![0; 300_000]);
    let run = survive(vec![right_replies, noise, zeros], |error| {
        matches!(error, SessionError::Unsolicited { .. })
    });
    assert!(run.counters().anomalies >= 3);
    let framing = |error: &SessionError| matches!(error, SessionError::Frame(_));
    assert_eq!(run.errors.iter().filter(|e| framing(e)).count(), 2);
}

/// One write over a bare link, checked as the output side does.
fn write_once(reply: impl Fn(&Request) -> Vec<u8> + Send + 'static) -> Result<(), ReplyError> {
    let address = device(vec![answer(reply)]);
    let stop = WriteRequest::Coil {
        address: 5,
        on: true,
    };
    let mut link = Link::new();
    link.start(address).unwrap();
    let until = Instant::now() + PATIENCE;
    while link.poll_connect().unwrap() != Connect::Up {
        assert!(Instant::now() < until);
    }
    let mut request = [0; 12];
    encode_write(&mut request, 77, 1, &stop);
    assert_eq!(link.send(&request), Ok(12));
    let mut reader = FrameReader::new();
    let mut buf = [0; 512];
    loop {
        assert!(Instant::now() < until);
        let Received::Bytes(count) = link.recv(&mut buf).unwrap() else {
            continue;
        };
        if let Framing::Complete { excess: 0 } = reader.push(&buf[..count]).unwrap() {
            return check_write_reply(reader.adu(), 77, 1, &stop);
        }
    }
}

#[test]
fn h_57_a_wrong_write_echo_confirms_nothing() {
    let echo = |address: u16, on: bool| {
        move |request: &Request| {
            let mut buf: ReplyBuf = [0; 260];
            let write = WriteRequest::Coil { address, on };
            server::encode_write_reply(&mut buf, request.transaction, 1, &write)
                .unwrap()
                .to_vec()
        }
    };
    assert_eq!(write_once(echo(5, true)), Ok(()));
    assert_eq!(
        write_once(echo(5, false)),
        Err(ReplyError::EchoValue {
            expected: 0xFF00,
            received: 0
        })
    );
    assert_eq!(
        write_once(echo(6, true)),
        Err(ReplyError::EchoAddress {
            expected: 5,
            received: 6
        })
    );
}
