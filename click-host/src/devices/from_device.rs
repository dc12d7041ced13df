use super::{LONGEST, SNAPLEN, interface, mark_frame, mark_ip, receive};
use crate::files::reason;
use crate::sys;
use crate::watch::Watch;
use click::args::Args;
use click::element::{Context, Element, read, write};
use click::handlers::parse;
use click::packet::{BURST, Batch, Kind};
use rustix::net::netdevice::name_to_index;
use std::any::Any;
use std::os::fd::OwnedFd;

/// All Ethernet types.
const ALL: u16 = 3;

click::element! {
    /// Receives frames from a network interface of the host, and pushes them.
    ///
    /// Needs the right to open packet sockets (`CAP_NET_RAW`).
    ///
    /// # Arguments
    /// `DEVNAME`, or `DEVID` (0), a number behind `eth`: the interface. `SNIFFER` (true): the host's kernel sees the frames too; when false, it does not (Linux
    /// 6.6, `CAP_BPF` and `CAP_NET_ADMIN`). `PROMISC` (false): frames for others are received too. `SNAPLEN` (2046): longest part of a frame. `FORCE_IP` (false): only
    /// frames with IP packets, whose headers are marked. `OUTBOUND` (false): frames that the host sends are received
    /// too. `PROTOCOL` (0: all): only frames of this Ethernet type. `BURST` (32): frames at once. `TIMESTAMP` (true):
    /// each frame gets the time of its arrival. `BPF_FILTER`: only frames that an expression of pcap-filter(7) holds for
    /// (libpcap compiles it). `ACTIVE` (true): when false, nothing is received. `METHOD`, `CAPTURE`, `HEADROOM`
    /// are accepted, and `ENCAP` if it is `ETHER`.
    ///
    /// # Handlers
    /// `count`: frames so far. `kernel_drops`: frames that arrived too fast. `encap`: always `ETHER`. `device`: the
    /// interface. `active`: the argument. `reset_counts`: sets the counts to 0.
    FromDevice "0/1" "/h"
    keywords [
        "DEVNAME", "DEVID", "SNIFFER", "PROMISC", "SNAPLEN", "FORCE_IP", "OUTBOUND", "PROTOCOL", "BURST", "TIMESTAMP", "ACTIVE",
        "METHOD", "CAPTURE", "HEADROOM", "BPF_FILTER", "ENCAP",
    ]
    handlers [
        read("count"), read("kernel_drops"), read("encap"), read("device"), click::element::read_write("active"),
        write("reset_counts"),
    ]
    {
        name: String,
        sniffer: bool,
        promiscuous: bool,
        length: usize,
        force_ip: bool,
        outbound: bool,
        protocol: u16,
        filter: Option<sys::Filter>,
        burst: usize,
        stamps: bool,
        active: bool,
        mac: [u8; 6],
        socket: Option<(OwnedFd, Watch)>,
        /// Keeps frames from the kernel as long as it is open.
        screen: Option<OwnedFd>,
        count: u64,
        drops: u64,
    }
}

impl FromDevice {
    fn new(args: &mut Args<'_>) -> Self {
        let name = interface(args);
        let promiscuous = args.next("PROMISC").unwrap_or(false);
        let length = args.next::<usize>("SNAPLEN").unwrap_or(SNAPLEN).clamp(14, LONGEST);
        for name in ["METHOD", "CAPTURE", "HEADROOM"] {
            args.ignored(name);
        }
        if let Some(encap) = args.key::<String>("ENCAP").filter(|e| !e.eq_ignore_ascii_case("ETHER")) {
            args.error(format!("ENCAP: frames are those of Ethernet, not of '{encap}'"));
        }
        let filter = args.key::<String>("BPF_FILTER").and_then(|expression| {
            let compiled = sys::Filter::compile(&expression);
            compiled.map_err(|message| args.error(format!("BPF_FILTER: {message}"))).ok()
        });
        Self {
            filter,
            name,
            sniffer: args.key("SNIFFER").unwrap_or(true),
            promiscuous,
            length,
            force_ip: args.key("FORCE_IP").unwrap_or(false),
            outbound: args.key("OUTBOUND").unwrap_or(false),
            protocol: args.key::<u16>("PROTOCOL").filter(|&p| p != 0).unwrap_or(ALL),
            burst: args.next::<usize>("BURST").unwrap_or(BURST).max(1),
            stamps: args.key("TIMESTAMP").unwrap_or(true),
            active: args.key("ACTIVE").unwrap_or(true),
            mac: [0; 6],
            socket: None,
            screen: None,
            count: 0,
            drops: 0,
        }
    }

    fn interface(&self) -> std::io::Result<u32> {
        let any =
            rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None)?;
        Ok(name_to_index(&any, &self.name)?)
    }

    fn open(&self) -> std::io::Result<(OwnedFd, Watch)> {
        let interface = self.interface()?;
        let socket = sys::packet_socket(interface, self.protocol, self.filter.as_ref())?;
        if self.promiscuous {
            sys::promiscuous(&socket, interface)?;
        }
        let watch = Watch::new(&socket)?;
        Ok((socket, watch))
    }
}

impl Element for FromDevice {
    fn initialize(&mut self, _: &mut Context<'_>) -> Result<(), String> {
        self.socket = Some(self.open().map_err(|e| format!("{}: {}", self.name, reason(&e)))?);
        self.mac = sys::device_info(&self.name).mac;
        if !self.sniffer {
            let screen = self.interface().and_then(sys::hide_from_kernel);
            self.screen = Some(screen.map_err(|e| format!("{}: SNIFFER false: {}", self.name, reason(&e)))?);
        }
        Ok(())
    }

    fn device(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn is_poller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((socket, watch)) = self.socket.as_ref().filter(|(_, w)| self.active && w.is_readable())
        else {
            return false;
        };
        let (mut batch, mut sent) = (Batch::new(), Vec::new());
        let more = receive(self.burst, self.length, &mut batch, |buffer| {
            let (length, kind) = sys::receive_frame(socket, buffer)?;
            sent.push(i32::from(kind) == i32::from(libc::PACKET_OUTGOING));
            Ok(length)
        });
        match more {
            Ok(true) => {}
            Ok(false) => watch.set_not_readable(),
            // The interface went down, say: there may be frames again later.
            Err(_) => watch.set_not_readable(),
        }
        let mut sent = sent.into_iter();
        let (own, outbound, stamp) = (self.mac, self.outbound, self.stamps.then(|| cx.host.wall_clock()));
        let force_ip = self.force_ip;
        batch.retain_or_else(
            |packet| {
                let sent = sent.next().unwrap_or(false);
                mark_frame(packet, stamp.unwrap_or(0), own);
                if sent {
                    packet.set_kind(Kind::Other);
                }
                (!sent || outbound) && (!force_ip || mark_inner(packet))
            },
            drop,
        );
        self.count += batch.len() as u64;
        let any = !batch.is_empty();
        cx.output(0, batch);
        any
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<FromDevice>() {
            (self.count, self.drops) = (old.count, old.drops);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.count.to_string(),
            "kernel_drops" => {
                self.drops += self.socket.as_ref().map_or(0, |(s, _)| u64::from(sys::dropped_frames(s)));
                self.drops.to_string()
            }
            "encap" => "ETHER".to_string(),
            "active" => self.active.to_string(),
            _ => self.name.clone(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "active" => {
                self.active = parse(cx, value)?;
                if let Some((_, watch)) = &self.socket {
                    watch.pause(!self.active);
                }
            }
            _ => {
                self.socket.as_ref().map(|(s, _)| sys::dropped_frames(s));
                (self.count, self.drops) = (0, 0);
            }
        }
        Ok(())
    }
}

/// Marks the IP packet inside of a frame; whether there is one.
fn mark_inner(packet: &mut click::Packet) -> bool {
    if !matches!(packet.data().get(12..14), Some([0x08, 0x00] | [0x86, 0xdd])) {
        return false;
    }
    packet.pull(14);
    let right = mark_ip(packet);
    let (network, transport) = (packet.network().unwrap_or(0), packet.transport().unwrap_or(0));
    packet.push(14);
    if right {
        packet.set_headers(network + 14, transport + 14);
    }
    right
}
