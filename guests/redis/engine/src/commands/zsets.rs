//! Sorted sets: scores and members.

use super::Call;
use crate::error::{CommandResult, Error};
use crate::number::parse_f64;
use crate::store::score_index::ScoredMember;
use crate::store::zset::Zset;
use alloc::vec::Vec;

#[derive(Default)]
struct Options {
    only_new: bool,
    only_old: bool,
    greater: bool,
    less: bool,
    changed: bool,
    increment: bool,
}

pub(crate) fn zadd(call: &mut Call<'_>) -> CommandResult {
    let mut o = Options::default();
    let mut at = 2;
    while at < call.argc() {
        match () {
            () if call.is(at, "NX") => o.only_new = true,
            () if call.is(at, "XX") => o.only_old = true,
            () if call.is(at, "GT") => o.greater = true,
            () if call.is(at, "LT") => o.less = true,
            () if call.is(at, "CH") => o.changed = true,
            () if call.is(at, "INCR") => o.increment = true,
            () => break,
        }
        at += 1;
    }
    let pairs = call.argc() - at;
    if pairs == 0 || !pairs.is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    if o.only_new && o.only_old {
        return Err(Error::Text("ERR XX and NX options at the same time are not compatible"));
    }
    if (o.greater && (o.less || o.only_new)) || (o.less && o.only_new) {
        return Err(Error::Text("ERR GT, LT, and/or NX options at the same time are not compatible"));
    }
    if o.increment && pairs > 2 {
        return Err(Error::Text("ERR INCR option supports a single increment-element pair"));
    }
    add(call, at, &o)
}

fn add(call: &mut Call<'_>, first: usize, o: &Options) -> CommandResult {
    let (key, args, seed) = (call.arg(1), call.args, call.store.seed);
    // All scores are read before anything is changed.
    let mut scores = Vec::with_capacity((args.len() - first) / 2);
    for at in (first..args.len()).step_by(2) {
        scores.push(call.float(at)?);
    }
    let there = call.store.get::<Zset>(call.db, key)?.is_some();
    if !there && o.only_old {
        if o.increment {
            call.out.null()
        } else {
            call.out.integer(0)
        }
        return Ok(());
    }
    let zset = call.store.get_or_make::<Zset>(call.db, key)?;
    let (mut new, mut moved, mut last) = (0, 0, None);
    for (at, given) in (first..args.len()).step_by(2).zip(scores) {
        let member = args.at(at + 1);
        let Some(before) = zset.score(member) else {
            if !o.only_old {
                zset.set(member, given, seed);
                (new, last) = (new + 1, Some(given));
            }
            continue;
        };
        if o.only_new {
            continue;
        }
        let score = if o.increment { before + given } else { given };
        if score.is_nan() {
            return Err(Error::Text("ERR resulting score is not a number (NaN)"));
        }
        if (o.greater && score <= before) || (o.less && score >= before) {
            continue;
        }
        last = Some(score);
        if score != before {
            zset.set(member, score, seed);
            moved += 1;
        }
    }
    if new + moved > 0 {
        call.changed(key);
    }
    call.store.delete_if_empty(call.db, key);
    match (o.increment, last) {
        (true, Some(score)) => call.out.double(score),
        (true, None) => call.out.null(),
        _ => call.out.integer(if o.changed { new + moved } else { new }),
    }
    Ok(())
}

pub(crate) fn zincrby(call: &mut Call<'_>) -> CommandResult {
    let options = Options { increment: true, ..Options::default() };
    add(call, 2, &options)
}

pub(crate) fn zrem(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let mut removed = 0;
    if let Some(zset) = call.store.get_mut::<Zset>(call.db, key)? {
        removed = call.args.from(2).filter(|member| zset.remove(member)).count();
    }
    if removed > 0 {
        call.changed_or_emptied(key);
    }
    call.out.integer(removed as i64);
    Ok(())
}

pub(crate) fn zcard(call: &mut Call<'_>) -> CommandResult {
    let length = call.store.get::<Zset>(call.db, call.args.at(1))?.map_or(0, Zset::len);
    call.out.integer(length as i64);
    Ok(())
}

pub(crate) fn zscore(call: &mut Call<'_>) -> CommandResult {
    let zset = call.store.get::<Zset>(call.db, call.args.at(1))?;
    match zset.and_then(|zset| zset.score(call.args.at(2))) {
        Some(score) => call.out.double(score),
        None => call.out.null(),
    }
    Ok(())
}

pub(crate) fn zmscore(call: &mut Call<'_>) -> CommandResult {
    let zset = call.store.get::<Zset>(call.db, call.args.at(1))?;
    call.out.array(call.args.len() - 2);
    for member in call.args.from(2) {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => call.out.double(score),
            None => call.out.null(),
        }
    }
    Ok(())
}

fn rank(call: &mut Call<'_>, reverse: bool) -> CommandResult {
    let with_score = call.argc() == 4 && call.is(3, "WITHSCORE");
    if call.argc() > 3 && !with_score {
        return Err(Error::Syntax);
    }
    let zset = call.store.get::<Zset>(call.db, call.args.at(1))?;
    match zset.and_then(|zset| Some((zset.rank(call.args.at(2))?, zset.len()))) {
        Some(((rank, score), len)) => {
            if with_score {
                call.out.array(2);
            }
            call.out.integer(if reverse { len - 1 - rank } else { rank } as i64);
            if with_score {
                call.out.double(score);
            }
        }
        None if with_score => call.out.null_array(),
        None => call.out.null(),
    }
    Ok(())
}

pub(crate) fn zrank(call: &mut Call<'_>) -> CommandResult {
    rank(call, false)
}

pub(crate) fn zrevrank(call: &mut Call<'_>) -> CommandResult {
    rank(call, true)
}

fn pop(call: &mut Call<'_>, lowest: bool) -> CommandResult {
    let key = call.arg(1);
    if call.argc() > 3 {
        return Err(Error::Syntax);
    }
    let given = match call.argc() {
        2 => None,
        _ => {
            let n = call.int(2).ok().filter(|&n| n >= 0);
            Some(n.ok_or(Error::Text("ERR value is out of range, must be positive"))? as usize)
        }
    };
    let Some(zset) = call.store.get_mut::<Zset>(call.db, key)? else {
        call.out.array(0);
        return Ok(());
    };
    let count = given.unwrap_or(1).min(zset.len());
    // With a count, RESP3 has pairs.
    let pairs = call.out.resp3 && given.is_some();
    call.out.array(if pairs { count } else { 2 * count });
    zset.pop(count, lowest, |entry| {
        if pairs {
            call.out.array(2);
        }
        call.out.bulk(&entry.member);
        call.out.double(entry.score);
    });
    if count > 0 {
        call.changed_or_emptied(key);
    }
    Ok(())
}

pub(crate) fn zpopmin(call: &mut Call<'_>) -> CommandResult {
    pop(call, true)
}

pub(crate) fn zpopmax(call: &mut Call<'_>) -> CommandResult {
    pop(call, false)
}

fn pop_or_wait(call: &mut Call<'_>, lowest: bool) -> CommandResult {
    let last = call.argc() - 1;
    let deadline = call.deadline(last)?;
    let keys: Vec<&[u8]> = call.args.from(1).take(last - 1).collect();
    for key in &keys {
        let Some(zset) = call.store.get_mut::<Zset>(call.db, key)? else { continue };
        zset.pop(1, lowest, |entry| {
            call.out.array(3);
            call.out.bulk(key);
            call.out.bulk(&entry.member);
            call.out.double(entry.score);
        });
        call.changed_or_emptied(key);
        return Ok(());
    }
    call.block(keys, deadline, false)
}

pub(crate) fn bzpopmin(call: &mut Call<'_>) -> CommandResult {
    pop_or_wait(call, true)
}

pub(crate) fn bzpopmax(call: &mut Call<'_>) -> CommandResult {
    pop_or_wait(call, false)
}

/// ZMPOP from the word `first` on; the keys, if all are empty.
fn pop_many<'a>(call: &mut Call<'a>, first: usize) -> Result<Option<Vec<&'a [u8]>>, Error> {
    let (keys, next) = call.counted_keys(first, "ERR numkeys should be greater than 0")?;
    let lowest = call.is(next, "MIN");
    if !lowest && !call.is(next, "MAX") {
        return Err(Error::Syntax);
    }
    let count = call.pop_count(next + 1)?;
    for key in &keys {
        let Some(zset) = call.store.get_mut::<Zset>(call.db, key)? else { continue };
        call.out.array(2);
        call.out.bulk(key);
        call.out.array(count.min(zset.len()));
        zset.pop(count, lowest, |entry| {
            call.out.array(2);
            call.out.bulk(&entry.member);
            call.out.double(entry.score);
        });
        call.changed_or_emptied(key);
        return Ok(None);
    }
    Ok(Some(keys))
}

pub(crate) fn zmpop(call: &mut Call<'_>) -> CommandResult {
    if pop_many(call, 1)?.is_some() {
        call.out.null_array();
    }
    Ok(())
}

pub(crate) fn bzmpop(call: &mut Call<'_>) -> CommandResult {
    let deadline = call.deadline(1)?;
    match pop_many(call, 2)? {
        Some(keys) => call.block(keys, deadline, false),
        None => Ok(()),
    }
}

pub(crate) fn zrandmember(call: &mut Call<'_>) -> CommandResult {
    let with_scores = call.argc() == 4 && call.is(3, "WITHSCORES");
    if call.argc() > 3 && !with_scores {
        return Err(Error::Syntax);
    }
    let count = if call.argc() > 2 { Some(call.int(2)?) } else { None };
    if count.is_some_and(|n| n < -(i64::MAX / 2) || (with_scores && n > i64::MAX / 2)) {
        return Err(Error::Text("ERR value is out of range"));
    }
    let mut rng = call.store.rng();
    let members = call.store.get::<Zset>(call.db, call.args.at(1))?.map_or(0, Zset::len);
    call.ensure_memory(48 * members.min(count.unwrap_or(0).unsigned_abs() as usize))?;
    let zset = call.store.get::<Zset>(call.db, call.args.at(1))?;
    let Some(count) = count else {
        call.out.bulk_or_null(zset.and_then(|zset| zset.random(rng)).map(|e| &*e.member));
        return Ok(());
    };
    let picked: Vec<&ScoredMember> = match zset {
        None => Vec::new(),
        Some(zset) if count >= 0 => {
            super::sets::sample(zset.len(), count as usize, rng, zset.by_score.up_from(0))
        }
        Some(zset) => {
            let count = count.unsigned_abs() as usize;
            if count > call.out.limit / 64 {
                return Err(Error::Text("ERR the reply would be larger than memory allows"));
            }
            (0..count).filter_map(|_| zset.random(&mut rng)).collect()
        }
    };
    show(call.out, picked.into_iter(), with_scores);
    Ok(())
}

/// Writes members, with their scores or without.
pub(crate) fn show<'a>(
    out: &mut crate::resp::reply::Reply,
    entries: impl ExactSizeIterator<Item = &'a ScoredMember>,
    with_scores: bool,
) {
    let pairs = out.resp3 && with_scores;
    out.array(if with_scores && !pairs { 2 * entries.len() } else { entries.len() });
    for entry in entries {
        if pairs {
            out.array(2);
        }
        out.bulk(&entry.member);
        if with_scores {
            out.double(entry.score);
        }
    }
}

/// Reads an aggregate's weight.
pub(crate) fn weight(text: &[u8]) -> Result<f64, Error> {
    parse_f64(text).ok_or(Error::Text("ERR weight value is not a float"))
}
