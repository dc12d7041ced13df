//! The words of NPtcp's command line that the guest knows.

use crate::PORT;
use alloc::format;
use alloc::string::String;
use core::net::IpAddr;

/// What to be, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The receiver to go to; none: be one.
    pub receiver: Option<IpAddr>,
    /// Its port, or one's own.
    pub port: u16,
    /// Either size, bytes.
    pub lower: u32,
    /// Largest size of a transmitter, bytes.
    pub upper: u32,
    /// Bytes less and more around each size.
    pub perturbation: u32,
    /// How often each trial goes back and forth; none: as long as it takes to be exact.
    pub repeats: Option<u32>,
}

/// Reads the words.
pub fn parse(text: &str) -> Result<Options, String> {
    let mut o =
        Options { receiver: None, port: PORT, lower: 1, upper: 1 << 23, perturbation: 3, repeats: None };
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let to = match word {
            "-h" | "-P" | "-n" | "-l" | "-u" | "-p" => word,
            _ => return Err(format!("{word} is not known here")),
        };
        let value = words.next().ok_or_else(|| format!("{to} needs a value"))?;
        let wrong = || format!("{to} {value}: not a value that it takes");
        let number = || value.parse::<u32>().map_err(|_| wrong());
        match to {
            "-h" => o.receiver = Some(value.parse().map_err(|_| wrong())?),
            "-P" => o.port = value.parse().ok().filter(|&p| p > 0).ok_or_else(wrong)?,
            "-n" => o.repeats = Some(number()?).filter(|&n| n > 0),
            "-l" => o.lower = number()?.max(1),
            "-u" => o.upper = number()?,
            _ => o.perturbation = number()?,
        }
    }
    Ok(o)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transmitter_s_line_is_read() {
        let o = parse("-h 10.0.0.1 -P 77 -l 64 -u 1000 -p 0 -n 50").unwrap();
        assert_eq!((o.receiver, o.port), (Some([10, 0, 0, 1].into()), 77));
        assert_eq!((o.lower, o.upper, o.perturbation, o.repeats), (64, 1000, 0, Some(50)));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["-h", "-h host", "-P 0", "-l x", "-s", "-2", "x"] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert_eq!(parse("").unwrap().receiver, None);
    }
}
