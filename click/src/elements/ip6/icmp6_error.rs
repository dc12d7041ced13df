use super::header;
use crate::args::{Args, Argument, Ipv6, parse_number};
use crate::element::{Context, Element};
use crate::headers::{IPV6, Ipv6Header, PROTOCOL_ICMP6, transport_checksum6};
use crate::packet::{Batch, Kind, Packet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Most bytes of an error (RFC 4443, section 2.4).
const MOST: usize = 1280;

crate::element! {
    /// Makes IPv6 packets the ICMPv6 errors that they cause (RFC 4443).
    ///
    /// None is made about another error, or about a packet that was sent to many (but for `bigpacket`) or whose source is
    /// not one host. Those packets are dropped.
    ///
    /// # Arguments
    /// `SRC`: address that the errors come from. `TYPE`: number, or `unreachable`, `bigpacket`, `timeexceeded`,
    /// `paramproblem`. `CODE` (0): number, or `noroute`, `adminprohibited`, `address`, `port`, `transit`, `reassembly`.
    /// `BADADDRS`: addresses that no error is sent to, separated by spaces. `PARAMETER` (0): the 32 bits behind the
    /// checksum: an MTU, or the place of a wrong byte.
    ICMP6Error "1/1" "a/a"
    keywords ["SRC", "TYPE", "CODE", "BADADDRS", "PARAMETER"]
    { source: Ipv6, kind: u8, code: u8, bad: Vec<[u8; 16]>, parameter: u32 }
}

const TYPES: &[(&str, u8)] = &[
    ("unreachable", 1),
    ("bigpacket", 2),
    ("timeexceeded", 3),
    ("paramproblem", 4),
    ("parameterproblem", 4),
];
const CODES: &[(u8, &str, u8)] = &[
    (1, "noroute", 0),
    (1, "adminprohibited", 1),
    (1, "address", 3),
    (1, "port", 4),
    (3, "transit", 0),
    (3, "reassembly", 1),
];

impl ICMP6Error {
    fn new(args: &mut Args<'_>) -> Self {
        let source = args.required("SRC");
        let number = |text: &str| parse_number(text).and_then(|n| u8::try_from(n).ok());
        let text: String = args.required("TYPE");
        let kind = TYPES.iter().find(|t| t.0 == text).map(|t| t.1).or_else(|| number(&text));
        if !matches!(kind, Some(1..=4)) {
            args.error(format!("TYPE: expected an ICMPv6 error type, not '{text}'"));
        }
        let kind = kind.unwrap_or(1);
        let text: String = args.next("CODE").unwrap_or_else(|| "0".into());
        let code = CODES.iter().find(|c| c.0 == kind && c.1 == text).map(|c| c.2).or_else(|| number(&text));
        if code.is_none() {
            args.error(format!("CODE: expected an ICMPv6 code for type {kind}, not '{text}'"));
        }
        let mut bad = Vec::new();
        for word in args.next::<String>("BADADDRS").unwrap_or_default().split_whitespace() {
            match Ipv6::parse(word, args.names) {
                Some(address) => bad.push(address.0),
                None => args.error(format!("BADADDRS: expected IPv6 addresses, not '{word}'")),
            }
        }
        Self { source, kind, code: code.unwrap_or(0), bad, parameter: args.key("PARAMETER").unwrap_or(0) }
    }

    fn may_answer(&self, packet: &Packet, at: usize, h: &Ipv6Header) -> bool {
        let error =
            || h.next == PROTOCOL_ICMP6 && packet.data().get(at + IPV6).is_none_or(|kind| kind & 0x80 == 0);
        let many = h.destination[0] == 255 || matches!(packet.kind(), Kind::Broadcast | Kind::Multicast);
        h.source != [0; 16]
            && h.source[0] != 255
            && (!many || self.kind == 2)
            && !self.bad.contains(&h.source)
            && !self.bad.contains(&h.destination)
            && !error()
    }

    /// Puts the error's headers in front of the packet, which is cut to fit.
    fn make(&self, packet: &mut Packet) -> bool {
        let Some((at, h)) = header(packet) else { return false };
        if !self.may_answer(packet, at, &h) || !packet.pull(at) {
            return false;
        }
        packet.truncate((IPV6 + h.payload).min(MOST - IPV6 - 8));
        if packet.push(IPV6 + 8).is_none() {
            return false;
        }
        let payload = packet.len() - IPV6;
        let (ip, icmp) = packet.data_mut().split_at_mut(IPV6);
        Ipv6Header { payload, next: PROTOCOL_ICMP6, hops: 255, source: self.source.0, destination: h.source }
            .write(ip);
        icmp[..4].copy_from_slice(&[self.kind, self.code, 0, 0]);
        icmp[4..8].copy_from_slice(&self.parameter.to_be_bytes());
        let sum = transport_checksum6(self.source.0, h.source, PROTOCOL_ICMP6, icmp);
        icmp[2..4].copy_from_slice(&sum);
        packet.set_headers(0, IPV6);
        packet.set_destination6(h.source);
        packet.set_kind(Kind::Host);
        true
    }
}

impl Element for ICMP6Error {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| self.make(packet), drop);
    }
}
