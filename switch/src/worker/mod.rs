//! A thread of the data plane. It owns devices and polls those that are busy, one after the other: it receives a batch,
//! decides where its frames go, sends them, and gives the buffers back. A device that has been idle for a while is armed:
//! from then on it wakes the thread through a descriptor and is no longer polled. When all are armed, the thread sleeps.

mod backlog;
mod command;
mod cut_through;
pub mod events;
pub mod handoff;
mod messages;
mod send;
pub mod wake;
mod window;

pub use command::{Change, Command, Delta, Probe};

use crate::forward::hold::Holds;
use crate::forward::tables::Tables;
use crate::forward::{Forwarder, Now, SlowPathMessage};
use crate::frame::Batch;
use crate::port::{Device, PortError, PortEvent, PortId};
use backlog::Backlog;
use events::{EVENT_RETRY_NS, EventSender};
use handoff::{HandoffKind, Inbox, Outbox};
use messages::MESSAGE_CHECK_NS;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};
use wake::{Event, Wake};
use window::Window;

/// How long a device without packets is polled before it is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// For ever: the thread never sleeps.
    Always,
    /// So many nanoseconds; longer where packets come further apart (see [`window`]).
    For(u64),
}

/// Turns between two looks at the descriptors while some device is busy.
const EVENT_CHECK_TURNS: u32 = 32;
/// The same while no device has.
const EVENT_CHECK_TURNS_IDLE: u32 = 4;
/// Longest that a sender on a point-to-point segment waits for a full receiver that takes nothing, nanoseconds.
const RECEIVER_FULL_TIMEOUT_NS: u64 = 1_000_000;

/// Time between two tries to send what waits for a full port, if nothing else happens, nanoseconds.
const BACKLOG_RETRY_NS: u64 = 100_000;

/// How the thread learns of a port's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PollState {
    /// It polls the device in every turn.
    Polled,
    /// It does not poll: the device wakes it.
    Armed,
    /// The device has failed, which has been told: nothing is asked of it until a peer connects anew or another device
    /// takes its place.
    Failed,
}

/// What a turn at a port came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PollOutcome {
    /// The port is polled in the next turn as well.
    StaysPolled,
    /// The same, but it is over its rate: there is nothing to do for it yet.
    OverRate,
    /// The port has left the list of polled ports.
    Removed,
}

/// A port whose device this thread owns. Times are nanoseconds on the thread's clock.
struct PortState {
    device: Box<dyn Device>,
    poll: PollState,
    /// When it last had a packet.
    last_packet: u64,
    /// Whether something is to be made visible to its peer.
    unflushed: bool,
    /// Since when the other end of its point-to-point segment has been full.
    receiver_full_since: Option<u64>,
    /// Since when it has had too few buffers for the largest packet.
    buffers_short_since: Option<u64>,
    /// Packets that wait for room in its queue.
    backlog: Backlog,
}

impl PortState {
    /// A device that has not begun.
    fn new(device: Box<dyn Device>) -> Self {
        Self {
            device,
            poll: PollState::Armed,
            last_packet: 0,
            unflushed: false,
            receiver_full_since: None,
            buffers_short_since: None,
            backlog: Backlog::default(),
        }
    }
}

/// What a thread needs to start.
pub struct Worker {
    /// Its index among the threads.
    pub index: usize,
    /// Commands from the control thread.
    pub commands: Receiver<Command>,
    /// Whether there may be a command.
    pub command_pending: Arc<AtomicBool>,
    /// Changes of its ports, for the control thread.
    pub events: SyncSender<PortEvent>,
    /// What the control thread does instead, since it takes long.
    pub slow_path: SyncSender<SlowPathMessage>,
    /// Eventfd that wakes the control thread, signalled after either.
    pub manager_wakeup: std::os::fd::OwnedFd,
    /// The epoll instance that it sleeps on.
    pub wake: Wake,
    /// Whether it sleeps: then others have to wake it.
    pub sleeping: Arc<AtomicBool>,
    /// Counter of its writes to peers' eventfds, with the bit [`wake::IN_CALL`] while it is in one.
    pub notifying: Arc<AtomicU64>,
    /// How long it polls an idle device.
    pub poll: Poll,
    /// Queues to the other threads, by their index; `None` for itself.
    pub outboxes: Vec<Option<Outbox>>,
    /// Queues from the other threads.
    pub inboxes: Vec<Inbox>,
    /// Hash keys of its address table.
    pub keys: [u64; 2],
}

/// A running thread.
struct Running {
    worker: Worker,
    tables: Arc<Tables>,
    forwarder: Forwarder,
    ports: Vec<Option<PortState>>,
    /// Ports in state `Polled`.
    polled: Vec<PortId>,
    /// Ports with something that is to be made visible to their peers.
    unflushed: Vec<PortId>,
    /// Ports that packets wait for.
    backlogged: Vec<PortId>,
    /// Ports whose peers are in the middle of a message.
    in_message: Vec<PortId>,
    /// Ports that failed while a batch was worked on: they are let go when it is done, since its packets may lie in
    /// their memory.
    failed: Vec<(PortId, PortError)>,
    /// Where changes of ports are told.
    events_out: EventSender,
    /// The batch that is being worked on; `None` while it is.
    batch: Option<Box<Batch>>,
    holds: Holds,
    events: Vec<Event>,
    started: Instant,
    now: Now,
    manager_wakeup_due: bool,
    /// How long an idle device is polled.
    window: Window,
    /// Packets received so far.
    received: u64,
    is_ending: bool,
}

impl Worker {
    /// Works until it is told to end.
    pub fn run(self) {
        let mut forwarder = Forwarder::new(self.keys);
        forwarder.shares = self.outboxes.iter().any(Option::is_some);
        let events_out = EventSender::new(self.events.clone());
        let window = Window::new(match self.poll {
            Poll::For(time) => time,
            Poll::Always => 0,
        });
        let mut running = Running {
            window,
            worker: self,
            tables: Arc::default(),
            forwarder,
            ports: Vec::new(),
            polled: Vec::new(),
            unflushed: Vec::new(),
            backlogged: Vec::new(),
            in_message: Vec::new(),
            failed: Vec::new(),
            events_out,
            batch: Some(Box::default()),
            holds: Holds::default(),
            events: Vec::new(),
            started: Instant::now(),
            now: Now::default(),
            manager_wakeup_due: false,
            received: 0,
            is_ending: false,
        };
        running.work();
        for state in running.ports.into_iter().flatten() {
            running.worker.wake.retire(Box::new(state.device));
        }
    }
}

impl Running {
    fn work(&mut self) {
        let mut turn = 0u32;
        loop {
            self.tick();
            if self.worker.command_pending.load(Ordering::Relaxed) {
                self.handle_commands();
                if self.is_ending {
                    break;
                }
            }
            let mut limited = None;
            let before = self.received;
            let (mut at, mut over_rate) = (0, 0);
            while let Some(&port) = self.polled.get(at) {
                match self.poll_port(port, &mut limited) {
                    PollOutcome::StaysPolled => at += 1,
                    PollOutcome::OverRate => (at, over_rate) = (at + 1, over_rate + 1),
                    PollOutcome::Removed => {}
                }
            }
            let came = self.take_handoffs();
            if !self.backlogged.is_empty() {
                self.drain_backlogs();
            }
            self.check_messages();
            self.retry_events();
            if !self.failed.is_empty() {
                self.remove_failed();
            }
            self.flush();
            turn = turn.wrapping_add(1);
            if self.received != before || came {
                self.window.packets(self.now.nanos);
            }
            if self.polled.len() <= over_rate && !came && self.worker.poll != Poll::Always {
                self.sleep(limited);
            } else {
                let idle = self.received == before && !came;
                if turn.is_multiple_of(if idle { EVENT_CHECK_TURNS_IDLE } else { EVENT_CHECK_TURNS }) {
                    self.worker.wake.wait(Some(Duration::ZERO), &mut self.events);
                    self.take_events();
                } else if idle {
                    // Whoever else has work for this processor, the peer perhaps, is not kept waiting.
                    std::thread::yield_now();
                }
            }
        }
    }

    fn tick(&mut self) {
        let nanos = self.started.elapsed().as_nanos() as u64;
        self.now = Now { nanos, seconds: (nanos / 1_000_000_000) as u32 };
    }

    /// Receives from a port and sends on. `limited` becomes the shortest wait of all ports that are over their rate,
    /// nanoseconds.
    fn poll_port(&mut self, port: PortId, limited: &mut Option<u64>) -> PollOutcome {
        let tables = Arc::clone(&self.tables);
        let Some(Some(state)) = self.ports.get_mut(port.index()) else {
            self.polled.retain(|&p| p != port);
            return PollOutcome::Removed;
        };
        let limit = &mut self.forwarder.ports[port.index()].limit_in;
        if !limit.is_none() {
            let wait = limit.wait(self.now.nanos);
            if wait > 0 {
                *limited = Some(limited.map_or(wait, |l: u64| l.min(wait)));
                state.last_packet = self.now.nanos;
                return PollOutcome::OverRate;
            }
        }
        if let Some(to) = self.forwarder.point_to_point_to(port) {
            if self.is_blocked(port, to) {
                return PollOutcome::StaysPolled;
            }
            if let Some(outcome) = self.cut_through(&tables, port, to) {
                return outcome;
            }
        }
        let Some(Some(state)) = self.ports.get_mut(port.index()) else { return PollOutcome::Removed };
        let Some(mut batch) = self.batch.take() else { return PollOutcome::StaysPolled };
        batch.clear();
        let received = state.device.receive(&mut batch);
        let outcome = match received {
            Err(e) => {
                self.port_failed(port, e);
                self.outcome(port)
            }
            Ok(()) if batch.is_empty() => self.arm_if_idle(port),
            Ok(()) => {
                state.last_packet = self.now.nanos;
                self.received(&tables, port, &mut batch);
                PollOutcome::StaysPolled
            }
        };
        self.batch = Some(batch);
        if !self.failed.is_empty() {
            self.remove_failed();
            return self.outcome(port);
        }
        outcome
    }

    /// Lets ports go that failed while a batch was worked on.
    fn remove_failed(&mut self) {
        for (port, why) in std::mem::take(&mut self.failed) {
            self.port_failed(port, why);
        }
    }

    /// Whether a port is still on the list of polled ports.
    fn outcome(&self, port: PortId) -> PollOutcome {
        let poll = self.ports.get(port.index()).and_then(Option::as_ref).map(|s| s.poll);
        if poll == Some(PollState::Polled) { PollOutcome::StaysPolled } else { PollOutcome::Removed }
    }

    /// Whether the other end of a point-to-point segment is full: then the sender's packets stay where they are, for up
    /// to [`RECEIVER_FULL_TIMEOUT_NS`].
    fn is_blocked(&mut self, port: PortId, to: PortId) -> bool {
        let room = match self.ports.get(to.index()).and_then(Option::as_ref) {
            Some(far) if far.device.is_up() => far.device.room(),
            _ => usize::MAX,
        };
        let Some(Some(state)) = self.ports.get_mut(port.index()) else { return false };
        if room > 0 {
            state.receiver_full_since = None;
            return false;
        }
        let since = *state.receiver_full_since.get_or_insert(self.now.nanos);
        state.last_packet = self.now.nanos;
        self.now.nanos - since < RECEIVER_FULL_TIMEOUT_NS
    }

    /// A device has nothing: arms it if that has been so for long enough.
    fn arm_if_idle(&mut self, port: PortId) -> PollOutcome {
        let Some(Some(state)) = self.ports.get_mut(port.index()) else { return PollOutcome::Removed };
        if self.worker.poll == Poll::Always || self.now.nanos - state.last_packet < self.window.current() {
            return PollOutcome::StaysPolled;
        }
        match state.device.arm(self.worker.wake.for_port(port)) {
            Ok(true) => {
                state.device.disarm();
                state.last_packet = self.now.nanos;
                PollOutcome::StaysPolled
            }
            Ok(false) => {
                self.stop_polling(port);
                PollOutcome::Removed
            }
            Err(e) => {
                self.port_failed(port, e);
                self.outcome(port)
            }
        }
    }

    /// Leaves it to the device to wake the thread from now on.
    fn stop_polling(&mut self, port: PortId) {
        if let Some(Some(state)) = self.ports.get_mut(port.index()) {
            state.poll = PollState::Armed;
        }
        self.polled.retain(|&p| p != port);
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
        if let Some(Some(state)) = self.ports.get_mut(port.index()) {
            state.device.release();
            schedule_flush(&mut self.unflushed, state, port);
        }
        if !self.forwarder.slow_path.is_empty() {
            self.dispatch_slow_path();
        }
    }

    /// Makes everything visible to the peers.
    fn flush(&mut self) {
        let mut left = 0;
        while let Some(&port) = self.unflushed.get(left) {
            let state = self.ports.get_mut(port.index()).and_then(Option::as_mut);
            let flushed = match (state, self.tables.port(port)) {
                (Some(state), Some(entry)) => {
                    let flushed = state.device.flush(&entry.shared);
                    state.unflushed = matches!(flushed, Ok(true));
                    flushed
                }
                _ => Ok(false),
            };
            match flushed {
                Ok(true) => left += 1,
                Ok(false) => _ = self.unflushed.swap_remove(left),
                Err(e) => {
                    self.unflushed.swap_remove(left);
                    self.port_failed(port, e);
                }
            }
        }
        for outbox in self.worker.outboxes.iter_mut().flatten() {
            outbox.flush();
        }
        if std::mem::take(&mut self.manager_wakeup_due) {
            // The eventfd is ours and does not block.
            let _ = wake::signal(&self.worker.manager_wakeup);
        }
    }

    fn sleep(&mut self, limited: Option<u64>) {
        self.worker.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let handoffs = self.worker.inboxes.iter().any(|i| !i.handoffs.is_empty());
        let stay_up = handoffs || self.worker.command_pending.load(Ordering::Relaxed);
        let waits = (!self.backlogged.is_empty() || !self.unflushed.is_empty()).then_some(BACKLOG_RETRY_NS);
        let unfinished = (!self.in_message.is_empty()).then_some(MESSAGE_CHECK_NS);
        let untold = self.events_out.is_waiting().then_some(EVENT_RETRY_NS);
        let next = [limited, waits, unfinished, untold].into_iter().flatten().min();
        let timeout = if stay_up { Some(Duration::ZERO) } else { next.map(Duration::from_nanos) };
        self.worker.wake.wait(timeout, &mut self.events);
        self.worker.sleeping.store(false, Ordering::Relaxed);
        self.tick();
        self.take_events();
    }

    fn take_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            let Some(port) = event.port else { continue };
            let Some(Some(state)) = self.ports.get_mut(port.index()) else { continue };
            let Some(entry) = self.tables.port(port) else { continue };
            if let Err(e) = state.device.event(event.token, self.worker.wake.for_port(port), &entry.shared) {
                self.port_failed(port, e);
                continue;
            }
            schedule_flush(&mut self.unflushed, state, port);
            self.note_message(port);
            self.start_polling(port);
            self.check_link(port);
        }
        self.events = events;
    }

    /// Polls a port in every turn from now on.
    fn start_polling(&mut self, port: PortId) {
        let Some(Some(state)) = self.ports.get_mut(port.index()) else { return };
        state.last_packet = self.now.nanos;
        if state.poll == PollState::Armed {
            state.poll = PollState::Polled;
            state.device.disarm();
            self.polled.push(port);
        }
    }

    /// Tells if a port's link has changed; sends what waited for it.
    fn check_link(&mut self, port: PortId) {
        let tables = Arc::clone(&self.tables);
        let Some(entry) = tables.port(port) else { return };
        let state = self.ports.get(port.index()).and_then(Option::as_ref);
        let up = state.is_some_and(|s| s.poll != PollState::Failed && s.device.is_up());
        if up == entry.shared.is_up() {
            return;
        }
        entry.shared.link.store(up, Ordering::Relaxed);
        self.report(PortEvent::Link(port, up));
        if up {
            self.release_holds();
        } else {
            self.forwarder.fdb.forget_port(port);
            for outbox in self.worker.outboxes.iter_mut().flatten() {
                outbox.send_message(HandoffKind::Forgotten(port));
            }
        }
    }

    fn port_failed(&mut self, port: PortId, why: PortError) {
        let Some(Some(state)) = self.ports.get_mut(port.index()) else { return };
        if state.poll == PollState::Failed {
            return;
        }
        state.poll = PollState::Failed;
        state.device.disconnect(self.worker.wake.for_port(port));
        self.polled.retain(|&p| p != port);
        self.check_link(port);
        self.report(PortEvent::PortError(port, why));
    }
}

fn schedule_flush(unflushed: &mut Vec<PortId>, state: &mut PortState, port: PortId) {
    if !state.unflushed {
        state.unflushed = true;
        unflushed.push(port);
    }
}

#[cfg(test)]
mod tests;
