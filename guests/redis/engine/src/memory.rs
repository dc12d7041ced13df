//! Whether memory suffices, asked before it is needed.
//!
//! `alloc`'s collections end the guest when an allocation fails, so no request may come to that point. What a request
//! can make large is tried first: [`can_allocate`] takes a block and gives it back. A heap that has a contiguous block
//! of `n` bytes has room for any allocations of `n` bytes in all, however fragmented the rest is. What a request
//! allocates without asking is small, and comes out of [`RESERVE`], which every check leaves alone.

use alloc::vec::Vec;
use core::hint::black_box;

/// The contiguous block that every check leaves free, bytes.
pub(crate) const RESERVE: usize = 256 << 10;
/// How much requests may take after one successful try, before the next, bytes.
const CREDIT: usize = 512 << 10;
/// What a small buffer has to leave of the reserve, bytes.
const SMALL_RESERVE: usize = RESERVE / 2;
/// The largest of these buffers, bytes. One that is refused ends its connection, while a command that finds no memory is
/// answered: so as long as commands are, their requests have room, however fragmented the heap is.
const SMALL_BUFFER: usize = 64 << 10;
/// Allocations of a request up to this size need no check, bytes.
const UNCHECKED: usize = 16 << 10;

/// Whether the heap has a contiguous block of so many bytes now.
fn try_block(bytes: usize) -> bool {
    let mut block: Vec<u8> = Vec::new();
    let there = block.try_reserve_exact(bytes).is_ok();
    // The compiler must not take an allocation that nobody uses for a success.
    black_box(&block);
    there
}

/// Whether `bytes` can be allocated, in one piece or in many.
pub(crate) fn can_allocate(bytes: usize) -> bool {
    try_block(bytes.saturating_add(RESERVE + CREDIT))
}

/// Whether a buffer of `bytes` can be allocated; a small one may take part of the reserve.
pub(crate) fn can_allocate_buffer(bytes: usize) -> bool {
    if bytes <= SMALL_BUFFER { try_block(bytes + SMALL_RESERVE) } else { can_allocate(bytes) }
}

/// What requests may still take before the heap has to be tried again.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    /// Bytes.
    left: usize,
}

impl Credit {
    /// Takes `bytes` from what was found free, or from what is free now; whether there was enough.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        if let Some(left) = self.left.checked_sub(bytes) {
            self.left = left;
            return true;
        }
        self.left = 0;
        if can_allocate(bytes) {
            self.left = CREDIT;
            return true;
        }
        // Less is left than a credit, but enough for this one.
        try_block(bytes.saturating_add(RESERVE))
    }

    /// The same for memory that a request needs while it runs, if it is not little.
    pub(crate) fn take_transient(&mut self, bytes: usize) -> bool {
        bytes <= UNCHECKED || self.take(bytes)
    }
}
