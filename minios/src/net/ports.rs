//! Ports at which programs wait for connections.

use super::tcp::connections::Connections;
use alloc::vec::Vec;
use core::task::Waker;

/// Connections of a port that nobody has taken yet, beyond those that somebody waits for.
const BACKLOG: usize = 16;

struct Port {
    port: u16,
    /// Sockets that wait for a connection.
    waiting: usize,
    /// Connections for them, the oldest first.
    ready: Vec<usize>,
    wakers: Vec<Waker>,
}

/// The ports.
#[derive(Default)]
pub(super) struct Ports(Vec<Port>);

impl Ports {
    fn port(&mut self, port: u16) -> Option<&mut Port> {
        self.0.iter_mut().find(|known| known.port == port)
    }

    /// A socket begins to wait at a port.
    pub fn wait(&mut self, port: u16) {
        match self.port(port) {
            Some(known) => known.waiting += 1,
            None => {
                self.0.push(Port { port, waiting: 1, ready: Vec::with_capacity(BACKLOG), wakers: Vec::new() })
            }
        }
    }

    /// A socket waits no more.
    pub fn leave(&mut self, port: u16) {
        if let Some(known) = self.port(port) {
            known.waiting = known.waiting.saturating_sub(1);
        }
    }

    /// Whether somebody waits at a port.
    pub fn is_open(&self, port: u16) -> bool {
        self.0.iter().any(|known| known.port == port && known.waiting > 0)
    }

    /// A connection for who has waited longest; whether there is room for it.
    pub fn offer(&mut self, port: u16, number: usize) -> bool {
        let Some(known) = self.port(port) else { return false };
        if known.ready.len() >= BACKLOG + known.waiting || known.ready.try_reserve(1).is_err() {
            return false;
        }
        known.ready.push(number);
        known.wakers.drain(..).for_each(Waker::wake);
        true
    }

    /// The next connection of a port, for a socket that then waits no more; it leaves `waker` if there is none.
    pub fn take(&mut self, port: u16, tcp: &mut Connections, waker: &Waker) -> Option<usize> {
        let known = self.port(port)?;
        while !known.ready.is_empty() {
            let number = known.ready.remove(0);
            // What is over with all of its data unread is of use to nobody.
            match tcp.get(number) {
                Some(connection) if !connection.is_over() || connection.readable() > 0 => {
                    known.waiting = known.waiting.saturating_sub(1);
                    return Some(number);
                }
                _ => tcp.remove(number),
            }
        }
        if !known.wakers.iter().any(|other| other.will_wake(waker)) {
            known.wakers.push(waker.clone());
        }
        None
    }
}
