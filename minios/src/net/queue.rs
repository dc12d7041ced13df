//! Packets in flight: a virtqueue whose buffers are owned by it meanwhile, and come back as what they were.
#![allow(unsafe_code)]

use super::HEADER;
use crate::idle::Source;
use crate::registers;
use abi::boot::Queue;
use abi::net::FEATURE_EVENT_IDX;
use abi::virtqueue::DESCRIPTOR_WRITE;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use virtqueue::{Addresses, DriverQueue, OwnMemory, Parts, QueueError};

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
    ring: DriverQueue,
    direction: Direction,
    /// Index of the doorbell that tells the device of new buffers.
    doorbell: u32,
    /// Rings a doorbell.
    notify: fn(u32),
    /// By descriptor: the buffer in flight, and the length of its area.
    flying: ManuallyDrop<Vec<Option<(B, u32)>>>,
}

/// A queue of the boot page. The caller has made sure that it is opened once.
pub(super) fn open<B: Buffer>(queue: &Queue, features: u64, direction: Direction) -> Option<PacketQueue<B>> {
    // SAFETY: the monitor laid the queue out, and `Device::open` gives each device to one driver.
    unsafe { PacketQueue::new(queue, features, direction, registers::ring) }.ok()
}

impl<B: Buffer> PacketQueue<B> {
    /// # Safety
    /// The three parts lie where `queue` says, writable, for good, and no other driver uses them.
    unsafe fn new(
        queue: &Queue,
        features: u64,
        direction: Direction,
        notify: fn(u32),
    ) -> Result<Self, QueueError> {
        // SAFETY: only asked for the parts, which the caller promises.
        let memory = unsafe { OwnMemory::new() };
        let parts = Parts::locate(&memory, queue.size, Addresses::from(queue))?;
        // SAFETY: promised by the caller.
        let ring = unsafe { DriverQueue::new(parts, features & FEATURE_EVENT_IDX != 0) };
        let flying = ManuallyDrop::new(Vec::new());
        Ok(Self { ring, direction, doorbell: queue.doorbell, notify, flying })
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
        if self.ring.publish() {
            (self.notify)(self.doorbell);
        }
    }

    /// The next buffer that the device has done with, and how many bytes of it (header included) it filled.
    pub fn take(&mut self) -> Option<(B, usize)> {
        let (id, written) = self.ring.take()?;
        match self.flying.get_mut(usize::from(id)).and_then(Option::take) {
            Some((buffer, length)) => Some((buffer, written.min(length) as usize)),
            None => {
                self.ring.mark_broken(id);
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
        self.ring.broken().is_some()
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
    use super::*;
    use abi::virtqueue::{
        USED_INDEX, USED_RING, UsedElement, available_bytes, descriptors_bytes, used_bytes,
    };
    use std::cell::Cell;
    use virtqueue::{Chain, DeviceQueue};

    thread_local!(static RUNG: Cell<u32> = const { Cell::new(0) });

    /// A queue in memory that is leaked, and its device.
    struct Host {
        queue: Queue,
        device: DeviceQueue,
    }

    impl Host {
        fn new(size: u32, direction: Direction) -> Self {
            let leak = |bytes: u64| vec![0u128; bytes.div_ceil(16) as usize].leak().as_ptr() as u64;
            let queue = Queue {
                descriptors: leak(descriptors_bytes(size)),
                available: leak(available_bytes(size)),
                used: leak(used_bytes(size)),
                size,
                doorbell: 1,
            };
            let direction = match direction {
                Direction::Receive => virtqueue::Direction::ToDriver,
                Direction::Transmit => virtqueue::Direction::FromDriver,
            };
            RUNG.set(0);
            // SAFETY: the parts are leaked, and every test makes one device.
            let device = unsafe {
                let parts = Parts::locate(&OwnMemory::new(), size, Addresses::from(&queue)).unwrap();
                DeviceQueue::new(parts, direction, false, 0)
            };
            Self { queue, device }
        }

        fn driver(&self, direction: Direction) -> PacketQueue<Frame> {
            // SAFETY: as for the device; every test makes one driver.
            unsafe { PacketQueue::new(&self.queue, 0, direction, |_| RUNG.set(RUNG.get() + 1)) }.unwrap()
        }

        /// The next buffer that the driver has made available.
        fn pop(&mut self) -> Chain {
            assert!(self.device.waiting().unwrap() > 0);
            // SAFETY: asked for the buffers of frames, which the driver keeps.
            let chain = self.device.peek(&unsafe { OwnMemory::new() }, 0, |_, _| ()).unwrap();
            self.device.take(1);
            chain
        }

        fn push(&mut self, id: u16, written: u32) {
            self.device.add_used(id, written);
            self.device.publish();
        }
    }

    #[test]
    fn a_buffer_comes_back_as_what_it_was() {
        let mut host = Host::new(4, Direction::Receive);
        let mut queue = host.driver(Direction::Receive);
        for length in [100, 200] {
            assert!(queue.put(Frame::new(length).unwrap()).is_ok());
        }
        queue.publish();
        queue.publish();
        assert_eq!(RUNG.get(), 1, "one doorbell for both");
        let (first, second) = (host.pop(), host.pop());
        assert_eq!(second.length, 200);
        host.push(second.head, 60);
        host.push(first.head, u32::MAX);
        let (frame, length) = queue.take().unwrap();
        assert_eq!((frame.capacity(), length), (200, 60));
        let (frame, length) = queue.take().unwrap();
        assert_eq!((frame.capacity(), length), (100, 100), "a length beyond the buffer is cut");
    }

    #[test]
    fn a_buffer_returned_twice_breaks_the_queue() {
        let mut host = Host::new(4, Direction::Transmit);
        let mut queue = host.driver(Direction::Transmit);
        for _ in 0..2 {
            assert!(queue.put(Frame::new(64).unwrap()).is_ok());
        }
        queue.publish();
        host.push(0, 0);
        host.push(0, 0);
        assert!(queue.take().is_some());
        assert!(queue.take().is_none());
        assert!(queue.is_broken());
    }

    #[test]
    fn a_device_that_returns_what_it_did_not_get_is_left_alone() {
        for id in [1, 4, u32::MAX] {
            let host = Host::new(4, Direction::Transmit);
            let mut queue = host.driver(Direction::Transmit);
            assert!(queue.put(Frame::new(64).unwrap()).is_ok());
            queue.publish();
            // SAFETY: words of the leaked ring.
            unsafe {
                ((host.queue.used + USED_RING) as *mut UsedElement).write(UsedElement { id, length: 1 });
                ((host.queue.used + USED_INDEX) as *mut u16).write_volatile(1);
            }
            assert!(queue.take().is_none());
            assert!(queue.is_broken() && !queue.has_work());
        }
    }

    #[test]
    fn a_full_ring_gives_the_buffer_back() {
        let host = Host::new(4, Direction::Transmit);
        let mut queue = host.driver(Direction::Transmit);
        for _ in 0..4 {
            assert!(queue.put(Frame::new(64).unwrap()).is_ok());
        }
        assert_eq!(queue.put(Frame::new(77).unwrap()).err().unwrap().capacity(), 77);
        assert!(queue.put(Frame::new(HEADER - 1).unwrap()).is_err());
    }
}
