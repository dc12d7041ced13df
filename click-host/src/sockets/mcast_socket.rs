use super::link::{Buffers, Link, Outbox};
use crate::devices::LONGEST;
use crate::files::reason;
use click::args::{Args, Ipv4};
use click::element::{Context, Element, read, write};
use click::packet::{BURST, Batch};
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};
use std::any::Any;
use std::net::{Ipv4Addr, SocketAddrV4};

click::element! {
    /// Exchanges packets' data with a multicast group over UDP.
    ///
    /// What comes in, pushed or pulled, is sent to the group; what is sent to the group leaves through the output.
    ///
    /// # Arguments
    /// `MCASTIP` and `MCASTPORT`: the group. `SOURCEIP` (any) and `SOURCEPORT` (any): the host's address that the group is
    /// joined from and packets are sent from; if it is given, packets that the element itself sent do not leave through
    /// its output. `LOOP` (true): other programs of this host receive what is sent. `TTL`
    /// (1): routers that a packet may pass, and one more. `SNAPLEN` (2048): longest packet received. `TIMESTAMP`
    /// (true): packets get the time of their arrival. `BURST` (32): packets at once. `RCVBUF`, `SNDBUF`: bytes that may wait in the
    /// kernel. `HEADROOM` is accepted.
    ///
    /// # Handlers
    /// `count`: packets received. `sent`: packets sent. `drops`: packets that could not be sent. `reset_counts`: sets the
    /// counts to 0.
    McastSocket "0-1/0-1" "a/h"
    keywords [
        "MCASTIP", "MCASTPORT", "SOURCEIP", "SOURCEPORT", "LOOP", "TTL", "SNAPLEN", "TIMESTAMP", "BURST", "HEADROOM",
        "RCVBUF", "SNDBUF",
    ]
    handlers [read("count"), read("sent"), read("drops"), write("reset_counts")]
    {
        group: SocketAddrV4,
        source: Ipv4Addr,
        source_port: Option<u16>,
        looped: bool,
        ttl: u32,
        buffers: Buffers,
        length: usize,
        stamps: bool,
        burst: usize,
        /// Where its own packets come from, if they are to be known.
        own: Option<SocketAddrAny>,
        /// One that receives and one that sends, each bound to its own address.
        links: Option<(Link, Link)>,
        outbox: Outbox,
        pulls: bool,
        count: u64,
    }
}

impl McastSocket {
    fn new(args: &mut Args<'_>) -> Self {
        let group = args.required::<Ipv4>("MCASTIP");
        let group = SocketAddrV4::new(group.0.into(), args.required("MCASTPORT"));
        if !group.ip().is_multicast() {
            args.error(format!("MCASTIP: {} is not a multicast address", group.ip()));
        }
        args.key::<u32>("HEADROOM");
        Self {
            group,
            source: args.next::<Ipv4>("SOURCEIP").unwrap_or_default().0.into(),
            source_port: args.next("SOURCEPORT"),
            looped: args.key("LOOP").unwrap_or(true),
            ttl: args.key::<u8>("TTL").unwrap_or(1).into(),
            buffers: Buffers::new(args),
            length: args.key::<usize>("SNAPLEN").unwrap_or(2048).clamp(1, LONGEST),
            stamps: args.key("TIMESTAMP").unwrap_or(true),
            burst: args.key::<usize>("BURST").unwrap_or(BURST).max(1),
            own: None,
            links: None,
            outbox: Outbox::default(),
            pulls: false,
            count: 0,
        }
    }

    fn open(&mut self) -> std::io::Result<(Link, Link)> {
        let buffers = &self.buffers;
        let socket = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            buffers.set(&socket)?;
            Ok::<_, std::io::Error>(socket)
        };
        let receives = socket()?;
        bind(&receives, &self.group)?;
        sockopt::set_ip_add_membership(&receives, self.group.ip(), &self.source)?;
        let sends = socket()?;
        bind(&sends, &SocketAddrV4::new(self.source, self.source_port.unwrap_or(0)))?;
        if !self.source.is_unspecified() {
            sockopt::set_ip_multicast_if(&sends, &self.source)?;
            self.own = Some(getsockname(&sends)?);
        }
        sockopt::set_ip_multicast_loop(&sends, self.looped)?;
        sockopt::set_ip_multicast_ttl(&sends, self.ttl)?;
        let mut sends = Link::new(sends, false)?;
        sends.peer = Some(self.group.into());
        Ok((Link::new(receives, false)?, sends))
    }

    fn flush(&mut self) {
        if let Some((_, sends)) = self.links.as_ref().filter(|(_, sends)| sends.watch.has_room()) {
            self.outbox.flush(sends);
        }
    }
}

impl Element for McastSocket {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.links = Some(self.open().map_err(|e| reason(&e))?);
        self.pulls = cx.inputs() > 0 && cx.pulls(0);
        Ok(())
    }

    fn is_poller(&self) -> bool {
        true
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn push(&mut self, _: &mut Context<'_>, _: usize, batch: Batch) {
        self.outbox.add(batch);
        self.flush();
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((receives, _)) = &mut self.links else { return false };
        let own = &self.own;
        let (mut batch, _) = receives.receive(self.burst, self.length, &|from| Some(from) != own.as_ref());
        let mut any = !batch.is_empty();
        self.count += batch.len() as u64;
        if self.stamps && any {
            let now = cx.host.wall_clock();
            batch.each(|packet| packet.set_timestamp(now));
        }
        cx.output(0, batch);
        self.flush();
        if self.pulls && self.outbox.is_empty() {
            let batch = cx.pull(0, self.burst);
            any |= !batch.is_empty();
            self.outbox.add(batch);
            self.flush();
        }
        any
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<McastSocket>() {
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
