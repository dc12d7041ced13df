//! The control socket's connections: lines in, lines out, or raw console bytes.

use super::watch::{Interest, WatchSet};
use crate::control::{LINE_MAXIMUM, RefusalKind, Request, Response};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

/// Connections at a time.
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
    Console(Vec<u8>),
}

struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// It carries raw console bytes.
    console: bool,
}

/// The socket and its connections.
pub struct Server {
    listener: Option<UnixListener>,
    connections: [Option<Connection>; CONNECTIONS],
    /// Slots and connections that are over, open until nobody waits for them any more.
    closed: Vec<(usize, Connection)>,
}

impl Server {
    /// A server on a listening socket, or one that nobody can reach.
    pub fn new(listener: Option<UnixListener>) -> Self {
        Self { listener, connections: Default::default(), closed: Vec::new() }
    }

    /// The socket, to wait on.
    pub fn listener(&self) -> Option<&UnixListener> {
        self.listener.as_ref()
    }

    /// Accepts who waits. One too many is closed at once. `false` if that fails for a while, as with a full table of
    /// descriptors: then the socket stays readable.
    pub fn accept(&mut self) -> bool {
        while let Some(accepted) = self.listener.as_ref().map(UnixListener::accept) {
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(e) => return !listener::is_persistent(&e),
            };
            let Some(slot) = self.connections.iter().position(Option::is_none) else {
                continue;
            };
            if stream.set_nonblocking(true).is_ok() {
                let (input, output) = (Vec::new(), Vec::new());
                self.connections[slot] = Some(Connection { stream, input, output, console: false });
            }
        }
        true
    }

    fn close(&mut self, slot: usize) {
        self.closed.extend(self.connections[slot].take().map(|connection| (slot, connection)));
    }

    /// Has all connections waited for, the one of slot n under the token `first` + n. Returns the slots of those that
    /// are over, which are closed now.
    pub fn watch(&mut self, watch: &mut WatchSet, first: u64) -> Vec<usize> {
        let closed = self.closed.drain(..).map(|(slot, connection)| {
            watch.remove(first + slot as u64);
            drop(connection);
            slot
        });
        let closed = closed.collect();
        for (slot, connection) in self.connections.iter().enumerate() {
            let Some(c) = connection else { continue };
            let interest = if c.output.is_empty() { Interest::Read } else { Interest::ReadWrite };
            // A connection that cannot be waited for is never heard: its other end sees it closed with the instance.
            let _ = watch.set(first + slot as u64, &c.stream, interest);
        }
        closed
    }

    /// Reads what a connection has sent, after writing what waits for it.
    pub fn read(&mut self, slot: usize) -> Vec<Input> {
        self.flush(slot);
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
            return Vec::new();
        };
        let mut inputs = Vec::new();
        let mut chunk = [0; 16384];
        let n = match connection.stream.read(&mut chunk) {
            Ok(n) if n > 0 => n,
            Err(e) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&e.kind()) => return inputs,
            _ => {
                self.close(slot);
                return inputs;
            }
        };
        if connection.console {
            return vec![Input::Console(chunk[..n].to_vec())];
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
            self.close(slot);
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

    /// The instance has ended: those who wait for an answer learn so.
    pub fn end(&mut self) {
        let ended =
            Response::Refused { kind: RefusalKind::Ended, message: "the instance has ended".to_owned() };
        for slot in 0..CONNECTIONS {
            if self.connections[slot].as_ref().is_some_and(|c| !c.console) {
                self.respond(slot, &ended);
            }
            self.close(slot);
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
            self.close(slot);
        }
    }
}
