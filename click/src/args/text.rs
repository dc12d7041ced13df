//! The text of arguments: cut at commas and white space, quotes and escapes taken off, bytes that are not UTF-8.

use crate::lang::lexer::{comment_end, data_digits, data_end, line_end, string_end};
use alloc::string::String;
use alloc::vec::Vec;

/// Cuts a configuration string at its top-level commas, without comments and outer white space. An argument that is
/// empty at the very end does not count.
#[inline(never)]
pub fn split(config: &str) -> Vec<&str> {
    let bytes = config.as_bytes();
    let mut arguments = Vec::new();
    let (mut start, mut i, mut depth) = (0, 0, 0usize);
    while i < bytes.len() {
        match bytes[i] {
            b'"' | b'\'' => i = string_end(bytes, i),
            b'\\' if bytes.get(i + 1) == Some(&b'<') => i = data_end(bytes, i),
            b'#' if i > 0 && bytes[i - 1] == b'\n' => i = line_end(bytes, i),
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                arguments.push(tidy(&config[start..i]));
                start = i + 1;
            }
            b'/' if let Some(end) = comment_end(bytes, i) => i = end,
            _ => {}
        }
        i += 1;
    }
    let last = tidy(config.get(start..).unwrap_or(""));
    if !last.is_empty() || !arguments.is_empty() {
        arguments.push(last);
    }
    if arguments.last().is_some_and(|a| a.is_empty()) {
        arguments.pop();
    }
    arguments
}

/// Cuts a text at white space outside of quotes and `\\<data>`.
pub fn words(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut words, mut start, mut i) = (Vec::new(), None, 0);
    while i < bytes.len() {
        let from = i;
        match bytes[i] {
            b'"' | b'\'' => i = string_end(bytes, i),
            b'\\' if bytes.get(i + 1) == Some(&b'<') => i = data_end(bytes, i),
            b if b.is_ascii_whitespace() => {
                words.extend(start.take().and_then(|s: usize| text.get(s..from)));
                i += 1;
                continue;
            }
            _ => {}
        }
        start.get_or_insert(from);
        i += 1;
    }
    words.extend(start.and_then(|s| text.get(s..)));
    words
}

/// Without comments, lines that begin with `#`, and white space at either end.
fn tidy(text: &str) -> &str {
    let bytes = text.as_bytes();
    let (mut first, mut end, mut i) = (None, 0, 0);
    while i < bytes.len() {
        let marked = bytes[i] == b'#' && i > 0 && bytes[i - 1] == b'\n';
        if let Some(last) = if marked { Some(line_end(bytes, i)) } else { comment_end(bytes, i) } {
            i = last + 1;
            continue;
        }
        if !bytes[i].is_ascii_whitespace() {
            first = first.or(Some(i));
            if matches!(bytes[i], b'"' | b'\'') {
                i = string_end(bytes, i);
            } else if bytes[i..].starts_with(b"\\<") {
                i = data_end(bytes, i);
            }
            end = (i + 1).min(bytes.len());
        }
        i += 1;
    }
    first.and_then(|first| text.get(first..end)).unwrap_or("")
}

/// Text with its quotes taken off and escapes replaced; `\<hex>` gives bytes.
#[inline(never)]
pub fn unquote(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let (mut i, mut quote) = (0, 0u8);
    while i < bytes.len() {
        let b = bytes[i];
        match b {
            b'"' | b'\'' if quote == 0 => quote = b,
            _ if b == quote && quote != 0 => quote = 0,
            b'\\' if i + 1 < bytes.len() && (quote == b'"' || bytes[i + 1] == b'<') => {
                i += 1;
                match bytes[i] {
                    b'<' => {
                        let mut high = None;
                        i = data_digits(bytes, i - 1, &mut |digit| match high.take() {
                            Some(high) => out.push(high << 4 | digit),
                            None => high = Some(digit),
                        });
                        out.extend(high.map(|high| high << 4));
                    }
                    b'n' => out.push(b'\n'),
                    b't' => out.push(b'\t'),
                    b'r' => out.push(b'\r'),
                    b'0' => out.push(0),
                    other => out.push(other),
                }
            }
            _ => out.push(b),
        }
        i += 1;
    }
    out
}

/// The first of 256 characters of private use that stand for bytes in a text which is not UTF-8.
const RAW: u32 = 0x10_ff00;

/// A byte as a character: one that stands for itself, or one of private use.
pub fn raw(byte: u8) -> char {
    if byte.is_ascii() { byte.into() } else { char::from_u32(RAW + u32::from(byte)).unwrap_or('?') }
}

/// Bytes as text: what is not UTF-8 in it is kept by characters of private use.
pub fn text_of(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out += chunk.valid();
        out.extend(chunk.invalid().iter().copied().map(raw));
    }
    out
}

/// A text's bytes, as [`text_of`] had them.
pub fn bytes_of(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    // All characters of private use begin with this byte.
    while let Some(at) = rest.bytes().position(|b| b == 0xf4) {
        let (before, behind) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let Some(c) = behind.chars().next() else { break };
        match u32::from(c).checked_sub(RAW).and_then(|b| u8::try_from(b).ok()) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(&behind.as_bytes()[..c.len_utf8()]),
        }
        rest = &behind[c.len_utf8()..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_cut_at_top_level_commas() {
        assert_eq!(split("a, b(c, d) // x, y\n, \"e, f\" /* , */, "), ["a", "b(c, d)", "\"e, f\""]);
        assert!(split("  ").is_empty());
        assert_eq!(split("a,,b"), ["a", "", "b"]);
    }

    #[test]
    fn quotes_and_escapes_are_taken_off() {
        assert_eq!(unquote("\"a\\n\"'\\n'\\<41 4 2>"), b"a\n\\nAB");
    }
}
