use super::ARPTable;
use super::cache::{Answer, Cache};
use crate::args::{Args, Argument, Ethernet, Ipv4, Names, Time, last};
use crate::element::{Context, Element, Nanos, read, read_write, write};
use crate::handlers::parse;
use crate::headers::{ARP_REPLY, ARP_REQUEST, Arp, ETHERNET, ETHERTYPE_IPV4, write_ethernet};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use core::any::Any;

const EVERYBODY: [u8; 6] = [255; 6];

crate::element! {
    /// Puts Ethernet headers in front of IP packets, and finds out where they go by ARP.
    ///
    /// Input 0: IP packets, with the next hop in the destination annotation. Input 1: ARP answers, Ethernet header
    /// included. Output 0: frames to send. Output 1, if it is there: queries, which otherwise go out of output 0.
    /// Packets wait while an address is asked for. It is asked for by packets that go there, ten times at most every
    /// tenth of a second, then every two seconds; a query has the timestamp of its packet.
    ///
    /// # Arguments
    /// `IP`, `ETH`: own addresses, or one NAME of both. `CAPACITY` (2048): packets that may wait, then half of them are
    /// dropped (or another part: one in `CAPACITY_SLIM_FACTOR` (2)), those first that wait for the oldest address; `ENTRY_PACKET_CAPACITY` (0): for one address, further
    /// ones are dropped; `ENTRY_CAPACITY` (4096): addresses known at once, then the oldest are forgotten; 0: no limit.
    /// `TIMEOUT` (300 s): how long an answer is believed; 0: for ever. `POLL_TIMEOUT` (60 s): age from which it is
    /// asked for again, packets going out meanwhile; 0: never. `BROADCAST_POLL` (false): ask all then, not the one who
    /// answered. `BROADCAST`: IP address to send to all, otherwise the last one of the network, if `IP` is
    /// `ADDRESS/LENGTH`. `TABLE`: name of an `ARPTable` that knows the addresses, with limits of its own.
    ///
    /// # Handlers
    /// `ipaddr`: own address. `broadcast`: the argument. `table`: addresses, the oldest first: whether each is known,
    /// its Ethernet address, its age. `count`: how many. `length`: packets waiting. `queries`, `responses`: sent and
    /// received. `drops`: packets given up. `stats`: these together. `insert`: `IP ETH`, to be known from now on.
    /// `delete`: an address to forget. `clear`: forgets all.
    ARPQuerier "2/1-2" "h/h"
    keywords [
        "IP", "ETH", "CAPACITY", "ENTRY_CAPACITY", "ENTRY_PACKET_CAPACITY", "CAPACITY_SLIM_FACTOR", "TIMEOUT", "POLL_TIMEOUT", "BROADCAST_POLL",
        "BROADCAST", "TABLE",
    ]
    handlers [
        read("ipaddr"), read_write("broadcast"), read("table"), read("count"), read("length"), read("queries"),
        read("responses"), read("drops"), read("stats"), write("insert"), write("delete"), write("clear"),
    ]
    {
        own: (Ipv4, Ethernet),
        broadcast: Option<Ipv4>,
        cache: Cache,
        poll: Nanos,
        poll_all: bool,
        /// Name and number of an `ARPTable`, whose addresses are used instead of the cache.
        table: (Option<String>, Option<usize>),
        queries: u64,
        responses: u64,
        misdirected: u64,
    }
}

/// An own address, and the broadcast address of the network it was written with.
#[derive(Default)]
struct Home(Ipv4, Option<Ipv4>);

impl Argument for Home {
    const WHAT: &'static str = Ipv4::WHAT;

    fn parse(text: &str, names: &Names) -> Option<Self> {
        let Some((address, length)) = text.split_once('/') else {
            return Some(Self(Ipv4(names.ipv4(text)?), None));
        };
        let length = length.parse().ok().filter(|&l| l <= 32)?;
        let address = names.ipv4(address)?;
        let last = last(address, length);
        Some(Self(Ipv4(address), (last != address).then_some(Ipv4(last))))
    }
}

impl ARPQuerier {
    fn new(args: &mut Args<'_>) -> Self {
        let name = if args.left() == 1 { args.rest().pop() } else { None };
        let (Home(ip, network), eth) = match name {
            None => (args.required::<Home>("IP"), args.required("ETH")),
            Some(word) => {
                let eth = args.key::<Ethernet>("ETH").or(args.names.ethernet(&word.text).map(Ethernet));
                match (args.names.ipv4(&word.text), eth) {
                    (Some(ip), Some(eth)) => (Home(Ipv4(ip), None), eth),
                    _ => {
                        let message =
                            format!("'{}' is not a name for an IP and an Ethernet address", word.text);
                        args.error_in(&word, message);
                        Default::default()
                    }
                }
            }
        };
        let timeout = args.key("TIMEOUT").unwrap_or(Time(300_000_000_000)).0;
        let poll = args.key("POLL_TIMEOUT").unwrap_or(Time(60_000_000_000)).0;
        let cache = Cache::from_arguments(args, timeout);
        Self {
            own: (ip, eth),
            broadcast: args.key("BROADCAST").or(network),
            cache,
            poll,
            poll_all: args.key("BROADCAST_POLL").unwrap_or(false),
            table: (args.key("TABLE"), None),
            queries: 0,
            responses: 0,
            misdirected: 0,
        }
    }

    /// The addresses: its own, or those of its `ARPTable`.
    fn cache<'a>(&'a mut self, cx: &'a mut Context<'_>) -> &'a mut Cache {
        let table = self.table.1.and_then(|id| cx.element(id));
        let table = table.and_then(|e| (e as &mut dyn Any).downcast_mut::<ARPTable>());
        table.map_or(&mut self.cache, |table| &mut table.cache)
    }

    /// Sees to it that what is too old is forgotten.
    fn wake(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        if let Some(time) = self.cache(cx).next(now) {
            cx.wake_by(time);
        }
    }

    /// Sends a query for an address, to one or to all.
    fn ask(&mut self, cx: &mut Context<'_>, address: [u8; 4], to: [u8; 6], timestamp: u64) {
        let arp =
            Arp { operation: ARP_REQUEST, sender: (self.own.1.0, self.own.0.0), target: ([0; 6], address) };
        if let Some(mut packet) = Packet::from_bytes(&arp.frame(to)) {
            packet.set_timestamp(timestamp);
            self.queries += 1;
            let port = usize::from(cx.outputs() > 1);
            cx.output_one(port, packet);
        }
    }

    /// Puts the Ethernet header in front of a packet and adds it to what goes out.
    fn encapsulate(&self, mut packet: Packet, to: [u8; 6], out: &mut Batch) {
        if packet.push(ETHERNET).is_some() {
            write_ethernet(packet.data_mut(), to, self.own.1.0, ETHERTYPE_IPV4);
            packet.set_mac();
            out.push(packet);
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, mut batch: Batch) {
        let mut out = Batch::new();
        while let Some(packet) = batch.pop() {
            let address = packet.destination();
            match address {
                [0, 0, 0, 0] => {
                    self.misdirected += 1;
                    continue;
                }
                // Multicast (RFC 1112, section 6.4) and broadcast need not be asked for.
                [224..=239, a, b, c] => {
                    self.encapsulate(packet, [1, 0, 0x5e, a & 0x7f, b, c], &mut out);
                    continue;
                }
                a if a == [255; 4] || self.broadcast == Some(Ipv4(a)) => {
                    self.encapsulate(packet, EVERYBODY, &mut out);
                    continue;
                }
                _ => {}
            }
            let (now, poll, timestamp) = (cx.now(), self.poll, packet.timestamp());
            match self.cache(cx).route(Ipv4(address), packet, now, poll) {
                Answer::Send(packet, to, stale) => {
                    if stale {
                        cx.output(0, core::mem::take(&mut out));
                        self.ask(cx, address, if self.poll_all { EVERYBODY } else { to }, timestamp);
                    }
                    self.encapsulate(packet, to, &mut out);
                }
                Answer::Query => {
                    cx.output(0, core::mem::take(&mut out));
                    self.ask(cx, address, EVERYBODY, timestamp);
                    self.wake(cx);
                    // The answer may come at once, and what waited goes out before what follows.
                    return cx.push_again(0, batch);
                }
                Answer::Wait => {}
            }
        }
        cx.output(0, out);
    }

    fn learn(&mut self, cx: &mut Context<'_>, ip: [u8; 4], eth: [u8; 6], always: bool) {
        let now = cx.now();
        let mut waited = self.cache(cx).learn(Ipv4(ip), eth, now, always);
        self.wake(cx);
        let mut out = Batch::new();
        while let Some(packet) = waited.pop() {
            self.encapsulate(packet, eth, &mut out);
        }
        cx.output(0, out);
    }
}

impl Element for ARPQuerier {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        if let Some(name) = &self.table.0 {
            let id = cx.find(name);
            let is_table = |id: &usize| cx.element(*id).is_some_and(|e| (e as &mut dyn Any).is::<ARPTable>());
            self.table.1 =
                Some(id.filter(is_table).ok_or_else(|| format!("TABLE: '{name}' is not an ARPTable"))?);
        }
        Ok(())
    }

    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        if port == 0 {
            return self.send(cx, batch);
        }
        while let Some(packet) = batch.pop() {
            let Some(arp) = Arp::read(packet.data()).filter(|a| a.operation == ARP_REPLY) else { continue };
            self.responses += 1;
            // An address that stands for many is nobody's.
            if arp.sender.0[0] & 1 == 0 {
                self.learn(cx, arp.sender.1, arp.sender.0, false);
            }
        }
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        self.cache(cx).expire(now);
        self.wake(cx);
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<ARPQuerier>() {
            self.cache.take_over(&mut old.cache);
            (self.queries, self.responses, self.misdirected) = (old.queries, old.responses, old.misdirected);
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        let now = cx.now();
        let drops = self.cache(cx).drops + self.misdirected;
        Ok(match handler {
            "ipaddr" => self.own.0.to_string(),
            "broadcast" => self.broadcast.map_or("255.255.255.255".to_string(), |b| b.to_string()),
            "count" => self.cache(cx).len().to_string(),
            "length" => self.cache(cx).waiting.to_string(),
            "queries" => self.queries.to_string(),
            "responses" => self.responses.to_string(),
            "drops" => drops.to_string(),
            "stats" => format!("{drops} packets killed\n{} ARP queries sent\n", self.queries),
            _ => self.cache(cx).table(now),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "broadcast" => self.broadcast = Some(parse(cx, value)?),
            "clear" => self.cache(cx).clear(),
            "delete" => {
                let address: Ipv4 = parse(cx, value)?;
                if !self.cache(cx).forget(&address) {
                    return Err(format!("no entry for {address}"));
                }
            }
            _ => {
                let (ip, eth) = value.split_once(char::is_whitespace).ok_or("expected 'IP ETH'")?;
                let (ip, eth): (Ipv4, Ethernet) = (parse(cx, ip)?, parse(cx, eth)?);
                self.learn(cx, ip.0, eth.0, true);
            }
        }
        Ok(())
    }
}
