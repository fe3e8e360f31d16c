//! One lane, ready to run: its machine code, tables, inputs and outputs. Nothing of it runs yet.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use appliance_lane::{Hold, Lane};
use appliance_output::OutputConnection;
use appliance_sandbox::{NativeCode, RuleModule};
use drivers_frame::{DurNs, MonoNs};
use rt_config::{clock, limits};
use rtrb::{Consumer, Producer, RingBuffer};
use rules_bundle::{HostAssumption, LaneCode, LanePlan, LinkPlan, Wait, WaveformPlan};

use super::sources::sources;
use super::{Refused, Shared, wake_up};
use crate::acquire::{Acquisition, LinkStats};
use crate::analyzers::{self, Around, Background, BackgroundView, Bundled, Price, Service};
use crate::exit::Exit;
use crate::lane_thread::{Driven, Runner};
use crate::message::{Command, Message, Snapshot};
use crate::pulse::{Beat, Orders, Pulse};
use crate::sentinel::Post;
use crate::share::{REST, Share};
use crate::stages::Stages;
use crate::timing::Timing;
use crate::window::Window;
use crate::{calibrate, timing, wiring};

/// A lane that is ready to run.
pub(super) struct Prepared {
    pub(super) runner: Runner,
    pub(super) calibration: Calibration,
    pub(super) background: Option<Background>,
    pub(super) service: Service,
    pub(super) analyzer_views: Vec<Option<Arc<Mutex<BackgroundView>>>>,
    pub(super) feeds: Vec<Acquisition>,
    pub(super) core: Option<usize>,
    pub(super) priority: u8,
    pub(super) isolated: bool,
    pub(super) commands: Producer<Command>,
    pub(super) messages: Consumer<Message>,
    pub(super) stats: Vec<Option<Arc<Mutex<LinkStats>>>>,
    /// For the sentinel.
    pub(super) post: Option<Post>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) orders: Arc<Orders>,
    pub(super) wake_sentinel: Arc<OwnedFd>,
    pub(super) spare: Box<Snapshot>,
    pub(super) name: String,
}

pub(super) fn prepare(
    index: usize,
    plan: &LanePlan,
    code: &LaneCode,
    core: Option<usize>,
    shared: &Shared<'_>,
) -> Result<Prepared, Refused> {
    let refuse = |cause: String| (Exit::Bundle, format!("lane {}: {cause}", plan.name));
    let isolated = core.is_some_and(|core| shared.cores.isolated.contains(&core));
    let spin = match plan.wait {
        Wait::Spin => true,
        Wait::Park => false,
        Wait::Auto => isolated,
    };
    #[expect(
        unsafe_code,
        reason = "the guard executes the bundle it was given: this is where it vouches for it"
    )]
    // SAFETY: these bytes come from a bundle whose tag `rules_bundle::open` verified over them in memory: only who has this
    // host's key can have sealed them, and that is the compiler of `tripline build` (`read_bundle`).
    let native = unsafe { NativeCode::vouch(&code.native) };
    let slots = usize::try_from(plan.slots()).unwrap_or(usize::MAX);
    let module = RuleModule::load(shared.engine, &native, plan.programs().count(), slots)
        .map_err(|error| refuse(error.to_string()))?;
    let start = MonoNs::from_ns(clock::monotonic_ns());
    let wake = Arc::new(wake_up().map_err(refuse)?);
    let analyzers = analyzers::load(
        shared.engine,
        plan,
        Bundled {
            modules: &shared.bundle.plan.modules,
            code: &shared.bundle.modules,
            blocks: &shared.bundle.blocks,
        },
        &Around {
            lane: index,
            wake: &wake,
            inbox: Arc::new(wake_up().map_err(refuse)?),
            main: shared.main,
            stop: shared.stop,
            news: shared.analyzer_news,
        },
    )
    .map_err(refuse)?;
    let mut lane = Lane::with_analyzers(plan, module, analyzers.seats, start)
        .map_err(|error| refuse(error.to_string()))?;
    if shared.crash_loop {
        lane.hold(Hold::CrashLoop, start);
    }
    let mut sources = sources(index, plan, shared, &wake)?;
    let home = |waveform: &WaveformPlan| {
        let mut queues = sources.queues.iter();
        // One without a home has a device that nothing is read from: no block of it ever comes.
        let home = queues.position(|(device, _)| *device == waveform.device);
        home.unwrap_or(usize::MAX)
    };
    let homes = plan.waveforms.iter().map(home).collect();
    sources.queues.extend(analyzers.queues);
    let mut outputs = Vec::with_capacity(plan.outputs.len());
    let mut watched = Vec::with_capacity(plan.outputs.len());
    for output in &plan.outputs {
        let address = wiring::resolve(
            &format!("output {}", output.name),
            &output.host,
            output.port,
        )
        .map_err(|error| (Exit::Resolve, error.to_string()))?;
        outputs.push(Driven::new(OutputConnection::new(output, address)));
        watched.push(OutputConnection::standing_by(
            output,
            address,
            DurNs::from_ms(limits::SENTINEL_LOOK_MS),
        ));
    }
    let pulse = Arc::new(Pulse::default());
    let orders = Arc::new(Orders::new(plan.outputs.len()));
    let (commands, commands_from) = RingBuffer::new(limits::LANE_COMMANDS);
    let (messages_to, messages) = RingBuffer::new(limits::LANE_EVENTS);
    let no_histogram = || refuse("no memory for histograms".to_owned());
    Ok(Prepared {
        runner: Runner {
            lane,
            inline: sources.inline,
            queues: sources.queues,
            homes,
            more_blocks: false,
            canaries: analyzers.canaries,
            replays: analyzers.replays,
            outputs,
            commands: commands_from,
            messages: messages_to,
            wake,
            main: Arc::clone(shared.main),
            stages: Stages::new().ok_or_else(no_histogram)?,
            timer_period: plan.timer_period,
            spin,
            share: Share::new(start),
            next_tick: MonoNs::ZERO,
            stop_by: None,
            messages_lost: 0,
            told_main: false,
            timing: Timing::new(timing::budget(plan)),
            beat: Beat::new(Arc::clone(&pulse), plan.timer_period),
            orders: Arc::clone(&orders),
            forbidden: false,
        },
        calibration: Calibration {
            fuel: calibrate::fuel_of(plan),
            prices: analyzers.prices,
            assumed: plan.assumed,
            rest: rest(plan),
        },
        background: analyzers.background,
        service: analyzers.service,
        analyzer_views: analyzers.views,
        feeds: sources.threads,
        core,
        priority: plan.priority,
        isolated,
        commands,
        messages,
        stats: sources.stats,
        post: Some(Post {
            pulse: Arc::clone(&pulse),
            orders: Arc::clone(&orders),
            window: Window::of(plan),
            outputs: watched,
        }),
        pulse,
        orders,
        wake_sentinel: Arc::clone(shared.sentinel),
        spare: Snapshot::new(plan).ok_or_else(no_histogram)?,
        name: plan.name.clone(),
    })
}

/// What the host is held against.
pub(super) struct Calibration {
    pub(super) fuel: u64,
    pub(super) prices: Vec<(String, Price)>,
    pub(super) assumed: HostAssumption,
    pub(super) rest: DurNs,
}

/// For how long an input of a lane that parks may wait because its reader rests. One with a period leaves room anyway.
fn rest(plan: &LanePlan) -> DurNs {
    let unpaced = plan.devices.iter().any(|device| {
        matches!(&device.link, LinkPlan::Modbus(modbus) if modbus.poll.is_none() && !modbus.points.is_empty())
    });
    if unpaced { REST } else { DurNs::ZERO }
}
