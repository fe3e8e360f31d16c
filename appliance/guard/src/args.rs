//! The guard's arguments. Few, so that they are read by hand.

use std::ffi::OsString;
use std::path::PathBuf;

/// What the guard was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) bundle: PathBuf,
    pub(crate) bundle_key: Option<PathBuf>,
    pub(crate) socket: PathBuf,
    pub(crate) operators: Option<String>,
    pub(crate) watchdog_device: Option<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) allow_unsigned: bool,
    pub(crate) unconfined: bool,
}

/// Shown for wrong arguments and for `--help`.
pub(crate) const USAGE: &str = "\
tripline-guard: the protection process of Tripline. Usually started by `tripline run` or systemd.

usage: tripline-guard --bundle FILE --socket PATH [--bundle-key FILE] [--operators GROUP] [--watchdog-device PATH]
                      [--state DIR] [--allow-unsigned] [--unconfined]

  --bundle FILE      a bundle made by `tripline build` on this host
  --bundle-key FILE  the key that `tripline build` sealed it with. Without it bundle.key in $TRIPLINE_STATE, else for
                     root in /var/lib/tripline, for others in $XDG_STATE_HOME/tripline
  --socket PATH      where to open the control socket
  --operators GROUP  whose members may reset, bypass, shelve and acknowledge; everybody on this host may then look and
                     stop. Without it root and the guard's own user may do all of that, and nobody else anything
  --watchdog-device PATH
                     the host's hardware watchdog, as /dev/watchdog: opened at start, fed while every lane ticks
  --state DIR        where latches and unclean ends are kept over a restart; beside the socket without it
  --allow-unsigned   for development: runs a pack and analyzers that nobody has signed, or whose signature has expired; the
                     state says so
  --unconfined       for development: neither closes files nor filters system calls; the state says so

It starts with every output stopped. Exit codes: 0 stopped safely, 2 usage, 3 bundle refused, 4 control socket,
5 a host name or password file cannot be used, 6 the watchdog had stopped a lane, 7 stopped but a stop was not confirmed.
Machine protection and supervisory stop, not a certified safety component.";

impl Args {
    /// Reads arguments (without the program's name). The error says what is wrong.
    pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let (mut bundle, mut socket, mut operators) = (None, None, None);
        let (mut bundle_key, mut watchdog_device, mut state) = (None, None, None);
        let (mut allow_unsigned, mut unconfined) = (false, false);
        let mut args = args;
        while let Some(arg) = args.next() {
            let place = match arg.to_str() {
                Some("--bundle") => &mut bundle,
                Some("--bundle-key") => &mut bundle_key,
                Some("--socket") => &mut socket,
                Some("--operators") => &mut operators,
                Some("--watchdog-device") => &mut watchdog_device,
                Some("--state") => &mut state,
                Some("--help" | "-h") => return Err(String::new()),
                Some("--allow-unsigned") => {
                    allow_unsigned = true;
                    continue;
                }
                Some("--unconfined") => {
                    unconfined = true;
                    continue;
                }
                _ => return Err(format!("unknown argument {}", arg.display())),
            };
            let value = args
                .next()
                .ok_or_else(|| format!("{} needs a value", arg.display()))?;
            if place.replace(PathBuf::from(value)).is_some() {
                return Err(format!("{} is given twice", arg.display()));
            }
        }
        let group = |path: PathBuf| {
            let name = path.into_os_string().into_string();
            name.map_err(|_| "--operators is not the name of a group")
        };
        Ok(Self {
            bundle: bundle.ok_or("--bundle is missing")?,
            bundle_key,
            socket: socket.ok_or("--socket is missing")?,
            operators: operators.map(group).transpose()?,
            watchdog_device,
            state,
            allow_unsigned,
            unconfined,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Args, String> {
        Args::parse(args.iter().map(OsString::from))
    }

    #[test]
    fn bundle_and_socket_are_needed_once() {
        let with = |operators: Option<&str>| {
            Ok(Args {
                bundle: "a".into(),
                bundle_key: None,
                socket: "b".into(),
                operators: operators.map(str::to_owned),
                watchdog_device: None,
                state: None,
                allow_unsigned: false,
                unconfined: false,
            })
        };
        assert_eq!(parse(&["--bundle", "a", "--socket", "b"]), with(None));
        assert_eq!(
            parse(&["--bundle", "a", "--operators", "c", "--socket", "b"]),
            with(Some("c"))
        );
        for wrong in [
            &["--bundle", "a"][..],
            &["--bundle", "a", "--socket"],
            &["--bundle", "a", "--bundle", "a", "--socket", "b"],
            &["--force"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn where_it_keeps_and_what_watches_it_may_be_said() {
        let args = ["--bundle", "a", "--socket", "b", "--state", "c"];
        let more = ["--watchdog-device", "d", "--bundle-key", "k"];
        let args = parse(&[&args[..], &more].concat()).unwrap();
        assert_eq!(args.bundle_key, Some("k".into()));
        assert_eq!(args.state, Some("c".into()));
        assert_eq!(args.watchdog_device, Some("d".into()));
        assert!(!args.allow_unsigned, "H-66: only when it is said");
        assert!(!args.unconfined, "H-43: only when it is said");
        let args = ["--allow-unsigned", "--bundle", "a", "--socket", "b"];
        let args = parse(&args).unwrap();
        assert!(args.allow_unsigned && !args.unconfined);
        let args = parse(&["--bundle", "a", "--unconfined", "--socket", "b"]).unwrap();
        assert!(args.unconfined && !args.allow_unsigned);
    }

    #[test]
    fn the_unit_for_systemd_starts_this_program_as_it_wants_to_be_started() {
        let unit = include_str!("../../../rt-config/systemd/tripline-guard.service");
        let mut lines = unit.lines();
        let start = lines
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap();
        let words: Vec<&str> = start.split_whitespace().collect();
        assert_eq!(words[0], "/usr/bin/tripline-guard");
        let args = parse(&words[1..]).unwrap();
        assert!(args.state.is_some(), "H-52: what is kept outlives a reboot");
        // The guard's user may not read root's key: systemd hands it over.
        let credential = unit
            .lines()
            .find_map(|line| line.strip_prefix("LoadCredential="));
        assert_eq!(credential, Some("bundle.key:/var/lib/tripline/bundle.key"));
        assert_eq!(args.bundle_key, Some("%d/bundle.key".into()), "I13");
    }
}
