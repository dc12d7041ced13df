//! A socket and whom it talks to: what all elements of sockets share.

use crate::devices::receive;
use crate::watch::Watch;
use click::Packet;
use click::args::Args;
use click::packet::Batch;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, recvfrom, send, sendto, sockopt};
use std::io;
use std::os::fd::OwnedFd;

/// Bytes that may wait in the kernel: the arguments `RCVBUF` and `SNDBUF`.
pub struct Buffers([Option<u32>; 2]);

impl Buffers {
    /// Takes the arguments.
    pub fn new(args: &mut Args<'_>) -> Self {
        Self([args.key::<i64>("RCVBUF"), args.key::<i64>("SNDBUF")].map(|n| u32::try_from(n?).ok()))
    }

    /// Has a socket know.
    pub fn set(&self, socket: &OwnedFd) -> Result<(), Errno> {
        if let Some(bytes) = self.0[0] {
            sockopt::set_socket_recv_buffer_size(socket, bytes as usize)?;
        }
        if let Some(bytes) = self.0[1] {
            sockopt::set_socket_send_buffer_size(socket, bytes as usize)?;
        }
        Ok(())
    }
}

/// How much of a packet was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it.
    All,
    /// So many bytes; the rest must wait for room.
    Part(usize),
    /// Nobody is there to send it to.
    Nobody,
}

/// A socket that is open.
pub struct Link {
    /// The socket.
    pub socket: OwnedFd,
    /// Says when something arrives, and when there is room.
    pub watch: Watch,
    /// Where datagrams go; none: where the socket is connected to.
    pub peer: Option<SocketAddrAny>,
    /// The peer is whoever sent the last datagram.
    pub answers: bool,
    /// It is a stream: its end is its end, and packets may be sent in parts.
    pub stream: bool,
}

impl Link {
    /// A socket, which does not wait.
    pub fn new(socket: OwnedFd, stream: bool) -> io::Result<Self> {
        let watch = Watch::new(&socket)?;
        Ok(Self { socket, watch, peer: None, answers: false, stream })
    }

    /// Packets that have arrived, at most `most`; and whether a stream goes on. `allowed` judges a datagram's sender.
    pub fn receive(
        &mut self,
        most: usize,
        room: usize,
        allowed: &dyn Fn(&SocketAddrAny) -> bool,
    ) -> (Batch, bool) {
        let mut batch = Batch::new();
        if !self.watch.is_readable() {
            return (batch, true);
        }
        let (mut open, mut refused) = (true, Vec::new());
        let (socket, stream, answers) = (&self.socket, self.stream, self.answers);
        let peer = &mut self.peer;
        let more = receive(most, room, &mut batch, |buffer| {
            if !open {
                return Err(Errno::WOULDBLOCK.into());
            }
            let (length, _, from) = recvfrom(socket, &mut *buffer, RecvFlags::empty())?;
            open = !stream || length > 0;
            let right = from.as_ref().is_none_or(allowed);
            refused.push(!right || !open);
            if right && answers {
                *peer = from;
            }
            Ok(length)
        });
        let mut refused = refused.into_iter();
        batch.retain_or_else(|_| !refused.next().unwrap_or(false), drop);
        match more {
            Ok(true) => {}
            Ok(false) => self.watch.set_not_readable(),
            // The peer of a datagram was not there; a stream has broken.
            Err(_) => {
                self.watch.set_not_readable();
                open &= !stream;
            }
        }
        (batch, open)
    }

    /// Sends a packet.
    pub fn send(&self, packet: &Packet) -> io::Result<Sent> {
        let sent = match &self.peer {
            Some(peer) => sendto(&self.socket, packet.data(), SendFlags::NOSIGNAL, peer),
            None if self.answers => return Ok(Sent::Nobody),
            None => send(&self.socket, packet.data(), SendFlags::NOSIGNAL),
        };
        match sent {
            Ok(n) if self.stream && n < packet.len() => {
                self.watch.set_not_writable();
                Ok(Sent::Part(n))
            }
            Ok(_) => Ok(Sent::All),
            Err(Errno::WOULDBLOCK | Errno::NOBUFS) => {
                self.watch.set_not_writable();
                Ok(Sent::Part(0))
            }
            Err(Errno::NOTCONN | Errno::DESTADDRREQ) => Ok(Sent::Nobody),
            Err(e) => Err(e.into()),
        }
    }
}

/// Packets that wait for room, and how those are counted that were sent or lost.
#[derive(Default)]
pub struct Outbox {
    waiting: Batch,
    /// Packets sent.
    pub sent: u64,
    /// Packets lost: nobody was there, or the system refused them.
    pub drops: u64,
}

/// Packets that may wait for room; what is pushed beyond is lost.
const WAITING: usize = 1000;

impl Outbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds packets behind those that wait.
    pub fn add(&mut self, mut batch: Batch) {
        let room = WAITING.saturating_sub(self.waiting.len());
        self.waiting.append(batch.take_front(room));
        self.drops += batch.len() as u64;
    }

    /// Loses what waits.
    pub fn lose(&mut self) {
        self.drops += self.waiting.len() as u64;
        self.waiting = Batch::new();
    }

    /// Sends what waits, as far as there is room; whether the connection has broken.
    pub fn flush(&mut self, link: &Link) -> bool {
        while let Some(mut packet) = self.waiting.pop() {
            match link.send(&packet) {
                Ok(Sent::All) => self.sent += 1,
                Ok(Sent::Nobody) => self.drops += 1,
                Ok(Sent::Part(n)) => {
                    packet.pull(n);
                    let mut rest = Batch::one(packet);
                    rest.append(std::mem::take(&mut self.waiting));
                    self.waiting = rest;
                    return false;
                }
                Err(_) => {
                    self.drops += 1;
                    if link.stream {
                        return true;
                    }
                }
            }
        }
        false
    }
}
