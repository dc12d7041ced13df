//! What a port has done and why it has not. One thread writes a port's counters, any may read them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A counter that one thread writes and any reads.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
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

/// Counters and state of a port that every thread may look at.
#[derive(Debug, Default)]
pub struct Shared {
    /// Packets that came in.
    pub received: Tally,
    /// Their bytes.
    pub received_bytes: Tally,
    /// Packets that went out.
    pub sent: Tally,
    /// Their bytes.
    pub sent_bytes: Tally,
    /// Times that the peer was called.
    pub calls: Tally,
    /// Times that the peer kicked.
    pub kicks: Tally,
    drops: [Tally; Reason::ALL.len()],
    /// Whether the link is up.
    pub link: AtomicBool,
}

impl Shared {
    /// Counts packets that went nowhere.
    #[inline]
    pub fn lost(&self, reason: Reason, packets: u64) {
        self.drops[reason as usize].add(packets);
    }

    /// Whether the link is up.
    #[inline]
    pub fn is_up(&self) -> bool {
        self.link.load(Ordering::Relaxed)
    }

    /// The numbers now.
    pub fn read(&self) -> Counters {
        let drops = Reason::ALL.iter().map(|&r| (r, self.drops[r as usize].get())).filter(|&(_, n)| n > 0);
        Counters {
            received: self.received.get(),
            received_bytes: self.received_bytes.get(),
            sent: self.sent.get(),
            sent_bytes: self.sent_bytes.get(),
            calls: self.calls.get(),
            kicks: self.kicks.get(),
            drops: drops.collect(),
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
    /// Times that the peer was called (vhost-user).
    pub calls: u64,
    /// Times that the peer kicked (vhost-user).
    pub kicks: u64,
    /// Packets that went nowhere, by reason; those without packets are left out.
    pub drops: BTreeMap<Reason, u64>,
}
