//! Networks: segments of the switch with what belongs to them.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};
use switch_control::config::BondMode;

/// A segment of the switch with what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Name, unique on the node.
    pub name: String,
    /// IPv4 subnet that instances get addresses from, `10.0.0.0/24`.
    #[serde(default, deserialize_with = "subnet", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub subnet: Option<ipnet::Ipv4Net>,
    /// IPv4 default gateway of instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv4"))]
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 subnet that instances get addresses from, beside `subnet` or alone, `fd00::/64`.
    #[serde(default, deserialize_with = "subnet6", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub subnet6: Option<ipnet::Ipv6Net>,
    /// IPv6 default gateway of instances: an address of the subnet, or a link-local one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv6"))]
    pub gateway6: Option<Ipv6Addr>,
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

/// What of a network changes while instances are on it, as JSON Merge Patch has it (RFC 7396): what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NetworkChange {
    /// IPv4 default gateway of instances that are created from now on; `null`: none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv4"))]
    pub gateway: Option<Option<Ipv4Addr>>,
    /// IPv6 default gateway of instances that are created from now on; `null`: none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>, format = "ipv6"))]
    pub gateway6: Option<Option<Ipv6Addr>>,
    /// See [`Network::flood_limit`]; in force at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flood_limit: Option<u64>,
}

/// What is there, `null` included.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl NetworkChange {
    /// What has to change of one network so that it becomes another; `None` if that takes more than this can say.
    pub fn between(before: &Network, after: &Network) -> Option<Self> {
        let Network { gateway, gateway6, flood_limit, .. } = *after;
        let rest = Network { gateway, gateway6, flood_limit, ..before.clone() };
        (rest == *after).then(|| Self {
            gateway: (before.gateway != gateway).then_some(gateway),
            gateway6: (before.gateway6 != gateway6).then_some(gateway6),
            flood_limit: (before.flood_limit != flood_limit).then_some(flood_limit),
        })
    }

    /// Makes the change.
    pub fn apply(&self, network: &mut Network) {
        network.gateway = self.gateway.unwrap_or(network.gateway);
        network.gateway6 = self.gateway6.unwrap_or(network.gateway6);
        network.flood_limit = self.flood_limit.unwrap_or(network.flood_limit);
    }
}

/// A prefix, of whichever family.
fn prefix<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ipnet::IpNet>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let wrong =
        |e| D::Error::custom(format!("{text:?} is not a subnet such as 10.0.0.0/24 or fd00::/64: {e}"));
    text.parse().map(Some).map_err(wrong)
}

/// An IPv4 subnet; one of IPv6 is refused in its own terms.
fn subnet<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ipnet::Ipv4Net>, D::Error> {
    match prefix(from)? {
        None => Ok(None),
        Some(ipnet::IpNet::V4(subnet)) => Ok(Some(subnet)),
        Some(ipnet::IpNet::V6(subnet)) => {
            Err(D::Error::custom(format!("{subnet} is IPv6: write it to subnet6 (--subnet6)")))
        }
    }
}

/// An IPv6 subnet; one of IPv4 is refused in its own terms.
fn subnet6<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ipnet::Ipv6Net>, D::Error> {
    match prefix(from)? {
        None => Ok(None),
        Some(ipnet::IpNet::V6(subnet)) => Ok(Some(subnet)),
        Some(ipnet::IpNet::V4(subnet)) => {
            Err(D::Error::custom(format!("{subnet} is IPv4: write it to subnet (--subnet)")))
        }
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
    /// The host's IPv4 address on it, with the length of the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub address: Option<ipnet::Ipv4Net>,
    /// The host's IPv6 address on it, with the length of the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<String>))]
    pub address6: Option<ipnet::Ipv6Net>,
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
    /// VLAN ID (IEEE 802.1Q, 1 to 4094) that the network's frames are tagged with there. Networks with different VLANs, and one
    /// without, share the same interfaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 4094))]
    pub vlan: Option<u16>,
    /// Take the interface's address from the host and give it to the network's instance, with its prefix, gateway and
    /// link-layer address. The host has it back when the network is deleted.
    #[serde(default)]
    pub take_over: bool,
    /// What was taken over, which the node finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
}

impl Uplink {
    /// Whether another is made of the same interfaces in the same way.
    pub fn is_same(&self, other: &Self) -> bool {
        self.netns == other.netns && self.interfaces == other.interfaces && self.mode == other.mode
    }
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
    fn a_change_says_what_differs_and_null_is_not_the_same_as_nothing() {
        let read = |text: &str| serde_json::from_str::<NetworkChange>(text).unwrap();
        let gateway = "10.0.0.1".parse().unwrap();
        assert_eq!(read("{}"), NetworkChange::default());
        assert_eq!(read(r#"{"gateway": null}"#).gateway, Some(None));
        let before: Network =
            serde_json::from_str(r#"{"name": "n", "subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}"#).unwrap();
        let mut after = Network { gateway: None, flood_limit: 5, ..before.clone() };
        let change = NetworkChange::between(&before, &after).unwrap();
        assert_eq!(serde_json::to_string(&change).unwrap(), r#"{"gateway":null,"flood_limit":5}"#);
        let back = NetworkChange::between(&after, &before).unwrap();
        assert_eq!(back.gateway, Some(Some(gateway)));
        back.apply(&mut after);
        assert_eq!(after, before);
        assert_eq!(NetworkChange::between(&before, &Network { mtu: 9000, ..before.clone() }), None);
    }

    #[test]
    fn subnets_that_are_none_are_refused_in_their_own_terms() {
        let read = |subnet: &str| {
            serde_json::from_str::<Network>(&format!(r#"{{"name": "n", "subnet": {subnet}}}"#))
        };
        assert!(read("null").unwrap().subnet.is_none());
        assert_eq!(read("\"10.0.0.0/24\"").unwrap().subnet.unwrap().prefix_len(), 24);
        assert!(read("\"fd00::/64\"").unwrap_err().to_string().contains("is IPv6"));
        assert!(read("\"10.0.0.0\"").unwrap_err().to_string().contains("not a subnet"));
    }
}
