//! Keeps a back end at work for as long as the guest runs: a thread a device, asleep until its back end goes.

use super::VhostError;
use super::endpoint::Endpoint;
use super::negotiation::{Attached, Device, Session, open_session};
use super::watchdog::Watchdog;
use crate::confine::seccomp;
use crate::error::Error;
use crate::report::say;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

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

/// A device that has been negotiated once.
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

impl Port {
    /// Gives the first back end all that it needs. The guest does not run yet.
    pub fn begin(&mut self, session: Session) -> Result<Attached, VhostError> {
        let attached = self.device.attach(session)?;
        self.worked();
        Ok(attached)
    }

    fn worked(&self) {
        self.health.connected.store(true, Ordering::Relaxed);
        self.health.back_ends.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts the thread, which says on `confined` when its system call filter is in force.
    pub fn keep(self, first: Attached, confined: Sender<Result<(), Error>>) -> Result<(), Error> {
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
                    self.run(first, &watchdog);
                }
                Err(e) => drop(confined.send(Err(e))),
            }
        };
        std::thread::Builder::new()
            .name("vhost".into())
            .spawn(work)
            .map(drop)
            .map_err(|source| Error::System { doing: "start a thread", source })
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
            let attached = open_session(stream).and_then(|session| {
                self.device.signal(watchdog);
                self.device.attach(session)
            });
            match attached {
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
        if matches!(e, VhostError::Closed | VhostError::Socket(_)) {
            return;
        }
        let text = format!("the port is down: {e}");
        if *said != text {
            self.say(&text);
            *said = text;
        }
    }
}
