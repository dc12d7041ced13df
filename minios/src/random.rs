//! Random numbers: ChaCha with 8 rounds, keyed by the host's random bytes.

use crate::global::Global;

/// A generator. Its numbers are as unpredictable as its key.
#[derive(Clone)]
pub struct Random {
    key: [u32; 8],
    block: u64,
    words: [u32; 16],
    left: usize,
}

impl Random {
    /// A generator with a key.
    pub const fn new(key: [u8; 32]) -> Self {
        let mut words = [0; 8];
        let mut i = 0;
        while i < 8 {
            words[i] = u32::from_le_bytes([key[4 * i], key[4 * i + 1], key[4 * i + 2], key[4 * i + 3]]);
            i += 1;
        }
        Self { key: words, block: 0, words: [0; 16], left: 0 }
    }

    fn refill(&mut self) {
        let k = self.key;
        let block = [self.block as u32, (self.block >> 32) as u32, 0, 0];
        // "expand 32-byte k"
        let constants = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
        let mut start = [0; 16];
        start[..4].copy_from_slice(&constants);
        start[4..12].copy_from_slice(&k);
        start[12..].copy_from_slice(&block);
        let mut x = start;
        for _ in 0..4 {
            for (a, b, c, d) in [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)] {
                quarter_round(&mut x, a, b, c, d);
            }
            for (a, b, c, d) in [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)] {
                quarter_round(&mut x, a, b, c, d);
            }
        }
        for (word, start) in x.iter_mut().zip(start) {
            *word = word.wrapping_add(start);
        }
        self.words = x;
        self.block += 1;
        self.left = 16;
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.left == 0 {
            self.refill();
        }
        self.left -= 1;
        self.words[15 - self.left]
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }
}

fn quarter_round(x: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    for (i, j, k, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
        x[i] = x[i].wrapping_add(x[j]);
        x[k] = (x[k] ^ x[i]).rotate_left(by);
    }
}

static RANDOM: Global<Option<Random>> = Global::new(None);

/// 64 random bits.
pub fn next_u64() -> u64 {
    RANDOM.with(|random| random.get_or_insert_with(|| Random::new(crate::boot::page().random)).next_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chacha8_of_the_zero_key_is_the_published_one() {
        // Either words of the ECRYPT test vector set, 256 bit key, all zero: 3e00ef2f895f40d6...
        let mut random = Random::new([0; 32]);
        assert_eq!(random.next_u32().to_le_bytes(), [0x3e, 0x00, 0xef, 0x2f]);
        assert_eq!(random.next_u32().to_le_bytes(), [0x89, 0x5f, 0x40, 0xd6]);
    }

    #[test]
    fn blocks_differ() {
        let mut random = Random::new([7; 32]);
        let first: Vec<_> = (0..16).map(|_| random.next_u32()).collect();
        let second: Vec<_> = (0..16).map(|_| random.next_u32()).collect();
        assert_ne!(first, second);
    }
}
