//! Values of handlers that the command line asks for, by name, pattern or class.

use crate::host::ProcessHost;
use crate::output::say;
use click::Router;
use click::element::Outside;

/// Prints the values of handlers; whether all could be read. With several, each stands under its name.
pub fn handlers(router: &mut Router, host: &mut ProcessHost, wanted: &[String]) -> bool {
    let mut right = true;
    for wish in wanted {
        let (full, several) = match expand(router, host, wish) {
            Ok(found) => found,
            Err(message) => {
                say(&message);
                right = false;
                continue;
            }
        };
        for handler in full {
            match readable(router, host, &handler)
                .and_then(|()| router.read(host, &handler).map_err(|e| e.to_string()))
            {
                Ok(value) if wanted.len() > 1 || several => {
                    let end = if value.is_empty() || value.ends_with('\n') { "" } else { "\n" };
                    host.write_out(&format!("{handler}:\n{value}{end}\n"));
                }
                Ok(value) if value.is_empty() || value.ends_with('\n') => host.write_out(&value),
                Ok(value) => host.write_out(&format!("{value}\n")),
                Err(message) => {
                    say(&message);
                    right = false;
                }
            }
        }
    }
    right
}

/// Whether a handler can be read; in the words of Click if not.
pub fn readable(router: &Router, host: &ProcessHost, handler: &str) -> Result<(), String> {
    let name = handler.split_whitespace().next().unwrap_or(handler);
    match router.permissions(host, name) {
        Ok((true, _)) => Ok(()),
        Ok((false, _)) => Err(format!("'{name}' is a write handler")),
        Err(_) => Err(format!("no '{name}' handler")),
    }
}

/// The handlers that a wish stands for: that of an element, or those of all elements that a pattern or a class names.
/// The second value is true for the latter.
fn expand(router: &Router, host: &ProcessHost, wish: &str) -> Result<(Vec<String>, bool), String> {
    let Some((pattern, handler)) = wish.split_once('.') else { return Ok((vec![wish.to_string()], false)) };
    if router.elements().any(|(name, _)| name == pattern) {
        return Ok((vec![wish.to_string()], false));
    }
    let is_pattern = pattern.contains(['*', '?', '[']);
    let fits =
        |&(name, class): &(&str, &str)| if is_pattern { glob(pattern, name) } else { class == pattern };
    let elements: Vec<_> = router.elements().filter(fits).map(|(name, _)| name).collect();
    if elements.is_empty() {
        let matching = if is_pattern { "matching " } else { "" };
        return Err(format!("no element {matching}'{pattern}'"));
    }
    let full = elements.iter().map(|name| format!("{name}.{handler}"));
    Ok((full.filter(|h| matches!(router.permissions(host, h), Ok((true, _)))).collect(), true))
}

/// Whether a name fits a shell pattern of `*`, `?` and `[...]`.
fn glob(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = rest.as_str();
            name.char_indices().map(|(i, _)| i).chain([name.len()]).any(|i| glob(rest, &name[i..]))
        }
        Some('[') if rest.as_str().contains(']') => {
            let (set, rest) = rest.as_str().split_once(']').unwrap_or_default();
            let (wanted, set) = set.strip_prefix(['^', '!']).map_or((true, set), |s| (false, s));
            let Some(c) = name.chars().next() else { return false };
            let set: Vec<char> = set.chars().collect();
            let range = |w: &[char]| w.len() == 3 && w[1] == '-' && (w[0]..=w[2]).contains(&c);
            (set.contains(&c) || set.windows(3).any(range)) == wanted && glob(rest, &name[c.len_utf8()..])
        }
        Some(p) => {
            let Some(c) = name.chars().next() else { return false };
            (p == '?' || p == c) && glob(rest.as_str(), &name[c.len_utf8()..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, fits) in [
            ("*", "q", true),
            ("q?", "q1", true),
            ("q?", "q", false),
            ("*/c[0-2]", "a/c1", true),
            ("c[!0-2]", "c1", false),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }
}
