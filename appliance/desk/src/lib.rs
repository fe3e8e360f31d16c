//! The process for people: supervises the guard, publishes MQTT alerts, speaks to the control socket.
//!
//! | module | what |
//! |---|---|
//! | [`supervise`] | starts or adopts the guard, restarts it, stops it in order |
//! | [`relay`] | follows the guard's events and turns them into alerts and notices |
//! | [`broker`] | from the pack's broker to a publisher with a last will |
//! | [`message`] | the JSON of an alert; `docs/alerts.md` is its reference |
//! | [`outbox`] | what is published: alerts in order, retained states newest-wins, what was dropped |
//! | [`repeats`] | keeps an output fault that repeats for hours from drowning everything else |
//! | [`notice`] | what a person at the terminal is told, and the words for it |
//! | [`wall_time`] | RFC 3339 |
//!
//! Which thread: its own threads in the process of `tripline run`; never a lane, never the guard. May it block: yes;
//! nothing a machine depends on waits for it. Worst case: none is promised. Hazards: H-52 and I9 (a restarted guard is
//! tripped, the desk never resets it), H-76 (outbox, last will, heartbeat), H-77 (bounded, lowest class dropped first,
//! counted, announced), H-78 (retained states carry a sequence number, and only the newest is sent after an outage),
//! H-83 (SIGTERM in order; a crash loop stays down).
#![forbid(unsafe_code)]

pub mod broker;
pub mod message;
pub mod notice;
pub mod outbox;
pub mod relay;
pub mod repeats;
pub mod signals;
pub mod supervise;

pub use appliance_control::wall_time;

/// Public wording for every page that shows a latency.
pub const NOTICE: &str =
    "machine protection and supervisory stop, not a certified safety component";

/// Limits of the desk, with the reason for each value.
pub mod limits {
    use rt_config::limits::{ALERT_OUTBOX_MAX, RULES_MAX};
    use std::time::Duration;

    /// Deaths of the guard within [`CRASH_WINDOW`] after which it stays down (H-83).
    pub const CRASHES_MAX: usize = 3;
    /// See [`CRASHES_MAX`].
    pub const CRASH_WINDOW: Duration = Duration::from_secs(60);
    /// First wait before a restart; doubled with each death in the window. Short: while the guard is down, machines stand.
    pub const RESTART_WAIT: Duration = Duration::from_millis(250);
    /// How long a guard may take from its start until its socket answers. It takes below a second with 10,000 rules.
    pub const READY_WITHIN: Duration = Duration::from_secs(30);
    /// How long a guard may take from SIGTERM to its end: it confirms every stop first.
    pub const STOP_WITHIN: Duration = Duration::from_secs(5);
    /// How often processes and flags are looked at.
    pub const LOOK_EVERY: Duration = Duration::from_millis(50);
    /// Wait between two attempts to reach a guard that does not answer.
    pub const GUARD_RETRY: Duration = Duration::from_millis(200);
    /// How often the guard's whole state is asked for. With 10,000 rules the answer has about 2 MB.
    pub const STATUS_EVERY: Duration = Duration::from_secs(2);
    /// How often the status topic is renewed although nothing changed (H-76): a reader takes three missed ones as silence.
    pub const HEARTBEAT: Duration = Duration::from_secs(10);
    /// Time for the broker to acknowledge a publish.
    pub const ACK_WITHIN_MS: u64 = 10_000;
    /// Alerts of danger and stops may fill the outbox; everything else leaves this much room for them (H-77). Every rule
    /// of the largest pack can still say danger once.
    pub const DANGER_RESERVE: usize = RULES_MAX + 6_384;
    /// Retained states are handed to the publisher only while fewer messages than this wait: after an outage readers get
    /// the newest state and not the history of states (H-78).
    pub const STATES_WHILE_BELOW: usize = 64;
    /// Notices that wait for the terminal. A terminal that is stopped (Ctrl-S) must not stop alerts.
    pub const NOTICES_MAX: usize = 16_384;

    const _: () = assert!(
        DANGER_RESERVE < ALERT_OUTBOX_MAX / 2,
        "alerts need room too"
    );
    const _: () = assert!(DANGER_RESERVE > RULES_MAX);
    const _: () = assert!(STATES_WHILE_BELOW < ALERT_OUTBOX_MAX - DANGER_RESERVE);
    const _: () = assert!(LOOK_EVERY.as_millis() < STOP_WITHIN.as_millis());
}
