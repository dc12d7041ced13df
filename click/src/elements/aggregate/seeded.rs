//! Maps by numbers that packets choose: who does not know the seed cannot make them slow.

use core::hash::{BuildHasher, Hasher};
use std::collections::HashMap;
use std::hash::RandomState;

/// A map whose keys are made of numbers.
pub type SeededMap<K, V> = HashMap<K, V, Seeded>;

/// What hashes are made with.
#[derive(Clone)]
pub struct Seeded([u64; 2]);

impl Default for Seeded {
    fn default() -> Self {
        let seed = RandomState::new();
        Self([seed.hash_one(0), seed.hash_one(1)])
    }
}

impl BuildHasher for Seeded {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding { state: self.0[0], key: self.0[1] | 1 }
    }
}

/// A hash of numbers: each is multiplied in, and the product folded.
pub struct Folding {
    state: u64,
    key: u64,
}

impl Hasher for Folding {
    #[inline]
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.state ^ number) * u128::from(self.key);
        self.state = product as u64 ^ (product >> 64) as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut number = [0; 8];
            number[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(number));
        }
    }

    fn finish(&self) -> u64 {
        self.state
    }
}
