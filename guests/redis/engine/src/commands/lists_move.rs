//! Lists: moving between them, and waiting for elements.

use super::Call;
use crate::engine::COMMAND_BYTES;
use crate::error::{CommandResult, Error};
use crate::store::list::List;
use alloc::vec;
use alloc::vec::Vec;

fn side(call: &Call<'_>, index: usize) -> Result<bool, Error> {
    match () {
        () if call.is(index, "LEFT") => Ok(true),
        () if call.is(index, "RIGHT") => Ok(false),
        () => Err(Error::Syntax),
    }
}

/// Moves an element; whether there was one.
fn transfer(call: &mut Call<'_>, from: bool, to: bool) -> Result<bool, Error> {
    let (source, target) = (call.arg(1), call.arg(2));
    if call.store.get::<List>(call.db, source)?.is_none() {
        return Ok(false);
    }
    call.store.get::<List>(call.db, target)?;
    let length =
        call.store.get::<List>(call.db, source)?.and_then(|list| list.end(from)).map_or(0, <[u8]>::len);
    let growth = call.store.get::<List>(call.db, target)?.map_or(0, |list| list.growth(1));
    call.ensure_memory(2 * length + growth + COMMAND_BYTES)?;
    let list = call.store.get_mut::<List>(call.db, source)?;
    let Some(element) = list.and_then(|list| list.pop(from, <[u8]>::to_vec)) else { return Ok(false) };
    // To where it came from: the list must not go in between.
    call.store.get_or_make::<List>(call.db, target)?.push(to, &element);
    call.out.bulk(&element);
    call.changed_or_emptied(source);
    call.changed(target);
    Ok(true)
}

pub(crate) fn lmove(call: &mut Call<'_>) -> CommandResult {
    let (from, to) = (side(call, 3)?, side(call, 4)?);
    if !transfer(call, from, to)? {
        call.out.null();
    }
    Ok(())
}

pub(crate) fn rpoplpush(call: &mut Call<'_>) -> CommandResult {
    if !transfer(call, false, true)? {
        call.out.null();
    }
    Ok(())
}

pub(crate) fn blmove(call: &mut Call<'_>) -> CommandResult {
    let (from, to) = (side(call, 3)?, side(call, 4)?);
    let deadline = call.deadline(5)?;
    if !transfer(call, from, to)? {
        call.block(vec![call.arg(1)], deadline, true)?;
    }
    Ok(())
}

pub(crate) fn brpoplpush(call: &mut Call<'_>) -> CommandResult {
    let deadline = call.deadline(3)?;
    if !transfer(call, false, true)? {
        call.block(vec![call.arg(1)], deadline, true)?;
    }
    Ok(())
}

fn pop_or_wait(call: &mut Call<'_>, front: bool) -> CommandResult {
    let last = call.argc() - 1;
    let deadline = call.deadline(last)?;
    let keys: Vec<&[u8]> = call.args.from(1).take(last - 1).collect();
    for key in &keys {
        let Some(list) = call.store.get_mut::<List>(call.db, key)? else { continue };
        let popped = list.pop(front, |element| {
            call.out.array(2);
            call.out.bulk(key);
            call.out.bulk(element);
        });
        if popped.is_some() {
            call.changed_or_emptied(key);
            return Ok(());
        }
    }
    call.block(keys, deadline, false)
}

pub(crate) fn blpop(call: &mut Call<'_>) -> CommandResult {
    pop_or_wait(call, true)
}

pub(crate) fn brpop(call: &mut Call<'_>) -> CommandResult {
    pop_or_wait(call, false)
}

/// LMPOP from the word `first` on; whether there was something.
fn pop_many<'a>(call: &mut Call<'a>, first: usize) -> Result<Option<Vec<&'a [u8]>>, Error> {
    let (keys, next) = call.counted_keys(first, "ERR numkeys should be greater than 0")?;
    if next >= call.argc() {
        return Err(Error::Syntax);
    }
    let front = side(call, next)?;
    let count = call.pop_count(next + 1)?;
    for key in &keys {
        let Some(list) = call.store.get_mut::<List>(call.db, key)? else { continue };
        let count = count.min(list.len());
        call.out.array(2);
        call.out.bulk(key);
        call.out.array(count);
        for _ in 0..count {
            list.pop(front, |element| call.out.bulk(element));
        }
        call.changed_or_emptied(key);
        return Ok(None);
    }
    Ok(Some(keys))
}

pub(crate) fn lmpop(call: &mut Call<'_>) -> CommandResult {
    if pop_many(call, 1)?.is_some() {
        call.out.null_array();
    }
    Ok(())
}

pub(crate) fn blmpop(call: &mut Call<'_>) -> CommandResult {
    let deadline = call.deadline(1)?;
    match pop_many(call, 2)? {
        Some(keys) => call.block(keys, deadline, false),
        None => Ok(()),
    }
}
