//! Learns from the arrival times of work how long to poll before a sleep, and when to wake up before the next arrival. Times are
//! nanoseconds.
//!
//! Polling is worth it if work arrives sooner than a sleep and a wake-up would take. If work arrives at regular times, for
//! example from a client that sends a request every millisecond, the guest predicts the next arrival and sleeps until shortly
//! before it. Both are limited: a poll in vain halves the next one, and waiting for a prediction takes a limited part of the
//! time between two arrivals.

/// Shortest poll, nanoseconds.
const POLL_MINIMUM: u64 = 5_000;
/// Largest assumed cost of a sleep and a wake-up, nanoseconds. A longer sleep was long because no work arrived.
const COST_MAXIMUM: u64 = 150_000;
/// After this many polls in vain in a row, each of which should have been long enough, the other side was probably waiting for
/// the guest's processor.
const FUTILE_POLLS_MAXIMUM: u8 = 4;
/// Number of sleeps without polling after that.
const SKIPPED_POLLS: u8 = 250;
/// Waiting for a predicted arrival takes at most this fraction (1 / n) of the time between two arrivals.
const PREDICTION_SHARE: u64 = 5;
/// After this many wrong predictions in a row, the next [`UNPREDICTED_ARRIVALS`] arrivals are not predicted.
const MISSES_MAXIMUM: u8 = 4;
const UNPREDICTED_ARRIVALS: u8 = 50;

/// The learned state of polling and prediction.
#[derive(Debug)]
pub struct Polling {
    /// Longest poll.
    maximum: u64,
    /// Length of the next poll, at most `maximum`.
    window: u64,
    /// Estimated cost of a sleep and a wake-up: about the shortest one seen.
    cost: u64,
    /// Polls in vain in a row, each before a sleep that was hardly longer than its cost.
    futile_polls: u8,
    /// Number of further sleeps without polling.
    skip_polls: u8,
    /// The last arrival that was not polled for, the average time between such arrivals, and its mean deviation.
    last_arrival: u64,
    gap: u64,
    deviation: u64,
    /// Average delay of a wake-up after its deadline.
    lateness: u64,
    /// Wrong predictions in a row, and further arrivals that are not predicted.
    misses: u8,
    unpredicted: u8,
}

impl Polling {
    /// Initial state; polls take at most `maximum`.
    pub const fn new(maximum: u64) -> Self {
        let (window, cost) = (maximum, COST_MAXIMUM / 2);
        Self {
            maximum,
            window,
            cost,
            futile_polls: 0,
            skip_polls: 0,
            last_arrival: 0,
            gap: 0,
            deviation: 0,
            lateness: COST_MAXIMUM / 2,
            misses: 0,
            unpredicted: MISSES_MAXIMUM,
        }
    }

    /// Length of the poll before the next sleep.
    pub fn window(&mut self) -> u64 {
        if self.skip_polls > 0 {
            self.skip_polls -= 1;
            return 0;
        }
        self.window
    }

    /// Records that work arrived after polling for this time.
    pub fn poll_succeeded(&mut self, polled: u64) {
        self.futile_polls = 0;
        self.window = (4 * polled).max(self.window - self.window / 8).max(POLL_MINIMUM).min(self.maximum);
    }

    /// Records that work arrived at `now`, after a sleep of this length and a poll of this length before it.
    pub fn sleep_ended(&mut self, polled: u64, sleep: u64, now: u64) {
        // To wake took about as long as it takes after a deadline.
        self.record_arrival(now.saturating_sub(self.lateness));
        self.cost = (self.cost + self.cost / 64).min(sleep).min(COST_MAXIMUM);
        let waited = polled + sleep.saturating_sub(self.cost);
        if polled > 0 && waited <= self.maximum {
            self.futile_polls += 1;
            if self.futile_polls >= FUTILE_POLLS_MAXIMUM {
                (self.futile_polls, self.skip_polls) = (0, SKIPPED_POLLS);
            }
        }
        self.window = if waited <= self.maximum { (2 * waited).max(POLL_MINIMUM) } else { self.window / 2 };
        self.window = self.window.min(self.maximum);
        if self.window < 1000 {
            self.window = 0;
        }
    }

    /// Records an arrival that was not polled for.
    fn record_arrival(&mut self, now: u64) {
        let gap = now.saturating_sub(self.last_arrival);
        if gap < 2 * self.maximum {
            // It belongs to what came last.
            return;
        }
        self.last_arrival = now;
        self.unpredicted = self.unpredicted.saturating_sub(1);
        let error = gap.abs_diff(self.gap);
        if error > self.gap / 4 {
            // It is another rhythm, if it is one.
            (self.gap, self.deviation, self.misses) = (gap, gap / 8, 0);
            self.unpredicted = self.unpredicted.max(MISSES_MAXIMUM);
        } else {
            self.gap = self.gap - self.gap / 8 + gap / 8;
            self.deviation = self.deviation - self.deviation / 4 + error / 4;
        }
    }

    /// The time to wake up before the predicted arrival, and the end of the poll for it.
    pub fn prediction(&self, now: u64) -> Option<(u64, u64)> {
        if self.unpredicted > 0 {
            return None;
        }
        let spread = (3 * self.deviation + POLL_MINIMUM).min(self.gap / (2 * PREDICTION_SHARE));
        let at = self.last_arrival + self.gap;
        let early = at.saturating_sub(spread + self.lateness);
        (early > now + self.cost).then_some((early, at + spread))
    }

    /// Records that the predicted work arrived at `now`.
    pub fn prediction_met(&mut self, now: u64) {
        self.misses = 0;
        self.record_arrival(now);
    }

    /// Records that the predicted work did not arrive.
    pub fn prediction_missed(&mut self) {
        self.misses += 1;
        if self.misses >= MISSES_MAXIMUM {
            (self.misses, self.unpredicted) = (0, UNPREDICTED_ARRIVALS);
        }
    }

    /// Records that a sleep until `early` is over without work.
    pub fn woke_early(&mut self, early: u64, now: u64) {
        let late = now.saturating_sub(early).min(self.gap / 4);
        self.lateness = self.lateness - self.lateness / 8 + late / 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAXIMUM: u64 = 100_000;
    const MICRO: u64 = 1000;
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn polling_ends_when_it_does_not_pay_and_returns_when_it_would_have() {
        let mut polling = Polling::new(MAXIMUM);
        for n in 1..20 {
            let polled = polling.window();
            polling.sleep_ended(polled, SECOND, n * SECOND);
        }
        assert_eq!(polling.window(), 0);
        polling.sleep_ended(0, 80 * MICRO, 21 * SECOND);
        assert!(polling.window() > 0, "a sleep that took what sleeping costs");
        polling.poll_succeeded(60 * MICRO);
        assert_eq!(polling.window(), MAXIMUM);
        for _ in 0..40 {
            polling.poll_succeeded(2 * MICRO);
        }
        assert!(polling.window() < 10 * MICRO, "no longer than it takes");
    }

    #[test]
    fn who_waits_for_its_own_processor_sleeps_at_once_for_a_while() {
        let mut polling = Polling::new(MAXIMUM);
        for n in 0..6 {
            let polled = polling.window();
            polling.sleep_ended(polled, 30 * MICRO, n * 200 * MICRO);
        }
        assert_eq!(polling.window(), 0);
        for n in 0..u64::from(SKIPPED_POLLS) {
            polling.sleep_ended(0, 30 * MICRO, 100_000 * MICRO + n * 50 * MICRO);
            polling.window();
        }
        assert!(polling.window() > 0, "it tries again");
    }

    /// Arrivals that are `gap` apart, later by up to `jitter`; how many of them were expected.
    fn expected(gap: u64, jitter: u64, count: u64) -> (u64, u64) {
        let mut polling = Polling::new(MAXIMUM);
        let (mut hits, mut spent) = (0, 0);
        for n in 1..=count {
            let at = n * gap + (n * 2_654_435_761 >> 9) % 1000 * jitter / 1000;
            let now = (n - 1) * gap + gap / 10;
            match polling.prediction(now) {
                Some((early, late)) if (early..=late).contains(&at) => {
                    (hits, spent) = (hits + 1, spent + at - early);
                    polling.woke_early(early, early + 60 * MICRO);
                    polling.prediction_met(at);
                }
                Some((early, late)) => {
                    spent += late - early;
                    polling.prediction_missed();
                    polling.sleep_ended(0, gap, at + 60 * MICRO);
                }
                None => polling.sleep_ended(0, gap, at + 60 * MICRO),
            }
        }
        (hits, spent * 100 / (count * gap))
    }

    #[test]
    fn what_comes_regularly_is_expected_at_a_bounded_cost() {
        let (hits, percent) = expected(1000 * MICRO, 20 * MICRO, 200);
        assert!(hits > 150 && percent <= 25, "{hits} hits, {percent} % of the time");
        let (hits, percent) = expected(SECOND, 500 * MICRO, 200);
        assert!(hits > 150 && percent == 0, "{hits} hits, {percent} % of the time");
        let (hits, percent) = expected(1000 * MICRO, 900 * MICRO, 500);
        assert!(hits < 50 && percent <= 5, "what comes at any time: {hits} hits, {percent} % of the time");
    }
}
