//! Networks: what they are on the switch, and which addresses of theirs are free. `supervisor` keeps the switch itself, `host` is the
//! host's own end of a network, `takeover` an interface whose address an instance gets.

mod addresses;
mod host;
mod supervisor;
pub mod takeover;

pub use addresses::Addresses;
pub use host::set_up;
pub use supervisor::{SwitchSupervisor, recorded_switch};

use api::Problem;
use api::flavor::Flavor;
use api::instance::{Device, DeviceSpec};
use api::network::{HostPort, Network, Uplink};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use switch::config::{
    AnnouncedConfig, BondConfig, BondMode, DeviceConfig, MAX_PAIRS, PortConfig, RateLimit, SegmentConfig,
    Vlan,
};
use switch::headers::Mac;

/// Packets that wait for an instance on demand, and how long, milliseconds.
const HELD: usize = 256;
const HELD_MS: u64 = 30_000;
/// Every link that carries IPv6 carries packets of so many bytes (RFC 8200, section 5).
const MTU_OF_IPV6: u16 = 1280;

fn port(device: DeviceConfig, network: &Network) -> PortConfig {
    PortConfig {
        device,
        segment: Some(network.name.clone()),
        trunk: Default::default(),
        mac: None,
        addresses: Vec::new(),
        anti_spoofing: false,
        allowed_address_pairs: Vec::new(),
        mtu: network.mtu,
        offload: true,
        limit_in: None,
        limit_out: None,
        mirror: None,
        thread: None,
    }
}

/// The host's link-layer address on a TAP: known ahead, so that the switch can answer for it.
pub fn host_mac(tap: &str) -> Mac {
    Mac(machine::net::mac_from(tap))
}

/// A network as the switch has it: its segment.
pub fn segment(network: &Network) -> SegmentConfig {
    SegmentConfig {
        point_to_point: network.point_to_point,
        answer_neighbours: !network.point_to_point,
        flood_limit: network.flood_limit,
    }
}

/// The ports that networks have of themselves, by name: the host's, and the uplinks'. Networks that share an uplink share its
/// port, which is a trunk.
pub fn own_ports(networks: &[Network]) -> BTreeMap<String, PortConfig> {
    let mut ports = BTreeMap::new();
    for network in networks {
        if let Some(HostPort { tap, netns, address, address6 }) = &network.host {
            let device = DeviceConfig::Tap { name: tap.clone(), netns: netns.clone() };
            let four = address.map(|a| IpAddr::V4(a.addr()));
            let addresses = four.into_iter().chain(address6.map(|a| IpAddr::V6(a.addr()))).collect();
            let mac = Some(host_mac(tap));
            let port = PortConfig { mac, addresses, ..port(device, network) };
            ports.insert(format!("{}-host", network.name), port);
        }
        if let Some(uplink) = &network.uplink {
            let sharing: Vec<&Network> =
                networks.iter().filter(|n| n.uplink.as_ref().is_some_and(|u| u.is_same(uplink))).collect();
            ports.extend(uplink_ports(network, uplink, &sharing));
        }
    }
    ports
}

/// The ports of an uplink that these networks share, as one of them sees it: each sees the same.
fn uplink_ports(network: &Network, uplink: &Uplink, sharing: &[&Network]) -> Vec<(String, PortConfig)> {
    let Uplink { interfaces, netns, mode, .. } = uplink;
    let vlan = |network: &Network| network.uplink.as_ref().and_then(|u| u.vlan);
    let trunk: BTreeMap<Vlan, String> =
        sharing.iter().filter_map(|n| Some((Vlan(vlan(n)?), n.name.clone()))).collect();
    let native = sharing.iter().find(|n| vlan(n).is_none()).map(|n| n.name.clone());
    let name = match trunk.is_empty() {
        true => format!("{}-uplink", network.name),
        false => format!("{}-trunk", interfaces.join("-")),
    };
    let mtu = sharing.iter().map(|n| n.mtu).max().unwrap_or(network.mtu);
    let with =
        |device| PortConfig { segment: native.clone(), trunk: trunk.clone(), mtu, ..port(device, network) };
    let packet =
        |interface: &String| DeviceConfig::Packet { interface: interface.clone(), netns: netns.clone() };
    if let [only] = &interfaces[..] {
        return vec![(name, with(packet(only)))];
    }
    let links: Vec<String> = interfaces.iter().map(|i| format!("{name}-{i}")).collect();
    let of_link = |interface| PortConfig { segment: None, mtu, ..port(packet(interface), network) };
    let mut ports: Vec<_> = links.iter().cloned().zip(interfaces.iter().map(of_link)).collect();
    let bond = BondConfig::new(links, mode.unwrap_or(BondMode::ActiveBackup));
    ports.push((name, with(DeviceConfig::Bond(bond))));
    ports
}

/// The port of an instance's device. `monitor_listens`: the switch connects to it, not the other way round.
pub fn instance_port(
    device: &Device,
    network: &Network,
    flavor: Option<&Flavor>,
    socket: PathBuf,
    monitor_listens: bool,
) -> PortConfig {
    let limit = |mbit: Option<f64>| mbit.map(|mbit| RateLimit { mbit: Some(mbit), ..RateLimit::default() });
    let vhost = DeviceConfig::VhostUser { path: socket, client: monitor_listens };
    PortConfig {
        mac: Some(device.mac),
        addresses: device.addresses(),
        anti_spoofing: device.anti_spoofing,
        allowed_address_pairs: device.allowed_address_pairs.clone(),
        limit_in: limit(flavor.and_then(|f| f.send_mbit)),
        limit_out: limit(flavor.and_then(|f| f.receive_mbit)),
        ..port(vhost, network)
    }
}

/// The address of an instance's device that has no port yet.
pub fn announced(device: &Device) -> AnnouncedConfig {
    AnnouncedConfig {
        segment: device.network.clone(),
        mac: device.mac,
        addresses: device.addresses(),
        packets: HELD,
        time_ms: HELD_MS,
    }
}

/// The subnets that a network has, IPv4 first.
fn subnets(network: &Network) -> [Option<IpNet>; 2] {
    [network.subnet.map(IpNet::V4), network.subnet6.map(IpNet::V6)]
}

/// The addresses on a network that no instance gets: the host's, and the gateways.
fn own_addresses(network: &Network) -> impl Iterator<Item = IpAddr> {
    let host = network.host.as_ref();
    let four = [network.gateway, host.and_then(|h| h.address).map(|a| a.addr())];
    let six = [network.gateway6, host.and_then(|h| h.address6).map(|a| a.addr())];
    four.into_iter().flatten().map(IpAddr::V4).chain(six.into_iter().flatten().map(IpAddr::V6))
}

/// Whether the kernel lets an interface have a name.
fn is_interface(name: &str) -> bool {
    let fits = (1..libc::IFNAMSIZ).contains(&name.len()) && name != "." && name != "..";
    fits && !name.contains(|c: char| c == '/' || c == ':' || c == '\0' || c.is_whitespace())
}

/// Whether one host, or one of its namespaces, would have two ways to an address.
pub fn routes_collide(one: &Network, other: &Network) -> bool {
    let (Some(here), Some(there)) = (&one.host, &other.host) else { return false };
    let four = || {
        let (Some(a), Some(b)) = (one.subnet, other.subnet) else { return false };
        here.address.is_some() && there.address.is_some() && (a.contains(&b) || b.contains(&a))
    };
    let six = || {
        let (Some(a), Some(b)) = (one.subnet6, other.subnet6) else { return false };
        here.address6.is_some() && there.address6.is_some() && (a.contains(&b) || b.contains(&a))
    };
    here.netns == there.netns && (four() || six())
}

/// Why two networks cannot have the uplinks that they have; `None`: they can.
pub fn uplinks_collide(one: &Network, other: &Network) -> Option<String> {
    let (here, there) = (one.uplink.as_ref()?, other.uplink.as_ref()?);
    let shared =
        here.interfaces.iter().find(|i| here.netns == there.netns && there.interfaces.contains(i))?;
    let why = match (here.is_same(there), here.vlan == there.vlan) {
        (true, false) if !here.take_over && !there.take_over => return None,
        (true, true) if here.vlan.is_some() => "with the same VLAN".to_owned(),
        (true, false) | (_, true) => "and has it alone".to_owned(),
        (false, _) => format!("with other interfaces or another mode: {}", there.interfaces.join(", ")),
    };
    Some(format!("{shared} is an uplink of {}, {why}", other.name))
}

/// An interface or a namespace that a network needs and that is not there.
pub fn what_is_missing(network: &Network) -> Option<String> {
    let inside = |netns: &Option<String>, names: &[String]| {
        let look = || names.iter().try_for_each(|name| switch::netns::index(name).map(drop));
        switch::netns::inside(netns.as_deref(), look).err().map(|e| match netns {
            Some(netns) => format!("{netns}: {e}"),
            None => e.to_string(),
        })
    };
    // The switch makes the host's TAP, where there is a namespace for it.
    let host = network.host.as_ref().and_then(|host| inside(&host.netns, &[]));
    host.or_else(|| network.uplink.as_ref().and_then(|uplink| inside(&uplink.netns, &uplink.interfaces)))
}

/// Refuses a network that contradicts itself.
pub fn check(network: &Network) -> Result<(), Problem> {
    if !api::instance::is_name(&network.name) {
        return Err(Problem::invalid(format!(
            "{:?} cannot name a network: letters, digits, - _ . and at most 63",
            network.name
        )));
    }
    for subnet in subnets(network).into_iter().flatten() {
        if subnet.trunc() != subnet {
            return Err(Problem::invalid(format!("{subnet} has host bits set"))
                .hint(format!("the subnet is {}", subnet.trunc())));
        }
        // A router may be known by its link-local address alone.
        let elsewhere = |a: &IpAddr| match a {
            IpAddr::V6(a) if Some(*a) == network.gateway6 && a.is_unicast_link_local() => false,
            a => a.is_ipv4() == subnet.addr().is_ipv4() && !subnet.contains(a),
        };
        if let Some(address) = own_addresses(network).find(elsewhere) {
            return Err(Problem::invalid(format!("{address} is not in the subnet of {}", network.name)));
        }
    }
    if network.subnet6.is_some_and(|s| s.addr().is_multicast()) {
        return Err(Problem::invalid("subnet6 is of groups: no host has such an address"));
    }
    if network.subnet6.is_some() && network.mtu < MTU_OF_IPV6 {
        return Err(Problem::invalid(format!("with subnet6, the MTU is at least {MTU_OF_IPV6}")));
    }
    if network.mtu < 68 {
        return Err(Problem::invalid("the MTU is at least 68"));
    }
    let mut names =
        network.uplink.iter().flat_map(|u| &u.interfaces).chain(network.host.iter().map(|h| &h.tap));
    if let Some(name) = names.find(|name| !is_interface(name)) {
        return Err(Problem::invalid(format!("{name:?} cannot name an interface")));
    }
    match &network.uplink {
        Some(u) if u.interfaces.is_empty() => Err(Problem::invalid("an uplink has at least one interface")),
        Some(u) if u.interfaces.len() == 1 && u.mode.is_some() => {
            Err(Problem::invalid("mode is only for an uplink with several interfaces"))
        }
        Some(u) if u.vlan.is_some_and(|vlan| !(1..=4094).contains(&vlan)) => {
            Err(Problem::invalid("uplink.vlan is 1 to 4094"))
        }
        Some(u) if u.vlan.is_some() && (u.take_over || network.point_to_point) => {
            Err(Problem::invalid("a VLAN of an uplink goes neither with take_over nor with point_to_point"))
        }
        Some(u) if u.taken.is_some() => {
            Err(Problem::invalid("uplink.taken is set by the node, not by a request"))
        }
        Some(u)
            if u.take_over
                && (u.interfaces.len() > 1 || network.subnet.is_some() || network.gateway.is_some()) =>
        {
            Err(Problem::invalid(
                "take_over needs one interface, and no subnet or gateway: the interface has them",
            ))
        }
        _ => Ok(()),
    }
}

/// A link-layer address. It goes with the address on the network, so that neighbours that remember a former instance's are right.
fn made_up(network: &Network, port: &str, address: Option<IpAddr>) -> Mac {
    let name = address.map_or(port.to_owned(), |address| format!("{} {address}", network.name));
    Mac(machine::net::mac_from(&name))
}

/// The address of one family that a device gets: the one that was asked for, or one that is free in the subnet.
fn choose(
    asked: Option<IpAddr>,
    subnet: Option<IpNet>,
    network: &Network,
    taken: &Addresses,
) -> Result<Option<IpAddr>, Problem> {
    let reserved = |address| own_addresses(network).any(|own| own == address);
    match (asked, subnet) {
        (Some(address), _) if address.is_unspecified() || address.is_multicast() => {
            Err(Problem::invalid(format!("{address} is no address that a host can have")))
        }
        (Some(address), Some(subnet)) if !subnet.contains(&address) => {
            Err(Problem::invalid(format!("{address} is not in {subnet}, the subnet of {}", network.name)))
        }
        (Some(address), Some(subnet)) if !addresses::is_host(subnet, address) => Err(Problem::invalid(
            format!("{address} is not a host's: it is the address of {subnet} itself or of all in it"),
        )),
        (Some(address), _) if reserved(address) || taken.contains(address) => {
            Err(Problem::conflict(format!("{address} on {} belongs to another", network.name)))
        }
        (Some(address), _) => Ok(Some(address)),
        (None, None) => Ok(None),
        (None, Some(subnet)) => match taken.lowest_free(subnet, reserved) {
            Some(free) => Ok(Some(free)),
            None => Err(Problem::host(format!("no address is free in {subnet} on {}", network.name))),
        },
    }
}

/// A device from its specification, with addresses. `taken` are those of others on its network.
pub fn allocate(
    requested: &DeviceSpec,
    network: &Network,
    port: String,
    taken: &Addresses,
) -> Result<Device, Problem> {
    let taken_over = network.uplink.as_ref().and_then(|u| u.taken.as_ref());
    let asked = requested.address.or(taken_over.map(|t| t.address)).map(IpAddr::V4);
    let [subnet, subnet6] = subnets(network);
    let address = choose(asked, subnet, network, taken)?;
    let address6 = choose(requested.address6.map(IpAddr::V6), subnet6, network, taken)?;
    if address.is_none() && (requested.prefix.is_some() || requested.gateway.is_some()) {
        return Err(Problem::invalid("prefix and gateway need an address"));
    }
    if address6.is_none() && (requested.prefix6.is_some() || requested.gateway6.is_some()) {
        return Err(Problem::invalid("prefix6 and gateway6 need an IPv6 address"));
    }
    for (length, most) in [(requested.prefix, Ipv4Addr::BITS), (requested.prefix6, Ipv6Addr::BITS)] {
        if length.is_some_and(|length| u32::from(length) > most) {
            return Err(Problem::invalid(format!("a prefix of that family has at most {most} bits")));
        }
    }
    let anti_spoofing = requested.anti_spoofing.unwrap_or(!network.point_to_point);
    if let Some(pair) = requested.allowed_address_pairs.first().filter(|_| !anti_spoofing) {
        return Err(Problem::invalid(format!("{pair} is allowed anyway: the device has no anti-spoofing")));
    }
    if requested.allowed_address_pairs.len() > MAX_PAIRS {
        return Err(Problem::invalid(format!("a device has at most {MAX_PAIRS} allowed address pairs")));
    }
    if let Some(mac) = requested.allowed_address_pairs.iter().find_map(|p| p.mac).filter(|m| m.is_group()) {
        return Err(Problem::invalid(format!("{mac} is a group address: nobody sends from it")));
    }
    let length = |asked: Option<u8>, subnet: Option<IpNet>, most: u32| {
        asked.or(subnet.map(|s| s.prefix_len())).unwrap_or(most as u8)
    };
    let named = address.or(address6);
    let mac = requested.mac.or(taken_over.map(|t| t.mac)).unwrap_or_else(|| made_up(network, &port, named));
    Ok(Device {
        network: network.name.clone(),
        mac,
        port,
        address: address.and_then(|a| if let IpAddr::V4(a) = a { Some(a) } else { None }),
        prefix: address.map(|_| length(requested.prefix, subnet, Ipv4Addr::BITS)),
        gateway: requested.gateway.or(network.gateway).filter(|_| address.is_some()),
        address6: address6.and_then(|a| if let IpAddr::V6(a) = a { Some(a) } else { None }),
        prefix6: address6.map(|_| length(requested.prefix6, subnet6, Ipv6Addr::BITS)),
        gateway6: requested.gateway6.or(network.gateway6).filter(|_| address6.is_some()),
        anti_spoofing,
        allowed_address_pairs: requested.allowed_address_pairs.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        serde_json::from_str(
            r#"{"name": "n", "subnet": "10.0.0.0/29", "gateway": "10.0.0.1",
                "host": {"tap": "t", "address": "10.0.0.2/29"}}"#,
        )
        .unwrap()
    }

    #[test]
    fn one_host_has_one_way_to_a_subnet() {
        let (one, mut other) = (network(), network());
        assert!(routes_collide(&one, &other));
        other.subnet = Some("10.0.0.0/16".parse().unwrap());
        assert!(routes_collide(&one, &other) && routes_collide(&other, &one));
        let mut elsewhere = other.clone();
        elsewhere.host.as_mut().unwrap().netns = Some("tenant".into());
        assert!(!routes_collide(&one, &elsewhere));
        other.subnet = Some("10.1.0.0/16".parse().unwrap());
        assert!(!routes_collide(&one, &other));
    }

    #[test]
    fn networks_that_share_an_uplink_share_a_trunk() {
        let network = |name: &str, interfaces: &str, vlan: Option<u16>| -> Network {
            let uplink =
                serde_json::json!({ "interfaces": interfaces.split(' ').collect::<Vec<_>>(), "vlan": vlan });
            serde_json::from_value(serde_json::json!({ "name": name, "uplink": uplink })).unwrap()
        };
        let alone = own_ports(&[network("blue", "eth1", None)]);
        assert_eq!(alone["blue-uplink"].segment.as_deref(), Some("blue"));
        let all = [
            network("blue", "eth1", Some(100)),
            network("red", "eth1", Some(200)),
            network("plain", "eth1", None),
        ];
        let ports = own_ports(&all);
        assert_eq!(ports.keys().collect::<Vec<_>>(), ["eth1-trunk"]);
        let port = &ports["eth1-trunk"];
        assert_eq!(port.segment.as_deref(), Some("plain"));
        assert_eq!(port.trunk.values().collect::<Vec<_>>(), ["blue", "red"]);
        let bond =
            own_ports(&[network("blue", "eth1 eth2", Some(100)), network("red", "eth1 eth2", Some(200))]);
        assert_eq!(
            bond.keys().collect::<Vec<_>>(),
            ["eth1-eth2-trunk", "eth1-eth2-trunk-eth1", "eth1-eth2-trunk-eth2"]
        );
        assert_eq!(bond["eth1-eth2-trunk"].trunk.len(), 2);
        let collide = |one: &Network, other: &Network| uplinks_collide(one, other).is_some();
        assert!(!collide(&all[0], &all[1]) && !collide(&all[0], &all[2]));
        assert!(collide(&all[0], &network("x", "eth1", Some(100))));
        assert!(collide(&all[2], &network("x", "eth1", None)));
        assert!(collide(&all[0], &network("x", "eth1 eth2", Some(300))));
        assert!(!collide(&all[0], &network("x", "eth2", Some(100))));
        for vlan in [0, 4095] {
            assert!(check(&network("x", "eth1", Some(vlan))).is_err());
        }
    }

    #[test]
    fn addresses_are_given_out_until_none_is_left() {
        let (network, requested) = (network(), DeviceSpec { network: "n".into(), ..DeviceSpec::default() });
        let (mut taken, mut given) = (Addresses::default(), Vec::new());
        while let Ok(d) = allocate(&requested, &network, "p".into(), &taken) {
            let address = d.address.unwrap();
            taken.insert(address.into());
            given.push(address);
        }
        let expected: Vec<Ipv4Addr> = (3..7).map(|n| Ipv4Addr::new(10, 0, 0, n)).collect();
        assert_eq!(given, expected);
    }

    #[test]
    fn an_interface_that_is_taken_over_has_one_instance() {
        let network: Network = serde_json::from_str(
            r#"{"name": "n", "subnet": "172.26.64.0/20", "gateway": "172.26.64.1", "uplink": {"interfaces": ["eth0"],
                "take_over": true, "taken": {"address": "172.26.64.7", "mac": "02:00:00:00:00:07"}}}"#,
        )
        .unwrap();
        let requested = DeviceSpec { network: "n".into(), ..DeviceSpec::default() };
        let device = allocate(&requested, &network, "p".into(), &Addresses::default()).unwrap();
        assert_eq!(device.address, Some(Ipv4Addr::new(172, 26, 64, 7)));
        assert_eq!((device.prefix, device.gateway), (Some(20), Some(Ipv4Addr::new(172, 26, 64, 1))));
        assert_eq!(device.mac.0[5], 7);
        let taken = [IpAddr::from([172, 26, 64, 7])].into_iter().collect();
        assert!(allocate(&requested, &network, "q".into(), &taken).is_err());
        assert!(check(&network).is_err(), "who asks may not say what was taken over");
    }

    #[test]
    fn a_subnet_has_no_host_bits_and_its_first_and_last_address_are_nobody_s() {
        let mut network = network();
        for address in ["10.0.0.0", "10.0.0.7"] {
            let address = Some(address.parse().unwrap());
            let requested = DeviceSpec { network: "n".into(), address, ..DeviceSpec::default() };
            assert!(allocate(&requested, &network, "p".into(), &Addresses::default()).is_err());
        }
        assert!(check(&network).is_ok());
        network.subnet = Some("10.0.0.3/29".parse().unwrap());
        assert!(check(&network).is_err());
    }

    #[test]
    fn large_subnets_are_used_to_the_end() {
        let network: Network = serde_json::from_str(r#"{"name": "n", "subnet": "10.0.0.0/15"}"#).unwrap();
        let requested = DeviceSpec { network: "n".into(), ..DeviceSpec::default() };
        let taken: Addresses = network.subnet.unwrap().hosts().take(70_000).map(IpAddr::V4).collect();
        let next = allocate(&requested, &network, "p".into(), &taken).unwrap().address;
        assert_eq!(next, network.subnet.unwrap().hosts().nth(70_000));
    }

    #[test]
    fn an_address_that_is_given_again_has_the_same_link_layer_address() {
        let (network, requested) = (network(), DeviceSpec { network: "n".into(), ..DeviceSpec::default() });
        let [a, b] = ["p", "q"]
            .map(|port| allocate(&requested, &network, port.into(), &Addresses::default()).unwrap());
        assert_eq!((a.address, a.mac), (b.address, b.mac));
        let taken = a.addresses().into_iter().collect();
        let other = allocate(&requested, &network, "p".into(), &taken).unwrap();
        assert_ne!(a.mac, other.mac);
    }

    #[test]
    fn a_device_may_bring_its_subnet() {
        let network: Network = serde_json::from_str(r#"{"name": "n"}"#).unwrap();
        let requested = |json: &str| serde_json::from_str::<DeviceSpec>(json).unwrap();
        let all =
            requested(r#"{"network": "n", "address": "10.1.0.5", "prefix": 24, "gateway": "10.1.0.1"}"#);
        let device = allocate(&all, &network, "p".into(), &Addresses::default()).unwrap();
        assert_eq!((device.prefix, device.gateway), (Some(24), Some(Ipv4Addr::new(10, 1, 0, 1))));
        for refused in
            [r#"{"network": "n", "prefix": 24}"#, r#"{"network": "n", "address": "10.1.0.5", "prefix": 33}"#]
        {
            assert!(allocate(&requested(refused), &network, "p".into(), &Addresses::default()).is_err());
        }
    }

    #[test]
    fn a_device_has_an_address_of_each_family_that_its_network_has() {
        let network: Network = serde_json::from_str(
            r#"{"name": "n", "subnet": "10.0.0.0/24", "subnet6": "fd00::/64", "gateway6": "fe80::1",
                "host": {"tap": "t", "address": "10.0.0.1/24", "address6": "fd00::1/64"}}"#,
        )
        .unwrap();
        assert!(check(&network).is_ok(), "a router may be link-local");
        let requested = DeviceSpec { network: "n".into(), ..DeviceSpec::default() };
        let device = allocate(&requested, &network, "p".into(), &Addresses::default()).unwrap();
        let expected: [IpAddr; 2] = ["10.0.0.2", "fd00::2"].map(|a| a.parse().unwrap());
        assert_eq!(device.addresses(), expected);
        assert_eq!((device.prefix6, device.gateway6), (Some(64), network.gateway6));
        let taken = device.addresses().into_iter().collect();
        let next = allocate(&requested, &network, "q".into(), &taken).unwrap();
        assert_eq!(next.address6, Some("fd00::3".parse().unwrap()));
        let alone = Network { subnet: None, host: None, ..network.clone() };
        let device = allocate(&requested, &alone, "p".into(), &Addresses::default()).unwrap();
        assert_eq!((device.address, device.address6), (None, Some("fd00::1".parse().unwrap())));
        for refused in ["fd00::", "fd00::1", "fd00::2", "fd01::2", "ff02::1", "::"] {
            let address6 = Some(refused.parse().unwrap());
            let requested = DeviceSpec { address6, ..requested.clone() };
            assert!(allocate(&requested, &network, "p".into(), &taken).is_err(), "{refused}");
        }
    }

    #[test]
    fn an_ipv6_subnet_that_cannot_be_is_refused() {
        let network = |subnet6: &str, more: &str| {
            let text = format!(r#"{{"name": "n", "subnet6": "{subnet6}"{more}}}"#);
            serde_json::from_str::<Network>(&text).map_err(|e| e.to_string())
        };
        assert!(network("10.0.0.0/24", "").unwrap_err().contains("--subnet)"));
        for (subnet6, more) in [
            ("fd00::1/64", ""),
            ("ff05::/64", ""),
            ("fd00::/64", r#", "mtu": 1279"#),
            ("fd00::/64", r#", "gateway6": "fd01::1""#),
            ("fd00::/64", r#", "host": {"tap": "t", "address6": "fe80::1/64"}"#),
        ] {
            assert!(check(&network(subnet6, more).unwrap()).is_err(), "{subnet6} {more}");
        }
    }

    #[test]
    fn addresses_of_others_are_refused() {
        let network = network();
        for address in ["10.0.0.1", "10.0.0.2", "10.0.0.5", "10.0.0.9"] {
            let address = Some(address.parse().unwrap());
            let requested = DeviceSpec { network: "n".into(), address, ..DeviceSpec::default() };
            let taken = [IpAddr::from([10, 0, 0, 5])].into_iter().collect();
            assert!(allocate(&requested, &network, "p".into(), &taken).is_err());
        }
    }
}
