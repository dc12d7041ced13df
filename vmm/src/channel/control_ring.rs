//! The monitor's end of the control rings (`abi::control`). The guest can write the memory of the rings at any time.
#![allow(unsafe_code)]

use abi::boot::Range;
use abi::control::{ControlPage, MESSAGE_MAXIMUM, MessageHeader};
use machine::memory::{GuestPhys, Outside, Region};
use std::collections::VecDeque;
use std::sync::Arc;
use virtqueue::stream::{Consumer, PositionError, Producer};

const HEADER: usize = size_of::<MessageHeader>();
/// Most bytes that are queued for a guest that does not read; further messages are refused.
const BACKLOG_MAXIMUM: usize = 2 * MESSAGE_MAXIMUM as usize;
/// Most bytes that are read from the guest before other work is done.
const BURST: usize = 64 << 10;

/// A violation of the control ring's protocol by the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The indices claim more bytes than the ring holds.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// The message is longer than allowed.
    #[error("a control message of {0} bytes, of {MESSAGE_MAXIMUM} at most")]
    Length(u32),
    /// The ring is not in guest memory. Cannot happen: the monitor placed it there.
    #[error("the control ring: {0}")]
    Ring(#[from] Outside),
}

/// The rings of both directions.
pub struct ControlRing {
    inbound: Consumer,
    outbound: Producer,
    /// Bytes of messages for the guest that did not fit into the ring yet.
    backlog: VecDeque<u8>,
    /// Header of the message that is being received; `header_have` bytes of it are valid.
    header: [u8; HEADER],
    header_received: usize,
    /// Bytes of its payload that are missing.
    payload_left: usize,
    /// The memory of both rings. Dropped after them.
    _memory: Arc<Region>,
}

/// A part of a message from the guest. Messages are passed on in the parts in which they arrive.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Header of the message.
    pub header: MessageHeader,
    /// Bytes of the payload.
    pub bytes: &'a [u8],
    /// Whether this is the last part of the message.
    pub last: bool,
}

impl ControlRing {
    /// The empty rings that the boot page announces.
    pub fn new(
        memory: &Arc<Region>,
        page: u64,
        to_guest: Range,
        to_host: Range,
    ) -> Result<Self, ControlError> {
        let place = |address, length| memory.pointer(GuestPhys(address), length);
        let length = size_of::<ControlPage>() as u64;
        let outside = Outside { address: GuestPhys(page), length };
        let page =
            Some(place(page, length)?.cast::<ControlPage>()).filter(|p| p.is_aligned()).ok_or(outside)?;
        let to_guest_bytes = place(to_guest.base, to_guest.length)?;
        let to_host_bytes = place(to_host.base, to_host.length)?;
        // SAFETY: page and bytes lie in guest memory, which stays as long as the value, since it holds the region. The
        // page is aligned. The guest is the other end of both streams.
        let (inbound, outbound) = unsafe {
            (
                Consumer::new(&raw mut (*page).to_host, to_host_bytes, to_host.length),
                Producer::new(&raw mut (*page).to_guest, to_guest_bytes, to_guest.length),
            )
        };
        inbound.set_waiting(true);
        Ok(Self {
            inbound,
            outbound,
            backlog: VecDeque::new(),
            header: [0; HEADER],
            header_received: 0,
            payload_left: 0,
            _memory: memory.clone(),
        })
    }

    /// Queues a message; `false` if too many bytes are queued.
    pub fn send(&mut self, kind: u16, id: u64, payload: &[u8]) -> bool {
        if self.backlog.len() + HEADER + payload.len() > BACKLOG_MAXIMUM
            || payload.len() > MESSAGE_MAXIMUM as usize
        {
            return false;
        }
        let header = MessageHeader { length: payload.len() as u32, kind, status: 0, id };
        self.backlog.extend(header.emit());
        self.backlog.extend(payload);
        true
    }

    /// Moves queued bytes into the ring. Returns whether the guest waits for them and must be notified.
    pub fn flush_backlog(&mut self) -> Result<bool, ControlError> {
        if self.backlog.is_empty() {
            return Ok(false);
        }
        let mut moved = false;
        // Twice: with bytes left over, ask for the doorbell, then look once more.
        for _ in 0..2 {
            // A backlog lies in two pieces at the most, as the ring does.
            for _ in 0..2 {
                let written = self.outbound.write(self.backlog.as_slices().0)?;
                self.backlog.drain(..written);
                moved |= written > 0;
            }
            self.outbound.publish();
            self.outbound.set_waiting(!self.backlog.is_empty());
            if self.backlog.is_empty() {
                break;
            }
        }
        Ok(moved && self.outbound.consumer_waits())
    }

    /// Reads what the guest has sent, up to a limit, and passes it to `each`. Returns whether the guest waits for room, and
    /// whether more can be read.
    pub fn drain(&mut self, mut each: impl FnMut(Piece<'_>)) -> Result<(bool, bool), ControlError> {
        self.inbound.set_waiting(false);
        let mut taken = 0;
        let mut chunk = [0; 4096];
        let more = loop {
            if taken >= BURST {
                break true;
            }
            let length = self.inbound.read(&mut chunk)?;
            if length > 0 {
                taken += length;
                self.split(&chunk[..length], &mut each)?;
                continue;
            }
            self.inbound.set_waiting(true);
            if self.inbound.waiting()? == 0 {
                break false;
            }
        };
        Ok((taken > 0 && self.inbound.producer_waits(), more))
    }

    fn split(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Piece<'_>)) -> Result<(), ControlError> {
        while !bytes.is_empty() {
            if self.header_received < HEADER {
                let n = bytes.len().min(HEADER - self.header_received);
                self.header[self.header_received..self.header_received + n].copy_from_slice(&bytes[..n]);
                self.header_received += n;
                bytes = &bytes[n..];
                if self.header_received < HEADER {
                    return Ok(());
                }
                let length = MessageHeader::parse(self.header).length;
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
            each(Piece { header: MessageHeader::parse(self.header), bytes: &bytes[..n], last });
            bytes = &bytes[n..];
            if last {
                self.header_received = 0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::control::RING_SIZE;
    use std::sync::atomic::Ordering;

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
        assert_eq!(
            ring.drain(|_| ()).unwrap_err(),
            ControlError::Position(PositionError { waiting: RING_SIZE + 1, size: RING_SIZE })
        );
    }

    #[test]
    fn a_message_too_long_is_found() {
        let (memory, mut ring) = ring();
        produce(&memory, &[0xff; 16]);
        assert_eq!(ring.drain(|_| ()).unwrap_err(), ControlError::Length(u32::MAX));
    }

    #[test]
    fn a_position_that_keeps_moving_ends_with_the_burst() {
        let (memory, mut ring) = ring();
        // A long message of which, each time some has been taken, as much more is there.
        let header = [&MESSAGE_MAXIMUM.to_le_bytes()[..], &[0x81, 0, 0, 0], &[0; 8]].concat();
        produce(&memory, &[header, vec![0; 1000]].concat());
        let (position, mut taken) = (memory.word32(GuestPhys(TO_HOST)).unwrap(), 0);
        let (_, more) = ring
            .drain(|piece| {
                taken += piece.bytes.len();
                position.fetch_add(piece.bytes.len() as u32, Ordering::Relaxed);
            })
            .unwrap();
        assert!(taken > BURST - 4096, "{taken} bytes are all that was taken");
        assert!(more && taken < BURST + 4096, "{taken} bytes in one go");
    }

    #[test]
    fn what_does_not_fit_waits_for_room() {
        let (memory, mut ring) = ring();
        assert!(ring.send(1, 7, &vec![1; 40_000]));
        ring.flush_backlog().unwrap();
        let produced = memory.word32(GuestPhys(BASE)).unwrap().load(Ordering::Relaxed);
        assert_eq!(produced, RING_SIZE);
        // The guest reads 1,000 bytes: as many more fit.
        memory.write(GuestPhys(BASE + 64), &1000u32.to_le_bytes()).unwrap();
        ring.flush_backlog().unwrap();
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
