//! Outputs whose device does not do, or does not say, what it was told.

use appliance_control::{EventBody, Reply, Request, State};
use drivers_sim::image::Table;
use hil_tests::guard::{Guard, wait_until};
use hil_tests::hostile::{Device, Manner};
use hil_tests::stand::{DANGER, HEALTHY, Setup, Stand, output, refusal, wait_event};

/// How a write can go wrong, and what is said of it.
const FAULTS: [(Manner, &str); 8] = [
    (Manner::WrongData, "write answered wrongly"),
    (Manner::WrongTransaction, "write answered wrongly"),
    (Manner::WrongUnit, "write answered wrongly"),
    (Manner::Exception(4), "write answered wrongly"),
    (Manner::Silent, "write not confirmed in time"),
    (Manner::Torn, "write not confirmed in time"),
    (Manner::Twice, "unsolicited bytes"),
    (Manner::Cut, "connection lost"),
];

#[test]
fn h57_an_unconfirmed_write_latches_its_output_is_repeated_and_told() {
    let stand = Stand::armed(&Setup::default());
    for (fault, words) in FAULTS {
        stand.device.writes_are(fault);
        let known = stand.guard.status().events;
        wait_until("the output is latched", || {
            output(&stand.guard.status(), "run").first_out.is_some()
        });
        let run = output(&stand.guard.status(), "run");
        assert_eq!(
            run.first_out.as_deref(),
            Some("output not confirmed"),
            "{fault:?}"
        );
        assert_eq!(run.permit, "withheld");
        let events = wait_event(
            &stand.guard.socket(),
            "the fault is told",
            |body| matches!(body, EventBody::OutputFault { cause, .. } if cause == words),
        );
        let last = events.last().expect("an event");
        let EventBody::OutputFault { output: name, .. } = &last.body else {
            panic!("an output fault");
        };
        assert_eq!(name, "run");
        // The same words may have been told of an earlier fault; this one adds its own.
        wait_until("this fault adds events", || {
            stand.guard.status().events > known
        });
        let (connections, failures) = (stand.device.connections_taken(), run.failures);
        wait_until(
            "the stop is repeated over new connections until it is confirmed",
            || {
                output(&stand.guard.status(), "run").failures >= failures + 2
                    && stand.device.connections_taken() >= connections + 2
            },
        );
        let (cause, help) = refusal(&stand.guard);
        assert_eq!(
            cause, "output run has not confirmed its safe value",
            "{fault:?}"
        );
        assert!(help.contains("on and reachable"), "{help}");
        stand.device.writes_are(Manner::Right);
        wait_until("the stop is confirmed", || {
            output(&stand.guard.status(), "run").confirmed
        });
        assert!(!stand.device.coil(0), "{fault:?}");
        assert_eq!(
            stand.guard.status().state,
            State::Tripped,
            "latched until reset"
        );
        stand.arm();
    }
    assert_eq!(stand.guard.status().lane_allocations, 0, "I11");
}

#[test]
fn h57_a_stop_that_is_not_answered_at_first_is_sent_until_it_is() {
    let stand = Stand::armed(&Setup {
        // No refresh comes between: the first write that goes wrong is the stop.
        refresh: "10s",
        ..Setup::default()
    });
    stand.device.writes_are(Manner::Exception(6));
    stand.device.show(DANGER);
    stand.wait_state(State::Tripped);
    assert!(
        stand.device.coil(0),
        "the device refuses, so the machine still runs"
    );
    let run = output(&stand.guard.status(), "run");
    assert_eq!(run.first_out.as_deref(), Some("condition"), "first-out");
    wait_until("it is tried again and again", || {
        output(&stand.guard.status(), "run").failures >= 5
    });
    stand.device.writes_are(Manner::Right);
    wait_until("the stop arrives at last", || !stand.device.coil(0));
    let events = wait_event(&stand.guard.socket(), "its confirmation", |body| {
        matches!(body, EventBody::StopConfirmed { .. })
    });
    assert!(
        events
            .iter()
            .any(|event| matches!(event.body, EventBody::OutputFault { .. }))
    );
}

#[test]
fn h60_what_another_master_writes_does_not_stay() {
    let stand = Stand::start(&Setup::default());
    wait_until("the output is proved safe", || {
        output(&stand.guard.status(), "run").confirmed
    });
    for _ in 0..5 {
        stand.device.set(Table::Coil, 0, 1);
        wait_until("it is stopped again", || !stand.device.coil(0));
    }
    assert!(!stand.guard.status().state.permits());
}

#[test]
fn h14_h61_a_stop_does_not_wait_behind_a_read_that_hangs() {
    let stand = Stand::armed(&Setup {
        timeout: "10s",
        stale_after: "20s",
        ..Setup::default()
    });
    stand.device.reads(Manner::Silent);
    wait_until("a read hangs", || stand.device.left_unanswered() == 1);
    let trip = Request::Trip {
        reason: "while a read hangs".to_owned(),
    };
    assert_eq!(stand.guard.ask(&trip), Reply::Done {});
    wait_until("the coil is off", || !stand.device.coil(0));
    assert_eq!(stand.device.left_unanswered(), 1, "the read still hangs");
    let run = output(&stand.guard.status(), "run");
    assert_eq!(run.first_out.as_deref(), Some("stop requested"));
}

#[test]
fn h57_a_dead_output_device_does_not_keep_another_from_being_stopped() {
    let mut dead = Device::default();
    let live = Device::default();
    live.show(HEALTHY);
    let mut yaml = Setup {
        more: [
            String::new(),
            "  second: { device: other, register: 7, run: 1, safe: 2, refresh: 50ms, confirm_within: 400ms }\n".to_owned(),
            String::new(),
        ],
        ..Setup::default()
    }
    .yaml(live.address());
    yaml = yaml.replace(
        "tags:\n",
        &format!(
            "  other:\n    modbus: {{ host: 127.0.0.1, port: {}, poll: 10ms, addressing: zero_based }}\ntags:\n",
            dead.address().port()
        ),
    );
    yaml = yaml.replace("stops: [run]", "stops: [second, run]");
    let guard = Guard::start(&yaml);
    guard.arm();
    let register = |device: &Device| device.get(Table::HoldingRegister, 7);
    wait_until("both are permitted", || {
        live.coil(0) && register(&dead) == 1
    });
    dead.switch_off();
    wait_until("its output is latched", || {
        output(&guard.status(), "second").first_out.as_deref() == Some("output not confirmed")
    });
    // Another output's fault is not this one's: it goes on until a rule says otherwise.
    assert_eq!(output(&guard.status(), "run").permit, "granted");
    live.show(DANGER);
    wait_until("the live one is stopped", || !live.coil(0));
    let run = output(&guard.status(), "run");
    assert_eq!(run.first_out.as_deref(), Some("condition"));
    live.show(HEALTHY);
    wait_until("only the dead one stands against a reset", || {
        refusal(&guard).0 == "output second has not confirmed its safe value"
    });
    assert!(!live.coil(0), "all or nothing");
    dead.switch_on();
    guard.arm();
    wait_until("both are permitted again", || {
        live.coil(0) && register(&dead) == 1
    });
    live.show(DANGER);
    wait_until("both are stopped", || !live.coil(0) && register(&dead) == 2);
}
