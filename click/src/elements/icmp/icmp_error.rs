use crate::args::{Args, Ipv4, parse_number};
use crate::element::{Context, Element, argument, keyword};
use crate::elements::ip::{FIX, header};
use crate::headers::{IPV4, Ipv4Header, PROTOCOL_ICMP, checksum, write_ipv4};
use crate::packet::{Batch, Kind, Packet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of an ICMP error's own header.
const ICMP: usize = 8;
/// User annotation that says which header byte is wrong.
const PARAMETER: usize = 17;

crate::element! {
    /// Makes IP packets the ICMP errors that they cause.
    ///
    /// The error goes back to the packet's source, as RFC 1812 section 4.3.2 has it: none about another ICMP error, about
    /// a fragment but the first, or about a packet that was sent to all or whose source is not one host. Those packets
    /// are dropped. The error about a packet with a source route goes back the way that the packet came.
    ///
    /// # Arguments
    /// `SRC`: address that the errors come from. `TYPE`: number, or `unreachable`, `sourcequench`, `redirect`,
    /// `timeexceeded`, `parameterproblem`. `CODE` (0): number, or `net`, `host`, `protocol`, `port`, `needfrag`,
    /// `srcroutefail`, `transit`, `reassembly`, and so on. `BADADDRS`: addresses that no error is sent to, separated by
    /// spaces. `MTU` (576): most bytes of an error. `PMTU` (0): next hop's MTU, for needfrag. `SET_FIX_ANNO`
    /// (true): have `FixIPSrc` set the source.
    ///
    /// # Handlers
    /// `src`, `mtu`, `pmtu`: the arguments.
    ICMPError "1/1" "a/a"
    keywords ["SRC", "TYPE", "CODE", "BADADDRS", "MTU", "PMTU", "SET_FIX_ANNO"]
    handlers [argument("src", 0), keyword("mtu"), keyword("pmtu")]
    { source: Ipv4, kind: u8, code: u8, bad: Vec<[u8; 4]>, most: usize, pmtu: u16, fix: bool, id: u16 }
}

const TYPES: &[(&str, u8)] = &[
    ("unreachable", 3),
    ("sourcequench", 4),
    ("redirect", 5),
    ("timeexceeded", 11),
    ("parameterproblem", 12),
    ("paramproblem", 12),
];

/// Code names, by type.
const CODES: &[(u8, &str, u8)] = &[
    (3, "net", 0),
    (3, "host", 1),
    (3, "protocol", 2),
    (3, "proto", 2),
    (3, "port", 3),
    (3, "needfrag", 4),
    (3, "srcroutefail", 5),
    (3, "netunknown", 6),
    (3, "hostunknown", 7),
    (3, "netprohibited", 9),
    (3, "hostprohibited", 10),
    (3, "filterprohibited", 13),
    (5, "net", 0),
    (5, "host", 1),
    (11, "transit", 0),
    (11, "reassembly", 1),
    (12, "erroratptr", 0),
    (12, "missingopt", 1),
    (12, "length", 2),
];

/// The name of a code of a type.
pub(crate) fn code_name(kind: u8, code: u8) -> Option<&'static str> {
    CODES.iter().find(|c| (c.0, c.2) == (kind, code)).map(|c| c.1)
}

impl ICMPError {
    fn new(args: &mut Args<'_>) -> Self {
        let source = args.required("SRC");
        let number = |text: &str| parse_number(text).and_then(|n| u8::try_from(n).ok());
        let text: String = args.required("TYPE");
        let kind = TYPES.iter().find(|t| t.0 == text).map(|t| t.1).or_else(|| number(&text));
        if !matches!(kind, Some(3 | 4 | 5 | 11 | 12)) {
            args.error(format!("TYPE: expected an ICMP error type, not '{text}'"));
        }
        let kind = kind.unwrap_or(3);
        let text: String = args.next("CODE").unwrap_or_else(|| "0".into());
        let code = CODES.iter().find(|c| c.0 == kind && c.1 == text).map(|c| c.2).or_else(|| number(&text));
        if code.is_none() {
            args.error(format!("CODE: expected an ICMP code for type {kind}, not '{text}'"));
        }
        let mut bad = Vec::new();
        for word in args.next::<String>("BADADDRS").unwrap_or_default().split_whitespace() {
            match args.names.ipv4(word) {
                Some(address) => bad.push(address),
                None => args.error(format!("BADADDRS: expected IP addresses, not '{word}'")),
            }
        }
        let fix = args.key("SET_FIX_ANNO").unwrap_or(true);
        let most = args.key("MTU").unwrap_or(576usize).clamp(IPV4 + ICMP + 68, crate::packet::ROOM);
        let pmtu = args.key("PMTU").unwrap_or(0);
        Self { source, kind, code: code.unwrap_or(0), bad, most, pmtu, fix, id: 0 }
    }

    /// Whether an error about the packet may be sent.
    fn may_answer(&self, packet: &Packet, at: usize, h: &Ipv4Header) -> bool {
        let icmp_error = || {
            let kind = packet.data().get(at + h.header);
            h.protocol == PROTOCOL_ICMP && !matches!(kind, Some(0 | 8 | 9 | 10 | 13..=18))
        };
        let one_host = |a: [u8; 4]| !matches!(a[0], 0 | 127 | 224..=255);
        packet.kind() != Kind::Broadcast
            && packet.kind() != Kind::Multicast
            && h.fragment_offset == 0
            && one_host(h.source)
            && !matches!(h.destination[0], 224..=255)
            && !self.bad.contains(&h.source)
            && !self.bad.contains(&h.destination)
            && !icmp_error()
    }

    /// The source route of the error about a packet: the way back (RFC 1122, section 3.2.2; RFC 1812, section
    /// 4.3.2.6). Nothing if the packet has none, or if that is what is wrong with it; `None`: no error may be sent.
    fn way_back(&self, ip: &[u8], parameter: u8) -> Option<Vec<u8>> {
        match source_route(ip) {
            Some(_) if self.kind == 5 => None,
            Some((at, route))
                if (self.kind, self.code) != (12, 0)
                    || !(at..at + route.len()).contains(&usize::from(parameter)) =>
            {
                let travelled = &route[3..usize::from(route[2]) - 1];
                let mut back = alloc::vec![route[0], 3 + travelled.len() as u8, 4];
                travelled.rchunks(4).for_each(|address| back.extend(address));
                // The end of options, up to a multiple of four.
                back.push(0);
                Some(back)
            }
            _ => Some(Vec::new()),
        }
    }

    /// Puts the error's headers in front of the packet, which is cut to fit.
    fn make(&mut self, packet: &mut Packet) -> bool {
        let Some((at, h)) = header(packet) else { return false };
        if !self.may_answer(packet, at, &h) || !packet.pull(at) {
            return false;
        }
        let gateway = packet.destination();
        let parameter = packet.user()[PARAMETER];
        let Some(options) = self.way_back(&packet.data()[..h.header], parameter) else { return false };
        let header = IPV4 + options.len();
        packet.truncate(h.total.min(self.most - header - ICMP));
        let Some(()) = packet.push(header + ICMP) else { return false };
        let total = packet.len();
        let data = packet.data_mut();
        self.id = self.id.wrapping_add(1);
        write_ipv4(data, total as u16, self.id, PROTOCOL_ICMP, self.source.0, h.source);
        data[IPV4..header].copy_from_slice(&options);
        data[0] = 0x40 | (header / 4) as u8;
        data[10..12].fill(0);
        let sum = checksum(&data[..header]);
        data[10..12].copy_from_slice(&sum);
        let icmp = &mut data[header..];
        icmp[..ICMP].fill(0);
        (icmp[0], icmp[1]) = (self.kind, self.code);
        match self.kind {
            3 if self.code == 4 => icmp[6..8].copy_from_slice(&self.pmtu.to_be_bytes()),
            5 => icmp[4..8].copy_from_slice(&gateway),
            12 => icmp[4] = parameter,
            _ => {}
        }
        let sum = checksum(icmp);
        icmp[2..4].copy_from_slice(&sum);
        packet.set_headers(0, header);
        packet.set_destination(h.source);
        packet.set_kind(Kind::Host);
        packet.user()[FIX] = u8::from(self.fix);
        true
    }
}

/// The source route option of an IP header, with the part of it that is travelled, and where it lies.
fn source_route(ip: &[u8]) -> Option<(usize, &[u8])> {
    let mut at = IPV4;
    loop {
        let length = match ip.get(at)? {
            0 => return None,
            1 => 1,
            kind => {
                let length = usize::from(*ip.get(at + 1)?);
                let option = ip.get(at..at + length).filter(|o| o.len() >= 2)?;
                if matches!(kind, 131 | 137)
                    && let Some(&next) = option.get(2)
                    && next >= 4
                    && next.is_multiple_of(4)
                    && usize::from(next) <= length + 1
                {
                    return Some((at, option));
                }
                length
            }
        };
        at += length;
    }
}

impl Element for ICMPError {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let now = cx.host.wall_clock();
        batch.retain_or_else(|packet| self.make(packet), drop);
        batch.each(|packet| packet.set_timestamp(now));
    }
}
