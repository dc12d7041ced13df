//! Streams: XINFO.

use super::Call;
use super::streams::show_entry;
use crate::error::{CommandResult, Error};
use crate::store::stream::{Group, Id, Stream};
use alloc::format;

pub(crate) fn xinfo(call: &mut Call<'_>) -> CommandResult {
    if call.is(1, "HELP") {
        call.out.array(1);
        call.out.simple("XINFO STREAM <key> | GROUPS <key> | CONSUMERS <key> <group>");
        return Ok(());
    }
    let (stream, groups, consumers) = (call.is(1, "STREAM"), call.is(1, "GROUPS"), call.is(1, "CONSUMERS"));
    if !(stream || groups || consumers) || call.argc() != if consumers { 4 } else { 3 } {
        return Err(super::subcommands::unknown("xinfo", call.arg(1)));
    }
    let now = call.store.now;
    let key = call.arg(2);
    let Some(found) = call.store.get::<Stream>(call.db, key)? else { return Err(Error::NoSuchKey) };
    let out = &mut *call.out;
    if stream {
        out.map(10);
        for (name, value) in [
            ("length", found.entries.len() as i64),
            ("radix-tree-keys", found.entries.len() as i64),
            ("radix-tree-nodes", found.entries.len() as i64 + 1),
        ] {
            out.bulk(name.as_bytes());
            out.integer(value);
        }
        out.bulk(b"last-generated-id");
        out.bulk(found.last.text().as_bytes());
        out.bulk(b"max-deleted-entry-id");
        out.bulk(found.largest_deleted.text().as_bytes());
        out.bulk(b"entries-added");
        out.integer(found.added as i64);
        out.bulk(b"recorded-first-entry-id");
        let first = found.entries.first_key_value().map_or(Id::MIN, |(id, _)| *id);
        out.bulk(first.text().as_bytes());
        out.bulk(b"groups");
        out.integer(found.groups.len() as i64);
        for (name, entry) in
            [("first-entry", found.entries.first_key_value()), ("last-entry", found.entries.last_key_value())]
        {
            out.bulk(name.as_bytes());
            match entry {
                Some((id, fields)) => show_entry(out, *id, fields),
                None => out.null_array(),
            }
        }
        return Ok(());
    }
    if groups {
        out.array(found.groups.len());
        for (name, group) in &found.groups {
            out.map(6);
            out.bulk(b"name");
            out.bulk(name);
            out.bulk(b"consumers");
            out.integer(group.consumers.len() as i64);
            out.bulk(b"pending");
            out.integer(group.pending.len() as i64);
            out.bulk(b"last-delivered-id");
            out.bulk(group.last.text().as_bytes());
            out.bulk(b"entries-read");
            match group.read {
                Some(read) => out.integer(read as i64),
                None => out.null(),
            }
            out.bulk(b"lag");
            match lag(found, group) {
                Some(lag) => out.integer(lag),
                None => out.null(),
            }
        }
        return Ok(());
    }
    let name = call.args.at(3);
    let Some(group) = found.groups.get(name) else {
        let [key, name] = [key, name].map(super::shown);
        return Err(Error::Formatted(format!(
            "NOGROUP No such consumer group '{name}' for key name '{key}'"
        )));
    };
    out.array(group.consumers.len());
    for (name, consumer) in &group.consumers {
        out.map(4);
        out.bulk(b"name");
        out.bulk(name);
        out.bulk(b"pending");
        out.integer(consumer.pending.len() as i64);
        for word in [&b"idle"[..], b"inactive"] {
            out.bulk(word);
            out.integer(now.saturating_sub(consumer.seen) as i64);
        }
    }
    Ok(())
}

/// Entries that a group has not read yet, if that is known.
fn lag(stream: &Stream, group: &Group) -> Option<i64> {
    let counted = group.read.filter(|_| !stream.extent().has_tombstones_from(group.last));
    let read = if stream.added == 0 {
        Some(0)
    } else {
        counted.or_else(|| stream.extent().entries_up_to(group.last))
    };
    read.map(|read| stream.added as i64 - read as i64)
}
