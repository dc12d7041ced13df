use crate::args::{Args, Ipv4, parse_number};
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::headers::{IPV4, checksum, write_ipv4};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};

crate::element! {
    /// Puts an IP header in front of packets.
    ///
    /// # Arguments
    /// `PROTO`: protocol of the payload, a number or a name such as `udp`. `SRC`, `DST`: addresses; DST can be
    /// `DST_ANNO`, the packet's destination annotation. `TOS` (0): type of service, or `DSCP`, its upper 6 bits; `ECT`
    /// (false), `CE` (false): congestion bits. `TTL` (250): time to live. `DF` (false): do not fragment.
    ///
    /// # Handlers
    /// `src`, `dst`: the addresses.
    IPEncap "1/1" "a/a"
    keywords ["PROTO", "SRC", "DST", "TOS", "TTL", "DSCP", "ECT", "CE", "DF"]
    handlers [read_write("src"), read_write("dst")]
    { protocol: u8, source: Ipv4, destination: Option<Ipv4>, tos: u8, ttl: u8, df: bool, id: u16 }
}

impl IPEncap {
    fn new(args: &mut Args<'_>) -> Self {
        let text: String = args.required("PROTO");
        let number = parse_number(&text).and_then(|n| u8::try_from(n).ok());
        let protocol = number.or_else(|| super::protocol(&text));
        if protocol.is_none() {
            args.error(format!("PROTO: expected an IP protocol, not '{text}'"));
        }
        let source = args.required("SRC");
        let to: String = args.required("DST");
        let destination = args.names.ipv4(&to).map(Ipv4);
        if destination.is_none() && to != "DST_ANNO" {
            args.error(format!("DST: expected an IP address or DST_ANNO, not '{to}'"));
        }
        let mut tos: u8 = args.key("TOS").unwrap_or(0);
        if let Some(dscp) = args.key::<u8>("DSCP") {
            if dscp > 63 {
                args.error("DSCP: expected a number from 0 to 63");
            }
            tos = dscp << 2;
        }
        if args.key("ECT").unwrap_or(false) {
            tos |= 2;
        }
        if args.key("CE").unwrap_or(false) {
            tos |= 3;
        }
        let (ttl, df) = (args.key("TTL").unwrap_or(250), args.key("DF").unwrap_or(false));
        Self { protocol: protocol.unwrap_or(0), source, destination, tos, ttl, df, id: 0 }
    }

    fn encapsulate(&mut self, packet: &mut Packet) -> bool {
        let Ok(total) = u16::try_from(packet.len() + IPV4) else { return false };
        let destination = self.destination.map_or(packet.destination(), |d| d.0);
        if packet.push(IPV4).is_none() {
            return false;
        }
        let h = &mut packet.data_mut()[..IPV4];
        write_ipv4(h, total, self.id, self.protocol, self.source.0, destination);
        self.id = self.id.wrapping_add(1);
        (h[1], h[6], h[8]) = (self.tos, u8::from(self.df) << 6, self.ttl);
        h[10..12].fill(0);
        let sum = checksum(h);
        h[10..12].copy_from_slice(&sum);
        packet.set_headers(0, IPV4);
        packet.set_destination(destination);
        true
    }
}

impl Element for IPEncap {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| self.encapsulate(packet), drop);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "src" => self.source.to_string(),
            _ => self.destination.map_or("DST_ANNO".to_string(), |d| d.to_string()),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "src" => self.source = parse(cx, value)?,
            _ if value == "DST_ANNO" => self.destination = None,
            _ => self.destination = Some(parse(cx, value)?),
        }
        Ok(())
    }
}
