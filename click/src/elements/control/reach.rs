//! What scripts reach: handlers, named from where the script stands, functions, and where texts are printed.

use super::function::call;
use super::names::near;
use super::value::Values;
use crate::element::Context;
use crate::handlers::HandlerError;
use alloc::format;
use alloc::string::String;
#[cfg(feature = "host")]
use alloc::string::ToString;
use alloc::vec::Vec;

/// Writes a text to a file (`-`: the standard output), or to the standard output.
#[cfg(feature = "host")]
pub(super) fn write_out(
    cx: &mut Context<'_>,
    file: Option<&str>,
    append: bool,
    text: &str,
) -> Result<(), String> {
    match (cx.host.outside(), file.filter(|f| *f != "-")) {
        (Some(outside), Some(file)) => outside.write_file(file, append, text)?,
        (None, Some(_)) => return Err("files need a host, and cannot be used in a guest".to_string()),
        (Some(outside), None) => outside.write_out(text),
        (None, None) => cx.host.print(text),
    }
    Ok(())
}

/// Why a handler's value is not there, or why it was not written.
pub(super) struct Failure {
    /// What is wrong; nothing if all was said.
    pub(super) message: String,
    /// There is such a handler, and it was called.
    pub(super) called: bool,
}

impl Failure {
    fn new(error: &HandlerError, handler: &str, kind: &str) -> Self {
        let absent = || format!("no '{handler}' {kind} handler");
        match error {
            HandlerError::NotFound(text) if text.starts_with("no element") => {
                Self { message: text.clone(), called: false }
            }
            HandlerError::NotFound(_) | HandlerError::Forbidden(_) => {
                Self { message: absent(), called: false }
            }
            HandlerError::Refused(text) => Self { message: text.clone(), called: true },
        }
    }
}

/// Value of a handler or a function, and the errors of scripts that were called. A script's own functions need no
/// name in front.
pub(super) fn read_near(
    cx: &mut Context<'_>,
    values: &Values,
    handler: &str,
) -> (Result<String, Failure>, Vec<String>) {
    let handler = handler.trim_start();
    // One blank stands behind the name; others are the argument's.
    let (name, argument) = handler.split_once(char::is_whitespace).unwrap_or((handler, ""));
    if name.is_empty() {
        return (Ok(String::new()), Vec::new());
    }
    let own = name.rsplit_once('.').filter(|(element, _)| cx.find(element) == Some(cx.id()));
    let own = own.map_or(name, |(_, name)| name);
    if let Some(value) = call(cx, own, argument).or_else(|| values.read(own, argument).map(Ok)) {
        return (value.map_err(|message| Failure { message, called: true }), Vec::new());
    }
    let full = near(cx, handler);
    let (value, reports) = cx.call_to_read(&full);
    (value.map_err(|e| Failure::new(&e, name, "read")), reports)
}

/// Writes a handler.
pub(super) fn write_near(
    cx: &mut Context<'_>,
    handler: &str,
    value: &str,
) -> (Result<(), Failure>, Vec<String>) {
    let full = near(cx, handler.trim());
    let (done, reports) = cx.call_to_write(&full, value);
    (done.map_err(|e| Failure::new(&e, handler, "write")), reports)
}
