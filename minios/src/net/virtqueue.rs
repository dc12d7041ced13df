//! The driver's side of a split virtqueue (virtio 1.2 section 2.7): one descriptor a buffer.
//!
//! Works with and without event index. The device is trusted as little as costs nothing: a used element that names
//! no buffer in flight stops the queue.
#![allow(unsafe_code)]

use abi::boot::Queue;
use abi::net::FEATURE_EVENT_IDX;
use abi::virtqueue::{
    AVAILABLE_FLAGS, AVAILABLE_INDEX, AVAILABLE_RING, Descriptor, SIZE_MAXIMUM, USED_FLAGS, USED_INDEX,
    USED_RING, UsedElement, available_event, used_event,
};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU16, Ordering, fence};

/// A queue of buffers in flight.
pub struct Virtqueue {
    descriptors: *mut Descriptor,
    available: *mut u8,
    used: *mut u8,
    size: u16,
    event_index: bool,
    doorbell: u32,
    bell: fn(u32),
    /// Descriptors from here on were never in use: their memory is untouched.
    fresh: u16,
    /// Descriptors that were in use and are free again.
    free: Vec<u16>,
    /// Next index of the available ring, and how far the device was shown it.
    next: u16,
    published: u16,
    /// Next index of the used ring to look at.
    seen: u16,
    broken: bool,
}

impl Virtqueue {
    /// The driver's side of an empty queue; `bell` rings its doorbell. `None` if its size cannot be.
    ///
    /// # Safety
    /// The three parts lie where `queue` says, writable, for good, and no other driver uses them.
    pub unsafe fn new(queue: &Queue, features: u64, bell: fn(u32)) -> Option<Self> {
        if !queue.size.is_power_of_two() || queue.size > SIZE_MAXIMUM {
            return None;
        }
        let driver = Self {
            descriptors: queue.descriptors as *mut Descriptor,
            available: queue.available as *mut u8,
            used: queue.used as *mut u8,
            size: queue.size as u16,
            event_index: features & FEATURE_EVENT_IDX != 0,
            doorbell: queue.doorbell,
            bell,
            fresh: 0,
            free: Vec::new(),
            next: 0,
            published: 0,
            seen: 0,
            broken: false,
        };
        driver.disarm();
        Some(driver)
    }

    fn word(&self, base: *mut u8, offset: u64) -> &AtomicU16 {
        // SAFETY: `new` was promised both rings, and all offsets used are those of their words.
        unsafe { &*base.add(offset as usize).cast::<AtomicU16>() }
    }

    /// Number of descriptors.
    pub fn size(&self) -> usize {
        self.size.into()
    }

    /// Buffers in flight.
    pub fn in_flight(&self) -> usize {
        usize::from(self.fresh) - self.free.len()
    }

    /// Makes a buffer available, which the device sees at [`Virtqueue::publish`]; the answer is the descriptor that
    /// names it, or `None` if all are in flight.
    ///
    /// # Safety
    /// The device may use the buffer as `flags` say until it comes back from [`Virtqueue::take`].
    pub unsafe fn add(&mut self, address: u64, length: u32, flags: u16) -> Option<u16> {
        let id = match self.free.pop() {
            Some(id) => id,
            None if self.fresh < self.size => {
                self.fresh += 1;
                self.fresh - 1
            }
            None => return None,
        };
        // SAFETY: `id` and the slot are below the size of the table and ring that `new` was promised; the device
        // looks at neither before `publish`.
        unsafe {
            self.descriptors.add(id.into()).write(Descriptor { address, length, flags, next: 0 });
        }
        let slot = u64::from(self.next & (self.size - 1));
        self.word(self.available, AVAILABLE_RING + 2 * slot).store(id, Ordering::Relaxed);
        self.next = self.next.wrapping_add(1);
        Some(id)
    }

    /// Shows the device what was added, and rings if it wants to know (2.7.13.3, 2.7.10).
    pub fn publish(&mut self) {
        let before = core::mem::replace(&mut self.published, self.next);
        if before == self.next {
            return;
        }
        self.word(self.available, AVAILABLE_INDEX).store(self.next, Ordering::Release);
        // The index must be visible before the device's wishes are read, or both sides fall asleep.
        fence(Ordering::SeqCst);
        let wanted = if self.event_index {
            let event = self.word(self.used, available_event(self.size.into())).load(Ordering::Relaxed);
            crossed(event, before, self.next)
        } else {
            self.word(self.used, USED_FLAGS).load(Ordering::Relaxed) & 1 == 0
        };
        if wanted {
            (self.bell)(self.doorbell);
        }
    }

    /// How many buffers have come back.
    fn returned(&self) -> u16 {
        self.word(self.used, USED_INDEX).load(Ordering::Acquire).wrapping_sub(self.seen)
    }

    /// Whether a buffer has come back.
    pub fn has_used(&self) -> bool {
        !self.broken && self.returned() != 0
    }

    /// The next buffer that has come back: its descriptor, and the bytes that the device wrote.
    pub fn take(&mut self) -> Option<(u16, u32)> {
        if !self.has_used() {
            return None;
        }
        let slot = usize::from(self.seen & (self.size - 1));
        // SAFETY: the slot is below the size of the ring that `new` was promised; the device has written it before
        // it moved the index that `returned` has read.
        let UsedElement { id, length } =
            unsafe { self.used.add(USED_RING as usize).cast::<UsedElement>().add(slot).read_volatile() };
        if usize::from(self.returned()) > self.in_flight() || id >= self.fresh.into() {
            self.broken = true;
            return None;
        }
        self.seen = self.seen.wrapping_add(1);
        self.free.push(id as u16);
        Some((id as u16, length))
    }

    /// The device has named a buffer that it did not have: nothing more is taken from it.
    pub fn break_off(&mut self) {
        self.broken = true;
    }

    /// Whether the device broke the rules of the ring.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Asks for a wake-up at the next buffer that comes back. Look at [`Virtqueue::has_used`] once more before
    /// sleeping.
    pub fn arm(&self) {
        if self.event_index {
            self.word(self.available, used_event(self.size.into())).store(self.seen, Ordering::Relaxed);
        } else {
            self.word(self.available, AVAILABLE_FLAGS).store(0, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }

    /// No wake-ups are wanted.
    pub fn disarm(&self) {
        if self.event_index {
            // An index just passed is not reached again for 65,535 buffers.
            let passed = self.seen.wrapping_sub(1);
            self.word(self.available, used_event(self.size.into())).store(passed, Ordering::Relaxed);
        } else {
            self.word(self.available, AVAILABLE_FLAGS).store(1, Ordering::Relaxed);
        }
    }
}

/// Whether `event` lies in the entries `before..after` (2.7.7.1, 2.7.10.1).
fn crossed(event: u16, before: u16, after: u16) -> bool {
    after.wrapping_sub(event).wrapping_sub(1) < after.wrapping_sub(before)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use abi::virtqueue::{available_bytes, descriptors_bytes, used_bytes};
    use std::cell::Cell;

    thread_local!(pub(crate) static RUNG: Cell<u32> = const { Cell::new(0) });

    /// A queue's memory with a device that obeys the standard, word by word.
    pub(crate) struct Model {
        pub queue: Queue,
        event_index: bool,
        next_available: u16,
        next_used: u16,
    }

    impl Model {
        pub fn new(size: u32, features: u64) -> Self {
            let leak = |bytes: u64| vec![0u128; bytes.div_ceil(16) as usize + 1].leak().as_ptr() as u64;
            let queue = Queue {
                descriptors: leak(descriptors_bytes(size)),
                available: leak(available_bytes(size)),
                used: leak(used_bytes(size)),
                size,
                doorbell: 1,
            };
            RUNG.set(0);
            Self { queue, event_index: features & FEATURE_EVENT_IDX != 0, next_available: 0, next_used: 0 }
        }

        pub fn driver(&self, features: u64) -> Virtqueue {
            // SAFETY: the parts are leaked, and every test makes one driver.
            unsafe { Virtqueue::new(&self.queue, features, |_| RUNG.set(RUNG.get() + 1)) }.unwrap()
        }

        fn word(&self, address: u64) -> &AtomicU16 {
            // SAFETY: addresses are those of the leaked parts' words.
            unsafe { &*(address as *const AtomicU16) }
        }

        /// Takes the next available buffer.
        pub fn pop(&mut self) -> Option<(u16, Descriptor)> {
            if self.word(self.queue.available + AVAILABLE_INDEX).load(Ordering::Acquire)
                == self.next_available
            {
                return None;
            }
            let slot = u64::from(self.next_available) % u64::from(self.queue.size);
            let id = self.word(self.queue.available + AVAILABLE_RING + 2 * slot).load(Ordering::Relaxed);
            self.next_available = self.next_available.wrapping_add(1);
            // SAFETY: inside the leaked table.
            Some((id, unsafe { (self.queue.descriptors as *const Descriptor).add(id.into()).read() }))
        }

        /// Gives a buffer back; whether the driver wants to be woken.
        pub fn push(&mut self, id: u32, length: u32) -> bool {
            let slot = usize::from(self.next_used) % self.queue.size as usize;
            // SAFETY: inside the leaked ring.
            unsafe {
                ((self.queue.used + USED_RING) as *mut UsedElement)
                    .add(slot)
                    .write(UsedElement { id, length });
            }
            let before = self.next_used;
            self.next_used = before.wrapping_add(1);
            self.word(self.queue.used + USED_INDEX).store(self.next_used, Ordering::Release);
            if self.event_index {
                let event =
                    self.word(self.queue.available + used_event(self.queue.size)).load(Ordering::Relaxed);
                crossed(event, before, self.next_used)
            } else {
                self.word(self.queue.available).load(Ordering::Relaxed) & 1 == 0
            }
        }

        /// Says whether the device wants to be rung for new buffers.
        pub fn wants_bell(&mut self, wants: bool) {
            if self.event_index {
                let event = if wants { self.next_available } else { self.next_available.wrapping_sub(1) };
                self.word(self.queue.used + available_event(self.queue.size)).store(event, Ordering::Relaxed);
            } else {
                self.word(self.queue.used).store(u16::from(!wants), Ordering::Relaxed);
            }
        }
    }

    fn add(driver: &mut Virtqueue, buffers: usize) {
        for _ in 0..buffers {
            // SAFETY: the model does not use the address.
            assert!(unsafe { driver.add(0, 1, 0) }.is_some());
        }
    }

    const BOTH: [u64; 2] = [0, FEATURE_EVENT_IDX];

    #[test]
    fn buffers_come_back_in_any_order_and_indices_wrap() {
        for features in BOTH {
            let mut device = Model::new(8, features);
            let mut driver = device.driver(features);
            for round in 0..20_000u64 {
                for i in 0..8 {
                    // SAFETY: nothing uses the addresses.
                    assert!(unsafe { driver.add(round * 8 + i, 64, 0) }.is_some());
                }
                // SAFETY: as above.
                assert_eq!(unsafe { driver.add(0, 64, 0) }, None, "the ring is full");
                driver.publish();
                let mut taken: Vec<_> = std::iter::from_fn(|| device.pop()).collect();
                assert_eq!(taken.len(), 8);
                taken.rotate_left(round as usize % 8);
                for &(id, _) in &taken {
                    device.push(id.into(), 64);
                }
                for &(id, _) in &taken {
                    assert_eq!(driver.take(), Some((id, 64)));
                }
                assert_eq!(driver.take(), None);
            }
        }
    }

    #[test]
    fn the_doorbell_rings_once_a_batch_and_only_if_wanted() {
        for features in BOTH {
            let mut device = Model::new(8, features);
            let mut driver = device.driver(features);
            let batch = |driver: &mut Virtqueue| {
                add(driver, 2);
                driver.publish();
                driver.publish();
                RUNG.replace(0)
            };
            assert_eq!(batch(&mut driver), 1);
            while device.pop().is_some() {}
            device.wants_bell(false);
            assert_eq!(batch(&mut driver), 0);
            while device.pop().is_some() {}
            device.wants_bell(true);
            assert_eq!(batch(&mut driver), 1);
        }
    }

    #[test]
    fn a_wake_up_comes_only_to_who_has_armed() {
        for features in BOTH {
            let mut device = Model::new(8, features);
            let mut driver = device.driver(features);
            add(&mut driver, 8);
            driver.publish();
            assert!(!device.push(0, 1), "awake");
            while driver.take().is_some() {}
            driver.arm();
            assert!(!driver.has_used());
            assert!(device.push(1, 1), "asleep");
            driver.disarm();
            assert!(!device.push(2, 1), "awake again");
        }
    }

    #[test]
    fn a_device_that_returns_what_it_did_not_get_is_left_alone() {
        for id in [1, 8, u32::MAX] {
            let mut device = Model::new(8, 0);
            let mut driver = device.driver(0);
            // SAFETY: nothing uses the address.
            unsafe { driver.add(0, 1, 0) };
            driver.publish();
            device.push(id, 1);
            assert_eq!(driver.take(), None);
            assert!(driver.is_broken() && !driver.has_used());
        }
        let mut device = Model::new(8, 0);
        let mut driver = device.driver(0);
        for _ in 0..3 {
            device.push(0, 1);
        }
        assert_eq!(driver.take(), None);
        assert!(driver.is_broken());
    }

    #[test]
    fn a_size_that_cannot_be_is_refused() {
        for size in [0, 3, 1 << 16] {
            let queue = Queue { size, ..Queue::default() };
            // SAFETY: refused before anything is touched.
            assert!(unsafe { Virtqueue::new(&queue, 0, |_| ()) }.is_none());
        }
    }
}
