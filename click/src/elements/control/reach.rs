//! What scripts reach: handlers, named from where the script stands, functions, and where texts are printed.

use super::function::call;
use super::value::plain;
use crate::element::Context;
use alloc::format;
use alloc::string::{String, ToString};

/// Whether a text means yes.
pub(super) fn truth(text: &str) -> bool {
    !matches!(text.trim(), "" | "0" | "false" | "no")
}

/// Prints a handler's value, or a text.
#[cfg(not(feature = "host"))]
pub(super) fn print(cx: &mut Context<'_>, text: &str, line: bool) -> Result<(), String> {
    let out = printed(cx, text, line);
    cx.host.print(&out);
    Ok(())
}

/// What is printed: the value of a handler, or a text.
fn printed(cx: &mut Context<'_>, text: &str, line: bool) -> String {
    let names = text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '@');
    // A word that is no handler is a text.
    let read = if names { read_near(cx, text).ok() } else { None };
    let mut out = read.unwrap_or_else(|| plain(text));
    if line && !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Prints a handler's value, or a text, here or to a file.
#[cfg(feature = "host")]
pub(super) fn print(cx: &mut Context<'_>, text: &str, line: bool) -> Result<(), String> {
    let (file, append, text) = match text.strip_prefix('>') {
        Some(rest) => {
            let (append, rest) = rest.strip_prefix('>').map_or((false, rest), |rest| (true, rest));
            let (file, text) = rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
            (Some(file), append, text.trim_start())
        }
        None => (None, false, text),
    };
    let out = printed(cx, text, line);
    match (cx.host.outside(), file) {
        (Some(outside), Some(file)) => outside.write_file(&plain(file), append, &out)?,
        (None, Some(_)) => return Err("files need a host, and cannot be used in a guest".to_string()),
        (Some(outside), None) => outside.write_out(&out),
        (None, None) => cx.host.print(&out),
    }
    Ok(())
}

/// A handler named from where the script stands: inside of a compound element first.
fn near(cx: &Context<'_>, handler: &str) -> String {
    let element = handler.split(['.', ' ']).next().unwrap_or("");
    let mut prefix = cx.name();
    while let Some((outer, _)) = prefix.rsplit_once('/') {
        if cx.has_element(&format!("{outer}/{element}")) {
            return format!("{outer}/{handler}");
        }
        prefix = outer;
    }
    handler.to_string()
}

/// Value of a handler or a function. A script's own functions need no name in front.
pub(super) fn read_near(cx: &mut Context<'_>, handler: &str) -> Result<String, String> {
    let handler = handler.trim();
    if handler.is_empty() {
        return Ok(String::new());
    }
    let (name, argument) = handler.split_once(char::is_whitespace).unwrap_or((handler, ""));
    let own = name.rsplit_once('.').filter(|(element, _)| cx.find(element) == Some(cx.id()));
    let name = own.map_or(name, |(_, name)| name);
    if let Some(value) = call(cx, name, argument.trim()) {
        return value;
    }
    let handler = near(cx, handler);
    cx.read_handler(&handler).map_err(|e| e.to_string())
}

/// Writes a handler.
pub(super) fn write_near(cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
    let handler = near(cx, handler.trim());
    cx.write_handler(&handler, value).map_err(|e| e.to_string())
}
