use super::header;
use super::vocabulary::{icmp_type_name, protocol_name};
use crate::args::{Args, Ipv4, stamp};
use crate::element::{Context, Element, read_write};
use crate::elements::content::{AGGREGATE, Printer};
use crate::elements::icmp::code_name;
use crate::handlers::parse;
use crate::headers::{Ipv4Header, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, be16, four};
use crate::packet::{Batch, PAINT, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;

crate::element! {
    /// Prints IP packets in words, one a line.
    ///
    /// The header is found by the IP header annotation. For TCP the line says `SEQ:END(DATA,PACKET,IP)`: the sequence
    /// numbers taken, how many they are, the bytes of the packet as it is here, and those that its IP header tells.
    ///
    /// # Arguments
    /// `LABEL`: what to print first. `CONTENTS` (NONE): print the packet's bytes: `NONE`, `HEX`, `ASCII`; `PAYLOAD`: the
    /// same for what follows the header of TCP or UDP. `MAXLENGTH` or `NBYTES` (1500): most bytes to print; negative: all.
    /// Print these too:
    /// `ID`, `TTL`, `TOS`, `LENGTH`, `AGGREGATE`, `PAINT` (false), `TIMESTAMP` (true). `SWAP` (false): print ICMP
    /// identifiers and sequence numbers in the other byte order. `ACTIVE` (true). `OUTFILE`: a file to print to (on a
    /// host). `CHANNEL` is accepted.
    ///
    /// # Handlers
    /// `active`: the argument.
    IPPrint "1/1" "a/a"
    keywords [
        "LABEL", "CONTENTS", "PAYLOAD", "MAXLENGTH", "NBYTES", "ID", "TTL", "TOS", "LENGTH", "AGGREGATE", "PAINT",
        "TIMESTAMP", "SWAP", "ACTIVE", "OUTFILE", "CHANNEL",
    ]
    handlers [read_write("active")]
    { label: String, bytes: [Bytes; 2], most: usize, also: Also, swap: bool, active: bool, out: Printer }
}

/// How bytes are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bytes {
    None,
    Hex,
    Ascii,
}

/// What else is printed.
struct Also {
    id: bool,
    ttl: bool,
    tos: bool,
    length: bool,
    aggregate: bool,
    paint: bool,
    timestamp: bool,
}

fn bytes(args: &mut Args<'_>, name: &str) -> Bytes {
    match args.key::<String>(name).map(|t| t.to_ascii_uppercase()).as_deref() {
        None | Some("NONE" | "FALSE" | "NO" | "0") => Bytes::None,
        Some("HEX" | "TRUE" | "YES" | "1") => Bytes::Hex,
        Some("ASCII") => Bytes::Ascii,
        Some(other) => {
            args.error(format!("{name}: expected HEX, ASCII or NONE, not '{other}'"));
            Bytes::None
        }
    }
}

impl IPPrint {
    fn new(args: &mut Args<'_>) -> Self {
        let label = args.next("LABEL").unwrap_or_default();
        let bytes = [bytes(args, "CONTENTS"), bytes(args, "PAYLOAD")];
        if bytes[0] != Bytes::None && bytes[1] != Bytes::None {
            args.error("specify at most one of PAYLOAD and CONTENTS");
        }
        let most = args.key("MAXLENGTH").or_else(|| args.key("NBYTES")).unwrap_or(1500i32);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut flag = |name: &str, otherwise: bool| args.key(name).unwrap_or(otherwise);
        let also = Also {
            id: flag("ID", false),
            ttl: flag("TTL", false),
            tos: flag("TOS", false),
            length: flag("LENGTH", false),
            aggregate: flag("AGGREGATE", false),
            paint: flag("PAINT", false),
            timestamp: flag("TIMESTAMP", true),
        };
        let (swap, active) = (flag("SWAP", false), flag("ACTIVE", true));
        args.ignored("CHANNEL");
        Self { label, bytes, most, also, swap, active, out: Printer::new(args) }
    }

    fn line(&self, packet: &mut Packet) -> String {
        let mut out = if self.label.is_empty() { String::new() } else { format!("{}: ", self.label) };
        if self.also.timestamp {
            out += &(stamp(packet.timestamp()) + ": ");
        }
        let (aggregate, paint) = (AGGREGATE.get(packet), packet.paint(PAINT));
        out += &match (self.also.aggregate, self.also.paint) {
            (true, true) => format!("#{aggregate}.{paint}: "),
            (true, false) => format!("#{aggregate}: "),
            (false, true) => format!("paint {paint}: "),
            (false, false) => String::new(),
        };
        let Some((at, h)) = header(packet) else { return out + "(Not an IP packet)" };
        let ip = &packet.data()[at..];
        for (wanted, name, value) in [
            (self.also.id, "id", be16(ip, 4).unwrap_or(0)),
            (self.also.ttl, "ttl", ip[8].into()),
            (self.also.tos, "tos", ip[1].into()),
            (self.also.length, "length", be16(ip, 2).unwrap_or(0)),
        ] {
            if wanted {
                let _ = write!(out, "{name} {value} ");
            }
        }
        let there = ip.len().min(h.total.max(h.header));
        self.transport(&mut out, &h, &ip[h.header..there], packet.len());
        if h.fragment_offset > 0 || h.more_fragments {
            let (id, length) = (be16(ip, 4).unwrap_or(0), h.total as i32 - h.header as i32);
            let more = if h.more_fragments { "+" } else { "" };
            let _ = write!(out, " (frag {id}:{length}@{}{more})", h.fragment_offset * 8);
        }
        let (what, how) = match self.bytes {
            [Bytes::None, Bytes::None] => return out,
            [Bytes::None, how] => (payload(&h, &ip[h.header..]), how),
            [how, _] => (packet.data(), how),
        };
        print_bytes(&mut out, &what[..what.len().min(self.most)], how);
        out
    }

    /// What a packet carries. `length`: bytes of the packet in all.
    fn transport(&self, out: &mut String, h: &Ipv4Header, bytes: &[u8], length: usize) {
        let (source, destination) = (Ipv4(h.source), Ipv4(h.destination));
        let name = match h.protocol {
            PROTOCOL_TCP => "tcp",
            PROTOCOL_UDP => "udp",
            PROTOCOL_ICMP => "icmp",
            other => {
                let _ = write!(out, "{source} > {destination}: ip-proto-{other}");
                return;
            }
        };
        let ports = be16(bytes, 0).zip(be16(bytes, 2)).filter(|_| h.protocol != PROTOCOL_ICMP);
        let whole = if h.fragment_offset > 0 {
            let _ = write!(out, "{source} > {destination}: {name}");
            return;
        } else if let Some((from, to)) = ports {
            let _ = write!(out, "{source}.{from} > {destination}.{to}: ");
            if h.protocol == PROTOCOL_TCP { tcp(out, h, bytes, length) } else { udp(out, bytes) }
        } else {
            let _ = write!(out, "{source} > {destination}: ");
            if h.protocol == PROTOCOL_ICMP { self.icmp(out, bytes) } else { None }
        };
        if whole.is_none() {
            let _ = write!(out, "truncated-{name}");
        }
    }

    /// What an ICMP message says; `None`: it ends too early.
    fn icmp(&self, out: &mut String, bytes: &[u8]) -> Option<()> {
        let (&kind, &code) = (bytes.first()?, bytes.get(1)?);
        *out += "icmp ";
        let number = |at: usize| be16(bytes, at).map(|n| if self.swap { n.swap_bytes() } else { n });
        let code_text = match code_name(kind, code) {
            Some(name) => name.to_string(),
            None if code == 0 && kind != UNREACHABLE => String::new(),
            None => format!("code {code}"),
        };
        if kind == UNREACHABLE {
            return unreachable(out, bytes, code, &code_text);
        }
        *out += &icmp_type_name(kind).map_or_else(|| format!("type {kind}"), str::to_string);
        if matches!(kind, 0 | 8) {
            out.push(' ');
            let _ = write!(out, "({}, {})", number(4)?, number(6)?);
        } else if !code_text.is_empty() {
            let _ = write!(out, " {code_text}");
        }
        Some(())
    }
}

/// ICMP's type of messages that something cannot be reached.
const UNREACHABLE: u8 = 3;

/// What of the packet in an ICMP message cannot be reached.
fn unreachable(out: &mut String, bytes: &[u8], code: u8, code_text: &str) -> Option<()> {
    let inner = bytes.get(8..).unwrap_or(&[]);
    let Some(destination) = four(inner, 16) else {
        let _ = write!(out, "unreachable {code_text} ");
        return None;
    };
    let _ = write!(out, "{} unreachable {code_text}", Ipv4(destination));
    let protocol = inner[9];
    match code {
        2 => *out += &protocol_name(protocol).map_or_else(|| format!(" {protocol}"), |n| format!(" {n}")),
        3 => {
            *out +=
                &protocol_name(protocol).map_or_else(|| format!(" protocol {protocol}"), |n| format!(" {n}"));
            let _ = write!(out, "/{}", be16(inner, usize::from(inner[0] & 15) * 4 + 2)?);
        }
        4 => match be16(bytes, 6) {
            Some(mtu) if mtu > 0 => out.push_str(&format!(" (mtu {mtu})")),
            _ => {}
        },
        _ => {}
    }
    Some(())
}

/// What a TCP segment says; its lengths are those that the headers tell. `None`: it ends too early.
fn tcp(out: &mut String, h: &Ipv4Header, bytes: &[u8], length: usize) -> Option<()> {
    let &flags = bytes.get(13)?;
    let word = |at: usize| four(bytes, at).map(u32::from_be_bytes);
    let is = |flag: u8| flags & flag != 0;
    let names: String =
        [(2, 'S'), (1, 'F'), (4, 'R'), (8, 'P')].iter().filter(|f| is(f.0)).map(|f| f.1).collect();
    let names = if names.is_empty() { "." } else { &names };
    let data = h.total as i32 - h.header as i32 - i32::from(bytes[12] >> 4) * 4;
    let data = data + i32::from(is(1)) + i32::from(is(2));
    let sequence = word(4)?;
    let end = sequence.wrapping_add_signed(data);
    let _ = write!(out, "{names} {sequence}:{end}({data},{length},{})", h.total);
    if is(16) {
        let _ = write!(out, " ack {}", word(8)?);
    }
    let _ = write!(out, " win {}", be16(bytes, 14)?);
    Some(())
}

fn udp(out: &mut String, bytes: &[u8]) -> Option<()> {
    let length = be16(bytes, 4).filter(|_| bytes.len() >= 8)?;
    let _ = write!(out, "udp {length}");
    Some(())
}

/// What follows the header of TCP or UDP.
fn payload<'a>(h: &Ipv4Header, bytes: &'a [u8]) -> &'a [u8] {
    let length = match h.protocol {
        PROTOCOL_TCP if h.fragment_offset == 0 => bytes.get(12).map_or(20, |b| usize::from(b >> 4) * 4),
        PROTOCOL_UDP if h.fragment_offset == 0 => 8,
        _ => 0,
    };
    bytes.get(length..).unwrap_or(&[])
}

fn print_bytes(out: &mut String, bytes: &[u8], how: Bytes) {
    let (line, group) = if how == Bytes::Hex { (24, 4) } else { (48, 8) };
    for (i, &b) in bytes.iter().enumerate() {
        if i % line == 0 {
            *out += "\n  ";
        } else if i % group == 0 {
            out.push(' ');
        }
        if how == Bytes::Hex {
            let _ = write!(out, "{b:02x}");
        } else {
            out.push(if b.is_ascii_graphic() || b == b' ' { b as char } else { '.' });
        }
    }
}

impl Element for IPPrint {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.out.initialize(cx)?;
        cx.take_packets_one_by_one(self.active);
        Ok(())
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        if self.active {
            batch.each(|packet| self.out.print(cx, &self.line(packet)));
        }
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.active.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.active = parse(cx, value)?;
        self.initialize(cx)
    }
}
