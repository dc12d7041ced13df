//! What a thread is told to do, and what it tells of its own accord.

use super::backlog::Backlog;
use super::handoff::{Cargo, Parcel};
use super::{Own, Running};
use crate::capture::Tap;
use crate::counters::Reason;
use crate::forward::Aside;
use crate::forward::fdb::Shown;
use crate::forward::tables::Tables;
use crate::frame::Outgoing;
use crate::offload::Offload;
use crate::port::{Device, PortId};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

/// A change of everything at once.
pub struct Change {
    /// The new tables.
    pub tables: Arc<Tables>,
    /// Devices that begin.
    pub added: Vec<(PortId, Box<dyn Device>)>,
    /// Devices that end.
    pub removed: Vec<PortId>,
    /// Gets the devices that ended, to be closed elsewhere.
    pub done: Sender<Vec<Box<dyn Device>>>,
}

/// What a thread knows that others do not.
#[derive(Debug, Default)]
pub struct Probe {
    /// Addresses.
    pub addresses: Vec<Shown>,
    /// How many packets wait for each announced address.
    pub held: Vec<(String, usize)>,
}

/// What a thread is told.
pub enum Command {
    /// Other tables and devices.
    Change(Change),
    /// A peer has connected to a port.
    Connected(PortId, UnixStream),
    /// The kernel says that a port's link is up or down.
    Carrier(PortId, bool),
    /// A frame of the switch's own, to be sent as it is.
    Send(PortId, Vec<u8>),
    /// Copies of a port's packets go there, or no longer.
    Watch(PortId, Option<Tap>),
    /// A port has come up at another thread: what waits for it may go.
    Release,
    /// Say what is known.
    Probe(Sender<Probe>),
    /// No more.
    End,
}

impl Running {
    pub(super) fn obey(&mut self) {
        self.w.told.store(false, Ordering::Release);
        while let Ok(command) = self.w.commands.try_recv() {
            match command {
                Command::Change(change) => self.change(change),
                Command::Connected(port, stream) => self.connected(port, stream),
                Command::Carrier(port, up) => {
                    if let Some(Some(own)) = self.ports.get_mut(port.index()) {
                        own.device.carrier(up);
                        self.heat(port);
                    }
                    self.check_link(port);
                }
                Command::Send(port, bytes) => self.send_own(port, &bytes, Offload::default(), 0),
                Command::Watch(port, tap) => {
                    if let Some(state) = self.forwarder.ports.get_mut(port.index()) {
                        state.tap = tap;
                    }
                }
                Command::Release => self.release_holds(),
                Command::Probe(to) => {
                    let names = self.holds.names().into_iter();
                    let held = names.map(|n| (n.clone(), self.holds.waiting(&n))).collect();
                    let addresses = self.forwarder.fdb.show(self.now.seconds);
                    // Who asked may have gone.
                    let _ = to.send(Probe { addresses, held });
                }
                Command::End => self.ends = true,
            }
        }
    }

    fn change(&mut self, change: Change) {
        self.forwarder.change(&self.tables, &change.tables);
        let mut gone = Vec::new();
        for port in change.removed {
            if let Some(mut own) = self.ports.get_mut(port.index()).and_then(Option::take) {
                own.device.disconnect(self.w.wake.on_behalf_of(port));
                gone.push(own.device);
            }
            self.hot.retain(|&p| p != port);
            self.dirty.retain(|&p| p != port);
            self.backlogged.retain(|&p| p != port);
        }
        self.tables = change.tables;
        self.ports.resize_with(self.tables.ports.len(), || None);
        for (port, mut device) in change.added {
            let begun = device.begin(self.w.wake.on_behalf_of(port));
            self.ports[port.index()] = Some(Own {
                device,
                hot: false,
                busy: 0,
                dirty: false,
                blocked: None,
                short: None,
                backlog: Backlog::default(),
            });
            if let Err(e) = begun {
                self.broken(port, e.into());
            }
            self.heat(port);
            self.check_link(port);
        }
        self.release_holds();
        // Who asked waits for this, unless the switch ends.
        let _ = change.done.send(gone);
    }

    fn connected(&mut self, port: PortId, stream: UnixStream) {
        let Some(Some(own)) = self.ports.get_mut(port.index()) else { return };
        if let Err(e) = own.device.connected(stream, self.w.wake.on_behalf_of(port)) {
            self.broken(port, e.into());
        }
    }

    /// Sends a frame that the switch itself has, as it is.
    pub(super) fn send_own(&mut self, port: PortId, bytes: &[u8], offload: Offload, vlan: u16) {
        let tables = Arc::clone(&self.tables);
        // The batch is away if this happens while another is worked on.
        let mut batch = self.batch.take().unwrap_or_default();
        batch.clear();
        if batch.push_bytes(bytes, offload) {
            self.send(&tables, &batch, port, &[Outgoing { frame: 0, vlan }]);
        }
        self.batch.get_or_insert(batch);
    }

    /// Tells others what forwarding has found.
    pub(super) fn tell_asides(&mut self) {
        for aside in std::mem::take(&mut self.forwarder.asides) {
            match aside {
                Aside::Wanted(announced, packet) if self.w.index == 0 => self.wanted(announced, packet),
                Aside::Wanted(announced, packet) => {
                    let (bytes, offload) = packet.unwrap_or_default();
                    if let Some(Some(first)) = self.w.outboxes.first_mut() {
                        first.put(Parcel { cargo: Cargo::Wanted(announced), bytes, offload });
                    }
                }
                Aside::Learned(segment, mac, port) => {
                    for outbox in self.w.outboxes.iter_mut().flatten() {
                        let cargo = Cargo::Learned(segment, mac, port);
                        outbox.put(Parcel { cargo, bytes: Vec::new(), offload: Offload::default() });
                    }
                }
                slow @ Aside::Slow(..) => {
                    // More than can be queued is a flood, and LACP repeats itself.
                    let _ = self.w.asides.try_send(slow);
                    self.told_news = true;
                }
            }
        }
    }

    /// An announced address is wanted (on the first thread, which keeps what waits).
    pub(super) fn wanted(&mut self, announced: usize, packet: Option<(Vec<u8>, Offload)>) {
        let tables = Arc::clone(&self.tables);
        let Some(a) = tables.announced.get(announced) else { return };
        // The first packet is news; those that follow only wait.
        let first = self.holds.waiting(&a.name) == 0;
        if let Some((bytes, offload)) = packet
            && !self.holds.keep(&a.name, a.packets, a.time, bytes, offload, self.now.nanos)
            && let Some(port) = a.port.and_then(|p| tables.port(p))
        {
            port.shared.lost(Reason::HoldFull, 1);
        }
        if first {
            // A full queue means that others are wanted as well; a repeated packet asks again.
            let _ = self.w.asides.try_send(Aside::Wanted(announced, None));
            self.told_news = true;
        }
        self.release_holds();
    }

    /// Sends what waits for addresses whose ports are up.
    pub(super) fn release_holds(&mut self) {
        if self.w.index != 0 {
            return;
        }
        let tables = Arc::clone(&self.tables);
        for name in self.holds.names() {
            let Some(a) = tables.announced.iter().find(|a| a.name == name) else {
                self.holds.release(&name, 0, self.now.nanos);
                continue;
            };
            let Some(port) = a.port.filter(|&p| tables.port(p).is_some_and(|p| p.shared.is_up())) else {
                self.holds.expire(&name, a.time, self.now.nanos);
                continue;
            };
            let members = tables.segment(a.segment).map(|s| s.members.iter().find(|m| m.port == port));
            let vlan = members.flatten().map_or(0, |m| m.vlan);
            for held in self.holds.release(&name, a.time, self.now.nanos) {
                self.send_own(port, &held.bytes, held.offload, vlan);
            }
        }
    }
}
