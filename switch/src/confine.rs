//! Confinement of the switch: the process drops what it never needs when it starts; threads that read peers' rings and packets
//! may only move packets.
#![allow(unsafe_code)]

use libc::c_long;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};
use std::collections::BTreeMap;
use std::io;

/// System calls that no thread of the switch may use: those that run other programs, inspect other processes or change the host.
const FORBIDDEN_CALLS: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_ioperm,
    libc::SYS_iopl,
];

/// System calls that a thread of the data plane may use: to move packets, to inspect descriptors from peers (`readlink`, `fstat`,
/// `fstatfs`), to answer them, wait, use memory and end. It can open no file and create no socket.
const DATA_PLANE_CALLS: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_readlink,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fcntl,
    libc::SYS_rt_sigaction,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendmmsg,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_epoll_ctl,
    libc::SYS_poll,
    libc::SYS_getsockopt,
    libc::SYS_close,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Capabilities that opening ports needs, by the numbers of linux/capability.h: interfaces, packet sockets, namespaces, XDP and
/// its locked memory, and sockets in other users' folders.
const CAPABILITIES: [u32; 6] = [
    1,  // CAP_DAC_OVERRIDE
    12, // CAP_NET_ADMIN
    13, // CAP_NET_RAW
    14, // CAP_IPC_LOCK
    21, // CAP_SYS_ADMIN
    39, // CAP_BPF
];

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

fn plain(calls: &[c_long]) -> Rules {
    calls.iter().map(|&call| (call, Vec::new())).collect()
}

fn enter(rules: Rules, listed: SeccompAction, others: SeccompAction) -> io::Result<()> {
    SeccompFilter::new(rules, others, listed, TargetArch::x86_64)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)
        .and_then(|filter| apply_filter(&filter).map_err(io::Error::other))
}

/// Drops all capabilities of this thread except those of `wanted`.
fn keep_capabilities(wanted: &[u32]) -> io::Result<()> {
    let wanted = wanted.iter().fold(0u64, |all, number| all | 1 << number);
    let kept = rustix::thread::capabilities(None)?.permitted & CapabilitySet::from_bits_retain(wanted);
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

fn no_new_privileges() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Raises the limit of descriptors to the hard limit, and returns it. A port's peer has at most 13: its connection, four of its
/// rings, and eight that came with a message.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Confines the whole process. Must be called before it has other threads.
pub fn process() -> io::Result<()> {
    // One heap for all threads: the C library opens a file when it shrinks a second one, which no thread may.
    // SAFETY: sets a parameter of the allocator; no other thread exists yet.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    keep_capabilities(&CAPABILITIES)?;
    no_new_privileges()?;
    enter(plain(FORBIDDEN_CALLS), SeccompAction::KillProcess, SeccompAction::Allow)
}

/// Confines a thread of the data plane. Must be called before it reads its first packet.
pub fn data_plane() -> io::Result<()> {
    keep_capabilities(&[])?;
    let argument = |index, value: u64| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(io::Error::other)
    };
    let mut rules = plain(DATA_PLANE_CALLS);
    // Memory is never executable.
    let data = [libc::PROT_READ | libc::PROT_WRITE, libc::PROT_NONE, libc::PROT_READ];
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, data.iter().map(|&d| argument(2, d as u64)).collect::<io::Result<_>>()?);
    }
    rules.insert(libc::SYS_ioctl, vec![argument(1, libc::FIONBIO)?]);
    rules.insert(libc::SYS_tgkill, vec![argument(0, std::process::id().into())?]);
    enter(rules, SeccompAction::Allow, SeccompAction::KillProcess)
}
