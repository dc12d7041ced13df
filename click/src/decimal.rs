//! Numbers with a fixed count of decimals. What the standard library has for that is for any number and any length, and a
//! tenth of what a guest's image may still grow.

use alloc::format;
use alloc::string::String;

/// A number from 0, rounded to so many decimals, 1 to 9.
pub(crate) fn decimal(value: f64, decimals: u32) -> String {
    let scale = 10u64.pow(decimals);
    // A number that is too large for it is the largest.
    let scaled = (value * scale as f64 + 0.5) as u64;
    format!("{}.{:0width$}", scaled / scale, scaled % scale, width = decimals as usize)
}

/// The square root of a number from 0, as far as half a million's needs: what the standard library has is not for guests.
pub(crate) fn square_root(value: f64) -> f64 {
    let mut root = if value > 1.0 { value } else { 1.0 };
    (0..64).for_each(|_| root = (root + value / root) / 2.0);
    root
}

/// Any number with twelve digits at most, without zeros at its end: `%.12g` of C.
#[cfg(feature = "host")]
pub(crate) fn general(value: f64) -> String {
    if !value.is_finite() {
        return format!("{value}").to_lowercase();
    }
    let text = format!("{value:.11e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let short = |text: &str| match text.contains('.') {
        true => String::from(text.trim_end_matches('0').trim_end_matches('.')),
        false => String::from(text),
    };
    if (-4..12).contains(&exponent) {
        return short(&format!("{value:.*}", (11 - exponent).unsigned_abs() as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", short(digits), exponent.unsigned_abs())
}

/// A guest has numbers from 0 with nine decimals.
#[cfg(not(feature = "host"))]
pub(crate) fn general(value: f64) -> String {
    String::from(decimal(value, 9).trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::decimal;
    use alloc::format;

    #[test]
    fn as_the_standard_library_writes_them() {
        for value in [0.0, 0.04, 0.05001, 0.999, 1.0, 2.5, 123.456, 99_999.96, 1e9 / 7.0] {
            assert_eq!(decimal(value, 1), format!("{value:.1}"));
            assert_eq!(decimal(value, 4), format!("{value:.4}"));
        }
    }
}
