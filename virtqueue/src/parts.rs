//! The three parts of a queue, and their words.
#![allow(unsafe_code)]

use crate::memory::Memory;
use crate::notification::Notification;
use abi::virtqueue::{
    AVAILABLE_FLAGS, AVAILABLE_INDEX, AVAILABLE_RING, Descriptor, SIZE_MAXIMUM, USED_FLAGS, USED_INDEX,
    USED_RING, UsedElement, available_bytes, available_event, descriptors_bytes, used_bytes, used_event,
};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU16;

/// Addresses of a queue's parts, in the address space of its [`Memory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Descriptor table (2.7.5).
    pub descriptors: u64,
    /// Available ring (2.7.6).
    pub available: u64,
    /// Used ring (2.7.8).
    pub used: u64,
}

impl From<&abi::boot::Queue> for Addresses {
    fn from(queue: &abi::boot::Queue) -> Self {
        Self { descriptors: queue.descriptors, available: queue.available, used: queue.used }
    }
}

/// Why a queue cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// A size that is no power of two, or beyond 32,768 (2.7).
    Size(u32),
    /// A descriptor table outside memory, or not aligned to 16 bytes (2.7.1).
    Descriptors(u64),
    /// An available ring outside memory, or not aligned to 2 bytes.
    Available(u64),
    /// A used ring outside memory, or not aligned to 4 bytes.
    Used(u64),
}

impl core::fmt::Display for QueueError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (part, address) = match self {
            Self::Size(size) => {
                return write!(
                    f,
                    "a queue of {size} entries: the size must be a power of two up to {SIZE_MAXIMUM}"
                );
            }
            Self::Descriptors(address) => ("descriptor table", address),
            Self::Available(address) => ("available ring", address),
            Self::Used(address) => ("used ring", address),
        };
        write!(f, "the {part} at {address:#x} is not aligned or not in memory")
    }
}

impl core::error::Error for QueueError {}

/// A queue's size, and the addresses of its parts in this program.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    descriptors: *mut Descriptor,
    available: *mut u8,
    used: *mut u8,
    /// Entries of the queue: a power of two, 32,768 at most.
    size: u16,
}

// SAFETY: addresses of shared memory; any thread may use them, one at a time.
unsafe impl Send for Parts {}

impl Parts {
    /// Looks up the parts of a queue of `size` entries, and checks their alignment (2.7.1).
    pub fn locate(memory: &impl Memory, size: u32, at: Addresses) -> Result<Self, QueueError> {
        if !size.is_power_of_two() || size > SIZE_MAXIMUM {
            return Err(QueueError::Size(size));
        }
        let place = |address: u64, bytes: u64, align: usize| {
            let start = memory.translate(address, bytes).map(NonNull::as_ptr);
            start.filter(|start| start.addr().is_multiple_of(align))
        };
        let Addresses { descriptors, available, used } = at;
        let table = place(descriptors, descriptors_bytes(size), align_of::<Descriptor>());
        Ok(Self {
            descriptors: table.ok_or(QueueError::Descriptors(descriptors))?.cast(),
            available: place(available, available_bytes(size), 2).ok_or(QueueError::Available(available))?,
            used: place(used, used_bytes(size), 4).ok_or(QueueError::Used(used))?,
            size: size as u16,
        })
    }

    /// Entries of the queue.
    #[inline]
    pub fn size(&self) -> u16 {
        self.size
    }

    /// The entry of a ring for `index`.
    #[inline]
    fn slot(&self, index: u16) -> u64 {
        (index & (self.size - 1)).into()
    }

    /// # Safety
    /// The ring is there (see [`Parts::locate`]), and `offset` is that of one of its words.
    #[inline]
    unsafe fn word(&self, ring: *mut u8, offset: u64) -> &AtomicU16 {
        // SAFETY: inside the ring by the caller's promise, and even. Both sides access the word atomically.
        unsafe { AtomicU16::from_ptr(ring.add(offset as usize).cast()) }
    }

    /// `idx` of the available ring (2.7.6).
    ///
    /// # Safety
    /// As for all of these: the memory that the parts were found in is still there.
    #[inline]
    pub(crate) unsafe fn available_index(&self) -> &AtomicU16 {
        // SAFETY: the index lies in every ring.
        unsafe { self.word(self.available, AVAILABLE_INDEX) }
    }

    /// The entry of the available ring for `index` (2.7.6).
    ///
    /// # Safety
    /// See [`Parts::available_index`].
    #[inline]
    pub(crate) unsafe fn available_entry(&self, index: u16) -> &AtomicU16 {
        // SAFETY: a slot is below the size.
        unsafe { self.word(self.available, AVAILABLE_RING + 2 * self.slot(index)) }
    }

    /// `idx` of the used ring (2.7.8).
    ///
    /// # Safety
    /// See [`Parts::available_index`].
    #[inline]
    pub(crate) unsafe fn used_index(&self) -> &AtomicU16 {
        // SAFETY: the index lies in every ring.
        unsafe { self.word(self.used, USED_INDEX) }
    }

    /// The entry of the used ring for `index` (2.7.8).
    #[inline]
    pub(crate) fn used_entry(&self, index: u16) -> *mut UsedElement {
        self.used.wrapping_add((USED_RING + 8 * self.slot(index)) as usize).cast()
    }

    /// Descriptor `index` (2.7.5), if there is one.
    #[inline]
    pub(crate) fn descriptor(&self, index: u16) -> Option<*mut Descriptor> {
        (index < self.size).then(|| self.descriptors.wrapping_add(index.into()))
    }

    /// The words by which the driver requests notifications of used buffers (2.7.7).
    ///
    /// # Safety
    /// See [`Parts::available_index`].
    #[inline]
    pub(crate) unsafe fn driver_events(&self, event_index: bool) -> Notification<'_> {
        // SAFETY: both words lie in the ring, `used_event` at its end.
        unsafe {
            let flags = self.word(self.available, AVAILABLE_FLAGS);
            let event = self.word(self.available, used_event(self.size.into()));
            Notification { flags, event, event_index }
        }
    }

    /// The words by which the device requests notifications of available buffers (2.7.10).
    ///
    /// # Safety
    /// See [`Parts::available_index`].
    #[inline]
    pub(crate) unsafe fn device_events(&self, event_index: bool) -> Notification<'_> {
        // SAFETY: both words lie in the ring, `avail_event` at its end.
        unsafe {
            let flags = self.word(self.used, USED_FLAGS);
            let event = self.word(self.used, available_event(self.size.into()));
            Notification { flags, event, event_index }
        }
    }
}
