use super::header;
use crate::args::{Args, Ipv4};
use crate::element::{Context, Element, read_write};
use crate::elements::content::AGGREGATE;
use crate::handlers::parse;
use crate::headers::{Ipv4Header, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, be16};
use crate::packet::{Batch, PAINT, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;

crate::element! {
    /// Prints IP packets in words, one a line.
    ///
    /// The header is found by the IP header annotation.
    ///
    /// # Arguments
    /// `LABEL`: what to print first. `CONTENTS` (NONE): print the packet's bytes: `NONE`, `HEX`, `ASCII`; `PAYLOAD`: the
    /// same for what follows the transport header. `MAXLENGTH` or `NBYTES` (1500): most bytes to print. Print these too:
    /// `ID`, `TTL`, `TOS`, `LENGTH`, `AGGREGATE`, `PAINT` (false), `TIMESTAMP` (true). `SWAP` (false): print ICMP
    /// identifiers and sequence numbers in the other byte order. `ACTIVE` (true).
    ///
    /// # Handlers
    /// `active`: the argument.
    IPPrint "1/1" "a/a"
    keywords [
        "LABEL", "CONTENTS", "PAYLOAD", "MAXLENGTH", "NBYTES", "ID", "TTL", "TOS", "LENGTH", "AGGREGATE", "PAINT",
        "TIMESTAMP", "SWAP", "ACTIVE",
    ]
    handlers [read_write("active")]
    { label: String, bytes: [Bytes; 2], most: usize, also: Also, swap: bool, active: bool }
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
        None | Some("NONE" | "FALSE" | "0") => Bytes::None,
        Some("HEX" | "TRUE" | "1") => Bytes::Hex,
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
        let most = args.key("MAXLENGTH").or_else(|| args.key("NBYTES")).unwrap_or(1500);
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
        Self { label, bytes, most, also, swap, active }
    }

    fn line(&self, packet: &mut Packet) -> String {
        let mut out = if self.label.is_empty() { String::new() } else { format!("{}: ", self.label) };
        if self.also.timestamp {
            let t = packet.timestamp();
            let _ = write!(out, "{}.{:09}: ", t / 1_000_000_000, t % 1_000_000_000);
        }
        if self.also.aggregate {
            let _ = write!(out, "#{} ", AGGREGATE.get(packet));
        }
        if self.also.paint {
            let _ = write!(out, "paint {} ", packet.paint(PAINT));
        }
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
        let end = h.total.clamp(h.header, ip.len());
        let transport = &ip[h.header..end];
        if h.fragment_offset > 0 || h.more_fragments {
            let more = if h.more_fragments { "+" } else { "" };
            let place =
                format!("{}:{}@{}{more}", be16(ip, 4).unwrap_or(0), transport.len(), h.fragment_offset * 8);
            let _ = write!(out, "{} > {} (frag {place})", Ipv4(h.source), Ipv4(h.destination));
        } else {
            self.transport(&mut out, &h, transport);
        }
        let (what, how) = match self.bytes {
            [Bytes::None, Bytes::None] => return out,
            [Bytes::None, how] => (&transport[payload(h.protocol, transport)..], how),
            [how, _] => (&ip[..end], how),
        };
        print_bytes(&mut out, &what[..what.len().min(self.most)], how);
        out
    }

    fn transport(&self, out: &mut String, h: &Ipv4Header, bytes: &[u8]) {
        let (source, destination) = (Ipv4(h.source), Ipv4(h.destination));
        let port = |at: usize| be16(bytes, at).unwrap_or(0);
        let _ = match h.protocol {
            PROTOCOL_TCP if bytes.len() >= 20 => {
                let word = |at: usize| u32::from_be_bytes(core::array::from_fn(|i| bytes[at + i]));
                let names =
                    [(1, 'F'), (2, 'S'), (4, 'R'), (8, 'P'), (16, 'A'), (32, 'U'), (64, 'E'), (128, 'C')];
                let flags: String = names.iter().filter(|f| bytes[13] & f.0 != 0).map(|f| f.1).collect();
                let flags = if flags.is_empty() { ".".to_string() } else { flags };
                let data = bytes.len() - payload(PROTOCOL_TCP, bytes);
                let (sequence, window) = (word(4), port(14));
                write!(out, "{source}.{} > {destination}.{}: {flags} ", port(0), port(2)).and_then(|()| {
                    write!(
                        out,
                        "{sequence}:{}({data},{}) ",
                        sequence.wrapping_add(data as u32),
                        bytes.len()
                    )?;
                    if bytes[13] & 16 != 0 {
                        write!(out, "ack {} ", word(8))?;
                    }
                    write!(out, "win {window}")
                })
            }
            PROTOCOL_UDP if bytes.len() >= 8 => {
                write!(out, "{source}.{} > {destination}.{}: udp {}", port(0), port(2), port(4))
            }
            PROTOCOL_ICMP if bytes.len() >= 8 => {
                let number = |at: usize| if self.swap { port(at).swap_bytes() } else { port(at) };
                let what = match bytes[0] {
                    0 => format!("echo reply ({}, {})", number(4), number(6)),
                    3 => format!("unreachable code {}", bytes[1]),
                    5 => format!("redirect code {}", bytes[1]),
                    8 => format!("echo request ({}, {})", number(4), number(6)),
                    11 => format!("time exceeded code {}", bytes[1]),
                    other => format!("type {other} code {}", bytes[1]),
                };
                write!(out, "{source} > {destination}: icmp {what}")
            }
            protocol => write!(out, "{source} > {destination}: ip-proto-{protocol}"),
        };
    }
}

/// Where the payload begins behind a transport header.
fn payload(protocol: u8, bytes: &[u8]) -> usize {
    let length = match protocol {
        PROTOCOL_TCP => bytes.get(12).map_or(20, |b| usize::from(b >> 4) * 4),
        PROTOCOL_UDP | PROTOCOL_ICMP => 8,
        _ => 0,
    };
    length.min(bytes.len())
}

fn print_bytes(out: &mut String, bytes: &[u8], how: Bytes) {
    for (i, line) in bytes.chunks(16).enumerate() {
        let _ = write!(out, "\n  {:4}:", i * 16);
        for (i, b) in line.iter().enumerate() {
            let _ = match how {
                Bytes::Hex => write!(out, "{}{b:02x}", if i % 2 == 0 { " " } else { "" }),
                _ if b.is_ascii_graphic() || *b == b' ' => write!(out, "{}", *b as char),
                _ => write!(out, "."),
            };
        }
    }
}

impl Element for IPPrint {
    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        if self.active {
            batch.each(|packet| cx.print(&self.line(packet)));
        }
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.active.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.active = parse(cx, value)?;
        Ok(())
    }
}
