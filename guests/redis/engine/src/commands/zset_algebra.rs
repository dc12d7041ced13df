//! Sorted sets: unions, intersections, differences.

use super::{Call, zset_range, zsets};
use crate::error::{CommandResult, Error};
use crate::store::score_index::ScoredMember;
use crate::store::set::Set;
use crate::store::zset::Zset;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Least,
    Most,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Opposite infinities cancel out.
            Self::Sum => Some(a + b).filter(|s| !s.is_nan()).unwrap_or(0.0),
            Self::Least => a.min(b),
            Self::Most => a.max(b),
        }
    }
}

type Members = Vec<(Rc<[u8]>, f64)>;

/// Members and scores of a sorted set, or of a set, whose members count 1.
fn members(call: &mut Call<'_>, key: &[u8]) -> Result<Members, Error> {
    if let Ok(set) = call.store.get::<Set>(call.db, key) {
        let bytes = set.map_or(0, |set| 2 * set.size() + 160 * set.len());
        call.ensure_transient(bytes)?;
        let set = call.store.get::<Set>(call.db, key)?;
        return Ok(set.into_iter().flat_map(Set::iter).map(|m| (Rc::from(m), 1.0)).collect());
    }
    let count = call.store.get::<Zset>(call.db, key)?.map_or(0, Zset::len);
    call.ensure_transient(80 * count)?;
    let zset = call.store.get::<Zset>(call.db, key)?;
    Ok(zset.into_iter().flat_map(|z| z.by_score.up_from(0)).map(|e| (e.member.clone(), e.score)).collect())
}

struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

fn options(
    call: &Call<'_>,
    from: usize,
    keys: usize,
    operation: Operation,
    store: bool,
) -> Result<Options, Error> {
    let mut o = Options { weights: vec![1.0; keys], aggregate: Aggregate::Sum, with_scores: false };
    let mut at = from;
    let plain = operation == Operation::Difference;
    while at < call.argc() {
        if !plain && call.is(at, "WEIGHTS") && at + keys < call.argc() {
            for (i, weight) in o.weights.iter_mut().enumerate() {
                *weight = zsets::weight(call.arg(at + 1 + i))?;
            }
            at += keys;
        } else if !plain && call.is(at, "AGGREGATE") && at + 1 < call.argc() {
            at += 1;
            o.aggregate = match () {
                () if call.is(at, "SUM") => Aggregate::Sum,
                () if call.is(at, "MIN") => Aggregate::Least,
                () if call.is(at, "MAX") => Aggregate::Most,
                () => return Err(Error::Syntax),
            };
        } else if !store && call.is(at, "WITHSCORES") {
            o.with_scores = true;
        } else {
            return Err(Error::Syntax);
        }
        at += 1;
    }
    Ok(o)
}

fn combine(
    call: &mut Call<'_>,
    keys: &[&[u8]],
    operation: Operation,
    o: &Options,
) -> Result<Vec<ScoredMember>, Error> {
    let mut result: BTreeMap<Rc<[u8]>, f64> = BTreeMap::new();
    for (i, key) in keys.iter().enumerate() {
        let weight = o.weights[i];
        let scaled = |score: f64| Some(score * weight).filter(|s| !s.is_nan()).unwrap_or(0.0);
        let entries = members(call, key)?;
        match operation {
            _ if i == 0 => {
                call.ensure_transient(160 * entries.len())?;
                result = entries.into_iter().map(|(m, s)| (m, scaled(s))).collect();
            }
            Operation::Union => {
                call.ensure_transient(128 * entries.len())?;
                for (member, score) in entries {
                    let score = scaled(score);
                    result.entry(member).and_modify(|s| *s = o.aggregate.of(*s, score)).or_insert(score);
                }
            }
            Operation::Intersection => {
                call.ensure_transient(128 * entries.len())?;
                let mut both = BTreeMap::new();
                for (member, score) in entries {
                    if let Some((member, before)) = result.remove_entry(&member) {
                        both.insert(member, o.aggregate.of(before, scaled(score)));
                    }
                }
                result = both;
            }
            Operation::Difference => {
                for (member, _) in entries {
                    result.remove(&member);
                }
            }
        }
    }
    // The list, and as much again while it is sorted.
    call.ensure_transient(64 * result.len())?;
    let mut sorted: Vec<ScoredMember> =
        result.into_iter().map(|(member, score)| ScoredMember { score, member }).collect();
    sorted.sort_by(|a, b| a.cmp_to(b.score, &b.member));
    Ok(sorted)
}

fn keys<'a>(call: &Call<'a>, at: usize, name: &str) -> Result<(Vec<&'a [u8]>, usize), Error> {
    if call.int(at)? < 1 {
        return Err(Error::Formatted(format!("ERR at least 1 input key is needed for '{name}' command")));
    }
    call.counted_keys(at, "")
}

fn reply_result(call: &mut Call<'_>, operation: Operation, name: &str) -> CommandResult {
    let (keys, next) = keys(call, 1, name)?;
    let o = options(call, next, keys.len(), operation, false)?;
    let result = combine(call, &keys, operation, &o)?;
    zsets::show(call.out, result.iter(), o.with_scores);
    Ok(())
}

fn store_result(call: &mut Call<'_>, operation: Operation, name: &str) -> CommandResult {
    let (keys, next) = keys(call, 2, name)?;
    let o = options(call, next, keys.len(), operation, true)?;
    let result = combine(call, &keys, operation, &o)?;
    zset_range::store(call, call.args.at(1), result.iter().map(|e| (&*e.member, e.score)))
}

pub(crate) fn zunion(call: &mut Call<'_>) -> CommandResult {
    reply_result(call, Operation::Union, "zunion")
}

pub(crate) fn zinter(call: &mut Call<'_>) -> CommandResult {
    reply_result(call, Operation::Intersection, "zinter")
}

pub(crate) fn zdiff(call: &mut Call<'_>) -> CommandResult {
    reply_result(call, Operation::Difference, "zdiff")
}

pub(crate) fn zunionstore(call: &mut Call<'_>) -> CommandResult {
    store_result(call, Operation::Union, "zunionstore")
}

pub(crate) fn zinterstore(call: &mut Call<'_>) -> CommandResult {
    store_result(call, Operation::Intersection, "zinterstore")
}

pub(crate) fn zdiffstore(call: &mut Call<'_>) -> CommandResult {
    store_result(call, Operation::Difference, "zdiffstore")
}

pub(crate) fn zintercard(call: &mut Call<'_>) -> CommandResult {
    let (keys, next) = keys(call, 1, "zintercard")?;
    let limit = call.limit(next)?;
    let o = options(call, call.argc(), keys.len(), Operation::Intersection, true)?;
    let result = combine(call, &keys, Operation::Intersection, &o)?;
    call.out.integer(result.len().min(limit) as i64);
    Ok(())
}
