//! A queue of a network interface by an AF_XDP socket: packets meet the kernel's driver and this port, nothing between.
//! With a driver that supports it, without a copy; else with one. `program` is the few instructions in the kernel that
//! send packets here, `rings` the four rings shared with the kernel.
#![allow(unsafe_code)]

mod program;
mod rings;

use super::finisher::Finisher;
use super::{Device, PortError, PortId};
use crate::counters::{Reason, Shared};
use crate::frame::{BATCH, Batch, Outgoing};
use crate::netns;
use crate::offload::Offload;
use crate::worker::wake::{Interest, Wake};
use program::Program;
use rings::{FRAME, Rings};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// An AF_XDP port.
pub struct Xdp {
    // The program goes first, so that no packet comes to a socket that is gone.
    _program: Program,
    rings: Rings,
    fd: OwnedFd,
    port: PortId,
    up: bool,
    /// The interface's number.
    pub interface: u32,
    /// Frames of the last batch, to be given back.
    taken: Vec<u64>,
    finisher: Finisher,
}

/// Takes a queue of an interface: all its packets come here, and the host's own network sees them no longer.
pub fn open(interface: &str, netns: Option<&str>, queue: u32, port: PortId) -> io::Result<Xdp> {
    netns::inside(netns, || {
        let index = netns::index(interface)?;
        // SAFETY: plain system call; the descriptor that it returns has no other owner.
        let fd = unsafe {
            let fd = libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let rings = Rings::new(&fd)?;
        // Zero-copy where the driver can, else a copy.
        bind(&fd, index, queue, libc::XDP_ZEROCOPY).or_else(|_| bind(&fd, index, queue, libc::XDP_COPY))?;
        let program = Program::attach(index, queue, &fd)?;
        let up = netns::has_carrier(interface)?;
        let taken = Vec::with_capacity(BATCH);
        Ok(Xdp {
            _program: program,
            rings,
            fd,
            port,
            up,
            interface: index,
            taken,
            finisher: Finisher::default(),
        })
    })
}

fn bind(fd: &OwnedFd, index: u32, queue: u32, mode: u16) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: mode | libc::XDP_USE_NEED_WAKEUP,
        sxdp_ifindex: index,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    // SAFETY: the call reads an address of the length given.
    let n = unsafe {
        let length = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
        libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length)
    };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Xdp {
    /// Lets the kernel look at what waits to be sent.
    fn kick(&self) -> io::Result<()> {
        // SAFETY: sends nothing but a sign.
        let n = unsafe {
            let flags = libc::MSG_DONTWAIT;
            libc::sendto(self.fd.as_raw_fd(), std::ptr::null(), 0, flags, std::ptr::null(), 0)
        };
        if n >= 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            e if [Some(libc::EAGAIN), Some(libc::EBUSY), Some(libc::ENOBUFS), Some(libc::ENETDOWN)]
                .contains(&e.raw_os_error()) =>
            {
                Ok(())
            }
            e => Err(e),
        }
    }
}

impl Device for Xdp {
    fn receive(&mut self, batch: &mut Batch) -> Result<(), PortError> {
        for _ in 0..batch.room() {
            let Some((address, piece)) = self.rings.received() else { break };
            self.taken.push(address);
            let head = piece.length().min(crate::frame::HEAD);
            let tail = piece.skip(head);
            let tail = if tail.length() > 0 { std::slice::from_ref(&tail) } else { &[] };
            batch.push(
                Offload::default(),
                head,
                |to| {
                    // SAFETY: the piece has at least `head` bytes.
                    unsafe { std::ptr::copy_nonoverlapping(piece.start(), to.as_mut_ptr(), head) };
                },
                tail,
            );
        }
        Ok(())
    }

    fn release(&mut self) {
        self.rings.refill(&mut self.taken);
    }

    fn send(&mut self, batch: &Batch, which: &[Outgoing], shared: &Shared) -> Result<usize, PortError> {
        self.rings.reclaim();
        let rings = &mut self.rings;
        for (done, out) in which.iter().enumerate() {
            let Some(frame) = batch.frames().get(usize::from(out.frame)) else { break };
            let all = self.finisher.each(batch, frame, out.vlan, shared, |bytes| {
                if bytes.len() > FRAME {
                    shared.count_drops(Reason::TooLong, 1);
                    return true;
                }
                let sent = rings.send(bytes);
                if sent {
                    shared.sent.add(1);
                    shared.sent_bytes.add(bytes.len() as u64);
                }
                sent
            });
            if !all {
                return Ok(done);
            }
        }
        Ok(which.len())
    }

    fn flush(&mut self, _: &Shared) -> Result<bool, PortError> {
        self.rings.show_sent();
        // A driver without support for these sockets sends a few packets for each sign (the kernel's budget is 32).
        let mut before = self.rings.unsent();
        while before > 0 && self.up && self.rings.wants_kick() {
            self.kick()?;
            let unsent = self.rings.unsent();
            if unsent == before {
                return Ok(true);
            }
            before = unsent;
        }
        Ok(false)
    }

    fn forget_position(&mut self) {
        self.finisher.forget_position();
    }

    fn arm(&mut self, wake: &Wake) -> Result<bool, PortError> {
        wake.rearm(self.fd.as_fd(), self.port, 0)?;
        Ok(false)
    }

    fn is_up(&self) -> bool {
        self.up
    }

    fn begin(&mut self, wake: &Wake) -> io::Result<()> {
        wake.add(self.fd.as_fd(), Interest::Idle, self.port, 0)
    }

    fn disconnect(&mut self, wake: &Wake) {
        wake.remove(self.fd.as_fd());
        self.up = false;
    }

    fn carrier(&mut self, up: bool) {
        self.up = up;
    }
}
