use super::header;
use crate::args::{Args, Ipv4};
use crate::element::{Context, Element, read, read_write};
use crate::handlers::parse;
use crate::headers::{IPV4, Ipv4Header, checksum};
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};

crate::element! {
    /// Cuts IP packets that are too large into fragments (RFC 791, section 3.2).
    ///
    /// The header is found by the IP header annotation; what lies in front of it is put in front of every fragment.
    /// Packets that are too large and must not be cut leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `MTU`: most bytes of a packet from its IP header on. `HONOR_DF` (true): when false, all are cut. `VERBOSE`
    /// (false): say so of packets that must not be; of the first five that is said anyway. `HEADROOM` is accepted.
    ///
    /// # Handlers
    /// `drops`: packets that were too large. `fragments`: fragments made. `mtu`: the argument.
    IPFragmenter "1/1-2" "h/h"
    keywords ["MTU", "HONOR_DF", "VERBOSE", "HEADROOM"]
    handlers [read("drops"), read("fragments"), read_write("mtu")]
    { most: usize, honor: bool, verbose: bool, drops: u64, fragments: u64 }
}

impl IPFragmenter {
    fn new(args: &mut Args<'_>) -> Self {
        let most: usize = args.required("MTU");
        if most < IPV4 + 8 {
            args.error("MTU must be at least 28");
        }
        let honor = args.next("HONOR_DF").unwrap_or(true);
        let verbose = args.next("VERBOSE").unwrap_or(false);
        args.ignored("HEADROOM");
        Self { most: most.max(IPV4 + 8), honor, verbose, drops: 0, fragments: 0 }
    }

    /// Says that a packet must not be cut.
    fn say(&self, cx: &mut Context<'_>, packet: &Packet) {
        let (most, length) = (self.most, packet.len());
        if let Some((_, h)) = header(packet) {
            let (from, to) = (Ipv4(h.source), Ipv4(h.destination));
            cx.print(&alloc::format!("IPFragmenter({most}) DF {from} {to} len={length}"));
        }
    }

    /// The fragments of a packet, in order; `None`: the packet stays as it is, or must not be cut (`Err`).
    fn cut(&mut self, packet: &Packet, random: u64) -> Option<Result<Batch, ()>> {
        let (at, h) = header(packet)?;
        if h.total <= self.most || packet.len() < at + h.total {
            return None;
        }
        let data = packet.data();
        let room = (self.most.saturating_sub(h.header)) & !7;
        if (self.honor && data[at + 6] & 0x40 != 0) || room == 0 {
            return Some(Err(()));
        }
        let mut rest = &data[at + h.header..at + h.total];
        // Later fragments carry fewer options, and so more data.
        let later = (self.most - IPV4 - copied_length(&data[at + IPV4..at + h.header])) & !7;
        // An identification need not be anything where packets are not to be cut.
        let id = (data[at + 6] & 0x40 != 0).then_some(random as u16);
        let (mut fragments, mut place) = (Batch::new(), usize::from(h.fragment_offset));
        while !rest.is_empty() {
            let first = fragments.is_empty();
            let (part, behind) = rest.split_at(rest.len().min(if first { room } else { later }));
            let more = h.more_fragments || !behind.is_empty();
            let word = place as u16 | u16::from(more) << 13;
            // Without memory for one of them, the others are of no use.
            fragments.push(fragment(packet, at, &h, part, (word, id), first)?);
            place += part.len() / 8;
            rest = behind;
        }
        self.fragments += fragments.len() as u64;
        Some(Ok(fragments))
    }
}

/// One fragment. Options that are not to be copied stay in the first.
fn fragment(
    packet: &Packet,
    at: usize,
    h: &Ipv4Header,
    part: &[u8],
    (place, id): (u16, Option<u16>),
    first: bool,
) -> Option<Packet> {
    let data = packet.data();
    let mut fragment = Packet::new(at + h.header + part.len())?;
    fragment.annotate_as(packet);
    fragment.put_slice(&data[..at + IPV4])?;
    let options = &data[at + IPV4..at + h.header];
    if first {
        fragment.put_slice(options)?;
    } else {
        copied(options).try_for_each(|option| fragment.put_slice(option))?;
        let odd = (fragment.len() - at) % 4;
        fragment.put((4 - odd) % 4)?;
    }
    let length = fragment.len() - at;
    fragment.put_slice(part)?;
    let ip = &mut fragment.data_mut()[at..];
    ip[0] = 0x40 | (length / 4) as u8;
    ip[2..4].copy_from_slice(&((length + part.len()) as u16).to_be_bytes());
    if let Some(id) = id {
        ip[4..6].copy_from_slice(&id.to_be_bytes());
    }
    let kept = ip[6] & 0x80;
    ip[6..8].copy_from_slice(&place.to_be_bytes());
    ip[6] |= kept;
    ip[10..12].fill(0);
    let sum = checksum(&ip[..length]);
    ip[10..12].copy_from_slice(&sum);
    fragment.set_headers(at, at + length);
    Some(fragment)
}

/// Bytes of the options that later fragments carry, filled up to whole words.
fn copied_length(options: &[u8]) -> usize {
    copied(options).map(<[u8]>::len).sum::<usize>().next_multiple_of(4)
}

/// Options whose copied flag is set.
fn copied(mut options: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        loop {
            let length = match *options.first()? {
                0 => return None,
                1 => 1,
                _ => usize::from(*options.get(1)?),
            };
            let (option, rest) = options.split_at_checked(length).filter(|(option, _)| !option.is_empty())?;
            options = rest;
            if option[0] & 0x80 != 0 {
                return Some(option);
            }
        }
    })
}

impl Element for IPFragmenter {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let (mut out, mut large) = (Batch::new(), Batch::new());
        while let Some(packet) = batch.pop() {
            match self.cut(&packet, cx.random()) {
                None => out.push(packet),
                Some(Ok(fragments)) => out.append(fragments),
                Some(Err(())) => {
                    self.drops += 1;
                    if self.verbose || self.drops <= 5 {
                        self.say(cx, &packet);
                    }
                    large.push(packet);
                }
            }
        }
        cx.output(0, out);
        cx.output(1, large);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "drops" => self.drops.to_string(),
            "fragments" => self.fragments.to_string(),
            _ => self.most.to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        let most: usize = parse(cx, value)?;
        if most < IPV4 + 8 {
            return Err("MTU must be at least 28".to_string());
        }
        self.most = most;
        Ok(())
    }
}
