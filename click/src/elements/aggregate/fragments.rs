//! Packets that wait until it is known which flow a fragment before them belongs to.

use crate::element::Nanos;
use crate::packet::Packet;
use alloc::collections::{BTreeMap, VecDeque};

/// Addresses of a packet, the smaller one first, and its protocol.
pub type Pair = ([u8; 4], [u8; 4], u8);

/// Most packets that wait.
const MOST: usize = 4096;

/// A packet that waits.
pub struct Waiting {
    /// The packet.
    pub packet: Packet,
    /// Its identification, which its fragments share.
    pub id: u16,
    /// It is a fragment.
    pub is_fragment: bool,
    /// Ports of its flow, the smaller address' first, if they are known; and the aggregate and paint.
    pub flow: Option<(u32, u32, u8)>,
}

/// Packets that wait, by their addresses; those of a pair are given back in the order in which they came.
#[derive(Default)]
pub struct Fragments {
    queues: BTreeMap<Pair, VecDeque<Waiting>>,
    count: usize,
}

impl Fragments {
    /// Whether packets between two addresses wait.
    pub fn wait(&self, pair: &Pair) -> bool {
        self.queues.contains_key(pair)
    }

    /// Whether no more may wait.
    pub fn is_full(&self) -> bool {
        self.count >= MOST
    }

    /// Has a packet wait behind the others of its addresses.
    pub fn push(&mut self, pair: Pair, waiting: Waiting) {
        self.count += 1;
        self.queues.entry(pair).or_default().push_back(waiting);
    }

    /// The next packet between two addresses that need not wait any more: one that is no fragment, or that came before
    /// a time. Its flow is known if that of any other fragment with its identification is.
    pub fn next(&mut self, pair: &Pair, before: Nanos) -> Option<Waiting> {
        let queue = self.queues.get_mut(pair)?;
        let first = queue.front()?;
        if first.is_fragment && first.packet.timestamp() >= before {
            return None;
        }
        let mut first = queue.pop_front()?;
        self.count -= 1;
        match first.flow {
            Some(_) => queue.iter_mut().filter(|w| w.id == first.id).for_each(|w| w.flow = first.flow),
            None => first.flow = queue.iter().filter(|w| w.id == first.id).find_map(|w| w.flow),
        }
        if queue.is_empty() {
            self.queues.remove(pair);
        }
        Some(first)
    }

    /// All addresses between which packets wait.
    pub fn pairs(&self) -> alloc::vec::Vec<Pair> {
        self.queues.keys().copied().collect()
    }
}
