use crate::batch::Batch;
use crate::element::{Class, Context, Element};
use crate::elements::plain;
use crate::headers::{Ipv4Header, PROTOCOL_ICMP, update};
use crate::packet::Packet;

/// Turns ICMP echo requests into their replies. Other packets go to output 1, if it is connected.
///
/// Arguments: none. Needs the network header annotation; sets the destination annotation. Input 0, outputs 0 and 1.
#[derive(Debug, Default)]
pub struct ICMPPingResponder;

/// The class.
pub const CLASS: Class = Class {
    name: "ICMPPingResponder",
    ports: "1/1-2",
    processing: "a/ah",
    keywords: &[],
    make: plain::<ICMPPingResponder>,
};

fn reply(packet: &mut Packet) -> bool {
    let Some(at) = packet.network() else { return false };
    let Some(h) = Ipv4Header::read(&packet.data()[at..]) else { return false };
    let Some(icmp) = packet.data_mut().get_mut(at + h.header..) else { return false };
    if h.protocol != PROTOCOL_ICMP || h.fragment_offset != 0 || icmp.len() < 8 || icmp[0] != 8 {
        return false;
    }
    let old = [icmp[0], icmp[1]];
    icmp[0] = 0;
    let sum = update([icmp[2], icmp[3]], old, [0, icmp[1]]);
    icmp[2..4].copy_from_slice(&sum);
    let header = &mut packet.data_mut()[at..];
    header[12..20].rotate_left(4);
    // A fresh time to live, under the same checksum (RFC 1624).
    let old = [header[8], header[9]];
    header[8] = 255;
    let sum = update([header[10], header[11]], old, [header[8], header[9]]);
    header[10..12].copy_from_slice(&sum);
    packet.set_destination(h.source);
    true
}

impl Element for ICMPPingResponder {
    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut other = Batch::new();
        batch.sift(reply, |p| other.push(p));
        cx.output(1, other);
    }
}
