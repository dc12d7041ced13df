//! The device's side: chains are looked at, taken, and given back as used. Every index, address and length is checked
//! each time it is read, since the driver may have changed it meanwhile.
//!
//! A device looks at chains ([`DeviceQueue::peek`], or [`DeviceQueue::prefetch_chains`] for many), passes those that it
//! uses ([`DeviceQueue::take`]), gives each back when it is done with it ([`DeviceQueue::add_used`]), shows the driver
//! all of that at once ([`DeviceQueue::publish`]) and asks whether the driver wants to know
//! ([`DeviceQueue::wants_call`]). A packet over several chains (`VIRTIO_NET_F_MRG_RXBUF`) looks at each of them before
//! it takes any.
#![allow(unsafe_code)]

use crate::memory::Memory;
use crate::parts::Parts;
use abi::virtqueue::{DESCRIPTOR_INDIRECT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE, Descriptor};
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

/// How a driver broke the rules of its queue. The queue is of no use afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// The available index is further ahead than the queue is long (2.7.6).
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
    /// A buffer that is not all in one piece of the driver's memory.
    Buffer {
        /// Descriptor.
        index: u16,
        /// Its address.
        address: u64,
        /// Its length, bytes.
        length: u32,
    },
    /// A buffer for the other direction: the device reads what was to be written, or the other way round (2.7.5).
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

/// Which way a queue's buffers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device writes them.
    ToDriver,
    /// The device reads them.
    FromDriver,
}

/// A chain that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Index of its first descriptor: its name in the used ring.
    pub head: u16,
    /// Sum of its buffers, bytes.
    pub length: u64,
}

/// A chain of one buffer, as most are.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Index of its descriptor.
    pub head: u16,
    /// Its length, bytes.
    pub length: usize,
    /// Its first byte; null where the chain has more buffers or breaks a rule, so that [`DeviceQueue::peek`] has to
    /// look at it in full.
    pub start: *mut u8,
}

// SAFETY: an address range of shared memory, used by one thread at a time.
unsafe impl Send for Buffer {}

/// A queue at work.
pub struct DeviceQueue {
    parts: Parts,
    direction: Direction,
    event_index: bool,
    /// Index of the next entry of the available ring.
    next_available: u16,
    /// Index of the next entry of the used ring.
    next_used: u16,
    /// The most chains that were seen waiting at a time.
    peak_waiting: u16,
    /// `next_used` when the driver was last asked whether it wants to know.
    call_checked_at: u16,
}

impl DeviceQueue {
    /// The device's side of a queue, to go on at the entry `next_available` of the available ring. The used ring says
    /// how far it is itself.
    ///
    /// # Safety
    /// The memory that the parts were found in stays as long as the queue, and no other device writes the used ring.
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

    /// Index of the next entry of the available ring: where to go on later.
    pub fn next_available(&self) -> u16 {
        self.next_available
    }

    /// Index of the next entry of the used ring. A device that uses chains in order and has none in hand resumes the
    /// available ring here.
    pub fn next_used(&self) -> u16 {
        self.next_used
    }

    /// Goes on with the chain behind the last one that was given back.
    pub fn resume_at_used(&mut self) {
        self.next_available = self.next_used;
    }

    /// Entries of the queue.
    #[inline]
    pub fn size(&self) -> u16 {
        self.parts.size()
    }

    /// How many chains the driver has made available that were not taken (2.7.6).
    #[inline]
    pub fn waiting(&self) -> Result<u16, RingError> {
        // SAFETY: the ring is there (`new`).
        let index = unsafe { self.parts.available_index() }.load(Ordering::Acquire);
        let (seen, size) = (self.next_available, self.parts.size());
        let waiting = index.wrapping_sub(seen);
        if waiting > size { Err(RingError::AvailableIndex { index, seen, size }) } else { Ok(waiting) }
    }

    /// Whether `waiting` chains, which wait now, are as many as have ever been seen to: then the driver has none in hand, and
    /// what does not fit into these never will.
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

    /// Looks at the next `count` chains, which must be waiting: first at all their descriptors, then at all their
    /// buffers, so that what lies in the other side's cache arrives while the next is asked for.
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

    /// Looks at the chain `ahead` places beyond the next one, which must be waiting, and hands each of its buffers to
    /// `each`: start and length (2.7.5). A chain may have as many buffers as the queue has entries. If it breaks a
    /// rule, `each` has been handed those before.
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

    /// Passes chains that were looked at.
    #[inline]
    pub fn take(&mut self, count: u16) {
        self.next_available = self.next_available.wrapping_add(count);
    }

    /// Gives a chain back, `written` bytes filled in (2.7.8.2). The driver sees nothing before
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

    /// How many chains were given back since the driver was last asked whether it wants to be notified.
    #[inline]
    pub fn unannounced(&self) -> u16 {
        self.next_used.wrapping_sub(self.call_checked_at)
    }

    /// Whether the driver wants to be notified of what was published since it was last asked (2.7.7.2).
    #[inline]
    pub fn wants_call(&mut self) -> bool {
        if self.call_checked_at == self.next_used {
            return false;
        }
        let before = core::mem::replace(&mut self.call_checked_at, self.next_used);
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.driver_events(self.event_index) }.is_wanted(before, self.next_used)
    }

    /// Tells the driver not to notify (2.7.10).
    #[inline]
    pub fn disarm(&self) {
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.device_events(self.event_index) }.suppress(self.next_available);
    }

    /// Asks the driver to notify at the next chain beyond the `seen` that were looked at (2.7.10); whether one is
    /// there already.
    #[inline]
    pub fn arm(&self, seen: u16) -> Result<bool, RingError> {
        let index = self.next_available.wrapping_add(seen);
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.device_events(self.event_index) }.request(index);
        Ok(self.waiting()? > seen)
    }
}

/// Asks for a cache line that will be read.
#[inline]
fn prefetch(at: *const u8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint about any address; it changes nothing.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

/// Asks for a cache line that will be written.
#[inline]
fn prefetch_to_write(at: *const u8) {
    // SAFETY: a hint about any address; it changes nothing.
    unsafe { core::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly)) };
}
