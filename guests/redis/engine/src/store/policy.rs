//! Eviction policies, and the 24 bits of a key that record its use.

/// A new key's frequency: enough to live through its first minutes.
const INITIAL: u32 = 5;
/// How hard a frequency is to raise (`lfu-log-factor`).
const LOG_FACTOR: u64 = 10;

/// `maxmemory-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    NoEviction,
    AllKeysLru,
    AllKeysLfu,
    VolatileTtl,
}

impl Policy {
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::NoEviction, "noeviction"),
        (Self::AllKeysLru, "allkeys-lru"),
        (Self::AllKeysLfu, "allkeys-lfu"),
        (Self::VolatileTtl, "volatile-ttl"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(policy, _)| *policy == self).map_or("", |(_, name)| name)
    }

    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| n.as_bytes().eq_ignore_ascii_case(name)).map(|(policy, _)| *policy)
    }
}

/// How a use of a key shows in its 24 bits: seconds of the last use, or with LFU 16 bits of minutes and 8 of frequency.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    /// Unix time, milliseconds.
    pub(crate) now: u64,
    pub(crate) policy: Policy,
    pub(crate) random: u64,
}

impl Access {
    fn minutes(self) -> u32 {
        (self.now / 60_000) as u32 & 0xffff
    }

    fn seconds(self) -> u32 {
        (self.now / 1000) as u32 & 0xff_ffff
    }

    pub(crate) fn fresh(self) -> u32 {
        if self.policy == Policy::AllKeysLfu { self.minutes() << 8 | INITIAL } else { self.seconds() }
    }

    pub(crate) fn used(self, before: u32) -> u32 {
        if self.policy != Policy::AllKeysLfu {
            return self.seconds();
        }
        let frequency = u64::from(self.frequency(before));
        let base = frequency.saturating_sub(u64::from(INITIAL));
        // Raised with a chance of 1 in (base * factor + 1).
        let raise = frequency < 255 && (self.random >> 16).is_multiple_of(base * LOG_FACTOR + 1);
        self.minutes() << 8 | (frequency as u32 + u32::from(raise))
    }

    /// Frequency, one less for each minute without use.
    pub(crate) fn frequency(self, access: u32) -> u32 {
        let idle = self.minutes().wrapping_sub(access >> 8) & 0xffff;
        (access & 0xff).saturating_sub(idle)
    }

    /// Seconds without use.
    pub(crate) fn idle(self, access: u32) -> u32 {
        self.seconds().wrapping_sub(access) & 0xff_ffff
    }
}
