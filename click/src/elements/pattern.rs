//! Patterns of `Classifier`: bytes at offsets under masks.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Bytes that must (or must not) be at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    offset: usize,
    mask: Vec<u8>,
    value: Vec<u8>,
    negated: bool,
}

/// Clauses that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern(Vec<Clause>);

impl Pattern {
    /// Reads `12/0800 !23/11%0f`, or `-`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "-" {
            return Ok(Self::default());
        }
        let clauses: Result<Vec<_>, _> = text.split_whitespace().map(Clause::parse).collect();
        match clauses? {
            clauses if clauses.is_empty() => Err("empty pattern; '-' matches everything".into()),
            clauses => Ok(Self(clauses)),
        }
    }

    /// Whether a packet's data match.
    #[inline]
    pub fn matches(&self, data: &[u8]) -> bool {
        self.0.iter().all(|c| c.matches(data))
    }
}

impl Clause {
    fn parse(text: &str) -> Result<Self, String> {
        let (text, negated) = text.strip_prefix('!').map_or((text, false), |t| (t, true));
        let wrong = |what: &str| format!("'{text}': {what}");
        let (offset, rest) = text.split_once('/').ok_or_else(|| wrong("expected OFFSET/VALUE"))?;
        let offset: usize =
            offset.parse().ok().filter(|&o| o <= 65535).ok_or_else(|| wrong("bad offset"))?;
        let (digits, mask_digits) = rest.split_once('%').map_or((rest, None), |(d, m)| (d, Some(m)));
        let bytes = |digits: &str, unknown: u8, known: Option<u8>| -> Option<Vec<u8>> {
            let nibbles: Option<Vec<u8>> = digits
                .chars()
                .map(|c| match c {
                    '?' => Some(unknown),
                    c => c.to_digit(16).map(|d| known.unwrap_or(d as u8)),
                })
                .collect();
            let nibbles = nibbles?;
            let even = !nibbles.is_empty() && nibbles.len().is_multiple_of(2);
            even.then(|| nibbles.chunks(2).map(|n| n[0] << 4 | n[1]).collect())
        };
        let hex = || wrong("expected an even number of hexadecimal digits");
        let mut value = bytes(digits, 0, None).ok_or_else(hex)?;
        let mut mask = bytes(digits, 0, Some(15)).ok_or_else(hex)?;
        if let Some(m) = mask_digits {
            let m = bytes(m, 0, None).ok_or_else(hex)?;
            if m.len() != mask.len() {
                return Err(wrong("the mask must be as long as the value"));
            }
            mask.iter_mut().zip(&m).for_each(|(a, b)| *a &= b);
        }
        value.iter_mut().zip(&mask).for_each(|(v, m)| *v &= m);
        Ok(Self { offset, mask, value, negated })
    }

    #[inline]
    fn matches(&self, data: &[u8]) -> bool {
        let same = data.get(self.offset..self.offset + self.value.len()).is_some_and(|bytes| {
            bytes.iter().zip(&self.mask).zip(&self.value).all(|((b, m), v)| b & m == *v)
        });
        same != self.negated
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        for (i, c) in self.0.iter().enumerate() {
            f.write_str(if i > 0 { " " } else { "" })?;
            f.write_str(if c.negated { "!" } else { "" })?;
            write!(f, "{}/", c.offset)?;
            c.value.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
            f.write_str("%")?;
            c.mask.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_match_bytes_under_their_masks() {
        let data = [0x12, 0x34, 0x56, 0x78];
        for (text, expected) in [
            ("0/1234", true),
            ("0/12?4 2/56", true),
            ("1/30%f0", true),
            ("!1/35", true),
            ("3/7800", false),
            ("!9/00", true),
            ("-", true),
        ] {
            assert_eq!(Pattern::parse(text).unwrap().matches(&data), expected, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "x", "1/", "1/123", "1/zz", "1/12%1234", "-1/12", "99999999999/12"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
