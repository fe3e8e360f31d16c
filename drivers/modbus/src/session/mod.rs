//! One device's connection, polling and back-off, without sockets: time and bytes come in as arguments.
//!
//! Which thread: a lane. May it block: no. Worst case: one reply of 260 bytes checked and decoded into at most
//! [`rt_config::limits::FRAME_SAMPLES_MAX`] samples. Nothing is allocated after [`Session::new`].
//! Hazards: H-6 to H-16.
//!
//! **What closes a connection**: everything but a right reply or an exception reply within the deadline. The next answer
//! on a stream that was wrong once may belong to an earlier question. Transaction ids go on across connections, so an
//! answer can be matched with no request but its own.
//!
//! **Why a duplicate is never taken for the next reply (H-13)**: a `recv` asks for more than the longest reply
//! ([`crate::limits::RECV_BYTES`]), so bytes that came with a reply are seen with it, and the whole is refused. Bytes that
//! come later, but before the next request, carry an older transaction id; they stand before the next reply in the
//! stream, so the next `recv` finds a wrong transaction, and closes. An id returns after 65,536 requests; by then the
//! bytes have been found. While a poll period is waited out, readable bytes close the connection at once.
//!
//! **What an outage gives**: no samples at all. The age of the last good sample decides in the lane; a driver that is
//! dead cannot say so.

mod backoff;
mod piece;
mod schedule;
mod state;
mod status;
pub mod table;
mod waves;
mod window;

#[cfg(test)]
mod tests;

use drivers_frame::{Cause, Decoded, DurNs, FrameSink, MonoNs, Sample, ValueCodec, planted};

use crate::codec::{
    ExceptionCode, FrameReader, Framing, REQUEST_BYTES, ReadRequest, ReplyData, ReplyError,
    check_read_reply, encode_read,
};
use crate::config::{DeviceConfig, Point, Poll};
use crate::fault::IoFault;
use crate::plan::{Block, Plan, PlanError, check_windows};
use backoff::BackoffState;
use schedule::Schedule;
pub use state::{Action, Outcome, Reading, State};
pub use status::{Counters, LinkChange, LinkState, SessionError};
use table::{Event, Phase};
pub use window::WindowRead;
use window::Windows;

/// One device: what is read, when, and over which state of connection.
#[derive(Debug)]
pub struct Session {
    config: DeviceConfig,
    plan: Plan,
    state: State,
    reader: FrameReader,
    /// As many as the widest block has points.
    samples: Box<[Sample]>,
    /// The block that is read next.
    cursor: usize,
    /// What the next request reads; decided when it is due.
    next: Reading,
    windows: Windows,
    /// Id of the next request.
    transaction: u16,
    schedule: Schedule,
    backoff: BackoffState,
    /// A right or exception reply has come on this connection.
    answered: bool,
    /// What [`Self::take_change`] last gave or will give.
    reported_up: Option<bool>,
    change: Option<LinkChange>,
    counters: Counters,
    last_error: Option<SessionError>,
}

impl Session {
    /// Lays the blocks and reserves all memory. `seed` determines the jitter of the back-off; give each device its own.
    ///
    /// # Errors
    /// [`PlanError`] names what is wrong in the configuration and how to mend it.
    pub fn new(mut config: DeviceConfig, seed: u64) -> Result<Self, PlanError> {
        check_times(&config)?;
        check_windows(&config.windows)?;
        let plan = if config.points.is_empty() && !config.windows.is_empty() {
            Plan::empty()
        } else {
            Plan::new(core::mem::take(&mut config.points), config.max_gap)?
        };
        let samples = vec![Sample::default(); plan.widest_frame()].into_boxed_slice();
        Ok(Self {
            schedule: Schedule::new(config.poll),
            windows: Windows::new(core::mem::take(&mut config.windows)),
            next: Reading::Points(0),
            backoff: BackoffState::new(config.backoff, seed),
            config,
            plan,
            state: State::Disconnected {
                retry_at: MonoNs::ZERO,
            },
            reader: FrameReader::new(),
            samples,
            cursor: 0,
            transaction: 1,
            answered: false,
            reported_up: None,
            change: None,
            counters: Counters::default(),
            last_error: None,
        })
    }

    /// What is to be done at `now`. A deadline that has passed takes effect here.
    pub fn action(&mut self, now: MonoNs) -> Action {
        match self.state {
            State::Connecting { deadline } if now >= deadline => {
                self.fail(Event::Expired, now, SessionError::ConnectTimeout);
            }
            State::Awaiting { deadline, .. }
                if now >= deadline && !planted!(ReplyDeadlineIgnored) =>
            {
                let received = self.filled();
                self.fail(Event::Expired, now, SessionError::Timeout { received });
            }
            _ => {}
        }
        match self.state {
            State::Disconnected { retry_at } if now >= retry_at => Action::Connect,
            State::Disconnected { retry_at } => Action::Wait { until: retry_at },
            State::Connecting { deadline } => Action::PollConnect { deadline },
            State::Idle { due } => {
                let (reading, deadline) = self.choose(now, due);
                self.next = reading;
                if now >= deadline {
                    Action::Send
                } else {
                    Action::Receive { deadline }
                }
            }
            State::Awaiting { deadline, .. } => Action::Receive { deadline },
            State::Closing { .. } => Action::Close,
        }
    }

    /// What is read next and when, the points being due at `due`. Points come first, but for one read of a window after
    /// each cycle; within a cycle there is none.
    fn choose(&self, now: MonoNs, due: MonoNs) -> (Reading, MonoNs) {
        let points = Reading::Points(self.cursor);
        let Some((read, window_due)) = self.windows.next().filter(|_| self.cursor == 0) else {
            return (points, due);
        };
        let first = if due <= now {
            self.windows.is_owed() && window_due <= now
        } else {
            window_due < due
        };
        if first {
            (Reading::Window(read), window_due)
        } else {
            (points, due)
        }
    }

    fn request_of(&self, reading: Reading) -> Option<ReadRequest> {
        match reading {
            Reading::Points(index) => self.plan.blocks().get(index).map(|block| block.request),
            Reading::Window(read) => self.windows.request(read),
        }
    }

    /// The request to send when [`Action::Send`] is due.
    pub fn request(&self) -> [u8; REQUEST_BYTES] {
        let mut buf = [0; REQUEST_BYTES];
        if let Some(request) = self.request_of(self.next) {
            encode_read(&mut buf, self.transaction, self.config.unit, &request);
        }
        buf
    }

    /// A connection attempt has begun.
    pub fn on_connecting(&mut self, now: MonoNs) {
        let deadline = now.after(self.config.connect_timeout);
        self.enter(Event::ConnectStarted, State::Connecting { deadline });
    }

    /// The connection is up. The first request is due at once.
    pub fn on_connected(&mut self, now: MonoNs) {
        let due = self.first_due(now);
        if self.enter(Event::Connected, State::Idle { due }) {
            self.schedule.start(now);
            self.cursor = 0;
            self.next = Reading::Points(0);
            self.windows.connected(now);
            self.answered = false;
            bump(&mut self.counters.connects, 1);
        }
    }

    /// The connection attempt failed.
    pub fn on_connect_failed(&mut self, now: MonoNs, fault: IoFault) {
        self.fail(Event::ConnectFailed, now, SessionError::Connect(fault));
    }

    /// The kernel took `sent` bytes of the request; `now` is the time before the call, so that the deadline counts it.
    ///
    /// Anything but the whole request closes the connection: at most one request of 12 bytes is ever unanswered, so a
    /// send buffer without room for another belongs to a peer that has acknowledged nothing.
    pub fn on_sent(&mut self, now: MonoNs, sent: usize) {
        let transaction = self.transaction;
        if sent != REQUEST_BYTES {
            self.transaction = transaction.wrapping_add(1);
            self.fail(Event::ShortSend, now, SessionError::ShortSend { sent });
            return;
        }
        let awaiting = State::Awaiting {
            transaction,
            reading: self.next,
            deadline: now.after(self.config.timeout),
        };
        if self.enter(Event::Sent, awaiting) {
            self.transaction = transaction.wrapping_add(1);
            self.reader.clear();
            bump(&mut self.counters.requests, 1);
            match self.next {
                Reading::Points(0) => {
                    let missed = self.schedule.begin(now);
                    bump(&mut self.counters.missed_periods, missed);
                }
                Reading::Points(_) => {}
                Reading::Window(_) => self.windows.sent(),
            }
        }
    }

    /// Bytes have arrived; `now` is the time right after `recv` returned, and becomes the samples' time.
    ///
    /// The bytes may have lain in the kernel before the call, but they answer a request that was sent after all earlier
    /// replies: a value is older than its sample's time by less than the request's timeout. A reply whose last byte is
    /// taken at or after the deadline is not used.
    pub fn on_bytes(&mut self, now: MonoNs, bytes: &[u8], sink: &mut impl FrameSink) -> Outcome {
        if bytes.is_empty() {
            return Outcome::Progress;
        }
        match self.state {
            State::Awaiting {
                reading: Reading::Window(WindowRead::Piece { .. }),
                ..
            } => {
                // A piece is received into its place; whoever received it elsewhere has lost it.
                let received = bytes.len();
                self.poison(now, SessionError::Unsolicited { received })
            }
            State::Awaiting {
                transaction,
                reading,
                deadline,
            } => {
                if now >= deadline && !planted!(ReplyDeadlineIgnored) {
                    let received = self.reader.filled().saturating_add(bytes.len());
                    self.fail(Event::Expired, now, SessionError::Timeout { received });
                    return Outcome::Progress;
                }
                match self.reader.push(bytes) {
                    Ok(Framing::Incomplete) => {
                        self.enter(Event::Partial, self.state);
                        Outcome::Progress
                    }
                    Ok(Framing::Complete { excess })
                        if excess == 0 || planted!(DuplicateReplyMatched) =>
                    {
                        self.on_reply(now, transaction, reading, sink)
                    }
                    Ok(Framing::Complete { excess: received }) => {
                        self.poison(now, SessionError::Unsolicited { received })
                    }
                    Err(error) => self.poison(now, SessionError::Frame(error)),
                }
            }
            _ => {
                let received = bytes.len();
                self.poison(now, SessionError::Unsolicited { received })
            }
        }
    }

    /// The peer has closed its half of the connection.
    pub fn on_eof(&mut self, now: MonoNs) {
        let received = match self.state {
            State::Awaiting { .. } => self.filled(),
            _ => 0,
        };
        self.fail(Event::Eof, now, SessionError::Eof { received });
    }

    /// A send or a recv failed.
    pub fn on_io_error(&mut self, now: MonoNs, fault: IoFault) {
        self.fail(Event::IoError, now, SessionError::Io(fault));
    }

    /// The socket is closed.
    pub fn on_closed(&mut self) {
        if let State::Closing { retry_at } = self.state {
            self.enter(Event::Closed, State::Disconnected { retry_at });
        }
    }

    /// Which device this is, and how it is reached. The points are in [`Self::plan`].
    pub const fn config(&self) -> &DeviceConfig {
        &self.config
    }

    /// The points and the blocks as they are read now.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where the connection stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The link as people see it: up means that the device has answered on this connection.
    pub const fn link(&self) -> LinkState {
        match self.state {
            State::Disconnected { .. } | State::Closing { .. } => LinkState::Down,
            State::Idle { .. } | State::Awaiting { .. } if self.answered => LinkState::Up,
            _ => LinkState::Connecting,
        }
    }

    /// The newest change of the link since the last call; a failure before the first answer is one change to down.
    pub const fn take_change(&mut self) -> Option<LinkChange> {
        self.change.take()
    }

    /// What happened so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Why the last connection was given up, or the last refusal, whichever was later.
    pub const fn last_error(&self) -> Option<SessionError> {
        self.last_error
    }

    /// Goes to `to` if the table allows it for `event`.
    fn enter(&mut self, event: Event, to: State) -> bool {
        let allowed = table::next(self.state.phase(), event) == Some(to.phase());
        if allowed {
            self.state = to;
        }
        allowed
    }

    fn poison(&mut self, now: MonoNs, error: SessionError) -> Outcome {
        self.fail(Event::Anomaly, now, error);
        Outcome::Progress
    }

    /// Gives the connection up, if the table says that `event` does.
    fn fail(&mut self, event: Event, now: MonoNs, error: SessionError) {
        let phase = self.state.phase();
        if table::next(phase, event) != Some(Phase::Closing) {
            return;
        }
        let retry_at = now.after(self.backoff.next_wait());
        if !self.enter(event, State::Closing { retry_at }) {
            return;
        }
        let counters = &mut self.counters;
        let counter = match (phase, event) {
            (Phase::Disconnected | Phase::Connecting, _) => &mut counters.connect_failures,
            (_, Event::Expired) => &mut counters.timeouts,
            _ => &mut counters.anomalies,
        };
        bump(counter, 1);
        self.last_error = Some(error);
        self.report(false, Some(error));
    }

    fn report(&mut self, up: bool, cause: Option<SessionError>) {
        if self.reported_up != Some(up) {
            self.reported_up = Some(up);
            self.change = Some(LinkChange { up, cause });
        }
    }

    /// Bytes that have come of the reply that is awaited.
    fn filled(&self) -> usize {
        match self.state {
            State::Awaiting {
                reading: Reading::Window(WindowRead::Piece { .. }),
                ..
            } => self.windows.filled(),
            _ => self.reader.filled(),
        }
    }

    /// When the first read of points is due on a new connection: at once, because every value is old by now.
    fn first_due(&self, now: MonoNs) -> MonoNs {
        if self.plan.blocks().is_empty() {
            MonoNs::NEVER
        } else {
            now
        }
    }

    /// A whole frame is in the reader.
    fn on_reply(
        &mut self,
        now: MonoNs,
        transaction: u16,
        reading: Reading,
        sink: &mut impl FrameSink,
    ) -> Outcome {
        let index = match reading {
            Reading::Points(index) => index,
            Reading::Window(read) => return self.on_sequence(now, transaction, read, sink),
        };
        let Some(block) = self.plan.blocks().get(index).copied() else {
            return self.poison(now, SessionError::Unsolicited { received: 0 });
        };
        let reply = check_read_reply(
            self.reader.adu(),
            transaction,
            self.config.unit,
            &block.request,
        );
        let (event, used) = match reply {
            Ok(data) => {
                let points = self.plan.points_of(&block);
                fill(&mut self.samples, points, now, |point| {
                    decode(point, &block.request, &data)
                });
                bump(&mut self.counters.replies, 1);
                (Event::Reply, 1)
            }
            Err(ReplyError::Exception(code)) => {
                (Event::Exception, self.refused(now, &block, index, code))
            }
            Err(error) => return self.poison(now, SessionError::Reply(error)),
        };
        self.answer();
        let due = self.next_due(now, index.saturating_add(used));
        self.enter(event, State::Idle { due });
        self.push(block.points, sink)
    }

    /// A right or an exception reply has come.
    fn answer(&mut self) {
        self.answered = true;
        self.backoff.reset();
        self.report(true, None);
    }

    /// The device refuses `block`: its values are bad, and an address that does not exist splits it. Returns over how
    /// many blocks the cycle goes on: both halves have just been refused, so they are read in the next cycle.
    fn refused(&mut self, now: MonoNs, block: &Block, index: usize, code: ExceptionCode) -> usize {
        let points = self.plan.points_of(block);
        if planted!(ExceptionAsValue) {
            for sample in &mut self.samples {
                sample.at = now;
            }
        } else {
            fill(&mut self.samples, points, now, |_| {
                Decoded::bad(Cause::DeviceException)
            });
        }
        bump(&mut self.counters.exceptions, 1);
        self.last_error = Some(SessionError::Exception {
            code,
            request: block.request,
        });
        if code == ExceptionCode::IllegalDataAddress && self.plan.split(index) {
            bump(&mut self.counters.splits, 1);
            return 2;
        }
        1
    }

    /// Moves the cursor to `next`, or to the first block of the next cycle.
    fn next_due(&mut self, now: MonoNs, next: usize) -> MonoNs {
        if next < self.plan.blocks().len() {
            self.cursor = next;
            return now;
        }
        self.cursor = 0;
        self.windows.cycle_ended();
        let (due, missed) = self.schedule.finish(now);
        bump(&mut self.counters.missed_periods, missed);
        due
    }

    fn push(&mut self, points: usize, sink: &mut impl FrameSink) -> Outcome {
        let frame = self.samples.get(..points).unwrap_or(&[]);
        match sink.push_frame(frame) {
            Ok(()) => Outcome::Frame,
            // The queue counted it too and the lane will hold the channels bad (H-25); polling goes on.
            Err(drivers_frame::QueueFull) => {
                bump(&mut self.counters.queue_full, 1);
                Outcome::Progress
            }
        }
    }
}

fn check_times(config: &DeviceConfig) -> Result<(), PlanError> {
    if config.timeout == DurNs::ZERO {
        return Err(PlanError::NoTimeout);
    }
    if config.connect_timeout == DurNs::ZERO {
        return Err(PlanError::NoConnectTimeout);
    }
    if config.poll == Poll::Every(DurNs::ZERO) {
        return Err(PlanError::NoPeriod);
    }
    if config.backoff.min == DurNs::ZERO || config.backoff.min > config.backoff.max {
        return Err(PlanError::BackoffOrder);
    }
    Ok(())
}

/// One sample for each point, all of one time.
fn fill(samples: &mut [Sample], points: &[Point], at: MonoNs, value: impl Fn(&Point) -> Decoded) {
    for (sample, point) in samples.iter_mut().zip(points) {
        let decoded = value(point);
        *sample = Sample {
            at,
            value: decoded.value,
            tag: point.tag,
            quality: decoded.quality,
            cause: decoded.cause,
        };
    }
}

/// A point's value out of a checked reply; a register that is not there is malformed, never 0.0.
#[inline]
fn decode(point: &Point, request: &ReadRequest, data: &ReplyData<'_>) -> Decoded {
    let malformed = Decoded::bad(Cause::Malformed);
    let Some(offset) = point.address.checked_sub(request.address) else {
        return malformed;
    };
    if request.table.is_bits() {
        return data.bit(offset).map_or(malformed, ValueCodec::decode_bit);
    }
    let offset = offset.saturating_add(u16::from(planted!(OffByOneRegister)));
    data.registers(offset, point.codec.kind.words())
        .map_or(malformed, |bytes| point.codec.decode_wire(bytes))
}

const fn bump(counter: &mut u64, by: u64) {
    *counter = counter.saturating_add(by);
}
