//! What the program wants to send: bytes from the first that the peer has not acknowledged.

use super::ring::Ring;
use super::seq::Seq;

/// A program gets room for so many bytes at a time, if there is so much.
const PIECE: usize = 128 << 10;

/// A queue of bytes to be sent.
pub struct SendQueue {
    ring: Ring,
    /// Number of the first byte.
    start: Seq,
    /// Bytes in the queue.
    length: u32,
    /// Bytes that may be in the queue.
    limit: u32,
}

impl SendQueue {
    /// An empty queue whose first byte will be `start`.
    pub fn new(start: Seq, limit: u32) -> Self {
        Self { ring: Ring::default(), start, length: 0, limit }
    }

    /// Number behind the last byte.
    pub fn end(&self) -> Seq {
        self.start + self.length
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.ring.capacity()
    }

    /// Bytes in the queue.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Bytes that may be in the queue.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Sets how many bytes may be in the queue.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Takes the memory for all that may be in the queue; whether there is so much.
    pub fn reserve(&mut self) -> bool {
        let limit = self.limit as usize;
        self.ring.reserve(limit, self.length as usize, limit)
    }

    /// Has the program write where there is room, `most` bytes in the queue at the most; how many bytes it has written,
    /// `None` if there is no room.
    pub fn produce<R>(&mut self, most: u32, put: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R> {
        let (used, limit) = (self.length as usize, self.limit.min(most) as usize);
        let wanted = limit.saturating_sub(used).min(PIECE);
        if wanted == 0 {
            return None;
        }
        // Without memory for all of it: what there is.
        self.ring.reserve(used + wanted, used, self.limit as usize);
        let room = self.ring.capacity().min(limit).saturating_sub(used);
        let piece = self.ring.piece(used, room);
        if piece.is_empty() {
            return None;
        }
        let most = piece.len();
        let (put, result) = put(piece);
        self.length += put.min(most) as u32;
        Some(result)
    }

    /// Copies bytes into the queue, `most` bytes in the queue at the most; how many there was room for.
    pub fn write(&mut self, bytes: &[u8], most: u32) -> usize {
        let (used, limit) = (self.length as usize, self.limit.min(most) as usize);
        let count = bytes.len().min(limit.saturating_sub(used));
        if count == 0 || !self.ring.reserve(used + count, used, self.limit as usize) {
            return 0;
        }
        self.ring.write(used, &bytes[..count]);
        self.length += count as u32;
        count
    }

    /// The bytes from a number on, in the two pieces that they lie in; all of them are in the queue.
    pub fn slices(&self, seq: Seq, length: u32) -> (&[u8], &[u8]) {
        let offset = seq.since(self.start).min(self.length);
        self.ring.slices(offset as usize, length.min(self.length - offset) as usize)
    }

    /// The peer has everything before a number.
    pub fn acknowledge(&mut self, seq: Seq) {
        let bytes = seq.since(self.start).min(self.length);
        self.start = self.start + bytes;
        self.length -= bytes;
        self.ring.consume(bytes as usize, self.length == 0);
    }

    /// Drops what is there: nobody will get it.
    pub fn discard(&mut self) {
        self.length = 0;
        self.ring.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_until_they_are_acknowledged() {
        let mut queue = SendQueue::new(Seq(u32::MAX - 5), 10_000);
        assert_eq!(queue.write(&[1; 8000], u32::MAX), 8000);
        assert_eq!(queue.write(&[2; 8000], 9000), 1000);
        assert_eq!(queue.write(&[3; 8000], u32::MAX), 1000);
        assert_eq!(queue.write(&[4; 10], u32::MAX), 0);
        queue.acknowledge(Seq(u32::MAX - 5) + 7990);
        assert_eq!(queue.length(), 2010);
        let (first, second) = queue.slices(Seq(u32::MAX - 5) + 7990, 15);
        assert_eq!([first, second].concat(), [[1; 10].as_slice(), &[2; 5]].concat());
        let produced = queue.produce(u32::MAX, |room| {
            room.fill(5);
            (room.len(), room.len())
        });
        assert!(produced.is_some_and(|n| n > 0));
        queue.acknowledge(queue.end());
        assert_eq!(queue.length(), 0);
    }
}
