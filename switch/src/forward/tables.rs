//! What the configuration comes to: who is connected with whom. Made anew for each configuration, and never changed;
//! the threads change over to the new tables between two batches.

use super::fdb::SegmentId;
use crate::bond::Distribution;
use crate::config::AddressPair;
use crate::counters::Shared;
use crate::headers::Mac;
use crate::port::PortId;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A rate as it is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Bytes a second; 0 for no limit.
    pub bytes: u64,
    /// Packets a second; 0 for no limit.
    pub packets: u64,
    /// Bytes that may pass at once.
    pub burst: u64,
}

/// A port.
#[derive(Debug, Default)]
pub struct PortEntry {
    /// Its name.
    pub name: String,
    /// The thread that has its device.
    pub thread: usize,
    /// Its counters.
    pub shared: Arc<Shared>,
    /// The segment of what has no tag.
    pub native: Option<SegmentId>,
    /// The segments of its VLANs, sorted by VLAN.
    pub trunk: Vec<(u16, SegmentId)>,
    /// Nothing comes in but from these.
    pub bound_to: Option<Binding>,
    /// Largest packet without its Ethernet header, bytes.
    pub mtu: u16,
    /// The links of a bond, if it is one.
    pub bond: Option<Arc<Distribution>>,
    /// The bond that it is a link of.
    pub master: Option<PortId>,
    /// The port that gets a copy of all its packets.
    pub mirror: Option<PortId>,
    /// Whether its addresses are assigned, all of them.
    pub assigned: bool,
    /// Limit on what comes in.
    pub rate_in: Rate,
    /// Limit on what goes out.
    pub rate_out: Rate,
}

/// Addresses that a port may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IP addresses; any, and any other protocol, if there is none.
    pub addresses: Vec<IpAddr>,
    /// What it may send from besides: Ethernet addresses, each with IP addresses.
    pub pairs: Vec<(Mac, IpNet)>,
}

impl Binding {
    /// What a port may send from by its configuration.
    pub fn new(mac: Mac, addresses: &[IpAddr], pairs: &[AddressPair]) -> Self {
        let pairs = pairs.iter().map(|p| (p.mac.unwrap_or(mac), p.address)).collect();
        Self { mac, addresses: addresses.to_vec(), pairs }
    }
}

/// A place where a segment comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Port.
    pub port: PortId,
    /// Its VLAN there; 0 for none.
    pub vlan: u16,
}

/// A segment: what is in it can reach each other, and nothing else.
#[derive(Clone, Debug)]
pub struct SegmentEntry {
    /// Its name.
    pub name: String,
    /// Whether it joins exactly two ports: no addresses are learned, everything passes.
    pub point_to_point: bool,
    /// Whether neighbours are answered for.
    pub answers: bool,
    /// Packets a second that each port may flood; 0 for no limit.
    pub flood_limit: u64,
    /// Where it comes out.
    pub members: Vec<Member>,
}

/// An address whose owner may not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedEntry {
    /// Segment.
    pub segment: SegmentId,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Name, for whoever is told that it is wanted.
    pub name: String,
    /// The port that has it, once there is one.
    pub port: Option<PortId>,
    /// Most packets that wait for it.
    pub packets: usize,
    /// Longest that they wait, nanoseconds.
    pub time: u64,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Tables {
    /// Ports by number.
    pub ports: Vec<Option<PortEntry>>,
    /// Segments by number.
    pub segments: Vec<SegmentEntry>,
    /// Assigned addresses: who has them.
    pub neighbours: HashMap<(SegmentId, IpAddr), Mac>,
    /// Addresses that are bound to ports.
    pub fixed: Vec<(SegmentId, Mac, PortId)>,
    /// Addresses whose owners may not exist yet.
    pub announced: Vec<AnnouncedEntry>,
    /// The same by address.
    pub announced_at: HashMap<(SegmentId, Mac), usize>,
    /// Seconds until an address that is not seen is forgotten.
    pub ageing: u32,
    /// Most addresses that are learned at a port.
    pub learn_limit: u32,
    /// Entries of the table of addresses.
    pub addresses: usize,
}

impl Tables {
    /// A port.
    #[inline]
    pub fn port(&self, id: PortId) -> Option<&PortEntry> {
        self.ports.get(id.index())?.as_ref()
    }

    /// A segment.
    #[inline]
    pub fn segment(&self, id: SegmentId) -> Option<&SegmentEntry> {
        self.segments.get(id.0 as usize)
    }

    /// All ports with their numbers.
    pub fn all_ports(&self) -> impl Iterator<Item = (PortId, &PortEntry)> {
        let numbered = self.ports.iter().enumerate();
        numbered.filter_map(|(i, p)| Some((PortId(i as u16), p.as_ref()?)))
    }
}
