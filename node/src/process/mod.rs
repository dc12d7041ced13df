//! Processes that outlive the daemon: started in a group of their own, watched by a descriptor, found again by number and
//! start time.
#![allow(unsafe_code)]

pub mod spawn;
pub mod usage;

use rustix::io::Errno;
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};

/// A process, perhaps not ours.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in the kernel's ticks: tells it from a later one with the same number.
    pub began: u64,
    fd: AsyncFd<OwnedFd>,
}

/// Field 22 of /proc/PID/stat (proc_pid_stat(5)).
fn began(pid: u32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field may contain anything, parentheses included.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = rest.split_whitespace().nth(19).and_then(|f| f.parse().ok());
    field.ok_or_else(|| io::Error::other("/proc/PID/stat is not as it should be"))
}

/// The parent of a process: field 4 of /proc/PID/stat.
pub fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

impl Process {
    fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: a plain system call; the descriptor that it returns has no other owner.
        let fd = unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd as i32)
        };
        Self::with(pid, fd)
    }

    /// One that a descriptor stands for.
    fn with(pid: u32, fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is the `AsyncFd`'s own and open for as long as it lives.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? };
        Ok(Self { pid, began: began(pid)?, fd })
    }

    /// Whatever process has a number now.
    pub fn open_any(pid: u32) -> Option<Self> {
        Self::open(pid).ok()
    }

    /// Finds a process again; `None` if it is gone.
    pub fn find(pid: u32, since: u64) -> Option<Self> {
        Self::open(pid).ok().filter(|p| p.began == since && !p.is_over())
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        // An error would say that the descriptor is none, which it is.
        let _ = self.fd.readable().await;
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid `pollfd`.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }

    /// Keeps it on these processors (sched_setaffinity(2)), with all threads that it has, and all that they start.
    pub fn pin(&self, cpus: &[usize]) -> io::Result<()> {
        let mut set = CpuSet::new();
        cpus.iter().filter(|&&cpu| cpu < CpuSet::MAX_CPU).for_each(|&cpu| set.set(cpu));
        let mut pinned: Vec<i32> = Vec::new();
        // A thread may start another before it is pinned itself: until none is new.
        loop {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid))?.flatten();
            let new: Vec<i32> = tasks
                .filter_map(|task| task.file_name().to_str()?.parse().ok())
                .filter(|task| !pinned.contains(task))
                .collect();
            if new.is_empty() {
                return Ok(());
            }
            for task in new {
                match sched_setaffinity(Pid::from_raw(task), &set) {
                    // A thread that has ended needs no processor.
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(e) => return Err(e.into()),
                }
                pinned.push(task);
            }
        }
    }

    /// Sends a signal, to this process and no other.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a plain system call on an open descriptor.
        unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.fd.as_raw_fd(), signal, std::ptr::null::<()>(), 0)
        };
    }
}

/// The processors that this process may use.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Takes what the kernel keeps of children that ended, for ever: who waits for one has its descriptor.
pub async fn reap() -> io::Result<()> {
    let mut ended = signal(SignalKind::child())?;
    loop {
        ended.recv().await;
        loop {
            // SAFETY: an all-zero `siginfo_t` is valid, and the call fills it in.
            let taken = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOHANG) == 0
                    && info.si_pid() != 0
            };
            if !taken {
                break;
            }
        }
    }
}

/// A program of ours: beside this one, or wherever it is found.
pub fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().ok();
    let beside = here.as_deref().and_then(Path::parent).map(|folder| folder.join(name));
    beside.filter(|p| p.is_file()).unwrap_or_else(|| name.into())
}
