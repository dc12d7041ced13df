//! Commands to a thread, and what it does with slow-path messages.

use super::handoff::{Handoff, HandoffKind};
use super::{PollState, PortState, Running};
use crate::capture::CaptureSink;
use crate::counters::Reason;
use crate::forward::SlowPathMessage;
use crate::forward::fdb::AddressEntry;
use crate::forward::tables::{TableDelta, Tables};
use crate::frame::Outgoing;
use crate::headers::arp::reverse_request;
use crate::offload::Offload;
use crate::port::{Absent, Device, PortId};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

/// Most addresses that are announced when a bond changes its link.
const ANNOUNCEMENTS: usize = 1024;

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

/// A port or an address more or less.
pub struct Delta {
    /// What changes in the tables.
    pub change: Arc<TableDelta>,
    /// The device of a port that is added, at the thread that serves it.
    pub device: Option<Box<dyn Device>>,
}

/// What a thread knows that others do not.
#[derive(Debug, Default)]
pub struct Probe {
    /// Addresses.
    pub addresses: Vec<AddressEntry>,
    /// How many packets wait for each announced address.
    pub held: Vec<(String, usize)>,
}

/// A command to a thread of the data plane.
pub enum Command {
    /// Other tables and devices.
    Change(Change),
    /// A change of the tables, in place.
    Delta(Delta),
    /// A peer has connected to a port.
    Connected(PortId, UnixStream),
    /// The kernel says that a port's link is up or down.
    Carrier(PortId, bool),
    /// The interface behind a port is gone, which its device does not notice.
    Gone(PortId),
    /// Another device takes the place of a port's, which has failed.
    Replace(PortId, Box<dyn Device>),
    /// A frame of the switch's own, to be sent as it is.
    Send(PortId, Vec<u8>),
    /// A bond's packets go out by another link from now on: bridges there have to learn who is behind it.
    Announce {
        /// The bond.
        bond: PortId,
        /// The link.
        link: PortId,
    },
    /// A capture of a port's packets begins. It ends when nobody takes them any more.
    Capture(PortId, CaptureSink),
    /// A port has come up at another thread: what waits for it may go.
    Release,
    /// Say what is known.
    Probe(Sender<Probe>),
    /// No more.
    End,
}

impl Running {
    pub(super) fn handle_commands(&mut self) {
        self.worker.command_pending.store(false, Ordering::Release);
        while let Ok(command) = self.worker.commands.try_recv() {
            match command {
                Command::Change(change) => self.change(change),
                Command::Delta(delta) => self.take_delta(delta),
                Command::Connected(port, stream) => self.connected(port, stream),
                Command::Carrier(port, up) => {
                    if let Some(Some(state)) = self.ports.get_mut(port.index())
                        && state.poll != PollState::Failed
                    {
                        state.device.carrier(up);
                        self.start_polling(port);
                    }
                    self.check_link(port);
                }
                Command::Gone(port) => {
                    let gone = io::Error::from_raw_os_error(libc::ENODEV);
                    self.port_failed(port, gone.into());
                    // Its descriptor holds the interface's namespace.
                    if let Some(Some(state)) = self.ports.get_mut(port.index()) {
                        let device = std::mem::replace(&mut state.device, Box::new(Absent));
                        self.worker.wake.retire(Box::new(device));
                    }
                }
                Command::Replace(port, device) => {
                    let Some(mut state) = self.ports.get_mut(port.index()).and_then(Option::take) else {
                        self.worker.wake.retire(Box::new(device));
                        continue;
                    };
                    state.device.disconnect(self.worker.wake.for_port(port));
                    self.clear_lists(port);
                    // Its descriptor takes long to close.
                    self.worker.wake.retire(Box::new(state.device));
                    self.start_device(port, device);
                }
                Command::Send(port, bytes) => self.send_own(port, &bytes, Offload::default(), 0),
                Command::Announce { bond, link } => self.announce(bond, link),
                Command::Capture(port, sink) => {
                    if let Some(state) = self.forwarder.ports.get_mut(port.index()) {
                        state.captures.push(sink);
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
                Command::End => self.is_ending = true,
            }
        }
    }

    fn change(&mut self, change: Change) {
        self.forwarder.change(&self.tables, &change.tables);
        let mut gone = Vec::new();
        for port in change.removed {
            if let Some(mut state) = self.ports.get_mut(port.index()).and_then(Option::take) {
                state.device.disconnect(self.worker.wake.for_port(port));
                gone.push(state.device);
            }
            self.clear_lists(port);
        }
        self.tables = change.tables;
        self.ports.resize_with(self.tables.ports.len(), || None);
        for (port, device) in change.added {
            self.start_device(port, device);
        }
        self.release_holds();
        // Who asked waits for this, unless it has given up.
        if let Err(unwanted) = change.done.send(gone) {
            self.worker.wake.retire(Box::new(unwanted.0));
        }
    }

    fn take_delta(&mut self, Delta { change, device }: Delta) {
        // They are this thread's own, and nobody reads them between two batches.
        self.forwarder.apply(Arc::make_mut(&mut self.tables), &change);
        self.ports.resize_with(self.tables.ports.len(), || None);
        match (&*change, device) {
            (TableDelta::PortAdded(port, _), Some(device)) => self.start_device(*port, device),
            (TableDelta::PortRemoved(port), _) => {
                if let Some(mut state) = self.ports.get_mut(port.index()).and_then(Option::take) {
                    state.device.disconnect(self.worker.wake.for_port(*port));
                    self.worker.wake.retire(Box::new(state.device));
                }
                self.clear_lists(*port);
            }
            _ => {}
        }
        self.release_holds();
    }

    fn start_device(&mut self, port: PortId, mut device: Box<dyn Device>) {
        let started = device.begin(self.worker.wake.for_port(port));
        self.ports[port.index()] = Some(PortState::new(device));
        if let Err(e) = started {
            self.port_failed(port, e.into());
        }
        self.start_polling(port);
        self.check_link(port);
    }

    /// Takes a port from the lists of those with something to do.
    fn clear_lists(&mut self, port: PortId) {
        for list in [&mut self.polled, &mut self.unflushed, &mut self.backlogged] {
            list.retain(|&p| p != port);
        }
    }

    fn connected(&mut self, port: PortId, stream: UnixStream) {
        let Some(Some(state)) = self.ports.get_mut(port.index()) else { return };
        if state.poll == PollState::Failed {
            state.poll = PollState::Armed;
        }
        if let Err(e) = state.device.connected(stream, self.worker.wake.for_port(port)) {
            self.port_failed(port, e.into());
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

    /// Sends a reverse ARP request (RFC 903) from each address of the bond's segments that is not behind the bond.
    fn announce(&mut self, bond: PortId, link: PortId) {
        let tables = Arc::clone(&self.tables);
        let known = self.forwarder.fdb.show(self.now.seconds).into_iter().filter(|a| a.port != bond);
        let frames: Vec<([u8; 60], u16)> = known
            .filter_map(|a| {
                let vlan = tables.segment(a.segment)?.member(bond)?.vlan;
                Some((reverse_request(a.mac), vlan))
            })
            .take(ANNOUNCEMENTS)
            .collect();
        for (frame, vlan) in frames {
            self.send_own(link, &frame, Offload::default(), vlan);
        }
    }

    /// Hands on the slow-path messages that forwarding has left.
    pub(super) fn dispatch_slow_path(&mut self) {
        for message in std::mem::take(&mut self.forwarder.slow_path) {
            match message {
                SlowPathMessage::Wanted(announced, packet) if self.worker.index == 0 => {
                    self.wanted(&announced, packet)
                }
                SlowPathMessage::Wanted(announced, packet) => {
                    let (bytes, offload) = packet.unwrap_or_default();
                    if let Some(Some(first)) = self.worker.outboxes.first_mut() {
                        first.put(Handoff { kind: HandoffKind::Wanted(announced), bytes, offload });
                    }
                }
                SlowPathMessage::Learned(segment, mac, port) => {
                    for outbox in self.worker.outboxes.iter_mut().flatten() {
                        outbox.send_message(HandoffKind::Learned(segment, mac, port));
                    }
                }
                slow @ SlowPathMessage::Slow(..) => {
                    // More than can be queued is a flood, and LACP repeats itself.
                    let _ = self.worker.slow_path.try_send(slow);
                    self.manager_wakeup_due = true;
                }
            }
        }
    }

    /// An announced address is wanted (on the first thread, which keeps what waits).
    pub(super) fn wanted(&mut self, name: &Arc<str>, packet: Option<(Vec<u8>, Offload)>) {
        let tables = Arc::clone(&self.tables);
        let Some((a, port)) = tables.announced(name) else { return };
        if let Some((bytes, offload)) = packet
            && !self.holds.keep(name, a.packets, a.time, bytes, offload, self.now.nanos)
            && let Some(port) = port.and_then(|p| tables.port(p))
        {
            port.shared.count_drops(Reason::HoldFull, 1);
        }
        if self.holds.is_news(name, self.now.nanos) {
            // A full queue means that others are wanted as well; the next packet asks again.
            if self.worker.slow_path.try_send(SlowPathMessage::Wanted(name.clone(), None)).is_ok() {
                self.holds.told(name, self.now.nanos);
            }
            self.manager_wakeup_due = true;
        }
        self.release_holds();
    }

    /// Sends what waits for addresses whose ports are up.
    pub(super) fn release_holds(&mut self) {
        if self.worker.index != 0 {
            return;
        }
        let tables = Arc::clone(&self.tables);
        for name in self.holds.names() {
            let Some((a, port)) = tables.announced(&name) else {
                self.holds.release(&name, 0, self.now.nanos);
                continue;
            };
            let Some(port) = port.filter(|&p| tables.port(p).is_some_and(|p| p.shared.is_up())) else {
                self.holds.expire(&name, a.time, self.now.nanos);
                continue;
            };
            let member = tables.segment(a.segment).and_then(|s| s.member(port));
            let vlan = member.map_or(0, |m| m.vlan);
            for held in self.holds.release(&name, a.time, self.now.nanos) {
                self.send_own(port, &held.bytes, held.offload, vlan);
            }
        }
    }
}
