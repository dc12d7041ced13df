//! Errors in the words that clients know.

use alloc::string::String;
use alloc::vec::Vec;

/// Why a command failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Error {
    WrongType,
    Syntax,
    NotInteger,
    NotFloat,
    /// INCR and the like beyond 64 bits.
    Overflow,
    NaN,
    OutOfRange,
    NoSuchKey,
    /// Beyond `maxmemory`, or beyond what the heap has.
    Memory,
    TooLong,
    Arity(&'static str),
    InvalidExpire(&'static str),
    /// A whole message, code included.
    Text(&'static str),
    Formatted(String),
}

impl Error {
    /// This error as the reply to an EXEC that could not run.
    pub(crate) fn aborting_transaction(&self) -> Self {
        let mut text = Vec::from(b"EXECABORT Transaction discarded because of: ");
        let prefix = text.len();
        self.write(|part| text.extend_from_slice(part));
        if text[prefix..].starts_with(b"ERR ") {
            text.drain(prefix..prefix + 4);
        }
        Self::Formatted(String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) fn write(&self, mut put: impl FnMut(&[u8])) {
        let text: &[u8] = match self {
            Self::WrongType => b"WRONGTYPE Operation against a key holding the wrong kind of value",
            Self::Syntax => b"ERR syntax error",
            Self::NotInteger => b"ERR value is not an integer or out of range",
            Self::NotFloat => b"ERR value is not a valid float",
            Self::Overflow => b"ERR increment or decrement would overflow",
            Self::NaN => b"ERR increment would produce NaN or Infinity",
            Self::OutOfRange => b"ERR index out of range",
            Self::NoSuchKey => b"ERR no such key",
            Self::Memory => b"OOM command not allowed when used memory > 'maxmemory'.",
            Self::TooLong => b"ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Self::Arity(name) => {
                put(b"ERR wrong number of arguments for '");
                put(name.as_bytes());
                b"' command"
            }
            Self::InvalidExpire(name) => {
                put(b"ERR invalid expire time in '");
                put(name.as_bytes());
                b"' command"
            }
            Self::Text(text) => text.as_bytes(),
            Self::Formatted(text) => text.as_bytes(),
        };
        put(text);
    }
}

/// What a command returns; its reply is written by then.
pub(crate) type CommandResult = Result<(), Error>;
