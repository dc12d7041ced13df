//! Values in scripts: text with variables, handlers and functions in it.

use crate::args::unquote;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

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

/// Replaces variables, handlers and functions.
pub(super) fn evaluate(text: &str, values: &Values, read: &mut Reader<'_>) -> Result<String, String> {
    replace(text, values, read, 0)
}

/// Takes quotes off.
pub(super) fn plain(text: &str) -> String {
    String::from_utf8_lossy(&unquote(text)).into_owned()
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
            out += read(&inner)?.trim_end_matches('\n');
            rest = &call[end + 1..];
            continue;
        }
        let (name, end) = match after.strip_prefix('{').and_then(|a| a.find('}')) {
            Some(end) => (&after[1..end + 1], end + 2),
            None => {
                let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
                // `$#` and `$?` have names that are no words.
                let end = if end == 0 && after.starts_with(['#', '?']) { 1 } else { end };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_together() {
        let mut values = Values::default();
        values.set("x", "3".to_string());
        let mut read = |h: &str| if h == "c.count" { Ok("7\n".to_string()) } else { Err(format!("no {h}")) };
        let mut value = |text: &str| evaluate(text, &values, &mut read);
        assert_eq!(value("\"a $x ${x}b $(c.count)\" '$x'").unwrap(), "\"a 3 3b 7\" '$x'");
        assert_eq!(plain("\"a 3\" '$x'"), "a 3 $x");
        assert!(value("$(nothing)").is_err() && value(&"$(".repeat(50)).is_err());
    }
}
