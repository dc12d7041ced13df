//! Which links of each bond carry packets: by carrier, and by LACP where it is spoken.

use super::Switch;
use crate::bond::Distribution;
use crate::bond::lacp::{Link, LinkSnapshot, Millis, select};
use crate::config::{BondConfig, BondMode, DeviceConfig, LacpRate};
use crate::control::{BondStatus, Event, LinkStatus};
use crate::headers::Mac;
use crate::headers::lacp::Lacpdu;
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
    /// With active-backup, the link that carries packets.
    active: Option<usize>,
    /// What was last set, collecting and distributing.
    set: (u32, u32),
}

/// All bonds.
pub struct Bonds {
    bonds: Vec<Bond>,
    started: Instant,
    /// Distinguishes this switch from others, for LACP.
    system: Mac,
}

impl Default for Bonds {
    fn default() -> Self {
        let [a, b, c, d] = std::process::id().to_be_bytes();
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let e = time.map_or(0, |t| t.subsec_nanos() as u8);
        Self { bonds: Vec::new(), started: Instant::now(), system: Mac([2, e ^ a, b, c, d, e]) }
    }
}

impl Bond {
    /// Links that take and that send packets, a bit each.
    fn wanted(&mut self) -> (u32, u32) {
        let bits = |flags: &mut dyn Iterator<Item = bool>| {
            flags.enumerate().fold(0, |bits, (i, on)| bits | u32::from(on) << i)
        };
        let up = bits(&mut self.up.iter().copied());
        match self.settings.mode {
            BondMode::BalanceXor | BondMode::Broadcast => (up, up),
            BondMode::Lacp => (
                bits(&mut self.lacp.iter().map(Link::collects)),
                bits(&mut self.lacp.iter().map(Link::distributes)),
            ),
            BondMode::ActiveBackup => {
                let primary = self.settings.primary.as_ref();
                let primary = primary.and_then(|p| self.settings.links.iter().position(|l| l == p));
                let is_up = |i: &usize| self.up.get(*i) == Some(&true);
                let first = self.up.iter().position(|&u| u);
                self.active = primary.filter(is_up).or(self.active.filter(is_up)).or(first);
                let bit = self.active.map_or(0, |i| 1 << i);
                (bit, bit)
            }
        }
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

    /// A frame of a link's own protocol came.
    pub fn receive_pdu(&mut self, port: PortId, frame: &[u8]) {
        let now = self.now();
        let Some(pdu) = Lacpdu::parse(frame) else { return };
        for bond in &mut self.bonds {
            let place = bond.links.iter().position(|l| *l == port);
            if let Some(link) = place.and_then(|i| bond.lacp.get_mut(i)) {
                link.receive_pdu(&pdu, now);
            }
        }
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
    /// Takes over the bonds of the configuration. Those that do not change go on.
    pub(super) fn follow_bonds(&mut self) {
        let mut old = std::mem::take(&mut self.bonds.bonds);
        let system = self.bonds.system;
        let now = self.bonds.now();
        for (name, managed) in &self.ports {
            let DeviceConfig::Bond(settings) = &managed.config.device else { continue };
            let entry = self.tables.port(managed.id);
            let Some(distribution) = entry.and_then(|p| p.bond.clone()) else { continue };
            let same = |b: &Bond| b.settings == *settings && Arc::ptr_eq(&b.distribution, &distribution);
            if let Some(place) = old.iter().position(same) {
                self.bonds.bonds.push(old.swap_remove(place));
                continue;
            }
            let links = distribution.links().to_vec();
            let shared = |id: &PortId| self.tables.port(*id).is_some_and(|p| p.shared.is_up());
            let up: Vec<bool> = links.iter().map(shared).collect();
            let mut lacp = Vec::new();
            if settings.mode == BondMode::Lacp {
                let fast = settings.lacp_rate == LacpRate::Fast;
                let key = managed.id.0 + 1;
                lacp = (0..links.len() as u16).map(|i| Link::new(system, key, i + 1, fast)).collect();
                for (link, up) in lacp.iter_mut().zip(&up) {
                    link.carrier(*up, now);
                }
            }
            let settings = settings.clone();
            // What an earlier bond over the same links left behind is not what this one wants.
            distribution.set(0, 0);
            self.bonds.bonds.push(Bond {
                name: name.clone(),
                settings,
                distribution,
                links,
                up,
                lacp,
                active: None,
                set: (0, 0),
            });
        }
        self.run_bonds();
    }

    /// Lets every bond do what is due.
    pub(super) fn run_bonds(&mut self) {
        let now = self.bonds.now();
        let (mut transmit, mut events) = (Vec::new(), Vec::new());
        for bond in &mut self.bonds.bonds {
            select(&mut bond.lacp);
            for (i, link) in bond.lacp.iter_mut().enumerate() {
                link.run_machines(now);
                transmit.extend(link.transmit(now).map(|pdu| (bond.links[i], pdu)));
            }
            if bond.set() {
                events.push((bond.name.clone(), bond.active_names()));
            }
        }
        for (port, pdu) in transmit {
            let source = self.bonds.system;
            self.tell(port, Command::Send(port, pdu.emit(source).to_vec()));
        }
        for (port, active) in events {
            if let Some(managed) = self.ports.get(&port) {
                let up = !active.is_empty();
                managed.shared.link.store(up, std::sync::atomic::Ordering::Relaxed);
            }
            self.server.tell(&Event::Bond { port, active });
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
