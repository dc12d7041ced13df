//! Round-trip times and the retransmission time-out (RFC 6298), and the smallest time of late.

use crate::clock::Instant;
use core::time::Duration;

/// Before there is a measurement.
const INITIAL: Duration = Duration::from_secs(1);
/// As in Linux: a peer may hold an acknowledgement back for nearly as long.
const MINIMUM: Duration = Duration::from_millis(200);
/// The longest time-out, backed off.
const MAXIMUM: Duration = Duration::from_secs(60);
/// For how long the smallest time counts.
const WINDOW: Duration = Duration::from_secs(300);

/// What is known of the time to the peer and back.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
    minimum: Duration,
    minimum_at: Instant,
    /// Time-outs since the last progress.
    backoff: u32,
}

impl RoundTrip {
    /// Takes a measurement in.
    pub fn measured(&mut self, time: Duration, now: Instant) {
        match self.smoothed {
            None => (self.smoothed, self.variation) = (Some(time), time / 2),
            Some(smoothed) => {
                self.variation = (3 * self.variation + smoothed.abs_diff(time)) / 4;
                self.smoothed = Some((7 * smoothed + time) / 8);
            }
        }
        if self.minimum == Duration::ZERO || time <= self.minimum || now.since(self.minimum_at) > WINDOW {
            (self.minimum, self.minimum_at) = (time.max(Duration::from_nanos(1)), now);
        }
    }

    /// The smoothed time.
    pub fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The smallest time of late; zero before there is one.
    pub fn minimum(&self) -> Duration {
        self.minimum
    }

    /// How long to wait for an acknowledgement.
    pub fn timeout(&self) -> Duration {
        let base = match self.smoothed {
            None => INITIAL,
            Some(smoothed) => smoothed + MINIMUM.max(4 * self.variation),
        };
        base.saturating_mul(1 << self.backoff.min(10)).min(MAXIMUM)
    }

    /// The time-out has passed: the next is twice as long.
    pub fn back_off(&mut self) {
        self.backoff += 1;
    }

    /// Time-outs since the last progress.
    pub fn backoff(&self) -> u32 {
        self.backoff
    }

    /// The peer has acknowledged something new.
    pub fn progress(&mut self) {
        self.backoff = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn time_outs_follow_measurements_and_progress_ends_the_back_off() {
        let mut rtt = RoundTrip::default();
        assert_eq!(rtt.timeout(), INITIAL);
        rtt.measured(ms(100), Instant(1));
        assert_eq!(rtt.timeout(), ms(300), "smoothed and four times the variation, or 200 ms");
        rtt.back_off();
        rtt.back_off();
        assert_eq!(rtt.timeout(), ms(1200));
        rtt.progress();
        assert_eq!(rtt.timeout(), ms(300));
        for _ in 0..100 {
            rtt.measured(ms(10), Instant(2));
        }
        assert!((ms(210)..ms(212)).contains(&rtt.timeout()), "{rtt:?}");
        assert_eq!(rtt.minimum(), ms(10));
        for _ in 0..100 {
            rtt.back_off();
        }
        assert_eq!(rtt.timeout(), MAXIMUM);
    }
}
