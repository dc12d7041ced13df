//! Changes of the configuration: checked, opened, and only then made, all at once. If something cannot be opened,
//! everything stays as it was.

use super::carrier::interface;
use super::devices::{self, Opened};
use super::reopen::Reopening;
use super::{Error, PortRecord, Switch, tables};
use crate::config::{Config, DeviceConfig, Diff, PortConfig, diff};
use crate::control::Request;
use crate::counters::Shared;
use crate::port::{Device, PortId};
use crate::worker::{Change, Command};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// A port that is about to begin: its name and what stands behind it.
type New = (String, PortRecord, Option<Box<dyn Device>>);

/// How long threads have to change over.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a port can go on with the device that it has.
fn keeps_device(old: &PortConfig, new: &PortConfig) -> bool {
    let bond = matches!((&old.device, &new.device), (DeviceConfig::Bond(_), DeviceConfig::Bond(_)));
    let same = old.device == new.device && old.offload == new.offload && old.mtu == new.mtu;
    (bond || same) && old.thread == new.thread
}

impl Switch {
    /// Does what a request asks to be changed.
    pub(super) fn change(&mut self, request: Request) -> Result<Diff, Error> {
        let request = match self.change_in_place(request)? {
            Ok(changes) => return Ok(changes),
            Err(request) => request,
        };
        let mut config = self.config.clone();
        match request {
            Request::Apply { config: wanted, dry_run } => {
                if dry_run {
                    wanted.check()?;
                    self.check_fixed(&wanted)?;
                    return Ok(diff(&self.config, &wanted));
                }
                config = *wanted;
            }
            Request::PutPort { name, port } => _ = config.ports.insert(name, *port),
            Request::DeletePort { name } => {
                config.ports.remove(&name).ok_or_else(|| Error::Absent(format!("port {name}")))?;
            }
            Request::Announce { name, announced } => _ = config.announced.insert(name, announced),
            Request::Withdraw { name } => {
                let gone = config.announced.remove(&name);
                gone.ok_or_else(|| Error::Absent(format!("announced address {name}")))?;
            }
            _ => {}
        }
        self.apply(config)
    }

    /// What the threads were started with stays.
    fn check_fixed(&self, wanted: &Config) -> Result<(), Error> {
        let (is, shall) = (&self.config.switch, &wanted.switch);
        if is.threads != shall.threads || is.cpus != shall.cpus {
            return Err(Error::Fixed("threads and cpus"));
        }
        if is.polling != shall.polling || is.poll_us != shall.poll_us {
            return Err(Error::Fixed("polling"));
        }
        Ok(())
    }

    /// Makes it so. After an error, everything is as it was.
    pub fn apply(&mut self, wanted: Config) -> Result<Diff, Error> {
        wanted.check()?;
        self.check_fixed(&wanted)?;
        let changes = diff(&self.config, &wanted);
        if changes.is_empty() {
            return Ok(changes);
        }
        // A device that is opened anew may be in its own way: it goes first, with all that names it.
        let stays =
            |name: &String, old: &PortConfig| wanted.ports.get(name).is_none_or(|new| keeps_device(old, new));
        if self.config.ports.iter().all(|(name, old)| stays(name, old)) {
            return self.commit(wanted).map(|()| changes);
        }
        let before = self.config.clone();
        let mut between = before.clone();
        between.ports.retain(|name, old| stays(name, old));
        let names: BTreeSet<String> = between.ports.keys().cloned().collect();
        for port in between.ports.values_mut() {
            port.mirror = port.mirror.take().filter(|m| names.contains(m));
            if let DeviceConfig::Bond(b) = &mut port.device {
                b.links.retain(|l| names.contains(l));
            }
        }
        self.commit(between)?;
        if let Err(e) = self.commit(wanted) {
            if let Err(again) = self.commit(before) {
                eprintln!("microvisor-switch: cannot go back to the old configuration: {again}");
            }
            return Err(e);
        }
        Ok(changes)
    }

    /// Opens what is new, and changes over. Ports that stay keep their devices.
    fn commit(&mut self, wanted: Config) -> Result<(), Error> {
        let mut opened: Vec<New> = Vec::new();
        for (name, port) in wanted.ports.iter().filter(|(name, _)| !self.ports.contains_key(*name)) {
            let id = self.numbers.take();
            let thread = port.thread.unwrap_or_else(|| self.threads.lightest());
            self.threads.change_port_count(thread, 1);
            let shared = Arc::<Shared>::default();
            match devices::open(name, port, id, self.threads.notifying(thread)) {
                Ok(Opened { device, peer, interface }) => {
                    let config = port.clone();
                    let managed = PortRecord {
                        id,
                        config,
                        thread,
                        shared,
                        peer,
                        interface,
                        reopening: Reopening::default(),
                        last_error: None,
                    };
                    opened.push((name.clone(), managed, device));
                }
                Err(e) => {
                    self.numbers.release(id);
                    self.threads.change_port_count(thread, -1);
                    for (_, managed, _) in &opened {
                        managed.peer.clean_up();
                        self.numbers.release(managed.id);
                        self.threads.change_port_count(managed.thread, -1);
                    }
                    return Err(e);
                }
            }
        }
        self.leave_links(&wanted);
        let gone: Vec<String> =
            self.ports.keys().filter(|n| !wanted.ports.contains_key(*n)).cloned().collect();
        let removed: Vec<PortRecord> = gone.iter().filter_map(|n| self.ports.remove(n)).collect();
        for managed in &removed {
            managed.peer.unwatch(&self.poller);
            managed.peer.clean_up();
            self.numbers.release(managed.id);
            self.threads.change_port_count(managed.thread, -1);
        }
        let of_the_kernel = opened.iter().any(|(_, m, _)| interface(&m.config.device).is_some());
        let mut devices: Vec<(usize, PortId, Box<dyn Device>)> = Vec::new();
        for (name, managed, device) in opened {
            if let Err(source) = managed.peer.watch(&self.poller, managed.id) {
                let doing = "wait for connections".to_owned();
                eprintln!("microvisor-switch: {}", Error::Port { port: name.clone(), doing, source });
            }
            devices.extend(device.map(|d| (managed.thread, managed.id, d)));
            self.waiting.insert(name.clone());
            self.ports.insert(name, managed);
        }
        for (name, managed) in &mut self.ports {
            if let Some(config) = wanted.ports.get(name).filter(|config| **config != managed.config) {
                managed.config = config.clone();
            }
        }
        self.config = wanted;
        self.index();
        self.change_over(devices, &removed)?;
        if of_the_kernel { self.follow_interfaces() } else { Ok(()) }
    }

    /// Gives the threads their new tables and devices, and waits until all have them.
    fn change_over(
        &mut self,
        mut devices: Vec<(usize, PortId, Box<dyn Device>)>,
        removed: &[PortRecord],
    ) -> Result<(), Error> {
        self.tables = tables::build(&self.config, &self.ports, &self.tables);
        self.follow_bonds();
        let mut answers = BTreeMap::new();
        for thread in 0..self.threads.count() {
            let (done, answer) = channel();
            let here = devices.extract_if(.., |d| d.0 == thread);
            let added = here.map(|(_, id, device)| (id, device)).collect();
            let removed = removed.iter().filter(|m| m.thread == thread).map(|m| m.id).collect();
            let change = Change { tables: Arc::new(self.tables.clone()), added, removed, done };
            self.threads.tell(thread, Command::Change(change));
            answers.insert(thread, answer);
        }
        for (thread, answer) in answers {
            let closed = answer.recv_timeout(CHANGE_TIMEOUT).map_err(|_| Error::Stuck(thread))?;
            drop(closed);
        }
        Ok(())
    }

    pub(super) fn follow_interfaces(&mut self) -> Result<(), Error> {
        let spaces: BTreeSet<Option<String>> = self
            .ports
            .values()
            .filter_map(|p| interface(&p.config.device))
            .map(|(_, netns)| netns.map(str::to_owned))
            .collect();
        let failed = |source| Error::System { doing: "hear of network interfaces", source };
        self.carriers.follow(&spaces, &self.poller).map_err(failed)
    }
}
