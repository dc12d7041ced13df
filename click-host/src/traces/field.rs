//! The field language of packet summaries: what of a packet stands in a line, and how it is written and read, as text
//! and as bytes.

use super::options::{self, Shown};
use super::parse::{FLAGS, ether, flags, protocol, time};
use click::args::ICMP_TYPES;
use std::fmt::Write;

/// What a field says of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number; times are nanoseconds.
    Number(u64),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// How values of a field are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A number of so many bytes.
    Number(usize),
    /// A time, with microseconds or nanoseconds.
    Micro,
    Nano,
    Address,
    Ethernet,
    EtherType,
    /// Flags and offset of a fragment, as a letter or as the offset with signs.
    FragmentLetter,
    FragmentOffset,
    Protocol,
    Ecn,
    TcpFlags,
    /// A link, by number, or with signs for the first two.
    Link,
    Direction,
    /// A number that has a name: what is written, and what is also read.
    Named(&'static [(&'static str, u32)]),
    OrNamed(&'static [(&'static str, u32)]),
    IpOptions,
    TcpOptions(Shown),
    Payload,
    /// An MD5 digest, four or six bits a letter.
    Digest(&'static [u8]),
}

/// What six bits of a digest are written as.
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@";

/// Declares the fields: each has a name and a form.
macro_rules! fields {
    ($($name:ident $text:literal $form:expr;)*) => {
        /// A field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Field { $($name),* }

        const FIELDS: &[(Field, &str, Form)] = &[$((Field::$name, $text, $form)),*];
    };
}

fields! {
    Timestamp "timestamp" Form::Micro;
    NanoTimestamp "ntimestamp" Form::Nano;
    TsSec "ts_sec" Form::Number(4);
    TsUsec "ts_usec" Form::Number(4);
    TsUsec1 "ts_usec1" Form::Number(8);
    FirstTimestamp "first_timestamp" Form::Micro;
    FirstNanoTimestamp "first_ntimestamp" Form::Nano;
    EthSrc "eth_src" Form::Ethernet;
    EthDst "eth_dst" Form::Ethernet;
    EthType "eth_type" Form::EtherType;
    IpSrc "ip_src" Form::Address;
    IpDst "ip_dst" Form::Address;
    IpTos "ip_tos" Form::Number(1);
    IpDscp "ip_dscp" Form::Number(1);
    IpEcn "ip_ecn" Form::Ecn;
    IpTtl "ip_ttl" Form::Number(1);
    IpFrag "ip_frag" Form::FragmentLetter;
    IpFragOff "ip_fragoff" Form::FragmentOffset;
    IpId "ip_id" Form::Number(2);
    IpSum "ip_sum" Form::Number(2);
    IpProto "ip_proto" Form::Protocol;
    IpHl "ip_hl" Form::Number(1);
    IpLen "ip_len" Form::Number(4);
    IpCaptureLen "ip_capture_len" Form::Number(4);
    IpOpt "ip_opt" Form::IpOptions;
    Sport "sport" Form::Number(2);
    Dport "dport" Form::Number(2);
    TcpSeq "tcp_seq" Form::Number(4);
    TcpAck "tcp_ack" Form::Number(4);
    TcpOff "tcp_off" Form::Number(1);
    TcpFlags "tcp_flags" Form::TcpFlags;
    TcpWindow "tcp_window" Form::Number(2);
    TcpUrp "tcp_urp" Form::Number(2);
    TcpSum "tcp_sum" Form::Number(2);
    TcpOpt "tcp_opt" Form::TcpOptions(Shown::All);
    TcpNtOpt "tcp_ntopt" Form::TcpOptions(Shown::WithoutTimestamps);
    TcpSack "tcp_sack" Form::TcpOptions(Shown::Sack);
    UdpLen "udp_len" Form::Number(4);
    UdpSum "udp_sum" Form::Number(2);
    IcmpType "icmp_type" Form::OrNamed(ICMP_TYPES);
    IcmpCode "icmp_code" Form::OrNamed(ICMP_CODES);
    IcmpTypeName "icmp_type_name" Form::Named(ICMP_TYPES);
    IcmpCodeName "icmp_code_name" Form::Named(ICMP_CODES);
    IcmpFlowId "icmp_flowid" Form::Number(2);
    IcmpSeq "icmp_seq" Form::Number(2);
    IcmpNextMtu "icmp_nextmtu" Form::Number(2);
    Payload "payload" Form::Payload;
    PayloadMd5 "payload_md5" Form::Digest(ALPHABET);
    PayloadMd5Hex "payload_md5_hex" Form::Digest(b"0123456789abcdef");
    PayloadLen "payload_len" Form::Number(4);
    CaptureLen "capture_len" Form::Number(4);
    WireLen "wire_len" Form::Number(4);
    Count "count" Form::Number(4);
    Link "link" Form::Link;
    Paint "paint" Form::Link;
    Direction "direction" Form::Direction;
    Aggregate "aggregate" Form::Number(4);
}

/// Other names.
const SYNONYMS: &[(&str, &str)] = &[
    ("utimestamp", "timestamp"),
    ("ts", "timestamp"),
    ("sec", "ts_sec"),
    ("usec", "ts_usec"),
    ("usec1", "ts_usec1"),
    ("first_utimestamp", "first_timestamp"),
    ("first_ts", "first_timestamp"),
    ("ether_src", "eth_src"),
    ("ether_dst", "eth_dst"),
    ("ether_type", "eth_type"),
    ("ethertype", "eth_type"),
    ("length", "ip_len"),
    ("ip_p", "ip_proto"),
    ("tcp_seqno", "tcp_seq"),
    ("tcp_ackno", "tcp_ack"),
    ("tcp_win", "tcp_window"),
    ("udp_length", "udp_len"),
    ("payload_length", "payload_len"),
    ("pkt_count", "count"),
    ("packet_count", "count"),
    ("agg", "aggregate"),
    ("wire_length", "wire_len"),
];

/// Names of ICMP's codes: a number beyond 255 has the type in its upper byte. No name means two numbers.
const ICMP_CODES: &[(&str, u32)] = &[
    ("net", 0x300),
    ("host", 0x301),
    ("protocol", 0x302),
    ("port", 0x303),
    ("needfrag", 0x304),
    ("srcroutefail", 0x305),
    ("netunknown", 0x306),
    ("hostunknown", 0x307),
    ("netprohibited", 0x309),
    ("hostprohibited", 0x30a),
    ("filterprohibited", 0x30d),
    ("net", 0x500),
    ("host", 0x501),
    ("transit", 0xb00),
    ("reassembly", 0xb01),
    ("erroratptr", 0xc00),
    ("missingopt", 0xc01),
    ("length", 0xc02),
];

const ECN: [&str; 4] = ["no", "ect1", "ect2", "ce"];

impl Field {
    /// All fields.
    #[cfg(test)]
    pub fn all() -> impl Iterator<Item = Self> {
        FIELDS.iter().map(|f| f.0)
    }

    /// The field of a name, which may be quoted, hold a blank for an underscore, and lack `ip_`.
    pub fn named(name: &str) -> Option<Self> {
        let plain = name.trim_matches('"').trim().to_ascii_lowercase().replace([' ', '-'], "_");
        let find = |name: &str| {
            let name = SYNONYMS.iter().find(|s| s.0 == name).map_or(name, |s| s.1);
            FIELDS.iter().find(|f| f.1 == name).map(|f| f.0)
        };
        find(&plain).or_else(|| find(&format!("ip_{plain}")))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        FIELDS[self as usize].1
    }

    fn form(self) -> Form {
        FIELDS[self as usize].2
    }

    /// Bytes of a value in a file of bytes; 0: a byte says how many; none: it cannot be there.
    fn width(self) -> Option<usize> {
        Some(match self.form() {
            Form::Number(width) => width,
            Form::Micro | Form::Nano => 8,
            Form::Address => 4,
            Form::Ethernet => 6,
            Form::EtherType | Form::FragmentOffset => 2,
            Form::FragmentLetter | Form::Protocol | Form::Ecn | Form::TcpFlags => 1,
            Form::Link | Form::Direction | Form::Named(_) | Form::OrNamed(_) => 1,
            Form::IpOptions | Form::TcpOptions(_) => 0,
            Form::Digest(_) => 16,
            Form::Payload => return None,
        })
    }

    /// Whether it can be written as bytes.
    pub fn has_bytes(self) -> bool {
        self.width().is_some()
    }

    /// A value from its text. None: it is not one. `old`: fragment offsets count eight bytes each.
    pub fn read(self, text: &str, old: bool) -> Option<Value> {
        let number = |text: &str| click::args::parse_number(text);
        let byte = |text: &str| number(text).filter(|n| *n < 256);
        Some(Value::Number(match self.form() {
            Form::Number(width) => number(text).filter(|n| width == 8 || n >> (8 * width) == 0)?,
            Form::Micro | Form::Nano => time(text)?,
            Form::Address => text.parse::<std::net::Ipv4Addr>().ok().map(u32::from)?.into(),
            Form::Ethernet => return Some(Value::Bytes(ether(text)?.to_vec())),
            Form::EtherType => u16::from_str_radix(text.trim_start_matches("0x"), 16).ok()?.into(),
            Form::FragmentLetter | Form::FragmentOffset => match text {
                "." => 0,
                "!" => 0x4000,
                "F" => 0x2000,
                // Any place but the first.
                "f" => 100,
                _ => {
                    let digits = text.trim_end_matches(['+', '!']);
                    let signs = &text[digits.len()..];
                    let offset = number(digits)? >> if old { 0 } else { 3 };
                    let bit = |sign, bit| if signs.contains(sign) { bit } else { 0 };
                    (offset & 0x1fff) | bit('+', 0x2000) | bit('!', 0x4000)
                }
            },
            Form::Protocol => protocol(text)?.into(),
            Form::Ecn => match ECN.iter().position(|e| *e == text) {
                Some(at) => at as u64,
                None => match text {
                    "ECT(1)" => 1,
                    "ECT(0)" => 2,
                    "CE" => 3,
                    _ => number(text).filter(|n| *n < 4)?,
                },
            },
            Form::TcpFlags => flags(text)?.into(),
            Form::Link | Form::Direction => match text {
                ">" | "L" => 0,
                "<" | "R" | "X" => 1,
                _ => byte(text)?,
            },
            Form::Named(names) | Form::OrNamed(names) => {
                let named = names.iter().find(|n| n.0 == text).map(|n| n.1 & 255);
                named.map(u64::from).or_else(|| byte(text))?
            }
            Form::IpOptions => return options::read_ip(text).map(Value::Bytes),
            Form::TcpOptions(shown) => return options::read_tcp(text, shown).map(Value::Bytes),
            Form::Payload => return Some(Value::Bytes(click::args::unquote(text))),
            // What was digested cannot be had from it.
            Form::Digest(_) => return None,
        }))
    }

    /// Adds a value's text to a line.
    pub fn write(self, value: &Value, line: &mut String) {
        let number = match value {
            Value::Number(number) => *number,
            Value::Bytes(bytes) => {
                *line += &match self.form() {
                    Form::IpOptions => options::write_ip(bytes),
                    Form::TcpOptions(shown) => options::write_tcp(bytes, shown),
                    Form::Digest(alphabet) => digest(bytes, alphabet),
                    Form::Ethernet => bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join("-"),
                    _ => quoted(bytes),
                };
                return;
            }
        };
        // Times may lie before 1970.
        let (sign, time) = (if (number as i64) < 0 { "-" } else { "" }, (number as i64).unsigned_abs());
        let (seconds, nanos) = (time / 1_000_000_000, time % 1_000_000_000);
        let fraction = |line: &mut String, fraction: u64, digits: usize| {
            *line += sign;
            decimal(line, seconds, 1);
            line.push('.');
            decimal(line, fraction, digits);
        };
        // Writing to a string does not fail.
        let _ = match self.form() {
            Form::Micro => return fraction(line, nanos / 1000, 6),
            Form::Nano => return fraction(line, nanos, 9),
            Form::Address => {
                for (i, byte) in (number as u32).to_be_bytes().into_iter().enumerate() {
                    if i > 0 {
                        line.push('.');
                    }
                    decimal(line, byte.into(), 1);
                }
                return;
            }
            Form::Number(_) => return decimal(line, number, 1),
            Form::EtherType => write!(line, "{number:04X}"),
            Form::FragmentLetter => write!(line, "{}", fragment(number) as char),
            Form::FragmentOffset => {
                let sign = |bit, sign| if number & bit == 0 { "" } else { sign };
                write!(line, "{}{}{}", (number & 0x1fff) * 8, sign(0x2000, "+"), sign(0x4000, "!"))
            }
            Form::Protocol if number == 1 => write!(line, "I"),
            Form::Protocol if number == 6 => write!(line, "T"),
            Form::Protocol if number == 17 => write!(line, "U"),
            Form::Ecn => write!(line, "{}", ECN[number as usize & 3]),
            Form::TcpFlags => {
                let letters: String =
                    (0..9).filter(|i| number >> i & 1 == 1).map(|i| FLAGS[i] as char).collect();
                write!(line, "{}", if letters.is_empty() { "." } else { &letters })
            }
            Form::Direction if number < 2 => write!(line, "{}", if number == 0 { '>' } else { '<' }),
            Form::Named(names) => match names.iter().find(|n| u64::from(n.1) == number) {
                Some((name, _)) => write!(line, "{name}"),
                None => write!(line, "{}", number & 255),
            },
            _ => write!(line, "{number}"),
        };
    }

    /// A value from the front of a record's bytes, which are taken. None: there are too few.
    pub fn read_bytes(self, bytes: &mut &[u8]) -> Option<Value> {
        let width = self.width()?;
        let length = if width == 0 { usize::from(*bytes.split_off_first()?) } else { width };
        let taken = bytes.split_off(..length)?;
        if width == 0 || matches!(self.form(), Form::Ethernet | Form::Digest(_)) {
            return Some(Value::Bytes(taken.to_vec()));
        }
        let number = taken.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        Some(Value::Number(match self.form() {
            Form::Micro => (number >> 32) * 1_000_000_000 + (number & 0xffff_ffff) * 1000,
            Form::Nano => (number >> 32) * 1_000_000_000 + (number & 0xffff_ffff),
            Form::FragmentLetter => match number as u8 {
                b'F' => 0x2000,
                b'f' => 100,
                b'!' => 0x4000,
                _ => 0,
            },
            _ => number,
        }))
    }

    /// Adds a value's bytes to a record; zeros for none.
    pub fn write_bytes(self, value: Option<&Value>, record: &mut Vec<u8>) {
        let width = self.width().unwrap_or(0);
        match value {
            Some(Value::Bytes(bytes)) => {
                if width == 0 {
                    record.push(bytes.len() as u8);
                }
                record.extend(bytes);
            }
            Some(Value::Number(number)) => {
                let (seconds, nanos) = (number / 1_000_000_000, number % 1_000_000_000);
                let number = match self.form() {
                    Form::Micro => (seconds << 32) | (nanos / 1000),
                    Form::Nano => seconds << 32 | nanos,
                    Form::FragmentLetter => fragment(*number).into(),
                    _ => *number,
                };
                record.extend(&number.to_be_bytes()[8 - width..]);
            }
            None => record.extend(std::iter::repeat_n(0, width.max(1))),
        }
    }
}

/// A digest's text: hexadecimal digits with the upper half of a byte first, or six bits a letter with the lowest first.
fn digest(bytes: &[u8], alphabet: &[u8]) -> String {
    let letter = |value: u32| char::from(alphabet[value as usize % alphabet.len()]);
    if alphabet.len() == 16 {
        return bytes.iter().flat_map(|b| [letter(u32::from(b >> 4)), letter(u32::from(*b))]).collect();
    }
    let at = |byte: usize| bytes.get(byte).map_or(0, |b| u32::from(*b));
    let bits = |bit: usize| (at(bit / 8) | at(bit / 8 + 1) << 8) >> (bit % 8);
    (0..8 * bytes.len()).step_by(6).map(|bit| letter(bits(bit))).collect()
}

/// Adds a number, filled up with zeros to so many digits.
fn decimal(line: &mut String, mut number: u64, digits: usize) {
    let mut text = [b'0'; 20];
    let mut from = text.len();
    while number > 0 || from == text.len() {
        from -= 1;
        text[from] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let from = from.min(text.len() - digits.min(text.len()));
    text[from..].iter().for_each(|&digit| line.push(digit.into()));
}

/// The letter of a fragment.
fn fragment(field: u64) -> u8 {
    match (field & 0x1fff, field & 0x2000, field & 0x4000) {
        (0, 0, 0) => b'.',
        (0, 0, _) => b'!',
        (0, _, _) => b'F',
        _ => b'f',
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_reads_what_it_writes() {
        for (name, texts) in [
            ("timestamp", &["1.500000"][..]),
            ("ntimestamp", &["1.000000007"]),
            ("ts_usec1", &["1500000"]),
            ("eth_src", &["00-0A-95-A6-D9-BC"]),
            ("ethertype", &["0800", "86DD"]),
            ("src", &["1.2.3.4"]),
            ("ip_ecn", &["no", "ect2", "ce"]),
            ("frag", &[".", "F", "f", "!"]),
            ("fragoff", &["0", "24+", "80!", "8+!"]),
            ("proto", &["T", "U", "I", "89"]),
            ("tcp_flags", &[".", "SA", "FSRPAUECN"]),
            ("direction", &[">", "<", "7"]),
            ("paint", &["0", "1"]),
            ("icmp_type_name", &["echo", "200"]),
            ("icmp_type", &["8"]),
            ("ip_opt", &[".", "rr{1.2.3.4}+1"]),
            ("tcp_opt", &["mss1460;sackok"]),
            ("payload", &["\"a b\\n\""]),
        ] {
            let field = Field::named(name).unwrap_or_else(|| panic!("{name}"));
            for text in texts {
                let value = field.read(text, false).unwrap_or_else(|| panic!("{name} {text}"));
                let mut out = String::new();
                field.write(&value, &mut out);
                assert_eq!(out, *text, "{name}");
                if !field.has_bytes() {
                    continue;
                }
                let mut record = Vec::new();
                field.write_bytes(Some(&value), &mut record);
                let mut bytes = &record[..];
                let back = field.read_bytes(&mut bytes).unwrap();
                assert!(
                    bytes.is_empty() && (back == value || name == "tcp_flags" || name == "frag"),
                    "{name} {text}"
                );
            }
        }
        assert_eq!(Field::IcmpType.read("echo-reply", false), Some(Value::Number(0)));
        assert_eq!(Field::IpFragOff.read("3+", true), Some(Value::Number(0x2003)));
        assert_eq!(
            (Field::named("ts usec").unwrap(), Field::named("ts_usec1").unwrap()),
            (Field::TsUsec, Field::TsUsec1)
        );
        assert_eq!(Field::Sport.read("70000", false), None);
    }
}
