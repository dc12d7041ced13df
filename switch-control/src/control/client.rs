//! A connection to a switch.

use super::{Event, Request, Response};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest answer, bytes: enough for the state of the most ports that a switch can have.
const ANSWER_MAXIMUM: usize = 64 << 20;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The socket.
    #[error("control socket: {0}")]
    Io(#[from] std::io::Error),
    /// The answer is malformed.
    #[error("the switch's answer: {0}")]
    Answer(#[from] serde_json::Error),
    /// The connection ended before the answer.
    #[error("the switch ended before it answered")]
    Ended,
    /// The switch refused the request.
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
        Ok(Self { stream: BufReader::new(listener::connect(socket)?) })
    }

    /// Sends a request and waits for the answer. The whole call takes at most `timeout`, even if the other side writes slowly.
    pub fn call(&mut self, request: &Request, timeout: Duration) -> Result<Response, CallError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let answer = listener::request(&mut self.stream, &line, ANSWER_MAXIMUM, timeout)?;
        if answer.is_empty() {
            return Err(CallError::Ended);
        }
        match serde_json::from_slice(&answer)? {
            Response::Refused { message } => Err(CallError::Refused(message)),
            response => Ok(response),
        }
    }

    /// After [`Request::Events`]: waits up to `timeout` for the next event.
    pub fn event(&mut self, timeout: Option<Duration>) -> Result<Event, CallError> {
        self.stream.get_mut().set_read_timeout(timeout)?;
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(CallError::Ended);
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// After [`Request::Capture`]: reads the capture.
    pub fn into_stream(self) -> Result<impl Read, CallError> {
        self.stream.get_ref().set_read_timeout(None)?;
        Ok(self.stream)
    }
}
