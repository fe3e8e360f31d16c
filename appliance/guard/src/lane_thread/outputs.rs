//! A lane's outputs: handing out permits, taking confirmations.

use appliance_output::{FaultCause, OutputConnection, OutputEvent, Permit};
use drivers_frame::MonoNs;
use rustix::event::PollFlags;

use super::{Runner, now, send};
use crate::acquire::interest;
use crate::message::Message;
use crate::pulse::Stage as Checkpoint;
use crate::stages::Stage;

/// An output with what the loop knows of it.
pub(crate) struct Driven {
    pub(super) connection: OutputConnection,
    pub(super) ready: bool,
    pub(super) confirmed: bool,
    /// What was last reported of it since its last confirmation: a fault that repeats is one event, not one a retry.
    reported: Option<&'static str>,
}

impl Driven {
    pub(crate) fn new(connection: OutputConnection) -> Self {
        Self {
            connection,
            ready: true,
            confirmed: false,
            reported: None,
        }
    }
}

impl Driven {
    /// What to tell of a fault: nothing when it is the one that was told last.
    fn fault(&mut self, output: u16, at: MonoNs, cause: FaultCause) -> Option<Message> {
        if self.reported == Some(cause.as_str()) {
            return None;
        }
        self.reported = Some(cause.as_str());
        Some(Message::OutputFault { at, output, cause })
    }

    pub(super) fn interest(&self) -> PollFlags {
        let idle = self.connection.idle();
        interest(idle.wants_read, idle.wants_write)
    }
}

impl Runner {
    /// Hands out the complete set of output commands. A stop is sent here.
    pub(super) fn drive(&mut self, evaluated: MonoNs) {
        for (index, output) in (0_u16..).zip(&mut self.outputs) {
            let Some(mut permit) = self.lane.permits().get(usize::from(index)).copied() else {
                break;
            };
            // Read here too: the order may have come while this very turn hung.
            if self.orders.is_forbidden() {
                permit = Permit::Withheld;
            }
            if output.connection.permit() == permit {
                continue;
            }
            output.confirmed = false;
            output.ready = true;
            let event = output.connection.drive(permit, evaluated);
            if permit == Permit::Withheld {
                self.stages.of(Stage::Drive).record(now().since(evaluated));
            }
            if let Some(event) = event {
                // Its connection is replaced by the next step, and what is due is written again. A permit that could
                // not be written is a trip like one that was not confirmed.
                self.lane.output_event(index, event);
                self.next_tick = MonoNs::ZERO;
            }
            if let Some(OutputEvent::Failed { at, cause }) = event
                && let Some(message) = output.fault(index, at, cause)
            {
                send(
                    &mut self.messages,
                    message,
                    &mut self.messages_lost,
                    &mut self.told_main,
                );
            }
        }
        self.beat.pass(Checkpoint::Drive);
    }

    /// Steps the outputs: connections, echoes, refresh.
    pub(super) fn confirm(&mut self) {
        let at = now();
        for (index, output) in (0_u16..).zip(&mut self.outputs) {
            let idle = output.connection.idle();
            let poll_anyway = self.spin && (idle.wants_read || idle.wants_write);
            if !output.ready && !poll_anyway && at < idle.until {
                continue;
            }
            output.ready = false;
            // The output before this one may have failed just now, and latched the group of both (I2).
            let withheld = self.lane.permits().get(usize::from(index)) == Some(&Permit::Withheld);
            let mut broke = None;
            if (withheld || self.orders.is_forbidden())
                && output.connection.permit() == Permit::Granted
            {
                // A refresh may be due: it must not be sent. That the connection broke on the stop is told nowhere else.
                broke = output.connection.drive(Permit::Withheld, at);
            }
            let (lane, stages) = (&mut self.lane, &mut self.stages);
            let (messages, lost, told) = (
                &mut self.messages,
                &mut self.messages_lost,
                &mut self.told_main,
            );
            let next_tick = &mut self.next_tick;
            let (mut echoed, mut failed) = (false, None);
            let mut report = |event| {
                lane.output_event(index, event);
                match event {
                    OutputEvent::Confirmed { round_trip, .. } => {
                        stages.of(Stage::Confirm).record(round_trip);
                        echoed = true;
                    }
                    OutputEvent::Failed { at, cause } => {
                        // The latch that this may have closed is driven at once.
                        *next_tick = MonoNs::ZERO;
                        failed = Some((at, cause));
                    }
                    OutputEvent::Overwritten { .. } | OutputEvent::Watchdog { .. } => {
                        *next_tick = MonoNs::ZERO;
                    }
                }
            };
            if let Some(event) = broke {
                report(event);
            }
            output.connection.step(&now, report);
            if echoed {
                output.confirmed = true;
                output.reported = None;
            }
            if let Some((at, cause)) = failed {
                output.confirmed = false;
                if let Some(message) = output.fault(index, at, cause) {
                    send(messages, message, lost, told);
                }
            }
        }
        if !self.lane.events().is_empty() {
            self.next_tick = MonoNs::ZERO;
        }
        self.beat.pass(Checkpoint::Confirm);
    }
}
