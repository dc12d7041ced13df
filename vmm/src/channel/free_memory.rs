//! Returns memory that the guest does not need to the host.
//!
//! The guest sends ranges of its heap that are free, and does not use them until the monitor acknowledges that they were
//! discarded. From then on they read as zeros, and take no host memory until they are used again. The monitor trusts none of
//! it: only whole pages of the heap are discarded, so rings, queues and the boot page stay, and the rate of ranges is limited
//! to what a correct guest needs.

use super::control_ring::Piece;
use abi::boot::Range;
use machine::memory::{GuestPhys, Region};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a range in a message: address and length.
const ENTRY: usize = 16;
/// Most ranges that are discarded in one [`WINDOW`]; further ones are ignored.
const RANGES: u32 = 512;
/// See [`RANGES`].
const WINDOW: Duration = Duration::from_millis(100);

/// Discards the free ranges that the guest sends.
pub struct FreeMemory {
    memory: Arc<Region>,
    /// The guest's heap.
    heap: Range,
    /// Received bytes of an incomplete range.
    partial: Vec<u8>,
    window_start: Instant,
    /// Ranges that may still be discarded in this window.
    left: u32,
    /// Ids of messages that are complete and not acknowledged yet.
    pub done: Vec<u64>,
}

impl FreeMemory {
    /// For a guest with this heap.
    pub fn new(memory: Arc<Region>, heap: Range) -> Self {
        Self {
            memory,
            heap,
            partial: Vec::new(),
            window_start: Instant::now(),
            left: RANGES,
            done: Vec::new(),
        }
    }

    /// Handles a part of a message.
    pub fn receive(&mut self, piece: &Piece<'_>) {
        let mut bytes = piece.bytes;
        while !bytes.is_empty() {
            let wanted = (ENTRY - self.partial.len()).min(bytes.len());
            self.partial.extend_from_slice(&bytes[..wanted]);
            bytes = &bytes[wanted..];
            if let Ok(entry) = <[u8; ENTRY]>::try_from(&self.partial[..]) {
                self.partial.clear();
                let word = |at: usize| u64::from_le_bytes(*entry[at..].first_chunk().expect("16 bytes"));
                self.discard(word(0), word(8));
            }
        }
        if piece.last {
            self.partial.clear();
            self.done.push(piece.header.id);
        }
    }

    fn discard(&mut self, base: u64, length: u64) {
        if self.window_start.elapsed() >= WINDOW {
            (self.window_start, self.left) = (Instant::now(), RANGES);
        }
        let Some(pages) = self.pages(base, length).filter(|_| self.left > 0) else { return };
        self.left -= 1;
        // The heap is in the region.
        let _ = self.memory.discard(GuestPhys(pages.base), pages.length);
    }

    /// The whole pages of a range, or `None` if the range is not entirely in the heap.
    fn pages(&self, base: u64, length: u64) -> Option<Range> {
        let end = base.checked_add(length)?;
        if base < self.heap.base || end > self.heap.base + self.heap.length {
            return None;
        }
        let first = base.next_multiple_of(abi::layout::PAGE_SIZE);
        let last = end & !(abi::layout::PAGE_SIZE - 1);
        (first < last).then(|| Range { base: first, length: last - first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::control::MessageHeader;

    const START: u64 = 0x1000_0000;

    fn message(ranges: &[(u64, u64)]) -> Vec<u8> {
        ranges.iter().flat_map(|(base, length)| [base.to_le_bytes(), length.to_le_bytes()].concat()).collect()
    }

    /// A region of 16 pages of which the upper 8 are the heap, all filled.
    fn free() -> FreeMemory {
        let (region, _fd) = Region::shared(GuestPhys(START), 16 << 12).unwrap();
        region.write(GuestPhys(START), &vec![7; 16 << 12]).unwrap();
        FreeMemory::new(Arc::new(region), Range { base: START + (8 << 12), length: 8 << 12 })
    }

    fn zeroed(free: &FreeMemory) -> Vec<u64> {
        (0..16u64)
            .filter(|page| {
                let mut byte = [0];
                free.memory.read(GuestPhys(START + (page << 12)), &mut byte).unwrap();
                byte == [0]
            })
            .collect()
    }

    #[test]
    fn whole_pages_of_the_heap_are_discarded_however_the_message_is_cut() {
        let mut free = free();
        let bytes = message(&[(START + (9 << 12) - 1, (2 << 12) + 2), (START + (14 << 12), 2 << 12)]);
        for (i, byte) in bytes.iter().enumerate() {
            let header = MessageHeader { id: 5, ..MessageHeader::default() };
            free.receive(&Piece { header, bytes: &[*byte], last: i + 1 == bytes.len() });
        }
        assert_eq!((zeroed(&free), &free.done[..]), (vec![9, 10, 14, 15], &[5][..]));
    }

    #[test]
    fn nothing_but_the_heap_is_discarded() {
        let mut free = free();
        let bytes = message(&[
            (START, 16 << 12),
            (START + (7 << 12), 2 << 12),
            (START + (15 << 12), 2 << 12),
            (u64::MAX, 2),
            (START + (9 << 12), u64::MAX),
            (START + (9 << 12) + 1, 4096),
            (0, 0),
        ]);
        free.receive(&Piece { header: MessageHeader::default(), bytes: &bytes, last: true });
        assert_eq!(zeroed(&free), Vec::<u64>::new());
    }

    #[test]
    fn a_flood_of_ranges_is_bounded() {
        let mut free = free();
        let bytes = message(&vec![(START + (9 << 12), 4096); 10_000]);
        free.receive(&Piece { header: MessageHeader::default(), bytes: &bytes, last: true });
        assert!(free.left < RANGES);
        free.left = 0;
        free.window_start = Instant::now();
        free.memory.write(GuestPhys(START + (9 << 12)), &[7]).unwrap();
        free.receive(&Piece { header: MessageHeader::default(), bytes: &bytes, last: true });
        assert_eq!(zeroed(&free), Vec::<u64>::new());
    }
}
