//! Packets that the kernel reads straight into a peer's buffers, which saves a copy: on a point-to-point segment nobody parses them on the
//! way.
#![allow(unsafe_code)]

use crate::counters::{Reason, Shared};
use crate::frame::{BATCH, LARGEST};
use crate::headers::ETHERNET;
use crate::offload::{Abilities, Offload};
use crate::port::vhost::memory::Memory;
use crate::port::{CutThrough, CutThroughSource, PortError};
use abi::net::NetHeader;
use std::io;
use std::os::fd::AsRawFd;
use virtqueue::DeviceQueue;

const HEADER: usize = size_of::<NetHeader>();
/// Bytes read at a time, before others have their turn and a peer that sleeps is called.
const BATCH_BYTES: usize = 4 * LARGEST;
/// Ranges of one read, beyond which no chain is added, and most of one chain; so a read stays under `IOV_MAX`, 1024.
const RANGES: usize = 512;

/// A chain that a packet may be read into.
struct ChainRoom {
    head: u16,
    length: usize,
    /// How many of the ranges are its.
    ranges: usize,
}

/// The reader's memory.
#[derive(Default)]
pub struct CutThroughReader {
    rooms: Vec<ChainRoom>,
    ranges: Vec<libc::iovec>,
}

// SAFETY: the ranges are only used within a call, by the thread that has the port.
unsafe impl Send for CutThroughReader {}

/// The peer that packets are read to.
pub struct Peer<'a> {
    /// Its ring of empty buffers.
    pub ring: &'a mut DeviceQueue,
    /// Its memory.
    pub memory: &'a Memory,
    /// What it can take.
    pub abilities: Abilities,
    /// Whether a packet may fill several chains.
    pub mergeable: bool,
}

impl CutThroughReader {
    /// Reads packets of up to `longest` bytes (segments count, not what they are cut from) until the source has no more,
    /// the peer no buffers, or it is somebody else's turn.
    pub fn read(
        &mut self,
        to: &mut Peer<'_>,
        source: &CutThroughSource<'_>,
        longest: usize,
        shared: &Shared,
    ) -> Result<CutThrough, PortError> {
        self.rooms.clear();
        self.ranges.clear();
        // Ahead of a packet's first range there is always one for its header.
        self.ranges.push(libc::iovec { iov_base: std::ptr::null_mut(), iov_len: HEADER });
        let (mut room, mut seen) = (0, 0);
        // The first chain, and the first range, that is not used yet.
        let (mut chains, mut at) = (0, 1);
        let mut taken = CutThrough::default();
        while taken.packets < BATCH as u64 && taken.bytes < BATCH_BYTES as u64 {
            let waiting = to.ring.waiting()?;
            while room < HEADER + LARGEST && seen < waiting && self.ranges.len() - at < RANGES {
                let Some(length) = self.add_chain(to, seen)? else { break };
                room += length;
                seen += 1;
            }
            if room < HEADER + LARGEST {
                taken.short = true;
                break;
            }
            let mut header = NetHeader::default();
            let first = &mut self.ranges[at];
            if first.iov_len < HEADER {
                taken.short = true;
                break;
            }
            // SAFETY: the range has more bytes than that.
            first.iov_base = unsafe { first.iov_base.cast::<u8>().add(HEADER).cast() };
            first.iov_len -= HEADER;
            let in_guest = first.iov_base.cast::<u8>().wrapping_sub(HEADER);
            self.ranges[at - 1] = libc::iovec { iov_base: (&raw mut header).cast(), iov_len: HEADER };
            let ranges = &self.ranges[at - 1..];
            let count = ranges.len() as i32;
            // SAFETY: the ranges are a header, of which every bit pattern is one, and buffers that were checked to lie in
            // the peer's mapped memory; where a peer has taken it away, the kernel says so.
            let n = unsafe { libc::readv(source.fd.as_raw_fd(), ranges.as_ptr(), count) };
            let Some(n) = usize::try_from(n).ok().filter(|&n| n > HEADER) else {
                if n >= 0 {
                    break;
                }
                match io::Error::last_os_error() {
                    e if e.raw_os_error() == Some(libc::EFAULT) => return Err(PortError::Shrank),
                    e if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&e.kind()) => {}
                    e => taken.failed = Some(e),
                }
                break;
            };
            taken.packets += 1;
            taken.bytes += (n - HEADER) as u64;
            let offload = Offload::from_header(&header).unwrap_or_default();
            let segment = offload.segment().map(|s| s + ETHERNET);
            let fits = segment.unwrap_or(n - HEADER) <= longest && offload.suits(to.abilities);
            let (mut used, mut filled) = (0, 0);
            while filled < n {
                filled += self.rooms[chains + used].length;
                used += 1;
            }
            if !fits || used > 1 && !to.mergeable {
                shared.count_drops(Reason::TooLong, 1);
                let first = &mut self.ranges[at];
                first.iov_base = in_guest.cast();
                first.iov_len += HEADER;
                continue;
            }
            let header = NetHeader { buffers: used as u16, ..offload.header() };
            // SAFETY: the first range had room for a header before the packet.
            unsafe { in_guest.cast::<NetHeader>().write_unaligned(header) };
            let mut left = n;
            for r in &self.rooms[chains..chains + used] {
                to.ring.add_used(r.head, left.min(r.length) as u32);
                left = left.saturating_sub(r.length);
                room -= r.length;
                at += r.ranges;
            }
            chains += used;
            seen -= used as u16;
            to.ring.take(used as u16);
            // A peer that polls begins with it while the next is read.
            to.ring.publish();
            shared.sent.add(1);
            shared.sent_bytes.add((n - HEADER) as u64);
        }
        Ok(taken)
    }

    /// Looks at the chain `ahead` places beyond the next one; how long it is. `None` if it has too many buffers to read
    /// into at once.
    fn add_chain(&mut self, to: &Peer<'_>, ahead: u16) -> Result<Option<usize>, PortError> {
        let before = self.ranges.len();
        let chain = to.ring.peek(to.memory, ahead, |start, length| {
            self.ranges.push(libc::iovec { iov_base: start.as_ptr().cast(), iov_len: length });
        })?;
        let ranges = self.ranges.len() - before;
        if ranges > RANGES {
            self.ranges.truncate(before);
            return Ok(None);
        }
        let length = chain.length as usize;
        self.rooms.push(ChainRoom { head: chain.head, length, ranges });
        Ok(Some(length))
    }
}
