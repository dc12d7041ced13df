use crate::configuration::reason;
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
/// Shortest frame, without its checksum.
const SHORTEST: usize = 60;

click::element! {
    /// Sends frames over a network interface of the host.
    ///
    /// It sleeps while there are none, and for a moment when the interface's queue is full. Needs the right to open
    /// packet sockets (`CAP_NET_RAW`).
    ///
    /// # Arguments
    /// `DEVNAME`: the interface. `BURST` (32): frames at once. `NO_PAD` (true): short frames are sent as they are;
    /// false: they are filled up to 60 bytes. `QUIET` (false): errors are not announced. `METHOD`, `DEBUG` are accepted.
    ///
    /// # Handlers
    /// `count`: frames so far. `drops`: frames that could not be sent. `device`: the interface. `reset_counts`: sets the
    /// counts to 0.
    ToDevice "1/0" "l/"
    keywords ["DEVNAME", "BURST", "NO_PAD", "QUIET", "METHOD", "DEBUG"]
    handlers [read("count"), read("drops"), read("device"), write("reset_counts")]
    { name: String, burst: usize, pads: bool, quiet: bool, socket: Option<OwnedFd>, waiting: Batch, count: u64, drops: u64 }
}

impl ToDevice {
    fn new(args: &mut Args<'_>) -> Self {
        let name = args.required::<String>("DEVNAME");
        args.key::<String>("METHOD");
        args.key::<bool>("DEBUG");
        Self {
            name,
            burst: args.key::<usize>("BURST").unwrap_or(BURST).max(1),
            pads: !args.key("NO_PAD").unwrap_or(true),
            quiet: args.key("QUIET").unwrap_or(false),
            socket: None,
            waiting: Batch::new(),
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

impl Element for ToDevice {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.socket = Some(self.open().map_err(|e| format!("{}: {}", self.name, reason(&e)))?);
        cx.schedule();
        Ok(())
    }

    fn device(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(socket) = &self.socket else { return false };
        if self.waiting.is_empty() {
            self.waiting = cx.pull(0, self.burst);
        }
        while let Some(mut packet) = self.waiting.pop() {
            if self.pads && packet.len() < SHORTEST {
                // Without room it goes as it is.
                let _ = packet.put(SHORTEST - packet.len());
            }
            match send(socket, packet.data(), SendFlags::empty()) {
                Ok(_) => self.count += 1,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::NOBUFS | rustix::io::Errno::INTR) => {
                    let mut rest = Batch::one(packet);
                    rest.append(std::mem::take(&mut self.waiting));
                    self.waiting = rest;
                    cx.wake_at(cx.now() + AGAIN);
                    return false;
                }
                Err(e) => {
                    self.drops += 1;
                    if self.drops == 1 && !self.quiet {
                        cx.print(&format!("{}: {}: {}", cx.name(), self.name, reason(&e.into())));
                    }
                }
            }
            if self.waiting.is_empty() {
                return true;
            }
        }
        false
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
