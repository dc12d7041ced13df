//! CUBIC (RFC 9438) in integers: how many bytes may be on their way.

use crate::clock::Instant;
use core::time::Duration;

/// Segments of the first window (RFC 6928).
const INITIAL: u32 = 10;
/// Segments of the smallest window after a loss.
const MINIMUM: u32 = 2;
/// A window never grows beyond this, bytes.
const MAXIMUM: u32 = 1 << 30;
/// Growth is not computed for longer after a loss, milliseconds.
const LONGEST: u64 = 200_000;

/// A congestion window.
#[derive(Clone, Copy, Debug)]
pub struct Cubic {
    /// Bytes of a full segment.
    mss: u32,
    /// Bytes that may be on their way.
    window: u32,
    /// Below it the window doubles each round trip.
    threshold: u32,
    /// Window before the last loss (W_max), bytes.
    before: u32,
    /// When growth after the last loss began.
    epoch: Option<Instant>,
    /// From there until the window is `before` again (K), milliseconds.
    plateau: u64,
    /// What Reno's window would be (W_est), bytes.
    reno: u32,
    /// Window when growth began, bytes.
    start: u32,
    /// Parts of a byte that the window and `reno` are yet to grow by.
    rest: (u64, u64),
}

/// The integer cube root.
fn cube_root(n: u64) -> u64 {
    let mut root = 0u64;
    for bit in (0..22).rev() {
        let next = root | 1 << bit;
        if next.checked_pow(3).is_some_and(|cube| cube <= n) {
            root = next;
        }
    }
    root
}

impl Cubic {
    /// The window of a new connection.
    pub fn new(mss: u32) -> Self {
        let window = (INITIAL * mss).min((2 * mss).max(14_600));
        Self {
            mss,
            window,
            threshold: u32::MAX,
            before: 0,
            epoch: None,
            plateau: 0,
            reno: window,
            start: window,
            rest: (0, 0),
        }
    }

    /// Bytes that may be on their way.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Below it the window doubles each round trip, bytes.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Whether the window doubles each round trip.
    pub fn is_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    /// So many bytes have been acknowledged, and the window was what held the sender back.
    pub fn acknowledged(&mut self, bytes: u32, rtt: Duration, now: Instant) {
        let mut bytes = bytes;
        if self.is_slow_start() {
            let grown = bytes.min(self.threshold - self.window);
            self.window = (self.window + grown).min(MAXIMUM);
            bytes -= grown;
        }
        if bytes > 0 {
            self.avoid(bytes, rtt, now);
        }
    }

    /// Congestion avoidance (RFC 9438 sections 4.2 to 4.5).
    fn avoid(&mut self, bytes: u32, rtt: Duration, now: Instant) {
        let epoch = *self.epoch.get_or_insert_with(|| {
            (self.reno, self.start, self.rest) = (self.window, self.window, (0, 0));
            // In segments, C being 0.4: K³ = (W_max - cwnd) / C, in seconds; 10^9 of it in milliseconds.
            let below = u64::from(self.before.saturating_sub(self.window));
            self.plateau = cube_root(below * 2_500_000_000 / u64::from(self.mss));
            self.before = self.before.max(self.window);
            now
        });
        let time =
            (now.since(epoch) + rtt).as_millis().min(LONGEST.into()) as i128 - i128::from(self.plateau);
        let target = i128::from(self.before) + time.pow(3) * i128::from(self.mss) * 2 / 5_000_000_000;
        let window = u64::from(self.window);
        let target = target.clamp(window.into(), (window * 3 / 2).into()) as u64;
        let (cubic, reno) = (&mut self.rest.0, &mut self.rest.1);
        // (target - cwnd) / cwnd for each byte acknowledged.
        *cubic += (target - window) * u64::from(bytes);
        let grown = (*cubic / window) as u32;
        *cubic %= window;
        // Reno's rate: 3 (1 - β) / (1 + β) = 9/17 of a segment a round trip, and a whole one beyond the window before.
        let (share, whole) = if self.reno < self.before { (9, 17) } else { (1, 1) };
        *reno += u64::from(bytes) * u64::from(self.mss) * share;
        self.reno = self.reno.saturating_add((*reno / (window * whole)) as u32).min(MAXIMUM);
        *reno %= window * whole;
        self.window = self.window.saturating_add(grown).max(self.reno).min(MAXIMUM);
    }

    /// Something was lost: the window to go on with, 0.7 of the old one, is the threshold now.
    pub fn lost(&mut self) {
        self.epoch = None;
        // Fast convergence.
        self.before =
            if self.window < self.before { (u64::from(self.window) * 17 / 20) as u32 } else { self.window };
        self.threshold = ((u64::from(self.window) * 7 / 10) as u32).max(MINIMUM * self.mss);
    }

    /// Sets the window, during and at the end of a recovery.
    pub fn set_window(&mut self, bytes: u32) {
        self.window = bytes.clamp(self.mss, MAXIMUM);
    }

    /// Nothing was sent for so many time-outs: what was learned of the path is out of date (RFC 5681 section 4.1).
    pub fn idle(&mut self, timeouts: u32) {
        let restart = Self::new(self.mss).window.min(self.window);
        self.threshold = self.threshold.max(self.window / 4 * 3);
        self.window = (self.window >> timeouts.min(31)).max(restart);
        self.epoch = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;
    const RTT: Duration = Duration::from_millis(100);

    /// A round trip in which a whole window was acknowledged.
    fn round(cubic: &mut Cubic, now: &mut Instant) {
        let window = cubic.window();
        for _ in 0..window / MSS {
            cubic.acknowledged(MSS, RTT, *now);
        }
        *now = *now + RTT;
    }

    #[test]
    fn cube_roots_are_exact() {
        for n in [0, 1, 2, 1000, 2_000_000, 2_642_245] {
            assert_eq!(cube_root(n * n * n), n);
            assert_eq!(cube_root(n * n * n + 1), if n == 0 { 1 } else { n });
        }
    }

    #[test]
    fn a_window_doubles_until_a_loss_and_is_back_after_k() {
        let mut cubic = Cubic::new(MSS);
        let mut now = Instant(0);
        for _ in 0..5 {
            round(&mut cubic, &mut now);
        }
        assert_eq!(cubic.window(), 320 * MSS);
        cubic.lost();
        cubic.set_window(cubic.threshold());
        assert_eq!(cubic.window(), 224 * MSS);
        // K is the cube root of (320 - 224) / 0.4 s: 6.2 s.
        let since = now;
        while cubic.window() < 319 * MSS {
            round(&mut cubic, &mut now);
            assert!(now.since(since) < Duration::from_secs(8), "{cubic:?}");
        }
        assert!(now.since(since) > Duration::from_secs(4), "{cubic:?}");
        // Around it growth is slow, and fast later.
        let plateau = cubic.window();
        for _ in 0..10 {
            round(&mut cubic, &mut now);
        }
        assert!(cubic.window() < plateau + 10 * MSS, "{cubic:?}");
        for _ in 0..60 {
            round(&mut cubic, &mut now);
        }
        assert!(cubic.window() > 370 * MSS, "{cubic:?}");
    }

    #[test]
    fn small_windows_grow_as_reno_s() {
        let mut cubic = Cubic::new(MSS);
        let mut now = Instant(0);
        let short = Duration::from_micros(100);
        cubic.lost();
        cubic.set_window(cubic.threshold());
        let begun = cubic.window();
        for _ in 0..17 {
            for _ in 0..cubic.window() / MSS {
                cubic.acknowledged(MSS, short, now);
            }
            now = now + short;
        }
        assert!((begun + 7 * MSS..begun + 17 * MSS).contains(&cubic.window()), "{begun} {cubic:?}");
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut cubic = Cubic::new(65_535);
        for n in 0..100u64 {
            cubic.acknowledged(u32::MAX, Duration::from_secs(1000), Instant(n << 57));
            if n % 7 == 0 {
                cubic.lost();
            }
            cubic.idle(n as u32);
            assert!(cubic.window() <= MAXIMUM);
        }
    }
}
