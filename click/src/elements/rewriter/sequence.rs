//! TCP sequence numbers of a flow whose payload changed its length on the way.

use crate::headers::{adjust, difference};
use alloc::vec::Vec;

/// Changes of length that one direction of a flow may have; later ones are refused.
const MOST: usize = 64;

/// So far behind a change, what was before it no longer matters.
const FAR: u32 = 1 << 30;

/// Bytes that were added before each sequence number, for both directions.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    /// What is added before the first of the changes.
    base: [i32; 2],
    /// From this sequence number on, as the sender counts, so much is added. In order of sequence numbers.
    changes: [Vec<(u32, i32)>; 2],
}

/// Whether a sequence number comes at or after another (RFC 9293, section 3.4).
fn at_or_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 >= 0
}

impl Sequences {
    /// Notes that `by` bytes more are sent in a direction before sequence number `from`, as the sender counts. `false`:
    /// there are too many changes. A change that is known is not noted again: its packet was sent once more.
    pub(super) fn change(&mut self, direction: usize, from: u32, by: i32) -> bool {
        let changes = &self.changes[direction];
        match changes.last() {
            Some(&(last, _)) if at_or_after(last, from) => return changes.iter().any(|c| c.0 == from),
            _ if changes.len() >= MOST => return false,
            _ => {}
        }
        let before = self.total(direction);
        self.forget(direction, from);
        self.changes[direction].push((from, before.wrapping_add(by)));
        true
    }

    /// Bytes that are added to what is sent now.
    pub(super) fn total(&self, direction: usize) -> i32 {
        self.changes[direction].last().map_or(self.base[direction], |c| c.1)
    }

    /// Forgets where changes were that lie far behind a sequence number.
    fn forget(&mut self, direction: usize, number: u32) {
        let changes = &mut self.changes[direction];
        let far = changes.iter().take_while(|c| at_or_after(number, c.0.wrapping_add(FAR))).count();
        if let Some((_, added)) = changes.drain(..far).next_back() {
            self.base[direction] = added;
        }
    }

    /// A sequence number as the receiver counts.
    fn sent(&self, direction: usize, number: u32) -> u32 {
        let change = self.changes[direction].iter().rev().find(|c| at_or_after(number, c.0));
        number.wrapping_add_signed(change.map_or(self.base[direction], |c| c.1))
    }

    /// A sequence number of the other direction that is acknowledged, as its sender counts.
    fn acknowledged(&self, direction: usize, number: u32) -> u32 {
        let other = 1 - direction;
        let before = |c: &&(u32, i32)| at_or_after(number.wrapping_add_signed(c.1.wrapping_neg()), c.0);
        let added = self.changes[other].iter().rev().find(before).map_or(self.base[other], |c| c.1);
        number.wrapping_add_signed(added.wrapping_neg())
    }

    /// Changes the numbers of a TCP header with its payload, selective acknowledgements included (RFC 2018), and its
    /// checksum.
    pub(super) fn apply(&mut self, tcp: &mut [u8], direction: usize) {
        let end = (usize::from(tcp[12] >> 4) * 4).clamp(20, 60).min(tcp.len());
        let before: [u8; 60] = core::array::from_fn(|i| if i < end { tcp[i] } else { 0 });
        self.forget(direction, u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]));
        replace(tcp, 4, |n| self.sent(direction, n));
        replace(tcp, 8, |n| self.acknowledged(direction, n));
        let mut at = 20;
        while at < end {
            let length = match tcp[at] {
                0 => break,
                1 => 1,
                _ => tcp.get(at + 1).map_or(0, |&l| usize::from(l)),
            };
            if length == 0 || at + length > end || (tcp[at] > 1 && length < 2) {
                break;
            }
            if tcp[at] == 5 {
                for edge in (at + 2..at + length).step_by(4).filter(|e| e + 4 <= at + length) {
                    replace(tcp, edge, |n| self.acknowledged(direction, n));
                }
            }
            at += length;
        }
        // Numbers in options may lie at odd places: words are compared from the header's start.
        let end = end & !1;
        let mut after: [u8; 60] = core::array::from_fn(|i| if i < end { tcp[i] } else { 0 });
        let mut then = before;
        then[end..].fill(0);
        (after[16], after[17]) = (then[16], then[17]);
        let sum = adjust([tcp[16], tcp[17]], difference(&then, &after));
        (tcp[16], tcp[17]) = (sum[0], sum[1]);
    }
}

fn replace(bytes: &mut [u8], at: usize, f: impl FnOnce(u32) -> u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(|b| b.first_chunk_mut::<4>()) {
        *place = f(u32::from_be_bytes(*place)).to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_undo_what_was_added() {
        let mut s = Sequences::default();
        assert!(s.change(0, 1000, 5) && s.change(0, 2000, -3) && s.change(0, 1000, 5));
        assert_eq!([999, 1000, 1999, 2000].map(|n| s.sent(0, n)), [999, 1005, 2004, 2002]);
        for number in [500, 1000, 1500, 2000, 3000u32] {
            assert_eq!(s.acknowledged(1, s.sent(0, number)), number);
        }
        assert_eq!(s.sent(1, 7), 7);
    }

    #[test]
    fn changes_far_behind_hold_for_all_numbers() {
        let mut s = Sequences::default();
        assert!(s.change(0, 1000, 5) && s.change(0, 2000, -3));
        let mut segment = |direction: usize, sequence: u32, acknowledged: u32| {
            let mut tcp = [0; 20];
            tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
            tcp[8..12].copy_from_slice(&acknowledged.to_be_bytes());
            tcp[12] = 5 << 4;
            s.apply(&mut tcp, direction);
            [4, 8].map(|at| u32::from_be_bytes(core::array::from_fn(|i| tcp[at + i])))
        };
        assert_eq!(segment(0, 10, 7), [10, 7]);
        assert_eq!(segment(1, 0, 1005), [0, 1000], "no flag is needed");
        assert_eq!(segment(0, 2001 + FAR, 7), [2003 + FAR, 7]);
        assert_eq!((segment(0, 10, 7), segment(1, 0, 12)), ([12, 7], [0, 10]));
    }
}
