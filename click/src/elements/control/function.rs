//! Functions of scripts: each is a handler of every script that is read with arguments.

use super::reach::truth;
#[cfg(feature = "host")]
use super::value::plain;
use crate::args::{parse_number, words};
use crate::element::Context;
#[cfg(feature = "host")]
use crate::element::Outside;
use alloc::format;
use alloc::string::{String, ToString};
#[cfg(feature = "host")]
use alloc::vec::Vec;

fn number(name: &str, word: &str) -> Result<i64, String> {
    let (sign, digits) = word.strip_prefix('-').map_or((1, word), |d| (-1, d));
    let value = parse_number(digits).and_then(|n| i64::try_from(n).ok());
    value.map(|v| sign * v).ok_or_else(|| format!("{name}: expected a number, not '{word}'"))
}

/// Puts numbers together, from the left.
fn fold(name: &str, words: &[&str], f: fn(i64, i64) -> Option<i64>) -> Result<String, String> {
    let mut numbers = words.iter().map(|w| number(name, w));
    let first = numbers.next().ok_or_else(|| format!("{name}: expected numbers"))??;
    let result = numbers.try_fold(first, |a, b| f(a, b?).ok_or_else(|| format!("{name}: out of range")))?;
    Ok(result.to_string())
}

#[cfg(feature = "host")]
fn arithmetic(
    name: &str,
    words: &[&str],
    f: fn(i64, i64) -> Option<i64>,
    g: fn(f64, f64) -> f64,
) -> Result<String, String> {
    if let Ok(whole) = fold(name, words, f) {
        return Ok(whole);
    }
    // With a fraction somewhere, as far as such numbers go.
    let real = |word: &&str| word.parse::<f64>().or_else(|_| number(name, word).map(|n| n as f64));
    let mut numbers = words.iter().map(real);
    let first = numbers.next().ok_or_else(|| format!("{name}: expected numbers"))??;
    let result = numbers.try_fold(first, |a, b| b.map(|b| g(a, b)))?;
    if result.is_finite() { Ok(result.to_string()) } else { Err(format!("{name}: out of range")) }
}

/// In a guest, as in Click's kernel module, numbers are whole.
#[cfg(not(feature = "host"))]
fn arithmetic(
    name: &str,
    words: &[&str],
    f: fn(i64, i64) -> Option<i64>,
    _: fn(f64, f64) -> f64,
) -> Result<String, String> {
    fold(name, words, f)
}

/// What division gives where only whole numbers are at hand; with fractions, only if nothing is left over.
fn divide(a: i64, b: i64) -> Option<i64> {
    let exact = !cfg!(feature = "host") || a.checked_rem(b)? == 0;
    if exact { a.checked_div(b) } else { None }
}

fn compare(name: &str, words: &[&str], f: fn(core::cmp::Ordering) -> bool) -> Result<String, String> {
    let [a, b] = words[..] else { return Err(format!("{name}: expected two values")) };
    #[cfg(feature = "host")]
    if let (Ok(a), Ok(b)) = (a.parse::<f64>(), b.parse::<f64>())
        && (number(name, words[0]).is_err() || number(name, words[1]).is_err())
    {
        return Ok(a.partial_cmp(&b).is_some_and(f).to_string());
    }
    let order = match (number(name, a), number(name, b)) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    };
    Ok(f(order).to_string())
}

#[cfg(feature = "host")]
fn outside<'a>(cx: &'a mut Context<'_>, name: &str) -> Result<&'a mut dyn Outside, String> {
    cx.host.outside().ok_or_else(|| format!("{name} needs a host, and cannot be used in a guest"))
}

/// The value of a function; none if there is no such function.
pub(super) fn call(cx: &mut Context<'_>, name: &str, text: &str) -> Option<Result<String, String>> {
    let words = &words(text)[..];
    #[cfg(not(feature = "host"))]
    let _ = cx;
    let yes = |w: &&str| truth(w) != Some(false);
    let truths = |all: bool| if all { words.iter().all(yes) } else { words.iter().any(yes) };
    Some(match name {
        "add" => arithmetic(name, words, i64::checked_add, |a, b| a + b),
        "sub" => arithmetic(name, words, i64::checked_sub, |a, b| a - b),
        "mul" => arithmetic(name, words, i64::checked_mul, |a, b| a * b),
        "div" => arithmetic(name, words, divide, |a, b| a / b),
        "idiv" => arithmetic(name, words, i64::checked_div, |a, b| a / b)
            .map(|quotient| quotient.split('.').next().unwrap_or("").to_string()),
        "mod" | "rem" => fold(name, words, i64::checked_rem),
        "min" => arithmetic(name, words, |a, b| Some(a.min(b)), |a, b| if a < b { a } else { b }),
        "max" => arithmetic(name, words, |a, b| Some(a.max(b)), |a, b| if a > b { a } else { b }),
        "eq" => compare(name, words, |o| o.is_eq()),
        "ne" => compare(name, words, |o| o.is_ne()),
        "lt" => compare(name, words, |o| o.is_lt()),
        "le" => compare(name, words, |o| o.is_le()),
        "gt" => compare(name, words, |o| o.is_gt()),
        "ge" => compare(name, words, |o| o.is_ge()),
        "not" => Ok((!truths(false)).to_string()),
        "and" => Ok(truths(true).to_string()),
        "or" => Ok(truths(false).to_string()),
        "if" => {
            let chosen = if words.first().is_some_and(yes) { 1 } else { 2 };
            Ok(words.get(chosen).unwrap_or(&"").to_string())
        }
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
        let value = number(name, one()?)? as u64;
        let bytes = value.to_be_bytes();
        let mut swapped = [0; 8];
        swapped[..most].copy_from_slice(&bytes[8 - most..]);
        Ok(u64::from_le_bytes(swapped).to_string())
    };
    let value = match name {
        "neg" => arithmetic(name, &["0", one()?], i64::checked_sub, |a, b| a - b),
        "abs" => Ok(one()?.trim_start_matches('-').to_string()),
        "in" => Ok(words.split_first().is_some_and(|(first, rest)| rest.contains(first)).to_string()),
        "first" => Ok(words.first().unwrap_or(&"").to_string()),
        "length" => Ok(text.len().to_string()),
        "unquote" => Ok(plain(text)),
        "readable" => Ok(cx.permissions(one()?).is_ok_and(|(read, _)| read).to_string()),
        "writable" => Ok(cx.permissions(one()?).is_ok_and(|(_, write)| write).to_string()),
        "now" => {
            let now = cx.host.wall_clock();
            Ok(format!("{}.{:06}", now / 1_000_000_000, now % 1_000_000_000 / 1000))
        }
        "random" => random(cx, words),
        "htons" | "ntohs" => order(2),
        "htonl" | "ntohl" => order(4),
        "basename" => Ok(text.trim_end_matches('/').rsplit('/').next().unwrap_or("").to_string()),
        "cat" => outside(cx, name)?.read_file(&plain(text)),
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
    let numbers = words.iter().map(|w| number("random", w)).collect::<Result<Vec<_>, _>>()?;
    let (low, high) = match numbers[..] {
        [] => return Ok((cx.random() >> 33).to_string()),
        [high] => (0, high.checked_sub(1)),
        [low, high, ..] => (low, Some(high)),
    };
    let width = high.and_then(|high| high.checked_sub(low)).filter(|w| *w >= 0);
    let width = width.ok_or_else(|| "random: out of range".to_string())? as u64;
    Ok((low + (cx.random() % width.saturating_add(1)) as i64).to_string())
}

/// `FORMAT VALUE...`: `%d`, `%i`, `%u`, `%x`, `%X`, `%o`, `%c`, `%s`, with a width, `0` and `-`.
#[cfg(feature = "host")]
fn sprintf(words: &[&str]) -> Result<String, String> {
    let mut values = words.iter().skip(1);
    let format = plain(words.first().unwrap_or(&""));
    let (mut out, mut rest) = (String::new(), &format[..]);
    while let Some((text, spec)) = rest.split_once('%') {
        out += text;
        let end = spec.find(|c: char| c.is_alphabetic() || c == '%').ok_or("sprintf: bad format")?;
        let (flags, letter) = (&spec[..end], spec.as_bytes()[end]);
        rest = &spec[end + 1..];
        if letter == b'%' {
            out.push('%');
            continue;
        }
        let word = plain(values.next().ok_or("sprintf: too few values")?);
        let whole = || number("sprintf", &word);
        let value = match letter {
            b'd' | b'i' => whole()?.to_string(),
            b'u' => (whole()? as u64).to_string(),
            b'x' => format!("{:x}", whole()?),
            b'X' => format!("{:X}", whole()?),
            b'o' => format!("{:o}", whole()?),
            b'c' => char::from_u32(whole()? as u32).unwrap_or(' ').to_string(),
            b's' => word,
            other => return Err(format!("sprintf: bad format '%{}'", other as char)),
        };
        let width: usize = flags.trim_start_matches(['-', '0', '+', '#', ' ']).parse().unwrap_or(0);
        let gap = width.min(1000).saturating_sub(value.len());
        let (digits, sign) = match value.strip_prefix('-') {
            Some(digits) => (digits, "-"),
            None => (&value[..], ""),
        };
        if flags.contains('-') {
            out += &value;
            out.extend(core::iter::repeat_n(' ', gap));
        } else if flags.starts_with('0') {
            out += sign;
            out.extend(core::iter::repeat_n('0', gap));
            out += digits;
        } else {
            out.extend(core::iter::repeat_n(' ', gap));
            out += &value;
        }
    }
    Ok(out + rest)
}
