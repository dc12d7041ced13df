//! The other end of the control socket.

use super::{LINE_MAXIMUM, Request, Response};
use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

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
        Ok(Self { stream: BufReader::new(listener::connect(socket)?) })
    }

    /// Asks, and waits for the answer. All of it takes no longer than `timeout`, however slowly the other side writes.
    pub fn call(&mut self, request: &Request, timeout: Duration) -> Result<Response, CallError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let answer = match listener::request(&mut self.stream, &line, LINE_MAXIMUM, timeout) {
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => return Err(CallError::TooLong),
            outcome => outcome?,
        };
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
