//! Keys, whatever they hold.

use super::Call;
use crate::engine::COMMAND_BYTES;
use crate::error::{CommandResult, Error};
use crate::glob;
use crate::number::parse_i64;
use crate::store::keyspace::DATABASES;
use crate::table::Keyed;

pub(crate) fn del(call: &mut Call<'_>) -> CommandResult {
    let gone = call.args.from(1).filter(|key| call.store.delete(call.db, key)).count();
    call.out.integer(gone as i64);
    Ok(())
}

pub(crate) fn exists(call: &mut Call<'_>) -> CommandResult {
    let there = call.args.from(1).filter(|key| call.store.read(call.db, key).is_some()).count();
    call.out.integer(there as i64);
    Ok(())
}

pub(crate) fn touch(call: &mut Call<'_>) -> CommandResult {
    exists(call)
}

pub(crate) fn type_of(call: &mut Call<'_>) -> CommandResult {
    let kind = call.store.find(call.db, call.args.at(1)).map_or("none", |entry| entry.kind());
    call.out.simple(kind);
    Ok(())
}

pub(crate) fn keys(call: &mut Call<'_>) -> CommandResult {
    let pattern = call.arg(1);
    let now = call.store.now;
    let mark = call.out.mark();
    let mut found = 0;
    for entry in call.store.databases[call.db].table.iter() {
        if entry.expiry() > now && (pattern == b"*" || glob::matches(pattern, entry.key(), false)) {
            call.out.bulk(entry.key());
            found += 1;
        }
        if call.out.overflowed {
            break;
        }
    }
    call.out.array_at(mark, found);
    Ok(())
}

pub(crate) fn randomkey(call: &mut Call<'_>) -> CommandResult {
    let now = call.store.now;
    // Expired keys are passed over; if there is nothing else, there is nothing.
    for _ in 0..100 {
        let rng = call.store.rng();
        match call.store.databases[call.db].table.random(rng) {
            Some(entry) if entry.expiry() > now => {
                call.out.bulk(entry.key());
                return Ok(());
            }
            Some(_) => {}
            None => break,
        }
    }
    call.out.null();
    Ok(())
}

fn rename_to(call: &mut Call<'_>, only_new: bool) -> CommandResult {
    let (from, to) = (call.arg(1), call.arg(2));
    if call.store.find(call.db, from).is_none() {
        return Err(Error::NoSuchKey);
    }
    if to.len() > from.len() {
        call.ensure_memory(to.len() + COMMAND_BYTES)?;
    }
    call.ensure_transient(to.len())?;
    let taken = call.store.find(call.db, to).is_some();
    if only_new && taken {
        call.out.integer(0);
        return Ok(());
    }
    if from != to
        && let Some(entry) = call.store.take(call.db, from)
    {
        let expiry = entry.expiry();
        call.store.put(call.db, to, entry.into_value(), expiry);
        call.changed(from);
        call.changed(to);
    }
    if only_new {
        call.out.integer(1)
    } else {
        call.out.ok()
    }
    Ok(())
}

pub(crate) fn rename(call: &mut Call<'_>) -> CommandResult {
    rename_to(call, false)
}

pub(crate) fn renamenx(call: &mut Call<'_>) -> CommandResult {
    rename_to(call, true)
}

/// The number of a database.
pub(crate) fn database(text: &[u8]) -> Result<usize, Error> {
    let number = parse_i64(text).ok_or(Error::NotInteger)?;
    usize::try_from(number).ok().filter(|&n| n < DATABASES).ok_or(Error::Text("ERR DB index is out of range"))
}

pub(crate) fn copy(call: &mut Call<'_>) -> CommandResult {
    let (from, to) = (call.arg(1), call.arg(2));
    let (mut db, mut replace) = (call.db, false);
    let mut at = 3;
    while at < call.argc() {
        if call.is(at, "REPLACE") {
            replace = true;
        } else if call.is(at, "DB") && at + 1 < call.argc() {
            at += 1;
            db = database(call.arg(at))?;
        } else {
            return Err(Error::Syntax);
        }
        at += 1;
    }
    if from == to && db == call.db {
        return Err(Error::Text("ERR source and destination objects are the same"));
    }
    let size = call.store.find(call.db, from).map_or(0, |entry| entry.size());
    call.ensure_memory(6 * size + COMMAND_BYTES)?;
    let there = call.store.find(db, to).is_some();
    let value = call.store.find(call.db, from).map(|entry| {
        let value = match entry.value() {
            Some(value) => value.clone(),
            None => crate::store::Value::String(entry.text().unwrap_or_default().to_vec()),
        };
        (value, entry.expiry())
    });
    let copied = match value {
        Some((value, expiry)) if replace || !there => {
            call.store.put(db, to, value, expiry);
            call.store.changed(db, to);
            true
        }
        _ => false,
    };
    call.out.integer(copied.into());
    Ok(())
}

pub(crate) fn move_key(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let db = database(call.arg(2))?;
    if db == call.db {
        return Err(Error::Text("ERR source and destination objects are the same"));
    }
    call.ensure_memory(key.len() + COMMAND_BYTES)?;
    let possible = call.store.find(call.db, key).is_some() && call.store.find(db, key).is_none();
    if possible && let Some(entry) = call.store.take(call.db, key) {
        let expiry = entry.expiry();
        call.store.put(db, key, entry.into_value(), expiry);
        call.changed(key);
        call.store.changed(db, key);
    }
    call.out.integer(possible.into());
    Ok(())
}

pub(crate) fn dbsize(call: &mut Call<'_>) -> CommandResult {
    call.out.integer(call.store.databases[call.db].table.len() as i64);
    Ok(())
}

fn flush_option(call: &Call<'_>) -> CommandResult {
    match call.argc() {
        1 => Ok(()),
        2 if call.is(1, "SYNC") || call.is(1, "ASYNC") => Ok(()),
        _ => Err(Error::Syntax),
    }
}

pub(crate) fn flushdb(call: &mut Call<'_>) -> CommandResult {
    flush_option(call)?;
    call.store.flush(call.db);
    call.out.ok();
    Ok(())
}

pub(crate) fn flushall(call: &mut Call<'_>) -> CommandResult {
    flush_option(call)?;
    (0..DATABASES).for_each(|db| call.store.flush(db));
    call.out.ok();
    Ok(())
}

pub(crate) fn swapdb(call: &mut Call<'_>) -> CommandResult {
    let index = |at, message| {
        database(call.args.at(at)).map_err(|e| match e {
            Error::NotInteger => Error::Text(message),
            other => other,
        })
    };
    let a = index(1, "ERR invalid first DB index")?;
    let b = index(2, "ERR invalid second DB index")?;
    if a != b {
        call.store.swap(a, b);
        for db in [a, b] {
            call.store.all_changed(db);
        }
    }
    call.out.ok();
    Ok(())
}

/// Text of a key, for sorting.
pub(crate) fn text_of<'s>(call: &'s mut Call<'_>, key: &[u8]) -> Option<&'s [u8]> {
    call.store.find(call.db, key).and_then(|entry| entry.text())
}
