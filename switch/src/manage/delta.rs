//! One port or one address more or less, as instances come and go, changed in place: checked against what it may contradict
//! alone, and told to the threads as that one change. What it costs does not grow with what else is there. Threads take
//! changes in the order in which they were made, like everything else that they are told, so that nobody waits for them.
//!
//! That is for ports of vhost-user that no bond and no mirror has to do with. Everything else changes by the whole
//! configuration (`apply`).

use super::devices;
use super::reopen::Reopening;
use super::{Error, PortRecord, Switch, tables};
use crate::config::check::{PORTS, address_taken, mac_taken, point_to_point_full, socket_taken, too_many};
use crate::config::{AnnouncedConfig, Contradiction, DeviceConfig, Diff, PortConfig};
use crate::control::Request;
use crate::counters::Shared;
use crate::forward::fdb::SegmentId;
use crate::forward::tables::TableDelta;
use crate::port::Device;
use crate::worker::{Command, Delta};
use std::path::Path;
use std::sync::Arc;

/// The socket of a port that may change by itself.
fn socket(port: &PortConfig) -> Option<&Path> {
    match &port.device {
        DeviceConfig::VhostUser { path, .. } if port.mirror.is_none() => Some(path),
        _ => None,
    }
}

fn added(what: String) -> Diff {
    Diff { added: vec![what], ..Diff::default() }
}

fn removed(what: String) -> Diff {
    Diff { removed: vec![what], ..Diff::default() }
}

impl Switch {
    /// Does what a request asks to be changed, if that can be done in place; else the request.
    pub(super) fn change_in_place(&mut self, request: Request) -> Result<Result<Diff, Request>, Error> {
        match request {
            Request::PutPort { name, port } if self.is_independent(&name, &port) => {
                match self.config.ports.get(&name) {
                    None => self.add_port(name, *port).map(Ok),
                    Some(same) if *same == *port => Ok(Ok(Diff::default())),
                    Some(_) => Ok(Err(Request::PutPort { name, port })),
                }
            }
            Request::DeletePort { name } => match self.config.ports.get(&name) {
                Some(port) if self.is_independent(&name, port) => Ok(Ok(self.remove_port(&name))),
                Some(_) => Ok(Err(Request::DeletePort { name })),
                None => Err(Error::Absent(format!("port {name}"))),
            },
            Request::Announce { name, announced } => self.announce(name, announced).map(Ok),
            Request::Withdraw { name } => match self.withdraw(&name) {
                true => Ok(Ok(removed(format!("announced.{name}")))),
                false => Err(Error::Absent(format!("announced address {name}"))),
            },
            other => Ok(Err(other)),
        }
    }

    /// Finds out what changes in place are checked against, after the whole configuration has changed.
    pub(super) fn index(&mut self) {
        self.sockets.clear();
        self.named_by_others.clear();
        for (name, port) in &self.config.ports {
            match &port.device {
                DeviceConfig::VhostUser { path, .. } => {
                    self.sockets.insert(path.clone(), name.clone());
                }
                DeviceConfig::Bond(bond) => self.named_by_others.extend(bond.links.iter().cloned()),
                _ => {}
            }
            self.named_by_others.extend(port.mirror.clone());
        }
    }

    fn is_independent(&self, name: &str, port: &PortConfig) -> bool {
        socket(port).is_some() && !self.named_by_others.contains(name)
    }

    /// The number of a segment. They are numbered in the order of their names.
    fn segment_id(&self, name: &str) -> Option<SegmentId> {
        let place = self.tables.segments.binary_search_by(|s| s.name.as_str().cmp(name)).ok()?;
        Some(SegmentId(place as u32))
    }

    /// Whether a new port contradicts what is there.
    fn check_new(&self, name: &str, port: &PortConfig) -> Result<(), Contradiction> {
        if self.config.ports.len() >= PORTS {
            return too_many();
        }
        self.config.check_port(name, port, false)?;
        if let Some((path, other)) = socket(port).and_then(|path| self.sockets.get_key_value(path)) {
            return socket_taken(name, other, path);
        }
        let name_of = |id| self.tables.port(id).map_or("", |p| p.name.as_str());
        for segment in port.segment.iter().chain(port.trunk.values()) {
            let Some(id) = self.segment_id(segment) else { continue };
            let members = self.tables.segment(id).map_or(0, |s| s.members.len());
            if self.tables.segment(id).is_some_and(|s| s.point_to_point) && members >= 2 {
                return point_to_point_full(segment, members + 1);
            }
            if let Some(mac) = port.mac
                && let Some(&other) = self.tables.fixed.get(&(id, mac))
            {
                return mac_taken(name, name_of(other), mac);
            }
            for &address in &port.addresses {
                if let Some(mac) = self.tables.neighbours.get(&(id, address)) {
                    let other = self.tables.fixed.get(&(id, *mac)).copied().map_or("", name_of);
                    return address_taken(name, other, address);
                }
            }
        }
        Ok(())
    }

    fn add_port(&mut self, name: String, port: PortConfig) -> Result<Diff, Error> {
        self.check_new(&name, &port)?;
        let thread = port.thread.unwrap_or_else(|| self.threads.lightest());
        let id = self.numbers.take();
        let opened = match devices::open(&name, &port, id, self.threads.notifying(thread)) {
            Ok(opened) => opened,
            Err(e) => {
                self.numbers.release(id);
                return Err(e);
            }
        };
        let managed = PortRecord {
            id,
            config: port.clone(),
            thread,
            shared: Arc::<Shared>::default(),
            peer: opened.peer,
            interface: opened.interface,
            reopening: Reopening::default(),
            last_error: None,
        };
        if let Err(source) = managed.peer.watch(&self.poller, id) {
            managed.peer.clean_up();
            self.numbers.release(id);
            return Err(Error::Port { port: name, doing: "wait for connections".into(), source });
        }
        let entry = tables::entry(&name, &port, &managed, |segment| self.segment_id(segment));
        self.threads.change_port_count(thread, 1);
        if let Some(path) = socket(&port) {
            self.sockets.insert(path.to_owned(), name.clone());
        }
        self.config.ports.insert(name.clone(), port);
        self.waiting.insert(name.clone());
        self.ports.insert(name.clone(), managed);
        self.send_delta(TableDelta::PortAdded(id, entry), Some(thread), opened.device);
        // A front end that listens already is met at once.
        self.connect_clients();
        Ok(added(format!("ports.{name}")))
    }

    fn remove_port(&mut self, name: &str) -> Diff {
        if let Some(path) = self.config.ports.remove(name).as_ref().and_then(socket) {
            self.sockets.remove(path);
        }
        if let Some(managed) = self.ports.remove(name) {
            managed.peer.unwatch(&self.poller);
            managed.peer.clean_up();
            self.waiting.remove(name);
            self.threads.change_port_count(managed.thread, -1);
            self.send_delta(TableDelta::PortRemoved(managed.id), None, None);
            self.numbers.release(managed.id);
        }
        removed(format!("ports.{name}"))
    }

    fn announce(&mut self, name: String, announced: AnnouncedConfig) -> Result<Diff, Error> {
        let before = self.config.announced.get(&name);
        if before == Some(&announced) {
            return Ok(Diff::default());
        }
        let what = format!("announced.{name}");
        let segment = self.segment_id(&announced.segment);
        let other = segment.and_then(|s| self.tables.announced_at.get(&(s, announced.mac)));
        let is_taken = other.is_some_and(|other| **other != *name);
        self.config.check_announced_address(&name, &announced, is_taken)?;
        let Some(segment) = segment else {
            return Err(Error::Absent(format!("segment {}", announced.segment)));
        };
        let is_new = !self.withdraw(&name);
        let entry = tables::announced_entry(&announced, segment);
        self.send_delta(TableDelta::Announced(name.as_str().into(), entry), None, None);
        self.config.announced.insert(name, announced);
        Ok(if is_new { added(what) } else { Diff { changed: vec![what], ..Diff::default() } })
    }

    /// An announced address less; whether there was one.
    fn withdraw(&mut self, name: &str) -> bool {
        let was_there = self.config.announced.remove(name).is_some();
        if was_there {
            self.send_delta(TableDelta::Withdrawn(name.into()), None, None);
        }
        was_there
    }

    /// Takes a change into the tables, here and at every thread. The device is for the thread that serves it.
    fn send_delta(&mut self, delta: TableDelta, at: Option<usize>, mut device: Option<Box<dyn Device>>) {
        self.tables.apply(&delta);
        let change = Arc::new(delta);
        for thread in 0..self.threads.count() {
            let device = if at == Some(thread) { device.take() } else { None };
            self.threads.tell(thread, Command::Delta(Delta { change: change.clone(), device }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::forward::tables::Tables;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// What tables say, whatever the numbers of ports are.
    fn content(tables: &Tables) -> impl PartialEq + std::fmt::Debug {
        let name = |id| tables.port(id).map(|p| p.name.clone());
        let ports: BTreeMap<String, String> = tables
            .all_ports()
            .map(|(_, p)| {
                let said = (p.native, &p.trunk, p.mac, &p.addresses, &p.bound_to, p.mtu, p.assigned);
                (p.name.clone(), format!("{said:?} {:?} {:?}", p.rate_in, p.rate_out))
            })
            .collect();
        let segments: Vec<_> = tables
            .segments
            .iter()
            .map(|s| {
                assert!(s.members.is_sorted_by_key(|m| m.port));
                let mut members: Vec<_> = s.members.iter().map(|m| (name(m.port), m.vlan)).collect();
                members.sort();
                (s.name.clone(), members)
            })
            .collect();
        let fixed: BTreeMap<_, _> = tables.fixed.iter().map(|(at, id)| (*at, name(*id))).collect();
        let announced: BTreeMap<_, _> = tables
            .announced
            .iter()
            .map(|(n, a)| (n.clone(), (format!("{a:?}"), tables.announced(n).and_then(|(_, id)| name(id?)))))
            .collect();
        let map =
            |m: &std::collections::HashMap<_, _>| m.iter().map(|(k, v)| (*k, *v)).collect::<BTreeMap<_, _>>();
        let at: BTreeMap<_, _> = tables.announced_at.iter().map(|(k, v)| (*k, v.clone())).collect();
        let will =
            tables.announced_neighbours.iter().map(|(k, v)| (*k, v.clone())).collect::<BTreeMap<_, _>>();
        let neighbours = (map(&tables.neighbours), will);
        (ports, segments, fixed, announced, at, neighbours)
    }

    fn port(socket: u8, segment: u8, mac: u8, address: u8) -> PortConfig {
        let text = format!(
            "device = {{ vhost-user = {{ path = \"/nowhere/{socket}\", client = true }} }}\nsegment = \"s{segment}\"\n\
             mac = \"02:00:00:00:00:0{mac}\"\naddresses = [\"10.0.0.{address}\"]\nanti-spoofing = true\n"
        );
        toml::from_str(&text).unwrap()
    }

    fn announced(segment: u8, mac: u8, address: u8) -> AnnouncedConfig {
        let text = format!(
            "segment = \"s{segment}\"\nmac = \"02:00:00:00:00:0{mac}\"\naddresses = [\"10.0.0.{address}\"]\n"
        );
        toml::from_str(&text).unwrap()
    }

    /// A change, by few names, so that they meet each other: kind, name, socket, segment, MAC, address.
    fn changes() -> impl Strategy<Value = Vec<(u8, u8, u8, u8, u8, u8)>> {
        prop::collection::vec((0u8..8, 0u8..4, 0u8..4, 0u8..4, 1u8..5, 1u8..5), 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn changes_in_place_come_to_what_the_whole_configuration_comes_to(changes in changes()) {
            // s2 is a wire; there is no s3.
            let text = "[segments.s0]\n[segments.s1]\n[segments.s2]\npoint-to-point = true\n";
            let mut switch = Switch::new(&Config::from_toml(text).unwrap(), None).unwrap();
            switch.apply(Config::from_toml(text).unwrap()).unwrap();
            for (kind, name, socket, segment, mac, address) in changes {
                let name = format!("p{name}");
                let mut wanted = switch.config.clone();
                let request = match kind {
                    0..=3 => {
                        let port = port(socket, segment, mac, address);
                        wanted.ports.insert(name.clone(), port.clone());
                        Request::PutPort { name, port: Box::new(port) }
                    }
                    4 => {
                        wanted.ports.remove(&name);
                        Request::DeletePort { name }
                    }
                    5 | 6 => {
                        let announced = announced(segment, mac, address);
                        wanted.announced.insert(name.clone(), announced.clone());
                        Request::Announce { name, announced }
                    }
                    _ => {
                        wanted.announced.remove(&name);
                        Request::Withdraw { name }
                    }
                };
                let (before, right) = (switch.config.clone(), wanted.check().is_ok());
                let outcome = switch.change(request);
                let absent = matches!(outcome, Err(Error::Absent(_)));
                prop_assert_eq!(outcome.is_ok() || absent, right, "{:?}", outcome);
                prop_assert_eq!(&switch.config, if right { &wanted } else { &before });
                let anew = tables::build(&switch.config, &switch.ports, &Tables::default());
                prop_assert_eq!(content(&switch.tables), content(&anew));
                prop_assert_eq!(switch.sockets.len(), switch.config.ports.len());
            }
        }
    }
}
