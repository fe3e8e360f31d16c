//! From the pack's broker to a publisher's configuration, with our last will.

use std::path::{Path, PathBuf};

use drivers_frame::DurNs;
use drivers_mqtt::{
    BackoffConfig, BrokerConfig, ConfigError, PasswordFileError, PublisherConfig, TlsConfig, Will,
    read_password_file,
};
use rules_bundle::{AlertPlan, BrokerPlan, TlsPlan};

use crate::limits::ACK_WITHIN_MS;
use crate::message::{PackFacts, offline};

/// Why alerts cannot be sent with this pack on this host. Nothing is started then: a plant that believes in its alerts
/// must not run without them unawares.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The password file cannot be used.
    #[error("alerts: password file: {0}")]
    Password(PasswordFileError),
    /// The settings cannot be used.
    #[error("alerts: broker settings: {0}")]
    Config(ConfigError),
}

/// The publisher for `plan`. `seed` makes the back-off of two gateways differ.
///
/// # Errors
/// [`BrokerError::Password`], [`BrokerError::Config`].
pub fn publisher_config(
    plan: &AlertPlan,
    facts: &PackFacts,
    seed: u64,
) -> Result<PublisherConfig, BrokerError> {
    let config = PublisherConfig {
        broker: broker_config(&plan.broker, seed)?,
        will: Some(Will {
            topic: facts.status_topic(),
            payload: offline(facts, "connection lost", None),
            qos: 1,
            retain: true,
        }),
        ack_timeout: DurNs::from_ms(ACK_WITHIN_MS),
    };
    config.check().map_err(BrokerError::Config)?;
    Ok(config)
}

fn broker_config(plan: &BrokerPlan, seed: u64) -> Result<BrokerConfig, BrokerError> {
    let password = plan
        .password_file
        .as_deref()
        .map(|file| read_password_file(Path::new(file)));
    Ok(BrokerConfig {
        host: plan.host.clone(),
        port: plan.port,
        client_id: plan.client_id.clone(),
        username: plan.username.clone(),
        password: password.transpose().map_err(BrokerError::Password)?,
        tls: plan.tls.as_ref().map(tls_config),
        keep_alive: plan.keep_alive,
        connect_timeout: plan.connect_timeout,
        backoff: BackoffConfig {
            min: plan.backoff_min,
            max: plan.backoff_max,
            seed,
        },
    })
}

fn tls_config(plan: &TlsPlan) -> TlsConfig {
    TlsConfig {
        ca_file: PathBuf::from(&plan.ca_file),
        client_cert: plan.cert_file.as_ref().map(PathBuf::from),
        client_key: plan.key_file.as_ref().map(PathBuf::from),
        server_name: plan.server_name.clone(),
    }
}
