//! Passwords and keys: what is never printed, and the files it is read from.

use crate::limits::CREDENTIAL_BYTES_MAX;
use rt_config::limits::{ENVELOPE_KEY_BYTES_MAX, ENVELOPE_KEY_BYTES_MIN};
use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Bytes that are not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a password file was not taken.
#[derive(Debug)]
pub enum PasswordFileError {
    /// It cannot be opened or read.
    Read(PathBuf, std::io::Error),
    /// It is not a regular file.
    NotAFile(PathBuf),
    /// Others than owner and group may read, write or execute it; its mode.
    OpenToOthers(PathBuf, u32),
    /// Longer than a password can be.
    TooLong(PathBuf),
    /// Nothing in it.
    Empty(PathBuf),
}

impl fmt::Display for PasswordFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => {
                write!(f, "{}: cannot be read: {error}", path.display())
            }
            Self::NotAFile(path) => write!(f, "{}: not a regular file", path.display()),
            Self::OpenToOthers(path, mode) => write!(
                f,
                "{path}: mode {mode:04o} lets every user of this host at the secret; run `chmod o= {path}`",
                path = path.display()
            ),
            Self::TooLong(path) => write!(
                f,
                "{}: longer than the {CREDENTIAL_BYTES_MAX} bytes a password may have",
                path.display()
            ),
            Self::Empty(path) => write!(f, "{}: empty", path.display()),
        }
    }
}

impl std::error::Error for PasswordFileError {}

/// Opens a file that holds a secret, refusing one that others may touch. Mode and content are those of one descriptor.
pub(crate) fn open_secret(path: &Path) -> Result<std::fs::File, PasswordFileError> {
    let failed = |error| PasswordFileError::Read(path.into(), error);
    // Asked before opening as well: opening a FIFO would wait for a writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(PasswordFileError::NotAFile(path.into()));
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() {
        return Err(PasswordFileError::NotAFile(path.into()));
    }
    if mode & 0o007 != 0 {
        return Err(PasswordFileError::OpenToOthers(path.into(), mode));
    }
    Ok(file)
}

/// Reads a password file: one trailing newline is not part of the password.
///
/// # Errors
/// [`PasswordFileError`]: unreadable, open to others (mode & 0o007), too long, empty.
pub fn read_password_file(path: &Path) -> Result<Secret, PasswordFileError> {
    let cap = u64::try_from(CREDENTIAL_BYTES_MAX.saturating_add(2)).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    open_secret(path)?
        .take(cap)
        .read_to_end(&mut bytes)
        .map_err(|error| PasswordFileError::Read(path.into(), error))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.len() > CREDENTIAL_BYTES_MAX {
        return Err(PasswordFileError::TooLong(path.into()));
    }
    if bytes.is_empty() {
        return Err(PasswordFileError::Empty(path.into()));
    }
    Ok(Secret::new(bytes))
}

/// Why a key file was not taken.
#[derive(Debug)]
pub enum KeyFileError {
    /// What holds for every file with a secret.
    File(PasswordFileError),
    /// The key has fewer bytes than cannot be guessed; as many as it has.
    TooShort(PathBuf, usize),
    /// The key has more bytes than a key has.
    TooLong(PathBuf),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::TooShort(path, bytes) => write!(
                f,
                "{path}: a key of {bytes} bytes can be guessed; at least {ENVELOPE_KEY_BYTES_MIN} are needed: `openssl rand -hex 32 > {path}`",
                path = path.display()
            ),
            Self::TooLong(path) => write!(
                f,
                "{}: more than the {ENVELOPE_KEY_BYTES_MAX} bytes a key may have; is this the right file?",
                path.display()
            ),
        }
    }
}

impl std::error::Error for KeyFileError {}

/// Reads a key file. Hexadecimal digits, an even number of them and at most one newline at the end, are the key's bytes;
/// anything else is the key as it is, newline included.
///
/// # Errors
/// [`KeyFileError`]: unreadable, open to others (mode & 0o007), too short, too long, empty.
pub fn read_key_file(path: &Path) -> Result<Secret, KeyFileError> {
    // Twice as many digits as bytes, a newline, and one more to see that it is too long.
    let cap = ENVELOPE_KEY_BYTES_MAX.saturating_mul(2).saturating_add(2);
    let mut bytes = Vec::new();
    open_secret(path)
        .map_err(KeyFileError::File)?
        .take(u64::try_from(cap).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)
        .map_err(|error| KeyFileError::File(PasswordFileError::Read(path.into(), error)))?;
    if bytes.is_empty() {
        return Err(KeyFileError::File(PasswordFileError::Empty(path.into())));
    }
    let key = unhex(&bytes).unwrap_or(bytes);
    if key.len() > ENVELOPE_KEY_BYTES_MAX {
        return Err(KeyFileError::TooLong(path.into()));
    }
    if key.len() < ENVELOPE_KEY_BYTES_MIN {
        return Err(KeyFileError::TooShort(path.into(), key.len()));
    }
    Ok(Secret::new(key))
}

/// The bytes that hexadecimal digits stand for; `None` when there is anything else.
fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
    let (pairs, rest) = text.strip_suffix(b"\n").unwrap_or(text).as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &Path, content: &[u8], mode: u32) {
        std::fs::write(path, content).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn h20_key_files_are_hex_or_raw_long_enough_and_not_open_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |content: &[u8], mode: u32| {
            written(&path, content, mode);
            read_key_file(&path)
        };
        let hex = b"000102030405060708090a0b0c0d0e0F\n";
        let key: Vec<u8> = (0..16).collect();
        assert_eq!(read(hex, 0o600).unwrap().expose(), key);
        assert_eq!(read(&hex[..32], 0o400).unwrap().expose(), key);
        // Raw: what is not hexadecimal throughout, to the last byte.
        for raw in [
            &b"sixteen raw bytes\n"[..],
            &[0xFF; 16],
            &[b'f'; 33],
            b"00112233445566778899aabbccddeeff\n\n",
        ] {
            assert_eq!(read(raw, 0o640).unwrap().expose(), raw, "{raw:?}");
        }
        for short in [&b"fifteen bytes.."[..], b"00112233445566778899aabbccddee\n"] {
            let error = read(short, 0o600).unwrap_err();
            assert!(
                matches!(error, KeyFileError::TooShort(_, 15)),
                "H-20: {error}"
            );
        }
        assert!(matches!(
            read(&[0xFF; ENVELOPE_KEY_BYTES_MAX + 1], 0o600),
            Err(KeyFileError::TooLong(_))
        ));
        assert!(matches!(
            read(b"", 0o600),
            Err(KeyFileError::File(PasswordFileError::Empty(_)))
        ));
        for mode in [0o604, 0o602, 0o601] {
            let error = read(hex, mode).unwrap_err();
            assert!(
                matches!(error, KeyFileError::File(PasswordFileError::OpenToOthers(_, m)) if m == mode),
                "H-20: {error}"
            );
        }
        assert!(
            !format!("{:?}", read(hex, 0o600)).contains("10"),
            "a secret is not printed"
        );
    }

    #[test]
    fn password_files_open_to_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let write = |content: &[u8], mode: u32| {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read_password_file(&path)
        };
        assert_eq!(write(b"geheim\n", 0o600).unwrap().expose(), b"geheim");
        assert_eq!(write(b"geheim\n\n", 0o640).unwrap().expose(), b"geheim\n");
        for mode in [0o604, 0o602, 0o601, 0o644] {
            assert!(
                matches!(write(b"x", mode), Err(PasswordFileError::OpenToOthers(_, m)) if m == mode),
                "{mode:o}"
            );
        }
        assert!(matches!(
            write(b"\n", 0o600),
            Err(PasswordFileError::Empty(_))
        ));
        assert!(write(&[b'x'; CREDENTIAL_BYTES_MAX], 0o600).is_ok());
        assert!(matches!(
            write(&[b'x'; CREDENTIAL_BYTES_MAX + 1], 0o600),
            Err(PasswordFileError::TooLong(_))
        ));
        assert!(matches!(
            read_password_file(folder.path()),
            Err(PasswordFileError::NotAFile(_))
        ));
        assert!(matches!(
            read_password_file(&folder.path().join("absent")),
            Err(PasswordFileError::Read(..))
        ));
    }
}
