//! Sources of whole Ethernet frames with UDP or TCP, for measurements.

use crate::args::{Args, Ethernet, Ipv4};
use crate::element::{Context, Element, Nanos, read, read_write, write};
use crate::elements::flow::{BurstLimit, TokenBucket};
use crate::handlers::parse;
use crate::headers::{
    ETHERNET, ETHERTYPE_IPV4, IPV4, PROTOCOL_TCP, PROTOCOL_UDP, transport_checksum, write_ethernet,
    write_ipv4,
};
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Most flows at the same time.
const MOST: usize = 1 << 16;
/// Shortest frame, without its checksum.
const SHORTEST: usize = 60;
/// Longest.
const LONGEST: usize = 9000;

/// One flow: its ports, and packets so far.
#[derive(Clone, Copy, Default)]
struct Flow {
    ports: [u16; 2],
    sent: u32,
}

/// What all these sources do.
struct Generator {
    protocol: u8,
    bucket: Option<TokenBucket>,
    limit: i64,
    length: usize,
    source: (Ethernet, Ipv4),
    destination: (Ethernet, Ipv4),
    flows: Vec<Flow>,
    /// Packets of a flow, after which others begin; 0: flows do not end.
    size: u32,
    checksum: bool,
    active: bool,
    count: u64,
    began: Option<Nanos>,
    ended: Nanos,
}

impl Generator {
    /// From the arguments; `ports`: they say the ports of one flow, otherwise how many flows there are.
    fn new(args: &mut Args<'_>, protocol: u8, ports: bool) -> Self {
        let rate: u64 = args.required("RATE");
        let limit = args.required("LIMIT");
        let length: usize = args.required("LENGTH");
        let (ethernet, address) = (args.required("SRCETH"), args.required("SRCIP"));
        let sport = if ports { args.required("SPORT") } else { 0 };
        let (to_ethernet, to_address) = (args.required("DSTETH"), args.required("DSTIP"));
        let (flows, size) = if ports {
            (alloc::vec![Flow { ports: [sport, args.required("DPORT")], sent: 0 }], 0)
        } else {
            let (count, size) = (args.required::<usize>("FLOWS"), args.required::<u32>("FLOWSIZE"));
            if !(1..=MOST).contains(&count) || size == 0 {
                args.error("FLOWS, FLOWSIZE: there must be some, and at most 65536 flows");
            }
            // A flow of TCP has a beginning and an end.
            let least = if protocol == PROTOCOL_TCP { 3 } else { 1 };
            (alloc::vec![Flow { ports: [0; 2], sent: u32::MAX }; count.clamp(1, MOST)], size.max(least))
        };
        let checksum = if protocol == PROTOCOL_TCP { true } else { args.next("CHECKSUM").unwrap_or(true) };
        if ports {
            // How often the rate is measured.
            let _ = args.next::<u32>("INTERVAL");
        }
        Self {
            protocol,
            bucket: (rate > 0).then(|| TokenBucket::new(rate, BurstLimit::Tokens(1))),
            limit,
            length: length.clamp(SHORTEST, LONGEST),
            source: (ethernet, address),
            destination: (to_ethernet, to_address),
            flows,
            size,
            checksum,
            active: args.next("ACTIVE").unwrap_or(true),
            count: 0,
            began: None,
            ended: 0,
        }
    }

    /// The flow of the next packet; a new one in place of one that has ended.
    fn flow(&mut self, random: u64) -> Flow {
        let at = if self.flows.len() > 1 { (random >> 32) as usize % self.flows.len() } else { 0 };
        let flow = &mut self.flows[at];
        if self.size > 0 && flow.sent >= self.size {
            *flow = Flow { ports: [random as u16 | 1, (random >> 16) as u16 | 1], sent: 0 };
        }
        let now = *flow;
        flow.sent = flow.sent.saturating_add(u32::from(self.size > 0));
        now
    }

    fn packet(&mut self, cx: &mut Context<'_>) -> Option<Packet> {
        let flow = self.flow(cx.random());
        let mut packet = Packet::new(self.length)?;
        packet.put(self.length)?;
        let (source, destination) = (self.source.1.0, self.destination.1.0);
        let data = packet.data_mut();
        write_ethernet(data, self.destination.0.0, self.source.0.0, ETHERTYPE_IPV4);
        let total = (self.length - ETHERNET) as u16;
        write_ipv4(&mut data[ETHERNET..], total, self.count as u16, self.protocol, source, destination);
        let segment = &mut data[ETHERNET + IPV4..];
        segment[..2].copy_from_slice(&flow.ports[0].to_be_bytes());
        segment[2..4].copy_from_slice(&flow.ports[1].to_be_bytes());
        let place = if self.protocol == PROTOCOL_UDP {
            segment[4..6].copy_from_slice(&(total - IPV4 as u16).to_be_bytes());
            6
        } else {
            segment[4..8].copy_from_slice(&flow.sent.to_be_bytes());
            // SYN, then ACK, then FIN and ACK.
            let flags = match flow.sent {
                0 => 2,
                last if last + 1 == self.size => 17,
                _ => 16,
            };
            segment[12..16].copy_from_slice(&[0x50, flags, 0xff, 0xff]);
            16
        };
        if self.checksum {
            let sum = transport_checksum(source, destination, self.protocol, segment);
            segment[place..place + 2].copy_from_slice(if sum == [0, 0] { &[255, 255] } else { &sum });
        }
        packet.set_mac();
        packet.set_headers(ETHERNET, ETHERNET + IPV4);
        packet.set_timestamp(cx.host.wall_clock());
        Some(packet)
    }

    fn pull(&mut self, cx: &mut Context<'_>, most: usize) -> Batch {
        let left = u64::try_from(self.limit).map_or(u64::MAX, |l| l.saturating_sub(self.count));
        if !self.active || left == 0 {
            return Batch::new();
        }
        let now = cx.now();
        self.began.get_or_insert(now);
        let tokens = self.bucket.as_mut().map_or(u64::MAX, |b| b.fill(now));
        let mut batch = Batch::new();
        while (batch.len() as u64) < left.min(tokens).min(most as u64)
            && let Some(packet) = self.packet(cx)
        {
            self.count += 1;
            batch.push(packet);
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.take(batch.len() as u64);
            if batch.is_empty()
                && let Some(time) = bucket.next_token_at()
            {
                cx.wake_at(time);
            }
        }
        self.ended = now;
        batch
    }

    fn read(&self, handler: &str) -> String {
        match handler {
            "count" => self.count.to_string(),
            "active" => self.active.to_string(),
            "limit" => self.limit.to_string(),
            _ => {
                let passed = self.ended.saturating_sub(self.began.unwrap_or(0)).max(1);
                ((u128::from(self.count) * 1_000_000_000) / u128::from(passed)).to_string()
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "active" => self.active = parse(cx, value)?,
            "limit" => self.limit = parse(cx, value)?,
            "rate" => {
                let rate: u64 = parse(cx, value)?;
                self.bucket = (rate > 0).then(|| TokenBucket::new(rate, BurstLimit::Tokens(1)));
            }
            _ => (self.count, self.began) = (0, None),
        }
        cx.notify();
        Ok(())
    }
}

/// Gives an element that holds a `Generator` the behaviour of one.
macro_rules! generates {
    ($element:ident) => {
        impl Element for $element {
            fn owns_pull(&self) -> bool {
                true
            }

            fn notifies(&self) -> bool {
                true
            }

            fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
                self.generator.pull(cx, most)
            }

            fn timer(&mut self, cx: &mut Context<'_>) {
                cx.notify();
            }

            fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
                Ok(self.generator.read(handler))
            }

            fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
                self.generator.write(cx, handler, value)
            }
        }
    };
}

crate::element! {
    /// Gives frames with UDP packets of many flows when it is pulled.
    ///
    /// # Arguments
    /// `RATE`: packets a second; 0: as many as are asked for. `LIMIT`: packets in all; negative: no limit. `LENGTH`: bytes of
    /// each frame, 60 to 9000. `SRCETH`, `SRCIP`, `DSTETH`, `DSTIP`: addresses. `FLOWS`: flows at the same time, with ports of
    /// their own. `FLOWSIZE`: packets of a flow, after which it has other ports. `CHECKSUM` (true): compute that of UDP.
    /// `ACTIVE` (true).
    ///
    /// # Handlers
    /// `count`: packets so far. `rate`: packets a second so far; written, the argument. `active`, `limit`: the arguments. `reset`: starts again.
    FastUDPFlows "0/1" "/l"
    keywords [
        "RATE", "LIMIT", "LENGTH", "SRCETH", "SRCIP", "DSTETH", "DSTIP", "FLOWS", "FLOWSIZE", "CHECKSUM", "ACTIVE",
    ]
    handlers [read("count"), read_write("rate"), read_write("limit"), read_write("active"), write("reset")]
    { generator: Generator }
}

impl FastUDPFlows {
    fn new(args: &mut Args<'_>) -> Self {
        Self { generator: Generator::new(args, PROTOCOL_UDP, false) }
    }
}

generates!(FastUDPFlows);

crate::element! {
    /// Gives frames with TCP packets of many flows when it is pulled.
    ///
    /// Each flow begins with SYN and ends with FIN.
    ///
    /// # Arguments
    /// `RATE`: packets a second; 0: as many as are asked for. `LIMIT`: packets in all; negative: no limit. `LENGTH`: bytes of
    /// each frame, 60 to 9000. `SRCETH`, `SRCIP`, `DSTETH`, `DSTIP`: addresses. `FLOWS`: flows at the same time, with ports of
    /// their own. `FLOWSIZE`: packets of a flow, 3 at least, after which it has other ports. `ACTIVE` (true).
    ///
    /// # Handlers
    /// `count`: packets so far. `rate`: packets a second so far; written, the argument. `active`, `limit`: the arguments. `reset`: starts again.
    FastTCPFlows "0/1" "/l"
    keywords ["RATE", "LIMIT", "LENGTH", "SRCETH", "SRCIP", "DSTETH", "DSTIP", "FLOWS", "FLOWSIZE", "ACTIVE"]
    handlers [read("count"), read_write("rate"), read_write("limit"), read_write("active"), write("reset")]
    { generator: Generator }
}

impl FastTCPFlows {
    fn new(args: &mut Args<'_>) -> Self {
        Self { generator: Generator::new(args, PROTOCOL_TCP, false) }
    }
}

generates!(FastTCPFlows);

crate::element! {
    /// Gives frames with UDP packets of one flow when it is pulled.
    ///
    /// # Arguments
    /// `RATE`: packets a second; 0: as many as are asked for. `LIMIT`: packets in all; negative: no limit. `LENGTH`: bytes of
    /// each frame, 60 to 9000. `SRCETH`, `SRCIP`, `SPORT`, `DSTETH`, `DSTIP`, `DPORT`: addresses and ports. `CHECKSUM` (true):
    /// compute that of UDP. `INTERVAL` is accepted. `ACTIVE` (true).
    ///
    /// # Handlers
    /// `count`: packets so far. `rate`: packets a second so far; written, the argument. `active`, `limit`: the arguments. `reset`: starts again.
    FastUDPSource "0/1" "/l"
    keywords [
        "RATE", "LIMIT", "LENGTH", "SRCETH", "SRCIP", "SPORT", "DSTETH", "DSTIP", "DPORT", "CHECKSUM", "INTERVAL",
        "ACTIVE",
    ]
    handlers [read("count"), read_write("rate"), read_write("limit"), read_write("active"), write("reset")]
    { generator: Generator }
}

impl FastUDPSource {
    fn new(args: &mut Args<'_>) -> Self {
        Self { generator: Generator::new(args, PROTOCOL_UDP, true) }
    }
}

generates!(FastUDPSource);
