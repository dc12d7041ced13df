//! Network namespaces, and interfaces in them by the oldest and simplest of the kernel's ways.
#![allow(unsafe_code)]

use crate::headers::Mac;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::LinkNameSpaceType;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use tap::interface_request;

/// Where a namespace is: a path, or a name as `ip netns` has it.
pub fn path(name: &str) -> PathBuf {
    if name.contains('/') { name.into() } else { Path::new("/run/netns").join(name) }
}

/// Does something in a namespace, or here.
pub fn inside<T: Send>(netns: Option<&str>, f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let Some(name) = netns else { return f() };
    let path = path(name);
    let file = File::open(&path)
        .map_err(|e| io::Error::new(e.kind(), format!("network namespace {}: {e}", path.display())))?;
    std::thread::scope(|scope| {
        let there = scope.spawn(move || {
            // Of this short-lived thread alone.
            rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            f()
        });
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A socket for interface requests (netdevice(7)).
fn request_socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

fn request(socket: BorrowedFd<'_>, code: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: `request`, and what it points to, is what these calls read and write.
    if unsafe { libc::ioctl(socket.as_raw_fd(), code, std::ptr::from_mut(request)) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Brings an interface of this thread's namespace up, with an MTU. What is so already is not touched, which an ordinary
/// user may not do.
pub fn bring_up(name: &str, mtu: u16) -> io::Result<()> {
    let socket = request_socket()?;
    let mut request = interface_request(name);
    self::request(socket.as_fd(), libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: the call before has filled in this member.
    if unsafe { request.ifr_ifru.ifru_mtu } != i32::from(mtu) {
        request.ifr_ifru.ifru_mtu = mtu.into();
        self::request(socket.as_fd(), libc::SIOCSIFMTU, &mut request)?;
    }
    self::request(socket.as_fd(), libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: as above.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    if i32::from(flags) & libc::IFF_UP == 0 {
        request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
        self::request(socket.as_fd(), libc::SIOCSIFFLAGS, &mut request)?;
    }
    Ok(())
}

/// An interface's number in this thread's namespace.
pub fn index(name: &str) -> io::Result<u32> {
    index_at(request_socket()?.as_fd(), name)
}

/// An interface's number in the namespace of a socket of any kind.
pub fn index_at(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    rustix::net::netdevice::name_to_index(socket, name)
        .map_err(|e| io::Error::new(e.kind(), format!("interface {name}: {e}")))
}

/// An interface's Ethernet address in this thread's namespace.
pub fn hardware_address(name: &str) -> io::Result<Mac> {
    let socket = request_socket()?;
    let mut request = interface_request(name);
    self::request(socket.as_fd(), libc::SIOCGIFHWADDR, &mut request)?;
    // SAFETY: the call has filled in this member.
    let bytes = unsafe { request.ifr_ifru.ifru_hwaddr }.sa_data;
    Ok(Mac(std::array::from_fn(|i| bytes[i] as u8)))
}

/// The name of the driver of an interface of this thread's namespace.
pub fn driver(name: &str) -> io::Result<String> {
    // `struct ethtool_drvinfo`: the command, then 32 bytes of name.
    let mut information = [0u32; 49];
    information[0] = ETHTOOL_GDRVINFO;
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_data = information.as_mut_ptr().cast();
    self::request(request_socket()?.as_fd(), libc::SIOCETHTOOL, &mut request)?;
    let bytes = information[1..9].iter().flat_map(|word| word.to_ne_bytes()).take_while(|b| *b != 0);
    Ok(String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned())
}

const ETHTOOL_GDRVINFO: u32 = 3;

/// Linux `include/uapi/linux/ethtool.h`: `struct ethtool_value` and the command that asks for carrier.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    value: u32,
}
const ETHTOOL_GLINK: u32 = 0xa;

/// Whether an interface of this thread's namespace is up and has carrier.
pub fn has_carrier(name: &str) -> io::Result<bool> {
    has_carrier_at(request_socket()?.as_fd(), name)
}

/// Whether an interface is up and has carrier, in the namespace of a socket of any kind.
///
/// The driver is asked: the kernel's own flag (`IFF_RUNNING`) follows up to a second late, when another interface has
/// changed shortly before.
pub fn has_carrier_at(socket: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
    let mut request = interface_request(name);
    self::request(socket, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the call has filled in this member.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    let mut link = EthtoolValue { command: ETHTOOL_GLINK, value: 0 };
    request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut link).cast();
    let carrier = match self::request(socket, libc::SIOCETHTOOL, &mut request) {
        Ok(()) => link.value != 0,
        // A driver that does not say.
        Err(_) => flags & libc::IFF_RUNNING != 0,
    };
    Ok(flags & libc::IFF_UP != 0 && carrier)
}
