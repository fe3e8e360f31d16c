//! Analyzers: loaded from the bundle before anything runs, called on the lane or on a thread of their own, kept supplied with
//! spares, tried with canaries.
//!
//! ```text
//!              lane-NAME                      background-NAME            analyzers                  epoch
//!  Seats: class safety, in the tick ── job ─▶ class background      spares, retired instances,   a tick of all
//!        ▲                           ◀─ block ─┘     │              canaries in shadow           deadlines each
//!        └───────── frames of samples ───────────────┘              instances                    200 us
//! ```
//!
//! Which thread: each file says. Hazards: H-35, H-36 (fuel, and the epoch that does not depend on it), H-38 (spares), H-39,
//! H-40 (canaries), H-41 (comparisons), H-45 (nothing is imported: there is no host function to be slow).

mod background;
mod canary;
mod figures;
mod load;
mod price;
mod replay;
mod seats;
mod service;
mod ticker;

pub(crate) use background::{Background, BackgroundView};
pub(crate) use canary::{CanaryNews, CanaryWatch};
pub(crate) use figures::Figures;
pub(crate) use load::{Around, Bundled, load};
pub(crate) use price::Price;
pub(crate) use replay::ReplayWatch;
pub(crate) use seats::Seats;
pub(crate) use service::Service;
pub(crate) use ticker::start as start_ticker;
