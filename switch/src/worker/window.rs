//! How long an idle device is polled before it is armed, learned from how far packets were apart. Times are nanoseconds.

/// Where packets are so many times as far apart as an idle device is polled at least, it is polled for longer: sleeping in
/// between and being woken would take as long, and everybody waits for it.
const WINDOW_FACTOR: u64 = 4;

/// The time, and what it is learned from.
#[derive(Debug)]
pub struct Window {
    minimum: u64,
    current: u64,
    last: u64,
}

impl Window {
    /// Polls so long at least.
    pub fn new(least: u64) -> Self {
        Self { minimum: least, current: least, last: 0 }
    }

    /// How long a device is polled.
    pub fn current(&self) -> u64 {
        self.current
    }

    /// Packets have come.
    #[inline]
    pub fn packets(&mut self, now: u64) {
        let gap = now - self.last;
        self.last = now;
        if gap > self.minimum / 2 {
            self.learn(gap);
        }
    }

    #[cold]
    fn learn(&mut self, gap: u64) {
        let most = WINDOW_FACTOR * self.minimum;
        let wanted = if gap <= most { (2 * gap).min(most) } else { 0 };
        self.current = wanted.max(self.current - self.current / 8).max(self.minimum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_gaps_between_packets_within_its_bounds() {
        let mut window = Window::new(50_000);
        let mut now = 0;
        let mut after = |gap: u64, times: u32| {
            for _ in 0..times {
                now += gap;
                window.packets(now);
            }
            window.current()
        };
        assert_eq!(after(10_000, 100), 50_000);
        assert_eq!(after(80_000, 1), 160_000);
        assert_eq!(after(190_000, 1), 200_000);
        assert!(after(1_000_000, 3) > 100_000, "one long pause is no reason");
        assert_eq!(after(1_000_000, 30), 50_000);
        assert_eq!(after(5_000_000_000, 1), 50_000);
    }
}
