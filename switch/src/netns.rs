//! Network namespaces, and interfaces in them by the oldest and simplest of the kernel's ways.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

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
            // SAFETY: changes the namespace of this short-lived thread alone.
            if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } < 0 {
                return Err(io::Error::last_os_error());
            }
            f()
        });
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A request about an interface, to be filled in.
pub fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: an all-zero `ifreq` is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = libc::IFNAMSIZ - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

/// Any socket, to ask the kernel by.
fn asking() -> io::Result<OwnedFd> {
    // SAFETY: plain system call; the descriptor that it returns has no other owner.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

fn ask(socket: &OwnedFd, what: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: `request` is what these calls read and write.
    if unsafe { libc::ioctl(socket.as_raw_fd(), what, std::ptr::from_mut(request)) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Brings an interface of this thread's namespace up, with an MTU. What is so already is not touched, which an ordinary
/// user may not do.
pub fn bring_up(name: &str, mtu: u16) -> io::Result<()> {
    let socket = asking()?;
    let mut request = interface_request(name);
    ask(&socket, libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: the call before has filled in this member.
    if unsafe { request.ifr_ifru.ifru_mtu } != i32::from(mtu) {
        request.ifr_ifru.ifru_mtu = mtu.into();
        ask(&socket, libc::SIOCSIFMTU, &mut request)?;
    }
    ask(&socket, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: as above.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    if i32::from(flags) & libc::IFF_UP == 0 {
        request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
        ask(&socket, libc::SIOCSIFFLAGS, &mut request)?;
    }
    Ok(())
}

/// An interface's number in this thread's namespace.
pub fn index(name: &str) -> io::Result<u32> {
    let socket = asking()?;
    let mut request = interface_request(name);
    ask(&socket, libc::SIOCGIFINDEX, &mut request)
        .map_err(|e| io::Error::new(e.kind(), format!("interface {name}: {e}")))?;
    // SAFETY: the call has filled in this member.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex } as u32)
}

/// Whether an interface of this thread's namespace is up and has carrier.
pub fn has_carrier(name: &str) -> io::Result<bool> {
    let socket = asking()?;
    let mut request = interface_request(name);
    ask(&socket, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the call has filled in this member.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    Ok(flags & libc::IFF_UP != 0 && flags & libc::IFF_RUNNING != 0)
}
