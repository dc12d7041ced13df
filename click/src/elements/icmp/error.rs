use crate::args::{Args, Ipv4};
use crate::batch::Batch;
use crate::element::{Class, Context, Element};
use crate::elements::boxed;
use crate::headers::{IPV4, Ipv4Header, PROTOCOL_ICMP, checksum, write_ipv4};
use crate::packet::{Kind, Packet};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Turns IP packets into ICMP errors about them, for their senders (RFC 792, RFC 1812 section 4.3.2): none about ICMP
/// errors, later fragments, broadcasts, or packets whose source is not one host.
///
/// Arguments: `SRC` (address of the errors), `TYPE` (number or name: `unreachable`, `timeexceeded`, `redirect`,
/// `parameterproblem`, `sourcequench`), `CODE` (number or name, default 0), keywords `BADADDRS` (addresses that are no
/// single host), `MTU` (for code `needfrag`; also the most bytes of an error, default 576), `PMTU`. Needs the network
/// header annotation; sets the destination annotation. One input, one output.
#[derive(Debug)]
pub struct ICMPError {
    source: [u8; 4],
    kind: u8,
    code: u8,
    most: usize,
    path_mtu: u16,
    bad: Vec<[u8; 4]>,
    id: u16,
}

/// The class.
pub const CLASS: Class = Class {
    name: "ICMPError",
    ports: "1/1",
    processing: "a/a",
    keywords: &["SRC", "TYPE", "CODE", "BADADDRS", "MTU", "PMTU", "SET_FIX_ANNO", "USE_FIX_ANNO"],
    make,
};

const TYPES: &[(&str, u8)] =
    &[("unreachable", 3), ("sourcequench", 4), ("redirect", 5), ("timeexceeded", 11), ("parameterproblem", 12)];
const CODES: &[(u8, &str, u8)] = &[
    (3, "net", 0),
    (3, "host", 1),
    (3, "protocol", 2),
    (3, "port", 3),
    (3, "needfrag", 4),
    (3, "srcroutefail", 5),
    (3, "filterprohibited", 13),
    (5, "net", 0),
    (5, "host", 1),
    (11, "transit", 0),
    (11, "reassembly", 1),
    (12, "erroratptr", 0),
    (12, "missingopt", 1),
    (12, "length", 2),
];

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let source = args.required::<Ipv4>("SRC").0;
    let text: String = args.required("TYPE");
    let small = |text: &str| crate::args::parse_number(text).and_then(|n| u8::try_from(n).ok());
    let kind = TYPES.iter().find(|t| t.0 == text).map(|t| t.1).or_else(|| small(&text));
    let code_text: String = args.next("CODE").unwrap_or("0".into());
    let named = CODES.iter().find(|c| Some(c.0) == kind && c.1 == code_text).map(|c| c.2);
    let code = named.or_else(|| small(&code_text));
    if kind.is_none_or(|k| [0, 8, 13, 14, 15, 16, 17, 18].contains(&k)) && !text.is_empty() {
        args.error(format!("TYPE: '{text}' is no ICMP error"));
    }
    if code.is_none() {
        args.error(format!("CODE: '{code_text}' is no code of this type"));
    }
    let mut bad = Vec::new();
    for word in args.next::<String>("BADADDRS").unwrap_or_default().split_whitespace() {
        match args.names.ipv4(word) {
            Some(address) => bad.push(address),
            None => args.error(format!("BADADDRS: '{word}' is not an address")),
        }
    }
    for ignored in ["SET_FIX_ANNO", "USE_FIX_ANNO"] {
        args.key::<bool>(ignored);
    }
    boxed(ICMPError {
        source,
        kind: kind.unwrap_or(3),
        code: code.unwrap_or(0),
        most: args.key::<usize>("MTU").unwrap_or(576).clamp(IPV4 + 36, 1500),
        path_mtu: args.key("PMTU").unwrap_or(0),
        bad,
        id: 0,
    })
}

impl ICMPError {
    fn about(&mut self, cx: &mut Context<'_>, packet: &Packet) -> Option<Packet> {
        let original = &packet.data()[packet.network()?..];
        let h = Ipv4Header::read(original)?;
        let one_host = |a: [u8; 4]| !(a[0] == 0 || a[0] == 127 || a[0] >= 224);
        let is_error = || original.get(h.header).is_some_and(|t| ![0, 8, 13, 14, 15, 16, 17, 18].contains(t));
        if h.fragment_offset != 0
            || [Kind::Broadcast, Kind::Multicast].contains(&packet.kind())
            || h.destination[0] >= 224
            || !one_host(h.source)
            || self.bad.contains(&h.source)
            || self.bad.contains(&h.destination)
            || (h.protocol == PROTOCOL_ICMP && is_error())
        {
            return None;
        }
        let quoted = original.len().min(h.total).min(self.most - IPV4 - 8);
        let total = IPV4 + 8 + quoted;
        let mut error = cx.packet(&[0; IPV4 + 8])?;
        error.put(quoted)?;
        self.id = self.id.wrapping_add(1);
        let data = error.data_mut();
        write_ipv4(data, total as u16, self.id, PROTOCOL_ICMP, self.source, h.source);
        let icmp = &mut data[IPV4..];
        (icmp[0], icmp[1]) = (self.kind, self.code);
        if self.kind == 3 && self.code == 4 {
            icmp[6..8].copy_from_slice(&self.path_mtu.to_be_bytes());
        }
        if self.kind == 5 {
            icmp[4..8].copy_from_slice(&packet.destination());
        }
        icmp[8..].copy_from_slice(&original[..quoted]);
        let sum = checksum(icmp);
        icmp[2..4].copy_from_slice(&sum);
        error.set_headers(0, IPV4);
        error.set_destination(h.source);
        Some(error)
    }
}

impl Element for ICMPError {
    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut errors = Batch::new();
        for packet in batch.drain() {
            if let Some(error) = self.about(cx, &packet) {
                errors.push(error);
            }
            cx.kill_one(packet);
        }
        *batch = errors;
    }
}
