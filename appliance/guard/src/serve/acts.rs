//! What people do. Each act, and each that was refused, is in the record with who and why (I14).

use std::os::fd::AsFd;

use appliance_control::{Actor, EventBody, Reply, Request};
use appliance_lane::{BypassRefusal, Hold, Point};
use drivers_frame::{DurNs, MonoNs, TagId};
use rt_config::clock::{monotonic_ns, wall_ns};
use rt_config::limits::{ID_BYTES_MAX, TEXT_BYTES_MAX};

use super::bypasses::Record;
use super::shelf::{self, Shelved};
use super::{Guard, notify};
use crate::message::{Act, Acted, Command};
use crate::report;
use crate::rights::Peer;

/// What stands against an act.
pub(super) struct Against {
    pub(super) lane: String,
    pub(super) cause: String,
    pub(super) help: String,
}

impl Against {
    pub(super) fn new(lane: &str, cause: &str, help: &str) -> Self {
        Self {
            lane: lane.to_owned(),
            cause: cause.to_owned(),
            help: help.to_owned(),
        }
    }

    fn all(cause: &str, help: &str) -> Self {
        Self::new("all", cause, help)
    }
}

/// An act or what stands against it; the outer error is a guard that cannot answer.
type Outcome = Result<Result<Reply, Against>, String>;

impl Guard {
    /// Does what was asked, or says why not.
    pub(super) fn act(&mut self, request: &Request, peer: &Peer) -> Result<Reply, String> {
        let Some(act) = request.needs_rights() else {
            return match request {
                Request::Trip { reason } => self.trip(reason, peer),
                _ => Err("this is not an act".to_owned()),
            };
        };
        if !peer.may_act {
            let (cause, help) = self.parts.listener.gate().missing(act);
            let body = EventBody::NotAllowed {
                act: act.to_owned(),
                cause: cause.clone(),
                by: peer.actor(""),
            };
            return Ok(self.refuse(Against::all(&cause, &help), body));
        }
        if let Some(against) = unfit(request) {
            return Ok(self.refuse_act(act, request, against, peer.actor("")));
        }
        let (done, by) = match request {
            Request::ResetPress { who } => return self.press(who, peer),
            Request::ResetRelease { nonce } => return self.release(*nonce, peer),
            Request::Acknowledge { tag, who } => {
                let by = peer.actor(who);
                (self.acknowledge(tag.as_deref(), &by)?, by)
            }
            Request::Bypass {
                point,
                who,
                why,
                for_ns,
            } => {
                let by = peer.actor(who);
                let lasting = DurNs::from_ns(*for_ns);
                (self.bypass(point, &by, why, lasting)?, by)
            }
            Request::BypassEnd { point, who } => {
                let by = peer.actor(who);
                (self.end_bypass(point, &by)?, by)
            }
            Request::Shelve {
                rule,
                who,
                why,
                for_ns,
            } => {
                let by = peer.actor(who);
                (self.shelve(rule, &by, why, DurNs::from_ns(*for_ns)), by)
            }
            Request::Unshelve { rule, who } => {
                let by = peer.actor(who);
                (self.unshelve(rule, &by), by)
            }
            Request::Lift { hold, who } => {
                let by = peer.actor(who);
                (self.lift(hold, &by)?, by)
            }
            _ => return Err("this is not an act".to_owned()),
        };
        Ok(match done {
            Ok(reply) => reply,
            Err(against) => self.refuse_act(act, request, against, by),
        })
    }

    /// Puts an event of the whole guard into the record.
    pub(super) fn record(&mut self, body: EventBody) {
        self.log.push(monotonic_ns(), wall_ns(), "all", body);
    }

    /// Says no. What is repeated in vain is recorded once (H-77).
    pub(super) fn refuse(&mut self, against: Against, body: EventBody) -> Reply {
        self.log
            .push_unless_last(monotonic_ns(), wall_ns(), &against.lane, body);
        Reply::Refused {
            cause: against.cause,
            help: against.help,
        }
    }

    fn refuse_act(&mut self, act: &str, request: &Request, against: Against, by: Actor) -> Reply {
        let body = EventBody::ActRefused {
            act: act.to_owned(),
            of: object(request).to_owned(),
            cause: against.cause.clone(),
            by,
        };
        self.refuse(against, body)
    }

    /// Has one lane do something, and waits for its answer.
    pub(super) fn act_on(&mut self, index: usize, act: Act) -> Result<Acted, String> {
        self.act_id = self.act_id.wrapping_add(1);
        let id = self.act_id;
        let lane = self.parts.lanes.get_mut(index).ok_or("no such lane")?;
        lane.commands
            .push(Command::Act { id, act })
            .map_err(|_| "a lane does not take commands")?;
        notify(lane.wake.as_fd());
        let answer = |answers: &[super::Answers]| {
            let (of, acted) = answers.get(index)?.acted?;
            (of == id).then_some(acted)
        };
        self.await_answers(|lanes, answers| {
            let silent = lanes.get(index).is_none_or(|lane| lane.orders.is_silent());
            silent || answer(answers).is_some()
        })?;
        answer(&self.answers).ok_or_else(|| {
            "a lane does not answer; the sentinel holds its outputs stopped".to_owned()
        })
    }

    fn trip(&mut self, reason: &str, peer: &Peer) -> Result<Reply, String> {
        self.record(EventBody::TripRequested {
            reason: reason.to_owned(),
            by: peer.actor(""),
        });
        for answers in &mut self.answers {
            answers.tripped = false;
        }
        self.ask(|_| Some(Command::Trip), |answers| answers.tripped)?;
        say!("tripline-guard: stop requested: {}", reason.escape_debug());
        Ok(Reply::Done {})
    }

    fn acknowledge(&mut self, tag: Option<&str>, by: &Actor) -> Outcome {
        let lanes: Vec<_> = match tag {
            None => (0..self.parts.lanes.len())
                .map(|lane| (lane, None))
                .collect(),
            Some(name) => match self.find_tag(name) {
                Some((lane, tag)) => vec![(lane, Some(tag))],
                None => {
                    return Ok(Err(Against::all(
                        "there is no such tag",
                        "`tripline tags` shows every tag",
                    )));
                }
            },
        };
        let mut channels = 0_u64;
        for (lane, tag) in lanes {
            if let Acted::Acknowledged(count) = self.act_on(lane, Act::Acknowledge(tag))? {
                channels = channels.saturating_add(u64::from(count));
            }
        }
        self.record(EventBody::Acknowledged {
            tag: tag.map(str::to_owned),
            channels,
            by: by.clone(),
        });
        Ok(Ok(Reply::Acknowledged { channels }))
    }

    fn bypass(&mut self, name: &str, by: &Actor, why: &str, lasting: DurNs) -> Outcome {
        let Some((lane, point)) = self.find_point(name) else {
            return Ok(Err(no_such_point()));
        };
        if let Some(other) = self.bypasses.find(lane, point) {
            let cause = format!("{} is bypassed already", other.name);
            return Ok(Err(Against::all(
                &cause,
                "end it first: `tripline bypass --end POINT`",
            )));
        }
        let now = MonoNs::from_ns(monotonic_ns());
        let until_wall_ns = wall_ns().saturating_add(lasting.as_ns());
        let record = Record {
            lane,
            point,
            name: name.to_owned(),
            by: by.clone(),
            why: why.to_owned(),
            until: now.after(lasting),
            until_wall_ns,
        };
        // Before the lane is asked: one that answers too late must not have a bypass that nobody began.
        self.bypasses.begin(record, now);
        let acted = self.act_on(lane, Act::Bypass { point, lasting })?;
        if let Acted::Bypass(Err(refusal)) = acted {
            self.bypasses.end(lane, point);
            return Ok(Err(self.bypass_refused(lane, refusal)));
        }
        self.record(EventBody::Bypassed {
            point: name.to_owned(),
            by: by.clone(),
            why: why.to_owned(),
            for_ns: lasting.as_ns(),
            until_wall_ns,
        });
        Ok(Ok(Reply::Done {}))
    }

    fn bypass_refused(&self, lane: usize, refusal: BypassRefusal) -> Against {
        let plan = self.plan.lanes.get(lane);
        match refusal {
            BypassRefusal::NoSuchPoint => no_such_point(),
            BypassRefusal::NotAllowed => Against::all(
                "the pack allows no bypass here",
                "a rule with a voting is bypassed by channel (VOTING/TAG); the pack must say `bypass` with its longest time",
            ),
            BypassRefusal::TooLong { at_most } => Against::all(
                &format!(
                    "the pack allows a bypass here for at most {at_most}, and for no time at all never"
                ),
                "say a time within that; a bypass that must last longer is a change of the pack",
            ),
            BypassRefusal::GroupTaken { by } => {
                let other = plan.map_or_else(String::new, |plan| report::point_name(plan, by));
                Against::all(
                    &format!("{other} is bypassed already, and at most one of a group may be"),
                    "end that one first: `tripline bypass --end POINT`",
                )
            }
            BypassRefusal::Full => Against::all(
                "as many bypasses as there may be are in force",
                "end one first; a machine with that many bypasses should not run",
            ),
        }
    }

    fn end_bypass(&mut self, name: &str, by: &Actor) -> Outcome {
        let Some((lane, point)) = self.find_point(name) else {
            return Ok(Err(no_such_point()));
        };
        if !matches!(self.act_on(lane, Act::EndBypass(point))?, Acted::Was(true)) {
            return Ok(Err(Against::all(
                "no bypass is in force there",
                "`tripline bypass` lists those that are",
            )));
        }
        self.bypasses.end(lane, point);
        self.record(EventBody::BypassEnded {
            point: name.to_owned(),
            by: Some(by.clone()),
        });
        Ok(Ok(Reply::Done {}))
    }

    fn shelve(
        &mut self,
        rule: &str,
        by: &Actor,
        why: &str,
        lasting: DurNs,
    ) -> Result<Reply, Against> {
        let mut rules = self.plan.lanes.iter().flat_map(|lane| &lane.rules);
        let level = rules.find(|plan| plan.id == rule).map(|plan| plan.level);
        if let Some((cause, help)) = shelf::refusal(level, lasting) {
            return Err(Against::all(cause, help));
        }
        let until_wall_ns = wall_ns().saturating_add(lasting.as_ns());
        self.shelf.put(Shelved {
            rule: rule.to_owned(),
            by: by.clone(),
            why: why.to_owned(),
            until: MonoNs::from_ns(monotonic_ns()).after(lasting),
            until_wall_ns,
        });
        self.record(EventBody::Shelved {
            rule: rule.to_owned(),
            by: by.clone(),
            why: why.to_owned(),
            for_ns: lasting.as_ns(),
            until_wall_ns,
        });
        Ok(Reply::Done {})
    }

    fn unshelve(&mut self, rule: &str, by: &Actor) -> Result<Reply, Against> {
        if !self.shelf.take(rule) {
            return Err(Against::all(
                "it is not shelved",
                "`tripline status` shows what is",
            ));
        }
        self.record(EventBody::Unshelved {
            rule: rule.to_owned(),
            by: Some(by.clone()),
        });
        Ok(Reply::Done {})
    }

    fn lift(&mut self, name: &str, by: &Actor) -> Outcome {
        let Some(hold) = Hold::ALL.into_iter().find(|hold| hold.as_str() == name) else {
            let names = Hold::ALL.map(Hold::as_str).join(", ");
            return Ok(Err(Against::all(
                "there is no such hold",
                &format!("the holds are: {names}"),
            )));
        };
        let mut lifted = false;
        for lane in 0..self.parts.lanes.len() {
            lifted |= matches!(self.act_on(lane, Act::Lift(hold))?, Acted::Was(true));
        }
        if !lifted {
            return Ok(Err(Against::all(
                "it does not hold anything, or nobody may lift it",
                "what the guard found wrong with itself needs a restart; `tripline status` shows what holds",
            )));
        }
        self.record(EventBody::Lifted {
            hold: name.to_owned(),
            by: Some(by.clone()),
        });
        Ok(Ok(Reply::Done {}))
    }

    /// Tells what time alone brings: reminders of bypasses, alerts that come off the shelf.
    pub(super) fn remind(&mut self) {
        let now = MonoNs::from_ns(monotonic_ns());
        for record in self.bypasses.due(now) {
            self.record(EventBody::BypassReminder {
                remaining_ns: record.until.since(now).as_ns(),
                point: record.name,
                by: record.by,
                why: record.why,
            });
        }
        for rule in self.shelf.expire(now) {
            self.record(EventBody::Unshelved { rule, by: None });
        }
    }

    /// The point of this name: `VOTING/TAG`, or a rule's id.
    fn find_point(&self, name: &str) -> Option<(usize, Point)> {
        self.plan.lanes.iter().enumerate().find_map(|(lane, plan)| {
            let rules = (0_u16..).zip(&plan.rules);
            let rules = rules.map(|(rule, _)| Point::Rule(rule));
            let votings = (0_u16..).zip(&plan.votings);
            let channels = votings.flat_map(|(voting, plan)| {
                let channels = (0_u8..).zip(&plan.channels);
                channels.map(move |(channel, _)| Point::Channel { voting, channel })
            });
            let point = rules
                .chain(channels)
                .find(|point| report::point_name(plan, *point) == name)?;
            Some((lane, point))
        })
    }

    fn find_tag(&self, name: &str) -> Option<(usize, TagId)> {
        self.plan.lanes.iter().enumerate().find_map(|(lane, plan)| {
            let mut tags = (0_u16..).zip(&plan.tags);
            let (tag, _) = tags.find(|(_, tag)| tag.name == name)?;
            Some((lane, TagId(tag)))
        })
    }
}

fn no_such_point() -> Against {
    Against::all(
        "there is no such point",
        "a point is a channel (VOTING/TAG) or a rule without a voting; `tripline status` shows them",
    )
}

/// What an act is for, as it was asked.
fn object(request: &Request) -> &str {
    match request {
        Request::Acknowledge { tag, .. } => tag.as_deref().unwrap_or("every input"),
        Request::Bypass { point, .. } | Request::BypassEnd { point, .. } => point,
        Request::Shelve { rule, .. } | Request::Unshelve { rule, .. } => rule,
        Request::Lift { hold, .. } => hold,
        _ => "",
    }
}

/// What is wrong with the words of a request, if anything is.
fn unfit(request: &Request) -> Option<Against> {
    let (who, why) = match request {
        Request::ResetPress { who }
        | Request::Acknowledge { who, .. }
        | Request::BypassEnd { who, .. }
        | Request::Unshelve { who, .. }
        | Request::Lift { who, .. } => (who, None),
        Request::Bypass { who, why, .. } | Request::Shelve { who, why, .. } => (who, Some(why)),
        _ => return None,
    };
    if who.len() > ID_BYTES_MAX {
        return Some(Against::all(
            &format!("the name is longer than {ID_BYTES_MAX} bytes"),
            "say who you are in fewer words",
        ));
    }
    let why = why?;
    if why.trim().is_empty() {
        return Some(Against::all(
            "no reason was given",
            "say why, for whoever reads the record",
        ));
    }
    (why.len() > TEXT_BYTES_MAX).then(|| {
        Against::all(
            &format!("the reason is longer than {TEXT_BYTES_MAX} bytes"),
            "say why in fewer words",
        )
    })
}
