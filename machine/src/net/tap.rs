//! Opening a TAP with offload headers, and setting the offloads that the guest supports.

use crate::error::Error;
use rustix::thread::LinkNameSpaceType;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use tap::{OpenError, Tap};

/// Opens the TAP `name` in this process's network namespace, and creates it if it does not exist.
pub fn open(name: &str) -> Result<Tap, Error> {
    tap::open(name).map_err(|e| match e {
        OpenError::Name(_) => Error::Configuration(e.to_string()),
        OpenError::Device(e) => cannot_open_tun(e),
        OpenError::Attach(e) => cannot_attach(name, e),
    })
}

fn cannot_open_tun(e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::PermissionDenied => Error::Permission {
            doing: "open /dev/net/tun".into(),
            hint: "run as root, or give your user access to /dev/net/tun".into(),
        },
        _ => Error::Host {
            problem: format!("this host has no TUN/TAP: /dev/net/tun: {e}"),
            hint: "load the tun module (modprobe tun)".into(),
        },
    }
}

fn cannot_attach(name: &str, e: io::Error) -> Error {
    match e.raw_os_error() {
        Some(libc::EBUSY) => Error::Host {
            problem: format!("TAP {name} is in use by another process"),
            hint: "choose another name, or stop what uses it".into(),
        },
        Some(libc::EINVAL) => Error::Host {
            problem: format!("{name} exists and is not a TAP that can be attached to"),
            hint: "choose another name".into(),
        },
        Some(libc::EPERM) => Error::Permission {
            doing: format!("make or attach to TAP {name}"),
            hint: "run as root, or have root make it for your user: ip tuntap add NAME mode tap user YOU vnet_hdr"
                .into(),
        },
        _ => Error::System { doing: "attach to the TAP", source: e },
    }
}

/// Makes an inherited TAP non-blocking. If its creator left it blocking, the I/O thread would wait in it.
pub fn set_nonblocking(tap: &OwnedFd) -> Result<(), Error> {
    rustix::io::ioctl_fionbio(tap, true)
        .map_err(|e| Error::System { doing: "make the TAP non-blocking", source: e.into() })
}

/// Sets the header and the offloads for the acknowledged features.
pub fn set_offloads(tap: &OwnedFd, features: u64) -> Result<(), Error> {
    use abi::net::{FEATURE_GUEST_CSUM, FEATURE_GUEST_TSO4, FEATURE_GUEST_TSO6};
    let bit = |feature: u64, flag: libc::c_uint| if features & feature != 0 { flag } else { 0 };
    let flags = bit(FEATURE_GUEST_CSUM, libc::TUN_F_CSUM)
        | bit(FEATURE_GUEST_TSO4, libc::TUN_F_TSO4)
        | bit(FEATURE_GUEST_TSO6, libc::TUN_F_TSO6);
    tap::set_offloads(tap, flags).map_err(|source| Error::System { doing: "set the TAP's offloads", source })
}

/// Runs `f` on a new thread in the network namespace of a file.
pub fn in_namespace<T: Send>(
    namespace: &Path,
    f: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let file = File::open(namespace)
        .map_err(|e| Error::Configuration(format!("network namespace {}: {e}", namespace.display())))?;
    std::thread::scope(|scope| {
        let there = scope.spawn(move || {
            // Of this short-lived thread alone.
            rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(cannot_enter)?;
            f()
        });
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn cannot_enter(e: rustix::io::Errno) -> Error {
    match e {
        rustix::io::Errno::PERM => {
            Error::Permission { doing: "enter a network namespace".into(), hint: "run as root".into() }
        }
        e => Error::Configuration(format!("not a network namespace: {e}")),
    }
}
