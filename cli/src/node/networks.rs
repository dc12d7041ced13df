//! `microvisor net`: networks of the node.

use super::{context, escaped};
use crate::completion;
use crate::options::values;
use crate::output::{self, Failure};
use api::network::{FLOOD_LIMIT, HostPort, Network, NetworkChange, Uplink};
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use ipnet::{Ipv4Net, Ipv6Net};
use machine::status;
use std::net::{Ipv4Addr, Ipv6Addr};
use switch_control::config::BondMode;

/// What can be done with networks.
#[derive(Clone, Debug, Subcommand)]
pub enum NetCommand {
    /// List networks
    #[command(after_help = "Example: microvisor net ls")]
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create a network
    #[command(
        after_help = "Example: microvisor net create blue --subnet 10.0.0.0/24 --gateway 10.0.0.1 \\\n    \
        --host blue --address 10.0.0.1/24"
    )]
    Create(Box<NetworkOptions>),
    /// Change a network that instances are on
    #[command(after_help = "Example: microvisor net set blue --flood-limit 1000")]
    Set {
        /// Name of the network
        #[arg(add = ArgValueCandidates::new(completion::networks))]
        name: String,
        /// IPv4 default gateway of instances that are created from now on
        #[arg(long)]
        gateway: Option<Ipv4Addr>,
        /// No IPv4 default gateway for instances that are created from now on
        #[arg(long, conflicts_with = "gateway")]
        no_gateway: bool,
        /// IPv6 default gateway of instances that are created from now on
        #[arg(long)]
        gateway6: Option<Ipv6Addr>,
        /// No IPv6 default gateway for instances that are created from now on
        #[arg(long, conflicts_with = "gateway6")]
        no_gateway6: bool,
        /// Packets a second that each port may send to everyone, to a group or to an unknown address; 0 for no limit
        #[arg(long, value_name = "PACKETS")]
        flood_limit: Option<u64>,
    },
    /// Delete networks that no instance uses
    #[command(after_help = "Example: microvisor net rm blue")]
    Rm {
        /// Names of networks
        #[arg(required = true, add = ArgValueCandidates::new(completion::networks))]
        names: Vec<String>,
    },
}

/// Options of `microvisor net create`.
#[derive(Args, Clone, Debug)]
pub struct NetworkOptions {
    /// Name of the network
    name: String,
    /// IPv4 subnet that instances get their addresses from, such as 10.0.0.0/24
    #[arg(long)]
    subnet: Option<Ipv4Net>,
    /// IPv4 default gateway of instances
    #[arg(long)]
    gateway: Option<Ipv4Addr>,
    /// IPv6 subnet that instances get their addresses from, such as fd00::/64
    #[arg(long)]
    subnet6: Option<Ipv6Net>,
    /// IPv6 default gateway of instances
    #[arg(long)]
    gateway6: Option<Ipv6Addr>,
    /// Connect the host to the network by a TAP of this name
    #[arg(long, value_name = "TAP")]
    host: Option<String>,
    /// IPv4 address of the host on that TAP, with the length of its prefix
    #[arg(long, value_name = "A/LEN", requires = "host")]
    address: Option<Ipv4Net>,
    /// IPv6 address of the host on that TAP, with the length of its prefix
    #[arg(long, value_name = "A/LEN", requires = "host")]
    address6: Option<Ipv6Net>,
    /// Network namespace of the TAP
    #[arg(long, requires = "host")]
    netns: Option<String>,
    /// Interface that connects the network to the outside; several form a bond
    #[arg(long, value_name = "INTERFACE")]
    uplink: Vec<String>,
    /// Mode of the bond
    #[arg(long, requires = "uplink", value_parser = bond_mode, value_name = "active-backup|balance-xor|broadcast|802.3ad")]
    bond: Option<BondMode>,
    /// Tag the network's frames with this VLAN ID on the uplink, which other networks share with other IDs
    #[arg(long, value_name = "ID", requires = "uplink", value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlan: Option<u16>,
    /// Connect exactly two ports, without learning addresses
    #[arg(long)]
    point_to_point: bool,
    /// Largest packet, bytes
    #[arg(long, default_value_t = 1500, value_parser = values::mtu)]
    mtu: u16,
    /// Packets a second that each port may send to everyone, to a group or to an unknown address; 0 for no limit
    #[arg(long, default_value_t = FLOOD_LIMIT, value_name = "PACKETS")]
    flood_limit: u64,
}

fn bond_mode(text: &str) -> Result<BondMode, String> {
    let wrong = |_| "use active-backup, balance-xor, broadcast or 802.3ad".into();
    serde_json::from_value(text.into()).map_err(wrong)
}

impl NetworkOptions {
    fn network(&self) -> Network {
        let (address, address6) = (self.address, self.address6);
        let host = |tap| HostPort { tap, netns: self.netns.clone(), address, address6 };
        let uplink = Uplink {
            interfaces: self.uplink.clone(),
            netns: None,
            mode: self.bond,
            vlan: self.vlan,
            take_over: false,
            taken: None,
        };
        Network {
            name: self.name.clone(),
            subnet: self.subnet,
            gateway: self.gateway,
            subnet6: self.subnet6,
            gateway6: self.gateway6,
            host: self.host.clone().map(host),
            uplink: (!self.uplink.is_empty()).then_some(uplink),
            point_to_point: self.point_to_point,
            mtu: self.mtu,
            flood_limit: self.flood_limit,
        }
    }
}

fn table(networks: &[Network]) -> String {
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let both = |four: Option<String>, six: Option<String>| match (four, six) {
        (Some(four), Some(six)) => format!("{four}, {six}"),
        (four, six) => dash(four.or(six)),
    };
    let row = |n: &Network| {
        vec![
            n.name.clone(),
            both(n.subnet.map(|s| s.to_string()), n.subnet6.map(|s| s.to_string())),
            both(n.gateway.map(|g| g.to_string()), n.gateway6.map(|g| g.to_string())),
            dash(n.host.as_ref().map(|h| h.tap.clone())),
            dash(n.uplink.as_ref().map(|u| {
                let vlan = u.vlan.map_or(String::new(), |vlan| format!(" vlan {vlan}"));
                format!("{}{vlan}", u.interfaces.join(","))
            })),
        ]
    };
    let rows: Vec<Vec<String>> = networks.iter().map(row).collect();
    output::table(&["NAME", "SUBNET", "GATEWAY", "HOST", "UPLINK"], &rows)
}

/// The API's path of a network.
pub fn path(name: &str) -> String {
    format!("/v1/networks/{}", escaped(name))
}

/// `microvisor net`
pub fn net(command: &NetCommand) -> Result<(), Failure> {
    let client = context::required()?;
    match command {
        NetCommand::Ls { json } => {
            let networks: Vec<Network> = client.get("/v1/networks")?;
            if *json { output::json(&networks) } else { output::print(table(&networks)) }
        }
        NetCommand::Create(options) => {
            client.post::<Network>("/v1/networks", &options.network())?;
            Ok(())
        }
        NetCommand::Set { name, gateway, no_gateway, gateway6, no_gateway6, flood_limit } => {
            let gateway = if *no_gateway { Some(None) } else { gateway.map(Some) };
            let gateway6 = if *no_gateway6 { Some(None) } else { gateway6.map(Some) };
            let change = NetworkChange { gateway, gateway6, flood_limit: *flood_limit };
            if change == NetworkChange::default() {
                return Err(Failure::new("nothing to change", status::CONFIGURATION_REFUSED)
                    .hint("--gateway, --no-gateway, --gateway6, --no-gateway6 or --flood-limit"));
            }
            client.patch::<Network>(&path(name), &change)?;
            Ok(())
        }
        NetCommand::Rm { names } => output::each(names, |name| Ok(client.delete(&path(name))?)),
    }
}
