//! Guest-physical memory map. The monitor's page tables map what they map at the same virtual address, so a guest
//! uses one kind of address for its pointers and for its descriptors.
//!
//! ```text
//! 0x0000_0000 .. 0x0001_0000   never mapped: a null pointer faults
//! 0x0010_0000                  device page      (stores only, see `registers`)
//! 0x0010_1000                  doorbell page    (stores only, see `registers`)
//! 0x0020_0000 .. 0x0040_0000   monitor pages    (slot 1; the guest can touch the fault stack alone)
//! 0x0040_0000 .. 0x1000_0000   image            (slot 2: constants read-only, text read-execute)
//! 0x1000_0000 .. + memory      guest memory     (slot 3: the only range a descriptor may name)
//! ```
//!
//! Guest memory starts with the image's data and bss. Then follow, each from a page boundary: an unmapped guard
//! page, the stack, another guard page, the boot page with the command line and configuration behind it
//! (read-only), the guest page, the control rings, the virtqueues, and the heap up to the end. Nothing but the
//! start is at a fixed place: the boot page says where each part lies.

/// Size of a small page, bytes.
pub const PAGE_SIZE: u64 = 4096;
/// First byte of the device page ([`crate::registers`]).
pub const DEVICE_PAGE: u64 = 0x0010_0000;
/// First byte of the doorbell page ([`crate::registers`]).
pub const DOORBELL_PAGE: u64 = 0x0010_1000;
/// First byte of the monitor's own pages.
pub const MONITOR_BASE: u64 = 0x0020_0000;
/// First byte of an image: its ELF header is mapped here.
pub const IMAGE_BASE: u64 = 0x0040_0000;
/// Read-only segments end at or before this address.
pub const IMAGE_END: u64 = DATA_BASE;
/// First byte of guest memory: data, bss, stack, rings, heap.
pub const DATA_BASE: u64 = 0x1000_0000;
/// The most guest memory a monitor gives, bytes.
pub const MEMORY_MAX: u64 = 32 << 30;
