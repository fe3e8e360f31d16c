//! Programs of others to test against. Those that are not installed are left out, loudly; where the environment says
//! that they must be there (`TRIPLINE_REQUIRE_PEERS=1`, as in CI), that is a failure.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::guard::wait_until;

/// The path of a program, or `None` when the test shall leave it out.
///
/// # Panics
/// When it is not installed and `TRIPLINE_REQUIRE_PEERS=1`.
pub fn require(program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        left_out(program);
    }
    found
}

fn find(program: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    // Where Debian puts services; not in everybody's PATH.
    folders.push("/usr/sbin".into());
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A Python that has this version of pymodbus, or `None` when the test shall leave it out.
///
/// # Panics
/// As [`require`].
pub fn require_pymodbus() -> Option<PathBuf> {
    let python = require("python3")?;
    let has = Command::new(&python)
        .args(["-c", "import pymodbus"])
        .stderr(Stdio::null())
        .status();
    if has.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    left_out("pymodbus");
    None
}

/// The server in `peers/libmodbus_server.c`, compiled against the installed libmodbus, or `None` when the test shall
/// leave it out.
///
/// # Panics
/// As [`require`], and when it does not compile though libmodbus is there.
pub fn require_libmodbus(folder: &Path) -> Option<PathBuf> {
    let compiler = require("cc")?;
    let header = ["/usr/include", "/usr/local/include"]
        .map(|folder| Path::new(folder).join("modbus/modbus.h"));
    if !header.iter().any(|header| header.is_file()) {
        left_out("libmodbus-dev");
        return None;
    }
    let program = folder.join("libmodbus_server");
    let status = Command::new(compiler)
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-o"])
        .args([&program, &source("libmodbus_server.c")])
        .arg("-lmodbus")
        .status();
    assert!(status.is_ok_and(|status| status.success()), "it compiles");
    Some(program)
}

/// A file of `peers/`.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// Says that `what` is not there, so that the calling test is left out.
///
/// # Panics
/// As [`require`].
pub fn left_out(what: &str) {
    let required = std::env::var_os("TRIPLINE_REQUIRE_PEERS").is_some_and(|value| value == "1");
    tell_left_out(what, required);
}

fn tell_left_out(what: &str, required: bool) {
    assert!(
        !required,
        "{what} is not installed, and TRIPLINE_REQUIRE_PEERS=1 demands it. Install mosquitto, mosquitto-clients, mbpoll and libmodbus-dev (Debian) and pymodbus (PyPI)"
    );
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Past the test harness, which keeps what a passing test prints to itself.
    let _ = writeln!(
        std::io::stderr(),
        "LEFT OUT: {test}: {what} is not installed"
    );
}

/// A Modbus server of somebody else. It prints its port, then obeys lines on its standard input: see
/// `peers/README.md`. It ends when that is closed, so also when the test dies.
pub struct ModbusPeer {
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    address: SocketAddr,
}

impl ModbusPeer {
    /// Starts it and waits until it listens.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = child.stdout.take().expect("a pipe");
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it prints its port");
        let port = line.trim().strip_prefix("port ").map(str::parse::<u16>);
        let Some(Ok(port)) = port else {
            panic!("the peer did not print its port but {line:?}");
        };
        Self {
            child,
            pipes: Mutex::new((stdin, stdout)),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends one command and returns its answer.
    pub fn tell(&self, command: &str) -> String {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let (stdin, stdout) = &mut *pipes;
        writeln!(stdin, "{command}").expect("it listens");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it answers");
        let line = line.trim().to_owned();
        assert!(!line.starts_with("error"), "{command}: {line}");
        assert!(!line.is_empty(), "{command}: the peer is gone");
        line
    }

    /// Sets a cell: `table` is `coil`, `discrete`, `input` or `holding`.
    pub fn set(&self, table: &str, address: u16, value: u16) {
        assert_eq!(self.tell(&format!("set {table} {address} {value}")), "ok");
    }

    /// What a cell holds.
    pub fn get(&self, table: &str, address: u16) -> u16 {
        let value = self.tell(&format!("get {table} {address}"));
        value.parse().expect("a number")
    }
}

impl Drop for ModbusPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A mosquitto broker of our own, with its files in a temporary folder.
pub struct Mosquitto {
    program: PathBuf,
    folder: tempfile::TempDir,
    child: Option<Child>,
    port: u16,
}

impl Mosquitto {
    /// Starts it with these further lines of configuration. `None` when it is not installed.
    pub fn start(config: &str) -> Option<Self> {
        Self::start_with(|_| config.to_owned())
    }

    /// As [`Mosquitto::start`], for a configuration that names files: `config` is given the folder to put them in.
    pub fn start_with(config: impl FnOnce(&Path) -> String) -> Option<Self> {
        let program = require("mosquitto")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let own = config(folder.path());
        // As root it would become another user, who cannot read the folder.
        let text = format!(
            "listener {port} 127.0.0.1\nuser root\npersistence false\nlog_dest stderr\nlog_type error\nlog_type warning\n{own}\n"
        );
        std::fs::write(folder.path().join("mosquitto.conf"), text).expect("it is written");
        let mut broker = Self {
            program,
            folder,
            child: None,
            port,
        };
        broker.run();
        Some(broker)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it: no goodbye to anybody.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on the same port.
    pub fn run(&mut self) {
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.folder.path().join("log"))
            .expect("a log");
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .stderr(log)
            .spawn()
            .expect("mosquitto starts");
        let child = self.child.insert(child);
        let log = self.folder.path().join("log");
        wait_until("mosquitto listens", || {
            let ended = child.try_wait().expect("its state is known");
            assert!(
                ended.is_none(),
                "mosquitto ended: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
        });
    }

    /// Publishes with mosquitto's own client; `more` are further arguments, such as credentials. Binary payloads go
    /// through its standard input.
    pub fn publish(&self, topic: &str, payload: &[u8], more: &[&str]) {
        let program = require("mosquitto_pub").expect("mosquitto-clients beside mosquitto");
        let mut child = Command::new(program)
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            // From its standard input; an empty one is no message for it.
            .args(["-t", topic, if payload.is_empty() { "-n" } else { "-s" }])
            .args(more)
            .stdin(Stdio::piped())
            .spawn()
            .expect("mosquitto_pub starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(payload).expect("it reads");
        drop(stdin);
        let status = child.wait().expect("it ends");
        assert!(status.success(), "mosquitto_pub published: {status}");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on, below those that the system gives to outgoing connections, so that it stays free
/// while a broker is away.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    let spread = u16::try_from(std::process::id() % u32::from(COUNT)).expect("below 12,000");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + spread.wrapping_mul(61).wrapping_add(step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("every port from {FIRST} on is taken");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-peer"), None);
    }

    #[test]
    #[should_panic(expected = "TRIPLINE_REQUIRE_PEERS=1 demands it")]
    fn a_missing_peer_fails_where_peers_are_required() {
        tell_left_out("no-such-peer", true);
    }

    #[test]
    fn a_free_port_is_free_and_each_is_given_once() {
        let ports = [free_port(), free_port(), free_port()];
        for port in ports {
            assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        }
        assert!(ports[0] != ports[1] && ports[1] != ports[2]);
    }
}
