//! Memory that driver and device share.
#![allow(unsafe_code)]

use core::ptr::NonNull;

/// The address space of a queue: translates the addresses in its descriptors to pointers in this program.
///
/// # Safety
/// All `length` bytes from the answer of [`Memory::translate`] on can be read and written, by raw copies and by atomic
/// accesses, as long as the implementor lives and is not changed. No reference to them exists meanwhile.
pub unsafe trait Memory {
    /// Pointer to `length` bytes at `address`; `None` if they are not all mapped, in one contiguous range.
    fn translate(&self, address: u64, length: u64) -> Option<NonNull<u8>>;
}

/// A guest's own memory: descriptors contain the guest's own addresses.
#[derive(Clone, Copy, Debug)]
pub struct OwnMemory(());

impl OwnMemory {
    /// This program's address space.
    ///
    /// # Safety
    /// Every address that is asked for is one of memory as [`Memory`] promises it.
    pub const unsafe fn new() -> Self {
        Self(())
    }
}

// SAFETY: promised to `new`.
unsafe impl Memory for OwnMemory {
    #[inline]
    fn translate(&self, address: u64, _: u64) -> Option<NonNull<u8>> {
        NonNull::new(address as *mut u8)
    }
}
