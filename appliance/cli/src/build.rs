//! From a pack to a bundle: read, check, compile each lane's rules and the modules that it names, seal; and the writing of files that must be whole.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use appliance_sandbox::{CompileError, Engine, EngineError, LimitedError};
use rt_config::limits::{BUNDLE_BYTES_MAX, PACK_BYTES_MAX};
use rt_config::place::Place;
use rules_bundle::{
    Bundle, BundleError, BundleKey, Code, KeyError, LaneCode, Plan, SealError, Vouched,
};
use rules_expr::wasm::ModuleError;
use rules_pack::Finding;
use rules_sdk_trust::SIGNATURE_SUFFIX;

use crate::install::{Beside, Folder, ReadOnly, Tried, Unsigned};

/// Why a pack did not become a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The pack has errors. [`rules_pack::render`] shows them.
    #[error("{path}: the pack has errors", path = path.display())]
    Findings {
        /// The file.
        path: PathBuf,
        /// Errors and warnings.
        findings: Vec<Finding>,
        /// The text they are in.
        text: String,
    },
    /// A lane's rules do not fit a module.
    #[error("lane {lane}: {source}")]
    Module {
        /// The lane.
        lane: String,
        /// Why.
        source: ModuleError,
    },
    /// This host cannot run the compiler.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A lane's module was not compiled.
    #[error("lane {lane}: {source}. This is a defect in Tripline: please report it with the pack")]
    Compile {
        /// The lane.
        lane: String,
        /// Why.
        source: CompileError,
    },
    /// A foreign module was not compiled.
    #[error("{module}: {source}")]
    CompileModule {
        /// Its path, as the pack says.
        module: String,
        /// Why.
        source: CompileError,
    },
    /// A foreign module was not compiled in the process that was made for it.
    #[error("{module}: {source}")]
    CompileApart {
        /// Its path, as the pack says.
        module: String,
        /// Why, or which limit was reached.
        source: LimitedError,
    },
    /// A foreign module did not do in both engines what it should.
    #[error("{module}, {what}: {cause}")]
    Tried {
        /// Its path, as the pack says.
        module: String,
        /// Which frames.
        what: String,
        /// What went wrong.
        cause: String,
    },
    /// Nobody vouches for the pack.
    #[error("{path}: {cause}", path = path.display())]
    NotTrusted {
        /// The pack.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Nobody signed the pack, and it is to move a machine.
    #[error(
        "{path}: the pack is not signed: there is no {path}{SIGNATURE_SUFFIX}. Sign it: `tripline keygen NAME` makes a key, once; `tripline sign {path} --key NAME.key --version N` signs; and this gateway trusts it when NAME.pub lies in {folder}. For development --allow-unsigned takes it as it is, and that is then shown everywhere",
        path = path.display()
    )]
    NotSigned {
        /// The pack.
        path: PathBuf,
        /// Where trusted keys are.
        folder: String,
    },
    /// What was installed cannot be remembered.
    #[error(transparent)]
    Versions(#[from] rules_sdk_trust::VersionsError),
    /// This host has no key for its bundles.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The bundle was not sealed.
    #[error("{0}")]
    Seal(#[from] SealError),
    /// What was sealed does not open.
    #[error(
        "the bundle just made does not open: {0}. This is a defect in Tripline: please report it with the pack"
    )]
    Reopen(#[from] BundleError),
}

/// A pack that loads.
#[derive(Debug)]
pub struct Checked {
    /// The file that it was read from, as it was named.
    pub path: PathBuf,
    /// The text.
    pub text: String,
    /// What it means.
    pub plan: Plan,
    /// What is probably not meant.
    pub warnings: Vec<Finding>,
    /// The files that it names.
    pub beside: Beside,
}

/// A sealed bundle.
#[derive(Debug)]
pub struct Built {
    /// What to write, and what a guard verifies and runs.
    pub bytes: Vec<u8>,
    /// The same, opened again.
    pub bundle: Bundle,
    /// What is probably not meant.
    pub warnings: Vec<Finding>,
    /// What its modules were tried with.
    pub tried: Tried,
    beside: Beside,
}

impl Built {
    /// Remembers the versions of the modules as installed: older ones are refused from now on. To be called before the
    /// bundle is used.
    ///
    /// # Errors
    /// [`BuildError::Versions`]: the bundle must not be used then.
    pub fn remember(&self) -> Result<(), BuildError> {
        Ok(self.beside.remember()?)
    }
}

/// Reads and checks the pack at `path`, and the files that it names.
///
/// # Errors
/// [`BuildError::Read`], [`BuildError::Findings`].
pub fn check_pack(path: &Path, unsigned: Unsigned) -> Result<Checked, BuildError> {
    // One byte more than a pack may have: enough for the checker to say that it is too large.
    let bytes = read_at_most(path, PACK_BYTES_MAX + 1)?;
    check_file(path, &bytes, unsigned)
}

/// Checks a pack that was read from the file at `path`: its signature too, if it has one.
///
/// # Errors
/// [`BuildError::Findings`], [`BuildError::NotTrusted`].
pub(crate) fn check_file(
    path: &Path,
    bytes: &[u8],
    unsigned: Unsigned,
) -> Result<Checked, BuildError> {
    let mut checked = check_bytes_with(path, bytes, unsigned)?;
    checked.plan.vouched = checked
        .beside
        .vouch_for_pack(path, &checked.plan.name, bytes)
        .map_err(|cause| BuildError::NotTrusted {
            path: path.to_owned(),
            cause,
        })?;
    Ok(checked)
}

/// Refuses a pack that is to move a machine and for which nobody vouches.
///
/// # Errors
/// [`BuildError::NotSigned`].
pub(crate) fn for_a_machine(
    checked: Checked,
    path: &Path,
    unsigned: Unsigned,
) -> Result<Checked, BuildError> {
    if checked.plan.vouched == Vouched::Nobody && unsigned == Unsigned::Refused {
        let folder = Place::Trusted.folder();
        return Err(BuildError::NotSigned {
            path: path.to_owned(),
            folder: folder
                .map_or_else(|| "trusted.d".to_owned(), |path| path.display().to_string()),
        });
    }
    Ok(checked)
}

/// Checks a pack already read; `path` is shown, and where the files are that it names. Modules must be signed.
///
/// # Errors
/// [`BuildError::Findings`].
pub fn check_bytes(path: &Path, bytes: &[u8]) -> Result<Checked, BuildError> {
    check_bytes_with(path, bytes, Unsigned::Refused)
}

/// As [`check_bytes`].
///
/// # Errors
/// As [`check_bytes`].
pub fn check_bytes_with(
    path: &Path,
    bytes: &[u8],
    unsigned: Unsigned,
) -> Result<Checked, BuildError> {
    let name = path.to_string_lossy();
    let text = String::from_utf8_lossy(bytes).into_owned();
    let folder = Folder::of(path, unsigned);
    match rules_pack::load_bytes(&name, bytes, &folder) {
        Ok(loaded) => Ok(Checked {
            path: path.to_owned(),
            text,
            plan: loaded.plan,
            warnings: loaded.warnings,
            beside: Beside::of(&folder, loaded.modules, loaded.blocks),
        }),
        Err(findings) => Err(BuildError::Findings {
            path: path.to_owned(),
            findings,
            text,
        }),
    }
}

/// The name of a pack that loads, whoever vouches for its modules.
///
/// # Errors
/// [`BuildError::Findings`].
pub(crate) fn name_of(path: &Path, bytes: &[u8]) -> Result<String, BuildError> {
    let name = path.to_string_lossy();
    let folder = ReadOnly(Folder::of(path, Unsigned::Refused));
    match rules_pack::load_bytes(&name, bytes, &folder) {
        Ok(loaded) => Ok(loaded.plan.name),
        Err(findings) => Err(BuildError::Findings {
            path: path.to_owned(),
            findings,
            text: String::from_utf8_lossy(bytes).into_owned(),
        }),
    }
}

/// Compiles a checked pack and seals it with the key of who will open it: [`trust::bundle_key`](crate::trust::bundle_key)
/// for what is kept.
///
/// # Errors
/// [`BuildError`].
pub fn compile(checked: Checked, key: &BundleKey) -> Result<Built, BuildError> {
    let engine = Engine::new()?;
    let mut codes = Vec::new();
    for lane in &checked.plan.lanes {
        let programs: Vec<_> = lane.programs().collect();
        let name = || lane.name.clone();
        let wasm = rules_expr::wasm::module(&programs, lane.slots()).map_err(|source| {
            BuildError::Module {
                lane: name(),
                source,
            }
        })?;
        let native =
            appliance_sandbox::compile(&engine, &wasm).map_err(|source| BuildError::Compile {
                lane: name(),
                source,
            })?;
        codes.push(LaneCode { wasm, native });
    }
    let (modules, tried) = checked.beside.compile(&engine, &checked.plan)?;
    let bytes = rules_bundle::seal(
        &checked.plan,
        Code {
            lanes: &codes,
            modules: &modules,
            blocks: &checked.beside.blocks,
        },
        &checked.text,
        key,
    )?;
    // Opened as the guard will: what cannot be opened must not leave this function.
    let bundle = rules_bundle::open(&bytes, key)?;
    Ok(Built {
        bytes,
        bundle,
        warnings: checked.warnings,
        tried,
        beside: checked.beside,
    })
}

/// Reads a bundle or a pack, whatever it is. More than a bundle may have is refused when it is opened.
///
/// # Errors
/// [`BuildError::Read`].
pub fn read_any(path: &Path) -> Result<Vec<u8>, BuildError> {
    read_at_most(path, BUNDLE_BYTES_MAX + 1)
}

pub(crate) fn read_at_most(path: &Path, bytes_max: usize) -> Result<Vec<u8>, BuildError> {
    let read = || {
        let mut bytes = Vec::new();
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| BuildError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file so that it is there whole or not at all, whatever dies (H-68): beside it, synced, renamed, directory
/// synced. Readable by all: a guard may run as another user, and a bundle holds no secrets.
///
/// # Errors
/// What the operating system said; the file at `path` is as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bundle");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "H-68");
        assert!(write_whole(&dir.path().join("missing/a"), b"x").is_err());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let missing = Path::new("/nonexistent/pack.yaml");
        let error = check_pack(missing, Unsigned::Refused).unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/pack.yaml"),
            "{error}"
        );
    }
}
