//! A lane's inputs, and which thread reads each.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use appliance_lane::queue::FrameConsumer;
use drivers_frame::DeviceId;
use drivers_modbus::session::Session;
use drivers_modbus::transport::Driver;
use rt_config::{clock, limits};
use rules_bundle::{Acquire, LanePlan, LinkPlan};

use super::{Refused, Shared};
use crate::acquire::{Acquisition, Feed, LinkStats, Source};
use crate::exit::Exit;
use crate::lane_thread::Inline;
use crate::wiring;

/// A lane's inputs, sorted by who reads them.
pub(super) struct Sources {
    pub(super) inline: Vec<Inline>,
    pub(super) threads: Vec<Acquisition>,
    pub(super) queues: Vec<(DeviceId, FrameConsumer)>,
    pub(super) stats: Vec<Option<Arc<Mutex<LinkStats>>>>,
}

pub(super) fn sources(
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
    let acquisition = |feeds, names| Acquisition {
        lane: index,
        names,
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
        let (source, block_bytes, may_inline, names) = match &device.link {
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
                    false,
                )
            }
            // Not read from: what it derives comes from the lane itself, or from a thread of its own.
            LinkPlan::Analyzer(_) => {
                sources.stats.push(None);
                continue;
            }
            LinkPlan::Mqtt(mqtt) => {
                let config = wiring::mqtt(id, &device.name, mqtt, waveforms).map_err(wired)?;
                let driver = drivers_mqtt::Driver::new(&config)
                    .map_err(|error| refuse(error.to_string()))?;
                let named = mqtt.broker.host.parse::<IpAddr>().is_err();
                let plain = mqtt.broker.tls.is_none() && !named;
                (
                    Source::Mqtt(Box::new(driver)),
                    config.block_buffer_bytes(),
                    plain,
                    named,
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
            Source::Mqtt(_) => sources.threads.push(acquisition(vec![feed], names)),
            Source::Modbus(_) => modbus_feeds.push(feed),
        }
    }
    if !modbus_feeds.is_empty() {
        sources.threads.push(acquisition(modbus_feeds, false));
    }
    Ok(sources)
}
