use crate::files::reason;
use crate::watch::Watch;
use click::args::Args;
use click::element::{Context, Element};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Bytes of messages that wait for one client; one that does not take them is cut off.
const WAITING: usize = 1 << 20;
/// Most clients at the same time.
const CLIENTS: usize = 64;

/// What was said, for one who passes it on.
type Told = Mutex<Vec<u8>>;

/// All who pass it on.
static LISTENERS: Mutex<Vec<Weak<Told>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells all elements that pass messages on.
pub fn tell(message: &[u8]) {
    let mut all = lock(&LISTENERS);
    all.retain(|listener| listener.strong_count() > 0);
    for listener in all.iter().filter_map(Weak::upgrade) {
        let mut told = lock(&listener);
        if told.len() < WAITING {
            told.extend_from_slice(message);
        }
    }
}

click::element! {
    /// Passes the router's messages on to other programs over a socket.
    ///
    /// # Arguments
    /// `TYPE` (`TCP` or `UNIX`), then `PORT` or `FILENAME`. `GREETING` (true): clients are greeted with the protocol's name.
    /// `CHANNEL`, `QUIET_CHANNEL`, `RETRIES`, `RETRY_WARNINGS` are accepted: there is one channel of messages.
    ChatterSocket "0/0" "a/a"
    keywords ["TYPE", "PORT", "FILENAME", "GREETING", "CHANNEL", "QUIET_CHANNEL", "RETRIES", "RETRY_WARNINGS"]
    {
        address: Address,
        greeting: bool,
        listener: Option<(Listener, Watch)>,
        clients: Vec<Client>,
        told: Arc<Told>,
    }
}

enum Address {
    Tcp(u16),
    Unix(String),
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A client, and what it has not taken yet.
struct Client {
    stream: Stream,
    waiting: VecDeque<u8>,
    watch: Watch,
}

trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}
type Stream = Box<dyn Both + Send>;

impl ChatterSocket {
    fn new(args: &mut Args<'_>) -> Self {
        let kind = args.required::<String>("TYPE");
        let address = match kind.to_ascii_uppercase().as_str() {
            "TCP" => Address::Tcp(args.required("PORT")),
            "UNIX" => Address::Unix(args.required("FILENAME")),
            other => {
                args.error(format!("unknown socket type '{other}'"));
                args.rest();
                Address::Unix(String::new())
            }
        };
        for name in ["CHANNEL", "QUIET_CHANNEL", "RETRIES", "RETRY_WARNINGS"] {
            args.ignored(name);
        }
        let greeting = args.key("GREETING").unwrap_or(true);
        Self { address, greeting, listener: None, clients: Vec::new(), told: Arc::default() }
    }

    fn listen(&self) -> io::Result<(Listener, Watch)> {
        Ok(match &self.address {
            Address::Tcp(port) => {
                let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port))?;
                listener.set_nonblocking(true)?;
                let watch = Watch::new(&listener)?;
                (Listener::Tcp(listener), watch)
            }
            Address::Unix(path) => {
                super::socket::remove_socket(path);
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                let watch = Watch::new(&listener)?;
                (Listener::Unix(listener), watch)
            }
        })
    }

    fn accept(&mut self) {
        let Some((listener, watch)) = &self.listener else { return };
        if !watch.is_readable() {
            return;
        }
        let tcp = |s: TcpStream| -> io::Result<(Stream, Watch)> {
            s.set_nonblocking(true)?;
            let watch = Watch::new(&s)?;
            Ok((Box::new(s), watch))
        };
        let unix = |s: UnixStream| -> io::Result<(Stream, Watch)> {
            s.set_nonblocking(true)?;
            let watch = Watch::new(&s)?;
            Ok((Box::new(s), watch))
        };
        let accepted = match listener {
            Listener::Tcp(l) => l.accept().and_then(|(s, _)| tcp(s)),
            Listener::Unix(l) => l.accept().and_then(|(s, _)| unix(s)),
        };
        match accepted {
            Ok((stream, watch)) if self.clients.len() < CLIENTS => {
                let greeting: &[u8] = if self.greeting { b"Click::ChatterSocket/1.0\r\n" } else { b"" };
                self.clients.push(Client { stream, waiting: greeting.iter().copied().collect(), watch });
            }
            Ok(_) => {}
            Err(_) => watch.set_not_readable(),
        }
    }
}

impl Client {
    /// Sends what it takes; `false`: it is gone.
    fn serve(&mut self) -> bool {
        if self.watch.is_readable() {
            // What clients say means nothing; that they have gone does.
            let mut said = [0; 512];
            match self.stream.read(&mut said) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.watch.set_not_readable(),
                Err(_) => return false,
            }
        }
        while !self.waiting.is_empty() && self.watch.has_room() {
            let (first, _) = self.waiting.as_slices();
            match self.stream.write(first) {
                Ok(0) => return false,
                Ok(n) => drop(self.waiting.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.watch.set_not_writable(),
                Err(_) => return false,
            }
        }
        self.waiting.len() < WAITING
    }
}

impl Element for ChatterSocket {
    fn initialize(&mut self, _: &mut Context<'_>) -> Result<(), String> {
        self.listener = Some(self.listen().map_err(|e| reason(&e))?);
        lock(&LISTENERS).push(Arc::downgrade(&self.told));
        Ok(())
    }

    fn is_poller(&self) -> bool {
        true
    }

    fn run_task(&mut self, _: &mut Context<'_>) -> bool {
        self.accept();
        let told = std::mem::take(&mut *lock(&self.told));
        self.clients.iter_mut().for_each(|client| client.waiting.extend(&told));
        self.clients.retain_mut(Client::serve);
        false
    }
}
