//! Numbers as Redis reads and writes them.

use alloc::format;
use alloc::string::String;

/// A decimal integer without leading zeros, spaces or plus sign.
pub(crate) fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 19 || (digits[0] == b'0' && (digits.len() > 1 || negative)) {
        return None;
    }
    let mut value: u64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    match negative {
        false => i64::try_from(value).ok(),
        true => (value <= 1 << 63).then(|| (value as i64).wrapping_neg()),
    }
}

/// A floating point number as C's `strtod` reads it, hexadecimal ones and infinities included, NaN not. A number that
/// is too large becomes infinite, one that is too small 0.
pub(crate) fn parse_f64_saturating(text: &[u8]) -> Option<f64> {
    let value: f64 = match parse_hexadecimal(text) {
        Some(value) => value,
        None => core::str::from_utf8(text).ok()?.parse().ok()?,
    };
    (!value.is_nan()).then_some(value)
}

/// The same, but a number that is out of range is none.
pub(crate) fn parse_f64(text: &[u8]) -> Option<f64> {
    let value = parse_f64_saturating(text)?;
    let digits = |range: core::ops::RangeInclusive<u8>| text.iter().any(|b| range.contains(b));
    // Infinity is written with letters, and zero with no other digit before the exponent.
    let overflow = value.is_infinite() && digits(b'0'..=b'9');
    let underflow = value == 0.0 && !is_zero(text);
    (!overflow && !underflow).then_some(value)
}

/// Whether all digits of a number before its exponent are 0.
fn is_zero(text: &[u8]) -> bool {
    let hexadecimal = text.iter().any(|b| matches!(b, b'x' | b'X'));
    let exponent = |b: &u8| match hexadecimal {
        true => matches!(b, b'p' | b'P'),
        false => matches!(b, b'e' | b'E'),
    };
    let mantissa = text.split(exponent).next().unwrap_or_default();
    mantissa.iter().all(|b| matches!(b, b'0' | b'.' | b'+' | b'-' | b'x' | b'X'))
}

/// `[+-]0x` hexadecimal digits, with a point or without, and perhaps `p` and a binary exponent.
fn parse_hexadecimal(text: &[u8]) -> Option<f64> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let [b'0', b'x' | b'X', digits @ ..] = rest else { return None };
    let mut parts = digits.splitn(2, |b| matches!(b, b'p' | b'P'));
    let (mantissa, exponent) = (parts.next()?, parts.next());
    let mut exponent = match exponent {
        None => 0i64,
        Some(text) => {
            let digits = text.strip_prefix(b"+").or(text.strip_prefix(b"-")).unwrap_or(text);
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let size = digits.iter().fold(0i64, |n, d| (n * 10 + i64::from(d - b'0')).min(1 << 40));
            if text[0] == b'-' { -size } else { size }
        }
    };
    let (mut bits, mut any, mut point) = (0u64, false, false);
    for &byte in mantissa {
        if byte == b'.' && !point {
            point = true;
            continue;
        }
        let digit = u64::from((byte as char).to_digit(16)?);
        any = true;
        if bits >> 59 == 0 {
            bits = bits << 4 | digit;
            exponent -= if point { 4 } else { 0 };
        } else {
            // Beyond what is kept only whether there is something matters, for rounding.
            bits |= u64::from(digit != 0);
            exponent += if point { 0 } else { 4 };
        }
    }
    any.then(|| {
        let value = scale(bits, exponent.clamp(-5000, 5000) as i32);
        if negative { -value } else { value }
    })
}

/// `bits` times 2 to the `exponent`, rounded once.
fn scale(bits: u64, exponent: i32) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    let top = 63 - bits.leading_zeros() as i32;
    // The least significant bit that the result has: of 53, or of what a denormal number has.
    let lowest = (top - 52).max(-1074 - exponent);
    let (kept, unit) = if lowest <= 0 {
        (bits, exponent)
    } else if lowest > 64 {
        return 0.0;
    } else {
        let wide = u128::from(bits);
        let (kept, rest, half) = (wide >> lowest, wide & ((1 << lowest) - 1), 1u128 << (lowest - 1));
        let up = rest > half || (rest == half && kept & 1 == 1);
        ((kept + u128::from(up)) as u64, exponent + lowest)
    };
    let mut value = kept as f64;
    let mut left = unit;
    while left != 0 && value != 0.0 && value.is_finite() {
        let step = left.clamp(-1000, 1000);
        let power = f64::from_bits(((1023 + step) as u64) << 52);
        value *= power;
        left -= step;
    }
    value
}

/// Writes an integer.
pub(crate) fn with_i64<R>(value: i64, work: impl FnOnce(&[u8]) -> R) -> R {
    work(itoa::Buffer::new().format(value).as_bytes())
}

/// The shortest text that reads back as the same number, written as `%.17g` would lay it out.
pub(crate) fn format_f64(value: f64) -> String {
    if value.is_infinite() {
        return String::from(if value > 0.0 { "inf" } else { "-inf" });
    }
    if value == 0.0 {
        return String::from(if value.is_sign_negative() { "-0" } else { "0" });
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-5..17).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// A floating point number without an exponent, as INCRBYFLOAT stores it.
pub(crate) fn format_plain(value: f64) -> String {
    if value == 0.0 { String::from("0") } else { format!("{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_numbers_are_rounded_once() {
        for (text, value) in [
            ("0x1p3", Some(8.0)),
            ("-0x1.8p1", Some(-3.0)),
            ("0x10", Some(16.0)),
            ("0x.8", Some(0.5)),
            ("0x1.00000000000008p0", Some(1.0)),
            ("0x1.00000000000008001p0", Some(1.0000000000000002)),
            ("0x1.fffffffffffff8p1023", None),
            ("0x1.fffffffffffffp1023", Some(f64::MAX)),
            ("0x1p-1074", Some(5e-324)),
            ("0x1p-1075", None),
            ("0x1.8p-1075", Some(5e-324)),
            ("0x123456789abcdef0123456789", Some(0x123456789abcdef0123456789u128 as f64)),
            ("0x0p99999999999999999999", Some(0.0)),
            ("0x", None),
            ("0x1p", None),
            ("0x1g", None),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_none_unless_they_may_saturate() {
        for text in ["1e400", "-1e400", "1e-400", "nan", "", "1e", "1_0", " 1"] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_f64_saturating(b"1e400"), Some(f64::INFINITY));
        assert_eq!(parse_f64_saturating(b"-1e-400"), Some(-0.0));
        assert_eq!(parse_f64(b"0e999"), Some(0.0));
        assert_eq!(parse_f64(b"-inf"), Some(f64::NEG_INFINITY));
    }

    #[test]
    fn integers_are_read_strictly() {
        for (text, value) in [
            ("0", Some(0)),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("", None),
            ("-", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn doubles_are_written_as_short_as_they_are() {
        for (value, text) in [
            (3.0, "3"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (1e20, "1e+20"),
            (1e-7, "1e-07"),
            (f64::INFINITY, "inf"),
            (1234567890123.0, "1234567890123"),
        ] {
            assert_eq!(format_f64(value), text);
        }
    }
}
