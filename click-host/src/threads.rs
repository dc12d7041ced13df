//! The threads that a router runs on: the caller's, and others that run the other parts of it.

use crate::files::reason;
use crate::host::ProcessHost;
use crate::output;
use crate::watch::{Until, Watch, number_thread, wait};
use click::threads::Waker;
use click::{Progress, Router};
use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Rounds of the router between two looks at signals, control connections and files.
const ROUNDS: usize = 64;

/// Has the calling thread run on one processor.
pub fn run_on(processor: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(processor);
    Ok(sched_setaffinity(None, &only)?)
}

/// Wakes a thread that waits.
struct WakeEvent {
    event: Arc<OwnedFd>,
    watch: Watch,
}

impl WakeEvent {
    /// For the calling thread, and what rings it.
    fn new(event: &Arc<OwnedFd>) -> io::Result<Self> {
        Ok(Self { event: Arc::clone(event), watch: Watch::new(event)? })
    }

    fn waker(event: &Arc<OwnedFd>) -> Waker {
        let event = Arc::clone(event);
        // It fails only where it was rung very often already.
        Box::new(move || {
            let _ = rustix::io::write(&*event, &1_u64.to_ne_bytes());
        })
    }

    fn clear(&self) {
        if self.watch.is_readable() {
            // Nothing there is as good.
            let _ = rustix::io::read(&*self.event, &mut [0; 8]);
            self.watch.set_not_readable();
        }
    }
}

/// A router that runs, the first part of it on the caller's thread.
pub struct RouterThreads {
    /// The first part, or all of it.
    pub router: Router,
    wake_event: Option<WakeEvent>,
    others: Vec<JoinHandle<Router>>,
}

impl RouterThreads {
    /// Starts the other threads, if the host has more than one. `processor`: that of the first; others have the next ones.
    pub fn start(router: Router, host: &ProcessHost, processor: Option<usize>) -> io::Result<Self> {
        let count = host.threads;
        if count == 1 {
            return Ok(Self { router, wake_event: None, others: Vec::new() });
        }
        let events =
            (0..count).map(|_| Ok(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)));
        let events = events.collect::<io::Result<Vec<_>>>()?;
        let bell = Some(WakeEvent::new(&events[0])?);
        let mut parts = router.part(events.iter().map(WakeEvent::waker).collect());
        let rest = parts.split_off(1);
        let Some(router) = parts.pop() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut team = Self { router, wake_event: bell, others: Vec::new() };
        let processors = std::thread::available_parallelism()?.get();
        for (number, (part, event)) in rest.into_iter().zip(&events[1..]).enumerate() {
            let Some(host) = host.for_thread() else { return Err(io::ErrorKind::Unsupported.into()) };
            let (number, event) = (number + 1, Arc::clone(event));
            let processor = processor.map(|first| (first + number) % processors);
            let thread = std::thread::Builder::new().name(format!("click-{number}"));
            team.others.push(thread.spawn(move || run(part, host, number, &event, processor))?);
        }
        Ok(team)
    }

    /// Runs the first part for a while.
    pub fn run(&mut self, host: &mut ProcessHost) -> Progress {
        if let Some(bell) = &self.wake_event {
            bell.clear();
        }
        self.router.run(host, ROUNDS)
    }

    /// Ends the other threads and puts the router together again.
    pub fn end(self) -> Router {
        self.router.halt();
        let mut parts = vec![self.router];
        for thread in self.others {
            parts.push(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        Router::join(parts).expect("the first part is there")
    }
}

/// Runs a part until all are to stop.
fn run(
    mut router: Router,
    mut host: ProcessHost,
    number: usize,
    event: &Arc<OwnedFd>,
    processor: Option<usize>,
) -> Router {
    number_thread(number);
    if let Some(processor) = processor
        && let Err(e) = run_on(processor)
    {
        output::say(&format!("warning: thread {number}: processor {processor}: {}", reason(&e)));
    }
    let mut until = Until::Now;
    let outcome = WakeEvent::new(event).and_then(|bell| {
        loop {
            wait(until)?;
            bell.clear();
            until = match router.run(&mut host, ROUNDS) {
                Progress::Busy => Until::Now,
                Progress::Stopped => return Ok(()),
                Progress::Idle { until: None } => Until::Forever,
                Progress::Idle { until: Some(time) } => Until::Passed(host.clock.until(time)),
            };
        }
    });
    if let Err(e) = outcome {
        output::say(&format!("thread {number}: {}", reason(&e)));
        router.halt();
    }
    router
}
