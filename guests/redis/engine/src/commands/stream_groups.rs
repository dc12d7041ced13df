//! Streams: groups of consumers.

use super::streams::{bound, id, reading, show_entry, stream_header, streams_at};
use super::{Call, shown};
use crate::engine::COMMAND_BYTES;
use crate::error::{CommandResult, Error};
use crate::store::stream::{Group, Id, Pending, Stream};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

fn no_group(key: &[u8], group: &[u8]) -> Error {
    let [key, group] = [key, group].map(shown);
    Error::Formatted(format!("NOGROUP No such key '{key}' or consumer group '{group}'"))
}

fn group_of<'c>(call: &'c mut Call<'_>, key: &[u8], name: &[u8]) -> Result<&'c mut Group, Error> {
    let stream = call.store.get_mut::<Stream>(call.db, key)?;
    stream.and_then(|s| s.groups.get_mut(name)).ok_or_else(|| no_group(key, name))
}

pub(crate) fn xgroup(call: &mut Call<'_>) -> CommandResult {
    if call.is(1, "HELP") {
        call.out.array(1);
        call.out.simple("XGROUP CREATE|SETID|DESTROY|CREATECONSUMER|DELCONSUMER <key> <group> ...");
        return Ok(());
    }
    let known = ["CREATE", "SETID", "DESTROY", "CREATECONSUMER", "DELCONSUMER"];
    let Some(which) = known.iter().position(|word| call.is(1, word)) else {
        return Err(super::subcommands::unknown("xgroup", call.arg(1)));
    };
    let least = [5, 5, 4, 5, 5][which];
    if call.argc() < least || (which >= 2 && call.argc() != least) {
        let name = ["create", "setid", "destroy", "createconsumer", "delconsumer"][which];
        return Err(Error::Formatted(format!("ERR wrong number of arguments for 'xgroup|{name}' command")));
    }
    let (key, name) = (call.arg(2), call.arg(3));
    let mut make = false;
    let mut read = None;
    if which < 2 {
        let mut at = 5;
        while at < call.argc() {
            if which == 0 && call.is(at, "MKSTREAM") {
                make = true;
            } else if call.is(at, "ENTRIESREAD") && at + 1 < call.argc() {
                at += 1;
                let given = call.int(at)?;
                if given < -1 {
                    return Err(Error::Text("ERR value for ENTRIESREAD must be positive or -1"));
                }
                read = u64::try_from(given).ok();
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
    }
    let missing = Error::Text(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
         option to create an empty stream automatically.",
    );
    let there = call.store.get::<Stream>(call.db, key)?;
    let last = there.map(|stream| stream.last);
    if last.is_none() && !make {
        return Err(missing);
    }
    let known = there.is_some_and(|stream| stream.groups.contains_key(name));
    if !known && matches!(which, 1 | 3 | 4) {
        let [key, name] = [key, name].map(shown);
        return Err(Error::Formatted(format!(
            "NOGROUP No such consumer group '{name}' for key name '{key}'"
        )));
    }
    let position = match call.args.get(4) {
        Some(b"$") => last.unwrap_or(Id::MIN),
        Some(text) if which < 2 => id(text, 0)?,
        _ => Id::MIN,
    };
    let now = call.store.now;
    match which {
        0 => {
            let stream = call.store.get_or_make::<Stream>(call.db, key)?;
            if stream.groups.contains_key(name) {
                return Err(Error::Text("BUSYGROUP Consumer Group name already exists"));
            }
            stream.groups.insert(name.to_vec(), Group { last: position, read, ..Group::default() });
            call.out.ok();
        }
        1 => {
            let group = group_of(call, key, name)?;
            (group.last, group.read) = (position, read);
            call.out.ok();
        }
        2 => {
            let stream = call.store.get_mut::<Stream>(call.db, key)?;
            let removed = stream.is_some_and(|s| s.groups.remove(name).is_some());
            call.out.integer(removed.into());
        }
        3 => {
            let consumer = call.arg(4);
            let (_, new) = group_of(call, key, name)?.consumer(consumer, now);
            call.out.integer(new.into());
        }
        _ => {
            let consumer = call.arg(4);
            let waiting = group_of(call, key, name)?.consumers.get(consumer).map_or(0, |c| c.pending.len());
            call.ensure_transient(48 * waiting)?;
            let group = group_of(call, key, name)?;
            let pending =
                group.consumers.remove(consumer).map_or(vec![], |c| c.pending.into_iter().collect());
            for id in &pending {
                group.pending.remove(id);
            }
            call.out.integer(pending.len() as i64);
        }
    }
    call.changed(key);
    Ok(())
}

pub(crate) fn xreadgroup(call: &mut Call<'_>) -> CommandResult {
    if !call.is(1, "GROUP") {
        return Err(Error::Text("ERR Missing GROUP option for XREADGROUP"));
    }
    let (name, consumer) = (call.arg(2), call.arg(3));
    let r = reading(call, 4, true)?;
    for (i, key) in r.keys.iter().enumerate() {
        let stream = call.store.get::<Stream>(call.db, key)?;
        if !stream.is_some_and(|s| s.groups.contains_key(name)) {
            let [key, name] = [*key, name].map(shown);
            return Err(Error::Formatted(format!(
                "NOGROUP No such key '{key}' or consumer group '{name}' in XREADGROUP with GROUP option"
            )));
        }
        match call.args.at(r.ids + i) {
            b">" => {}
            b"$" => {
                return Err(Error::Text(
                    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this \
                     consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just \
                     return an empty result set.",
                ));
            }
            text => drop(id(text, 0)?),
        }
    }
    let now = call.store.now;
    let mark = call.out.mark();
    let mut streams = 0;
    for (i, key) in r.keys.iter().enumerate() {
        let from = call.args.at(r.ids + i);
        let entries = call.store.get::<Stream>(call.db, key)?.map_or(0, |stream| stream.entries.len());
        call.ensure_memory(320 * entries.min(r.count) + COMMAND_BYTES)?;
        let Some(stream) = call.store.get_mut::<Stream>(call.db, key)? else { continue };
        let extent = stream.extent();
        let Stream { entries, groups, .. } = stream;
        let Some(group) = groups.get_mut(name) else { continue };
        let new: Vec<Id> = match group.last.next().filter(|_| from == b">") {
            Some(first) => entries.range(first..).take(r.count).map(|(id, _)| *id).collect(),
            None => Vec::new(),
        };
        // Who finds nothing new has done nothing yet: no consumer is made.
        if from == b">" && new.is_empty() {
            continue;
        }
        let (shared, _) = group.consumer(consumer, now);
        if from != b">" {
            // What this consumer has got already.
            let after = id(from, 0)?;
            let mine = group.consumers.get(&shared).map(|c| &c.pending);
            let mine: Vec<Id> =
                mine.into_iter().flatten().filter(|&&id| id > after).take(r.count).copied().collect();
            streams += 1;
            stream_header(call.out, key);
            call.out.array(mine.len());
            for id in mine {
                match entries.get(&id) {
                    Some(fields) => show_entry(call.out, id, fields),
                    None => {
                        call.out.array(2);
                        call.out.bulk(id.text().as_bytes());
                        call.out.null_array();
                    }
                }
                if let Some(pending) = group.pending.get_mut(&id) {
                    (pending.delivered, pending.count) = (now, pending.count + 1);
                }
            }
            continue;
        }
        streams += 1;
        stream_header(call.out, key);
        call.out.array(new.len());
        for id in new {
            if let Some(fields) = entries.get(&id) {
                show_entry(call.out, id, fields);
            }
            group.read = match group.read {
                Some(read) if !extent.has_tombstones_from(id) => Some(read + 1),
                _ => extent.entries_up_to(id),
            };
            group.last = id;
            if !r.no_ack {
                group.assign(id, Pending { consumer: shared.clone(), delivered: now, count: 1 });
            }
        }
        call.store.changed(call.db, key);
    }
    if streams > 0 {
        streams_at(call.out, mark, streams);
        return Ok(());
    }
    match r.deadline {
        Some(deadline) => call.block(r.keys, deadline, false),
        None => {
            call.out.null_array();
            Ok(())
        }
    }
}

pub(crate) fn xack(call: &mut Call<'_>) -> CommandResult {
    let (key, name) = (call.arg(1), call.arg(2));
    let ids = call.args.from(3).map(|text| id(text, 0)).collect::<Result<Vec<Id>, Error>>()?;
    let stream = call.store.get_mut::<Stream>(call.db, key)?;
    let released = match stream.and_then(|s| s.groups.get_mut(name)) {
        Some(group) => ids.into_iter().filter(|&id| group.release(id)).count(),
        None => 0,
    };
    if released > 0 {
        call.changed(key);
    }
    call.out.integer(released as i64);
    Ok(())
}

pub(crate) fn xpending(call: &mut Call<'_>) -> CommandResult {
    let (key, name) = (call.arg(1), call.arg(2));
    if call.argc() == 3 {
        let group = group_of(call, key, name)?;
        let names = group.consumers.keys().map(|name| name.len() + 192).sum();
        call.ensure_transient(names)?;
        let group = group_of(call, key, name)?;
        let ends = group.pending.first_key_value().zip(group.pending.last_key_value());
        let ends = ends.map(|((first, _), (last, _))| (*first, *last));
        let total = group.pending.len();
        let each: Vec<(Vec<u8>, usize)> = group
            .consumers
            .iter()
            .filter(|(_, c)| !c.pending.is_empty())
            .map(|(name, c)| (name.to_vec(), c.pending.len()))
            .collect();
        call.out.array(4);
        call.out.integer(total as i64);
        let Some((first, last)) = ends else {
            call.out.null();
            call.out.null();
            call.out.null_array();
            return Ok(());
        };
        call.out.bulk(first.text().as_bytes());
        call.out.bulk(last.text().as_bytes());
        call.out.array(each.len());
        for (name, pending) in each {
            call.out.array(2);
            call.out.bulk(&name);
            call.out.bulk_integer(pending as i64);
        }
        return Ok(());
    }
    let mut at = 3;
    let mut least_idle = 0;
    if call.is(3, "IDLE") {
        if call.argc() < 8 {
            return Err(Error::Syntax);
        }
        least_idle = u64::try_from(call.int(4)?).unwrap_or(0);
        at = 5;
    }
    if call.argc() < at + 3 || call.argc() > at + 4 {
        return Err(Error::Syntax);
    }
    let count = usize::try_from(call.int(at + 2)?).unwrap_or(0);
    let (start, end) = (bound(call.arg(at), true)?, bound(call.arg(at + 1), false)?);
    let only = call.args.get(at + 3);
    let now = call.store.now;
    let pending = group_of(call, key, name)?.pending.len();
    call.ensure_transient(192 * pending.min(count))?;
    let group = group_of(call, key, name)?;
    let all = group.pending.iter().filter(|(id, p)| {
        **id >= start
            && **id <= end
            && now.saturating_sub(p.delivered) >= least_idle
            && only.is_none_or(|consumer| *p.consumer == *consumer)
    });
    let found: Vec<(Id, Pending)> = all.take(count).map(|(id, p)| (*id, p.clone())).collect();
    call.out.array(found.len());
    for (id, pending) in found {
        call.out.array(4);
        call.out.bulk(id.text().as_bytes());
        call.out.bulk(&pending.consumer);
        call.out.integer(now.saturating_sub(pending.delivered) as i64);
        call.out.integer(pending.count as i64);
    }
    Ok(())
}

/// What XCLAIM may set.
struct Claim {
    delivered: u64,
    count: Option<u64>,
    force: bool,
    just_id: bool,
}

pub(crate) fn xclaim(call: &mut Call<'_>) -> CommandResult {
    let (key, name, consumer) = (call.arg(1), call.arg(2), call.arg(3));
    let wrong = Error::Text("ERR Invalid min-idle-time argument for XCLAIM");
    let least_idle = u64::try_from(call.int(4).map_err(|_| wrong)?).unwrap_or(0);
    let now = call.store.now;
    let mut ids = Vec::new();
    let mut at = 5;
    while let Some(id) = call.args.get(at).and_then(|text| Id::parse(text, 0)) {
        ids.push(id);
        at += 1;
    }
    if ids.is_empty() {
        id(call.arg(5), 0)?;
    }
    let mut claim = Claim { delivered: now, count: None, force: false, just_id: false };
    while at < call.argc() {
        let number = || call.args.get(at + 1).and_then(crate::number::parse_i64).ok_or(Error::NotInteger);
        match () {
            () if call.is(at, "FORCE") => claim.force = true,
            () if call.is(at, "JUSTID") => claim.just_id = true,
            () if call.is(at, "IDLE") => {
                claim.delivered = now.saturating_sub(number()?.max(0) as u64);
                at += 1;
            }
            () if call.is(at, "TIME") => {
                claim.delivered = (number()?.max(0) as u64).min(now);
                at += 1;
            }
            () if call.is(at, "RETRYCOUNT") => {
                claim.count = Some(number()?.max(0) as u64);
                at += 1;
            }
            () if call.is(at, "LASTID") => at += 1,
            () => {
                let option = shown(call.arg(at));
                return Err(Error::Formatted(format!("ERR Unrecognized XCLAIM option '{option}'")));
            }
        }
        at += 1;
    }
    group_of(call, key, name)?;
    call.ensure_memory(320 * ids.len() + consumer.len() + COMMAND_BYTES)?;
    let mark = call.out.mark();
    let shown =
        ids.into_iter().filter(|&id| claim_entry(call, key, name, consumer, id, least_idle, &claim)).count();
    call.out.array_at(mark, shown);
    call.changed(key);
    Ok(())
}

/// Makes an entry a consumer's and shows it; whether that was possible.
fn claim_entry(
    call: &mut Call<'_>,
    key: &[u8],
    name: &[u8],
    consumer: &[u8],
    id: Id,
    least_idle: u64,
    claim: &Claim,
) -> bool {
    let now = call.store.now;
    let Ok(Some(Stream { entries, groups, .. })) = call.store.get_mut::<Stream>(call.db, key) else {
        return false;
    };
    let Some(group) = groups.get_mut(name) else { return false };
    let fields = entries.get(&id);
    let old = group.pending.get(&id).cloned();
    let Some(fields) = fields else {
        // The entry is gone: so is what was pending of it.
        group.release(id);
        return false;
    };
    let count = match old {
        Some(old) if now.saturating_sub(old.delivered) < least_idle => return false,
        Some(old) => old.count,
        None if claim.force => 0,
        None => return false,
    };
    let (shared, _) = group.consumer(consumer, now);
    let count = claim.count.unwrap_or(if claim.just_id { count } else { count + 1 });
    group.assign(id, Pending { consumer: shared, delivered: claim.delivered, count });
    match claim.just_id {
        true => call.out.bulk(id.text().as_bytes()),
        false => show_entry(call.out, id, fields),
    }
    true
}

pub(crate) fn xautoclaim(call: &mut Call<'_>) -> CommandResult {
    let (key, name, consumer) = (call.arg(1), call.arg(2), call.arg(3));
    let wrong = Error::Text("ERR Invalid min-idle-time argument for XAUTOCLAIM");
    let least_idle = u64::try_from(call.int(4).map_err(|_| wrong)?).unwrap_or(0);
    let start = bound(call.arg(5), true)?;
    let now = call.store.now;
    let (mut count, mut just_id) = (100, false);
    let mut at = 6;
    while at < call.argc() {
        if call.is(at, "COUNT") && at + 1 < call.argc() {
            let given = usize::try_from(call.int(at + 1)?).ok().filter(|&n| n > 0 && n < 1 << 24);
            count = given.ok_or(Error::Text("ERR COUNT must be > 0"))?;
            at += 1;
        } else if call.is(at, "JUSTID") {
            just_id = true;
        } else {
            return Err(Error::Syntax);
        }
        at += 1;
    }
    let pending = group_of(call, key, name)?.pending.len();
    call.ensure_memory(400 * pending.min(count * 10) + consumer.len() + COMMAND_BYTES)?;
    let group = group_of(call, key, name)?;
    // Looks at ten times as many as it may take.
    let looked: Vec<Id> = group.pending.range(start..).take(count * 10 + 1).map(|(id, _)| *id).collect();
    call.out.array(3);
    let mark = call.out.mark();
    let claim = Claim { delivered: now, count: None, force: false, just_id };
    let (mut shown, mut gone, mut cursor) = (0, Vec::new(), Id::MIN);
    for (i, id) in looked.into_iter().enumerate() {
        if shown == count || i == count * 10 {
            cursor = id;
            break;
        }
        let stream = call.store.get::<Stream>(call.db, key)?;
        let deleted = stream.is_some_and(|s| !s.entries.contains_key(&id));
        if deleted {
            gone.push(id);
        }
        shown += usize::from(claim_entry(call, key, name, consumer, id, least_idle, &claim));
    }
    call.out.array_at(mark, shown);
    let end = call.out.mark();
    call.out.bulk(cursor.text().as_bytes());
    call.out.rotate(mark, end);
    call.out.array(gone.len());
    gone.into_iter().for_each(|id| call.out.bulk(id.text().as_bytes()));
    call.changed(key);
    Ok(())
}
