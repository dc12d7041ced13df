//! Databases of keys with expiry.
//!
//! An expired key goes when somebody asks for it, or in [`Keyspace::expire`]. What makes the latter cheap is that each
//! shard of the table knows a moment before which none of its keys expires: whoever has nothing to expire needs no
//! timer, and who has looks only where something is due.

use super::entry::{Entry, NEVER};
use super::policy::{Access, Policy};
use super::{Kind, Value};
use crate::error::Error;
use crate::table::{Keyed, Seed, Table};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

/// Databases.
pub(crate) const DATABASES: usize = 16;
/// Shards that one round of expiry looks at.
const ROUND: usize = 64;

/// One database.
pub(crate) struct Database {
    pub(crate) table: Table<Entry>,
    /// Keys with an expiry.
    pub(crate) expiring: usize,
    /// By shard: no key of it expires before.
    shard_expiry_bounds: Vec<u64>,
    /// No key at all expires before.
    expiry_bound: u64,
    /// Who watches a key.
    pub(crate) watched: BTreeMap<Vec<u8>, Vec<u64>>,
    /// Who waits for something in a key, longest first.
    pub(crate) blocking_keys: BTreeMap<Rc<[u8]>, VecDeque<u64>>,
}

impl Database {
    fn new(seed: Seed) -> Self {
        Self {
            table: Table::new(seed),
            expiring: 0,
            shard_expiry_bounds: Vec::new(),
            expiry_bound: NEVER,
            watched: BTreeMap::new(),
            blocking_keys: BTreeMap::new(),
        }
    }

    /// Follows the table's splits and merges: a half may expire as early as the whole.
    fn track_shards(&mut self) {
        let parent = |shard: usize| shard & !(1 << (usize::BITS - 1 - shard.leading_zeros()));
        while self.shard_expiry_bounds.len() < self.table.shards() {
            let new = self.shard_expiry_bounds.len();
            self.shard_expiry_bounds.push(if new == 0 {
                NEVER
            } else {
                self.shard_expiry_bounds[parent(new)]
            });
        }
        while self.shard_expiry_bounds.len() > self.table.shards() {
            let last = self.shard_expiry_bounds.len() - 1;
            let due = self.shard_expiry_bounds.pop().unwrap_or(NEVER);
            if last > 0 {
                let into = parent(last);
                self.shard_expiry_bounds[into] = self.shard_expiry_bounds[into].min(due);
            }
        }
    }

    fn note_expiry(&mut self, key: &[u8], expiry: u64) {
        self.track_shards();
        let shard = self.table.shard_of(key);
        self.shard_expiry_bounds[shard] = self.shard_expiry_bounds[shard].min(expiry);
        self.expiry_bound = self.expiry_bound.min(expiry);
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
    pub(crate) dirty_clients: BTreeSet<u64>,
    /// Keys that somebody waits for and that have changed.
    pub(crate) ready_keys: Vec<(usize, Rc<[u8]>)>,
    pub(crate) seed: Seed,
    random: u64,
    /// Lookups leave no trace in access times.
    pub(crate) no_touch: bool,
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
            dirty_clients: BTreeSet::new(),
            ready_keys: Vec::new(),
            seed,
            random: seed.0 | 1,
            no_touch: false,
            active_expiry: true,
        }
    }

    /// A number by chance (xorshift64*).
    pub(crate) fn next_random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A generator of numbers by chance that borrows nothing.
    pub(crate) fn rng(&mut self) -> impl FnMut() -> u64 + use<> {
        let mut state = self.next_random();
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 16
        }
    }

    /// A key has changed.
    pub(crate) fn changed(&mut self, db: usize, key: &[u8]) {
        self.changes += 1;
        self.mark_watchers(db, key);
        self.signal_blocked(db, key);
    }

    /// Has the clients that are blocked on a key looked at, if there are any.
    fn signal_blocked(&mut self, db: usize, key: &[u8]) {
        let database = &self.databases[db];
        if !database.blocking_keys.is_empty()
            && let Some((key, _)) = database.blocking_keys.get_key_value(key)
            && self.ready_keys.last().is_none_or(|(last_db, last)| *last_db != db || !Rc::ptr_eq(last, key))
        {
            self.ready_keys.push((db, key.clone()));
        }
    }

    fn mark_watchers(&mut self, db: usize, key: &[u8]) {
        let database = &self.databases[db];
        if !database.watched.is_empty()
            && let Some(clients) = database.watched.get(key)
        {
            self.dirty_clients.extend(clients);
        }
    }

    /// The entry of a key that has not expired.
    pub(crate) fn find(&mut self, db: usize, key: &[u8]) -> Option<&mut Entry> {
        if self.databases[db].expiring > 0 {
            let entry = self.databases[db].table.get(key)?;
            if entry.expiry() <= self.now {
                self.drop_expired(db, key);
                return None;
            }
        }
        let access = Access { now: self.now, policy: self.policy, random: self.random };
        let entry = self.databases[db].table.get_mut(key)?;
        if !self.no_touch {
            entry.set_access(access.used(entry.access()));
        }
        Some(entry)
    }

    fn drop_expired(&mut self, db: usize, key: &[u8]) {
        self.take(db, key);
        self.counters.expired += 1;
        self.mark_watchers(db, key);
        self.signal_blocked(db, key);
    }

    /// [`Keyspace::find`], counted as a hit or a miss.
    pub(crate) fn read(&mut self, db: usize, key: &[u8]) -> Option<&Entry> {
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
            Some(entry) => entry.text().ok_or(Error::WrongType).map(Some),
            None => Ok(None),
        }
    }

    /// A value of a type, for reading.
    pub(crate) fn get<K: Kind>(&mut self, db: usize, key: &[u8]) -> Result<Option<&K>, Error> {
        match self.find(db, key) {
            Some(entry) => entry.value().and_then(K::of).ok_or(Error::WrongType).map(Some),
            None => Ok(None),
        }
    }

    /// A value of a type.
    pub(crate) fn get_mut<K: Kind>(&mut self, db: usize, key: &[u8]) -> Result<Option<&mut K>, Error> {
        match self.find(db, key) {
            Some(entry) => entry.value_mut().and_then(K::of_mut).ok_or(Error::WrongType).map(Some),
            None => Ok(None),
        }
    }

    /// A value of a type, made if there is none. Whoever makes one puts something in.
    pub(crate) fn get_or_make<K: Kind>(&mut self, db: usize, key: &[u8]) -> Result<&mut K, Error> {
        if self.find(db, key).is_none() {
            self.put(db, key, K::empty(), NEVER);
        }
        let entry = self.databases[db].table.get_mut(key);
        entry.and_then(Entry::value_mut).and_then(K::of_mut).ok_or(Error::WrongType)
    }

    /// Puts a value in the place of whatever is there. Says nothing to watchers.
    pub(crate) fn put(&mut self, db: usize, key: &[u8], value: Value, expiry: u64) {
        let access = self.fresh();
        self.replace(db, key, Entry::new(key, value, expiry, access));
    }

    /// Puts a string in the place of whatever is there.
    pub(crate) fn put_text(&mut self, db: usize, key: &[u8], text: &[u8], expiry: u64) {
        let access = self.fresh();
        let database = &mut self.databases[db];
        if let Some(entry) = database.table.get_mut(key) {
            if expiry == NEVER && entry.expiry() == NEVER && entry.overwrite(text) {
                entry.set_access(access);
                return;
            }
            if entry.expiry() != NEVER {
                database.expiring -= 1;
            }
            *entry = Entry::string(key, text, expiry, access);
        } else {
            database.table.insert(Entry::string(key, text, expiry, access));
        }
        if expiry != NEVER {
            database.expiring += 1;
            database.note_expiry(key, expiry);
        }
    }

    fn fresh(&self) -> u32 {
        Access { now: self.now, policy: self.policy, random: 0 }.fresh()
    }

    fn replace(&mut self, db: usize, key: &[u8], new: Entry) {
        let database = &mut self.databases[db];
        let expiry = new.expiry();
        match database.table.get_mut(key) {
            Some(entry) => {
                if entry.expiry() != NEVER {
                    database.expiring -= 1;
                }
                *entry = new;
            }
            None => drop(database.table.insert(new)),
        }
        if expiry != NEVER {
            database.expiring += 1;
            database.note_expiry(key, expiry);
        }
    }

    /// Takes a key out.
    pub(crate) fn take(&mut self, db: usize, key: &[u8]) -> Option<Entry> {
        let database = &mut self.databases[db];
        let entry = database.table.remove(key)?;
        self.removed(db, &entry);
        Some(entry)
    }

    /// Counts an entry that was taken out.
    pub(crate) fn removed(&mut self, db: usize, entry: &Entry) {
        let database = &mut self.databases[db];
        if entry.expiry() != NEVER {
            database.expiring -= 1;
            if database.expiring == 0 {
                database.shard_expiry_bounds.fill(NEVER);
                database.expiry_bound = NEVER;
            }
        }
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
    pub(crate) fn delete_if_empty(&mut self, db: usize, key: &[u8]) {
        let entry = self.databases[db].table.get(key);
        let empty =
            entry.and_then(Entry::value).is_some_and(|v| !matches!(v, Value::Stream(_)) && v.len() == 0);
        if empty {
            self.take(db, key);
        }
    }

    pub(crate) fn set_expiry(&mut self, db: usize, key: &[u8], expiry: u64) {
        let database = &mut self.databases[db];
        let Some(entry) = database.table.get_mut(key) else { return };
        database.expiring -= usize::from(entry.expiry() != NEVER);
        entry.set_expiry(expiry);
        if expiry != NEVER {
            database.expiring += 1;
            database.note_expiry(key, expiry);
        }
    }

    /// Empties a database.
    pub(crate) fn flush(&mut self, db: usize) {
        let database = &mut self.databases[db];
        for (key, clients) in &database.watched {
            if database.table.contains(key) {
                self.dirty_clients.extend(clients);
            }
        }
        self.ready_keys.extend(database.blocking_keys.keys().map(|key| (db, key.clone())));
        self.changes += database.table.len() as u64;
        database.table = Table::new(self.seed);
        (database.expiring, database.shard_expiry_bounds, database.expiry_bound) = (0, vec![], NEVER);
    }

    /// Every key of a database may have changed.
    pub(crate) fn all_changed(&mut self, db: usize) {
        let database = &self.databases[db];
        self.changes += 1;
        self.dirty_clients.extend(database.watched.values().flatten());
        self.ready_keys.extend(database.blocking_keys.keys().map(|key| (db, key.clone())));
    }

    /// Exchanges two databases; who watches or waits stays where it is.
    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        self.databases.swap(a, b);
        let (watched, waiting) = (
            core::mem::take(&mut self.databases[a].watched),
            core::mem::take(&mut self.databases[a].blocking_keys),
        );
        let other = &mut self.databases[b];
        let (watched, waiting) = (
            core::mem::replace(&mut other.watched, watched),
            core::mem::replace(&mut other.blocking_keys, waiting),
        );
        (self.databases[a].watched, self.databases[a].blocking_keys) = (watched, waiting);
    }

    /// Deletes keys that have expired, and says when to come back; `None` if nothing will expire.
    pub(crate) fn expire(&mut self) -> Option<u64> {
        if !self.active_expiry {
            return None;
        }
        let now = self.now;
        let mut budget = ROUND;
        for db in 0..self.databases.len() {
            if self.databases[db].expiry_bound > now || budget == 0 {
                continue;
            }
            self.databases[db].track_shards();
            let shards: Vec<usize> = {
                let due = self.databases[db].shard_expiry_bounds.iter().enumerate();
                due.filter(|(_, due)| **due <= now).map(|(shard, _)| shard).take(budget).collect()
            };
            budget -= shards.len();
            for shard in shards {
                let database = &self.databases[db];
                let next = database
                    .table
                    .shard(shard)
                    .map(Entry::expiry)
                    .filter(|e| *e > now)
                    .min()
                    .unwrap_or(NEVER);
                // Shards are merged as they become empty: what is left of this one may have moved to another.
                while let Some(entry) = self.databases[db].table.pop(shard, |entry| entry.expiry() <= now) {
                    self.removed(db, &entry);
                    self.counters.expired += 1;
                    self.mark_watchers(db, entry.key());
                    self.signal_blocked(db, entry.key());
                }
                let database = &mut self.databases[db];
                // One that was itself merged keeps its bound: its entries that are due are in another now.
                if shard < database.table.shards()
                    && let Some(bound) = database.shard_expiry_bounds.get_mut(shard)
                {
                    *bound = next;
                }
                // Merges while deleting have moved borders; they are kept right by `track_shards`.
                database.track_shards();
            }
            let database = &mut self.databases[db];
            database.expiry_bound = database.shard_expiry_bounds.iter().copied().min().unwrap_or(NEVER);
        }
        let next = self.databases.iter().map(|d| d.expiry_bound).min().unwrap_or(NEVER);
        // Not more often than every 100 ms, unless a round was not enough.
        let soonest = if budget == 0 { now + 5 } else { now + 100 };
        (next != NEVER).then(|| next.max(soonest))
    }

    /// When the next key expires at the earliest.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        let next = self.databases.iter().map(|d| d.expiry_bound).min().unwrap_or(NEVER);
        (next != NEVER && self.active_expiry).then_some(next)
    }
}
