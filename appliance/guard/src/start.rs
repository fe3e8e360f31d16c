//! From a bundle's bytes to running lanes. Everything that can be refused is refused here, before an output is touched.

use std::io::Read;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use appliance_lane::queue::FrameConsumer;
use appliance_lane::{Hold, Lane};
use appliance_output::OutputConnection;
use appliance_sandbox::{Engine, NativeCode, RuleModule};
use drivers_frame::{DeviceId, DurNs, MonoNs};
use drivers_modbus::session::Session;
use drivers_modbus::transport::Driver;
use rt_config::cpu::Cores;
use rt_config::{clock, cpu, host, limits, seal};
use rtrb::{Consumer, Producer, RingBuffer};
use rules_bundle::{Acquire, Bundle, HostAssumption, LaneCode, LanePlan, LinkPlan, Wait};
use rustix::event::{EventfdFlags, eventfd};

use crate::acquire::{Acquisition, Feed, LinkNews, LinkStats, Source};
use crate::args::Args;
use crate::calibrate;
use crate::control::Listener;
use crate::exit::Exit;
use crate::kept::{self, Moment, Writer};
use crate::lane_thread::{Driven, Inline, LaneEnd, Runner, notify};
use crate::message::{Command, Message, Snapshot};
use crate::outside::{Environment, Outside};
use crate::placement::ThreadSettings;
use crate::pulse::{Beat, Orders, Phase, Pulse};
use crate::report::Placement;
use crate::rights::Gate;
use crate::sentinel::{Post, Sentinel};
use crate::serve::{Guard, Keeper, LaneHandle};
use crate::share::{REST, Share};
use crate::stages::Stages;
use crate::timing::{self, Timing};
use crate::window::Window;
use crate::wiring;

/// Stack of an acquisition thread.
const ACQUISITION_STACK_BYTES: usize = 256 * 1024;

type Refused = (Exit, String);

/// Starts everything. On success every lane runs and every output is being driven to its safe value.
pub(crate) fn start(args: &Args) -> Result<Guard, Refused> {
    let gate = Gate::new(args.operators.clone()).map_err(|cause| (Exit::Usage, cause))?;
    let bundle = read_bundle(&args.bundle)?;
    let listener =
        Listener::open(&args.socket, gate).map_err(|error| (Exit::Socket, error.to_string()))?;
    // Only who holds the socket may touch what is kept beside it.
    let kept_in = kept::path(args.state.as_deref(), &args.socket);
    let (mut kept, damaged) = kept::open(&kept_in);
    let before = kept.begin(Moment::now(), damaged.is_some());
    let mut degraded = Vec::new();
    if let Err(error) = host::lock_memory() {
        degraded.push(format!(
            "memory is not locked ({error}): a page fault may delay a stop. Grant CAP_IPC_LOCK"
        ));
    }
    let no_deep_idle = match host::NoDeepIdle::hold() {
        Ok(held) => Some(held),
        Err(error) => {
            degraded.push(format!("deep idle states are not held off (/dev/cpu_dma_latency: {error}): an exchange may take three times as long"));
            None
        }
    };
    let signals =
        signals().map_err(|error| (Exit::Usage, format!("signals cannot be handled: {error}")))?;
    let cores = Cores::read();
    let lane_cores: Vec<Option<usize>> = bundle
        .plan
        .lanes
        .iter()
        .enumerate()
        .map(|(index, lane)| lane.cpu.map(usize::from).or_else(|| cores.choose(index)))
        .collect();
    let taken: Vec<usize> = lane_cores.iter().copied().flatten().collect();
    if let Err(error) = cpu::stay_off(&taken) {
        degraded.push(format!(
            "the other threads share the lanes' cores ({error})"
        ));
    }
    let shares = lane_cores.iter().any(Option::is_none)
        || cores.online.iter().all(|core| taken.contains(core));
    if shares {
        degraded.push(
            "the sentinel shares a core with a lane: a host with one core more than lanes would let it act while a lane does not let go of its own"
                .to_owned(),
        );
    }
    let wake_sentinel = Arc::new(wake_up().map_err(|error| (Exit::Usage, error))?);
    let wake_main = Arc::new(wake_up().map_err(|error| (Exit::Usage, error))?);
    let (news, news_from) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let engine = Engine::new().map_err(|error| (Exit::Bundle, error.to_string()))?;
    let shared = Shared {
        engine: &engine,
        cores: &cores,
        main: &wake_main,
        sentinel: &wake_sentinel,
        news: &news,
        stop: &stop,
        crash_loop: kept.crash_loop,
    };
    // Every lane is prepared before the first one runs: a bundle runs whole or not at all.
    let mut prepared = Vec::with_capacity(bundle.plan.lanes.len());
    for (index, ((plan, code), core)) in bundle
        .plan
        .lanes
        .iter()
        .zip(&bundle.lanes)
        .zip(lane_cores)
        .enumerate()
    {
        prepared.push(prepare(index, plan, code, core, &shared)?);
    }
    // Nothing more can be refused: from here on an end that is not asked for is one without order.
    if let Err(error) = kept::write_whole(&kept_in, &kept.to_bytes()) {
        degraded.push(format!(
            "latches may not survive a restart: {} cannot be written ({error}). Give --state a folder that can",
            kept_in.display()
        ));
    }
    let writer = Writer::start(kept_in, Arc::clone(&wake_main)).map_err(|error| {
        (
            Exit::Usage,
            format!("no thread that keeps latches: {error}"),
        )
    })?;
    let mut keeper = Keeper::new(kept, before, damaged, writer);
    let mut too_slow = Vec::new();
    let mut lanes = Vec::with_capacity(prepared.len());
    let mut posts = Vec::with_capacity(prepared.len());
    let mut priority = 0;
    for mut lane in prepared {
        posts.extend(lane.post.take());
        priority = lane.priority.max(priority);
        lanes.push(lane.launch(&engine, &mut degraded, &mut too_slow)?);
    }
    // Every output is latched until a reset, and nobody can ask for one yet: what no sentinel has seen is safe.
    let settings = ThreadSettings {
        name: "sentinel".to_owned(),
        // Off the lanes' cores, as every thread that this one starts; which of the others is the scheduler's choice.
        core: None,
        priority: priority.saturating_add(1).min(host::FIFO_PRIORITY_MAX),
        isolated: false,
        spin: false,
    };
    let (sentinel, problems) =
        Sentinel::start(posts, settings, wake_sentinel, Arc::clone(&wake_main))
            .map_err(|error| (Exit::Usage, format!("no thread for the sentinel: {error}")))?;
    degraded.extend(problems);
    let (outside, problems) = Outside::open(
        &Environment::read(),
        args.watchdog_device.as_deref(),
        bundle.plan.lanes.len(),
    );
    degraded.extend(problems);
    for cause in too_slow {
        keeper.tell("host", true, cause.clone());
        degraded.push(cause);
    }
    for problem in &degraded {
        say!("tripline-guard: degraded: {problem}");
    }
    Ok(Guard::new(crate::serve::Parts {
        bundle,
        listener,
        signals,
        degraded,
        lanes,
        sentinel,
        outside,
        keeper,
        news: news_from,
        stop,
        wake: wake_main,
        no_deep_idle,
    }))
}

struct Shared<'a> {
    engine: &'a Engine,
    cores: &'a Cores,
    main: &'a Arc<OwnedFd>,
    sentinel: &'a Arc<OwnedFd>,
    news: &'a Sender<LinkNews>,
    stop: &'a Arc<AtomicBool>,
    crash_loop: bool,
}

/// Reads the file once; what was verified is what runs (H-67).
fn read_bundle(path: &Path) -> Result<Bundle, Refused> {
    let refuse = |cause: String| (Exit::Bundle, format!("{}: {cause}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| refuse(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| refuse(error.to_string()))?;
    if !metadata.is_file() {
        return Err(refuse("not a regular file".to_owned()));
    }
    // A bundle holds machine code: whoever may change it may run code as this user.
    if metadata.mode() & 0o002 != 0 {
        return Err(refuse(
            "anybody may write to it, and it holds machine code. Take that right away: chmod o-w"
                .to_owned(),
        ));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(limits::BUNDLE_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| refuse(error.to_string()))?;
    let bundle = rules_bundle::open(&bytes).map_err(|error| refuse(error.to_string()))?;
    let waiting = bundle.plan.lanes.iter().find_map(|lane| {
        let analyzer = lane.analyzers().map(|(_, name, _)| name).next();
        analyzer.or_else(|| {
            lane.waveforms
                .first()
                .map(|waveform| waveform.name.as_str())
        })
    });
    if let Some(name) = waiting {
        return Err(refuse(format!(
            "`{name}` is an analyzer or a waveform, which this version of the guard does not run. Take it out of the pack"
        )));
    }
    Ok(bundle)
}

/// SIGTERM and SIGINT as something to poll.
fn signals() -> std::io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}

fn wake_up() -> Result<OwnedFd, String> {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|error| format!("no eventfd: {error}"))
}

/// A lane that is ready to run.
struct Prepared {
    runner: Runner,
    calibration: Calibration,
    feeds: Vec<Acquisition>,
    core: Option<usize>,
    priority: u8,
    isolated: bool,
    commands: Producer<Command>,
    messages: Consumer<Message>,
    stats: Vec<Option<Arc<Mutex<LinkStats>>>>,
    /// For the sentinel.
    post: Option<Post>,
    pulse: Arc<Pulse>,
    orders: Arc<Orders>,
    wake_sentinel: Arc<OwnedFd>,
    spare: Box<Snapshot>,
    name: String,
}

fn prepare(
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
    // SAFETY: these bytes come from a bundle whose content hash was verified over them in memory by
    // `rules_bundle::open`, from a file that only trusted users may write (`read_bundle`).
    let native = unsafe { NativeCode::vouch(&code.native) };
    let slots = usize::try_from(plan.slots()).unwrap_or(usize::MAX);
    let module = RuleModule::load(shared.engine, &native, plan.programs().count(), slots)
        .map_err(|error| refuse(error.to_string()))?;
    let start = MonoNs::from_ns(clock::monotonic_ns());
    let mut lane = Lane::new(plan, module, start).map_err(|error| refuse(error.to_string()))?;
    if shared.crash_loop {
        lane.hold(Hold::CrashLoop, start);
    }
    let wake = Arc::new(wake_up().map_err(refuse)?);
    let sources = sources(index, plan, shared, &wake)?;
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
            assumed: plan.assumed,
            rest: rest(plan),
        },
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

/// A lane's inputs, sorted by who reads them.
struct Sources {
    inline: Vec<Inline>,
    threads: Vec<Acquisition>,
    queues: Vec<(DeviceId, FrameConsumer)>,
    stats: Vec<Option<Arc<Mutex<LinkStats>>>>,
}

fn sources(
    index: usize,
    plan: &LanePlan,
    shared: &Shared<'_>,
    wake: &Arc<OwnedFd>,
) -> Result<Sources, Refused> {
    let mut sources = Sources {
        inline: Vec::new(),
        threads: Vec::new(),
        queues: Vec::new(),
        stats: Vec::new(),
    };
    let acquisition = |feeds| Acquisition {
        lane: index,
        feeds,
        wake: Arc::clone(wake),
        stop: Arc::clone(shared.stop),
        news: shared.news.clone(),
        main: Arc::clone(shared.main),
    };
    let mut modbus_feeds = Vec::new();
    for (number, device) in (0_u16..).zip(&plan.devices) {
        let id = DeviceId(number);
        let wired = |error: wiring::WiringError| (Exit::Resolve, error.to_string());
        let refuse = |cause: String| (Exit::Bundle, format!("device {}: {cause}", device.name));
        let tags = plan.tags.iter().filter(|tag| tag.device == id).count();
        // Eight frames of everything the device has; a queue that small fits in a cache.
        let samples = tags
            .saturating_mul(8)
            .clamp(64, limits::QUEUE_SAMPLES.max(tags));
        // A lane reads what it can read without blocking and without allocating: Modbus, and plain MQTT at an address.
        // A name would have to be resolved at every connect, and TLS allocates.
        let waveforms = &plan.waveforms;
        let (source, block_bytes, may_inline) = match &device.link {
            LinkPlan::Modbus(modbus) => {
                let Some(config) =
                    wiring::modbus(id, &device.name, modbus, waveforms).map_err(wired)?
                else {
                    sources.stats.push(None);
                    continue;
                };
                // The seed spreads the reconnects of devices that fell together.
                let seed = clock::monotonic_ns().wrapping_add(u64::from(number));
                let block_bytes = config.block_buffer_bytes();
                let session =
                    Session::new(config, seed).map_err(|error| refuse(error.to_string()))?;
                (
                    Source::Modbus(Box::new(Driver::new(session))),
                    block_bytes,
                    true,
                )
            }
            // Refused when the bundle was read.
            LinkPlan::Analyzer(_) => {
                sources.stats.push(None);
                continue;
            }
            LinkPlan::Mqtt(mqtt) => {
                let config = wiring::mqtt(id, &device.name, mqtt, waveforms).map_err(wired)?;
                let driver = drivers_mqtt::Driver::new(&config)
                    .map_err(|error| refuse(error.to_string()))?;
                let plain = mqtt.broker.tls.is_none() && mqtt.broker.host.parse::<IpAddr>().is_ok();
                (
                    Source::Mqtt(Box::new(driver)),
                    config.block_buffer_bytes(),
                    plain,
                )
            }
        };
        let (producer, consumer) = wiring::queue(id, samples, block_bytes, waveforms);
        sources.queues.push((id, consumer));
        if may_inline && plan.acquire == Acquire::Inline {
            sources.inline.push(Inline::new(id, source, producer));
            sources.stats.push(None);
            continue;
        }
        let stats = Arc::new(Mutex::new(source.stats()));
        sources.stats.push(Some(Arc::clone(&stats)));
        let feed = Feed {
            device: number,
            source,
            queue: producer,
            stats,
        };
        match feed.source {
            // A broker whose name service hangs must not delay another source: a thread each.
            Source::Mqtt(_) => sources.threads.push(acquisition(vec![feed])),
            Source::Modbus(_) => modbus_feeds.push(feed),
        }
    }
    if !modbus_feeds.is_empty() {
        sources.threads.push(acquisition(modbus_feeds));
    }
    Ok(sources)
}

impl Prepared {
    /// Starts the lane's thread and its acquisition threads; returns when the lane is sealed.
    fn launch(
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

/// What the host is held against.
#[derive(Clone, Copy)]
struct Calibration {
    fuel: u64,
    assumed: HostAssumption,
    rest: DurNs,
}

/// For how long an input of a lane that parks may wait because its reader rests. One with a period leaves room anyway.
fn rest(plan: &LanePlan) -> DurNs {
    let unpaced = plan.devices.iter().any(|device| {
        matches!(&device.link, LinkPlan::Modbus(modbus) if modbus.poll.is_none() && !modbus.points.is_empty())
    });
    if unpaced { REST } else { DurNs::ZERO }
}

fn run(
    mut runner: Runner,
    engine: &Engine,
    settings: &ThreadSettings,
    calibration: Calibration,
    report: &Sender<Started>,
) -> LaneEnd {
    let (placement, problems) = settings.apply();
    engine.prepare_thread();
    host::prefault_stack();
    runner.warm_up();
    let Calibration {
        fuel,
        assumed,
        rest,
    } = calibration;
    let too_slow = runner.calibrate(fuel, assumed, rest);
    let _ = report.send(Started {
        placement,
        problems,
        too_slow,
    });
    seal::seal();
    runner.run()
}

/// News of links that acquisition threads read.
pub(crate) type News = Receiver<LinkNews>;
