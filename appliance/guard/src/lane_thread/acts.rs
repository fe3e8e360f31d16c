//! What people do to a lane, as the lane does it.

use super::{Runner, now};
use crate::message::{Act, Acted};

impl Runner {
    pub(super) fn act(&mut self, act: Act) -> Acted {
        let at = now();
        match act {
            Act::Press { nonce } => Acted::Reset(self.lane.press_reset(nonce, at)),
            Act::Release { nonce } => Acted::Reset(self.lane.release_reset(nonce, at)),
            Act::TakeBack { nonce } => Acted::Was(self.lane.take_back_reset(nonce)),
            Act::Acknowledge(tag) => Acted::Acknowledged(self.lane.acknowledge(tag)),
            Act::Bypass { point, lasting } => Acted::Bypass(self.lane.bypass(point, lasting, at)),
            Act::EndBypass(point) => Acted::Was(self.lane.end_bypass(point, at)),
            Act::Lift(hold) => Acted::Was(self.lane.lift(hold, at)),
        }
    }
}
