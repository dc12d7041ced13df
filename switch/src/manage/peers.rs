//! Vhost-user front ends: sockets that they connect to, and sockets of theirs that are connected to, again and again while
//! nobody is there.

use super::{Switch, key, poll};
use crate::port::PortId;
use crate::worker::Command;
use polling::{Event as Ready, PollMode, Poller};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// A connection that lasts so long was a good one: after it, the next try comes soon.
const STABLE_CONNECTION: Duration = Duration::from_secs(2);

/// How a port's peer is found.
pub enum Peer {
    /// There is none to be found.
    None,
    /// It connects to us.
    Server {
        /// The socket.
        listener: UnixListener,
        /// Its path, removed with the port.
        path: PathBuf,
        /// Whether one is connected: a second one waits.
        connected: bool,
        /// After one that broke the rules, when the next may come.
        next: Option<Instant>,
        /// How long such a one is kept waiting.
        wait: Duration,
    },
    /// We connect to it.
    Client {
        /// Its socket.
        path: PathBuf,
        /// When to try next; none while connected.
        next: Option<Instant>,
        /// How long to wait after that.
        wait: Duration,
        /// When it was last connected.
        since: Instant,
    },
}

impl Peer {
    /// Makes a socket. One that nobody listens on any more is replaced.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let listener = listener::bind(path)?;
        listener.set_nonblocking(true)?;
        let path = path.to_owned();
        Ok(Peer::Server { listener, path, connected: false, next: None, wait: FIRST_WAIT })
    }

    /// Connects to a socket, as soon as there is one.
    pub fn client(path: PathBuf) -> Self {
        let now = Instant::now();
        Peer::Client { path, next: Some(now), wait: FIRST_WAIT, since: now }
    }

    /// When something is to be tried again.
    pub fn next_attempt(&self) -> Option<Instant> {
        match self {
            Peer::Server { next, .. } | Peer::Client { next, .. } => *next,
            Peer::None => None,
        }
    }

    /// What is waited on.
    fn listener(&self) -> Option<&UnixListener> {
        match self {
            Peer::Server { listener, .. } => Some(listener),
            _ => None,
        }
    }

    /// Waits for front ends from now on.
    pub fn watch(&self, poller: &Poller, port: PortId) -> io::Result<()> {
        match self.listener() {
            Some(l) => {
                let ready = Ready::readable(key::LISTENER + port.index());
                poll::watch(poller, l.as_raw_fd(), ready, PollMode::Oneshot)
            }
            None => Ok(()),
        }
    }

    /// Waits for the next one.
    fn watch_again(&self, poller: &Poller, port: PortId) {
        if let Some(l) = self.listener() {
            let ready = Ready::readable(key::LISTENER + port.index());
            // It is registered.
            let _ = poller.modify_with_mode(l, ready, PollMode::Oneshot);
        }
    }

    /// Waits no longer.
    pub fn unwatch(&self, poller: &Poller) {
        if let Some(l) = self.listener() {
            // It may not be registered yet.
            let _ = poller.delete(l);
        }
    }

    /// Removes the socket.
    pub fn clean_up(&self) {
        if let Peer::Server { path, .. } = self {
            // It may have been removed by others.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Switch {
    /// A front end has connected to a port's socket.
    pub(super) fn front_end_waits(&mut self, id: PortId) {
        let Some((name, managed)) = self.named(id) else { return };
        let Peer::Server { listener, connected, next, wait, .. } = &mut managed.peer else { return };
        if *connected || next.is_some() {
            return;
        }
        let accepted = listener.accept();
        match accepted {
            Ok((stream, _)) => {
                *connected = true;
                self.tell(id, Command::Connected(id, stream));
            }
            // The table of descriptors is full, perhaps: it waits on.
            Err(e) if listener::is_persistent(&e) => {
                *next = Some(Instant::now() + *wait);
                *wait = (*wait * 4).min(LONGEST_WAIT);
                self.waiting.insert(name);
            }
            Err(_) => {
                let poller = self.poller.clone();
                if let Some((_, managed)) = self.named(id) {
                    managed.peer.watch_again(&poller, id);
                }
            }
        }
    }

    /// A port's peer is gone: the next may come, at once if it went by itself, later if it broke the rules.
    pub(super) fn peer_gone(&mut self, id: PortId, by_itself: bool) {
        let poller = self.poller.clone();
        let Some((name, managed)) = self.named(id) else { return };
        match &mut managed.peer {
            Peer::None => {}
            Peer::Server { connected, next, wait, .. } => {
                *connected = false;
                if by_itself {
                    *wait = FIRST_WAIT;
                } else {
                    *next = Some(Instant::now() + *wait);
                    *wait = (*wait * 4).min(LONGEST_WAIT);
                    self.waiting.insert(name);
                    return;
                }
                managed.peer.watch_again(&poller, id);
            }
            Peer::Client { next, wait, since, .. } => {
                if since.elapsed() >= STABLE_CONNECTION {
                    *wait = FIRST_WAIT;
                }
                *next = Some(Instant::now() + *wait);
                *wait = (*wait * 2).min(LONGEST_WAIT);
                self.waiting.insert(name);
            }
        }
    }

    /// Tries what is due.
    pub(super) fn connect_clients(&mut self) {
        let now = Instant::now();
        let mut connected = Vec::new();
        for name in &self.waiting {
            let Some(managed) = self.ports.get_mut(name) else { continue };
            if managed.peer.next_attempt().is_none_or(|at| at > now) {
                continue;
            }
            match &mut managed.peer {
                Peer::None => {}
                Peer::Server { next, .. } => {
                    *next = None;
                    managed.peer.watch_again(&self.poller, managed.id);
                }
                // A listener that does not accept is tried again later.
                Peer::Client { path, next, wait, since } => match listener::try_connect(path) {
                    Ok(stream) => {
                        (*next, *since) = (None, now);
                        connected.push((managed.id, stream));
                    }
                    Err(_) => {
                        *next = Some(now + *wait);
                        *wait = (*wait * 2).min(LONGEST_WAIT);
                    }
                },
            }
        }
        for (id, stream) in connected {
            self.tell(id, Command::Connected(id, stream));
        }
    }
}
