//! From options to a guest that runs. The order is fixed by types: each stage takes the one before it, and nothing else
//! makes one.
//!
//! ```text
//! Opened ──► Unprivileged ──► Made ──► Loaded ──► Confined ──► the guest's end
//! all that   root folder,     VM and   image,     limits,
//! has a      user, caps       vCPU,    memory,    filter of
//! path       given up         I/O      devices    this thread
//!                             thread
//! ```
//!
//! A guest can be prepared before anybody has asked for it ([`prepared`]): it goes through all stages without an identity, and
//! its I/O thread waits until it is assigned one. No byte that a guest or a back end has written is read before privileges are dropped.
//!
//! Two threads: this one makes everything and becomes the vCPU; the I/O thread confines itself first thing, while this
//! one works, and waits for what it shall serve. A third for each device over vhost-user does the same. The guest's first
//! instruction comes when all are confined.
//!
//! A back end is asked what it can do as soon as it is there, and its answers are taken when they are needed. All that it is
//! told then goes out without a pause; that it has done it is waited for last.

mod confined;
mod devices;
mod inputs;
mod loaded;
mod made;
mod opened;
pub mod prepared;

use crate::options::Options;
use machine::error::Error;
use machine::report::Reporter;
use machine::timeline::Tsc;
use made::Made;
use opened::Opened;
use std::os::unix::net::UnixStream;

/// Runs a guest to its end; the process's exit status. Errors: nothing was started.
pub fn run(options: &Options, begun: Tsc, reporter: Reporter) -> Result<u8, Error> {
    let begun = options.common.origin.unwrap_or(begun);
    let (opened, files) = Opened::open(options)?;
    let devices = options.nets.iter().filter(|net| net.device.vhost_user.is_some()).count();
    let made = Made::new(opened.drop_privileges(options)?, devices, &[])?;
    let loaded = made.load(options, files, reporter, begun)?;
    loaded.confine()?.enter()
}

/// Runs a guest before anybody has asked for it, which waits at this socket for who it shall be; then as [`run`].
pub fn run_prepared(
    options: &Options,
    begun: Tsc,
    socket: UnixStream,
    reporter: Reporter,
) -> Result<u8, Error> {
    let (opened, files) = Opened::open_prepared(options)?;
    let made = Made::new(opened.drop_privileges(options)?, options.nets.len(), prepared::CALLS)?;
    let loaded = made.load_prepared(options, files, reporter, begun, socket)?;
    loaded.confine()?.enter()
}
