//! The client's end of the control socket. Blocking, with a timeout on every answer.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Event, Reply, Request};

/// How long a guard may take to answer. It answers within milliseconds; this bounds a hang.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a guard could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "no guard answers at {path}: {source}. Start one with `tripline run PACK`, or name its socket with --socket"
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
    /// The connection broke or the answer took too long.
    #[error("the guard did not answer: {0}")]
    Io(#[from] io::Error),
    /// The guard closed the connection.
    #[error("the guard closed the connection: it stopped, or this user may not use its socket")]
    Closed,
    /// The answer could not be read: another version.
    #[error("the guard's answer could not be read ({0}): is it of another version?")]
    Format(#[from] serde_json::Error),
    /// The guard said that the request was wrong.
    #[error("the guard refused the request: {0}")]
    Refused(String),
    /// An answer to another question.
    #[error("the guard answered another question than was asked")]
    Unexpected,
}

/// How a reset went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Every latch was released.
    Done,
    /// Nothing was released.
    Refused {
        /// What stands against it.
        cause: String,
        /// What to do about it.
        help: String,
    },
}

/// A connection to a guard.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
            Ok(stream)
        };
        let stream = connect().map_err(|source| ClientError::Connect {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Asks one question and waits for its answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        match read_line(&mut self.stream)? {
            Some(line) => match serde_json::from_str(&line)? {
                Reply::Error { cause } => Err(ClientError::Refused(cause)),
                reply => Ok(reply),
            },
            None => Err(ClientError::Closed),
        }
    }

    /// Presses the reset, holds it as long as the guard asks for, releases it. Blocks for that time (about 0.1 s).
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn reset(&mut self, who: &str) -> Result<Reset, ClientError> {
        let press = Request::ResetPress {
            who: who.to_owned(),
        };
        let (nonce, hold) = match self.ask(&press)? {
            Reply::ResetPressed {
                nonce, hold_min_ns, ..
            } => (nonce, Duration::from_nanos(hold_min_ns)),
            Reply::Refused { cause, help } => return Ok(Reset::Refused { cause, help }),
            _ => return Err(ClientError::Unexpected),
        };
        // The guard pressed before it answered, so by its clock this is never too early.
        std::thread::sleep(hold);
        match self.ask(&Request::ResetRelease { nonce })? {
            Reply::Done {} => Ok(Reset::Done),
            Reply::Refused { cause, help } => Ok(Reset::Refused { cause, help }),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Turns the connection into a stream of the events after `after`. Returns how many are no longer kept.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn events(mut self, after: u64) -> Result<(EventStream, u64), ClientError> {
        match self.ask(&Request::Events { after })? {
            Reply::Events { lost, .. } => Ok((
                EventStream {
                    stream: self.stream,
                },
                lost,
            )),
            _ => Err(ClientError::Unexpected),
        }
    }
}

/// Events as they happen.
pub struct EventStream {
    stream: BufReader<UnixStream>,
}

impl EventStream {
    /// The next event, or `None` when none came within `timeout`.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when the guard is gone.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Event>, ClientError> {
        if self.stream.buffer().is_empty() {
            self.stream.get_ref().set_read_timeout(Some(timeout))?;
            match self.stream.fill_buf() {
                Ok([]) => return Err(ClientError::Closed),
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        // A signal (a child that ended, say) only cuts the wait short.
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    ) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
        // An event has begun to arrive: its rest follows at once.
        self.stream
            .get_ref()
            .set_read_timeout(Some(ANSWER_TIMEOUT))?;
        match read_line(&mut self.stream)? {
            Some(line) => Ok(Some(serde_json::from_str(&line)?)),
            None => Err(ClientError::Closed),
        }
    }
}

fn read_line(stream: &mut BufReader<UnixStream>) -> Result<Option<String>, ClientError> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line))
}
