use super::link::{Link, Outbox};
use crate::devices::{LONGEST, mark_ip};
use crate::files::reason;
use crate::sys;
use click::Packet;
use click::args::Args;
use click::element::{Context, Element, read, write};
use click::packet::{BURST, Batch};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with};
use std::any::Any;
use std::net::{Ipv4Addr, SocketAddrV4};

click::element! {
    /// Exchanges IP packets of one protocol with the network, headers included.
    ///
    /// The host's kernel receives the packets too. What comes in, pushed or pulled, is sent to the destination in its
    /// IP header. Needs the right to open raw sockets (`CAP_NET_RAW`).
    ///
    /// # Arguments
    /// `TYPE`: `UDP`, `TCP`, `GRE` or `ICMP`. `PORT` (0: all): only TCP and UDP packets to this port are received.
    /// `ADDR` (any): only packets to this address of the host. `SNAPLEN` (2048): longest part of a packet. `BURST` (32):
    /// packets at once. `PROPER`, `HEADROOM` are accepted.
    ///
    /// # Handlers
    /// `count`: packets received. `sent`: packets sent. `drops`: packets that could not be sent. `reset_counts`: sets the
    /// counts to 0.
    RawSocket "0-1/0-1" "a/h"
    keywords ["TYPE", "PORT", "ADDR", "SNAPLEN", "BURST", "PROPER", "HEADROOM"]
    handlers [read("count"), read("sent"), read("drops"), write("reset_counts")]
    {
        protocol: rustix::net::Protocol,
        port: u16,
        address: Ipv4Addr,
        length: usize,
        burst: usize,
        link: Option<Link>,
        outbox: Outbox,
        pulls: bool,
        count: u64,
    }
}

impl RawSocket {
    fn new(args: &mut Args<'_>) -> Self {
        let kind = args.required::<String>("TYPE");
        let protocol = match kind.to_ascii_uppercase().as_str() {
            "UDP" => ipproto::UDP,
            "TCP" => ipproto::TCP,
            "GRE" => ipproto::GRE,
            "ICMP" => ipproto::ICMP,
            other => {
                args.error(format!("unknown socket type '{other}'"));
                ipproto::UDP
            }
        };
        args.key::<bool>("PROPER");
        args.key::<u32>("HEADROOM");
        Self {
            protocol,
            port: args.next("PORT").unwrap_or(0),
            address: args.key::<click::args::Ipv4>("ADDR").unwrap_or_default().0.into(),
            length: args.key::<usize>("SNAPLEN").unwrap_or(2048).clamp(20, LONGEST),
            burst: args.key::<usize>("BURST").unwrap_or(BURST).max(1),
            link: None,
            outbox: Outbox::default(),
            pulls: false,
            count: 0,
        }
    }

    fn open(&self) -> std::io::Result<Link> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::RAW, flags, Some(self.protocol))?;
        sys::with_headers(&socket)?;
        bind(&socket, &SocketAddrV4::new(self.address, 0))?;
        Link::new(socket, false)
    }

    /// Sends what waits; each packet has a destination of its own.
    fn flush(&mut self, mut batch: Batch) {
        let Some(link) = &mut self.link else { return };
        for packet in batch.drain() {
            let Some(destination) = packet.data().get(16..20) else {
                self.outbox.drops += 1;
                continue;
            };
            let to = Ipv4Addr::new(destination[0], destination[1], destination[2], destination[3]);
            link.peer = Some(SocketAddrV4::new(to, 0).into());
            self.outbox.add(Batch::one(packet));
            self.outbox.flush(link);
            // The next packet goes elsewhere.
            self.outbox.lose();
        }
    }
}

/// Whether an IP packet goes to a port, as far as its protocol has ports.
fn is_to(packet: &Packet, port: u16) -> bool {
    let transport = packet.transport().unwrap_or(0);
    let found = packet.data().get(transport + 2..transport + 4);
    port == 0 || found == Some(&port.to_be_bytes()[..])
}

impl Element for RawSocket {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.link = Some(self.open().map_err(|e| reason(&e))?);
        self.pulls = cx.inputs() > 0 && cx.pulls(0);
        if self.pulls {
            cx.schedule();
        }
        Ok(())
    }

    fn is_poller(&self) -> bool {
        true
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn push(&mut self, _: &mut Context<'_>, _: usize, batch: Batch) {
        self.flush(batch);
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(link) = &mut self.link else { return false };
        let (mut batch, _) = link.receive(self.burst, self.length, &|_| true);
        let (now, port) = (cx.host.wall_clock(), self.port);
        batch.retain_or_else(
            |packet| {
                packet.set_timestamp(now);
                mark_ip(packet) && is_to(packet, port)
            },
            drop,
        );
        let mut any = !batch.is_empty();
        self.count += batch.len() as u64;
        cx.output(0, batch);
        if self.pulls {
            let batch = cx.pull(0, self.burst);
            any |= !batch.is_empty();
            self.flush(batch);
        }
        any
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<RawSocket>() {
            self.count = old.count;
            self.outbox = std::mem::take(&mut old.outbox);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.count.to_string(),
            "sent" => self.outbox.sent.to_string(),
            _ => self.outbox.drops.to_string(),
        })
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        (self.count, self.outbox.sent, self.outbox.drops) = (0, 0, 0);
        Ok(())
    }
}
