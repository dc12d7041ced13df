//! Click's packets as buffers of a virtqueue, without a copy.
#![allow(unsafe_code)]

use click::Packet;
use core::ptr::NonNull;
use minios::net::{Buffer, HEADER};

/// A packet that the device may read or write. The virtio-net header lies in the packet's headroom, right before its data.
pub struct PacketBuffer {
    packet: Packet,
    /// Length of the buffer from the virtio-net header on, bytes.
    length: usize,
}

impl PacketBuffer {
    /// An empty packet with room for `room` bytes; `None` if the heap has none.
    pub fn empty(room: usize) -> Option<Self> {
        let packet = Packet::new(room)?;
        let length = HEADER + packet.room();
        Some(Self { packet, length })
    }

    /// The packet that a device has filled with `written` bytes, header included.
    pub fn filled(self, written: usize) -> Packet {
        let mut packet = self.packet;
        packet.set_len(written.min(self.length).saturating_sub(HEADER));
        packet
    }

    /// A packet to transmit, with a header that asks for nothing. Gives the packet back if it cannot have one.
    pub fn to_transmit(mut packet: Packet) -> Result<Self, Packet> {
        if packet.push(HEADER).is_none() {
            return Err(packet);
        }
        packet.data_mut()[..HEADER].fill(0);
        packet.pull(HEADER);
        let length = HEADER + packet.len();
        Ok(Self { packet, length })
    }
}

// SAFETY: a packet's buffer has a stable address and is reached through the packet alone, which stays in here; both
// ways of making a `PacketBuffer` leave `HEADER` bytes in front of the data and `length` from there on in the buffer.
unsafe impl Buffer for PacketBuffer {
    fn area(&mut self) -> (NonNull<u8>, usize) {
        // SAFETY: an address inside of an allocation is not null.
        let start = unsafe { NonNull::new_unchecked(self.packet.address(HEADER)) };
        (start, self.length)
    }
}
