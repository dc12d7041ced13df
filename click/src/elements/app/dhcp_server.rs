use super::dhcp::{ACK, CLIENT, DECLINE, DISCOVER, INFORM, NAK, OFFER, RELEASE, REQUEST, Request, SERVER};
use super::{Datagram, answer, datagram, frame};
use crate::args::{Args, Ethernet, Ipv4, Names, Prefix, Time, last, mask, mask_bits};
use crate::element::{Context, Element, Nanos, read, write};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::any::Any;

/// Most addresses of a range.
const MOST: u32 = 4096;
/// How long an address is kept for who was offered it.
const OFFERED: Nanos = 60_000_000_000;
const ALL: ([u8; 6], [u8; 4]) = ([0xff; 6], [0xff; 4]);

crate::element! {
    /// Gives hosts their addresses (DHCP, RFC 2131).
    ///
    /// Takes Ethernet frames. Those for a DHCP server are answered by output 0, also those that a relay sends; all others
    /// go out of output 1, or are dropped if it is not there. A host keeps its address as long as it comes back while that is
    /// free; who asks for one that this server does not know of gets it if it is free, so clients outlive a restart.
    ///
    /// # Arguments
    /// `IP`, `ETH`, `NETWORK`: the server's own addresses, and its network, as in `DHCPServer(eth0, eth0, eth0:ipnet, ...)`.
    /// `RANGE`: the first and the last address that it gives, as `10.0.0.10-10.0.0.99`; at most 4096. `GATEWAY`: the
    /// default router. `DNS`: servers of names, up to 8. `DOMAIN`: the hosts' domain. `LEASE` (1 h): how long an address is
    /// given for. `HOST`: `ETH ADDRESS`, an address for one host alone, which may lie outside of the range; may be repeated.
    ///
    /// # Handlers
    /// `leases`: address, Ethernet address, seconds left and whether it was only offered, one a line. `length`: how many
    /// addresses are in use. `offers`, `acks`, `naks`: answers. `exhausted`: requests for which there was no address.
    /// `release ADDRESS`: frees one.
    DHCPServer "1/1-2" "h/h"
    keywords ["IP", "ETH", "NETWORK", "RANGE", "GATEWAY", "DNS", "DOMAIN", "LEASE", "HOST"]
    handlers [
        read("leases"), read("length"), read("offers"), read("acks"), read("naks"), read("exhausted"), write("release"),
    ]
    {
        address: [u8; 4],
        ethernet: [u8; 6],
        network: Prefix,
        range: (u32, u32),
        gateway: Vec<u8>,
        dns: Vec<u8>,
        domain: String,
        lease: Nanos,
        hosts: Vec<([u8; 6], u32)>,
        /// By address.
        leases: Vec<Lease>,
        offers: u64,
        acks: u64,
        naks: u64,
        exhausted: u64,
    }
}

/// An address that somebody has, or had last.
#[derive(Clone, Copy, Debug)]
struct Lease {
    address: u32,
    /// Nobody, if the address was declined.
    client: Option<[u8; 6]>,
    until: Nanos,
    offered: bool,
}

fn number(address: [u8; 4]) -> u32 {
    u32::from_be_bytes(address)
}

fn addresses(args: &mut Args<'_>, name: &str, most: usize) -> Vec<u8> {
    let Some(text) = args.key::<String>(name) else { return Vec::new() };
    let all: Option<Vec<_>> = text.split_whitespace().map(|word| args.names.ipv4(word)).collect();
    match all.filter(|all| all.len() <= most) {
        Some(all) => all.concat(),
        None => {
            args.error(format!("{name}: expected up to {most} IP addresses, not '{text}'"));
            Vec::new()
        }
    }
}

fn range(text: &str, names: &Names) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(names.ipv4(first.trim())?), number(names.ipv4(last.trim())?));
    (first <= last && last - first < MOST).then_some((first, last))
}

fn host(text: &str, names: &Names) -> Option<([u8; 6], u32)> {
    let (ethernet, address) = text.trim().split_once(char::is_whitespace)?;
    Some((names.ethernet(ethernet)?, number(names.ipv4(address.trim())?)))
}

impl DHCPServer {
    fn new(args: &mut Args<'_>) -> Self {
        let (Ipv4(address), Ethernet(ethernet)) = (args.required("IP"), args.required("ETH"));
        let network: Prefix = args.required("NETWORK");
        let text: String = args.required("RANGE");
        let range = range(&text, args.names).unwrap_or_else(|| {
            args.error(format!("RANGE: expected FIRST-LAST, at most {MOST} addresses, not '{text}'"));
            (0, 0)
        });
        let Time(lease) = args.key("LEASE").unwrap_or(Time(3_600_000_000_000));
        let mut new = Self {
            address,
            ethernet,
            network,
            range,
            gateway: addresses(args, "GATEWAY", 1),
            dns: addresses(args, "DNS", 8),
            domain: args.key("DOMAIN").unwrap_or_default(),
            lease: lease.max(1_000_000_000),
            hosts: Vec::new(),
            leases: Vec::new(),
            offers: 0,
            acks: 0,
            naks: 0,
            exhausted: 0,
        };
        while let Some(text) = args.key::<String>("HOST") {
            match host(&text, args.names) {
                Some(host) => new.hosts.push(host),
                None => args.error(format!("HOST: expected an Ethernet and an IP address, not '{text}'")),
            }
        }
        if new.domain.len() > 255 {
            args.error("DOMAIN is longer than 255 bytes");
        }
        new
    }

    fn find(&self, address: u32) -> Result<usize, usize> {
        self.leases.binary_search_by_key(&address, |lease| lease.address)
    }

    /// Whether a client may have an address now.
    fn is_free_for(&self, address: u32, client: [u8; 6], now: Nanos) -> bool {
        let reserved = self.hosts.iter().find(|h| h.1 == address);
        let given = (self.range.0..=self.range.1).contains(&address);
        let ends = [self.network.0, last(self.network.0, self.network.1)].map(number);
        reserved.map_or(given, |h| h.0 == client)
            && address != number(self.address)
            && (self.network.1 > 30 || !ends.contains(&address))
            && self
                .find(address)
                .map_or(true, |at| self.leases[at].client == Some(client) || self.leases[at].until <= now)
    }

    /// The address for a client: its own, the one it asks for, one that nobody ever had, or the one that is free for longest.
    fn choose(&self, client: [u8; 6], wanted: Option<[u8; 4]>, now: Nanos) -> Option<u32> {
        let free = |address: &u32| self.is_free_for(*address, client, now);
        let own = self.hosts.iter().find(|h| h.0 == client).map(|h| h.1);
        let had = self.leases.iter().find(|l| l.client == Some(client)).map(|l| l.address);
        let known = [own, had, wanted.map(number)].into_iter().flatten().find(free);
        known.or_else(|| self.never_given(free)).or_else(|| {
            let over = self.leases.iter().filter(|l| free(&l.address));
            over.min_by_key(|l| l.until).map(|l| l.address)
        })
    }

    /// The first address of the range of which nothing is known.
    fn never_given(&self, free: impl Fn(&u32) -> bool) -> Option<u32> {
        let mut at = self.find(self.range.0).unwrap_or_else(|at| at);
        (self.range.0..=self.range.1).find(|address| {
            let known = self.leases.get(at).is_some_and(|l| l.address == *address);
            at += usize::from(known);
            !known && free(address)
        })
    }

    fn keep(&mut self, lease: Lease) {
        // A client has one address; what it is only offered does not take that from it.
        self.leases.retain(|l| {
            l.client != lease.client || l.address == lease.address || (lease.offered && !l.offered)
        });
        match self.find(lease.address) {
            Ok(at) => self.leases[at] = lease,
            Err(at) => self.leases.insert(at, lease),
        }
    }

    /// The answer to a message: its kind and the client's address.
    fn decide(&mut self, request: &Request<'_>, now: Nanos) -> Option<(u8, u32)> {
        let client = request.client;
        let chosen = request.server.is_none_or(|server| server == self.address);
        match request.kind {
            DISCOVER => {
                let Some(address) = self.choose(client, request.requested, now) else {
                    self.exhausted += 1;
                    return None;
                };
                let held = self.find(address).ok().map(|at| self.leases[at]);
                // Who asks again keeps what it has.
                if held.is_none_or(|l| l.client != Some(client) || l.until <= now) {
                    self.keep(Lease { address, client: Some(client), until: now + OFFERED, offered: true });
                }
                Some((OFFER, address))
            }
            REQUEST if chosen => {
                let address = number(request.requested.or(request.current)?);
                if !self.is_free_for(address, client, now) {
                    return Some((NAK, 0));
                }
                let until = now.saturating_add(self.lease);
                self.keep(Lease { address, client: Some(client), until, offered: false });
                Some((ACK, address))
            }
            INFORM => request.current.map(|_| (ACK, 0)),
            // It has taken another server's offer, or gives its address back.
            REQUEST | RELEASE => {
                let given_up = |l: &Lease| l.client == Some(client) && (l.offered || request.kind == RELEASE);
                if let Some(lease) = self.leases.iter_mut().find(|l| given_up(l)) {
                    lease.until = now;
                }
                None
            }
            // Somebody else has it.
            DECLINE if chosen => {
                let at = self.find(number(request.requested?)).ok()?;
                if self.leases[at].client == Some(client) {
                    (self.leases[at].client, self.leases[at].until) = (None, now.saturating_add(self.lease));
                }
                None
            }
            _ => None,
        }
    }

    /// The answer to a frame, if that is for a DHCP server; the inner value is missing if there is nothing to say.
    fn serve(&mut self, bytes: &[u8], now: Nanos) -> Option<Option<Packet>> {
        let Datagram { ethernet, ip, payload, .. } = datagram(bytes, SERVER)?;
        if ip.destination != self.address && ip.destination != ALL.1 {
            return None;
        }
        let Some(request) = Request::read(payload) else { return Some(None) };
        let Some((kind, address)) = self.decide(&request, now) else { return Some(None) };
        match kind {
            OFFER => self.offers += 1,
            ACK => self.acks += 1,
            _ => self.naks += 1,
        }
        let seconds = u32::try_from(self.lease / 1_000_000_000).unwrap_or(u32::MAX);
        let times = [seconds, seconds / 2, seconds / 8 * 7].map(u32::to_be_bytes);
        let mask = mask_bits(self.network.1).to_be_bytes();
        let broadcast = last(self.network.0, self.network.1);
        let time = |at: usize| if address == 0 { &[][..] } else { &times[at][..] };
        let options: &[(u8, &[u8])] = &[
            (51, time(0)),
            (58, time(1)),
            (59, time(2)),
            (1, &mask),
            (28, &broadcast),
            (3, &self.gateway),
            (6, &self.dns),
            (15, self.domain.as_bytes()),
        ];
        let options = if kind == NAK { &[] } else { options };
        let address = address.to_be_bytes();
        let message = request.answer(kind, address, self.address, options);
        let to = match (request.relay, request.current) {
            (Some(relay), _) => (ethernet, relay, SERVER),
            (None, Some(current)) if kind != NAK => (request.client, current, CLIENT),
            _ if kind == NAK || request.broadcast => (ALL.0, ALL.1, CLIENT),
            _ => (request.client, address, CLIENT),
        };
        Some(frame((self.ethernet, self.address, SERVER), to, &message))
    }
}

impl Element for DHCPServer {
    // What a device's network is, is known only where it runs.
    fn initialize(&mut self, _: &mut Context<'_>) -> Result<(), String> {
        let outside = |address: u32| mask(address.to_be_bytes(), self.network.1) != self.network.0;
        if [self.range.0, self.range.1].into_iter().chain(self.hosts.iter().map(|h| h.1)).any(outside) {
            return Err(format!("RANGE and HOST must lie in {}", self.network));
        }
        Ok(())
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        let now = cx.now();
        answer(cx, batch, |frame| self.serve(frame, now));
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        let now = cx.now();
        let used = self.leases.iter().filter(|l| l.until > now);
        Ok(match handler {
            "length" => used.count().to_string(),
            "offers" => self.offers.to_string(),
            "acks" => self.acks.to_string(),
            "naks" => self.naks.to_string(),
            "exhausted" => self.exhausted.to_string(),
            _ => used
                .map(|l| {
                    let (address, left) = (Ipv4(l.address.to_be_bytes()), (l.until - now) / 1_000_000_000);
                    let client =
                        l.client.map_or("declined".to_string(), |client| Ethernet(client).to_string());
                    format!("{address} {client} {left}{}\n", if l.offered { " offered" } else { "" })
                })
                .collect(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        let address =
            cx.names().ipv4(value).ok_or_else(|| format!("expected an IP address, not '{value}'"))?;
        let at = self.find(number(address)).map_err(|_| format!("{value} is not in use"))?;
        self.leases.remove(at);
        Ok(())
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            let (hosts, range) = (&self.hosts, self.range);
            old.leases.retain(|l| {
                (range.0..=range.1).contains(&l.address) || hosts.iter().any(|h| h.1 == l.address)
            });
            self.leases = core::mem::take(&mut old.leases);
            (self.offers, self.acks, self.naks, self.exhausted) =
                (old.offers, old.acks, old.naks, old.exhausted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Described;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    fn server(text: &str) -> DHCPServer {
        let names = Names::default();
        let text = format!("10.0.0.1, 2:0:0:0:0:1, 10.0.0.0/24, {text}");
        let mut args = Args::new(&text, DHCPServer::CLASS.keywords, &names, (1, 1));
        let server = DHCPServer::new(&mut args);
        assert_eq!(args.finish(), []);
        server
    }

    /// A client's message.
    fn says(client: u8, kind: u8, requested: Option<u8>, current: Option<u8>) -> Vec<u8> {
        let mut bytes = alloc::vec![0; 240];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[33] = client;
        if let Some(current) = current {
            bytes[12..16].copy_from_slice(&[10, 0, 0, current]);
        }
        bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
        bytes.extend([53, 1, kind]);
        if let Some(requested) = requested {
            bytes.extend([50, 4, 10, 0, 0, requested]);
        }
        bytes.push(255);
        bytes
    }

    fn decide(server: &mut DHCPServer, message: &[u8], now: Nanos) -> Option<(u8, u8)> {
        let decided = server.decide(&Request::read(message).unwrap(), now);
        decided.map(|(kind, address)| (kind, address.to_be_bytes()[3]))
    }

    #[test]
    fn a_host_keeps_its_address_and_a_reserved_one_is_its_own() {
        let mut server = server("RANGE 10.0.0.10-10.0.0.11, HOST 0:0:0:0:0:9 10.0.0.10, LEASE 100");
        let mut ask = |client, kind, requested, seconds: u64| {
            decide(&mut server, &says(client, kind, requested, None), seconds * 1_000_000_000)
        };
        assert_eq!(ask(1, DISCOVER, None, 1), Some((OFFER, 11)), "the first is another's");
        assert_eq!(ask(2, DISCOVER, None, 1), None);
        assert_eq!(ask(1, REQUEST, Some(11), 2), Some((ACK, 11)));
        assert_eq!(ask(9, DISCOVER, Some(11), 2), Some((OFFER, 10)));
        assert_eq!(ask(2, REQUEST, Some(11), 50), Some((NAK, 0)));
        assert_eq!(ask(2, REQUEST, Some(99), 50), Some((NAK, 0)));
        assert_eq!(ask(2, DISCOVER, None, 103), Some((OFFER, 11)), "the lease is over");
        assert_eq!(ask(1, REQUEST, Some(11), 104), Some((NAK, 0)));
        assert_eq!(ask(2, REQUEST, Some(11), 104), Some((ACK, 11)));
    }

    proptest! {
        #[test]
        fn no_two_hosts_have_an_address(steps in proptest::collection::vec((0u8..6, 1u8..9, 8u8..15, 0u64..40), 0..300)) {
            let mut server = server("RANGE 10.0.0.10-10.0.0.12, HOST 0:0:0:0:0:3 10.0.0.11, LEASE 100");
            let mut now = 0;
            let mut has: BTreeMap<u8, (u8, Nanos)> = BTreeMap::new();
            for (client, kind, address, seconds) in steps {
                now += seconds * 1_000_000_000;
                let message = says(client, kind, (kind != RELEASE).then_some(address), (kind == RELEASE).then_some(address));
                let decided = decide(&mut server, &message, now);
                if kind == RELEASE {
                    has.retain(|_, holder| holder.0 != client);
                }
                if let Some((ACK, given @ 1..)) = decided {
                    prop_assert!((10..=12).contains(&given) && (given != 11 || client == 3));
                    let free = has.get(&given).is_none_or(|&(holder, until)| holder == client || until <= now);
                    prop_assert!(free, "{given} is {:?}'s", has.get(&given));
                    has.retain(|_, holder| holder.0 != client);
                    has.insert(given, (client, now + 100_000_000_000));
                }
                prop_assert!(server.leases.len() <= 3);
            }
        }
    }
}
