//! From the plan's words to the drivers' configurations: the only place that knows both.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use drivers_frame::DeviceId;
use drivers_modbus::config::{Backoff, DeviceConfig, Point, Poll};
use drivers_mqtt::{
    BackoffConfig, BrokerConfig, CheckConfig, EnvelopeConfig, ErrorBudget, Extract, Field,
    JsonPath, SubscriberConfig, Subscription, TlsConfig,
};
use rules_bundle::{BrokerPlan, CheckPlan, EnvelopePlan, ExtractPlan, ModbusPlan, MqttPlan, Table};

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
) -> Result<Option<DeviceConfig>, WiringError> {
    if plan.points.is_empty() {
        return Ok(None);
    }
    Ok(Some(DeviceConfig {
        windows: Vec::new(),
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
) -> Result<SubscriberConfig, WiringError> {
    let what = format!("device {name}");
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
        waveforms: Vec::new(),
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
