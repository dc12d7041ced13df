//! The two byte streams of the control ring ([`abi::control`]): a producer and a consumer, for either side.
//!
//! Positions are 32 bits and run freely; a ring's size is a power of two.
#![allow(unsafe_code)]

use abi::control::RingPositions;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering, fence};

/// The other side's position is impossible: more bytes would wait, or were read, than the ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionError {
    /// Bytes that would wait.
    pub waiting: u32,
    /// Size of the ring, bytes.
    pub size: u32,
}

impl core::fmt::Display for PositionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the control ring claims {} waiting bytes of {}", self.waiting, self.size)
    }
}

impl core::error::Error for PositionError {}

/// What both ends share.
struct Stream {
    positions: *mut RingPositions,
    bytes: *mut u8,
    /// Bytes of the ring, a power of two; 0: there is no ring, and the pointers are not used.
    size: u32,
    /// The position that is this side's to write, as it is in memory or will be once published.
    position: u32,
}

impl Stream {
    const NONE: Self =
        Self { positions: core::ptr::null_mut(), bytes: core::ptr::null_mut(), size: 0, position: 0 };

    fn new(positions: *mut RingPositions, bytes: *mut u8, size: u64) -> Self {
        let size = u32::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(0);
        Self { positions, bytes, size, position: 0 }
    }

    /// The word of the positions at `offset`; `None` if there is no ring.
    #[inline]
    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        // SAFETY: where there is a ring, `new`'s callers were promised that the positions are there and stay, and are
        // only accessed atomically; offsets are those of its words.
        (self.size != 0)
            .then(|| unsafe { AtomicU32::from_ptr(self.positions.cast::<u8>().add(offset).cast()) })
    }

    fn load(&self, offset: usize, ordering: Ordering) -> u32 {
        self.word(offset).map_or(0, |word| word.load(ordering))
    }

    fn store(&self, offset: usize, value: u32, ordering: Ordering) {
        if let Some(word) = self.word(offset) {
            word.store(value, ordering);
        }
    }

    /// Where stream byte `at` lies, and how many bytes from there on lie before the ring's end.
    fn place(&self, at: u32) -> (*mut u8, usize) {
        let start = at & (self.size - 1);
        (self.bytes.wrapping_add(start as usize), (self.size - start) as usize)
    }

    /// Bytes that wait between two positions.
    fn distance(&self, produced: u32, consumed: u32) -> Result<u32, PositionError> {
        let waiting = produced.wrapping_sub(consumed);
        if waiting > self.size { Err(PositionError { waiting, size: self.size }) } else { Ok(waiting) }
    }
}

/// The writing end of a stream.
pub struct Producer(Stream);

// SAFETY: the pointers name memory that this side's alone to write, wherever the value is moved.
unsafe impl Send for Producer {}

impl Producer {
    /// A producer without a ring: it takes no bytes.
    pub const fn none() -> Self {
        Self(Stream::NONE)
    }

    /// The producer's end of a stream of `size` bytes, at its start; [`Producer::none`] if that is no power of two.
    ///
    /// # Safety
    /// Positions and `size` bytes are mapped, writable and aligned, stay as long as the value, have no other producer,
    /// and no reference to them exists.
    pub unsafe fn new(positions: *mut RingPositions, bytes: *mut u8, size: u64) -> Self {
        Self(Stream::new(positions, bytes, size))
    }

    /// Free space, bytes.
    pub fn room(&self) -> Result<usize, PositionError> {
        if self.0.size == 0 {
            return Ok(0);
        }
        let consumed = self.0.load(offset_of!(RingPositions, consumed), Ordering::Acquire);
        Ok((self.0.size - self.0.distance(self.0.position, consumed)?) as usize)
    }

    /// Writes as many bytes as fit, and returns their number. The consumer sees them after [`Producer::publish`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, PositionError> {
        let length = bytes.len().min(self.room()?);
        let mut rest = &bytes[..length];
        while !rest.is_empty() {
            let (place, run) = self.0.place(self.0.position);
            let (now, later) = rest.split_at(rest.len().min(run));
            // SAFETY: `now` fits before the ring's end, in bytes that the consumer does not look at (`room`).
            unsafe { core::ptr::copy_nonoverlapping(now.as_ptr(), place, now.len()) };
            self.0.position = self.0.position.wrapping_add(now.len() as u32);
            rest = later;
        }
        Ok(length)
    }

    /// Publishes what was written.
    pub fn publish(&mut self) {
        self.0.store(offset_of!(RingPositions, produced), self.0.position, Ordering::Release);
    }

    /// Whether the consumer sleeps and has to be notified of what was published.
    pub fn consumer_waits(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(offset_of!(RingPositions, consumer_waits), Ordering::Relaxed) != 0
    }

    /// Records whether this side sleeps until there is room. Check [`Producer::room`] once more before sleeping.
    pub fn set_waiting(&self, waits: bool) {
        self.0.store(offset_of!(RingPositions, producer_waits), waits.into(), Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

/// The reading end of a stream.
pub struct Consumer(Stream);

// SAFETY: as for `Producer`.
unsafe impl Send for Consumer {}

impl Consumer {
    /// A consumer without a ring: it never has bytes.
    pub const fn none() -> Self {
        Self(Stream::NONE)
    }

    /// The consumer's end of a stream of `size` bytes, at its start; [`Consumer::none`] if that is no power of two.
    ///
    /// # Safety
    /// Positions and `size` bytes are mapped, writable and aligned, stay as long as the value, have no other consumer,
    /// and no reference to them exists.
    pub unsafe fn new(positions: *mut RingPositions, bytes: *mut u8, size: u64) -> Self {
        Self(Stream::new(positions, bytes, size))
    }

    /// Number of bytes to read.
    pub fn waiting(&self) -> Result<usize, PositionError> {
        if self.0.size == 0 {
            return Ok(0);
        }
        let produced = self.0.load(offset_of!(RingPositions, produced), Ordering::Acquire);
        Ok(self.0.distance(produced, self.0.position)? as usize)
    }

    /// Reads as many bytes as there are and fit into `bytes`, frees their space, and returns their number.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<usize, PositionError> {
        let length = bytes.len().min(self.waiting()?);
        let mut at = 0;
        while at < length {
            let (place, run) = self.0.place(self.0.position);
            let now = run.min(length - at);
            // SAFETY: `now` bytes lie before the ring's end, and `bytes` has room for them.
            unsafe { core::ptr::copy_nonoverlapping(place, bytes[at..].as_mut_ptr(), now) };
            self.0.position = self.0.position.wrapping_add(now as u32);
            at += now;
        }
        if length > 0 {
            self.0.store(offset_of!(RingPositions, consumed), self.0.position, Ordering::Release);
        }
        Ok(length)
    }

    /// Whether the producer sleeps and has to be notified of the freed space.
    pub fn producer_waits(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(offset_of!(RingPositions, producer_waits), Ordering::Relaxed) != 0
    }

    /// Records whether this side sleeps until bytes arrive. Check [`Consumer::waiting`] once more before sleeping.
    pub fn set_waiting(&self, waits: bool) {
        self.0.store(offset_of!(RingPositions, consumer_waits), waits.into(), Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends of one stream of `size` bytes, from a position shortly before it wraps.
    fn pair(size: usize) -> (Producer, Consumer) {
        let start = u32::MAX - 4;
        let positions = Box::leak(Box::new(RingPositions {
            produced: start,
            pad0: [0; 15],
            consumed: start,
            pad1: [0; 15],
            consumer_waits: 0,
            producer_waits: 0,
            pad2: [0; 14],
        }));
        let bytes = vec![0u8; size].leak().as_mut_ptr();
        // SAFETY: leaked just now, so there for good; one producer, one consumer.
        let mut ends = unsafe {
            (Producer::new(positions, bytes, size as u64), Consumer::new(positions, bytes, size as u64))
        };
        (ends.0.0.position, ends.1.0.position) = (start, start);
        ends
    }

    #[test]
    fn bytes_arrive_in_order_across_both_wraps() {
        let (mut out, mut inn) = pair(16);
        let (mut expected, mut next) = (0u8, 0u8);
        for round in 0..100 {
            let bytes: Vec<u8> = (0..1 + round % 13).map(|i| next.wrapping_add(i)).collect();
            next = next.wrapping_add(out.write(&bytes).unwrap() as u8);
            out.publish();
            let mut got = [0; 7];
            let n = inn.read(&mut got).unwrap();
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
        assert_eq!(out.write(&[1; 20]), Ok(16));
        assert_eq!(out.room(), Ok(0));
        out.publish();
        assert_eq!(inn.read(&mut [0; 5]), Ok(5));
        assert_eq!(out.room(), Ok(5));
    }

    #[test]
    fn a_position_beyond_the_ring_is_an_error_at_both_ends() {
        let (mut out, mut inn) = pair(16);
        out.write(&[7; 4]).unwrap();
        out.0.store(offset_of!(RingPositions, produced), inn.0.position.wrapping_add(17), Ordering::Relaxed);
        assert_eq!(inn.read(&mut [0; 64]), Err(PositionError { waiting: 17, size: 16 }));
        let consumed = out.0.position.wrapping_add(1);
        out.0.store(offset_of!(RingPositions, consumed), consumed, Ordering::Relaxed);
        assert_eq!(out.room(), Err(PositionError { waiting: u32::MAX, size: 16 }));
    }

    #[test]
    fn a_side_that_sleeps_is_seen_by_the_other() {
        let (out, inn) = pair(16);
        assert!(!out.consumer_waits() && !inn.producer_waits());
        inn.set_waiting(true);
        out.set_waiting(true);
        assert!(out.consumer_waits() && inn.producer_waits());
    }

    #[test]
    fn a_ring_of_no_power_of_two_is_none() {
        // SAFETY: a stream without a ring touches nothing.
        let out = unsafe { Producer::new(core::ptr::null_mut(), core::ptr::null_mut(), 100) };
        assert_eq!(out.room(), Ok(0));
        assert!(!out.consumer_waits());
    }
}
