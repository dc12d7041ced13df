//! What the monitor gives up once everything it needs is open, before any thread starts and any guest byte is read.
#![allow(unsafe_code)]

use crate::error::Error;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::CStr;
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

fn check(result: libc::c_int, doing: &'static str) -> Result<(), Error> {
    if result < 0 { Err(Error::system(doing)) } else { Ok(()) }
}

/// Drops what this process could use to reach beyond its open descriptors. Where it was started by root: the root
/// folder, or all mounts (`no_mounts`), all groups, the user, with them all capabilities, many descriptors and threads. In
/// any case: new privileges through `exec`, core dumps (they hold guest memory), being traced.
pub fn drop_all(no_mounts: bool) -> Result<(), Error> {
    let user = USER_BASE + number();
    // SAFETY: plain system calls on this process; the C strings and the limit live across their calls. No other
    // thread exists yet, so the C library's wrappers have none to keep in step.
    unsafe {
        let limit = |what, most| {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            check(libc::getrlimit(what, &mut limit), "see what the process may use")?;
            // A host that allows less is not asked for more, which not even root may have everywhere.
            let most = limit.rlim_max.min(most);
            let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
            check(libc::setrlimit(what, &limit), "limit what the process may use")
        };
        if libc::geteuid() == 0 {
            // Threads are counted by user: only one of its own may be held to so few.
            limit(libc::RLIMIT_NOFILE, DESCRIPTORS)?;
            limit(libc::RLIMIT_NPROC, THREADS)?;
            if no_mounts {
                leave_all_mounts()?;
            } else {
                check(libc::chroot(NOWHERE.as_ptr()), "change the root folder")?;
            }
            check(libc::chdir(c"/".as_ptr()), "change the folder")?;
            check(libc::setgroups(0, std::ptr::null()), "drop groups")?;
            check(libc::setresgid(user, user, user), "drop the group")?;
            check(libc::setresuid(user, user, user), "drop the user")?;
        }
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "forbid new privileges")?;
        check(libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0), "forbid tracing")?;
        limit(libc::RLIMIT_CORE, 0)
    }
}

/// Largest file that this process may write, bytes: its report, or a console that goes to a file.
const FILE_SIZE: u64 = 64 << 20;

/// Limits what this process may add to files. After guest memory is made, which is a file of its own. Who writes beyond
/// gets an error; the signal that comes with it is ignored ([`super::signals::stop_requests`]).
pub fn limit_files() -> Result<(), Error> {
    let most = getrlimit(Resource::Fsize).maximum.map_or(FILE_SIZE, |hard| hard.min(FILE_SIZE));
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Fsize, limit)
        .map_err(|e| Error::System { doing: "limit what the process may use", source: e.into() })
}

/// An empty folder that is always there and that nobody can fill.
const NOWHERE: &CStr = c"/proc/self/fdinfo";

/// Moves this process, and no other, to a mount namespace where there is nothing but an empty folder that cannot be
/// written to.
fn leave_all_mounts() -> Result<(), Error> {
    // SAFETY: plain system calls on this process, which has one thread; the C strings live across their calls.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS), "have mounts of its own")?;
        let (none, nothing) = (std::ptr::null(), std::ptr::null());
        // What the host unmounts later is not kept.
        let follow = libc::MS_REC | libc::MS_SLAVE;
        check(libc::mount(none, c"/".as_ptr(), none, follow, nothing), "keep mounts to itself")?;
        let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        let options = c"size=4k,nr_inodes=1".as_ptr().cast();
        check(
            libc::mount(c"none".as_ptr(), NOWHERE.as_ptr(), c"tmpfs".as_ptr(), flags, options),
            "mount an empty folder",
        )?;
        check(libc::chdir(NOWHERE.as_ptr()), "change the folder")?;
        // Over the old root, and there: pivot_root(2) would look at every process of the host.
        check(libc::mount(c".".as_ptr(), c"/".as_ptr(), none, libc::MS_MOVE, nothing), "cover the old root")?;
        check(libc::chroot(c".".as_ptr()), "change the root folder")
    }
}

/// Has all threads share one heap: the C library opens a file when it shrinks a second one, which no thread may.
pub fn one_heap() {
    // SAFETY: sets a parameter of the allocator; no other thread exists yet.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// The process that started this one.
pub fn parent() -> i32 {
    // SAFETY: cannot fail.
    unsafe { libc::getppid() }
}

/// Ends this process when `parent`, which started it, ends. The kernel forgets that when the user changes: it
/// comes after [`drop_all`].
pub fn die_with(starter: i32) -> Result<(), Error> {
    // SAFETY: a plain system call.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }, "follow the parent")?;
    if parent() != starter {
        return Err(Error::Host {
            problem: "the process that started this one has ended".into(),
            hint: "start it again".into(),
        });
    }
    Ok(())
}

/// Timers of this thread fire when they say, not up to 50 µs later.
pub fn exact_timers() {
    // SAFETY: a plain system call; a refusal costs precision only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}
