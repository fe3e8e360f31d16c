//! What a guard tells about one path: its events since the stimulus, put together.

use std::path::Path;
use std::time::{Duration, Instant};

use appliance_control::{
    Client, ClientError, EventBody, EventStream, OutputStatus, Reply, Request, Reset, Status,
};

/// How long a guard may be busy with other questions.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// Between two attempts.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// A rule's part in what happened.
pub(super) struct Watch {
    stream: EventStream,
    rule: String,
    /// The rule became active, and its cause.
    pub(super) cause: Option<String>,
    /// The guard's own figure from sample to confirmed stop.
    pub(super) confirmed_ns: Option<u64>,
    /// Whether the guard says that its deadline was missed.
    pub(super) missed: bool,
    /// Outputs whose actuator did not follow.
    pub(super) edm_faults: Vec<String>,
    /// Outputs whose write failed, and how.
    pub(super) faults: Vec<(String, String)>,
    /// Rules that latched an output.
    pub(super) latched_by: Vec<String>,
    /// Analyzers that failed, and how.
    pub(super) failed: Vec<(String, String)>,
}

impl Watch {
    /// Everything from now on.
    pub(super) fn begin(socket: &Path, rule: &str) -> Result<Self, ClientError> {
        let newest = status(socket)?.events;
        let (stream, _) = Client::connect(socket)?.events(newest)?;
        Ok(Self {
            stream,
            rule: rule.to_owned(),
            cause: None,
            confirmed_ns: None,
            missed: false,
            edm_faults: Vec::new(),
            faults: Vec::new(),
            latched_by: Vec::new(),
            failed: Vec::new(),
        })
    }

    /// Takes what has come within `patience`.
    pub(super) fn take(&mut self, patience: Duration) -> Result<(), ClientError> {
        let mut patience = patience;
        while let Some(event) = self.stream.next(patience)? {
            // The rest is there already, or is left for the next call. Zero would wait for ever.
            patience = Duration::from_micros(100);
            match event.body {
                EventBody::Rule {
                    rule, state, cause, ..
                } if rule == self.rule && state == "active" => {
                    self.cause.get_or_insert(cause);
                }
                EventBody::StopConfirmed {
                    rule,
                    latency_ns,
                    missed,
                } if rule == self.rule => {
                    self.confirmed_ns.get_or_insert(latency_ns);
                    self.missed |= missed;
                }
                EventBody::Latched {
                    rule: Some(rule), ..
                } => self.latched_by.push(rule),
                EventBody::EdmFault { output } => self.edm_faults.push(output),
                EventBody::OutputFault { output, cause } => self.faults.push((output, cause)),
                EventBody::AnalyzerFault {
                    analyzer, cause, ..
                } => self.failed.push((analyzer, cause)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The guard's whole state.
pub(super) fn status(socket: &Path) -> Result<Box<Status>, ClientError> {
    let until = Instant::now() + ANSWERED_WITHIN;
    loop {
        match Client::connect(socket)?.ask(&Request::Status {}) {
            Ok(Reply::Status(status)) => return Ok(status),
            Ok(_) => return Err(ClientError::Unexpected),
            // A lane answers one question at a time, and others may ask too.
            Err(ClientError::Refused(_)) if Instant::now() < until => {
                std::thread::sleep(ASK_AGAIN);
            }
            Err(error) => return Err(error),
        }
    }
}

/// An output of a lane.
pub(super) fn output<'s>(status: &'s Status, lane: &str, name: &str) -> Option<&'s OutputStatus> {
    let lane = status.lanes.iter().find(|known| known.name == lane)?;
    lane.outputs.iter().find(|known| known.name == name)
}

/// Whether a rule's cause stands now.
pub(super) fn is_active(status: &Status, lane: &str, rule: &str) -> bool {
    let lane = status.lanes.iter().find(|known| known.name == lane);
    let rule = lane.and_then(|lane| lane.rules.iter().find(|known| known.id == rule));
    rule.is_some_and(|rule| rule.state == "active")
}

/// Acknowledges what waits for it and presses the reset. `Err` says what stands against it.
pub(super) fn reset(socket: &Path) -> Result<Result<(), String>, ClientError> {
    let acknowledge = Request::Acknowledge {
        tag: None,
        who: WHO.to_owned(),
    };
    // Refused when nothing waits for it: the reset then says what stands.
    let _ = Client::connect(socket)?.ask(&acknowledge)?;
    match Client::connect(socket)?.reset(WHO)? {
        Reset::Done => Ok(Ok(())),
        Reset::Refused { cause, .. } => Ok(Err(cause)),
    }
}

/// The name in the record.
const WHO: &str = "proof test";
