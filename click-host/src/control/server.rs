//! Accepts connections and moves their bytes, without ever waiting.

use super::protocol::{Handlers, Rules, Session};
use crate::files::reason;
use crate::sys;
use crate::watch::Watch;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Bytes read at once.
const CHUNK: usize = 16 << 10;
/// Bytes of answers that may wait for a client before its next command is done.
const WAITING: usize = 1 << 20;
/// How long clients get to take their last answers when the program ends.
const FAREWELL: Duration = Duration::from_millis(200);

enum Listener {
    Tcp(TcpListener),
    /// With the file to remove at the end.
    Unix(UnixListener, String),
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            // Somebody else may have removed it.
            let _ = fs::remove_file(path);
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn transfer(&mut self) -> &mut dyn ReadWrite {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

struct Connection {
    stream: Stream,
    watch: Watch,
    session: Session,
    name: String,
    ended: bool,
}

/// What a server listens on. Two of the same address share it, so that a configuration that takes another's place can
/// begin before that ends.
struct Place {
    listener: Listener,
    watch: Watch,
}

static PLACES: Mutex<BTreeMap<String, Weak<Place>>> = Mutex::new(BTreeMap::new());

/// Listens, and talks to all that connect.
#[derive(Default)]
pub struct Server {
    place: Option<Arc<Place>>,
    connections: Vec<Connection>,
    /// What clients may do.
    pub rules: Rules,
}

fn place(key: String, open: impl FnOnce() -> io::Result<Place>) -> io::Result<Arc<Place>> {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = places.get(&key).and_then(Weak::upgrade) {
        return Ok(place);
    }
    let place = Arc::new(open()?);
    places.insert(key, Arc::downgrade(&place));
    Ok(place)
}

impl Server {
    /// Listens on a TCP port.
    pub fn tcp(address: SocketAddr) -> Result<Self, String> {
        let open = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let watch = Watch::new(&listener)?;
            Ok(Place { listener: Listener::Tcp(listener), watch })
        };
        let place = place(format!("tcp {address}"), open);
        let place = place.map_err(|e| format!("TCP port {}: {}", address.port(), reason(&e)))?;
        Ok(Self { place: Some(place), ..Self::default() })
    }

    /// Listens on a TCP port, or on the next that is free.
    pub fn tcp_or_next(first: SocketAddr) -> Result<Self, String> {
        let mut tried = (first.port()..=u16::MAX).map(|port| Self::tcp((first.ip(), port).into()));
        let mut server = tried.next().unwrap_or_else(|| Err("no port".to_string()));
        while let (Err(_), Some(next)) = (&server, tried.next()) {
            server = next;
        }
        server
    }

    /// Listens on a Unix socket; an old one that nobody listens on any more is replaced.
    pub fn unix(path: &str) -> Result<Self, String> {
        let open = || {
            let listener = listener::bind(path.as_ref())?;
            listener.set_nonblocking(true)?;
            let watch = Watch::new(&listener)?;
            Ok(Place { listener: Listener::Unix(listener, path.to_string()), watch })
        };
        let place = place(format!("unix {path}"), open).map_err(|e| format!("{path}: {}", reason(&e)))?;
        Ok(Self { place: Some(place), ..Self::default() })
    }

    /// Talks over a socket that was left to this process.
    pub fn inherited(number: i32) -> Result<Self, String> {
        let file =
            sys::inherited(number).ok_or_else(|| format!("--socket {number}: the file is not open"))?;
        let mut server = Self::default();
        let added = server.add(Stream::Unix(UnixStream::from(file)), format!("socket {number}"));
        added.map_err(|e| format!("--socket {number}: {}", reason(&e)))?;
        Ok(server)
    }

    /// The port it listens on.
    pub fn port(&self) -> Option<u16> {
        match &self.place.as_ref()?.listener {
            Listener::Tcp(listener) => listener.local_addr().ok().map(|a| a.port()),
            Listener::Unix(..) => None,
        }
    }

    /// Goes on with the connections of another that ends.
    pub fn take_over(&mut self, old: &mut Server) {
        self.connections.append(&mut old.connections);
    }

    fn add(&mut self, stream: Stream, name: String) -> io::Result<()> {
        let watch = match &stream {
            Stream::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                // Answers are short, and clients wait for them.
                stream.set_nodelay(true)?;
                Watch::new(stream)?
            }
            Stream::Unix(stream) => {
                stream.set_nonblocking(true)?;
                Watch::new(stream)?
            }
        };
        self.connections.push(Connection { stream, watch, session: Session::new(), name, ended: false });
        Ok(())
    }

    fn accept(&mut self, handlers: &mut dyn Handlers) {
        let Some(place) = self.place.clone() else { return };
        while place.watch.is_readable() {
            let accepted = match &place.listener {
                Listener::Tcp(l) => {
                    l.accept().map(|(s, a)| (Stream::Tcp(s), a.to_string(), a.ip().is_loopback()))
                }
                Listener::Unix(l, path) => l.accept().map(|(s, _)| (Stream::Unix(s), path.clone(), true)),
            };
            let Ok((stream, name, local)) = accepted else {
                place.watch.set_not_readable();
                return;
            };
            let full = self.rules.most.is_some_and(|most| self.connections.len() >= most);
            if full || (self.rules.localhost && !local) {
                continue;
            }
            if self.rules.verbose {
                handlers.say(&format!("opened connection from {name}"));
            }
            // A connection that breaks at once is gone; the client notices.
            let _ = self.add(stream, name);
        }
    }

    /// Accepts who waits, and does what all ask for.
    pub fn serve(&mut self, handlers: &mut dyn Handlers) {
        self.accept(handlers);
        for connection in &mut self.connections {
            connection.serve(handlers, &self.rules);
        }
        let verbose = self.rules.verbose;
        self.connections.retain(|c| {
            let over = c.is_over();
            if over && verbose {
                handlers.say(&format!("closed connection from {}", c.name));
            }
            !over
        });
    }

    /// Sends what is left to send, for a moment.
    pub fn finish(&mut self) {
        let began = Instant::now();
        while self.connections.iter().any(|c| !c.session.output.is_empty()) && began.elapsed() < FAREWELL {
            self.connections.iter_mut().for_each(Connection::send);
            self.connections.retain(|c| !c.is_over());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Connection {
    fn is_over(&self) -> bool {
        (self.session.closing || self.ended) && self.session.output.is_empty()
    }

    fn serve(&mut self, handlers: &mut dyn Handlers, rules: &Rules) {
        let takes = self.session.output.len() < WAITING;
        let readable = self.watch.is_readable() && !self.ended;
        if takes && (readable || self.session.waits) {
            if readable {
                self.receive();
            }
            self.session.work(handlers, rules, self.ended);
        }
        if !self.session.output.is_empty() {
            self.send();
        }
        // Who does not take answers is not asked for more.
        self.watch.pause(self.ended || self.session.output.len() >= WAITING);
    }

    fn receive(&mut self) {
        let mut bytes = [0; CHUNK];
        match self.stream.transfer().read(&mut bytes) {
            Ok(0) => self.ended = true,
            Ok(n) => self.session.input.extend_from_slice(&bytes[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.watch.set_not_readable(),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.fail(),
        }
    }

    fn send(&mut self) {
        while !self.session.output.is_empty() {
            match self.stream.transfer().write(&self.session.output) {
                Ok(n) => drop(self.session.output.drain(..n)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.watch.set_not_writable();
                    return;
                }
                Err(_) => return self.fail(),
            }
        }
        // Nothing is left: no need to wake up for room.
        let _ = self.watch.has_room();
    }

    fn fail(&mut self) {
        self.ended = true;
        self.session.output.clear();
    }
}
