//! A thread of the data plane. It owns devices and looks at those that are busy in turn: receive a batch, decide where its
//! frames go, send them, give the buffers back. A device that has had nothing for a while is armed, to wake the thread
//! by a descriptor, and no longer looked at; when all are armed, the thread sleeps.

mod backlog;
mod command;
pub mod handoff;
mod straight;
pub mod wake;

pub use command::{Change, Command, Probe};

use crate::counters::Reason;
use crate::forward::hold::Holds;
use crate::forward::tables::Tables;
use crate::forward::{Aside, Forwarder, Now};
use crate::frame::{Batch, Outgoing};
use crate::port::{Broken, Device, News, PortId};
use backlog::Backlog;
use handoff::{Cargo, Inbox, Outbox, Parcel};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};
use wake::{Event, Wake};

/// How long a device without packets is looked at before it is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// For ever: the thread never sleeps.
    Always,
    /// So many nanoseconds.
    For(u64),
}

/// Turns between two looks at the descriptors while some device is busy.
const TURNS: u32 = 32;
/// The same while nothing comes.
const TURNS_IN_VAIN: u32 = 4;
/// Longest that a sender on a wire waits for a full receiver that takes nothing.
const PATIENCE: u64 = 1_000_000;

/// Between two looks at ports that packets wait for, if nothing else happens, nanoseconds.
const BACKLOG_LOOK: u64 = 100_000;

/// A port whose device this thread has.
struct Own {
    device: Box<dyn Device>,
    /// Whether it is looked at in turn.
    hot: bool,
    /// When it last had a packet.
    busy: u64,
    /// Whether something is to be made visible to its peer.
    dirty: bool,
    /// Since when the other end of its wire has been full.
    blocked: Option<u64>,
    /// Since when it has had too few buffers for the largest packet.
    short: Option<u64>,
    /// What waits for room in its queue.
    backlog: Backlog,
}

/// What a thread is made of.
pub struct Worker {
    /// Its number.
    pub index: usize,
    /// What it is told.
    pub commands: Receiver<Command>,
    /// Whether it was told something.
    pub told: Arc<AtomicBool>,
    /// What it tells.
    pub news: Sender<News>,
    /// Other things that it tells: the switch's own thread does what takes long.
    pub asides: std::sync::mpsc::SyncSender<Aside>,
    /// Rung after either.
    pub bell: std::os::fd::OwnedFd,
    /// What it sleeps on.
    pub wake: Wake,
    /// Whether it sleeps.
    pub sleeps: Arc<AtomicBool>,
    /// What it is doing to a peer.
    pub calling: Arc<AtomicU64>,
    /// When it looks and when it sleeps.
    pub poll: Poll,
    /// To the other threads, by their numbers; none to itself.
    pub outboxes: Vec<Option<Outbox>>,
    /// From the other threads.
    pub inboxes: Vec<Inbox>,
    /// Keys of its table of addresses.
    pub keys: [u64; 2],
}

/// A thread at work.
struct Running {
    w: Worker,
    tables: Arc<Tables>,
    forwarder: Forwarder,
    ports: Vec<Option<Own>>,
    hot: Vec<PortId>,
    dirty: Vec<PortId>,
    /// Ports that packets wait for.
    backlogged: Vec<PortId>,
    /// What is being worked on; away while it is.
    batch: Option<Box<Batch>>,
    holds: Holds,
    events: Vec<Event>,
    begun: Instant,
    now: Now,
    told_news: bool,
    /// Packets received so far.
    received: u64,
    ends: bool,
}

impl Worker {
    /// Works until it is told to end.
    pub fn run(self) {
        let mut forwarder = Forwarder::new(self.keys);
        forwarder.shares = self.outboxes.iter().any(Option::is_some);
        let mut running = Running {
            w: self,
            tables: Arc::default(),
            forwarder,
            ports: Vec::new(),
            hot: Vec::new(),
            dirty: Vec::new(),
            backlogged: Vec::new(),
            batch: Some(Box::default()),
            holds: Holds::default(),
            events: Vec::new(),
            begun: Instant::now(),
            now: Now::default(),
            told_news: false,
            received: 0,
            ends: false,
        };
        running.work();
    }
}

impl Running {
    fn work(&mut self) {
        let mut turn = 0u32;
        loop {
            self.tick();
            if self.w.told.load(Ordering::Relaxed) {
                self.obey();
                if self.ends {
                    break;
                }
            }
            let mut limited = None;
            let before = self.received;
            let mut at = 0;
            while at < self.hot.len() {
                let port = self.hot[at];
                at += usize::from(self.look_at(port, &mut limited));
            }
            let came = self.take_parcels();
            if !self.backlogged.is_empty() {
                self.drain_backlogs();
            }
            self.flush();
            turn = turn.wrapping_add(1);
            if self.hot.is_empty() && !came && self.w.poll != Poll::Always {
                self.sleep(limited);
            } else {
                let in_vain = self.received == before && !came;
                if turn.is_multiple_of(if in_vain { TURNS_IN_VAIN } else { TURNS }) {
                    self.w.wake.wait(Some(Duration::ZERO), &mut self.events);
                    self.take_events();
                } else if in_vain {
                    // Whoever else has work for this processor, the peer perhaps, is not kept waiting.
                    std::thread::yield_now();
                }
            }
        }
    }

    fn tick(&mut self) {
        let nanos = self.begun.elapsed().as_nanos() as u64;
        self.now = Now { nanos, seconds: (nanos / 1_000_000_000) as u32 };
    }

    /// Receives from a port and sends on; whether it stays hot.
    fn look_at(&mut self, port: PortId, limited: &mut Option<u64>) -> bool {
        let tables = Arc::clone(&self.tables);
        let Some(Some(own)) = self.ports.get_mut(port.index()) else {
            self.hot.retain(|&p| p != port);
            return false;
        };
        let limit = &mut self.forwarder.ports[port.index()].limit_in;
        if !limit.is_none() {
            let wait = limit.wait(self.now.nanos);
            if wait > 0 {
                *limited = Some(limited.map_or(wait, |l: u64| l.min(wait)));
                own.busy = self.now.nanos;
                return true;
            }
        }
        if let Some(to) = self.forwarder.wire_to(port)
            && self.is_blocked(port, to)
        {
            return true;
        }
        if let Some(to) = self.forwarder.wire_to(port)
            && let Some(stays) = self.pass_straight(&tables, port, to)
        {
            return stays;
        }
        let Some(Some(own)) = self.ports.get_mut(port.index()) else { return false };
        let Some(mut batch) = self.batch.take() else { return true };
        batch.clear();
        let received = own.device.receive(&mut batch);
        let stays = match received {
            Err(e) => {
                self.broken(port, e);
                self.is_hot(port)
            }
            Ok(()) if batch.is_empty() => self.perhaps_arm(port),
            Ok(()) => {
                own.busy = self.now.nanos;
                self.received(&tables, port, &mut batch);
                true
            }
        };
        self.batch = Some(batch);
        stays
    }

    fn is_hot(&self, port: PortId) -> bool {
        self.ports.get(port.index()).and_then(Option::as_ref).is_some_and(|o| o.hot)
    }

    /// Whether the far end of a wire is full: then the sender's packets stay where they are, for a while.
    fn is_blocked(&mut self, port: PortId, to: PortId) -> bool {
        let room = match self.ports.get(to.index()).and_then(Option::as_ref) {
            Some(far) if far.device.is_up() => far.device.room(),
            _ => usize::MAX,
        };
        let Some(Some(own)) = self.ports.get_mut(port.index()) else { return false };
        if room > 0 {
            own.blocked = None;
            return false;
        }
        let since = *own.blocked.get_or_insert(self.now.nanos);
        own.busy = self.now.nanos;
        self.now.nanos - since < PATIENCE
    }

    /// A device has nothing: arms it if that has been so for long enough; whether it stays hot.
    fn perhaps_arm(&mut self, port: PortId) -> bool {
        let Some(Some(own)) = self.ports.get_mut(port.index()) else { return false };
        let Poll::For(time) = self.w.poll else { return true };
        if self.now.nanos - own.busy < time {
            return true;
        }
        match own.device.arm(self.w.wake.on_behalf_of(port)) {
            Ok(true) => {
                own.device.disarm();
                own.busy = self.now.nanos;
                true
            }
            Ok(false) => {
                own.hot = false;
                self.hot.retain(|&p| p != port);
                false
            }
            Err(e) => {
                self.broken(port, e);
                false
            }
        }
    }

    /// What is in the batch came in at a port.
    fn received(&mut self, tables: &Tables, port: PortId, batch: &mut Batch) {
        self.received += batch.len() as u64;
        let bytes: usize = batch.frames().iter().map(|f| f.length()).sum();
        if let Some(entry) = tables.port(port) {
            entry.shared.received.add(batch.len() as u64);
            entry.shared.received_bytes.add(bytes as u64);
        }
        let limit = &mut self.forwarder.ports[port.index()].limit_in;
        limit.charge(batch.len() as u64, bytes as u64);
        self.forwarder.forward(tables, port, batch, self.now);
        self.send_lists(tables, batch);
        self.send_answers(tables);
        if let Some(Some(own)) = self.ports.get_mut(port.index()) {
            own.device.release();
            mark(&mut self.dirty, own, port);
        }
        if !self.forwarder.asides.is_empty() {
            self.tell_asides();
        }
    }

    fn send_lists(&mut self, tables: &Tables, batch: &Batch) {
        while let Some((port, list)) = self.forwarder.next_out() {
            self.send(tables, batch, port, &list);
            self.forwarder.recycle(port, list);
        }
    }

    fn send_answers(&mut self, tables: &Tables) {
        if self.forwarder.answers_out.is_empty() {
            return;
        }
        let list = std::mem::take(&mut self.forwarder.answers_out);
        let Some(mut answers) = self.forwarder.answers.take() else { return };
        for &(port, out) in &list {
            self.send(tables, &answers, port, &[out]);
        }
        answers.clear();
        self.forwarder.answers = Some(answers);
    }

    /// Sends frames at a port, this thread's or another's.
    fn send(&mut self, tables: &Tables, batch: &Batch, to: PortId, list: &[Outgoing]) {
        let Some(entry) = tables.port(to) else { return };
        let shared = &entry.shared;
        if entry.thread != self.w.index {
            self.hand_over(entry.thread, batch, to, list, shared);
            return;
        }
        let Some(Some(own)) = self.ports.get_mut(to.index()) else { return };
        if !own.device.is_up() {
            shared.lost(Reason::Down, list.len() as u64);
            return;
        }
        let state = &mut self.forwarder.ports[to.index()];
        let longest = usize::from(entry.mtu) + crate::wire::ETHERNET;
        let fits = |o: &Outgoing| {
            let frame = &batch.frames()[usize::from(o.frame)];
            frame.length() <= longest || frame.offload.segment().is_some_and(|s| s <= usize::from(entry.mtu))
        };
        let plain = state.limit_out.is_none() && state.tap.is_none() && list.iter().all(fits);
        let kept;
        let list = if plain {
            list
        } else {
            let now = self.now.nanos;
            let mut may = Vec::with_capacity(list.len());
            for out in list {
                let frame = &batch.frames()[usize::from(out.frame)];
                if !fits(out) {
                    shared.lost(Reason::TooLong, 1);
                } else if !state.limit_out.take(frame.length(), now) {
                    shared.lost(Reason::Rate, 1);
                } else {
                    if let Some(tap) = &state.tap {
                        tap.see(batch, frame, out.vlan, false);
                    }
                    may.push(*out);
                }
            }
            kept = may;
            &kept
        };
        if !own.backlog.is_empty() {
            own.backlog.keep(batch, list, shared, self.now.nanos);
            return;
        }
        match own.device.send(batch, list, shared) {
            Ok(sent) => {
                if sent < list.len() {
                    own.backlog.keep(batch, &list[sent..], shared, self.now.nanos);
                    self.backlogged.push(to);
                }
                mark(&mut self.dirty, own, to);
            }
            Err(e) => self.broken(to, e),
        }
    }

    fn hand_over(
        &mut self,
        thread: usize,
        batch: &Batch,
        to: PortId,
        list: &[Outgoing],
        shared: &crate::counters::Shared,
    ) {
        let Some(Some(outbox)) = self.w.outboxes.get_mut(thread) else { return };
        for out in list {
            let frame = &batch.frames()[usize::from(out.frame)];
            if !outbox.packet(batch, frame, to, out.vlan) {
                shared.lost(Reason::Full, 1);
            }
        }
    }

    /// What other threads have for this one; whether there was something.
    fn take_parcels(&mut self) -> bool {
        let mut came = false;
        for index in 0..self.w.inboxes.len() {
            let tables = Arc::clone(&self.tables);
            let Some(mut batch) = self.batch.take() else { return came };
            batch.clear();
            for _ in 0..crate::frame::BATCH {
                let Ok(Parcel { cargo, bytes, offload }) = self.w.inboxes[index].parcels.pop() else { break };
                came = true;
                match cargo {
                    Cargo::Packet(to, vlan) => {
                        if !batch.push_bytes(&bytes, offload) {
                            batch.clear();
                            batch.push_bytes(&bytes, offload);
                        }
                        let frame = batch.len().saturating_sub(1) as u16;
                        self.send(&tables, &batch, to, &[Outgoing { frame, vlan }]);
                        self.w.inboxes[index].recycle(bytes);
                    }
                    Cargo::Wanted(announced) => {
                        let packet = (!bytes.is_empty()).then_some((bytes, offload));
                        self.wanted(announced, packet);
                    }
                    Cargo::Learned(segment, mac, port) => {
                        self.forwarder.fdb.learn(segment, mac, port, self.now.seconds);
                    }
                }
            }
            self.batch = Some(batch);
        }
        came
    }

    /// Makes everything visible to the peers.
    fn flush(&mut self) {
        let mut left = 0;
        while let Some(&port) = self.dirty.get(left) {
            let own = self.ports.get_mut(port.index()).and_then(Option::as_mut);
            let flushed = match (own, self.tables.port(port)) {
                (Some(own), Some(entry)) => {
                    let flushed = own.device.flush(&entry.shared);
                    own.dirty = matches!(flushed, Ok(true));
                    flushed
                }
                _ => Ok(false),
            };
            match flushed {
                Ok(true) => left += 1,
                Ok(false) => _ = self.dirty.swap_remove(left),
                Err(e) => {
                    self.dirty.swap_remove(left);
                    self.broken(port, e);
                }
            }
        }
        for outbox in self.w.outboxes.iter_mut().flatten() {
            outbox.flush();
        }
        if std::mem::take(&mut self.told_news) {
            // The eventfd is ours and does not block.
            let _ = wake::ring(&self.w.bell);
        }
    }

    fn sleep(&mut self, limited: Option<u64>) {
        self.w.sleeps.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let parcels = self.w.inboxes.iter().any(|i| !i.parcels.is_empty());
        let stay_up = parcels || self.w.told.load(Ordering::Relaxed);
        let waits = (!self.backlogged.is_empty() || !self.dirty.is_empty()).then_some(BACKLOG_LOOK);
        let next = [limited, waits].into_iter().flatten().min();
        let timeout = if stay_up { Some(Duration::ZERO) } else { next.map(Duration::from_nanos) };
        self.w.wake.wait(timeout, &mut self.events);
        self.w.sleeps.store(false, Ordering::Relaxed);
        self.tick();
        self.take_events();
    }

    fn take_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            let Some(port) = event.port else { continue };
            let Some(Some(own)) = self.ports.get_mut(port.index()) else { continue };
            let Some(entry) = self.tables.port(port) else { continue };
            if let Err(e) = own.device.event(event.token, self.w.wake.on_behalf_of(port), &entry.shared) {
                self.broken(port, e);
                continue;
            }
            mark(&mut self.dirty, own, port);
            self.heat(port);
            self.check_link(port);
        }
        self.events = events;
    }

    /// Looks at a port in turn from now on.
    fn heat(&mut self, port: PortId) {
        let Some(Some(own)) = self.ports.get_mut(port.index()) else { return };
        own.busy = self.now.nanos;
        if !own.hot {
            own.hot = true;
            own.device.disarm();
            self.hot.push(port);
        }
    }

    /// Tells if a port's link has changed; sends what waited for it.
    fn check_link(&mut self, port: PortId) {
        let tables = Arc::clone(&self.tables);
        let Some(entry) = tables.port(port) else { return };
        let up = self.ports.get(port.index()).and_then(Option::as_ref).is_some_and(|o| o.device.is_up());
        if up == entry.shared.is_up() {
            return;
        }
        entry.shared.link.store(up, Ordering::Relaxed);
        self.tell(News::Link(port, up));
        if up {
            self.release_holds();
        } else {
            self.forwarder.fdb.forget_port(port);
        }
    }

    fn broken(&mut self, port: PortId, why: Broken) {
        if let Some(Some(own)) = self.ports.get_mut(port.index()) {
            own.device.disconnect(self.w.wake.on_behalf_of(port));
        }
        self.check_link(port);
        self.tell(News::Broken(port, why));
    }

    fn tell(&mut self, news: News) {
        // Nobody is left to be told only when the whole switch ends.
        let _ = self.w.news.send(news);
        self.told_news = true;
    }
}

fn mark(dirty: &mut Vec<PortId>, own: &mut Own, port: PortId) {
    if !own.dirty {
        own.dirty = true;
        dirty.push(port);
    }
}
