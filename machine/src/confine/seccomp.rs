//! System calls that each thread may still make once the guest runs. Anything else kills the process.

use crate::error::Error;
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use std::collections::BTreeMap;

const KVM_RUN: u64 = 0xae80;
const KVM_GET_REGS: u64 = 0x8090_ae81;
const KVM_GET_SREGS: u64 = 0x8138_ae83;
const KVM_IOEVENTFD: u64 = 0x4040_ae79;

/// What all threads need: memory for the allocator (never executable), waiting, ending, and the way to an orderly
/// abort.
const BOTH: &[c_long] = &[
    libc::SYS_futex,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_sched_yield,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
];
// Whether rustix waits by `epoll_pwait` or `epoll_pwait2` is a feature of it (`linux_5_11`), which any crate of the same
// build may choose.
const VCPU: &[c_long] =
    &[libc::SYS_ppoll, libc::SYS_epoll_wait, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2];
const IO: &[c_long] = &[
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_ctl,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_poll,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_ppoll,
    libc::SYS_close,
];

/// The threads that speak with back ends of net devices.
const VHOST: &[c_long] = &[
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_setsockopt,
    libc::SYS_accept4,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_timer_settime,
    libc::SYS_close,
];
/// The connector, beside making a Unix socket. It allocates, and ends.
const CONNECTOR: &[c_long] = &[
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_connect,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit_group,
];

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// What a kind of machine needs of a thread beyond what every kind needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra<'a> {
    /// Requests of `ioctl`.
    pub ioctls: &'a [u64],
    /// System calls, with whatever arguments.
    pub calls: &'a [c_long],
    /// Whether it signals threads of this process.
    pub signals: bool,
}

/// A vCPU thread's list.
pub fn vcpu(extra: &Extra<'_>) -> Result<BpfProgram, Error> {
    let mut rules = plain(&[BOTH, VCPU, extra.calls]);
    let requests = [KVM_RUN, KVM_GET_REGS, KVM_GET_SREGS, KVM_IOEVENTFD];
    rules.insert(libc::SYS_ioctl, any_of(&[&requests, extra.ioctls])?);
    if extra.signals {
        rules.insert(libc::SYS_tgkill, vec![argument(0, std::process::id().into())?]);
    }
    compile(rules)
}

/// The I/O thread's list.
pub fn io(extra: &Extra<'_>) -> Result<BpfProgram, Error> {
    let mut rules = plain(&[BOTH, IO, extra.calls]);
    // A connection is made non-blocking.
    rules.insert(libc::SYS_ioctl, any_of(&[&[libc::FIONBIO], extra.ioctls])?);
    rules.insert(libc::SYS_tgkill, vec![argument(0, std::process::id().into())?]);
    compile(rules)
}

/// The list of a thread that speaks with a back end.
pub fn vhost() -> Result<BpfProgram, Error> {
    let mut rules = plain(&[BOTH, VHOST]);
    // A connection is made blocking.
    rules.insert(libc::SYS_ioctl, vec![argument(1, libc::FIONBIO)?]);
    rules.insert(libc::SYS_tgkill, vec![argument(0, std::process::id().into())?]);
    compile(rules)
}

/// The connector's list.
pub fn connector() -> Result<BpfProgram, Error> {
    let mut rules = plain(&[CONNECTOR]);
    rules.insert(libc::SYS_socket, vec![argument(0, libc::AF_UNIX as u64)?]);
    compile(rules)
}

fn plain(lists: &[&[c_long]]) -> Rules {
    lists.iter().copied().flatten().map(|&call| (call, Vec::new())).collect()
}

/// Any of these requests of `ioctl`.
fn any_of(lists: &[&[u64]]) -> Result<Vec<SeccompRule>, Error> {
    lists.iter().copied().flatten().map(|&request| argument(1, request)).collect()
}

fn refused(e: seccompiler::BackendError) -> Error {
    Error::Host {
        problem: format!("system call filter: {e}"),
        hint: "the kernel needs CONFIG_SECCOMP_FILTER".into(),
    }
}

fn argument(index: u8, value: u64) -> Result<SeccompRule, Error> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
        .and_then(|c| SeccompRule::new(vec![c]))
        .map_err(refused)
}

fn compile(mut rules: Rules) -> Result<BpfProgram, Error> {
    let data = |protection: i32| argument(2, protection as u64);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![data(libc::PROT_READ | libc::PROT_WRITE)?, data(libc::PROT_NONE)?]);
    }
    // To look at a descriptor's flags, and nothing else: F_SETOWN and F_SETSIG would signal other processes.
    rules.insert(libc::SYS_fcntl, vec![argument(1, libc::F_GETFD as u64)?]);
    rules.insert(libc::SYS_mremap, Vec::new());
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, TargetArch::x86_64)
        .and_then(BpfProgram::try_from)
        .map_err(refused)
}

/// Puts a list in force for the calling thread.
pub fn enter(program: &BpfProgram) -> Result<(), Error> {
    seccompiler::apply_filter(program).map_err(|e| Error::Host {
        problem: format!("system call filter: {e}"),
        hint: "the kernel needs CONFIG_SECCOMP_FILTER".into(),
    })
}
