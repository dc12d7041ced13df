//! The primitives of filter expressions: `src host 10.0.0.1`, `udp dst port >= 1024`, `ip ttl < 5`, `ip[9] & 0xf == 1`.
//!
//! A primitive is qualifiers, a mask, an operator and a value, in this order, most of which may be left out: what kind of
//! thing is meant is then known from the value (`www`, `syn`, `10.0.0.0/8`), or from the primitive before.

use super::comparison::{Comparison, Value, not, unlike};
use super::expression::Words;
use super::vocabulary::*;
use crate::args::{ICMP_TYPES, Names, mask_bits, parse_number};
use crate::decision::{Base, Condition, Relation};
use crate::headers::{PROTOCOL_ICMP, PROTOCOL_TCP};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What a primitive is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Primitive {
    direction: Option<Direction>,
    payload: Option<Payload>,
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Source,
    Destination,
    Both,
    Either,
}

/// What a word names, among the kinds that are possible; `Err` if that is several or none of them.
fn named(it: &Primitive, word: &str, names: &Names) -> Result<Option<Value>, String> {
    let is = |protocol| it.payload.is_none_or(|p| p == Payload::Protocol(protocol));
    let ports = it.payload.is_none_or(Payload::has_ports);
    let options = is(PROTOCOL_TCP) || it.payload == Some(Payload::TcpOrUdp);
    let find = |table: &[(&str, u32)]| table.iter().find(|n| n.0 == word).map(|n| n.1);
    let kinds = [
        ("ip proto", Kind::Protocol, find(PROTOCOLS), true),
        ("port", Kind::Port, names.port(word).map(u32::from), ports),
        ("tcp opt", Kind::TcpOption, find(TCP_OPTIONS), options),
        ("icmp type", Kind::Number(ICMP_TYPE), find(ICMP_TYPES), is(PROTOCOL_ICMP)),
    ];
    let known = || kinds.iter().filter_map(|&(text, kind, value, fits)| Some((text, kind, value?, fits)));
    let mut fitting = known().filter(|&(_, kind, _, fits)| fits && it.kind.is_none_or(|k| k == kind));
    match (fitting.next(), fitting.next()) {
        (Some((_, kind, value, _)), None) => Ok(Some(Value::Named(kind, value))),
        (None, _) if known().next().is_none() => Ok(None),
        (first, _) => {
            let what = if first.is_some() { "ambiguous" } else { "meaningless" };
            let try_these: Vec<_> = known().map(|k| format!("'{} {word}'", k.0)).collect();
            Err(format!("'{word}' is {what}; try {}", try_these.join(", ")))
        }
    }
}

fn integer(text: &str) -> Option<u32> {
    parse_number(text).and_then(|v| u32::try_from(v).ok())
}

/// The value that comes next, if one does.
fn value(words: &mut Words<'_>, it: &Primitive) -> Result<Option<Value>, String> {
    let Some(word) = words.peek() else { return Ok(None) };
    let names = words.names;
    let number = |address: [u8; 4]| u32::from_be_bytes(address);
    let net = |(address, length)| Value::Net(number(address), mask_bits(length));
    let value = if let Some(value) = named(it, word, names)? {
        value
    } else if let Some(value) = integer(word) {
        Value::Integer(value)
    } else if let Some((Some(low), Some(high))) = word.split_once('-').map(|(l, h)| (integer(l), integer(h)))
    {
        Value::Range(low, high)
    } else if let Some(address) = names.ipv4(word) {
        let mask = words.peek_behind(2).filter(|_| words.peek_behind(1) == Some("mask"));
        if let Some(mask) = mask.and_then(|m| names.ipv4(m)) {
            words.skip(2);
            Value::Net(number(address), number(mask))
        } else {
            let prefix = names.prefix(word).filter(|_| it.kind == Some(Kind::Net));
            prefix.map_or(Value::Host(number(address)), net)
        }
    } else if let Some(prefix) = names.prefix(word) {
        net(prefix)
    } else if let Some(address) = names.ethernet(word) {
        Value::Ethernet(address)
    } else {
        return Ok(None);
    };
    words.take();
    Ok(Some(value))
}

/// `src`, `dst`, `src and dst`, `src or dst`
fn direction(words: &mut Words<'_>) -> Option<Direction> {
    let is_destination = |word| matches!(word, Some("dst" | "dest"));
    if is_destination(words.peek()) {
        words.skip(1);
        return Some(Direction::Destination);
    }
    words.peek().filter(|w| *w == "src")?;
    let joined = match words.peek_behind(1) {
        Some("and" | "&&") => Direction::Both,
        Some("or" | "||") => Direction::Either,
        _ => Direction::Source,
    };
    let joined = if is_destination(words.peek_behind(2)) { joined } else { Direction::Source };
    words.skip(if joined == Direction::Source { 1 } else { 3 });
    Some(joined)
}

fn set<T: PartialEq>(place: &mut Option<T>, value: T, same: bool, what: &str) -> Result<(), String> {
    if place.as_ref().is_some_and(|old| !same || *old != value) {
        return Err(format!("{what} specified twice"));
    }
    *place = Some(value);
    Ok(())
}

/// Words in front of the value; whether they were negated.
fn qualifiers(words: &mut Words<'_>, it: &mut Primitive) -> Result<bool, String> {
    let mut negated = false;
    while let Some(word) = words.peek() {
        if let Some(d) = direction(words) {
            set(&mut it.direction, d, false, "'src' or 'dst'")?;
            continue;
        }
        if let Some((k, protocol)) = kind(word) {
            // `ether host`
            if (it.kind, k) != (Some(Kind::Ethernet), Kind::Host) {
                set(&mut it.kind, k, false, "type")?;
            }
            if let Some(protocol) = protocol {
                set(&mut it.payload, Payload::Protocol(protocol), true, "transport protocol")?;
            }
        } else if let Some(p) = payload(word) {
            set(&mut it.payload, p, true, "transport protocol")?;
        } else {
            match word {
                "ether" => set(&mut it.kind, Kind::Ethernet, false, "type")?,
                "not" | "!" => negated = !negated,
                "ip" => {}
                _ => break,
            }
        }
        words.take();
    }
    Ok(negated)
}

/// `[POSITION]`, `[POSITION:LENGTH]`, `[FIRST,LAST]`: bytes of a header.
fn bytes(words: &mut Words<'_>, base: Base) -> Result<Number, String> {
    words.take();
    let mut text = String::new();
    while !words.accept(&["]"]) {
        text += words.take().ok_or("missing ']'")?;
    }
    let (first, length) = match (text.split_once(':'), text.split_once(',')) {
        (Some((first, length)), _) => (integer(first), integer(length)),
        (_, Some((first, last))) => {
            let first = integer(first);
            (first, integer(last).zip(first).map(|(last, first)| last.wrapping_sub(first).wrapping_add(1)))
        }
        _ => (integer(&text), Some(1)),
    };
    let syntax = "syntax error after '[', expected '[POS]' or '[POS:LEN]'";
    let (first, length) = first.zip(length).ok_or(syntax)?;
    if !(1..=4).contains(&length) {
        return Err("LEN in '[POS:LEN]' out of range, should be between 1 and 4".into());
    }
    let offset = u16::try_from(first).ok().filter(|&p| p < 2048).ok_or("POS in '[POS:LEN]' out of range")?;
    Ok(Number { base, offset, mask: u32::MAX << (32 - 8 * length) })
}

fn comparison(words: &mut Words<'_>) -> Result<(Comparison, bool), String> {
    let mut mask = None;
    if words.peek() == Some("&")
        && let Some(word) = words.peek_behind(1)
        && let Some(bits) = integer(word).or_else(|| words.names.ipv4(word).map(u32::from_be_bytes))
    {
        words.skip(2);
        mask = Some(bits);
        if bits == 0 {
            return Err("bitmask of 0".into());
        }
    }
    let operators = ["=", "!=", ">", "<", ">=", "<="];
    let word = words.peek().map(|w| if w == "==" { "=" } else { w });
    let operator = operators.into_iter().find(|o| Some(*o) == word);
    words.skip(operator.is_some().into());
    Ok((Comparison { operator: operator.unwrap_or("="), mask }, operator.is_some()))
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
    let start = words.at();
    let mut it = Primitive::default();
    let negated = qualifiers(words, &mut it)?;
    let before = if words.at() == start { words.last } else { Primitive::default() };
    if words.at() != start && it.kind.is_none() && words.peek() == Some("[") {
        let base = if it.payload.is_some() { Base::Transport } else { Base::Network };
        it.kind = Some(Kind::Number(bytes(words, base)?));
    }
    let (how, operator) = comparison(words)?;
    let near = words.peek().unwrap_or("the end");
    let value = value(words, &it)?;
    if value.is_none() && operator {
        return Err(format!("dangling operator near '{near}'"));
    }
    if words.at() == start {
        return Err(format!("empty term near '{near}'"));
    }
    it.complete(before, value)?;
    let condition = it.condition(how, value)?;
    // A guest's image has no room for it; whoever wrote the configuration was told before.
    if cfg!(feature = "host") {
        words.warnings.extend(it.always(how, value));
    }
    words.last = it;
    Ok(if negated { not(condition) } else { condition })
}

impl Primitive {
    /// Finds out what was not said: from the value, or from the primitive before.
    fn complete(&mut self, before: Primitive, value: Option<Value>) -> Result<(), String> {
        let kind = match (self.kind, value) {
            // `host` with an Ethernet address
            (Some(Kind::Host), Some(Value::Ethernet(_))) => Kind::Ethernet,
            (Some(kind), _) => kind,
            (None, Some(Value::Host(_))) => Kind::Host,
            (None, Some(Value::Net(..))) => Kind::Net,
            (None, Some(Value::Ethernet(_))) => Kind::Ethernet,
            (None, Some(Value::Named(kind, _))) => kind,
            (None, Some(Value::Integer(_) | Value::Range(..))) => match before.kind {
                Some(kind @ (Kind::Number(_) | Kind::Protocol | Kind::Port)) => kind,
                _ => return Err("specify header field or 'port'".into()),
            },
            (None, None) if self.payload.is_some() => Kind::Protocol,
            (None, None) => return Err("partial directive".into()),
        };
        if self.kind.is_none() {
            match kind {
                Kind::Port => self.payload = self.payload.or(before.payload),
                // The only numbers that names are of.
                Kind::Number(_) if matches!(value, Some(Value::Named(..))) => {
                    self.payload = Some(Payload::Protocol(PROTOCOL_ICMP));
                }
                Kind::Number(_) => self.payload = self.payload.or(before.payload),
                _ => {}
            }
            if kind != Kind::Protocol {
                self.direction = self.direction.or(before.direction);
            }
        }
        self.kind = Some(kind);
        match kind {
            Kind::Port if self.payload.is_some_and(|p| !p.has_ports()) => {
                return Err("bad protocol for 'port' directive".into());
            }
            Kind::Port => self.payload = self.payload.or(Some(Payload::TcpOrUdp)),
            Kind::TcpOption if self.payload.is_some_and(|p| p != Payload::Protocol(PROTOCOL_TCP)) => {
                return Err("bad protocol for 'tcp opt' directive".into());
            }
            Kind::TcpOption => self.payload = Some(Payload::Protocol(PROTOCOL_TCP)),
            _ => {}
        }
        Ok(())
    }

    /// Both sides of a packet as the direction says, or the opposite.
    fn directed(&self, how: Comparison, source: Condition, destination: Condition) -> Condition {
        let condition = match self.direction {
            Some(Direction::Source) => source,
            Some(Direction::Destination) => destination,
            Some(Direction::Both) => Condition::All(alloc::vec![source, destination]),
            Some(Direction::Either) | None => Condition::Any(alloc::vec![source, destination]),
        };
        if how.negated() { unlike(condition) } else { condition }
    }

    /// What to say of a comparison that no value of the field decides.
    fn always(&self, how: Comparison, value: Option<Value>) -> Option<String> {
        let most = match self.kind? {
            Kind::Protocol => PROTOCOL.most(),
            Kind::Port => 0xffff,
            Kind::Ect => ECN.most(),
            Kind::Number(number) => number.most(),
            _ => return None,
        };
        let (Value::Integer(value) | Value::Named(_, value)) = value? else { return None };
        let mask = how.mask.unwrap_or(most);
        let holds = match how.operator {
            "<" | ">=" if value == 0 => how.operator == ">=",
            "<" | ">=" if value > mask => how.operator == "<",
            ">" | "<=" if value >= mask => how.operator == "<=",
            _ => return None,
        };
        Some(format!("relation '{} {value}' is always {holds} (range 0-{mask})", how.operator))
    }

    fn condition(&self, how: Comparison, value: Option<Value>) -> Result<Condition, String> {
        let equality = |what: &str| {
            if how.equality() { Ok(()) } else { Err(format!("can't use relational operators with '{what}'")) }
        };
        let alone =
            |what: &str| if value.is_some() { Err(format!("'{what}' takes no data")) } else { Ok(()) };
        let plain = |condition| if how.negated() { unlike(condition) } else { condition };
        let address = |mask: u32, value: u32| {
            let test = |offset| network(offset, mask).test(Relation::Equal, value);
            self.directed(how, test(12), test(16))
        };
        let condition = match self.kind.unwrap_or(Kind::Protocol) {
            Kind::Host => {
                equality("host")?;
                let Some(Value::Host(host)) = value else {
                    return Err("IP address missing in 'host' directive".into());
                };
                address(how.mask.unwrap_or(u32::MAX), host)
            }
            Kind::Net => {
                equality("net")?;
                let Some(Value::Net(net, mask)) = value else {
                    return Err("IP prefix missing in 'net' directive".into());
                };
                address(how.mask.unwrap_or(mask), net)
            }
            Kind::Ethernet => {
                equality("ether")?;
                let Some(Value::Ethernet(mac)) = value else {
                    return Err("Ethernet address missing in 'ether' directive".into());
                };
                let [a, b, c, d, e, f] = mac;
                let part = |offset, mask, bytes| {
                    Number { base: Base::Link, offset, mask }.test(Relation::Equal, u32::from_be_bytes(bytes))
                };
                let is = |at| {
                    Condition::All(alloc::vec![
                        part(at, u32::MAX, [a, b, c, d]),
                        part(at + 2, 0xffff, [c, d, e, f])
                    ])
                };
                self.directed(how, is(ETHERNET_SOURCE), is(ETHERNET_DESTINATION))
            }
            Kind::Protocol => match (value, self.payload) {
                (Some(Value::Integer(p) | Value::Named(_, p)), None) => plain(PROTOCOL.compare(how, p)?),
                (Some(value @ Value::Range(..)), None) => PROTOCOL.compare_value(how, value)?,
                (None, Some(payload)) => plain(payload.condition()),
                (Some(_), Some(_)) => return Err("transport protocol specified twice".into()),
                _ => return Err("IP protocol missing in 'proto' directive".into()),
            },
            Kind::Port => {
                let value = match value {
                    Some(Value::Named(_, port)) => Value::Integer(port),
                    Some(value @ (Value::Integer(_) | Value::Range(..))) => value,
                    _ => return Err("port number missing in 'port' directive".into()),
                };
                let side = |mask| transport(0, mask).compare_value(how, value);
                self.directed(how, side(0xffff_0000)?, side(0x0000_ffff)?)
            }
            Kind::TcpOption => {
                let Some(Value::Integer(flags) | Value::Named(_, flags)) = value else {
                    return Err("TCP options missing in 'tcp opt' directive".into());
                };
                if how.operator != "=" || how.mask.is_some() {
                    return Err("can't use relational operators or masks with 'tcp opt'".into());
                }
                TCP_FLAGS.compare(Comparison { mask: Some(flags), ..how }, flags)?
            }
            Kind::Fragment => {
                alone("ip frag")?;
                unlike(FRAGMENT.is(0))
            }
            Kind::Unfragmented => {
                alone("ip unfrag")?;
                plain(FRAGMENT.is(0))
            }
            Kind::Ect => match value {
                None => unlike(ECN.is(0)),
                Some(value) => plain(ECN.compare_value(how, value)?),
            },
            Kind::Ce => {
                alone("ip ce")?;
                plain(ECN.is(3))
            }
            Kind::Number(number) => {
                let value = match value {
                    Some(Value::Named(_, value)) => Value::Integer(value),
                    Some(value @ (Value::Integer(_) | Value::Range(..))) => value,
                    _ => return Err("value missing in directive on a header field".into()),
                };
                plain(number.compare_value(how, value)?)
            }
        };
        Ok(self.in_payload(condition))
    }

    /// A condition on what the packet carries, and on its first fragment if it looks at the transport header.
    fn in_payload(&self, condition: Condition) -> Condition {
        let mut all = Vec::new();
        if matches!(
            self.kind,
            Some(Kind::Port | Kind::TcpOption | Kind::Number(Number { base: Base::Transport, .. }))
        ) {
            all.push(FRAGMENT_OFFSET.is(0));
        }
        if self.kind != Some(Kind::Protocol) {
            all.extend(self.payload.map(Payload::condition));
        }
        if all.is_empty() {
            return condition;
        }
        all.push(condition);
        Condition::All(all)
    }
}
