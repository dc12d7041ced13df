//! Sets: members in a pack while they are few and short, in a table from then on.

use super::{PACKED_BYTES, PACKED_ENTRIES};
use crate::listpack::ListPack;
use crate::number::parse_i64;
use crate::table::{Keyed, Seed, Table};
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Keyed for Box<[u8]> {
    fn key(&self) -> &[u8] {
        self
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Set {
    Packed(ListPack),
    Table(Table<Box<[u8]>>),
}

impl Default for Set {
    fn default() -> Self {
        Self::Packed(ListPack::default())
    }
}

impl Set {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Packed(pack) => pack.len(),
            Self::Table(table) => table.len(),
        }
    }

    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Packed(pack) => pack.capacity(),
            Self::Table(table) => table.overhead() + table.iter().map(|m| m.len() + 8).sum::<usize>(),
        }
    }

    /// Whether all members are integers.
    pub(crate) fn is_of_integers(&self) -> bool {
        matches!(self, Self::Packed(pack) if pack.iter().all(|m| parse_i64(m).is_some()))
    }

    pub(crate) fn contains(&self, member: &[u8]) -> bool {
        match self {
            Self::Packed(pack) => pack.iter().any(|m| m == member),
            Self::Table(table) => table.contains(member),
        }
    }

    /// Adds a member; whether it is new.
    pub(crate) fn add(&mut self, member: &[u8], seed: Seed) -> bool {
        if self.contains(member) {
            return false;
        }
        if let Self::Packed(pack) = self {
            if pack.len() < PACKED_ENTRIES && member.len() <= PACKED_BYTES {
                pack.push(member);
                return true;
            }
            let mut table = Table::new(seed);
            for member in pack.iter() {
                table.insert(Box::from(member));
            }
            *self = Self::Table(table);
        }
        if let Self::Table(table) = self {
            table.insert(Box::from(member));
        }
        true
    }

    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Self::Packed(pack) => match pack.iter().position(|m| m == member) {
                Some(at) => {
                    pack.remove(at, 1);
                    true
                }
                None => false,
            },
            Self::Table(table) => table.remove(member).is_some(),
        }
    }

    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        match self {
            Self::Packed(pack) => Box::new(pack.iter()),
            Self::Table(table) => Box::new(table.iter().map(|m| &**m)),
        }
    }

    pub(crate) fn random(&self, mut rng: impl FnMut() -> u64) -> Option<&[u8]> {
        match self {
            Self::Packed(pack) if pack.is_empty() => None,
            Self::Packed(pack) => pack.get((rng() % pack.len() as u64) as usize),
            Self::Table(table) => table.random(rng).map(|m| &**m),
        }
    }

    pub(crate) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        match self {
            Self::Packed(pack) => {
                pack.iter().for_each(visit);
                0
            }
            Self::Table(table) => table.scan(cursor, count, |m| visit(m)),
        }
    }
}

/// A set of what an iterator yields.
pub(crate) fn collect<'a>(members: impl IntoIterator<Item = &'a Vec<u8>>, seed: Seed) -> Set {
    let mut set = Set::default();
    for member in members {
        set.add(member, seed);
    }
    set
}
