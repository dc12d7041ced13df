//! Bytes in a ring that grows as it is used, up to what its owner allows, and is given back when hardly used.

use alloc::vec::Vec;

/// Smallest memory of a ring, bytes.
const LEAST: usize = 4096;
/// A ring that is no longer than this is kept, however little of it is used.
const KEPT: usize = 64 << 10;
/// So many times has a ring to be empty again, with not a quarter of it used meanwhile, before it is given back.
const SHRINK_AFTER: u32 = 1024;

/// A ring. Positions are counted from its first byte.
#[derive(Default)]
pub struct Ring {
    memory: Vec<u8>,
    /// Where the first byte lies.
    head: usize,
    /// The most that was used since the ring was empty.
    peak: usize,
    /// How often it was empty again with hardly anything used.
    quiet: u32,
}

impl Ring {
    /// Bytes that it has memory for.
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Makes room for `wanted` bytes, of which the first `used` are in use, but takes no more than `most` in all. Whether
    /// there is room: the heap may have none.
    pub fn reserve(&mut self, wanted: usize, used: usize, most: usize) -> bool {
        self.peak = self.peak.max(wanted);
        if wanted <= self.memory.len() {
            return true;
        }
        if wanted > most {
            return false;
        }
        let capacity = wanted.next_power_of_two().clamp(LEAST.min(most), most);
        let mut memory = Vec::new();
        // If there is no room for more to come, there may be for what has to be.
        if memory.try_reserve_exact(capacity).is_ok() {
            memory.resize(capacity, 0);
        } else if memory.try_reserve_exact(wanted).is_ok() {
            memory.resize(wanted, 0);
        } else {
            return false;
        }
        let (first, second) = self.slices(0, used);
        memory[..first.len()].copy_from_slice(first);
        memory[first.len()..used].copy_from_slice(second);
        (self.memory, self.head) = (memory, 0);
        true
    }

    /// Where a position lies; it is within the memory.
    fn at(&self, position: usize) -> usize {
        let at = self.head + position;
        if at >= self.memory.len() { at - self.memory.len() } else { at }
    }

    /// The bytes at a position, in the two pieces that they lie in. All of them are within the memory.
    pub fn slices(&self, position: usize, length: usize) -> (&[u8], &[u8]) {
        if length == 0 {
            return (&[], &[]);
        }
        let at = self.at(position);
        let first = length.min(self.memory.len() - at);
        (&self.memory[at..at + first], &self.memory[..length - first])
    }

    /// The bytes from a position on that lie in one piece, at most `length`.
    pub fn piece(&mut self, position: usize, length: usize) -> &mut [u8] {
        if length == 0 {
            return &mut [];
        }
        let at = self.at(position);
        let length = length.min(self.memory.len() - at);
        &mut self.memory[at..at + length]
    }

    /// Writes bytes at a position; all of it is within the memory.
    pub fn write(&mut self, position: usize, bytes: &[u8]) {
        let first = self.piece(position, bytes.len());
        let (now, then) = bytes.split_at(first.len());
        first.copy_from_slice(now);
        self.memory[..then.len()].copy_from_slice(then);
    }

    /// Takes bytes off the front. `empty`: nothing is left, so that what comes next lies at the beginning, where it is
    /// likely still in a cache.
    pub fn consume(&mut self, bytes: usize, empty: bool) {
        if !empty {
            self.head = self.at(bytes);
            return;
        }
        self.head = 0;
        self.quiet = if self.peak < self.memory.len() / 4 { self.quiet + 1 } else { 0 };
        self.peak = 0;
        if self.quiet >= SHRINK_AFTER && self.memory.len() > KEPT {
            self.release();
        }
    }

    /// Gives the memory back; nothing in it is in use.
    pub fn release(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_in_order_around_the_end_and_through_growth() {
        let mut ring = Ring::default();
        let (mut written, mut read, mut used) = (0u32, 0u32, 0usize);
        for step in 0..2000usize {
            let more: Vec<u8> = (0..step % 700)
                .map(|_| {
                    written += 1;
                    (written % 251) as u8
                })
                .collect();
            assert!(ring.reserve(used + more.len(), used, 1 << 20));
            ring.write(used, &more);
            used += more.len();
            let take = (step * 7 % 750).min(used);
            let (first, second) = ring.slices(0, take);
            for &byte in first.iter().chain(second) {
                read += 1;
                assert_eq!(byte, (read % 251) as u8);
            }
            used -= take;
            ring.consume(take, used == 0);
        }
        assert!(ring.capacity() < 1 << 17);
    }

    #[test]
    fn no_more_is_taken_than_allowed_and_what_is_hardly_used_is_given_back() {
        let mut ring = Ring::default();
        assert!(ring.reserve(3000, 0, 3000) && ring.capacity() == 3000);
        assert!(!ring.reserve(3001, 0, 3000));
        assert!(ring.reserve(200_000, 0, 1 << 20));
        for _ in 0..SHRINK_AFTER + 1 {
            assert!(ring.reserve(100, 0, 1 << 20));
            ring.consume(100, true);
        }
        assert_eq!(ring.capacity(), 0);
    }
}
