//! Requests to the TUN driver (`linux/if_tun.h`).
#![allow(unsafe_code)]

use crate::Offloads;
use rustix::fs::{Mode, OFlags};
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Flags that this crate opens TAPs with.
pub const FLAGS: c_int = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;

/// The format of the header before each packet.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    bytes: c_int,
    /// 1 if its fields are always little-endian, otherwise 0: the host's byte order.
    little_endian: c_int,
}

/// `struct virtio_net_hdr_v1` (virtio 1.2, 5.1.6).
const HEADER: Header = Header { bytes: 12, little_endian: 1 };

/// Opens `/dev/net/tun`; the descriptor can be attached to one TAP.
pub fn device() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(c"/dev/net/tun", flags, Mode::empty())?)
}

/// A request about an interface (netdevice(7)) with only the name filled in.
pub fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: an all-zero `ifreq` is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name[..crate::NAME_MAXIMUM].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

/// Attaches `device` to the TAP `name` of this thread's network namespace (`TUNSETIFF`).
pub fn attach(device: BorrowedFd<'_>, name: &str, flags: c_int) -> io::Result<()> {
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: `request` is what the call reads and writes.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })
}

/// The header that is set at present.
pub fn header(tap: BorrowedFd<'_>) -> io::Result<Header> {
    let mut header = HEADER;
    // SAFETY: each call writes an integer.
    checked(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNGETVNETHDRSZ, &raw mut header.bytes) })?;
    // SAFETY: as above.
    checked(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNGETVNETLE, &raw mut header.little_endian) })?;
    Ok(header)
}

/// Sets a little-endian header of 12 bytes, and the offloads that the reader supports.
pub fn set_offloads(tap: impl AsFd, offloads: Offloads) -> io::Result<()> {
    set(tap.as_fd(), HEADER, offloads)
}

/// Sets the header and the offloads.
pub fn set(tap: BorrowedFd<'_>, header: Header, offloads: Offloads) -> io::Result<()> {
    let fd = tap.as_raw_fd();
    // SAFETY: each call reads an integer.
    checked(unsafe { libc::ioctl(fd, libc::TUNSETVNETHDRSZ, &raw const header.bytes) })?;
    // SAFETY: as above.
    checked(unsafe { libc::ioctl(fd, libc::TUNSETVNETLE, &raw const header.little_endian) })?;
    // SAFETY: the argument is the number itself.
    checked(unsafe { libc::ioctl(fd, libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads)) })
}

fn checked(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
