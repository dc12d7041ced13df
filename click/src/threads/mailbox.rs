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
const CONGESTED: usize = 2048;
/// Packets that wait to be sent to a part before more are dropped: a loop between threads multiplies them.
const DROP_LIMIT: usize = 1 << 16;
/// Rounds between two looks at what others sent.
const ROUNDS: usize = 4;
/// How long a part waits for what it asked of another.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Something to be done by the thread of another part.
type Request = Box<dyn FnOnce(&mut Engine, &mut dyn Host) + Send>;

/// What is there for one part.
struct Inbox {
    packets: Mutex<Vec<(Port, Batch)>>,
    /// How many packets that are.
    waiting: AtomicUsize,
    requests: Mutex<VecDeque<Request>>,
    has_requests: AtomicBool,
    asleep: AtomicBool,
    wake: Waker,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0 && !self.has_requests.load(Ordering::SeqCst)
    }

    /// Leaves something to be done.
    fn send_request(&self, request: Request) {
        let mut requests = lock(&self.requests);
        requests.push_back(request);
        self.has_requests.store(true, Ordering::SeqCst);
        drop(requests);
        self.notify();
    }

    fn notify(&self) {
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
pub(crate) struct Mailbox {
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

impl Mailbox {
    /// One for each waker.
    pub(super) fn all(owners: Vec<usize>, driver: Option<usize>, wakers: Vec<Waker>) -> Vec<Self> {
        let inbox = |wake| Inbox {
            packets: Mutex::default(),
            waiting: AtomicUsize::new(0),
            requests: Mutex::default(),
            has_requests: AtomicBool::new(false),
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
        self.shared.inboxes.iter().for_each(Inbox::notify);
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
            if inbox.waiting.load(Ordering::Relaxed) >= CONGESTED {
                all = false;
                continue;
            }
            let mut there = lock(&inbox.packets);
            inbox.waiting.fetch_add(core::mem::take(count), Ordering::SeqCst);
            there.append(packets);
            drop(there);
            inbox.notify();
        }
        all
    }
}

impl Engine {
    /// The thread of an element, if it is another than this.
    pub(crate) fn other_thread(&self, id: usize) -> Option<usize> {
        let mailbox = self.threads.mailbox.as_ref()?;
        Some(mailbox.owner(id)).filter(|&owner| owner != mailbox.thread)
    }

    /// Sends packets to an element of another thread; those for one that is at work here are dropped.
    #[cold]
    pub(crate) fn forward(&mut self, to: Port, batch: Batch) {
        let Some(mailbox) = &mut self.threads.mailbox else { return };
        let owner = mailbox.owner(to.element);
        if owner == mailbox.thread {
            return;
        }
        let (packets, count) = &mut mailbox.outboxes[owner];
        if *count >= DROP_LIMIT {
            mailbox.dropped += batch.len() as u64;
            return;
        }
        *count += batch.len();
        packets.push((to, batch));
    }

    /// Takes what others sent. Packets only between two turns of elements.
    fn receive(&mut self, host: &mut dyn Host) {
        let Some(mailbox) = &self.threads.mailbox else { return };
        if mailbox.inbox().is_empty() {
            return;
        }
        let packets = mailbox.take_packets();
        self.serve(host);
        self.deliver(host);
        self.now = host.now();
        for (to, batch) in packets {
            self.enqueue(to, batch);
            self.deliver(host);
        }
    }

    /// Does what others ask for.
    fn serve(&mut self, host: &mut dyn Host) {
        loop {
            let Some(mailbox) = &self.threads.mailbox else { return };
            let inbox = mailbox.inbox();
            let mut requests = lock(&inbox.requests);
            let Some(request) = requests.pop_front() else {
                inbox.has_requests.store(false, Ordering::SeqCst);
                return;
            };
            drop(requests);
            request(self, host);
        }
    }

    /// Has something done by another thread and waits for what comes of it, while it does what others ask of this one.
    pub(crate) fn request<R: Send + 'static>(
        &mut self,
        host: &mut dyn Host,
        thread: usize,
        work: impl FnOnce(&mut Engine, &mut dyn Host) -> Result<R, HandlerError> + Send + 'static,
    ) -> Result<R, HandlerError> {
        let refused = |why: &str| Err(HandlerError::Refused(format!("thread {thread} {why}")));
        let Some(shared) = self.threads.mailbox.as_ref().map(|mailbox| Arc::clone(&mailbox.shared)) else {
            return refused("does not run");
        };
        let (answer, answered) = channel();
        shared.inboxes[thread].send_request(Box::new(move |engine, host| {
            engine.now = host.now();
            // Whoever asked may have given up.
            let _ = answer.send(work(engine, host));
        }));
        let end = Instant::now() + REQUEST_TIMEOUT;
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
        let (own, count) = match &self.threads.mailbox {
            Some(mailbox) => (mailbox.thread, mailbox.shared.inboxes.len()),
            None => return Vec::new(),
        };
        (0..count)
            .filter(|&thread| thread != own)
            .filter_map(|thread| {
                let work = work.clone();
                self.request(host, thread, move |engine, host| Ok(work(engine, host))).ok()
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
        self.other_thread(self.threads.mailbox.as_ref()?.shared.driver?)
    }

    /// Asks that thread to stop, and waits for nothing.
    pub(crate) fn ask_to_stop(&self, thread: usize) {
        if let Some(mailbox) = &self.threads.mailbox {
            mailbox.shared.inboxes[thread].send_request(Box::new(|engine, _| engine.stop_requested = true));
        }
    }

    /// [`Engine::run`] of a part.
    pub(crate) fn run_part(&mut self, host: &mut dyn Host, rounds: usize) -> Progress {
        for _ in 0..rounds.div_ceil(ROUNDS) {
            let Some(mailbox) = &self.threads.mailbox else { return Progress::Stopped };
            if mailbox.shared.halted.load(Ordering::Relaxed) {
                return Progress::Stopped;
            }
            mailbox.inbox().asleep.store(false, Ordering::SeqCst);
            self.receive(host);
            if !self.send() {
                // Nothing new is begun before others have done what there is.
                std::thread::yield_now();
                continue;
            }
            let progress = self.run_rounds(host, ROUNDS);
            let sent = self.send();
            let Some(mailbox) = &self.threads.mailbox else { return Progress::Stopped };
            match progress {
                Progress::Busy => continue,
                Progress::Stopped => mailbox.halt(),
                Progress::Idle { .. } => {
                    mailbox.inbox().asleep.store(true, Ordering::SeqCst);
                    if !sent || !mailbox.inbox().is_empty() || mailbox.shared.halted.load(Ordering::SeqCst) {
                        mailbox.inbox().asleep.store(false, Ordering::SeqCst);
                        continue;
                    }
                }
            }
            return progress;
        }
        Progress::Busy
    }

    fn send(&mut self) -> bool {
        self.threads.mailbox.as_mut().is_none_or(Mailbox::send)
    }

    /// Leaves the others; what was on its way from and to here.
    pub(super) fn leave(&mut self) -> Vec<(Port, Batch)> {
        let Some(mut mailbox) = self.threads.mailbox.take() else { return Vec::new() };
        let mut packets = mailbox.take_packets();
        packets.extend(mailbox.outboxes.iter_mut().flat_map(|(packets, _)| core::mem::take(packets)));
        packets
    }
}

/// What is said of elements of other threads.
pub(crate) fn thread_of(engine: &Engine, id: usize) -> String {
    engine.threads.mailbox.as_ref().map_or(0, |mailbox| mailbox.owner(id)).to_string()
}
