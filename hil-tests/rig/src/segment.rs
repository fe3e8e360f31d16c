//! One system in one round: start, warm-up, trials, stop.

use std::time::{Duration, Instant};

use crate::broker::BrokerPlan;
use crate::control::{Control, Order};
use crate::device::Device;
use crate::host;
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
    /// Share of the recorded trials' time in which some task of this machine waited for a core, percent. None where
    /// the kernel does not tell. A few percent are the rig's own control thread.
    pub(crate) waited_percent: Option<f64>,
}

/// What stays the same for all segments.
pub(crate) struct Bench<'a> {
    pub(crate) device: &'a mut Device,
    pub(crate) control: &'a Control,
    pub(crate) random: &'a mut Random,
    pub(crate) device_cpu: usize,
    pub(crate) warm_up: u32,
    pub(crate) trials: u32,
    pub(crate) trial_max: Duration,
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
        let mut engine = Engine::new(
            self.device,
            self.control,
            self.random,
            publisher,
            self.trial_max,
        );
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
                    engine.longest_pass = Duration::ZERO;
                    let (began, before) = (Instant::now(), host::waited_us());
                    run(&mut engine, index, self.trials, &mut segment)?;
                    segment.waited_percent = before
                        .zip(host::waited_us())
                        .map(|(before, after)| Duration::from_micros(after.saturating_sub(before)))
                        .map(|waited| 100.0 * waited.as_secs_f64() / began.elapsed().as_secs_f64());
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::JoinHandle;

    use crate::control;
    use crate::plant::LIMIT;
    use crate::system::SystemUnderTest;
    use crate::wire::{short_request, u16_at};

    /// How a test system behaves.
    #[derive(Clone, Copy, PartialEq)]
    enum Manner {
        /// Stops and latches; runs again only when it was rearmed and the value is normal.
        Latching,
        /// Never stops.
        Asleep,
        /// Stops at any value.
        Nervous,
        /// Refuses to be rearmed.
        Stubborn,
    }

    struct Subject {
        manner: Manner,
        armed: Arc<AtomicBool>,
        ends: Arc<AtomicBool>,
        thread: Option<JoinHandle<std::io::Result<()>>>,
    }

    impl Subject {
        fn boxed(manner: Manner) -> Option<Box<dyn SystemUnderTest>> {
            Some(Box::new(Self {
                manner,
                armed: Arc::default(),
                ends: Arc::default(),
                thread: None,
            }))
        }
    }

    impl SystemUnderTest for Subject {
        fn name(&self) -> &'static str {
            "subject"
        }

        fn start(&mut self, site: Site) -> Result<(), SystemError> {
            let (manner, armed, ends) = (self.manner, self.armed.clone(), self.ends.clone());
            let device = site.device;
            self.thread = Some(std::thread::spawn(move || {
                work(device, manner, &armed, &ends)
            }));
            Ok(())
        }

        fn rearm(&mut self) -> Result<(), SystemError> {
            if self.manner == Manner::Stubborn {
                return Err(SystemError::new("reset", "a cause is present"));
            }
            self.armed.store(true, Ordering::Release);
            Ok(())
        }

        fn stop(&mut self) {
            self.ends.store(true, Ordering::Release);
            self.thread.take().unwrap().join().unwrap().unwrap();
        }
    }

    fn work(
        device: SocketAddr,
        manner: Manner,
        armed: &AtomicBool,
        ends: &AtomicBool,
    ) -> std::io::Result<()> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(device)?;
        stream.set_nodelay(true)?;
        let mut runs = false;
        while !ends.load(Ordering::Acquire) {
            let mut value = [0; 11];
            stream.write_all(&short_request(1, 3, 0, 1))?;
            stream.read_exact(&mut value)?;
            let over = u16_at(&value, 9) > LIMIT;
            let wants = if runs {
                manner == Manner::Asleep || (manner != Manner::Nervous && !over)
            } else {
                !over && armed.swap(false, Ordering::AcqRel)
            };
            if wants != runs {
                let state = if wants { 0xff00 } else { 0 };
                stream.write_all(&short_request(1, 5, 0, state))?;
                stream.read_exact(&mut [0; 12])?;
                runs = wants;
            }
        }
        Ok(())
    }

    fn segment_of(manner: Manner) -> Segment {
        let (control, worker) = control::pair();
        let worker = std::thread::spawn(move || worker.work(vec![Subject::boxed(manner)]));
        let mut device = Device::bind().unwrap();
        let site = Site {
            device: device.address().unwrap(),
            broker: None,
            cpu: 0,
        };
        assert_eq!(site.device.ip(), Ipv4Addr::LOCALHOST);
        let mut bench = Bench {
            device: &mut device,
            control: &control,
            random: &mut Random::new(1),
            device_cpu: 0,
            warm_up: 0,
            trials: 20,
            // Asleep must not take a quarter of a minute; a busy machine may take a second for anything.
            trial_max: Duration::from_secs(if manner == Manner::Asleep { 1 } else { 30 }),
        };
        let segment = bench.segment(0, site, None).unwrap();
        drop(control);
        worker.join().unwrap();
        segment
    }

    #[test]
    fn a_latching_system_is_reset_before_each_trial_and_every_stop_is_timed() {
        let segment = segment_of(Manner::Latching);
        assert_eq!(segment.complaint, None);
        assert_eq!((segment.missed, segment.early), (0, 0));
        assert_eq!(segment.stop_ns.len(), 20);
        assert!(segment.stop_ns.is_sorted());
        let rise_sum: u64 = segment.rise_ns.iter().sum();
        let stop_sum: u64 = segment.stop_ns.iter().sum();
        assert!(
            stop_sum > 0 && rise_sum > stop_sum,
            "the rise comes before the reply that carries it"
        );
    }

    #[test]
    fn a_system_that_never_stops_misses_every_trial() {
        let segment = segment_of(Manner::Asleep);
        assert_eq!((segment.missed, segment.early), (20, 0));
        assert!(segment.stop_ns.is_empty());
        assert!(segment.complaint.unwrap().contains("no stop"));
    }

    #[test]
    fn a_stop_without_a_demand_is_never_a_fast_stop() {
        let segment = segment_of(Manner::Nervous);
        assert!(segment.stop_ns.is_empty(), "{:?}", segment.stop_ns);
        // Stops before the trial's quiet time show as not armed, those in it as early; both count.
        assert_eq!(segment.missed + segment.early, 20);
        assert!(segment.early > 0);
    }

    #[test]
    fn a_refused_reset_is_a_miss_with_its_reason() {
        let segment = segment_of(Manner::Stubborn);
        assert_eq!(segment.missed, 20);
        assert!(segment.complaint.unwrap().contains("a cause is present"));
    }
}
