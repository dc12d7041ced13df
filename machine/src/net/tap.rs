//! TAP devices with offload headers: opening one, and telling the kernel what the guest can take.
#![allow(unsafe_code)]

use crate::error::Error;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

const TUN: &CStr = c"/dev/net/tun";
/// Bytes of virtio-net header ahead of each packet.
const HEADER_BYTES: libc::c_int = size_of::<abi::net::NetHeader>() as libc::c_int;
const FLAGS: i32 = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;

/// Opens the TAP device `name` in this process's network namespace, made if absent. It goes away with the last
/// descriptor unless it was made persistent by whoever made it.
pub fn open(name: &str) -> Result<OwnedFd, Error> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains(['/', '\0', ' ']) {
        let most = libc::IFNAMSIZ - 1;
        return Err(Error::Configuration(format!("{name:?} cannot name a TAP: 1 to {most} characters")));
    }
    // SAFETY: the path is a C string.
    let fd = unsafe { libc::open(TUN.as_ptr(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(cannot_open_tun(io::Error::last_os_error()));
    }
    // SAFETY: the kernel just returned this descriptor and nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: an all-zero `ifreq` is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = FLAGS as libc::c_short;
    // SAFETY: `request` is what the call reads and writes.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &request) } < 0 {
        return Err(cannot_attach(name, io::Error::last_os_error()));
    }
    Ok(fd)
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
            problem: format!("{name} exists and is no TAP that can be attached to"),
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

/// Has reads and writes of a TAP that was handed over return at once. Whoever made it may have left it blocking, and
/// the I/O thread would wait in it.
pub fn never_block(tap: &OwnedFd) -> Result<(), Error> {
    rustix::io::ioctl_fionbio(tap, true)
        .map_err(|e| Error::System { doing: "make the TAP non-blocking", source: e.into() })
}

/// Fixes the header's size and what the guest can take, given the acknowledged features.
pub fn set_offloads(tap: &impl AsRawFd, features: u64) -> Result<(), Error> {
    use abi::net::{FEATURE_GUEST_CSUM, FEATURE_GUEST_TSO4, FEATURE_GUEST_TSO6};
    let bit = |feature: u64, flag: libc::c_uint| if features & feature != 0 { flag } else { 0 };
    let flags = bit(FEATURE_GUEST_CSUM, libc::TUN_F_CSUM)
        | bit(FEATURE_GUEST_TSO4, libc::TUN_F_TSO4)
        | bit(FEATURE_GUEST_TSO6, libc::TUN_F_TSO6);
    let little_endian: libc::c_int = 1;
    // SAFETY: the calls read integers of the sizes given.
    let failed = unsafe {
        libc::ioctl(tap.as_raw_fd(), libc::TUNSETVNETHDRSZ, &HEADER_BYTES) < 0
            || libc::ioctl(tap.as_raw_fd(), libc::TUNSETVNETLE, &little_endian) < 0
            || libc::ioctl(tap.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(flags)) < 0
    };
    if failed {
        return Err(Error::system("set the TAP's offloads"));
    }
    Ok(())
}

/// Runs `f` in the network namespace that a file names, on a thread of its own.
pub fn in_namespace<T: Send>(
    namespace: &Path,
    f: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let file = File::open(namespace)
        .map_err(|e| Error::Configuration(format!("network namespace {}: {e}", namespace.display())))?;
    std::thread::scope(|scope| {
        let there = scope.spawn(move || {
            // SAFETY: changes the namespace of this short-lived thread alone.
            if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } < 0 {
                return Err(match io::Error::last_os_error() {
                    e if e.raw_os_error() == Some(libc::EPERM) => Error::Permission {
                        doing: "enter a network namespace".into(),
                        hint: "run as root".into(),
                    },
                    e => Error::Configuration(format!("not a network namespace: {e}")),
                });
            }
            f()
        });
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
