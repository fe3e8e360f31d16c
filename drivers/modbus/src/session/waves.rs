//! The session's part in reading windows: which reply is whose, and what it leads to.

use std::io::IoSliceMut;

use drivers_frame::{FrameSink, MonoNs, planted};

use super::piece::Progress;
use super::table::Event;
use super::{Outcome, Reading, Session, SessionError, State, WindowRead, bump};
use crate::codec::{ExceptionCode, ReadRequest, ReplyError, check_read_reply};

impl Session {
    /// Where the bytes of the reply that is awaited go, when they go into a waveform's block: three places, one after the other.
    pub fn space(&mut self) -> Option<[IoSliceMut<'_>; 3]> {
        match self.state {
            State::Awaiting {
                reading: Reading::Window(WindowRead::Piece { from, count, .. }),
                ..
            } => self.windows.space(from, count),
            _ => None,
        }
    }

    /// `count` bytes have arrived in [`Session::space`]; else as [`Session::on_bytes`].
    pub fn on_received(&mut self, now: MonoNs, count: usize, sink: &mut impl FrameSink) -> Outcome {
        let State::Awaiting {
            transaction,
            reading: Reading::Window(read),
            deadline,
        } = self.state
        else {
            return Outcome::Progress;
        };
        if now >= deadline && !planted!(ReplyDeadlineIgnored) {
            let received = self.filled().saturating_add(count);
            self.fail(Event::Expired, now, SessionError::Timeout { received });
            return Outcome::Progress;
        }
        let Some(request) = self.windows.request(read) else {
            return Outcome::Progress;
        };
        let unit = self.config.unit;
        match self.windows.received(count, transaction, unit, &request) {
            Progress::Incomplete => {
                self.enter(Event::Partial, self.state);
                Outcome::Progress
            }
            Progress::Complete => {
                if let WindowRead::Piece { from, count, .. } = read {
                    self.windows.piece_done(from, count);
                }
                bump(&mut self.counters.replies, 1);
                self.after_window(Event::Reply);
                Outcome::Progress
            }
            Progress::Reply(ReplyError::Exception(code)) => {
                self.window_refused(now, read, code, request, sink)
            }
            Progress::Reply(error) => self.poison(now, SessionError::Reply(error)),
            Progress::Frame(error) => self.poison(now, SessionError::Frame(error)),
            Progress::Excess(received) => self.poison(now, SessionError::Unsolicited { received }),
        }
    }

    /// The reply to a read of a sequence register is in the reader.
    pub(super) fn on_sequence(
        &mut self,
        now: MonoNs,
        transaction: u16,
        read: WindowRead,
        sink: &mut impl FrameSink,
    ) -> Outcome {
        let (WindowRead::Sequence { window }, Some(request)) = (read, self.windows.request(read))
        else {
            return self.poison(now, SessionError::Unsolicited { received: 0 });
        };
        let unit = self.config.unit;
        let number = match check_read_reply(self.reader.adu(), transaction, unit, &request) {
            Ok(data) => self.windows.number_in(window, &data).unwrap_or(0),
            Err(ReplyError::Exception(code)) => {
                return self.window_refused(now, read, code, request, sink);
            }
            Err(error) => return self.poison(now, SessionError::Reply(error)),
        };
        bump(&mut self.counters.replies, 1);
        let blocks = &mut self.counters.blocks;
        let pushed = self.windows.number(window, number, now, blocks, sink);
        self.after_window(Event::Reply);
        if pushed {
            Outcome::Frame
        } else {
            Outcome::Progress
        }
    }

    /// The device refuses a read of a window: the waveform is bad.
    fn window_refused(
        &mut self,
        now: MonoNs,
        read: WindowRead,
        code: ExceptionCode,
        request: ReadRequest,
        sink: &mut impl FrameSink,
    ) -> Outcome {
        bump(&mut self.counters.exceptions, 1);
        self.last_error = Some(SessionError::Exception { code, request });
        let (WindowRead::Sequence { window } | WindowRead::Piece { window, .. }) = read;
        let blocks = &mut self.counters.blocks;
        let pushed = self.windows.refused(window, now, blocks, sink);
        self.after_window(Event::Exception);
        if pushed {
            Outcome::Frame
        } else {
            bump(&mut self.counters.queue_full, 1);
            Outcome::Progress
        }
    }

    /// Back to idle after a read of a window; the points are due when they were.
    fn after_window(&mut self, event: Event) {
        self.answer();
        let due = if self.plan.blocks().is_empty() {
            MonoNs::NEVER
        } else {
            self.schedule.due()
        };
        self.enter(event, State::Idle { due });
    }
}
