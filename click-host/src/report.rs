//! Errors of a configuration by file and line, in the words of Click.

use click::{Diagnostics, Severity};
use std::fmt::Write;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_an_element_stand_below_its_name() {
        assert_eq!(element("a :: Print: too many"), Some(("a :: Print", "too many")));
        assert_eq!(element("undeclared element 'a'"), None);
    }
}
