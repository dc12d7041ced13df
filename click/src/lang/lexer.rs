//! Words of the language, with their place.

use super::Span;

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Name of an element or class, or a number.
    Word,
    /// `$name` or `${name}`.
    Variable,
    /// `->`
    Arrow,
    /// `=>`
    FatArrow,
    /// `::`
    TwoColons,
    /// `||`
    TwoBars,
    /// `...`
    Dots,
    /// One of `; , ( ) [ ] { } |`, or anything else.
    Mark(char),
    /// Nothing follows.
    End,
}

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub span: Span,
}

/// Cuts words off a text.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '/' | '@')
}

impl<'a> Lexer<'a> {
    /// At the beginning.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips white space, comments and `#` lines.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            self.at += if trimmed.starts_with("//") || (trimmed.starts_with('#') && self.at_line_start()) {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                trimmed.get(2..).and_then(|t| t.find("*/")).map_or(trimmed.len(), |i| i + 4)
            } else {
                return;
            };
        }
    }

    fn at_line_start(&self) -> bool {
        let before = self.text[..self.at].trim_end_matches([' ', '\t']);
        before.is_empty() || before.ends_with('\n')
    }

    /// The next word.
    pub fn token(&mut self) -> Token {
        self.skip();
        let rest = self.rest();
        let start = self.at;
        let mut chars = rest.chars();
        let Some(first) = chars.next() else { return Token { kind: Kind::End, span: start..start } };
        let fixed = [
            ("->", Kind::Arrow),
            ("=>", Kind::FatArrow),
            ("::", Kind::TwoColons),
            ("||", Kind::TwoBars),
            ("...", Kind::Dots),
        ];
        let (kind, length) = if let Some((text, kind)) = fixed.iter().find(|f| rest.starts_with(f.0)) {
            (*kind, text.len())
        } else if first == '$' {
            let name = &rest[1..];
            let length = if name.starts_with('{') {
                name.find('}').map_or(1, |i| i + 1)
            } else {
                name.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(name.len())
            };
            (Kind::Variable, 1 + length)
        } else if in_word(first) {
            (Kind::Word, word_length(rest))
        } else {
            (Kind::Mark(first), first.len_utf8())
        };
        self.at += length;
        Token { kind, span: start..self.at }
    }

    /// The text of a word.
    pub fn text(&self, token: &Token) -> &'a str {
        &self.text[token.span.clone()]
    }

    /// What lies between `(`, just read, and its `)`: a configuration string, as it stands. `None`: no `)` comes.
    pub fn configuration(&mut self) -> Option<Span> {
        let start = self.at;
        let mut depth = 1usize;
        let bytes = self.text.as_bytes();
        let mut i = start;
        while i < bytes.len() {
            match bytes[i] {
                b'(' => depth += 1,
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at = i + 1;
                        return Some(start..i);
                    }
                }
                b'"' | b'\'' => i = string_end(bytes, i),
                b'\\' if bytes.get(i + 1) == Some(&b'<') => i = data_end(bytes, i),
                b'/' if let Some(end) = comment_end(bytes, i) => i = end,
                _ => {}
            }
            i += 1;
        }
        self.at = bytes.len();
        None
    }
}

/// A word ends before a character that is none, and before the `//` or `/*` of a comment.
fn word_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut ahead = text.char_indices();
    let end =
        ahead.find(|&(i, c)| !in_word(c) || (c == '/' && matches!(bytes.get(i + 1), Some(b'/' | b'*'))));
    end.map_or(text.len(), |(i, _)| i).max(1)
}

/// Index of the quote that ends the string beginning at `start`, or of the last byte.
pub fn string_end(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut i = start + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if quote == b'"' => i += 1,
            b if b == quote => return i,
            _ => {}
        }
        i += 1;
    }
    bytes.len().saturating_sub(1)
}

/// Index of the end of the line, or of the last byte of `*/`, if a comment begins at `start`; where the text ends it, just
/// behind that.
pub fn comment_end(bytes: &[u8], start: usize) -> Option<usize> {
    match bytes[start..] {
        [b'/', b'/', ..] => Some(line_end(bytes, start)),
        [b'/', b'*', ref rest @ ..] => {
            let end = rest.windows(2).position(|w| w == b"*/");
            Some(end.map_or(bytes.len(), |end| start + end + 3))
        }
        _ => None,
    }
}

/// Index of the end of a byte's line.
pub fn line_end(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().position(|&b| b == b'\n').unwrap_or(bytes.len() - at)
}

/// Index of the `>` that ends the data beginning with `\<` at `start`, or of the last byte.
pub fn data_end(bytes: &[u8], start: usize) -> usize {
    data_digits(bytes, start, &mut |_| ())
}

/// [`data_end`], with the hexadecimal digits on the way, which comments may interrupt.
pub fn data_digits(bytes: &[u8], start: usize, digit: &mut dyn FnMut(u8)) -> usize {
    let mut i = start + 2;
    while i < bytes.len() {
        match bytes[i] {
            b'>' => return i,
            b'/' if let Some(end) = comment_end(bytes, i) => i = end,
            b => {
                if let Some(value) = (b as char).to_digit(16) {
                    digit(value as u8);
                }
            }
        }
        i += 1;
    }
    bytes.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn kinds(text: &str) -> Vec<Kind> {
        let mut lexer = Lexer::new(text);
        core::iter::from_fn(|| Some(lexer.token().kind).filter(|&k| k != Kind::End)).collect()
    }

    #[test]
    fn words_are_cut() {
        use Kind::*;
        assert_eq!(
            kinds("a/b::C->[1]$x // c\n/* d */;"),
            [Word, TwoColons, Word, Arrow, Mark('['), Word, Mark(']'), Variable, Mark(';')]
        );
    }

    #[test]
    fn a_configuration_ends_at_its_own_parenthesis() {
        let mut lexer = Lexer::new("a(b \")\" (c) '(' \\<28> /* ) */), d)");
        assert_eq!(lexer.token().kind, Kind::Word);
        lexer.token();
        let span = lexer.configuration().unwrap();
        assert_eq!(
            &lexer.text[span],
            "a(b \")\" (c) '(' \\<28> /* ) */), d".strip_prefix("a(").unwrap().strip_suffix("), d").unwrap()
        );
    }
}
