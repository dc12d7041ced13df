//! Replies, as the client's version of the protocol has them.

use crate::error::Error;
use crate::memory::can_allocate_buffer;
use crate::number::{format_f64, with_i64};
use crate::stats::ErrorCode;
use alloc::vec::Vec;

/// What a client is to be sent.
#[derive(Debug)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    /// How much of it was sent.
    sent: usize,
    /// It may not become longer than this.
    pub(crate) limit: usize,
    /// Something did not fit: what follows makes no sense, and the connection has to end.
    pub(crate) overflowed: bool,
    /// RESP3.
    pub(crate) resp3: bool,
    /// The client wants no replies just now.
    pub(crate) reply_off: bool,
    /// Errors written.
    pub(crate) errors: u64,
    /// Their codes, until they are counted.
    pub(crate) error_codes: Vec<ErrorCode>,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            limit: usize::MAX,
            overflowed: false,
            resp3: false,
            reply_off: false,
            errors: 0,
            error_codes: Vec::new(),
        }
    }
}

impl Reply {
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Lends memory to an empty reply.
    pub(crate) fn lend(&mut self, spare: &mut Vec<u8>) {
        if self.bytes.capacity() == 0 {
            self.bytes = core::mem::take(spare);
        }
    }

    /// So many bytes were sent. Memory of a reply that is through goes to `spare`.
    pub(crate) fn sent(&mut self, count: usize, spare: &mut Vec<u8>) {
        self.sent = (self.sent + count).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.sent = 0;
            self.bytes.clear();
            let memory = core::mem::take(&mut self.bytes);
            if memory.capacity() <= 64 << 10 && memory.capacity() > spare.capacity() {
                *spare = memory;
            }
        } else if self.sent > 1 << 20 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let after = self.bytes.len() + bytes.len();
        if self.bytes.capacity() < after && !self.grow(after) {
            return;
        }
        if !self.reply_off {
            self.bytes.extend_from_slice(bytes);
        }
    }

    #[cold]
    fn grow(&mut self, after: usize) -> bool {
        if self.overflowed {
            return false;
        }
        let wanted = (after + after / 2).max(4096).min(self.limit.max(after));
        let more = if can_allocate_buffer(wanted) { wanted } else { after };
        let refused = after > self.limit || !can_allocate_buffer(more);
        if refused || self.bytes.try_reserve_exact(more - self.bytes.len()).is_err() {
            self.overflowed = true;
            return false;
        }
        true
    }

    fn header(&mut self, kind: u8, n: i64) {
        with_i64(n, |digits| {
            let mut text = [0; 24];
            text[0] = kind;
            text[1..=digits.len()].copy_from_slice(digits);
            text[digits.len() + 1..digits.len() + 3].copy_from_slice(b"\r\n");
            self.raw(&text[..digits.len() + 3]);
        });
    }

    pub(crate) fn simple(&mut self, text: &str) {
        self.raw(b"+");
        self.raw(text.as_bytes());
        self.raw(b"\r\n");
    }

    pub(crate) fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    pub(crate) fn error(&mut self, error: &Error) {
        self.errors += 1;
        let mut code = None;
        self.raw(b"-");
        error.write(|part| {
            code.get_or_insert_with(|| ErrorCode::of(part));
            if part.iter().any(|&b| b == b'\r' || b == b'\n') {
                let line: Vec<u8> =
                    part.iter().map(|&b| if b == b'\r' || b == b'\n' { b' ' } else { b }).collect();
                self.raw(&line);
            } else {
                self.raw(part);
            }
        });
        self.raw(b"\r\n");
        // One reply of a transaction may have very many.
        if self.error_codes.len() < 1024 {
            self.error_codes.extend(code);
        }
    }

    pub(crate) fn integer(&mut self, n: i64) {
        self.header(b':', n);
    }

    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len() as i64);
        self.raw(bytes);
        self.raw(b"\r\n");
    }

    /// An integer as a bulk string.
    pub(crate) fn bulk_integer(&mut self, n: i64) {
        with_i64(n, |digits| self.bulk(digits));
    }

    pub(crate) fn verbatim(&mut self, text: &str) {
        if !self.resp3 {
            return self.bulk(text.as_bytes());
        }
        self.header(b'=', text.len() as i64 + 4);
        self.raw(b"txt:");
        self.raw(text.as_bytes());
        self.raw(b"\r\n");
    }

    pub(crate) fn double(&mut self, value: f64) {
        let text = format_f64(value);
        if !self.resp3 {
            return self.bulk(text.as_bytes());
        }
        self.raw(b",");
        self.raw(text.as_bytes());
        self.raw(b"\r\n");
    }

    pub(crate) fn null(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    pub(crate) fn null_array(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    pub(crate) fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    pub(crate) fn array(&mut self, n: usize) {
        self.header(b'*', n as i64);
    }

    /// A map of so many pairs.
    pub(crate) fn map(&mut self, pairs: usize) {
        if self.resp3 { self.header(b'%', pairs as i64) } else { self.array(2 * pairs) }
    }

    pub(crate) fn set(&mut self, n: usize) {
        self.header(if self.resp3 { b'~' } else { b'*' }, n as i64);
    }

    /// Writes an out-of-band message of `n` elements. CLIENT REPLY does not suppress these.
    pub(crate) fn push(&mut self, n: usize, elements: impl FnOnce(&mut Self)) {
        let reply_off = core::mem::replace(&mut self.reply_off, false);
        self.header(if self.resp3 { b'>' } else { b'*' }, n as i64);
        elements(self);
        self.reply_off = reply_off;
    }

    /// Drops everything that has not been sent.
    pub(crate) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.sent = 0;
    }

    /// A place to put a header in front of what is written from now on.
    pub(crate) fn mark(&self) -> usize {
        self.bytes.len()
    }

    /// Puts an array's header where the mark is.
    pub(crate) fn array_at(&mut self, mark: usize, n: usize) {
        let end = self.bytes.len();
        self.array(n);
        self.rotate(mark, end);
    }

    /// Puts a map's header where the mark is.
    pub(crate) fn map_at(&mut self, mark: usize, pairs: usize) {
        let end = self.bytes.len();
        self.map(pairs);
        self.rotate(mark, end);
    }

    /// Moves what was written since `end` to where the mark is.
    pub(crate) fn rotate(&mut self, mark: usize, end: usize) {
        let moved = self.bytes.len() - end;
        if let Some(part) = self.bytes.get_mut(mark..) {
            part.rotate_right(moved);
        }
    }

    /// Takes back what was written since the mark.
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.bytes.truncate(mark);
    }
}
