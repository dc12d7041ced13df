//! What holds packets, chooses where they go, and when.

mod bandwidth_shaper;
mod discard;
mod idle;
mod null;
mod paint_switch;
mod prio_sched;
mod queue;
mod random_sample;
mod round_robin_sched;
mod shaper;
mod switch;
mod tee;
mod unqueue;

pub use bandwidth_shaper::BandwidthShaper;
pub use discard::Discard;
pub use idle::Idle;
pub use null::Null;
pub use paint_switch::PaintSwitch;
pub use prio_sched::PrioSched;
pub use queue::Queue;
pub use random_sample::RandomSample;
pub use round_robin_sched::RoundRobinSched;
pub use shaper::Shaper;
pub use switch::Switch;
pub use tee::Tee;
pub use unqueue::Unqueue;

use crate::element::Nanos;

const SECOND: u128 = 1_000_000_000;

/// Tokens that arrive at a rate and can be saved up: packets or bytes that may go now.
pub(super) struct Bucket {
    /// Tokens a second.
    pub(super) rate: u64,
    /// Tokens times nanoseconds in a second; below zero after more was taken than was there.
    level: i128,
    most: u64,
    filled: Nanos,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: u64, most: u64) -> Self {
        Self { rate, level: (u128::from(most) * SECOND) as i128, most, filled: 0 }
    }

    /// Another rate, and what can be saved up.
    pub(super) fn set(&mut self, rate: u64, most: u64) {
        *self = Self {
            rate,
            level: self.level.min((u128::from(most) * SECOND) as i128),
            most,
            filled: self.filled,
        };
    }

    /// Whole tokens that are there now.
    pub(super) fn fill(&mut self, now: Nanos) -> u64 {
        let most = (u128::from(self.most) * SECOND) as i128;
        let passed = now.saturating_sub(self.filled);
        self.filled = now;
        self.level = (self.level + i128::from(passed) * i128::from(self.rate)).min(most);
        u64::try_from(self.level / SECOND as i128).unwrap_or(0)
    }

    /// Takes tokens, whether they are there or not.
    pub(super) fn take(&mut self, tokens: u64) {
        self.level -= i128::from(tokens) * SECOND as i128;
    }

    /// When the next whole token is there; `None`: never.
    pub(super) fn next(&self) -> Option<Nanos> {
        let missing = (SECOND as i128 - self.level).max(0);
        let wait = (missing as u128).div_ceil(u128::from(self.rate).max(1));
        (self.rate > 0).then(|| self.filled.saturating_add(wait.try_into().unwrap_or(Nanos::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_on_average() {
        let mut bucket = Bucket::new(333, 10);
        let (mut now, mut given) = (0, 0);
        while now < 30_000_000_000 {
            let n = bucket.fill(now);
            bucket.take(n);
            given += n;
            now = bucket.next().unwrap();
        }
        assert!((9990..=10_010).contains(&given), "{given}");
    }
}
