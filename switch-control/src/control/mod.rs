//! The control socket's protocol: one JSON object a line, a [`Request`] answered by a [`Response`]. After
//! [`Request::Capture`] the connection carries pcapng, after [`Request::Events`] one [`Event`] a line.

mod client;

pub use client::{CallError, Client};

use crate::config::{AnnouncedConfig, Config, Diff, PortConfig};
use crate::counters::Counters;
use crate::mac::Mac;
use serde::{Deserialize, Serialize};

/// Longest line, bytes: enough for a configuration of the most ports that a switch can have.
pub const LINE_MAXIMUM: usize = 16 << 20;

/// A request to a switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// The state of the switch and its ports. Answer: [`Response::Status`].
    Show,
    /// The configuration in force. Answer: [`Response::Config`].
    Config,
    /// Replaces the configuration, as a whole or not at all. Answer: [`Response::Changed`].
    Apply {
        /// The whole new configuration.
        config: Box<Config>,
        /// Answer with the changes, and make none.
        #[serde(default)]
        dry_run: bool,
    },
    /// Adds a port, or replaces the one of this name. Answer: [`Response::Changed`].
    PutPort {
        /// Name of the port.
        name: String,
        /// Configuration of the port.
        port: Box<PortConfig>,
    },
    /// Removes a port. Answer: [`Response::Changed`].
    DeletePort {
        /// Name of the port.
        name: String,
    },
    /// Announces an address whose port may not exist yet. Answer: [`Response::Changed`].
    Announce {
        /// A name for the announcement.
        name: String,
        /// The address, and how long packets for it are held.
        announced: AnnouncedConfig,
    },
    /// Withdraws an announced address. Answer: [`Response::Changed`].
    Withdraw {
        /// Name of the announcement.
        name: String,
    },
    /// The forwarding database. Answer: [`Response::Addresses`].
    Addresses,
    /// Copies of a port's packets, as pcapng, until the connection is closed.
    Capture {
        /// Name of the port.
        port: String,
        /// Most bytes of each packet.
        snap: usize,
    },
    /// Events, until the connection is closed.
    Events,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "kebab-case")]
pub enum Response {
    /// To [`Request::Show`].
    Status(Box<Status>),
    /// To [`Request::Config`].
    Config(Box<Config>),
    /// To a change: what it has changed, or would change.
    Changed(Diff),
    /// To [`Request::Addresses`].
    Addresses {
        /// Entries of the forwarding database.
        addresses: Vec<Address>,
    },
    /// To [`Request::Capture`] and [`Request::Events`]: the capture or the events follow.
    Follows,
    /// The request was refused and nothing was changed.
    Refused {
        /// The reason.
        message: String,
    },
}

/// An event in a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A port's link came up or went down.
    Link {
        /// Name of the port.
        port: String,
        /// Whether the link is up now.
        up: bool,
    },
    /// A port's device failed and was opened again.
    Restored {
        /// Name of the port.
        port: String,
    },
    /// A port's peer was dropped, or its device failed.
    Dropped {
        /// Name of the port.
        port: String,
        /// The reason.
        reason: String,
    },
    /// A packet for an announced address arrived, or a neighbour asked for it.
    Wanted {
        /// Name of the announcement.
        announced: String,
    },
    /// A bond's links changed.
    Bond {
        /// Name of the bond's port.
        port: String,
        /// Names of the links that carry outgoing packets.
        active: Vec<String>,
    },
}

/// State of the switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Process id of the switch.
    pub pid: u32,
    /// Seconds since it was started.
    pub up_s: u64,
    /// All ports, by name.
    pub ports: Vec<PortStatus>,
    /// Packets that wait for announced addresses.
    pub held: Vec<Held>,
}

/// Packets that wait for one announced address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Name of the announcement.
    pub announced: String,
    /// Number of packets.
    pub packets: usize,
}

/// State of a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PortStatus {
    /// Name of the port.
    pub name: String,
    /// Kind of device: `vhost-user`, `tap`, `packet`, `xdp`, `pcap`, `bond`.
    pub kind: String,
    /// The device in words: socket, interface, files, or the links of a bond.
    pub device: String,
    /// Number of the thread that serves the port; none for a bond.
    pub thread: Option<usize>,
    /// Whether the port can receive and send packets.
    pub up: bool,
    /// Segment of untagged packets.
    pub segment: Option<String>,
    /// VLAN ids with their segments.
    pub trunk: Vec<(u16, String)>,
    /// Name of the bond that this port is a link of.
    pub link_of: Option<String>,
    /// Why the last peer or device was dropped.
    pub last_error: Option<String>,
    /// Packets, bytes and drops.
    pub counters: Counters,
    /// State of the links, if the port is a bond.
    pub bond: Option<BondStatus>,
}

/// State of a bond.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BondStatus {
    /// The mode of the bond.
    pub mode: crate::config::BondMode,
    /// State of each link.
    pub links: Vec<LinkStatus>,
}

/// State of a link of a bond.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LinkStatus {
    /// Name of the link's port.
    pub port: String,
    /// Whether there is carrier.
    pub up: bool,
    /// Whether the link carries outgoing packets.
    pub active: bool,
    /// LACP's state of the link (mode 802.3ad).
    pub lacp: Option<crate::lacp::LinkSnapshot>,
}

/// An entry of the forwarding database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Address {
    /// Name of the segment.
    pub segment: String,
    /// The Ethernet address.
    pub mac: Mac,
    /// Name of the port that the address is behind.
    pub port: String,
    /// Seconds since a packet came from it; none for a static entry.
    pub age_s: Option<u32>,
}
