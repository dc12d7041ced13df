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

/// A floating point number, infinities included, NaN not.
pub(crate) fn parse_f64(text: &[u8]) -> Option<f64> {
    let text = core::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    (!value.is_nan()).then_some(value)
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
