//! `run`: builds, starts guard and desk, watches both until Ctrl-C.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use appliance_control::EventBody;
use appliance_desk::broker::publisher_config;
use appliance_desk::message::PackFacts;
use appliance_desk::notice::{self, Notice, NoticeReceiver};
use appliance_desk::relay::{Farewell, Relay, RelayConfig};
use appliance_desk::repeats::Repeats;
use appliance_desk::signals::StopSignal;
use appliance_desk::supervise::{GuardCommand, Outcome, Supervisor, find_guard};
use appliance_desk::{NOTICE, wall_time};
use rules_bundle::{Bundle, BundleKey};

use crate::build::{self, BuildError};
use crate::error::{CliError, Exit};
use crate::events;
use crate::install::Unsigned;
use crate::limits::LOOK_EVERY;
use crate::out::Out;
use crate::pack;
use crate::paint::Tone;
use crate::settings::{Settings, prepare_socket_dir};
use crate::trust;
use crate::units;

/// A guard and a desk that run.
pub(crate) struct Running {
    supervisor: Supervisor,
    relay: Relay,
    /// What happens.
    pub(crate) notices: NoticeReceiver,
    /// Held as long as we look after this guard.
    _lock: File,
}

/// What to run, and where.
pub(crate) struct Start<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) bundle: &'a Bundle,
    /// What the bytes were sealed with, from a file that the guard reads as well.
    pub(crate) key: &'a BundleKey,
    pub(crate) socket: &'a Path,
    /// Group whose members may act; `None`: only root and this user.
    pub(crate) operators: Option<String>,
    /// Whether packs and modules that nobody has signed may run.
    pub(crate) unsigned: Unsigned,
    /// Where the guard's own messages go; `None`: to our standard error.
    pub(crate) log: Option<PathBuf>,
}

impl Running {
    /// Starts desk and guard. When this returns, the guard answers.
    pub(crate) fn start(start: Start<'_>, stop: &StopSignal) -> Result<Self, CliError> {
        let Start {
            bytes,
            bundle,
            key,
            socket,
            operators,
            unsigned,
            log,
        } = start;
        prepare_socket_dir(socket, operators.is_some()).map_err(|source| CliError::SocketDir {
            path: socket.to_owned(),
            source,
        })?;
        let lock = lock(socket)?;
        let program = find_guard()?;
        // The guard reads our copy: what was checked is what runs, and a restart runs the same (H-67).
        let path = socket.with_extension("bundle");
        build::write_whole(&path, bytes).map_err(|source| CliError::File {
            path: path.clone(),
            source,
        })?;
        let (sender, notices) = notice::queue();
        let relay = start_relay(bundle, socket, sender.clone())?;
        let command = GuardCommand {
            program,
            bundle: path,
            bundle_key: key.place().to_owned(),
            hash: bundle.hash.to_string(),
            socket: socket.to_owned(),
            operators,
            allow_unsigned: unsigned == Unsigned::Allowed,
            log,
        };
        let supervisor = Supervisor::start(command, sender, || stop.is_set())?;
        Ok(Self {
            supervisor,
            relay,
            notices,
            _lock: lock,
        })
    }

    /// Whether the guard stays down.
    pub(crate) fn is_over(&self) -> bool {
        self.supervisor.is_over()
    }

    /// Stops the guard, then the desk, which still relays the guard's last words.
    pub(crate) fn stop(self) -> (Outcome, Farewell, NoticeReceiver) {
        let outcome = self.supervisor.stop();
        let farewell = self.relay.stop();
        (outcome, farewell, self.notices)
    }
}

/// One desk a socket: two would throw one another out at the broker.
fn lock(socket: &Path) -> Result<File, CliError> {
    let path = socket.with_extension("desk.lock");
    let failed = |source| CliError::File {
        path: path.clone(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CliError::DeskRuns(socket.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn start_relay(
    bundle: &Bundle,
    socket: &Path,
    notices: notice::Notices,
) -> Result<Relay, CliError> {
    let alerts = bundle.plan.alerts.as_ref();
    let prefix = alerts.map_or("", |plan| plan.topic_prefix.as_str());
    let facts = PackFacts::new(&bundle.plan, bundle.hash.to_string(), prefix);
    let seed = wall_time::now_ns() ^ u64::from(std::process::id());
    let publisher = alerts
        .map(|plan| publisher_config(plan, &facts, seed))
        .transpose()?;
    Ok(Relay::start(RelayConfig {
        socket: socket.to_owned(),
        facts,
        publisher,
        notices,
    })?)
}

/// `tripline run PACK|BUNDLE`.
pub(crate) fn run(
    path: &Path,
    operators: Option<&str>,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let stop = StopSignal::register().map_err(CliError::Signals)?;
    let (bytes, bundle, key) = open_or_build(path, settings)?;
    let size = units::size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.line(format_args!(
        "pack {} {}, bundle {} ({size})",
        bundle.plan.name, bundle.plan.version, bundle.hash
    ))?;
    let start = Start {
        bytes: &bytes,
        bundle: &bundle,
        key: &key,
        socket: &settings.socket,
        operators: operators.map(str::to_owned),
        unsigned: settings.unsigned,
        log: None,
    };
    let running = Running::start(start, &stop)?;
    let found = if running.supervisor.adopted() {
        "found running"
    } else {
        "started"
    };
    out.line(format_args!(
        "guard {found}, control socket {}",
        settings.socket.display()
    ))?;
    out.line(format_args!(
        "see `{}`; release a trip with `{}`; Ctrl-C stops",
        settings.command("status"),
        settings.command("reset")
    ))?;
    out.line(format_args!("{NOTICE}"))?;
    let mut repeats = Repeats::default();
    while !stop.is_set() && !running.is_over() {
        show(&running.notices, &mut repeats, out)?;
    }
    if stop.is_set() {
        out.line("stopping: the guard writes and confirms every stop")?;
    }
    let (outcome, farewell, notices) = running.stop();
    // The last notices lie in the queue; nobody sends any more.
    while let Some(notice) = notices.next(Duration::ZERO) {
        // That the guard is gone is what was asked for.
        if notice != Notice::GuardDown {
            print(&notice, &mut repeats, out)?;
        }
    }
    finish(outcome, farewell, out)
}

fn open_or_build(
    path: &Path,
    settings: &Settings,
) -> Result<(Vec<u8>, Bundle, BundleKey), CliError> {
    let bytes = build::read_any(path)?;
    if rules_bundle::is_bundle(&bytes) {
        // Not made when it is missing: then this bundle was not built here.
        let key = trust::own_bundle_key().map_err(BuildError::Key)?;
        let bundle = rules_bundle::open(&bytes, &key).map_err(|source| CliError::Bundle {
            path: path.to_owned(),
            source,
        })?;
        return Ok((bytes, bundle, key));
    }
    let checked = pack::loaded(build::check_file(path, &bytes, settings.unsigned), settings)?;
    let checked = build::for_a_machine(checked, path, settings.unsigned)?;
    let key = trust::bundle_key().map_err(BuildError::Key)?;
    let built = build::compile(checked, &key)?;
    built.remember()?;
    Ok((built.bytes, built.bundle, key))
}

/// What came within a moment.
fn show(notices: &NoticeReceiver, repeats: &mut Repeats, out: &mut Out) -> Result<(), CliError> {
    if let Some(notice) = notices.next(LOOK_EVERY) {
        print(&notice, repeats, out)?;
    }
    match notices.take_skipped() {
        0 => Ok(()),
        skipped => out.line(format_args!(
            "{skipped} lines were not shown: this terminal was slower than the plant; `tripline events` has them"
        )),
    }
}

fn print(notice: &Notice, repeats: &mut Repeats, out: &mut Out) -> Result<(), CliError> {
    let line = match notice {
        Notice::Event(event) if is_news(&event.body) => {
            let Some(skipped) = repeats.admit(&event.body, Instant::now()) else {
                return Ok(());
            };
            let line = events::line(event, out);
            if skipped > 0 {
                format!("{line} ({skipped} times more in the meantime)")
            } else {
                line
            }
        }
        Notice::Event(_) => return Ok(()),
        other => {
            let time = wall_time::time_of_day(wall_time::now_ns());
            format!(
                "{}  {}",
                out.tone(Tone::Faint, time),
                out.tone(tone(other), other)
            )
        }
    };
    out.line(line)
}

/// Rules that begin to watch or count their on-delay are no news; `tripline events` has them.
fn is_news(body: &EventBody) -> bool {
    match body {
        EventBody::Rule { from, state, .. } => from == "active" || state == "active",
        _ => true,
    }
}

fn tone(notice: &Notice) -> Tone {
    match notice {
        Notice::GuardUp { .. } | Notice::Broker(drivers_mqtt::LinkChange::Up) => Tone::Good,
        Notice::Event(_) | Notice::Restarting(_) => Tone::Plain,
        Notice::Broker(_) | Notice::EventsLost(_) | Notice::AlertsDropped(_) => Tone::Warn,
        Notice::GuardDown
        | Notice::OtherBundle { .. }
        | Notice::GuardDied(_)
        | Notice::CrashLoop { .. }
        | Notice::RestartFailed(_) => Tone::Bad,
    }
}

fn finish(outcome: Outcome, farewell: Farewell, out: &mut Out) -> Result<Exit, CliError> {
    let tone = if outcome.is_good() {
        Tone::Good
    } else {
        Tone::Bad
    };
    let line = out.tone(tone, outcome).to_string();
    out.line(line)?;
    if farewell.undelivered > 0 {
        let line = format!(
            "{} messages were not delivered to the broker and are lost now",
            farewell.undelivered
        );
        let line = out.tone(Tone::Warn, line).to_string();
        out.line(line)?;
    }
    Ok(if outcome.is_good() {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_desk_a_socket() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("guard.sock");
        let first = lock(&socket).unwrap();
        assert!(matches!(lock(&socket), Err(CliError::DeskRuns(_))));
        drop(first);
        assert!(lock(&socket).is_ok());
    }
}
