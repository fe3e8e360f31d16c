//! The one place that says whether a file may be installed.

use std::fmt;

use minisign_verify::Signature;

use crate::versions::Older;
use crate::{
    KeyRing, Kind, Manifest, ManifestError, SIGNATURE_SUFFIX, Target, Versions, VersionsError,
};

/// What is to be installed, as it says itself.
#[derive(Clone, Copy, Debug)]
pub struct Artefact<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its id: of a module the metadata's name, of a pack the pack's name.
    pub id: &'a str,
    /// The version in its own words, when it has one that is a number (modules do): the manifest must say the same.
    pub version: Option<u64>,
}

/// What became of an admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Signed by a trusted key.
    Signed {
        /// Name of the key.
        signer: String,
        /// What it signed.
        manifest: Manifest,
    },
    /// Not signed, and taken because the policy is one for development.
    Unsigned,
}

/// Why a file may not be installed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody signed it.
    #[error(
        "it is not signed: beside it is no file of its name with {SIGNATURE_SUFFIX} at the end. Sign it with `tripline sign`, or allow unsigned files for development with --allow-unsigned, which is then shown everywhere"
    )]
    NotSigned,
    /// The signature's file is none.
    #[error("its signature is not in minisign's format: {0}")]
    NotASignature(String),
    /// No trusted key made the signature over these bytes.
    #[error(
        "none of the trusted keys ({trusted}) made its signature over this content: it was changed, or signed by somebody else. Trust a key by copying its .pub into {folder}"
    )]
    WrongKey {
        /// Names of the trusted keys.
        trusted: String,
        /// Where they are.
        folder: String,
    },
    /// It is signed, and there is not one key that could vouch for the signature.
    #[error(
        "no key is trusted here, so its signature counts for nothing. Trust the key of whoever signed it by copying its .pub into {folder}"
    )]
    NoKeys {
        /// Where they would be.
        folder: String,
    },
    /// The trusted comment says nothing of use.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The signature is of something else.
    #[error("its signature is for {signed}, and it is {found}")]
    OtherArtefact {
        /// In the manifest.
        signed: String,
        /// What is to be installed.
        found: String,
    },
    /// It is meant for another gateway.
    #[error("it is signed for the gateway `{signed}`, and this is `{here}`")]
    OtherTarget {
        /// In the manifest.
        signed: String,
        /// This one.
        here: String,
    },
    /// Its time is over.
    #[error("its signature expired at the end of {0} (UTC). Ask its author for a new one")]
    Expired(crate::Date),
    /// Nothing can be said about its time.
    #[error(
        "its signature expires, and this host's clock is behind a time it has shown before: set the clock"
    )]
    ClockWentBack,
    /// A newer version was installed.
    #[error(
        "version {found} of `{id}` is older than version {installed}, which was installed here: versions only rise"
    )]
    Older {
        /// The id.
        id: String,
        /// To be installed.
        found: u64,
        /// Was installed.
        installed: u64,
    },
    /// The same version with another content.
    #[error(
        "version {version} of `{id}` was installed here with another content: a change needs a new version"
    )]
    SameVersion {
        /// The id.
        id: String,
        /// The version.
        version: u64,
    },
}

/// What this gateway trusts.
#[derive(Debug)]
pub struct Policy {
    /// Keys.
    pub keys: KeyRing,
    /// Where they are, for people.
    pub folder: String,
    /// This gateway's name.
    pub gateway: String,
    /// Wall clock, seconds since 1970.
    pub now: u64,
    /// What was installed.
    pub versions: Versions,
    /// Whether files without a signature are taken: for development. A signature that is there must be good all the same.
    pub allow_unsigned: bool,
}

impl Policy {
    /// Whether `bytes` may be installed as `artefact`; `signature` is the text of its signature's file. What is admitted
    /// is remembered by [`Policy::commit`] only, so that a build that fails changes nothing.
    ///
    /// The caller must go on with these very bytes (H-67).
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn admit(
        &mut self,
        artefact: &Artefact<'_>,
        bytes: &[u8],
        signature: Option<&str>,
    ) -> Result<Trust, Refusal> {
        let Some(signature) = signature else {
            return if self.allow_unsigned {
                Ok(Trust::Unsigned)
            } else {
                Err(Refusal::NotSigned)
            };
        };
        let signature = Signature::decode(signature)
            .map_err(|error| Refusal::NotASignature(error.to_string()))?;
        let signer = self
            .keys
            .signer(bytes, &signature)
            .ok_or_else(|| self.wrong_key())?
            .to_owned();
        let manifest: Manifest = signature.trusted_comment().parse()?;
        self.judge(artefact, &manifest, bytes)?;
        self.versions.note(
            manifest.kind,
            &manifest.id,
            manifest.version,
            bytes,
            self.now,
        );
        Ok(Trust::Signed { signer, manifest })
    }

    /// Remembers what was admitted since this policy was made.
    ///
    /// # Errors
    /// [`VersionsError`]: the build must not be used then.
    pub fn commit(&self) -> Result<(), VersionsError> {
        self.versions.save()
    }

    fn judge(
        &self,
        artefact: &Artefact<'_>,
        manifest: &Manifest,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let same_version = artefact
            .version
            .is_none_or(|version| version == manifest.version);
        if artefact.kind != manifest.kind || artefact.id != manifest.id || !same_version {
            let (signed, found) = (
                describe(manifest.kind, &manifest.id, Some(manifest.version)),
                artefact,
            );
            return Err(Refusal::OtherArtefact {
                signed,
                found: describe(found.kind, found.id, found.version),
            });
        }
        if let Target::Gateway(signed) = &manifest.target
            && *signed != self.gateway
        {
            return Err(Refusal::OtherTarget {
                signed: signed.clone(),
                here: self.gateway.clone(),
            });
        }
        if let Some(date) = manifest.expires {
            if self.versions.clock_went_back(self.now) {
                return Err(Refusal::ClockWentBack);
            }
            if self.now >= date.ends_at() {
                return Err(Refusal::Expired(date));
            }
        }
        let id = || manifest.id.clone();
        self.versions
            .follows(manifest.kind, &manifest.id, manifest.version, bytes)
            .map_err(|older| match older {
                Older::Than(installed) => Refusal::Older {
                    id: id(),
                    found: manifest.version,
                    installed,
                },
                Older::Changed => Refusal::SameVersion {
                    id: id(),
                    version: manifest.version,
                },
            })
    }

    fn wrong_key(&self) -> Refusal {
        let folder = self.folder.clone();
        let names: Vec<_> = self.keys.names().collect();
        if names.is_empty() {
            return Refusal::NoKeys { folder };
        }
        Refusal::WrongKey {
            trusted: names.join(", "),
            folder,
        }
    }
}

fn describe(kind: Kind, id: &str, version: Option<u64>) -> String {
    match version {
        Some(version) => format!("{kind} `{id}` version {version}"),
        None => format!("{kind} `{id}`"),
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed { signer, .. } => write!(f, "signed by {signer}"),
            Self::Unsigned => f.write_str("NOT SIGNED"),
        }
    }
}
