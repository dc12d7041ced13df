//! The primitives of filter expressions: `src host 10.0.0.1`, `udp dst port >= 1024`, `ip ttl < 5`, `ip[9] & 0xf == 1`.

use super::expression::Words;
use crate::args::services::PORTS;
use crate::args::{mask_bits, parse_number};
use crate::decision::{Base, Condition, Relation, Test};
use crate::headers::{PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What a primitive is about, as far as words before the value say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Primitive {
    direction: Option<Direction>,
    protocol: Option<u8>,
    field: Option<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Source,
    Destination,
    Both,
    Either,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Host,
    Net,
    Port,
    TcpOption,
    /// A number in a header.
    Number(Number),
}

/// Where a number lies, and what its values are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    base: Base,
    offset: u16,
    mask: u32,
    names: &'static [(&'static str, u32)],
}

const PROTOCOLS: &[(&str, u32)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("egp", 8),
    ("udp", 17),
    ("dccp", 33),
    ("ip6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", 58),
    ("ospf", 89),
    ("pim", 103),
    ("sctp", 132),
];

const ICMP_TYPES: &[(&str, u32)] = &[
    ("echo-reply", 0),
    ("echo_reply", 0),
    ("unreachable", 3),
    ("sourcequench", 4),
    ("redirect", 5),
    ("echo", 8),
    ("routeradvert", 9),
    ("routersolicit", 10),
    ("timeexceeded", 11),
    ("paramproblem", 12),
    ("parameterproblem", 12),
    ("timestamp", 13),
    ("timestamp-reply", 14),
    ("inforeq", 15),
    ("inforeq-reply", 16),
    ("maskreq", 17),
    ("maskreq-reply", 18),
];

const TCP_OPTIONS: &[(&str, u32)] =
    &[("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32)];

const fn network(offset: u16, mask: u32) -> Number {
    Number { base: Base::Network, offset, mask, names: &[] }
}

const fn transport(offset: u16, mask: u32) -> Number {
    Number { base: Base::Transport, offset, mask, names: &[] }
}

const PROTOCOL: Number = Number { names: PROTOCOLS, ..network(8, 0x00ff_0000) };
const FRAGMENT: Number = network(4, 0x0000_3fff);
const FRAGMENT_OFFSET: Number = network(4, 0x0000_1fff);
const ECN: Number = network(0, 0x0003_0000);

/// Words that name a field. The second: protocol that it belongs to.
fn field(word: &str) -> Option<(Field, Option<u8>)> {
    let number = match word {
        "host" => return Some((Field::Host, None)),
        "net" => return Some((Field::Net, None)),
        "port" => return Some((Field::Port, None)),
        "opt" => return Some((Field::TcpOption, Some(PROTOCOL_TCP))),
        "proto" => PROTOCOL,
        "vers" => network(0, 0xf000_0000),
        "hl" => network(0, 0x0f00_0000),
        "tos" => network(0, 0x00ff_0000),
        "dscp" => network(0, 0x00fc_0000),
        "len" => network(0, 0x0000_ffff),
        "id" => network(4, 0xffff_0000),
        "sum" => network(8, 0x0000_ffff),
        "ttl" => network(8, 0xff00_0000),
        "win" => return Some((Field::Number(transport(12, 0x0000_ffff)), Some(PROTOCOL_TCP))),
        "type" => {
            let number = Number { names: ICMP_TYPES, ..transport(0, 0xff00_0000) };
            return Some((Field::Number(number), Some(PROTOCOL_ICMP)));
        }
        "code" => return Some((Field::Number(transport(0, 0x00ff_0000)), Some(PROTOCOL_ICMP))),
        _ => return None,
    };
    Some((Field::Number(number), None))
}

pub(super) fn protocol(word: &str) -> Option<u8> {
    PROTOCOLS.iter().find(|p| p.0 == word).map(|p| p.1 as u8)
}

impl Number {
    fn most(self) -> u32 {
        self.mask >> self.mask.trailing_zeros()
    }

    fn test(self, relation: Relation, value: u32) -> Condition {
        let value = value << self.mask.trailing_zeros();
        Condition::Test(Test { base: self.base, offset: self.offset, mask: self.mask, relation, value })
    }

    fn compare(self, how: Comparison, value: u32) -> Condition {
        match how {
            Comparison::Equal => self.test(Relation::Equal, value),
            Comparison::Unequal => not(self.test(Relation::Equal, value)),
            Comparison::Greater => self.test(Relation::Greater, value),
            Comparison::Smaller => not(self.compare(Comparison::GreaterOrEqual, value)),
            Comparison::SmallerOrEqual => not(self.test(Relation::Greater, value)),
            Comparison::GreaterOrEqual => match value.checked_sub(1) {
                Some(below) => self.test(Relation::Greater, below),
                None => Condition::Constant(true),
            },
        }
    }

    /// A value as it is written: a number, a name, or two numbers with a dash.
    fn compare_text(
        self,
        how: Comparison,
        text: &str,
        what: &str,
        given: impl Fn(&str) -> Option<u16>,
    ) -> Result<Condition, String> {
        let one = |text: &str| {
            let named = self.names.iter().find(|n| n.0 == text).map(|n| u64::from(n.1));
            let value = given(text)
                .map(u64::from)
                .or(named)
                .or_else(|| parse_number(text))
                .ok_or_else(|| format!("expected {what}, not '{text}'"))?;
            let value = u32::try_from(value).ok().filter(|&v| v <= self.most());
            value.ok_or_else(|| format!("'{text}' is out of range (at most {})", self.most()))
        };
        if let Some((low, high)) = text.split_once('-')
            && how == Comparison::Equal
            && let (Ok(low), Ok(high)) = (one(low), one(high))
        {
            let from = self.compare(Comparison::GreaterOrEqual, low);
            return Ok(Condition::All(alloc::vec![from, self.compare(Comparison::SmallerOrEqual, high)]));
        }
        Ok(self.compare(how, one(text)?))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Greater,
    Smaller,
    GreaterOrEqual,
    SmallerOrEqual,
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

fn comparison(words: &mut Words<'_>) -> Option<Comparison> {
    let how = match words.peek()? {
        "==" | "=" => Comparison::Equal,
        "!=" => Comparison::Unequal,
        ">" => Comparison::Greater,
        "<" => Comparison::Smaller,
        ">=" => Comparison::GreaterOrEqual,
        "<=" => Comparison::SmallerOrEqual,
        _ => return None,
    };
    words.take();
    Some(how)
}

/// `src`, `dst`, `src and dst`, `src or dst`
fn direction(words: &mut Words<'_>) -> Option<Direction> {
    let one = |word| match word {
        Some("src") => Some(Direction::Source),
        Some("dst") => Some(Direction::Destination),
        _ => None,
    };
    let first = one(words.peek())?;
    let joined = match (words.peek_behind(1), one(words.peek_behind(2))) {
        (Some("and" | "&&"), Some(second)) if second != first => Some(Direction::Both),
        (Some("or" | "||"), Some(second)) if second != first => Some(Direction::Either),
        _ => None,
    };
    words.skip(if joined.is_some() { 3 } else { 1 });
    Some(joined.unwrap_or(first))
}

/// One primitive.
pub(super) fn parse_primitive(words: &mut Words<'_>) -> Result<Condition, String> {
    match words.peek() {
        Some("true" | "all" | "any" | "-") => {
            words.take();
            return Ok(Condition::Constant(true));
        }
        Some("false" | "none") => {
            words.take();
            return Ok(Condition::Constant(false));
        }
        _ => {}
    }
    let mut it = Primitive::default();
    let mut said = false;
    while let Some(word) = words.peek() {
        if let Some(d) = direction(words) {
            it.direction = Some(d);
        } else if word.contains('[') {
            return data(words);
        } else if word == "ip" {
            words.take();
        } else if let Some((f, p)) = field(word) {
            words.take();
            it.field = Some(f);
            it.protocol = it.protocol.or(p);
        } else if it.protocol.is_none() && it.field.is_none() && protocol(word).is_some() {
            words.take();
            it.protocol = protocol(word);
            // `tcp and ...`: the protocol is the primitive, unless more is said of it.
            let more = words.peek().is_some_and(|w| field(w).is_some() || w == "src" || w == "dst");
            if !more && it.direction.is_none() {
                return Ok(PROTOCOL.test(Relation::Equal, it.protocol.unwrap_or(0).into()));
            }
        } else if let Some(condition) = flag(word) {
            words.take();
            return Ok(condition);
        } else {
            break;
        }
        said = true;
    }
    if !said {
        it = words.last;
    }
    let how = comparison(words);
    let Some(value) =
        words.peek().filter(|w| ![")", "(", "and", "or", "&&", "||", "?", ":", "!", "not"].contains(w))
    else {
        return Err("expected a value".into());
    };
    it.field = it.field.or_else(|| implied_field(words, value));
    words.take();
    let Some(what) = it.field else { return Err(format!("syntax error near '{value}'")) };
    let condition = condition(words, &it, what, how, value)?;
    words.last = it;
    Ok(match it.protocol {
        Some(p) if what != Field::Port && what != Field::TcpOption => {
            let transport = matches!(what, Field::Number(Number { base: Base::Transport, .. }));
            segment(&[p], transport, condition)
        }
        _ => condition,
    })
}

/// Conditions of one word.
fn flag(word: &str) -> Option<Condition> {
    Some(match word {
        "frag" => not(FRAGMENT.test(Relation::Equal, 0)),
        "unfrag" => FRAGMENT.test(Relation::Equal, 0),
        "ect" => Condition::Any(alloc::vec![ECN.test(Relation::Equal, 1), ECN.test(Relation::Equal, 2)]),
        "ce" => ECN.test(Relation::Equal, 3),
        _ => return None,
    })
}

/// What a value without a field is: an address or a network.
fn implied_field(words: &Words<'_>, value: &str) -> Option<Field> {
    if value.contains('/') || value.ends_with(":ipnet") {
        words.names.prefix(value).map(|_| Field::Net)
    } else {
        words.names.ipv4(value).map(|_| Field::Host)
    }
}

/// A condition on the payload of these protocols, in a packet's first fragment if it looks at the transport header.
fn segment(protocols: &[u8], transport: bool, condition: Condition) -> Condition {
    let which = protocols.iter().map(|&p| PROTOCOL.test(Relation::Equal, p.into())).collect();
    let mut all = alloc::vec![Condition::Any(which)];
    if transport {
        all.push(FRAGMENT_OFFSET.test(Relation::Equal, 0));
    }
    all.push(condition);
    Condition::All(all)
}

fn condition(
    words: &mut Words<'_>,
    it: &Primitive,
    what: Field,
    how: Option<Comparison>,
    value: &str,
) -> Result<Condition, String> {
    let equality = |condition: Condition| match how {
        None | Some(Comparison::Equal) => Ok(condition),
        Some(Comparison::Unequal) => Ok(not(condition)),
        _ => Err(format!("only == and != can be used with '{value}'")),
    };
    let how_number = how.unwrap_or(Comparison::Equal);
    match what {
        Field::Host => {
            let address =
                words.names.ipv4(value).ok_or_else(|| format!("expected an IP address, not '{value}'"))?;
            let test = |offset| network(offset, u32::MAX).test(Relation::Equal, u32::from_be_bytes(address));
            equality(directed(it.direction, test(12), test(16)))
        }
        Field::Net => {
            let mut prefix = words.names.prefix(value);
            if words.accept(&["mask"]) {
                let mask = words.take().unwrap_or("");
                prefix = words.names.prefix(&format!("{value}/{mask}"));
            }
            let (address, length) = prefix.ok_or_else(|| format!("expected an IP network, not '{value}'"))?;
            let test = |offset| {
                let (mask, value) = (mask_bits(length), u32::from_be_bytes(address));
                Condition::Test(Test { base: Base::Network, offset, mask, relation: Relation::Equal, value })
            };
            equality(directed(it.direction, test(12), test(16)))
        }
        Field::Port => {
            let side = |mask| {
                let number = Number { names: PORTS, ..transport(0, mask) };
                number.compare_text(how_number, value, "a port", |name| words.names.port(name))
            };
            let ports = directed(it.direction, side(0xffff_0000)?, side(0x0000_ffff)?);
            let protocols: Vec<u8> =
                it.protocol.map_or(alloc::vec![PROTOCOL_TCP, PROTOCOL_UDP], |p| alloc::vec![p]);
            Ok(segment(&protocols, true, ports))
        }
        Field::TcpOption => {
            let bit = TCP_OPTIONS.iter().find(|o| o.0 == value);
            let bit = bit.ok_or_else(|| format!("unknown TCP option '{value}'"))?.1 << 16;
            let set =
                Test { base: Base::Transport, offset: 12, mask: bit, relation: Relation::Equal, value: bit };
            Ok(segment(&[PROTOCOL_TCP], true, equality(Condition::Test(set))?))
        }
        Field::Number(number) => number.compare_text(how_number, value, "a number", |_| None),
    }
}

fn directed(direction: Option<Direction>, source: Condition, destination: Condition) -> Condition {
    match direction {
        Some(Direction::Source) => source,
        Some(Direction::Destination) => destination,
        Some(Direction::Both) => Condition::All(alloc::vec![source, destination]),
        Some(Direction::Either) | None => Condition::Any(alloc::vec![source, destination]),
    }
}

/// `ip[POS:LEN] & MASK == VALUE`
fn data(words: &mut Words<'_>) -> Result<Condition, String> {
    let word = words.take().unwrap_or("");
    let bad = || format!("expected 'PROTO[POS:LEN]', not '{word}'");
    let (header, place) = word.strip_suffix(']').and_then(|w| w.split_once('[')).ok_or_else(bad)?;
    let (position, length) = place.split_once(':').unwrap_or((place, "1"));
    let position = position.parse::<u16>().ok().filter(|&p| p < 2048).ok_or_else(bad)?;
    let mask = match length {
        "1" => 0xff00_0000,
        "2" => 0xffff_0000,
        "4" => 0xffff_ffff,
        _ => return Err(format!("'{word}': the length must be 1, 2 or 4")),
    };
    let mut number = match header {
        "ip" => network(position, mask),
        _ => transport(position, mask),
    };
    let unit = number.mask.trailing_zeros();
    if words.accept(&["&"]) {
        let text = words.take().unwrap_or("");
        let bits =
            parse_number(text).and_then(|m| u32::try_from(m).ok()).filter(|&m| m <= number.most() && m > 0);
        number.mask = bits.ok_or_else(|| format!("expected a mask, not '{text}'"))? << unit;
    }
    let how = comparison(words);
    let text = words.take().ok_or("expected a value")?;
    let value = parse_number(text).and_then(|v| u32::try_from(v).ok());
    let value = value.filter(|&v| (u64::from(v) << unit) <= u64::from(mask));
    let value = value.ok_or_else(|| format!("expected a number, not '{text}'"))?;
    // The value is written in the header's place, not in the mask's.
    let shifted = number.mask.trailing_zeros() - unit;
    let rounded = value >> shifted;
    let condition = match how.unwrap_or(Comparison::Equal) {
        _ if rounded << shifted == value => number.compare(how.unwrap_or(Comparison::Equal), rounded),
        Comparison::Equal => Condition::Constant(false),
        Comparison::Unequal => Condition::Constant(true),
        Comparison::Greater | Comparison::GreaterOrEqual => number.compare(Comparison::Greater, rounded),
        Comparison::Smaller | Comparison::SmallerOrEqual => {
            number.compare(Comparison::SmallerOrEqual, rounded)
        }
    };
    match header {
        "ip" => Ok(condition),
        "transp" => Ok(Condition::All(alloc::vec![FRAGMENT_OFFSET.test(Relation::Equal, 0), condition])),
        _ => Ok(segment(&[protocol(header).ok_or_else(bad)?], true, condition)),
    }
}
