//! Starts a program in namespaces and a control group of its own, by one system call (clone3(2)) instead of several after
//! it: to move a process between control groups takes the kernel ten milliseconds, to begin it in one nothing.
#![allow(unsafe_code)]

use super::Process;
use crate::cgroup::Group;
use std::arch::asm;
use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

/// The child's stack until it becomes another program.
const STACK: usize = 64 << 10;
/// Start in a control group of version 2; beyond the flags that `libc` has as `int`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// No handler of ours may run in the child, which has our memory.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// What to start.
pub struct Program<'a> {
    /// A path, or a name to look for.
    pub path: &'a Path,
    /// Its arguments, its own name not included.
    pub arguments: &'a [&'a OsStr],
    /// Standard input, if there is any.
    pub input: Option<&'a OwnedFd>,
    /// Standard output and error.
    pub output: &'a File,
    /// What else is open: descriptors 3, 4 and so on.
    pub descriptors: &'a [BorrowedFd<'a>],
}

/// What it is kept in.
pub struct Sandbox<'a> {
    /// A network namespace.
    pub network: &'a OwnedFd,
    /// Its control group.
    pub group: Option<&'a Group>,
}

/// What the child needs, made before it is there: between `clone3` and `execve` it must not allocate.
struct Child {
    path: CString,
    arguments: Vec<*const c_char>,
    tasks: Vec<CString>,
    network: Option<RawFd>,
    input: Option<RawFd>,
    output: RawFd,
    descriptors: Vec<RawFd>,
    /// Why it did not become the program.
    error: i32,
}

/// Starts a program in a process group of its own: with namespaces of its own for processes and for System V's and
/// POSIX's IPC, if it has a sandbox.
pub fn spawn(program: &Program<'_>, sandbox: Option<&Sandbox<'_>>) -> io::Result<Process> {
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
    let mut words = vec![text(program.path.as_os_str())?];
    for argument in program.arguments {
        words.push(text(argument)?);
    }
    let tasks = sandbox.and_then(|c| c.group).map_or(Vec::new(), Group::tasks);
    let mut child = Child {
        path: words[0].clone(),
        arguments: words.iter().map(|w| w.as_ptr()).chain([null()]).collect(),
        tasks: tasks.iter().map(|p| text(p.as_os_str())).collect::<Result<_, _>>()?,
        network: sandbox.map(|c| c.network.as_raw_fd()),
        input: program.input.map(AsRawFd::as_raw_fd),
        output: program.output.as_raw_fd(),
        descriptors: program.descriptors.iter().map(AsRawFd::as_raw_fd).collect(),
        error: 0,
    };
    let mut flags = (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD) as u64 | CLONE_CLEAR_SIGHAND;
    let mut cgroup = 0;
    if let Some(sandbox) = sandbox {
        flags |= (libc::CLONE_NEWPID | libc::CLONE_NEWIPC) as u64;
        if let Some(unified) = sandbox.group.and_then(Group::unified) {
            flags |= CLONE_INTO_CGROUP;
            cgroup = unified.as_raw_fd() as u64;
        }
    }
    let (pid, fd) = clone(flags, cgroup, &mut child)?;
    match child.error {
        0 => Process::with(pid, fd),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

fn clone(flags: u64, cgroup: u64, child: &mut Child) -> io::Result<(u32, OwnedFd)> {
    let mut stack = vec![0u128; STACK / 16];
    let mut pidfd: RawFd = -1;
    // SAFETY: all-zero arguments of clone3 are valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags;
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.stack = stack.as_mut_ptr() as u64;
    arguments.stack_size = STACK as u64;
    arguments.cgroup = cgroup;
    let result: isize;
    // SAFETY: this thread is stopped until the child has become another program or has ended (CLONE_VFORK), so the
    // stack, the arguments and `child` outlive its use of them. No signal is handled in the meantime: all are blocked
    // here, and handlers are cleared there. The child begins after `syscall` on its own stack, whose end is 16 bytes
    // aligned as `call` wants it, and never returns from `become_program`.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") &raw mut arguments,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") become_program as extern "C" fn(*mut c_void) -> !,
            in("r13") std::ptr::from_mut(child),
            lateout("rcx") _,
            lateout("r11") _,
        );
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, null_mut());
        drop(stack);
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result as i32));
        }
        Ok((result as u32, OwnedFd::from_raw_fd(pidfd)))
    }
}

/// The child: system calls only, in memory that it shares with a thread that waits for it.
extern "C" fn become_program(child: *mut c_void) -> ! {
    // SAFETY: `clone` was given a `Child` that it owns until this process is another program, and its strings end in 0.
    unsafe {
        let child = &mut *child.cast::<Child>();
        child.error = match prepare(child) {
            Err(code) => code,
            Ok(()) => {
                libc::execvp(child.path.as_ptr(), child.arguments.as_ptr());
                *libc::__errno_location()
            }
        };
        libc::_exit(127)
    }
}

/// What the program finds when it begins. An error is the kernel's number.
unsafe fn prepare(child: &mut Child) -> Result<(), i32> {
    // SAFETY: plain system calls; strings and sets live across their calls.
    unsafe {
        let check = |result: i32| if result < 0 { Err(*libc::__errno_location()) } else { Ok(()) };
        for tasks in &child.tasks {
            check(join(tasks))?;
        }
        if let Some(network) = child.network {
            check(libc::setns(network, libc::CLONE_NEWNET))?;
        }
        check(libc::setpgid(0, 0))?;
        // Above those that the program gets first: what replaces one of them may be another.
        let above = 3 + child.descriptors.len() as RawFd;
        let copy = |fd: RawFd| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, above);
        let input = match child.input {
            Some(input) => copy(input),
            None => {
                let nothing = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
                check(nothing)?;
                copy(nothing)
            }
        };
        let output = copy(child.output);
        check(input)?;
        check(output)?;
        for fd in &mut child.descriptors {
            *fd = copy(*fd);
            check(*fd)?;
        }
        for (number, &fd) in (3..).zip(&child.descriptors) {
            check(libc::dup2(fd, number))?;
        }
        check(libc::dup2(input, 0))?;
        check(libc::dup2(output, 1))?;
        check(libc::dup2(output, 2))?;
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, null_mut()))
    }
}

/// Joins a control group of version 1: cheap for a process of one thread that moves itself.
unsafe fn join(tasks: &CStr) -> i32 {
    // SAFETY: plain system calls; the byte lives across the call.
    unsafe {
        let fd = libc::open(tasks.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return fd;
        }
        let written = libc::write(fd, c"0".as_ptr().cast(), 1) as i32;
        libc::close(fd);
        written
    }
}

/// A network namespace with nothing in it, for all who shall reach nobody.
pub fn empty_network() -> io::Result<OwnedFd> {
    // A thread of its own, since it cannot come back.
    let make = || {
        // SAFETY: a plain system call that concerns this thread alone.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0 {
            return Err(io::Error::last_os_error());
        }
        File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
    };
    std::thread::spawn(make).join().unwrap_or_else(|_| Err(io::Error::other("the thread ended")))
}

/// Whether this process may make namespaces and control groups.
pub fn privileged() -> bool {
    // SAFETY: cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    async fn says(program: &Path, words: &[&str], sandbox: Option<&Sandbox<'_>>) -> io::Result<String> {
        let mut output = tempfile::tempfile()?;
        let arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        let program =
            Program { path: program, arguments: &arguments, input: None, output: &output, descriptors: &[] };
        spawn(&program, sandbox)?.ended().await;
        let mut text = String::new();
        output.rewind()?;
        output.read_to_string(&mut text)?;
        Ok(text)
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error() {
        let error = says(Path::new("/nowhere/at-all"), &[], None).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_program_is_found_on_the_path_and_gets_its_arguments() {
        assert_eq!(says(Path::new("echo"), &["a", "b c"], None).await.unwrap(), "a b c\n");
    }

    #[tokio::test]
    async fn a_sandboxed_program_is_the_first_of_its_namespace_and_has_no_network() {
        if !privileged() {
            return;
        }
        let network = empty_network().unwrap();
        let sandbox = Sandbox { network: &network, group: None };
        let script = "echo $$; cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' \\n'";
        let text = says(Path::new("sh"), &["-c", script], Some(&sandbox)).await.unwrap();
        assert_eq!(text, "1\nlo");
    }
}
