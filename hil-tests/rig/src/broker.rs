//! A real mosquitto on a spare loopback port, on the device's core.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::PinnedChild;
use crate::system::SystemError;

const UP_MAX: Duration = Duration::from_secs(10);

/// Where the broker is to be found in this run.
pub(crate) struct BrokerPlan {
    program: PathBuf,
    pub(crate) address: SocketAddr,
}

/// A running broker, ended when dropped.
pub(crate) struct Broker {
    _child: PinnedChild,
    _folder: TempDir,
}

/// Finds mosquitto and a port that is free now; both stay the same for the run.
pub(crate) fn plan() -> Result<BrokerPlan, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        // Debian puts it where an ordinary user's path does not look.
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("mosquitto"))
        .find(|file| file.is_file())
        .ok_or("mosquitto is not installed (Debian: apt-get install mosquitto)")?;
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|l| l.local_addr())
        .map_err(|e| format!("no spare port for mosquitto: {e}"))?;
    Ok(BrokerPlan { program, address })
}

impl BrokerPlan {
    /// Starts the broker and returns when it takes connections. It runs only while it is needed: even an idle one
    /// wakes up ten times a second.
    pub(crate) fn start(&self, cpu: usize) -> Result<Broker, SystemError> {
        let step = "start mosquitto";
        let folder = TempDir::new().map_err(|e| SystemError::new(step, e))?;
        let file = folder.path().join("mosquitto.conf");
        // Nagle off, as a user who cares has it; nothing kept on disk; and no change of user, because that would make
        // the kernel forget to end it with the rig.
        let lines = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\nuser root\n\
             log_type error\n",
            self.address.port()
        );
        fs::write(&file, lines).map_err(|e| SystemError::new(step, e))?;
        let mut child = PinnedChild::start(cpu, &self.program, ["-c".as_ref(), file.as_os_str()])?;
        let deadline = Instant::now() + UP_MAX;
        while TcpStream::connect(self.address).is_err() {
            child.check()?;
            if Instant::now() > deadline {
                let said = child.log_tail();
                let late = format!(
                    "no answer on {} after {} s; {said}",
                    self.address,
                    UP_MAX.as_secs()
                );
                return Err(SystemError::new(step, late));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.check()?;
        Ok(Broker {
            _child: child,
            _folder: folder,
        })
    }
}
