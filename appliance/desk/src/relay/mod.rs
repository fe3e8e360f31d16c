//! Follows the guard's events and turns them into alerts and notices.
//!
//! ```text
//! guard ──events──▶ [desk-relay] ──outbox──▶ [mqtt-publisher] ──▶ broker
//!       ──status──▶ [desk-status] ─┘   └─notices─▶ the terminal
//! ```
//!
//! The relay resumes after the last event it saw, and says how many the guard no longer kept. After a restart of the
//! guard (another process) it begins anew. The status, asked for every few seconds, gives rules that never changed a
//! state topic too and mends whatever a lost event left wrong.
//!
//! Which thread: two of its own. May it block: on the control socket, with timeouts; never on the broker or the terminal.

mod states;

use std::cmp::Ordering as CmpOrdering;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use appliance_control::{Client, ClientError, Event, EventStream, Reply, Request, Status};
use drivers_mqtt::{LinkChange, LinkError, Publisher, PublisherConfig};

use crate::limits::{GUARD_RETRY, HEARTBEAT, LOOK_EVERY, STATUS_EVERY};
use crate::message::{AlertCounts, GatewayStatus, PackFacts, Retained, Shelving, json, offline};
use crate::notice::{Notice, Notices};
use crate::outbox::Outbox;
use crate::repeats::Repeats;
use crate::wall_time;

/// What a relay needs.
pub struct RelayConfig {
    /// The guard's control socket.
    pub socket: PathBuf,
    /// The pack that runs.
    pub facts: PackFacts,
    /// Where alerts go; `None` when the pack sends none.
    pub publisher: Option<PublisherConfig>,
    /// Where notices go.
    pub notices: Notices,
}

/// Why no relay was started.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The broker's settings or certificates cannot be used.
    #[error("alerts: broker settings: {0}")]
    Publisher(drivers_mqtt::ConfigError),
    /// The operating system gave no thread.
    #[error("no thread for the desk: {0}. Check the limits on threads (ulimit -u)")]
    Thread(#[from] io::Error),
}

/// A running relay.
pub struct Relay {
    stop: Arc<AtomicBool>,
    relay: Option<JoinHandle<Farewell>>,
    status: Option<JoinHandle<()>>,
}

/// What a relay left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Farewell {
    /// How the alerts did.
    pub counts: AlertCounts,
    /// Messages that the broker has not acknowledged. They are lost now.
    pub undelivered: usize,
}

/// How long a relay that is stopped waits for the broker.
const FAREWELL: Duration = Duration::from_secs(3);

impl Relay {
    /// Starts it. The guard need not run yet.
    ///
    /// # Errors
    /// [`RelayError::Publisher`], [`RelayError::Thread`].
    pub fn start(config: RelayConfig) -> Result<Self, RelayError> {
        let publisher = config.publisher.as_ref().map(Publisher::start).transpose();
        let outbox = publisher.map_err(RelayError::Publisher)?.map(Outbox::new);
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, polled) = sync_channel(1);
        let poller = Poller {
            socket: config.socket.clone(),
            stop: Arc::clone(&stop),
            sender,
        };
        let status = std::thread::Builder::new()
            .name("desk-status".into())
            .spawn(move || poller.run())?;
        let mut worker = Worker::new(config, outbox, Arc::clone(&stop), polled);
        let relay = std::thread::Builder::new()
            .name("desk-relay".into())
            .spawn(move || {
                worker.run();
                worker.leave()
            })?;
        Ok(Self {
            stop,
            relay: Some(relay),
            status: Some(status),
        })
    }

    /// Relays what the guard has said so far, says goodbye to the broker and waits a few seconds for it to acknowledge.
    #[must_use]
    pub fn stop(mut self) -> Farewell {
        self.end()
    }

    fn end(&mut self) -> Farewell {
        self.stop.store(true, Ordering::Release);
        let farewell = self.relay.take().and_then(|thread| thread.join().ok());
        if let Some(thread) = self.status.take() {
            // A panic of the thread has been reported by the panic hook.
            let _ = thread.join();
        }
        farewell.unwrap_or_default()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks the guard for its status. On a thread of its own, so that a slow answer holds up no alert.
struct Poller {
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    sender: SyncSender<Status>,
}

impl Poller {
    fn run(&self) {
        let mut client = None;
        while !self.stop.load(Ordering::Acquire) {
            let answer = match client.take() {
                Some(client) => ask_status(client),
                None => Client::connect(&self.socket).and_then(ask_status),
            };
            if let Ok((kept, status)) = answer {
                client = Some(kept);
                // Full: the relay has not taken the last one yet, and the next one is newer.
                let _ = self.sender.try_send(status);
            }
            let next = Instant::now() + STATUS_EVERY;
            while Instant::now() < next && !self.stop.load(Ordering::Acquire) {
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }
}

fn ask_status(mut client: Client) -> Result<(Client, Status), ClientError> {
    match client.ask(&Request::Status {})? {
        Reply::Status(status) => Ok((client, *status)),
        _ => Err(ClientError::Unexpected),
    }
}

struct Worker {
    config: RelayConfig,
    outbox: Option<Outbox<Publisher>>,
    stop: Arc<AtomicBool>,
    polled: Receiver<Status>,
    /// A status that is waiting for the events before it, see [`Worker::take_status`].
    ahead: Option<Status>,
    stream: Option<EventStream>,
    retry_at: Instant,
    /// The guard whose events were seen, and the last of them.
    pid: u32,
    seen: u64,
    states: HashMap<String, Retained>,
    /// Shelved rules: their alerts are not told, their states are.
    shelf: HashMap<String, Shelving>,
    /// What the status topic should say, and what it says.
    gateway: GatewayStatus,
    beaten: Option<GatewayStatus>,
    beat_at: Instant,
    faults: Repeats,
    told: Told,
}

/// What was told already, so that it is told once.
#[derive(Default)]
struct Told {
    guard_up: bool,
    other_bundle: Option<String>,
    broker: Option<LinkError>,
    dropped: u64,
}

impl Worker {
    fn new(
        config: RelayConfig,
        outbox: Option<Outbox<Publisher>>,
        stop: Arc<AtomicBool>,
        polled: Receiver<Status>,
    ) -> Self {
        let facts = &config.facts;
        let gateway = GatewayStatus {
            online: true,
            pack: facts.name().to_owned(),
            version: facts.version().to_owned(),
            bundle: facts.bundle().to_owned(),
            guard: "down".to_owned(),
            silent_after_s: 3 * HEARTBEAT.as_secs(),
            ..GatewayStatus::default()
        };
        let now = Instant::now();
        Self {
            config,
            outbox,
            stop,
            polled,
            ahead: None,
            stream: None,
            retry_at: now,
            pid: 0,
            seen: 0,
            states: HashMap::new(),
            shelf: HashMap::new(),
            gateway,
            beaten: None,
            beat_at: now,
            faults: Repeats::default(),
            told: Told::default(),
        }
    }

    fn run(&mut self) {
        while !self.stop.load(Ordering::Acquire) {
            self.step(LOOK_EVERY);
        }
        // What the guard said before it went is in the socket's buffer.
        while self.stream.is_some() && self.event(LOOK_EVERY) {}
    }

    fn step(&mut self, wait: Duration) {
        if self.stream.is_some() {
            self.event(wait);
        } else if Instant::now() >= self.retry_at {
            self.reach_guard();
        } else {
            std::thread::sleep(wait);
        }
        self.take_status();
        self.beat();
        self.turn_outbox();
    }

    /// Connects, and resumes after the last event seen.
    fn reach_guard(&mut self) {
        let reached = Client::connect(&self.config.socket).and_then(ask_status);
        let Ok((client, status)) = reached else {
            self.guard_gone();
            return;
        };
        if !self.is_ours(&status) {
            self.guard_gone();
            return;
        }
        if status.pid != self.pid {
            self.pid = status.pid;
            self.seen = 0;
        }
        let Ok((stream, lost)) = client.events(self.seen) else {
            self.guard_gone();
            return;
        };
        self.told.guard_up = true;
        self.config
            .notices
            .tell(Notice::GuardUp { pid: status.pid });
        if lost > 0 {
            self.config.notices.tell(Notice::EventsLost(lost));
            if let Some(outbox) = &mut self.outbox {
                outbox.lost(lost);
            }
            self.seen = self.seen.saturating_add(lost);
        }
        self.stream = Some(stream);
        self.gateway.guard = "up".to_owned();
        self.ahead = Some(status);
    }

    fn is_ours(&mut self, status: &Status) -> bool {
        if status.bundle == self.config.facts.bundle() {
            self.told.other_bundle = None;
            return true;
        }
        if self.told.other_bundle.as_ref() != Some(&status.bundle) {
            self.told.other_bundle = Some(status.bundle.clone());
            self.config.notices.tell(Notice::OtherBundle {
                pack: status.pack.clone(),
                bundle: status.bundle.clone(),
            });
        }
        false
    }

    fn guard_gone(&mut self) {
        self.stream = None;
        self.retry_at = Instant::now() + GUARD_RETRY;
        if self.told.guard_up {
            self.told.guard_up = false;
            self.config.notices.tell(Notice::GuardDown);
        }
        self.gateway.guard = "down".to_owned();
        self.gateway.state = None;
        self.gateway.reasons.clear();
        self.gateway.shelved.clear();
        self.gateway.sentinel = None;
        self.gateway.reset_refusal = None;
        self.gateway.guard_pid = None;
    }

    /// Waits for one event. False when none came.
    fn event(&mut self, wait: Duration) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        match stream.next(wait) {
            Ok(Some(event)) => {
                // One that came while this event was waited for: where events come fast it would always be the older one.
                self.take_status();
                self.take_event(event);
                true
            }
            Ok(None) => false,
            Err(_) => {
                self.guard_gone();
                false
            }
        }
    }

    fn take_event(&mut self, event: Event) {
        // The guard numbers without gaps; a gap is a loss that nobody announced.
        let gap = event.seq.saturating_sub(self.seen.saturating_add(1));
        if self.seen > 0 && gap > 0 {
            self.config.notices.tell(Notice::EventsLost(gap));
            if let Some(outbox) = &mut self.outbox {
                outbox.lost(gap);
            }
        }
        self.seen = event.seq;
        self.take_shelving(&event);
        if let Some(state) = self.config.facts.state_of_event(&event) {
            self.take_state(state);
        }
        if self.is_silenced(&event.body) {
            if let Some(outbox) = &mut self.outbox {
                outbox.withheld();
            }
            return;
        }
        let repeats = self.faults.admit(&event.body, Instant::now());
        if let (Some(outbox), Some(repeats)) = (&mut self.outbox, repeats) {
            outbox.alert(&self.config.facts.message(&event, self.pid, repeats));
        }
        self.config.notices.tell(Notice::Event(Box::new(event)));
    }

    /// Applies a status when exactly the events are seen that the guard had when it was asked: a newer one would put its
    /// shelf under alerts from before, and an older one says nothing new.
    fn take_status(&mut self) {
        let waiting = self.ahead.take().or_else(|| self.polled.try_recv().ok());
        let Some(status) = waiting.filter(|status| status.pid == self.pid) else {
            return;
        };
        match status.events.cmp(&self.seen) {
            CmpOrdering::Less => {}
            CmpOrdering::Equal => self.apply_status(&status),
            CmpOrdering::Greater => self.ahead = Some(status),
        }
    }

    /// Renews the status topic: when something in it changed, and as a heartbeat.
    fn beat(&mut self) {
        let Some(outbox) = &mut self.outbox else {
            return;
        };
        let counts = outbox.counts();
        let last = self.gateway.alerts;
        // How many wait and were delivered changes all the time: the heartbeat tells those.
        let told = (last.dropped, last.events_lost, last.connects);
        let now = Instant::now();
        let changed = self.beaten.as_ref() != Some(&self.gateway)
            || (counts.dropped, counts.events_lost, counts.connects) != told;
        if now < self.beat_at && !changed {
            return;
        }
        self.gateway.alerts = counts;
        self.gateway.time = wall_time::rfc3339(wall_time::now_ns());
        outbox.state(self.config.facts.status_topic(), json(&self.gateway));
        self.beaten = Some(self.gateway.clone());
        self.beat_at = now + HEARTBEAT;
    }

    fn turn_outbox(&mut self) {
        let Some(outbox) = &mut self.outbox else {
            return;
        };
        let change = outbox.turn();
        let dropped = outbox.counts().dropped;
        if let Some(change) = change {
            self.tell_broker(change);
        }
        // Told once a full outbox, not once an alert: the next time when it has doubled.
        if dropped > self.told.dropped.saturating_mul(2) {
            self.told.dropped = dropped;
            self.config.notices.tell(Notice::AlertsDropped(dropped));
        }
    }

    /// An attempt that fails for the same reason as the one before is not told again.
    fn tell_broker(&mut self, change: LinkChange) {
        let news = match change {
            LinkChange::Up => {
                self.told.broker = None;
                true
            }
            LinkChange::Down(error) | LinkChange::AttemptFailed(error) => {
                self.told.broker.replace(error) != Some(error)
            }
        };
        if news {
            self.config.notices.tell(Notice::Broker(change));
        }
    }

    /// Says goodbye in order, so that readers can tell this from a lost connection.
    fn leave(mut self) -> Farewell {
        let Some(mut outbox) = self.outbox.take() else {
            return Farewell::default();
        };
        let deadline = Instant::now() + FAREWELL;
        while outbox.has_states() && outbox.is_connected() && Instant::now() < deadline {
            outbox.turn();
            std::thread::sleep(Duration::from_millis(5));
        }
        let facts = &self.config.facts;
        let now = wall_time::rfc3339(wall_time::now_ns());
        let goodbye = offline(facts, "stopped in order", Some(now));
        let mut counts = outbox.counts();
        let connected = outbox.is_connected();
        let publisher = outbox.farewell(&facts.status_topic(), &goodbye);
        // Without a broker there is nothing to wait for: a Ctrl-C must not take seconds.
        let left = if connected {
            deadline.saturating_duration_since(Instant::now())
        } else {
            Duration::ZERO
        };
        publisher.flush(left);
        counts.delivered = publisher.counters().delivered;
        counts.waiting = publisher.waiting();
        let undelivered = publisher.shutdown(Duration::ZERO);
        Farewell {
            counts,
            undelivered,
        }
    }
}
