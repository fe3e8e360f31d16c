//! Tags and windows: what rules read, and what makes a value believable.

use drivers_frame::{DeviceId, DurNs, TagId};
use rules_expr::WindowFunction;
use serde::{Deserialize, Serialize};

/// A tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagPlan {
    /// The tag's id.
    pub name: String,
    /// Unit of its value, for people; conversions were done when the bundle was built.
    pub unit: String,
    /// Where it comes from.
    pub device: DeviceId,
    /// Age at which it is stale.
    pub stale_after: DurNs,
    /// What a value must pass besides its range.
    pub checks: InputChecks,
    /// How the channel comes back after it was bad.
    pub reintegration: Reintegration,
}

/// Checks of a channel over time. Range and NE 43 bands are in its codec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputChecks {
    /// Fastest change that is physically possible.
    pub rate: Option<RateCheck>,
    /// Quietest that a living sensor can be.
    pub frozen: Option<FrozenCheck>,
}

/// A value that changes faster than its quantity can is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateCheck {
    /// Fastest change, in the tag's unit a second; positive.
    pub per_second: f64,
    /// Implausible samples in a row that are dropped (the last believed value ages on); one more makes the channel bad.
    pub tolerated: u8,
}

/// A value that does not move at all is a dead sensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrozenCheck {
    /// Span from lowest to highest, in the tag's unit, that a living sensor exceeds; 0 for any change at all.
    pub noise: f64,
    /// Time without such a change after which the channel is bad.
    pub lasting: DurNs,
}

/// How a channel that was bad becomes good again (PROFIsafe: passivation and reintegration).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reintegration {
    /// By itself, once it was good for this long without a break; zero is at once.
    After(DurNs),
    /// When a person acknowledged it and it is good.
    Acknowledge,
}

/// A window over a tag: the samples of the last `span` before its newest one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowPlan {
    /// Function.
    pub function: WindowFunction,
    /// Tag.
    pub tag: TagId,
    /// Length.
    pub span: DurNs,
    /// Samples to reserve: span over the shortest time between two samples, with a reserve.
    pub capacity: u32,
}
