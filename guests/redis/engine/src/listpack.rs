//! Short byte strings one after the other in one allocation: what small lists, hashes, sets and sorted sets are kept in.

use alloc::vec::Vec;

/// A length that does not fit into one byte follows this one in four.
const LONG: u8 = 0xff;

/// A sequence of byte strings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ListPack {
    bytes: Vec<u8>,
    count: u32,
}

fn header(length: usize) -> ([u8; 5], usize) {
    if length < LONG as usize {
        ([length as u8, 0, 0, 0, 0], 1)
    } else {
        let [a, b, c, d] = (length as u32).to_le_bytes();
        ([LONG, a, b, c, d], 5)
    }
}

/// Start of the string behind the header at `at`, and its end.
fn entry_range(bytes: &[u8], at: usize) -> (usize, usize) {
    match bytes[at] {
        LONG => {
            let length = u32::from_le_bytes([bytes[at + 1], bytes[at + 2], bytes[at + 3], bytes[at + 4]]);
            (at + 5, at + 5 + length as usize)
        }
        short => (at + 1, at + 1 + short as usize),
    }
}

/// What it takes to keep a string of this length.
pub(crate) fn encoded_len(length: usize) -> usize {
    header(length).1 + length
}

impl ListPack {
    /// An empty one with room for `bytes`.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), count: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes in use.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes allocated.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    fn offset(&self, index: usize) -> usize {
        let mut at = 0;
        for _ in 0..index {
            at = entry_range(&self.bytes, at).1;
        }
        at
    }

    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter { bytes: &self.bytes, at: 0 }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        (index < self.len()).then(|| {
            let (start, end) = entry_range(&self.bytes, self.offset(index));
            &self.bytes[start..end]
        })
    }

    fn grow(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            // Tight while small; a quarter more when it keeps growing.
            self.bytes.reserve_exact(more + self.bytes.len() / 4);
        }
    }

    /// Puts a string before the one at `index`, or at the end.
    pub(crate) fn insert(&mut self, index: usize, string: &[u8]) {
        let (head, n) = header(string.len());
        self.grow(n + string.len());
        if index >= self.len() {
            self.bytes.extend_from_slice(&head[..n]);
            self.bytes.extend_from_slice(string);
        } else {
            let at = self.offset(index);
            let old = self.bytes.len();
            self.bytes.resize(old + n + string.len(), 0);
            self.bytes.copy_within(at..old, at + n + string.len());
            self.bytes[at..at + n].copy_from_slice(&head[..n]);
            self.bytes[at + n..at + n + string.len()].copy_from_slice(string);
        }
        self.count += 1;
    }

    pub(crate) fn push(&mut self, string: &[u8]) {
        self.insert(usize::MAX, string);
    }

    /// Takes out `count` strings from `index` on.
    pub(crate) fn remove(&mut self, index: usize, count: usize) {
        let count = count.min(self.len().saturating_sub(index));
        let start = self.offset(index);
        let mut end = start;
        for _ in 0..count {
            end = entry_range(&self.bytes, end).1;
        }
        self.bytes.drain(start..end);
        self.count -= count as u32;
        if self.bytes.capacity() > 2 * self.bytes.len() + 64 {
            self.bytes.shrink_to(self.bytes.len());
        }
    }

    /// Puts another string in the place of the one at `index`.
    pub(crate) fn replace(&mut self, index: usize, string: &[u8]) {
        let (start, end) = entry_range(&self.bytes, self.offset(index));
        if end - start == string.len() {
            self.bytes[start..end].copy_from_slice(string);
        } else {
            self.remove(index, 1);
            self.insert(index, string);
        }
    }

    /// Splits off everything from `index` on.
    pub(crate) fn split_off(&mut self, index: usize) -> ListPack {
        let at = self.offset(index.min(self.len()));
        let tail =
            ListPack { bytes: self.bytes[at..].to_vec(), count: self.count - index.min(self.len()) as u32 };
        self.bytes.truncate(at);
        self.count -= tail.count;
        tail
    }
}

/// Strings of a pack, in order.
#[derive(Clone)]
pub(crate) struct Iter<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let (start, end) = entry_range(self.bytes, self.at);
        self.at = end;
        Some(&self.bytes[start..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn it_is_a_sequence() {
        let mut pack = ListPack::default();
        let mut model: Vec<Vec<u8>> = vec![];
        let mut state = 7u64;
        for i in 0..2000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (state >> 33) as usize % (model.len() + 1);
            let string = vec![i as u8; (state >> 50) as usize % if i % 50 == 0 { 600 } else { 20 }];
            match (state >> 20) % 4 {
                0 | 1 => {
                    pack.insert(at, &string);
                    model.insert(at, string);
                }
                2 if at < model.len() => {
                    pack.remove(at, 1);
                    model.remove(at);
                }
                3 if at < model.len() => {
                    pack.replace(at, &string);
                    model[at] = string;
                }
                _ => {}
            }
            assert!(pack.iter().eq(model.iter().map(|v| &v[..])));
            assert_eq!(pack.get(at), model.get(at).map(|v| &v[..]));
        }
        let tail = pack.split_off(3);
        assert!(pack.iter().chain(tail.iter()).eq(model.iter().map(|v| &v[..])));
        assert_eq!(pack.len(), 3);
    }
}
