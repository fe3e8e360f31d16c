//! Times of waveforms, and of what analyzers derive.
//!
//! A cause shows fully in the first block that lies behind it as a whole: one period until that block begins, its span until
//! it ends. Whether less of it would do is the module's business, so it does not count.

use std::net::IpAddr;

use drivers_frame::DurNs;
use rt_config::limits::{CALL_FUEL, COPY_FUEL_PER_BYTE, MODBUS_REGISTERS_MAX};
use rules_sdk_abi::SampleFormat;

use super::arrival::{Arrival, read_blocks, turns};
use crate::plan::{
    AnalyzerClass, AnalyzerPlan, LanePlan, LinkPlan, ModbusPlan, ReplayPlan, Trigger, WaveformPlan,
    WaveformSource,
};

/// A call of every analyzer that runs in the tick: its fuel by the host's assumed speed, at most its deadline.
pub(super) fn in_tick(lane: &LanePlan) -> DurNs {
    lane.analyzers()
        .filter(|(_, _, analyzer)| analyzer.class == AnalyzerClass::Safety)
        .map(|(_, _, analyzer)| call(lane, analyzer))
        .fold(DurNs::ZERO, DurNs::plus)
}

fn call(lane: &LanePlan, analyzer: &AnalyzerPlan) -> DurNs {
    priced(lane, analyzer.fuel).min(analyzer.deadline)
}

/// By the host's assumed speed.
fn priced(lane: &LanePlan, fuel: u64) -> DurNs {
    let ps = fuel.saturating_mul(u64::from(lane.assumed.fuel_ps));
    DurNs::from_ns(ps.div_ceil(1_000))
}

/// What goes around those calls, which neither fuel nor deadline bounds: above all a block that is copied to each.
pub(super) fn copies(lane: &LanePlan) -> DurNs {
    lane.analyzers()
        .filter(|(_, _, analyzer)| analyzer.class == AnalyzerClass::Safety)
        .map(|(_, _, analyzer)| copy(lane, analyzer))
        .fold(DurNs::ZERO, DurNs::plus)
}

/// Around one call. A sample counts as `f32`, which is the larger one and the one that is converted. A call that is kept to be
/// compared with a clean instance is copied once more.
fn copy(lane: &LanePlan, analyzer: &AnalyzerPlan) -> DurNs {
    let samples = waveform_of(lane, analyzer).map_or(0, |waveform| waveform.samples);
    let bytes = u64::from(samples).saturating_mul(u64::from(SampleFormat::F32.bytes()));
    let kept = analyzer.replay.map_or(0, |_| {
        let block = Some((SampleFormat::F32, samples));
        ReplayPlan::bytes(1, analyzer.inputs.len(), block)
    });
    let fuel = bytes
        .saturating_add(kept)
        .saturating_mul(COPY_FUEL_PER_BYTE);
    priced(lane, fuel.saturating_add(CALL_FUEL))
}

fn waveform_of<'p>(lane: &'p LanePlan, analyzer: &AnalyzerPlan) -> Option<&'p WaveformPlan> {
    let used = analyzer.waveform?;
    lane.waveforms.get(usize::from(used.index.0))
}

/// The calls behind the first one that shows the cause, each an `interval` apart.
fn verdict_after(lane: &LanePlan, analyzer: &AnalyzerPlan, interval: DurNs) -> DurNs {
    let Some(waits) = analyzer.verdict_after else {
        return DurNs::ZERO;
    };
    let block = waveform_of(lane, analyzer).map_or(1, |waveform| waveform.samples.max(1));
    let blocks = waits.samples.div_ceil(u64::from(block));
    let calls = waits.calls.saturating_add(blocks);
    interval.times(calls.saturating_sub(1))
}

/// Fills in the tags of analyzers, in the order in which they run.
pub(super) fn arrivals(lane: &LanePlan, thread: bool, arrivals: &mut [Arrival]) {
    for (_, _, analyzer) in lane.analyzers() {
        let waveform =
            waveform_of(lane, analyzer).map(|waveform| of_waveform(lane, waveform, thread));
        let inputs = analyzer
            .inputs
            .iter()
            .filter_map(|input| arrivals.get(usize::from(input.tag.0)));
        let sources: Vec<Arrival> = inputs.copied().chain(waveform).collect();
        let slowest = |time: fn(&Arrival) -> DurNs| {
            let times = sources.iter().map(time);
            times.max().unwrap_or(DurNs::ZERO)
        };
        let every = match analyzer.trigger {
            Trigger::News => DurNs::ZERO,
            Trigger::Every(period) => period,
        };
        let own = match analyzer.class {
            // In the tick's full load.
            AnalyzerClass::Safety => DurNs::ZERO,
            // Its own time, and the way there and back through a queue each.
            AnalyzerClass::Background => {
                let call = analyzer.deadline.plus(copy(lane, analyzer));
                call.plus(turns(lane, true))
            }
        };
        // By source, what is sampled in time or missed in time.
        let sampled = slowest(|source| {
            source
                .acquisition
                .plus(source.tolerated)
                .min(source.silence())
        });
        let silence = slowest(Arrival::silence);
        let turn = slowest(|source| source.turn);
        let analysis = slowest(|source| source.analysis).plus(every).plus(own);
        // Called with each block when it has a waveform, whatever its inputs do.
        let interval = match waveform {
            Some(waveform) => waveform.interval,
            None => slowest(|source| source.interval),
        };
        let interval = match analyzer.trigger {
            Trigger::News => interval,
            // With the first news after so long.
            Trigger::Every(period) => period.plus(interval),
        };
        let verdict = verdict_after(lane, analyzer, interval);
        let verdict = slowest(|source| source.verdict).plus(verdict);
        let outputs = analyzer.outputs.iter().map(|output| output.tag);
        for tag in outputs.chain([analyzer.verdict, analyzer.cause]) {
            let Some(arrival) = arrivals.get_mut(usize::from(tag.0)) else {
                continue;
            };
            arrival.acquisition = sampled;
            arrival.tolerated = DurNs::ZERO;
            // What it last derived from a source that fell silent lasts as long as its own `stale_after`; a source that
            // only went stale may still have led to one more answer.
            arrival.transport = silence;
            arrival.turn = turn;
            arrival.analysis = analysis;
            arrival.verdict = verdict;
            arrival.interval = interval;
        }
    }
}

/// When a block is there.
fn of_waveform(lane: &LanePlan, waveform: &WaveformPlan, thread: bool) -> Arrival {
    let mut arrival = Arrival {
        stale_after: waveform.stale_after,
        turn: lane.assumed.turn,
        ..Arrival::default()
    };
    let device = lane.devices.get(usize::from(waveform.device.0));
    // Without a declared period only freshness is known.
    let period = waveform.period.unwrap_or(waveform.stale_after);
    arrival.interval = period;
    arrival.acquisition = period.plus(waveform.span());
    match (device.map(|device| &device.link), &waveform.source) {
        (Some(LinkPlan::Modbus(modbus)), WaveformSource::Modbus { .. }) => {
            let reading = reading(modbus, waveform);
            arrival.acquisition = arrival.acquisition.plus(reading);
            // The newest block was under way as long as its reading took, and spans its samples.
            arrival.transport = reading.plus(waveform.span());
            arrival.turn = turns(lane, thread);
        }
        (Some(LinkPlan::Mqtt(mqtt)), WaveformSource::Mqtt { envelope, .. }) => {
            let broker = &mqtt.broker;
            // A name must be resolved and TLS computes: both have a thread of their own (see `Acquire`).
            let thread = thread || broker.tls.is_some() || broker.host.parse::<IpAddr>().is_err();
            let delay = envelope.as_ref().and_then(|envelope| envelope.max_delay);
            let delay = delay.unwrap_or(DurNs::ZERO);
            let errors = envelope
                .as_ref()
                .map_or(0, |envelope| u64::from(envelope.budget.errors));
            arrival.acquisition = arrival.acquisition.plus(delay);
            arrival.tolerated = period.times(errors);
            arrival.transport = delay.plus(waveform.span());
            arrival.turn = turns(lane, thread);
        }
        _ => {}
    }
    arrival
}

/// The pieces of a window and two looks at its sequence number, each after a cycle over the device's points, each exchange
/// as slow as its timeout allows.
fn reading(modbus: &ModbusPlan, waveform: &WaveformPlan) -> DurNs {
    let pieces = waveform
        .registers()
        .div_ceil(u32::from(MODBUS_REGISTERS_MAX));
    let exchanges = u64::from(pieces).saturating_add(2);
    let points = modbus.timeout.times(read_blocks(modbus));
    let cycle = modbus.poll.unwrap_or(DurNs::ZERO).max(points);
    cycle.plus(modbus.timeout).times(exchanges)
}
