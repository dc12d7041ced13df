//! A driver and a device on the same memory, and a driver that lies.
#![allow(unsafe_code)]

use super::*;
use abi::virtqueue::{
    AVAILABLE_INDEX, AVAILABLE_RING, DESCRIPTOR_INDIRECT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE, Descriptor,
    USED_INDEX, USED_RING, UsedElement,
};
use core::ptr::NonNull;

const BASE: u64 = 0x1000_0000;
const LENGTH: u64 = 0x10000;
const AT: Addresses = Addresses { descriptors: BASE, available: BASE + 0x1000, used: BASE + 0x2000 };
const SIZE: u32 = 8;

/// A guest's memory, leaked.
#[derive(Clone, Copy)]
struct Shared(NonNull<u8>);

// SAFETY: the bytes are leaked, and reached by pointers alone.
unsafe impl Memory for Shared {
    fn translate(&self, address: u64, length: u64) -> Option<NonNull<u8>> {
        let at = address.checked_sub(BASE)?;
        if at.checked_add(length)? > LENGTH {
            return None;
        }
        // SAFETY: inside the bytes.
        Some(unsafe { self.0.add(at as usize) })
    }
}

impl Shared {
    fn new() -> Self {
        Self(NonNull::from(vec![0u128; LENGTH as usize / 16].leak()).cast())
    }

    fn write<T>(&self, address: u64, value: T) {
        let place = self.translate(address, size_of::<T>() as u64).unwrap();
        // SAFETY: inside the bytes.
        unsafe { place.cast::<T>().write_unaligned(value) };
    }

    fn parts(&self) -> Parts {
        Parts::locate(self, SIZE, AT).unwrap()
    }

    fn driver(&self, event_index: bool) -> DriverQueue {
        // SAFETY: the memory is leaked; every test makes one driver.
        unsafe { DriverQueue::new(self.parts(), event_index) }
    }

    fn device(&self, direction: Direction, event_index: bool) -> DeviceQueue {
        // SAFETY: the memory is leaked; every test makes one device at a time.
        unsafe { DeviceQueue::new(self.parts(), direction, event_index, 0) }
    }

    fn descriptor(&self, index: u64, address: u64, length: u32, flags: u16, next: u16) {
        self.write(AT.descriptors + 16 * index, Descriptor { address, length, flags, next });
    }

    /// Makes chains available as a driver does that owes nobody anything.
    fn offer(&self, index: u16, heads: &[u16]) {
        for (slot, &head) in heads.iter().enumerate() {
            self.write(AT.available + AVAILABLE_RING + 2 * slot as u64, head);
        }
        self.write(AT.available + AVAILABLE_INDEX, index);
    }

    fn peek(&self, direction: Direction) -> Result<Chain, RingError> {
        let device = self.device(direction, true);
        assert!(device.waiting()? > 0);
        device.peek(self, 0, |_, _| ())
    }
}

fn add(driver: &mut DriverQueue, buffers: u64) {
    for i in 0..buffers {
        // SAFETY: no test writes to the buffers.
        assert!(unsafe { driver.add(BASE + 0x4000 + i, 1, 0) }.is_some());
    }
}

/// Takes all chains that wait; their heads.
fn take(device: &mut DeviceQueue, memory: &Shared) -> Vec<u16> {
    let count = device.waiting().unwrap();
    let heads = (0..count).map(|ahead| device.peek(memory, ahead, |_, _| ()).unwrap().head).collect();
    device.take(count);
    heads
}

#[test]
fn buffers_come_back_in_any_order_and_indices_wrap() {
    for event_index in [false, true] {
        let memory = Shared::new();
        let (mut driver, mut device) =
            (memory.driver(event_index), memory.device(Direction::FromDriver, event_index));
        for round in 0..20_000 {
            add(&mut driver, SIZE.into());
            // SAFETY: it is not added.
            assert_eq!(unsafe { driver.add(BASE, 1, 0) }, None, "the ring is full");
            driver.publish();
            let mut heads = take(&mut device, &memory);
            assert_eq!(heads.len(), 8);
            heads.rotate_left(round % 8);
            heads.iter().for_each(|&head| device.add_used(head, 64));
            assert!(!driver.has_used(), "nothing is seen before it is published");
            device.publish();
            for &head in &heads {
                assert_eq!(driver.take(), Some((head, 64)));
            }
            assert_eq!((driver.take(), driver.broken()), (None, None));
        }
    }
}

#[test]
fn a_device_is_notified_once_a_batch_and_only_if_it_wants_to_be() {
    for event_index in [false, true] {
        let memory = Shared::new();
        let (mut driver, mut device) =
            (memory.driver(event_index), memory.device(Direction::FromDriver, event_index));
        let batch = |driver: &mut DriverQueue| {
            add(driver, 2);
            (driver.publish(), driver.publish())
        };
        assert_eq!(batch(&mut driver), (true, false));
        take(&mut device, &memory);
        device.disarm();
        assert_eq!(batch(&mut driver), (false, false));
        take(&mut device, &memory);
        assert_eq!(device.arm(0), Ok(false));
        assert_eq!(batch(&mut driver), (true, false));
        assert_eq!(device.arm(1), Ok(true), "a second one waits");
        assert_eq!(device.arm(2), Ok(false));
    }
}

#[test]
fn a_driver_is_notified_only_if_it_wants_to_be() {
    for event_index in [false, true] {
        let memory = Shared::new();
        let (mut driver, mut device) =
            (memory.driver(event_index), memory.device(Direction::FromDriver, event_index));
        add(&mut driver, 8);
        driver.publish();
        let heads = take(&mut device, &memory);
        let one = |device: &mut DeviceQueue, head| {
            device.add_used(head, 1);
            device.publish();
            (device.unannounced(), device.wants_call())
        };
        assert_eq!(one(&mut device, heads[0]), (1, false), "awake");
        while driver.take().is_some() {}
        driver.arm();
        assert!(!driver.has_used());
        assert_eq!(one(&mut device, heads[1]), (1, true), "asleep");
        driver.disarm();
        assert_eq!(one(&mut device, heads[2]), (1, false), "awake again");
        assert!(!device.wants_call(), "nothing is new");
    }
}

#[test]
fn a_device_goes_on_where_the_last_one_stopped() {
    let memory = Shared::new();
    let (mut driver, mut device) = (memory.driver(true), memory.device(Direction::FromDriver, true));
    add(&mut driver, 3);
    driver.publish();
    device.take(2);
    device.add_used(0, 0);
    device.add_used(1, 0);
    device.publish();
    let next = device.next_available();
    // SAFETY: the first device is not used any more.
    let mut device = unsafe { DeviceQueue::new(memory.parts(), Direction::FromDriver, true, next) };
    assert_eq!((device.next_used(), take(&mut device, &memory)), (2, vec![2]));
    device.add_used(2, 7);
    device.publish();
    assert_eq!(core::iter::from_fn(|| driver.take()).last(), Some((2, 7)));
}

#[test]
fn a_device_that_returns_what_it_did_not_get_is_left_alone() {
    for id in [1, 8, u32::MAX] {
        let memory = Shared::new();
        let mut driver = memory.driver(false);
        add(&mut driver, 1);
        driver.publish();
        memory.write(AT.used + USED_RING, UsedElement { id, length: 1 });
        memory.write(AT.used + USED_INDEX, 1u16);
        assert_eq!((driver.take(), driver.broken()), (None, Some(UsedError::NotInFlight(id))));
        assert!(!driver.has_used());
    }
    let memory = Shared::new();
    let mut driver = memory.driver(false);
    memory.write(AT.used + USED_INDEX, 3u16);
    assert_eq!(driver.take(), None);
    assert_eq!(driver.broken(), Some(UsedError::TooManyUsed { returned: 3, in_flight: 0 }));
}

#[test]
fn a_size_that_cannot_be_is_refused() {
    for size in [0, 3, 1 << 16, u32::MAX] {
        assert_eq!(Parts::locate(&Shared::new(), size, AT).unwrap_err(), QueueError::Size(size));
    }
}

#[test]
fn a_queue_outside_memory_or_not_aligned_is_refused() {
    let refused = |at| Parts::locate(&Shared::new(), SIZE, at).unwrap_err();
    let end = BASE + LENGTH;
    assert_eq!(refused(Addresses { descriptors: end - 64, ..AT }), QueueError::Descriptors(end - 64));
    assert_eq!(refused(Addresses { descriptors: BASE + 8, ..AT }), QueueError::Descriptors(BASE + 8));
    assert_eq!(refused(Addresses { available: BASE + 1, ..AT }), QueueError::Available(BASE + 1));
    assert_eq!(refused(Addresses { used: u64::MAX, ..AT }), QueueError::Used(u64::MAX));
}

#[test]
fn a_chain_is_walked() {
    let memory = Shared::new();
    memory.descriptor(3, BASE + 0x3000, 100, DESCRIPTOR_NEXT, 5);
    memory.descriptor(5, BASE + 0x4000, 50, 0, 0);
    memory.offer(1, &[3]);
    assert_eq!(memory.peek(Direction::FromDriver), Ok(Chain { head: 3, length: 150 }));
}

#[test]
fn a_chain_may_be_as_long_as_the_queue() {
    let memory = Shared::new();
    for i in 0..u64::from(SIZE) {
        let flags = if i < 7 { DESCRIPTOR_NEXT } else { 0 };
        memory.descriptor(i, BASE, 1, flags, i as u16 + 1);
    }
    memory.offer(1, &[0]);
    let mut buffers = 0;
    let device = memory.device(Direction::FromDriver, true);
    let chain = device.peek(&memory, 0, |_, _| buffers += 1);
    assert_eq!((chain, buffers), (Ok(Chain { head: 0, length: 8 }), SIZE));
}

#[test]
fn each_broken_rule_has_an_error_of_its_own() {
    let memory = Shared::new();
    memory.offer(9, &[0]);
    let device = memory.device(Direction::FromDriver, true);
    assert_eq!(device.waiting(), Err(RingError::AvailableIndex { index: 9, seen: 0, size: 8 }));
    for (flags, next, error) in [
        (DESCRIPTOR_NEXT, 0, RingError::Loop(0)),
        (DESCRIPTOR_NEXT, 8, RingError::Descriptor(8)),
        (DESCRIPTOR_WRITE, 0, RingError::Direction { index: 0, flags: DESCRIPTOR_WRITE }),
        (DESCRIPTOR_INDIRECT, 0, RingError::Indirect { index: 0, flags: DESCRIPTOR_INDIRECT }),
    ] {
        memory.descriptor(0, BASE, 1, flags, next);
        memory.offer(1, &[0]);
        assert_eq!(memory.peek(Direction::FromDriver), Err(error));
    }
    memory.offer(1, &[8]);
    assert_eq!(memory.peek(Direction::FromDriver), Err(RingError::Descriptor(8)));
    assert_eq!(device.prefetch_chains(&memory, 1, &mut Vec::new()), Err(RingError::Descriptor(8)));
}

#[test]
fn buffers_outside_memory_are_found() {
    for (address, length) in [(0x40_0000, 64), (BASE - 1, 8), (BASE + LENGTH - 1, 2), (u64::MAX - 1, 64)] {
        let memory = Shared::new();
        memory.descriptor(0, address, length, DESCRIPTOR_WRITE, 0);
        memory.offer(1, &[0]);
        let error = RingError::Buffer { index: 0, address, length };
        assert_eq!(memory.peek(Direction::ToDriver), Err(error));
    }
}

#[test]
fn looking_ahead_leaves_what_is_unusual_to_a_full_look() {
    let memory = Shared::new();
    memory.descriptor(0, BASE + 0x3000, 100, 0, 0);
    memory.descriptor(1, BASE + 0x3000, 100, DESCRIPTOR_NEXT, 2);
    memory.descriptor(2, BASE + 0x3000, 100, DESCRIPTOR_WRITE, 0);
    memory.offer(3, &[0, 1, 2]);
    let mut buffers = Vec::new();
    memory.device(Direction::FromDriver, true).prefetch_chains(&memory, 3, &mut buffers).unwrap();
    let seen: Vec<_> = buffers.iter().map(|b| (b.head, b.length, b.start.is_null())).collect();
    assert_eq!(seen, [(0, 100, false), (1, 0, true), (2, 0, true)]);
}
