//! What outlives the guard: why its outputs were latched, and how often it ended without order (H-52, H-83).
//!
//! One small file, written whole to a temporary name, synchronised, renamed, its folder synchronised. A first line with
//! version, length and CRC-32C says whether what follows is what was written. What cannot be read is set aside and counts
//! as an end without order: the outputs start latched anyway (I9), so nothing is ever released because of this file.
//!
//! Which thread: the main thread at start and at the end, a thread of its own in between, since a disk may take seconds
//! (H-74). Never a lane.

mod writer;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rt_config::limits::{CRASH_LOOP_ENDS, CRASH_LOOP_WINDOW_S, STATE_BYTES_MAX};
use serde::{Deserialize, Serialize};

pub(crate) use writer::{Writer, write_whole};

const MAGIC: &str = "tripline-state";
const VERSION: u32 = 1;

/// A moment on both clocks. The monotonic one decides within one boot of the host: nobody can set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Moment {
    /// The kernel's id of this boot.
    pub(crate) boot: String,
    pub(crate) mono_ns: u64,
    pub(crate) wall_ns: u64,
}

impl Moment {
    /// Now.
    pub(crate) fn now() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Self {
            boot: boot.unwrap_or_default().trim().to_owned(),
            mono_ns: rt_config::clock::monotonic_ns(),
            wall_ns: rt_config::clock::wall_ns(),
        }
    }

    /// Whether `earlier` was within the crash loop's window before this. A wall clock that went back counts as within.
    fn is_soon_after(&self, earlier: &Self) -> bool {
        let passed = if self.boot == earlier.boot && !self.boot.is_empty() {
            self.mono_ns.saturating_sub(earlier.mono_ns)
        } else {
            self.wall_ns.saturating_sub(earlier.wall_ns)
        };
        passed <= CRASH_LOOP_WINDOW_S.saturating_mul(1_000_000_000)
    }
}

/// Why an output is latched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptLatch {
    pub(crate) lane: String,
    pub(crate) output: String,
    /// First-out.
    pub(crate) cause: String,
    pub(crate) rule: Option<String>,
    pub(crate) wall_ns: u64,
}

impl KeptLatch {
    /// In one line.
    pub(crate) fn words(&self) -> String {
        let rule = self.rule.as_ref();
        let rule = rule.map_or(String::new(), |rule| format!("{rule}, "));
        let at = appliance_control::wall_time::rfc3339(self.wall_ns);
        format!("{rule}{}, at {at}", self.cause)
    }
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    pub(crate) latches: Vec<KeptLatch>,
    /// The run that has not ended in order yet.
    pub(crate) running: Option<Moment>,
    /// When ends without order were found, the newest last.
    pub(crate) unclean: Vec<Moment>,
    /// Too many of them: held until a person lifts it.
    pub(crate) crash_loop: bool,
}

/// What was found of the run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing: the first start.
    Nothing,
    /// It ended in order.
    Orderly,
    /// It did not.
    Unclean,
}

impl Kept {
    /// Takes note of a start: an end without order of the run before counts, and enough of them are a crash loop.
    pub(crate) fn begin(&mut self, now: Moment, damaged: bool) -> Before {
        let before = match (
            self.running.take().is_some() || damaged,
            *self == Self::default(),
        ) {
            (true, _) => Before::Unclean,
            (false, true) => Before::Nothing,
            (false, false) => Before::Orderly,
        };
        if before == Before::Unclean {
            self.unclean.push(now.clone());
        }
        self.unclean.retain(|earlier| now.is_soon_after(earlier));
        self.crash_loop |= self.unclean.len() >= CRASH_LOOP_ENDS;
        // More would say nothing more.
        let beyond = self.unclean.len().saturating_sub(CRASH_LOOP_ENDS);
        self.unclean.drain(..beyond);
        self.running = Some(now);
        before
    }

    /// An output was latched: the first cause is kept.
    pub(crate) fn latched(&mut self, latch: KeptLatch) {
        let known = |kept: &KeptLatch| kept.lane == latch.lane && kept.output == latch.output;
        if !self.latches.iter().any(known) {
            self.latches.push(latch);
        }
    }

    /// An output was released.
    pub(crate) fn released(&mut self, lane: &str, output: &str) {
        self.latches
            .retain(|kept| kept.lane != lane || kept.output != output);
    }

    /// A person lifted the crash loop.
    pub(crate) fn lifted(&mut self) {
        self.crash_loop = false;
        self.unclean.clear();
    }

    /// The end, in order.
    pub(crate) fn end(&mut self) {
        self.running = None;
    }

    /// As the file's bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers under string keys: cannot fail.
        let body = serde_json::to_vec(self).unwrap_or_default();
        let crc = crc32c::crc32c(&body);
        let mut bytes = format!("{MAGIC} {VERSION} {} {crc:08x}\n", body.len()).into_bytes();
        bytes.extend(body);
        bytes
    }

    /// From the file's bytes, or what is wrong with them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let cut = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or("it has no first line")?;
        let (head, body) = bytes.split_at(cut);
        let body = body.get(1..).unwrap_or_default();
        let head = std::str::from_utf8(head).map_err(|_| "its first line is not text")?;
        let mut words = head.split(' ');
        let mut next = |what: &str| words.next().ok_or_else(|| format!("it has no {what}"));
        if next("name")? != MAGIC {
            return Err("it is something else".to_owned());
        }
        let version: u32 = next("version")?
            .parse()
            .map_err(|_| "its version is not a number")?;
        if version != VERSION {
            return Err(format!(
                "it has version {version}, this guard writes {VERSION}"
            ));
        }
        let length: usize = next("length")?
            .parse()
            .map_err(|_| "its length is not a number")?;
        let crc = u32::from_str_radix(next("checksum")?, 16).map_err(|_| "its checksum is none")?;
        if length != body.len() {
            return Err(format!("{} bytes of {length} are there", body.len()));
        }
        if crc != crc32c::crc32c(body) {
            return Err("its checksum does not fit".to_owned());
        }
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }
}

/// Where it is kept: a file named like the socket, so that two guards may share a folder.
pub(crate) fn path(folder: Option<&Path>, socket: &Path) -> PathBuf {
    let beside = socket.with_extension("state");
    match (folder, beside.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => beside,
    }
}

/// What was kept, and what is wrong with the file, if anything. A damaged file is set aside under `.bad`.
pub(crate) fn open(path: &Path) -> (Kept, Option<String>) {
    let problem = match read(path) {
        Ok(Some(bytes)) => match Kept::from_bytes(&bytes) {
            Ok(kept) => return (kept, None),
            Err(problem) => problem,
        },
        Ok(None) => return (Kept::default(), None),
        Err(error) => error.to_string(),
    };
    let aside = path.with_extension("state.bad");
    let set_aside = match std::fs::rename(path, &aside) {
        Ok(()) => format!("it is kept as {}", aside.display()),
        Err(error) => format!("it could not be set aside ({error})"),
    };
    let problem = format!(
        "what was kept in {} cannot be used: {problem}; {set_aside}",
        path.display()
    );
    (Kept::default(), Some(problem))
}

fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let most = u64::try_from(STATE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(boot: &str, seconds: u64) -> Moment {
        Moment {
            boot: boot.to_owned(),
            mono_ns: seconds * SECOND,
            wall_ns: (1_000_000 + seconds) * SECOND,
        }
    }

    fn latch(output: &str, cause: &str) -> KeptLatch {
        KeptLatch {
            lane: "main".into(),
            output: output.into(),
            cause: cause.into(),
            rule: Some("bearing_hot".into()),
            wall_ns: 0,
        }
    }

    fn kept() -> Kept {
        let mut kept = Kept::default();
        kept.begin(at("a", 1), false);
        kept.latched(latch("run", "condition"));
        kept
    }

    #[test]
    fn h52_what_was_written_is_read_and_the_first_cause_stays() {
        let mut kept = kept();
        kept.latched(latch("run", "stop requested"));
        kept.latched(latch("pump", "stop requested"));
        let read = Kept::from_bytes(&kept.to_bytes()).unwrap();
        assert_eq!(read, kept);
        assert_eq!(read.latches[0].cause, "condition", "H-52: first-out");
        assert_eq!(
            read.latches[0].words(),
            "bearing_hot, condition, at 1970-01-01T00:00:00.000000Z"
        );
        kept.released("main", "run");
        assert_eq!(kept.latches.len(), 1);
    }

    #[test]
    fn h73_a_file_with_any_bit_or_byte_wrong_is_refused() {
        let whole = kept().to_bytes();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut wrong = whole.clone();
                wrong[at] ^= 1 << bit;
                // The checksum's letters may be of either case.
                let same = Kept::from_bytes(&wrong).is_ok_and(|read| read == kept());
                let is_case = bit == 5 && wrong[at].is_ascii_alphabetic();
                assert!(
                    Kept::from_bytes(&wrong).is_err() || (same && is_case),
                    "H-73: byte {at} bit {bit}"
                );
            }
            assert!(
                Kept::from_bytes(&whole[..at]).is_err(),
                "H-73: torn at {at}"
            );
        }
        let mut longer = whole.clone();
        longer.push(b' ');
        assert!(Kept::from_bytes(&longer).is_err());
        let foreign = String::from_utf8(whole).unwrap();
        let newer = foreign.replacen("tripline-state 1", "tripline-state 2", 1);
        let problem = Kept::from_bytes(newer.as_bytes()).unwrap_err();
        assert!(problem.contains("version 2"), "{problem}");
    }

    /// Starts at these seconds, each after an end without order: is the last one held?
    fn loops(starts: &[Moment]) -> bool {
        let mut kept = Kept::default();
        for start in starts {
            kept.begin(start.clone(), false);
            kept = Kept::from_bytes(&kept.to_bytes()).unwrap();
        }
        kept.crash_loop
    }

    #[test]
    fn h83_three_ends_without_order_within_ten_minutes_hold_the_guard() {
        let run = |seconds: &[u64]| {
            let starts: Vec<Moment> = seconds.iter().map(|second| at("a", *second)).collect();
            loops(&starts)
        };
        assert!(!run(&[0, 1, 2]), "two ends only");
        assert!(run(&[0, 1, 2, 3]), "H-83");
        assert!(run(&[0, 100, 400, 700]), "H-83: within ten minutes");
        assert!(!run(&[0, 100, 400, 701]), "one of them is too long ago");
        assert!(!run(&[0, 400, 800, 1_200, 1_600]));
        assert!(run(&[0, 400, 800, 801, 802]), "H-83");
    }

    #[test]
    fn h83_a_clock_that_was_set_does_not_hide_a_crash_loop() {
        // Within a boot the wall clock says nothing.
        let set = |mono: u64, wall: u64| Moment {
            wall_ns: wall * SECOND,
            ..at("a", mono)
        };
        assert!(loops(&[
            set(0, 0),
            set(1, 9_000),
            set(2, 90_000),
            set(3, 5)
        ]));
        // Between boots it decides, and one that went back counts as near.
        assert!(loops(&[
            at("a", 900),
            at("b", 800),
            at("c", 700),
            at("d", 600)
        ]));
        assert!(!loops(&[
            at("a", 0),
            at("b", 700),
            at("c", 1_400),
            at("d", 2_100)
        ]));
    }

    #[test]
    fn h83_a_crash_loop_stays_until_a_person_lifts_it() {
        let mut kept = Kept::default();
        for second in 0..4 {
            kept.begin(at("a", second), false);
        }
        assert!(kept.crash_loop);
        kept.end();
        assert_eq!(kept.begin(at("a", 90_000), false), Before::Orderly);
        assert!(
            kept.crash_loop,
            "H-83: an orderly end and time do not lift it"
        );
        kept.lifted();
        kept.end();
        kept.begin(at("a", 90_001), false);
        assert!(!kept.crash_loop);
    }

    #[test]
    fn the_run_before_is_known_by_how_it_left() {
        let mut kept = Kept::default();
        assert_eq!(kept.begin(at("a", 0), false), Before::Nothing);
        assert_eq!(kept.begin(at("a", 1), false), Before::Unclean);
        kept.end();
        assert_eq!(kept.begin(at("a", 2), false), Before::Orderly);
        let mut damaged = Kept::default();
        assert_eq!(damaged.begin(at("a", 3), true), Before::Unclean, "H-73");
    }

    #[test]
    fn h73_a_damaged_file_is_set_aside_and_told() {
        let folder = std::env::temp_dir().join(format!("tripline-kept-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("guard.state");
        assert_eq!(open(&path), (Kept::default(), None), "the first start");
        write_whole(&path, &kept().to_bytes()).unwrap();
        assert_eq!(open(&path), (kept(), None));
        std::fs::write(&path, "garbage").unwrap();
        let (empty, problem) = open(&path);
        assert_eq!(empty, Kept::default());
        let problem = problem.unwrap();
        assert!(problem.contains("guard.state.bad"), "{problem}");
        assert!(!path.exists() && folder.join("guard.state.bad").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_file_is_named_like_the_socket() {
        let socket = Path::new("/run/tripline/guard.sock");
        assert_eq!(path(None, socket), Path::new("/run/tripline/guard.state"));
        assert_eq!(
            path(Some(Path::new("/var/lib/tripline")), socket),
            Path::new("/var/lib/tripline/guard.state")
        );
    }
}
