//! The expressions of `IPFilter` and `IPClassifier`, compiled to a decision program: a list of tests, each with the
//! place to go on at when it holds and when it does not.

use crate::args::Names;
use crate::headers::{PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, four};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Deepest nesting of parentheses and `not`.
const DEPTH: usize = 32;

/// Where a test's bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Network,
    Transport,
}

/// How the masked word compares with the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Greater,
    Less,
}

/// Four bytes, taken as a big-endian number under a mask. A word that is not all there fails the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Test {
    base: Base,
    offset: u16,
    mask: u32,
    relation: Relation,
    value: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    Constant(bool),
    Test(Test),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

use Expression::{And, Constant, Not, Or};

/// `length` bytes at an offset compared with a number.
fn test(base: Base, offset: u16, length: u16, relation: Relation, value: u32) -> Expression {
    let shift = 32 - 8 * u32::from(length);
    let full = u32::MAX.checked_shl(shift).unwrap_or(0);
    Expression::Test(Test { base, offset, mask: full, relation, value: value << shift })
}

fn masked(base: Base, offset: u16, mask: u32, value: u32) -> Expression {
    Expression::Test(Test { base, offset, mask, relation: Relation::Equal, value: value & mask })
}

fn protocol(number: u8) -> Expression {
    test(Base::Network, 9, 1, Relation::Equal, number.into())
}

/// The packet holds the start of its transport header.
fn first_fragment() -> Expression {
    masked(Base::Network, 6, 0x1fff_0000, 0)
}

fn transport(protocols: &[u8], test: Expression) -> Expression {
    And(alloc::vec![Or(protocols.iter().map(|&p| protocol(p)).collect()), first_fragment(), test])
}

const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", 58),
    ("sctp", 132),
];
const PORTS: &[(&str, u16)] = &[
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("dns", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("http", 80),
    ("www", 80),
    ("pop3", 110),
    ("ntp", 123),
    ("imap", 143),
    ("imap2", 143),
    ("snmp", 161),
    ("bgp", 179),
    ("https", 443),
    ("syslog", 514),
];
const ICMP_TYPES: &[(&str, u8)] = &[
    ("echo-reply", 0),
    ("unreachable", 3),
    ("dst-unreachable", 3),
    ("sourcequench", 4),
    ("redirect", 5),
    ("echo", 8),
    ("routeradvert", 9),
    ("routersolicit", 10),
    ("timeexceeded", 11),
    ("time-exceeded", 11),
    ("parameterproblem", 12),
    ("timestamp", 13),
    ("timestamp-reply", 14),
];
const TCP_FLAGS: &[(&str, u8)] =
    &[("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ece", 64), ("cwr", 128)];

fn named<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|e| e.0.eq_ignore_ascii_case(name)).map(|e| e.1)
}

fn number(text: &str) -> Option<u32> {
    crate::args::parse_number(text)?.try_into().ok()
}

fn small<T: TryFrom<u32>>(text: &str) -> Option<T> {
    number(text)?.try_into().ok()
}

/// Which address or port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
    Either,
    Both,
}

/// What kind of value the last primitive had, for `port 80 or 443`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Address,
    Port(Option<u8>),
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
    depth: usize,
    names: &'a Names,
    last: Option<(Side, Kind)>,
}

/// Cuts an expression into words; operators stand alone.
fn cut(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let double = ["&&", "||", "==", "!=", "<=", ">="].iter().find(|o| rest.starts_with(**o));
        let length = match double {
            Some(operator) => operator.len(),
            None if rest.starts_with(['(', ')', '[', ']', '!', '<', '>', '=', '&', '|', '?']) => 1,
            None => rest
                .find(|c: char| c.is_whitespace() || "()[]!<>=&|?".contains(c))
                .unwrap_or(rest.len())
                .max(rest.chars().next().map_or(1, char::len_utf8)),
        };
        words.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    words
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a str {
        self.words.get(self.at).copied().unwrap_or("")
    }

    fn take(&mut self) -> &'a str {
        let word = self.peek();
        self.at += 1;
        word
    }

    fn accept(&mut self, words: &[&str]) -> bool {
        let is = words.contains(&self.peek()) && !self.peek().is_empty();
        self.at += usize::from(is);
        is
    }

    fn either(&mut self) -> Result<Expression, String> {
        let mut parts = alloc::vec![self.both()?];
        while self.accept(&["or", "||"]) {
            parts.push(self.both()?);
        }
        Ok(Or(parts))
    }

    fn both(&mut self) -> Result<Expression, String> {
        let mut parts = alloc::vec![self.factor()?];
        loop {
            let implicit = !["", ")", "or", "||", "?"].contains(&self.peek());
            if !self.accept(&["and", "&&"]) && !implicit {
                return Ok(And(parts));
            }
            parts.push(self.factor()?);
        }
    }

    fn factor(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("nests deeper than {DEPTH}"));
        }
        let expression = if self.accept(&["not", "!"]) {
            Not(Box::new(self.factor()?))
        } else if self.accept(&["("]) {
            let inside = self.either()?;
            if !self.accept(&[")"]) {
                return Err(self.unexpected("')'"));
            }
            inside
        } else {
            self.primitive()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn unexpected(&self, wanted: &str) -> String {
        match self.peek() {
            "" => format!("expected {wanted} at the end"),
            word => format!("expected {wanted}, not '{word}'"),
        }
    }

    fn side(&mut self) -> Option<Side> {
        let first = match self.peek() {
            "src" => Side::Source,
            "dst" => Side::Destination,
            _ => return None,
        };
        let other = if first == Side::Source { "dst" } else { "src" };
        self.at += 1;
        let joined = self.words.get(self.at + 1) == Some(&other);
        match (self.peek(), joined) {
            ("or" | "||", true) => {
                self.at += 2;
                Some(Side::Either)
            }
            ("and" | "&&", true) => {
                self.at += 2;
                Some(Side::Both)
            }
            _ => Some(first),
        }
    }

    fn primitive(&mut self) -> Result<Expression, String> {
        let side = self.side();
        let word = self.take();
        match word {
            "host" | "net" => self.address(side.unwrap_or(Side::Either)),
            "port" => self.port(side.unwrap_or(Side::Either), None),
            "tcp" | "udp" | "icmp" if side.is_some() || ["src", "dst", "port"].contains(&self.peek()) => {
                let side = side.or_else(|| self.side()).unwrap_or(Side::Either);
                if !self.accept(&["port"]) {
                    return Err(self.unexpected("'port'"));
                }
                self.port(side, named(PROTOCOLS, word))
            }
            _ if side.is_some() => {
                self.at -= 1;
                self.address(side.unwrap_or(Side::Either))
            }
            "tcp" if ["opt", "flags"].contains(&self.peek()) => self.tcp_flags(),
            "tcp" if self.peek() == "win" => {
                self.at += 1;
                self.compare(|r, v| transport(&[PROTOCOL_TCP], test(Base::Transport, 14, 2, r, v)), 65535)
            }
            "icmp" if self.peek() == "type" => self.icmp_type(),
            "ip" => self.ip(),
            "proto" => self.protocol(),
            "transp" if self.peek() == "[" => self.bytes(Base::Transport),
            "true" | "all" | "any" | "-" => Ok(Constant(true)),
            "false" | "none" => Ok(Constant(false)),
            _ => self.bare(word),
        }
    }

    /// A protocol's name, or a value of the same kind as the last.
    fn bare(&mut self, word: &'a str) -> Result<Expression, String> {
        if let Some(number) = named(PROTOCOLS, word) {
            return Ok(protocol(number));
        }
        self.at -= 1;
        match self.last {
            Some((side, Kind::Port(p))) if is_port(word) => self.port(side, p),
            Some((side, Kind::Address)) if self.names.prefix(word).is_some() => self.address(side),
            _ if self.names.prefix(word).is_some() => self.address(Side::Either),
            _ => Err(self.unexpected("an expression")),
        }
    }

    fn sided(side: Side, make: impl Fn(u16) -> Expression, source: u16, destination: u16) -> Expression {
        match side {
            Side::Source => make(source),
            Side::Destination => make(destination),
            Side::Either => Or(alloc::vec![make(source), make(destination)]),
            Side::Both => And(alloc::vec![make(source), make(destination)]),
        }
    }

    fn negated(&mut self) -> bool {
        let not = self.accept(&["!="]);
        if !not {
            self.accept(&["==", "="]);
        }
        not
    }

    fn address(&mut self, side: Side) -> Result<Expression, String> {
        self.accept(&["host", "net"]);
        self.last = Some((side, Kind::Address));
        let not = self.negated();
        let word = self.take();
        let Some((address, mut length)) = self.names.prefix(word) else {
            self.at -= 1;
            return Err(self.unexpected("an address"));
        };
        if self.accept(&["mask"]) {
            let text = self.take();
            let mask = self.names.ipv4(text).ok_or_else(|| format!("expected a mask, not '{text}'"))?;
            length = u32::from_be_bytes(mask).leading_ones() as u8;
        }
        let mask = crate::args::mask_bits(length);
        let make = |offset| masked(Base::Network, offset, mask, u32::from_be_bytes(address));
        let expression = Self::sided(side, make, 12, 16);
        Ok(if not { Not(Box::new(expression)) } else { expression })
    }

    fn port(&mut self, side: Side, of: Option<u8>) -> Result<Expression, String> {
        self.last = Some((side, Kind::Port(of)));
        let protocols = of.map_or(alloc::vec![PROTOCOL_TCP, PROTOCOL_UDP], |p| alloc::vec![p]);
        if let Some((low, high)) = self.peek().split_once('-')
            && let (Some(low), Some(high)) = (port_number(low), port_number(high))
        {
            self.at += 1;
            let make = |offset| {
                let below = test(Base::Transport, offset, 2, Relation::Less, low.into());
                let above = test(Base::Transport, offset, 2, Relation::Greater, high.into());
                And(alloc::vec![Not(Box::new(below)), Not(Box::new(above))])
            };
            return Ok(transport(&protocols, Self::sided(side, make, 0, 2)));
        }
        let (relation, not) = self.relation();
        let word = self.take();
        let Some(port) = port_number(word) else {
            self.at -= 1;
            return Err(self.unexpected("a port"));
        };
        let make = |offset| {
            let t = test(Base::Transport, offset, 2, relation, port.into());
            if not { Not(Box::new(t)) } else { t }
        };
        Ok(transport(&protocols, Self::sided(side, make, 0, 2)))
    }

    /// A relation, and whether it is to be negated.
    fn relation(&mut self) -> (Relation, bool) {
        let relation = match self.peek() {
            "==" | "=" => (Relation::Equal, false),
            "!=" => (Relation::Equal, true),
            ">" => (Relation::Greater, false),
            "<=" => (Relation::Greater, true),
            "<" => (Relation::Less, false),
            ">=" => (Relation::Less, true),
            _ => return (Relation::Equal, false),
        };
        self.at += 1;
        relation
    }

    fn compare(
        &mut self,
        make: impl Fn(Relation, u32) -> Expression,
        most: u32,
    ) -> Result<Expression, String> {
        let (relation, not) = self.relation();
        let word = self.take();
        let Some(value) = number(word).filter(|&v| v <= most) else {
            self.at -= 1;
            return Err(self.unexpected(&format!("a number up to {most}")));
        };
        let expression = make(relation, value);
        Ok(if not { Not(Box::new(expression)) } else { expression })
    }

    fn protocol(&mut self) -> Result<Expression, String> {
        let not = self.negated();
        let word = self.take();
        let Some(n) = named(PROTOCOLS, word).or_else(|| small(word)) else {
            self.at -= 1;
            return Err(self.unexpected("a protocol"));
        };
        Ok(if not { Not(Box::new(protocol(n))) } else { protocol(n) })
    }

    fn icmp_type(&mut self) -> Result<Expression, String> {
        self.at += 1;
        let not = self.negated();
        let word = self.take();
        let Some(n) = named(ICMP_TYPES, word).or_else(|| small(word)) else {
            self.at -= 1;
            return Err(self.unexpected("an ICMP type"));
        };
        let is = test(Base::Transport, 0, 1, Relation::Equal, n.into());
        let is = if not { Not(Box::new(is)) } else { is };
        Ok(transport(&[PROTOCOL_ICMP], is))
    }

    fn tcp_flags(&mut self) -> Result<Expression, String> {
        self.at += 1;
        let word = self.take();
        let (name, set) = match (word, self.peek()) {
            ("!", name) => {
                self.at += 1;
                (name, false)
            }
            (name, _) => (name, true),
        };
        let Some(bit) = named(TCP_FLAGS, name) else {
            self.at -= 1;
            return Err(self.unexpected("a TCP flag"));
        };
        let bit = u32::from(bit) << 24;
        let is = masked(Base::Transport, 13, bit, if set { bit } else { 0 });
        Ok(transport(&[PROTOCOL_TCP], is))
    }

    fn ip(&mut self) -> Result<Expression, String> {
        let network = |offset, length| move |r, v| test(Base::Network, offset, length, r, v);
        match self.take() {
            "proto" => self.protocol(),
            "frag" => Ok(Not(Box::new(masked(Base::Network, 6, 0x3fff_0000, 0)))),
            "unfrag" => Ok(masked(Base::Network, 6, 0x3fff_0000, 0)),
            "ttl" => self.compare(network(8, 1), 255),
            "tos" => self.compare(network(1, 1), 255),
            "len" => self.compare(network(2, 2), 65535),
            "id" => self.compare(network(4, 2), 65535),
            "vers" => self.nibble(0xf000_0000, 28),
            "hl" => self.nibble(0x0f00_0000, 24),
            "dscp" => self.field(1, 0xfc00_0000, 26, 63),
            "ect" => Ok(Not(Box::new(masked(Base::Network, 1, 0x0300_0000, 0)))),
            "ce" => Ok(masked(Base::Network, 1, 0x0300_0000, 0x0300_0000)),
            "[" => {
                self.at -= 1;
                self.bytes(Base::Network)
            }
            _ => {
                self.at -= 1;
                Err(self.unexpected("a field of the IP header"))
            }
        }
    }

    fn nibble(&mut self, mask: u32, shift: u32) -> Result<Expression, String> {
        self.field(0, mask, shift, 15)
    }

    fn field(&mut self, offset: u16, mask: u32, shift: u32, most: u32) -> Result<Expression, String> {
        let make = |relation, value: u32| {
            Expression::Test(Test { base: Base::Network, offset, mask, relation, value: value << shift })
        };
        self.compare(make, most)
    }

    /// `[offset:length] & mask == value`
    fn bytes(&mut self, base: Base) -> Result<Expression, String> {
        self.at += 1;
        let inside = self.take();
        let (offset, length) = inside.split_once(':').unwrap_or((inside, "1"));
        let place = small::<u16>(offset).zip(small::<u16>(length)).filter(|p| (1..=4).contains(&p.1) && p.0 < 1024);
        let (Some((offset, length)), true) = (place, self.accept(&["]"])) else {
            return Err(format!("'[{inside}]': expected [OFFSET:LENGTH] of 1 to 4 bytes"));
        };
        let shift = 32 - 8 * u32::from(length);
        let mut mask = u32::MAX.checked_shl(shift).unwrap_or(0);
        if self.accept(&["&"]) {
            let word = self.take();
            mask &= number(word).ok_or_else(|| format!("expected a mask, not '{word}'"))? << shift;
        }
        let most = u32::MAX.checked_shr(shift).unwrap_or(0);
        let make = |relation, value: u32| Expression::Test(Test { base, offset, mask, relation, value: value << shift });
        self.compare(make, most)
    }
}

fn port_number(text: &str) -> Option<u16> {
    named(PORTS, text).or_else(|| small(text))
}

fn is_port(text: &str) -> bool {
    let ends = text.split_once('-').unwrap_or((text, text));
    port_number(ends.0).is_some() && port_number(ends.1).is_some()
}

/// Where a test leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Step(u32),
    Output(u32),
}

#[derive(Clone, Copy, Debug)]
struct Step {
    test: Test,
    yes: Next,
    no: Next,
}

/// A decision program: which of several expressions is the first to hold.
#[derive(Clone, Debug)]
pub struct Program {
    steps: Vec<Step>,
    start: Next,
}

/// What [`Program::decide`] answers when no expression holds.
pub const NOTHING: usize = u32::MAX as usize;

/// Most steps of a program.
const STEPS: usize = 1 << 16;

impl Program {
    /// Compiles expressions, each with its answer.
    pub fn compile(expressions: &[(&str, usize)], names: &Names) -> Result<Self, String> {
        let mut parsed = Vec::with_capacity(expressions.len());
        for (i, (text, answer)) in expressions.iter().enumerate() {
            let mut parser = Parser { words: cut(text), at: 0, depth: 0, names, last: None };
            let expression = parser.either().and_then(|e| match parser.peek() {
                "" => Ok(e),
                _ => Err(parser.unexpected("the end")),
            });
            parsed.push((expression.map_err(|e| format!("pattern {i}: {e}"))?, *answer));
        }
        let mut program = Self { steps: Vec::new(), start: Next::Output(u32::MAX) };
        // From the last to the first, so that each knows where to go on when it does not hold.
        for (expression, answer) in parsed.iter().rev() {
            let no = program.start;
            program.start = program.emit(expression, Next::Output(*answer as u32), no)?;
        }
        Ok(program)
    }

    /// Adds the steps of an expression; where it begins.
    fn emit(&mut self, expression: &Expression, yes: Next, no: Next) -> Result<Next, String> {
        match expression {
            Constant(value) => Ok(if *value { yes } else { no }),
            Not(inner) => self.emit(inner, no, yes),
            And(parts) => parts.iter().rev().try_fold(yes, |next, part| self.emit(part, next, no)),
            Or(parts) => parts.iter().rev().try_fold(no, |next, part| self.emit(part, yes, next)),
            Expression::Test(test) => {
                if self.steps.len() >= STEPS {
                    return Err(format!("more than {STEPS} tests"));
                }
                self.steps.push(Step { test: *test, yes, no });
                Ok(Next::Step(self.steps.len() as u32 - 1))
            }
        }
    }

    /// The answer for a packet: its data, and where its network and transport headers begin.
    #[inline]
    pub fn decide(&self, data: &[u8], network: usize, transport: usize) -> usize {
        let mut next = self.start;
        loop {
            let step = match next {
                Next::Output(answer) => return answer as usize,
                Next::Step(i) => &self.steps[i as usize],
            };
            next = if step.test.holds(data, network, transport) { step.yes } else { step.no };
        }
    }
}

impl Test {
    #[inline]
    fn holds(&self, data: &[u8], network: usize, transport: usize) -> bool {
        let base = if self.base == Base::Network { network } else { transport };
        let at = base + usize::from(self.offset);
        let word = match four(data, at) {
            Some(bytes) => u32::from_be_bytes(bytes),
            None => {
                // At the packet's end, only the bytes under the mask have to be there.
                let rest = data.get(at..).unwrap_or(&[]);
                let needed = 4 - (self.mask.trailing_zeros() / 8).min(4) as usize;
                if rest.len() < needed {
                    return false;
                }
                let mut bytes = [0; 4];
                bytes[..rest.len()].copy_from_slice(rest);
                u32::from_be_bytes(bytes)
            }
        } & self.mask;
        match self.relation {
            Relation::Equal => word == self.value,
            Relation::Greater => word > self.value,
            Relation::Less => word < self.value,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = |n: Next| match n {
            Next::Step(i) => format!("step {i}"),
            Next::Output(u32::MAX) => "drop".to_string(),
            Next::Output(o) => format!("[{o}]"),
        };
        writeln!(f, "begins at {}", next(self.start))?;
        for (i, Step { test, yes, no }) in self.steps.iter().enumerate() {
            let base = if test.base == Base::Network { "ip" } else { "transp" };
            let relation = match test.relation {
                Relation::Equal => "==",
                Relation::Greater => ">",
                Relation::Less => "<",
            };
            writeln!(
                f,
                "{i:3}  {base}[{}:4] & {:08x} {relation} {:08x}  yes->{}  no->{}",
                test.offset,
                test.mask,
                test.value,
                next(*yes),
                next(*no)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(protocol: u8, source: [u8; 4], destination: [u8; 4], ports: [u16; 2]) -> Vec<u8> {
        let mut p = alloc::vec![0u8; 40];
        crate::headers::write_ipv4(&mut p, 40, 7, protocol, source, destination);
        p[20..22].copy_from_slice(&ports[0].to_be_bytes());
        p[22..24].copy_from_slice(&ports[1].to_be_bytes());
        p[33] = 0x12;
        p
    }

    fn holds(text: &str, packet: &[u8]) -> bool {
        let program = Program::compile(&[(text, 0)], &Names::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
        program.decide(packet, 0, 20) == 0
    }

    #[test]
    fn expressions_mean_what_they_say() {
        let udp = packet(17, [10, 0, 0, 1], [192, 168, 1, 2], [5000, 53]);
        for (text, expected) in [
            ("udp", true),
            ("tcp", false),
            ("udp and dst port 53", true),
            ("src port 53", false),
            ("port 53", true),
            ("dst port domain", true),
            ("udp port 50-60", true),
            ("dst port > 53", false),
            ("dst port >= 53", true),
            ("port 80 or 53", true),
            ("port 80 or 443", false),
            ("src 10.0.0.0/8", true),
            ("src net 10.0.0.0/8 and not dst host 192.168.1.3", true),
            ("dst net 192.168.0.0 mask 255.255.0.0", true),
            ("host 10.0.0.1", true),
            ("src and dst host 10.0.0.1", false),
            ("src or dst net 192.168.0.0/16", true),
            ("ip proto 17", true),
            ("ip ttl > 200 && ip unfrag", true),
            ("!(udp || tcp)", false),
            ("not udp", false),
            ("ip[9] == 17", true),
            ("ip[16:4] & 0xffff0000 == 0xc0a80000", true),
            ("transp[2:2] == 53", true),
            ("ip vers 4 ip hl 5", true),
            ("true", true),
            ("none or false", false),
            ("-", true),
        ] {
            assert_eq!(holds(text, &udp), expected, "{text}");
        }
        let tcp = packet(6, [1, 1, 1, 1], [2, 2, 2, 2], [80, 9]);
        assert!(holds("tcp opt syn and tcp opt ack", &tcp));
        assert!(!holds("tcp opt ! syn", &tcp));
        assert!(holds("tcp src port http", &tcp));
    }

    #[test]
    fn fragments_have_no_ports() {
        let mut p = packet(17, [0; 4], [0; 4], [1, 53]);
        p[7] = 1;
        assert!(!holds("dst port 53", &p) && holds("ip frag", &p));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "port", "host x", "udp and", "(udp", "udp)", "ip[9", "ip[9:5] == 1", "src port 70000", "foo", "dst port 9-"] {
            assert!(Program::compile(&[(text, 0)], &Names::default()).is_err(), "{text}");
        }
        let deep = "(".repeat(10_000) + "udp";
        assert!(Program::compile(&[(&deep, 0)], &Names::default()).is_err());
    }

    #[test]
    fn any_packet_can_be_looked_at() {
        let names = Names::default();
        let program = Program::compile(&[("tcp opt syn or dst port 53 or ip[60:4] == 1", 0)], &names).unwrap();
        for length in 0..64 {
            for byte in [0u8, 0x45, 0x4f, 0xff] {
                program.decide(&alloc::vec![byte; length], 0, 20);
                program.decide(&alloc::vec![byte; length], length, length + 60);
            }
        }
    }
}
