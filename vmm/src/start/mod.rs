//! Starts a guest. Types enforce the order: each stage is created only from the one before it.
//!
//! ```text
//! Opened ──► Unprivileged ──► Created ──► Loaded ──► Confined ──► the guest's end
//! all that   root folder,     VM and      image,     limits,
//! has a      user, caps       vCPU,       memory,    filter of
//! path       given up         I/O         devices    this thread
//!                             thread
//! ```
//!
//! A guest can be prepared before it is requested ([`prepared`]): it goes through all stages without an identity, and its I/O
//! thread waits until it is assigned one. No byte written by a guest or a back end is read before privileges are dropped.
//!
//! There are two threads. This one creates everything and becomes the vCPU thread. The I/O thread confines itself at once, in
//! parallel, and waits for its work; so does one more thread for each vhost-user device. The guest's first instruction runs
//! when all threads are confined.
//!
//! A back end is asked for its features as soon as it is connected; its answers are read when they are needed. Its whole
//! configuration is then sent at once, and its acknowledgement is awaited last.

mod confined;
mod created;
mod devices;
mod inputs;
mod loaded;
mod opened;
pub mod prepared;

use crate::options::Options;
use created::Created;
use machine::error::Error;
use machine::report::Reporter;
use machine::timeline::Tsc;
use opened::Opened;
use std::os::unix::net::UnixStream;

/// Runs a guest until it ends. Returns the exit status of the process. Errors: nothing was started.
pub fn run(options: &Options, begun: Tsc, reporter: Reporter) -> Result<u8, Error> {
    let begun = options.common.origin.unwrap_or(begun);
    let (opened, files) = Opened::open(options)?;
    let devices = options.nets.iter().filter(|net| net.device.vhost_user.is_some()).count();
    let created = Created::new(opened.drop_privileges(options)?, devices, &[])?;
    let loaded = created.load(options, files, reporter, begun)?;
    loaded.confine()?.enter()
}

/// Prepares a guest, which waits at this socket for its assignment; then as [`run`].
pub fn run_prepared(
    options: &Options,
    begun: Tsc,
    socket: UnixStream,
    reporter: Reporter,
) -> Result<u8, Error> {
    let (opened, files) = Opened::open_prepared(options)?;
    let created = Created::new(opened.drop_privileges(options)?, options.nets.len(), prepared::CALLS)?;
    let loaded = created.load_prepared(options, files, reporter, begun, socket)?;
    loaded.confine()?.enter()
}
