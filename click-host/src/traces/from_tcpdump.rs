use super::player::{Meaning, Player, plays};
use super::summary::Summary;
use click::args::Args;
use click::element::{read, read_write, write};

click::element! {
    /// Makes IP packets from the text that `tcpdump -n` prints, and pushes them, or gives them when pulled.
    ///
    /// TCP, UDP and ICMP over IPv4 are understood, in tcpdump's present form and the one before version 4; other lines
    /// are passed over. Data is not in the text: the extra length annotation says how much is missing.
    ///
    /// # Arguments
    /// `FILENAME`: the file, `-` being standard input. `CHECKSUM` (false): checksums are right. `ZERO` (false): data
    /// that is not known is there, as zeros. `STOP` (false): the router stops at the end. `END_CALL`: a handler that is
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
        "FILENAME", "CHECKSUM", "ZERO", "STOP", "END_CALL", "TIMING", "SAMPLE", "START", "END", "START_AFTER",
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
        let read = |line: &str| packet(line).map_or(Meaning::Nothing, |s| Meaning::Packet(Box::new(s)));
        Self { player: Player::new(args, Box::new(read)) }
    }
}

/// A time: seconds since 1970, or hours, minutes and seconds of a day.
fn time(text: &str) -> Option<u64> {
    match text.rsplit_once(':') {
        None => super::summary::time(text),
        Some((front, seconds)) => {
            let (hours, minutes) = front.split_once(':')?;
            let minutes = hours.parse::<u64>().ok()?.checked_mul(60)? + minutes.parse::<u64>().ok()?;
            minutes.checked_mul(60_000_000_000)?.checked_add(super::summary::time(seconds)?)
        }
    }
}

/// An address and a port, as in `10.0.0.1.80`; the port may be missing.
fn end(text: &str) -> Option<([u8; 4], u16)> {
    let address = |text: &str| text.parse::<std::net::Ipv4Addr>().ok().map(|a| a.octets());
    if let Some(address) = address(text) {
        return Some((address, 0));
    }
    let (front, port) = text.rsplit_once('.')?;
    Some((address(front)?, port.parse().ok()?))
}

/// The number behind a word such as `length`.
fn after<T: std::str::FromStr>(text: &str, word: &str) -> Option<T> {
    let rest = text.split(&[' ', ',', ';', '(', ')'][..]).skip_while(|w| *w != word).nth(1)?;
    rest.split(':').next()?.parse().ok()
}

fn packet(line: &str) -> Option<Summary> {
    let (stamp, rest) = line.split_once(' ')?;
    let rest = rest.strip_prefix("IP ").unwrap_or(rest);
    let (from, rest) = rest.split_once(" > ")?;
    let (to, rest) = rest.split_once(": ")?;
    let (from, to) = (end(from)?, end(to)?);
    let mut summary = Summary {
        time: time(stamp)?,
        addresses: (from.0, to.0),
        ports: (from.1, to.1),
        ..Summary::default()
    };
    summary.id = after(rest, "id").unwrap_or(0);
    summary.ttl = after(rest, "ttl");
    if let Some(flags) = rest.strip_prefix("Flags [") {
        let (flags, rest) = flags.split_once(']')?;
        tcp(&mut summary, flags, rest);
        summary.payload_length = after(rest, "length");
        summary.sequence.0 = after(rest, "seq").unwrap_or(0);
    } else if rest.starts_with("ICMP") || rest.starts_with("icmp") {
        summary.protocol = 1;
        summary.icmp.0 = if rest.contains("echo request") { 8 } else { 0 };
        if rest.contains("unreachable") {
            summary.icmp.0 = 3;
        }
        // ICMP's length counts its header.
        summary.payload_length = after::<usize>(rest, "length").map(|l| l.saturating_sub(8));
    } else if rest.starts_with("UDP") || rest.starts_with("udp") {
        summary.protocol = 17;
        let old = rest.split_whitespace().nth(1).and_then(|w| w.parse().ok());
        summary.payload_length = after(rest, "length").or(old);
    } else {
        old_tcp(&mut summary, rest)?;
    }
    Some(summary)
}

/// TCP's flags and the numbers that both forms have.
fn tcp(summary: &mut Summary, flags: &str, rest: &str) {
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
    if let Some(number) = after(rest, "ack") {
        summary.flags |= 16;
        summary.sequence.1 = number;
    }
    summary.window = after(rest, "win").unwrap_or(0);
    summary.urgent = after(rest, "urg").unwrap_or(0);
}

/// `S 1:1(0) ack 2 win 3`: the form before version 4, where a point means no flags.
fn old_tcp(summary: &mut Summary, rest: &str) -> Option<()> {
    let (flags, rest) = rest.split_once(' ')?;
    if flags.is_empty() || !flags.chars().all(|c| "FSRPUEW.".contains(c)) {
        return None;
    }
    tcp(summary, flags.trim_start_matches('.'), rest);
    if let Some((range, length)) =
        rest.split_whitespace().next().and_then(|w| w.trim_end_matches(')').split_once('('))
    {
        summary.sequence.0 = range.split(':').next()?.parse().ok()?;
        summary.payload_length = length.parse().ok();
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_line_are_understood() {
        let new =
            "10:00:01.500000 IP 10.0.0.1.80 > 10.0.0.2.1234: Flags [S.], seq 7:17, ack 9, win 512, length 10";
        let old = "36001.5 10.0.0.1.80 > 10.0.0.2.1234: S 7:17(10) ack 9 win 512";
        let packet_of_new = packet(new).unwrap();
        assert_eq!(packet_of_new, packet(old).unwrap());
        assert_eq!(
            (packet_of_new.flags, packet_of_new.sequence, packet_of_new.payload_length),
            (18, (7, 9), Some(10))
        );
        let udp = packet("1.0 IP 10.0.0.1.53 > 10.0.0.2.99: UDP, length 33").unwrap();
        assert_eq!((udp.protocol, udp.ports, udp.payload_length), (17, (53, 99), Some(33)));
        let icmp = packet("1.0 IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 1, seq 1, length 64").unwrap();
        assert_eq!((icmp.protocol, icmp.icmp.0, icmp.payload_length), (1, 8, Some(56)));
        assert_eq!(packet("1.0 ARP, Request who-has 10.0.0.1"), None);
    }
}
