use super::neighbour::{ADVERTISEMENT, Message, SOLICITATION, ethernet_group, group};
use crate::args::{Args, Ethernet, Ipv6, Time};
use crate::element::{Context, Element, Nanos, read, write};
use crate::elements::arp::cache::{Answer, Cache};
use crate::handlers::parse;
use crate::headers::{ETHERNET, ETHERTYPE_IPV6, write_ethernet};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use core::any::Any;

crate::element! {
    /// Puts Ethernet headers in front of IPv6 packets, and finds out where they go by neighbour discovery.
    ///
    /// Input 0: IPv6 packets, with the next hop in the IPv6 destination annotation. Input 1: advertisements, Ethernet
    /// header included. Frames leave by output 0, solicitations by output 1 if it is
    /// there. Packets wait while an address is asked for. It is
    /// asked for by packets that go there, ten times at most every tenth of a second, then every two seconds.
    ///
    /// # Arguments
    /// `IP` or `IP6`, `ETH`: own addresses. `CAPACITY` (2048): packets that may wait, then half of them are dropped, those
    /// first that wait for the oldest address; `ENTRY_PACKET_CAPACITY` (0): for one address, further ones are dropped;
    /// `ENTRY_CAPACITY` (4096): addresses known at once, then the oldest are forgotten; 0: no limit. `TIMEOUT` (300 s):
    /// how long an answer is believed; 0: for ever. `POLL_TIMEOUT` (60 s): age from which it is asked for again; 0:
    /// never.
    ///
    /// # Handlers
    /// `table`: addresses known. `count`: how many. `length`: packets waiting. `queries`, `responses`: sent and received.
    /// `drops`: packets given up. `stats`: these together. `insert`: `IP6 ETH`, to be known from now on. `clear`: forgets
    /// all.
    IP6NDSolicitor "2/1-2" "h/h"
    keywords ["IP", "IP6", "ETH", "CAPACITY", "ENTRY_CAPACITY", "ENTRY_PACKET_CAPACITY", "TIMEOUT", "POLL_TIMEOUT"]
    handlers [
        read("table"), read("count"), read("length"), read("queries"), read("responses"), read("drops"),
        read("stats"), write("insert"), write("clear"),
    ]
    { own: (Ipv6, Ethernet), cache: Cache<Ipv6>, poll: Nanos, queries: u64, responses: u64 }
}

impl IP6NDSolicitor {
    fn new(args: &mut Args<'_>) -> Self {
        let own = (args.required(if args.has("IP6") { "IP6" } else { "IP" }), args.required("ETH"));
        let timeout = args.key("TIMEOUT").unwrap_or(Time(300_000_000_000)).0;
        let poll = args.key("POLL_TIMEOUT").unwrap_or(Time(60_000_000_000)).0;
        Self { own, cache: Cache::from_arguments(args, timeout), poll, queries: 0, responses: 0 }
    }

    /// Sees to it that what is too old is forgotten.
    fn wake(&mut self, cx: &mut Context<'_>) {
        if let Some(time) = self.cache.next(cx.now()) {
            cx.wake_by(time);
        }
    }

    /// Sends a solicitation for an address.
    fn ask(&mut self, cx: &mut Context<'_>, target: Ipv6, to: Option<[u8; 6]>) {
        let (own, mac) = (self.own.0.0, self.own.1.0);
        let destination = if to.is_some() { target.0 } else { group(target.0) };
        let message =
            Message { kind: SOLICITATION, source: own, destination, target: target.0, address: Some(mac) };
        let to = to.unwrap_or_else(|| ethernet_group(destination));
        if let Some(packet) = Packet::from_bytes(&message.frame(mac, to, 0)) {
            self.queries += 1;
            let last = cx.outputs() - 1;
            cx.output_one(last, packet);
        }
    }

    fn encapsulate(&self, mut packet: Packet, to: [u8; 6], out: &mut Batch) {
        if packet.push(ETHERNET).is_some() {
            write_ethernet(packet.data_mut(), to, self.own.1.0, ETHERTYPE_IPV6);
            packet.set_mac();
            out.push(packet);
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, mut batch: Batch) {
        let mut out = Batch::new();
        while let Some(packet) = batch.pop() {
            let address = packet.destination6();
            if address[0] == 255 {
                self.encapsulate(packet, ethernet_group(address), &mut out);
                continue;
            }
            let (address, now) = (Ipv6(address), cx.now());
            match self.cache.route(address, packet, now, self.poll) {
                Answer::Send(packet, to, stale) => {
                    if stale {
                        cx.output(0, core::mem::take(&mut out));
                        self.ask(cx, address, Some(to));
                    }
                    self.encapsulate(packet, to, &mut out);
                }
                Answer::Query => {
                    cx.output(0, core::mem::take(&mut out));
                    self.ask(cx, address, None);
                    self.wake(cx);
                    // The answer may come at once, and what waited goes out before what follows.
                    return cx.push_again(0, batch);
                }
                Answer::Wait => {}
            }
        }
        cx.output(0, out);
    }

    fn learn(&mut self, cx: &mut Context<'_>, ip: Ipv6, eth: [u8; 6], always: bool) {
        let mut waited = self.cache.learn(ip, eth, cx.now(), always);
        self.wake(cx);
        let mut out = Batch::new();
        while let Some(packet) = waited.pop() {
            self.encapsulate(packet, eth, &mut out);
        }
        cx.output(0, out);
    }
}

impl Element for IP6NDSolicitor {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        if port == 0 {
            return self.send(cx, batch);
        }
        while let Some(packet) = batch.pop() {
            let Some(message) = Message::read(packet.data()).filter(|m| m.kind == ADVERTISEMENT) else {
                continue;
            };
            self.responses += 1;
            if let Some(address) = message.address.filter(|a| a[0] & 1 == 0) {
                self.learn(cx, Ipv6(message.target), address, false);
            }
        }
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        self.cache.expire(cx.now());
        self.wake(cx);
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            self.cache.take_over(&mut old.cache);
            (self.queries, self.responses) = (old.queries, old.responses);
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "table" => self.cache.table(cx.now()),
            "count" => self.cache.len().to_string(),
            "length" => self.cache.waiting.to_string(),
            "queries" => self.queries.to_string(),
            "responses" => self.responses.to_string(),
            "drops" => self.cache.drops.to_string(),
            _ => format!("{} packets killed\n{} solicitations sent\n", self.cache.drops, self.queries),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        if handler == "clear" {
            self.cache.clear();
            return Ok(());
        }
        let (ip, eth) = value.split_once(char::is_whitespace).ok_or("expected 'IP6 ETH'")?;
        let (ip, eth): (Ipv6, Ethernet) = (parse(cx, ip)?, parse(cx, eth)?);
        self.learn(cx, ip, eth.0, true);
        Ok(())
    }
}
