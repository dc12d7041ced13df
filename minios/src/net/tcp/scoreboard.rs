//! Sent and unacknowledged data: a record for each segment, with the time of its last transmission and its state (RFC 6675).

use super::segment::Block;
use super::seq::Seq;
use crate::clock::Instant;
use alloc::collections::VecDeque;
use core::time::Duration;

/// Most records; a peer that acknowledges every second byte causes no more.
const RECORDS: usize = 8192;

/// A sent segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The first byte.
    pub start: Seq,
    /// The sequence number after the last byte.
    pub end: Seq,
    /// Time of its last transmission.
    pub at: Instant,
    /// Whether it was sent more than once.
    pub retransmitted: bool,
    /// Whether the peer has acknowledged it selectively.
    pub sacked: bool,
    /// Whether it is lost and was not retransmitted yet.
    pub lost: bool,
}

impl Sent {
    fn length(&self) -> u32 {
        self.end.since(self.start)
    }

    fn is_in_flight(&self) -> bool {
        !self.sacked && !self.lost
    }
}

/// The effect of an acknowledgement.
#[derive(Clone, Copy, Debug, Default)]
pub struct AckSummary {
    /// Newly delivered bytes.
    pub delivered: u32,
    /// Time since the transmission of the latest delivered segment.
    rtt: Option<Duration>,
    /// Whether some of it was retransmitted.
    again: bool,
}

impl AckSummary {
    /// A sample of the round-trip time; none if a retransmitted segment was delivered (Karn's algorithm). Segments delivered together
    /// with it give no sample either: they may have waited for it, or for lost acknowledgements.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.filter(|_| !self.again)
    }
}

/// All unacknowledged segments.
#[derive(Default)]
pub struct Scoreboard {
    records: VecDeque<Sent>,
    /// Bytes in flight.
    flight: u32,
    /// Selectively acknowledged bytes.
    sacked: u32,
    /// Lost bytes, to be retransmitted.
    lost: u32,
}

impl Scoreboard {
    /// Whether everything is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes in flight.
    pub fn flight(&self) -> u32 {
        self.flight
    }

    /// Selectively acknowledged bytes.
    pub fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Lost bytes, to be retransmitted.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = &Sent> {
        self.records.iter()
    }

    /// Whether there is room for one more record.
    pub fn has_room(&mut self) -> bool {
        self.records.len() < RECORDS && self.records.try_reserve(1).is_ok()
    }

    /// Adds a record for a new segment after all others. There must be room.
    pub fn push(&mut self, start: Seq, end: Seq, at: Instant) {
        let record = Sent { start, end, at, retransmitted: false, sacked: false, lost: false };
        self.flight += record.length();
        self.records.push_back(record);
    }

    fn count(&mut self, record: Sent, sign: bool) {
        let to = match (record.sacked, record.lost) {
            (true, _) => &mut self.sacked,
            (_, true) => &mut self.lost,
            _ => &mut self.flight,
        };
        *to = if sign { to.saturating_add(record.length()) } else { to.saturating_sub(record.length()) };
    }

    /// Changes a record and what is counted of it.
    fn change(&mut self, index: usize, change: impl FnOnce(&mut Sent)) {
        let Some(mut record) = self.records.get(index).copied() else { return };
        self.count(record, false);
        change(&mut record);
        self.count(record, true);
        self.records[index] = record;
    }

    /// Parts the record at an index at a number within it. Whether there was room.
    fn split(&mut self, index: usize, at: Seq) -> bool {
        if !self.has_room() {
            return false;
        }
        let Some(record) = self.records.get_mut(index) else { return false };
        let behind = Sent { start: at, ..*record };
        record.end = at;
        self.records.insert(index + 1, behind);
        true
    }

    fn learn(summary: &mut AckSummary, record: Sent, now: Instant, see: &mut impl FnMut(&Sent)) {
        summary.delivered += record.length();
        let rtt = now.since(record.at);
        summary.rtt = Some(summary.rtt.map_or(rtt, |known| known.min(rtt)));
        summary.again |= record.retransmitted;
        see(&record);
    }

    /// The peer has everything before `ack`. `see` is shown what it was not known to have.
    pub fn acknowledge(
        &mut self,
        ack: Seq,
        now: Instant,
        summary: &mut AckSummary,
        mut see: impl FnMut(&Sent),
    ) {
        while let Some(first) = self.records.front().copied()
            && first.start.before(ack)
        {
            let done = Sent { end: first.end.min(ack), ..first };
            self.count(done, false);
            if !first.sacked {
                Self::learn(summary, done, now, &mut see);
            }
            if first.end.after(ack) {
                self.records[0].start = ack;
                return;
            }
            self.records.pop_front();
        }
    }

    /// The peer has a block beyond a gap.
    pub fn sack(&mut self, block: Block, now: Instant, summary: &mut AckSummary, mut see: impl FnMut(&Sent)) {
        let first = self.records.partition_point(|record| !record.end.after(block.start));
        let mut index = first;
        while let Some(record) = self.records.get(index).copied()
            && record.start.before(block.end)
        {
            if !record.sacked {
                if record.start.before(block.start) {
                    if !self.split(index, block.start) {
                        return;
                    }
                    index += 1;
                    continue;
                }
                if record.end.after(block.end) && !self.split(index, block.end) {
                    return;
                }
                Self::learn(summary, self.records[index], now, &mut see);
                self.change(index, |record| (record.sacked, record.lost) = (true, false));
            }
            index += 1;
        }
    }

    /// Takes those on their way for lost of which `is_lost` says so.
    pub fn lose(&mut self, mut is_lost: impl FnMut(&Sent) -> bool) {
        for index in 0..self.records.len() {
            if self.records[index].is_in_flight() && is_lost(&self.records[index]) {
                self.change(index, |record| record.lost = true);
            }
        }
    }

    /// Takes the first `bytes` for lost, unless they are.
    pub fn lose_first(&mut self, bytes: u32) {
        let Some(first) = self.records.front().copied().filter(Sent::is_in_flight) else { return };
        if first.length() <= bytes || self.split(0, first.start + bytes) {
            self.change(0, |record| record.lost = true);
        }
    }

    /// The peer does not keep what it said that it has (RFC 2018 section 8): all of it may be sent again.
    pub fn forget_sacks(&mut self) {
        for index in 0..self.records.len() {
            self.change(index, |record| record.sacked = false);
        }
    }

    /// The first bytes to be sent again, and whether they begin with the first that is not acknowledged.
    pub fn first_lost(&self) -> Option<(Sent, bool)> {
        if self.lost == 0 {
            return None;
        }
        let index = self.records.iter().position(|record| record.lost)?;
        Some((self.records[index], index == 0))
    }

    /// The last piece that the peer is not known to have.
    pub fn last(&self) -> Option<Sent> {
        self.records.iter().rev().find(|record| !record.sacked).copied()
    }

    /// Bytes from `start`, where a record begins, to `end` or to that record's end are sent again; the number behind the
    /// last byte that this counts for.
    pub fn sent_again(&mut self, start: Seq, end: Seq, at: Instant) {
        let mut index = self.records.partition_point(|record| !record.end.after(start));
        let Some(record) = self.records.get(index).copied() else { return };
        if record.start.before(start) {
            if !self.split(index, start) {
                return;
            }
            index += 1;
        }
        let record = self.records[index];
        if record.end.after(end) && !self.split(index, end) {
            return;
        }
        self.change(index, |record| (record.lost, record.retransmitted, record.at) = (false, true, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(start: u32, end: u32) -> Block {
        Block { start: Seq(start), end: Seq(end) }
    }

    impl Scoreboard {
        fn check(&self) {
            let sum = |which: fn(&Sent) -> bool| {
                self.records.iter().filter(|record| which(record)).map(Sent::length).sum::<u32>()
            };
            assert_eq!(self.flight, sum(Sent::is_in_flight));
            assert_eq!(self.sacked, sum(|record| record.sacked));
            assert_eq!(self.lost, sum(|record| record.lost && !record.sacked));
            let pairs = self.records.iter().zip(self.records.iter().skip(1));
            pairs.for_each(|(a, b)| assert_eq!(a.end, b.start));
            self.records.iter().for_each(|record| assert!(record.start.before(record.end)));
            assert!(self.records.len() <= RECORDS);
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push(u32),
        Ack(u32),
        Sack(u32, u32),
        Lose(u32),
        Again(u32),
        Forget,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1u32..70_000).prop_map(Step::Push),
            (0u32..60_000).prop_map(Step::Ack),
            (0u32..200_000, 1u32..30_000).prop_map(|(a, b)| Step::Sack(a, b)),
            (0u32..200_000).prop_map(Step::Lose),
            (1u32..10_000).prop_map(Step::Again),
            Just(Step::Forget),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever the peer acknowledges: every byte is counted once, as what it is.
        #[test]
        fn every_byte_is_counted_once(first in any::<u32>(), steps in prop::collection::vec(step(), 1..150)) {
            let mut board = Scoreboard::default();
            let (mut una, mut next) = (Seq(first), Seq(first));
            for (n, step) in steps.into_iter().enumerate() {
                let (now, mut summary) = (Instant(n as u64), AckSummary::default());
                let before = board.flight + board.lost;
                match step {
                    Step::Push(length) => {
                        board.push(next, next + length, now);
                        next = next + length;
                    }
                    Step::Ack(bytes) => {
                        una = (una + bytes).min(next);
                        board.acknowledge(una, now, &mut summary, |_| {});
                        prop_assert_eq!(board.flight + board.lost + summary.delivered, before);
                    }
                    Step::Sack(start, length) => {
                        let start = una + start;
                        let end = (start + length).min(next);
                        if start.before(end) {
                            board.sack(Block { start, end }, now, &mut summary, |_| {});
                            prop_assert_eq!(board.flight + board.lost + summary.delivered, before);
                        }
                    }
                    Step::Lose(offset) => {
                        board.lose(|record| record.start.before(una + offset));
                        board.lose_first(100);
                    }
                    Step::Again(length) => {
                        if let Some((record, _)) = board.first_lost() {
                            board.sent_again(record.start, record.start + length, now);
                        }
                    }
                    Step::Forget => board.forget_sacks(),
                }
                board.check();
                prop_assert_eq!(board.flight + board.lost + board.sacked, next.since(una));
            }
        }
    }

    #[test]
    fn a_peer_cannot_make_records_without_bound() {
        let mut board = Scoreboard::default();
        board.push(Seq(0), Seq(1 << 20), Instant(0));
        for n in 0..RECORDS as u32 {
            board.sack(block(2 * n + 1, 2 * n + 2), Instant(1), &mut AckSummary::default(), |_| {});
        }
        board.check();
        assert!(board.records.len() >= RECORDS - 1);
    }

    #[test]
    fn what_was_sent_twice_says_nothing_of_the_time() {
        let mut board = Scoreboard::default();
        board.push(Seq(0), Seq(1000), Instant(10));
        board.push(Seq(1000), Seq(2000), Instant(20));
        board.lose_first(1000);
        board.sent_again(Seq(0), Seq(1000), Instant(100));
        let mut summary = AckSummary::default();
        board.acknowledge(Seq(1000), Instant(110), &mut summary, |_| {});
        assert_eq!((summary.delivered, summary.rtt()), (1000, None));
        board.acknowledge(Seq(1500), Instant(120), &mut summary, |_| {});
        assert_eq!((summary.delivered, summary.rtt()), (1500, None), "nor does what came with it");
        let mut summary = AckSummary::default();
        board.acknowledge(Seq(2000), Instant(120), &mut summary, |_| {});
        assert_eq!((summary.delivered, summary.rtt()), (500, Some(Duration::from_nanos(100))));
    }
}
