//! Who may act: another user at the real socket of the real guard.

use std::io::Write;
use std::path::PathBuf;

use appliance_control::{Client, ClientError, EventBody, Nonce, Reply, Request};
use hil_tests::guard::wait_until;
use hil_tests::stand::{HEALTHY, Setup, Stand, wait_event};
use rt_config::limits::CONTROL_CONNECTIONS_UNPRIVILEGED_MAX;
use rustix::process::{Gid, Uid};

/// A user that owns nothing and is in no group of this host's database; by convention nobody's number is above it.
const STRANGER: u32 = 60_123;

/// Whether users can be changed here. Says so when not: then these tests say nothing.
fn can_change_user() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let said = "SKIPPED: another user's rights can only be tested by root";
        writeln!(std::io::stderr(), "{said}").expect("standard error");
    }
    root
}

/// Asks as another user, on a thread of its own that then is that user.
fn ask_as(socket: PathBuf, user: u32, group: u32, request: Request) -> Result<Reply, ClientError> {
    let thread = std::thread::spawn(move || {
        become_user(user, group);
        Client::connect(&socket)?.ask(&request)
    });
    thread.join().expect("it asks")
}

fn become_user(user: u32, group: u32) {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(group));
    rustix::thread::set_thread_groups(&[]).expect("root may");
    rustix::thread::set_thread_res_gid(gid, gid, gid).expect("root may");
    rustix::thread::set_thread_res_uid(uid, uid, uid).expect("root may");
}

/// A group of this host that is not root's.
fn some_group() -> (String, u32) {
    let groups = std::fs::read_to_string("/etc/group").expect("this host has groups");
    let mut fields = groups
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.find_map(|line| match line[..] {
        [name, _, gid, _] => Some((name.to_owned(), gid.parse().ok().filter(|gid| *gid != 0)?)),
        _ => None,
    });
    found.expect("a group besides root")
}

fn acts() -> [Request; 7] {
    let text = str::to_owned;
    [
        Request::ResetPress { who: text("root") },
        Request::ResetRelease { nonce: Nonce(1) },
        Request::Acknowledge {
            tag: None,
            who: text("root"),
        },
        Request::Bypass {
            point: text("over"),
            who: text("root"),
            why: text("a test"),
            for_ns: 1_000_000_000,
        },
        Request::Shelve {
            rule: text("over"),
            who: text("root"),
            why: text("a test"),
            for_ns: 1_000_000_000,
        },
        Request::Unshelve {
            rule: text("over"),
            who: text("root"),
        },
        Request::Lift {
            hold: text("crash loop"),
            who: text("root"),
        },
    ]
}

#[test]
fn h53_i14_a_stranger_may_look_and_stop_and_nothing_else_whatever_name_they_give() {
    if !can_change_user() {
        return;
    }
    let (group, gid) = some_group();
    let stand = Stand::with_arguments(&Setup::default(), &["--operators", &group]);
    stand.arm();
    let socket = stand.guard.socket();
    let stranger = |request| ask_as(socket.clone(), STRANGER, STRANGER, request);
    assert!(matches!(stranger(Request::Status {}), Ok(Reply::Status(_))));
    assert!(matches!(stranger(Request::Tags {}), Ok(Reply::Tags { .. })));
    for act in acts() {
        let name = act.needs_rights().expect("it needs rights");
        let Ok(Reply::Refused { cause, help }) = stranger(act.clone()) else {
            panic!("H-53: refused: {act:?}");
        };
        assert!(cause.contains(name) && cause.contains(&group), "{cause}");
        assert!(help.contains("tripline trip"), "{help}");
    }
    wait_event(
        &socket,
        "I14: the attempt and its user are recorded",
        |body| matches!(body, EventBody::NotAllowed { act, by, .. } if act == "reset" && by.uid == STRANGER),
    );
    // A stop needs no rights.
    let trip = Request::Trip {
        reason: "I saw smoke".to_owned(),
    };
    assert_eq!(stranger(trip).expect("it answers"), Reply::Done {});
    stand.wait_stopped();
    wait_event(
        &socket,
        "I14: and who stopped it",
        |body| matches!(body, EventBody::TripRequested { by, .. } if by.uid == STRANGER),
    );
    stand.device.show(HEALTHY);
    // A member of the group may: here by the group of the process.
    wait_until("an operator may press", || {
        let press = Request::ResetPress {
            who: "Anna".to_owned(),
        };
        let reply = ask_as(socket.clone(), STRANGER, gid, press);
        matches!(reply, Ok(Reply::ResetPressed { .. }))
    });
}

#[test]
fn h53_a_release_belongs_to_the_user_that_pressed() {
    if !can_change_user() {
        return;
    }
    let (group, gid) = some_group();
    let stand = Stand::with_arguments(&Setup::default(), &["--operators", &group]);
    let mut given = None;
    wait_until("root presses", || {
        let press = Request::ResetPress { who: String::new() };
        if let Reply::ResetPressed { nonce, .. } = stand.guard.ask(&press) {
            given = Some(nonce);
        }
        given.is_some()
    });
    let release = Request::ResetRelease {
        nonce: given.expect("it was waited for"),
    };
    let Ok(Reply::Refused { cause, .. }) = ask_as(stand.guard.socket(), STRANGER, gid, release)
    else {
        panic!("H-54: refused");
    };
    assert!(cause.contains("another user"), "{cause}");
    assert!(!stand.device.coil(0), "I2");
}

#[test]
fn h80_without_operators_a_stranger_does_not_get_in_at_all() {
    if !can_change_user() {
        return;
    }
    let stand = Stand::start(&Setup::default());
    let asked = ask_as(stand.guard.socket(), STRANGER, STRANGER, Request::Status {});
    assert!(
        matches!(asked, Err(ClientError::Connect { .. })),
        "the socket is the owner's: {asked:?}"
    );
}

#[test]
fn h80_strangers_cannot_take_every_connection() {
    if !can_change_user() {
        return;
    }
    let (group, _) = some_group();
    let stand = Stand::with_arguments(&Setup::default(), &["--operators", &group]);
    let socket = stand.guard.socket();
    let held = std::thread::spawn(move || {
        become_user(STRANGER, STRANGER);
        let mut held: Vec<Client> = Vec::new();
        wait_until("strangers have all the connections they may have", || {
            let mut client = Client::connect(&socket).expect("it listens");
            if client.ask(&Request::Status {}).is_ok() {
                held.push(client);
                return false;
            }
            true
        });
        held
    });
    let held = held.join().expect("it connects");
    assert_eq!(held.len(), CONTROL_CONNECTIONS_UNPRIVILEGED_MAX);
    stand.arm();
    drop(held);
}
