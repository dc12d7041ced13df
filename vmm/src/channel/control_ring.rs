//! The monitor's ends of the control ring (`abi::control`), in hostile memory.

use abi::boot::Range;
use abi::control::{ControlPage, MESSAGE_MAXIMUM, MessageHeader, RING_SIZE, RingPositions};
use machine::memory::{GuestPhys, Outside, Region};
use std::collections::VecDeque;
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

const HEADER: usize = size_of::<MessageHeader>();
/// Bytes kept for a guest that does not read; more is refused.
const BACKLOG_MAXIMUM: usize = 2 * MESSAGE_MAXIMUM as usize;
/// Bytes taken from the guest before other work gets its turn.
const BURST: usize = 64 << 10;

/// How a guest broke the control ring's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// More is said to wait than the ring holds.
    #[error("the control ring claims {0} waiting bytes of {RING_SIZE}")]
    Runaway(u32),
    /// A message longer than any may be.
    #[error("a control message of {0} bytes, of {MESSAGE_MAXIMUM} at most")]
    Length(u32),
    /// Cannot happen: the rings were laid out in guest memory.
    #[error("the control ring: {0}")]
    Ring(#[from] Outside),
}

/// One direction, seen from the monitor.
struct Stream {
    memory: Arc<Region>,
    positions: GuestPhys,
    bytes: Range,
    /// The position that is the monitor's to write.
    mine: u32,
}

impl Stream {
    fn word(&self, offset: usize) -> Result<&std::sync::atomic::AtomicU32, Outside> {
        self.memory.word32(self.positions.offset(offset as u64))
    }

    /// The one or two parts of `length` ring bytes from position `at`.
    fn parts(&self, at: u32, length: u32) -> [(GuestPhys, usize); 2] {
        let start = at % RING_SIZE;
        let first = length.min(RING_SIZE - start);
        let base = GuestPhys(self.bytes.base);
        [(base.offset(start.into()), first as usize), (base, (length - first) as usize)]
    }
}

/// Both directions.
pub struct ControlRing {
    inbound: Stream,
    outbound: Stream,
    backlog: VecDeque<u8>,
    header: [u8; HEADER],
    header_have: usize,
    payload_left: usize,
}

/// Part of a message from the guest; console output arrives as it comes, replies piece by piece too.
#[derive(Debug)]
pub struct Piece<'a> {
    /// The message that it is part of.
    pub header: MessageHeader,
    /// These bytes of the payload.
    pub bytes: &'a [u8],
    /// Nothing of the message follows.
    pub last: bool,
}

impl ControlRing {
    /// The rings as the boot page announces them, empty.
    pub fn new(
        memory: &Arc<Region>,
        page: u64,
        to_guest: Range,
        to_host: Range,
    ) -> Result<Self, ControlError> {
        let stream = |offset: usize, bytes| Stream {
            memory: memory.clone(),
            positions: GuestPhys(page + offset as u64),
            bytes,
            mine: 0,
        };
        let ring = Self {
            inbound: stream(offset_of!(ControlPage, to_host), to_host),
            outbound: stream(offset_of!(ControlPage, to_guest), to_guest),
            backlog: VecDeque::new(),
            header: [0; HEADER],
            header_have: 0,
            payload_left: 0,
        };
        ring.inbound.word(offset_of!(RingPositions, consumer_waits))?.store(1, Ordering::Relaxed);
        Ok(ring)
    }

    /// Queues a message; `false` if too much waits already.
    pub fn send(&mut self, kind: u16, id: u64, payload: &[u8]) -> bool {
        if self.backlog.len() + HEADER + payload.len() > BACKLOG_MAXIMUM
            || payload.len() > MESSAGE_MAXIMUM as usize
        {
            return false;
        }
        self.backlog.extend((payload.len() as u32).to_le_bytes());
        self.backlog.extend(kind.to_le_bytes());
        self.backlog.extend([0; 2]);
        self.backlog.extend(id.to_le_bytes());
        self.backlog.extend(payload);
        true
    }

    /// Moves queued bytes into the ring; whether the guest waits for them.
    pub fn pump(&mut self) -> Result<bool, ControlError> {
        if self.backlog.is_empty() {
            return Ok(false);
        }
        let out = &mut self.outbound;
        let mut moved = false;
        // Twice: with bytes left over, ask for the doorbell, then look once more.
        for _ in 0..2 {
            let consumed = out.word(offset_of!(RingPositions, consumed))?.load(Ordering::Acquire);
            let waiting = out.mine.wrapping_sub(consumed);
            let room = RING_SIZE.checked_sub(waiting).ok_or(ControlError::Runaway(waiting))?;
            if room > 0 && !self.backlog.is_empty() {
                let length = room.min(self.backlog.len() as u32);
                let bytes: Vec<u8> = self.backlog.drain(..length as usize).collect();
                let mut rest = &bytes[..];
                for (address, length) in out.parts(out.mine, length) {
                    let (now, later) = rest.split_at(length);
                    out.memory.write(address, now)?;
                    rest = later;
                }
                out.mine = out.mine.wrapping_add(length);
                out.word(offset_of!(RingPositions, produced))?.store(out.mine, Ordering::Release);
                moved = true;
            }
            let waits = out.word(offset_of!(RingPositions, producer_waits))?;
            waits.store(u32::from(!self.backlog.is_empty()), Ordering::SeqCst);
            if self.backlog.is_empty() {
                break;
            }
        }
        fence(Ordering::SeqCst);
        let reader = self.outbound.word(offset_of!(RingPositions, consumer_waits))?;
        Ok(moved && reader.load(Ordering::Relaxed) != 0)
    }

    /// Takes what the guest has sent, up to a bound, and hands it to `each`. The answer says whether the guest waits
    /// for room, and whether more is there already.
    pub fn drain(&mut self, mut each: impl FnMut(Piece<'_>)) -> Result<(bool, bool), ControlError> {
        let sleeps = offset_of!(RingPositions, consumer_waits);
        self.inbound.word(sleeps)?.store(0, Ordering::Relaxed);
        let mut taken = 0;
        let mut chunk = [0; 4096];
        let more = loop {
            if taken >= BURST {
                break true;
            }
            let length = self.take(&mut chunk)?;
            if length > 0 {
                taken += length;
                self.split(&chunk[..length], &mut each)?;
                continue;
            }
            self.inbound.word(sleeps)?.store(1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if self.waiting()? == 0 {
                break false;
            }
        };
        fence(Ordering::SeqCst);
        let writer = self.inbound.word(offset_of!(RingPositions, producer_waits))?;
        Ok((taken > 0 && writer.load(Ordering::Relaxed) != 0, more))
    }

    fn waiting(&self) -> Result<u32, ControlError> {
        let produced = self.inbound.word(offset_of!(RingPositions, produced))?.load(Ordering::Acquire);
        let waiting = produced.wrapping_sub(self.inbound.mine);
        if waiting > RING_SIZE { Err(ControlError::Runaway(waiting)) } else { Ok(waiting) }
    }

    fn take(&mut self, chunk: &mut [u8]) -> Result<usize, ControlError> {
        let length = self.waiting()?.min(chunk.len() as u32);
        if length == 0 {
            return Ok(0);
        }
        let mut at = 0;
        for (address, length) in self.inbound.parts(self.inbound.mine, length) {
            self.inbound.memory.read(address, &mut chunk[at..at + length])?;
            at += length;
        }
        self.inbound.mine = self.inbound.mine.wrapping_add(length);
        let consumed = self.inbound.word(offset_of!(RingPositions, consumed))?;
        consumed.store(self.inbound.mine, Ordering::Release);
        Ok(length as usize)
    }

    fn split(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Piece<'_>)) -> Result<(), ControlError> {
        while !bytes.is_empty() {
            if self.header_have < HEADER {
                let n = bytes.len().min(HEADER - self.header_have);
                self.header[self.header_have..self.header_have + n].copy_from_slice(&bytes[..n]);
                self.header_have += n;
                bytes = &bytes[n..];
                if self.header_have < HEADER {
                    return Ok(());
                }
                let length = self.current().length;
                if length > MESSAGE_MAXIMUM {
                    return Err(ControlError::Length(length));
                }
                self.payload_left = length as usize;
                if length > 0 {
                    continue;
                }
            }
            let n = bytes.len().min(self.payload_left);
            self.payload_left -= n;
            let last = self.payload_left == 0;
            each(Piece { header: self.current(), bytes: &bytes[..n], last });
            bytes = &bytes[n..];
            if last {
                self.header_have = 0;
            }
        }
        Ok(())
    }

    fn current(&self) -> MessageHeader {
        let h = &self.header;
        MessageHeader {
            length: u32::from_le_bytes([h[0], h[1], h[2], h[3]]),
            kind: u16::from_le_bytes([h[4], h[5]]),
            status: u16::from_le_bytes([h[6], h[7]]),
            id: u64::from_le_bytes([h[8], h[9], h[10], h[11], h[12], h[13], h[14], h[15]]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x1000_0000;
    const TO_HOST: u64 = BASE + 192;

    fn ring() -> (Arc<Region>, ControlRing) {
        let memory = Arc::new(Region::shared(GuestPhys(BASE), 0x10000).unwrap().0);
        let bytes = |at| Range { base: BASE + at, length: RING_SIZE.into() };
        let ring = ControlRing::new(&memory, BASE, bytes(0x1000), bytes(0x5000)).unwrap();
        (memory, ring)
    }

    fn produce(memory: &Region, bytes: &[u8]) {
        memory.write(GuestPhys(BASE + 0x5000), bytes).unwrap();
        memory.write(GuestPhys(TO_HOST), &(bytes.len() as u32).to_le_bytes()).unwrap();
    }

    #[test]
    fn a_message_arrives_whole() {
        let (memory, mut ring) = ring();
        let mut bytes = vec![5, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(b"hello");
        produce(&memory, &bytes);
        let mut seen = Vec::new();
        ring.drain(|p| seen.push((p.header.kind, p.bytes.to_vec(), p.last))).unwrap();
        assert_eq!(seen, [(0x81, b"hello".to_vec(), true)]);
    }

    #[test]
    fn a_runaway_position_is_found() {
        let (memory, mut ring) = ring();
        memory.write(GuestPhys(TO_HOST), &(RING_SIZE + 1).to_le_bytes()).unwrap();
        assert_eq!(ring.drain(|_| ()).unwrap_err(), ControlError::Runaway(RING_SIZE + 1));
    }

    #[test]
    fn a_message_too_long_is_found() {
        let (memory, mut ring) = ring();
        produce(&memory, &[0xff; 16]);
        assert_eq!(ring.drain(|_| ()).unwrap_err(), ControlError::Length(u32::MAX));
    }

    #[test]
    fn what_does_not_fit_waits_for_room() {
        let (memory, mut ring) = ring();
        assert!(ring.send(1, 7, &vec![1; 40_000]));
        ring.pump().unwrap();
        let produced = memory.word32(GuestPhys(BASE)).unwrap().load(Ordering::Relaxed);
        assert_eq!(produced, RING_SIZE);
        // The guest reads 1,000 bytes: as many more fit.
        memory.write(GuestPhys(BASE + 64), &1000u32.to_le_bytes()).unwrap();
        ring.pump().unwrap();
        let produced = memory.word32(GuestPhys(BASE)).unwrap().load(Ordering::Relaxed);
        assert_eq!(produced, RING_SIZE + 1000);
    }

    #[test]
    fn a_guest_that_never_reads_is_refused_more() {
        let (_memory, mut ring) = ring();
        let payload = vec![0; MESSAGE_MAXIMUM as usize];
        assert!(ring.send(5, 1, &payload));
        assert!(!ring.send(5, 2, &payload));
    }
}
