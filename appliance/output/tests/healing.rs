//! Whatever answers come, are lost, late or wrong, whoever else writes, whatever is commanded: no run value is sent while
//! the permit is withheld or the device's watchdog is not proved (I2, H-64); nothing is confirmed that the device does
//! not hold (H-58); and once the device is well again, the safe value is proved, and then the run value (H-57).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::collections::VecDeque;

use appliance_output::{Confirmed, Machine, OutputEvent, Permit};
use common::{Device, PLACE, plan, safe_word, targets};
use drivers_frame::MonoNs;
use drivers_modbus::codec::REQUEST_BYTES;
use proptest::prelude::*;
use rules_bundle::{OutputPlan, OutputTarget};

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Time passes, in milliseconds.
    Wait(u8),
    /// The oldest request reaches the device, and its answer comes back.
    Answer,
    /// It reaches the device; the answer does not come back.
    LoseAnswer,
    /// One byte of the answer is another.
    Spoil(u8, u8),
    /// The connection ends.
    Cut,
    Grant,
    Withhold,
    /// Another master writes.
    Foreign(bool),
    PowerCycle,
    Lie(bool),
    Refuse(bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0..60_u8).prop_map(Op::Wait),
        12 => Just(Op::Answer),
        1 => Just(Op::LoseAnswer),
        1 => (0..12_u8, 1..=255_u8).prop_map(|(at, flip)| Op::Spoil(at, flip)),
        1 => Just(Op::Cut),
        2 => Just(Op::Grant),
        2 => Just(Op::Withhold),
        1 => any::<bool>().prop_map(Op::Foreign),
        1 => Just(Op::PowerCycle),
        1 => any::<bool>().prop_map(Op::Lie),
        1 => any::<bool>().prop_map(Op::Refuse),
    ];
    prop::collection::vec(op, 1..120)
}

struct World {
    plan: OutputPlan,
    machine: Machine,
    device: Device,
    now_ms: u64,
    /// Sent and not yet taken by the device.
    wire: VecDeque<[u8; REQUEST_BYTES]>,
    runs_seen: u64,
    last_run: Option<u16>,
    events: Vec<OutputEvent>,
}

impl World {
    fn new(plan: OutputPlan) -> Self {
        let machine = Machine::new(&plan);
        Self {
            plan,
            machine,
            device: Device::default(),
            now_ms: 1,
            wire: VecDeque::new(),
            runs_seen: 0,
            last_run: None,
            events: Vec::new(),
        }
    }

    fn now(&self) -> MonoNs {
        MonoNs::from_ns(self.now_ms * 1_000_000)
    }

    /// What a connection does after every event: overdue answers, then everything that may be sent.
    fn turn(&mut self) {
        if self.machine.overdue(self.now()).is_some() {
            self.lost();
        }
        while let Some(frame) = self.machine.frame_due(self.now()) {
            self.check(&frame);
            self.wire.push_back(frame);
            assert!(
                self.wire.len() <= 2,
                "one request, and a stop behind it (H-61)"
            );
        }
        self.events.extend(self.machine.take_note());
    }

    /// Every frame that leaves, against I2 and H-64.
    fn check(&mut self, frame: &[u8; REQUEST_BYTES]) {
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        if !matches!(frame[7], 5 | 6) || word(8) != PLACE {
            return;
        }
        let counts = self.machine.counters();
        let run = if counts.run_writes > self.runs_seen {
            self.last_run = Some(word(10));
            self.runs_seen = counts.run_writes;
            true
        } else {
            assert_eq!(word(10), safe_word(&self.plan));
            false
        };
        if run {
            assert_eq!(self.machine.permit(), Permit::Granted, "I2");
            if self.plan.watchdog.is_some() {
                assert!(self.device.proved_armed_here(), "H-64");
                assert_eq!(self.machine.watchdog_armed(), Some(true), "H-64");
            }
        }
    }

    fn lost(&mut self) {
        self.wire.clear();
        self.machine.connection_lost(self.now());
        self.device.connected();
    }

    fn answer(&mut self, spoil: Option<(u8, u8)>, lose: bool) {
        let Some(frame) = self.wire.pop_front() else {
            return;
        };
        let mut reply = self.device.answer(&frame);
        if lose {
            return;
        }
        if let Some((at, flip)) = spoil {
            // The data of a read is what the device says: damage there is for TCP's checksum to see.
            let end = if matches!(frame[7], 1 | 3) { 9 } else { 12 };
            let at = usize::from(at) % end.min(reply.len());
            reply[at] ^= flip;
        }
        match self.machine.on_reply(&reply, self.now()) {
            Ok(event) => {
                if let Some(OutputEvent::Confirmed { value, .. }) = event
                    && spoil.is_none()
                {
                    self.check_proof(value, frame[7]);
                }
                self.events.extend(event);
                self.events.extend(self.machine.take_note());
            }
            Err(_) => self.lost(),
        }
    }

    /// With read-back, a confirmation is the reply to a look, and the device holds the value right now.
    fn check_proof(&self, value: Confirmed, function: u8) {
        if self.plan.read_back.is_none() {
            return;
        }
        assert!(matches!(function, 1 | 3), "H-58");
        match value {
            Confirmed::Safe => assert_eq!(self.device.place, safe_word(&self.plan), "H-58"),
            Confirmed::Run if matches!(self.plan.target, OutputTarget::Toggle { .. }) => {}
            Confirmed::Run => assert_ne!(self.device.place, safe_word(&self.plan), "H-58"),
        }
    }

    fn apply(&mut self, op: Op) {
        let now = self.now();
        match op {
            Op::Wait(ms) => self.now_ms += u64::from(ms),
            Op::Answer => self.answer(None, false),
            Op::LoseAnswer => self.answer(None, true),
            Op::Spoil(at, flip) => self.answer(Some((at, flip)), false),
            Op::Cut => self.lost(),
            Op::Grant => self.machine.set_permit(Permit::Granted, now),
            Op::Withhold => self.machine.set_permit(Permit::Withheld, now),
            Op::Foreign(safe) => {
                let safe_word = safe_word(&self.plan);
                self.device.place = if safe { safe_word } else { safe_word ^ 0xFF00 };
            }
            Op::PowerCycle => self.device.power_cycle(),
            Op::Lie(lies) => self.device.lies = lies,
            Op::Refuse(refuses) => self.device.refuses = refuses.then_some(4),
        }
        self.turn();
    }

    /// A well device and a permit that stays: what is reported in two seconds.
    fn heal(&mut self, permit: Permit) -> bool {
        self.device.lies = false;
        self.device.refuses = None;
        let now = self.now();
        self.machine.set_permit(permit, now);
        self.events.clear();
        for _ in 0..1_000 {
            self.turn();
            self.answer(None, false);
            self.now_ms += 2;
        }
        let wanted = match permit {
            Permit::Granted => Confirmed::Run,
            Permit::Withheld => Confirmed::Safe,
        };
        let last = self.events.iter().rev().find_map(|event| match event {
            OutputEvent::Confirmed { value, .. } => Some(*value),
            _ => None,
        });
        last == Some(wanted)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn i2_h57_h58_h64_no_run_value_without_permit_and_every_stop_is_proved_at_last(
        target in 0..4_usize,
        read_back in any::<bool>(),
        watchdog in any::<bool>(),
        ops in ops(),
    ) {
        let mut world = World::new(plan(targets()[target], read_back, watchdog));
        for op in ops {
            world.apply(op);
        }
        prop_assert!(world.heal(Permit::Withheld), "H-57: the safe value is proved once the device is well");
        prop_assert_eq!(world.device.place, safe_word(&world.plan));
        prop_assert!(world.machine.is_safe());
        prop_assert!(world.heal(Permit::Granted), "and a permit given then is used");
        prop_assert!(world.last_run.is_some());
        prop_assert!(world.heal(Permit::Withheld));
        prop_assert_eq!(world.device.place, safe_word(&world.plan));
    }
}
