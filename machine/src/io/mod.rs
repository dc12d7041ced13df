//! The I/O thread. One epoll loop moves packets between TAPs and rings, serves the channel to the guest, answers the control
//! socket, and carries out stop requests.
//!
//! `watch` holds the registrations with epoll, `taps` serves net devices on TAPs, `requests` answers the control socket, whose
//! connections are in `server`. Each kind of machine has its own [`channel`] to the guest and its own devices ([`Port`]).
//! [`console`] limits the guest's output.

pub mod channel;
pub mod console;
mod port;
mod requests;
mod server;
mod taps;
mod watch;

pub use channel::{Broken, Channel, FromGuest, GuestRequest, Received, ToGuest};
pub use port::{Port, Tokens};
pub use taps::TapPort;
pub use watch::{Interest, WatchSet};

use crate::confine::signals;
use crate::ending::{Ending, Fault};
use crate::error::Error;
use crate::report::{Report, Reporter, print_error};
use crate::vcpu::VcpuState;
use crate::vhost::thread::Health;
use console::{Console, read_ready};
use requests::Pending;
use rustix::event::{PollFd, PollFlags, poll};
use server::Server;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Grace period of a ring-3 guest after a signal.
pub const GRACE: Duration = Duration::from_secs(2);

/// Epoll tokens of the loop.
const EVENTS: u64 = 0;
const DOORBELL: u64 = 1;
const SIGNALS: u64 = 2;
const INPUT: u64 = 3;
const OUTPUT: u64 = 4;
const LISTENER: u64 = 5;
/// Plus four times the number of the device, plus one of the next three.
const NETS: u64 = 1 << 8;
const TAP: u64 = 0;
const RECEIVE_KICK: u64 = 1;
const TRANSMIT_KICK: u64 = 2;
/// Plus [`PORT_TOKENS`] times the index of the device, plus the device's own number for the event.
const PORTS: u64 = 1 << 12;
const PORT_TOKENS: u64 = 64;
/// Plus the slot of the connection.
const CONNECTIONS: u64 = 1 << 16;

/// A net device over vhost-user.
pub struct VhostPort {
    /// Number of the guest's net device, from 0.
    pub number: usize,
    /// Its state.
    pub health: Arc<Health>,
}

/// The I/O thread's loop.
pub struct Io<C> {
    watch: WatchSet,
    state: Arc<VcpuState>,
    signals: OwnedFd,
    grace: Duration,
    console: Console,
    channel: C,
    taps: Vec<TapPort>,
    vhosts: Vec<VhostPort>,
    ports: Vec<Box<dyn Port>>,
    server: Server,
    reporter: Reporter,
    info: InstanceInfo,
    /// Requests that the guest has not answered, by number.
    pending: BTreeMap<u64, Pending>,
    /// Number of the next request to the guest.
    next_id: u64,
    /// When the guest is killed if it has not stopped.
    deadline: Option<Instant>,
    /// When connections are accepted again, after that has failed.
    accept_resumes: Option<Instant>,
    /// The first signal that asked the instance to stop.
    signal: Option<i32>,
    /// Whether the report says that the guest is ready.
    ready: bool,
}

/// Information on the instance for [`Request::Inspect`].
pub struct InstanceInfo {
    /// The image's own name.
    pub image: String,
    /// Guest memory, bytes.
    pub memory: u64,
}

/// The parts that [`Io::new`] needs.
pub struct IoParts<C> {
    /// State that is shared with the vCPU threads.
    pub state: Arc<VcpuState>,
    /// Signals that ask the instance to stop ([`signals::stop_requests`]).
    pub signals: OwnedFd,
    /// Time that the guest has to stop after a signal.
    pub grace: Duration,
    /// Whether the console is standard input and output.
    pub console: bool,
    /// The channel to the guest.
    pub channel: C,
    /// Net devices on TAPs.
    pub taps: Vec<TapPort>,
    /// Net devices over vhost-user.
    pub vhosts: Vec<VhostPort>,
    /// Other devices of this kind of machine.
    pub ports: Vec<Box<dyn Port>>,
    /// The control socket, if there is one.
    pub listener: Option<UnixListener>,
    /// Where the report goes.
    pub reporter: Reporter,
    /// Information on the instance.
    pub info: InstanceInfo,
}

fn channel_fault(Broken(what): Broken) -> Ending {
    Ending::Fault(Box::new(Fault { what, ..Default::default() }))
}

impl<C: Channel> Io<C> {
    /// Registers all descriptors with epoll.
    pub fn new(served: IoParts<C>) -> Result<Self, Error> {
        let failed = |source| Error::System { doing: "wait for events", source };
        let watch = WatchSet::new().map_err(failed)?;
        let IoParts {
            state,
            signals,
            grace,
            console,
            channel,
            taps,
            vhosts,
            ports,
            listener,
            reporter,
            info: facts,
        } = served;
        let mut io = Self {
            watch,
            signals,
            grace,
            console: Console::new(console),
            channel,
            taps,
            vhosts,
            ports,
            server: Server::new(listener),
            reporter,
            info: facts,
            state,
            pending: BTreeMap::new(),
            next_id: 1,
            deadline: None,
            accept_resumes: None,
            signal: None,
            ready: false,
        };
        io.watch_all(console).map_err(failed)?;
        Ok(io)
    }

    fn watch_all(&mut self, console: bool) -> std::io::Result<()> {
        let Self { watch, state, signals, server, taps, ports, .. } = self;
        watch.set(EVENTS, &state.events, Interest::Read)?;
        watch.set(DOORBELL, &state.doorbell, Interest::Read)?;
        watch.set(SIGNALS, signals, Interest::Read)?;
        if let Some(listener) = server.listener() {
            watch.set(LISTENER, listener, Interest::Read)?;
        }
        for (index, port) in taps.iter().enumerate() {
            port.watch(index, watch)?;
        }
        for (place, port) in ports.iter_mut().enumerate() {
            port.watch(Tokens::of(place), watch)?;
        }
        if console {
            // A regular file cannot be waited for, and is no console.
            let _ = watch.set(INPUT, &std::io::stdin(), Interest::Read);
        }
        Ok(())
    }

    /// Waits until one of these descriptors is readable, and returns which are; for use before the loop runs. `None`: the instance
    /// has ended, or a signal asks it to stop.
    pub fn wait_for(&mut self, others: [BorrowedFd<'_>; 2]) -> Option<[bool; 2]> {
        loop {
            let own = [self.signals.as_fd(), self.state.events.as_fd()];
            let mut polls =
                own.iter().chain(&others).map(|fd| PollFd::new(fd, PollFlags::IN)).collect::<Vec<_>>();
            // An interrupted wait is one without events.
            let _ = poll(&mut polls, None);
            let [signalled, told, first, second] = [0, 1, 2, 3].map(|i| !polls[i].revents().is_empty());
            if signalled {
                self.signal = signals::next(&self.signals).or(self.signal);
                self.state.end(Ending::Killed);
            }
            if told {
                self.state.events.clear();
            }
            if self.state.is_killed() || self.state.is_ended() {
                return None;
            }
            if first || second {
                return Some([first, second]);
            }
        }
    }

    /// The channel to the guest, before the loop runs.
    pub fn channel(&mut self) -> &mut C {
        &mut self.channel
    }

    /// The signal that asked the instance to stop, if there was one.
    pub fn signal(&self) -> Option<i32> {
        self.signal
    }

    /// Runs until the instance ends. Returns the signal that asked it to stop, if there was one.
    pub fn run(mut self) -> Option<i32> {
        loop {
            let tokens = self.watch.wait(self.timeout());
            for &token in &tokens {
                self.handle(token);
            }
            self.watch.recycle(tokens);
            if self.deadline.is_some_and(|d| d <= Instant::now()) {
                self.deadline = None;
                self.state.end(Ending::Killed);
            }
            self.resume_accepting();
            if let Some(ending) = self.state.ending()
                && self.state.is_ended()
            {
                self.finish(ending);
                return self.signal;
            }
        }
    }

    /// Time to wait for the next event, milliseconds; -1: no limit.
    fn timeout(&self) -> i32 {
        let next = [self.deadline, self.accept_resumes].into_iter().flatten().min();
        next.map_or(-1, |d| {
            let left = d.saturating_duration_since(Instant::now());
            left.as_millis().saturating_add(1).min(60_000) as i32
        })
    }

    /// Accepts connections again after a failure, when the pause is over.
    fn resume_accepting(&mut self) {
        if self.accept_resumes.is_some_and(|at| at <= Instant::now())
            && let Some(listener) = self.server.listener()
        {
            self.accept_resumes = None;
            // It has been waited for before.
            let _ = self.watch.set(LISTENER, listener, Interest::Read);
        }
    }

    /// Handles the event with this token.
    fn handle(&mut self, token: u64) {
        match token {
            EVENTS => self.vcpu_event(),
            DOORBELL => {
                self.state.doorbell.clear();
                if self.serve_channel() {
                    self.watch.mark_ready(DOORBELL);
                }
            }
            SIGNALS => self.signal_received(),
            INPUT => self.terminal_input(),
            OUTPUT => {
                if !self.console.flush() {
                    self.watch.remove(OUTPUT);
                }
            }
            LISTENER => {
                if !self.server.accept() {
                    self.watch.remove(LISTENER);
                    self.accept_resumes = Some(Instant::now() + listener::ACCEPT_PAUSE);
                }
                self.watch_connections();
            }
            CONNECTIONS.. => self.connection((token - CONNECTIONS) as usize),
            PORTS.. => self.port(((token - PORTS) / PORT_TOKENS) as usize, (token - PORTS) % PORT_TOKENS),
            _ => self.tap((token - NETS) as usize / 4, token % 4),
        }
    }

    fn vcpu_event(&mut self) {
        self.state.events.clear();
        // One whose guest was prepared may be faster than its back ends.
        let connected = self.vhosts.iter().all(|port| port.health.connected.load(Ordering::Relaxed));
        if !self.ready && connected && self.state.ready().is_some() {
            self.ready = true;
            self.reporter.send(&Report::Ready { timeline: self.channel.timeline(&self.state) });
        }
    }

    fn signal_received(&mut self) {
        while let Some(signal) = signals::next(&self.signals) {
            if self.signal.replace(signal).is_some() {
                self.state.end(Ending::Killed);
            } else {
                self.stop(self.grace);
            }
        }
    }

    fn stop(&mut self, grace: Duration) {
        self.state.pause(false);
        let deadline = Instant::now() + grace;
        self.deadline = Some(self.deadline.map_or(deadline, |d| d.min(deadline)));
        self.send(ToGuest::Stop(grace.as_millis() as u32));
    }

    fn terminal_input(&mut self) {
        let mut buffer = [0; 4096];
        match read_ready(std::io::stdin().as_fd(), &mut buffer) {
            // A guest that does not read its console has no use for more.
            Some(n) => drop(self.send(ToGuest::ConsoleInput(&buffer[..n]))),
            None => self.watch.remove(INPUT),
        }
    }

    /// Sends a message to the guest; `false` if too many earlier ones are unread.
    fn send(&mut self, message: ToGuest<'_>) -> bool {
        let queued = self.channel.send(message);
        self.flush_channel();
        queued
    }

    fn flush_channel(&mut self) {
        match self.channel.flush() {
            Ok(true) => self.state.wake.signal(),
            Ok(false) => {}
            Err(e) => self.state.end(channel_fault(e)),
        }
    }

    /// Serves both directions of the channel. Returns whether the guest has sent more.
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
                    server.respond(request.slot, &requests::response(outcome, &request.value));
                    pending.remove(&id);
                }
            }
        });
        if blocked {
            // Standard output that cannot be waited for, as a file, never blocks.
            let _ = self.watch.set(OUTPUT, &std::io::stdout(), Interest::Write);
        }
        self.watch_connections();
        self.flush_channel();
        match received {
            Ok(Received { wake, more }) => {
                if wake {
                    self.state.wake.signal();
                }
                more
            }
            Err(e) => {
                self.state.end(channel_fault(e));
                false
            }
        }
    }

    /// Serves a queue of a net device on a TAP.
    fn tap(&mut self, index: usize, source: u64) {
        let Some(port) = self.taps.get_mut(index) else { return };
        match port.serve(index, source, &mut self.watch) {
            Ok(served) => {
                if served.wake {
                    self.state.wake.signal();
                }
                if let Some(message) = served.lost {
                    self.lost(self.taps[index].number, message);
                }
            }
            Err(ending) => self.state.end(ending),
        }
    }

    /// Reports that the back end of a net device is gone.
    fn lost(&mut self, device: usize, message: String) {
        print_error(&format!("net device {device}: {message}"));
        self.reporter.send(&Report::DeviceLost { device, message });
    }

    /// Serves a device of this kind of machine.
    fn port(&mut self, place: usize, number: u64) {
        let Some(port) = self.ports.get_mut(place) else { return };
        match port.serve(number, Tokens::of(place), &mut self.watch) {
            Ok(None) => {}
            Ok(Some(message)) => {
                let device = port.counters().map_or(0, |(device, _)| device);
                self.lost(device, message);
            }
            Err(ending) => self.state.end(ending),
        }
    }

    /// The guest has ended: sends its remaining packets and output, then the report.
    fn finish(&mut self, ending: Ending) {
        for port in &mut self.taps {
            port.finish();
        }
        for port in &mut self.ports {
            port.finish();
        }
        // One pass takes more than the channel holds: who goes on writing, as a back end that shares the guest's
        // memory could, is not heard any more.
        self.serve_channel();
        self.console.finish();
        self.server.end();
        let timeline = self.channel.timeline(&self.state);
        let status = ending.status(self.signal);
        let console = String::from_utf8_lossy(&self.console.history()).into_owned();
        self.reporter.send(&Report::End { ending, status, timeline, console });
    }
}
