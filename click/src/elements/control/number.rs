//! Numbers in scripts: whole ones, and on a host those with a fraction.

use crate::args::parse_number;
use alloc::string::{String, ToString};

/// What is said of a word that is no number.
const NUMBERS: &str = "expected list of numbers";

/// A whole number.
pub(super) fn whole(word: &str) -> Option<i64> {
    match word.strip_prefix('-') {
        Some(digits) => i64::try_from(parse_number(digits)?).ok().map(i64::wrapping_neg),
        None => {
            let digits = word.strip_prefix('+').unwrap_or(word);
            parse_number(digits).map(|n| n.cast_signed()).filter(|n| *n >= 0)
        }
    }
}

/// A number with a fraction.
#[cfg(feature = "host")]
pub(super) fn real(word: &str) -> Option<f64> {
    let digit = word.contains(|c: char| c.is_ascii_digit());
    whole(word).map(|n| n as f64).or_else(|| word.parse().ok().filter(|_| digit))
}

/// What is done with two numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Sub,
    Min,
    Max,
    Mul,
    Div,
    /// Without the fraction of the result.
    IDiv,
}

impl Operation {
    /// `None`: there is no such result.
    fn of_whole(self, a: i64, b: i64) -> Option<i64> {
        Some(match self {
            Self::Add => a.wrapping_add(b),
            Self::Sub => a.wrapping_sub(b),
            Self::Min => a.min(b),
            Self::Max => a.max(b),
            Self::Mul => a.wrapping_mul(b),
            Self::Div | Self::IDiv => return a.checked_div(b),
        })
    }

    #[cfg(feature = "host")]
    fn of_real(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Min => a.min(b),
            Self::Max => a.max(b),
            Self::Mul => a * b,
            Self::Div | Self::IDiv => a / b,
        }
    }

    /// What it comes to without numbers.
    fn nothing(self) -> i64 {
        i64::from(!matches!(self, Self::Add | Self::Sub))
    }
}

/// Puts numbers together, from the left. From the first one with a fraction on, and in divisions on a host, fractions count.
pub(super) fn fold(operation: Operation, words: &[&str]) -> Result<String, String> {
    #[cfg(feature = "host")]
    if matches!(operation, Operation::Div | Operation::IDiv) || words.iter().any(|w| whole(w).is_none()) {
        let mut result = None;
        for word in words {
            let number = real(word).ok_or(NUMBERS)?;
            result = Some(result.map_or(number, |before| operation.of_real(before, number)));
        }
        let result = result.unwrap_or(operation.nothing() as f64);
        return Ok(match operation {
            Operation::IDiv => (result as i64).to_string(),
            _ => crate::decimal::general(result),
        });
    }
    let mut result = None;
    for word in words {
        let number = whole(word).ok_or(NUMBERS)?;
        result = Some(match result {
            None => number,
            Some(before) => operation.of_whole(before, number).ok_or("division by zero")?,
        });
    }
    Ok(result.unwrap_or(operation.nothing()).to_string())
}

/// What is left over; `fractions`: also of numbers with a fraction.
pub(super) fn remainder(words: &[&str], fractions: bool) -> Result<String, String> {
    let [a, b] = words else { return Err("expected two numbers".to_string()) };
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        let result = if b == -1 { Some(0) } else { a.checked_rem(b) };
        return Ok(result.ok_or("division by zero")?.to_string());
    }
    #[cfg(feature = "host")]
    if fractions && let (Some(a), Some(b)) = (real(a), real(b)) {
        return Ok(crate::decimal::general(a % b));
    }
    let _ = fractions;
    Err("expected two numbers".to_string())
}

/// A number with another sign: `-` turned, or none (`absolute`).
#[cfg(feature = "host")]
pub(super) fn sign(word: &str, absolute: bool) -> Result<String, String> {
    if let Some(number) = whole(word) {
        let number = if absolute && number >= 0 { number } else { number.wrapping_neg() };
        return Ok(number.to_string());
    }
    let number = real(word).ok_or("expected one number")?;
    Ok(crate::decimal::general(if absolute { number.abs() } else { -number }))
}

/// The order of two values: as numbers if they are, otherwise as texts without their quotes.
pub(super) fn order(words: &[&str]) -> Result<core::cmp::Ordering, String> {
    let [a, b] = words else { return Err("expected two numbers".to_string()) };
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        return Ok(a.cmp(&b));
    }
    #[cfg(feature = "host")]
    if let (Some(a), Some(b)) = (real(a), real(b)) {
        return Ok(a.partial_cmp(&b).unwrap_or(core::cmp::Ordering::Greater));
    }
    Ok(super::value::plain(a).cmp(&super::value::plain(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_stay_whole_and_wrap() {
        assert_eq!(fold(Operation::Add, &["0x10", "-1"]).unwrap(), "15");
        assert_eq!(fold(Operation::Sub, &["5", "1", "1"]).unwrap(), "3");
        assert_eq!(
            (fold(Operation::Add, &[]).unwrap(), fold(Operation::Mul, &[]).unwrap()),
            ("0".into(), "1".into())
        );
        assert_eq!(fold(Operation::Add, &["9223372036854775807", "1"]).unwrap(), "-9223372036854775808");
        assert!(remainder(&["7", "0"], true).is_err() && remainder(&["7"], true).is_err());
        assert_eq!(remainder(&["-9223372036854775807", "-1"], false).unwrap(), "0");
        assert!(fold(Operation::Add, &["1", "x"]).is_err());
    }

    #[test]
    #[cfg(feature = "host")]
    fn fractions_have_twelve_digits() {
        assert_eq!(fold(Operation::Div, &["1", "3"]).unwrap(), "0.333333333333");
        assert_eq!(fold(Operation::Div, &["6", "3"]).unwrap(), "2");
        assert_eq!(fold(Operation::IDiv, &["7", "2"]).unwrap(), "3");
        assert_eq!(fold(Operation::Mul, &["1e9", "1e9"]).unwrap(), "1e+18");
        assert_eq!(remainder(&["7.5", "2"], true).unwrap(), "1.5");
        assert!(remainder(&["7.5", "2"], false).is_err());
        assert_eq!((sign("-2.5", true).unwrap(), sign("3", false).unwrap()), ("2.5".into(), "-3".into()));
    }
}
