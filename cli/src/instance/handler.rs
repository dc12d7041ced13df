//! Handlers of an instance that runs now, read and written through its control socket.

use super::{Refusal, call};
use machine::control::{Request, Response};

/// The value of a handler.
pub fn read(name: &str, handler: &str) -> Result<String, Refusal> {
    match call(name, &Request::Read { handler: handler.into() })? {
        Response::Done { value } => Ok(value),
        _ => Ok(String::new()),
    }
}

/// Writes a handler of the instance that runs now.
pub fn write(name: &str, handler: &str, value: &str) -> Result<(), Refusal> {
    call(name, &Request::Write { handler: handler.into(), value: value.into() }).map(drop)
}
