use super::responder::{arp_packet, read_arp};
use crate::args::{Args, Ethernet, Ipv4, Time};
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, Nanos, read, read_write, write};
use crate::elements::boxed;
use crate::elements::ether::encap::words;
use crate::headers::{ETHERNET, ETHERTYPE_IPV4, write_ethernet};
use crate::packet::{Kind, Packet};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};

/// Puts Ethernet headers on IP packets, asking by ARP (RFC 826) for addresses it does not know; packets wait meanwhile.
///
/// Arguments: `IP`, `ETH`: its own addresses, or one name that has both (`eth0`); keywords `TIMEOUT` of an entry (default
/// 5 min), `POLL_TIMEOUT` between renewals and questions (default 1 s), `CAPACITY` of waiting packets (default 2048),
/// `ENTRY_PACKET_CAPACITY` for one address (default 64). Input 0: IP packets with a destination annotation; input 1: ARP
/// responses with their Ethernet header. Output 0: frames; output 1, if connected: ARP requests (else output 0).
/// Handlers: `table`, `stats`, `queries`, `responses`, `drops`, `count`, `length`, `ipaddr` (read), `insert`, `delete`,
/// `clear` (write).
#[derive(Debug)]
pub struct ARPQuerier {
    ip: [u8; 4],
    mac: [u8; 6],
    timeout: Nanos,
    poll: Nanos,
    capacity: usize,
    entry_capacity: usize,
    entries: BTreeMap<[u8; 4], Entry>,
    waiting: usize,
    queries: u64,
    responses: u64,
    drops: u64,
}

#[derive(Debug, Default)]
struct Entry {
    mac: Option<[u8; 6]>,
    /// When `mac` was learned.
    learned: Nanos,
    /// When it was last asked for.
    asked: Nanos,
    /// Questions without an answer.
    unanswered: u32,
    packets: VecDeque<Packet>,
}

/// The class.
pub const CLASS: Class = Class {
    name: "ARPQuerier",
    ports: "2/1-2",
    processing: "h/h",
    keywords: &["IP", "ETH", "TIMEOUT", "POLL_TIMEOUT", "CAPACITY", "ENTRY_PACKET_CAPACITY"],
    make,
};

/// Addresses that are remembered or asked for at a time.
const ENTRIES: usize = 4096;
/// Questions before the packets that wait are dropped.
const QUESTIONS: u32 = 5;
/// An entry is renewed when it has less than this left.
const RENEW: Nanos = 60_000_000_000;

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let text: String = args.required("IP");
    let ip = args.names.ipv4(&text);
    if ip.is_none() && !text.is_empty() {
        args.error(format!("IP: expected an IP address, not '{text}'"));
    }
    let mac = args.next::<Ethernet>("ETH").map(|e| e.0).or_else(|| args.names.ethernet(&text));
    if mac.is_none() {
        args.error("missing mandatory ETH argument");
    }
    let time = |args: &mut Args<'_>, name, default| args.key::<Time>(name).map_or(default, |t| t.0);
    boxed(ARPQuerier {
        ip: ip.map_or(Ipv4::default().0, |a| a),
        mac: mac.unwrap_or_default(),
        timeout: time(args, "TIMEOUT", 300_000_000_000),
        poll: time(args, "POLL_TIMEOUT", 1_000_000_000).max(1_000_000),
        capacity: args.key("CAPACITY").unwrap_or(2048),
        entry_capacity: args.key("ENTRY_PACKET_CAPACITY").unwrap_or(64),
        entries: BTreeMap::new(),
        waiting: 0,
        queries: 0,
        responses: 0,
        drops: 0,
    })
}

impl ARPQuerier {
    fn ask(&mut self, cx: &mut Context<'_>, target: [u8; 4]) {
        let question = arp_packet(cx, 1, (self.mac, self.ip), ([0; 6], target), [0xff; 6]);
        if let Some(question) = question {
            self.queries += 1;
            let port = usize::from(cx.outputs() > 1);
            cx.output(port, Batch::one(question));
        }
        cx.wake_at(cx.now() + self.poll);
    }

    fn encap(&self, packet: &mut Packet, to: [u8; 6]) -> bool {
        packet.push(ETHERNET).is_some_and(|()| {
            write_ethernet(packet.data_mut(), to, self.mac, ETHERTYPE_IPV4);
            packet.set_mac();
            packet.set_kind(Kind::Other);
            true
        })
    }

    /// Sends a packet, or keeps it and asks; `Some`: it is ready to go.
    fn send(&mut self, cx: &mut Context<'_>, mut packet: Packet) -> Option<Packet> {
        let target = packet.destination();
        let fixed = match target {
            [255, 255, 255, 255] => Some([0xff; 6]),
            [224..=239, b, c, d] => Some([1, 0, 0x5e, b & 0x7f, c, d]),
            _ => None,
        };
        let now = cx.now();
        let entry = self.entries.get_mut(&target);
        let known = entry.as_ref().and_then(|e| e.mac.filter(|_| now < e.learned + self.timeout));
        if let Some(to) = fixed.or(known) {
            if let Some(e) = entry
                && now + RENEW > e.learned + self.timeout
                && now >= e.asked + self.poll
            {
                e.asked = now;
                self.ask(cx, target);
            }
            return self.encap(&mut packet, to).then_some(packet);
        }
        if target == [0; 4] || (!self.entries.contains_key(&target) && !self.make_room(cx)) {
            self.drop_one(cx, packet);
            return None;
        }
        let (capacity, poll) = (self.entry_capacity, self.poll);
        let entry = self.entries.entry(target).or_default();
        entry.mac = None;
        let asks = entry.packets.is_empty() || now >= entry.asked + poll;
        if entry.packets.len() >= capacity || self.waiting >= self.capacity {
            // The newest packet is worth more than the oldest.
            match entry.packets.pop_front() {
                Some(oldest) => {
                    entry.packets.push_back(packet);
                    self.drop_one(cx, oldest);
                }
                None => self.drop_one(cx, packet),
            }
        } else {
            entry.packets.push_back(packet);
            self.waiting += 1;
        }
        if asks {
            let entry = self.entries.entry(target).or_default();
            entry.asked = now;
            entry.unanswered += 1;
            self.ask(cx, target);
        }
        None
    }

    fn drop_one(&mut self, cx: &mut Context<'_>, packet: Packet) {
        self.drops += 1;
        cx.kill_one(packet);
    }

    /// Forgets an entry that nothing waits for, if there are too many; whether there is room now.
    fn make_room(&mut self, cx: &Context<'_>) -> bool {
        if self.entries.len() < ENTRIES {
            return true;
        }
        let now = cx.now();
        let idle = self.entries.iter().filter(|(_, e)| e.packets.is_empty());
        let oldest = idle.min_by_key(|(_, e)| e.learned.min(now)).map(|(a, _)| *a);
        oldest.is_some_and(|a| self.entries.remove(&a).is_some())
    }

    fn learn(&mut self, cx: &mut Context<'_>, address: [u8; 4], mac: [u8; 6]) {
        let Some(entry) = self.entries.get_mut(&address) else { return };
        (entry.mac, entry.learned, entry.unanswered) = (Some(mac), cx.now(), 0);
        let packets = core::mem::take(&mut entry.packets);
        self.waiting -= packets.len();
        let mut out = Batch::new();
        for mut packet in packets {
            if self.encap(&mut packet, mac) {
                out.push(packet);
            }
        }
        cx.output(0, out);
    }
}

impl Element for ARPQuerier {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        if port == 0 {
            let mut out = Batch::new();
            for packet in batch.drain() {
                if let Some(ready) = self.send(cx, packet) {
                    out.push(ready);
                }
            }
            return cx.output(0, out);
        }
        for packet in batch.drain() {
            if let Some((2, (mac, address), _)) = read_arp(packet.data())
                && mac[0] & 1 == 0
            {
                self.responses += 1;
                self.learn(cx, address, mac);
            }
            cx.kill_one(packet);
        }
    }

    /// Asks again for what packets wait for; gives up after some questions.
    fn timer(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        let due: alloc::vec::Vec<[u8; 4]> = self
            .entries
            .iter()
            .filter(|(_, e)| !e.packets.is_empty() && now >= e.asked + self.poll)
            .map(|(a, _)| *a)
            .collect();
        for address in due {
            let Some(entry) = self.entries.get_mut(&address) else { continue };
            if entry.unanswered >= QUESTIONS {
                let packets = core::mem::take(&mut entry.packets);
                self.entries.remove(&address);
                self.waiting -= packets.len();
                self.drops += packets.len() as u64;
                cx.kill(packets.into_iter().collect());
                continue;
            }
            entry.asked = now;
            entry.unanswered += 1;
            self.ask(cx, address);
        }
        if let Some(next) = self.entries.values().filter(|e| !e.packets.is_empty()).map(|e| e.asked).min() {
            cx.wake_at(next + self.poll);
        }
    }

    fn handlers(&self) -> &'static [Handler] {
        &[
            read("table"),
            read("stats"),
            read("queries"),
            read("responses"),
            read("drops"),
            read("count"),
            read("length"),
            read_write("ipaddr"),
            write("insert"),
            write("delete"),
            write("clear"),
        ]
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str) -> String {
        match handler {
            "table" => {
                let known = self.entries.iter().filter_map(|(a, e)| Some((a, e.mac?)));
                known.map(|(a, mac)| format!("{} 1 {}\n", core::net::Ipv4Addr::from(*a), words(mac))).collect()
            }
            "queries" => self.queries.to_string(),
            "responses" => self.responses.to_string(),
            "drops" => self.drops.to_string(),
            "count" => self.entries.len().to_string(),
            "length" => self.waiting.to_string(),
            "ipaddr" => core::net::Ipv4Addr::from(self.ip).to_string(),
            _ => format!(
                "{} packets killed\n{} ARP queries sent\n{} ARP responses received\n",
                self.drops, self.queries, self.responses
            ),
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let names = crate::args::Names::default();
        let mut words = value.split_whitespace();
        let first = words.next().unwrap_or("");
        match handler {
            "clear" => {
                let packets = core::mem::take(&mut self.entries).into_values().flat_map(|e| e.packets);
                self.waiting = 0;
                cx.kill(packets.collect());
            }
            "ipaddr" => self.ip = names.ipv4(first).ok_or("expected an IP address")?,
            "insert" => {
                let address = names.ipv4(first).ok_or("expected IP ETH")?;
                let mac = words.next().and_then(|w| names.ethernet(w)).ok_or("expected IP ETH")?;
                if !self.make_room(cx) {
                    return Err("the table is full".into());
                }
                self.entries.entry(address).or_default();
                self.learn(cx, address, mac);
            }
            _ => {
                let address = names.ipv4(first).ok_or("expected an IP address")?;
                let entry = self.entries.remove(&address).ok_or("no such entry")?;
                self.waiting -= entry.packets.len();
                cx.kill(entry.packets.into_iter().collect());
            }
        }
        Ok(())
    }
}
