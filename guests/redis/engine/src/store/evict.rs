//! What goes when memory is full: the policies, and the 24 bits a key has to tell how it was used.

use super::entry::{Entry, NEVER};
use super::keyspace::Keyspace;
use crate::table::Keyed;
use alloc::vec::Vec;

/// Keys looked at for one that goes.
const SAMPLE: usize = 24;
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

impl Keyspace {
    /// Deletes the key that is missed the least, by the policy; whether there was one.
    pub(crate) fn evict(&mut self) -> bool {
        let volatile = self.policy == Policy::VolatileTtl;
        let keys = |d: &super::keyspace::Database| if volatile { d.expiring } else { d.table.len() };
        if self.policy == Policy::NoEviction {
            return false;
        }
        let with: Vec<usize> = (0..self.databases.len()).filter(|&d| keys(&self.databases[d]) > 0).collect();
        if with.is_empty() {
            return false;
        }
        let db = with[(self.next_random() % with.len() as u64) as usize];
        let rng = self.next_random();
        let access = Access { now: self.now, policy: self.policy, random: 0 };
        let eviction_score = |entry: &Entry| match self.policy {
            Policy::VolatileTtl => NEVER - entry.expiry(),
            Policy::AllKeysLfu => u64::from(255 - access.frequency(entry.access())),
            _ => u64::from(access.idle(entry.access())),
        };
        let table = &self.databases[db].table;
        let shards = table.shards();
        let start = (rng % shards as u64) as usize;
        let (mut seen, mut worst): (usize, Option<(u64, usize, u64)>) = (0, None);
        for shard in (start..shards).chain(0..start) {
            for entry in table.shard(shard).filter(|s| !volatile || s.expiry() != NEVER) {
                seen += 1;
                let bad = eviction_score(entry);
                if worst.is_none_or(|(most, ..)| bad > most) {
                    worst = Some((bad, shard, table.hash(entry.key())));
                }
            }
            if seen >= SAMPLE {
                break;
            }
        }
        let Some((_, shard, hash)) = worst else { return false };
        let seed = self.seed;
        let evicted = self.databases[db].table.pop(shard, |entry| seed.hash(entry.key()) == hash);
        let Some(entry) = evicted else { return false };
        self.removed(db, &entry);
        self.counters.evicted += 1;
        self.changed(db, entry.key());
        true
    }
}
