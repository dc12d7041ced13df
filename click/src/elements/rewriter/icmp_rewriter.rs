use super::flow::FlowId;
use super::translation::reply_annotation;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::ip::header;
use crate::headers::{Ipv4Header, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, adjust, difference};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

crate::element! {
    /// Rewrites ICMP errors about packets that rewriters have rewritten, so that they reach who sent those.
    ///
    /// An error carries the beginning of the packet that caused it, as it was after the rewriter. If a rewriter knows
    /// that flow, the error's addresses and that beginning are made to look as before it, with checksums. Other packets
    /// leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `MAPS`: names of rewriters, separated by spaces; the first that knows the flow counts. `DST_ANNO` (true): set
    /// the destination annotation. `REPLY_ANNO`: annotation byte that errors about packets of a flow get, as answers do.
    ICMPRewriter "1/1-" "a/ah"
    keywords ["MAPS", "DST_ANNO", "REPLY_ANNO"]
    { names: Vec<String>, maps: Vec<usize>, annotate: bool, reply_anno: Option<usize> }
}

impl ICMPRewriter {
    fn new(args: &mut Args<'_>) -> Self {
        let names: String = args.required("MAPS");
        let names = names.split_whitespace().map(String::from).collect();
        let annotate = args.key("DST_ANNO").unwrap_or(true);
        Self { names, maps: Vec::new(), annotate, reply_anno: reply_annotation(args) }
    }

    fn rewrite(&self, cx: &mut Context<'_>, packet: &mut Packet) -> bool {
        let Some((at, h)) = header(packet) else { return false };
        if h.protocol != PROTOCOL_ICMP || h.fragment_offset != 0 {
            return false;
        }
        let end = (at + h.total).min(packet.len());
        let Some(icmp) = packet.data().get(at + h.header..end).filter(|i| i.len() >= 8 + 20 + 8) else {
            return false;
        };
        // Unreachable, source quench, redirect, time exceeded, parameter problem.
        if !matches!(icmp[0], 3 | 4 | 5 | 11 | 12) {
            return false;
        }
        let Some(inner) = Ipv4Header::read(&icmp[8..]).filter(|i| i.fragment_offset == 0) else {
            return false;
        };
        let Some(ports) = icmp.get(8 + inner.header..).and_then(|t| t.first_chunk::<8>()) else {
            return false;
        };
        let answers = answers(&inner, ports);
        let Some((index, (to, byte))) = answers.iter().enumerate().find_map(|(i, &id)| {
            let find = |&map: &usize| super::rewriter(cx, map)?.answer(id);
            self.maps.iter().find_map(find).map(|found| (i, found))
        }) else {
            return false;
        };
        // What the packet looked like before it was rewritten.
        let was = to.reverse();
        let (source, destination) = match index {
            // Only addresses are known, or only the source's.
            2 => (was.source(), (inner.destination, 0)),
            _ => (was.source(), was.destination()),
        };
        let changed =
            Inner { source, destination, with_ports: index == 0, icmp: inner.protocol == PROTOCOL_ICMP };
        changed.write(packet, at, &h, end, &inner);
        if self.annotate {
            packet.set_destination(source.0);
        }
        if let Some((at, byte)) = self.reply_anno.zip(byte) {
            packet.user()[at] = byte;
        }
        true
    }
}

/// How answers to the packet in an error look to rewriters of ports, of both addresses, and of one.
fn answers(inner: &Ipv4Header, transport: &[u8; 8]) -> [FlowId; 3] {
    let port = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
    let (source, destination) = match inner.protocol {
        PROTOCOL_TCP | PROTOCOL_UDP => (port(0), port(2)),
        PROTOCOL_ICMP if transport[0] == 8 => (port(4), 0),
        PROTOCOL_ICMP => (0, port(4)),
        _ => (0, 0),
    };
    let id = |sport, dport, protocol| {
        FlowId::new((inner.source, sport), (inner.destination, dport), protocol).reverse()
    };
    let one = FlowId::new(([0; 4], 0), (inner.source, 0), 0);
    [id(source, destination, inner.protocol), id(0, 0, 0), one]
}

/// What the packet in an error becomes.
struct Inner {
    source: ([u8; 4], u16),
    destination: ([u8; 4], u16),
    with_ports: bool,
    icmp: bool,
}

impl Inner {
    /// Writes it into the error, whose IP header `h` begins at `at`, and changes all checksums by what changed.
    fn write(&self, packet: &mut Packet, at: usize, h: &Ipv4Header, end: usize, inner: &Ipv4Header) {
        let data = &mut packet.data_mut()[at..end];
        let (ip, icmp) = data.split_at_mut(h.header);
        // The first 28 bytes of an error, its packet's header, and as much of the transport header as changes.
        let length = (8 + inner.header + 20).min(icmp.len()) & !1;
        let before: [u8; 88] = core::array::from_fn(|i| if i < length { icmp[i] } else { 0 });
        {
            let (header, transport) = icmp[8..].split_at_mut(inner.header);
            let old = [inner.source, inner.destination].concat();
            header[12..16].copy_from_slice(&self.source.0);
            header[16..20].copy_from_slice(&self.destination.0);
            let by = difference(&old, &header[12..20]);
            let sum = adjust([header[10], header[11]], by);
            (header[10], header[11]) = (sum[0], sum[1]);
            // Ports, or an identifier, and the checksum over them if it is there.
            let (place, checksum) = match inner.protocol {
                PROTOCOL_TCP => (0..4, Some(16)),
                PROTOCOL_UDP => (0..4, Some(6)),
                _ if self.icmp => (4..6, Some(2)),
                _ => (0..0, None),
            };
            let mut old = [0; 4];
            old[..place.len()].copy_from_slice(&transport[place.clone()]);
            if self.with_ports && self.icmp {
                let identifier = self.source.1.max(self.destination.1);
                transport[place.clone()].copy_from_slice(&identifier.to_be_bytes());
            } else if self.with_ports && place.len() == 4 {
                transport[0..2].copy_from_slice(&self.source.1.to_be_bytes());
                transport[2..4].copy_from_slice(&self.destination.1.to_be_bytes());
            }
            let mut new = [0; 4];
            new[..place.len()].copy_from_slice(&transport[place]);
            if let Some(sum) = checksum.and_then(|c| transport.get_mut(c..c + 2))
                && (inner.protocol != PROTOCOL_UDP || *sum != [0, 0])
            {
                let mut now = adjust([sum[0], sum[1]], difference(&old, &new));
                if !self.icmp {
                    now = adjust(now, by);
                }
                sum.copy_from_slice(&now);
            }
        }
        let mut after: [u8; 88] = core::array::from_fn(|i| if i < length { icmp[i] } else { 0 });
        (after[2], after[3]) = (before[2], before[3]);
        let sum = adjust([icmp[2], icmp[3]], difference(&before, &after));
        (icmp[2], icmp[3]) = (sum[0], sum[1]);

        // The error itself goes to who sent the packet; if it came from the packet's destination, it still seems to.
        let old = [h.source, h.destination].concat();
        if h.source == inner.destination {
            ip[12..16].copy_from_slice(&self.destination.0);
        }
        ip[16..20].copy_from_slice(&self.source.0);
        let sum = adjust([ip[10], ip[11]], difference(&old, &ip[12..20]));
        (ip[10], ip[11]) = (sum[0], sum[1]);
    }
}

impl Element for ICMPRewriter {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        for name in &self.names {
            let found = cx.find(name).filter(|&id| super::rewriter(cx, id).is_some());
            self.maps.push(found.ok_or_else(|| format!("'{name}' is not a rewriter"))?);
        }
        Ok(())
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| self.rewrite(cx, packet));
        cx.output(1, others);
    }
}
