//! Fields of IP headers, transport headers and payloads, by name or by place: `ip src/8`, `tcp[2:2] & 0xff0`.

use crate::headers::{PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};
use crate::packet::Packet;
use alloc::format;
use alloc::string::{String, ToString};

/// What a field's place is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The IP header.
    Ip,
    /// The header behind that, of one protocol.
    Protocol(u8),
    /// The same, of TCP or UDP.
    TcpOrUdp,
    /// The same, whatever it is.
    Transport,
    /// What is behind a header of TCP or UDP.
    Payload,
}

impl Header {
    /// Bytes from a packet's beginning to this header; `None`: it has none, or only a later fragment of it.
    pub fn place(self, packet: &Packet) -> Option<usize> {
        let network = packet.network()?;
        if self == Self::Ip {
            return Some(network);
        }
        let (_, ip) = super::super::ip::header(packet)?;
        let transport = network + ip.header;
        if ip.fragment_offset != 0 {
            return None;
        }
        let fits = match self {
            Self::Ip | Self::Transport => true,
            Self::Protocol(protocol) => ip.protocol == protocol,
            Self::TcpOrUdp => matches!(ip.protocol, PROTOCOL_TCP | PROTOCOL_UDP),
            Self::Payload => {
                let header = match ip.protocol {
                    PROTOCOL_UDP => 8,
                    PROTOCOL_TCP => 4 * usize::from(packet.data().get(transport + 12)? >> 4),
                    _ => return None,
                };
                return Some(transport + header);
            }
        };
        fits.then_some(transport)
    }
}

impl core::fmt::Display for Header {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ip => f.write_str("ip"),
            Self::Protocol(PROTOCOL_TCP) => f.write_str("tcp"),
            Self::Protocol(PROTOCOL_UDP) => f.write_str("udp"),
            Self::Protocol(PROTOCOL_ICMP) => f.write_str("icmp"),
            Self::Protocol(number) => write!(f, "ip proto {number}"),
            Self::TcpOrUdp => f.write_str("tcpudp"),
            Self::Transport => f.write_str("transp"),
            Self::Payload => f.write_str("payload"),
        }
    }
}

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it is.
    pub header: Header,
    /// Bits from the header's beginning to its first.
    pub offset: u32,
    /// Bits.
    pub length: u32,
}

type Named = (&'static str, u32, u32);

/// Names, places and lengths in bits.
const IP: &[Named] = &[
    ("df", 49, 1),
    ("dscp", 8, 6),
    ("dst", 128, 32),
    ("ecn", 14, 2),
    ("fragoff", 51, 13),
    ("hl", 4, 4),
    ("id", 32, 16),
    ("len", 16, 16),
    ("mf", 50, 1),
    ("off", 48, 16),
    ("proto", 72, 8),
    ("rf", 48, 1),
    ("src", 96, 32),
    ("sum", 80, 16),
    ("tos", 8, 8),
    ("ttl", 64, 8),
    ("vers", 0, 4),
];
const PORTS: &[Named] = &[("dport", 16, 16), ("sport", 0, 16)];
const UDP: &[Named] = &[("dport", 16, 16), ("len", 32, 16), ("sport", 0, 16), ("sum", 48, 16)];
const TCP: &[Named] = &[
    ("ack", 64, 32),
    ("ackf", 107, 1),
    ("ackno", 64, 32),
    ("dport", 16, 16),
    ("fin", 111, 1),
    ("flags", 104, 8),
    ("hl", 96, 4),
    ("psh", 108, 1),
    ("push", 108, 1),
    ("rst", 109, 1),
    ("seq", 32, 32),
    ("seqno", 32, 32),
    ("sport", 0, 16),
    ("sum", 128, 16),
    ("syn", 110, 1),
    ("urg", 106, 1),
    ("urp", 144, 16),
    ("win", 112, 16),
];
const ICMP: &[Named] = &[("code", 8, 8), ("sum", 16, 16), ("type", 0, 8)];

fn names(header: Header) -> &'static [Named] {
    match header {
        Header::Ip => IP,
        Header::Protocol(PROTOCOL_TCP) => TCP,
        Header::Protocol(PROTOCOL_UDP) => UDP,
        Header::Protocol(PROTOCOL_ICMP) => ICMP,
        Header::TcpOrUdp => PORTS,
        _ => &[],
    }
}

const SHAPE: &str = "expected 'HEADER [NAME] [{OFFSET:LENGTH}] [/PREFIX] [& MASK]'";
const PLACE: &str = "bad offset or length in TCP/IP field";
const PART: &str = "bad prefix or mask in TCP/IP field";

/// Takes the next word off: letters, digits and `_`.
fn word<'a>(text: &mut &'a str) -> &'a str {
    let rest = text.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (word, behind) = rest.split_at(end);
    *text = behind;
    word
}

/// Takes a sign off, if it comes next.
fn sign(text: &mut &str, sign: char) -> bool {
    let rest = text.trim_start().strip_prefix(sign);
    *text = rest.unwrap_or(text);
    rest.is_some()
}

fn number(text: &mut &str) -> Option<u32> {
    crate::args::parse_number(word(text)).and_then(|n| u32::try_from(n).ok())
}

/// The header that a text begins with.
fn header(text: &mut &str) -> Option<Header> {
    let whole = *text;
    let header = match word(text) {
        "ip" => {
            let mut behind = *text;
            if word(&mut behind) == "proto"
                && let Some(number) = number(&mut behind)
            {
                *text = behind;
                return u8::try_from(number).ok().map(Header::Protocol);
            }
            Header::Ip
        }
        "tcpudp" => Header::TcpOrUdp,
        "transp" => Header::Transport,
        "payload" | "data" => Header::Payload,
        "sport" | "dport" => {
            *text = whole;
            Header::TcpOrUdp
        }
        name => Header::Protocol(crate::elements::ip::protocol(name)?),
    };
    Some(header)
}

/// The place and length in bits of `[...]` (bytes) or `{...}` (bits), if one comes next.
fn bounds(text: &mut &str) -> Result<Option<(u32, u32)>, &'static str> {
    let (unit, end) = match (sign(text, '['), sign(text, '{')) {
        (true, _) => (8, ']'),
        (_, true) => (1, '}'),
        _ => return Ok(None),
    };
    let first = number(text).ok_or(SHAPE)?;
    let length = if sign(text, ':') || sign(text, ',') {
        number(text).ok_or(SHAPE)?
    } else if sign(text, '-') {
        number(text).ok_or(SHAPE)?.checked_sub(first).and_then(|n| n.checked_add(1)).ok_or(PLACE)?
    } else {
        1
    };
    if !sign(text, end) {
        return Err(SHAPE);
    }
    let bits = first.checked_mul(unit).zip(length.checked_mul(unit));
    bits.filter(|&(offset, length)| length > 0 && offset.checked_add(length).is_some_and(|end| end < 1 << 20))
        .map(Some)
        .ok_or(PLACE)
}

impl Field {
    /// Reads a field.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut text = text;
        let header = header(&mut text).ok_or(SHAPE)?;
        let mut behind = text;
        let name = word(&mut behind);
        let named = match names(header).iter().find(|named| named.0 == name) {
            // The name of a port of whatever protocol is one of the IP header too.
            None if header == Header::Ip => {
                PORTS.iter().find(|named| named.0 == name).map(|named| (Header::TcpOrUdp, named))
            }
            found => found.map(|named| (header, named)),
        };
        if named.is_some() {
            text = behind;
        }
        let within = bounds(&mut text)?;
        let mut field = match (named, within) {
            (Some((header, &(_, offset, length))), None) => Self { header, offset, length },
            (Some((header, &(_, start, most))), Some((offset, length))) if offset + length <= most => {
                Self { header, offset: start + offset, length }
            }
            (None, Some((offset, length))) => Self { header, offset, length },
            (Some(_), Some(_)) => return Err(PLACE.to_string()),
            (None, None) => return Err(SHAPE.to_string()),
        };
        if sign(&mut text, '/') {
            let bits = number(&mut text).filter(|&bits| bits > 0 && bits <= field.length);
            field.length = bits.ok_or(PART)?;
        }
        if sign(&mut text, '&') {
            let mask = number(&mut text).filter(|&mask| mask > 0).ok_or(PART)?;
            let (low, high) = (mask.trailing_zeros(), 32 - mask.leading_zeros());
            if high > field.length || mask.count_ones() != high - low {
                return Err(PART.to_string());
            }
            field.offset += field.length - high;
            field.length = high - low;
        }
        if text.trim().is_empty() { Ok(field) } else { Err("garbage after field specification".to_string()) }
    }
}

impl core::fmt::Display for Field {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { header, offset, length } = *self;
        write!(f, "{header}")?;
        let name = |offset, length| {
            let named = names(header).iter().find(|named| (named.1, named.2) == (offset, length));
            named.map(|named| named.0)
        };
        if let Some(name) = name(offset, length) {
            return write!(f, " {name}");
        }
        let around = [8, 16, 32].into_iter().filter(|size| offset / size == (offset + length - 1) / size);
        let around = around.filter_map(|size| Some((size, name(offset & !(size - 1), size)?))).next();
        let mut offset = offset;
        if let Some((size, name)) = around {
            write!(f, " {name}")?;
            offset &= size - 1;
            if offset == 0 {
                return write!(f, "/{length}");
            }
        }
        let text = match (offset % 8 == 0, length) {
            (true, 8) => format!("[{}]", offset / 8),
            (true, length) if length % 8 == 0 => format!("[{}:{}]", offset / 8, length / 8),
            (_, 1) => format!("{{{offset}}}"),
            _ => format!("{{{offset}:{length}}}"),
        };
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ways_name_the_first_byte_of_the_source() {
        for text in ["ip src/8", "ip src & 0xFF000000", "ip[12]", "ip[12, 1]", "ip{96, 8}", "ip{96-103}"] {
            let field = Field::parse(text).unwrap();
            assert_eq!(field, Field { header: Header::Ip, offset: 96, length: 8 }, "{text}");
            assert_eq!(field.to_string(), "ip src/8");
        }
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for text in [
            "",
            "nonsense",
            "ip",
            "ip[",
            "ip[3",
            "ip[4-3]",
            "ip src/40",
            "ip src & 5",
            "ip src[4]",
            "ip dst x",
        ] {
            assert!(Field::parse(text).is_err(), "{text}");
        }
    }
}
