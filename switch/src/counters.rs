//! Counters of a port. The thread that owns the port writes them; drops are counted by any thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use switch_control::counters::{Counters, QueueCounters, Queues, Reason};

/// A counter that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to the counter.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one ring of a vhost-user port.
#[derive(Debug, Default)]
pub struct Queue {
    /// Used buffers.
    pub buffers: Counter,
    /// Notifications to the peer (calls).
    pub calls: Counter,
    /// Notifications from the peer (kicks). It sends them while the thread sleeps or is about to.
    pub kicks: Counter,
    /// Times that packets had to wait because the peer offered no buffers.
    pub starved: Counter,
}

/// Counters and state of a port that every thread may read.
#[derive(Debug, Default)]
pub struct Shared {
    /// Received packets.
    pub received: Counter,
    /// Received bytes.
    pub received_bytes: Counter,
    /// Sent packets.
    pub sent: Counter,
    /// Sent bytes.
    pub sent_bytes: Counter,
    /// The rings of a vhost-user port: 0 to the peer, 1 from it.
    pub queues: [Queue; 2],
    /// Drops by reason. Any thread writes them: the thread of the receiving port may not be the one of the sending port.
    drops: [AtomicU64; Reason::ALL.len()],
    /// Whether the link is up.
    pub link: AtomicBool,
}

impl Shared {
    /// Counts dropped packets.
    #[inline]
    pub fn count_drops(&self, reason: Reason, packets: u64) {
        self.drops[reason as usize].fetch_add(packets, Ordering::Relaxed);
    }

    /// Whether the link is up.
    #[inline]
    pub fn is_up(&self) -> bool {
        self.link.load(Ordering::Relaxed)
    }

    /// The current values, with or without those of rings.
    pub fn read(&self, has_rings: bool) -> Counters {
        let drops = Reason::ALL
            .iter()
            .map(|&r| (r, self.drops[r as usize].load(Ordering::Relaxed)))
            .filter(|&(_, n)| n > 0);
        Counters {
            received: self.received.get(),
            received_bytes: self.received_bytes.get(),
            sent: self.sent.get(),
            sent_bytes: self.sent_bytes.get(),
            queues: has_rings.then(|| {
                let [to_peer, from_peer] = self.queues.each_ref().map(Queue::read);
                Queues { to_peer, from_peer }
            }),
            drops: drops.collect(),
        }
    }
}

impl Queue {
    fn read(&self) -> QueueCounters {
        QueueCounters {
            buffers: self.buffers.get(),
            calls: self.calls.get(),
            kicks: self.kicks.get(),
            starved: self.starved.get(),
        }
    }
}
