//! Lists: a deque of packs.

use crate::listpack::{ListPack, encoded_len};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes of a pack, unless one element has more.
const CHUNK: usize = 4096;
/// Elements of a pack.
const ELEMENTS: usize = 128;

#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    chunks: VecDeque<ListPack>,
    len: usize,
}

fn fits(pack: &ListPack, element: &[u8]) -> bool {
    pack.len() < ELEMENTS && pack.size() + encoded_len(element.len()) <= CHUNK
}

impl List {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn size(&self) -> usize {
        self.chunks.capacity() * size_of::<ListPack>()
            + self.chunks.iter().map(ListPack::capacity).sum::<usize>()
    }

    /// Whether it is as small as what Redis keeps in one listpack.
    pub(crate) fn is_small(&self) -> bool {
        self.chunks.iter().map(ListPack::size).sum::<usize>() <= 8192
    }

    /// Bytes that the list of packs needs to grow by `packs` more; 0 if it has room.
    pub(crate) fn growth(&self, packs: usize) -> usize {
        let wanted = self.chunks.len() + packs;
        if wanted <= self.chunks.capacity() { 0 } else { 2 * wanted * size_of::<ListPack>() }
    }

    pub(crate) fn push_front(&mut self, element: &[u8]) {
        self.len += 1;
        match self.chunks.front_mut() {
            Some(first) if fits(first, element) => first.insert(0, element),
            _ => {
                let mut pack = ListPack::default();
                pack.push(element);
                self.chunks.push_front(pack);
            }
        }
    }

    pub(crate) fn push_back(&mut self, element: &[u8]) {
        self.len += 1;
        match self.chunks.back_mut() {
            Some(last) if fits(last, element) => last.push(element),
            _ => {
                let mut pack = ListPack::default();
                pack.push(element);
                self.chunks.push_back(pack);
            }
        }
    }

    /// Takes the first element, or the last, after somebody has looked at it where it lies: it may be large.
    pub(crate) fn pop<R>(&mut self, front: bool, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let pack = if front { self.chunks.front_mut() } else { self.chunks.back_mut() }?;
        let index = if front { 0 } else { pack.len() - 1 };
        let seen = look(pack.get(index)?);
        if pack.len() > 1 {
            pack.remove(index, 1);
        } else if front {
            self.chunks.pop_front();
        } else {
            self.chunks.pop_back();
        }
        self.len -= 1;
        Some(seen)
    }

    /// The first element, or the last.
    pub(crate) fn end(&self, front: bool) -> Option<&[u8]> {
        let pack = if front { self.chunks.front() } else { self.chunks.back() }?;
        pack.get(if front { 0 } else { pack.len() - 1 })
    }

    pub(crate) fn push(&mut self, front: bool, element: &[u8]) {
        if front { self.push_front(element) } else { self.push_back(element) }
    }

    /// The pack that an element lies in, and its place there.
    fn find(&self, mut index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        for (at, pack) in self.chunks.iter().enumerate() {
            if index < pack.len() {
                return Some((at, index));
            }
            index -= pack.len();
        }
        None
    }

    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        let (chunk, place) = self.find(index)?;
        self.chunks[chunk].get(place)
    }

    pub(crate) fn set(&mut self, index: usize, element: &[u8]) {
        if let Some((chunk, place)) = self.find(index) {
            self.chunks[chunk].replace(place, element);
        }
    }

    /// Puts an element before the one at `index`.
    pub(crate) fn insert(&mut self, index: usize, element: &[u8]) {
        let Some((chunk, place)) = self.find(index) else { return self.push_back(element) };
        self.len += 1;
        if fits(&self.chunks[chunk], element) {
            return self.chunks[chunk].insert(place, element);
        }
        let tail = self.chunks[chunk].split_off(place);
        let mut middle = ListPack::default();
        middle.push(element);
        self.chunks.insert(chunk + 1, tail);
        self.chunks.insert(chunk + 1, middle);
        if self.chunks[chunk].is_empty() {
            self.chunks.remove(chunk);
        }
    }

    /// Takes out everything but a range.
    pub(crate) fn trim(&mut self, keep: Range<usize>) {
        self.drop_front(keep.start.min(self.len));
        self.drop_back(self.len.saturating_sub(keep.end.saturating_sub(keep.start)));
    }

    fn drop_front(&mut self, mut count: usize) {
        self.len -= count;
        while let Some(first) = self.chunks.front_mut().filter(|_| count > 0) {
            let n = count.min(first.len());
            if n == first.len() {
                self.chunks.pop_front();
            } else {
                first.remove(0, n);
            }
            count -= n;
        }
    }

    fn drop_back(&mut self, mut count: usize) {
        self.len -= count;
        while let Some(last) = self.chunks.back_mut().filter(|_| count > 0) {
            let n = count.min(last.len());
            if n == last.len() {
                self.chunks.pop_back();
            } else {
                last.remove(last.len() - n, n);
            }
            count -= n;
        }
    }

    /// Takes out up to `most` elements equal to `element`, from the front or from the back; how many.
    pub(crate) fn remove(&mut self, element: &[u8], most: usize, front: bool) -> usize {
        let mut removed = 0;
        let chunks = self.chunks.len();
        for i in 0..chunks {
            let chunk = &mut self.chunks[if front { i } else { chunks - 1 - i }];
            let mut places: Vec<usize> =
                chunk.iter().enumerate().filter(|(_, e)| *e == element).map(|(place, _)| place).collect();
            let wanted = places.len().min(most - removed);
            if front {
                places.truncate(wanted);
            } else {
                places.drain(..places.len() - wanted);
            }
            for place in places.into_iter().rev() {
                chunk.remove(place, 1);
                removed += 1;
            }
            if removed == most {
                break;
            }
        }
        self.len -= removed;
        if removed > 0 {
            self.chunks.retain(|pack| !pack.is_empty());
        }
        removed
    }

    /// Elements from one on.
    pub(crate) fn iter_from(&self, index: usize) -> impl Iterator<Item = &[u8]> {
        let (chunk, place) = self.find(index).unwrap_or((self.chunks.len(), 0));
        self.chunks.iter().skip(chunk).flat_map(ListPack::iter).skip(place)
    }

    pub(crate) fn iter_back(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().rev().flat_map(|pack| pack.iter().collect::<Vec<_>>().into_iter().rev())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn it_is_a_deque() {
        let mut list = List::default();
        let mut model: VecDeque<Vec<u8>> = VecDeque::new();
        let mut state = 11u64;
        for i in 0..20_000u64 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let element = vec![(i % 5) as u8; (state >> 40) as usize % if i % 100 == 0 { 5000 } else { 12 }];
            let at = (state >> 33) as usize % (model.len() + 1);
            match (state >> 20) % 16 {
                0..4 => (list.push_front(&element), model.push_front(element)).1,
                4..8 => (list.push_back(&element), model.push_back(element)).1,
                8..10 => (list.insert(at, &element), model.insert(at, element)).1,
                10 => assert_eq!(list.pop(true, <[u8]>::to_vec), model.pop_front()),
                11 => assert_eq!(list.pop(false, <[u8]>::to_vec), model.pop_back()),
                12 if at < model.len() => {
                    list.set(at, &element);
                    model[at] = element;
                }
                13 => {
                    let n = list.remove(&element, 2, true);
                    for _ in 0..n {
                        let at = model.iter().position(|e| *e == element).unwrap();
                        model.remove(at);
                    }
                }
                14 => {
                    let n = list.remove(&element, 2, false);
                    for _ in 0..n {
                        let at = model.iter().rposition(|e| *e == element).unwrap();
                        model.remove(at);
                    }
                }
                _ if i % 997 == 0 => {
                    let end = at + (model.len() - at) / 2;
                    list.trim(at / 2..end);
                    model = model.range(at / 2..end).cloned().collect();
                }
                _ => assert_eq!(list.get(at), model.get(at).map(|v| &v[..])),
            }
            assert_eq!(list.len(), model.len());
        }
        assert!(list.iter_from(0).eq(model.iter().map(|v| &v[..])));
        assert!(list.iter_back().eq(model.iter().rev().map(|v| &v[..])));
    }
}
