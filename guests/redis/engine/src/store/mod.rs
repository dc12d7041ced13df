//! The keys and what they hold: one file a type, [`entry`] for how a key lies in memory, [`keyspace`] for databases with
//! expiry and eviction.

pub(crate) mod entry;
pub(crate) mod evict;
pub(crate) mod hash;
pub(crate) mod keyspace;
pub(crate) mod list;
pub(crate) mod policy;
pub(crate) mod score_index;
pub(crate) mod set;
pub(crate) mod stream;
pub(crate) mod zset;

use alloc::boxed::Box;
use alloc::vec::Vec;
use hash::Hash;
use list::List;
use set::Set;
use stream::Stream;
use zset::Zset;

/// A small collection stays in one allocation up to this many elements…
pub(crate) const PACKED_ENTRIES: usize = 128;
/// …none of them longer than this.
pub(crate) const PACKED_BYTES: usize = 64;

/// What a key holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    String(Vec<u8>),
    List(List),
    Hash(Hash),
    Set(Set),
    Zset(Zset),
    Stream(Box<Stream>),
}

impl Value {
    /// The name that TYPE gives.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
            Self::Zset(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    /// Bytes on the heap, about.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::String(bytes) => bytes.capacity(),
            Self::List(list) => list.size(),
            Self::Hash(hash) => hash.size(),
            Self::Set(set) => set.size(),
            Self::Zset(zset) => zset.size(),
            Self::Stream(stream) => size_of::<Stream>() + stream.size(),
        }
    }

    /// How many elements it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::String(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Hash(hash) => hash.len(),
            Self::Set(set) => set.len(),
            Self::Zset(zset) => zset.len(),
            Self::Stream(stream) => stream.entries.len(),
        }
    }
}

/// The types that commands ask for.
pub(crate) trait Kind: Sized {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn empty() -> Value;
}

macro_rules! kind {
    ($type:ty, $variant:ident, $empty:expr) => {
        impl Kind for $type {
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }
            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }
            fn empty() -> Value {
                Value::$variant($empty)
            }
        }
    };
}

kind!(Vec<u8>, String, Vec::new());
kind!(List, List, List::default());
kind!(Hash, Hash, Hash::default());
kind!(Set, Set, Set::default());
kind!(Zset, Zset, Zset::default());
kind!(Stream, Stream, Box::default());
