//! Sequence numbers (RFC 9293 section 3.4): they wrap, so that one is before another only within 2 GiB.

use core::fmt;
use core::ops::{Add, Sub};

/// A sequence number.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Seq(pub u32);

impl Seq {
    /// Bytes from `earlier` to this one, which does not come before it; 0 if it does.
    pub fn since(self, earlier: Self) -> u32 {
        if self.before(earlier) { 0 } else { self.0.wrapping_sub(earlier.0) }
    }

    /// Whether it comes before another.
    pub fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether it comes after another.
    pub fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// The later of two.
    pub fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of two.
    pub fn min(self, other: Self) -> Self {
        if self.before(other) { self } else { other }
    }
}

impl Add<u32> for Seq {
    type Output = Self;
    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl Sub<u32> for Seq {
    type Output = Self;
    fn sub(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        let (last, first) = (Seq(u32::MAX), Seq(0));
        assert!(last.before(first) && first.after(last) && !first.before(first));
        assert_eq!((first.since(last), last.since(first)), (1, 0));
        assert_eq!((last.max(first), last.min(first)), (first, last));
        assert_eq!((last + 1, first - 1), (first, last));
    }
}
