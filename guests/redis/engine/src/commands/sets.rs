//! Sets.

use super::Call;
use crate::engine::COMMAND_BYTES;
use crate::error::{CommandResult, Error};
use crate::store::Value;
use crate::store::entry::NEVER;
use crate::store::set::{Set, collect};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// `count` of the `len` things that an iterator yields, by chance, each at most once.
pub(crate) fn sample<T>(
    len: usize,
    count: usize,
    mut rng: impl FnMut() -> u64,
    all: impl Iterator<Item = T>,
) -> Vec<T> {
    if count >= len {
        return all.collect();
    }
    // Each is taken with the chance of what is still wanted among what is still left.
    let mut wanted = count;
    all.enumerate()
        .filter(|(i, _)| {
            let take = wanted > 0 && rng() % ((len - i) as u64) < wanted as u64;
            wanted -= usize::from(take);
            take
        })
        .map(|(_, thing)| thing)
        .collect()
}

pub(crate) fn sadd(call: &mut Call<'_>) -> CommandResult {
    let (key, seed) = (call.arg(1), call.store.seed);
    let set = call.store.get_or_make::<Set>(call.db, key)?;
    let new = call.args.from(2).filter(|member| set.add(member, seed)).count();
    if new > 0 {
        call.changed(key);
    }
    call.out.integer(new as i64);
    Ok(())
}

pub(crate) fn srem(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let mut removed = 0;
    if let Some(set) = call.store.get_mut::<Set>(call.db, key)? {
        removed = call.args.from(2).filter(|member| set.remove(member)).count();
    }
    if removed > 0 {
        call.changed_or_emptied(key);
    }
    call.out.integer(removed as i64);
    Ok(())
}

pub(crate) fn scard(call: &mut Call<'_>) -> CommandResult {
    let length = call.store.get::<Set>(call.db, call.args.at(1))?.map_or(0, Set::len);
    call.out.integer(length as i64);
    Ok(())
}

pub(crate) fn sismember(call: &mut Call<'_>) -> CommandResult {
    let set = call.store.get::<Set>(call.db, call.args.at(1))?;
    call.out.integer(set.is_some_and(|set| set.contains(call.args.at(2))).into());
    Ok(())
}

pub(crate) fn smismember(call: &mut Call<'_>) -> CommandResult {
    let set = call.store.get::<Set>(call.db, call.args.at(1))?;
    call.out.array(call.args.len() - 2);
    for member in call.args.from(2) {
        call.out.integer(set.is_some_and(|set| set.contains(member)).into());
    }
    Ok(())
}

pub(crate) fn smembers(call: &mut Call<'_>) -> CommandResult {
    let set = call.store.get::<Set>(call.db, call.args.at(1))?;
    call.out.set(set.map_or(0, Set::len));
    set.into_iter().flat_map(Set::iter).for_each(|member| call.out.bulk(member));
    Ok(())
}

pub(crate) fn smove(call: &mut Call<'_>) -> CommandResult {
    let (source, target, member) = (call.arg(1), call.arg(2), call.arg(3));
    let seed = call.store.seed;
    let there = call.store.get::<Set>(call.db, source)?.map(|set| set.contains(member));
    if there.is_some() {
        call.store.get::<Set>(call.db, target)?;
    }
    let there = there == Some(true);
    if there {
        call.ensure_memory(2 * member.len() + target.len() + COMMAND_BYTES)?;
    }
    if there && source != target {
        call.store.get_mut::<Set>(call.db, source)?.map(|set| set.remove(member));
        call.changed_or_emptied(source);
        if call.store.get_or_make::<Set>(call.db, target)?.add(member, seed) {
            call.changed(target);
        }
    }
    call.out.integer(there.into());
    Ok(())
}

pub(crate) fn spop(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    if call.argc() > 3 {
        return Err(Error::Syntax);
    }
    let mut rng = call.store.rng();
    if call.argc() == 2 {
        let Some(set) = call.store.get_mut::<Set>(call.db, key)? else {
            call.out.null();
            return Ok(());
        };
        if let Some(member) = set.random(rng) {
            if !call.server.credit.take_transient(member.len()) {
                return Err(Error::Memory);
            }
            let member = member.to_vec();
            set.remove(&member);
            call.out.bulk(&member);
        }
        call.changed_or_emptied(key);
        return Ok(());
    }
    let count = call.int(2).ok().filter(|&n| n >= 0);
    let count = count.ok_or(Error::Text("ERR value is out of range, must be positive"))? as usize;
    let (members, size) = call.store.get::<Set>(call.db, key)?.map_or((0, 0), |set| (set.len(), set.size()));
    if count < members {
        call.ensure_transient(3 * size)?;
    }
    let Some(set) = call.store.get_mut::<Set>(call.db, key)? else {
        call.out.set(0);
        return Ok(());
    };
    if count >= set.len() {
        // All of it: without a copy.
        call.out.set(set.len());
        set.iter().for_each(|member| call.out.bulk(member));
        call.store.delete(call.db, key);
        return Ok(());
    }
    let picked: Vec<Vec<u8>> =
        sample(set.len(), count, &mut rng, set.iter()).into_iter().map(<[u8]>::to_vec).collect();
    call.out.set(picked.len());
    for member in &picked {
        set.remove(member);
        call.out.bulk(member);
    }
    if count > 0 {
        call.changed_or_emptied(key);
    }
    Ok(())
}

pub(crate) fn srandmember(call: &mut Call<'_>) -> CommandResult {
    if call.argc() > 3 {
        return Err(Error::Syntax);
    }
    let count = if call.argc() == 3 { Some(call.int(2)?) } else { None };
    if count.is_some_and(|n| n < -(i64::MAX / 2)) {
        return Err(Error::Text("ERR value is out of range"));
    }
    let mut rng = call.store.rng();
    let members = call.store.get::<Set>(call.db, call.args.at(1))?.map_or(0, Set::len);
    call.ensure_transient(48 * members.min(count.unwrap_or(0).unsigned_abs() as usize))?;
    let set = call.store.get::<Set>(call.db, call.args.at(1))?;
    let Some(count) = count else {
        call.out.bulk_or_null(set.and_then(|set| set.random(rng)));
        return Ok(());
    };
    let Some(set) = set else {
        call.out.array(0);
        return Ok(());
    };
    if count >= 0 {
        let picked = sample(set.len(), count as usize, &mut rng, set.iter());
        call.out.array(picked.len());
        picked.into_iter().for_each(|member| call.out.bulk(member));
        return Ok(());
    }
    let count = count.unsigned_abs() as usize;
    if count > call.out.limit / 8 {
        return Err(Error::Text("ERR the reply would be larger than memory allows"));
    }
    call.out.array(count);
    for _ in 0..count {
        call.out.bulk_or_null(set.random(&mut rng));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// The members of a combination of sets.
fn combine(call: &mut Call<'_>, keys: &[&[u8]], operation: Operation) -> Result<BTreeSet<Vec<u8>>, Error> {
    // All types first: an error must not depend on what the others hold.
    let mut bytes = 0;
    for (i, key) in keys.iter().enumerate() {
        let size = call.store.get::<Set>(call.db, key)?.map_or(0, |set| 2 * set.size() + 160 * set.len());
        bytes += if operation == Operation::Union || i == 0 { size } else { 0 };
    }
    call.ensure_transient(bytes)?;
    let mut result: BTreeSet<Vec<u8>> = BTreeSet::new();
    for (i, key) in keys.iter().enumerate() {
        let set = call.store.get::<Set>(call.db, key)?;
        match (operation, set) {
            (Operation::Intersection, None) => return Ok(BTreeSet::new()),
            (Operation::Union, set) => result.extend(set.into_iter().flat_map(Set::iter).map(<[u8]>::to_vec)),
            (_, set) if i == 0 => result.extend(set.into_iter().flat_map(Set::iter).map(<[u8]>::to_vec)),
            (Operation::Intersection, Some(set)) => result.retain(|member| set.contains(member)),
            (Operation::Difference, Some(set)) => result.retain(|member| !set.contains(member)),
            (Operation::Difference, None) => {}
        }
    }
    Ok(result)
}

fn reply_result(call: &mut Call<'_>, operation: Operation) -> CommandResult {
    let keys: Vec<&[u8]> = call.args.from(1).collect();
    let result = combine(call, &keys, operation)?;
    call.out.set(result.len());
    result.iter().for_each(|member| call.out.bulk(member));
    Ok(())
}

fn store_result(call: &mut Call<'_>, operation: Operation) -> CommandResult {
    let target = call.arg(1);
    let keys: Vec<&[u8]> = call.args.from(2).collect();
    let result = combine(call, &keys, operation)?;
    if result.is_empty() {
        call.store.delete(call.db, target);
    } else {
        call.ensure_memory(result.iter().map(|m| m.len() + 160).sum::<usize>() + COMMAND_BYTES)?;
        let set = collect(&result, call.store.seed);
        call.store.put(call.db, target, Value::Set(set), NEVER);
        call.changed(target);
    }
    call.out.integer(result.len() as i64);
    Ok(())
}

pub(crate) fn sunion(call: &mut Call<'_>) -> CommandResult {
    reply_result(call, Operation::Union)
}

pub(crate) fn sinter(call: &mut Call<'_>) -> CommandResult {
    reply_result(call, Operation::Intersection)
}

pub(crate) fn sdiff(call: &mut Call<'_>) -> CommandResult {
    reply_result(call, Operation::Difference)
}

pub(crate) fn sunionstore(call: &mut Call<'_>) -> CommandResult {
    store_result(call, Operation::Union)
}

pub(crate) fn sinterstore(call: &mut Call<'_>) -> CommandResult {
    store_result(call, Operation::Intersection)
}

pub(crate) fn sdiffstore(call: &mut Call<'_>) -> CommandResult {
    store_result(call, Operation::Difference)
}

pub(crate) fn sintercard(call: &mut Call<'_>) -> CommandResult {
    let counted = call.counted_keys(1, "ERR numkeys should be greater than 0");
    let (keys, next) = counted.map_err(|e| match e {
        Error::Syntax => Error::Text("ERR Number of keys can't be greater than number of args"),
        other => other,
    })?;
    let limit = call.limit(next)?;
    let result = combine(call, &keys, Operation::Intersection)?;
    call.out.integer(result.len().min(limit) as i64);
    Ok(())
}
