use super::header;
use crate::args::{Args, Argument, Ipv6, parse_number};
use crate::element::{Context, Element};
use crate::headers::{IPV6, PROTOCOL_ICMP6, PROTOCOL_TCP, PROTOCOL_UDP, adjust, difference};
use crate::packet::{Batch, Packet};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Hosts or flows that are known at once.
const MOST: usize = 1 << 16;

/// An address, and a port if those are translated too (otherwise 0).
type End = (Ipv6, u16);

crate::element! {
    /// Translates addresses, and ports, of IPv6 hosts behind it to others, and back.
    ///
    /// Input 0 has packets from the inside, whose source is translated; they leave by output 0. Input 1 has packets from the
    /// outside, whose destination is translated back; they leave by output 1. Packets begin with their IPv6 header or have
    /// it marked; those without a translation are dropped. Ports are those of TCP and UDP, and identifiers of pings.
    ///
    /// # Arguments
    /// How many static mappings there are; if there are some, whether they have ports, and then each: `ADDR MAPPED`, or
    /// `ADDR PORT MAPPED PORT`. Whether hosts get mappings when they first send; if so, whether by port, who may begin
    /// (which is always the inside), and the addresses that are given out, or `ADDR FIRST_PORT LAST_PORT`.
    AddressTranslator "2/2" "h/h"
    {
        out: BTreeMap<End, End>,
        back: BTreeMap<End, End>,
        /// Static mappings have ports, and dynamic ones.
        with_ports: [bool; 2],
        free: Vec<Ipv6>,
        /// An address, the next of its ports, and the last.
        ports: Option<(Ipv6, u16, u16)>,
    }
}

/// What is read, and what is wrong.
struct Reader<'a, 'b> {
    args: &'a mut Args<'b>,
    words: alloc::vec::IntoIter<crate::args::Word>,
}

impl Reader<'_, '_> {
    fn next<T>(&mut self, what: &str, read: impl Fn(&str, &Args<'_>) -> Option<T>) -> Option<T> {
        let Some(word) = self.words.next() else {
            self.args.error(alloc::format!("expected {what}"));
            return None;
        };
        let value = read(&word.text, self.args);
        if value.is_none() {
            self.args.error_in(&word, alloc::format!("expected {what}, not '{}'", word.text));
        }
        value
    }

    fn flag(&mut self, what: &str) -> bool {
        self.next(what, |text, args| bool::parse(text, args.names)).unwrap_or(false)
    }
}

fn address(text: &str, args: &Args<'_>) -> Option<Ipv6> {
    Ipv6::parse(text, args.names)
}

fn port(text: &str) -> Option<u16> {
    parse_number(text).and_then(|n| u16::try_from(n).ok())
}

fn mapping(text: &str, args: &Args<'_>, with_ports: bool) -> Option<(End, End)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match (with_ports, &words[..]) {
        (false, [inside, outside]) => Some(((address(inside, args)?, 0), (address(outside, args)?, 0))),
        (true, [inside, from, outside, to]) => {
            Some(((address(inside, args)?, port(from)?), (address(outside, args)?, port(to)?)))
        }
        _ => None,
    }
}

impl AddressTranslator {
    fn new(args: &mut Args<'_>) -> Self {
        let mut new = Self {
            out: BTreeMap::new(),
            back: BTreeMap::new(),
            with_ports: [false; 2],
            free: Vec::new(),
            ports: None,
        };
        let words = args.rest().into_iter();
        let mut reader = Reader { args, words };
        let count = reader.next("the number of static mappings", |text, _| parse_number(text)).unwrap_or(0);
        if count > 0 {
            new.with_ports[0] = reader.flag("whether static mappings have ports");
        }
        for _ in 0..count.min(MOST as u64) {
            let with_ports = new.with_ports[0];
            match reader.next("a static mapping", |text, args| mapping(text, args, with_ports)) {
                Some((inside, outside)) => new.add(inside, outside),
                None => return new,
            }
        }
        if !reader.flag("whether mappings are dynamic") {
            return new;
        }
        new.with_ports[1] = reader.flag("whether dynamic mappings have ports");
        reader.flag("who may begin");
        if new.with_ports[1] {
            new.ports = reader.next("'ADDR FIRST_PORT LAST_PORT'", |text, args| {
                match text.split_whitespace().collect::<Vec<_>>()[..] {
                    [a, first, last] => Some((address(a, args)?, port(first)?, port(last)?)),
                    _ => None,
                }
            });
        } else {
            while reader.words.len() > 0 {
                new.free.extend(reader.next("an IPv6 address", address));
            }
            new.free.reverse();
        }
        new
    }

    fn add(&mut self, inside: End, outside: End) {
        self.out.insert(inside, outside);
        self.back.insert(outside, inside);
    }

    /// What an end inside becomes; `None`: there is nothing left.
    fn outside(&mut self, inside: End) -> Option<End> {
        let of_host = (inside.0, 0);
        for (key, keeps_port) in [(inside, false), (of_host, true)] {
            if let Some(to) = self.out.get(&key) {
                return Some((to.0, if keeps_port { inside.1 } else { to.1 }));
            }
        }
        if self.out.len() >= MOST {
            return None;
        }
        if self.with_ports[1] {
            let (address, next, last) = self.ports.as_mut()?;
            if *next > *last {
                return None;
            }
            let outside = (*address, *next);
            // The last port there is may be the last that is given out.
            match next.checked_add(1) {
                Some(following) => *next = following,
                None => (*next, *last) = (1, 0),
            }
            self.add(inside, outside);
            return Some(outside);
        }
        let address = self.free.pop()?;
        self.add(of_host, (address, 0));
        Some((address, inside.1))
    }

    /// What an end outside stands for.
    fn inside(&self, outside: End) -> Option<End> {
        let host = || self.back.get(&(outside.0, 0)).map(|to| (to.0, outside.1));
        self.back.get(&outside).copied().or_else(host)
    }

    /// Translates a packet; `false`: there is no translation.
    fn translate(&mut self, packet: &mut Packet, inward: bool) -> bool {
        if packet.network().is_none() {
            packet.set_headers(0, IPV6.min(packet.len()));
        }
        let Some((at, h)) = header(packet) else { return false };
        let place = if inward { 24 } else { 8 };
        let end = if inward { h.destination } else { h.source };
        let segment = packet.data().get(at + IPV6..).unwrap_or(&[]);
        // Where the port lies, and the checksum.
        let (port, sum) = match h.next {
            PROTOCOL_TCP if segment.len() >= 20 => (Some(if inward { 2 } else { 0 }), 16),
            PROTOCOL_UDP if segment.len() >= 8 => (Some(if inward { 2 } else { 0 }), 6),
            PROTOCOL_ICMP6 if segment.len() >= 8 => (matches!(segment[0], 128 | 129).then_some(4), 2),
            _ => return false,
        };
        let number = port.map_or(0, |at| u16::from_be_bytes([segment[at], segment[at + 1]]));
        let from = (Ipv6(end), number);
        let Some(to) = (if inward { self.inside(from) } else { self.outside(from) }) else { return false };
        let data = &mut packet.data_mut()[at..];
        let by = difference(
            &[&from.0.0[..], &from.1.to_be_bytes()].concat(),
            &[&to.0.0[..], &to.1.to_be_bytes()].concat(),
        );
        data[place..place + 16].copy_from_slice(&to.0.0);
        let segment = &mut data[IPV6..];
        if let Some(at) = port {
            segment[at..at + 2].copy_from_slice(&to.1.to_be_bytes());
        }
        let new = adjust([segment[sum], segment[sum + 1]], by);
        segment[sum..sum + 2].copy_from_slice(if new == [0, 0] { &[255, 255] } else { &new });
        if inward {
            packet.set_destination6(to.0.0);
        }
        true
    }
}

impl Element for AddressTranslator {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        batch.retain_or_else(|packet| self.translate(packet, port == 1), drop);
        cx.output(port, batch);
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn core::any::Any).downcast_mut::<Self>()
            && self.ports.map(|p| p.0) == old.ports.map(|p| p.0)
        {
            for (inside, outside) in core::mem::take(&mut old.out) {
                if !self.out.contains_key(&inside) && !self.back.contains_key(&outside) {
                    self.add(inside, outside);
                }
            }
            self.free.retain(|address| !self.back.contains_key(&(*address, 0)));
            if let (Some(new), Some(old)) = (&mut self.ports, old.ports) {
                new.1 = new.1.max(old.1);
            }
        }
    }
}
