//! TCP/IP on a net device, run by the executor: sockets that are waited for.
//!
//! Addresses, prefixes, gateways and MTU come from the boot page. A [`Stack`] is a handle; clones share the stack.
//! What of smoltcp is not wrapped here is reached through [`Stack::with`].

use super::inet::Inet;
use super::ports::Ports;
use super::tcp::connections::{AcceptDecision, Admission};
use crate::clock;
use crate::executor::{self, Driver};
use crate::global::Global;
use crate::idle::Source;
use crate::random;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use core::cell::RefCell;
use core::task::Poll;
use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::udp;
use smoltcp::wire::IpEndpoint;

pub use super::tcp_socket::TcpSocket;

/// What a connection may keep in each direction before a socket takes it, bytes.
const UNACCEPTED_BYTES: usize = 64 << 10;
/// Connections that go on to their end without a socket; the oldest gives way.
const ABANDONED: usize = 64;

/// Why a socket cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// The address or port will not do, or is in use.
    Address,
    /// The connection is closed, or was never there.
    Closed,
    /// More than one datagram takes.
    TooLong,
}

impl core::fmt::Display for NetError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Address => "the address or port will not do",
            Self::Closed => "the connection is closed",
            Self::TooLong => "the datagram is too long",
        })
    }
}

impl core::error::Error for NetError {}

pub(super) struct Inner {
    pub inet: Inet,
    pub ports: Ports,
    /// Connections that no socket has any more, the oldest first; some may be over.
    abandoned: VecDeque<usize>,
}

impl Inner {
    /// No socket has a connection any more.
    pub fn abandon(&mut self, number: usize, abort: bool) {
        let Some(connection) = self.inet.tcp.get_mut(number) else { return };
        connection.abandon(abort);
        self.inet.tcp.touch(number);
        if self.abandoned.len() >= ABANDONED
            && let Some(oldest) = self.abandoned.pop_front()
        {
            if let Some(connection) = self.inet.tcp.get_mut(oldest) {
                connection.abort();
            }
            self.inet.tcp.touch(oldest);
        }
        self.abandoned.push_back(number);
    }

    /// Sends what connections have to send that were touched, and forgets those that are over and nobody's.
    fn send(&mut self, now: clock::Instant) {
        while let Some(number) = self.inet.tcp.next_touched() {
            self.inet.transmit(number, true, now);
            let Some(connection) = self.inet.tcp.get(number) else { continue };
            if connection.is_over() && (connection.is_abandoned() || !connection.attached) {
                self.inet.tcp.remove(number);
                self.abandoned.retain(|&other| other != number);
            }
        }
    }

    /// Looks at connections that something has come for: new ones are offered to who waits for one, and data that can be
    /// sent is. Acknowledgements wait until programs have had their turn.
    fn serve(&mut self, now: clock::Instant) {
        for place in 0.. {
            let Some(number) = self.inet.tcp.touched(place) else { return };
            let Some(connection) = self.inet.tcp.get_mut(number) else { continue };
            if connection.is_open() && !core::mem::replace(&mut connection.attached, true) {
                let port = connection.ends().local.port;
                if !self.ports.offer(port, number) {
                    self.abandon(number, true);
                }
            } else if connection.has_data() {
                self.inet.transmit(number, false, now);
            }
        }
    }
}

/// A TCP/IP stack on one net device.
#[derive(Clone)]
pub struct Stack(Rc<RefCell<Inner>>);

impl Stack {
    /// Starts a stack on the instance's `index`-th net device; `None` if there is none, or if it is in use.
    pub fn start(index: usize) -> Option<Self> {
        let inner = Inner {
            inet: Inet::open(index)?,
            ports: Ports::default(),
            abandoned: VecDeque::with_capacity(ABANDONED + 1),
        };
        let stack = Self(Rc::new(RefCell::new(inner)));
        executor::add_driver(stack.clone());
        Some(stack)
    }

    pub(super) fn inner<R>(&self, work: impl FnOnce(&mut Inner) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }

    /// Works on smoltcp's own types.
    pub fn with<R>(&self, work: impl FnOnce(&mut Interface, &mut SocketSet<'static>) -> R) -> R {
        self.inner(|inner| {
            inner.inet.smoltcp_due = true;
            work(&mut inner.inet.interface, &mut inner.inet.sockets)
        })
    }

    fn udp<R>(&self, handle: SocketHandle, work: impl FnOnce(&mut udp::Socket<'static>) -> R) -> R {
        self.with(|_, sockets| work(sockets.get_mut(handle)))
    }
}

impl Source for Stack {
    fn has_work(&self) -> bool {
        let inner = self.0.borrow();
        inner.inet.smoltcp_due || inner.inet.tcp.has_touched() || inner.inet.phy.has_work()
    }

    fn arm(&mut self) {
        self.0.borrow_mut().inet.phy.arm();
    }

    fn disarm(&mut self) {
        self.0.borrow_mut().inet.phy.disarm();
    }
}

impl Driver for Stack {
    fn poll(&mut self, now: clock::Instant) -> bool {
        let inner = &mut *self.0.borrow_mut();
        let mut worked = inner.inet.tcp.has_touched();
        inner.send(now);
        let Inner { inet, ports, .. } = inner;
        let admission = Admission { receive: UNACCEPTED_BYTES, transmit: UNACCEPTED_BYTES };
        worked |= inet.receive(now, |port, _| match ports.is_open(port) {
            true => AcceptDecision::Admitted(admission),
            false => AcceptDecision::Refused,
        });
        worked |= inet.tcp.expire(now);
        inner.serve(now);
        inner.inet.poll_others(now);
        inner.inet.phy.flush();
        worked
    }

    fn deadline(&mut self, now: clock::Instant) -> Option<clock::Instant> {
        self.0.borrow_mut().inet.deadline(now)
    }
}

/// A UDP socket bound to a port.
pub struct UdpSocket {
    stack: Stack,
    handle: SocketHandle,
}

impl UdpSocket {
    /// Binds to a port, with room for `bytes` of datagrams in each direction.
    pub fn bind(stack: &Stack, port: u16, bytes: usize) -> Result<Self, NetError> {
        Self::bind_deep(stack, port, bytes, 64)
    }

    /// Binds to a port of its own.
    pub fn bind_any(stack: &Stack, bytes: usize, datagrams: usize) -> Result<Self, NetError> {
        Self::bind_deep(stack, local_port(), bytes, datagrams)
    }

    /// Binds to a port, with room for `bytes` of at most `datagrams` datagrams in each direction.
    pub fn bind_deep(stack: &Stack, port: u16, bytes: usize, datagrams: usize) -> Result<Self, NetError> {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; datagrams], vec![0; bytes]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(port).map_err(|_| NetError::Address)?;
        let handle = stack.with(|_, sockets| sockets.add(socket));
        Ok(Self { stack: stack.clone(), handle })
    }

    /// Waits for a datagram; what does not fit into `bytes` is lost.
    pub async fn receive(&mut self, bytes: &mut [u8]) -> (usize, IpEndpoint) {
        core::future::poll_fn(|context| {
            self.stack.udp(self.handle, |socket| match socket.recv() {
                Ok((datagram, from)) => {
                    let n = datagram.len().min(bytes.len());
                    bytes[..n].copy_from_slice(&datagram[..n]);
                    Poll::Ready((n, from.endpoint))
                }
                Err(_) => {
                    socket.register_recv_waker(context.waker());
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// Sends a datagram, waiting for room.
    pub async fn send(&mut self, bytes: &[u8], to: IpEndpoint) -> Result<(), NetError> {
        core::future::poll_fn(|context| {
            self.stack.udp(self.handle, |socket| {
                if bytes.len() > socket.payload_send_capacity() {
                    return Poll::Ready(Err(NetError::TooLong));
                }
                match socket.send_slice(bytes, to) {
                    Ok(()) => Poll::Ready(Ok(())),
                    Err(udp::SendError::BufferFull) => {
                        socket.register_send_waker(context.waker());
                        Poll::Pending
                    }
                    Err(udp::SendError::Unaddressable) => Poll::Ready(Err(NetError::Address)),
                }
            })
        })
        .await
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.stack.with(|_, sockets| drop(sockets.remove(self.handle)));
    }
}

/// A port of one's own for datagrams: the first is random, then one after the other (RFC 6056 section 3.3.2).
fn local_port() -> u16 {
    const FIRST: u16 = 49_152;
    const COUNT: u16 = 16_384;
    static NEXT: Global<Option<u16>> = Global::new(None);
    NEXT.with(|next| {
        let offset = next.unwrap_or_else(|| (random::next_u64() % u64::from(COUNT)) as u16);
        *next = Some((offset + 1) % COUNT);
        FIRST + offset
    })
}
