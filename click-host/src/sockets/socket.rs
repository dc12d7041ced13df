use super::link::{Buffers, Link, Outbox};
use crate::devices::LONGEST;
use crate::files::reason;
use crate::watch::Watch;
use click::args::{Args, Ipv4};
use click::element::{Class, Context, Described, Element, read, write};
use click::packet::{BURST, Batch};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, socket_with, sockopt,
};
use std::any::Any;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

click::element! {
    /// Exchanges packets' data with another program over a TCP, UDP or Unix socket.
    ///
    /// What comes in, pushed or pulled, is sent; what arrives leaves through the output. A server talks to one client of
    /// a stream at a time, and takes the next when that has gone; datagrams go to whoever sent the last one.
    ///
    /// # Arguments
    /// `TYPE`: `TCP`, `UDP`, `UNIX` (a stream) or `UNIX_DGRAM`. Then `ADDR` and `PORT`, and for `UDP` clients `LOCAL_ADDR`
    /// and `LOCAL_PORT`; or `FILENAME`, and `LOCAL_FILENAME`. `CLIENT` (false): connects, instead of waiting for
    /// clients. `SNAPLEN` (2048): bytes received at once. `NODELAY` (true): TCP sends small packets at once. `ALLOW`,
    /// `DENY`: networks whose datagrams and connections are taken, or not, with blanks between them. `VERBOSE`
    /// (false): connections are announced. `TIMESTAMP` (true): packets get the time of their arrival. `BURST` (32):
    /// packets at once. `RCVBUF`, `SNDBUF`: bytes that may wait in the kernel. `PROPER`, `HEADROOM` are accepted.
    ///
    /// # Handlers
    /// `count`: packets received. `sent`: packets sent. `drops`: packets that nobody took. `reset_counts`: sets the
    /// counts to 0.
    Socket "0-1/0-1" "a/h"
    keywords [
        "TYPE", "ADDR", "PORT", "LOCAL_ADDR", "LOCAL_PORT", "FILENAME", "LOCAL_FILENAME", "CLIENT", "SNAPLEN",
        "NODELAY", "ALLOW", "DENY", "VERBOSE", "TIMESTAMP", "BURST", "PROPER", "HEADROOM", "RCVBUF", "SNDBUF",
    ]
    handlers [read("count"), read("sent"), read("drops"), write("reset_counts")]
    {
        kind: Kind,
        client: bool,
        nodelay: bool,
        verbose: bool,
        stamps: bool,
        length: usize,
        burst: usize,
        buffers: Buffers,
        rules: Rules,
        listener: Option<(OwnedFd, Watch)>,
        link: Option<Link>,
        outbox: Outbox,
        /// The client sends no more: the connection is closed when the answers to its last packets are out.
        ended: bool,
        pulls: bool,
        count: u64,
    }
}

enum Kind {
    Tcp(SocketAddrV4),
    Udp(SocketAddrV4, Option<SocketAddrV4>),
    Unix(String),
    UnixDatagram(String, Option<String>),
}

/// Whose packets are taken.
#[derive(Default)]
struct Rules {
    allow: Vec<([u8; 4], u8)>,
    deny: Vec<([u8; 4], u8)>,
}

impl Rules {
    fn allow(&self, from: &SocketAddrAny) -> bool {
        let Ok(from) = SocketAddrV4::try_from(from.clone()) else { return true };
        let longest = |list: &[([u8; 4], u8)]| {
            let fits =
                list.iter().filter(|(net, length)| click::args::mask(from.ip().octets(), *length) == *net);
            fits.map(|(_, length)| *length).max()
        };
        match (longest(&self.allow), longest(&self.deny)) {
            (None, None) => self.allow.is_empty(),
            (allow, deny) => allow >= deny,
        }
    }
}

fn networks(args: &mut Args<'_>, keyword: &str) -> Vec<([u8; 4], u8)> {
    let text = args.key::<String>(keyword).unwrap_or_default();
    let mut networks = Vec::new();
    for word in text.split_whitespace() {
        match args.names.prefix(word) {
            Some(prefix) => networks.push(prefix),
            None => args.error(format!("{keyword}: expected an IP prefix, not '{word}'")),
        }
    }
    networks
}

/// A socket that sends: a client, unless it is said otherwise.
pub struct ToSocket;

impl Described for ToSocket {
    const CLASS: Class = Class {
        name: "ToSocket",
        ports: "1/0",
        make: |args| {
            args.otherwise("CLIENT", "true");
            Box::new(Socket::new(args))
        },
        ..Socket::CLASS
    };
}

impl Socket {
    fn new(args: &mut Args<'_>) -> Self {
        let kind = args.required::<String>("TYPE");
        let internet = |args: &mut Args<'_>| {
            let address = args.required::<Ipv4>("ADDR");
            SocketAddrV4::new(address.0.into(), args.required("PORT"))
        };
        let kind = match kind.to_ascii_uppercase().as_str() {
            "TCP" => Kind::Tcp(internet(args)),
            "UDP" => {
                let address = internet(args);
                let local = args.next::<Ipv4>("LOCAL_ADDR");
                let port = args.next::<u16>("LOCAL_PORT");
                let own = (local.is_some() || port.is_some())
                    .then(|| SocketAddrV4::new(local.unwrap_or_default().0.into(), port.unwrap_or(0)));
                Kind::Udp(address, own)
            }
            "UNIX" => Kind::Unix(args.required("FILENAME")),
            "UNIX_DGRAM" => Kind::UnixDatagram(args.required("FILENAME"), args.next("LOCAL_FILENAME")),
            other => {
                args.error(format!("unknown socket type '{other}'"));
                args.rest();
                Kind::Unix(String::new())
            }
        };
        args.key::<bool>("PROPER");
        args.key::<u32>("HEADROOM");
        Self {
            kind,
            client: args.key("CLIENT").unwrap_or(false),
            nodelay: args.key("NODELAY").unwrap_or(true),
            verbose: args.key("VERBOSE").unwrap_or(false),
            stamps: args.key("TIMESTAMP").unwrap_or(true),
            length: args.key::<usize>("SNAPLEN").unwrap_or(2048).clamp(1, LONGEST),
            burst: args.key::<usize>("BURST").unwrap_or(BURST).max(1),
            buffers: Buffers::new(args),
            rules: Rules { allow: networks(args, "ALLOW"), deny: networks(args, "DENY") },
            listener: None,
            link: None,
            outbox: Outbox::default(),
            ended: false,
            pulls: false,
            count: 0,
        }
    }

    fn open(&mut self) -> Result<(), Errno> {
        let (family, datagram) = match &self.kind {
            Kind::Tcp(_) => (AddressFamily::INET, false),
            Kind::Udp(..) => (AddressFamily::INET, true),
            Kind::Unix(_) => (AddressFamily::UNIX, false),
            Kind::UnixDatagram(..) => (AddressFamily::UNIX, true),
        };
        let kind = if datagram { SocketType::DGRAM } else { SocketType::STREAM };
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        if family == AddressFamily::INET {
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        self.buffers.set(&socket)?;
        let unix = |path: &str| SocketAddrUnix::new(path).map(SocketAddrAny::from);
        let (address, own): (SocketAddrAny, Option<SocketAddrAny>) = match &self.kind {
            Kind::Tcp(address) => ((*address).into(), None),
            Kind::Udp(address, own) => ((*address).into(), own.map(Into::into)),
            Kind::Unix(path) => (unix(path)?, None),
            Kind::UnixDatagram(path, own) => (unix(path)?, own.as_deref().map(unix).transpose()?),
        };
        if self.client {
            if let Some(own) = &own {
                bind(&socket, own)?;
            }
            match connect(&socket, &address) {
                // A stream is connected a little later; what is sent meanwhile waits.
                Ok(()) | Err(Errno::INPROGRESS) => {}
                Err(e) => return Err(e),
            }
        } else {
            if let Kind::Unix(path) | Kind::UnixDatagram(path, _) = &self.kind {
                remove_socket(path);
            }
            bind(&socket, &address)?;
            if !datagram {
                listen(&socket, 16)?;
                let watch = Watch::new(&socket).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
                self.listener = Some((socket, watch));
                return Ok(());
            }
        }
        let link = Link::new(socket, !datagram).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        if self.nodelay && matches!(self.kind, Kind::Tcp(_)) {
            sockopt::set_tcp_nodelay(&link.socket, true)?;
        }
        // A server of datagrams answers whoever wrote last.
        self.link = Some(Link { answers: !self.client, ..link });
        Ok(())
    }

    /// Takes the next client, if there is none.
    fn accept(&mut self, cx: &mut Context<'_>) {
        let Some((listener, watch)) = &self.listener else { return };
        if self.link.is_some() || !watch.is_readable() {
            return;
        }
        let accepted = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        let Ok(socket) = accepted else { return watch.set_not_readable() };
        let allowed =
            rustix::net::getpeername(&socket).is_ok_and(|from| from.is_none_or(|f| self.rules.allow(&f)));
        if !allowed {
            return;
        }
        if self.nodelay && matches!(self.kind, Kind::Tcp(_)) {
            // Without it, packets only wait a little.
            let _ = sockopt::set_tcp_nodelay(&socket, true);
        }
        self.link = Link::new(socket, true).ok();
        if self.verbose {
            cx.print(&format!("{}: opened connection", cx.name()));
        }
        if self.pulls {
            cx.schedule();
        }
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        self.link = None;
        self.ended = false;
        if self.verbose {
            cx.print(&format!("{}: closed connection", cx.name()));
        }
        if let Some((_, watch)) = &self.listener {
            watch.pause(false);
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        let broken = match &self.link {
            Some(link) if link.watch.has_room() => self.outbox.flush(link),
            _ => false,
        };
        if broken {
            self.close(cx);
        }
    }
}

/// Removes a socket's file that an earlier program has left.
pub(super) fn remove_socket(path: &str) {
    use std::os::unix::fs::FileTypeExt;
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
        // If it cannot be removed, binding says so.
        let _ = std::fs::remove_file(path);
    }
}

impl Element for Socket {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.open().map_err(|e| reason(&e.into()))?;
        self.pulls = cx.inputs() > 0 && cx.pulls(0);
        Ok(())
    }

    fn is_poller(&self) -> bool {
        true
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        if self.link.is_none() {
            self.outbox.drops += batch.len() as u64;
            return;
        }
        self.outbox.add(batch);
        self.flush(cx);
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if self.ended && self.outbox.is_empty() {
            self.close(cx);
        }
        self.accept(cx);
        if let (Some((_, watch)), true) = (&self.listener, self.link.is_some()) {
            watch.pause(true);
        }
        let rules = &self.rules;
        let Some(link) = &mut self.link else { return false };
        let (mut batch, open) = link.receive(self.burst, self.length, &|from| rules.allow(from));
        let mut any = !batch.is_empty();
        self.count += batch.len() as u64;
        if self.stamps && any {
            let now = cx.host.wall_clock();
            batch.each(|packet| packet.set_timestamp(now));
        }
        cx.output(0, batch);
        if !self.outbox.is_empty() {
            self.flush(cx);
        }
        if self.pulls && self.link.is_some() && self.outbox.is_empty() {
            let batch = cx.pull(0, self.burst);
            any |= !batch.is_empty();
            self.outbox.add(batch);
            self.flush(cx);
        }
        self.ended |= !open && self.link.is_some();
        any | !open
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        let Some(old) = (old as &mut dyn Any).downcast_mut::<Socket>() else { return };
        if self.link.is_none() {
            self.link = old.link.take();
        }
        self.count = old.count;
        self.outbox = std::mem::take(&mut old.outbox);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_longest_network_decides() {
        let from = SocketAddrAny::from(SocketAddrV4::new(Ipv4Addr::new(10, 1, 2, 3), 9));
        let rules = |allow: &[([u8; 4], u8)], deny: &[([u8; 4], u8)]| Rules {
            allow: allow.to_vec(),
            deny: deny.to_vec(),
        };
        assert!(rules(&[], &[]).allow(&from));
        assert!(!rules(&[([11, 0, 0, 0], 8)], &[]).allow(&from));
        assert!(!rules(&[([10, 0, 0, 0], 8)], &[([10, 1, 0, 0], 16)]).allow(&from));
        assert!(rules(&[([10, 1, 2, 0], 24)], &[([10, 1, 0, 0], 16)]).allow(&from));
    }
}
