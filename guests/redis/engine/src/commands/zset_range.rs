//! Sorted sets: parts by rank, score and member.

use super::{Call, range, zsets};
use crate::engine::COMMAND_BYTES;
use crate::error::{CommandResult, Error};
use crate::number::parse_f64_saturating;
use crate::store::Value;
use crate::store::entry::NEVER;
use crate::store::score_index::ScoredMember;
use crate::store::zset::Zset;
use alloc::vec::Vec;
use core::ops::Range;

/// An end of a range.
#[derive(Clone, Copy)]
enum Bound<'a> {
    /// Score, and whether it belongs to the range.
    Score(f64, bool),
    /// Member, and whether it belongs to the range.
    Member(&'a [u8], bool),
    Lowest,
    Highest,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum By {
    Rank,
    Score,
    Member,
}

fn score(text: &[u8]) -> Result<Bound<'_>, Error> {
    let (text, open) = text.strip_prefix(b"(").map_or((text, false), |rest| (rest, true));
    let value = parse_f64_saturating(text).ok_or(Error::Text("ERR min or max is not a float"))?;
    Ok(Bound::Score(value, !open))
}

fn member(text: &[u8]) -> Result<Bound<'_>, Error> {
    match text {
        b"-" => Ok(Bound::Lowest),
        b"+" => Ok(Bound::Highest),
        [b'[', rest @ ..] => Ok(Bound::Member(rest, true)),
        [b'(', rest @ ..] => Ok(Bound::Member(rest, false)),
        _ => Err(Error::Text("ERR min or max not valid string range item")),
    }
}

impl Bound<'_> {
    /// Whether an entry comes before a range that begins here.
    fn is_after(&self, entry: &ScoredMember) -> bool {
        match *self {
            Self::Score(score, true) => entry.score < score,
            Self::Score(score, false) => entry.score <= score,
            Self::Member(member, true) => *entry.member < *member,
            Self::Member(member, false) => *entry.member <= *member,
            Self::Lowest => false,
            Self::Highest => true,
        }
    }

    /// Whether an entry belongs to a range that ends here.
    fn is_not_before(&self, entry: &ScoredMember) -> bool {
        match *self {
            Self::Score(score, true) => entry.score <= score,
            Self::Score(score, false) => entry.score < score,
            Self::Member(member, true) => *entry.member <= *member,
            Self::Member(member, false) => *entry.member < *member,
            Self::Lowest => false,
            Self::Highest => true,
        }
    }
}

fn ranks(zset: &Zset, least: Bound<'_>, most: Bound<'_>) -> Range<usize> {
    let start = zset.by_score.rank(|e| least.is_after(e));
    start..zset.by_score.rank(|e| most.is_not_before(e)).max(start)
}

fn bounds<'a>(by: By, least: &'a [u8], most: &'a [u8]) -> Result<(Bound<'a>, Bound<'a>), Error> {
    match by {
        By::Score => Ok((score(least)?, score(most)?)),
        _ => Ok((member(least)?, member(most)?)),
    }
}

/// What a ZRANGE asks for.
struct Query<'a> {
    by: By,
    reverse: bool,
    first: &'a [u8],
    last: &'a [u8],
    offset: i64,
    count: i64,
    with_scores: bool,
}

fn find(call: &mut Call<'_>, key: &[u8], query: &Query<'_>) -> Result<Vec<ScoredMember>, Error> {
    enum Span<'a> {
        Ranks(i64, i64),
        Bounds(Bound<'a>, Bound<'a>),
    }
    let span = if query.by == By::Rank {
        let number = |text| crate::number::parse_i64(text).ok_or(Error::NotInteger);
        Span::Ranks(number(query.first)?, number(query.last)?)
    } else {
        let (least, most) = if query.reverse { (query.last, query.first) } else { (query.first, query.last) };
        let (least, most) = bounds(query.by, least, most)?;
        Span::Bounds(least, most)
    };
    let free = call.server.free();
    let Some(zset) = call.store.get::<Zset>(call.db, key)? else { return Ok(Vec::new()) };
    let len = zset.len();
    let mut ranks = match span {
        Span::Ranks(start, end) => {
            let ranks = range(start, end, len).unwrap_or(0..0);
            if query.reverse { len - ranks.end..len - ranks.start } else { ranks }
        }
        Span::Bounds(least, most) => ranks(zset, least, most),
    };
    let Ok(skip) = usize::try_from(query.offset) else { return Ok(Vec::new()) };
    let skip = skip.min(ranks.len());
    let take = usize::try_from(query.count).unwrap_or(usize::MAX).min(ranks.len() - skip);
    ranks = match query.reverse {
        true => ranks.end - skip - take..ranks.end - skip,
        false => ranks.start + skip..ranks.start + skip + take,
    };
    if ranks.len() * 2 * size_of::<ScoredMember>() > free {
        return Err(Error::Memory);
    }
    Ok(match query.reverse {
        true if ranks.is_empty() => Vec::new(),
        true => zset.by_score.down_from(ranks.end - 1).take(ranks.len()).cloned().collect(),
        false => zset.by_score.up_from(ranks.start).take(ranks.len()).cloned().collect(),
    })
}

/// Options from a word on.
fn query<'a>(
    call: &Call<'a>,
    first: usize,
    from: usize,
    by: Option<By>,
    reverse: bool,
    store: bool,
) -> Result<Query<'a>, Error> {
    let mut q = Query {
        by: by.unwrap_or(By::Rank),
        reverse,
        first: call.arg(first),
        last: call.arg(first + 1),
        offset: 0,
        count: -1,
        with_scores: false,
    };
    let (open, mut limited) = (by.is_none(), false);
    let mut at = from;
    while at < call.argc() {
        if !store && call.is(at, "WITHSCORES") {
            q.with_scores = true;
        } else if call.is(at, "LIMIT") && at + 2 < call.argc() {
            (q.offset, q.count, limited) = (call.int(at + 1)?, call.int(at + 2)?, true);
            at += 2;
        } else if open && call.is(at, "REV") {
            q.reverse = true;
        } else if open && call.is(at, "BYSCORE") && q.by == By::Rank {
            q.by = By::Score;
        } else if open && call.is(at, "BYLEX") && q.by == By::Rank {
            q.by = By::Member;
        } else {
            return Err(Error::Syntax);
        }
        at += 1;
    }
    if limited && q.by == By::Rank {
        return Err(Error::Text(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if q.with_scores && q.by == By::Member {
        return Err(Error::Text("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
    }
    Ok(q)
}

fn show(call: &mut Call<'_>, by: Option<By>, reverse: bool) -> CommandResult {
    let query = query(call, 2, 4, by, reverse, false)?;
    let found = find(call, call.args.at(1), &query)?;
    zsets::show(call.out, found.iter(), query.with_scores);
    Ok(())
}

pub(crate) fn zrange(call: &mut Call<'_>) -> CommandResult {
    show(call, None, false)
}

pub(crate) fn zrevrange(call: &mut Call<'_>) -> CommandResult {
    if call.argc() > 5 || (call.argc() == 5 && !call.is(4, "WITHSCORES")) {
        return Err(Error::Syntax);
    }
    show(call, Some(By::Rank), true)
}

pub(crate) fn zrangebyscore(call: &mut Call<'_>) -> CommandResult {
    show(call, Some(By::Score), false)
}

pub(crate) fn zrevrangebyscore(call: &mut Call<'_>) -> CommandResult {
    show(call, Some(By::Score), true)
}

pub(crate) fn zrangebylex(call: &mut Call<'_>) -> CommandResult {
    show(call, Some(By::Member), false)
}

pub(crate) fn zrevrangebylex(call: &mut Call<'_>) -> CommandResult {
    show(call, Some(By::Member), true)
}

pub(crate) fn zrangestore(call: &mut Call<'_>) -> CommandResult {
    let query = query(call, 3, 5, None, false, true)?;
    let found = find(call, call.args.at(2), &query)?;
    store(call, call.args.at(1), found.iter().map(|e| (&*e.member, e.score)))
}

/// Puts members with scores in the place of a key, and replies how many they are.
pub(crate) fn store<'m>(
    call: &mut Call<'_>,
    key: &[u8],
    entries: impl Iterator<Item = (&'m [u8], f64)> + Clone,
) -> CommandResult {
    call.ensure_memory(entries.clone().map(|(member, _)| member.len() + 240).sum::<usize>() + COMMAND_BYTES)?;
    let mut zset = Zset::default();
    for (member, score) in entries {
        zset.set(member, score, call.store.seed);
    }
    let len = zset.len();
    if len == 0 {
        call.store.delete(call.db, key);
    } else {
        call.store.put(call.db, key, Value::Zset(zset), NEVER);
        call.changed(key);
    }
    call.out.integer(len as i64);
    Ok(())
}

fn count(call: &mut Call<'_>, by: By) -> CommandResult {
    let (least, most) = bounds(by, call.args.at(2), call.args.at(3))?;
    let zset = call.store.get::<Zset>(call.db, call.args.at(1))?;
    call.out.integer(zset.map_or(0, |zset| ranks(zset, least, most).len()) as i64);
    Ok(())
}

pub(crate) fn zcount(call: &mut Call<'_>) -> CommandResult {
    count(call, By::Score)
}

pub(crate) fn zlexcount(call: &mut Call<'_>) -> CommandResult {
    count(call, By::Member)
}

fn remove(call: &mut Call<'_>, by: By) -> CommandResult {
    let key = call.arg(1);
    let removed = if by == By::Rank {
        let (start, end) = (call.int(2)?, call.int(3)?);
        let zset = call.store.get_mut::<Zset>(call.db, key)?;
        zset.map_or(0, |zset| range(start, end, zset.len()).map_or(0, |r| zset.remove_range(r)))
    } else {
        let (least, most) = bounds(by, call.args.at(2), call.args.at(3))?;
        let zset = call.store.get_mut::<Zset>(call.db, key)?;
        zset.map_or(0, |zset| {
            let ranks = ranks(zset, least, most);
            zset.remove_range(ranks)
        })
    };
    if removed > 0 {
        call.changed_or_emptied(key);
    }
    call.out.integer(removed as i64);
    Ok(())
}

pub(crate) fn zremrangebyrank(call: &mut Call<'_>) -> CommandResult {
    remove(call, By::Rank)
}

pub(crate) fn zremrangebyscore(call: &mut Call<'_>) -> CommandResult {
    remove(call, By::Score)
}

pub(crate) fn zremrangebylex(call: &mut Call<'_>) -> CommandResult {
    remove(call, By::Member)
}
