//! What clients of the control socket ask, and what they are told.
//!
//! Which thread: the main thread. May it block: for a lane's answer, bounded.

use appliance_control::{BypassStatus, Latency, Reply, Request, RuleLatency, StageLatency, Status};
use appliance_lane::{Point, ResetRefusal};
use drivers_frame::MonoNs;
use rt_config::clock::monotonic_ns;
use rt_config::{host, limits, seal};
use rules_bundle::LanePlan;

use super::{Guard, LaneHandle, Totals};
use crate::acquire::LinkStats;
use crate::control::Accepted;
use crate::message::Snapshot;
use crate::report;
use crate::rights::Peer;
use crate::stages::Stage;
use crate::state;

/// The words that every page with a latency shows.
const NOTICE: &str = "machine protection and supervisory stop, not a certified safety component";

impl Guard {
    /// One request of every client: whoever asks much waits for itself, not the others for it (H-80).
    pub(super) fn serve_clients(&mut self) {
        // More wait for the next turn, or a flood of connections would be all that is served.
        for _ in 0..limits::CONTROL_CONNECTIONS_MAX {
            match self.parts.listener.accept(&self.clients) {
                Some(Accepted::Client(client)) => self.clients.push(client),
                Some(Accepted::TurnedAway) => {}
                None => break,
            }
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
                    let reply = self.answer(&request, client.peer());
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

    fn answer(&mut self, request: &Request, peer: &Peer) -> Reply {
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
            Request::Events { .. } => {
                Err("events are asked for by a connection of their own".to_owned())
            }
            act => self.act(act, peer),
        };
        self.give_back();
        reply.unwrap_or_else(|cause| Reply::Error { cause })
    }

    pub(super) fn lanes(
        &self,
    ) -> impl Iterator<Item = (&LanePlan, &LaneHandle, &Snapshot, &Totals)> {
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
        let refusal = self
            .lanes()
            .filter_map(|(plan, _, snapshot, _)| Some((plan, snapshot.refusal?)))
            .find(|(_, refusal)| *refusal != ResetRefusal::NothingLatched);
        let lanes: Vec<_> = self
            .plan
            .lanes
            .iter()
            .zip(&self.parts.lanes)
            .zip(self.answers.iter().zip(&self.totals))
            .map(|((plan, lane), (answers, totals))| {
                let Some(snapshot) = &answers.snapshot else {
                    return report::silent_lane_status(plan, &lane.placement, &lane.orders);
                };
                let mut status = report::lane_status(
                    plan,
                    &lane.placement,
                    snapshot,
                    &links(lane, snapshot),
                    &lane.orders,
                );
                for (rule, bound) in status.rules.iter_mut().zip(&totals.bounds) {
                    rule.bound_ns = bound.map(drivers_frame::DurNs::as_ns);
                }
                for (index, (recorder, _)) in &totals.rules {
                    if let Some(rule) = status.rules.get_mut(usize::from(*index)) {
                        rule.measured_max_ns = Some(recorder.max_ns);
                    }
                }
                status.analyzers = report::analyzer_statuses(
                    plan,
                    &self.plan.modules,
                    snapshot,
                    &lane.analyzer_views,
                    &totals.figures,
                );
                self.add_before(&mut status);
                status.bypasses = self.bypass_statuses(plan, snapshot);
                status
            })
            .collect();
        let degraded = self.lacks(&lanes);
        let (state, reasons) = state::of(&lanes, &degraded, self.stopping);
        Status {
            state,
            reasons,
            reset_refusal: self
                .watchdog_refusal()
                .map(|(cause, _)| cause)
                .or_else(|| refusal.map(|(plan, refusal)| report::refusal_cause(plan, refusal))),
            degraded,
            operators: self.parts.listener.gate().operators().map(str::to_owned),
            shelved: self.shelf.status(MonoNs::from_ns(monotonic_ns())),
            sentinel: Some(self.sentinel_status()),
            pack: self.plan.name.clone(),
            version: self.plan.version.clone(),
            bundle: self.hash.clone(),
            pid: std::process::id(),
            uptime_ns: monotonic_ns().saturating_sub(self.started),
            resident_bytes: host::resident_bytes(),
            lane_allocations: seal::broken_seals(),
            events: self.log.newest(),
            events_lost: self.totals.iter().map(|totals| totals.events_lost).sum(),
            lanes,
        }
    }

    /// The lane says what is bypassed and for how long; the record says who and why.
    fn bypass_statuses(&self, plan: &LanePlan, snapshot: &Snapshot) -> Vec<BypassStatus> {
        let index = self
            .plan
            .lanes
            .iter()
            .position(|lane| lane.name == plan.name);
        let bypasses = snapshot.views.bypasses.iter();
        let status = |(point, until): &(Point, MonoNs)| {
            let record = index.and_then(|lane| self.bypasses.find(lane, *point))?;
            Some(BypassStatus {
                remaining_ns: until.since(snapshot.at).as_ns(),
                ..record.status(snapshot.at)
            })
        };
        bypasses.filter_map(status).collect()
    }

    fn latency(&self) -> Latency {
        let mut latency = Latency {
            notice: NOTICE.to_owned(),
            stages: Vec::new(),
            rules: Vec::new(),
        };
        for (plan, totals) in self.plan.lanes.iter().zip(&self.totals) {
            let analyzes = plan.analyzers().next().is_some();
            let stages = Stage::ALL.into_iter();
            for stage in stages.filter(|stage| analyzes || *stage != Stage::Analyze) {
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
                        bound_ns: totals.bound(*index).map(drivers_frame::DurNs::as_ns),
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
