//! A packet as fields see it.

use super::field::{Field, Value};
use click::Packet;
use click::elements::content::{AGGREGATE, EXTRA_LENGTH, EXTRA_PACKETS, FIRST_TIMESTAMP};
use click::packet::PAINT;
use md5::{Digest, Md5};

const TCP: &[u8] = &[6];
const UDP: &[u8] = &[17];
const ICMP: &[u8] = &[1];
/// Protocols whose headers begin with ports.
const PORTS: &[u8] = &[6, 17, 33, 136];

/// ICMP's messages that have an identifier and a number.
const SEQUENCED: [u64; 6] = [0, 8, 13, 14, 15, 16];

/// A packet.
pub struct View<'p> {
    data: &'p [u8],
    ethernet: Option<&'p [u8]>,
    ip: Option<&'p [u8]>,
    protocol: u8,
    /// What follows the IP header, of a packet that is whole or the first fragment.
    transport: Option<&'p [u8]>,
    time: u64,
    first_time: u64,
    aggregate: u32,
    paint: u8,
    more: u32,
    extra: usize,
    /// What is wrong with the packet: the first thing that was found.
    bad: Option<String>,
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    Some(bytes.get(at..at + length)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

impl<'p> View<'p> {
    /// Looks at a packet. `careful`: it is bad if bytes of it are missing that nothing accounts for.
    pub fn new(packet: &'p mut Packet, careful: bool) -> Self {
        let (extra, more) = (EXTRA_LENGTH.get(packet) as usize, EXTRA_PACKETS.get(packet));
        let first_time = packet.user()[FIRST_TIMESTAMP..].first_chunk().map_or(0, |t| u64::from_ne_bytes(*t));
        let (aggregate, paint, time) = (AGGREGATE.get(packet), packet.paint(PAINT), packet.timestamp());
        let (bytes, [data, mac, network, _]) = packet.with_headers();
        // Where a packet with an IP header says nothing of its frame, it may begin with one.
        let frame = if mac == usize::MAX && network != usize::MAX { data } else { mac };
        let ethernet = bytes.get(frame..).filter(|f| f.len() >= 14);
        let ethernet = ethernet.filter(|_| network == usize::MAX || frame + 14 == network);
        let mut view = Self {
            data: &bytes[data..],
            ethernet,
            ip: bytes.get(network..),
            protocol: 0,
            transport: None,
            time,
            first_time,
            aggregate,
            paint,
            more,
            extra,
            bad: None,
        };
        view.check(careful);
        view
    }

    /// What is wrong with the packet.
    pub fn bad(&self) -> Option<&str> {
        self.bad.as_deref()
    }

    fn is_bad(&mut self, what: String) {
        self.bad.get_or_insert(what);
    }

    /// Finds the headers.
    fn check(&mut self, careful: bool) {
        let Some(ip) = self.ip else { return };
        let word = |at| number(ip, at, 2).unwrap_or(0) as usize;
        let (header, total) = (usize::from(ip.first().unwrap_or(&0) & 15) * 4, word(2));
        let bad = match ip.first() {
            Some(first) if ip.len() >= 4 && first >> 4 != 4 => Some(format!("IP version {}", first >> 4)),
            Some(_) if ip.len() >= 4 && header < 20 => Some(format!("IP header length {}", header / 4)),
            Some(_) if ip.len() >= 4 && total < header => Some(format!("IP length {total}")),
            Some(_) if ip.len() >= 4 => None,
            _ => Some("truncated IP header".to_string()),
        };
        if let Some(bad) = bad {
            self.ip = None;
            return self.is_bad(bad);
        }
        let there = ip.len() + self.extra;
        if careful && there < total {
            self.is_bad(format!("truncated IP missing {}", total - there));
        }
        // What is behind the packet is not part of it.
        let ip = &ip[..ip.len().min(total)];
        self.ip = Some(ip);
        if ip.len() <= header {
            return;
        }
        self.protocol = ip[9];
        self.transport = Some(&ip[header..]).filter(|_| word(6) & 0x1fff == 0);
        if let Some(&[offset]) = self.transport.and_then(|t| t.get(12..13))
            && self.protocol == 6
            && offset >> 4 < 5
        {
            self.transport = None;
            self.is_bad(format!("TCP header length {}", offset >> 4));
        }
    }

    /// A number of the IP header.
    fn ip(&mut self, at: usize, length: usize) -> Option<u64> {
        let found = self.ip.and_then(|ip| number(ip, at, length));
        if found.is_none() && self.bad.is_none() {
            let what = if self.ip.is_some() { "truncated IP header capture" } else { "no IP header" };
            self.is_bad(what.to_string());
        }
        found
    }

    /// Bytes of the transport header, if the protocol is one of these.
    fn transport(&mut self, protocols: &[u8], length: usize) -> Option<&'p [u8]> {
        let right = protocols.contains(&self.protocol);
        let found = self.transport.filter(|t| right && t.len() >= length);
        if found.is_none() && self.bad.is_none() {
            let name = match protocols {
                TCP => "TCP",
                UDP => "UDP",
                ICMP => "ICMP",
                _ => "TCP/UDP",
            };
            match (self.ip, self.transport) {
                (None, _) => self.is_bad("no IP header".to_string()),
                // Another protocol has no such header.
                (Some(ip), _) if ip.len() > 9 && !protocols.contains(&ip[9]) => {}
                (Some(ip), _) if number(ip, 6, 2).unwrap_or(0) & 0x1fff != 0 => {
                    self.is_bad(format!("fragmented {name} header"));
                }
                (_, transport) => {
                    let there = transport.map_or(0, <[u8]>::len) + self.extra >= length;
                    self.is_bad(format!("truncated {name} header{}", if there { " capture" } else { "" }));
                }
            }
        }
        found
    }

    fn part(&mut self, protocols: &[u8], at: usize, length: usize) -> Option<u64> {
        self.transport(protocols, at + length).and_then(|t| number(t, at, length))
    }

    fn ethernet(&mut self) -> Option<&'p [u8]> {
        if self.ethernet.is_none() {
            self.is_bad("Ethernet header".to_string());
        }
        self.ethernet
    }

    /// A field of ICMP that only messages of some types have.
    fn icmp(&mut self, types: &[u64], at: usize) -> Option<u64> {
        let kind = self.part(ICMP, 0, 1)?;
        if types.contains(&kind) { self.part(ICMP, at, 2) } else { None }
    }

    /// Where the payload is in the IP packet, and how long, as the headers say.
    fn payload(&self) -> Option<(usize, usize)> {
        let ip = self.ip?;
        let header = usize::from(ip[0] & 15) * 4;
        let first = number(ip, 6, 2).is_some_and(|f| f & 0x1fff == 0);
        let transport = match ip.get(9) {
            Some(6) if first => {
                self.transport.and_then(|t| t.get(12)).map_or(20, |o| usize::from(o >> 4) * 4)
            }
            Some(17 | 136) if first => 8,
            _ => 0,
        };
        let total = number(ip, 2, 2)? as usize;
        Some((header + transport, total.saturating_sub(header + transport)))
    }

    /// The payload, as far as it is there; without an IP header, all.
    fn payload_bytes(&self) -> &'p [u8] {
        match (self.ip, self.payload()) {
            (Some(ip), Some((at, length))) => ip.get(at..).map_or(&[][..], |p| &p[..p.len().min(length)]),
            _ => self.data,
        }
    }

    /// What a field says of it; none: the packet does not have it.
    pub fn value(&mut self, field: Field) -> Option<Value> {
        let options = |header: Option<&[u8]>, length: usize| {
            header.and_then(|h| h.get(20..length.max(20))).map(|o| Value::Bytes(o.to_vec()))
        };
        let number = match field {
            Field::Timestamp | Field::NanoTimestamp => Some(self.time),
            Field::TsSec => Some(self.time / 1_000_000_000),
            Field::TsUsec => Some(self.time / 1000 % 1_000_000),
            Field::TsUsec1 => Some(self.time / 1000),
            Field::FirstTimestamp | Field::FirstNanoTimestamp => Some(self.first_time),
            Field::EthDst => return self.ethernet().map(|e| Value::Bytes(e[..6].to_vec())),
            Field::EthSrc => return self.ethernet().map(|e| Value::Bytes(e[6..12].to_vec())),
            Field::EthType => self.ethernet().and_then(|e| number(e, 12, 2)),
            Field::IpSrc => self.ip(12, 4),
            Field::IpDst => self.ip(16, 4),
            Field::IpTos => self.ip(1, 1),
            Field::IpDscp => self.ip(1, 1).map(|tos| tos >> 2),
            Field::IpEcn => self.ip(1, 1).map(|tos| tos & 3),
            Field::IpTtl => self.ip(8, 1),
            Field::IpFrag | Field::IpFragOff => self.ip(6, 2),
            Field::IpId => self.ip(4, 2),
            Field::IpSum => self.ip(10, 2),
            Field::IpProto => self.ip(9, 1),
            Field::IpHl => self.ip(0, 1).map(|first| (first & 15) * 4),
            Field::IpOpt => {
                let header = self.ip(0, 1)? as usize % 16 * 4;
                self.ip(header - 1, 1)?;
                return options(self.ip, header);
            }
            Field::IpLen => {
                let length = self.ip.and_then(|ip| number(ip, 2, 2));
                Some(length.unwrap_or((self.data.len() + self.extra) as u64))
            }
            Field::IpCaptureLen => Some(self.ip.map_or(self.data.len(), <[u8]>::len) as u64),
            Field::Sport => self.part(PORTS, 0, 2),
            Field::Dport => self.part(PORTS, 2, 2),
            Field::TcpSeq => self.part(TCP, 4, 4),
            Field::TcpAck => self.part(TCP, 8, 4),
            Field::TcpOff => self.part(TCP, 12, 1).map(|off| (off >> 4) * 4),
            Field::TcpFlags => self.part(TCP, 12, 2).map(|flags| flags & 0xfff),
            Field::TcpWindow => self.part(TCP, 14, 2),
            Field::TcpSum => self.part(TCP, 16, 2),
            Field::TcpUrp => self.part(TCP, 18, 2),
            Field::TcpOpt | Field::TcpNtOpt | Field::TcpSack => {
                let header = (self.part(TCP, 12, 1)? >> 4) as usize * 4;
                return options(self.transport(TCP, header), header);
            }
            Field::UdpLen => self.part(UDP, 4, 2),
            Field::UdpSum => self.part(UDP, 6, 2),
            Field::IcmpType | Field::IcmpTypeName => self.part(ICMP, 0, 1),
            Field::IcmpCode => self.part(ICMP, 1, 1),
            Field::IcmpCodeName => self.part(ICMP, 0, 2),
            Field::IcmpFlowId => self.icmp(&SEQUENCED, 4),
            Field::IcmpSeq => self.icmp(&SEQUENCED, 6),
            Field::IcmpNextMtu => self.icmp(&[3], 6).filter(|_| self.part(ICMP, 1, 1) == Some(4)),
            Field::Payload => return Some(Value::Bytes(self.payload_bytes().to_vec())),
            Field::PayloadMd5 | Field::PayloadMd5Hex => {
                return Some(Value::Bytes(Md5::digest(self.payload_bytes()).to_vec()));
            }
            Field::PayloadLen => {
                Some(self.payload().map_or(self.data.len() + self.extra, |(_, length)| length) as u64)
            }
            Field::CaptureLen => Some(self.data.len() as u64),
            Field::WireLen => Some((self.data.len() + self.extra) as u64),
            Field::Count => Some(u64::from(self.more) + 1),
            Field::Link | Field::Paint | Field::Direction => Some(self.paint.into()),
            Field::Aggregate => Some(self.aggregate.into()),
        };
        number.map(Value::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::super::summary::{Style, Summary};
    use super::*;
    use proptest::prelude::*;

    /// Writes everything that can be said of a packet.
    fn say_all(packet: &mut Packet) -> String {
        let (mut line, mut record) = (String::new(), Vec::new());
        let mut view = View::new(packet, true);
        for field in Field::all() {
            let value = view.value(field);
            value.iter().for_each(|value| field.write(value, &mut line));
            if field.has_bytes() {
                field.write_bytes(value.as_ref(), &mut record);
            }
        }
        line
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_summed_up(bytes in proptest::collection::vec(any::<u8>(), 0..100), headers in any::<(u8, u8)>(), first in any::<bool>()) {
            let mut packet = Packet::from_bytes(&bytes).unwrap();
            packet.set_headers(headers.0.into(), headers.1.into());
            say_all(&mut packet);
            if first && !bytes.is_empty() {
                let mut bytes = bytes;
                bytes[0] = 0x45 | bytes[0] & 15;
                let mut packet = Packet::from_bytes(&bytes).unwrap();
                packet.set_headers(0, 20);
                say_all(&mut packet);
            }
        }

        #[test]
        fn any_summary_makes_a_packet(chosen in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u64>(), 0u32..64), 0..12), checksum: bool, protocol in proptest::sample::select(vec![0, 1, 6, 17, 33, 136])) {
            let mut summary = Summary { protocol, ..Summary::default() };
            let fields: Vec<_> = Field::all().filter(|f| f.has_bytes()).collect();
            for (field, number, shift) in chosen {
                let bytes = [&[0; 4][..], &(number >> shift).to_be_bytes()].concat();
                for start in (0..12).rev() {
                    // As many bytes from the end as the field has.
                    let field = *field.get(&fields);
                    let mut rest = &bytes[start..];
                    if let Some(value) = field.read_bytes(&mut rest) && rest.is_empty() {
                        summary.put(field, value);
                        break;
                    }
                }
            }
            let mut packet = summary.packet(Style { checksum }).unwrap();
            say_all(&mut packet);
            while summary.count < 9 && let Some(one) = summary.split() {
                let made = one.packet(Style { checksum });
                prop_assert!(made.is_some());
            }
        }
    }
}
