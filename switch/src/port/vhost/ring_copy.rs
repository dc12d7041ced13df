//! Packets from one peer's ring to another's: on a point-to-point segment nobody parses them, so each is copied once, out
//! of the buffer that it was sent in into the one that it is received in.
#![allow(unsafe_code)]

use super::chain::copy;
use super::outbound::words;
use super::{FROM_GUEST, TO_GUEST, Vhost};
use crate::counters::Shared;
use crate::frame::BATCH;
use crate::offload::Offload;
use crate::port::{CutThrough, PortError};
use abi::net::NetHeader;
use virtqueue::Buffer;

const HEADER: usize = size_of::<NetHeader>();

/// Whose ring was wrong.
pub enum Broken {
    /// That of the port that sends.
    Near(PortError),
    /// That of the port that receives.
    Far(PortError),
}

/// The memory of whoever passes packets on.
#[derive(Default)]
pub struct RingCopyBuffers {
    from: Vec<Buffer>,
    to: Vec<Buffer>,
}

impl Vhost {
    /// Passes packets of up to `longest` bytes to another port, as many as have come and have room. `None` if the next one
    /// takes more than that: it is longer or in several buffers, or has work on a checksum that its receiver cannot do; or
    /// if there is no room. `shared` is the receiver's.
    pub fn pass(
        &mut self,
        far: &mut Self,
        longest: usize,
        shared: &Shared,
    ) -> Option<Result<CutThrough, Broken>> {
        let (Some(near), Some(far)) = (self.session.as_mut(), far.session.as_mut()) else { return None };
        let abilities = far.abilities();
        if near.header_bytes() != HEADER || far.header_bytes() != HEADER {
            return None;
        }
        let (from, from_memory) = near.ring(FROM_GUEST)?;
        let (to, to_memory) = far.ring(TO_GUEST)?;
        let waiting = match from.waiting() {
            Ok(0) => return Some(Ok(CutThrough::default())),
            Ok(waiting) => waiting,
            Err(e) => return Some(Err(Broken::Near(e.into()))),
        };
        let room = match to.waiting() {
            Ok(0) => return None,
            Ok(room) => room,
            Err(e) => return Some(Err(Broken::Far(e.into()))),
        };
        to.is_peak(room);
        let count = waiting.min(room).min(BATCH as u16);
        let buffers = &mut self.ring_copy;
        if let Err(e) = from.prefetch_chains(from_memory, count, &mut buffers.from) {
            return Some(Err(Broken::Near(e.into())));
        }
        if let Err(e) = to.prefetch_chains(to_memory, count, &mut buffers.to) {
            return Some(Err(Broken::Far(e.into())));
        }
        let (mut packets, mut bytes) = (0, 0);
        for (source, room) in buffers.from.iter().zip(&buffers.to) {
            let length = source.length;
            let fits = (HEADER + 1..=HEADER + longest).contains(&length) && length <= room.length;
            if source.start.is_null() || room.start.is_null() || !fits {
                break;
            }
            // SAFETY: the buffer is in the peer's mapped memory and has more than a header, of which every bit pattern is
            // one; the peer may change it at any time, so it is looked at once.
            let header = unsafe { source.start.cast::<NetHeader>().read_unaligned() };
            let Some(offload) = Offload::from_header(&header).filter(|o| o.suits(abilities)) else { break };
            let (low, high) = words(NetHeader { buffers: 1, ..offload.header() });
            // SAFETY: `length` bytes from both on are mapped, and those of two peers do not overlap: where they share
            // memory, what comes out is theirs to worry about, and the copy is one of raw bytes.
            unsafe {
                room.start.cast::<u64>().write_unaligned(low);
                room.start.add(8).cast::<u32>().write_unaligned(high);
                copy(source.start.add(HEADER), room.start.add(HEADER), length - HEADER);
            }
            from.add_used(source.head, 0);
            to.add_used(room.head, length as u32);
            packets += 1;
            bytes += (length - HEADER) as u64;
        }
        if packets == 0 {
            return None;
        }
        from.take(packets);
        to.take(packets);
        to.publish();
        from.publish();
        let packets = packets.into();
        shared.sent.add(packets);
        shared.sent_bytes.add(bytes);
        Some(Ok(CutThrough { packets, bytes, ..CutThrough::default() }))
    }
}
