//! `keygen`, `sign`: in minisign's formats, so that `minisign -Vm FILE -p NAME.pub` checks them too. For packs and modules;
//! `tripline analyzer` has both as well.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use rt_config::place::Place;
use rules_sdk_trust::{Date, Kind, Manifest, ManifestError, SIGNATURE_SUFFIX, Signer, Target};

use crate::analyzer::{AnalyzerFailure, read_module, read_text};
use crate::error::{CliError, Exit};
use crate::out::{Out, note};
use crate::paint::Tone;
use crate::settings::Settings;
use crate::{build, pack};

/// Arguments of `keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// File name without suffix
    name: PathBuf,
    /// File with the password that encrypts the secret key; without it the key is not encrypted
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Arguments of `sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The pack (.yaml) or module (.wasm)
    file: PathBuf,
    /// The secret key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File with the key's password, for one that is encrypted
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Name of the gateway that it is for
    #[arg(long, value_name = "NAME", default_value = "any")]
    target: String,
    /// Last day on which it may be installed, such as 2027-12-31 [default: never]
    #[arg(long, value_name = "DAY")]
    expires: Option<Date>,
    /// Version of a pack, a number that only rises; a module states its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
}

/// `tripline keygen NAME`.
pub(crate) fn keygen(args: &KeygenArgs, out: &mut Out) -> Result<Exit, CliError> {
    let name = &args.name;
    let password = password(args.password_file.as_deref())?;
    let encrypted = password.is_some();
    let (public, secret) =
        rules_sdk_trust::generate(password).map_err(|source| AnalyzerFailure::Sign {
            path: name.clone(),
            source,
        })?;
    let (public_path, secret_path) = (with_suffix(name, ".pub"), with_suffix(name, ".key"));
    // Never over another key: what it signed could not be signed again.
    new_file(&secret_path, &secret, 0o600)?;
    new_file(&public_path, &public, 0o644)?;
    let head = out.tone(Tone::Good, "made").to_string();
    out.line(format_args!(
        "{head} {} and {}",
        secret_path.display(),
        public_path.display()
    ))?;
    let folder = Place::Trusted.folder();
    let folder = folder.map_or_else(String::new, |path| format!("; here {}", path.display()));
    out.line(format_args!(
        "  A gateway trusts it once {} is in its folder of trusted keys{folder}.",
        public_path.display()
    ))?;
    if !encrypted {
        note(format_args!(
            "{} is not encrypted: whoever reads it can sign. Give --password-file for one that is.",
            secret_path.display()
        ));
    }
    Ok(Exit::Ok)
}

/// `tripline sign FILE`.
pub(crate) fn sign(args: &SignArgs, settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    let (kind, id, version, bytes) = what(args, settings)?;
    let target = match args.target.as_str() {
        "any" => Target::Any,
        name => Target::Gateway(name.to_owned()),
    };
    let manifest = Manifest {
        kind,
        id,
        version,
        target,
        expires: args.expires,
    };
    // What is written must be read again: a name that is none is refused here, not at the gateway.
    manifest
        .to_string()
        .parse::<Manifest>()
        .map_err(|error: ManifestError| AnalyzerFailure::Toolchain(error.to_string()))?;
    let password = password(args.password_file.as_deref())?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| AnalyzerFailure::Sign { path, source }
    };
    let signer = Signer::open(&read_text(&args.key)?, password).map_err(failed(&args.key))?;
    let signature = signer.sign(&bytes, &manifest).map_err(failed(&args.file))?;
    let path = with_suffix(&args.file, SIGNATURE_SUFFIX);
    build::write_whole(&path, signature.as_bytes()).map_err(|source| CliError::File {
        path: path.clone(),
        source,
    })?;
    let head = out.tone(Tone::Good, "signed").to_string();
    out.line(format_args!("{head} {}", path.display()))?;
    out.line(format_args!("  {manifest}"))?;
    Ok(Exit::Ok)
}

/// What a file is, by its own words, and its bytes: those that are signed.
fn what(args: &SignArgs, settings: &Settings) -> Result<(Kind, String, u64, Vec<u8>), CliError> {
    let is_pack = args
        .file
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    if !is_pack {
        let (bytes, module) = read_module(&args.file)?;
        let version = module.metadata.version;
        if args.version.is_some() {
            let path = args.file.clone();
            return Err(AnalyzerFailure::VersionTwice { path, version }.into());
        }
        return Ok((Kind::Analyzer, module.metadata.name, version.into(), bytes));
    }
    let version = args
        .version
        .ok_or_else(|| AnalyzerFailure::VersionMissing(args.file.clone()))?;
    let text = read_text(&args.file)?;
    // A pack that does not load is not worth a signature, and its version would be spent.
    let name = build::name_of(&args.file, text.as_bytes())
        .map_err(|error| pack::refused(error, settings))?;
    Ok((Kind::Pack, name, version, text.into_bytes()))
}

fn password(file: Option<&Path>) -> Result<Option<String>, CliError> {
    let Some(file) = file else { return Ok(None) };
    let text = read_text(file)?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn new_file(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    let write = || {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}
