//! The buffers of one chain in a peer's memory: read from, or handed on as pieces.
#![allow(unsafe_code)]

use super::memory::Memory;
use crate::frame::Piece;
use virtqueue::{Buffer, DeviceQueue, RingError};

/// A chain's buffers, a first byte and a length each. Most chains have one.
pub struct Chain {
    /// Index of its first descriptor.
    pub head: u16,
    /// Sum of its buffers, bytes.
    length: usize,
    first: (*mut u8, usize),
    /// All of them; none where there is only the first.
    buffers: Vec<(*mut u8, usize)>,
}

// SAFETY: address ranges, used by one thread at a time.
unsafe impl Send for Chain {}

impl Default for Chain {
    fn default() -> Self {
        Self { head: 0, length: 0, first: (std::ptr::null_mut(), 0), buffers: Vec::new() }
    }
}

impl Chain {
    /// Becomes a chain of one buffer, that [`DeviceQueue::prefetch_chains`] has found.
    ///
    /// # Safety
    /// The buffer lies in mapped memory, which stays mapped while the batch is worked on.
    #[inline]
    pub unsafe fn set_single(&mut self, buffer: &Buffer) {
        self.head = buffer.head;
        self.length = buffer.length;
        self.first = (buffer.start, buffer.length);
        self.buffers.clear();
    }

    /// Becomes the chain `ahead` places beyond the next one, which must be waiting.
    #[inline]
    pub fn read(&mut self, ring: &DeviceQueue, memory: &Memory, ahead: u16) -> Result<(), RingError> {
        self.buffers.clear();
        let chain = ring.peek(memory, ahead, |start, length| self.buffers.push((start.as_ptr(), length)))?;
        (self.head, self.length) = (chain.head, chain.length as usize);
        self.first = self.buffers.first().copied().unwrap_or((std::ptr::null_mut(), 0));
        Ok(())
    }

    /// How many buffers it has.
    #[inline]
    pub fn count(&self) -> usize {
        self.buffers.len().max(1)
    }

    /// Sum of its buffers, bytes.
    #[inline]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Its buffers.
    #[inline]
    fn buffers(&self) -> &[(*mut u8, usize)] {
        if self.buffers.is_empty() { std::slice::from_ref(&self.first) } else { &self.buffers }
    }

    /// Its bytes from `skip` on as pieces, appended to a list.
    #[inline]
    pub fn pieces(&self, mut skip: usize, to: &mut Vec<Piece>) {
        for &(start, length) in self.buffers() {
            if skip >= length {
                skip -= length;
                continue;
            }
            // SAFETY: the buffer was checked to lie in mapped memory, which stays mapped while the batch is worked on.
            to.push(unsafe { Piece::new(start.add(skip), length - skip) });
            skip = 0;
        }
    }

    /// Copies bytes out from `skip` on, as many as there are.
    #[inline]
    pub fn read_at(&self, skip: usize, to: &mut [u8]) {
        let (start, length) = self.first;
        if skip + to.len() <= length {
            // SAFETY: the bytes lie in the first buffer, which is mapped.
            unsafe { copy(start.add(skip), to.as_mut_ptr(), to.len()) };
        } else {
            self.read_scattered(skip, to);
        }
    }

    fn read_scattered(&self, mut skip: usize, mut to: &mut [u8]) {
        for &(start, length) in self.buffers() {
            if skip >= length {
                skip -= length;
                continue;
            }
            let n = to.len().min(length - skip);
            // SAFETY: `n` bytes from `skip` on lie in the buffer, which is mapped.
            unsafe { copy(start.add(skip), to.as_mut_ptr(), n) };
            skip = 0;
            to = &mut to[n..];
            if to.is_empty() {
                return;
            }
        }
    }
}

/// Copies, without a call for what is small: most packets are.
///
/// # Safety
/// Both ranges are mapped and do not overlap.
#[inline]
pub unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    /// # Safety
    /// `size_of::<T>() <= length`, both ranges mapped.
    #[inline]
    unsafe fn ends<T: Copy>(from: *const u8, to: *mut u8, length: usize) {
        let last = length - size_of::<T>();
        // SAFETY: two copies within the ranges, which may overlap each other; both are read before one is written.
        unsafe {
            let (a, b) = (from.cast::<T>().read_unaligned(), from.add(last).cast::<T>().read_unaligned());
            to.cast::<T>().write_unaligned(a);
            to.add(last).cast::<T>().write_unaligned(b);
        }
    }
    // SAFETY: the size matches the range of lengths in each branch.
    unsafe {
        match length {
            0 => {}
            1 => to.write(from.read()),
            2..4 => ends::<u16>(from, to, length),
            4..8 => ends::<u32>(from, to, length),
            8..16 => ends::<u64>(from, to, length),
            16..32 => ends::<[u64; 2]>(from, to, length),
            32..64 => ends::<[u64; 4]>(from, to, length),
            64..=128 => ends::<[u64; 8]>(from, to, length),
            _ => std::ptr::copy_nonoverlapping(from, to, length),
        }
    }
}
