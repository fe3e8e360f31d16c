//! A reset over the control socket: the press and its release, of every lane or of none.

use appliance_control::{EventBody, Nonce, Reply};
use appliance_lane::ResetRefusal;
use drivers_frame::MonoNs;
use rt_config::clock::monotonic_ns;

use super::Guard;
use super::acts::Against;
use super::press::{HOLD_MAX, HOLD_MIN, Pressed};
use crate::message::{Act, Acted};
use crate::report;
use crate::rights::Peer;

impl Guard {
    pub(super) fn press(&mut self, who: &str, peer: &Peer) -> Result<Reply, String> {
        let lanes = match self.standing()? {
            Ok(lanes) => lanes,
            Err(against) => return Ok(self.refuse_reset(against, who, peer)),
        };
        if let Some(before) = self.press.forget() {
            self.take_back(&before)?;
        }
        let nonce = nonce().ok_or("the operating system gives no random numbers")?;
        let mut pressed = Pressed {
            nonce,
            uid: peer.uid,
            who: who.to_owned(),
            at: MonoNs::ZERO,
            lanes: Vec::new(),
        };
        for lane in lanes {
            if let Some(against) = self.reset_lane(lane, Act::Press { nonce })? {
                // It came between the look and the press.
                self.take_back(&pressed)?;
                return Ok(self.refuse_reset(against, who, peer));
            }
            pressed.lanes.push(lane);
        }
        // After the lanes: what is long enough for this clock is long enough for theirs.
        pressed.at = MonoNs::from_ns(monotonic_ns());
        self.press.press(pressed);
        self.record(EventBody::ResetPressed {
            by: Some(peer.actor(who)),
        });
        Ok(Reply::ResetPressed {
            nonce: Nonce(nonce),
            hold_min_ns: HOLD_MIN.as_ns(),
            hold_max_ns: HOLD_MAX.as_ns(),
        })
    }

    pub(super) fn release(&mut self, nonce: Nonce, peer: &Peer) -> Result<Reply, String> {
        let now = MonoNs::from_ns(monotonic_ns());
        let pressed = match self.press.release(nonce.0, peer.uid, now) {
            Ok(pressed) => pressed,
            Err((refusal, spent)) => {
                let who = spent.as_ref().map_or("", |pressed| &pressed.who).to_owned();
                if let Some(pressed) = spent {
                    self.take_back(&pressed)?;
                }
                let against = Against::new("all", refusal.cause(), refusal.help());
                return Ok(self.refuse_reset(against, &who, peer));
            }
        };
        // All of them or none, as far as that can be seen before.
        if let Err(against) = self.standing()? {
            self.take_back(&pressed)?;
            return Ok(self.refuse_reset(against, &pressed.who, peer));
        }
        let mut refused = None;
        for lane in pressed.lanes {
            let act = Act::Release {
                nonce: pressed.nonce,
            };
            refused = self.reset_lane(lane, act)?.or(refused);
        }
        if let Some(against) = refused {
            return Ok(self.refuse_reset(against, &pressed.who, peer));
        }
        self.record(EventBody::Reset {
            by: Some(peer.actor(&pressed.who)),
        });
        Ok(Reply::Done {})
    }

    /// Has a lane press or release. What stands against it, if anything does.
    fn reset_lane(&mut self, lane: usize, act: Act) -> Result<Option<Against>, String> {
        let Acted::Reset(Err(refusal)) = self.act_on(lane, act)? else {
            return Ok(None);
        };
        Ok(self.plan.lanes.get(lane).map(|plan| {
            let cause = report::refusal_cause(plan, refusal);
            Against::new(&plan.name, &cause, report::refusal_help(refusal))
        }))
    }

    fn take_back(&mut self, pressed: &Pressed) -> Result<(), String> {
        let nonce = pressed.nonce;
        for lane in &pressed.lanes {
            self.act_on(*lane, Act::TakeBack { nonce })?;
        }
        Ok(())
    }

    /// The lanes that a reset is for, or what stands against it: of all lanes, or of none.
    fn standing(&mut self) -> Result<Result<Vec<usize>, Against>, String> {
        if let Some((cause, help)) = self.watchdog_refusal() {
            return Ok(Err(Against::new("all", &cause, help)));
        }
        self.snapshots(false)?;
        let refusals: Vec<_> = self
            .lanes()
            .map(|(plan, _, snapshot, _)| (plan, snapshot.refusal))
            .collect();
        let nothing = Some(ResetRefusal::NothingLatched);
        let latched = refusals.iter().enumerate();
        let latched = latched.filter(|(_, (_, refusal))| *refusal != nothing);
        let lanes: Vec<usize> = latched.map(|(lane, _)| lane).collect();
        let mut standing = refusals
            .iter()
            .filter_map(|(plan, refusal)| Some((plan, (*refusal)?)))
            .filter(|(_, refusal)| lanes.is_empty() || Some(*refusal) != nothing);
        let against = standing.next().map(|(plan, refusal)| {
            let cause = report::refusal_cause(plan, refusal);
            Against::new(&plan.name, &cause, report::refusal_help(refusal))
        });
        self.give_back();
        Ok(against.map_or(Ok(lanes), Err))
    }

    /// Says no, and keeps that somebody tried (I14).
    fn refuse_reset(&mut self, against: Against, who: &str, peer: &Peer) -> Reply {
        let body = EventBody::ResetRefused {
            cause: against.cause.clone(),
            by: Some(peer.actor(who)),
        };
        self.refuse(against, body)
    }
}

/// 64 bits from the operating system's random source.
fn nonce() -> Option<u64> {
    let mut bytes = [0_u8; 8];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).ok()?;
    (filled == bytes.len()).then(|| u64::from_ne_bytes(bytes))
}
