//! The device's side of a split virtqueue (virtio 1.2 section 2.7) in hostile memory: every index, address and length
//! is checked on every use.

use crate::memory::{GuestPhys, Outside, Region};
use abi::boot::Queue;
use abi::virtqueue::{
    AVAILABLE_INDEX, AVAILABLE_RING, DESCRIPTOR_INDIRECT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE, Descriptor,
    USED_FLAGS, USED_INDEX, USED_RING, UsedElement, available_event, used_event,
};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// How a guest broke the rules of its ring. The queue is of no use afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The available index is further ahead than the ring is long.
    #[error("available index {index} is more than {size} ahead of {seen}")]
    Runaway {
        /// Index found.
        index: u16,
        /// Index of the last entry taken.
        seen: u16,
        /// Entries of the ring.
        size: u32,
    },
    /// A descriptor index beyond the table.
    #[error("descriptor {0} is beyond the table")]
    Descriptor(u16),
    /// A chain longer than the table: it loops.
    #[error("the chain at descriptor {0} loops")]
    Loop(u16),
    /// A buffer that is not all in guest memory.
    #[error("descriptor {index}: {outside}")]
    Buffer {
        /// Descriptor.
        index: u16,
        /// Its range.
        outside: Outside,
    },
    /// A buffer for the wrong direction, or an indirect table, which was not offered.
    #[error("descriptor {index} has flags {flags:#x}")]
    Flags {
        /// Descriptor.
        index: u16,
        /// Flags found.
        flags: u16,
    },
    /// A chain too short for the header or longer than any packet.
    #[error("the chain at descriptor {head} has {length} bytes")]
    Length {
        /// Head of the chain.
        head: u16,
        /// Sum of its buffers.
        length: u64,
    },
    /// The ring itself is not in guest memory.
    #[error("the ring: {0}")]
    Ring(#[from] Outside),
}

/// Which way a queue's buffers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device writes them.
    ToGuest,
    /// The device reads them.
    FromGuest,
}

/// A range of guest memory that was checked, as `readv` and `writev` take it.
pub type Buffer = libc::iovec;

/// A checked chain, its buffers appended to the caller's list.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// Index of its first descriptor: its name in the used ring.
    pub head: u16,
    /// Sum of its buffers, bytes.
    pub length: usize,
}

/// One queue.
pub struct DeviceQueue {
    memory: Arc<Region>,
    queue: Queue,
    direction: Direction,
    event_index: bool,
    next_available: u16,
    next_used: u16,
    /// `next_used` when the guest was last asked whether it wants to know.
    asked: u16,
}

impl DeviceQueue {
    /// A queue as the boot page announces it, empty.
    pub fn new(memory: Arc<Region>, queue: Queue, direction: Direction, event_index: bool) -> Self {
        Self { memory, queue, direction, event_index, next_available: 0, next_used: 0, asked: 0 }
    }

    /// How many chains the guest has made available and [`DeviceQueue::peek`] has not passed.
    fn waiting(&self, ahead: u16) -> Result<u16, RingError> {
        let index = self.memory.word16(GuestPhys(self.queue.available + AVAILABLE_INDEX))?;
        let index = index.load(Ordering::Acquire);
        let waiting = index.wrapping_sub(self.next_available);
        if u32::from(waiting) > self.queue.size {
            return Err(RingError::Runaway { index, seen: self.next_available, size: self.queue.size });
        }
        Ok(waiting.saturating_sub(ahead))
    }

    /// Looks at the chain `ahead` places beyond the next one; its buffers go to the end of `buffers`.
    pub fn peek(&self, ahead: u16, buffers: &mut Vec<Buffer>) -> Result<Option<Chain>, RingError> {
        if self.waiting(ahead)? == 0 {
            return Ok(None);
        }
        let slot = u32::from(self.next_available.wrapping_add(ahead)) % self.queue.size;
        let address = GuestPhys(self.queue.available + AVAILABLE_RING + 2 * u64::from(slot));
        let head = self.memory.word16(address)?.load(Ordering::Relaxed);
        let length = self.walk(head, buffers)?;
        Ok(Some(Chain { head, length }))
    }

    fn walk(&self, head: u16, buffers: &mut Vec<Buffer>) -> Result<usize, RingError> {
        let mut index = head;
        let mut total = 0u64;
        for _ in 0..self.queue.size {
            if u32::from(index) >= self.queue.size {
                return Err(RingError::Descriptor(index));
            }
            let address = GuestPhys(self.queue.descriptors + 16 * u64::from(index));
            let d: Descriptor = self.memory.read_value(address)?;
            let writes = d.flags & DESCRIPTOR_WRITE != 0;
            if writes != (self.direction == Direction::ToGuest) || d.flags & DESCRIPTOR_INDIRECT != 0 {
                return Err(RingError::Flags { index, flags: d.flags });
            }
            let host = self
                .memory
                .pointer(GuestPhys(d.address), d.length.into())
                .map_err(|outside| RingError::Buffer { index, outside })?;
            buffers.push(Buffer { iov_base: host.cast(), iov_len: d.length as usize });
            total += u64::from(d.length);
            if d.flags & DESCRIPTOR_NEXT == 0 {
                return usize::try_from(total).map_err(|_| RingError::Length { head, length: total });
            }
            index = d.next;
        }
        Err(RingError::Loop(head))
    }

    /// Takes the next chain off the available ring and gives it back as used, `written` bytes filled in. The guest
    /// sees nothing before [`DeviceQueue::publish`].
    pub fn complete(&mut self, head: u16, written: u32) -> Result<(), RingError> {
        let slot = u32::from(self.next_used) % self.queue.size;
        let element = UsedElement { id: head.into(), length: written };
        let address = GuestPhys(self.queue.used + USED_RING + 8 * u64::from(slot));
        self.memory.write_value(address, &element)?;
        self.next_used = self.next_used.wrapping_add(1);
        self.next_available = self.next_available.wrapping_add(1);
        Ok(())
    }

    /// Shows the guest what was completed; whether it wants to be woken for it.
    pub fn publish(&mut self) -> Result<bool, RingError> {
        if self.asked == self.next_used {
            return Ok(false);
        }
        let index = self.memory.word16(GuestPhys(self.queue.used + USED_INDEX))?;
        index.store(self.next_used, Ordering::Release);
        fence(Ordering::SeqCst);
        let before = std::mem::replace(&mut self.asked, self.next_used);
        if self.event_index {
            let address = GuestPhys(self.queue.available + used_event(self.queue.size));
            let event = self.memory.word16(address)?.load(Ordering::Relaxed);
            return Ok(crossed(event, before, self.next_used));
        }
        Ok(self.memory.word16(GuestPhys(self.queue.available))?.load(Ordering::Relaxed) & 1 == 0)
    }

    /// Tells the guest not to ring for this queue.
    pub fn disarm(&self) -> Result<(), RingError> {
        if self.event_index {
            // An index just passed is not reached again for 65,535 entries.
            self.set_event(self.next_available.wrapping_sub(1))
        } else {
            self.memory.word16(GuestPhys(self.queue.used + USED_FLAGS))?.store(1, Ordering::Relaxed);
            Ok(())
        }
    }

    /// Asks the guest to ring at the next chain beyond the `seen` that were peeked at; whether some is there already.
    pub fn arm(&self, seen: u16) -> Result<bool, RingError> {
        if self.event_index {
            self.set_event(self.next_available.wrapping_add(seen))?;
        } else {
            self.memory.word16(GuestPhys(self.queue.used + USED_FLAGS))?.store(0, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        Ok(self.waiting(seen)? > 0)
    }

    fn set_event(&self, event: u16) -> Result<(), RingError> {
        let address = GuestPhys(self.queue.used + available_event(self.queue.size));
        self.memory.word16(address)?.store(event, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether `event` lies in the entries `before..after` (2.7.7.1, 2.7.10.1).
fn crossed(event: u16, before: u16, after: u16) -> bool {
    after.wrapping_sub(event).wrapping_sub(1) < after.wrapping_sub(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::GuestPhys;

    const BASE: u64 = 0x1000_0000;

    struct Ring {
        memory: Arc<Region>,
        queue: Queue,
    }

    impl Ring {
        fn new() -> Self {
            let memory = Arc::new(Region::shared(GuestPhys(BASE), 0x10000).unwrap().0);
            let queue = Queue {
                descriptors: BASE,
                available: BASE + 0x1000,
                used: BASE + 0x2000,
                size: 8,
                doorbell: 0,
            };
            Ring { memory, queue }
        }

        fn descriptor(&self, index: u64, address: u64, length: u32, flags: u16, next: u16) {
            let d = Descriptor { address, length, flags, next };
            self.memory.write_value(GuestPhys(BASE + 16 * index), &d).unwrap();
        }

        fn offer(&self, index: u16, heads: &[u16]) {
            for (i, head) in heads.iter().enumerate() {
                self.memory.write(GuestPhys(BASE + 0x1004 + 2 * i as u64), &head.to_le_bytes()).unwrap();
            }
            self.memory.write(GuestPhys(BASE + 0x1002), &index.to_le_bytes()).unwrap();
        }

        fn peek(&self, direction: Direction) -> Result<Option<Chain>, RingError> {
            DeviceQueue::new(self.memory.clone(), self.queue, direction, true).peek(0, &mut Vec::new())
        }
    }

    #[test]
    fn a_chain_is_walked() {
        let ring = Ring::new();
        ring.descriptor(3, BASE + 0x3000, 100, DESCRIPTOR_NEXT, 5);
        ring.descriptor(5, BASE + 0x4000, 50, 0, 0);
        ring.offer(1, &[3]);
        let chain = ring.peek(Direction::FromGuest).unwrap().unwrap();
        assert_eq!((chain.head, chain.length), (3, 150));
    }

    #[test]
    fn a_runaway_index_is_found() {
        let ring = Ring::new();
        ring.offer(9, &[0]);
        assert!(matches!(ring.peek(Direction::FromGuest), Err(RingError::Runaway { .. })));
    }

    #[test]
    fn a_loop_is_found() {
        let ring = Ring::new();
        ring.descriptor(0, BASE, 1, DESCRIPTOR_NEXT, 1);
        ring.descriptor(1, BASE, 1, DESCRIPTOR_NEXT, 0);
        ring.offer(1, &[0]);
        assert_eq!(ring.peek(Direction::FromGuest).unwrap_err(), RingError::Loop(0));
    }

    #[test]
    fn buffers_outside_memory_are_found() {
        for (address, length) in [(0x40_0000, 64), (0x20_3000, 8), (BASE + 0xffff, 2), (u64::MAX - 1, 64)] {
            let ring = Ring::new();
            ring.descriptor(0, address, length, DESCRIPTOR_WRITE, 0);
            ring.offer(1, &[0]);
            assert!(matches!(ring.peek(Direction::ToGuest), Err(RingError::Buffer { .. })));
        }
    }

    #[test]
    fn buffers_of_the_wrong_direction_are_found() {
        let ring = Ring::new();
        ring.descriptor(0, BASE, 64, 0, 0);
        ring.offer(1, &[0]);
        assert!(matches!(ring.peek(Direction::ToGuest), Err(RingError::Flags { .. })));
    }

    #[test]
    fn an_event_index_is_crossed_once_even_where_indices_wrap() {
        assert!(crossed(65535, 65535, 0));
        assert!(crossed(4, 3, 6));
        assert!(!crossed(6, 3, 6));
        assert!(!crossed(2, 3, 6));
    }
}
