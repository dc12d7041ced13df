//! What the configuration comes to: who is connected with whom. Each thread has tables of its own. A new configuration makes
//! them anew; one port or address more or less is a [`TableDelta`], which changes them in place, between two batches, with
//! work that does not grow with what else is there.

use super::fdb::SegmentId;
use crate::bond::Distribution;
use crate::config::AddressPair;
use crate::counters::Shared;
use crate::headers::Mac;
use crate::port::PortId;
use ipnet::IpNet;
use std::collections::{BTreeMap, HashMap};
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
#[derive(Clone, Debug, Default)]
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
    /// Its peer's Ethernet address, fixed to it.
    pub mac: Option<Mac>,
    /// Its peer's IP addresses.
    pub addresses: Vec<IpAddr>,
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

impl PortEntry {
    /// The segments that it is in, each with its VLAN there; 0 for none.
    pub fn segments(&self) -> impl Iterator<Item = (SegmentId, u16)> + '_ {
        let native = self.native.iter().map(|&segment| (segment, 0));
        native.chain(self.trunk.iter().map(|&(vlan, segment)| (segment, vlan)))
    }
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
    /// Where it comes out, sorted by port.
    pub members: Vec<Member>,
}

impl SegmentEntry {
    /// Where it comes out at a port.
    #[inline]
    pub fn member(&self, port: PortId) -> Option<&Member> {
        let place = self.members.binary_search_by_key(&port, |m| m.port).ok()?;
        self.members.get(place)
    }

    fn add(&mut self, member: Member) {
        if let Err(place) = self.members.binary_search_by_key(&member.port, |m| m.port) {
            self.members.insert(place, member);
        }
    }

    fn remove(&mut self, port: PortId) {
        if let Ok(place) = self.members.binary_search_by_key(&port, |m| m.port) {
            self.members.remove(place);
        }
    }
}

/// An address whose owner may not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedEntry {
    /// Segment.
    pub segment: SegmentId,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IP addresses.
    pub addresses: Vec<IpAddr>,
    /// Most packets that wait for it.
    pub packets: usize,
    /// Longest that they wait, nanoseconds.
    pub time: u64,
}

/// A port or an address more or less.
#[derive(Debug)]
pub enum TableDelta {
    /// A port that was not there.
    PortAdded(PortId, PortEntry),
    /// A port is gone.
    PortRemoved(PortId),
    /// An address that may be wanted, under a name that was not there.
    Announced(Arc<str>, AnnouncedEntry),
    /// It is announced no longer.
    Withdrawn(Arc<str>),
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Ports by number.
    pub ports: Vec<Option<PortEntry>>,
    /// Segments by number.
    pub segments: Vec<SegmentEntry>,
    /// IP addresses of ports: who has them.
    pub neighbours: HashMap<(SegmentId, IpAddr), Mac>,
    /// Ethernet addresses of ports.
    pub fixed: HashMap<(SegmentId, Mac), PortId>,
    /// Addresses whose owners may not exist yet, by the name that whoever is told that one is wanted knows.
    pub announced: HashMap<Arc<str>, AnnouncedEntry>,
    /// Their names by Ethernet address.
    pub announced_at: HashMap<(SegmentId, Mac), Arc<str>>,
    /// Their IP addresses: who will have them, by the names that they are announced under. The last by name is right.
    pub announced_neighbours: HashMap<(SegmentId, IpAddr), BTreeMap<Arc<str>, Mac>>,
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

    /// Who has an IP address, or will have it.
    pub fn neighbour(&self, segment: SegmentId, address: IpAddr) -> Option<Mac> {
        let key = (segment, address);
        let announced = self.announced_neighbours.get(&key).and_then(BTreeMap::last_key_value);
        announced.map(|(_, mac)| mac).or_else(|| self.neighbours.get(&key)).copied()
    }

    /// An announced address, and the port that has it if there is one.
    pub fn announced(&self, name: &str) -> Option<(&AnnouncedEntry, Option<PortId>)> {
        let announced = self.announced.get(name)?;
        Some((announced, self.fixed.get(&(announced.segment, announced.mac)).copied()))
    }

    /// Takes in a change.
    pub fn apply(&mut self, delta: &TableDelta) {
        match delta {
            TableDelta::PortAdded(id, entry) => self.add_port(*id, entry.clone()),
            TableDelta::PortRemoved(id) => self.remove_port(*id),
            TableDelta::Announced(name, entry) => self.announce(name.clone(), entry.clone()),
            TableDelta::Withdrawn(name) => self.withdraw(name),
        }
    }

    /// A port more, whose number is free.
    pub fn add_port(&mut self, id: PortId, entry: PortEntry) {
        for (segment, vlan) in entry.segments() {
            if let Some(s) = self.segments.get_mut(segment.0 as usize) {
                s.add(Member { port: id, vlan });
            }
            if let Some(mac) = entry.mac {
                self.fixed.insert((segment, mac), id);
                self.neighbours.extend(entry.addresses.iter().map(|ip| ((segment, *ip), mac)));
            }
        }
        if self.ports.len() <= id.index() {
            self.ports.resize_with(id.index() + 1, || None);
        }
        self.ports[id.index()] = Some(entry);
    }

    fn remove_port(&mut self, id: PortId) {
        let Some(entry) = self.ports.get_mut(id.index()).and_then(Option::take) else { return };
        for (segment, _) in entry.segments() {
            if let Some(s) = self.segments.get_mut(segment.0 as usize) {
                s.remove(id);
            }
            if let Some(mac) = entry.mac {
                self.fixed.remove(&(segment, mac));
                entry.addresses.iter().for_each(|ip| _ = self.neighbours.remove(&(segment, *ip)));
            }
        }
    }

    /// An address more that may be wanted.
    pub fn announce(&mut self, name: Arc<str>, entry: AnnouncedEntry) {
        let (segment, mac) = (entry.segment, entry.mac);
        for &ip in &entry.addresses {
            self.announced_neighbours.entry((segment, ip)).or_default().insert(name.clone(), mac);
        }
        self.announced_at.insert((segment, mac), name.clone());
        self.announced.insert(name, entry);
    }

    fn withdraw(&mut self, name: &str) {
        let Some(entry) = self.announced.remove(name) else { return };
        self.announced_at.remove(&(entry.segment, entry.mac));
        for ip in entry.addresses {
            let key = (entry.segment, ip);
            let Some(names) = self.announced_neighbours.get_mut(&key) else { continue };
            names.remove(name);
            if names.is_empty() {
                self.announced_neighbours.remove(&key);
            }
        }
    }

    /// All ports with their numbers.
    pub fn all_ports(&self) -> impl Iterator<Item = (PortId, &PortEntry)> {
        let numbered = self.ports.iter().enumerate();
        numbered.filter_map(|(i, p)| Some((PortId(i as u16), p.as_ref()?)))
    }
}
