use super::interface;
use crate::files::reason;
use crate::sys;
use click::args::Args;
use click::element::{Context, Element, Nanos, read, write};
use click::packet::{BURST, Batch};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SendFlags, SocketType, send, socket};
use std::any::Any;
use std::io;
use std::os::fd::OwnedFd;

/// When to try again after the interface's queue was full: the system does not say when it has room.
const AGAIN: Nanos = 100_000;
/// Frames that wait for room in the interface's queue when they are pushed.
const WAITING: usize = 1024;
/// Shortest frame, without its checksum.
const SHORTEST: usize = 60;

click::element! {
    /// Sends frames over a network interface of the host, pulled or pushed.
    ///
    /// It sleeps while there are none to pull, and for a moment when the interface's queue is full; of frames that are pushed,
    /// 1024 wait then, and others are dropped. Frames that were sent leave by output 0, others by output 1, if these are
    /// there. Needs the right to open
    /// packet sockets (`CAP_NET_RAW`).
    ///
    /// # Arguments
    /// `DEVNAME`, or `DEVID` (0), a number behind `eth`: the interface. `BURST` (32): frames at once. `NO_PAD` (true): short frames are sent as they are;
    /// false: they are filled up to 60 bytes. `QUIET` (false): errors are not announced. `METHOD`, `DEBUG` are accepted.
    ///
    /// # Handlers
    /// `count`: frames so far. `drops`: frames that could not be sent. `device`: the interface. `reset_counts`: sets the
    /// counts to 0.
    ToDevice "1/0-2" "a/h"
    keywords ["DEVNAME", "DEVID", "BURST", "NO_PAD", "QUIET", "METHOD", "DEBUG"]
    handlers [read("count"), read("drops"), read("device"), write("reset_counts")]
    { name: String, burst: usize, pads: bool, quiet: bool, socket: Option<OwnedFd>, waiting: Batch, pulls: bool, count: u64, drops: u64 }
}

impl ToDevice {
    fn new(args: &mut Args<'_>) -> Self {
        let name = interface(args);
        args.ignored("METHOD");
        args.ignored("DEBUG");
        Self {
            name,
            burst: args.next::<usize>("BURST").unwrap_or(BURST).max(1),
            pads: !args.key("NO_PAD").unwrap_or(true),
            quiet: args.key("QUIET").unwrap_or(false),
            socket: None,
            waiting: Batch::new(),
            pulls: true,
            count: 0,
            drops: 0,
        }
    }

    fn open(&self) -> io::Result<OwnedFd> {
        let any = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
        // It receives nothing: of no Ethernet type.
        sys::packet_socket(name_to_index(&any, &self.name)?, 0, None)
    }
}

impl ToDevice {
    /// Sends what waits; whether the interface took all.
    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(socket) = &self.socket else { return false };
        let (mut sent, mut lost) = (Batch::new(), Batch::new());
        while let Some(mut packet) = self.waiting.pop() {
            if self.pads && packet.len() < SHORTEST {
                // Without room it goes as it is.
                let _ = packet.put(SHORTEST - packet.len());
            }
            match send(socket, packet.data(), SendFlags::empty()) {
                Ok(_) => {
                    self.count += 1;
                    sent.push(packet);
                }
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::NOBUFS | rustix::io::Errno::INTR) => {
                    let mut rest = Batch::one(packet);
                    rest.append(std::mem::take(&mut self.waiting));
                    self.waiting = rest;
                    cx.wake_at(cx.now() + AGAIN);
                    break;
                }
                Err(e) => {
                    self.drops += 1;
                    if self.drops == 1 && !self.quiet {
                        cx.print(&format!("{}: {}: {}", cx.name(), self.name, reason(&e.into())));
                    }
                    lost.push(packet);
                }
            }
        }
        cx.output(0, sent);
        cx.output(1, lost);
        self.waiting.is_empty()
    }
}

impl Element for ToDevice {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.socket = Some(self.open().map_err(|e| format!("{}: {}", self.name, reason(&e)))?);
        self.pulls = cx.pulls(0);
        cx.schedule();
        Ok(())
    }

    fn device(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let room = WAITING.saturating_sub(self.waiting.len());
        self.waiting.append(batch.take_front(room));
        self.drops += batch.len() as u64;
        cx.output(1, batch);
        self.send(cx);
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if self.waiting.is_empty() && self.pulls {
            self.waiting = cx.pull(0, self.burst);
        }
        !self.waiting.is_empty() && self.send(cx) && self.pulls
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<ToDevice>() {
            self.waiting = std::mem::take(&mut old.waiting);
            (self.count, self.drops) = (old.count, old.drops);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.count.to_string(),
            "drops" => self.drops.to_string(),
            _ => self.name.clone(),
        })
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        (self.count, self.drops) = (0, 0);
        Ok(())
    }
}
