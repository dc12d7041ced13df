//! Lists.

use super::{Call, range};
use crate::error::{CommandResult, Error};
use crate::store::list::List;

fn push(call: &mut Call<'_>, front: bool, only_old: bool) -> CommandResult {
    let key = call.arg(1);
    if only_old && call.store.get::<List>(call.db, key)?.is_none() {
        call.out.integer(0);
        return Ok(());
    }
    let elements = call.argc() - 2;
    let growth = call.store.get::<List>(call.db, key)?.map_or(128 * elements, |list| list.growth(elements));
    if growth > 0 {
        call.ensure_memory(growth)?;
    }
    let list = call.store.get_or_make::<List>(call.db, key)?;
    for element in call.args.from(2) {
        list.push(front, element);
    }
    call.out.integer(list.len() as i64);
    call.changed(key);
    Ok(())
}

pub(crate) fn lpush(call: &mut Call<'_>) -> CommandResult {
    push(call, true, false)
}

pub(crate) fn rpush(call: &mut Call<'_>) -> CommandResult {
    push(call, false, false)
}

pub(crate) fn lpushx(call: &mut Call<'_>) -> CommandResult {
    push(call, true, true)
}

pub(crate) fn rpushx(call: &mut Call<'_>) -> CommandResult {
    push(call, false, true)
}

fn pop(call: &mut Call<'_>, front: bool, name: &'static str) -> CommandResult {
    let key = call.arg(1);
    if call.argc() > 3 {
        return Err(Error::Arity(name));
    }
    let count = match call.argc() {
        2 => None,
        _ => match call.int(2) {
            Ok(n) if n >= 0 => Some(n as usize),
            _ => return Err(Error::Text("ERR value is out of range, must be positive")),
        },
    };
    let Some(list) = call.store.get_mut::<List>(call.db, key)? else {
        if count.is_some() {
            call.out.null_array()
        } else {
            call.out.null()
        }
        return Ok(());
    };
    match count {
        None => {
            list.pop(front, |element| call.out.bulk(element));
        }
        Some(count) => {
            let count = count.min(list.len());
            call.out.array(count);
            for _ in 0..count {
                list.pop(front, |element| call.out.bulk(element));
            }
            if count == 0 {
                return Ok(());
            }
        }
    }
    call.changed_or_emptied(key);
    Ok(())
}

pub(crate) fn lpop(call: &mut Call<'_>) -> CommandResult {
    pop(call, true, "lpop")
}

pub(crate) fn rpop(call: &mut Call<'_>) -> CommandResult {
    pop(call, false, "rpop")
}

pub(crate) fn llen(call: &mut Call<'_>) -> CommandResult {
    let length = call.store.get::<List>(call.db, call.args.at(1))?.map_or(0, List::len);
    call.out.integer(length as i64);
    Ok(())
}

/// The place that an index names, of which negative ones count from the end.
fn place(index: i64, len: usize) -> Option<usize> {
    let at = if index < 0 { index.saturating_add(len as i64) } else { index };
    usize::try_from(at).ok().filter(|&at| at < len)
}

pub(crate) fn lindex(call: &mut Call<'_>) -> CommandResult {
    let Some(list) = call.store.get::<List>(call.db, call.args.at(1))? else {
        call.out.null();
        return Ok(());
    };
    let index = crate::number::parse_i64(call.args.at(2)).ok_or(Error::NotInteger)?;
    call.out.bulk_or_null(place(index, list.len()).and_then(|at| list.get(at)));
    Ok(())
}

pub(crate) fn lset(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let Some(list) = call.store.get_mut::<List>(call.db, key)? else { return Err(Error::NoSuchKey) };
    let index = crate::number::parse_i64(call.args.at(2)).ok_or(Error::NotInteger)?;
    let at = place(index, list.len()).ok_or(Error::OutOfRange)?;
    list.set(at, call.args.at(3));
    call.changed(key);
    call.out.ok();
    Ok(())
}

pub(crate) fn linsert(call: &mut Call<'_>) -> CommandResult {
    let (key, pivot) = (call.arg(1), call.arg(3));
    let after = call.is(2, "AFTER");
    if !after && !call.is(2, "BEFORE") {
        return Err(Error::Syntax);
    }
    let Some(list) = call.store.get_mut::<List>(call.db, key)? else {
        call.out.integer(0);
        return Ok(());
    };
    let Some(at) = list.iter_from(0).position(|e| e == pivot) else {
        call.out.integer(-1);
        return Ok(());
    };
    let growth = list.growth(2);
    if growth > 0 {
        call.ensure_memory(growth)?;
    }
    let Some(list) = call.store.get_mut::<List>(call.db, key)? else { return Ok(()) };
    list.insert(at + usize::from(after), call.args.at(4));
    call.out.integer(list.len() as i64);
    call.changed(key);
    Ok(())
}

pub(crate) fn lrange(call: &mut Call<'_>) -> CommandResult {
    let (start, end) = (call.int(2)?, call.int(3)?);
    let list = call.store.get::<List>(call.db, call.args.at(1))?;
    match list.and_then(|list| Some((list, range(start, end, list.len())?))) {
        Some((list, range)) => {
            call.out.array(range.len());
            for element in list.iter_from(range.start).take(range.len()) {
                call.out.bulk(element);
            }
        }
        None => call.out.array(0),
    }
    Ok(())
}

pub(crate) fn ltrim(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let (start, end) = (call.int(2)?, call.int(3)?);
    if let Some(list) = call.store.get_mut::<List>(call.db, key)? {
        list.trim(range(start, end, list.len()).unwrap_or(0..0));
        call.changed_or_emptied(key);
    }
    call.out.ok();
    Ok(())
}

pub(crate) fn lrem(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let count = call.int(2)?;
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let removed = match call.store.get_mut::<List>(call.db, key)? {
        Some(list) => list.remove(call.args.at(3), most, count >= 0),
        None => 0,
    };
    if removed > 0 {
        call.changed_or_emptied(key);
    }
    call.out.integer(removed as i64);
    Ok(())
}

pub(crate) fn lpos(call: &mut Call<'_>) -> CommandResult {
    let wanted = call.arg(2);
    let (mut rank, mut count, mut most) = (1, None, usize::MAX);
    let mut at = 3;
    while at < call.argc() {
        if at + 1 >= call.argc() {
            return Err(Error::Syntax);
        }
        let number = call.int(at + 1);
        if call.is(at, "RANK") {
            rank = number?;
            if rank == 0 {
                return Err(Error::Text(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
                     negative to start from the end of the list",
                ));
            }
            if rank == i64::MIN {
                return Err(Error::Text("ERR value is out of range"));
            }
        } else if call.is(at, "COUNT") {
            let n = number.ok().filter(|&n| n >= 0).ok_or(Error::Text("ERR COUNT can't be negative"))?;
            count = Some(if n == 0 { usize::MAX } else { n as usize });
        } else if call.is(at, "MAXLEN") {
            let n = number.ok().filter(|&n| n >= 0).ok_or(Error::Text("ERR MAXLEN can't be negative"))?;
            most = if n == 0 { usize::MAX } else { n as usize };
        } else {
            return Err(Error::Syntax);
        }
        at += 2;
    }
    let Some(list) = call.store.get::<List>(call.db, call.args.at(1))? else {
        if count.is_some() {
            call.out.array(0)
        } else {
            call.out.null()
        }
        return Ok(());
    };
    let skip = rank.unsigned_abs() as usize - 1;
    let take = count.unwrap_or(1);
    let len = list.len();
    let mark = call.out.mark();
    let mut found = 0;
    let mut show = |index: usize| {
        call.out.integer(index as i64);
        found += 1;
    };
    let hits = |(_, element): &(usize, &[u8])| *element == wanted;
    if rank > 0 {
        let all = list.iter_from(0).take(most).enumerate();
        all.filter(hits).skip(skip).take(take).for_each(|(i, _)| show(i));
    } else {
        let all = list.iter_back().take(most).enumerate();
        all.filter(hits).skip(skip).take(take).for_each(|(i, _)| show(len - 1 - i));
    }
    match count {
        Some(_) => call.out.array_at(mark, found),
        None if found == 0 => call.out.null(),
        None => {}
    }
    Ok(())
}
