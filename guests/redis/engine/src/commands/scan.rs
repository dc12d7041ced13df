//! Walking through keys and collections.

use super::Call;
use crate::error::{CommandResult, Error};
use crate::glob;
use crate::store::hash::Hash;
use crate::store::set::Set;
use crate::store::zset::Zset;
use crate::table::Keyed;
use alloc::vec::Vec;

struct Options<'a> {
    cursor: u64,
    pattern: Option<&'a [u8]>,
    count: usize,
    kind: Option<&'a [u8]>,
    no_values: bool,
}

fn options<'a>(call: &Call<'a>, at: usize, keys: bool, hash: bool) -> Result<Options<'a>, Error> {
    let text = core::str::from_utf8(call.arg(at)).ok();
    let plain = text.filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
    let cursor = plain.and_then(|t| t.parse().ok()).ok_or(Error::Text("ERR invalid cursor"))?;
    let mut o = Options { cursor, pattern: None, count: 10, kind: None, no_values: false };
    let mut at = at + 1;
    while at < call.argc() {
        let more = at + 1 < call.argc();
        if more && call.is(at, "MATCH") {
            o.pattern = Some(call.arg(at + 1)).filter(|p| *p != b"*");
            at += 2;
        } else if more && call.is(at, "COUNT") {
            let count = call.int(at + 1)?;
            if count < 1 {
                return Err(Error::Syntax);
            }
            o.count = count as usize;
            at += 2;
        } else if more && keys && call.is(at, "TYPE") {
            o.kind = Some(call.arg(at + 1));
            at += 2;
        } else if hash && call.is(at, "NOVALUES") {
            o.no_values = true;
            at += 1;
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok(o)
}

impl Options<'_> {
    fn takes(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false))
    }
}

/// Writes the cursor in front of what was written since the mark.
fn finish(call: &mut Call<'_>, mark: usize, found: usize, next: u64) {
    call.out.array_at(mark, found);
    let end = call.out.mark();
    call.out.array(2);
    call.out.bulk_integer(next as i64);
    call.out.rotate(mark, end);
}

pub(crate) fn scan(call: &mut Call<'_>) -> CommandResult {
    let o = options(call, 1, true, false)?;
    let now = call.store.now;
    let (mark, mut found) = (call.out.mark(), 0);
    let mut expired: Vec<Vec<u8>> = Vec::new();
    let next = call.store.databases[call.db].table.scan(o.cursor, o.count, |entry| {
        if entry.expiry() <= now {
            // The rest goes by the timer.
            if expired.len() < 64 && entry.key().len() < 1024 {
                expired.push(entry.key().to_vec());
            }
        } else if o.takes(entry.key())
            && o.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(entry.kind().as_bytes()))
        {
            call.out.bulk(entry.key());
            found += 1;
        }
    });
    for key in &expired {
        call.store.find(call.db, key);
    }
    finish(call, mark, found, next);
    Ok(())
}

pub(crate) fn hscan(call: &mut Call<'_>) -> CommandResult {
    let o = options(call, 2, false, true)?;
    let (mark, mut found, mut next) = (call.out.mark(), 0, 0);
    if let Some(hash) = call.store.get::<Hash>(call.db, call.args.at(1))? {
        next = hash.scan(o.cursor, o.count, |name, value| {
            if o.takes(name) {
                call.out.bulk(name);
                found += 1;
                if !o.no_values {
                    call.out.bulk(value);
                    found += 1;
                }
            }
        });
    }
    finish(call, mark, found, next);
    Ok(())
}

pub(crate) fn sscan(call: &mut Call<'_>) -> CommandResult {
    let o = options(call, 2, false, false)?;
    let (mark, mut found, mut next) = (call.out.mark(), 0, 0);
    if let Some(set) = call.store.get::<Set>(call.db, call.args.at(1))? {
        next = set.scan(o.cursor, o.count, |member| {
            if o.takes(member) {
                call.out.bulk(member);
                found += 1;
            }
        });
    }
    finish(call, mark, found, next);
    Ok(())
}

pub(crate) fn zscan(call: &mut Call<'_>) -> CommandResult {
    let o = options(call, 2, false, false)?;
    let (mark, mut found, mut next) = (call.out.mark(), 0, 0);
    if let Some(zset) = call.store.get::<Zset>(call.db, call.args.at(1))? {
        next = zset.scan(o.cursor, o.count, |entry| {
            if o.takes(&entry.member) {
                call.out.bulk(&entry.member);
                call.out.bulk(crate::number::format_f64(entry.score).as_bytes());
                found += 2;
            }
        });
    }
    finish(call, mark, found, next);
    Ok(())
}
