//! Token buckets.

/// Nanoseconds on the worker's clock.
pub type Nanos = u64;

/// A bucket that fills at a rate, up to a burst. One charge may overdraw it.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Tokens a second.
    rate: u64,
    burst: i64,
    tokens: i64,
    /// Fraction of a token, billionths.
    fraction: u32,
    filled: Nanos,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: u64, burst: u64) -> Self {
        let burst = i64::try_from(burst).unwrap_or(i64::MAX).max(1);
        Self { rate: rate.max(1), burst, tokens: burst, fraction: 0, filled: 0 }
    }

    /// Tokens a second.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    #[inline]
    fn fill(&mut self, now: Nanos) {
        let passed = now.saturating_sub(self.filled);
        if passed == 0 {
            return;
        }
        let billionths = u128::from(passed) * u128::from(self.rate) + u128::from(self.fraction);
        let new = billionths / 1_000_000_000;
        self.fraction = (billionths % 1_000_000_000) as u32;
        self.filled = now;
        self.tokens = self.burst.min(self.tokens.saturating_add(i64::try_from(new).unwrap_or(i64::MAX)));
    }

    /// Takes tokens if there are any. Returns whether there were.
    #[inline]
    pub fn take(&mut self, tokens: u64, now: Nanos) -> bool {
        self.fill(now);
        if self.tokens <= 0 {
            return false;
        }
        self.charge(tokens);
        true
    }

    /// Takes tokens, whether there are any or not.
    #[inline]
    pub fn charge(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_sub_unsigned(tokens);
    }

    /// Time until there are tokens; 0 if there are.
    pub fn wait(&mut self, now: Nanos) -> Nanos {
        self.fill(now);
        if self.tokens > 0 {
            return 0;
        }
        (u128::from(self.tokens.unsigned_abs() + 1) * 1_000_000_000 / u128::from(self.rate)) as u64 + 1
    }
}

/// A rate in bytes, in packets, or both; or none.
#[derive(Clone, Debug, Default)]
pub struct RateLimiter {
    /// Bytes.
    pub bytes: Option<TokenBucket>,
    /// Packets.
    pub packets: Option<TokenBucket>,
}

impl RateLimiter {
    /// Takes the tokens of one packet. Returns whether it may pass.
    #[inline]
    pub fn take(&mut self, bytes: usize, now: Nanos) -> bool {
        let enough = self.bytes.as_mut().is_none_or(|b| b.wait(now) == 0)
            && self.packets.as_mut().is_none_or(|b| b.wait(now) == 0);
        if enough {
            self.charge(1, bytes as u64);
        }
        enough
    }

    /// Takes the tokens of a packet that has passed already.
    #[inline]
    pub fn charge(&mut self, packets: u64, bytes: u64) {
        if let Some(b) = &mut self.bytes {
            b.charge(bytes);
        }
        if let Some(b) = &mut self.packets {
            b.charge(packets);
        }
    }

    /// Whether there is no limit.
    #[inline]
    pub fn is_none(&self) -> bool {
        self.bytes.is_none() && self.packets.is_none()
    }

    /// Time until a packet may pass.
    pub fn wait(&mut self, now: Nanos) -> Nanos {
        let bytes = self.bytes.as_mut().map_or(0, |b| b.wait(now));
        bytes.max(self.packets.as_mut().map_or(0, |b| b.wait(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_its_rate_pass() {
        let mut b = TokenBucket::new(1_000_000, 10_000);
        let mut passed = 0;
        for us in 0..1_000_000u64 {
            if b.take(1000, us * 1000) {
                passed += 1000;
            }
        }
        assert!((1_000_000..=1_012_000).contains(&passed), "{passed}");
    }

    #[test]
    fn what_is_a_little_over_the_rate_passes_at_the_rate() {
        let mut b = TokenBucket::new(1000, 10);
        // 1,100 packets a second for ten seconds.
        let passed = (0..11_000u64).filter(|n| b.take(1, n * 909_091)).count();
        assert!((9_990..=10_020).contains(&passed), "{passed}");
    }

    #[test]
    fn no_rate_is_exceeded_however_often_it_is_asked() {
        for rate in [1, 999, 1_000_003, 1_500_000_000] {
            let mut b = TokenBucket::new(rate, 1000);
            let passed = (1..=1_000_000u64).filter(|n| b.take(1, n * 7)).count() as u64;
            let allowed = 1001 + (u128::from(rate) * 7_000_000 / 1_000_000_000) as u64;
            assert!(passed <= allowed, "{rate}: {passed} of {allowed}");
        }
    }

    #[test]
    fn waiting_as_long_as_it_says_is_enough() {
        let mut b = TokenBucket::new(125_000_000, 64_000);
        assert!(b.take(500_000, 1));
        let wait = b.wait(1);
        assert!(wait > 3_000_000 && !b.clone().take(1, wait / 2) && b.take(1, 1 + wait));
    }
}
