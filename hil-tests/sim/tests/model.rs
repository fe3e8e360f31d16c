//! Every order of what can happen to a latch, its reset, its bypasses and its votes: explored, not drawn.
//!
//! The reset's state machine, the button's, the bypasses and the vote are the lane's own code. What the model adds is the
//! lane's order of calls (`appliance/lane/src/lane/operate.rs`) and a ghost that remembers what should be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use appliance_lane::Point;
use appliance_lane::bypass::Bypasses;
use appliance_lane::reset::{Button, Edge, Hand, Reset, ResetState};
use appliance_lane::vote::{Ballot, ChannelVote, vote};
use drivers_frame::{DurNs, MonoNs};
use rt_config::limits::{RESET_HOLD_MAX_MS, RESET_HOLD_MIN_MS};
use rules_bundle::OnBad;
use stateright::{Checker, Model, Property};

/// States to generate, and how many different ones there must be among them: over a million in a release build, as many
/// as a debug build does in a few seconds otherwise.
const BOUND: (usize, usize) = if cfg!(debug_assertions) {
    (200_000, 20_000)
} else {
    (12_000_000, 1_000_000)
};
/// Longer than this, in virtual milliseconds, no run is followed.
const HORIZON_MS: u64 = 12_000;
/// The longest bypass.
const BYPASS: DurNs = DurNs::from_ms(2_000);
const CHANNELS: usize = 3;

/// A 2oo3 voting, one trip group, one output, one reset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now_ms: u64,
    reset: Reset,
    button: Button,
    bypasses: Bypasses,
    votes: [ChannelVote; CHANNELS],
    latched: bool,
    proved: bool,
    held: bool,
    ghost: Ghost,
}

/// What should be, in the model's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Ghost {
    /// The press that counts: whose, when, and that nothing stood against it since.
    press: Option<(Option<u64>, u64)>,
    /// Nonces that released something.
    used: [bool; 2],
    /// A release without right.
    wrong_release: bool,
    /// A nonce released twice.
    replayed: bool,
    /// Something else than a release opened the latch.
    opened: bool,
    released: bool,
    bypassed_demand: bool,
    stuck: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Vote(usize, ChannelVote),
    Press(u64),
    Release(u64),
    Button(Option<bool>),
    Wait(u64),
    Restart,
    Bypass(usize),
    EndBypass(usize),
    Trip,
    Hold,
    Lift,
    Proof(bool),
}

struct Lane;

impl State {
    fn boot(now_ms: u64, votes: [ChannelVote; CHANNELS]) -> Self {
        Self {
            now_ms,
            reset: Reset::new(),
            button: Button::default(),
            bypasses: Bypasses::new(),
            votes,
            latched: true,
            proved: false,
            held: false,
            ghost: Ghost::default(),
        }
    }

    fn now(&self) -> MonoNs {
        MonoNs::from_ns(self.now_ms * 1_000_000)
    }

    fn point(channel: usize) -> Point {
        Point::Channel {
            voting: 0,
            channel: channel as u8,
        }
    }

    fn counted(&self) -> [ChannelVote; CHANNELS] {
        std::array::from_fn(|channel| {
            if self.bypasses.covers(Self::point(channel)) {
                ChannelVote::Bypassed
            } else {
                self.votes[channel]
            }
        })
    }

    fn demand(&self) -> bool {
        vote(2, OnBad::Trip, &self.counted()) != Ballot::Normal
    }

    fn standing(&self) -> bool {
        let bad = self.counted().contains(&ChannelVote::Bad);
        self.held || self.demand() || bad || !self.proved || !self.latched
    }

    fn latch(&mut self) {
        self.reset.demand();
        if !self.latched {
            self.proved = false;
        }
        self.latched = true;
        self.ghost.press = None;
    }

    fn press(&mut self, hand: Hand) {
        let standing = self.standing();
        self.reset.standing(standing);
        let nonce = match hand {
            Hand::Request { nonce } => Some(nonce),
            Hand::Button => None,
        };
        if !standing && self.reset.press(hand, self.now()) {
            self.ghost.press = Some((nonce, self.now_ms));
        }
    }

    fn release(&mut self, hand: Hand) {
        let standing = self.standing();
        self.reset.standing(standing);
        if self.reset.release(hand, self.now()).is_err() {
            self.ghost.press = None;
            return;
        }
        let nonce = match hand {
            Hand::Request { nonce } => Some(nonce),
            Hand::Button => None,
        };
        let right = self.ghost.press.take().is_some_and(|(by, at)| {
            by == nonce && (RESET_HOLD_MIN_MS..=RESET_HOLD_MAX_MS).contains(&(self.now_ms - at))
        });
        self.ghost.wrong_release |= !right || standing;
        if let Some(used) = nonce.and_then(|nonce| self.ghost.used.get_mut(nonce as usize)) {
            self.ghost.replayed |= *used && !right;
            *used = true;
        }
        self.ghost.released = true;
        self.latched = false;
    }

    /// What every tick of the lane does with what changed.
    fn tick(&mut self) {
        while self.bypasses.take_expired(self.now()).is_some() {}
        if self.demand() {
            let bypassed = self.bypasses.iter().next().is_some();
            self.ghost.bypassed_demand |= bypassed;
            self.latch();
        }
        if self.reset.state() != Some(ResetState::Released) {
            let standing = self.standing();
            self.reset.standing(standing);
            if standing {
                self.ghost.press = None;
            }
        }
        if self.reset.expire(self.now()) {
            self.ghost.stuck = true;
            self.ghost.press = None;
        }
    }
}

impl Model for Lane {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::boot(0, [ChannelVote::Ok; CHANNELS])]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for channel in 0..CHANNELS {
            for vote in [ChannelVote::Ok, ChannelVote::Trip, ChannelVote::Bad] {
                if state.votes[channel] != vote {
                    actions.push(Action::Vote(channel, vote));
                }
            }
            actions.push(if state.bypasses.covers(State::point(channel)) {
                Action::EndBypass(channel)
            } else {
                Action::Bypass(channel)
            });
        }
        for nonce in 0..2 {
            actions.push(Action::Press(nonce));
            actions.push(Action::Release(nonce));
        }
        actions.extend([None, Some(false), Some(true)].map(Action::Button));
        actions.extend([99, 1_000, 4_901].map(Action::Wait));
        actions.extend([Action::Restart, Action::Trip]);
        actions.push(if state.held {
            Action::Lift
        } else {
            Action::Hold
        });
        actions.push(Action::Proof(!state.proved));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let by_release = matches!(action, Action::Release(_) | Action::Button(Some(false)));
        match action {
            Action::Vote(channel, vote) => state.votes[channel] = vote,
            Action::Press(nonce) => state.press(Hand::Request { nonce }),
            Action::Release(nonce) => state.release(Hand::Request { nonce }),
            Action::Button(down) => match state.button.see(down) {
                Some(Edge::Press) => state.press(Hand::Button),
                Some(Edge::Release) => state.release(Hand::Button),
                Some(Edge::Lost) => {
                    state.reset.cancel(Hand::Button);
                    if state.ghost.press.is_some_and(|(by, _)| by.is_none()) {
                        state.ghost.press = None;
                    }
                }
                None => {}
            },
            Action::Wait(ms) => state.now_ms += ms,
            Action::Restart => {
                state = State {
                    ghost: Ghost {
                        press: None,
                        ..state.ghost
                    },
                    ..State::boot(state.now_ms, state.votes)
                };
            }
            Action::Bypass(channel) => {
                // Refused when another channel of the voting is bypassed.
                let now = state.now();
                let _ = state
                    .bypasses
                    .begin(State::point(channel), BYPASS, Some(BYPASS), now);
            }
            Action::EndBypass(channel) => {
                state.bypasses.end(State::point(channel));
            }
            Action::Trip => state.latch(),
            Action::Hold => {
                state.held = true;
                state.latch();
            }
            Action::Lift => state.held = false,
            Action::Proof(on) => state.proved = on && state.latched,
        }
        state.tick();
        state.ghost.opened |= last.latched && !state.latched && !by_release;
        (state != *last).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.now_ms <= HORIZON_MS
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "I2: what demands a stop is latched, and so is what is not released",
                |_, state: &State| {
                    let released = state.reset.state() == Some(ResetState::Released);
                    (!state.demand() || state.latched) && state.latched != released
                },
            ),
            Property::always(
                "I3: only the release of an undisturbed press of the same hand releases, and nothing stands",
                |_, state: &State| !state.ghost.wrong_release,
            ),
            Property::always(
                "H-53: nothing but a release opens the latch",
                |_, state: &State| !state.ghost.opened,
            ),
            Property::always(
                "H-54: a nonce that was used releases nothing by itself",
                |_, state: &State| !state.ghost.replayed,
            ),
            Property::always("H-55: no bypass outlives its time", |_, state: &State| {
                state.bypasses.iter().all(|(_, until)| state.now() < until)
            }),
            Property::always(
                "H-56: one channel of a voting is bypassed at most",
                |_, state: &State| state.bypasses.iter().count() <= 1,
            ),
            Property::always(
                "H-56: a voting never loses all its votes",
                |_, state: &State| vote(2, OnBad::Trip, &state.counted()) != Ballot::OutOfService,
            ),
            Property::always("I9: a start is latched", |_, state: &State| {
                state.now_ms > 0 || state.latched
            }),
            Property::sometimes("a reset releases", |_, state: &State| state.ghost.released),
            Property::sometimes("a demand comes past a bypass", |_, state: &State| {
                state.ghost.bypassed_demand
            }),
            Property::sometimes("a stuck press is taken back", |_, state: &State| {
                state.ghost.stuck
            }),
        ]
    }
}

#[test]
fn i2_i3_i9_h53_h54_h55_h56_hold_in_every_order_of_events() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = Lane
        .checker()
        .threads(threads)
        .target_state_count(BOUND.0)
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    println!("{states} states");
    for property in Lane.properties() {
        let found = checker.discovery(property.name);
        match property.expectation {
            stateright::Expectation::Sometimes => {
                assert!(found.is_some(), "never reached: {}", property.name);
            }
            _ => assert!(
                found.is_none(),
                "{}: {:?}",
                property.name,
                found.map(|path| path.into_actions())
            ),
        }
    }
    assert!(states >= BOUND.1, "{states} states are too few");
}
