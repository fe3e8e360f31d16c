//! What is on stage: the plant, the pack, the guard, the desk, the reader of alerts; and the live table.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use appliance_control::Event;
use appliance_desk::notice::Notice;
use appliance_desk::relay::Farewell;
use appliance_desk::signals::StopSignal;
use appliance_desk::supervise::Outcome;
use drivers_sim::plant::{Plant, PlantConfig, StationName};
use drivers_sim::wave::WavePublisher;
use rules_bundle::Vouched;
use tempfile::TempDir;

use super::RULE;
use super::alerts::{Alerts, Received};
use super::analyzer::Cast;
use crate::build::{self, BuildError};
use crate::error::CliError;
use crate::out::{Out, note};
use crate::pack;
use crate::paint::Tone;
use crate::run::{Running, Start};
use crate::settings::Settings;
use crate::trust;
use crate::units;

/// Time between two lines of the live table.
const LINE_EVERY: Duration = Duration::from_millis(500);
/// How often is looked whether something happened.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Below this the shaft stands still for the story, rpm.
const STANDS_RPM: f64 = 10.0;
/// Events and alerts that are kept. A lap makes a few dozen; whoever plays for hours loses the oldest.
const KEPT_MAX: usize = 10_000;

/// Everything that runs.
pub(super) struct Stage {
    // The order is the order of dropping, should anything fail: the reader, then the guard and the desk, then the plant.
    alerts: Alerts,
    running: Running,
    _accelerometer: Option<WavePublisher>,
    pub(super) plant: Plant,
    /// The rule that must be the first cause.
    pub(super) rule: String,
    /// The module that decides, when one does.
    pub(super) module: Option<String>,
    socket: PathBuf,
    pub(super) prefix: String,
    began: Instant,
    pub(super) events: Vec<Event>,
    pub(super) received: Vec<Received>,
    dir: TempDir,
}

impl Stage {
    /// Starts everything, and says what.
    pub(super) fn build(
        seed: u64,
        cast: Option<&Cast>,
        settings: &Settings,
        stop: &StopSignal,
        out: &mut Out,
    ) -> Result<Self, CliError> {
        let mut config = PlantConfig {
            seed,
            ..PlantConfig::default()
        };
        if cast.is_some() {
            // What decides is not this value: the stopwatch only notes when the stop came.
            config.vibration_limit_mm_s = 0.0;
        }
        let plant = Plant::start(&config)?;
        let file = |path: &Path, source| CliError::File {
            path: path.to_owned(),
            source,
        };
        let dir = tempfile::Builder::new().prefix("tripline-demo-").tempdir();
        let dir = dir.map_err(|source| file(&std::env::temp_dir(), source))?;
        let path = dir.path().join("demo.yaml");
        let text = plant.demo_pack()?;
        let text = cast.map_or_else(|| text.clone(), |cast| cast.pack(&text));
        build::write_whole(&path, text.as_bytes()).map_err(|source| file(&path, source))?;
        if let Some(cast) = cast {
            cast.place(dir.path())?;
        }
        let accelerometer = cast
            .and_then(|cast| cast.samples)
            .map(|samples| plant.start_accelerometer(usize::try_from(samples).unwrap_or(0)))
            .transpose()?;
        // Without the pack's lints: they are for its author.
        // Our own words, whatever this gateway trusts: the pack is part of this program. Its analyzer is not.
        let mut checked = build::check_bytes_with(&path, text.as_bytes(), settings.unsigned)
            .or_else(|error| pack::loaded(Err(error), settings))?;
        checked.plan.vouched = Vouched::Program;
        let prefix = checked
            .plan
            .alerts
            .as_ref()
            .map_or("", |plan| &plan.topic_prefix);
        let prefix = format!("{prefix}/{}", checked.plan.name);
        // Nothing is left of the demo: its key goes with its folder.
        let key = trust::bundle_key_at(&dir.path().join("bundle.key")).map_err(BuildError::Key)?;
        let built = build::compile(checked, &key)?;
        setting(&plant, &path, &built, cast, out)?;
        let broker = plant
            .broker_address()
            .ok_or(drivers_sim::plant::PlantError::NoBroker)?;
        let alerts =
            Alerts::subscribe(broker, &format!("{prefix}/alerts/#")).map_err(CliError::Reader)?;
        let socket = if settings.socket_named {
            settings.socket.clone()
        } else {
            dir.path().join("guard.sock")
        };
        let log = dir.path().join("guard.log");
        let start = Start {
            bytes: &built.bytes,
            bundle: &built.bundle,
            key: &key,
            socket: &socket,
            operators: None,
            unsigned: settings.unsigned,
            log: Some(log.clone()),
        };
        let running = Running::start(start, stop).inspect_err(|_| {
            // What the guard said before it went tells more than its exit code.
            if let Ok(said) = std::fs::read_to_string(&log) {
                note(said.trim_end());
            }
        })?;
        Ok(Self {
            alerts,
            running,
            _accelerometer: accelerometer,
            plant,
            rule: cast.map_or_else(|| RULE.to_owned(), Cast::rule),
            module: cast.map(Cast::title),
            socket,
            prefix,
            began: Instant::now(),
            events: Vec::new(),
            received: Vec::new(),
            dir,
        })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// How this program is called from here.
    pub(super) fn program(&self) -> String {
        let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tripline"));
        let here = std::env::current_dir().unwrap_or_default();
        own.strip_prefix(&here)
            .unwrap_or(&own)
            .display()
            .to_string()
    }

    /// A `tripline` command for this guard, to be typed as it is.
    pub(super) fn command(&self, command: &str) -> String {
        format!(
            "{} {command} --socket {}",
            self.program(),
            self.socket.display()
        )
    }

    /// Where the guard's own messages are.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.path().join("guard.log")
    }

    /// Lets `time` pass, taking in what happens.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            while let Some(notice) = self.running.notices.next(Duration::ZERO) {
                if let Notice::Event(event) = notice {
                    self.events.push(*event);
                }
            }
            self.received.extend(self.alerts.take());
            forget_old(&mut self.events);
            forget_old(&mut self.received);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK_EVERY));
        }
    }

    /// Whether the press has no run permit: by its own coil, whatever the guard says.
    pub(super) fn is_stopped(&self) -> bool {
        !self.plant.snapshot().run_permit
    }

    pub(super) fn fail_bearing(&self) {
        self.plant.reset_first_stop();
        self.plant
            .with_press(drivers_sim::press::Press::fail_bearing);
    }

    pub(super) fn replace_bearing(&self) {
        self.plant
            .with_press(drivers_sim::press::Press::replace_bearing);
    }

    pub(super) fn heading(&self, out: &mut Out) -> Result<(), CliError> {
        let text = "    time   shaft speed   vibration   bearing   pressure   run permit";
        let text = out.tone(Tone::Faint, text).to_string();
        out.line(text)
    }

    /// The live table until `until`, a stop of the press that ran, or Ctrl-C.
    pub(super) fn watch(
        &mut self,
        until: Instant,
        stop: &StopSignal,
        out: &mut Out,
    ) -> Result<(), CliError> {
        let mut ran = false;
        let mut line_at = Instant::now();
        while Instant::now() < until && !stop.is_set() {
            ran |= !self.is_stopped();
            if ran && self.is_stopped() {
                return self.live_line(out);
            }
            if Instant::now() >= line_at {
                line_at += LINE_EVERY;
                self.live_line(out)?;
            }
            self.pass(LOOK_EVERY);
        }
        Ok(())
    }

    /// The live table until the shaft stands still.
    pub(super) fn coast(
        &mut self,
        within: Duration,
        stop: &StopSignal,
        out: &mut Out,
    ) -> Result<(), CliError> {
        let until = Instant::now() + within;
        while Instant::now() < until && !stop.is_set() {
            self.pass(LINE_EVERY);
            self.live_line(out)?;
            if self.plant.snapshot().readings.speed_rpm < STANDS_RPM {
                break;
            }
        }
        Ok(())
    }

    fn live_line(&self, out: &mut Out) -> Result<(), CliError> {
        let now = self.plant.snapshot();
        let is = now.readings;
        let permit = if now.run_permit {
            out.tone(Tone::Good, "granted")
        } else {
            out.tone(Tone::Bad, "withheld")
        };
        let line = format!(
            "  {:>5.1}s  {:>7.0} rpm  {:>5.2} mm/s  {:>5.1} °C  {:>5.0} bar   {permit}",
            self.began.elapsed().as_secs_f64(),
            is.speed_rpm,
            is.vibration_mm_s,
            is.bearing_deg_c,
            is.pressure_bar,
        );
        out.line(line)
    }

    /// Ends everything in order.
    pub(super) fn strike(self) -> (Outcome, Farewell) {
        drop(self.alerts);
        let (outcome, farewell, _notices) = self.running.stop();
        (outcome, farewell)
    }
}

fn forget_old<T>(list: &mut Vec<T>) {
    if list.len() > KEPT_MAX {
        list.drain(..list.len() - KEPT_MAX);
    }
}

/// What was set up.
fn setting(
    plant: &Plant,
    path: &Path,
    built: &build::Built,
    cast: Option<&Cast>,
    out: &mut Out,
) -> Result<(), CliError> {
    let broker = plant
        .broker_address()
        .map_or_else(String::new, |address| address.to_string());
    let rules: usize = built
        .bundle
        .plan
        .lanes
        .iter()
        .map(|lane| lane.rules.len())
        .sum();
    let outputs: usize = built
        .bundle
        .plan
        .lanes
        .iter()
        .map(|lane| lane.outputs.len())
        .sum();
    let size = units::size(u64::try_from(built.bytes.len()).unwrap_or(u64::MAX));
    out.line(format_args!(
        "  plant   press {} and hydraulics {} (Modbus/TCP), a sensor behind an MQTT broker {broker}",
        plant.address(StationName::PressIo),
        plant.address(StationName::Hydraulics),
    ))?;
    out.line(format_args!(
        "  pack    {rules} rules and {outputs} outputs, in YAML: {}",
        path.display()
    ))?;
    if let Some(cast) = cast {
        out.line(format_args!(
            "  module  {}, in place of the rule {RULE}",
            cast.title()
        ))?;
    }
    out.line(format_args!(
        "  bundle  the same, compiled for the guard: {size}"
    ))?;
    out.line("")
}
