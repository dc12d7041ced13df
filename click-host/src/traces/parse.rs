//! Values of fields as text: flags, protocols, addresses, times.

use click::headers::{PROTOCOL_ICMP as ICMP, PROTOCOL_TCP as TCP, PROTOCOL_UDP as UDP};

/// Letters of TCP's flags, lowest bit first.
pub const FLAGS: &[u8; 9] = b"FSRPAUECN";

fn number<T: TryFrom<u64>>(text: &str) -> Option<T> {
    T::try_from(click::args::parse_number(text)?).ok()
}

/// The bits of TCP's flags: letters, or a number.
pub fn flags(text: &str) -> Option<u16> {
    if text == "." {
        return Some(0);
    }
    let bit = |c: u8| {
        // Letters that old files have.
        let c = match c {
            b'X' => b'E',
            b'Y' | b'W' => b'C',
            c => c,
        };
        FLAGS.iter().position(|&f| f == c).map(|at| 1u16 << at)
    };
    let letters = text.bytes().try_fold(0, |bits, c| Some(bits | bit(c)?));
    letters.or_else(|| number(text).filter(|n| *n < 0x1000))
}

/// The number of a protocol: a letter, a name or the number.
pub fn protocol(text: &str) -> Option<u8> {
    match text {
        "T" | "tcp" | "TCP" => Some(TCP),
        "U" | "udp" | "UDP" => Some(UDP),
        "I" | "icmp" | "ICMP" => Some(ICMP),
        other => number(other),
    }
}

/// An Ethernet address.
pub fn ether(text: &str) -> Option<[u8; 6]> {
    click::args::Names::default().ethernet(text)
}

/// A time in seconds, as nanoseconds.
pub fn time(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    // `.5` is half a second; nothing at all is no time.
    let seconds: u64 = if seconds.is_empty() && !fraction.is_empty() { 0 } else { seconds.parse().ok()? };
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    seconds.checked_mul(1_000_000_000)?.checked_add(digits.parse().ok()?)
}
