//! The device's side. Every index, address and length is checked each time it is read, because the driver may have changed it
//! meanwhile.
//!
//! A device reads chains ([`DeviceQueue::peek`], or [`DeviceQueue::prefetch_chains`] for many), takes those that it uses
//! ([`DeviceQueue::take`]), adds each to the used ring when it is done ([`DeviceQueue::add_used`]), publishes them together
//! ([`DeviceQueue::publish`]), and checks whether the driver wants a notification ([`DeviceQueue::wants_call`]). For a packet that
//! spans several chains (`VIRTIO_NET_F_MRG_RXBUF`), it reads all of them before it takes any.
#![allow(unsafe_code)]

use crate::memory::Memory;
use crate::parts::Parts;
use abi::virtqueue::{DESCRIPTOR_INDIRECT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE, Descriptor};
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

/// How a driver broke the rules of its queue. The queue must not be used afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// The available index is more than the size of the queue ahead (2.7.6).
    AvailableIndex {
        /// Index found.
        index: u16,
        /// Index of the next entry to take.
        seen: u16,
        /// Entries of the queue.
        size: u16,
    },
    /// A descriptor index beyond the table (2.7.5).
    Descriptor(u16),
    /// A chain longer than the table: it loops (2.7.5.1).
    Loop(u16),
    /// A buffer that is not in one contiguous range of the driver's memory.
    Buffer {
        /// Descriptor.
        index: u16,
        /// Address of the buffer.
        address: u64,
        /// Length of the buffer, bytes.
        length: u32,
    },
    /// A buffer for the other direction: device-writable in a queue to the device, or the reverse (2.7.5).
    Direction {
        /// Descriptor.
        index: u16,
        /// Flags found.
        flags: u16,
    },
    /// An indirect table, which was not offered (2.7.5.3).
    Indirect {
        /// Descriptor.
        index: u16,
        /// Flags found.
        flags: u16,
    },
    /// A chain too short for a packet's header, or longer than any packet (5.1.6).
    Length {
        /// Head of the chain.
        head: u16,
        /// Sum of its buffers, bytes.
        length: u64,
    },
}

impl core::fmt::Display for RingError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::AvailableIndex { index, seen, size } => {
                write!(f, "available index {index} is more than {size} ahead of {seen}")
            }
            Self::Descriptor(index) => write!(f, "descriptor {index} is beyond the table"),
            Self::Loop(head) => write!(f, "the chain at descriptor {head} loops"),
            Self::Buffer { index, address, length } => {
                write!(f, "descriptor {index}: {length} bytes at {address:#x} are not in memory")
            }
            Self::Direction { index, flags } => {
                write!(f, "descriptor {index} is for the other direction (flags {flags:#x})")
            }
            Self::Indirect { index, flags } => {
                write!(f, "descriptor {index} is indirect, which was not offered (flags {flags:#x})")
            }
            Self::Length { head, length } => {
                write!(f, "the chain at descriptor {head} has {length} bytes")
            }
        }
    }
}

impl core::error::Error for RingError {}

/// The direction in which a queue's buffers carry data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device writes them.
    ToDriver,
    /// The device reads them.
    FromDriver,
}

/// A chain that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Index of its first descriptor, which identifies it in the used ring.
    pub head: u16,
    /// Sum of its buffers, bytes.
    pub length: u64,
}

/// A chain with a single buffer, the usual case.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Index of its descriptor.
    pub head: u16,
    /// Its length, bytes.
    pub length: usize,
    /// Its first byte; null if the chain has more buffers or breaks a rule: then use [`DeviceQueue::peek`].
    pub start: *mut u8,
}

// SAFETY: an address range of shared memory, used by one thread at a time.
unsafe impl Send for Buffer {}

/// The device's end of a queue.
pub struct DeviceQueue {
    parts: Parts,
    direction: Direction,
    event_index: bool,
    /// Index of the next entry of the available ring.
    next_available: u16,
    /// Index of the next entry of the used ring.
    next_used: u16,
    /// The largest number of available chains seen so far.
    peak_waiting: u16,
    /// `next_used` at the last call of [`DeviceQueue::wants_call`].
    call_checked_at: u16,
}

impl DeviceQueue {
    /// The device's end of a queue that continues at entry `next_available` of the available ring, and at the used index in
    /// memory.
    ///
    /// # Safety
    /// The memory of the parts must outlive the queue, and no other device may write the used ring.
    pub unsafe fn new(parts: Parts, direction: Direction, event_index: bool, next_available: u16) -> Self {
        // SAFETY: the ring is there, by the caller's promise.
        let next_used = unsafe { parts.used_index() }.load(Ordering::Acquire);
        Self {
            parts,
            direction,
            event_index,
            next_available,
            next_used,
            peak_waiting: 0,
            call_checked_at: next_used,
        }
    }

    /// Index of the next entry of the available ring.
    pub fn next_available(&self) -> u16 {
        self.next_available
    }

    /// Index of the next entry of the used ring. A device that uses chains in order and has none in progress resumes the
    /// available ring at this index.
    pub fn next_used(&self) -> u16 {
        self.next_used
    }

    /// Continues the available ring after the last chain that was added to the used ring.
    pub fn resume_at_used(&mut self) {
        self.next_available = self.next_used;
    }

    /// Entries of the queue.
    #[inline]
    pub fn size(&self) -> u16 {
        self.parts.size()
    }

    /// Number of available chains that were not taken yet (2.7.6).
    #[inline]
    pub fn waiting(&self) -> Result<u16, RingError> {
        // SAFETY: the ring is there (`new`).
        let index = unsafe { self.parts.available_index() }.load(Ordering::Acquire);
        let (seen, size) = (self.next_available, self.parts.size());
        let waiting = index.wrapping_sub(seen);
        if waiting > size { Err(RingError::AvailableIndex { index, seen, size }) } else { Ok(waiting) }
    }

    /// Whether `waiting`, the number of chains available now, is the largest seen so far. Then the driver has probably made all
    /// its buffers available, and a packet that does not fit into them never will.
    #[inline]
    pub fn is_peak(&mut self, waiting: u16) -> bool {
        self.peak_waiting = self.peak_waiting.max(waiting);
        waiting == self.peak_waiting
    }

    #[inline]
    fn head(&self, ahead: u16) -> u16 {
        let index = self.next_available.wrapping_add(ahead);
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.available_entry(index) }.load(Ordering::Relaxed)
    }

    /// A copy of a descriptor, whole or torn, which is what is checked and used.
    #[inline]
    fn descriptor(&self, index: u16) -> Result<Descriptor, RingError> {
        let descriptor = self.parts.descriptor(index).ok_or(RingError::Descriptor(index))?;
        // SAFETY: the table is there (`new`).
        Ok(unsafe { descriptor.read_volatile() })
    }

    /// Whether the device may use a buffer with these flags.
    #[inline]
    fn may_access(&self, flags: u16) -> bool {
        (flags & DESCRIPTOR_WRITE != 0) == (self.direction == Direction::ToDriver)
    }

    /// Reads the next `count` chains, which must be available: first all their descriptors, then all their buffers, with prefetches,
    /// so that cache misses overlap.
    #[inline]
    pub fn prefetch_chains(
        &self,
        memory: &impl Memory,
        count: u16,
        to: &mut Vec<Buffer>,
    ) -> Result<(), RingError> {
        to.clear();
        for ahead in 0..count {
            let head = self.head(ahead);
            prefetch(self.parts.descriptor(head).ok_or(RingError::Descriptor(head))?.cast());
            to.push(Buffer { head, length: 0, start: core::ptr::null_mut() });
        }
        for buffer in to.iter_mut() {
            let d = self.descriptor(buffer.head)?;
            if d.flags & !DESCRIPTOR_WRITE != 0 || !self.may_access(d.flags) {
                // Several descriptors, or wrong ones: looked at in full when it is its turn.
                continue;
            }
            let Some(start) = memory.translate(d.address, d.length.into()) else { continue };
            let start = start.as_ptr();
            (buffer.start, buffer.length) = (start, d.length as usize);
            // The second line may lie beyond the buffer, which a hint does not mind.
            if self.direction == Direction::ToDriver {
                prefetch_to_write(start);
                prefetch_to_write(start.wrapping_add(64));
            } else {
                prefetch(start);
                prefetch(start.wrapping_add(64));
            }
        }
        Ok(())
    }

    /// Reads the chain that is `ahead` entries after the next one, which must be available, and calls `each` with the start and
    /// length of every buffer (2.7.5). A chain may have as many buffers as the queue has entries. If a buffer breaks a rule,
    /// `each` has already been called for those before it.
    #[inline]
    pub fn peek(
        &self,
        memory: &impl Memory,
        ahead: u16,
        mut each: impl FnMut(NonNull<u8>, usize),
    ) -> Result<Chain, RingError> {
        let head = self.head(ahead);
        let mut index = head;
        let mut length = 0;
        for _ in 0..self.parts.size() {
            let d = self.descriptor(index)?;
            if d.flags & DESCRIPTOR_INDIRECT != 0 {
                return Err(RingError::Indirect { index, flags: d.flags });
            }
            if !self.may_access(d.flags) {
                return Err(RingError::Direction { index, flags: d.flags });
            }
            let outside = RingError::Buffer { index, address: d.address, length: d.length };
            let start = memory.translate(d.address, d.length.into()).ok_or(outside)?;
            each(start, d.length as usize);
            length += u64::from(d.length);
            if d.flags & DESCRIPTOR_NEXT == 0 {
                return Ok(Chain { head, length });
            }
            index = d.next;
        }
        Err(RingError::Loop(head))
    }

    /// Takes the next `count` chains from the available ring.
    #[inline]
    pub fn take(&mut self, count: u16) {
        self.next_available = self.next_available.wrapping_add(count);
    }

    /// Adds a chain to the used ring, with the number of bytes written to it (2.7.8.2). The driver sees it after
    /// [`DeviceQueue::publish`].
    #[inline]
    pub fn add_used(&mut self, head: u16, written: u32) {
        let element = u64::from(head) | u64::from(written) << 32;
        // SAFETY: the ring is there (`new`), aligned to 4 bytes. The driver reads the entry after the index.
        unsafe { self.parts.used_entry(self.next_used).cast::<u64>().write_unaligned(element) };
        self.next_used = self.next_used.wrapping_add(1);
    }

    /// Shows the driver what was given back (2.7.8.2).
    #[inline]
    pub fn publish(&self) {
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.used_index() }.store(self.next_used, Ordering::Release);
    }

    /// Number of chains added to the used ring since the last call of [`DeviceQueue::wants_call`].
    #[inline]
    pub fn unannounced(&self) -> u16 {
        self.next_used.wrapping_sub(self.call_checked_at)
    }

    /// Whether the driver wants a notification of the chains published since the last call of this (2.7.7.2).
    #[inline]
    pub fn wants_call(&mut self) -> bool {
        if self.call_checked_at == self.next_used {
            return false;
        }
        let before = core::mem::replace(&mut self.call_checked_at, self.next_used);
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.driver_events(self.event_index) }.is_wanted(before, self.next_used)
    }

    /// Suppresses notifications by the driver (2.7.10).
    #[inline]
    pub fn disarm(&self) {
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.device_events(self.event_index) }.suppress(self.next_available);
    }

    /// Requests a notification for the next chain after the `seen` ones that were read (2.7.10). Returns whether one is available
    /// already.
    #[inline]
    pub fn arm(&self, seen: u16) -> Result<bool, RingError> {
        let index = self.next_available.wrapping_add(seen);
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.device_events(self.event_index) }.request(index);
        Ok(self.waiting()? > seen)
    }
}

/// Prefetches a cache line for reading.
#[inline]
fn prefetch(at: *const u8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint about any address; it changes nothing.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

/// Prefetches a cache line for writing.
#[inline]
fn prefetch_to_write(at: *const u8) {
    // SAFETY: a hint about any address; it changes nothing.
    unsafe { core::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly)) };
}
