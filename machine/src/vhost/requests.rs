//! Requests and their replies on one connection, none of which may take longer than its deadline.

use super::VhostError;
use crate::eventfd::{ready, timespec};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use vhost_user::message::{REPLY, Request};
use vhost_user::socket::{Connection, Message};

/// Sends requests to a back end and waits for their replies.
pub struct Requester {
    connection: Connection,
    deadline: Instant,
}

impl Requester {
    /// On a connection; everything has to be over within `timeout`.
    pub fn new(stream: UnixStream, timeout: Duration) -> Result<Self, VhostError> {
        stream.set_nonblocking(true).map_err(VhostError::Socket)?;
        let connection = Connection::new(stream);
        Ok(Self { connection, deadline: Instant::now() + timeout })
    }

    /// Gives what follows `timeout` from now on.
    pub fn extend(&mut self, timeout: Duration) {
        self.deadline = Instant::now() + timeout;
    }

    /// Sends a request, and waits for nothing: requests follow each other without a pause. A back end that cannot do what
    /// it is told hangs up, which the next answer shows.
    pub fn send(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), VhostError> {
        Ok(self.connection.send(request.code(), &request.emit(), fds, false)?)
    }

    /// Sends a request that the back end acknowledges, if it can (`VHOST_USER_PROTOCOL_F_REPLY_ACK`).
    pub fn send_acknowledged(&mut self, request: &Request) -> Result<(), VhostError> {
        Ok(self.connection.send(request.code(), &request.emit(), &[], true)?)
    }

    /// Sends a request; its reply.
    pub fn request(&mut self, name: &'static str, request: &Request) -> Result<Message, VhostError> {
        self.send(request, &[])?;
        self.answer(name, request)
    }

    /// The reply to a request, which is a 64-bit number.
    pub fn answer_u64(&mut self, name: &'static str, request: &Request) -> Result<u64, VhostError> {
        let message = self.answer(name, request)?;
        match message.payload.first_chunk() {
            Some(word) if message.payload.len() == 8 => Ok(u64::from_ne_bytes(*word)),
            _ => Err(VhostError::UnexpectedAnswer(name)),
        }
    }

    /// The acknowledgement of a request: with it, all before have been taken.
    pub fn acknowledgement(&mut self, name: &'static str, request: &Request) -> Result<(), VhostError> {
        match self.answer_u64(name, request)? {
            0 => Ok(()),
            _ => Err(VhostError::Refused(name)),
        }
    }

    fn answer(&mut self, name: &'static str, request: &Request) -> Result<Message, VhostError> {
        loop {
            // Takes what is there, of one message at most, and never waits.
            if let Some(message) = self.connection.receive()? {
                let fits = message.code == request.code() && message.flags & REPLY != 0;
                return if fits { Ok(message) } else { Err(VhostError::UnexpectedAnswer(name)) };
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(VhostError::NoAnswer(name));
            }
            self.wait(Some(left))?;
        }
    }

    /// Waits for bytes, or for so long. An interrupted wait is one that looks at its deadline again.
    fn wait(&self, timeout: Option<Duration>) -> Result<(), VhostError> {
        match ready(&self.connection, PollFlags::IN, timeout) {
            Err(e) if e.kind() != std::io::ErrorKind::Interrupted => Err(VhostError::Socket(e)),
            _ => Ok(()),
        }
    }

    /// Waits until the connection ends, or until one of these can be read or so much time is over: `Ok`. There is nothing
    /// that a back end has to say by itself.
    pub fn wait_closed(&mut self, told: &[BorrowedFd<'_>], most: Option<Duration>) -> Result<(), VhostError> {
        let most = most.map(timespec);
        loop {
            if self.connection.receive()?.is_some() {
                return Err(VhostError::UnexpectedAnswer("nothing"));
            }
            let all = [self.connection.as_fd()].into_iter().chain(told.iter().copied());
            let mut polls: Vec<_> = all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            match poll(&mut polls, most.as_ref()) {
                Ok(0) => return Ok(()),
                Ok(_) if polls[1..].iter().all(|poll| poll.revents().is_empty()) => {}
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(VhostError::Socket(e.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::thread::spawn;
    use vhost_user::message::{MessageHeader, RingState, VERSION};

    const SOON: Duration = Duration::from_millis(300);

    /// A front end whose peer does something.
    fn against(peer: impl FnOnce(UnixStream) + Send + 'static) -> Requester {
        let (front, back) = UnixStream::pair().unwrap();
        spawn(move || peer(back));
        Requester::new(front, SOON).unwrap()
    }

    fn message(code: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
        [&MessageHeader { code, flags, length: payload.len() as u32 }.emit()[..], payload].concat()
    }

    fn features(requester: &mut Requester) -> Result<u64, VhostError> {
        requester.send(&Request::GetFeatures, &[])?;
        requester.answer_u64("features", &Request::GetFeatures)
    }

    fn asked(bytes: Vec<u8>) -> Result<u64, VhostError> {
        let mut requester = against(move |mut s| {
            s.write_all(&bytes).unwrap();
            std::thread::sleep(2 * SOON);
        });
        features(&mut requester)
    }

    #[test]
    fn an_answer_is_a_word() {
        assert_eq!(asked(message(1, VERSION | REPLY, &7u64.to_ne_bytes())).unwrap(), 7);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in [
            message(1, VERSION, &[0; 8]),
            message(2, VERSION | REPLY, &[0; 8]),
            message(1, VERSION | REPLY, &[0; 4]),
            message(1, VERSION | REPLY, &[0; 16]),
        ] {
            assert!(matches!(asked(bytes), Err(VhostError::UnexpectedAnswer(_))));
        }
        assert!(matches!(asked(message(1, 2 | REPLY, &[0; 8])), Err(VhostError::Malformed(_))));
        assert!(matches!(asked(vec![0xff; 100]), Err(VhostError::Malformed(_))));
    }

    #[test]
    fn a_peer_that_trickles_is_given_up_in_time() {
        let mut requester = against(|mut s| {
            // A byte each 20 ms, of a message of 12 + 8 bytes.
            for byte in message(1, VERSION | REPLY, &[0; 8]) {
                if s.write_all(&[byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        let begun = Instant::now();
        let outcome = features(&mut requester);
        assert!(matches!(outcome, Err(VhostError::NoAnswer(_))), "{outcome:?}");
        assert!(begun.elapsed() < SOON + Duration::from_millis(150), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_silent_peer_is_given_up_and_a_gone_one_noticed() {
        assert!(matches!(asked(vec![]), Err(VhostError::NoAnswer("features"))));
        assert!(matches!(asked(vec![1, 0, 0]), Err(VhostError::NoAnswer("features"))));
        let gone = features(&mut against(drop));
        assert!(matches!(gone, Err(VhostError::Closed | VhostError::Socket(_))), "{gone:?}");
    }

    #[test]
    fn an_acknowledged_request_can_be_refused() {
        let request = Request::SetRingSize(RingState { index: 0, value: 8 });
        for (word, granted) in [(0u64, true), (1, false)] {
            let mut requester = against(move |mut s| {
                s.write_all(&message(8, VERSION | REPLY, &word.to_ne_bytes())).unwrap();
                std::thread::sleep(SOON);
            });
            requester.send_acknowledged(&request).unwrap();
            assert_eq!(requester.acknowledgement("the ring's size", &request).is_ok(), granted);
        }
    }
}
