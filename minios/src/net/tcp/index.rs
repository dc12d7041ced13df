//! Finds a connection by its ends: a hash table of numbers, keyed so that nobody can choose ends that fall together.

use super::connection::Ends;
use alloc::vec::Vec;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// No number.
const NONE: u32 = u32::MAX;

/// The table. Which ends a number stands for, its owner knows.
pub struct Index {
    key: [u64; 2],
    /// The first number of each bucket.
    buckets: Vec<u32>,
    /// By number: the next in its bucket.
    next: Vec<u32>,
    count: usize,
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Index {
    /// An empty table with a random key.
    pub fn new(key: [u64; 2]) -> Self {
        Self { key, buckets: Vec::new(), next: Vec::new(), count: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    fn bucket(&self, ends: &Ends) -> usize {
        let end = |end: &IpEndpoint, by: u64| {
            let address = match end.addr {
                IpAddress::Ipv4(v4) => u32::from_be_bytes(v4.octets()).into(),
                IpAddress::Ipv6(v6) => u128::from_be_bytes(v6.octets()),
            };
            let mixed = fold(address as u64 ^ by, self.key[1] | 1) ^ (address >> 64) as u64;
            fold(mixed ^ u64::from(end.port), self.key[0] | 1)
        };
        let hash = fold(end(&ends.remote, self.key[0]) ^ self.key[1], end(&ends.local, self.key[1]) | 1);
        hash as usize & (self.buckets.len() - 1)
    }

    /// Makes room for numbers below `count`; whether there is memory. `ends` says which ends a number stands for.
    pub fn reserve(&mut self, count: usize, ends: impl Fn(usize) -> Option<Ends>) -> bool {
        let more = count.saturating_sub(self.next.len());
        if self.next.try_reserve(more).is_err() {
            return false;
        }
        if more > 0 {
            self.next.resize(count, NONE);
        }
        let wanted = count.next_power_of_two().max(16);
        if wanted > self.buckets.len() {
            let mut buckets = Vec::new();
            if buckets.try_reserve_exact(wanted).is_err() {
                // Longer chains will do.
                return !self.buckets.is_empty();
            }
            buckets.resize(wanted, NONE);
            let old = core::mem::replace(&mut self.buckets, buckets);
            self.count = 0;
            for first in old {
                let mut number = first;
                while number != NONE {
                    let next = self.next[number as usize];
                    if let Some(ends) = ends(number as usize) {
                        self.insert(&ends, number as usize);
                    }
                    number = next;
                }
            }
        }
        true
    }

    /// Adds a number, for which there is room and which is not there.
    pub fn insert(&mut self, ends: &Ends, number: usize) {
        let bucket = self.bucket(ends);
        self.next[number] = self.buckets[bucket];
        self.buckets[bucket] = number as u32;
        self.count += 1;
    }

    /// The number of which `is` says that it is the one.
    pub fn find(&self, ends: &Ends, is: impl Fn(usize) -> bool) -> Option<usize> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut number = self.buckets[self.bucket(ends)];
        while number != NONE && !is(number as usize) {
            number = self.next[number as usize];
        }
        (number != NONE).then_some(number as usize)
    }

    /// Takes a number out, if it is there.
    pub fn remove(&mut self, ends: &Ends, number: usize) {
        if self.buckets.is_empty() {
            return;
        }
        let bucket = self.bucket(ends);
        let (mut at, mut before) = (self.buckets[bucket], NONE);
        while at != NONE && at as usize != number {
            (before, at) = (at, self.next[at as usize]);
        }
        if at == NONE {
            return;
        }
        match before {
            NONE => self.buckets[bucket] = self.next[number],
            before => self.next[before as usize] = self.next[number],
        }
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(n: usize) -> Ends {
        let remote = IpEndpoint::new(IpAddress::v4(10, 0, (n >> 8) as u8, n as u8), 1000 + n as u16);
        Ends { remote, local: IpEndpoint::new(IpAddress::v4(10, 0, 0, 1), 80) }
    }

    #[test]
    fn each_is_found_through_growth_and_removal() {
        let mut index = Index::new([0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03]);
        for n in 0..5000 {
            assert!(index.reserve(n + 1, |n| Some(ends(n))));
            index.insert(&ends(n), n);
        }
        assert_eq!(index.len(), 5000);
        for n in (0..5000).step_by(2) {
            index.remove(&ends(n), n);
            index.remove(&ends(n), n);
        }
        for n in 0..5000 {
            let found = index.find(&ends(n), |m| m == n);
            assert_eq!(found, (n % 2 == 1).then_some(n));
        }
        assert_eq!(index.len(), 2500);
        let longest = index.buckets.iter().map(|&first| {
            let mut length = 0;
            let mut at = first;
            while at != NONE {
                (length, at) = (length + 1, index.next[at as usize]);
            }
            length
        });
        assert!(longest.max() < Some(12));
    }
}
