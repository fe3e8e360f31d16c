//! Which system calls: what each kind of thread may make, and what nobody here may.
//!
//! The lists of lanes and analyzers say what is allowed: those threads run foreign code and do little. Those of the process
//! and of settled threads say what is forbidden: a name service may load libraries of this host, and those may make any
//! call that is harmless.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

/// A system call: its name as in `libc`, and its number.
type Call = (&'static str, libc::c_long);

macro_rules! calls {
    ($($call:ident)*) => { &[$((stringify!($call), libc::$call)),*] };
}

/// A lane and the sentinel while they run. Those of libraries that choose are there in each form (`poll`, `ppoll`).
const SOCKETS: &[Call] = calls! {
    SYS_connect SYS_close SYS_shutdown SYS_fcntl
    SYS_setsockopt SYS_getsockopt SYS_getpeername SYS_getsockname
    SYS_recvfrom SYS_recvmsg SYS_readv SYS_sendto SYS_sendmsg
};

/// Every thread on an allow list: waiting, waking others, the time where the vDSO cannot tell it.
const WAITING: &[Call] = calls! {
    SYS_ppoll SYS_poll SYS_read SYS_write SYS_futex SYS_clock_gettime SYS_clock_nanosleep SYS_nanosleep
    SYS_sched_yield SYS_restart_syscall
};

/// Every thread on an allow list: the memory of instances and, on a lane, of a panic. Executable memory is not among it.
const MEMORY: &[Call] = calls! { SYS_brk SYS_munmap SYS_mremap SYS_madvise };

/// Every thread on an allow list: what a C library asks its kernel in passing. None of our code does; none of it does harm.
const ASKING: &[Call] = calls! {
    SYS_fstat SYS_sched_getaffinity SYS_getcpu SYS_gettimeofday SYS_clock_getres SYS_futex_waitv SYS_membarrier SYS_uname
    SYS_getuid SYS_geteuid
};

/// Only with an argument that is looked at: what [`allowed`] and [`lane`] make rules of.
#[cfg(test)]
const LOOKED_AT: &[Call] = calls! { SYS_mmap SYS_mprotect SYS_prctl SYS_socket SYS_ioctl };

/// Every thread on an allow list: a trap, a panic, an abort, the thread's end.
const ENDING: &[Call] = calls! {
    SYS_writev SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sigaltstack
    SYS_getpid SYS_gettid SYS_tgkill SYS_set_robust_list SYS_rseq SYS_getrandom SYS_exit SYS_exit_group
};

/// Nobody: other programs, other processes, the kernel's own workings, the rights of users, the host.
const NOBODY: &[Call] = calls! {
    SYS_execve SYS_execveat
    SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise SYS_process_mrelease
    SYS_pidfd_getfd SYS_pidfd_send_signal SYS_kill SYS_tkill SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo
    SYS_bpf SYS_perf_event_open SYS_userfaultfd SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register
    SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_kexec_file_load SYS_syslog
    SYS_add_key SYS_request_key SYS_keyctl
    SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_move_mount SYS_open_tree SYS_fsopen SYS_fsmount SYS_fsconfig
    SYS_fspick SYS_mount_setattr SYS_unshare SYS_setns SYS_swapon SYS_swapoff SYS_quotactl SYS_acct
    SYS_open_by_handle_at SYS_fanotify_init SYS_lookup_dcookie SYS_vhangup
    SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setfsuid SYS_setfsgid
    SYS_setgroups SYS_capset SYS_personality
    SYS_settimeofday SYS_clock_settime SYS_clock_adjtime SYS_adjtimex SYS_sethostname SYS_setdomainname SYS_reboot
    SYS_move_pages SYS_migrate_pages
};

/// The same, only of this architecture.
#[cfg(target_arch = "x86_64")]
const NOBODY_HERE: &[Call] =
    calls! { SYS_fork SYS_vfork SYS_iopl SYS_ioperm SYS_modify_ldt SYS_uselib SYS_ustat SYS_sysfs };
#[cfg(not(target_arch = "x86_64"))]
const NOBODY_HERE: &[Call] = &[];

/// Settled threads: new threads and processes, and memory that another could make executable.
const SETTLED_NOT: &[Call] =
    calls! { SYS_clone SYS_clone3 SYS_memfd_create SYS_pkey_mprotect SYS_shmat };

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What a lane and the sentinel may.
pub(super) fn lane() -> Result<BpfProgram, Error> {
    let mut rules = allowed(&[SOCKETS, WAITING, MEMORY, ASKING, ENDING])?;
    // TCP to devices and brokers. Not the Unix sockets of this host's services, and nothing that is not connected.
    let tcp = |family: libc::c_int| {
        let family = u64::try_from(family).unwrap_or(u64::MAX);
        rule([
            bits(0, u64::MAX, family)?,
            bits(1, SOCKET_TYPE, SOCK_STREAM)?,
        ])
    };
    rules.insert(
        libc::SYS_socket,
        vec![tcp(libc::AF_INET)?, tcp(libc::AF_INET6)?],
    );
    // Whether a socket waits: std and socket2 set it this way.
    let waits = bits(1, u64::MAX, u64::from(FIONBIO))?;
    rules.insert(libc::SYS_ioctl, vec![rule([waits])?]);
    compile(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// What the threads of analyzers may.
pub(super) fn analyzers() -> Result<BpfProgram, Error> {
    let rules = allowed(&[WAITING, MEMORY, ASKING, ENDING])?;
    compile(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// What settled threads may not.
pub(super) fn settled() -> Result<BpfProgram, Error> {
    let mut rules = plain(&[SETTLED_NOT]);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let executable = bits(2, PROT_EXEC, PROT_EXEC)?;
        rules.insert(call, vec![rule([executable])?]);
    }
    compile(rules, SeccompAction::Allow, SeccompAction::KillProcess)
}

/// What nobody in this process may.
pub(super) fn everybody() -> Result<BpfProgram, Error> {
    let mut rules = plain(&[NOBODY, NOBODY_HERE]);
    // A thread is made with this flag, a process without.
    let process = bits(0, CLONE_THREAD, 0)?;
    rules.insert(libc::SYS_clone, vec![rule([process])?]);
    // A thread may signal itself, as an abort does; nobody signals another process.
    let own = u64::from(std::process::id());
    let another = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, own)?;
    rules.insert(libc::SYS_tgkill, vec![rule([another])?]);
    // Frames beside the network's protocols, or the kernel's own. `AF_NETLINK` is asked by name services.
    let families = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];
    let none_of_them = families.map(|family| {
        let family = u64::try_from(family).unwrap_or(u64::MAX);
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
    });
    let none_of_them = none_of_them.into_iter().collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(none_of_them)?]);
    let mut program = compile(rules, SeccompAction::Allow, SeccompAction::KillProcess)?;
    if cfg!(target_arch = "x86_64") {
        program.splice(0..0, no_second_table());
    }
    Ok(program)
}

/// `clone3` hides its flags from a filter. Told that it is not there, the C library takes `clone`.
pub(super) fn no_clone3() -> Result<BpfProgram, Error> {
    let absent = SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap_or(1));
    compile(
        plain(&[calls! { SYS_clone3 }]),
        SeccompAction::Allow,
        absent,
    )
}

const PROT_EXEC: u64 = 0x4;
const CLONE_THREAD: u64 = 0x1_0000;
const PR_SET_VMA: u64 = 0x5356_4d41;
const FIONBIO: u32 = 0x5421;
/// The part of a socket's type that is not flags.
const SOCKET_TYPE: u64 = 0xf;
const SOCK_STREAM: u64 = 1;

/// The kernel may know every call by a second number (x32), which a list of numbers does not name: they are all forbidden.
/// The library has no words for it, so these are its instructions: load the number; if it has the bit, kill.
fn no_second_table() -> [sock_filter; 3] {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32_BIT: u32 = 0x4000_0000;
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    [
        instruction(LOAD_WORD, 0, 0, 0),
        instruction(JUMP_IF_GREATER_OR_EQUAL, 0, 1, X32_BIT),
        instruction(RETURN, 0, 0, SeccompAction::KillProcess.into()),
    ]
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, arch)?;
    Ok(BpfProgram::try_from(filter)?)
}

/// These calls, whatever their arguments.
fn plain(lists: &[&[Call]]) -> Rules {
    let calls = lists.iter().flat_map(|list| list.iter());
    calls.map(|(_, number)| (*number, Vec::new())).collect()
}

/// The same, memory that is not executable, and its name.
fn allowed(lists: &[&[Call]]) -> Result<Rules, Error> {
    let mut rules = plain(lists);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let not_executable = bits(2, PROT_EXEC, 0)?;
        rules.insert(call, vec![rule([not_executable])?]);
    }
    // What memory is used for, which some C libraries tell the kernel.
    let names_memory = bits(0, u64::MAX, PR_SET_VMA)?;
    rules.insert(libc::SYS_prctl, vec![rule([names_memory])?]);
    Ok(rules)
}

/// Whether an argument has these bits under this mask.
fn bits(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, Error> {
    Ok(SeccompCondition::new(
        argument,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(mask),
        value,
    )?)
}

fn rule<const N: usize>(conditions: [SeccompCondition; N]) -> Result<SeccompRule, Error> {
    Ok(SeccompRule::new(conditions.to_vec())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The system calls of a row in the documentation.
    fn documented(row: &str) -> Vec<&'static str> {
        let docs = include_str!("../../../../docs/architecture.md");
        let begin = format!("| {row} |");
        let mut rows = docs.lines().filter(|line| line.starts_with(&begin));
        let row = rows.next().unwrap_or_else(|| panic!("no row {row}"));
        let cells = row.split('|').nth(2).unwrap();
        cells.split('`').skip(1).step_by(2).collect()
    }

    #[test]
    fn i11_the_system_calls_that_the_documentation_lists_are_those_of_the_filters() {
        let nobody = [NOBODY, NOBODY_HERE].concat();
        let rows: [(&str, &[Call]); 8] = [
            ("sockets", SOCKETS),
            ("waiting", WAITING),
            ("memory", MEMORY),
            ("asking", ASKING),
            ("looked at", LOOKED_AT),
            ("ending", ENDING),
            ("settled threads not", SETTLED_NOT),
            ("nobody", &nobody),
        ];
        for (row, list) in rows {
            let names: Vec<&str> = list
                .iter()
                .map(|(name, _)| name.strip_prefix("SYS_").unwrap())
                .collect();
            assert_eq!(documented(row), names, "I11, H-43: {row}");
        }
    }

    #[test]
    fn h43_what_nobody_may_do_is_on_no_list_of_what_somebody_may() {
        let numbers = |lists: &[&[Call]]| -> Vec<i64> {
            let calls = lists.iter().flat_map(|list| list.iter());
            calls.map(|(_, number)| *number).collect()
        };
        let forbidden = numbers(&[NOBODY, NOBODY_HERE, SETTLED_NOT]);
        for number in numbers(&[SOCKETS, WAITING, MEMORY, ASKING, LOOKED_AT, ENDING]) {
            assert!(!forbidden.contains(&number), "H-43: {number}");
        }
    }
}
