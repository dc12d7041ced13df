//! What has arrived: bytes for the program in order, and bytes beyond a gap, each in its place. Large segments in order stay
//! in the buffers that the device has filled, ahead of all others, until the program has read them.

use super::ring::Ring;
use super::segment::{BLOCKS, Block};
use super::seq::Seq;
use crate::net::loan::LoanedBuffer;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Ranges beyond a gap that are kept apart at the most: what would be one more is dropped, and sent again.
const RANGES: usize = 512;

/// What a segment's bytes were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InsertOutcome {
    /// Bytes that the program can read now and could not before.
    pub ready: u32,
    /// Bytes that had come before (RFC 2883).
    pub duplicate: Option<Block>,
    /// There is a gap, or there was one before: the sender wants to know at once.
    pub gap: bool,
    /// There was no memory, or no room in the window, for all of it.
    pub dropped: bool,
    /// It was not copied: [`ReceiveQueue::keep`] takes the buffer that it is in.
    pub kept: bool,
}

/// A queue of bytes that have arrived.
pub struct ReceiveQueue {
    /// What the program reads first, where it came.
    kept: VecDeque<LoanedBuffer>,
    /// How many bytes these are.
    kept_bytes: u32,
    ring: Ring,
    /// Number of the next byte that is waited for.
    next: Seq,
    /// Bytes that the program can read.
    ready: u32,
    /// Bytes from the first to be read that may be held.
    limit: u32,
    /// Ranges beyond a gap, in order, that do not touch.
    ranges: Vec<Block>,
    /// Starts of the ranges that have changed last, the latest first.
    recent: [Seq; BLOCKS],
    /// The number behind the last byte, once it is known.
    end: Option<Seq>,
}

impl ReceiveQueue {
    /// An empty queue whose first byte will be `next`.
    pub fn new(next: Seq, limit: u32) -> Self {
        let (ring, ranges, kept) = (Ring::default(), Vec::new(), VecDeque::new());
        Self { kept, kept_bytes: 0, ring, next, ready: 0, limit, ranges, recent: [next; BLOCKS], end: None }
    }

    /// The first byte will be `next`: nothing has come yet.
    pub fn restart(&mut self, next: Seq) {
        *self = Self::new(next, self.limit);
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.ring.capacity()
    }

    /// Whether there is no gap.
    pub fn is_in_order(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Number of the next byte that is waited for; behind the end, one more (the FIN's).
    pub fn next(&self) -> Seq {
        if self.is_finished() { self.next + 1 } else { self.next }
    }

    /// Bytes that the program can read.
    pub fn ready(&self) -> u32 {
        self.ready
    }

    /// Bytes that may come beyond those that have.
    pub fn window(&self) -> u32 {
        self.limit.saturating_sub(self.ready)
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Allows more bytes to be held.
    pub fn raise_limit(&mut self, limit: u32) {
        self.limit = self.limit.max(limit);
    }

    /// Takes the memory for all that may be held, while nothing is beyond a gap; whether there is so much.
    pub fn reserve(&mut self) -> bool {
        let limit = self.limit as usize;
        self.ranges.is_empty() && self.ring.reserve(limit, self.copied() as usize, limit)
    }

    /// Whether everything that the peer sends has come.
    pub fn is_finished(&self) -> bool {
        self.end == Some(self.next)
    }

    /// The peer sends nothing from here on. What it says first counts.
    pub fn end_at(&mut self, seq: Seq) {
        let beyond = self.ranges.last().is_some_and(|range| range.end.after(seq));
        if self.end.is_none() && !seq.before(self.next) && !beyond {
            self.end = Some(seq);
        }
    }

    /// Bytes in the ring that the program can read.
    fn copied(&self) -> u32 {
        self.ready - self.kept_bytes
    }

    /// Takes the buffer of the segment that was taken in last, and not copied.
    pub fn keep(&mut self, buffer: LoanedBuffer) {
        self.kept.push_back(buffer);
    }

    /// Takes a segment's bytes in. They are not copied if they are in a buffer that is to be `lent`, are in order, and there
    /// is nothing in the ring: then the buffer is to be given to [`ReceiveQueue::keep`].
    pub fn insert(&mut self, seq: Seq, bytes: &[u8], lent: bool) -> InsertOutcome {
        let mut taken = InsertOutcome { gap: !self.ranges.is_empty(), ..InsertOutcome::default() };
        let last = seq + bytes.len() as u32;
        let edge = self.end.unwrap_or(self.next + self.window()).min(self.next + self.window());
        let (from, to) = (seq.max(self.next), last.min(edge));
        if seq.before(self.next) && last.after(seq) {
            taken.duplicate = Some(Block { start: seq, end: last.min(self.next) });
        }
        taken.dropped = last.after(to) && last.after(self.next);
        if !from.before(to) {
            return taken;
        }
        if lent
            && (from, to) == (self.next, last)
            && from == seq
            && self.copied() == 0
            && self.ranges.is_empty()
            && self.kept.try_reserve(1).is_ok()
        {
            taken.kept = true;
            taken.ready = self.advance(to);
            self.kept_bytes += taken.ready;
            return taken;
        }
        let bytes = &bytes[from.since(seq) as usize..to.since(seq) as usize];
        let position = (self.copied() + from.since(self.next)) as usize;
        let used =
            (self.copied() + self.ranges.last().map_or(0, |range| range.end.since(self.next))) as usize;
        if !self.ring.reserve(position + bytes.len(), used, self.limit as usize) {
            taken.dropped = true;
            return taken;
        }
        if from == self.next {
            self.ring.write(position, bytes);
            taken.ready = self.advance(to);
            return taken;
        }
        taken.gap = true;
        match self.mark(Block { start: from, end: to }) {
            None => taken.dropped = true,
            Some(duplicate) => {
                taken.duplicate = taken.duplicate.or(duplicate);
                self.ring.write(position, bytes);
            }
        }
        taken
    }

    /// Notes a range; and says what of it there was already. `None`: there are too many.
    fn mark(&mut self, mut block: Block) -> Option<Option<Block>> {
        let first = self.ranges.partition_point(|range| range.end.before(block.start));
        let behind = first + self.ranges[first..].partition_point(|range| !range.start.after(block.end));
        let mut duplicate = None;
        if first == behind {
            if self.ranges.len() >= RANGES || self.ranges.try_reserve(1).is_err() {
                return None;
            }
            self.ranges.insert(first, block);
        } else {
            let known = self.ranges[first];
            let overlap = Block { start: known.start.max(block.start), end: known.end.min(block.end) };
            duplicate = overlap.start.before(overlap.end).then_some(overlap);
            block.start = block.start.min(known.start);
            block.end = block.end.max(self.ranges[behind - 1].end);
            self.ranges[first] = block;
            self.ranges.drain(first + 1..behind);
        }
        let place = self.recent.iter().position(|&start| start == block.start).unwrap_or(BLOCKS - 1);
        self.recent.copy_within(..place, 1);
        self.recent[0] = block.start;
        Some(duplicate)
    }

    /// Bytes up to `to` have come in order: goes over the ranges that they reach; how many bytes are ready by that.
    fn advance(&mut self, to: Seq) -> u32 {
        let reached = self.ranges.partition_point(|range| !range.start.after(to));
        let last = self.ranges[..reached].last().map_or(to, |range| range.end.max(to));
        self.ranges.drain(..reached);
        let bytes = last.since(self.next);
        self.next = last;
        self.ready += bytes;
        bytes
    }

    /// What an acknowledgement says of the ranges beyond a gap: first the one that has changed last (RFC 2018 section 4).
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        let mut told = [None; BLOCKS];
        self.recent.iter().enumerate().filter_map(move |(n, &start)| {
            // A range that was recent may have become part of another.
            let at = self.ranges.partition_point(|range| !range.end.after(start));
            let range = self.ranges.get(at).copied().filter(|range| !range.start.after(start))?;
            if told.contains(&Some(range)) {
                return None;
            }
            told[n] = Some(range);
            Some(range)
        })
    }

    /// Bytes that can be read, those that lie in one piece.
    pub fn piece(&self) -> &[u8] {
        match self.kept.front() {
            Some(buffer) => buffer.bytes(),
            None => self.ring.slices(0, self.copied() as usize).0,
        }
    }

    /// The program has read so many bytes.
    pub fn consume(&mut self, bytes: usize) {
        let mut bytes = bytes.min(self.ready as usize);
        self.ready -= bytes as u32;
        while let Some(buffer) = self.kept.front_mut() {
            let here = bytes.min(buffer.bytes().len());
            buffer.consume(here);
            bytes -= here;
            self.kept_bytes -= here as u32;
            if !buffer.bytes().is_empty() {
                return;
            }
            self.kept.pop_front();
        }
        if bytes > 0 {
            self.ring.consume(bytes, self.copied() == 0 && self.ranges.is_empty());
        }
    }

    /// Drops what is there: nobody will read it.
    pub fn discard(&mut self) {
        (self.ready, self.ranges) = (0, Vec::new());
        (self.kept, self.kept_bytes) = (VecDeque::new(), 0);
        self.ring.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::loan::LoanPool;
    use crate::net::queue::Frame;
    use proptest::prelude::*;

    fn byte(seq: Seq) -> u8 {
        (seq.0.wrapping_mul(2_654_435_761) >> 24) as u8
    }

    fn segment(start: Seq, length: u32) -> Vec<u8> {
        (0..length).map(|n| byte(start + n)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever comes in whatever order: the program reads the bytes in order, and the memory has a bound.
        #[test]
        fn bytes_are_read_in_order(
            first in any::<u32>(),
            parts in prop::collection::vec((0u32..6000, 1u32..1500, 0usize..3000, any::<bool>()), 1..200),
        ) {
            let first = Seq(first);
            let mut queue = ReceiveQueue::new(first, 5000);
            let lender = LoanPool::default();
            let mut read = first;
            for (offset, length, take, lent) in parts {
                let start = if lent { queue.next() } else { queue.next() + offset - 1000 };
                let before = (queue.next(), queue.ready());
                let bytes = segment(start, length);
                let taken = queue.insert(start, &bytes, lent);
                if taken.kept {
                    let mut frame = Frame::new(bytes.len() + 12).unwrap();
                    frame.bytes_mut()[12..].copy_from_slice(&bytes);
                    queue.keep(lender.lend(frame, 12..12 + bytes.len()));
                }
                prop_assert_eq!(queue.ready(), before.1 + taken.ready);
                prop_assert_eq!(queue.next(), before.0 + taken.ready);
                prop_assert!(queue.ready() <= 5000 && queue.ring.capacity() <= 8192);
                for block in queue.blocks() {
                    prop_assert!(block.start.after(queue.next()) && block.end.after(block.start));
                }
                let piece = queue.piece();
                let take = take.min(piece.len());
                for (n, &got) in piece[..take].iter().enumerate() {
                    prop_assert_eq!(got, byte(read + n as u32));
                }
                read = read + take as u32;
                queue.consume(take);
            }
        }
    }

    #[test]
    fn blocks_are_told_latest_first_and_duplicates_are_seen() {
        let mut queue = ReceiveQueue::new(Seq(0), 10_000);
        for start in [1000, 3000, 5000, 7000] {
            assert!(queue.insert(Seq(start), &[0; 500], false).gap);
        }
        let starts: Vec<u32> = queue.blocks().map(|block| block.start.0).collect();
        assert_eq!(starts, [7000, 5000, 3000]);
        let taken = queue.insert(Seq(1400), &[0; 200], false);
        assert_eq!(taken.duplicate, Some(Block { start: Seq(1400), end: Seq(1500) }));
        let starts: Vec<u32> = queue.blocks().map(|block| block.start.0).collect();
        assert_eq!(starts, [1000, 7000, 5000]);
        assert_eq!(queue.insert(Seq(0), &[0; 1000], false).ready, 1600);
        let taken = queue.insert(Seq(500), &[0; 100], false);
        assert_eq!(taken.duplicate, Some(Block { start: Seq(500), end: Seq(600) }));
    }

    #[test]
    fn the_end_is_reached_once_all_before_it_has_come() {
        let mut queue = ReceiveQueue::new(Seq(10), 1000);
        queue.end_at(Seq(30));
        assert!(!queue.is_finished());
        queue.insert(Seq(20), &[0; 50], false);
        queue.insert(Seq(10), &[0; 10], false);
        assert!(queue.is_finished());
        assert_eq!((queue.ready(), queue.next()), (20, Seq(31)));
    }

    #[test]
    fn ranges_are_bounded() {
        let mut queue = ReceiveQueue::new(Seq(0), 1 << 20);
        for n in 0..2 * RANGES as u32 {
            queue.insert(Seq(10 + 10 * n), &[0; 1], false);
        }
        assert_eq!(queue.ranges.len(), RANGES);
    }
}
