//! When a tag's value is known: what drivers take, and what is waited for before silence is a trip.

use std::net::IpAddr;

use drivers_frame::{DurNs, TagId};
use rt_config::limits::{FRAME_SAMPLES_MAX, MODBUS_BITS_MAX, MODBUS_REGISTERS_MAX};

use super::analyzers;
use crate::plan::{Acquire, LanePlan, LinkPlan, ModbusPlan, MqttPlan, Table};

/// When a tag's value is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arrival {
    /// From a change at the sensor to the arrival of the sample that shows it.
    pub(super) acquisition: DurNs,
    /// What is dropped before it.
    pub(super) tolerated: DurNs,
    /// Longest time that a sample is under way.
    pub(super) transport: DurNs,
    /// Age at which silence is a trip.
    pub(super) stale_after: DurNs,
    /// From the ready socket to the tick.
    pub(super) turn: DurNs,
    /// What analyzers add besides the tick.
    pub(super) analysis: DurNs,
    /// What analyzers wait for by themselves before they speak.
    pub(super) verdict: DurNs,
    /// Longest time between two samples.
    pub(super) interval: DurNs,
}

impl Arrival {
    /// Silence trips by itself, so no sample can be waited for longer than this.
    pub(super) fn silence(&self) -> DurNs {
        self.transport.plus(self.stale_after)
    }

    pub(super) fn by_condition(&self) -> DurNs {
        let sampled = self.acquisition.plus(self.tolerated);
        sampled
            .min(self.silence())
            .plus(self.turn)
            .plus(self.verdict)
            .plus(self.analysis)
    }

    pub(super) fn by_loss(&self) -> DurNs {
        self.silence().plus(self.turn).plus(self.analysis)
    }
}

/// One arrival a tag.
pub(super) fn arrivals(lane: &LanePlan) -> Vec<Arrival> {
    let thread = lane.acquire == Acquire::Thread;
    let mut arrivals: Vec<Arrival> = lane
        .tags
        .iter()
        .map(|tag| Arrival {
            // Until a device claims the tag: it is known when it is stale.
            acquisition: tag.stale_after,
            stale_after: tag.stale_after,
            interval: tag.stale_after,
            turn: lane.assumed.turn,
            ..Arrival::default()
        })
        .collect();
    for device in &lane.devices {
        match &device.link {
            LinkPlan::Modbus(modbus) => modbus_arrivals(lane, modbus, thread, &mut arrivals),
            LinkPlan::Mqtt(mqtt) => mqtt_arrivals(lane, mqtt, thread, &mut arrivals),
            // They lean on what drivers deliver.
            LinkPlan::Analyzer(_) => {}
        }
    }
    analyzers::arrivals(lane, thread, &mut arrivals);
    arrivals
}

/// Two looks at one place are at most a period (or a reply as late as it may be) and all reads of the device apart, each
/// as slow as its timeout allows. A later reply is none: then freshness decides.
fn modbus_arrivals(lane: &LanePlan, modbus: &ModbusPlan, thread: bool, arrivals: &mut [Arrival]) {
    let first = modbus.points.first();
    let device = first.and_then(|point| Some(lane.tags.get(usize::from(point.tag.0))?.device));
    // Between two cycles over the points the driver reads at most one piece of a waveform that is in the way.
    let pieces = lane
        .waveforms
        .iter()
        .any(|wave| Some(wave.device) == device);
    let reads = read_blocks(modbus).saturating_add(u64::from(pieces));
    let reads = modbus.timeout.times(reads);
    let period = modbus.poll.unwrap_or(DurNs::ZERO);
    for point in &modbus.points {
        let Some((arrival, tolerated)) = arrival_of(point.tag, lane, arrivals) else {
            continue;
        };
        arrival.acquisition = period.max(modbus.timeout).plus(reads);
        arrival.interval = arrival.acquisition;
        arrival.tolerated = period.max(reads).times(tolerated);
        arrival.transport = modbus.timeout;
        arrival.turn = turns(lane, thread);
    }
}

/// A topic is as fast as its publisher is declared to be; without a declaration only freshness is known.
fn mqtt_arrivals(lane: &LanePlan, mqtt: &MqttPlan, thread: bool, arrivals: &mut [Arrival]) {
    let broker = &mqtt.broker;
    // A name must be resolved and TLS computes: both have a thread of their own (see `Acquire`).
    let thread = thread || broker.tls.is_some() || broker.host.parse::<IpAddr>().is_err();
    for subscription in &mqtt.subscriptions {
        let envelope = subscription.envelope.as_ref();
        let delay = envelope.and_then(|envelope| envelope.max_delay);
        let errors = envelope.map_or(0, |envelope| u64::from(envelope.budget.errors));
        for field in &subscription.fields {
            let Some((arrival, tolerated)) = arrival_of(field.tag, lane, arrivals) else {
                continue;
            };
            arrival.transport = delay.unwrap_or(DurNs::ZERO);
            arrival.turn = turns(lane, thread);
            if let Some(period) = subscription.period {
                arrival.interval = period.plus(arrival.transport);
                arrival.acquisition = period.plus(arrival.transport);
                arrival.tolerated = period.times(tolerated.saturating_add(errors));
            } else {
                arrival.acquisition = arrival.silence();
            }
        }
    }
}

/// A tag's arrival, and the implausible samples in a row that its rate check drops.
fn arrival_of<'a>(
    tag: TagId,
    lane: &LanePlan,
    arrivals: &'a mut [Arrival],
) -> Option<(&'a mut Arrival, u64)> {
    let index = usize::from(tag.0);
    let rate = lane.tags.get(index)?.checks.rate;
    let tolerated = rate.map_or(0, |rate| u64::from(rate.tolerated));
    Some((arrivals.get_mut(index)?, tolerated))
}

pub(super) fn turns(lane: &LanePlan, thread: bool) -> DurNs {
    lane.assumed.turn.times(if thread { 2 } else { 1 })
}

/// Reads of a device in one cycle, as the driver lays them: neighbours of one table together, within the gap that the
/// pack allows and the most that one request may ask for. A device that refuses a range with a hole in it is read in more
/// (it says so in its counters); then the driver's own count is the larger one.
pub fn read_blocks(modbus: &ModbusPlan) -> u64 {
    let mut points: Vec<(u8, u32, u32)> = modbus
        .points
        .iter()
        .map(|point| {
            let (table, words) = match point.table {
                Table::Coil => (0, 1),
                Table::Discrete => (1, 1),
                Table::Holding => (2, point.codec.kind.words()),
                Table::Input => (3, point.codec.kind.words()),
            };
            let start = u32::from(point.address);
            let end = start.saturating_add(u32::try_from(words).unwrap_or(u32::MAX));
            (table, start, end)
        })
        .collect();
    points.sort_by_key(|(table, start, end)| (*table, *start, std::cmp::Reverse(*end)));
    let mut blocks = 0_u64;
    // Table, first address, reach and points of the block that is being laid.
    let mut open: Option<(u8, u32, u32, usize)> = None;
    for (table, start, end) in points {
        let most = if table < 2 {
            MODBUS_BITS_MAX
        } else {
            MODBUS_REGISTERS_MAX
        };
        open = match open {
            Some((same, first, reach, count))
                if same == table
                    && start.saturating_sub(reach) <= u32::from(modbus.max_gap)
                    && reach.max(end).saturating_sub(first) <= u32::from(most)
                    && count < FRAME_SAMPLES_MAX =>
            {
                Some((same, first, reach.max(end), count.saturating_add(1)))
            }
            _ => {
                blocks = blocks.saturating_add(1);
                Some((table, start, end, 1))
            }
        };
    }
    blocks
}
