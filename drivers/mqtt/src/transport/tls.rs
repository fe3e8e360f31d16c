//! TLS configuration from files, and TLS errors as numbers.

use crate::config::TlsConfig;
use crate::counters::TlsErrorKind;
use crate::limits::PEM_BYTES_MAX;
use crate::secret::{PasswordFileError, open_secret};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why certificates or keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFileError {
    /// The file cannot be read; the system's error number.
    Read(PathBuf, i32),
    /// The file is larger than any certificate file.
    TooLarge(PathBuf),
    /// The file holds no certificate in PEM.
    NoCertificate(PathBuf),
    /// The file holds something that is no certificate or not one that is understood.
    BadCertificate(PathBuf),
    /// The file holds no private key in PEM.
    NoKey(PathBuf),
    /// The key file is not a regular file.
    KeyNotAFile(PathBuf),
    /// Every user of this host can get at the key; the file's mode.
    KeyOpenToOthers(PathBuf, u32),
    /// `client_cert` without `client_key` or the other way round.
    HalfIdentity,
    /// The key does not belong to the certificate, or is of a kind that is not spoken.
    KeyMismatch(PathBuf),
    /// `server_name` (or `host`) is neither a name nor an address.
    ServerName(String),
    /// The TLS library offers no protocol version with its provider.
    NoVersion,
}

impl fmt::Display for TlsFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, errno) => write!(
                f,
                "{}: cannot be read: {}",
                path.display(),
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::TooLarge(path) => write!(
                f,
                "{}: larger than {PEM_BYTES_MAX} bytes; is this a certificate file?",
                path.display()
            ),
            Self::NoCertificate(path) => write!(
                f,
                "{}: no certificate in it; it must be PEM (`-----BEGIN CERTIFICATE-----`)",
                path.display()
            ),
            Self::BadCertificate(path) => write!(
                f,
                "{}: holds a certificate that cannot be read; check with `openssl x509 -text`",
                path.display()
            ),
            Self::NoKey(path) => write!(
                f,
                "{}: no private key in it; it must be PEM without a passphrase",
                path.display()
            ),
            Self::KeyNotAFile(path) => write!(f, "{}: not a regular file", path.display()),
            Self::KeyOpenToOthers(path, mode) => write!(
                f,
                "{path}: mode {mode:04o} lets every user of this host at the key; run `chmod o= {path}`",
                path = path.display()
            ),
            Self::HalfIdentity => {
                f.write_str("`client_cert` and `client_key` go together; give both or neither")
            }
            Self::KeyMismatch(path) => write!(
                f,
                "{}: the key does not belong to `client_cert`, or is of a kind that is not spoken (RSA, ECDSA, Ed25519 are)",
                path.display()
            ),
            Self::ServerName(name) => write!(
                f,
                "`{name}` is neither a name nor an address; set `server_name` to the name in the broker's certificate"
            ),
            Self::NoVersion => f.write_str("the TLS library offers neither 1.2 nor 1.3"),
        }
    }
}

impl std::error::Error for TlsFileError {}

/// Everything for a new connection; files are read once.
#[derive(Clone, Debug)]
pub(super) struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

impl TlsClient {
    pub(super) fn new(tls: &TlsConfig, host: &str) -> Result<Self, TlsFileError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| TlsFileError::NoVersion)?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&tls.ca_file)? {
            roots
                .add(certificate)
                .map_err(|_| TlsFileError::BadCertificate(tls.ca_file.clone()))?;
        }
        let builder = builder.with_root_certificates(roots);
        let config = match (&tls.client_cert, &tls.client_key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates(cert)?, private_key(key)?)
                .map_err(|_| TlsFileError::KeyMismatch(key.clone()))?,
            _ => return Err(TlsFileError::HalfIdentity),
        };
        let name = tls.server_name.as_deref().unwrap_or(host);
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsFileError::ServerName(name.into()))?;
        Ok(Self {
            config: Arc::new(config),
            server_name,
        })
    }

    pub(super) fn connection(&self) -> Result<ClientConnection, TlsErrorKind> {
        ClientConnection::new(Arc::clone(&self.config), self.server_name.clone())
            .map_err(|error| kind_of(&error))
    }
}

fn read_capped(path: &Path, file: std::fs::File) -> Result<Vec<u8>, TlsFileError> {
    let mut bytes = Vec::new();
    let read = file
        .take(PEM_BYTES_MAX.saturating_add(1))
        .read_to_end(&mut bytes);
    read.map_err(|error| read_error(path, &error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= PEM_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(TlsFileError::TooLarge(path.into()))
    }
}

fn read_error(path: &Path, error: &std::io::Error) -> TlsFileError {
    TlsFileError::Read(path.into(), super::stream::errno(error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let file = std::fs::File::open(path).map_err(|error| read_error(path, &error))?;
    let bytes = read_capped(path, file)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsFileError::BadCertificate(path.into()))?;
    if certificates.is_empty() {
        return Err(TlsFileError::NoCertificate(path.into()));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    let file = open_secret(path).map_err(|error| match error {
        PasswordFileError::OpenToOthers(path, mode) => TlsFileError::KeyOpenToOthers(path, mode),
        PasswordFileError::Read(path, error) => read_error(&path, &error),
        PasswordFileError::NotAFile(path)
        | PasswordFileError::TooLong(path)
        | PasswordFileError::Empty(path) => TlsFileError::KeyNotAFile(path),
    })?;
    let bytes = read_capped(path, file)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| TlsFileError::NoKey(path.into()))
}

/// A TLS error as a number.
pub(super) fn kind_of(error: &rustls::Error) -> TlsErrorKind {
    use rustls::Error;
    match error {
        Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => TlsErrorKind::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsErrorKind::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsErrorKind::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsErrorKind::NameMismatch
            }
            _ => TlsErrorKind::BadCertificate,
        },
        Error::AlertReceived(alert) => TlsErrorKind::Alert(u8::from(*alert)),
        Error::PeerIncompatible(_) => TlsErrorKind::Incompatible,
        Error::InvalidMessage(_) => TlsErrorKind::NotTls,
        _ => TlsErrorKind::Broken,
    }
}
