//! Values in scripts: text with variables, handlers and functions in it.

use crate::args::{unquote, words};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use core::cell::RefCell;

/// Deepest nesting of `$( ... )`.
const DEPTH: usize = 8;

/// Variables, and what a script knows of the call that it serves.
#[derive(Default)]
pub(super) struct Values(RefCell<BTreeMap<String, String>>, pub(super) RefCell<Call>);

/// A call of a script by a handler.
#[derive(Default)]
pub(super) struct Call {
    /// What followed the handler's name: `$args`, and its words `$1`, `$2`, whose number is `$#`.
    pub(super) arguments: String,
    /// The handler's name, `$0`, while it runs.
    pub(super) handler: String,
    /// It was written: `$write`.
    pub(super) writes: bool,
}

impl Call {
    fn get(&self, name: &str) -> Option<String> {
        let words = || words(&self.arguments);
        Some(match name {
            "args" => self.arguments.clone(),
            "0" => self.handler.clone(),
            "#" => words().len().to_string(),
            "write" => self.writes.to_string(),
            number => {
                let number: usize = number.parse().ok()?;
                words().get(number.checked_sub(1)?).copied().unwrap_or("").to_string()
            }
        })
    }
}

impl Values {
    pub(super) fn set(&self, name: &str, value: String) {
        let name = if name == "$" { name } else { name.trim_start_matches('$') };
        self.0.borrow_mut().insert(name.to_string(), value);
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.borrow().get(name).cloned().or_else(|| self.1.borrow().get(name))
    }

    /// Handlers of a script that are about its variables: `get VAR`, `shift VAR`, and those that it exports.
    pub(super) fn read(&self, handler: &str, argument: &str) -> Option<String> {
        match handler {
            "get" => Some(self.get(argument).unwrap_or_default()),
            "shift" => Some(self.shift(argument)),
            name => self.get(&format!("export {name}")).and_then(|_| self.get(name)),
        }
    }

    /// From now on, a variable is a handler too.
    pub(super) fn export(&self, name: &str) {
        self.set(&format!("export {name}"), String::new());
    }

    /// Takes the first word off a list.
    fn shift(&self, name: &str) -> String {
        let list = self.get(name).unwrap_or_default();
        let first = words(&list).first().copied().unwrap_or("");
        let rest = list.trim_start()[first.len()..].trim_start();
        self.set(name, rest.to_string());
        first.to_string()
    }
}

/// Reads a handler. `None`: there is none, and what asks for it stays as it is.
type Reader<'a> = dyn FnMut(&str) -> Option<String> + 'a;

/// Replaces variables, handlers and functions.
pub(super) fn evaluate(text: &str, values: &Values, read: &mut Reader<'_>) -> Result<String, String> {
    replace(text, values, read, false, 0)
}

/// The same, with the quotes of the text, but not of what takes the place of variables, taken off.
pub(super) fn evaluate_plain(text: &str, values: &Values, read: &mut Reader<'_>) -> Result<String, String> {
    replace(text, values, read, true, 0).map(|text| plain(&text))
}

/// A text in such a form that within double quotes it means itself.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Takes quotes off.
pub(super) fn plain(text: &str) -> String {
    String::from_utf8_lossy(&unquote(text)).into_owned()
}

/// `quotes`: values outside of quotes get some.
fn replace(
    text: &str,
    values: &Values,
    read: &mut Reader<'_>,
    quotes: bool,
    depth: usize,
) -> Result<String, String> {
    if depth > DEPTH {
        return Err(format!("'$(' nests deeper than {DEPTH}"));
    }
    let mut out = String::new();
    let (mut rest, mut quoted) = (text, false);
    while let Some(at) = rest.find(['$', '\'', '"', '\\']) {
        out.push_str(&rest[..at]);
        // Nothing is replaced inside of single quotes, nor what stands behind a backslash.
        let kept = match rest.as_bytes()[at] {
            b'$' => 0,
            b'\'' if !quoted => rest[at + 1..].find('\'').map_or(rest.len() - at, |e| e + 2),
            b'\\' if quoted => 1 + rest[at + 1..].chars().next().map_or(0, char::len_utf8),
            b'"' => {
                quoted = !quoted;
                1
            }
            _ => 1,
        };
        if kept > 0 {
            out.push_str(&rest[at..at + kept]);
            rest = &rest[at + kept..];
            continue;
        }
        let mut put = |value: &str| match (quoted, quotes) {
            (true, _) => out += &escaped(value),
            (false, true) => out += &format!("\"{}\"", escaped(value)),
            (false, false) => out += value,
        };
        let after = &rest[at + 1..];
        if let Some(call) = after.strip_prefix('(') {
            let end = closing(call).ok_or("missing ')'")?;
            let inner = replace(&call[..end], values, read, false, depth + 1)?;
            match read(&inner) {
                Some(value) => put(&value),
                None => out += &format!("$({inner})"),
            }
            rest = &call[end + 1..];
            continue;
        }
        let (name, end) = match after.strip_prefix('{').and_then(|a| a.find('}')) {
            Some(end) => (&after[1..end + 1], end + 2),
            None => {
                let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
                // `$#`, `$?` and `$$` have names that are no words.
                let end = if end == 0 && after.starts_with(['#', '?', '$']) { 1 } else { end };
                (&after[..end], end)
            }
        };
        put(&values.get(name).unwrap_or_default());
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
        let values = Values::default();
        values.set("x", "3".to_string());
        let mut read = |h: &str| (h == "c.count").then(|| "7\n".to_string());
        let mut value = |text: &str| evaluate(text, &values, &mut read);
        assert_eq!(value("\"a $x ${x}b \\$x\" '$x'").unwrap(), "\"a 3 3b \\$x\" '$x'");
        assert_eq!(value("$(c.count)").unwrap(), "7\n");
        assert_eq!(plain("\"a 3\" '$x'"), "a 3 $x");
        assert_eq!(value("$(nothing)").unwrap(), "$(nothing)");
        assert!(value(&"$(".repeat(50)).is_err());
        values.set("q", "a  \"b\" \\".to_string());
        let bare = evaluate_plain("\"<$q>\"$q", &values, &mut |_| Some(String::new())).unwrap();
        assert_eq!(bare, "<a  \"b\" \\>a  \"b\" \\");
    }
}
