//! Holds packets for announced addresses whose port does not exist yet: in order, a bounded number for a bounded time.

use super::limit::Nanos;
use crate::offload::Offload;
use std::collections::{HashMap, VecDeque};

/// Longest packet that is held, bytes.
const LONGEST: usize = crate::frame::LARGEST;
/// Most bytes that are held for all addresses together.
const BYTES: usize = 64 << 20;

/// Time between two messages about an address that is wanted.
const TELL_INTERVAL: Nanos = 250_000_000;

/// A held packet.
#[derive(Debug)]
pub struct Held {
    /// All its bytes, without tag.
    pub bytes: Vec<u8>,
    /// Offloads that are still to be done.
    pub offload: Offload,
    since: Nanos,
}

/// All held packets, by the index of the announced address in the tables.
#[derive(Debug, Default)]
pub struct Holds {
    queues: HashMap<String, VecDeque<Held>>,
    bytes: usize,
    /// When the control thread was last told that an address is wanted.
    told: HashMap<String, Nanos>,
}

impl Holds {
    /// Holds a packet; `false` if the limit is reached.
    pub fn keep(
        &mut self,
        name: &str,
        most: usize,
        time: Nanos,
        bytes: Vec<u8>,
        offload: Offload,
        now: Nanos,
    ) -> bool {
        self.expire(name, time, now);
        if bytes.len() > LONGEST || self.bytes + bytes.len() > BYTES {
            return false;
        }
        let queue = self.queues.entry(name.to_owned()).or_default();
        if queue.len() >= most {
            return false;
        }
        self.bytes += bytes.len();
        queue.push_back(Held { bytes, offload, since: now });
        true
    }

    /// Whether to tell the control thread that an address is wanted: at the first packet, then at intervals.
    pub fn is_news(&self, name: &str, now: Nanos) -> bool {
        self.told.get(name).is_none_or(|&at| now.saturating_sub(at) >= TELL_INTERVAL)
    }

    /// The control thread was told.
    pub fn told(&mut self, name: &str, now: Nanos) {
        self.told.insert(name.to_owned(), now);
    }

    /// Drops packets that were held too long. Returns their number.
    pub fn expire(&mut self, name: &str, time: Nanos, now: Nanos) -> u64 {
        let Some(queue) = self.queues.get_mut(name) else {
            return 0;
        };
        let mut dropped = 0;
        while queue.front().is_some_and(|h| now.saturating_sub(h.since) > time) {
            if let Some(h) = queue.pop_front() {
                self.bytes -= h.bytes.len();
                dropped += 1;
            }
        }
        if queue.is_empty() {
            self.queues.remove(name);
        }
        dropped
    }

    /// Takes all packets for an address, in order of arrival, except those that were held too long.
    pub fn release(&mut self, name: &str, time: Nanos, now: Nanos) -> VecDeque<Held> {
        self.expire(name, time, now);
        self.told.remove(name);
        let queue = self.queues.remove(name).unwrap_or_default();
        self.bytes -= queue.iter().map(|h| h.bytes.len()).sum::<usize>();
        queue
    }

    /// Number of packets that are held for an address.
    pub fn waiting(&self, name: &str) -> usize {
        self.queues.get(name).map_or(0, VecDeque::len)
    }

    /// Names of the addresses with held packets.
    pub fn names(&self) -> Vec<String> {
        self.queues.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(h: &mut Holds, byte: u8, now: Nanos) -> bool {
        h.keep("a", 3, 1000, vec![byte], Offload::default(), now)
    }

    #[test]
    fn packets_come_out_in_order_and_no_more_than_may_wait() {
        let mut h = Holds::default();
        let kept: Vec<bool> = (0..5).map(|b| keep(&mut h, b, 0)).collect();
        assert_eq!(kept, [true, true, true, false, false]);
        let out: Vec<u8> = h.release("a", 1000, 10).iter().map(|h| h.bytes[0]).collect();
        assert_eq!(out, [0, 1, 2]);
        assert_eq!((h.bytes, h.waiting("a")), (0, 0));
    }

    #[test]
    fn packets_do_not_wait_for_ever() {
        let mut h = Holds::default();
        keep(&mut h, 1, 0);
        keep(&mut h, 2, 900);
        let out: Vec<u8> = h.release("a", 1000, 1500).iter().map(|h| h.bytes[0]).collect();
        assert_eq!(out, [2]);
    }
}
