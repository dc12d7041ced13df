//! First stage: all that has a path, a name or needs a privilege is opened, and nothing is read.

use crate::host;
use crate::options::Options;
use crate::virtio::block::Disk;
use crate::virtio::rng::Rng;
use kvm_ioctls::Kvm;
use machine::confine::{privileges, signals};
use machine::control;
use machine::error::Error;
use machine::host::open_kvm;
use machine::net::back_end::NetBackEnd;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// What was opened while the process still could.
pub struct Opened {
    pub kvm: Kvm,
    pub kernel: File,
    pub initrd: Option<File>,
    pub rng: Rng,
    /// The other ends of the net devices, in their order.
    pub back_ends: Vec<NetBackEnd>,
    /// Disks, in their order.
    pub disks: Vec<Disk>,
    pub listener: Option<UnixListener>,
    pub signals: OwnedFd,
}

impl Opened {
    /// Opens all that the options name.
    pub fn new(o: &Options) -> Result<Self, Error> {
        host::require_hardware()?;
        let kvm = open_kvm()?;
        host::require_capabilities(&kvm, o.cpus)?;
        privileges::limit_arenas();
        // Before any thread: the connector is a process forked from this one.
        let connector = NetBackEnd::connector(&o.nets)?;
        let kernel = open(&o.kernel)?;
        let initrd = o.initrd.as_deref().map(open).transpose()?;
        let listener = o.common.control.as_deref().map(control::listen).transpose()?;
        let ends = NetBackEnd::open_all(&o.nets, connector.as_ref())?;
        let disks = o.disks.iter().map(|disk| Disk::open(&disk.path, disk.writable));
        let disks = disks.collect::<Result<Vec<_>, _>>()?;
        let signals = signals::stop_requests()?;
        Ok(Self { kvm, kernel, initrd, rng: Rng::open()?, back_ends: ends, disks, listener, signals })
    }
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => Error::Permission {
            doing: format!("read {}", path.display()),
            hint: "make it readable for you".into(),
        },
        _ => Error::image(format!("{}: {e}", path.display())),
    })
}
