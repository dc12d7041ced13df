//! The flows of a rewriter: found by what their packets look like, in either direction; bounded; forgotten in time.

use super::flow::{DATA, DONE, Flow, FlowId, STREAMING};
use crate::element::Nanos;
use crate::headers::PROTOCOL_TCP;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// How long flows are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// TCP with data in both directions, with data in one or none, and at its end.
    pub(super) tcp: [Nanos; 3],
    /// Others, and those that stream.
    pub(super) udp: [Nanos; 2],
    /// How long after a packet nothing makes room for others: TCP, and others.
    pub(super) guarantees: [Nanos; 2],
}

impl Timeouts {
    fn guarantee(&self, flow: &Flow) -> Nanos {
        self.guarantees[usize::from(flow.ids[0].protocol() != PROTOCOL_TCP)]
    }

    fn timeout(&self, flow: &Flow) -> Nanos {
        let streams = flow.seen & STREAMING != 0;
        if streams || flow.ids[0].protocol() != PROTOCOL_TCP {
            return self.udp[usize::from(streams)];
        }
        let both = |bits: [u8; 2]| flow.seen & (bits[0] | bits[1]) == bits[0] | bits[1];
        self.tcp[if both(DONE) {
            2
        } else if both(DATA) {
            0
        } else {
            1
        }]
    }

    /// Until when a flow keeps its place whoever wants it.
    pub(super) fn guaranteed_until(&self, flow: &Flow) -> Nanos {
        flow.last.saturating_add(self.guarantee(flow))
    }

    /// When a flow is forgotten unless packets come.
    pub(super) fn expiry(&self, flow: &Flow) -> Nanos {
        flow.last.saturating_add(self.timeout(flow).max(self.guarantee(flow)))
    }
}

/// A place in the index: some bits of the hash, and the flow's number times two plus the direction.
#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    entry: u32,
}

/// From so many places on, a table with three of four unused is made smaller.
const SPARSE: usize = 1024;

const EMPTY: Slot = Slot { tag: 0, entry: u32::MAX };

/// Flows and their index.
#[derive(Debug)]
pub(super) struct Table {
    /// Open addressing with linear probing, at most half full; a power of two.
    slots: Vec<Slot>,
    flows: Vec<Flow>,
    free: Vec<u32>,
    /// When to look at flows again: those that may make room for others, and those that are guaranteed. Packets only
    /// move a flow's own time, so that an entry may be early; it is then put in again.
    heaps: [BinaryHeap<Reverse<(Nanos, u32)>>; 2],
    pub(super) capacity: usize,
    pub(super) timeouts: Timeouts,
    seed: [u64; 2],
}

impl Table {
    pub(super) fn new(capacity: usize, timeouts: Timeouts) -> Self {
        Self {
            slots: Vec::new(),
            flows: Vec::new(),
            free: Vec::new(),
            heaps: Default::default(),
            capacity,
            timeouts,
            seed: [0; 2],
        }
    }

    /// Makes the index unpredictable. Before the first flow.
    pub(super) fn seed(&mut self, seed: [u64; 2]) {
        if self.len() == 0 {
            self.seed = seed;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.flows.len() - self.free.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter().filter(|f| f.live)
    }

    #[inline]
    pub(super) fn flow(&mut self, number: u32) -> &mut Flow {
        &mut self.flows[number as usize]
    }

    /// Number and direction of the flow of packets that look so.
    #[inline]
    pub(super) fn find(&self, id: FlowId) -> Option<(u32, usize)> {
        let mask = self.slots.len().checked_sub(1)?;
        let hash = id.hash(self.seed);
        let (tag, mut at) = ((hash >> 32) as u32, hash as usize & mask);
        loop {
            let slot = self.slots[at];
            if slot.entry == EMPTY.entry {
                return None;
            }
            let (number, direction) = (slot.entry >> 1, slot.entry as usize & 1);
            if slot.tag == tag && self.flows[number as usize].ids[direction] == id {
                return Some((number, direction));
            }
            at = (at + 1) & mask;
        }
    }

    /// Whether a flow's packets or answers would look like those of another.
    pub(super) fn taken(&self, flow: &Flow) -> bool {
        flow.ids.iter().any(|&id| self.find(id).is_some())
    }

    /// Removes flows whose packets or answers would look like those of a new one: the newest has them.
    pub(super) fn displace(&mut self, flow: &Flow) {
        for id in flow.ids {
            if let Some((number, _)) = self.find(id) {
                self.remove(number);
            }
        }
    }

    /// Adds a flow, making room if there is some to be made. `None`: there is none, or the flow's answers would look
    /// like packets of another.
    pub(super) fn add(&mut self, flow: Flow) -> Option<u32> {
        if self.taken(&flow) || (self.len() >= self.capacity && !self.make_room(&flow)) {
            return None;
        }
        self.grow()?;
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.flows.try_reserve(1).ok()?;
                self.free.try_reserve(self.flows.len() + 1).ok()?;
                u32::try_from(self.flows.len()).ok()?
            }
        };
        Some(self.enter(number, flow))
    }

    fn enter(&mut self, number: u32, flow: Flow) -> u32 {
        let ids = flow.ids;
        match self.flows.get_mut(number as usize) {
            Some(place) => *place = flow,
            None => self.flows.push(flow),
        }
        self.index_both(ids, number);
        let until = self.timeouts.guaranteed_until(&self.flows[number as usize]);
        self.schedule(number, until, true);
        number
    }

    /// Sees to it that a flow whose time has become shorter is looked at in time.
    #[inline]
    pub(super) fn touch(&mut self, number: u32) {
        let flow = &self.flows[number as usize];
        if flow.guaranteed {
            return;
        }
        let expiry = self.timeouts.expiry(flow);
        if expiry < flow.due {
            self.schedule(number, expiry, false);
        }
    }

    /// Whether a flow's time is over.
    #[inline]
    pub(super) fn is_over(&self, number: u32, now: Nanos) -> bool {
        self.timeouts.expiry(&self.flows[number as usize]) <= now
    }

    pub(super) fn remove(&mut self, number: u32) {
        let flow = &mut self.flows[number as usize];
        if !core::mem::replace(&mut flow.live, false) {
            return;
        }
        flow.sequences = None;
        let ids = flow.ids;
        ids.into_iter().for_each(|id| self.unindex(id));
        self.free.push(number);
    }

    pub(super) fn clear(&mut self) {
        *self = Self { seed: self.seed, ..Self::new(self.capacity, self.timeouts) };
    }

    /// Removes flows that `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(&Flow) -> bool) {
        for number in 0..self.flows.len() as u32 {
            if self.flows[number as usize].live && !keep(&self.flows[number as usize]) {
                self.remove(number);
            }
        }
    }

    /// Forgets flows whose time is over, and those beyond the capacity.
    pub(super) fn reap(&mut self, now: Nanos) {
        while self.next(1, now, now).is_some() {}
        while let Some(number) = self.next(0, now, now) {
            self.remove(number);
        }
        while self.len() > self.capacity {
            let Some((_, number)) = self.first(now) else { break };
            self.remove(number);
        }
        if self.flows.len() >= SPARSE && self.len() <= self.flows.len() / 4 {
            self.shrink();
        }
    }

    /// Gives back what flows that are gone took. If there is no memory to do it, all stays as it is.
    fn shrink(&mut self) {
        let mut smaller = Self { seed: self.seed, ..Self::new(self.capacity, self.timeouts) };
        let count = self.len();
        let slots = (4 * (count + 1)).next_power_of_two().max(64);
        if smaller.flows.try_reserve_exact(count).is_err()
            || smaller.free.try_reserve_exact(count).is_err()
            || smaller.slots.try_reserve_exact(slots).is_err()
            || smaller.heaps.iter_mut().any(|heap| heap.try_reserve(count).is_err())
        {
            return;
        }
        smaller.slots.resize(slots, EMPTY);
        for flow in self.flows.drain(..).filter(|flow| flow.live) {
            let (number, ids) = (smaller.flows.len() as u32, flow.ids);
            let (due, guaranteed) = (flow.due, flow.guaranteed);
            smaller.flows.push(flow);
            smaller.index_both(ids, number);
            smaller.schedule(number, due, guaranteed);
        }
        *self = smaller;
    }

    /// The flow that would be forgotten first, and when: those that are guaranteed come behind all others.
    pub(super) fn first(&mut self, now: Nanos) -> Option<((bool, Nanos), u32)> {
        // Flows whose guarantee is over go to the other heap.
        while self.next(1, now, now).is_some() {}
        let number = self.next(0, Nanos::MAX, now).or_else(|| self.next(1, Nanos::MAX, now))?;
        let (due, guaranteed) = (self.flow(number).due, self.flow(number).guaranteed);
        self.schedule(number, due, guaranteed);
        Some(((guaranteed, due), number))
    }

    /// When a new flow would be forgotten, as `first` has it.
    pub(super) fn claim(&self, flow: &Flow) -> (bool, Nanos) {
        (self.timeouts.guarantee(flow) > 0, self.timeouts.expiry(flow))
    }

    /// Removes the flow that would be forgotten first, if it is not guaranteed, and is not the new one.
    fn make_room(&mut self, flow: &Flow) -> bool {
        match self.first(flow.last) {
            Some((due, number)) if !due.0 && due <= self.claim(flow) => {
                self.remove(number);
                self.len() < self.capacity
            }
            _ => false,
        }
    }

    /// The first flow of a heap that is due up to `until`. Of the guaranteed ones, those whose guarantee is over go to
    /// the others.
    fn next(&mut self, heap: usize, until: Nanos, now: Nanos) -> Option<u32> {
        loop {
            let &Reverse((due, number)) = self.heaps[heap].peek()?;
            if due > until {
                return None;
            }
            self.heaps[heap].pop();
            let flow = &self.flows[number as usize];
            if !flow.live || flow.due != due || usize::from(flow.guaranteed) != heap {
                continue;
            }
            let (guarantee, expiry) = (self.timeouts.guaranteed_until(flow), self.timeouts.expiry(flow));
            if guarantee > now && (heap == 0 || guarantee > due) {
                // Packets have come.
                self.schedule(number, guarantee, true);
            } else if guarantee > now {
                return Some(number);
            } else if heap == 1 || expiry > due {
                self.schedule(number, expiry, false);
                if heap == 1 {
                    return Some(number);
                }
            } else {
                return Some(number);
            }
        }
    }

    fn schedule(&mut self, number: u32, due: Nanos, guaranteed: bool) {
        let flow = &mut self.flows[number as usize];
        (flow.due, flow.guaranteed) = (due, guaranteed);
        let heap = &mut self.heaps[usize::from(guaranteed)];
        if heap.len() > 2 * self.flows.len() + 64 {
            let flows = &self.flows;
            heap.retain(|Reverse((due, n))| {
                let flow = &flows[*n as usize];
                flow.live && flow.due == *due && flow.guaranteed == guaranteed
            });
        }
        heap.push(Reverse((due, number)));
    }

    /// Room for one more flow in the index.
    fn grow(&mut self) -> Option<()> {
        if (self.len() + 1) * 4 <= self.slots.len() {
            return Some(());
        }
        let size = (self.slots.len() * 2).max(64);
        let mut larger = Vec::new();
        larger.try_reserve_exact(size).ok()?;
        larger.resize(size, EMPTY);
        self.slots = larger;
        for number in 0..self.flows.len() {
            if self.flows[number].live {
                self.index_both(self.flows[number].ids, number as u32);
            }
        }
        Some(())
    }

    /// Both directions of a flow. If they look the same, packets are taken for answers.
    fn index_both(&mut self, ids: [FlowId; 2], number: u32) {
        if ids[0] != ids[1] {
            self.index(ids[0], number << 1);
        }
        self.index(ids[1], number << 1 | 1);
    }

    fn index(&mut self, id: FlowId, entry: u32) {
        let (hash, mask) = (id.hash(self.seed), self.slots.len() - 1);
        let mut at = hash as usize & mask;
        while self.slots[at].entry != EMPTY.entry {
            at = (at + 1) & mask;
        }
        self.slots[at] = Slot { tag: (hash >> 32) as u32, entry };
    }

    /// Takes an entry out, and moves those behind it up, so that none is out of reach.
    fn unindex(&mut self, id: FlowId) {
        let mask = self.slots.len() - 1;
        let home = |table: &Self, entry: u32| {
            table.flows[(entry >> 1) as usize].ids[entry as usize & 1].hash(table.seed) as usize & mask
        };
        let mut at = id.hash(self.seed) as usize & mask;
        loop {
            let entry = self.slots[at].entry;
            if entry == EMPTY.entry {
                return;
            }
            if self.flows[(entry >> 1) as usize].ids[entry as usize & 1] == id {
                break;
            }
            at = (at + 1) & mask;
        }
        let mut hole = at;
        loop {
            at = (at + 1) & mask;
            let entry = self.slots[at].entry;
            if entry == EMPTY.entry {
                break;
            }
            // It may move if its home is not between the hole and itself.
            let from_home = at.wrapping_sub(home(self, entry)) & mask;
            if from_home >= at.wrapping_sub(hole) & mask {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use super::super::flow::Kind;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_table_with_few_of_many_flows_left_is_small_and_knows_them() {
        let timeouts = Timeouts { tcp: [9; 3], udp: [9; 2], guarantees: [2; 2] };
        let mut table = Table::new(100_000, timeouts);
        let end = |n: u32| ([10, 0, (n >> 8) as u8, n as u8], 80);
        let id = |n: u32| FlowId::new(end(n), ([10, 9, 9, 9], 80), 6);
        for n in 0..20_000 {
            // Every hundredth is used later.
            let now = if n % 100 == 0 { 5 } else { 0 };
            let flow = Flow::new(Kind::Ip, id(n), id(n), 0, [0; 2], now);
            assert!(table.add(flow).is_some());
        }
        let large = table.slots.len();
        table.reap(9);
        assert_eq!((table.len(), table.flows.len()), (200, 200));
        assert!(table.slots.len() * 10 < large, "{} of {large}", table.slots.len());
        assert!((0..20_000).all(|n| table.find(id(n)).is_some() == (n % 100 == 0)));
        assert!(table.add(Flow::new(Kind::Ip, id(20_001), id(20_001), 0, [0; 2], 9)).is_some());
        table.reap(14);
        assert_eq!(table.len(), 1);
        table.reap(30);
        assert_eq!((table.len(), table.find(id(20_001))), (0, None));
    }

    proptest! {
        #[test]
        fn a_table_finds_what_is_in_it_and_nothing_else(steps in proptest::collection::vec((0u16..80, any::<bool>()), 0..300)) {
            let timeouts = Timeouts { tcp: [9; 3], udp: [9; 2], guarantees: [0; 2] };
            let mut table = Table::new(50, timeouts);
            let id = |n: u16| FlowId::new(([10, 0, 0, 1], n), ([10, 0, 0, 2], 80), 6);
            let to = |n: u16| FlowId::new(([1, 0, 0, 1], n + 100), ([10, 0, 0, 2], 80), 6);
            let mut model = BTreeMap::new();
            for (now, (n, add)) in steps.into_iter().enumerate() {
                if add {
                    let flow = Flow::new(Kind::Ip, id(n), to(n), 0, [0; 2], now as u64);
                    let full = model.len() == 50;
                    prop_assert_eq!(table.add(flow).is_some(), !model.contains_key(&n));
                    if full && !model.contains_key(&n) {
                        let oldest = *model.iter().min_by_key(|m| m.1).unwrap().0;
                        model.remove(&oldest);
                    }
                    model.entry(n).or_insert(now);
                } else if let Some((number, _)) = table.find(id(n)) {
                    prop_assert!(model.remove(&n).is_some());
                    table.remove(number);
                }
                for n in 0..80 {
                    let found = table.find(id(n)).map(|f| f.1);
                    prop_assert_eq!(found, model.contains_key(&n).then_some(0));
                    prop_assert_eq!(table.find(to(n).reverse()).map(|f| f.1), found.map(|_| 1));
                }
            }
        }
    }
}
