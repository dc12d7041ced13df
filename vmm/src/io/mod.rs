//! The I/O thread: everything that happens beside the guest. One epoll loop moves packets between TAPs and rings,
//! carries the control ring, answers the control socket, and sees a stop request through.
//!
//! [`server`] holds the control socket's connections.

mod server;

use crate::clock::{Tsc, unix_ns};
use crate::console::{Console, read_ready};
use crate::control::{Instance, RefusalKind, Request, Response};
use crate::control_ring::{ControlError, ControlRing};
use crate::error::Error;
use crate::fault::{Ending, Fault};
use crate::marks::Marks;
use crate::net::{BackEnd, Counters, Left, TapNet};
use crate::privileges;
use crate::report::{Report, Reporter};
use crate::signals;
use crate::vcpu::{Shared, signal};
use crate::vhost::thread::Health;
use crate::virtqueue::RingError;
use abi::control as message;
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
const NEWS: u64 = 0;
const CONTROL: u64 = 1;
const SIGNALS: u64 = 2;
const INPUT: u64 = 3;
const OUTPUT: u64 = 4;
const LISTENER: u64 = 5;
/// Plus four times the device, plus one of the next three.
const NETS: u64 = 1 << 8;
const TAP: u64 = 0;
const RECEIVE_BELL: u64 = 1;
const TRANSMIT_BELL: u64 = 2;
/// Plus the connection's slot.
const CONNECTIONS: u64 = 1 << 16;

/// A net device with its doorbells.
pub struct Net {
    /// Which of the guest's net devices it is.
    pub number: usize,
    /// The device.
    pub device: TapNet,
    /// Doorbells of its receive and transmit queue.
    pub bells: [EventFd; 2],
}

/// What the I/O thread works on.
pub struct Io {
    epoll: Epoll,
    shared: Arc<Shared>,
    signals: OwnedFd,
    console: Console,
    ring: ControlRing,
    nets: Vec<Net>,
    ports: Vec<(usize, Arc<Health>)>,
    server: Server,
    marks: Marks,
    reporter: Reporter,
    about: About,
    /// Requests the guest has not answered: the connection, and what came of the reply so far.
    asked: HashMap<u64, (usize, Vec<u8>)>,
    next_id: u64,
    /// When the guest is ended if it has not stopped.
    deadline: Option<Instant>,
    signal: Option<i32>,
    ready: bool,
}

/// Facts of the instance for [`Request::Inspect`].
pub struct About {
    /// The image's own name.
    pub image: String,
    /// Guest memory, bytes.
    pub memory: u64,
}

/// Parts that [`Io::new`] puts together.
#[allow(missing_docs)]
pub struct Parts {
    pub shared: Arc<Shared>,
    pub signals: OwnedFd,
    pub console: Console,
    pub ring: ControlRing,
    pub nets: Vec<Net>,
    pub ports: Vec<(usize, Arc<Health>)>,
    pub listener: Option<UnixListener>,
    pub marks: Marks,
    pub reporter: Reporter,
    pub about: About,
}

fn ring_fault(device: usize, queue: &str, e: RingError) -> Ending {
    let what = format!("net device {device}, {queue} queue: {e}");
    Ending::Fault(Box::new(Fault { what, ..Default::default() }))
}

fn control_fault(e: ControlError) -> Ending {
    Ending::Fault(Box::new(Fault { what: e.to_string(), ..Default::default() }))
}

impl Io {
    /// Registers everything that can happen.
    pub fn new(parts: Parts, standard_input: bool) -> Result<Self, Error> {
        let epoll = Epoll::new().map_err(|source| Error::System { doing: "make an epoll", source })?;
        let Parts { shared, signals, console, ring, nets, ports, listener, marks, reporter, about } = parts;
        let io = Self {
            epoll,
            signals,
            console,
            ring,
            nets,
            ports,
            server: Server::new(listener),
            marks,
            reporter,
            about,
            shared,
            asked: HashMap::new(),
            next_id: 1,
            deadline: None,
            signal: None,
            ready: false,
        };
        let watch = |fd: RawFd, token| {
            io.watch(ControlOperation::Add, fd, EventSet::IN, token)
                .map_err(|source| Error::System { doing: "wait for events", source })
        };
        watch(io.shared.news.as_raw_fd(), NEWS)?;
        watch(io.shared.control.as_raw_fd(), CONTROL)?;
        watch(io.signals.as_raw_fd(), SIGNALS)?;
        if let Some(listener) = io.server.listener() {
            watch(listener.as_raw_fd(), LISTENER)?;
        }
        for (i, net) in io.nets.iter().enumerate() {
            let base = NETS + 4 * i as u64;
            watch(net.device.tap().as_raw_fd(), base + TAP)?;
            watch(net.bells[0].as_raw_fd(), base + RECEIVE_BELL)?;
            watch(net.bells[1].as_raw_fd(), base + TRANSMIT_BELL)?;
        }
        if standard_input {
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
        let mut again = Vec::new();
        loop {
            let timeout = if again.is_empty() { self.patience() } else { 0 };
            let n = self.epoll.wait(timeout, &mut events).unwrap_or(0);
            let mut tokens = std::mem::take(&mut again);
            tokens.extend(events[..n].iter().map(EpollEvent::data));
            for token in tokens {
                if self.happened(token) {
                    again.push(token);
                }
            }
            if self.deadline.is_some_and(|d| d <= Instant::now()) {
                self.deadline = None;
                self.shared.end(Ending::Killed);
            }
            if let Some(ending) = self.shared.ending()
                && self.shared.over()
            {
                self.finish(ending);
                return self.signal;
            }
        }
    }

    fn patience(&self) -> i32 {
        self.deadline.map_or(-1, |d| {
            let left = d.saturating_duration_since(Instant::now());
            left.as_millis().saturating_add(1).min(60_000) as i32
        })
    }

    /// Does what an event asks for; whether there is more of it.
    fn happened(&mut self, token: u64) -> bool {
        match token {
            NEWS => self.news(),
            CONTROL => {
                let _ = self.shared.control.read();
                return self.exchange();
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

    fn news(&mut self) {
        let _ = self.shared.news.read();
        if !self.ready && self.shared.ready().is_some() {
            self.ready = true;
            self.reporter.send(&Report::Ready { timeline: self.marks.timeline(&self.shared) });
        }
    }

    fn signalled(&mut self) {
        while let Some(signal) = signals::next(&self.signals) {
            if self.signal.replace(signal).is_some() {
                self.shared.end(Ending::Killed);
            } else {
                self.stop(GRACE);
            }
        }
    }

    fn stop(&mut self, grace: Duration) {
        self.shared.pause(false);
        let deadline = Instant::now() + grace;
        self.deadline = Some(self.deadline.map_or(deadline, |d| d.min(deadline)));
        self.send(message::STOP, 0, &(grace.as_millis() as u32).to_le_bytes());
    }

    fn typed(&mut self) {
        let mut buffer = [0; 4096];
        match read_ready(std::io::stdin().as_fd(), &mut buffer) {
            // A guest that does not read its console has no use for more.
            Some(n) => drop(self.send(message::CONSOLE_INPUT, 0, &buffer[..n])),
            None => {
                let _ = self.watch(ControlOperation::Delete, libc::STDIN_FILENO, EventSet::IN, INPUT);
            }
        }
    }

    /// Sends a message to the guest; `false` if it has not read enough of the earlier ones.
    fn send(&mut self, kind: u16, id: u64, payload: &[u8]) -> bool {
        let taken = self.ring.send(kind, id, payload);
        self.pump();
        taken
    }

    fn pump(&mut self) {
        match self.ring.pump() {
            Ok(true) => signal(&self.shared.wake),
            Ok(false) => {}
            Err(e) => self.shared.end(control_fault(e)),
        }
    }

    /// Both directions of the control ring; whether the guest has sent more.
    fn exchange(&mut self) -> bool {
        let Self { ring, console, server, asked, .. } = self;
        let mut blocked = false;
        let drained = ring.drain(|piece| match piece.header.kind {
            message::CONSOLE_OUTPUT => {
                blocked |= console.write(piece.bytes);
                server.broadcast(piece.bytes);
            }
            message::REPLY => {
                if let Some((slot, value)) = asked.get_mut(&piece.header.id) {
                    value.extend(piece.bytes);
                    if piece.last {
                        server.respond(*slot, &answer(piece.header.status, value));
                        asked.remove(&piece.header.id);
                    }
                }
            }
            _ => {}
        });
        if blocked {
            let _ = self.watch(ControlOperation::Add, libc::STDOUT_FILENO, EventSet::OUT, OUTPUT);
        }
        self.rewatch();
        self.pump();
        match drained {
            Ok((wake, more)) => {
                if wake {
                    signal(&self.shared.wake);
                }
                more
            }
            Err(e) => {
                self.shared.end(control_fault(e));
                false
            }
        }
    }

    /// Moves packets of one device; whether there are more.
    fn net(&mut self, index: usize, source: u64) -> bool {
        let net = &mut self.nets[index];
        if source == TRANSMIT_BELL {
            let _ = net.bells[1].read();
            return match net.device.transmit() {
                Ok((left, wake)) => {
                    if wake {
                        signal(&self.shared.wake);
                    }
                    left == Left::More
                }
                Err(e) => {
                    self.shared.end(ring_fault(net.number, "transmit", e));
                    false
                }
            };
        }
        if source == RECEIVE_BELL {
            let _ = net.bells[0].read();
        }
        match net.device.receive() {
            Ok((left, wake, tap)) => {
                if wake {
                    signal(&self.shared.wake);
                }
                // Without buffers, or with its TAP gone, the device waits for the guest alone.
                let listen = left != Left::NoBuffers && tap.is_ok();
                let events = if listen { EventSet::IN } else { EventSet::EDGE_TRIGGERED };
                if source == RECEIVE_BELL || !listen {
                    let fd = net.device.tap().as_raw_fd();
                    let _ = self.watch(ControlOperation::Modify, fd, events, NETS + 4 * index as u64 + TAP);
                }
                left == Left::More
            }
            Err(e) => {
                self.shared.end(ring_fault(net.number, "receive", e));
                false
            }
        }
    }

    fn connection(&mut self, slot: usize) {
        for input in self.server.read(slot) {
            match input {
                Input::Request(request) => self.request(slot, request),
                Input::Malformed(why) => self.refuse(slot, RefusalKind::Malformed, why),
                Input::Typed(bytes) => drop(self.send(message::CONSOLE_INPUT, 0, &bytes)),
                Input::Closed => self.asked.retain(|_, (asker, _)| *asker != slot),
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
                let timeline = self.marks.timeline(&self.shared);
                self.server.respond(slot, &Response::Timeline(timeline));
            }
            Request::Stop { grace_ms } => {
                self.stop(Duration::from_millis(grace_ms.into()));
                self.server.respond(slot, &done(""));
            }
            Request::Console => {
                self.server.respond(slot, &done(""));
                let history = self.console.history();
                self.server.attach(slot, &history);
            }
            Request::Read { handler } => self.ask(slot, message::HANDLER_READ, handler.as_bytes()),
            Request::Write { handler, value } => {
                let payload = [handler.as_bytes(), b"\0", value.as_bytes()].concat();
                self.ask(slot, message::HANDLER_WRITE, &payload);
            }
            Request::Configure { config } => self.ask(slot, message::CONFIGURE, config.as_bytes()),
            Request::Pause | Request::Resume => {
                self.shared.pause(request == Request::Pause);
                self.server.respond(slot, &done(""));
            }
            Request::Statistics => self.ask(slot, message::STATISTICS, b""),
        }
    }

    /// Passes a request on to the guest; its reply answers the connection.
    fn ask(&mut self, slot: usize, kind: u16, payload: &[u8]) {
        let mut clock = Tsc::now().0.to_le_bytes().to_vec();
        clock.extend(unix_ns().to_le_bytes());
        self.ring.send(message::CLOCK, 0, &clock);
        let id = self.next_id;
        self.next_id += 1;
        if self.send(kind, id, payload) {
            self.asked.insert(id, (slot, Vec::new()));
        } else {
            let why = "the guest has not taken earlier requests yet".to_owned();
            self.refuse(slot, RefusalKind::Busy, why);
        }
    }

    fn inspect(&self) -> Instance {
        Instance {
            image: self.about.image.clone(),
            pid: privileges::number(),
            memory: self.about.memory,
            ready: self.ready,
            up_ns: self.marks.up_ns(),
            net: self.counters(),
            guest: self.marks.counters(),
        }
    }

    /// A block for each of the guest's net devices, in their order.
    fn counters(&self) -> Vec<Counters> {
        let mut blocks = vec![Counters::default(); self.nets.len() + self.ports.len()];
        for net in &self.nets {
            blocks[net.number] = net.device.counters;
        }
        for (number, health) in &self.ports {
            blocks[*number].vhost_user = Some(BackEnd {
                connected: health.connected.load(Ordering::Relaxed),
                back_ends: health.back_ends.load(Ordering::Relaxed),
            });
        }
        blocks
    }

    /// The guest has ended: what it still sent and said goes out, then the report.
    fn finish(&mut self, ending: Ending) {
        for net in &mut self.nets {
            // No more than the queue holds, and a broken queue no longer matters.
            while matches!(net.device.transmit(), Ok((Left::More, _))) {}
        }
        while self.exchange() {}
        self.console.finish();
        self.server.end();
        let timeline = self.marks.timeline(&self.shared);
        let status = ending.status(self.signal);
        let console = String::from_utf8_lossy(&self.console.history()).into_owned();
        self.reporter.send(&Report::End { ending, status, timeline, console });
    }
}

/// A guest's reply as the control socket gives it.
fn answer(status: u16, value: &[u8]) -> Response {
    let text = String::from_utf8_lossy(value).into_owned();
    let kind = match status {
        message::STATUS_OK => return Response::Done { value: text },
        message::STATUS_UNSUPPORTED => RefusalKind::Unsupported,
        message::STATUS_NOT_FOUND => RefusalKind::NotFound,
        message::STATUS_FORBIDDEN => RefusalKind::Forbidden,
        _ => RefusalKind::Refused,
    };
    Response::Refused { kind, message: text }
}
