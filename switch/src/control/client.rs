//! A connection to a switch.

use super::{Event, Request, Response};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The socket.
    #[error("control socket: {0}")]
    Io(#[from] std::io::Error),
    /// The answer makes no sense.
    #[error("the switch's answer: {0}")]
    Answer(#[from] serde_json::Error),
    /// The connection ended before the answer.
    #[error("the switch ended before it answered")]
    Ended,
    /// It was refused.
    #[error("{0}")]
    Refused(String),
}

/// A connection.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects.
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
        match serde_json::from_str(&answer)? {
            Response::Refused { message } => Err(CallError::Refused(message)),
            response => Ok(response),
        }
    }

    /// After [`Request::Events`]: the next one; waits for it no longer than `timeout`.
    pub fn event(&mut self, timeout: Option<Duration>) -> Result<Event, CallError> {
        self.stream.get_mut().set_read_timeout(timeout)?;
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(CallError::Ended);
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// After [`Request::Capture`]: what comes.
    pub fn into_stream(self) -> Result<impl Read, CallError> {
        self.stream.get_ref().set_read_timeout(None)?;
        Ok(self.stream)
    }
}
