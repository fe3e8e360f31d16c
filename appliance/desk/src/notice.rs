//! What a person at the terminal is told, and the words for it.

mod acts;

use std::fmt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use appliance_control::{Actor, Event, EventBody};
use drivers_mqtt::LinkChange;

use crate::limits::NOTICES_MAX;

/// How a guard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardExit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Not our child: how it ended is not known.
    Unseen,
}

impl GuardExit {
    /// From what `wait` said.
    #[must_use]
    pub fn of(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unseen,
        }
    }

    /// Whether starting the same again can only fail the same way.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Code(2 | 3))
    }

    /// Whether it ended because it was asked to.
    #[must_use]
    pub const fn was_asked(self) -> bool {
        matches!(self, Self::Code(0 | 7))
    }
}

impl fmt::Display for GuardExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(0) => f.write_str("every stop was written and confirmed (exit code 0)"),
            Self::Code(2) => f.write_str("it did not understand how it was started (exit code 2)"),
            Self::Code(3) => f.write_str("it refused the bundle (exit code 3)"),
            Self::Code(4) => f.write_str("it could not use its control socket (exit code 4)"),
            Self::Code(5) => f.write_str("a host name of the pack does not resolve (exit code 5)"),
            Self::Code(6) => f.write_str("its watchdog had stopped one of its lanes (exit code 6)"),
            Self::Code(7) => f.write_str(
                "it stopped, but a stop was not confirmed: go and look at the machine (exit code 7)",
            ),
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(9) => f.write_str("it was killed (signal 9; out of memory?)"),
            Self::Signal(31) => f.write_str(
                "it made a system call that it must not make, or something in it did (signal 31, SIGSYS): see \"The guard ended by SIGSYS\" in the operator's guide",
            ),
            Self::Signal(signal) => write!(f, "it was ended by signal {signal}"),
            Self::Unseen => f.write_str("it is gone (started by another process, so its exit code is not known)"),
        }
    }
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// An event of the guard. Replayed ones happened before the desk came.
    Event(Box<Event>),
    /// Events that the guard no longer kept.
    EventsLost(u64),
    /// The guard answers.
    GuardUp {
        /// Its process.
        pid: u32,
    },
    /// The guard does not answer.
    GuardDown,
    /// Another bundle runs at the socket than the one the desk was started with.
    OtherBundle {
        /// Its pack.
        pack: String,
        /// Its content hash.
        bundle: String,
    },
    /// The guard died.
    GuardDied(GuardExit),
    /// It is started again after this time.
    Restarting(Duration),
    /// It died too often and stays down.
    CrashLoop {
        /// Deaths within the window.
        deaths: usize,
    },
    /// It could not be started again.
    RestartFailed(String),
    /// The broker's link changed.
    Broker(LinkChange),
    /// Alerts were dropped: the outbox is full. How many since the start.
    AlertsDropped(u64),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(event) => write!(f, "{}", Described(event)),
            Self::EventsLost(count) => {
                write!(f, "{count} events were lost: the guard no longer kept them")
            }
            Self::GuardUp { pid } => write!(f, "guard answers (process {pid})"),
            Self::GuardDown => f.write_str(
                "guard does not answer; the devices' own watchdogs take the permits away",
            ),
            Self::OtherBundle { pack, bundle } => write!(
                f,
                "the guard at the socket runs another bundle ({pack}, {bundle}); its events are not relayed"
            ),
            Self::GuardDied(exit) => write!(f, "guard ended: {exit}"),
            Self::Restarting(wait) => write!(
                f,
                "guard is started again in {} ms; it will be tripped until it is reset",
                wait.as_millis()
            ),
            Self::CrashLoop { deaths } => write!(
                f,
                "guard died {deaths} times within a minute and stays down; machines stay stopped. Find the cause, then start again"
            ),
            Self::RestartFailed(cause) => write!(f, "guard could not be started again: {cause}"),
            Self::Broker(LinkChange::Up) => f.write_str("broker reached: alerts are delivered"),
            Self::Broker(LinkChange::Down(error)) => {
                write!(f, "broker lost: {error}. Alerts are kept and sent later")
            }
            Self::Broker(LinkChange::AttemptFailed(error)) => {
                write!(
                    f,
                    "broker not reached: {error}. Alerts are kept and sent later"
                )
            }
            Self::AlertsDropped(count) => {
                write!(
                    f,
                    "the outbox is full: {count} alerts dropped so far. Mend the broker"
                )
            }
        }
    }
}

/// An event in one line.
pub struct Described<'a>(pub &'a Event);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.body {
            EventBody::Rule {
                rule,
                level,
                from,
                state,
                cause,
                tag,
                value,
                unit,
                quality,
                quality_cause,
            } => {
                write!(f, "{level} {rule}: {from} -> {state} ({cause})")?;
                if let Some(tag) = tag {
                    write!(f, ", {tag}")?;
                    match value {
                        Some(value) => {
                            write!(f, " = {value:.3}")?;
                            // A plain number has the unit "1".
                            let unit = unit.as_deref().filter(|unit| !matches!(*unit, "" | "1"));
                            if let Some(unit) = unit {
                                write!(f, " {unit}")?;
                            }
                        }
                        None => f.write_str(" has no usable value")?,
                    }
                }
                match (quality.as_deref(), quality_cause.as_deref()) {
                    (Some("good") | None, _) => Ok(()),
                    (Some(quality), Some(cause)) if cause != quality => {
                        write!(f, " [{quality}: {cause}]")
                    }
                    (Some(quality), _) => write!(f, " [{quality}]"),
                }
            }
            EventBody::Latched {
                output,
                cause,
                rule: Some(rule),
            } => write!(f, "STOP {output}: latched by {rule} ({cause})"),
            EventBody::Latched {
                output,
                cause,
                rule: None,
            } => write!(f, "STOP {output}: latched ({cause})"),
            EventBody::Released { output } => write!(f, "released {output}: its permit is granted"),
            EventBody::StopConfirmed {
                rule,
                latency_ns,
                missed,
            } => write!(
                f,
                "stop of {rule} confirmed {:.3} ms after the sample{}",
                Duration::from_nanos(*latency_ns).as_secs_f64() * 1e3,
                if *missed { ": DEADLINE MISSED" } else { "" }
            ),
            EventBody::TripRequested { reason, by } => {
                write!(f, "stop requested by {by}: {}", reason.escape_debug())
            }
            EventBody::ResetRefused { cause, by } => {
                write!(f, "reset{} refused: {cause}", By(by.as_ref()))
            }
            EventBody::Link {
                device, up: true, ..
            } => write!(f, "device {device}: link up"),
            EventBody::Link {
                device,
                up: false,
                cause,
            } => write!(
                f,
                "device {device}: link down ({})",
                cause.as_deref().unwrap_or("no cause given")
            ),
            EventBody::OutputFault { output, cause } => {
                write!(f, "output {output}: {cause}; the write is repeated")
            }
            EventBody::SelfCheck {
                check,
                stopped,
                detail,
            } => {
                let stop = if *stopped { "STOP, " } else { "" };
                write!(f, "{stop}self-check {check}: {detail}")
            }
            act => acts::describe(act, f),
        }
    }
}

/// ` by Anna`, or nothing when nobody is named.
struct By<'a>(Option<&'a Actor>);

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |by| write!(f, " by {by}"))
    }
}

/// The sending end of a notice queue. Never waits: what does not fit is counted.
#[derive(Clone)]
pub struct Notices {
    sender: SyncSender<Notice>,
    skipped: Arc<AtomicU64>,
}

/// The receiving end of a notice queue.
pub struct NoticeReceiver {
    receiver: Receiver<Notice>,
    skipped: Arc<AtomicU64>,
}

/// A queue of notices.
#[must_use]
pub fn queue() -> (Notices, NoticeReceiver) {
    let (sender, receiver) = sync_channel(NOTICES_MAX);
    let skipped = Arc::new(AtomicU64::new(0));
    let sending = Notices {
        sender,
        skipped: Arc::clone(&skipped),
    };
    (sending, NoticeReceiver { receiver, skipped })
}

impl Notices {
    /// Tells, if there is room.
    pub fn tell(&self, notice: Notice) {
        if self.sender.try_send(notice).is_err() {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl NoticeReceiver {
    /// The next notice, or `None` when none came within `timeout`. Notices that were told before the last sender went
    /// are still given.
    #[must_use]
    pub fn next(&self, timeout: Duration) -> Option<Notice> {
        self.receiver.recv_timeout(timeout).ok()
    }

    /// Notices that did not fit, since the last call.
    pub fn take_skipped(&self) -> u64 {
        self.skipped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(body: EventBody) -> String {
        Described(&Event {
            seq: 1,
            at_ns: 0,
            wall_ns: 0,
            lane: "main".into(),
            body,
        })
        .to_string()
    }

    #[test]
    fn h43_an_end_at_a_forbidden_system_call_is_said_as_such() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::SYS).unwrap();
        let exit = GuardExit::of(child.wait().unwrap());
        assert!(!exit.is_refusal() && !exit.was_asked(), "started again");
        let words = exit.to_string();
        assert!(
            words.contains("SIGSYS") && words.contains("guide"),
            "H-43: {words}"
        );
    }

    #[test]
    fn events_read_as_sentences() {
        let danger = EventBody::Rule {
            rule: "hot".into(),
            level: "danger".into(),
            from: "pending".into(),
            state: "active".into(),
            cause: "condition".into(),
            tag: Some("bearing.t".into()),
            value: Some(91.25),
            unit: Some("degC".into()),
            quality: Some("good".into()),
            quality_cause: None,
        };
        assert_eq!(
            described(danger),
            "danger hot: pending -> active (condition), bearing.t = 91.250 degC"
        );
        let silent = EventBody::Rule {
            rule: "hot".into(),
            level: "danger".into(),
            from: "waiting".into(),
            state: "active".into(),
            cause: "bad input".into(),
            tag: Some("bearing.t".into()),
            value: None,
            unit: Some("degC".into()),
            quality: Some("stale".into()),
            quality_cause: Some("never received".into()),
        };
        assert_eq!(
            described(silent),
            "danger hot: waiting -> active (bad input), bearing.t has no usable value [stale: never received]"
        );
        let lapsed = EventBody::Rule {
            rule: "hot".into(),
            level: "danger".into(),
            from: "normal".into(),
            state: "active".into(),
            cause: "bad input".into(),
            tag: Some("watch.verdict".into()),
            value: None,
            unit: Some("1".into()),
            quality: Some("stale".into()),
            quality_cause: Some("stale".into()),
        };
        assert_eq!(
            described(lapsed),
            "danger hot: normal -> active (bad input), watch.verdict has no usable value [stale]"
        );
        let counted = EventBody::Rule {
            rule: "hot".into(),
            level: "danger".into(),
            from: "normal".into(),
            state: "active".into(),
            cause: "condition".into(),
            tag: Some("watch.verdict".into()),
            value: Some(2.0),
            unit: Some("1".into()),
            quality: Some("good".into()),
            quality_cause: None,
        };
        assert_eq!(
            described(counted),
            "danger hot: normal -> active (condition), watch.verdict = 2.000"
        );
        let missed = EventBody::StopConfirmed {
            rule: "hot".into(),
            latency_ns: 1_500_000,
            missed: true,
        };
        assert_eq!(
            described(missed),
            "stop of hot confirmed 1.500 ms after the sample: DEADLINE MISSED"
        );
    }

    #[test]
    fn a_full_queue_counts_instead_of_waiting() {
        let (notices, receiver) = queue();
        for _ in 0..NOTICES_MAX + 3 {
            notices.tell(Notice::GuardDown);
        }
        assert_eq!(receiver.take_skipped(), 3);
        drop(notices);
        let mut received = 0;
        while receiver.next(Duration::ZERO).is_some() {
            received += 1;
        }
        assert_eq!(received, NOTICES_MAX);
    }

    #[test]
    fn every_exit_code_of_a_guard_has_its_own_words() {
        let words: Vec<_> = [0, 2, 3, 4, 5, 6, 7]
            .map(|code| GuardExit::Code(code).to_string())
            .into();
        for (index, word) in words.iter().enumerate() {
            assert!(word.contains("exit code"), "{word}");
            assert!(!words[..index].contains(word));
        }
    }
}
