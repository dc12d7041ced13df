//! What arguments can be: numbers, addresses, times, text.

use super::addresses::mask6;
use super::numbers::{parse_bandwidth, parse_billionths, parse_number, parse_time};
use super::{Names, unquote};
use crate::element::Nanos;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// What an argument can be.
pub trait Argument: Sized {
    /// What to say was expected.
    const WHAT: &'static str;
    /// Reads it.
    fn parse(text: &str, names: &Names) -> Option<Self>;
}

macro_rules! argument {
    ($type:ty, $what:literal, |$text:ident, $names:ident| $parse:expr) => {
        impl Argument for $type {
            const WHAT: &'static str = $what;
            fn parse($text: &str, $names: &Names) -> Option<Self> {
                let _ = $names;
                $parse
            }
        }
    };
}

/// A rate in bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth(pub u64);
/// An IPv4 address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ipv4(pub [u8; 4]);
/// An IPv4 prefix, host bits zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix(pub [u8; 4], pub u8);
/// An IPv6 address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ipv6(pub [u8; 16]);
/// An IPv6 prefix, host bits zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix6(pub [u8; 16], pub u8);
/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ethernet(pub [u8; 6]);
/// Bytes, as a quoted string or `\\<hex>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data(pub Vec<u8>);
/// A length of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time(pub Nanos);
/// A number from 0 to 1, in units of 2^-32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probability(pub u64);

/// A time in seconds, with as many digits behind the point as it needs.
pub fn seconds(time: Nanos) -> String {
    let text = format!("{}.{:09}", time / 1_000_000_000, time % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A packet's time in seconds: six digits behind the point, or nine if it is no whole number of microseconds. What
/// lies before 1970 is negative.
#[inline(never)]
pub fn stamp(time: Nanos) -> String {
    let sign = if (time as i64) < 0 { "-" } else { "" };
    let time = (time as i64).unsigned_abs();
    let mut text = format!("{sign}{}.{:09}", time / 1_000_000_000, time % 1_000_000_000);
    if time.is_multiple_of(1000) {
        text.truncate(text.len() - 3);
    }
    text
}

impl fmt::Display for Ipv4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::net::Ipv4Addr::from(self.0).fmt(f)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4(self.0), self.1)
    }
}

impl fmt::Display for Ipv6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::net::Ipv6Addr::from(self.0).fmt(f)
    }
}

impl fmt::Display for Prefix6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv6(self.0), self.1)
    }
}

impl Prefix6 {
    /// The network of an address.
    pub fn new(address: [u8; 16], length: u8) -> Self {
        Self(mask6(address, length), length.min(128))
    }

    /// Whether an address lies in it.
    pub fn contains(self, address: [u8; 16]) -> bool {
        Self::new(address, self.1) == self
    }
}

impl fmt::Display for Ethernet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{g:02X}")
    }
}

argument!(u64, "an unsigned integer", |t, n| parse_number(t));
argument!(u32, "an unsigned integer", |t, n| parse_number(t)?.try_into().ok());
argument!(u16, "an integer from 0 to 65535", |t, n| match parse_number(t) {
    Some(number) => number.try_into().ok(),
    None => n.port(t),
});
argument!(u8, "an integer from 0 to 255", |t, n| parse_number(t)?.try_into().ok());
argument!(usize, "an unsigned integer", |t, n| parse_number(t)?.try_into().ok());
argument!(i64, "an integer", |t, n| match t.strip_prefix('-') {
    None if t.starts_with('+') => i64::try_from(parse_number(&t[1..])?).ok(),
    Some(positive) => i64::try_from(parse_number(positive)?).ok().map(|v| -v),
    None => parse_number(t)?.try_into().ok(),
});
argument!(i32, "an integer", |t, n| i64::parse(t, n)?.try_into().ok());
argument!(bool, "a boolean", |t, n| match t.to_ascii_lowercase().as_str() {
    "true" | "yes" | "1" | "t" | "y" => Some(true),
    "false" | "no" | "0" | "f" | "n" => Some(false),
    _ => None,
});
argument!(String, "a string", |t, n| Some(super::text_of(&unquote(t))));
argument!(Data, "a string", |t, n| Some(Data(super::bytes_of(&super::text_of(&unquote(t))))));
argument!(Bandwidth, "a bandwidth", |t, n| parse_bandwidth(t).map(Bandwidth));
argument!(Ipv4, "an IP address", |t, n| n.ipv4(t).map(Ipv4));
argument!(Ipv6, "an IPv6 address", |t, n| n.ipv6(t).map(Ipv6));
argument!(Prefix6, "an IPv6 prefix", |t, n| n.prefix6(t).map(|(a, l)| Prefix6(a, l)));
argument!(Prefix, "an IP prefix", |t, n| n.prefix(t).map(|(a, l)| Prefix(a, l)));
argument!(Ethernet, "an Ethernet address", |t, n| n.ethernet(t).map(Ethernet));
argument!(Time, "a time in seconds", |t, n| parse_time(t).map(Time));
argument!(Probability, "a number from 0 to 1", |t, n| {
    let billionths = parse_billionths(t).filter(|&b| b <= 1_000_000_000)?;
    Some(Probability((u128::from(billionths) << 32).div_euclid(1_000_000_000) as u64))
});
