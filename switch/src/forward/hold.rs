//! Packets for an address whose owner does not exist yet wait here, in order, a bounded number for a bounded time.

use super::limit::Nanos;
use crate::offload::Offload;
use std::collections::{HashMap, VecDeque};

/// Longest packet that waits, bytes.
const LONGEST: usize = crate::frame::LARGEST;
/// Most bytes that wait, of all addresses together.
const BYTES: usize = 64 << 20;

/// Time between two messages about an address that is wanted.
const TELL_INTERVAL: Nanos = 250_000_000;

/// A packet that waits.
#[derive(Debug)]
pub struct Held {
    /// All its bytes, without tag.
    pub bytes: Vec<u8>,
    /// What is left to do to it.
    pub offload: Offload,
    since: Nanos,
}

/// All that wait, by the announced address's place in the tables' list.
#[derive(Debug, Default)]
pub struct Holds {
    queues: HashMap<String, VecDeque<Held>>,
    bytes: usize,
    /// When the switch's own thread was last told that an address is wanted.
    told: HashMap<String, Nanos>,
}

impl Holds {
    /// Keeps a packet; `false` if as many wait as may.
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

    /// Whether the switch's own thread is to be told that an address is wanted: at first, and now and then.
    pub fn is_news(&self, name: &str, now: Nanos) -> bool {
        self.told.get(name).is_none_or(|&at| now.saturating_sub(at) >= TELL_INTERVAL)
    }

    /// It has been told.
    pub fn told(&mut self, name: &str, now: Nanos) {
        self.told.insert(name.to_owned(), now);
    }

    /// Drops what has waited too long; how many.
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

    /// All that wait for an address, in the order in which they came, less what has waited too long.
    pub fn release(&mut self, name: &str, time: Nanos, now: Nanos) -> VecDeque<Held> {
        self.expire(name, time, now);
        self.told.remove(name);
        let queue = self.queues.remove(name).unwrap_or_default();
        self.bytes -= queue.iter().map(|h| h.bytes.len()).sum::<usize>();
        queue
    }

    /// How many wait for an address.
    pub fn waiting(&self, name: &str) -> usize {
        self.queues.get(name).map_or(0, VecDeque::len)
    }

    /// Names of the addresses that packets wait for.
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
