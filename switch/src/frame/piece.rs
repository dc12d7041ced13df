//! Bytes of a packet that lie elsewhere: in a guest's memory or in the worker's arena.
#![allow(unsafe_code)]

/// A range of memory that stays mapped while its batch is worked on. A guest may change what is in it at any time, so
/// no reference to it is ever made: bytes are copied.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    start: *const u8,
    length: usize,
}

// SAFETY: an address range; all access is by raw copies, from any thread.
unsafe impl Send for Piece {}

impl Piece {
    /// A range.
    ///
    /// # Safety
    /// It is mapped until the batch that it belongs to is cleared.
    #[inline]
    pub unsafe fn new(start: *const u8, length: usize) -> Self {
        Self { start, length }
    }

    /// Its first byte.
    #[inline]
    pub fn start(&self) -> *const u8 {
        self.start
    }

    /// Its bytes.
    #[inline]
    pub fn length(&self) -> usize {
        self.length
    }

    /// The range without its first bytes.
    pub fn skip(self, bytes: usize) -> Self {
        let bytes = bytes.min(self.length);
        // SAFETY: stays within the range.
        Self { start: unsafe { self.start.add(bytes) }, length: self.length - bytes }
    }

    /// No more than its first bytes.
    pub fn first(self, bytes: usize) -> Self {
        Self { start: self.start, length: self.length.min(bytes) }
    }

    /// Copies it to the end of a vector.
    pub fn append_to(&self, to: &mut Vec<u8>) {
        to.reserve(self.length);
        // SAFETY: the source is mapped (promised to `new`), the vector has room, and every byte up to the new length is
        // written.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start, to.as_mut_ptr().add(to.len()), self.length);
            to.set_len(to.len() + self.length);
        }
    }

    /// As the kernel's vectored calls take it.
    pub fn vector(&self) -> libc::iovec {
        libc::iovec { iov_base: self.start.cast_mut().cast(), iov_len: self.length }
    }
}
