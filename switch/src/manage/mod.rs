//! The control thread: applies the configuration, and does what the data plane sends to the slow path.
//!
//! | module | content |
//! |---|---|
//! | `apply`, `delta` | changes of the configuration: as a whole; one port or address in place |
//! | `port_numbers` | numbers of ports, and their quarantine |
//! | `tables` | the data plane's tables, made from the configuration |
//! | `devices`, `reopen` | opens the devices of ports, again after a failure |
//! | `peers` | connections of vhost-user front ends |
//! | `bonds` | which links of a bond carry packets |
//! | `carrier` | link state of interfaces, from the kernel |
//! | `server`, `show` | requests on the control socket, and the state that they show |
//! | `wanted` | events about announced addresses that packets wait for |
//! | `threads` | starts and supervises the threads of the data plane |
//! | `poll` | descriptors that this thread waits for |

mod apply;
mod bonds;
mod carrier;
mod delta;
mod devices;
mod peers;
mod poll;
mod port_numbers;
mod reopen;
mod server;
mod show;
mod tables;
mod threads;
mod wanted;

use crate::config::{Config, PortConfig};
use crate::control::{Event, Request, Response};
use crate::counters::Shared;
use crate::forward::SlowPathMessage;
use crate::forward::tables::Tables;
use crate::port::{PortError, PortEvent, PortId};
use crate::worker::Command;
use bonds::Bonds;
use carrier::{Carriers, interface};
use peers::Peer;
use polling::{Event as Ready, Events, Poller};
use port_numbers::PortNumbers;
use reopen::Reopening;
use server::Server;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use threads::Threads;
use wanted::WantedAddresses;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Contradiction(#[from] crate::config::Contradiction),
    /// Something behind a port could not be opened.
    #[error("port {port}: {doing}: {source}")]
    Port {
        /// Its name.
        port: String,
        /// What was being done.
        doing: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// What cannot be changed while the switch runs.
    #[error("{0} cannot be changed while the switch runs; restart it")]
    Fixed(&'static str),
    /// No such thing.
    #[error("there is no {0}")]
    Absent(String),
    /// A thread of the data plane does not answer.
    #[error("thread {0} does not answer")]
    Stuck(usize),
    /// The kernel refused.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What it says.
        source: io::Error,
    },
}

/// A port as the control thread has it.
struct PortRecord {
    id: PortId,
    config: PortConfig,
    thread: usize,
    shared: Arc<Shared>,
    peer: Peer,
    /// The number that its interface had when it was opened, if the device is bound to one.
    interface: Option<u32>,
    /// When a device of the kernel that has failed is opened again, and how often.
    reopening: Reopening,
    /// Why its device or its last peer was let go.
    last_error: Option<String>,
}

impl PortRecord {
    /// When something is to be tried for it again.
    fn next_attempt(&self) -> Option<Instant> {
        [self.peer.next_attempt(), self.reopening.next()].into_iter().flatten().min()
    }
}

/// What descriptors of the control thread are called.
mod key {
    /// Something from the data plane or from connections.
    pub const WAKEUP: usize = 0;
    /// The control socket.
    pub const CONTROL: usize = 1;
    /// A signal.
    pub const SIGNAL: usize = 2;
    /// Sockets for news of interfaces.
    pub const CARRIER: usize = 1 << 20;
    /// Sockets that front ends connect to, by port.
    pub const LISTENER: usize = 1 << 24;
}

/// A switch.
pub struct Switch {
    config: Config,
    /// As the threads have them.
    tables: Tables,
    ports: BTreeMap<String, PortRecord>,
    numbers: PortNumbers,
    /// Ports by the sockets where their front ends are met.
    sockets: HashMap<PathBuf, String>,
    /// Names that bonds and mirrors have.
    named_by_others: HashSet<String>,
    /// Ports that something is to be tried for at some time: see [`PortRecord::next_attempt`].
    waiting: BTreeSet<String>,
    threads: Threads,
    bonds: Bonds,
    carriers: Carriers,
    server: Server,
    wanted: WantedAddresses,
    poller: Arc<Poller>,
    started: Instant,
}

impl Switch {
    /// A switch with threads and without ports, which listens on a control socket.
    pub fn new(config: &Config, control: Option<UnixListener>) -> Result<Self, Error> {
        config.check()?;
        let system = |doing| move |source| Error::System { doing, source };
        let poller = Arc::new(Poller::new().map_err(system("make a poller"))?);
        let threads = Threads::start(&config.switch).map_err(system("start threads"))?;
        let server = Server::new(control, threads.wakeup().map_err(system("make an eventfd"))?);
        let switch = Self {
            config: Config { switch: config.switch.clone(), ..Config::default() },
            tables: Tables::default(),
            ports: BTreeMap::new(),
            numbers: PortNumbers::default(),
            sockets: HashMap::new(),
            named_by_others: HashSet::new(),
            waiting: BTreeSet::new(),
            threads,
            bonds: Bonds::default(),
            carriers: Carriers::default(),
            server,
            wanted: WantedAddresses::default(),
            poller,
            started: Instant::now(),
        };
        switch.register().map_err(system("wait for events"))?;
        Ok(switch)
    }

    fn register(&self) -> io::Result<()> {
        let level = polling::PollMode::Level;
        let add = |fd: std::os::fd::BorrowedFd<'_>, key| {
            use std::os::fd::AsRawFd;
            let raw = fd.as_raw_fd();
            poll::watch(&self.poller, raw, Ready::readable(key), level)
        };
        add(self.threads.wakeup_fd(), key::WAKEUP)?;
        if let Some(listener) = self.server.listener() {
            add(listener.as_fd(), key::CONTROL)?;
        }
        Ok(())
    }

    /// Also ends when this becomes readable.
    pub fn end_on(&self, signal: &impl std::os::fd::AsRawFd) -> io::Result<()> {
        let ready = Ready::readable(key::SIGNAL);
        poll::watch(&self.poller, signal.as_raw_fd(), ready, polling::PollMode::Level)
    }

    /// Works until it is told to end.
    pub fn run(&mut self) {
        let mut events = Events::new();
        loop {
            let timeout = self.timeout();
            events.clear();
            if let Err(e) = self.poller.wait(&mut events, Some(timeout))
                && e.kind() != io::ErrorKind::Interrupted
            {
                eprintln!("microvisor-switch: cannot wait for events: {e}");
                return;
            }
            let ready: Vec<usize> = events.iter().map(|e| e.key).collect();
            for key in ready {
                match key {
                    key::WAKEUP => self.threads.clear_wakeup(),
                    key::CONTROL => self.server.accept(&self.poller),
                    key::SIGNAL => return,
                    key if key >= key::LISTENER => self.front_end_waits(PortId((key - key::LISTENER) as u16)),
                    key => self.carriers.receive_changes(key - key::CARRIER),
                }
            }
            self.handle_port_events();
            self.update_carriers();
            self.connect_clients();
            self.reopen_devices();
            self.forget_waiting();
            self.repeat_wanted();
            self.server.resume(&self.poller);
            self.run_bonds();
            self.answer_requests();
            self.threads.watch();
        }
    }

    fn timeout(&self) -> Duration {
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let waiting = self.waiting.iter().filter_map(|name| self.ports.get(name));
        let next = waiting.filter_map(PortRecord::next_attempt).map(until).min();
        let lacp = self.bonds.deadline().map(until);
        let look = self.carriers.next_check().map(until);
        let accept = self.server.next_attempt().map(until);
        let wanted = self.wanted.next().map(until);
        [next, lacp, look, accept, wanted]
            .into_iter()
            .flatten()
            .fold(threads::STUCK_CHECK_INTERVAL, Duration::min)
    }

    fn tell(&self, port: PortId, command: Command) {
        if let Some(p) = self.tables.port(port) {
            self.threads.tell(p.thread, command);
        }
    }

    fn named(&mut self, id: PortId) -> Option<(String, &mut PortRecord)> {
        let name = self.tables.port(id)?.name.clone();
        let record = self.ports.get_mut(&name)?;
        Some((name, record))
    }

    /// Forgets which ports nothing is to be tried for any more.
    fn forget_waiting(&mut self) {
        let ports = &self.ports;
        self.waiting.retain(|name| ports.get(name).is_some_and(|p| p.next_attempt().is_some()));
    }

    fn handle_port_events(&mut self) {
        while let Some(port_events) = self.threads.port_event() {
            match port_events {
                PortEvent::Link(id, up) => self.link_changed(id, up),
                PortEvent::PortError(id, why) => self.peer_dropped(id, &why),
            }
        }
        while let Some(message) = self.threads.slow_path_message() {
            match message {
                SlowPathMessage::Slow(id, bytes) => {
                    if let Some(answer) = self.bonds.receive_slow(id, &bytes) {
                        self.tell(id, Command::Send(id, answer));
                    }
                }
                SlowPathMessage::Wanted(name, _) => self.address_wanted(&name),
                SlowPathMessage::Learned(..) => {}
            }
        }
    }

    fn link_changed(&mut self, id: PortId, up: bool) {
        self.bonds.carrier(id, up);
        if up {
            self.address_served(id);
            self.threads.tell(0, Command::Release);
        }
        if let Some((port, _)) = self.named(id) {
            self.server.publish(&Event::Link { port, up });
        }
    }

    fn peer_dropped(&mut self, id: PortId, why: &PortError) {
        let reason = why.to_string();
        let by_itself = matches!(why, PortError::Closed);
        let Some((port, managed)) = self.named(id) else { return };
        // A peer that does the same again and again is told of once.
        let is_new = managed.last_error.as_ref() != Some(&reason);
        managed.last_error = (!by_itself).then(|| reason.clone());
        if interface(&managed.config.device).is_some() {
            managed.reopening.schedule(Instant::now());
            self.waiting.insert(port.clone());
        }
        if !by_itself && is_new {
            eprintln!("microvisor-switch: port {port}: {reason}");
        }
        self.server.publish(&Event::Dropped { port, reason });
        self.peer_gone(id, by_itself);
    }

    fn answer_requests(&mut self) {
        while let Some((request, to)) = self.server.request() {
            let response = match request {
                Request::Show => Ok(Response::Status(Box::new(self.status()))),
                Request::Config => Ok(Response::Config(Box::new(self.config.clone()))),
                Request::Addresses => Ok(Response::Addresses { addresses: self.addresses() }),
                Request::Capture { port, snap } => {
                    self.capture(&port, snap, &to);
                    continue;
                }
                Request::Events => {
                    self.server.subscribe(&to);
                    self.publish_wanted();
                    continue;
                }
                change => self.change(change).map(Response::Changed),
            };
            let response = response.unwrap_or_else(|e: Error| Response::Refused { message: e.to_string() });
            to.answer(response);
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.leave_links(&Config::default());
        let names: Vec<String> = self.ports.keys().cloned().collect();
        for name in names {
            if let Some(port) = self.ports.get(&name) {
                port.peer.clean_up();
            }
        }
    }
}
