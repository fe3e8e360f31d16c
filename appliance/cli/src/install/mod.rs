//! What a pack names beside itself, on its way into a bundle: files read once, trusted or not, tried in two engines, compiled.
//!
//! | module | does |
//! |---|---|
//! | here | reads files beside the pack, asks who vouches for a module, compiles |
//! | `both` | the same frames through the product's sandbox and through the second engine, bit for bit (H-42) |

pub(crate) mod both;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;

use appliance_sandbox::{CompileLimits, Engine, compile_limited};
use rules_bundle::{ModuleCode, Plan, SignaturePlan, Vouched};
use rules_pack::ModuleFile;
use rules_sdk_abi::metadata::Metadata;
use rules_sdk_trust::{Artefact, Kind, Policy, SIGNATURE_SUFFIX, Trust, VersionsError, limits};

use crate::build::BuildError;
use crate::trust;

/// Whether packs and modules are taken that nobody signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsigned {
    /// They are refused.
    #[default]
    Refused,
    /// They are taken: for development. Shown wherever the bundle is.
    Allowed,
}

/// The files beside a pack, as they were read when it was checked.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Modules, in the order of the plan.
    pub modules: Vec<ModuleFile>,
    /// Blocks, in the order of the plan.
    pub blocks: Vec<Vec<u8>>,
    /// The pack's folder.
    pub folder: PathBuf,
    trust: Option<Rc<RefCell<Policy>>>,
}

/// What was tried of a bundle's modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Modules.
    pub modules: usize,
    /// Frames that both engines were given.
    pub frames: u64,
    /// Of those, frames of recorded cases.
    pub recorded: u64,
    /// Canaries that spoke.
    pub canaries: usize,
}

impl Beside {
    /// The files of a pack that was checked in `folder`.
    pub(crate) fn of(folder: &Folder, modules: Vec<ModuleFile>, blocks: Vec<Vec<u8>>) -> Self {
        Self {
            modules,
            blocks,
            folder: folder.root.clone(),
            trust: folder.policy.borrow().clone(),
        }
    }

    /// Who vouches for the pack itself. A signature that is there must be good, wherever the pack is used; whether there
    /// must be one, [`build::for_a_machine`](crate::build::for_a_machine) says.
    pub(crate) fn vouch_for_pack(
        &mut self,
        path: &Path,
        name: &str,
        bytes: &[u8],
    ) -> Result<Vouched, String> {
        let Some(signature) = signature_beside(path)? else {
            return Ok(Vouched::Nobody);
        };
        let policy = match &self.trust {
            Some(policy) => Rc::clone(policy),
            None => Rc::new(RefCell::new(
                trust::policy(false).map_err(|error| error.to_string())?,
            )),
        };
        let artefact = Artefact {
            kind: Kind::Pack,
            id: name,
            version: None,
        };
        let trust = policy
            .borrow_mut()
            .admit(&artefact, bytes, Some(&signature))
            .map_err(|refusal| refusal.to_string())?;
        self.trust = Some(policy);
        Ok(match in_plan(trust) {
            Some(signature) => Vouched::By(signature),
            None => Vouched::Nobody,
        })
    }

    /// Remembers the versions that were admitted: older ones are refused from now on.
    ///
    /// # Errors
    /// [`VersionsError`]: the bundle must not be used then.
    pub fn remember(&self) -> Result<(), VersionsError> {
        self.trust
            .as_ref()
            .map_or(Ok(()), |policy| policy.borrow().commit())
    }

    /// Tries every module in both engines and compiles it.
    ///
    /// # Errors
    /// [`BuildError`].
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        plan: &Plan,
    ) -> Result<(Vec<ModuleCode>, Tried), BuildError> {
        let code = |module: &ModuleFile| {
            Ok(ModuleCode {
                wasm: module.wasm.clone(),
                native: native(engine, module)?,
            })
        };
        // First where it can do no harm: what passes there may be compiled here, to be tried.
        let codes = self
            .modules
            .iter()
            .map(code)
            .collect::<Result<_, BuildError>>()?;
        let tried = both::modules(engine, plan, self)?;
        Ok((codes, tried))
    }
}

/// The program that compiles a module when it is called so; none: modules are compiled where they are asked for.
static COMPILER: OnceLock<PathBuf> = OnceLock::new();

/// See [`crate::compile_in_own_processes`].
pub(crate) fn compile_apart() {
    if let Ok(own) = std::env::current_exe() {
        // Said twice is said once.
        let _ = COMPILER.set(own);
    }
}

fn native(engine: &Engine, module: &ModuleFile) -> Result<Vec<u8>, BuildError> {
    match COMPILER.get() {
        Some(program) => {
            compile_limited(program, &module.wasm, CompileLimits::default()).map_err(|source| {
                BuildError::CompileApart {
                    module: module.path.clone(),
                    source,
                }
            })
        }
        None => appliance_sandbox::compile(engine, &module.wasm).map_err(|source| {
            BuildError::CompileModule {
                module: module.path.clone(),
                source,
            }
        }),
    }
}

/// Files in a pack's folder, and this gateway's trust.
pub(crate) struct Folder {
    root: PathBuf,
    unsigned: Unsigned,
    /// Made when the first module asks for it: a pack without modules needs no keys.
    policy: RefCell<Option<Rc<RefCell<Policy>>>>,
}

impl Folder {
    /// The folder in which the pack at `path` lies.
    pub(crate) fn of(path: &Path, unsigned: Unsigned) -> Self {
        let root = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Self {
            root,
            unsigned,
            policy: RefCell::new(None),
        }
    }

    fn policy(&self) -> Result<Rc<RefCell<Policy>>, String> {
        if let Some(policy) = self.policy.borrow().as_ref() {
            return Ok(Rc::clone(policy));
        }
        let policy =
            trust::policy(self.unsigned == Unsigned::Allowed).map_err(|error| error.to_string())?;
        let policy = Rc::new(RefCell::new(policy));
        *self.policy.borrow_mut() = Some(Rc::clone(&policy));
        Ok(policy)
    }
}

impl rules_pack::Beside for Folder {
    fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        let read = || {
            let path = self.root.join(path);
            let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
            let file = File::open(&path)?;
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("not a regular file"));
            }
            let mut bytes = Vec::new();
            file.take(most).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|error: io::Error| error.to_string())
    }

    fn vouch(
        &self,
        path: &str,
        metadata: &Metadata,
        wasm: &[u8],
    ) -> Result<Option<SignaturePlan>, String> {
        let policy = self.policy()?;
        let signature = signature_beside(&self.root.join(path))?;
        let artefact = Artefact {
            kind: Kind::Analyzer,
            id: &metadata.name,
            version: Some(metadata.version.into()),
        };
        let trust = policy
            .borrow_mut()
            .admit(&artefact, wasm, signature.as_deref())
            .map_err(|refusal| refusal.to_string())?;
        Ok(in_plan(trust))
    }
}

/// What a bundle keeps of it.
fn in_plan(trust: Trust) -> Option<SignaturePlan> {
    match trust {
        Trust::Unsigned => None,
        Trust::Signed { signer, manifest } => Some(SignaturePlan {
            signer,
            expires: manifest.expires.map(rules_sdk_trust::Date::ends_at),
        }),
    }
}

/// Files in a pack's folder, for somebody who only reads the pack: who vouches for its modules is asked where it is
/// installed.
pub(crate) struct ReadOnly(pub(crate) Folder);

impl rules_pack::Beside for ReadOnly {
    fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        self.0.read(path, most)
    }

    fn vouch(&self, _: &str, _: &Metadata, _: &[u8]) -> Result<Option<SignaturePlan>, String> {
        Ok(None)
    }
}

/// The text of the signature beside a file, when there is one.
fn signature_beside(path: &Path) -> Result<Option<String>, String> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(SIGNATURE_SUFFIX);
    let beside = PathBuf::from(beside);
    let mut text = String::new();
    let read = File::open(&beside).and_then(|file| {
        file.take(limits::SIGNATURE_BYTES_MAX.saturating_add(1))
            .read_to_string(&mut text)
    });
    match read {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", beside.display())),
    }
}
