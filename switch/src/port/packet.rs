//! A network interface of any driver, by a packet socket with offload headers. Packets are read and written many at a
//! time; the ring of TPACKET_V3 is not used, since it shows a lone packet only when its block's timer fires, milliseconds
//! later.
#![allow(unsafe_code)]

use super::finisher::Finisher;
use super::tap::{gather, header_of, received};
use super::{Device, PortError, PortId};
use crate::counters::{Reason, Shared};
use crate::frame::{BATCH, Batch, Frame, Outgoing, TAG};
use crate::netns;
use crate::offload::Abilities;
use crate::worker::wake::{Interest, Wake};
use abi::net::NetHeader;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The header that packet sockets put ahead: virtio's without the count of buffers.
const HEADER: usize = 10;
/// Packets read by one call: as many as the arena has room for.
const MESSAGES: usize = 8;
/// Bytes that the kernel keeps for us.
const KERNEL_BUFFER: libc::c_int = 8 << 20;
const AUXILIARY: usize = 64;

/// A packet port.
pub struct Packet {
    abilities: Abilities,
    finisher: Finisher,
    fd: OwnedFd,
    port: PortId,
    up: bool,
    /// The interface's number. A socket whose interface was deleted never has an error again.
    pub interface: u32,
    /// One call's worth of ranges, kept to be used again.
    ranges: Vec<libc::iovec>,
    headers: Vec<NetHeader>,
    tags: Vec<[u8; TAG]>,
}

// SAFETY: the ranges are only used within a call, by the thread that has the port.
unsafe impl Send for Packet {}

fn set<T>(fd: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the call reads a value of the size given.
    let n = unsafe {
        let length = size_of::<T>() as libc::socklen_t;
        libc::setsockopt(fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length)
    };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes an interface: all its packets come here, whatever address they are for. The host's own network goes on seeing
/// them as well.
pub fn open(interface: &str, netns: Option<&str>, port: PortId, offload: bool) -> io::Result<Packet> {
    netns::inside(netns, || {
        let index = netns::index(interface)?;
        // No packets before it is bound to the interface: protocol 0.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
        let on: libc::c_int = 1;
        set(&fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &on)?;
        set(&fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)?;
        set(&fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &on)?;
        // Without the right to exceed the host's limit, its limit holds.
        let _ = set(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &KERNEL_BUFFER);
        let _ = set(&fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &KERNEL_BUFFER);
        let everything = libc::packet_mreq {
            mr_ifindex: index as i32,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set(&fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &everything)?;
        // SAFETY: an all-zero `sockaddr_ll` is valid, and `bind` reads it.
        let bound = unsafe {
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
            address.sll_ifindex = index as i32;
            let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length)
        };
        if bound < 0 {
            return Err(io::Error::last_os_error());
        }
        let up = netns::has_carrier(interface)?;
        let (ranges, headers, tags) = (Vec::new(), Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let abilities = if offload { Abilities::ALL } else { Abilities::default() };
        let finisher = Finisher::default();
        Ok(Packet { abilities, finisher, fd, port, up, interface: index, ranges, headers, tags })
    })
}

/// Room for what the kernel says of a packet.
#[repr(align(8))]
#[derive(Clone, Copy)]
struct Auxiliary([u8; AUXILIARY]);

/// The tag that the kernel took off a packet.
fn tag_of(message: &libc::msghdr) -> Option<[u8; TAG]> {
    // SAFETY: `message` is as the kernel left it; the walk stays in the control buffer by its own lengths.
    unsafe {
        let entry = libc::CMSG_FIRSTHDR(message);
        if entry.is_null()
            || (*entry).cmsg_level != libc::SOL_PACKET
            || (*entry).cmsg_type != libc::PACKET_AUXDATA
        {
            return None;
        }
        let data = libc::CMSG_DATA(entry).cast::<libc::tpacket_auxdata>().read_unaligned();
        if data.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
            return None;
        }
        let kind =
            if data.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0 { data.tp_vlan_tpid } else { 0x8100 };
        let ([a, b], [c, d]) = (kind.to_be_bytes(), data.tp_vlan_tci.to_be_bytes());
        Some([a, b, c, d])
    }
}

/// Puts a tag back into a packet at the beginning of a room.
fn put_back(room: &mut [u8], length: usize, tag: [u8; TAG]) -> usize {
    if length < 12 || length + TAG > room.len() {
        return length;
    }
    room.copy_within(12..length, 12 + TAG);
    room[12..12 + TAG].copy_from_slice(&tag);
    length + TAG
}

/// Sends one packet that has nothing left to do.
fn send_whole(fd: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let header = [0u8; HEADER];
    let ranges = [&header[..], bytes]
        .map(|b| libc::iovec { iov_base: b.as_ptr().cast_mut().cast(), iov_len: b.len() });
    // SAFETY: writes from two live buffers.
    let n = unsafe { libc::writev(fd.as_raw_fd(), ranges.as_ptr(), 2) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Packet {
    /// Sends no more than a batch of frames that the interface may have as they are; how many.
    fn send_many(&mut self, batch: &Batch, which: &[Outgoing], shared: &Shared) -> Result<usize, PortError> {
        self.ranges.clear();
        self.headers.clear();
        self.tags.clear();
        let frames: Vec<&Frame> =
            which.iter().filter_map(|o| batch.frames().get(usize::from(o.frame))).collect();
        for (frame, out) in frames.iter().zip(which) {
            self.headers.push(header_of(frame, out.vlan));
            self.tags.push(frame.tag_bytes(out.vlan));
        }
        // SAFETY: all-zero messages are valid.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let mut ends = [0; BATCH];
        for (i, (frame, out)) in frames.iter().zip(which).enumerate() {
            let header = &self.headers[i];
            // SAFETY: `NetHeader` is `repr(C)`; its first 10 bytes are the older header.
            let ahead =
                unsafe { std::slice::from_raw_parts(std::ptr::from_ref(header).cast::<u8>(), HEADER) };
            let tag: &[u8] = if out.vlan == 0 { &[] } else { &self.tags[i] };
            gather(batch, frame, ahead, tag, &mut self.ranges);
            ends[i] = self.ranges.len();
        }
        let mut first = 0;
        for (message, end) in messages.iter_mut().zip(ends).take(frames.len()) {
            message.msg_hdr.msg_iov = self.ranges[first..].as_mut_ptr();
            message.msg_hdr.msg_iovlen = end - first;
            first = end;
        }
        let mut done = 0;
        while done < frames.len() {
            // SAFETY: each message points at ranges that are mapped while the batch is worked on.
            let n = unsafe {
                let left = (frames.len() - done) as u32;
                libc::sendmmsg(self.fd.as_raw_fd(), messages[done..].as_mut_ptr(), left, libc::MSG_DONTWAIT)
            };
            if n > 0 {
                let sent = &frames[done..done + n as usize];
                shared.sent.add(n as u64);
                shared.sent_bytes.add(sent.iter().map(|f| f.length() as u64).sum());
                done += n as usize;
                continue;
            }
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS) => return Ok(done),
                Some(libc::ENETDOWN | libc::ENXIO) => {
                    shared.count_drops(Reason::Down, (frames.len() - done) as u64);
                    return Ok(which.len());
                }
                Some(libc::EMSGSIZE) => shared.count_drops(Reason::TooLong, 1),
                Some(libc::EINTR) => continue,
                _ => shared.count_drops(Reason::Malformed, 1),
            }
            done += 1;
        }
        Ok(which.len())
    }
}

impl Device for Packet {
    fn receive(&mut self, batch: &mut Batch) -> Result<(), PortError> {
        while batch.room() > 0 {
            let mut headers = [NetHeader::default(); MESSAGES];
            let mut auxiliary = [Auxiliary([0; AUXILIARY]); MESSAGES];
            // SAFETY: all-zero vectors and messages are valid.
            let (mut ranges, mut messages): ([[libc::iovec; 2]; MESSAGES], [libc::mmsghdr; MESSAGES]) =
                unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
            let wanted = batch.room().min(MESSAGES);
            let first = batch.arena.mark();
            let mut count = 0;
            for i in 0..wanted {
                let Some(room) = batch.arena.room(i) else { break };
                ranges[i] = [
                    libc::iovec { iov_base: (&raw mut headers[i]).cast(), iov_len: HEADER },
                    libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() },
                ];
                let m = &mut messages[i].msg_hdr;
                m.msg_iov = ranges[i].as_mut_ptr();
                m.msg_iovlen = 2;
                m.msg_control = auxiliary[i].0.as_mut_ptr().cast();
                m.msg_controllen = AUXILIARY;
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            // SAFETY: each message points at ranges and buffers that live through the call.
            let n = unsafe {
                let flags = libc::MSG_DONTWAIT;
                let fd = self.fd.as_raw_fd();
                libc::recvmmsg(fd, messages.as_mut_ptr(), count as u32, flags, std::ptr::null_mut())
            };
            if n < 0 {
                let e = io::Error::last_os_error();
                return match e.raw_os_error() {
                    Some(libc::EAGAIN | libc::EINTR) => Ok(()),
                    // The interface is down, which its carrier says as well.
                    Some(libc::ENETDOWN) => Ok(()),
                    _ => Err(e.into()),
                };
            }
            for (i, message) in messages[..n as usize].iter().enumerate() {
                let Some(length) = (message.msg_len as usize).checked_sub(HEADER).filter(|&l| l > 0) else {
                    continue;
                };
                let mut length = length;
                let mut header = headers[i];
                batch.arena.move_down(first, i, length);
                if let Some(tag) = tag_of(&message.msg_hdr)
                    && let Some(room) = batch.arena.room(0)
                {
                    length = put_back(room, length, tag);
                    if header.flags != 0 {
                        header.checksum_start += TAG as u16;
                    }
                }
                received(batch, length, &header);
            }
            if (n as usize) < count {
                return Ok(());
            }
        }
        Ok(())
    }

    fn send(&mut self, batch: &Batch, which: &[Outgoing], shared: &Shared) -> Result<usize, PortError> {
        // What the interface shall not have as it is goes out between what it may.
        let suits = |out: &Outgoing| {
            let frame = batch.frames().get(usize::from(out.frame));
            frame.is_none_or(|f| f.offload.suits(self.abilities))
        };
        let odd = which.iter().position(|o| !suits(o)).unwrap_or(which.len());
        let mut sent = 0;
        for some in which[..odd].chunks(BATCH) {
            let n = self.send_many(batch, some, shared)?;
            sent += n;
            if n < some.len() {
                return Ok(sent);
            }
        }
        if odd == which.len() {
            return Ok(sent);
        }
        let out = which[odd];
        if let Some(frame) = batch.frames().get(usize::from(out.frame)) {
            self.finisher.each(batch, frame, out.vlan, shared, |bytes| {
                match send_whole(&self.fd, bytes) {
                    Ok(()) => {
                        shared.sent.add(1);
                        shared.sent_bytes.add(bytes.len() as u64);
                    }
                    Err(_) => shared.count_drops(Reason::Full, 1),
                }
                true
            });
        }
        Ok(odd + 1 + self.send(batch, &which[odd + 1..], shared)?)
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
