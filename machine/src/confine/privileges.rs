//! What the monitor gives up once everything it needs is open, before any thread starts and any guest byte is read.
#![allow(unsafe_code)]

use crate::error::Error;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_move};
use rustix::process::{
    DumpableBehavior, Gid, Pid, Resource, Rlimit, Signal, Uid, chdir, chroot, getrlimit,
    set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{self, UnshareFlags};
use std::ffi::CStr;
use std::num::NonZeroU64;
use std::sync::LazyLock;

/// Base of the user and group numbers that monitors run as: no account has them, and each process its own.
const USER_BASE: u32 = 0x4d56_0000;

/// Most descriptors and, with the kernel's own for them, threads of the monitor's user.
const DESCRIPTORS: u64 = 512;
const THREADS: u64 = 64;

/// This process's number as the host has it: its own namespace may have another.
static NUMBER: LazyLock<u32> = LazyLock::new(|| {
    let link = std::fs::read_link("/proc/self").ok();
    link.and_then(|l| l.to_str()?.parse().ok()).unwrap_or_else(std::process::id)
});

/// This process's number, for others. [`drop_all`] finds it: after that nothing can be read.
pub fn number() -> u32 {
    *NUMBER
}

/// Says what failed.
fn doing(doing: &'static str) -> impl FnOnce(Errno) -> Error {
    move |e| Error::System { doing, source: e.into() }
}

/// Holds this process to so much of a resource. A host that allows less is not asked for more, which not even root may
/// have everywhere.
fn limit(what: Resource, most: u64) -> Result<(), Error> {
    let most = Some(getrlimit(what).maximum.map_or(most, |hard| hard.min(most)));
    setrlimit(what, Rlimit { current: most, maximum: most }).map_err(doing("limit what the process may use"))
}

/// Drops what this process could use to reach beyond its open descriptors. Where it was started by root: the root
/// folder, or all mounts (`no_mounts`), all groups, the user, with them all capabilities, many descriptors and threads. In
/// any case: new privileges through `exec`, core dumps (they hold guest memory), being traced.
///
/// No other thread exists yet: what belongs to a thread is the process's.
pub fn drop_all(no_mounts: bool) -> Result<(), Error> {
    let number = USER_BASE + number();
    if rustix::process::geteuid().is_root() {
        // Threads are counted by user: only one of its own may be held to so few.
        limit(Resource::Nofile, DESCRIPTORS)?;
        limit(Resource::Nproc, THREADS)?;
        if no_mounts {
            leave_all_mounts()?;
        } else {
            chroot(EMPTY_ROOT).map_err(doing("change the root folder"))?;
        }
        chdir(c"/").map_err(doing("change the folder"))?;
        thread::set_thread_groups(&[]).map_err(doing("drop groups"))?;
        let (group, user) = (Gid::from_raw(number), Uid::from_raw(number));
        thread::set_thread_res_gid(group, group, group).map_err(doing("drop the group"))?;
        thread::set_thread_res_uid(user, user, user).map_err(doing("drop the user"))?;
    }
    thread::set_no_new_privs(true).map_err(doing("forbid new privileges"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(doing("forbid tracing"))?;
    limit(Resource::Core, 0)
}

/// Largest file that this process may write, bytes: its report, or a console that goes to a file.
const FILE_SIZE: u64 = 64 << 20;

/// Limits what this process may add to files. After guest memory is made, which is a file of its own. Who writes beyond
/// gets an error; the signal that comes with it is ignored ([`super::signals::stop_requests`]). `disk`: length of the
/// longest disk that it writes to, bytes; 0 without one.
pub fn limit_files(disk: u64) -> Result<(), Error> {
    limit(Resource::Fsize, FILE_SIZE.max(disk))
}

/// An empty folder that is always there and that nobody can fill.
const EMPTY_ROOT: &CStr = c"/proc/self/fdinfo";

/// Moves this process, and no other, to a mount namespace where there is nothing but an empty folder that cannot be
/// written to.
fn leave_all_mounts() -> Result<(), Error> {
    // SAFETY: of one thread, mounts alone are unshared, and no descriptors.
    unsafe { thread::unshare_unsafe(UnshareFlags::NEWNS) }.map_err(doing("have mounts of its own"))?;
    // What the host unmounts later is not kept.
    mount_change(c"/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)
        .map_err(doing("keep mounts to itself"))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"none", EMPTY_ROOT, c"tmpfs", flags, c"size=4k,nr_inodes=1")
        .map_err(doing("mount an empty folder"))?;
    chdir(EMPTY_ROOT).map_err(doing("change the folder"))?;
    // Over the old root, and there: pivot_root(2) would look at every process of the host.
    mount_move(c".", c"/").map_err(doing("cover the old root"))?;
    chroot(c".").map_err(doing("change the root folder"))
}

/// Has all threads share one heap: the C library opens a file when it shrinks a second one, which no thread may.
pub fn limit_arenas() {
    // SAFETY: sets a parameter of the allocator; no other thread exists yet.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// The process that started this one; 0 if it is in another namespace of processes.
pub fn parent() -> i32 {
    rustix::process::getppid().map_or(0, Pid::as_raw_pid)
}

/// Ends this process when `parent`, which started it, ends. The kernel forgets that when the user changes: it
/// comes after [`drop_all`].
pub fn die_with_parent(starter: i32) -> Result<(), Error> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(doing("follow the parent"))?;
    if parent() != starter {
        return Err(Error::Host {
            problem: "the process that started this one has ended".into(),
            hint: "start it again".into(),
        });
    }
    Ok(())
}

/// Timers of this thread fire when they say, not up to 50 µs later.
pub fn set_timer_slack() {
    // A refusal costs precision only.
    let _ = thread::set_current_timer_slack(NonZeroU64::new(1));
}
