//! Many TCP connections to one port.
//!
//! smoltcp looks for a packet's socket among all of them, and asks all of them for packets to send: fine for ten
//! sockets, not for ten thousand. Here each connection is a set of its own. A packet's connection is found by its
//! addresses, and only connections that a packet, the program or a timer touched are asked for anything.
//!
//! There is no task and no waker either: [`Listener::poll`] says which connections to look at.

use super::phy::{Phy, Received, Transmission};
use super::stack::{configure, instant};
use crate::clock;
use crate::idle::Source;
use crate::random;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::socket::tcp;
use smoltcp::time;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpEndpoint, IpListenEndpoint, IpProtocol,
    Ipv4Packet, Ipv6Packet, TcpPacket,
};

/// Packets taken in before the program has a turn.
const BATCH: usize = 128;
/// A connection that is not established by then is given up.
const HALF_OPEN: time::Duration = time::Duration::from_secs(10);
/// A peer that says nothing is asked whether it is there…
const KEEP_ALIVE: time::Duration = time::Duration::from_secs(300);
/// …and given up if it does not answer.
const GONE: time::Duration = time::Duration::from_secs(360);

/// What a new connection gets.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// Bytes of the receive buffer.
    pub receive: usize,
    /// Bytes of the transmit buffer.
    pub transmit: usize,
}

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ends {
    remote: (IpAddress, u16),
    local: IpAddress,
}

struct Connection {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    ends: Ends,
    /// When it is in [`Listener::timers`].
    timer: Option<time::Instant>,
    /// The program has been told that it is there.
    known: bool,
    /// It is in the list of those to look at.
    listed: bool,
}

/// Connections to one port of one net device, which carries nothing else.
pub struct Listener {
    phy: Phy,
    interface: Interface,
    port: u16,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    by_ends: BTreeMap<Ends, usize>,
    timers: BTreeSet<(time::Instant, usize)>,
    touched: Vec<usize>,
    /// For what belongs to no connection.
    others: SocketSet<'static>,
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

/// A packet that was looked at and is now to be processed.
struct One<'p> {
    packet: Option<(Received<'p>, Transmission<'p>)>,
    capabilities: DeviceCapabilities,
}

impl<'p> Device for One<'p> {
    type RxToken<'a>
        = Received<'p>
    where
        Self: 'a;
    type TxToken<'a>
        = Transmission<'p>
    where
        Self: 'a;

    fn receive(&mut self, _: time::Instant) -> Option<(Received<'p>, Transmission<'p>)> {
        self.packet.take()
    }

    fn transmit(&mut self, _: time::Instant) -> Option<Transmission<'p>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

/// Both ends of a TCP packet to a port, and whether it asks for a connection.
fn classify(frame: &[u8], port: u16) -> Option<(Ends, bool)> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let (from, to, payload) = match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            if packet.next_header() != IpProtocol::Tcp || packet.more_frags() || packet.frag_offset() != 0 {
                return None;
            }
            (IpAddress::from(packet.src_addr()), IpAddress::from(packet.dst_addr()), packet.payload())
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            if packet.next_header() != IpProtocol::Tcp {
                return None;
            }
            (IpAddress::from(packet.src_addr()), IpAddress::from(packet.dst_addr()), packet.payload())
        }
        _ => return None,
    };
    let tcp = TcpPacket::new_checked(payload).ok()?;
    if tcp.dst_port() != port {
        return None;
    }
    Some((Ends { remote: (from, tcp.src_port()), local: to }, tcp.syn() && !tcp.ack()))
}

/// A zeroed buffer, if memory suffices.
fn buffer(bytes: usize) -> Option<tcp::SocketBuffer<'static>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(bytes).ok()?;
    memory.resize(bytes, 0);
    Some(tcp::SocketBuffer::new(memory))
}

impl Listener {
    /// Listens on a port of the instance's `index`-th net device; `None` if there is none, or if it is in use.
    pub fn open(index: usize, port: u16) -> Option<Self> {
        let mut phy = Phy::open(index)?;
        let mut config = Config::new(EthernetAddress(phy.info().mac).into());
        config.random_seed = random::next_u64();
        let mut interface = Interface::new(config, &mut phy, instant(clock::now()));
        configure(&mut interface, phy.info());
        Some(Self {
            phy,
            interface,
            port,
            connections: Vec::new(),
            free: Vec::new(),
            by_ends: BTreeMap::new(),
            timers: BTreeSet::new(),
            touched: Vec::new(),
            others: SocketSet::new(vec![]),
        })
    }

    /// Connections, half-open ones included.
    pub fn len(&self) -> usize {
        self.by_ends.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.by_ends.is_empty()
    }

    /// The socket of a connection.
    pub fn socket(&mut self, number: usize) -> Option<&mut tcp::Socket<'static>> {
        let connection = self.connections.get_mut(number)?.as_mut()?;
        Some(connection.sockets.get_mut(connection.handle))
    }

    /// Takes packets in, and does what is due. Says which connections to look at: each is then to be given to
    /// [`Listener::send`], after the program has put in its answers, so that they carry the acknowledgement. `admit` decides about a new one;
    /// `None` ignores it, as if its packet had been lost.
    pub fn poll(
        &mut self,
        now: clock::Instant,
        mut admit: impl FnMut(usize) -> Option<Admission>,
        mut event: impl FnMut(usize, Event),
    ) -> bool {
        let now = instant(now);
        let mut worked = false;
        for _ in 0..BATCH {
            if !self.take_in(now, &mut admit) {
                break;
            }
            worked = true;
        }
        while let Some(&(due, number)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            if let Some(Some(connection)) = self.connections.get_mut(number) {
                connection.timer = None;
                list(&mut self.touched, connection, number);
                worked = true;
            }
        }
        for number in core::mem::take(&mut self.touched) {
            let Some(Some(connection)) = self.connections.get_mut(number) else { continue };
            connection.listed = false;
            let ends = connection.ends;
            let socket: &mut tcp::Socket<'_> = connection.sockets.get_mut(connection.handle);
            match socket.state() {
                // Nothing is kept of a connection that is over: a late packet of it is answered with a reset. Listening
                // is what is left of one that did not come about.
                tcp::State::Closed | tcp::State::TimeWait | tcp::State::Listen => {
                    let known = connection.known;
                    self.transmit(number, now);
                    self.forget(number);
                    if known {
                        event(number, Event::Closed);
                    }
                    continue;
                }
                tcp::State::SynSent | tcp::State::SynReceived => self.send_at(number, now),
                _ if !connection.known => {
                    connection.known = true;
                    socket.set_timeout(Some(GONE));
                    let remote = IpEndpoint::new(ends.remote.0, ends.remote.1);
                    event(number, Event::Opened(remote, IpEndpoint::new(ends.local, self.port)));
                }
                _ => event(number, Event::Touched),
            }
        }
        worked
    }

    /// Takes one packet in; whether there was one.
    fn take_in(&mut self, now: time::Instant, admit: &mut impl FnMut(usize) -> Option<Admission>) -> bool {
        let capabilities = self.phy.capabilities();
        let Some((received, transmission)) = self.phy.receive(now) else { return false };
        let class = classify(received.bytes(), self.port);
        let mut packet = One { packet: Some((received, transmission)), capabilities };
        let Some((ends, opens)) = class else {
            self.interface.poll_ingress_single(now, &mut packet, &mut self.others);
            if let Some(neighbour) = self.phy.answered() {
                self.touch_those_behind(neighbour);
            }
            return true;
        };
        let number = match self.by_ends.get(&ends) {
            Some(&number) => number,
            None if !opens => {
                // Nobody's: answered with a reset.
                self.interface.poll_ingress_single(now, &mut packet, &mut self.others);
                return true;
            }
            None => {
                let connection = admit(self.by_ends.len()).and_then(|a| new_connection(a, ends, self.port));
                let Some(connection) = connection else { return true };
                let number = self.free.pop().unwrap_or(self.connections.len());
                if number == self.connections.len() {
                    self.connections.push(None);
                }
                self.connections[number] = Some(Box::new(connection));
                self.by_ends.insert(ends, number);
                number
            }
        };
        if let Some(Some(connection)) = self.connections.get_mut(number) {
            self.interface.poll_ingress_single(now, &mut packet, &mut connection.sockets);
            list(&mut self.touched, connection, number);
        }
        true
    }

    /// Connections whose packets may have waited for a neighbour's answer.
    fn touch_those_behind(&mut self, neighbour: IpAddress) {
        let info = self.phy.info();
        let all = match neighbour {
            // Its gateway's answer may be what all others wait for.
            IpAddress::Ipv4(ip) => ip.octets() == info.ipv4_gateway,
            IpAddress::Ipv6(ip) => ip.octets() == info.ipv6_gateway,
        };
        let touched: Vec<usize> = if all {
            self.by_ends.values().copied().collect()
        } else {
            let lowest = match neighbour {
                IpAddress::Ipv4(_) => IpAddress::v4(0, 0, 0, 0),
                IpAddress::Ipv6(_) => IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 0),
            };
            let from = Ends { remote: (neighbour, 0), local: lowest };
            let of_it = self.by_ends.range(from..).take_while(|(ends, _)| ends.remote.0 == neighbour);
            of_it.map(|(_, number)| *number).collect()
        };
        for number in touched {
            if let Some(Some(connection)) = self.connections.get_mut(number) {
                list(&mut self.touched, connection, number);
            }
        }
    }

    /// Sends what a connection has to send.
    pub fn send(&mut self, number: usize, now: clock::Instant) {
        self.send_at(number, instant(now));
    }

    /// Sends, and says in which state the connection is then.
    fn transmit(&mut self, number: usize, now: time::Instant) -> Option<tcp::State> {
        let connection = self.connections.get_mut(number)?.as_mut()?;
        let sockets = &mut connection.sockets;
        while self.interface.poll_egress(now, &mut self.phy, sockets) == PollResult::SocketStateChanged {}
        Some(sockets.get::<tcp::Socket<'_>>(connection.handle).state())
    }

    fn send_at(&mut self, number: usize, now: time::Instant) {
        let Some(state) = self.transmit(number, now) else { return };
        let Some(Some(connection)) = self.connections.get_mut(number) else { return };
        if matches!(state, tcp::State::Closed | tcp::State::TimeWait) {
            // The next round says so.
            return list(&mut self.touched, connection, number);
        }
        let due = self.interface.poll_at(now, &connection.sockets);
        if due != connection.timer {
            if let Some(old) = connection.timer {
                self.timers.remove(&(old, number));
            }
            if let Some(due) = due {
                self.timers.insert((due, number));
            }
            connection.timer = due;
        }
    }

    fn forget(&mut self, number: usize) {
        let Some(connection) = self.connections.get_mut(number).and_then(Option::take) else { return };
        self.by_ends.remove(&connection.ends);
        if let Some(due) = connection.timer {
            self.timers.remove(&(due, number));
        }
        self.free.push(number);
    }

    /// Closes every connection, as a kernel does for a process that ends: peers need not wait for a guest that is gone.
    pub fn close(&mut self, now: clock::Instant) {
        for number in 0..self.connections.len() {
            if let Some(socket) = self.socket(number) {
                socket.close();
                self.send(number, now);
            }
        }
        self.flush();
    }

    /// Shows the device what was sent. Belongs at the end of every round.
    pub fn flush(&mut self) {
        self.phy.flush();
    }

    /// When [`Listener::poll`] has something to do even if nothing arrives.
    pub fn deadline(&self) -> Option<clock::Instant> {
        let (due, _) = self.timers.first()?;
        // smoltcp counts in microseconds; one more, or it would be asked just too early.
        Some(clock::Instant(0) + Duration::from_micros(due.total_micros().max(0) as u64 + 1))
    }
}

/// Puts a connection on the list of those to look at.
fn list(touched: &mut Vec<usize>, connection: &mut Connection, number: usize) {
    if !core::mem::replace(&mut connection.listed, true) {
        touched.push(number);
    }
}

fn new_connection(admission: Admission, ends: Ends, port: u16) -> Option<Connection> {
    let mut socket = tcp::Socket::new(buffer(admission.receive)?, buffer(admission.transmit)?);
    socket.set_nagle_enabled(false);
    // The program answers before anything is sent, and what it says carries the acknowledgement.
    socket.set_ack_delay(None);
    socket.set_timeout(Some(HALF_OPEN));
    // Set on an open connection, it would ask at once.
    socket.set_keep_alive(Some(KEEP_ALIVE));
    socket.listen(IpListenEndpoint { addr: Some(ends.local), port }).ok()?;
    let mut sockets = SocketSet::new(Vec::with_capacity(1));
    let handle = sockets.add(socket);
    Some(Connection { sockets, handle, ends, timer: None, known: false, listed: false })
}

impl Source for Listener {
    fn has_work(&self) -> bool {
        !self.touched.is_empty() || self.phy.has_work()
    }

    fn arm(&mut self) {
        self.phy.arm();
    }

    fn disarm(&mut self) {
        self.phy.disarm();
    }
}
