use super::{answer, datagram, frame};
use crate::args::{Args, Argument, Ethernet, Ipv4, Ipv6, Names, Time};
use crate::element::{Context, Element, read, write};
use crate::headers::be16;
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::any::Any;

/// Port of servers.
const PORT: u16 = 53;
/// Bytes of a message's header.
const HEADER: usize = 12;
/// Most addresses of one name: all fit into the shortest message that everybody takes (RFC 1035, section 4.2.1).
const MOST: usize = 8;
/// Most names with addresses.
const TABLE: usize = 4096;

/// Types of records.
const A: u16 = 1;
const SOA: u16 = 6;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const ANY: u16 = 255;
/// The class of the Internet.
const IN: u16 = 1;

/// Codes of answers.
const FORMAT_ERROR: u8 = 1;
const NO_SUCH_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
const REFUSED: u8 = 5;

crate::element! {
    /// Answers questions for the addresses of names, and for the names of addresses (DNS, RFC 1035).
    ///
    /// Takes Ethernet frames. Questions to its address are answered by output 0; all other frames go out of output 1, or are
    /// dropped if it is not there. It has the last word on names in its zone: one that it does not know does not exist. Questions
    /// about others are refused, so that a host asks its next server.
    ///
    /// # Arguments
    /// `IP`, `ETH`: the server's addresses, as in `DNSServer(eth0, eth0, ...)`. `ZONE`: the domain of its names. `HOST`: `NAME
    /// ADDRESS`, a name in the zone, or one that ends in it, with an IPv4 or IPv6 address; may be repeated. `TTL` (60 s): how
    /// long answers may be kept.
    ///
    /// # Handlers
    /// `table`: names and addresses, one a line. `add`, `remove`: `NAME ADDRESS`; `remove NAME` for all addresses of one.
    /// `answers`, `unknown`, `refused`: questions that were answered, were for unknown names, were refused.
    DNSServer "1/1-2" "h/h"
    keywords ["IP", "ETH", "ZONE", "HOST", "TTL"]
    handlers [read("table"), write("add"), write("remove"), read("answers"), read("unknown"), read("refused")]
    {
        address: [u8; 4],
        ethernet: [u8; 6],
        zone: String,
        /// In order; names in lower case, without the point at the end.
        hosts: Vec<(String, Address)>,
        seconds: u32,
        answers: u64,
        unknown: u64,
        refused: u64,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Address {
    Four([u8; 4]),
    Six([u8; 16]),
}

impl Address {
    fn bytes(&self) -> &[u8] {
        match self {
            Address::Four(bytes) => bytes,
            Address::Six(bytes) => bytes,
        }
    }

    fn kind(self) -> u16 {
        if matches!(self, Address::Four(_)) { A } else { AAAA }
    }

    /// The address whose own name is asked for by a name (RFC 1035, section 3.5; RFC 3596, section 2.5).
    fn of_reverse(name: &str) -> Option<Self> {
        if let Some(text) = name.strip_suffix(".in-addr.arpa") {
            let mut parts = text.rsplit('.').map(|part| part.parse().ok());
            let address = [parts.next()??, parts.next()??, parts.next()??, parts.next()??];
            return parts.next().is_none().then_some(Self::Four(address));
        }
        let mut digits =
            name.strip_suffix(".ip6.arpa")?.rsplit('.').map(|part| u8::from_str_radix(part, 16).ok());
        let mut address = [0; 16];
        for byte in &mut address {
            let (high, low) = (digits.next()??, digits.next()??);
            *byte = (high < 16 && low < 16).then_some(high << 4 | low)?;
        }
        digits.next().is_none().then_some(Self::Six(address))
    }
}

impl core::fmt::Display for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Address::Four(bytes) => Ipv4(*bytes).fmt(f),
            Address::Six(bytes) => Ipv6(*bytes).fmt(f),
        }
    }
}

/// A name in lower case, if it is one (RFC 1035, section 2.3.4).
fn name(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    let good = |label: &str| (1..64).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_graphic());
    (text.len() < 254 && text.split('.').all(good)).then_some(text)
}

/// Its bytes in a message.
fn write_name(out: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
}

/// The name at the start of some bytes, and what follows it. There is no pointer in a question.
fn read_name(mut bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut name = String::new();
    loop {
        let (&length, rest) = bytes.split_first()?;
        if length == 0 {
            return Some((name, rest));
        }
        let (label, rest) = rest.split_at_checked(length.into()).filter(|_| length < 64)?;
        if name.len() + label.len() > 253 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
        bytes = rest;
    }
}

impl DNSServer {
    fn new(args: &mut Args<'_>) -> Self {
        let (Ipv4(address), Ethernet(ethernet)) = (args.required("IP"), args.required("ETH"));
        let zone: String = args.required("ZONE");
        let Time(kept) = args.key("TTL").unwrap_or(Time(60_000_000_000));
        let mut new = Self {
            address,
            ethernet,
            zone: name(&zone).unwrap_or_else(|| {
                args.error(format!("ZONE: '{zone}' is no domain"));
                String::new()
            }),
            hosts: Vec::new(),
            seconds: u32::try_from(kept / 1_000_000_000).unwrap_or(u32::MAX),
            answers: 0,
            unknown: 0,
            refused: 0,
        };
        while let Some(text) = args.key::<String>("HOST") {
            if let Err(message) = new.add(&text, args.names) {
                args.error(format!("HOST: {message}"));
            }
        }
        new
    }

    fn is_in_zone(&self, name: &str) -> bool {
        name.strip_suffix(&self.zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// A name as somebody writes it, which may leave the zone out.
    fn full(&self, text: &str) -> Result<String, String> {
        let given = name(text).ok_or_else(|| format!("'{text}' is no name"))?;
        if self.is_in_zone(&given) { Ok(given) } else { Ok(format!("{given}.{}", self.zone)) }
    }

    fn host(&self, text: &str, names: &Names) -> Result<(String, Address), String> {
        let wrong = || format!("expected NAME ADDRESS, not '{text}'");
        let (name, address) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
        let address = address.trim();
        let four = names.ipv4(address).map(Address::Four);
        let address =
            four.or_else(|| Ipv6::parse(address, names).map(|a| Address::Six(a.0))).ok_or_else(wrong)?;
        Ok((self.full(name)?, address))
    }

    fn of(&self, name: &str) -> &[(String, Address)] {
        let from = self.hosts.partition_point(|h| &h.0[..] < name);
        let to = self.hosts.partition_point(|h| &h.0[..] <= name);
        &self.hosts[from..to]
    }

    fn add(&mut self, text: &str, names: &Names) -> Result<(), String> {
        let host = self.host(text, names)?;
        let Err(at) = self.hosts.binary_search(&host) else { return Ok(()) };
        if self.of(&host.0).len() >= MOST {
            return Err(format!("'{}' has {MOST} addresses already", host.0));
        }
        if self.hosts.len() >= TABLE {
            return Err(format!("there are {TABLE} addresses already"));
        }
        self.hosts.insert(at, host);
        Ok(())
    }

    fn remove(&mut self, text: &str, names: &Names) -> Result<(), String> {
        let before = self.hosts.len();
        if text.trim().contains(char::is_whitespace) {
            let host = self.host(text, names)?;
            self.hosts.retain(|h| *h != host);
        } else {
            let name = self.full(text)?;
            self.hosts.retain(|h| h.0 != name);
        }
        if self.hosts.len() == before { Err(format!("'{text}' is not there")) } else { Ok(()) }
    }

    /// Records about a name: type and data. The error is an answer's code.
    fn look_up(&self, name: &str, kind: u16) -> Result<Vec<(u16, Vec<u8>)>, u8> {
        if self.is_in_zone(name) {
            let hosts = self.of(name);
            // What is above a name exists.
            let above =
                || self.hosts.iter().any(|h| h.0.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')));
            if hosts.is_empty() && name != self.zone && !above() {
                return Err(NO_SUCH_NAME);
            }
            let asked = hosts.iter().filter(|h| kind == ANY || kind == h.1.kind());
            return Ok(asked.map(|h| (h.1.kind(), h.1.bytes().to_vec())).collect());
        }
        let address = Address::of_reverse(name).ok_or(REFUSED)?;
        let host = self.hosts.iter().find(|h| h.1 == address).ok_or(REFUSED)?;
        if kind != PTR && kind != ANY {
            return Ok(Vec::new());
        }
        let mut data = Vec::new();
        write_name(&mut data, &host.0);
        Ok(alloc::vec![(PTR, data)])
    }

    /// The answer to a message; `None`: it is not a question.
    fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let header = message.get(..HEADER).filter(|h| h[2] & 0x80 == 0)?;
        let question = read_name(&message[HEADER..]).filter(|_| be16(header, 4) == Some(1));
        let asked =
            question.and_then(|(name, rest)| Some((name, be16(rest, 0)?, be16(rest, 2)?, rest.len() - 4)));
        let operation = header[2] >> 3 & 15;
        let (outcome, end) = match &asked {
            _ if operation != 0 => (Err(NOT_IMPLEMENTED), HEADER),
            None => (Err(FORMAT_ERROR), HEADER),
            Some((name, kind, class, left)) => {
                let known = *class == IN || *class == ANY;
                let found = if known { self.look_up(name, *kind) } else { Err(REFUSED) };
                (found, message.len() - left)
            }
        };
        let code = *outcome.as_ref().err().unwrap_or(&0);
        *match code {
            0 => &mut self.answers,
            NO_SUCH_NAME => &mut self.unknown,
            _ => &mut self.refused,
        } += 1;
        let authority = matches!(code, 0 | NO_SUCH_NAME);
        let records = outcome.unwrap_or_default();
        let lacks = authority && records.is_empty();
        let counts = [u16::from(end > HEADER), records.len() as u16, u16::from(lacks), 0];
        let mut out = Vec::with_capacity(512);
        out.extend([header[0], header[1]]);
        // An answer with authority, if it has some; the question's operation and its wish for recursion.
        out.extend([0x80 | header[2] & 0x79 | u8::from(authority) << 2, code]);
        counts.iter().for_each(|count| out.extend(count.to_be_bytes()));
        out.extend(&message[HEADER..end]);
        for (kind, data) in records {
            // The question's name.
            out.extend([0xc0, HEADER as u8]);
            self.record(&mut out, kind, &data);
        }
        if lacks {
            // How long the lack of an answer may be kept (RFC 2308, section 3).
            write_name(&mut out, &self.zone);
            let mut data = alloc::vec![0, 0];
            [1, 3600, 600, 86_400, self.seconds].iter().for_each(|n: &u32| data.extend(n.to_be_bytes()));
            self.record(&mut out, SOA, &data);
        }
        Some(out)
    }

    fn record(&self, out: &mut Vec<u8>, kind: u16, data: &[u8]) {
        out.extend(kind.to_be_bytes());
        out.extend(IN.to_be_bytes());
        out.extend(self.seconds.to_be_bytes());
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }

    /// The answer to a frame, if that is for this server; the inner value is missing if there is nothing to say.
    fn serve(&mut self, bytes: &[u8]) -> Option<Option<Packet>> {
        let asked = datagram(bytes, PORT).filter(|d| d.ip.destination == self.address)?;
        let to = (asked.ethernet, asked.ip.source, asked.from);
        let answer = self.answer(asked.payload);
        Some(answer.and_then(|answer| frame((self.ethernet, self.address, PORT), to, &answer)))
    }
}

impl Element for DNSServer {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        answer(cx, batch, |frame| self.serve(frame));
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "answers" => self.answers.to_string(),
            "unknown" => self.unknown.to_string(),
            "refused" => self.refused.to_string(),
            _ => self.hosts.iter().map(|(name, address)| format!("{name} {address}\n")).collect(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        if handler == "add" { self.add(value, cx.names()) } else { self.remove(value, cx.names()) }
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            (self.answers, self.unknown, self.refused) = (old.answers, old.unknown, old.refused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn server() -> DNSServer {
        let names = Names::default();
        let mut args = Args::new(
            "10.0.0.1, 2:0:0:0:0:1, ZONE lab.internal, HOST www 10.0.0.7, HOST www fd00::7, HOST a.b 10.0.0.8",
            &["IP", "ETH", "ZONE", "HOST", "TTL"],
            &names,
            (1, 1),
        );
        let server = DNSServer::new(&mut args);
        assert_eq!(args.finish(), []);
        server
    }

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut message = alloc::vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        write_name(&mut message, name);
        message.extend(kind.to_be_bytes());
        message.extend(IN.to_be_bytes());
        message
    }

    /// Code, number of answers and of records of authority.
    fn outcome(server: &mut DNSServer, message: &[u8]) -> (u8, u16, u16) {
        let answer = server.answer(message).unwrap();
        assert_eq!(answer[..2], message[..2]);
        (answer[3] & 15, be16(&answer, 6).unwrap(), be16(&answer, 8).unwrap())
    }

    #[test]
    fn names_and_addresses_are_found() {
        let mut server = server();
        let mut ask = |name: &str, kind| outcome(&mut server, &question(name, kind));
        assert_eq!(ask("WWW.lab.Internal", A), (0, 1, 0));
        assert_eq!(ask("www.lab.internal", AAAA), (0, 1, 0));
        assert_eq!(ask("www.lab.internal", ANY), (0, 2, 0));
        assert_eq!(ask("www.lab.internal", 15), (0, 0, 1), "there is the name, and no mail");
        assert_eq!(ask("b.lab.internal", A), (0, 0, 1), "a name above another");
        assert_eq!(ask("no.lab.internal", A), (NO_SUCH_NAME, 0, 1));
        assert_eq!(ask("xlab.internal", A), (REFUSED, 0, 0));
        assert_eq!(ask("7.0.0.10.in-addr.arpa", PTR), (0, 1, 0));
        let six = format!("7.{}0.0.d.f.ip6.arpa", "0.".repeat(27));
        assert_eq!(ask(&six, PTR), (0, 1, 0));
        assert_eq!(ask(&six[2..], PTR), (REFUSED, 0, 0));
        assert_eq!(ask("9.0.0.10.in-addr.arpa", PTR), (REFUSED, 0, 0));
    }

    #[test]
    fn what_is_no_question_is_refused() {
        let mut server = server();
        let mut message = question("www.lab.internal", A);
        message[2] = 0x28;
        assert_eq!(outcome(&mut server, &message).0, NOT_IMPLEMENTED);
        message[2] = 0;
        message[5] = 2;
        assert_eq!(outcome(&mut server, &message).0, FORMAT_ERROR);
        message[2] = 0x80;
        assert_eq!(server.answer(&message), None, "an answer");
    }

    proptest! {
        #[test]
        fn answers_are_short_and_begin_as_they_must(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), one: bool) {
            if one && bytes.len() > 6 {
                bytes[4..6].copy_from_slice(&[0, 1]);
            }
            if let Some(answer) = server().answer(&bytes) {
                prop_assert!(answer.len() <= 512 && answer[2] & 0x80 != 0);
                prop_assert_eq!(&answer[..2], &bytes[..2]);
            }
        }
    }
}
