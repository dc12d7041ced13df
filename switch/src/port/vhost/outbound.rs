//! Packets written into the buffers that a peer has made available: one chain each, or with mergeable buffers as many
//! as it takes.
#![allow(unsafe_code)]

use super::TO_GUEST;
use super::chain::{Chain, copy};
use super::session::Session;
use crate::counters::{Reason, Shared};
use crate::frame::{BATCH, Batch, Frame, Outgoing, TAG};
use crate::offload::{Abilities, Finished, Offload, finish};
use crate::port::PortError;
use crate::port::finisher::Position;
use crate::port::vhost::memory::Memory;
use abi::net::NetHeader;
use virtqueue::{Buffer, DeviceQueue, RingError};

const HEADER: usize = size_of::<NetHeader>();
/// Most chains of one packet: 64 KiB in the smallest buffers that drivers use.
const MERGED: usize = 96;

/// Reads the header that a chain begins with, 10 or 12 bytes, all of which it has.
#[inline]
pub fn read_header(chain: &Chain, bytes: usize) -> NetHeader {
    let mut raw = [0; HEADER];
    chain.read_at(0, &mut raw[..bytes.min(HEADER)]);
    // SAFETY: `NetHeader` is `repr(C)` of 12 bytes of integers; every bit pattern is one.
    unsafe { std::mem::transmute::<[u8; HEADER], NetHeader>(raw) }
}

/// A header as it is written: 8 bytes, and 4 of which an older header has 2. Two words, so that they are written and
/// read whole.
pub type HeaderWords = (u64, u32);

/// The header of a packet with nothing left to do, in one buffer.
const PLAIN: HeaderWords = (0, 1 << 16);

/// A header as it is written.
#[inline]
pub fn words(header: NetHeader) -> HeaderWords {
    let h = header;
    let low = u64::from(h.flags)
        | u64::from(h.gso_type) << 8
        | u64::from(h.header_length) << 16
        | u64::from(h.gso_size) << 32
        | u64::from(h.checksum_start) << 48;
    (low, u32::from(h.checksum_offset) | u32::from(h.buffers) << 16)
}

/// Whether a packet was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChainOutcome {
    Yes,
    Full,
    TooLong,
}

/// What a packet is made of, ahead of its tail.
struct Packet<'a> {
    header: HeaderWords,
    /// Up to three ranges: addresses, tag, what follows.
    start: [&'a [u8]; 3],
    length: usize,
}

/// The writer's memory.
pub struct Outbound {
    /// Chains that were looked at ahead of their use, and which of them is next.
    ahead: Vec<Buffer>,
    next: usize,
    /// Chains of a packet that needs several: their heads and how much of each is filled.
    merged: Vec<(u16, u32)>,
    /// First byte and length of each of their buffers.
    buffers: Vec<(*mut u8, usize)>,
    whole: Vec<u8>,
    scratch: Vec<u8>,
    position: Position,
}

// SAFETY: the address ranges are only used within a call, by the thread that has the port.
unsafe impl Send for Outbound {}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            ahead: Vec::with_capacity(BATCH),
            next: 0,
            merged: Vec::with_capacity(MERGED),
            buffers: Vec::new(),
            whole: Vec::new(),
            scratch: Vec::new(),
            position: Position::default(),
        }
    }
}

impl Outbound {
    /// The next frame is another one than the one that was interrupted.
    pub fn forget_position(&mut self) {
        self.position = Position::default();
    }

    /// Sends frames as far as there is room; how many.
    pub fn send(
        &mut self,
        session: &mut Session,
        batch: &Batch,
        which: &[Outgoing],
        shared: &Shared,
    ) -> Result<usize, PortError> {
        let (abilities, header_bytes, mergeable) =
            (session.abilities(), session.header_bytes(), session.is_mergeable());
        let Some((ring, memory)) = session.ring(TO_GUEST) else {
            shared.count_drops(Reason::Down, which.len() as u64);
            return Ok(which.len());
        };
        let mut to = Target { ring, memory, header_bytes, mergeable, walked: 0 };
        self.look_ahead(&mut to, which.len())?;
        let (mut sent, mut packets, mut bytes) = (0, 0, 0);
        for out in which {
            let Some(frame) = batch.frames().get(usize::from(out.frame)) else { break };
            let written = if frame.offload.suits(abilities) {
                let w = self.write_frame(&mut to, batch, frame, out.vlan, abilities)?;
                packets += u64::from(w == ChainOutcome::Yes);
                w
            } else {
                self.write_finished(&mut to, batch, frame, out.vlan, abilities, &mut packets, shared)?
            };
            match written {
                ChainOutcome::Full => {
                    shared.queues[TO_GUEST].starved.add(1);
                    break;
                }
                ChainOutcome::TooLong => shared.count_drops(Reason::TooLong, 1),
                ChainOutcome::Yes => bytes += frame.length() as u64,
            }
            sent += 1;
        }
        to.ring.publish();
        shared.sent.add(packets);
        shared.sent_bytes.add(bytes);
        Ok(sent)
    }

    /// Looks at the next chains, as many as are wanted and waiting.
    fn look_ahead(&mut self, to: &mut Target<'_>, wanted: usize) -> Result<(), PortError> {
        let waiting = to.ring.waiting()?;
        to.ring.is_peak(waiting);
        let count = usize::from(waiting).min(wanted).min(BATCH);
        self.next = 0;
        to.ring.prefetch_chains(to.memory, count as u16, &mut self.ahead)?;
        Ok(())
    }

    #[inline]
    fn write_frame(
        &mut self,
        to: &mut Target<'_>,
        batch: &Batch,
        frame: &Frame,
        vlan: u16,
        abilities: Abilities,
    ) -> Result<ChainOutcome, PortError> {
        let head = frame.head();
        let tail = batch.tail(frame);
        if vlan == 0 {
            let header = if frame.offload.is_nothing() { PLAIN } else { header(frame.offload, abilities) };
            let packet = Packet { header, start: [head, &[], &[]], length: frame.length() };
            return self.write(to, &packet, tail);
        }
        let mut offload = frame.offload;
        offload.shift(TAG as i32);
        let (addresses, rest) = head.split_at(head.len().min(12));
        let tag = frame.tag_bytes(vlan);
        let packet = Packet {
            header: header(offload, abilities),
            start: [addresses, &tag, rest],
            length: frame.length() + TAG,
        };
        self.write(to, &packet, tail)
    }

    /// A frame that the peer cannot take as it is.
    #[expect(clippy::too_many_arguments, reason = "one call, on the slow path")]
    fn write_finished(
        &mut self,
        to: &mut Target<'_>,
        batch: &Batch,
        frame: &Frame,
        vlan: u16,
        abilities: Abilities,
        packets: &mut u64,
        shared: &Shared,
    ) -> Result<ChainOutcome, PortError> {
        let (mut whole, mut scratch) = (std::mem::take(&mut self.whole), std::mem::take(&mut self.scratch));
        whole.clear();
        batch.copy_out(frame, 0, &mut whole);
        let tag = frame.tag_bytes(vlan);
        let (mut outcome, mut position) = (Ok(ChainOutcome::Yes), self.position);
        let mut malformed = false;
        let produce = |to: &mut dyn FnMut(&[u8])| {
            let finished =
                finish(&mut whole, frame.offload, abilities, &mut scratch, &mut |bytes, _| to(bytes));
            malformed = finished == Finished::Malformed;
        };
        position.resume(produce, |bytes| {
            if !matches!(outcome, Ok(ChainOutcome::Yes)) {
                // The frame is given up, or the port is.
                return true;
            }
            let (addresses, rest) = bytes.split_at(bytes.len().min(12));
            let tag: &[u8] = if vlan == 0 { &[] } else { &tag };
            let length = bytes.len() + tag.len();
            let packet = Packet { header: PLAIN, start: [addresses, tag, rest], length };
            outcome = self.write(to, &packet, &[]);
            *packets += u64::from(matches!(outcome, Ok(ChainOutcome::Yes)));
            !matches!(outcome, Ok(ChainOutcome::Full))
        });
        self.position = position;
        (self.whole, self.scratch) = (whole, scratch);
        if malformed {
            shared.count_drops(Reason::Malformed, 1);
        }
        outcome
    }

    /// Writes one packet into the next chains.
    #[inline]
    fn write(
        &mut self,
        to: &mut Target<'_>,
        packet: &Packet<'_>,
        tail: &[crate::frame::Piece],
    ) -> Result<ChainOutcome, PortError> {
        let total = to.header_bytes + packet.length;
        if self.next >= self.ahead.len() {
            // More may have come since, and more may be wanted than was thought.
            self.look_ahead(to, BATCH)?;
        }
        let Some(buffer) = self.ahead.get(self.next) else {
            return Ok(ChainOutcome::Full);
        };
        if !buffer.start.is_null() && buffer.length >= total {
            // SAFETY: `total` bytes from `start` on are in the peer's mapped memory; the sources are mapped.
            unsafe {
                buffer.start.cast::<u64>().write_unaligned(packet.header.0);
                if to.header_bytes == HEADER {
                    buffer.start.add(8).cast::<u32>().write_unaligned(packet.header.1);
                } else {
                    buffer.start.add(8).cast::<u16>().write_unaligned(packet.header.1 as u16);
                }
                let mut at = buffer.start.add(to.header_bytes);
                for part in packet.start {
                    copy(part.as_ptr(), at, part.len());
                    at = at.add(part.len());
                }
                for piece in tail {
                    copy(piece.start(), at, piece.length());
                    at = at.add(piece.length());
                }
            }
            to.ring.add_used(buffer.head, total as u32);
            to.ring.take(1);
            self.next += 1;
            return Ok(ChainOutcome::Yes);
        }
        let waiting = to.ring.waiting()?;
        let written = self.write_scattered(to, packet, tail, total, waiting);
        // How many chains that took is not kept: what was seen ahead is looked at again.
        self.ahead.clear();
        self.next = 0;
        written
    }

    /// The same where a packet takes several buffers.
    fn write_scattered(
        &mut self,
        to: &mut Target<'_>,
        packet: &Packet<'_>,
        tail: &[crate::frame::Piece],
        total: usize,
        waiting: u16,
    ) -> Result<ChainOutcome, PortError> {
        self.merged.clear();
        self.buffers.clear();
        let mut room = 0;
        while room < total {
            let n = self.merged.len();
            if n > 0 && (!to.mergeable || n >= MERGED) {
                return Ok(ChainOutcome::TooLong);
            }
            if n >= usize::from(waiting) {
                // What waits for room that never comes would hold up all behind it.
                let never = to.ring.is_peak(waiting);
                return Ok(if never { ChainOutcome::TooLong } else { ChainOutcome::Full });
            }
            // Chains that are available at a time have no more descriptors together than the queue. Where they have, the
            // peer has wound them around each other, and waits until the next turn for as long a walk.
            if to.walked > to.ring.size().into() {
                return Ok(ChainOutcome::Full);
            }
            let before = self.buffers.len();
            let chain = to.ring.peek(to.memory, n as u16, |start, length| {
                self.buffers.push((start.as_ptr(), length));
            })?;
            to.walked += self.buffers.len() - before;
            let (head, length) = (chain.head, chain.length as usize);
            if length < to.header_bytes.max(1) {
                return Err(RingError::Length { head, length: chain.length }.into());
            }
            let filled = length.min(total - room);
            self.merged.push((head, filled as u32));
            room += filled;
        }
        let (low, high) = packet.header;
        let high = high & 0xffff | (self.merged.len() as u32) << 16;
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&low.to_le_bytes());
        header[8..].copy_from_slice(&high.to_le_bytes());
        let first = [&header[..to.header_bytes]];
        let starts = first.iter().chain(packet.start.iter()).map(|p| (p.as_ptr(), p.len()));
        let sources = starts.chain(tail.iter().map(|p| (p.start(), p.length())));
        let mut buffers = self.buffers.iter().copied();
        let (mut at, mut left) = (std::ptr::null_mut::<u8>(), 0);
        'all: for (mut from, mut length) in sources {
            while length > 0 {
                while left == 0 {
                    let Some(next) = buffers.next() else { break 'all };
                    (at, left) = next;
                }
                let n = length.min(left);
                // SAFETY: `n` bytes from `from` on are mapped, and `n` from `at` on lie in a buffer that was checked.
                unsafe {
                    copy(from, at, n);
                    (from, at) = (from.add(n), at.add(n));
                }
                (length, left) = (length - n, left - n);
            }
        }
        for &(head, filled) in &self.merged {
            to.ring.add_used(head, filled);
        }
        to.ring.take(self.merged.len() as u16);
        Ok(ChainOutcome::Yes)
    }
}

/// Where packets are written to.
struct Target<'a> {
    ring: &'a mut DeviceQueue,
    memory: &'a Memory,
    header_bytes: usize,
    mergeable: bool,
    /// Descriptors of scattered packets that were looked at.
    walked: usize,
}

/// The header of a packet for a peer with these abilities.
fn header(offload: Offload, abilities: Abilities) -> HeaderWords {
    let mut header = offload.header();
    if !abilities.checksum {
        header.flags = 0;
    }
    header.buffers = 1;
    words(header)
}
