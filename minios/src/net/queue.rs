//! Packets in flight: a virtqueue whose buffers are owned by it meanwhile, and come back as what they were.
#![allow(unsafe_code)]

use super::HEADER;
use super::virtqueue::Virtqueue;
use crate::idle::Source;
use crate::registers;
use abi::boot::Queue;
use abi::virtqueue::DESCRIPTOR_WRITE;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

/// Memory that a device may work on while the queue owns the value.
///
/// The area holds a virtio-net header ([`HEADER`] bytes) and right behind it the packet (transmit) or room for one
/// (receive).
///
/// # Safety
/// The area stays where it is, readable and writable, until the value is dropped, even if the value moves; and nobody
/// else reads or writes it through safe code meanwhile.
pub unsafe trait Buffer {
    /// Start and length of the area.
    fn area(&mut self) -> (NonNull<u8>, usize);
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device fills the buffers.
    Receive,
    /// The device reads the buffers.
    Transmit,
}

/// One of a device's two queues.
pub struct PacketQueue<B: Buffer> {
    ring: Virtqueue,
    direction: Direction,
    /// By descriptor: the buffer in flight, and the length of its area.
    flying: ManuallyDrop<Vec<Option<(B, u32)>>>,
}

/// A queue of the boot page. The caller has made sure that it is opened once.
pub(super) fn open<B: Buffer>(queue: &Queue, features: u64, direction: Direction) -> Option<PacketQueue<B>> {
    // SAFETY: the monitor laid the queue out, and `Device::open` gives each device to one driver.
    let ring = unsafe { Virtqueue::new(queue, features, registers::ring) }?;
    Some(PacketQueue::new(ring, direction))
}

impl<B: Buffer> PacketQueue<B> {
    fn new(ring: Virtqueue, direction: Direction) -> Self {
        Self { ring, direction, flying: ManuallyDrop::new(Vec::new()) }
    }

    /// Gives a buffer to the device, which sees it at [`PacketQueue::publish`]. It comes straight back if the ring is
    /// full or if its area has not even room for a header.
    pub fn put(&mut self, mut buffer: B) -> Result<(), B> {
        let (start, length) = buffer.area();
        let Some(length) = u32::try_from(length).ok().filter(|&l| l as usize >= HEADER) else {
            return Err(buffer);
        };
        let flags = match self.direction {
            Direction::Receive => DESCRIPTOR_WRITE,
            Direction::Transmit => 0,
        };
        // SAFETY: the area is the device's until `take` (contract of `Buffer`): the value is kept in `flying`, which
        // is not dropped even if the queue is.
        let Some(id) = (unsafe { self.ring.add(start.as_ptr() as u64, length, flags) }) else {
            return Err(buffer);
        };
        let id = usize::from(id);
        if id == self.flying.len() {
            self.flying.push(Some((buffer, length)));
        } else {
            self.flying[id] = Some((buffer, length));
        }
        Ok(())
    }

    /// Shows the device what was put, with one doorbell at the most.
    pub fn publish(&mut self) {
        self.ring.publish();
    }

    /// The next buffer that the device has done with, and how many bytes of it (header included) it filled.
    pub fn take(&mut self) -> Option<(B, usize)> {
        let (id, written) = self.ring.take()?;
        match self.flying.get_mut(usize::from(id)).and_then(Option::take) {
            Some((buffer, length)) => Some((buffer, written.min(length) as usize)),
            None => {
                self.ring.break_off();
                None
            }
        }
    }

    /// Buffers that the device has.
    pub fn in_flight(&self) -> usize {
        self.ring.in_flight()
    }

    /// Buffers that the device can have at most.
    pub fn size(&self) -> usize {
        self.ring.size()
    }

    /// Whether the device broke the rules of the ring: it will not be heard of again.
    pub fn is_broken(&self) -> bool {
        self.ring.is_broken()
    }
}

impl<B: Buffer> Source for PacketQueue<B> {
    fn has_work(&self) -> bool {
        self.ring.has_used()
    }

    fn arm(&mut self) {
        self.ring.arm();
    }

    fn disarm(&mut self) {
        self.ring.disarm();
    }
}

/// The plain buffer: boxed bytes, header and packet.
pub struct Frame(Box<[u8]>, usize);

impl Frame {
    /// A frame with room for `length` bytes, all of them zero and in use; `None` if the heap has no room.
    pub fn new(length: usize) -> Option<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).ok()?;
        bytes.resize(length, 0);
        Some(Self(bytes.into_boxed_slice(), length))
    }

    /// Room, bytes.
    pub fn capacity(&self) -> usize {
        self.0.len()
    }

    /// Sets how many bytes are in use.
    pub fn set_length(&mut self, length: usize) {
        self.1 = length.min(self.0.len());
    }

    /// The bytes in use.
    pub fn bytes(&self) -> &[u8] {
        &self.0[..self.1]
    }

    /// The bytes in use.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0[..self.1]
    }
}

// SAFETY: the bytes are boxed, and reached through the frame alone.
unsafe impl Buffer for Frame {
    fn area(&mut self) -> (NonNull<u8>, usize) {
        (NonNull::from(&mut *self.0).cast(), self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::virtqueue::tests::Model;
    use super::*;

    #[test]
    fn a_buffer_comes_back_as_what_it_was() {
        let mut device = Model::new(4, 0);
        let mut queue = PacketQueue::new(device.driver(0), Direction::Receive);
        for length in [100, 200] {
            assert!(queue.put(Frame::new(length).unwrap()).is_ok());
        }
        queue.publish();
        let (first, _) = device.pop().unwrap();
        let (second, descriptor) = device.pop().unwrap();
        assert_eq!((descriptor.length, descriptor.flags), (200, DESCRIPTOR_WRITE));
        device.push(second.into(), 60);
        device.push(first.into(), u32::MAX);
        let (frame, length) = queue.take().unwrap();
        assert_eq!((frame.capacity(), length), (200, 60));
        let (frame, length) = queue.take().unwrap();
        assert_eq!((frame.capacity(), length), (100, 100), "a length beyond the buffer is cut");
    }

    #[test]
    fn a_buffer_returned_twice_breaks_the_queue() {
        let mut device = Model::new(4, 0);
        let mut queue = PacketQueue::new(device.driver(0), Direction::Transmit);
        for _ in 0..2 {
            assert!(queue.put(Frame::new(64).unwrap()).is_ok());
        }
        queue.publish();
        device.push(0, 0);
        device.push(0, 0);
        assert!(queue.take().is_some());
        assert!(queue.take().is_none());
        assert!(queue.is_broken());
    }

    #[test]
    fn a_full_ring_gives_the_buffer_back() {
        let device = Model::new(4, 0);
        let mut queue = PacketQueue::new(device.driver(0), Direction::Transmit);
        for _ in 0..4 {
            assert!(queue.put(Frame::new(64).unwrap()).is_ok());
        }
        assert_eq!(queue.put(Frame::new(77).unwrap()).err().unwrap().capacity(), 77);
        assert!(queue.put(Frame::new(HEADER - 1).unwrap()).is_err());
    }
}
