//! The configuration of a switch: segments, ports and settings, as TOML in a file or JSON from a program. `check` finds
//! contradictions, `diff` compares two configurations.

pub mod check;
mod diff;
mod pair;

pub use check::{Contradiction, PORTS};
pub use diff::{Diff, diff};
pub use pair::{AddressPair, MAX_PAIRS};

use crate::mac::Mac;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// Most links of a bond.
pub const BOND_LINKS: usize = 16;

/// The whole configuration. A key that is left out has its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Settings for all ports.
    #[serde(skip_serializing_if = "is_default")]
    pub switch: Settings,
    /// Segments by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub segments: BTreeMap<String, SegmentConfig>,
    /// Ports by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, PortConfig>,
    /// Announced addresses, whose ports may not exist yet, by a name of choice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub announced: BTreeMap<String, AnnouncedConfig>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// When threads sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Polling {
    /// Poll a port for `poll-us` after its last packet, then wait to be woken.
    Adaptive,
    /// Poll all the time. Each thread takes a whole CPU.
    Always,
    /// Never poll: the peer has to notify the switch.
    Never,
}

/// Settings for all ports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Number of threads of the data plane. Fixed while the switch runs.
    pub threads: usize,
    /// CPU of each thread, in order. A thread without one runs anywhere. Fixed while the switch runs.
    pub cpus: Vec<usize>,
    /// When threads sleep. Fixed while the switch runs.
    pub polling: Polling,
    /// Adaptive polling: how long an idle port is polled, microseconds.
    pub poll_us: u64,
    /// Most learned addresses in all.
    pub addresses: usize,
    /// Most learned addresses of one port.
    pub addresses_per_port: u32,
    /// Seconds after which an unused address is forgotten.
    pub ageing_s: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: 1,
            cpus: Vec::new(),
            polling: Polling::Adaptive,
            poll_us: 50,
            addresses: 65536,
            addresses_per_port: 1024,
            ageing_s: 300,
        }
    }
}

/// A broadcast domain: its ports reach each other and no others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SegmentConfig {
    /// Whether it joins exactly two ports. Everything passes, tags and link protocols included, and nothing is learned.
    #[serde(skip_serializing_if = "is_default")]
    pub point_to_point: bool,
    /// Whether the switch answers ARP and neighbour solicitations for addresses of ports and announced addresses.
    #[serde(skip_serializing_if = "is_default")]
    pub answer_neighbours: bool,
    /// Packets a second that each port may send to everyone, to a group or to an unknown address; 0: no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub flood_limit: u64,
}

/// Configuration of a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PortConfig {
    /// The device behind the port.
    pub device: DeviceConfig,
    /// Segment of untagged packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Segments by VLAN id (1 to 4094).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trunk: BTreeMap<Vlan, String>,
    /// Ethernet address of the peer, a static entry of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// IP addresses of the peer, for anti-spoofing and for answers to neighbours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Whether to drop packets from addresses other than `mac`, `addresses` and `allowed_address_pairs`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub anti_spoofing: bool,
    /// Further addresses that the peer may send from, with `anti_spoofing`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_address_pairs: Vec<AddressPair>,
    /// Largest packet without its Ethernet header, bytes.
    #[serde(default = "mtu", skip_serializing_if = "is_mtu")]
    pub mtu: u16,
    /// Whether to offload checksums and segmentation to the other side.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub offload: bool,
    /// Rate limit for packets from the peer. The peer has to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_in: Option<RateLimit>,
    /// Rate limit for packets to the peer. The rest is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_out: Option<RateLimit>,
    /// Name of the port that gets a copy of every packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// Number of the thread that serves the port. Left out: the switch chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<usize>,
}

fn mtu() -> u16 {
    1500
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_mtu(value: &u16) -> bool {
    *value == mtu()
}

fn yes() -> bool {
    true
}

/// A VLAN id, 1 to 4094; TOML keys are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Vlan(pub u16);

impl From<Vlan> for String {
    fn from(vlan: Vlan) -> String {
        vlan.0.to_string()
    }
}

impl TryFrom<String> for Vlan {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse() {
            Ok(n) if (1..=4094).contains(&n) => Ok(Self(n)),
            _ => Err(format!("{text:?} is not a VLAN number: 1 to 4094")),
        }
    }
}

/// A token bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct RateLimit {
    /// Megabits a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mbit: Option<f64>,
    /// Thousands of packets a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kpps: Option<f64>,
    /// Burst, kilobytes. Left out: what passes in 10 ms, at least 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_kb: Option<u64>,
}

/// The device behind a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DeviceConfig {
    /// A guest, or any other vhost-user front end.
    VhostUser {
        /// Path of the socket.
        path: PathBuf,
        /// Whether to connect to the socket, which the front end makes, instead of listening.
        #[serde(default, skip_serializing_if = "is_default")]
        client: bool,
    },
    /// A TAP device on the host or in a namespace, made if absent.
    Tap {
        /// Name of the TAP.
        name: String,
        /// Namespace: a name under /run/netns or a path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        netns: Option<String>,
    },
    /// A network interface, by packet sockets: any driver.
    Packet {
        /// Name of the interface.
        interface: String,
        /// Namespace: a name under /run/netns or a path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        netns: Option<String>,
    },
    /// A network interface, by AF_XDP sockets: small packets fast, no offloads.
    Xdp {
        /// Name of the interface.
        interface: String,
        /// Namespace: a name under /run/netns or a path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        netns: Option<String>,
        /// Number of the interface's queue.
        #[serde(default, skip_serializing_if = "is_default")]
        queue: u32,
    },
    /// Files in pcap format.
    Pcap {
        /// File whose packets come in, once, as fast as they are accepted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read: Option<PathBuf>,
        /// File that outgoing packets are written to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        write: Option<PathBuf>,
    },
    /// Several ports as one.
    Bond(BondConfig),
}

/// Several ports as one: links that carry traffic together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BondConfig {
    /// Names of the ports. They are in no segment themselves.
    pub links: Vec<String>,
    /// How the links work together.
    pub mode: BondMode,
    /// What the hash over flows covers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hash: BondHash,
    /// 802.3ad: how often the partner must send: every second (timeout 3 s), or every 30 s (timeout 90 s).
    #[serde(default, skip_serializing_if = "is_default")]
    pub lacp_rate: LacpRate,
    /// Active-backup: the link that is used whenever it is up. Left out: the first that came up, while it stays up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Fewest usable links. With fewer, the bond is down.
    #[serde(default = "min_links", skip_serializing_if = "is_min_links")]
    pub min_links: usize,
    /// 802.3ad: the system identifier. Left out: made from the machine id, the bond's name and its first device, so that
    /// it is the same after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_id: Option<Mac>,
    /// 802.3ad: the system priority; smaller is higher.
    #[serde(default = "system_priority", skip_serializing_if = "is_system_priority")]
    pub system_priority: u16,
    /// 802.3ad: while no link has a partner, the first link that is up carries packets.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lacp_fallback: bool,
}

impl BondConfig {
    /// A bond of these links with defaults for everything else.
    pub fn new(links: Vec<String>, mode: BondMode) -> Self {
        Self {
            links,
            mode,
            hash: BondHash::default(),
            lacp_rate: LacpRate::default(),
            primary: None,
            min_links: min_links(),
            system_id: None,
            system_priority: system_priority(),
            lacp_fallback: false,
        }
    }
}

fn min_links() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_min_links(value: &usize) -> bool {
    *value == min_links()
}

fn system_priority() -> u16 {
    u16::MAX
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_system_priority(value: &u16) -> bool {
    *value == system_priority()
}

/// How links work together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BondMode {
    /// One link carries all packets; the others are backups.
    ActiveBackup,
    /// Flows are spread over all links that are up.
    BalanceXor,
    /// Every link carries every packet.
    Broadcast,
    /// Flows are spread over the links that both sides agree on, by LACP (IEEE 802.1AX-2020, 6.4).
    #[serde(rename = "802.3ad")]
    Lacp,
}

/// What the hash over flows covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BondHash {
    /// Ethernet and IP addresses.
    #[serde(rename = "layer2+3")]
    Layer23,
    /// IP addresses and ports.
    #[default]
    #[serde(rename = "layer3+4")]
    Layer34,
}

/// How often the partner must send LACP messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LacpRate {
    /// Every 30 seconds.
    #[default]
    Slow,
    /// Every second.
    Fast,
}

/// An address whose port may not exist yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AnnouncedConfig {
    /// Name of the segment.
    pub segment: String,
    /// The Ethernet address.
    pub mac: Mac,
    /// IP addresses that the switch answers for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Most packets that are held.
    #[serde(default = "packets")]
    pub packets: usize,
    /// Longest time that packets are held, milliseconds.
    #[serde(default = "time_ms")]
    pub time_ms: u64,
}

fn packets() -> usize {
    64
}

fn time_ms() -> u64 {
    3000
}

impl Config {
    /// Parses the text of a configuration file.
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
[switch]
poll-us = 20
[segments.blue]
answer-neighbours = true
[ports.vm1]
device = { vhost-user = { path = "/run/vm1.sock" } }
segment = "blue"
mac = "02:00:00:00:00:01"
addresses = ["10.0.0.1", "fd00::1"]
anti-spoofing = true
limit-in = { mbit = 100 }
[ports.up1]
device = { packet = { interface = "eth0" } }
[ports.up2]
device = { packet = { interface = "eth1" } }
[ports.up]
device = { bond = { links = ["up1", "up2"], mode = "802.3ad", lacp-rate = "fast" } }
trunk = { 100 = "blue" }
"#;

    #[test]
    fn an_example_is_read_and_survives_json() {
        let config = Config::from_toml(EXAMPLE).unwrap();
        assert_eq!(config.ports.len(), 4);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
        assert!(config.check().is_ok());
    }

    #[test]
    fn unknown_words_are_refused() {
        for text in ["[port.a]", "[ports.a]\ndevice = { tun = {} }", "[segments.a]\nvlan = 1"] {
            assert!(Config::from_toml(text).is_err(), "{text}");
        }
    }
}
