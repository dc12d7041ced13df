//! Which links of each bond carry packets: by carrier, and by LACP where it is spoken.

use super::Switch;
use super::carrier::interface;
use crate::bond::Distribution;
use crate::bond::lacp::{Link, LinkSnapshot, Millis, select};
use crate::config::{BondConfig, BondMode, Config, DeviceConfig, LacpRate};
use crate::control::{BondStatus, Event, LinkStatus};
use crate::headers::Mac;
use crate::headers::lacp::{Lacpdu, marker_response};
use crate::netns;
use crate::port::PortId;
use crate::worker::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A bond.
struct Bond {
    name: String,
    settings: BondConfig,
    distribution: Arc<Distribution>,
    links: Vec<PortId>,
    up: Vec<bool>,
    /// With LACP, each link's machines.
    lacp: Vec<Link>,
    /// This side's identifier, for LACP.
    system: Mac,
    /// Ethernet addresses that the links' own frames come from.
    sources: Vec<Mac>,
    /// With active-backup, and with LACP while there is no partner, the link that carries packets.
    active: Option<PortId>,
    /// What was last set, collecting and distributing.
    set: (u32, u32),
}

/// All bonds.
pub struct Bonds {
    bonds: Vec<Bond>,
    started: Instant,
}

impl Default for Bonds {
    fn default() -> Self {
        Self { bonds: Vec::new(), started: Instant::now() }
    }
}

/// An Ethernet address of local administration, made from texts.
fn local_address(texts: &[&str]) -> Mac {
    // FNV-1a.
    let bytes = texts.iter().flat_map(|t| t.bytes().chain([0]));
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let [a, b, c, d, e, f, ..] = hash.to_be_bytes();
    Mac([a & 0xfc | 2, b, c, d, e, f])
}

impl Bond {
    /// The link that carries packets where only one does: the primary, else the one that did, else the first that is up.
    fn choose_active(&mut self) {
        let is_up = |link: &PortId| {
            self.links.iter().position(|l| l == link).is_some_and(|i| self.up.get(i) == Some(&true))
        };
        let primary = self.settings.primary.as_ref();
        let primary = primary.and_then(|p| self.settings.links.iter().position(|l| l == p));
        let primary = primary.and_then(|i| self.links.get(i).copied());
        let first = self.links.iter().copied().find(|l| is_up(l));
        self.active = primary.filter(|l| is_up(l)).or(self.active.filter(|l| is_up(l))).or(first);
    }

    /// Links that take and that send packets, a bit each.
    fn wanted(&mut self) -> (u32, u32) {
        let bits = |flags: &mut dyn Iterator<Item = bool>| {
            flags.enumerate().fold(0, |bits, (i, on)| bits | u32::from(on) << i)
        };
        let fallback = self.settings.lacp_fallback && self.lacp.iter().all(Link::has_no_partner);
        let only_one = match self.settings.mode {
            BondMode::ActiveBackup => true,
            BondMode::Lacp => fallback,
            BondMode::BalanceXor | BondMode::Broadcast => false,
        };
        if only_one {
            self.choose_active();
        } else {
            self.active = None;
        }
        let (collecting, distributing) = match self.settings.mode {
            _ if only_one => {
                let active = bits(&mut self.links.iter().map(|l| Some(*l) == self.active));
                (active, active)
            }
            BondMode::Lacp => (
                bits(&mut self.lacp.iter().map(Link::collects)),
                bits(&mut self.lacp.iter().map(Link::distributes)),
            ),
            _ => {
                let up = bits(&mut self.up.iter().copied());
                (up, up)
            }
        };
        // The links that could carry packets, if they are too few, are not used: something else may take over.
        let usable = if only_one {
            self.up.iter().filter(|u| **u).count()
        } else {
            distributing.count_ones() as usize
        };
        if usable < self.settings.min_links { (0, 0) } else { (collecting, distributing) }
    }

    /// Whether the links that carry packets changed.
    fn set(&mut self) -> bool {
        let wanted = self.wanted();
        if wanted == self.set {
            return false;
        }
        let other = wanted.1 != self.set.1;
        self.set = wanted;
        self.distribution.set(wanted.0, wanted.1);
        other
    }

    fn active_names(&self) -> Vec<String> {
        let names = self.settings.links.iter().enumerate();
        names.filter(|(i, _)| self.set.1 & 1 << i != 0).map(|(_, n)| n.clone()).collect()
    }

    /// Goes on where an earlier bond of the name was: what LACP has agreed on for a link stays.
    fn take_over(&mut self, old: Bond) {
        let place = |link: &PortId| old.links.iter().position(|l| l == link);
        for (i, link) in self.links.iter().enumerate() {
            let before = place(link).and_then(|p| old.lacp.get(p));
            let (Some(new), Some(before)) = (self.lacp.get_mut(i), before) else { continue };
            let identity = |l: &Link| (l.actor.system_priority, l.actor.system, l.actor.key, l.actor.port);
            if identity(new) == identity(before) {
                let fast = self.settings.lacp_rate == LacpRate::Fast;
                *new = before.clone();
                new.set_fast(fast);
            }
        }
        let bits = |bits: u32| {
            let was_set = |link| place(link).is_some_and(|p| bits & 1 << p != 0);
            self.links.iter().enumerate().fold(0, |b, (i, l)| b | u32::from(was_set(l)) << i)
        };
        self.set = (bits(old.set.0), bits(old.set.1));
        self.active = old.active;
        // The data plane's distribution may be a new one.
        self.distribution.set(self.set.0, self.set.1);
    }
}

impl Bonds {
    fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    /// A link's carrier changed.
    pub fn carrier(&mut self, port: PortId, up: bool) {
        let now = self.now();
        for bond in &mut self.bonds {
            for (i, _) in bond.links.iter().enumerate().filter(|(_, l)| **l == port) {
                bond.up[i] = up;
                if let Some(link) = bond.lacp.get_mut(i) {
                    link.carrier(up, now);
                }
            }
        }
    }

    /// A frame of a link's own protocol came: LACP, or a marker request, whose answer is returned.
    pub fn receive_slow(&mut self, port: PortId, frame: &[u8]) -> Option<Vec<u8>> {
        let now = self.now();
        let (bond, i) = self.bonds.iter_mut().find_map(|bond| {
            let place = bond.links.iter().position(|l| *l == port)?;
            Some((bond, place))
        })?;
        let link = bond.lacp.get_mut(i)?;
        if let Some(pdu) = Lacpdu::parse(frame) {
            link.receive_pdu(&pdu, now);
            return None;
        }
        marker_response(frame, bond.sources[i]).map(Vec::from)
    }

    /// When something is to be done at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let now = self.now();
        let links = self.bonds.iter().flat_map(|b| &b.lacp);
        let next = links.filter_map(|l| l.deadline(now)).min()?;
        Some(self.started + Duration::from_millis(next))
    }
}

impl Switch {
    /// Tells the partners of links that are to leave their bond. To be done while these still have their devices.
    pub(super) fn leave_links(&mut self, wanted: &Config) {
        let now = self.bonds.now();
        let mut transmit = Vec::new();
        for bond in &mut self.bonds.bonds {
            let stays = wanted.ports.get(&bond.name).and_then(|p| match &p.device {
                DeviceConfig::Bond(b) if b.mode == BondMode::Lacp => Some(&b.links),
                _ => None,
            });
            for (i, link) in bond.lacp.iter_mut().enumerate() {
                let name = bond.settings.links.get(i);
                if name.is_some_and(|n| stays.is_some_and(|l| l.contains(n)) && wanted.ports.contains_key(n))
                {
                    continue;
                }
                transmit.extend(link.leave(now).map(|pdu| (bond.links[i], pdu.emit(bond.sources[i]))));
            }
        }
        for (port, frame) in transmit {
            self.tell(port, Command::Send(port, frame.to_vec()));
        }
    }

    /// The identifier of this system for a bond: the same after a restart, another for each bond and each host.
    fn system_of(&self, name: &str, settings: &BondConfig) -> Mac {
        settings.system_id.unwrap_or_else(|| {
            let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
            // Switches of one host have devices of their own.
            let first = settings.links.first().and_then(|l| self.config.ports.get(l));
            let device = first.map(|p| format!("{:?}", p.device)).unwrap_or_default();
            local_address(&[&machine, name, &device])
        })
    }

    /// The Ethernet address that a link's own frames come from: its interface's, or one of local administration.
    fn source_of(&self, system: Mac, link: &str) -> Mac {
        let own = self.config.ports.get(link).and_then(|p| interface(&p.device));
        let own = own.and_then(|(name, netns)| {
            netns::inside(netns, || netns::hardware_address(name)).ok().filter(|mac| *mac != Mac::ZERO)
        });
        own.unwrap_or_else(|| local_address(&[&system.to_string(), link]))
    }

    /// Takes over the bonds of the configuration. Links that stay in their bond go on.
    pub(super) fn follow_bonds(&mut self) {
        let mut old = std::mem::take(&mut self.bonds.bonds);
        let now = self.bonds.now();
        let mut bonds = Vec::new();
        for (name, managed) in &self.ports {
            let DeviceConfig::Bond(settings) = &managed.config.device else { continue };
            let entry = self.tables.port(managed.id);
            let Some(distribution) = entry.and_then(|p| p.bond.clone()) else { continue };
            let same = |b: &Bond| b.settings == *settings && Arc::ptr_eq(&b.distribution, &distribution);
            if let Some(place) = old.iter().position(same) {
                bonds.push(old.swap_remove(place));
                continue;
            }
            let links = distribution.links().to_vec();
            let shared = |id: &PortId| self.tables.port(*id).is_some_and(|p| p.shared.is_up());
            let up: Vec<bool> = links.iter().map(shared).collect();
            // A bond stays the same system whichever links it has.
            let before = old.iter().find(|b| b.name == *name && b.settings.system_id == settings.system_id);
            let system = before.map_or_else(|| self.system_of(name, settings), |b| b.system);
            let mut lacp = Vec::new();
            if settings.mode == BondMode::Lacp {
                let fast = settings.lacp_rate == LacpRate::Fast;
                let system = (settings.system_priority, system);
                let link = |port: &PortId| Link::new(system, managed.id.0 + 1, port.0 + 1, fast);
                lacp = links.iter().map(link).collect();
            }
            let sources = settings.links.iter().map(|link| self.source_of(system, link)).collect();
            let settings = settings.clone();
            let (name, active, set) = (name.clone(), None, (0, 0));
            let mut bond =
                Bond { name, settings, distribution, links, up, lacp, system, sources, active, set };
            match old.iter().position(|b| b.name == bond.name) {
                Some(place) => bond.take_over(old.swap_remove(place)),
                None => bond.distribution.set(0, 0),
            }
            for (link, up) in bond.lacp.iter_mut().zip(&bond.up) {
                link.carrier(*up, now);
            }
            bonds.push(bond);
        }
        self.bonds.bonds = bonds;
        let links = self.bonds.bonds.iter().flat_map(|b| &b.settings.links);
        let of_the_kernel =
            links.filter(|link| self.ports.get(*link).is_some_and(|p| interface(&p.config.device).is_some()));
        self.carriers.check_links(of_the_kernel.cloned().collect());
        self.run_bonds();
    }

    /// Lets every bond do what is due.
    pub(super) fn run_bonds(&mut self) {
        let now = self.bonds.now();
        let (mut transmit, mut events, mut announce) = (Vec::new(), Vec::new(), Vec::new());
        for bond in &mut self.bonds.bonds {
            select(&mut bond.lacp);
            for (i, link) in bond.lacp.iter_mut().enumerate() {
                link.run_machines(now);
                transmit.extend(link.transmit(now).map(|pdu| (bond.links[i], pdu.emit(bond.sources[i]))));
            }
            if bond.set() {
                events.push((bond.name.clone(), bond.active_names()));
                // Another way to the same addresses: bridges on it have to learn.
                announce
                    .extend(bond.active.filter(|_| bond.set.1 != 0).map(|link| (bond.name.clone(), link)));
            }
        }
        for (port, frame) in transmit {
            self.tell(port, Command::Send(port, frame.to_vec()));
        }
        for (bond, link) in announce {
            if let Some(managed) = self.ports.get(&bond) {
                self.tell(link, Command::Announce { bond: managed.id, link });
            }
        }
        for (port, active) in events {
            if let Some(managed) = self.ports.get(&port) {
                let up = !active.is_empty();
                managed.shared.link.store(up, std::sync::atomic::Ordering::Relaxed);
            }
            self.server.publish(&Event::Bond { port, active });
        }
    }

    /// A bond as it is shown.
    pub(super) fn bond_status(&self, name: &str) -> Option<BondStatus> {
        let bond = self.bonds.bonds.iter().find(|b| b.name == name)?;
        let link = |(i, port): (usize, &String)| LinkStatus {
            port: port.clone(),
            up: bond.up.get(i).copied().unwrap_or(false),
            active: bond.set.1 & 1 << i != 0,
            lacp: bond.lacp.get(i).map(|l| -> LinkSnapshot { l.show() }),
        };
        let links = bond.settings.links.iter().enumerate().map(link).collect();
        Some(BondStatus { mode: bond.settings.mode, links })
    }
}
