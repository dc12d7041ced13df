//! The field language of packet summaries: what of a packet stands in a line, and how it is written.

use click::Packet;
use click::elements::content::{AGGREGATE, EXTRA_LENGTH, EXTRA_PACKETS};
use std::fmt::Write;

/// Letters of TCP's flags, lowest bit first.
pub const FLAGS: &[u8; 8] = b"FSRPAUEC";

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Field {
    Timestamp,
    TsSec,
    TsUsec,
    EthSrc,
    EthDst,
    EthType,
    IpSrc,
    IpDst,
    IpTos,
    IpDscp,
    IpEcn,
    IpTtl,
    IpFrag,
    IpFragOff,
    IpId,
    IpSum,
    IpProto,
    IpHl,
    IpLen,
    IpCaptureLen,
    Sport,
    Dport,
    TcpSeq,
    TcpAck,
    TcpOff,
    TcpFlags,
    TcpWindow,
    TcpUrp,
    TcpSum,
    UdpLen,
    UdpSum,
    IcmpType,
    IcmpCode,
    Payload,
    PayloadLen,
    CaptureLen,
    WireLen,
    Count,
    Link,
    Aggregate,
}

/// Names of fields. The first of several for one field is how it is written.
const NAMES: &[(&str, Field)] = &[
    ("timestamp", Field::Timestamp),
    ("ts", Field::Timestamp),
    ("ts_sec", Field::TsSec),
    ("ts_usec1", Field::TsUsec),
    ("ts_usec", Field::TsUsec),
    ("eth_src", Field::EthSrc),
    ("eth_dst", Field::EthDst),
    ("eth_type", Field::EthType),
    ("ip_src", Field::IpSrc),
    ("src", Field::IpSrc),
    ("ip_dst", Field::IpDst),
    ("dst", Field::IpDst),
    ("ip_tos", Field::IpTos),
    ("ip_dscp", Field::IpDscp),
    ("ip_ecn", Field::IpEcn),
    ("ip_ttl", Field::IpTtl),
    ("ip_frag", Field::IpFrag),
    ("frag", Field::IpFrag),
    ("ip_fragoff", Field::IpFragOff),
    ("fragoff", Field::IpFragOff),
    ("ip_id", Field::IpId),
    ("ip_sum", Field::IpSum),
    ("ip_proto", Field::IpProto),
    ("proto", Field::IpProto),
    ("ip_hl", Field::IpHl),
    ("ip_len", Field::IpLen),
    ("len", Field::IpLen),
    ("length", Field::IpLen),
    ("ip_capture_len", Field::IpCaptureLen),
    ("sport", Field::Sport),
    ("dport", Field::Dport),
    ("tcp_seq", Field::TcpSeq),
    ("tcp_ack", Field::TcpAck),
    ("tcp_off", Field::TcpOff),
    ("tcp_flags", Field::TcpFlags),
    ("tcp_window", Field::TcpWindow),
    ("tcp_urp", Field::TcpUrp),
    ("tcp_sum", Field::TcpSum),
    ("udp_len", Field::UdpLen),
    ("udp_sum", Field::UdpSum),
    ("icmp_type", Field::IcmpType),
    ("icmp_code", Field::IcmpCode),
    ("payload", Field::Payload),
    ("payload_len", Field::PayloadLen),
    ("capture_len", Field::CaptureLen),
    ("wire_len", Field::WireLen),
    ("count", Field::Count),
    ("pkt_count", Field::Count),
    ("link", Field::Link),
    ("direction", Field::Link),
    ("aggregate", Field::Aggregate),
];

impl Field {
    /// The field of a name, which may be quoted, and hold a blank for an underscore.
    pub fn named(name: &str) -> Option<Self> {
        let plain = name.trim_matches('"').trim().to_ascii_lowercase().replace([' ', '-'], "_");
        NAMES.iter().find(|n| n.0 == plain).map(|n| n.1)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|n| n.1 == self).map_or("", |n| n.0)
    }
}

/// A packet as fields see it.
struct View<'p> {
    data: &'p [u8],
    ip: Option<&'p [u8]>,
    transport: Option<&'p [u8]>,
    protocol: u8,
}

impl<'p> View<'p> {
    fn new(packet: &'p Packet) -> Self {
        let data = packet.data();
        let ip = packet.network().map(|at| &data[at..]).filter(|ip| ip.len() >= 20 && ip[0] >> 4 == 4);
        let protocol = ip.map_or(0, |ip| ip[9]);
        let first = ip.is_some_and(|ip| u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff == 0);
        let transport = ip.filter(|_| first).and_then(|ip| ip.get(usize::from(ip[0] & 15) * 4..));
        Self { data, ip, transport, protocol }
    }

    fn tcp(&self) -> Option<&'p [u8]> {
        self.transport.filter(|t| self.protocol == 6 && t.len() >= 20)
    }

    fn of(&self, protocol: u8, length: usize) -> Option<&'p [u8]> {
        self.transport.filter(|t| self.protocol == protocol && t.len() >= length)
    }

    /// Bytes of header and of payload of the transport layer, as the IP header says.
    fn payload(&self) -> Option<(usize, usize)> {
        let ip = self.ip?;
        let total = usize::from(be16(ip, 2)?);
        let header = usize::from(ip[0] & 15) * 4;
        let transport = match self.protocol {
            6 => usize::from(self.tcp()?[12] >> 4) * 4,
            17 => 8,
            1 => 8,
            _ => 0,
        };
        Some((header + transport, total.checked_sub(header + transport)?))
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

fn address(bytes: &[u8], at: usize) -> Option<String> {
    be32(bytes, at).map(|a| std::net::Ipv4Addr::from(a).to_string())
}

fn ethernet(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join("-")
}

/// Adds a field's value to a line; `-` if the packet does not have it.
pub fn write(field: Field, packet: &mut Packet, line: &mut String) {
    let (extra, more) = (EXTRA_LENGTH.get(packet) as usize, EXTRA_PACKETS.get(packet));
    let (aggregate, link) = (AGGREGATE.get(packet), packet.paint(click::packet::PAINT));
    let (time, mac) = (packet.timestamp(), frame(packet));
    let view = View::new(packet);
    let (ip, transport) = (view.ip, view.transport);
    let ports = transport.filter(|_| matches!(view.protocol, 6 | 17));
    let value = match field {
        Field::Timestamp => Some(format!("{}.{:06}", time / 1_000_000_000, time % 1_000_000_000 / 1000)),
        Field::TsSec => Some((time / 1_000_000_000).to_string()),
        Field::TsUsec => Some((time / 1000 % 1_000_000).to_string()),
        Field::EthDst => mac.as_ref().map(|m| ethernet(&m[..6])),
        Field::EthSrc => mac.as_ref().map(|m| ethernet(&m[6..12])),
        Field::EthType => mac.as_ref().map(|m| format!("{:02x}{:02x}", m[12], m[13])),
        Field::IpSrc => ip.and_then(|ip| address(ip, 12)),
        Field::IpDst => ip.and_then(|ip| address(ip, 16)),
        Field::IpTos => ip.map(|ip| ip[1].to_string()),
        Field::IpDscp => ip.map(|ip| (ip[1] >> 2).to_string()),
        Field::IpEcn => ip.map(|ip| ["no", "ect1", "ect2", "ce"][usize::from(ip[1] & 3)].to_string()),
        Field::IpTtl => ip.map(|ip| ip[8].to_string()),
        Field::IpFrag => ip.map(|ip| {
            let offset = u16::from_be_bytes([ip[6], ip[7]]);
            match (offset & 0x1fff, offset & 0x2000) {
                (0, 0) => ".",
                (0, _) => "F",
                _ => "f",
            }
            .to_string()
        }),
        Field::IpFragOff => ip.map(|ip| {
            let offset = u16::from_be_bytes([ip[6], ip[7]]);
            let more = if offset & 0x2000 == 0 { "" } else { "+" };
            format!("{}{more}", u32::from(offset & 0x1fff) * 8)
        }),
        Field::IpId => ip.and_then(|ip| be16(ip, 4)).map(|v| v.to_string()),
        Field::IpSum => ip.and_then(|ip| be16(ip, 10)).map(|v| v.to_string()),
        Field::IpProto => ip.map(|_| match view.protocol {
            6 => "T".to_string(),
            17 => "U".to_string(),
            1 => "I".to_string(),
            other => other.to_string(),
        }),
        Field::IpHl => ip.map(|ip| (u32::from(ip[0] & 15) * 4).to_string()),
        Field::IpLen => Some(match ip.and_then(|ip| be16(ip, 2)) {
            Some(length) => length.to_string(),
            None => (view.data.len() + extra).to_string(),
        }),
        Field::IpCaptureLen => ip.map(|ip| ip.len().min(usize::from(be16(ip, 2).unwrap_or(0))).to_string()),
        Field::Sport => ports.and_then(|t| be16(t, 0)).map(|v| v.to_string()),
        Field::Dport => ports.and_then(|t| be16(t, 2)).map(|v| v.to_string()),
        Field::TcpSeq => view.tcp().and_then(|t| be32(t, 4)).map(|v| v.to_string()),
        Field::TcpAck => view.tcp().and_then(|t| be32(t, 8)).map(|v| v.to_string()),
        Field::TcpOff => view.tcp().map(|t| (u32::from(t[12] >> 4) * 4).to_string()),
        Field::TcpFlags => view.tcp().map(|t| flags(t[13])),
        Field::TcpWindow => view.tcp().and_then(|t| be16(t, 14)).map(|v| v.to_string()),
        Field::TcpSum => view.tcp().and_then(|t| be16(t, 16)).map(|v| v.to_string()),
        Field::TcpUrp => view.tcp().and_then(|t| be16(t, 18)).map(|v| v.to_string()),
        Field::UdpLen => view.of(17, 8).and_then(|t| be16(t, 4)).map(|v| v.to_string()),
        Field::UdpSum => view.of(17, 8).and_then(|t| be16(t, 6)).map(|v| v.to_string()),
        Field::IcmpType => view.of(1, 2).map(|t| t[0].to_string()),
        Field::IcmpCode => view.of(1, 2).map(|t| t[1].to_string()),
        Field::Payload => Some(quoted(match (view.ip, view.payload()) {
            (Some(ip), Some((at, length))) => ip.get(at..).map_or(&[][..], |p| &p[..p.len().min(length)]),
            _ => view.data,
        })),
        Field::PayloadLen => Some(match view.payload() {
            Some((_, length)) => length.to_string(),
            None => (view.data.len() + extra).to_string(),
        }),
        Field::CaptureLen => Some(view.data.len().to_string()),
        Field::WireLen => Some((view.data.len() + extra).to_string()),
        Field::Count => Some((u64::from(more) + 1).to_string()),
        Field::Link => Some(link.to_string()),
        Field::Aggregate => Some(aggregate.to_string()),
    };
    line.push_str(value.as_deref().unwrap_or("-"));
}

/// The Ethernet header, if the data begins with one.
fn frame(packet: &Packet) -> Option<[u8; 14]> {
    let is = packet.mac_in_front() == Some(0) && packet.network() != Some(0);
    packet.data().first_chunk::<14>().copied().filter(|_| is)
}

/// Flags as letters, `.` for none.
fn flags(bits: u8) -> String {
    let letters: String = (0..8).filter(|i| bits >> i & 1 == 1).map(|i| FLAGS[i] as char).collect();
    if letters.is_empty() { ".".to_string() } else { letters }
}

/// Bytes in quotes, those that are not letters and the like as escapes.
fn quoted(bytes: &[u8]) -> String {
    let mut out = "\"".to_string();
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(byte as char);
            }
            b'\n' => out += "\\n",
            b'\r' => out += "\\r",
            b'\t' => out += "\\t",
            b' '..=b'~' => out.push(byte as char),
            // Writing to a string does not fail.
            _ => drop(write!(out, "\\{byte:03o}")),
        }
    }
    out + "\""
}
