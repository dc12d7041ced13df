//! Split virtqueues, virtio 1.2 section 2.7: layout and flags.

/// An entry of the descriptor table (2.7.5).
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Guest-physical address of the buffer.
    pub address: u64,
    /// Its length, bytes.
    pub length: u32,
    /// `DESCRIPTOR_` flags.
    pub flags: u16,
    /// Next descriptor of the chain, if [`DESCRIPTOR_NEXT`] is set.
    pub next: u16,
}

/// The chain goes on at `next`.
pub const DESCRIPTOR_NEXT: u16 = 1;
/// The device writes this buffer (else it reads it).
pub const DESCRIPTOR_WRITE: u16 = 2;
/// Not offered by MicroVisor.
pub const DESCRIPTOR_INDIRECT: u16 = 4;

/// An entry of the used ring (2.7.8).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedElement {
    /// Head of the chain that was used.
    pub id: u32,
    /// Bytes the device wrote.
    pub length: u32,
}

/// Available ring: offset of `flags` (`u16`; bit 0: no used notifications wanted, without event index).
pub const AVAILABLE_FLAGS: u64 = 0;
/// Available ring: offset of `idx` (`u16`).
pub const AVAILABLE_INDEX: u64 = 2;
/// Available ring: offset of the ring (`u16` each).
pub const AVAILABLE_RING: u64 = 4;
/// Used ring: offset of `flags` (`u16`; bit 0: no available notifications wanted, without event index).
pub const USED_FLAGS: u64 = 0;
/// Used ring: offset of `idx` (`u16`).
pub const USED_INDEX: u64 = 2;
/// Used ring: offset of the ring ([`UsedElement`] each).
pub const USED_RING: u64 = 4;

/// Bytes of a descriptor table of `size` entries; alignment 16.
pub const fn descriptors_bytes(size: u32) -> u64 {
    16 * size as u64
}
/// Bytes of an available ring of `size` entries, `used_event` behind it; alignment 2.
pub const fn available_bytes(size: u32) -> u64 {
    6 + 2 * size as u64
}
/// Bytes of a used ring of `size` entries, `avail_event` behind it; alignment 4.
pub const fn used_bytes(size: u32) -> u64 {
    6 + 8 * size as u64
}
/// Offset of `used_event` in the available ring.
pub const fn used_event(size: u32) -> u64 {
    4 + 2 * size as u64
}
/// Offset of `avail_event` in the used ring.
pub const fn available_event(size: u32) -> u64 {
    4 + 8 * size as u64
}
/// Most entries a queue may have (2.7).
pub const SIZE_MAXIMUM: u32 = 32768;

const _: () = assert!(size_of::<Descriptor>() == 16);
