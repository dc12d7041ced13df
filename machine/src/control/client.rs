//! The other end of the control socket.

use super::{LINE_MAXIMUM, Request, Response};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Why a call to an instance failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The socket.
    #[error("control socket: {0}")]
    Io(#[from] std::io::Error),
    /// The answer makes no sense.
    #[error("the monitor's answer: {0}")]
    Answer(#[from] serde_json::Error),
    /// The connection ended before the answer.
    #[error("the instance ended before it answered")]
    Ended,
    /// The answer has no end.
    #[error("the monitor's answer has more than {LINE_MAXIMUM} bytes")]
    TooLong,
}

/// A connection to an instance.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to an instance's control socket.
    pub fn connect(socket: &Path) -> Result<Self, CallError> {
        Ok(Self { stream: BufReader::new(UnixStream::connect(socket)?) })
    }

    /// Asks, and waits for the answer. All of it takes no longer than `timeout`, however slowly the other side writes.
    pub fn call(&mut self, request: &Request, timeout: Duration) -> Result<Response, CallError> {
        let deadline = Instant::now() + timeout;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let mut rest = &line[..];
        while !rest.is_empty() {
            let stream = self.stream.get_mut();
            stream.set_write_timeout(Some(left(deadline)?))?;
            let n = stream.write(rest)?;
            rest = &rest[n..];
        }
        let mut answer = Vec::new();
        while answer.last() != Some(&b'\n') {
            self.stream.get_mut().set_read_timeout(Some(left(deadline)?))?;
            let available = self.stream.fill_buf()?;
            if available.is_empty() {
                break;
            }
            let end = available.iter().position(|&b| b == b'\n').map_or(available.len(), |at| at + 1);
            answer.extend_from_slice(&available[..end]);
            self.stream.consume(end);
            if answer.len() > LINE_MAXIMUM {
                return Err(CallError::TooLong);
            }
        }
        if answer.is_empty() {
            return Err(CallError::Ended);
        }
        Ok(serde_json::from_slice(&answer)?)
    }

    /// After [`Request::Console`] was granted: the connection, and console bytes that came with the answer.
    pub fn into_console(self) -> (Vec<u8>, UnixStream) {
        let early = self.stream.buffer().to_vec();
        (early, self.stream.into_inner())
    }
}

/// The time until a deadline.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client, and what its other side does with the connection.
    fn client(other: impl FnOnce(UnixStream) + Send + 'static) -> Client {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || other(theirs));
        Client { stream: BufReader::new(ours) }
    }

    #[test]
    fn an_answer_that_comes_a_byte_at_a_time_is_not_waited_for_longer() {
        let mut client = client(|mut stream| {
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let begun = Instant::now();
        let outcome = client.call(&Request::Inspect, Duration::from_millis(200));
        assert!(matches!(outcome, Err(CallError::Io(_))), "{outcome:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn an_answer_without_an_end_is_refused() {
        let mut client = client(|mut stream| while stream.write_all(&[b' '; 65536]).is_ok() {});
        let outcome = client.call(&Request::Inspect, Duration::from_secs(60));
        assert!(matches!(outcome, Err(CallError::TooLong)), "{outcome:?}");
    }
}
