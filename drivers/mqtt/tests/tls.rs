//! TLS against a real TLS server with certificates from `tests/tls` (made by `tests/tls/make.sh`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{Broker, Got, PATIENCE, Peer, Running, publisher_config, subscriber_config};
use drivers_frame::Quality;
use drivers_mqtt::transport::TlsFileError;
use drivers_mqtt::{
    ConfigError, Driver, LinkChange, LinkError, Publisher, SubscriberConfig, TlsConfig,
    TlsErrorKind,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tls")
        .join(name)
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file(name))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

fn server_config(identity: &str, ask_client: bool) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if ask_client {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates("ca.pem"));
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(file(&format!("{identity}.key"))).unwrap();
    let chain = certificates(&format!("{identity}.pem"));
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

type TlsPeer = Peer<StreamOwned<ServerConnection, TcpStream>>;

fn accept(broker: &Broker, config: &Arc<ServerConfig>) -> TlsPeer {
    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
    Peer::new(StreamOwned::new(connection, broker.accept_tcp()))
}

fn tls(ca: &str) -> TlsConfig {
    TlsConfig {
        ca_file: file(ca),
        client_cert: None,
        client_key: None,
        server_name: None,
    }
}

/// A copy of a key that only the owner may read: version control keeps no modes.
fn private_copy(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::copy(file(name), &path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Lets a server try one handshake, and returns what the client said of it.
fn refused(server: &str, ask_client: bool, tls: TlsConfig) -> LinkError {
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &["a"]);
    config.broker.tls = Some(tls);
    let server = server_config(server, ask_client);
    let running = Running::start(&config);
    let thread: JoinHandle<()> = std::thread::spawn(move || {
        let mut stream = broker.accept_tcp();
        let mut connection = ServerConnection::new(server).unwrap();
        // Fails or ends when the client has had enough.
        while connection
            .complete_io(&mut stream)
            .is_ok_and(|(read, _)| read > 0)
        {}
    });
    let change = running.change();
    running.finish();
    thread.join().unwrap();
    match change {
        LinkChange::AttemptFailed(error) => error,
        other => panic!("not refused but {other:?}"),
    }
}

#[test]
fn values_arrive_over_tls_with_a_client_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &["a"]);
    config.broker.host = "localhost".into();
    config.broker.tls = Some(TlsConfig {
        client_cert: Some(file("client.pem")),
        client_key: Some(private_copy(&folder, "client.key")),
        ..tls("ca.pem")
    });
    let server = server_config("server", true);
    let running = Running::start(&config);
    let mut peer = accept(&broker, &server);
    peer.welcome();
    peer.grant();
    assert_eq!(running.change(), LinkChange::Up);
    for n in 0..200_u16 {
        peer.publish("a", n.to_string().as_bytes(), Some(n + 1), false, false);
    }
    for n in 0..200 {
        let frame = running.frame();
        assert_eq!(frame[0].quality, Quality::Good);
        assert_eq!(frame[0].value.to_bits(), f64::from(n).to_bits());
        assert_eq!(peer.next(), Got::Puback(n + 1));
    }
    // Many records deep, and skipped.
    peer.publish("a", &vec![b'1'; 300_000], None, false, false);
    peer.value("a", "5");
    assert_eq!(running.frame()[0].quality, Quality::Bad, "H-21");
    assert_eq!(running.frame()[0].value.to_bits(), 5_f64.to_bits());
    // Closed without close_notify, in the middle of a packet.
    peer.raw(b"\x30\x09\0\x01a12");
    drop(peer);
    assert!(matches!(
        running.change(),
        LinkChange::Down(LinkError::ClosedByBroker | LinkError::Io(_))
    ));
    let mut peer = accept(&broker, &server);
    peer.welcome();
    peer.grant();
    assert_eq!(running.change(), LinkChange::Up);
    running.finish();
    assert_eq!(peer.next(), Got::Disconnect);
}

#[test]
fn alerts_are_published_over_tls_by_address() {
    let broker = Broker::new();
    let mut config = publisher_config(broker.port());
    config.broker.tls = Some(tls("ca.pem"));
    let server = server_config("server", false);
    let publisher = Publisher::start(&config).unwrap();
    let payload = vec![3; 60_000];
    for _ in 0..100 {
        publisher.publish("alert", &payload, true).unwrap();
    }
    let mut peer = accept(&broker, &server);
    peer.welcome();
    for _ in 0..100 {
        let Got::Publish { id, payload, .. } = peer.next() else {
            panic!("no PUBLISH")
        };
        assert_eq!(payload.len(), 60_000);
        peer.puback(id);
    }
    assert!(publisher.flush(PATIENCE), "H-76");
    assert_eq!(publisher.shutdown(PATIENCE), 0);
    assert_eq!(peer.next(), Got::Disconnect);
}

#[test]
fn certificates_that_do_not_fit_are_told_apart() {
    for (server, ca, name, kind) in [
        ("server", "other-ca.pem", None, TlsErrorKind::UnknownIssuer),
        (
            "server",
            "ca.pem",
            Some("other.example"),
            TlsErrorKind::NameMismatch,
        ),
        ("expired", "ca.pem", None, TlsErrorKind::Expired),
    ] {
        let tls = TlsConfig {
            server_name: name.map(Into::into),
            ..tls(ca)
        };
        assert_eq!(refused(server, false, tls), LinkError::Tls(kind), "H-20");
    }
}

#[test]
fn a_broker_that_wants_a_client_certificate_says_so_by_an_alert() {
    // 116: certificate required (RFC 8446, 6.2).
    assert_eq!(
        refused("server", true, tls("ca.pem")),
        LinkError::Tls(TlsErrorKind::Alert(116))
    );
}

#[test]
fn a_plain_port_is_not_tls() {
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &["a"]);
    config.broker.tls = Some(tls("ca.pem"));
    let running = Running::start(&config);
    let mut stream = broker.accept_tcp();
    std::io::Write::write_all(&mut stream, b"\x20\x02\0\0 and more").unwrap();
    assert_eq!(
        running.change(),
        LinkChange::AttemptFailed(LinkError::Tls(TlsErrorKind::NotTls))
    );
    assert!(running.finish().tls_failures >= 1);
}

#[test]
fn a_handshake_that_hangs_is_given_up() {
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &["a"]);
    config.broker.tls = Some(tls("ca.pem"));
    config.broker.connect_timeout = drivers_frame::DurNs::from_ms(300);
    let running = Running::start(&config);
    let silent = broker.accept_tcp();
    assert_eq!(
        running.change(),
        LinkChange::AttemptFailed(LinkError::ConnectTimeout),
        "H-23"
    );
    drop(silent);
    running.finish();
}

#[test]
fn unusable_files_are_refused_before_anything_is_connected() {
    let folder = tempfile::tempdir().unwrap();
    let with = |tls: TlsConfig| -> TlsFileError {
        let mut config: SubscriberConfig = subscriber_config(1883, &["a"]);
        config.broker.tls = Some(tls);
        match Driver::new(&config).map(|_| ()) {
            Err(ConfigError::Tls(error)) => error,
            other => panic!("not refused but {other:?}"),
        }
    };
    let key = private_copy(&folder, "client.key");
    let open = folder.path().join("open.key");
    std::fs::copy(file("client.key"), &open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    let identity = |cert: &str, key: PathBuf| TlsConfig {
        client_cert: Some(file(cert)),
        client_key: Some(key),
        ..tls("ca.pem")
    };
    assert_eq!(
        with(identity("client.pem", open.clone())),
        TlsFileError::KeyOpenToOthers(open, 0o644)
    );
    assert_eq!(
        with(identity("server.pem", key.clone())),
        TlsFileError::KeyMismatch(key.clone())
    );
    assert_eq!(
        with(TlsConfig {
            client_key: Some(key),
            ..tls("ca.pem")
        }),
        TlsFileError::HalfIdentity
    );
    assert!(matches!(with(tls("absent.pem")), TlsFileError::Read(..)));
    assert_eq!(
        with(TlsConfig {
            ca_file: empty.clone(),
            ..tls("ca.pem")
        }),
        TlsFileError::NoCertificate(empty)
    );
    assert!(matches!(
        with(TlsConfig {
            server_name: Some("not a name".into()),
            ..tls("ca.pem")
        }),
        TlsFileError::ServerName(_)
    ));
}
