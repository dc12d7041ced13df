//! The expressions of `IPFilter` and `IPClassifier`: primitives joined by `and`, `or`, `not`, `? :` and parentheses.

use super::primitive::{Primitive, parse_primitive};
use crate::args::{Names, text_of, unquote};
use crate::decision::Condition;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Deepest nesting: a guest's stack is small.
const DEPTH: usize = 32;

/// The words of an expression, and how far it has been read.
pub(super) struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
    pub(super) names: &'a Names,
    /// What a bare value continues: `src port 80 or 443`.
    pub(super) last: Primitive,
    /// What is probably not as meant.
    pub(super) warnings: Vec<String>,
}

/// Operators that end a word wherever they stand, longest first.
const OPERATORS: [&str; 17] =
    ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "=", "!", "(", ")", "[", "]", ",", "?", "&"];

fn cut(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for part in text.split_whitespace() {
        let (mut start, mut i) = (0, 0);
        while i < part.len() {
            let Some(operator) = OPERATORS.iter().find(|o| part.as_bytes()[i..].starts_with(o.as_bytes()))
            else {
                i += 1;
                continue;
            };
            if start < i {
                words.push(&part[start..i]);
            }
            words.push(&part[i..i + operator.len()]);
            i += operator.len();
            start = i;
        }
        if start < part.len() {
            words.push(&part[start..]);
        }
    }
    words
}

impl<'a> Words<'a> {
    /// How many have been read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    pub(super) fn peek_behind(&self, n: usize) -> Option<&'a str> {
        self.words.get(self.at + n).copied()
    }

    pub(super) fn take(&mut self) -> Option<&'a str> {
        let word = self.peek();
        self.at += usize::from(word.is_some());
        word
    }

    pub(super) fn skip(&mut self, words: usize) {
        self.at += words;
    }

    pub(super) fn accept(&mut self, words: &[&str]) -> bool {
        let is = self.peek().is_some_and(|w| words.contains(&w));
        self.at += usize::from(is);
        is
    }

    fn expression(&mut self, depth: usize) -> Result<Condition, String> {
        if depth > DEPTH {
            return Err(format!("expression nests deeper than {DEPTH}"));
        }
        let mut any = alloc::vec![self.conjunction(depth)?];
        while self.accept(&["or", "||"]) {
            any.push(self.conjunction(depth)?);
        }
        let condition = one_or(any, Condition::Any);
        if !self.accept(&["?"]) {
            return Ok(condition);
        }
        let yes = self.expression(depth + 1)?;
        if !self.accept(&[":"]) {
            return Err("':' missing in ternary expression".into());
        }
        let no = self.expression(depth + 1)?;
        let opposite = Condition::Not(Box::new(condition.clone()));
        Ok(Condition::Any(alloc::vec![
            Condition::All(alloc::vec![condition, yes]),
            Condition::All(alloc::vec![opposite, no]),
        ]))
    }

    fn conjunction(&mut self, depth: usize) -> Result<Condition, String> {
        let mut all = alloc::vec![self.factor(depth)?];
        loop {
            let and = self.accept(&["and", "&&"]);
            // Two primitives side by side must both hold.
            if !and && self.peek().is_none_or(|w| ["or", "||", ")", "?", ":"].contains(&w)) {
                return Ok(one_or(all, Condition::All));
            }
            all.push(self.factor(depth)?);
        }
    }

    fn factor(&mut self, depth: usize) -> Result<Condition, String> {
        let mut opposite = false;
        while self.accept(&["not", "!"]) {
            opposite = !opposite;
        }
        let condition = match self.peek() {
            None => return Err("missing term".into()),
            Some("(") => {
                self.take();
                let inner = self.expression(depth + 1)?;
                if !self.accept(&[")"]) {
                    return Err("missing ')'".into());
                }
                inner
            }
            Some(_) => parse_primitive(self)?,
        };
        Ok(if opposite { Condition::Not(Box::new(condition)) } else { condition })
    }
}

fn one_or(mut list: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match list.len() {
        1 => list.remove(0),
        _ => many(list),
    }
}

/// Parses a whole expression, and hands what is probably not as meant to `warn`.
pub(super) fn parse(text: &str, names: &Names, warn: &mut dyn FnMut(String)) -> Result<Condition, String> {
    let text = text_of(&unquote(text));
    let last = Primitive::default();
    let mut words = Words { words: cut(&text), at: 0, names, last, warnings: Vec::new() };
    let condition = words.expression(0)?;
    match words.peek() {
        None => words.warnings.into_iter().for_each(warn),
        Some(word) => return Err(format!("garbage after expression at '{word}'")),
    }
    Ok(condition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Places, Program};
    use crate::headers::write_ipv4;
    use std::format;
    use std::string::ToString;

    /// A packet from 1.2.3.4 port 1000 to 10.0.0.2 port 53.
    fn packet(protocol: u8) -> Vec<u8> {
        let mut p = vec![0; 40];
        write_ipv4(&mut p, 40, 7, protocol, [1, 2, 3, 4], [10, 0, 0, 2]);
        p[20..24].copy_from_slice(&[3, 232, 0, 53]);
        p[33] = 0x12;
        p
    }

    fn holds(text: &str, packet: &[u8]) -> bool {
        let condition = parse(text, &Names::default(), &mut drop).unwrap_or_else(|e| panic!("{text}: {e}"));
        Program::new(&[(condition, 0)]).decide(packet, &Places::in_data(0, 20)) == 0
    }

    #[test]
    fn expressions_hold() {
        let (udp, tcp, icmp) = (packet(17), packet(6), packet(1));
        for text in [
            "udp",
            "ip proto 17",
            "ip proto udp",
            "src host 1.2.3.4",
            "host 10.0.0.2",
            "dst net 10.0.0.0/8",
            "net 10.0.0.0 mask 255.0.0.0",
            "1.2.3.4",
            "src 1.2.3.4",
            "dst 10.0.0.0/24",
            "udp port 53",
            "dst port domain",
            "port 53 or 80",
            "src port > 999",
            "src port >= 1000 && dst port <= 53",
            "not tcp",
            "!(tcp or icmp)",
            "tcp or udp and dst port 53",
            "ip vers 4",
            "ip hl 5",
            "ip id 7",
            "ip ttl 250",
            "ip unfrag",
            "not ip frag",
            "ip len 40",
            "ip tos 0",
            "ip dscp 0",
            "src and dst port < 2000",
            "src or dst port 53",
            "ip[0] & 0xf0 == 0x40",
            "ip[2:2] == 40",
            "udp[2:2] = 53",
            "true",
            "all",
            "udp ? dst port 53 : false",
            "src host 9.9.9.9 or 1.2.3.4",
            "udp && dst host 10.0.0.2 && (port 53)",
            "dst udp port 53",
            "udp dst port 1-60",
            "- and any",
            "src host != 10.0.0.2",
            "udp src port 1000 udp dst port 53",
            "udp www or dns",
            "src tcpudp port & 0xff == 0xe8",
            "src & 1.0.0.255 = 1.0.0.4",
            "src host & 255.0.0.0 1.9.9.9",
            "src 1.2.3.4 & 2.0.0.0 = 0.0.0.0",
            "port != 80 and port < 1001",
            "not port != 53",
            "transp[2,3] 53",
            "ip[9,9] & 0x10 > 15",
            "ip[12:3] 0x010203",
            "dest 10.0.0.0/8 && ip ttl > 0 && ip ttl < 500",
            "dst net 10.1.1.1 mask 255.0.0.0",
            "ip proto 6 or 17",
            "src ! host 7.7.7.7",
            "ip id 1-7",
        ] {
            assert!(holds(text, &udp), "{text}");
        }
        for text in [
            "tcp opt syn",
            "tcp opt ack && !tcp opt fin",
            "tcp port 53",
            "port 53",
            "tcp dst port 53",
            "tcp win 0",
            "syn ack",
            "tcp opt 0x12",
            "ip proto tcp && tcp port dns",
        ] {
            assert!(holds(text, &tcp), "{text}");
            assert!(!holds(text, &icmp), "{text}");
        }
        for text in ["icmp type 3", "icmp type unreachable", "icmp"] {
            assert!(holds(text, &icmp), "{text}");
            assert!(!holds(text, &udp), "{text}");
        }
        for text in [
            "false",
            "none",
            "src host 10.0.0.2",
            "dst port > 53",
            "ip frag",
            "ip ttl < 250",
            "ip ce",
            "ip ect",
            "port != 53",
            "tcp www",
            "ip proto != udp",
            "src 1.2.3.4 & 2.0.0.0 = 2.0.0.0",
        ] {
            assert!(!holds(text, &udp), "{text}");
        }
    }

    #[test]
    fn link_layer_addresses_lie_in_front() {
        let frame = [[2, 4, 6, 8, 10, 12].as_slice(), &[1, 3, 5, 7, 9, 11, 8, 0], &packet(17)].concat();
        let holds = |text: &str, link| {
            let program = Program::new(&[(parse(text, &Names::default(), &mut drop).unwrap(), 0)]);
            assert!(program.looks_at_link());
            program.decide(&frame, &Places::in_packet(14, 14, 34, link)) == 0
        };
        for text in
            ["src 1:3:5:7:9:b", "dst ether host 02:04:06:08:0a:0c", "ether host 1:3:5:7:9:b && udp dns"]
        {
            assert!(holds(text, 0) && !holds(text, usize::MAX), "{text}");
        }
        assert!(!holds("src 2:4:6:8:a:c", 0) && !holds("ether 1:3:5:7:9:c", 0));
    }

    #[test]
    fn ports_of_later_fragments_are_not_there() {
        let mut fragment = packet(17);
        fragment[7] = 1;
        assert!(!holds("udp port 53", &fragment) && holds("udp and ip frag", &fragment));
    }

    #[test]
    fn what_a_short_packet_lacks_fails_every_comparison_with_it() {
        let short = &packet(17)[..21];
        for text in [
            "transp[1] & 128 != 0",
            "port != 9",
            "src and dst port != 9",
            "udp src port <= 9",
            "src port 0-9",
        ] {
            assert!(!holds(text, short) && holds(&format!("not ({text})"), short), "{text}");
        }
        assert!(holds("not (transp[1] & 128 == 0)", short) && holds("transp[0] != 4", short));
        assert!(!holds("ip frag", &short[..6]) && !holds("ip ect", &[]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("", "missing term"),
            ("udp and", "missing term"),
            ("(udp", "')'"),
            ("udp )", "garbage after"),
            ("src host", "IP address missing"),
            ("port nonsense", "port number missing"),
            ("300.1.1.1", "300.1.1.1"),
            ("host 300.1.1.1", "IP address missing"),
            ("echo", "'echo' is ambiguous; try 'port echo', 'icmp type echo'"),
            ("ip ttl syn", "'syn' is meaningless; try 'tcp opt syn'"),
            ("src port >", "dangling operator near 'the end'"),
            ("17", "specify header field"),
            ("src", "partial directive"),
            ("icmp port 5", "bad protocol for 'port'"),
            ("tcp udp port 5", "transport protocol specified twice"),
            ("src dst port 5", "'src' or 'dst' specified twice"),
            ("port ttl 5", "type specified twice"),
            ("tcp opt != syn", "tcp opt"),
            ("ip frag 5", "takes no data"),
            ("ip[0", "missing ']'"),
            ("ip[a] 5", "expected '[POS]'"),
            ("ip ttl & 0 5", "bitmask of 0"),
            ("ip ttl & 256 == 5", "mask 0x100 out of range (0-0xFF)"),
            ("ether host 1.2.3.4", "Ethernet address missing"),
            ("bogus", "bogus"),
            ("ip ttl 256", "256"),
            ("udp ? tcp", "':'"),
            ("tcp opt foo", "TCP options missing"),
            ("host > 1.2.3.4", "relational operators"),
            ("ip[0:5] == 1", "between 1 and 4"),
        ] {
            let e = parse(text, &Names::default(), &mut drop).expect_err(text);
            assert!(e.contains(part), "{text}: {e}");
        }
        assert!(parse(&"(".repeat(10_000), &Names::default(), &mut drop).unwrap_err().contains("nests"));
        assert!(parse(&("udp or ".repeat(10_000) + "tcp"), &Names::default(), &mut drop).is_ok());
        assert!(parse(&"not ".repeat(10_001).to_string(), &Names::default(), &mut drop).is_err());
    }
}
