//! From a bundle's bytes to running lanes. Everything that can be refused is refused here, before an output is touched.

mod launch;
mod prepare;
mod sources;

use std::io::{PipeReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};

use appliance_lane::Event;
use appliance_sandbox::Engine;
use rt_config::cpu::Cores;
use rt_config::{clock, cpu, host, limits};
use rules_bundle::{Bundle, BundleKey, Plan, SignaturePlan, Vouched};
use rustix::event::{EventfdFlags, eventfd};

use crate::acquire::LinkNews;
use crate::analyzers::{self, Service};
use crate::args::Args;
use crate::confine::{self, Calls, Needs};
use crate::control::Listener;
use crate::exit::Exit;
use crate::kept::{self, Moment, Writer};
use crate::outside::{Environment, Outside};
use crate::placement::ThreadSettings;
use crate::rights::Gate;
use crate::sentinel::Sentinel;
use crate::serve::{Guard, Keeper};
use prepare::prepare;

/// Stack of an acquisition thread.
const ACQUISITION_STACK_BYTES: usize = 256 * 1024;

type Refused = (Exit, String);

/// Starts everything. On success every lane runs and every output is being driven to its safe value.
pub(crate) fn start(args: &Args) -> Result<Guard, Refused> {
    let gate = Gate::new(args.operators.clone()).map_err(|cause| (Exit::Usage, cause))?;
    let bundle = read_bundle(&args.bundle, args.bundle_key.as_deref())?;
    let lacks = unvouched(&bundle.plan, args.allow_unsigned)
        .map_err(|(exit, cause)| (exit, format!("{}: {cause}", args.bundle.display())))?;
    let listener =
        Listener::open(&args.socket, gate).map_err(|error| (Exit::Socket, error.to_string()))?;
    // Only who holds the socket may touch what is kept beside it.
    let kept_in = kept::path(args.state.as_deref(), &args.socket);
    if let Some(folder) = kept_in.parent() {
        // While it can still be made; one that cannot is told when it is written to.
        let _ = std::fs::create_dir_all(folder);
    }
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
    let lanes = &bundle.plan.lanes;
    let priority = lanes.iter().map(|lane| lane.priority).max().unwrap_or(0);
    let watcher = |name: &str| ThreadSettings {
        name: name.to_owned(),
        // Off the lanes' cores, as every thread that this one starts; which of the others is the scheduler's choice.
        core: None,
        priority: priority.saturating_add(1).min(host::FIFO_PRIORITY_MAX),
        isolated: false,
        spin: false,
    };
    degraded.extend(lacks);
    let environment = Environment::read();
    let needs = Needs::of(&bundle.plan, args, &kept_in, &environment);
    // Before the first foreign instance is made, and before any thread is started.
    degraded.extend(confine::process(&needs, args.unconfined));
    if lanes.iter().any(|lane| lane.analyzers().next().is_some()) {
        // Before the first instance is made: that has a deadline, too.
        let problems =
            analyzers::start_ticker(engine.ticker(), watcher("epoch"), Arc::clone(&stop))
                .map_err(|error| (Exit::Usage, format!("no thread for deadlines: {error}")))?;
        degraded.extend(problems);
    }
    let (analyzer_news, analyzer_news_from) = channel();
    let shared = Shared {
        bundle: &bundle,
        engine: &engine,
        analyzer_news: &analyzer_news,
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
    let mut service = Service::default();
    for mut lane in prepared {
        posts.extend(lane.post.take());
        service.join(std::mem::take(&mut lane.service));
        lanes.push(lane.launch(&engine, &mut degraded, &mut too_slow)?);
    }
    if !service.is_empty() {
        let (engine, stop) = (engine.clone(), Arc::clone(&stop));
        std::thread::Builder::new()
            .name("analyzers".to_owned())
            .spawn(move || service.run(&engine, &stop))
            .map_err(|error| (Exit::Usage, format!("no thread for analyzers: {error}")))?;
    }
    // Every output is latched until a reset, and nobody can ask for one yet: what no sentinel has seen is safe.
    let (sentinel, problems) = Sentinel::start(
        posts,
        watcher("sentinel"),
        wake_sentinel,
        Arc::clone(&wake_main),
    )
    .map_err(|error| (Exit::Usage, format!("no thread for the sentinel: {error}")))?;
    degraded.extend(problems);
    let (outside, problems) = Outside::open(
        &environment,
        args.watchdog_device.as_deref(),
        bundle.plan.lanes.len(),
    );
    degraded.extend(problems);
    degraded.extend(confine::thread(Calls::Settled));
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
        analyzer_news: analyzer_news_from,
        stop,
        wake: wake_main,
        no_deep_idle,
    }))
}

struct Shared<'a> {
    bundle: &'a Bundle,
    analyzer_news: &'a Sender<(usize, Event)>,
    engine: &'a Engine,
    cores: &'a Cores,
    main: &'a Arc<OwnedFd>,
    sentinel: &'a Arc<OwnedFd>,
    news: &'a Sender<LinkNews>,
    stop: &'a Arc<AtomicBool>,
    crash_loop: bool,
}

/// Reads the file once; what was verified is what runs (H-67). The key is forgotten when this returns.
fn read_bundle(path: &Path, key: Option<&Path>) -> Result<Bundle, Refused> {
    let key = match key {
        Some(path) => BundleKey::load(path),
        None => BundleKey::default_path().and_then(|path| BundleKey::load(&path)),
    };
    let key = key.map_err(|error| (Exit::Bundle, error.to_string()))?;
    let refuse = |cause: String| (Exit::Bundle, format!("{}: {cause}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| refuse(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| refuse(error.to_string()))?;
    if !metadata.is_file() {
        return Err(refuse("not a regular file".to_owned()));
    }
    // What they wrote would not run; but they could keep this guard from starting.
    if metadata.mode() & 0o002 != 0 {
        return Err(refuse(
            "anybody may write to it. Take that right away: chmod o-w".to_owned(),
        ));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(limits::BUNDLE_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| refuse(error.to_string()))?;
    rules_bundle::open(&bytes, &key).map_err(|error| refuse(error.to_string()))
}

/// Refuses a pack or modules that nobody vouches for, now or any more; or says which they are, when that is allowed
/// (H-65, H-66, I13).
fn unvouched(plan: &Plan, allowed: bool) -> Result<Vec<String>, Refused> {
    let now_s = clock::wall_ns() / 1_000_000_000;
    let lack = |what: &str, name: &str, signature: Option<&SignaturePlan>| match signature {
        None => Some(format!("unsigned {what} {name}")),
        Some(signature) if signature.expires.is_some_and(|end| end < now_s) => Some(format!(
            "{what} {name}: the signature of {} has expired",
            signature.signer
        )),
        Some(_) => None,
    };
    let pack = match &plan.vouched {
        Vouched::Nobody => lack("pack", &plan.name, None),
        Vouched::By(signature) => lack("pack", &plan.name, Some(signature)),
        Vouched::Program => None,
    };
    let modules = plan
        .modules
        .iter()
        .filter_map(|module| lack("module", &module.name, module.signature.as_ref()));
    let lacks: Vec<String> = pack.into_iter().chain(modules).collect();
    match lacks.first() {
        Some(lack) if !allowed => Err((
            Exit::Bundle,
            format!(
                "{lack}: it is not run. Have it signed and build the bundle again; for development only, --allow-unsigned runs it"
            ),
        )),
        _ => Ok(lacks),
    }
}

/// SIGTERM and SIGINT as something to poll. A pipe: the kernel lets any thread that is free take a signal, and the one call that
/// the handler then makes must be on the list of each ([`crate::confine`]). That is `write`, not the `send` of a socket.
pub(crate) fn signals() -> std::io::Result<PipeReader> {
    let (read, write) = std::io::pipe()?;
    rustix::io::ioctl_fionbio(&read, true)?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}

fn wake_up() -> Result<OwnedFd, String> {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|error| format!("no eventfd: {error}"))
}

/// News of links that acquisition threads read.
pub(crate) type News = Receiver<LinkNews>;
/// News of analyzers of class background, with the lane's index.
pub(crate) type AnalyzerNews = Receiver<(usize, Event)>;
