//! A packet made from what a summary says of it.

use super::field::{Field, Value};
use click::Packet;
use click::elements::content::{AGGREGATE, EXTRA_LENGTH, EXTRA_PACKETS, FIRST_TIMESTAMP};
use click::headers::{IPV4, checksum, transport_checksum};
use click::packet::PAINT;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
/// Datagrams of other kinds whose headers begin with ports.
const DCCP: u8 = 33;
const UDPLITE: u8 = 136;

/// Most bytes of a header with its options.
const HEADER: usize = 60;

/// Time to live of packets that name none.
const TTL: u8 = 100;

/// What is known of a packet; what is not is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Nanoseconds since 1970: of the packet, and of the first of those that it stands for.
    pub time: u64,
    /// Time of the first packet.
    pub first_time: u64,
    /// It is in an Ethernet frame: destination, source and type.
    pub frame: Option<[u8; 14]>,
    /// It is an IP packet.
    pub ip: bool,
    /// Source and destination.
    pub addresses: ([u8; 4], [u8; 4]),
    /// Ports.
    pub ports: (u16, u16),
    /// Protocol above IP; 0: the default of the trace.
    pub protocol: u8,
    /// Bytes of the IP packet; none: as many as there are.
    pub length: Option<usize>,
    /// Bytes of the whole packet, if those are known instead.
    pub wire_length: Option<usize>,
    /// Bytes of payload, likewise.
    pub payload_length: Option<usize>,
    /// The payload.
    pub payload: Vec<u8>,
    /// Type of service.
    pub tos: u8,
    /// Time to live.
    pub ttl: Option<u8>,
    /// Identification.
    pub id: u16,
    /// Flags and fragment offset, as a field says that gives a letter or one that gives the offset.
    pub fragment: (Option<u16>, Option<u16>),
    /// Checksum of the IP header.
    pub sum: u16,
    /// Bytes of the IP and of the TCP header.
    pub header_lengths: (Option<usize>, Option<usize>),
    /// Options of the IP header.
    pub ip_options: Vec<u8>,
    /// Options of the TCP header; none: nothing is said of them.
    pub tcp_options: Option<Vec<u8>>,
    /// TCP's sequence numbers.
    pub sequence: (u32, u32),
    /// TCP's flags.
    pub flags: u16,
    /// TCP's window.
    pub window: u16,
    /// TCP's urgent pointer.
    pub urgent: u16,
    /// UDP's length.
    pub udp_length: Option<u16>,
    /// ICMP's type and code.
    pub icmp: (u8, u8),
    /// ICMP's identifier, number and next hop's MTU.
    pub icmp_words: (u16, u16, u16),
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
    /// Checksums are computed, for which all data must be there: what is not known is zero.
    pub checksum: bool,
}

/// Options, filled up to whole words.
fn padded(options: &[u8]) -> usize {
    options.len().next_multiple_of(4)
}

impl Summary {
    /// Takes a field's value from its text; none: it is not one.
    pub fn set(&mut self, field: Field, text: &str, old: bool) -> Option<()> {
        if text != "-" {
            self.put(field, field.read(text, old)?);
        }
        Some(())
    }

    /// Takes a field's value.
    pub fn put(&mut self, field: Field, value: Value) {
        let number = match value {
            Value::Number(number) => number,
            Value::Bytes(bytes) => return self.put_bytes(field, bytes),
        };
        self.ip |= !matches!(
            field,
            Field::Timestamp
                | Field::NanoTimestamp
                | Field::TsSec
                | Field::TsUsec
                | Field::TsUsec1
                | Field::FirstTimestamp
                | Field::FirstNanoTimestamp
                | Field::EthType
                | Field::Count
                | Field::Link
                | Field::Paint
                | Field::Direction
                | Field::Aggregate
                | Field::WireLen
                | Field::CaptureLen
                | Field::IpCaptureLen
        );
        let address = (number as u32).to_be_bytes();
        match field {
            Field::Timestamp | Field::NanoTimestamp => self.time = number,
            Field::TsSec => self.time = number * 1_000_000_000 + self.time % 1_000_000_000,
            Field::TsUsec => {
                let seconds = self.time - self.time % 1_000_000_000;
                self.time = seconds.saturating_add(number % 1_000_000 * 1000);
            }
            Field::TsUsec1 => self.time = number.saturating_mul(1000),
            Field::FirstTimestamp | Field::FirstNanoTimestamp => self.first_time = number,
            Field::EthType => self.frame()[12..].copy_from_slice(&(number as u16).to_be_bytes()),
            Field::IpSrc => self.addresses.0 = address,
            Field::IpDst => self.addresses.1 = address,
            Field::Sport => self.ports.0 = number as u16,
            Field::Dport => self.ports.1 = number as u16,
            Field::IpProto => self.protocol = number as u8,
            Field::IpLen => self.length = Some(number as usize),
            Field::WireLen => self.wire_length = Some(number as usize),
            Field::PayloadLen => self.payload_length = Some(number as usize),
            Field::IpTos => self.tos = number as u8,
            Field::IpDscp => self.tos = self.tos & 3 | (number as u8) << 2,
            Field::IpEcn => self.tos = self.tos & !3 | number as u8 & 3,
            Field::IpTtl => self.ttl = Some(number as u8),
            Field::IpId => self.id = number as u16,
            Field::IpSum => self.sum = number as u16,
            Field::IpHl => self.header_lengths.0 = Some((number as usize).next_multiple_of(4)),
            Field::TcpOff => self.header_lengths.1 = Some((number as usize).next_multiple_of(4)),
            Field::IpFrag => self.fragment.0 = Some(number as u16),
            Field::IpFragOff => self.fragment.1 = Some(number as u16),
            Field::TcpSeq => self.sequence.0 = number as u32,
            Field::TcpAck => self.sequence.1 = number as u32,
            Field::TcpFlags => self.flags = number as u16,
            Field::TcpWindow => self.window = number as u16,
            Field::TcpUrp => self.urgent = number as u16,
            Field::UdpLen => self.udp_length = Some(number as u16),
            Field::IcmpType | Field::IcmpTypeName => self.icmp.0 = number as u8,
            Field::IcmpCode | Field::IcmpCodeName => self.icmp.1 = number as u8,
            Field::IcmpFlowId => self.icmp_words.0 = number as u16,
            Field::IcmpSeq => self.icmp_words.1 = number as u16,
            Field::IcmpNextMtu => self.icmp_words.2 = number as u16,
            Field::Count => self.count = number as u32,
            Field::Link | Field::Paint | Field::Direction => self.link = number as u8,
            Field::Aggregate => self.aggregate = number as u32,
            // What follows from the others.
            _ => {}
        }
    }

    fn put_bytes(&mut self, field: Field, bytes: Vec<u8>) {
        match field {
            Field::EthDst => self.frame()[..6].copy_from_slice(&bytes),
            Field::EthSrc => self.frame()[6..12].copy_from_slice(&bytes),
            Field::IpOpt => {
                self.ip = true;
                self.ip_options = bytes;
                self.ip_options.truncate(HEADER - IPV4);
            }
            Field::TcpOpt | Field::TcpNtOpt | Field::TcpSack => {
                self.ip = true;
                let options = self.tcp_options.insert(bytes);
                options.truncate(HEADER - 20);
            }
            _ => {
                self.ip = true;
                self.payload = bytes;
            }
        }
    }

    /// The frame's header, which is there from now on.
    fn frame(&mut self) -> &mut [u8; 14] {
        self.frame.get_or_insert([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0])
    }

    fn fragment(&self) -> u16 {
        self.fragment.1.or(self.fragment.0).unwrap_or(0)
    }

    /// Bytes of the IP header and of the one behind it.
    fn headers(&self) -> (usize, usize) {
        let given = |length: Option<usize>| length.unwrap_or(0).min(HEADER);
        let mut ip = given(self.header_lengths.0).max(IPV4 + padded(&self.ip_options));
        let options = self.tcp_options.as_deref().unwrap_or(&[]);
        let mut transport = match self.protocol {
            _ if self.fragment() & 0x1fff != 0 => 0,
            TCP => given(self.header_lengths.1).max(20 + padded(options)),
            UDP | ICMP | UDPLITE => 8,
            DCCP => 12,
            _ => 0,
        };
        // What is neither payload nor a header that is known is options, if it is known how long the payload is.
        if let (Some(length), Some(payload)) = (self.length, self.payload_length) {
            let mut spare =
                length.saturating_sub((ip + self.before_payload(transport)).saturating_add(payload)) & !3;
            if self.protocol == TCP && transport == 20 && self.tcp_options.is_none() {
                transport += spare.min(HEADER - 20);
                spare -= spare.min(HEADER - 20);
            }
            if ip == IPV4 {
                ip += spare.min(HEADER - IPV4);
            }
        }
        (ip, transport)
    }

    /// Bytes of the transport header that are not payload: summaries count ICMP's header, say, as payload.
    fn before_payload(&self, transport: usize) -> usize {
        if matches!(self.protocol, TCP | UDP | UDPLITE) { transport } else { 0 }
    }

    /// Takes one packet off those that it stands for, with its share of bytes and time. None: it is the last.
    pub fn split(&mut self) -> Option<Self> {
        let count = self.count.checked_sub(1).filter(|n| *n > 0)?;
        let mut one = Self { count: 1, ..self.clone() };
        if let Some(length) = &mut self.length {
            let (header, transport) = one.headers();
            let share = (*length / (count as usize + 1)).max(header + transport + self.payload.len());
            one.length = Some(share);
            *length = length.saturating_sub(share).max(share);
        }
        if self.first_time > 0 {
            one.time = self.first_time;
            self.first_time += self.time.saturating_sub(self.first_time) / u64::from(count);
        }
        self.count = count;
        Some(one)
    }

    /// The packet: its frame if it has one, IP header, transport header, and as much of the payload as is known.
    pub fn packet(&self, style: Style) -> Option<Packet> {
        let frame = self.frame.as_ref().map_or(&[][..], |f| f);
        let ip = self.ip && matches!(frame, [] | [.., 8, 0] | [.., 0x86, 0xdd]);
        let (header, transport) = if ip { self.headers() } else { (0, 0) };
        let whole = header + transport;
        let at = header + self.before_payload(transport);
        let known = whole.max(at + self.payload.len());
        let payload = self.payload_length.unwrap_or(self.payload.len());
        let wire = self.wire_length.map(|l| l.saturating_sub(frame.len()));
        let said = self.length.or(wire).filter(|l| *l > 0);
        let total = said.unwrap_or(whole.max(at.saturating_add(payload))).min(usize::from(u16::MAX));
        // A packet that is said to be short has no more than that, but for its IP header and a payload.
        let there = if self.payload.is_empty() { known.min(total).max(header) } else { known };
        let there = if style.checksum && ip { there.max(total) } else { there };
        let mut bytes = frame.to_vec();
        bytes.resize(frame.len() + known.max(there), 0);
        let (_, packet) = bytes.split_at_mut(frame.len());
        if ip {
            self.write(packet, header, total);
        }
        packet[at..at + self.payload.len()].copy_from_slice(&self.payload);
        if ip && style.checksum {
            self.sum(&mut packet[..there], header, total);
        }
        bytes.truncate(frame.len() + there);
        let mut packet = Packet::from_bytes(&bytes)?;
        if !frame.is_empty() {
            packet.set_mac();
        }
        if ip {
            packet.set_headers(frame.len(), frame.len() + header);
            packet.set_destination(self.addresses.1);
        }
        packet.set_timestamp(self.time);
        packet.user()[PAINT] = self.link;
        packet.user()[FIRST_TIMESTAMP..FIRST_TIMESTAMP + 8].copy_from_slice(&self.first_time.to_ne_bytes());
        EXTRA_LENGTH.set(&mut packet, total.saturating_sub(there) as u32);
        EXTRA_PACKETS.set(&mut packet, self.count.saturating_sub(1));
        AGGREGATE.set(&mut packet, self.aggregate);
        Some(packet)
    }

    /// Writes the headers.
    fn write(&self, bytes: &mut [u8], header: usize, total: usize) {
        // A length that is too small stands there all the same.
        let field = |given: Option<usize>, length: usize| match given {
            Some(given) if length == 20 && given < 20 => (given / 4) as u8,
            _ => (length / 4) as u8,
        };
        let (ip, transport) = bytes.split_at_mut(header);
        ip[0] = 0x40 | field(self.header_lengths.0, header);
        ip[1] = self.tos;
        ip[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        ip[4..6].copy_from_slice(&self.id.to_be_bytes());
        ip[6..8].copy_from_slice(&self.fragment().to_be_bytes());
        ip[8] = self.ttl.unwrap_or(TTL);
        ip[9] = self.protocol;
        ip[10..12].copy_from_slice(&self.sum.to_be_bytes());
        ip[12..16].copy_from_slice(&self.addresses.0);
        ip[16..20].copy_from_slice(&self.addresses.1);
        ip[20..20 + self.ip_options.len()].copy_from_slice(&self.ip_options);
        if self.fragment() & 0x1fff != 0 {
            return;
        }
        match self.protocol {
            TCP => {
                let (_, length) = self.headers();
                transport[4..8].copy_from_slice(&self.sequence.0.to_be_bytes());
                transport[8..12].copy_from_slice(&self.sequence.1.to_be_bytes());
                transport[12] = field(self.header_lengths.1, length) << 4 | (self.flags >> 8) as u8;
                transport[13] = self.flags as u8;
                transport[14..16].copy_from_slice(&self.window.to_be_bytes());
                transport[18..20].copy_from_slice(&self.urgent.to_be_bytes());
                let options = self.tcp_options.as_deref().unwrap_or(&[]);
                transport[20..20 + options.len()].copy_from_slice(options);
            }
            UDP => {
                let length = self.udp_length.unwrap_or((total.saturating_sub(header)) as u16);
                transport[4..6].copy_from_slice(&length.to_be_bytes());
            }
            ICMP => {
                (transport[0], transport[1]) = self.icmp;
                let (identifier, number, mtu) = self.icmp_words;
                match self.icmp {
                    (0 | 8 | 13..=16, _) => {
                        transport[4..6].copy_from_slice(&identifier.to_be_bytes());
                        transport[6..8].copy_from_slice(&number.to_be_bytes());
                    }
                    (3, 4) => transport[6..8].copy_from_slice(&mtu.to_be_bytes()),
                    _ => {}
                }
            }
            _ => {}
        }
        if matches!(self.protocol, TCP | UDP | DCCP | UDPLITE) {
            transport[..2].copy_from_slice(&self.ports.0.to_be_bytes());
            transport[2..4].copy_from_slice(&self.ports.1.to_be_bytes());
        }
    }

    /// Makes checksums right; those of fragments cover what is elsewhere.
    fn sum(&self, bytes: &mut [u8], header: usize, total: usize) {
        let (ip, transport) = bytes.split_at_mut(header);
        ip[10..12].fill(0);
        let sum = checksum(ip);
        ip[10..12].copy_from_slice(&sum);
        let length = total.saturating_sub(header).min(transport.len());
        let transport = &mut transport[..length];
        let at = match self.protocol {
            _ if self.fragment() & 0x3fff != 0 => return,
            TCP => 16,
            UDP => 6,
            ICMP => 2,
            _ => return,
        };
        if transport.len() < at + 2 {
            return;
        }
        let sum = match self.protocol {
            ICMP => checksum(transport),
            _ => transport_checksum(self.addresses.0, self.addresses.1, self.protocol, transport),
        };
        transport[at..at + 2].copy_from_slice(&sum);
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::View;
    use super::*;

    /// What fields say of a packet that a line describes.
    fn back(fields: &str, line: &str, shown: &str) -> String {
        let mut summary = Summary { protocol: TCP, ..Summary::default() };
        for (name, text) in fields.split(' ').zip(line.split(' ')) {
            summary.set(Field::named(name).unwrap(), text, false).unwrap();
        }
        let mut packet = summary.packet(Style { checksum: true }).unwrap();
        let mut view = View::new(&mut packet, true);
        let mut out = String::new();
        for name in shown.split(' ') {
            let field = Field::named(name).unwrap();
            match view.value(field) {
                Some(value) => field.write(&value, &mut out),
                None => out.push('-'),
            }
            out.push(' ');
        }
        out.trim_end().to_string()
    }

    #[test]
    fn what_a_line_says_comes_back() {
        for (fields, line) in [
            (
                "timestamp ip_src sport ip_dst dport ip_proto ip_len tcp_flags tcp_seq count direction",
                "1.500000 10.0.0.1 80 10.0.0.2 1234 T 100 SA 77 3 <",
            ),
            ("ip_proto icmp_type_name icmp_code icmp_flowid icmp_seq", "I echo 0 10 7"),
            ("ip_proto icmp_type_name icmp_code_name icmp_nextmtu", "I unreachable needfrag 1400"),
            ("eth_src eth_dst eth_type ip_src", "00-0A-95-A6-D9-BC 02-00-00-00-00-01 0800 1.2.3.4"),
            ("ip_len ip_hl tcp_off payload_len", "1500 40 24 1436"),
            ("ip_opt tcp_opt sport payload", "rr{1.2.3.4} mss1460;sackok 9 \"data\""),
            ("ip_fragoff ip_frag ip_ttl ip_tos", "1480+ f 3 255"),
            ("ip_proto udp_len sport", "U 99 9"),
            ("tcp_flags ip_frag", "FN !"),
        ] {
            assert_eq!(back(fields, line, fields), line);
        }
    }

    #[test]
    fn lengths_follow_from_what_is_given() {
        assert_eq!(back("ip_src", "1.1.1.1", "ip_ttl ip_proto ip_len tcp_off ip_hl"), "100 T 40 20 20");
        assert_eq!(back("ip_len payload_len", "100 40", "tcp_off ip_hl payload_len"), "40 20 40");
        assert_eq!(back("ip_len sport", "22 9", "ip_len sport dport tcp_seq"), "22 9 - -");
        assert_eq!(back("timestamp", "1.0", "ip_src wire_len"), "- 0");
        let mut several = Summary {
            protocol: TCP,
            count: 3,
            length: Some(1000),
            first_time: 10,
            time: 30,
            ..Summary::default()
        };
        let one = |s: &Summary| (s.length, s.time, s.count);
        let parts = [
            several.split().map(|s| one(&s)),
            several.split().map(|s| one(&s)),
            several.split().map(|s| one(&s)),
        ];
        assert_eq!(parts, [Some((Some(333), 10, 1)), Some((Some(333), 20, 1)), None]);
        assert_eq!(one(&several), (Some(334), 30, 1));
        assert_eq!(back("wire_len ip_src", "60 1.1.1.1", "wire_len ip_len"), "60 60");
        assert_eq!(back("ip_proto payload_len", "I 68", "payload_len ip_len"), "68 88");
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        let mut summary = Summary::default();
        assert_eq!(summary.set(Field::IpSrc, "10.0.0", false), None);
        assert_eq!(summary.set(Field::Sport, "70000", false), None);
        assert_eq!(summary.set(Field::TcpFlags, "V", false), None);
        assert_eq!(summary.set(Field::TcpFlags, "-", false), Some(()));
        assert_eq!(summary, Summary::default());
    }
}
