//! Networks: segments of the switch with what belongs to them.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use switch::config::BondMode;

/// A segment of the switch with what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Name, unique on the node.
    pub name: String,
    /// Subnet that instances get addresses from, `10.0.0.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub subnet: Option<ipnet::Ipv4Net>,
    /// Default gateway of instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv4"))]
    pub gateway: Option<Ipv4Addr>,
    /// The host's own port on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostPort>,
    /// An interface of the host that the network goes on behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<Uplink>,
    /// A wire between two ports: nothing is learned, everything passes.
    #[serde(default)]
    pub point_to_point: bool,
    /// Largest packet, bytes.
    #[serde(default = "mtu")]
    pub mtu: u16,
}

fn mtu() -> u16 {
    1500
}

/// A TAP of the host, or of one of its namespaces, on a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HostPort {
    /// Name of the TAP.
    pub tap: String,
    /// Namespace: a name under /run/netns or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// The host's address on it, with the length of the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub address: Option<ipnet::Ipv4Net>,
}

/// An interface of the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    /// Interfaces; several are a bond.
    pub interfaces: Vec<String>,
    /// Namespace that they are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// How several work together: `active-backup`, `balance-xor`, `broadcast`, `802.3ad`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub mode: Option<BondMode>,
    /// Take the interface's address from the host and give it to the network's instance, with its prefix, gateway and
    /// link-layer address. The host has it back when the network is deleted.
    #[serde(default)]
    pub take_over: bool,
    /// What was taken over, which the node finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
}

/// What an interface of the host had, and an instance has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// Its address.
    #[cfg_attr(feature = "server", schema(value_type = String, format = "ipv4"))]
    pub address: Ipv4Addr,
    /// Its link-layer address.
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub mac: switch::headers::Mac,
}
