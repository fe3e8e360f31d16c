//! Clients of the control socket that send rubbish, flood, do not read: the guard bounds them and goes on protecting.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use appliance_control::{Client, ClientError, Reply, Request, Reset};
use hil_tests::guard::{PATIENCE, wait_until};
use hil_tests::stand::{DANGER, HEALTHY, Setup, Stand};
use rt_config::limits::{CONTROL_CONNECTIONS_MAX, CONTROL_LINE_BYTES_MAX};

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("the guard listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn read_reply(stream: &mut BufReader<UnixStream>) -> Option<Reply> {
    let mut line = String::new();
    match stream.read_line(&mut line) {
        Ok(0) => None,
        Ok(_) => Some(serde_json::from_str(&line).expect("a reply")),
        // Closed with our bytes unread.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
        Err(error) => panic!("no reply: {error}"),
    }
}

#[test]
fn h80_what_is_not_a_request_is_refused_with_its_cause_and_the_connection_goes_on() {
    let stand = Stand::armed(&Setup::default());
    let mut stream = BufReader::new(connect(&stand.guard.socket()));
    for wrong in [
        &b"hello\n"[..],
        b"\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b"{\"op\":\"format_disk\"}\n",
        b"{\"op\":\"reset\"}\n",
        b"{\"op\":\"reset_press\",\"who\":\"a\",\"force\":true}\n",
        b"{\"op\":\"reset_release\",\"nonce\":1}\n",
        b"{\"op\":\"trip\"}\n",
        b"{\"op\":\"events\",\"after\":-1}\n",
        b"{\"op\":\"status\"}{\"op\":\"trip\",\"reason\":\"a\"}\n",
        b"\xff\xfe\x00\n",
        b"GET / HTTP/1.1\n",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
    ] {
        stream.get_mut().write_all(wrong).expect("it is read");
        let Some(Reply::Error { cause }) = read_reply(&mut stream) else {
            panic!("an error for {wrong:?}");
        };
        assert!(cause.contains("{\"op\":\"status\"}"), "{cause}");
    }
    // One write, a request and a half, then the rest.
    let stream_end = stream.get_mut();
    stream_end
        .write_all(b"{\"op\":\"status\"}\n{\"op\":\"st")
        .expect("it is read");
    assert!(matches!(read_reply(&mut stream), Some(Reply::Status(_))));
    stream
        .get_mut()
        .write_all(b"atus\"}\n")
        .expect("it is read");
    assert!(matches!(read_reply(&mut stream), Some(Reply::Status(_))));
    assert!(stand.guard.status().state.permits(), "nothing moved");
}

#[test]
fn h80_a_line_without_end_closes_its_connection_only() {
    let stand = Stand::armed(&Setup::default());
    for bytes in [CONTROL_LINE_BYTES_MAX + 1, 4 * 1024 * 1024] {
        let mut stream = connect(&stand.guard.socket());
        // The guard may hang up in the middle of it.
        let _ = stream.write_all(&vec![b'x'; bytes]);
        let mut stream = BufReader::new(stream);
        let Some(Reply::Error { cause }) = read_reply(&mut stream) else {
            panic!("what is wrong is said first");
        };
        assert!(
            cause.contains(&CONTROL_LINE_BYTES_MAX.to_string()),
            "{cause}"
        );
        assert_eq!(read_reply(&mut stream), None, "closed");
    }
    assert!(stand.guard.status().state.permits());
}

#[test]
fn h80_connections_are_limited_and_come_free_again() {
    let stand = Stand::armed(&Setup::default());
    let socket = stand.guard.socket();
    // The guard notices that a connection was closed when it next looks; until then it still counts.
    let mut held: Vec<Client> = Vec::new();
    wait_until("as many connections as there may be", || {
        let mut client = Client::connect(&socket).expect("it listens");
        if client.ask(&Request::Status {}).is_ok() {
            held.push(client);
        }
        held.len() == CONTROL_CONNECTIONS_MAX
    });
    for _ in 0..50 {
        let mut stream = BufReader::new(connect(&socket));
        let Some(Reply::Error { cause }) = read_reply(&mut stream) else {
            panic!("one more is refused");
        };
        assert!(cause.contains("close one and try again"), "{cause}");
        assert_eq!(read_reply(&mut stream), None);
    }
    for client in &mut held {
        assert!(client.ask(&Request::Status {}).is_ok());
    }
    held.truncate(1);
    wait_until("there is room again", || {
        let mut client = Client::connect(&socket).expect("it listens");
        client.ask(&Request::Status {}).is_ok()
    });
}

#[test]
fn h80_clients_that_do_not_read_cost_nobody_else_anything() {
    let stand = Stand::armed(&Setup::default());
    let socket = stand.guard.socket();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let line = b"{\"op\":\"status\"}\n".repeat(256);
                while !stop.load(Ordering::Acquire) {
                    let mut stream = UnixStream::connect(&socket).expect("it listens");
                    stream
                        .set_write_timeout(Some(Duration::from_millis(200)))
                        .expect("a timeout");
                    // Until the guard no longer reads from it, or has hung up.
                    while stream.write_all(&line).is_ok() && !stop.load(Ordering::Acquire) {}
                }
            });
        }
        // Ended also when an assertion fails, or the scope would wait for ever.
        let _end = EndOnDrop(&stop);
        for _ in 0..3 {
            stand.device.show(DANGER);
            wait_until("the machine is stopped", || !stand.device.coil(0));
            stand.device.show(HEALTHY);
            let mut last = None;
            wait_until("another client is answered, and resets", || {
                last = Some(hil_tests::guard::reset(&socket));
                matches!(last, Some(Ok(Reset::Done)))
            });
            wait_until("the permit is back", || stand.device.coil(0));
        }
    });
    assert_eq!(stand.guard.status().lane_allocations, 0, "I11");
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn h80_i8_a_subscriber_that_does_not_read_costs_nobody_an_event() {
    let stand = Stand::armed(&Setup::default());
    let socket = stand.guard.socket();
    let mut lazy = connect(&socket);
    lazy.write_all(b"{\"op\":\"events\",\"after\":0}\n")
        .expect("it is read");
    for _ in 0..20 {
        let trip = Request::Trip {
            reason: "a test".to_owned(),
        };
        assert_eq!(stand.guard.ask(&trip), Reply::Done {});
        stand.arm();
    }
    let newest = stand.guard.status().events;
    let client = Client::connect(&socket).expect("it listens");
    let (mut events, lost) = client.events(0).expect("events");
    assert_eq!(lost, 0);
    for seq in 1..=newest {
        let event = events.next(PATIENCE).expect("alive").expect("an event");
        assert_eq!(event.seq, seq, "I8");
    }
    drop(lazy);
}

#[test]
fn h80_a_client_that_leaves_in_the_middle_of_a_line_is_forgotten() {
    let stand = Stand::start(&Setup::default());
    for _ in 0..100 {
        let mut stream = connect(&stand.guard.socket());
        stream.write_all(b"{\"op\":\"tr").expect("it is read");
    }
    wait_until("the guard answers", || {
        let answer = hil_tests::guard::ask(&stand.guard.socket(), &Request::Status {});
        !matches!(answer, Err(ClientError::Refused(_)))
    });
}

/// As scripts do: `echo '{"op":"status"}' | socat - UNIX:guard.sock`.
#[test]
fn what_was_asked_before_the_client_stopped_sending_is_answered() {
    let stand = Stand::armed(&Setup::default());
    let mut stream = connect(&stand.guard.socket());
    stream
        .write_all(b"{\"op\":\"status\"}\n{\"op\":\"tags\"}\n")
        .expect("it is read");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("half closed");
    let mut stream = BufReader::new(stream);
    assert!(matches!(read_reply(&mut stream), Some(Reply::Status(_))));
    assert!(matches!(read_reply(&mut stream), Some(Reply::Tags { .. })));
    assert_eq!(read_reply(&mut stream), None, "closed by the guard");
}
