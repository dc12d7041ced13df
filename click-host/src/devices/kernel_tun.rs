use super::tunnel::{Settings, Tunnel, open};
use super::{mark_frame, mark_ip};
use click::Packet;
use click::args::{Args, Ethernet, Ipv4};
use click::element::{Class, Context, Described, Element, read, write};
use click::packet::{BURST, Batch};
use std::any::Any;
use std::sync::Arc;

click::element! {
    /// Exchanges IP packets with the host's own network through a TUN device.
    ///
    /// Packets that come in, pushed or pulled, arrive at the host; packets that the host sends to the device leave
    /// through output 0, with their headers marked, and through output 1 if they are not IP packets. The device
    /// is made when the router starts and is gone when it ends. Needs the right to make devices (`CAP_NET_ADMIN`).
    ///
    /// # Arguments
    /// `ADDR`: the host's address on the device, with a prefix length. `GATEWAY`: the host's default route leads there.
    /// `DEVNAME` or `DEV_NAME`: the device's name. `MTU`: longest packet. `BURST` (32): packets at once. `TAP` (false): frames go
    /// through, as with `KernelTap`; `ETHER`: the host's Ethernet address then. `HEADROOM`, `IGNORE_QUEUE_OVERFLOWS`
    /// are accepted.
    ///
    /// # Handlers
    /// `count`: packets from the host so far; also `packets`. `selected_calls`: how often it was looked for them. `sent`: packets to it. `drops`: packets that it did not take. `dev_name`: the
    /// device's name. `signal`: false, for there is nothing that waits. `reset_counts`: sets the counts to 0.
    KernelTun "0-1/0-2" "a/h"
    keywords ["ADDR", "GATEWAY", "DEVNAME", "DEV_NAME", "MTU", "BURST", "TAP", "ETHER", "HEADROOM", "IGNORE_QUEUE_OVERFLOWS"]
    handlers [read("count"), read("packets"), read("selected_calls"), read("sent"), read("drops"), read("dev_name"), read("signal"), write("reset_counts")]
    {
        settings: Settings,
        burst: usize,
        tunnel: Option<Arc<Tunnel>>,
        pulls: bool,
        looked: u64,
        count: u64,
        sent: u64,
        drops: u64,
    }
}

/// A TUN device that carries frames.
pub struct KernelTap;

impl Described for KernelTap {
    const CLASS: Class =
        Class { name: "KernelTap", make: |args| Box::new(KernelTun::made(args, true)), ..KernelTun::CLASS };
}

/// An address with a prefix length, which a host's own address has and a network's has not.
pub(super) fn host_prefix(text: &str, args: &Args<'_>) -> Option<([u8; 4], u8)> {
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    let address = args.names.ipv4(address)?;
    let length = match args.names.ipv4(length) {
        Some(mask) if length.contains('.') => u32::from_be_bytes(mask).leading_ones() as u8,
        _ => length.parse::<u8>().ok().filter(|&l| l <= 32)?,
    };
    Some((address, length))
}

impl KernelTun {
    fn new(args: &mut Args<'_>) -> Self {
        Self::made(args, false)
    }

    fn made(args: &mut Args<'_>, tap: bool) -> Self {
        let text = args.required::<String>("ADDR");
        let address = host_prefix(&text, args);
        if address.is_none() {
            args.error(format!("ADDR: expected an IP prefix, not '{text}'"));
        }
        let gateway = args.next::<Ipv4>("GATEWAY").map(|g| g.0);
        args.key::<u32>("HEADROOM");
        args.key::<bool>("IGNORE_QUEUE_OVERFLOWS");
        let settings = Settings {
            name: args.key::<String>("DEVNAME").or_else(|| args.key("DEV_NAME")).unwrap_or_default(),
            tap: args.key("TAP").unwrap_or(tap),
            address,
            gateway,
            ethernet: args.key::<Ethernet>("ETHER").map(|e| e.to_string().replace('-', ":")),
            mtu: args.key("MTU"),
        };
        let burst = args.key::<usize>("BURST").unwrap_or(BURST).max(1);
        Self { settings, burst, tunnel: None, pulls: false, looked: 0, count: 0, sent: 0, drops: 0 }
    }

    fn send(&mut self, batch: &Batch) {
        let Some(tunnel) = &self.tunnel else { return };
        for packet in batch.iter() {
            match tunnel.send(packet.data()) {
                Ok(()) => self.sent += 1,
                Err(_) => self.drops += 1,
            }
        }
    }
}

impl Element for KernelTun {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.tunnel = Some(open(&self.settings)?);
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
        self.send(&batch);
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(tunnel) = &self.tunnel else { return false };
        self.looked += 1;
        let mut batch = tunnel.receive(self.burst);
        let mut any = !batch.is_empty();
        self.count += batch.len() as u64;
        let (now, tap) = (cx.host.wall_clock(), self.settings.tap);
        let mut others = Batch::new();
        batch.retain_or_else(|packet| mark(packet, now, tap), |packet| others.push(packet));
        cx.output(0, batch);
        cx.output(1, others);
        if self.pulls {
            let batch = cx.pull(0, self.burst);
            any |= !batch.is_empty();
            self.send(&batch);
        }
        any
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<KernelTun>() {
            (self.count, self.sent, self.drops) = (old.count, old.sent, old.drops);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" | "packets" => self.count.to_string(),
            "selected_calls" => self.looked.to_string(),
            "sent" => self.sent.to_string(),
            "drops" => self.drops.to_string(),
            "signal" => "false".to_string(),
            _ => self.tunnel.as_ref().map(|t| t.name.clone()).unwrap_or_default(),
        })
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        (self.count, self.sent, self.drops) = (0, 0, 0);
        Ok(())
    }
}

/// Notes what is known of a packet from the host; whether it is what the device carries.
pub(super) fn mark(packet: &mut Packet, now: u64, tap: bool) -> bool {
    if tap {
        mark_frame(packet, now, [0; 6]);
        return true;
    }
    packet.set_timestamp(now);
    mark_ip(packet)
}
