//! What the monitor gives up once everything it needs is open, before any thread starts and any guest byte is read.
#![allow(unsafe_code)]

use crate::error::Error;

/// Base of the user and group numbers that monitors run as: no account has them, and each process its own.
const USER_BASE: u32 = 0x4d56_0000;

fn check(result: libc::c_int, doing: &'static str) -> Result<(), Error> {
    if result < 0 { Err(Error::system(doing)) } else { Ok(()) }
}

/// Drops what this process could use to reach beyond its open descriptors. Where it was started by root: the root
/// folder, all groups, the user, with them all capabilities. In any case: new privileges through `exec`, core dumps
/// (they hold guest memory), being traced.
pub fn drop_all() -> Result<(), Error> {
    // SAFETY: plain system calls on this process; the C strings and the limit live across their calls. No other
    // thread exists yet, so the C library's wrappers have none to keep in step.
    unsafe {
        if libc::geteuid() == 0 {
            // An empty folder that is always there and that nobody can fill.
            check(libc::chroot(c"/proc/self/fdinfo".as_ptr()), "change the root folder")?;
            check(libc::chdir(c"/".as_ptr()), "change the folder")?;
            let user = USER_BASE + std::process::id();
            check(libc::setgroups(0, std::ptr::null()), "drop groups")?;
            check(libc::setresgid(user, user, user), "drop the group")?;
            check(libc::setresuid(user, user, user), "drop the user")?;
        }
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "forbid new privileges")?;
        check(libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0), "forbid tracing")?;
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        check(libc::setrlimit(libc::RLIMIT_CORE, &none), "forbid core dumps")
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

/// Ends this process when `parent`, which started it, ends. The kernel forgets the wish when the user changes: it
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
