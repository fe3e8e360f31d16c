//! A prepared lane's threads: started, measured, sealed.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use appliance_sandbox::Engine;
use rt_config::{host, limits, seal};

use super::prepare::{Calibration, Prepared};
use super::{ACQUISITION_STACK_BYTES, Refused};
use crate::confine::{self, Calls};
use crate::exit::Exit;
use crate::lane_thread::{LaneEnd, Runner, notify};
use crate::placement::ThreadSettings;
use crate::pulse::Phase;
use crate::report::Placement;
use crate::serve::LaneHandle;

impl Prepared {
    /// Starts the lane's thread and its acquisition threads; returns when the lane is sealed.
    pub(super) fn launch(
        mut self,
        engine: &Engine,
        degraded: &mut Vec<String>,
        too_slow: &mut Vec<String>,
    ) -> Result<LaneHandle, Refused> {
        let spawned = |error: std::io::Error| (Exit::Usage, format!("no thread: {error}"));
        let wake = Arc::clone(&self.runner.wake);
        let (report, placed) = channel();
        let engine = engine.clone();
        let settings = ThreadSettings {
            name: format!("lane {}", self.name),
            core: self.core,
            priority: self.priority,
            isolated: self.isolated,
            spin: self.runner.spin,
        };
        let acquisition_settings = ThreadSettings {
            core: None,
            // Below the lane: a frame that arrives is acted upon before the next one is read.
            priority: settings.priority.saturating_sub(1),
            spin: false,
            ..settings.clone()
        };
        let mut feeds = Vec::new();
        for feed in self.feeds.drain(..) {
            let settings = acquisition_settings.clone();
            let thread = std::thread::Builder::new()
                .name(format!("acquire-{}", self.name))
                .stack_size(ACQUISITION_STACK_BYTES)
                .spawn(move || {
                    let _ = settings.apply();
                    feed.run();
                })
                .map_err(spawned)?;
            feeds.push(thread);
        }
        if let Some(background) = self.background.take() {
            let thread = std::thread::Builder::new()
                .name(format!("background-{}", self.name))
                .spawn(move || background.run())
                .map_err(spawned)?;
            feeds.push(thread);
        }
        let runner = self.runner;
        let main = Arc::clone(&runner.main);
        let calibration = self.calibration;
        let (pulse, wake_sentinel) = (Arc::clone(&self.pulse), self.wake_sentinel);
        let thread: JoinHandle<Option<LaneEnd>> = std::thread::Builder::new()
            .name(format!("lane-{}", self.name))
            .stack_size(limits::LANE_STACK_BYTES)
            .spawn(move || {
                let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    run(runner, &engine, &settings, calibration, &report)
                }));
                seal::unseal();
                if end.is_err() {
                    pulse.enter(Phase::Died);
                    notify(std::os::fd::AsFd::as_fd(&*wake_sentinel));
                }
                notify(std::os::fd::AsFd::as_fd(&*main));
                end.ok()
            })
            .map_err(spawned)?;
        let started = placed.recv().map_err(|_| {
            (
                Exit::LaneDied,
                format!("lane {} died while it started", self.name),
            )
        })?;
        degraded.extend(started.problems);
        if let Some(cause) = started.too_slow {
            too_slow.push(format!("lane {}: {cause}", self.name));
        }
        Ok(LaneHandle {
            thread: Some(thread),
            feeds,
            commands: self.commands,
            messages: self.messages,
            wake,
            placement: started.placement,
            stats: self.stats,
            analyzer_views: self.analyzer_views,
            pulse: self.pulse,
            orders: self.orders,
            told: None,
            told_proved: false,
            spare: Some(self.spare),
        })
    }
}

/// What a lane's thread tells before it is sealed.
struct Started {
    placement: Placement,
    problems: Vec<String>,
    too_slow: Option<String>,
}

fn run(
    mut runner: Runner,
    engine: &Engine,
    settings: &ThreadSettings,
    calibration: Calibration,
    report: &Sender<Started>,
) -> LaneEnd {
    let (placement, mut problems) = settings.apply();
    engine.prepare_thread();
    host::prefault_stack();
    // Before what is foreign runs here, and before what is measured: a call costs what it will cost.
    problems.extend(confine::thread(Calls::Lane));
    runner.warm_up();
    let Calibration {
        fuel,
        prices,
        assumed,
        rest,
    } = calibration;
    let too_slow = runner.calibrate(fuel, prices, assumed, rest);
    let _ = report.send(Started {
        placement,
        problems,
        too_slow,
    });
    seal::seal();
    runner.run()
}
