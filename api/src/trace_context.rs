//! The trace that a caller's request belongs to, as its header `traceparent` says it (W3C Trace Context, section 3.2).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Name of the header.
pub const HEADER: &str = "traceparent";
/// Characters of a header of version 00; later versions are no shorter.
const LENGTH: usize = 55;
/// Flag: the caller records this trace.
const SAMPLED: u8 = 1;

/// The caller's trace, and its span that ours lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    /// The trace; not 0.
    pub trace: u128,
    /// The span; not 0.
    pub span: u64,
    /// Whether the caller records it.
    pub sampled: bool,
}

/// It is not as the standard has it; the standard wants it ignored then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a traceparent is 00-TRACE-SPAN-FLAGS: 32, 16 and 2 lower-case hexadecimal digits, neither of the first two all zeros"
)]
pub struct NotATraceParent;

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, NotATraceParent> {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let (head, rest) = text.split_at_checked(LENGTH).ok_or(NotATraceParent)?;
        let parts: Vec<&str> = head.split('-').collect();
        let [version, trace, span, flags] = parts[..] else { return Err(NotATraceParent) };
        let has_lengths = [version, trace, span, flags].map(str::len) == [2, 32, 16, 2];
        if !has_lengths || !parts.iter().all(|part| part.bytes().all(is_digit)) {
            return Err(NotATraceParent);
        }
        // A later version may have more behind another hyphen.
        let ends = if version == "00" { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        let trace = u128::from_str_radix(trace, 16).map_err(|_| NotATraceParent)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| NotATraceParent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NotATraceParent)?;
        if !ends || version == "ff" || trace == 0 || span == 0 {
            return Err(NotATraceParent);
        }
        Ok(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl TryFrom<String> for TraceParent {
    type Error = NotATraceParent;

    fn try_from(text: String) -> Result<Self, NotATraceParent> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_standard_s_example_is_read_and_written() {
        let parent: TraceParent = EXAMPLE.parse().unwrap();
        let expected = (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7, true);
        assert_eq!((parent.trace, parent.span, parent.sampled), expected);
        assert_eq!(parent.to_string(), EXAMPLE);
        let unsampled: TraceParent = EXAMPLE.replace("-01", "-00").parse().unwrap();
        assert!(!unsampled.sampled);
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known_and_nonsense_is_refused() {
        let later = EXAMPLE.replacen("00", "cc", 1);
        assert_eq!(later.parse::<TraceParent>(), EXAMPLE.parse());
        assert_eq!((later + "-what-the-future").parse::<TraceParent>(), EXAMPLE.parse());
        let zeros = |digits: usize| "0".repeat(digits);
        for wrong in [
            String::new(),
            EXAMPLE.to_uppercase(),
            EXAMPLE.replacen("00", "ff", 1),
            format!("{EXAMPLE}-more"),
            format!("{EXAMPLE} "),
            EXAMPLE[..54].into(),
            format!("00-{}-00f067aa0ba902b7-01", zeros(32)),
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", zeros(16)),
            EXAMPLE.replacen('-', "0", 1),
            format!("{}é-{}", &EXAMPLE[..51], "01"),
            "é".repeat(40),
        ] {
            assert_eq!(wrong.parse::<TraceParent>(), Err(NotATraceParent), "{wrong}");
        }
    }
}
