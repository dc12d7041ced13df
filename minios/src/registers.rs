//! Stores to the device page and the doorbell page ([`abi::registers`]).
#![allow(unsafe_code)]

use crate::clock::Tsc;
use abi::registers::{EXIT, READY, YIELD, YIELD_FOREVER, doorbell};
use core::arch::asm;

/// One aligned store of four bytes, as the registers want it: the compiler may not widen, split or vectorise it.
fn store32(address: u64, value: u32) {
    // SAFETY: the callers pass register addresses, which are no memory of the program; the rest of memory counts as
    // read and written, so that nothing is reordered across the store.
    unsafe {
        asm!("mov dword ptr [{}], {:e}", in(reg) address, in(reg) value, options(nostack, preserves_flags))
    }
}

/// Sleeps until the deadline, or until a source is signalled; `None`: no deadline. [`crate::idle::wait`] is the one to
/// call: this one alone loses wake-ups.
pub fn yield_until(deadline: Option<Tsc>) {
    let deadline = deadline.map_or(YIELD_FOREVER, |t| t.0);
    // SAFETY: as in `store32`.
    unsafe {
        asm!("mov qword ptr [{}], {}", in(reg) YIELD, in(reg) deadline, options(nostack, preserves_flags))
    }
}

/// Tells the monitor that the guest does what it is there for, after stamping the boot mark.
pub fn ready() {
    crate::boot::mark(abi::boot::MARK_READY);
    store32(READY, 1);
}

/// Ends the instance.
pub fn end(code: u32) -> ! {
    loop {
        store32(EXIT, code);
    }
}

/// Rings a doorbell by its index.
pub fn ring(index: u32) {
    store32(doorbell(index), 1);
}
