//! Hashes: fields and values in a pack while they are few and short, in a table from then on.

use super::{PACKED_BYTES, PACKED_ENTRIES};
use crate::listpack::ListPack;
use crate::table::{Keyed, Seed, Table};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A field and its value in one allocation, behind the length of the field.
#[derive(Clone, Debug)]
pub(crate) struct Field(Box<[u8]>);

impl Field {
    fn new(name: &[u8], value: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(4 + name.len() + value.len());
        bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
        Self(bytes.into_boxed_slice())
    }

    fn split(&self) -> usize {
        4 + u32::from_le_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]) as usize
    }

    fn value(&self) -> &[u8] {
        &self.0[self.split()..]
    }
}

impl Keyed for Field {
    fn key(&self) -> &[u8] {
        &self.0[4..self.split()]
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Hash {
    Packed(ListPack),
    Table(Table<Field>),
}

impl Default for Hash {
    fn default() -> Self {
        Self::Packed(ListPack::default())
    }
}

fn place(pack: &ListPack, name: &[u8]) -> Option<usize> {
    pack.iter().step_by(2).position(|field| field == name).map(|n| 2 * n)
}

impl Hash {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Packed(pack) => pack.len() / 2,
            Self::Table(table) => table.len(),
        }
    }

    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Packed(pack) => pack.capacity(),
            Self::Table(table) => table.overhead() + table.iter().map(|f| f.0.len() + 8).sum::<usize>(),
        }
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Packed(pack) => {
                let mut fields = pack.iter();
                while let (Some(field), Some(value)) = (fields.next(), fields.next()) {
                    if field == name {
                        return Some(value);
                    }
                }
                None
            }
            Self::Table(table) => table.get(name).map(Field::value),
        }
    }

    /// Sets a field; whether it is new.
    pub(crate) fn set(&mut self, name: &[u8], value: &[u8], seed: Seed) -> bool {
        if let Self::Packed(pack) = self {
            let long = name.len() > PACKED_BYTES || value.len() > PACKED_BYTES;
            let at = place(pack, name);
            if long || (at.is_none() && pack.len() >= 2 * PACKED_ENTRIES) {
                self.convert_to_table(seed);
            } else if let Some(at) = at {
                pack.replace(at + 1, value);
                return false;
            } else {
                pack.push(name);
                pack.push(value);
                return true;
            }
        }
        let Self::Table(table) = self else { return false };
        match table.get_mut(name) {
            Some(field) => {
                *field = Field::new(name, value);
                false
            }
            None => {
                table.insert(Field::new(name, value));
                true
            }
        }
    }

    fn convert_to_table(&mut self, seed: Seed) {
        let mut table = Table::new(seed);
        for (name, value) in self.iter() {
            table.insert(Field::new(name, value));
        }
        *self = Self::Table(table);
    }

    pub(crate) fn remove(&mut self, name: &[u8]) -> bool {
        match self {
            Self::Packed(pack) => match place(pack, name) {
                Some(at) => {
                    pack.remove(at, 2);
                    true
                }
                None => false,
            },
            Self::Table(table) => table.remove(name).is_some(),
        }
    }

    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (&[u8], &[u8])> + '_> {
        match self {
            Self::Packed(pack) => Box::new(pack.iter().step_by(2).zip(pack.iter().skip(1).step_by(2))),
            Self::Table(table) => Box::new(table.iter().map(|f| (f.key(), f.value()))),
        }
    }

    pub(crate) fn random(&self, mut rng: impl FnMut() -> u64) -> Option<(&[u8], &[u8])> {
        match self {
            Self::Packed(pack) if pack.is_empty() => None,
            Self::Packed(pack) => {
                let at = 2 * (rng() % (pack.len() as u64 / 2)) as usize;
                Some((pack.get(at)?, pack.get(at + 1)?))
            }
            Self::Table(table) => table.random(rng).map(|f| (f.key(), f.value())),
        }
    }

    pub(crate) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        match self {
            Self::Packed(_) => {
                self.iter().for_each(|(name, value)| visit(name, value));
                0
            }
            Self::Table(table) => table.scan(cursor, count, |f| visit(f.key(), f.value())),
        }
    }
}
