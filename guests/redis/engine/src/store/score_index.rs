//! Members by score: sorted chunks, so that a rank is a sum and an insertion moves little.

use crate::memory::can_allocate_buffer;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Most members of a chunk.
const CHUNK: usize = 256;

/// A member and its score.
#[derive(Clone, Debug)]
pub(crate) struct ScoredMember {
    pub(crate) score: f64,
    pub(crate) member: Rc<[u8]>,
}

impl ScoredMember {
    /// By score, then by the bytes of the member. Scores are never NaN.
    pub(crate) fn cmp_to(&self, score: f64, member: &[u8]) -> Ordering {
        self.score.partial_cmp(&score).unwrap_or(Ordering::Equal).then_with(|| (*self.member).cmp(member))
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ScoreIndex {
    chunks: Vec<Vec<ScoredMember>>,
    len: usize,
}

impl ScoreIndex {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity(&self) -> usize {
        let chunks = self.chunks.capacity() * size_of::<Vec<ScoredMember>>();
        chunks + self.chunks.iter().map(|c| c.capacity() * size_of::<ScoredMember>()).sum::<usize>()
    }

    /// Chunk and place of the first entry that `before` does not hold for. `before` holds for a first part alone.
    fn seek(&self, before: impl Fn(&ScoredMember) -> bool) -> (usize, usize) {
        let chunk = self.chunks.partition_point(|c| c.last().is_some_and(&before));
        let place = self.chunks.get(chunk).map_or(0, |c| c.partition_point(&before));
        (chunk, place)
    }

    /// How many entries `before` holds for.
    pub(crate) fn rank(&self, before: impl Fn(&ScoredMember) -> bool) -> usize {
        let (chunk, place) = self.seek(before);
        self.chunks[..chunk].iter().map(Vec::len).sum::<usize>() + place
    }

    pub(crate) fn insert(&mut self, entry: ScoredMember) {
        let (chunk, place) = self.seek(|e| e.cmp_to(entry.score, &entry.member).is_lt());
        self.len += 1;
        if self.chunks.is_empty() {
            return self.chunks.push(vec![entry]);
        }
        // Behind everything: at the end of the last chunk.
        let (chunk, place) = match chunk == self.chunks.len() {
            true => (chunk - 1, self.chunks[chunk - 1].len()),
            false => (chunk, place),
        };
        let at = &mut self.chunks[chunk];
        if at.len() == at.capacity() {
            at.reserve_exact((at.len() / 2).clamp(1, 64));
        }
        at.insert(place, entry);
        // A chunk that is longer than it should be is slower, which is better than an error.
        if at.len() > CHUNK && self.has_room_for_a_chunk() {
            let at = &mut self.chunks[chunk];
            let tail = at.split_off(CHUNK / 2);
            at.shrink_to_fit();
            self.chunks.insert(chunk + 1, tail);
        }
    }

    /// Whether the list of chunks can take one more.
    fn has_room_for_a_chunk(&mut self) -> bool {
        let capacity = self.chunks.capacity();
        if self.chunks.len() < capacity {
            return true;
        }
        let bytes = 2 * capacity * size_of::<Vec<ScoredMember>>();
        can_allocate_buffer(bytes) && self.chunks.try_reserve_exact(capacity).is_ok()
    }

    pub(crate) fn remove(&mut self, score: f64, member: &[u8]) {
        let (chunk, place) = self.seek(|e| e.cmp_to(score, member).is_lt());
        let Some(at) = self.chunks.get_mut(chunk) else { return };
        if at.get(place).is_some_and(|e| e.cmp_to(score, member).is_eq()) {
            at.remove(place);
            self.len -= 1;
            if at.is_empty() {
                self.chunks.remove(chunk);
            }
        }
    }

    fn find(&self, mut rank: usize) -> (usize, usize) {
        for (at, chunk) in self.chunks.iter().enumerate() {
            if rank < chunk.len() {
                return (at, rank);
            }
            rank -= chunk.len();
        }
        (self.chunks.len(), 0)
    }

    pub(crate) fn get(&self, rank: usize) -> Option<&ScoredMember> {
        let (chunk, place) = self.find(rank);
        self.chunks.get(chunk)?.get(place)
    }

    /// Entries from a rank upwards.
    pub(crate) fn up_from(&self, rank: usize) -> impl Iterator<Item = &ScoredMember> {
        let (chunk, place) = self.find(rank);
        self.chunks[chunk..].iter().flatten().skip(place)
    }

    /// Entries from a rank downwards.
    pub(crate) fn down_from(&self, rank: usize) -> impl Iterator<Item = &ScoredMember> {
        let (chunk, place) = self.find(rank);
        let (full, part) = match self.chunks.get(chunk) {
            Some(at) => (&self.chunks[..chunk], &at[..=place]),
            None => (&self.chunks[..], &[][..]),
        };
        part.iter().rev().chain(full.iter().rev().flat_map(|c| c.iter().rev()))
    }
}
