//! The commands: a table of what each is called, takes and does, and a file per family.

pub(crate) mod admin;
pub(crate) mod bitfield;
pub(crate) mod bits;
pub(crate) mod connection;
pub(crate) mod expiry;
pub(crate) mod hashes;
pub(crate) mod info;
pub(crate) mod introspect;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod lists_move;
pub(crate) mod pubsub;
pub(crate) mod scan;
pub(crate) mod sets;
pub(crate) mod sort;
pub(crate) mod stream_groups;
pub(crate) mod stream_info;
pub(crate) mod streams;
pub(crate) mod strings;
pub(crate) mod subcommands;
pub(crate) mod table;
pub(crate) mod transactions;
pub(crate) mod zset_algebra;
pub(crate) mod zset_range;
pub(crate) mod zsets;

use crate::client::{Args, Blocked, Client};
use crate::engine::make_room;
use crate::error::{CommandResult, Error};
use crate::number::{parse_f64, parse_f64_saturating, parse_i64};
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::store::keyspace::Keyspace;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
pub(crate) use table::flags;

/// A command of the table.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// Number of words; negative: at least so many.
    pub(crate) arity: i8,
    pub(crate) flags: u16,
    /// First key, last key (negative: from the end), step.
    pub(crate) keys: (i8, i8, i8),
    pub(crate) run: fn(&mut Call<'_>) -> CommandResult,
}

impl Command {
    pub(crate) fn takes(&self, words: usize) -> bool {
        match self.arity {
            n @ 0.. => words == n as usize,
            n => words >= usize::from(n.unsigned_abs()),
        }
    }

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// Looks a command up, whatever its case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    let mut lower = [0; 24];
    let lower = lower.get_mut(..name.len())?;
    for (to, from) in lower.iter_mut().zip(name) {
        *to = from.to_ascii_lowercase();
    }
    let at = table::COMMANDS.binary_search_by(|c| c.name.as_bytes().cmp(lower)).ok()?;
    Some(&table::COMMANDS[at])
}

/// The beginning of an argument, for an error message.
pub(crate) fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(128)]).into_owned()
}

/// The error for a command that is not in the table.
pub(crate) fn unknown(args: Args<'_>) -> Error {
    let show = |text: &[u8], most: usize| String::from_utf8_lossy(&text[..text.len().min(most)]).into_owned();
    let mut with = String::new();
    for word in args.from(1) {
        if with.len() >= 128 {
            break;
        }
        with.push_str(&format!("'{}' ", show(word, 128 - with.len())));
    }
    Error::Formatted(format!(
        "ERR unknown command '{}', with args beginning with: {with}",
        show(args.at(0), 128)
    ))
}

/// A command being run.
pub(crate) struct Call<'a> {
    pub(crate) store: &'a mut Keyspace,
    pub(crate) server: &'a mut Server,
    pub(crate) client: &'a mut Client,
    pub(crate) db: usize,
    pub(crate) args: Args<'a>,
    pub(crate) out: &'a mut Reply,
    /// Set by a command that has to wait.
    pub(crate) blocked: Option<Blocked>,
    /// In a transaction: nothing waits.
    pub(crate) nested: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn argc(&self) -> usize {
        self.args.len()
    }

    pub(crate) fn arg(&self, index: usize) -> &'a [u8] {
        self.args.at(index)
    }

    pub(crate) fn int(&self, index: usize) -> Result<i64, Error> {
        parse_i64(self.arg(index)).ok_or(Error::NotInteger)
    }

    pub(crate) fn float(&self, index: usize) -> Result<f64, Error> {
        parse_f64(self.arg(index)).ok_or(Error::NotFloat)
    }

    /// Whether an argument is this word, in any case.
    pub(crate) fn is(&self, index: usize, word: &str) -> bool {
        self.args.get(index).is_some_and(|a| a.eq_ignore_ascii_case(word.as_bytes()))
    }

    pub(crate) fn changed(&mut self, key: &[u8]) {
        self.store.changed(self.db, key);
    }

    /// A collection was changed: it goes if it is empty.
    pub(crate) fn changed_or_emptied(&mut self, key: &[u8]) {
        self.store.delete_if_empty(self.db, key);
        self.changed(key);
    }

    /// Whether a value of so many bytes can be made; evicts for it.
    pub(crate) fn ensure_memory(&mut self, bytes: usize) -> CommandResult {
        make_room(self.store, self.server, bytes)
    }

    /// Whether `bytes` can be allocated until the command ends.
    pub(crate) fn ensure_transient(&mut self, bytes: usize) -> CommandResult {
        if self.server.credit.take_transient(bytes) { Ok(()) } else { Err(Error::Memory) }
    }

    /// The arguments `keys` that begin at `first` and are as many as the number before says.
    pub(crate) fn counted_keys(
        &self,
        at: usize,
        what: &'static str,
    ) -> Result<(Vec<&'a [u8]>, usize), Error> {
        let count = parse_i64(self.arg(at)).filter(|&n| n > 0).ok_or(Error::Text(what))?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > self.argc() - at - 1 {
            return Err(Error::Syntax);
        }
        Ok((self.args.from(at + 1).take(count).collect(), at + 1 + count))
    }

    /// `LIMIT n` at the end of the line, or no limit.
    pub(crate) fn limit(&self, at: usize) -> Result<usize, Error> {
        if at >= self.argc() {
            return Ok(usize::MAX);
        }
        if !self.is(at, "LIMIT") || at + 2 != self.argc() {
            return Err(Error::Syntax);
        }
        let given = self.int(at + 1).ok().filter(|&n| n >= 0);
        let given = given.ok_or(Error::Text("ERR LIMIT can't be negative"))? as usize;
        Ok(if given == 0 { usize::MAX } else { given })
    }

    /// `COUNT n` at the end of the line, or 1.
    pub(crate) fn pop_count(&self, at: usize) -> Result<usize, Error> {
        if at >= self.argc() {
            return Ok(1);
        }
        if !self.is(at, "COUNT") || at + 2 != self.argc() {
            return Err(Error::Syntax);
        }
        let given = self.int(at + 1).ok().filter(|&n| n > 0);
        given.map(|n| n as usize).ok_or(Error::Text("ERR count should be greater than 0"))
    }

    /// A timeout in seconds, as a deadline.
    pub(crate) fn deadline(&self, index: usize) -> Result<u64, Error> {
        let Some(seconds) = parse_f64_saturating(self.arg(index)) else {
            return Err(Error::Text("ERR timeout is not a float or out of range"));
        };
        if seconds < 0.0 {
            return Err(Error::Text("ERR timeout is negative"));
        }
        if seconds * 1000.0 > i64::MAX as f64 / 2.0 {
            return Err(Error::Text("ERR timeout is out of range"));
        }
        Ok(self.deadline_after((seconds * 1000.0) as u64, seconds > 0.0))
    }

    pub(crate) fn deadline_after(&self, ms: u64, ends: bool) -> u64 {
        if ends { self.store.now + ms.max(1) } else { u64::MAX }
    }

    /// Waits for a change of one of these keys, unless this is a transaction: then it is over at once.
    pub(crate) fn block(&mut self, keys: Vec<&[u8]>, deadline: u64, null_is_bulk: bool) -> CommandResult {
        self.block_with(keys, deadline, null_is_bulk, None)
    }

    /// The same, with other arguments for the next attempt.
    pub(crate) fn block_with(
        &mut self,
        keys: Vec<&[u8]>,
        deadline: u64,
        null_is_bulk: bool,
        args: Option<Vec<Vec<u8>>>,
    ) -> CommandResult {
        if self.nested {
            if null_is_bulk {
                self.out.null()
            } else {
                self.out.null_array()
            }
            return Ok(());
        }
        self.ensure_memory(3 * self.args.copied_bytes())?;
        let mut keys: Vec<Vec<u8>> = keys.into_iter().map(<[u8]>::to_vec).collect();
        keys.sort();
        keys.dedup();
        let args = args.unwrap_or_else(|| self.args.to_vecs());
        self.blocked = Some(Blocked { keys, deadline, args, null_is_bulk });
        Ok(())
    }
}

/// The part of a sequence that two indices name, of which negative ones count from the end; `None` if it is empty.
pub(crate) fn range(start: i64, end: i64, len: usize) -> Option<core::ops::Range<usize>> {
    let len = len as i64;
    let from = if start < 0 { len.saturating_add(start).max(0) } else { start };
    let to = if end < 0 { len.saturating_add(end) } else { end.min(len - 1) };
    (from <= to && from < len).then(|| from as usize..to as usize + 1)
}

/// The same for strings, where an end before the beginning means the beginning.
pub(crate) fn string_range(start: i64, end: i64, len: usize) -> Option<core::ops::Range<usize>> {
    if start < 0 && end < 0 && start > end {
        return None;
    }
    let end = if end < 0 { (len as i64).saturating_add(end).max(0) } else { end };
    range(start, end, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_name_is_found() {
        assert!(table::COMMANDS.is_sorted_by(|a, b| a.name < b.name));
        for command in table::COMMANDS {
            assert_eq!(find(command.name.to_uppercase().as_bytes()).map(|c| c.name), Some(command.name));
        }
        assert!(find(b"nothing").is_none());
        assert!(find(&[b'a'; 100]).is_none());
    }
}
