//! Databases of keys with expiry.
//!
//! An expired key goes when somebody asks for it, or in [`Keyspace::expire`]. What makes the latter cheap is that each
//! shard of the table knows a moment before which none of its keys expires: whoever has nothing to expire needs no
//! timer, and who has looks only where something is due.

use super::evict::{Access, Policy};
use super::slot::{NEVER, Slot};
use super::{Kind, Value};
use crate::error::Error;
use crate::table::{Keyed, Seed, Table};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

/// Databases.
pub(crate) const DATABASES: usize = 16;
/// Shards that one round of expiry looks at.
const ROUND: usize = 64;

/// One database.
pub(crate) struct Database {
    pub(crate) table: Table<Slot>,
    /// Keys with an expiry.
    pub(crate) expiring: usize,
    /// By shard: no key of it expires before.
    due: Vec<u64>,
    /// No key at all expires before.
    next_due: u64,
    /// Who watches a key.
    pub(crate) watched: BTreeMap<Vec<u8>, Vec<u64>>,
    /// Who waits for something in a key, longest first.
    pub(crate) waiting: BTreeMap<Vec<u8>, VecDeque<u64>>,
}

impl Database {
    fn new(seed: Seed) -> Self {
        Self {
            table: Table::new(seed),
            expiring: 0,
            due: Vec::new(),
            next_due: NEVER,
            watched: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Follows the table's splits and merges: a half may expire as early as the whole.
    fn follow(&mut self) {
        let buddy = |shard: usize| shard & !(1 << (usize::BITS - 1 - shard.leading_zeros()));
        while self.due.len() < self.table.shards() {
            let new = self.due.len();
            self.due.push(if new == 0 { NEVER } else { self.due[buddy(new)] });
        }
        while self.due.len() > self.table.shards() {
            let last = self.due.len() - 1;
            let due = self.due.pop().unwrap_or(NEVER);
            if last > 0 {
                let into = buddy(last);
                self.due[into] = self.due[into].min(due);
            }
        }
    }

    fn note_expiry(&mut self, key: &[u8], expiry: u64) {
        self.follow();
        let shard = self.table.shard_of(key);
        self.due[shard] = self.due[shard].min(expiry);
        self.next_due = self.next_due.min(expiry);
    }
}

/// Counters that INFO shows.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
}

/// All databases.
pub(crate) struct Keyspace {
    pub(crate) databases: Vec<Database>,
    /// Unix time, milliseconds.
    pub(crate) now: u64,
    pub(crate) policy: Policy,
    pub(crate) counters: Counters,
    /// Changes since the start.
    pub(crate) changes: u64,
    /// Clients whose watched keys have changed.
    pub(crate) spoiled: Vec<u64>,
    /// Keys that somebody waits for and that have changed.
    pub(crate) ready: Vec<(usize, Vec<u8>)>,
    pub(crate) seed: Seed,
    random: u64,
    /// Lookups leave no trace in access times.
    pub(crate) quiet: bool,
    pub(crate) active_expiry: bool,
}

impl Keyspace {
    pub(crate) fn new(seed: Seed) -> Self {
        Self {
            databases: (0..DATABASES).map(|_| Database::new(seed)).collect(),
            now: 0,
            policy: Policy::NoEviction,
            counters: Counters::default(),
            changes: 0,
            spoiled: Vec::new(),
            ready: Vec::new(),
            seed,
            random: seed.0 | 1,
            quiet: false,
            active_expiry: true,
        }
    }

    /// A number by chance (xorshift64*).
    pub(crate) fn chance(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A generator of numbers by chance that borrows nothing.
    pub(crate) fn chances(&mut self) -> impl FnMut() -> u64 + use<> {
        let mut state = self.chance();
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 16
        }
    }

    /// A key has changed.
    pub(crate) fn changed(&mut self, db: usize, key: &[u8]) {
        self.changes += 1;
        self.touch(db, key);
        let database = &self.databases[db];
        if !database.waiting.is_empty() && database.waiting.contains_key(key) {
            self.ready.push((db, key.to_vec()));
        }
    }

    fn touch(&mut self, db: usize, key: &[u8]) {
        let database = &self.databases[db];
        if !database.watched.is_empty()
            && let Some(clients) = database.watched.get(key)
        {
            self.spoiled.extend_from_slice(clients);
        }
    }

    /// The entry of a key that has not expired.
    pub(crate) fn find(&mut self, db: usize, key: &[u8]) -> Option<&mut Slot> {
        if self.databases[db].expiring > 0 {
            let slot = self.databases[db].table.get(key)?;
            if slot.expiry() <= self.now {
                self.drop_expired(db, key);
                return None;
            }
        }
        let access = Access { now: self.now, policy: self.policy, chance: self.random };
        let slot = self.databases[db].table.get_mut(key)?;
        if !self.quiet {
            slot.set_access(access.used(slot.access()));
        }
        Some(slot)
    }

    fn drop_expired(&mut self, db: usize, key: &[u8]) {
        self.take(db, key);
        self.counters.expired += 1;
        self.touch(db, key);
    }

    /// [`Keyspace::find`], counted as a hit or a miss.
    pub(crate) fn read(&mut self, db: usize, key: &[u8]) -> Option<&Slot> {
        // The second lookup only happens for keys that are there; the borrow checker asks for it.
        if self.find(db, key).is_none() {
            self.counters.misses += 1;
            return None;
        }
        self.counters.hits += 1;
        self.databases[db].table.get(key)
    }

    /// A string that is there, or `None`.
    pub(crate) fn text(&mut self, db: usize, key: &[u8]) -> Result<Option<&[u8]>, Error> {
        match self.find(db, key) {
            Some(slot) => slot.text().ok_or(Error::WrongType).map(Some),
            None => Ok(None),
        }
    }

    /// A value of a type, for reading.
    pub(crate) fn get<K: Kind>(&mut self, db: usize, key: &[u8]) -> Result<Option<&K>, Error> {
        match self.find(db, key) {
            Some(slot) => slot.value().and_then(K::of).ok_or(Error::WrongType).map(Some),
            None => Ok(None),
        }
    }

    /// A value of a type.
    pub(crate) fn get_mut<K: Kind>(&mut self, db: usize, key: &[u8]) -> Result<Option<&mut K>, Error> {
        match self.find(db, key) {
            Some(slot) => slot.value_mut().and_then(K::of_mut).ok_or(Error::WrongType).map(Some),
            None => Ok(None),
        }
    }

    /// A value of a type, made if there is none. Whoever makes one puts something in.
    pub(crate) fn get_or_make<K: Kind>(&mut self, db: usize, key: &[u8]) -> Result<&mut K, Error> {
        if self.find(db, key).is_none() {
            self.put(db, key, K::empty(), NEVER);
        }
        let slot = self.databases[db].table.get_mut(key);
        slot.and_then(Slot::value_mut).and_then(K::of_mut).ok_or(Error::WrongType)
    }

    /// Puts a value in the place of whatever is there. Says nothing to watchers.
    pub(crate) fn put(&mut self, db: usize, key: &[u8], value: Value, expiry: u64) {
        let access = self.fresh();
        self.replace(db, key, Slot::new(key, value, expiry, access));
    }

    /// Puts a string in the place of whatever is there.
    pub(crate) fn put_text(&mut self, db: usize, key: &[u8], text: &[u8], expiry: u64) {
        let access = self.fresh();
        let database = &mut self.databases[db];
        if let Some(slot) = database.table.get_mut(key) {
            if expiry == NEVER && slot.expiry() == NEVER && slot.overwrite(text) {
                slot.set_access(access);
                return;
            }
            if slot.expiry() != NEVER {
                database.expiring -= 1;
            }
            *slot = Slot::string(key, text, expiry, access);
        } else {
            database.table.insert(Slot::string(key, text, expiry, access));
        }
        if expiry != NEVER {
            database.expiring += 1;
            database.note_expiry(key, expiry);
        }
    }

    fn fresh(&self) -> u32 {
        Access { now: self.now, policy: self.policy, chance: 0 }.fresh()
    }

    fn replace(&mut self, db: usize, key: &[u8], new: Slot) {
        let database = &mut self.databases[db];
        let expiry = new.expiry();
        match database.table.get_mut(key) {
            Some(slot) => {
                if slot.expiry() != NEVER {
                    database.expiring -= 1;
                }
                *slot = new;
            }
            None => drop(database.table.insert(new)),
        }
        if expiry != NEVER {
            database.expiring += 1;
            database.note_expiry(key, expiry);
        }
    }

    /// Takes a key out.
    pub(crate) fn take(&mut self, db: usize, key: &[u8]) -> Option<Slot> {
        let database = &mut self.databases[db];
        let slot = database.table.remove(key)?;
        if slot.expiry() != NEVER {
            database.expiring -= 1;
            if database.expiring == 0 {
                database.due.fill(NEVER);
                database.next_due = NEVER;
            }
        }
        Some(slot)
    }

    /// Deletes a key; whether it was there.
    pub(crate) fn delete(&mut self, db: usize, key: &[u8]) -> bool {
        let there = self.find(db, key).is_some();
        if there {
            self.take(db, key);
            self.changed(db, key);
        }
        there
    }

    /// Deletes a collection that has become empty.
    pub(crate) fn tidy(&mut self, db: usize, key: &[u8]) {
        let slot = self.databases[db].table.get(key);
        let empty =
            slot.and_then(Slot::value).is_some_and(|v| !matches!(v, Value::Stream(_)) && v.len() == 0);
        if empty {
            self.take(db, key);
        }
    }

    pub(crate) fn set_expiry(&mut self, db: usize, key: &[u8], expiry: u64) {
        let database = &mut self.databases[db];
        let Some(slot) = database.table.get_mut(key) else { return };
        database.expiring -= usize::from(slot.expiry() != NEVER);
        slot.set_expiry(expiry);
        if expiry != NEVER {
            database.expiring += 1;
            database.note_expiry(key, expiry);
        }
    }

    /// Empties a database.
    pub(crate) fn flush(&mut self, db: usize) {
        let watched: Vec<Vec<u8>> = self.databases[db].watched.keys().cloned().collect();
        for key in watched {
            if self.databases[db].table.contains(&key) {
                self.touch(db, &key);
            }
        }
        let database = &mut self.databases[db];
        self.changes += database.table.len() as u64;
        database.table = Table::new(self.seed);
        (database.expiring, database.due, database.next_due) = (0, vec![], NEVER);
    }

    /// Exchanges two databases; who watches or waits stays where it is.
    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        self.databases.swap(a, b);
        let (watched, waiting) = (
            core::mem::take(&mut self.databases[a].watched),
            core::mem::take(&mut self.databases[a].waiting),
        );
        let other = &mut self.databases[b];
        let (watched, waiting) = (
            core::mem::replace(&mut other.watched, watched),
            core::mem::replace(&mut other.waiting, waiting),
        );
        (self.databases[a].watched, self.databases[a].waiting) = (watched, waiting);
    }

    /// Deletes keys that have expired, and says when to come back; `None` if nothing will expire.
    pub(crate) fn expire(&mut self) -> Option<u64> {
        if !self.active_expiry {
            return None;
        }
        let now = self.now;
        let mut budget = ROUND;
        for db in 0..self.databases.len() {
            if self.databases[db].next_due > now || budget == 0 {
                continue;
            }
            self.databases[db].follow();
            let shards: Vec<usize> = {
                let due = self.databases[db].due.iter().enumerate();
                due.filter(|(_, due)| **due <= now).map(|(shard, _)| shard).take(budget).collect()
            };
            budget -= shards.len();
            for shard in shards {
                let database = &self.databases[db];
                let dead: Vec<Vec<u8>> = database
                    .table
                    .shard(shard)
                    .filter(|s| s.expiry() <= now)
                    .map(|s| s.key().to_vec())
                    .collect();
                let next =
                    database.table.shard(shard).map(Slot::expiry).filter(|e| *e > now).min().unwrap_or(NEVER);
                if let Some(due) = self.databases[db].due.get_mut(shard) {
                    *due = next;
                }
                for key in dead {
                    self.drop_expired(db, &key);
                }
                // Merges while deleting have moved borders; they are kept right by `follow`.
                self.databases[db].follow();
            }
            let database = &mut self.databases[db];
            database.next_due = database.due.iter().copied().min().unwrap_or(NEVER);
        }
        let next = self.databases.iter().map(|d| d.next_due).min().unwrap_or(NEVER);
        // Not more often than every 100 ms, unless a round was not enough.
        let soonest = if budget == 0 { now + 5 } else { now + 100 };
        (next != NEVER).then(|| next.max(soonest))
    }

    /// When the next key expires at the earliest.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        let next = self.databases.iter().map(|d| d.next_due).min().unwrap_or(NEVER);
        (next != NEVER && self.active_expiry).then_some(next)
    }
}
