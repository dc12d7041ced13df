//! A hash table that grows and shrinks a little at a time, and that can be walked while it does.
//!
//! Linear hashing over small tables: a shard is split in two when the mean is exceeded, so no operation moves more than
//! about a hundred entries and there is never a second copy of the whole. Shard `i` holds the keys whose hash ends in the
//! bits of `i`; with the bits reversed, a shard is a range, and the cursor of a walk is a place in that space: splits
//! and merges only move borders.

use crate::memory::can_allocate_buffer;
use alloc::vec::Vec;
use core::hash::Hasher;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

/// Entries of a shard, in the mean, before there are more shards.
const SPLIT_LOAD: usize = 96;
/// Below this mean there are fewer.
const MERGE_LOAD: usize = 24;

/// Keys that make the hash unguessable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seed(pub u64, pub u64);

impl Seed {
    pub(crate) fn hash(self, key: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(key);
        hasher.finish()
    }
}

/// What has a key.
pub(crate) trait Keyed {
    fn key(&self) -> &[u8];
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    shards: Vec<HashTable<T>>,
    len: usize,
    seed: Seed,
}

/// Shards are told apart by the low bits; within one, the table goes by the others.
fn inner(hash: u64) -> u64 {
    hash.rotate_right(32)
}

impl<T: Keyed> Table<T> {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { shards: Vec::new(), len: 0, seed }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.seed.hash(key)
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn shard(&self, index: usize) -> impl Iterator<Item = &T> {
        self.shards.get(index).into_iter().flat_map(HashTable::iter)
    }

    /// How many low bits of the hash choose among all shards.
    fn bits(&self) -> u32 {
        usize::BITS - self.shards.len().saturating_sub(1).leading_zeros()
    }

    fn index(&self, hash: u64) -> usize {
        let bits = self.bits();
        let wide = (hash & ((1u64 << bits) - 1)) as usize;
        if bits == 0 || wide < self.shards.len() { wide } else { wide & ((1 << (bits - 1)) - 1) }
    }

    /// The shard that a key belongs to.
    pub(crate) fn shard_of(&self, key: &[u8]) -> usize {
        self.index(self.seed.hash(key))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&T> {
        let hash = self.seed.hash(key);
        self.shards.get(self.index(hash))?.find(inner(hash), |entry| entry.key() == key)
    }

    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut T> {
        let hash = self.seed.hash(key);
        let index = self.index(hash);
        self.shards.get_mut(index)?.find_mut(inner(hash), |entry| entry.key() == key)
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Adds an entry whose key is not there.
    pub(crate) fn insert(&mut self, entry: T) -> &mut T {
        if self.shards.is_empty() {
            self.shards.push(HashTable::new());
        } else if self.len >= self.shards.len() * SPLIT_LOAD {
            self.split();
        }
        self.len += 1;
        let hash = self.seed.hash(entry.key());
        let (index, seed) = (self.index(hash), self.seed);
        self.shards[index].insert_unique(inner(hash), entry, |e| inner(seed.hash(e.key()))).into_mut()
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<T> {
        let hash = self.seed.hash(key);
        let (index, seed) = (self.index(hash), self.seed);
        let shard = self.shards.get_mut(index)?;
        let (entry, _) = shard.find_entry(inner(hash), |entry| entry.key() == key).ok()?.remove();
        if shard.len() * 4 < shard.capacity() {
            shard.shrink_to(shard.len() * 2, |e| inner(seed.hash(e.key())));
        }
        self.len -= 1;
        self.shrink();
        Some(entry)
    }

    /// Moves the upper half of the next shard in turn to a new one.
    fn split(&mut self) {
        // Shards that are fuller than they should be are slower, which is better than an error.
        let capacity = self.shards.capacity();
        if self.shards.len() == capacity {
            let bytes = 2 * capacity * size_of::<HashTable<T>>();
            if !can_allocate_buffer(bytes) || self.shards.try_reserve_exact(capacity).is_err() {
                return;
            }
        }
        let new = self.shards.len();
        self.shards.push(HashTable::new());
        let bits = self.bits();
        let old = new & ((1 << (bits - 1)) - 1);
        let seed = self.seed;
        let moves = |e: &mut T| seed.hash(e.key()) >> (bits - 1) & 1 == 1;
        let moved: Vec<T> = self.shards[old].extract_if(moves).collect();
        let rest = self.shards[old].len();
        self.shards[old].shrink_to(rest + rest / 8, |e| inner(seed.hash(e.key())));
        let mut table = HashTable::with_capacity(moved.len());
        for entry in moved {
            table.insert_unique(inner(seed.hash(entry.key())), entry, |e| inner(seed.hash(e.key())));
        }
        self.shards[new] = table;
    }

    /// Moves the last shard's entries back to the one that they came from.
    fn merge(&mut self) {
        let bits = self.bits();
        let seed = self.seed;
        let Some(mut last) = self.shards.pop() else { return };
        let into = self.shards.len() & ((1 << (bits - 1)) - 1);
        for entry in last.drain() {
            let hash = inner(seed.hash(entry.key()));
            self.shards[into].insert_unique(hash, entry, |e| inner(seed.hash(e.key())));
        }
        if self.shards.len() * 4 < self.shards.capacity() {
            self.shards.shrink_to(self.shards.len() * 2);
        }
    }

    /// Takes an entry of a shard out for which a condition holds.
    pub(crate) fn pop(&mut self, shard: usize, condition: impl FnMut(&mut T) -> bool) -> Option<T> {
        // `extract_if` leaves what it has not visited when it is dropped.
        let entry = self.shards.get_mut(shard)?.extract_if(condition).next()?;
        self.len -= 1;
        self.shrink();
        Some(entry)
    }

    /// Merges shards, if they have become nearly empty.
    fn shrink(&mut self) {
        if self.len < self.shards.len() * MERGE_LOAD && self.shards.len() > 1 {
            self.merge();
        }
        if self.len == 0 {
            self.shards = Vec::new();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().flat_map(HashTable::iter)
    }

    /// Visits about `count` entries from a cursor on, and returns the next cursor: 0 at the end. What is there from the
    /// first call to the last is visited.
    pub(crate) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&T)) -> u64 {
        /// Cursors are the upper bits of the reversed hash.
        const SPACE: u32 = 48;
        if self.shards.is_empty() || cursor >> SPACE != 0 {
            return 0;
        }
        let mut at = cursor;
        let mut seen = 0;
        while seen < count.max(1) {
            let index = self.index((at << (64 - SPACE)).reverse_bits());
            let shard = &self.shards[index];
            let bits = self.bits();
            // A shard that was not split yet this time round is told by one bit less.
            let split = bits > 0 && (index | 1 << (bits - 1)) < self.shards.len();
            let width = if split || bits == 0 || index >= 1 << (bits - 1) { bits } else { bits - 1 };
            let size = 1u64 << (SPACE - width);
            let end = (at & !(size - 1)) + size;
            let want = (count.max(1) - seen) as u64;
            let step = match shard.len() as u64 {
                n if n <= want => size,
                n => (size / n).saturating_mul(want).max(1),
            };
            let stop = end.min(at + step);
            for entry in shard.iter() {
                let place = self.seed.hash(entry.key()).reverse_bits() >> (64 - SPACE);
                if (at..stop).contains(&place) {
                    visit(entry);
                    seen += 1;
                }
            }
            at = stop;
            if at >> SPACE != 0 {
                return 0;
            }
        }
        at
    }

    /// An entry by chance; the same for the same number.
    pub(crate) fn random(&self, mut rng: impl FnMut() -> u64) -> Option<&T> {
        if self.len == 0 {
            return None;
        }
        loop {
            let shard = &self.shards[(rng() % self.shards.len() as u64) as usize];
            // Shards differ in size: one that is small is passed over as often as it has to be.
            let place = (rng() % (4 * SPLIT_LOAD).max(shard.len()) as u64) as usize;
            if let Some(entry) = shard.iter().nth(place) {
                return Some(entry);
            }
        }
    }

    /// Bytes that the table itself takes, without what entries point to.
    pub(crate) fn overhead(&self) -> usize {
        self.shards.capacity() * size_of::<HashTable<T>>()
            + self.shards.iter().map(|s| s.allocation_size()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::string::{String, ToString};

    impl Keyed for String {
        fn key(&self) -> &[u8] {
            self.as_bytes()
        }
    }

    #[test]
    fn a_walk_meets_all_that_stays_while_the_table_grows_and_shrinks() {
        let mut table: Table<String> = Table::new(Seed(1, 2));
        for i in 0..5000 {
            table.insert(i.to_string());
        }
        let (mut cursor, mut round, mut met) = (0, 0, BTreeSet::new());
        loop {
            cursor = table.scan(cursor, 10, |e| {
                met.insert(e.clone());
            });
            for i in 0..100 {
                let extra = std::format!("x{}", round * 100 + i);
                match round < 100 {
                    true => drop(table.insert(extra)),
                    false => drop(table.remove(std::format!("x{}", (round - 100) * 100 + i).as_bytes())),
                }
            }
            round += 1;
            if cursor == 0 {
                break;
            }
        }
        assert!((0..5000).all(|i| met.contains(&i.to_string())), "{} met", met.len());
        for i in 0..5000 {
            assert_eq!(table.remove(i.to_string().as_bytes()), Some(i.to_string()));
        }
    }

    #[test]
    fn a_walk_with_a_large_count_takes_few_steps() {
        let mut table: Table<String> = Table::new(Seed(3, 4));
        for i in 0..20_000 {
            table.insert(i.to_string());
        }
        let (mut cursor, mut steps, mut met) = (0, 0, 0);
        loop {
            cursor = table.scan(cursor, 1000, |_| met += 1);
            steps += 1;
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(met, 20_000);
        assert!(steps <= 25, "{steps}");
    }
}
