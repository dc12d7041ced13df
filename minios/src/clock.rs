//! Time from the time stamp counter: monotonic, and of day.
#![allow(unsafe_code)]

use crate::global::Global;
use abi::boot::BootPage;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A reading of the time stamp counter, which is the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tsc(pub u64);

/// A moment on the guest's monotonic clock, nanoseconds since shortly before entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// Time from `earlier` to this moment; zero if it came later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos().min(u64::MAX.into()) as u64))
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// How counter readings and nanoseconds convert, in 32.32 fixed point.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// The counter at moment 0 of the monotonic clock.
    base: Tsc,
    /// Nanoseconds per tick, 32.32 fixed point.
    ns_per_tick: u64,
    /// Ticks per nanosecond, 32.32 fixed point.
    ticks_per_ns: u64,
}

impl Scale {
    const fn new(base: Tsc, hz: u64) -> Self {
        // A frequency beyond these bounds is no counter's; the guest then runs with a wrong clock, and runs.
        let hz = if hz < 1_000_000 { 1_000_000 } else { hz };
        Self {
            base,
            ns_per_tick: ((1_000_000_000u128 << 32) / hz as u128) as u64,
            ticks_per_ns: (((hz as u128) << 32) / 1_000_000_000) as u64,
        }
    }

    const fn ns(self, ticks: u64) -> u64 {
        ((ticks as u128 * self.ns_per_tick as u128) >> 32) as u64
    }

    const fn instant(self, at: Tsc) -> Instant {
        Instant(self.ns(at.0.saturating_sub(self.base.0)))
    }

    /// Rounded up: who sleeps until then does not wake before.
    const fn tsc(self, at: Instant) -> Tsc {
        let ticks = ((at.0 as u128 * self.ticks_per_ns as u128) >> 32) + 2;
        let ticks = if ticks > u64::MAX as u128 { u64::MAX } else { ticks as u64 };
        Tsc(self.base.0.saturating_add(ticks))
    }
}

struct Clock {
    scale: Scale,
    /// Wall clock, nanoseconds since 1970, at a counter reading.
    wall: (Tsc, u64),
}

static CLOCK: Global<Clock> =
    Global::new(Clock { scale: Scale::new(Tsc(0), 1_000_000_000), wall: (Tsc(0), 0) });

/// Reads the time stamp counter.
pub fn tsc() -> Tsc {
    // SAFETY: reads a counter; every x86-64 has it, and CR4.TSD is clear for guests.
    Tsc(unsafe { core::arch::x86_64::_rdtsc() })
}

#[cfg_attr(test, allow(dead_code))]
pub(crate) fn init(page: &BootPage) {
    let base = Tsc(page.clock_tsc);
    CLOCK.with(|clock| {
        *clock = Clock { scale: Scale::new(base, page.tsc_hz), wall: (base, page.clock_unix_ns) };
    });
}

/// Sets the wall clock from the monitor's clock message.
pub(crate) fn set_wall_clock(at: Tsc, unix_ns: u64) {
    CLOCK.with(|clock| clock.wall = (at, unix_ns));
}

/// Now, on the monotonic clock.
pub fn now() -> Instant {
    let scale = CLOCK.with(|clock| clock.scale);
    scale.instant(tsc())
}

/// The counter reading at a moment: what [`crate::registers::yield_until`] takes.
pub fn tsc_at(at: Instant) -> Tsc {
    CLOCK.with(|clock| clock.scale).tsc(at)
}

/// Wall clock, nanoseconds since 1970 (UTC).
pub fn unix_ns() -> u64 {
    let (scale, wall) = CLOCK.with(|clock| (clock.scale, clock.wall));
    wall.1.saturating_add(scale.ns(tsc().0.saturating_sub(wall.0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_exact_to_the_microsecond() {
        for hz in [1_000_000_000, 2_100_000_000, 2_599_999_123, 3_700_000_000u64] {
            let scale = Scale::new(Tsc(1 << 40), hz);
            let day = 86_400 * hz;
            let ns = scale.instant(Tsc((1 << 40) + day)).0;
            assert!(ns.abs_diff(86_400_000_000_000) < 86_400_000, "{hz}: {ns}");
        }
    }

    #[test]
    fn a_deadline_is_never_early() {
        for hz in [1_000_000_000, 2_099_999_999, 3_700_000_001u64] {
            let scale = Scale::new(Tsc(12345), hz);
            for ns in [0, 1, 999, 1_000_000, 3_600_000_000_000] {
                let back = scale.instant(scale.tsc(Instant(ns))).0;
                assert!(back + back / 1_000_000_000 >= ns, "{hz}: {ns} came back as {back}");
            }
        }
    }

    #[test]
    fn odd_readings_and_frequencies_do_not_panic() {
        let scale = Scale::new(Tsc(u64::MAX), 0);
        assert_eq!(scale.instant(Tsc(5)), Instant(0));
        assert_eq!(scale.tsc(Instant(u64::MAX)), Tsc(u64::MAX));
    }
}
