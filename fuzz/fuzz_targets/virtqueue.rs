//! Both sides of a virtqueue against another side that writes anything to the shared memory, at any time.
//!
//! Asserted: a device hands out only buffers that lie in memory, no more in a chain than the queue has descriptors, and
//! writes to its used ring alone; a driver takes back only what is in flight, and writes to the descriptor table and the
//! available ring alone; between a driver and a device that are both honest every buffer comes back once, and a side
//! that sleeps is notified.
#![no_main]

use abi::virtqueue::{available_bytes, descriptors_bytes, used_bytes};
use libfuzzer_sys::fuzz_target;
use std::collections::VecDeque;
use std::ops::Range;
use std::ptr::NonNull;
use virtqueue::{Addresses, DeviceQueue, Direction, DriverQueue, Memory, Parts};

const BASE: u64 = 0x1000;
const LENGTH: u64 = 0x1000;
const AT: Addresses = Addresses { descriptors: BASE, available: BASE + 0x400, used: BASE + 0x600 };

/// Memory that both sides share.
struct Shared(Box<[u128]>);

// SAFETY: the bytes are boxed and reached by raw copies and atomics.
unsafe impl Memory for Shared {
    fn translate(&self, address: u64, length: u64) -> Option<NonNull<u8>> {
        let at = address.checked_sub(BASE)?;
        let fits = at.checked_add(length)? <= LENGTH;
        NonNull::new(self.0.as_ptr().cast_mut().cast::<u8>().wrapping_add(at as usize)).filter(|_| fits)
    }
}

impl Shared {
    fn new(bytes: &[u8]) -> Self {
        let shared = Self(vec![0; LENGTH as usize / 16].into());
        bytes.iter().take(LENGTH as usize).enumerate().for_each(|(at, &byte)| shared.set(at as u64, byte));
        shared
    }

    fn set(&self, at: u64, byte: u8) {
        let place = self.translate(BASE + at % LENGTH, 1).expect("it is inside");
        // SAFETY: inside the memory.
        unsafe { place.as_ptr().write_volatile(byte) };
    }

    fn copy(&self) -> Vec<u8> {
        let start = self.translate(BASE, LENGTH).expect("all of it").as_ptr();
        // SAFETY: nobody writes meanwhile.
        unsafe { std::slice::from_raw_parts(start, LENGTH as usize) }.to_vec()
    }

    /// Has `act` done, which may change only what lies in `allowed`.
    fn bounded<T>(&self, allowed: &[Range<u64>], act: impl FnOnce() -> T) -> T {
        let before = self.copy();
        let result = act();
        for (at, (was, is)) in before.iter().zip(self.copy()).enumerate() {
            let at = BASE + at as u64;
            assert!(*was == is || allowed.iter().any(|range| range.contains(&at)), "{at:#x} was written");
        }
        result
    }
}

/// The input, byte by byte.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes([self.next()?, self.next()?]))
    }

    /// The next call of the queue. What the other side writes into shared memory before it is written.
    fn call(&mut self, shared: &Shared) -> Option<u8> {
        loop {
            let what = self.next()?;
            if what & 0xc0 != 0xc0 {
                return Some(what);
            }
            let (at, byte) = (self.word()?, self.next()?);
            shared.set(at.into(), byte);
        }
    }
}

/// A device whose driver lies.
fn device(shared: &Shared, size: u32, event_index: bool, direction: Direction, input: &mut Input<'_>) {
    let Ok(parts) = Parts::locate(shared, size, AT) else { return };
    // SAFETY: the memory outlives the queue, which is its only device.
    let mut queue = unsafe { DeviceQueue::new(parts, direction, event_index, input.word().unwrap_or(0)) };
    let allowed = [AT.used..AT.used + used_bytes(size)];
    let (first, mut given) = (queue.next_used(), 0u16);
    let mut ahead = Vec::new();
    while let Some(what) = input.call(shared) {
        shared.bounded(&allowed, || {
            let Ok(waiting) = queue.waiting() else { return };
            assert!(u32::from(waiting) <= size);
            match what % 8 {
                0 => queue.disarm(),
                1 => drop(queue.arm(u16::from(what >> 3))),
                2 => {
                    if queue.prefetch_chains(shared, waiting, &mut ahead).is_ok() {
                        for buffer in ahead.iter().filter(|buffer| !buffer.start.is_null()) {
                            let at = buffer.start as u64 - shared.0.as_ptr() as u64;
                            assert!(at + buffer.length as u64 <= LENGTH && u32::from(buffer.head) < size);
                        }
                    }
                }
                3 => {
                    queue.publish();
                    assert_eq!(queue.next_used(), first.wrapping_add(given));
                    queue.wants_call();
                    assert!(queue.unannounced() == 0 && !queue.wants_call());
                }
                _ if waiting > 0 => {
                    let (mut buffers, mut bytes) = (0, 0);
                    let chain = queue.peek(shared, u16::from(what >> 3) % waiting, |start, length| {
                        let at = start.as_ptr() as u64 - shared.0.as_ptr() as u64;
                        assert!(at + length as u64 <= LENGTH, "a buffer outside memory");
                        buffers += 1;
                        bytes += length as u64;
                    });
                    assert!(buffers <= size, "more buffers than descriptors");
                    if let Ok(chain) = chain {
                        assert!(chain.length == bytes && u32::from(chain.head) < size && buffers > 0);
                        queue.take(1);
                        queue.add_used(chain.head, bytes as u32);
                        given = given.wrapping_add(1);
                    }
                }
                _ => {}
            }
        });
    }
}

/// A driver whose device lies.
fn driver(shared: &Shared, size: u32, event_index: bool, input: &mut Input<'_>) {
    let Ok(parts) = Parts::locate(shared, size, AT) else { return };
    // SAFETY: the memory outlives the queue, which is its only driver.
    let mut queue = unsafe { DriverQueue::new(parts, event_index) };
    let allowed = [
        AT.descriptors..AT.descriptors + descriptors_bytes(size),
        AT.available..AT.available + available_bytes(size),
    ];
    while let Some(what) = input.call(shared) {
        shared.bounded(&allowed, || {
            let (flying, broken) = (queue.in_flight(), queue.broken());
            assert!(flying <= queue.size());
            match what % 5 {
                0 => queue.arm(),
                1 => queue.disarm(),
                2 => drop(queue.publish()),
                3 => {
                    // SAFETY: nobody uses the buffer.
                    let id = unsafe { queue.add(BASE, 1, 0) };
                    assert_eq!(id.is_some(), flying < queue.size());
                    assert!(id.is_none_or(|id| usize::from(id) < queue.size()));
                }
                _ => match queue.take() {
                    Some((id, _)) => {
                        assert!(broken.is_none() && usize::from(id) < queue.size());
                        assert_eq!(queue.in_flight() + 1, flying);
                    }
                    None => assert_eq!(queue.in_flight(), flying),
                },
            }
            assert!(broken.is_none() || queue.broken() == broken, "what is broken stays broken");
        });
    }
}

/// Two honest sides: what is added comes back, once, and nobody sleeps through it.
fn pair(shared: &Shared, size: u32, event_index: bool, input: &mut Input<'_>) {
    let Ok(parts) = Parts::locate(shared, size, AT) else { return };
    // SAFETY: the memory outlives both queues, of which each is the only one.
    let (mut driver, mut device) = unsafe {
        (DriverQueue::new(parts, event_index), DeviceQueue::new(parts, Direction::FromDriver, event_index, 0))
    };
    let (mut flying, mut returned, mut seen) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
    let mut added = Vec::new();
    let (mut driver_sleeps, mut device_sleeps) = (false, false);
    while let Some(what) = input.next() {
        let length = u32::from(what);
        match what % 8 {
            0 | 1 => {
                // SAFETY: nobody uses the buffer.
                if let Some(id) = unsafe { driver.add(BASE, length, 0) } {
                    added.push((id, length));
                }
            }
            2 => {
                let (notify, new) = (driver.publish(), !added.is_empty());
                assert!(new || !notify);
                assert!(notify || !new || !device_sleeps, "the device sleeps through a buffer");
                device_sleeps &= !notify;
                flying.extend(added.drain(..));
            }
            3 => {
                assert_eq!(usize::from(device.waiting().expect("the driver is honest")), flying.len());
                if let Some((id, length)) = flying.pop_front() {
                    let chain = device.peek(shared, 0, |_, _| ()).expect("the driver is honest");
                    assert_eq!((chain.head, chain.length), (id, length.into()));
                    device.take(1);
                    device.add_used(id, length);
                    returned.push_back((id, length));
                }
            }
            4 => {
                device.publish();
                let (wanted, new) = (device.wants_call(), !returned.is_empty());
                assert!(new || !wanted);
                assert!(wanted || !new || !driver_sleeps, "the driver sleeps through a buffer");
                driver_sleeps &= !wanted;
                seen.extend(returned.drain(..));
            }
            5 => {
                assert_eq!(driver.has_used(), !seen.is_empty());
                assert_eq!(driver.take(), seen.pop_front());
                assert_eq!(driver.broken(), None);
            }
            6 => {
                if device.arm(0) == Ok(false) {
                    device_sleeps = true;
                }
            }
            _ => {
                driver.arm();
                driver_sleeps = !driver.has_used();
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let Some(kind) = input.next() else { return };
    let (size, event_index) = (1 << (kind >> 2 & 7).min(5), kind & 2 != 0);
    if kind & 0x60 == 0x60 {
        return pair(&Shared::new(&[]), size, event_index, &mut input);
    }
    let first = input.0.len().min(usize::from(kind) << 4);
    let (memory, operations) = input.0.split_at(first);
    let (shared, mut input) = (Shared::new(memory), Input(operations));
    match kind & 0x60 {
        0x00 => device(&shared, size, event_index, Direction::ToDriver, &mut input),
        0x20 => device(&shared, size, event_index, Direction::FromDriver, &mut input),
        _ => driver(&shared, size, event_index, &mut input),
    }
});
