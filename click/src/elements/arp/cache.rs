//! Who has which Ethernet address, and packets that wait to know.

use crate::args::{Args, Ethernet, Ipv4, seconds};
use crate::element::Nanos;
use crate::packet::{Batch, Packet};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

/// Time between queries for the same address: for the first ones, and for those that follow when nobody answers.
const RETRY: [Nanos; 2] = [100_000_000, 2_000_000_000];
/// How many the first ones are.
const QUICK_QUERIES: u32 = 10;

/// When an address was last heard of, and a number for those at the same time: the order of ages.
type Age = (Nanos, i64);

/// One address.
struct Entry {
    /// Its Ethernet address, or what that was before it is asked for again.
    mac: [u8; 6],
    known: bool,
    age: Age,
    /// The last query, and how many there were, since the last answer.
    last_query: Option<Nanos>,
    queries: u32,
    waiting: Batch,
}

impl Entry {
    /// Whether a query is due; if so, it is taken for sent.
    fn take_due_query(&mut self, now: Nanos) -> bool {
        let pause = RETRY[usize::from(self.queries >= QUICK_QUERIES)];
        let due = self.last_query.is_none_or(|asked| now.saturating_sub(asked) >= pause);
        if due {
            self.last_query = Some(now);
            self.queries = self.queries.saturating_add(1);
        }
        due
    }
}

/// What the arguments say; 0: no limit.
struct Limits {
    timeout: Nanos,
    /// Packets that may wait, for all addresses and for one.
    packets: usize,
    entry_packets: usize,
    /// One in how many of the packets are dropped when there are too many.
    drop_factor: usize,
    /// Addresses.
    entries: usize,
}

impl Limits {
    fn expired(&self, since: Nanos, now: Nanos) -> bool {
        self.timeout > 0 && now.saturating_sub(since) > self.timeout
    }
}

/// Whether a limit is reached.
fn limit_reached(limit: usize, there: usize) -> bool {
    limit > 0 && there >= limit
}

/// All addresses.
pub(crate) struct Cache<A = Ipv4> {
    limits: Limits,
    entries: BTreeMap<A, Entry>,
    /// Addresses by age, the oldest first: those for which no packets wait, and those for which some do.
    ages: [BTreeMap<Age, A>; 2],
    count: i64,
    pub(crate) waiting: usize,
    pub(crate) drops: u64,
}

/// What to do with a packet.
pub(crate) enum Answer {
    /// Send it there; and first ask, if the second says so, whether that is still right.
    Send(Packet, [u8; 6], bool),
    /// It waits, and a query is due.
    Query,
    /// It waits, or was dropped.
    Wait,
}

impl<A: Ord + Copy + Display> Cache<A> {
    /// With the limits that `CAPACITY`, `ENTRY_CAPACITY` and `ENTRY_PACKET_CAPACITY` give.
    pub(crate) fn from_arguments(args: &mut Args<'_>, timeout: Nanos) -> Self {
        let limits = Limits {
            timeout,
            packets: args.key("CAPACITY").unwrap_or(2048),
            entry_packets: args.key("ENTRY_PACKET_CAPACITY").unwrap_or(0),
            drop_factor: args.key("CAPACITY_SLIM_FACTOR").filter(|&f| f > 0).unwrap_or(2),
            entries: args.key("ENTRY_CAPACITY").unwrap_or(4096),
        };
        Self { limits, entries: BTreeMap::new(), ages: Default::default(), count: 0, waiting: 0, drops: 0 }
    }

    /// Takes over what another knows, and the packets that wait there.
    pub(crate) fn take_over(&mut self, old: &mut Self) {
        core::mem::swap(self, old);
        core::mem::swap(&mut self.limits, &mut old.limits);
    }

    /// Addresses, one a line, the oldest first: whether it is known, what it is or was, how old.
    pub(crate) fn table(&self, now: Nanos) -> String {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|e| e.1.age);
        let line = |(ip, entry): (&A, &Entry)| {
            let since = entry.age.0;
            let known = entry.known && !self.limits.expired(since, now);
            let age = seconds(now.saturating_sub(since) / 1_000_000 * 1_000_000);
            format!("{ip} {} {} {age}\n", u8::from(known), Ethernet(entry.mac))
        };
        entries.into_iter().map(line).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says where a packet goes, or keeps it; answers older than `poll` are to be asked for again, unless that is 0.
    pub(crate) fn route(&mut self, address: A, packet: Packet, now: Nanos, poll: Nanos) -> Answer {
        if let Some(entry) = self.entries.get_mut(&address) {
            let since = entry.age.0;
            let expired = self.limits.expired(since, now);
            if entry.known && !expired {
                let stale = poll > 0 && now.saturating_sub(since) >= poll && entry.take_due_query(now);
                return Answer::Send(packet, entry.mac, stale);
            }
            if expired {
                // What packets still wait for is not forgotten just yet.
                self.count += 1;
                let age = (now - self.limits.timeout, -self.count);
                let ages = &mut self.ages[usize::from(!entry.waiting.is_empty())];
                ages.remove(&entry.age);
                ages.insert(age, address);
                (entry.age, entry.known) = (age, false);
            }
        } else {
            self.insert(address, [255; 6], now);
        }
        let Some(entry) = self.entries.get(&address) else { return Answer::Wait };
        if limit_reached(self.limits.entry_packets, entry.waiting.len()) {
            self.drops += 1;
            return Answer::Wait;
        }
        if limit_reached(self.limits.packets, self.waiting) {
            self.expire(now);
            if limit_reached(self.limits.packets, self.waiting) {
                self.drop_packets();
            }
        }
        let Some(entry) = self.entries.get_mut(&address) else { return Answer::Wait };
        if entry.waiting.is_empty() {
            self.ages[0].remove(&entry.age);
            self.ages[1].insert(entry.age, address);
        }
        entry.waiting.push(packet);
        self.waiting += 1;
        if entry.take_due_query(now) { Answer::Query } else { Answer::Wait }
    }

    /// Adds an address.
    fn insert(&mut self, address: A, mac: [u8; 6], now: Nanos) {
        if limit_reached(self.limits.entries, self.entries.len()) {
            self.drop_waiting(now, self.limits.entries);
        }
        self.count += 1;
        let age = (now, self.count);
        self.ages[0].insert(age, address);
        let known = mac != [255; 6];
        let entry = Entry { mac, known, age, last_query: None, queries: 0, waiting: Batch::new() };
        self.entries.insert(address, entry);
    }

    fn oldest(&self) -> Option<(Age, A)> {
        let first = |ages: &BTreeMap<Age, A>| ages.first_key_value().map(|(age, address)| (*age, *address));
        self.ages.iter().filter_map(first).min_by_key(|oldest| oldest.0)
    }

    /// Forgets the oldest addresses: those that are too old, and others until there are fewer than `most`.
    fn drop_waiting(&mut self, now: Nanos, most: usize) {
        while let Some(((since, _), address)) = self.oldest()
            && (self.limits.expired(since, now) || self.entries.len() >= most)
        {
            self.forget(&address);
        }
    }

    /// Drops packets until a part of the room is free, those first that wait for the oldest address.
    fn drop_packets(&mut self) {
        let most = (self.limits.packets - self.limits.packets / self.limits.drop_factor).max(1);
        while self.waiting >= most
            && let Some((&age, &address)) = self.ages[1].first_key_value()
            && let Some(entry) = self.entries.get_mut(&address)
        {
            self.waiting -= usize::from(entry.waiting.pop().is_some());
            self.drops += 1;
            if entry.waiting.is_empty() {
                self.ages[1].remove(&age);
                self.ages[0].insert(age, address);
            }
        }
    }

    /// Notes an answer and gives back the packets that waited for it. Answers that nobody asked for are not believed,
    /// unless `always`.
    pub(crate) fn learn(&mut self, address: A, mac: [u8; 6], now: Nanos, always: bool) -> Batch {
        let waited = match self.remove(&address) {
            Some(old) => old.waiting,
            None if !always => return Batch::new(),
            None => Batch::new(),
        };
        self.insert(address, mac, now);
        waited
    }

    fn remove(&mut self, address: &A) -> Option<Entry> {
        let old = self.entries.remove(address)?;
        self.waiting -= old.waiting.len();
        self.ages[usize::from(!old.waiting.is_empty())].remove(&old.age);
        Some(old)
    }

    pub(crate) fn forget(&mut self, address: &A) -> bool {
        let old = self.remove(address);
        self.drops += old.as_ref().map_or(0, |old| old.waiting.len() as u64);
        old.is_some()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.ages = Default::default();
        self.drops += self.waiting as u64;
        self.waiting = 0;
    }

    /// Forgets what is too old.
    pub(crate) fn expire(&mut self, now: Nanos) {
        self.drop_waiting(now, usize::MAX);
    }

    /// When to call [`Cache::expire`], if anything in it can grow too old.
    pub(crate) fn next(&self, now: Nanos) -> Option<Nanos> {
        let any = self.limits.timeout > 0 && !self.entries.is_empty();
        any.then(|| now.saturating_add(self.limits.timeout).saturating_add(1_000_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn addresses_packets_and_ages_stay_together(
            arguments in (0u32..4, 0u32..3, 0u32..4),
            steps in proptest::collection::vec((0u8..5, 0u8..6, 0u64..2_000_000_000), 0..80),
        ) {
            let (packets, entry_packets, entries) = arguments;
            let limits = std::format!(
                "CAPACITY {packets}, ENTRY_PACKET_CAPACITY {entry_packets}, ENTRY_CAPACITY {entries}"
            );
            let names = Default::default();
            let known = ["CAPACITY", "ENTRY_PACKET_CAPACITY", "ENTRY_CAPACITY"];
            let mut args = Args::new(&limits, &known, &names, (0, 0));
            let mut cache: Cache = Cache::from_arguments(&mut args, 3_000_000_000);
            let mut now = 0;
            for (what, address, passed) in steps {
                let address = Ipv4([10, 0, 0, address]);
                now += passed;
                match what {
                    0 => drop(cache.learn(address, [2; 6], now, passed % 2 == 0)),
                    1 => drop(cache.forget(&address)),
                    2 => cache.expire(now),
                    _ => drop(cache.route(address, Packet::new(0).unwrap(), now, 1_000_000_000)),
                }
                let waiting: usize = cache.entries.values().map(|e| e.waiting.len()).sum();
                prop_assert_eq!(waiting, cache.waiting);
                prop_assert!(packets == 0 || waiting <= packets as usize);
                prop_assert!(entries == 0 || cache.len() <= entries as usize);
                let ages = |some: bool| cache.ages[usize::from(some)].iter().map(|(a, b)| (*a, *b)).collect::<Vec<_>>();
                for some in [false, true] {
                    let mut those: Vec<_> =
                        cache.entries.iter().filter(|e| some != e.1.waiting.is_empty()).map(|e| (e.1.age, *e.0)).collect();
                    those.sort();
                    prop_assert_eq!(those, ages(some));
                }
            }
        }
    }
}
