//! Streams: entries by id, and groups of consumers with what each has not acknowledged.

use crate::listpack::ListPack;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// The id of an entry: milliseconds and a sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) ms: u64,
    pub(crate) seq: u64,
}

impl Id {
    pub(crate) const MIN: Self = Self { ms: 0, seq: 0 };
    pub(crate) const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// Reads `MS-SEQ`, or `MS` with the sequence number given.
    pub(crate) fn parse(text: &[u8], default: u64) -> Option<Self> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            if plain { digits.parse().ok() } else { None }
        };
        let text = core::str::from_utf8(text).ok()?;
        match text.split_once('-') {
            Some((ms, seq)) => Some(Self { ms: number(ms)?, seq: number(seq)? }),
            None => Some(Self { ms: number(text)?, seq: default }),
        }
    }

    pub(crate) fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { ms: self.ms, seq }),
            None => self.ms.checked_add(1).map(|ms| Self { ms, seq: 0 }),
        }
    }

    pub(crate) fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { ms: self.ms, seq }),
            None => self.ms.checked_sub(1).map(|ms| Self { ms, seq: u64::MAX }),
        }
    }

    pub(crate) fn text(self) -> String {
        format!("{}-{}", self.ms, self.seq)
    }
}

/// An entry that a consumer got and has not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) consumer: Rc<[u8]>,
    /// When it was delivered last, Unix time in milliseconds.
    pub(crate) delivered: u64,
    pub(crate) count: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Consumer {
    pub(crate) seen: u64,
    pub(crate) pending: BTreeSet<Id>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// The last entry delivered.
    pub(crate) last: Id,
    /// Entries delivered ever, if that is known.
    pub(crate) read: Option<u64>,
    pub(crate) pending: BTreeMap<Id, Pending>,
    pub(crate) consumers: BTreeMap<Rc<[u8]>, Consumer>,
}

impl Group {
    /// The consumer's shared name; it is made if it is new.
    pub(crate) fn consumer(&mut self, name: &[u8], now: u64) -> (Rc<[u8]>, bool) {
        if let Some((shared, _)) = self.consumers.get_key_value(name) {
            let shared = shared.clone();
            if let Some(consumer) = self.consumers.get_mut(name) {
                consumer.seen = now;
            }
            return (shared, false);
        }
        let shared: Rc<[u8]> = Rc::from(name);
        self.consumers.insert(shared.clone(), Consumer { seen: now, pending: BTreeSet::new() });
        (shared, true)
    }

    /// Makes an entry somebody's.
    pub(crate) fn assign(&mut self, id: Id, pending: Pending) {
        let consumer = pending.consumer.clone();
        if let Some(old) = self.pending.insert(id, pending)
            && let Some(former) = self.consumers.get_mut(&old.consumer)
        {
            former.pending.remove(&id);
        }
        if let Some(consumer) = self.consumers.get_mut(&consumer) {
            consumer.pending.insert(id);
        }
    }

    /// An entry is nobody's any more; whether it was somebody's.
    pub(crate) fn release(&mut self, id: Id) -> bool {
        let Some(old) = self.pending.remove(&id) else { return false };
        if let Some(consumer) = self.consumers.get_mut(&old.consumer) {
            consumer.pending.remove(&id);
        }
        true
    }
}

/// What a stream knows of the entries that it holds and held: enough to number most of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// The first entry, if there is one.
    first: Option<Id>,
    /// The last id that was given.
    last: Id,
    /// Entries that are there.
    length: u64,
    /// Entries ever added.
    added: u64,
    /// The largest id that XDEL has deleted.
    largest_deleted: Id,
}

impl Extent {
    /// How many entries were ever added up to and including `id`, if that is known.
    pub(crate) fn entries_up_to(self, id: Id) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        let Some(first) = self.first else { return (id <= self.last).then_some(self.added) };
        if id >= self.last {
            return (id == self.last).then_some(self.added);
        }
        let before = self.added.saturating_sub(self.length);
        // The first entry's number is known if none behind it was deleted.
        let whole = self.largest_deleted < first;
        match id.cmp(&first) {
            Ordering::Less if whole => Some(before),
            Ordering::Equal if whole => Some(before + 1),
            _ => None,
        }
    }

    /// Whether an entry from `id` on may have been deleted.
    pub(crate) fn has_tombstones_from(self, id: Id) -> bool {
        self.first.is_some_and(|first| {
            self.largest_deleted != Id::MIN && first <= self.largest_deleted && id <= self.largest_deleted
        })
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    pub(crate) entries: BTreeMap<Id, ListPack>,
    pub(crate) last: Id,
    pub(crate) largest_deleted: Id,
    /// Entries added ever.
    pub(crate) added: u64,
    pub(crate) groups: BTreeMap<Vec<u8>, Group>,
}

impl Stream {
    pub(crate) fn size(&self) -> usize {
        let entries = self.entries.values().map(|p| p.capacity() + size_of::<(Id, ListPack)>() + 8);
        let pending = self.groups.values().map(|g| g.pending.len() * 100 + g.consumers.len() * 150 + 200);
        entries.sum::<usize>() + pending.sum::<usize>()
    }

    pub(crate) fn append(&mut self, id: Id, fields: ListPack) {
        self.entries.insert(id, fields);
        self.last = id;
        self.added += 1;
    }

    pub(crate) fn delete(&mut self, id: Id) -> bool {
        let there = self.entries.remove(&id).is_some();
        if there {
            self.largest_deleted = self.largest_deleted.max(id);
        }
        there
    }

    pub(crate) fn extent(&self) -> Extent {
        Extent {
            first: self.entries.first_key_value().map(|(first, _)| *first),
            last: self.last,
            length: self.entries.len() as u64,
            added: self.added,
            largest_deleted: self.largest_deleted,
        }
    }

    /// Drops the oldest entries while `surplus` holds, `limit` at the most; how many.
    pub(crate) fn trim(&mut self, limit: usize, surplus: impl Fn(&Self, Id) -> bool) -> usize {
        let mut dropped = 0;
        while dropped < limit {
            let Some((&id, _)) = self.entries.first_key_value() else { break };
            if !surplus(self, id) {
                break;
            }
            self.entries.remove(&id);
            dropped += 1;
        }
        dropped
    }
}
