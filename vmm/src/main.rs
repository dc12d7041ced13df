//! `microvisor-vmm`: runs one guest. See `--help`.
//!
//! `main` is called by the C library, not by Rust's runtime. The runtime would read this process's memory map and set up a
//! signal stack on each thread to report stack overflows, which takes longer than to create the virtual machine. The part of it
//! that matters is done here: the standard descriptors are opened. (A stack overflow still ends the process.)
#![no_main]
#![allow(unsafe_code)]

use machine::report::{Reporter, abort_at_panic};
use machine::timeline::Tsc;
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use vmm::options::{self, Command, HELP};

/// Entry of the program. The C library passes the command line to Rust's standard library.
#[unsafe(no_mangle)]
extern "C" fn main(_: libc::c_int, _: *const *const libc::c_char) -> libc::c_int {
    let begun = Tsc::now();
    open_standard_descriptors();
    // Also writes what is left in buffers.
    std::process::exit(start(begun))
}

/// Opens the standard descriptors that are closed, so that later files do not become standard input, output or error.
fn open_standard_descriptors() {
    for fd in 0..3 {
        // SAFETY: plain system calls; nothing has been opened yet that a closed descriptor could have been meant for.
        unsafe {
            if libc::fcntl(fd, libc::F_GETFD) < 0 {
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
    }
}

/// Runs the command line. Returns the exit status.
fn start(begun: Tsc) -> i32 {
    abort_at_panic();
    let (options, prepared) = match options::parse(std::env::args_os()) {
        Ok(Command::Run(options)) => (options, None),
        Ok(Command::Prepared(fd, options)) => (options, Some(fd)),
        Ok(Command::Help) => {
            print!("{HELP}");
            return 0;
        }
        Ok(Command::Version) => {
            println!("microvisor-vmm {}", env!("CARGO_PKG_VERSION"));
            return 0;
        }
        Err(e) => return Reporter(None).refuse(&e).into(),
    };
    let [first, mut second] = match Reporter::open(options.common.report.as_ref()) {
        Ok(both) => both,
        Err(e) => return Reporter(None).refuse(&e).into(),
    };
    let outcome = match prepared {
        None => vmm::start::run(&options, begun, first),
        Some(fd) => {
            // SAFETY: the starter opened it for this, and nothing else in this process uses it.
            let socket = unsafe { UnixStream::from_raw_fd(fd) };
            vmm::start::run_prepared(&options, begun, socket, first)
        }
    };
    match outcome {
        // Nothing is left to tidy that the kernel does not tidy faster.
        Ok(status) => std::process::exit(status.into()),
        Err(e) => {
            second.refuse(&e);
            // At once: this thread may be confined already, and no longer close what would be dropped.
            std::process::exit(e.status().into())
        }
    }
}
