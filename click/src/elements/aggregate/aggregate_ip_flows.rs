use super::fragments::{Fragments, Pair, Waiting};
use super::notifier::Listeners;
use super::seeded::SeededMap;
use crate::args::{Args, Ipv4, Time};
use crate::element::{Context, Element, Nanos, write};
use crate::elements::content::AGGREGATE;
use crate::headers::{Ipv4Header, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};
use crate::packet::{Batch, PAINT, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Most flows that are known: what would begin another leaves by output 1.
const MOST: usize = 1 << 17;
const SECOND: Nanos = 1_000_000_000;
/// Later than every packet.
const NEVER: Nanos = Nanos::MAX / 2;
/// Flags of TCP.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;

crate::element! {
    /// Numbers TCP and UDP flows in the aggregate annotation.
    ///
    /// Both directions of a flow have one number, from 1 on. The paint annotation is 0 in the direction of the flow's first
    /// packet, 1 in the other, and 2 more than that in ICMP errors about them. A flow that has been silent for too long
    /// gets a new number, and so does one that was closed and begins again. Other packets leave by output 1, or are dropped
    /// if it is not there; so do those of a new flow when 131,072 are known. All times are those of packets.
    ///
    /// # Arguments
    /// `TCP_TIMEOUT` (24 h), `TCP_DONE_TIMEOUT` (30 s), `UDP_TIMEOUT` (60 s): how long a flow may be silent, and one of TCP
    /// that is closed. `FRAGMENTS` (true where packets are pushed): number later fragments too: all fragments wait for
    /// `FRAGMENT_TIMEOUT` (30 s), and what is sent between the same addresses waits behind them; 4,096 wait at the most.
    /// `REAP` (20 min): how often flows that are over are forgotten. `ICMP` (false): number ICMP errors. `TRACEINFO`: a file
    /// to which the flows are written in XML, on a host. `SOURCE`: an element whose handlers `filename` and
    /// `packet_filepos` are noted in that file.
    ///
    /// # Handlers
    /// `clear`: lets fragments go and forgets all flows.
    AggregateIPFlows "1/1-2" "a/ah"
    keywords [
        "TRACEINFO", "SOURCE", "TCP_TIMEOUT", "TCP_DONE_TIMEOUT", "UDP_TIMEOUT", "FRAGMENT_TIMEOUT", "REAP", "ICMP",
        "FRAGMENTS",
    ]
    handlers [write("clear")]
    {
        timeouts: Timeouts,
        wait: Nanos,
        reap: Nanos,
        errors: bool,
        keeps: Option<bool>,
        file: Option<String>,
        source: Option<String>,
        flows: SeededMap<Key, Flow>,
        /// Where flows' first packets lie in the file of the trace, if that is asked for.
        places: SeededMap<Key, u64>,
        fragments: Fragments,
        next: u32,
        now: Nanos,
        reaps_at: Nanos,
        warned: bool,
        pub(super) listeners: Listeners,
    }
}

/// How long flows may be silent: of TCP, of TCP when they are closed, of UDP.
#[derive(Clone, Copy)]
struct Timeouts {
    tcp: Nanos,
    done: Nanos,
    udp: Nanos,
}

impl Timeouts {
    fn of(self, protocol: u8, flow: &Flow) -> Nanos {
        match (protocol, flow.closed) {
            (PROTOCOL_UDP, _) => self.udp,
            (_, 3) => self.done,
            _ => self.tcp,
        }
    }
}

/// What packets of a flow have in common, in both directions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    /// The smaller address and the larger one.
    addresses: u64,
    /// Protocol, and ports in the order of the addresses.
    rest: u64,
}

impl Key {
    fn new((low, high, protocol): &Pair, ports: u32) -> Self {
        let number = |address: &[u8; 4]| u64::from(u32::from_be_bytes(*address));
        Self {
            addresses: number(low) << 32 | number(high),
            rest: u64::from(*protocol) << 32 | u64::from(ports),
        }
    }

    fn pair(self) -> Pair {
        let address = |number: u64| (number as u32).to_be_bytes();
        (address(self.addresses >> 32), address(self.addresses), (self.rest >> 32) as u8)
    }

    fn ports(self) -> u32 {
        self.rest as u32
    }
}

#[derive(Clone)]
struct Flow {
    aggregate: u32,
    /// The first packet went from the larger address to the smaller.
    reverse: bool,
    first: Nanos,
    last: Nanos,
    /// Directions that are closed: two bits.
    closed: u8,
    packets: [u32; 2],
}

impl Flow {
    /// Whether a packet belongs to it, and does not begin another between the same ends.
    fn goes_on(&self, timeout: Nanos, packet: &Packet, facts: &PacketInfo) -> bool {
        let seconds = |time: Nanos| time / SECOND * SECOND;
        let silent = seconds(packet.timestamp()).saturating_sub(seconds(self.last)) > timeout;
        let again = self.closed == 3 && flags(packet, facts).is_some_and(|flags| flags & SYN != 0);
        !silent && !again
    }

    /// Says of a packet that it belongs to it, and notes it if it passes at once.
    fn annotate(&mut self, packet: &mut Packet, facts: &mut PacketInfo, passes: bool) {
        facts.paint ^= u8::from(self.reverse);
        AGGREGATE.set(packet, self.aggregate);
        packet.user()[PAINT] = facts.paint;
        if passes {
            self.update(packet, facts, facts.paint);
        }
    }

    /// A packet of it goes on.
    fn update(&mut self, packet: &Packet, facts: &PacketInfo, paint: u8) {
        self.last = packet.timestamp();
        if paint >= 2 {
            return;
        }
        let packets = &mut self.packets[usize::from(paint)];
        *packets = packets.saturating_add(1);
        match flags(packet, facts) {
            Some(flags) if flags & RST != 0 => self.closed = 3,
            Some(flags) if flags & FIN != 0 => self.closed |= 1 << paint,
            Some(flags) if flags & SYN != 0 => self.closed = 0,
            _ => {}
        }
    }
}

/// What becomes of a packet.
enum PacketOutcome {
    Passes(Packet),
    Leaves(Packet),
    Waits(Pair),
}

/// What a packet says of its flow.
struct PacketInfo {
    pair: Pair,
    ip: Ipv4Header,
    /// Where that header is.
    at: usize,
    paint: u8,
}

impl AggregateIPFlows {
    fn new(args: &mut Args<'_>) -> Self {
        let time = |args: &mut Args<'_>, name: &str, seconds: u64| {
            args.key(name).map_or(seconds * SECOND, |t: Time| t.0 / SECOND * SECOND)
        };
        Self {
            timeouts: Timeouts {
                tcp: time(args, "TCP_TIMEOUT", 86_400),
                done: time(args, "TCP_DONE_TIMEOUT", 30),
                udp: time(args, "UDP_TIMEOUT", 60),
            },
            wait: time(args, "FRAGMENT_TIMEOUT", 30),
            reap: time(args, "REAP", 1200),
            errors: args.key("ICMP").unwrap_or(false),
            keeps: args.key("FRAGMENTS"),
            file: args.key("TRACEINFO"),
            source: args.key("SOURCE"),
            flows: SeededMap::default(),
            places: SeededMap::default(),
            fragments: Fragments::default(),
            next: 1,
            now: 0,
            reaps_at: 0,
            warned: false,
            listeners: Listeners::default(),
        }
    }

    /// What a packet says of its flow; `None`: it is not of TCP or UDP.
    fn packet_info(&self, packet: &Packet) -> Option<PacketInfo> {
        let (mut at, mut ip) = super::super::ip::header(packet)?;
        let mut paint = 0;
        if self.errors && ip.protocol == PROTOCOL_ICMP && ip.fragment_offset == 0 {
            let error = at + ip.header;
            if !matches!(packet.data().get(error)?, 3 | 4 | 5 | 11 | 12) {
                return None;
            }
            at = error + 8;
            // The header alone has to be there, not all that it speaks of.
            ip = Ipv4Header::read(packet.data().get(at..)?)?;
            paint = 2;
        }
        let known = matches!(ip.protocol, PROTOCOL_TCP | PROTOCOL_UDP);
        if !known || (ip.source == [0; 4] && ip.destination == [0; 4]) {
            return None;
        }
        let turned = ip.source > ip.destination;
        let (low, high) = if turned { (ip.destination, ip.source) } else { (ip.source, ip.destination) };
        Some(PacketInfo { pair: (low, high, ip.protocol), ip, at, paint: paint | u8::from(turned) })
    }

    /// Finds or begins a packet's flow, annotates the packet, and notes it if it passes at once.
    fn find(
        &mut self,
        cx: &mut Context<'_>,
        packet: &mut Packet,
        facts: &mut PacketInfo,
        passes: bool,
    ) -> Option<u32> {
        let ports = packet.data().get(facts.at + facts.ip.header..)?.first_chunk::<4>()?;
        let ports = u32::from_be_bytes(*ports);
        if facts.pair.0 == facts.pair.1 && ports >> 16 > ports & 0xffff {
            facts.paint ^= 1;
        }
        let ports = if facts.paint & 1 == 1 { ports.rotate_left(16) } else { ports };
        let (key, now) = (Key::new(&facts.pair, ports), packet.timestamp());
        if let Some(flow) = self.flows.get_mut(&key)
            && flow.goes_on(self.timeouts.of(facts.pair.2, flow), packet, facts)
        {
            flow.annotate(packet, facts, passes);
            return Some(ports);
        }
        self.begin(cx, key, facts.paint & 1 == 1, now)?;
        self.flows.get_mut(&key)?.annotate(packet, facts, passes);
        Some(ports)
    }

    /// A flow begins, perhaps anew. `None`: too many are known.
    #[cold]
    fn begin(&mut self, cx: &mut Context<'_>, key: Key, reverse: bool, now: Nanos) -> Option<()> {
        match self.flows.remove(&key) {
            Some(old) => self.flow_ended(cx, key, &old),
            None if self.flows.len() >= MOST => return None,
            None => {}
        }
        let aggregate = self.next;
        self.next = self.next.checked_add(1).unwrap_or(1);
        if let (Some(_), Some(source)) = (&self.file, &self.source) {
            let place = cx.read_handler(&format!("{source}.packet_filepos"));
            let place = place.ok().and_then(|place| place.trim().parse().ok());
            self.places.extend(place.map(|place| (key, place)));
        }
        let flow = Flow { aggregate, reverse, first: now, last: now, closed: 0, packets: [0; 2] };
        self.flows.insert(key, flow);
        Some(())
    }

    fn take(&mut self, cx: &mut Context<'_>, mut packet: Packet, keeps: bool) -> PacketOutcome {
        if packet.timestamp() == 0 {
            if !core::mem::replace(&mut self.warned, true) {
                let name = cx.name().to_string();
                cx.print(&format!("{name}: warning: packet received without timestamp"));
            }
            packet.set_timestamp(cx.host.wall_clock());
        }
        let Some(mut facts) = self.packet_info(&packet) else { return PacketOutcome::Leaves(packet) };
        let first = facts.ip.fragment_offset == 0;
        let is_fragment = !first || facts.ip.more_fragments;
        let waits = (keeps && is_fragment && !self.fragments.is_full()) || self.fragments.wait(&facts.pair);
        let ports = if first { self.find(cx, &mut packet, &mut facts, !waits) } else { None };
        if first && ports.is_none() {
            return PacketOutcome::Leaves(packet);
        }
        if waits {
            self.now = packet.timestamp();
            let id = packet.data().get(facts.at + 4..).and_then(|id| id.first_chunk());
            let id = u16::from_be_bytes(*id.unwrap_or(&[0; 2]));
            let flow = ports.map(|ports| (ports, AGGREGATE.get(&mut packet), facts.paint));
            self.fragments.push(facts.pair, Waiting { packet, id, is_fragment, flow });
            return PacketOutcome::Waits(facts.pair);
        }
        if ports.is_none() {
            return PacketOutcome::Leaves(packet);
        }
        self.now = packet.timestamp();
        PacketOutcome::Passes(packet)
    }

    /// Gives on those between two addresses that need not wait any more.
    fn release(&mut self, pair: &Pair, now: Nanos, passed: &mut Batch, left: &mut Batch) {
        let before = (now / SECOND * SECOND).saturating_sub(self.wait);
        while let Some(Waiting { mut packet, flow, .. }) = self.fragments.next(pair, before) {
            let Some((ports, aggregate, paint)) = flow else {
                left.push(packet);
                continue;
            };
            AGGREGATE.set(&mut packet, aggregate);
            packet.user()[PAINT] = paint;
            if let Some(facts) = self.packet_info(&packet)
                && let Some(flow) = self.flows.get_mut(&Key::new(&facts.pair, ports))
            {
                flow.update(&packet, &facts, paint);
            }
            passed.push(packet);
        }
    }

    /// Forgets flows that are over, as of a time.
    fn forget(&mut self, cx: &mut Context<'_>, now: Nanos, passed: &mut Batch, left: &mut Batch) {
        for pair in self.fragments.pairs() {
            self.release(&pair, now, passed, left);
        }
        let over = |(key, flow): (&Key, &Flow)| {
            let pair = key.pair();
            let silent = flow.last / SECOND * SECOND < now.saturating_sub(self.timeouts.of(pair.2, flow));
            (silent && !self.fragments.wait(&pair)).then_some(*key)
        };
        let mut over: Vec<_> = self.flows.iter().filter_map(over).collect();
        over.sort_unstable();
        for key in over {
            if let Some(flow) = self.flows.remove(&key) {
                self.flow_ended(cx, key, &flow);
            }
        }
    }

    fn flow_ended(&mut self, cx: &mut Context<'_>, key: Key, flow: &Flow) {
        self.describe(cx, key, flow);
        self.places.remove(&key);
        self.listeners.flow_ended(cx, flow.aggregate);
    }

    /// Adds to the file with the flows, if there is one.
    fn log_flow(&self, cx: &mut Context<'_>, text: &str) -> Result<(), String> {
        match (&self.file, cx.host.outside()) {
            (Some(file), Some(outside)) if file == "-" => outside.write_out(text),
            (Some(file), Some(outside)) => outside.write_file(file, true, text)?,
            _ => {}
        }
        Ok(())
    }

    fn describe(&self, cx: &mut Context<'_>, key: Key, flow: &Flow) {
        if self.file.is_none() {
            return;
        }
        let ((low, high, _), ports) = (key.pair(), key.ports());
        let mut ends = [(Ipv4(low), ports >> 16), (Ipv4(high), ports & 0xffff)];
        if flow.reverse {
            ends.reverse();
        }
        let [(source, sport), (destination, dport)] = ends;
        let seconds = |time: Nanos| format!("{}.{:09}", time / SECOND, time % SECOND);
        let (begin, duration) = (seconds(flow.first), seconds(flow.last.saturating_sub(flow.first)));
        let place = self.places.get(&key).filter(|place| **place > 0);
        let place = place.map_or_else(String::new, |place| format!(" filepos='{place}'"));
        let (aggregate, [forth, back]) = (flow.aggregate, flow.packets);
        let text = format!(
            "<flow aggregate='{aggregate}' src='{source}' sport='{sport}' dst='{destination}' dport='{dport}' \
             begin='{begin}' duration='{duration}'{place}>\n  <stream dir='0' packets='{forth}' />\
             <stream dir='1' packets='{back}' />\n</flow>\n"
        );
        if let Err(message) = self.log_flow(cx, &text) {
            cx.print(&message);
        }
    }

    fn serve(&mut self, cx: &mut Context<'_>, mut batch: Batch) -> Batch {
        let keeps = self.keeps.unwrap_or_else(|| !cx.pulls(0));
        let (mut passed, mut left) = (Batch::new(), Batch::new());
        while let Some(packet) = batch.pop() {
            match self.take(cx, packet, keeps) {
                PacketOutcome::Passes(packet) => passed.push(packet),
                PacketOutcome::Leaves(packet) => left.push(packet),
                PacketOutcome::Waits(pair) => self.release(&pair, self.now, &mut passed, &mut left),
            }
            if self.now >= self.reaps_at && self.now > 0 {
                if self.reaps_at > 0 {
                    self.forget(cx, self.now / SECOND * SECOND, &mut passed, &mut left);
                }
                self.reaps_at = self.now / SECOND * SECOND + self.reap;
            }
        }
        cx.output(1, left);
        passed
    }
}

/// Flags of a packet of TCP that has them.
fn flags(packet: &Packet, facts: &PacketInfo) -> Option<u8> {
    let tcp = facts.pair.2 == PROTOCOL_TCP && facts.ip.fragment_offset == 0 && facts.paint < 2;
    if tcp { packet.data().get(facts.at + facts.ip.header + 13).copied() } else { None }
}

impl Element for AggregateIPFlows {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        if self.keeps == Some(true) && cx.pulls(0) {
            return Err(
                "'FRAGMENTS true' is incompatible with pull; run this element in a push context".into()
            );
        }
        if let Some(source) = &self.source
            && !cx.has_element(source)
        {
            return Err(format!("SOURCE: no element named '{source}'"));
        }
        let Some(file) = &self.file else { return Ok(()) };
        let name = match &self.source {
            Some(source) => cx.read_handler(&format!("{source}.filename")).unwrap_or_default(),
            None => String::new(),
        };
        let name = match name.trim() {
            "" => String::new(),
            name => format!(" file='{name}'"),
        };
        let head = format!("<?xml version='1.0' standalone='yes'?>\n<trace{name}>\n");
        match cx.host.outside() {
            Some(outside) if file == "-" => outside.write_out(&head),
            Some(outside) => outside.write_file(file, false, &head)?,
            None => return Err("TRACEINFO: there are no files here".into()),
        }
        Ok(())
    }

    /// Behind those that its source names.
    fn phase(&self) -> i32 {
        1
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        let passed = self.serve(cx, batch);
        cx.output(0, passed);
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        *batch = self.serve(cx, core::mem::take(batch));
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        let (mut passed, mut left) = (Batch::new(), Batch::new());
        self.forget(cx, NEVER, &mut passed, &mut left);
        cx.output(0, passed);
        cx.output(1, left);
        Ok(())
    }

    fn cleanup(&mut self, cx: &mut Context<'_>) {
        let mut flows: Vec<_> = core::mem::take(&mut self.flows).into_iter().collect();
        flows.sort_unstable_by_key(|flow| flow.0);
        for (key, flow) in flows {
            self.describe(cx, key, &flow);
        }
        // Standard output goes on behind it.
        if self.file.as_deref() != Some("-")
            && let Err(message) = self.log_flow(cx, "</trace>\n")
        {
            cx.print(&message);
        }
    }
}
