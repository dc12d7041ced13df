//! The driver's side: one descriptor a buffer.
//!
//! Works with and without event index. The device is trusted as little as costs nothing: a used element that names no
//! buffer in flight stops the queue.
#![allow(unsafe_code)]

use crate::parts::Parts;
use abi::virtqueue::{Descriptor, UsedElement};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

/// How a device broke the rules of the used ring. Nothing more is taken from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedError {
    /// It claims to have used more buffers than it has.
    TooManyUsed {
        /// Buffers that it says it gave back and that were not taken yet.
        returned: u16,
        /// Buffers that it has.
        in_flight: u16,
    },
    /// It named a descriptor that was never made available, or is not now.
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

/// A queue of buffers in flight.
pub struct DriverQueue {
    parts: Parts,
    event_index: bool,
    /// Descriptors from here on were never in use: their memory is untouched.
    first_untouched: u16,
    /// Descriptors that were in use and are free again.
    free: Vec<u16>,
    /// Index of the next entry of the available ring.
    next_available: u16,
    /// How far the device was shown the available ring.
    published: u16,
    /// Index of the next entry of the used ring to look at.
    next_used: u16,
    broken: Option<UsedError>,
}

impl DriverQueue {
    /// The driver's side of an empty queue, which wants no notifications (3.1.1, 2.7.7).
    ///
    /// # Safety
    /// The memory that the parts were found in stays as long as the queue, and no other driver uses them.
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

    /// Buffers that the device has.
    #[inline]
    pub fn in_flight(&self) -> usize {
        usize::from(self.first_untouched) - self.free.len()
    }

    /// Makes a buffer available, which the device sees at [`DriverQueue::publish`] (2.7.13.1, 2.7.13.2). The answer is
    /// the descriptor that names it, or `None` if all are in flight.
    ///
    /// # Safety
    /// The device may use the buffer as `flags` say until it comes back from [`DriverQueue::take`].
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

    /// Shows the device what was added; whether it wants to be notified of it (2.7.13.3, 2.7.13.4).
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

    /// How many buffers have come back and were not taken.
    #[inline]
    fn used_waiting(&self) -> u16 {
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.used_index() }.load(Ordering::Acquire).wrapping_sub(self.next_used)
    }

    /// Whether a buffer has come back.
    #[inline]
    pub fn has_used(&self) -> bool {
        self.broken.is_none() && self.used_waiting() != 0
    }

    /// The next buffer that has come back: its descriptor, and the bytes that the device wrote (2.7.14), which may be
    /// more than the buffer has. A device that lies may name a descriptor twice while others are in flight: the owner,
    /// who has the buffers, finds that out and calls [`DriverQueue::mark_broken`].
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

    /// Stops the queue: the owner of the buffers knows that the device did not have this one.
    pub fn mark_broken(&mut self, id: u16) {
        self.broken = Some(UsedError::NotInFlight(id.into()));
    }

    /// How the device broke the rules of the ring, if it did.
    pub fn broken(&self) -> Option<UsedError> {
        self.broken
    }

    /// Asks for a notification at the next buffer that comes back (2.7.7). Look at [`DriverQueue::has_used`] once more
    /// before sleeping.
    #[inline]
    pub fn arm(&self) {
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.driver_events(self.event_index) }.request(self.next_used);
    }

    /// Asks for no notifications (2.7.7).
    #[inline]
    pub fn disarm(&self) {
        // SAFETY: the ring is there (`new`).
        unsafe { self.parts.driver_events(self.event_index) }.suppress(self.next_used);
    }
}
