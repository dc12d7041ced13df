//! What a port has done and why it has not. The thread that owns a port writes its counters; drops are counted by any.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

/// Why a packet went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(usize)]
pub enum Reason {
    /// In: its headers contradict themselves.
    Malformed,
    /// In: its VLAN (or the lack of one) belongs to no segment of the port.
    Vlan,
    /// In: it came from an address that the port may not use.
    Spoofed,
    /// In: its group address never leaves a link (IEEE 802.1Q table 8-1).
    LinkLocal,
    /// In: the flood limit of its segment.
    Storm,
    /// In: its destination is behind the port that it came from, or there is no other port.
    NoOther,
    /// In: on a bond's backup link.
    Backup,
    /// Out: the port's link is down.
    Down,
    /// Out: the port's queue is full.
    Full,
    /// Out: longer than the port's MTU.
    TooLong,
    /// Out: the port's rate limit.
    Rate,
    /// In: its destination does not exist yet, and more packets wait for it already than may.
    HoldFull,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 12] = [
        Reason::Malformed,
        Reason::Vlan,
        Reason::Spoofed,
        Reason::LinkLocal,
        Reason::Storm,
        Reason::NoOther,
        Reason::Backup,
        Reason::Down,
        Reason::Full,
        Reason::TooLong,
        Reason::Rate,
        Reason::HoldFull,
    ];
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

/// Numbers of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets that came in.
    pub received: u64,
    /// Their bytes, without offload headers.
    pub received_bytes: u64,
    /// Packets that went out. A large segment is one.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Of each ring (vhost-user): `to-peer`, `from-peer`.
    #[serde(default)]
    pub queues: Option<Queues>,
    /// Packets that went nowhere, by reason; those without packets are left out.
    pub drops: BTreeMap<Reason, u64>,
}

/// Numbers of a port's rings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Queues {
    /// The ring that the peer receives from.
    pub to_peer: QueueCounters,
    /// The ring that the peer transmits to.
    pub from_peer: QueueCounters,
}

/// Numbers of a ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueCounters {
    /// Buffers that were used. A packet may take several.
    pub buffers: u64,
    /// Times that the peer was called: it had asked to be told.
    pub calls: u64,
    /// Times that the peer kicked: the thread slept, or was about to.
    pub kicks: u64,
    /// Times that packets had to wait since the peer offered no buffers.
    pub starved: u64,
}
