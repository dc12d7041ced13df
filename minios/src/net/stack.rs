//! smoltcp on a net device, run by the executor: sockets that are waited for.
//!
//! Addresses, prefixes, gateways and MTU come from the boot page. A [`Stack`] is a handle; clones share the stack.
//! What is not wrapped here is reached through [`Stack::with`].

use super::phy::Phy;
use crate::clock;
use crate::executor::{self, Driver};
use crate::global::Global;
use crate::idle::Source;
use crate::random;
use abi::boot::NetDevice;
use alloc::rc::Rc;
use alloc::vec;
use core::cell::RefCell;
use core::task::Poll;
use core::time::Duration;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, IpCidr, IpEndpoint, IpListenEndpoint, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr,
};

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

struct Inner {
    phy: Phy,
    interface: Interface,
    sockets: SocketSet<'static>,
}

/// A TCP/IP stack on one net device.
#[derive(Clone)]
pub struct Stack(Rc<RefCell<Inner>>);

pub(super) fn instant(at: clock::Instant) -> Instant {
    Instant::from_micros((at.0 / 1000) as i64)
}

impl Stack {
    /// Starts a stack on the instance's `index`-th net device; `None` if there is none, or if it is in use.
    pub fn start(index: usize) -> Option<Self> {
        let mut phy = Phy::open(index)?;
        let mut config = Config::new(EthernetAddress(phy.info().mac).into());
        config.random_seed = random::next_u64();
        let mut interface = Interface::new(config, &mut phy, instant(clock::now()));
        configure(&mut interface, phy.info());
        let inner = Inner { phy, interface, sockets: SocketSet::new(vec![]) };
        let stack = Self(Rc::new(RefCell::new(inner)));
        executor::add_driver(stack.clone());
        Some(stack)
    }

    /// Works on smoltcp's own types.
    pub fn with<R>(&self, work: impl FnOnce(&mut Interface, &mut SocketSet<'static>) -> R) -> R {
        let inner = &mut *self.0.borrow_mut();
        work(&mut inner.interface, &mut inner.sockets)
    }

    fn tcp<R>(&self, handle: SocketHandle, work: impl FnOnce(&mut tcp::Socket<'static>) -> R) -> R {
        self.with(|_, sockets| work(sockets.get_mut(handle)))
    }

    fn udp<R>(&self, handle: SocketHandle, work: impl FnOnce(&mut udp::Socket<'static>) -> R) -> R {
        self.with(|_, sockets| work(sockets.get_mut(handle)))
    }
}

/// Gives an interface the device's addresses and routes.
pub(super) fn configure(interface: &mut Interface, info: &NetDevice) {
    let (ipv4, ipv6) = (Ipv4Address::from(info.ipv4), Ipv6Address::from(info.ipv6));
    interface.update_ip_addrs(|addresses| {
        // There is room for two addresses; if there were not, the guest would do without the last.
        if !ipv4.is_unspecified() {
            let _ = addresses.push(IpCidr::Ipv4(Ipv4Cidr::new(ipv4, info.ipv4_prefix.min(32))));
        }
        if !ipv6.is_unspecified() {
            let _ = addresses.push(IpCidr::Ipv6(Ipv6Cidr::new(ipv6, info.ipv6_prefix.min(128))));
        }
    });
    let routes = interface.routes_mut();
    let (gateway4, gateway6) = (Ipv4Address::from(info.ipv4_gateway), Ipv6Address::from(info.ipv6_gateway));
    if !gateway4.is_unspecified() {
        let _ = routes.add_default_ipv4_route(gateway4);
    }
    if !gateway6.is_unspecified() {
        let _ = routes.add_default_ipv6_route(gateway6);
    }
}

impl Source for Stack {
    fn has_work(&self) -> bool {
        self.0.borrow().phy.has_work()
    }

    fn arm(&mut self) {
        self.0.borrow_mut().phy.arm();
    }

    fn disarm(&mut self) {
        self.0.borrow_mut().phy.disarm();
    }
}

impl Driver for Stack {
    fn poll(&mut self, now: clock::Instant) -> bool {
        let inner = &mut *self.0.borrow_mut();
        let result = inner.interface.poll(instant(now), &mut inner.phy, &mut inner.sockets);
        inner.phy.flush();
        result == PollResult::SocketStateChanged
    }

    fn deadline(&mut self, now: clock::Instant) -> Option<clock::Instant> {
        let inner = &mut *self.0.borrow_mut();
        let delay = inner.interface.poll_delay(instant(now), &inner.sockets)?;
        // smoltcp counts in microseconds; one more, or it would be asked just too early.
        Some(now + Duration::from_micros(delay.total_micros() + 1))
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

/// A port of one's own for a new connection: the first is random, then one after the other (RFC 6056 section 3.3.2).
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

/// A TCP connection, or one to be.
pub struct TcpSocket {
    stack: Stack,
    handle: SocketHandle,
}

impl TcpSocket {
    /// A socket with buffers of `bytes` in each direction.
    pub fn new(stack: &Stack, bytes: usize) -> Self {
        let buffer = || tcp::SocketBuffer::new(vec![0; bytes]);
        let handle = stack.with(|_, sockets| sockets.add(tcp::Socket::new(buffer(), buffer())));
        Self { stack: stack.clone(), handle }
    }

    /// Waits for a connection to a port, or for the one that an earlier call, given up meanwhile, has begun with.
    pub async fn accept(&mut self, port: u16) -> Result<(), NetError> {
        let to = IpListenEndpoint::from(port);
        self.stack
            .tcp(self.handle, |socket| if socket.is_active() { Ok(()) } else { socket.listen(to) })
            .map_err(|_| NetError::Address)?;
        self.established().await
    }

    /// Connects.
    pub async fn connect(&mut self, to: impl Into<IpEndpoint>) -> Result<(), NetError> {
        let port = local_port();
        self.stack
            .with(|interface, sockets| {
                sockets.get_mut::<tcp::Socket<'_>>(self.handle).connect(interface.context(), to.into(), port)
            })
            .map_err(|_| NetError::Address)?;
        self.established().await
    }

    async fn established(&mut self) -> Result<(), NetError> {
        core::future::poll_fn(|context| {
            self.stack.tcp(self.handle, |socket| match socket.state() {
                tcp::State::Closed | tcp::State::TimeWait => Poll::Ready(Err(NetError::Closed)),
                tcp::State::Listen | tcp::State::SynSent | tcp::State::SynReceived => {
                    socket.register_send_waker(context.waker());
                    socket.register_recv_waker(context.waker());
                    Poll::Pending
                }
                _ => Poll::Ready(Ok(())),
            })
        })
        .await
    }

    /// Reads what has arrived, waiting for something; 0: the peer has closed its direction.
    pub async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, NetError> {
        core::future::poll_fn(|context| {
            self.stack.tcp(self.handle, |socket| match socket.recv_slice(bytes) {
                Ok(0) => {
                    socket.register_recv_waker(context.waker());
                    Poll::Pending
                }
                Ok(n) => Poll::Ready(Ok(n)),
                Err(tcp::RecvError::Finished) => Poll::Ready(Ok(0)),
                Err(tcp::RecvError::InvalidState) => Poll::Ready(Err(NetError::Closed)),
            })
        })
        .await
    }

    /// Writes as much as there is room for, waiting for some.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, NetError> {
        core::future::poll_fn(|context| {
            self.stack.tcp(self.handle, |socket| match socket.send_slice(bytes) {
                Ok(0) if !bytes.is_empty() => {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
                Ok(n) => Poll::Ready(Ok(n)),
                Err(_) => Poll::Ready(Err(NetError::Closed)),
            })
        })
        .await
    }

    /// Writes all of it.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = self.write(rest).await?;
            rest = &rest[n..];
        }
        Ok(())
    }

    /// Waits for something to arrive and lets `take` look at it where it lies; what `take` says of its length is gone
    /// then. 0: the peer has closed its direction.
    pub async fn consume(&mut self, mut take: impl FnMut(&[u8]) -> usize) -> Result<usize, NetError> {
        core::future::poll_fn(|context| {
            self.stack.tcp(self.handle, |socket| {
                let taken = socket.recv(|bytes| {
                    let n = if bytes.is_empty() { 0 } else { take(bytes).min(bytes.len()) };
                    (n, (n, bytes.is_empty()))
                });
                match taken {
                    Ok((_, true)) => {
                        socket.register_recv_waker(context.waker());
                        Poll::Pending
                    }
                    Ok((n, false)) => Poll::Ready(Ok(n)),
                    Err(tcp::RecvError::Finished) => Poll::Ready(Ok(0)),
                    Err(tcp::RecvError::InvalidState) => Poll::Ready(Err(NetError::Closed)),
                }
            })
        })
        .await
    }

    /// Waits for room and lets `put` fill it where it lies; so many bytes as `put` says are sent. They hold what was
    /// there before, where `put` writes nothing.
    pub async fn produce(&mut self, mut put: impl FnMut(&mut [u8]) -> usize) -> Result<usize, NetError> {
        core::future::poll_fn(|context| {
            self.stack.tcp(self.handle, |socket| {
                let sent = socket.send(|room| {
                    let n = if room.is_empty() { 0 } else { put(room).min(room.len()) };
                    (n, (n, room.is_empty()))
                });
                match sent {
                    Ok((_, true)) => {
                        socket.register_send_waker(context.waker());
                        Poll::Pending
                    }
                    Ok((n, false)) => Poll::Ready(Ok(n)),
                    Err(_) => Poll::Ready(Err(NetError::Closed)),
                }
            })
        })
        .await
    }

    /// Sends small writes at once, without waiting for what was sent before to be acknowledged (RFC 896).
    pub fn set_no_delay(&mut self) {
        self.stack.tcp(self.handle, |socket| socket.set_nagle_enabled(false));
    }

    /// Gives the connection up when the peer has not answered for so long, and asks it in time.
    pub fn set_timeout(&mut self, timeout: Duration) {
        let timeout = smoltcp::time::Duration::from_micros(timeout.as_micros() as u64);
        self.stack.tcp(self.handle, |socket| {
            socket.set_timeout(Some(timeout));
            socket.set_keep_alive(Some(timeout / 3));
        });
    }

    /// Who is at the other end, once there is a connection.
    pub fn peer(&self) -> Option<IpEndpoint> {
        self.stack.tcp(self.handle, |socket| socket.remote_endpoint())
    }

    /// Waits until the peer has acknowledged all that was written.
    ///
    /// # Errors
    ///
    /// [`NetError::Closed`]: the connection ended before that.
    pub async fn delivered(&mut self) -> Result<(), NetError> {
        core::future::poll_fn(|context| {
            self.stack.tcp(self.handle, |socket| match (socket.send_queue(), socket.is_active()) {
                (0, _) => Poll::Ready(Ok(())),
                (_, false) => Poll::Ready(Err(NetError::Closed)),
                _ => {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// Closes this direction, behind what was written. The socket has to stay for the peer to get it.
    pub fn finish(&mut self) {
        self.stack.tcp(self.handle, tcp::Socket::close);
    }

    /// Closes this direction and waits until the peer has everything.
    pub async fn close(&mut self) {
        self.finish();
        core::future::poll_fn(|context| {
            self.stack.tcp(self.handle, |socket| {
                let gone = matches!(
                    socket.state(),
                    tcp::State::Closed | tcp::State::TimeWait | tcp::State::FinWait2
                );
                if gone {
                    return Poll::Ready(());
                }
                socket.register_send_waker(context.waker());
                socket.register_recv_waker(context.waker());
                Poll::Pending
            })
        })
        .await
    }

    /// Ends the connection at once, so that the socket can be used again.
    pub fn abort(&mut self) {
        self.stack.tcp(self.handle, tcp::Socket::abort);
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        self.stack.with(|_, sockets| drop(sockets.remove(self.handle)));
    }
}
