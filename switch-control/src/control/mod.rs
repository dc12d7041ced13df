//! The control socket's protocol: one JSON object a line, a [`Request`] answered by a [`Response`]. After
//! [`Request::Capture`] the connection carries pcapng, after [`Request::Events`] one [`Event`] a line.

mod client;

pub use client::{CallError, Client};

use crate::config::{AnnouncedConfig, Config, Diff, PortConfig};
use crate::counters::Counters;
use crate::mac::Mac;
use serde::{Deserialize, Serialize};

/// Longest line, bytes: a configuration of all ports that there may be.
pub const LINE_MAXIMUM: usize = 16 << 20;

/// What can be asked of a switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// How is everything? [`Status`].
    Show,
    /// What is configured? [`Config`].
    Config,
    /// Be like this from now on, all at once or not at all. [`Diff`].
    Apply {
        /// All of it.
        config: Box<Config>,
        /// Only say what would change.
        #[serde(default)]
        dry_run: bool,
    },
    /// One port more, or another by this name. [`Diff`].
    PutPort {
        /// Its name.
        name: String,
        /// The port.
        port: Box<PortConfig>,
    },
    /// One port less. [`Diff`].
    DeletePort {
        /// Its name.
        name: String,
    },
    /// An address that may be wanted before its port exists. [`Diff`].
    Announce {
        /// A name of choice.
        name: String,
        /// The address.
        announced: AnnouncedConfig,
    },
    /// An announced address less. [`Diff`].
    Withdraw {
        /// Its name.
        name: String,
    },
    /// Which addresses are where? [`Response::Addresses`].
    Addresses,
    /// Copies of a port's packets, as pcapng, until the connection is closed.
    Capture {
        /// Its name.
        port: String,
        /// Bytes of each packet.
        snap: usize,
    },
    /// What happens, until the connection is closed.
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
    /// To what changes something.
    Changed(Diff),
    /// To [`Request::Addresses`].
    Addresses {
        /// The table.
        addresses: Vec<Address>,
    },
    /// To [`Request::Capture`] and [`Request::Events`]: what was asked for follows.
    Follows,
    /// Not done.
    Refused {
        /// Why.
        message: String,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A port's link came up or went down.
    Link {
        /// Port.
        port: String,
        /// Whether it is up now.
        up: bool,
    },
    /// A port's device failed and was opened again.
    Restored {
        /// Its name.
        port: String,
    },
    /// A port's peer was dropped, or its device failed.
    Dropped {
        /// Port.
        port: String,
        /// Why.
        reason: String,
    },
    /// There is a packet or a question for an announced address.
    Wanted {
        /// Its name.
        announced: String,
    },
    /// A bond's links changed.
    Bond {
        /// Bond.
        port: String,
        /// Links that packets go out by.
        active: Vec<String>,
    },
}

/// How everything is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it was started.
    pub up_s: u64,
    /// Its ports.
    pub ports: Vec<PortStatus>,
    /// How many packets wait for announced addresses.
    pub held: Vec<Held>,
}

/// Packets that wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The announced address's name.
    pub announced: String,
    /// How many.
    pub packets: usize,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PortStatus {
    /// Its name.
    pub name: String,
    /// What is behind it: `vhost-user`, `tap`, `packet`, `xdp`, `pcap`, `bond`.
    pub kind: String,
    /// Which one.
    pub device: String,
    /// The thread that serves it; none for a bond.
    pub thread: Option<usize>,
    /// Whether packets can come and go.
    pub up: bool,
    /// Segment of packets without tag.
    pub segment: Option<String>,
    /// Segments by VLAN.
    pub trunk: Vec<(u16, String)>,
    /// The bond that it is a link of.
    pub link_of: Option<String>,
    /// Why its last peer was dropped.
    pub last_error: Option<String>,
    /// Numbers.
    pub counters: Counters,
    /// A bond's links.
    pub bond: Option<BondStatus>,
}

/// A bond.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BondStatus {
    /// How its links work together.
    pub mode: crate::config::BondMode,
    /// The links.
    pub links: Vec<LinkStatus>,
}

/// A link of a bond.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LinkStatus {
    /// Port.
    pub port: String,
    /// Carrier.
    pub up: bool,
    /// Whether packets go out by it.
    pub active: bool,
    /// LACP's view.
    pub lacp: Option<crate::lacp::LinkSnapshot>,
}

/// An address in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Address {
    /// Segment.
    pub segment: String,
    /// Ethernet address.
    pub mac: Mac,
    /// Port that it is behind.
    pub port: String,
    /// Seconds since it was last seen; none if it is fixed.
    pub age_s: Option<u32>,
}
