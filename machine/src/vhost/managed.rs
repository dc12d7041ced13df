//! Keeps a back end for a device whose driver comes and goes: a guest with a kernel of its own finds its devices when it
//! likes, and resets them when it restarts. A thread a device, asleep until its driver or its back end does something.
//!
//! A back end is met before the guest runs, because what it offers is what the driver finds. From then on there is one or
//! there is none, whatever the driver does. It works while the driver can receive: until then a switch keeps what it has
//! for the guest.

use super::VhostError;
use super::endpoint::Endpoint;
use super::negotiation::{Attached, Device, PendingSession, Session};
use super::thread::{Health, Reconnection, start};
use super::watchdog::Watchdog;
use crate::error::Error;
use crate::eventfd::{EventFd, ready};
use crate::memory::GuestPhys;
use crate::vcpu::VcpuState;
use abi::boot::Queue;
use abi::virtqueue::AVAILABLE_INDEX;
use rustix::event::PollFlags;
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Queues of a net device.
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
/// Between two looks for what a guest has transmitted.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long a driver that can receive has until what a switch has kept for it comes: a kernel takes buffers out first, and
/// then makes its addresses its own.
const SETTLE_TIME: Duration = Duration::from_millis(100);

/// The queues that a driver has set up.
#[derive(Clone, Copy, Debug)]
pub struct Rings {
    /// Receive and transmit queue.
    pub queues: [Queue; 2],
    /// Features that the driver has accepted.
    pub features: u64,
}

/// Tells the device's thread when the guest's driver begins and ends.
#[derive(Clone)]
pub struct Driver(Arc<Shared>);

struct Shared {
    target: Mutex<TargetState>,
    /// A target was fulfilled.
    done: Condvar,
    /// To the thread: there is a target.
    changed: EventFd,
}

/// The state that the thread has to bring about.
#[derive(Default)]
struct TargetState {
    /// The driver's rings, while it has any.
    rings: Option<Rings>,
    /// Number of the target, and of the last that was fulfilled.
    number: u64,
    applied: u64,
}

impl Driver {
    /// A handle without a driver.
    pub fn new() -> Result<Self, Error> {
        let shared = Shared { target: Mutex::default(), done: Condvar::new(), changed: EventFd::new()? };
        Ok(Self(Arc::new(shared)))
    }

    fn target(&self) -> MutexGuard<'_, TargetState> {
        self.0.target.lock().expect("no thread panics with the lock")
    }

    /// The driver has begun: attach a back end as soon as there is one.
    pub fn begin(&self, rings: Rings) {
        let mut target = self.target();
        target.rings = Some(rings);
        target.number += 1;
        self.0.changed.signal();
    }

    /// The driver has ended. When this returns, no back end accesses its rings any more. A back end that does not answer is
    /// disconnected after some seconds.
    pub fn end(&self) {
        let mut target = self.target();
        if target.rings.take().is_none() {
            return;
        }
        target.number += 1;
        self.0.changed.signal();
        while target.applied != target.number {
            target = self.0.done.wait(target).expect("no thread panics with the lock");
        }
    }
}

/// A device with the first of its back ends.
pub struct ManagedDevice {
    /// Number of the net device.
    pub number: usize,
    /// Where its back ends come from.
    pub endpoint: Endpoint,
    /// The first.
    pub session: Session,
    /// What they work on, but for the driver's rings.
    pub device: Device,
    /// Tells when the driver has set up rings.
    pub driver: Driver,
    /// Its state, for reports.
    pub health: Arc<Health>,
    /// The I/O thread is told through this that a back end is there.
    pub state: Arc<VcpuState>,
}

/// The connection to a back end.
enum Link {
    /// No back end.
    None,
    /// Connected, without queues.
    Idle(Session),
    /// Attached to the driver's queues.
    Working(Attached),
}

impl ManagedDevice {
    /// Starts the thread. It says on `confined` when its system call filter is in force.
    pub fn start(self, confined: Sender<Result<(), Error>>) -> Result<(), Error> {
        start(confined, move |watchdog| {
            let Self { number, endpoint, session, device, driver, health, state } = self;
            let search = Reconnection::new(number);
            let missed = false;
            let thread = Thread {
                endpoint,
                device,
                driver,
                health,
                state,
                search,
                missed,
                has_driver: false,
                begun: None,
            };
            thread.run(session, watchdog)
        })
    }
}

/// The thread's own.
struct Thread {
    endpoint: Endpoint,
    device: Device,
    driver: Driver,
    health: Arc<Health>,
    state: Arc<VcpuState>,
    search: Reconnection,
    /// It was said that there is no back end.
    missed: bool,
    /// The driver has set up its rings, which are the device's.
    has_driver: bool,
    /// When it was first seen that it can receive.
    begun: Option<Instant>,
}

impl Thread {
    fn run(mut self, first: Session, watchdog: &Watchdog) {
        let driver = self.driver.clone();
        let mut link = Link::Idle(first);
        loop {
            link = self.apply_target(link);
            link = match link {
                Link::None => self.find_back_end(),
                Link::Idle(session) if self.is_up() => self.attach(session, watchdog),
                Link::Idle(session) => self.idle(session, &driver.0.changed, watchdog),
                Link::Working(mut attached) => {
                    let most = self.state.awaits_packet().then_some(POLL_INTERVAL);
                    match attached.wait_closed_or(driver.0.changed.as_fd(), most) {
                        Ok(()) => {
                            self.check_first_packet();
                            Link::Working(attached)
                        }
                        Err(e) => self.set_disconnected(&e),
                    }
                }
            };
        }
    }

    /// Lets a back end rest until its driver is up, or may be.
    fn idle(&mut self, mut session: Session, told: &EventFd, watchdog: &Watchdog) -> Link {
        self.set_connected();
        let kick = &self.device.kicks[RECEIVE];
        let all = [told.as_fd(), kick.as_fd()];
        // One that can receive is looked at by the clock; one that is to come rings.
        let (heard, most) = match (self.has_driver, self.begun) {
            (true, Some(_)) => (1, Some(POLL_INTERVAL)),
            (true, None) => (2, None),
            (false, _) => (1, None),
        };
        match session.wait_closed_or(&all[..heard], most) {
            Ok(()) if most.is_some() => Link::Idle(session),
            Ok(()) => {
                // A former back end may have made it blocking.
                let _ = watchdog.bound(|| (&*kick).read(&mut [0; 8]));
                Link::Idle(session)
            }
            Err(e) => self.set_disconnected(&e),
        }
    }

    /// Whether the driver has made something available to a queue.
    fn has_begun(&self, queue: usize) -> bool {
        let index = GuestPhys(self.device.queues[queue].available.saturating_add(AVAILABLE_INDEX));
        let index = self.device.memory.word16(index).map(|index| index.load(Ordering::Acquire));
        self.has_driver && index.is_ok_and(|index| index != 0)
    }

    /// Whether the driver can receive, and whoever is behind it: before, a switch would believe that packets arrive, and not
    /// keep them.
    fn is_up(&mut self) -> bool {
        if !self.has_begun(RECEIVE) {
            self.begun = None;
            return false;
        }
        let begun = *self.begun.get_or_insert_with(Instant::now);
        self.has_begun(TRANSMIT) || begun.elapsed() >= SETTLE_TIME
    }

    /// Tells of the guest's first packet.
    fn check_first_packet(&self) {
        if self.has_begun(TRANSMIT) {
            self.state.packet_sent();
        }
    }

    /// Does what the driver wants, if it wants something new.
    fn apply_target(&mut self, link: Link) -> Link {
        self.driver.0.changed.clear();
        let TargetState { rings, number, applied } = *self.driver.target();
        if number == applied {
            return link;
        }
        let link = match link {
            Link::Working(attached) => match attached.stop() {
                Ok(session) => Link::Idle(session),
                Err(e) => self.set_disconnected(&e),
            },
            link => link,
        };
        (self.has_driver, self.begun) = (rings.is_some(), None);
        if let Some(Rings { queues, features }) = rings {
            self.device.queues = queues;
            self.device.features = features;
            // It was for other rings.
            self.device.inflight = None;
        }
        self.driver.target().applied = number;
        self.driver.0.done.notify_all();
        link
    }

    /// Looks for a back end once, after a while.
    fn find_back_end(&mut self) -> Link {
        // An error is seen where the driver is heard.
        if let Ok(true) = ready(&self.driver.0.changed, PollFlags::IN, Some(self.search.pause())) {
            return Link::None;
        }
        let stream = match self.endpoint.try_connect() {
            Ok(Some(stream)) => stream,
            Ok(None) | Err(VhostError::Unreachable { .. }) => return Link::None,
            Err(e) => {
                self.search.report_error(&e);
                return Link::None;
            }
        };
        match PendingSession::new(stream).and_then(PendingSession::session) {
            Ok(session) => Link::Idle(session),
            Err(e) => {
                self.search.report_error(&e);
                Link::None
            }
        }
    }

    /// Has a back end begin, or go on from where the last one had come to.
    fn attach(&mut self, session: Session, watchdog: &Watchdog) -> Link {
        self.device.signal(watchdog);
        match self.device.attach(session).and_then(|attaching| attaching.finish()) {
            Ok(attached) => {
                self.set_connected();
                Link::Working(attached)
            }
            Err(e) => {
                self.health.connected.store(false, Ordering::Relaxed);
                self.search.report_error(&e);
                Link::None
            }
        }
    }

    fn set_connected(&mut self) {
        if self.health.connected.swap(true, Ordering::Relaxed) {
            return;
        }
        self.health.back_ends.fetch_add(1, Ordering::Relaxed);
        // The I/O thread may have waited for it to say that the instance is ready.
        self.state.events.signal();
        self.search.succeeded();
        if std::mem::take(&mut self.missed) {
            self.search.say("a back end is at work again");
        }
    }

    fn set_disconnected(&mut self, why: &VhostError) -> Link {
        self.health.connected.store(false, Ordering::Relaxed);
        if !std::mem::replace(&mut self.missed, true) {
            self.search.say(&format!("{why}; waiting for another"));
        }
        Link::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_was_never_there_ends_at_once() {
        let driver = Driver::new().unwrap();
        driver.end();
        assert_eq!(driver.target().number, 0);
    }
}
