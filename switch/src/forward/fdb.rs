//! The forwarding database: a bounded table of learned addresses, which age, and static entries. Each address has two buckets
//! of four entries, chosen by a keyed hash, so that an attacker cannot choose addresses that collide. The work for a frame is
//! bounded: aged entries are removed a few at a time.

use crate::headers::Mac;
use crate::port::PortId;

/// A segment's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u32);

const WAYS: usize = 4;
/// How often per ageing time the other threads are told that an address is in use.
const REFRESHES: u32 = 4;
/// Buckets that are searched for aged entries when a port is at its limit.
const AGEING_STEP: usize = 2;

#[derive(Clone, Copy, Debug)]
struct Entry {
    mac: u64,
    segment: u32,
    /// Second of the last packet from the address.
    seen: u32,
    port: u16,
    /// Generation of its port when it was learned; entries of an earlier generation are invalid.
    epoch: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Empty,
    Learned,
    Static,
}

const EMPTY: Entry = Entry { mac: 0, segment: 0, seen: 0, port: 0, epoch: 0, kind: Kind::Empty };

/// The result of learning an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// The address was known.
    Known,
    /// The address was known, and other threads must be told that it is still in use.
    Refreshed,
    /// The address is new, or has moved.
    New,
    /// The port is at its limit, or the table has no room.
    Refused,
}

/// An entry, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressEntry {
    /// Segment.
    pub segment: SegmentId,
    /// Address.
    pub mac: Mac,
    /// Port that it is behind.
    pub port: PortId,
    /// Seconds since the last packet from the address; `None` if the entry is static.
    pub age: Option<u32>,
}

/// Learned addresses of a port.
#[derive(Clone, Copy, Debug, Default)]
struct PortEntries {
    /// Generation: how often its addresses were removed.
    epoch: u32,
    /// Entries of this generation.
    count: u32,
}

/// The table.
pub struct Fdb {
    buckets: Vec<[Entry; WAYS]>,
    shift: u32,
    keys: [u64; 2],
    ageing: u32,
    /// Most learned addresses of a port.
    port_limit: u32,
    learned: Vec<PortEntries>,
    /// The bucket that was last searched for aged entries.
    hand: usize,
}

impl Fdb {
    /// A table of at least `entries` entries. `keys` are random.
    pub fn new(entries: usize, ageing: u32, port_limit: u32, keys: [u64; 2]) -> Self {
        let buckets = entries.div_ceil(WAYS).next_power_of_two().max(16);
        Self {
            buckets: vec![[EMPTY; WAYS]; buckets],
            shift: 64 - buckets.trailing_zeros(),
            keys: keys.map(|k| k | 1),
            ageing,
            port_limit,
            learned: Vec::new(),
            hand: 0,
        }
    }

    #[inline]
    fn places(&self, segment: SegmentId, mac: u64) -> [usize; 2] {
        let word = mac ^ u64::from(segment.0).rotate_left(40);
        self.keys.map(|key| {
            let mixed = (word ^ key.rotate_left(23)).wrapping_mul(key);
            let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed >> self.shift) as usize
        })
    }

    #[inline]
    fn is_dead(&self, e: &Entry, now: u32) -> bool {
        match e.kind {
            Kind::Empty => true,
            Kind::Static => false,
            Kind::Learned => now.wrapping_sub(e.seen) > self.ageing || e.epoch != self.epoch(e.port),
        }
    }

    /// The port that an address is behind.
    #[inline]
    pub fn find(&self, segment: SegmentId, mac: Mac, now: u32) -> Option<PortId> {
        let mac = mac.bits();
        for place in self.places(segment, mac) {
            for e in &self.buckets[place] {
                if e.mac == mac && e.segment == segment.0 && !self.is_dead(e, now) {
                    return Some(PortId(e.port));
                }
            }
        }
        None
    }

    #[inline]
    fn epoch(&self, port: u16) -> u32 {
        self.learned.get(usize::from(port)).map_or(0, |l| l.epoch)
    }

    fn entries(&mut self, port: u16) -> &mut PortEntries {
        let index = usize::from(port);
        if index >= self.learned.len() {
            self.learned.resize(index + 1, PortEntries::default());
        }
        &mut self.learned[index]
    }

    fn count(&mut self, port: u16) -> &mut u32 {
        &mut self.entries(port).count
    }

    /// Accounts for a removed entry.
    fn uncount(&mut self, e: &Entry) {
        let entries = self.entries(e.port);
        if e.kind == Kind::Learned && e.epoch == entries.epoch {
            entries.count -= 1;
        }
    }

    /// Learns that an address is behind a port.
    #[inline]
    pub fn learn(&mut self, segment: SegmentId, mac: Mac, port: PortId, now: u32) -> Learned {
        let mac = mac.bits();
        let places = self.places(segment, mac);
        let epoch = self.epoch(port.0);
        for place in places {
            for e in &mut self.buckets[place] {
                if e.mac == mac && e.segment == segment.0 && e.kind != Kind::Empty {
                    let is_same = e.port == port.0 && e.epoch == epoch;
                    if e.kind == Kind::Static || (is_same && e.seen == now) {
                        return Learned::Known;
                    }
                    if is_same {
                        // The first frame in each part of the ageing time.
                        let part = (self.ageing / REFRESHES).max(1);
                        let refreshed = e.seen / part != now / part;
                        e.seen = now;
                        return if refreshed { Learned::Refreshed } else { Learned::Known };
                    }
                    return self.moved(place, mac, segment, port, now);
                }
            }
        }
        let kind = Kind::Learned;
        self.insert(places, Entry { mac, segment: segment.0, seen: now, port: port.0, epoch, kind })
    }

    fn moved(&mut self, place: usize, mac: u64, segment: SegmentId, port: PortId, now: u32) -> Learned {
        if *self.count(port.0) >= self.port_limit {
            return Learned::Refused;
        }
        let epoch = self.epoch(port.0);
        let entry = self.buckets[place].iter_mut().find(|e| e.mac == mac && e.segment == segment.0);
        if let Some(e) = entry {
            let before = *e;
            (e.port, e.epoch, e.seen) = (port.0, epoch, now);
            self.uncount(&before);
            *self.count(port.0) += 1;
        }
        Learned::New
    }

    fn insert(&mut self, places: [usize; 2], new: Entry) -> Learned {
        if *self.count(new.port) >= self.port_limit {
            self.age(new.seen);
            if *self.count(new.port) >= self.port_limit {
                return Learned::Refused;
            }
        }
        for place in places {
            for way in 0..WAYS {
                let old = self.buckets[place][way];
                if self.is_dead(&old, new.seen) {
                    self.uncount(&old);
                    self.buckets[place][way] = new;
                    *self.count(new.port) += 1;
                    return Learned::New;
                }
            }
        }
        Learned::Refused
    }

    /// Removes aged entries of any port from the next few buckets.
    fn age(&mut self, now: u32) {
        for _ in 0..AGEING_STEP {
            self.hand = (self.hand + 1) & (self.buckets.len() - 1);
            for way in 0..WAYS {
                let e = self.buckets[self.hand][way];
                if e.kind == Kind::Learned && self.is_dead(&e, now) {
                    self.buckets[self.hand][way] = EMPTY;
                    self.uncount(&e);
                }
            }
        }
    }

    /// Adds a static entry.
    pub fn add_static(&mut self, segment: SegmentId, mac: Mac, port: PortId) {
        let bits = mac.bits();
        for place in self.places(segment, bits) {
            for way in 0..WAYS {
                let e = &mut self.buckets[place][way];
                if e.kind != Kind::Empty && e.mac == bits && e.segment == segment.0 {
                    let old = std::mem::replace(e, EMPTY);
                    self.uncount(&old);
                }
            }
        }
        let entry = Entry { mac: bits, segment: segment.0, port: port.0, kind: Kind::Static, ..EMPTY };
        loop {
            for place in self.places(segment, bits) {
                if let Some(way) = (0..WAYS).find(|&w| self.buckets[place][w].kind != Kind::Static) {
                    let old = std::mem::replace(&mut self.buckets[place][way], entry);
                    self.uncount(&old);
                    return;
                }
            }
            self.grow();
        }
    }

    /// Removes a static entry.
    pub fn remove_static(&mut self, segment: SegmentId, mac: Mac) {
        let bits = mac.bits();
        for place in self.places(segment, bits) {
            for e in &mut self.buckets[place] {
                if e.kind == Kind::Static && e.mac == bits && e.segment == segment.0 {
                    *e = EMPTY;
                }
            }
        }
    }

    fn grow(&mut self) {
        self.resize(self.buckets.len() * WAYS * 2);
    }

    /// Changes the size of the table to at least `entries` entries.
    pub fn resize(&mut self, entries: usize) {
        let mut larger = Fdb::new(entries, self.ageing, self.port_limit, self.keys);
        for e in self.buckets.iter().flatten().filter(|e| e.kind != Kind::Empty && !self.is_forgotten(e)) {
            let (segment, mac) = (SegmentId(e.segment), Mac::from_bits(e.mac));
            match e.kind {
                Kind::Static => larger.add_static(segment, mac, PortId(e.port)),
                _ => {
                    larger.learn(segment, mac, PortId(e.port), e.seen);
                }
            }
        }
        *self = larger;
    }

    /// Whether the entry is of an earlier generation of its port.
    fn is_forgotten(&self, e: &Entry) -> bool {
        e.kind == Kind::Learned && e.epoch != self.epoch(e.port)
    }

    /// Removes all learned addresses of a port, by a new generation of the port.
    pub fn forget_port(&mut self, port: PortId) {
        let entries = self.entries(port.0);
        *entries = PortEntries { epoch: entries.epoch.wrapping_add(1), count: 0 };
    }

    /// Renumbers segments. Learned addresses of removed segments, and all static entries, are removed.
    pub fn renumber(&mut self, number: impl Fn(SegmentId) -> Option<SegmentId>) {
        let mut new = Fdb::new(self.buckets.len() * WAYS, self.ageing, self.port_limit, self.keys);
        for e in self.buckets.iter().flatten().filter(|e| e.kind == Kind::Learned && !self.is_forgotten(e)) {
            if let Some(segment) = number(SegmentId(e.segment)) {
                new.learn(segment, Mac::from_bits(e.mac), PortId(e.port), e.seen);
            }
        }
        *self = new;
    }

    /// Removes static entries, and learned addresses of removed segments and ports.
    pub fn retain(&mut self, stays: impl Fn(SegmentId, PortId) -> bool) {
        let mut gone = Vec::new();
        for e in self.buckets.iter_mut().flatten().filter(|e| e.kind != Kind::Empty) {
            if e.kind == Kind::Static || !stays(SegmentId(e.segment), PortId(e.port)) {
                gone.push(std::mem::replace(e, EMPTY));
            }
        }
        gone.iter().for_each(|e| self.uncount(e));
    }

    /// All valid entries.
    pub fn show(&self, now: u32) -> Vec<AddressEntry> {
        let alive = self.buckets.iter().flatten().filter(|e| !self.is_dead(e, now));
        let shown = alive.map(|e| AddressEntry {
            segment: SegmentId(e.segment),
            mac: Mac::from_bits(e.mac),
            port: PortId(e.port),
            age: (e.kind == Kind::Learned).then(|| now.wrapping_sub(e.seen)),
        });
        shown.collect()
    }

    /// Changes the limits.
    pub fn set_limits(&mut self, ageing: u32, port_limit: u32) {
        (self.ageing, self.port_limit) = (ageing, port_limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: SegmentId = SegmentId(1);

    fn mac(n: u32) -> Mac {
        let [a, b, c, d] = n.to_be_bytes();
        Mac([2, 0, a, b, c, d])
    }

    fn fdb() -> Fdb {
        Fdb::new(1024, 300, 100, [0x1234_5678_9abc_def1, 0xfeed_beef_cafe_f00d])
    }

    #[test]
    fn what_was_learned_is_found_where_it_was() {
        let mut f = fdb();
        assert_eq!(f.learn(S, mac(1), PortId(3), 0), Learned::New);
        assert_eq!(f.learn(S, mac(1), PortId(3), 5), Learned::Known);
        // Other threads hear of it four times in the ageing time of 300 seconds, however many frames there are.
        let told = (6..306).filter(|&at| f.learn(S, mac(1), PortId(3), at) == Learned::Refreshed);
        assert_eq!(told.count(), 4);
        assert_eq!(f.find(S, mac(1), 305), Some(PortId(3)));
        assert_eq!(f.find(SegmentId(2), mac(1), 305), None);
    }

    #[test]
    fn an_address_moves_with_its_packets() {
        let mut f = fdb();
        f.learn(S, mac(1), PortId(3), 0);
        assert_eq!(f.learn(S, mac(1), PortId(4), 1), Learned::New);
        assert_eq!(f.find(S, mac(1), 1), Some(PortId(4)));
        f.forget_port(PortId(4));
        assert_eq!(f.find(S, mac(1), 1), None);
        assert!(f.learned.iter().all(|l| l.count == 0));
    }

    #[test]
    fn a_port_that_was_forgotten_learns_anew_and_is_counted_right() {
        let mut f = Fdb::new(1024, 300, 2, [5, 7]);
        for _ in 0..3 {
            assert_eq!(f.learn(S, mac(1), PortId(3), 0), Learned::New);
            assert_eq!(f.learn(S, mac(2), PortId(3), 0), Learned::New);
            assert_eq!(f.learn(S, mac(3), PortId(3), 0), Learned::Refused);
            f.forget_port(PortId(3));
            assert_eq!(f.find(S, mac(1), 0), None);
            assert!(f.show(0).is_empty());
        }
        // What another has learned in the meantime is not the first one's.
        f.learn(S, mac(1), PortId(4), 0);
        f.forget_port(PortId(3));
        assert_eq!(f.find(S, mac(1), 0), Some(PortId(4)));
        f.learn(S, mac(1), PortId(3), 0);
        f.resize(4096);
        assert_eq!((f.find(S, mac(1), 0), f.learned[3].count), (Some(PortId(3)), 1));
    }

    #[test]
    fn a_fixed_address_is_let_go_and_learned_again() {
        let mut f = fdb();
        f.add_static(S, mac(1), PortId(3));
        f.remove_static(S, mac(1));
        assert_eq!(f.find(S, mac(1), 0), None);
        f.learn(S, mac(1), PortId(4), 1);
        f.remove_static(S, mac(1));
        assert_eq!(f.find(S, mac(1), 1), Some(PortId(4)));
    }

    #[test]
    fn an_address_is_forgotten_when_it_was_not_seen_for_long() {
        let mut f = fdb();
        f.learn(S, mac(1), PortId(3), 0);
        assert_eq!(f.find(S, mac(1), 300), Some(PortId(3)));
        assert_eq!(f.find(S, mac(1), 301), None);
    }

    #[test]
    fn a_fixed_address_does_not_move() {
        let mut f = fdb();
        f.learn(S, mac(1), PortId(5), 0);
        f.add_static(S, mac(1), PortId(3));
        f.learn(S, mac(1), PortId(4), 1);
        assert_eq!(f.find(S, mac(1), 10_000), Some(PortId(3)));
    }

    #[test]
    fn a_port_cannot_fill_the_table() {
        let mut f = fdb();
        let refused = (0..5000).filter(|&n| f.learn(S, mac(n), PortId(3), 0) == Learned::Refused);
        assert_eq!(refused.count(), 4900);
        assert_eq!(f.learn(S, mac(9000), PortId(4), 0), Learned::New);
        // When the old ones have aged, there is room again: at the latest when the hand has gone round once.
        let rounds = (0..300).find(|&n| f.learn(S, mac(9001 + n), PortId(3), 400) == Learned::New);
        assert!(rounds.is_some());
    }

    #[test]
    fn a_refused_move_refreshes_nothing() {
        let mut f = Fdb::new(1024, 300, 1, [5, 7]);
        f.learn(S, mac(1), PortId(3), 0);
        f.learn(S, mac(2), PortId(4), 0);
        assert_eq!(f.learn(S, mac(1), PortId(4), 200), Learned::Refused);
        assert_eq!(f.find(S, mac(1), 301), None);
    }

    #[test]
    fn a_port_at_its_limit_costs_no_more_than_another() {
        // A table of which a search takes a thousand times as long as a look.
        let mut f = Fdb::new(1 << 20, 300, 1000, [5, 7]);
        (0..1000).for_each(|n| _ = f.learn(S, mac(n), PortId(3), 0));
        let began = std::time::Instant::now();
        for n in 0..10_000 {
            assert_eq!(f.learn(S, mac(5000 + n), PortId(3), 1), Learned::Refused);
        }
        // Searching the whole table each time would take minutes.
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    }

    #[test]
    fn more_fixed_addresses_than_were_planned_for_find_a_place() {
        let mut f = Fdb::new(64, 300, 100, [5, 7]);
        for n in 0..2000 {
            f.add_static(S, mac(n), PortId(n as u16));
        }
        assert!((0..2000).all(|n| f.find(S, mac(n), 0) == Some(PortId(n as u16))));
    }
}
