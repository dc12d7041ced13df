use super::player::{Meaning, Parser, Player, plays};
use super::summary::Summary;
use click::args::{Args, Names};
use click::element::{read, read_write, write};
use std::collections::HashMap;

/// Most flows that are remembered.
const FLOWS: usize = 65536;
/// Names of services that the system knows.
const SERVICES: &str = "/etc/services";
/// Time to live of packets whose lines do not tell.
const TTL: u8 = 2;

click::element! {
    /// Makes IP packets from the text that `tcpdump -n` prints, and pushes them, or gives them when pulled.
    ///
    /// TCP, UDP and ICMP over IPv4 are understood, in tcpdump's present form and the one before version 4, options of TCP
    /// included; other lines are passed over. Sequence numbers that count from a connection's start become what they
    /// were. Data is not in the text: the extra length annotation says how much is missing.
    ///
    /// # Arguments
    /// `FILENAME`: the file, `-` being standard input. `CHECKSUM` (false): checksums are right, and all
    /// data is there, as zeros. `ZERO` means nothing. `BURST` (1): packets at once. `STOP` (false): the router stops at the end. `END_CALL`: a handler that is
    /// written at the end. `TIMING` (false): packets go out at the pace of their times. `SAMPLE` (1): how likely a
    /// packet is taken. `START`, `END`, `START_AFTER`, `END_AFTER`, `INTERVAL`: the part of the trace, as in
    /// `FromDump`. `ACTIVE` (true): when false, nothing is read.
    ///
    /// # Handlers
    /// `count`: packets so far. `reset_counts`: sets the count to 0. `active`: the argument. `stop`: stops reading and
    /// asks the router to stop. `encap`: `IP`. `filename`: the argument. `sampling_prob`: the argument `SAMPLE`.
    /// `extend_interval`: reads for this much more time. `reset_timing`: the pace begins anew with the next packet.
    FromTcpdump "0/1" "/a"
    keywords [
        "FILENAME", "CHECKSUM", "ZERO", "BURST", "STOP", "END_CALL", "TIMING", "SAMPLE", "START", "END", "START_AFTER",
        "END_AFTER", "INTERVAL", "ACTIVE",
    ]
    handlers [
        read("count"), read("encap"), read("filename"), read("sampling_prob"), read_write("active"), write("stop"),
        write("reset_counts"), write("extend_interval"), write("reset_timing"),
    ]
    { player: Player }
}

plays!(FromTcpdump);

impl FromTcpdump {
    fn new(args: &mut Args<'_>) -> Self {
        let mut services = Names::default();
        for line in std::fs::read_to_string(SERVICES).unwrap_or_default().lines() {
            // Services of other protocols are nothing to us.
            let _ = services.define_port(line);
        }
        let reader = Reader { names: [args.names.clone(), services], ..Reader::default() };
        Self { player: Player::new(args, Box::new(reader)) }
    }
}

/// An address and a port.
type End = ([u8; 4], u16);

/// What is known from lines before.
#[derive(Default)]
struct Reader {
    /// Names of services: the configuration's, and the system's.
    names: [Names; 2],
    flows: HashMap<[End; 2], Flow>,
    /// Whether sequence numbers are as they were in packets, once that is known.
    absolute: Option<bool>,
}

/// A TCP connection: for both directions where sequence numbers begin, and what comes next.
#[derive(Default)]
struct Flow {
    first: [u32; 2],
    next: [u32; 2],
}

impl Parser for Reader {
    fn line(&mut self, line: &str) -> Meaning {
        if line.is_empty() || line.starts_with('#') {
            return Meaning::Nothing;
        }
        match self.packet(line) {
            Some(summary) => Meaning::Packet(Box::new(summary)),
            None => Meaning::Wrong("packet parse error".to_string()),
        }
    }
}

/// A time: seconds since 1970, or hours, minutes and seconds of a day.
fn time(text: &str) -> Option<u64> {
    match text.rsplit_once(':') {
        None => super::parse::time(text),
        Some((front, seconds)) => {
            let (hours, minutes) = front.split_once(':')?;
            let minutes = hours.parse::<u64>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
            minutes.checked_mul(60_000_000_000)?.checked_add(super::parse::time(seconds)?)
        }
    }
}

/// Words of a text, without brackets and commas.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', ';', '(', ')', '[', ']', '<', '>']).filter(|w| !w.is_empty())
}

/// The number behind a word such as `length`.
fn after<T: std::str::FromStr>(text: &str, word: &str) -> Option<T> {
    words(text).skip_while(|w| *w != word).nth(1)?.split(':').next()?.parse().ok()
}

impl Reader {
    /// An address and a port, as in `10.0.0.1.80` or `10.0.0.1.http`; the port may be missing.
    fn end(&self, text: &str) -> Option<End> {
        let address = |text: &str| text.parse::<std::net::Ipv4Addr>().ok().map(|a| a.octets());
        if let Some(address) = address(text) {
            return Some((address, 0));
        }
        let (at, _) = text.match_indices('.').nth(3)?;
        let port = &text[at + 1..];
        Some((
            address(&text[..at])?,
            port.parse().ok().or_else(|| self.names.iter().find_map(|n| n.port(port)))?,
        ))
    }

    fn packet(&mut self, line: &str) -> Option<Summary> {
        let (stamp, rest) = line.split_once(' ')?;
        let rest = rest.strip_prefix("IP ").unwrap_or(rest);
        let (from, rest) = rest.split_once(" > ")?;
        let (to, rest) = rest.split_once(": ")?;
        let (from, to) = (self.end(from)?, self.end(to)?);
        let mut summary = Summary {
            time: time(stamp)?,
            ip: true,
            addresses: (from.0, to.0),
            ports: (from.1, to.1),
            ttl: Some(after(rest, "ttl").unwrap_or(TTL)),
            id: after(rest, "id").unwrap_or(0),
            length: after(rest, "len"),
            ..Summary::default()
        };
        header(&mut summary, rest);
        let mut rest = rest.trim_start();
        if let Some(flags) = rest.strip_prefix("Flags [") {
            let (flags, rest) = flags.split_once(']')?;
            summary.payload_length = after(rest, "length");
            let first: u32 = after(rest, "seq").unwrap_or(0);
            let length = summary.payload_length.unwrap_or(0) as u32;
            self.tcp(&mut summary, flags, rest, (first, length));
            return Some(summary);
        }
        if rest.starts_with("ICMP") || rest.starts_with("icmp") {
            summary.protocol = 1;
            summary.icmp.0 = if rest.contains("echo request") { 8 } else { 0 };
            if rest.contains("unreachable") {
                summary.icmp.0 = 3;
            }
            summary.payload_length = after(rest, "length");
            return Some(summary);
        }
        rest = without_remarks(rest);
        if rest.starts_with("UDP") || rest.starts_with("udp") {
            summary.protocol = 17;
            let old = rest.split_whitespace().nth(1).and_then(|w| w.parse().ok());
            summary.payload_length = summary.payload_length.or(after(rest, "length")).or(old);
            return Some(summary);
        }
        // The form before version 4: `S 1:1(0) ack 2 win 3`, where a point means no flags.
        let (flags, rest) = rest.split_once(' ')?;
        if flags.is_empty() || !flags.chars().all(|c| "FSRPUEW.".contains(c)) {
            return None;
        }
        let rest = without_remarks(rest);
        let range = rest.split_whitespace().next().and_then(|w| w.split_once('('));
        let numbers = match range.and_then(|(range, _)| range.split_once(':')) {
            Some((first, end)) => {
                let first = first.parse::<u32>().ok()?;
                (first, end.parse::<u32>().ok()?.wrapping_sub(first))
            }
            None => (0, 0),
        };
        summary.payload_length = summary.payload_length.or(Some(numbers.1 as usize));
        self.tcp(&mut summary, flags.trim_start_matches('.'), rest, numbers);
        Some(summary)
    }

    /// TCP's flags, and what both forms have. `numbers`: the first sequence number and the bytes from there.
    fn tcp(&mut self, summary: &mut Summary, flags: &str, rest: &str, numbers: (u32, u32)) {
        summary.protocol = 6;
        for c in flags.chars() {
            summary.flags |= match c {
                'F' => 1,
                'S' => 2,
                'R' => 4,
                'P' => 8,
                '.' => 16,
                'U' => 32,
                'E' => 64,
                'W' => 128,
                _ => 0,
            };
        }
        summary.sequence.0 = numbers.0;
        summary.window = after(rest, "win").unwrap_or(0);
        summary.urgent = after(rest, "urg").unwrap_or(0);
        let mut base = 0;
        if let Some(number) = after(rest, "ack") {
            summary.flags |= 16;
            summary.sequence.1 = number;
            base = self.patch(summary, numbers.1);
        }
        summary.tcp_options = options(rest, base).filter(|o| o.len() <= 40);
    }

    /// Makes sequence numbers absolute; what selective acknowledgements need for that.
    fn patch(&mut self, summary: &mut Summary, length: u32) -> u32 {
        let ends = [(summary.addresses.0, summary.ports.0), (summary.addresses.1, summary.ports.1)];
        let (mut key, mut way) = (ends, 0);
        if ends[0] > ends[1] {
            (key, way) = ([ends[1], ends[0]], 1);
        }
        if self.flows.len() >= FLOWS && !self.flows.contains_key(&key) {
            self.flows.clear();
        }
        let flow = self.flows.entry(key).or_default();
        let (sequence, acknowledged) = (&mut summary.sequence.0, &mut summary.sequence.1);
        let back = 1 - way;
        let mut relative = false;
        if flow.first == [0, 0] || summary.flags & 2 != 0 {
            flow.first[way] = *sequence;
            flow.first[back] = acknowledged.wrapping_sub(1);
        } else {
            let late = acknowledged.wrapping_sub(flow.first[back]) as i32 >= 0 && *acknowledged > 8000;
            relative = !*self.absolute.get_or_insert(late);
            if *sequence == 0 && length == 0 {
                *sequence = flow.next[way];
            } else if relative {
                *sequence = sequence.wrapping_add(flow.first[way]);
            }
            if relative {
                *acknowledged = acknowledged.wrapping_add(flow.first[back]);
            }
        }
        let ends = u32::from(summary.flags & 1) + u32::from(summary.flags >> 1 & 1);
        flow.next[way] = sequence.wrapping_add(length).wrapping_add(ends);
        if flow.next[back] == 0 {
            flow.next[back] = *acknowledged;
        }
        if relative { flow.first[back] } else { 0 }
    }
}

/// A text behind remarks such as `[tcp sum ok]`.
fn without_remarks(mut text: &str) -> &str {
    while let Some((_, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        text = rest.trim_start();
    }
    text
}

/// What a line says of the IP header in brackets: `(DF) [tos 0x10,ECT(0)] (frag 5:100@8+)`.
fn header(summary: &mut Summary, rest: &str) {
    let has = |word: &str| words(rest).any(|w| w == word);
    let tos = words(rest).skip_while(|w| *w != "tos").nth(1).and_then(|w| w.strip_prefix("0x"));
    summary.tos = tos.and_then(|t| u8::from_str_radix(t, 16).ok()).unwrap_or(0);
    let ecn = match (has("CE"), after::<u8>(rest, "ECT")) {
        (true, _) => 3,
        (_, Some(0)) => 2,
        (_, Some(1)) => 1,
        _ => 0,
    };
    if ecn > 0 {
        summary.tos = summary.tos & !3 | ecn;
    }
    let mut flags = if has("DF") { 0x4000 } else { 0 };
    let fragment = words(rest).skip_while(|w| *w != "frag").nth(1);
    let parts = fragment.and_then(|f| f.split_once(':')).and_then(|(id, f)| Some((id, f.split_once('@')?)));
    if let Some((id, (length, offset))) = parts {
        summary.id = id.parse().unwrap_or(0);
        summary.payload_length = length.parse().ok();
        flags |= if offset.ends_with('+') { 0x2000 } else { 0 };
        flags |= offset.trim_end_matches('+').parse::<u16>().map_or(0, |o| o / 8);
    }
    summary.fragment.1 = Some(flags);
}

/// TCP's options: `<mss 1460,nop,wscale 0>`, `options [mss 1460,TS val 1 ecr 2]`. `base` is added to what is acknowledged.
fn options(rest: &str, base: u32) -> Option<Vec<u8>> {
    let old = rest.split_once('<').and_then(|(_, o)| o.split_once('>'));
    let (list, _) = old.or_else(|| rest.split_once("options [")?.1.split_once(']'))?;
    let mut out = Vec::new();
    for option in list.split(',') {
        let number = |at: usize| option.split_whitespace().nth(at).and_then(|n| n.parse::<u32>().ok());
        match option.split_whitespace().next() {
            Some("nop") => out.push(1),
            Some("eol") => out.push(0),
            Some("mss") => {
                out.extend([2, 4]);
                out.extend((number(1)? as u16).to_be_bytes());
            }
            Some("wscale") => out.extend([3, 3, number(1)? as u8]),
            Some("sackOK") => out.extend([4, 2]),
            Some(name @ ("timestamp" | "TS")) => {
                let at = if name == "TS" { [2, 4] } else { [1, 2] };
                out.extend([8, 10]);
                out.extend(number(at[0])?.to_be_bytes());
                out.extend(number(at[1])?.to_be_bytes());
            }
            Some("sack") => {
                let at = out.len();
                out.extend([5, 2]);
                for block in option.split('{').skip(1) {
                    let (left, right) = block.split_once('}')?.0.split_once(':')?;
                    for edge in [left, right] {
                        out.extend(edge.parse::<u32>().ok()?.wrapping_add(base).to_be_bytes());
                    }
                }
                out[at + 1] = u8::try_from(out.len() - at).ok()?;
            }
            _ => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(line: &str) -> Option<Summary> {
        let mut names = Names::default();
        names.define_port("svrloc 427/udp").unwrap();
        Reader { names: [names, Names::default()], ..Reader::default() }.packet(line)
    }

    #[test]
    fn both_forms_of_a_line_are_understood() {
        let new = "10:00:01.500000 IP 10.0.0.1.80 > 10.0.0.2.1234: Flags [S.], seq 7:17, ack 9, win 512, options [mss 5,TS val 1 ecr 2], length 10";
        let old = "36001.5 10.0.0.1.http > 10.0.0.2.1234: S 7:17(10) ack 9 win 512 <mss 5,timestamp 1 2>";
        let packet_of_new = packet(new).unwrap();
        assert_eq!(packet_of_new, packet(old).unwrap());
        assert_eq!(
            (packet_of_new.flags, packet_of_new.sequence, packet_of_new.payload_length),
            (18, (7, 9), Some(10))
        );
        assert_eq!(packet_of_new.tcp_options, Some(vec![2, 4, 0, 5, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]));
        let udp = packet("1.0 IP 10.0.0.1.53 > 10.0.0.2.99: UDP, length 33").unwrap();
        assert_eq!((udp.protocol, udp.ports, udp.payload_length), (17, (53, 99), Some(33)));
        let icmp = packet("1.0 IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 1, seq 1, length 64").unwrap();
        assert_eq!((icmp.protocol, icmp.icmp.0, icmp.payload_length), (1, 8, Some(64)));
        assert_eq!(packet("1.0 ARP, Request who-has 10.0.0.1"), None);
    }

    #[test]
    fn remarks_and_brackets_are_understood() {
        let udp = packet(
            "1.0 10.0.0.1.svrloc > 10.0.0.2.9:  [udp sum ok] udp 90 (DF) [tos 0x20,ECT(1)] (ttl 7, id 5, len 118)",
        );
        let udp = udp.unwrap();
        assert_eq!((udp.ports, udp.payload_length, udp.ttl, udp.id), ((427, 9), Some(90), Some(7), 5));
        assert_eq!((udp.tos, udp.fragment.1, udp.length), (0x21, Some(0x4000), Some(118)));
        let tcp = packet(
            "1.0 10.0.0.1.ssh > 10.0.0.2.9: F [tcp sum ok] 90:90(0) ack 5 win 6 (ttl 64, id 1, len 52)",
        );
        let made = tcp.unwrap().packet(super::super::summary::Style::default()).unwrap();
        assert_eq!(
            (made.data()[2..4].to_vec(), made.data()[32], made.data()[24..28].to_vec()),
            (vec![0, 52], 8 << 4, vec![0, 0, 0, 90])
        );
        let part = packet("1.0 10.0.0.1.1 > 10.0.0.2.2: udp 1000 (frag 77:400@16+)").unwrap();
        assert_eq!((part.id, part.payload_length, part.fragment.1), (77, Some(400), Some(0x2002)));
        assert_eq!(packet("1.0 10.0.0.1.nothing > 10.0.0.2.2: udp 1"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_a_packet_or_none(words in proptest::collection::vec("S|F|P|\\.|ack|win|sack|len|length|ttl|id|frag|tos|DF|udp|ICMP|Flags \\[|\\]|options \\[|<|>|,|\\{|\\}|\\(|\\)|:|@|\\+|0x9|[0-9]{1,20}|1:2\\(1\\)|mss 1|nop|timestamp", 0..20), space: bool) {
            let line = format!("1:2:3.5 1.2.3.4.5 > 6.7.8.9.10: {}", words.join(if space { " " } else { "" }));
            if let Some(summary) = packet(&line) {
                proptest::prop_assert!(summary.packet(super::super::summary::Style { checksum: space }).is_some(), "{}", line);
            }
        }
    }

    #[test]
    fn sequence_numbers_become_what_they_were() {
        let mut reader = Reader::default();
        let (there, back) = ("1.0 10.0.0.1.9 > 10.0.0.2.80:", "1.0 10.0.0.2.80 > 10.0.0.1.9:");
        let mut sequence = |line: String| reader.packet(&line).unwrap().sequence;
        assert_eq!(sequence(format!("{there} S 1000:1000(0) win 9")), (1000, 0));
        assert_eq!(sequence(format!("{back} S 5000:5000(0) ack 1001 win 9")), (5000, 1001));
        assert_eq!(sequence(format!("{there} . ack 1 win 9")), (1001, 5001));
        assert_eq!(sequence(format!("{there} P 1:11(10) ack 1 win 9")), (1001, 5001));
        assert_eq!(sequence(format!("{back} . ack 11 win 9")), (5001, 1011));
    }
}
