//! From the plan's words to the drivers' configurations: the only place that knows both.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use appliance_lane::queue::{FrameConsumer, FrameProducer, frame_queue, frame_queue_with_blocks};
use drivers_frame::block::RateCheck;
use drivers_frame::{DeviceId, DurNs, SampleLayout, WaveformId};
use drivers_modbus::config::{Backoff, DeviceConfig, Point, Poll, Window};
use drivers_mqtt::{
    BackoffConfig, BrokerConfig, CheckConfig, EnvelopeConfig, ErrorBudget, Extract, Field,
    JsonPath, SequenceField, SubscriberConfig, Subscription, TlsConfig, WaveformSubscription,
};
use rt_config::limits;
use rules_bundle::{
    BrokerPlan, CheckPlan, EnvelopePlan, ExtractPlan, ModbusPlan, MqttPlan, Table, WaveformPlan,
    WaveformSource,
};

/// Shortest time between two reads of a sequence register, in ns: below it, the reads of short blocks would leave a device
/// no time for anything else.
const SEQUENCE_READ_MIN_NS: u64 = 1_000_000;

/// Why a device could not be wired.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WiringError {
    /// The name means nothing to this host.
    #[error(
        "{what}: the host name {host:?} could not be resolved ({cause}). Use an IP address, or mend the name service; a gateway should not depend on one"
    )]
    Resolve {
        what: String,
        host: String,
        cause: String,
    },
    /// The password file cannot be used.
    #[error("{what}: {cause}")]
    Password { what: String, cause: String },
    /// The key file of an envelope cannot be used.
    #[error("{what}: the envelope of topic {topic}: {cause}")]
    Key {
        what: String,
        topic: String,
        cause: String,
    },
    /// A JSON path that the checker let pass.
    #[error("{what}: {cause}")]
    Path { what: String, cause: String },
}

/// Resolves a host once.
pub(crate) fn resolve(what: &str, host: &str, port: u16) -> Result<SocketAddr, WiringError> {
    let fail = |cause: String| WiringError::Resolve {
        what: what.to_owned(),
        host: host.to_owned(),
        cause,
    };
    (host, port)
        .to_socket_addrs()
        .map_err(|error| fail(error.to_string()))?
        .next()
        .ok_or_else(|| fail("it has no address".to_owned()))
}

/// A Modbus device's configuration. `None` when nothing is read from it: it only has outputs.
pub(crate) fn modbus(
    device: DeviceId,
    name: &str,
    plan: &ModbusPlan,
    waveforms: &[WaveformPlan],
) -> Result<Option<DeviceConfig>, WiringError> {
    let windows: Vec<Window> = of_device(device, waveforms).filter_map(window).collect();
    if plan.points.is_empty() && windows.is_empty() {
        return Ok(None);
    }
    Ok(Some(DeviceConfig {
        windows,
        device,
        address: resolve(&format!("device {name}"), &plan.host, plan.port)?,
        unit: plan.unit,
        poll: plan.poll.map_or(Poll::Continuous, Poll::Every),
        timeout: plan.timeout,
        connect_timeout: plan.connect_timeout,
        backoff: Backoff {
            min: plan.backoff_min,
            max: plan.backoff_max,
        },
        max_gap: plan.max_gap,
        points: plan
            .points
            .iter()
            .map(|point| Point {
                tag: point.tag,
                table: table(point.table),
                address: point.address,
                codec: point.codec,
            })
            .collect(),
    }))
}

/// The waveforms of a device, with their places in the plan.
fn of_device(
    device: DeviceId,
    waveforms: &[WaveformPlan],
) -> impl Iterator<Item = (WaveformId, &WaveformPlan)> {
    (0..)
        .map(WaveformId)
        .zip(waveforms)
        .filter(move |(_, plan)| plan.device == device)
}

/// What can be judged of a source's rate: it depends on the time between its blocks, which only the pack knows.
fn rate_check(plan: &WaveformPlan) -> RateCheck {
    let span = plan.span();
    match plan.period {
        // They come more often than they span: overlapping, or played faster than recorded.
        None => RateCheck::Off,
        Some(period) if period < span => RateCheck::Off,
        // Less than a block could lie between two.
        Some(period) if period < span.times(2) => RateCheck::Exact,
        Some(_) => RateCheck::NotFaster,
    }
}

/// A window of registers. Its sequence register is read twice in the time that a block spans: a block waits for half of
/// that at most, and is read well before the next one takes its place.
fn window((waveform, plan): (WaveformId, &WaveformPlan)) -> Option<Window> {
    let WaveformSource::Modbus {
        table: of,
        address,
        sequence,
        sequence_width,
        byte_order,
        word_order,
    } = plan.source
    else {
        return None;
    };
    Some(Window {
        waveform,
        table: table(of),
        address,
        count: plan.samples,
        layout: SampleLayout::registers(plan.format, word_order, byte_order),
        sequence,
        sequence_kind: sequence_width,
        every: DurNs::from_ns((plan.span().as_ns() / 2).max(SEQUENCE_READ_MIN_NS)),
        rate_hz: plan.rate_hz,
        rate_check: rate_check(plan),
    })
}

/// A topic whose messages are blocks.
fn wave(
    what: &str,
    waveform: WaveformId,
    plan: &WaveformPlan,
) -> Result<Option<WaveformSubscription>, WiringError> {
    let WaveformSource::Mqtt {
        topic,
        qos,
        first,
        byte_order,
        sequence,
        envelope,
    } = &plan.source
    else {
        return Ok(None);
    };
    // Offsets are 32 bits, and so are addresses at least.
    let offset = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    Ok(Some(WaveformSubscription {
        topic: topic.clone(),
        qos: *qos,
        waveform,
        sequence: sequence.map(|sequence| SequenceField {
            offset: offset(sequence.at),
            kind: sequence.width,
        }),
        first: offset(*first),
        kind: plan.format,
        order: *byte_order,
        count: plan.samples,
        rate_hz: plan.rate_hz,
        rate_check: rate_check(plan),
        envelope: envelope
            .as_ref()
            .map(|envelope| envelope_config(what, topic, envelope))
            .transpose()?,
    }))
}

/// The queue of a device for `samples` samples, and with `block_bytes` for blocks of its waveforms.
pub(crate) fn queue(
    device: DeviceId,
    samples: usize,
    block_bytes: Option<usize>,
    waveforms: &[WaveformPlan],
) -> (FrameProducer, FrameConsumer) {
    let Some(bytes) = block_bytes else {
        return frame_queue(samples);
    };
    let buffers = of_device(device, waveforms)
        .count()
        .saturating_mul(limits::WAVEFORM_BUFFERS_EACH)
        .saturating_add(limits::WAVEFORM_BUFFERS_SPARE);
    frame_queue_with_blocks(samples, buffers, bytes)
}

fn table(table: Table) -> drivers_modbus::codec::Table {
    match table {
        Table::Coil => drivers_modbus::codec::Table::Coils,
        Table::Discrete => drivers_modbus::codec::Table::DiscreteInputs,
        Table::Holding => drivers_modbus::codec::Table::HoldingRegisters,
        Table::Input => drivers_modbus::codec::Table::InputRegisters,
    }
}

/// An MQTT source's configuration.
pub(crate) fn mqtt(
    device: DeviceId,
    name: &str,
    plan: &MqttPlan,
    waveforms: &[WaveformPlan],
) -> Result<SubscriberConfig, WiringError> {
    let what = format!("device {name}");
    let mut waves = Vec::new();
    for (waveform, plan) in of_device(device, waveforms) {
        waves.extend(wave(&what, waveform, plan)?);
    }
    let mut subscriptions = Vec::with_capacity(plan.subscriptions.len());
    for subscription in &plan.subscriptions {
        let envelope = subscription.envelope.as_ref();
        let envelope = envelope
            .map(|plan| envelope_config(&what, &subscription.topic, plan))
            .transpose()?;
        let mut fields = Vec::with_capacity(subscription.fields.len());
        for field in &subscription.fields {
            fields.push(Field {
                tag: field.tag,
                extract: extract(&what, &field.extract)?,
                codec: field.codec,
            });
        }
        subscriptions.push(Subscription {
            topic: subscription.topic.clone(),
            qos: subscription.qos,
            fields,
            envelope,
        });
    }
    Ok(SubscriberConfig {
        waveforms: waves,
        device,
        broker: broker(&what, u64::from(device.0), &plan.broker)?,
        subscriptions,
    })
}

/// An envelope's configuration. Reads its key.
fn envelope_config(
    what: &str,
    topic: &str,
    plan: &EnvelopePlan,
) -> Result<EnvelopeConfig, WiringError> {
    Ok(EnvelopeConfig {
        source: plan.source.clone(),
        check: match &plan.check {
            CheckPlan::Crc32c => CheckConfig::Crc32c,
            CheckPlan::HmacSha256 { key_file } => CheckConfig::HmacSha256 {
                key: drivers_mqtt::read_key_file(Path::new(key_file)).map_err(|error| {
                    WiringError::Key {
                        what: what.to_owned(),
                        topic: topic.to_owned(),
                        cause: error.to_string(),
                    }
                })?,
            },
        },
        max_delay: plan.max_delay,
        budget: ErrorBudget {
            errors: plan.budget.errors,
            within: plan.budget.within,
        },
    })
}

fn extract(what: &str, plan: &ExtractPlan) -> Result<Extract, WiringError> {
    Ok(match plan {
        ExtractPlan::Number => Extract::Number,
        ExtractPlan::Binary { offset } => Extract::Binary {
            offset: usize::from(*offset),
        },
        ExtractPlan::Json(path) => Extract::Json {
            path: JsonPath::parse(path).map_err(|error| WiringError::Path {
                what: what.to_owned(),
                cause: error.to_string(),
            })?,
        },
    })
}

fn broker(what: &str, seed: u64, plan: &BrokerPlan) -> Result<BrokerConfig, WiringError> {
    let password = plan
        .password_file
        .as_ref()
        .map(|path| drivers_mqtt::read_password_file(Path::new(path)))
        .transpose()
        .map_err(|error| WiringError::Password {
            what: what.to_owned(),
            cause: error.to_string(),
        })?;
    Ok(BrokerConfig {
        host: plan.host.clone(),
        port: plan.port,
        client_id: plan.client_id.clone(),
        username: plan.username.clone(),
        password,
        tls: plan.tls.as_ref().map(|tls| TlsConfig {
            ca_file: tls.ca_file.clone().into(),
            client_cert: tls.cert_file.clone().map(Into::into),
            client_key: tls.key_file.clone().map(Into::into),
            server_name: tls.server_name.clone(),
        }),
        keep_alive: plan.keep_alive,
        connect_timeout: plan.connect_timeout,
        backoff: BackoffConfig {
            min: plan.backoff_min,
            max: plan.backoff_max,
            seed,
        },
    })
}
