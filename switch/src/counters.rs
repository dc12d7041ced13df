//! What a port has done and why it has not. The thread that owns a port writes its counters; drops are counted by any.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use switch_control::counters::{Counters, QueueCounters, Queues, Reason};

/// A counter that one thread writes and any reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The sum.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What has happened in one ring of a vhost-user port.
#[derive(Debug, Default)]
pub struct Queue {
    /// Buffers that were used.
    pub buffers: Counter,
    /// Times that the peer was called: it had asked to be told.
    pub calls: Counter,
    /// Times that the peer kicked: the thread slept, or was about to.
    pub kicks: Counter,
    /// Times that packets had to wait since the peer offered no buffers.
    pub starved: Counter,
}

/// Counters and state of a port that every thread may look at.
#[derive(Debug, Default)]
pub struct Shared {
    /// Packets that came in.
    pub received: Counter,
    /// Their bytes.
    pub received_bytes: Counter,
    /// Packets that went out.
    pub sent: Counter,
    /// Their bytes.
    pub sent_bytes: Counter,
    /// The rings of a vhost-user port: 0 to the peer, 1 from it.
    pub queues: [Queue; 2],
    /// By any thread: the one that the packet came in by may not be the one that it would have left by.
    drops: [AtomicU64; Reason::ALL.len()],
    /// Whether the link is up.
    pub link: AtomicBool,
}

impl Shared {
    /// Counts packets that went nowhere.
    #[inline]
    pub fn count_drops(&self, reason: Reason, packets: u64) {
        self.drops[reason as usize].fetch_add(packets, Ordering::Relaxed);
    }

    /// Whether the link is up.
    #[inline]
    pub fn is_up(&self) -> bool {
        self.link.load(Ordering::Relaxed)
    }

    /// The numbers now, of a port with rings or without.
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
