//! The I/O thread: everything that happens beside the guest. One epoll loop moves packets between TAPs and rings,
//! serves the channel to the guest, answers the control socket, and sees a stop request through.
//!
//! `server` holds the control socket's connections, [`channel`] is what a kind of machine brings, [`console`] bounds
//! the guest's output.

pub mod channel;
pub mod console;
mod server;

pub use channel::{Broken, Channel, FromGuest, GuestRequest, Received, ToGuest};

use crate::confine::privileges;
use crate::confine::signals;
use crate::control::{Instance, RefusalKind, Request, Response};
use crate::ending::{Ending, Fault};
use crate::error::Error;
use crate::eventfd::signal;
use crate::net::device::{Left, TapNet};
use crate::net::virtqueue::RingError;
use crate::net::{BackEnd, Counters};
use crate::report::{Report, Reporter};
use crate::vcpu::VcpuState;
use crate::vhost::thread::Health;
use console::{Console, read_ready};
use server::{Input, Server};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::EventFd;

/// How long a guest has to stop after a signal.
pub const GRACE: Duration = Duration::from_secs(2);

/// What the loop waits on. The number is the epoll token.
const EVENTS: u64 = 0;
const DOORBELL: u64 = 1;
const SIGNALS: u64 = 2;
const INPUT: u64 = 3;
const OUTPUT: u64 = 4;
const LISTENER: u64 = 5;
/// Plus four times the device, plus one of the next three.
const NETS: u64 = 1 << 8;
const TAP: u64 = 0;
const RECEIVE_KICK: u64 = 1;
const TRANSMIT_KICK: u64 = 2;
/// Plus the connection's slot.
const CONNECTIONS: u64 = 1 << 16;

/// A net device on a TAP, with its kicks.
pub struct TapPort {
    /// Which of the guest's net devices it is, from 0.
    pub number: usize,
    /// The device.
    pub device: TapNet,
    /// Eventfds that the doorbells of its receive and transmit queue signal.
    pub kicks: [EventFd; 2],
}

/// A net device over vhost-user.
pub struct VhostPort {
    /// Which of the guest's net devices it is, from 0.
    pub number: usize,
    /// How it is doing.
    pub health: Arc<Health>,
}

/// What the I/O thread works on.
pub struct Io<C> {
    epoll: Epoll,
    state: Arc<VcpuState>,
    signals: OwnedFd,
    console: Console,
    channel: C,
    taps: Vec<TapPort>,
    vhosts: Vec<VhostPort>,
    server: Server,
    reporter: Reporter,
    facts: Facts,
    /// Requests the guest has not answered, by number.
    pending: HashMap<u64, Pending>,
    /// Number of the next request to the guest.
    next_id: u64,
    /// When the guest is ended if it has not stopped.
    deadline: Option<Instant>,
    /// Number of the first signal that asked for the end.
    signal: Option<i32>,
    /// Whether the guest was reported ready.
    ready: bool,
}

/// A request that the guest has not answered.
struct Pending {
    /// Slot of the connection that waits.
    slot: usize,
    /// What has come of the reply so far.
    value: Vec<u8>,
}

/// Facts of the instance for [`Request::Inspect`].
pub struct Facts {
    /// The image's own name.
    pub image: String,
    /// Guest memory, bytes.
    pub memory: u64,
}

/// What [`Io::new`] needs.
pub struct Served<C> {
    /// State of the vCPU thread.
    pub state: Arc<VcpuState>,
    /// Signals that ask for the end ([`signals::stop_requests`]).
    pub signals: OwnedFd,
    /// Whether the console is standard input and output.
    pub console: bool,
    /// The channel to the guest.
    pub channel: C,
    /// Net devices on TAPs.
    pub taps: Vec<TapPort>,
    /// Net devices over vhost-user.
    pub vhosts: Vec<VhostPort>,
    /// The control socket, if there is one.
    pub listener: Option<UnixListener>,
    /// Where the report goes.
    pub reporter: Reporter,
    /// Facts of the instance.
    pub facts: Facts,
}

fn ring_fault(device: usize, queue: &str, e: RingError) -> Ending {
    let what = format!("net device {device}, {queue} queue: {e}");
    Ending::Fault(Box::new(Fault { what, ..Default::default() }))
}

fn channel_fault(Broken(what): Broken) -> Ending {
    Ending::Fault(Box::new(Fault { what, ..Default::default() }))
}

impl<C: Channel> Io<C> {
    /// Registers everything that can happen.
    pub fn new(served: Served<C>) -> Result<Self, Error> {
        let epoll = Epoll::new().map_err(|source| Error::System { doing: "make an epoll", source })?;
        let Served { state, signals, console, channel, taps, vhosts, listener, reporter, facts } = served;
        let io = Self {
            epoll,
            signals,
            console: Console::new(console),
            channel,
            taps,
            vhosts,
            server: Server::new(listener),
            reporter,
            facts,
            state,
            pending: HashMap::new(),
            next_id: 1,
            deadline: None,
            signal: None,
            ready: false,
        };
        let watch = |fd: RawFd, token| {
            io.watch(ControlOperation::Add, fd, EventSet::IN, token)
                .map_err(|source| Error::System { doing: "wait for events", source })
        };
        watch(io.state.events.as_raw_fd(), EVENTS)?;
        watch(io.state.doorbell.as_raw_fd(), DOORBELL)?;
        watch(io.signals.as_raw_fd(), SIGNALS)?;
        if let Some(listener) = io.server.listener() {
            watch(listener.as_raw_fd(), LISTENER)?;
        }
        for (i, net) in io.taps.iter().enumerate() {
            let base = NETS + 4 * i as u64;
            watch(net.device.tap().as_raw_fd(), base + TAP)?;
            watch(net.kicks[0].as_raw_fd(), base + RECEIVE_KICK)?;
            watch(net.kicks[1].as_raw_fd(), base + TRANSMIT_KICK)?;
        }
        if console {
            // A regular file cannot be waited on, and is no console.
            let _ = io.watch(ControlOperation::Add, libc::STDIN_FILENO, EventSet::IN, INPUT);
        }
        Ok(io)
    }

    fn watch(
        &self,
        operation: ControlOperation,
        fd: RawFd,
        events: EventSet,
        token: u64,
    ) -> std::io::Result<()> {
        self.epoll.ctl(operation, fd, EpollEvent::new(events, token))
    }

    /// Works until the instance ends; says what signal asked for the end, if one did.
    pub fn run(mut self) -> Option<i32> {
        let mut events = [EpollEvent::default(); 32];
        // Work left over from the last round, by token.
        let mut unfinished = Vec::new();
        loop {
            let timeout = if unfinished.is_empty() { self.timeout() } else { 0 };
            let n = self.epoll.wait(timeout, &mut events).unwrap_or(0);
            let mut tokens = std::mem::take(&mut unfinished);
            tokens.extend(events[..n].iter().map(EpollEvent::data));
            for token in tokens {
                if self.handle(token) {
                    unfinished.push(token);
                }
            }
            if self.deadline.is_some_and(|d| d <= Instant::now()) {
                self.deadline = None;
                self.state.end(Ending::Killed);
            }
            if let Some(ending) = self.state.ending()
                && self.state.has_left()
            {
                self.finish(ending);
                return self.signal;
            }
        }
    }

    /// How long to wait for the next event, milliseconds; -1: for ever.
    fn timeout(&self) -> i32 {
        self.deadline.map_or(-1, |d| {
            let left = d.saturating_duration_since(Instant::now());
            left.as_millis().saturating_add(1).min(60_000) as i32
        })
    }

    /// Handles what is ready; whether there is more of it.
    fn handle(&mut self, token: u64) -> bool {
        match token {
            EVENTS => self.vcpu_event(),
            DOORBELL => {
                let _ = self.state.doorbell.read();
                return self.serve_channel();
            }
            SIGNALS => self.signalled(),
            INPUT => self.typed(),
            OUTPUT => {
                if !self.console.flush() {
                    let _ = self.watch(ControlOperation::Delete, libc::STDOUT_FILENO, EventSet::OUT, OUTPUT);
                }
            }
            LISTENER => {
                for (slot, fd) in self.server.accept() {
                    let _ = self.watch(ControlOperation::Add, fd, EventSet::IN, CONNECTIONS + slot as u64);
                }
            }
            CONNECTIONS.. => self.connection((token - CONNECTIONS) as usize),
            _ => return self.net((token - NETS) as usize / 4, token % 4),
        }
        false
    }

    fn vcpu_event(&mut self) {
        let _ = self.state.events.read();
        if !self.ready && self.state.ready().is_some() {
            self.ready = true;
            self.reporter.send(&Report::Ready { timeline: self.channel.timeline(&self.state) });
        }
    }

    fn signalled(&mut self) {
        while let Some(signal) = signals::next(&self.signals) {
            if self.signal.replace(signal).is_some() {
                self.state.end(Ending::Killed);
            } else {
                self.stop(GRACE);
            }
        }
    }

    fn stop(&mut self, grace: Duration) {
        self.state.pause(false);
        let deadline = Instant::now() + grace;
        self.deadline = Some(self.deadline.map_or(deadline, |d| d.min(deadline)));
        self.send(ToGuest::Stop(grace.as_millis() as u32));
    }

    fn typed(&mut self) {
        let mut buffer = [0; 4096];
        match read_ready(std::io::stdin().as_fd(), &mut buffer) {
            // A guest that does not read its console has no use for more.
            Some(n) => drop(self.send(ToGuest::ConsoleInput(&buffer[..n]))),
            None => {
                let _ = self.watch(ControlOperation::Delete, libc::STDIN_FILENO, EventSet::IN, INPUT);
            }
        }
    }

    /// Sends a message to the guest; `false` if it has not read enough of the earlier ones.
    fn send(&mut self, message: ToGuest<'_>) -> bool {
        let queued = self.channel.send(message);
        self.flush_channel();
        queued
    }

    fn flush_channel(&mut self) {
        match self.channel.flush() {
            Ok(true) => signal(&self.state.wake),
            Ok(false) => {}
            Err(e) => self.state.end(channel_fault(e)),
        }
    }

    /// Both directions of the channel; whether the guest has sent more.
    fn serve_channel(&mut self) -> bool {
        let Self { channel, console, server, pending, .. } = self;
        let mut blocked = false;
        let received = channel.receive(&mut |message| match message {
            FromGuest::ConsoleOutput(bytes) => {
                blocked |= console.write(bytes);
                server.broadcast(bytes);
            }
            FromGuest::Reply { id, bytes, outcome } => {
                let Some(request) = pending.get_mut(&id) else { return };
                request.value.extend(bytes);
                if let Some(outcome) = outcome {
                    server.respond(request.slot, &response(outcome, &request.value));
                    pending.remove(&id);
                }
            }
        });
        if blocked {
            let _ = self.watch(ControlOperation::Add, libc::STDOUT_FILENO, EventSet::OUT, OUTPUT);
        }
        self.rewatch();
        self.flush_channel();
        match received {
            Ok(Received { wake, more }) => {
                if wake {
                    signal(&self.state.wake);
                }
                more
            }
            Err(e) => {
                self.state.end(channel_fault(e));
                false
            }
        }
    }

    /// Moves packets of one device; whether there are more.
    fn net(&mut self, index: usize, source: u64) -> bool {
        let net = &mut self.taps[index];
        if source == TRANSMIT_KICK {
            let _ = net.kicks[1].read();
            return match net.device.transmit() {
                Ok((left, wake)) => {
                    if wake {
                        signal(&self.state.wake);
                    }
                    left == Left::More
                }
                Err(e) => {
                    self.state.end(ring_fault(net.number, "transmit", e));
                    false
                }
            };
        }
        if source == RECEIVE_KICK {
            let _ = net.kicks[0].read();
        }
        match net.device.receive() {
            Ok((left, wake, tap)) => {
                if wake {
                    signal(&self.state.wake);
                }
                // Without buffers, or with its TAP gone, the device waits for the guest alone.
                let listen = left != Left::NoBuffers && tap.is_ok();
                let events = if listen { EventSet::IN } else { EventSet::EDGE_TRIGGERED };
                if source == RECEIVE_KICK || !listen {
                    let fd = net.device.tap().as_raw_fd();
                    let _ = self.watch(ControlOperation::Modify, fd, events, NETS + 4 * index as u64 + TAP);
                }
                left == Left::More
            }
            Err(e) => {
                self.state.end(ring_fault(net.number, "receive", e));
                false
            }
        }
    }

    fn connection(&mut self, slot: usize) {
        for input in self.server.read(slot) {
            match input {
                Input::Request(request) => self.request(slot, request),
                Input::Malformed(why) => self.refuse(slot, RefusalKind::Malformed, why),
                Input::Typed(bytes) => drop(self.send(ToGuest::ConsoleInput(&bytes))),
                Input::Closed => self.pending.retain(|_, request| request.slot != slot),
            }
        }
        self.rewatch();
    }

    /// Tells epoll which connections wait to write.
    fn rewatch(&mut self) {
        for (slot, fd, events) in self.server.changed() {
            let _ = self.watch(ControlOperation::Modify, fd, events, CONNECTIONS + slot as u64);
        }
    }

    fn refuse(&mut self, slot: usize, kind: RefusalKind, message: String) {
        self.server.respond(slot, &Response::Refused { kind, message });
    }

    fn request(&mut self, slot: usize, request: Request) {
        let done = |value: &str| Response::Done { value: value.into() };
        match request {
            Request::Inspect => {
                let instance = self.inspect();
                self.server.respond(slot, &Response::Instance(instance));
            }
            Request::Timeline => {
                let timeline = self.channel.timeline(&self.state);
                self.server.respond(slot, &Response::Timeline(timeline));
            }
            Request::Stop { grace_ms } => {
                self.stop(Duration::from_millis(grace_ms.into()));
                self.server.respond(slot, &done(""));
            }
            Request::Console => {
                self.server.respond(slot, &done(&self.console.forgotten().to_string()));
                let history = self.console.history();
                self.server.attach(slot, &history);
            }
            Request::Read { handler } => self.pass_on(slot, GuestRequest::Read(&handler)),
            Request::Write { handler, value } => self.pass_on(slot, GuestRequest::Write(&handler, &value)),
            Request::Configure { config } => self.pass_on(slot, GuestRequest::Configure(&config)),
            Request::Pause | Request::Resume => {
                self.state.pause(request == Request::Pause);
                self.server.respond(slot, &done(""));
            }
            Request::Statistics => self.pass_on(slot, GuestRequest::Statistics),
        }
    }

    /// Passes a request on to the guest; its reply answers the connection.
    fn pass_on(&mut self, slot: usize, request: GuestRequest<'_>) {
        let id = self.next_id;
        self.next_id += 1;
        if self.send(ToGuest::Request(id, request)) {
            self.pending.insert(id, Pending { slot, value: Vec::new() });
        } else {
            let why = "the guest has not taken earlier requests yet".to_owned();
            self.refuse(slot, RefusalKind::Busy, why);
        }
    }

    fn inspect(&self) -> Instance {
        Instance {
            image: self.facts.image.clone(),
            pid: privileges::number(),
            memory: self.facts.memory,
            ready: self.ready,
            up_ns: self.channel.up_ns(),
            net: self.counters(),
            guest: self.channel.counters(),
        }
    }

    /// A block for each of the guest's net devices, in their order.
    fn counters(&self) -> Vec<Counters> {
        let mut blocks = vec![Counters::default(); self.taps.len() + self.vhosts.len()];
        for net in &self.taps {
            blocks[net.number] = net.device.counters;
        }
        for VhostPort { number, health } in &self.vhosts {
            blocks[*number].vhost_user = Some(BackEnd {
                connected: health.connected.load(Ordering::Relaxed),
                back_ends: health.back_ends.load(Ordering::Relaxed),
            });
        }
        blocks
    }

    /// The guest has ended: what it still sent and said goes out, then the report.
    fn finish(&mut self, ending: Ending) {
        for net in &mut self.taps {
            // No more than the queue holds, and a broken queue no longer matters.
            while matches!(net.device.transmit(), Ok((Left::More, _))) {}
        }
        while self.serve_channel() {}
        self.console.finish();
        self.server.end();
        let timeline = self.channel.timeline(&self.state);
        let status = ending.status(self.signal);
        let console = String::from_utf8_lossy(&self.console.history()).into_owned();
        self.reporter.send(&Report::End { ending, status, timeline, console });
    }
}

/// A guest's reply as the control socket gives it.
fn response(outcome: Result<(), RefusalKind>, value: &[u8]) -> Response {
    let text = String::from_utf8_lossy(value).into_owned();
    match outcome {
        Ok(()) => Response::Done { value: text },
        Err(kind) => Response::Refused { kind, message: text },
    }
}
