//! Requests: arrays of bulk strings, or a line of words.
//!
//! The parser copies nothing. It says where in the bytes the arguments of the next request lie, and remembers how far it
//! came if the request is not complete. A length that is announced costs nothing until its bytes are there.

use crate::memory::can_allocate_buffer;
use crate::number::parse_i64;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Longest line: of an inline request, or of a header.
const LINE: usize = 64 << 10;
/// Longest argument (`proto-max-bulk-len`).
const BULK: i64 = 512 << 20;
/// Most arguments.
const ARGUMENTS: i64 = 1 << 20;

/// The error for a request whose arguments there is no memory for.
const TOO_LARGE: &str = "request is larger than memory allows";

/// Where an argument lies, counted from the start of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) length: u32,
}

/// What the bytes hold.
#[derive(Debug, PartialEq)]
pub(crate) enum Parsed {
    /// A request of so many bytes; its arguments are in [`Parser::spans`], or, for a line with quotes, in
    /// [`Parser::words`].
    Request(usize),
    /// Nothing to answer: an empty line or array, so many bytes long.
    Empty(usize),
    /// Not all of it is there yet.
    Incomplete,
    /// Not the protocol. The connection ends with this message.
    ProtocolError(String),
}

/// How far a request was read.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// Arguments found so far.
    pub(crate) spans: Vec<Span>,
    /// The words of an inline request that had quotes, which are not in the bytes as they are meant.
    pub(crate) words: Vec<Vec<u8>>,
    /// Arguments still to come; `None` before the array's header.
    left: Option<u32>,
    /// Length of the argument at hand, once its header was read.
    bulk: Option<u32>,
    position: usize,
    /// Up to where no line end was found.
    searched: usize,
}

impl Parser {
    /// Starts over with the next request.
    pub(crate) fn reset(&mut self) {
        self.spans.clear();
        self.words.clear();
        (self.left, self.bulk, self.position, self.searched) = (None, None, 0, 0);
    }

    /// Bytes that the next argument is known to lack.
    pub(crate) fn missing(&self, have: usize) -> usize {
        self.bulk.map_or(0, |n| (self.position + n as usize + 2).saturating_sub(have))
    }

    /// The line at the position, and what is behind it.
    fn line<'a>(&mut self, bytes: &'a [u8], ends_in_return: bool) -> Option<(&'a [u8], usize)> {
        let from = self.searched.max(self.position);
        let wanted = if ends_in_return { b'\r' } else { b'\n' };
        let Some(end) = bytes[from..].iter().position(|&b| b == wanted).map(|n| from + n) else {
            self.searched = bytes.len();
            return None;
        };
        if ends_in_return && end + 1 >= bytes.len() {
            self.searched = end;
            return None;
        }
        let next = end + 1 + usize::from(ends_in_return);
        self.searched = next;
        Some((&bytes[self.position..end], next))
    }

    /// Reads on. `bytes` begins where the request does, and has at least what it had the last time. Who has not
    /// authenticated may send little.
    pub(crate) fn parse(&mut self, bytes: &[u8], authenticated: bool) -> Parsed {
        if bytes.is_empty() {
            return Parsed::Incomplete;
        }
        if bytes[0] != b'*' {
            return self.inline(bytes);
        }
        let garbage = |text: &str| Parsed::ProtocolError(format!("Protocol error: {text}"));
        if self.left.is_none() {
            let Some((line, next)) = self.line(bytes, true) else {
                return match bytes.len() > LINE {
                    true => garbage("too big mbulk count string"),
                    false => Parsed::Incomplete,
                };
            };
            let count = match parse_i64(&line[1..]) {
                Some(n) if n > ARGUMENTS => return garbage("invalid multibulk length"),
                Some(n) if n > 10 && !authenticated => return garbage("unauthenticated multibulk length"),
                Some(n) => n,
                None => return garbage("invalid multibulk length"),
            };
            if count <= 0 {
                return Parsed::Empty(next);
            }
            (self.left, self.position) = (Some(count as u32), next);
        }
        while let Some(left @ 1..) = self.left {
            let length = match self.bulk {
                Some(length) => length as usize,
                None => {
                    match bytes.get(self.position) {
                        None => return Parsed::Incomplete,
                        Some(b'$') => {}
                        Some(&other) => {
                            return garbage(&format!("expected '$', got '{}'", printable(other)));
                        }
                    }
                    let Some((line, next)) = self.line(bytes, true) else {
                        return match bytes.len() - self.position > LINE {
                            true => garbage("too big bulk count string"),
                            false => Parsed::Incomplete,
                        };
                    };
                    let length = match parse_i64(&line[1..]) {
                        Some(n) if n > 16384 && !authenticated => {
                            return garbage("unauthenticated bulk length");
                        }
                        Some(n @ 0..=BULK) => n as u32,
                        _ => return garbage("invalid bulk length"),
                    };
                    (self.bulk, self.position) = (Some(length), next);
                    length as usize
                }
            };
            let end = self.position + length;
            // A request stays within what spans can say.
            if end > u32::MAX as usize - 2 {
                return garbage("invalid bulk length");
            }
            if bytes.len() < end + 2 {
                return Parsed::Incomplete;
            }
            if !self.has_room_for_span() {
                return garbage(TOO_LARGE);
            }
            self.spans.push(Span { start: self.position as u32, length: length as u32 });
            (self.bulk, self.left, self.position, self.searched) = (None, Some(left - 1), end + 2, end + 2);
        }
        Parsed::Request(self.position)
    }

    /// Whether the list of arguments can take one more.
    fn has_room_for_span(&mut self) -> bool {
        let capacity = self.spans.capacity();
        if self.spans.len() < capacity {
            return true;
        }
        let more = capacity.max(16);
        can_allocate_buffer((capacity + more) * size_of::<Span>())
            && self.spans.try_reserve_exact(more).is_ok()
    }

    fn inline(&mut self, bytes: &[u8]) -> Parsed {
        let Some((line, next)) = self.line(bytes, false) else {
            return match bytes.len() > LINE {
                true => Parsed::ProtocolError(String::from("Protocol error: too big inline request")),
                false => Parsed::Incomplete,
            };
        };
        if line.len() > LINE {
            return Parsed::ProtocolError(String::from("Protocol error: too big inline request"));
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Every word may become a string of its own, or a place in a list.
        if !can_allocate_buffer(64 * line.len()) {
            return Parsed::ProtocolError(format!("Protocol error: {TOO_LARGE}"));
        }
        if line.iter().any(|&b| b == b'"' || b == b'\'') {
            let Some(words) = split_quoted(line) else {
                return Parsed::ProtocolError(String::from("Protocol error: unbalanced quotes in request"));
            };
            self.words = words;
            return if self.words.is_empty() { Parsed::Empty(next) } else { Parsed::Request(next) };
        }
        let mut start = 0;
        for word in line.split(|b| b.is_ascii_whitespace() || *b == 0) {
            if !word.is_empty() {
                self.spans.push(Span { start: start as u32, length: word.len() as u32 });
            }
            start += word.len() + 1;
        }
        if self.spans.is_empty() { Parsed::Empty(next) } else { Parsed::Request(next) }
    }
}

fn printable(byte: u8) -> char {
    if (32..127).contains(&byte) { byte as char } else { '?' }
}

/// Words of a line, of which some are quoted as in C; `None` if a quote is not closed.
fn split_quoted(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        let Some(&first) = rest.first() else { return Some(words) };
        let mut word = Vec::new();
        if first == b'"' || first == b'\'' {
            rest = quoted(&rest[1..], first, &mut word)?;
            if rest.first().is_some_and(|b| !b.is_ascii_whitespace()) {
                return None;
            }
        } else {
            while let Some((&b, after)) = rest.split_first() {
                if b.is_ascii_whitespace() {
                    break;
                }
                if b == b'"' || b == b'\'' {
                    rest = quoted(after, b, &mut word)?;
                    if rest.first().is_some_and(|b| !b.is_ascii_whitespace()) {
                        return None;
                    }
                    break;
                }
                word.push(b);
                rest = after;
            }
        }
        words.push(word);
    }
}

fn quoted<'a>(mut rest: &'a [u8], quote: u8, word: &mut Vec<u8>) -> Option<&'a [u8]> {
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b if b == quote => return Some(rest),
            b'\\' if quote == b'"' => {
                if let [b'x', a, b, ..] = rest
                    && let (Some(high), Some(low)) = (digit(*a), digit(*b))
                {
                    word.push(high << 4 | low);
                    rest = &rest[3..];
                    continue;
                }
                let (&escaped, after) = rest.split_first()?;
                rest = after;
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
            }
            b'\\' if rest.first() == Some(&b'\'') => {
                word.push(b'\'');
                rest = &rest[1..];
            }
            b => word.push(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// Parses byte by byte, as the worst network brings it.
    fn slowly(bytes: &[u8]) -> (Parsed, Vec<Vec<u8>>) {
        let mut parser = Parser::default();
        for end in 0..=bytes.len() {
            let parsed = parser.parse(&bytes[..end], true);
            if parsed != Parsed::Incomplete {
                let spans = parser.spans.iter();
                let mut words: Vec<Vec<u8>> =
                    spans.map(|s| bytes[s.start as usize..(s.start + s.length) as usize].to_vec()).collect();
                words.append(&mut parser.words);
                return (parsed, words);
            }
        }
        (Parsed::Incomplete, vec![])
    }

    #[test]
    fn requests_are_found_however_they_are_cut() {
        for (bytes, words) in [
            (&b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"[..], vec!["GET", "a"]),
            (b"*1\r\n$0\r\n\r\n", vec![""]),
            (b"PING\r\n", vec!["PING"]),
            (b"set  a b\n", vec!["set", "a", "b"]),
            (b"set a \"x\\x41\\n y\" 'it\\'s'\r\n", vec!["set", "a", "xA\n y", "it's"]),
        ] {
            let (parsed, got) = slowly(bytes);
            assert_eq!(parsed, Parsed::Request(bytes.len()));
            assert_eq!(got, words.iter().map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn garbage_is_named() {
        for (bytes, says) in [
            (&b"*x\r\n"[..], "invalid multibulk length"),
            (b"*1048577\r\n", "invalid multibulk length"),
            (b"*1\r\n+a\r\n", "expected '$', got '+'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$536870913\r\n", "invalid bulk length"),
            (b"a \"b\r\n", "unbalanced quotes in request"),
        ] {
            match slowly(bytes).0 {
                Parsed::ProtocolError(text) => assert!(text.ends_with(says), "{text}"),
                other => panic!("{other:?}"),
            }
        }
        let line = vec![b'a'; LINE + 1];
        assert!(matches!(slowly(&line).0, Parsed::ProtocolError(_)));
        let mut parser = Parser::default();
        assert!(matches!(parser.parse(b"*11\r\n", false), Parsed::ProtocolError(_)));
    }

    #[test]
    fn a_large_header_allocates_nothing() {
        let mut parser = Parser::default();
        assert_eq!(parser.parse(b"*2\r\n$536870912\r\nabc", true), Parsed::Incomplete);
        assert_eq!(parser.spans.capacity(), 0);
        assert_eq!(parser.missing(19), (512 << 20) + 2 - 3);
    }
}
