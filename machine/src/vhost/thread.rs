//! Keeps a back end at work for as long as the guest runs: a thread a device, asleep until its back end goes.

use super::VhostError;
use super::endpoint::Endpoint;
use super::negotiation::{Attached, Attaching, Device, Greeting, Session};
use super::watchdog::Watchdog;
use crate::confine::seccomp;
use crate::ending::Ending;
use crate::error::Error;
use crate::report::say;
use crate::vcpu::VcpuState;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// Before the first new attempt; doubled with each, up to [`PAUSE_MOST`].
const PAUSE: Duration = Duration::from_millis(1);
/// See [`PAUSE`].
const PAUSE_MOST: Duration = Duration::from_millis(50);

/// How a device is doing, for whoever asks.
#[derive(Debug, Default)]
pub struct Health {
    /// A back end is at work.
    pub connected: AtomicBool,
    /// How many have been, the present one included.
    pub back_ends: AtomicU64,
}

/// A device whose features are settled.
pub struct Port {
    /// Number of the net device.
    pub number: usize,
    /// Where its back ends come from.
    pub endpoint: Endpoint,
    /// What they work on.
    pub device: Device,
    /// What is told of it.
    pub health: Arc<Health>,
}

/// A device with the first of its back ends.
enum First {
    /// It is at work.
    Attached(Port, Attached),
    /// It is still to come, in so long at the most, while the guest runs already.
    Awaited(Port, Duration, Arc<VcpuState>),
}

/// The thread of a device that is not known yet: it confines itself while the device is made.
pub struct Keeper(Sender<First>);

impl Keeper {
    /// Starts the thread. It says on `confined` when its system call filter is in force.
    pub fn start(confined: Sender<Result<(), Error>>) -> Result<Self, Error> {
        let (to, device) = channel::<First>();
        let work = move || {
            let watchdog = Watchdog::new();
            let entered = watchdog.and_then(|watchdog| {
                let filter = seccomp::vhost()?;
                seccomp::enter(&filter).map(|()| watchdog)
            });
            // Without this thread's word nothing is started.
            match entered {
                Ok(watchdog) => {
                    let _ = confined.send(Ok(()));
                    if let Ok(first) = device.recv() {
                        first.keep(&watchdog);
                    }
                }
                Err(e) => drop(confined.send(Err(e))),
            }
        };
        std::thread::Builder::new()
            .name("vhost".into())
            .spawn(work)
            .map(|_| Self(to))
            .map_err(|source| Error::System { doing: "start a thread", source })
    }

    /// Gives it its device, with the first back end.
    pub fn keep(&self, port: Port, first: Attached) {
        port.worked();
        // A thread that has ended has said why.
        let _ = self.0.send(First::Attached(port, first));
    }

    /// Gives it its device, whose first back end comes while the guest runs. If none has come after `wait`, or one that
    /// offers less than the guest was given, the instance ends.
    pub fn await_first(&self, port: Port, wait: Duration, state: Arc<VcpuState>) {
        // As in `keep`.
        let _ = self.0.send(First::Awaited(port, wait, state));
    }
}

impl First {
    /// Keeps a back end at work, for ever.
    fn keep(self, watchdog: &Watchdog) {
        let (mut port, wait, state) = match self {
            Self::Attached(port, first) => return port.run(first, watchdog),
            Self::Awaited(port, wait, state) => (port, wait, state),
        };
        match port.meet_first(wait, watchdog) {
            Ok(first) => {
                port.worked();
                // The I/O thread may have waited for it to say that the instance is ready.
                state.events.signal();
                port.run(first, watchdog);
            }
            Err(e) => state.end(Ending::Monitor { message: format!("net device {}: {e}", port.number) }),
        }
    }
}

impl Port {
    /// Gives the first back end all that it needs. The guest does not run yet.
    pub fn begin(&mut self, session: Session) -> Result<Attaching, VhostError> {
        self.device.attach(session)
    }

    /// The same for one that comes because the first has ended meanwhile. Called before this thread is confined.
    pub fn begin_again(&mut self, session: Session) -> Result<Attaching, VhostError> {
        let watchdog =
            Watchdog::new().map_err(|e| VhostError::Socket(std::io::Error::other(e.to_string())))?;
        self.device.signal(&watchdog);
        self.device.attach(session)
    }

    /// Waits for the first back end, and gives it all that it needs. One that ends meanwhile is followed by another.
    fn meet_first(&mut self, wait: Duration, watchdog: &Watchdog) -> Result<Attached, VhostError> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let attached =
                self.endpoint.connect(left, &|| None).and_then(|stream| self.attach(stream, watchdog));
            match attached {
                Err(e) if e.is_gone() && Instant::now() < deadline => {}
                outcome => return outcome,
            }
        }
    }

    /// Gives a new back end all that it needs, while the guest runs.
    fn attach(&mut self, stream: UnixStream, watchdog: &Watchdog) -> Result<Attached, VhostError> {
        let session = Greeting::new(stream)?.session()?;
        self.device.signal(watchdog);
        self.device.attach(session)?.finish()
    }

    fn worked(&self) {
        self.health.connected.store(true, Ordering::Relaxed);
        self.health.back_ends.fetch_add(1, Ordering::Relaxed);
    }

    fn run(mut self, first: Attached, watchdog: &Watchdog) {
        let mut attached = first;
        loop {
            let why = attached.until_gone();
            self.health.connected.store(false, Ordering::Relaxed);
            self.say(&format!("{why}; waiting for another"));
            attached = self.next_back_end(watchdog);
            self.say("a back end is at work again");
        }
    }

    fn say(&self, what: &str) {
        say(&format!("net device {}: {what}", self.number));
    }

    /// The next back end that will do.
    fn next_back_end(&mut self, watchdog: &Watchdog) -> Attached {
        let mut pause = PAUSE;
        let mut said = String::new();
        loop {
            std::thread::sleep(pause);
            pause = (2 * pause).min(PAUSE_MOST);
            let stream = match self.endpoint.try_connect() {
                Ok(Some(stream)) => stream,
                Ok(None) | Err(VhostError::Unreachable { .. }) => continue,
                Err(e) => {
                    self.complain(&mut said, &e);
                    continue;
                }
            };
            match self.attach(stream, watchdog) {
                Ok(attached) => {
                    self.worked();
                    return attached;
                }
                Err(e) => self.complain(&mut said, &e),
            }
        }
    }

    /// Says what is wrong with a back end, once for all that are alike.
    fn complain(&self, said: &mut String, e: &VhostError) {
        // One that ends while it is spoken to is like one that is not there.
        if e.is_gone() {
            return;
        }
        let text = format!("the port is down: {e}");
        if *said != text {
            self.say(&text);
            *said = text;
        }
    }
}
