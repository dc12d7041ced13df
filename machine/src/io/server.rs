//! The control socket's connections: lines in, lines out, or raw console bytes.

use crate::control::{LINE_MAXIMUM, RefusalKind, Request, Response};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use vmm_sys_util::epoll::EventSet;

/// Connections at a time; more wait to be accepted until one closes.
const CONNECTIONS: usize = 16;
/// Bytes kept for a connection that does not read; then it is closed.
const OUTPUT_MAXIMUM: usize = LINE_MAXIMUM;

/// What came in.
pub enum Input {
    /// A request.
    Request(Request),
    /// A line that is none, and why.
    Malformed(String),
    /// Console input.
    Typed(Vec<u8>),
    /// The connection is gone.
    Closed,
}

struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    console: bool,
    /// What epoll was last told to wait for.
    waits_to_write: bool,
}

/// The socket and its connections.
pub struct Server {
    listener: Option<UnixListener>,
    connections: [Option<Connection>; CONNECTIONS],
}

impl Server {
    /// A server on a listening socket, or one that nobody can reach.
    pub fn new(listener: Option<UnixListener>) -> Self {
        Self { listener, connections: Default::default() }
    }

    /// The socket, to wait on.
    pub fn listener(&self) -> Option<&UnixListener> {
        self.listener.as_ref()
    }

    /// Accepts who waits: slots and descriptors of the new connections. One too many is closed at once.
    pub fn accept(&mut self) -> Vec<(usize, RawFd)> {
        let mut new = Vec::new();
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
            let Some(slot) = self.connections.iter().position(Option::is_none) else {
                continue;
            };
            if stream.set_nonblocking(true).is_ok() {
                new.push((slot, stream.as_raw_fd()));
                let (input, output) = (Vec::new(), Vec::new());
                let connection = Connection { stream, input, output, console: false, waits_to_write: false };
                self.connections[slot] = Some(connection);
            }
        }
        new
    }

    /// Reads what a connection has sent, after writing what waits for it.
    pub fn read(&mut self, slot: usize) -> Vec<Input> {
        self.flush(slot);
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
            return vec![Input::Closed];
        };
        let mut inputs = Vec::new();
        let mut chunk = [0; 16384];
        let n = match connection.stream.read(&mut chunk) {
            Ok(n) if n > 0 => n,
            Err(e) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&e.kind()) => return inputs,
            _ => {
                self.connections[slot] = None;
                return vec![Input::Closed];
            }
        };
        if connection.console {
            return vec![Input::Typed(chunk[..n].to_vec())];
        }
        connection.input.extend(&chunk[..n]);
        while let Some(end) = connection.input.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = connection.input.drain(..=end).collect();
            inputs.push(match serde_json::from_slice(&line) {
                Ok(request) => Input::Request(request),
                Err(e) => Input::Malformed(format!("not a request: {e}")),
            });
        }
        if connection.input.len() > LINE_MAXIMUM {
            self.connections[slot] = None;
            inputs.push(Input::Closed);
        }
        inputs
    }

    /// Answers a connection, if it is still there.
    pub fn respond(&mut self, slot: usize, response: &Response) {
        let mut line = serde_json::to_vec(response).unwrap_or_default();
        line.push(b'\n');
        self.send(slot, &line);
    }

    /// Turns a connection into a console, beginning with what was said before.
    pub fn attach(&mut self, slot: usize, history: &[u8]) {
        if let Some(connection) = &mut self.connections[slot] {
            connection.console = true;
        }
        self.send(slot, history);
    }

    /// Console output, for all who attached.
    pub fn broadcast(&mut self, bytes: &[u8]) {
        for slot in 0..CONNECTIONS {
            if self.connections[slot].as_ref().is_some_and(|c| c.console) {
                self.send(slot, bytes);
            }
        }
    }

    /// Connections whose wish to write has changed, with what to wait for now.
    pub fn changed(&mut self) -> Vec<(usize, RawFd, EventSet)> {
        let mut changed = Vec::new();
        for (slot, connection) in self.connections.iter_mut().enumerate() {
            let Some(c) = connection else { continue };
            let wants = !c.output.is_empty();
            if std::mem::replace(&mut c.waits_to_write, wants) != wants {
                let events = if wants { EventSet::IN | EventSet::OUT } else { EventSet::IN };
                changed.push((slot, c.stream.as_raw_fd(), events));
            }
        }
        changed
    }

    /// The instance has ended: those who wait for an answer learn so.
    pub fn end(&mut self) {
        let ended =
            Response::Refused { kind: RefusalKind::Ended, message: "the instance has ended".to_owned() };
        for slot in 0..CONNECTIONS {
            if self.connections[slot].as_ref().is_some_and(|c| !c.console) {
                self.respond(slot, &ended);
            }
            self.connections[slot] = None;
        }
    }

    fn send(&mut self, slot: usize, bytes: &[u8]) {
        if let Some(connection) = &mut self.connections[slot] {
            connection.output.extend(bytes);
            self.flush(slot);
        }
    }

    fn flush(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { return };
        while !connection.output.is_empty() {
            match connection.stream.write(&connection.output) {
                Ok(n) => drop(connection.output.drain(..n)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    connection.output.clear();
                    break;
                }
            }
        }
        if connection.output.len() > OUTPUT_MAXIMUM {
            self.connections[slot] = None;
        }
    }
}
