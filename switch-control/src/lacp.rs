//! LACP's view of a link (IEEE 802.1AX-2020 section 6.4): both sides, and the states of its machines.

use crate::mac::Mac;
use serde::{Deserialize, Serialize};

/// Bits of a port's state (6.4.2.3).
pub mod state {
    /// `LACP_Activity`: sends messages even if the partner is passive.
    pub const ACTIVITY: u8 = 1 << 0;
    /// `LACP_Timeout`: the partner must send every second (short timeout).
    pub const SHORT_TIMEOUT: u8 = 1 << 1;
    /// `Aggregation`: the link can be aggregated with others.
    pub const AGGREGATION: u8 = 1 << 2;
    /// `Synchronization`: the link is attached to the right aggregator.
    pub const SYNCHRONIZATION: u8 = 1 << 3;
    /// `Collecting`: received packets are accepted.
    pub const COLLECTING: u8 = 1 << 4;
    /// `Distributing`: packets are sent.
    pub const DISTRIBUTING: u8 = 1 << 5;
    /// `Defaulted`: the partner's values are configured defaults, not received ones.
    pub const DEFAULTED: u8 = 1 << 6;
    /// `Expired`: no message came from the partner within the timeout.
    pub const EXPIRED: u8 = 1 << 7;
}

/// One side of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Side {
    /// Priority of the system; smaller is higher.
    pub system_priority: u16,
    /// System identifier, a MAC address.
    pub system: Mac,
    /// Operational key: links with the same key can be aggregated.
    pub key: u16,
    /// Priority of the port.
    pub port_priority: u16,
    /// Port number.
    pub port: u16,
    /// State bits (6.4.2.3).
    pub state: u8,
}

impl Side {
    /// Whether all state bits of a mask are set.
    pub fn has(&self, bits: u8) -> bool {
        self.state & bits == bits
    }

    /// Sets or clears state bits.
    pub fn set(&mut self, bits: u8, on: bool) {
        if on {
            self.state |= bits;
        } else {
            self.state &= !bits;
        }
    }

    /// Whether it is the same port of the same system.
    pub fn is_same_port(&self, other: &Self) -> bool {
        let identity = |s: &Self| (s.system_priority, s.system, s.key, s.port_priority, s.port);
        identity(self) == identity(other)
    }
}

/// States of the mux machine (6.4.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mux {
    /// Detached: in no aggregator.
    Detached,
    /// Waiting for other links that come up at the same time.
    Waiting,
    /// Attached to the aggregator.
    Attached,
    /// Attached, and received packets are accepted.
    Collecting,
    /// Attached, received packets are accepted, and packets are sent.
    Distributing,
}

/// States of the periodic transmission machine (6.4.13), without `PERIODIC_TX`, which takes no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Periodic {
    /// No periodic messages: both sides are passive, or the link is down.
    NoPeriodic,
    /// A message every second.
    FastPeriodic,
    /// A message every 30 seconds.
    SlowPeriodic,
}

/// States of the receive machine (6.4.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Receive {
    /// Initial state.
    Initialize,
    /// The link is down.
    PortDisabled,
    /// No message came within the timeout; the partner is asked to send every second.
    Expired,
    /// No message came after that either: there is no partner.
    Defaulted,
    /// The partner's messages arrive.
    Current,
}

/// The result of selection (6.4.14) for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The link has no partner.
    Unselected,
    /// The link belongs to the bond's aggregator.
    Selected,
    /// The link belongs to another aggregator, which is a standby.
    Standby,
}

/// State of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LinkSnapshot {
    /// This side.
    pub actor: Side,
    /// The other side.
    pub partner: Side,
    /// The receive machine.
    pub receive: Receive,
    /// The periodic machine.
    pub periodic: Periodic,
    /// The mux machine.
    pub mux: Mux,
    /// Whether the link belongs to the bond's aggregator.
    pub selection: Selection,
}
