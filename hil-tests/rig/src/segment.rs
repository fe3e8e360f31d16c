//! One system in one round: start, warm-up, trials, stop.

use crate::broker::BrokerPlan;
use crate::control::{Control, Order};
use crate::device::Device;
use crate::limits::FAILURES_IN_A_ROW;
use crate::publisher::Publisher;
use crate::stats::Random;
use crate::system::{Site, SystemError};
use crate::trial::{Engine, Trial};

/// What one segment gave.
#[derive(Debug, Default, Clone, serde::Serialize)]
pub(crate) struct Segment {
    /// Stop latencies, ns, sorted.
    #[serde(skip)]
    pub(crate) stop_ns: Vec<u64>,
    /// Rise-to-stop latencies, ns, sorted.
    #[serde(skip)]
    pub(crate) rise_ns: Vec<u64>,
    /// Trials without a stop in time, or that could not begin.
    pub(crate) missed: u32,
    /// Stops without a demand.
    pub(crate) early: u32,
    /// Why the segment was given up, or what the last miss was.
    pub(crate) complaint: Option<String>,
    /// The longest pass of the spinning device, ns: what its core lost to others at most.
    pub(crate) device_longest_pass_ns: u64,
}

/// What stays the same for all segments.
pub(crate) struct Bench<'a> {
    pub(crate) device: &'a mut Device,
    pub(crate) control: &'a Control,
    pub(crate) random: &'a mut Random,
    pub(crate) device_cpu: usize,
    pub(crate) warm_up: u32,
    pub(crate) trials: u32,
}

impl Bench<'_> {
    /// Runs the system of this index. An error is the rig's own: nothing more can be measured.
    pub(crate) fn segment(
        &mut self,
        index: usize,
        site: Site,
        broker: Option<&BrokerPlan>,
    ) -> Result<Segment, SystemError> {
        self.device.reset();
        let running = broker.map(|plan| plan.start(self.device_cpu)).transpose()?;
        let publisher = broker
            .map(|plan| Publisher::connect(plan.address))
            .transpose()
            .map_err(|e| SystemError::new("connect the publisher", e))?;
        let mut engine = Engine::new(self.device, self.control, self.random, publisher);
        let mut segment = Segment::default();
        match engine.carry_out(Order::Start(index, site))? {
            Ok(()) => {
                // A warm-up trial is a trial that is not recorded; a system that fails it is broken all the same.
                let mut unrecorded = Segment::default();
                run(&mut engine, index, self.warm_up, &mut unrecorded)?;
                if unrecorded.complaint.is_some() {
                    segment.missed += unrecorded.missed;
                    segment.early += unrecorded.early;
                    segment.complaint = unrecorded.complaint.map(|c| format!("warm-up: {c}"));
                }
                if given_up(&segment) {
                    segment.missed = self.trials;
                } else {
                    engine.longest_pass = std::time::Duration::ZERO;
                    run(&mut engine, index, self.trials, &mut segment)?;
                }
            }
            Err(e) => {
                segment.missed = self.trials;
                segment.complaint = Some(e.to_string());
            }
        }
        segment.device_longest_pass_ns =
            u64::try_from(engine.longest_pass.as_nanos()).unwrap_or(u64::MAX);
        engine.carry_out(Order::Stop(index))??;
        self.device.reset();
        drop(running);
        segment.stop_ns.sort_unstable();
        segment.rise_ns.sort_unstable();
        Ok(segment)
    }
}

fn given_up(segment: &Segment) -> bool {
    segment.missed + segment.early >= FAILURES_IN_A_ROW
}

fn run(
    engine: &mut Engine<'_>,
    index: usize,
    trials: u32,
    segment: &mut Segment,
) -> Result<(), SystemError> {
    let room = usize::try_from(trials).unwrap_or(0);
    segment.stop_ns.reserve(room);
    segment.rise_ns.reserve(room);
    let mut in_a_row = 0;
    for done in 0..trials {
        in_a_row += 1;
        match engine.trial(index)? {
            Trial::Stopped { stop_ns, rise_ns } => {
                segment.stop_ns.push(stop_ns);
                segment.rise_ns.push(rise_ns);
                in_a_row = 0;
            }
            Trial::Refused(e) => {
                segment.missed += 1;
                segment.complaint = Some(e.to_string());
            }
            Trial::NotArmed => {
                segment.missed += 1;
                segment.complaint = Some("coil 0 did not become true".to_owned());
            }
            Trial::NotStopped => {
                segment.missed += 1;
                segment.complaint = Some("no stop was written".to_owned());
            }
            Trial::Early => {
                segment.early += 1;
                segment.complaint = Some("a stop was written without a demand".to_owned());
            }
        }
        if in_a_row == FAILURES_IN_A_ROW {
            // The trials that are not tried any more would have missed as well.
            segment.missed += trials - done - 1;
            return Ok(());
        }
    }
    Ok(())
}
