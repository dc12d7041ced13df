//! Numbers, times and bandwidths as Click writes them.

use crate::element::Nanos;
use alloc::string::String;

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
pub(super) fn parse_billionths(text: &str) -> Option<u64> {
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
pub(super) fn parse_bandwidth(text: &str) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
