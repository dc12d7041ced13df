//! A key in the table: a short string in one allocation with its key, anything else as an object.

use super::Value;
use crate::table::Keyed;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The moment that never comes: a key without an expiry.
pub(crate) const NEVER: u64 = u64::MAX;
/// Longest key and value, together, that lie in one allocation.
const SMALL: usize = 512;
const HAS_EXPIRY: u8 = 1;
/// A key's length that does not fit into a byte follows this one in two.
const LONG: u8 = 0xff;

/// A key that has something large, or something that is no string.
#[derive(Debug)]
pub(crate) struct Object {
    key: Box<[u8]>,
    access: u32,
    expiry: u64,
    pub(crate) value: Value,
}

/// An entry of a database.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Flags, three bytes of access, the key's length, the expiry if the flag says so, key, value.
    Small(Box<[u8]>),
    Large(Box<Object>),
}

/// Where the parts of a small entry lie: expiry, key, value.
fn parts(bytes: &[u8]) -> (usize, usize, usize) {
    let (length, expiry) = match bytes[4] {
        LONG => (usize::from(u16::from_le_bytes([bytes[5], bytes[6]])), 7),
        short => (usize::from(short), 5),
    };
    let key = if bytes[0] & HAS_EXPIRY != 0 { expiry + 8 } else { expiry };
    (expiry, key, key + length)
}

impl Entry {
    /// A string.
    pub(crate) fn string(key: &[u8], value: &[u8], expiry: u64, access: u32) -> Self {
        if key.len() + value.len() > SMALL {
            return Self::object(key, Value::String(value.to_vec()), expiry, access);
        }
        let mut bytes = Vec::with_capacity(15 + key.len() + value.len());
        let access = access.to_le_bytes();
        bytes.extend_from_slice(&[u8::from(expiry != NEVER), access[0], access[1], access[2]]);
        if key.len() < usize::from(LONG) {
            bytes.push(key.len() as u8);
        } else {
            bytes.push(LONG);
            bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        }
        if expiry != NEVER {
            bytes.extend_from_slice(&expiry.to_le_bytes());
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Self::Small(bytes.into_boxed_slice())
    }

    /// Anything.
    pub(crate) fn object(key: &[u8], value: Value, expiry: u64, access: u32) -> Self {
        Self::Large(Box::new(Object { key: key.into(), access, expiry, value }))
    }

    /// Whatever fits best.
    pub(crate) fn new(key: &[u8], value: Value, expiry: u64, access: u32) -> Self {
        match value {
            Value::String(text) if key.len() + text.len() <= SMALL => {
                Self::string(key, &text, expiry, access)
            }
            value => Self::object(key, value, expiry, access),
        }
    }

    /// The string, if it is one.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Small(bytes) => Some(&bytes[parts(bytes).2..]),
            Self::Large(object) => match &object.value {
                Value::String(text) => Some(text),
                _ => None,
            },
        }
    }

    /// Puts a string of the same length in the place of a short one; whether it could.
    pub(crate) fn overwrite(&mut self, value: &[u8]) -> bool {
        if let Self::Small(bytes) = self {
            let at = parts(bytes).2;
            if bytes.len() - at == value.len() {
                bytes[at..].copy_from_slice(value);
                return true;
            }
        }
        false
    }

    /// The bytes of the string, in place.
    pub(crate) fn text_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Self::Small(bytes) => {
                let at = parts(bytes).2;
                Some(&mut bytes[at..])
            }
            Self::Large(object) => match &mut object.value {
                Value::String(text) => Some(text),
                _ => None,
            },
        }
    }

    pub(crate) fn value(&self) -> Option<&Value> {
        if let Self::Large(object) = self { Some(&object.value) } else { None }
    }

    pub(crate) fn value_mut(&mut self) -> Option<&mut Value> {
        if let Self::Large(object) = self { Some(&mut object.value) } else { None }
    }

    /// What it held.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Small(bytes) => Value::String(bytes[parts(&bytes).2..].to_vec()),
            Self::Large(object) => object.value,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.value().map_or("string", Value::kind)
    }

    /// Unix time in milliseconds, or [`NEVER`].
    pub(crate) fn expiry(&self) -> u64 {
        match self {
            Self::Small(bytes) if bytes[0] & HAS_EXPIRY == 0 => NEVER,
            Self::Small(bytes) => {
                let at = parts(bytes).0;
                let mut word = [0; 8];
                word.copy_from_slice(&bytes[at..at + 8]);
                u64::from_le_bytes(word)
            }
            Self::Large(object) => object.expiry,
        }
    }

    pub(crate) fn set_expiry(&mut self, expiry: u64) {
        match self {
            Self::Large(object) => object.expiry = expiry,
            Self::Small(bytes) => {
                let (at, key, value) = parts(bytes);
                if bytes[0] & HAS_EXPIRY != 0 && expiry != NEVER {
                    bytes[at..at + 8].copy_from_slice(&expiry.to_le_bytes());
                } else {
                    let access = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], 0]);
                    *self = Self::string(&bytes[key..value], &bytes[value..], expiry, access);
                }
            }
        }
    }

    /// When or how often it was used: 24 bits.
    pub(crate) fn access(&self) -> u32 {
        match self {
            Self::Small(bytes) => u32::from_le_bytes([bytes[1], bytes[2], bytes[3], 0]),
            Self::Large(object) => object.access,
        }
    }

    pub(crate) fn set_access(&mut self, access: u32) {
        match self {
            Self::Small(bytes) => bytes[1..4].copy_from_slice(&access.to_le_bytes()[..3]),
            Self::Large(object) => object.access = access,
        }
    }

    /// Bytes on the heap, about.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Large(object) => size_of::<Object>() + object.key.len() + object.value.size(),
        }
    }
}

impl Keyed for Entry {
    fn key(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => {
                let (_, key, value) = parts(bytes);
                &bytes[key..value]
            }
            Self::Large(object) => &object.key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_string_keeps_all_its_parts() {
        for key in [&b"k"[..], &[7; 254], &[7; 255], &[7; 400]] {
            let mut entry = Entry::string(key, b"value", NEVER, 0x123456);
            for expiry in [NEVER, 5, 77, NEVER] {
                entry.set_expiry(expiry);
                assert_eq!((entry.key(), entry.text(), entry.expiry()), (key, Some(&b"value"[..]), expiry));
                assert_eq!(entry.access(), 0x123456);
            }
            assert!(entry.overwrite(b"other") && !entry.overwrite(b"longer"));
            entry.set_access(9);
            assert_eq!((entry.text(), entry.access()), (Some(&b"other"[..]), 9));
        }
        assert_eq!(size_of::<Entry>(), 16);
    }
}
