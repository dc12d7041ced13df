use super::gre_encap::{BRIDGED, CHECKSUM, KEY, SEQUENCE};
use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, be16, checksum, four};
use crate::packet::{Batch, Packet};

crate::element! {
    /// Takes GRE headers off (RFC 2784, RFC 2890), which begin at the packet's front.
    ///
    /// IP headers inside are marked. What has another key or protocol, a wrong checksum, or no such header leaves by output
    /// 1, or is dropped if it is not there. Sequence numbers are not looked at.
    ///
    /// # Arguments
    /// `PROTOCOL`: the EtherType of what is inside; without it, any. `KEY`: the tunnel's number; without it, packets
    /// without a key.
    GREDecap "1/1-2" "a/ah"
    keywords ["PROTOCOL", "KEY"]
    { protocol: Option<u16>, key: Option<u32> }
}

impl GREDecap {
    fn new(args: &mut Args<'_>) -> Self {
        Self { protocol: args.next("PROTOCOL"), key: args.key("KEY") }
    }

    /// Bytes of the header, and the protocol inside; `None`: it is another's, or none.
    fn header(&self, packet: &Packet) -> Option<(usize, u16)> {
        let data = packet.data();
        let (flags, version) = (*data.first()?, *data.get(1)?);
        // Bits that RFC 2784 does not have receivers accept, and another version.
        if flags & !(CHECKSUM | KEY | SEQUENCE) != 0 || version != 0 {
            return None;
        }
        let protocol = be16(data, 2)?;
        let mut at = 4;
        if flags & CHECKSUM != 0 {
            at += 4;
        }
        let key = if flags & KEY != 0 {
            at += 4;
            Some(u32::from_be_bytes(four(data, at - 4)?))
        } else {
            None
        };
        if flags & SEQUENCE != 0 {
            at += 4;
        }
        let fits =
            key == self.key && self.protocol.is_none_or(|wanted| wanted == protocol) && data.len() >= at;
        (fits && (flags & CHECKSUM == 0 || checksum(data) == [0, 0])).then_some((at, protocol))
    }
}

impl Element for GREDecap {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| {
            let Some((length, protocol)) = self.header(packet) else { return false };
            if !packet.pull(length) {
                return false;
            }
            match (protocol, packet.data().first().map(|b| b & 15)) {
                (BRIDGED, _) => packet.set_mac(),
                (ETHERTYPE_IPV4, Some(words)) => packet.set_headers(0, 4 * usize::from(words)),
                (ETHERTYPE_IPV6, Some(_)) => packet.set_headers(0, crate::headers::IPV6),
                _ => {}
            }
            true
        });
        cx.output(1, others);
    }
}
