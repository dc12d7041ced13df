//! Memory for packets that the kernel or the switch itself makes, given out in order and taken back with the batch. It
//! is small, so that it stays in the cache.
#![allow(unsafe_code)]

use super::Piece;

/// Longest packet that any port can have, bytes: a large segment with its headers.
pub const LARGEST: usize = 66 * 1024;
const BYTES: usize = 8 * LARGEST;

/// The memory.
pub struct Arena {
    bytes: Box<[u8]>,
    used: usize,
}

impl Default for Arena {
    fn default() -> Self {
        Self { bytes: vec![0; BYTES].into_boxed_slice(), used: 0 }
    }
}

impl Arena {
    /// Takes all back.
    #[inline]
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// The room `ahead` places beyond the next one; `None` if there is too little left.
    pub fn room(&mut self, ahead: usize) -> Option<&mut [u8]> {
        let start = self.used + ahead * LARGEST;
        self.bytes.get_mut(start..start + LARGEST)
    }

    /// The first `length` bytes of the next room are in use from now on.
    pub fn commit(&mut self, length: usize) -> Piece {
        let start = self.used;
        let length = length.min(self.bytes.len() - start);
        // Rounded to cache lines.
        self.used = (start + length).next_multiple_of(64).min(self.bytes.len());
        // SAFETY: within the arena, which lives as long as its batch; it is overwritten only after `clear`.
        unsafe { Piece::new(self.bytes.as_ptr().add(start), length) }
    }

    /// Several rooms were filled at once, from `first` on, which [`Arena::mark`] gave: the `index`th of them, with
    /// `length` bytes, moves down to the next room.
    pub fn move_down(&mut self, first: usize, index: usize, length: usize) {
        let from = first + index * LARGEST;
        if from != self.used {
            self.bytes.copy_within(from..from + length.min(LARGEST), self.used);
        }
    }

    /// Where the next room begins.
    pub fn mark(&self) -> usize {
        self.used
    }

    /// Copies bytes in; `None` if they do not fit.
    pub fn keep(&mut self, bytes: &[u8]) -> Option<Piece> {
        self.bytes.get_mut(self.used..self.used + bytes.len())?.copy_from_slice(bytes);
        Some(self.commit(bytes.len()))
    }
}
