use super::header;
use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::headers::IPV6;
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};

/// Least that every link carries (RFC 8200, section 5).
const LEAST: usize = 1280;
/// Bytes of a Fragment header.
const FRAGMENT: usize = 8;
/// Numbers of headers: hop-by-hop options, routing, fragment, destination options.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENTED: u8 = 44;
const DESTINATION: u8 = 60;

crate::element! {
    /// Cuts IPv6 packets that are too large into fragments (RFC 8200, section 4.5).
    ///
    /// For hosts and ends of tunnels: a router does not cut, but says that a packet is too big. The header is found by the
    /// IP header annotation; what lies in front of it is put in front of every fragment. Fragments that are too large
    /// themselves, and packets whose headers are, leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `MTU`: most bytes of a packet from its IPv6 header on, 1280 or more.
    ///
    /// # Handlers
    /// `drops`: packets that could not be cut. `fragments`: fragments made.
    IP6Fragmenter "1/1-2" "h/h"
    keywords ["MTU"]
    handlers [read("drops"), read("fragments")]
    { most: usize, id: Option<u32>, drops: u64, fragments: u64 }
}

/// Bytes of the headers that every fragment has, where the number of the header behind them stands, and that number.
fn unfragmentable(ip: &[u8]) -> Option<(usize, usize, u8)> {
    let (mut end, mut place) = (IPV6, 6);
    let mut last = (end, place);
    loop {
        let next = *ip.get(place)?;
        if !matches!(next, HOP_BY_HOP | ROUTING | DESTINATION) {
            return Some((last.0, last.1, ip[last.1])).filter(|_| next != FRAGMENTED);
        }
        // Options for the destination come along only if a routing header follows.
        place = end;
        end += 8 * (usize::from(*ip.get(end + 1)?) + 1);
        if next != DESTINATION {
            last = (end, place);
        }
    }
}

impl IP6Fragmenter {
    fn new(args: &mut Args<'_>) -> Self {
        let most: usize = args.required("MTU");
        if most < LEAST {
            args.error("MTU must be at least 1280");
        }
        Self { most: most.max(LEAST), id: None, drops: 0, fragments: 0 }
    }

    /// The fragments of a packet, in order; `None`: it cannot be cut.
    fn cut(&mut self, packet: &Packet, at: usize, payload: usize, id: u32) -> Option<Batch> {
        let whole = packet.data().get(..at + IPV6 + payload)?;
        let (headers, place, next) = unfragmentable(&whole[at..])?;
        let room = self.most.checked_sub(headers + FRAGMENT)? & !7;
        let rest = whole.get(at + headers..)?;
        if room == 0 || rest.is_empty() {
            return None;
        }
        let mut fragments = Batch::new();
        for (n, part) in rest.chunks(room).enumerate() {
            let mut fragment = Packet::new(at + headers + FRAGMENT + part.len())?;
            fragment.annotate_as(packet);
            fragment.put_slice(&whole[..at + headers])?;
            let more = n * room + part.len() < rest.len();
            let [high, low] = ((n * room) as u16 | u16::from(more)).to_be_bytes();
            let [a, b, c, d] = id.to_be_bytes();
            fragment.put_slice(&[next, 0, high, low, a, b, c, d])?;
            fragment.put_slice(part)?;
            let bytes = &mut fragment.data_mut()[at..];
            let length = (headers - IPV6 + FRAGMENT + part.len()) as u16;
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
            bytes[place] = FRAGMENTED;
            fragment.set_headers(at, at + headers + FRAGMENT);
            fragments.push(fragment);
        }
        Some(fragments)
    }
}

impl Element for IP6Fragmenter {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let (mut out, mut large) = (Batch::new(), Batch::new());
        while let Some(packet) = batch.pop() {
            let Some((at, ip)) = header(&packet) else {
                out.push(packet);
                continue;
            };
            if IPV6 + ip.payload <= self.most {
                out.push(packet);
                continue;
            }
            let id = self.id.map_or_else(|| cx.random() as u32, |id| id.wrapping_add(1));
            self.id = Some(id);
            match self.cut(&packet, at, ip.payload, id) {
                Some(fragments) => {
                    self.fragments += fragments.len() as u64;
                    out.append(fragments);
                }
                None => {
                    self.drops += 1;
                    large.push(packet);
                }
            }
        }
        cx.output(0, out);
        cx.output(1, large);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "drops" { self.drops } else { self.fragments }.to_string())
    }
}
