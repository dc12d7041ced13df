//! The one clock of a timeline: the time stamp counter, the same in host and guest.

use std::arch::x86_64::_rdtsc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A reading of the time stamp counter.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Tsc(pub u64);

impl Tsc {
    /// Now.
    #[allow(unsafe_code)]
    pub fn now() -> Self {
        // SAFETY: every x86-64 processor has the instruction.
        Tsc(unsafe { _rdtsc() })
    }

    /// Nanoseconds since an earlier reading; 0 if it was not earlier.
    pub fn since(self, earlier: Tsc, hz: u64) -> u64 {
        let ticks = u128::from(self.0.saturating_sub(earlier.0));
        u64::try_from(ticks * 1_000_000_000 / u128::from(hz.max(1))).unwrap_or(u64::MAX)
    }
}

/// Wall clock, nanoseconds since 1970.
pub fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}
