//! Many TCP connections to one port.
//!
//! There is no task and no waker: [`Listener::poll`] says which connections to look at. Only those that a packet, the
//! program or a timer touched cost anything.

use super::inet::Inet;
use super::tcp::connection::{Connection, Timeouts};
use super::tcp::connections::AcceptDecision;
use crate::clock;
use crate::idle::Source;
use core::time::Duration;
use smoltcp::wire::IpEndpoint;

pub use super::tcp::connections::Admission;

/// A peer that says nothing is asked whether it is there, and given up if it does not answer.
const TIMEOUTS: Timeouts =
    Timeouts { limit: Some(Duration::from_secs(360)), keep_alive: Some(Duration::from_secs(300)) };

/// Connections to one port of one net device, which carries nothing else.
pub struct Listener {
    inet: Inet,
    port: u16,
}

/// Why a connection is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is new, from there to here.
    Opened(IpEndpoint, IpEndpoint),
    /// Something has arrived, or there is room to send.
    Touched,
    /// It is over. Its number will be another's.
    Closed,
}

impl Listener {
    /// Listens on a port of the instance's `index`-th net device; `None` if there is none, or if it is in use.
    pub fn open(index: usize, port: u16) -> Option<Self> {
        Some(Self { inet: Inet::open(index)?, port })
    }

    /// A connection.
    pub fn connection(&mut self, number: usize) -> Option<&mut Connection> {
        self.inet.tcp.get_mut(number)
    }

    /// Takes packets in, and does what is due. Says which connections to look at: each is then to be given to
    /// [`Listener::send`], after the program has put in its answers, so that they carry the acknowledgement. `admit`
    /// decides about a new one, given how many are open; `None` ignores it, as if its packet had been lost.
    pub fn poll(
        &mut self,
        now: clock::Instant,
        mut admit: impl FnMut(usize) -> Option<Admission>,
        mut event: impl FnMut(usize, Event),
    ) -> bool {
        let port = self.port;
        let mut worked = self.inet.receive(now, |asked, open| match asked == port {
            true => admit(open).map_or(AcceptDecision::Ignored, AcceptDecision::Admitted),
            false => AcceptDecision::Refused,
        });
        worked |= self.inet.tcp.expire(now);
        worked |= self.inet.tcp.has_touched();
        while let Some(number) = self.inet.tcp.next_touched() {
            let Some(connection) = self.inet.tcp.get_mut(number) else { continue };
            if connection.is_over() {
                let known = connection.attached;
                self.inet.transmit(number, true, now);
                self.inet.tcp.remove(number);
                if known {
                    event(number, Event::Closed);
                }
            } else if !connection.is_open() {
                self.inet.transmit(number, true, now);
            } else if connection.attached {
                event(number, Event::Touched);
            } else if !connection.reserve() {
                connection.abort();
                self.inet.transmit(number, true, now);
                self.inet.tcp.remove(number);
            } else {
                connection.attached = true;
                connection.set_no_delay();
                connection.set_timeouts(TIMEOUTS);
                let ends = connection.ends();
                event(number, Event::Opened(ends.remote, ends.local));
            }
        }
        self.inet.poll_others(now);
        worked
    }

    /// Sends what a connection has to send.
    pub fn send(&mut self, number: usize, now: clock::Instant) {
        self.inet.transmit(number, true, now);
        if self.inet.tcp.get(number).is_some_and(Connection::is_over) {
            // The next round says so.
            self.inet.tcp.touch(number);
        }
    }

    /// Closes every connection, as a kernel does for a process that ends: peers need not wait for a guest that is gone.
    pub fn close(&mut self, now: clock::Instant) {
        for number in self.inet.tcp.numbers() {
            if let Some(connection) = self.inet.tcp.get_mut(number) {
                connection.close();
                self.inet.transmit(number, true, now);
            }
        }
        self.flush();
    }

    /// Shows the device what was sent. Belongs at the end of every round.
    pub fn flush(&mut self) {
        self.inet.phy.flush();
    }

    /// When [`Listener::poll`] has something to do even if nothing arrives.
    pub fn deadline(&mut self, now: clock::Instant) -> Option<clock::Instant> {
        self.inet.deadline(now)
    }
}

impl Source for Listener {
    fn has_work(&self) -> bool {
        self.inet.tcp.has_touched() || self.inet.phy.has_work()
    }

    fn arm(&mut self) {
        self.inet.phy.arm();
    }

    fn disarm(&mut self) {
        self.inet.phy.disarm();
    }
}
