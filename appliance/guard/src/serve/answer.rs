//! What clients of the control socket ask, and what they are told.
//!
//! Which thread: the main thread. May it block: for a lane's answer, bounded.

use appliance_control::{
    EventBody, Latency, Reply, Request, RuleLatency, StageLatency, State, Status,
};
use appliance_lane::ResetRefusal;
use appliance_output::Permit;
use rt_config::clock::{monotonic_ns, wall_ns};
use rt_config::{host, limits, seal};
use rules_bundle::LanePlan;

use super::{Guard, LaneHandle, Totals};
use crate::acquire::LinkStats;
use crate::control::Connection;
use crate::message::{Command, Snapshot};
use crate::report;
use crate::stages::Stage;

/// The words that every page with a latency shows.
const NOTICE: &str = "machine protection and supervisory stop, not a certified safety component";

impl Guard {
    /// One request of every client: whoever asks much waits for itself, not the others for it (H-80).
    pub(super) fn serve_clients(&mut self) {
        // More wait for the next turn, or a flood of connections would be all that is served.
        for _ in 0..limits::CONTROL_CONNECTIONS_MAX {
            let Ok((stream, _)) = self.parts.listener.socket().accept() else {
                break;
            };
            self.clients
                .extend(Connection::accept(stream, self.clients.len()));
        }
        let mut clients = std::mem::take(&mut self.clients);
        for client in &mut clients {
            client.flush();
            match client.next_request() {
                Some(Ok(Request::Events { after })) => {
                    client.reply(&Reply::Events {
                        newest: self.log.newest(),
                        lost: self.log.lost_after(after),
                    });
                    client.events_after = Some(after);
                }
                Some(Ok(request)) => {
                    let reply = self.answer(&request);
                    client.reply(&reply);
                }
                Some(Err(cause)) => client.reply(&Reply::Error { cause }),
                None => {}
            }
        }
        clients.retain(|client| !client.is_closed());
        self.clients = clients;
    }

    /// Sends new events to whoever asked for them.
    pub(super) fn publish(&mut self) {
        for client in &mut self.clients {
            if let Some(after) = client.events_after {
                for event in self.log.after(after) {
                    client.send_event(event);
                }
            }
        }
    }

    fn answer(&mut self, request: &Request) -> Reply {
        let reply = match request {
            Request::Status {} => self
                .snapshots(true)
                .map(|()| Reply::Status(Box::new(self.status()))),
            Request::Tags {} => self.snapshots(true).map(|()| Reply::Tags {
                tags: self
                    .lanes()
                    .flat_map(|(plan, _, snapshot, _)| report::tag_statuses(plan, snapshot))
                    .collect(),
            }),
            Request::Latency {} => self
                .snapshots(false)
                .map(|()| Reply::Latency(Box::new(self.latency()))),
            Request::Reset {} => self.reset(),
            Request::Trip { reason } => self.trip(reason),
            Request::Events { .. } => {
                Err("events are asked for by a connection of their own".to_owned())
            }
        };
        self.give_back();
        reply.unwrap_or_else(|cause| Reply::Error { cause })
    }

    /// All lanes or none: first everything that stands against it, then the release.
    fn reset(&mut self) -> Result<Reply, String> {
        self.snapshots(false)?;
        let refusals: Vec<_> = self
            .lanes()
            .filter_map(|(plan, _, snapshot, _)| {
                let refusal = snapshot.refusal?;
                Some((
                    report::refusal_cause(plan, refusal),
                    plan.name.clone(),
                    refusal,
                ))
            })
            .collect();
        let lanes = self.parts.lanes.len();
        let standing = refusals
            .iter()
            .find(|(_, _, refusal)| *refusal != ResetRefusal::NothingLatched);
        let nothing = (refusals.len() == lanes)
            .then(|| refusals.first())
            .flatten();
        if let Some((cause, lane, refusal)) = standing.or(nothing).cloned() {
            // The lanes were not asked, so the record that a reset was tried is made here (I14).
            let body = EventBody::ResetRefused {
                cause: cause.clone(),
            };
            self.log
                .push_unless_last(monotonic_ns(), wall_ns(), &lane, body);
            return Ok(Reply::Refused {
                cause,
                help: report::refusal_help(refusal).to_owned(),
            });
        }
        self.give_back();
        for answers in &mut self.answers {
            answers.reset = None;
        }
        self.ask(|_| Some(Command::Reset), |answers| answers.reset.is_some())?;
        let refused = self
            .answers
            .iter()
            .zip(&self.plan.lanes)
            .find_map(|(answers, plan)| match answers.reset {
                Some(Err(refusal)) if refusal != ResetRefusal::NothingLatched => {
                    Some((report::refusal_cause(plan, refusal), refusal))
                }
                _ => None,
            });
        Ok(match refused {
            Some((cause, refusal)) => Reply::Refused {
                cause,
                help: report::refusal_help(refusal).to_owned(),
            },
            None => Reply::Done {},
        })
    }

    fn trip(&mut self, reason: &str) -> Result<Reply, String> {
        let body = EventBody::TripRequested {
            reason: reason.to_owned(),
        };
        self.log.push(monotonic_ns(), wall_ns(), "all", body);
        for answers in &mut self.answers {
            answers.tripped = false;
        }
        self.ask(|_| Some(Command::Trip), |answers| answers.tripped)?;
        say!("tripline-guard: stop requested: {}", reason.escape_debug());
        Ok(Reply::Done {})
    }

    fn lanes(&self) -> impl Iterator<Item = (&LanePlan, &LaneHandle, &Snapshot, &Totals)> {
        self.plan
            .lanes
            .iter()
            .zip(&self.parts.lanes)
            .zip(&self.answers)
            .zip(&self.totals)
            .filter_map(|(((plan, lane), answers), totals)| {
                Some((plan, lane, answers.snapshot.as_deref()?, totals))
            })
    }

    fn status(&self) -> Status {
        let armed = self.lanes().all(|(_, _, snapshot, _)| {
            snapshot
                .outputs
                .iter()
                .all(|output| output.permit == Permit::Granted && output.latch.is_none())
        });
        let refusal = self
            .lanes()
            .filter_map(|(plan, _, snapshot, _)| Some((plan, snapshot.refusal?)))
            .find(|(_, refusal)| *refusal != ResetRefusal::NothingLatched);
        Status {
            state: match (self.stopping, armed) {
                (true, _) => State::Stopping,
                (false, true) => State::Armed,
                (false, false) => State::Tripped,
            },
            reset_refusal: refusal.map(|(plan, refusal)| report::refusal_cause(plan, refusal)),
            degraded: self.parts.degraded.clone(),
            pack: self.plan.name.clone(),
            version: self.plan.version.clone(),
            bundle: self.hash.clone(),
            pid: std::process::id(),
            uptime_ns: monotonic_ns().saturating_sub(self.started),
            resident_bytes: host::resident_bytes(),
            lane_allocations: seal::broken_seals(),
            events: self.log.newest(),
            events_lost: self.totals.iter().map(|totals| totals.events_lost).sum(),
            lanes: self
                .lanes()
                .map(|(plan, lane, snapshot, _)| {
                    report::lane_status(plan, &lane.placement, snapshot, &links(lane, snapshot))
                })
                .collect(),
        }
    }

    fn latency(&self) -> Latency {
        let mut latency = Latency {
            notice: NOTICE.to_owned(),
            stages: Vec::new(),
            rules: Vec::new(),
        };
        for (plan, totals) in self.plan.lanes.iter().zip(&self.totals) {
            for stage in Stage::ALL {
                latency.stages.push(StageLatency {
                    lane: plan.name.clone(),
                    stage: stage.as_str().to_owned(),
                    distribution: report::distribution(totals.stages.get(stage)),
                });
            }
            for (index, (recorder, missed)) in &totals.rules {
                if let Some(rule) = plan.rules.get(usize::from(*index)) {
                    latency.rules.push(RuleLatency {
                        lane: plan.name.clone(),
                        rule: rule.id.clone(),
                        deadline_ns: rule.deadline.map(drivers_frame::DurNs::as_ns),
                        on_delay_ns: rule.on_delay.as_ns(),
                        missed: *missed,
                        distribution: report::distribution(recorder),
                    });
                }
            }
        }
        latency
    }
}

/// What is known of each of a lane's devices.
fn links(lane: &LaneHandle, snapshot: &Snapshot) -> Vec<Option<LinkStats>> {
    let inline = |device: usize| {
        let mut devices = snapshot.devices.iter();
        let state = devices.find(|state| usize::from(state.device) == device)?;
        Some(state.stats)
    };
    lane.stats
        .iter()
        .enumerate()
        .map(|(device, stats)| match stats {
            Some(stats) => stats.lock().ok().map(|stats| *stats),
            None => inline(device),
        })
        .collect()
}
