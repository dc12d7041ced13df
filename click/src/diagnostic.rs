//! Errors that point into the source: file, line, column, and the text underlined.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Errors kept of one configuration; the rest is counted.
const KEPT: usize = 20;
/// Characters of a source line that are shown.
const SHOWN: usize = 120;

/// A configuration to read.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What messages call it: a file name.
    pub name: &'a str,
    /// The configuration.
    pub text: &'a str,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot run.
    #[default]
    Error,
    /// It can, and probably not as meant.
    Warning,
}

/// One error or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// File name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// Bytes of the source that it is about.
    pub span: Range<usize>,
    /// What else helps: hints, other places.
    pub notes: Vec<String>,
    /// Found when an element was initialized, not when it was configured.
    pub late: bool,
    /// The line's text, for display.
    text: String,
}

/// All errors of a configuration, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// The first of them.
    pub list: Vec<Diagnostic>,
    /// How many more there were.
    pub omitted: usize,
}

impl Diagnostics {
    /// Adds an error about a part of the source.
    pub fn add(&mut self, source: &Source<'_>, span: Range<usize>, message: impl Into<String>) {
        self.add_with(source, span, message, Vec::new());
    }

    /// Adds an error with notes.
    pub fn add_with(
        &mut self,
        source: &Source<'_>,
        span: Range<usize>,
        message: impl Into<String>,
        notes: Vec<String>,
    ) {
        if self.list.len() >= KEPT {
            self.omitted += 1;
            return;
        }
        let text = source.text;
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let (file, line) = place(source, start);
        self.list.push(Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            file,
            line,
            notes,
            late: false,
            column: text[line_start..start].chars().count() + 1,
            span: start..end,
            text: text[line_start..line_end].to_string(),
        });
    }

    /// Adds an error that was found when an element was initialized.
    pub fn add_late(&mut self, source: &Source<'_>, span: Range<usize>, message: impl Into<String>) {
        let before = self.list.len();
        self.add(source, span, message);
        self.list[before..].iter_mut().for_each(|d| d.late = true);
    }

    /// Adds a warning.
    pub fn warn(&mut self, source: &Source<'_>, span: Range<usize>, message: impl Into<String>) {
        let before = self.list.len();
        self.add(source, span, message);
        self.list[before..].iter_mut().for_each(|d| d.severity = Severity::Warning);
    }

    /// Adds a warning that was found when an element was initialized.
    pub fn warn_late(&mut self, source: &Source<'_>, span: Range<usize>, message: impl Into<String>) {
        let before = self.list.len();
        self.warn(source, span, message);
        self.list[before..].iter_mut().for_each(|d| d.late = true);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// File and line of a byte, as the last `#line` before it has them.
pub fn place(source: &Source<'_>, at: usize) -> (String, usize) {
    let mut after = 0;
    for line in source.text[..at].rsplit('\n') {
        let directive =
            line.trim_start().strip_prefix('#').map(|l| l.strip_prefix("line").unwrap_or(l).trim());
        if let Some(directive) = directive.filter(|_| after > 0) {
            let (number, file) = directive.split_once(char::is_whitespace).unwrap_or((directive, ""));
            if let Ok(number) = number.parse::<usize>() {
                // The compiler's flags may follow the name.
                let file = file.trim();
                let file = file.strip_prefix('"').and_then(|f| f.split('"').next()).unwrap_or(file);
                let file = if file.is_empty() { source.name } else { file };
                return (file.to_string(), number.saturating_add(after - 1));
            }
        }
        after += 1;
    }
    (source.name.to_string(), after)
}

/// The character boundary at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = if self.severity == Severity::Warning { "warning: " } else { "" };
        writeln!(f, "{}:{}:{}: {warning}{}", self.file, self.line, self.column, self.message)?;
        // A long line is shown around the place.
        let from = self.column.saturating_sub(1 + SHOWN / 2);
        let shown: String =
            self.text.chars().skip(from).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let at = self.column - 1 - from;
        let here = self.span.len().clamp(1, shown.chars().count().saturating_sub(at).max(1));
        let number = self.line.to_string();
        writeln!(f, " {number} | {}", shown.trim_end())?;
        write!(f, " {:w$} | {:at$}{:^<here$}", "", "", "", w = number.len())?;
        self.notes.iter().try_for_each(|note| write!(f, "\n {:w$} = {note}", "", w = number.len()))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{d}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n({} more errors)", self.omitted)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_underlined() {
        let mut d = Diagnostics::default();
        d.add(&Source { name: "x.click", text: "a -> b;\nc -> dd;" }, 13..15, "undeclared element 'dd'");
        let expected = "x.click:2:6: undeclared element 'dd'\n 2 | c -> dd;\n   |      ^^";
        assert_eq!(d.to_string(), expected);
    }

    #[test]
    fn line_directives_are_followed() {
        let mut d = Diagnostics::default();
        d.add(&Source { name: "x", text: "a\n#line 40 \"y.click\"\nb\nc" }, 24..25, "m");
        assert_eq!((d.list[0].file.as_str(), d.list[0].line), ("y.click", 41));
    }

    #[test]
    fn any_span_of_any_text_can_be_shown() {
        for text in ["", "é", "\n\n", "aé\tb\u{0}"] {
            for a in 0..8 {
                for b in 0..8 {
                    let mut d = Diagnostics::default();
                    d.add(&Source { name: "x", text }, a..b, "m");
                    let _ = d.to_string();
                }
            }
        }
    }
}
