//! Who may do what: root, the guard's own user and, where a group of operators is named, its members.
//!
//! Looking and stopping need no rights. The operating system says who is at the other end of the socket (`SO_PEERCRED`);
//! what a request says of itself is only recorded. Users and groups come from this host's own files, read anew for each
//! connection, so that whoever leaves the group loses the right at once. Not from name services: those load libraries
//! and wait for networks, in the process that protects. A user of a directory service may act when the group is the
//! primary one of its process.

use std::fs::File;
use std::io::{self, Read};

use appliance_control::Actor;
use rt_config::limits::ACCOUNTS_BYTES_MAX;

const GROUPS: &str = "/etc/group";
const USERS: &str = "/etc/passwd";

/// What the operating system says of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    pub(crate) user: Option<String>,
    /// Whether it may do what needs rights.
    pub(crate) may_act: bool,
}

impl Peer {
    /// The name that was given, beside what cannot be chosen.
    pub(crate) fn actor(&self, who: &str) -> Actor {
        let given = Some(who.trim()).filter(|who| !who.is_empty());
        let who = given
            .or(self.user.as_deref())
            .map_or_else(|| format!("uid {}", self.uid), str::to_owned);
        Actor {
            who,
            uid: self.uid,
            user: self.user.clone(),
        }
    }
}

/// Lets clients in and says what they may.
#[derive(Debug)]
pub(crate) struct Gate {
    own_uid: u32,
    operators: Option<String>,
}

impl Gate {
    /// With this group of operators.
    pub(crate) fn new(operators: Option<String>) -> Result<Self, String> {
        if let Some(name) = &operators {
            let groups = read(GROUPS).map_err(|error| format!("--operators: {GROUPS}: {error}"))?;
            Group::find(&groups, name).ok_or_else(|| {
                format!(
                    "--operators: {GROUPS} has no group {name}. Make it with `groupadd {name}`, or name another"
                )
            })?;
        }
        Ok(Self {
            own_uid: rustix::process::geteuid().as_raw(),
            operators,
        })
    }

    /// The group of operators.
    pub(crate) fn operators(&self) -> Option<&str> {
        self.operators.as_deref()
    }

    /// Whether anybody may look and stop. Without operators nobody else has business at the socket.
    pub(crate) const fn is_open(&self) -> bool {
        self.operators.is_some()
    }

    /// Who this is, and what they may. `None`: they may not even connect.
    pub(crate) fn admit(&self, peer: Credentials) -> Option<Peer> {
        // A file that cannot be read gives nobody a right.
        let users = read(USERS).unwrap_or_default();
        let user = User::find(&users, peer.uid);
        let groups = match self.operators {
            Some(_) => read(GROUPS).unwrap_or_default(),
            None => String::new(),
        };
        let group = self
            .operators
            .as_deref()
            .and_then(|name| Group::find(&groups, name));
        let may_act = may_act(peer, user.as_ref(), self.own_uid, group.as_ref());
        (may_act || self.is_open()).then(|| Peer {
            uid: peer.uid,
            user: user.map(|user| user.name.to_owned()),
            may_act,
        })
    }

    /// What somebody without rights is told.
    pub(crate) fn missing(&self, act: &str) -> (String, String) {
        match self.operators.as_deref() {
            Some(group) => (
                format!(
                    "{act} needs rights: only root, the guard's own user and members of group {group} have them"
                ),
                format!(
                    "call an operator, or have an administrator add you to the group (`usermod -aG {group} NAME`); a stop needs no rights: `tripline trip`"
                ),
            ),
            None => (
                format!("{act} needs rights: only root and the guard's own user have them"),
                "name a group of operators when the guard is started: --operators GROUP".to_owned(),
            ),
        }
    }
}

/// The decision.
fn may_act(
    peer: Credentials,
    user: Option<&User<'_>>,
    own_uid: u32,
    operators: Option<&Group<'_>>,
) -> bool {
    if peer.uid == 0 || peer.uid == own_uid {
        return true;
    }
    operators.is_some_and(|group| {
        peer.gid == group.gid
            || user.is_some_and(|user| {
                user.gid == group.gid || group.members.split(',').any(|name| name == user.name)
            })
    })
}

/// A line of the group database: `name:password:gid:member,member`.
#[derive(Debug, PartialEq, Eq)]
struct Group<'a> {
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn find(database: &'a str, name: &str) -> Option<Self> {
        database.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name) && !name.is_empty()).then_some(())?;
            let gid = fields.nth(1)?.parse().ok()?;
            let members = fields.next()?;
            Some(Self { gid, members })
        })
    }
}

/// A line of the user database: `name:password:uid:gid:...`.
#[derive(Debug, PartialEq, Eq)]
struct User<'a> {
    name: &'a str,
    gid: u32,
}

impl<'a> User<'a> {
    fn find(database: &'a str, uid: u32) -> Option<Self> {
        database.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            (fields.nth(1)?.parse() == Ok(uid)).then_some(())?;
            let gid = fields.next()?.parse().ok()?;
            Some(Self { name, gid })
        })
    }
}

fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(ACCOUNTS_BYTES_MAX.saturating_add(1));
    let length = file.read_to_string(&mut text)?;
    if u64::try_from(length).is_ok_and(|length| length > ACCOUNTS_BYTES_MAX) {
        let cause = format!("larger than {ACCOUNTS_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, cause));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0::/root:/bin/sh\nanna:x:1001:1001:Anna:/:/bin/sh\n\
        bert:x:1002:70::/:/bin/sh\ncarl:x:1003:1003::/:/bin/sh\nguard:x:990:990::/:/bin/sh\n\
        broken\n::\nann:x:1004:1004::/:/bin/sh\n";
    const GROUPS: &str =
        "root:x:0:\nbroken\n:x:5:carl\noperators:x:70:anna,dora\nempty:x:71:\nodd:x:many:anna\n";

    fn allowed(uid: u32, gid: u32, group: Option<&str>) -> bool {
        let user = User::find(USERS, uid);
        let operators = group.and_then(|name| Group::find(GROUPS, name));
        may_act(
            Credentials { uid, gid },
            user.as_ref(),
            990,
            operators.as_ref(),
        )
    }

    /// Who may act, as a table: user, group of its process, group of operators.
    #[test]
    fn h53_rights_are_of_root_the_guards_user_and_the_operators_alone() {
        let table = [
            ("root", 0, 0, None, true),
            ("root", 0, 0, Some("operators"), true),
            ("the guard's user", 990, 990, None, true),
            ("the guard's user", 990, 990, Some("operators"), true),
            ("a member", 1001, 1001, Some("operators"), true),
            ("a member, without the option", 1001, 1001, None, false),
            (
                "a member of another group",
                1001,
                1001,
                Some("empty"),
                false,
            ),
            (
                "by primary group in the database",
                1002,
                1002,
                Some("operators"),
                true,
            ),
            ("by group of the process", 1003, 70, Some("operators"), true),
            (
                "by group of the process, unknown user",
                4711,
                70,
                Some("operators"),
                true,
            ),
            ("nobody", 1003, 1003, Some("operators"), false),
            ("nobody, without the option", 1003, 1003, None, false),
            ("an unknown user", 4711, 4711, Some("operators"), false),
            (
                "a name that is part of a member's",
                1004,
                1004,
                Some("operators"),
                false,
            ),
            (
                "a group that is gone since the start",
                1001,
                1001,
                Some("gone"),
                false,
            ),
            ("a group without a number", 1001, 1001, Some("odd"), false),
            ("a group without a name", 1003, 1003, Some(""), false),
            (
                "group root is not user root",
                1003,
                0,
                Some("operators"),
                false,
            ),
        ];
        for (who, uid, gid, group, expected) in table {
            assert_eq!(allowed(uid, gid, group), expected, "{who}");
        }
    }

    #[test]
    fn a_group_that_this_host_does_not_know_is_refused_at_the_start() {
        let cause = Gate::new(Some("no such group".into())).unwrap_err();
        assert!(cause.contains("groupadd"), "{cause}");
        assert!(Gate::new(Some("root".into())).is_ok_and(|gate| gate.is_open()));
        assert!(Gate::new(None).is_ok_and(|gate| !gate.is_open()));
    }

    #[test]
    fn a_peer_cannot_choose_who_it_is() {
        let peer = Peer {
            uid: 7,
            user: Some("op".into()),
            may_act: true,
        };
        for (said, who) in [
            ("", "op"),
            ("  ", "op"),
            (" Anna ", "Anna"),
            ("root", "root"),
        ] {
            let actor = peer.actor(said);
            assert_eq!((actor.who.as_str(), actor.uid), (who, 7));
            assert_eq!(actor.user.as_deref(), Some("op"), "I14");
        }
    }
}
