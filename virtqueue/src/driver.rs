//! The driver's side, with one descriptor for each buffer.
//!
//! It works with and without event index. It checks the device as far as that is free: a used element with a descriptor that is
//! not in flight stops the queue.
#![allow(unsafe_code)]

use crate::parts::Parts;
use abi::virtqueue::{Descriptor, UsedElement};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

/// How a device broke the rules of the used ring. The queue returns no more buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedError {
    /// The used index is further ahead than buffers are in flight.
    TooManyUsed {
        /// Entries of the used ring that were not taken yet.
        returned: u16,
        /// Buffers in flight.
        in_flight: u16,
    },
    /// A used element has a descriptor that is not in flight.
    NotInFlight(u32),
}

impl core::fmt::Display for UsedError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooManyUsed { returned, in_flight } => {
                write!(f, "the device gave back {returned} buffers and had {in_flight}")
            }
            Self::NotInFlight(id) => write!(f, "the device gave back descriptor {id}, which it did not have"),
        }
    }
}

impl core::error::Error for UsedError {}

/// The driver's end of a queue.
pub struct DriverQueue {
    parts: Parts,
    event_index: bool,
    /// Index of the first descriptor that was never used; the memory from there on is untouched.
    first_untouched: u16,
    /// Free descriptors below `first_untouched`.
    free: Vec<u16>,
    /// Index of the next entry of the available ring.
    next_available: u16,
    /// The available index that the device has seen.
    published: u16,
    /// Index of the next entry of the used ring.
    next_used: u16,
    broken: Option<UsedError>,
}

impl DriverQueue {
    /// The driver's end of an empty queue, with notifications suppressed (3.1.1, 2.7.7).
    ///
    /// # Safety
    /// The memory of the parts must outlive the queue, and no other driver may use them.
    pub unsafe fn new(parts: Parts, event_index: bool) -> Self {
        let queue = Self {
            parts,
            event_index,
            first_untouched: 0,
            // All that it can ever hold: nothing is allocated while packets are moved.
            free: Vec::with_capacity(parts.size().into()),
            next_available: 0,
            published: 0,
            next_used: 0,
            broken: None,
        };
        queue.disarm();
        queue
    }

    /// Number of descriptors.
    #[inline]
    pub fn size(&self) -> usize {
        self.parts.size().into()
    }

    /// Number of buffers in flight.
    #[inline]
    pub fn in_flight(&self) -> usize {
        usize::from(self.first_untouched) - self.free.len()
    }

    /// Makes a buffer available; the device sees it after [`DriverQueue::publish`] (2.7.13.1, 2.7.13.2). Returns its descriptor, or
    /// `None` if all descriptors are in flight.
    ///
    /// # Safety
    /// Until [`DriverQueue::take`] returns the buffer, the device may read or write it, as `flags` allow.
    #[inline]
    pub unsafe fn add(&mut self, address: u64, length: u32, flags: u16) -> Option<u16> {
        let id = match self.free.pop() {
            Some(id) => id,
            None if self.first_untouched < self.parts.size() => {
                self.first_untouched += 1;
                self.first_untouched - 1
            }
            None => return None,
        };
        let descriptor = self.parts.descriptor(id)?;
        // SAFETY: the table is there (`new`), and the device does not look at this entry before `publish`.
        unsafe { descriptor.write(Descriptor { address, length, flags, next: 0 }) };
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.available_entry(self.next_available) }.store(id, Ordering::Relaxed);
        self.next_available = self.next_available.wrapping_add(1);
        Some(id)
    }

    /// Publishes the added buffers. Returns whether the device wants a notification (2.7.13.3, 2.7.13.4).
    #[inline]
    pub fn publish(&mut self) -> bool {
        let before = core::mem::replace(&mut self.published, self.next_available);
        if before == self.next_available {
            return false;
        }
        // SAFETY: the rings are there (`new`).
        unsafe {
            self.parts.available_index().store(self.next_available, Ordering::Release);
            self.parts.device_events(self.event_index).is_wanted(before, self.next_available)
        }
    }

    /// Number of entries in the used ring that were not taken yet.
    #[inline]
    fn used_waiting(&self) -> u16 {
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.used_index() }.load(Ordering::Acquire).wrapping_sub(self.next_used)
    }

    /// Whether there is a used buffer to take.
    #[inline]
    pub fn has_used(&self) -> bool {
        self.broken.is_none() && self.used_waiting() != 0
    }

    /// Takes the next used buffer: its descriptor, and the number of bytes that the device claims to have written (2.7.14), which
    /// may be more than the buffer has. A hostile device may return a descriptor twice while others are in flight. The owner of
    /// the buffers must detect this and call [`DriverQueue::mark_broken`].
    #[inline]
    pub fn take(&mut self) -> Option<(u16, u32)> {
        if self.broken.is_some() {
            return None;
        }
        let returned = self.used_waiting();
        if returned == 0 {
            return None;
        }
        let in_flight = self.in_flight();
        if usize::from(returned) > in_flight {
            self.broken = Some(UsedError::TooManyUsed { returned, in_flight: in_flight as u16 });
            return None;
        }
        // SAFETY: the ring is there (`new`); the device has written the entry before it moved the index.
        let UsedElement { id, length } = unsafe { self.parts.used_entry(self.next_used).read_volatile() };
        if id >= self.first_untouched.into() {
            self.broken = Some(UsedError::NotInFlight(id));
            return None;
        }
        self.next_used = self.next_used.wrapping_add(1);
        self.free.push(id as u16);
        Some((id as u16, length))
    }

    /// Stops the queue, because the device returned descriptor `id`, which was not in flight.
    pub fn mark_broken(&mut self, id: u16) {
        self.broken = Some(UsedError::NotInFlight(id.into()));
    }

    /// The rule that the device broke, if it did.
    pub fn broken(&self) -> Option<UsedError> {
        self.broken
    }

    /// Requests a notification for the next used buffer (2.7.7). Check [`DriverQueue::has_used`] once more before sleeping.
    #[inline]
    pub fn arm(&self) {
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.driver_events(self.event_index) }.request(self.next_used);
    }

    /// Suppresses notifications (2.7.7).
    #[inline]
    pub fn disarm(&self) {
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.driver_events(self.event_index) }.suppress(self.next_used);
    }
}
