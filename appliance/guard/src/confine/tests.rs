//! Each filter in a process of its own, since what it forbids ends that; and the closed files in a thread.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};

use super::*;

/// What the child is to do, and as which kind of thread.
const DO: &str = "TRIPLINE_CONFINE_TEST";
const SIGSYS: i32 = 31;
/// What the child ends with where the kernel takes no filter.
const NO_FILTER: i32 = 77;

/// Says it past the test harness, which keeps what a passing test prints to itself.
fn not_tested(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT TESTED: {test}: {why}");
}

/// Of every test below: this program again, confined, doing one thing.
#[test]
#[ignore = "only as a child of the tests beside it"]
fn child() {
    let order = std::env::var(DO).unwrap();
    let (kind, act) = order.split_once(' ').unwrap();
    let _signals = crate::start::signals().unwrap();
    if let Err(error) = super::filter() {
        not_tested("system calls", &error.to_string());
        std::process::exit(NO_FILTER);
    }
    let calls = match kind {
        "lane" => Some(Calls::Lane),
        "analyzers" => Some(Calls::Analyzers),
        "settled" => Some(Calls::Settled),
        _ => None,
    };
    let act = act.to_owned();
    let confined = move || {
        assert_eq!(calls.and_then(thread), None, "the filter is taken");
        carry_out(&act);
    };
    let ended = std::thread::Builder::new()
        .name("confined".into())
        .spawn(confined)
        .unwrap()
        .join();
    // Past the harness: it would wait for nothing, but this says more.
    std::process::exit(if ended.is_ok() { 0 } else { 101 });
}

fn carry_out(act: &str) {
    match act {
        "waits" => {
            std::thread::sleep(std::time::Duration::from_millis(1));
            let wake = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK);
            let _ = wake.map(|wake| crate::lane_thread::notify(std::os::fd::AsFd::as_fd(&wake)));
        }
        "sleeps" => std::thread::sleep(std::time::Duration::from_millis(1)),
        // Large enough for the allocator to ask for more, and to map it.
        "allocates" => drop(std::hint::black_box(vec![1_u8; 64 << 20])),
        // The kernel gives a signal to any thread that is free.
        "takes a signal" => signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap(),
        "panics" => panic!("as told"),
        "connects" => {
            let nobody = TcpStream::connect("127.0.0.1:1");
            assert!(nobody.is_err());
        }
        "opens a local socket" => drop(UnixDatagram::unbound().unwrap()),
        "opens a socket for datagrams" => {
            use rustix::net::{AddressFamily, SocketType, socket};
            drop(socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap());
        }
        "calls by the second number" => second_number(),
        "opens a file" => drop(std::fs::read("/etc/passwd").unwrap()),
        "starts a thread" => std::thread::spawn(|| ()).join().unwrap(),
        "starts a program" => {
            let _ = Command::new("/bin/true").status();
        }
        "becomes a program" => {
            let _ = Command::new("/bin/true").exec();
        }
        "listens to the wire" => {
            use rustix::net::{AddressFamily, SocketType, socket};
            let _ = socket(AddressFamily::PACKET, SocketType::RAW, None);
        }
        "maps machine code" => {
            let path = std::env::current_exe().unwrap();
            map_executable(&std::fs::File::open(path).unwrap());
        }
        "makes memory executable" => protect_executable(),
        "signals another process" => signal_another(),
        "names its memory" => process_control(PR_SET_VMA),
        "changes its own rights" => process_control(libc::PR_SET_DUMPABLE),
        "attaches machine code" => attach_executable(),
        "sends a signal" => {
            let own = rustix::process::getpid();
            let _ = rustix::process::kill_process(own, rustix::process::Signal::CONT);
        }
        act => panic!("what is {act}?"),
    }
}

#[expect(unsafe_code, reason = "no safe wrapper maps memory")]
fn map_executable(file: &std::fs::File) {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let prot = ProtFlags::READ | ProtFlags::EXEC;
    // SAFETY: a new private mapping at an address of the kernel's choice, never looked at.
    let mapped = unsafe { mmap(std::ptr::null_mut(), 1, prot, MapFlags::PRIVATE, file, 0) };
    mapped.unwrap();
}

#[expect(unsafe_code, reason = "no safe wrapper maps memory")]
fn protect_executable() {
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new private mapping at an address of the kernel's choice, never looked at.
    let mapped = unsafe { mmap_anonymous(std::ptr::null_mut(), 1, prot, MapFlags::PRIVATE) };
    let flags = MprotectFlags::READ | MprotectFlags::EXEC;
    // SAFETY: the mapping of the line above, whole.
    unsafe { mprotect(mapped.unwrap(), 1, flags) }.unwrap();
}

#[expect(unsafe_code, reason = "no safe wrapper attaches memory")]
fn attach_executable() {
    // SAFETY: no such memory is made before, so that none is attached; the kernel says so.
    unsafe { libc::shmat(-1, std::ptr::null(), libc::SHM_EXEC) };
}

#[expect(unsafe_code, reason = "no safe wrapper names a thread of another")]
fn signal_another() {
    // SAFETY: signal 0 is none: it asks whether there is such a thread.
    unsafe { libc::syscall(libc::SYS_tgkill, 1, 1, 0) };
}

/// Some C libraries tell the kernel what they use memory for (`glibc.mem.decorate_maps`).
const PR_SET_VMA: libc::c_int = 0x5356_4d41;

#[expect(unsafe_code, reason = "no safe wrapper takes any of them")]
fn process_control(what: libc::c_int) {
    // SAFETY: no pointers; of memory it names none, and the process may stay as it is.
    unsafe { libc::prctl(what, 0, 0, 0, 0) };
}

#[expect(unsafe_code, reason = "no wrapper makes a call by this number")]
fn second_number() {
    // SAFETY: the call asks for a number; a kernel that does not know it says so.
    let _ = unsafe { libc::syscall(0x4000_0000 + libc::SYS_getpid) };
}

fn does(kind: &str, act: &str) -> ExitStatus {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command
        .args(["--exact", "confine::tests::child", "--ignored", "--quiet"])
        .env(DO, format!("{kind} {act}"));
    let output = command.output().unwrap();
    output.status
}

#[test]
fn h43_i11_each_kind_of_thread_lives_with_its_own_calls_and_ends_the_guard_with_any_other() {
    const ENDS: Option<i32> = None;
    const LIVES: Option<i32> = Some(0);
    let table = [
        ("waits", [LIVES, LIVES, LIVES, LIVES]),
        ("sleeps", [LIVES, LIVES, LIVES, LIVES]),
        ("allocates", [LIVES, LIVES, LIVES, LIVES]),
        ("signals another process", [ENDS, ENDS, ENDS, ENDS]),
        ("names its memory", [LIVES, LIVES, LIVES, LIVES]),
        ("changes its own rights", [ENDS, ENDS, LIVES, LIVES]),
        ("takes a signal", [LIVES, LIVES, LIVES, LIVES]),
        ("panics", [Some(101), Some(101), Some(101), Some(101)]),
        ("connects", [LIVES, ENDS, LIVES, LIVES]),
        ("opens a local socket", [ENDS, ENDS, LIVES, LIVES]),
        ("opens a socket for datagrams", [ENDS, ENDS, LIVES, LIVES]),
        ("opens a file", [ENDS, ENDS, LIVES, LIVES]),
        ("starts a thread", [ENDS, ENDS, ENDS, LIVES]),
        ("maps machine code", [ENDS, ENDS, ENDS, LIVES]),
        ("makes memory executable", [ENDS, ENDS, ENDS, LIVES]),
        ("attaches machine code", [ENDS, ENDS, ENDS, LIVES]),
        ("starts a program", [ENDS, ENDS, ENDS, ENDS]),
        ("becomes a program", [ENDS, ENDS, ENDS, ENDS]),
        ("listens to the wire", [ENDS, ENDS, ENDS, ENDS]),
        ("calls by the second number", [ENDS, ENDS, ENDS, ENDS]),
        ("sends a signal", [ENDS, ENDS, ENDS, ENDS]),
    ];
    if does("other", "sleeps").code() == Some(NO_FILTER) {
        not_tested("H-43, I11", "this kernel filters no system calls");
        return;
    }
    for (act, expected) in table {
        let kinds = ["lane", "analyzers", "settled", "other"];
        for (kind, expected) in kinds.into_iter().zip(expected) {
            // An eventfd is made at start; a lane only writes to it.
            if act == "waits" && matches!(kind, "lane" | "analyzers") {
                continue;
            }
            let status = does(kind, act);
            let signal = expected.is_none().then_some(SIGSYS);
            assert_eq!(
                (status.code(), status.signal()),
                (expected, signal),
                "H-43, I11: {kind} {act}"
            );
        }
    }
}

#[test]
fn h43_files_and_ports_that_a_pack_does_not_need_are_closed() {
    let folder = std::env::temp_dir().join(format!("tripline-confine-{}", std::process::id()));
    let (ours, other) = (folder.join("ours"), folder.join("other"));
    for folder in [&ours, &other] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("file"), "x").unwrap();
    }
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (known, unknown) = (listen(), listen());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let needs = Needs {
        read: vec!["/etc".into()],
        write: vec![ours.clone()],
        device: Some(other.join("file")),
        ports: vec![port(&known)],
        abstract_address: false,
    };
    let (to, elsewhere) = (ours.clone(), other.clone());
    let ports = (port(&known), port(&unknown));
    let confined = move || {
        // The rest is about kernels that have it; the guard says so where one does not.
        let Ok(status @ (RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced)) =
            super::files::close(&needs)
        else {
            not_tested("H-43", "this kernel has no landlock");
            return;
        };
        let denied = |what: &str, result: std::io::Result<()>| {
            let kind = result.map_err(|error| error.kind());
            assert_eq!(kind, Err(ErrorKind::PermissionDenied), "H-43: {what}");
        };
        crate::kept::write_whole(&to.join("kept.state"), b"kept").unwrap();
        crate::kept::write_whole(&to.join("kept.state"), b"kept again").unwrap();
        std::fs::remove_file(to.join("file")).unwrap();
        std::fs::read("/etc/passwd").unwrap();
        let device = std::fs::File::options()
            .write(true)
            .open(elsewhere.join("file"));
        device.unwrap().write_all(b"V").unwrap();
        let read = |path: &Path| std::fs::read(path).map(drop);
        denied("reads the device", read(&elsewhere.join("file")));
        denied("reads elsewhere", read(Path::new("/bin/true")));
        denied(
            "writes elsewhere",
            std::fs::write(elsewhere.join("new"), "x"),
        );
        denied(
            "removes elsewhere",
            std::fs::remove_file(elsewhere.join("file")),
        );
        denied("writes accounts", std::fs::write("/etc/tripline-new", "x"));
        if status == RulesetStatus::FullyEnforced {
            TcpStream::connect(("127.0.0.1", ports.0)).unwrap();
            let unknown = TcpStream::connect(("127.0.0.1", ports.1));
            denied("connects elsewhere", unknown.map(drop));
            denied("listens", TcpListener::bind("127.0.0.1:0").map(drop));
        } else {
            not_tested("H-43", "this kernel's landlock knows no ports");
        }
    };
    std::thread::spawn(confined).join().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Waits until the other side has made this file.
fn await_file(path: &Path) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !path.exists() {
        assert!(std::time::Instant::now() < until, "{}", path.display());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Of the test below.
#[test]
#[ignore = "only as a child of the test beside it"]
fn child_whose_names_are_forgotten() {
    let folder = std::path::PathBuf::from(std::env::var(DO).unwrap());
    let needs = Needs {
        read: vec!["/proc/self".into()],
        write: vec![folder.clone()],
        ..Needs::default()
    };
    super::files::close(&needs).unwrap();
    assert!(rt_config::host::resident_bytes().is_some(), "before");
    std::fs::write(folder.join("closed"), "").unwrap();
    await_file(&folder.join("forgotten"));
    assert!(rt_config::host::resident_bytes().is_some(), "H-34, H-43");
}

#[test]
fn h34_h43_its_own_memory_can_be_read_after_the_kernel_has_forgotten_the_name() {
    // The kernel forgets names when memory is short; here one procfs is made to forget all of its own.
    const SCRIPT: &str = r#"
        "$0" --exact confine::tests::child_whose_names_are_forgotten --ignored --quiet & child=$!
        while [ ! -e "$1/closed" ] && kill -0 $child; do sleep 0.01; done
        mount -o remount /proc && : > "$1/forgotten"
        wait $child"#;
    let own_procfs = |command: &[&std::ffi::OsStr]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--pid", "--mount", "--fork"]);
        unshare.arg("--mount-proc").args(command);
        unshare
    };
    let remount = ["sh", "-c", "mount -o remount /proc"].map(AsRef::as_ref);
    let possible = own_procfs(&remount).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        not_tested("H-34, H-43", "no procfs of one's own can be had here");
        return;
    }
    let folder = std::env::temp_dir().join(format!("tripline-forgotten-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let program = std::env::current_exe().unwrap();
    let script = ["sh".as_ref(), "-c".as_ref(), SCRIPT.as_ref()];
    let output = own_procfs(&script)
        .args([&program, &folder])
        .env(DO, &folder)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "H-34, H-43: {told}");
}

#[test]
fn h43_without_walls_the_state_says_so() {
    let problems = process(&Needs::default(), true);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("not confined"), "{problems:?}");
    assert_eq!(thread(Calls::Lane), None, "nothing was confined");
}
