//! The one parser of elements' arguments: positional first, keywords anywhere, all refused in the same words.

pub(crate) mod services;
mod values;

use crate::element::{DeviceFacts, Nanos};
use crate::lang::lexer::{comment_end, data_digits, data_end, line_end, string_end};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
pub use services::ICMP_TYPES;
pub use values::*;

/// Cuts a configuration string at its top-level commas, without comments and outer white space. An argument that is
/// empty at the very end does not count.
#[inline(never)]
pub fn split(config: &str) -> Vec<&str> {
    let bytes = config.as_bytes();
    let mut arguments = Vec::new();
    let (mut start, mut i, mut depth) = (0, 0, 0usize);
    while i < bytes.len() {
        match bytes[i] {
            b'"' | b'\'' => i = string_end(bytes, i),
            b'\\' if bytes.get(i + 1) == Some(&b'<') => i = data_end(bytes, i),
            b'#' if i > 0 && bytes[i - 1] == b'\n' => i = line_end(bytes, i),
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                arguments.push(tidy(&config[start..i]));
                start = i + 1;
            }
            b'/' if let Some(end) = comment_end(bytes, i) => i = end,
            _ => {}
        }
        i += 1;
    }
    let last = tidy(config.get(start..).unwrap_or(""));
    if !last.is_empty() || !arguments.is_empty() {
        arguments.push(last);
    }
    if arguments.last().is_some_and(|a| a.is_empty()) {
        arguments.pop();
    }
    arguments
}

/// Cuts a text at white space outside of quotes and `\\<data>`.
pub fn words(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut words, mut start, mut i) = (Vec::new(), None, 0);
    while i < bytes.len() {
        let from = i;
        match bytes[i] {
            b'"' | b'\'' => i = string_end(bytes, i),
            b'\\' if bytes.get(i + 1) == Some(&b'<') => i = data_end(bytes, i),
            b if b.is_ascii_whitespace() => {
                words.extend(start.take().and_then(|s: usize| text.get(s..from)));
                i += 1;
                continue;
            }
            _ => {}
        }
        start.get_or_insert(from);
        i += 1;
    }
    words.extend(start.and_then(|s| text.get(s..)));
    words
}

/// Without comments, lines that begin with `#`, and white space at either end.
fn tidy(text: &str) -> &str {
    let bytes = text.as_bytes();
    let (mut first, mut end, mut i) = (None, 0, 0);
    while i < bytes.len() {
        let marked = bytes[i] == b'#' && i > 0 && bytes[i - 1] == b'\n';
        if let Some(last) = if marked { Some(line_end(bytes, i)) } else { comment_end(bytes, i) } {
            i = last + 1;
            continue;
        }
        if !bytes[i].is_ascii_whitespace() {
            first = first.or(Some(i));
            if matches!(bytes[i], b'"' | b'\'') {
                i = string_end(bytes, i);
            } else if bytes[i..].starts_with(b"\\<") {
                i = data_end(bytes, i);
            }
            end = (i + 1).min(bytes.len());
        }
        i += 1;
    }
    first.and_then(|first| text.get(first..end)).unwrap_or("")
}

/// Names for addresses: what `AddressInfo` and the devices define.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// One map for all that a name can mean: each map takes room in guests.
    named: BTreeMap<String, Named>,
    /// Those of the surroundings, for what is not defined here.
    outer: Option<Arc<Names>>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, Default)]
struct Named {
    ipv4: Option<[u8; 4]>,
    prefix: Option<([u8; 4], u8)>,
    ethernet: Option<[u8; 6]>,
    port: Option<u16>,
    /// The router behind a device.
    gateway: Option<[u8; 4]>,
}

/// Names as they are known at each place: those of a compound element's inside there, and all of its surroundings.
#[derive(Clone)]
pub(crate) struct NamesByPlace(BTreeMap<String, Arc<Names>>);

impl NamesByPlace {
    /// Those known everywhere.
    pub(crate) fn new(everywhere: Names) -> Self {
        Self(BTreeMap::from([(String::new(), Arc::new(everywhere))]))
    }

    /// The compound that an element stands in.
    fn place(element: &str) -> &str {
        element.rsplit_once('/').map_or("", |(place, _)| place)
    }

    /// Names that an element knows.
    pub(crate) fn of(&self, element: &str) -> &Arc<Names> {
        let mut place = Self::place(element);
        loop {
            match self.0.get(place) {
                Some(names) => return names,
                None => place = Self::place(place),
            }
        }
    }

    /// Does something to the names that are defined where an element stands. Those of its surroundings must all be there.
    pub(crate) fn define<R>(&mut self, element: &str, define: impl FnOnce(&mut Names) -> R) -> R {
        let place = Self::place(element);
        let mut names = match self.0.remove(place) {
            Some(names) => Arc::unwrap_or_clone(names),
            None => Names { outer: Some(self.of(element).clone()), ..Names::default() },
        };
        let result = define(&mut names);
        self.0.insert(place.to_string(), Arc::new(names));
        result
    }
}

impl Names {
    /// What a name means here, or in the surroundings.
    fn find<T>(&self, name: &str, meaning: fn(&Named) -> Option<T>) -> Option<T> {
        let mut names = self;
        loop {
            match (names.named.get(name).and_then(meaning), &names.outer) {
                (None, Some(outer)) => names = outer,
                (value, _) => return value,
            }
        }
    }

    /// What a name stands for here.
    #[inline(never)]
    fn here(&mut self, name: &str) -> &mut Named {
        self.named.entry(name.to_string()).or_default()
    }

    /// Defines a device's addresses under its name.
    pub fn device(&mut self, name: &str, facts: &DeviceFacts) {
        let named = self.here(name);
        named.ethernet = Some(facts.mac);
        named.gateway = facts.gateway.or(named.gateway);
        if let Some((address, length)) = facts.ipv4 {
            named.ipv4 = Some(address);
            named.prefix = Some((mask(address, length), length));
        }
    }

    /// Defines one more address for a name, as `AddressInfo` writes it.
    pub fn define(&mut self, name: &str, text: &str) -> Result<(), String> {
        if let Some(mac) = parse_ethernet(text) {
            self.here(name).ethernet = Some(mac);
        } else if let Some(address) = parse_ipv4(text) {
            self.here(name).ipv4 = Some(address);
        } else if let Some((address, length)) = parse_prefix(text) {
            let named = self.here(name);
            if mask(address, length) != address {
                named.ipv4 = Some(address);
            }
            named.prefix = Some((mask(address, length), length));
        } else {
            return Err(format!("\"{text}\" is not an address"));
        }
        Ok(())
    }

    /// Defines a port, as an argument of `PortInfo` writes it, and a line of services(5): `NAME PORT`,
    /// `NAME PORT/tcp OTHER_NAME... # comment`.
    pub fn define_port(&mut self, argument: &str) -> Result<(), String> {
        let text = argument.split('#').next().unwrap_or("");
        let mut words = text.split_whitespace();
        let Some(name) = words.next() else { return Ok(()) };
        let port = words.next().and_then(|port| {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            let number = parse_number(number)?.try_into().ok()?;
            ["tcp", "udp"].contains(&protocol).then_some(number)
        });
        let number = port.ok_or_else(|| format!("expected 'NAME PORT', not '{argument}'"))?;
        for name in core::iter::once(name).chain(words) {
            self.here(name).port = Some(number);
        }
        Ok(())
    }

    /// The port of a name: of a `PortInfo`, or of a well-known service.
    pub fn port(&self, name: &str) -> Option<u16> {
        let known = || services::PORTS.iter().find(|(service, _)| *service == name);
        self.find(name, |n| n.port).or_else(|| known().and_then(|(_, port)| (*port).try_into().ok()))
    }

    /// Defines the addresses of one argument of `AddressInfo`: `NAME ADDRESS ...`.
    pub fn define_all(&mut self, argument: &str) -> Result<(), String> {
        let mut words = argument.split_whitespace();
        let name = words.next().unwrap_or("");
        let mut any = false;
        for word in words {
            // An address can be another one's name, device's included.
            let ethernet =
                self.ethernet(word).filter(|_| !word.ends_with(":ip") && !word.ends_with(":ipnet"));
            match (ethernet, self.find(word.trim_end_matches(":ip"), |n| n.ipv4)) {
                _ if self.define(name, word).is_ok() => {}
                (None, Some(address)) => self.here(name).ipv4 = Some(address),
                (Some(mac), _) => self.here(name).ethernet = Some(mac),
                _ => return Err(format!("'{word}' is not an address")),
            }
            any = true;
        }
        if any { Ok(()) } else { Err(format!("expected 'NAME ADDRESS...', not '{argument}'")) }
    }

    /// An IPv4 address, literal or by name (`name`, `name:ip`; `name:bcast`: the last of the name's network; `name:gw`: the
    /// router behind a device).
    #[inline(never)]
    pub fn ipv4(&self, text: &str) -> Option<[u8; 4]> {
        if let Some(name) = text.strip_suffix(":bcast") {
            return self.find(name, |n| n.prefix).map(|(address, length)| last(address, length));
        }
        if let Some(name) = text.strip_suffix(":gw") {
            return self.find(name, |n| n.gateway);
        }
        let name = text.strip_suffix(":ip").or_else(|| text.strip_suffix(":ip4")).unwrap_or(text);
        parse_ipv4(text).or_else(|| self.find(name, |n| n.ipv4))
    }

    /// An IPv4 prefix, literal or by name (`name`, `name:ipnet`).
    #[inline(never)]
    pub fn prefix(&self, text: &str) -> Option<([u8; 4], u8)> {
        let name = text.strip_suffix(":ipnet").unwrap_or(text);
        let host = || self.ipv4(text).map(|a| (a, 32));
        if let Some((address, length)) = text.rsplit_once('/')
            && let (Some(a), Ok(l)) = (self.ipv4(address), length.parse::<u8>())
        {
            return (l <= 32).then_some((mask(a, l), l));
        }
        let named = self.find(name, |n| n.prefix);
        parse_prefix(text)
            .map(|(a, l)| (mask(a, l), l))
            .or_else(|| if text.ends_with(":ipnet") { named } else { host().or(named) })
    }

    /// An Ethernet address, literal or by name (`name`, `name:eth`).
    #[inline(never)]
    pub fn ethernet(&self, text: &str) -> Option<[u8; 6]> {
        let name = text.strip_suffix(":eth").unwrap_or(text);
        parse_ethernet(text).or_else(|| self.find(name, |n| n.ethernet))
    }
}

/// The last address of an address's network: its broadcast address.
pub fn last(address: [u8; 4], length: u8) -> [u8; 4] {
    (u32::from_be_bytes(address) | !mask_bits(length)).to_be_bytes()
}

/// The network part of an address.
pub fn mask(address: [u8; 4], length: u8) -> [u8; 4] {
    (u32::from_be_bytes(address) & mask_bits(length)).to_be_bytes()
}

/// The mask of a prefix length, host order.
pub fn mask_bits(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0)
}

fn parse_ipv4(text: &str) -> Option<[u8; 4]> {
    text.parse::<core::net::Ipv4Addr>().ok().map(|a| a.octets())
}

fn parse_prefix(text: &str) -> Option<([u8; 4], u8)> {
    let (address, length) = text.split_once('/')?;
    // `10/8`: what is left out is 0.
    let mut bytes = address.split('.').map(|part| part.parse::<u8>().ok());
    let mut address = [0; 4];
    for byte in &mut address {
        match bytes.next() {
            Some(part) => *byte = part?,
            None => break,
        }
    }
    if bytes.next().is_some() {
        return None;
    }
    if let Some(m) = parse_ipv4(length) {
        let m = u32::from_be_bytes(m);
        return (m.leading_ones() + m.trailing_zeros() == 32 || m == 0)
            .then_some((address, m.leading_ones() as u8));
    }
    length.parse::<u8>().ok().filter(|&l| l <= 32).map(|l| (address, l))
}

fn parse_ethernet(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|p| (1..=2).contains(&p.len()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// An unsigned number as Click writes it: decimal, `0x` hexadecimal, `0` octal.
#[inline(never)]
pub fn parse_number(text: &str) -> Option<u64> {
    let parse = |digits: &str, base| {
        (!digits.starts_with(['+', '-'])).then(|| u64::from_str_radix(digits, base).ok()).flatten()
    };
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return parse(hex, 16);
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => parse(octal, 8),
        _ => parse(text, 10),
    }
}

/// A decimal number with a fraction, in billionths.
fn parse_billionths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if (whole.is_empty() && fraction.is_empty()) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits: String = fraction.chars().chain(core::iter::repeat('0')).take(9).collect();
    whole.checked_mul(1_000_000_000)?.checked_add(digits.parse().ok()?)
}

fn with_unit(text: &str, units: &[(&str, u64)], plain: u64) -> Option<u64> {
    let end = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..end].trim(), text[end..].trim());
    let factor =
        if unit.is_empty() { plain } else { units.iter().find(|u| u.0.eq_ignore_ascii_case(unit))?.1 };
    u64::try_from(u128::from(parse_billionths(number)?) * u128::from(factor) / 1_000_000_000).ok()
}

/// A time: seconds, or with a unit.
#[inline(never)]
pub fn parse_time(text: &str) -> Option<Nanos> {
    let units = [
        ("s", 1_000_000_000),
        ("sec", 1_000_000_000),
        ("ms", 1_000_000),
        ("msec", 1_000_000),
        ("us", 1000),
        ("usec", 1000),
        ("ns", 1),
        ("nsec", 1),
        ("m", 60_000_000_000),
        ("min", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    with_unit(text, &units, 1_000_000_000)
}

/// A bandwidth in bytes a second: a plain number, or bits (`kbps`, `Mbps`, `Gbps`), or bytes (`kBps`, `MBps`).
fn parse_bandwidth(text: &str) -> Option<u64> {
    let end = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let unit = text[end..].trim();
    let unit = unit.strip_suffix("ps").or_else(|| unit.strip_suffix("/s")).unwrap_or(unit);
    let (scale, bits) = match unit {
        "" | "B" | "baud" => (1, false),
        "b" => (1, true),
        "kb" | "Kb" => (1000, true),
        "Mb" => (1_000_000, true),
        "Gb" => (1_000_000_000, true),
        "kB" | "KB" => (1000, false),
        "MB" => (1_000_000, false),
        "GB" => (1_000_000_000, false),
        _ => return None,
    };
    let bytes = with_unit(&text[..end], &[], scale)?;
    Some(if bits { bytes / 8 } else { bytes })
}

/// Text with its quotes taken off and escapes replaced; `\<hex>` gives bytes.
#[inline(never)]
pub fn unquote(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let (mut i, mut quote) = (0, 0u8);
    while i < bytes.len() {
        let b = bytes[i];
        match b {
            b'"' | b'\'' if quote == 0 => quote = b,
            _ if b == quote && quote != 0 => quote = 0,
            b'\\' if i + 1 < bytes.len() && (quote == b'"' || bytes[i + 1] == b'<') => {
                i += 1;
                match bytes[i] {
                    b'<' => {
                        let mut high = None;
                        i = data_digits(bytes, i - 1, &mut |digit| match high.take() {
                            Some(high) => out.push(high << 4 | digit),
                            None => high = Some(digit),
                        });
                        out.extend(high.map(|high| high << 4));
                    }
                    b'n' => out.push(b'\n'),
                    b't' => out.push(b'\t'),
                    b'r' => out.push(b'\r'),
                    b'0' => out.push(0),
                    other => out.push(other),
                }
            }
            _ => out.push(b),
        }
        i += 1;
    }
    out
}

/// The first of 256 characters of private use that stand for bytes in a text which is not UTF-8.
const RAW: u32 = 0x10_ff00;

/// A byte as a character: one that stands for itself, or one of private use.
pub fn raw(byte: u8) -> char {
    if byte.is_ascii() { byte.into() } else { char::from_u32(RAW + u32::from(byte)).unwrap_or('?') }
}

/// Bytes as text: what is not UTF-8 in it is kept by characters of private use.
pub fn text_of(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out += chunk.valid();
        out.extend(chunk.invalid().iter().copied().map(raw));
    }
    out
}

/// A text's bytes, as [`text_of`] had them.
pub fn bytes_of(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    // All characters of private use begin with this byte.
    while let Some(at) = rest.bytes().position(|b| b == 0xf4) {
        let (before, behind) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let Some(c) = behind.chars().next() else { break };
        match u32::from(c).checked_sub(RAW).and_then(|b| u8::try_from(b).ok()) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(&behind.as_bytes()[..c.len_utf8()]),
        }
        rest = &behind[c.len_utf8()..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// One argument as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its text, quotes and all.
    pub text: String,
    /// Where it begins in the configuration string.
    pub at: usize,
}

/// What is wrong with an argument, and where: bytes of the configuration string.
pub type ArgumentError = (String, Option<core::ops::Range<usize>>);

/// An element's arguments. Take what the element knows; the rest is refused when all is taken.
pub struct Args<'a> {
    positional: alloc::collections::VecDeque<Word>,
    keywords: Vec<(String, Word)>,
    known: &'a [&'a str],
    /// Names for addresses.
    pub names: &'a Names,
    /// How many inputs the element has.
    pub inputs: usize,
    /// How many outputs.
    pub outputs: usize,
    errors: Vec<ArgumentError>,
    warnings: Vec<String>,
}

/// A keyword is a capital word followed by its value.
pub(crate) fn keyword(argument: &str) -> Option<(&str, &str)> {
    let end = argument.find(char::is_whitespace)?;
    let word = &argument[..end];
    let capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    (word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(capital))
        .then(|| (word, argument[end..].trim()))
}

// Constructors of all elements call these: inlined, they would be a tenth of a guest's image.
impl<'a> Args<'a> {
    /// The arguments of a configuration string. `known`: the element's keywords.
    pub fn new(
        config: &str,
        known: &'a [&'a str],
        names: &'a Names,
        (inputs, outputs): (usize, usize),
    ) -> Self {
        let mut args = Self {
            positional: Default::default(),
            keywords: Vec::new(),
            known,
            names,
            inputs,
            outputs,
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        // An empty part may lie nowhere in the text.
        let at = |part: &str| (part.as_ptr() as usize).checked_sub(config.as_ptr() as usize);
        let place = |part: &str| Word {
            text: part.to_string(),
            at: at(part).filter(|&at| at <= config.len()).unwrap_or(0),
        };
        for argument in split(config) {
            match keyword(argument).filter(|k| known.contains(&k.0)) {
                Some((word, value)) => args.keywords.push((word.to_string(), place(value))),
                None => args.positional.push_back(place(argument)),
            }
        }
        args
    }

    #[inline(never)]
    fn take(&mut self, name: &str, positional: bool) -> Option<Word> {
        if let Some(at) = self.keywords.iter().position(|k| k.0 == name) {
            return Some(self.keywords.remove(at).1);
        }
        if positional { self.positional.pop_front() } else { None }
    }

    /// Notes an error of the element's own.
    #[inline(never)]
    pub fn error(&mut self, message: impl Into<String>) {
        self.errors.push((message.into(), None));
    }

    /// Notes something that is probably not as meant.
    #[inline(never)]
    pub fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    /// Takes what was noted so.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        core::mem::take(&mut self.warnings)
    }

    /// Notes an error in one argument.
    #[inline(never)]
    pub fn error_in(&mut self, word: &Word, message: impl Into<String>) {
        self.errors.push((message.into(), Some(word.at..word.at + word.text.len())));
    }

    #[inline(never)]
    fn parsed<T: Argument>(&mut self, name: &str, word: &Word) -> Option<T> {
        let value = T::parse(&word.text, self.names);
        if value.is_none() && !self.bad_keyword(word) {
            self.error_in(word, format!("{name}: expected {}, not '{}'", T::WHAT, shortened(&word.text)));
        }
        value
    }

    /// Notes that an argument begins with a word that looks like a keyword and is none.
    fn bad_keyword(&mut self, word: &Word) -> bool {
        let Some((bad, _)) = keyword(&word.text) else { return false };
        let message = match self.known {
            [] => format!("bad keyword {bad}: no keywords are valid here"),
            known => format!("bad keyword {bad} (valid keywords are {})", known.join(" ")),
        };
        self.error_in(word, message);
        true
    }

    /// A keyword argument.
    #[inline(never)]
    pub fn key<T: Argument>(&mut self, name: &str) -> Option<T> {
        let word = self.take(name, false)?;
        self.parsed(name, &word)
    }

    /// An argument that may stand at the next position, or under its keyword, or be missing.
    #[inline(never)]
    pub fn next<T: Argument>(&mut self, name: &str) -> Option<T> {
        let word = self.take(name, true)?;
        self.parsed(name, &word)
    }

    /// Whether a keyword is given.
    pub fn has(&self, name: &str) -> bool {
        self.keywords.iter().any(|k| k.0 == name)
    }

    /// An argument that may stand at the next position, or under one of several keywords, or be missing.
    #[inline(never)]
    pub fn either<T: Argument>(&mut self, names: &[&str]) -> Option<T> {
        let given = names.iter().find(|n| self.has(n));
        self.next(given.or(names.first())?)
    }

    /// What a keyword means that is not given.
    pub fn otherwise(&mut self, name: &str, value: &str) {
        if !self.has(name) {
            self.keywords.push((name.to_string(), Word { text: value.to_string(), at: 0 }));
        }
    }

    /// Takes the argument of one keyword for that of another.
    pub fn rename(&mut self, from: &str, to: &str) {
        self.keywords.iter_mut().filter(|k| k.0 == from).for_each(|k| k.0 = to.to_string());
    }

    /// Takes the next positional argument for that of a keyword.
    pub fn positional_as(&mut self, name: &str) {
        if !self.has(name)
            && let Some(word) = self.positional.pop_front()
        {
            self.keywords.push((name.to_string(), word));
        }
    }

    /// An argument that is accepted and means nothing here.
    #[inline(never)]
    pub fn ignored(&mut self, name: &str) {
        self.take(name, false);
    }

    /// An argument that must be there. When it is not, that is noted, and `T::default()` stands in.
    #[inline(never)]
    pub fn required<T: Argument + Default>(&mut self, name: &str) -> T {
        match self.take(name, true) {
            Some(word) => self.parsed(name, &word).unwrap_or_default(),
            None => {
                self.error(format!("missing mandatory {name} argument"));
                T::default()
            }
        }
    }

    /// Positional arguments that are left.
    pub fn positional(&self) -> impl Iterator<Item = &str> {
        self.positional.iter().map(|word| word.text.as_str())
    }

    /// How many positional arguments are left.
    pub fn left(&self) -> usize {
        self.positional.len()
    }

    /// All positional arguments that are left, and those under a keyword that may come more than once.
    #[inline(never)]
    pub fn rest(&mut self) -> Vec<Word> {
        self.positional.drain(..).collect()
    }

    /// The first error, if the arguments were not all used or are not right.
    #[inline(never)]
    pub fn finish(mut self) -> Vec<ArgumentError> {
        if let Some(word) = self.positional.pop_front().filter(|word| !self.bad_keyword(word)) {
            let message = format!("too many arguments: '{}' is left over", shortened(&word.text));
            self.error_in(&word, message);
        }
        for (name, word) in core::mem::take(&mut self.keywords) {
            self.error_in(&word, format!("keyword {name} is given twice, or means nothing here"));
        }
        self.errors
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short += "...";
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_cut_at_top_level_commas() {
        assert_eq!(split("a, b(c, d) // x, y\n, \"e, f\" /* , */, "), ["a", "b(c, d)", "\"e, f\""]);
        assert!(split("  ").is_empty());
        assert_eq!(split("a,,b"), ["a", "", "b"]);
    }

    #[test]
    fn numbers_times_and_bandwidths_have_their_units() {
        assert_eq!(parse_number("0x1F"), Some(31));
        assert_eq!(parse_number("017"), Some(15));
        assert_eq!(parse_time("1.5ms"), Some(1_500_000));
        assert_eq!(parse_time(".25"), Some(250_000_000));
        assert_eq!(parse_bandwidth("8Mbps"), Some(1_000_000));
        assert_eq!(parse_bandwidth("10MBps"), Some(10_000_000));
        assert_eq!(parse_bandwidth("-1"), None);
    }

    #[test]
    fn quotes_and_escapes_are_taken_off() {
        assert_eq!(unquote("\"a\\n\"'\\n'\\<41 4 2>"), b"a\n\\nAB");
    }

    #[test]
    fn what_is_wrong_is_said_for_each_argument() {
        let names = Names::default();
        let mut args = Args::new("x, COUNT y, 3", &["COUNT"], &names, (1, 1));
        args.required::<u32>("LENGTH");
        args.key::<u32>("COUNT");
        let e = args.finish();
        assert!(
            e[0].0.contains("LENGTH") && e[1].0.contains("COUNT") && e[2].0.contains("too many"),
            "{e:?}"
        );
        assert_eq!(e[1].1, Some(9..10));
    }

    #[test]
    fn names_stand_for_addresses() {
        let mut names = Names::default();
        names.device(
            "eth0",
            &DeviceFacts { mac: [2, 0, 0, 0, 0, 1], ipv4: Some(([10, 0, 0, 1], 24)), gateway: None },
        );
        assert_eq!(names.ipv4("eth0:ip"), Some([10, 0, 0, 1]));
        assert_eq!(names.prefix("eth0:ipnet"), Some(([10, 0, 0, 0], 24)));
        assert_eq!(names.prefix("10/8"), Some(([10, 0, 0, 0], 8)));
        assert_eq!(names.prefix("10.1.2.3/255.255.0.0"), Some(([10, 1, 0, 0], 16)));
        assert_eq!(names.ethernet("eth0"), Some([2, 0, 0, 0, 0, 1]));
    }
}
