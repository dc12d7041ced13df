//! SORT, with patterns.

use super::{Call, keys};
use crate::error::{CommandResult, Error};
use crate::number::parse_f64;
use crate::store::Value;
use crate::store::entry::NEVER;
use crate::store::hash::Hash;
use crate::store::list::List;
use alloc::vec::Vec;

#[derive(Default)]
struct Options<'a> {
    by: Option<&'a [u8]>,
    get: Vec<&'a [u8]>,
    limit: Option<(i64, i64)>,
    descending: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
}

fn options<'a>(call: &Call<'a>, read_only: bool) -> Result<Options<'a>, Error> {
    let mut o = Options::default();
    let mut at = 2;
    while at < call.argc() {
        let more = call.argc() - at - 1;
        match () {
            () if call.is(at, "ASC") => o.descending = false,
            () if call.is(at, "DESC") => o.descending = true,
            () if call.is(at, "ALPHA") => o.alpha = true,
            () if call.is(at, "LIMIT") && more >= 2 => {
                o.limit = Some((call.int(at + 1)?, call.int(at + 2)?));
                at += 2;
            }
            () if call.is(at, "BY") && more >= 1 => {
                o.by = Some(call.arg(at + 1));
                at += 1;
            }
            () if call.is(at, "GET") && more >= 1 => {
                o.get.push(call.arg(at + 1));
                at += 1;
            }
            () if !read_only && call.is(at, "STORE") && more >= 1 => {
                o.store = Some(call.arg(at + 1));
                at += 1;
            }
            () => return Err(Error::Syntax),
        }
        at += 1;
    }
    Ok(o)
}

/// The value that a pattern names for an element: a key, or a field of a hash (`key->field`).
fn lookup_pattern(call: &mut Call<'_>, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        call.ensure_transient(2 * element.len()).ok()?;
        return Some(element.to_vec());
    }
    let star = pattern.iter().position(|&b| b == b'*')?;
    let arrow = pattern[star..].windows(2).position(|w| w == b"->").map(|n| star + n);
    let (rest, field) = match arrow {
        Some(at) if at + 2 < pattern.len() => (&pattern[star + 1..at], Some(&pattern[at + 2..])),
        _ => (&pattern[star + 1..], None),
    };
    call.ensure_transient(2 * (pattern.len() + element.len()) + 64).ok()?;
    let key = [&pattern[..star], element, rest].concat();
    match field {
        Some(field) => {
            let length = call.store.get::<Hash>(call.db, &key).ok()??.get(field)?.len();
            call.ensure_transient(2 * length).ok()?;
            call.store.get::<Hash>(call.db, &key).ok()??.get(field).map(<[u8]>::to_vec)
        }
        None => {
            let length = keys::text_of(call, &key)?.len();
            call.ensure_transient(2 * length).ok()?;
            keys::text_of(call, &key).map(<[u8]>::to_vec)
        }
    }
}

/// The elements of a list, set or sorted set.
fn elements(call: &mut Call<'_>, key: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let Some(entry) = call.store.find(call.db, key) else { return Ok(Vec::new()) };
    let size = 4 * entry.size() + 512 * entry.value().map_or(0, Value::len);
    call.ensure_transient(size)?;
    let Some(entry) = call.store.find(call.db, key) else { return Ok(Vec::new()) };
    match entry.value() {
        Some(Value::List(list)) => Ok(list.iter_from(0).map(<[u8]>::to_vec).collect()),
        Some(Value::Set(set)) => Ok(set.iter().map(<[u8]>::to_vec).collect()),
        Some(Value::Zset(zset)) => Ok(zset.by_score.up_from(0).map(|e| e.member.to_vec()).collect()),
        _ => Err(Error::WrongType),
    }
}

fn run(call: &mut Call<'_>, read_only: bool) -> CommandResult {
    let o = options(call, read_only)?;
    let kind = call.store.find(call.db, call.args.at(1)).map(|entry| entry.kind());
    let is_set = kind == Some("set");
    let mut all = elements(call, call.args.at(1))?;
    // A pattern without a star sorts nothing, except that a set that is stored needs some order.
    let unsorted = o.by.is_some_and(|by| !by.contains(&b'*'));
    if !unsorted || (is_set && o.store.is_some()) {
        let mut weighed: Vec<(f64, Option<Vec<u8>>, Vec<u8>)> = Vec::with_capacity(all.len());
        for element in all {
            let text = match o.by.filter(|_| !unsorted) {
                Some(by) => lookup_pattern(call, by, &element),
                None => Some(element.clone()),
            };
            let mut weight = 0.0;
            if !o.alpha && !unsorted {
                let wrong = Error::Text("ERR One or more scores can't be converted into double");
                weight = text.as_deref().map_or(Some(0.0), parse_f64).ok_or(wrong)?;
            }
            weighed.push((weight, text, element));
        }
        let alpha = o.alpha || unsorted;
        weighed.sort_by(|a, b| {
            let order = match alpha {
                true => a.1.cmp(&b.1),
                false => a.0.total_cmp(&b.0),
            };
            let order = order.then_with(|| a.2.cmp(&b.2));
            if o.descending { order.reverse() } else { order }
        });
        all = weighed.into_iter().map(|(_, _, element)| element).collect();
    }
    if unsorted && o.descending && !is_set {
        // Not sorted, but from the other end.
        all.reverse();
    }
    if let Some((offset, count)) = o.limit {
        let offset = usize::try_from(offset).unwrap_or(0).min(all.len());
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        all = all.into_iter().skip(offset).take(count).collect();
    }
    let patterns = if o.get.is_empty() { alloc::vec![&b"#"[..]] } else { o.get };
    if let Some(target) = o.store {
        let mut list = List::default();
        for element in &all {
            for pattern in &patterns {
                let value = lookup_pattern(call, pattern, element).unwrap_or_default();
                call.ensure_memory(2 * value.len() + (8 << 10) + list.growth(1))?;
                list.push_back(&value);
            }
        }
        let len = list.len();
        if len == 0 {
            call.store.delete(call.db, target);
        } else {
            call.store.put(call.db, target, Value::List(list), NEVER);
            call.changed(target);
        }
        call.out.integer(len as i64);
        return Ok(());
    }
    call.out.array(all.len() * patterns.len());
    for element in &all {
        for pattern in &patterns {
            let value = lookup_pattern(call, pattern, element);
            call.out.bulk_or_null(value.as_deref());
        }
    }
    Ok(())
}

pub(crate) fn sort(call: &mut Call<'_>) -> CommandResult {
    run(call, false)
}

pub(crate) fn sort_ro(call: &mut Call<'_>) -> CommandResult {
    run(call, true)
}
