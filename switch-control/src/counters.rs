//! Counters of a port: packets, bytes, drops by reason. A snapshot.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Reasons for dropped packets.
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
    /// All reasons.
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

/// Counters of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Received packets.
    pub received: u64,
    /// Received bytes, without offload headers.
    pub received_bytes: u64,
    /// Sent packets. A segment for segmentation offload counts as one.
    pub sent: u64,
    /// Sent bytes.
    pub sent_bytes: u64,
    /// Counters of each ring (vhost-user): `to-peer`, `from-peer`.
    #[serde(default)]
    pub queues: Option<Queues>,
    /// Dropped packets by reason; reasons without drops are left out.
    pub drops: BTreeMap<Reason, u64>,
}

/// Counters of a port's rings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Queues {
    /// The ring that the peer receives from.
    pub to_peer: QueueCounters,
    /// The ring that the peer transmits to.
    pub from_peer: QueueCounters,
}

/// Counters of a ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueCounters {
    /// Used buffers. A packet may take several.
    pub buffers: u64,
    /// Notifications to the peer (calls).
    pub calls: u64,
    /// Notifications from the peer (kicks). It sends them while the thread sleeps or is about to.
    pub kicks: u64,
    /// Times that packets had to wait because the peer offered no buffers.
    pub starved: u64,
}
