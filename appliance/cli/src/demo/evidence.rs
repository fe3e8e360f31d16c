//! What happened in one trip, from three witnesses: the device's stopwatch, the guard's events, the broker's delivery.

use std::fmt;
use std::time::{Duration, Instant};

use appliance_control::{Client, Event, EventBody, Reply, Request, RuleLatency};
use appliance_desk::signals::StopSignal;
use drivers_sim::image::StopTiming;

use super::OUTPUT;
use super::alerts::Received;
use super::stage::Stage;
use crate::latency::ask_latency;

/// The witnesses' statements about one trip.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// The rule that must be the first cause.
    expected: String,
    /// The device's stopwatch.
    pub(super) timing: StopTiming,
    /// The output's first-out: cause and rule.
    pub(super) first_out: Option<(String, Option<String>)>,
    /// The rule's event.
    pub(super) rule: Option<Event>,
    /// The stop's confirmation: time from the sample, and whether the deadline was missed.
    pub(super) confirmed: Option<(Duration, bool)>,
    /// The alert, as it came from the broker.
    pub(super) alert: Option<Received>,
    /// The guard's own figures for the rule.
    pub(super) latency: Option<RuleLatency>,
}

/// What should have happened and did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// The reset at the beginning.
    ResetRefused {
        /// What stood against it.
        cause: String,
        /// What to do.
        help: String,
    },
    /// The press stands although its bearing is good.
    StoppedTooEarly,
    /// The press still runs.
    NoStop,
    /// The device's own watchdog stopped the press, and no write.
    WatchdogOnly,
    /// The stop had another cause.
    WrongCause {
        /// The rule that should have been.
        expected: String,
        /// Which.
        found: String,
    },
    /// No confirmation.
    NotConfirmed,
    /// Too late.
    TooLate,
    /// No alert came from the broker.
    NoAlert,
    /// A lane allocated memory after it was sealed.
    SealBroken {
        /// How often.
        allocations: u64,
    },
    /// The guard did not answer.
    NoAnswer,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ResetRefused { cause, help } => {
                write!(f, "the reset was refused: {cause} ({help})")
            }
            Self::StoppedTooEarly => f.write_str("the press was stopped before its bearing failed"),
            Self::NoStop => f.write_str("the press was not stopped although its bearing failed"),
            Self::WatchdogOnly => {
                f.write_str("no stop was written; the device's own watchdog stopped the press")
            }
            Self::WrongCause { expected, found } => {
                write!(f, "the first cause should be {expected}, it is {found}")
            }
            Self::NotConfirmed => f.write_str("the stop was not confirmed"),
            Self::TooLate => f.write_str("the stop came after the rule's deadline"),
            Self::NoAlert => f.write_str("no alert came from the broker"),
            Self::SealBroken { allocations } => {
                write!(f, "a sealed lane allocated memory, {allocations} times")
            }
            Self::NoAnswer => f.write_str("the guard did not answer"),
        }
    }
}

impl Evidence {
    /// Before the bearing fails: what was seen so far belongs to earlier laps and is forgotten.
    pub(super) fn begin(stage: &mut Stage) -> Self {
        stage.events.clear();
        stage.received.clear();
        Self {
            expected: stage.rule.clone(),
            ..Self::default()
        }
    }

    /// Waits until all witnesses have spoken, or `deadline`.
    pub(super) fn gather(
        mut self,
        stage: &mut Stage,
        stop: &StopSignal,
        deadline: Instant,
    ) -> Self {
        while !self.is_complete() && Instant::now() < deadline && !stop.is_set() {
            stage.pass(Duration::from_millis(20));
            self.look(stage);
        }
        self.latency = ask_latency(stage.socket()).ok().and_then(|latency| {
            latency
                .rules
                .into_iter()
                .find(|rule| rule.rule == self.expected)
        });
        self
    }

    fn is_complete(&self) -> bool {
        self.timing.stop_written.is_some()
            && self.first_out.is_some()
            && self.rule.is_some()
            && self.confirmed.is_some()
            && self.alert.is_some()
    }

    fn look(&mut self, stage: &Stage) {
        self.timing = stage.plant.first_stop();
        for event in &stage.events {
            self.take(event);
        }
        let topic = format!("{}/alerts/{}", stage.prefix, self.expected);
        let mut received = stage.received.iter();
        let alert = received.find(|got| got.topic == topic && got.json["state"] == "active");
        self.alert = self.alert.take().or_else(|| alert.cloned());
    }

    fn take(&mut self, event: &Event) {
        match &event.body {
            EventBody::Latched {
                output,
                cause,
                rule,
            } if output == OUTPUT && self.first_out.is_none() => {
                self.first_out = Some((cause.clone(), rule.clone()));
            }
            EventBody::Rule { rule, state, .. } if *rule == self.expected && state == "active" => {
                self.rule.get_or_insert_with(|| event.clone());
            }
            EventBody::StopConfirmed {
                rule,
                latency_ns,
                missed,
            } if *rule == self.expected => {
                self.confirmed
                    .get_or_insert((Duration::from_nanos(*latency_ns), *missed));
            }
            _ => {}
        }
    }

    /// What should have happened and did not.
    pub(super) fn missed(&self, stage: &Stage) -> Vec<Missed> {
        let mut missed = self.missed_by_witnesses();
        match Client::connect(stage.socket()).and_then(|mut client| client.ask(&Request::Status {}))
        {
            Ok(Reply::Status(status)) if status.lane_allocations > 0 => {
                missed.push(Missed::SealBroken {
                    allocations: status.lane_allocations,
                })
            }
            Ok(Reply::Status(_)) => {}
            Ok(_) | Err(_) => missed.push(Missed::NoAnswer),
        }
        missed
    }

    fn missed_by_witnesses(&self) -> Vec<Missed> {
        let mut missed = Vec::new();
        if self.timing.stop_written.is_none() {
            missed.push(match self.timing.watchdog_fell {
                Some(_) => Missed::WatchdogOnly,
                None => Missed::NoStop,
            });
        }
        match &self.first_out {
            Some((_, Some(rule))) if *rule == self.expected => {}
            Some((cause, rule)) => missed.push(Missed::WrongCause {
                expected: self.expected.clone(),
                found: rule.clone().unwrap_or_else(|| cause.clone()),
            }),
            None => missed.push(Missed::WrongCause {
                expected: self.expected.clone(),
                found: "not known: no latch was reported".to_owned(),
            }),
        }
        let late = self
            .latency
            .as_ref()
            .is_some_and(|latency| latency.missed > 0);
        match self.confirmed {
            None => missed.push(Missed::NotConfirmed),
            Some((_, true)) => missed.push(Missed::TooLate),
            Some((_, false)) if late => missed.push(Missed::TooLate),
            Some((_, false)) => {}
        }
        if self.alert.is_none() {
            missed.push(Missed::NoAlert);
        }
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::super::RULE;
    use super::*;

    fn complete() -> Evidence {
        Evidence {
            expected: RULE.into(),
            timing: StopTiming {
                first_over_limit: Some(Duration::from_secs(1)),
                over_limit_since: Some(Duration::from_secs(1)),
                stop_written: Some(Duration::from_millis(1_021)),
                watchdog_fell: None,
            },
            first_out: Some(("condition".into(), Some(RULE.into()))),
            confirmed: Some((Duration::from_millis(22), false)),
            alert: Some(Received {
                topic: String::new(),
                text: String::new(),
                json: serde_json::Value::Null,
            }),
            ..Evidence::default()
        }
    }

    #[test]
    fn a_complete_trip_misses_nothing() {
        assert_eq!(complete().missed_by_witnesses(), []);
    }

    #[test]
    fn each_witness_can_say_that_something_is_missing() {
        let check = |change: &dyn Fn(&mut Evidence), expected: Missed| {
            let mut evidence = complete();
            change(&mut evidence);
            assert_eq!(evidence.missed_by_witnesses(), [expected]);
        };
        check(&|e| e.timing.stop_written = None, Missed::NoStop);
        check(
            &|e| {
                e.timing.stop_written = None;
                e.timing.watchdog_fell = Some(Duration::from_secs(2));
            },
            Missed::WatchdogOnly,
        );
        check(
            &|e| e.first_out = Some(("rule".into(), Some("bearing_hot".into()))),
            Missed::WrongCause {
                expected: RULE.into(),
                found: "bearing_hot".into(),
            },
        );
        check(&|e| e.confirmed = None, Missed::NotConfirmed);
        check(
            &|e| e.confirmed = Some((Duration::from_secs(1), true)),
            Missed::TooLate,
        );
        check(&|e| e.alert = None, Missed::NoAlert);
    }
}
