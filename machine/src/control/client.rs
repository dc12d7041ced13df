//! The other end of the control socket.

use super::{Request, Response};
use std::io::{BufRead, BufReader, Write};
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
}

/// A connection to an instance.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to an instance's control socket.
    pub fn connect(socket: &Path) -> Result<Self, CallError> {
        let stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks, and waits for the answer no longer than `timeout`.
    pub fn call(&mut self, request: &Request, timeout: Duration) -> Result<Response, CallError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let stream = self.stream.get_mut();
        stream.set_read_timeout(Some(timeout))?;
        stream.write_all(&line)?;
        let mut answer = String::new();
        if self.stream.read_line(&mut answer)? == 0 {
            return Err(CallError::Ended);
        }
        Ok(serde_json::from_str(&answer)?)
    }

    /// After [`Request::Console`] was granted: the connection, and console bytes that came with the answer.
    pub fn into_console(self) -> (Vec<u8>, UnixStream) {
        let early = self.stream.buffer().to_vec();
        (early, self.stream.into_inner())
    }
}
