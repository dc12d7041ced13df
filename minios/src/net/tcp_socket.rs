//! TCP sockets of asynchronous programs.

use super::stack::{Inner, NetError, Stack};
use super::tcp::connection::{Connection, Timeouts};
use super::tcp::connections::Admission;
use crate::clock;
use crate::global::Global;
use crate::random;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use smoltcp::wire::IpEndpoint;

/// Where the search for a port of one's own begins: the first is random, then one after the other (RFC 6056 section
/// 3.3.2).
fn next_port() -> u16 {
    static NEXT: Global<Option<u16>> = Global::new(None);
    NEXT.with(|next| {
        let offset = next.unwrap_or_else(|| random::next_u64() as u16);
        *next = Some(offset.wrapping_add(1));
        offset
    })
}

/// What a socket has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketState {
    Nothing,
    /// It waits for a connection to a port.
    Waiting(u16),
    /// A connection, by number.
    Connection(usize),
}

/// A TCP connection, or one to be.
pub struct TcpSocket {
    stack: Stack,
    held: SocketState,
    bytes: usize,
}

impl TcpSocket {
    /// A socket with room for `bytes` in each direction, which are taken from the heap as the connection needs them.
    pub fn new(stack: &Stack, bytes: usize) -> Self {
        Self { stack: stack.clone(), held: SocketState::Nothing, bytes }
    }

    /// Works on the connection, which is then looked at; `None` if there is none.
    fn with<R>(&self, work: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let SocketState::Connection(number) = self.held else { return None };
        self.stack.inner(|inner| {
            let result = inner.inet.tcp.get_mut(number).map(work);
            inner.inet.tcp.touch(number);
            result
        })
    }

    /// Lets go of what it has: a connection goes on to its end by itself.
    fn release(&mut self, abort: bool) {
        let held = core::mem::replace(&mut self.held, SocketState::Nothing);
        self.stack.inner(|inner| match held {
            SocketState::Nothing => {}
            SocketState::Waiting(port) => inner.ports.leave(port),
            SocketState::Connection(number) => inner.abandon(number, abort),
        });
    }

    /// Waits for a connection to a port, or for the one that an earlier call, given up meanwhile, has begun with.
    pub async fn accept(&mut self, port: u16) -> Result<(), NetError> {
        match self.held {
            SocketState::Waiting(known) if known == port => {}
            SocketState::Connection(_) if self.with(|connection| connection.is_open()) == Some(true) => {
                return Ok(());
            }
            _ if port == 0 => return Err(NetError::Address),
            _ => {
                self.release(true);
                self.stack.inner(|inner| inner.ports.wait(port));
                self.held = SocketState::Waiting(port);
            }
        }
        core::future::poll_fn(|context| {
            let bytes = self.bytes;
            let taken = self.stack.inner(|inner| {
                let Inner { inet, ports, .. } = inner;
                let number = ports.take(port, &mut inet.tcp, context.waker())?;
                if let Some(connection) = inet.tcp.get_mut(number) {
                    connection.allow(bytes, bytes);
                }
                Some(number)
            });
            match taken {
                None => Poll::Pending,
                Some(number) => {
                    self.held = SocketState::Connection(number);
                    Poll::Ready(Ok(()))
                }
            }
        })
        .await
    }

    /// Connects.
    pub async fn connect(&mut self, to: impl Into<IpEndpoint>) -> Result<(), NetError> {
        self.release(true);
        let (to, port) = (to.into(), next_port());
        let admission = Admission { receive: self.bytes, transmit: self.bytes };
        let now = clock::now();
        let number = self.stack.inner(|inner| inner.inet.connect(to, port, admission, now));
        self.held = SocketState::Connection(number.ok_or(NetError::Address)?);
        core::future::poll_fn(|context| {
            let open = self.with(|connection| match (connection.is_over(), connection.is_open()) {
                (true, _) => Poll::Ready(Err(NetError::Closed)),
                (_, true) => Poll::Ready(Ok(())),
                _ => {
                    connection.wait_to_read(context.waker());
                    Poll::Pending
                }
            });
            open.unwrap_or(Poll::Ready(Err(NetError::Closed)))
        })
        .await
    }

    /// Waits for the connection until `work` has a result: it may leave a waker instead.
    async fn until<R>(
        &mut self,
        mut work: impl FnMut(&mut Connection, &Waker) -> Poll<Result<R, NetError>>,
    ) -> Result<R, NetError> {
        core::future::poll_fn(|context: &mut Context<'_>| {
            let result = self.with(|connection| work(connection, context.waker()));
            result.unwrap_or(Poll::Ready(Err(NetError::Closed)))
        })
        .await
    }

    /// Reads what has arrived, waiting for something; 0: the peer has closed its direction.
    pub async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, NetError> {
        self.consume(|arrived| {
            let n = arrived.len().min(bytes.len());
            bytes[..n].copy_from_slice(&arrived[..n]);
            n
        })
        .await
    }

    /// Waits for something to arrive and lets `take` look at it where it lies; what `take` says of its length is gone
    /// then. 0: the peer has closed its direction.
    pub async fn consume(&mut self, mut take: impl FnMut(&[u8]) -> usize) -> Result<usize, NetError> {
        self.until(|connection, waker| {
            let taken = connection.consume(clock::now(), |bytes| {
                let n = take(bytes).min(bytes.len());
                (n, n)
            });
            match taken {
                Some(n) => Poll::Ready(Ok(n)),
                None if connection.is_read() => Poll::Ready(Ok(0)),
                None if connection.is_over() => Poll::Ready(Err(NetError::Closed)),
                None => {
                    connection.wait_to_read(waker);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Writes as much as there is room for, waiting for some.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, NetError> {
        self.until(|connection, waker| match connection.write(bytes) {
            0 if !connection.may_write() => Poll::Ready(Err(NetError::Closed)),
            0 if !bytes.is_empty() => {
                connection.wait_to_write(waker);
                Poll::Pending
            }
            n => Poll::Ready(Ok(n)),
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

    /// Waits for room and lets `put` fill it where it lies; so many bytes as `put` says are sent. They hold what was
    /// there before, where `put` writes nothing.
    pub async fn produce(&mut self, mut put: impl FnMut(&mut [u8]) -> usize) -> Result<usize, NetError> {
        self.until(|connection, waker| {
            let written = connection.produce(|room| {
                let n = put(room).min(room.len());
                (n, n)
            });
            match written {
                Some(n) => Poll::Ready(Ok(n)),
                None if !connection.may_write() => Poll::Ready(Err(NetError::Closed)),
                None => {
                    connection.wait_to_write(waker);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Sends small writes at once, without waiting for what was sent before to be acknowledged (RFC 896).
    pub fn set_no_delay(&mut self) {
        self.with(Connection::set_no_delay);
    }

    /// Gives the connection up when the peer has not answered for so long, and asks it in time.
    pub fn set_timeout(&mut self, timeout: Duration) {
        let patience = Timeouts { limit: Some(timeout), keep_alive: Some(timeout / 3) };
        self.with(|connection| connection.set_timeouts(patience));
    }

    /// Who is at the other end, once there is a connection.
    pub fn peer(&self) -> Option<IpEndpoint> {
        self.with(|connection| connection.ends().remote)
    }

    /// How often something was sent again on this connection.
    pub fn retransmissions(&self) -> u64 {
        self.with(|connection| connection.retransmissions()).unwrap_or(0)
    }

    /// Waits until the peer has acknowledged all that was written.
    ///
    /// # Errors
    ///
    /// [`NetError::Closed`]: the connection ended before that.
    pub async fn delivered(&mut self) -> Result<(), NetError> {
        self.until(|connection, waker| match (connection.is_delivered(), connection.is_over()) {
            (true, _) => Poll::Ready(Ok(())),
            (_, true) => Poll::Ready(Err(NetError::Closed)),
            _ => {
                connection.wait_to_write(waker);
                Poll::Pending
            }
        })
        .await
    }

    /// Closes this direction, behind what was written.
    pub fn finish(&mut self) {
        self.with(Connection::close);
    }

    /// Closes this direction and waits until the peer has everything.
    pub async fn close(&mut self) {
        self.finish();
        // One that has ended otherwise has nothing to wait for.
        let _ = self
            .until(|connection, waker| {
                if connection.is_over() || connection.is_end_acknowledged() {
                    return Poll::Ready(Ok(()));
                }
                connection.wait_to_write(waker);
                connection.wait_to_read(waker);
                Poll::Pending
            })
            .await;
    }

    /// Ends the connection at once, so that the socket can be used again.
    pub fn abort(&mut self) {
        self.release(true);
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        self.release(false);
    }
}
