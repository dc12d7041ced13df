//! What a port has done and why it has not, as numbers at one moment.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
