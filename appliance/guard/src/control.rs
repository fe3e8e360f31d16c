//! The control socket: who may speak, one JSON object a line, bounded in every direction (H-80).
//!
//! Which thread: the main thread, never a lane. May it block: no; a client that does not read is dropped.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use appliance_control::{Event, EventBody, Reply, Request};
use rt_config::limits::{
    CONTROL_CONNECTIONS_MAX, CONTROL_CONNECTIONS_UNPRIVILEGED_MAX, CONTROL_LINE_BYTES_MAX,
    GUARD_EVENTS_KEPT,
};

use crate::rights::{Credentials, Gate, Peer};

/// Bytes that may wait for a client. A whole pack's tags fit several times; whoever is this far behind is gone.
const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// Another guard answers there.
    #[error("another guard already answers at {0}. Stop it first, or choose another --socket")]
    InUse(PathBuf),
    /// Something that is not a socket is there.
    #[error("{0} exists and is not a socket. Choose another --socket")]
    NotASocket(PathBuf),
    /// The operating system refused.
    #[error("the control socket {path} could not be opened: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// The listening end. Removes its file when dropped.
pub(crate) struct Listener {
    listener: UnixListener,
    path: PathBuf,
    gate: Gate,
}

impl Listener {
    /// Opens it for the owner alone, or for everybody when the gate is open: then rights are a matter of each request. A
    /// file left behind by a dead guard is replaced.
    pub(crate) fn open(path: &Path, gate: Gate) -> Result<Self, SocketError> {
        use std::os::unix::fs::FileTypeExt;
        let fail = |source| SocketError::Io {
            path: path.to_owned(),
            source,
        };
        if UnixStream::connect(path).is_ok() {
            return Err(SocketError::InUse(path.to_owned()));
        }
        if let Ok(metadata) = std::fs::symlink_metadata(path) {
            if !metadata.file_type().is_socket() {
                return Err(SocketError::NotASocket(path.to_owned()));
            }
            std::fs::remove_file(path).map_err(fail)?;
        }
        let listener = UnixListener::bind(path).map_err(fail)?;
        let bound = Self {
            listener,
            path: path.to_owned(),
            gate,
        };
        let mode = if bound.gate.is_open() { 0o666 } else { 0o600 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(fail)?;
        bound.listener.set_nonblocking(true).map_err(fail)?;
        Ok(bound)
    }

    pub(crate) fn socket(&self) -> &UnixListener {
        &self.listener
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The next client that waits, if any does. One that may not speak is told so and hung up on.
    pub(crate) fn accept(&self, present: &[Connection]) -> Option<Accepted> {
        let (stream, _) = self.listener.accept().ok()?;
        Some(match Connection::new(stream, present, &self.gate) {
            Some(connection) => Accepted::Client(connection),
            None => Accepted::TurnedAway,
        })
    }
}

/// What became of somebody who connected.
pub(crate) enum Accepted {
    Client(Connection),
    TurnedAway,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// One client.
pub(crate) struct Connection {
    stream: UnixStream,
    peer: Peer,
    input: Vec<u8>,
    output: VecDeque<u8>,
    /// Sequence number of the last event sent, once it asked for events.
    pub(crate) events_after: Option<u64>,
    /// It sends nothing more; what it asked before is still answered.
    ended: bool,
    closed: bool,
}

impl Connection {
    /// Takes a connection if its process may speak and there is room.
    fn new(stream: UnixStream, present: &[Self], gate: &Gate) -> Option<Self> {
        let credentials = rustix::net::sockopt::socket_peercred(&stream).ok();
        let peer = credentials.and_then(|peer| {
            gate.admit(Credentials {
                uid: peer.uid.as_raw(),
                gid: peer.gid.as_raw(),
            })
        });
        let taken = match &peer {
            Some(peer) => refusal(peer.may_act, present),
            None => Some(
                "this user may not use the guard's control socket; use the guard's own user, or root".to_owned(),
            ),
        };
        if let Some(cause) = taken {
            let mut line = serde_json::to_vec(&Reply::Error { cause }).unwrap_or_default();
            line.push(b'\n');
            let mut stream = stream;
            // Never waits: a few bytes into an empty socket.
            let _ = stream.set_nonblocking(true);
            let _ = stream.write_all(&line);
            return None;
        }
        stream.set_nonblocking(true).ok()?;
        Some(Self {
            stream,
            peer: peer?,
            input: Vec::new(),
            output: VecDeque::new(),
            events_after: None,
            ended: false,
            closed: false,
        })
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Whether nothing is to be expected from it, and nothing is left to be done for it.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed || (self.ended && !self.wants_write() && !self.has_request())
    }

    pub(crate) fn wants_write(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether to wait for bytes from it: not while one of its requests or replies is still here.
    pub(crate) fn wants_read(&self) -> bool {
        !self.ended && !self.wants_write() && !self.has_request()
    }

    /// Whether a request is here that can be answered without waiting.
    pub(crate) fn has_request(&self) -> bool {
        !self.wants_write() && self.input.contains(&b'\n')
    }

    /// The next complete request, or what is wrong with it. None while an earlier answer has not been taken: whoever
    /// does not read waits for itself, and never has more than one answer here.
    pub(crate) fn next_request(&mut self) -> Option<Result<Request, String>> {
        if self.closed || self.wants_write() {
            return None;
        }
        self.fill();
        match self.input.iter().position(|byte| *byte == b'\n') {
            Some(end) if end < CONTROL_LINE_BYTES_MAX => {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                Some(parse(&line))
            }
            None if self.input.len() < CONTROL_LINE_BYTES_MAX => None,
            _ => {
                self.input.clear();
                self.ended = true;
                Some(Err(format!(
                    "a request has at most {CONTROL_LINE_BYTES_MAX} bytes and ends with a newline"
                )))
            }
        }
    }

    /// Reads until a line is complete, or there is no more, or it is too much.
    fn fill(&mut self) {
        let mut chunk = [0_u8; 4096];
        while !self.ended
            && self.input.len() < CONTROL_LINE_BYTES_MAX
            && !self.input.contains(&b'\n')
        {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(count) => self
                    .input
                    .extend_from_slice(chunk.get(..count).unwrap_or(&[])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.closed = true,
            }
            if self.closed {
                return;
            }
        }
    }

    pub(crate) fn reply(&mut self, reply: &Reply) {
        self.put(serde_json::to_vec(reply));
    }

    pub(crate) fn send_event(&mut self, event: &Event) {
        self.events_after = Some(event.seq);
        self.put(serde_json::to_vec(event));
    }

    fn put(&mut self, line: serde_json::Result<Vec<u8>>) {
        let Ok(line) = line else {
            self.closed = true;
            return;
        };
        if self.output.len().saturating_add(line.len()) > OUTPUT_BYTES_MAX {
            self.closed = true;
            return;
        }
        self.output.extend(line);
        self.output.push_back(b'\n');
        self.flush();
    }

    /// Writes what the client takes now.
    pub(crate) fn flush(&mut self) {
        while !self.output.is_empty() && !self.closed {
            let (front, _) = self.output.as_slices();
            match self.stream.write(front) {
                Ok(0) => self.closed = true,
                Ok(count) => {
                    self.output.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.closed = true,
            }
        }
    }
}

/// Why there is no room for one more, if there is none. Who may act finds room when those who may only look have all of
/// theirs.
fn refusal(may_act: bool, present: &[Connection]) -> Option<String> {
    let limit = if may_act {
        (present.len() >= CONTROL_CONNECTIONS_MAX).then_some(CONTROL_CONNECTIONS_MAX)
    } else {
        let others = present.iter().filter(|other| !other.peer.may_act).count();
        (others >= CONTROL_CONNECTIONS_UNPRIVILEGED_MAX || present.len() >= CONTROL_CONNECTIONS_MAX)
            .then_some(CONTROL_CONNECTIONS_UNPRIVILEGED_MAX)
    };
    limit.map(|limit| format!("{limit} connections are open already; close one and try again"))
}

fn parse(line: &[u8]) -> Result<Request, String> {
    serde_json::from_slice(line).map_err(|error| {
        format!("not a request: {error}. A request is one JSON object a line, like {{\"op\":\"status\"}}")
    })
}

/// The last events, numbered.
#[derive(Default)]
pub(crate) struct EventLog {
    kept: VecDeque<Event>,
    newest: u64,
}

impl EventLog {
    /// Numbers an event and keeps it; forgets the oldest beyond the limit.
    pub(crate) fn push(&mut self, at_ns: u64, wall_ns: u64, lane: &str, body: EventBody) {
        self.newest = self.newest.saturating_add(1);
        if self.kept.len() >= GUARD_EVENTS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Event {
            seq: self.newest,
            at_ns,
            wall_ns,
            lane: lane.to_owned(),
            body,
        });
    }

    /// As [`EventLog::push`], unless the newest event says the same of the same lane: who repeats a question in vain
    /// must not push the events out that explain the answer.
    pub(crate) fn push_unless_last(
        &mut self,
        at_ns: u64,
        wall_ns: u64,
        lane: &str,
        body: EventBody,
    ) {
        let said = self
            .kept
            .back()
            .is_some_and(|last| last.lane == lane && last.body == body);
        if !said {
            self.push(at_ns, wall_ns, lane, body);
        }
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// How many events after `after` are no longer kept.
    pub(crate) fn lost_after(&self, after: u64) -> u64 {
        let oldest = self
            .kept
            .front()
            .map_or(self.newest.saturating_add(1), |event| event.seq);
        oldest.saturating_sub(after.saturating_add(1))
    }

    /// The events after `after`, oldest first.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = &Event> {
        let skip = self.kept.partition_point(|event| event.seq <= after);
        self.kept.iter().skip(skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> EventBody {
        EventBody::Released { output: "x".into() }
    }

    #[test]
    fn events_are_numbered_and_what_is_gone_is_counted() {
        let mut log = EventLog::default();
        assert_eq!(log.lost_after(0), 0);
        for at in 0..GUARD_EVENTS_KEPT as u64 + 10 {
            log.push(at, at, "main", body());
        }
        assert_eq!(log.lost_after(0), 10);
        assert_eq!(log.lost_after(10), 0);
        assert_eq!(
            log.after(log.newest() - 2)
                .map(|event| event.seq)
                .collect::<Vec<_>>(),
            [log.newest() - 1, log.newest()]
        );
        assert_eq!(log.after(log.newest()).count(), 0);
    }

    #[test]
    fn what_is_said_again_at_once_is_kept_once() {
        let mut log = EventLog::default();
        let refused = |cause: &str| EventBody::ResetRefused {
            cause: cause.into(),
            by: None,
        };
        for (lane, cause) in [("a", "x"), ("a", "x"), ("b", "x"), ("b", "y"), ("a", "x")] {
            log.push_unless_last(1, 1, lane, refused(cause));
        }
        assert_eq!(log.newest(), 4, "H-77");
    }

    #[test]
    fn what_is_not_a_request_says_what_one_looks_like() {
        assert_eq!(parse(b"{\"op\":\"status\"}\n"), Ok(Request::Status {}));
        for wrong in [
            &b"hello\n"[..],
            b"{}\n",
            b"{\"op\":\"status\",\"force\":true}\n",
            b"\xff\n",
        ] {
            assert!(
                parse(wrong).unwrap_err().contains("{\"op\":\"status\"}"),
                "H-80"
            );
        }
    }

    #[test]
    fn a_second_guard_finds_the_socket_taken_and_a_dead_one_leaves_no_trouble() {
        let folder = std::env::temp_dir().join(format!("tripline-socket-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("guard.sock");
        let gate = |operators: Option<&str>| Gate::new(operators.map(str::to_owned)).unwrap();
        let open = |path: &Path| Listener::open(path, gate(None));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let first = open(&path).unwrap();
        assert!(matches!(open(&path), Err(SocketError::InUse(_))));
        assert_eq!(mode(&path), 0o600);
        let shared = folder.join("shared.sock");
        let second = Listener::open(&shared, gate(Some("root"))).unwrap();
        assert_eq!(mode(&shared), 0o666, "anybody may look and stop");
        drop(second);
        // A guard that was killed does not remove its file.
        let stale = folder.join("stale.sock");
        drop(UnixListener::bind(&stale).unwrap());
        assert!(stale.exists());
        drop(open(&stale).unwrap());
        assert!(!stale.exists());
        std::fs::write(&stale, "x").unwrap();
        assert!(matches!(open(&stale), Err(SocketError::NotASocket(_))));
        drop(first);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
