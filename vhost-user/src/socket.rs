//! Messages over a Unix stream socket, with the descriptors that come with them.
#![allow(unsafe_code)]

use crate::message::{
    DESCRIPTORS_MAXIMUM, HEADER_BYTES, Malformed, MessageHeader, NEED_REPLY, REPLY, VERSION,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A received message.
#[derive(Debug)]
pub struct Message {
    /// Number of the request.
    pub code: u32,
    /// Version and flags.
    pub flags: u32,
    /// The bytes after the header.
    pub payload: Vec<u8>,
    /// Descriptors that came with the message.
    pub descriptors: Vec<OwnedFd>,
}

impl Message {
    /// Whether the sender wants an acknowledgement ([`NEED_REPLY`](crate::message::NEED_REPLY)).
    pub fn needs_reply(&self) -> bool {
        self.flags & NEED_REPLY != 0
    }
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer is gone.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer does not speak the protocol.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// This process cannot have the descriptors that came: its table is full.
    #[error("no room for the descriptors of a message: too many open files")]
    TableFull,
    /// The socket failed. On sending, `WouldBlock` means that the peer does not read.
    #[error("vhost-user socket: {0}")]
    Socket(#[from] io::Error),
}

/// A connection. Receiving never waits longer than the socket does: a nonblocking one gives `None`, one with a
/// timeout gives `None` when it has passed.
pub struct Connection {
    stream: UnixStream,
    header: [u8; HEADER_BYTES],
    received: usize,
    payload: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection {
    /// A connection over a socket.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, header: [0; HEADER_BYTES], received: 0, payload: Vec::new(), descriptors: Vec::new() }
    }

    /// The socket, to set its timeouts.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Whether a part of a message is there, and the rest is not.
    pub fn is_unfinished(&self) -> bool {
        self.received > 0
    }

    /// The next message; `None` if it is not all there yet.
    pub fn receive(&mut self) -> Result<Option<Message>, Error> {
        while self.received < HEADER_BYTES {
            let have = self.received;
            match receive(&self.stream, &mut self.header[have..], &mut self.descriptors)? {
                Some(n) => self.received += n,
                None => return Ok(None),
            }
        }
        let header = MessageHeader::parse(&self.header)?;
        let wanted = header.length as usize;
        while self.payload.len() < wanted {
            let have = self.payload.len();
            let mut chunk = [0; crate::message::PAYLOAD_MAXIMUM];
            match receive(&self.stream, &mut chunk[..wanted - have], &mut self.descriptors)? {
                Some(n) => self.payload.extend_from_slice(&chunk[..n]),
                None => return Ok(None),
            }
        }
        self.received = 0;
        Ok(Some(Message {
            code: header.code,
            flags: header.flags,
            payload: std::mem::take(&mut self.payload),
            descriptors: std::mem::take(&mut self.descriptors),
        }))
    }

    /// Sends a request.
    pub fn send(
        &self,
        code: u32,
        payload: &[u8],
        descriptors: &[BorrowedFd<'_>],
        need_reply: bool,
    ) -> Result<(), Error> {
        let flags = VERSION | if need_reply { NEED_REPLY } else { 0 };
        send(&self.stream, MessageHeader { code, flags, length: payload.len() as u32 }, payload, descriptors)
    }

    /// Answers a request.
    pub fn reply(&self, code: u32, payload: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let header = MessageHeader { code, flags: VERSION | REPLY, length: payload.len() as u32 };
        send(&self.stream, header, payload, descriptors)
    }
}

/// Room for the control message that carries the descriptors.
#[repr(align(8))]
struct Control([u8; 64]);

// `CMSG_SPACE` of the most descriptors: header 16 bytes, 4 bytes each.
const _: () = assert!(16 + 4 * DESCRIPTORS_MAXIMUM <= 64);

/// Reads some bytes; `None` if there are none now.
fn receive(
    stream: &UnixStream,
    to: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<Option<usize>, Error> {
    let mut control = Control([0; 64]);
    let mut vector = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: to.len() };
    // SAFETY: an all-zero `msghdr` is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: the message points at buffers that live through the call.
    let n = unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    if n < 0 {
        let e = io::Error::last_os_error();
        return match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(e.into()),
        };
    }
    // SAFETY: `message` is as the kernel left it; the walk stays in the control buffer by its own lengths.
    let mut entry = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !entry.is_null() {
        // SAFETY: the kernel wrote a whole header here.
        let header = unsafe { *entry };
        if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: computes an offset within the entry.
            let data = unsafe { libc::CMSG_DATA(entry) };
            let bytes = header.cmsg_len - (data as usize - entry as usize);
            for i in 0..bytes / 4 {
                // SAFETY: the kernel wrote this many descriptors, which nobody else owns.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(data.cast::<i32>().add(i).read_unaligned()) });
            }
        }
        // SAFETY: as for the first.
        entry = unsafe { libc::CMSG_NXTHDR(&raw const message, entry) };
    }
    if n == 0 {
        return Err(Error::Closed);
    }
    // At once: a message that never completes could bring some with each byte.
    if descriptors.len() > DESCRIPTORS_MAXIMUM {
        return Err(Malformed::TooManyDescriptors(std::mem::take(descriptors).len()).into());
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(Error::TableFull);
    }
    Ok(Some(n as usize))
}

fn send(
    stream: &UnixStream,
    header: MessageHeader,
    payload: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Error> {
    let bytes = [&header.emit()[..], payload].concat();
    let mut control = Control([0; 64]);
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: an all-zero `msghdr` is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    if !descriptors.is_empty() {
        assert!(descriptors.len() <= DESCRIPTORS_MAXIMUM, "no request has more descriptors");
        let length = 4 * descriptors.len();
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: computes lengths.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(length as u32) } as usize;
        // SAFETY: the control buffer has room for the entry (asserted) and is aligned.
        unsafe {
            let entry = libc::CMSG_FIRSTHDR(&raw const message);
            (*entry).cmsg_level = libc::SOL_SOCKET;
            (*entry).cmsg_type = libc::SCM_RIGHTS;
            (*entry).cmsg_len = libc::CMSG_LEN(length as u32) as usize;
            for (i, fd) in descriptors.iter().enumerate() {
                libc::CMSG_DATA(entry).cast::<i32>().add(i).write_unaligned(fd.as_raw_fd());
            }
        }
    }
    // SAFETY: the message points at buffers that live through the call.
    let n = unsafe { libc::sendmsg(stream.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    if n < 0 {
        return Err(io::Error::last_os_error().into());
    }
    if n as usize != bytes.len() {
        // Messages are far shorter than any socket's buffer: one that takes a part is full of unread answers.
        return Err(io::Error::from(io::ErrorKind::WouldBlock).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Request, RingEvent};
    use std::io::Write;

    fn pair() -> (Connection, Connection) {
        let (a, b) = UnixStream::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        (Connection::new(a), Connection::new(b))
    }

    #[test]
    fn a_request_crosses_with_its_descriptor() {
        let (front, mut back) = pair();
        let request = Request::SetRingKick(RingEvent { index: 1, no_descriptor: false });
        let stdin = io::stdin();
        front.send(request.code(), &request.emit(), &[stdin.as_fd()], true).unwrap();
        let message = back.receive().unwrap().unwrap();
        assert!(message.needs_reply());
        let parsed = Request::parse(message.code, &message.payload, message.descriptors.len());
        assert_eq!(parsed, Ok(request));
    }

    #[test]
    fn a_message_may_come_in_pieces() {
        let (mut front, mut back) = pair();
        let bytes =
            [&MessageHeader { code: 2, flags: VERSION, length: 8 }.emit()[..], &7u64.to_ne_bytes()].concat();
        for (i, byte) in bytes.iter().enumerate() {
            assert!(back.receive().unwrap().is_none(), "{i}");
            front.stream.write_all(&[*byte]).unwrap();
        }
        assert_eq!(back.receive().unwrap().unwrap().payload, 7u64.to_ne_bytes());
    }

    #[test]
    fn a_message_that_never_completes_cannot_bring_many_descriptors() {
        let (front, mut back) = pair();
        let stdin = io::stdin();
        let some = [stdin.as_fd(); DESCRIPTORS_MAXIMUM];
        // The first announces a payload; the others are taken for parts of it.
        let header = MessageHeader { code: 1, flags: VERSION, length: 200 };
        send(&front.stream, header, &[], &some).unwrap();
        assert!(back.receive().unwrap().is_none());
        send(&front.stream, header, &[], &some).unwrap();
        let outcome = back.receive().map(drop);
        assert!(matches!(outcome, Err(Error::Malformed(Malformed::TooManyDescriptors(_)))), "{outcome:?}");
        assert!(back.descriptors.len() <= DESCRIPTORS_MAXIMUM);
    }

    #[test]
    fn a_closed_peer_is_noticed() {
        let (front, mut back) = pair();
        drop(front);
        assert!(matches!(back.receive(), Err(Error::Closed)));
    }

    #[test]
    fn a_peer_that_does_not_read_is_noticed() {
        let (_front, back) = pair();
        let full = (0..1_000_000).find_map(|_| back.reply(1, &[0; 8], &[]).err());
        assert!(matches!(full, Some(Error::Socket(e)) if e.kind() == io::ErrorKind::WouldBlock));
    }
}
