//! Networks: segments of the switch with what belongs to them.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::net::Ipv4Addr;
use switch_control::config::BondMode;

/// A segment of the switch with what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Name, unique on the node.
    pub name: String,
    /// Subnet that instances get addresses from, `10.0.0.0/24`.
    #[serde(default, deserialize_with = "subnet", skip_serializing_if = "Option::is_none")]
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
    /// Packets a second that each port may send to everyone, to a group or to an unknown address; 0 for no limit.
    #[serde(default = "flood_limit")]
    pub flood_limit: u64,
}

/// An IPv4 subnet; one of IPv6 is refused in its own terms.
fn subnet<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ipnet::Ipv4Net>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    match text.parse::<ipnet::IpNet>() {
        Ok(ipnet::IpNet::V4(subnet)) => Ok(Some(subnet)),
        Ok(ipnet::IpNet::V6(subnet)) => Err(D::Error::custom(format!(
            "{subnet} is IPv6, and a network\'s subnet is IPv4: leave it out, and IPv6 passes by the guests\' own means"
        ))),
        Err(e) => Err(D::Error::custom(format!("{text:?} is no subnet such as 10.0.0.0/24: {e}"))),
    }
}

fn mtu() -> u16 {
    1500
}

/// What a network's ports may flood unless it says otherwise, packets a second: what every guest can take beside its own.
pub const FLOOD_LIMIT: u64 = 10_000;

fn flood_limit() -> u64 {
    FLOOD_LIMIT
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
    pub mac: switch_control::mac::Mac,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_that_are_none_are_refused_in_their_own_terms() {
        let read = |subnet: &str| {
            serde_json::from_str::<Network>(&format!(r#"{{"name": "n", "subnet": {subnet}}}"#))
        };
        assert!(read("null").unwrap().subnet.is_none());
        assert_eq!(read("\"10.0.0.0/24\"").unwrap().subnet.unwrap().prefix_len(), 24);
        assert!(read("\"fd00::/64\"").unwrap_err().to_string().contains("is IPv6"));
        assert!(read("\"10.0.0.0\"").unwrap_err().to_string().contains("no subnet"));
    }
}
