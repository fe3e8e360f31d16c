//! Who watches the guard from outside: the service manager (`sd_notify`) and the hardware watchdog (`/dev/watchdog`).
//!
//! Both are fed by the main thread, and only when since the last feed every lane has completed a tick, the sentinel has
//! beaten and no fault stands: what is fed is the whole guard, not one thread of it. Without either, nobody restarts a
//! guard or a host that hangs, which is shown as *degraded* (H-85).
//!
//! Which thread: the main thread. May it block: no; a datagram or a byte that is not taken is a feed that is missed.
//! Sources: sd_notify(3), sd_watchdog_enabled(3), Linux `Documentation/watchdog/watchdog-api.rst`.

use std::fs::File;
use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use drivers_frame::{DurNs, MonoNs};
use rt_config::limits::{OUTSIDE_FEED_MAX_MS, OUTSIDE_FEED_MIN_MS};

/// What the service manager said when it started us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    pub(crate) notify_socket: Option<PathBuf>,
    pub(crate) watchdog_usec: Option<String>,
    pub(crate) watchdog_pid: Option<String>,
}

impl Environment {
    pub(crate) fn read() -> Self {
        Self {
            notify_socket: std::env::var_os("NOTIFY_SOCKET").map(Into::into),
            watchdog_usec: std::env::var("WATCHDOG_USEC").ok(),
            watchdog_pid: std::env::var("WATCHDOG_PID").ok(),
        }
    }

    /// Whether the service manager listens at an address without a file.
    pub(crate) fn is_abstract(&self) -> bool {
        let path = self.notify_socket.as_ref();
        path.is_some_and(|path| path.as_os_str().as_bytes().starts_with(b"@"))
    }

    /// The service manager's watchdog time, when it is meant for this process.
    fn watchdog(&self, own_pid: u32) -> Option<DurNs> {
        let us: u64 = self.watchdog_usec.as_ref()?.parse().ok()?;
        let pid = self.watchdog_pid.as_ref().map(|pid| pid.parse::<u32>());
        let ours = pid.is_none_or(|pid| pid == Ok(own_pid));
        (ours && us > 0).then(|| DurNs::from_us(us))
    }
}

/// The service manager.
struct Manager {
    socket: UnixDatagram,
    watchdog: Option<DurNs>,
}

impl Manager {
    fn connect(path: &Path, watchdog: Option<DurNs>) -> std::io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        match path.as_os_str().as_bytes() {
            [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            _ => socket.connect(path)?,
        }
        Ok(Self { socket, watchdog })
    }

    fn say(&self, words: &str) {
        // One that does not listen restarts us when it has set a watchdog; nothing can be done here.
        let _ = self.socket.send(words.as_bytes());
    }
}

/// A hardware watchdog, open: from now on the host is reset when it is not fed.
struct Hardware {
    file: File,
    path: PathBuf,
    facts: Facts,
}

/// What the kernel says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    nowayout: Option<bool>,
    timeout_s: Option<u64>,
}

impl Facts {
    /// From a folder like `/sys/class/watchdog/watchdog0`.
    fn read(folder: &Path) -> Self {
        let word = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        Self {
            nowayout: word("nowayout").map(|word| word.trim() != "0"),
            timeout_s: word("timeout").and_then(|word| word.trim().parse().ok()),
        }
    }

    /// The folder of a device file.
    fn folder(device: &Path) -> PathBuf {
        let name = device.file_name().unwrap_or_default();
        // The old name is the first device.
        let name = if name == "watchdog" {
            "watchdog0".as_ref()
        } else {
            name
        };
        Path::new("/sys/class/watchdog").join(name)
    }
}

impl Hardware {
    fn open(path: &Path) -> std::io::Result<Self> {
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
        let file = File::options()
            .write(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
            .open(path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            facts: Facts::read(&Facts::folder(path)),
        })
    }
}

/// Whether everything that is to be fed for has moved since the last feed.
struct Moved {
    lanes: Vec<u64>,
    beats: u64,
    next: MonoNs,
    every: DurNs,
}

impl Moved {
    /// Whether to feed now. Remembers what it saw only when it says yes: a lane that stands still is waited for.
    fn take(&mut self, feeds: &[u64], beats: u64, now: MonoNs) -> bool {
        let moved = feeds.len() == self.lanes.len()
            && feeds.iter().zip(&self.lanes).all(|(new, old)| new != old)
            && beats != self.beats;
        if now < self.next || !moved {
            return false;
        }
        self.lanes.copy_from_slice(feeds);
        self.beats = beats;
        self.next = now.after(self.every);
        true
    }
}

/// Everybody outside who watches.
pub(crate) struct Outside {
    manager: Option<Manager>,
    hardware: Option<Hardware>,
    moved: Moved,
    said: String,
    broken: bool,
}

impl Outside {
    /// Opens what there is; the second is what is missing, in words for people.
    pub(crate) fn open(
        environment: &Environment,
        device: Option<&Path>,
        lanes: usize,
    ) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let watchdog = environment.watchdog(std::process::id());
        let manager = environment.notify_socket.as_ref().and_then(|path| {
            Manager::connect(path, watchdog)
                .map_err(|error| {
                    problems.push(format!(
                        "the service manager is not reached at {} ({error})",
                        path.display()
                    ));
                })
                .ok()
        });
        let hardware = device.and_then(|path| {
            Hardware::open(path)
                .map_err(|error| {
                    problems.push(format!(
                        "no external watchdog: {} cannot be opened ({error}). Load its driver, or `softdog`",
                        path.display()
                    ));
                })
                .ok()
        });
        if let Some(hardware) = &hardware
            && hardware.facts.nowayout == Some(false)
        {
            problems.push(format!(
                "the watchdog {} can be disarmed (nowayout is off): load its driver with nowayout=1",
                hardware.path.display()
            ));
        }
        let managed = manager.as_ref().and_then(|manager| manager.watchdog);
        if device.is_none() && managed.is_none() {
            problems.push(
                "no external watchdog: nobody restarts this guard or this host when it hangs. Give tripline-guard --watchdog-device, or run it under systemd with WatchdogSec="
                    .to_owned(),
            );
        }
        // Four chances within the shortest time.
        let every = managed.map_or(DurNs::from_ms(OUTSIDE_FEED_MAX_MS), |time| {
            DurNs::from_ns(time.as_ns() / 4)
        });
        let outside = Self {
            manager,
            hardware,
            moved: Moved {
                lanes: vec![0; lanes],
                beats: 0,
                next: MonoNs::ZERO,
                every: every.clamp(
                    DurNs::from_ms(OUTSIDE_FEED_MIN_MS),
                    DurNs::from_ms(OUTSIDE_FEED_MAX_MS),
                ),
            },
            said: String::new(),
            broken: false,
        };
        (outside, problems)
    }

    /// Every lane runs and the control socket answers.
    pub(crate) fn ready(&self) {
        if let Some(manager) = &self.manager {
            manager.say("READY=1");
        }
    }

    /// One line for `systemctl status`, when it changed.
    pub(crate) fn status(&mut self, line: &str) {
        if let Some(manager) = &self.manager
            && self.said != line
        {
            manager.say(&format!("STATUS={line}"));
            self.said = line.to_owned();
        }
    }

    /// Feeds, if all that is to be fed for has moved. `Some` once when the hardware does not take it.
    pub(crate) fn feed(&mut self, feeds: &[u64], beats: u64, now: MonoNs) -> Option<String> {
        if !self.moved.take(feeds, beats, now) {
            return None;
        }
        if let Some(manager) = self
            .manager
            .as_ref()
            .filter(|manager| manager.watchdog.is_some())
        {
            manager.say("WATCHDOG=1");
        }
        let hardware = self.hardware.as_mut()?;
        // Any byte but 'V' will do.
        let error = hardware.file.write_all(b"\0").err()?;
        if std::mem::replace(&mut self.broken, true) {
            return None;
        }
        Some(format!(
            "the watchdog {} does not take what it is fed ({error})",
            hardware.path.display()
        ))
    }

    /// The guard goes down.
    pub(crate) fn stopping(&self) {
        if let Some(manager) = &self.manager {
            manager.say("STOPPING=1");
        }
    }

    /// The end. The hardware is disarmed (magic close) only when every output was proved safe; otherwise it runs out and
    /// resets the host, which is then the last means.
    pub(crate) fn close(mut self, safe: bool) {
        if let Some(hardware) = self.hardware.as_mut().filter(|_| safe) {
            let _ = hardware.file.write_all(b"V");
        }
    }

    /// Who watches, in words for people.
    pub(crate) fn watched_by(&self) -> Option<String> {
        let managed = self.manager.as_ref().and_then(|manager| manager.watchdog);
        let managed = managed.map(|time| format!("the service manager ({time})"));
        let hardware = self.hardware.as_ref().map(|hardware| {
            let time = hardware.facts.timeout_s;
            let time = time.map_or(String::new(), |seconds| format!(", {seconds} s"));
            let nowayout = match hardware.facts.nowayout {
                Some(true) => ", nowayout on",
                Some(false) => ", nowayout OFF",
                None => "",
            };
            format!("{}{time}{nowayout}", hardware.path.display())
        });
        let watchers: Vec<String> = managed.into_iter().chain(hardware).collect();
        (!watchers.is_empty()).then(|| watchers.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    fn moved(lanes: usize) -> Moved {
        Moved {
            lanes: vec![0; lanes],
            beats: 0,
            next: MonoNs::ZERO,
            every: DurNs::from_ms(250),
        }
    }

    #[test]
    fn h31_nobody_is_fed_before_every_lane_and_the_sentinel_have_moved() {
        let table = [
            (&[1, 1][..], 1, true),
            (&[0, 1], 1, false),
            (&[1, 0], 1, false),
            (&[1, 1], 0, false),
            (&[0, 0], 0, false),
            (&[1], 1, false),
        ];
        for (feeds, beats, fed) in table {
            let mut moved = moved(2);
            assert_eq!(moved.take(feeds, beats, ms(0)), fed, "{feeds:?} {beats}");
        }
    }

    #[test]
    fn h31_a_lane_that_stands_still_is_waited_for_however_much_the_others_move() {
        let mut moved = moved(2);
        assert!(moved.take(&[1, 1], 1, ms(0)));
        assert!(!moved.take(&[2, 2], 2, ms(249)), "not yet");
        for turn in 2..100 {
            assert!(!moved.take(&[turn, 1], turn, ms(turn * 1_000)), "H-31");
        }
        assert!(moved.take(&[100, 2], 100, ms(100_000)));
        assert!(!moved.take(&[200, 2], 200, ms(200_000)), "H-31");
    }

    #[test]
    fn a_watchdog_of_the_manager_is_ours_only_with_our_pid() {
        let with = |usec: &str, pid: Option<&str>| Environment {
            notify_socket: None,
            watchdog_usec: Some(usec.to_owned()),
            watchdog_pid: pid.map(str::to_owned),
        };
        let two = Some(DurNs::from_ms(2_000));
        assert_eq!(with("2000000", None).watchdog(7), two);
        assert_eq!(with("2000000", Some("7")).watchdog(7), two);
        for (usec, pid) in [
            ("2000000", Some("8")),
            ("2000000", Some("x")),
            ("0", None),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(with(usec, pid).watchdog(7), None, "{usec} {pid:?}");
        }
    }

    #[test]
    fn h85_without_anybody_outside_that_is_said_and_with_a_missing_device_too() {
        let nobody = Environment::default();
        let (outside, problems) = Outside::open(&nobody, None, 1);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("no external watchdog"), "H-85");
        assert_eq!(outside.watched_by(), None);
        let missing = Path::new("/dev/no-such-watchdog");
        let (_, problems) = Outside::open(&nobody, Some(missing), 1);
        assert!(
            problems.len() == 1 && problems[0].contains("/dev/no-such-watchdog"),
            "H-85: {problems:?}"
        );
    }

    #[test]
    fn h85_what_the_kernel_says_of_a_watchdog_is_read() {
        assert_eq!(
            Facts::folder(Path::new("/dev/watchdog")),
            Path::new("/sys/class/watchdog/watchdog0")
        );
        let folder = std::env::temp_dir().join(format!("tripline-facts-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(Facts::read(&folder), Facts::default());
        for (word, nowayout) in [("0\n", false), ("1\n", true)] {
            std::fs::write(folder.join("nowayout"), word).unwrap();
            std::fs::write(folder.join("timeout"), "60\n").unwrap();
            let facts = Facts::read(&folder);
            assert_eq!(facts.nowayout, Some(nowayout), "H-85");
            assert_eq!(facts.timeout_s, Some(60));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_hardware_is_disarmed_only_after_a_safe_end() {
        let folder = std::env::temp_dir().join(format!("tripline-dog-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (safe, written) in [(true, &b"\0V"[..]), (false, b"\0")] {
            let device = folder.join("watchdog");
            std::fs::write(&device, b"").unwrap();
            let (mut outside, problems) = Outside::open(&Environment::default(), Some(&device), 1);
            assert!(problems.is_empty(), "{problems:?}");
            assert_eq!(outside.feed(&[1], 1, ms(0)), None);
            assert_eq!(outside.feed(&[1], 2, ms(10_000)), None, "nothing moved");
            outside.close(safe);
            assert_eq!(std::fs::read(&device).unwrap(), written, "safe: {safe}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
