//! Values in scripts: text with variables, handlers and functions in it.

use super::script::truth;
use crate::args::{parse_number, unquote};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Deepest nesting of `$( ... )`.
const DEPTH: usize = 8;

/// Variables.
#[derive(Default)]
pub(super) struct Values(BTreeMap<String, String>);

impl Values {
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.trim_start_matches('$').to_string(), value);
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

/// Reads a handler.
type Reader<'a> = dyn FnMut(&str) -> Result<String, String> + 'a;

/// Replaces variables, handlers and functions, and takes quotes off.
pub(super) fn evaluate(text: &str, values: &Values, read: &mut Reader<'_>) -> Result<String, String> {
    let text = replace(text, values, read, 0)?;
    Ok(String::from_utf8_lossy(&unquote(&text)).into_owned())
}

fn replace(text: &str, values: &Values, read: &mut Reader<'_>, depth: usize) -> Result<String, String> {
    if depth > DEPTH {
        return Err(format!("'$(' nests deeper than {DEPTH}"));
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\'']) {
        out.push_str(&rest[..at]);
        if rest[at..].starts_with('\'') {
            // Nothing is replaced inside of single quotes.
            let end = rest[at + 1..].find('\'').map_or(rest.len(), |e| at + e + 2);
            out.push_str(&rest[at..end]);
            rest = &rest[end..];
            continue;
        }
        let after = &rest[at + 1..];
        if let Some(call) = after.strip_prefix('(') {
            let end = closing(call).ok_or("missing ')'")?;
            let inner = replace(&call[..end], values, read, depth + 1)?;
            out += &function(&inner, read)?;
            rest = &call[end + 1..];
            continue;
        }
        let (name, end) = match after.strip_prefix('{').and_then(|a| a.find('}')) {
            Some(end) => (&after[1..end + 1], end + 2),
            None => {
                let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        out += &values.get(name).unwrap_or_default();
        rest = &after[end..];
    }
    Ok(out + rest)
}

/// Where the parenthesis ends that was opened before.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    text.bytes().position(|b| {
        match b {
            b'(' => depth += 1,
            b')' if depth == 0 => return true,
            b')' => depth -= 1,
            _ => {}
        }
        false
    })
}

fn function(text: &str, read: &mut Reader<'_>) -> Result<String, String> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let name = if words.is_empty() { return Ok(String::new()) } else { words.remove(0) };
    let number = |word: &&str| -> Result<i64, String> {
        let (sign, digits) = word.strip_prefix('-').map_or((1, *word), |d| (-1, d));
        let value = parse_number(digits).and_then(|n| i64::try_from(n).ok());
        value.map(|v| sign * v).ok_or_else(|| format!("{name}: expected a number, not '{word}'"))
    };
    let fold = |f: fn(i64, i64) -> Option<i64>| -> Result<String, String> {
        let mut numbers = words.iter().map(number);
        let first = numbers.next().ok_or_else(|| format!("{name}: expected numbers"))??;
        let result =
            numbers.try_fold(first, |a, b| f(a, b?).ok_or_else(|| format!("{name}: out of range")))?;
        Ok(result.to_string())
    };
    let compare = |f: fn(core::cmp::Ordering) -> bool| -> Result<String, String> {
        let [a, b] = words[..] else { return Err(format!("{name}: expected two values")) };
        let order = match (number(&a), number(&b)) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => a.cmp(b),
        };
        Ok(f(order).to_string())
    };
    match name {
        "add" => fold(i64::checked_add),
        "sub" => fold(i64::checked_sub),
        "mul" => fold(i64::checked_mul),
        "div" => fold(i64::checked_div),
        "mod" => fold(i64::checked_rem),
        "min" => fold(|a, b| Some(a.min(b))),
        "max" => fold(|a, b| Some(a.max(b))),
        "eq" => compare(|o| o.is_eq()),
        "ne" => compare(|o| o.is_ne()),
        "lt" => compare(|o| o.is_lt()),
        "le" => compare(|o| o.is_le()),
        "gt" => compare(|o| o.is_gt()),
        "ge" => compare(|o| o.is_ge()),
        "not" => Ok((!words.iter().any(|w| truth(w))).to_string()),
        "and" => Ok(words.iter().all(|w| truth(w)).to_string()),
        "or" => Ok(words.iter().any(|w| truth(w)).to_string()),
        "if" => {
            let chosen = if words.first().is_some_and(|w| truth(w)) { 1 } else { 2 };
            Ok(words.get(chosen).unwrap_or(&"").to_string())
        }
        _ => read(text).map(|v| v.trim_end_matches('\n').to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_together() {
        let mut values = Values::default();
        values.set("x", "3".to_string());
        let mut read = |h: &str| if h == "c.count" { Ok("7\n".to_string()) } else { Err(format!("no {h}")) };
        let mut value = |text: &str| evaluate(text, &values, &mut read);
        assert_eq!(value("\"a $x ${x}b $(c.count)\" '$x'").unwrap(), "a 3 3b 7 $x");
        assert_eq!(value("$(add $x $(mul 2 $(c.count)) 1)").unwrap(), "18");
        assert_eq!(value("$(if $(gt $x 2) yes no) $(eq a a)").unwrap(), "yes true");
        assert!(
            value("$(div 1 0)").is_err() && value("$(nothing)").is_err() && value(&"$(".repeat(50)).is_err()
        );
    }
}
