//! How the rig starts the floor and the peers.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::options::Options;
use crate::plant::{LIMIT, RUN_COIL, VALUE_REGISTER};
use crate::process::PinnedChild;
use crate::system::{Entry, Road, Role, Site, SystemError, SystemUnderTest};

/// Every system that is not Tripline.
pub(crate) fn own_entries(options: &Options) -> Vec<Entry> {
    let own = |road, role, name| Entry::ready(road, role, Box::new(Own { name, child: None }));
    vec![
        own(Road::Modbus, Role::Floor, "floor-blocking"),
        own(Road::Modbus, Role::Bound, "floor-spinning"),
        own(Road::Modbus, Role::Peer, "tokio-modbus"),
        pymodbus(options),
        own(Road::Mqtt, Role::Floor, "rumqttc"),
    ]
}

/// One of the rig's own programs; its name is its subcommand.
struct Own {
    name: &'static str,
    child: Option<PinnedChild>,
}

impl SystemUnderTest for Own {
    fn name(&self) -> &str {
        self.name
    }

    fn start(&mut self, site: Site) -> Result<(), SystemError> {
        let mut arguments = vec![
            self.name.to_owned(),
            "--device".to_owned(),
            site.device.to_string(),
        ];
        if let Some(broker) = site.broker {
            arguments.extend(["--broker".to_owned(), broker.to_string()]);
        }
        self.child = Some(PinnedChild::start_own(site.cpu, &arguments)?);
        Ok(())
    }

    fn rearm(&mut self) -> Result<(), SystemError> {
        still_there(&mut self.child)
    }

    fn stop(&mut self) {
        self.child = None;
    }
}

/// The floor and the peers write the coil back by themselves: all there is to do is to see whether they live.
fn still_there(child: &mut Option<PinnedChild>) -> Result<(), SystemError> {
    child.as_mut().map_or_else(
        || Err(SystemError::new("rearm", "it was not started")),
        PinnedChild::check,
    )
}

struct Pymodbus {
    python: PathBuf,
    script: PathBuf,
    _folder: TempDir,
    child: Option<PinnedChild>,
}

fn pymodbus(options: &Options) -> Entry {
    const NAME: &str = "pymodbus";
    match Pymodbus::find(&options.python) {
        Ok(system) => Entry::ready(Road::Modbus, Role::Peer, Box::new(system)),
        Err(why) => Entry::left_out(Road::Modbus, Role::Peer, NAME, why),
    }
}

impl Pymodbus {
    fn find(python: &PathBuf) -> Result<Self, String> {
        let found = Command::new(python)
            .args(["-c", "import pymodbus"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|e| format!("{}: {e}", python.display()))?;
        if !found.success() {
            return Err(format!(
                "{} cannot import pymodbus (pip install pymodbus, or --python PATH)",
                python.display()
            ));
        }
        let folder = TempDir::new().map_err(|e| format!("no temporary folder: {e}"))?;
        let script = folder.path().join("peer_pymodbus.py");
        std::fs::write(&script, include_str!("peer_pymodbus.py"))
            .map_err(|e| format!("{}: {e}", script.display()))?;
        Ok(Self {
            python: python.clone(),
            script,
            _folder: folder,
            child: None,
        })
    }
}

impl SystemUnderTest for Pymodbus {
    fn name(&self) -> &'static str {
        "pymodbus"
    }

    fn start(&mut self, site: Site) -> Result<(), SystemError> {
        let arguments = [
            self.script.display().to_string(),
            site.device.ip().to_string(),
            site.device.port().to_string(),
            VALUE_REGISTER.to_string(),
            RUN_COIL.to_string(),
            LIMIT.to_string(),
        ];
        self.child = Some(PinnedChild::start(site.cpu, &self.python, arguments)?);
        Ok(())
    }

    fn rearm(&mut self) -> Result<(), SystemError> {
        still_there(&mut self.child)
    }

    fn stop(&mut self) {
        self.child = None;
    }
}
