//! Sorted sets: members in order of their scores, and, once they are many, a table that finds a member's score.

use super::score_index::{ScoreIndex, ScoredMember};
use super::{PACKED_BYTES, PACKED_ENTRIES};
use crate::table::{Keyed, Seed, Table};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::ops::Range;

impl Keyed for ScoredMember {
    fn key(&self) -> &[u8] {
        &self.member
    }
}

/// Members taken at a time, so that taking all needs no memory to speak of.
const BATCH: usize = 256;

#[derive(Clone, Debug, Default)]
pub(crate) struct Zset {
    pub(crate) by_score: ScoreIndex,
    index: Option<Table<ScoredMember>>,
    longest: usize,
}

impl Zset {
    pub(crate) fn len(&self) -> usize {
        self.by_score.len()
    }

    pub(crate) fn is_small(&self) -> bool {
        self.index.is_none() && self.longest <= PACKED_BYTES
    }

    pub(crate) fn size(&self) -> usize {
        let members = self.by_score.up_from(0).map(|e| e.member.len() + 24).sum::<usize>();
        self.by_score.capacity() + members + self.index.as_ref().map_or(0, Table::overhead)
    }

    fn entry(&self, member: &[u8]) -> Option<&ScoredMember> {
        match &self.index {
            Some(index) => index.get(member),
            None => self.by_score.up_from(0).find(|e| *e.member == *member),
        }
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        self.entry(member).map(|e| e.score)
    }

    /// How many members come before this one.
    pub(crate) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.by_score.rank(|e| e.cmp_to(score, member).is_lt()), score))
    }

    /// Sets a member's score; whether the member is new.
    pub(crate) fn set(&mut self, member: &[u8], score: f64, seed: Seed) -> bool {
        // Without a sign on zero.
        let score = score + 0.0;
        let shared = match self.entry(member).cloned() {
            Some(old) if old.score == score => return false,
            Some(old) => {
                self.by_score.remove(old.score, member);
                Some(old.member)
            }
            None => None,
        };
        let new = shared.is_none();
        let entry = ScoredMember { score, member: shared.unwrap_or_else(|| Rc::from(member)) };
        self.longest = self.longest.max(member.len());
        if let Some(index) = &mut self.index {
            match index.get_mut(member) {
                Some(old) => old.score = score,
                None => drop(index.insert(entry.clone())),
            }
        }
        self.by_score.insert(entry);
        if self.index.is_none() && self.len() > PACKED_ENTRIES {
            let mut index = Table::new(seed);
            for entry in self.by_score.up_from(0) {
                index.insert(entry.clone());
            }
            self.index = Some(index);
        }
        new
    }

    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let Some(score) = self.score(member) else { return false };
        self.by_score.remove(score, member);
        if let Some(index) = &mut self.index {
            index.remove(member);
        }
        true
    }

    /// Removes the members of a range of ranks; how many.
    pub(crate) fn remove_range(&mut self, ranks: Range<usize>) -> usize {
        let mut left = ranks.len();
        while left > 0 {
            left -= self.take(ranks.start..ranks.start + left.min(BATCH)).len();
        }
        ranks.len()
    }

    /// Takes the `count` lowest or highest, in that order.
    pub(crate) fn pop(&mut self, count: usize, lowest: bool, mut look: impl FnMut(&ScoredMember)) {
        let mut left = count.min(self.len());
        while left > 0 {
            let (n, len) = (left.min(BATCH), self.len());
            match lowest {
                true => self.take(0..n).iter().for_each(&mut look),
                false => self.take(len - n..len).iter().rev().for_each(&mut look),
            }
            left -= n;
        }
    }

    /// Takes the members of a range of ranks.
    fn take(&mut self, ranks: Range<usize>) -> Vec<ScoredMember> {
        let taken: Vec<ScoredMember> =
            self.by_score.up_from(ranks.start).take(ranks.len()).cloned().collect();
        for entry in &taken {
            self.remove(&entry.member);
        }
        taken
    }

    pub(crate) fn random(&self, mut rng: impl FnMut() -> u64) -> Option<&ScoredMember> {
        if self.len() == 0 { None } else { self.by_score.get((rng() % self.len() as u64) as usize) }
    }

    pub(crate) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&ScoredMember)) -> u64 {
        match &self.index {
            Some(index) => index.scan(cursor, count, visit),
            None => {
                self.by_score.up_from(0).for_each(&mut visit);
                0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_a_sorted_map_with_ranks() {
        let mut zset = Zset::default();
        let mut model: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        let mut state = 5u64;
        for i in 0..20_000u64 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let member = std::format!("m{}", (state >> 33) % 3000).into_bytes();
            let score = (state >> 20) as i64 % 50;
            if i % 4 == 3 {
                assert_eq!(zset.remove(&member), model.remove(&member).is_some());
            } else {
                assert_eq!(
                    zset.set(&member, score as f64, Seed(1, 2)),
                    model.insert(member, score).is_none()
                );
            }
            assert_eq!(zset.len(), model.len());
        }
        let mut sorted: Vec<(i64, &Vec<u8>)> = model.iter().map(|(m, s)| (*s, m)).collect();
        sorted.sort();
        for (rank, (score, member)) in sorted.iter().enumerate() {
            assert_eq!(zset.rank(member), Some((rank, *score as f64)));
            assert_eq!(*zset.by_score.get(rank).unwrap().member, ***member);
        }
        let down: Vec<_> = zset.by_score.down_from(zset.len() - 1).map(|e| e.member.to_vec()).collect();
        assert!(down.iter().eq(sorted.iter().rev().map(|(_, m)| *m)));
        assert_eq!(zset.remove_range(10..20), 10);
        assert_eq!(zset.len(), sorted.len() - 10);
    }
}
