//! LACP's view of a link (IEEE 802.1AX-2020 section 6.4): both sides, and the states of its machines.

use crate::mac::Mac;
use serde::{Deserialize, Serialize};

/// Bits of a port's state (6.4.2.3).
pub mod state {
    /// Speaks without being spoken to.
    pub const ACTIVITY: u8 = 1 << 0;
    /// Wants to hear every second.
    pub const SHORT_TIMEOUT: u8 = 1 << 1;
    /// Can be one of several.
    pub const AGGREGATION: u8 = 1 << 2;
    /// Is in the right aggregator.
    pub const SYNCHRONIZATION: u8 = 1 << 3;
    /// Takes packets that come in.
    pub const COLLECTING: u8 = 1 << 4;
    /// Sends packets.
    pub const DISTRIBUTING: u8 = 1 << 5;
    /// Knows its partner only from its configuration.
    pub const DEFAULTED: u8 = 1 << 6;
    /// Has not heard from its partner for too long.
    pub const EXPIRED: u8 = 1 << 7;
}

/// One side of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Side {
    /// Priority of the system; smaller is higher.
    pub system_priority: u16,
    /// The system.
    pub system: Mac,
    /// What can be aggregated has the same key.
    pub key: u16,
    /// Priority of the port.
    pub port_priority: u16,
    /// The port.
    pub port: u16,
    /// Bits of `state`.
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
    /// In no aggregator.
    Detached,
    /// Waiting for others that come up at the same time.
    Waiting,
    /// In the aggregator.
    Attached,
    /// Packets that come in count.
    Collecting,
    /// Packets go out as well.
    Distributing,
}

/// States of the periodic transmission machine (6.4.13); the moment of transmission is none that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Periodic {
    /// Nobody speaks.
    NoPeriodic,
    /// Every second.
    FastPeriodic,
    /// Every 30 seconds.
    SlowPeriodic,
}

/// States of the receive machine (6.4.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Receive {
    /// Just begun.
    Initialize,
    /// The link is down.
    PortDisabled,
    /// Nothing was heard for too long; it is asked to transmit fast.
    Expired,
    /// Nothing was heard since: nobody is there.
    Defaulted,
    /// The partner is known and speaks.
    Current,
}

/// What selection (6.4.14) comes to for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Without a partner.
    Unselected,
    /// In the bond's aggregator.
    Selected,
    /// In another, which waits.
    Standby,
}

/// A link as it is shown.
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
