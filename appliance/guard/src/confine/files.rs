//! Which files and ports: what this pack's guard needs after its start, and nothing beside it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, PathFd, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rules_bundle::{CheckPlan, LinkPlan, MqttPlan, Plan};

use crate::args::Args;
use crate::outside::Environment;

/// Rights that this code knows. An older kernel grants the part that it knows; a newer one changes nothing.
const KNOWN: ABI = ABI::V6;

/// Accounts (rights of the control socket, read anew for each connection), our own memory, the hardware watchdog's facts.
const READ: [&str; 4] = ["/etc", "/proc/self", "/sys/class/watchdog", "/sys/devices"];
/// What name services of this host load and read, where the pack names a host.
const READ_FOR_NAMES: [&str; 13] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/run/connman",
    "/run/nscd",
    "/var/lib/sss",
    "/var/db",
];
/// DNS over TCP, and with TLS.
const PORTS_FOR_NAMES: [u16; 2] = [53, 853];

/// What stays open.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// To be read: folders with all below them, and files.
    pub(super) read: Vec<PathBuf>,
    /// Folders in which files are made, written, renamed, removed.
    pub(super) write: Vec<PathBuf>,
    /// A device that is written to.
    pub(super) device: Option<PathBuf>,
    /// TCP ports to connect to.
    pub(super) ports: Vec<u16>,
    /// Whether the service manager listens at an abstract address.
    pub(super) abstract_address: bool,
}

impl Needs {
    /// Of this plan, started so. `kept` is the file that outlives the guard.
    pub(crate) fn of(plan: &Plan, args: &Args, kept: &Path, environment: &Environment) -> Self {
        let mut needs = Self {
            read: READ.map(PathBuf::from).to_vec(),
            write: vec![folder(kept), folder(&args.socket)],
            device: args.watchdog_device.clone(),
            ports: Vec::new(),
            abstract_address: environment.is_abstract(),
        };
        let mut names = false;
        let mut reach = |host: &str, port: u16| {
            names |= host.parse::<IpAddr>().is_err();
            needs.ports.push(port);
        };
        for lane in &plan.lanes {
            for output in &lane.outputs {
                reach(&output.host, output.port);
            }
            for device in &lane.devices {
                match &device.link {
                    LinkPlan::Modbus(modbus) => reach(&modbus.host, modbus.port),
                    LinkPlan::Mqtt(mqtt) => {
                        reach(&mqtt.broker.host, mqtt.broker.port);
                        needs.read.extend(secrets(mqtt));
                    }
                    LinkPlan::Analyzer(_) => {}
                }
            }
        }
        if names {
            needs.read.extend(READ_FOR_NAMES.map(PathBuf::from));
            needs.ports.extend(PORTS_FOR_NAMES);
        }
        needs.ports.sort_unstable();
        needs.ports.dedup();
        needs
    }
}

/// Files that are read once more, while the lanes are prepared.
fn secrets(mqtt: &MqttPlan) -> impl Iterator<Item = PathBuf> {
    let tls = mqtt.broker.tls.iter().flat_map(|tls| {
        let own = [&tls.cert_file, &tls.key_file];
        std::iter::once(&tls.ca_file).chain(own.into_iter().flatten())
    });
    let keys = mqtt.subscriptions.iter().filter_map(|subscription| {
        match &subscription.envelope.as_ref()?.check {
            CheckPlan::HmacSha256 { key_file } => Some(key_file),
            _ => None,
        }
    });
    let files = mqtt.broker.password_file.iter().chain(tls).chain(keys);
    files.map(PathBuf::from)
}

fn folder(file: &Path) -> PathBuf {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// Names that stay known. A rule is about what a name stood for when it was made. Where memory is short the kernel forgets names
/// that nobody uses, and procfs makes its files anew at the next look: no rule would be about those, and the guard could not
/// read its own memory any more. A name that somebody holds is not forgotten.
static HELD: OnceLock<Vec<PathFd>> = OnceLock::new();

/// Closes everything else to the calling thread, and to every one that it starts from now on.
pub(super) fn close(needs: &Needs) -> Result<RulesetStatus, RulesetError> {
    // There is one process, and it is confined once.
    HELD.get_or_init(|| needs.read.iter().flat_map(PathFd::new).collect());
    let mut scope = BitFlags::from(Scope::Signal);
    if !needs.abstract_address {
        scope |= Scope::AbstractUnixSocket;
    }
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let keeping = reading
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile;
    let connecting = needs
        .ports
        .iter()
        .map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp)));
    // A path that is not there needs no rule: opening it fails by itself, with its own words.
    let status = landlock::Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(scope)?
        .create()?
        .add_rules(path_beneath_rules(&needs.read, reading))?
        .add_rules(path_beneath_rules(&needs.write, keeping))?
        .add_rules(path_beneath_rules(&needs.device, AccessFs::WriteFile))?
        .add_rules(connecting)?
        .restrict_self()?;
    Ok(status.ruleset)
}
