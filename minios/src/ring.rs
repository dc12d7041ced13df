//! The guest's ends of the control ring's two byte streams ([`abi::control`]).
#![allow(unsafe_code)]

use abi::boot::Range;
use abi::control::RingPositions;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering, fence};

/// What both ends share.
struct Stream {
    positions: *mut RingPositions,
    bytes: *mut u8,
    size: u32,
    /// The position that is this side's to write, as it is in memory or will be once published.
    mine: u32,
}

impl Stream {
    const fn none() -> Self {
        Self { positions: core::ptr::null_mut(), bytes: core::ptr::null_mut(), size: 0, mine: 0 }
    }

    unsafe fn new(positions: *mut RingPositions, bytes: Range) -> Self {
        let size = u32::try_from(bytes.length).unwrap_or(0);
        let size = if size.is_power_of_two() { size } else { 0 };
        Self { positions, bytes: bytes.base as *mut u8, size, mine: 0 }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `new` was promised that the positions are there and stay; a stream of size 0 is never asked.
        unsafe { &*self.positions.cast::<u8>().add(offset).cast::<AtomicU32>() }
    }

    /// How far the pointer to stream byte `at` may run before the ring's end.
    fn place(&self, at: u32) -> (*mut u8, usize) {
        let start = at & (self.size - 1);
        // SAFETY: `start < size`, and the ring's bytes are there (`new`).
        (unsafe { self.bytes.add(start as usize) }, (self.size - start) as usize)
    }
}

/// Guest to monitor.
pub struct Producer(Stream);

// SAFETY: the pointers name memory that is this side's alone to write, wherever the value is moved.
unsafe impl Send for Producer {}

impl Producer {
    /// A producer with nowhere to put anything.
    pub const fn none() -> Self {
        Self(Stream::none())
    }

    /// The producer's end of a stream, at its start.
    ///
    /// # Safety
    /// Positions and bytes are mapped, writable, stay, and have no other producer.
    pub unsafe fn new(positions: *mut RingPositions, bytes: Range) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { Stream::new(positions, bytes) })
    }

    /// Bytes that can be written now. Nothing, if the consumer claims to have read what was not written.
    pub fn room(&self) -> usize {
        if self.0.size == 0 {
            return 0;
        }
        let consumed = self.0.word(offset_of!(RingPositions, consumed)).load(Ordering::Acquire);
        self.0.size.saturating_sub(self.0.mine.wrapping_sub(consumed)) as usize
    }

    /// Writes bytes, as many as there is room for; the consumer sees nothing before [`Producer::publish`].
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let length = bytes.len().min(self.room());
        let mut rest = &bytes[..length];
        while !rest.is_empty() {
            let (place, run) = self.0.place(self.0.mine);
            let (now, later) = rest.split_at(rest.len().min(run));
            // SAFETY: `now` fits before the ring's end, in bytes that the consumer does not look at (`room`).
            unsafe { core::ptr::copy_nonoverlapping(now.as_ptr(), place, now.len()) };
            self.0.mine = self.0.mine.wrapping_add(now.len() as u32);
            rest = later;
        }
        length
    }

    /// Shows the consumer what was written.
    pub fn publish(&mut self) {
        self.0.word(offset_of!(RingPositions, produced)).store(self.0.mine, Ordering::Release);
    }

    /// Whether the consumer sleeps and must be rung for what was published.
    pub fn consumer_waits(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.size != 0
            && self.0.word(offset_of!(RingPositions, consumer_waits)).load(Ordering::Relaxed) != 0
    }

    /// Says whether this side sleeps until there is room. Look at [`Producer::room`] once more before sleeping.
    pub fn wait(&self, waits: bool) {
        if self.0.size != 0 {
            self.0.word(offset_of!(RingPositions, producer_waits)).store(waits.into(), Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }
}

/// Monitor to guest.
pub struct Consumer(Stream);

// SAFETY: as for `Producer`.
unsafe impl Send for Consumer {}

impl Consumer {
    /// A consumer of nothing.
    pub const fn none() -> Self {
        Self(Stream::none())
    }

    /// The consumer's end of a stream, at its start.
    ///
    /// # Safety
    /// Positions and bytes are mapped, writable, stay, and have no other consumer.
    pub unsafe fn new(positions: *mut RingPositions, bytes: Range) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { Stream::new(positions, bytes) })
    }

    /// Bytes that wait. A producer that claims more than the ring holds is taken by no more than that.
    pub fn waiting(&self) -> usize {
        if self.0.size == 0 {
            return 0;
        }
        let produced = self.0.word(offset_of!(RingPositions, produced)).load(Ordering::Acquire);
        produced.wrapping_sub(self.0.mine).min(self.0.size) as usize
    }

    /// Reads into `bytes` what waits, and gives the room back; says how many there were.
    pub fn read(&mut self, bytes: &mut [u8]) -> usize {
        let length = bytes.len().min(self.waiting());
        let mut at = 0;
        while at < length {
            let (place, run) = self.0.place(self.0.mine);
            let now = run.min(length - at);
            // SAFETY: `now` bytes lie before the ring's end, and `bytes` has room for them.
            unsafe { core::ptr::copy_nonoverlapping(place, bytes[at..].as_mut_ptr(), now) };
            self.0.mine = self.0.mine.wrapping_add(now as u32);
            at += now;
        }
        if length > 0 {
            self.0.word(offset_of!(RingPositions, consumed)).store(self.0.mine, Ordering::Release);
        }
        length
    }

    /// Whether the producer sleeps and must be rung for the room that was given back.
    pub fn producer_waits(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.size != 0
            && self.0.word(offset_of!(RingPositions, producer_waits)).load(Ordering::Relaxed) != 0
    }

    /// Says whether this side sleeps until something arrives. Look at [`Consumer::waiting`] once more before sleeping.
    pub fn wait(&self, waits: bool) {
        if self.0.size != 0 {
            self.0.word(offset_of!(RingPositions, consumer_waits)).store(waits.into(), Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Both ends of one stream of `size` bytes, from a position shortly before it wraps.
    pub(crate) fn pair(size: usize) -> (Producer, Consumer) {
        let positions = Box::leak(Box::new(RingPositions {
            produced: u32::MAX - 4,
            pad0: [0; 15],
            consumed: u32::MAX - 4,
            pad1: [0; 15],
            consumer_waits: 0,
            producer_waits: 0,
            pad2: [0; 14],
        }));
        let bytes = vec![0u8; size].leak();
        let range = Range { base: bytes.as_mut_ptr() as u64, length: size as u64 };
        // SAFETY: leaked just now, so there for good; one producer, one consumer.
        let mut ends = unsafe { (Producer::new(positions, range), Consumer::new(positions, range)) };
        (ends.0.0.mine, ends.1.0.mine) = (u32::MAX - 4, u32::MAX - 4);
        ends
    }

    #[test]
    fn bytes_arrive_in_order_across_both_wraps() {
        let (mut out, mut inn) = pair(16);
        let mut expected = 0u8;
        let mut next = 0u8;
        for round in 0..100 {
            let bytes: Vec<u8> = (0..1 + round % 13).map(|i| next.wrapping_add(i)).collect();
            next = next.wrapping_add(out.write(&bytes) as u8);
            out.publish();
            let mut got = [0; 7];
            let n = inn.read(&mut got);
            for &byte in &got[..n] {
                assert_eq!(byte, expected);
                expected = expected.wrapping_add(1);
            }
        }
        assert!(expected > 0);
    }

    #[test]
    fn a_full_ring_takes_no_more() {
        let (mut out, mut inn) = pair(16);
        assert_eq!(out.write(&[1; 20]), 16);
        assert_eq!(out.room(), 0);
        out.publish();
        assert_eq!(inn.read(&mut [0; 5]), 5);
        assert_eq!(out.room(), 5);
    }

    #[test]
    fn a_lying_peer_costs_no_more_than_nonsense() {
        let (mut out, mut inn) = pair(16);
        out.write(&[7; 4]);
        out.0.word(0).store(12345, Ordering::Relaxed);
        assert_eq!(inn.read(&mut [0; 64]), 16);
        out.0.word(offset_of!(RingPositions, consumed)).store(99, Ordering::Relaxed);
        assert_eq!(out.room(), 0);
    }

    #[test]
    fn a_ring_of_no_power_of_two_is_none() {
        // SAFETY: a stream of size 0 touches nothing.
        let out = unsafe { Producer::new(core::ptr::null_mut(), Range { base: 0, length: 100 }) };
        assert_eq!(out.room(), 0);
        assert!(!out.consumer_waits());
    }
}
