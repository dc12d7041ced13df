//! Who has which Ethernet address, and packets that wait to know.

use crate::args::{Args, Ethernet, Ipv4};
use crate::element::Nanos;
use crate::packet::{Batch, Packet};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::fmt::Display;

/// Time between queries for the same address.
const RETRY: Nanos = 1_000_000_000;
/// Queries without an answer after which packets that wait are dropped.
const QUERIES: u32 = 5;

/// What is known of an address.
pub(crate) enum State {
    /// Its Ethernet address, since when.
    Known([u8; 6], Nanos),
    /// Nothing: packets wait.
    Asked(Batch),
}

/// One address.
pub(crate) struct Entry {
    pub(crate) state: State,
    /// Queries since the last answer.
    queries: u32,
    asked: Nanos,
}

/// All addresses.
pub(crate) struct Cache<A = Ipv4> {
    entries: BTreeMap<A, Entry>,
    timeout: Nanos,
    /// Packets that may wait, for all addresses and for one.
    capacity: usize,
    entry_packets: usize,
    /// Addresses.
    entry_capacity: usize,
    pub(crate) waiting: usize,
    pub(crate) drops: u64,
}

/// What to do with a packet.
pub(crate) enum Answer {
    /// Send it there; and ask again, if the second says so, whether that is still right.
    Send(Packet, [u8; 6], bool),
    /// It waits, and a query is due.
    Ask,
    /// It waits, or was dropped.
    Wait,
}

impl<A: Ord + Copy + Display> Cache<A> {
    fn new(timeout: Nanos) -> Self {
        Self {
            entries: BTreeMap::new(),
            timeout,
            capacity: 2048,
            entry_packets: 0,
            entry_capacity: 0,
            waiting: 0,
            drops: 0,
        }
    }

    /// With the limits that `CAPACITY`, `ENTRY_CAPACITY` and `ENTRY_PACKET_CAPACITY` give.
    pub(crate) fn from_arguments(args: &mut Args<'_>, timeout: Nanos) -> Self {
        Self {
            capacity: args.key("CAPACITY").unwrap_or(2048),
            entry_packets: args.key("ENTRY_PACKET_CAPACITY").unwrap_or(0),
            entry_capacity: args.key("ENTRY_CAPACITY").unwrap_or(4096),
            ..Self::new(timeout)
        }
    }

    /// Addresses, one a line: whether it is known, what it is, how old.
    pub(crate) fn table(&self, now: Nanos) -> String {
        let line = |(ip, entry): (&A, &Entry)| match entry.state {
            State::Known(mac, since) => {
                let age = crate::args::seconds(now.saturating_sub(since) / 1_000_000 * 1_000_000);
                format!("{ip}\t1\t{}\t{age}\n", Ethernet(mac))
            }
            State::Asked(_) => format!("{ip}\t0\t-\t-\n"),
        };
        self.entries.iter().map(line).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says where a packet goes, or keeps it; answers older than `poll` are to be asked for again, unless that is 0.
    pub(crate) fn route(&mut self, address: A, packet: Packet, now: Nanos, poll: Nanos) -> Answer {
        if let Some(entry) = self.entries.get_mut(&address) {
            if let State::Known(mac, since) = entry.state {
                let age = now.saturating_sub(since);
                if self.timeout == 0 || age < self.timeout {
                    let stale = poll > 0 && age >= poll && now.saturating_sub(entry.asked) >= RETRY;
                    if stale {
                        entry.asked = now;
                    }
                    return Answer::Send(packet, mac, stale);
                }
                entry.state = State::Asked(Batch::new());
                entry.queries = 0;
            }
        } else if self.entry_capacity > 0
            && self.entries.len() >= self.entry_capacity
            && !self.forget_oldest()
        {
            self.drops += 1;
            return Answer::Wait;
        }
        let fresh = || Entry { state: State::Asked(Batch::new()), queries: 0, asked: 0 };
        let entry = self.entries.entry(address).or_insert_with(fresh);
        let State::Asked(batch) = &mut entry.state else { return Answer::Wait };
        if self.waiting >= self.capacity || (self.entry_packets > 0 && batch.len() >= self.entry_packets) {
            // The oldest that waits here makes room; if none does, the new one is too many.
            self.drops += 1;
            if batch.pop().is_some() {
                batch.push(packet);
            }
        } else {
            batch.push(packet);
            self.waiting += 1;
        }
        if entry.queries == 0 {
            (entry.queries, entry.asked) = (1, now);
            return Answer::Ask;
        }
        Answer::Wait
    }

    /// Drops the entry that has been known longest.
    fn forget_oldest(&mut self) -> bool {
        let known = |e: &Entry| if let State::Known(_, since) = e.state { Some(since) } else { None };
        let oldest = self.entries.iter().filter_map(|(a, e)| known(e).map(|k| (k, *a))).min();
        oldest.is_some_and(|(_, address)| self.entries.remove(&address).is_some())
    }

    /// Notes an answer and gives back the packets that waited for it. Answers that nobody asked for are not believed,
    /// unless `always`.
    pub(crate) fn learn(&mut self, address: A, mac: [u8; 6], now: Nanos, always: bool) -> Batch {
        if !always && !self.entries.contains_key(&address) {
            return Batch::new();
        }
        let entry = Entry { state: State::Known(mac, now), queries: 0, asked: now };
        match self.entries.insert(address, entry) {
            Some(Entry { state: State::Asked(batch), .. }) => {
                self.waiting -= batch.len();
                batch
            }
            _ => Batch::new(),
        }
    }

    pub(crate) fn forget(&mut self, address: &A) -> bool {
        let old = self.entries.remove(address);
        if let Some(Entry { state: State::Asked(batch), .. }) = &old {
            self.waiting -= batch.len();
            self.drops += batch.len() as u64;
        }
        old.is_some()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.drops += self.waiting as u64;
        self.waiting = 0;
    }

    /// Calls `ask` for addresses whose query is due again, drops what has waited too long and what is too old. Gives
    /// the time to come again.
    pub(crate) fn tend(&mut self, now: Nanos, mut ask: impl FnMut(A)) -> Option<Nanos> {
        let (mut dropped, mut next) = (0, None);
        let timeout = self.timeout;
        self.entries.retain(|address, entry| match &mut entry.state {
            State::Known(_, since) => timeout == 0 || now.saturating_sub(*since) < timeout,
            State::Asked(batch) => {
                if now.saturating_sub(entry.asked) >= RETRY {
                    if entry.queries >= QUERIES {
                        dropped += batch.len();
                        return false;
                    }
                    (entry.queries, entry.asked) = (entry.queries + 1, now);
                    ask(*address);
                }
                next = Some(next.map_or(entry.asked + RETRY, |n: Nanos| n.min(entry.asked + RETRY)));
                true
            }
        });
        self.waiting -= dropped;
        self.drops += dropped as u64;
        next
    }
}
