//! What people do to a lane, and what it answers.

use appliance_lane::{BypassRefusal, Hold, Point, ResetRefusal};
use drivers_frame::{DurNs, TagId};

/// What a lane is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Press the reset.
    Press {
        nonce: u64,
    },
    /// Release it, and the latches with it.
    Release {
        nonce: u64,
    },
    /// Take a press back.
    TakeBack {
        nonce: u64,
    },
    Acknowledge(Option<TagId>),
    Bypass {
        point: Point,
        lasting: DurNs,
    },
    EndBypass(Point),
    Lift(Hold),
}

/// What it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Acted {
    /// To a press or a release.
    Reset(Result<(), ResetRefusal>),
    /// How many channels waited.
    Acknowledged(u16),
    Bypass(Result<(), BypassRefusal>),
    /// Whether there was something to end, to lift or to take back.
    Was(bool),
}
