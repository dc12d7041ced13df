//! Classifiers against a naive reading of the same patterns and expressions, packet by packet.
#![no_main]

#[path = "click/fuzz_host.rs"]
mod fuzz_host;

use arbitrary::Arbitrary;
use click::headers::write_ipv4;
use fuzz_host::FuzzHost;
use libfuzzer_sys::{arbitrary, fuzz_target};

/// One of `Classifier`'s clauses: bytes at an offset, some bits of which count.
#[derive(Arbitrary, Debug)]
struct Clause {
    opposite: bool,
    offset: u8,
    bytes: [(u8, u8); 3],
    length: u8,
    masked: bool,
}

impl Clause {
    fn offset(&self) -> usize {
        usize::from(self.offset % 44)
    }

    fn bytes(&self) -> &[(u8, u8)] {
        &self.bytes[..1 + usize::from(self.length % 3)]
    }

    fn text(&self) -> String {
        let hex = |part: fn(&(u8, u8)) -> u8| -> String {
            self.bytes().iter().map(|b| format!("{:02x}", part(b))).collect()
        };
        let mask = if self.masked { format!("%{}", hex(|b| b.1)) } else { String::new() };
        let not = if self.opposite { "!" } else { "" };
        format!("{not}{}/{}{mask}", self.offset(), hex(|b| b.0))
    }

    /// Bits that a packet does not have make it fail, be it an opposite or not; bits that do not count need not be there.
    fn holds(&self, packet: &[u8]) -> bool {
        let mut equal = true;
        for (i, &(value, mask)) in self.bytes().iter().enumerate() {
            let mask = if self.masked { mask } else { 255 };
            equal &= packet.get(self.offset() + i).is_some_and(|byte| (byte ^ value) & mask == 0);
        }
        equal != self.opposite
    }
}

/// A number of the headers of a packet of 40 bytes and more without options.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Ttl,
    Tos,
    Id,
    Length,
    Protocol,
    Bytes(u8, u8),
}

impl Number {
    fn bytes(self) -> (usize, usize) {
        match self {
            Self::Ttl => (8, 1),
            Self::Tos => (1, 1),
            Self::Id => (4, 2),
            Self::Length => (2, 2),
            Self::Protocol => (9, 1),
            Self::Bytes(at, length) => (usize::from(at % 16), 1 + usize::from(length % 4)),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Ttl => "ip ttl".into(),
            Self::Tos => "ip tos".into(),
            Self::Id => "ip id".into(),
            Self::Length => "ip len".into(),
            Self::Protocol => "ip proto".into(),
            Self::Bytes(..) => {
                let (at, length) = self.bytes();
                format!("ip[{at}:{length}]")
            }
        }
    }

    fn most(self) -> u32 {
        u32::MAX >> (32 - 8 * self.bytes().1)
    }

    fn of(self, packet: &[u8]) -> u32 {
        let (at, length) = self.bytes();
        packet[at..at + length].iter().fold(0, |n, b| n << 8 | u32::from(*b))
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operator {
    Equal,
    Unequal,
    Less,
    Greater,
    AtMost,
    AtLeast,
}

impl Operator {
    fn text(self) -> &'static str {
        ["==", "!=", "<", ">", "<=", ">="][self as usize]
    }

    fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Unequal => a != b,
            Self::Less => a < b,
            Self::Greater => a > b,
            Self::AtMost => a <= b,
            Self::AtLeast => a >= b,
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Side {
    Source,
    Destination,
    Both,
    Either,
}

impl Side {
    fn text(self) -> &'static str {
        ["src", "dst", "src and dst", "src or dst"][self as usize]
    }

    fn holds(self, source: bool, destination: bool) -> bool {
        match self {
            Self::Source => source,
            Self::Destination => destination,
            Self::Both => source && destination,
            Self::Either => source || destination,
        }
    }
}

/// An expression of `IPFilter`.
#[derive(Arbitrary, Debug)]
enum Expression {
    All,
    None,
    Net(Side, [u8; 4], u8),
    Port(Side, Option<bool>, bool, u16),
    Ports(Side, u16, u16),
    Number(Number, Operator, u32),
    Fragment(bool),
    Flag(u8),
    Not(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Choice(Box<Expression>, Box<Expression>, Box<Expression>),
}

const FLAGS: [&str; 6] = ["fin", "syn", "rst", "psh", "ack", "urg"];

impl Expression {
    fn depth(&self) -> usize {
        1 + match self {
            Self::Not(a) => a.depth(),
            Self::And(a, b) | Self::Or(a, b) => a.depth().max(b.depth()),
            Self::Choice(a, b, c) => a.depth().max(b.depth()).max(c.depth()),
            _ => 0,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::All => "true".into(),
            Self::None => "false".into(),
            Self::Net(side, [a, b, c, d], length) => {
                format!("{} net {a}.{b}.{c}.{d}/{}", side.text(), length % 33)
            }
            Self::Port(side, protocol, equal, port) => {
                let protocol = protocol.map_or("", |tcp| if tcp { "tcp " } else { "udp " });
                format!("{} {protocol}port {} {port}", side.text(), if *equal { "==" } else { "!=" })
            }
            Self::Ports(side, a, b) => format!("{} port {}-{}", side.text(), a.min(b), a.max(b)),
            Self::Number(number, operator, value) => {
                format!("{} {} {}", number.text(), operator.text(), value & number.most())
            }
            Self::Fragment(is) => if *is { "ip frag" } else { "ip unfrag" }.into(),
            Self::Flag(flag) => format!("tcp opt {}", FLAGS[usize::from(flag % 6)]),
            Self::Not(a) => format!("not ({})", a.text()),
            Self::And(a, b) => format!("({}) and ({})", a.text(), b.text()),
            Self::Or(a, b) => format!("(({}) or ({}))", a.text(), b.text()),
            Self::Choice(a, b, c) => format!("(({}) ? ({}) : ({}))", a.text(), b.text(), c.text()),
        }
    }

    fn holds(&self, packet: &[u8]) -> bool {
        let two = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let first = two(6) & 0x1fff == 0;
        let (tcp, udp) = (packet[9] == 6, packet[9] == 17);
        match self {
            Self::All => true,
            Self::None => false,
            Self::Net(side, net, length) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length % 33)).unwrap_or(0);
                let net = u32::from_be_bytes(*net) & mask;
                let is = |at| Number::Bytes(at, 3).of(packet) & mask == net;
                side.holds(is(12), {
                    let bytes = [packet[16], packet[17], packet[18], packet[19]];
                    u32::from_be_bytes(bytes) & mask == net
                })
            }
            Self::Port(side, protocol, equal, port) => {
                let carried = protocol.map_or(tcp || udp, |is_tcp| if is_tcp { tcp } else { udp });
                let is = side.holds(two(20) == *port, two(22) == *port);
                first && carried && is == *equal
            }
            Self::Ports(side, a, b) => {
                let is = |at| (a.min(b)..=a.max(b)).contains(&&two(at));
                first && (tcp || udp) && side.holds(is(20), is(22))
            }
            Self::Number(number, operator, value) => operator.holds(number.of(packet), value & number.most()),
            Self::Fragment(is) => (two(6) & 0x3fff != 0) == *is,
            Self::Flag(flag) => first && tcp && packet[33] >> (flag % 6) & 1 == 1,
            Self::Not(a) => !a.holds(packet),
            Self::And(a, b) => a.holds(packet) && b.holds(packet),
            Self::Or(a, b) => a.holds(packet) || b.holds(packet),
            Self::Choice(a, b, c) => if a.holds(packet) { b } else { c }.holds(packet),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Case {
    patterns: Vec<Vec<Clause>>,
    rules: Vec<Expression>,
    frames: Vec<Vec<u8>>,
    /// Protocol, flags and offset, payload.
    packets: Vec<(u8, u16, [u8; 4], [u8; 4], [u8; 20])>,
}

/// Sends packets through an element with so many outputs; the output that each leaves by is that of its first pattern.
fn compare(
    path: &str,
    element: &str,
    outputs: usize,
    packets: &[Vec<u8>],
    first: impl Fn(&[u8]) -> Option<usize>,
) {
    let counters: String = (0..outputs).map(|i| format!("k [{i}] -> c{i} :: Counter -> d;\n")).collect();
    let text = format!("d :: Discard; FromDevice(0) -> {path} k :: {element};\n{counters}");
    let (mut fuzz_host, mut router) = FuzzHost::with(&text);
    let mut counts = vec![0_u64; outputs];
    for packet in packets {
        fuzz_host.bring(&mut router, packet.clone());
        if let Some(output) = first(packet) {
            counts[output] += 1;
        }
        for (i, count) in counts.iter().enumerate() {
            let counted = router.read(&mut fuzz_host, &format!("c{i}.count")).unwrap();
            assert_eq!(counted, count.to_string(), "output {i} of {text} for {packet:02x?}");
        }
    }
}

fuzz_target!(|case: Case| {
    let Case { patterns, rules, frames, packets } = case;
    let patterns: Vec<_> = patterns.into_iter().filter(|p| !p.is_empty() && p.len() < 8).take(6).collect();
    if !patterns.is_empty() {
        let text = |p: &Vec<Clause>| p.iter().map(Clause::text).collect::<Vec<_>>().join(" ");
        let list = patterns.iter().map(text).collect::<Vec<_>>().join(", ");
        // Longer than what patterns look at: what short packets lack is a question of its own.
        let long = |mut frame: Vec<u8>| {
            frame.truncate(200);
            frame.resize(frame.len().max(64), 0);
            frame
        };
        let frames: Vec<_> = frames.into_iter().take(8).map(long).collect();
        compare("", &format!("Classifier({list})"), patterns.len(), &frames, |packet| {
            patterns.iter().position(|p| p.iter().all(|clause| clause.holds(packet)))
        });
    }
    let rules: Vec<_> = rules.into_iter().filter(|r| r.depth() < 12).take(6).collect();
    if !rules.is_empty() {
        let list = rules.iter().map(Expression::text).collect::<Vec<_>>().join(", ");
        let make =
            |(protocol, fragment, source, destination, rest): (u8, u16, [u8; 4], [u8; 4], [u8; 20])| {
                let mut packet = vec![0; 20];
                let protocol = [6, 17, 1, protocol][usize::from(protocol & 3)];
                write_ipv4(&mut packet, 40, fragment.rotate_left(5), protocol, source, destination);
                // Half of all are whole.
                if fragment & 1 == 1 {
                    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
                }
                packet.extend(rest);
                packet
            };
        let packets: Vec<_> = packets.into_iter().take(8).map(make).collect();
        compare("MarkIPHeader ->", &format!("IPClassifier({list})"), rules.len(), &packets, |packet| {
            rules.iter().position(|rule| rule.holds(packet))
        });
    }
});
