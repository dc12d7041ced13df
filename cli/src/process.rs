//! What the standard library does not offer about processes and terminals: the only `unsafe` code of this crate.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A program of MicroVisor: the one beside this program, or else the one on the PATH.
pub fn sibling(name: &str) -> PathBuf {
    let here = std::env::current_exe().ok();
    let beside = here.as_deref().and_then(Path::parent).map(|folder| folder.join(name));
    beside.filter(|p| p.is_file()).unwrap_or_else(|| name.into())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// An empty file in memory.
pub fn memory_file() -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string.
    let fd = check(unsafe { libc::memfd_create(c"config".as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: the kernel just returned this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets the next process that is started inherit a descriptor.
pub fn inherit(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: plain system calls on an open descriptor.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }).map(drop)
}

/// Splits this process in two, the child in a session of its own without terminal or standard streams. The child
/// gets `None`, the parent the child's process number. Only while the process has one thread.
pub fn fork_detached() -> io::Result<Option<u32>> {
    // SAFETY: the caller has no other thread, so the child may go on as any process does.
    match check(unsafe { libc::fork() })? {
        0 => {
            let null = File::options().read(true).write(true).open("/dev/null")?;
            // SAFETY: plain system calls on open descriptors.
            unsafe {
                check(libc::setsid())?;
                for standard in 0..3 {
                    check(libc::dup2(null.as_raw_fd(), standard))?;
                }
            }
            Ok(None)
        }
        child => Ok(Some(child as u32)),
    }
}

/// Sends a signal to a process that this one started.
pub fn send_signal(pid: u32, signal: i32) {
    // SAFETY: a plain system call; the process has not been waited for, so the number is still its.
    unsafe { libc::kill(pid as i32, signal) };
}

/// Terminal settings, put back when dropped.
pub struct RawTerminal(libc::termios);

impl RawTerminal {
    /// Keys go to the guest as they are typed. `None`: standard input is no terminal.
    pub fn enter() -> Option<Self> {
        // SAFETY: an all-zero `termios` is valid, and the calls read and write just it.
        unsafe {
            let mut before: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(libc::STDIN_FILENO, &mut before) < 0 {
                return None;
            }
            let mut raw = before;
            raw.c_lflag &= !(libc::ICANON | libc::ECHO | libc::ISIG);
            libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw);
            Some(Self(before))
        }
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &self.0) };
    }
}
