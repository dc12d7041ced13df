//! Functions of scripts: each is a handler of every script that is read with arguments.

#[cfg(feature = "host")]
use super::names::near;
use super::names::truth;
use super::number::{Operation, fold, order, remainder};
#[cfg(feature = "host")]
use super::number::{sign, whole};
#[cfg(feature = "host")]
use super::sprintf::sprintf;
#[cfg(feature = "host")]
use super::value::plain;
use crate::args::words;
use crate::element::Context;
#[cfg(feature = "host")]
use crate::element::Outside;
#[cfg(feature = "host")]
use alloc::format;
use alloc::string::{String, ToString};
#[cfg(feature = "host")]
use alloc::vec::Vec;

#[cfg(feature = "host")]
fn outside<'a>(cx: &'a mut Context<'_>, name: &str) -> Result<&'a mut dyn Outside, String> {
    cx.host.outside().ok_or_else(|| format!("{name} needs a host, and cannot be used in a guest"))
}

/// Whether all of them, or any of them, mean yes: what follows the one that decides does not matter.
fn truths(words: &[&str], all: bool) -> Result<bool, String> {
    for word in words {
        if truth(word).ok_or("syntax error")? != all {
            return Ok(!all);
        }
    }
    Ok(all)
}

/// The value of a function; none if there is no such function.
pub(super) fn call(cx: &mut Context<'_>, name: &str, text: &str) -> Option<Result<String, String>> {
    let words = &words(text)[..];
    #[cfg(not(feature = "host"))]
    let _ = cx;
    let compare = |is: fn(core::cmp::Ordering) -> bool| order(words).map(|o| is(o).to_string());
    let text_of = |truth: Result<bool, String>, opposite: bool| truth.map(|t| (t != opposite).to_string());
    Some(match name {
        "add" => fold(Operation::Add, words),
        "sub" => fold(Operation::Sub, words),
        "mul" => fold(Operation::Mul, words),
        "div" => fold(Operation::Div, words),
        "idiv" => fold(Operation::IDiv, words),
        "min" => fold(Operation::Min, words),
        "max" => fold(Operation::Max, words),
        "mod" => remainder(words, false),
        "rem" => remainder(words, true),
        "eq" => compare(|o| o.is_eq()),
        "ne" => compare(|o| o.is_ne()),
        "lt" => compare(|o| o.is_lt()),
        "le" => compare(|o| o.is_le()),
        "gt" => compare(|o| o.is_gt()),
        "ge" => compare(|o| o.is_ge()),
        "not" => text_of(truth(text).ok_or_else(|| "syntax error".to_string()), true),
        "and" => text_of(truths(words, true), false),
        "nand" => text_of(truths(words, true), true),
        "or" => text_of(truths(words, false), false),
        "nor" => text_of(truths(words, false), true),
        "if" => match words.first().and_then(|w| truth(w)) {
            Some(yes) => Ok(words.get(if yes { 1 } else { 2 }).unwrap_or(&"").to_string()),
            None => Err("syntax error".to_string()),
        },
        #[cfg(feature = "host")]
        _ => return more(cx, name, text, words).transpose(),
        #[cfg(not(feature = "host"))]
        _ => return None,
    })
}

/// Functions that a guest has no room for.
#[cfg(feature = "host")]
fn more(cx: &mut Context<'_>, name: &str, text: &str, words: &[&str]) -> Result<Option<String>, String> {
    let one = || words.first().copied().ok_or_else(|| format!("{name}: expected a value"));
    let order = |most: usize| -> Result<String, String> {
        let value = whole(one()?).ok_or("syntax error")? as u64;
        let bytes = value.to_be_bytes();
        let mut swapped = [0; 8];
        swapped[..most].copy_from_slice(&bytes[8 - most..]);
        Ok(u64::from_le_bytes(swapped).to_string())
    };
    let value = match name {
        "neg" => sign(one()?, false),
        "abs" => sign(one()?, true),
        "in" => {
            let mut words = words.iter().map(|w| plain(w));
            let first = words.next().filter(|w| !w.is_empty());
            Ok(first.is_some_and(|first| words.any(|w| w == first)).to_string())
        }
        "first" => Ok(words.first().unwrap_or(&"").to_string()),
        "length" => Ok(text.len().to_string()),
        "unquote" => Ok(plain(text)),
        "readable" | "writable" => {
            let fits = |(read, write)| if name == "readable" { read } else { write };
            Ok(words.iter().all(|w| cx.permissions(&near(cx, w)).is_ok_and(fits)).to_string())
        }
        "now" => {
            let now = cx.host.wall_clock();
            Ok(format!("{}.{:06}", now / 1_000_000_000, now % 1_000_000_000 / 1000))
        }
        "random" => random(cx, words),
        "htons" | "ntohs" => order(2),
        "htonl" | "ntohl" => order(4),
        "basename" => Ok(text.trim_end_matches('/').rsplit('/').next().unwrap_or("").to_string()),
        "cat" => outside(cx, name)?.read_file(&plain(text)),
        "catq" => outside(cx, name)?.read_file(&plain(text)).map(|text| quoted(&text)),
        "kill" => {
            let signal = words.first().map_or("TERM", |w| w.trim_start_matches('-'));
            words.iter().skip(1).try_for_each(|w| outside(cx, name)?.kill(signal, w))?;
            Ok(String::new())
        }
        "sprintf" => sprintf(words),
        _ => return Ok(None),
    };
    value.map(Some)
}

/// A number below the argument, or between two, or any.
#[cfg(feature = "host")]
fn random(cx: &mut Context<'_>, words: &[&str]) -> Result<String, String> {
    let numbers = words.iter().map(|w| whole(w).ok_or("bad N")).collect::<Result<Vec<_>, _>>()?;
    let (low, high) = match numbers[..] {
        [] => return Ok((cx.random() >> 33).to_string()),
        [high] => (0, high.checked_sub(1)),
        [low, high, ..] => (low, Some(high)),
    };
    let width = high.and_then(|high| high.checked_sub(low)).filter(|w| *w >= 0);
    let width = width.ok_or("bad N")? as u64;
    Ok((low + (cx.random() % width.saturating_add(1)) as i64).to_string())
}

/// A text between double quotes, as an argument has it.
#[cfg(feature = "host")]
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' => out.extend(['\\', c]),
            '\t' => out += "\\t",
            '\r' => out += "\\r",
            c => out.push(c),
        }
    }
    out + "\""
}
