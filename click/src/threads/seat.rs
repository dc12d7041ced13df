//! Where a part of a router stands among the others: messages to them, and from them.

use crate::element::Host;
use crate::engine::Engine;
use crate::handlers::HandlerError;
use crate::lang::Port;
use crate::packet::Batch;
use crate::router::Progress;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wakes a thread that may sleep.
pub type Waker = Box<dyn Fn() + Send + Sync>;

/// Packets that wait for a part before those who send them begin nothing new.
const MANY: usize = 2048;
/// Packets that wait to be sent to a part before more are dropped: a loop between threads multiplies them.
const MOST: usize = 1 << 16;
/// Rounds between two looks at what others sent.
const ROUNDS: usize = 4;
/// How long a part waits for what it asked of another.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something to be done by the thread of another part.
type Request = Box<dyn FnOnce(&mut Engine, &mut dyn Host) + Send>;

/// What is there for one part.
struct Inbox {
    packets: Mutex<Vec<(Port, Batch)>>,
    /// How many packets that are.
    waiting: AtomicUsize,
    requests: Mutex<VecDeque<Request>>,
    asked: AtomicBool,
    asleep: AtomicBool,
    wake: Waker,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0 && !self.asked.load(Ordering::SeqCst)
    }

    /// Leaves something to be done.
    fn ask(&self, request: Request) {
        let mut requests = lock(&self.requests);
        requests.push_back(request);
        self.asked.store(true, Ordering::SeqCst);
        drop(requests);
        self.ring();
    }

    fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            (self.wake)();
        }
    }
}

struct Shared {
    /// The thread of each element.
    owners: Vec<usize>,
    /// The element that decides when the router stops.
    driver: Option<usize>,
    inboxes: Vec<Inbox>,
    halted: AtomicBool,
}

/// A part's place.
pub(crate) struct Seat {
    thread: usize,
    shared: Arc<Shared>,
    /// What is to be sent, by thread, and how many packets that are.
    outboxes: Vec<(Vec<(Port, Batch)>, usize)>,
    /// Packets that were dropped because a part was too far behind.
    dropped: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seat {
    /// One for each waker.
    pub(super) fn all(owners: Vec<usize>, driver: Option<usize>, wakers: Vec<Waker>) -> Vec<Self> {
        let inbox = |wake| Inbox {
            packets: Mutex::default(),
            waiting: AtomicUsize::new(0),
            requests: Mutex::default(),
            asked: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            wake,
        };
        let inboxes: Vec<Inbox> = wakers.into_iter().map(inbox).collect();
        let count = inboxes.len();
        let shared = Arc::new(Shared { owners, driver, inboxes, halted: AtomicBool::new(false) });
        let outboxes = || (0..count).map(|_| (Vec::new(), 0)).collect();
        (0..count)
            .map(|thread| Self { thread, shared: Arc::clone(&shared), outboxes: outboxes(), dropped: 0 })
            .collect()
    }

    /// The thread of an element.
    pub(crate) fn owner(&self, id: usize) -> usize {
        self.shared.owners[id]
    }

    /// Packets that were dropped on their way to other threads.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn halt(&self) {
        self.shared.halted.store(true, Ordering::SeqCst);
        self.shared.inboxes.iter().for_each(Inbox::ring);
    }

    fn inbox(&self) -> &Inbox {
        &self.shared.inboxes[self.thread]
    }

    /// Takes the packets that were sent here.
    fn take_packets(&self) -> Vec<(Port, Batch)> {
        let packets = core::mem::take(&mut *lock(&self.inbox().packets));
        let count: usize = packets.iter().map(|(_, batch)| batch.len()).sum();
        self.inbox().waiting.fetch_sub(count, Ordering::SeqCst);
        packets
    }

    /// Sends what there is to send. `false`: some part is behind, and what is for it stays here.
    fn send(&mut self) -> bool {
        let mut all = true;
        for (inbox, (packets, count)) in self.shared.inboxes.iter().zip(&mut self.outboxes) {
            if packets.is_empty() {
                continue;
            }
            if inbox.waiting.load(Ordering::Relaxed) >= MANY {
                all = false;
                continue;
            }
            let mut there = lock(&inbox.packets);
            inbox.waiting.fetch_add(core::mem::take(count), Ordering::SeqCst);
            there.append(packets);
            drop(there);
            inbox.ring();
        }
        all
    }
}

impl Engine {
    /// The thread of an element, if it is another than this.
    pub(crate) fn elsewhere(&self, id: usize) -> Option<usize> {
        let seat = self.threads.seat.as_ref()?;
        Some(seat.owner(id)).filter(|&owner| owner != seat.thread)
    }

    /// Sends packets to an element of another thread; those for one that is at work here are dropped.
    #[cold]
    pub(crate) fn forward(&mut self, to: Port, batch: Batch) {
        let Some(seat) = &mut self.threads.seat else { return };
        let owner = seat.owner(to.element);
        if owner == seat.thread {
            return;
        }
        let (packets, count) = &mut seat.outboxes[owner];
        if *count >= MOST {
            seat.dropped += batch.len() as u64;
            return;
        }
        *count += batch.len();
        packets.push((to, batch));
    }

    /// Takes what others sent. Packets only between two turns of elements.
    fn receive(&mut self, host: &mut dyn Host) {
        let Some(seat) = &self.threads.seat else { return };
        if seat.inbox().is_empty() {
            return;
        }
        let packets = seat.take_packets();
        self.serve(host);
        self.settle(host);
        self.now = host.now();
        for (to, batch) in packets {
            self.stage(to, batch);
            self.settle(host);
        }
    }

    /// Does what others ask for.
    fn serve(&mut self, host: &mut dyn Host) {
        loop {
            let Some(seat) = &self.threads.seat else { return };
            let inbox = seat.inbox();
            let mut requests = lock(&inbox.requests);
            let Some(request) = requests.pop_front() else {
                inbox.asked.store(false, Ordering::SeqCst);
                return;
            };
            drop(requests);
            request(self, host);
        }
    }

    /// Has something done by another thread and waits for what comes of it, while it does what others ask of this one.
    pub(crate) fn ask<R: Send + 'static>(
        &mut self,
        host: &mut dyn Host,
        thread: usize,
        work: impl FnOnce(&mut Engine, &mut dyn Host) -> Result<R, HandlerError> + Send + 'static,
    ) -> Result<R, HandlerError> {
        let refused = |why: &str| Err(HandlerError::Refused(format!("thread {thread} {why}")));
        let Some(shared) = self.threads.seat.as_ref().map(|seat| Arc::clone(&seat.shared)) else {
            return refused("does not run");
        };
        let (answer, answered) = channel();
        shared.inboxes[thread].ask(Box::new(move |engine, host| {
            engine.now = host.now();
            // Whoever asked may have given up.
            let _ = answer.send(work(engine, host));
        }));
        let end = Instant::now() + PATIENCE;
        loop {
            match answered.recv_timeout(Duration::from_micros(100)) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return refused("has ended"),
                Err(RecvTimeoutError::Timeout) if shared.halted.load(Ordering::SeqCst) => {
                    return refused("has ended");
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() > end => return refused("does not answer"),
                Err(RecvTimeoutError::Timeout) => self.serve(host),
            }
        }
    }

    /// Asks all other parts the same, one after the other.
    fn ask_all<R: Send + 'static>(
        &mut self,
        host: &mut dyn Host,
        work: impl Fn(&mut Engine, &mut dyn Host) -> R + Clone + Send + 'static,
    ) -> Vec<R> {
        let (own, count) = match &self.threads.seat {
            Some(seat) => (seat.thread, seat.shared.inboxes.len()),
            None => return Vec::new(),
        };
        (0..count)
            .filter(|&thread| thread != own)
            .filter_map(|thread| {
                let work = work.clone();
                self.ask(host, thread, move |engine, host| Ok(work(engine, host))).ok()
            })
            .collect()
    }

    /// Sets profiling in all other parts.
    pub(crate) fn profile_elsewhere(&mut self, host: &mut dyn Host, value: &str) {
        let value = value.to_string();
        self.ask_all(host, move |engine, host| engine.write_here(host, "profiling", &value).is_ok());
    }

    /// Copies what elements of other parts counted.
    pub(crate) fn count_elsewhere(&mut self, host: &mut dyn Host) {
        let counts = self.ask_all(host, |engine, _| {
            let here = engine.slots.iter().enumerate().filter(|(_, s)| s.element.is_some());
            here.map(|(id, s)| (id, s.packets, s.batches, s.cycles)).collect::<Vec<_>>()
        });
        for (id, packets, batches, cycles) in counts.into_iter().flatten() {
            let slot = &mut self.slots[id];
            (slot.packets, slot.batches, slot.cycles) = (packets, batches, cycles);
        }
    }

    /// The thread that decides when the router stops, if it is another.
    pub(crate) fn driven_elsewhere(&self) -> Option<usize> {
        self.elsewhere(self.threads.seat.as_ref()?.shared.driver?)
    }

    /// Asks that thread to stop, and waits for nothing.
    pub(crate) fn ask_to_stop(&self, thread: usize) {
        if let Some(seat) = &self.threads.seat {
            seat.shared.inboxes[thread].ask(Box::new(|engine, _| engine.stop_requested = true));
        }
    }

    /// [`Engine::run`] of a part.
    pub(crate) fn run_part(&mut self, host: &mut dyn Host, rounds: usize) -> Progress {
        for _ in 0..rounds.div_ceil(ROUNDS) {
            let Some(seat) = &self.threads.seat else { return Progress::Stopped };
            if seat.shared.halted.load(Ordering::Relaxed) {
                return Progress::Stopped;
            }
            seat.inbox().asleep.store(false, Ordering::SeqCst);
            self.receive(host);
            if !self.send() {
                // Nothing new is begun before others have done what there is.
                std::thread::yield_now();
                continue;
            }
            let progress = self.run_rounds(host, ROUNDS);
            let sent = self.send();
            let Some(seat) = &self.threads.seat else { return Progress::Stopped };
            match progress {
                Progress::Busy => continue,
                Progress::Stopped => seat.halt(),
                Progress::Idle { .. } => {
                    seat.inbox().asleep.store(true, Ordering::SeqCst);
                    if !sent || !seat.inbox().is_empty() || seat.shared.halted.load(Ordering::SeqCst) {
                        seat.inbox().asleep.store(false, Ordering::SeqCst);
                        continue;
                    }
                }
            }
            return progress;
        }
        Progress::Busy
    }

    fn send(&mut self) -> bool {
        self.threads.seat.as_mut().is_none_or(Seat::send)
    }

    /// Leaves the others; what was on its way from and to here.
    pub(super) fn leave(&mut self) -> Vec<(Port, Batch)> {
        let Some(mut seat) = self.threads.seat.take() else { return Vec::new() };
        let mut packets = seat.take_packets();
        packets.extend(seat.outboxes.iter_mut().flat_map(|(packets, _)| core::mem::take(packets)));
        packets
    }
}

/// What is said of elements of other threads.
pub(crate) fn thread_of(engine: &Engine, id: usize) -> String {
    engine.threads.seat.as_ref().map_or(0, |seat| seat.owner(id)).to_string()
}
