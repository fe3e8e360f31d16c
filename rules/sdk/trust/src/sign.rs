//! Making keys and signatures, in minisign's formats, so that minisign itself can make and check them too.

use std::io::Cursor;

use minisign::{KeyPair, SecretKey, SecretKeyBox};

use crate::Manifest;

/// Why there is no key or signature.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Not a secret key, or not this password.
    #[error("this is no minisign secret key, or its password is another: {0}")]
    Key(minisign::PError),
    /// The signature was not made.
    #[error("cannot sign: {0}")]
    Sign(minisign::PError),
    /// No key was made.
    #[error("cannot make a key: {0}")]
    Generate(minisign::PError),
}

/// A secret key, ready to sign.
#[derive(Debug)]
pub struct Signer {
    key: SecretKey,
}

impl Signer {
    /// The key in the text of a minisign secret key file. `password` for one that is encrypted.
    ///
    /// # Errors
    /// [`SignError::Key`].
    pub fn open(text: &str, password: Option<String>) -> Result<Self, SignError> {
        let boxed = SecretKeyBox::from_string(text).map_err(SignError::Key)?;
        let key = match password {
            None => boxed.into_unencrypted_secret_key(),
            password => boxed.into_secret_key(password),
        };
        key.map(|key| Self { key }).map_err(SignError::Key)
    }

    /// The signature's file for `bytes`.
    ///
    /// # Errors
    /// [`SignError::Sign`].
    pub fn sign(&self, bytes: &[u8], manifest: &Manifest) -> Result<String, SignError> {
        let comment = manifest.to_string();
        minisign::sign(None, &self.key, Cursor::new(bytes), Some(&comment), None)
            .map(|signature| signature.into_string())
            .map_err(SignError::Sign)
    }
}

/// A new key pair: the texts of the public and of the secret key's file. Without a password the secret key is not
/// encrypted: keep it where nobody else reads.
///
/// # Errors
/// [`SignError::Generate`].
pub fn generate(password: Option<String>) -> Result<(String, String), SignError> {
    let pair = match password {
        None => KeyPair::generate_unencrypted_keypair(),
        password => KeyPair::generate_encrypted_keypair(password),
    }
    .map_err(SignError::Generate)?;
    let public = pair.pk.to_box().map_err(SignError::Generate)?;
    let secret = pair.sk.to_box(None).map_err(SignError::Generate)?;
    Ok((public.into_string(), secret.into_string()))
}
