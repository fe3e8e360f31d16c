//! What people do: reset, trip. Each act, and each that was refused, is in the record (I14).

use appliance_control::{EventBody, Nonce, Reply, Request};
use appliance_lane::ResetRefusal;
use drivers_frame::MonoNs;
use rt_config::clock::{monotonic_ns, wall_ns};

use super::Guard;
use super::press::{HOLD_MAX, HOLD_MIN};
use crate::message::Command;
use crate::report;
use crate::rights::Peer;

/// What stands against an act.
struct Against {
    lane: String,
    cause: String,
    help: String,
}

impl Guard {
    /// Does what was asked, or says why not.
    pub(super) fn act(&mut self, request: &Request, peer: &Peer) -> Result<Reply, String> {
        if let Some(act) = request.needs_rights()
            && !peer.may_act
        {
            return Ok(self.not_allowed(act, peer));
        }
        match request {
            Request::ResetPress { who } => self.press(who, peer),
            Request::ResetRelease { nonce } => self.release(*nonce, peer),
            Request::Trip { reason } => self.trip(reason, peer),
            _ => Err("this guard does not do that yet".to_owned()),
        }
    }

    /// Says no to somebody without rights, and keeps that they tried (I14).
    fn not_allowed(&mut self, act: &str, peer: &Peer) -> Reply {
        let (cause, help) = self.parts.listener.gate().missing(act);
        let body = EventBody::NotAllowed {
            act: act.to_owned(),
            cause: cause.clone(),
            by: peer.actor(""),
        };
        self.log
            .push_unless_last(monotonic_ns(), wall_ns(), "all", body);
        Reply::Refused { cause, help }
    }

    fn press(&mut self, who: &str, peer: &Peer) -> Result<Reply, String> {
        if let Some(against) = self.standing()? {
            return Ok(self.refuse_reset(against, who, peer));
        }
        let nonce = nonce().ok_or("the operating system gives no random numbers")?;
        let now = monotonic_ns();
        self.press.press(nonce, peer.uid, who, MonoNs::from_ns(now));
        let body = EventBody::ResetPressed {
            by: Some(peer.actor(who)),
        };
        self.log.push(now, wall_ns(), "all", body);
        Ok(Reply::ResetPressed {
            nonce: Nonce(nonce),
            hold_min_ns: HOLD_MIN.as_ns(),
            hold_max_ns: HOLD_MAX.as_ns(),
        })
    }

    fn release(&mut self, nonce: Nonce, peer: &Peer) -> Result<Reply, String> {
        let now = MonoNs::from_ns(monotonic_ns());
        let who = match self.press.release(nonce.0, peer.uid, now) {
            Ok(who) => who,
            Err(refusal) => {
                let against = Against {
                    lane: "all".to_owned(),
                    cause: refusal.cause().to_owned(),
                    help: refusal.help().to_owned(),
                };
                return Ok(self.refuse_reset(against, "", peer));
            }
        };
        if let Some(against) = self.standing()? {
            return Ok(self.refuse_reset(against, &who, peer));
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
        if let Some((cause, refusal)) = refused {
            // The lane has recorded it.
            return Ok(Reply::Refused {
                cause,
                help: report::refusal_help(refusal).to_owned(),
            });
        }
        let body = EventBody::Reset {
            by: Some(peer.actor(&who)),
        };
        self.log.push(monotonic_ns(), wall_ns(), "all", body);
        Ok(Reply::Done {})
    }

    /// What stands against a reset, of all lanes: all of them or none.
    fn standing(&mut self) -> Result<Option<Against>, String> {
        if let Some((cause, help)) = self.watchdog_refusal() {
            return Ok(Some(Against {
                lane: "all".to_owned(),
                cause,
                help: help.to_owned(),
            }));
        }
        self.snapshots(false)?;
        let refusals: Vec<_> = self
            .lanes()
            .filter_map(|(plan, _, snapshot, _)| Some((plan, snapshot.refusal?)))
            .collect();
        let mut standing = refusals
            .iter()
            .filter(|(_, refusal)| *refusal != ResetRefusal::NothingLatched);
        let nothing = (refusals.len() == self.parts.lanes.len())
            .then(|| refusals.first())
            .flatten();
        let against = standing.next().or(nothing).map(|(plan, refusal)| Against {
            lane: plan.name.clone(),
            cause: report::refusal_cause(plan, *refusal),
            help: report::refusal_help(*refusal).to_owned(),
        });
        self.give_back();
        Ok(against)
    }

    /// Says no, and keeps that somebody tried (I14): the lanes were not asked.
    fn refuse_reset(&mut self, against: Against, who: &str, peer: &Peer) -> Reply {
        let Against { lane, cause, help } = against;
        let body = EventBody::ResetRefused {
            cause: cause.clone(),
            by: Some(peer.actor(who)),
        };
        self.log
            .push_unless_last(monotonic_ns(), wall_ns(), &lane, body);
        Reply::Refused { cause, help }
    }

    fn trip(&mut self, reason: &str, peer: &Peer) -> Result<Reply, String> {
        let body = EventBody::TripRequested {
            reason: reason.to_owned(),
            by: peer.actor(""),
        };
        self.log.push(monotonic_ns(), wall_ns(), "all", body);
        for answers in &mut self.answers {
            answers.tripped = false;
        }
        self.ask(|_| Some(Command::Trip), |answers| answers.tripped)?;
        say!("tripline-guard: stop requested: {}", reason.escape_debug());
        Ok(Reply::Done {})
    }
}

/// 64 bits from the operating system's random source.
fn nonce() -> Option<u64> {
    let mut bytes = [0_u8; 8];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).ok()?;
    (filled == bytes.len()).then(|| u64::from_ne_bytes(bytes))
}
