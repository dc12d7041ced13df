//! Hashes.

use super::Call;
use crate::error::{CommandResult, Error};
use crate::number::{format_plain, parse_f64, parse_i64, with_i64};
use crate::store::hash::Hash;
use alloc::vec::Vec;

fn set_fields(call: &mut Call<'_>, name: &'static str) -> Result<i64, Error> {
    let key = call.arg(1);
    if !call.argc().is_multiple_of(2) {
        return Err(Error::Arity(name));
    }
    let (seed, args) = (call.store.seed, call.args);
    let hash = call.store.get_or_make::<Hash>(call.db, key)?;
    let mut new = 0;
    for at in (2..args.len()).step_by(2) {
        new += i64::from(hash.set(args.at(at), args.at(at + 1), seed));
    }
    call.changed(key);
    Ok(new)
}

pub(crate) fn hset(call: &mut Call<'_>) -> CommandResult {
    let new = set_fields(call, "hset")?;
    call.out.integer(new);
    Ok(())
}

pub(crate) fn hmset(call: &mut Call<'_>) -> CommandResult {
    set_fields(call, "hmset")?;
    call.out.ok();
    Ok(())
}

pub(crate) fn hsetnx(call: &mut Call<'_>) -> CommandResult {
    let (key, seed) = (call.arg(1), call.store.seed);
    let hash = call.store.get_or_make::<Hash>(call.db, key)?;
    let new = hash.get(call.args.at(2)).is_none();
    if new {
        hash.set(call.args.at(2), call.args.at(3), seed);
        call.changed(key);
    }
    call.out.integer(new.into());
    Ok(())
}

pub(crate) fn hget(call: &mut Call<'_>) -> CommandResult {
    let hash = call.store.get::<Hash>(call.db, call.args.at(1))?;
    call.out.bulk_or_null(hash.and_then(|hash| hash.get(call.args.at(2))));
    Ok(())
}

pub(crate) fn hmget(call: &mut Call<'_>) -> CommandResult {
    let hash = call.store.get::<Hash>(call.db, call.args.at(1))?;
    call.out.array(call.args.len() - 2);
    for name in call.args.from(2) {
        call.out.bulk_or_null(hash.and_then(|hash| hash.get(name)));
    }
    Ok(())
}

pub(crate) fn hdel(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let mut removed = 0;
    if let Some(hash) = call.store.get_mut::<Hash>(call.db, key)? {
        removed = call.args.from(2).filter(|name| hash.remove(name)).count();
    }
    if removed > 0 {
        call.changed_or_emptied(key);
    }
    call.out.integer(removed as i64);
    Ok(())
}

pub(crate) fn hexists(call: &mut Call<'_>) -> CommandResult {
    let hash = call.store.get::<Hash>(call.db, call.args.at(1))?;
    let there = hash.is_some_and(|hash| hash.get(call.args.at(2)).is_some());
    call.out.integer(there.into());
    Ok(())
}

pub(crate) fn hlen(call: &mut Call<'_>) -> CommandResult {
    let length = call.store.get::<Hash>(call.db, call.args.at(1))?.map_or(0, Hash::len);
    call.out.integer(length as i64);
    Ok(())
}

pub(crate) fn hstrlen(call: &mut Call<'_>) -> CommandResult {
    let hash = call.store.get::<Hash>(call.db, call.args.at(1))?;
    let value = hash.and_then(|hash| hash.get(call.args.at(2)));
    call.out.integer(value.map_or(0, |v| v.len() as i64));
    Ok(())
}

fn all(call: &mut Call<'_>, names: bool, values: bool) -> CommandResult {
    let hash = call.store.get::<Hash>(call.db, call.args.at(1))?;
    let length = hash.map_or(0, Hash::len);
    match (names, values) {
        (true, true) => call.out.map(length),
        _ => call.out.array(length),
    }
    for (name, value) in hash.into_iter().flat_map(Hash::iter) {
        if names {
            call.out.bulk(name);
        }
        if values {
            call.out.bulk(value);
        }
    }
    Ok(())
}

pub(crate) fn hgetall(call: &mut Call<'_>) -> CommandResult {
    all(call, true, true)
}

pub(crate) fn hkeys(call: &mut Call<'_>) -> CommandResult {
    all(call, true, false)
}

pub(crate) fn hvals(call: &mut Call<'_>) -> CommandResult {
    all(call, false, true)
}

pub(crate) fn hincrby(call: &mut Call<'_>) -> CommandResult {
    let (key, seed) = (call.arg(1), call.store.seed);
    let amount = call.int(3)?;
    let name = call.arg(2);
    let before = match call.store.get::<Hash>(call.db, key)?.and_then(|hash| hash.get(name)) {
        Some(text) => parse_i64(text).ok_or(Error::Text("ERR hash value is not an integer"))?,
        None => 0,
    };
    let after = before.checked_add(amount).ok_or(Error::Overflow)?;
    let hash = call.store.get_or_make::<Hash>(call.db, key)?;
    with_i64(after, |digits| hash.set(name, digits, seed));
    call.changed(key);
    call.out.integer(after);
    Ok(())
}

pub(crate) fn hincrbyfloat(call: &mut Call<'_>) -> CommandResult {
    let (key, seed) = (call.arg(1), call.store.seed);
    let amount = call.float(3)?;
    if !amount.is_finite() {
        return Err(Error::Text("ERR value is NaN or Infinity"));
    }
    let name = call.arg(2);
    let before = match call.store.get::<Hash>(call.db, key)?.and_then(|hash| hash.get(name)) {
        Some(text) => parse_f64(text).ok_or(Error::Text("ERR hash value is not a float"))?,
        None => 0.0,
    };
    let after = before + amount;
    if !after.is_finite() {
        return Err(Error::NaN);
    }
    let text = format_plain(after);
    call.store.get_or_make::<Hash>(call.db, key)?.set(name, text.as_bytes(), seed);
    call.changed(key);
    call.out.bulk(text.as_bytes());
    Ok(())
}

pub(crate) fn hrandfield(call: &mut Call<'_>) -> CommandResult {
    let with_values = call.argc() == 4 && call.is(3, "WITHVALUES");
    if call.argc() > 3 && !with_values {
        return Err(Error::Syntax);
    }
    let count = if call.argc() > 2 { Some(call.int(2)?) } else { None };
    if count.is_some_and(|n| n < -(i64::MAX / 2) || (with_values && n > i64::MAX / 2)) {
        return Err(Error::Text("ERR value is out of range"));
    }
    let mut rng = call.store.rng();
    let fields = call.store.get::<Hash>(call.db, call.args.at(1))?.map_or(0, Hash::len);
    call.ensure_transient(96 * fields.min(count.unwrap_or(0).unsigned_abs() as usize))?;
    let hash = call.store.get::<Hash>(call.db, call.args.at(1))?;
    let Some(count) = count else {
        call.out.bulk_or_null(hash.and_then(|hash| hash.random(rng)).map(|(name, _)| name));
        return Ok(());
    };
    let Some(hash) = hash else {
        call.out.array(0);
        return Ok(());
    };
    let pairs: Vec<(&[u8], &[u8])> = if count >= 0 {
        super::sets::sample(hash.len(), count as usize, &mut rng, hash.iter())
    } else {
        // Repeated picks may be any number: the reply's limit is what ends them.
        let most = count.unsigned_abs().min(call.out.limit as u64 / 128) as usize;
        if (most as u64) < count.unsigned_abs() {
            return Err(Error::Text("ERR the reply would be larger than memory allows"));
        }
        (0..most).filter_map(|_| hash.random(&mut rng)).collect()
    };
    let resp3 = call.out.resp3;
    call.out.array(if with_values && !resp3 { 2 * pairs.len() } else { pairs.len() });
    for (name, value) in pairs {
        if with_values && resp3 {
            call.out.array(2);
        }
        call.out.bulk(name);
        if with_values {
            call.out.bulk(value);
        }
    }
    Ok(())
}
