//! Commands that are several: the names of their parts, and how many words each takes.

use super::Command;
use crate::client::Args;
use crate::error::Error;
use alloc::format;
use alloc::string::String;

/// Names with the number of words, command and name included; negative: at least so many.
type Parts = &'static [(&'static str, i8)];

const ALL: [(&str, Parts); 8] = [
    (
        "client",
        &[
            ("getname", 2),
            ("help", 2),
            ("id", 2),
            ("info", 2),
            ("kill", -3),
            ("list", -2),
            ("no-touch", 3),
            ("reply", 3),
            ("setinfo", 4),
            ("setname", 3),
            ("unblock", -3),
        ],
    ),
    ("command", &[("count", 2), ("docs", -2), ("getkeys", -3), ("help", 2), ("info", -2), ("list", -2)]),
    ("config", &[("get", -3), ("help", 2), ("resetstat", 2), ("rewrite", 2), ("set", -4)]),
    ("memory", &[("doctor", 2), ("help", 2), ("stats", 2), ("usage", -3)]),
    ("object", &[("encoding", 3), ("freq", 3), ("help", 2), ("idletime", 3), ("refcount", 3)]),
    ("pubsub", &[("channels", -2), ("help", 2), ("numpat", 2), ("numsub", -2)]),
    (
        "xgroup",
        &[
            ("create", -5),
            ("createconsumer", 5),
            ("delconsumer", 5),
            ("destroy", 4),
            ("help", 2),
            ("setid", -5),
        ],
    ),
    ("xinfo", &[("consumers", 4), ("groups", 3), ("help", 2), ("stream", -3)]),
];

/// Refuses a part that there is not, or that takes another number of words.
pub(crate) fn check(command: &Command, args: Args<'_>) -> Result<(), Error> {
    let Some((_, parts)) = ALL.iter().find(|(name, _)| *name == command.name) else { return Ok(()) };
    let Some(given) = args.get(1) else { return Ok(()) };
    let Some((name, words)) = parts.iter().find(|(name, _)| given.eq_ignore_ascii_case(name.as_bytes()))
    else {
        return Err(unknown(command.name, given));
    };
    let fits = if *words < 0 {
        args.len() >= usize::from(words.unsigned_abs())
    } else {
        args.len() == *words as usize
    };
    match fits {
        true => Ok(()),
        false => Err(Error::Formatted(format!(
            "ERR wrong number of arguments for '{}|{name}' command",
            command.name
        ))),
    }
}

/// The error for a part that there is not.
pub(crate) fn unknown(command: &str, given: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(&given[..given.len().min(128)]);
    Error::Formatted(format!("ERR unknown subcommand '{shown}'. Try {} HELP.", command.to_uppercase()))
}
