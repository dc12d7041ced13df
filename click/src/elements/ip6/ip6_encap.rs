use crate::args::{Args, Argument, Ipv6};
use crate::element::{Context, Element, read_write};
use crate::elements::ip::protocol;
use crate::handlers::parse;
use crate::headers::{IPV6, Ipv6Header};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};

crate::element! {
    /// Puts IPv6 headers in front of packets.
    ///
    /// # Arguments
    /// `PROTO`: the protocol inside, by name or number. `SRC`, `DST`: addresses; DST can be `DST_ANNO`, the packet's IPv6
    /// destination annotation. `HLIM` (250): the hop limit. `CLASS` (0): the traffic class.
    ///
    /// # Handlers
    /// `src`, `dst`: the addresses.
    IP6Encap "1/1" "a/a"
    keywords ["PROTO", "SRC", "DST", "HLIM", "CLASS"]
    handlers [read_write("src"), read_write("dst")]
    { protocol: u8, source: Ipv6, destination: Option<Ipv6>, hops: u8, class: u8 }
}

impl IP6Encap {
    fn new(args: &mut Args<'_>) -> Self {
        let text: String = args.required("PROTO");
        let number = protocol(&text).or_else(|| u8::parse(&text, args.names));
        if number.is_none() {
            args.error(format!("PROTO: bad IP protocol '{text}'"));
        }
        let source = args.required("SRC");
        let to: String = args.required("DST");
        let destination = Ipv6::parse(&to, args.names);
        if destination.is_none() && to != "DST_ANNO" {
            args.error("DST argument should be IP address or 'DST_ANNO'");
        }
        let (hops, class) = (args.key("HLIM").unwrap_or(250), args.key("CLASS").unwrap_or(0));
        Self { protocol: number.unwrap_or(0), source, destination, hops, class }
    }

    fn encapsulate(&self, packet: &mut Packet) -> bool {
        let destination = self.destination.map_or(packet.destination6(), |d| d.0);
        let payload = packet.len();
        if payload > 65535 || packet.push(IPV6).is_none() {
            return false;
        }
        let header =
            Ipv6Header { payload, next: self.protocol, hops: self.hops, source: self.source.0, destination };
        let data = packet.data_mut();
        header.write(data);
        (data[0], data[1]) = (0x60 | self.class >> 4, self.class << 4);
        packet.set_headers(0, IPV6);
        packet.set_destination6(destination);
        true
    }
}

impl Element for IP6Encap {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| self.encapsulate(packet), drop);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match (handler, self.destination) {
            ("src", _) => self.source.to_string(),
            (_, Some(destination)) => destination.to_string(),
            _ => "DST_ANNO".to_string(),
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
