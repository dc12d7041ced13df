//! Strings and counters.

use super::Call;
use super::expiry::deadline_from;
use crate::error::{CommandResult, Error};
use crate::number::{format_plain, parse_f64_saturating, parse_i64, with_i64};
use crate::store::Value;
use crate::store::entry::{Entry, NEVER};
use alloc::vec;
use alloc::vec::Vec;

/// Longest string.
const LONGEST: usize = 512 << 20;

pub(crate) fn get(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    match call.store.read(call.db, key) {
        Some(entry) => call.out.bulk(entry.text().ok_or(Error::WrongType)?),
        None => call.out.null(),
    }
    Ok(())
}

/// Options of SET and GETEX.
#[derive(Default)]
struct Options {
    /// Place of the number, its unit in milliseconds, and whether it counts from now.
    expiry: Option<(usize, i64, bool)>,
    keep: bool,
    only_new: bool,
    only_old: bool,
    get: bool,
    persist: bool,
}

fn options(call: &Call<'_>, from: usize, set: bool) -> Result<Options, Error> {
    let mut options = Options::default();
    let mut at = from;
    while at < call.argc() {
        let free = options.expiry.is_none() && !options.keep && !options.persist;
        let times = [("EX", 1000, true), ("PX", 1, true), ("EXAT", 1000, false), ("PXAT", 1, false)];
        if let Some((_, unit, relative)) = times.iter().find(|(word, ..)| call.is(at, word)) {
            if !free || at + 1 >= call.argc() {
                return Err(Error::Syntax);
            }
            at += 1;
            options.expiry = Some((at, *unit, *relative));
        } else if set && call.is(at, "KEEPTTL") && free {
            options.keep = true;
        } else if !set && call.is(at, "PERSIST") && free {
            options.persist = true;
        } else if set && call.is(at, "NX") && !options.only_old {
            options.only_new = true;
        } else if set && call.is(at, "XX") && !options.only_new {
            options.only_old = true;
        } else if set && call.is(at, "GET") {
            options.get = true;
        } else {
            return Err(Error::Syntax);
        }
        at += 1;
    }
    Ok(options)
}

impl Options {
    fn deadline(&self, call: &Call<'_>, name: &'static str) -> Result<Option<u64>, Error> {
        let Some((at, unit, relative)) = self.expiry else { return Ok(None) };
        let amount = call.int(at)?;
        if amount <= 0 {
            return Err(Error::InvalidExpire(name));
        }
        deadline_from(call, amount, unit, relative, name).map(Some)
    }
}

pub(crate) fn set(call: &mut Call<'_>) -> CommandResult {
    let (key, value) = (call.arg(1), call.arg(2));
    if call.argc() == 3 {
        call.store.find(call.db, key);
        call.store.put_text(call.db, key, value, NEVER);
        call.changed(key);
        call.out.ok();
        return Ok(());
    }
    let options = options(call, 3, true)?;
    let deadline = options.deadline(call, "set")?;
    let (mut there, mut expiry) = (false, NEVER);
    if let Some(entry) = call.store.find(call.db, key) {
        there = true;
        expiry = entry.expiry();
        if options.get {
            call.out.bulk(entry.text().ok_or(Error::WrongType)?);
        }
    } else if options.get {
        call.out.null();
    }
    if (options.only_new && there) || (options.only_old && !there) {
        if !options.get {
            call.out.null();
        }
        return Ok(());
    }
    let expiry = deadline.unwrap_or(if options.keep { expiry } else { NEVER });
    call.store.put_text(call.db, key, value, expiry);
    call.changed(key);
    if !options.get {
        call.out.ok();
    }
    Ok(())
}

pub(crate) fn setnx(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let new = call.store.find(call.db, key).is_none();
    if new {
        call.store.put_text(call.db, key, call.args.at(2), NEVER);
        call.changed(key);
    }
    call.out.integer(new.into());
    Ok(())
}

fn set_for(call: &mut Call<'_>, unit: i64, name: &'static str) -> CommandResult {
    let key = call.arg(1);
    let amount = call.int(2)?;
    if amount <= 0 {
        return Err(Error::InvalidExpire(name));
    }
    let expiry = deadline_from(call, amount, unit, true, name)?;
    call.store.find(call.db, key);
    call.store.put_text(call.db, key, call.args.at(3), expiry);
    call.changed(key);
    call.out.ok();
    Ok(())
}

pub(crate) fn setex(call: &mut Call<'_>) -> CommandResult {
    set_for(call, 1000, "setex")
}

pub(crate) fn psetex(call: &mut Call<'_>) -> CommandResult {
    set_for(call, 1, "psetex")
}

pub(crate) fn getset(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    call.out.bulk_or_null(call.store.text(call.db, key)?);
    call.store.put_text(call.db, key, call.args.at(2), NEVER);
    call.changed(key);
    Ok(())
}

pub(crate) fn getdel(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    call.out.bulk_or_null(call.store.text(call.db, key)?);
    call.store.delete(call.db, key);
    Ok(())
}

pub(crate) fn getex(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let options = options(call, 2, false)?;
    let Some(text) = call.store.text(call.db, key)? else {
        call.out.null();
        return Ok(());
    };
    call.out.bulk(text);
    match options.deadline(call, "getex")? {
        Some(expiry) if expiry <= call.store.now => drop(call.store.delete(call.db, key)),
        Some(expiry) => {
            call.store.set_expiry(call.db, key, expiry);
            call.changed(key);
        }
        None if options.persist => {
            call.store.set_expiry(call.db, key, NEVER);
            call.changed(key);
        }
        None => {}
    }
    Ok(())
}

pub(crate) fn mget(call: &mut Call<'_>) -> CommandResult {
    call.out.array(call.args.len() - 1);
    for key in call.args.from(1) {
        call.out.bulk_or_null(call.store.read(call.db, key).and_then(Entry::text));
    }
    Ok(())
}

pub(crate) fn mset(call: &mut Call<'_>) -> CommandResult {
    set_many(call, "mset")?;
    call.out.ok();
    Ok(())
}

fn set_many(call: &mut Call<'_>, name: &'static str) -> CommandResult {
    if call.argc().is_multiple_of(2) {
        return Err(Error::Arity(name));
    }
    let args = call.args;
    for at in (1..args.len()).step_by(2) {
        call.store.find(call.db, args.at(at));
        call.store.put_text(call.db, args.at(at), args.at(at + 1), NEVER);
        call.changed(args.at(at));
    }
    Ok(())
}

pub(crate) fn msetnx(call: &mut Call<'_>) -> CommandResult {
    let args = call.args;
    let taken = (1..args.len()).step_by(2).any(|at| call.store.find(call.db, args.at(at)).is_some());
    if call.argc().is_multiple_of(2) {
        return Err(Error::Arity("msetnx"));
    }
    if !taken {
        set_many(call, "msetnx")?;
    }
    call.out.integer((!taken).into());
    Ok(())
}

pub(crate) fn strlen(call: &mut Call<'_>) -> CommandResult {
    let length = call.store.text(call.db, call.args.at(1))?.map_or(0, <[u8]>::len);
    call.out.integer(length as i64);
    Ok(())
}

/// Works on the bytes of a string of at least `least` bytes, zeros where there was nothing.
pub(crate) fn with_bytes<R>(
    call: &mut Call<'_>,
    key: &[u8],
    least: usize,
    work: impl FnOnce(&mut [u8]) -> R,
) -> Result<R, Error> {
    if least > LONGEST {
        return Err(Error::TooLong);
    }
    let length = call.store.text(call.db, key)?.map_or(0, <[u8]>::len);
    if length < least {
        grow(call, key, least)?;
    }
    match call.store.find(call.db, key).and_then(Entry::text_mut) {
        Some(bytes) => Ok(work(bytes)),
        None => Ok(work(&mut [])),
    }
}

/// Makes a string `length` bytes long, by zeros at its end.
fn grow(call: &mut Call<'_>, key: &[u8], length: usize) -> CommandResult {
    // Twice as much for small ones, a megabyte more for large ones.
    let wanted = length + length.min(1 << 20);
    let roomy = call.store.find(call.db, key).and_then(|entry| match entry.value() {
        Some(Value::String(text)) => Some(text.capacity() >= length),
        _ => None,
    });
    if roomy != Some(true) {
        call.ensure_memory(wanted)?;
    }
    let entry = call.store.find(call.db, key);
    if let Some(Value::String(text)) = entry.and_then(Entry::value_mut) {
        if text.capacity() < length {
            text.try_reserve_exact(wanted - text.len()).map_err(|_| Error::Memory)?;
        }
        text.resize(length, 0);
        return Ok(());
    }
    let (mut text, expiry) = match call.store.find(call.db, key) {
        Some(entry) => (entry.text().unwrap_or_default().to_vec(), entry.expiry()),
        None => (vec![], NEVER),
    };
    text.try_reserve_exact(length - text.len()).map_err(|_| Error::Memory)?;
    text.resize(length, 0);
    call.store.put(call.db, key, Value::String(text), expiry);
    Ok(())
}

pub(crate) fn append(call: &mut Call<'_>) -> CommandResult {
    let (key, more) = (call.arg(1), call.arg(2));
    let before = call.store.text(call.db, key)?.map_or(0, <[u8]>::len);
    let length = before + more.len();
    if length == 0 {
        // Redis makes an empty key too.
        call.store.put_text(call.db, key, b"", NEVER);
    }
    with_bytes(call, key, length, |bytes| bytes[before..].copy_from_slice(more))?;
    call.changed(key);
    call.out.integer(length as i64);
    Ok(())
}

pub(crate) fn setrange(call: &mut Call<'_>) -> CommandResult {
    let (key, offset, part) = (call.arg(1), call.int(2)?, call.arg(3));
    let Ok(offset) = usize::try_from(offset) else {
        return Err(Error::Text("ERR offset is out of range"));
    };
    let before = call.store.text(call.db, key)?.map_or(0, <[u8]>::len);
    if part.is_empty() {
        call.out.integer(before as i64);
        return Ok(());
    }
    let end = offset.saturating_add(part.len());
    let length = with_bytes(call, key, end, |bytes| {
        bytes[offset..end].copy_from_slice(part);
        bytes.len()
    })?;
    call.changed(key);
    call.out.integer(length as i64);
    Ok(())
}

pub(crate) fn getrange(call: &mut Call<'_>) -> CommandResult {
    let (start, end) = (call.int(2)?, call.int(3)?);
    let text = call.store.text(call.db, call.args.at(1))?.unwrap_or_default();
    match super::string_range(start, end, text.len()) {
        Some(range) => call.out.bulk(&text[range]),
        None => call.out.bulk(b""),
    }
    Ok(())
}

fn add(call: &mut Call<'_>, amount: i64) -> CommandResult {
    let key = call.arg(1);
    let (value, expiry) = match call.store.find(call.db, key) {
        Some(entry) => {
            let text = entry.text().ok_or(Error::WrongType)?;
            let value = parse_i64(text).ok_or(Error::NotInteger)?;
            let after = value.checked_add(amount).ok_or(Error::Overflow)?;
            if with_i64(after, |digits| entry.overwrite(digits)) {
                call.store.changed(call.db, key);
                call.out.integer(after);
                return Ok(());
            }
            (after, entry.expiry())
        }
        None => (amount, NEVER),
    };
    with_i64(value, |digits| call.store.put_text(call.db, key, digits, expiry));
    call.changed(key);
    call.out.integer(value);
    Ok(())
}

pub(crate) fn incr(call: &mut Call<'_>) -> CommandResult {
    add(call, 1)
}

pub(crate) fn decr(call: &mut Call<'_>) -> CommandResult {
    add(call, -1)
}

pub(crate) fn incrby(call: &mut Call<'_>) -> CommandResult {
    let amount = call.int(2)?;
    add(call, amount)
}

pub(crate) fn decrby(call: &mut Call<'_>) -> CommandResult {
    match call.int(2)?.checked_neg() {
        Some(amount) => add(call, amount),
        None => Err(Error::Text("ERR decrement would overflow")),
    }
}

pub(crate) fn incrbyfloat(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let (before, expiry) = match call.store.find(call.db, key) {
        Some(entry) => {
            let text = entry.text().ok_or(Error::WrongType)?;
            (parse_f64_saturating(text).ok_or(Error::NotFloat)?, entry.expiry())
        }
        None => (0.0, NEVER),
    };
    let after = before + parse_f64_saturating(call.arg(2)).ok_or(Error::NotFloat)?;
    if !after.is_finite() {
        return Err(Error::NaN);
    }
    let text = format_plain(after);
    call.store.put_text(call.db, key, text.as_bytes(), expiry);
    call.changed(key);
    call.out.bulk(text.as_bytes());
    Ok(())
}

/// The longest common subsequence, found by dynamic programming.
pub(crate) fn lcs(call: &mut Call<'_>) -> CommandResult {
    let (mut length_only, mut indices, mut with_lengths, mut least) = (false, false, false, 0);
    let mut at = 3;
    while at < call.argc() {
        if call.is(at, "LEN") {
            length_only = true;
        } else if call.is(at, "IDX") {
            indices = true;
        } else if call.is(at, "WITHMATCHLEN") {
            with_lengths = true;
        } else if call.is(at, "MINMATCHLEN") && at + 1 < call.argc() {
            at += 1;
            least = usize::try_from(call.int(at)?).unwrap_or(0);
        } else {
            return Err(Error::Syntax);
        }
        at += 1;
    }
    if length_only && indices {
        return Err(Error::Text("ERR If you want both the length and indexes, please just use IDX."));
    }
    let wrong = Error::Text("ERR The specified keys must contain string values");
    let lengths =
        [1, 2].map(|at| call.store.text(call.db, call.args.at(at)).ok().flatten().map_or(0, <[u8]>::len));
    let cells = (lengths[0] + 1).saturating_mul(lengths[1] + 1);
    let runs = 64 * lengths[0].min(lengths[1]);
    let wanted = cells.saturating_mul(4).saturating_add(lengths[0] + lengths[1] + runs);
    if wanted > call.server.free() / 2 || call.ensure_transient(wanted).is_err() {
        return Err(Error::Text("ERR Insufficient memory, transient memory for LCS exceeds what is left"));
    }
    let a =
        call.store.text(call.db, call.args.at(1)).map_err(|_| wrong.clone())?.unwrap_or_default().to_vec();
    let b = call.store.text(call.db, call.args.at(2)).map_err(|_| wrong)?.unwrap_or_default().to_vec();
    let width = b.len() + 1;
    let mut table = vec![0u32; cells];
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            table[i * width + j] = if a[i - 1] == b[j - 1] {
                table[(i - 1) * width + j - 1] + 1
            } else {
                table[(i - 1) * width + j].max(table[i * width + j - 1])
            };
        }
    }
    let total = table[cells - 1];
    if length_only {
        call.out.integer(total.into());
        return Ok(());
    }
    let (mut i, mut j) = (a.len(), b.len());
    let mut text: Vec<u8> = Vec::new();
    // Ends of matching runs: (last of a, last of b, length).
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            text.push(a[i - 1]);
            match runs.last_mut() {
                Some((ea, eb, n)) if *ea + 1 - *n == i && *eb + 1 - *n == j => *n += 1,
                _ => runs.push((i - 1, j - 1, 1)),
            }
            (i, j) = (i - 1, j - 1);
        } else if table[(i - 1) * width + j] > table[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    if !indices {
        text.reverse();
        call.out.bulk(&text);
        return Ok(());
    }
    runs.retain(|(_, _, n)| *n >= least);
    call.out.map(2);
    call.out.bulk(b"matches");
    call.out.array(runs.len());
    for (ea, eb, n) in runs {
        call.out.array(2 + usize::from(with_lengths));
        for end in [ea, eb] {
            call.out.array(2);
            call.out.integer((end + 1 - n) as i64);
            call.out.integer(end as i64);
        }
        if with_lengths {
            call.out.integer(n as i64);
        }
    }
    call.out.bulk(b"len");
    call.out.integer(total.into());
    Ok(())
}
