//! Words the guest stores to when it wants the monitor's attention.
//!
//! Each is written by one aligned store of exactly its size. Anything else (a load, another size, a vector store, a
//! store elsewhere in the two pages) is a guest fault and ends the instance.

use crate::layout::{DEVICE_PAGE, DOORBELL_PAGE};

/// 8 bytes. Sleep until the time stamp counter reaches the value stored, or until any source (a used ring whose
/// notification is wanted, the control ring) is signalled; at once if one already is, or if the deadline is past.
/// [`YIELD_FOREVER`]: no deadline. May return early, for a signal that was dealt with before the yield: look at
/// every source again.
pub const YIELD: u64 = DEVICE_PAGE;
/// Deadline that never comes.
pub const YIELD_FOREVER: u64 = u64::MAX;
/// 4 bytes, any value. The guest does what it is there for; stamp [`crate::boot::MARK_READY`] first.
pub const READY: u64 = DEVICE_PAGE + 0x08;
/// 4 bytes. End the instance with this code; does not return. Console output and replies that wait in the control
/// ring still arrive, packets in the transmit queues may not. Codes run from 0 to [`EXIT_CODE_MAXIMUM`].
pub const EXIT: u64 = DEVICE_PAGE + 0x10;
/// Largest exit code a guest has of its own; a larger one is taken as this.
pub const EXIT_CODE_MAXIMUM: u32 = 119;
/// Code by which a runtime says that the guest panicked.
pub const EXIT_CODE_PANIC: u32 = 101;
/// 4 bytes each, one every [`FAULT_STRIDE`] bytes for vectors 0 to 31: stored to by the monitor's fault gates. A
/// guest that stores here itself reports itself dead.
pub const FAULT: u64 = DEVICE_PAGE + 0x100;
/// Bytes from one fault register to the next.
pub const FAULT_STRIDE: u64 = 8;
/// Number of fault registers.
pub const FAULT_VECTORS: u64 = 32;

/// Address of doorbell `index`: 4 bytes, any value.
pub const fn doorbell(index: u32) -> u64 {
    DOORBELL_PAGE + 4 * index as u64
}
/// Doorbell of the control ring.
pub const DOORBELL_CONTROL: u32 = 0;
/// Doorbell of net device `device`, queue `queue` (0 receive, 1 transmit).
pub const fn doorbell_net(device: u32, queue: u32) -> u32 {
    1 + 2 * device + queue
}
