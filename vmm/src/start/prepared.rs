//! Guests that are prepared before they are requested. A prepared guest has booted as far as it can without an identity, and
//! sleeps. Its I/O thread waits at a socket whose other end the starter holds. The starter is notified when the guest waits. It
//! then sends one assignment, or closes the socket, which ends the process.
//!
//! An assignment is a command line of the monitor, sent in pieces. Each word is sent as its length and its bytes, so that no
//! byte of a word can start another word. The last piece carries a listening socket for each net device and the open
//! configuration, if there is one: a process without a file system cannot open them. Number of devices, queue sizes, offloads
//! and memory must be those with which the guest was prepared.
//!
//! The whole assignment is checked before any of it is applied. If it is refused, the process ends and leaves nothing, and the
//! starter starts another monitor. If it is accepted, the guest is an instance, and continues as if it had just been started.

use super::devices::net_device;
use super::inputs::{command_line, configuration};
use crate::channel::GuestChannel;
use crate::cpu::vcpu::Preparation;
use crate::image::Image;
use crate::memory_map::layout::Layout;
use crate::options::{self, Command, NetOptions, Options};
use abi::boot::{BootPage, FLAG_PREPARED};
use libc::c_long;
use machine::ending::Ending;
use machine::error::Error;
use machine::io::{Channel, Io};
use machine::memory::{GuestPhys, Region};
use machine::timeline::{Phase, Span, Timeline, Tsc, unix_ns};
use machine::vcpu::VcpuState;
use machine::vhost::endpoint::Endpoint;
use machine::vhost::negotiation::Device;
use machine::vhost::thread::{DeviceThread, Health, Port};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use vhost_user::message::{DESCRIPTORS_MAXIMUM, PAYLOAD_MAXIMUM};
use vhost_user::socket::{Connection, Error as SocketError};

/// To the monitor: a piece of the command line.
const PIECE: u32 = 1;
/// To the monitor: its last piece.
const LAST: u32 = 2;
/// From the monitor: the guest waits.
const WAITS: u32 = 3;
/// From the monitor: the guest is assigned.
const ACCEPTED: u32 = 4;
/// From the monitor: the assignment is refused, with the reason.
const REFUSED: u32 = 5;
/// Longest command line of an assignment, bytes.
const LINE_MAXIMUM: usize = 1 << 20;

/// Space of a prepared guest for the words of its command line, bytes.
pub const WORDS_MAXIMUM: u64 = 4096;
/// Space of a prepared guest for its configuration, bytes.
pub const CONFIG_MAXIMUM: u64 = 64 << 10;
/// Most net devices of a prepared guest: a message has room for that many sockets and the configuration.
pub const DEVICES_MAXIMUM: usize = DESCRIPTORS_MAXIMUM - 1;
/// System calls that the I/O thread of a prepared guest needs in addition to its usual ones.
pub(super) const CALLS: &[c_long] = &[libc::SYS_recvmsg, libc::SYS_sendmsg];

/// The starter's end of the socket.
pub struct Starter(UnixStream);

impl Starter {
    /// For this end of the socket pair.
    pub fn new(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Waits until the guest is prepared, at most as long as the socket's timeout.
    pub fn await_guest(&self) -> io::Result<()> {
        match self.answer()? {
            (WAITS, _) => Ok(()),
            _ => Err(io::Error::other("the monitor says something else")),
        }
    }

    /// Sends the assignment. `arguments` are as on the command line, without `--image` and `--config`. [`Starter::accepted`]
    /// returns whether the guest accepts it.
    pub fn assign(
        &self,
        arguments: &[String],
        config: Option<&File>,
        listeners: &[OwnedFd],
    ) -> io::Result<()> {
        let connection = Connection::new(self.0.try_clone()?);
        let mut line = Vec::new();
        for word in arguments {
            let length = u32::try_from(word.len()).map_err(io::Error::other)?;
            line.extend(length.to_le_bytes());
            line.extend(word.bytes());
        }
        let last = line.len().saturating_sub(1) / PAYLOAD_MAXIMUM * PAYLOAD_MAXIMUM;
        for piece in line[..last].chunks(PAYLOAD_MAXIMUM) {
            connection.send(PIECE, piece, &[], false).map_err(failed)?;
        }
        let descriptors: Vec<_> = listeners.iter().map(AsFd::as_fd).chain(config.map(AsFd::as_fd)).collect();
        connection.send(LAST, &line[last..], &descriptors, false).map_err(failed)
    }

    /// Waits up to this time until the assignment is accepted. Errors: the guest does not run, and the monitor cannot be used any
    /// more.
    pub fn accepted(&self, timeout: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(timeout))?;
        match self.answer()? {
            (ACCEPTED, _) => Ok(()),
            (_, why) => Err(io::Error::other(String::from_utf8_lossy(&why).into_owned())),
        }
    }

    fn answer(&self) -> io::Result<(u32, Vec<u8>)> {
        let answer = Connection::new(self.0.try_clone()?).receive().map_err(failed)?;
        let answer = answer.ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))?;
        Ok((answer.code, answer.payload))
    }
}

impl AsFd for Starter {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn failed(e: SocketError) -> io::Error {
    match e {
        SocketError::Socket(e) => e,
        e => io::Error::other(e.to_string()),
    }
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::Configuration(format!("assignment: {what}"))
}

/// The identity and inputs of a guest.
struct Assignment {
    options: Options,
    listeners: Vec<OwnedFd>,
    config: Option<File>,
}

/// The received part of an assignment.
#[derive(Default)]
struct Incoming(Vec<u8>);

impl Incoming {
    /// Adds a received message. Returns the assignment when it is complete.
    fn receive(&mut self, connection: &mut Connection) -> Result<Option<Assignment>, Incomplete> {
        loop {
            let mut message = match connection.receive() {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(None),
                Err(_) => return Err(Incomplete::Closed),
            };
            self.0.extend(&message.payload);
            if self.0.len() > LINE_MAXIMUM {
                return Err(Incomplete::Malformed(wrong("its command line is too long")));
            }
            if message.code == LAST {
                let descriptors = std::mem::take(&mut message.descriptors);
                return self.parse(descriptors).map(Some).map_err(Incomplete::Malformed);
            }
        }
    }

    fn parse(&self, descriptors: Vec<OwnedFd>) -> Result<Assignment, Error> {
        let words = words(&self.0).ok_or_else(|| wrong("its words are not whole"))?;
        let words = ["microvisor-vmm", "--image", "prepared"].into_iter().chain(words);
        let Command::Run(options) = options::parse(words.map(Into::into))? else {
            return Err(wrong("it asks for something else"));
        };
        let mut descriptors = descriptors.into_iter();
        let listeners: Vec<OwnedFd> = descriptors.by_ref().take(options.nets.len()).collect();
        if listeners.len() < options.nets.len() || options.nets.iter().any(|net| !net.device.server) {
            return Err(wrong("a socket that listens comes with each device"));
        }
        Ok(Assignment { options: *options, listeners, config: descriptors.next().map(File::from) })
    }
}

/// Why no assignment was received.
enum Incomplete {
    /// The starter has closed the socket.
    Closed,
    /// The message is malformed.
    Malformed(Error),
}

/// Decodes the words of a command line, each preceded by its length.
fn words(mut line: &[u8]) -> Option<Vec<&str>> {
    let mut words = Vec::new();
    while !line.is_empty() {
        let (length, rest) = line.split_first_chunk::<4>()?;
        let (word, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        words.push(std::str::from_utf8(word).ok()?);
        line = rest;
    }
    Some(words)
}

/// A net device whose back end connects when the guest is assigned.
pub struct UnassignedDevice {
    /// The queues and memory for the back end.
    pub device: Device,
    /// State of the device.
    pub health: Arc<Health>,
    /// The thread that will serve the device.
    pub thread: DeviceThread,
}

/// The parts of [`Waiting`].
pub struct Prepared {
    /// The monitor's end of the socket.
    pub socket: UnixStream,
    /// The work of the I/O thread once the guest is assigned.
    pub io: Io<GuestChannel>,
    /// State of the vCPU thread.
    pub state: Arc<VcpuState>,
    /// State that is shared with the vCPU thread.
    pub preparation: Arc<Preparation>,
    /// Guest memory.
    pub memory: Arc<Region>,
    /// Layout of guest memory.
    pub layout: Layout,
    /// The boot page of the guest, without its identity.
    pub boot: BootPage,
    /// The image.
    pub image: Image,
    /// Its net devices.
    pub devices: Vec<UnassignedDevice>,
    /// Frequency of the time stamp counter, Hz.
    pub tsc_hz: u64,
}

/// The I/O thread of a prepared guest.
pub struct Waiting {
    connection: Connection,
    prepared: Prepared,
    /// The phases in which the guest was prepared; `None` until it waits.
    preparation: Option<Timeline>,
}

/// An assignment that passed all checks.
struct Checked {
    options: Options,
    config: Vec<u8>,
    words: Vec<u8>,
    endpoints: Vec<Endpoint>,
}

impl Waiting {
    /// The initial state.
    pub fn new(prepared: Prepared) -> Result<Self, Error> {
        let socket = prepared.socket.try_clone().and_then(|s| s.set_nonblocking(true).map(|()| s));
        let socket = socket.map_err(|source| Error::System { doing: "use the starter's socket", source })?;
        Ok(Self { connection: Connection::new(socket), prepared, preparation: None })
    }

    /// Waits until the guest is assigned, then serves it. Returns the signal that ended it, if one did.
    pub fn run(mut self) -> Option<i32> {
        let Some(assignment) = self.wait() else {
            self.prepared.state.end(Ending::Killed);
            return self.prepared.io.signal();
        };
        let outcome = assignment.and_then(|assignment| self.check(assignment));
        let begun = match outcome {
            Ok(checked) => {
                // A starter that is gone finds the instance again, or ends it.
                let _ = self.connection.send(ACCEPTED, &[], &[], false);
                self.assign(checked)
            }
            Err(e) => {
                let text = e.to_string();
                let length = text.floor_char_boundary(PAYLOAD_MAXIMUM);
                let _ = self.connection.send(REFUSED, &text.as_bytes()[..length], &[], false);
                self.prepared.state.end(Ending::Killed);
                return None;
            }
        };
        if let Err(e) = begun {
            self.prepared.state.end(Ending::Monitor { message: e.to_string() });
        }
        self.prepared.io.run()
    }

    /// Waits for an assignment; `None` if the process must end.
    fn wait(&mut self) -> Option<Result<Assignment, Error>> {
        let mut incoming = Incoming::default();
        loop {
            let Self { connection, prepared, preparation } = self;
            let waits = match preparation {
                None => prepared.preparation.waits.as_fd(),
                // It may say so again, which is no news.
                Some(_) => connection.as_fd(),
            };
            let [waits, told] = prepared.io.wait_for([waits, connection.as_fd()])?;
            if waits && preparation.is_none() {
                *preparation = Some(prepared.io.channel().marks.preparation());
                connection.send(WAITS, &[], &[], false).ok()?;
            }
            if told {
                match incoming.receive(connection) {
                    Ok(None) => {}
                    Ok(Some(_)) if preparation.is_none() => {
                        return Some(Err(wrong("the guest does not wait yet")));
                    }
                    Ok(Some(assignment)) => return Some(Ok(assignment)),
                    Err(Incomplete::Malformed(e)) => return Some(Err(e)),
                    Err(Incomplete::Closed) => return None,
                }
            }
        }
    }

    /// Checks an assignment. Errors: this guest cannot have it.
    fn check(&mut self, assignment: Assignment) -> Result<Checked, Error> {
        let Assignment { options, listeners, config } = assignment;
        let prepared = &mut self.prepared;
        let config = config.map(|file| configuration(file, "configuration")).transpose()?;
        prepared.image.accepts_config(config.is_some())?;
        let (config, words) = (config.unwrap_or_default(), command_line(&options));
        if config.len() as u64 > CONFIG_MAXIMUM || words.len() as u64 > WORDS_MAXIMUM {
            return Err(wrong("more variables or configuration than a prepared guest has room for"));
        }
        if options.memory.is_some_and(|memory| memory != prepared.layout.memory.length) {
            return Err(wrong("another amount of memory"));
        }
        let fits = |(net, device): (&NetOptions, &UnassignedDevice)| {
            net.queue == device.device.queues[0].size && net.device.offload
        };
        let all_fit = options.nets.iter().zip(&prepared.devices).all(fits);
        if options.nets.len() != prepared.devices.len() || !all_fit {
            return Err(wrong("other net devices"));
        }
        let endpoint = |(socket, net): (OwnedFd, &NetOptions)| {
            Endpoint::handed_over(socket, net.device.vhost_user.as_deref().unwrap_or("".as_ref()))
        };
        let endpoints = listeners.into_iter().zip(&options.nets).map(endpoint).collect::<Result<_, _>>()?;
        // What the guest has said so far is not the instance's.
        let heard = prepared.io.channel().receive(&mut |_| {});
        heard.map_err(|broken| wrong(broken.0))?;
        Ok(Checked { options, config, words, endpoints })
    }

    /// Applies the assignment to the guest.
    fn assign(&mut self, checked: Checked) -> Result<(), Error> {
        let Checked { options, config, words, endpoints } = checked;
        let Prepared { io, state, preparation, memory, layout, boot, devices, tsc_hz, .. } =
            &mut self.prepared;
        let outside = |e: machine::memory::Outside| wrong(e);
        memory.write(GuestPhys(layout.command_line.base), &words).map_err(outside)?;
        memory.write(GuestPhys(layout.config.base), &config).map_err(outside)?;
        (boot.command_line.length, boot.config.length) = (words.len() as u64, config.len() as u64);
        boot.poll_ns = options.poll_ns;
        for (index, net) in options.nets.iter().enumerate() {
            boot.net[index] = layout.net_device(index, net_device(net, boot.net[index].features));
        }
        let now = Tsc::now();
        let origin = options.common.origin.unwrap_or(now);
        let mut spawn = Timeline::new(origin, *tsc_hz);
        let assigned = spawn.span(Phase::Assign, origin, now);
        let whole = Span { inside: vec![assigned.clone()], phase: Phase::Spawn, ..assigned };
        spawn.spans.push(whole);
        spawn.preparation = self.preparation.take().map(Box::new);
        debug_assert_eq!(boot.flags & FLAG_PREPARED, 0);
        (boot.clock_tsc, boot.clock_unix_ns) = (now.0, unix_ns());
        memory.write_value(GuestPhys(layout.boot), boot).map_err(outside)?;
        io.channel().marks.renew(spawn, now).map_err(outside)?;
        preparation.assigned.store(true, Ordering::Release);
        if io.channel().assign().map_err(|broken| wrong(broken.0))? {
            state.wake.signal();
        }
        let nets = options.nets.iter().zip(endpoints);
        for (number, (later, (net, endpoint))) in devices.drain(..).zip(nets).enumerate() {
            let UnassignedDevice { mut device, health, thread } = later;
            device.mtu = net.device.mtu;
            let port = Port { number, endpoint, device, health, state: state.clone() };
            thread.serve_when_connected(port, Duration::from_secs(net.device.wait));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends an assignment and returns its outcome.
    fn sent(arguments: &[&str], config: Option<&File>, listeners: &[OwnedFd]) -> Result<Assignment, Error> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let starter = Starter::new(ours);
        starter.assign(&arguments, config, listeners).unwrap();
        // Nobody answers.
        assert!(starter.accepted(Duration::from_millis(1)).is_err());
        match Incoming::default().receive(&mut Connection::new(theirs)) {
            Ok(assignment) => Ok(assignment.expect("it is whole")),
            Err(Incomplete::Malformed(e)) => Err(e),
            Err(Incomplete::Closed) => panic!("it came"),
        }
    }

    #[test]
    fn an_assignment_arrives_whole() {
        let long = format!("A={}", "x".repeat(2000));
        let Assignment { options, config, .. } =
            sent(&["--set", &long, "--memory", "8"], None, &[]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((options.words, options.memory), (vec![long], Some(8 << 20)));
        assert!(config.is_none());
    }

    #[test]
    fn no_byte_of_a_word_begins_another() {
        let lines = "A=x\n--poll\nalways";
        let Assignment { options, .. } = sent(&["--set", lines], None, &[]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((options.words, options.poll_ns), (vec![lines.to_owned()], 100_000));
        assert!(sent(&["--set", "A=x\0--poll\0always"], None, &[]).is_err());
        for line in [&[1, 0, 0][..], &[5, 0, 0, 0, b'x'], &[255, 255, 255, 255], &[1, 0, 0, 0, 0xff]] {
            assert!(words(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn each_device_comes_with_its_socket() {
        let sockets: Vec<OwnedFd> = UnixStream::pair().map(|(a, b)| vec![a.into(), b.into()]).unwrap();
        let cases =
            [(",server=on", 1, true), (",server=on", 0, false), ("", 1, false), (",server=on", 2, true)];
        for (options, given, is_right) in cases {
            let net = format!("vhost-user=/s{options}");
            assert_eq!(
                sent(&["--net", &net], None, &sockets[..given]).is_ok(),
                is_right,
                "{options} {given}"
            );
        }
    }

    #[test]
    fn a_starter_that_is_gone_assigns_nothing() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        let outcome = Incoming::default().receive(&mut Connection::new(theirs));
        assert!(matches!(outcome, Err(Incomplete::Closed)));
    }
}
