//! What is shown of a switch.

use super::server::Reply;
use super::{PortRecord, Switch};
use crate::capture::{CaptureSink, QUEUE};
use crate::config::DeviceConfig;
use crate::control::{Address, Held, PortStatus, Response, Status};
use crate::port::PortId;
use crate::worker::{Command, Probe};
use std::sync::mpsc::{channel, sync_channel};
use std::time::Duration;

/// How long a thread has to say what it knows.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

fn describe(managed: &PortRecord) -> (&'static str, String) {
    let within = |name: &str, netns: &Option<String>| match netns {
        Some(n) => format!("{name} in {n}"),
        None => name.to_owned(),
    };
    match &managed.config.device {
        DeviceConfig::VhostUser { path, client: false } => {
            ("vhost-user", format!("listens on {}", path.display()))
        }
        DeviceConfig::VhostUser { path, client: true } => {
            ("vhost-user", format!("connects to {}", path.display()))
        }
        DeviceConfig::Tap { name, netns } => ("tap", within(name, netns)),
        DeviceConfig::Packet { interface, netns } => ("packet", within(interface, netns)),
        DeviceConfig::Xdp { interface, netns, queue } => {
            ("xdp", format!("{} queue {queue}", within(interface, netns)))
        }
        DeviceConfig::Pcap { read, write } => {
            let file = |f: &Option<std::path::PathBuf>| {
                f.as_ref().map_or("nothing".to_owned(), |f| f.display().to_string())
            };
            ("pcap", format!("reads {}, writes {}", file(read), file(write)))
        }
        DeviceConfig::Bond(b) => ("bond", b.links.join(" ")),
    }
}

impl Switch {
    /// What every thread knows.
    fn probe(&self) -> Vec<Probe> {
        let answers: Vec<_> = (0..self.threads.count())
            .map(|thread| {
                let (to, answer) = channel();
                self.threads.tell(thread, Command::Probe(to));
                answer
            })
            .collect();
        answers.into_iter().map(|a| a.recv_timeout(PROBE_TIMEOUT).unwrap_or_default()).collect()
    }

    pub(super) fn status(&self) -> Status {
        let ports = self.ports.iter().map(|(name, p)| self.port_status(name, p)).collect();
        let held = self.probe().into_iter().flat_map(|p| p.held);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            up_s: self.started.elapsed().as_secs(),
            ports,
            held: held.map(|(announced, packets)| Held { announced, packets }).collect(),
        }
    }

    fn port_status(&self, name: &str, p: &PortRecord) -> PortStatus {
        let (kind, device) = describe(p);
        let is_bond = matches!(p.config.device, DeviceConfig::Bond(_));
        let master = self.tables.port(p.id).and_then(|e| e.master).and_then(|m| self.tables.port(m));
        PortStatus {
            name: name.to_owned(),
            kind: kind.to_owned(),
            device,
            thread: (!is_bond).then_some(p.thread),
            up: p.shared.is_up(),
            segment: p.config.segment.clone(),
            trunk: p.config.trunk.iter().map(|(v, s)| (v.0, s.clone())).collect(),
            link_of: master.map(|m| m.name.clone()),
            last_error: p.last_error.clone(),
            counters: p.shared.read(matches!(p.config.device, DeviceConfig::VhostUser { .. })),
            bond: self.bond_status(name),
        }
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        let name = |id: PortId| self.tables.port(id).map(|p| p.name.clone()).unwrap_or_default();
        let mut addresses: Vec<Address> = self
            .probe()
            .into_iter()
            .flat_map(|p| p.addresses)
            .map(|a| Address {
                segment: self.tables.segment(a.segment).map(|s| s.name.clone()).unwrap_or_default(),
                mac: a.mac,
                port: name(a.port),
                age_s: a.age,
            })
            .collect();
        addresses.sort_by(|a, b| (&a.segment, a.mac, a.age_s).cmp(&(&b.segment, b.mac, b.age_s)));
        addresses.dedup_by(|a, b| (&a.segment, a.mac) == (&b.segment, b.mac));
        addresses
    }

    /// Copies of a port's packets go to whoever asked. A bond's are those of its links.
    pub(super) fn capture(&mut self, port: &str, snap: usize, to: &Reply) {
        let Some(managed) = self.ports.get(port) else {
            return to.answer(Response::Refused { message: format!("there is no port {port}") });
        };
        let links = self.tables.port(managed.id).and_then(|p| p.bond.as_ref());
        let ports = links.map_or(vec![managed.id], |b| b.links().to_vec());
        let (sender, receiver) = sync_channel(QUEUE);
        let snap = snap.clamp(14, crate::frame::LARGEST);
        to.capture(port.to_owned(), snap, receiver);
        for id in ports {
            self.tell(id, Command::Capture(id, CaptureSink::new(sender.clone(), snap)));
        }
    }
}
