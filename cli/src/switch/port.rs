//! A new port from the command line.

use clap::Args;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use switch_control::config::{AddressPair, DeviceConfig, PortConfig, RateLimit, Vlan};
use switch_control::mac::Mac;

/// Options of `microvisor switch port add`.
#[derive(Args)]
pub struct NewPort {
    /// Name of the port
    name: String,
    #[command(flatten)]
    behind: Behind,
    /// Connect to the vhost-user socket instead of listening on it
    #[arg(long, requires = "vhost_user")]
    client: bool,
    /// Network namespace of the TAP or interface
    #[arg(long)]
    netns: Option<String>,
    /// Queue of the interface (AF_XDP)
    #[arg(long, default_value_t = 0)]
    queue: u32,
    /// pcap file to write outgoing packets to
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Segment of packets without a VLAN tag
    #[arg(long)]
    segment: Option<String>,
    /// Segment of packets with a VLAN tag; may be repeated
    #[arg(long, value_name = "VLAN=SEGMENT", value_parser = vlan)]
    trunk: Vec<(Vlan, String)>,
    /// Ethernet address of the peer
    #[arg(long)]
    mac: Option<Mac>,
    /// IP address of the peer; may be repeated
    #[arg(long)]
    address: Vec<IpAddr>,
    /// Drop packets from other addresses than these
    #[arg(long)]
    anti_spoofing: bool,
    /// Allow these addresses besides (anti-spoofing): one or a prefix, for the peer's Ethernet address or another; may be repeated
    #[arg(long = "allow", value_name = "ADDRESS[/LENGTH][@MAC]", requires = "anti_spoofing")]
    allowed: Vec<AddressPair>,
    /// Largest packet without its Ethernet header, bytes
    #[arg(long, default_value_t = 1500)]
    mtu: u16,
    /// Compute checksums and segment packets in the switch
    #[arg(long)]
    no_offload: bool,
    /// Most megabits per second from the peer
    #[arg(long, value_name = "MBIT")]
    limit_in: Option<f64>,
    /// Most megabits per second to the peer
    #[arg(long, value_name = "MBIT")]
    limit_out: Option<f64>,
    /// Port that receives a copy of every packet
    #[arg(long, value_name = "PORT")]
    mirror: Option<String>,
    /// Thread that serves the port
    #[arg(long)]
    thread: Option<usize>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Behind {
    /// vhost-user socket of a guest
    #[arg(long, value_name = "PATH")]
    vhost_user: Option<PathBuf>,
    /// TAP device, created if it does not exist
    #[arg(long, value_name = "NAME")]
    tap: Option<String>,
    /// Network interface, by packet sockets
    #[arg(long, value_name = "INTERFACE")]
    packet: Option<String>,
    /// Network interface, by AF_XDP
    #[arg(long, value_name = "INTERFACE")]
    xdp: Option<String>,
    /// pcap file to read incoming packets from
    #[arg(long, value_name = "FILE")]
    read: Option<PathBuf>,
}

fn vlan(text: &str) -> Result<(Vlan, String), String> {
    let (number, segment) = text.split_once('=').ok_or("is not VLAN=SEGMENT")?;
    Ok((Vlan::try_from(number.to_owned())?, segment.to_owned()))
}

impl NewPort {
    /// Name of the port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if the options fit together.
    pub fn port(&self) -> Result<PortConfig, String> {
        let b = &self.behind;
        let netns = self.netns.clone();
        let device = match (&b.vhost_user, &b.tap, &b.packet, &b.xdp, &b.read) {
            (Some(path), ..) => DeviceConfig::VhostUser { path: path.clone(), client: self.client },
            (_, Some(name), ..) => DeviceConfig::Tap { name: name.clone(), netns },
            (_, _, Some(interface), ..) => DeviceConfig::Packet { interface: interface.clone(), netns },
            (_, _, _, Some(interface), _) => {
                DeviceConfig::Xdp { interface: interface.clone(), netns, queue: self.queue }
            }
            (.., read) => DeviceConfig::Pcap { read: read.clone(), write: self.write.clone() },
        };
        let named = !matches!(device, DeviceConfig::VhostUser { .. } | DeviceConfig::Pcap { .. });
        if self.netns.is_some() && !named {
            return Err("--netns goes with --tap, --packet or --xdp".into());
        }
        let limit = |mbit: Option<f64>| mbit.map(|m| RateLimit { mbit: Some(m), ..RateLimit::default() });
        Ok(PortConfig {
            device,
            segment: self.segment.clone(),
            trunk: self.trunk.iter().cloned().collect::<BTreeMap<_, _>>(),
            mac: self.mac,
            addresses: self.address.clone(),
            anti_spoofing: self.anti_spoofing,
            allowed_address_pairs: self.allowed.clone(),
            mtu: self.mtu,
            offload: !self.no_offload,
            limit_in: limit(self.limit_in),
            limit_out: limit(self.limit_out),
            mirror: self.mirror.clone(),
            thread: self.thread,
        })
    }
}
