//! The state machines of subscriber and publisher over one shared base, the [`Link`]. No sockets; time is an argument.
//!
//! Which thread: acquisition (subscriber), desk (publisher). May it block: no. Worst case: one packet.
//! Hazards: H-17, H-18, H-22, H-23, H-76, H-77.
//!
//! A shell (see [`crate::transport`]) connects, receives, sends, and calls:
//!
//! ```text
//! link.connect_due(now) -> link.begin(now) -> (TCP, TLS) -> link.established(now)
//! bytes received  -> session.handle(raw, at) -> Handled
//! session.tick(now)          whenever link.deadline() has come and nothing more can be received
//! link.output() -> link.wrote(now, ..)
//! Handled         -> subscriber.hand_over(handled, reader, sink)
//! any error       -> link.fail(now, error), close the socket
//! ```

mod backoff;
mod link;
mod output;
mod publisher;
mod subscriber;
mod wave;

pub use backoff::Backoff;
pub use link::{Link, LinkState, Wrote};
pub use publisher::{PacketToken, PublishError, PublisherSession};
pub use subscriber::SubscriberSession;

use crate::codec::Raw;
use crate::counters::LinkError;
use drivers_frame::MonoNs;

/// What a packet led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Nothing that matters outside.
    Nothing,
    /// The link is up now.
    Up,
    /// A frame is ready: [`SubscriberSession::samples`], or [`SubscriberSession::hand_over`].
    Frame,
    /// A waveform's block is ready, or bad: [`SubscriberSession::hand_over`].
    Block,
    /// A publish was acknowledged by its own PUBACK.
    Delivered(PacketToken),
}

/// What the shared shell needs of a session.
pub trait Session {
    /// The base.
    fn link(&self) -> &Link;
    /// The base.
    fn link_mut(&mut self) -> &mut Link;
    /// One packet, received whole at `at`.
    ///
    /// # Errors
    /// [`LinkError`]: the link is over; the shell closes the socket and calls [`Link::fail`].
    fn handle(&mut self, raw: Raw<'_>, at: MonoNs) -> Result<Handled, LinkError>;
    /// Queues what is due at `now`, and checks deadlines. Call only after the socket had nothing more to read, so that
    /// an answer that has arrived is never called overdue.
    ///
    /// # Errors
    /// [`LinkError`] as for [`Session::handle`].
    fn tick(&mut self, now: MonoNs) -> Result<(), LinkError>;
    /// When [`Session::tick`] must be called next.
    fn deadline(&self) -> MonoNs;
}

#[cfg(test)]
mod tests;
