//! Eviction when memory is full.

use super::entry::{Entry, NEVER};
use super::keyspace::Keyspace;
use super::policy::{Access, Policy};
use crate::table::Keyed;
use alloc::vec::Vec;

/// Keys looked at for one that goes.
const SAMPLE: usize = 24;
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
