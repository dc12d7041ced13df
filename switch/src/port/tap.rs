//! A TAP device with offload headers: the host's own network, or a namespace's.
#![allow(unsafe_code)]

use super::finisher::Finisher;
use super::{CutThroughSource, Device, PortError, PortId};
use crate::counters::{Reason, Shared};
use crate::frame::{Batch, Frame, HEAD, Outgoing, TAG};
use crate::netns;
use crate::offload::{Abilities, Offload};
use crate::worker::wake::{Interest, Wake};
use abi::net::NetHeader;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use tap::OpenError;

const HEADER: usize = size_of::<NetHeader>();
/// Most ranges that a packet is written from.
const RANGES: usize = 80;

/// A TAP port.
pub struct Tap {
    fd: OwnedFd,
    abilities: Abilities,
    finisher: Finisher,
    port: PortId,
    up: bool,
    /// What the TAP was like before, restored once the descriptor is closed.
    _before: Option<tap::SavedSettings>,
}

/// Opens a TAP, made if absent, in a namespace or here, brings it up with an MTU, and tells the kernel whether it may
/// leave checksums and segmentation to us. It goes away with the port unless somebody made it before.
pub fn open(name: &str, netns: Option<&str>, mtu: u16, offload: bool) -> io::Result<tap::Tap> {
    netns::inside(netns, || {
        let tap = tap::open(name).map_err(|e| match e {
            OpenError::Attach(e) => not_opened(name, e),
            OpenError::Device(ref problem) => io::Error::new(problem.kind(), e),
            OpenError::Name(_) => io::Error::new(io::ErrorKind::InvalidInput, e),
        })?;
        let able = if offload { libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 } else { 0 };
        tap::set_offloads(&tap.fd, able)?;
        netns::bring_up(name, mtu)?;
        Ok(tap)
    })
}

/// Why the kernel does not give a TAP of this name, and what to do, as far as that can be told.
fn not_opened(name: &str, error: io::Error) -> io::Error {
    let problem = match error.raw_os_error() {
        Some(libc::EBUSY) => format!("another process has the TAP {name} open"),
        Some(libc::EINVAL) => match netns::driver(name).as_deref() {
            Ok("tun") => format!(
                "{name} is a TUN device, or a TAP with multi_queue, which has no port here; make it by: ip tuntap add \
                 dev {name} mode tap"
            ),
            Ok(driver) => {
                format!(
                    "{name} is not a TAP but an interface of the driver {driver}: use device packet or xdp"
                )
            }
            Err(_) => return error,
        },
        _ => return error,
    };
    io::Error::new(error.kind(), problem)
}

impl Tap {
    /// A port over an open TAP. Without `offload`, checksums and segments are done before packets go out to it.
    pub fn new(tap: tap::Tap, port: PortId, offload: bool) -> Self {
        let abilities = if offload { Abilities::ALL } else { Abilities::default() };
        Self { fd: tap.fd, abilities, finisher: Finisher::default(), port, up: true, _before: tap.saved }
    }

    /// Writes one packet.
    fn write(fd: &OwnedFd, ranges: &[libc::iovec], shared: &Shared) -> Result<WriteOutcome, PortError> {
        // SAFETY: each range is mapped while the batch is worked on.
        let n = unsafe { libc::writev(fd.as_raw_fd(), ranges.as_ptr(), ranges.len() as i32) };
        if n >= 0 {
            shared.sent.add(1);
            shared.sent_bytes.add((n as u64).saturating_sub(HEADER as u64));
            return Ok(WriteOutcome::Done);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN) => return Ok(WriteOutcome::Full),
            // The device is gone.
            Some(libc::EBADFD | libc::EBADF | libc::ENODEV | libc::ENXIO) => return Err(error.into()),
            Some(libc::EIO | libc::ENETDOWN) => shared.count_drops(Reason::Down, 1),
            Some(libc::ENOBUFS | libc::ENOMEM | libc::EINTR) => shared.count_drops(Reason::Full, 1),
            // The packet's fault: its sender has taken its memory away, or its header makes no sense.
            _ => shared.count_drops(Reason::Malformed, 1),
        }
        Ok(WriteOutcome::Done)
    }

    /// Sends a frame that the kernel shall not have as it is.
    fn send_finished(
        &mut self,
        batch: &Batch,
        frame: &Frame,
        vlan: u16,
        shared: &Shared,
    ) -> Result<WriteOutcome, PortError> {
        let header = NetHeader::default();
        let mut failed = None;
        let all = self.finisher.each(batch, frame, vlan, shared, |bytes| {
            if failed.is_some() {
                return true;
            }
            let ranges = [as_bytes(&header), bytes]
                .map(|b| libc::iovec { iov_base: b.as_ptr().cast_mut().cast(), iov_len: b.len() });
            match Self::write(&self.fd, &ranges, shared) {
                Ok(outcome) => matches!(outcome, WriteOutcome::Done),
                Err(e) => {
                    failed = Some(e);
                    true
                }
            }
        });
        match failed {
            Some(e) => Err(e),
            None if all => Ok(WriteOutcome::Done),
            None => Ok(WriteOutcome::Full),
        }
    }
}

/// Whether a packet was written.
enum WriteOutcome {
    /// It was, or never can be, which is counted.
    Done,
    Full,
}

fn as_bytes(header: &NetHeader) -> &[u8; HEADER] {
    // SAFETY: `NetHeader` is `repr(C)` of 12 bytes without padding.
    unsafe { &*std::ptr::from_ref(header).cast() }
}

/// A packet's ranges for a vectored call: `ahead` (a header), then the frame, tagged if `vlan` is not 0.
pub(super) fn gather<'a>(
    batch: &'a Batch,
    frame: &'a Frame,
    ahead: &'a [u8],
    tag: &'a [u8],
    to: &mut Vec<libc::iovec>,
) {
    let range =
        |bytes: &[u8]| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let head = frame.head();
    let (addresses, rest) = head.split_at(if tag.is_empty() { 0 } else { head.len().min(12) });
    for part in [ahead, addresses, tag, rest] {
        if !part.is_empty() {
            to.push(range(part));
        }
    }
    to.extend(batch.tail(frame).iter().map(|p| p.vector()));
}

/// The header that goes ahead of a frame.
pub(super) fn header_of(frame: &Frame, vlan: u16) -> NetHeader {
    let mut offload = frame.offload;
    if vlan != 0 {
        offload.shift(TAG as i32);
    }
    offload.header()
}

/// Adds a packet to a batch of which the kernel has written `length` bytes into the arena's next room.
pub(super) fn received(batch: &mut Batch, length: usize, header: &NetHeader) -> bool {
    let offload = Offload::from_header(header).unwrap_or_default();
    let piece = batch.arena.commit(length);
    let head = length.min(HEAD);
    let tail = piece.skip(head);
    let tail = if tail.length() > 0 { std::slice::from_ref(&tail) } else { &[] };
    batch.push(
        offload,
        head,
        |to| {
            // SAFETY: the piece has `length` bytes, of which `head` are copied.
            unsafe { std::ptr::copy_nonoverlapping(piece.start(), to.as_mut_ptr(), head) };
        },
        tail,
    )
}

impl Device for Tap {
    fn receive(&mut self, batch: &mut Batch) -> Result<(), PortError> {
        while batch.room() > 0 {
            let mut header = NetHeader::default();
            let Some(room) = batch.arena.room(0) else { break };
            let ranges = [
                libc::iovec { iov_base: (&raw mut header).cast(), iov_len: HEADER },
                libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() },
            ];
            // SAFETY: the ranges are a header, of which every bit pattern is one, and a part of the arena.
            let n = unsafe { libc::readv(self.fd.as_raw_fd(), ranges.as_ptr(), 2) };
            if n < 0 {
                let e = io::Error::last_os_error();
                return match e.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::OutOfMemory => {
                        Ok(())
                    }
                    _ => Err(e.into()),
                };
            }
            let Some(length) = (n as usize).checked_sub(HEADER).filter(|&l| l > 0) else { continue };
            received(batch, length, &header);
        }
        Ok(())
    }

    fn source(&self) -> Option<CutThroughSource<'_>> {
        Some(CutThroughSource { fd: self.fd.as_fd() })
    }

    fn send(&mut self, batch: &Batch, which: &[Outgoing], shared: &Shared) -> Result<usize, PortError> {
        let mut ranges = Vec::with_capacity(RANGES);
        for (done, out) in which.iter().enumerate() {
            let Some(frame) = batch.frames().get(usize::from(out.frame)) else { break };
            let written = if frame.offload.suits(self.abilities) {
                let header = header_of(frame, out.vlan);
                let tag = frame.tag_bytes(out.vlan);
                let tag: &[u8] = if out.vlan == 0 { &[] } else { &tag };
                ranges.clear();
                gather(batch, frame, as_bytes(&header), tag, &mut ranges);
                Self::write(&self.fd, &ranges, shared)?
            } else {
                self.send_finished(batch, frame, out.vlan, shared)?
            };
            if matches!(written, WriteOutcome::Full) {
                return Ok(done);
            }
        }
        Ok(which.len())
    }

    fn forget_position(&mut self) {
        self.finisher.forget_position();
    }

    fn arm(&mut self, wake: &Wake) -> Result<bool, PortError> {
        // A packet that is there already is reported at once.
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
