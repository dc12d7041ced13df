//! What the program says: errors by file and line, and the values of handlers.

use crate::host::Desk;
use click::args::bytes_of;
use click::element::Outside;
use click::{Diagnostics, Router, Severity};
use std::fmt::Write;
use std::io::{self, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Exit status of a program whose reader went away, as SIGPIPE would have it: 128 and the signal's number.
const BROKEN_PIPE: u8 = 141;
/// Exit status of one that cannot write what it was asked for.
const UNWRITTEN: u8 = 1;

/// Why standard output took no more.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// What was written to standard output and has not gone there yet, all of it in order.
static OUTPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
/// So much goes there at once.
const PIECE: usize = 64 << 10;

/// Writes to standard output, behind what [`StandardOutput`] holds. After a failure nothing is written any more, and the
/// program ends soon.
pub fn out(text: &str) {
    let mut out = StandardOutput;
    if let Err(e) = out.write_all(&bytes_of(text)).and_then(|()| out.flush()) {
        // Two may find out at the same time.
        let _ = LOST.set(e);
    }
}

/// Standard output for those who write much: it goes there in large pieces, and in the order in which it was written,
/// whoever wrote it.
pub struct StandardOutput;

impl io::Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend_from_slice(bytes);
        if held.len() < PIECE { Ok(bytes.len()) } else { send(&mut held).map(|()| bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        send(&mut OUTPUT.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes what is held. After a failure it is held no more.
fn send(held: &mut Vec<u8>) -> io::Result<()> {
    let text = core::mem::take(held);
    if LOST.get().is_some() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush())
}

/// Writes what is held at the end of the program.
pub fn flush() {
    if let Err(e) = StandardOutput.flush() {
        let _ = LOST.set(e);
    }
}

/// Whether standard output takes no more.
pub fn output_is_lost() -> bool {
    LOST.get().is_some()
}

/// The exit status of a program whose standard output took no more, which says so unless its reader has gone away.
pub fn lost_output() -> Option<u8> {
    let error = LOST.get()?;
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Some(BROKEN_PIPE);
    }
    say(&format!("cannot write to standard output: {}", crate::configuration::reason(error)));
    Some(UNWRITTEN)
}

/// Writes a line to standard error. There is nowhere left to report that it cannot be written to.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Errors in the form `FILE:LINE: MESSAGE`. Those of one element stand below a line that names it.
pub fn errors(diagnostics: &Diagnostics) -> String {
    let mut out = String::new();
    let (mut last, mut initializing) = (String::new(), false);
    for d in &diagnostics.list {
        let place = format!("{}:{}:", d.file, d.line);
        // Writing to a string does not fail.
        let _ = match element(&d.message) {
            Some((name, message)) => {
                initializing |= d.severity == Severity::Error;
                let what = if d.late { "initializing" } else { "configuring" };
                let head = format!("{place} While {what} '{name}':\n");
                if head != last {
                    out += &head;
                    last = head;
                }
                let warning = if d.severity == Severity::Warning { "warning: " } else { "" };
                // Of relations it is said before which pattern they are in.
                let place =
                    message.find(": relation '").filter(|_| !warning.is_empty()).map_or(0, |at| at + 2);
                let (place, message) = message.split_at(place);
                writeln!(out, "  {place}{warning}{message}")
            }
            None if d.message.contains(" connected to '") => {
                initializing = true;
                writeln!(out, "{}", d.message)
            }
            None => {
                // Elements are there, and do not fit together.
                initializing |= d.message.contains(" :: ");
                writeln!(out, "{place} {}", d.message)
            }
        };
        // Hints are for those who see the place.
        let listed = d.notes.first().is_some_and(|first| first.ends_with(':'));
        d.notes.iter().filter(|_| listed).for_each(|note| {
            let _ = writeln!(out, "{place}   {note}");
        });
    }
    if diagnostics.omitted > 0 {
        let _ = writeln!(out, "({} more errors)", diagnostics.omitted);
    }
    if initializing {
        out += "Router could not be initialized!\n";
    }
    out
}

/// The element that a message is about, `NAME :: CLASS`, and the rest.
fn element(message: &str) -> Option<(&str, &str)> {
    let (name, rest) = message.split_once(" :: ")?;
    let (class, rest) = rest.split_once(": ")?;
    let simple = |text: &str| !text.contains(char::is_whitespace) && !text.is_empty();
    (simple(name) && simple(class)).then(|| (&message[..name.len() + 4 + class.len()], rest))
}

/// Prints the values of handlers; whether all could be read. With several, each stands under its name.
pub fn handlers(router: &mut Router, host: &mut Desk, wanted: &[String]) -> bool {
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
pub fn readable(router: &Router, host: &Desk, handler: &str) -> Result<(), String> {
    let name = handler.split_whitespace().next().unwrap_or(handler);
    match router.permissions(host, name) {
        Ok((true, _)) => Ok(()),
        Ok((false, _)) => Err(format!("'{name}' is a write handler")),
        Err(_) => Err(format!("no '{name}' handler")),
    }
}

/// The handlers that a wish stands for: that of an element, or those of all elements that a pattern or a class names.
/// The second value is true for the latter.
fn expand(router: &Router, host: &Desk, wish: &str) -> Result<(Vec<String>, bool), String> {
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

    #[test]
    fn errors_of_an_element_stand_below_its_name() {
        assert_eq!(element("a :: Print: too many"), Some(("a :: Print", "too many")));
        assert_eq!(element("undeclared element 'a'"), None);
    }
}
