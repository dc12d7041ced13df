//! When keys end.

use super::Call;
use crate::error::{CommandResult, Error};
use crate::store::entry::NEVER;

/// A moment (Unix, milliseconds) from a number of seconds or milliseconds.
pub(crate) fn deadline_from(
    call: &Call<'_>,
    amount: i64,
    unit: i64,
    relative: bool,
    name: &'static str,
) -> Result<u64, Error> {
    let base = if relative { call.store.now as i64 } else { 0 };
    let at =
        amount.checked_mul(unit).and_then(|ms| ms.checked_add(base)).ok_or(Error::InvalidExpire(name))?;
    Ok(at.max(0) as u64)
}

fn expire_with(call: &mut Call<'_>, unit: i64, relative: bool, name: &'static str) -> CommandResult {
    let key = call.arg(1);
    let amount = call.int(2)?;
    let at = deadline_from(call, amount, unit, relative, name)?;
    let [mut nx, mut xx, mut gt, mut lt] = [false; 4];
    for i in 3..call.argc() {
        match () {
            () if call.is(i, "NX") => nx = true,
            () if call.is(i, "XX") => xx = true,
            () if call.is(i, "GT") => gt = true,
            () if call.is(i, "LT") => lt = true,
            () => {
                let option = super::shown(call.arg(i));
                return Err(Error::Formatted(alloc::format!("ERR Unsupported option {option}")));
            }
        }
    }
    if nx && (xx || gt || lt) {
        return Err(Error::Text("ERR NX and XX, GT or LT options at the same time are not compatible"));
    }
    if gt && lt {
        return Err(Error::Text("ERR GT and LT options at the same time are not compatible"));
    }
    let Some(before) = call.store.find(call.db, key).map(|entry| entry.expiry()) else {
        call.out.integer(0);
        return Ok(());
    };
    let refused = (nx && before != NEVER)
        || (xx && before == NEVER)
        || (gt && (before == NEVER || at <= before))
        || (lt && at >= before);
    if !refused {
        if at <= call.store.now {
            call.store.delete(call.db, key);
        } else {
            call.store.set_expiry(call.db, key, at);
            call.changed(key);
        }
    }
    call.out.integer((!refused).into());
    Ok(())
}

pub(crate) fn expire(call: &mut Call<'_>) -> CommandResult {
    expire_with(call, 1000, true, "expire")
}

pub(crate) fn pexpire(call: &mut Call<'_>) -> CommandResult {
    expire_with(call, 1, true, "pexpire")
}

pub(crate) fn expireat(call: &mut Call<'_>) -> CommandResult {
    expire_with(call, 1000, false, "expireat")
}

pub(crate) fn pexpireat(call: &mut Call<'_>) -> CommandResult {
    expire_with(call, 1, false, "pexpireat")
}

/// -2: no key, -1: no expiry.
fn remaining(call: &mut Call<'_>, answer: impl Fn(u64, u64) -> u64) -> CommandResult {
    let now = call.store.now;
    let expiry = call.store.find(call.db, call.args.at(1)).map(|entry| entry.expiry());
    call.out.integer(match expiry {
        None => -2,
        Some(NEVER) => -1,
        Some(at) => answer(at, now) as i64,
    });
    Ok(())
}

pub(crate) fn ttl(call: &mut Call<'_>) -> CommandResult {
    remaining(call, |at, now| (at.saturating_sub(now) + 500) / 1000)
}

pub(crate) fn pttl(call: &mut Call<'_>) -> CommandResult {
    remaining(call, |at, now| at.saturating_sub(now))
}

pub(crate) fn expiretime(call: &mut Call<'_>) -> CommandResult {
    remaining(call, |at, _| (at + 500) / 1000)
}

pub(crate) fn pexpiretime(call: &mut Call<'_>) -> CommandResult {
    remaining(call, |at, _| at)
}

pub(crate) fn persist(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let had = call.store.find(call.db, key).is_some_and(|entry| entry.expiry() != NEVER);
    if had {
        call.store.set_expiry(call.db, key, NEVER);
        call.changed(key);
    }
    call.out.integer(had.into());
    Ok(())
}
