//! Bonds: several links that act as one. The control thread decides which links carry packets (by carrier or LACP). The data
//! plane reads the result here: flows are spread over 256 buckets, each with its link. When a link fails, only its buckets move.

pub mod hash;
pub mod lacp;

use crate::port::PortId;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

pub use switch_control::config::BOND_LINKS as LINKS;
const BUCKETS: usize = 256;
/// Stands for no link.
const NONE: u16 = u16::MAX;

/// Input of the hash over flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Ethernet and IP addresses.
    Layer23,
    /// IP addresses and ports.
    Layer34,
    /// No hash: all links get every packet.
    Broadcast,
}

/// The distribution of flows over links.
#[derive(Debug)]
pub struct Distribution {
    links: Vec<PortId>,
    spread: Spread,
    /// Index of the link of each bucket.
    buckets: [AtomicU16; BUCKETS],
    /// Links on which packets are accepted, one bit each.
    collecting: AtomicU32,
    /// Links on which packets are sent, one bit each.
    distributing: AtomicU32,
}

impl Distribution {
    /// A distribution in which no link carries packets.
    pub fn new(links: Vec<PortId>, spread: Spread) -> Self {
        Self {
            links,
            spread,
            buckets: [const { AtomicU16::new(NONE) }; BUCKETS],
            collecting: AtomicU32::new(0),
            distributing: AtomicU32::new(0),
        }
    }

    /// Flows stay where another distribution has them, as far as its links are links of this one.
    pub fn take_over(&self, old: &Self) {
        for (bucket, before) in self.buckets.iter().zip(&old.buckets) {
            let link = old.links.get(usize::from(before.load(Ordering::Relaxed)));
            let place = link.and_then(|link| self.links.iter().position(|l| l == link));
            bucket.store(place.map_or(NONE, |p| p as u16), Ordering::Relaxed);
        }
    }

    /// The links.
    pub fn links(&self) -> &[PortId] {
        &self.links
    }

    /// Whether packets received on a link are accepted.
    pub fn collects(&self, link: PortId) -> bool {
        let collecting = self.collecting.load(Ordering::Relaxed);
        self.links.iter().position(|&l| l == link).is_some_and(|i| collecting & 1 << i != 0)
    }

    /// The links on which packets are sent.
    pub fn distributing(&self) -> impl Iterator<Item = PortId> {
        let bits = self.distributing.load(Ordering::Relaxed);
        self.links.iter().enumerate().filter(move |(i, _)| bits & 1 << i != 0).map(|(_, &l)| l)
    }

    /// Input of the hash over flows.
    #[inline]
    pub fn spread(&self) -> Spread {
        self.spread
    }

    /// The link for a packet.
    #[inline]
    pub fn pick(&self, head: &[u8]) -> Option<PortId> {
        let hash = hash::of(head, self.spread);
        let link = self.buckets[usize::from(hash)].load(Ordering::Relaxed);
        self.links.get(usize::from(link)).copied()
    }

    /// Changes which links carry packets, by link index. Flows stay on their links, except as many as a new link needs for its
    /// share.
    pub fn set(&self, collecting: u32, distributing: u32) {
        self.collecting.store(collecting, Ordering::Relaxed);
        self.distributing.store(distributing, Ordering::Relaxed);
        let active: Vec<u16> = (0..self.links.len() as u16).filter(|i| distributing & 1 << i != 0).collect();
        if active.is_empty() {
            self.buckets.iter().for_each(|b| b.store(NONE, Ordering::Relaxed));
            return;
        }
        let mut shares = [0usize; LINKS];
        let share = |place: usize| BUCKETS / active.len() + usize::from(place < BUCKETS % active.len());
        let quota: Vec<(u16, usize)> = active.iter().enumerate().map(|(n, &l)| (l, share(n))).collect();
        let quota_of = |link: u16| quota.iter().find(|q| q.0 == link).map_or(0, |q| q.1);
        let mut homeless = Vec::new();
        for (i, bucket) in self.buckets.iter().enumerate() {
            let link = bucket.load(Ordering::Relaxed);
            match shares.get_mut(usize::from(link)) {
                Some(n) if *n < quota_of(link) => *n += 1,
                _ => homeless.push(i),
            }
        }
        for (link, wanted) in quota {
            while shares[usize::from(link)] < wanted {
                let Some(bucket) = homeless.pop() else { return };
                self.buckets[bucket].store(link, Ordering::Relaxed);
                shares[usize::from(link)] += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(d: &Distribution) -> Vec<u16> {
        d.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn flows_of_a_link_that_stays_do_not_move() {
        let d = Distribution::new((0..4).map(PortId).collect(), Spread::Layer34);
        d.set(0b1111, 0b1111);
        let before = buckets(&d);
        assert!((0..4).all(|l| before.iter().filter(|&&b| b == l).count() == 64));
        d.set(0b1011, 0b1011);
        let after = buckets(&d);
        assert!(before.iter().zip(&after).all(|(b, a)| *b == 2 || b == a));
        assert!(after.iter().all(|&b| b != 2));
    }

    #[test]
    fn flows_stay_when_a_link_is_added_or_removed() {
        let of =
            |links: &[u16]| Distribution::new(links.iter().copied().map(PortId).collect(), Spread::Layer34);
        let (two, three) = (of(&[5, 7]), of(&[3, 5, 7]));
        two.set(3, 3);
        three.take_over(&two);
        let moved = |d: &Distribution, before: &[Option<PortId>]| {
            let after = buckets(d).into_iter().map(|b| d.links.get(usize::from(b)).copied());
            after.zip(before).filter(|(a, b)| a != *b).count()
        };
        let ports = |d: &Distribution| -> Vec<_> {
            buckets(d).into_iter().map(|b| d.links.get(usize::from(b)).copied()).collect()
        };
        let before = ports(&two);
        assert_eq!(moved(&three, &before), 0);
        three.set(7, 7);
        // The share of the link that came, and no more.
        assert_eq!(moved(&three, &before), 86);
        let (one, before) = (of(&[7]), ports(&three));
        one.take_over(&three);
        one.set(1, 1);
        assert_eq!(moved(&one, &before), before.iter().filter(|p| **p != Some(PortId(7))).count());
    }

    #[test]
    fn a_link_that_comes_back_gets_its_share() {
        let d = Distribution::new((0..2).map(PortId).collect(), Spread::Layer34);
        d.set(1, 1);
        assert!(buckets(&d).iter().all(|&b| b == 0));
        d.set(3, 3);
        assert_eq!(buckets(&d).iter().filter(|&&b| b == 1).count(), 128);
    }

    #[test]
    fn without_links_nothing_is_sent() {
        let d = Distribution::new(vec![PortId(1)], Spread::Layer23);
        assert_eq!(d.pick(&[0; 60]), None);
        d.set(1, 1);
        assert_eq!(d.pick(&[0; 60]), Some(PortId(1)));
        d.set(0, 0);
        assert_eq!(d.pick(&[0; 60]), None);
    }
}
