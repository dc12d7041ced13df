//! The heap: talc on what the boot page leaves to the guest, taken step by step from the low end, so that an instance
//! touches (and its host pays for) only the memory that it needs.
#![allow(unsafe_code)]

use crate::global::Global;
use abi::boot::Range;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::NonNull;
use talc::TalcCell;
use talc::base::binning::Binning;
use talc::base::{CHUNK_UNIT, Talc};
use talc::source::Source;

/// How much the heap grows by at least, bytes.
const STEP: usize = 64 << 10;
/// What the allocator may want beyond the allocation itself when it grows, bytes.
const OVERHEAD: usize = 4096;

/// Memory that the allocator has not got yet.
#[derive(Debug)]
struct Rest {
    next: *mut u8,
    left: usize,
    end: Option<NonNull<u8>>,
}

impl Rest {
    /// How much to take for an allocation of `size` bytes, if there is enough.
    fn step(&self, size: usize, align: usize) -> Option<usize> {
        let least = size.checked_add(align)?.checked_add(OVERHEAD)?;
        let wanted = least.max(STEP).checked_next_multiple_of(4096)?;
        if wanted <= self.left { Some(wanted) } else { (least <= self.left).then_some(self.left) }
    }
}

// SAFETY: `acquire` allocates nothing, and gives the allocator memory that nobody else has: `next..next + left` is
// the heap of the boot page without what was given before.
unsafe impl Source for Rest {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let step = talc.source.step(layout.size(), layout.align()).ok_or(())?;
        let base = talc.source.next;
        let new_end = base.wrapping_add(step);
        // SAFETY: as above; the heap is one contiguous range, so that its end moves up.
        let end = unsafe {
            match talc.source.end {
                Some(end) => Some(talc.extend(end, new_end)),
                None => talc.claim(base, step),
            }
        };
        talc.source.next = new_end;
        talc.source.left -= step;
        talc.source.end = end;
        end.map(|_| ()).ok_or(())
    }
}

struct Heap {
    talc: TalcCell<Rest>,
    /// Bytes in use.
    used: Cell<usize>,
    /// The most bytes in use since free ranges were named last.
    peak: Cell<usize>,
}

// SAFETY: a guest has one thread of execution (see `global`); tests on the host use an allocator each.
unsafe impl Sync for Heap {}

impl Heap {
    const fn new() -> Self {
        let rest = Rest { next: core::ptr::null_mut(), left: 0, end: None };
        Self { talc: TalcCell::new(rest), used: Cell::new(0), peak: Cell::new(0) }
    }

    /// Gives the heap its memory.
    ///
    /// # Safety
    /// The range is writable, nobody else's, and stays.
    unsafe fn start(&self, base: *mut u8, length: usize) {
        let _ = self.talc.replace_source(Rest { next: base, left: length, end: None });
    }

    fn account(&self, more: usize, less: usize) {
        let used = self.used.get().wrapping_add(more).wrapping_sub(less);
        self.used.set(used);
        if used > self.peak.get() {
            self.peak.set(used);
        }
    }

    /// What an allocation takes: a byte more for the allocator, in whole units.
    const fn cost(size: usize) -> usize {
        (size + 1).next_multiple_of(CHUNK_UNIT)
    }
}

// SAFETY: talc keeps the contract; this counts.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let pointer = unsafe { GlobalAlloc::alloc(&self.talc, layout) };
        if !pointer.is_null() {
            self.account(Self::cost(layout.size()), 0);
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.account(0, Self::cost(layout.size()));
        // SAFETY: the caller's.
        unsafe { GlobalAlloc::dealloc(&self.talc, pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's.
        let moved = unsafe { GlobalAlloc::realloc(&self.talc, pointer, layout, size) };
        if !moved.is_null() {
            self.account(Self::cost(size), Self::cost(layout.size()));
        }
        moved
    }
}

#[cfg_attr(not(test), global_allocator)]
static HEAP: Heap = Heap::new();

#[cfg_attr(test, allow(dead_code))]
pub(crate) fn init(range: Range) {
    // SAFETY: the boot page says that this range is the guest's to use, and only the heap uses it.
    unsafe { HEAP.start(range.base as *mut u8, range.length as usize) }
}

/// Bytes that the heap has in all.
pub fn size() -> usize {
    crate::boot::page().heap.length as usize
}

/// Bytes in use by allocations, with what the allocator adds to each.
pub fn used() -> usize {
    HEAP.used.get()
}

/// Free memory is named to the monitor when so much was freed since the last time, bytes.
const RETURN_MINIMUM: usize = 1 << 20;
/// Most blocks that are named at a time.
const BLOCKS: usize = 128;
/// Sizes of blocks that are looked for, bytes.
const BLOCK_SIZES: [usize; 4] = [4 << 20, 1 << 20, 256 << 10, 64 << 10];
const PAGE: usize = abi::layout::PAGE_SIZE as usize;

/// Free blocks that the monitor is about to discard. They are allocated meanwhile, so that nobody uses them.
struct Held {
    /// Address and size of each.
    blocks: [(usize, usize); BLOCKS],
    count: usize,
}

static HELD: Global<Held> = Global::new(Held { blocks: [(0, 0); BLOCKS], count: 0 });

impl Heap {
    /// Allocates free blocks of the memory that the allocator has, up to `most` bytes.
    fn hold(&self, held: &mut Held, mut most: usize) {
        // Memory that was never taken costs the host nothing: it is not to be taken for this.
        let rest = self.talc.replace_source(Rest { next: core::ptr::null_mut(), left: 0, end: None });
        for size in BLOCK_SIZES {
            let Ok(layout) = Layout::from_size_align(size, PAGE) else { continue };
            while held.count < BLOCKS && most >= size {
                // SAFETY: the layout is not empty.
                let block = unsafe { GlobalAlloc::alloc(&self.talc, layout) };
                if block.is_null() {
                    break;
                }
                held.blocks[held.count] = (block.expose_provenance(), size);
                held.count += 1;
                most -= size;
            }
        }
        let _ = self.talc.replace_source(rest);
    }

    /// Frees what [`Heap::hold`] has allocated.
    fn release(&self, held: &mut Held) {
        for &(block, size) in &held.blocks[..held.count] {
            if let Ok(layout) = Layout::from_size_align(size, PAGE) {
                // SAFETY: `hold` has allocated it with this layout; nobody else knows of it.
                unsafe {
                    GlobalAlloc::dealloc(&self.talc, core::ptr::with_exposed_provenance_mut(block), layout)
                };
            }
        }
        held.count = 0;
    }
}

/// Names free memory to the monitor, which gives it back to the host, if much was freed since the last time. `send`
/// sends the ranges, and says whether it could. Called when the guest is idle.
pub(crate) fn offer_free_memory(send: impl FnOnce(&[u8]) -> bool) {
    let used = HEAP.used.get();
    if HEAP.peak.get().saturating_sub(used) < RETURN_MINIMUM || crate::boot::page().version_minor < 1 {
        return;
    }
    HELD.with(|held| {
        if held.count > 0 {
            return;
        }
        // Half of what is free stays, for what arrives before the monitor is done.
        HEAP.hold(held, size().saturating_sub(used) / 2);
        HEAP.peak.set(used);
        let mut message = [0; 16 * BLOCKS];
        for (entry, &(block, size)) in message.chunks_exact_mut(16).zip(&held.blocks[..held.count]) {
            // The allocator writes to both ends of a block when it is freed.
            entry[..8].copy_from_slice(&((block + PAGE) as u64).to_le_bytes());
            entry[8..].copy_from_slice(&((size - 2 * PAGE) as u64).to_le_bytes());
        }
        if held.count > 0 && !send(&message[..16 * held.count]) {
            HEAP.release(held);
        }
    });
}

/// The monitor has discarded what was named.
pub(crate) fn free_memory_discarded() {
    HELD.with(|held| HEAP.release(held));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A heap on a zeroed area, and the area.
    fn heap(length: usize) -> (Heap, Vec<u64>) {
        let mut area = vec![0u64; length / 8];
        let heap = Heap::new();
        // SAFETY: the area outlives the heap in every test, and nothing else uses it meanwhile.
        unsafe { heap.start(area.as_mut_ptr().cast(), length) };
        (heap, area)
    }

    #[test]
    fn a_small_guest_touches_only_the_low_end() {
        let (heap, area) = heap(1 << 20);
        for size in [16, 100, 1000, 4000] {
            let layout = Layout::from_size_align(size, 16).unwrap();
            // SAFETY: the layout is not empty.
            assert!(!unsafe { heap.alloc(layout) }.is_null());
        }
        assert_eq!(heap.used.get(), 32 + 128 + 1024 + 4032);
        let last = area.iter().rposition(|&word| word != 0).unwrap();
        assert!(last * 8 <= STEP, "touched up to {}", last * 8);
    }

    #[test]
    fn all_of_the_heap_can_be_had_and_had_again() {
        let (heap, _area) = heap(1 << 20);
        let layout = Layout::from_size_align(8 << 10, 8).unwrap();
        for _ in 0..3 {
            let mut got = Vec::new();
            loop {
                // SAFETY: the layout is not empty.
                let pointer = unsafe { heap.alloc(layout) };
                if pointer.is_null() {
                    break;
                }
                got.push(pointer);
            }
            assert!(got.len() >= 120, "{} of 128", got.len());
            for pointer in got {
                // SAFETY: it was allocated with this layout just now.
                unsafe { heap.dealloc(pointer, layout) };
            }
            assert_eq!(heap.used.get(), 0);
        }
    }

    #[test]
    fn free_blocks_are_held_without_taking_new_memory_and_given_back() {
        let (heap, area) = heap(8 << 20);
        let layout = Layout::from_size_align(3 << 20, 8).unwrap();
        // SAFETY: the layout is not empty, and the block is freed with it.
        unsafe {
            let block = heap.alloc(layout);
            heap.dealloc(block, layout);
        }
        let untouched = area.iter().rposition(|&word| word != 0).unwrap();
        let mut held = Held { blocks: [(0, 0); BLOCKS], count: 0 };
        heap.hold(&mut held, 8 << 20);
        let sum: usize = held.blocks[..held.count].iter().map(|(_, size)| size).sum();
        assert!(sum >= 5 << 19, "{sum}");
        assert_eq!(area.iter().rposition(|&word| word != 0).unwrap(), untouched);
        // What the monitor discards is not what the allocator needs.
        for &(block, size) in &held.blocks[..held.count] {
            // SAFETY: the range is inside the block, which is allocated.
            unsafe { core::ptr::write_bytes((block + PAGE) as *mut u8, 0, size - 2 * PAGE) };
        }
        heap.release(&mut held);
        // SAFETY: the layout is not empty.
        assert!(!unsafe { heap.alloc(layout) }.is_null());
    }

    #[test]
    fn an_absurd_size_is_refused() {
        let (heap, _area) = heap(1 << 20);
        for size in [1 << 21, isize::MAX as usize - 4096] {
            let layout = Layout::from_size_align(size, 4096).unwrap();
            // SAFETY: the layout is not empty.
            assert!(unsafe { heap.alloc(layout) }.is_null());
        }
    }
}
