//! The operator's requests and the guest's replies.

use abi::control as message;
use abi::control::MessageHeader;
use alloc::vec::Vec;

const HEADER: usize = size_of::<MessageHeader>();

/// A request from the operator.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// The value of a handler, named `ELEMENT.HANDLER`.
    Read(&'a str),
    /// Write a handler.
    Write(&'a str, &'a [u8]),
    /// Run this configuration from now on.
    Configure(&'a [u8]),
    /// `NAME VALUE` lines.
    Statistics,
}

/// The answer to a [`Request`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// One of the `STATUS_` constants of [`abi::control`].
    pub status: u16,
    /// The value, or the reason for an error as text.
    pub bytes: Vec<u8>,
}

impl Reply {
    /// Done.
    pub fn ok(bytes: impl Into<Vec<u8>>) -> Self {
        Self { status: message::STATUS_OK, bytes: bytes.into() }
    }

    /// Not done.
    pub fn refused(status: u16, why: impl Into<Vec<u8>>) -> Self {
        Self { status, bytes: why.into() }
    }
}

/// Handles the operator's requests.
pub trait RequestHandler {
    /// Handles one request.
    fn handle(&mut self, request: Request<'_>) -> Reply;
}

impl<F: FnMut(Request<'_>) -> Reply> RequestHandler for F {
    fn handle(&mut self, request: Request<'_>) -> Reply {
        self(request)
    }
}

/// The handler of guests without handlers: replies with status 1.
pub fn unsupported(_: Request<'_>) -> Reply {
    Reply::refused(message::STATUS_UNSUPPORTED, "this guest has no handlers")
}

/// The header of a message to the monitor.
pub(super) fn header(length: usize, kind: u16, status: u16, id: u64) -> [u8; HEADER] {
    MessageHeader { length: length as u32, kind, status, id }.emit()
}

/// A request from a message of its kind.
pub(super) fn parse(kind: u16, payload: &[u8]) -> Result<Request<'_>, &'static str> {
    let name = |bytes| core::str::from_utf8(bytes).map_err(|_| "the handler's name is not UTF-8");
    Ok(match kind {
        message::HANDLER_READ => Request::Read(name(payload)?),
        message::HANDLER_WRITE => {
            let end = payload
                .iter()
                .position(|&b| b == 0)
                .ok_or("a zero byte is missing after the handler's name")?;
            Request::Write(name(&payload[..end])?, &payload[end + 1..])
        }
        message::CONFIGURE => Request::Configure(payload),
        _ => Request::Statistics,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_without_a_value_is_refused() {
        assert!(parse(message::HANDLER_WRITE, b"a.b").is_err());
        assert_eq!(parse(message::HANDLER_WRITE, b"a.b\0").unwrap(), Request::Write("a.b", b""));
        assert!(parse(message::HANDLER_READ, b"\xff").is_err());
    }
}
