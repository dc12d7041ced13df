//! A packet made from what a summary says of it.

use super::field::{FLAGS, Field};
use click::Packet;
use click::elements::content::{AGGREGATE, EXTRA_LENGTH, EXTRA_PACKETS};
use click::headers::{IPV4, checksum, transport_checksum};
use click::packet::PAINT;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;

/// What is known of a packet; what is not is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Source and destination.
    pub addresses: ([u8; 4], [u8; 4]),
    /// Ports.
    pub ports: (u16, u16),
    /// Protocol above IP; 0: the default of the trace.
    pub protocol: u8,
    /// Bytes of the IP packet; none: as many as there are.
    pub length: Option<usize>,
    /// Bytes of payload, if those are known instead.
    pub payload_length: Option<usize>,
    /// The payload.
    pub payload: Vec<u8>,
    /// Type of service, time to live, identification, fragment.
    pub tos: u8,
    /// Time to live; none: 64.
    pub ttl: Option<u8>,
    /// Identification.
    pub id: u16,
    /// Fragment offset in bytes, and whether more fragments follow.
    pub fragment: (u16, bool),
    /// TCP's sequence numbers, flags, window and urgent pointer.
    pub sequence: (u32, u32),
    /// TCP's flags.
    pub flags: u8,
    /// TCP's window.
    pub window: u16,
    /// TCP's urgent pointer.
    pub urgent: u16,
    /// ICMP's type and code.
    pub icmp: (u8, u8),
    /// Packets that it stands for.
    pub count: u32,
    /// Number of the link.
    pub link: u8,
    /// What it belongs to.
    pub aggregate: u32,
}

/// How packets are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Checksums are computed.
    pub checksum: bool,
    /// Data that is not known is there, as zeros.
    pub zero: bool,
}

fn number<T: TryFrom<u64>>(text: &str) -> Option<T> {
    T::try_from(click::args::parse_number(text)?).ok()
}

fn address(text: &str) -> Option<[u8; 4]> {
    text.parse::<std::net::Ipv4Addr>().ok().map(|a| a.octets())
}

/// The bits of TCP's flags: letters, or a number.
pub fn flags(text: &str) -> Option<u8> {
    if text == "." {
        return Some(0);
    }
    let bit = |c: u8| FLAGS.iter().position(|&f| f == c).map(|at| 1u8 << at);
    let letters = text.bytes().try_fold(0, |bits, c| Some(bits | bit(c)?));
    letters.or_else(|| number(text))
}

/// The number of a protocol: a letter, a name or the number.
pub fn protocol(text: &str) -> Option<u8> {
    match text {
        "T" | "tcp" | "TCP" => Some(TCP),
        "U" | "udp" | "UDP" => Some(UDP),
        "I" | "icmp" | "ICMP" => Some(ICMP),
        other => number(other),
    }
}

/// A time in seconds, as nanoseconds.
pub fn time(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    // `.5` is half a second; nothing at all is no time.
    let seconds: u64 = if seconds.is_empty() && !fraction.is_empty() { 0 } else { seconds.parse().ok()? };
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    seconds.checked_mul(1_000_000_000)?.checked_add(digits.parse().ok()?)
}

impl Summary {
    /// Takes a field's value; none: it is not one.
    pub fn set(&mut self, field: Field, text: &str) -> Option<()> {
        if text == "-" {
            return Some(());
        }
        match field {
            Field::Timestamp => self.time = time(text)?,
            Field::TsSec => self.time += number::<u32>(text).map(u64::from)? * 1_000_000_000,
            Field::TsUsec => self.time += number::<u32>(text).map(u64::from)? * 1000,
            Field::IpSrc => self.addresses.0 = address(text)?,
            Field::IpDst => self.addresses.1 = address(text)?,
            Field::Sport => self.ports.0 = number(text)?,
            Field::Dport => self.ports.1 = number(text)?,
            Field::IpProto => self.protocol = protocol(text)?,
            Field::IpLen => self.length = Some(number::<u16>(text)?.into()),
            Field::PayloadLen => self.payload_length = Some(number::<u16>(text)?.into()),
            Field::Payload => self.payload = click::args::unquote(text),
            Field::IpTos => self.tos = number(text)?,
            Field::IpDscp => self.tos |= number::<u8>(text)? << 2,
            Field::IpEcn => self.tos |= ["no", "ect1", "ect2", "ce"].iter().position(|e| *e == text)? as u8,
            Field::IpTtl => self.ttl = Some(number(text)?),
            Field::IpId => self.id = number(text)?,
            Field::IpFrag => self.fragment.1 |= text == "F",
            Field::IpFragOff => {
                self.fragment = (number(text.trim_end_matches('+'))?, text.ends_with('+'));
            }
            Field::TcpSeq => self.sequence.0 = number(text)?,
            Field::TcpAck => self.sequence.1 = number(text)?,
            Field::TcpFlags => self.flags = flags(text)?,
            Field::TcpWindow => self.window = number(text)?,
            Field::TcpUrp => self.urgent = number(text)?,
            Field::IcmpType => self.icmp.0 = number(text)?,
            Field::IcmpCode => self.icmp.1 = number(text)?,
            Field::Count => self.count = number(text)?,
            Field::Link => {
                self.link = if text == ">" {
                    0
                } else if text == "<" {
                    1
                } else {
                    number(text)?
                }
            }
            Field::Aggregate => self.aggregate = number(text)?,
            // What follows from the others.
            _ => {}
        }
        Some(())
    }

    /// The packet, from its IP header on.
    pub fn packet(&self, style: Style) -> Option<Packet> {
        let header = match self.protocol {
            TCP => 20,
            UDP | ICMP => 8,
            _ => 0,
        };
        let (known, least) = (self.payload.len(), IPV4 + header);
        let total = self.length.or(self.payload_length.map(|l| l + least)).unwrap_or(least + known);
        let total = total.max(least + known).min(usize::from(u16::MAX));
        let there = if style.zero { total } else { (least + known).min(total) };
        let mut packet = Packet::new(there)?;
        packet.put(there)?;
        let bytes = packet.data_mut();
        self.write(bytes, total, style);
        packet.set_headers(0, IPV4);
        packet.set_timestamp(self.time);
        packet.set_destination(self.addresses.1);
        packet.user()[PAINT] = self.link;
        EXTRA_LENGTH.set(&mut packet, (total - there) as u32);
        EXTRA_PACKETS.set(&mut packet, self.count.saturating_sub(1));
        AGGREGATE.set(&mut packet, self.aggregate);
        Some(packet)
    }

    fn write(&self, bytes: &mut [u8], total: usize, style: Style) {
        bytes[0] = 0x45;
        bytes[1] = self.tos;
        bytes[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        bytes[4..6].copy_from_slice(&self.id.to_be_bytes());
        let fragment = (self.fragment.0 / 8) | if self.fragment.1 { 0x2000 } else { 0 };
        bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
        bytes[8] = self.ttl.unwrap_or(64);
        bytes[9] = self.protocol;
        bytes[12..16].copy_from_slice(&self.addresses.0);
        bytes[16..20].copy_from_slice(&self.addresses.1);
        let (ip, transport) = bytes.split_at_mut(IPV4);
        match self.protocol {
            TCP => {
                transport[4..8].copy_from_slice(&self.sequence.0.to_be_bytes());
                transport[8..12].copy_from_slice(&self.sequence.1.to_be_bytes());
                transport[12] = 5 << 4;
                transport[13] = self.flags;
                transport[14..16].copy_from_slice(&self.window.to_be_bytes());
                transport[18..20].copy_from_slice(&self.urgent.to_be_bytes());
            }
            UDP => transport[4..6].copy_from_slice(&((total - IPV4) as u16).to_be_bytes()),
            ICMP => (transport[0], transport[1]) = self.icmp,
            _ => {}
        }
        if matches!(self.protocol, TCP | UDP) {
            transport[..2].copy_from_slice(&self.ports.0.to_be_bytes());
            transport[2..4].copy_from_slice(&self.ports.1.to_be_bytes());
        }
        let header = match self.protocol {
            TCP => 20,
            UDP | ICMP => 8,
            _ => 0,
        };
        let room = transport.len() - header;
        let known = self.payload.len().min(room);
        transport[header..header + known].copy_from_slice(&self.payload[..known]);
        if !style.checksum {
            return;
        }
        let sum = checksum(ip);
        ip[10..12].copy_from_slice(&sum);
        // What is cut off is not known: a checksum of the rest would be wrong.
        if transport.len() + IPV4 < total {
            return;
        }
        let sum = match self.protocol {
            ICMP => checksum(transport),
            _ => transport_checksum(self.addresses.0, self.addresses.1, self.protocol, transport),
        };
        match self.protocol {
            TCP => transport[16..18].copy_from_slice(&sum),
            UDP => transport[6..8].copy_from_slice(&sum),
            ICMP => transport[2..4].copy_from_slice(&sum),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::field;
    use super::*;

    #[test]
    fn what_a_line_says_comes_back() {
        let fields = [
            "timestamp",
            "ip_src",
            "sport",
            "ip_dst",
            "dport",
            "ip_proto",
            "ip_len",
            "tcp_flags",
            "tcp_seq",
            "count",
        ];
        let line = "1.500000 10.0.0.1 80 10.0.0.2 1234 T 100 SA 77 3";
        let mut summary = Summary::default();
        for (name, text) in fields.iter().zip(line.split(' ')) {
            summary.set(Field::named(name).unwrap(), text).unwrap();
        }
        let mut packet = summary.packet(Style { checksum: true, zero: false }).unwrap();
        assert_eq!(packet.len(), 40);
        let mut out = String::new();
        for name in fields {
            field::write(Field::named(name).unwrap(), &mut packet, &mut out);
            out.push(' ');
        }
        assert_eq!(out.trim_end(), line);
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        let mut summary = Summary::default();
        assert_eq!(summary.set(Field::IpSrc, "10.0.0"), None);
        assert_eq!(summary.set(Field::Sport, "70000"), None);
        assert_eq!(summary.set(Field::TcpFlags, "XY"), None);
        assert_eq!(summary.set(Field::TcpFlags, "-"), Some(()));
    }
}
