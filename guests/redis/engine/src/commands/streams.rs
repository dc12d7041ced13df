//! Streams: entries.

use super::Call;
use crate::error::{CommandResult, Error};
use crate::listpack::ListPack;
use crate::resp::reply::Reply;
use crate::store::stream::{Id, Stream};
use alloc::vec::Vec;

const INVALID_ID: Error = Error::Text("ERR Invalid stream ID specified as stream command argument");

pub(crate) fn id(text: &[u8], default: u64) -> Result<Id, Error> {
    Id::parse(text, default).ok_or(INVALID_ID)
}

/// How far XADD and XTRIM cut.
pub(crate) struct Trim {
    /// The most entries, or the least id.
    length: Option<usize>,
    least: Id,
    limit: usize,
}

impl Trim {
    fn run(&self, stream: &mut Stream) -> usize {
        match self.length {
            Some(most) => stream.trim(self.limit, |s, _| s.entries.len() > most),
            None => stream.trim(self.limit, |_, id| id < self.least),
        }
    }
}

/// Reads `MAXLEN|MINID [=|~] threshold [LIMIT n]`; the word after it.
fn trim(call: &Call<'_>, mut at: usize) -> Result<(Trim, usize), Error> {
    let by_length = call.is(at, "MAXLEN");
    at += 1;
    let approximate = call.args.get(at) == Some(b"~");
    at += usize::from(approximate || call.args.get(at) == Some(b"="));
    let threshold = call.args.get(at).ok_or(Error::Syntax)?;
    let mut trim = Trim { length: None, least: Id::MIN, limit: usize::MAX };
    if by_length {
        let most = call.int(at)?;
        trim.length =
            Some(usize::try_from(most).map_err(|_| Error::Text("ERR The MAXLEN argument must be >= 0."))?);
    } else {
        trim.least = id(threshold, 0)?;
    }
    at += 1;
    if call.is(at, "LIMIT") && at + 1 < call.argc() {
        if !approximate {
            return Err(Error::Text("ERR syntax error, LIMIT cannot be used without the special ~ option"));
        }
        let limit = usize::try_from(call.int(at + 1)?);
        let limit = limit.map_err(|_| Error::Text("ERR The LIMIT argument must be >= 0."))?;
        trim.limit = if limit == 0 { usize::MAX } else { limit };
        at += 2;
    }
    Ok((trim, at))
}

pub(crate) fn xadd(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let (mut make, mut cut) = (true, None);
    let mut at = 2;
    loop {
        if call.is(at, "NOMKSTREAM") {
            make = false;
            at += 1;
        } else if call.is(at, "MAXLEN") || call.is(at, "MINID") {
            let (trim, next) = trim(call, at)?;
            (cut, at) = (Some(trim), next);
        } else {
            break;
        }
    }
    let fields = call.argc().saturating_sub(at + 1);
    if fields == 0 || !fields.is_multiple_of(2) {
        return Err(Error::Arity("xadd"));
    }
    let now = call.store.now;
    if Id::parse(call.arg(at), 0) == Some(Id::MIN) {
        return Err(Error::Text("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let there = call.store.get::<Stream>(call.db, key)?;
    if there.is_none() && !make {
        call.out.null();
        return Ok(());
    }
    let last = there.map_or(Id::MIN, |stream| stream.last);
    let exhausted =
        Error::Text("ERR The stream has exhausted the last possible ID, unable to add more items");
    let new = match call.arg(at) {
        b"*" if now > last.ms => Id { ms: now, seq: 0 },
        b"*" => last.next().ok_or(exhausted)?,
        text => match text.strip_suffix(b"-*") {
            Some(ms) => match id(ms, 0)?.ms {
                ms if ms == last.ms && !(ms == 0 && last.seq == 0) => {
                    let seq = last.seq.checked_add(1).ok_or(exhausted)?;
                    Id { ms, seq }
                }
                0 => Id { ms: 0, seq: 1 },
                ms => Id { ms, seq: 0 },
            },
            None => id(text, 0)?,
        },
    };
    if new <= last {
        return Err(Error::Text(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        ));
    }
    let words = call.args.from(at + 1);
    let mut pack = ListPack::with_capacity(words.map(|word| crate::listpack::encoded_len(word.len())).sum());
    for word in call.args.from(at + 1) {
        pack.push(word);
    }
    let stream = call.store.get_or_make::<Stream>(call.db, key)?;
    stream.append(new, pack);
    if let Some(trim) = cut {
        trim.run(stream);
    }
    call.changed(key);
    call.out.bulk(new.text().as_bytes());
    Ok(())
}

pub(crate) fn xlen(call: &mut Call<'_>) -> CommandResult {
    let length = call.store.get::<Stream>(call.db, call.args.at(1))?.map_or(0, |s| s.entries.len());
    call.out.integer(length as i64);
    Ok(())
}

pub(crate) fn xtrim(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    if !call.is(2, "MAXLEN") && !call.is(2, "MINID") {
        return Err(Error::Syntax);
    }
    let (cut, next) = trim(call, 2)?;
    if next != call.argc() {
        return Err(Error::Syntax);
    }
    let dropped = call.store.get_mut::<Stream>(call.db, key)?.map_or(0, |stream| cut.run(stream));
    if dropped > 0 {
        call.changed(key);
    }
    call.out.integer(dropped as i64);
    Ok(())
}

pub(crate) fn xdel(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let ids = call.args.from(2).map(|text| id(text, 0)).collect::<Result<Vec<Id>, Error>>()?;
    let mut removed = 0;
    if let Some(stream) = call.store.get_mut::<Stream>(call.db, key)? {
        removed = ids.into_iter().filter(|&id| stream.delete(id)).count();
    }
    if removed > 0 {
        call.changed(key);
    }
    call.out.integer(removed as i64);
    Ok(())
}

pub(crate) fn xsetid(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let last = id(call.arg(2), 0)?;
    let Some(stream) = call.store.get_mut::<Stream>(call.db, key)? else { return Err(Error::NoSuchKey) };
    if stream.entries.last_key_value().is_some_and(|(top, _)| *top > last) {
        return Err(Error::Text("ERR The ID specified in XSETID is smaller than the target stream top item"));
    }
    stream.last = last;
    call.changed(key);
    call.out.ok();
    Ok(())
}

/// An entry as clients get it.
pub(crate) fn show_entry(out: &mut Reply, id: Id, fields: &ListPack) {
    out.array(2);
    out.bulk(id.text().as_bytes());
    out.array(fields.len());
    fields.iter().for_each(|word| out.bulk(word));
}

/// An end of a range of ids: `-`, `+`, an id, or `(` and an id that does not belong to it.
pub(crate) fn bound(text: &[u8], start: bool) -> Result<Id, Error> {
    match text {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        [b'(', rest @ ..] => {
            let at = id(rest, if start { 0 } else { u64::MAX })?;
            let inside = if start { at.next() } else { at.previous() };
            inside.ok_or(Error::Text(if start {
                "ERR invalid start ID for the interval"
            } else {
                "ERR invalid end ID for the interval"
            }))
        }
        _ => id(text, if start { 0 } else { u64::MAX }),
    }
}

fn range(call: &mut Call<'_>, reverse: bool) -> CommandResult {
    let (low, high) = if reverse { (3, 2) } else { (2, 3) };
    let (start, end) = (bound(call.arg(low), true)?, bound(call.arg(high), false)?);
    let mut count = usize::MAX;
    if call.argc() > 4 {
        if !call.is(4, "COUNT") || call.argc() != 6 {
            return Err(Error::Syntax);
        }
        count = usize::try_from(call.int(5)?).unwrap_or(0);
    }
    let stream = call.store.get::<Stream>(call.db, call.args.at(1))?;
    if stream.is_some() && count == 0 {
        call.out.null_array();
        return Ok(());
    }
    let mark = call.out.mark();
    let mut shown = 0;
    if let Some(stream) = stream.filter(|_| start <= end) {
        let entries = stream.entries.range(start..=end);
        let mut show = |(id, fields): (&Id, &ListPack)| {
            show_entry(call.out, *id, fields);
            shown += 1;
        };
        match reverse {
            true => entries.rev().take(count).for_each(&mut show),
            false => entries.take(count).for_each(&mut show),
        }
    }
    call.out.array_at(mark, shown);
    Ok(())
}

pub(crate) fn xrange(call: &mut Call<'_>) -> CommandResult {
    range(call, false)
}

pub(crate) fn xrevrange(call: &mut Call<'_>) -> CommandResult {
    range(call, true)
}

/// `COUNT n`, `BLOCK ms`, `NOACK` and the streams with their ids, from a word on.
pub(crate) struct Reading<'a> {
    pub(crate) count: usize,
    pub(crate) deadline: Option<u64>,
    pub(crate) no_ack: bool,
    pub(crate) keys: Vec<&'a [u8]>,
    /// Place of the first id.
    pub(crate) ids: usize,
}

pub(crate) fn reading<'a>(call: &Call<'a>, from: usize, grouped: bool) -> Result<Reading<'a>, Error> {
    let mut r = Reading { count: usize::MAX, deadline: None, no_ack: false, keys: Vec::new(), ids: 0 };
    let mut at = from;
    loop {
        if call.is(at, "COUNT") && at + 1 < call.argc() {
            r.count = usize::try_from(call.int(at + 1)?).ok().filter(|&n| n > 0).unwrap_or(usize::MAX);
            at += 2;
        } else if call.is(at, "BLOCK") && at + 1 < call.argc() {
            let wrong = Error::Text("ERR timeout is not an integer or out of range");
            let ms = call.int(at + 1).map_err(|_| wrong)?;
            let ms = u64::try_from(ms).map_err(|_| Error::Text("ERR timeout is negative"))?;
            if ms > i64::MAX as u64 / 2 {
                return Err(Error::Text("ERR timeout is out of range"));
            }
            r.deadline = Some(call.deadline_after(ms, ms > 0));
            at += 2;
        } else if grouped && call.is(at, "NOACK") {
            r.no_ack = true;
            at += 1;
        } else {
            break;
        }
    }
    if !call.is(at, "STREAMS") {
        return Err(Error::Syntax);
    }
    let words = call.argc() - at - 1;
    if words == 0 || !words.is_multiple_of(2) {
        return Err(Error::Text(
            "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
        ));
    }
    r.keys = call.args.from(at + 1).take(words / 2).collect();
    r.ids = at + 1 + words / 2;
    Ok(r)
}

/// Puts the header of a stream's entries: a pair in an array, or in a map.
pub(crate) fn stream_header(out: &mut Reply, key: &[u8]) {
    if !out.resp3 {
        out.array(2);
    }
    out.bulk(key);
}

/// Puts what comes before all streams.
pub(crate) fn streams_at(out: &mut Reply, mark: usize, streams: usize) {
    if out.resp3 { out.map_at(mark, streams) } else { out.array_at(mark, streams) }
}

pub(crate) fn xread(call: &mut Call<'_>) -> CommandResult {
    let r = reading(call, 1, false)?;
    let mut after = Vec::with_capacity(r.keys.len());
    for (i, key) in r.keys.iter().enumerate() {
        after.push(match call.args.at(r.ids + i) {
            b"$" => call.store.get::<Stream>(call.db, key)?.map_or(Id::MIN, |stream| stream.last),
            b">" => {
                return Err(Error::Text(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> \
                     option.",
                ));
            }
            text => id(text, 0)?,
        });
    }
    let mark = call.out.mark();
    let mut streams = 0;
    for (key, after) in r.keys.iter().zip(&after) {
        let Some(stream) = call.store.get::<Stream>(call.db, key)? else { continue };
        let Some(first) = after.next() else { continue };
        if stream.entries.range(first..).next().is_none() {
            continue;
        }
        streams += 1;
        stream_header(call.out, key);
        let entries = stream.entries.range(first..).take(r.count);
        call.out.array(entries.clone().count());
        entries.for_each(|(id, fields)| show_entry(call.out, *id, fields));
    }
    if streams > 0 {
        streams_at(call.out, mark, streams);
        return Ok(());
    }
    let Some(deadline) = r.deadline else {
        call.out.null_array();
        return Ok(());
    };
    // `$` means the last entry of now, not of the next attempt.
    call.ensure_memory(3 * call.args.copied_bytes())?;
    let mut again = call.args.to_vecs();
    for (i, after) in after.iter().enumerate() {
        again[r.ids + i] = after.text().into_bytes();
    }
    call.block_with(r.keys, deadline, false, Some(again))
}
