//! One thread for each device over vhost-user: it sleeps until the back end disconnects, and then connects to the next one.

use super::VhostError;
use super::endpoint::Endpoint;
use super::negotiation::{Attached, Attaching, Device, PendingSession, Session};
use super::watchdog::Watchdog;
use crate::confine::seccomp;
use crate::ending::Ending;
use crate::error::Error;
use crate::report::print_error;
use crate::vcpu::VcpuState;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// Pause before the first new attempt; doubled with each, up to [`RETRY_PAUSE_MAXIMUM`].
const RETRY_PAUSE: Duration = Duration::from_millis(1);
/// See [`RETRY_PAUSE`].
const RETRY_PAUSE_MAXIMUM: Duration = Duration::from_millis(50);

/// State of a device, for reports.
#[derive(Debug, Default)]
pub struct Health {
    /// Whether a back end is attached.
    pub connected: AtomicBool,
    /// Number of back ends so far, including the present one.
    pub back_ends: AtomicU64,
}

/// Starts a thread for a device. It reports on `confined` when its system call filter is in force, then runs `work`.
pub(super) fn start(
    confined: Sender<Result<(), Error>>,
    work: impl FnOnce(&Watchdog) + Send + 'static,
) -> Result<(), Error> {
    let confined_work = move || {
        let watchdog = Watchdog::new();
        let entered = watchdog.and_then(|watchdog| {
            let filter = seccomp::vhost()?;
            seccomp::enter(&filter).map(|()| watchdog)
        });
        // Without this thread's word nothing is started.
        match entered {
            Ok(watchdog) => {
                let _ = confined.send(Ok(()));
                work(&watchdog);
            }
            Err(e) => drop(confined.send(Err(e))),
        }
    };
    let thread = std::thread::Builder::new().name("vhost".into()).spawn(confined_work);
    thread.map(drop).map_err(|source| Error::System { doing: "start a thread", source })
}

/// A device whose features are negotiated.
pub struct Port {
    /// Number of the net device.
    pub number: usize,
    /// The endpoint of its back ends.
    pub endpoint: Endpoint,
    /// Queues and memory that back ends are given.
    pub device: Device,
    /// Its state, for reports.
    pub health: Arc<Health>,
    /// Wakes the I/O thread when a back end is attached.
    pub state: Arc<VcpuState>,
}

/// A device with its first back end.
enum FirstBackEnd {
    /// The back end is attached.
    Attached(Port, Attached),
    /// The back end has to connect within this time, while the guest runs already.
    Awaited(Port, Duration),
}

/// The thread of a device that does not exist yet. It confines itself while the device is made.
pub struct DeviceThread(Sender<FirstBackEnd>);

impl DeviceThread {
    /// Starts the thread. It reports on `confined` when its system call filter is in force.
    pub fn start(confined: Sender<Result<(), Error>>) -> Result<Self, Error> {
        let (to, device) = channel::<FirstBackEnd>();
        start(confined, move |watchdog| {
            if let Ok(first) = device.recv() {
                first.run(watchdog);
            }
        })?;
        Ok(Self(to))
    }

    /// Passes the device and its first back end to the thread.
    pub fn serve(&self, port: Port, first: Attached) {
        port.set_connected();
        // A thread that has ended has said why.
        let _ = self.0.send(FirstBackEnd::Attached(port, first));
    }

    /// Passes the device to the thread; its first back end connects while the guest runs. If none connects within `wait`, or it
    /// lacks a feature that the guest was given, the instance ends.
    pub fn serve_when_connected(&self, port: Port, wait: Duration) {
        // As in `keep`.
        let _ = self.0.send(FirstBackEnd::Awaited(port, wait));
    }
}

impl FirstBackEnd {
    /// Keeps a back end at work, for ever.
    fn run(self, watchdog: &Watchdog) {
        let (mut port, wait) = match self {
            Self::Attached(port, first) => return port.run(first, watchdog),
            Self::Awaited(port, wait) => (port, wait),
        };
        match port.connect_first(wait, watchdog) {
            Ok(first) => {
                port.set_connected();
                port.run(first, watchdog);
            }
            Err(e) => port.state.end(Ending::Monitor { message: format!("net device {}: {e}", port.number) }),
        }
    }
}

impl Port {
    /// Gives the first back end all that it needs. The guest does not run yet.
    pub fn attach_first(&mut self, session: Session) -> Result<Attaching, VhostError> {
        self.device.attach(session)
    }

    /// The same for one that comes because the first has ended meanwhile. Called before this thread is confined.
    pub fn attach_next(&mut self, session: Session) -> Result<Attaching, VhostError> {
        let watchdog =
            Watchdog::new().map_err(|e| VhostError::Socket(std::io::Error::other(e.to_string())))?;
        self.device.signal(&watchdog);
        self.device.attach(session)
    }

    /// Waits for the first back end, and gives it all that it needs. One that ends meanwhile is followed by another.
    fn connect_first(&mut self, wait: Duration, watchdog: &Watchdog) -> Result<Attached, VhostError> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let attached =
                self.endpoint.connect(left, &|| None).and_then(|stream| self.attach(stream, watchdog));
            match attached {
                Err(e) if e.is_disconnected() && Instant::now() < deadline => {}
                outcome => return outcome,
            }
        }
    }

    /// Gives a new back end all that it needs, while the guest runs.
    fn attach(&mut self, stream: UnixStream, watchdog: &Watchdog) -> Result<Attached, VhostError> {
        let session = PendingSession::new(stream)?.session()?;
        self.device.signal(watchdog);
        self.device.attach(session)?.finish()
    }

    fn set_connected(&self) {
        self.health.connected.store(true, Ordering::Relaxed);
        self.health.back_ends.fetch_add(1, Ordering::Relaxed);
        // The I/O thread may have waited for it to say that the instance is ready.
        self.state.events.signal();
    }

    fn run(mut self, first: Attached, watchdog: &Watchdog) {
        let (mut attached, mut search) = (first, Reconnection::new(self.number));
        loop {
            let why = attached.wait_closed();
            self.health.connected.store(false, Ordering::Relaxed);
            search.say(&format!("{why}; waiting for another"));
            attached = self.next_back_end(&mut search, watchdog);
            search.say("a back end is at work again");
        }
    }

    /// The next back end that will do.
    fn next_back_end(&mut self, search: &mut Reconnection, watchdog: &Watchdog) -> Attached {
        loop {
            std::thread::sleep(search.pause());
            let stream = match self.endpoint.try_connect() {
                Ok(Some(stream)) => stream,
                Ok(None) | Err(VhostError::Unreachable { .. }) => continue,
                Err(e) => {
                    search.report_error(&e);
                    continue;
                }
            };
            match self.attach(stream, watchdog) {
                Ok(attached) => {
                    self.set_connected();
                    search.succeeded();
                    return attached;
                }
                Err(e) => search.report_error(&e),
            }
        }
    }
}

/// The search for a device's next back end: how often, and what is said of those that will not do.
pub(super) struct Reconnection {
    /// Number of the net device.
    number: usize,
    pause: Duration,
    last_message: String,
}

impl Reconnection {
    pub(super) fn new(number: usize) -> Self {
        Self { number, pause: RETRY_PAUSE, last_message: String::new() }
    }

    /// Until the next attempt.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (2 * pause).min(RETRY_PAUSE_MAXIMUM);
        pause
    }

    /// There is one.
    pub(super) fn succeeded(&mut self) {
        *self = Self::new(self.number);
    }

    /// Says something of the device.
    pub(super) fn say(&self, what: &str) {
        print_error(&format!("net device {}: {what}", self.number));
    }

    /// Says what is wrong with a back end, once for all that are alike.
    pub(super) fn report_error(&mut self, e: &VhostError) {
        // One that ends while it is spoken to is like one that is not there.
        if e.is_disconnected() {
            return;
        }
        let text = format!("the port is down: {e}");
        if self.last_message != text {
            self.say(&text);
            self.last_message = text;
        }
    }
}
