//! A whole run: the entries, interleaved rounds, the report.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::broker::{self, BrokerPlan};
use crate::control;
use crate::device::Device;
use crate::gates::{self, Outcome};
use crate::host;
use crate::limits::TRIAL_MAX;
use crate::options::Options;
use crate::programs::own_entries;
use crate::report::{self, Header, Report, Round};
use crate::segment::{Bench, Segment};
use crate::stats::Random;
use crate::system::{Entry, Road, Role, Site, SystemError, SystemUnderTest};

/// Milliseconds of one clock tick in `/proc/stat` (`USER_HZ` is 100 on every Linux this runs on).
const TICK_MS: u64 = 10;

/// Stolen time that a long round may have: one part in so many.
const STOLEN_SHARE: u64 = 500;

/// Measures everything and reports it; the exit code is the gates' when they were asked for.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]
pub(crate) fn measure(options: &Options, more: Vec<Entry>) -> ExitCode {
    let report = match run(options, more) {
        Ok(report) => report,
        Err(e) => {
            eprintln!("nothing was measured: {e}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", report::text(&report));
    match report::save(&report, options.json.as_deref()) {
        Ok(path) => println!("figures of every round: {}", path.display()),
        Err(e) => {
            eprintln!("the JSON file could not be written: {e}");
            return ExitCode::FAILURE;
        }
    }
    let passed = report.gates.iter().all(|g| g.outcome == Outcome::Pass);
    if options.gate && report.gates.is_empty() {
        eprintln!("--gate, but no Tripline system took part: nothing was gated");
        return ExitCode::FAILURE;
    }
    let wanted = usize::try_from(options.rounds).unwrap_or(usize::MAX);
    if options.gate && report.rounds_kept < wanted {
        eprintln!(
            "--gate, but only {} of {wanted} rounds could be kept: end what else runs here, and measure again",
            report.rounds_kept
        );
        return ExitCode::FAILURE;
    }
    if options.gate && !passed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// What takes part, split into what the control thread owns and what the report needs.
struct Field {
    headers: Vec<Header>,
    systems: Vec<Option<Box<dyn SystemUnderTest>>>,
}

fn run(options: &Options, more: Vec<Entry>) -> Result<Report, SystemError> {
    let (device_cpu, sut_cpu) = two_cores(options)?;
    host::pin(device_cpu).map_err(|e| {
        let cause = format!("core {device_cpu}: {e}; choose another with --device-cpu");
        SystemError::new("bind the device to its core", cause)
    })?;
    let broker = broker::plan();
    let Field { headers, systems } = field(options, more, broker.as_ref().err())?;
    let sleep_states = host::hold_sleep_states(!options.no_hold);
    let mut device = Device::bind().map_err(|e| SystemError::new("bind the device", e))?;
    let site = Site {
        device: device
            .address()
            .map_err(|e| SystemError::new("bind the device", e))?,
        broker: None,
        cpu: sut_cpu,
    };
    let mut random = Random::new(options.seed);
    let (control, worker) = control::pair();
    // Made on the device's core, and stays there.
    let worker = std::thread::spawn(move || worker.work(systems));
    let bench = Bench {
        device: &mut device,
        control: &control,
        random: &mut random,
        device_cpu,
        warm_up: options.warm_up,
        trials: options.trials,
        trial_max: TRIAL_MAX,
    };
    // On an error the worker may hang in a system, so it is not waited for: its children end with this process.
    let rounds = all_rounds(options, bench, site, &headers, broker.ok().as_ref())?;
    drop(control);
    worker
        .join()
        .map_err(|_| SystemError::new("end the control thread", "it panicked"))?;
    let kept = rounds.iter().filter(|r| !r.dropped).count();
    let not_quiet = |r: &&Round| {
        r.waited_percent
            .is_some_and(|p| p > options.waited_max_percent)
    };
    let stolen_is_told = rounds.iter().all(|r| r.stolen_ms.is_some());
    let systems = report::summarise(headers, &rounds);
    Ok(Report {
        note: report::NOTE,
        host: host::facts(),
        sleep_states: sleep_states.said,
        device_cpu,
        sut_cpu,
        seed: options.seed,
        trials_a_round: options.trials,
        warm_up_a_round: options.warm_up,
        rounds_kept: kept,
        rounds_dropped: rounds.len() - kept,
        stolen_max_ms: options.stolen_max_ms,
        stolen_is_told,
        rounds_not_quiet: rounds.iter().filter(not_quiet).count(),
        waited_max_percent: options.waited_max_percent,
        gates: gates::judge(&systems),
        systems,
    })
}

fn two_cores(options: &Options) -> Result<(usize, usize), SystemError> {
    let step = "choose two cores";
    let cores = host::cores().map_err(|e| SystemError::new(step, e))?;
    let device = options.device_cpu.or_else(|| cores.first().copied());
    let sut = options
        .sut_cpu
        .or_else(|| cores.iter().copied().find(|c| Some(*c) != device));
    match (device, sut) {
        (Some(device), Some(sut)) if device != sut => Ok((device, sut)),
        _ => Err(SystemError::new(
            step,
            format!(
                "this process may use the cores {cores:?}; the device and the system under test need one each"
            ),
        )),
    }
}

fn field(
    options: &Options,
    more: Vec<Entry>,
    no_broker: Option<&String>,
) -> Result<Field, SystemError> {
    let mut headers: Vec<Header> = Vec::new();
    let mut systems = Vec::new();
    let entries: Vec<Entry> = own_entries(options).into_iter().chain(more).collect();
    if let Some(unknown) = options
        .systems
        .iter()
        .find(|name| entries.iter().all(|e| e.name != **name))
    {
        let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
        return Err(SystemError::new(
            "choose the systems",
            format!("there is no `{unknown}`; there are {}", names.join(", ")),
        ));
    }
    let roads: Vec<Road> = entries
        .iter()
        .filter(|e| options.wants(&e.name))
        .map(|e| e.road)
        .collect();
    for entry in entries {
        let reference = entry.role == Role::Floor && roads.contains(&entry.road);
        if !reference && !options.wants(&entry.name) {
            continue;
        }
        if headers.iter().any(|h| h.name == entry.name) {
            let cause = format!("two systems are called `{}`", entry.name);
            return Err(SystemError::new("choose the systems", cause));
        }
        let system = match (entry.road, no_broker, entry.system) {
            (Road::Mqtt, Some(why), _) => Err(why.clone()),
            (_, _, system) => system,
        };
        headers.push(Header {
            name: entry.name,
            road: entry.road,
            role: entry.role,
            left_out: system.as_ref().err().cloned(),
        });
        systems.push(system.ok());
    }
    Ok(Field { headers, systems })
}

#[expect(clippy::print_stderr, reason = "progress, for people")]
fn all_rounds(
    options: &Options,
    mut bench: Bench<'_>,
    site: Site,
    headers: &[Header],
    broker: Option<&BrokerPlan>,
) -> Result<Vec<Round>, SystemError> {
    let wanted = usize::try_from(options.rounds).unwrap_or(usize::MAX);
    let mut rounds: Vec<Round> = Vec::new();
    loop {
        let kept = rounds.iter().filter(|r| !r.dropped).count();
        if kept == wanted || rounds.len() >= 2 * wanted {
            return Ok(rounds);
        }
        let round = one_round(options, &mut bench, site, headers, broker)?;
        let stolen = round
            .stolen_ms
            .map_or_else(|| "not told".to_owned(), |ms| format!("{ms} ms"));
        eprintln!(
            "round {} ({kept} of {wanted} kept before it): stolen {stolen}, tasks waited for a core {}{}",
            rounds.len() + 1,
            round
                .waited_percent
                .map_or_else(|| "not told".to_owned(), |p| format!("{p:.0} %")),
            if round.dropped { ", dropped" } else { "" }
        );
        rounds.push(round);
    }
}

fn one_round(
    options: &Options,
    bench: &mut Bench<'_>,
    site: Site,
    headers: &[Header],
    broker: Option<&BrokerPlan>,
) -> Result<Round, SystemError> {
    let mut order: Vec<usize> = (0..headers.len()).collect();
    // A fixed order would give each system always the same neighbour, and the same place in whatever the host does.
    bench.random.shuffle(&mut order);
    let cores = [bench.device_cpu, site.cpu];
    let before = host::stolen_ticks(&cores);
    let begun = Instant::now();
    let mut segments = vec![None; headers.len()];
    for index in order {
        let Some(header) = headers.get(index).filter(|h| h.left_out.is_none()) else {
            continue;
        };
        let broker = broker.filter(|_| header.road == Road::Mqtt);
        let site = Site {
            broker: broker.map(|plan| plan.address),
            ..site
        };
        segments[index] = Some(bench.segment(index, site, broker)?);
    }
    let stolen_ms = before
        .zip(host::stolen_ticks(&cores))
        .map(|(before, after)| after.saturating_sub(before) * TICK_MS);
    let waited_percent = waited_beside_one_thread(&segments, headers);
    Ok(Round {
        segments,
        waited_percent,
        stolen_ms,
        dropped: stolen_ms.is_some_and(|ms| ms > stolen_limit_ms(options, begun.elapsed()))
            || waited_percent.is_some_and(|p| p > options.waited_max_percent),
    })
}

/// How much a host may steal in a round of this length. A system whose reset must be held makes rounds of a minute, of
/// which a fraction of a second is measured: a fixed number of milliseconds would drop them all.
fn stolen_limit_ms(options: &Options, round: Duration) -> u64 {
    let share = u64::try_from(round.as_millis()).unwrap_or(u64::MAX) / STOLEN_SHARE;
    options.stolen_max_ms.max(share)
}

/// The rig's own programs on the Modbus road have one thread each: where tasks wait for a core beside them, somebody
/// else runs on this machine. A system with several busy threads makes its own tasks wait and proves nothing.
fn waited_beside_one_thread(segments: &[Option<Segment>], headers: &[Header]) -> Option<f64> {
    segments
        .iter()
        .zip(headers)
        .filter(|(_, h)| {
            h.road == Road::Modbus && !matches!(h.role, Role::Tripline { .. } | Role::Variant)
        })
        .filter_map(|(segment, _)| segment.as_ref()?.waited_percent)
        .max_by(f64::total_cmp)
}
